"""What a check runs in: random numbers, defaults and modes of its own, and everything as it was afterwards."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Random numbers from a seed and the usual defaults inside, everything as it was afterwards; always on the CPU."""
    states = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    # Where the CPU is the default already, naming it would send every call of torch through Python, at twice the time.
    elsewhere = torch.get_default_device().type != "cpu"
    with (
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.set_detect_anomaly(False),
        torch.autocast("cpu", enabled=False),
        torch.device("cpu") if elsewhere else contextlib.nullcontext(),
        np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
    ):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_default_dtype(states[2])
            if not elsewhere and torch.get_default_device().type != "cpu":
                torch.set_default_device(None)

"""bfloat16 for the networks, float32 for the loss.

Reference: Micikevicius et al. 2018, "Mixed precision training", whose list of operations torch.autocast follows.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def has_bf16(device: torch.device) -> bool:
    """A GPU that computes in bfloat16 by itself; emulated, it is slower than float32."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def networks_in_bf16(modules: list[nn.Module], device: torch.device, wanted: bool) -> Iterator[None]:
    """Inside, a call of a module computes in bfloat16 and returns float32, so that the loss around it is float32.

    Modules without parameters (a queue, a loss with a running centre) stay in float32, and so does what is called by
    another name than the module itself, such as `model.encode(x)`.
    """
    wrapped = []
    if wanted:
        from accelerate.utils import convert_outputs_to_fp32  # half a second, for those who need it

        wrapped = [module for module in modules if any(True for _ in module.parameters())]
        for module in wrapped:
            module.forward = convert_outputs_to_fp32(torch.autocast(device.type, torch.bfloat16)(module.forward))
    try:
        yield
    finally:
        for module in wrapped:
            del module.forward  # what the class defines comes back

"""Scales: one notebook, four sizes. `begin` seeds a run, says what it will use and returns the scale.

dry   one step of everything, for tests of structure; no result means anything
tiny  generated data, always the CPU, at most a minute: the default
small a subset of real data, a laptop, at most a quarter of an hour
full  the data sets and models of the literature, one GPU
"""

import os
import random
import re
import sys
from dataclasses import dataclass

import numpy as np
import torch

from sslcourse import arguments, clock, missing, notices, weeks

NAMES = weeks.SCALES
_ABSENT = object()


@dataclass(frozen=True)
class Scale:
    """What a run is made with. week is an id such as "week04"; max_steps is 1 at dry, else None (no limit)."""

    name: str
    week: str
    seed: int
    device: torch.device

    @property
    def max_steps(self) -> int | None:
        return 1 if self.name == "dry" else None

    def pick(self, *, tiny, small, full, dry=_ABSENT):
        """The value for this scale; dry is as tiny unless given."""
        arguments.choice("scale", self.name, NAMES)
        values = {"dry": tiny if dry is _ABSENT else dry, "tiny": tiny, "small": small, "full": full}
        return values[self.name]

    def generator(self, offset: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
        """A torch.Generator on `device`, seeded with the seed of this run plus `offset`."""
        offset, device = arguments.whole("offset", offset), arguments.device("device", device)
        return torch.Generator(device).manual_seed(arguments.whole("seed + offset", self.seed + offset))


def begin(
    week: int | str, scale: str | None = None, seed: int | None = None, minutes: float | None = None
) -> Scale:
    """Start a notebook: seed everything, forget which references an earlier run fell back on, print one line.

    Exercises of the week that the notebook has not defined yet are bound to something that says so (missing.py).
    week: 4, "week04" or "week04_simclr". scale: dry, tiny, small or full; else SSLCOURSE_SCALE, else tiny.
    seed: a whole number from 0 on, else SSLCOURSE_SEED, else 0. minutes: for the whole notebook from here on, else
    SSLCOURSE_MINUTES, else as long as it takes; trainings share what is left (clock.py), and what was cut says so. A
    recorded run takes no notice of SSLCOURSE_MINUTES. Raises ValueError for an unknown week or scale, another seed, or
    minutes that are not greater than 0.
    """
    row = weeks.find(week)
    name = (os.environ.get("SSLCOURSE_SCALE") or "tiny") if scale is None else scale
    arguments.choice("scale", name, NAMES)
    if seed is None:
        seed = _number(os.environ.get("SSLCOURSE_SEED") or "0")
    seed = _whole(seed)
    if minutes is None and not os.environ.get("SSLCOURSE_RECORD"):
        minutes = _minutes(os.environ.get("SSLCOURSE_MINUTES", "").strip())
    elif minutes is not None:
        minutes = arguments.number("minutes", minutes, above=0)

    # NumPy's legacy generator takes 32 bits; scikit-learn falls back on it where no random_state is given.
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)

    notices.forget()
    clock.start(minutes)
    missing.bind(sys._getframe(1).f_globals, row.id)
    chosen = Scale(name, row.id, seed, device(name))
    data = ", ".join(row.data.get(name, ())) or "generated data"
    where, long = _describe(chosen.device), _duration(row.minutes.get(name))
    limit = "" if minutes is None else f", limited to {minutes:g} minute{'s' * (minutes != 1)}"
    print(f"{row.id} at scale {name} on {where}, {data}, seed {seed}: {long}{limit}.")
    return chosen


def _whole(seed: object) -> int:
    """The seed as it was given; NumPy's and torch's whole numbers are whole numbers, booleans are none."""
    counted = arguments.counted(seed)
    if counted is None or not 0 <= counted < 2**63:
        seed = arguments.shown(seed)
        raise ValueError(f"seed is {seed}; it should be a whole number from 0 on (below 2**63), such as seed=0.")
    return counted


def _number(text: str) -> int:
    """The seed that the environment gives."""
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < 2**63):
        raise ValueError(f"SSLCOURSE_SEED is {text!r}; it should be a whole number from 0 on (below 2**63).")
    return int(text)


def _minutes(text: str) -> float | None:
    """The minutes that the environment gives."""
    if not text:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) or not 0 < float(text) < 1e5:
        raise ValueError(f"SSLCOURSE_MINUTES is {text!r}; it should be the minutes of a notebook, such as 30.")
    return float(text)


def device(name: str) -> torch.device:
    """tiny is always the CPU, so that all see the same numbers; larger scales take the best device there is."""
    if name in ("dry", "tiny"):
        return torch.device("cpu")
    if wanted := os.environ.get("SSLCOURSE_DEVICE"):
        found = arguments.device("SSLCOURSE_DEVICE", wanted)
        try:
            if found.type not in ("cpu", "cuda"):  # torch knows the names of many more than this machine has
                torch.zeros(1, device=found).item()
        except (RuntimeError, NotImplementedError, AssertionError):
            raise ValueError(
                f"SSLCOURSE_DEVICE is {wanted!r}, which torch cannot compute on here; leave it out."
            ) from None
        return found
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _describe(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def _duration(minutes: float | None) -> str:
    if minutes is None:
        return "nobody has recorded yet how long this takes"
    if minutes < 1:
        return "some seconds"
    return "about a minute" if minutes == 1 else f"about {minutes:.0f} minutes"

"""The minutes that a notebook has: `begin` sets them, trainings share what is left.

How many trainings are still to come nobody knows, so each may take half of what is left: the first one of a notebook
gets most, and there is something for the last. What computes without training is not cut.
"""

import math
import time

SHARE = 0.5  # of what is left, for one training

_minutes: float | None = None
_end = math.inf


def start(minutes: float | None) -> None:
    """From now on so many minutes; None: as long as it takes."""
    global _minutes, _end
    _minutes = minutes
    _end = math.inf if minutes is None else time.perf_counter() + 60 * minutes


def left() -> float:
    """Seconds until the minutes are over, 0 when they are; inf where there is no limit."""
    return max(0.0, _end - time.perf_counter())


def budget() -> float:
    """Seconds that a training which begins now may take; inf where there is no limit."""
    return SHARE * left()


def words() -> str:
    """ "the notebook's 5 minutes, 40 s of them left"."""
    minutes = f"{_minutes:g} minute{'s' * (_minutes != 1)}"
    return f"the notebook's {minutes}, {left():.0f} s of them left"

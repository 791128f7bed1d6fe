"""Schedules: numbers that change over the steps of a training.

Reference: Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", eq. 5.
"""

import math

import torch

from sslcourse import arguments

_LARGEST = 1e300  # so that the difference of two is a number


def cosine_schedule(start: float, end: float, steps: int, warmup: int = 0) -> torch.Tensor:
    """Linear from 0 towards start over `warmup` steps, then half a cosine from start to end.

    Step i < warmup is start * i / warmup; step `warmup` is start, the last step is end. Returns float64 (steps,).
    Raises ValueError for steps < 1 or a warm-up that does not lie in [0, steps].
    """
    ends = (("start", start), ("end", end))
    start, end = (arguments.number(name, value, least=-_LARGEST, most=_LARGEST) for name, value in ends)
    steps, warmup = arguments.whole("steps", steps), arguments.whole("warmup", warmup)
    if steps < 1:
        raise ValueError(f"A schedule needs at least one step, but steps is {steps}.")
    if not 0 <= warmup <= steps:
        raise ValueError(f"The warm-up must have between 0 and {steps} steps, but warmup is {warmup}.")
    rising = start * torch.arange(warmup, dtype=torch.float64) / max(warmup, 1)
    # A single step after the warm-up is the last one: it has the end value.
    falling = steps - warmup
    share = torch.linspace(0, 1, falling, dtype=torch.float64) if falling > 1 else torch.ones(falling).double()
    return torch.cat([rising, end + 0.5 * (start - end) * (1 + torch.cos(math.pi * share))])


def learning_rate_share(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate at a step: rises linearly, is 1 at step `warmup`, then falls like a cosine.

    Never 0 within the training, so that the first step and the last both move the weights: 0 is reached at step -1
    and at step `steps`.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

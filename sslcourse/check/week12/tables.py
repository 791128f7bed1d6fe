"""How week 12 compares tables: entry by entry, relative to the largest, and all cases for a named mistake."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake, close, tensor, told
from sslcourse.check.machinery import Student, Wrong


def same(
    student: Student, cases: Sequence[tuple], definition: Callable, mistakes: Sequence[Mistake], words: Callable
) -> None:
    """Compare the tensors that the submission gives with the definition; known mistakes by all their entries."""
    wanted = [definition(*case) for case in cases]
    came = [tensor(student(*case), tuple(w.shape), "It returns") for case, w in zip(cases, wanted, strict=True)]
    if all(map(_close, came, wanted)):
        return
    n = list(map(_close, came, wanted)).index(False)
    place = _worst(came[n], wanted[n])
    found = (
        f"On {words(*cases[n])} the entry {place} is {came[n][place].item():.4g}, it should be "
        f"{wanted[n][place].item():.4g}."
    )
    fitting = [mistake for mistake in mistakes if _fits(mistake, cases, came)]
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
    raise Wrong(f"{found}{told(came, wanted, cases=cases)}")


def _close(came: Tensor, wanted: Tensor) -> bool:
    # Relative to the largest entry also where that is small: entries of attention maps are.
    scale = wanted.abs().max().clamp(min=1e-12)
    return close(came.detach() / scale, wanted.detach() / scale)


def _worst(came: Tensor, wanted: Tensor) -> tuple[int, ...]:
    apart = (came.detach().double() - wanted.detach().double()).abs().nan_to_num(torch.inf, torch.inf)
    return tuple(int(place) for place in torch.unravel_index(apart.argmax(), apart.shape))


def _fits(mistake: Mistake, cases: Sequence[tuple], came: Sequence[Tensor]) -> bool:
    """Whether one variant of the mistake gives what came, for all cases; where it cannot be computed, it does not."""
    for variant in mistake.variants:
        try:
            wrong = [variant(*case) for case in cases]
        except (RuntimeError, IndexError, ValueError):
            continue
        if all(w.shape == c.shape and _alike(c, w) for c, w in zip(came, wrong, strict=True)):
            return True
    return False


def _alike(came: Tensor, wrong: Tensor) -> bool:
    """Equal, NaN at the same places included: a mistake may well give NaN."""
    missing = wrong.isnan()
    return bool((came.isnan() == missing).all()) and _close(came.masked_fill(missing, 0), wrong.masked_fill(missing, 0))

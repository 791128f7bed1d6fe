"""Comparing what a submission gives with the definition, and saying what went wrong in words that help.

A mistake that has a name is known by its numbers: the definition with that mistake in it, run on the same inputs,
gives what the student's version gives. Where one such mistake fits all cases and no other does, its sentence is the
message; else a case small enough to work out by hand is shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sslcourse.check.machinery import Student, Wrong

TOLERANCE = 1e-4  # of float32 results, relative for values above 1: mistakes are far larger, right versions far nearer


@dataclass(frozen=True)
class Mistake:
    """What seems to be wrong, as a sentence, and one or more transcriptions of the definition with that mistake."""

    sentence: str
    variants: tuple[Callable, ...]

    def fits(self, cases: Sequence[tuple], values: Sequence[float], tolerance: float) -> bool:
        return any(
            all(close(value, wrong(*doubled(case)), tolerance) for case, value in zip(cases, values, strict=True))
            for wrong in self.variants
        )


def agree(
    student: Student,
    cases: Sequence[tuple],
    definition: Callable | Sequence[Callable],
    mistakes: Sequence[Mistake] = (),
    *,
    words: Callable[..., str],
    small: tuple | None = None,
    hint: str = "",
    tolerance: float = TOLERANCE,
) -> None:
    """Compare the number that the student's function gives with the definition, for every case (a tuple of arguments).

    definition: gets tensors in float64; several where several readings are reasonable (one of them must fit all
    cases). words: from the arguments to "8 pairs in 16 dimensions". small: a case to work out by hand; hint: what
    helps with it, or in general where there is no such case.
    """
    readings = (definition,) if callable(definition) else tuple(definition)
    values = [number(student(*case)) for case in cases]
    right = [[float(reading(*doubled(case))) for case in cases] for reading in readings]
    if any(all(map(close, values, wanted, [tolerance] * len(cases))) for wanted in right):
        return

    # Named mistakes first: all cases together tell them apart better than the first that differs.
    n = [close(*pair, tolerance) for pair in zip(values, right[0], strict=True)].index(False)
    found = f"On {words(*cases[n])} {gives(values[n], right[0][n])}"
    fitting = [mistake for mistake in mistakes if mistake.fits(cases, values, tolerance)]
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
    if small is not None:
        value, wanted = number(student(*small)), float(readings[0](*doubled(small)))
        if not close(value, wanted, tolerance):
            inputs = ", ".join(f"{name} = {shown(x)}" for name, x in student.names(small).items())
            found = f"On {words(*small)} {gives(value, wanted)} The inputs were {inputs}."
            raise Wrong(f"{found}\nTry that case by hand: {hint}")
    raise Wrong(f"{found}\n{hint}" if hint and small is None else found)


def gradients_agree(student: Student, case: tuple, definition: Callable, *, names: Sequence[str]) -> None:
    """Compare the gradients for the first arguments of a case (one name each) with those of the definition."""
    inputs = [x.clone().requires_grad_() for x in case[: len(names)]]
    loss = student(*inputs, *case[len(names) :])
    if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
        raise Wrong("The value is right, but it carries no gradient, so nothing could learn from it: do not detach it.")
    exact = [x.double().requires_grad_() for x in case[: len(names)]]
    wanted = torch.autograd.grad(definition(*exact, *case[len(names) :]), exact)
    came = torch.autograd.grad(loss, inputs, allow_unused=True)
    for name, gradient, should in zip(names, came, wanted, strict=True):
        if gradient is None or not gradient.any():
            raise Wrong(f"The value is right, but no gradient reaches {name}: it is detached on the way.")
        if not close(gradient / should.abs().max(), should / should.abs().max(), 10 * TOLERANCE):
            raise Wrong(
                f"The value is right, but the gradient for {name} is not the definition's: a part of it is detached."
            )


def number(value: object) -> float:
    """The value of a scalar tensor, of a number, or of the `.accuracy` of a richer result; Wrong for anything else."""
    value = getattr(value, "accuracy", value)
    if value is None:
        raise Wrong("It returns None: is the `return` missing?")
    if isinstance(value, torch.Tensor):
        if value.shape != ():
            raise Wrong(f"It returns a tensor of shape {tuple(value.shape)}, it should be a scalar.")
        return float(value.detach())
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Wrong(f"It returns something of type {type(value).__name__}, it should be a scalar.") from None


def tensor(value: object, shape: tuple[int, ...], what: str) -> torch.Tensor:
    """A tensor of this shape, as it is; Wrong for anything else. what: "It returns", "view0 is", ..."""
    if value is None:
        raise Wrong(f"{what} None: is the `return` missing?")
    if not isinstance(value, torch.Tensor):
        raise Wrong(f"{what} something of type {type(value).__name__}, it should be a tensor of shape {shape}.")
    if tuple(value.shape) != shape:
        raise Wrong(f"{what} a tensor of shape {tuple(value.shape)}, it should be {shape}.")
    return value


def two_parts(result: object, names: str, what: str = "two things") -> tuple:
    """The two parts of a result, names: as in "accuracy, mapping"; Wrong for anything else."""
    if result is None:
        raise Wrong("It returns None: is the `return` missing?")
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong(f"It should return {what}: `return {names}`.")
    return tuple(result)


def close(value: float | torch.Tensor, wanted: float | torch.Tensor, tolerance: float = TOLERANCE) -> bool:
    """Within the tolerance, relative to the largest wanted value where that is above 1; never for NaN."""
    value, wanted = torch.as_tensor(value).detach().double(), torch.as_tensor(wanted).detach().double()
    return bool(((value - wanted).abs() <= tolerance * wanted.abs().max().clamp(min=1)).all())


def gives(value: float, wanted: float) -> str:
    """ "yours gives 1.931, it should be 2.274." with as many digits as it takes to see the difference."""
    for digits in range(4, 10):
        shown, should = f"{value:.{digits}g}", f"{wanted:.{digits}g}"
        if shown != should:
            break
    return f"yours gives {shown}, it should be {should}."


def doubled(case: tuple) -> tuple:
    """The arguments of a case, tensors of numbers in float64."""
    return tuple(x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in case)


def by_hand(x: torch.Tensor) -> torch.Tensor:
    """Rounded to one decimal: what is printed is exactly what was computed with."""
    return (x * 10).round() / 10


def shown(x: object) -> str:
    """An argument as it would be typed, a tensor as nested lists."""
    if isinstance(x, torch.Tensor):
        return shown(x.tolist())
    if isinstance(x, list):
        return f"[{', '.join(map(shown, x))}]"
    return f"{x:.4g}" if isinstance(x, float) else f"{x}"

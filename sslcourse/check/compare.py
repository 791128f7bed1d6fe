"""Comparing what a submission gives with the definition, and saying what went wrong in words that help.

A mistake that has a name is known by its numbers: the definition with that mistake in it, run on the same inputs,
gives what the student's version gives. Where one such mistake fits all cases, the plain reading does not, and no other
mistake does, its sentence is the message; else what holds in every case is told ("twice what it should be",
relation.py), and a case small enough to work out by hand is shown, if the student's version fails it. A check that
compares by itself does the same with `claimed`, `told`, `worst` and `gives`: numbers that are shown are those that
failed, with as many digits as it takes to see it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.recall import recall
from sslcourse.check.relation import related

TOLERANCE = 1e-4  # of float32 results, relative for values above 1: mistakes are far larger, right versions far nearer


@dataclass(frozen=True)
class Mistake:
    """What seems to be wrong, as a sentence, and one or more transcriptions of the definition with that mistake."""

    sentence: str
    variants: tuple[Callable, ...]

    def fits(self, cases: Sequence[tuple], values: Sequence[float], tolerance: float) -> bool:
        # No student code runs here, so that the modes of machinery.py, which slow every operation, can rest.
        with torch._C.DisableTorchFunction():
            return any(
                all(
                    close(value, recall(wrong, *doubled(case)), tolerance)
                    for case, value in zip(cases, values, strict=True)
                )
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
    right = [[float(recall(reading, *doubled(case))) for case in cases] for reading in readings]
    met = [[close(*pair, tolerance) for pair in zip(values, wanted, strict=True)] for wanted in right]
    if any(map(all, met)):
        return

    # What is shown is measured by the reading that the student's version comes nearest to, on a case that it fails.
    nearest = max(range(len(readings)), key=lambda reading: sum(met[reading]))
    n = met[nearest].index(False)
    found = f"On {words(*cases[n])} {gives(values[n], right[nearest][n])}"
    # Named mistakes first: all cases together tell them apart better than the first that differs.
    fitting = claimed(mistakes, cases, values, right[nearest], tolerance)
    every = cases, values, right[nearest]
    by_hand = small is not None and len(fitting) != 1
    if by_hand:
        value, wanted = number(student(*small)), float(recall(readings[nearest], *doubled(small)))
        every = [*cases, small], [*values, value], [*right[nearest], wanted]
        fitting = claimed(fitting, *every, tolerance)
    fact = "" if len(fitting) == 1 else told(*every[1:], tolerance, every[0])
    if by_hand and len(fitting) != 1 and not close(value, wanted, tolerance):
        inputs = ", ".join(f"{name} = {shown(x)}" for name, x in student.names(small).items())
        found = f"On {words(*small)} {gives(value, wanted)} The inputs were {inputs}."
        raise Wrong(f"{found}\nTry that case by hand: {hint}{fact}")
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
    raise Wrong(f"{found}\n{hint}{fact}" if hint and small is None else f"{found}{fact}")


def claimed(
    mistakes: Sequence[Mistake],
    cases: Sequence[tuple],
    values: Sequence[float | torch.Tensor],
    right: Sequence[float | torch.Tensor],
    tolerance: float = TOLERANCE,
) -> list[Mistake]:
    """The mistakes that fit all cases, and fit those that are not right far better than what would have been right.

    Where there is exactly one, it may be named. An answer that is only just off the mark is nobody's mistake.
    """
    # What failed comes first: there most mistakes are told from this one at once.
    triples = sorted(
        (
            (close(value, wanted, tolerance), case, value, wanted)
            for case, value, wanted in zip(cases, values, right, strict=True)
        ),
        key=lambda triple: triple[0],
    )
    if all(met for met, *_ in triples):
        return []

    def explains(wrong: Callable) -> bool:
        """Whether it gives what was given, and leaves of the difference at most a quarter wherever there is one."""
        told_by = 0
        for met, case, value, wanted in triples:
            came = recall(wrong, *doubled(case))
            if _nan(value) and _nan(came):  # no contradiction, and nothing that a name could rest on
                continue
            told_by += not met
            if not close(value, came, tolerance) or not (met or _off(value, came) <= _off(value, wanted) / 4):
                return False
        return told_by > 0

    return [mistake for mistake in mistakes if any(map(explains, mistake.variants))]


def told(values: Sequence, right: Sequence, tolerance: float = TOLERANCE, cases: Sequence[tuple] = ()) -> str:
    """A line of its own, to end a message with: what holds in every case (relation.py); empty where nothing does."""
    fact = related(values, right, tolerance, cases)
    return f"\n{fact}" if fact else ""


def _nan(value: float | torch.Tensor) -> bool:
    """Whether it is one number and NaN."""
    return torch.as_tensor(value).dim() == 0 and value != value


def _off(value: float | torch.Tensor, wanted: float | torch.Tensor) -> float:
    """The largest difference; infinite where one is NaN."""
    difference = torch.as_tensor(value).detach().double() - torch.as_tensor(wanted).detach().double()
    return float(difference.abs().nan_to_num(torch.inf, torch.inf).max())


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
        value = value.detach()
    try:
        if isinstance(value, str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # complex numbers among them
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
    if isinstance(value, float) and not (isinstance(wanted, torch.Tensor) and wanted.dim()):  # most calls by far
        wanted = float(wanted)
        return abs(value - wanted) <= tolerance * max(1.0, abs(wanted))
    value, wanted = torch.as_tensor(value).detach().double(), torch.as_tensor(wanted).detach().double()
    return bool(((value - wanted).abs() <= tolerance * wanted.abs().max().clamp(min=1)).all())


def worst(value: torch.Tensor, wanted: torch.Tensor) -> tuple[tuple[int, ...], float, float]:
    """Where two tensors of one shape differ most (NaN most of all): the index, and the two numbers there."""
    difference = (value.detach().double() - wanted.double()).abs().nan_to_num(torch.inf, torch.inf)
    index = tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))
    return index, float(value[index]), float(wanted[index])


def gives(value: float, wanted: float) -> str:
    """ "yours gives 1.931, it should be 2.274." with as many digits as it takes to see the difference."""
    value, wanted = float(value), float(wanted)
    if abs(value - wanted) < 1e-6 * max(1.0, abs(wanted)):  # digits that nobody would read
        return f"yours is off by {abs(value - wanted):.2g}, it should be {wanted:.4g}."
    yours, should = apart(value, wanted)
    return f"yours gives {yours}, it should be {should}."


def apart(value: float, wanted: float) -> tuple[str, str]:
    """Two numbers with four digits, or as many as it takes for them to look different."""
    for digits in range(4, 18):
        yours, should = f"{value:.{digits}g}", f"{wanted:.{digits}g}"
        if yours != should:
            break
    return yours, should


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

"""What the checks of week 10 that are asked for a dimension share: words, and points that have none."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from sslcourse.check.machinery import Student
from sslcourse.check.words import shorten


def points_of(x: Tensor, *_) -> str:
    return f"{len(x)} points in {x.shape[1]} dimensions"


def _lattice() -> Tensor:
    """Every point of a grid has its two nearest equally far away."""
    return torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))


def without_dimension(student: Student, lattice: bool = True) -> str:
    """What comes out for points that have no dimension: shown, and not graded."""
    broken = student.normal(9, 3)
    broken[4, 1] = torch.nan
    cases = {"equal points": torch.ones(9, 3), "a NaN": broken} | ({"a lattice": _lattice()} if lattice else {})
    came = {name: student.run(_outcome, student.submission, x) for name, x in cases.items()}
    if all(isinstance(value, ValueError) and str(value) for value in came.values()):
        return "Points that have no dimension are refused with a ValueError."
    told = [f"{name}: {_short(value)}" for name, value in came.items()]
    return (
        "Not graded, points that have no dimension, for which the text asks for a ValueError with a sentence; yours "
        f"gives for {'; '.join(told)}."
    )


def _short(value: object) -> str:
    if isinstance(value, Exception):
        return f"{type(value).__name__} ({shorten(str(value), 60)})"
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"


def _outcome(function: Callable, x: Tensor) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = function(x)
            return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        except Exception as error:
            return error

"""Neighbours that float64 cannot put in order, put in order in whole numbers, which round nothing.

Where one column is 1e30 and the others are 1e-30, all directions are one direction to the digits of float64, and still
one row is nearer than another. Rows that are equally near in whole numbers too come in the order of the training set.
"""

import operator
from collections.abc import Iterable
from fractions import Fraction

import torch
from torch import Tensor

TOLD = 1e-15  # directions whose distances to a query differ by less are not told apart
MOST = 20_000_000  # products of whole numbers: some seconds


def in_order(queries: Tensor, bank: Tensor, indices: Tensor, gaps: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest (n, k) and their gaps, of `indices` and `gaps` (n, k + 1, or k where there are no more).

    gaps: 1 - cosine, rising. Raises ValueError where too many rows are equally near.
    """
    distances = (2 * gaps.clamp_min(0)).sqrt()
    tied = distances.diff(dim=1) <= TOLD * (1 + distances[:, 1:])
    numbers, work = _Whole(queries), 0
    rows = numbers if bank is queries else _Whole(bank)
    bank = bank.to(queries.device)
    for some in tied.nonzero().split(max(1, 2**22 // bank.shape[1])):  # equal rows are in order already
        n, place = some.unbind(dim=1)
        tied[n, place] = (bank[indices[n, place]] != bank[indices[n, place + 1]]).any(dim=1)
    indices, gaps = indices.clone(), gaps.clone()
    units = None
    for n in tied.any(dim=1).nonzero()[:, 0].tolist():
        near = set(indices[n].tolist())
        if tied[n, -1] and gaps.shape[1] > k:  # then others may be as near as these
            units = _units(bank) if units is None else units
            apart = (units - _units(queries[n : n + 1])).norm(dim=1)
            work += bank.numel() // 50  # such products are faster than those of whole numbers
            near |= set((apart <= distances[n, k] + 2 * TOLD * (1 + distances[n, k])).nonzero()[:, 0].tolist())
        work += len(near) * bank.shape[1]
        if work > MOST:
            raise ValueError(
                f"Row {n} of test_x is equally near to {len(near)} rows of train_x, as far as float64 can tell, and "
                "other rows are so too: bring the columns to one scale, or take off what all rows have in common."
            )
        closest = sorted((_gap(numbers[n], rows[i]), i) for i in near)[: indices.shape[1]]
        indices[n] = torch.tensor([i for _, i in closest])
        gaps[n] = torch.tensor([_float(gap) for gap, _ in closest], dtype=gaps.dtype)
    return indices[:, :k], gaps[:, :k]


class _Whole:
    """Rows of a matrix in whole numbers, each times a power of two of its own, made when they are asked for."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.made = x, {}

    def __getitem__(self, n: int) -> list[int]:
        if n not in self.made:
            ratios = [value.as_integer_ratio() for value in self.x[n].double().tolist()]
            common = max(below for _, below in ratios)
            self.made[n] = [above * (common // below) for above, below in ratios]
        return self.made[n]


def _dot(a: Iterable[int], b: Iterable[int]) -> int:
    return sum(map(operator.mul, a, b))


def _gap(a: list[int], b: list[int]) -> tuple[bool, Fraction]:
    """What rises as the cosine c falls, exactly: (False, 1 - c^2) where c is positive, else (True, c^2)."""
    dot = _dot(a, b)
    square = Fraction(dot * dot, _dot(a, a) * _dot(b, b))
    return (False, 1 - square) if dot > 0 else (True, square)


def _float(gap: tuple[bool, Fraction]) -> float:
    """1 - c, with all the digits that float64 has."""
    behind, part = gap
    return 1 + float(part) ** 0.5 if behind else float(part) / (1 + float(1 - part) ** 0.5)


def _units(x: Tensor) -> Tensor:
    x = x.double()
    x = x / x.abs().amax(dim=1, keepdim=True)
    return x / x.norm(dim=1, keepdim=True)

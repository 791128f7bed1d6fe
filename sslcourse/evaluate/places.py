"""How much two neighbourhoods have in common where some are equally near: these share the places that are left.

Of three rows that are as near as the k-th for two places each has two thirds of one. So neither the order of the rows
nor rounding has a say in it, and equal neighbourhoods have all in common.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sslcourse.evaluate.cosines import EQUAL
from sslcourse.evaluate.distances import TIED, VANISHES, Euclidean

_CHUNK = 1024  # rows whose neighbours are compared at a time


class Places:
    """Who of the rows of x (N, D) is among the k nearest others of each.

    nearest(rows, reach): the distances of some rows to their `reach` nearest others, rising, and who these are. Those
    that differ up to `equal`, or to the digits of float64, count as one. search: an Euclidean that has x in its range.
    """

    def __init__(self, nearest: Callable[[Tensor, int], tuple[Tensor, Tensor]], search: Euclidean, k: int):
        self.nearest, self.search, self.k = nearest, search, k
        rows = torch.arange(len(search.bank), device=search.bank.device)
        distances, indices = nearest(rows, min(k + 1, len(rows) - 1))
        last = distances[:, k - 1 : k]
        self.first = indices[:, :k]  # (N, k)
        self.shared = self._level(distances, last)[:, k:].any(dim=1)  # (N,): more on a level than have a place

    def _level(self, distances: Tensor, last: Tensor) -> Tensor:
        return (distances - last).abs() <= self.search.equal + TIED * last

    def weights(self, rows: Tensor) -> Tensor:
        """The share that each row has of a place, float64 (n, N)."""
        distances = self._all(rows)
        last = distances.kthvalue(self.k, dim=1, keepdim=True).values
        level = self._level(distances, last)
        nearer = ((distances < last) & ~level).double()
        left = self.k - nearer.sum(dim=1, keepdim=True)
        return nearer + level * (left / level.sum(dim=1, keepdim=True))

    def _all(self, rows: Tensor) -> Tensor:
        """Distances of some rows to all, float64 (n, N), infinite to themselves."""
        x = self.search.bank
        distances = torch.cdist(x[rows].double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist")
        distances.scatter_(1, rows[:, None], torch.inf)
        i, j = (distances < VANISHES).nonzero(as_tuple=True)
        if (x[rows[i]] != x[j]).any():  # rows of 1e-200 beside some of 1e200
            far, who = self.nearest(rows, len(x) - 1)
            distances.scatter_(1, who, far)
        return distances


def euclidean(x: Tensor, k: int) -> Places:
    """By distance between the rows of x (N, D)."""
    search = Euclidean(x, x)

    def nearest(rows: Tensor, reach: int) -> tuple[Tensor, Tensor]:
        distances, units, indices = search.at_any_scale(rows, reach, alone=True)
        return distances * (units / units[:, k - 1 : k]), indices

    return Places(nearest, search, k)


def cosine(x: Tensor, k: int, chunk: int) -> Places:
    """By direction; x: rows of length 1 in float64."""
    search = Euclidean(x, x, equal=EQUAL, chunk=chunk)
    return Places(lambda rows, reach: search.nearest(rows, reach, alone=True), search, k)


def apart(a: Places, b: Places) -> Tensor:
    """How many of its k places each row gives to others in b than in a: float64 (N,), 0 for equal neighbourhoods."""
    pairs = zip(a.first.split(_CHUNK), b.first.split(_CHUNK), strict=True)
    common = torch.cat([(p[:, :, None] == q[:, None, :]).flatten(1).sum(dim=1) for p, q in pairs])
    lacks = (a.k - common).double()
    for rows in (a.shared | b.shared).nonzero()[:, 0].split(max(1, 2**22 // len(lacks))):
        lacks[rows] = (a.weights(rows) - b.weights(rows)).abs().sum(dim=1) / 2
    return lacks

"""Neighbours by cosine: float32 products choose candidates, distances between float64 directions rank them."""

import functools

import torch
from torch import Tensor

from sslcourse.evaluate import inputs
from sslcourse.evaluate.distances import Euclidean, between, nearest_of, of_candidates
from sslcourse.evaluate.largest import best

SPARE = 4  # candidates beyond k that are measured where k are not enough: then few rows have to be searched again
EQUAL = 1e-15  # distance of directions that rounding alone may make


class Cosine:
    """A cosine is 1 - d^2 / 2 of the distance d between directions, which no rounding of 1 ends.

    Of float32 rows float32 products choose candidates. Where their rounding could have lost one, and for float64 rows,
    the Euclidean search of the directions decides: they may all point nearly the same way.
    """

    def __init__(self, queries: Tensor, bank: Tensor, names: tuple[str, str], chunk: int) -> None:
        self.queries, self.bank, self.names, self.chunk, self.exact = queries, bank, names, chunk, None
        for x, name in {id(x): (x, name) for x, name in zip((queries, bank), names, strict=True)}.values():
            inputs.must_point(x, name)  # of all rows, before some at a time are taken

    def nearest(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        """1 - cosine, rising, and indices, (n, k) each, float64."""
        sides = (self.queries, self.bank)
        if not self.queries.dtype == self.bank.dtype == torch.float32:
            return self._exactly(rows, k, alone)
        left, right = (functools.partial(inputs.unit, name=name) for name in self.names)
        everybody = len(self.bank) - alone
        most = min(k + SPARE, everybody)
        scores, candidates = best(left, right, sides, rows, most, alone, self.chunk)
        over_bank = _over_lengths(self.bank)
        over = (over_bank if self.bank is self.queries else _over_lengths(self.queries), over_bank)

        # Scores have the rounding of a product of D terms and of the lengths of both sides.
        error = 2 * (self.bank.shape[1] + 12) * torch.finfo(torch.float32).eps / 2

        def measure(some: Tensor, candidates: Tensor, beyond: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            candidates = candidates.sort(dim=1).values
            distances, places = nearest_of(between(sides, rows[some], candidates, over), k, EQUAL)
            gaps = distances.square() / 2
            return gaps, candidates.gather(1, places), 1 - gaps[:, -1] < beyond.double() + error

        gaps, indices, unsure = of_candidates(measure, scores, candidates, k, most == everybody)
        if unsure.any():
            gaps[unsure], indices[unsure] = self._exactly(rows[unsure], k, alone)
        return gaps, indices

    def _exactly(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        if self.exact is None:
            queries = inputs.unit(self.queries.double(), self.names[0])
            bank = queries if self.bank is self.queries else inputs.unit(self.bank.double(), self.names[1])
            self.exact = Euclidean(queries, bank, equal=EQUAL, chunk=self.chunk)
        distances, indices = self.exact.nearest(rows, k, alone)
        return distances.square() / 2, indices


def _over_lengths(x: Tensor) -> Tensor:
    """1 / length of float32 rows, float64 (n,)."""
    return torch.cat([torch.linalg.vector_norm(part.double(), dim=1) for part in x.split(64)]).reciprocal()

"""Euclidean neighbours: float32 products choose candidates, float64 differences rank them, doubt is searched again."""

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from sslcourse.evaluate import inputs
from sslcourse.evaluate.largest import best

SPARE = 2  # candidates beyond k that are measured where k are not enough
VANISHES = 1e-140  # squares of float64 differences below this lose digits
TIED = 4e-15  # distances that differ by less, as a share, are one and the same to float64


def between(
    sides: tuple[Tensor, Tensor], rows: Tensor, candidates: Tensor, over: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Distances of rows of the queries to their candidates (n, c), from differences in float64; sides: (queries, bank).

    over: 1 / length of all queries and of the whole bank: then distances between directions. A few at a time, always
    in the same memory, which stays in the processor's cache: several times as fast.
    """
    queries, bank = sides
    count, width = candidates.shape[1], bank.shape[1]
    step = max(1, min(len(rows), 2**17 // (count * width)))
    found = bank.new_empty(step * count, width)
    difference = torch.empty(step, count, width, dtype=torch.float64, device=found.device)
    distances = torch.empty(candidates.shape, dtype=torch.float64, device=found.device)
    for some, few, out in zip(*(x.split(step) for x in (rows, candidates, distances)), strict=True):
        near = torch.index_select(bank, 0, few.flatten(), out=found[: few.numel()]).view(*few.shape, width)
        apart, asked = difference[: len(few)].copy_(near), queries[some].double()
        if over is not None:
            apart.mul_(over[1][few][..., None])
            asked *= over[0][some, None]
        torch.linalg.vector_norm(apart.sub_(asked[:, None]), dim=2, out=out)  # (some, c)
    return distances


def nearest_of(distances: Tensor, k: int, equal: float = 0.0) -> tuple[Tensor, Tensor]:
    """The k smallest (n, k) of distances (n, c), rising, and their places; of equal ones the first.

    Those that are as far as the k-th to the digits of float64, or to `equal`, count as equal to it: rounding, which may
    put either before the other, has no say in which of them is in.
    """
    found, order = distances.sort(dim=1, stable=True)
    nearest, places = found[:, :k], order[:, :k]
    if distances.shape[1] == k:
        return nearest, places
    last = found[:, k - 1 : k]
    band = equal + TIED * last
    tied = found[:, k] - last[:, 0] <= band[:, 0]
    if tied.any():
        some, last, band = distances[tied], last[tied], band[tied]
        level = torch.where((some - last).abs() <= band, last, some)
        chosen = level.sort(dim=1, stable=True).indices[:, :k].sort(dim=1).values
        nearest[tied], order = some.gather(1, chosen).sort(dim=1, stable=True)
        places[tied] = chosen.gather(1, order)
    return nearest, places


def of_candidates(
    measure: Callable, scores: Tensor, candidates: Tensor, k: int, all_there_are: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Distances and indices of the k nearest of candidates (n, c), whose scores fall, and which rows are unsure (n,).

    measure(rows, candidates, beyond): the same for some rows, unsure where rounding could have kept one who is nearer,
    or as near, from being a candidate: nobody else scores more than `beyond`. Mostly the k best alone will do.
    """
    c = candidates.shape[1]
    rows = torch.arange(len(scores), device=scores.device)
    distances, indices, unsure = measure(rows, candidates[:, :k], scores[:, min(k, c - 1)])
    if c > k and len(again := unsure.nonzero().squeeze(1)):
        distances[again], indices[again], unsure[again] = measure(again, candidates[again], scores[again, -1])
    return distances, indices, unsure & (not all_there_are)


class Euclidean:
    """Float32 products choose candidates, their differences to the query rank them.

    The nearest of a query q has the largest q.b - |b|^2 / 2, one product of (q, 1) with (b, -|b|^2 / 2). Without the
    mean taken off, both terms would be large and nearly equal and float32 would lose the neighbours. Where its rounding
    could still have lost one, the row is searched again more finely: so the result does not depend on luck. equal: a
    distance up to which nobody is nearer; of equally near ones the first are taken. Distances are in units of `size`.
    """

    def __init__(self, queries: Tensor, bank: Tensor, dtype=torch.float32, equal: float = 0.0, chunk: int = 1024):
        self.size, self.equal, self.chunk, self.finer = 1.0, equal, chunk, None
        self.same, self.given = bank is queries, (queries, bank)
        queries, self.bank, self.plain = self._within_range(queries, bank)
        self.queries = self.bank if self.same else queries
        # Any point may be the centre, so that a rounded mean will do; and float32 differences to one of float32 are as
        # good as float64 ones that are rounded to float32 afterwards.
        self.centre = self.bank.mean(dim=0, dtype=None if self.plain else torch.float64).to(self.bank.dtype)
        # One scale for all, so that squares neither overflow nor vanish in float32.
        lengths = self._lengths(self.bank)  # (M,)
        self.scale = 1 / (lengths.max().item() or 1.0)
        self.norms = (lengths if self.same else self._lengths(self.queries)) * self.scale  # (N,)
        self._multiply_in(dtype)

    def _multiply_in(self, dtype: torch.dtype) -> None:
        """Errors that scores of length 1 can have: of a product of D terms and squares, of taking a far mean off."""
        self.dtype, self.narrow = dtype, self.plain and dtype == torch.float32
        self.rounding = 1.5 * (self.bank.shape[1] + 12) * torch.finfo(dtype).eps / 2
        self.rounding += 1e-15 * self.centre.double().norm().item() * self.scale

    def _within_range(self, queries: Tensor, bank: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Differences and their squares in float64 must neither overflow nor vanish; mostly there is nothing to do.

        And whether they may be taken in float32.
        """
        if queries.dtype != bank.dtype:
            queries, bank = queries.double(), bank.double()
        largest = torch.stack([end for x in (queries, bank) for end in x.aminmax()]).abs().max()
        if bank.dtype == torch.float32:
            if largest < 1e38:
                return queries, bank, bool(largest > 1e-30) and bool(largest < 1e30)
            return queries.double(), bank.double(), False
        if largest == 0 or 1e-100 < largest < 1e100:
            return queries, bank, False
        self.size = inputs.power(largest).item()
        return queries / self.size, bank / self.size, False

    def _lengths(self, x: Tensor) -> Tensor:
        """Distances of all rows to the centre, float64 (n,)."""
        return torch.cat([(part.double() - self.centre).norm(dim=1) for part in x.split(64)])

    def _factor(self, x: Tensor, query: bool) -> Tensor:
        """What is multiplied: x from the centre, in units of the scale, and its square beside it, (n, D + 1 or 2).

        Of points among themselves both squares are in the product, -d^2 / 2 then, which is the same in both directions.
        """
        width = x.shape[1]
        factor = torch.empty(len(x), width + 1 + self.same, dtype=self.dtype, device=x.device)
        moved, factor[:, width:] = factor[:, :width], 1
        if self.narrow:
            torch.sub(x, self.centre, out=moved)
            moved.mul_(self.scale)
        else:
            for some, out in zip(x.split(64), moved.split(64), strict=True):
                out.copy_((some.double() - self.centre).mul_(self.scale))
        if self.same or not query:
            factor[:, width + query] = torch.linalg.vector_norm(moved, dim=1).square_().div_(-2)
        return factor

    def at_any_scale(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor, Tensor]:
        """`nearest` as (distances, units, indices), (n, k) each: a distance is the product of the first two."""
        distances, indices = self.nearest(rows, k, alone)
        units = torch.full_like(distances, self.size)
        queries, bank = self.given
        near = (distances < VANISHES).nonzero()  # none of float32, but for equal rows
        if not len(near) or queries.dtype == bank.dtype == torch.float32:
            return distances, units, indices
        apart = (queries[rows[near[:, 0]]] != bank[indices[near[:, 0], near[:, 1]]]).any(dim=1)
        for some in near[apart, 0].unique().split(max(1, 2**22 // bank.numel())):
            distances[some], units[some], indices[some] = self._one_by_one(rows[some], k, alone)
        return distances, units, indices

    def _one_by_one(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor, Tensor]:
        """For rows of 1e-200 beside some of 1e200: every distance at its own scale."""
        quarter = 4 if self.size > 1e300 else 1  # so that no difference overflows
        queries, bank = (x.double() / quarter for x in self.given)
        apart = bank - queries[rows, None]  # (n, M, D)
        size = inputs.power(apart.abs().amax(dim=2))
        mantissa, exponent = torch.frexp(torch.linalg.vector_norm(apart / size[..., None], dim=2))  # (n, M)
        exponent = exponent + torch.frexp(size).exponent - 1
        exponent[mantissa == 0] = -(10**6)
        if alone:
            exponent.scatter_(1, rows[:, None], 10**6)
        order = mantissa.argsort(dim=1, stable=True)
        order = order.gather(1, exponent.gather(1, order).argsort(dim=1, stable=True))[:, :k]
        mantissa, exponent = mantissa.gather(1, order), exponent.gather(1, order)
        exponent = torch.where(mantissa == 0, 0, exponent)
        return 2 * quarter * mantissa, torch.ldexp(torch.full_like(mantissa, 0.5), exponent), order

    def nearest(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        left, right = (functools.partial(self._factor, query=query) for query in (True, False))
        most = min(k + SPARE, len(self.bank) - alone)
        scores, candidates = best(left, right, (self.queries, self.bank), rows, most, alone, self.chunk)

        def measure(some: Tensor, candidates: Tensor, beyond: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return self._measure(rows[some], candidates, beyond, k)

        distances, indices, unsure = of_candidates(measure, scores, candidates, k, most < k + SPARE)
        if unsure.any():
            one = unsure & (distances[:, -1] <= self.equal)  # with so many like themselves that some may be missing
            if one.any():
                distances[one], indices[one] = self._first_of_equals(rows[one], indices[one], alone)
            if (unsure := unsure & ~one).any():
                distances[unsure], indices[unsure] = self._more_finely(rows[unsure], k, alone)
        return distances, indices

    def _measure(self, rows: Tensor, candidates: Tensor, beyond: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """As of_candidates asks for."""
        candidates = candidates.sort(dim=1).values  # by number first, for the order of equally far ones
        distances, places = nearest_of(between((self.queries, self.bank), rows, candidates), k, self.equal)

        # What the k-th nearest would score at least, whatever the rounding of both scores.
        norm, farthest = self.norms[rows], (distances[:, -1] + 2 * self.equal) * self.scale
        error = self.rounding * (norm + 1) + 2 * TIED * farthest.square()
        squares = (0 if self.same else norm.square()) - farthest.square()
        return distances, candidates.gather(1, places), ~(squares / 2 >= beyond + error)  # also where these overflow

    def _first_of_equals(self, rows: Tensor, indices: Tensor, alone: bool) -> tuple[Tensor, Tensor]:
        """For rows whose neighbours, `indices` (n, k), all are where they are themselves: the first of those."""
        k, distances, found = indices.shape[1], [], []
        kinds, kind = torch.unique(self.bank, dim=0, return_inverse=True)  # of rows: (U, D), (M,)
        for some, nearest in zip(rows.split(256), indices.split(256), strict=True):
            if self.equal:  # unlike rows may be as near
                asked, which = torch.unique(self.queries[some].double(), dim=0, return_inverse=True)
                apart = torch.cdist(asked, kinds.double(), compute_mode="donot_use_mm_for_euclid_dist")
                here = (apart <= self.equal)[which][:, kind]  # (some, M)
            else:
                here = kind == kind[nearest[:, :1]]
            if alone:
                here.scatter_(1, some[:, None], False)
            here.scatter_(1, nearest, True)
            first = (here & (here.cumsum(dim=1) <= k)).nonzero()[:, 1].view(-1, k)
            distances.append(between((self.queries, self.bank), some, first))
            found.append(first)
        return torch.cat(distances), torch.cat(found)

    def _more_finely(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        """By float64 products, and where these are not enough either, by the differences to all."""
        if self.dtype == torch.float32:
            if self.finer is None:
                self.finer = copy.copy(self)
                self.finer._multiply_in(torch.float64)
            return self.finer.nearest(rows, k, alone)
        bank, found = self.bank.double(), []
        for some in rows.split(min(self.chunk, 256)):
            distances = torch.cdist(self.queries[some].double(), bank, compute_mode="donot_use_mm_for_euclid_dist")
            if alone:
                distances.scatter_(1, some[:, None], float("inf"))
            found.append(nearest_of(distances, k, self.equal))
        distances, indices = (torch.cat(part) for part in zip(*found, strict=True))
        return distances, indices

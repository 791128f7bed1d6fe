"""Nearest neighbours, exact and in chunks, and the classifier that votes among them.

References: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", for the
weighted vote; Caron et al. 2021, "Emerging properties in self-supervised vision transformers", for k = 20 and
temperature 0.07.
"""

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.evaluate import inputs, ties
from sslcourse.evaluate.largest import largest, largest_among

SPARE = 2  # Euclidean candidates beyond k that are measured again
VANISHES = 1e-140  # squares of float64 differences below this lose digits
NEAR = 1e-3  # below 1: cosines that float32, which has seven digits, cannot order


def knn_accuracy(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Share of test samples whose k nearest training samples vote for their class.

    A neighbour of cosine similarity s votes with weight exp(s / temperature); of equal votes the smaller class wins.
    Where float64 cannot tell who is nearer, whole numbers do; of equally near neighbours the first are taken.
    train_x (N, D), train_y (N,), test_x (M, D), test_y (M,). Raises ValueError for k > N, for features or labels that
    do not fit together, for a row of zeros, and where all of train_x points one way, so that nobody is nearest, or
    too many rows are equally near.
    """
    train_x, train_y, test_x, test_y = inputs.labelled_sets(train_x, train_y, test_x, test_y)
    temperature = arguments.real("The temperature", temperature)
    if not 0 < temperature < float("inf"):
        raise ValueError(f"The temperature should be greater than 0, but it is {temperature}.")
    if temperature < 0.01:  # a cold vote hears differences that float32 cosines do not have
        train_x, test_x = train_x.double(), test_x.double()
    k = arguments.whole("k", k)
    one_more = min(k + 1, len(train_x)) if k > 0 else k  # to see whether the next one is told apart
    names = ("test_x", "train_x")
    _, indices, gaps = _search(test_x, train_x, max(k, one_more), "cosine", names=names)  # (M, k + 1), gaps rising
    exact = gaps[:, -1] < NEAR if test_x.dtype == train_x.dtype == torch.float32 else gaps[:, -1] < float("inf")
    indices, gaps = ties.in_order(test_x, train_x, indices, gaps, k, exact)  # (M, k)
    if k < len(train_x) and inputs.one_direction(train_x):
        raise ValueError(
            f"All {len(train_x)} rows of train_x point one way, so that none of them is nearer than another: has the "
            "network collapsed?"
        )

    # Relative to the nearest one, so that exp does not overflow at a small temperature. What a weight lacks of 1 is
    # summed apart from the ones: of neighbours that are nearly equally near, it has the digits that decide. The classes
    # that occur are numbered anew: their ids may be large.
    lacks = torch.expm1((gaps[:, :1] - gaps) / temperature)  # (M, k), from -1 to 0
    classes, numbers = train_y.to(indices.device).unique(return_inverse=True)
    count, less = (
        lacks.new_zeros(len(lacks), len(classes)).scatter_add_(1, numbers[indices], part)  # (M, K)
        for part in (torch.ones_like(lacks), lacks)
    )
    count -= count.gather(1, (count + less).argmax(dim=1, keepdim=True))
    return (classes[(count + less).argmax(dim=1)] == test_y.to(classes.device)).double().mean().item()


def nearest_neighbours(
    queries: Tensor,
    bank: Tensor | None = None,
    k: int = 10,
    metric: str = "cosine",
    exclude_self: bool | None = None,
    chunk: int = 1024,
) -> tuple[Tensor, Tensor]:
    """The k nearest rows of `bank` (M, D) to each query, by comparison with all: (scores (N, k), indices (N, k)).

    queries (N, D); bank None: the queries among themselves. metric: "cosine": scores are similarities, falling, of
    float32 rows from float32 products where these can tell candidates apart; "euclidean": distances, rising, of the
    rows as given, summed in float64. exclude_self: row i of the bank is no neighbour of query i; by default just when
    bank is None. Ones that are equally near to the digits of float64 come in any order. chunk queries are compared with
    4,096 rows at a time: memory does not grow with N * M. Scores have the dtype of the queries, float32 for whole
    numbers if these fit.
    Raises ValueError for more neighbours than there are candidates, an unknown metric, unfit input, cosines of a row of
    zeros and distances that the dtype cannot hold.
    """
    queries = inputs.features(queries, "queries")
    alone = bank is None if exclude_self is None else arguments.flag("exclude_self", exclude_self)
    bank = queries if bank is None else inputs.features(bank, "bank")
    scores, indices, _ = _search(queries, bank, k, metric, alone, chunk)
    narrow = scores.to(queries.dtype)
    if not narrow.isfinite().all():
        raise ValueError(
            f"Some distances are beyond the range of {queries.dtype}, {torch.finfo(queries.dtype).max:.1g}; divide the "
            "features by a number."
        )
    return narrow, indices


def _search(
    queries: Tensor,
    bank: Tensor,
    k: int,
    metric: str,
    alone: bool = False,
    chunk: int = 1024,
    names: tuple[str, str] = ("queries", "bank"),
) -> tuple[Tensor, Tensor, Tensor]:
    """nearest_neighbours of features that were let in; scores float64, or float32 where that was enough.

    And, float64, how far the scores are from the best there is: logarithms of distances, cosines below 1, where those
    of near-duplicates have digits that the cosine lacks.
    """
    inputs.same_width(queries, bank, *names)
    if alone:
        inputs.same_length(queries, bank, *names)
    arguments.choice("metric", metric, ("cosine", "euclidean"))
    k, chunk = arguments.whole("k", k), arguments.whole("chunk", chunk)
    if not 1 <= k <= len(bank) - alone:
        raise ValueError(f"k is {k}, but a query has {len(bank) - alone} candidates; k should lie between 1 and that.")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; it should be at least 1.")
    bank = bank.to(queries.device)
    rows = torch.arange(len(queries), device=queries.device)
    if metric == "euclidean":
        distances, units, indices = _Euclidean(queries, bank, chunk=chunk).at_any_scale(rows, k, alone)
        return distances * units, indices, distances.log() + units.log()
    search = _Cosine(queries, bank, names, chunk)
    scores, indices = search.nearest(rows, k, alone)
    return scores, indices, search.gaps


def log_two_nearest(x: Tensor, chunk: int = 1024) -> Tensor:
    """Logarithms of the distances of every row of x (N, D) to its two nearest others: float64 (N, 2), rising.

    Of those of nearest_neighbours(x, k=2, metric="euclidean"), which have the range of x; -inf for a duplicate. Raises
    ValueError for fewer than three rows and for NaN.
    """
    return _search(x := inputs.features(x, "x", at_least=3), x, 2, "euclidean", alone=True, chunk=chunk)[2]


def _best(
    left: Callable[[Tensor], Tensor],
    right: Callable[[Tensor], Tensor],
    sides: tuple[Tensor, Tensor],
    rows: Tensor,
    k: int,
    alone: bool,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """The k largest products (n, k) of rows of the queries with the bank and where they are; sides: (queries, bank).

    left, right: what is multiplied, made of rows of the queries and of the bank, some at a time.
    """
    queries, bank = sides
    if bank is queries and len(rows) == len(bank):
        best = largest_among(lambda s: left(bank[s]), lambda s: right(bank[s]), len(bank), k, chunk, alone)
    else:
        own = rows if alone else None
        some = (lambda s: queries[s]) if len(rows) == len(queries) else (lambda s: queries[rows[s]])
        best = largest(lambda s: left(some(s)), lambda s: right(bank[s]), len(rows), len(bank), k, chunk, own)
    return best.scores, best.where


class _Cosine:
    """Float32 products; where they cannot order the neighbours, since all of these point nearly the same way, and for
    float64 rows the distances between the directions, for 1 - d^2 / 2 loses nothing."""

    def __init__(self, queries: Tensor, bank: Tensor, names: tuple[str, str], chunk: int) -> None:
        self.queries, self.bank, self.names, self.chunk, self.exact = queries, bank, names, chunk, None
        for x, name in {id(x): (x, name) for x, name in zip((queries, bank), names, strict=True)}.values():
            inputs.must_point(x, name)  # of all rows, before some at a time are taken

    def nearest(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        if not self.queries.dtype == self.bank.dtype == torch.float32:
            self.gaps, indices = self._exactly(rows, k, alone)
            return 1 - self.gaps, indices
        left, right = (functools.partial(inputs.unit, name=name) for name in self.names)
        scores, indices = _best(left, right, (self.queries, self.bank), rows, k, alone, self.chunk)
        near, self.gaps = scores[:, -1] > 1 - NEAR, 1 - scores.double()
        if near.any():
            self.gaps[near], indices[near] = self._exactly(rows[near], k, alone)
            scores[near] = (1 - self.gaps[near]).float()
        return scores, indices

    def _exactly(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        """1 - cosine, as half the square of the distance between the directions, which no rounding of 1 ends."""
        if self.exact is None:
            queries = inputs.unit(self.queries.double(), self.names[0])
            same = self.bank is self.queries
            bank = queries if same else inputs.unit(self.bank.double(), self.names[1])
            self.exact = _Euclidean(queries, bank, equal=1e-15, chunk=self.chunk)
        distances, indices = self.exact.nearest(rows, k, alone)
        return distances.square() / 2, indices


class _Euclidean:
    """Float32 products choose k + SPARE candidates, their differences to the query rank them.

    The nearest of a query q has the largest q.b - |b|^2 / 2, one product of (q, 1) with (b, -|b|^2 / 2). Without the
    mean taken off, both terms would be large and nearly equal and float32 would lose the neighbours. Where its rounding
    could still have lost one, the row is searched again more finely: so the result does not depend on luck. equal: a
    distance up to which nobody is nearer. Distances are in units of `size`.
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
        self.scale = (1 / lengths.max().clamp_min(1e-300)).item()
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
            moved.copy_((x.double() - self.centre).mul_(self.scale))
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
        scores, candidates = _best(left, right, (self.queries, self.bank), rows, most, alone, self.chunk)
        distances, indices, unsure = self._measure(rows, scores, candidates, k)
        if unsure.any():
            distances[unsure], indices[unsure] = self._more_finely(rows[unsure], k, alone)
        return distances, indices

    def _measure(self, rows: Tensor, scores: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Distances (n, k) and indices (n, k) of the k nearest of some candidates (n, k + SPARE), whose scores fall.

        And whether rounding could have kept a nearer one from being a candidate: bool (n,).
        """
        candidates = candidates.sort(dim=1).values  # by number first, for the order of equally far ones
        distances = self._distances(rows, candidates)  # (n, k + SPARE)
        distances, order = distances.sort(dim=1, stable=True)
        distances, indices = distances[:, :k], candidates.gather(1, order[:, :k])
        if scores.shape[1] < k + SPARE:  # these were all that there are
            return distances, indices, torch.zeros_like(rows, dtype=torch.bool)

        # Nobody else can score more than the last candidate does, but for the rounding of both.
        norm, farthest = self.norms[rows], distances[:, -1] * self.scale
        error = self.rounding * (norm + 1) + 1e-15 * farthest.square()
        squares = (0 if self.same else norm.square()) - farthest.square()
        unsure = squares / 2 < scores[:, -1] + error
        return distances, indices, unsure & (distances[:, -1] > self.equal)

    def _distances(self, rows: Tensor, candidates: Tensor) -> Tensor:
        """Of queries to their candidates (n, c), from differences in float64: (n, c).

        A few at a time, always in the same memory, which stays in the processor's cache: several times as fast.
        """
        count, width = candidates.shape[1], self.bank.shape[1]
        step = max(1, min(len(rows), 2**17 // (count * width)))
        found = self.bank.new_empty(step * count, width)
        difference = torch.empty(step, count, width, dtype=torch.float64, device=found.device)
        distances = torch.empty(candidates.shape, dtype=torch.float64, device=found.device)
        for some, few, out in zip(*(x.split(step) for x in (rows, candidates, distances)), strict=True):
            near = torch.index_select(self.bank, 0, few.flatten(), out=found[: few.numel()]).view(*few.shape, width)
            apart = difference[: len(few)].copy_(near).sub_(self.queries[some].double()[:, None])  # (some, c, D)
            torch.linalg.vector_norm(apart, dim=2, out=out)
        return distances

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
            distances, indices = distances.sort(dim=1, stable=True)
            found.append((distances[:, :k].clone(), indices[:, :k].clone()))
        distances, indices = (torch.cat(part) for part in zip(*found, strict=True))
        return distances, indices

"""Nearest neighbours, exact and in chunks, and the classifier that votes among them.

References: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", for the
weighted vote; Caron et al. 2021, "Emerging properties in self-supervised vision transformers", for k = 20 and
temperature 0.07.
"""

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.evaluate import inputs

SPARE = 2  # Euclidean candidates beyond k that are measured again
NEAR = 1e-3  # below 1: cosines that float32, which has seven digits, cannot order


def knn_accuracy(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Share of test samples whose k nearest training samples vote for their class.

    A neighbour of cosine similarity s votes with weight exp(s / temperature); of equal votes the smaller class wins.
    train_x (N, D), train_y (N,), test_x (M, D), test_y (M,). Raises ValueError for k > N, for features or labels that
    do not fit together, for a row of zeros, and where all of train_x points one way, so that nobody is nearest.
    """
    train_x, train_y, test_x, test_y = inputs.labelled_sets(train_x, train_y, test_x, test_y)
    temperature = arguments.real("The temperature", temperature)
    if not 0 < temperature < float("inf"):
        raise ValueError(f"The temperature should be greater than 0, but it is {temperature}.")
    if temperature < 0.01:  # a cold vote hears differences that float32 cosines do not have
        train_x, test_x = train_x.double(), test_x.double()
    scores, indices = _search(test_x, train_x, k, "cosine", names=("test_x", "train_x"))  # (M, k), falling
    if k < len(train_x) and inputs.one_direction(train_x):
        raise ValueError(
            f"All {len(train_x)} rows of train_x point one way, so that none of them is nearer than another: has the "
            "network collapsed?"
        )

    # Relative to the nearest one, so that exp does not overflow at a small temperature. The classes that occur are
    # numbered anew: their ids may be large.
    weights = ((scores - scores[:, :1]).double() / temperature).exp()  # (M, k)
    classes, numbers = train_y.to(indices.device).unique(return_inverse=True)
    votes = weights.new_zeros(len(scores), len(classes)).scatter_add_(1, numbers[indices], weights)  # (M, K)
    return (classes[votes.argmax(dim=1)] == test_y.to(classes.device)).double().mean().item()


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
    bank is None. Equally near ones come in any order. Memory grows with chunk * M, not with N * M; scores have the
    dtype of the queries, float32 for whole numbers if these fit.
    Raises ValueError for more neighbours than there are candidates, an unknown metric, unfit input, cosines of a row of
    zeros and distances that the dtype cannot hold.
    """
    queries = inputs.features(queries, "queries")
    alone = bank is None if exclude_self is None else arguments.flag("exclude_self", exclude_self)
    bank = queries if bank is None else inputs.features(bank, "bank")
    scores, indices = _search(queries, bank, k, metric, alone, chunk)
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
) -> tuple[Tensor, Tensor]:
    """nearest_neighbours of features that were let in; scores float64, or float32 where that was enough."""
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
    search = _Euclidean(queries, bank) if metric == "euclidean" else _Cosine(queries, bank, names)
    found = [search.nearest(rows, k, alone) for rows in torch.arange(len(queries), device=queries.device).split(chunk)]
    scores, indices = (torch.cat(part) for part in zip(*found, strict=True))
    return scores * search.size if metric == "euclidean" else scores, indices


def two_nearest(x: Tensor, chunk: int = 1024) -> Tensor:
    """Euclidean distances (N, 2), float64, of every row of x (N, D) to its two nearest others, the nearer one first.

    As nearest_neighbours(x, k=2, metric="euclidean") does, but of the products of i with j and of j with i only one is
    computed: half the work where nobody asks who the neighbours are. Memory grows with chunk * N. Raises ValueError for
    fewer than three rows and for NaN.
    """
    x = inputs.features(x, "x", at_least=3)
    search = _Euclidean(x, x)
    n, k = len(x), min(2 + SPARE, len(x) - 1)
    best, where = search.bank.new_full((n, k), float("-inf")), torch.zeros(n, k, dtype=torch.int64, device=x.device)

    def keep(rows: slice, scores: Tensor, first: int) -> None:
        """The k best of what was found before and of new scores (rows, M) of candidates first, first + 1, ..."""
        scores, found = scores.topk(min(k, scores.shape[1]), dim=1)
        best[rows], order = torch.cat([best[rows], scores], dim=1).topk(k, dim=1)
        where[rows] = torch.cat([where[rows], found + first], dim=1).gather(1, order)

    for start in range(0, n, chunk):
        end = min(start + chunk, n)
        products = search.bank[start:end] @ search.bank[start:].T  # (m, n - start): with itself and all that follow
        products.fill_diagonal_(float("-inf"))
        if end < n:
            keep(slice(end, n), products[:, end - start :].T - search.half[start:end], start)
        keep(slice(start, end), products.sub_(search.half[start:]), start)

    rows = torch.arange(n, device=x.device)
    distances, _, unsure = search.measure(rows, best, where, 2)
    distances = distances * search.size
    if unsure.any():  # of three nearest one is the row itself
        distances[unsure] = _search(x[unsure], x, 3, "euclidean", chunk=chunk)[0][:, 1:]
    if not distances.isfinite().all():
        raise ValueError("Some distances are beyond the range of float64, 1.8e308; divide the features by a number.")
    return distances


class _Cosine:
    """Float32 products; where they cannot order the neighbours, since all of these point nearly the same way, and for
    float64 rows the distances between the directions, for 1 - d^2 / 2 loses nothing."""

    def __init__(self, queries: Tensor, bank: Tensor, names: tuple[str, str]) -> None:
        self.raw_queries, self.raw_bank, self.names, self.exact = queries, bank, names, None
        self.in_float32 = queries.dtype == bank.dtype == torch.float32
        if not self.in_float32:
            return
        self.queries = inputs.unit(queries, names[0])
        self.bank = self.queries if bank is queries else inputs.unit(bank, names[1])
        self.scores = self.bank.new_empty(0)

    def nearest(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        if not self.in_float32:
            return self._exactly(rows, k, alone)
        # Every chunk's scores go to the same memory: asking the system for new pages costs as much as finding the best.
        self.scores = self.scores.resize_(len(rows), len(self.bank))
        torch.mm(self.queries[rows], self.bank.T, out=self.scores)  # (n, M)
        if alone:
            self.scores.scatter_(1, rows[:, None], float("-inf"))
        scores, indices = self.scores.topk(k, dim=1)
        near = scores[:, -1] > 1 - NEAR
        if near.any():
            finer, indices[near] = self._exactly(rows[near], k, alone)
            scores[near] = finer.float()
        return scores, indices

    def _exactly(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        if self.exact is None:
            queries = inputs.unit(self.raw_queries.double(), self.names[0])
            same = self.raw_bank is self.raw_queries
            bank = queries if same else inputs.unit(self.raw_bank.double(), self.names[1])
            self.exact = _Euclidean(queries, bank, equal=1e-15)
        distances, indices = self.exact.nearest(rows, k, alone)
        return 1 - distances.square() / 2, indices


class _Euclidean:
    """Float32 products choose k + SPARE candidates, their differences to the query rank them.

    The nearest of a query q has the largest q.b - |b|^2 / 2. Without the mean taken off, both terms would be large and
    nearly equal and float32 would lose the neighbours. Where its rounding could still have lost one, the row is
    searched again more finely: so the result does not depend on luck. equal: a distance up to which nobody is nearer.
    Distances are in units of `size`.
    """

    def __init__(self, queries: Tensor, bank: Tensor, dtype: torch.dtype = torch.float32, equal: float = 0.0) -> None:
        self.size, self.equal = 1.0, equal
        same = bank is queries
        queries, bank = self._within_range(queries, bank)
        queries = bank if same else queries
        self.raw_queries, self.raw_bank, self.finer = queries, bank, None
        b = bank.double()
        centre = b.mean(dim=0)
        b = b - centre
        q = b if bank is queries else queries.double() - centre
        # One scale for all, so that squares neither overflow nor vanish in float32.
        lengths, self.norms = b.norm(dim=1), q.norm(dim=1)  # (M,), (N,)
        self.scale = 1 / lengths.max().clamp_min(1e-300)
        self.norms, self.half = self.norms * self.scale, ((lengths * self.scale).square() / 2).to(dtype)
        self.bank = b.mul_(self.scale).to(dtype)
        self.queries = self.bank if q is b else q.mul_(self.scale).to(dtype)
        # Errors that scores of length 1 can have: of a product of D terms, and of taking a far mean off.
        self.rounding = (b.shape[1] + 8) * torch.finfo(dtype).eps / 2 + 1e-15 * centre.norm() * self.scale
        self.scores = self.bank.new_empty(0)

    def _within_range(self, queries: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
        """Differences and their squares in float64 must neither overflow nor vanish; mostly there is nothing to do."""
        if queries.dtype != bank.dtype:
            queries, bank = queries.double(), bank.double()
        largest = torch.stack([torch.linalg.vector_norm(x, float("inf")) for x in (queries, bank)]).max()
        if bank.dtype == torch.float32:
            return (queries, bank) if largest < 1e38 else (queries.double(), bank.double())
        if largest == 0 or 1e-100 < largest < 1e100:
            return queries, bank
        self.size = inputs.power(largest).item()
        return queries / self.size, bank / self.size

    def nearest(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        others = len(self.bank) - alone
        self.scores = self.scores.resize_(len(rows), len(self.bank))
        torch.addmm(self.half, self.queries[rows], self.bank.T, beta=-1, out=self.scores)  # (n, M)
        if alone:
            self.scores.scatter_(1, rows[:, None], float("-inf"))
        scores, candidates = self.scores.topk(min(k + SPARE, others), dim=1)  # falling
        distances, indices, unsure = self.measure(rows, scores, candidates, k)
        if unsure.any():
            distances[unsure], indices[unsure] = self._more_finely(rows[unsure], k, alone)
        return distances, indices

    def measure(self, rows: Tensor, scores: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Distances (n, k) and indices (n, k) of the k nearest of some candidates (n, k + SPARE), whose scores fall.

        And whether rounding could have kept a nearer one from being a candidate: bool (n,).
        """
        # By number first, for the order of equally far ones. A few rows at a time stay in the processor's cache: eight
        # times as fast as all at once.
        candidates = candidates.sort(dim=1).values
        parts = zip(rows.split(16), candidates.split(16), strict=True)
        distances = torch.cat([self._distances(some, few) for some, few in parts])  # (n, k + SPARE)
        distances, order = distances.sort(dim=1, stable=True)
        distances, indices = distances[:, :k], candidates.gather(1, order[:, :k])
        if scores.shape[1] < k + SPARE:  # these were all that there are
            return distances, indices, torch.zeros_like(rows, dtype=torch.bool)

        # Nobody else can score more than the last candidate does, but for the rounding of both.
        norm, farthest = self.norms[rows], distances[:, -1] * self.scale
        error = self.rounding * (norm + 1) + 1e-15 * farthest.square()
        unsure = (norm.square() - farthest.square()) / 2 < scores[:, -1] + error
        return distances, indices, unsure & (distances[:, -1] > self.equal)

    def _distances(self, rows: Tensor, candidates: Tensor) -> Tensor:
        difference = self.raw_bank[candidates].double().sub_(self.raw_queries[rows][:, None])  # (n, k + SPARE, D)
        return difference.mul_(difference).sum(dim=2).sqrt_()  # (n, k + SPARE)

    def _more_finely(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        """By float64 products, and where these are not enough either, by the differences to all."""
        if self.bank.dtype == torch.float32:
            self.finer = self.finer or _Euclidean(self.raw_queries, self.raw_bank, torch.float64, self.equal)
            return self.finer.nearest(rows, k, alone)
        exactly = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(self.raw_queries[rows].double(), self.raw_bank.double(), compute_mode=exactly)  # (n, M)
        if alone:
            distances.scatter_(1, rows[:, None], float("inf"))
        distances, indices = distances.sort(dim=1, stable=True)
        return distances[:, :k], indices[:, :k]

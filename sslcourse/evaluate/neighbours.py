"""Nearest neighbours, exact and in chunks, and the classifier that votes among them.

References: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", for the
weighted vote; Caron et al. 2021, "Emerging properties in self-supervised vision transformers", for k = 20 and
temperature 0.07.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.evaluate import inputs

SPARE = 2  # Euclidean candidates beyond k that are measured again


def knn_accuracy(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Share of test samples whose k nearest training samples vote for their class.

    A neighbour of cosine similarity s votes with weight exp(s / temperature); of equal votes the smaller class wins.
    train_x (N, D), train_y (N,), test_x (M, D), test_y (M,). Raises ValueError for k > N and for features or labels
    that do not fit together.
    """
    train_x, train_y, test_x, test_y = inputs.labelled_sets(train_x, train_y, test_x, test_y)
    if not temperature > 0:
        raise ValueError(f"The temperature should be greater than 0, but it is {temperature}.")
    scores, indices = nearest_neighbours(test_x, train_x, k)  # (M, k), falling

    # Relative to the nearest one, so that exp does not overflow at a small temperature. The classes that occur are
    # numbered anew: their ids may be large.
    weights = ((scores - scores[:, :1]) / temperature).exp()  # (M, k)
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

    queries (N, D); bank None: the queries among themselves. metric: "cosine": scores are similarities, falling, from
    float32 products; "euclidean": distances, rising, of the rows as given, summed in float64. exclude_self: row i of
    the bank is no neighbour of query i; by default just when bank is None. Equally near ones come in any order. Memory
    grows with chunk * M, not with N * M; scores have the dtype of the queries.
    Raises ValueError for more neighbours than there are candidates, an unknown metric and unfit input.
    """
    queries = inputs.features(queries, "queries")
    alone = bank is None if exclude_self is None else exclude_self
    bank = queries if bank is None else inputs.features(bank, "bank")
    inputs.same_width(queries, bank, "queries", "bank")
    if alone:
        inputs.same_length(queries, bank, "queries", "bank")
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"There is no metric {metric!r}; choose cosine or euclidean.")
    if not 1 <= k <= len(bank) - alone:
        raise ValueError(f"k is {k}, but a query has {len(bank) - alone} candidates; k should lie between 1 and that.")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; it should be at least 1.")

    search = (_Cosine if metric == "cosine" else _Euclidean)(queries, bank)
    found = [search.nearest(rows, k, alone) for rows in torch.arange(len(queries), device=queries.device).split(chunk)]
    scores, indices = (torch.cat(part) for part in zip(*found, strict=True))
    return scores.to(queries.dtype), indices


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
    if unsure.any():  # of three nearest one is the row itself
        again = nearest_neighbours(x[unsure], x, k=3, metric="euclidean", exclude_self=False)[0]
        distances[unsure] = again[:, 1:].double()
    return distances


class _Cosine:
    def __init__(self, queries: Tensor, bank: Tensor) -> None:
        self.queries = F.normalize(queries, dim=1).float()
        self.bank = self.queries if bank is queries else F.normalize(bank, dim=1).float()
        self.scores = self.bank.new_empty(0)

    def nearest(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        # Every chunk's scores go to the same memory: asking the system for new pages costs as much as finding the best.
        self.scores = self.scores.resize_(len(rows), len(self.bank))
        torch.mm(self.queries[rows], self.bank.T, out=self.scores)  # (n, M)
        if alone:
            self.scores.scatter_(1, rows[:, None], float("-inf"))
        return self.scores.topk(k, dim=1)


class _Euclidean:
    """Float32 products choose k + SPARE candidates, their differences to the query rank them.

    The nearest of a query q has the largest q.b - |b|^2 / 2. Without the mean taken off, both terms would be large and
    nearly equal and float32 would lose the neighbours. Where its rounding could still have lost one, the row is
    searched again more finely: so the result does not depend on luck.
    """

    def __init__(self, queries: Tensor, bank: Tensor, dtype: torch.dtype = torch.float32) -> None:
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
        # A few rows at a time stay in the processor's cache: eight times as fast as all at once.
        parts = zip(rows.split(16), candidates.split(16), strict=True)
        distances = torch.cat([self._distances(some, few) for some, few in parts])  # (n, k + SPARE)
        distances, order = distances.sort(dim=1)
        distances, indices = distances[:, :k], candidates.gather(1, order[:, :k])
        if scores.shape[1] < k + SPARE:  # these were all that there are
            return distances, indices, torch.zeros_like(rows, dtype=torch.bool)

        # Nobody else can score more than the last candidate does, but for the rounding of both.
        norm, farthest = self.norms[rows], distances[:, -1] * self.scale
        error = self.rounding * (norm + 1) + torch.finfo(self.raw_bank.dtype).eps * farthest.square()
        return distances, indices, (norm.square() - farthest.square()) / 2 < scores[:, -1] + error

    def _distances(self, rows: Tensor, candidates: Tensor) -> Tensor:
        difference = self.raw_bank[candidates].sub_(self.raw_queries[rows][:, None]).double()  # (n, k + SPARE, D)
        return difference.mul_(difference).sum(dim=2).sqrt_()  # (n, k + SPARE)

    def _more_finely(self, rows: Tensor, k: int, alone: bool) -> tuple[Tensor, Tensor]:
        """By float64 products, and where these are not enough either, by the differences to all."""
        if self.bank.dtype == torch.float32:
            self.finer = self.finer or _Euclidean(self.raw_queries, self.raw_bank, torch.float64)
            return self.finer.nearest(rows, k, alone)
        exactly = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(self.raw_queries[rows].double(), self.raw_bank.double(), compute_mode=exactly)  # (n, M)
        if alone:
            distances.scatter_(1, rows[:, None], float("inf"))
        return distances.topk(k, dim=1, largest=False)

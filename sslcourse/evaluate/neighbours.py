"""Nearest neighbours, exact and in chunks, and the classifier that votes among them.

References: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", for the
weighted vote; Caron et al. 2021, "Emerging properties in self-supervised vision transformers", for k = 20 and
temperature 0.07.
"""

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.evaluate import inputs, ties
from sslcourse.evaluate.cosines import Cosine
from sslcourse.evaluate.distances import Euclidean


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
    k = arguments.whole("k", k)
    one_more = min(k + 1, len(train_x)) if k > 0 else k  # to see whether the next one is told apart
    if k < len(train_x) and inputs.one_direction(inputs.must_point(train_x, "train_x")):
        raise ValueError(
            f"All {len(train_x)} rows of train_x point one way, so that none of them is nearer than another: has the "
            "network collapsed?"
        )
    names = ("test_x", "train_x")
    _, indices, gaps = _search(test_x, train_x, max(k, one_more), "cosine", names=names)  # (M, k + 1), gaps rising
    indices, gaps = ties.in_order(test_x, train_x, indices, gaps, k)  # (M, k)

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

    queries (N, D); bank None: the queries among themselves. metric: "cosine": scores are similarities, falling;
    "euclidean": distances, rising, of the rows as given. Both are summed in float64, whatever the dtype, and order the
    neighbours: float32 products only choose who is looked at, and where their rounding could have lost one, all are.
    exclude_self: row i of the bank is no neighbour of query i; by default just when bank is None. Of rows that are as
    near as the k-th to the digits of float64 (a share of 4e-15, directions 1e-15) the first are taken. chunk queries
    are compared with 4,096 rows at a time: memory does not grow with N * M. Scores have the dtype of the queries,
    float32 for whole numbers if these fit.
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
    """nearest_neighbours of features that were let in; scores float64.

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
        distances, units, indices = Euclidean(queries, bank, chunk=chunk).at_any_scale(rows, k, alone)
        return distances * units, indices, distances.log() + units.log()
    gaps, indices = Cosine(queries, bank, names, chunk).nearest(rows, k, alone)
    return 1 - gaps, indices, gaps


def log_two_nearest(x: Tensor, chunk: int = 1024) -> Tensor:
    """Logarithms of the distances of every row of x (N, D) to its two nearest others: float64 (N, 2), rising.

    Of those of nearest_neighbours(x, k=2, metric="euclidean"), which have the range of x; -inf for a duplicate. Raises
    ValueError for fewer than three rows and for NaN.
    """
    return _search(x := inputs.features(x, "x", at_least=3), x, 2, "euclidean", alone=True, chunk=chunk)[2]

"""Week 11: retrieval between two representations, one pair of samples at a time, as it is defined.

Reference: Moschella et al. 2023, "Relative representations enable zero-shot latent space communication", section 4.1
(cosine, Jaccard, MRR).
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.week11.oracle import _unit, _unit_columns, cosine


def retrieval(a: Tensor, b: Tensor, k: int = 10) -> dict[str, float]:
    n = len(a)
    ranks, cosines, overlaps = [], [], []
    for i in range(n):
        similar = [float(cosine(a[i], b[j])) for j in range(n)]
        ranks.append(1 + sum(s > similar[i] for s in similar))
        cosines.append(similar[i])
        near = [set(_neighbours(x, i, k)) for x in (a, b)]
        overlaps.append(len(near[0] & near[1]) / len(near[0] | near[1]))
    return {
        "mrr": sum(1 / rank for rank in ranks) / n,
        "top1": sum(rank == 1 for rank in ranks) / n,
        "cosine": sum(cosines) / n,
        "jaccard": sum(overlaps) / n,
    }


def _neighbours(x: Tensor, i: int, k: int) -> list[int]:
    """The k samples nearest to sample i by cosine, itself left out."""
    others = [j for j in range(len(x)) if j != i]
    return sorted(others, key=lambda j: -float(cosine(x[i], x[j])))[:k]


def _ranks(similarity: Tensor) -> Tensor:
    return 1 + (similarity > similarity.diag()[:, None]).sum(dim=1).double()


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return _unit(a) @ _unit(b).T


def _mean(x: Tensor) -> float:
    return float(x.double().mean())


def _half(similarity: Tensor) -> Tensor:
    """A single argsort: at (i, i) stands which row has rank i, not which rank row i has."""
    return 1 + similarity.argsort(dim=1, descending=True).diag().double()


def _by_columns(a: Tensor, b: Tensor) -> Tensor:
    return _unit_columns(a) @ _unit_columns(b).T


def _around_means(a: Tensor, b: Tensor) -> Tensor:
    return _cosines(a - a.mean(dim=0), b - b.mean(dim=0))


def _fast(a: Tensor, b: Tensor, k: int = 10) -> dict[str, float]:
    """retrieval on matrices: for more points than pairs one by one can be had in a second."""
    ranks = _ranks(_cosines(a, b))
    values = _mean(1 / ranks), _mean(ranks == 1), _mean(_cosines(a, b).diag()), _overlap(a, b, k)
    return dict(zip(("mrr", "top1", "cosine", "jaccard"), values, strict=True))


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    return -torch.cdist(a, b)


def _cut(ranks: Tensor, k: int) -> Tensor:
    return torch.where(ranks <= k, 1 / ranks, torch.zeros_like(ranks))


MRR_MISTAKES = {
    "the ranks count from 0: the best match has rank 1, and 1 / rank is then 1.": (
        lambda a, b, k: _mean(1 / (_ranks(_cosines(a, b)) - 1)),
        lambda a, b, k: _mean(1 / (_ranks(_cosines(a, b)) - 1).clamp(min=1)),
        lambda a, b, k: _mean(1 / (_ranks(_cosines(a, b)) - 1).clamp(min=1e-12)),
    ),
    "the ranks count from 2: the best match has rank 1, and 1 / rank is then 1.": (
        lambda a, b, k: _mean(1 / (_ranks(_cosines(a, b)) + 1)),
    ),
    "ranks beyond k count as nothing: the reciprocal rank is not cut off, k is for the neighbours alone.": (
        lambda a, b, k: _mean(_cut(_ranks(_cosines(a, b)), k)),
    ),
    "it is one over the mean rank: take the reciprocal of every rank first, then the mean.": (
        lambda a, b, k: 1 / _mean(_ranks(_cosines(a, b))),
    ),
    "it is the mean rank: take the mean of the reciprocals.": (lambda a, b, k: _mean(_ranks(_cosines(a, b))),),
    "b asks and a answers: row i of a is the query, all rows of b are the candidates.": (
        lambda a, b, k: _mean(1 / _ranks(_cosines(b, a))),
    ),
    "the vectors are not normalised: candidates are compared by cosine, so a long row of b has no advantage.": (
        lambda a, b, k: _mean(1 / _ranks(a @ b.T)),
        lambda a, b, k: _mean(1 / _ranks(_unit(a) @ b.T)),
    ),
    "candidates are compared by distance: use the cosine.": (lambda a, b, k: _mean(1 / _ranks(_euclidean(a, b))),),
    "the ranks are reversed: rank 1 is the most similar row, so sort from high to low.": (
        lambda a, b, k: _mean(1 / _ranks(-_cosines(a, b))),
        lambda a, b, k: _mean(1 / _ranks(-_euclidean(a, b))),
    ),
    "the order is read the wrong way: argsort tells which row stands at a place, not at which place a row stands.": (
        lambda a, b, k: _mean(1 / _half(_cosines(a, b))),
        lambda a, b, k: _mean(1 / _half(-_cosines(a, b))),
    ),
    "both directions are averaged: row i of a is the query, all rows of b are the candidates.": (
        lambda a, b, k: (_mean(1 / _ranks(_cosines(a, b))) + _mean(1 / _ranks(_cosines(b, a)))) / 2,
    ),
    "the normalisation runs over the samples: divide every row by its length (dim=1).": (
        lambda a, b, k: _mean(1 / _ranks(_by_columns(a, b))),
    ),
    "the mean of all rows is taken off first: these are cosines of the vectors as they are.": (
        lambda a, b, k: _mean(1 / _ranks(_around_means(a, b))),
    ),
    "the reciprocal ranks are added up: take their mean.": (lambda a, b, k: float((1 / _ranks(_cosines(a, b))).sum()),),
    "it is the median of the reciprocal ranks: take their mean.": (
        lambda a, b, k: float((1 / _ranks(_cosines(a, b))).median()),
        lambda a, b, k: float((1 / _ranks(_cosines(a, b))).quantile(0.5)),
        lambda a, b, k: 1 / float(_ranks(_cosines(a, b)).median()),
    ),
    "it is top1, the share of rank 1: the reciprocal rank of a worse match is not 0.": (
        lambda a, b, k: _mean(_ranks(_cosines(a, b)) == 1),
    ),
}
TOP1_MISTAKES = {
    "the true row may be anywhere among the first k: top1 asks for rank 1.": (
        lambda a, b, k: _mean(_ranks(_cosines(a, b)) <= k),
    ),
    "b asks and a answers: row i of a is the query, all rows of b are the candidates.": (
        lambda a, b, k: _mean(_ranks(_cosines(b, a)) == 1),
    ),
    "the vectors are not normalised: candidates are compared by cosine.": (
        lambda a, b, k: _mean(_ranks(a @ b.T) == 1),
        lambda a, b, k: _mean(_ranks(_unit(a) @ b.T) == 1),
    ),
    "it is a number of rows: divide by N.": (lambda a, b, k: float((_ranks(_cosines(a, b)) == 1).sum()),),
    "it is a percentage: a share lies in [0, 1].": (lambda a, b, k: 100 * _mean(_ranks(_cosines(a, b)) == 1),),
    "it is the share of queries that fail: take those of rank 1.": (lambda a, b, k: _mean(_ranks(_cosines(a, b)) > 1),),
    "candidates are compared by distance: use the cosine.": (lambda a, b, k: _mean(_ranks(_euclidean(a, b)) == 1),),
    "the normalisation runs over the samples: divide every row by its length (dim=1).": (
        lambda a, b, k: _mean(_ranks(_by_columns(a, b)) == 1),
    ),
    "the mean of all rows is taken off first: these are cosines of the vectors as they are.": (
        lambda a, b, k: _mean(_ranks(_around_means(a, b)) == 1),
    ),
    "both directions are asked: row i of a is the query, all rows of b are the candidates.": (
        lambda a, b, k: (_mean(_ranks(_cosines(a, b)) == 1) + _mean(_ranks(_cosines(b, a)) == 1)) / 2,
        lambda a, b, k: _mean((_ranks(_cosines(a, b)) == 1) & (_ranks(_cosines(b, a)) == 1)),
    ),
    "the ranks count from 0 and those of 1 are taken: the best match is the first.": (
        lambda a, b, k: _mean(_ranks(_cosines(a, b)) == 2),
    ),
    "ranks 1 and 2 both count: top1 asks for rank 1.": (lambda a, b, k: _mean(_ranks(_cosines(a, b)) <= 2),),
    "the least similar row is taken: rank 1 is the most similar one.": (
        lambda a, b, k: _mean(_ranks(-_cosines(a, b)) == 1),
    ),
}
COSINE_MISTAKES = {
    "it is the mean over all pairs: only the true pairs count, row i of a with row i of b.": (
        lambda a, b, k: _mean(_cosines(a, b)),
    ),
    "it is the mean of the best matches: the pairs are row i of a with row i of b, found or not.": (
        lambda a, b, k: _mean(_cosines(a, b).amax(dim=1)),
    ),
    "it is the inner product: divide by both lengths.": (
        lambda a, b, k: _mean((a * b).sum(dim=1)),
        lambda a, b, k: _mean((_unit(a) * b).sum(dim=1)),
        lambda a, b, k: _mean((a * _unit(b)).sum(dim=1)),
    ),
    "the true pairs are added up: take their mean.": (lambda a, b, k: float(_cosines(a, b).diag().sum()),),
    "negative cosines are cut off at 0: a cosine runs from -1 to 1.": (
        lambda a, b, k: _mean(_cosines(a, b).diag().clamp(min=0)),
    ),
    "the sign is lost: a cosine runs from -1 to 1.": (
        lambda a, b, k: _mean(_cosines(a, b).diag().abs()),
        lambda a, b, k: _mean(_cosines(a, b).diag().square()),
    ),
    "it is a distance, one minus the cosine.": (lambda a, b, k: 1 - _mean(_cosines(a, b).diag()),),
    "features are compared, not samples: the cosine of row i with row i runs over dim=1.": (
        lambda a, b, k: _mean(_cosines(a.T, b.T).diag()),
    ),
    "the normalisation runs over the samples: divide every row by its length (dim=1).": (
        lambda a, b, k: _mean(_by_columns(a, b).diag()),
    ),
    "it is one cosine of everything at once: take that of every pair of rows, then the mean.": (
        lambda a, b, k: float(cosine(a.flatten(), b.flatten())),
    ),
    "the mean of all rows is taken off first: these are cosines of the vectors as they are.": (
        lambda a, b, k: _mean(_around_means(a, b).diag()),
    ),
    "each vector's own mean is taken off first, which makes Pearson's correlation: take the vectors as they are.": (
        lambda a, b, k: _mean(_cosines(a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)).diag()),
    ),
    "only pairs that were found are averaged: the cosine is that of all true pairs.": (
        lambda a, b, k: float(_cosines(a, b).diag()[_ranks(_cosines(a, b)) == 1].mean()),
    ),
    "it is the median: take the mean.": (lambda a, b, k: float(_cosines(a, b).diag().median()),),
}


def _overlap(
    a: Tensor, b: Tensor, k: int, *, of=_cosines, alone: bool = True, across: bool = False, share=None
) -> float:
    """Mean overlap of neighbourhoods; alone: itself left out; across: both sets are places in the other space."""
    pairs = ((a, b), (b, a)) if across else ((a, a), (b, b))
    similar = [of(*pair) for pair in pairs]
    if alone:
        similar = [s.clone().fill_diagonal_(-torch.inf) for s in similar]
    near = [s.topk(k, dim=1).indices for s in similar]
    common = (near[0][:, :, None] == near[1][:, None, :]).flatten(1).sum(dim=1).double()
    return _mean((share or (lambda c, k: c / (2 * k - c)))(common, k))


def _over_all(a: Tensor, b: Tensor, k: int) -> float:
    """Intersections and unions added up first, divided then."""
    near = [_cosines(x, x).fill_diagonal_(-torch.inf).topk(k, dim=1).indices for x in (a, b)]
    common = float((near[0][:, :, None] == near[1][:, None, :]).sum())
    return common / (2 * k * len(a) - common)


def _by_place(a: Tensor, b: Tensor, k: int) -> float:
    near = [_cosines(x, x).fill_diagonal_(-torch.inf).topk(k, dim=1).indices for x in (a, b)]
    return _mean(near[0] == near[1])


def _less_itself(c: Tensor, k: int) -> Tensor:
    return (c - 1) / (2 * (k - 1) - (c - 1)) if k > 1 else 0 * c


JACCARD_MISTAKES = {
    "a point is counted as its own neighbour: it is the nearest to itself in both spaces, whatever they are like.": (
        partial(_overlap, alone=False),
        lambda a, b, k: _overlap(a, b, min(k + 1, len(a)), alone=False),
    ),
    "one neighbour is missing: with the point itself left out there are still k of them.": (
        lambda a, b, k: _overlap(a, b, max(k - 1, 1)),
        lambda a, b, k: _overlap(a, b, k, alone=False, share=_less_itself),
    ),
    "the intersection is divided by k: divide by the size of the union, 2k minus the intersection.": (
        partial(_overlap, share=lambda c, k: c / k),
    ),
    "the intersection is divided by 2k: divide by the size of the union, 2k minus the intersection.": (
        partial(_overlap, share=lambda c, k: c / (2 * k)),
    ),
    "neighbours are looked for in the other space: compare those of i within a with those of i within b.": (
        partial(_overlap, across=True),
        partial(_overlap, across=True, alone=False),
    ),
    "neighbours are the nearest by distance: use the cosine.": (partial(_overlap, of=_euclidean),),
    "the vectors are not normalised: neighbours are the nearest by cosine.": (
        partial(_overlap, of=lambda a, b: a @ b.T),
    ),
    "intersections and unions are added up before dividing: take the quotient for every point, then the mean.": (
        _over_all,
    ),
    "these are the farthest: the neighbours have the largest cosines.": (
        partial(_overlap, of=lambda a, b: -_cosines(a, b)),
    ),
    "k is not used: the neighbourhoods have k points, 10 is only its default.": (
        lambda a, b, k: _overlap(a, b, min(10, len(a) - 1)),
        lambda a, b, k: _overlap(a, b, 1),
    ),
    "there is one neighbour too many: k of them, the point itself left out.": (
        lambda a, b, k: _overlap(a, b, min(k + 1, len(a) - 1)),
    ),
    "it is a distance, one minus the overlap.": (lambda a, b, k: 1 - _overlap(a, b, k),),
    "neighbours are compared place by place: they are sets, whose order does not count.": (_by_place,),
    "the numbers in common are not divided: intersection over union.": (partial(_overlap, share=lambda c, k: c),),
    "the intersection is divided by N: divide by the size of the union.": (
        lambda a, b, k: _overlap(a, b, k, share=lambda c, k: c / len(a)),
    ),
    "the normalisation runs over the samples: divide every row by its length (dim=1).": (
        partial(_overlap, of=_by_columns),
    ),
    "the mean of all rows is taken off first: these are cosines of the vectors as they are.": (
        partial(_overlap, of=_around_means),
    ),
}

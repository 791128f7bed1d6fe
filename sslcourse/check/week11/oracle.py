"""Week 11: relative representations and retrieval, one pair of samples at a time, as they are defined.

References: Moschella et al. 2023, "Relative representations enable zero-shot latent space communication", eq. 1 and
section 4.1 (cosine, Jaccard, MRR). The measures of alignment are in week11_alignment.py.
"""

from functools import partial

import torch
from torch import Tensor

# --- relative


def cosine(u: Tensor, v: Tensor) -> Tensor:
    return u.dot(v) / (u.dot(u).sqrt() * v.dot(v).sqrt())


def relative(x: Tensor, anchors: Tensor, center: bool = False) -> Tensor:
    """Similarities of every sample to every anchor, (N, A); with center, both are seen from the anchors' mean."""
    mean = sum(anchors) / len(anchors) if center else torch.zeros_like(anchors[0])
    return torch.stack([torch.stack([cosine(point - mean, anchor - mean) for anchor in anchors]) for point in x])


def _as_is(x: Tensor) -> Tensor:
    return x


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def _unit_columns(x: Tensor) -> Tensor:
    return x / x.norm(dim=0)


def _unit_at_once(x: Tensor) -> Tensor:
    return x / x.norm()


def _relative(
    x: Tensor, anchors: Tensor, center: bool = False, *, lengths=(_unit, _unit), means: str = "anchors", then=_as_is
) -> Tensor:
    """relative with something wrong; right with the defaults.

    lengths: of samples and anchors; means: what is subtracted from (samples, anchors) where center asks for it; then:
    what becomes of the similarities.
    """
    nothing = torch.zeros_like(anchors[0])
    own, other = anchors.mean(dim=0), x.mean(dim=0)
    both = torch.cat([x, anchors]).mean(dim=0)
    from_x, from_anchors = {
        "anchors": (own, own),
        "none": (nothing, nothing),
        "samples only": (own, nothing),
        "anchors only": (nothing, own),
        "each its own": (other, own),
        "samples": (other, other),
        "both": (both, both),
        "swapped": (own, other),
        "samples, of themselves": (other, nothing),
    }["anchors" if means in ("late", "always", "rows", "entries") else means]
    if means == "late":  # first to length 1, then centred, and never to length 1 again
        x, anchors = (f(part) for f, part in zip(lengths, (x, anchors), strict=True))
        mean = anchors.mean(dim=0) if center else nothing
        return then((x - mean) @ (anchors - mean).T)
    if means == "rows" and center:
        x, anchors = (part - part.mean(dim=1, keepdim=True) for part in (x, anchors))
    elif means == "entries" and center:
        x, anchors = x - anchors.mean(), anchors - anchors.mean()
    elif center or means == "always":
        x, anchors = x - from_x, anchors - from_anchors
    x, anchors = (f(part) for f, part in zip(lengths, (x, anchors), strict=True))
    return then(x @ anchors.T)


def _wrong(**what) -> partial:
    return partial(_relative, **what)


RELATIVE_MISTAKES = {
    "nothing is normalised: a cosine divides by both lengths, that of the sample and that of the anchor.": (
        _wrong(lengths=(_as_is, _as_is)),
    ),
    "only one side is normalised: a cosine divides by both lengths, that of the sample and that of the anchor.": (
        _wrong(lengths=(_unit, _as_is)),
        _wrong(lengths=(_as_is, _unit)),
    ),
    "the normalisation runs over the samples: divide every row by its length (dim=1), not every column.": (
        _wrong(lengths=(_unit_columns, _unit_columns)),
    ),
    "everything is divided by one number: every row has a length of its own.": (
        _wrong(lengths=(_unit_at_once, _unit_at_once)),
    ),
    "these are distances, one minus the cosine: a relative representation holds the cosines.": (
        _wrong(then=lambda s: 1 - s),
    ),
    "only the samples are centred: the anchors' mean is taken off the anchors themselves, too.": (
        _wrong(means="samples only"),
        _wrong(means="samples, of themselves"),
    ),
    "only the anchors are centred: their mean is taken off the samples, too.": (_wrong(means="anchors only"),),
    "samples and anchors are centred by a mean of their own: one point is the origin for both, the anchors' mean.": (
        _wrong(means="each its own"),
        _wrong(means="swapped"),
    ),
    "the mean of the samples is taken off: then a representation depends on the batch it comes in; use the anchors'.": (
        _wrong(means="samples"),
        _wrong(means="both"),
    ),
    "the argument center is not used: with center=True the anchors' mean is taken off both first.": (
        _wrong(means="none"),
    ),
    "it always centres: without center=True the vectors are taken as they are.": (_wrong(means="always"),),
    "it centres after normalising: take the mean off first, then divide by the lengths that are left.": (
        _wrong(means="late"),
    ),
    "the mean runs over the features: the anchors' mean is a vector, their average over dim=0.": (
        _wrong(means="rows"),
        _wrong(means="entries"),
    ),
}


# --- retrieval


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
}

"""How mutual k-nearest-neighbour alignment is examined (week 11). The definition and named mistakes.

Reference: Huh et al. 2024, "The platonic representation hypothesis", appendix A: the share of each sample's k nearest
neighbours, by cosine, that it has in both representations.
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake, agree, close, gives, number
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week11.oracle import cosine
from sslcourse.check.week11.retrieval_oracle import (
    _around_means,
    _by_columns,
    _by_place,
    _cosines,
    _euclidean,
    _overlap,
)


def mutual_knn(x: Tensor, y: Tensor, k: int = 10) -> float:
    """One sample at a time."""
    shares = []
    for i in range(len(x)):
        near = []
        for z in (x, y):
            similar = [float(cosine(z[i], z[j])) for j in range(len(z))]
            near.append(set(sorted((j for j in range(len(z)) if j != i), key=lambda j: -similar[j])[:k]))
        shares.append(len(near[0] & near[1]) / k)
    return sum(shares) / len(shares)


_share = partial(_overlap, share=lambda common, k: common / k)


def mutual_knn_at_once(x: Tensor, y: Tensor, k: int = 10) -> float:
    """The definition on matrices, for more samples than pairs one by one can be had in a second."""
    return _share(x, y, k)


def _definition(x: Tensor, y: Tensor, k: int = 10) -> float:
    return (mutual_knn if len(x) < 50 else mutual_knn_at_once)(x, y, k)


def _reciprocated(x: Tensor, y: Tensor, k: int) -> float:
    """Pairs that are neighbours of each other in both spaces, per sample and k."""
    near = _as_sets(x, y, k)
    both = near[0] & near[0].T & near[1] & near[1].T
    return float(both.sum()) / len(x) / k


def _as_sets(x: Tensor, y: Tensor, k: int) -> list[Tensor]:
    """True at the k nearest of every row, (N, N) for each space."""
    near = []
    for z in (x, y):
        places = _cosines(z, z).fill_diagonal_(-torch.inf).topk(k, dim=1).indices
        near.append(torch.zeros(len(z), len(z), dtype=torch.bool).scatter(1, places, True))
    return near


def _products(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.T


def _either(x: Tensor, y: Tensor, k: int) -> float:
    """As _reciprocated, but neighbours are those that one of the two names."""
    near = _as_sets(x, y, k)
    return float(((near[0] | near[0].T) & (near[1] | near[1].T)).sum()) / len(x) / k


def _matches(x: Tensor, y: Tensor, k: int) -> float:
    near = _as_sets(x, y, k)
    return float((near[0] == near[1]).double().mean())


def _own_zero(x: Tensor, y: Tensor, k: int) -> float:
    """The cosine of a sample with itself set to 0, which is not the least."""
    near = [_cosines(z, z).fill_diagonal_(0.0).topk(k, dim=1).indices for z in (x, y)]
    return float((near[0][:, :, None] == near[1][:, None]).sum()) / len(x) / k


def _correlated(x: Tensor, y: Tensor, k: int, alone: bool = False) -> float:
    """A cosine of the two tables of cosines."""
    a, b = (_cosines(z, z) for z in (x, y))
    a, b = (a.fill_diagonal_(0.0), b.fill_diagonal_(0.0)) if alone else (a, b)
    return float((a * b).sum() / (a.norm() * b.norm()))


def _less_itself(common: Tensor, k: int) -> Tensor:
    return (common - 1) / max(k - 1, 1)


MUTUAL_MISTAKES = tuple(
    Mistake(sentence, variants)
    for sentence, variants in {
        "a sample is counted as its own neighbour, which it is in both: leave it out.": (
            partial(_share, alone=False),
            lambda x, y, k: _share(x, y, min(k + 1, len(x)), alone=False),
            lambda x, y, k: _overlap(x, y, min(k + 1, len(x)), alone=False, share=lambda c, _: c / k),
        ),
        "one neighbour is missing: with the sample itself left out there are still k of them.": (
            lambda x, y, k: _share(x, y, max(k - 1, 1)),
            lambda x, y, k: _overlap(x, y, max(k - 1, 1), share=lambda c, _: c / k),
            lambda x, y, k: _overlap(x, y, k, alone=False, share=_less_itself),
            lambda x, y, k: _overlap(x, y, k, alone=False, share=lambda c, _: (c - 1) / k),
        ),
        "the number in common is divided by the union, as in Jaccard: divide by k.": (_overlap,),
        "the number in common is divided by 2 k: divide by k.": (partial(_overlap, share=lambda c, k: c / (2 * k)),),
        "the number in common is not divided by k.": (partial(_overlap, share=lambda c, k: c),),
        "the number in common is divided by N - 1, or by all others that there are: divide by k.": (
            lambda x, y, k: _overlap(x, y, k, share=lambda c, _: c / (len(x) - 1)),
        ),
        "one space is compared with itself: with the other one.": (lambda x, y, k: 1.0,),
        "the number in common is divided by N: divide by k.": (
            lambda x, y, k: _overlap(x, y, k, share=lambda c, _: c / len(x)),
        ),
        "it is counted who has any neighbour in common, or all: take the share of the k that are in both.": (
            partial(_overlap, share=lambda c, k: (c > 0).double()),
            partial(_overlap, share=lambda c, k: (c == k).double()),
        ),
        "the shares are squared, or their root is taken: take their plain mean.": (
            partial(_overlap, share=lambda c, k: (c / k).square()),
            partial(_overlap, share=lambda c, k: (c / k).sqrt()),
        ),
        "pairs that are no neighbours in both count, too: only common neighbours do.": (_matches,),
        "a pair counts already if one of the two names the other: each sample has its own k neighbours.": (_either,),
        "the own cosine is set to 0, which other cosines are below: set it to -inf, or sort and drop it.": (_own_zero,),
        "the cosines themselves are compared, as in CKA: only who is among the k nearest counts.": (
            _correlated,
            partial(_correlated, alone=True),
        ),
        "the size of the cosine decides, whatever its sign: the nearest have the largest cosines.": (
            partial(_share, of=lambda a, b: _cosines(a, b).abs()),
        ),
        "neighbours are looked for across the two spaces: compare those within x with those within y.": (
            partial(_share, across=True),
            partial(_share, across=True, alone=False),
        ),
        "only pairs that are neighbours of each other count: mutual means that both spaces name the neighbour.": (
            _reciprocated,
        ),
        "neighbours are the nearest by distance: use the cosine.": (partial(_share, of=_euclidean),),
        "the rows are not normalised: neighbours are the nearest by cosine.": (partial(_share, of=_products),),
        "these are the farthest: neighbours have the largest cosines.": (
            partial(_share, of=lambda a, b: -_cosines(a, b)),
        ),
        "k is not used: it is the number of neighbours, 10 is only its default.": (
            lambda x, y, k: _share(x, y, min(10, len(x) - 1)),
            lambda x, y, k: _share(x, y, 1),
        ),
        "there is one neighbour too many: k of them, the sample itself left out.": (
            lambda x, y, k: _share(x, y, min(k + 1, len(x) - 1)),
        ),
        "neighbours are compared place by place: they are sets, whose order does not count.": (_by_place,),
        "it is a distance, one minus the share.": (lambda x, y, k: 1 - _share(x, y, k),),
        "the normalisation runs over the samples: divide every row by its length (dim=1).": (
            partial(_share, of=_by_columns),
        ),
        "the mean of all rows is taken off first: these are cosines of the vectors as they are.": (
            partial(_share, of=_around_means),
        ),
        "the level of chance is taken off: it is drawn beside the value, not subtracted.": (
            lambda x, y, k: _share(x, y, k) - k / (len(x) - 1),
            lambda x, y, k: (_share(x, y, k) - k / (len(x) - 1)) / max(1 - k / (len(x) - 1), 1e-9),
            lambda x, y, k: _share(x, y, k) / (k / (len(x) - 1)),
        ),
    }.items()
)


def _samples(x: Tensor, y: Tensor, k: int = 10) -> str:
    return f"{len(x)} samples in {x.shape[1]} and {y.shape[1]} dimensions with k = {k}"


def examine_mutual_knn(student: Student) -> str:
    cases = []
    for n, d, k, noise in ((16, 6, 4, 0.9), (24, 5, 7, 0.7), (13, 4, 11, 0.6)):
        x = student.normal(n, d) + 0.5
        y = x + noise * student.normal(n, d)
        cases.append((x * (0.3 + 2 * student.uniform(n, 1)), y * (0.3 + 2 * student.uniform(n, 1)) - 0.2, k))
    many = student.normal(260, 6)  # more than a batch of 256
    cases.append((many, many + 0.8 * student.normal(260, 6), 5))
    agree(
        student,
        cases,
        _definition,
        MUTUAL_MISTAKES,
        words=_samples,
        hint="Of a sample's k nearest within x, count those among its k nearest within y, and divide by k.",
    )
    x, y, _ = cases[1]
    wider = torch.cat([y, student.normal(len(y), 3)], dim=1)
    agree(student, [(x, wider, 3), (x, y, len(x) - 1)], _definition, words=_samples)
    if not close(came := number(student(x, y)), wanted := mutual_knn(x.double(), y.double())):
        raise Wrong(f"Without the argument k {gives(came, wanted)} The default is 10.")
    turned = x @ torch.linalg.qr(student.normal(5, 5)).Q * 3
    if not close(came := number(student(x, turned, 4)), 1.0):
        raise Wrong(f"For y = x, rotated and three times as long, {gives(came, 1.0)}")
    return "Equal to the definition for k from 3 to N - 1, for equal and unequal widths; 1 after a rotation."

"""Week 7: the vote of nearest neighbours, one test image at a time, and a schedule, one step at a time.

References: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", section 3.4;
Loshchilov and Hutter 2017, "SGDR", eq. 5.
"""

from collections.abc import Callable
from functools import partial
from math import cos, exp, pi, sqrt

import torch
from torch import Tensor

Row = list[float]


def dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Row, b: Row) -> float:
    return dot(a, b) / sqrt(dot(a, a) * dot(b, b))


def knn_accuracy(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    k: int = 20,
    temperature: float = 0.07,
    *,
    near: Callable[[Row, Row], float] = cosine,
    weight: Callable[[float, float], float] = lambda s, t: exp(s / t),
) -> float:
    """The share of test rows that the weighted vote gets right. near: larger is nearer; weight: of (near, T)."""
    right = 0
    known = list(zip(train_x.double().tolist(), train_y.tolist(), strict=True))
    for x, y in zip(test_x.double().tolist(), test_y.tolist(), strict=True):
        scored = [(near(x, other), label) for other, label in known]
        votes: dict[int, float] = {}
        for s, label in sorted(scored, reverse=True)[:k]:
            votes[label] = votes.get(label, 0.0) + weight(s, temperature)
        right += max(sorted(votes), key=votes.get) == y
    return right / len(test_y)


def _minus_distance(a: Row, b: Row) -> float:
    return -sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def _knn(fixed_k: int | None = None, fixed_t: float | None = None, **what) -> Callable:
    def run(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
        return knn_accuracy(train_x, train_y, test_x, test_y, fixed_k or k, fixed_t or temperature, **what)

    return run


KNN_MISTAKES: tuple[tuple[str, tuple[Callable, ...]], ...] = (
    (
        "the neighbours are unweighted: each votes with exp(similarity / temperature).",
        (_knn(weight=lambda s, t: 1.0),),
    ),
    (
        "the features are not normalised: similarity is the cosine, lengths do not count.",
        (_knn(near=dot, weight=lambda s, t: exp(min(s / t, 700))), _knn(near=dot, weight=lambda s, t: 1.0)),
    ),
    (
        "the neighbours are the nearest by distance: similarity is the cosine.",
        (_knn(near=_minus_distance), _knn(near=_minus_distance, weight=lambda s, t: 1.0)),
    ),
    ("the similarity itself is the weight: take exp(similarity / temperature).", (_knn(weight=lambda s, t: s),)),
    ("the similarity is multiplied by the temperature: divide by it.", (_knn(weight=lambda s, t: exp(s * t)),)),
    (
        "the temperature is not used: the weight is exp(similarity / temperature).",
        (_knn(fixed_t=0.07), _knn(fixed_t=1.0)),
    ),
    (
        "the weights are the wrong way round: the more similar, the more it counts.",
        (_knn(weight=lambda s, t: exp(-s / t)),),
    ),
    (
        "the farthest vote: the largest cosines are the nearest.",
        (_knn(near=lambda a, b: -cosine(a, b)), _knn(near=lambda a, b: -cosine(a, b), weight=lambda s, t: exp(-s / t))),
    ),
    ("k is not used: exactly the k nearest vote.", (_knn(fixed_k=20), _knn(fixed_k=1), _knn(fixed_k=10**9))),
    (
        "training and test images are swapped: the test images ask, the training images vote.",
        (lambda a, b, c, d, k=20, temperature=0.07: knn_accuracy(c, d, a, b, k, temperature),),
    ),
    (
        "it is a percentage: return a share between 0 and 1.",
        (lambda *case: 100 * knn_accuracy(*case),),
    ),
    ("it is the error: return the share that is right.", (lambda *case: 1 - knn_accuracy(*case),)),
)


def schedule(start: float, end: float, steps: int, warmup: int = 0, *, last: int = 1) -> list[float]:
    """One number a step. last: how many steps before `steps` the end value is reached."""
    values = [start * i / warmup for i in range(warmup)]
    falling = steps - warmup - last
    for i in range(steps - warmup):
        values.append(end + (start - end) * (1 + cos(pi * (i / falling if falling > 0 else 1))) / 2)
    return values


off_by_one = partial(schedule, last=0)


def tissue_like(student, n: int, m: int, classes: int, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features in overlapping groups, with lengths of their own: (train_x, train_y, test_x, test_y)."""
    centres = student.normal(classes, dim)
    parts = []
    for size in (n, m):
        y = torch.arange(size) % classes
        x = centres[y] + 1.2 * student.normal(size, dim)
        parts += [x * (0.2 + 2 * student.uniform(size, 1)), y]
    return tuple(parts)

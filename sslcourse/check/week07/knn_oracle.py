"""Week 7: the vote of nearest neighbours, one test image at a time, and a schedule, one step at a time.

References: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", section 3.4;
Loshchilov and Hutter 2017, "SGDR", eq. 5.
"""

from collections.abc import Callable
from functools import partial
from math import cos, exp, pi, sqrt

import torch
from torch import Tensor, nn

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
) -> float:
    """The share of test rows that the weighted vote gets right."""
    right = 0
    known = list(zip(train_x.double().tolist(), train_y.tolist(), strict=True))
    for x, y in zip(test_x.double().tolist(), test_y.tolist(), strict=True):
        scored = [(cosine(x, other), label) for other, label in known]
        votes: dict[int, float] = {}
        for s, label in sorted(scored, reverse=True)[:k]:
            votes[label] = votes.get(label, 0.0) + exp(s / temperature)
        right += max(sorted(votes), key=votes.get) == y
    return right / len(test_y)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return -torch.cdist(a, b)


def _dots(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.T


def _dots_of_unit_tests(a: Tensor, b: Tensor) -> Tensor:
    return (a / a.norm(dim=1, keepdim=True)) @ b.T


def _dots_with_unit_training(a: Tensor, b: Tensor) -> Tensor:
    return a @ (b / b.norm(dim=1, keepdim=True)).T


def _exponential(s: Tensor, t: float) -> Tensor:
    return (s / t).clamp(max=700).exp()


def _softmax(s: Tensor, t: float) -> Tensor:
    return (s / t).softmax(dim=1)


def _overflowing(s: Tensor, t: float) -> Tensor:
    """Infinite where float32 ends."""
    return (s / t).float().exp().double()


def _even(s: Tensor, t: float) -> Tensor:
    return torch.ones_like(s)


def _knn(
    fixed_k: int | None = None,
    fixed_t: float | None = None,
    *,
    near: Callable[[Tensor, Tensor], Tensor] = _cosines,
    weight: Callable[[Tensor, float], Tensor] = _exponential,
    skip: int = 0,
    share: str = "",
    voted_only: bool = True,
    one_hot: bool = False,
) -> Callable:
    """knn_accuracy with something wrong, all rows at once; right with the defaults.

    near: larger is nearer. skip: so many of the nearest are left out. share: votes are divided by the class's size
    ("class") or by its number of neighbours ("voters"). voted_only: a class that nobody voted for cannot win; one_hot:
    weights, which may have overflown, are multiplied by one-hot labels.
    """

    def run(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
        k = min((fixed_k or k) + skip, len(train_x))
        scores, places = near(test_x.double(), train_x.double()).topk(k, dim=1)
        scores, labels = scores[:, skip:], train_y[places[:, skip:]]
        classes = int(max(train_y.max(), test_y.max())) + 1
        empty = torch.zeros(len(test_x), classes, dtype=torch.float64)
        votes = empty.scatter_add(1, labels, weight(scores, fixed_t or temperature))
        if one_hot:  # 0 * inf is NaN, which argmax takes for the largest
            votes = (nn.functional.one_hot(labels, classes) * weight(scores, fixed_t or temperature)[..., None]).sum(
                dim=1
            )
        voters = empty.scatter_add(1, labels, torch.ones_like(scores))
        if share:
            votes = votes / (train_y.bincount(minlength=classes) if share == "class" else voters).clamp(min=1)
        if voted_only:
            votes = votes.masked_fill(voters == 0, -torch.inf)
        return float((votes.argmax(dim=1) == test_y).double().mean())

    return run


KNN_MISTAKES: tuple[tuple[str, tuple[Callable, ...]], ...] = (
    (
        "the neighbours are unweighted: each votes with exp(similarity / temperature).",
        (_knn(weight=_even),),
    ),
    (
        "the features are not normalised: similarity is the cosine, lengths do not count.",
        tuple(
            _knn(near=near, weight=weight, **how)
            for near in (_dots, _dots_of_unit_tests, _dots_with_unit_training)
            for weight, how in (
                (_softmax, {}),
                (_overflowing, {}),
                (_overflowing, {"one_hot": True, "voted_only": False}),
                (_even, {}),
            )
            if weight is not _even or near is not _dots_with_unit_training  # the same neighbours as by cosine
        ),
    ),
    (
        "the neighbours are the nearest by distance: similarity is the cosine.",
        (_knn(near=_distances), _knn(near=_distances, weight=_even)),
    ),
    (
        "the similarity itself is the weight: take exp(similarity / temperature).",
        (
            _knn(weight=lambda s, t: s),
            _knn(weight=lambda s, t: s, voted_only=False),
        ),
    ),
    ("the similarity is multiplied by the temperature: divide by it.", (_knn(weight=lambda s, t: (s * t).exp()),)),
    (
        "the temperature is not used: the weight is exp(similarity / temperature).",
        (_knn(fixed_t=0.07), _knn(fixed_t=1.0)),
    ),
    (
        "the weights are the wrong way round: the more similar, the more it counts.",
        (_knn(weight=lambda s, t: (-s / t).exp()),),
    ),
    (
        "the farthest vote: the largest cosines are the nearest.",
        (
            _knn(near=lambda a, b: -_cosines(a, b)),
            _knn(near=lambda a, b: -_cosines(a, b), weight=lambda s, t: (-s / t).exp()),
        ),
    ),
    (
        "the votes are divided by the number of images of their class: every neighbour counts by its weight alone.",
        (_knn(share="class"), _knn(share="class", weight=_even)),
    ),
    (
        "the votes of a class are averaged: they are summed.",
        (_knn(share="voters"),),
    ),
    (
        "the nearest is left out: training and test images differ, nobody meets itself.",
        (_knn(skip=1),),
    ),
    (
        "the weight is one over the distance: take exp(similarity / temperature).",
        (_knn(weight=lambda s, t: 1 / (1 - s)), _knn(weight=lambda s, t: (2 - 2 * s) ** -0.5)),
    ),
    ("k is not used: exactly the k nearest vote.", (_knn(fixed_k=20), _knn(fixed_k=1), _knn(fixed_k=10**9))),
    (
        "training and test images are swapped: the test images ask, the training images vote.",
        (lambda a, b, c, d, k=20, temperature=0.07: _knn()(c, d, a, b, k, temperature),),
    ),
    (
        "it is a percentage: return a share between 0 and 1.",
        (lambda *case: 100 * _knn()(*case),),
    ),
    ("it is the error: return the share that is right.", (lambda *case: 1 - _knn()(*case),)),
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
    """Features in overlapping groups of unequal size, with lengths of their own: (train_x, train_y, test_x, test_y)."""
    centres = student.normal(classes, dim)
    names = torch.tensor([0, 2, 3, 5, 8])[:classes]  # not all numbers are classes
    often = torch.cat([torch.full((classes - i + 1,), i) for i in range(classes)])  # the first has most images
    parts = []
    for size in (n, m):
        y = often[torch.arange(size) % len(often)]
        x = centres[y] + 1.2 * student.normal(size, dim)
        parts += [x * (0.2 + 2 * student.uniform(size, 1)), names[y]]
    return tuple(parts)

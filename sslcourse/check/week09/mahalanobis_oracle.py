"""Week 9: Mahalanobis distances, one sample at a time, in float64.

References: Lee et al. 2018 (Mahalanobis); Ren et al. 2021 (relative Mahalanobis).
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

RIDGE = 1e-6  # times trace / D, on the diagonal of a covariance


def _flipped(score):
    return lambda *arguments: -score(*arguments)


def covariance(deviations: Tensor, divisor: int, ridge: float = RIDGE) -> Tensor:
    """Sum of outer products over the divisor, plus the ridge on the diagonal; one sample after the other."""
    total = sum(torch.outer(row, row) for row in deviations) / divisor
    return total + ridge * total.trace() / len(total) * torch.eye(len(total), dtype=total.dtype)


def _distances(x: Tensor, means: Tensor, cov: Tensor) -> Tensor:
    """Squared Mahalanobis distances (N, K)."""
    inverse = torch.linalg.inv(cov)
    return torch.stack([((x - m) @ inverse * (x - m)).sum(dim=1) for m in means], dim=1)


def _by_class(train_x: Tensor, train_y: Tensor) -> tuple[Tensor, Tensor]:
    """Class means (K, D), and every sample minus the mean of its class (N, D)."""
    means = {y: train_x[train_y == y].mean(dim=0) for y in sorted(set(train_y.tolist()))}
    return torch.stack(list(means.values())), torch.stack(
        [row - means[y] for row, y in zip(train_x, train_y.tolist(), strict=True)]
    )


def mahalanobis(train_x: Tensor, train_y: Tensor, x: Tensor) -> Tensor:
    means, deviations = _by_class(train_x, train_y)
    return -_distances(x, means, covariance(deviations, len(train_x))).min(dim=1).values


def _one(train_x: Tensor, x: Tensor) -> Tensor:
    """The same for a single Gaussian over all."""
    mean = train_x.mean(dim=0)
    return -_distances(x, mean[None], covariance(train_x - mean, len(train_x)))[:, 0]


def relative(train_x: Tensor, train_y: Tensor, x: Tensor) -> Tensor:
    return mahalanobis(train_x, train_y, x) - _one(train_x, x)


def _mean_of_covariances(train_x: Tensor, train_y: Tensor, less: int = 0) -> Tensor:
    """Every class counts the same, however many samples it has."""
    each = []
    for y in sorted(set(train_y.tolist())):
        rows = train_x[train_y == y]
        each.append(covariance(rows - rows.mean(dim=0), max(len(rows) - less, 1), ridge=0.0))
    total = sum(each) / len(each)
    return total + RIDGE * total.trace() / len(total) * torch.eye(len(total), dtype=total.dtype)


def _between(train_x: Tensor, train_y: Tensor) -> Tensor:
    means = _by_class(train_x, train_y)[0]
    return covariance(means - means.mean(dim=0), len(means))


def _skew(x: Tensor, means: Tensor, cov: Tensor) -> Tensor:
    """Squared lengths after the inverse of L transposed, (N, K)."""
    wrong = torch.linalg.inv(torch.linalg.cholesky(cov)).T
    return ((x[:, None] - means) @ wrong.T).square().sum(dim=-1)


def _variant(
    train_x, train_y, x, *, cov="within", means="class", of=lambda d: -d.min(dim=1).values, far=_distances
) -> Tensor:
    """mahalanobis with something wrong."""
    class_means, deviations = _by_class(train_x, train_y)
    n, centred = len(train_x), train_x - train_x.mean(dim=0)
    sigma = {
        "within": lambda: covariance(deviations, n),
        "total": lambda: covariance(centred, n),
        "total, N - 1": lambda: covariance(centred, n - 1),
        "unbiased": lambda: covariance(deviations, n - 1),
        "pooled": lambda: covariance(deviations, n - len(class_means)),
        "not centred": lambda: covariance(train_x, n),
        "none": lambda: torch.eye(train_x.shape[1], dtype=train_x.dtype),
        "diagonal": lambda: covariance(deviations, n).diagonal().diag(),
        "total diagonal": lambda: covariance(centred, n).diagonal().diag(),
        "inverted": lambda: torch.linalg.inv(covariance(deviations, n)),
        "squared": lambda: covariance(deviations, n) @ covariance(deviations, n),
        "sum": lambda: covariance(deviations, 1),
        "averaged": lambda: _mean_of_covariances(train_x, train_y),
        "averaged, N - 1": lambda: _mean_of_covariances(train_x, train_y, less=1),
        "between": lambda: _between(train_x, train_y),
        "of each": lambda: None,
        "of each, N - 1": lambda: None,
    }[cov]()
    centres = {
        "class": class_means,
        "zero": torch.zeros_like(class_means[:1]),
        "all": train_x.mean(dim=0)[None],
        "mean of means": class_means.mean(dim=0)[None],
        "centred": class_means - train_x.mean(dim=0),
    }[means]
    if sigma is None:
        each = []
        for y, centre in zip(sorted(set(train_y.tolist())), class_means, strict=True):
            rows = train_x[train_y == y] - centre
            own = covariance(rows, max(len(rows) - cov.endswith("1"), 1))
            each.append(_distances(x, centre[None], own)[:, 0])
        return of(torch.stack(each, dim=1))
    return of(far(x, centres, sigma))


def _maha(**what) -> partial:
    return partial(_variant, **what)


MAHALANOBIS_MISTAKES = (
    Mistake("the sign is flipped: a small distance means in-distribution.", (_flipped(mahalanobis),)),
    Mistake(
        "the covariance is that of the whole set: subtract from every sample the mean of its own class first.",
        (_maha(cov="total"), _maha(cov="total, N - 1")),
    ),
    Mistake(
        "the covariances of the classes are averaged, so that a small class counts as much as a large one: average the "
        "outer products over all samples.",
        (_maha(cov="averaged"), _maha(cov="averaged, N - 1")),
    ),
    Mistake(
        "the means are not subtracted: distances are from the class means.",
        (_maha(means="zero"), _maha(means="zero", cov="not centred")),
    ),
    Mistake(
        "there is one mean for all: distances are from the mean of each class.",
        (_maha(means="all"), _maha(means="all", cov="total"), _maha(means="mean of means")),
    ),
    Mistake("the samples are not centred before their covariance.", (_maha(cov="not centred"),)),
    Mistake("it is the covariance of the class means: take that of the samples around them.", (_maha(cov="between"),)),
    Mistake(
        "the training features are centred and x is not.", (_maha(means="centred"), _maha(means="centred", cov="total"))
    ),
    Mistake(
        "it is the largest distance to a class: take the smallest.",
        (_maha(of=lambda d: -d.max(dim=1).values), _maha(of=lambda d: (-d).min(dim=1).values)),
    ),
    Mistake(
        "it is the mean or the sum over the classes: take the smallest distance.",
        (_maha(of=lambda d: -d.mean(dim=1)), _maha(of=lambda d: -d.sum(dim=1))),
    ),
    Mistake(
        "it is a soft minimum over the classes: take the smallest distance.",
        (
            _maha(of=lambda d: (-d).logsumexp(dim=1)),
            _maha(of=lambda d: (-d / 2).logsumexp(dim=1)),
            _maha(of=lambda d: 2 * (-d / 2).logsumexp(dim=1)),
        ),
    ),
    Mistake("the root is taken: the distance stays squared.", (_maha(of=lambda d: -d.min(dim=1).values.sqrt()),)),
    Mistake(
        "the distance is halved, as in the density: the score is minus the squared distance.",
        (_maha(of=lambda d: -d.min(dim=1).values / 2),),
    ),
    Mistake(
        "the distance is turned into a similarity: the score is minus the squared distance.",
        (
            _maha(of=lambda d: (-d.min(dim=1).values).exp()),
            _maha(of=lambda d: (-d.min(dim=1).values / 2).exp()),
            _maha(of=lambda d: 1 / (1 + d.min(dim=1).values)),
        ),
    ),
    Mistake("it is the class, not its distance.", (_maha(of=lambda d: d.argmin(dim=1).double()),)),
    Mistake("the covariance is divided by N - 1 or N - K: divide by N.", (_maha(cov="unbiased"), _maha(cov="pooled"))),
    Mistake("the covariance is not divided by N.", (_maha(cov="sum"),)),
    Mistake("the covariance is not used: these are Euclidean distances.", (_maha(cov="none"),)),
    Mistake(
        "only the variances are used: the covariance has an off-diagonal too.",
        (_maha(cov="diagonal"), _maha(cov="total diagonal")),
    ),
    Mistake("it is multiplied by the covariance: multiply by its inverse.", (_maha(cov="inverted"),)),
    Mistake("the inverse is taken twice.", (_maha(cov="squared"),)),
    Mistake("the triangle is transposed: with Sigma = L L^T, solve for L, upper=False.", (_maha(far=_skew),)),
    Mistake(
        "every class has a covariance of its own: it is shared.", (_maha(cov="of each"), _maha(cov="of each, N - 1"))
    ),
)


def _relative(train_x, train_y, x, *, sign: float = -1, own=mahalanobis, **background) -> Tensor:
    """relative with something wrong."""
    what = {"means": "all", "cov": "total"} | background
    return own(train_x, train_y, x) + sign * _variant(train_x, train_y, x, **what)


RELATIVE_MISTAKES = (
    Mistake("the background is added: subtract its score.", (partial(_relative, sign=1),)),
    Mistake("the background is missing: this is score(x).", (mahalanobis,)),
    Mistake(
        "this is the score of the background alone, or minus it: it is score(x) minus that.",
        (_maha(means="all", cov="total"), _flipped(_maha(means="all", cov="total"))),
    ),
    Mistake(
        "the background has the covariance within classes: it is one Gaussian over all training data, with that "
        "of the whole set.",
        (partial(_relative, cov="within"),),
    ),
    Mistake("the background's covariance is divided by N - 1: divide by N.", (partial(_relative, cov="total, N - 1"),)),
    Mistake(
        "the background is not centred: its covariance is that around its own mean.",
        (partial(_relative, cov="not centred"), partial(_relative, cov="not centred", means="zero")),
    ),
    Mistake("the background's mean is not subtracted.", (partial(_relative, means="zero"),)),
    Mistake(
        "the background's mean is that of the class means: it is the mean of all training samples.",
        (partial(_relative, means="mean of means"),),
    ),
    Mistake("the background has the means of the classes: it has one mean.", (partial(_relative, means="class"),)),
    Mistake("the background is Euclidean: it has the covariance of the whole set.", (partial(_relative, cov="none"),)),
    Mistake(
        "the root of the background's distance is taken: both are squared.",
        (partial(_relative, of=lambda d: -d.min(dim=1).values.sqrt()),),
    ),
    Mistake(
        "the scores are divided: subtract that of the background.",
        (
            lambda *a: mahalanobis(*a) / -_maha(means="all", cov="total")(*a),
            lambda *a: mahalanobis(*a) / _maha(means="all", cov="total")(*a),
        ),
    ),
    Mistake("the sign is flipped: it is score(x) minus that of the background.", (_flipped(relative),)),
)

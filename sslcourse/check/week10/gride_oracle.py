"""Week 10: Gride, one ratio at a time, in float64, and the mistakes that have names.

Reference: Denti et al. 2022, "The generalized ratios intrinsic dimension estimator".
"""

from collections.abc import Callable
from functools import partial
from math import log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week10.oracle import L1, SPREAD, SQUARED, distances


def gride(x: Tensor, n1: int = 1, *, less: int = 0) -> float:
    """The d of largest likelihood of mu = r_2n / r_n, n = n1: a bisection of its slope, which falls.

    less: 1 for N - 1 points, which makes it unbiased at n1 = 1, as in the authors' DADApy.
    """
    logs = [log(row[2 * n1 - 1] / row[n1 - 1]) for row in distances(x) if row[n1 - 1] > 0]

    def slope(d: float) -> float:
        # log d - ((2 n - 1) d + 1) log mu + (n - 1) log(mu^d - 1), differentiated
        ups = sum((n1 - 1) * m / (1 - 2.718281828459045 ** (-d * m)) - (2 * n1 - 1) * m for m in logs)
        return (len(logs) - less) / d + ups

    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return low


def _ups(m: Tensor, d: float, n: int) -> Tensor:
    """What stands beside N / d in the slope, for every log mu."""
    return (n - 1) * m / (1 - (-d * m).exp()) - (2 * n - 1) * m


def _twice(n: int) -> int:
    return 2 * n


def _itself(n: int) -> int:
    return n


def _logs(x: Tensor, n1: int, first: Callable = _itself, second: Callable = _twice, **metric) -> Tensor:
    """log of the ratio of two ranks, which count from 1; rank 0 is the point itself, at distance 0."""
    rows = torch.tensor(distances(x, **metric), dtype=torch.float64)
    rows = torch.cat([torch.zeros(len(rows), 1), rows], dim=1)
    near, far = rows[:, first(n1)], rows[:, min(second(n1), rows.shape[1] - 1)]
    return (far[near > 0] / near[near > 0]).log()


def _estimate(
    x: Tensor,
    n1: int = 1,
    *,
    ups: Callable = _ups,
    less: int = 0,
    one: bool = False,
    of: Callable | None = None,
    total: Callable = torch.sum,
    **ranks,
) -> float:
    """gride with something wrong: other ranks, another slope (ups), other numbers than all log mu (of).

    one: 1 / d stands there once, not for every point; total: what is made of the slopes of all points.
    """
    logs = _logs(x, n1, **ranks)
    if not len(logs):
        return 0.0
    logs = of(logs, n1) if of else logs
    count = 1 if one else len(logs) - less
    low, high = 1e-3, 1e3
    for _ in range(50):
        d = (low * high) ** 0.5
        slope = count / len(logs) / d + float(total(ups(logs, d, n1))) / (1 if total is torch.median else len(logs))
        low, high = (d, high) if slope > 0 else (low, d)
    return low


def _of_logs(x: Tensor, n1: int = 1, *, value: Callable, **ranks) -> float:
    """Some function of all log mu, in place of the largest likelihood."""
    logs = _logs(x, n1, **ranks)
    return float(value(logs, n1)) if len(logs) else 0.0


def _closed(less: int = 0, **ranks) -> partial:
    """N / sum log mu of two ranks, whatever these are."""
    return partial(_of_logs, value=lambda m, n, less=less: (len(m) - less) / m.sum(), **ranks)


def _both(make: Callable, **what) -> tuple[Callable, ...]:
    """With N and with N - 1."""
    return tuple(partial(make, less=less, **what) for less in (0, 1))


def _single(m: Tensor, n: int) -> Tensor:
    """Every point's own d of largest likelihood."""
    low, high = torch.full_like(m, 1e-3), torch.full_like(m, 1e3)
    for _ in range(50):
        d = (low * high).sqrt()
        up = 1 / d + (n - 1) * m / (1 - (-d * m).exp()) - (2 * n - 1) * m > 0
        low, high = torch.where(up, d, low), torch.where(up, high, d)
    return low


def _fitted(x: Tensor, n1: int = 1, *, fraction: float) -> float:
    """The line of TwoNN through the ratios of Gride."""
    logs = _logs(x, n1).sort().values
    kept = min(int(fraction * len(logs)), len(logs) - 1)
    level = -(1 - torch.arange(1, kept + 1).double() / len(logs)).log()
    return float((logs[:kept] @ level) / (logs[:kept] @ logs[:kept]))


def _scales(x: Tensor, n1: int = 1, *, less: int = 0, powers: bool) -> float:
    """The mean over all scales up to n1."""
    scales = [n for n in range(1, n1 + 1) if not powers or n & (n - 1) == 0]
    return sum(gride(x, n, less=less) for n in scales) / len(scales)


def _between(x: Tensor, n1: int = 1, *, value: Callable) -> float:
    """From all neighbours up to 2 n1 of every point, as by Levina and Bickel (2004)."""
    rows = torch.tensor(distances(x), dtype=torch.float64)
    return float(value((rows[:, 2 * n1 - 1 : 2 * n1] / rows[:, : 2 * n1 - 1]).log()))


def _of_spread(x: Tensor, n1: int = 1, *, less: int = 0) -> float:
    return gride(x.double() / x.double().std(dim=0), n1, less=less)


# The term with n - 1 is 0 at n1 = 1, so that answers which are wrong in it alone are right there.
_TERMS = (
    lambda m, d, n: -(2 * n - 1) * m,
    lambda m, d, n: n * m / (1 - (-d * m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: (n - 1) * m * (-d * m).exp() / (1 - (-d * m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: (n - 1) * m - (2 * n - 1) * m,
    lambda m, d, n: m / (1 - (-d * m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: (2 * n - 1) * m / (1 - (-d * m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: -(n - 1) * m / (1 - (-d * m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: (n - 1) / (1 - (-d * m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: (n - 1) / ((d * m).exp() - 1) - (2 * n - 1) * m,
    lambda m, d, n: (n - 1) * m / (1 - (-m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: (n - 1) * m * d / (1 - (-d * m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: (n - 1) * m / (1 + (-d * m).exp()) - (2 * n - 1) * m,
    lambda m, d, n: (n - 1) * (d * m).exp() / ((d * m).exp() - 1) - (2 * n - 1) * m,
)
_EXPONENTS = (
    lambda m, d, n: (n - 1) * m / (1 - (-d * m).exp()) - 2 * n * m,
    lambda m, d, n: (n - 1) * m / (1 - (-d * m).exp()) - (2 * n + 1) * m,
    lambda m, d, n: (n - 1) * m / (1 - (-d * m).exp()) - n * m,
    lambda m, d, n: (n - 1) * m / (1 - (-d * m).exp()) - (n + 1) * m,
    lambda m, d, n: (n - 1) * m / (1 - (-d * m).exp()) - (2 * n - 2) * m,
    lambda m, d, n: (n - 1) * m / (1 - (-d * m).exp()) - m,
    lambda m, d, n: (n - 2) * m / (1 - (-d * m).exp()) - (2 * n - 1) * m,
)

GRIDE_READINGS = (gride, partial(gride, less=1), lambda x, n1=1: gride(x, n1, less=int(n1 == 1)))
ITSELF_COUNTED = (
    "a point counts as its own first neighbour, so that both ranks are one too low: leave it out, neighbour n stands "
    "at place n - 1 then."
)
GRIDE_MISTAKES = (
    Mistake("n1 is not used: mu is r_{2 n1} / r_{n1}.", _both(lambda x, n1=1, less=0: gride(x, 1, less=less))),
    Mistake(
        "N / sum log(mu) is taken for every n1, which is the largest likelihood at n1 = 1 only: find the root of its "
        "slope.",
        (_closed(), _closed(1)),
    ),
    Mistake(
        "N / sum log(mu) is divided or multiplied by n1: at n1 > 1 the largest likelihood has no such form, find the "
        "root of its slope.",
        tuple(
            partial(_of_logs, value=lambda m, n, power=power, less=less: n**power * (len(m) - less) / m.sum())
            for power in (-1, 1, 0.5, -0.5)
            for less in (0, 1)
        ),
    ),
    Mistake(
        "the term with n1 - 1 in the slope of the log-likelihood is another: it is (n1 - 1) log(mu) mu^d / (mu^d - 1) "
        "for every point.",
        tuple(fit for ups in _TERMS for fit in _both(_estimate, ups=ups)),
    ),
    Mistake(
        "the exponents are others: differentiated, mu^{-(2 n1 - 1) d - 1} leaves -(2 n1 - 1) log(mu) and "
        "(mu^d - 1)^{n1 - 1} leaves (n1 - 1) log(mu) mu^d / (mu^d - 1).",
        tuple(fit for ups in _EXPONENTS for fit in _both(_estimate, ups=ups)),
    ),
    Mistake(
        "1 / d counts once for all points: the log-likelihood is a sum over points, so that its slope has N / d.",
        (partial(_estimate, one=True),),
    ),
    Mistake(
        "a median decides, of the ratios or of the slopes: the slope of the log-likelihood is a sum over points.",
        (partial(_estimate, total=torch.median),),
    ),
    Mistake(
        "it is log 2 over a mean or the median of log(mu), as for one scale: take the largest likelihood.",
        tuple(
            partial(_of_logs, value=value)
            for value in (
                lambda m, n: log(2) / m.mean(),
                lambda m, n: log(2) / m.median(),
                lambda m, n: log(2) / m.quantile(0.5),
            )
        ),
    ),
    Mistake(
        "the dimensions of single points are averaged: the likelihood is that of all points together.",
        (
            partial(_of_logs, value=lambda m, n: (1 / m).mean()),
            partial(_of_logs, value=lambda m, n: _single(m, n).mean()),
            partial(_of_logs, value=lambda m, n: _single(m, n).median()),
        ),
    ),
    Mistake(
        "the ratios are averaged first: every point has its own in the likelihood.",
        (
            partial(_estimate, of=lambda m, n: m.mean()[None]),
            partial(_estimate, of=lambda m, n: m.exp().mean().log()[None]),
            partial(_of_logs, value=lambda m, n: 1 / m.exp().mean().log()),
        ),
    ),
    Mistake(
        "the largest ratios are left out: only the line of two_nn does that, the likelihood takes all of them.",
        _both(_estimate, of=lambda m, n: m.sort().values[: int(0.9 * len(m))]),
    ),
    Mistake(
        "the line of two_nn is fitted: the density of these ratios is another at n1 > 1, find the d of largest "
        "likelihood.",
        (partial(_fitted, fraction=0.9), partial(_fitted, fraction=1.0)),
    ),
    Mistake(
        "several scales are averaged: only that of n1 is asked for.",
        (*_both(_scales, powers=False), *_both(_scales, powers=True)),
    ),
    Mistake(
        "all neighbours up to 2 n1 count, as by Levina and Bickel: mu is one ratio of every point, r_{2 n1} / r_{n1}.",
        (
            partial(_between, value=lambda t: 1 / t.mean()),
            partial(_between, value=lambda t: (1 / t.mean(dim=1)).mean()),
            partial(_between, value=lambda t: 1 / (t.sum(dim=1) / max(t.shape[1] - 1, 1)).mean()),
        ),
    ),
    Mistake(
        "the logarithm is not the natural one.",
        tuple(
            lambda x, n1=1, base=base, less=less: gride(x, n1, less=less) * log(base)
            for base in (2, 10)
            for less in (0, 1)
        ),
    ),
    Mistake(
        "the logarithm of mu is missing.",
        (
            *_both(_estimate, of=lambda m, n: m.exp()),
            *_both(_estimate, ups=lambda m, d, n: (n - 1) * m / (1 - (-d * m).exp()) - (2 * n - 1) * m.exp()),
            partial(_of_logs, value=lambda m, n: 1 / m.exp().mean()),
        ),
    ),
    Mistake(
        ITSELF_COUNTED,
        (
            *_both(_estimate, first=lambda n: n - 1, second=lambda n: 2 * n - 1),
            _closed(first=lambda n: n - 1, second=lambda n: 2 * n - 1),
        ),
    ),
    Mistake(
        "the places are one too far: places count from 0, so neighbour n stands at place n - 1.",
        (
            *_both(_estimate, first=lambda n: n + 1, second=lambda n: 2 * n + 1),
            *_both(_estimate, first=lambda n: n + 1),
            *_both(_estimate, second=lambda n: 2 * n + 1),
        ),
    ),
    Mistake(
        "the point itself is counted in one of the two ranks only: mu is r_{2 n1} / r_{n1}, itself left out in both.",
        (
            *_both(_estimate, second=lambda n: 2 * n - (n > 1)),
            *_both(_estimate, second=lambda n: 2 * n - 1),
            *_both(_estimate, first=lambda n: max(n - 1, 1)),
        ),
    ),
    Mistake(
        "the second distance is that of neighbour n1 + 1: mu is r_{2 n1} / r_{n1}.",
        (
            partial(_estimate, second=lambda n: n + 1),
            *(_closed(less, second=lambda n: n + 1) for less in (0, 1)),
            *(
                partial(_of_logs, value=lambda m, n, less=less: (len(m) - less) / m.sum() / n, second=lambda n: n + 1)
                for less in (0, 1)
            ),
        ),
    ),
    Mistake(
        "the first distance is that of the nearest neighbour: mu is r_{2 n1} / r_{n1}.",
        (*_both(_estimate, first=lambda n: 1), *(_closed(less, first=lambda n: 1) for less in (0, 1))),
    ),
    Mistake(
        "the dimension is upside down: that is one divided by it.",
        tuple(lambda x, n1=1, less=less: 1 / gride(x, n1, less=less) for less in (0, 1)),
    ),
    Mistake(SQUARED, tuple(lambda x, n1=1, less=less: gride(x, n1, less=less) / 2 for less in (0, 1))),
    Mistake(L1, _both(_estimate, metric="L1")),
    Mistake(SPREAD, _both(_of_spread)),
    Mistake("distances are 1 - cosine: they are Euclidean.", _both(_estimate, metric="cosine")),
)

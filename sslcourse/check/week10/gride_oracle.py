"""Week 10: Gride, one ratio at a time, in float64, and the mistakes that have names.

Reference: Denti et al. 2022, "The generalized ratios intrinsic dimension estimator".
"""

from collections.abc import Callable
from functools import partial
from math import log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week10.oracle import L1, SQUARED, distances


def gride(x: Tensor, n1: int = 1, *, less: int = 0, second: Callable = lambda n: 2 * n, **ratios) -> float:
    """The d of largest likelihood of mu = r_2n / r_n, n = n1: a bisection of its slope, which falls.

    less: 1 for N - 1 points, which makes it unbiased at n1 = 1, as in the authors' DADApy.
    """
    rows = distances(x, **ratios)
    logs = [log(row[second(n1) - 1] / row[n1 - 1]) for row in rows if row[n1 - 1] > 0]

    def slope(d: float) -> float:
        # log d - ((2 n - 1) d + 1) log mu + (n - 1) log(mu^d - 1), differentiated
        ups = sum((n1 - 1) * m / (1 - 2.718281828459045 ** (-d * m)) - (2 * n1 - 1) * m for m in logs)
        return (len(logs) - less) / d + ups

    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return low


def _of_logs(x: Tensor, n1: int = 1, *, value: Callable) -> float:
    """Some function of all log mu, as tensors, in place of the largest likelihood."""
    logs = torch.tensor([log(row[2 * n1 - 1] / row[n1 - 1]) for row in distances(x) if row[n1 - 1] > 0])
    return float(value(logs.double(), n1))


def _root(x: Tensor, n1: int = 1, *, ups: Callable, less: int = 0) -> float:
    """gride with another slope: ups(m, e^(-d m), n1) is what stands beside 1 / d for one log mu."""
    logs = torch.tensor([log(row[2 * n1 - 1] / row[n1 - 1]) for row in distances(x) if row[n1 - 1] > 0]).double()
    low, high = 1e-3, 1e3
    for _ in range(60):
        d = (low * high) ** 0.5
        slope = (len(logs) - less) / d + float(ups(logs, (-d * logs).exp(), n1).sum())
        low, high = (d, high) if slope > 0 else (low, d)
    return low


_SLOPES = (
    lambda m, e, n: -(2 * n - 1) * m,
    lambda m, e, n: n * m / (1 - e) - (2 * n - 1) * m,
    lambda m, e, n: (n - 1) * m / (1 - e) - 2 * n * m,
    lambda m, e, n: (n - 1) * m / (1 - e) - (2 * n + 1) * m,
    lambda m, e, n: (n - 1) * m * e / (1 - e) - (2 * n - 1) * m,
    lambda m, e, n: (n - 1) * m - (2 * n - 1) * m,
    lambda m, e, n: m / (1 - e) - (2 * n - 1) * m,
    lambda m, e, n: (2 * n - 1) * m / (1 - e) - (2 * n - 1) * m,
)


def _closed(x: Tensor, n1: int = 1, *, first: Callable, second: Callable, less: int = 0) -> float:
    """N / sum log mu of two ranks, whatever these are."""
    logs = [log(row[second(n1) - 1] / row[first(n1) - 1]) for row in distances(x)]
    return (len(logs) - less) / sum(logs)


GRIDE_READINGS = (gride, partial(gride, less=1), lambda x, n1=1: gride(x, n1, less=int(n1 == 1)))
GRIDE_MISTAKES = (
    Mistake(
        "n1 is not used: mu is r_{2 n1} / r_{n1}.", (lambda x, n1=1: gride(x, 1), lambda x, n1=1: gride(x, 1, less=1))
    ),
    Mistake(
        "N / sum log(mu) is taken for every n1, which is the largest likelihood at n1 = 1 only: find the root of its "
        "slope.",
        tuple(partial(_closed, first=lambda n: n, second=lambda n: 2 * n, less=less) for less in (0, 1)),
    ),
    Mistake(
        "the slope of the log-likelihood is another: (N / d) + sum of (n1 - 1) log(mu) mu^d / (mu^d - 1) - (2 n1 - 1) "
        "log(mu).",
        tuple(partial(_root, ups=ups, less=less) for ups in _SLOPES for less in (0, 1)),
    ),
    Mistake(
        "it is log 2 over a mean or the median of log(mu), as for one scale: take the largest likelihood.",
        (
            partial(_of_logs, value=lambda m, n: log(2) / m.mean()),
            partial(_of_logs, value=lambda m, n: log(2) / m.median()),
            partial(_of_logs, value=lambda m, n: log(2) / m.quantile(0.5)),
        ),
    ),
    Mistake(
        "the reciprocals are averaged: the likelihood is that of all points together.",
        (partial(_of_logs, value=lambda m, n: (1 / m).mean()),),
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
        "the second distance is that of neighbour n1 + 1: mu is r_{2 n1} / r_{n1}.",
        (
            partial(gride, second=lambda n: n + 1),
            *(partial(_closed, first=lambda n: n, second=lambda n: n + 1, less=less) for less in (0, 1)),
        ),
    ),
    Mistake(
        "the dimension is upside down: that is one divided by it.",
        tuple(lambda x, n1=1, less=less: 1 / gride(x, n1, less=less) for less in (0, 1)),
    ),
    Mistake(SQUARED, tuple(lambda x, n1=1, less=less: gride(x, n1, less=less) / 2 for less in (0, 1))),
    Mistake(L1, (partial(gride, metric="L1"),)),
)

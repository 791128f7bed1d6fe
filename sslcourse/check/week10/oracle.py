"""Week 10: local dimension, in float64.

References: Facco et al. 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
eq. 5 and the algorithm below it. Larger scales, Denti et al. 2022: gride_oracle.py.
"""

from functools import partial
from math import ceil, log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def _sorted(x: Tensor, metric: str = "euclidean", parts: int | None = None) -> tuple[Tensor, Tensor]:
    """For every point the distances to all others, rising, and their numbers, (N, N - 1); itself left out.

    parts: others are looked for only among so many points at a time, which is wrong.
    """
    x = torch.as_tensor(x).double()
    if metric == "cosine":
        unit = x / x.norm(dim=1, keepdim=True)
        far = 1 - unit @ unit.T
    else:
        steps = (x[:, None] - x).abs()  # every difference by itself: products would lose the small ones
        far = steps.sum(dim=2) if metric == "L1" else steps.square().sum(dim=2).sqrt()
    if parts:
        part = torch.arange(len(x)) // parts
        far[part[:, None] != part] = torch.inf
    far.fill_diagonal_(torch.nan)  # sorted last
    values, numbers = far.sort(dim=1)
    return values[:, :-1], numbers[:, :-1]


def distances(x: Tensor, **how) -> list[list[float]]:
    return _sorted(x, **how)[0].tolist()


def neighbours(x: Tensor, k: int, **how) -> list[list[int]]:
    """Numbers of the k nearest others of every point."""
    return _sorted(x, **how)[1][:, :k].tolist()


def two_nearest(x: Tensor) -> Tensor:
    """(2, N): distances of every point to its nearest and its second nearest."""
    x = torch.as_tensor(x).double()
    rows = []
    for i, point in enumerate(x):
        far = (point - x).square().sum(dim=1).sqrt()
        rows.append(torch.cat([far[:i], far[i + 1 :]]).sort().values[:2])
    return torch.stack(rows, dim=1)


# --- two_nn and two_nn_mle


def two_nn(x: Tensor, fraction: float = 0.9) -> float:
    logs = sorted(log(row[1] / row[0]) for row in distances(x) if row[0] > 0)
    n, above, below = len(logs), 0.0, 0.0
    for i, mu in enumerate(logs, 1):
        if i <= int(fraction * n) and i < n:
            above += mu * -log(1 - i / n)
            below += mu * mu
    return above / below


def two_nn_mle(x: Tensor) -> float:
    logs = [log(row[1] / row[0]) for row in distances(x) if row[0] > 0]
    return (len(logs) - 1) / sum(logs)


def _ratios(
    x: Tensor,
    first: int = 0,
    power: float = 1,
    inverted: bool = False,
    metric: str = "euclidean",
    parts=None,
    ordered: bool = True,
    apart: int = 1,
    spread: bool = False,
) -> Tensor:
    """log mu, rising, with something wrong; right with the defaults.

    apart: ranks between the two distances; spread: every feature is divided by its spread before.
    """
    x = x.double() / x.double().std(dim=0) if spread else x
    rows = distances(x, metric=metric, parts=parts)
    pairs = torch.tensor(
        [[row[first], row[min(first + apart, len(row) - 1)]] for row in rows if row[0] > 0], dtype=torch.float64
    )
    logs = power * (pairs[:, 1] / pairs[:, 0]).log()
    logs = -logs if inverted else logs
    return logs.sort().values if ordered else logs


def _two_nn(
    x: Tensor,
    fraction: float = 0.9,
    *,
    shift: float = 0.0,
    more: int = 0,
    last: bool = False,
    intercept: bool = False,
    fixed: float | None = None,
    count=int,
    largest: str = "",
    swapped: bool = False,
    of_kept: bool = False,
    factor: float = 1,
    plain_mu: bool = False,
    **ratios,
) -> float:
    """two_nn with something wrong: levels (i - shift) / (n + more), or those of the kept ones only, and so on.

    last: the largest ratio is fitted too, where the fraction is 1; count: from fraction * n to how many are fitted.
    """
    logs = _ratios(x, **ratios)
    n = len(logs)
    keep = min(max(count((fixed or fraction) * n), 1), n if last else n - 1)
    total = keep + 1 if of_kept else n + more
    level = -(1 - (torch.arange(1, keep + 1).double() - shift) / total).log()
    mu = logs[:keep]
    if largest == "ratios":
        mu = logs[-keep:]
    elif largest:
        mu, level = logs[n - 1 - keep : n - 1], -(1 - torch.arange(n - keep, n).double() / n).log()
    mu = mu.exp() if plain_mu else mu
    if intercept:
        mu, level = mu - mu.mean(), level - level.mean()
    slope = (level @ level) / (mu @ level) if swapped else (mu @ level) / (mu @ mu)
    return factor * float(slope)


def _slope(**what) -> partial:
    return partial(_two_nn, **what)


def _slopes(x: Tensor, fraction: float = 0.9, *, mean: str) -> float:
    logs = _ratios(x)
    keep = min(int(fraction * len(logs)), len(logs) - 1)
    mu, level = logs[:keep], -(1 - torch.arange(1, keep + 1).double() / len(logs)).log()
    if mean == "of none":
        return float(level[-1] / mu[-1])
    if mean == "minus log F":
        return float(mu @ -(torch.arange(1, keep + 1).double() / len(logs)).log() / (mu @ mu))
    return float((level / mu).mean() if mean == "of slopes" else level.sum() / mu.sum())


def _likelihood(x: Tensor, fraction: float = 0.9, *, less: int) -> float:
    """Maximum likelihood from the kept ratios."""
    logs = _ratios(x)
    keep = min(int(fraction * len(logs)), len(logs) - 1)
    return (keep - less) / float(logs[:keep].sum())


NOT_NEXT = "r2 is the distance to the third nearest other point: that to the second is meant."
SPREAD = "every feature is divided by its spread first: distances are those of the points as they are."
SQUARED = "distances are squared: mu is a ratio of distances, so take the square root first."
INVERTED = "the ratio is inverted: mu = r2 / r1, at least 1, so that its logarithm is positive."
FURTHER = "one neighbour is left out too many: r1 is the distance to the nearest other point, r2 to the next."
CENTRE = "The distances of points far from the origin come out wrong: take the mean off first, then measure."
ITSELF = "a point counts as its own first neighbour: at distance 0 it would make every ratio infinite; leave it out."
L1 = "distances are sums of absolute differences (L1): they are Euclidean."
COSINE = "distances are 1 - cosine: they are Euclidean."
PARTS = "neighbours are looked for within a part of the points: all of them are candidates, also those of other chunks."
SIZES = (32, 64, 100, 128, 256)

TWO_NN_MISTAKES = (
    Mistake(
        "the empirical distribution is off by one: F_i = i / N with i from 1 on.",
        tuple(
            _slope(**what, last=last) for what in ({"shift": 1}, {"more": 1}, {"shift": 0.5}) for last in (True, False)
        )
        + (_slope(shift=1, more=-1),),
    ),
    Mistake(
        "the line has an intercept: it goes through the origin, slope = sum(x y) / sum(x x).", (_slope(intercept=True),)
    ),
    Mistake(SQUARED, (_slope(power=2),)),
    Mistake(INVERTED, (_slope(inverted=True), _slope(inverted=True, factor=-1))),
    Mistake(FURTHER, (_slope(first=1),)),
    Mistake("the ratios are not sorted: F_i = i / N belongs to the i-th smallest.", (_slope(ordered=False),)),
    Mistake(L1, (_slope(metric="L1"),)),
    Mistake(COSINE, (_slope(metric="cosine"),)),
    Mistake(PARTS, tuple(_slope(parts=size) for size in SIZES)),
    Mistake(
        "fraction is not used: only the smallest int(fraction * N) ratios are fitted.",
        (_slope(fixed=0.9), _slope(fixed=1.0), _slope(fixed=0.5)),
    ),
    Mistake(
        "fraction * N is rounded, or one more or one less is fitted: it is int(fraction * N), rounded down.",
        tuple(
            _slope(count=count)
            for count in (round, ceil, lambda n: int(n) + 1, lambda n: int(n) - 1, lambda n: int(n + 0.5))
        ),
    ),
    Mistake(
        "the largest ratios are fitted and the smallest left out: it is the other way round.",
        (_slope(largest="both"), _slope(largest="ratios")),
    ),
    Mistake(
        "F counts the kept ratios only: F_i = i / N with all N of them, the largest are merely not fitted.",
        (_slope(of_kept=True),),
    ),
    Mistake(
        "the axes are swapped: -log(1 - F) is fitted as a multiple of log(mu).",
        (_slope(swapped=True), lambda *a: 1 / _two_nn(*a), lambda *a: 1 / _two_nn(*a, swapped=True)),
    ),
    Mistake("the logarithm of mu is missing.", (_slope(plain_mu=True),)),
    Mistake("the sign is wrong: -log(1 - F) is positive.", (_slope(factor=-1),)),
    Mistake(
        "the two logarithms have different bases.",
        tuple(_slope(factor=factor) for base in (log(2), log(10)) for factor in (base, 1 / base)),
    ),
    Mistake(
        "this is the estimate by maximum likelihood: fit the line of the theory.",
        (
            lambda x, fraction=0.9: two_nn_mle(x),
            lambda x, fraction=0.9: len(_ratios(x)) / float(_ratios(x).sum()),
            partial(_likelihood, less=0),
            partial(_likelihood, less=1),
        ),
    ),
    Mistake(
        "one point decides, the last that is kept: fit the line to all of them, sum(x y) / sum(x x).",
        (partial(_slopes, mean="of none"),),
    ),
    Mistake("it is -log(F): -log(1 - F) is fitted, which rises with mu.", (partial(_slopes, mean="minus log F"),)),
    Mistake(NOT_NEXT, (_slope(apart=2),)),
    Mistake(SPREAD, (_slope(spread=True),)),
    Mistake(
        "slopes are averaged point by point: the fitted one is sum(x y) / sum(x x).",
        (partial(_slopes, mean="of slopes"),),
    ),
    Mistake(
        "the two means are divided: the fitted slope is sum(x y) / sum(x x), not sum(y) / sum(x).",
        (partial(_slopes, mean="of both"),),
    ),
)


def _mle(x: Tensor, *, kept: float = 1.0, minus: int = 1, root: float = 1, times: bool = False, **ratios) -> float:
    logs = _ratios(x, **ratios)
    logs = logs[: int(kept * len(logs))]
    value = (len(logs) - minus) / float(logs.sum())
    return 1 / value if times else value


TWO_NN_MLE_MISTAKES = (
    Mistake(
        "the largest ratios are left out: maximum likelihood takes all of them, without them it is about a third too "
        "high.",
        (
            partial(_mle, kept=0.9),
            partial(_mle, kept=0.9, minus=0),
            lambda x: (len(_ratios(x)) - 1) / float(_ratios(x)[: int(0.9 * len(_ratios(x)))].sum()),
        ),
    ),
    Mistake("it is divided by N: the unbiased form is (N - 1) / sum.", (partial(_mle, minus=0),)),
    Mistake(
        "it is N - 2, or N + 1: the unbiased form is (N - 1) / sum.", (partial(_mle, minus=2), partial(_mle, minus=-1))
    ),
    Mistake(SQUARED, (partial(_mle, power=2), partial(_mle, power=2, minus=0))),
    Mistake(
        "the ratio is inverted, or the sign is wrong: mu = r2 / r1 is at least 1, so that its logarithm is positive.",
        (partial(_mle, inverted=True), partial(_mle, inverted=True, minus=0)),
    ),
    Mistake(FURTHER, (partial(_mle, first=1),)),
    Mistake(NOT_NEXT, (partial(_mle, apart=2), partial(_mle, apart=2, minus=0))),
    Mistake(SPREAD, (partial(_mle, spread=True), partial(_mle, spread=True, minus=0))),
    Mistake(L1, (partial(_mle, metric="L1"),)),
    Mistake(COSINE, (partial(_mle, metric="cosine"),)),
    Mistake(PARTS, tuple(partial(_mle, parts=size) for size in SIZES)),
    Mistake(
        "the logarithm is not the natural one.",
        tuple(partial(_mle, power=1 / base, minus=minus) for base in (log(2), log(10)) for minus in (0, 1)),
    ),
    Mistake(
        "the logarithm of mu is missing.",
        tuple(
            lambda x, less=less, minus=minus: (len(_ratios(x)) - minus) / float((_ratios(x).exp() - less).sum())
            for less in (0, 1)
            for minus in (0, 1)
        ),
    ),
    Mistake(
        "the logarithm is taken of a mean: take it of every ratio, then sum.",
        tuple(
            lambda x, minus=minus: (1 - minus / len(_ratios(x))) / float(_ratios(x).exp().mean().log())
            for minus in (0, 1)
        ),
    ),
    Mistake(
        "the reciprocals are averaged: N - 1 divided by the sum of the logarithms.",
        tuple(lambda x, minus=minus: float((1 / _ratios(x)).sum()) / (len(_ratios(x)) - minus) for minus in (0, 1)),
    ),
    Mistake("it is divided by the mean of the logarithms: by their sum.", (lambda x: two_nn_mle(x) * len(_ratios(x)),)),
    Mistake(
        "it is log 2 over a median: all ratios count, by their sum.",
        (lambda x: log(2) / float(_ratios(x).quantile(0.5)), lambda x: log(2) / float(_ratios(x).median())),
    ),
    Mistake("this is the fitted line of two_nn: it is (N - 1) / sum log(mu).", (two_nn, partial(two_nn, fraction=1.0))),
    Mistake("the fraction is upside down: (N - 1) / sum log(mu).", (partial(_mle, times=True),)),
)

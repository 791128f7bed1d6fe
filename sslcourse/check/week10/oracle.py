"""Week 10: dimension and overlap of neighbourhoods, one point at a time, in float64.

References: Facco et al. 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
eq. 5 and the algorithm below it; Denti et al. 2022, "The generalized ratios intrinsic dimension estimator", eq. 5;
Gao et al. 2017 for the participation ratio; Doimo et al. 2020 for both overlaps.
"""

from functools import partial
from math import log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def _others(x: Tensor) -> list[list[tuple[float, int]]]:
    """For every point (distance, number) of all others, rising; itself left out by its number."""
    x = torch.as_tensor(x).double()
    rows = [(point - x).square().sum(dim=1).sqrt().tolist() for point in x]
    return [sorted((far, j) for j, far in enumerate(row) if j != i) for i, row in enumerate(rows)]


def distances(x: Tensor) -> list[list[float]]:
    return [[far for far, _ in row] for row in _others(x)]


def neighbours(x: Tensor, k: int) -> list[list[int]]:
    """Numbers of the k nearest others of every point."""
    return [[j for _, j in row[:k]] for row in _others(x)]


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


def _ratios(x: Tensor, first: int = 0, power: float = 1, inverted: bool = False) -> Tensor:
    """log mu, rising, with something wrong; right with the defaults."""
    pairs = torch.tensor([row[first : first + 2] for row in distances(x) if row[0] > 0], dtype=torch.float64)
    logs = power * (pairs[:, 1] / pairs[:, 0]).log()
    return (-logs if inverted else logs).sort().values


def _two_nn(
    x: Tensor,
    fraction: float = 0.9,
    *,
    shift: float = 0.0,
    more: int = 0,
    last: bool = False,
    intercept: bool = False,
    fixed: float | None = None,
    swapped: bool = False,
    of_kept: bool = False,
    sign: int = 1,
    plain_mu: bool = False,
    **ratios,
) -> float:
    """two_nn with something wrong: levels (i - shift) / (n + more), or those of the kept ones only, and so on.

    last: the largest ratio is fitted too, where the fraction is 1.
    """
    logs = _ratios(x, **ratios)
    n = len(logs)
    keep = min(int((fixed or fraction) * n), n if last else n - 1)
    total = keep + 1 if of_kept else n + more
    level = -(1 - (torch.arange(1, keep + 1).double() - shift) / total).log()
    mu = logs[:keep].exp() if plain_mu else logs[:keep]
    if intercept:
        mu, level = mu - mu.mean(), level - level.mean()
    slope = (level @ level) / (mu @ level) if swapped else (mu @ level) / (mu @ mu)
    return sign * float(slope)


def _slope(**what) -> partial:
    return partial(_two_nn, **what)


SQUARED = "distances are squared: mu is a ratio of distances, so take the square root first."
INVERTED = "the ratio is inverted: mu = r2 / r1, at least 1, so that its logarithm is positive."
FURTHER = "one neighbour is left out too many: r1 is the distance to the nearest other point, r2 to the next."
CENTRE = "The distances of points far from the origin come out wrong: take the mean off first, then measure."
ITSELF = "a point counts as its own first neighbour: at distance 0 it would make every ratio infinite; leave it out."

TWO_NN_MISTAKES = (
    Mistake(
        "the empirical distribution is off by one: F_i = i / N with i from 1 on.",
        tuple(
            _slope(**what, last=last) for what in ({"shift": 1}, {"more": 1}, {"shift": 0.5}) for last in (True, False)
        ),
    ),
    Mistake(
        "the line has an intercept: it goes through the origin, slope = sum(x y) / sum(x x).", (_slope(intercept=True),)
    ),
    Mistake(SQUARED, (_slope(power=2),)),
    Mistake(INVERTED, (_slope(inverted=True), _slope(inverted=True, sign=-1))),
    Mistake(FURTHER, (_slope(first=1),)),
    Mistake(
        "fraction is not used: only the smallest int(fraction * N) ratios are fitted.",
        (_slope(fixed=0.9), _slope(fixed=1.0), _slope(fixed=0.5)),
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
    Mistake("the sign is wrong: -log(1 - F) is positive.", (_slope(sign=-1),)),
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
    Mistake(SQUARED, (partial(_mle, power=2), partial(_mle, power=2, minus=0))),
    Mistake(INVERTED, (partial(_mle, inverted=True), partial(_mle, inverted=True, minus=0))),
    Mistake(FURTHER, (partial(_mle, first=1),)),
    Mistake("the fraction is upside down: (N - 1) / sum log(mu).", (partial(_mle, times=True),)),
)


# --- gride


def gride(x: Tensor, n1: int = 1) -> float:
    """The d of largest likelihood of mu = r_2n / r_n, n = n1: a bisection of its slope, which falls."""
    logs = [log(row[2 * n1 - 1] / row[n1 - 1]) for row in distances(x) if row[n1 - 1] > 0]

    def slope(d: float) -> float:
        # log d - ((2 n - 1) d + 1) log mu + (n - 1) log(mu^d - 1), differentiated
        return sum(1 / d - (2 * n1 - 1) * m + (n1 - 1) * m / (1 - 2.718281828459045 ** (-d * m)) for m in logs)

    low, high = 1e-3, 1e3
    for _ in range(80):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return low


# --- participation_ratio


def participation_ratio(x: Tensor) -> float:
    values = torch.linalg.eigvalsh(torch.cov(x.double().T.reshape(x.shape[1], -1)).reshape(x.shape[1], -1))
    return float(values.sum() ** 2 / values.square().sum())


def _participation(x: Tensor, *, centre: str = "samples", power: int = 2, kind: str = "") -> float:
    x = x.double()
    if centre != "none":
        x = x - x.mean(dim=0 if centre == "samples" else 1, keepdim=True)
    if kind == "standardised":
        x = x / x.std(dim=0)
    values = torch.linalg.svdvals(x) ** power
    if kind == "entropy":
        p = values / values.sum()
        return float((-(p * p.log()).sum()).exp())
    ratio = values.sum() ** 2 / values.square().sum()
    if kind == "upside down":
        return float(1 / ratio)
    if kind == "sum":
        return float(values.sum() / values.square().sum())
    if kind == "largest":
        return float(values.sum() / values.max())
    return float(ratio)


PARTICIPATION_MISTAKES = (
    Mistake(
        "the features are not centred: take the mean of every feature off first.",
        (partial(_participation, centre="none"), partial(_participation, centre="none", power=1)),
    ),
    Mistake(
        "the mean runs over the features: take off the mean over the samples, dim=0.",
        (partial(_participation, centre="features"),),
    ),
    Mistake(
        "singular values are taken for eigenvalues: lambda is their square.",
        (partial(_participation, power=1), partial(_participation, power=4)),
    ),
    Mistake("the fraction is upside down.", (partial(_participation, kind="upside down"),)),
    Mistake("the sum in the numerator is not squared.", (partial(_participation, kind="sum"),)),
    Mistake(
        "the features are divided by their spread: the eigenvalues are those of the covariance, not of correlations.",
        (partial(_participation, kind="standardised"),),
    ),
    Mistake("it is the exponential of an entropy, which is RankMe.", (partial(_participation, kind="entropy"),)),
)


# --- overlaps


def neighbourhood_overlap(a: Tensor, b: Tensor, k: int) -> float:
    shares = [
        len(set(here) & set(there)) / k for here, there in zip(neighbours(a, k), neighbours(b, k), strict=True)
    ]
    return sum(shares) / len(shares)


def label_overlap(x: Tensor, labels: Tensor, k: int) -> float:
    y = labels.tolist()
    shares = [sum(y[j] == y[i] for j in row) / k for i, row in enumerate(neighbours(x, k))]
    return sum(shares) / len(shares)


def _near(x: Tensor, k: int, kind: str = "") -> Tensor:
    """Neighbours (N, k) with something wrong."""
    x = x.double()
    far = torch.cdist(x, x)
    if kind == "cosine":
        unit = x / x.norm(dim=1, keepdim=True)
        far = -unit @ unit.T
    if kind == "farthest":
        return far.topk(min(k, len(x))).indices
    far.fill_diagonal_(-1e9 if kind in ("itself", "itself too") else 1e9)
    return far.topk(min(k + (kind == "itself too"), len(x)), largest=False).indices


def _common(here: Tensor, there: Tensor) -> Tensor:
    return (here[:, :, None] == there[:, None, :]).flatten(1).sum(dim=1).double()  # (N,)


def _overlap(a: Tensor, b: Tensor, k: int, *, kind: str = "", share: str = "k") -> float:
    here, there = _near(a, k, kind), _near(b, k, kind)
    common = _common(here, there)
    of = {
        "k": lambda: common / k,
        "union": lambda: common / (2 * k - common),
        "count": lambda: common,
        "both": lambda: common / (2 * k),
        "order": lambda: (here == there).double().mean(dim=1),
        "all": lambda: (common == k).double(),
        "k + 1": lambda: common / (k + 1),
    }
    return float(of[share]().mean())


_ITSELF_IN = "a point counts as its own neighbour, which it is in both: leave it out."
_COSINE = "neighbours are compared by cosine: the nearest are meant by Euclidean distance."
_FARTHEST = "the farthest points are taken: topk needs largest=False for distances."
_NOT_DIVIDED = "the number of common neighbours is not divided by k."
OVERLAP_MISTAKES = (
    Mistake(
        _ITSELF_IN,
        (
            partial(_overlap, kind="itself"),
            partial(_overlap, kind="itself too"),
            partial(_overlap, kind="itself too", share="k + 1"),
        ),
    ),
    Mistake(_COSINE, (partial(_overlap, kind="cosine"),)),
    Mistake(_FARTHEST, (partial(_overlap, kind="farthest"),)),
    Mistake(
        "it is divided by the union: the overlap is the number in common divided by k.",
        (partial(_overlap, share="union"),),
    ),
    Mistake(_NOT_DIVIDED, (partial(_overlap, share="count"),)),
    Mistake("the number in common is divided by 2 k: divide by k.", (partial(_overlap, share="both"),)),
    Mistake(
        "neighbours count only at the same rank: the two lists are sets, their order does not matter.",
        (partial(_overlap, share="order"),),
    ),
    Mistake("only complete agreement counts: take the mean share in common.", (partial(_overlap, share="all"),)),
)


def _labels(x: Tensor, labels: Tensor, k: int, *, kind: str = "", share: str = "k") -> float:
    same = labels[_near(x, k, kind)] == labels[:, None]
    count = same.double().sum(dim=1)
    of = {
        "k": lambda: count / k,
        "k + 1": lambda: count / (k + 1),
        "count": lambda: count,
        "majority": lambda: (count > k / 2).double(),
        "vote": lambda: (labels[_near(x, k, kind)].mode(dim=1).values == labels).double(),
        "any": lambda: (count > 0).double(),
    }
    return float(of[share]().mean())


LABEL_MISTAKES = (
    Mistake(
        _ITSELF_IN.replace(", which it is in both", " and has its own label"),
        (
            partial(_labels, kind="itself"),
            partial(_labels, kind="itself too"),
            partial(_labels, kind="itself too", share="k + 1"),
        ),
    ),
    Mistake(_COSINE, (partial(_labels, kind="cosine"),)),
    Mistake(_FARTHEST, (partial(_labels, kind="farthest"),)),
    Mistake("the number of equal labels is not divided by k.", (partial(_labels, share="count"),)),
    Mistake(
        "the neighbours vote, as in a classifier: the overlap is the mean share of equal labels.",
        (partial(_labels, share="majority"), partial(_labels, share="vote"), partial(_labels, share="any")),
    ),
)

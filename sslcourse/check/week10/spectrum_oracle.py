"""Week 10: the participation ratio, in float64.

Reference: Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement".
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def participation_ratio(x: Tensor) -> float:
    values = torch.linalg.eigvalsh(torch.cov(x.double().T.reshape(x.shape[1], -1)).reshape(x.shape[1], -1))
    return float(values.sum() ** 2 / values.square().sum())


def _participation(x: Tensor, *, centre: str = "samples", power: int = 2, kind: str = "") -> float:
    x = original = x.double()
    if centre == "all":
        x = x - x.mean()
    elif centre != "none":
        x = x - x.mean(dim=0 if centre == "samples" else 1, keepdim=True)
    if centre == "median":
        x = original - original.median(dim=0).values
    if kind == "rows":
        x = original / original.norm(dim=1, keepdim=True)
        x = x - x.mean(dim=0)
    if kind == "variances":
        values = x.var(dim=0)
        return float(values.sum() ** 2 / values.square().sum())
    if kind == "samples":
        x = x.T - x.T.mean(dim=0)
    if kind == "standardised":
        x = x / x.std(dim=0)
    values = torch.linalg.svdvals(x) ** power
    if kind == "without the largest":
        values = values[1:]
    if kind == "entropy":
        p = values / values.sum()
        return float((-(p * p.log()).sum()).exp())
    ratio = values.sum() ** 2 / values.square().sum()
    if kind == "upside down":
        return float(1 / ratio)
    if kind.startswith("sum"):  # the only one that depends on what the sums of squares are divided by
        by = {"sum": 1, "sum, N - 1": max(len(x) - 1, 1), "sum, N": len(x)}[kind]
        return float(by * values.sum() / values.square().sum())
    if kind == "largest":
        return float(values.sum() / values.max())
    if kind == "denominator":
        return float(values.sum() ** 2 / values.sum())
    if kind == "squared sum":
        return 1.0
    if kind == "mean":
        return float(ratio / x.shape[1])
    if kind == "root":
        return float(ratio.sqrt())
    if kind == "rank":
        return float((values > 1e-9 * values.max()).sum())
    if kind.startswith("share"):
        reached = (values.cumsum(0) / values.sum() >= float(kind[5:]) - 1e-12).double()
        return float(reached.argmax()) + 1
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
        "one mean is taken off all features: every feature has its own, dim=0.",
        (partial(_participation, centre="all"),),
    ),
    Mistake("singular values are taken for eigenvalues: lambda is their square.", (partial(_participation, power=1),)),
    Mistake(
        "the eigenvalues are squared once too often: those of a covariance, or the squares of singular values, are "
        "lambda already.",
        (partial(_participation, power=4),),
    ),
    Mistake(
        "the denominator is not squared: it is the sum of all lambda^2.", (partial(_participation, kind="denominator"),)
    ),
    Mistake(
        "means are taken where sums are meant: the result is divided by D.", (partial(_participation, kind="mean"),)
    ),
    Mistake(
        "the sum in the denominator is squared: it is the sum of the squares.",
        (partial(_participation, kind="squared sum"),),
    ),
    Mistake(
        "the rows are divided by their lengths first: take them as they are.", (partial(_participation, kind="rows"),)
    ),
    Mistake(
        "the variances of the single features are taken: lambda are the eigenvalues of the covariance.",
        (partial(_participation, kind="variances"),),
    ),
    Mistake("the median is taken off: a covariance has the mean, dim=0.", (partial(_participation, centre="median"),)),
    Mistake(
        "the mean of every sample is taken off as well: only that of every feature is, dim=0.",
        (partial(_participation, kind="samples"),),
    ),
    Mistake(
        "the largest eigenvalue is left out: all of them count.", (partial(_participation, kind="without the largest"),)
    ),
    Mistake("the root is taken: leave it out.", (partial(_participation, kind="root"),)),
    Mistake("it is the number of eigenvalues that are not 0: the rank.", (partial(_participation, kind="rank"),)),
    Mistake(
        "it is the number of components for a share of the variance: (sum lambda)^2 / sum lambda^2 needs no share.",
        tuple(partial(_participation, kind=f"share{share}") for share in (0.8, 0.9, 0.95, 0.99)),
    ),
    Mistake("it is the sum over the largest (the stable rank).", (partial(_participation, kind="largest"),)),
    Mistake("the fraction is upside down.", (partial(_participation, kind="upside down"),)),
    Mistake(
        "the sum in the numerator is not squared.",
        tuple(partial(_participation, kind=kind) for kind in ("sum", "sum, N - 1", "sum, N")),
    ),
    Mistake(
        "the features are divided by their spread: the eigenvalues are those of the covariance, not of correlations.",
        (partial(_participation, kind="standardised"),),
    ),
    Mistake("it is the exponential of an entropy, which is RankMe.", (partial(_participation, kind="entropy"),)),
)

"""Week 9: scores, one sample at a time, in float64. Higher is more in-distribution.

References: Hendrycks and Gimpel 2017 (largest softmax probability); Hendrycks et al. 2022 (largest logit); Liu et al.
2020 (energy); Ming et al. 2022 (maximum concept matching); Sun et al. 2022 (nearest neighbours); Lee et al. 2018
(Mahalanobis); Ren et al. 2021 (relative Mahalanobis).
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week04.oracle import unit

RIDGE = 1e-6  # times trace / D, on the diagonal of a covariance

# --- from logits


def msp(logits: Tensor, temperature: float = 1.0) -> Tensor:
    return torch.stack([(row / temperature - (row / temperature).logsumexp(0)).exp().max() for row in logits])


def max_logit(logits: Tensor) -> Tensor:
    return torch.tensor([max(row.tolist()) for row in logits], dtype=torch.float64)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """+T log sum exp(logit / T): minus the energy of Liu et al., so that higher is more in-distribution."""
    return torch.stack([temperature * (row / temperature).logsumexp(0) for row in logits])


def _flipped(score):
    return lambda *arguments: -score(*arguments)


_SIGN = "the sign is flipped: higher means more in-distribution."
_IGNORED = "temperature is not used: the logits are divided by it first."
_TIMES = "the logits are multiplied by the temperature: divide by it."
_BATCH = "it runs over the batch: a sample's classes are in its row, dim=1."

MSP_MISTAKES = (
    Mistake(
        _SIGN,
        (_flipped(msp), lambda x, t=1.0: 1 - msp(x, t)),
    ),
    Mistake(_IGNORED, (lambda x, t=1.0: msp(x, 1.0),)),
    Mistake(_TIMES, (lambda x, t=1.0: msp(x * t, 1.0),)),
    Mistake(
        "the temperature divides the probabilities: it divides the logits, before the softmax.",
        (lambda x, t=1.0: msp(x, 1.0) / t,),
    ),
    Mistake(_BATCH, (lambda x, t=1.0: (x / t).softmax(dim=0).max(dim=1).values,)),
    Mistake("the softmax is missing: it is the largest logit.", (lambda x, t=1.0: (x / t).max(dim=1).values,)),
    Mistake("it is the logarithm of the probability.", (lambda x, t=1.0: msp(x, t).log(),)),
    Mistake(
        "it is the smallest probability: take the largest.",
        (lambda x, t=1.0: (x / t).softmax(dim=1).min(dim=1).values,),
    ),
)
MAX_LOGIT_MISTAKES = (
    Mistake(_SIGN, (_flipped(max_logit), lambda x: (-x).max(dim=1).values)),
    Mistake("it is the largest probability: leave the softmax out.", (msp,)),
    Mistake("it is the smallest logit: take the largest.", (lambda x: x.min(dim=1).values,)),
)
ENERGY_MISTAKES = (
    Mistake(
        "the sign is flipped: this is the energy itself, and higher is to mean more in-distribution.",
        (_flipped(energy),),
    ),
    Mistake(_IGNORED, (lambda x, t=1.0: energy(x, 1.0),)),
    Mistake("the factor T before the logarithm is missing.", (lambda x, t=1.0: energy(x, t) / t,)),
    Mistake(
        "the temperature is a factor only: the logits are divided by it too.", (lambda x, t=1.0: t * energy(x, 1.0),)
    ),
    Mistake(_TIMES, (lambda x, t=1.0: t * (x * t).logsumexp(1), lambda x, t=1.0: (x * t).logsumexp(1) / t)),
    Mistake("it is the largest logit: sum the exponentials of all.", (lambda x, t=1.0: x.max(dim=1).values,)),
    Mistake("the logarithm is missing.", (lambda x, t=1.0: t * (x / t).exp().sum(dim=1),)),
    Mistake("the exponentials are averaged: sum them.", (lambda x, t=1.0: t * (x / t).exp().mean(dim=1).log(),)),
)


# --- from embeddings


def mcm(image_emb: Tensor, text_weights: Tensor, temperature: float = 1.0) -> Tensor:
    """The largest softmax probability of the cosines divided by T."""
    w = unit(text_weights.T)  # (K, D)
    return msp(torch.stack([torch.stack([x.dot(c) for c in w]) for x in unit(image_emb)]), temperature)


def _mcm(x: Tensor, w: Tensor, t: float = 1.0, *, lengths=(unit, unit), score=msp) -> Tensor:
    return score(lengths[0](x) @ lengths[1](w.T).T, t)


def _as_is(z: Tensor) -> Tensor:
    return z


MCM_MISTAKES = (
    Mistake(_SIGN, (_flipped(mcm), lambda x, w, t=1.0: 1 - mcm(x, w, t))),
    Mistake("temperature is not used: the cosines are divided by it.", (lambda x, w, t=1.0: mcm(x, w, 1.0),)),
    Mistake("the cosines are multiplied by the temperature: divide by it.", (lambda x, w, t=1.0: mcm(x, w, 1 / t),)),
    Mistake(
        "the embeddings are not normalised: these are inner products, no cosines.",
        (partial(_mcm, lengths=(_as_is, unit)), partial(_mcm, lengths=(_as_is, _as_is))),
    ),
    Mistake(
        "the softmax is missing: it is the largest cosine.",
        (
            partial(_mcm, score=lambda c, t: c.max(dim=1).values),
            partial(_mcm, score=lambda c, t: (c / t).max(dim=1).values),
        ),
    ),
    Mistake(_BATCH, (partial(_mcm, score=lambda c, t: (c / t).softmax(dim=0).max(dim=1).values),)),
)


def knn_score(train_x: Tensor, x: Tensor, k: int = 1) -> Tensor:
    """Minus the k-th smallest distance between the sample and all training samples, both of length 1."""
    bank = unit(train_x)
    return torch.stack([-sorted((row - other).square().sum().sqrt() for other in bank)[k - 1] for row in unit(x)])


def _knn(train_x: Tensor, x: Tensor, k: int = 1, *, lengths=(unit, unit), of=lambda d, k: d[:, k - 1]) -> Tensor:
    return -of(torch.cdist(lengths[1](x), lengths[0](train_x)).sort(dim=1).values, k)


KNN_MISTAKES = (
    Mistake(
        "the sign is flipped: a small distance means in-distribution, so it is minus the distance.",
        (_flipped(knn_score),),
    ),
    Mistake(
        "the features are not normalised: divide every row of both by its length.",
        (partial(_knn, lengths=(_as_is, _as_is)),),
    ),
    Mistake(
        "only one side is normalised.", (partial(_knn, lengths=(unit, _as_is)), partial(_knn, lengths=(_as_is, unit)))
    ),
    Mistake(
        "k is not used: it is the distance to the k-th neighbour.",
        tuple(partial(_knn, of=lambda d, k, n=n: d[:, n]) for n in (0, 1)),
    ),
    Mistake(
        "it is one neighbour too far: the nearest is number 1, at place 0.", (partial(_knn, of=lambda d, k: d[:, k]),)
    ),
    Mistake(
        "it is the mean over the k nearest: take the distance to the k-th.",
        (partial(_knn, of=lambda d, k: d[:, :k].mean(1)),),
    ),
    Mistake("it is the k-th largest distance: take the k-th smallest.", (partial(_knn, of=lambda d, k: d[:, -k]),)),
    Mistake("the distances are squared.", (partial(_knn, of=lambda d, k: d[:, k - 1].square()),)),
    Mistake(
        "it is the cosine: take minus the Euclidean distance.",
        (partial(_knn, of=lambda d, k: d[:, k - 1].square() / 2 - 1),),
    ),
)


# --- Mahalanobis


def covariance(deviations: Tensor, divisor: int, ridge: float = RIDGE) -> Tensor:
    """Sum of outer products over the divisor, plus the ridge on the diagonal; one sample after the other."""
    total = sum(torch.outer(row, row) for row in deviations) / divisor
    return total + ridge * total.trace() / len(total) * torch.eye(len(total), dtype=total.dtype)


def _distances(x: Tensor, means: Tensor, cov: Tensor) -> Tensor:
    """Squared Mahalanobis distances (N, K)."""
    inverse = torch.linalg.inv(cov)
    return torch.stack([torch.stack([(row - m) @ inverse @ (row - m) for m in means]) for row in x])


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


def _variant(train_x, train_y, x, *, cov="within", means="class", of=lambda d: -d.min(dim=1).values) -> Tensor:
    """mahalanobis with something wrong."""
    class_means, deviations = _by_class(train_x, train_y)
    n, centred = len(train_x), train_x - train_x.mean(dim=0)
    sigma = {
        "within": lambda: covariance(deviations, n),
        "total": lambda: covariance(centred, n),
        "unbiased": lambda: covariance(deviations, n - 1),
        "pooled": lambda: covariance(deviations, n - len(class_means)),
        "not centred": lambda: covariance(train_x, n),
        "none": lambda: torch.eye(train_x.shape[1], dtype=train_x.dtype),
        "diagonal": lambda: covariance(deviations, n).diagonal().diag(),
        "inverted": lambda: torch.linalg.inv(covariance(deviations, n)),
        "sum": lambda: covariance(deviations, 1),
        "of each": lambda: None,
    }[cov]()
    centres = {"class": class_means, "zero": torch.zeros_like(class_means[:1]), "all": train_x.mean(dim=0)[None]}[means]
    if sigma is None:
        each = []
        for y, centre in zip(sorted(set(train_y.tolist())), class_means, strict=True):
            rows = train_x[train_y == y] - centre
            each.append(_distances(x, centre[None], covariance(rows, len(rows)))[:, 0])
        return of(torch.stack(each, dim=1))
    return of(_distances(x, centres, sigma))


def _maha(**what) -> partial:
    return partial(_variant, **what)


MAHALANOBIS_MISTAKES = (
    Mistake("the sign is flipped: a small distance means in-distribution.", (_flipped(mahalanobis),)),
    Mistake(
        "the covariance is that of the whole set: subtract from every sample the mean of its own class first.",
        (_maha(cov="total"),),
    ),
    Mistake(
        "the means are not subtracted: distances are from the class means.",
        (_maha(means="zero"), _maha(means="zero", cov="not centred")),
    ),
    Mistake(
        "there is one mean for all: distances are from the mean of each class.",
        (_maha(means="all"), _maha(means="all", cov="total")),
    ),
    Mistake("the samples are not centred before their covariance.", (_maha(cov="not centred"),)),
    Mistake(
        "it is the largest distance to a class: take the smallest.",
        (_maha(of=lambda d: -d.max(dim=1).values), _maha(of=lambda d: (-d).min(dim=1).values)),
    ),
    Mistake("it is the mean over the classes: take the smallest distance.", (_maha(of=lambda d: -d.mean(dim=1)),)),
    Mistake("the root is taken: the distance stays squared.", (_maha(of=lambda d: -d.min(dim=1).values.sqrt()),)),
    Mistake(
        "the distance is halved, as in the density: the score is minus the squared distance.",
        (_maha(of=lambda d: -d.min(dim=1).values / 2),),
    ),
    Mistake("the covariance is divided by N - 1 or N - K: divide by N.", (_maha(cov="unbiased"), _maha(cov="pooled"))),
    Mistake("the covariance is not divided by N.", (_maha(cov="sum"),)),
    Mistake("the covariance is not used: these are Euclidean distances.", (_maha(cov="none"),)),
    Mistake("only the variances are used: the covariance has an off-diagonal too.", (_maha(cov="diagonal"),)),
    Mistake("it is multiplied by the covariance: multiply by its inverse.", (_maha(cov="inverted"),)),
    Mistake("every class has a covariance of its own: it is shared.", (_maha(cov="of each"),)),
)


def _relative(
    train_x, train_y, x, *, sign: float = -1, cov: str = "total", of=lambda d: -d.min(dim=1).values
) -> Tensor:
    """relative with something wrong; the background's covariance is `cov`."""
    own = mahalanobis(train_x, train_y, x)
    return own + sign * _variant(train_x, train_y, x, means="all", cov=cov)


RELATIVE_MISTAKES = (
    Mistake("the background is added: subtract its score.", (partial(_relative, sign=1),)),
    Mistake("the background is missing: this is score(x).", (mahalanobis,)),
    Mistake(
        "the background has the covariance within classes: it is one Gaussian over all training data, with that "
        "of the whole set.",
        (partial(_relative, cov="within"),),
    ),
    Mistake(
        "the background is not centred: its covariance is that around its own mean.",
        (partial(_relative, cov="not centred"),),
    ),
    Mistake("the sign is flipped: it is score(x) minus that of the background.", (_flipped(relative),)),
)

"""Week 9: scores, one sample at a time, in float64. Higher is more in-distribution.

References: Hendrycks and Gimpel 2017 (largest softmax probability); Hendrycks et al. 2022 (largest logit); Liu et al.
2020 (energy); Ming et al. 2022 (maximum concept matching); Sun et al. 2022 (nearest neighbours).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week04.oracle import unit

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

_LABEL = "it is the number of the best class: take the value there, not the place."
_OVER_T = "the temperature divides the probabilities: it divides the logits, before the softmax."
_LOG = "it is the logarithm of the probability."
_ALONE = "every class is judged alone, by a sigmoid: it is a softmax over all classes."
_TWICE = "the softmax is taken twice."
_MARGIN = "it is the lead over the second class: take the largest alone."
_ENTROPY = "it is an entropy: take the largest probability."


def _top(x: Tensor, n: int = 0) -> Tensor:
    return x.sort(dim=1, descending=True).values[:, min(n, x.shape[1] - 1)]


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.log()).sum(dim=1)


def _centred(x: Tensor) -> Tensor:
    return x - x.amax(dim=1, keepdim=True)


MSP_MISTAKES = (
    Mistake(_SIGN, (_flipped(msp), lambda x, t=1.0: 1 - msp(x, t))),
    Mistake(_IGNORED, (lambda x, t=1.0: msp(x, 1.0),)),
    Mistake(_TIMES, (lambda x, t=1.0: msp(x * t, 1.0),)),
    Mistake(_OVER_T, (lambda x, t=1.0: msp(x, 1.0) / t,)),
    Mistake(
        "the temperature multiplies the probability: it divides the logits, nothing else.",
        (lambda x, t=1.0: t * msp(x, t), lambda x, t=1.0: t * msp(x, 1.0)),
    ),
    Mistake(_BATCH, (lambda x, t=1.0: (x / t).softmax(dim=0).max(dim=1).values,)),
    Mistake(
        "the softmax is missing: it is the largest logit.", (lambda x, t=1.0: _top(x / t), lambda x, t=1.0: _top(x))
    ),
    Mistake(_LOG, (lambda x, t=1.0: msp(x, t).log(), lambda x, t=1.0: -msp(x, t).log())),
    Mistake(
        "it is the smallest probability: take the largest.",
        (lambda x, t=1.0: (x / t).softmax(dim=1).min(dim=1).values,),
    ),
    Mistake("it is the second largest probability.", (lambda x, t=1.0: _top((x / t).softmax(dim=1), 1),)),
    Mistake(
        "it is the mean over the classes: take the largest.", (lambda x, t=1.0: (x / t).softmax(dim=1).mean(dim=1),)
    ),
    Mistake(_LABEL, (lambda x, t=1.0: x.argmax(dim=1).double(),)),
    Mistake(_ALONE, (lambda x, t=1.0: _top((x / t).sigmoid()), lambda x, t=1.0: _top(x.sigmoid()))),
    Mistake(_TWICE, (lambda x, t=1.0: msp((x / t).softmax(dim=1)), lambda x, t=1.0: msp(x.softmax(dim=1), t))),
    Mistake(_MARGIN, (lambda x, t=1.0: _top((x / t).softmax(1)) - _top((x / t).softmax(1), 1),)),
    Mistake(
        _ENTROPY,
        tuple(lambda x, t=1.0, sign=sign: sign * _entropy((x / t).softmax(dim=1)) for sign in (1, -1)),
    ),
    Mistake(
        "the exponential is missing: every logit is divided by their sum; softmax takes exponentials first.",
        (lambda x, t=1.0: _top(x / x.sum(dim=1, keepdim=True)), lambda x, t=1.0: _top(x) / x.sum(dim=1)),
    ),
)
MAX_LOGIT_MISTAKES = (
    Mistake(_SIGN, (_flipped(max_logit), lambda x: (-x).max(dim=1).values)),
    Mistake("it is the largest probability, or its logarithm: leave the softmax out.", (msp, lambda x: msp(x).log())),
    Mistake("it is the smallest logit: take the largest.", (lambda x: x.min(dim=1).values,)),
    Mistake("it is the second largest logit.", (lambda x: _top(x, 1),)),
    Mistake("it is the largest without its sign: a logit of -5 is below one of 1.", (lambda x: x.abs().amax(dim=1),)),
    Mistake("logits are clamped at 0: where all are negative, the largest is too.", (lambda x: _top(x).clamp(min=0),)),
    Mistake(_LABEL, (lambda x: x.argmax(dim=1).double(),)),
    Mistake(_MARGIN, (lambda x: _top(x) - _top(x, 1),)),
    Mistake(
        "the logits are centred or scaled: take the largest as it stands.",
        (
            lambda x: _top(x) - x.mean(dim=1),
            lambda x: _top(x) / x.norm(dim=1),
            lambda x: _top((x - x.mean(dim=0)) / x.std(dim=0)),
            lambda x: _top(x - x.mean(dim=0)),
        ),
    ),
    Mistake(
        "it is a sum or mean over the classes: take the largest.",
        (lambda x: x.mean(dim=1), lambda x: x.sum(dim=1), lambda x: x.logsumexp(dim=1)),
    ),
    Mistake("it is a sigmoid of the logit: leave it out.", (lambda x: _top(x).sigmoid(),)),
)
ENERGY_MISTAKES = (
    Mistake(
        "the sign is flipped: this is the energy itself, and higher is to mean more in-distribution.",
        (_flipped(energy), lambda x, t=1.0: -energy(x, 1.0)),
    ),
    Mistake(_IGNORED, (lambda x, t=1.0: energy(x, 1.0),)),
    Mistake("the factor T before the logarithm is missing.", (lambda x, t=1.0: energy(x, t) / t,)),
    Mistake("the logarithm is divided by T: multiply.", (lambda x, t=1.0: energy(x, t) / t**2,)),
    Mistake(
        "the temperature is a factor only: the logits are divided by it too.", (lambda x, t=1.0: t * energy(x, 1.0),)
    ),
    Mistake(
        _TIMES,
        (
            lambda x, t=1.0: t * (x * t).logsumexp(1),
            lambda x, t=1.0: (x * t).logsumexp(1) / t,
            lambda x, t=1.0: (x * t).logsumexp(1),
        ),
    ),
    Mistake("it is the largest logit: sum the exponentials of all.", (lambda x, t=1.0: x.max(dim=1).values,)),
    Mistake(
        "the logarithm is missing.", tuple(lambda x, t=1.0, k=k: k(t) * (x / t).exp().sum(dim=1) for k in (float, bool))
    ),
    Mistake(
        "the exponentials are averaged: sum them.",
        (lambda x, t=1.0: t * (x / t).exp().mean(dim=1).log(), lambda x, t=1.0: (x / t).exp().mean(dim=1).log()),
    ),
    Mistake(
        "the exponential is missing: the logits themselves are summed.",
        (
            lambda x, t=1.0: x.sum(dim=1),
            lambda x, t=1.0: x.mean(dim=1),
            lambda x, t=1.0: (x / t).sum(dim=1),
        ),
    ),
    Mistake(
        "the largest logit is taken off before the exponential and not put back as it was.",
        (
            lambda x, t=1.0: energy(_centred(x), t),
            lambda x, t=1.0: energy(_centred(x), t) + _top(x) / t,
            lambda x, t=1.0: energy(_centred(x), t) + t * _top(x),
        ),
    ),
    Mistake(
        "a softmax is taken first: sum the exponentials of the logits.",
        (
            lambda x, t=1.0: t * (x / t).softmax(dim=1).logsumexp(1),
            lambda x, t=1.0: energy(x.softmax(dim=1), t),
            lambda x, t=1.0: (x / t).log_softmax(dim=1).logsumexp(1),
        ),
    ),
    Mistake(
        "the logarithm is not the natural one.",
        tuple(lambda x, t=1.0, base=base: energy(x, t) / torch.tensor(base).log() for base in (2.0, 10.0)),
    ),
    Mistake(
        "each exponential gets a 1 added (softplus): sum the exponentials, then the logarithm.",
        (
            lambda x, t=1.0: t * torch.nn.functional.softplus(x / t).sum(dim=1),
            lambda x, t=1.0: t * (x / t).exp().sum(dim=1).log1p(),
        ),
    ),
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


def _unit_columns(z: Tensor) -> Tensor:
    return z / z.norm(dim=0)


def _cosines(score: Callable) -> partial:
    return partial(_mcm, score=score)


MCM_MISTAKES = (
    Mistake(_SIGN, (_flipped(mcm), lambda x, w, t=1.0: 1 - mcm(x, w, t))),
    Mistake("temperature is not used: the cosines are divided by it.", (lambda x, w, t=1.0: mcm(x, w, 1.0),)),
    Mistake("the cosines are multiplied by the temperature: divide by it.", (lambda x, w, t=1.0: mcm(x, w, 1 / t),)),
    Mistake(_OVER_T, (lambda x, w, t=1.0: mcm(x, w, 1.0) / t,)),
    Mistake(
        "the embeddings are not normalised: these are inner products, no cosines.",
        (partial(_mcm, lengths=(_as_is, unit)), partial(_mcm, lengths=(_as_is, _as_is))),
    ),
    Mistake(
        "the normalisation runs over the batch: divide every image by its own length, dim=1.",
        (partial(_mcm, lengths=(_unit_columns, unit)),),
    ),
    Mistake(
        "the weights are normalised over the classes: their columns have length 1 already, leave them.",
        (partial(_mcm, lengths=(unit, _unit_columns)), partial(_mcm, lengths=(_as_is, _unit_columns))),
    ),
    Mistake(
        "the softmax is missing: it is the largest cosine.",
        (_cosines(lambda c, t: _top(c)), _cosines(lambda c, t: _top(c / t))),
    ),
    Mistake(_BATCH, (_cosines(lambda c, t: (c / t).softmax(dim=0).max(dim=1).values),)),
    Mistake(
        "the cosines are clamped at 0: negative ones stay.",
        (_cosines(lambda c, t: msp(c.clamp(min=0), t)), _cosines(lambda c, t: msp(c.abs(), t))),
    ),
    Mistake(_LOG, (_cosines(lambda c, t: msp(c, t).log()), _cosines(lambda c, t: -msp(c, t).log()))),
    Mistake(_ALONE, (_cosines(lambda c, t: _top((c / t).sigmoid())),)),
    Mistake(_TWICE, (_cosines(lambda c, t: msp((c / t).softmax(dim=1))), _cosines(lambda c, t: msp(c.softmax(1), t)))),
    Mistake(_LABEL, (_cosines(lambda c, t: c.argmax(dim=1).double()),)),
    Mistake("it is the smallest probability: take the largest.", (_cosines(lambda c, t: (c / t).softmax(1).amin(1)),)),
    Mistake(
        "it is the energy of the cosines: take the largest softmax probability.",
        (_cosines(energy), _cosines(lambda c, t: energy(c, t) / t)),
    ),
    Mistake(_MARGIN, (_cosines(lambda c, t: _top((c / t).softmax(1)) - _top((c / t).softmax(1), 1)),)),
    Mistake(
        _ENTROPY, tuple(_cosines(lambda c, t, sign=sign: sign * _entropy((c / t).softmax(dim=1))) for sign in (1, -1))
    ),
    Mistake(
        "the cosines are multiplied by 100 as well: the temperature alone scales them.",
        (lambda x, w, t=1.0: mcm(x, w, t / 100), lambda x, w, t=1.0: mcm(x, w, 0.01)),
    ),
)


def knn_score(train_x: Tensor, x: Tensor, k: int = 1) -> Tensor:
    """Minus the k-th smallest distance between the sample and all training samples, both of length 1."""
    bank = unit(train_x)
    return torch.stack([-(row - bank).square().sum(dim=1).sqrt().sort().values[k - 1] for row in unit(x)])


def _knn(train_x: Tensor, x: Tensor, k: int = 1, *, lengths=(unit, unit), of=lambda d, k: d[:, k - 1]) -> Tensor:
    return -of(torch.cdist(lengths[1](x), lengths[0](train_x)).sort(dim=1).values, k)


def _k_th(d: Tensor, k: int) -> Tensor:
    return d[:, min(k, d.shape[1]) - 1]


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
        "the normalisation runs over the samples: divide every row by its own length, dim=1.",
        (partial(_knn, lengths=(_unit_columns, _unit_columns)),),
    ),
    Mistake(
        "the features are standardised: divide every row by its length, and do nothing else to it.",
        (
            lambda train, x, k=1: _knn(train, x, k, lengths=(lambda z: (z - train.mean(0)) / train.std(0),) * 2),
            lambda train, x, k=1: _knn(train, x, k, lengths=(lambda z: unit((z - train.mean(0)) / train.std(0)),) * 2),
            lambda train, x, k=1: _knn(train, x, k, lengths=(lambda z: unit(z - train.mean(0)),) * 2),
        ),
    ),
    Mistake(
        "k is not used: it is the distance to the k-th neighbour.",
        tuple(partial(_knn, of=lambda d, k, n=n: _k_th(d, n)) for n in (1, 2, 5, 50)),
    ),
    Mistake(
        "it is one neighbour too far: the nearest is number 1, at place 0.",
        (partial(_knn, of=lambda d, k: _k_th(d, k + 1)),),
    ),
    Mistake("it is one neighbour too near: it is number k.", (partial(_knn, of=lambda d, k: _k_th(d, max(k - 1, 1))),)),
    Mistake(
        "it is the mean over the k nearest: take the distance to the k-th.",
        (partial(_knn, of=lambda d, k: d[:, :k].mean(1)), partial(_knn, of=lambda d, k: d[:, :k].sum(1))),
    ),
    Mistake(
        "it is a mean over all training samples: take the distance to the k-th nearest.",
        (partial(_knn, of=lambda d, k: d.mean(1)),),
    ),
    Mistake("it is the k-th largest distance: take the k-th smallest.", (partial(_knn, of=lambda d, k: d[:, -k]),)),
    Mistake("the distances are squared.", (partial(_knn, of=lambda d, k: _k_th(d, k).square()),)),
    Mistake(
        "it is the cosine: take minus the Euclidean distance.",
        tuple(
            partial(_knn, of=lambda d, k, a=a, b=b: a * (_k_th(d, k).square() / 2 - b))
            for a, b in ((1, 1), (1, 0), (-1, 1))
        )
        + tuple(partial(_knn, of=lambda d, k, a=a: a * (d[:, :k].square() / 2 - 1).mean(1)) for a in (1, -1)),
    ),
    Mistake(
        "the differences are summed without squares (L1): the distance is Euclidean.",
        (lambda train, x, k=1: -_k_th(torch.cdist(unit(x), unit(train), p=1).sort(dim=1).values, k),),
    ),
    Mistake(
        "training samples at distance 0 are left out: x is another set, and a copy of it in the training set is its "
        "nearest neighbour.",
        (
            partial(_knn, of=lambda d, k: _k_th(d.masked_fill(d < 1e-6, torch.inf).sort(dim=1).values, k)),
            partial(_knn, of=lambda d, k: torch.stack([row.unique()[min(k, len(row.unique())) - 1] for row in d])),
        ),
    ),
    Mistake(
        "the distance is turned into a similarity: take minus the distance itself.",
        (
            lambda train, x, k=1: knn_score(train, x, k).exp(),
            lambda train, x, k=1: 1 / (1 - knn_score(train, x, k)),
            lambda train, x, k=1: 1 + knn_score(train, x, k),
        ),
    ),
)

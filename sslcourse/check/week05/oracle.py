"""Week 5: the loss of MoCo, one number at a time, as the paper writes it.

Reference: He et al. 2020, "Momentum contrast for unsupervised visual representation learning", eq. 1 and 2.
"""

from functools import partial
from math import exp, log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week04.oracle import unit


def _as_is(z: Tensor) -> Tensor:
    return z


def _unit_columns(z: Tensor) -> Tensor:
    return z / z.norm(dim=0)


def _columns_then_rows(z: Tensor) -> Tensor:
    return unit(_unit_columns(z))


# --- info_nce


def info_nce(q: Tensor, k: Tensor, queue: Tensor, temperature: float = 0.07) -> Tensor:
    """MoCo, eq. 1, averaged over the queries; no gradient to k and the queue."""
    q, k, queue = unit(q), unit(k.detach()), unit(queue.detach())
    loss = 0.0
    for query, key in zip(q, k, strict=True):
        positive = (query.dot(key) / temperature).exp()
        negatives = sum((query.dot(other) / temperature).exp() for other in queue)
        loss = loss - (positive / (positive + negatives)).log()
    return loss / len(q)


_OTHER_LOSSES = {
    "softmax twice": lambda logits: -logits.softmax(dim=1).log_softmax(dim=1)[:, 0].mean(),
    "log of the mean": lambda logits: -logits.softmax(dim=1)[:, 0].mean().log(),
    "no logarithm": lambda logits: -logits.softmax(dim=1)[:, 0].mean(),
    "probability": lambda logits: 1 - logits.softmax(dim=1)[:, 0].mean(),
    "positive twice": lambda logits: -(logits[:, 0] - torch.cat([logits[:, :1], logits], 1).logsumexp(1)).mean(),
    "mean of the negatives": lambda logits: (
        -(logits[:, 0] - (logits[:, 0].exp() + logits[:, 1:].exp().mean(dim=1)).log()).mean()
    ),
    "over the batch": lambda logits: -logits.log_softmax(dim=0)[:, 0].mean(),
    **{
        f"smoothed by {share}": lambda logits, share=share: torch.nn.functional.cross_entropy(
            logits, torch.zeros(len(logits), dtype=torch.long), label_smoothing=share
        )
        for share in (0.1, 0.05, 0.2)
    },
    "binary": lambda logits: torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.eye(1, logits.shape[1], dtype=logits.dtype).expand_as(logits)
    ),
}


def _info_nce(
    q: Tensor,
    k: Tensor,
    queue: Tensor,
    temperature: float = 0.07,
    *,
    lengths=(unit, unit, unit),
    invert: bool = False,
    fixed: float | None = None,
    anchor: str = "q",
    positive_in: bool = True,
    batch: str = "none",
    answer: str = "first",
    factor=lambda n: 1,
    warm=lambda t: 1,
    similarity=lambda s: s,
    product=lambda a, b: a @ b.T,
    hardest=None,
    kind: str = "",
) -> Tensor:
    """info_nce with something wrong; right with the defaults.

    lengths: of q, k, queue; anchor: who is compared with the queue; batch: which other keys of the batch are candidates
    too ("k", or "k only" in place of the queue; "all of k" and "all of k only" count the own key twice); answer:
    "first", the row's own number ("own"), or another column that is the same for all. warm: what the loss is multiplied
    by, of the temperature; hardest: how many of the queue's keys are candidates, of its size.
    """
    q, k, queue = (f(x) for f, x in zip(lengths, (q, k, queue), strict=True))
    temperature = fixed or temperature
    scale = temperature if invert else 1 / temperature
    positive = similarity(product(q, k).diagonal()[:, None]) * (1 if kind == "negatives scaled" else scale)  # (N, 1)
    negatives = similarity(product(q if anchor == "q" else k, queue)) * (1 if kind == "positive scaled" else scale)
    if hardest is not None:
        negatives = negatives.topk(min(hardest(len(queue)), len(queue)), dim=1).values
    if kind == "one positive":
        positive = positive.roll(1, dims=0)
    others = (q @ k.T * scale).fill_diagonal_(-torch.inf)  # (N, N)
    everybody = q @ k.T * scale
    candidates = {
        "none": [negatives],
        "k": [negatives, others],
        "k only": [others],
        "all of k": [negatives, everybody],
        "all of k only": [everybody],
    }[batch]
    logits = torch.cat([positive, *candidates], dim=1)
    if kind in _OTHER_LOSSES:
        return factor(len(q)) * warm(temperature) * _OTHER_LOSSES[kind](logits)
    columns = {"first": 0, "own": torch.arange(len(q)), "second": 1, "last": -1}[answer]
    right = logits[torch.arange(len(q)), columns]
    loss = (logits if positive_in else logits[:, 1:]).logsumexp(dim=1) - right
    return factor(len(q)) * warm(temperature) * loss.mean()


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return -(a[:, None] - b).norm(dim=2)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    return -(a[:, None] - b).square().sum(dim=2)


def _wrong(**what) -> partial:
    return partial(_info_nce, **what)


INFO_NCE_MISTAKES = (
    Mistake(
        "the embeddings are not normalised: divide every row of q, k and the queue by its length.",
        (_wrong(lengths=(_as_is, _as_is, _as_is)),),
    ),
    Mistake(
        "the keys of the queue are not normalised: divide every row of all three by its length.",
        (_wrong(lengths=(unit, unit, _as_is)),),
    ),
    Mistake(
        "only a part is normalised: divide every row of q, k and the queue by its length.",
        (
            _wrong(lengths=(unit, _as_is, unit)),
            _wrong(lengths=(_as_is, unit, unit)),
            _wrong(lengths=(unit, _as_is, _as_is)),
            _wrong(lengths=(_as_is, unit, _as_is)),
            _wrong(lengths=(_as_is, _as_is, unit)),
        ),
    ),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (
            _wrong(lengths=(_unit_columns,) * 3),
            _wrong(lengths=(_unit_columns, _unit_columns, unit)),
            _wrong(lengths=(_columns_then_rows, unit, unit)),
            _wrong(lengths=(unit, _columns_then_rows, unit)),
            _wrong(lengths=(_columns_then_rows, _columns_then_rows, unit)),
        ),
    ),
    Mistake(
        "the positive is missing from the denominator: it is one of the size + 1 candidates.",
        (_wrong(positive_in=False),),
    ),
    Mistake(
        "the queue is compared with k: the negatives of a query are q @ queue.T.",
        (_wrong(anchor="k"),),
    ),
    Mistake(
        "the other keys of the batch are candidates too: the negatives are those of the queue only.",
        (_wrong(batch="k"), _wrong(batch="k only"), _wrong(batch="all of k"), _wrong(batch="all of k only")),
    ),
    Mistake(
        "the right column is taken to be the row's own number: the positive comes first in every row, at column 0.",
        (_wrong(answer="own"),),
    ),
    Mistake(
        "a key of the queue is taken for the right one: cross-entropy's target is the column of the positive, 0 where "
        "it comes first.",
        (_wrong(answer="second"), _wrong(answer="last")),
    ),
    Mistake("the losses are summed: take the mean over the queries.", (_wrong(factor=lambda n: n),)),
    Mistake("the similarities are multiplied by the temperature: divide by it.", (_wrong(invert=True),)),
    Mistake(
        "the argument temperature is not used: every similarity is divided by it.",
        tuple(_wrong(fixed=t) for t in (0.07, 0.1, 0.2, 0.5, 1.0)),
    ),
    Mistake("the sign is wrong: the loss is minus the logarithm of a probability.", (_wrong(factor=lambda n: -1),)),
    Mistake(
        "a softmax is taken before the cross-entropy, which takes one itself: give it the logits.",
        (_wrong(kind="softmax twice"),),
    ),
    Mistake(
        "it is the logarithm of a mean: first the logarithm for every query, then the mean.",
        (_wrong(kind="log of the mean"),),
    ),
    Mistake(
        "the logarithm is missing: the loss is minus the logarithm of the positive's probability.",
        (_wrong(kind="no logarithm"), _wrong(kind="probability")),
    ),
    Mistake(
        "the loss is multiplied by the temperature, as in MoCo v3 and SupCon: leave it as it is.",
        tuple(_wrong(warm=warm) for warm in (lambda t: 2 * t, lambda t: t, lambda t: t * t, lambda t: t / 0.07)),
    ),
    Mistake(
        "distances stand for similarities: take the inner products of the vectors divided by their lengths.",
        (
            *(_wrong(product=product) for product in (_distance, _squared)),
            *(_wrong(product=product, lengths=(_as_is, _as_is, _as_is)) for product in (_distance, _squared)),
        ),
    ),
    Mistake(
        "only the most similar keys of the queue are candidates: all of them are.",
        tuple(
            _wrong(hardest=hardest)
            for hardest in (lambda n: n // 2, *(lambda n, few=few: few for few in (1, 2, 3, 4, 5, 8, 10)))
        ),
    ),
    Mistake(
        "the labels are smoothed: the own key is the right answer, with the whole of the target.",
        tuple(_wrong(kind=f"smoothed by {share}") for share in (0.1, 0.05, 0.2)),
    ),
    Mistake(
        "similarities below 0 are cut off at 0: keep their sign.",
        (_wrong(similarity=lambda s: s.clamp(min=0)), _wrong(similarity=lambda s: s.abs())),
    ),
    Mistake("the positive is in the denominator twice: once is enough.", (_wrong(kind="positive twice"),)),
    Mistake(
        "the negatives are averaged: the denominator is a sum over all candidates.",
        (_wrong(kind="mean of the negatives"),),
    ),
    Mistake(
        "only a part of the similarities is divided by the temperature: all of them are.",
        (_wrong(kind="positive scaled"), _wrong(kind="negatives scaled")),
    ),
    Mistake(
        "the softmax runs over the queries: a query's candidates stand in its row, dim=1.",
        (_wrong(kind="over the batch"),),
    ),
    Mistake(
        "every candidate is judged by itself, by a sigmoid: it is one choice among all, a cross-entropy.",
        (_wrong(kind="binary"),),
    ),
)


def level_of(size: int) -> float:
    """The loss of equal similarities: ln(size + 1)."""
    return log(size + 1)


def similar(positive: float, negative: float, size: int, temperature: float) -> float:
    """The loss where every positive similarity is one number, and every negative one another."""
    return log(1 + size * exp((negative - positive) / temperature))

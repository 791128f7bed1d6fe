"""Week 4, optional: the sigmoid loss of pairs, one pair at a time, and the mistakes that have a name.

Reference: Zhai et al. 2023, "Sigmoid loss for language image pre-training", eq. 1.
"""

from collections.abc import Callable
from functools import partial
from math import exp, log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week04.oracle import OTHER_LENGTH, OTHER_LENGTHS, _nt_xent, as_is, unit, unit_columns


def sigmoid_loss(z0: Tensor, z1: Tensor, scaling: float = 10.0, bias: float = -10.0) -> Tensor:
    """Each of the N x N pairs costs ln(1 + exp(-y s)), y = 1 on the diagonal and -1 elsewhere; divided by N."""
    z0, z1 = unit(z0), unit(z1)
    total = 0.0
    for i in range(len(z0)):
        for j in range(len(z1)):
            y = 1 if i == j else -1
            total = total + torch.log1p((-y * (scaling * z0[i].dot(z1[j]) + bias)).exp())
    return total / len(z0)


def _score(s: Tensor, scaling: float, bias: float) -> Tensor:
    return scaling * s + bias


def _cost(signed: Tensor) -> Tensor:
    return torch.nn.functional.softplus(-signed)


def _summed(costs: Tensor, yes: Tensor) -> Tensor:
    return costs.sum() / len(costs)


def _sigmoid_loss(
    z0: Tensor,
    z1: Tensor,
    scaling: float = 10.0,
    bias: float = -10.0,
    *,
    lengths: Callable = unit,
    compare: Callable = lambda a, b: a @ b.T,
    score: Callable = _score,
    no: float = -1.0,
    yes: float = 1.0,
    cost: Callable = _cost,
    end: Callable = _summed,
) -> Tensor:
    """sigmoid_loss with something wrong; right with the defaults. yes and no: the signs of the two kinds of pairs."""
    scores = score(compare(lengths(z0), lengths(z1)), scaling, bias)  # (N, N)
    same = torch.eye(*scores.shape, dtype=torch.bool)
    return end(cost(torch.where(same, yes, no) * scores), same)


def _both_ways(z0: Tensor, z1: Tensor, scaling: float, bias: float, pairs_of_itself: bool, rows: int) -> Tensor:
    """All 2N embeddings against all, as NT-Xent has it; rows: what the sum is divided by, in units of N."""
    z, n = unit(torch.cat([z0, z1])), len(z0)
    scores = scaling * z @ z.T + bias
    same = torch.eye(2 * n, dtype=torch.bool).roll(n, dims=0)
    costs = _cost(torch.where(same, 1.0, -1.0) * scores)
    counted = torch.ones_like(same) if pairs_of_itself else ~torch.eye(2 * n, dtype=torch.bool)
    return costs[counted].sum() / (rows * n)


def _wrong(**what) -> partial:
    return partial(_sigmoid_loss, **what)


def _times(factor: Callable[[int], float]) -> Callable:
    return lambda z0, z1, s=10.0, b=-10.0: factor(len(z0)) * _sigmoid_loss(z0, z1, s, b)


def _hardest(costs: Tensor, yes: Tensor) -> Tensor:
    worst = costs.masked_fill(yes, 0.0).amax(dim=1) if len(costs) > 1 else 0.0
    return (costs[yes] + worst).mean()


def _weighted(costs: Tensor, yes: Tensor) -> Tensor:
    return (costs[yes].sum() * max(len(costs) - 1, 1) + costs[~yes].sum()) / len(costs)


def _smoothed(z0: Tensor, z1: Tensor, scaling: float, bias: float, share: float) -> Tensor:
    """Labels of 1 - share / 2 and share / 2."""
    scores = scaling * unit(z0) @ unit(z1).T + bias
    label = torch.eye(len(z0), dtype=scores.dtype) * (1 - share) + share / 2
    return (label * _cost(scores) + (1 - label) * _cost(-scores)).sum() / len(z0)


def _balanced(costs: Tensor, yes: Tensor) -> Tensor:
    return costs[yes].mean() + (costs[~yes].mean() if len(costs) > 1 else 0)


SIGMOID_LOSS_MISTAKES = (
    Mistake(
        "the embeddings are not normalised: divide every row by its length before comparing.", (_wrong(lengths=as_is),)
    ),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (_wrong(lengths=unit_columns), _wrong(lengths=lambda z: z / z.norm())),
    ),
    Mistake(OTHER_LENGTH, tuple(_wrong(lengths=lengths) for lengths in OTHER_LENGTHS)),
    Mistake(
        "only one of the two views is normalised: divide every row of both by its length.",
        (
            lambda z0, z1, s=10.0, b=-10.0: _sigmoid_loss(unit(z0), z1, s, b, lengths=as_is),
            lambda z0, z1, s=10.0, b=-10.0: _sigmoid_loss(z0, unit(z1), s, b, lengths=as_is),
        ),
    ),
    Mistake(
        "a view is compared with itself: a pair is a view 0 with a view 1.",
        (
            lambda z0, z1, s=10.0, b=-10.0: _sigmoid_loss(z0, z0, s, b),
            lambda z0, z1, s=10.0, b=-10.0: _sigmoid_loss(z1, z1, s, b),
        ),
    ),
    Mistake(
        "the pairs are mixed up: row n of both views comes from image n, so a yes stands on the diagonal.",
        (
            lambda z0, z1, s=10.0, b=-10.0: _sigmoid_loss(z0, z1.roll(1, 0), s, b),
            lambda z0, z1, s=10.0, b=-10.0: _sigmoid_loss(z0, z1.roll(-1, 0), s, b),
            lambda z0, z1, s=10.0, b=-10.0: _sigmoid_loss(z0, z1.flip(0), s, b),
        ),
    ),
    Mistake(
        "the mean of the batch is taken off first: the cosine is one of the embeddings as they are.",
        (
            lambda z0, z1, s=10.0, b=-10.0: _sigmoid_loss(z0 - z0.mean(0), z1 - z1.mean(0), s, b),
            _wrong(lengths=lambda z: unit(z) - unit(z).mean(0)),
        ),
    ),
    Mistake(
        "the cosine is squared: take it as it is.",
        (_wrong(compare=lambda a, b: (a @ b.T).square()),),
    ),
    Mistake(
        "the bias is added to one kind of pair only: every score has it.",
        (
            _wrong(score=lambda s, t, b: t * s + b * torch.eye(*s.shape)),
            _wrong(score=lambda s, t, b: t * s + b * (1 - torch.eye(*s.shape))),
        ),
    ),
    Mistake(
        "of every row only the dearest pair counts: all N x N pairs do.",
        (_wrong(end=lambda costs, yes: costs.amax(dim=1).mean()), _wrong(end=lambda costs, yes: costs.max())),
    ),
    Mistake(
        "the sign of the bias is lost: it is added as it is given.",
        (_wrong(score=lambda s, t, b: t * s + abs(b)),),
    ),
    Mistake("the mean runs over all N x N pairs: sum over the pairs, and divide by N.", (_times(lambda n: 1 / n),)),
    Mistake("the sum over the pairs is not divided by N.", (_times(lambda n: n),)),
    Mistake(
        "the sum is divided by the number of other images, N - 1, or of negative pairs: divide by N.",
        (_times(lambda n: n / max(n - 1, 1)), _times(lambda n: 1 / max(n - 1, 1))),
    ),
    Mistake(
        "cosines below 0 are cut off at 0: keep their sign.",
        (_wrong(score=lambda s, t, b: t * s.clamp(min=0) + b), _wrong(score=lambda s, t, b: t * s.abs() + b)),
    ),
    Mistake("of the negatives only the hardest of a row counts: all N x N pairs do.", (_wrong(end=_hardest),)),
    Mistake("the positives have a weight of their own: every pair counts once.", (_wrong(end=_weighted),)),
    Mistake(
        "it is a hinge, which is 0 from a margin on: a pair costs -log sigmoid(y score).",
        (_wrong(cost=lambda x: (1 - x).clamp(min=0)), _wrong(cost=lambda x: (-x).clamp(min=0))),
    ),
    Mistake(
        "easy pairs are weighed down, as in a focal loss: every pair counts once.",
        (_wrong(cost=lambda x: (1 - x.sigmoid()) ** 2 * _cost(x)), _wrong(cost=lambda x: (1 - x.sigmoid()) * _cost(x))),
    ),
    Mistake(
        "the labels are smoothed: they are 1 and -1.",
        tuple(
            lambda z0, z1, s=10.0, b=-10.0, share=share: _smoothed(z0, z1, s, b, share) for share in (0.1, 0.2, 0.05)
        ),
    ),
    Mistake(
        "it is halved or doubled: each pair of a view 0 and a view 1 counts once.",
        (_times(lambda n: 2), _times(lambda n: 0.5)),
    ),
    Mistake(
        "the bias is subtracted: it is added, and is itself negative.",
        (_wrong(score=lambda s, t, b: t * s - b),),
    ),
    Mistake(
        "the bias is scaled, too: a score is scaling x cosine + bias.",
        (_wrong(score=lambda s, t, b: t * (s + b)), _wrong(score=lambda s, t, b: t * (s - b))),
    ),
    Mistake(
        "the argument bias is not used.",
        tuple(_wrong(score=lambda s, t, _, b=b: t * s + b) for b in (0.0, -10.0)),
    ),
    Mistake(
        "the scaling divides the cosine, as a temperature does: multiply by it.",
        (_wrong(score=lambda s, t, b: s / t + b),),
    ),
    Mistake(
        "the argument scaling is not used.",
        tuple(_wrong(score=lambda s, _, b, t=t: t * s + b) for t in (1.0, 10.0)),
    ),
    Mistake(
        "the scaling is exponentiated: it is given as it is.",
        (_wrong(score=lambda s, t, b: exp(t) * s + b),),
    ),
    Mistake(
        "the labels are 1 and 0: the sign of a pair of different images is -1.",
        (_wrong(no=0.0),),
    ),
    Mistake(
        "the labels are the wrong way round: the diagonal is the same image, and has the sign 1.",
        (_wrong(no=1.0, yes=-1.0),),
    ),
    Mistake("every pair is taken for the same image: off the diagonal the sign is -1.", (_wrong(no=1.0),)),
    Mistake(
        "the negatives are left out: all N x N pairs count.",
        (_wrong(end=lambda costs, yes: costs[yes].sum() / len(costs)),),
    ),
    Mistake(
        "the positives are left out: all N x N pairs count, the diagonal too.",
        (_wrong(end=lambda costs, yes: costs[~yes].sum() / len(costs)),),
    ),
    Mistake(
        "each pair of different images counts once, i < j: view 0 of i with view 1 of j is one pair, view 0 of j with "
        "view 1 of i another.",
        (
            _wrong(end=lambda costs, yes: costs.triu().sum() / len(costs)),
            _wrong(end=lambda costs, yes: costs.tril().sum() / len(costs)),
        ),
    ),
    Mistake(
        "positives and negatives are averaged apart: sum over all pairs, and divide by N.",
        (_wrong(end=_balanced), _wrong(end=lambda costs, yes: _balanced(costs, yes) / 2)),
    ),
    Mistake(
        "views are compared with views of their own kind, too, as in NT-Xent: a pair is a view 0 with a view 1.",
        tuple(
            lambda z0, z1, s=10.0, b=-10.0, own=own, rows=rows: _both_ways(z0, z1, s, b, own, rows)
            for own in (True, False)
            for rows in (1, 2)
        ),
    ),
    Mistake(
        "a softmax runs over the candidates: every pair has a sigmoid of its own.",
        (
            _wrong(
                cost=lambda scores: -scores,
                no=1.0,
                end=lambda costs, yes: costs[yes].mean() + (-costs).logsumexp(1).mean(),
            ),
            lambda z0, z1, s=10.0, b=-10.0: _nt_xent(z0, z1, 1 / s),
        ),
    ),
    Mistake(
        "the logarithm is missing: a pair costs minus the logarithm of a probability.",
        tuple(_wrong(cost=cost) for cost in (lambda x: 1 - x.sigmoid(), lambda x: -x.sigmoid(), lambda x: x.sigmoid())),
    ),
    Mistake("the logarithm is not the natural one.", tuple(_times(lambda n, b=b: 1 / log(b)) for b in (2, 10))),
    Mistake("the sign is wrong: the loss is minus the logarithm of a probability.", (_times(lambda n: -1),)),
    Mistake(
        "a sigmoid stands before a loss that has one inside: pass it the scores themselves.",
        (
            _wrong(
                score=lambda s, t, b: (t * s + b).sigmoid(),
            ),
        ),
    ),
    Mistake(
        "a softmax stands before the sigmoid: pass it the scores themselves.",
        (_wrong(score=lambda s, t, b: (t * s + b).softmax(dim=1)),),
    ),
    Mistake(
        "the squared error of the labels is taken: a pair costs minus the logarithm of a probability.",
        (_wrong(cost=lambda x: (1 - x.sigmoid()).square()), _wrong(cost=lambda x: (1 - x).square())),
    ),
    Mistake(
        "distances stand where the cosine similarities should.",
        (
            _wrong(compare=lambda a, b: -torch.cdist(a, b)),
            _wrong(compare=lambda a, b: -torch.cdist(a, b).square()),
            _wrong(compare=lambda a, b: torch.cdist(a, b)),
        ),
    ),
)

"""Week 7: two entropies that tell of collapse, and BYOL's loss, which does without negatives and a centre.

Reference: Grill et al. 2020, "Bootstrap your own latent", eq. 2.
"""

from collections.abc import Callable
from math import exp, log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- collapse_report


def entropy(p: Tensor) -> float:
    return -sum(float(v) * log(float(v)) for v in p if v > 0)


def collapse_report(teacher_probs: Tensor) -> tuple[float, float]:
    mean = sum(teacher_probs) / len(teacher_probs)
    return sum(entropy(row) for row in teacher_probs) / len(teacher_probs), entropy(mean)


def _entropies(p: Tensor, dim: int = 1, **_) -> Tensor:
    return torch.special.entr(p).sum(dim=dim)


COLLAPSE_MISTAKES: tuple[tuple[str, Callable[[Tensor], tuple]], ...] = (
    (
        "the two are swapped: first the mean of the entropies, then the entropy of the mean.",
        lambda p: collapse_report(p)[::-1],
    ),
    (
        "the logarithm is not the natural one: entropies are in nats.",
        lambda p: tuple(h / log(2) for h in collapse_report(p)),
    ),
    (
        "the logarithm is not the natural one: nats are wanted.",
        lambda p: tuple(h / log(10) for h in collapse_report(p)),
    ),
    ("the sign is missing: an entropy is minus the sum of p log p.", lambda p: tuple(-h for h in collapse_report(p))),
    (
        "the rows are summed: the first number is their mean.",
        lambda p: (collapse_report(p)[0] * len(p), collapse_report(p)[1]),
    ),
    (
        "both are the mean of the entropies: for the second, average the rows first, then take one entropy.",
        lambda p: (collapse_report(p)[0],) * 2,
    ),
    (
        "both are the entropy of the mean: for the first, take one entropy for each row, then their mean.",
        lambda p: (collapse_report(p)[1],) * 2,
    ),
    (
        "a softmax is taken: the argument holds probabilities already.",
        lambda p: collapse_report(p.softmax(dim=1)),
    ),
    (
        "they are divided by ln K: return nats.",
        lambda p: tuple(h / log(p.shape[1]) for h in collapse_report(p)),
    ),
    (
        "they are exponentials of the entropies: return the entropies.",
        lambda p: tuple(exp(h) for h in collapse_report(p)),
    ),
    (
        "the second is the difference of the two: return the entropy of the mean itself.",
        lambda p: (collapse_report(p)[0], collapse_report(p)[1] - collapse_report(p)[0]),
    ),
    (
        "the rows are summed, not averaged, before the second entropy: the mean answer is a mean.",
        lambda p: (collapse_report(p)[0], float(_entropies(p.sum(dim=0), 0))),
    ),
    (
        "it averages over the prototypes: sum over them.",
        lambda p: tuple(h / p.shape[1] for h in collapse_report(p)),
    ),
    (
        "the first averages over the prototypes as well: sum over them, then take the mean over the answers.",
        lambda p: (collapse_report(p)[0] / p.shape[1], collapse_report(p)[1]),
    ),
    (
        "the second averages over the prototypes: sum over them.",
        lambda p: (collapse_report(p)[0], collapse_report(p)[1] / p.shape[1]),
    ),
    (
        "rows and columns are confused: an answer is a row, and the mean answer is the mean over rows, dim=0.",
        lambda p: (float(_entropies(p, 0).mean()), collapse_report(p)[1]),
    ),
    (
        "rows and columns are confused: the mean answer is the mean over images, dim=0.",
        lambda p: (collapse_report(p)[0], entropy(p.mean(dim=1))),
    ),
)


# --- byol_loss


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def byol_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """The squared distance of the directions, averaged over images."""
    loss = 0.0
    for q, z in zip(predictions, targets.detach(), strict=True):
        apart = q / q.dot(q).sqrt() - z / z.dot(z).sqrt()
        loss = loss + apart.dot(apart)
    return loss / len(predictions)


BYOL_MISTAKES = (
    Mistake(
        "the vectors are not normalised: divide both by their length.",
        (lambda q, z: (q - z).square().sum(dim=1).mean(), lambda q, z: (2 - 2 * (q * z).sum(dim=1)).mean()),
    ),
    Mistake("only one of the two is normalised.", (lambda q, z: (_unit(q) - z).square().sum(dim=1).mean(),)),
    Mistake(
        "the mean runs over the dimensions too: sum over them, then take the mean over images.",
        (lambda q, z: (_unit(q) - _unit(z)).square().mean(),),
    ),
    Mistake("the images are summed: take the mean over them.", (lambda q, z: len(q) * byol_loss(q, z),)),
    Mistake(
        "it is minus the cosine: the squared distance is 2 - 2 cos.",
        (lambda q, z: byol_loss(q, z) / 2 - 1, lambda q, z: byol_loss(q, z) - 2),
    ),
    Mistake("it is half the squared distance, 1 - cos.", (lambda q, z: byol_loss(q, z) / 2,)),
    Mistake(
        "the vectors are normalised over the batch: each has length 1 over its dimensions, dim=1.",
        (lambda q, z: (2 - 2 * torch.cosine_similarity(q, z, dim=0)).mean(),),
    ),
    Mistake(
        "the mean of all squared differences is taken, without lengths: normalise, then sum over the dimensions.",
        (lambda q, z: (q - z).square().mean(),),
    ),
    Mistake(
        "predictions and targets are of different images: row n of both is image n.",
        tuple(
            lambda q, z, order=order: byol_loss(q, order(z))
            for order in (lambda z: z.flip(0), lambda z: z.roll(1, 0), lambda z: z.roll(-1, 0))
        ),
    ),
    Mistake(
        "the sign of the cosine is lost: opposite vectors are as far apart as can be.",
        (lambda q, z: (2 - 2 * torch.cosine_similarity(q, z, dim=1).abs()).mean(),),
    ),
    Mistake("the distance is not squared.", (lambda q, z: (_unit(q) - _unit(z)).norm(dim=1).mean(),)),
)

"""Week 9: CLIP's loss, its zero-shot classifier, and two measures of a score, one number at a time.

References: Radford et al. 2021, "Learning transferable visual models from natural language supervision" (figure 3 for
the loss, section 3.1.4 for prompts); Hanley and McNeil 1982 for the area under the ROC curve.
"""

from collections.abc import Callable, Sequence
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


# --- clip_loss


def clip_loss(image_emb: Tensor, text_emb: Tensor, logit_scale: Tensor | float) -> Tensor:
    """The mean of two cross-entropies: which text belongs to this image, and which image to this text."""
    x, t = unit(image_emb), unit(text_emb)
    n, loss = len(x), 0.0
    for i in range(n):
        to_texts = [logit_scale * x[i].dot(t[j]) for j in range(n)]
        to_images = [logit_scale * x[j].dot(t[i]) for j in range(n)]
        for logits in (to_texts, to_images):
            loss = loss - (logits[i] - torch.stack(logits).logsumexp(dim=0)) / 2
    return loss / n


def _clip_loss(
    image_emb: Tensor,
    text_emb: Tensor,
    logit_scale: Tensor | float,
    *,
    lengths=(unit, unit),
    scaled=lambda cosine, scale: scale * cosine,
    directions: tuple[float, float] = (0.5, 0.5),
    factor=lambda n: 1,
    own: bool = False,
    positive_in: bool = True,
) -> Tensor:
    """clip_loss with something wrong; right with the defaults. own: images among themselves are candidates too."""
    x, t = lengths[0](image_emb), lengths[1](text_emb)
    logits = scaled(x @ t.T, logit_scale)  # (N, N)
    right = logits.diagonal()
    off = torch.zeros(len(x), len(x), dtype=logits.dtype).fill_diagonal_(0 if positive_in else -torch.inf)
    if own:
        others = scaled(x @ x.T, logit_scale).fill_diagonal_(-torch.inf)
        rows = torch.cat([logits, others], dim=1).logsumexp(dim=1) - right
    else:
        rows = (logits + off).logsumexp(dim=1) - right
    columns = (logits + off).logsumexp(dim=0) - right
    return factor(len(x)) * (directions[0] * rows + directions[1] * columns).mean()


def _clip(**what) -> partial:
    return partial(_clip_loss, **what)


CLIP_LOSS_MISTAKES = (
    Mistake(
        "it asks in one direction only: average the cross-entropy over the rows (texts of an image) and over the "
        "columns (images of a text).",
        (_clip(directions=(1, 0)), _clip(directions=(0, 1))),
    ),
    Mistake(
        "the cosines are divided by logit_scale: multiply, it is an inverse temperature.",
        (_clip(scaled=lambda cosine, scale: cosine / scale),),
    ),
    Mistake(
        "the exponential of logit_scale is taken: what is handed in is the factor itself.",
        (_clip(scaled=lambda cosine, scale: cosine * torch.as_tensor(scale).exp()),),
    ),
    Mistake(
        "logit_scale is not used: every cosine is multiplied by it.", (_clip(scaled=lambda cosine, scale: cosine),)
    ),
    Mistake(
        "the embeddings are not normalised: divide every row of both by its length.",
        (_clip(lengths=(_as_is, _as_is)),),
    ),
    Mistake(
        "only one side is normalised: divide every row of both by its length.",
        (_clip(lengths=(unit, _as_is)), _clip(lengths=(_as_is, unit))),
    ),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (_clip(lengths=(_unit_columns, _unit_columns)),),
    ),
    Mistake("the two directions are added: take their mean.", (_clip(directions=(1, 1)),)),
    Mistake("the losses are summed: take the mean over the pairs.", (_clip(factor=lambda n: n),)),
    Mistake("the right pair is missing from the denominator.", (_clip(positive_in=False),)),
    Mistake("images are compared with images too: the candidates of an image are the texts.", (_clip(own=True),)),
    Mistake("the sign is wrong: the loss is minus the logarithm of a probability.", (_clip(factor=lambda n: -1),)),
)


def level_of(n: int) -> float:
    """The loss where all cosines are equal: ln N."""
    return log(n)


def matched(n: int, logit_scale: float) -> float:
    """The loss of orthogonal pairs: cosine 1 with the partner, 0 with all others."""
    return log(1 + (n - 1) * exp(-logit_scale))


# --- zero_shot_weights


def zero_shot_weights(class_names: Sequence[str], templates: Sequence[str], encode_text: Callable) -> Tensor:
    """A column for each class: the normalised mean of the normalised embeddings of its prompts, (D, K)."""
    columns = []
    for name in class_names:
        rows = [unit(encode_text([template.replace("{}", name)]).double())[0] for template in templates]
        mean = sum(rows) / len(rows)
        columns.append(mean / mean.norm())
    return torch.stack(columns, dim=1)


def _zero_shot(class_names, templates, encode_text, *, before=unit, after=unit, pick=slice(None)) -> Tensor:
    columns = []
    for name in class_names:
        rows = encode_text([template.replace("{}", name) for template in templates[pick]]).double()
        columns.append(after(before(rows).mean(dim=0, keepdim=True))[0])
    return torch.stack(columns, dim=1)


ZERO_SHOT_MISTAKES = (
    Mistake(
        "the mean of the prompts is not normalised again: it is shorter than 1.", (partial(_zero_shot, after=_as_is),)
    ),
    Mistake(
        "the embeddings are not normalised before the mean: a long one counts for more.",
        (partial(_zero_shot, before=_as_is),),
    ),
    Mistake(
        "nothing is normalised, neither before the mean nor after.", (partial(_zero_shot, before=_as_is, after=_as_is),)
    ),
    Mistake(
        "only one prompt is used: average over all templates.",
        (partial(_zero_shot, pick=slice(1)), partial(_zero_shot, pick=slice(-1, None))),
    ),
    Mistake(
        "the templates are not used: put the name in place of {}.",
        (lambda names, templates, encode: _zero_shot(names, ["{}"], encode),),
    ),
    Mistake(
        "the names are not put in: every class gets the template as it is.",
        (lambda names, templates, encode: _zero_shot(["{}"] * len(names), templates, encode),),
    ),
    Mistake(
        "the classes are in another order than class_names.",
        (
            lambda names, templates, encode: _zero_shot(sorted(names), templates, encode),
            lambda names, templates, encode: _zero_shot(list(reversed(names)), templates, encode),
        ),
    ),
)


# --- auroc and fpr_at_95_tpr


def auroc(inside: Tensor, outside: Tensor) -> float:
    """Over all pairs, how often the inside one is higher; equal ones half."""
    won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in inside.tolist() for b in outside.tolist())
    return won / (len(inside) * len(outside))


def _pairs(inside: Tensor, outside: Tensor) -> Tensor:
    return inside[:, None].double() - outside


def _trapezoid(inside: Tensor, outside: Tensor, steps: int) -> float:
    """The area under few points of the curve, thresholds equally spaced."""
    both = torch.cat([inside, outside]).double()
    cuts = torch.linspace(float(both.max()), float(both.min()), steps, dtype=torch.float64)
    tpr, fpr = ((part.double()[None] >= cuts[:, None]).double().mean(dim=1) for part in (inside, outside))
    return float(torch.trapezoid(tpr, fpr))


AUROC_MISTAKES = (
    Mistake(
        "the sides are swapped: higher scores are more in-distribution, so inside samples are to be above.",
        (lambda a, b: 1 - auroc(a, b),),
    ),
    Mistake(
        "ties count for nothing: an equal pair counts half.", (lambda a, b: float((_pairs(a, b) > 0).double().mean()),)
    ),
    Mistake(
        "ties count in full: an equal pair counts half.", (lambda a, b: float((_pairs(a, b) >= 0).double().mean()),)
    ),
    Mistake(
        "the pairs are counted and not averaged: divide by N times M.",
        (lambda a, b: auroc(a, b) * len(a) * len(b),),
    ),
    Mistake(
        "it is an area under a few thresholds: every distinct score is a threshold.",
        tuple(partial(_trapezoid, steps=n) for n in (10, 11, 20, 50, 51, 100, 101, 200, 500, 1000)),
    ),
)


def fpr_at_95_tpr(inside: Tensor, outside: Tensor) -> float:
    """Try the thresholds from the highest down; at the first that 95 % of the inside reach, count the outside."""
    for threshold in sorted(inside.tolist(), reverse=True):
        reached = sum(a >= threshold for a in inside.tolist())
        if 100 * reached >= 95 * len(inside):
            return sum(b >= threshold for b in outside.tolist()) / len(outside)
    raise AssertionError


def _at(inside: Tensor, outside: Tensor, share: float) -> float:
    """The same for another share."""
    for threshold in sorted(inside.tolist(), reverse=True):
        if sum(a >= threshold for a in inside.tolist()) >= share * len(inside) - 1e-9:
            return sum(b >= threshold for b in outside.tolist()) / len(outside)
    raise AssertionError


def _quantile(inside: Tensor, outside: Tensor, how: str) -> float:
    cut = torch.quantile(inside.double(), 0.05, interpolation=how)
    return float((outside.double() >= cut).double().mean())


FPR_MISTAKES = (
    Mistake(
        "the sides are swapped: 95 % of the in-distribution samples are to be recognised, and the others counted.",
        (lambda a, b: fpr_at_95_tpr(b, a), lambda a, b: fpr_at_95_tpr(-b, -a)),
    ),
    Mistake(
        "the share is of the wrong side: count the out-of-distribution samples at or above the threshold.",
        (lambda a, b: 1 - fpr_at_95_tpr(a, b), lambda a, b: fpr_at_95_tpr(-a, -b)),
    ),
    Mistake(
        "the threshold is that of 5 %: 95 % of the in-distribution scores are to lie at or above it.",
        (lambda a, b: _at(a, b, 0.05),),
    ),
    Mistake(
        "it is the true positive rate where 5 % of the others pass: fix the rate of the inside, count the outside.",
        (lambda a, b: float((a >= torch.quantile(b.double(), 0.95)).double().mean()),),
    ),
    Mistake(
        "the threshold is interpolated between two scores: it is the highest score that at least 95 % reach.",
        tuple(partial(_quantile, how=how) for how in ("linear", "midpoint")),
    ),
    Mistake(
        "the threshold is one score too high or too low: at least 95 % of the in-distribution scores reach it, and "
        "it is the highest such score.",
        tuple(partial(_quantile, how=how) for how in ("higher", "lower", "nearest")),
    ),
)

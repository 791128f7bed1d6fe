"""Week 9: CLIP's loss, one number at a time.

Reference: Radford et al. 2021, "Learning transferable visual models from natural language supervision", figure 3.
"""

from collections.abc import Callable
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


def _lse(x: Tensor, dim: int) -> Tensor:
    return x.logsumexp(dim=dim)


def _clip_loss(
    image_emb: Tensor,
    text_emb: Tensor,
    logit_scale: Tensor | float,
    *,
    lengths=(unit, unit),
    scaled=lambda cosine, scale: scale * cosine,
    columns_scaled: Callable | None = None,
    directions: tuple[float, float] = (0.5, 0.5),
    factor=lambda n: 1,
    own: str = "",
    positive_in: bool = True,
    of_row: Callable = lambda logits, right: _lse(logits, 1) - right,
    mean: Callable = Tensor.mean,
) -> Tensor:
    """clip_loss with something wrong; right with the defaults.

    own: whose ("images", "texts", "both") candidates are their own kind too; of_row: from logits (N, M) and the right
    ones (N,) to (N,); mean: of those to a number.
    """
    x, t = lengths[0](image_emb), lengths[1](text_emb)
    cosine = x @ t.T
    rows = scaled(cosine, logit_scale)  # (N, N)
    columns = (columns_scaled or scaled)(cosine, logit_scale).T
    off = torch.zeros(len(x), len(x), dtype=rows.dtype).fill_diagonal_(0 if positive_in else -torch.inf)
    halves = []
    for logits, z, kind in ((rows, x, "images"), (columns, t, "texts")):
        candidates = [logits + off]
        if own in (kind, "both"):
            candidates.append(scaled(z @ z.T, logit_scale).fill_diagonal_(-torch.inf))
        halves.append(mean(of_row(torch.cat(candidates, dim=1), logits.diagonal())))
    return factor(len(x)) * (directions[0] * halves[0] + directions[1] * halves[1])


def _clip(**what) -> partial:
    return partial(_clip_loss, **what)


def clip_loss_at_once(image_emb: Tensor, text_emb: Tensor, logit_scale: Tensor | float) -> Tensor:
    """The definition for batches too large for loops; a test holds it to clip_loss."""
    return _clip_loss(image_emb, text_emb, logit_scale)


def _probability(logits: Tensor, right: Tensor) -> Tensor:
    return (right - _lse(logits, 1)).exp()


def _of_softmax(logits: Tensor, right: Tensor) -> Tensor:
    return _lse(logits.softmax(dim=1), 1) - _probability(logits, right)


def _sigmoid(logits: Tensor, right: Tensor) -> Tensor:
    """Every pair is a question of its own: softplus of all wrong ones and of minus the right one, (N, N)."""
    signs = 1 - 2 * torch.eye(len(logits), dtype=logits.dtype)
    return torch.nn.functional.softplus(signs * logits)


def _chunks(x: Tensor, t: Tensor, scale: Tensor | float, size: int) -> Tensor:
    parts = [_clip_loss(*pair, scale) for pair in zip(x.split(size), t.split(size), strict=True)]
    return sum(parts) / len(parts)


CLIP_LOSS_MISTAKES = (
    Mistake(
        "a softmax is taken before the cross-entropy, which takes one itself: give it the logits.",
        tuple(_clip(scaled=lambda c, s, dim=dim: (s * c).softmax(dim=dim)) for dim in (0, 1)),
    ),
    Mistake(
        "the pairs are mixed up: row n of both is one pair, so the partner of row n is n.",
        tuple(
            _clip(lengths=(unit, lambda t, order=order: order(unit(t))))
            for order in (lambda t: t.flip(0), lambda t: t.roll(1, 0), lambda t: t.roll(-1, 0))
        ),
    ),
    Mistake(
        "it asks in one direction only: average the cross-entropy over the rows (texts of an image) and over the "
        "columns (images of a text).",
        (_clip(directions=(1, 0)), _clip(directions=(0, 1)), _clip(directions=(0.5, 0)), _clip(directions=(0, 0.5))),
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
        "logit_scale is multiplied twice: once, with the cosine of both.",
        (_clip(scaled=lambda cosine, scale: cosine * scale**2),),
    ),
    Mistake(
        "logit_scale is missing in one of the two directions.",
        (_clip(columns_scaled=lambda c, _: c), _clip(scaled=lambda c, _: c, columns_scaled=lambda c, s: s * c)),
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
        (
            _clip(lengths=(_unit_columns, _unit_columns)),
            _clip(lengths=(unit, _unit_columns)),
            _clip(lengths=(_unit_columns, unit)),
        ),
    ),
    Mistake(
        "the rows are divided by something other than their length: that is the root of the sum of squares.",
        tuple(
            _clip(lengths=(divided, divided))
            for divided in (
                lambda z: z / z.square().sum(dim=1, keepdim=True),
                lambda z: z / z.abs().sum(dim=1, keepdim=True),
                lambda z: z / z.norm(),
            )
        ),
    ),
    Mistake(
        "the cosines are clamped at 0: negative ones tell more than that, leave them.",
        (_clip(scaled=lambda c, s: s * c.clamp(min=0)), _clip(scaled=lambda c, s: s * c.abs())),
    ),
    Mistake(
        "the softmax is taken before the cross-entropy, which takes one itself: hand in the logits.",
        (_clip(of_row=_of_softmax),),
    ),
    Mistake(
        "the logarithm is taken of a mean: take it of every probability, then the mean.",
        (
            _clip(of_row=_probability, mean=lambda p: -p.mean().log()),
            lambda *a: -_clip_loss(*a, of_row=_probability).log(),
        ),
    ),
    Mistake(
        "the logarithm is missing: the loss is minus the logarithm of a probability.",
        tuple(_clip(of_row=_probability, factor=lambda n, k=k: k) for k in (1, -1))
        + (_clip(of_row=lambda logits, right: 1 - _probability(logits, right)),),
    ),
    Mistake(
        "every pair is judged alone, by a sigmoid: it is a softmax over all candidates.",
        tuple(_clip(of_row=_sigmoid, factor=lambda n, k=k: k(n)) for k in (lambda n: 1, lambda n: n)),
    ),
    Mistake(
        "the loss is only the cosine of the right pairs: the others belong in the denominator.",
        (
            _clip(of_row=lambda logits, right: -right),
            _clip(of_row=lambda logits, right: 1 - right),
            lambda x, t, s: 1 - (unit(x) * unit(t)).sum(dim=1).mean(),
        ),
    ),
    Mistake(
        "something is added to the probabilities before the logarithm, which caps the loss of a pair: leave it out, "
        "F.cross_entropy needs no such help.",
        tuple(
            _clip(of_row=lambda logits, right, eps=eps: -(_probability(logits, right) + eps).log())
            for eps in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
        ),
    ),
    Mistake("the two directions are added: take their mean.", (_clip(directions=(1, 1)),)),
    Mistake("the losses are summed: take the mean over the pairs.", (_clip(factor=lambda n: n),)),
    Mistake("the mean is divided by N once more.", (_clip(factor=lambda n: 1 / n),)),
    Mistake("the right pair is missing from the denominator.", (_clip(positive_in=False),)),
    Mistake(
        "images are compared with images, or texts with texts: the candidates of an image are the texts.",
        tuple(_clip(own=own) for own in ("images", "texts", "both")),
    ),
    Mistake("the sign is wrong: the loss is minus the logarithm of a probability.", (_clip(factor=lambda n: -1),)),
    Mistake("the logarithm is not the natural one: the loss is in nats.", (_clip(factor=lambda n: 1 / log(2)),)),
    Mistake(
        "the batch is cut into parts: every other text of the whole batch is a candidate.",
        tuple(partial(_chunks, size=size) for size in (2, 3, 4, 64, 128, 256)),
    ),
    Mistake(
        "these are Euclidean distances: the logits are cosines times logit_scale.",
        (_clip(scaled=lambda c, s: -s * (2 - 2 * c).sqrt()), _clip(scaled=lambda c, s: -(2 - 2 * c).sqrt())),
    ),
)


def level_of(n: int) -> float:
    """The loss where all cosines are equal: ln N."""
    return log(n)


def matched(n: int, logit_scale: float) -> float:
    """The loss of orthogonal pairs: cosine 1 with the partner, 0 with all others."""
    return log(1 + (n - 1) * exp(-logit_scale))

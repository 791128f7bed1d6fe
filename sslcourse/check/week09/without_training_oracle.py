"""Week 9: CLIP without training, one pair of an image and a text at a time, in float64.

Reference: Norelli et al. 2023, "ASIF: coupled data turns unimodal models to multimodal without training", section 2:
cosines to the anchors of the own kind, all but the k largest set to 0, raised to a power, compared by cosine.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week04.oracle import unit


def asif(image_x: Tensor, text_x: Tensor, image_anchors: Tensor, text_anchors: Tensor, k: int, power: float) -> Tensor:
    images = [_described(x, image_anchors, k, power) for x in image_x]
    texts = [_described(x, text_anchors, k, power) for x in text_x]
    return torch.stack(
        [torch.stack([one.dot(other) / (one.norm() * other.norm()) for other in texts]) for one in images]
    )


def _described(x: Tensor, anchors: Tensor, k: int, power: float) -> Tensor:
    cosines = ((anchors @ x) / (anchors.norm(dim=1) * x.norm())).tolist()
    nearest = sorted(range(len(cosines)), key=lambda a: -cosines[a])[:k]
    kept = [max(cosine, 0.0) ** power if a in nearest else 0.0 for a, cosine in enumerate(cosines)]
    return torch.tensor(kept, dtype=torch.float64)


def _as_is(x: Tensor) -> Tensor:
    return x


def _unit(x: Tensor) -> Tensor:
    """unit, but of a row of zeros 0."""
    return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)


def _largest(cosines: Tensor, k: int, by: Callable = _as_is, dim: int = 1) -> Tensor:
    """True at the k largest of every row, or (dim=0) of every column."""
    places = by(cosines).topk(min(k, cosines.shape[dim]), dim=dim).indices
    return torch.zeros_like(cosines, dtype=torch.bool).scatter(dim, places, True)


def _asif(
    image_x: Tensor,
    text_x: Tensor,
    image_anchors: Tensor,
    text_anchors: Tensor,
    k: int,
    power: float,
    *,
    lengths=(unit, unit),
    keep: Callable = _largest,
    raised: Callable = lambda cosines, power: cosines.clamp(min=0) ** power,
    last: Callable = _unit,
    centred: bool = False,
    whom: tuple[bool, bool] = (True, True),
    compare: Callable = lambda a, b: a @ b.T,
    similar: Callable = lambda a, b: a @ b.T,
    around: Callable = lambda x, anchors: (x, anchors),
) -> Tensor:
    """asif with something wrong; right with the defaults. whom: whether images, texts are made sparse."""
    made = []
    for x, anchors, sparse in ((image_x, image_anchors, whom[0]), (text_x, text_anchors, whom[1])):
        if centred:
            x, anchors = x - anchors.mean(dim=0), anchors - anchors.mean(dim=0)
        x, anchors = around(x, anchors)
        cosines = similar(lengths[0](x), lengths[1](anchors))
        values = raised(cosines, power)
        made.append(last(torch.where(keep(cosines, k), values, 0.0) if sparse else values))
    return compare(*made)


def _wrong(**what) -> partial:
    return partial(_asif, **what)


def _one_side(x, t, a, b, k: int, power: float, raised: int) -> Tensor:
    """The power for the images (0) or the texts (1) alone."""
    sides = []
    for side, (rows, anchors) in enumerate(((x, a), (t, b))):
        cosines = unit(rows) @ unit(anchors).T
        kept = torch.where(_largest(cosines, k), cosines.clamp(min=0), 0.0)
        sides.append(_unit(kept ** (power if side == raised else 1.0)))
    return sides[0] @ sides[1].T


def _signed(cosines: Tensor, power: float) -> Tensor:
    return cosines.sign() * cosines.abs() ** power


ASIF_MISTAKES = (
    Mistake(
        "the features are not normalised: similarity to an anchor is a cosine, so divide rows by their length.",
        (_wrong(lengths=(_as_is, _as_is)), _wrong(lengths=(_as_is, unit)), _wrong(lengths=(unit, _as_is))),
    ),
    Mistake(
        "all anchors are kept: set all but the k largest similarities of every row to 0.",
        (_wrong(keep=lambda cosines, k: torch.ones_like(cosines, dtype=torch.bool)),),
    ),
    Mistake(
        "only one of the two sides is made sparse: images and texts both keep their k nearest anchors.",
        (_wrong(whom=(True, False)), _wrong(whom=(False, True))),
    ),
    Mistake(
        "the power is not used: raise what is kept to it.",
        (_wrong(raised=lambda cosines, power: cosines.clamp(min=0)),),
    ),
    Mistake(
        "negative similarities are raised to the power, and an even one makes them positive: they count as 0.",
        (
            _wrong(raised=lambda cosines, power: cosines**power),
            _wrong(raised=lambda cosines, power: cosines.abs() ** power),
        ),
    ),
    Mistake("negative similarities keep their sign: they count as 0.", (_wrong(raised=_signed),)),
    Mistake(
        "the sparse rows are not normalised at the end: the result is their cosine, not their product.",
        (_wrong(last=_as_is), _wrong(last=lambda x: x / x.sum(dim=1, keepdim=True))),
    ),
    Mistake(
        "the anchors' mean is taken off: here the features are compared as they are.",
        (
            _wrong(centred=True),
            _wrong(around=lambda x, anchors: (x, anchors - anchors.mean(dim=0))),
            _wrong(around=lambda x, anchors: (x - x.mean(dim=0), anchors - anchors.mean(dim=0))),
            _wrong(around=lambda x, anchors: (x - anchors.mean(dim=0), anchors)),
            _wrong(around=lambda x, anchors: (x - x.mean(dim=0), anchors)),
        ),
    ),
    Mistake(
        "the sparse rows are standardised at the end: divide them by their length alone.",
        (
            _wrong(last=lambda x: _unit(x - x.mean(dim=1, keepdim=True))),
            _wrong(last=lambda x: (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True) / x.shape[1] ** 0.5),
        ),
    ),
    Mistake(
        "rows are normalised before they are raised to the power: raise first, then divide by the length.",
        (lambda *case: _wrong(raised=lambda c, _: c.clamp(min=0), last=lambda x: _unit(x) ** case[5])(*case),),
    ),
    Mistake(
        "the root is taken: raise what is kept to the power.",
        (_wrong(raised=lambda c, power: c.clamp(min=0) ** (1 / power)),),
    ),
    Mistake(
        "what is kept counts as 1: raise the cosines themselves to the power.",
        (_wrong(raised=lambda c, power: (c > 0).double()), _wrong(raised=lambda c, power: torch.ones_like(c))),
    ),
    Mistake(
        "the anchors in common are counted: compare the cosines to them.",
        (
            _wrong(raised=lambda c, power: (c > 0).double(), last=_as_is),
            lambda *case: _wrong(raised=lambda c, power: (c > 0).double(), last=_as_is)(*case) / case[4],
        ),
    ),
    Mistake(
        "a softmax makes weights of what is kept: raise the cosines to the power.",
        tuple(
            _wrong(raised=lambda c, power, t=t: (c / t).exp(), last=last)
            for t in (1.0, 0.1, 0.07)
            for last in (_unit, lambda x: x / x.sum(dim=1, keepdim=True))
        ),
    ),
    Mistake(
        "a softmax runs over the result: return the cosines.",
        (_wrong(compare=lambda a, b: (a @ b.T).softmax(dim=1)), _wrong(compare=lambda a, b: (a @ b.T).softmax(dim=0))),
    ),
    Mistake(
        "similarity to an anchor is made of a distance: take the cosine.",
        (
            _wrong(similar=lambda a, b: 1 - torch.cdist(a, b)),
            _wrong(similar=lambda a, b: 1 / (1 + torch.cdist(a, b))),
            _wrong(similar=lambda a, b: (-torch.cdist(a, b)).exp()),
            _wrong(similar=lambda a, b: -torch.cdist(a, b)),
        ),
    ),
    Mistake(
        "the cosines are moved to between 0 and 1: take them as they are, those below 0 as 0.",
        (_wrong(similar=lambda a, b: (1 + a @ b.T) / 2),),
    ),
    Mistake(
        "the products are averaged over the anchors: the result is a cosine.",
        (
            _wrong(last=_as_is, compare=lambda a, b: a @ b.T / a.shape[1]),
            _wrong(compare=lambda a, b: a @ b.T / a.shape[1]),
        ),
    ),
    Mistake(
        "the k largest are looked for among the samples: each sample, a row, keeps its own k anchors (dim=1).",
        (_wrong(keep=partial(_largest, dim=0)),),
    ),
    Mistake(
        "the k largest by size are kept, whatever their sign: the nearest anchors have the largest cosines.",
        (
            _wrong(keep=partial(_largest, by=torch.abs)),
            _wrong(keep=partial(_largest, by=torch.abs), raised=_signed),
            _wrong(keep=partial(_largest, by=torch.abs), raised=lambda c, power: c.abs() ** power),
        ),
    ),
    Mistake(
        "the cosines are squared before the largest are looked for: raise what is kept to the power, and no more.",
        (
            _wrong(similar=lambda a, b: (a @ b.T).square()),
            _wrong(similar=lambda a, b: (a @ b.T).clamp(min=0).square()),
        ),
    ),
    Mistake(
        "the power is used for one of the two sides: images and texts are both raised to it.",
        (partial(_one_side, raised=0), partial(_one_side, raised=1)),
    ),
    Mistake(
        "the sparse table is normalised over the samples: every row is divided by its length (dim=1).",
        (_wrong(last=lambda x: _unit(x.T).T),),
    ),
    Mistake(
        "the anchors of images and texts are in different orders: row a of both is a pair.",
        (
            lambda x, t, a, b, *rest: _asif(x, t, a, b.flip(0), *rest),
            lambda x, t, a, b, *rest: _asif(x, t, a, b.roll(1, 0), *rest),
        ),
    ),
    Mistake(
        "the k smallest similarities are kept: the nearest anchors have the largest cosines.",
        (_wrong(keep=partial(_largest, by=torch.neg)),),
    ),
    Mistake(
        "the k largest are left out and the others kept.",
        (_wrong(keep=lambda cosines, k: ~_largest(cosines, k)),),
    ),
    Mistake(
        "one anchor too many or too few is kept.",
        (
            _wrong(keep=lambda cosines, k: _largest(cosines, k + 1)),
            _wrong(keep=lambda cosines, k: _largest(cosines, max(k - 1, 1))),
        ),
    ),
)

"""Week 6, distillation of features: one image at a time.

Reference: Ranzinger et al. 2024, "AM-RADIO: agglomerative vision foundation model", section 3.3 (the cosine of whole
images, through a head for each teacher).
"""

from functools import partial

import torch
from torch import Tensor, nn

from sslcourse.check.compare import Mistake


def _mapped(h: Tensor, mapping: nn.Linear, bias: bool = True) -> Tensor:
    out = h.double() @ mapping.weight.detach().double().T
    return out + mapping.bias.detach().double() if bias and mapping.bias is not None else out


def feature_distillation_loss(student_features: Tensor, teacher_features: Tensor, mapping: nn.Linear) -> Tensor:
    """1 - cosine of the mapped student feature and the teacher's feature, mean over the images."""
    total = 0.0
    for h, t in zip(_mapped(student_features, mapping), teacher_features.double(), strict=True):
        dot = sum(a * b for a, b in zip(h, t, strict=True))
        total = total + 1 - dot / (sum(a * a for a in h).sqrt() * sum(b * b for b in t).sqrt())
    return total / len(student_features)


def _unit(x: Tensor, dim: int | None = 1) -> Tensor:
    return x / (x.norm() if dim is None else x.norm(dim=dim, keepdim=True)).clamp(min=1e-12)


def _features(
    h: Tensor,
    t: Tensor,
    mapping: nn.Linear,
    *,
    over: int | None = 1,
    cosine=lambda c: 1 - c,
    unit: tuple[bool, bool] = (True, True),
    where: str = "student",
    bias: bool = True,
    reduce: str = "mean",
    compare: str = "cosine",
    first=lambda h: h,
    then=lambda h, t: (h, t),
) -> Tensor:
    """feature_distillation_loss with something wrong; right with the defaults.

    first: what is done to the student's features before the mapping; then: to both after it.
    """
    h, t = first(h.double()), t.double()
    h = _mapped(h, mapping, bias) if where in ("student", "both") else h
    t = _mapped(t, mapping, bias) if where in ("teacher", "both") else t
    h, t = then(h, t)
    if compare in _COMPARED:
        return _COMPARED[compare](h, t)
    if compare in ("squares", "squares, summed"):
        apart = (h - t).square() if not unit[0] else (_unit(h) - _unit(t)).square()
        return apart.mean() if compare == "squares" else apart.sum(dim=1).mean()
    h, t = _unit(h, over) if unit[0] else h, _unit(t, over) if unit[1] else t
    if compare == "all pairs":
        return cosine(h @ t.T).mean()
    if over is None:
        return cosine((h * t).sum())
    each = cosine((h * t).sum(dim=over))
    return each.sum() if reduce == "sum" else each.mean()


_COMPARED = {
    "distance": lambda h, t: (_unit(h) - _unit(t)).norm(dim=1).mean(),
    "distance of values": lambda h, t: (h - t).norm(dim=1).mean(),
    "smooth": lambda h, t: nn.functional.smooth_l1_loss(h, t),
    "smooth, normalised": lambda h, t: nn.functional.smooth_l1_loss(_unit(h), _unit(t)),
    "absolute": lambda h, t: (h - t).abs().mean(),
    "softmax": lambda h, t: nn.functional.kl_div(h.log_softmax(1), t.log_softmax(1), None, None, "batchmean", True),
    "cross-entropy": lambda h, t: -(t.softmax(1) * h.log_softmax(1)).sum(dim=1).mean(),
    "mixture": lambda h, t: (
        0.9 * (1 - (_unit(h) * _unit(t)).sum(dim=1).mean()) + 0.1 * nn.functional.smooth_l1_loss(h, t)
    ),
    "contrast": lambda h, t: nn.functional.cross_entropy(_unit(h) @ _unit(t).T, torch.arange(len(h))),
    "of means": lambda h, t: 1 - (_unit(h.mean(0, keepdim=True)) * _unit(t.mean(0, keepdim=True))).sum(),
    "logarithm": lambda h, t: -((1 + (_unit(h) * _unit(t)).sum(dim=1)) / 2).log().mean(),
}


def _centred(x: Tensor, dim: int) -> Tensor:
    return x - x.mean(dim=dim, keepdim=True)


def _standard(x: Tensor, dim: int, correction: int) -> Tensor:
    return _centred(x, dim) / (x.var(dim=dim, keepdim=True, correction=correction) + 1e-12).sqrt()


def _as_stored(h: Tensor, t: Tensor, mapping: nn.Linear) -> Tensor:
    """features @ weight, which nn.Linear stores the other way round; for equal widths."""
    h = h.double() @ mapping.weight.detach().double()
    return 1 - (_unit(h) * _unit(t.double())).sum(dim=1).mean()


def _loss(**what) -> partial:
    return partial(_features, **what)


FEATURE_MISTAKES = (
    Mistake(
        "the cosine itself is returned, which is largest for a perfect student: the loss is 1 minus it.",
        (_loss(cosine=lambda c: c),),
    ),
    Mistake("the 1 is missing: a perfect student has a loss of 0.", (_loss(cosine=lambda c: -c),)),
    Mistake("the losses are summed over the images: take the mean.", (_loss(reduce="sum"),)),
    Mistake(
        "the cosine is taken along the batch: each image has a feature, of length one over its dimensions, dim=1.",
        (_loss(over=0),),
    ),
    Mistake(
        "all features are compared as one long vector: take a cosine for each image, then the mean.",
        (_loss(over=None),),
    ),
    Mistake(
        "the features are not divided by their lengths: this is a product, not a cosine.",
        (_loss(unit=(False, False)), _loss(unit=(False, True)), _loss(unit=(True, False))),
    ),
    Mistake(
        "the features are compared by squared distance: their lengths then count, take the cosine.",
        (_loss(compare="squares", unit=(False, False)), _loss(compare="squares, summed", unit=(False, False))),
    ),
    Mistake(
        "the squared distance of normalised features is taken, which is twice 1 - cosine (over the dimensions, where "
        "it is a mean): take 1 - cosine.",
        (_loss(compare="squares"), _loss(compare="squares, summed")),
    ),
    Mistake(
        "every image is compared with every other: only with the teacher's feature of the same image.",
        (_loss(compare="all pairs"),),
    ),
    Mistake("the mapping is not used: the two networks have axes of their own.", (_loss(where="none"),)),
    Mistake("the mapping is applied to the teacher: it maps the student's features.", (_loss(where="teacher"),)),
    Mistake("the mapping is applied to both: it maps the student's features.", (_loss(where="both"),)),
    Mistake(
        "1 - cosine is squared: take the mean of it as it is.", (_loss(cosine=lambda c: (1 - c).square()),)
    ),
    Mistake(
        "the features belong to other images: row n of both is image n.",
        tuple(
            _loss(then=lambda h, t, order=order: (h, order(t)))
            for order in (lambda t: t.flip(0), lambda t: t.roll(1, 0), lambda t: t.roll(-1, 0))
        ),
    ),
    Mistake(
        "the cosines are summed over the images before they are taken from 1: take their mean.",
        (lambda h, t, mapping: 1 - len(h) + _features(h, t, mapping, reduce="sum"),),
    ),
    Mistake("the mapping's bias is forgotten: call it as a whole, mapping(h).", (_loss(bias=False),)),
    Mistake("the size of the cosine counts and not its sign.", (_loss(cosine=lambda c: 1 - c.abs()),)),
    Mistake(
        "the cosine is squared: opposite features would be as good as equal ones.",
        (_loss(cosine=lambda c: 1 - c.square()),),
    ),
    Mistake("the angle is taken: the loss is 1 minus its cosine.", (_loss(cosine=lambda c: c.clamp(-1, 1).acos()),)),
    Mistake(
        "a mean is taken off first: the cosine is one of the features as they are.",
        (
            _loss(then=lambda h, t: (_centred(h, 0), _centred(t, 0))),
            _loss(then=lambda h, t: (_centred(h, 1), _centred(t, 1))),
            _loss(then=lambda h, t: (h, _centred(t, 0))),
        ),
    ),
    Mistake(
        "the teacher's features are standardised: take them as they are.",
        tuple(_loss(then=lambda h, t, c=c: (h, _standard(t, 0, c))) for c in (0, 1)),
    ),
    Mistake(
        "the student's features are normalised before the mapping: give it the features as they are.",
        (_loss(first=_unit), _loss(first=lambda h: _standard(h, 1, 0))),
    ),
    Mistake(
        "the mapped features pass a non-linearity: the mapping is linear.",
        (
            _loss(then=lambda h, t: (h.relu(), t)),
            _loss(then=lambda h, t: (nn.functional.gelu(h), t)),
            _loss(then=lambda h, t: (h.tanh(), t)),
        ),
    ),
    Mistake("cosines below 0 are cut off at 0: keep their sign.", (_loss(cosine=lambda c: 1 - c.clamp(min=0)),)),
    Mistake(
        "the features are averaged over the images first: a cosine for each image, then the mean.",
        (_loss(compare="of means"),),
    ),
    Mistake(
        "it is a divergence of softmax outputs: features are no logits, take 1 - cosine.",
        (_loss(compare="softmax"), _loss(compare="cross-entropy")),
    ),
    Mistake(
        "the features are compared by a distance: take 1 - cosine.",
        tuple(_loss(compare=c) for c in ("distance", "distance of values", "smooth", "smooth, normalised", "absolute")),
    ),
    Mistake(
        "another term is added to the cosine: it is 1 - cosine alone, for whole images.", (_loss(compare="mixture"),)
    ),
    Mistake(
        "the images of the batch are candidates, as in a contrastive loss: only the own image counts.",
        (_loss(compare="contrast"),),
    ),
    Mistake("the logarithm is taken: the loss is 1 - cosine.", (_loss(compare="logarithm"),)),
    Mistake("the mapping's weight is used the wrong way round: call it, mapping(h).", (_as_stored,)),
    Mistake("the mapping is applied twice.", (lambda h, t, mapping: _features(_mapped(h, mapping), t, mapping),)),
    Mistake("the loss is halved: it is 1 - cosine, from 0 to 2.", (_loss(cosine=lambda c: (1 - c) / 2),)),
)

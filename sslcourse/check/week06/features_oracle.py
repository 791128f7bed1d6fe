"""Week 6, distillation of features: one image at a time.

Reference: Ranzinger et al. 2024, "AM-RADIO: agglomerative vision foundation model", section 3.3 (the cosine of whole
images, through a head for each teacher).
"""

from functools import partial

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
    return x / (x.norm() if dim is None else x.norm(dim=dim, keepdim=True))


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
) -> Tensor:
    """feature_distillation_loss with something wrong; right with the defaults."""
    h, t = h.double(), t.double()
    h = _mapped(h, mapping, bias) if where in ("student", "both") else h
    t = _mapped(t, mapping, bias) if where in ("teacher", "both") else t
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
    Mistake("the mapping's bias is forgotten: call it as a whole, mapping(h).", (_loss(bias=False),)),
    Mistake("the size of the cosine counts and not its sign.", (_loss(cosine=lambda c: 1 - c.abs()),)),
    Mistake(
        "the cosine is squared: opposite features would be as good as equal ones.",
        (_loss(cosine=lambda c: 1 - c.square()),),
    ),
    Mistake("the angle is taken: the loss is 1 minus its cosine.", (_loss(cosine=lambda c: c.clamp(-1, 1).acos()),)),
    Mistake("the loss is halved: it is 1 - cosine, from 0 to 2.", (_loss(cosine=lambda c: (1 - c) / 2),)),
)

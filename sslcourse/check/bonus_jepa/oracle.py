"""LeJEPA: the statistic of Epps and Pulley, SIGReg and the loss, one knot at a time, as the paper writes them.

What may be wrong with the statistic: statistic_mistakes.py.

Reference: Balestriero and LeCun 2025, "LeJEPA: provable and scalable self-supervised learning without the heuristics";
Epps and Pulley 1983, "A test for normality based on the empirical characteristic function", Biometrika 70.
"""

from collections.abc import Callable
from functools import partial
from math import cos, erf, exp, pi, sin, sqrt

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- epps_pulley


def epps_pulley(x: Tensor, knots: int = 17, t_max: float = 3.0) -> Tensor:
    """N times the weighted distance between the characteristic functions of each column of x (N, S) and of N(0, 1)."""
    step = t_max / (knots - 1)
    total = 0.0
    for k in range(knots):
        t = k * step
        normal = exp(-(t**2) / 2)
        gap = torch.exp(1j * t * x).mean(dim=0) - normal  # (S,), complex
        share = step / 2 if k in (0, knots - 1) else step
        total = total + 2 * share * normal * (gap * gap.conj()).real
    return len(x) * total


def expectation(t_max: float = 3.0) -> float:
    """Of the statistic with infinitely many knots, for any number of standard normal values."""
    return sqrt(2 * pi) * erf(t_max / sqrt(2)) - sqrt(2 * pi / 3) * erf(t_max * sqrt(1.5))


def constant(n: int, t_max: float = 3.0) -> float:
    """The statistic with infinitely many knots for n zeros: what embeddings that have collapsed to 0 cost."""
    wide, middle, narrow = (sqrt(2 * pi / k) * erf(t_max * sqrt(k / 2)) for k in (1, 2, 3))
    return n * (wide - 2 * middle + narrow)


def _as_is(x: Tensor) -> Tensor:
    return x


def _statistic(
    x: Tensor,
    knots: int = 17,
    t_max: float = 3.0,
    *,
    prepare: Callable = _as_is,
    target: Callable = lambda t: exp(-(t**2) / 2),
    window: Callable = lambda t: exp(-(t**2) / 2),
    gap: Callable = lambda c, s, normal: (c - normal) ** 2 + s**2,
    step: Callable = lambda knots, t_max: t_max / (knots - 1),
    ends: float = 0.5,
    sides: float = 2.0,
    factor: Callable = lambda n: n,
    fixed: tuple[int | None, float | None] = (None, None),
    over_all: bool = False,
    start: float = 0.0,
) -> Tensor:
    """epps_pulley with something wrong; right with the defaults. ends: the weight of the first and the last knot."""
    knots, t_max = fixed[0] or knots, fixed[1] or t_max
    x = prepare(x)
    total = 0.0
    for k in range(knots):
        t = start + k * step(knots, t_max - start)
        c, s = (t * x).cos().mean(dim=0), (t * x).sin().mean(dim=0)  # (S,)
        if over_all:
            c, s = c.mean().expand_as(c), s.mean().expand_as(s)
        share = step(knots, t_max - start) * (ends if k in (0, knots - 1) else 1)
        total = total + sides * share * window(t) * gap(c, s, target(t))
    return factor(len(x)) * total


# --- sigreg: exact in one dimension, where every direction is 1 or -1, and by all angles in two


def sigreg_line(z: Tensor, *_) -> Tensor:
    """SIGReg of z (N, 1), whatever the directions are: the statistic of x is that of -x."""
    return epps_pulley(z)[0]


def around(z: Tensor, angles: int = 720) -> Tensor:
    """The statistic of z (N, 2) along directions evenly spread over the half circle, (angles,)."""
    turns = [pi * (k + 0.5) / angles for k in range(angles)]
    directions = torch.tensor([[cos(a) for a in turns], [sin(a) for a in turns]], dtype=z.dtype)
    return epps_pulley(z @ directions)


# --- lejepa_loss


def agreement(views: Tensor) -> Tensor:
    """Mean squared distance of the embeddings of each view (V, N, D) to the mean over views, over all numbers."""
    middle = sum(views) / len(views)
    return sum(((view - middle) ** 2).sum() for view in views) / views.numel()


def lejepa_line(views: Tensor, lam: float, *_) -> Tensor:
    """lejepa_loss for views (V, N, 1), exact whatever the directions are; for lam = 0 in any dimension."""
    if lam == 0:
        return agreement(views)
    return (1 - lam) * agreement(views) + lam * sum(sigreg_line(view) for view in views) / len(views)


def _loss(
    views: Tensor,
    lam: float,
    *_,
    near: Callable = agreement,
    normal: Callable = lambda views: sum(sigreg_line(view) for view in views) / len(views),
    weights: Callable = lambda lam: (1 - lam, lam),
) -> Tensor:
    """lejepa_loss with something wrong; right with the defaults."""
    one, other = weights(lam)
    return one * near(views) + (other * normal(views) if other else 0.0)


def _pooled(views: Tensor) -> Tensor:
    return sigreg_line(views.flatten(0, 1))


def _pairs(views: Tensor) -> Tensor:
    gaps = [(a - b).square().mean() for i, a in enumerate(views) for b in views[i + 1 :]]
    return sum(gaps) / len(gaps)


def _bad(**what) -> partial:
    return partial(_loss, **what)


LEJEPA_LOSS_MISTAKES = (
    Mistake(
        "lam stands at the wrong term: it is the weight of SIGReg, 1 - lam that of the distance between views.",
        (_bad(weights=lambda lam: (lam, 1 - lam)),),
    ),
    Mistake(
        "the distance has no weight, or the whole: it is (1 - lam) times the distance plus lam times SIGReg. (Several "
        "published versions leave out 1 - lam.)",
        tuple(_bad(weights=f) for f in (lambda lam: (1, lam), lambda lam: (1 - lam, 1), lambda lam: (1, 1))),
    ),
    Mistake(
        "the views are pooled into one sample: SIGReg is taken of each view and averaged. Pooled, N counts every image "
        "once a view, and the term grows with the number of views.",
        (
            _bad(normal=_pooled),
            _bad(normal=_pooled, weights=lambda lam: (1.0, lam)),
        ),
    ),
    Mistake(
        "SIGReg is summed over the views: average it.",
        (_bad(normal=lambda views: sum(sigreg_line(view) for view in views)),),
    ),
    Mistake(
        "only one view is made normal: SIGReg is averaged over all of them.",
        (_bad(normal=lambda views: sigreg_line(views[0])), _bad(normal=lambda views: sigreg_line(views[-1]))),
    ),
    Mistake(
        "the mean of the views is made normal: SIGReg is taken of each view.",
        (_bad(normal=lambda views: sigreg_line(views.mean(dim=0))),),
    ),
    Mistake(
        "the distances are summed over the dimensions: take the mean over views, images and dimensions.",
        (_bad(near=lambda views: agreement(views) * views.shape[2]),),
    ),
    Mistake(
        "the distances are summed over the views or the images: take the mean over views, images and dimensions.",
        (
            _bad(near=lambda views: agreement(views) * len(views)),
            _bad(near=lambda views: agreement(views) * views.shape[1]),
            _bad(near=lambda views: agreement(views) * views.numel()),
            _bad(near=lambda views: agreement(views) * len(views) * views.shape[2]),
        ),
    ),
    Mistake(
        "pairs of views are compared: compare each view with the mean over the views.",
        (
            _bad(near=_pairs),
            _bad(near=lambda views: (views - views[:1]).square().mean()),
            _bad(near=lambda views: (views - views[:1]).square().sum() / max(views[1:].numel(), 1)),
            _bad(near=lambda views: (views[1:] - views[:-1]).square().sum() / max(views[1:].numel(), 1)),
            _bad(near=lambda views: (views - views.roll(1, 0)).square().mean()),
        ),
    ),
    Mistake(
        "the distance is doubled, as the mean over all pairs of views is: it is that to the mean over the views.",
        (_bad(near=lambda views: 2 * agreement(views)),),
    ),
    Mistake(
        "each view is compared with the mean of the others: with the mean over all views, itself among them.",
        (_bad(near=lambda views: agreement(views) * (len(views) / max(len(views) - 1, 1)) ** 2),),
    ),
    Mistake(
        "the root is taken of the squared distance: it is the mean of the squares.",
        (
            _bad(near=lambda views: agreement(views).sqrt()),
            _bad(near=lambda views: views.std(dim=0, correction=0).mean()),
        ),
    ),
    Mistake(
        "the cosine of the views is taken: it is the squared distance, in which lengths count.",
        (
            _bad(near=lambda views: (1 - torch.cosine_similarity(views, views.mean(0, keepdim=True), dim=2)).mean()),
            _bad(near=lambda views: (1 - torch.cosine_similarity(views[:1], views, dim=2)).mean()),
        ),
    ),
    Mistake(
        "the argument lam is not used.",
        tuple(
            lambda views, lam, *rest, fixed=fixed: lejepa_line(views, fixed) for fixed in (0.01, 0.02, 0.05, 0.1, 0.5)
        ),
    ),
    Mistake(
        "the first view is left out of SIGReg: it is averaged over all of them.",
        (_bad(normal=lambda views: sum(sigreg_line(view) for view in views[1:]) / max(len(views) - 1, 1)),),
    ),
    Mistake(
        "SIGReg's largest or smallest value among the views counts: average it.",
        (
            _bad(normal=lambda views: max(sigreg_line(view) for view in views)),
            _bad(normal=lambda views: min(sigreg_line(view) for view in views)),
        ),
    ),
    Mistake(
        "SIGReg is taken of the deviations from the mean over the views: of the views themselves.",
        (_bad(normal=lambda views: sum(sigreg_line(view) for view in views - views.mean(dim=0)) / len(views)),),
    ),
    Mistake(
        "a weight is wrong: it is 1 - lam for the distance and lam for SIGReg.",
        tuple(
            _bad(weights=f)
            for f in (
                lambda lam: (1 - lam, lam / 2),
                lambda lam: (1 - lam, 2 * lam),
                lambda lam: (1 + lam, lam),
                lambda lam: (1 - lam, lam**2),
                lambda lam: (1 - lam, 1 / max(lam, 1e-12)),
            )
        ),
    ),
    Mistake(
        "the whole is multiplied or divided by something: the two weighted terms are added, and that is the loss.",
        (
            *(lambda views, lam, *rest, by=by: by * lejepa_line(views, lam) for by in (0.5, 2.0)),
            *(lambda views, lam, *rest, p=p: lejepa_line(views, lam) * len(views) ** p for p in (-1, 1)),
            *(lambda views, lam, *rest, p=p: lejepa_line(views, lam) * views.shape[1] ** p for p in (-1, 1)),
        ),
    ),
    Mistake(
        "a term is divided by the number of images once more: the distance is a mean already, SIGReg carries its N.",
        (
            _bad(near=lambda views: agreement(views) / views.shape[1]),
            _bad(normal=lambda views: sum(sigreg_line(view) / view.shape[0] for view in views) / len(views)),
        ),
    ),
    Mistake(
        "only two of the views count: the mean runs over all of them, and SIGReg is averaged over all of them.",
        (
            _bad(near=lambda views: agreement(views[:2])),
            _bad(near=lambda views: (views[0] - views[min(1, len(views) - 1)]).square().mean()),
            _bad(normal=lambda views: sum(sigreg_line(view) for view in views[:2]) / 2),
            _bad(normal=lambda views: sum(sigreg_line(view) for view in views[:2]) / len(views)),
        ),
    ),
    Mistake(
        "the median of the views is their centre: take their mean.",
        (_bad(near=lambda views: (views - views.median(dim=0).values).square().mean()),),
    ),
    Mistake(
        "SIGReg is taken across the views of an image: a sample is one view of all images, views[v].",
        (_bad(normal=lambda views: sum(sigreg_line(views[:, n]) for n in range(views.shape[1])) / views.shape[1]),),
    ),
    Mistake(
        "the root is taken of SIGReg: it enters the loss as it is.",
        (_bad(normal=lambda views: (sum(sigreg_line(view) for view in views) / len(views)).sqrt()),),
    ),
    Mistake(
        "the sum over the views is divided by V - 1, as an unbiased variance is: take the mean over all numbers.",
        (_bad(near=lambda views: agreement(views) * len(views) / max(len(views) - 1, 1)),),
    ),
    Mistake(
        "SIGReg is subtracted: both terms are costs, added up.",
        (_bad(weights=lambda lam: (1 - lam, -lam)),),
    ),
    Mistake(
        "the distance is that to the mean of everything: compare each view with the mean of its image's views.",
        (_bad(near=lambda views: (views - views.mean(dim=(0, 1))).square().mean()),),
    ),
    Mistake(
        "the distance is not squared.",
        (
            _bad(near=lambda views: (views - views.mean(dim=0)).abs().mean()),
            _bad(near=lambda views: (views - views.mean(dim=0)).norm(dim=2).mean()),
        ),
    ),
    Mistake(
        "the mean runs over the images instead of the views: compare each view with the mean of its image's views.",
        (_bad(near=lambda views: (views - views.mean(dim=1, keepdim=True)).square().mean()),),
    ),
    Mistake(
        "the views are normalised first: their length is a part of what should become normal.",
        (
            lambda views, lam, *rest: lejepa_line(views / views.norm(dim=2, keepdim=True), lam),
            _bad(near=lambda views: agreement(views / views.norm(dim=2, keepdim=True))),
        ),
    ),
)


def of_two(views: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """lejepa_loss of views (V, N, 2) in the mean over all directions, and the spread of it for a single direction."""
    by_angle = lam * sum(around(view) for view in views) / len(views)
    return (1 - lam) * agreement(views) + by_angle.mean(), by_angle.std()

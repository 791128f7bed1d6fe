"""Week 9: two measures of a score, AUROC and FPR at 95 % TPR, one pair at a time.

Reference: Hanley and McNeil 1982 for the area under the ROC curve.
"""

from collections.abc import Callable
from functools import partial
from math import ceil, floor

import numpy as np
import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def auroc(inside: Tensor, outside: Tensor) -> float:
    """Over all pairs, how often the inside one is higher; equal ones half."""
    won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in inside.tolist() for b in outside.tolist())
    return won / (len(inside) * len(outside))


def _pairs(inside: Tensor, outside: Tensor) -> Tensor:
    return inside[:, None].double() - outside


def _counts(inside: Tensor, outside: Tensor, cuts: Tensor) -> tuple[Tensor, Tensor]:
    """True and false positive rates at thresholds, both (C,)."""
    return tuple((part.double()[None] >= cuts[:, None]).double().mean(dim=1) for part in (inside, outside))


def _trapezoid(inside: Tensor, outside: Tensor, steps: int) -> float:
    """The area under few points of the curve, thresholds equally spaced."""
    both = torch.cat([inside, outside]).double()
    cuts = torch.linspace(float(both.max()), float(both.min()), steps, dtype=torch.float64)
    return float(torch.trapezoid(*_counts(inside, outside, cuts)))


def curve(inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """The ROC curve at every distinct score, from (0, 0) to (1, 1): TPR and FPR."""
    cuts = torch.cat([inside, outside]).double().unique().flip(0)
    tpr, fpr = _counts(inside, outside, cuts)
    start = torch.zeros(1, dtype=torch.float64)
    return torch.cat([start, tpr]), torch.cat([start, fpr])


def _open_curve(inside: Tensor, outside: Tensor, cuts: Callable) -> float:
    """The area without the ends of the curve."""
    tpr, fpr = _counts(inside, outside, cuts(inside, outside).double().unique().flip(0))
    return float(torch.trapezoid(tpr, fpr))


def _steps(inside: Tensor, outside: Tensor, first: int) -> float:
    """Rectangles under the curve, as high as it is at their right (first 1) or left end (0)."""
    tpr, fpr = curve(inside, outside)
    return float((fpr.diff() * tpr[first : len(tpr) - 1 + first]).sum())


def _average_precision(inside: Tensor, outside: Tensor) -> float:
    tpr, fpr = curve(inside, outside)
    hits, alarms = tpr * len(inside), fpr * len(outside)
    precision = hits[1:] / (hits[1:] + alarms[1:])
    return float((tpr.diff() * precision).sum())


def _mean_of_parts(inside: Tensor, outside: Tensor, size: int) -> float:
    areas = [auroc(*pair) for pair in zip(inside.split(size), outside.split(size), strict=False)]
    return sum(areas) / len(areas)


AUROC_MISTAKES = (
    Mistake(
        "the sides are swapped: higher scores are more in-distribution, so inside samples are to be above.",
        (lambda a, b: 1 - auroc(a, b),),
    ),
    Mistake(
        "ties count for nothing: an equal pair counts half.",
        (lambda a, b: float((_pairs(a, b) > 0).double().mean()), partial(_steps, first=0)),
    ),
    Mistake(
        "ties count in full: an equal pair counts half.",
        (lambda a, b: float((_pairs(a, b) >= 0).double().mean()), partial(_steps, first=1)),
    ),
    Mistake(
        "an equal pair counts for more or less than half a pair: > and == are added wrongly.",
        (
            lambda a, b: auroc(a, b) + float((_pairs(a, b) == 0).double().mean()),
            lambda a, b: float((_pairs(a, b) >= 0).double().mean() + (_pairs(a, b) == 0).double().mean() / 2),
            lambda a, b: float((_pairs(a, b) > 0).double().mean() - (_pairs(a, b) == 0).double().mean() / 2),
        ),
    ),
    Mistake(
        "equal pairs are left out: they stay among the N times M pairs and count half.",
        (lambda a, b: float((_pairs(a, b) > 0).sum() / (_pairs(a, b) != 0).sum()),),
    ),
    Mistake(
        "the pairs are counted and not averaged: divide by N times M.",
        (
            lambda a, b: auroc(a, b) * len(a) * len(b),
            lambda a, b: auroc(a, b) * len(a),
            lambda a, b: auroc(a, b) * len(b),
            lambda a, b: auroc(a, b) * len(a) * len(b) / (len(a) + len(b)) ** 2,
            lambda a, b: auroc(a, b) * len(a) * len(b) / (len(a) + len(b)),
        ),
    ),
    Mistake(
        "it is an area under a few thresholds: every distinct score is a threshold.",
        tuple(partial(_trapezoid, steps=n) for n in (10, 11, 20, 21, 50, 51, 100, 101, 200, 201, 256, 500, 1000, 1001)),
    ),
    Mistake(
        "the curve lacks an end: it begins at (0, 0) and ends at (1, 1).",
        (
            partial(_open_curve, cuts=lambda a, b: torch.cat([a, b])),
            partial(_open_curve, cuts=lambda a, b: a),
            partial(_open_curve, cuts=lambda a, b: b),
        ),
    ),
    Mistake(
        "an area below 1/2 is turned over: a score that is worse than chance is to come out below 1/2.",
        (lambda a, b: max(auroc(a, b), 1 - auroc(a, b)),),
    ),
    Mistake(
        "it is 2 AUROC - 1 (Gini, or the mean sign): half of that plus a half.", (lambda a, b: 2 * auroc(a, b) - 1,)
    ),
    Mistake("it is given in per cent.", (lambda a, b: 100 * auroc(a, b),)),
    Mistake(
        "the scores are compared without their sign: a score of -2 is below one of 1.",
        (lambda a, b: auroc(a.abs(), b.abs()), lambda a, b: auroc(a.square(), b.square())),
    ),
    Mistake(
        "the scores are clamped before they are compared: only their order counts, also below 0 and above 1.",
        tuple(
            lambda a, b, low=low, high=high: auroc(a.clamp(low, high), b.clamp(low, high))
            for low, high in ((0, None), (0, 1), (None, 1))
        ),
    ),
    Mistake("it is the average precision: the area under TPR against FPR is asked for.", (_average_precision,)),
    Mistake(
        "sample n is compared with sample n only: every inside one with every other one.",
        (lambda a, b: auroc_of_rows(a, b, half=0.5), lambda a, b: auroc_of_rows(a, b, half=0.0)),
    ),
    Mistake(
        "areas of parts are averaged: all pairs count, also those of different parts.",
        tuple(partial(_mean_of_parts, size=size) for size in (10, 32, 64, 100, 128, 256)),
    ),
)


def auroc_of_rows(inside: Tensor, outside: Tensor, half: float) -> float:
    n = min(len(inside), len(outside))
    a, b = inside[:n], outside[:n]
    return float(((a > b).double() + half * (a == b).double()).mean())


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


def _reversed(inside: Tensor, outside: Tensor, how: str) -> float:
    return _quantile(-inside, -outside, how)


def _threshold(inside: Tensor) -> float:
    falling = inside.sort(descending=True).values
    return float(falling[-(-95 * len(inside) // 100) - 1])


def _rank(inside: Tensor, outside: Tensor, place: Callable) -> float:
    """The threshold is the score at a place of the falling list, counted from 1."""
    falling = inside.double().sort(descending=True).values
    cut = falling[min(max(place(95 * len(inside) / 100), 1), len(inside)) - 1]
    return float((outside.double() >= cut).double().mean())


def _by_curve(inside: Tensor, outside: Tensor, kind: str) -> float:
    """From the points of the ROC curve: those on a straight line dropped, the nearest to 95 %, or interpolated."""
    tpr, fpr = curve(inside, outside)
    if kind == "collinear dropped":
        hits, alarms = (tpr * len(inside)).round(), (fpr * len(outside)).round()
        bends = (hits.diff(n=2) != 0) | (alarms.diff(n=2) != 0)
        kept = torch.cat([torch.tensor([True]), bends, torch.tensor([True])])
        tpr, fpr = tpr[kept], fpr[kept]
    if kind == "nearest":
        return float(fpr[(tpr - 0.95).abs().argmin()])
    if kind == "np.interp":
        return float(np.interp(0.95, tpr.numpy(), fpr.numpy()))
    if kind == "above":
        return float(fpr[int((tpr > 0.95).double().argmax())])
    if kind == "below":
        return float(fpr[tpr <= 0.95 + 1e-9][-1])
    at = int((tpr >= 0.95 - 1e-9).double().argmax())
    if kind == "interpolated":
        share = (0.95 - tpr[at - 1]) / (tpr[at] - tpr[at - 1])
        return float(fpr[at - 1] + share * (fpr[at] - fpr[at - 1]))
    return float(fpr[at])


FPR_MISTAKES = (
    Mistake(
        "the sides are swapped: 95 % of the in-distribution samples are to be recognised, and the others counted.",
        (lambda a, b: fpr_at_95_tpr(b, a), lambda a, b: fpr_at_95_tpr(-b, -a)),
    ),
    Mistake(
        "the share is of the wrong side: count the out-of-distribution samples at or above the threshold.",
        (lambda a, b: 1 - fpr_at_95_tpr(a, b), lambda a, b: float((b <= _threshold(a)).double().mean())),
    ),
    Mistake(
        "low scores are taken for in-distribution, in the threshold and in the count: high ones are, so 95 % of the "
        "in-distribution scores lie at or above the threshold, and the others at or above it are counted.",
        (
            lambda a, b: fpr_at_95_tpr(-a, -b),
            *(partial(_reversed, how=how) for how in ("linear", "lower", "higher", "midpoint", "nearest")),
        ),
    ),
    Mistake(
        "the threshold is that of 5 %: 95 % of the in-distribution scores are to lie at or above it.",
        (
            lambda a, b: _at(a, b, 0.05),
            *(
                lambda a, b, how=how: float((b >= torch.quantile(a.double(), 0.95, interpolation=how)).double().mean())
                for how in ("linear", "lower", "higher", "midpoint", "nearest")
            ),
        ),
    ),
    Mistake(
        "another share than 95 % is taken.",
        tuple(partial(_at, share=share) for share in (0.8, 0.9, 0.99, 1.0)),
    ),
    Mistake(
        "it is the true positive rate where 5 % of the others pass: fix the rate of the inside, count the outside.",
        tuple(
            lambda a, b, how=how: float((a >= torch.quantile(b.double(), 0.95, interpolation=how)).double().mean())
            for how in ("linear", "lower", "higher", "midpoint", "nearest")
        ),
    ),
    Mistake(
        "the threshold is found on the out-of-distribution scores: it is one that 95 % of the inside reach.",
        (
            lambda a, b: float((b >= torch.quantile(b.double(), 0.05)).double().mean()),
            lambda a, b: float((b >= _threshold(b)).double().mean()),
            lambda a, b: float((b >= torch.quantile(torch.cat([a, b]).double(), 0.05)).double().mean()),
            lambda a, b: float((b >= _threshold(torch.cat([a, b]))).double().mean()),
        ),
    ),
    Mistake(
        "the in-distribution scores are counted at the threshold: that is the TPR; count the others.",
        (lambda a, b: float((a >= _threshold(a)).double().mean()),),
    ),
    Mistake(
        "scores equal to the threshold are left out: those at it count as well as those above.",
        (lambda a, b: float((b > _threshold(a)).double().mean()),),
    ),
    Mistake(
        "points of the curve that lie on a straight line are dropped, and with them the threshold: keep all of them "
        "(roc_curve has drop_intermediate=False).",
        (partial(_by_curve, kind="collinear dropped"),),
    ),
    Mistake(
        "the threshold is interpolated between two scores: it is the highest score that at least 95 % reach.",
        (
            *(partial(_quantile, how=how) for how in ("linear", "midpoint")),
            *(partial(_by_curve, kind=kind) for kind in ("interpolated", "np.interp")),
            lambda a, b: float((b > torch.quantile(a.double(), 0.05)).double().mean()),
        ),
    ),
    Mistake(
        "the threshold is one score too high or too low: at least 95 % of the in-distribution scores reach it, and "
        "it is the highest such score.",
        (
            *(partial(_quantile, how=how) for how in ("higher", "lower", "nearest")),
            *(partial(_by_curve, kind=kind) for kind in ("nearest", "above", "below")),
            *(
                partial(_rank, place=place)
                for place in (floor, round, lambda n: floor(n) + 1, lambda n: ceil(n) + 1, lambda n: ceil(n) - 1)
            ),
        ),
    ),
    Mistake(
        "it is the threshold: return the share of the others that reach it.",
        (lambda a, b: _threshold(a), lambda a, b: float(torch.quantile(a.double(), 0.05))),
    ),
    Mistake("it is a number of samples: divide by how many others there are.", (lambda a, b: _count(a, b),)),
    Mistake(
        "it is divided by the number of all samples, or of the inside ones: by that of the others.",
        (lambda a, b: _count(a, b) / len(a), lambda a, b: _count(a, b) / (len(a) + len(b))),
    ),
    Mistake("it is given in per cent.", (lambda a, b: 100 * fpr_at_95_tpr(a, b),)),
    Mistake(
        "it is the share of wrong verdicts over both sides: count the others alone.",
        (
            lambda a, b: (fpr_at_95_tpr(a, b) + float((a < _threshold(a)).double().mean())) / 2,
            lambda a, b: 0.5 * fpr_at_95_tpr(a, b) + 0.5 * 0.05,
        ),
    ),
    Mistake(
        "the scores are compared without their sign: a score of -2 is below one of 1.",
        (lambda a, b: fpr_at_95_tpr(a.abs(), b.abs()),),
    ),
)


def _count(inside: Tensor, outside: Tensor) -> float:
    return fpr_at_95_tpr(inside, outside) * len(outside)

"""Answers to the bonus whose mistake has a name since the fifth round: one line of a right version is another."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell

from sslcourse import evaluate
from sslcourse.check import bonus as check

NAMES = {"torch": torch, "F": F, "f": evaluate.extract_features}

CURVES = """
def insertion_deletion(encoder, image, importance, steps):
    order = importance.flatten().argsort(descending=True)
    n = order.numel()
    ins, dele = [], []
    for k in range(steps + 1):
        m = torch.zeros(n, dtype=torch.bool)
        m[order[: round(k * n / steps)]] = True
        m = m.view(importance.shape)
        ins.append(image * m)
        dele.append(image * ~m)
    whole = f(encoder, image[None])
    a = F.cosine_similarity(f(encoder, torch.stack(ins)), whole)
    b = F.cosine_similarity(f(encoder, torch.stack(dele)), whole)
    return a, b, torch.trapezoid(a, dx=1 / steps).item(), torch.trapezoid(b, dx=1 / steps).item()
"""
RELAX = """
def relax(encoder, image, masks):
    h = f(encoder, image[None])
    s = F.cosine_similarity(f(encoder, image * masks), h)[:, None, None]
    w = masks[:, 0]
    importance = (s * w).sum(0) / w.sum(0)
    return importance, ((s - importance) ** 2 * w).sum(0) / w.sum(0)
"""
RATIO = "(s * w).sum(0) / w.sum(0)"
SPREAD = "((s - importance) ** 2 * w).sum(0) / w.sum(0)"

WRONG = [
    (CURVES, "ins.append(image * m)", "ins.append(image * m + 0.5 * ~m)", "missing pixels are grey"),
    (CURVES, "ins.append(image * m)", "ins.append(image * m + image.mean() * ~m)", "the mean of the image"),
    (CURVES, "dele.append(image * ~m)", "dele.append(image * ~m + image.mean((1, 2), keepdim=True) * m)",
     "mean colour"),
    (CURVES, "image * ~m", "image * m", "exchanged in one of the curves"),
    (CURVES, "importance.flatten()", "importance.T.flatten()", "rows and columns of the importance"),
    (CURVES, "round(k * n / steps)", "k * (n // steps)", "every step moves pixels // steps"),
    (CURVES, "round(k * n / steps)", "round(k * n / (steps + 1))", "the steps are one too many"),
    (CURVES, "order[: round", "order[round(max(k - 1, 0) * n / steps) : round", "puts the others back"),
    (CURVES, "f(encoder, image[None])", "f(encoder, 0 * image[None])", "the black image is compared with"),
    (CURVES, "a = F.cosine_similarity(f(encoder, torch.stack(ins)), whole)",
     "a = (f(encoder, torch.stack(ins)) @ whole.T)[:, 0]", "the dot product is taken"),
    (CURVES, "a = F.", "a = 1 - F.", "distances are taken"),
    (CURVES, "torch.trapezoid(a, dx=1 / steps).item(), torch.trapezoid(b, dx=1 / steps).item()",
     "a.sum().item() / steps, b.sum().item() / steps", "the points count alike"),
    (RELAX, SPREAD, f"{SPREAD} * w.square().sum(0) / w.sum(0) ** 2", "the number of effective masks"),
    (RELAX, RATIO, "(s * w).sum(0) / (w.sum(0) + 0.1)", "a number is added"),
    (RELAX, RATIO, "(s * w).sum(0) / w.sum(0).max()", "one number divides all pixels"),
    (RELAX, RATIO, "(s * w * w).sum(0) / (w * w).sum(0)", "the weights are squared in the importance"),
    (RELAX, "image * masks", "image * masks * masks", "by the mask twice"),
    (RELAX, SPREAD, "(s**2 * w).sum(0) / w.sum(0) - importance", "take off the square of the importance"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "old", "new", "words"), WRONG)
def test_a_wrong_version_is_named(source, old, new, words):
    assert old in source
    name = "relax" if source is RELAX else "insertion_deletion"
    assert_wrong(getattr(check, name), cell(source.replace(old, new), name, **NAMES), words)


def over_shares(encoder, image, importance, steps):
    """In numpy, the area over the shares of pixels that have really moved, steps rounded down."""
    order = np.argsort(-importance.numpy().ravel(), kind="stable")
    counts = np.arange(steps + 1) * len(order) // steps
    whole = evaluate.extract_features(encoder, image[None])
    curves = []
    for kept in (lambda m: m, lambda m: 1 - m):
        images = []
        for count in counts:
            mask = np.zeros(len(order), np.float32)
            mask[order[:count]] = 1
            images.append(image * torch.from_numpy(kept(mask)).view(importance.shape))
        curves.append(F.cosine_similarity(evaluate.extract_features(encoder, torch.stack(images)), whole))
    areas = [float(np.trapezoid(curve.numpy(), counts / len(order))) for curve in curves]
    return *curves, *areas


def by_moments(encoder, image, masks):
    """Mean of the squares less the square of the mean, in float64."""
    h = F.normalize(evaluate.extract_features(encoder, image[None]).double())[0]
    s = F.normalize(evaluate.extract_features(encoder, image * masks).double()) @ h
    weights = masks[:, 0].double()
    weights = weights / weights.sum(0)
    importance = torch.einsum("n,nhw->hw", s, weights)
    return importance, torch.einsum("n,nhw->hw", s.square(), weights) - importance.square()


@pytest.mark.parametrize(
    ("judge", "right"),
    [
        (check.insertion_deletion, over_shares),
        (check.insertion_deletion, cell(CURVES, "insertion_deletion", **NAMES)),
        (check.relax, by_moments),
    ],
)
def test_a_right_version_in_another_style(judge, right, seeds):
    assert_right(judge, right)

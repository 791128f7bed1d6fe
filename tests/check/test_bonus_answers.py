"""Answers to the bonus in the styles of others: unusual right ones, and the mistakes that are made most.

Each row changes one thing in a right version. Words are those of the message that names the mistake; "it should be"
where a message shows numbers only.
"""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from test_bonus import CELLS, CURVES, PAIR, RATIO, RELAX, SPREAD, curves_with, masks_with, relax_with
from torch import nn

from sslcourse import evaluate
from sslcourse.check import bonus as check

# --- sample_masks


def masks_by_kernel(n, grid, image_size, keep=0.5, generator=None):
    """Linear interpolation as a product with hat functions around the shifted centres of the cells."""
    size = -(-image_size // grid)
    cells = (torch.rand(n, grid + 2, grid + 2, generator=generator) < keep).float()
    shift = size * torch.rand(n, 2, 1, 1, generator=generator)
    place = torch.arange(image_size)[:, None] + 0.5 + shift
    hats = (1 - (place / size - torch.arange(grid + 2)).abs()).clamp(min=0)  # (n, 2, pixels, cells)
    return (hats[:, 0] @ cells @ hats[:, 1].transpose(1, 2))[:, None]


def masks_by_unfold(n, grid, image_size, keep=0.5, generator=None):
    size = -(-image_size // grid)
    probability = torch.full((n, 1, grid + 1, grid + 1), float(keep))
    large = nn.Upsample(scale_factor=size, mode="bilinear")(torch.bernoulli(probability, generator=generator))
    windows = large.unfold(2, image_size, 1).unfold(3, image_size, 1)[:, :, :size, :size]
    y, x = (torch.randint(0, min(size, windows.shape[2]), (n,), generator=generator) for _ in range(2))
    return windows[torch.arange(n), :, y, x].clone()


@pytest.mark.parametrize("right", [masks_by_kernel, masks_by_unfold])
def test_right_sample_masks(right, seeds):
    assert_right(check.sample_masks, right)


@pytest.mark.parametrize(
    "right", [functools.partial(masks_by_kernel), functools.wraps(masks_by_unfold)(masks_by_kernel)]
)
def test_right_sample_masks_in_other_wrappings(right):
    assert_right(check.sample_masks, right)


CUT = "m[:, y : y + image_size, x : x + image_size]"
LARGE = 'F.interpolate(cells, size=(grid + 1) * size, mode="bilinear", align_corners=False)'
PADDED = f"""{CELLS.replace("grid + 1, grid + 1", "grid, grid")}
    large = F.interpolate(cells, size=grid * size, mode="bilinear")
    large = F.pad(large, [size // 2, size - size // 2] * 2, mode="replicate")"""
FIXED = """order = torch.rand(n, (grid + 1) ** 2, generator=generator).argsort(1).argsort(1)
    cells = (order < round(keep * (grid + 1) ** 2)).float().view(n, 1, grid + 1, grid + 1)
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (CUT, "m[:, :image_size, :image_size].roll((y, x), (1, 2))", "there is a seam"),
        (CUT, "m.roll((y, x), (1, 2))[:, :image_size, :image_size]", "there is a seam"),
        (CELLS, CELLS.replace("grid + 1, grid + 1", "grid, grid"), "the extra cell is missing"),
        (f"{CELLS}\n    large = {LARGE}", PADDED, "the extra cell is missing"),
        (f"{CELLS}\n", FIXED, "the number of cells that are kept is fixed"),
        ("for m, (y, x) in zip(large, shifts)", "for m, (y, _) in zip(large, shifts) for x in [y]", "one shift serves"),
        (f"{CELLS}\n", f"{CELLS.replace('torch.rand(n', 'torch.rand(1')}.repeat(n, 1, 1, 1)\n", "drawn once for all"),
        ("< keep", "< 0.5", "keep is not used"),
        ("< keep", "<= 1 - keep", "swapped"),
        ("torch.randint(size, (n", "torch.randint(1, (n", "A pattern of the grid is left"),
        ("zip(large, shifts)])", "zip(large, shifts)]).round()", "not smooth"),
        ("align_corners=False", "align_corners=True", "the cells are stretched"),
        ("return torch.stack(",
         "return (lambda *a: torch.stack(*a) / torch.stack(*a).amax((1, 2, 3), True).clamp(1e-6))(",
         "stretched over [0, 1]"),
        ("zip(large, shifts)])", "zip(large, shifts)]).sqrt()", "not yet right"),
        ("zip(large, shifts)])", "zip(large, shifts)]).repeat(1, 3, 1, 1)", "a tensor of shape"),
        ("math.ceil(image_size / grid)", "image_size // grid", "Your code raised RuntimeError"),
    ],
)  # fmt: skip
def test_wrong_sample_masks(old, new, words):
    assert_wrong(check.sample_masks, masks_with(old, new), words)


# --- relax


def relax_in_batches(encoder, image, masks):
    """Sums over batches, the division at the end; the variance from a second pass."""
    h = evaluate.extract_features(encoder, image.unsqueeze(0))
    s = [F.cosine_similarity(evaluate.extract_features(encoder, part * image), h) for part in masks.split(64)]
    s = torch.cat(s).double().numpy()
    w = masks.double().numpy()[:, 0]
    importance = np.average(np.broadcast_to(s[:, None, None], w.shape), axis=0, weights=w)
    uncertainty = np.einsum("nij,nij->ij", (s[:, None, None] - importance) ** 2, w) / w.sum(0)
    return torch.from_numpy(importance), torch.from_numpy(uncertainty)


def relax_pixel_by_pixel(encoder, image, masks):
    parts = evaluate.extract_features(encoder, torch.einsum("chw,nohw->nchw", image, masks))
    s = nn.CosineSimilarity()(parts, evaluate.extract_features(encoder, image[None]).expand_as(parts))
    share = (masks / masks.sum(0, keepdim=True)).flatten(1)  # (n, H W), sums to 1 over the masks
    mean = s @ share
    return mean.view(image.shape[1:]), (share * (s[:, None] - mean).pow(2)).sum(0).view(image.shape[1:])


class Relax:
    def __call__(self, encoder, image, masks):
        return list(relax_pixel_by_pixel(encoder, image, masks))


@pytest.mark.parametrize(
    "right", [relax_in_batches, relax_pixel_by_pixel, Relax(), functools.partial(relax_in_batches)]
)
def test_right_relax(right, seeds):
    assert_right(check.relax, right)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (PAIR, f"{PAIR}.clamp(min=0)", "cut off at 0"),
        (PAIR, f"{PAIR}.abs()", "the sign of the similarity is lost"),
        (PAIR, f"{PAIR} ** 2", "the similarity is squared"),
        (PAIR, f"({PAIR} + 1) / 2", "moved into [0, 1]"),
        (PAIR, f"{PAIR}.softmax(0)", "a softmax makes weights"),
        (PAIR, "(encoder(image * masks) - h).norm(dim=1)", "Euclidean distance"),
        (PAIR, "F.cosine_similarity(encoder(image * masks + 1 - masks), h)", "painted white"),
        (PAIR, "F.cosine_similarity(encoder(image * (masks > 0.5)), h)", "before it hides"),
        (PAIR, "(lambda m: F.cosine_similarity(m, m.mean(0)[None]))(encoder(image * masks))", "mean of all"),
        (PAIR, "(lambda m: F.cosine_similarity(m - m.mean(1, True), h - h.mean(1, True)))(encoder(image * masks))",
         "a correlation"),
        (PAIR, "F.cosine_similarity(encoder(image * masks), encoder(image[None] * masks.mean(0)))", "is masked too"),
        (PAIR, "encoder(image * masks) @ h[0] / h.norm()", "only the whole image's representation is normalised"),
        ("w = masks[:, 0]", "w = (masks[:, 0] > 0.5).float()", "rounded to 0 or 1: weigh"),
        (RATIO, "s.mean().expand(w.shape[1:])", "the importance is not weighted"),
        (RATIO, "torch.stack([(p[:, None, None] * q).sum(0) / q.sum(0)\n"
         "        for p, q in zip(s.split(256), w.split(256))]).mean(0)", "the last batch is smaller"),
        (PAIR, "F.cosine_similarity(encoder(image * masks), encoder(0 * image[None]))", "and black image"),
        (SPREAD, "s.var().expand(w.shape[1:])", "the uncertainty is not weighted"),
        (SPREAD, "((s[:, None, None] * w - importance) ** 2).mean(dim=0)", "that of the weighted similarities"),
        (SPREAD, "((s[:, None, None] - importance) ** 2 * w).sum(dim=0) / (w.sum(dim=0) - 1)", "that of a sample"),
        (SPREAD, "(s[:, None, None] ** 2 * w).sum(dim=0) / w.sum(dim=0)", "the mean of the squares"),
        (SPREAD, "(s[:, None, None] * w).var(dim=0)", "that of the weighted similarities"),
        (SPREAD, "((s[:, None, None] - importance).abs() * w).sum(dim=0) / w.sum(dim=0)", "it should be"),
    ],
)  # fmt: skip
def test_wrong_relax(old, new, words):
    assert_wrong(check.relax, relax_with(old, new), words)


# --- insertion_deletion


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("importance.flatten()", "importance.abs().flatten()", "the sign of the importance is lost"),
        ("F.cosine_similarity(extract", "1 - F.cosine_similarity(extract", "distances are taken"),
        ("    insertion, deletion = torch.cat(insertion), torch.cat(deletion)",
         "    insertion, deletion = torch.cat(insertion).flip(0), torch.cat(deletion).flip(0)", "counted backwards"),
        ("F.cosine_similarity(extract_features(encoder, (image * kept)[None])",
         "F.cosine_similarity(extract_features(encoder, (image * kept + 1 - kept)[None])", "missing pixels are white"),
        ("pixels / steps", "pixels / (steps + 1)", "the steps are one too many"),
    ],
)  # fmt: skip
def test_wrong_insertion_deletion(old, new, words):
    assert old in CURVES
    assert_wrong(check.insertion_deletion, curves_with(old, new), words)


NEGATIVE = "    insertion, deletion = torch.cat(insertion), torch.cat(deletion)"


def test_cosines_below_0_are_met_whatever_is_drawn(seeds):
    cut = NEGATIVE.replace("(insertion)", "(insertion).clamp(min=0)").replace("(deletion)", "(deletion).clamp(min=0)")
    assert_wrong(check.insertion_deletion, curves_with(NEGATIVE, cut), "below 0 are cut off")
    assert_wrong(check.relax, relax_with(PAIR, f"{PAIR}.clamp(min=0)"), "cut off at 0")


@pytest.mark.parametrize(
    ("areas", "words"),
    [
        (lambda i, d, steps: (torch.trapezoid(d, dx=1 / steps), torch.trapezoid(i, dx=1 / steps)), "areas are swapped"),
        (lambda i, d, steps: [1 - torch.trapezoid(c, dx=1 / steps) for c in (i, d)], "the area above the curve"),
        (lambda i, d, steps: [100 * torch.trapezoid(c, dx=1 / steps) for c in (i, d)], "a percentage"),
        (lambda i, d, steps: [torch.trapezoid(c) for c in (i, d)], "the width of a step"),
        (lambda i, d, steps: [torch.trapezoid(c, dx=1 / (steps + 1)) for c in (i, d)], "the width of a step"),
        (lambda i, d, steps: [c.mean() for c in (i, d)], "the points count alike"),
        (lambda i, d, steps: [c[1:].mean() for c in (i, d)], "the points count alike"),
        (lambda i, d, steps: [c.max() for c in (i, d)], "by the trapezoidal rule: torch.trapezoid"),
    ],
)
def test_wrong_areas(areas, words):
    right = curves_with("steps", "steps")

    def insertion_deletion(encoder, image, importance, steps):
        insertion, deletion, *_ = right(encoder, image, importance, steps)
        return insertion, deletion, *areas(insertion, deletion, steps)

    assert_wrong(check.insertion_deletion, insertion_deletion, words)


def test_the_template_is_right(seeds):
    assert_right(check.relax, cell(RELAX, "relax", torch=torch, F=F, nn=nn))

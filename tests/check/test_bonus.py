"""The checks of the bonus on RELAX: right versions in several styles are accepted, each mistake has its own message.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from torch import nn

import sslcourse
from sslcourse import evaluate
from sslcourse.check import bonus as check
from sslcourse.check.bonus import curves_oracle, oracle


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the definitions against known levels, other formulations and the published code


def published(encode, image, masks):
    """The loop of the authors' published code, mask by mask: a running mean and a running sum, weighted by masks."""
    whole, weight = encode(image[None])[0], torch.full(image.shape[1:], 1e-10, dtype=torch.float64)
    importance, uncertainty = torch.zeros_like(weight), torch.zeros_like(weight)
    for mask in masks:
        s = F.cosine_similarity(encode((image * mask)[None])[0], whole, dim=0)
        weight += mask[0]
        before = importance.clone()
        importance += mask[0] * (s - importance) / weight
        uncertainty += (s - importance) * (s - before) * mask[0]
    return importance, uncertainty


def encode(images):
    return torch.cat([images.flatten(1).cumsum(1).sin(), images.mean((1, 2, 3))[:, None]], dim=1)


def test_the_definition_is_the_published_code_with_the_uncertainty_divided_by_the_masks():
    image, masks = drawn(3, 5, 5), drawn(30, 1, 5, 5, seed=1)
    importance, uncertainty = oracle.relax(encode, image, masks)
    mean, summed = published(encode, image, masks)
    torch.testing.assert_close(mean, importance, atol=1e-8, rtol=0)
    torch.testing.assert_close(summed / masks[:, 0].sum(0), uncertainty, atol=1e-8, rtol=0)


def test_the_estimator_of_rise_differs_by_the_mean_mask_at_the_pixel_only():
    """RISE averages s M over the masks and divides by the expected mask, here by the mean mask of each pixel."""
    image, masks = drawn(3, 5, 5), drawn(30, 1, 5, 5, seed=1)
    s = torch.tensor(oracle.similarities(encode, image, masks))
    expected = (s.view(-1, 1, 1) * masks[:, 0]).mean(0)
    torch.testing.assert_close(expected / masks[:, 0].mean(0), oracle.relax(encode, image, masks)[0])


def test_the_levels_of_masks_hold_for_cells_at_random_places():
    masks = evaluate.sample_masks(4000, 4, 48, 0.3, torch.Generator().manual_seed(0))
    assert float(masks[:, 0].var(0).mean()) == pytest.approx(oracle.level(0.3), rel=0.03)
    assert float(masks[:, 0].diff(dim=1).square().mean().sqrt()) == pytest.approx(oracle.slope(0.3, 12), rel=0.05)
    assert oracle.pattern(masks, 12) < 0.03
    still = F.interpolate((torch.rand(4000, 1, 5, 5) < 0.5).double(), size=60, mode="bilinear")[..., 6:54, 6:54]
    assert oracle.pattern(still, 12) == pytest.approx(math.sqrt((7 / 15) ** 2 / (2 / 3) ** 4 - 1), abs=0.03)


def test_curves_of_an_encoder_whose_cosine_is_known():
    """One number a pixel, all equal: keeping a share p of the pixels gives a cosine of sqrt(p)."""
    image, importance = torch.ones(1, 4, 4, dtype=torch.float64), drawn(4, 4)
    insertion, deletion = curves_oracle.curves(lambda x: x.flatten(1), image, importance, 8)
    share = torch.linspace(0, 1, 9, dtype=torch.float64)
    torch.testing.assert_close(insertion, share.sqrt())
    torch.testing.assert_close(deletion, (1 - share).sqrt())
    assert curves_oracle.area(share) == pytest.approx(0.5)
    assert curves_oracle.area(insertion) == pytest.approx(2 / 3, abs=0.02)


# --- sample_masks


def by_loops(n, grid, image_size, keep=0.5, generator=None):
    """In the manner of RISE's published code, one mask after the other, with one cell more."""
    size = math.ceil(image_size / grid)
    masks = torch.empty(n, 1, image_size, image_size)
    for i in range(n):
        cells = (torch.rand(1, 1, grid + 1, grid + 1, generator=generator) < keep).float()
        large = F.interpolate(cells, size=(grid + 1) * size, mode="bilinear", align_corners=False)
        y, x = torch.randint(0, size, (2,), generator=generator).tolist()
        masks[i] = large[0, :, y : y + image_size, x : x + image_size]
    return masks


def by_gathering(n, grid, image_size, keep=0.5, generator=None):
    size = -(-image_size // grid)
    cells = torch.bernoulli(torch.full((n, 1, grid + 2, grid + 2), keep), generator=generator)
    large = F.interpolate(cells, scale_factor=size, mode="bilinear", align_corners=False)[:, 0]
    start = torch.randint(0, size + 1, (2, n), generator=generator) + size // 2
    rows, columns = (s[:, None] + torch.arange(image_size) for s in start)
    return large[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


def by_sampling(n, grid, image_size, keep=0.5, generator=None):
    """With torch's grid_sample: any real shift."""
    cells = (torch.rand(n, 1, grid + 2, grid + 2, generator=generator) < keep).float()
    place = (torch.arange(image_size) + 0.5) * grid / image_size + torch.rand(2, n, 1, generator=generator)
    y, x = 2 * place / (grid + 1) - 1  # (n, size), from -1 to 1 over the centres of the cells
    where = torch.stack([x[:, None, :].expand(-1, image_size, -1), y[:, :, None].expand(-1, -1, image_size)], dim=3)
    return F.grid_sample(cells, where, mode="bilinear", align_corners=True).clamp(0, 1)


def bicubic(n, grid, image_size, keep=0.5, generator=None):
    size = -(-image_size // grid)
    cells = (torch.rand(n, 1, grid + 1, grid + 1, generator=generator) < keep).float()
    large = F.interpolate(cells, size=(grid + 1) * size, mode="bicubic").clamp(0, 1)
    shifts = torch.randint(size, (n, 2), generator=generator)
    return torch.stack([m[:, y : y + image_size, x : x + image_size] for m, (y, x) in zip(large, shifts, strict=True)])


@pytest.mark.parametrize("right", [by_gathering, by_sampling, bicubic, evaluate.sample_masks])
def test_right_sample_masks(right, seeds):
    assert_right(check.sample_masks, right)


def test_right_sample_masks_in_a_loop():
    assert_right(check.sample_masks, by_loops)


MASKS = """
def sample_masks(n, grid, image_size, keep=0.5, generator=None):
    size = math.ceil(image_size / grid)
    cells = (torch.rand(n, 1, grid + 1, grid + 1, generator=generator) < keep).float()
    large = F.interpolate(cells, size=(grid + 1) * size, mode="bilinear", align_corners=False)
    shifts = torch.randint(size, (n, 2), generator=generator).tolist()
    return torch.stack([m[:, y : y + image_size, x : x + image_size] for m, (y, x) in zip(large, shifts)])
"""
FOR_ALL = "cells = (torch.rand(1, 1, grid + 1, grid + 1, generator=generator) < keep).float().repeat(n, 1, 1, 1)"
CELLS = "cells = (torch.rand(n, 1, grid + 1, grid + 1, generator=generator) < keep).float()"


def masks_with(old, new):
    assert old in MASKS
    return cell(MASKS.replace(old, new), "sample_masks", math=math, torch=torch, F=F)


def test_right_sample_masks_as_a_cell(seeds):
    assert_right(check.sample_masks, masks_with("size", "size"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("< keep", "> keep", "keep and to drop a cell are swapped"),
        ("(y, x) in zip(large, shifts)", "(y, x) in [(large[0], shifts[0])] * n", "all are alike"),
        (f"{CELLS}\n", f"{FOR_ALL}\n", "drawn once for all masks"),
        ("torch.randint(size, (n, 2), generator=generator).tolist()", "[(0, 0)] * n", "A pattern of the grid is left"),
        ("torch.randint(size, (n", "torch.randint(min(grid, size), (n", "A pattern of the grid is left"),
        ("torch.randint(size, (n", "torch.randint(max(1, size // 2), (n", "A pattern of the grid is left"),
        ("for m, (y, x) in zip(large, shifts)", "for m in large for y, x in shifts[:1]", "A pattern of the grid"),
        ('mode="bilinear", align_corners=False', 'mode="nearest"', "not smooth"),
        ("math.ceil(image_size / grid)", "grid", "Your code raised RuntimeError"),
        (CELLS, CELLS.replace("grid + 1", "image_size"), "not smooth"),
        (CELLS, CELLS.replace("grid + 1", "grid // 2 + 1"), "cells are not as large"),
        (CELLS, CELLS.replace("grid + 1, grid", "grid + 1, 0 * grid"), "cells are not as large"),
        (" < keep).float()", " + keep - 0.5).clamp(0, 1)", "vary too little"),
        ("(torch.rand(n, 1, grid + 1, grid + 1, generator=generator) < keep).float()",
         "torch.rand(n, 1, grid + 1, grid + 1, generator=generator) * 2 * keep", "values vary too little"),
        ("generator=generator) <", ") <", "pass generator to every random draw"),
        ("(n, 2), generator=generator", "(n, 2)", "pass generator to every random draw"),
        ("    size =", "    generator = torch.Generator().manual_seed(0)\n    size =", "do not seed it anew"),
        ("m[:, y", "m[0, y", "should be (5, 1, 12, 12)"),
        ("return torch.stack(", "return 255 * torch.stack(", "should stay in [0, 1]"),
        ("zip(large, shifts)])", "zip(large, shifts)]).long()", "floating-point numbers"),
        ("keep=0.5", "keep=0.7", "its default is 0.5"),
        ("return torch", "torch", "is the `return` missing?"),
    ],
)
def test_wrong_sample_masks(old, new, words):
    assert_wrong(check.sample_masks, masks_with(old, new), words)


# --- relax


def relax(encoder, image, masks):
    s = F.cosine_similarity(
        evaluate.extract_features(encoder, image * masks), evaluate.extract_features(encoder, image[None])
    )
    weight = masks[:, 0]
    importance = torch.einsum("n,nhw->hw", s, weight) / weight.sum(0)
    return importance, ((s[:, None, None] - importance) ** 2 * weight).sum(0) / weight.sum(0)


RELAX = """
def relax(encoder, image, masks):
    training = getattr(encoder, "training", None)
    if training is not None:
        encoder.eval()
    with torch.no_grad():
        h = encoder(image[None])
        s = F.cosine_similarity(encoder(image * masks), h)
    if training:
        encoder.train()
    w = masks[:, 0]
    importance = (s[:, None, None] * w).sum(dim=0) / w.sum(dim=0)
    uncertainty = ((s[:, None, None] - importance) ** 2 * w).sum(dim=0) / w.sum(dim=0)
    return importance, uncertainty
"""


@torch.no_grad()
def relax_running(encoder, image, masks):
    """As in the authors' published code, and divided at the end."""
    training = getattr(encoder, "training", False)
    if isinstance(encoder, nn.Module):
        encoder.eval()
    importance, uncertainty = published(encoder, image, masks.double().float())
    if isinstance(encoder, nn.Module):
        encoder.train(training)
    return importance, uncertainty / masks[:, 0].sum(0)


@torch.no_grad()
def relax_by_moments(encoder, image, masks):
    """E[s^2] - E[s]^2 in double, one pass."""
    h, parts = evaluate.extract_features(encoder, image[None]), evaluate.extract_features(encoder, image * masks)
    s = F.cosine_similarity(parts, h).double()
    w = masks.squeeze(1).double()
    first, second = (torch.tensordot(power, w, dims=1) / w.sum(0) for power in (s, s**2))
    return first, second - first**2


def relax_with(old, new):
    assert old in RELAX, old
    return cell(RELAX.replace(old, new), "relax", torch=torch, F=F, nn=nn)


@pytest.mark.parametrize("right", [relax, relax_running, relax_by_moments, evaluate.relax])
def test_right_relax(right, seeds):
    assert_right(check.relax, right)


def test_right_relax_as_a_cell(seeds):
    assert_right(check.relax, relax_with("w", "w"))


RATIO = "(s[:, None, None] * w).sum(dim=0) / w.sum(dim=0)"
SPREAD = "((s[:, None, None] - importance) ** 2 * w).sum(dim=0) / w.sum(dim=0)"
PAIR = "F.cosine_similarity(encoder(image * masks), h)"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (RATIO, "(s[:, None, None] * w).sum(dim=0)", "not divided by the masks: it grows"),
        (RATIO, "(s[:, None, None] * w).mean(dim=0)", "divided by the number of masks, not by the sum"),
        (RATIO, "(s[:, None, None] * w).mean(dim=0) / w.mean()", "divided by the expected mask"),
        (RATIO, "(s[:, None, None] * (1 - w)).sum(dim=0) / (1 - w).sum(dim=0)", "weights are turned round"),
        (SPREAD, "((s[:, None, None] - importance) ** 2 * w).sum(dim=0)", "summed over the masks and never divided"),
        (SPREAD, "((s[:, None, None] - importance) ** 2 * w).mean(dim=0)", "uncertainty is divided by the number"),
        (SPREAD, f"({SPREAD}).sqrt()", "is a standard deviation"),
        (SPREAD, "((s[:, None, None] - importance) ** 2).mean(dim=0)", "uncertainty is not weighted"),
        (SPREAD, "((s[:, None, None] - s.mean()) ** 2 * w).sum(dim=0) / w.sum(dim=0)", "around the mean of all"),
        (SPREAD, "((s[:, None, None] - importance) * w).sum(dim=0) / w.sum(dim=0)", "squares are missing"),
        ("return importance, uncertainty", "return uncertainty, importance", "in the wrong order"),
        (PAIR, "F.cosine_similarity(encoder(image * masks), encoder(image * (1 - masks)))", "what the mask takes away"),
        (PAIR, "F.cosine_similarity(encoder(image * (1 - masks)), h)", "the mask is turned round"),
        (PAIR, "F.cosine_similarity(*(lambda m: (m, m.roll(1, 0)))(encoder(image * masks)))", "and the next one"),
        (PAIR, "F.cosine_similarity((image * masks).flatten(1), image.flatten()[None])", "pixels are compared"),
        (PAIR, "encoder(image * masks) @ h[0]", "dot product"),
        (PAIR, "1 - F.cosine_similarity(encoder(image * masks), h)", "distance is taken"),
        (PAIR, "(encoder(image * masks) - h).norm(dim=1)", "Euclidean distance"),
        (PAIR, "F.cosine_similarity(encoder(image * masks), h).clamp(min=0)", "cut off at 0"),
        (PAIR, "F.cosine_similarity(encoder(image * (masks > 0.5)), h)", "rounded to 0 or 1 before it hides"),
        (PAIR, "F.cosine_similarity(encoder(image * masks + 1 - masks), h)", "painted white"),
        ("        encoder.eval()", "        pass", "asked in training mode"),
        ("        encoder.train()", "        pass", "was in training mode before and is not afterwards"),
        ("    if training:\n", "    if training is not None:\n", "in eval mode"),
        ("with torch.no_grad():", "with torch.enable_grad():", "carries a gradient"),
        ("w = masks[:, 0]", "w = masks", "not yet right"),  # the shapes that come out depend on broadcasting
        ("return importance, uncertainty", "return importance", "return importance, uncertainty"),
        ("return importance, uncertainty", "pass", "is the `return` missing?"),
        ("encoder(image[None])", "encoder(image)", "Your code raised"),
        ("image * masks), h)", "image.mul_(masks[0]) * masks), h)", "in place"),
    ],
)
def test_wrong_relax(old, new, words):
    assert_wrong(check.relax, relax_with(old, new), words)


# --- insertion_deletion


CURVES = """
def insertion_deletion(encoder, image, importance, steps):
    order = importance.flatten().argsort(descending=True)
    pixels = len(order)
    whole = extract_features(encoder, image[None])
    insertion, deletion = [], []
    for k in range(steps + 1):
        kept = torch.zeros(pixels)
        kept[order[: round(k * pixels / steps)]] = 1
        kept = kept.view(importance.shape)
        insertion.append(F.cosine_similarity(extract_features(encoder, (image * kept)[None]), whole))
        deletion.append(F.cosine_similarity(extract_features(encoder, (image * (1 - kept))[None]), whole))
    insertion, deletion = torch.cat(insertion), torch.cat(deletion)
    areas = [torch.trapezoid(curve, dx=1 / steps).item() for curve in (insertion, deletion)]
    return insertion, deletion, areas[0], areas[1]
"""


def curves_with(old, new):
    assert old in CURVES, old
    names = {"torch": torch, "F": F, "extract_features": evaluate.extract_features}
    return cell(CURVES.replace(old, new), "insertion_deletion", **names)


def with_thresholds(encoder, image, importance, steps):
    """All images of both curves in one batch, chosen by rank; the areas as sums."""
    rank = (-importance).flatten().argsort().argsort().view(importance.shape)
    kept = torch.stack([rank < k * rank.numel() // steps for k in range(steps + 1)])[:, None]
    h = evaluate.extract_features(encoder, torch.cat([image * kept, image * ~kept, image[None]]))
    s = F.cosine_similarity(h[:-1], h[-1:]).view(2, -1)
    areas = ((s[:, 1:] + s[:, :-1]) / 2).mean(dim=1)
    return s[0], s[1], areas[0], areas[1]


@pytest.mark.parametrize("right", [with_thresholds, evaluate.insertion_deletion])
def test_right_insertion_deletion(right, seeds):
    assert_right(check.insertion_deletion, right)


def test_right_insertion_deletion_as_a_cell(seeds):
    assert_right(check.insertion_deletion, curves_with("kept", "kept"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("descending=True", "descending=False", "least important pixels go first"),
        ("return insertion, deletion, ", "return deletion, insertion, ", "insertion and deletion are swapped"),
        ("range(steps + 1)", "range(steps)", "should be (9,)"),
        ("torch.trapezoid(curve, dx=1 / steps)", "curve.sum()", "the width of a step is not 1 / steps"),
        ("torch.trapezoid(curve, dx=1 / steps)", "torch.trapezoid(curve)", "the width of a step is not 1 / steps"),
        ("torch.trapezoid(curve, dx=1 / steps)", "curve.mean()", "trapezoidal rule"),
        ("return insertion, deletion, areas[0], areas[1]", "return insertion, deletion", "four things"),
        ("(image * kept)[None]), whole", "(image * kept)[None]), whole.roll(1, 1)", "insertion curve yours gives"),
        ("(1 - kept))[None]), whole", "(1 - kept))[None]), whole.abs()", "deletion curve yours gives"),
        ("order[: round", "order[1 : 1 + round", "it should be"),
    ],
)
def test_wrong_insertion_deletion(old, new, words):
    assert_wrong(check.insertion_deletion, curves_with(old, new), words)


def test_the_solved_exercises_are_right():
    for name in ("sample_masks", "relax", "insertion_deletion"):
        solved = sslcourse.solution("bonus", name)
        copy = type(solved)(solved.__code__, solved.__globals__, name, solved.__defaults__)  # not the reference itself
        assert_right(getattr(check, name), copy)

# ruff: noqa
"""The solved exercises of bonus; generated from notebooks/source/bonus_explaining_representations.py: edit that."""


import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import bonus as check
from sslcourse.plot.schematics.masks_to_importance import masks_to_importance


def sample_masks(
    n: int, grid: int, image_size: int, keep: float = 0.5, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Smooth random masks (n, 1, H, W) in [0, 1] for square images (Petsiuk et al. 2018, section 3.2).

    A grid of grid x grid cells lies over the image; each cell is kept (1) with probability keep, else dropped (0).
    Every mask is shifted by up to a whole cell along both axes. Random numbers come from the generator.
    """
    if not 0 < keep < 1 or not 1 <= grid <= image_size:
        raise ValueError(f"keep is {keep} and grid {grid}; keep lies in (0, 1), grid from 1 to {image_size}.")
    cell = math.ceil(image_size / grid)
    cells = (torch.rand(n, 1, grid + 1, grid + 1, generator=generator) < keep).float()
    large = F.interpolate(cells, size=(grid + 1) * cell, mode="bilinear", align_corners=False)
    shifts = torch.randint(cell, (n, 2), generator=generator).tolist()
    cut = [mask[:, y : y + image_size, x : x + image_size] for mask, (y, x) in zip(large, shifts)]
    return torch.stack(cut)                                                 # (n, 1, H, W)


def relax(encoder, image: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Importance and uncertainty of every pixel for the representation of an image (Wickstrom et al. 2023).

    encoder: a module or plain function from images (n, C, H, W) to (n, D); image: (C, H, W); masks: (n, 1, H, W).
    Returns importance (H, W), the mean of the cosines s_n weighted by the masks at each pixel, and uncertainty (H, W),
    their variance around it with the same weights.
    """
    if not len(masks) or masks.shape[1:] != (1, *image.shape[1:]):
        raise ValueError(f"The masks are {tuple(masks.shape)}; they should be (n, 1, H, W) for {tuple(image.shape)}.")
    whole = evaluate.extract_features(encoder, image[None])                 # (1, D)
    masked = [evaluate.extract_features(encoder, image * some) for some in masks.split(500)]
    s = F.cosine_similarity(torch.cat(masked), whole)[:, None, None].to(masks.device)    # (n, 1, 1)
    weight = masks[:, 0]                                                    # (n, H, W)
    importance = (s * weight).sum(dim=0) / weight.sum(dim=0)
    uncertainty = ((s - importance) ** 2 * weight).sum(dim=0) / weight.sum(dim=0)
    return importance, uncertainty


def insertion_deletion(
    encoder, image: torch.Tensor, importance: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor, float, float]:
    """Insertion and deletion curves (steps + 1,) and the areas under them (Petsiuk et al. 2018, section 4.1).

    encoder: images (n, C, H, W) to (n, D); image: (C, H, W); importance: (H, W).
    Returns (insertion, deletion, insertion_area, deletion_area), the areas as floats.
    """
    rank = importance.flatten().argsort(descending=True).argsort().view(importance.shape).to(image.device)
    counts = torch.linspace(0, rank.numel(), steps + 1, device=image.device).round()
    moved = (rank < counts[:, None, None])[:, None]                         # (steps + 1, 1, H, W)
    whole = evaluate.extract_features(encoder, image[None])
    insertion = F.cosine_similarity(evaluate.extract_features(encoder, image * moved), whole)
    deletion = F.cosine_similarity(evaluate.extract_features(encoder, image * ~moved), whole)
    areas = [torch.trapezoid(curve, dx=1 / steps).item() for curve in (insertion, deletion)]
    return insertion, deletion, areas[0], areas[1]

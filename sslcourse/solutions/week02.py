# ruff: noqa
"""The solved exercises of week02; generated from notebooks/source/week02_rotation_prediction.py: edit that."""


import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import week02 as check
from sslcourse.plot.schematics.four_rotations import four_rotations


def rotate_batch(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All four rotations of every image, with their labels (Gidaris et al. 2018, section 3.1).

    images: (N, C, H, W), H = W. Counter-clockwise by 0, 90, 180 and 270 degrees, labels 0, 1, 2, 3 (int64).
    Returns (rotated (4N, C, H, W), labels (4N,)), in blocks of one angle or with the four of one image adjacent.
    """
    rotated = torch.cat([torch.rot90(images, k, dims=(2, 3)) for k in range(4)])    # (4N, C, H, W), in blocks
    labels = torch.arange(4, device=images.device).repeat_interleave(len(images))   # (4N,): 0 0 ... 1 1 ...
    return rotated, labels


class RotationNet(nn.Module):
    """A backbone and a linear head that says by which of four angles an image was turned (Gidaris et al. 2018)."""

    def __init__(self, backbone: nn.Module):
        """backbone: maps (N, C, H, W) to (N, D) with D = backbone.num_features."""
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.num_features, 4)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Features h of images x (N, C, H, W): (N, D)."""
        return self.backbone(x)                               # (N, D)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (logits) of the four angles for images x (N, C, H, W): (N, 4)."""
        return self.head(self.features(x))                    # (N, 4)


def rotation_accuracy(model: nn.Module, images: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Accuracy over all four rotations of every image, overall and per true angle; eval mode, mode restored.

    model: maps (n, C, H, W) to scores (n, 4). images: (N, C, H, W) floats in [0, 1].
    Returns (overall in [0, 1], per angle (4,) for 0, 90, 180 and 270 degrees).
    """
    was_training = model.training
    model.eval()
    right = torch.zeros(4)                                    # per angle, counted
    with torch.no_grad():
        for batch in images.split(256):                       # 4 x 256 images at a time
            rotated, labels = rotate_batch(batch)
            recognised = labels[model(rotated).argmax(dim=1) == labels]
            right += torch.bincount(recognised, minlength=4).cpu()
    model.train(was_training)
    return right.sum().item() / (4 * len(images)), right / len(images)


def rotation_sensitivity(encoder: nn.Module, images: torch.Tensor) -> float:
    """Mean cosine distance between features of an image and of its rotations by 90, 180 and 270 degrees.

    encoder: maps (N, C, H, W) to (N, D). images: (N, C, H, W) floats in [0, 1]. Eval mode, mode restored.
    Returns a float in [0, 2]; 0 for features that no rotation changes.
    """
    was_training = encoder.training
    encoder.eval()
    with torch.no_grad():
        h, *others = (encoder(torch.rot90(images, k, dims=(2, 3))) for k in range(4))    # (N, D) each
    encoder.train(was_training)
    return (1 - torch.stack([F.cosine_similarity(h, other) for other in others])).mean().item()


def jigsaw_batch(
    images: torch.Tensor, permutations: torch.Tensor, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shuffle the tiles of every image by a permutation of its own (Noroozi and Favaro 2016, section 3).

    images: (N, C, H, W), sides divisible by sqrt(T). permutations: (P, T) int64, each row a permutation of 0 .. T - 1;
    the tile at place i of the result is tile permutation[i] of the image, both counted row by row.
    Returns (shuffled (N, C, H, W), labels (N,)): which permutation, drawn uniformly for each image from generator.
    """
    n, c, height, width = images.shape
    grid = math.isqrt(permutations.shape[1])
    labels = torch.randint(len(permutations), (n,), generator=generator)
    tiles = images.view(n, c, grid, height // grid, grid, width // grid)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)                      # (N, T, C, h, w)
    tiles = tiles[torch.arange(n)[:, None], permutations[labels]]              # shuffled along T
    rows = tiles.unflatten(1, (grid, grid)).permute(0, 3, 1, 4, 2, 5)          # (N, C, grid, h, grid, w)
    return rows.reshape(images.shape), labels

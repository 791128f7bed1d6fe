"""Checks of week 6: vision transformers and distillation. Definitions: oracle.py, distillation_oracle.py.

The networks are examined in networks.py, distillation in distillation.py and features.py.
"""

import torch

from sslcourse.check.compare import close, gives, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week06 import oracle
from sslcourse.check.week06.distillation import distillation_loss, hard_distillation_loss
from sslcourse.check.week06.features import examine_features
from sslcourse.check.week06.named import mistaken
from sslcourse.check.week06.networks import Block, SelfAttention, ViT

__all__ = ["Block", "SelfAttention", "ViT", "attention_distance", "distillation_loss", "feature_distillation_loss"]
__all__ += ["hard_distillation_loss", "patchify", "report", "sweep", "unpatchify"]


# --- patchify and unpatchify


@exercise("week06")
def patchify(student: Student) -> str:
    """patchify(images, patch_size) -> (N, L, p * p * C): patches row by row, values in order (p, p, C)."""
    # Two rows of three patches, so that rows and columns cannot be taken for each other; three channels.
    for n, channels, rows, columns, p in ((2, 3, 2, 3, 2), (1, 1, 3, 2, 4), (3, 3, 1, 1, 4), (2, 4, 2, 2, 1)):
        images = student.uniform(n, channels, rows * p, columns * p)
        shape = (n, rows * columns, p * p * channels)
        value = tensor(
            student(images, p), shape, f"On images of shape {tuple(images.shape)}, patch_size {p}, it returns"
        )
        wanted = oracle.patchify(images, p)
        if close(value, wanted, 1e-6):
            continue
        found = (
            f"On images of shape {tuple(images.shape)} with patch_size = {p} the values are not where they should be."
        )
        if saw := mistaken(value, wanted, oracle.PATCHIFY_MISTAKES, images, p):
            raise Wrong(found + saw)
        small = torch.arange(16.0).view(1, 1, 4, 4) / 100
        came = tensor(student(small, 2), (1, 4, 4), "It returns")
        first, should = (100 * came[0, 0]).round().int().tolist(), [0, 1, 4, 5]
        if first == should:
            raise Wrong(f"{found} One channel of 4 x 4 pixels comes out right: look at several channels or images.")
        raise Wrong(
            f"{found}\nTry a small case by hand: of one channel of 4 x 4 pixels numbered 0 to 15 row by row, the first "
            f"patch of 2 x 2 should be {should}; yours is {first}."
        )
    whole = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8, generator=student.generator)
    value = tensor(student(whole, 2), (2, 4, 12), "On uint8 images it returns")
    if value.dtype != torch.uint8:
        raise Wrong(
            f"uint8 images come back as {value.dtype}: patches are pixels in another order, nothing else changes."
        )
    return "Every value is where it should be, for grids of different shapes, one and several channels."


@exercise("week06")
def unpatchify(student: Student) -> str:
    """unpatchify(patches, patch_size, grid) -> (N, C, H, W), the inverse of patchify; grid (rows, columns)."""
    for rows, columns, p, channels in ((2, 3, 2, 3), (3, 1, 4, 1)):
        patches = student.uniform(2, rows * columns, p * p * channels)
        shape = (2, channels, rows * p, columns * p)
        value = tensor(student(patches, p, (rows, columns)), shape, "It returns")
        if not close(value, oracle.unpatchify(patches, p, (rows, columns)), 1e-6):
            raise Wrong(
                f"For a grid of {rows} x {columns} patches of {p} pixels it is not the inverse of patchify: split the "
                "values into (p, p, C) and permute back."
            )
    return "The inverse of patchify."


# --- attention distance


@exercise("week06")
def attention_distance(student: Student) -> str:
    """attention_distance(weights, grid, patch_size) -> (heads,): mean distance in pixels, weighted by attention."""
    for n, heads, grid, p in ((2, 3, (2, 3), 4), (1, 2, (3, 1), 2), (3, 1, (2, 2), 8)):
        length = grid[0] * grid[1]
        weights = student.normal(n, heads, length, length).mul(2).softmax(dim=3)
        what = f"On {n} x {heads} heads over a grid of {grid} patches of {p} pixels"
        value = student(weights, grid, p)
        value = tensor(value, (heads,), f"{what} it returns")
        wanted = oracle.attention_distance(weights.double(), grid, p)
        if close(value, wanted):
            continue
        k = int((value.double() - wanted).abs().argmax())
        found = f"{what}, for head {k} {gives(value[k].item(), wanted[k].item())}"
        if saw := mistaken(value, wanted, oracle.DISTANCE_MISTAKES, weights.double(), grid, p):
            raise Wrong(found + saw)
        raise Wrong(
            f"{found}\nTry a case by hand: a head that always looks at its own patch has distance 0, and one of two "
            "patches side by side that looks at the other has patch_size."
        )
    itself = torch.eye(6).expand(2, 2, 6, 6)
    if not close(value := student(itself, (2, 3), 4), torch.zeros(2)):
        raise Wrong(f"For heads that look at their own patch only {gives(float(value[0]), 0.0)}")
    return "Equal to the definition on grids that are not square; 0 for heads that look at themselves."


# --- features


@exercise("week06")
def feature_distillation_loss(student: Student) -> str:
    """feature_distillation_loss(student_features (N, D), teacher_features (N, E), mapping) -> scalar."""
    return examine_features(student)

"""Checks of week 6: vision transformers and distillation. Definitions are in the oracles beside it.

Patches are examined in patches.py, the networks in networks.py, distillation in distillation.py and features.py.
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
from sslcourse.check.week06.patches import patchify, unpatchify

__all__ = ["Block", "SelfAttention", "ViT", "attention_distance", "distillation_loss", "feature_distillation_loss"]
__all__ += ["hard_distillation_loss", "patchify", "report", "sweep", "unpatchify"]


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

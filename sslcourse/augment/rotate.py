"""The four rotations of a batch, with their labels.

Reference: Gidaris et al. 2018, "Unsupervised representation learning by predicting image rotations".
"""

import torch
from torch import Tensor

from sslcourse.augment.transform import check_batch


def rotate_batch(images: Tensor) -> tuple[Tensor, Tensor]:
    """All four rotations of each image: (rotated (4N, C, H, W), labels int64 (4N,)).

    images: square, (N, C, H, W), any dtype, which is kept. Counter-clockwise by 0, 90, 180 and 270 degrees, in blocks:
    the first N are upright (label 0), the next N turned by 90 degrees (label 1), and so on. Raises ValueError for other
    shapes.
    """
    check_batch(images)
    if images.shape[2] != images.shape[3]:
        raise ValueError(
            f"Images of {images.shape[2]} x {images.shape[3]} pixels change shape when they are turned by 90 degrees; "
            "cut them square."
        )
    rotated = torch.cat([images.rot90(k, dims=(2, 3)) for k in range(4)])  # (4N, C, H, W)
    return rotated, torch.arange(4, device=images.device).repeat_interleave(len(images))

"""Batched augmentations: whole tensors at once, random numbers per sample, the same code on CPU and GPU.

Every transform is called as `transform(images, generator=None)`: images uint8 or float in [0, 1], (N, C, H, W) with one
or three channels, come back as float32 in [0, 1]. Each image gets random numbers of its own, so that what happens to it
does not depend on its neighbours in the batch (torchvision's v2 transforms draw one set for the whole batch). The
operations themselves equal torchvision's; `tests/augment/test_augment.py` holds them to that.
"""

from sslcourse.augment.blur import GaussianBlur
from sslcourse.augment.colour import ColourJitter, RandomGreyscale, Solarise
from sslcourse.augment.crop import RandomResizedCrop
from sslcourse.augment.flip import RandomFlip
from sslcourse.augment.masks import block_mask, random_mask
from sslcourse.augment.rotate import rotate_batch
from sslcourse.augment.views import Compose, multi_crop, simclr, two_views

__all__ = [
    "ColourJitter",
    "Compose",
    "GaussianBlur",
    "RandomFlip",
    "RandomGreyscale",
    "RandomResizedCrop",
    "Solarise",
    "block_mask",
    "multi_crop",
    "random_mask",
    "rotate_batch",
    "simclr",
    "two_views",
]

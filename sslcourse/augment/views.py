"""Views: chains of augmentations, and several of them from the same images.

References: Chen et al. 2020 (SimCLR, appendix A) for the augmentations; Caron et al. 2020 (SwAV) and 2021 (DINO) for
multi-crop.
"""

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.augment.blur import GaussianBlur
from sslcourse.augment.colour import ColourJitter, RandomGreyscale
from sslcourse.augment.crop import RandomResizedCrop
from sslcourse.augment.flip import RandomFlip
from sslcourse.augment.transform import Transform, check_batch


class Compose(Transform):
    """One transform after another: `Compose(RandomResizedCrop(32), RandomFlip())`."""

    def __init__(self, *transforms: Transform):
        for transform in transforms:
            if not isinstance(transform, Transform):
                found = arguments.shown(transform)
                raise TypeError(f"Compose takes transforms of sslcourse.augment one after another, not {found}.")
        self.transforms = transforms

    def reads_only(self) -> bool:
        return type(self) is Compose and bool(self.transforms) and self.transforms[0].reads_only()

    def apply(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        steps = list(self.transforms)
        while steps:
            step = steps.pop(0)
            if type(step) is RandomResizedCrop and steps and type(steps[0]) is RandomFlip:
                x = step.apply_and_flip(x, steps.pop(0).p, generator)
            else:
                x = step.apply(x, generator)
        return x


def simclr(
    size: int = 32,
    crop: tuple[float, float] | None = (0.2, 1.0),
    flip: bool = True,
    jitter: float = 0.5,
    grey: float = 0.2,
    blur: float = 0.0,
) -> Compose:
    """The augmentations of SimCLR; switch single ones off to see what each is worth.

    crop: smallest and largest share of the area, None for no crop. jitter: strength s: brightness, contrast and
    saturation 0.8 s, hue 0.2 s, on 80 % of the images; 0 is none. grey, blur: probabilities. No blur by default: on 32
    pixels it takes away more than it teaches.
    """
    flip = arguments.flag("flip", flip)
    jitter, grey, blur = (
        arguments.real(name, value) for name, value in (("jitter", jitter), ("grey", grey), ("blur", blur))
    )
    steps = []
    if crop is not None:
        steps.append(RandomResizedCrop(size, scale=crop))
    if flip:
        steps.append(RandomFlip())
    if jitter:
        steps.append(ColourJitter(0.8 * jitter, 0.8 * jitter, 0.8 * jitter, 0.2 * jitter))
    if grey:
        steps.append(RandomGreyscale(grey))
    if blur:
        steps.append(GaussianBlur(p=blur))
    return Compose(*steps)


def two_views(images: Tensor, augment, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Two views of the same images, with independent random numbers: row n of both comes from image n."""
    arguments.function("augment", augment, "images")
    arguments.images("images", images)
    arguments.generator(generator)
    if type(augment) is Compose:  # what else is given may look at the images in its own way
        return tuple(augment.several(images, 2, generator))
    return augment(images, generator), augment(images, generator)


def multi_crop(
    images: Tensor,
    n_local: int,
    global_size: int = 32,
    local_size: int = 16,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """Two global views (N, C, global_size, global_size), then n_local local ones (N, C, local_size, local_size).

    Global views show 40 to 100 % of an image, local ones 10 to 40 %; flip, colour jitter and greyscale as in `simclr`.
    Every view of every image has random numbers of its own. Raises ValueError for n_local below 0, a size below 1, or
    crops larger than the image, which would be no more than a blown-up picture.
    """
    check_batch(images, generator)
    n_local, global_size, local_size = (
        arguments.whole(name, value)
        for name, value in (("n_local", n_local), ("global_size", global_size), ("local_size", local_size))
    )
    if n_local < 0:
        raise ValueError(f"n_local = {n_local} views cannot be made; it should be 0 or more.")
    smallest = min(images.shape[-2:])
    for kind, size in (("global", global_size), ("local", local_size)):
        if size > smallest:
            raise ValueError(
                f"A {kind} crop of {size} pixels is larger than the image of {smallest}: take at most that."
            )
    views = []
    for size, share, count in ((global_size, (0.4, 1.0), 2), (local_size, (0.1, 0.4), n_local)):
        views += simclr(size, crop=share).several(images, count, generator)
    return views

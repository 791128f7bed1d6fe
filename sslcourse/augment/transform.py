"""What all augmentations share: the check of a batch, and random numbers drawn per sample."""

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data.images.sets import as_float

LARGEST = sys.float_info.max  # an infinite end is none of a range to draw from


class Transform:
    """An augmentation: `transform(images, generator=None) -> float32 (N, C, H, W) in [0, 1]`.

    images: (N, C, H, W), uint8 or float in [0, 1], C 1 or 3; never changed. generator: on the device of the images,
    else torch's global one. No gradient passes. Raises ValueError or TypeError for anything else.

    Subclasses write `apply(x, generator)`, which owns the float batch x and may overwrite it: one check and one copy
    then serve a whole chain of transforms.
    """

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.several(images, 1, generator)[0]

    @torch.no_grad()
    def several(self, images: Tensor, n: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """What n calls after one another give, from one look at the images."""
        check_batch(images, generator)
        x = as_float(images).float()
        lent = self.reads_only() or (n == 1 and x.dtype != images.dtype)  # in another dtype it is a copy already
        # The operations are products of small matrices, which autocast would round to two or three digits.
        with torch.autocast(images.device.type, enabled=False):
            return [self.apply(x if lent else x.clone(), generator) for _ in range(n)]

    def reads_only(self) -> bool:
        """Whether `apply` leaves x as it is and gives other memory: x is then not copied."""
        return False

    def apply(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not say what it does: write its apply(x, generator).")


def check_batch(images: Tensor, generator: torch.Generator | None = None) -> None:
    """Refuse what is no batch of images, in one sentence; the values are checked by `as_float`."""
    if not isinstance(images, Tensor):
        raise TypeError(f"Augmentations take a tensor of images (N, C, H, W), not {type(images).__name__}.")
    arguments.generator(generator)
    arguments.shaped("The batch", images)
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        hint = "; for one image write image[None]" if images.dim() == 3 else ""
        raise ValueError(
            f"Images of shape {tuple(images.shape)} cannot be augmented; it should be (N, C, H, W) with 1 or 3 channels"
            f"{hint}."
        )
    if 0 in images.shape:
        raise ValueError(f"The batch of shape {tuple(images.shape)} is empty; give at least one image of one pixel.")
    if generator is not None and generator.device.type != images.device.type:
        raise ValueError(
            f"The generator lives on {generator.device.type}, the images on {images.device.type}; make one with "
            f"scale.generator(device=images.device)."
        )
    arguments.tensor("The batch", images, "a tensor of images (N, C, H, W)")


def uniform(n: int, low: float, high: float, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """n numbers, uniform in [low, high), float32 on the device of `like`."""
    return torch.rand(n, generator=generator, device=like.device).mul_(high - low).add_(low)  # (n,)


def drawn(n: int, p: float, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Which of n samples are chosen, each on its own with probability p: bool (n,) on the device of `like`."""
    return torch.rand(n, generator=generator, device=like.device) < p


def chosen(n: int, p: float, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Positions of the samples that are `drawn`, about p n of them."""
    return drawn(n, p, like, generator).nonzero().squeeze(1)


def check_probability(p: float) -> float:
    p = arguments.real("p", p, "a probability")
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p} is no probability; it should be from 0 (never) to 1 (always).")
    return p


def check_range(name: str, pair: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    """A (from, to) pair with low < from <= to <= high."""
    if isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2:
        pair = tuple(arguments.real(f"An end of {name}", end) for end in pair)
    if not isinstance(pair, tuple) or len(pair) != 2 or not low < pair[0] <= pair[1] <= min(high, LARGEST):
        limit = f"above {low:g}" if high == float("inf") else f"above {low:g} and up to {high:g}"
        found = arguments.shown(pair)
        raise ValueError(f"{name} = {found} is no range; it should be (from, to), both {limit}, from <= to.")
    return pair

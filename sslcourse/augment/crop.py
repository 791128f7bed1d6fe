"""Random resized crops: cut a box out of every image and stretch it to one size.

A crop is linear in the pixels and works on rows and columns apart: out = R_y x R_x^T, with one small interpolation
matrix per image and axis. Two batched matrix products are several times as fast as sampling pixel by pixel
(grid_sample), and widening the triangle where a box shrinks gives antialiasing for nothing.

Boxes are drawn as in Szegedy et al. 2015 (Inception): share of the area uniform, aspect ratio log-uniform.
"""

import itertools
import math

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.augment.transform import Transform, check_range, drawn, uniform

TRIES = 10  # boxes drawn per image before the centre is taken; torchvision's number
TOGETHER = 64  # images at a time: fewer need as many operations, and of more the cache holds too little


class RandomResizedCrop(Transform):
    """A random box of each image, resized to size x size pixels (bilinear, antialiased where it shrinks).

    scale: share of the area, uniform in 0 < from <= to <= 1. ratio: width / height of the box, log-uniform. Boxes are
    whole pixels. As in torchvision, a box that sticks out is drawn anew, and after ten tries the largest centred box of
    an allowed ratio is taken. Raises ValueError for a size below 1 or a scale or ratio that is no range.
    """

    def __init__(self, size: int, scale: tuple[float, float] = (0.2, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)):
        if isinstance(size, float) or arguments.whole("size", size) < 1:
            raise ValueError(f"size = {size!r} is no size for a crop; it should be a whole number of pixels from 1 on.")
        self.size = arguments.whole("size", size)
        self.scale = check_range("scale", scale, 0, 1)
        self.ratio = check_range("ratio", ratio, 0, math.inf)

    def reads_only(self) -> bool:
        return type(self) is RandomResizedCrop  # a subclass may have another apply

    def apply(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return resized_crop(x, *random_boxes(x, self.scale, self.ratio, generator), self.size)

    def apply_and_flip(self, x: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
        """What a RandomFlip(p) behind it would make of the crops, from the same numbers, at the cost of the crops."""
        boxes = random_boxes(x, self.scale, self.ratio, generator)
        return resized_crop(x, *boxes, self.size, drawn(len(x), p, x, generator))


def random_boxes(x: Tensor, scale: tuple, ratio: tuple, generator: torch.Generator | None) -> tuple[Tensor, ...]:
    """One box per image, as four float tensors (N,) of whole numbers: top, left, height, width."""
    n, _, image_height, image_width = x.shape

    # All tries at once, (N, TRIES): a few numbers per image cost less than a loop over those still without a box.
    area = uniform(n * TRIES, *scale, x, generator).mul_(image_height * image_width).view(n, TRIES)
    aspect = uniform(n * TRIES, *map(math.log, ratio), x, generator).exp_().view(n, TRIES)
    width = (area * aspect).sqrt_().round_()
    height = (area / aspect).sqrt_().round_()
    fits = (0 < width) & (width <= image_width) & (0 < height) & (height <= image_height)

    # The first box that fits; where none does, the largest one in the centre whose ratio is allowed.
    first = fits.float().argmax(dim=1, keepdim=True)  # (N, 1)
    fits, height, width = (values.gather(1, first)[:, 0] for values in (fits, height, width))  # (N,)
    allowed = min(max(image_width / image_height, ratio[0]), ratio[1])
    height = height.where(fits, min(image_height, max(1, round(image_width / allowed))))
    width = width.where(fits, min(image_width, max(1, round(image_height * allowed))))

    # Every place where the box lies inside is equally likely.
    top = _start(image_height - height, fits, generator)
    left = _start(image_width - width, fits, generator)
    return top, left, height, width


def _start(room: Tensor, fits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Where a box starts that has `room` pixels (N,) to move: anywhere from 0 to room, or in the middle if it was
    forced."""
    anywhere = uniform(len(room), 0, 1, room, generator).mul_(room + 1).floor_().minimum(room)  # 0.9999... may round up
    return anywhere.where(fits, (room / 2).floor())


def resized_crop(
    x: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: int, mirrored: Tensor | None = None
) -> Tensor:
    """Cut box n out of image n and resize it to (N, C, size, size), like torchvision's resized_crop with antialias.

    mirrored: which images come out with left and right exchanged, bool (N,).
    """
    n, c, image_height, image_width = x.shape
    columns = interpolation(left, width, image_width, size, mirrored)  # (N, size, W)
    rows = interpolation(top, height, image_height, size)  # (N, size, H)

    # Rows of all channels times one matrix; then, to have nothing to transpose, one channel after the other. No image
    # at the end is left to itself: the product of a single one may be rounded in another way.
    out = x.new_empty(n, c, size, size)
    for first, end in itertools.pairwise([0, *range(TOGETHER, n - TOGETHER + 1, TOGETHER), n]):
        some = slice(first, end)
        y = torch.bmm(x[some].reshape(-1, c * image_height, image_width), columns[some].transpose(1, 2))
        y = y.view(-1, c, image_height, size)
        torch.stack([torch.bmm(rows[some], channel) for channel in y.unbind(dim=1)], dim=1, out=out[some])
        out[some].clamp_(0, 1)  # rounding may leave the range
    return out


def interpolation(start: Tensor, length: Tensor, pixels: int, size: int, mirrored: Tensor | None = None) -> Tensor:
    """Matrices (N, size, pixels) that resize the `length` pixels from `start` on to `size` pixels, along one axis.

    Row i holds the weights of output pixel i: a triangle around its place in the input, one pixel wide on either side,
    or as wide as the shrinking asks (antialias). Only pixels of the box count, and each row sums to 1. mirrored: where
    the last row comes first, bool (N,).
    """
    step = (length / size)[:, None, None]  # input pixels per output pixel
    place = torch.arange(size, device=start.device).add(0.5)  # (size,)
    if mirrored is not None:
        place = torch.where(mirrored[:, None], size - place, place)  # (N, size)
    place = place[..., None] * step  # (N, size, 1), from the start of the box
    pixel = torch.arange(pixels, device=start.device).add(0.5) - start[:, None, None]  # (N, 1, pixels)
    pixel = pixel.where((pixel > 0) & (pixel < length[:, None, None]), math.inf)  # never near enough to count
    weights = (pixel - place).abs_()  # (N, size, pixels)
    torch.sub(step.clamp(min=1), weights, out=weights).clamp_(min=0)
    return weights.div_(weights.sum(dim=2, keepdim=True))

"""Colour jitter, greyscale and solarisation, with random numbers of their own for every image.

Brightness, contrast and saturation blend an image with something duller (black, its mean grey, its own grey version),
cut to [0, 1]. Each is an affine map of the colour of a pixel, out = A x + b, so that one batched product with a 3 x 3
matrix per image does all of them, whichever an image asks for. Hue turns the colour circle of HSV and keeps the largest
and the smallest of the three channels. On images of one channel saturation, hue and greyscale change nothing, as there
is no colour.
"""

import itertools

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.augment.transform import Transform, check_probability, chosen, drawn, uniform

GREY = (0.2989, 0.587, 0.114)  # luma of ITU-R 601, rounded as torchvision rounds it
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
CIRCLE = torch.tensor([[1 / 2, 1 / 3, 2 / 3], [6, -6, -6], [-1, 2, 2]])[:, :, None, None]  # of hues, see turn_hue
STRONGEST = 1e6  # of a jitter; in float32 a factor of 1e38 would make NaN of a black pixel


class ColourJitter(Transform):
    """With probability p change brightness, contrast, saturation and hue of an image, in an order of its own.

    brightness, contrast, saturation: a factor uniform in [max(0, 1 - value), 1 + value] each. hue: a shift uniform in
    [-hue, hue], in turns of the colour circle, at most 0.5. Distributions as in torchvision's ColorJitter, with factors
    and order drawn per image. Raises ValueError for a value outside 0 to 1e6, a hue above 0.5 or a p outside 0 to 1.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        p: float = 0.8,
    ):
        strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        strengths = {name: arguments.real(name, value) for name, value in strengths.items()}
        for name, value in strengths.items():
            if not 0 <= value <= STRONGEST:
                wanted = f"from 0 (none) to {STRONGEST:g}"
                raise ValueError(f"{name} = {value:g} is no strength of a jitter; it should be {wanted}.")
        hue = arguments.real("hue", hue)
        if not 0 <= hue <= 0.5:
            raise ValueError(f"hue = {hue} is no strength of a jitter; it should be from 0 (none) to 0.5.")
        self.ranges = [(max(0.0, 1 - value), 1 + value) for value in strengths.values()] + [(-hue, hue)]
        self.p = check_probability(p)

    def apply(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        n, x = len(x), x.contiguous()
        jittered = drawn(n, self.p, x, generator)
        order = torch.rand(n, 4, generator=generator, device=x.device).argsort(dim=1)  # (N, turn): a step
        *factors, shift = (uniform(n, *limits, x, generator) for limits in self.ranges)  # (N,) each

        # In three turns every image takes its three blends, which are one operation; its hue turns before one of these
        # or behind them. Images whose hue turns at the same time lie side by side, those left alone at the end: blends
        # then read a stretch of one batch and write that of another, hues turn where they are, and none asks for
        # memory, which costs as much as the arithmetic.
        turn_of_hue = (order == HUE).int().argmax(dim=1).where(jittered, 4)  # (N,)
        place = turn_of_hue.argsort()
        counts = turn_of_hue.bincount(minlength=5).tolist()[:4]
        order, shift = order[place], shift[place]
        order = order[order != HUE].view(n, 3)
        matrix, mean_weight = blending(order, torch.stack(factors, dim=1)[place].gather(1, order), x)
        now, then, end = x.index_select(0, place), x, sum(counts)
        for turn, behind in enumerate(itertools.accumulate(counts)):
            hue = slice(behind - counts[turn], behind)
            turn_hue(now[hue], shift[hue], out=now[hue])
            if turn < 3:
                blend(now[:end], matrix[:end, turn], mean_weight[:end, turn], out=then[:end])
                now, then = then, now
        now[end:] = then[end:]
        return torch.index_select(now, 0, place.argsort(), out=then)


class RandomGreyscale(Transform):
    """Turn each image grey with probability p, in three equal channels. Raises ValueError for a p outside 0 to 1."""

    def __init__(self, p: float = 0.2):
        self.p = check_probability(p)

    def apply(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        where = chosen(len(x), self.p, x, generator)
        return x.index_copy_(0, where, greyscale(x.index_select(0, where)))


class Solarise(Transform):
    """With probability p invert all values of an image from the threshold on.

    Raises ValueError for a threshold or a p outside 0 to 1.
    """

    def __init__(self, threshold: float = 0.5, p: float = 0.2):
        self.threshold = arguments.real("threshold", threshold)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold = {self.threshold} is no pixel value; it should be from 0 (black) to 1.")
        self.p = check_probability(p)

    def apply(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        where = chosen(len(x), self.p, x, generator)
        bright = x.index_select(0, where)
        return x.index_copy_(0, where, torch.where(bright >= self.threshold, 1 - bright, bright))


def greyscale(x: Tensor) -> Tensor:
    """The luma of each pixel in all channels; images of one channel are grey already."""
    if x.shape[1] == 1:
        return x
    r, g, b = x.split(1, dim=1)
    return (r * GREY[0]).add_(g, alpha=GREY[1]).add_(b, alpha=GREY[2]).expand_as(x)


def blending(step: Tensor, factor: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """factor c + (1 - factor) dull, as what `blend` needs: matrices (..., C, C), weights of the mean colour (..., C).

    step, factor: any equal shape. What is dull is black where step is BRIGHTNESS, the mean grey of the image where it
    is CONTRAST, the grey version of each pixel where it is SATURATION. A factor of 1 changes nothing.
    """
    luma = x.new_tensor(GREY if x.shape[1] == 3 else (1.0,))  # (C,)
    lose = (1 - factor)[..., None] * luma  # (..., C)
    matrix = factor[..., None, None] * torch.eye(len(luma), device=x.device)
    matrix = matrix + (lose * (step == SATURATION)[..., None])[..., None, :]
    return matrix, lose * (step == CONTRAST)[..., None]


def blend(x: Tensor, matrix: Tensor, mean_weight: Tensor, out: Tensor) -> Tensor:
    """Every colour c of image n becomes matrix[n] c + mean_weight[n] . (mean colour of the image), cut to [0, 1].

    out: where it is written, contiguous as x is, but not x itself.
    """
    colours = x.flatten(2)  # (N, C, H W)
    offset = (colours.mean(dim=2) * mean_weight).sum(dim=1)[:, None, None]
    torch.bmm(matrix, colours, out=out.view(colours.shape)).add_(offset).clamp_(0, 1)
    return out


def turn_hue(x: Tensor, shift: Tensor, out: Tensor) -> Tensor:
    """Turn the colour circle by shift (N,), -0.5 to 0.5 turns, keeping value and saturation; out may be x itself."""
    if x.shape[1] == 1:
        return out.copy_(x)
    r, g, b = x.split(1, dim=1)  # (N, 1, H, W) each
    low = x.amin(dim=1, keepdim=True)
    chroma = x.amax(dim=1, keepdim=True).sub_(low)

    # How far from red, in sixths of a turn: with channels stretched to [0, 1] it is 1 - r + g + b in all six sectors
    # of the circle, towards green or towards blue, the textbook's cases in one line. Grey pixels have no hue: whatever
    # comes out for them is multiplied by a chroma of 0.
    from_red = (g + b).sub_(r).add_(chroma).sub_(low).div_(chroma.clamp(min=1e-9))  # 0 to 3
    hue = from_red.copysign_(g - b).div_(6).add_(shift[:, None, None, None] + 1).frac_()  # in turns, 0 to 1

    # Around the circle each channel is a trapezium: two sixths at `high`, two at `low`, a slope on either side.
    centre, slope, top = CIRCLE.to(x.device)  # (3, 1, 1) each
    torch.sub(hue, centre, out=out).abs_().mul_(slope).add_(top).clamp_(0, 1)  # (N, 3, H, W)
    return out.mul_(chroma).add_(low)

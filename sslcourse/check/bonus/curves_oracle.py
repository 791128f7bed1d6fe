"""Insertion and deletion curves of the bonus, transcribed slowly in float64, each with the mistakes that have a name.

Reference: Petsiuk et al. 2018, RISE (arXiv:1806.07421).
"""

import torch
from torch import Tensor

from sslcourse.check.bonus.oracle import cosine


def curves(encode, image: Tensor, importance: Tensor, steps: int, most_first: bool = True) -> tuple[Tensor, Tensor]:
    """Insertion and deletion (steps + 1,): after step k the round(k / steps HW) most important pixels have moved."""
    whole = encode(image[None])[0]
    return _curves_by(lambda h: cosine(h, whole), encode, image, importance, steps, most_first)


def _curves_by(
    measure, encode, image, importance, steps: int, most_first: bool = True, base: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """The same with any measure of a representation in place of the cosine with that of the whole image.

    base: what stands where pixels are missing.
    """
    pixels = importance.flatten().tolist()
    order = sorted(range(len(pixels)), key=lambda p: pixels[p], reverse=most_first)
    both = ([], [])
    for k in range(steps + 1):
        chosen = torch.zeros(len(pixels), dtype=torch.float64)
        chosen[order[: round(k * len(pixels) / steps)]] = 1
        chosen = chosen.view(importance.shape)
        for curve, kept in zip(both, (chosen, 1 - chosen), strict=True):
            curve.append(measure(encode((image * kept + base * (1 - kept))[None])[0]))
    return tuple(torch.tensor(curve, dtype=torch.float64) for curve in both)


def _against_the_last(encode, image, importance, steps: int) -> tuple[Tensor, Tensor]:
    black = encode(torch.zeros_like(image)[None])[0]
    deletion = _curves_by(lambda h: cosine(h, black), encode, image, importance, steps)[1]
    return curves(encode, image, importance, steps)[0], deletion


def curve_mistakes(encode, image: Tensor, importance: Tensor, steps: int) -> dict[str, tuple[Tensor, ...]]:
    """{sentence: both curves as that mistake gives them}."""
    right = curves(encode, image, importance, steps)
    whole = encode(image[None])[0]

    def on(base: Tensor | float) -> tuple[Tensor, Tensor]:
        return _curves_by(lambda h: cosine(h, whole), encode, image, importance, steps, base=base)

    ranks = importance.flatten().argsort(descending=True).argsort()
    taken = torch.empty_like(ranks)  # which pixel comes when, where the list of ranks is read as a list of places
    taken[ranks] = torch.arange(len(ranks))
    return {
        "missing pixels are white: they are black.": on(1.0),
        "missing pixels are grey: they are black.": on(0.5),
        "missing pixels have the mean colour of the image: they are black.": on(image.mean(dim=(1, 2), keepdim=True)),
        "ranks are taken for places: argsort() lists the places, argsort().argsort() the rank of each pixel.": curves(
            encode, image, -taken.double().view(importance.shape), steps
        ),
        "pixels go row by row, whatever their importance.": curves(
            encode, image, -torch.arange(importance.numel()).double().view(importance.shape), steps
        ),
        "Euclidean distances are taken: each point is the cosine with the whole image.": _curves_by(
            lambda h: float((h - whole).norm()), encode, image, importance, steps
        ),
        "each curve is stretched to run from 0 to 1: leave the cosines as they are.": tuple(
            (c - c.min()) / (c.max() - c.min()) for c in right
        ),
        "the points are summed up: each is the cosine at its own step.": tuple(c.cumsum(0) for c in right),
        "cosines below 0 are cut off.": tuple(c.clamp(min=0) for c in right),
        "the least important pixels go first: start with the most important ones.": curves(
            encode, image, importance, steps, most_first=False
        ),
        "insertion and deletion are swapped: insertion starts from the black image.": right[::-1],
        "the sign of the importance is lost: a pixel of -2 is less important than one of 1.": curves(
            encode, image, importance.abs(), steps
        ),
        "distances are taken, 1 - cosine: each point is the cosine with the whole image.": tuple(1 - c for c in right),
        "pixels are compared, not what the encoder makes of them.": curves(
            lambda x: x.flatten(1), image, importance, steps
        ),
        "the dot product is taken: divide by both lengths.": _curves_by(
            lambda h: float(h @ whole), encode, image, importance, steps
        ),
        "the curves are counted backwards: they start at step 0, with no pixel moved.": tuple(
            curve.flip(0) for curve in right
        ),
        "the last point is compared with, not the whole image: in deletion that is black.": _against_the_last(
            encode, image, importance, steps
        ),
    }


def area(curve: Tensor) -> float:
    """Under a curve over equal steps from 0 to 1, by the trapezoidal rule."""
    heights = curve.tolist()
    return sum((a + b) / 2 for a, b in zip(heights, heights[1:], strict=False)) / (len(heights) - 1)


def area_mistakes(insertion: Tensor, deletion: Tensor) -> dict[str, list[tuple[float, float]]]:
    """{sentence: both areas as that mistake gives them, for one variant or more}, where both curves are right."""
    curves_ = (insertion, deletion)
    steps = len(insertion) - 1
    right = tuple(map(area, curves_))
    return {
        "the two areas are swapped.": [right[::-1]],
        "it is the area above the curve, 1 - the area: take that below.": [tuple(1 - a for a in right)],
        "the area is a percentage: the share of pixels runs from 0 to 1.": [tuple(100 * a for a in right)],
        "the width of a step is not 1 / steps: hand it in, dx=1 / steps.": [
            tuple(steps * a for a in right),
            tuple(steps / (steps + 1) * a for a in right),
            tuple(sum(c.tolist()) for c in curves_),
        ],
        "the points count alike, as in a mean: by the trapezoidal rule the first and the last count half.": [
            tuple(float(c.mean()) for c in curves_),
            tuple(float(c[:-1].mean()) for c in curves_),
            tuple(float(c[1:].mean()) for c in curves_),
        ],
    }

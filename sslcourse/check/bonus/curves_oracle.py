"""Insertion and deletion curves of the bonus, transcribed slowly in float64, each with the mistakes that have a name.

Reference: Petsiuk et al. 2018, RISE (arXiv:1806.07421).
"""

from collections.abc import Callable
from math import ceil

import torch
from torch import Tensor

from sslcourse.check.bonus.oracle import cosine


def _most(k: int, pixels: int, steps: int) -> int:
    """How many pixels have moved after step k."""
    return round(k * pixels / steps)


# Where steps do not divide the pixels, one pixel more or less is as good.
COUNTS = (_most, lambda k, pixels, steps: ceil(k * pixels / steps), lambda k, pixels, steps: k * pixels // steps)


def curves(
    encode, image: Tensor, importance: Tensor, steps: int, most_first: bool = True, count: Callable = _most
) -> tuple[Tensor, Tensor]:
    """Insertion and deletion (steps + 1,): after step k the round(k / steps HW) most important pixels have moved."""
    whole = encode(image[None])[0]
    return _curves_by(lambda h: cosine(h, whole), encode, image, importance, steps, most_first, count=count)


def _curves_by(
    measure,
    encode,
    image,
    importance,
    steps: int,
    most_first: bool = True,
    base: Tensor | float = 0.0,
    count: Callable = _most,
    before: Callable | None = None,
) -> tuple[Tensor, Tensor]:
    """The same with any measure of a representation in place of the cosine with that of the whole image.

    base: what stands where pixels are missing; before: after how many pixels those of a step begin, 0 if not given.
    """
    pixels = importance.flatten().tolist()
    order = sorted(range(len(pixels)), key=lambda p: pixels[p], reverse=most_first)
    both = ([], [])
    for k in range(steps + 1):
        chosen = torch.zeros(len(pixels), dtype=torch.float64)
        first = before(k, len(pixels), steps) if before else 0
        chosen[order[first : count(k, len(pixels), steps)]] = 1
        chosen = chosen.view(importance.shape)
        for curve, kept in zip(both, (chosen, 1 - chosen), strict=True):
            curve.append(measure(encode((image * kept + base * (1 - kept))[None])[0]))
    return tuple(torch.tensor(curve, dtype=torch.float64) for curve in both)


def _by_threshold(encode, image, importance, steps: int) -> tuple[Tensor, Tensor]:
    """Step k moves all pixels above a threshold that falls evenly from the largest importance to the smallest."""
    values = importance.flatten().sort(descending=True).values
    reach = values[0] - values[-1]
    return curves(
        encode,
        image,
        importance,
        steps,
        count=lambda k, pixels, of: int((values >= values[0] - reach * k / of - 1e-9).sum()),
    )


def curve_mistakes(encode, image: Tensor, importance: Tensor, steps: int) -> dict[str, tuple[Tensor, Tensor]]:
    """{sentence: both curves as that mistake gives them}; it may well be made in one of the two alone."""
    right = curves(encode, image, importance, steps)
    whole, black = encode(image[None])[0], encode(torch.zeros_like(image)[None])[0]
    cases = encode, image, importance, steps

    def on(base: Tensor | float) -> tuple[Tensor, Tensor]:
        return _curves_by(lambda h: cosine(h, whole), *cases, base=base)

    def counted(count: Callable) -> tuple[Tensor, Tensor]:
        return curves(*cases, count=lambda k, pixels, of: min(max(count(k, pixels, of), 0), pixels))

    ranks = importance.flatten().argsort(descending=True).argsort()
    taken = torch.empty_like(ranks)  # which pixel comes when, where the list of ranks is read as a list of places
    taken[ranks] = torch.arange(len(ranks))
    return {
        "missing pixels are white: they are black.": on(1.0),
        "missing pixels are grey: they are black.": on(0.5),
        "missing pixels have the mean of the image: they are black.": on(image.mean()),
        "missing pixels have the mean colour of the image: they are black.": on(image.mean(dim=(1, 2), keepdim=True)),
        "ranks are taken for places: argsort() lists the places, argsort().argsort() the rank of each pixel.": curves(
            encode, image, -taken.double().view(importance.shape), steps
        ),
        "pixels go row by row, whatever their importance.": curves(
            encode, image, -torch.arange(importance.numel()).double().view(importance.shape), steps
        ),
        "rows and columns of the importance are exchanged.": curves(encode, image, importance.mT, steps),
        "the importance is mirrored: its places are those of the image.": curves(
            encode, image, importance.flip(0, 1), steps
        ),
        "a threshold falls from the largest importance to the smallest: every step moves the same number of pixels.": (
            _by_threshold(*cases)
        ),
        "the steps are one too many: after step k, k / steps of the pixels have moved, at the end all.": counted(
            lambda k, pixels, of: round(k * pixels / (of + 1))
        ),
        "the steps are counted one too far: at step 0 nothing has moved.": counted(
            lambda k, pixels, of: round((k + 1) * pixels / of)
        ),
        "the steps lag behind by one: after the last one all pixels have moved.": counted(
            lambda k, pixels, of: round((k - 1) * pixels / of)
        ),
        "every step moves pixels // steps of them, and the rest never: after the last one all have moved.": counted(
            lambda k, pixels, of: k * (pixels // of)
        ),
        "every step moves its own pixels and puts the others back: what has moved stays.": _curves_by(
            lambda h: cosine(h, whole), *cases, before=lambda k, pixels, of: round(max(k - 1, 0) * pixels / of)
        ),
        "what is taken out and what is left are exchanged in one of the curves: at step 0 of the deletion nothing is "
        "missing.": (right[1], right[0]),
        "Euclidean distances are taken: each point is the cosine with the whole image.": _curves_by(
            lambda h: float((h - whole).norm()), *cases
        ),
        "each curve is stretched to run from 0 to 1: leave the cosines as they are.": tuple(
            (c - c.min()) / (c.max() - c.min()) for c in right
        ),
        "the points are summed up: each is the cosine at its own step.": tuple(c.cumsum(0) for c in right),
        "cosines below 0 are cut off.": tuple(c.clamp(min=0) for c in right),
        "cosines below 0 lose their sign.": tuple(c.abs() for c in right),
        "the least important pixels go first: start with the most important ones.": curves(*cases, most_first=False),
        "the sign of the importance is lost: a pixel of -2 is less important than one of 1.": curves(
            encode, image, importance.abs(), steps
        ),
        "distances are taken, 1 - cosine: each point is the cosine with the whole image.": tuple(1 - c for c in right),
        "pixels are compared, not what the encoder makes of them.": curves(
            lambda x: x.flatten(1), image, importance, steps
        ),
        "the dot product is taken: divide by both lengths.": _curves_by(lambda h: float(h @ whole), *cases),
        "the curves are counted backwards: they start at step 0, with no pixel moved.": tuple(
            curve.flip(0) for curve in right
        ),
        "the black image is compared with: each point is the cosine with the representation of the whole image.": (
            _curves_by(lambda h: cosine(h, black), *cases)
        ),
    }


def area(curve: Tensor) -> float:
    """Under a curve over equal steps from 0 to 1, by the trapezoidal rule."""
    heights = curve.tolist()
    return sum((a + b) / 2 for a, b in zip(heights, heights[1:], strict=False)) / (len(heights) - 1)


def area_over(curve: Tensor, pixels: int, count: Callable) -> float:
    """The same over the shares of pixels that have really moved, where steps do not divide the pixels."""
    heights, steps = curve.tolist(), len(curve) - 1
    shares = [count(k, pixels, steps) / pixels for k in range(steps + 1)]
    return sum((heights[k] + heights[k + 1]) / 2 * (shares[k + 1] - shares[k]) for k in range(steps))


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
            tuple(float(c.sum()) / steps for c in curves_),
        ],
    }

"""Definitions of the bonus on RELAX, transcribed slowly in float64, each with the mistakes that have a name.

A mistake is a transcription of the definition with that mistake in it; the check knows it by its numbers.
References: Wickstrøm et al. 2023 (arXiv:2112.10161); Petsiuk et al. 2018, RISE (arXiv:1806.07421).
"""

from math import sqrt

import torch
from torch import Tensor

# --- masks


def level(keep: float) -> float:
    """Variance of a mask's value at a random place: independent cells, blended linearly along both axes.

    Between two cells the weights are a and 1 - a with a uniform: E[a^2 + (1 - a)^2] = 2/3, along either axis.
    """
    return keep * (1 - keep) * (2 / 3) ** 2


def slope(keep: float, cell: float) -> float:
    """Root mean square of the difference between neighbouring pixels of such a mask, for cells of so many pixels.

    Along one axis two independent cells differ by sqrt(2 keep (1 - keep)) on average, spread over the cell's pixels;
    the other axis blends, which leaves 2/3 of the square.
    """
    return sqrt(2 * keep * (1 - keep) * 2 / 3) / cell


def pattern(masks: Tensor, cell: int) -> float:
    """How unequally the masks treat pixels: standard deviation over pixels of the variance over masks, relative.

    masks: (n, 1, H, W). Pixels less than a cell from the border are left out: there implementations differ. 0 would be
    equal treatment (of infinitely many masks); linear masks that are never shifted have 0.32: the variance at a place
    is v(a) v(b) with v(a) = a^2 + (1 - a)^2, and E[v] = 2/3, E[v^2] = 7/15, so sqrt((7/15)^2 / (2/3)^4 - 1).
    """
    inner = masks[:, 0, cell:-cell, cell:-cell]
    variance = inner.var(dim=0)  # (h, w)
    return float(variance.std() / variance.mean())


def level_of_means(keep: float, grid: int) -> float:
    """Variance over masks of their mean over the image, for an image of grid x grid cells.

    Along one axis the values at two places a distance t apart (in cells) have a correlation r(t), the cubic B-spline:
    the integral of r is 1, that of |t| r is 7/15. So the mean over grid cells has the variance (grid - 7/15) / grid^2.
    """
    return keep * (1 - keep) * ((grid - 7 / 15) / grid**2) ** 2


def diagonals(masks: Tensor, cell: int) -> float:
    """How much more pixels on the grid's diagonals vary than those half a cell beside them, relative.

    0 where the two shifts of a mask are independent; with one shift for both axes the pixels of a diagonal are at
    corners and at centres of cells together, and the difference is 0.09.
    """
    variance = masks[:, 0, cell:-cell, cell:-cell].var(dim=0)
    place = torch.arange(len(variance))
    beside = (place[:, None] - place) % cell
    return float((variance[beside == 0].mean() - variance[beside == cell // 2].mean()) / variance.mean())


# --- importance and uncertainty


def cosine(a: Tensor, b: Tensor) -> float:
    lengths = sqrt(float((a * a).sum())) * sqrt(float((b * b).sum()))
    return float((a * b).sum()) / max(lengths, 1e-8)


def similarities(encode, image: Tensor, masks: Tensor) -> list[float]:
    """s_n: the cosine between the representations of the n-th masked image and of the whole one."""
    whole = encode(image[None])[0]
    return [cosine(encode((image * mask)[None])[0], whole) for mask in masks]


def weighted(s: list[float], masks: Tensor) -> tuple[Tensor, Tensor]:
    """importance and uncertainty (H, W): mean and variance of s over the masks, each weighted by its pixel value."""
    height, width = masks.shape[2:]
    weights = masks[:, 0].tolist()  # picked out of a tensor one by one, numbers take most of the check's time
    importance, uncertainty = (torch.zeros(height, width, dtype=torch.float64) for _ in range(2))
    for i in range(height):
        for j in range(width):
            w = [mask[i][j] for mask in weights]
            mean = sum(a * b for a, b in zip(s, w, strict=True)) / sum(w)
            spread = sum((a - mean) ** 2 * b for a, b in zip(s, w, strict=True)) / sum(w)
            importance[i, j], uncertainty[i, j] = mean, spread
    return importance, uncertainty


def relax(encode, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    return weighted(similarities(encode, image, masks), masks)


def _sum(s: Tensor, masks: Tensor) -> Tensor:
    return (s.view(-1, 1, 1) * masks[:, 0]).sum(0)


def _others(encode, image: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Similarities of wrong pairs, and other numbers that are no cosine of masked and whole image: {sentence: s}."""
    h = encode(image[None])
    part, away = encode(image * masks), encode(image * (1 - masks))
    pixels, all_pixels = (image * masks).flatten(1), image.flatten()[None]

    def cos(a: Tensor, b: Tensor) -> Tensor:
        """`cosine` of all rows at once."""
        return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt().clamp(min=1e-8)

    shown = "masked image and whole image"
    return {
        f"the similarity is that of the wrong pair: masked image and what the mask takes away, not {shown}": cos(
            part, away
        ),
        f"the similarity is that of the wrong pair: the mask is turned round, 1 - M in place of M, not {shown}": cos(
            away, h
        ),
        f"the similarity is that of the wrong pair: one masked image and the next one, not {shown}": cos(
            part, part.roll(1, 0)
        ),
        f"the similarity is that of the wrong pair: one masked image and the one before, not {shown}": cos(
            part, part.roll(-1, 0)
        ),
        f"the similarity is that of the wrong pair: masked image and black image, not {shown}": cos(
            part, encode(torch.zeros_like(image)[None])
        ),
        "pixels are compared, not what the encoder makes of them": cos(pixels, all_pixels),
        "the dot product is taken, not the cosine: divide by both lengths": (part * h).sum(1),
        "only the masked image's representation is normalised: divide by both lengths": (
            (part * h).sum(1) / part.norm(dim=1).clamp(min=1e-8)
        ),
        "only the whole image's representation is normalised: divide by both lengths": (
            (part * h).sum(1) / h.norm().clamp(min=1e-8)
        ),
        "the whole image is masked too, by the mean of the masks: compare with the image as it is": cos(
            part, encode(image[None] * masks.mean(dim=0, keepdim=True))
        ),
        "the distance is taken, 1 - cosine: important pixels should get high values": 1 - cos(part, h),
        "the Euclidean distance is taken, not the cosine": (part - h).norm(dim=1),
        "negative similarities are cut off at 0: a cosine runs from -1 to 1": cos(part, h).clamp(min=0),
        "the sign of the similarity is lost: a cosine runs from -1 to 1": cos(part, h).abs(),
        "the similarity is squared: take the cosine as it is": cos(part, h).square(),
        "the similarity is moved into [0, 1]: take the cosine as it is": (cos(part, h) + 1) / 2,
        "a softmax makes weights of the similarities: take the cosines as they are": cos(part, h).softmax(0),
        "minus the Euclidean distance is taken, not the cosine": -(part - h).norm(dim=1),
        "the logarithm of the cosine is taken: take it as it is": cos(part, h).clamp(min=1e-6).log(),
        "hidden pixels are painted white: image * mask leaves them black": cos(encode(image * masks + 1 - masks), h),
        "hidden pixels are painted grey: image * mask leaves them black": cos(
            encode(image * masks + 0.5 * (1 - masks)), h
        ),
        "hidden pixels get the mean of the image: image * mask leaves them black": cos(
            encode(image * masks + image.mean() * (1 - masks)), h
        ),
        "hidden pixels get the mean colour of the image: image * mask leaves them black": cos(
            encode(image * masks + image.mean(dim=(1, 2), keepdim=True) * (1 - masks)), h
        ),
        "the image is multiplied by the mask twice: once is what hides": cos(encode(image * masks**2), h),
        "the mask is rounded to 0 or 1 before it hides: multiply the image by the mask as it is": cos(
            encode(image * (masks > 0.5)), h
        ),
        "the means of the representations are taken off first, which makes a correlation: take the cosine": cos(
            part - part.mean(dim=1, keepdim=True), h - h.mean(dim=1, keepdim=True)
        ),
        "each masked image is compared with the mean of all masked ones, not with the whole image": cos(
            part, part.mean(dim=0, keepdim=True)
        ),
    }


def relax_mistakes(encode, image: Tensor, masks: Tensor) -> dict[str, list[tuple[Tensor, Tensor | None]]]:
    """{sentence: (importance, uncertainty or None for "whatever it is")}, each as that mistake gives them."""
    s = torch.tensor(similarities(encode, image, masks), dtype=torch.float64)
    w, n = masks[:, 0], len(masks)
    total = w.sum(0)
    right, spread = _sum(s, masks) / total, None
    deviation = (s.view(-1, 1, 1) - right) ** 2  # (n, H, W)
    spread = (deviation * w).sum(0)
    running = torch.zeros_like(total)  # the authors' published code: a running sum that is never divided
    mean, weight = torch.zeros_like(total), torch.zeros_like(total)
    for value, mask in zip(s, w, strict=True):
        weight = weight + mask
        before, mean = mean, mean + mask * (value - mean) / weight
        running = running + (value - mean) * (value - before) * mask

    mistakes = {
        "the importance is not divided by the masks: it grows with their number": [(right * total, None)],
        "the importance is divided by the number of masks, not by the sum of the masks at each pixel": [
            (right * total / n, None)
        ],
        "the importance is divided by the expected mask, not by the sum of the masks at each pixel": [
            (right * total / n / w.mean(), None),
            (right * total / n / 0.5, None),
        ],
        "the weights are turned round: a pixel's mean goes over the masks that show it, weighted by M, not by 1 - M": [
            (_sum(s, 1 - masks) / (1 - w).sum(0), None)
        ],
        "the uncertainty is summed over the masks and never divided by their sum": [(right, spread), (right, running)],
        "the uncertainty is divided by the number of masks, not by the sum of the masks at each pixel": [
            (right, spread / n)
        ],
        "the uncertainty is a standard deviation: leave out the square root": [(right, (spread / total).sqrt())],
        "the uncertainty is not weighted: multiply the squares by the masks": [
            (right, deviation.mean(0)),
            (right, deviation.sum(0) / total),
            *((right, torch.full_like(total, float(s.var(correction=k)))) for k in (0, 1)),
        ],
        "the uncertainty is taken around the mean of all similarities, not around the importance of the pixel": [
            (right, _sum((s - s.mean()) ** 2, masks) / total)
        ],
        "the squares are missing in the uncertainty": [(right, ((s.view(-1, 1, 1) - right) * w).sum(0) / total)],
        "uncertainty and importance are returned in the wrong order": [(spread / total, right)],
    }
    mistakes["the weights are masks rounded to 0 or 1: weigh with the masks as they are"] = [
        (_sum(s, (masks > 0.5).double()) / (w > 0.5).sum(0), None)
    ]
    mistakes["the importance is not weighted: a pixel's mean goes over the masks, weighted by them"] = [
        (torch.full_like(total, float(s.mean())), None)
    ]
    hidden = _sum(s, 1 - masks) / (1 - w).sum(0)
    mistakes["the mean of all similarities is taken off the importance: leave it as the weighted mean"] = [
        (right - s.mean(), None)
    ]
    mistakes[
        "what hides a pixel is taken off what shows it: the importance is the mean over the masks that show it"
    ] = [(right - hidden, None)]
    mistakes["the importance is stretched to run from 0 to 1: leave it as it is"] = [
        ((right - right.min()) / (right.max() - right.min()), None)
    ]
    mistakes["the importance has the wrong sign"] = [(-right, None)]
    mistakes["the largest weighted similarity is taken, not the mean"] = [((s.view(-1, 1, 1) * w).amax(0), None)]
    mistakes["a number is added to the sum of the masks: divide by the sum itself"] = [
        (right * total / (total + more), None) for more in (1, 0.1, 0.01, 0.001)
    ]
    mistakes["one number divides all pixels: each is divided by its own sum of the masks"] = [
        (right * total / divisor, None) for divisor in (total.max(), total.min())
    ]
    mistakes["the weights are squared in the importance: each similarity is weighted with the mask as it is"] = [
        ((s.view(-1, 1, 1) * w**2).sum(0) / (w**2).sum(0), None),
        ((s.view(-1, 1, 1) * w**2).sum(0) / total, None),
    ]
    mistakes["absolute values stand for squares in the uncertainty"] = [(right, (deviation.sqrt() * w).sum(0) / total)]
    mistakes["the weights are squared in the uncertainty: each square is weighted with the mask as it is"] = [
        (right, (deviation * w**2).sum(0) / (w**2).sum(0)),
        (right, (deviation * w**2).sum(0) / total),
    ]
    mistakes["the uncertainty is divided by the number of masks once more, as an error of the mean is"] = [
        (right, spread / total / n),
        (right, (spread / total / n).sqrt()),
    ]
    effective = total**2 / w.square().sum(0)
    mistakes["the uncertainty is divided by the number of effective masks, as an error of the mean is"] = [
        (right, spread / total / effective),
        (right, (spread / total / effective).sqrt()),
    ]
    mistakes["the uncertainty is divided by the importance: leave it as the variance"] = [
        (right, spread / total / right**2),
        (right, (spread / total).sqrt() / right),
    ]
    mistakes["the uncertainty is corrected like that of a sample: divide by the sum of the masks"] = [
        (right, spread / (total - 1)),
        (right, spread / total * n / (n - 1)),
        (right, spread / (total - w.square().sum(0) / total)),
        (right, spread / (n - 1)),
    ]
    mistakes["the uncertainty is that of the weighted similarities: take the squares of s - importance, weighted"] = [
        (right, ((s.view(-1, 1, 1) * w - right) ** 2).sum(0) / total),
        (right, ((s.view(-1, 1, 1) * w - right) ** 2).mean(0)),
        (right, (s.view(-1, 1, 1) * w).var(0)),
        (right, (s.view(-1, 1, 1) * w).var(0, correction=0)),
    ]
    mistakes["the mean of the squares is returned: take off the square of the importance"] = [
        (right, (s.view(-1, 1, 1) ** 2 * w).sum(0) / total),
        (right, (s.view(-1, 1, 1) ** 2 * w).sum(0) / total - right),
    ]
    for sentence, other in _others(encode, image, masks).items():
        mistakes[sentence] = [(_sum(other, masks) / total, None)]
    return mistakes

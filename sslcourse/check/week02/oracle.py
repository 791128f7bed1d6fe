"""Week 2: rotations pixel by pixel, accuracies image by image, tiles one at a time, and what goes wrong with them.

References: Gidaris et al. 2018, "Unsupervised representation learning by predicting image rotations"; Noroozi and
Favaro 2016, "Unsupervised learning of visual representations by solving jigsaw puzzles".
"""

from functools import partial
from math import isqrt

import torch
from torch import Tensor, nn

from sslcourse.check.compare import Mistake

# --- rotate_batch


def turned(image: Tensor, quarter: int) -> Tensor:
    """An image (C, S, S) turned counter-clockwise by `quarter` times 90 degrees, pixel by pixel.

    One quarter takes the pixel in row r and column c to row S - 1 - c and column r: what was on the right is on top.
    """
    for _ in range(quarter % 4):
        side, source = image.shape[-1], image
        image = torch.empty_like(source)
        for r in range(side):
            for c in range(side):
                image[:, side - 1 - c, r] = source[:, r, c]
    return image


def all_turned(images: Tensor) -> Tensor:
    """(N, 4, C, S, S): every image in its four rotations."""
    channels = images.flatten(0, 1)  # (N C, S, S): a channel does not know whose it is
    return torch.stack([turned(channels, k).view_as(images) for k in range(4)], dim=1)


WRONG_AXES = {
    (0, 1): "images and channels",
    (0, 2): "images and rows",
    (0, 3): "images and columns",
    (1, 2): "channels and rows",
    (1, 3): "channels and columns",
}

LABEL_MISTAKES = {
    "the labels count clockwise: label 1 is a quarter turn counter-clockwise, after which the right edge is on top.": (
        lambda quarter, n, count: (-quarter) % 4
    ),
    "the labels are degrees: they should be 0, 1, 2 and 3, the number of quarter turns.": (
        lambda quarter, n, count: 90 * quarter
    ),
    "the labels count from 1: they should be 0, 1, 2 and 3, as cross-entropy takes them.": (
        lambda quarter, n, count: quarter + 1
    ),
    "the labels are those of the images, not of the rotations.": lambda quarter, n, count: n,
}


# --- rotation_accuracy


def rotation_accuracy(right: Tensor) -> tuple[float, list[float]]:
    """Overall and per angle, from right (N, 4): whether the rotation of image n by quarter k was recognised."""
    n = len(right)
    per_angle = [sum(bool(right[i, k]) for i in range(n)) / n for k in range(4)]
    return sum(per_angle) / 4, per_angle


def mistaken_truths(n: int) -> dict[str, Tensor]:
    """What the true angles (N, 4) would be with a mistake in the labels."""
    quarters = torch.arange(4).expand(n, 4)
    return {
        "the labels count clockwise: label 1 is a quarter turn counter-clockwise (torch.rot90).": (-quarters) % 4,
        # Labels 0, 1, 2, 3, 0, 1, ... for images in blocks, and the other way round.
        "the labels are in another order than the images: rotations in blocks need labels in blocks.": (
            torch.arange(4 * n).view(4, n).T % 4
        ),
        "the labels are in another order than the images: adjacent rotations need labels 0, 1, 2, 3, 0, 1, ....": (
            torch.arange(4).repeat_interleave(n).view(n, 4)
        ),
    }


def unweighted_means(right: Tensor) -> list[float]:
    """Accuracies of batches averaged as if all were of one size, from right (N, 4), for batches of several sizes."""
    in_blocks, adjacent = right.T.flatten(), right.flatten()
    batches = [flat.double().split(size) for flat in (in_blocks, adjacent) for size in (16, 32, 64, 100, 128, 256, 512)]
    batches += [right.double().split(size) for size in (16, 32, 64, 100, 128, 256)]  # all four of some images
    return [float(sum(batch.mean() for batch in each) / len(each)) for each in batches]


def _batches(right: Tensor) -> list[tuple[Tensor, ...]]:
    """Right answers (N, 4) in batches: of several sizes, for rotations in blocks and adjacent ones."""
    return [
        flat.split(size) for flat in (right.T.flatten(), right.flatten()) for size in (64, 128, 256, 400, 512, 1024)
    ]


def _right(says: Tensor) -> Tensor:
    return (says == torch.arange(4)).double()


# What else is taken for the overall accuracy, and for those per angle, from what a model says (N, 4).
OTHER_SHARES = {
    "only the last batch counts: count right answers over all of them.": lambda says: [
        float(batches[-1].mean()) for batches in _batches(_right(says))
    ],
    "only the first batch counts: count right answers over all of them.": lambda says: [
        float(batches[0].mean()) for batches in _batches(_right(says))
    ],
    "the lowest score is taken: the angle with the highest one is the answer, argmax.": lambda says: [
        float(_right((says == 0).long()).mean())
    ],
}
OTHER_ANGLES = {
    "results in blocks are read as if the four of an image were adjacent, or the other way round.": lambda says: [
        _right(says).T.reshape(-1, 4).mean(dim=0),
        _right(says).reshape(4, -1).mean(dim=1),
    ],
    "it is counted how often each angle is the answer: count how often it is the right one.": lambda says: [
        torch.stack([(says == k).double().mean() for k in range(4)]),
        torch.stack([4 * (says == k).double().mean() for k in range(4)]),
    ],
}


def by_prediction(predicted: Tensor) -> list[float]:
    """Of what was called an angle, the share that had it: precision where recall was asked for."""
    quarters = torch.arange(4).expand_as(predicted)
    return [float((quarters[predicted == k] == k).double().mean()) if (predicted == k).any() else 0.0 for k in range(4)]


# --- rotation_sensitivity


@torch.no_grad()
def rotation_sensitivity(encoder: nn.Module, images: Tensor) -> Tensor:
    """The mean of 1 - cos(f(x), f(R x)) over images x and the rotations R by 90, 180 and 270 degrees."""
    distances = []
    encoder.eval()
    for image in images:
        upright = encoder(image[None])[0]
        for quarter in (1, 2, 3):
            other = encoder(turned(image, quarter)[None])[0]
            cosine = upright.dot(other) / (upright.dot(upright).sqrt() * other.dot(other).sqrt())
            distances.append(1 - cosine)
    return sum(distances) / len(distances)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp(min=1e-8)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return 1 - _cosine(a, b)


@torch.no_grad()
def _sensitivity(
    encoder: nn.Module,
    images: Tensor,
    *,
    quarters: tuple[int, ...] = (1, 2, 3),
    distance=_distance,
    end=lambda value, n: value,
    average_first: bool = False,
) -> Tensor:
    """rotation_sensitivity with something wrong; right with the defaults."""
    encoder.eval()
    h = torch.stack([encoder(images.rot90(k, dims=(2, 3))) for k in range(4)])  # (4, N, D)
    if average_first:
        h = h.mean(dim=1, keepdim=True)
    return end(distance(h[:1], h[list(quarters)]).mean(), len(images))


def _wrong(**what) -> partial:
    return partial(_sensitivity, **what)


def _of(value):
    """What `value` makes of the features (4, N, D) of all four rotations, as a function of encoder and images."""

    @torch.no_grad()
    def run(encoder: nn.Module, images: Tensor) -> Tensor:
        encoder.eval()
        return value(torch.stack([encoder(images.rot90(k, dims=(2, 3))) for k in range(4)]))

    return run


def _without_mean(over):
    """The mean distance after the mean of the features over some dimensions of (4, N, D) was taken off."""
    return _of(lambda h: _distance((h - h.mean(over, keepdim=True))[:1], (h - h.mean(over, keepdim=True))[1:]).mean())


@torch.no_grad()
def _pixels(encoder: nn.Module, images: Tensor) -> Tensor:
    turns = torch.stack([images.rot90(k, dims=(2, 3)).flatten(1) for k in range(4)])
    return _each(turns).mean()


def _turned_wrongly(axes: tuple[int, int]):
    @torch.no_grad()
    def run(encoder: nn.Module, images: Tensor) -> Tensor:
        encoder.eval()
        return _each(torch.stack([encoder(images.rot90(k, dims=axes)) for k in range(4)])).mean()

    return run


def _each(h: Tensor) -> Tensor:
    return _distance(h[:1], h[1:])


ROTATION_SENSITIVITY_MISTAKES = (
    Mistake("the similarity is returned: the distance is 1 minus it.", (_wrong(distance=_cosine),)),
    Mistake(
        "the image itself is counted as a fourth rotation: its distance of 0 waters the mean down, take 90, 180 and "
        "270 degrees.",
        (_wrong(quarters=(0, 1, 2, 3)),),
    ),
    Mistake(
        "not all three rotations count: take 90, 180 and 270 degrees.",
        tuple(_wrong(quarters=q) for q in ((1,), (2,), (3,), (1, 2), (1, 3), (2, 3))),
    ),
    Mistake(
        "the features are not normalised: the cosine divides by both lengths.",
        (_wrong(distance=lambda a, b: 1 - (a * b).sum(dim=-1)), _wrong(distance=lambda a, b: 1 - (a * b).mean(dim=-1))),
    ),
    Mistake(
        "it is a Euclidean distance: the cosine distance is asked for.",
        (
            _wrong(distance=lambda a, b: (a - b).norm(dim=-1)),
            _wrong(distance=lambda a, b: (a - b).square().sum(dim=-1)),
            _wrong(distance=lambda a, b: (a - b).square().mean(dim=-1)),
            _wrong(distance=lambda a, b: (a - b).abs().sum(dim=-1)),
            _wrong(distance=lambda a, b: (a - b).abs().mean(dim=-1)),
            _wrong(distance=lambda a, b: (2 * _distance(a, b)).sqrt()),
            _wrong(distance=lambda a, b: 2 * _distance(a, b)),
        ),
    ),
    Mistake(
        "the distances are summed: take the mean over images and rotations.",
        (
            _wrong(end=lambda value, n: 3 * value),
            _wrong(end=lambda value, n: 3 * n * value),
            _wrong(end=lambda value, n: n * value),
        ),
    ),
    Mistake(
        "cosines below 0 lose their sign or are cut off: a cosine runs from -1 to 1.",
        (
            _wrong(distance=lambda a, b: 1 - _cosine(a, b).abs()),
            _wrong(distance=lambda a, b: 1 - _cosine(a, b).clamp(min=0)),
        ),
    ),
    Mistake(
        "the cosine is squared: the distance is 1 - cosine.",
        (_wrong(distance=lambda a, b: 1 - _cosine(a, b).square()),),
    ),
    Mistake("the sign is wrong: the distance is 1 - cosine.", (_wrong(distance=lambda a, b: _cosine(a, b) - 1),)),
    Mistake("the distance is halved: it is 1 - cosine.", (_wrong(distance=lambda a, b: _distance(a, b) / 2),)),
    Mistake(
        "the angle is returned: the distance is 1 - cosine.",
        (
            _wrong(distance=lambda a, b: _cosine(a, b).acos()),
            _wrong(distance=lambda a, b: _cosine(a, b).acos() / torch.pi),
        ),
    ),
    Mistake(
        "the rotations are compared with each other: compare each with the image as it is.",
        (
            _of(lambda h: sum(_distance(h[i], h[j]).mean() for i in range(4) for j in range(i)) / 6),
            _of(lambda h: _distance(h[:-1], h[1:]).mean()),
            _of(lambda h: _distance(h, h.roll(-1, dims=0)).mean()),
        ),
    ),
    Mistake(
        "the features of the rotations are averaged first: compare each rotation, then take the mean.",
        (
            _of(lambda h: _distance(h.mean(dim=0, keepdim=True), h[1:]).mean()),
            _of(lambda h: _distance(h[0], h[1:].mean(dim=0)).mean()),
            _of(lambda h: _distance(h[0], h.mean(dim=0)).mean()),
        ),
    ),
    Mistake(
        "every image is compared with the rotations of all images: row by row, with its own.",
        (_of(lambda h: _distance(h[0][None, :, None], h[1:, None]).mean()),),
    ),
    Mistake(
        "the cosine runs over the images, or over all features at once: it compares row by row, over dim=1.",
        (
            _of(lambda h: _distance(h[:1].mT, h[1:].mT).mean()),
            _of(lambda h: _distance(h[:1].flatten(1), h[1:].flatten(1)).mean()),
        ),
    ),
    Mistake(
        "a mean is taken off the features first: compare them as they are.",
        (_without_mean((2,)), _without_mean((1,)), _without_mean((0, 1)), _without_mean((0,))),
    ),
    Mistake("features below 0 are cut off: compare them as they are.", (_of(lambda h: _each(h.relu()).mean()),)),
    Mistake(
        "a softmax is taken of the features: compare them as they are.", (_of(lambda h: _each(h.softmax(-1)).mean()),)
    ),
    Mistake(
        "one of the distances is taken, the largest, the smallest or the middle one: take their mean.",
        (
            _of(lambda h: _each(h).amax(dim=0).mean()),
            _of(lambda h: _each(h).amin(dim=0).mean()),
            _of(lambda h: _each(h).max()),
            _of(lambda h: _each(h).median()),
        ),
    ),
    Mistake(
        "channels and rows are turned into each other: rows and columns are axes 2 and 3.", (_turned_wrongly((1, 2)),)
    ),
    Mistake(
        "columns and channels are turned into each other: rows and columns are axes 2 and 3.",
        (_turned_wrongly((1, 3)),),
    ),
    Mistake("pixels are compared: compare what the encoder makes of the images.", (_pixels,)),
    Mistake(
        "an image is compared with rotations of another one: row by row, with its own.",
        (
            _of(lambda h: _distance(h[:1], h[1:].flip(1)).mean()),
            _of(lambda h: _distance(h[:1], h[1:].roll(1, 1)).mean()),
            _of(lambda h: _distance(h[:1], h[1:].roll(-1, 1)).mean()),
        ),
    ),
    Mistake(
        "only one image counts: take the mean over all of them.",
        (_of(lambda h: _each(h)[:, 0].mean()), _of(lambda h: _each(h)[:, -1].mean())),
    ),
    Mistake(
        "the features are averaged over the images first: compare every image with its own rotations.",
        (_wrong(average_first=True),),
    ),
)


# --- jigsaw_batch


def jigsaw(image: Tensor, permutation: list[int]) -> Tensor:
    """The tile at place i of the result is tile permutation[i] of the image (C, S, S); both count row by row."""
    grid, result = isqrt(len(permutation)), torch.empty_like(image)
    side = image.shape[-1] // grid
    for place, tile in enumerate(permutation):
        to, source = divmod(place, grid), divmod(tile, grid)
        for r in range(side):
            for c in range(side):
                result[:, to[0] * side + r, to[1] * side + c] = image[:, source[0] * side + r, source[1] * side + c]
    return result


def inverse(permutation: list[int]) -> list[int]:
    """Where every tile goes, instead of which tile comes."""
    return [permutation.index(tile) for tile in range(len(permutation))]


def by_columns(permutation: list[int]) -> list[int]:
    """The permutation that results from counting tiles column by column."""
    grid = isqrt(len(permutation))
    swap = [(t % grid) * grid + t // grid for t in range(len(permutation))]
    return [swap[permutation[swap[place]]] for place in range(len(permutation))]


def places_by_columns(permutation: list[int]) -> list[int]:
    """The same with tiles counted row by row, and only places column by column."""
    grid = isqrt(len(permutation))
    return [permutation[(place % grid) * grid + place // grid] for place in range(len(permutation))]


def tiles_by_columns(permutation: list[int]) -> list[int]:
    """The same with places counted row by row, and only tiles column by column."""
    grid = isqrt(len(permutation))
    return [(tile % grid) * grid + tile // grid for tile in permutation]


def tiles(image: Tensor, grid: int) -> list[Tensor]:
    """The tiles of an image (C, H, W), row by row."""
    return [tile for row in image.chunk(grid, dim=1) for tile in row.chunk(grid, dim=2)]

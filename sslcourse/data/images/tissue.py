"""Toy tissue: textures in the manner of stained sections, with the statistics that make each class known.

An image is a small field of cells. Its class says how many cells there are, how large, how elongated, whether they lie
in one direction, whether they are hollow: local statistics, which no single pixel shows. Stain, its strength, light,
magnification, the direction of the fibres and every position are drawn independently of the class. The images of a
second centre come from the same process with other dyes and another lamp, a stand-in for the shift between hospitals.

Only uniform draws and exactly rounded arithmetic are used, as in scenes.py, so that a seed gives the same bytes
everywhere. Cells are spread by an additive recurrence: Roberts 2018, "The unreasonable effectiveness of quasirandom
sequences".
"""

import numpy as np
import torch

from sslcourse.data.images.sets import ImageSet, whole

VERSION = 1  # raise it with any change of the images: checkpoints name the version that they were trained on
SIZE = 32

# name: cells in a field, radius in pixels, elongation (long axis by short), spread of directions (tangent of half the
# largest angle: 1 is every direction), variation of the radius from cell to cell, paleness of the inside.
CLASSES = {
    "fat": ((6, 9), (5.0, 6.2), (1.0, 1.3), 1.0, 0.15, 0.9),
    "debris": ((10, 15), (2.2, 2.8), (1.0, 1.8), 1.0, 0.75, 0.0),
    "lymphocytes": ((26, 34), (1.5, 1.8), (1.0, 1.2), 1.0, 0.1, 0.0),
    "mucus": ((6, 10), (1.5, 1.9), (1.0, 1.3), 1.0, 0.1, 0.0),
    "muscle": ((12, 17), (2.0, 2.4), (3.4, 4.4), 0.1, 0.1, 0.0),
    "stroma": ((12, 17), (2.0, 2.4), (3.4, 4.4), 1.0, 0.1, 0.0),
    "mucosa": ((12, 16), (2.5, 2.9), (1.0, 1.2), 1.0, 0.1, 0.8),
    "tumour": ((11, 15), (3.0, 3.6), (1.0, 1.3), 1.0, 0.15, 0.0),
    "nerve": ((4, 7), (3.2, 3.8), (2.4, 3.2), 0.1, 0.1, 0.0),
}
CLASS_NAMES = tuple(CLASSES)
MOST_CELLS = max(cells[1] for cells, *_ in CLASSES.values())

# Of each centre: the dye of the cells, the dye of what lies between, the colour of the lamp.
CENTRES = {
    "tissue": ((92, 62, 140), (224, 172, 200), (1.0, 1.0, 1.0)),
    "tissue_centre2": ((58, 84, 122), (206, 190, 160), (1.0, 0.94, 0.82)),
}

_CHUNK = 64  # images drawn at a time, so that the arrays stay in the processor's cache
_STEP_X, _STEP_Y = 0.7548776662466927, 0.5698402909980532  # of the recurrence: powers of the plastic number, inverted
_TAN_EIGHTH = 0.41421356  # tangent of an eighth of a half turn


def make_tissue(n: int, seed: int = 0, centre: str = "tissue") -> ImageSet:
    """Draw n fields of tissue, classes balanced (counts differ by at most one) and in shuffled order.

    centre: a name in CENTRES; one seed gives the same cells in every centre, stained with its dyes.
    Returns uint8 images (n, 3, 32, 32); masks bool (n, 1, 32, 32), true on cells; factors, one tensor (n,) each: cells
    (int64); radius (pixels), elongation, spread, strength (of the stain), zoom, direction_x, direction_y (float32, the
    direction along which the field lies, a unit vector, x at least 0); dye and ground (n, 3), colours from 0 to 255.
    Raises TypeError for numbers that are not whole, ValueError for n < 1, a negative seed or an unknown centre.
    """
    whole("n", n, 1)
    whole("seed", seed, 0)
    if centre not in CENTRES:
        raise ValueError(f"There is no centre {centre!r}; choose one of {', '.join(CENTRES)}.")
    uniform = np.random.Generator(np.random.PCG64(seed)).random

    # Balanced labels, shuffled by sorting uniform keys: the stream of `shuffle` may change between NumPy versions.
    labels = np.argsort(uniform(n), kind="stable") % len(CLASSES)
    factors = _draw_factors(uniform, labels, centre)
    cells = _draw_cells(uniform, labels, factors)
    light = _draw_light(uniform, n, centre)

    images = np.empty((n, 3, SIZE, SIZE), np.uint8)
    masks = np.empty((n, 1, SIZE, SIZE), bool)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        part = {name: values[rows] for name, values in (factors | cells | light).items()}
        images[rows], masks[rows, 0] = _draw(part)

    return ImageSet(
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        class_names=CLASS_NAMES,
        name=centre,
        split="generated",
        factors={name: torch.from_numpy(values) for name, values in factors.items()},
        masks=torch.from_numpy(masks),
    )


def _draw_factors(uniform, labels: np.ndarray, centre: str) -> dict[str, np.ndarray]:
    """What holds for a field as a whole. The first four depend on the class and make it up, the others do not."""
    n = len(labels)
    counts, radii, elongations = (np.array([row[k] for row in CLASSES.values()])[labels] for k in range(3))

    def between(bounds):
        return (bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * uniform(n)).astype(np.float32)

    def shade(base, grey, each):
        """The base colour, lighter or darker as a whole by up to `grey`, and each channel by up to `each`."""
        moved = np.array(base) + grey * (2 * uniform((n, 1)) - 1) + each * (2 * uniform((n, 3)) - 1)
        return np.clip(moved, 0, 255).astype(np.float32)

    # A direction out of a half turn: within an eighth of a turn to either side of an axis, and of which axis.
    x, y = _turn(np.ones(n), np.zeros(n), _TAN_EIGHTH * (2 * uniform(n) - 1))
    upright = uniform(n) < 0.5
    x, y = np.where(upright, np.abs(y), x), np.where(upright, np.where(y < 0, -x, x), y)
    dye, ground, _ = CENTRES[centre]
    return {
        "cells": counts[:, 0] + (uniform(n) * (counts[:, 1] - counts[:, 0] + 1)).astype(np.int64),
        "radius": between(radii),
        "elongation": between(elongations),
        "spread": np.array([row[3] for row in CLASSES.values()], np.float32)[labels],
        "direction_x": x.astype(np.float32),
        "direction_y": y.astype(np.float32),
        "zoom": (0.9 + 0.25 * uniform(n)).astype(np.float32),
        "strength": (0.6 + 0.4 * uniform(n)).astype(np.float32),
        "dye": shade(dye, 25, 25),
        "ground": shade(ground, 20, 20),
    }


def _draw_cells(uniform, labels: np.ndarray, f: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Place, axes and direction of every cell, (n, MOST_CELLS) each; those beyond a field's number have no size."""
    n, most = len(labels), MOST_CELLS
    number = np.arange(most)

    # Evenly spread for any number of cells, then shaken; transposed and mirrored at random, as the recurrence is a
    # lattice that would lie in the same direction in all images. Places reach a little over the edge.
    along, across = ((uniform((n, 1)) + number * step) % 1 for step in (_STEP_X, _STEP_Y))
    along = np.where(uniform((n, 1)) < 0.5, along, 1 - along)
    swapped = uniform((n, 1)) < 0.5
    x, y = np.where(swapped, across, along), np.where(swapped, along, across)
    x, y = ((SIZE + 4) * place - 2 + 4 * (uniform((n, most)) - 0.5) for place in (x, y))

    # Magnification makes cells larger and keeps the number on average: fewer of them fit into the field.
    zoom, elongation = f["zoom"][:, None], f["elongation"][:, None]
    variation = np.array([row[4] for row in CLASSES.values()])[labels][:, None]
    radius = f["radius"][:, None] * zoom * (1 + variation * (2 * uniform((n, most)) - 1))
    present = number < np.rint(f["cells"][:, None] / (zoom * zoom))
    long = radius * np.sqrt(elongation)
    cosine, sine = _turn(
        f["direction_x"][:, None], f["direction_y"][:, None], f["spread"][:, None] * (2 * uniform((n, most)) - 1)
    )
    pale = np.array([row[5] for row in CLASSES.values()])[labels]
    cells = {"x": x, "y": y, "long": long, "short": long / elongation, "cosine": cosine, "sine": sine}
    cells["present"] = present.astype(np.float32)
    return {name: values.astype(np.float32) for name, values in (cells | {"pale": pale}).items()}


def _draw_light(uniform, n: int, centre: str) -> dict[str, np.ndarray]:
    """Lamp, its fall-off across the field, and faint fibres in the ground: the same for all classes."""
    lamp = np.array(CENTRES[centre][2]) * (0.85 + 0.3 * uniform((n, 1))) * (0.94 + 0.12 * uniform((n, 3)))
    return {
        "lamp": lamp.astype(np.float32),
        "slope": (0.3 * (uniform((n, 2)) - 0.5)).astype(np.float32),
        "fibre": (uniform((n, 4)) - 0.5).astype(np.float32),  # two components of the wave, phase, depth
    }


def _turn(x: np.ndarray, y: np.ndarray, tangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vectors (x, y) turned by twice the angle with this tangent. This form of a rotation needs no sine."""
    square = tangent * tangent
    cosine, sine = (1 - square) / (1 + square), 2 * tangent / (1 + square)
    return cosine * x - sine * y, sine * x + cosine * y


_AXIS = (np.arange(SIZE) + 0.5).astype(np.float32)
_ACROSS = ((_AXIS - SIZE / 2) / (SIZE / 2)).astype(np.float32)  # -1 to 1


def _draw(f: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) and masks (n, 32, 32) of the factors, cells and light f."""
    ink, mask = _cells(f)

    # Fibres: a triangle wave across the ground.
    a, b, phase, depth = (f["fibre"][:, k, None, None] for k in range(4))
    wave = a * _AXIS + b * _AXIS[:, None] / np.float32(2) + phase
    wave = np.abs(wave - np.floor(wave) - np.float32(0.5)) * (np.float32(0.25) * depth)
    light = (1 + wave) * (1 + f["slope"][:, 0, None, None] * _ACROSS + f["slope"][:, 1, None, None] * _ACROSS[:, None])

    # The stain: from the colour of the ground to that of the cells, as far as the ink and its strength go.
    ink = (ink * f["strength"][:, None, None])[:, None]
    dye, ground, lamp = (f[name][:, :, None, None] for name in ("dye", "ground", "lamp"))
    canvas = (ground + ink * (dye - ground)) * (lamp * light[:, None])
    return np.rint(np.clip(canvas, 0, 255)).astype(np.uint8), mask


def _cells(f: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """How much ink each pixel took, 0 to 1, and whether a cell covers it; (n, 32, 32) each."""
    n = len(f["x"])
    ink, cover = np.zeros((n, SIZE, SIZE), np.float32), np.zeros((n, SIZE, SIZE), np.float32)
    half, one = np.float32(0.5), np.float32(1)
    for k in range(MOST_CELLS):
        here = f["present"][:, k].nonzero()[0]
        if not len(here):
            continue
        x, y, long, short, c, s, pale = (
            (f[name][here, k] if name != "pale" else f[name][here])
            for name in ("x", "y", "long", "short", "cosine", "sine", "pale")
        )
        # In units of the cell's own axes: sum of squares below 1 is inside.
        dx, dy = _AXIS - x[:, None], _AXIS - y[:, None]
        u = (c / long)[:, None, None] * dx[:, None, :] + (s / long)[:, None, None] * dy[:, :, None]
        v = (c / short)[:, None, None] * dy[:, :, None] - (s / short)[:, None, None] * dx[:, None, :]
        u *= u
        v *= v
        u += v

        # Near the outline 1 - square is twice the distance to it, in short axes: edges about a pixel wide.
        outside = (one - u) * (half * short)[:, None, None]
        outside += half
        np.clip(outside, 0, 1, out=outside)
        cover[here] = np.maximum(cover[here], outside)
        if pale.any():
            inside = np.clip((np.float32(0.55) - u) * (half * short)[:, None, None] + half, 0, 1)
            outside = outside * (one - pale[:, None, None] * inside)
        ink[here] = np.maximum(ink[here], outside)
    return ink, cover >= half

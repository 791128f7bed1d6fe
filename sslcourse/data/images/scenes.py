"""Toy scenes: child's drawings of one object before a horizon, with everything about them known.

What the object is (its class) shows only in its shape. Colour, position, size, texture, tilt, background, light and
mist are drawn independently of the class, so that colour and layout, by which two images are told apart most easily,
say nothing about it. Light comes from above, the sky is over the ground and every shape has a top and a bottom:
upright means something here.

What makes the class hard to see for raw pixels and for random networks is what augmentations can teach a network to
overlook: the place and size of the object (cropping), the tint of the light and the mist before it (colour jitter).
Sky and ground are about equally bright, so that telling one background from another does not pay more than telling one
shape from another.

Only uniform draws and exactly rounded arithmetic are used (no sine, power or sum whose last bit depends on the
platform), so that a seed gives the same bytes everywhere. Factors drawn independently: dSprites (Matthey et al. 2017).
"""

from collections.abc import Collection

import numpy as np
import torch

from sslcourse.data.images.sets import ImageSet, whole
from sslcourse.data.images.shapes import CELLS, EXTENT, distance_tables

VERSION = 1  # raise it with any change of the images: checkpoints name the version that they were trained on
SIZE = 32

CLASS_NAMES = ("house", "tree", "boat", "car", "mushroom", "rocket", "cup", "flower", "cat", "duck")
HELD_OUT_NAMES = ("umbrella", "snowman", "crown", "fish", "lamp")

COLOURS = {
    "red": (215, 45, 40),
    "orange": (240, 140, 30),
    "yellow": (240, 215, 50),
    "green": (50, 165, 70),
    "turquoise": (50, 190, 190),
    "blue": (50, 90, 215),
    "purple": (130, 60, 180),
    "pink": (240, 130, 180),
}
TEXTURES = ("plain", "striped", "dotted", "checked")
SIZES = ("small", "medium", "big")
PLACES = ("on the left", "in the middle", "on the right")
TIMES = {  # the sky above, the sky at the horizon, the light on everything, the mist
    "by day": ((128, 156, 188), (139, 158, 177), (1.0, 1.0, 1.0), (225, 225, 225)),
    "at dusk": ((162, 138, 156), (176, 143, 129), (0.94, 0.87, 0.84), (200, 150, 140)),
    "at night": ((134, 137, 154), (136, 138, 159), (0.72, 0.76, 0.84), (60, 60, 100)),
}
GROUNDS = {
    "on grass": (130, 163, 118),
    "on sand": (166, 154, 124),
    "on snow": (155, 159, 163),
    "at sea": (120, 150, 175),
}
BACKGROUNDS = tuple(f"{time} {ground}" for time in TIMES for ground in GROUNDS)

_CHUNK = 128  # images drawn at a time, so that the arrays stay in the processor's cache
_CLUTTER = 3  # at most so many clouds (or stars), and as many bushes


def make_scenes(
    n: int, seed: int = 0, held_out: bool = False, vary: Collection[str] | None = None
) -> ImageSet:
    """Draw n scenes, classes balanced (counts differ by at most one) and in shuffled order.

    held_out: draw the five shapes of HELD_OUT_NAMES instead of the ten of CLASS_NAMES, with labels of their own from 0.
    vary: names of all that may differ between images: "class", factors, or paints ("light", "sky", "haze", "earth",
    "fill", "stretch", "phase", ...); the rest is as in the first image, and classes are not balanced then.
    Returns uint8 images (n, 3, 32, 32); masks bool (n, 1, 32, 32), true on the object; captions; factors, one tensor
    (n,) each: colour, texture, size, place, background (int64, indices into COLOURS, TEXTURES, SIZES, PLACES,
    BACKGROUNDS); x, y (centre), radius, horizon (float32, pixels from the top left corner); tilt (float32, tangent of
    half the angle); mist (float32, its share in every pixel); mirrored (bool).
    Raises TypeError for numbers that are not whole, ValueError for n < 1, a negative seed or an unknown name to vary.
    """
    whole("n", n, 1)
    whole("seed", seed, 0)
    names = HELD_OUT_NAMES if held_out else CLASS_NAMES
    uniform = np.random.Generator(np.random.PCG64(seed)).random

    # Balanced labels, shuffled by sorting uniform keys: the stream of `shuffle` may change between NumPy versions.
    labels = np.argsort(uniform(n), kind="stable") % len(names)
    factors = _draw_factors(uniform, n)
    paints = _draw_paints(uniform, factors)
    if vary is not None:
        _hold({"class": labels} | factors | paints, vary)

    images = np.empty((n, 3, SIZE, SIZE), np.uint8)
    masks = np.empty((n, 1, SIZE, SIZE), bool)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        part = {name: values[rows] for name, values in (factors | paints).items()}
        images[rows], masks[rows, 0] = _draw(labels[rows], names, part)

    return ImageSet(
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        class_names=names,
        name="scenes_held_out" if held_out else "scenes",
        split="generated",
        factors={name: torch.from_numpy(values) for name, values in factors.items()},
        masks=torch.from_numpy(masks),
        captions=_captions(names, labels, factors),
    )


def _draw_factors(uniform, n: int) -> dict[str, np.ndarray]:
    """All that a caption or a test may ask for, each drawn by itself."""

    def index(count):
        return (uniform(n) * count).astype(np.int64)

    def between(low, high):
        return (low + (high - low) * uniform(n)).astype(np.float32)

    size, place = index(len(SIZES)), index(len(PLACES))
    return {
        "colour": index(len(COLOURS)),
        "texture": index(len(TEXTURES)),
        "size": size,
        "place": place,
        "background": index(len(BACKGROUNDS)),
        "x": (np.float32(8) + np.float32(16 / 3) * place + between(0, 16 / 3)).astype(np.float32),
        "y": between(9, 23),
        "radius": (np.float32(9) + np.float32(1.6) * size + between(0, 1.2)).astype(np.float32),
        "horizon": between(12, 26),
        "tilt": between(-0.09, 0.09),  # about 10 degrees
        "mist": between(0, 0.5),
        "mirrored": uniform(n) < 0.5,
    }


def _draw_paints(uniform, factors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What nobody will ask for: exact shades, the phase of the texture, where the clouds and bushes are."""
    n = len(factors["colour"])
    time, ground = factors["background"] // len(GROUNDS), factors["background"] % len(GROUNDS)

    def shade(base, spread, grey):
        """The base colour, made lighter or darker as a whole by up to `grey`, and each channel by up to `spread`."""
        moved = base + grey * (2 * uniform((n, 1)) - 1) + spread * (2 * uniform((n, 3)) - 1)
        return np.clip(moved, 0, 255).astype(np.float32)

    parts = zip(*TIMES.values(), strict=True)
    above, horizon, light, mist = (np.array(part, np.float32)[time] for part in parts)  # (n, 3) each
    return {
        "light": (light * (0.7 + 0.6 * uniform((n, 3)))).astype(np.float32),
        "mist colour": mist,
        "fill": shade(np.array(list(COLOURS.values()), np.float32)[factors["colour"]], 20, 25),
        "sky": shade(above, 25, 25),
        "haze": shade(horizon, 25, 25),
        "earth": shade(np.array(list(GROUNDS.values()), np.float32)[ground], 25, 25),
        "stretch": (0.85 + 0.3 * uniform(n)).astype(np.float32),
        "phase": uniform((n, 2)).astype(np.float32),
        "lean": np.where(uniform(n) < 0.5, -1, 1).astype(np.float32),
        "clutter": uniform((n, 2, _CLUTTER, 4)).astype(np.float32),  # sky and ground; presence, x, y, size
    }


def _hold(drawn: dict[str, np.ndarray], vary: Collection[str]) -> None:
    """Give every image the first one's value of all that is not to vary, in place."""
    names = [vary] if isinstance(vary, str) else list(vary)
    if unknown := [name for name in names if name not in drawn]:
        raise ValueError(f"Scenes have no {unknown[0]!r} to vary; choose among {', '.join(drawn)}.")
    for name, values in drawn.items():
        if name not in names:
            values[:] = values[0].copy()


_AXIS = (np.arange(SIZE) + 0.5).astype(np.float32)
_X, _Y = _AXIS[None, None, :], _AXIS[None, :, None]


def _draw(labels: np.ndarray, names: tuple[str, ...], f: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) and masks (n, 32, 32) of the factors and paints f, back to front."""
    canvas = _background(f)
    _clutter(canvas, f)

    # Where a pixel lies in the box of its object: shift, tilt, mirror, scale. This form of a rotation needs no sine.
    dx, dy = _X - _deep(f["x"]), _Y - _deep(f["y"])
    t = _deep(f["tilt"])
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    radius, stretch = _deep(f["radius"]), _deep(f["stretch"])
    u = (cosine * dx + sine * dy) / radius * np.where(_deep(f["mirrored"]), np.float32(-1), np.float32(1)) / stretch
    v = (cosine * dy - sine * dx) / radius * stretch  # (n, 32, 32)

    # Distances in pixels to the silhouette and to the details.
    scale = np.float32(CELLS / (2 * EXTENT))
    column = np.clip(((u + EXTENT) * scale).astype(np.int32), 0, CELLS - 1)
    row = np.clip(((v + EXTENT) * scale).astype(np.int32), 0, CELLS - 1)
    cell = (labels[:, None, None] * CELLS + row) * CELLS + column
    silhouette, details = (table.reshape(-1)[cell] * radius for table in distance_tables(names))

    # Paint: outline, fill with texture and light from above, details.
    body = _coverage(silhouette)
    fill = f["fill"][:, :, None, None]
    above = (1 - 0.25 * v).astype(np.float32)[:, None]
    tone = above * (1 - np.float32(0.06) * _texture(dx, dy, f))[:, None]
    _paint(canvas, body, fill * np.float32(0.3))
    _paint(canvas, _coverage(silhouette + 1), fill * tone)
    _paint(canvas, _coverage(details) * body, 255 - (255 - fill) * np.float32(0.25))

    # The light falls on everything, and the mist lies before it.
    canvas *= f["light"][:, :, None, None]
    canvas += f["mist"][:, None, None, None] * (f["mist colour"][:, :, None, None] - canvas)
    return np.rint(np.clip(canvas, 0, 255)).astype(np.uint8), body >= 0.5


def _background(f: dict[str, np.ndarray]) -> np.ndarray:
    """Sky that pales towards the horizon, ground that darkens towards the viewer: (n, 3, 32, 32)."""
    horizon = _deep(f["horizon"])
    depth = _Y / horizon  # 0 at the top of the sky, 1 at the horizon
    high, low, earth = (f[name][:, :, None, None] for name in ("sky", "haze", "earth"))
    sky = high + (low - high) * np.minimum(depth, 1)[:, None]
    ground = earth * (1 - (_Y - horizon) / 128)[:, None]
    canvas = np.broadcast_to(sky, (len(horizon), 3, SIZE, SIZE)).copy()
    _paint(canvas, np.broadcast_to(_coverage(horizon - _Y), (len(horizon), SIZE, SIZE)), ground)
    return canvas


def _clutter(canvas: np.ndarray, f: dict[str, np.ndarray]) -> None:
    """Clouds by day and at dusk, stars at night; bushes (or waves, stones) on the ground."""
    horizon = _deep(f["horizon"])
    night = _deep(f["background"] // len(GROUNDS) == 2)
    for k in range(_CLUTTER):
        for where in (0, 1):
            present, x, y, size = (_deep(f["clutter"][:, where, k, column]) for column in range(4))
            if where == 0:
                y, wide = y * horizon, np.where(night, np.float32(0.8), 2 + 3 * size)
                high, colour = np.where(night, np.float32(0.8), 1 + size), np.float32(245)
            else:
                y, wide, high = horizon + y * (SIZE - horizon), 1 + 3 * size, 1 + size
                colour = f["earth"][:, :, None, None] * np.float32(0.6)
            du, dv = (_X - x * SIZE) / wide, (_Y - y) / high
            distance = (np.sqrt(du * du + dv * dv) - 1) * high
            _paint(canvas, _coverage(distance) * np.float32(0.5) * (present < 0.1), colour)


def _texture(dx: np.ndarray, dy: np.ndarray, f: dict[str, np.ndarray]) -> np.ndarray:
    """How dark the texture is at each pixel, 0 or 1 with soft edges; none of them tells up from down. (n, 32, 32)"""
    phase = f["phase"]
    a, b = dx / 4 + _deep(phase[:, 0]), dy / 4 + _deep(phase[:, 1])
    wave_a, wave_b = (4 * np.abs(w - np.floor(w) - np.float32(0.5)) - 1 for w in (a, b))  # triangle waves in -1..1
    s = (dx + _deep(f["lean"]) * dy) / 5 + _deep(phase[:, 0])
    stripes = 4 * np.abs(s - np.floor(s) - np.float32(0.5)) - 1
    kind = _deep(f["texture"])
    dots, checks = (wave_a + wave_b - 0.9) * 2, wave_a * wave_b * 4
    pattern = np.select([kind == 1, kind == 2, kind == 3], [stripes * 2, dots, checks], -1)
    return np.clip(pattern + np.float32(0.5), 0, 1).astype(np.float32)


def _deep(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


def _coverage(distance: np.ndarray) -> np.ndarray:
    """The share of a pixel that lies inside an edge at this signed distance, in pixels."""
    return np.clip(np.float32(0.5) - distance, 0, 1)


def _paint(canvas: np.ndarray, coverage: np.ndarray, colour: np.ndarray) -> None:
    canvas += coverage[:, None] * (colour - canvas)


def _captions(names: tuple[str, ...], labels: np.ndarray, factors: dict[str, np.ndarray]) -> list[str]:
    """For example: a small red striped house on the left, at night on snow."""
    colours = tuple(COLOURS)
    words = zip(labels, *(factors[name] for name in ("size", "colour", "texture", "place", "background")), strict=True)
    return [
        f"a {SIZES[size]} {colours[colour]} {TEXTURES[texture]} {names[label]} "
        f"{PLACES[place]}, {BACKGROUNDS[background]}"
        for label, size, colour, texture, place, background in words
    ]

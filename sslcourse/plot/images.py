"""Pictures of pictures: grids, labelled rows, nearest neighbours."""

from collections.abc import Collection, Sequence

import numpy as np
import torch

from sslcourse import arguments
from sslcourse.data import as_float
from sslcourse.plot.style import RIGHT, WRONG, fitting, named, new_figure, styled

_INCHES = 1.05  # the side of one small image: 12 in a row still fit on a page


@styled
def image_grid(images, titles: Sequence[str] | None = None, columns: int = 8, title: str | None = None):
    """Images side by side, row by row.

    images: (N, C, H, W), grey or RGB, uint8 or float in [0, 1]. titles: one text for each image.
    """
    pixels, columns = _pixels(images), arguments.whole("columns", columns)
    arguments.text("title", title, optional=True)
    if titles is not None:
        titles = fitting("titles", titles, apart=False)
    if titles is not None and len(titles) != len(pixels):
        raise ValueError(f"There are {len(titles)} titles for {len(pixels)} images; give one each.")
    if columns < 1:
        raise ValueError(f"A grid needs at least one column, not {columns}.")
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    line = 0.0 if titles is None else 0.22 * max(text.count("\n") + 1 for text in titles)
    figure = new_figure(columns * _INCHES, rows * (_INCHES + line) + 0.35 * (title is not None))
    axes = figure.subplots(rows, columns, squeeze=False)
    for n, ax in enumerate(axes.flat):
        if n < len(pixels):
            _draw(ax, pixels[n], bare=True)
            if titles is not None:
                ax.set_title(titles[n], fontsize=10, pad=2)
        else:
            ax.set_axis_off()
    if title:
        figure.suptitle(title)
    return figure


@styled
def panels(rows: dict[str, torch.Tensor], title: str | None = None):
    """Labelled rows of images, equally many in each: {"original": images, "reconstruction": images, ...}."""
    rows = named("rows", rows, '{"original": images}')
    arguments.text("title", title, optional=True)
    pixels = {name: _pixels(images) for name, images in rows.items()}
    counts = {name: len(images) for name, images in pixels.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"Every row needs the same number of images, and at least one row; got {counts}.")
    columns = next(iter(counts.values()))
    figure = new_figure(columns * _INCHES + beside(pixels), len(pixels) * _INCHES + 0.35 * (title is not None))
    axes = figure.subplots(len(pixels), columns, squeeze=False)
    for line, (name, images) in zip(axes, pixels.items(), strict=True):
        for column, (ax, image) in enumerate(zip(line, images, strict=True)):
            _draw(ax, image, bare=column > 0)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)
    if title:
        figure.suptitle(title)
    return figure


@styled
def neighbours(queries, neighbours, correct=None, title: str | None = None):
    """Each query, at the left, beside its nearest neighbours, nearest first.

    queries: (N, C, H, W); neighbours: (N, k, C, H, W); correct: (N, k) booleans, such as "is of the query's class": a
    blue frame with a tick where true, an orange one with a cross where not.
    """
    arguments.text("title", title, optional=True)
    left = _pixels(queries)
    if not isinstance(neighbours, torch.Tensor):
        kind = arguments.shown(neighbours)
        raise TypeError(f"neighbours is {kind}; it should be a tensor (N, k, C, H, W): images[indices].")
    found = arguments.tensor("neighbours", neighbours, "a tensor (N, k, C, H, W)")
    if found.ndim != 5 or len(found) != len(queries):
        raise ValueError(
            f"neighbours should be (N, k, C, H, W) with N = {len(queries)} queries, and is {tuple(found.shape)}; "
            "pick them as images[indices] with indices of shape (N, k)."
        )
    n, k = found.shape[:2]
    correct = None if correct is None else arguments.tensor("correct", correct, f"booleans {(n, k)}")
    if correct is not None and (correct.is_complex() or not ((correct == 0) | (correct == 1)).all()):
        raise ValueError("correct should hold True and False, and holds something else.")
    if correct is not None and tuple(correct.shape) != (n, k):
        raise ValueError(f"correct should be of shape {(n, k)}, one for each neighbour, and is {tuple(correct.shape)}.")
    right = _pixels(found.flatten(0, 1))

    # A narrow empty column sets the queries apart from what was found.
    figure = new_figure((k + 1.3) * _INCHES, n * _INCHES + 0.3 + 0.35 * (title is not None))
    axes = figure.subplots(n, k + 2, squeeze=False, width_ratios=[1, 0.15] + [1] * k)
    for row, line in enumerate(axes):
        _draw(line[0], left[row], bare=True)
        line[1].set_axis_off()
        for column, ax in enumerate(line[2:]):
            _draw(ax, right[row * k + column], bare=correct is None)
            if correct is not None:
                _judge(ax, bool(correct[row, column]))
    axes[0][0].set_title("query", fontsize=11)
    axes[0][2].set_title("nearest", fontsize=11)
    if title:
        figure.suptitle(title)
    return figure


def beside(names: Collection[str]) -> float:
    """Inches that names at the left of rows need."""
    return max(1.6, 0.11 * max(map(len, names)) - 0.8)


def _judge(ax, right: bool) -> None:
    """Right or wrong told by the frame's colour and by a sign, since colour alone excludes readers."""
    colour = RIGHT if right else WRONG
    for side in ("top", "right", "bottom", "left"):
        ax.spines[side].set(visible=True, color=colour, linewidth=3)
    box = {"boxstyle": "square,pad=0.15", "facecolor": colour, "edgecolor": colour}
    sign = "\N{CHECK MARK}" if right else "\N{MULTIPLICATION SIGN}"
    ax.text(0.97, 0.04, sign, transform=ax.transAxes, ha="right", va="bottom", color="white", fontsize=9, bbox=box)


def _draw(ax, image: np.ndarray, bare: bool = False) -> None:
    """bare: with nothing at its sides, no frame and no label, which takes time to draw even where it is not seen."""
    # Fixed limits: matplotlib would stretch the contrast of every grey image by itself.
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if bare:
        ax.set_axis_off()


def _pixels(images) -> np.ndarray:
    """(N, C, H, W) tensor to (N, H, W, 3) or (N, H, W) array in [0, 1]."""
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"These images are {arguments.shown(images)}; they should be a tensor (N, C, H, W).")
    arguments.tensor("The batch", images)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"These images are {tuple(images.shape)}; they should be (N, C, H, W) with one or three channels and N at "
            "least 1. A single image becomes a batch by image[None]."
        )
    if images.dtype == torch.bool:
        images = images.float()
    array = as_float(images.detach().cpu()).float().permute(0, 2, 3, 1).numpy()
    return array[..., 0] if array.shape[-1] == 1 else array

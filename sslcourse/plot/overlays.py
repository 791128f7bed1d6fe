"""Heat maps over images: where a network looked, by several networks or measures."""

import math

import torch

from sslcourse import arguments
from sslcourse.plot.images import _INCHES, _draw, _pixels, beside
from sslcourse.plot.style import check_size, named, new_figure, styled


@styled
def overlays(images, maps: dict[str, torch.Tensor], title: str | None = None):
    """The images in the first row, below them a labelled row for each entry of maps, laid over the images in grey.

    images: (N, C, H, W); maps: {label: (N, H, W)}, NaN left uncoloured. Every map has its own colours, from its
    smallest to its largest value, written below it as centre and half-width: levels differ more between maps than
    within one, and two ends that agree in their first three digits would tell nothing.
    """
    pixels = _pixels(images)
    arguments.text("title", title, optional=True)
    maps = named("maps", maps, '{"importance": maps}')
    values = {label: arguments.real_tensor(repr(label), one, "(N, H, W)").cpu().double() for label, one in maps.items()}
    wanted = (len(pixels), *pixels.shape[1:3])
    if wrong := [label for label, one in values.items() if tuple(one.shape) != wanted]:
        found = tuple(values[wrong[0]].shape)
        raise ValueError(f"The maps {wrong[0]!r} are {found}; they should be {wanted}, as the images.")
    if not values:
        raise ValueError('There are no maps to draw: give at least one, such as {"importance": maps}.')
    if endless := [label for label, one in values.items() if one.isinf().any()]:
        raise ValueError(f"The maps {endless[0]!r} hold infinite values, which no colour shows.")
    check_size("A map", *values.values())
    n, rows = len(pixels), len(values) + 1
    figure = new_figure(n * _INCHES * 1.15 + beside(values), rows * _INCHES * 1.3 + 0.35 * (title is not None))
    axes = figure.subplots(rows, n, squeeze=False)
    for ax, image in zip(axes[0], pixels, strict=True):
        _draw(ax, image)
    for line, (label, several) in zip(axes[1:], values.items(), strict=True):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8)
        for ax, image, one in zip(line, pixels, several.numpy(), strict=True):
            # The image in grey under half-transparent colours: its own colours would read as importance.
            _draw(ax, image.mean(axis=2) if image.ndim == 3 else image)
            ax.imshow(one, alpha=0.65)
            known = one[one == one]
            level = _centre_and_width(known.min(), known.max()) if len(known) else "unknown"
            ax.set_xlabel(level, fontsize=9, labelpad=1)
    if title:
        figure.suptitle(title)
    return figure


def _centre_and_width(low: float, high: float) -> str:
    """The centre, to as many digits as the half-width needs, and the half-width below it, to one digit."""
    centre, half = (low + high) / 2, (high - low) / 2
    digits = -math.floor(math.log10(half)) if half > 0 else 0
    if half == 0 or digits > 6 or abs(centre) >= 1e5:
        return f"{centre:.3g}\n± {half:.1g}"
    digits = max(digits, 0)
    return f"{centre:.{digits}f}\n± {half:.{digits}f}"

"""A matrix as colours: confusions, similarities, layer against layer."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from sslcourse import arguments
from sslcourse.plot.style import (
    DIVERGING,
    FEWER,
    LARGEST,
    check_size,
    check_words,
    fitting,
    height,
    new_figure,
    styled,
)

_WRITTEN = 12  # up to this many rows and columns the numbers stand in the cells


@styled
def heat_map(
    matrix,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    label: str = "",
    title: str | None = None,
    centre: float | None = None,
    reach: float | None = None,
):
    """A matrix with a colour bar named `label`; small ones have their numbers written into the cells.

    matrix: (R, C), cells that are NaN are left white. rows, columns: names along the left and the lower edge. centre: a
    value that means nothing (guessing, no change), pale between two colours that run equally far to both sides: `reach`
    far, so that several maps can share a scale, or as far as the farthest cell. Raises ValueError for no matrix,
    infinite values, nothing but NaN, and a reach without a centre or too small for a cell.
    """
    check_words(label=label, title=title)
    values = as_cells("matrix", matrix).numpy()
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"A heat map draws a matrix of shape (rows, columns); this has shape {values.shape}.")
    rows, columns = (
        None if names is None else fitting(what, names, apart=False, letters=True, most=FEWER)
        for what, names in (("rows", rows), ("columns", columns))
    )
    for names, size, what in ((rows, values.shape[0], "rows"), (columns, values.shape[1], "columns")):
        if names is not None and len(names) != size:
            raise ValueError(f"There are {len(names)} names for {size} {what}; give one each.")
    small = max(values.shape) <= _WRITTEN
    figure = new_figure(*((0.75 * values.shape[1] + 2.6, 0.55 * values.shape[0] + 1.6) if small else (6.4, 5.2)))
    ax = figure.subplots()
    picture = ax.imshow(values, aspect="auto" if small else "equal", **around(values, centre, reach))
    figure.colorbar(picture, ax=ax, label=label)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    for names, axis in ((rows, ax.yaxis), (columns, ax.xaxis)):
        if names is not None:
            axis.set_ticks(range(len(names)), [str(name) for name in names])
        elif small:
            axis.get_major_locator().set_params(integer=True)
    if columns is not None and max(len(str(name)) for name in columns) > 5:
        ax.tick_params(axis="x", rotation=45)
        for name in ax.get_xticklabels():  # each ends below its column; centred ones would run into their neighbours
            name.set(ha="right", rotation_mode="anchor")
    if small:
        _write(ax, values, picture)
    if title:
        ax.set_title(title)
    return figure


def as_cells(name: str, matrix) -> torch.Tensor:
    """Numbers in float64, NaN where a cell is unknown."""
    values = arguments.real_tensor(name, matrix, "a matrix (rows, columns)").cpu().double()
    if values.numel() and (values.isinf().any() or values.isnan().all()):
        raise ValueError(f"{name} holds infinite values, or none that is a number; there is no colour for them.")
    check_size(name, values)
    return values


def around(values: np.ndarray, centre: float | None, reach: float | None) -> dict:
    """Colours and limits for imshow: {} without a centre."""
    if centre is None:
        if reach is not None:
            raise ValueError("There is a reach and no centre; a scale with two sides needs both, or centre alone.")
        return {}
    centre = height("centre", centre)
    farthest = float(np.nanmax(np.abs(values - centre)))
    reach = (farthest or 1.0) if reach is None else arguments.number("reach", reach, above=0, most=LARGEST)
    if farthest > reach * (1 + 1e-9):
        raise ValueError(f"A cell lies {farthest:.3g} from {centre:g}, farther than the reach of {reach:g}.")
    return {"cmap": DIVERGING, "vmin": centre - reach, "vmax": centre + reach}


def _write(ax, values: np.ndarray, picture) -> None:
    """Numbers in black or white, whichever can be read on the cell's colour."""
    alike = _alike(values[~np.isnan(values)])
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            ax.text(column, row, "-", ha="center", va="center", fontsize=10, color="black")
            continue
        red, green, blue, _ = picture.cmap(picture.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = f"{value:{alike}}"
        ax.text(column, row, text, ha="center", va="center", fontsize=10, color="white" if dark else "black")


def _alike(known: np.ndarray) -> str:
    """One way to write all cells, so that they compare at a glance: two decimals, or as many as the largest cell needs.

    A cell far below the largest then reads 0.00, and never -0.00; the colours do not tell it from nothing either.
    """
    largest = np.abs(known).max()
    if np.equal(np.mod(known, 1), 0).all() and largest < 1e6:
        return "z.0f"
    if not 1e-3 <= largest < 1e4:  # a row of digits
        return "z.2g"
    return f"z.{max(2, 1 - math.floor(math.log10(largest)))}f"

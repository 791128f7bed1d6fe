"""Matrices side by side on one colour scale: before and after, ours and theirs."""

from collections.abc import Sequence

import torch

from sslcourse.plot.matrix import around, as_cells
from sslcourse.plot.style import FEWER, check_words, fitting, named, new_figure, styled


@styled
def heat_maps(
    matrices: dict[str, torch.Tensor],
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    label: str = "",
    xlabel: str = "",
    ylabel: str = "",
    title: str | None = None,
    centre: float | None = None,
):
    """Matrices of equal shape in a row, one colour bar named `label` for all; each name is written above its matrix.

    matrices: {name: (R, C)}, cells that are NaN are left white. rows, columns: names along the left and the lower edge,
    the same for all matrices. centre: a value that means no change, pale between two colours that run equally far to
    both sides. Raises ValueError for matrices that do not fit, infinite values and nothing but NaN.
    """
    check_words(label=label, xlabel=xlabel, ylabel=ylabel, title=title)
    matrices = named("matrices", matrices, '{"before": matrix}')
    values = {name: as_cells(repr(name), matrix) for name, matrix in matrices.items()}
    shapes = {name: tuple(matrix.shape) for name, matrix in values.items()}
    if len(set(shapes.values())) != 1 or len(shape := next(iter(shapes.values()))) != 2 or 0 in shape:
        raise ValueError(f"Heat maps take matrices (rows, columns), one or more, all of one shape; got {shapes}.")
    height, width = shape
    rows, columns = (
        None if names is None else fitting(what, names, apart=False, letters=True, most=FEWER)
        for what, names in (("rows", rows), ("columns", columns))
    )
    for names, size, what in ((rows, height, "rows"), (columns, width, "columns")):
        if names is not None and len(names) != size:
            raise ValueError(f"There are {len(names)} names for {size} {what}; give one each.")

    # One scale for all: a colour must mean the same number left and right.
    known = torch.cat([matrix[~matrix.isnan()] for matrix in values.values()])
    low, high = known.min().item(), known.max().item()
    colours = {"vmin": low, "vmax": high} | around(known.numpy(), centre, None)
    across = len(values) if len(values) <= 3 else 2  # four in a row would be too small to read
    down = -(-len(values) // across)
    # Many names need room, and letters no larger than a cell.
    side = 6.2 if max(height * (rows is not None), width * (columns is not None)) > 16 else 4.4
    letters = min(12.0, 72 * 0.7 * side / max(height, width)) if side > 4.4 else 12.0
    figure = new_figure(side * across + 1.2, (4.4 if side == 4.4 else 5.0) * down)  # upright names need height
    axes = figure.subplots(down, across, squeeze=False)
    for place, (ax, (name, matrix)) in enumerate(zip(axes.flat, values.items(), strict=False)):
        picture = ax.imshow(matrix.numpy(), **colours)
        ax.set(xticks=[], yticks=[], xlabel=xlabel, ylabel=ylabel, title=name)
        ax.tick_params(length=0, labelsize=letters)
        if rows is not None and place % across == 0:  # said once, on the left
            ax.set_yticks(range(height), [str(row) for row in rows])
        if columns is not None:
            ax.set_xticks(range(width), [str(column) for column in columns], rotation=90 if width > 8 else 0)
    for ax in axes.flat[len(values) :]:
        ax.set_visible(False)
    figure.colorbar(picture, ax=axes, label=label)
    if title:
        figure.suptitle(title)
    figure.draw_without_rendering()  # names of rows and columns find their size in a first layout, all else in a second
    return figure

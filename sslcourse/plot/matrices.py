"""Matrices side by side on one colour scale: before and after, ours and theirs."""

import torch

from sslcourse.plot.style import new_figure, styled


@styled
def heat_maps(
    matrices: dict[str, torch.Tensor], label: str = "", xlabel: str = "", ylabel: str = "", title: str | None = None
):
    """Matrices of equal shape in a row, one colour bar named `label` for all; each name is written above its matrix."""
    values = {name: torch.as_tensor(matrix).detach().cpu().double() for name, matrix in matrices.items()}
    shapes = {name: tuple(matrix.shape) for name, matrix in values.items()}
    if not shapes or len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 2:
        raise ValueError(f"Heat maps take matrices (rows, columns), one or more, all of one shape; got {shapes}.")

    # One scale for all: a colour must mean the same number left and right.
    low = min(matrix.min().item() for matrix in values.values())
    high = max(matrix.max().item() for matrix in values.values())
    figure = new_figure(4.4 * len(values) + 1.2, 4.4)
    axes = figure.subplots(1, len(values), squeeze=False)[0]
    for ax, (name, matrix) in zip(axes, values.items(), strict=True):
        picture = ax.imshow(matrix.numpy(), vmin=low, vmax=high)
        ax.set(xticks=[], yticks=[], xlabel=xlabel, ylabel=ylabel, title=name)
    figure.colorbar(picture, ax=list(axes), label=label)
    if title:
        figure.suptitle(title)
    return figure

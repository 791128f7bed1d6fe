"""Points in the plane as they are: latent spaces of two dimensions, or two directions of larger ones."""

from sslcourse import arguments
from sslcourse.plot.style import COLOUR_MAP, check_size, check_words, named, new_figure, styled


@styled
def scatter(
    panels, colours, label: str = "", cyclic: bool = False, columns: int | None = None, title: str | None = None
):
    """Clouds of the same points, one panel each with axes of its own; the colour says which point is which.

    panels: {name: points (N, 2)}; colours: a number for each point (N,), drawn with a colour bar named `label`; cyclic:
    for angles, whose ends are the same colour. columns: panels in a row, all of them by default.
    """
    check_words(label=label, title=title)
    cyclic = arguments.flag("cyclic", cyclic)
    columns = None if columns is None else arguments.whole("columns", columns, 1)
    panels = named("panels", panels, '{"seed 0": points}')
    clouds = {
        name: arguments.tensor(repr(name), points, "points (N, 2)").detach().cpu() for name, points in panels.items()
    }
    values = arguments.tensor("colours", colours, "a number for each point (N,)").detach().cpu()
    if any(part.is_complex() or not part.isfinite().all() for part in (*clouds.values(), values)):
        raise ValueError("Some points or colours are no finite numbers, and would be missing from the figure.")
    clouds, values = {name: points.double() for name, points in clouds.items()}, values.double()
    check_size("The points or colours", *clouds.values(), values)
    if not clouds:
        raise ValueError('There is nothing to draw: give at least one cloud, such as {"seed 0": points}.')
    for name, points in clouds.items():
        if values.dim() != 1 or not len(values) or points.shape != (len(values), 2):
            raise ValueError(
                f"{name!r} has shape {tuple(points.shape)} with colours of shape {tuple(values.shape)}; expected "
                "(N, 2) and (N,)."
            )
    columns = columns or len(clouds)
    rows = -(-len(clouds) // columns)
    figure = new_figure(2.7 * columns + 1.3, 2.9 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax, (name, points) in zip(axes, clouds.items(), strict=False):
        drawn = ax.scatter(*points.T, c=values, s=9, cmap="twilight_shifted" if cyclic else COLOUR_MAP, linewidths=0)
        ax.axhline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
        ax.axvline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
        ax.set(title=name, aspect="equal")
        ax.set_adjustable("datalim")
        ax.locator_params(nbins=4)
    for ax in axes[len(clouds) :]:
        ax.set_axis_off()
    figure.colorbar(drawn, ax=list(axes), label=label)
    if title:
        figure.suptitle(title)
    return figure

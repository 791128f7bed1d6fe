"""Numbers against numbers: training curves, and recorded sweeps with the student's own point drawn in."""

import itertools
import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import torch

from sslcourse import arguments
from sslcourse.plot.style import (
    COLOURS,
    GREY,
    LEVELS,
    check_levels,
    check_size,
    check_words,
    draw_levels,
    fitting,
    height,
    legend,
    look,
    named,
    new_figure,
    styled,
    two_lines,
)

_BESIDE = 13  # points from a recorded point to the star of one's own run
_EDGE = 5  # pixels between a legend and what is beside it


@styled
def curves(
    series: dict[str, Sequence],
    x: Sequence | None = None,
    levels: dict[str, float] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str | None = None,
    bands: dict[str, Sequence] | None = None,
    log_x: bool = False,
    known: Sequence[str] = (),
):
    """Lines, one for each entry of `series`.

    x: the common horizontal positions, 1, 2, 3, ... if not given (epochs). levels: known values, {"chance": 0.1}.
    bands: half-widths around the lines of these names, such as one standard deviation. known: names of series that are
    no result but known beforehand, such as the diagonal of guessing: dashed and grey, as levels are.
    """
    series = named("series", series, '{"loss": [2.3, 1.9]}')
    if bands is not None:
        bands = named("bands", bands, '{"loss": [0.1, 0.1]}')
    log_x = arguments.flag("log_x", log_x)
    figure = new_figure(8, 4.2)
    ax = figure.subplots()
    if not series:
        raise ValueError('There is nothing to draw: give at least one series, such as {"loss": [2.3, 1.9]}.')
    if unknown := set(bands or {}) - set(series):
        raise ValueError(f"There are bands for {sorted(unknown)}, which are no series; the series are {list(series)}.")
    known = fitting("known", known, apart=False, letters=True)
    if unknown := [name for name in known if name not in series]:
        raise ValueError(f"known has {unknown[0]!r}, which is no series; the series are {list(series)}.")
    for n, (name, values) in enumerate(series.items()):
        values = _numbers(name, values)
        across = np.arange(1, len(values) + 1) if x is None else _numbers("x", x)
        if np.isnan(across).any():
            raise ValueError("x holds NaN, which is no position: leave these values out.")
        if len(across) != len(values):
            raise ValueError(f"{name!r} has {len(values)} values for {len(across)} positions in x; give one for each.")
        colour, marker = look(n)
        if name in known:
            ax.plot(across, values, color=GREY, linestyle="--", linewidth=1.3, zorder=LEVELS, label=legend(name))
        else:
            dots = np.isfinite(values)
            if len(values) > 30:  # no dots, but for a value between two gaps, which has no line
                beside = np.concatenate([[False], dots, [False]])
                dots &= ~beside[:-2] & ~beside[2:]
            marker, line = marker if dots.any() else None, "-" if n < len(COLOURS) else ":"
            style = {"marker": marker, "markevery": dots, "linestyle": line}
            ax.plot(across, values, color=colour, label=legend(name), **style)
        if bands and name in bands:
            half = _numbers(name, bands[name])
            if len(half) != len(values) or not (half >= 0).all():
                raise ValueError(f"The band of {name!r} should hold {len(values)} half-widths from 0 on.")
            ax.fill_between(across, values - half, values + half, color=colour, alpha=0.2, linewidth=0)
    if log_x:
        _powers(ax, across)
    elif all(float(place).is_integer() for place in across):  # epochs, layers: no ticks between them
        ax.xaxis.get_major_locator().set_params(integer=True)
        if len(across) == 1:  # a training that was cut in its first epoch
            beside = max(1, 0.05 * abs(across[0]))
            ax.set_xlim(across[0] - beside, across[0] + beside)
    return _finish(figure, ax, levels, xlabel, ylabel, title, legend=len(series) > 1)


@styled
def sweep(
    recorded,
    xlabel: str = "",
    ylabel: str = "",
    levels: dict[str, float] | None = None,
    log_x: bool = False,
    title: str | None = None,
):
    """A recorded sweep: mean and sample deviation over the recorded seeds, your own points as stars to their right.

    recorded: what check.sweep returns, or {"name": sweep, ...} to compare several over the same points. The points are
    numbers, or names ("no crop"), which are drawn in their order without a line between them.
    """
    from matplotlib.transforms import ScaledTranslation

    log_x = arguments.flag("log_x", log_x)
    several = named("recorded", recorded, '{"name": sweep}') if isinstance(recorded, Mapping) else {"it": recorded}
    several = {name: _read(one) for name, one in several.items()}
    if not several:
        raise ValueError("There is no sweep to draw.")
    first = next(iter(several.values()))
    if other := [name for name, one in several.items() if one.points != first.points]:
        raise ValueError(f"The sweep {other[0]!r} has other points than the first; give sweeps over equal points.")

    # Own points may lie beside the recorded ones.
    points = list(dict.fromkeys([*first.points, *(point for one in several.values() for point in one.own)]))
    words = any(isinstance(point, str) for point in points)
    positions = {point: n if words else point for n, point in enumerate(points)}
    figure = new_figure(8, 4.4)
    ax = figure.subplots()
    stars = {"marker": "*", "markersize": 18, "markeredgecolor": "black", "linestyle": "none", "zorder": 5}
    own_stars = []
    for n, (name, one) in enumerate(several.items()):
        (colour, marker), known = look(n), np.isfinite(one.mean).any()
        if known:  # a sweep that was never recorded comes with NaN
            style = {"linestyle": "none" if words else "-", "marker": marker, "capsize": 4}
            label = None if len(several) == 1 else legend(name)
            ax.errorbar([positions[p] for p in one.points], one.mean, yerr=one.std, color=colour, label=label, **style)
        if one.own:
            # Among several, the colour tells whose star it is; where no curve carries the colour, the star is named.
            label = "yours" if len(several) == 1 else None if known else f"yours: {name}"
            (line,) = ax.plot(
                [positions[p] for p in one.own], list(one.own.values()), color=colour, label=label, **stars
            )
            if known:
                own_stars.append(line)
    if len(several) > 1 and any(one.own and np.isfinite(one.mean).any() for one in several.values()):
        ax.plot([], [], color="white", label="yours", **stars)

    if words:
        ax.set_xticks(list(positions.values()), [two_lines(str(point)) for point in positions])
        ax.set_xlim(-0.5, len(positions) - 0.5)
    elif log_x and points:
        _powers(ax, np.asarray(points, dtype=float))
    elif all(float(point).is_integer() for point in points):  # counts: no ticks between them
        ax.xaxis.get_major_locator().set_params(integer=True)
    # A star over the recorded point would hide it, error bar and all; limits are those of the true places.
    beside = ScaledTranslation(_BESIDE / 72, 0, figure.dpi_scale_trans)
    for line in own_stars:
        line.set_transform(ax.transData + beside)
    # Where the numbers come from (date, scale, seeds) is said under the title: in a legend it would cover error bars.
    check_words(title=title)
    title = f"{title}\n{first.label}" if title else first.label
    return _finish(figure, ax, levels, xlabel, ylabel, title, legend=bool(ax.get_legend_handles_labels()[0]))


def _read(one) -> SimpleNamespace:
    """What check.sweep returned as lists of numbers and {point: number}; TypeError or ValueError for anything else."""
    if not all(hasattr(one, part) for part in ("points", "mean", "std", "own", "label")):
        found = arguments.shown(one)
        raise TypeError(f"recorded is {found}; it should be what check.sweep returns, or a dict of such.")
    own = arguments.mapping("own of a sweep", one.own, "{0.5: 0.31}")
    points, beside = arguments.several("points of a sweep", one.points), list(own)
    if not points:
        raise ValueError("There is a sweep without points; there is nothing to draw.")
    for names in (points, beside):
        fitting("the points of a sweep", names)
        for point in (name for name in names if not isinstance(name, str)):
            height("A point of a sweep", point)
    values = {}
    for what in ("mean", "std"):
        found = arguments.tensor(f"{what} of a sweep", getattr(one, what), "a number for each point")
        if found.shape != (len(points),) or found.is_complex() or found.dtype == torch.bool or found.isinf().any():
            raise ValueError(f"{what} of a sweep should hold a number for each of its {len(points)} points.")
        values[what] = found.detach().cpu().double().numpy()
        check_size(f"{what} of a sweep", values[what])
    if (values["std"] < 0).any():
        raise ValueError("A deviation of a sweep is below 0; no spread is.")
    own = {point: arguments.real(f"The value of {point!r}", value) for point, value in own.items()}
    if any(np.isinf(value) for value in own.values()):
        raise ValueError("A value of this run's own is infinite, which has no place.")
    check_size("own of a sweep", *own.values())
    return SimpleNamespace(points=points, own=own, label=arguments.text("label of a sweep", one.label), **values)


def _finish(figure, ax, levels, xlabel, ylabel, title, legend):
    check_words(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.grid(True, axis="y")
    draw_levels(ax, check_levels(levels))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if title:
        ax.set_title(title)
    if legend:
        _name_lines(figure, ax)
    return figure


def _name_lines(figure, ax) -> None:
    """A legend inside the axes while it is short and covers no line there; otherwise it stands below them.

    So does one that names a star: inside the axes it would be read as a result.
    """
    handles, names = ax.get_legend_handles_labels()
    if len(names) <= 4 and not any(name.startswith("yours") for name in names):
        inside = ax.legend()
        figure.draw_without_rendering()
        if not _covered(inside.get_window_extent(), _paths(ax, above=LEVELS)):
            _off_levels(ax, inside)
            return
        inside.remove()
    figure.set_figheight(figure.get_figheight() + 0.3 * -(-len(names) // 3))
    figure.legend(handles, names, loc="outside lower center", ncols=3)


def _off_levels(ax, legend) -> None:
    """Move a legend that interrupts a level to the nearest place where it covers nothing, if there is one.

    Levels run through all of the axes, so that matplotlib's nine places may all lie on one.
    """
    box, axes, paths = legend.get_window_extent(), ax.get_window_extent(), _paths(ax)
    if not _covered(box, paths):
        return
    paths += [path.transformed(band.get_transform()) for band in ax.collections for path in band.get_paths()]
    x, y = box.x0 - axes.x0, box.y0 - axes.y0
    places = itertools.product(*(np.linspace(_EDGE, room - _EDGE, 30) for room in axes.size - box.size))
    for right, up in sorted(places, key=lambda place: math.dist(place, (x, y))):
        if not _covered(box.translated(right - x, up - y).padded(_EDGE), paths):
            legend.set_loc((right / axes.width, up / axes.height))
            return


def _paths(ax, above: float = 0) -> list:
    """Lines, stars and error bars as they lie on the page; above=LEVELS: results alone."""
    paths = [line.get_path().transformed(line.get_transform()) for line in ax.lines if line.get_zorder() > above]
    for bars in (part for part in ax.collections if hasattr(part, "get_segments")):
        paths += [path.transformed(bars.get_transform()) for path in bars.get_paths()]
    return paths


def _covered(box, paths: list) -> bool:
    return any(path.intersects_bbox(box, filled=False) or box.count_contains(path.vertices) for path in paths)


def _powers(ax, positions: np.ndarray) -> None:
    """A logarithmic axis that names the values which were tried, not the powers of ten between them."""
    if (positions <= 0).any():
        raise ValueError("A logarithmic axis takes positive positions only; leave log_x out.")
    if max(abs(np.log10(positions))) > 250:
        raise ValueError("A logarithmic axis ends at 1e-250 and 1e250; give positions in another unit.")
    ax.set_xscale("log")
    ax.set_xticks(positions, [f"{position:g}" for position in positions])
    ax.minorticks_off()


def _numbers(name: str, values: Sequence) -> np.ndarray:
    given, values = values, values if hasattr(values, "ndim") else arguments.listed(values)
    if values is None:
        raise TypeError(f"{name!r} is {arguments.shown(given)}; it should be a list of numbers.")
    array = arguments.tensor(repr(name), values, "a list of numbers").detach().cpu()
    if array.dim() != 1 or array.is_complex() or array.dtype == torch.bool:
        raise ValueError(f"{name!r} has shape {tuple(array.shape)}, {array.dtype}; it should be a list of numbers.")
    array = array.double().numpy()
    if not len(array):
        raise ValueError(f"{name!r} is empty; there is nothing to draw.")
    if np.isinf(array).any() or np.isnan(array).all():  # a NaN leaves a gap
        raise ValueError(f"{name!r} holds infinite values, or none that is a number, which have no place.")
    check_size(repr(name), array)
    return array

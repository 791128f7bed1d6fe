"""Results side by side, with the interval that their test sample allows."""

from sslcourse import arguments
from sslcourse.plot.style import (
    BLUE,
    COLOURS,
    check_levels,
    check_words,
    draw_levels,
    height,
    named,
    new_figure,
    styled,
    two_lines,
    written,
)


@styled
def bars(
    values: dict[str, float],
    intervals: dict[str, tuple[float, float]] | None = None,
    levels: dict[str, float] | None = None,
    ylabel: str = "",
    title: str | None = None,
):
    """One bar for each name, its value written above it.

    intervals: (low, high) for some or all of the names, e.g. evaluate.wilson_interval, drawn as whiskers.
    levels: known values as dashed lines, such as {"chance": 0.1}.
    """
    values = named("values", values, '{"raw pixels": 0.22}')
    check_words(ylabel=ylabel, title=title)
    values = {name: height(f"The value of {name!r}", value) for name, value in values.items()}
    if intervals is not None:
        intervals = named("intervals", intervals, '{"raw pixels": (0.2, 0.24)}')
    levels = check_levels(levels)
    if not values:
        raise ValueError('There is nothing to draw: give at least one value, such as {"raw pixels": 0.22}.')
    if unknown := set(intervals or {}) - set(values):
        raise ValueError(f"There are intervals for {sorted(unknown)}, which have no bar; the bars are {list(values)}.")
    intervals = {name: ends_of(name, ends, values[name]) for name, ends in (intervals or {}).items()}
    figure = new_figure(max(6.0, 1.35 * len(values) + 1.5), 4.4)
    ax = figure.subplots()
    for n, (name, value) in enumerate(values.items()):
        low, high = intervals.get(name, (value, value))
        ax.bar(n, value, width=0.65, color=BLUE if len(values) > len(COLOURS) else COLOURS[n])
        if name in intervals:
            ax.errorbar(n, value, yerr=[[value - low], [high - value]], color="black", capsize=6, linewidth=1.5)
        ax.annotate(written(value), (n, max(high, 0)), (0, 5), textcoords="offset points", ha="center", va="bottom")
    ax.margins(y=0.12)
    ax.set_xticks(range(len(values)), [two_lines(name) for name in values])
    ax.tick_params(axis="x", length=0)
    ax.grid(True, axis="y")
    draw_levels(ax, levels)
    ax.set_ylabel(ylabel)
    if title:
        ax.set_title(title)
    return figure


def ends_of(name: str, ends, value: float) -> tuple[float, float]:
    """(low, high) as numbers, of anything with two entries, such as evaluate.wilson_interval returns; ValueError where
    the value is not between them."""
    if hasattr(ends, "tolist"):
        ends = arguments.tensor(f"The interval of {name!r}", ends, "a pair, such as (0.2, 0.24)").tolist()
    ends = arguments.pair(f"The interval of {name!r}", ends, "(0.2, 0.24)")
    low, high = (height(f"An end of the interval of {name!r}", end) for end in ends)
    if not low <= value <= high:
        raise ValueError(f"The interval of {name!r}, ({low:g}, {high:g}), does not hold its value {value:g}.")
    return low, high

"""Several encoders before several judges: bars grouped by the judge, coloured by the encoder."""

from sslcourse.plot.bars import ends_of
from sslcourse.plot.style import (
    COLOURS,
    check_levels,
    check_words,
    draw_levels,
    height,
    legend,
    named,
    new_figure,
    styled,
    two_lines,
    written,
)

_WIDE = 0.8  # of a bar, whose neighbours are 1 apart; groups stand one bar apart


@styled
def grouped_bars(
    groups: dict[str, dict[str, float]],
    intervals: dict[str, dict[str, tuple[float, float]]] | None = None,
    levels: dict[str, float] | None = None,
    ylabel: str = "",
    title: str | None = None,
):
    """A bar for each {judge: {encoder: value}}, its value above it: one colour an encoder, named once in the legend.

    intervals: {judge: {encoder: (low, high)}} for some or all, drawn as whiskers; levels: known values as dashed lines.
    A judge need not have every encoder. At most ten encoders, since there are ten colours.
    """
    example = '{"linear probe": {"random": 0.2, "SimCLR": 0.8}}'
    groups = named("groups", groups, example)
    groups = {judge: _group(judge, group, '{"random": 0.2}') for judge, group in groups.items()}
    check_words(ylabel=ylabel, title=title)
    values = {
        judge: {name: height(f"The value of {name!r}", value) for name, value in group.items()}
        for judge, group in groups.items()
    }
    if not any(values.values()):
        raise ValueError(f"There is nothing to draw: give at least one group, such as {example}.")
    whiskers = _intervals(intervals, values)
    levels = check_levels(levels)
    encoders = list(dict.fromkeys(name for group in values.values() for name in group))
    if len(encoders) > len(COLOURS):
        raise ValueError(f"There are {len(encoders)} encoders for {len(COLOURS)} colours; draw fewer at a time.")

    count = sum(len(group) for group in values.values()) + len(values)
    figure = new_figure(max(6.0, 0.8 * count + 1.5), 4.6)
    ax = figure.subplots()
    place, middles = 0, []
    for judge, group in values.items():
        for name, value in group.items():
            low, high = whiskers.get((judge, name), (value, value))
            label = legend(name) if legend(name) not in ax.get_legend_handles_labels()[1] else None
            ax.bar(place, value, width=_WIDE, color=COLOURS[encoders.index(name)], label=label)
            if (judge, name) in whiskers:
                ax.errorbar(place, value, yerr=[[value - low], [high - value]], color="black", capsize=5, linewidth=1.5)
            above = (place, max(high, 0))
            ax.annotate(written(value), above, (0, 4), textcoords="offset points", ha="center", va="bottom")
            place += 1
        middles.append(place - (len(group) + 1) / 2)
        place += 1
    ax.margins(y=0.12)
    ax.set_xticks(middles, [two_lines(judge) for judge in values])
    ax.tick_params(axis="x", length=0)
    ax.grid(True, axis="y")
    draw_levels(ax, levels)
    ax.set_ylabel(ylabel)
    handles, names = ax.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)))
    if title:
        ax.set_title(title)
    return figure


def _group(judge: str, group, example: str) -> dict:
    return named(f"the group {judge!r}", group, example)


def _intervals(intervals, values: dict) -> dict[tuple[str, str], tuple[float, float]]:
    """{(judge, encoder): (low, high)}; ValueError for one without a bar, or that does not hold its value."""
    if intervals is None:
        return {}
    found = {}
    for judge, group in named("intervals", intervals, '{"probe": {"random": (0.15, 0.25)}}').items():
        for name, ends in _group(judge, group, '{"random": (0.15, 0.25)}').items():
            if name not in values.get(judge, {}):
                raise ValueError(f"There is an interval for {name!r} in {judge!r}, which has no such bar.")
            found[judge, name] = ends_of(name, ends, values[judge][name])
    return found

"""One look for all figures: colours that colour-blind readers can tell apart, fonts that the last row can read.

References: Okabe and Ito 2008, "Color Universal Design: how to make figures and presentations that are friendly to
colourblind people" (the first eight colours); Tol 2021, "Colour schemes" (the last two, for data sets of ten classes).
"""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from sslcourse import arguments

# Ordered so that neighbours in a legend differ in lightness too: the figures survive a grey printer.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, YELLOW, GREY = "#56B4E9", "#D55E00", "#F0E442", "#595959"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, YELLOW, "#000000", "#332288", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
COLOUR_MAP = "cividis"
DIVERGING = "PuOr"  # two sides of a value that means nothing, told apart by colour-blind eyes and in grey alike

DPI = 80  # an executed notebook has to stay under 600 KB
RIGHT, WRONG = BLUE, VERMILION
LEVELS = 1.5  # zorder of what is known beforehand: above the grid, below every result

_STYLE = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "text.parse_math": False,  # "$5 and $6" is no formula
    "axes.titlesize": 13,
    "figure.titlesize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,  # a dashed level behind the names does not strike them out
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "image.cmap": COLOUR_MAP,
    "image.interpolation": "nearest",  # 32 pixels are 32 pixels: smoothing would invent detail
}
LARGEST = 1e300  # that is drawn: an axis is wider than its numbers, and a number for that should be left
LETTERS, FEWER = 60, 40  # of a name, or of one beside a matrix, in one line: longer ones leave no room for the rest
SIDE = 200  # inches


def styled(draw: Callable) -> Callable:
    """Draw in the style of the course without touching the settings of whoever calls."""

    @functools.wraps(draw)
    def wrapped(*args, **kwargs):
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapped


def new_figure(width: float, height: float):
    """An empty Figure, in inches. Made without pyplot: nothing is left open, no window appears, any backend will do."""
    from matplotlib.figure import Figure

    if max(width, height) > SIDE:
        raise ValueError(
            f"A figure of {width:,.0f} x {height:,.0f} inches has no page; draw fewer at a time, up to {SIDE} inches."
        )
    return Figure(figsize=(width, height))


def height(name: str, value: object) -> float:
    """A finite number that has a place on an axis."""
    value = arguments.number(name, value)
    check_size(name, value)
    return value


def check_size(name: str, *values: object) -> None:
    """Raises ValueError for numbers (or tensors, or arrays, NaN aside) so large that an axis with a margin has none."""
    for value in values:
        if bool((abs(value) > LARGEST).any() if hasattr(value, "shape") else abs(value) > LARGEST):
            raise ValueError(f"{name} holds numbers beyond {LARGEST:g}, which no axis can show; divide by a number.")


def check_levels(levels: dict[str, float] | None) -> dict[str, float]:
    """Levels as finite numbers, {} for none."""
    if levels is None:
        return {}
    levels = named("levels", levels, '{"chance": 0.1}')
    if len(levels) > 10:
        raise ValueError(f"There are {len(levels)} levels; at most 10 have room for their names.")
    return {name: height(f"The level {name!r}", value) for name, value in levels.items()}


def named(what: str, given: Mapping, example: str) -> dict[str, object]:
    """A dict whose keys, of whatever kind, can be written into a figure, as texts; what: its name, for messages."""
    given = arguments.mapping(what, given, example)
    return dict(zip(fitting(what, [str(name) for name in given]), given.values(), strict=True))


def fitting(what: str, names: Collection, apart: bool = True, letters: bool = False, most: int = LETTERS) -> list[str]:
    """Names of parts of a figure as texts, each of which leaves room for its part; apart: and tells it from others.

    letters: one text stands for its letters.
    """
    names = [str(name) for name in arguments.several(what, names, letters)]
    if long := [name for name in names if max(map(len, name.split("\n"))) > most]:
        found = f"{arguments.shown(long[0])} in {what} has {len(long[0])} letters"
        raise ValueError(f"{found}; {most} have room in a line.")
    if apart and not all(name.strip() for name in names):
        raise ValueError(f"A name in {what} is empty; nobody could tell what is drawn.")
    if apart and (twice := [name for name, count in Counter(names).items() if count > 1]):
        raise ValueError(f"Two names in {what} read {twice[0]!r}; give each its own.")
    return names


def legend(name: str) -> str:
    """A name for a legend, which leaves out those that begin with a low line: behind a mark of no width it is none."""
    return f"\N{WORD JOINER}{name}" if name.startswith("_") else name


def check_words(**words: str | None) -> None:
    for name, value in words.items():
        arguments.text(name, value, optional=name == "title")


def draw_levels(ax, levels: dict[str, float] | None) -> None:
    """Known values (chance, collapse, a baseline) as dashed horizontal lines, named at the right-hand margin."""
    if not levels:
        return
    for value in levels.values():
        ax.axhline(value, color=GREY, linestyle="--", linewidth=1.3, zorder=LEVELS)

    # Two levels may nearly coincide: their names are pushed apart, the lines are not.
    low, high = ax.get_ylim()
    gap, lowest = 0.07 * (high - low), low
    for name, value in sorted(levels.items(), key=lambda item: item[1]):
        lowest = max(value, lowest)
        ax.annotate(
            name, (1.01, lowest), xycoords=ax.get_yaxis_transform(), color=GREY, va="center", ha="left", fontsize=11
        )
        lowest += gap


def look(n: int) -> tuple[str, str]:
    """Colour and marker of the n-th of several: from the eleventh on the colours return, with other markers."""
    return COLOURS[n % len(COLOURS)], MARKERS[(n + n // len(COLOURS)) % len(MARKERS)]


def written(value: float) -> str:
    """A number above a bar: two decimals, or two digits where these would show 0.00 or a row of digits."""
    return f"{value:.2f}" if value == 0 or 0.005 <= abs(value) < 1e4 else f"{value:.2g}"


def two_lines(name: object) -> str:
    """A name that fits below a bar or a point: a long one is broken at the blank nearest to its middle."""
    name = str(name)
    blanks = [n for n, letter in enumerate(name) if letter == " "]
    if len(name) <= 12 or not blanks:
        return name
    middle = min(blanks, key=lambda n: abs(n - len(name) / 2))
    return name[:middle] + "\n" + name[middle + 1 :]

"""Boxes and arrows: what every schematic is made of. Positions are inches from the lower left corner of the canvas.

    figure, axes = canvas(7, 2)
    boxes(axes, {"image": (1, 1, "image $x$"), "view": (5, 1, "view $v$")})
    arrows(axes, [("image", "view", "augment")])

A box is as large as its text asks for, and arrows run from edge to edge, so that a schematic is written in positions
and words alone. Sizes of letters are given here rather than taken from the settings of whoever draws.
"""

from sslcourse import arguments
from sslcourse.plot.style import BLUE, GREY, new_figure, styled

_LETTERS, _LABELS, _MARGIN = 12, 11, 0.09  # points, points, inches between text and edge


@styled
def canvas(width: float, height: float):
    """(figure, axes): an empty sheet of so many inches, whose coordinates are inches."""
    width, height = arguments.number("width", width, above=0), arguments.number("height", height, above=0)
    figure = new_figure(width, height)
    figure.set_layout_engine("none")  # the one sheet fills the figure, there is nothing to lay out
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def boxes(axes, named: dict[str, tuple[float, float, str]], colour: str = BLUE, filled: bool = True) -> None:
    """A rounded box for each name: (x, y, text), centred at x and y; text may have several lines and formulas.

    colour: of its edge, and very light of its inside where it is filled. Names are for `arrows`, and must be new.
    """
    from matplotlib.patches import FancyBboxPatch

    for name, place in arguments.mapping("named", named, '{"image": (1, 1, "image x")}').items():
        if not isinstance(place, tuple) or len(place) != 3:
            raise TypeError(f"The box {name!r} is {arguments.shown(place)}; it should be (x, y, text).")
        if name in _drawn(axes):
            raise ValueError(f"There are two boxes named {name!r}; give each its own name.")
        x, y, words = place
        text = axes.text(x, y, words, ha="center", va="center", fontsize=_LETTERS, linespacing=1.3, zorder=4)
        extent = text.get_window_extent()
        width, height = extent.width / axes.figure.dpi, extent.height / axes.figure.dpi
        corner = (x - width / 2 - _MARGIN, y - height / 2 - _MARGIN)
        patch = FancyBboxPatch(
            corner,
            width + 2 * _MARGIN,
            height + 2 * _MARGIN,
            boxstyle="round,pad=0,rounding_size=0.07",
            edgecolor=colour,
            facecolor=(colour, 0.12) if filled else "white",
            linewidth=1.5,
            zorder=3,
            gid=name,
        )
        axes.add_patch(patch)


def arrows(
    axes, pairs: list[tuple[str, str, str]], bend: float = 0.0, colour: str = GREY, dashed: bool = False
) -> None:
    """An arrow for each (from, to, label), names of boxes that are drawn already; an empty label for none.

    bend: how far all of them swing to the right of their direction, as a share of their length; negative to the left.
    dashed: by custom for what carries no gradient.
    """
    from matplotlib.patches import FancyArrowPatch

    known = _drawn(axes)
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 3:
            raise TypeError(f"An arrow is {arguments.shown(pair)}; it should be (from, to, label).")
        if unknown := [name for name in pair[:2] if name not in known]:
            raise ValueError(f"An arrow joins {unknown[0]!r}, which is no box; the boxes are {list(known)}.")
        start, end, label = known[pair[0]], known[pair[1]], pair[2]
        (x0, y0), (x1, y1) = _centre(start), _centre(end)
        arrow = FancyArrowPatch(
            (x0, y0),
            (x1, y1),
            patchA=start,
            patchB=end,
            shrinkA=2,
            shrinkB=2,
            arrowstyle="-|>",
            mutation_scale=14,
            connectionstyle=f"arc3,rad={bend}",
            color=colour,
            linestyle=(0, (4, 2)) if dashed else "-",
            linewidth=1.5,
            zorder=2,
        )
        axes.add_patch(arrow)
        if label:
            _name(axes, _middle(start, end, bend), label, steep=abs(y1 - y0) > abs(x1 - x0), colour=colour)


def _drawn(axes) -> dict:
    """The boxes on this sheet by name."""
    return {patch.get_gid(): patch for patch in axes.patches if patch.get_gid() is not None}


def _centre(box) -> tuple[float, float]:
    return box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2


def _middle(start, end, bend: float) -> tuple[float, float]:
    """Halfway along what is seen of an arrow: between the edges, not between the centres of its boxes."""
    (x0, y0), (x1, y1) = _centre(start), _centre(end)
    dx, dy = x1 - x0, y1 - y0

    def inside(box) -> float:  # the share of the way that lies within this box
        shares = [half / abs(d) for half, d in ((box.get_width() / 2, dx), (box.get_height() / 2, dy)) if d]
        return min([*shares, 1.0])

    share = (1 + inside(start) - inside(end)) / 2
    return x0 + share * dx + bend / 2 * dy, y0 + share * dy - bend / 2 * dx


def _name(axes, place: tuple[float, float], label: str, steep: bool, colour: str) -> None:
    """Beside a steep arrow, above a flat one; on white, where it has to cross another line."""
    axes.annotate(
        label,
        place,
        (6, 0) if steep else (0, 4),
        textcoords="offset points",
        ha="left" if steep else "center",
        va="center" if steep else "bottom",
        fontsize=_LABELS,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        zorder=5,
    )

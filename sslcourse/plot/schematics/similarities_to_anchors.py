"""Week 11: two networks that never met, compared by similarities to the same anchors."""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREEN, ORANGE


def similarities_to_anchors():
    """One sample and the common anchors through two networks: other coordinates, equal cosines, one head for both."""
    figure, axes = canvas(11.5, 3.6)
    boxes(axes, {"sample": (1.0, 1.8, "a sample $x$,\nanchors\n$x_1, \\dots, x_A$")}, filled=False)
    boxes(
        axes,
        {
            "one": (3.6, 2.7, "network 1"),
            "features": (5.7, 2.7, "$h$ and $a_1, \\dots, a_A$"),
            "relative": (8.4, 2.7, "$\\cos(h, a_1), \\dots$"),
        },
    )
    boxes(
        axes,
        {
            "two": (3.6, 0.9, "network 2"),
            "others": (5.7, 0.9, "$h' = s\\, Q h$ and $a'$"),
            "same": (8.4, 0.9, "$\\cos(h', a'_1), \\dots$"),
        },
        colour=ORANGE,
    )
    boxes(axes, {"head": (10.6, 1.8, "one head\nfor both")}, colour=GREEN, filled=False)
    arrows(axes, [("sample", "one", ""), ("sample", "two", ""), ("one", "features", ""), ("two", "others", "")])
    arrows(axes, [("features", "relative", ""), ("others", "same", ""), ("relative", "head", ""), ("same", "head", "")])
    return figure

"""Week 2: rotation prediction. An image turned by a number that one knows, a network asked for the number.

Reference: Gidaris et al. 2018, figure 2.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREEN, GREY, ORANGE


def four_rotations():
    """A Figure: image, its four rotations, shared backbone, head of four scores; the features that are kept."""
    figure, axes = canvas(8.4, 3.6)
    middle, heights = 2.0, (3.2, 2.4, 1.6, 0.8)
    boxes(axes, {"x": (0.6, middle, "image\n$x$")}, colour=GREY)
    boxes(axes, {f"r{k}": (2.5, height, f"$R_{k} x$, {90 * k}°") for k, height in enumerate(heights)})
    boxes(axes, {"h": (4.75, middle, "features\n$h = f(R_k x)$")}, colour=GREEN)
    boxes(axes, {"k": (7.2, middle, "four scores:\nwhich $k$?")}, colour=ORANGE)
    arrows(axes, [("x", f"r{k}", "") for k in range(4)])
    arrows(axes, [(f"r{k}", "h", "") for k in range(4)])
    arrows(axes, [("h", "k", "$W, b$")])
    for x, words, colour in (
        (2.5, "the label is the turn", GREY),
        (4.75, "kept: probe, all layers", GREEN),
        (7.2, "thrown away", ORANGE),
    ):
        axes.text(x, 0.2, words, ha="center", fontsize=11, color=colour)
    return figure

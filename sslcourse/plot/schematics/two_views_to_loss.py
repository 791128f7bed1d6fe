"""Week 4: SimCLR, from one image by two views to the loss; where features are taken, and what is thrown away.

Reference: Chen et al. 2020, figure 2.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREEN, GREY, ORANGE


def two_views_to_loss():
    """A Figure: image, two random views, shared encoder and head, similarity of all 2N projections, loss."""
    figure, axes = canvas(8.4, 3.1)
    above, below, middle = 2.35, 0.95, 1.65
    boxes(axes, {"x": (0.65, middle, "image\n$x$")}, colour=GREY)
    boxes(axes, {"v0": (2.15, above, "view 0\n$v_0$"), "v1": (2.15, below, "view 1\n$v_1$")})
    boxes(axes, {"h0": (3.95, above, "features\n$h_0$"), "h1": (3.95, below, "features\n$h_1$")}, colour=GREEN)
    boxes(axes, {"z0": (5.75, above, "projection\n$z_0$"), "z1": (5.75, below, "projection\n$z_1$")}, colour=ORANGE)
    boxes(axes, {"loss": (7.55, middle, "who in the\nbatch shows\nthe same?")}, colour=GREY, filled=False)
    arrows(axes, [("x", "v0", "$t$"), ("x", "v1", "$t'$")])
    arrows(axes, [("v0", "h0", "$f$"), ("v1", "h1", "$f$"), ("h0", "z0", "$g$"), ("h1", "z1", "$g$")])
    arrows(axes, [("z0", "loss", ""), ("z1", "loss", "")])
    for x, words, colour in (
        (2.15, "two random draws", GREY),
        (3.95, "kept: probe, neighbours", GREEN),
        (5.75, "for the loss alone", ORANGE),
    ):
        axes.text(x, 0.22, words, ha="center", fontsize=11, color=colour)
    axes.text(3.95, middle, "one encoder $f$", ha="center", va="center", fontsize=11, color=GREY)
    axes.text(5.75, middle, "one head $g$", ha="center", va="center", fontsize=11, color=GREY)
    return figure

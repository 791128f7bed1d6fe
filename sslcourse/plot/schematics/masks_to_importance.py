"""Bonus: RELAX, from one image by many masks to the importance of its pixels and the spread of that importance.

Reference: Wickstrøm et al. 2023, figure 2.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import BLUE, GREEN, GREY, ORANGE


def masks_to_importance():
    """A Figure: image and masked copies, one encoder, similarities, and two numbers for each pixel."""
    figure, axes = canvas(8.6, 2.8)
    above, below, middle = 2.05, 0.75, 1.4
    boxes(axes, {"x": (0.6, middle, "image\n$x$")}, colour=GREY)
    boxes(axes, {"masked": (2.3, above, "masked copies\n$x \\odot M_n$")}, colour=BLUE)
    boxes(axes, {"hn": (4.05, above, "features\n$h_n$"), "h": (4.05, below, "features\n$h$")}, colour=GREEN)
    boxes(axes, {"s": (5.6, middle, "similarity\n$s_n$")}, colour=GREY)
    boxes(axes, {"r": (7.5, above, "mean of $s_n$:\nimportance")}, colour=ORANGE)
    boxes(axes, {"u": (7.5, below, "variance of $s_n$:\nuncertainty")}, colour=ORANGE)
    arrows(axes, [("x", "masked", ""), ("masked", "hn", "$f$"), ("x", "h", "$f$")])
    arrows(axes, [("hn", "s", ""), ("h", "s", ""), ("s", "r", ""), ("s", "u", "")])
    axes.text(7.3, 2.62, "over masks showing the pixel", ha="center", va="center", fontsize=11, color=GREY)
    return figure

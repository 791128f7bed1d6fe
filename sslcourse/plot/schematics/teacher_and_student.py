"""Week 7: DINO, from one image by crops to the answers of student and teacher; where gradients flow, and where not.

Reference: Caron et al. 2021, figure 2.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import BLUE, GREEN, GREY, ORANGE


def teacher_and_student():
    """A Figure: image, two crops, student and teacher, their softmaxes, the loss; the moving average between them."""
    figure, axes = canvas(9.2, 3.1)
    above, below, middle = 2.4, 0.75, 1.57
    boxes(axes, {"x": (0.65, middle, "image\n$x$")}, colour=GREY)
    boxes(axes, {"any": (2.2, above, "any crop\n$x_j$"), "global": (2.2, below, "global crop\n$x_i$")}, colour=GREY)
    boxes(axes, {"student": (4.1, above, "student\n$g_s$")}, colour=BLUE)
    boxes(axes, {"teacher": (4.1, below, "teacher\n$g_t$")}, colour=ORANGE)
    boxes(axes, {"ps": (6.3, above, "softmax\n" r"$g_s / \tau_s$")}, colour=BLUE)
    boxes(axes, {"pt": (6.3, below, "softmax\n" r"$(g_t - c) / \tau_t$")}, colour=ORANGE)
    boxes(axes, {"loss": (8.4, middle, "cross-\nentropy")}, colour=GREEN)
    arrows(axes, [("x", "any", ""), ("x", "global", ""), ("any", "student", ""), ("student", "ps", "")])
    arrows(axes, [("ps", "loss", "$p_s$")], colour=BLUE)
    arrows(
        axes, [("global", "teacher", ""), ("teacher", "pt", ""), ("pt", "loss", "$p_t$")], colour=ORANGE, dashed=True
    )
    arrows(axes, [("student", "teacher", "moving average")], colour=ORANGE, dashed=True)
    axes.text(4.1, 0.12, "dashed: no gradient", ha="center", fontsize=11, color=GREY)
    axes.text(6.85, 0.12, "centring and sharpening", ha="center", fontsize=11, color=ORANGE)
    return figure

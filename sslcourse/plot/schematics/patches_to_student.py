"""Week 6: a vision transformer from patches to logits, and a fixed teacher that answers for the very same view.

References: Dosovitskiy et al. 2021, figure 1; Hinton et al. 2015; Beyer et al. 2022, figure 1.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREEN, GREY, ORANGE


def patches_to_student():
    """A Figure: one view into the transformer and into the teacher, their logits into the loss."""
    figure, axes = canvas(8.4, 2.9)
    above, below, middle = 2.1, 0.75, 1.42
    boxes(axes, {"x": (0.72, middle, "one view\nof an image")}, colour=GREY)
    boxes(axes, {"patches": (2.4, above, "patches,\none token each")})
    boxes(axes, {"blocks": (4.25, above, "blocks: attention,\nperceptron")}, colour=GREEN)
    boxes(axes, {"s": (6.05, above, "class token:\nlogits $s$")}, colour=GREEN)
    boxes(axes, {"teacher": (3.4, below, "convolutions,\nin eval mode")}, colour=ORANGE)
    boxes(axes, {"t": (6.05, below, "teacher's\nlogits $t$")}, colour=ORANGE)
    boxes(axes, {"loss": (7.65, middle, "loss")}, colour=GREY, filled=False)
    arrows(axes, [("x", "patches", ""), ("patches", "blocks", ""), ("blocks", "s", ""), ("s", "loss", "")])
    arrows(axes, [("x", "teacher", ""), ("teacher", "t", ""), ("t", "loss", "")], dashed=True)
    axes.text(2.4, 2.62, "+ positions", ha="center", va="center", fontsize=11, color=GREY)
    axes.text(6.05, 0.18, "dashed: no gradient", ha="center", va="center", fontsize=11, color=GREY)
    axes.text(7.65, 1.0, "and labels,\nif there are any", ha="center", va="center", fontsize=11, color=GREY)
    return figure

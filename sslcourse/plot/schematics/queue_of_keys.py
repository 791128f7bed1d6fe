"""Week 5: MoCo, one query against its own key and the queue; who follows whom, and where no gradient flows.

Reference: He et al. 2020, figures 1 and 2.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREEN, GREY, ORANGE


def queue_of_keys():
    """A Figure: image, two views, query and key encoder, query and key, the queue of earlier keys, and the loss."""
    figure, axes = canvas(9.2, 3.7)
    above, below, middle = 3.05, 1.45, 2.25
    boxes(axes, {"x": (0.6, middle, "image\n$x$")}, colour=GREY)
    boxes(axes, {"v0": (2.0, above, "view 0"), "v1": (2.0, below, "view 1")})
    boxes(axes, {"query": (3.85, above, "query encoder\n$\\theta_q$")}, colour=GREEN)
    boxes(axes, {"key": (3.85, below, "key encoder\n$\\theta_k$")}, colour=ORANGE)
    boxes(axes, {"q": (5.65, above, "$q$"), "k": (5.65, below, "$k^+$")})
    boxes(axes, {"queue": (5.65, 0.4, "queue: the last $K$ keys")}, colour=GREY)
    boxes(axes, {"loss": (8.2, middle, "which of $K + 1$\nkeys is mine?")}, colour=GREY, filled=False)
    arrows(axes, [("x", "v0", ""), ("x", "v1", ""), ("v0", "query", ""), ("query", "q", ""), ("q", "loss", "")])
    arrows(axes, [("v1", "key", ""), ("key", "k", ""), ("k", "loss", "")], dashed=True)
    arrows(axes, [("queue", "loss", "")], bend=0.35, dashed=True)
    arrows(axes, [("query", "key", "moving average")], colour=ORANGE, dashed=True)
    arrows(axes, [("k", "queue", "after the step")], dashed=True)
    axes.text(1.6, 0.4, "dashed: no gradient", ha="center", va="center", fontsize=11, color=GREY)
    return figure

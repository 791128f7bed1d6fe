"""Week 9: an image tower and a text tower, and the table of all pairs in a batch."""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREEN, ORANGE


def two_towers():
    """Images and captions, each through its own tower to vectors of length 1; every pair is compared."""
    figure, axes = canvas(11.5, 3.6)
    boxes(
        axes,
        {
            "images": (0.8, 2.7, "$N$ images"),
            "tower": (2.9, 2.7, "image tower\nfeatures $h$"),
            "head": (5.2, 2.7, "projection\n$z_i$, length 1"),
        },
    )
    boxes(
        axes,
        {
            "captions": (0.8, 0.9, "$N$ captions"),
            "reader": (2.9, 0.9, "text tower"),
            "words": (5.2, 0.9, "projection\n$t_j$, length 1"),
        },
        colour=ORANGE,
    )
    boxes(
        axes,
        {
            "table": (7.9, 1.8, "$N \\times N$ logits\n$s\\, z_i \\cdot t_j$"),
            "loss": (10.3, 1.8, "cross-entropy\nof rows and columns,\nright: the diagonal"),
        },
        colour=GREEN,
        filled=False,
    )
    arrows(axes, [("images", "tower", ""), ("tower", "head", ""), ("captions", "reader", ""), ("reader", "words", "")])
    arrows(axes, [("head", "table", ""), ("words", "table", ""), ("table", "loss", "")])
    return figure

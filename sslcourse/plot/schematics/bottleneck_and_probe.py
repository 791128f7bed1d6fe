"""Week 1: an autoencoder copies an image through a few numbers; a linear probe asks what these numbers know.

References: Hinton and Salakhutdinov 2006; Alain and Bengio 2017.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREEN, GREY, ORANGE


def bottleneck_and_probe():
    """A Figure: image, encoder, code, decoder, reconstruction and its error; below, the frozen code and its probe."""
    figure, axes = canvas(8.4, 3.2)
    above, below = 2.4, 0.75
    boxes(axes, {"x": (0.7, above, "image $x$\nmany pixels")}, colour=GREY)
    boxes(axes, {"h": (3.1, above, "code $h$\nfew numbers")}, colour=GREEN)
    boxes(axes, {"copy": (5.5, above, "copy $\\hat x$\nas many pixels")})
    boxes(axes, {"error": (7.6, above, "error\n$|x - \\hat x|^2$")}, colour=GREY, filled=False)
    boxes(axes, {"probe": (3.1, below, "linear probe\n$W h + b$")}, colour=ORANGE)
    boxes(axes, {"class": (5.5, below, "class?")}, colour=GREY, filled=False)
    arrows(axes, [("x", "h", "encoder $f$"), ("h", "copy", "decoder $g$"), ("copy", "error", "")])
    arrows(axes, [("h", "probe", "afterwards, $f$ frozen")], dashed=True)
    arrows(axes, [("probe", "class", "")])
    axes.text(7.6, above - 0.75, "training:\nno label is needed", ha="center", va="center", fontsize=11, color=GREY)
    axes.text(7.6, below, "afterwards:\nlabels judge $h$", ha="center", va="center", fontsize=11, color=GREY)
    return figure

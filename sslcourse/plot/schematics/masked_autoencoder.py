"""Week 8: a masked autoencoder, from patches to predictions; what the encoder sees, and what the loss sees.

Reference: He et al. 2022, figure 1.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import BLUE, GREEN, GREY, ORANGE


def masked_autoencoder():
    """A Figure: patches, the visible ones through the encoder, mask tokens beside them, the decoder, the loss."""
    figure, axes = canvas(9.4, 3.0)
    above, below, middle = 2.3, 0.8, 1.55
    boxes(axes, {"x": (0.75, middle, "patches\nof an image")}, colour=GREY)
    boxes(axes, {"seen": (2.6, above, "visible\npatches $V$")}, colour=BLUE)
    boxes(axes, {"hidden": (2.6, below, "masked\npatches $M$")}, colour=GREY, filled=False)
    boxes(axes, {"encoder": (4.45, above, "encoder\n$f$")}, colour=GREEN)
    boxes(axes, {"decoder": (6.4, above, "decoder\n$g$")}, colour=ORANGE)
    boxes(axes, {"token": (4.45, 1.3, "mask tokens")}, colour=ORANGE, filled=False)
    boxes(axes, {"loss": (8.35, middle, "squared error\nof masked\npatches")}, colour=GREY, filled=False)
    arrows(axes, [("x", "seen", ""), ("x", "hidden", ""), ("seen", "encoder", ""), ("encoder", "decoder", "")])
    arrows(axes, [("token", "decoder", ""), ("decoder", "loss", r"$\hat x$")])
    arrows(axes, [("hidden", "loss", "target $t$")], dashed=True)
    axes.text(4.45, 2.75, "kept", ha="center", fontsize=11, color=GREEN)
    axes.text(6.4, 2.75, "thrown away", ha="center", fontsize=11, color=ORANGE)
    return figure

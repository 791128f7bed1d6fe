"""Week 12: what is read off a protein language model, contacts from its attention and effects from its probabilities.

References: Rao et al. 2021, section 3; Meier et al. 2021, equation 1.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import BLUE, GREEN, GREY, ORANGE


def contact_from_attention():
    """A Figure: sequence, transformer, and two ways out, attention to contacts and probabilities to effects."""
    figure, axes = canvas(8.6, 2.9)
    above, below, middle = 2.1, 0.8, 1.45
    boxes(axes, {"x": (0.7, middle, "sequence\n$x$")}, colour=GREY)
    boxes(axes, {"net": (2.3, middle, "transformer")}, colour=BLUE)
    boxes(axes, {"maps": (4.1, above, "attention\nof all heads")}, colour=GREEN)
    boxes(axes, {"features": (5.95, above, "cut, symmetrise,\ncorrect")}, colour=GREEN)
    boxes(axes, {"contacts": (7.75, above, "regression:\ncontacts")}, colour=GREY, filled=False)
    boxes(axes, {"p": (4.6, below, "probabilities at a\nmasked residue")}, colour=ORANGE)
    boxes(axes, {"effect": (7.35, below, "$\\ln p$(mutant)\n$-\\,\\ln p$(wild type)")}, colour=GREY, filled=False)
    arrows(axes, [("x", "net", ""), ("net", "maps", ""), ("net", "p", "")])
    arrows(axes, [("maps", "features", ""), ("features", "contacts", ""), ("p", "effect", "")])
    axes.text(5.95, 2.72, "who looks at whom", ha="center", va="center", fontsize=11, color=GREEN)
    axes.text(4.6, 0.2, "what would fit here", ha="center", va="center", fontsize=11, color=ORANGE)
    return figure

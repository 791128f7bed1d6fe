"""Bonus on JEPA: two parts of one image, and three things to predict of the second from the first.

References: Assran et al. 2023, figure 2; LeCun 2022, "A path towards autonomous machine intelligence", figure 12.
"""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import BLUE, GREEN, GREY, ORANGE


def three_predictions():
    """A Figure of three rows: reconstruction of b, agreement of features, prediction of features at a place."""
    figure, axes = canvas(8.4, 4.3)
    rows = {"pixels": 3.4, "joint": 2.05, "jepa": 0.7}
    names = ("reconstruction (weeks 1, 3, 8)", "joint embedding (weeks 4, 5, 7)", "prediction of features: JEPA")
    for (row, y), name in zip(rows.items(), names, strict=True):
        axes.text(0.15, y + 0.52, name, ha="left", va="center", fontsize=12, color=BLUE)
        boxes(axes, {f"a {row}": (0.5, y, "$a$"), f"b {row}": (7.9, y, "$b$")}, colour=GREY)
        boxes(axes, {f"f(a) {row}": (2.0, y, "$f(a)$")}, colour=GREEN)
        boxes(axes, {f"loss {row}": (5.7, y, "alike?")}, colour=GREY, filled=False)
        arrows(axes, [(f"a {row}", f"f(a) {row}", "$f$")])
    for row in ("joint", "jepa"):
        boxes(axes, {f"f(b) {row}": (6.85, rows[row], "$f(b)$")}, colour=GREEN)
        arrows(axes, [(f"b {row}", f"f(b) {row}", ""), (f"f(b) {row}", f"loss {row}", "")])
    boxes(axes, {"guess pixels": (4.3, rows["pixels"], "guess of\n$b$")}, colour=ORANGE)
    boxes(axes, {"guess jepa": (4.3, rows["jepa"], "guess of\n$f(b)$")}, colour=ORANGE)
    arrows(axes, [("f(a) pixels", "guess pixels", "decoder"), ("f(a) jepa", "guess jepa", "$g$, told where")])
    arrows(axes, [("guess pixels", "loss pixels", ""), ("guess jepa", "loss jepa", "")])
    arrows(axes, [("b pixels", "loss pixels", ""), ("f(a) joint", "loss joint", "")])
    return figure

"""Week 10: from points to their intrinsic dimension, by the distances to two neighbours."""

from sslcourse.plot.schematics.draw import arrows, boxes, canvas
from sslcourse.plot.style import GREY, ORANGE


def two_neighbours():
    """A point, the shells of its two nearest neighbours, and what becomes of the two distances."""
    from matplotlib.patches import Circle

    figure, axes = canvas(11.5, 2.6)
    x, y, near, far = 1.4, 1.3, 0.55, 0.95
    for radius in (near, far):
        axes.add_patch(Circle((x, y), radius, fill=False, linestyle="--", edgecolor=GREY, linewidth=1.3))
    points = [(x, y), (x + near, y), (x - 0.47 * far, y - 0.883 * far), (x + 0.75, y + 0.95), (0.25, 2.2), (2.6, 0.3)]
    axes.plot(*zip(*points, strict=True), "o", color=ORANGE, markersize=7)
    axes.plot([x, x + near], [y, y], color=GREY, linewidth=1.3)
    axes.plot([x, points[2][0]], [y, points[2][1]], color=GREY, linewidth=1.3)
    axes.text(x + near / 2, y + 0.06, "$r_1$", ha="center", va="bottom", fontsize=12)
    axes.text(x - 0.16, y - 0.66, "$r_2$", ha="left", va="center", fontsize=12)
    boxes(
        axes,
        {
            "points": (3.6, 1.3, "every point:\n$r_1 \\leq r_2$"),
            "ratios": (5.8, 1.3, "ratios\n$\\mu = r_2 / r_1$"),
            "law": (8.0, 1.3, "$F(\\mu) = 1 - \\mu^{-d}$\nno density in it"),
            "slope": (10.4, 1.3, "slope of\n$-\\log(1 - F)$ on\n$\\log \\mu$ is $d$"),
        },
    )
    arrows(axes, [("points", "ratios", ""), ("ratios", "law", ""), ("law", "slope", "")])
    return figure

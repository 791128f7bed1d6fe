"""Figures of the course. Each function returns a matplotlib Figure; `show` displays it with an alternative text.

Every function draws numbers that are handed to it and computes nothing else (the t-SNE of `embedding` and `plane`
apart), so what a figure shows can also be printed. matplotlib and scikit-learn are imported when the first figure is
drawn.
"""

from sslcourse.plot.attention import attention
from sslcourse.plot.bars import bars
from sslcourse.plot.embedding import clouds, embedding, plane
from sslcourse.plot.grouped import grouped_bars
from sslcourse.plot.images import image_grid, neighbours, panels
from sslcourse.plot.lines import curves, sweep
from sslcourse.plot.matrices import heat_maps
from sslcourse.plot.matrix import heat_map
from sslcourse.plot.overlays import overlays
from sslcourse.plot.scatter import scatter
from sslcourse.plot.show import show

__all__ = [
    "attention",
    "bars",
    "clouds",
    "curves",
    "embedding",
    "grouped_bars",
    "heat_map",
    "heat_maps",
    "image_grid",
    "neighbours",
    "overlays",
    "panels",
    "plane",
    "scatter",
    "show",
    "sweep",
]

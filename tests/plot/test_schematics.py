"""Schematics: every one stays on its sheet, its boxes and words cover nothing, and arrows join boxes that exist."""

import importlib
import itertools
import pkgutil

import pytest
from matplotlib.figure import Figure

from sslcourse.plot import schematics
from sslcourse.plot.schematics.draw import arrows, boxes, canvas

NAMES = [module.name for module in pkgutil.iter_modules(schematics.__path__) if module.name != "draw"]


@pytest.mark.parametrize("name", NAMES)
def test_every_schematic_is_drawn_within_its_sheet_and_legibly(name):
    figure = getattr(importlib.import_module(f"sslcourse.plot.schematics.{name}"), name)()
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    (axes,) = figure.axes
    sheet, drawn = figure.bbox, [patch for patch in axes.patches if patch.get_gid()]
    assert drawn, "no box was drawn"
    for artist in [*drawn, *axes.texts]:
        extent = artist.get_window_extent()
        assert sheet.x0 <= extent.x0 and extent.x1 <= sheet.x1, artist
        assert sheet.y0 <= extent.y0 and extent.y1 <= sheet.y1, artist
    for one, other in itertools.combinations([text.get_window_extent() for text in axes.texts], 2):
        assert not one.overlaps(other), (one, other)
    for one, other in itertools.combinations(drawn, 2):
        assert not one.get_window_extent().overlaps(other.get_window_extent()), (one.get_gid(), other.get_gid())


def test_an_arrow_ends_at_the_edges_of_its_boxes_and_its_label_halfway():
    figure, axes = canvas(8, 2)
    boxes(axes, {"small": (1, 1, "x"), "large": (6, 1, "a rather long\ntext in here")})
    arrows(axes, [("small", "large", "f")])
    figure.canvas.draw()
    small, large, arrow = axes.patches
    path = arrow.get_path().vertices[:-1, 0]  # the last one only closes the head
    assert small.get_x() + small.get_width() <= path.min() < small.get_x() + small.get_width() + 0.1
    assert large.get_x() - 0.1 < path.max() <= large.get_x()
    label = axes.texts[-1]
    assert label.xy[0] == pytest.approx((small.get_x() + small.get_width() + large.get_x()) / 2, abs=0.01)


def test_what_cannot_be_drawn_is_said():
    _, axes = canvas(4, 2)
    boxes(axes, {"a": (1, 1, "a")})
    with pytest.raises(ValueError, match="'b', which is no box; the boxes are \\['a'\\]"):
        arrows(axes, [("a", "b", "")])
    with pytest.raises(ValueError, match="two boxes named 'a'"):
        boxes(axes, {"a": (2, 1, "again")})
    with pytest.raises(TypeError, match="should be \\(x, y, text\\)"):
        boxes(axes, {"c": (2, 1)})
    with pytest.raises(TypeError, match="should be \\(from, to, label\\)"):
        arrows(axes, [("a", "a")])
    with pytest.raises(ValueError, match="width"):
        canvas(0, 2)

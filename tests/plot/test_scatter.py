"""Clouds of points in panels: the same colour for the same point in each, odd shapes refused."""

import pytest
import torch

from sslcourse import plot


def test_every_panel_shows_the_same_colours():
    angle = torch.linspace(0, 6, 20)
    ring = torch.stack([angle.cos(), angle.sin()], dim=1)
    figure = plot.scatter({"a": ring, "b": -ring, "c": 2 * ring}, angle, label="angle", cyclic=True, columns=2)
    a, b, c, unused, bar = figure.axes
    assert [ax.get_title() for ax in (a, b, c)] == ["a", "b", "c"] and not unused.axison
    assert (a.collections[0].get_array() == c.collections[0].get_array()).all()
    assert bar.get_ylabel() == "angle"


@pytest.mark.parametrize("panels", [{}, {"a": torch.rand(5, 3)}, {"a": torch.rand(4, 2)}])
def test_shapes_that_do_not_fit_are_refused(panels):
    with pytest.raises(ValueError, match="nothing to draw|expected"):
        plot.scatter(panels, torch.rand(5))

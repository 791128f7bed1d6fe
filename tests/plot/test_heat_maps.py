"""Matrices side by side: one colour scale for all, names above, odd shapes refused."""

import pytest
import torch

from sslcourse import plot


def test_all_matrices_share_one_colour_scale():
    before, after = torch.full((3, 4), 0.9), torch.linspace(-0.5, 0.5, 12).reshape(3, 4)
    figure = plot.heat_maps({"before": before, "after": after}, label="cosine", xlabel="view 1", ylabel="view 0")
    left, right, bar = figure.axes
    assert [left.get_title(), right.get_title()] == ["before", "after"]
    assert left.images[0].get_clim() == right.images[0].get_clim() == pytest.approx((-0.5, 0.9))
    assert torch.equal(torch.tensor(right.images[0].get_array()).float(), after)
    assert bar.get_ylabel() == "cosine"


@pytest.mark.parametrize("matrices", [{}, {"a": torch.rand(2, 2), "b": torch.rand(3, 3)}, {"a": torch.rand(4)}])
def test_shapes_that_do_not_fit_are_refused(matrices):
    with pytest.raises(ValueError, match="all of one shape"):
        plot.heat_maps(matrices)

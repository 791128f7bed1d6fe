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


def test_a_scale_with_a_centre_runs_equally_far_to_both_sides():
    areas = torch.tensor([[0.5, 0.9], [0.45, torch.nan]])
    for reach, wanted in ((None, (0.1, 0.9)), (0.5, (0.0, 1.0))):
        (picture,) = plot.heat_map(areas, label="AUROC", centre=0.5, reach=reach).axes[0].images
        assert picture.get_clim() == pytest.approx(wanted)
        red, green, blue, _ = picture.to_rgba(0.5)
        assert min(red, green, blue) > 0.9  # guessing is pale, whatever else is in the map
    assert plot.heat_map(torch.full((2, 2), 0.5), centre=0.5).axes[0].images[0].get_clim() == (-0.5, 1.5)


def test_a_centre_and_a_reach_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="reach and no centre"):
        plot.heat_map(torch.rand(2, 2), reach=0.5)
    with pytest.raises(ValueError, match="farther than the reach"):
        plot.heat_map(torch.tensor([[0.5, 0.9]]), centre=0.5, reach=0.3)

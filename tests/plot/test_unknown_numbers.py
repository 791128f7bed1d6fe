"""What is no number is left out where one can see it, or refused: never a blank figure, never a missing point."""

import math

import pytest
import torch

from sslcourse import plot, train


def test_a_cell_that_is_nan_leaves_the_others_their_colours():
    one = torch.arange(6.0).view(2, 3)
    hole = one.clone()
    hole[1, 2] = math.nan
    figure = plot.heat_maps({"whole": one, "with a hole": hole})
    scales = [ax.images[0].get_clim() for ax in figure.axes[:2]]
    assert scales == [(0, 5), (0, 5)]
    drawn = plot.heat_map(hole).axes[0]
    assert drawn.images[0].get_clim() == (0, 4)
    assert [text.get_text() for text in drawn.texts] == ["0", "1", "2", "3", "4", "-"]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
@pytest.mark.parametrize("draw", [plot.heat_map, lambda m: plot.heat_maps({"a": m})])
def test_endless_cells_and_nothing_but_nan_are_refused(draw, value):
    endless = torch.ones(2, 2)
    endless[0, 0] = value
    for matrix in (endless, torch.full((2, 2), math.nan)):
        with pytest.raises(ValueError, match="there is no colour for them"):
            draw(matrix)


def test_no_point_of_a_map_is_lost():
    x = torch.randn(12, 3)
    for labels in (torch.tensor([0, 0.5, 1] * 4), torch.tensor([0, 1, math.nan] * 4)):
        with pytest.raises(ValueError, match="whole numbers; points of other ones would be missing"):
            plot.embedding(x, labels, ["a", "b"])
    figure = plot.embedding(x.double() * 1e200, torch.arange(12) % 3, ["a", "b", "c"])
    assert sum(len(cloud.get_offsets()) for cloud in figure.axes[0].collections) == 12
    for points, colours in ((x[:, :2] / 0, x[:, 0]), (x[:, :2], x[:, 0].log())):
        with pytest.raises(ValueError, match="would be missing from the figure"):
            plot.scatter({"a": points}, colours)


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.8,), 0.8, ("a", "b"), (0.8, math.nan), (0.8, 0.3), (-0.1, 0.5)])
def test_shares_of_masking_are_two_parts_of_one(shares):
    with pytest.raises((ValueError, TypeError), match="shares"):
        train.mask_residues(torch.full((4, 9), 5), shares)


def test_masking_makes_as_much_random_as_is_asked_for():
    ids = torch.full((400, 200), 5)
    inputs, labels = train.mask_residues(ids, (0.8, 0.1), 0.5, torch.Generator().manual_seed(0))
    chosen = labels != -100
    random = (inputs[chosen] != 5) & (inputs[chosen] != 32)
    assert random.float().mean().item() == pytest.approx(0.1 * 19 / 20, abs=0.005)  # one in twenty is what it was


def test_a_value_between_two_gaps_has_a_dot_and_long_lines_have_no_others():
    values = torch.arange(50.0)
    values[[10, 12]] = math.nan
    line, other = plot.curves({"with gaps": values, "whole": torch.ones(50)}).axes[0].lines[:2]
    assert line.get_markevery().nonzero()[0].tolist() == [11] and line.get_marker() != "None"
    assert other.get_marker() == "None"
    short = plot.curves({"short": [1.0, math.nan, 3.0]}).axes[0].lines[0]
    assert short.get_markevery().nonzero()[0].tolist() == [0, 2]

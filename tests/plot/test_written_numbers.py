"""What is written above a bar or in a cell is the number; who differs looks different; any name will do."""

import pytest
import torch

from sslcourse import plot


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0.00"),
        (0.25, "0.25"),
        (-0.5, "-0.50"),
        (123.456, "123.46"),
        (0.0049, "0.0049"),
        (1e-5, "1e-05"),
        (-2e-30, "-2e-30"),
        (3e30, "3e+30"),
        (12345.0, "1.2e+04"),
    ],
)
def test_a_number_is_not_written_as_nothing_nor_as_a_row_of_digits(value, said):
    assert texts(plot.bars({"a": value})) == [said]
    assert texts(plot.grouped_bars({"judge": {"a": value}})) == [said]
    if not value.is_integer():  # whole numbers are written as such
        assert texts(plot.heat_map([[value, value]])) == [said, said]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([0.53, -4.4e-5, 0.01, 0.0022], ["0.53", "0.00", "0.01", "0.00"]),
        ([0.0, -0.125, 1.0], ["0.00", "-0.12", "1.00"]),
        ([0.05, -0.0004, 0.012], ["0.050", "0.000", "0.012"]),
        ([123.456, 0.5], ["123.46", "0.50"]),
        ([12345.5, -1e-5], ["1.2e+04", "-1e-05"]),
        ([-0.0, 3.0], ["0", "3"]),
    ],
)
def test_the_cells_of_one_map_are_written_alike(cells, said):
    """-4.4e-05 beside 0.01 was read as the larger; and nothing is written as less than nothing."""
    assert texts(plot.heat_map([cells])) == said


def test_whole_numbers_in_cells():
    assert texts(plot.heat_map([[1, 20], [99999, 0]])) == ["1", "20", "99999", "0"]
    assert texts(plot.heat_map([[1e30, 2e30]])) == ["1e+30", "2e+30"]


@pytest.mark.parametrize("name", [0, True, 2.5, None, (1, 2), "_hidden"])
def test_a_name_of_any_kind(name):
    figure = plot.bars({name: 0.5})
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == [str(name)]
    plot.grouped_bars({name: {"a": 0.5}})


def test_twelve_classes_are_twelve_looks():
    clouds = (
        plot.clouds({"a": torch.rand(24, 2)}, torch.arange(24) % 12, [str(n) for n in range(12)]).axes[0].collections
    )
    looks = {(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in clouds}
    assert len(clouds) == len(looks) == 12
    for length in (5, 40):
        lines = plot.curves({str(n): torch.rand(length) for n in range(14)}).axes[0].lines
        assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) == 14


@pytest.mark.parametrize("draw", ["overlays", "attention"])
def test_complex_numbers_have_no_colour(draw):
    images = torch.rand(2, 3, 4, 4)
    with pytest.raises(TypeError, match="complex"):
        if draw == "overlays":
            plot.overlays(images, {"a": torch.ones(2, 4, 4) * 1j})
        else:
            plot.attention(images, torch.ones(2, 2, 4) * 1j)

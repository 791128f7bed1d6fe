"""Names in figures: drawn as they are written, in legends too, with room for what they name; or one sentence."""

import io
import warnings

import pytest
import torch

from sslcourse import plot
from sslcourse.check.sweep import Sweep

PICTURES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
POINTS = torch.rand(8, 2, generator=torch.Generator().manual_seed(1))
SWEEP = Sweep("s", (1.0, 2.0), (0.5, 0.6), (0.1, 0.1), "recorded", {1.0: 0.4})
KEYED = {  # a figure with a name in each place that a dict or a list of names has
    "bars": lambda name: plot.bars({name: 0.5, "b": 0.2}, {name: (0.4, 0.6)}, levels={name: 0.4}),
    "grouped_bars": lambda name: plot.grouped_bars({name: {"a": 0.5, name: 0.2}}, levels={name: 0.4}),
    "curves": lambda name: plot.curves({name: [1, 2], "b": [2, 1]}, levels={name: 1.5}, bands={name: [0.1, 0.1]}),
    "sweep": lambda name: plot.sweep({name: SWEEP, "b": SWEEP}, levels={name: 0.4}),
    "points": lambda name: plot.sweep(Sweep("s", (name, "b"), (0.5, 0.6), (0.1, 0.1), "recorded", {name: 0.4})),
    "scatter": lambda name: plot.scatter({name: POINTS, "b": POINTS}, POINTS[:, 0]),
    "clouds": lambda name: plot.clouds({name: POINTS}, [0, 1] * 4, [name, "b"]),
    "heat_maps": lambda name: plot.heat_maps({name: POINTS[:2]}, rows=[name, "b"], columns=[name, "b"]),
    "panels": lambda name: plot.panels({name: PICTURES, "b": PICTURES}),
    "overlays": lambda name: plot.overlays(PICTURES, {name: PICTURES[:, 0]}),
}


def rendered(figure) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what does not fit, matplotlib warns of
        figure.savefig(io.BytesIO(), format="png", dpi=40, bbox_inches="tight")


def legend(figure) -> list[str]:
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    return [text.get_text().lstrip("\N{WORD JOINER}") for one in legends for text in one.get_texts()]


NAMES = ["$5 and $6", "$\\frac{$", "_hidden", "fine-tuned from scratch, with four views", "two\nlines", 3, 0.5, None]
LISTED = ("points", "clouds", "heat_maps")  # where names are in lists, too: texts or numbers


@pytest.mark.parametrize(
    ("draw", "name"), [(draw, name) for draw in KEYED for name in NAMES if name is not None or draw not in LISTED]
)
def test_any_name_that_fits_is_drawn(draw, name):
    figure = KEYED[draw](name)
    rendered(figure)
    if draw in ("curves", "grouped_bars", "sweep", "clouds"):
        assert str(name) in legend(figure)
    texts = [text for text in figure.findobj(lambda part: hasattr(part, "get_parse_math")) if "$" in text.get_text()]
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize("draw", KEYED)
@pytest.mark.parametrize(
    ("name", "said"),
    [("x" * 61, "61 letters"), ("", "empty"), (" \n", "empty"), ("\ud800", "half of a character")],
)
def test_a_name_that_does_not_fit_gets_a_sentence(draw, name, said):
    with pytest.raises(ValueError, match=said):
        KEYED[draw](name)


@pytest.mark.parametrize("draw", [draw for draw in KEYED if draw != "heat_maps"])
def test_a_name_as_long_as_it_may_be(draw):
    rendered(KEYED[draw]("fine-tuned from scratch with four views and a long schedule."))


def test_names_beside_a_matrix_are_shorter():
    for draw in (plot.heat_map, lambda matrix, **names: plot.heat_maps({"a": matrix}, **names)):
        for names in ({"rows": ["x" * 41, "b"]}, {"columns": ["x" * 41, "b"]}):
            with pytest.raises(ValueError, match="41 letters; 40 have room"):
                draw(torch.rand(2, 2), **names)
    rendered(plot.heat_map(torch.rand(4, 4), rows=["from scratch, with four views of images.", *"bcd"]))


def test_two_names_that_read_alike():
    for draw in (plot.bars, lambda values: plot.grouped_bars({"probe": values})):
        with pytest.raises(ValueError, match="Two names in .* read '1'; give each its own"):
            draw({1: 0.5, "1": 0.2})
    for place in ("points", "clouds"):
        with pytest.raises(ValueError, match="Two names in .* read 'b'; give each its own"):
            KEYED[place]("b")


def test_titles_are_no_formulas():
    figure = plot.bars({"a": 0.5}, ylabel="$", title="from $5 to $6 and \\frac{$")
    rendered(figure)
    assert figure.axes[0].get_title() == "from $5 to $6 and \\frac{$"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot.bars({f"n{n}": 0.5 for n in range(300)}),
        lambda: plot.grouped_bars({f"n{n}": {"a": 0.5} for n in range(300)}),
        lambda: plot.scatter({"a": POINTS}, POINTS[:, 0], columns=10**6),
        lambda: plot.panels({"a": PICTURES[:1].expand(300, 3, 8, 8)}),
    ],
)
def test_a_figure_larger_than_any_page_gets_a_sentence(draw):
    with pytest.raises(ValueError, match="inches has no page; draw fewer at a time"):
        draw()


def test_many_levels_and_many_classes():
    with pytest.raises(ValueError, match="There are 11 levels; at most 10"):
        plot.bars({"a": 0.5}, levels={f"n{n}": 0.1 for n in range(11)})
    x = torch.rand(101, 2)
    figure = plot.clouds({"a": x[:100]}, torch.arange(100), [f"class {n}" for n in range(100)])
    rendered(figure)
    assert len(legend(figure)) == 100
    with pytest.raises(ValueError, match="There are 101 classes; 100 can be told apart"):
        plot.clouds({"a": x}, torch.arange(101), [f"class {n}" for n in range(101)])


def test_a_value_between_two_gaps_has_a_marker():
    (line,) = plot.curves({"a": [float("nan"), 1.0] * 20}).axes[0].lines
    assert line.get_marker() != "None"


def test_positions_of_any_size():
    rendered(plot.curves({"a": [1.0]}, x=[1e20]))
    rendered(plot.curves({"a": [1.0, 2.0]}, x=[1e-250, 1e250], log_x=True))
    with pytest.raises(ValueError, match="ends at 1e-250 and 1e250"):
        plot.curves({"a": [1.0, 2.0]}, x=[1.0, 1e299], log_x=True)


def test_truth_among_points_and_colours_is_0_and_1():
    truth = POINTS > 0.5
    for points, colours in ((truth, POINTS[:, 0]), (POINTS, truth[:, 0])):
        (drawn,) = plot.scatter({"a": points}, colours).axes[0].collections
        assert torch.equal(torch.tensor(drawn.get_offsets().data), points.double())
        assert torch.equal(torch.tensor(drawn.get_array().data), colours.double())

"""Matrices side by side: one colour scale for all, names above, odd shapes refused."""

import base64
import io

import numpy as np
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


def test_a_centre_is_pale_and_both_sides_reach_equally_far():
    figure = plot.heat_maps({"a": torch.tensor([[0.0, -3.0]]), "b": torch.tensor([[1.0, torch.nan]])}, centre=0.0)
    for ax in figure.axes[:2]:
        (picture,) = ax.images
        assert picture.get_clim() == (-3.0, 3.0)
        red, green, blue, _ = picture.to_rgba(0.0)
        assert min(red, green, blue) > 0.9
    assert plot.heat_maps({"a": torch.full((2, 2), 0.5)}, centre=0.5).axes[0].images[0].get_clim() == (-0.5, 1.5)
    with pytest.raises(TypeError, match="centre is 'middle'"):
        plot.heat_maps({"a": torch.rand(2, 2)}, centre="middle")


def test_many_names_are_no_larger_than_their_cells():
    figure = plot.heat_maps({"a": torch.rand(20, 32)}, rows=list("ACDEFGHIKLMNPQRSTVWY"), columns=range(1, 33))
    figure.canvas.draw()
    for labels, edge in ((figure.axes[0].get_yticklabels(), "y0"), (figure.axes[0].get_xticklabels(), "x0")):
        ends = sorted(getattr(label.get_window_extent(), edge) for label in labels)
        apart = min(b - a for a, b in zip(ends, ends[1:], strict=False))
        assert apart > figure.dpi / 72 * labels[0].get_fontsize()


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


def test_many_names_leave_room_for_the_titles_as_soon_as_they_are_saved():
    """Saved once, as a notebook does: no title lies upon another, nothing is cut off below."""
    maps = {name: torch.rand(20, 32) for name in ("true", "predicted")}
    rows, columns = list("ACDEFGHIKLMNPQRSTVWY"), [f"R{n}" for n in range(32)]
    figure = plot.heat_maps(maps, rows, columns, xlabel="residue", ylabel="becomes", title="All of them")
    figure.savefig(io.BytesIO())
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert max(box.y1 for box in boxes) < figure._suptitle.get_window_extent().y0 and min(box.y0 for box in boxes) > 0


def test_a_notebook_keeps_the_colours_of_a_bar_that_no_cell_has():
    """Chosen by how often they occur, 256 colours painted the unused end of a bar grey."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from PIL import Image

    cells = -13 * torch.rand(20, 32, generator=torch.Generator().manual_seed(0))
    maps = {"true": cells, "predicted": 0.6 * cells}
    full = io.BytesIO()
    plot.heat_maps(maps, centre=0.0).savefig(full, format="png", dpi=80, bbox_inches="tight", pad_inches=0.1)
    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            for _ in range(2):
                plot.show(plot.heat_maps(maps, centre=0.0), alt="Two maps.")
    finally:
        InteractiveShell.clear_instance()
    once, again = (base64.b64decode(output.data["image/png"]) for output in captured.outputs)
    wanted, found = (np.asarray(Image.open(io.BytesIO(x)).convert("RGB")).astype(int) for x in (full.getvalue(), once))
    assert np.abs(found - wanted).max() < 12 and once == again

"""Figures: what they hold, what they say under them, what a reader who cannot see them gets, what they refuse."""

import io
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sslcourse import notices, plot
from sslcourse.check.sweep import Sweep
from sslcourse.plot.style import RIGHT, WRONG


@pytest.fixture(autouse=True)
def no_references():
    notices.forget()
    yield
    notices.forget()


def images(n=5, channels=3, side=8, seed=0):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def recorded(name="probe", points=(1, 2, 4), own=None):
    mean = [0.2 + 0.1 * n for n in range(len(points))]
    return SimpleNamespace(
        name=name, points=list(points), mean=mean, std=[0.01] * len(points), label="recorded at tiny", own=own or {}
    )


def texts(figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}


# image_grid, panels, neighbours


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_every_image_unchanged_in_reading_order(channels):
    batch = images(5, channels)
    figure = plot.image_grid(batch, titles=list("abcde"), columns=3, title="five")
    shown = [ax for ax in figure.axes if ax.images]
    assert isinstance(figure, Figure) and [ax.get_title() for ax in shown] == list("abcde")
    for ax, image in zip(shown, batch, strict=True):
        expected = image.permute(1, 2, 0).squeeze(-1).numpy()
        np.testing.assert_allclose(ax.images[0].get_array(), expected, atol=1e-6)
    assert figure.axes[3].get_subplotspec().rowspan.start == 1
    assert "five" in texts(figure)


def test_bytes_and_floats_give_the_same_picture_and_grey_is_not_stretched():
    grey = torch.full((1, 1, 4, 4), 51, dtype=torch.uint8)
    as_bytes = plot.image_grid(grey).axes[0].images[0]
    as_floats = plot.image_grid(torch.full((1, 1, 4, 4), 0.2)).axes[0].images[0]
    np.testing.assert_allclose(as_bytes.get_array(), as_floats.get_array(), atol=1e-6)
    assert as_bytes.get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plot.image_grid(torch.rand(3, 8, 8)), r"image\[None\]"),
        (lambda: plot.image_grid(torch.rand(2, 5, 8, 8)), "one or three channels"),
        (lambda: plot.image_grid(images(0)), "N at least 1"),
        (lambda: plot.image_grid(images(2), titles=["a"]), "1 titles for 2 images"),
        (lambda: plot.image_grid(images(2), columns=0), "at least one column"),
        (lambda: plot.panels({"a": images(2), "b": images(3)}), "same number"),
        (lambda: plot.panels({}), "at least one row"),
        (lambda: plot.neighbours(images(2), images(4)), r"\(N, k, C, H, W\)"),
        (lambda: plot.neighbours(images(2), images(4)[None], correct=None), "N = 2"),
        (lambda: plot.neighbours(images(2), images(4).reshape(2, 2, 3, 8, 8), [[True], [False]]), r"\(2, 2\)"),
        (lambda: plot.curves({}), "nothing to draw"),
        (lambda: plot.curves({"loss": []}), "'loss' is empty"),
        (lambda: plot.curves({"loss": [1, 2]}, x=[1]), "2 values for 1 positions"),
        (lambda: plot.curves({"loss": [1]}, bands={"lose": [1]}), "no series"),
        (lambda: plot.curves({"loss": [1, 2]}, x=[0, 1], log_x=True), "positive"),
        (lambda: plot.sweep({}), "no sweep"),
        (lambda: plot.sweep({"a": recorded(), "b": recorded(points=(1, 2, 8))}), "other points"),
        (lambda: plot.bars({}), "nothing to draw"),
        (lambda: plot.bars({"a": 0.5}, {"b": (0, 1)}), "no bar"),
        (lambda: plot.bars({"a": 0.5}, {"a": (0.6, 0.7)}), "does not hold its value"),
        (lambda: plot.embedding(torch.rand(9, 2), torch.zeros(8), ["a"]), "9 features for 8 labels"),
        (lambda: plot.embedding(torch.rand(3, 2), torch.zeros(3), ["a"]), "at least 5"),
        (lambda: plot.embedding(torch.rand(9, 2), torch.ones(9), ["a"]), "1 class names"),
        (lambda: plot.embedding(torch.full((9, 2), torch.nan), torch.zeros(9), ["a"]), "not finite"),
        (lambda: plot.heat_map(torch.rand(3)), r"\(rows, columns\)"),
        (lambda: plot.heat_map(torch.rand(2, 2), rows=["a"]), "1 names for 2 rows"),
        (lambda: plot.heat_maps({"one": torch.rand(2, 3)}, columns=["a"]), "1 names for 3 columns"),
    ],
)
def test_bad_input_gets_a_sentence(draw, words):
    with pytest.raises(ValueError, match=words):
        draw()


def test_panels_name_their_rows_and_take_grey_beside_colour():
    figure = plot.panels({"original": images(4), "error": images(4, channels=1)}, title="rows")
    assert len(figure.axes) == 8
    assert [figure.axes[n].get_ylabel() for n in (0, 4)] == ["original", "error"]
    assert figure.axes[5].images[0].get_array().ndim == 2


def test_neighbours_put_the_query_left_and_judge_by_colour_and_sign():
    found = images(6).reshape(2, 3, 3, 8, 8)
    figure = plot.neighbours(images(2, seed=1), found, torch.tensor([[True, False, True], [False] * 3]))
    rows = np.array(figure.axes, dtype=object).reshape(2, 5)
    np.testing.assert_allclose(rows[1, 0].images[0].get_array(), images(2, seed=1)[1].permute(1, 2, 0))
    np.testing.assert_allclose(rows[1, 4].images[0].get_array(), found[1, 2].permute(1, 2, 0))
    verdicts = [[(ax.spines["left"].get_edgecolor(), ax.texts[0].get_text()) for ax in row[2:]] for row in rows]
    signs = [[sign for _, sign in row] for row in verdicts]
    assert signs == [["\u2713", "\u00d7", "\u2713"], ["\u00d7"] * 3]
    assert verdicts[0][0][0] != verdicts[0][1][0] and RIGHT != WRONG
    assert not plot.neighbours(images(2), found).axes[2].texts  # nothing judged, nothing written


# curves, sweep, bars


def test_curves_hold_their_numbers_levels_and_bands():
    series = {"train": [3.0, 2.0, 1.0], "val": torch.tensor([3.0, 2.5])}
    figure = plot.curves(series, levels={"chance": 2.3}, xlabel="epoch", ylabel="loss", bands={"val": [0.1, 0.2]})
    (ax,) = figure.axes
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["train"].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(lines["val"].get_ydata(), [3.0, 2.5])
    level = next(line for line in ax.lines if line.get_linestyle() == "--")
    assert set(level.get_ydata()) == {2.3} and "chance" in texts(figure)
    box = ax.collections[0].get_datalim(ax.transData)
    assert (box.y0, box.y1) == pytest.approx((2.3, 3.1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"train", "val"}


def test_what_is_known_beforehand_is_dashed_and_grey():
    figure = plot.curves({"score": [0.0, 0.8, 1.0], "guessing": [0.0, 0.5, 1.0]}, known=["guessing"])
    styles = {line.get_label(): (line.get_linestyle(), line.get_color()) for line in figure.axes[0].lines}
    assert styles["guessing"] == ("--", "#595959") and styles["score"][0] == "-"
    with pytest.raises(ValueError, match="known has 'chance', which is no series"):
        plot.curves({"score": [0.5]}, known=["chance"])
    with pytest.raises(TypeError, match="known is None"):
        plot.curves({"score": [0.5]}, known=None)


def test_names_of_levels_that_coincide_do_not_overlap():
    figure = plot.curves({"loss": [0.0, 1.0]}, levels={"chance": 0.5, "untrained": 0.505, "collapse": 0.5})
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_sweep_draws_mean_spread_and_the_students_own_point_as_a_star():
    figure = plot.sweep(recorded(own={2: 0.5, 7: 0.9}), xlabel="temperature", log_x=True)
    (ax,) = figure.axes
    star = next(line for line in ax.lines if line.get_marker() == "*")
    np.testing.assert_array_equal(star.get_xydata(), [[2, 0.5], [7, 0.9]])  # one of them beside the sweep
    shift = star.get_transform().transform((2, 0.5)) - ax.transData.transform((2, 0.5))
    assert shift[0] > 9 * figure.dpi / 72 and shift[1] == pytest.approx(0)  # the recorded point stays visible
    mean, _, (whiskers,) = ax.containers[0]
    np.testing.assert_allclose(np.asarray(mean.get_ydata(), float), [0.2, 0.3, 0.4])
    np.testing.assert_allclose(np.asarray(whiskers.get_segments()[1], float), [[2, 0.29], [2, 0.31]])
    assert {"recorded at tiny", "yours"} <= texts(figure)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "4", "7"] and ax.get_xscale() == "log"


def test_a_sweep_over_names_keeps_their_order_and_draws_no_line():
    figure = plot.sweep(recorded(points=("all", "no crop", "no jitter"), own={"no crop": 0.1}), levels={"chance": 0.1})
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["all", "no crop", "no jitter"]
    mean = ax.containers[0][0]
    assert mean.get_linestyle().lower() == "none"
    star = next(line for line in ax.lines if line.get_marker() == "*")
    np.testing.assert_array_equal(star.get_xydata(), [[1, 0.1]])


def test_long_names_of_points_stand_in_two_lines():
    (ax,) = plot.sweep(recorded(points=("as above", "no colour change", "whole images"))).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["as above", "no colour\nchange", "whole images"]


@pytest.mark.parametrize("own", [{}, {2: 0.5}, {7: 0.5}])
def test_a_sweep_that_was_never_recorded_shows_what_there_is(own):
    unknown = (float("nan"),) * 3
    never = SimpleNamespace(name="probe", points=(1, 2, 4), mean=unknown, std=unknown, label="not recorded", own=own)
    figure = plot.sweep(never, title="temperature", log_x=True)
    assert len(figure.axes[0].lines) == len(own)
    assert "temperature\nnot recorded" in texts(figure)


def test_several_sweeps_share_one_figure():
    figure = plot.sweep({"AE": recorded(own={1: 0.3}), "PCA": recorded()}, title="error")
    assert len(figure.axes[0].containers) == 2
    assert {"AE", "PCA", "yours", "error\nrecorded at tiny"} <= texts(figure)


def test_of_several_sweeps_one_that_was_never_recorded_names_its_own_star():
    unknown = (float("nan"),) * 3
    never = SimpleNamespace(name="new", points=(1, 2, 4), mean=unknown, std=unknown, label="not recorded", own={2: 0.5})
    figure = plot.sweep({"AE": recorded(own={1: 0.3}), "new": never})
    assert {"AE", "yours", "yours: new"} <= texts(figure)


def test_a_legend_never_covers_a_line():
    """Four zigzags leave no room; a level and a known line may pass behind the names, a result may not."""
    zigzag = {name: [(n * (k + 3)) % 7 for n in range(60)] for k, name in enumerate("abcd")}
    figure = plot.curves(zigzag, title="full")
    assert figure.axes[0].get_legend() is None and len(figure.legends[0].get_texts()) == 4
    assert plot.curves({"a": [0, 1, 2], "b": [0, 1, 1]}, levels={"chance": 0.5}).axes[0].get_legend() is not None
    diagonal = {"a": [0.0] * 20, "known": [n / 20 for n in range(20)]}
    assert plot.curves(diagonal, known=["known"]).axes[0].get_legend() is not None
    gaps = {"a": [1.0, math.nan, 3.0], "b": [3.0, math.nan, 1.0]}
    assert plot.curves(gaps).axes[0].get_legend() is not None


@pytest.mark.parametrize("ending", [None, "png"])
def test_a_legend_interrupts_no_level_where_there_is_room_beside_it(ending):
    """Levels at both ends run through all nine places where matplotlib puts a legend; between them there is room."""
    series = {"with a teacher, all images": [0.23, 0.4, 0.54, 0.61, 0.67, 0.67]}
    series |= {"with a teacher, same images": [0.27, 0.37, 0.41, 0.47, 0.51, 0.51], "without": [0.27] + [0.45] * 5}
    figure = plot.curves(series, levels={"the teacher": 0.9, "chance": 0.11}, title="one seed")
    if ending:
        figure.savefig(io.BytesIO(), format=ending)
    else:
        figure.draw_without_rendering()
    (ax,) = figure.axes
    box = ax.get_legend().get_window_extent()
    edges = ax.get_window_extent()
    assert edges.x0 <= box.x0 and box.x1 <= edges.x1 and edges.y0 <= box.y0 and box.y1 <= edges.y1
    for line in ax.lines:
        assert not line.get_path().transformed(line.get_transform()).intersects_bbox(box, filled=False)


def test_a_legend_of_a_sweep_never_covers_an_error_bar():
    points = tuple(range(1, 9))
    wide = {name: Sweep(name, points, (0.5,) * 8, (k,) * 8, "recorded", {}) for k, name in ((0.49, "a"), (0.5, "b"))}
    assert plot.sweep(wide).axes[0].get_legend() is None
    thin = {name: Sweep(name, points, (mean,) * 8, (0.01,) * 8, "recorded", {}) for mean, name in ((0, "a"), (1, "b"))}
    assert plot.sweep(thin).axes[0].get_legend() is not None


@pytest.mark.parametrize("other", [{}, {"PCA": {}}])
def test_the_star_of_a_legend_stands_where_no_result_can(other):
    """One inside the axes, beside an error bar, was read as the student's own point."""
    several = {"AE": recorded(own={1: 0.2})} | {name: recorded(own=own) for name, own in other.items()}
    figure = plot.sweep(several if other else several["AE"])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert figure.axes[0].get_legend() is None and "yours" in [text.get_text() for text in legend.get_texts()]
    assert legend.get_window_extent().y1 < figure.axes[0].get_tightbbox().y0


def test_a_long_legend_stands_below_the_lines():
    series = {f"net {n}": [0.1 * n, 0.2 * n] for n in range(6)}
    figure = plot.curves(series)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(series)
    assert legend.get_window_extent().y1 < figure.axes[0].get_tightbbox().y0


def test_bars_carry_values_intervals_and_levels():
    figure = plot.bars({"raw": 0.2, "random encoder": 0.3}, {"raw": (0.15, 0.26)}, {"chance": 0.1}, ylabel="accuracy")
    (ax,) = figure.axes
    assert [patch.get_height() for patch in ax.patches] == [0.2, 0.3]
    (whiskers,) = [c[2][0] for c in ax.containers if c.__class__.__name__ == "ErrorbarContainer"]
    np.testing.assert_allclose(whiskers.get_segments()[0], [[0, 0.15], [0, 0.26]])
    assert {"0.20", "0.30", "raw", "random\nencoder", "chance", "accuracy"} <= texts(figure)
    assert len(plot.bars({str(n): 0.1 for n in range(12)}).axes[0].patches) == 12


def test_grouped_bars_have_one_colour_an_encoder_and_stand_by_judge():
    groups = {"probe": {"random": 0.2, "SimCLR": 0.8}, "neighbours": {"SimCLR": 0.7}}
    whiskers = {"neighbours": {"SimCLR": (0.65, 0.74)}}
    figure = plot.grouped_bars(groups, whiskers, {"chance": 0.1}, ylabel="accuracy")
    (ax,) = figure.axes
    assert [patch.get_height() for patch in ax.patches] == [0.2, 0.8, 0.7]
    random, first, second = (patch.get_facecolor() for patch in ax.patches)
    assert first == second != random
    (drawn,) = [c[2][0] for c in ax.containers if c.__class__.__name__ == "ErrorbarContainer"]
    np.testing.assert_allclose(drawn.get_segments()[0][:, 1], [0.65, 0.74])
    places = [patch.get_x() + patch.get_width() / 2 for patch in ax.patches]
    np.testing.assert_allclose(ax.get_xticks(), [np.mean(places[:2]), places[2]])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random", "SimCLR"]
    assert {"0.20", "0.80", "0.70", "probe", "chance", "accuracy"} <= texts(figure)


@pytest.mark.parametrize(
    ("groups", "intervals", "words"),
    [
        ({}, None, "nothing to draw"),
        ({"probe": {}}, None, "nothing to draw"),
        ({"probe": {"a": 0.5}}, {"probe": {"b": (0.1, 0.2)}}, "no such bar"),
        ({"probe": {"a": 0.5}}, {"knn": {"a": (0.1, 0.2)}}, "no such bar"),
        ({"probe": {"a": 0.5}}, {"probe": {"a": (0.6, 0.7)}}, "does not hold its value"),
        ({"probe": {str(n): 0.1 for n in range(11)}}, None, "11 encoders for 10 colours"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups, intervals, words):
    with pytest.raises(ValueError, match=words):
        plot.grouped_bars(groups, intervals)


# embedding, heat_map


def test_clouds_draw_the_points_that_plane_gives(monkeypatch):
    from sklearn.manifold import TSNE

    monkeypatch.setattr(TSNE, "fit_transform", lambda self, x: x[:, :2])
    features = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    points = plot.plane(features)
    np.testing.assert_allclose(
        points.numpy(), ((features - features.mean(0)) / features.std(0, correction=0))[:, :2], atol=1e-5
    )
    labels = torch.arange(12) % 2
    figure = plot.clouds({"short": points, "long": 2 * points}, labels, ["a", "b"], title="maps")
    assert [ax.get_title() for ax in figure.axes] == ["short", "long"]
    np.testing.assert_allclose(figure.axes[0].collections[1].get_offsets(), points[labels == 1])
    with pytest.raises(ValueError, match="points in a plane are"):
        plot.clouds({"a": features}, labels, ["a", "b"])
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.clouds({}, labels, ["a", "b"])


def test_embedding_separates_what_is_separate_and_draws_at_most_1500_points():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    features = 20.0 * torch.eye(3)[labels] + torch.randn(90, 3, generator=generator)
    figure = plot.embedding(features, labels, ["a", "b", "c"])
    clouds = [np.asarray(c.get_offsets()) for c in figure.axes[0].collections]
    assert [len(cloud) for cloud in clouds] == [30, 30, 30]
    centres = np.stack([cloud.mean(0) for cloud in clouds])
    within = max(np.linalg.norm(cloud - centre, axis=1).max() for cloud, centre in zip(clouds, centres, strict=True))
    between = min(np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert between > within
    assert {"a", "b", "c"} <= texts(figure)


def test_embedding_draws_a_sample_of_many_points(monkeypatch):
    from sklearn.manifold import TSNE

    # The map itself takes seconds for 1,500 points; what is handed to it is what matters here.
    monkeypatch.setattr(TSNE, "fit_transform", lambda self, x: x[:, :2])
    features = torch.cat([torch.randn(2000, 2), torch.full((2000, 1), 3.0)], dim=1)  # one feature is constant
    figure = plot.embedding(features, torch.zeros(2000), ["a"])
    assert len(figure.axes[0].collections[0].get_offsets()) == 1500


def test_embedding_of_collapsed_features_is_drawn_all_the_same():
    assert plot.embedding(torch.ones(20, 4), torch.zeros(20), ["a"]).axes


def test_heat_map_holds_the_matrix_its_names_and_a_colour_bar():
    matrix = torch.tensor([[1, 20], [3, 4], [0, 9]])
    figure = plot.heat_map(matrix, rows=["r0", "r1", "r2"], columns=["c0", "c1"], label="count")
    ax, bar = figure.axes
    np.testing.assert_array_equal(ax.images[0].get_array(), matrix)
    assert [text.get_text() for text in ax.texts] == ["1", "20", "3", "4", "0", "9"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["r0", "r1", "r2"]
    assert bar.get_ylabel() == "count"
    assert not plot.heat_map(torch.rand(30, 30)).axes[0].texts  # too many cells to write into


# show


def test_heat_maps_share_names_and_one_scale():
    figure = plot.heat_maps({"a": torch.zeros(2, 3), "b": torch.ones(2, 3)}, rows="xy", columns="pqr", label="weight")
    first, second = figure.axes[:2]
    assert [t.get_text() for t in first.get_yticklabels()] == ["x", "y"] and not second.get_yticklabels()
    assert [t.get_text() for t in second.get_xticklabels()] == ["p", "q", "r"]
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0, 1)


def test_show_refuses_a_missing_alternative_text_and_what_is_no_figure():
    figure = plot.curves({"loss": [1, 2]})
    for empty in ("", "  ", None):
        with pytest.raises(ValueError, match="alternative text"):
            plot.show(figure, empty)
    with pytest.raises(TypeError, match="type list"):
        plot.show([1, 2], "numbers")


def test_show_closes_figures_those_of_pyplot_too_and_prints_nothing_in_a_plain_program(capsys):
    from matplotlib import pyplot

    own, axes = pyplot.subplots()
    own.colorbar(axes.imshow([[0, 1]]))  # minds when the image or its panel is removed before it
    figure = plot.curves({"loss": [1, 2]})
    assert len(pyplot.get_fignums()) == 1  # the figures of the course are none of pyplot's
    plot.show(own, "a figure of one's own")
    plot.show(figure, "a curve")
    assert not pyplot.get_fignums() and not figure.axes
    assert capsys.readouterr().out == ""


def test_the_style_is_not_left_behind():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot.bars({"a": 1.0})
    assert dict(matplotlib.rcParams) == before


def test_alternative_text_and_footer_reach_the_notebook_and_its_html_page():
    import nbformat
    from bs4 import BeautifulSoup
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from nbconvert import HTMLExporter

    # A shell stands in for the kernel: what it captures is what a kernel would store in the notebook.
    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            plot.show(plot.curves({"loss": [2.0, 1.0]}), alt='A curve that falls from 2 to 1, "steadily".')
            notices.remember("nt_xent")
            figure = plot.curves({"loss": [2.0, 1.0]})
            seen = []
            save = figure.savefig
            figure.savefig = lambda *args, **kwargs: (seen.extend(texts(figure)), save(*args, **kwargs))
            plot.show(figure, alt="The same curve.")
    finally:
        InteractiveShell.clear_instance()
    assert any("reference nt_xent" in text for text in seen)

    outputs = [nbformat.v4.new_output("display_data", o.data, metadata=o.metadata) for o in captured.outputs]
    assert [output.data["text/plain"] for output in outputs][1] == "The same curve."
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs, execution_count=1)])
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    alts = [image["alt"] for image in BeautifulSoup(page, "html.parser").select("img")]
    assert alts == ['A curve that falls from 2 to 1, "steadily".', "The same curve."]


def test_matplotlib_is_imported_only_when_something_is_drawn():
    heavy = "('matplotlib', 'sklearn', 'IPython')"
    code = f"import sys; from sslcourse import plot; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_epoch_is_a_point_between_whole_numbers():
    (axes,) = plot.curves({"loss": [2.5]}).axes
    assert axes.get_xlim() == (0, 2) and all(float(tick).is_integer() for tick in axes.get_xticks())


def test_an_axis_that_was_made_logarithmic_has_powers_of_ten(monkeypatch):
    """Names in our figures are no formulas ("$5"); the numbers of a logarithmic axis are."""
    figure = plot.curves({"loss": [1000.0, 30.0, 5.0]}, x=[1, 2, 3], ylabel="$5")
    ax = figure.axes[0]
    ax.set_yscale("log")
    seen = []
    monkeypatch.setattr(sys.modules["sslcourse.plot.show"], "_in_notebook", lambda: True)
    monkeypatch.setattr(sys.modules["sslcourse.plot.show"], "_display", lambda shown, alt: seen.append(drawn(shown)))
    plot.show(figure, alt="a falling loss")
    assert seen == [(True, False)]


def drawn(figure) -> tuple[bool, bool]:
    """Whether powers of ten are formulas, and whether the name of the axis is one."""
    figure.canvas.draw()
    ax = figure.axes[0]
    powers = [label for label in ax.get_yticklabels() if "mathdefault" in label.get_text()]
    return bool(powers) and all(label.get_parse_math() for label in powers), ax.yaxis.label.get_parse_math()

"""The board: equal terms for all, results kept as they come, and nothing said of what was not run."""

import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sslcourse import cli, data, models
from sslcourse.check import board as shipped
from sslcourse.cli import Refusal, board
from sslcourse.cli.board import methods, page, terms

VIEWS = {"crop": (0.6, 1.0), "jitter": 0.4, "grey": 0.8}
SMALL = terms.Terms(
    "scenes", 10, 60, 30, 40, epochs=1, temperature=0.1, batch_size=20, rates=(1e-3, 3e-3), probe_Cs=(0.1,), **VIEWS
)
TWO = ("random", "SimCLR")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout with one small world and two methods."""
    (tmp_path / "sslcourse" / "expected").mkdir(parents=True)
    (tmp_path / "docs" / "images").mkdir(parents=True)
    monkeypatch.setattr(board, "WORLDS", {"scenes": SMALL})
    monkeypatch.setattr(board, "METHODS", {name: methods.METHODS[name] for name in TWO})
    monkeypatch.setattr(board, "FURTHER", ())
    return tmp_path


def known(root) -> dict:
    return json.loads((root / "sslcourse" / "expected" / "board.json").read_text())


def entries(root) -> dict:
    return known(root)["worlds"]["scenes"]["methods"]


@pytest.fixture
def counted(monkeypatch):
    """Every job that SimCLR was given, which then learns nothing."""
    jobs = []

    def learn(job):
        jobs.append(job)
        return job.encoder()

    board.METHODS["SimCLR"] = replace(methods.METHODS["SimCLR"], learn=learn)
    return jobs


def test_a_whole_board(root, capsys):
    assert board.board(root, [], [], None) == 0
    assert "6 of 6 results are there" in capsys.readouterr().out
    world = known(root)["worlds"]["scenes"]
    assert world["terms"] == SMALL.noted() and len(world["hardware"]) == 1
    assert entries(root)["random"]["tuning"] == {} and set(entries(root)["SimCLR"]["tuning"]) == {"0.001", "0.003"}
    best = max(entries(root)["SimCLR"]["tuning"].values())
    for name, entry in entries(root).items():
        assert set(entry["runs"]) == {"0", "1", "2"}
        for run in entry["runs"].values():
            assert run.keys() == {"rate", "knn", "probe", "low", "high", "rankme", "seconds"}
            assert 0 <= run["low"] <= run["probe"] <= run["high"] <= 1 and 1 <= run["rankme"] <= 40
            assert run["rate"] is None if name == "random" else entry["tuning"][str(run["rate"])] == best

    text = (root / page.PAGE).read_text()
    probes = [run["probe"] for run in entries(root)["SimCLR"]["runs"].values()]
    mean = sum(probes) / 3
    std = math.sqrt(sum((probe - mean) ** 2 for probe in probes) / 2)
    assert f"| {mean:.3f} ± {std:.3f} |" in text and f"| {page.NOT_RUN} |" not in text
    assert "| chance |  |  | 0.100 | 0.100 |" in text
    assert (root / "docs" / "images" / "board_scenes.png").stat().st_size > 1000

    # A complete board trains nothing and changes no byte of its page.
    before = (root / page.PAGE).read_bytes(), known(root)
    assert board.board(root, [], [], None) == 0
    assert ((root / page.PAGE).read_bytes(), known(root)) == before


def test_it_goes_on_where_it_was_cut_off(root, counted):
    """Cut off twice, in the third training after each start: what was ready is kept and not trained again."""
    learn = board.METHODS["SimCLR"].learn

    def cut(job):
        if len(counted) == 2:
            raise KeyboardInterrupt
        return learn(job)

    board.METHODS["SimCLR"] = replace(methods.METHODS["SimCLR"], learn=cut)
    with pytest.raises(KeyboardInterrupt):
        board.board(root, [], ["SimCLR"], None)
    assert len(entries(root)["SimCLR"]["tuning"]) == 2 and not entries(root)["SimCLR"]["runs"]
    assert (root / page.PAGE).read_text().count(f"| {page.NOT_RUN} |") == 2

    counted.clear()
    before = entries(root)["SimCLR"]["tuning"]
    with pytest.raises(KeyboardInterrupt):
        board.board(root, [], ["SimCLR"], None)
    assert [job.seed for job in counted] == [0, 1] and entries(root)["SimCLR"]["tuning"] == before
    assert set(entries(root)["SimCLR"]["runs"]) == {"0", "1"}


def test_equal_terms(root, counted):
    board.board(root, [], ["SimCLR"], None)
    tuned, tested = counted[:2], counted[2:]
    assert [job.rate for job in tuned] == list(SMALL.rates) and {job.seed for job in tuned} == {terms.TUNING_SEED}
    assert [job.seed for job in tested] == list(terms.SEEDS) and len({job.rate for job in tested}) == 1
    assert all(job.terms is SMALL and len(job.part) == SMALL.train for job in counted)
    first, again = (job.encoder().stage1[0].weight for job in (tested[0], replace(tested[0], rate=None)))
    assert first.equal(again) and not first.equal(tested[1].encoder().stage1[0].weight)


def test_a_rate_that_diverges_is_not_chosen(root):
    def learn(job):
        if job.rate > 1e-3 or job.seed == 2:
            raise board.NotFinite("the loss is nan")
        return job.encoder()

    board.METHODS["SimCLR"] = replace(methods.METHODS["SimCLR"], learn=learn)
    board.board(root, [], ["SimCLR"], None)
    assert entries(root)["SimCLR"]["tuning"]["0.003"] is None and entries(root)["SimCLR"]["runs"]["2"] is None
    row = shipped.rows("scenes", known(root))["SimCLR"]
    assert row.rate == 1e-3 and row.seeds == (0, 1) and row.diverged == 1
    assert "0, 1; 1 diverged" in (root / page.PAGE).read_text()
    assert board.chosen({"0.1": 0.5, "0.01": 0.5, "1.0": None}) == 0.01 and board.chosen({"0.1": None}) is None


def test_a_grid_whose_end_is_best_is_extended(root, monkeypatch):
    """Accuracy peaks at 0.03, beyond the grid: one after the other up to the first beyond the peak."""
    monkeypatch.setattr(board, "FURTHER", (1e-4, 3e-4, 1e-2, 3e-2, 1e-1))
    monkeypatch.setattr(board, "_tuned", lambda name, terms, rate: -abs(math.log(rate / 0.03)))
    monkeypatch.setattr(board, "_tested", lambda name, terms, rate, seed: result(0.5, 0.5, rate))
    monkeypatch.setitem(board.WORLDS, "scenes", replace(SMALL, rates=(1e-3, 3e-3)))
    board.board(root, [], ["SimCLR"], None)
    assert list(entries(root)["SimCLR"]["tuning"]) == ["0.001", "0.003", "0.01", "0.03", "0.1"]
    row = shipped.rows("scenes", known(root))["SimCLR"]
    assert row.rate == 0.03 and not row.at_end and row.seeds == (0, 1, 2)


def test_results_of_a_rate_that_a_further_one_beats_are_run_anew(root, monkeypatch):
    monkeypatch.setattr(board, "_tuned", lambda name, terms, rate: 10 * rate)
    monkeypatch.setattr(board, "_tested", lambda name, terms, rate, seed: result(0.5, 0.5, rate))
    board.board(root, [], ["SimCLR"], None)
    assert [run["rate"] for run in entries(root)["SimCLR"]["runs"].values()] == [3e-3] * 3
    monkeypatch.setattr(board, "FURTHER", (3e-2,))
    board.board(root, [], ["SimCLR"], None)
    assert [run["rate"] for run in entries(root)["SimCLR"]["runs"].values()] == [3e-2] * 3


@pytest.mark.parametrize(
    ("tuning", "rate"),
    [
        ({"0.001": 0.2, "0.003": 0.3, "0.01": 0.2}, None),
        ({"0.001": 0.1, "0.003": 0.2, "0.01": 0.3}, 0.03),
        ({"0.001": 0.3, "0.003": 0.2, "0.01": 0.1}, 3e-4),
        ({"0.001": 0.3, "0.003": 0.3, "0.01": 0.3}, 3e-4),  # of equal ones the smaller is chosen
        ({"0.0003": 0.4, "0.001": 0.3, "0.003": 0.2}, 1e-4),
        ({"0.0001": 0.5, "0.0003": 0.4, "0.001": 0.3}, None),
        ({"0.001": 0.2, "0.003": 0.3, "0.01": None}, None),  # the end of it diverged
        ({"0.03": 0.2, "0.1": 0.3}, None),
        ({"0.001": None}, None),
        ({}, None),
    ],
)
def test_the_next_rate(tuning, rate):
    assert terms.FURTHER == (1e-4, 3e-4, 3e-2, 1e-1) and board.beyond(tuning) == rate


def test_no_time_and_missing_data(root, monkeypatch, capsys):
    board.board(root, [], [], 1e-9)
    assert (root / page.PAGE).read_text().count(f"| {page.NOT_RUN} |") == 2 and entries(root)["random"]["runs"] == {}
    assert shipped.rows("scenes", known(root)) == {"random": None, "SimCLR": None}

    monkeypatch.setenv("SSLCOURSE_DATA", str(root / "nothing"))
    monkeypatch.setitem(board.WORLDS, "cifar10", replace(SMALL, world="cifar10"))
    assert board.board(root, [], ["random"], None) == 1
    assert "cifar10 is not yet run: " in capsys.readouterr().out
    assert len(entries(root)["random"]["runs"]) == 3
    assert shipped.rows("cifar10", known(root)) == {"random": None, "SimCLR": None}


def result(knn, probe, rate=None):
    ends = {"low": probe - 0.02, "high": probe + 0.02}
    return {"rate": rate, "knn": knn, "probe": probe, **ends, "rankme": 9, "seconds": 1}


@pytest.fixture
def world():
    """A board of one world, of all that can be said of a method."""
    seeds = {str(seed): result(knn, 0.7, 3e-3) for seed, knn in enumerate((0.5, 0.6, 0.7))}
    runs = {
        "random": ({}, {"0": result(0.18, 0.165)}),
        "SimCLR": ({"0.001": 0.6, "0.003": 0.7, "0.01": 0.6}, seeds),
        "below": ({"0.001": 0.1, "0.003": 0.1}, {"0": result(0.05, 0.06, 1e-3), "1": None}),
        "at no rate": ({"0.001": None, "0.003": None}, {}),
        "on no seed": ({"0.001": 0.1, "0.003": None}, {"0": None, "1": None}),
        "cut off": ({"0.001": None}, {}),
        "to come": ({}, {}),
    }
    methods = {name: {"week": "", "code": "", "tuning": t, "runs": r} for name, (t, r) in runs.items()}
    return {"worlds": {"scenes": {"terms": SMALL.noted(), "hardware": [], "methods": methods}}}


def test_a_week_shows_its_row_among_the_others(world, capsys):
    shipped.show("SimCLR", board=world)
    assert capsys.readouterr().out.splitlines() == [
        "The board, scenes: conv4, 60 images, 1 epochs in batches of 20; 40 test images",
        "   method  kNN             probe  95 % interval   rate    seeds",
        "-> SimCLR  0.600 +- 0.100  0.700  0.680 to 0.720  0.003   3 seeds",
        "   random  0.180           0.165  0.145 to 0.185  -       1 seed",
        "   chance  0.100           0.100",
        "   below   0.050           0.060  0.040 to 0.080  0.001*  1 seed, 1 diverged",
        "* an end of the grid of rates: a rate beyond it may be better",
        "1 of 7 diverged at every rate.",
        "1 of 7 diverged on every seed.",
        "2 of 7 not yet run: `sslcourse board --worlds scenes` goes on with the board.",
    ]
    lines = page.text(world).splitlines()
    (inside,), (at_end,) = ([line for line in lines if line.startswith(f"| {name} ")] for name in ("SimCLR", "below"))
    assert "| 0.003 |" in inside and "| 0.001* |" in at_end


def test_a_method_without_results_is_said_to_have_none(world, capsys):
    for name, why in {
        "to come": page.NOT_RUN,
        "cut off": page.NOT_RUN,
        "at no rate": "diverged at every rate",
        "on no seed": "diverged on every seed",
    }.items():
        shipped.show(name, board=world)
        assert f"\n-> {name}  {why}\n" in re.sub("  +", "  ", capsys.readouterr().out)
        assert f"| {name} |  | {why} |" in page.text(world)


def test_a_complete_board_counts_nothing_and_a_strange_name_is_refused(world, capsys):
    there = world["worlds"]["scenes"]["methods"]
    world["worlds"]["scenes"]["methods"] = {"random": there["random"]}
    shipped.show(board=world)
    out = capsys.readouterr().out
    assert "not yet run" not in out and "->" not in out and len(out.splitlines()) == 4
    with pytest.raises(ValueError, match="no method 'simclr' on the board; it has random"):
        shipped.show("random", "simclr", board=world)
    with pytest.raises(ValueError, match="no world 'moon'"):
        shipped.show(world="moon")
    assert not capsys.readouterr().out


def test_other_terms_and_other_code(root, counted, capsys, monkeypatch):
    board.board(root, [], [], None)
    there = entries(root)
    board.METHODS["SimCLR"] = methods.METHODS["SimCLR"]
    board.board(root, [], [], 1e-9)
    assert "SimCLR is other code than was recorded" in capsys.readouterr().out
    assert entries(root)["random"] == there["random"] and not entries(root)["SimCLR"]["runs"]

    monkeypatch.setitem(board.WORLDS, "scenes", replace(SMALL, epochs=2))
    before = (root / "sslcourse" / "expected" / "board.json").read_bytes()
    with pytest.raises(Refusal, match="under other terms"):
        board.board(root, [], [], None)
    assert (root / "sslcourse" / "expected" / "board.json").read_bytes() == before


@pytest.mark.parametrize("content", ["<<<<<<< HEAD", "[]", "{}", '{"worlds": 3}', '{"worlds": {"scenes": 5}}'])
def test_a_file_that_is_no_board(root, content):
    path = root / "sslcourse" / "expected" / "board.json"
    path.write_text(content)
    with pytest.raises(Refusal, match="is no board"):
        board.board(root, [], [], None)
    assert path.read_text() == content


def test_a_hand_out_without_solutions(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "sslcourse.solutions.week04", None)
    with pytest.raises(Refusal, match="trains with the solved exercises: .* without the solutions of week04"):
        board.board(root, [], ["SimCLR"], None)


def test_unknown_names(root):
    with pytest.raises(Refusal, match="no world 'Scenes'.*choose among scenes"):
        board.board(root, ["Scenes"], [], None)
    with pytest.raises(Refusal, match="no method 'simclr'.*choose among random, SimCLR"):
        board.board(root, [], ["simclr"], None)
    with pytest.raises(ValueError, match="no world 'moon' on the board"):
        shipped.rows("moon", {"worlds": {"scenes": {}}})
    for bad in ("0", "-1", "nan", "inf", "x"):
        with pytest.raises(SystemExit):
            cli.main(["board", "--minutes", bad])


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_learns(name):
    """One epoch of three batches moves the encoder, and its features are those of single images."""
    part = data.load_images("scenes", "train", n=60, seed=0)
    row = methods.METHODS[name]
    encoder = row.learn(methods.Job(SMALL, part, 1e-3 if row.trained else None, 5))
    if isinstance(encoder, torch.nn.Module):
        encoder.eval()
    images = data.as_float(part.images[:10])
    with torch.no_grad():
        h = encoder(images)
        torch.testing.assert_close(encoder(images[3:4]), h[3:4], atol=1e-4, rtol=1e-3)
    assert len(h) == 10 and h.isfinite().all() and h.std(dim=0).max() > 0
    if row.trained and isinstance(encoder, models.backbones.Conv4):
        torch.manual_seed(5)
        fresh = models.backbone("conv4_gn" if name == "MoCo" else "conv4")
        assert not torch.equal(fresh.stage1[0].weight, encoder.stage1[0].weight)


@pytest.mark.parametrize("world", ["scenes", "tissue"])
def test_as_many_classes_as_the_terms_say(world):
    assert len(data.load_images(world, "test", n=20).class_names) == terms.WORLDS[world].classes


def test_the_shipped_board_is_of_this_code_and_on_its_page():
    there = shipped.recorded()
    for world, entry in there["worlds"].items():
        assert entry["terms"] == terms.WORLDS[world].noted()
        assert list(entry["methods"]) == [name for name, row in methods.METHODS.items() if world in row.worlds]
        for name, row in entry["methods"].items():
            assert row["code"] == methods.METHODS[name].code(), f"{name} has changed: call sslcourse board"
    assert page.text(there) == (Path(__file__).parents[2] / page.PAGE).read_text(encoding="utf-8")

"""Reports and sweeps: the table, the strict claims, and what a recorded run writes."""

import json
import math

import pytest
import torch

from sslcourse import notices
from sslcourse.check import Wrong, recorded
from sslcourse.check.report import report, shown
from sslcourse.check.sweep import Gap, Sweep, sweep
from sslcourse.scale import Scale
from sslcourse.train import fit

RUN = {"date": "2026-11-22", "hardware": "some CPU, 2 cores", "seeds": [0, 1, 2]}
EXPECTED = {
    "tiny": {
        "recorded": RUN,
        "metrics": {
            "probe_accuracy": {"mean": 0.5, "std": 0.01, "chance": 0.1, "baseline": 0.22},
            "loss": {"mean": 4.0, "std": 0.0, "chance": None, "baseline": None},
        },
        "must_show": [{"claim": "probe over random encoder", "value": 0.28, "at_least": 0.25}],
        "sweeps": {"tau": {"points": [0.1, 0.5], "mean": [0.4, 0.5], "std": [0.01, 0.02], "recorded": RUN}},
    },
    "small": {"recorded": RUN, "metrics": {}, "must_show": []},
    "full": None,
}
CLAIM = {"probe over random encoder": (0.3, 0.25)}
GAP = Gap("tau", "recorded 2026-11-22 at tiny, 3 seeds", 0.1, (0.08, 0.12, 0.1))


def scale(name="tiny", seed=3):
    return Scale(name, "week04", seed, torch.device("cpu"))


@pytest.fixture(autouse=True)
def expectations(monkeypatch):
    for name in ("SSLCOURSE_STRICT", "NBGRADER_EXECUTION", "SSLCOURSE_RECORD", "SSLCOURSE_SWEEPS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(recorded, "expected", lambda week: EXPECTED if week == "week04" else {})
    notices.forget()
    yield
    notices.forget()


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setenv("SSLCOURSE_STRICT", "1")


@pytest.fixture
def record(monkeypatch, tmp_path):
    """The file of a recorded run, as a function that reads its lines."""
    path = tmp_path / "run.jsonl"
    monkeypatch.setenv("SSLCOURSE_RECORD", str(path))
    return lambda: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- the table


def test_table(capsys):
    levels = {"chance": {"probe_accuracy": 0.1}, "baseline": {"probe_accuracy": 0.223}}
    report(scale(), claims=CLAIM, **levels, probe_accuracy=torch.tensor(0.51), loss=4)
    assert capsys.readouterr().out == (
        "metric          yours  expected        chance  untrained or collapsed\n"
        "probe_accuracy  0.510  0.500 +- 0.010  0.100   0.223\n"
        "loss            4.00   4.00 +- 0.0     -       -\n"
        "Expected: mean +- sample deviation over 3 seeds, recorded 2026-11-22 on some CPU, 2 cores, an unknown number "
        "of threads.\n"
        "Holds: probe over random encoder: 0.300, at least 0.250\n"
    )


def test_formatter():
    values = {0.51: "0.510", 0.012345: "0.0123", 4: "4.00", 99.96: "100", 1234.4: "1234", 0: "0.00", -0.5: "-0.500"}
    assert {value: shown(value) for value in values} == values
    assert (shown(None), shown(math.nan), shown(math.inf)) == ("-", "nan", "inf")


@pytest.mark.parametrize("name", ["full", "tiny"])
def test_a_scale_that_was_never_recorded_says_so(name, capsys):
    never = Scale(name, "week04" if name == "full" else "week01", 0, torch.device("cpu"))
    report(never, probe_accuracy=0.5)
    printed = capsys.readouterr().out
    assert "probe_accuracy  0.500  not recorded" in printed
    assert f"Scale {name} has never been recorded for {never.week}" in printed


def test_references_are_named(capsys):
    notices.remember("nt_xent")
    report(scale(), probe_accuracy=0.5, loss=4.0)
    assert "not those of your own full run: computed with the reference nt_xent." in capsys.readouterr().out


def test_a_training_that_was_cut_short_is_named_until_it_is_run_again(capsys):
    model = torch.nn.Linear(3, 1)
    for budget, told in ((1e-9, True), (None, False)):
        images = torch.ones(8, 3)
        fit(lambda x: model(x).mean(), model, images, epochs=2, batch_size=4, time_budget=budget, label="MoCo")
        report(scale(), probe_accuracy=0.5, loss=4.0)
        assert ("own full run: MoCo stopped early (time budget)." in capsys.readouterr().out) == told


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"probe_accuracy": 0.1, "loss": 4.0}, "probe_accuracy = 0.100 is outside 0.269 to 0.731, its prediction int"),
        ({"probe_accuracy": 0.5, "loss": 4.3}, "loss = 4.30 is outside 3.86 to 4.14, its prediction interval."),
        ({"probe_accuracy": 0.5, "loss": 4.3}, "after 3 seeds (Student's t). If the seed is all that differs, one of"),
        ({"probe_accuracy": 0.5, "loss": math.nan}, "loss is nan: something diverged"),
        ({"probe_accuracy": 0.5}, "loss was recorded once and is no longer reported"),
        ({"probe_accuracy": 0.5, "loss": 4.0, "knn": 0.4}, "knn is new: record the expected results anew"),
    ],
)
def test_oddities_are_said_in_a_sentence(metrics, words, capsys):
    report(scale(), **metrics)
    assert words in capsys.readouterr().out


def test_a_spread_of_zero_is_no_reason_to_warn(capsys):
    report(scale(), probe_accuracy=0.54, loss=4.1)
    assert "prediction interval" not in capsys.readouterr().out


def test_one_seed_says_that_it_is_one_and_raises_no_alarm(monkeypatch, capsys):
    once = json.loads(json.dumps(EXPECTED))
    once["tiny"]["recorded"] |= {"seeds": [0], "threads": 64}  # its std is what an older record holds
    once["tiny"]["metrics"]["loss"]["std"] = None
    monkeypatch.setattr(recorded, "expected", lambda week: once)
    report(scale(), probe_accuracy=0.9, loss=9.0)
    printed = capsys.readouterr().out
    assert "0.900  0.500 (1 seed)" in printed and "9.00   4.00 (1 seed)" in printed
    assert "1 seed, which says nothing of the spread" in printed and "+-" not in printed
    assert "outside" not in printed and "2 cores, 64 threads." in printed
    assert f"This run has {torch.get_num_threads()}: other sums in another order" in printed


def test_the_sampling_error_of_the_test_set_widens_an_interval(monkeypatch, capsys):
    once = json.loads(json.dumps(EXPECTED))
    once["tiny"]["metrics"]["probe_accuracy"]["std"] = 0.0
    monkeypatch.setattr(recorded, "expected", lambda week: once)
    for tested, told in ((None, True), ({"probe_accuracy": 100}, False)):
        report(scale(), tested=tested, probe_accuracy=0.6, loss=4.0)
        assert ("probe_accuracy = 0.600 is outside" in capsys.readouterr().out) == told


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"chance": {"accuracy": 0.1}, "probe_accuracy": 0.5}, ValueError, "'accuracy', which is no metric"),
        ({"baseline": {"accuracy": 0.1}, "probe_accuracy": 0.5}, ValueError, "'accuracy', which is no metric"),
        ({"probe_accuracy": [0.5, 0.6]}, TypeError, "probe_accuracy should be a number, got list"),
        ({"claims": {"it works": ("yes", 1)}}, TypeError, "it works should be a number, got str"),
        ({"tested": {"accuracy": 9}, "probe_accuracy": 0.5}, ValueError, "tested of 'accuracy', which is no metric"),
        ({"tested": {"loss": 0}, "loss": 0.5}, ValueError, "tested of loss"),
        ({"from_sweeps": {"it works": (0.3, 0.1)}}, TypeError, "it works is 0.3; a claim of a recorded sweep is what"),
        ({"from_sweeps": {"it": (GAP, 1)}, "claims": {"it": (1, 1)}}, ValueError, "'it' is of this run or of a rec"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        report(scale(), **arguments)


# --- strict


def test_strict_accepts_what_holds(strict):
    report(scale(), claims=CLAIM, probe_accuracy=0.5, loss=4.0)


@pytest.mark.parametrize(
    ("claims", "loss", "words"),
    [
        ({"probe over random encoder": (0.2, 0.25)}, 4.0, "encoder: 0.200, which should be at least 0.250"),
        ({"probe over random encoder": (math.nan, 0.25)}, 4.0, "nan, which should be at least"),
        ({"probe over random encoder": (0.3, 0.1)}, 4.0, "claimed with at least 0.1, recorded with 0.25"),
        ({}, 4.0, "recorded as what must show, and not claimed here"),
        ({**CLAIM, "another": (0.0, 1.0)}, 4.0, "another: 0.00, which should be at least 1.00"),
        (CLAIM, math.nan, "loss is nan"),
    ],
)
def test_strict_insists_on_the_claims(claims, loss, words, strict):
    with pytest.raises(Wrong, match=words):
        report(scale(), claims=claims, probe_accuracy=0.5, loss=loss)


def test_strict_only_tells_of_a_result_outside_its_interval(strict, capsys):
    report(scale(), claims=CLAIM, probe_accuracy=0.9, loss=4.0)
    assert "its prediction interval" in capsys.readouterr().out


# --- claims of a recorded sweep


def test_a_claim_of_a_sweep_is_told_as_what_it_is_and_not_asserted(strict, capsys):
    report(scale(), claims=CLAIM, from_sweeps={"tau matters": (GAP, 0.2)}, probe_accuracy=0.5, loss=4.0)
    assert (
        "Not of this run, recorded 2026-11-22 at tiny, 3 seeds: tau matters: 0.100 in the mean (by seed: 0.0800, "
        "0.120, 0.100), at least 0.200: does not hold\n"
    ) in capsys.readouterr().out


def test_a_recorded_claim_of_a_sweep_must_stay_with_its_margin(strict, monkeypatch):
    once = json.loads(json.dumps(EXPECTED))
    once["tiny"]["sweep_claims"] = [{"claim": "tau matters", "value": 0.1, "at_least": 0.05}]
    monkeypatch.setattr(recorded, "expected", lambda week: once)
    numbers = {"claims": CLAIM, "probe_accuracy": 0.5, "loss": 4.0}
    report(scale(), from_sweeps={"tau matters": (GAP, 0.05)}, **numbers)
    with pytest.raises(Wrong, match="tau matters: recorded as what must show, and not claimed here"):
        report(scale(), **numbers)
    with pytest.raises(Wrong, match="tau matters: claimed with at least 0.01, recorded with 0.05"):
        report(scale(), from_sweeps={"tau matters": (GAP, 0.01)}, **numbers)


def test_a_claim_that_an_older_record_holds_among_those_of_the_run(strict):
    report(scale(), from_sweeps={"probe over random encoder": (GAP, 0.25)}, probe_accuracy=0.5, loss=4.0)


def test_the_gap_of_a_sweep_is_taken_seed_by_seed(monkeypatch, capsys):
    old = sweep(scale(), "tau", never, (0.1, 0.5)).gap(0.5, 0.1)
    assert old.mean == pytest.approx(0.1) and old.values == ()
    once = json.loads(json.dumps(EXPECTED))
    once["tiny"]["sweeps"]["tau"]["values"] = [[0.39, 0.4, 0.41], [0.5, 0.48, 0.52]]
    monkeypatch.setattr(recorded, "expected", lambda week: once)
    new = sweep(scale(), "tau", never, (0.1, 0.5))
    assert new.gap(0.5, 0.1).values == pytest.approx((0.11, 0.08, 0.11))
    with pytest.raises(ValueError, match="tau has no point 0.3; choose among 0.1, 0.5"):
        new.gap(0.3, 0.1)
    missing = sweep(scale(), "batch size", never, (64, 256)).gap(256, 64)
    report(scale(), from_sweeps={"old": (old, 0), "missing": (missing, 0)}, probe_accuracy=0.5, loss=4.0)
    printed = capsys.readouterr().out
    assert "by seed: not in this record" in printed
    assert "Not of this run: missing: the sweep 'batch size' is not recorded." in printed


def test_nothing_is_asserted_at_dry_or_without_strict(strict, monkeypatch, capsys):
    report(scale("dry"), claims={"probe over random encoder": (0.0, 0.25)}, probe_accuracy=math.nan)
    printed = capsys.readouterr().out
    assert "no number here means anything" in printed and "diverged" not in printed
    monkeypatch.delenv("SSLCOURSE_STRICT")
    report(scale(), claims={"probe over random encoder": (0.0, 0.25)}, probe_accuracy=0.5, loss=4.0)
    assert "Does not hold: probe over random encoder: 0.00, at least 0.250" in capsys.readouterr().out


def test_strict_where_nothing_was_recorded_still_insists_on_its_own_claims(strict):
    with pytest.raises(Wrong, match="it works"):
        report(scale("full"), claims={"it works": (0.0, 1.0)}, probe_accuracy=0.5)


# --- recording


def test_a_recorded_report_is_written_and_compared_with_nothing(record, strict, capsys):
    levels = {"chance": {"loss": 5.5}, "baseline": {"loss": 5.4}}
    swept = {"tau": (GAP, 0.2)}
    report(scale(), claims={"it works": (0.0, 1.0)}, from_sweeps=swept, **levels, probe_accuracy=0.1, loss=9)
    assert record() == [
        {
            "kind": "report",
            "metrics": {
                "probe_accuracy": {"value": 0.1, "chance": None, "baseline": None},
                "loss": {"value": 9.0, "chance": 5.5, "baseline": 5.4},
            },
            "claims": [{"claim": "it works", "value": 0.0, "at_least": 1.0}],
            "swept": [{"claim": "tau", "sweep": "tau", "value": 0.1, "at_least": 0.2}],
            "threads": torch.get_num_threads(),
        }
    ]
    printed = capsys.readouterr().out
    assert "recorded and compared with nothing" in printed and "outside" not in printed


def test_expected_reads_the_packaged_file(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(recorded, "files", lambda package: tmp_path)
    (tmp_path / "expected").mkdir()
    (tmp_path / "expected" / "week04.json").write_text(json.dumps(EXPECTED), encoding="utf-8")
    assert recorded.expected("week04") == EXPECTED
    assert recorded.expected("week01") == {}


# --- sweeps


def never(point, seed):
    raise AssertionError("a recorded sweep computes nothing")


@pytest.mark.parametrize("name", ["tiny", "dry", "small", "full"])
def test_sweep_takes_the_nearest_smaller_scale(name):
    assert sweep(scale(name), "tau", never, (0.1, 0.5), own={0.2: 0.45}) == Sweep(
        "tau", (0.1, 0.5), (0.4, 0.5), (0.01, 0.02), "recorded 2026-11-22 at tiny, 3 seeds", {0.2: 0.45}
    )


def test_sweep_reruns_points_with_the_seed_of_the_scale():
    again = sweep(scale(seed=3), "tau", lambda point, seed: point + seed, (0.1, 0.5), own={0.2: 0.45}, rerun=[0.5])
    assert again.own == {0.2: 0.45, 0.5: 3.5} and again.mean == (0.4, 0.5)
    with pytest.raises(ValueError, match="tau has no point 0.3; choose among 0.1, 0.5"):
        sweep(scale(), "tau", never, (0.1, 0.5), rerun=[0.3])


def test_a_sweep_that_was_not_recorded():
    unknown = sweep(scale(), "batch size", never, (64, 256), own={64: 0.4})
    assert unknown.label == "not recorded" and unknown.points == (64, 256) and unknown.own == {64: 0.4}
    assert all(map(math.isnan, unknown.mean + unknown.std))


def test_a_sweep_of_one_seed_has_no_spread(monkeypatch):
    once = json.loads(json.dumps(EXPECTED))
    once["tiny"]["sweeps"]["tau"]["recorded"]["seeds"] = [0]
    monkeypatch.setattr(recorded, "expected", lambda week: once)
    lonely = sweep(scale(), "tau", never, (0.1, 0.5))
    assert lonely.label.endswith("at tiny, 1 seed") and all(map(math.isnan, lonely.std))


def test_a_sweep_of_other_points_says_so(capsys):
    sweep(scale(), "tau", never, (0.1, 0.7))
    assert "recorded for the points [0.1, 0.5], not [0.1, 0.7]" in capsys.readouterr().out


def test_recording_computes_sweeps_only_on_demand(record, monkeypatch):
    assert sweep(scale(), "tau", never, (0.1, 0.5)).label.startswith("recorded")
    monkeypatch.setenv("SSLCOURSE_SWEEPS", "1")
    computed = sweep(scale(seed=2), "tau", lambda point, seed: torch.tensor(point * seed), (0.5, 1.0))
    assert computed.mean == (1.0, 2.0) and all(map(math.isnan, computed.std)) and computed.values == ((1.0,), (2.0,))
    assert record() == [{"kind": "sweep", "name": "tau", "points": [0.5, 1.0], "values": [1.0, 2.0]}]

"""Minutes for a whole notebook: trainings share what is left, and what was cut says so. Loops of one's own, too."""

import math
import signal
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import clock, notices
from sslcourse.train import fit, passes

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def no_limit():
    yield
    clock.start(None)
    notices.forget()


@pytest.fixture
def steps_take(monkeypatch):
    """A clock that goes on with the steps of a training and with nothing else, so that no busy machine is in it."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def trained(seconds_a_step, **settings):
        model = nn.Linear(4, 1)

        def loss_fn(x):
            now[0] += seconds_a_step
            return F.mse_loss(model(x), x[:, :1])

        return fit(loss_fn, model, X, **{"epochs": 100, "batch_size": 8, "progress": False, **settings})

    return trained


def test_trainings_share_what_is_left(steps_take, capsys):
    clock.start(1)
    histories = [
        steps_take(4, label=name, on_epoch=lambda epoch: {"knn": 0.5}) for name in ("first", "second", "third")
    ]
    assert [history.stopped for history in histories] == ["time budget"] * 3
    assert [history.steps for history in histories] == [
        8,
        4,
        2,
    ]  # of 60, 28 and 12 seconds half, and the step that passes it
    assert all(len(history.metrics["knn"]) == len(history.loss) for history in histories)
    assert notices.notice().count("stopped early (time budget)") == 3
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "first: 8 of 500 steps, cut short by the notebook's 1 minute, 28 s of them left."
    assert said[2].startswith("third: 2 of 500 steps") and len(said) == 3


def test_after_the_minutes_every_training_still_makes_one_step(steps_take):
    clock.start(1e-9)
    assert steps_take(1).steps == 1 and steps_take(1).steps == 1


def test_a_training_that_fits_is_left_alone(steps_take, capsys):
    clock.start(5)
    assert steps_take(1, epochs=1).stopped is None and notices.notice() == "" and capsys.readouterr().out == ""


def test_a_budget_of_its_own_counts_where_it_is_less(steps_take, capsys):
    clock.start(5)
    history = steps_take(1, time_budget=3)
    assert history.stopped == "time budget" and history.steps == 4
    assert "minutes" not in capsys.readouterr().out


def test_begin_sets_the_minutes_and_takes_them_away(capsys, monkeypatch):
    sslcourse.begin(4, minutes=5)
    assert 290 < clock.left() <= 300 and capsys.readouterr().out.endswith(", limited to 5 minutes.\n")
    sslcourse.begin(4)
    assert clock.left() == math.inf and "limited" not in capsys.readouterr().out
    monkeypatch.setenv("SSLCOURSE_MINUTES", "2.5")
    sslcourse.begin(4)
    assert 140 < clock.left() <= 150
    sslcourse.begin(4, minutes=1)
    assert clock.left() <= 60
    monkeypatch.setenv("SSLCOURSE_RECORD", "somewhere")  # what is recorded ran to its end
    sslcourse.begin(4)
    assert clock.left() == math.inf


@pytest.mark.parametrize("text", ["0", "-1", "five", "1e3", "nan", "5 minutes", "9" * 9])
def test_minutes_that_are_none_get_one_sentence(text, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_MINUTES", text)
    with pytest.raises(ValueError, match=r"SSLCOURSE_MINUTES is '.+'; it should be the minutes of"):
        sslcourse.begin(4)


@pytest.mark.parametrize("value, error", [(0, ValueError), (-1, ValueError), (math.inf, ValueError), ("5", TypeError)])
def test_begin_refuses_other_minutes(value, error):
    with pytest.raises(error, match="minutes is .*it should be a number greater than 0"):
        sslcourse.begin(4, minutes=value)


# --- loops of one's own


def test_passes_count_and_end_early_at_an_interrupt(capsys):
    assert list(passes(3)) == [0, 1, 2] and notices.notice() == ""
    seen = []
    for epoch in passes(5, label="mine"):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        seen.append(epoch)
    assert seen == [0, 1] and notices.notice() == "mine stopped early (interrupted)"
    assert capsys.readouterr().out == "mine: 2 of 5 epochs, interrupted.\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_passes_share_the_minutes(capsys):
    clock.start(1e-9)
    assert list(passes(4, label="mine")) == [0]
    assert "mine: 1 of 4 epochs, cut short by the notebook's 1e-09 minutes" in capsys.readouterr().out


def test_a_second_interrupt_ends_a_pass_at_once():
    with pytest.raises(KeyboardInterrupt):
        for _ in passes(3):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    for wrong in (0, 2.5, "3", True):
        with pytest.raises((TypeError, ValueError), match="epochs is .*whole number"):
            passes(wrong)


# --- what is said afterwards


class Shell:
    """IPython as far as it is asked."""

    execution_count = 1
    cell = "a"

    def get_parent(self):
        return {"metadata": {"cellId": self.cell}}


def test_a_cut_is_forgotten_when_its_cell_runs_again_and_by_nothing_else(monkeypatch):
    import IPython

    shell = Shell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    notices.remember_cut("training", "interrupted")
    notices.remember_cut("training", None)  # the next one of the same name, in the same cell
    assert notices.notice() == "training stopped early (interrupted)"
    shell.cell, shell.execution_count = "b", 2  # another cell with a training of that name
    notices.remember_cut("training", None)
    assert notices.notice()
    shell.cell, shell.execution_count = "a", 3  # the first cell once more
    notices.remember_cut("training", None)
    assert notices.notice() == ""

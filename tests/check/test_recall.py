"""A definition is computed once for the same inputs; student code, and what may answer otherwise, every time."""

from functools import partial

import pytest
import torch

from sslcourse.check import recall as module
from sslcourse.check.recall import recall


@pytest.fixture
def ours(monkeypatch):
    """Makes a function of the checks of a function here, and counts its calls."""
    monkeypatch.setattr(module, "_known", {})

    def made(function):
        function.__module__ = "sslcourse.check.week01.oracle"
        return function

    return made


def total(x, calls=(), *, times=1):
    TOTALS.append(1)
    return x.sum() * times


TOTALS = []


@pytest.fixture
def counted(ours):
    TOTALS.clear()
    return ours(total)


def test_the_same_inputs_are_computed_once(counted):
    assert [float(recall(counted, x)) for x in (torch.ones(3), torch.ones(3), torch.ones(1, 3), torch.ones(4))] == [
        3.0,
        3.0,
        3.0,
        4.0,
    ]
    assert len(TOTALS) == 3
    recall(counted, torch.ones(3, dtype=torch.float64))
    recall(partial(counted, times=2), torch.ones(3))
    assert len(TOTALS) == 5


def test_what_is_changed_afterwards_is_not_what_is_remembered(counted):
    x = torch.ones(3)
    recall(counted, x).add_(1)
    assert float(recall(counted, x)) == 3.0
    x[0] = 5
    assert float(recall(counted, x)) == 7.0


def test_what_may_answer_otherwise_is_called_again(ours, counted):
    generator = torch.Generator().manual_seed(0)
    drawn = ours(lambda g: torch.rand(3, generator=g))
    assert not torch.equal(recall(drawn, generator), recall(drawn, generator))
    state = []
    closure = ours(lambda x: state.append(1) or len(state))
    assert [recall(closure, 0), recall(closure, 0)] == [1, 2]
    assert [recall(partial(total, calls=[]), torch.ones(2)) for _ in range(2)] and len(TOTALS) == 2

    def of_the_student(x):
        state.append(1)
        return len(state)

    student = partial(of_the_student)
    assert [recall(student, 0), recall(student, 0)] == [3, 4]
    grown = torch.ones(3, requires_grad=True)
    assert recall(counted, grown).requires_grad and recall(counted, grown).requires_grad


def test_only_so_many_are_kept(ours, monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    double = ours(lambda x: 2 * x)
    assert [recall(double, n) for n in range(10)] == list(range(0, 20, 2))
    assert len(module._known) == 3

"""What holds for every check, whatever the filters of a notebook are and whatever shape a right answer has.

The right answers are the reference solutions, read anew from their files as a student's own code would be.
"""

import functools
import importlib
import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import verdict

import sslcourse
from sslcourse import missing

WEEKS = [f"week{n:02d}" for n in range(1, 13)] + ["bonus", "bonus_jepa"]
CHECKS = {week: importlib.import_module(f"sslcourse.check.{week}") for week in WEEKS}
EXERCISES = [(week, name) for week in WEEKS for name in missing._announced[week]]


@functools.cache
def solutions(week):
    """The module of a week's solutions under another name: nothing in it is marked as a reference, or the library's."""
    path = Path(sslcourse.__file__).parent / "solutions" / f"{week}.py"
    spec = importlib.util.spec_from_file_location(f"own_{week}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def decorated(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def inherited(right):
    """A class that adds nothing but an attribute to what is right; of a function, a partial object."""
    if isinstance(right, type):
        return type(right.__name__, (type("Base", (right,), {}),), {"width": 3})
    return functools.partial(right)


def by_another_road(right):
    """A class with something else mixed in; of a function, a decorated one."""
    if isinstance(right, type):
        return type(right.__name__, (type("Mixin", (), {"describe": lambda self: "mine"}), right), {})
    return decorated(right)


@pytest.fixture(params=[("ignore", inherited), ("error", by_another_road)], ids=["ignore", "error"])
def careless(request, monkeypatch):
    """What earlier cells of a notebook may have switched: filters and error states, dtype, gradients, logging."""
    action, form = request.param
    before = np.geterr(), torch.get_default_dtype()
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        np.seterr(all="raise" if action == "error" else "ignore")
        torch.set_default_dtype(torch.float64)
        with torch.autograd.set_grad_enabled(False), torch.autocast("cpu", torch.bfloat16):
            yield form
    np.seterr(**before[0])
    torch.set_default_dtype(before[1])


@pytest.mark.parametrize(("week", "name"), EXERCISES, ids=[f"{week} {name}" for week, name in EXERCISES])
def test_a_right_answer_is_right_in_any_notebook_and_any_shape(week, name, careless):
    submission = careless(getattr(solutions(week), name))
    outcome, text = verdict(getattr(CHECKS[week], name), submission)
    assert outcome == "right", text


def test_every_week_is_here():
    assert len(EXERCISES) > 60
    folder = Path(sslcourse.__file__).parent / "check"
    assert {path.name for path in folder.iterdir() if (path / "__init__.py").is_file()} == set(WEEKS)
    for week, name in EXERCISES:
        assert getattr(CHECKS[week], name).__name__ == name

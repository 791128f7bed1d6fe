"""Honest submissions of every week get full marks, blank ones none; each exercise alone, as in a class."""

import json

import pytest
from submissions import ROOT, handed, solved

from sslcourse.cli.grade import notebook, released

WEEKS = released.known(ROOT)


def judged(server, plan, made, tmp_path):
    path = tmp_path / "submitted.ipynb"
    path.write_text(json.dumps(made), encoding="utf-8")
    _, verdicts = server.judge("somebody", plan.week, notebook.read(path), 20)
    return {name: f"{verdict.kind}. {verdict.message}" for name, verdict in verdicts.items()}


@pytest.mark.parametrize("week", WEEKS)
def test_full_marks_and_none(week, server, plans, tmp_path):
    plan = plans[week]
    honest = judged(server, plan, solved(plan), tmp_path)
    assert set(honest) == {exercise.name for exercise in plan.graded}
    assert {name: text for name, text in honest.items() if not text.startswith("right.")} == {}
    blank = judged(server, plan, handed(plan), tmp_path)
    assert {name: text for name, text in blank.items() if not text.startswith("not attempted.")} == {}


def test_most_exercises_are_judged_where_no_verdict_can_be_forged(plans):
    graded = [exercise for plan in plans.values() for exercise in plan.graded]
    assert sum(exercise.plain for exercise in graded) >= 0.6 * len(graded)

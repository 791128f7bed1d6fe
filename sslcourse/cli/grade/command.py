"""The two commands: judge a folder of submissions, and mend one for nbgrader."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import joblib

from sslcourse.cli import Refusal
from sslcourse.cli.grade import collect, fence, gradebook, nursery, pool, released, repair, report
from sslcourse.cli.grade.plan import Graded, Plan


def grade(
    root: Path, submissions: Path, results: Path, week: str | None, jobs: int | None, seconds: int, course: Path | None
) -> int:
    """Judge a folder of submissions and write what comes of it. 1 where something was refused or needs a person."""
    if not nursery.available():
        raise Refusal("Grading forks a process for each exercise, which this system cannot; use Linux, macOS or WSL.")
    plans = _plans(root, week)
    _apart(submissions, results)
    if course is not None:
        gradebook.must_be_ready(course)
    found, refused = collect.collect(submissions, plans, week)
    plans = {name: plan for name, plan in plans.items() if name in {one.week for one in found}}
    for words in fence.lacking():
        print(f"Mind: on this system student code could {words}.")

    hidden = [root / "notebooks", root / "tests", submissions.resolve(), results.resolve()]
    hidden += [course.resolve()] if course else []
    graded = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(pool.judge)(one.student, one.week, one.path.name, one.submitted, seconds, plans, hidden)
        for one in found
    )
    everything = sorted([*graded, *refused], key=lambda one: (one.week, one.student))
    for name in sorted({one.week for one in everything}):
        report.write(results, plans.get(name), [one for one in everything if one.week == name], name)
    if course is not None:
        gradebook.enter(root, course, plans, found, graded)
    return _told(everything, plans, results)


def mend(root: Path, submissions: Path, to: Path, week: str | None) -> int:
    """Write the submissions as nbgrader can take them, in its own layout. 1 where some were refused."""
    plans = _plans(root, week)
    _apart(submissions, to)
    found, refused = collect.collect(submissions, plans, week)
    for one in found:
        notes = repair.write(root, plans[one.week], one, to)
        _say(f"{one.student}, {one.week}: {' '.join(notes) or 'nothing to mend.'}")
    for one in refused:
        _say(f"{one.student}: refused, {one.file}. {one.refusal}")
    print(f"{len(found)} notebooks in {to}; the submissions themselves are as they were.")
    return int(bool(refused))


def _plans(root: Path, week: str | None) -> dict[str, Plan]:
    weeks = released.known(root) if week is None else [week]
    if not weeks:
        raise Refusal("There are no solved notebooks in notebooks/solutions; grade in a copy that has them.")
    return {name: released.plan(root, name) for name in weeks}


def _apart(submissions: Path, results: Path) -> None:
    """Results lie beside the submissions, not among them, where the next run would take them for some."""
    inner, outer = results.resolve(), submissions.resolve()
    if inner == outer or outer in inner.parents:
        raise Refusal(f"{results} lies within {submissions}; name a folder elsewhere for what is written.")
    if results.exists() and not results.is_dir():
        raise Refusal(f"{results} is a file; name a folder.")


def _told(everything: Iterable[Graded], plans: dict[str, Plan], results: Path) -> int:
    refused = [one for one in everything if one.refusal]
    graded = [one for one in everything if not one.refusal]
    for one in refused:
        _say(f"Refused: {one.student}, {one.file}. {one.refusal}")
    for one in graded:
        for name, verdict in one.verdicts.items():
            if verdict.for_a_person:
                _say(f"For you to look at: {one.student}, {name}. {verdict.message}")
    print(f"Graded {len(graded)} submissions, refused {len(refused)}: {os.path.join(results, '')}")
    return int(bool(refused))


def _say(line: str) -> None:
    """Print a line with names that no encoding may hold: those of files are bytes."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding))

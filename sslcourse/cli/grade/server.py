"""The judging process of one worker: it holds the checks, has two nurseries, and judges one submission after another.

`python -m sslcourse.cli.grade.server DESCRIPTOR WEEK ...` serves pickled requests of the worker that started it: those
are ours. Started as a program of its own, so that nothing a worker has loaded, and no thread of it, is forked.
"""

import gc
import hashlib
import importlib
import json
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch

import sslcourse
from sslcourse.check import machinery
from sslcourse.check.outcomes import NotAttempted, Told
from sslcourse.cli.grade import library, pull, screen, student
from sslcourse.cli.grade.apart import Remote
from sslcourse.cli.grade.nursery import Nursery, scratch_folder
from sslcourse.cli.grade.plan import KINDS, Exercise, Plan, Task, Verdict
from sslcourse.cli.grade.values import Gone, Packer

WALL = 3  # times the seconds of computing that an exercise has are what it may last, waiting and all
KNOWN = 50_000  # verdicts that are kept
PACKAGE = Path(sslcourse.__file__).parent
_TOO_LONG = -24  # SIGXCPU: the limit on computing
_SIGNALS = {-9: "it was killed", -11: "it crashed", -6: "it was aborted", -25: "it wrote too much"}


class Judge:
    """Judges submissions of some weeks. plans are given to it only when both nurseries are there.

    What is in this process when a nursery is forked is in the memory of student code: so checks come after the first
    one, and solutions, which are in the plans, after both.
    """

    def __init__(self, weeks: list[str], modules: list[str], hidden: list[Path], close: list):
        torch.set_num_threads(1)
        library.load()
        _import(modules)
        _warm(optimizers=any("torch.optim" in _text_of_checks(week) for week in weeks))
        # What is here stays: no child's collector walks over it, which would copy every page that it shares with us.
        gc.collect()
        gc.freeze()
        hidden = [PACKAGE, *hidden]
        self.plans: dict[str, Plan] = {}
        self.known: dict[str, Verdict] = {}
        self.apart = Nursery(student.main, hidden, close)
        for week in weeks:
            importlib.import_module(f"sslcourse.check.{week}")
        gc.freeze()
        self.together = Nursery(student.main, hidden, [*close, self.apart.link])

    def close(self) -> None:
        self.together.close()
        self.apart.close()

    def submission(self, task: Task) -> dict[str, Verdict]:
        """The verdict of every exercise; an earlier one is the student's where right, else the reference."""
        plan = self.plans[task.week]
        right: set[str] = set()
        verdicts = {}
        for exercise in plan.exercises:
            if exercise.given:
                if exercise.name in task.sources:  # not graded; later exercises build on the student's
                    right.add(exercise.name)
                continue
            verdict = self.exercise(plan, exercise, task, right)
            verdicts[exercise.name] = verdict
            if verdict.kind == "right":
                right.add(exercise.name)
        return verdicts

    def exercise(self, plan: Plan, exercise: Exercise, task: Task, right: set[str]) -> Verdict:
        if (refusal := task.refused.get(exercise.name)) is not None:
            return Verdict("by hand", refusal)
        source = task.sources.get(exercise.name)
        if source is None:
            return Verdict("not attempted", f"not attempted. {task.reason(exercise.name)}")
        if source.split() == exercise.blank.split():
            return Verdict("not attempted", "not attempted.")
        cells = plan.before(exercise.name, {name: task.sources[name] for name in right}, task.helpers)
        job = {"week": plan.week, "name": exercise.name, "seconds": task.seconds, "reason": task.reason(exercise.name)}
        # Inputs come from fixed seeds, so that the same code in the same place has the same verdict.
        key = hashlib.sha256(json.dumps([job, cells, source]).encode()).hexdigest()
        if key not in self.known:
            verdict = self._judged(exercise, job, cells, source)
            if len(self.known) > KNOWN or verdict.broken:
                return verdict
            self.known[key] = verdict
        return self.known[key]

    def _judged(self, exercise: Exercise, job: dict, cells: list[list], source: str) -> Verdict:
        if exercise.plain:
            verdict = self._apart(job | {"cells": [*cells, [source, True]], "together": False})
            if verdict is not None:
                return verdict
        if reason := screen.objection(source):
            return Verdict("by hand", f"This check runs beside your code, and {reason}: a person looks at it.")
        safe = [[text, own] for text, own in cells if not own or not screen.objection(text)]
        return self._together(job | {"cells": [*safe, [source, True]], "together": True})

    def _apart(self, job: dict) -> Verdict | None:
        """None where the check hands over more than plain values."""
        with scratch_folder() as scratch:
            channel, pid = self.apart.born(scratch)
            channel.deadline = time.monotonic() + WALL * job["seconds"]
            remote, verdict = Remote(channel), None
            try:
                submission = remote.begin(job)
                verdict = Verdict(*_short(machinery.judge(job["week"], job["name"], submission)))
            except NotAttempted as absent:
                verdict = Verdict("not attempted", str(absent))
            except Told:
                pass  # remote.broken says why
            finally:
                channel.close()
                status = self.apart.end(pid)
            if not remote.plain:
                return None
            return _broken(remote.broken, status, job["seconds"]) if remote.broken else verdict

    def _together(self, job: dict) -> Verdict:
        with scratch_folder() as scratch:
            channel, pid = self.together.born(scratch)
            channel.deadline = time.monotonic() + WALL * job["seconds"]
            broken, kind, message, remarks = "", "", "", []
            try:
                channel.send(Packer(strict=True).frame(job))
                kind, message, remarks = _verdict(channel.receive().message)
            except Gone as gone:
                broken = "late" if gone.late else "ended"
            except (ValueError, KeyError, TypeError):
                broken = "What came back from your code cannot be read."
            finally:
                channel.close()
                status = self.together.end(pid)
            return _broken(broken, status, job["seconds"]) if broken else Verdict(*_short((kind, message, remarks)))


def _verdict(message: dict) -> tuple[str, str, list[str]]:
    """As a child of student code says it. ValueError or KeyError where it is none."""
    kind, text, remarks = message["verdict"]
    if kind not in KINDS or not isinstance(text, str) or not isinstance(remarks, list):
        raise ValueError(kind)
    return kind, text, [str(remark) for remark in remarks]


def _short(judged: tuple[str, str, list[str]]) -> tuple[str, str, list[str]]:
    kind, message, remarks = judged
    return kind, message[:4000], [remark[:2000] for remark in remarks[:20]]


def _broken(why: str, status: int, seconds: int) -> Verdict:
    late = f"not yet right. It takes more than {seconds} seconds, all calls of the check together."
    if why == "late" or (why == "ended" and status == _TOO_LONG):
        return Verdict("wrong", late, broken=True)
    if why == "ended" and status == student.FAILED:
        return Verdict("check failed", "The process that should judge it failed by itself.", broken=True)
    if why == "ended":
        how = _SIGNALS.get(status, f"with the code {status}" if status >= 0 else f"by signal {-status}")
        return Verdict("wrong", f"not yet right. Its process ended while it ran: {how}.", broken=True)
    return Verdict("wrong", f"not yet right. {why}", broken=True)


def _import(modules: list[str]) -> None:
    """What set-up and solutions import, functions included, so that no child has to."""
    for name in modules:
        if not name.startswith(library.APART):
            try:
                importlib.import_module(name)
            except ImportError:
                continue  # a name within a module, or a package that is not here


def _warm(optimizers: bool) -> None:
    """What torch imports at its first use: a second of every child for gradients, three for an optimizer."""
    weights = torch.ones(2, requires_grad=True)
    torch.autograd.grad(weights.square().sum(), [weights], torch.ones(()))
    if optimizers:
        torch.optim.SGD([weights], 0.1)


def _text_of_checks(week: str) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in (PACKAGE / "check" / week).glob("*.py"))


def main(arguments: list[str]) -> None:
    connection = Connection(int(arguments[0]))
    judge = Judge(*connection.recv(), [connection])
    connection.send("ready")
    judge.plans = plans = connection.recv()
    while True:
        try:
            student_name, week, submitted, seconds = connection.recv()
        except EOFError:
            break
        task = pull.pull(submitted, plans[week], student_name)
        task.seconds = seconds
        connection.send((task, judge.submission(task)))
    judge.close()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])

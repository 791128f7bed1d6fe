"""Judging many submissions at once: joblib hands them to workers, and each worker has one judging process of its own.

What travels to a worker is the cells of one notebook, what comes back the verdicts: so a worker may be on another
machine, by whatever backend joblib is told to use. A worker needs neither torch nor the checks; its judging process
loads them once, for all submissions that the worker gets.
"""

import atexit
import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from sslcourse.cli import Refusal
from sslcourse.cli.grade.notebook import Submitted
from sslcourse.cli.grade.plan import Graded, Plan, Task, Verdict

STARTING = 900  # seconds that the judging process may take to load torch, on the slowest of machines
CLOSING = 5  # seconds to end by itself
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")
_servers: dict[int, "Server"] = {}


class Server:
    """One judging process, as its worker sees it."""

    def __init__(self, plans: dict[str, Plan], hidden: list[Path]):
        self.plans, self.hidden = plans, hidden
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        package = str(Path(__file__).parents[3])
        environment |= {"PYTHONPATH": package, "PYTHONHASHSEED": "0", "SSLCOURSE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
        environment |= {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        environment |= {"MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "sslcourse.cli.grade.server", str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        theirs.close()
        self.connection = Connection(ours.detach())
        weeks = [week for week, plan in plans.items() if plan.graded]
        modules = sorted({name for plan in plans.values() for name in plan.modules()})
        self.connection.send((weeks, modules, hidden))
        if self._answer(STARTING) != "ready":
            said = self.process.stderr.read().decode(errors="replace").strip().split("\n")[-1]
            raise Refusal(f"The judging process does not start: {said}")
        self.connection.send(plans)

    def judge(
        self, student: str, week: str, submitted: Submitted, seconds: int
    ) -> tuple[Task, dict[str, Verdict]] | None:
        """None where the judging process ends or hangs over this submission."""
        try:
            self.connection.send((student, week, submitted, seconds))
        except BrokenPipeError:
            return None
        return self._answer(4 * seconds * (len(self.plans[week].exercises) + 1))

    def _answer(self, seconds: float) -> object:
        try:
            return self.connection.recv() if self.connection.poll(seconds) else None
        except (EOFError, ConnectionResetError):
            return None

    def close(self) -> None:
        self.connection.close()
        try:
            self.process.wait(CLOSING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


def judge(
    student: str, week: str, file: str, submitted: Submitted, seconds: int, plans: dict[str, Plan], hidden: list[Path]
) -> Graded:
    """One submission, in the judging process of this worker."""
    judged = server(plans, hidden).judge(student, week, submitted, seconds)
    if judged is None:  # the next submission gets a new one
        close()
        return Graded(student, week, file, refusal="The judging process ended or hung over it: grade it by hand.")
    task, verdicts = judged
    return Graded(student, week, file, task, verdicts)


def server(plans: dict[str, Plan], hidden: list[Path]) -> Server:
    """The one of this process, started where there is none or where it does not know a week."""
    there = _servers.get(os.getpid())
    if there is None or not all(there.plans.get(week) == plan for week, plan in plans.items()):
        close()
        there = _servers[os.getpid()] = Server(plans, hidden)
    return there


def close() -> None:
    """End the judging process of this worker."""
    there = _servers.pop(os.getpid(), None)
    if there is not None:
        there.close()


atexit.register(close)

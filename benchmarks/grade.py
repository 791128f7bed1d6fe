"""Submissions a minute: `sslcourse grade` beside `nbgrader autograde` at scale dry, on the same submissions.

    python benchmarks/grade.py

Every submission is another one: the exercises are solved, and a comment of its own stands in each, so that nothing can
be judged once for all. nbgrader runs as many processes as `grade` has jobs, a student each; since it starts anew for
every notebook, a sample of the class tells its speed. The start of `grade` counts.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rows import Row, show

ROOT = Path(__file__).parents[1]
WEEK, STUDENTS, SAMPLE, JOBS = "week04", 24, 4, 2  # of the class, a sample is enough for nbgrader
COMMAND = [sys.executable, "-c", "import sys; from sslcourse.cli import main; sys.exit(main())"]


def submissions(folder: Path, week: str, students: int) -> None:
    """STUDENT/WEEK/NOTEBOOK for so many students."""
    from sslcourse.cli.grade import released

    plan = released.plan(ROOT, week)
    text = (ROOT / "notebooks" / f"{plan.notebook}.ipynb").read_text(encoding="utf-8")
    solutions = {exercise.cell: exercise.solution for exercise in plan.exercises}
    for n in range(students):
        notebook = json.loads(text)
        for cell in notebook["cells"]:
            if cell["id"] in solutions:
                cell["source"] = f"{solutions[cell['id']]}\n\n# by student {n}"
        path = folder / f"student{n}" / week / f"{plan.notebook}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")


def rows() -> Iterator[Row]:
    # nbgrader looks for alembic on the path, also where it was started as a module.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ |= {"SSLCOURSE_SCALE": "dry", "SSLCOURSE_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": path}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        course, submitted = folder / "course", folder / "course" / "submitted"
        run([*COMMAND, "release", WEEK, "--nbgrader", str(course)], ROOT)
        run([sys.executable, "-m", "nbgrader", "generate_assignment", WEEK], course)
        submissions(submitted, WEEK, STUDENTS)

        command = ["grade", str(submitted), "--to", str(folder / "results"), "--jobs", str(JOBS)]
        ours = timed(lambda: run([*COMMAND, *command], ROOT))
        theirs = timed(lambda: autograde(course))
    (wall, cpu), (peer_wall, peer_cpu) = ([one / n for one in took] for took, n in ((ours, STUDENTS), (theirs, SAMPLE)))
    what, note = f"{WEEK}, {JOBS} processes", f"{STUDENTS} submissions, {SAMPLE} of them by nbgrader; one round"
    rates = f"{60 / wall:.1f} a minute", "nbgrader autograde", f"{60 / peer_wall:.1f} a minute"
    yield Row(what, *rates, peer_wall / wall, goal=8, note=note)
    each = f"{cpu:.1f} s of CPU each", "nbgrader autograde", f"{peer_cpu:.1f} s of CPU each"
    yield Row(what, *each, peer_cpu / cpu, note=note)


def autograde(course: Path) -> None:
    """nbgrader's own command for every student, so many at once."""
    running: list[subprocess.Popen] = []
    for n in range(SAMPLE):
        if len(running) == JOBS:
            finished(running.pop(0))
        command = [sys.executable, "-m", "nbgrader", "autograde", WEEK, "--student", f"student{n}"]
        running.append(subprocess.Popen(command, cwd=course, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for process in running:
        finished(process)


def finished(process: subprocess.Popen) -> None:
    if process.wait():
        raise SystemExit(f"nbgrader failed with {process.returncode}")


def run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def timed(work) -> tuple[float, float]:
    """Seconds of wall clock, and of computing in all processes that ended meanwhile."""
    before, start = os.times(), time.perf_counter()
    work()
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    return time.perf_counter() - start, cpu


if __name__ == "__main__":
    show(rows())

"""Submissions a minute: `sslcourse grade` beside `nbgrader autograde` at scale dry, on the same submissions.

    python benchmarks/grade.py [--week week04] [--students 24] [--sample 4] [--jobs 2]

Every submission is another one: the exercises are solved, and a comment of its own stands in each, so that nothing can
be judged once for all. nbgrader runs as many processes as `grade` has jobs, a student each; since it starts anew for
every notebook, a sample of the class tells its speed. The start of `grade` counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--week", default="week04")
    parser.add_argument("--students", type=int, default=24)
    parser.add_argument("--sample", type=int, default=4, help="of the students, for nbgrader")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    os.environ |= {"SSLCOURSE_SCALE": "dry", "SSLCOURSE_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        course, submitted = folder / "course", folder / "course" / "submitted"
        run([*COMMAND, "release", options.week, "--nbgrader", str(course)], ROOT)
        run([sys.executable, "-m", "nbgrader", "generate_assignment", options.week], course)
        submissions(submitted, options.week, options.students)

        command = ["grade", str(submitted), "--to", str(folder / "results"), "--jobs", str(options.jobs)]
        ours = timed(lambda: run([*COMMAND, *command], ROOT))
        theirs = timed(lambda: autograde(course, options))
    print(f"{options.week}, {options.jobs} processes at once")
    rows = (("sslcourse grade", ours, options.students), ("nbgrader autograde", theirs, options.sample))
    for name, (wall, cpu), n in rows:
        rate, each = 60 * n / wall, cpu / n
        print(f"{name:20}{n:4} submissions{wall:8.1f} s{rate:8.1f} a minute{each:8.1f} s of CPU each")
    walls, cpus = ([row[1][which] / row[2] for row in rows] for which in (0, 1))
    print(f"{walls[1] / walls[0]:.1f} times as many a minute; {cpus[1] / cpus[0]:.1f} times less computing")


def autograde(course: Path, options: argparse.Namespace) -> None:
    """nbgrader's own command for every student, so many at once."""
    running: list[subprocess.Popen] = []
    for n in range(options.sample):
        if len(running) == options.jobs:
            finished(running.pop(0))
        command = [sys.executable, "-m", "nbgrader", "autograde", options.week, "--student", f"student{n}"]
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
    main()

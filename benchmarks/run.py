"""`sslcourse run` here against that of commit 1c2d787: its notebooks in at most 0.55 of its time, ours in at most 0.8.

    python benchmarks/run.py [WEEK ...]

Each executes the same notebooks, strictly, with its own library and in its own way: then one after another with all
cores, now side by side with one thread each; the last run is of the notebooks of today, which train longer in four
weeks and are one more. The runs follow each other, so run it where nothing else runs: all weeks take from fifteen
minutes to an hour on two cores. A notebook of then that the library of today does not run is left out on
both sides, and named. Needs git and the commit.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rows import Row, show

ROOT = Path(__file__).parents[1]
THEN = "1c2d787"
COMMAND = "import sys; from sslcourse.cli import main; sys.exit(main())"


def timed(course: Path, weeks: list[str]) -> tuple[float, float, dict[str, float], set[str]]:
    """Seconds of wall clock of one run, of all processors, wall clock of each notebook in it, and which failed."""
    environment = os.environ | {"PYTHONPATH": str(course), "SSLCOURSE_STRICT": "1"}
    environment.pop("OMP_NUM_THREADS", None)
    began, used = time.perf_counter(), processor_seconds()
    command = [sys.executable, "-P", "-c", COMMAND, "run", *weeks]
    subprocess.run(command, cwd=course, env=environment, stdout=subprocess.DEVNULL)
    took, used = time.perf_counter() - began, processor_seconds() - used
    ran = {path.stem: json.loads(path.read_text())["metadata"] for path in (course / "runs").glob("*.ipynb")}
    ran = {name: metadata["sslcourse"]["run"] for name, metadata in ran.items()}
    failed = {name for name, run in ran.items() if run["error"]}
    return took, used, {name: run["seconds"] for name, run in ran.items() if name not in failed}, failed


def processor_seconds() -> float:
    """Of all processes that have ended below this one; other programs, which take turns with them, count little."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rows() -> Iterator[Row]:
    weeks = sys.argv[1:] if __name__ == "__main__" else []
    with tempfile.TemporaryDirectory() as folder:
        then, now, own = (Path(folder, name) for name in ("then", "now", "own"))
        then.mkdir()
        archive = subprocess.run(["git", "archive", THEN], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "-x", "-C", str(then)], input=archive.stdout, check=True)
        # The same notebooks and what they compare themselves with; everything else is this checkout's.
        for course in (now, own):
            shutil.copytree(ROOT / "sslcourse", course / "sslcourse", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "notebooks", own / "notebooks")
        shutil.rmtree(now / "sslcourse" / "expected")
        for part in ("notebooks", "sslcourse/expected", "sslcourse/solutions"):
            shutil.copytree(then / part, now / part, dirs_exist_ok=True)

        took_now, used_now, each_now, failed = timed(now, weeks)
        if failed:
            for name in sorted(failed):
                yield Row(name, "not run", "then", "", note="a notebook of then that fails with the library of today")
            shutil.rmtree(now / "runs")
            took_now, used_now, each_now, _ = timed(now, sorted(each_now))
        took_then, used_then, each_then, failed = timed(then, sorted(each_now))
        if failed:
            sys.exit(f"{', '.join(sorted(failed))} failed with their own library; a comparison would mean nothing.")
        took_own, _, each_own, failed = timed(own, weeks)
        if failed:
            sys.exit(f"{', '.join(sorted(failed))} failed; a comparison would mean nothing.")

    for name, seconds in sorted(each_now.items()):
        yield Row(name, f"{seconds:.0f} s", "then", f"{each_then[name]:.0f} s", note="beside another notebook now")
    what, peer = f"{len(each_now)} notebooks", f"commit {THEN}"
    yield Row(what, f"{took_now:.0f} s", peer, f"{took_then:.0f} s", took_then / took_now, goal=1.82, note="one round")
    cpu = f"{used_now:.0f} s of CPU", peer, f"{used_then:.0f} s of CPU"
    yield Row(what, *cpu, used_then / used_now, note="one round; then with all cores, now with one thread a notebook")
    what = f"today's {len(each_own)} notebooks"
    yield Row(what, f"{took_own:.0f} s", peer, f"{took_then:.0f} s", took_then / took_own, goal=1.25, note="one round")


if __name__ == "__main__":
    show(rows())

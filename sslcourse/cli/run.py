"""`sslcourse run`: execute the solved notebooks, without a browser and several at once, one thread each.

Leaves the executed notebooks and one page with every figure and result in runs/, which one run at a time may write to.
A notebook that fails, that takes longer than its scale allows (kernel.MINUTES) or more memory than there is does not
stop the others. Strict unless SSLCOURSE_STRICT=0: what must show is then asserted.
"""

import contextlib
import datetime
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nbformat import NotebookNode
from tqdm.auto import tqdm

from sslcourse.cli import Refusal, files, page, slowest, source
from sslcourse.cli.forked import HERE, Nursery
from sslcourse.cli.kernel import KEPT_MEMORY, ONE_THREAD, NotebookFailed, Usage, Watch, execute, merged, minutes
from sslcourse.cli.together import Task, side_by_side

_lines: set[int] = set()  # of the terminal that bars hold
_taking = threading.Lock()


@dataclass(frozen=True)
class Result:
    """One executed notebook: what it took, or the error that stopped it ("" when it went through)."""

    name: str
    usage: Usage | None
    error: str


def run(root: Path, weeks: list[str], scale: str, jobs: int | None = None, profile: bool = False) -> int:
    """Execute the solution notebooks of some weeks, or of all, `jobs` at once. Returns 1 if one of them failed."""
    failed, went = False, {}
    paths = find_notebooks(root, weeks)
    minutes(scale)  # a setting that is no number is refused before the work
    recorded = {path: _recorded(root, path, scale) for path in paths}
    paths.sort(key=lambda path: -recorded[path].get("seconds", 0))  # the longest first, so that none is left over
    jobs = min(jobs or at_once(scale), len(paths))
    with alone(root), contextlib.ExitStack() as stack:
        nursery = None
        if HERE and scale in ("dry", "tiny") and len(paths) > jobs:
            nursery = stack.enter_context(Nursery(merged(_environment(scale, None))))
        tasks = [
            Task(
                path.stem,
                # While the nursery grows up on one core, the first notebook starts by itself on another.
                partial(run_notebook, root, path, scale, nursery=None if n == 0 and jobs > 1 else nursery),
                int(recorded[path].get("peak_memory_mb", 1024)) << 20,
            )
            for n, path in enumerate(paths)
        ]
        results = stack.enter_context(contextlib.closing(side_by_side(tasks, jobs, tell=_say)))
        for result in results:
            failed |= bool(result.error)
            if result.usage:
                went[result.name] = result.usage
            index = page.write(root / "runs")  # after each, so that an interrupt costs only what was running
    if profile:
        print(slowest.table(went))
    print(f"Figures and results: {index}")
    return int(failed)


def at_once(scale: str) -> int:
    """How many notebooks run side by side unless somebody says: one a core, but at full, with its one GPU, one."""
    if scale == "full":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _recorded(root: Path, path: Path, scale: str) -> dict:
    """Seconds and memory of a notebook when it was recorded; {} where it never was."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        file = root / "sslcourse" / "expected" / f"{source.week_of(path.stem)}.json"
        recorded = json.loads(file.read_text(encoding="utf-8"))["tiny" if scale == "dry" else scale]["recorded"]
        return {name: float(recorded[name]) for name in ("seconds", "peak_memory_mb")}
    return {}


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lock on runs/, a file beside it. Raises Refusal where another run of this checkout has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(root / ".runs.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Refusal(
            f"Another sslcourse run is writing to {root / 'runs'}; wait until it has ended, or work in another copy."
        ) from None
    except OSError as error:
        raise Refusal(f"{root} cannot be written ({error.strerror or error}), so nothing can be run in it.") from error
    try:
        yield
    finally:
        lock.release()


def find_notebooks(root: Path, weeks: list[str]) -> list[Path]:
    """The solution notebooks of some weeks ("week04" or "week04_simclr"), or all."""
    there = {path.stem: path for path in sorted((root / "notebooks" / "solutions").glob("*.ipynb"))}
    if not there:
        raise Refusal("There are no solution notebooks in notebooks/solutions; a hand-out for students has none.")
    found = [path for name, path in there.items() if not weeks or {name, source.week_of(name)} & set(weeks)]
    for week in weeks:
        if not any(week in (name, source.week_of(name)) for name in there):
            raise Refusal(f"There is no solution notebook of {week}; choose from {', '.join(there)}.")
    return found


def run_notebook(
    root: Path,
    path: Path,
    scale: str,
    seed: int | None = None,
    environment: dict[str, str | None] | None = None,
    *,
    nursery: Nursery | None = None,
    watch: Watch | None = None,
) -> Result:
    """Execute one notebook, write it into runs/ with what it took, print a line about it."""
    notebook = files.must_read(path)
    name = path.stem if seed is None else f"{path.stem}_seed{seed}"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None

    usage, error, trace = None, "", ""
    code = sum(cell.cell_type == "code" for cell in notebook.cells)
    with _line() as position, _bar(total=code, desc=f"{name} at {scale}", position=position) as bar:
        try:
            usage = execute(
                notebook,
                path.parent,  # as Jupyter does; the data root of the checkout is found from here
                _environment(scale, seed) | (environment or {}),
                on_cell=lambda cell: _tell(bar, cell),
                minutes=minutes(scale, sweeps=bool((environment or {}).get("SSLCOURSE_SWEEPS"))),
                watch=watch,
                nursery=nursery,
            )
        except NotebookFailed as failure:
            error, trace = str(failure), failure.traceback

    _save(root / "runs" / f"{name}.ipynb", notebook, scale, usage, error)
    took = f"{usage.seconds:.0f} s with the kernel's start, {usage.peak_memory_mb:.0f} MB at most" if usage else ""
    _say(f"{trace}\n{name}: FAILED in {error}" if error else f"{name}: {took}.")
    return Result(name, usage, error)


@contextmanager
def _line() -> Iterator[int]:
    """A line of the terminal for a bar: the first that no other one holds."""
    with _taking:
        line = min(set(range(len(_lines) + 1)) - _lines)
        _lines.add(line)
    try:
        yield line
    finally:
        _lines.discard(line)


# Bars are for who watches a terminal; a log gets the line at the end of each notebook.
_bar = partial(tqdm, unit="cell", mininterval=1, leave=False, disable=None)


def _say(text: str) -> None:
    """A line of its own, above the bars."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def _tell(bar: tqdm, cell: NotebookNode) -> None:
    """Show which cell runs now."""
    if cell.cell_type == "code":
        bar.update()
        bar.set_postfix_str(cell.id)


def _environment(scale: str, seed: int | None) -> dict[str, str | None]:
    offline = "1" if scale in ("dry", "tiny") else None
    return {
        "SSLCOURSE_SCALE": scale,
        "SSLCOURSE_STRICT": os.environ.get("SSLCOURSE_STRICT", "1"),
        "SSLCOURSE_RECORD": None,
        "SSLCOURSE_SWEEPS": None,
        **KEPT_MEMORY,
        **(ONE_THREAD if scale != "full" else {}),
        **({"SSLCOURSE_OFFLINE": offline, "HF_HUB_OFFLINE": offline} if offline else {}),
        **({"SSLCOURSE_SEED": str(seed)} if seed is not None else {}),
    }


def _save(path: Path, notebook: NotebookNode, scale: str, usage: Usage | None, error: str) -> None:
    noted = {"scale": scale, "date": datetime.datetime.now().isoformat(" ", "minutes"), "error": error}
    if usage:
        noted |= {"seconds": round(usage.seconds, 1), "peak_memory_mb": round(usage.peak_memory_mb)}
    notebook.metadata.setdefault("sslcourse", {})["run"] = noted
    files.write(path, files.as_text(notebook))

"""`sslcourse run`: execute the solved notebooks one after another, without a browser.

Leaves the executed notebooks and one page with every figure and result in runs/, which one run at a time may write to.
A notebook that fails, or that takes longer than its scale allows (kernel.MINUTES), does not stop the next one. Strict
unless SSLCOURSE_STRICT=0: what must show is then asserted.
"""

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from tqdm.auto import tqdm

from sslcourse.cli import Refusal, files, page, source
from sslcourse.cli.kernel import NotebookFailed, Usage, execute, minutes


@dataclass(frozen=True)
class Result:
    """One executed notebook: what it took, or the error that stopped it ("" when it went through)."""

    name: str
    usage: Usage | None
    error: str


def run(root: Path, weeks: list[str], scale: str) -> int:
    """Execute the solution notebooks of some weeks, or of all. Returns 1 if one of them failed."""
    failed = False
    paths = find_notebooks(root, weeks)
    with alone(root):
        for path in paths:
            failed |= bool(run_notebook(root, path, scale).error)
            index = page.write(root / "runs")  # after each, so that an interrupt costs one notebook only
    print(f"Figures and results: {index}")
    return int(failed)


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
    root: Path, path: Path, scale: str, seed: int | None = None, environment: dict[str, str | None] | None = None
) -> Result:
    """Execute one notebook, write it into runs/ with what it took, print a line about it."""
    notebook = files.must_read(path)
    name = path.stem if seed is None else f"{path.stem}_seed{seed}"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None

    usage, error, trace = None, "", ""
    code = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(total=code, desc=f"{name} at {scale}", unit="cell", mininterval=1) as bar:
        try:
            usage = execute(
                notebook,
                path.parent,  # as Jupyter does; the data root of the checkout is found from here
                _environment(scale, seed) | (environment or {}),
                on_cell=lambda cell: _tell(bar, cell),
                minutes=minutes(scale),
            )
        except NotebookFailed as failure:
            error, trace = str(failure), failure.traceback

    _save(root / "runs" / f"{name}.ipynb", notebook, scale, usage, error)
    took = f"{usage.seconds:.0f} s with the kernel's start, {usage.peak_memory_mb:.0f} MB at most" if usage else ""
    print(f"{trace}\n{name}: FAILED in {error}" if error else f"{name}: {took}.", flush=True)
    return Result(name, usage, error)


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
        **({"SSLCOURSE_OFFLINE": offline, "HF_HUB_OFFLINE": offline} if offline else {}),
        **({"SSLCOURSE_SEED": str(seed)} if seed is not None else {}),
    }


def _save(path: Path, notebook: NotebookNode, scale: str, usage: Usage | None, error: str) -> None:
    noted = {"scale": scale, "date": datetime.datetime.now().isoformat(" ", "minutes"), "error": error}
    if usage:
        noted |= {"seconds": round(usage.seconds, 1), "peak_memory_mb": round(usage.peak_memory_mb)}
    notebook.metadata.setdefault("sslcourse", {})["run"] = noted
    files.write(path, files.as_text(notebook))

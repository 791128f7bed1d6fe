"""`sslcourse build`: from the source scripts to notebooks and solution modules, one way.

A solution notebook is executed at scale tiny and remembers a hash of the code that it ran. The hash covers the sources
of its code cells and nothing else: a change in the text keeps the outputs, and a change in the library is not noticed
here (`--force` executes anew; nbval sees what it breaks).
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from tqdm.auto import tqdm

from sslcourse.cli import Refusal, cells, files, source
from sslcourse.cli.kernel import KEPT_MEMORY, ONE_THREAD, NotebookFailed, execute, minutes

# What the committed outputs are made with, whatever the author's own settings.
_ENVIRONMENT = {
    "SSLCOURSE_SCALE": "tiny",
    "SSLCOURSE_STRICT": "1",
    "SSLCOURSE_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "SSLCOURSE_SEED": None,
    "SSLCOURSE_MINUTES": None,
    "SSLCOURSE_RECORD": None,
    "SSLCOURSE_SWEEPS": None,
    **ONE_THREAD,
    **KEPT_MEMORY,
}


@dataclass(frozen=True)
class Products:
    """Where the three products of a script lie."""

    student: Path
    solution: Path
    module: Path


def products(root: Path, name: str) -> Products:
    return Products(
        student=root / "notebooks" / f"{name}.ipynb",
        solution=root / "notebooks" / "solutions" / f"{name}.ipynb",
        module=root / "sslcourse" / "solutions" / f"{source.week_of(name)}.py",
    )


def build(root: Path, weeks: list[str] | None = None, *, execute: bool = True, force: bool = False) -> int:
    """Make the products of some scripts, or of all. Returns 1 if a notebook failed; its old version then stays."""
    scripts = [source.read(path) for path in source.find_scripts(root, weeks)]
    if not scripts:
        raise Refusal(f"There is no source script in {root / source.FOLDER}.")

    failed = 0
    for script in scripts:
        paths = products(root, script.name)
        files.write(paths.module, cells.solution_module(script))
        files.write(paths.student, files.as_text(cells.student_notebook(script)))
        try:
            print(f"{script.name}: {_build_solution(paths.solution, script, execute, force)}")
        except NotebookFailed as error:
            failed = 1
            print(f"{error.traceback}\n{script.name}: {error}\nThe solution notebook is left as it was.")
    return failed


def _build_solution(path: Path, script: source.Script, execute: bool, force: bool) -> str:
    """Write the solution notebook, executed if need be; says what was done."""
    notebook = cells.solution_notebook(script)
    stale = is_stale(path, script)
    if stale and execute or force:
        seconds = _execute(notebook, path.parent)
        stamp(notebook)
        files.write(path, files.as_text(notebook))
        return f"executed in {seconds:.0f} s."

    # Not executed: the outputs that the old file has for the same code stay, with the hash of what they came from.
    if old := files.read(path):
        carry_outputs(old, notebook)
        noted = old.metadata.get("sslcourse", {})
        notebook.metadata.sslcourse |= {key: value for key, value in noted.items() if key.endswith("_sha256")}
    files.write(path, files.as_text(notebook))
    return "written, stale: not executed." if stale else "up to date."


def _execute(notebook: NotebookNode, folder: Path) -> float:
    folder.mkdir(parents=True, exist_ok=True)
    code = sum(cell.cell_type == "code" for cell in notebook.cells)
    own = dict(notebook.metadata)
    with tqdm(total=code, desc=own["sslcourse"]["week"], unit="cell", mininterval=1) as bar:
        usage = execute(
            notebook,
            folder,
            _ENVIRONMENT,
            on_cell=lambda cell: bar.update(cell.cell_type == "code"),
            minutes=minutes("tiny"),
        )
    notebook.metadata = nbformat.from_dict(own)  # without the version of this kernel's Python
    return usage.seconds


def code_hash(notebook: NotebookNode) -> str:
    """Of the code cells' sources in their order: what was executed."""
    return _sha256([cell.source for cell in notebook.cells if cell.cell_type == "code"])


def outputs_hash(notebook: NotebookNode) -> str:
    """Of the outputs and execution counts: so that a run by hand in a browser is noticed."""
    return _sha256([[cell.execution_count, cell.outputs] for cell in notebook.cells if cell.cell_type == "code"])


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def stamp(notebook: NotebookNode) -> None:
    """Note in a freshly executed notebook what it was executed from and what came out."""
    notebook.metadata.sslcourse |= {"code_sha256": code_hash(notebook), "outputs_sha256": outputs_hash(notebook)}


def is_stale(path: Path, script: source.Script) -> bool:
    """Were the outputs of the solution notebook made by other code than the script holds now, or edited since?"""
    old = files.read(path)
    if old is None:
        return True
    noted = old.metadata.get("sslcourse", {})
    fresh = noted.get("code_sha256") == code_hash(cells.solution_notebook(script))
    return not fresh or noted.get("outputs_sha256") != outputs_hash(old)


def carry_outputs(old: NotebookNode, new: NotebookNode) -> None:
    """Give each code cell the outputs of the old cell with the same source, in their order."""
    waiting = defaultdict(list)
    for cell in old.cells:
        if cell.cell_type == "code":
            waiting[cell.source].append(cell)
    for cell in new.cells:
        if cell.cell_type == "code" and waiting[cell.source]:
            same = waiting[cell.source].pop(0)
            cell.outputs, cell.execution_count = same.outputs, same.execution_count

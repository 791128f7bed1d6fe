"""`sslcourse release --nbgrader COURSE`: a course folder that the installed nbgrader works in as it is."""

from copy import deepcopy
from pathlib import Path

from nbformat import NotebookNode

from sslcourse import files as disk
from sslcourse.cli import Refusal, files
from sslcourse.cli.grade import released

CONFIG = '''"""nbgrader in this folder: `nbgrader generate_assignment week04` and so on. From `sslcourse release`."""

import os

# The checks do not depend on the scale, and dry takes one step of everything.
os.environ.setdefault("SSLCOURSE_SCALE", "dry")
os.environ.setdefault("SSLCOURSE_OFFLINE", "1")

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "sslcourse"
c.Execute.timeout = 60  # seconds a cell: an endless loop costs its own cell
c.Execute.interrupt_on_timeout = True
c.OverwriteCells.add_missing_cells = True  # a deleted check is put back, and fails
'''


def course(root: Path, weeks: list[str], folder: Path) -> int:
    """Lay out or extend a course folder with the solved notebooks of some weeks, or of all that have points."""
    config = folder / "nbgrader_config.py"
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"{folder} is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not config.is_file():
        raise Refusal(f"{folder} is not empty and no nbgrader course; name a new folder.")
    if folder.resolve() == root or folder.resolve() in root.parents:
        raise Refusal(f"{folder} holds the course itself; name a folder of its own.")
    plans = {week: released.plan(root, week) for week in weeks or released.known(root)}
    plans = {week: plan for week, plan in plans.items() if week in weeks or plan.points}

    # The folder holds solutions and students' work: no repository that it lies in ever takes it up.
    for path, text in ((config, CONFIG), (folder / ".gitignore", "*\n")):
        if not path.exists():
            files.write(path, text)
    for week, plan in plans.items():
        solved, _ = released.notebooks(root, week)
        path, text = folder / "source" / week / f"{plan.notebook}.ipynb", files.as_text(_without_outputs(solved))
        if path.exists() and _read(path) != text:
            print(f"{path} differs from this copy of the course and is left as it is; remove it for a fresh one.")
        else:
            files.write(path, text)
    print(f"{folder} holds the solved notebooks of {', '.join(plans)}. Go on there: nbgrader generate_assignment WEEK")
    return 0


def _without_outputs(solved: NotebookNode) -> NotebookNode:
    made = deepcopy(solved)
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return made


def _read(path: Path) -> str:
    try:
        disk.must_be_regular(path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read ({error}); move it away.") from error

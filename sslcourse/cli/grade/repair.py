"""A submission as nbgrader can take it: the released notebook with the student's exercises, answers and own cells.

nbgrader stops for the whole class where one notebook has a copied cell; a notebook made from the release has every cell
once, with the ids and the metadata that were handed out.
"""

import re
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sslcourse.cli import files
from sslcourse.cli.grade import pull, released
from sslcourse.cli.grade.collect import Found
from sslcourse.cli.grade.notebook import Cell
from sslcourse.cli.grade.plan import Plan, Task


def write(root: Path, plan: Plan, found: Found, folder: Path) -> list[str]:
    """Write FOLDER/STUDENT/WEEK/NOTEBOOK, with the time of submission where there is one; what was mended."""
    task = pull.pull(found.submitted, plan, found.student)
    _, handed = released.notebooks(root, plan.week)
    place = folder / student_id(found.student) / plan.week
    files.write(place / f"{plan.notebook}.ipynb", files.as_text(notebook(plan, handed, found.submitted.cells, task)))
    copy_stamp(found, place)
    return [*task.notes, *task.refused.values()]


def copy_stamp(found: Found, place: Path) -> None:
    """The time of submission goes along, by which nbgrader knows who is late."""
    stamp = found.path.parent / "timestamp.txt"
    if stamp.is_file() and not stamp.is_symlink() and stamp.stat().st_size < 200:
        files.write(place / "timestamp.txt", stamp.read_text(encoding="utf-8", errors="replace"))


def student_id(student: str) -> str:
    """A name that nbgrader takes for a folder and a student: it separates the parts of its own names by + and /."""
    return re.sub(r"[^\w.@-]+", "_", student).strip("_.") or "student"


def notebook(plan: Plan, handed: NotebookNode, cells: list[Cell], task: Task) -> NotebookNode:
    """The released student notebook with what is the student's own."""
    made = deepcopy(handed)
    by_id = {cell.id: cell for cell in made.cells}
    for exercise in plan.exercises:
        if exercise.name in task.sources:
            by_id[exercise.cell].source = _clean(task.sources[exercise.name])
    for question in plan.questions:
        if answer := task.answers.get(question.name):
            by_id[question.cell].source = _clean(answer)

    used = {_clean(source) for source in task.sources.values()}
    behind = None  # the released cell that the student's own ones stand behind
    own = 0
    for cell in cells:
        if cell.id in by_id:
            behind = by_id[cell.id]
        elif not cell.grade_id and cell.source.strip() and _clean(cell.source) not in used:
            own += 1
            new = nbformat.v4.new_code_cell if cell.kind == "code" else nbformat.v4.new_markdown_cell
            added = new(_clean(cell.source), id=f"own-{own}")
            made.cells.insert(made.cells.index(behind) + 1 if behind is not None else 0, added)
            behind = added
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return made


def _clean(source: str) -> str:
    """Text that can be written as UTF-8."""
    return source.encode("utf-8", "replace").decode()

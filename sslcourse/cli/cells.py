"""From the cells of a source script to its three products: solution notebook, student notebook, solution module.

Cell ids are <week>-<exercise or section>-<n within it>, so that an insertion renumbers nothing outside its own section.
The blanks are made by nbgrader's own ClearSolutions from the cells that instructors see solved.

References: https://nbformat.readthedocs.io/en/latest/format_description.html#cell-ids and, for nbgrader's metadata,
https://nbgrader.readthedocs.io/en/stable/contributor_guide/metadata.html
"""

import builtins
import re
import symtable
from collections import Counter
from copy import deepcopy

from nbformat import NotebookNode, v4

from sslcourse.cli import Refusal, timing
from sslcourse.cli.blanks import BEGIN, END, without_markers
from sslcourse.cli.source import Cell, Script


def solution_notebook(script: Script) -> NotebookNode:
    """The solved notebook, markers kept, not yet executed."""
    notebook = v4.new_notebook(metadata=metadata(script))
    questions = 0
    for cell, cell_id in zip(script.cells, cell_ids(script), strict=True):
        questions += cell.role == "question"
        notebook.cells.append(_node(cell, script, cell_id, _grading(cell, script, questions)))
    return notebook


def student_notebook(script: Script) -> NotebookNode:
    """What students open: nbgrader's blanks instead of the solutions."""
    try:
        from nbgrader.preprocessors import ClearSolutions
    except ImportError as error:
        raise Refusal("build makes the blanks with nbgrader; install it: pip install 'sslcourse[grading]'.") from error
    notebook, _ = ClearSolutions().preprocess(deepcopy(solution_notebook(script)), {})
    return notebook


def solution_module(script: Script) -> str:
    """The setup cells and the exercise cells as an importable module, without the marker lines."""
    cells = [cell for cell in script.cells if cell.role in ("setup", "exercise")]
    head = f'"""The solved exercises of {script.week}; generated from notebooks/source/{script.name}.py: edit that."""'
    parts = [f"# ruff: noqa\n{head}", *(without_markers(cell.source).strip("\n") for cell in cells)]
    text = "\n\n\n".join(parts) + "\n"
    if missing := _undefined(text):
        raise Refusal(
            f"{script.name}.py: an exercise uses {', '.join(missing)}, which neither the setup cell nor an exercise "
            f"defines; sslcourse/solutions/{script.week}.py would not work without it."
        )
    return text


def metadata(script: Script) -> dict:
    """A notebook's own metadata; the kernel's version stays out, so that every machine writes the same."""
    return {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "sslcourse": {"week": script.week},
    }


def cell_ids(script: Script) -> list[str]:
    """One id for each cell: a heading or an exercise's text begins a group, its cells are counted."""
    group, counts, ids = "start", Counter(), []
    for cell in script.cells:
        if cell.exercise:
            group = cell.exercise
        elif heading := _heading(cell):
            group = heading
        counts[group] += 1
        ids.append(f"{script.week}-{group}-{counts[group]}")
    return ids


def _heading(cell: Cell) -> str:
    """ "the-loss" for a text cell with the heading "### 4.2 The loss", "" without heading. Numbers would renumber."""
    found = cell.kind == "markdown" and re.search(
        r"^#{2,3} +[\d. ]*([^·\n]+)", without_markers(cell.source), re.MULTILINE
    )
    return re.sub(r"[^a-z0-9]+", "-", found[1].lower()).strip("-")[:40].strip("-") if found else ""


def _node(cell: Cell, script: Script, cell_id: str, grading: dict | None) -> NotebookNode:
    tags = [cell.role] if cell.role else []
    if cell.role == "check":
        tags.append("nbval-check-output")
    extra = {"tags": tags} if tags else {}
    if grading:
        extra["nbgrader"] = grading
    if cell.kind == "code":
        return v4.new_code_cell(cell.source, id=cell_id, metadata=extra)

    # In a text cell the markers would show as two headings; as comments they work for nbgrader and do not show.
    source = timing.filled(cell, script).replace(BEGIN, f"<!-- {BEGIN} -->").replace(END, f"<!-- {END} -->")
    return v4.new_markdown_cell(source, id=cell_id, metadata=extra)


def _grading(cell: Cell, script: Script, question: int) -> dict | None:
    """nbgrader's metadata, version 3: blank, locked test with the points, or written answer; None for all other cells.

    Given code (an exercise without markers) and its check are left alone: nbgrader would blank the given code.
    """
    if cell.role == "question":
        return _nbgrader(f"question_{question}", grade=True, solution=True, locked=False, points=cell.points)
    exercise = next((e for e in script.exercises if e.exercise == cell.exercise), None)
    if exercise is None or BEGIN not in exercise.source:
        return None
    if cell.role == "exercise":
        return _nbgrader(cell.exercise, grade=False, solution=True, locked=False)
    if cell.role == "check":
        return _nbgrader(f"check_{cell.exercise}", grade=True, solution=False, locked=True, points=exercise.points)
    return None


def _nbgrader(grade_id: str, **fields) -> dict:
    return {"grade_id": grade_id, "schema_version": 3, "task": False, **fields}


def _undefined(text: str) -> list[str]:
    """Names that a module reads and nobody defines, as its functions will only find out when they are called."""
    module = symtable.symtable(text, "solutions", "exec")
    defined = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    tables, read = [module], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        read |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (s.is_global() or table is module)}
    return sorted(read - defined - set(dir(builtins)) - {"__name__", "__file__"})

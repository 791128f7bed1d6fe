"""Submissions made from the released notebooks."""

import copy
import json
from pathlib import Path

ROOT = Path(__file__).parents[3]


def handed(plan):
    """The student notebook of a week as JSON."""
    return json.loads((ROOT / "notebooks" / f"{plan.notebook}.ipynb").read_text(encoding="utf-8"))


def solved(plan):
    """The student notebook with every exercise solved, as by a student: no outputs, no markers."""
    notebook = copy.deepcopy(handed(plan))
    solutions = {exercise.cell: exercise.solution for exercise in plan.exercises}
    for cell in notebook["cells"]:
        cell["source"] = solutions.get(cell["id"], "".join(cell["source"]))
    return notebook

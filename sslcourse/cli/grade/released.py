"""What a week's release asks for, read from its solved notebook: points, names, solutions and model answers."""

import ast
from pathlib import Path

import nbformat.reader
from nbformat import NotebookNode

from sslcourse import weeks
from sslcourse.cli import Refusal, build, files, source
from sslcourse.cli.blanks import BEGIN, END, has_markers, without_markers
from sslcourse.cli.grade.plan import Exercise, Plan, Question

_PLAIN = {"Tensor", "float", "int", "bool", "str", "tuple", "list", "dict", "Generator", "None", "torch", "Sequence"}


def plan(root: Path, week: str) -> Plan:
    """Raises Refusal where the checkout has no notebooks of that week, or they do not fit each other."""
    solved, handed = notebooks(root, week)
    by_id = {cell.id: cell for cell in handed.cells}
    exercises, questions, setup = [], [], []
    previous = None
    points = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.points
        for cell in solved.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    for cell in solved.cells:
        tags = cell.metadata.get("tags", [])
        blank = by_id[cell.id].source if cell.id in by_id else cell.source
        if "setup" in tags:
            setup.append(cell.source)
        elif "exercise" in tags:
            exercises.append(_exercise(cell, blank, points))
        elif "question" in tags:
            name = cell.metadata.nbgrader.grade_id
            model = without_markers(cell.source.replace(f"<!-- {BEGIN} -->", BEGIN).replace(f"<!-- {END} -->", END))
            prompt = previous.source if previous is not None and previous.cell_type == "markdown" else ""
            questions.append(Question(name, cell.id, points[name], blank, prompt, model.strip()))
        previous = cell
    name = _path(root, week).stem
    title = weeks.find(week).title
    cells = frozenset(cell.id for cell in solved.cells)
    return Plan(week, name, title, tuple(setup), tuple(exercises), tuple(questions), cells)


def notebooks(root: Path, week: str) -> tuple[NotebookNode, NotebookNode]:
    """The solved and the student notebook of a week."""
    products = build.products(root, _path(root, week).stem)
    return _read(products.solution), _read(products.student)


def _read(path: Path) -> NotebookNode:
    """One of our own, whose validation would take longer than all the rest."""
    try:
        return nbformat.reader.reads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError):
        return files.must_read(path)  # says what is wrong


def known(root: Path) -> list[str]:
    """Weeks of the checkout that have exercises or questions: all that have a solved notebook."""
    return [source.week_of(path.stem) for path in sorted((root / "notebooks" / "solutions").glob("*.ipynb"))]


def _path(root: Path, week: str) -> Path:
    paths = [p for p in (root / "notebooks" / "solutions").glob("*.ipynb") if source.week_of(p.stem) == week]
    if len(paths) != 1:
        there = ", ".join(known(root))
        raise Refusal(f"There is no solved notebook of {week} in notebooks/solutions; choose from {there}.")
    return paths[0]


def _exercise(cell: NotebookNode, blank: str, points: dict[str, int]) -> Exercise:
    definition = ast.parse(cell.source).body[0]
    name = definition.name
    given = not has_markers(cell.source)
    solution = without_markers(cell.source)
    return Exercise(name, cell.id, points.get(f"check_{name}", 0), blank, solution, given, _is_plain(definition))


def _is_plain(definition: ast.stmt) -> bool:
    """Whether the signature is of a function from plain values to plain values.

    What has no annotation may be anything: a network, an augmentation.
    """
    if not isinstance(definition, ast.FunctionDef):
        return False
    arguments = [*definition.args.posonlyargs, *definition.args.args, *definition.args.kwonlyargs]
    annotations = [*(one.annotation for one in arguments), definition.returns]
    return all(annotation is not None and _names(annotation) <= _PLAIN for annotation in annotations)


def _names(annotation: ast.expr) -> set[str]:
    nodes = list(ast.walk(annotation))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}

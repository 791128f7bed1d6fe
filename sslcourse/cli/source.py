"""A source script: what an author writes, read into cells that know which exercise they belong to.

The script is a jupytext percent script. The tags of a cell say what it is for: `setup` (imports), `exercise` and
`check` with the text cell before them, `question` (a written answer), `before` (text to read before class), and
`points:N`. Whatever would make one of the
three products wrong is refused here, in a sentence that names the line.

Reference: https://jupytext.readthedocs.io/en/latest/formats-scripts.html#the-percent-format
"""

import ast
import re
from dataclasses import dataclass, replace
from pathlib import Path

import jupytext

from sslcourse.cli import Refusal
from sslcourse.cli.blanks import check_blanks, has_markers
from sslcourse.weeks import WEEKS

ROLES = ("setup", "exercise", "check", "question", "before")
FOLDER = Path("notebooks") / "source"
# Without comment_magics=False a comment that begins with a shell word ("# copy the weights") would become code.
SCRIPT = {"extension": ".py", "format_name": "percent", "comment_magics": False}


@dataclass(frozen=True)
class Cell:
    """kind: code or markdown; role: one of ROLES or ""; exercise: whose text, code or check the cell is, or ""."""

    kind: str
    source: str
    line: int
    role: str = ""
    points: int | None = None
    exercise: str = ""


@dataclass(frozen=True)
class Script:
    """A source script. name: "week04_simclr"; week: "week04"."""

    name: str
    week: str
    cells: tuple[Cell, ...]

    @property
    def exercises(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.role == "exercise"]


def find_scripts(root: Path, weeks: list[str] | None = None) -> list[Path]:
    """The source scripts below a checkout, or those of some weeks ("week04" or "week04_simclr"), in order."""
    paths = sorted((root / FOLDER).glob("*.py"))
    ids = [week_of(path.stem) for path in paths]
    if twice := {week for week in ids if ids.count(week) > 1}:
        raise Refusal(f"{FOLDER} holds two scripts of {min(twice)}; a week has one.")
    if not weeks:
        return paths

    chosen = [path for path in paths if path.stem in weeks or week_of(path.stem) in weeks]
    known = {path.stem for path in paths} | set(ids)
    if unknown := [week for week in weeks if week not in known]:
        raise Refusal(f"There is no source script for {unknown[0]} in {FOLDER}; there are {', '.join(ids) or 'none'}.")
    return chosen


def week_of(name: str) -> str:
    """ "week04" for "week04_simclr": the name of the week's modules. The second bonus has an id of two words."""
    return next((row.id for row in WEEKS.values() if row.notebook == name), name.partition("_")[0])


def read(path: Path) -> Script:
    """Read one script. Raises Refusal, with file and line, for every mistake that can be seen without running."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read as UTF-8 text ({error}).") from error
    cells = _split(path.name, text)
    for cell in cells:
        if problem := _problem(cell):
            raise Refusal(f"{path.name}, line {cell.line}: {problem}")
    return Script(path.stem, week_of(path.stem), tuple(_join_exercises(path.name, cells)))


def _split(name: str, text: str) -> list[Cell]:
    """The bare cells with their lines and tags; which exercise they belong to comes later."""
    notebook = jupytext.reads(text, fmt=SCRIPT)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith("# %%")]
    if len(lines) != len(notebook.cells):
        raise Refusal(f"{name}: a cell does not begin with its own '# %%' line; nothing may stand before the first.")

    cells = []
    for number, cell in zip(lines, notebook.cells, strict=True):
        role, points = _read_tags(f"{name}, line {number}", cell.metadata.get("tags", []))
        cells.append(Cell(cell.cell_type, cell.source, number, role, points))
    return cells


def _read_tags(place: str, tags: list[str]) -> tuple[str, int | None]:
    role, points = "", None
    for tag in tags:
        if tag in ROLES and not role:
            role = tag
        elif found := re.fullmatch(r"points:(\d+)", tag):
            points = int(found[1])
        elif tag in ROLES:
            raise Refusal(f"{place}: a cell cannot be both {role} and {tag}.")
        else:
            raise Refusal(f"{place}: the tag {tag!r} is not known; choose from {', '.join(ROLES)} and points:N.")
    return role, points


def _problem(cell: Cell) -> str:
    """What is wrong with one cell by itself, "" if nothing."""
    if cell.kind not in ("code", "markdown"):
        return "a cell is either code or [markdown]."
    if cell.kind == "markdown" and cell.role not in ("", "question", "before"):
        return f"a text cell cannot be tagged {cell.role}."
    if cell.kind == "code" and cell.role == "question":
        return "a question is a [markdown] cell."
    if cell.kind == "code" and cell.role == "before":
        return "what is to be read before class is a [markdown] cell."
    if cell.role in ("exercise", "question") and cell.points is None:
        return f"this {cell.role} has no points; add the tag points:N (0 for optional or given ones)."
    if cell.role not in ("exercise", "question") and cell.points is not None:
        return "points stand on the exercise or the question."
    if cell.role not in ("exercise", "question") and has_markers(cell.source):
        return "a solution stands here, but the cell is not tagged exercise or question."

    if cell.kind == "code":
        try:
            tree = ast.parse(cell.source)
        except SyntaxError as error:
            return f"this is not plain Python ({error.msg}); magics and ! commands are not used in this course."
        if cell.role == "setup":
            return _setup_problem(tree)
        if cell.role == "exercise":
            return _exercise_problem(tree, cell) or check_blanks(cell.source, tree)
    if cell.role == "question":
        return check_blanks(cell.source)
    return ""


def _setup_problem(tree: ast.Module) -> str:
    """The setup cell becomes the head of an importable module, so it may only import and name constants."""
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign):
            return "a setup cell only imports and names constants, since it becomes part of a module."
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if {getattr(call, "id", getattr(call, "attr", "")) for call in calls} & {"begin", "print"}:
        return "a setup cell must not call begin() or print(): give that a cell of its own."
    return ""


def _exercise_problem(tree: ast.Module, cell: Cell) -> str:
    definitions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if len(definitions) != 1:
        return f"an exercise cell defines one function or class; this one defines {len(definitions)}."
    if len(tree.body) > 1:
        return "an exercise cell holds its function or class and nothing else: it becomes part of a module."
    if cell.points and not has_markers(cell.source):
        return "this exercise has points but no solution between ### BEGIN SOLUTION and ### END SOLUTION."
    return ""


def _join_exercises(file: str, cells: list[Cell]) -> list[Cell]:
    """Give text, code and check of an exercise its name; the three stand next to each other."""
    cells = list(cells)
    seen = set()
    for i, cell in enumerate(cells):
        if cell.role == "check" and (i == 0 or cells[i - 1].role != "exercise"):
            raise Refusal(f"{file}, line {cell.line}: a check stands directly below its exercise; none is above it.")
        if cell.role != "exercise":
            continue

        name = ast.parse(cell.source).body[0].name
        place = f"{file}, line {cell.line}"
        if name in seen:
            raise Refusal(f"{place}: there are two exercises named {name}.")
        seen.add(name)
        if i == 0 or cells[i - 1].kind != "markdown" or cells[i - 1].role:
            raise Refusal(f"{place}: the exercise {name} needs its text in a [markdown] cell directly above it.")
        if i + 1 == len(cells) or cells[i + 1].role != "check":
            raise Refusal(f"{place}: the exercise {name} needs its check in a cell tagged check directly below it.")
        if _checked_name(cells[i + 1]) != name:
            below = f"{file}, line {cells[i + 1].line}"
            raise Refusal(f"{below}: the check of {name} must contain the line {name} = check.{name}({name}).")
        for j in (i - 1, i, i + 1):
            cells[j] = replace(cells[j], exercise=name)
    return cells


def _checked_name(cell: Cell) -> str:
    """The exercise that a check cell checks: n where it says n = check.n(n), else ""."""
    for statement in ast.parse(cell.source).body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=target)],
                value=ast.Call(ast.Attribute(ast.Name(id="check"), name), [ast.Name(id=given), *_]),
            ) if target == name == given:
                return name
    return ""

"""Exercises, helpers and written answers out of a submitted notebook: by cell id, grade id, and the name defined.

Cells are copied, split, renamed, deleted and moved about in the hands of students. What is meant is clear in nearly all
cases: the cell that has the id, or the one that defines the name. Where two cells claim one exercise and differ, nobody
is asked to guess: that exercise goes to a person, and the rest is judged.
"""

import ast
from collections import Counter
from collections.abc import Iterable

from sslcourse.cli.grade import syntax
from sslcourse.cli.grade.notebook import Cell, Submitted
from sslcourse.cli.grade.plan import Exercise, Plan, Question, Task

SPLIT = 3  # cells that one exercise may have been split into


def week_of(submitted: Submitted, plans: Iterable[Plan]) -> str:
    """The week that a notebook is of, by most of its cells' ids and names, else by what it says; "" unknown."""
    counts = {}
    for plan in plans:
        graded = {one.name for one in (*plan.graded, *plan.questions)} | {f"check_{one.name}" for one in plan.graded}
        names = {one.name for one in plan.graded}
        counts[plan.week] = 0
        for cell in submitted.cells:
            known = cell.id in plan.cells or (cell.grade_id in graded and not cell.grade_id.startswith("question"))
            counts[plan.week] += known or (cell.kind == "code" and bool(_defined(cell.source) & names))
    best = max(counts, key=counts.get, default="")
    if best and counts[best]:
        return best if list(counts.values()).count(counts[best]) == 1 else submitted.week
    return submitted.week if submitted.week in counts else ""


def pull(submitted: Submitted, plan: Plan, student: str) -> Task:
    """What can be judged of a notebook of this week."""
    task = Task(student, plan.week)
    cells = submitted.cells
    taken: dict[int, str] = {}  # place of a cell: the exercise that it belongs to
    for exercise in plan.exercises:
        _pull_exercise(exercise, plan, cells, task, taken)
    for question in plan.questions:
        _pull_answer(question, cells, task)
    if max(Counter(cell.id for cell in cells if cell.id).values(), default=1) > 1:
        task.notes.append("Some cells have the id of another: they were copied.")
    _pull_helpers(plan, cells, task, taken)
    return task


def _pull_exercise(exercise: Exercise, plan: Plan, cells: list[Cell], task: Task, taken: dict[int, str]) -> None:
    name = exercise.name
    by_id = [n for n, cell in enumerate(cells) if exercise.cell == cell.id or cell.grade_id == name]
    defining = [n for n, cell in enumerate(cells) if cell.kind == "code" and name in _definitions_in(cell.source)]
    places = list(dict.fromkeys([*by_id, *defining]))
    versions: dict[str, int] = {}
    for n in places:
        taken[n] = name
        source = _whole(cells, n, plan, task, taken, name)
        versions.setdefault(source, n)

    blank = _normal(exercise.blank)
    written = {s: n for s, n in versions.items() if s.strip() and _normal(s) != blank and not _is_stub(s, name)}
    claims = {source: n for source, n in written.items() if name in _defined(source)} or written
    if not claims:
        if versions:
            task.sources[name] = exercise.blank  # or what does as little
        else:
            task.reasons[name] = f"Nothing is named {name}: its cell was deleted, or what it defines has another name."
        return
    original = [source for source, n in claims.items() if cells[n].id == exercise.cell]
    chosen = original if len(original) == 1 and len(claims) > 1 else list(claims)
    if len(chosen) > 1:
        where = ", ".join(str(claims[source] + 1) for source in chosen)
        task.refused[name] = f"{name} stands in {len(chosen)} cells that differ ({where}): a person has to choose."
        return
    task.sources[name] = chosen[0]
    if len(claims) > 1:
        task.notes.append(f"{name} stands in {len(claims)} cells; the one that was handed out counts.")
    elif claims[chosen[0]] not in by_id:
        task.notes.append(f"{name} was found by its name in cell {claims[chosen[0]] + 1}.")
    others = [one for one in _defined(chosen[0]) if one not in {e.name for e in plan.exercises}]
    if name not in _defined(chosen[0]):
        like = f" (is it {others[0]}?)" if others else ""
        task.reasons[name] = f"Nothing is named {name}: what its cell defines has another name{like}."


def _whole(cells: list[Cell], n: int, plan: Plan, task: Task, taken: dict[int, str], name: str) -> str:
    """The source of a cell, with the cells behind it that are the rest of it where it was split."""
    source = cells[n].source
    for rest in range(n + 1, min(n + SPLIT, len(cells))):
        cell = cells[rest]
        if cell.kind != "code" or cell.id in plan.cells or cell.grade_id or not _is_rest(cell.source):
            break
        joined = f"{source.rstrip()}\n{cell.source}"
        if not _parses(joined):
            continue
        source = joined
        taken[rest] = name
        task.notes.append(f"{name} had been split in two and was put together again.")
    return source


def _is_rest(source: str) -> bool:
    """Whether a cell makes no sense by itself since its first line is indented."""
    lines = [line for line in source.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    return bool(lines) and lines[0][0] in " \t" and not _parses(source)


def _pull_answer(question: Question, cells: list[Cell], task: Task) -> None:
    by_id = [cell.source for cell in cells if cell.id == question.cell]
    by_name = [cell.source for cell in cells if cell.grade_id == question.name]
    answers = list(dict.fromkeys(one.strip() for one in (by_id or by_name)))
    answers = [one for one in answers if one and one != question.blank.strip()]
    task.answers[question.name] = "\n\n".join(answers)
    if len(answers) > 1:
        task.notes.append(f"{question.name} has {len(answers)} answers, all shown.")


def _pull_helpers(plan: Plan, cells: list[Cell], task: Task, taken: dict[int, str]) -> None:
    """Definitions in cells of the student's own, and imports that were added to the set-up."""
    after = ""
    released = {exercise.name for exercise in plan.exercises}
    for n, cell in enumerate(cells):
        if n in taken:
            after = taken[n]
        elif cell.kind == "code" and (cell.id not in plan.cells or cell.id.startswith(f"{plan.week}-start")):
            source = syntax.definitions(cell.source)
            if source and not _defined(source) & released:
                task.helpers.append((after, source))


def _defined(source: str) -> set[str]:
    try:
        return syntax.defined(syntax.parsed(source))
    except SyntaxError:
        return set()


def _definitions_in(source: str) -> set[str]:
    """Names of functions and classes, and of what is assigned other than by a check."""
    try:
        tree = syntax.parsed(source)
    except SyntaxError:
        return set()
    kept = [one for one in tree.body if not (isinstance(one, ast.Assign) and _is_check(one.value))]
    return syntax.defined(ast.Module(kept, []))


def _is_stub(source: str, name: str) -> bool:
    """Whether all that a cell defines is a function of this name which does nothing: docstring, pass, ..., raise."""
    try:
        body = syntax.parsed(source).body
    except SyntaxError:
        return False
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef) or body[0].name != name:
        return False
    idle = ast.Pass | ast.Raise
    return all(
        isinstance(one, idle) or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for one in body[0].body
    )


def _is_check(value: ast.expr) -> bool:
    """`check.nt_xent(...)`"""
    function = value.func if isinstance(value, ast.Call) else None
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "check"


def _parses(source: str) -> bool:
    try:
        syntax.parsed(source)
    except SyntaxError:
        return False
    return True


def _normal(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().split("\n"))

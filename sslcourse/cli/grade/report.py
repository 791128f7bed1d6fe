"""What a class gets: points.csv, a page of feedback a student, and the class's summary: what to repeat on Monday."""

import csv
import io
import re
from collections import Counter
from pathlib import Path

from sslcourse import files
from sslcourse.cli import Refusal
from sslcourse.cli.grade import feedback
from sslcourse.cli.grade.plan import KINDS, Graded, Plan, Verdict

CLAIM = "It looks as if "
MANY = 6  # named mistakes of one exercise that the summary lists


def write(results: Path, plan: Plan | None, graded: list[Graded], week: str) -> None:
    """RESULTS/WEEK/points.csv, summary.html and feedback/STUDENT.html. Raises Refusal where that cannot be written."""
    folder = results / (week or "unknown")
    # Spreadsheets take a csv for UTF-8 where it begins with the mark of it.
    pages = {"points.csv": points(plan, graded).encode("utf-8-sig")}
    pages["summary.html"] = summary(plan, graded, week).encode("utf-8", "backslashreplace")
    names = page_names([one.student for one in graded if not one.refusal])
    for one in graded:
        if not one.refusal:
            text = feedback.page(plan, one, mistake)
            pages[f"feedback/{names[one.student]}.html"] = text.encode("utf-8", "backslashreplace")
    try:
        for name, content in pages.items():
            files.write(folder / name, content)
    except OSError as error:
        raise Refusal(f"{folder} cannot be written ({error.strerror or error}).") from error


def page_names(students: list[str]) -> dict[str, str]:
    """A file name for each student, safe on every system; two that would be the same are numbered."""
    names: dict[str, str] = {}
    for student in dict.fromkeys(students):
        safe = re.sub(r"[^\w .@+-]+", "_", student).strip(" .")[:100] or "student"
        taken = {name.casefold() for name in names.values()}
        name, n = safe, 2
        while name.casefold() in taken:
            name, n = f"{safe} ({n})", n + 1
        names[student] = name
    return names


# --- points


def points(plan: Plan | None, graded: list[Graded]) -> str:
    """A row a student: points of every exercise, their sum, its maximum, what a person has to do.

    Written answers are left empty for whoever reads them.
    """
    exercises = plan.graded if plan else []
    questions = plan.questions if plan else ()
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(
        ["student", *(f"{one.name} ({one.points})" for one in exercises), "exercises", "of"]
        + [f"{one.name} ({one.points}), by hand" for one in questions]
        + ["status", "remark"]
    )
    for one in graded:
        if one.refusal:
            row = ["" for _ in (*exercises, *questions, "exercises", "of")]
            table.writerow([_cell(one.student), *row, "refused", _cell(f"{one.file}: {one.refusal}")])
            continue
        earned = [e.points if one.verdicts[e.name].kind == "right" else _none(one.verdicts[e.name]) for e in exercises]
        look = [name for name, verdict in one.verdicts.items() if verdict.for_a_person]
        status = f"look at {', '.join(look)}" if look else "graded"
        answers = ["" if one.task.answers.get(q.name) else 0 for q in questions]
        remark = _cell(" ".join(one.task.notes))
        table.writerow([_cell(one.student), *earned, one.score(plan), plan.points, *answers, status, remark])
    return text.getvalue()


def _none(verdict: Verdict) -> int | str:
    """0, or nothing where a person decides."""
    return "" if verdict.for_a_person else 0


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula, on one line."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


# --- the class


def mistake(verdict: Verdict) -> str:
    """The name of what went wrong: the check's own words without the numbers of this one submission."""
    text = verdict.message.removeprefix("not yet right. ").removeprefix("not attempted. ")
    if CLAIM in text:
        text = text[text.index(CLAIM) + len(CLAIM) :]
    elif found := re.match(r"Your code raised (\w+)", text):
        return f"it raises {found[1]}"
    first = re.split(r"(?<=[.!?])\s|\n", text.strip(), maxsplit=1)[0]
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", first)[:160]


def summary(plan: Plan | None, graded: list[Graded], week: str) -> str:
    """One page: how each exercise went, which mistakes how often, who was refused, who is to be looked at."""
    accepted = [one for one in graded if not one.refusal]
    parts = [f"<h1>{feedback.text(plan.title if plan else week or 'No week')}</h1>"]
    parts.append(f"<p>{len(accepted)} submissions graded, {len(graded) - len(accepted)} refused.</p>")
    if plan and accepted:
        parts.append(_scores(plan, accepted))
        parts.append(_exercises(plan, accepted))
    people = [(one.student, f"{one.file}: {one.refusal}") for one in graded if one.refusal]
    parts.append(_people("Refused", people))
    look = [
        (one.student, f"{name}: {verdict.message}")
        for one in accepted
        for name, verdict in one.verdicts.items()
        if verdict.for_a_person
    ]
    parts.append(_people("For a person to look at", look))
    parts.append(_people("Mended", [(one.student, " ".join(one.task.notes)) for one in accepted if one.task.notes]))
    return feedback.document(f"{week}: the class", "".join(parts))


def _scores(plan: Plan, accepted: list[Graded]) -> str:
    scores = sorted(one.score(plan) for one in accepted)
    middle = scores[len(scores) // 2] if len(scores) % 2 else sum(scores[len(scores) // 2 - 1 :][:2]) / 2
    return f"<p>Points of {plan.points}: median {middle:g}, lowest {scores[0]}, highest {scores[-1]}.</p>"


def _exercises(plan: Plan, accepted: list[Graded]) -> str:
    rows = []
    for exercise in plan.graded:
        verdicts = [one.verdicts[exercise.name] for one in accepted]
        counts = Counter(verdict.kind for verdict in verdicts)
        named = Counter(mistake(verdict) for verdict in verdicts if verdict.kind == "wrong")
        common = "".join(f"<li>{n} &times; {feedback.text(words)}</li>" for words, n in named.most_common(MANY))
        numbers = "".join(f"<td>{counts[kind] or ''}</td>" for kind in KINDS)
        rows.append(f"<tr><th>{exercise.name} ({exercise.points})</th>{numbers}<td><ul>{common}</ul></td></tr>")
    head = "".join(f"<th>{kind}</th>" for kind in KINDS)
    return f"<table><tr><th>exercise</th>{head}<th>commonest mistakes</th></tr>{''.join(rows)}</table>"


def _people(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    lines = "".join(f"<li><b>{feedback.text(who)}</b>: {feedback.text(what)}</li>" for who, what in rows)
    return f"<h2>{title}</h2><ul>{lines}</ul>"

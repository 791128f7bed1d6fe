"""Which files are submissions, and whose: nbgrader's folders, a folder for each student, or flat files.

    submitted/STUDENT/WEEK/notebook.ipynb      as nbgrader collects
    submitted/STUDENT/notebook.ipynb           a folder each, as some learning platforms give out
    submitted/STUDENT_week04_simclr.ipynb      flat

Links are not followed, and nothing is written. What cannot be one student's one notebook is refused by name.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sslcourse.cli import Refusal
from sslcourse.cli.grade import pull
from sslcourse.cli.grade.notebook import Submitted, Unreadable, read
from sslcourse.cli.grade.plan import Graded, Plan

DEEPEST = 4  # folders below the one that was named
_OURS = re.compile(r"(week\d\d|bonus|project)(_[a-z0-9_]+?)?(?=[-_. (]|$)", re.IGNORECASE)


@dataclass
class Found:
    """A notebook that can be judged."""

    student: str
    week: str
    path: Path
    submitted: Submitted


def collect(folder: Path, plans: dict[str, Plan], week: str | None) -> tuple[list[Found], list[Graded]]:
    """What can be judged, in order of students, and what is refused. Raises Refusal where there is nothing at all."""
    if not folder.is_dir():
        raise Refusal(f"{folder} is no folder; name the one that holds the submissions.")
    found: list[Found] = []
    refused: list[Graded] = []
    for student, said, path in _files(folder):
        name = str(path.relative_to(folder))
        if said and week and said != week:
            continue  # another week's folder in nbgrader's layout
        try:
            if path.suffix != ".ipynb":
                raise Unreadable("There is no notebook that can be read.")
            submitted = read(path)
            is_of = _checked_week(submitted, plans, week or said)
        except Unreadable as reason:
            refused.append(Graded(student, said or week or "", name, refusal=str(reason)))
            continue
        found.append(Found(student, is_of, path, submitted))
    if not found and not refused:
        raise Refusal(f"There are no notebooks in {folder}; it should hold STUDENT/WEEK/NOTEBOOK.ipynb or files.")
    return _one_each(found, refused, folder, plans), refused


def _checked_week(submitted: Submitted, plans: dict[str, Plan], wanted: str | None) -> str:
    is_of = pull.week_of(submitted, plans.values())
    if not is_of and wanted in plans and submitted.week in ("", wanted):
        raise Unreadable(f"None of its cells is of {wanted}: it is another notebook.")
    if wanted and is_of != wanted:
        raise Unreadable(f"It is the notebook of {is_of or submitted.week or 'no week'}, not of {wanted}.")
    if is_of not in plans:
        raise Unreadable("It is not a notebook of this course, or of no week that is known here.")
    return is_of


def _files(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """(student, week of the folder or "", path); the path of a folder with no notebook is one of its files."""
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if entry.is_symlink() or not entry.is_dir():
            if path.suffix == ".ipynb" or entry.is_symlink():
                yield _flat_name(path), "", path
            continue
        yield from _of_student(entry.name, path)


def _entries(folder: Path) -> list[os.DirEntry]:
    """What is in a folder, by name; nothing where it cannot be read."""
    try:
        return sorted(os.scandir(folder), key=lambda one: one.name)
    except OSError:
        return []


def _of_student(student: str, folder: Path) -> Iterator[tuple[str, str, Path]]:
    some = False
    for entry in _entries(folder):
        path = Path(entry.path)
        week = _OURS.fullmatch(entry.name.lower())
        if entry.is_symlink() and (path.suffix == ".ipynb" or week or path.is_dir()):
            some = True
            yield student, week[1] if week else "", path if path.suffix == ".ipynb" else path.with_suffix(".ipynb")
        elif not entry.is_symlink() and entry.is_dir() and not entry.name.startswith("."):
            inside = list(_notebooks(path))
            some |= bool(inside)
            for one in inside:
                yield student, week[1] if week else "", one
            if week and not inside:
                some = True
                others = [one.name for one in _entries(path) if one.name != "timestamp.txt"]
                yield student, week[1], path / (others[0] if others else "")
        elif path.suffix == ".ipynb":
            some = True
            yield student, "", path
    if not some:
        others = [one.name for one in _entries(folder)]
        yield student, "", folder / (others[0] if others else "")


def _notebooks(folder: Path, depth: int = 2) -> Iterator[Path]:
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.name.startswith(".") or depth > DEEPEST:
            continue
        if not entry.is_symlink() and entry.is_dir():
            yield from _notebooks(path, depth + 1)
        elif path.suffix == ".ipynb":
            yield path


def _flat_name(path: Path) -> str:
    """The student in the name of a flat file: what is left without the notebook's own name."""
    left = _OURS.sub("", path.stem, count=1).strip(" -_.()")
    return left or path.stem


def _one_each(found: list[Found], refused: list[Graded], folder: Path, plans: dict[str, Plan]) -> list[Found]:
    """One notebook for a student and a week: the one with the right name where there are several, else none."""
    groups: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        groups.setdefault((one.student, one.week), []).append(one)
    kept = []
    for (student, week), several in groups.items():
        named = [one for one in several if one.path.stem == plans[week].notebook]
        same = all(one.submitted == several[0].submitted for one in several)
        if len(several) > 1 and not same and len(named) != 1:
            names = " and ".join(one.path.name for one in several)
            files = str(several[0].path.relative_to(folder))
            reason = f"There are {len(several)} notebooks that differ, {names}: ask which one counts."
            refused.append(Graded(student, week, files, refusal=reason))
        else:
            kept.append(named[0] if len(named) == 1 else several[0])
    return kept

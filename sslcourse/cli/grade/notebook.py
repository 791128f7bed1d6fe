"""A submitted file as cells, whatever state it is in: every version of the format, with or without ids.

nbformat would refuse, upgrade or repair; here nothing is believed and nothing is written back.
"""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

LARGEST = 200 << 20  # bytes of a file
CELLS, SOURCE = 5000, 1 << 20  # cells of a notebook, characters of one of them


class Unreadable(Exception):
    """Why a file is no submission, as a sentence for a person."""


@dataclass
class Cell:
    """kind: code, markdown, raw or whatever it says. id and grade_id are "" where there are none."""

    kind: str
    source: str
    id: str
    grade_id: str


@dataclass
class Submitted:
    """week: what the notebook says of itself, "" where nothing."""

    cells: list[Cell]
    week: str


def read(path: Path) -> Submitted:
    """Raises Unreadable."""
    data = _bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("It is not UTF-8 text, so no notebook.") from None
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise Unreadable("It is nested too deep to be a notebook.") from None
    except ValueError as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        what = "It is empty." if not text.strip() else f"It is broken JSON{where}, so no notebook: ask for it again."
        raise Unreadable(what) from None
    cells = _cells(notebook)
    if not cells:
        raise Unreadable("It has no cells: is it a notebook?")
    if len(cells) > CELLS or max(len(cell.source) for cell in cells) > SOURCE:
        raise Unreadable(f"It has {len(cells)} cells, or one that nobody has written by hand.")
    return Submitted(cells, _week(notebook))


def _bytes(path: Path) -> bytes:
    """The content of a plain file: no link is followed and no pipe waited for."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            raise Unreadable("It is a link to another place, not a file.")
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("It is not a file.")
        if found.st_size > LARGEST:
            raise Unreadable(f"It has {found.st_size >> 20} MB, more than {LARGEST >> 20}: clear its outputs.")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"It cannot be read ({error.strerror or error}).") from None


def _cells(notebook: object) -> list[Cell]:
    if not isinstance(notebook, dict):
        return []
    sheets = notebook.get("worksheets")  # formats 1 to 3
    raw = notebook.get("cells") if sheets is None else [c for s in _list(sheets) for c in _list(_get(s, "cells"))]
    return [_cell(cell) for cell in _list(raw) if isinstance(cell, dict)]


def _cell(cell: dict) -> Cell:
    metadata = _get(cell, "metadata")
    source = cell.get("source", cell.get("input", ""))  # "input" in the code cells of format 3
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    grade_id = _get(_get(metadata, "nbgrader"), "grade_id")
    source = source if isinstance(source, str) else ""
    return Cell(str(cell.get("cell_type")), source.replace("\r\n", "\n"), _text(cell.get("id")), _text(grade_id))


def _week(notebook: dict) -> str:
    return _text(_get(_get(_get(notebook, "metadata"), "sslcourse"), "week"))


def _get(thing: object, key: str) -> object:
    return thing.get(key) if isinstance(thing, dict) else None


def _list(thing: object) -> list:
    return thing if isinstance(thing, list) else []


def _text(thing: object) -> str:
    return thing if isinstance(thing, str) else ""

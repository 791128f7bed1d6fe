"""Notebooks and generated files on disk: read with a sentence, written whole or not at all."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sslcourse import files
from sslcourse.cli import Refusal


def read(path: Path) -> NotebookNode | None:
    """A notebook, or None where there is none that can be read."""
    try:
        files.must_be_regular(path)
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError):  # nbformat's own errors are ValueErrors
        return None


def must_read(path: Path) -> NotebookNode:
    """A notebook. Raises Refusal where it cannot be read."""
    if (notebook := read(path)) is None:
        raise Refusal(f"{path} cannot be read as a notebook; restore it (git checkout) or move it away.")
    return notebook


def as_text(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file, unless it already reads so. Raises Refusal when that fails; the old file is then as it was."""
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return
        files.write(path, text.encode())
    except OSError as problem:
        why = problem.strerror or problem
        raise Refusal(f"{path} cannot be written ({why}) and is left as it was.") from problem

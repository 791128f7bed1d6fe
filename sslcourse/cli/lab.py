"""`sslcourse lab WEEK`: a copy of the student notebook to work in, which no update overwrites.

The copy lies in the git-ignored work/ and remembers a hash of the notebook that it was made from, in its own metadata,
which Jupyter keeps.
"""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

from nbformat import NotebookNode

from sslcourse.cli import Refusal, files, source


def lab(root: Path, week: str, open_browser: bool = True) -> int:
    """Copy the notebook once, say whether the original has changed since, open JupyterLab beside the copy."""
    copy = copy_notebook(root, week)
    if not open_browser:
        return 0
    if importlib.util.find_spec("jupyterlab") is None:
        raise Refusal("JupyterLab is not installed; install it (pip install jupyterlab) or use an editor.")
    return subprocess.run([sys.executable, "-m", "jupyterlab", copy.name], cwd=copy.parent).returncode


def copy_notebook(root: Path, week: str) -> Path:
    """The student's own copy of a week's notebook, made now if there is none yet."""
    original = find_notebook(root, week)
    copy = root / "work" / original.name
    notebook = files.must_read(original)
    now = _hash(notebook)
    if not copy.exists():
        notebook.metadata.setdefault("sslcourse", {})["copied_from"] = now
        files.write(copy, files.as_text(notebook))
        print(f"Your copy is {copy.relative_to(root).as_posix()}; no update will touch it.")
        return copy

    then = files.must_read(copy).metadata.get("sslcourse", {}).get("copied_from")
    print(f"Going on with your copy, {copy.relative_to(root).as_posix()}.")
    if then != now:
        print(f"{original.relative_to(root).as_posix()} has changed since you copied it.")
        print(f"For the new version rename your copy, call sslcourse lab {week} again and take your answers over.")
    return copy


def find_notebook(root: Path, week: str) -> Path:
    """The student notebook of "week04" or "week04_simclr"."""
    there = {path.stem: path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    for name, path in there.items():
        if week in (name, source.week_of(name)):
            return path
    weeks = ", ".join(source.week_of(name) for name in there) or "none"
    raise Refusal(f"There is no student notebook of {week} in notebooks/; there are {weeks}.")


def _hash(notebook: NotebookNode) -> str:
    """Of the cells only: a new build of the same text is not a change."""
    return hashlib.sha256("\0".join(cell.source for cell in notebook.cells).encode()).hexdigest()

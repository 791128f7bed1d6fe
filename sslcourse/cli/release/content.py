"""What a hand-out holds: {path: bytes}, the same for the same course and the same choice of weeks."""

import os
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sslcourse import files, references
from sslcourse.cli import Refusal, launch, source
from sslcourse.cli import files as notebooks
from sslcourse.cli.blanks import has_markers
from sslcourse.cli.release import pages

COPIED = ("LICENSE", "CITATION.cff", "pyproject.toml", "constraints.txt")
_APART = re.compile(r"(```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$)", re.DOTALL)  # code and formulas hold no links
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def of(
    root: Path, released: list[str], solved: list[str], packed: list[str], stamp
) -> tuple[dict[str, bytes], list[str]]:
    """({path: bytes}, links that were left out). released and solved: names of notebooks; packed: weeks."""
    content, links = _library(root)
    for name in COPIED:
        if (root / name).is_file():
            content[name] = _bytes(root, name)
    content |= {f"data/{path.name}": _bytes(root, f"data/{path.name}") for path in sorted((root / "data").glob("*.md"))}
    for name in released:
        content[f"notebooks/{name}.ipynb"] = b""
    for name in solved:
        content[f"notebooks/solutions/{name}.ipynb"] = b""
        content[f"sslcourse/solutions/{source.week_of(name)}.py"] = _solution(root, source.week_of(name))
    for week in packed:
        content[f"sslcourse/solutions/{week}.packed"] = references.pack(_solution(root, week).decode())
    content |= pages.of(released, solved, stamp, [name for name in content if name.startswith("data/")])

    # At the end, when it is known which files a link can lead to.
    for path in list(content):
        if path.endswith(".ipynb"):
            notebook = _notebook(root, path)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = without_dead_links(cell.source, path, content)
            if stamp.install:
                launch.stamp(notebook, stamp.install)
            content[path] = notebooks.as_text(notebook).encode()
        elif path.endswith(".md"):
            content[path] = without_dead_links(content[path].decode(), path, content).encode()
    return content, links


def without_dead_links(text: str, path: str, content: dict[str, bytes]) -> str:
    """Links to files that were not handed out become their words; code and formulas stay as they are."""

    def one(match: re.Match) -> str:
        target = match[2].partition("#")[0]
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        there = os.path.normpath(os.path.join(os.path.dirname(path), target)).replace(os.sep, "/")
        alive = there in content or any(name.startswith(f"{there}/") for name in content)
        return match[0] if alive else match[1]

    parts = _APART.split(text)
    parts[::2] = [_LINK.sub(one, part) for part in parts[::2]]
    return "".join(parts)


def _notebook(root: Path, path: str) -> NotebookNode:
    _bytes(root, path)  # refuses links
    notebook = notebooks.must_read(root / path)
    if not path.startswith("notebooks/solutions/") and any(has_markers(cell.source) for cell in notebook.cells):
        raise Refusal(
            f"{root / path} holds solutions; make it anew with: sslcourse build {source.week_of(Path(path).stem)}."
        )
    return nbformat.from_dict(notebook)


def _solution(root: Path, week: str) -> bytes:
    name = f"sslcourse/solutions/{week}.py"
    if not (root / name).is_file():
        raise Refusal(f"There is no {name} to make references of; make it with: sslcourse build {week}.")
    return _bytes(root, name)


def _library(root: Path) -> tuple[dict[str, bytes], list[str]]:
    """The package without the solved exercises, and the links in it, which are not followed."""
    found, links = {}, []
    if (root / "sslcourse").is_symlink():
        raise Refusal(f"{root / 'sslcourse'} is a link, and links are not followed; go to where it leads.")
    for place, folders, names in os.walk(root / "sslcourse"):
        here = Path(place)
        links += [
            (here / name).relative_to(root).as_posix() for name in [*folders, *names] if (here / name).is_symlink()
        ]
        folders[:] = sorted(
            name for name in folders if name != "__pycache__" and name[0] != "." and not (here / name).is_symlink()
        )
        if here == root / "sslcourse" / "solutions":
            folders[:], names = [], [name for name in names if name == "__init__.py"]
        for name in sorted(names):
            path = here / name
            if name[0] != "." and path.suffix not in (".pyc", ".part") and path.is_file() and not path.is_symlink():
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found, sorted(links)


def _bytes(root: Path, name: str) -> bytes:
    """One file of the course. Raises Refusal where it is, or lies behind, a link."""
    path = root
    for part in Path(name).parts:
        path = path / part
        if path.is_symlink():
            raise Refusal(f"{path} is a link, and links are not followed; put a copy of the file in its place.")
    if not path.is_file():
        raise Refusal(f"{path} is missing; make it with: sslcourse build.")
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    """Raises Refusal where it cannot be written."""
    try:
        files.write(path, data)
    except OSError as error:
        raise Refusal(f"{path} cannot be written ({error.strerror or error}); what was there is as it was.") from error

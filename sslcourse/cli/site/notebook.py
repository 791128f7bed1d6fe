"""Pages from notebooks: text, code and outputs of an executed notebook as Markdown, a page a week and version.

The solved page is the executed notebook. The student's page is the student notebook, blanks and all, with the outputs
of the executed one below the cells that they share: what should be seen, without what should be written.
"""

import base64
import hashlib
import re
import shutil
from pathlib import Path

from nbformat import NotebookNode

from sslcourse.cli import Refusal, files, launch
from sslcourse.cli.site.links import Links
from sslcourse.weeks import WEEKS, Week

SEEN = "*Outputs on this page are those of the solved notebook: what you should see.*"


def write_all(pages: Path, links: Links) -> None:
    """Write the pages of all weeks and copies of their notebooks."""
    (pages / "_static" / "notebooks").mkdir(parents=True)
    (pages / "figures").mkdir()
    for week in WEEKS.values():
        student, solved = notebooks(links.root, week)
        _write(pages / f"{week.notebook}.md", page(week, _as_seen(student, solved), pages, links, solved=False))
        _copy(links.root / "notebooks" / f"{week.notebook}.ipynb", pages, f"{week.notebook}.ipynb", links)
        if links.solved:
            _write(pages / f"solved_{week.notebook}.md", page(week, solved, pages, links, solved=True))
            path = links.root / "notebooks" / "solutions" / f"{week.notebook}.ipynb"
            _copy(path, pages, f"solved_{week.notebook}.ipynb", links)


def notebooks(root: Path, week: Week) -> tuple[NotebookNode, NotebookNode]:
    """(student's, solved). Raises Refusal for one that is missing, not executed, or executed with a failure."""
    student = files.must_read(root / "notebooks" / f"{week.notebook}.ipynb")
    solved = files.must_read(root / "notebooks" / "solutions" / f"{week.notebook}.ipynb")
    for cell in solved.cells:
        if cell.cell_type != "code":
            continue
        if cell.execution_count is None:
            raise Refusal(f"{week.notebook}, cell {cell.id} was not executed; run: sslcourse build {week.id}.")
        if error := next((output for output in cell.outputs if output.output_type == "error"), None):
            raise Refusal(f"{week.notebook}, cell {cell.id} ended in {error.ename}; run: sslcourse build {week.id}.")
    return student, solved


def _as_seen(student: NotebookNode, solved: NotebookNode) -> NotebookNode:
    """The student's cells with the outputs of the solved ones of the same id and source."""
    outputs = {cell.id: cell for cell in solved.cells if cell.cell_type == "code"}
    for cell in student.cells:
        twin = outputs.get(cell.id)
        if cell.cell_type == "code" and twin is not None and twin.source == cell.source:
            cell.outputs = twin.outputs
    return student


def page(week: Week, notebook: NotebookNode, pages: Path, links: Links, solved: bool) -> str:
    """One notebook as Markdown; figures go to pages/figures. Raises Refusal with the cell's id for what cannot."""
    folder = links.root / "notebooks" / ("solutions" if solved else "")
    parts = []
    for cell in notebook.cells:
        place = f"{week.notebook}, cell {cell.id}"
        parts.append(f"({'solved-' if solved else ''}{cell.id})=" if cell.cell_type == "markdown" else "")
        if cell.cell_type == "markdown":
            text = links.rewritten(cell.source, folder / "notebook.ipynb", place)
            parts.append(_markdown(links.with_weeks(text, week.id, solved), place))
        elif cell.cell_type == "code":
            parts.append(_fence(cell.source, "python", "cell"))
            parts += [_output(output, pages, place) for output in cell.outputs]
    text = "\n\n".join(part for part in parts if part) + "\n"

    # Below the title: where to get and run it, and its other version.
    other = f"solved_{week.notebook}" if not solved else week.notebook
    words = "the solved version" if not solved else "the version with blanks"
    head = [links.launch(week, solved), *([f"[To {words}]({other}.md)."] if links.solved else [])]
    head += [] if solved else [SEEN]
    title = re.search(r"^# .*$", text, re.MULTILINE)
    if title is None:
        raise Refusal(f"{week.notebook} has no title; its first cell should begin with one '# '.")
    name = title[0] + (" (solved)" if solved else "")
    return text[: title.start()] + name + "\n\n" + "\n\n".join(head) + text[title.end() :]


def _markdown(source: str, place: str) -> str:
    """Text as MyST reads it: what folds stays folded, each part of it a paragraph of its own."""
    if source.count("<details>") != source.count("</details>"):
        raise Refusal(f"{place}: a <details> is not closed.")
    source = re.sub(r"^### (BEGIN|END) SOLUTION\n?", "", source, flags=re.MULTILINE)
    return re.sub(r"\s*</details>", "\n\n</details>\n", source)


def _fence(text: str, language: str, kind: str) -> str:
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{ticks}{{code-block}} {language}\n:class: {kind}\n\n{text.rstrip()}\n{ticks}"


def _output(output: NotebookNode, pages: Path, place: str) -> str:
    if output.output_type == "stream":
        return _fence(output.text, "text", "output")
    if picture := output.data.get("image/png"):
        alt = output.metadata.get("image/png", {}).get("alt") or output.data.get("text/plain", "")
        if not alt.strip():
            raise Refusal(f"{place}: a figure has no alternative text; show it with plot.show(figure, alt=...).")
        content = base64.b64decode(picture)
        name = f"figures/{hashlib.sha256(content).hexdigest()[:16]}.png"
        (pages / name).write_bytes(content)
        return f"```{{image}} {name}\n:alt: {' '.join(alt.split())}\n:class: figure\n```"
    if text := output.data.get("text/plain"):
        return _fence(text, "text", "output")
    raise Refusal(f"{place}: an output of kind {', '.join(output.data) or 'none'} cannot stand on a page.")


def _write(path: Path, text: str) -> None:
    if path.exists():
        raise Refusal(f"The page {path.stem} would be written twice; rename one of its notebooks.")
    path.write_text(text, encoding="utf-8")


def _copy(path: Path, pages: Path, name: str, links: Links) -> None:
    """What a reader downloads; with the address of the repository in its first cell, where there is one."""
    target = pages / "_static" / "notebooks" / name
    notebook = files.must_read(path)
    if links.repository and launch.stamp(notebook, f"git+{launch.repository(links.repository)}"):
        target.write_text(files.as_text(notebook), encoding="utf-8")
    else:
        shutil.copyfile(path, target)

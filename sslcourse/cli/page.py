"""One HTML page with every figure and result of the executed notebooks in runs/.

A notebook is shown by its headings and outputs; text and code stay in the notebooks, which the page links to. The page
works without network: pictures are inside it, and nothing is loaded from elsewhere.

Reference: https://nbconvert.readthedocs.io/en/latest/customizing.html
"""

import html
import re
from pathlib import Path

from nbconvert import HTMLExporter
from nbformat import NotebookNode, v4

from sslcourse.cli import files

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { border-top: 1px solid #bbb; padding-top: 1rem; margin-top: 3rem; }
img { max-width: 100%; height: auto; }
pre { background: #f6f6f6; padding: .5rem; overflow-x: auto; white-space: pre-wrap; }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ddd; }
.failed { color: #a40000; font-weight: bold; } .prompt { display: none; }
"""

_HEADS = ("notebook", "scale", "run", "seconds", "peak memory", "outcome")


def write(folder: Path) -> Path:
    """Write folder/index.html from the notebooks in the folder; returns its path."""
    notebooks = {path: files.must_read(path) for path in sorted(folder.glob("*.ipynb"))}
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Figures and results</title>',
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>Self-supervised learning: figures and results</h1>",
        "<table><tr>" + "".join(f"<th>{head}</th>" for head in _HEADS) + "</tr>",
        *(_row(path, notebook) for path, notebook in notebooks.items()),
        "</table>",
        *(_section(path, notebook) for path, notebook in notebooks.items()),
        "</body>\n</html>\n",
    ]
    index = folder / "index.html"
    files.write(index, "\n".join(parts))
    return index


def _row(path: Path, notebook: NotebookNode) -> str:
    run = notebook.metadata.get("sslcourse", {}).get("run", {})
    error = run.get("error", "")
    outcome = f'<span class="failed">failed in {html.escape(error)}</span>' if error else "went through"
    memory = f"{run['peak_memory_mb']} MB" if "peak_memory_mb" in run else ""
    cells = (run.get("scale", ""), run.get("date", ""), run.get("seconds", ""), memory, outcome)
    link = f'<a href="#{path.stem}">{path.stem}</a>'
    return f"<tr><td>{link}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _section(path: Path, notebook: NotebookNode) -> str:
    """Headings and outputs of one notebook."""
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_anchor_links=True)
    body, _ = exporter.from_notebook_node(_outline(notebook))
    link = f'<p><a href="{path.name}">the executed notebook</a></p>'
    return f'<section id="{path.stem}">\n<h2>{path.stem}</h2>\n{link}\n{body}\n</section>'


def _outline(notebook: NotebookNode) -> NotebookNode:
    """The headings, two levels down to lie below the notebook's own, and the code cells that show something."""
    outline = v4.new_notebook()
    waiting = []  # headings that have shown nothing yet
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for level, text in re.findall(r"^(#{1,3}) +(.+)$", cell.source, re.MULTILINE):
                waiting = [(above, title) for above, title in waiting if len(above) < len(level)] + [(level, text)]
        elif cell.cell_type == "code" and cell.outputs:
            outline.cells += [v4.new_markdown_cell(f"##{level} {text}") for level, text in waiting]
            outline.cells.append(v4.new_code_cell("", outputs=cell.outputs, execution_count=cell.execution_count))
            waiting = []
    return outline

"""One HTML page with every figure and result of the executed notebooks in runs/.

A notebook is shown by its headings and outputs; text and code stay in the notebooks, which the page links to. The page
works without network: pictures are inside it, and nothing is loaded from elsewhere. Whatever a notebook shows, it
cannot act on the page: of its HTML the tags that format a text stay, and nothing that runs, loads or covers the rest.

References: https://nbconvert.readthedocs.io/en/latest/customizing.html and https://bleach.readthedocs.io/en/latest
"""

import copy
import html
import re
from pathlib import Path
from urllib.parse import quote

from bleach.html5lib_shim import Filter
from bleach.sanitizer import Cleaner
from nbconvert import HTMLExporter
from nbformat import NotebookNode, v4

from sslcourse.cli import files

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { border-top: 1px solid #bbb; padding-top: 1rem; margin-top: 3rem; }
img { max-width: 100%; height: auto; }
pre { background: #f6f6f6; padding: .5rem; overflow-x: auto; white-space: pre-wrap; }
table { border-collapse: collapse; display: block; max-width: 100%; overflow-x: auto; }
td, th { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ddd; }
.failed { color: #a40000; font-weight: bold; } .prompt { display: none; }
"""

# Simplest first: of an output in several forms, the first that is there is shown.
_FORMS = ["image/png", "image/jpeg", "text/html", "text/markdown", "text/plain"]
_TAGS = set(
    "b blockquote br caption code dd div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre s small span strong sub sup "
    "table tbody td tfoot th thead tr u ul".split()
)
_DROPPED = {"script", "style", "iframe", "object", "noscript", "template", "title"}  # with all that is inside

_HEADS = ("notebook", "scale", "run", "seconds", "peak memory", "outcome")


_known: dict[Path, tuple[tuple, tuple[str, str]]] = {}  # what was shown, as long as the file is as it was


def _shown(path: Path) -> tuple[str, str]:
    """A notebook's row of the table and its section; rendered once, since a run writes the page after each notebook."""
    try:
        facts = path.stat()
        stamp = facts.st_mtime_ns, facts.st_size, facts.st_ino
    except OSError:
        stamp = ()
    if _known.get(path, (None,))[0] != stamp or not stamp:
        notebook = files.must_read(path)
        _known[path] = stamp, (_row(path, notebook), _section(path, notebook))
    return _known[path][1]


def write(folder: Path) -> Path:
    """Write folder/index.html from the notebooks in the folder; returns its path."""
    shown = [_shown(path) for path in sorted(folder.glob("*.ipynb"))]
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Figures and results</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>Self-supervised learning: figures and results</h1>",
        _to_site(folder),
        "<table><tr>" + "".join(f"<th>{head}</th>" for head in _HEADS) + "</tr>",
        *(row for row, _ in shown),
        "</table>",
        *(section for _, section in shown),
        "</body>\n</html>\n",
    ]
    index = folder / "index.html"
    files.write(index, "\n".join(parts))
    return index


def _to_site(folder: Path) -> str:
    """A line that leads to the course's site, where it was built beside the runs."""
    if not (folder.parent / "site" / "index.html").is_file():
        return ""
    return '<p>What the notebooks explain stands on <a href="../site/index.html">the site of the course</a>.</p>'


def _title(path: Path, notebook: NotebookNode) -> str:
    """The first heading of a notebook, with the seed of a recorded run, or the name of a file that has none."""
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = next((heading[1] for text in texts if (heading := re.search(r"^# +(.+)$", text, re.MULTILINE))), None)
    if found is None:
        return path.stem
    seed = re.search(r"_seed(\d+)$", path.stem)
    return f"{found}, seed {seed[1]}" if seed else found


def _row(path: Path, notebook: NotebookNode) -> str:
    run = notebook.metadata.get("sslcourse", {}).get("run", {})
    error = run.get("error", "")
    outcome = f'<span class="failed">failed in {_text(error)}</span>' if error else "went through"
    memory = f"{run['peak_memory_mb']} MB" if "peak_memory_mb" in run else ""
    facts = (run.get("scale", ""), run.get("date", ""), run.get("seconds", ""), memory)
    link = f'<a href="#{_text(path.stem)}">{_text(_title(path, notebook))}</a>'
    return f"<tr><td>{link}</td>" + "".join(f"<td>{_text(fact)}</td>" for fact in facts) + f"<td>{outcome}</td></tr>"


def _section(path: Path, notebook: NotebookNode) -> str:
    """Headings and outputs of one notebook."""
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_anchor_links=True)
    exporter.config.NbConvertBase.display_data_priority = _FORMS
    body, _ = exporter.from_notebook_node(_outline(notebook))
    link = f'<p><a href="{quote(path.name)}">the executed notebook</a></p>'
    name = _text(path.stem)
    return f'<section id="{name}">\n<h2>{_text(_title(path, notebook))}</h2>\n{link}\n{harmless(body)}\n</section>'


def _outline(notebook: NotebookNode) -> NotebookNode:
    """The headings, two levels down to lie below the notebook's own, and the code cells that show something."""
    outline = v4.new_notebook()
    waiting, titled = [], False  # headings that have shown nothing yet; the first one heads the section already
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for level, text in re.findall(r"^(#{1,3}) +(.+)$", cell.source, re.MULTILINE):
                if level == "#" and not titled:
                    titled = True
                    continue
                waiting = [(above, title) for above, title in waiting if len(above) < len(level)] + [(level, text)]
        elif cell.cell_type == "code" and cell.outputs:
            outline.cells += [v4.new_markdown_cell(f"##{level} {_heading(text)}") for level, text in waiting]
            outputs = [_closed(output) for output in cell.outputs]
            outline.cells.append(v4.new_code_cell("", outputs=outputs, execution_count=cell.execution_count))
            waiting = []
    return outline


def _heading(text: str) -> str:
    """Markdown whose "<" is a "<"; code and formulas are escaped by Markdown itself."""
    parts = re.split(r"(`[^`]*`|\$[^$]*\$)", text)
    return "".join(part if n % 2 else html.escape(part, quote=False) for n, part in enumerate(parts))


def _closed(output: NotebookNode) -> NotebookNode:
    """An output whose HTML ends where it ends: what it leaves open would swallow the outputs below it."""
    output = copy.deepcopy(output)
    if "data" in output and not set(_FORMS) & set(output.data):
        output.data = {"text/plain": f"({', '.join(output.data) or 'nothing'}: not shown here, see the notebook)"}
    for form in {"text/html", "text/markdown"} & set(output.get("data", {})):
        output.data[form] = harmless("".join(output.data[form]))
    return output


def harmless(body: str) -> str:
    """HTML with the tags that format a text, closed in their order; others are left out, scripts with their content."""
    return _CLEANER.clean(body)


def _may_stay(tag: str, name: str, value: str) -> bool:
    """Classes of nbconvert, sizes of tables, pictures that are inside the page."""
    if name == "src":
        return tag == "img" and value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
    return name in ("alt", "class", "colspan", "rowspan", "start", "scope")


class _WithoutScripts(Filter):
    """Leaves out elements that are code or pages of their own, with their content."""

    def __iter__(self):
        inside = 0
        for token in super().__iter__():
            if token.get("name") in _DROPPED:
                inside += {"StartTag": 1, "EndTag": -1}.get(token["type"], 0)
            elif not inside:
                yield token


_CLEANER = Cleaner(
    tags=_TAGS | _DROPPED,
    attributes=_may_stay,
    protocols={"data"},
    strip=True,
    strip_comments=True,
    filters=[_WithoutScripts],
)


def _text(value: object) -> str:
    return html.escape(str(value))

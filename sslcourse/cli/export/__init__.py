"""`sslcourse export NOTEBOOK --to report | slides | pdf`: a project for readers, without its code and without network.

What is exported is what the notebook shows: run it first. A slide begins at every heading of up to the third level, and
goes on on another where it is too tall for the screen; tracebacks, progress and code stay behind. One page holds
everything, pictures, formulas and reveal.js (assets.py). The PDF is the report printed by Chrome or Chromium, where
there is one.

References: https://nbconvert.readthedocs.io/en/latest/customizing.html and https://revealjs.com
"""

import copy
import html
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from nbformat import NotebookNode

from sslcourse.cli import Refusal, files
from sslcourse.cli.export import assets

HERE = Path(__file__).parent
SLIDE = "sslcourse-slide"
_SLIDES = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{styles}
{formulas}
</head>
<body>
<div class="reveal"><div class="slides"></div><div id="cells">{cells}</div></div>
{scripts}
</body>
</html>
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def export(path: Path, to: str, code: bool = False) -> int:
    """Write NAME.report.html, NAME.slides.html or NAME.pdf beside the notebook."""
    if path.suffix != ".ipynb" or not path.is_file():
        raise Refusal(f"There is no notebook {path}; name a file that ends in .ipynb.")
    notebook = files.must_read(path)
    if not any(cell.get("outputs") for cell in notebook.cells):
        raise Refusal(f"{path} has no outputs; run all its cells and save it first.")

    target = path.with_name(f"{path.stem}.pdf" if to == "pdf" else f"{path.stem}.{to}.html")
    if to == "pdf":
        _print(as_html(notebook, "report", code), target)
    else:
        files.write(target, as_html(notebook, to, code))
    print(f"Written: {target}")
    return 0


def as_html(notebook: NotebookNode, to: str, code: bool = False) -> str:
    """The notebook as a report or as slides, one HTML page that loads nothing."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="basic" if to == "slides" else "sslcourse_report",
        extra_template_basedirs=[str(HERE / "templates")],
        exclude_input=not code,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    notebook = shown(notebook)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    formulas = assets.formulas(words)
    if to == "report":
        body, _ = exporter.from_notebook_node(notebook, {"sslcourse_formulas": formulas})
        return body
    body, resources = exporter.from_notebook_node(with_slides(notebook))
    title = re.search(r"^# +(.+)$", words, re.MULTILINE)
    styles = [assets.text_of(*assets.REVEAL_STYLE), *resources["inlining"]["css"], _own("slides.css")]
    scripts = [assets.script(text) for text in (assets.text_of(*assets.REVEAL), _own("slides.js"))]
    return _SLIDES.format(
        title=html.escape(title[1] if title else "Slides"),
        styles="".join(f"<style>{style}</style>" for style in styles),
        formulas=formulas,
        cells=body,
        scripts="".join(scripts),
    )


def _own(name: str) -> str:
    return (HERE / "static" / name).read_text(encoding="utf-8")


def shown(notebook: NotebookNode) -> NotebookNode:
    """A copy without tracebacks and without what was written to stderr, such as progress."""
    clean = copy.deepcopy(notebook)
    for cell in clean.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                output for output in cell.outputs if output.output_type != "error" and output.get("name") != "stderr"
            ]
    return clean


def with_slides(notebook: NotebookNode) -> NotebookNode:
    """A copy in which every cell with a heading is tagged as the first of a slide; code that shows nothing is gone."""
    slides = copy.deepcopy(notebook)
    slides.cells = [cell for cell in slides.cells if cell.cell_type != "code" or cell.get("outputs")]
    for n, cell in enumerate(slides.cells):
        heading = cell.cell_type == "markdown" and re.search(r"^#{1,3} ", cell.source, re.MULTILINE)
        cell.metadata["tags"] = [SLIDE] if heading or n == 0 else []
    return slides


def _print(page: str, target: Path) -> None:
    """Let a browser without a window print the page."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise Refusal("There is no Chrome or Chromium to print with; export --to report and print that to PDF.")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.html"
        report.write_text(page, encoding="utf-8")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-pdf-header-footer",
            "--virtual-time-budget=30000",
        ]
        command = [browser, *options, f"--user-data-dir={folder}/profile", f"--print-to-pdf={target.absolute()}"]
        try:
            done = subprocess.run([*command, report.as_uri()], capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            done = None
    if done is None or done.returncode or not target.is_file():
        raise Refusal(f"{Path(browser).name} did not print {target.name}; export --to report and print that to PDF.")

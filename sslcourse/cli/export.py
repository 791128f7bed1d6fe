"""`sslcourse export NOTEBOOK --to report | slides | pdf`: a project for readers, without its code.

What is exported is what the notebook shows: run it first. Slides begin at every heading of up to the third level;
tracebacks, progress and code stay behind. The PDF is the report printed by Chrome or Chromium, where there is one.

References: https://nbconvert.readthedocs.io/en/latest/usage.html and https://revealjs.com
"""

import copy
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from nbformat import NotebookNode

from sslcourse.cli import Refusal, files

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
    """The notebook as a report or as slides, one HTML page with all pictures inside."""
    from nbconvert import HTMLExporter, SlidesExporter

    exporter = (SlidesExporter if to == "slides" else HTMLExporter)(
        exclude_input=not code, exclude_input_prompt=True, exclude_output_prompt=True
    )
    if to == "slides":
        notebook = with_slides(notebook)
    body, _ = exporter.from_notebook_node(notebook)
    return body


def with_slides(notebook: NotebookNode) -> NotebookNode:
    """A copy in which every cell with a heading begins a slide; code that shows nothing is skipped."""
    slides = copy.deepcopy(notebook)
    for n, cell in enumerate(slides.cells):
        heading = cell.cell_type == "markdown" and re.search(r"^#{1,3} ", cell.source, re.MULTILINE)
        silent = cell.cell_type == "code" and not cell.get("outputs")
        kind = "slide" if heading or n == 0 else "skip" if silent else "-"
        cell.metadata["slideshow"] = {"slide_type": kind}
    return slides


def _print(html: str, target: Path) -> None:
    """Let a browser without a window print the page."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise Refusal("There is no Chrome or Chromium to print with; export --to report and print that to PDF.")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(html, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        command = [browser, *options, f"--user-data-dir={folder}/profile", f"--print-to-pdf={target.absolute()}"]
        try:
            done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            done = None
    if done is None or done.returncode or not target.is_file():
        raise Refusal(f"{Path(browser).name} did not print {target.name}; export --to report and print that to PDF.")

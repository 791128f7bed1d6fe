"""A project as report, slides or PDF: what was shown, without the code; refused where there is nothing to show."""

import shutil

import nbformat
import pytest

from sslcourse.cli import export, main


@pytest.fixture
def notebook(tmp_path):
    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell("# My project"),
        v4.new_code_cell("secret = 1", execution_count=1),
        v4.new_markdown_cell("## Results\n\n$h = f(x)$"),
        v4.new_code_cell("print('shown')", execution_count=2),
        v4.new_markdown_cell("More words."),
    ]
    cells[3].outputs = [v4.new_output("stream", name="stdout", text="what came out\n")]
    path = tmp_path / "project.ipynb"
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


def test_a_report_shows_outputs_and_no_code(notebook, capsys):
    assert main(["export", str(notebook)]) == 0
    written = notebook.with_name("project.report.html")
    text = written.read_text(encoding="utf-8")
    assert "what came out" in text and "secret" not in text and str(written) in capsys.readouterr().out


def test_code_is_kept_where_it_is_asked_for(notebook):
    assert main(["export", str(notebook), "--code"]) == 0
    assert "secret" in notebook.with_name("project.report.html").read_text(encoding="utf-8")


def test_every_heading_begins_a_slide(notebook):
    kinds = [cell.metadata.slideshow.slide_type for cell in export.with_slides(nbformat.read(notebook, 4)).cells]
    assert kinds == ["slide", "skip", "slide", "-", "-"]
    assert main(["export", str(notebook), "--to", "slides"]) == 0
    text = notebook.with_name("project.slides.html").read_text(encoding="utf-8")
    assert "reveal" in text and "what came out" in text and "secret" not in text


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, export.BROWSERS)), reason="there is no browser to print with")
def test_a_browser_prints_the_pdf(notebook):
    assert main(["export", str(notebook), "--to", "pdf"]) == 0
    assert notebook.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_without_a_browser_the_report_is_the_way(notebook, monkeypatch, capsys):
    monkeypatch.setattr(export.shutil, "which", lambda name: None)
    assert main(["export", str(notebook), "--to", "pdf"]) == 2
    assert "no Chrome or Chromium to print with" in capsys.readouterr().err
    assert not notebook.with_suffix(".pdf").exists()


def test_a_notebook_that_was_not_run_or_is_not_there_is_refused(notebook, tmp_path, capsys):
    made = nbformat.read(notebook, 4)
    made.cells[3].outputs = []
    nbformat.write(made, notebook)
    assert main(["export", str(notebook)]) == 2 and "run all its cells" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none.ipynb")]) == 2 and "There is no notebook" in capsys.readouterr().err
    assert main(["export", str(tmp_path)]) == 2

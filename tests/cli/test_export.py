"""A project as report, slides or PDF: what was shown, without the code; refused where there is nothing to show."""

import re
import shutil

import nbformat
import pytest

from sslcourse.cli import Refusal, export, main
from sslcourse.cli.export import assets


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
    made = export.with_slides(nbformat.read(notebook, 4))
    assert [cell.metadata.tags for cell in made.cells] == [[export.SLIDE], [export.SLIDE], [], []]
    assert main(["export", str(notebook), "--to", "slides"]) == 0
    text = notebook.with_name("project.slides.html").read_text(encoding="utf-8")
    assert "reveal" in text and "what came out" in text and "secret" not in text
    assert "<title>My project</title>" in text
    assert len(re.findall(rf"<div[^>]*celltag_{export.SLIDE}", text)) == 2


@pytest.mark.parametrize("to", ["report", "slides"])
def test_a_page_asks_for_nothing_from_elsewhere(to, notebook):
    page = export.as_html(nbformat.read(notebook, 4), to)
    for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page):
        assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag), tag
    assert "@import" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL) and "import(" not in page[:3000]
    assert "MathJax" in page
    without = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# No formula")])
    assert len(export.as_html(without, to)) < len(page) - 1_000_000  # MathJax only where there is a formula


@pytest.mark.parametrize("to", ["report", "slides"])
def test_tracebacks_and_progress_stay_behind(to, notebook):
    made = nbformat.read(notebook, 4)
    made.cells[3].outputs += [
        nbformat.v4.new_output("stream", name="stderr", text="37% of it"),
        nbformat.v4.new_output("error", ename="ValueError", evalue="broken", traceback=["the traceback"]),
    ]
    page = export.as_html(made, to)
    assert "what came out" in page and "37% of it" not in page and "the traceback" not in page
    assert len(made.cells[3].outputs) == 3


def test_a_script_cannot_be_ended_by_what_it_holds():
    assert assets.script("a = '</script><b>'").count("</script>") == 1
    assert assets.script("a = '</SCRIPT >'").lower().count("</script") == 1


def test_a_package_that_is_not_there_is_named():
    with pytest.raises(Refusal, match="pip install sphinx-nowhere"):
        assets.text_of("sphinx-nowhere", "a.js")


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

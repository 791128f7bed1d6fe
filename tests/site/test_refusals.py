"""What cannot stand on a page is refused by name and cell, and the old site stays."""

import shutil
from pathlib import Path

import nbformat
import pytest

from sslcourse.cli import Refusal
from sslcourse.cli import site as command
from sslcourse.cli.site import conf, notebook, prose
from sslcourse.cli.site.links import Links
from sslcourse.weeks import WEEKS

ROOT = Path(__file__).parents[2]
WEEK = WEEKS["week04"]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A copy of what one week's page is made of."""
    root = tmp_path / "course"
    for folder in ("notebooks", "notebooks/solutions"):
        (root / folder).mkdir(parents=True)
        shutil.copyfile(ROOT / folder / f"{WEEK.notebook}.ipynb", root / folder / f"{WEEK.notebook}.ipynb")
    monkeypatch.setattr(notebook, "WEEKS", {"week04": WEEK})
    pages = tmp_path / "pages"
    pages.mkdir()
    return root, pages


def write(course, solved=True):
    root, pages = course
    notebook.write_all(pages, Links(root, None, solved))
    return (pages / f"{'solved_' * solved}{WEEK.notebook}.md").read_text(encoding="utf-8")


def change(course, edit):
    path = course[0] / "notebooks" / "solutions" / f"{WEEK.notebook}.ipynb"
    there = nbformat.read(path, as_version=4)
    edit(there)
    nbformat.write(there, path)


def cell_of(there, kind):
    return next(cell for cell in there.cells if kind(cell))


def is_figure(cell):
    return cell.cell_type == "code" and any("image/png" in output.get("data", {}) for output in cell.outputs)


def unexecuted(there):
    cell_of(there, lambda cell: cell.cell_type == "code").execution_count = None


def failed(there):
    cell = cell_of(there, lambda cell: cell.cell_type == "code")
    cell.outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])]


def without_words(there):
    for output in cell_of(there, is_figure).outputs:
        if "image/png" in output.get("data", {}):
            output.metadata, output.data["text/plain"] = {}, ""


def markdown(text):
    return lambda there: there.cells.insert(3, nbformat.v4.new_markdown_cell(text, id="week04-extra-1"))


def foreign(there):
    output = nbformat.v4.new_output("display_data", {"application/x-map": "..."})
    cell_of(there, lambda cell: cell.cell_type == "code").outputs = [output]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (unexecuted, r"cell week04-start-2 was not executed; run: sslcourse build week04"),
        (failed, r"cell week04-start-2 ended in ValueError"),
        (without_words, r"cell week04-[\w-]+: a figure has no alternative text"),
        (foreign, r"cell week04-start-2: an output of kind application/x-map cannot stand on a page"),
        (markdown("see ![a plot](missing.png)"), r"cell week04-extra-1: the figure missing.png is missing"),
        (markdown("see [this](week99.ipynb)"), r"cell week04-extra-1: the link to week99.ipynb leads nowhere"),
        (markdown("<details><summary>a hint</summary>"), r"cell week04-extra-1: a <details> is not closed"),
    ],
)
def test_what_cannot_stand_is_named_with_its_cell(edit, words, course):
    change(course, edit)
    with pytest.raises(Refusal, match=words):
        write(course)


def test_a_notebook_that_is_no_notebook(course):
    (course[0] / "notebooks" / f"{WEEK.notebook}.ipynb").write_text("{")
    with pytest.raises(Refusal, match=r"week04_simclr.ipynb cannot be read as a notebook"):
        write(course)


def test_a_page_of_the_same_name(course):
    (course[1] / f"{WEEK.notebook}.md").write_text("somebody else's")
    with pytest.raises(Refusal, match="page week04_simclr would be written twice"):
        write(course)


def test_prose_that_leads_nowhere(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "teaching.md").write_text("see [there](nowhere.md)")
    monkeypatch.setattr(prose, "PROSE", {"docs/teaching.md": "teaching"})
    with pytest.raises(Refusal, match="docs/teaching.md: the link to nowhere.md leads nowhere"):
        prose.write_all(tmp_path, Links(tmp_path, None, True))


def test_pictures_of_prose_come_along(tmp_path, monkeypatch):
    """docs/board.md shows docs/images/...; on the site a picture lies with the others, and the page says so."""
    pages = tmp_path / "pages"
    for folder in (tmp_path / "docs" / "site", tmp_path / "docs" / "images", pages / "figures"):
        folder.mkdir(parents=True)
    (tmp_path / "docs" / "images" / "board.png").write_bytes(b"drawn")
    (tmp_path / "docs" / "board.md").write_text("# Board\n\n![accuracies](images/board.png)\n")
    (tmp_path / "docs" / "site" / "index.md").write_text("WEEKS\n")
    monkeypatch.setattr(prose, "PROSE", {"docs/board.md": "board"})
    prose.write_all(pages, Links(tmp_path, None, True))
    assert "![accuracies](figures/board.png)" in (pages / "board.md").read_text()
    assert (pages / "figures" / "board.png").read_bytes() == b"drawn"


def test_a_student_sees_outputs_of_given_cells_and_no_solution(course):
    text = write(course, solved=False)
    assert "figures/" in text and "fill_diagonal_" not in text and "nt_xent: right." in text
    assert not list(course[1].glob("solved_*")) and "solved version" not in text


def test_without_a_repository_a_page_links_to_its_notebook_alone(course):
    text = write(course, solved=False)
    assert "_static/notebooks/week04_simclr.ipynb" in text
    assert "colab.research" not in text and "mybinder" not in text


def test_another_folder_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(Refusal, match="is there and is no site of this course"):
        command.site(ROOT, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_a_build_that_fails_leaves_the_old_site(tmp_path, monkeypatch):
    old = tmp_path / "site"
    old.mkdir()
    (old / conf.MARK).write_text("")
    (old / "index.html").write_text("the old one")

    def broken(pages, links):
        (pages / "index.md").write_text("# Home\n\n[nowhere](nothing.md)\n")

    monkeypatch.setenv("FORCE_COLOR", "1")  # as some continuous integration does
    for module in (notebook, prose):
        monkeypatch.setattr(module, "write_all", lambda pages, links: (pages / "_static").mkdir(exist_ok=True))
    monkeypatch.setattr(command.results, "write", broken)
    monkeypatch.setattr(command.reference, "write_all", lambda pages: None)
    with pytest.raises(Refusal, match="The site was not built: index.md:3: WARNING.*nothing.md"):
        command.site(ROOT, old)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["site"]
    assert (old / "index.html").read_text() == "the old one"


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setitem(conf.NEEDED, "no_such_module_here", "no-such-package")
    with pytest.raises(Refusal, match="The site needs no-such-package; make site installs them"):
        conf.mathjax()

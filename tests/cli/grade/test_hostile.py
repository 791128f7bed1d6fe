"""Every hostile submission gets what it deserves, in one command for the whole class; the rest is graded as ever."""

import copy
import csv
import json
import os

import pytest
from filelock import FileLock
from hostile import ROWS
from submissions import ROOT, handed, solved

from sslcourse.cli import main
from sslcourse.cli.grade import report

SECONDS = 4


@pytest.fixture(scope="module")
def class_of(plans, tmp_path_factory):
    """The results of the whole class: {student: row of points.csv}, and the folder of them."""
    # Where several workers share the tests, the first one grades the class for all.
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "hostile-class"
    with FileLock(f"{shared}.lock"):
        if not (shared / "done").exists():
            _grade_the_class(shared, plans)
            (shared / "done").touch()
    folder = shared / "results" / "week04"
    with open(folder / "points.csv", encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}, folder


def _grade_the_class(folder, plans):
    submitted, results = folder / "submitted", folder / "results"
    honest, blank = solved(plans["week04"]), handed(plans["week04"])
    for row in ROWS:
        notebook = copy.deepcopy(blank if row.blank else honest)
        made = row.change(notebook)
        made = notebook if made is None else made
        if not isinstance(made, str | bytes):
            made = json.dumps(made).replace("COURSE", json.dumps(str(folder)).strip('"').join("''"))
        path = submitted / row.name.replace("/", "_") / "week04" / "week04_simclr.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8"))
    (submitted / "a link").mkdir()
    (submitted / "a link" / "week04_simclr.ipynb").symlink_to(submitted / "honest" / "week04" / "week04_simclr.ipynb")
    for name in ("first.ipynb", "second.ipynb"):
        path = submitted / "two files" / "week04" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(honest if name == "first.ipynb" else blank))
    (submitted / "a document" / "week04").mkdir(parents=True)
    (submitted / "a document" / "week04" / "week04.docx").write_text("")
    path = submitted / "renamed file" / "week04" / "final version (3).ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(honest))

    before = sorted(submitted.rglob("*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        code = main(["grade", str(submitted), "--to", str(results), "--week", "4", "--seconds", str(SECONDS)])
    assert code == 1  # some were refused
    assert sorted(submitted.rglob("*")) == before and not (folder / "gotcha").exists()


def cell_of(name):
    return report._cell(name.replace("/", "_"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_gets_what_it_deserves(row, class_of, plans):
    points, folder = class_of
    got = points[cell_of(row.name)]
    if row.refused:
        assert got["status"] == "refused" and row.refused in got["remark"]
        return
    assert got["exercises"] == str(row.points), got
    student = row.name.replace("/", "_")
    text = (folder / "feedback" / f"{report.page_names([student])[student]}.html").read_text(encoding="utf-8")
    for exercise in plans["week04"].graded:
        kind = row.kinds.get(exercise.name, "not attempted" if row.blank else "right")
        assert f"<h2>{exercise.name}: {kind}, " in text, exercise.name
    assert row.says in text
    looked_at = [name for name, kind in row.kinds.items() if kind == "by hand"]
    assert got["status"] == (f"look at {', '.join(looked_at)}" if looked_at else "graded")


@pytest.mark.parametrize(
    "student, word", [("a link", "link"), ("two files", "2 notebooks"), ("a document", "no notebook")]
)
def test_what_is_no_submission_is_refused_by_name(student, word, class_of):
    got = class_of[0][student]
    assert got["status"] == "refused" and word in got["remark"]


def test_a_renamed_file_is_graded(class_of):
    assert class_of[0]["renamed file"]["exercises"] == "9"


def test_nobody_is_forgotten_and_no_cell_is_a_formula(class_of):
    points, folder = class_of
    assert len(points) == len(ROWS) + 4
    for row in points.values():
        assert not any(str(value).startswith(("=", "+", "@")) for value in row.values())
    summary = (folder / "summary.html").read_text(encoding="utf-8")
    assert "<script" not in summary and "Straße &lt;b&gt;" in "".join(
        page.read_text(encoding="utf-8") for page in (folder / "feedback").iterdir()
    )

"""Which files are submissions and whose, what results may be called, and what mistakes are called."""

import json

import pytest
from submissions import ROOT, solved

from sslcourse.cli import main
from sslcourse.cli.grade import collect, report
from sslcourse.cli.grade.plan import Verdict


@pytest.fixture
def place(tmp_path, plans):
    """Write a submission of a week: place("anna/week04/x.ipynb", "week04")."""
    texts = {week: json.dumps(solved(plans[week])) for week in ("week04", "week05")}

    def write(name, week="week04"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[week], encoding="utf-8")
        return path

    return write


def collected(tmp_path, plans, week=None):
    found, refused = collect.collect(tmp_path, plans, week)
    return {(one.student, one.week) for one in found}, {one.student: one.refusal for one in refused}


def test_the_three_layouts(tmp_path, plans, place):
    place("anna/week04/week04_simclr.ipynb")
    place("anna/week05/week05_moco_scan.ipynb", "week05")
    place("bert/any name.ipynb")
    place("Carla Müller_4711_assignsubmission_file/week04_simclr.ipynb")
    place("dora_week04_simclr.ipynb")
    place("week04_simclr - Émile.ipynb")
    place("frida/week04/.ipynb_checkpoints/week04_simclr-checkpoint.ipynb")
    place("frida/week04/week04_simclr.ipynb")
    (tmp_path / "notes.txt").write_text("")
    found, refused = collected(tmp_path, plans)
    assert found == {
        *(("anna", "week04"), ("anna", "week05"), ("bert", "week04"), ("dora", "week04"), ("Émile", "week04")),
        *(("Carla Müller_4711_assignsubmission_file", "week04"), ("frida", "week04")),
    }
    assert refused == {}


def test_one_week_of_many(tmp_path, plans, place):
    place("anna/week04/x.ipynb")
    place("anna/week05/x.ipynb", "week05")
    place("bert/week04/x.ipynb", "week05")
    found, refused = collected(tmp_path, {"week04": plans["week04"], "week05": plans["week05"]}, "week04")
    assert found == {("anna", "week04")} and "week05, not of week04" in refused["bert"]


def test_the_right_name_counts_where_there_are_two(tmp_path, plans, place):
    place("anna/week04/week04_simclr.ipynb")
    place("anna/week04/week04_simclr-old.ipynb", "week04").write_text(
        json.dumps(solved(plans["week04"])).replace("temperature", "tau"), encoding="utf-8"
    )
    found, refused = collected(tmp_path, plans)
    assert found == {("anna", "week04")} and refused == {}


def test_links_are_not_followed(tmp_path, plans, place):
    elsewhere = place("elsewhere/week04/week04_simclr.ipynb")
    folder = tmp_path / "class"
    (folder / "anna").mkdir(parents=True)
    (folder / "anna" / "week04").symlink_to(elsewhere.parent)
    (folder / "bert").symlink_to(elsewhere.parent.parent)
    (folder / "carla").mkdir()
    (folder / "carla" / "week04_simclr.ipynb").symlink_to(elsewhere)
    found, refused = collected(folder, plans)
    assert found == set() and set(refused) == {"anna", "bert", "carla"}


@pytest.mark.parametrize(
    "options, words",
    [
        (["nowhere", "--to", "results"], "no folder"),
        (["empty", "--to", "results"], "no notebooks"),
        (["empty", "--to", "empty/results"], "within"),
        (["empty", "--to", "results", "--week", "week99"], "no solved notebook"),
        (["empty", "--to", "results", "--nbgrader", "empty"], "no nbgrader course"),
        (["empty", "--to", "results", "--jobs", "0"], "whole number"),
    ],
)
def test_what_cannot_be_graded_gets_one_sentence(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (tmp_path / "empty").mkdir()
    names = [str(tmp_path / one) if one.split("/")[0] in ("nowhere", "empty", "results") else one for one in options]
    try:
        assert main(["grade", *names]) == 2
    except SystemExit as ended:
        assert ended.code == 2
    assert words in capsys.readouterr().err and not (tmp_path / "results").exists()


def test_repair_gives_every_cell_once(tmp_path, plans, place, monkeypatch, capsys):
    path = place("anna/week04/week04_simclr.ipynb")
    notebook = json.loads(path.read_text())
    n = next(n for n, cell in enumerate(notebook["cells"]) if cell["id"] == "week04-nt_xent-2")
    notebook["cells"].insert(n, dict(notebook["cells"][n]))
    notebook["cells"].insert(n, {"cell_type": "code", "source": "mine = 1", "metadata": {}, "outputs": []})
    del notebook["cells"][-2:]
    path.write_text(json.dumps(notebook))
    monkeypatch.chdir(ROOT)
    assert main(["grade", str(tmp_path), "--repair", "--to", str(tmp_path.parent / f"{tmp_path.name}-mended")]) == 0
    (made,) = (tmp_path.parent / f"{tmp_path.name}-mended").rglob("*.ipynb")
    cells = json.loads(made.read_text())["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(ids) == len(set(ids)) and set(ids) - plans["week04"].cells == {"own-1"}
    assert plans["week04"].cells <= set(ids) and "copied" in capsys.readouterr().out


def test_page_names_are_safe_and_differ():
    students = ["a/b", "a\\b", "..", "A_B", "=cmd", "Jörg <x>"]
    names = report.page_names(students)
    assert len({name.casefold() for name in names.values()}) == len(students)
    assert not any(set(name) & set('/\\<>:"|?*=') or name.startswith(".") for name in names.values())


@pytest.mark.parametrize(
    "message, name",
    [
        ("not yet right. Yours gives 1, it should be 2.\nIt looks as if the sign is wrong.", "the sign is wrong."),
        ("not yet right. Your code raised ValueError: bad 3 for z.", "it raises ValueError"),
        ("not yet right. It returns a tensor of shape (3, 4).", "It returns a tensor of shape (#, #)."),
    ],
)
def test_mistakes_have_the_name_that_the_check_gives_them(message, name):
    assert report.mistake(Verdict("wrong", message)).startswith(name)

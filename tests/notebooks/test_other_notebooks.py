"""Notebooks beside the numbered weeks, such as the bonus, go the same way, by the first word of their name."""

import pytest
from example_source import SOURCE, write_course

import sslcourse
from sslcourse import weeks
from sslcourse.cli import build, compare, main, source

NAME = "bonus_example"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with a numbered week and a bonus, built and not executed; the working directory is inside it."""
    root = write_course(tmp_path / "course", SOURCE.replace("week98", "bonus"), NAME)
    write_course(root)
    build.build(root, execute=False)
    monkeypatch.chdir(root / "notebooks")
    return root


def test_the_id_is_the_first_word_of_the_name(course):
    assert [source.week_of(path.stem) for path in source.find_scripts(course)] == ["bonus", "week98"]
    assert [path.stem for path in source.find_scripts(course, ["bonus"])] == [NAME]
    assert (course / "sslcourse" / "solutions" / "bonus.py").is_file()
    assert build.products(course, NAME).student == course / "notebooks" / f"{NAME}.ipynb"


@pytest.mark.parametrize("called", ["bonus", NAME])
def test_every_command_takes_it(called, course, tmp_path, capsys):
    assert main(["build", "--no-execute", called]) == 0
    assert main(["lab", called, "--no-open"]) == 0 and (course / "work" / f"{NAME}.ipynb").is_file()
    assert main(["release", called, "--to", str(tmp_path / "hand-out")]) == 0
    assert "Handed out" in capsys.readouterr().out
    handed = {path.name for path in (tmp_path / "hand-out" / "sslcourse" / "solutions").iterdir()}
    assert handed == {"__init__.py", "bonus.packed", "week98.packed"}
    # Not executed yet, and nothing else wrong.
    assert {line.split(": ")[1].split(" ")[1] for line in compare.findings(course, [called])} == {"outputs"}


def test_the_bonus_is_a_row_like_any_other(capsys):
    row = weeks.find("bonus")
    assert weeks.find(row.notebook) is row and source.week_of(row.notebook) == row.id == "bonus"
    assert sslcourse.begin(week="bonus", scale="dry").week == "bonus"
    assert capsys.readouterr().out.startswith("bonus at scale dry")
    assert callable(sslcourse.solution("bonus", "relax"))


def test_two_bonuses_have_an_id_each():
    """The second one's id is longer than the first word of its name, which is the first one's."""
    names = {row.id: row.notebook for row in weeks.WEEKS.values()}
    assert {source.week_of(notebook): notebook for notebook in names.values()} == names
    assert len(names) == len(weeks.WEEKS)

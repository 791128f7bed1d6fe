"""`sslcourse lab`, `release`, `check-env`, `prefetch`: student work survives, solutions stay behind, plain words."""

import getpass
import os
import socket
from pathlib import Path

import nbformat
import pytest
from example_source import write_course

from sslcourse import data
from sslcourse.cli import build, check_env, lab, main, release

NAME = "week98_example"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with its notebooks built, not executed; the working directory is inside it."""
    root = write_course(tmp_path / "course")
    build.build(root, execute=False)
    monkeypatch.chdir(root / "notebooks")
    return root


def call(capsys, *arguments):
    capsys.readouterr()
    code = main(list(arguments))
    out, error = capsys.readouterr()
    return code, out, error


# --- lab


def test_lab_copies_once_and_never_overwrites(course, capsys):
    code, out, _ = call(capsys, "lab", "98", "--no-open")
    copy = course / "work" / f"{NAME}.ipynb"
    assert code == 0 and "no update will touch it" in out
    assert nbformat.read(copy, 4).cells == nbformat.read(course / "notebooks" / f"{NAME}.ipynb", 4).cells

    mine = nbformat.read(copy, 4)
    mine.cells[5].source = "def double(x): return x + x"
    nbformat.write(mine, copy)
    before = copy.read_bytes()
    code, out, _ = call(capsys, "lab", "week98", "--no-open")
    assert code == 0 and copy.read_bytes() == before
    assert "Going on with your copy" in out and "has changed" not in out


def test_lab_says_when_the_original_has_changed_since(course, capsys):
    call(capsys, "lab", "98", "--no-open")
    copy = course / "work" / f"{NAME}.ipynb"
    before = copy.read_bytes()
    path = course / "notebooks" / "source" / f"{NAME}.py"
    path.write_text(path.read_text(encoding="utf-8").replace("# Twice.", "# Twice as much."), encoding="utf-8")
    build.build(course, execute=False)
    code, out, _ = call(capsys, "lab", NAME, "--no-open")
    assert code == 0 and "has changed since you copied it" in out and "rename your copy" in out
    assert copy.read_bytes() == before


def test_lab_opens_jupyterlab_beside_the_copy(course, monkeypatch, capsys):
    started = []

    class Done:
        returncode = 0

    monkeypatch.setattr(lab.subprocess, "run", lambda command, cwd: started.append((command[1:], cwd)) or Done)
    assert call(capsys, "lab", "98")[0] == 0
    assert started == [(["-m", "jupyterlab", f"{NAME}.ipynb"], course / "work")]


def test_lab_without_such_a_week_or_outside_the_course_is_refused(course, tmp_path, monkeypatch, capsys):
    code, out, error = call(capsys, "lab", "5")
    assert (code, out) == (2, "") and error.count("\n") == 1 and "no student notebook of week05" in error
    monkeypatch.chdir(tmp_path)
    code, out, error = call(capsys, "lab", "98")
    assert (code, out) == (2, "") and error.count("\n") == 1 and "not inside a copy of the course" in error


def test_lab_names_a_copy_that_is_broken(course, capsys):
    (course / "work").mkdir()
    (course / "work" / f"{NAME}.ipynb").write_text("{")
    code, _, error = call(capsys, "lab", "98", "--no-open")
    assert code == 2 and error.count("\n") == 1 and "cannot be read" in error


# --- release


def test_a_release_holds_everything_but_the_solutions(course, tmp_path, capsys):
    (course / "sslcourse" / "check").mkdir()
    (course / "sslcourse" / "check" / "week98.py").write_text("")
    (course / "README.md").write_text("read me")
    code, out, _ = call(capsys, "release", "--to", str(tmp_path / "hand-out"))
    assert code == 0 and "without the solutions of week98" in out and "no reference solution" in out
    there = {
        str(path.relative_to(tmp_path / "hand-out")) for path in (tmp_path / "hand-out").rglob("*") if path.is_file()
    }
    assert there == {
        "README.md",
        f"notebooks/{NAME}.ipynb",
        "sslcourse/__init__.py",
        "sslcourse/check/week98.py",
        "sslcourse/solutions/__init__.py",
    }


def test_a_release_can_withhold_some_weeks_only(course, tmp_path, capsys):
    write_course(course, name="week97_example")
    build.build(course, execute=False)
    assert call(capsys, "release", "97", "--to", str(tmp_path / "hand-out"))[0] == 0
    solutions = {path.name for path in (tmp_path / "hand-out" / "sslcourse" / "solutions").iterdir()}
    assert solutions == {"__init__.py", "week98.py"}


def test_a_release_never_mixes_into_what_is_there(course, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    code, _, error = call(capsys, "release", "--to", str(tmp_path / "full"))
    assert code == 2 and "is not empty" in error
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows write everywhere")
def test_a_release_into_a_folder_that_cannot_be_written_is_refused(course, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, _, error = call(capsys, "release", "--to", str(tmp_path / "locked" / "hand-out"))
    assert code == 2 and error.count("\n") == 1 and "cannot be written" in error


def test_a_release_that_breaks_off_leaves_nothing_behind(course, tmp_path, monkeypatch, capsys):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(release.shutil, "copytree", full)
    code, _, error = call(capsys, "release", "--to", str(tmp_path / "hand-out"))
    assert code == 2 and "No space left on device" in error and not (tmp_path / "hand-out").exists()


# --- check-env


def test_check_env_names_the_facts_and_nobody(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    code, out, error = call(capsys, "check-env")
    assert code == 0 and error == ""
    for fact in (
        "sslcourse ",
        "python ",
        "torch ",
        "memory ",
        "data root ",
        "GB free",
        "holds cifar10",
        "SSLCOURSE_DATA=~",
    ):
        assert fact in out, fact
    assert str(tmp_path) not in out and out.isascii()
    assert socket.gethostname() not in out or len(socket.gethostname()) < 5
    assert getpass.getuser() not in out or getpass.getuser() == "root"


def test_an_old_python_is_refused_by_every_command(monkeypatch, capsys):
    monkeypatch.setattr("sys.version_info", (3, 10, 4))
    code, out, error = call(capsys, "check-env")
    assert (code, out) == (2, "") and error == "sslcourse: Python 3.10 is too old; the course needs 3.11 or newer.\n"


GOOD = {name: "999.0" for name in check_env.requirements()}


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (((3, 10), GOOD, 2**34, 2**34), "Python 3.10 is too old; the course needs 3.11"),
        (((3, 13), {}, 2**34, 2**34), "sslcourse is not installed"),
        (((3, 13), GOOD | {"torch": "2.1.0+cu118"}, 2**34, 2**34), "torch 2.1.0+cu118 is too old; run: pip install"),
        (((3, 13), GOOD | {"timm": ""}, 2**34, 2**34), "timm is missing; run: pip install timm"),
        (((3, 13), GOOD, 2**31, 2**34), "2.0 GB of memory is little"),
        (((3, 13), GOOD, 2**34, 2**20), "Less than 1 GB of disk"),
    ],
)
def test_check_env_names_what_is_too_old_missing_or_small(arguments, sentence):
    (problem,) = check_env.problems(*arguments)
    assert sentence in problem
    assert check_env.problems((3, 13), GOOD, 2**34, 2**34) == []


def test_check_env_knows_the_torch_that_the_package_asks_for():
    assert check_env.requirements()["torch"] >= "2"


# --- prefetch


def test_prefetch_names_what_it_fetched(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(data, "prefetch", lambda week, scale: asked.append((week, scale)) or [tmp_path / "cifar10"])
    code, out, _ = call(capsys, "prefetch", "4", "--scale", "small")
    assert code == 0 and asked == [("week04", "small")]
    assert "cifar10" in out and "all it needs for scale small" in out


def test_prefetch_without_network_is_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path))
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    code, out, error = call(capsys, "prefetch", "week04", "--scale", "small")
    assert (code, out) == (2, "") and error.count("\n") == 1 and "cifar10" in error


@pytest.mark.parametrize("arguments", [("55", "--scale", "small"), ("4", "--scale", "big"), ("4",)])
def test_prefetch_of_nothing_known_is_refused(arguments, capsys):
    try:
        code = main(["prefetch", *arguments])
    except SystemExit as exit:
        code = exit.code
    out, error = capsys.readouterr()
    assert (code, out) == (2, "") and error.count("\n") == 1

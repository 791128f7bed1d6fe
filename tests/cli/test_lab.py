"""`sslcourse lab`, `check-env`, `prefetch`: student work survives, plain words."""

import getpass
import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from example_source import write_course

import sslcourse
from sslcourse import data, files
from sslcourse.cli import build, check_env, lab, main

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


# --- check-env


def test_check_env_names_the_facts_and_nobody(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    code, out, error = call(capsys, "check-env")
    assert code == 0 and error == "" and "Everything that the course needs is here." in out
    saved = (tmp_path / "check-env.txt").read_text()
    assert out == f"{saved}Saved in ~/check-env.txt.\n"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar10"]
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


def check_env_where(
    tmp_path, *broken: str, command: tuple[str, ...] = ("check-env",), **environment: str
) -> tuple[int, str, str]:
    """A command in a process of its own, where these packages raise when they are imported."""
    for name in broken:
        (tmp_path / "broken").mkdir(exist_ok=True)
        (tmp_path / "broken" / f"{name}.py").write_text("raise OSError('libcudart.so.12: cannot open shared object')")
    package = str(Path(sslcourse.__file__).parents[1])
    path = os.pathsep.join([str(tmp_path / "broken"), package])
    paths = {"PYTHONPATH": path, "SSLCOURSE_DATA": str(tmp_path / "data")}
    script = "import sys; from sslcourse.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **paths, **environment},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_check_env_describes_a_machine_whose_torch_and_psutil_are_broken(tmp_path):
    code, out, error = check_env_where(tmp_path, "torch", "psutil")
    assert code == 1 and error == ""
    for name in ("torch", "psutil"):
        assert f"{name} does not work (OSError: libcudart.so.12: cannot open shared object); run: pip install" in out
    assert "python  " in out and "packages  " in out and "Everything" not in out
    assert (tmp_path / "check-env.txt").read_text() in out


def test_a_command_that_needs_a_broken_library_says_so_in_one_line(tmp_path):
    code, out, error = check_env_where(tmp_path, "torch", command=("prefetch", "week04", "--scale", "small"))
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith("sslcourse: the library torch cannot be imported (libcudart.so.12: cannot open shared obj")


@pytest.mark.parametrize("package", ["torch", "torchvision", "matplotlib", "transformers", "nbgrader", "psutil"])
@pytest.mark.parametrize("how", ["missing", "broken", "leaves"])
def test_check_env_is_content_only_after_importing(package, how, monkeypatch):
    assert package in check_env.IMPORTS
    real = importlib.import_module

    def imported(module, *others):
        if module.split(".")[0] != package:
            return real("math") if module != "torch" else real("torch")
        if how == "missing":
            raise ModuleNotFoundError(f"No module named '{package}'")
        raise (SystemExit if how == "leaves" else RuntimeError)("not today\nsecond line")

    monkeypatch.setattr(check_env.importlib, "import_module", imported)
    (problem,) = check_env.import_problems()
    assert "\n" not in problem and problem.startswith(package) and "run: pip install" in problem
    assert ("is missing" if how == "missing" else "does not work") in problem
    assert check_env.import_problems(skipped=[package]) == []


def test_check_env_survives_a_torch_that_ends_python(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import os\nos.kill(os.getpid(), 4)\n")  # an illegal instruction
    path = os.pathsep.join([str(tmp_path), str(Path(check_env.__file__).parents[2])])
    code = "from sslcourse.cli import check_env as c; c._shut_out_what_ends_python('torch'); print(c._why_not('torch'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert (done.stdout.strip(), done.returncode) == ("to import it ends Python", 0), done.stderr


def test_check_env_tries_to_write_where_the_data_go(tmp_path, monkeypatch, capsys):
    assert check_env.writing_problem(tmp_path / "new" / "data") == "" and not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written (Not a directory)" in check_env.writing_problem(tmp_path / "file" / "data")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    assert "cannot be written (No space left on device); point SSLCOURSE_DATA" in check_env.writing_problem(tmp_path)
    monkeypatch.setattr(check_env, "import_problems", lambda skipped: [])
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path))
    code, out, _ = call(capsys, "check-env")
    assert code == 1 and "Everything" not in out and "no folder can be written: copy it from here" in out


def test_check_env_finds_the_kernel_or_says_so(tmp_path, monkeypatch):
    assert check_env._kernel_problem() == "" and check_env.facts()["kernel"].startswith("python3 at ")
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    words = {"argv": [str(tmp_path / "gone" / "python"), "-m", "x"], "display_name": "x", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(words))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert "No kernel python3 for the notebooks" in check_env._kernel_problem()
    monkeypatch.setattr(check_env, "KERNEL", "no-such-kernel")
    assert "ipykernel install --sys-prefix" in check_env._kernel_problem()


def test_check_env_saves_in_runs_of_a_course(course, capsys, monkeypatch):
    monkeypatch.setattr(check_env, "import_problems", lambda skipped: [])
    code, out, _ = call(capsys, "check-env")
    assert f"Saved in {check_env.shorten(course / 'runs' / 'check-env.txt')}." in out
    assert (course / "runs" / "check-env.txt").read_text() in out


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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "The disk is full: cifar10 needs more space."), "The disk is full: cifar10 needs more space."),
        (PermissionError(13, "Permission denied", "/data/x"), "/data/x cannot be read or written: Permission denied."),
        (data.DataMissing("cifar10 is not here."), "cifar10 is not here."),
        (ConnectionError("The server is away."), "The server is away."),
    ],
)
def test_prefetch_says_what_the_error_says_and_of_which_file(monkeypatch, capsys, error, said):
    def fail(week, scale):
        raise error

    monkeypatch.setattr(data, "prefetch", fail)
    code, out, told = call(capsys, "prefetch", "week04", "--scale", "small")
    assert (code, out, told.count("\n")) == (2, "", 1) and told.rstrip().endswith(said)


@pytest.mark.parametrize("arguments", [("55", "--scale", "small"), ("4", "--scale", "big"), ("4",)])
def test_prefetch_of_nothing_known_is_refused(arguments, capsys):
    try:
        code = main(["prefetch", *arguments])
    except SystemExit as exit:
        code = exit.code
    out, error = capsys.readouterr()
    assert (code, out) == (2, "") and error.count("\n") == 1

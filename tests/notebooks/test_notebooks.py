"""The notebooks of this repository: built from their sources, clean, runnable as students get them, and from the wheel.

nbval itself executes the solution notebooks (`make test`); here stands what it does not see, and what students do.
"""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import plain_program
import pytest
from nbgrader.nbgraderformat import MetadataValidator

from sslcourse.cli import blanks, build, compare, files, forked, kernel, launch, release, source

ROOT = Path(__file__).parents[2]
SCRIPTS = source.find_scripts(ROOT)
WEEKS = [path.stem for path in SCRIPTS]
EXERCISED = [path.stem for path in SCRIPTS if source.read(path).exercises]  # all but the project template
DRY = {
    "SSLCOURSE_SCALE": "dry",
    "SSLCOURSE_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "SSLCOURSE_STRICT": None,
    "SSLCOURSE_RECORD": None,
}


def student(name):
    return files.must_read(build.products(ROOT, name).student)


def solution(name):
    return files.must_read(build.products(ROOT, name).solution)


def text_of(cell):
    """All that a cell printed or displayed as text."""
    outputs = cell.get("outputs", [])
    return "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)


def environment(**changes):
    merged = os.environ | DRY | changes
    return {name: value for name, value in merged.items() if value is not None}


# --- what is committed


def test_there_are_notebooks():
    assert WEEKS
    assert set(WEEKS) - set(EXERCISED) <= {"project_template"}


def test_every_notebook_and_module_follows_from_its_source():
    assert compare.findings(ROOT) == []


@pytest.mark.parametrize("name", WEEKS)
def test_no_cell_can_hide_a_failure_from_nbval(name):
    for cell in solution(name).cells:
        assert not {"raises-exception", "nbval-skip"} & set(cell.metadata.get("tags", []))
        if cell.cell_type == "code":
            compile(cell.source, cell.id, "exec")  # so no magics and no ! commands, whose failures pass
            assert "NBVAL_SKIP" not in cell.source and "NBVAL_RAISES_EXCEPTION" not in cell.source
    assert compare.output_problems(solution(name)) == []
    assert "widgets" not in solution(name).metadata


@pytest.mark.parametrize("name", EXERCISED)
def test_something_is_compared_by_nbval(name):
    compared = [cell for cell in solution(name).cells if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert len(compared) >= 3
    assert all(": right." in text_of(cell) for cell in compared)


@pytest.mark.parametrize("name", WEEKS)
def test_no_solution_leaks_into_the_student_notebook(name):
    assert "SOLUTION" not in build.products(ROOT, name).student.read_text(encoding="utf-8")
    blank = 0
    for given, solved in zip(student(name).cells, solution(name).cells, strict=True):
        if given.source == solved.source:
            continue
        blank += 1
        outside, inside, within = set(), set(), False
        for line in solved.source.split("\n"):
            if blanks.has_markers(line):
                within = "BEGIN" in line
            else:
                (inside if within else outside).add(line)
        leaked = (inside - outside) & set(given.source.split("\n")) - {""}
        assert not leaked, f"{given.id}: {leaked}"
    assert blank >= 3


@pytest.mark.parametrize("name", WEEKS)
def test_nbgrader_accepts_both_notebooks(name):
    for notebook in (student(name), solution(name)):
        MetadataValidator().validate_nb(notebook)
        nbformat.validate(notebook)


@pytest.mark.parametrize("path", SCRIPTS, ids=WEEKS)
def test_the_first_code_cell_is_the_one_that_releases_stamp(path):
    first = next(cell for cell in source.read(path).cells if cell.kind == "code")
    assert first.source == launch.CELL


# --- as they run


def unpacked_wheel(root, folder):
    """The wheel of a course, installed in `folder`. It is pure Python: installing is unpacking."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    made = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return unpacked_wheel(ROOT, tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """(notebooks, installed library) of a hand-out of all weeks, which has no solutions."""
    folder = tmp_path_factory.mktemp("students")
    assert release.release(ROOT, [], folder / "handout") == 0
    return folder / "handout" / "notebooks", unpacked_wheel(folder / "handout", folder)


def test_the_wheel_holds_what_a_notebook_needs_and_no_more(installed):
    assert {path.name for path in installed.iterdir() if "dist-info" not in path.name} == {"sslcourse"}
    for name in WEEKS:
        week = source.week_of(name)
        checks = [f"check/{week}/__init__.py", f"check/{week}/oracle.py"] if name in EXERCISED else []
        for resource in (f"solutions/{week}.py", f"expected/{week}.json", *checks):
            assert (installed / "sslcourse" / resource).is_file(), resource


@pytest.fixture(scope="module")
def nursery(handed_out):
    """Kernels for which the library that was handed out comes before the checkout, all forked from one start."""
    if not forked.HERE:
        yield None
        return
    with forked.Nursery(kernel.merged(DRY | {"PYTHONPATH": str(handed_out[1])})) as nursery:
        yield nursery


@pytest.mark.slow
@pytest.mark.parametrize("name", WEEKS)
def test_the_untouched_student_notebook_runs_through(name, handed_out, nursery, tmp_path):
    """As on a student's first day, with packed references; outside the checkout, of which nothing can then help."""
    notebooks, installed = handed_out
    assert not list(installed.rglob("solutions/week*.py"))
    notebook = files.must_read(notebooks / f"{name}.ipynb")
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import sslcourse; print(sslcourse.__file__)", id="where"))
    changes = DRY | {"PYTHONPATH": str(installed), "SSLCOURSE_DATA": None}
    kernel.execute(notebook, tmp_path, changes, nursery=nursery)
    assert Path(text_of(notebook.cells[0]).strip()).is_relative_to(installed)

    blank = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error" and output.get("name") != "stderr", f"{cell.id}: {output}"
        if cell.metadata.get("nbgrader", {}).get("grade_id", "").startswith("check_"):
            assert ": not attempted" in text_of(cell) and "Going on with the reference" in text_of(cell), cell.id
            blank += 1
    if name not in EXERCISED:
        return
    assert blank >= 3
    assert "computed with the reference" in "".join(map(text_of, notebook.cells))


@pytest.fixture(scope="module")
def forking():
    return plain_program.server()


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=WEEKS)
def test_the_source_runs_as_a_plain_program_whose_trainings_are_all_interrupted(path, forking, tmp_path):
    """Nothing rests on a notebook, nor on a training that ran to its end: every figure after it is drawn.

    The first from the command line, the others in processes that are forked: the same, without the imports.
    """
    changes = environment(MPLBACKEND="Agg", SSLCOURSE_STRICT="1")
    program = [str(Path(__file__).with_name("interrupted.py")), str(path)]
    out, err = tmp_path / "out", tmp_path / "err"
    ended = plain_program.start(None if path == SCRIPTS[0] else forking, program, path.parent, changes, out, err)
    assert ended(300) == 0, err.read_text()[-2000:]
    assert err.read_text() == ""
    said = out.read_text()
    assert ": not " not in "".join(re.findall(r"^\w+: not .*$", said, re.MULTILINE))
    count = int(re.fullmatch(r"(\d+) trainings were interrupted\.", said.splitlines()[-1])[1])
    assert (count > 0) == bool(re.search(r"^[^#\n]*train\.fit", path.read_text(encoding="utf-8"), re.MULTILINE))


# --- what we rely on in nbval


def cell(source, outputs=(), count=1, tags=()):
    made = nbformat.v4.new_code_cell(source, execution_count=count, metadata={"tags": list(tags)})
    made.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in outputs]
    return made


def test_nbval_compares_what_is_marked_by_tag_or_comment(tmp_path):
    cells = [
        cell("print(1)", ["1\n"], tags=["check", "nbval-check-output"]),
        cell("print(2)", ["1\n"], tags=["check", "nbval-check-output"]),
        cell("# NBVAL_CHECK_OUTPUT\nprint(2)", ["1\n"]),
        cell("print(2)", ["1\n"]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "made.ipynb")
    options = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-rA", "--color=no"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path), f"--rootdir={tmp_path}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = {name: word for word, name in re.findall(r"^(PASSED|FAILED) .*::(Cell \d)", result.stdout, re.MULTILINE)}
    assert found == {"Cell 0": "PASSED", "Cell 1": "FAILED", "Cell 2": "FAILED", "Cell 3": "PASSED"}, result.stdout

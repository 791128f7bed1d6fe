"""`sslcourse build`: three products of one source, every mistake refused, everything that does not fit found."""

import ast
import os
import re
import shutil

import nbformat
import pytest
from example_source import SOURCE, write_course
from nbgrader.nbgraderformat import MetadataValidator

from sslcourse.cli import Refusal, build, cells, compare, main, source
from sslcourse.cli.blanks import BEGIN, END
from sslcourse.cli.kernel import MINUTES, NotebookFailed

NAME = "week98_example"
SOLVED = f"    {BEGIN}\n    return math.fsum([x, x])\n    {END}\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A small course, built once and executed."""
    root = write_course(tmp_path_factory.mktemp("course"))
    assert build.build(root) == 0
    return root


@pytest.fixture
def course(built, tmp_path):
    """A copy of it to spoil."""
    return shutil.copytree(built, tmp_path / "course")


def notebooks(root):
    paths = build.products(root, NAME)
    return nbformat.read(paths.student, 4), nbformat.read(paths.solution, 4)


def parse(tmp_path, text):
    return source.read(write_course(tmp_path, text) / "notebooks" / "source" / f"{NAME}.py")


# --- the three products


def test_a_built_course_fits_its_source(built):
    assert compare.findings(built) == []


def test_student_notebook_has_blanks_and_nothing_else_differs(built):
    student, solution = notebooks(built)
    blank = {cell.id: cell.source for cell in student.cells}
    assert blank["week98-double-2"] == (
        'def double(x: float) -> float:\n    """Twice x."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    )
    assert blank["week98-results-3"] == "Why?\n\nYOUR ANSWER HERE"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in student.cells)
    different = {a.id for a, b in zip(student.cells, solution.cells, strict=True) if a.source != b.source}
    assert different == {"week98-double-2", "week98-results-3"}


def test_solution_notebook_keeps_markers_and_outputs(built):
    _, solution = notebooks(built)
    by_id = {cell.id: cell for cell in solution.cells}
    assert "### BEGIN SOLUTION" in by_id["week98-double-2"].source
    assert "<!-- ### BEGIN SOLUTION -->" in by_id["week98-results-3"].source
    assert by_id["week98-double-3"].outputs[0].text == "double: right.\n"
    counts = [cell.execution_count for cell in solution.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert solution.metadata.language_info == {"name": "python"}


def test_solution_module_holds_setup_and_exercises_and_imports_silently(built, capsys):
    text = build.products(built, NAME).module.read_text(encoding="utf-8")
    module = {}
    exec(compile(text, "week98.py", "exec"), module)
    assert capsys.readouterr() == ("", "")
    assert module["double"](2) == 4 and module["Scale"](3)(2) == 6
    assert "check" not in module and "SOLUTION" not in text
    assert "notebooks/source/week98_example.py" in ast.get_docstring(ast.parse(text))


def test_cell_ids_survive_an_insertion_elsewhere(tmp_path):
    def ids(text):
        script = parse(tmp_path, text)
        return {cell.source: name for cell, name in zip(script.cells, cells.cell_ids(script), strict=True)}

    before = ids(SOURCE)
    after = ids(SOURCE.replace("# Twice.\n", "# Twice.\n\n# %% [markdown]\n# More of it.\n\n# %%\n0\n"))
    assert before.items() <= after.items() and len(after) == len(before) + 2
    assert len(set(after.values())) == len(after)
    assert all(re.fullmatch(r"[\w-]{1,64}", name, re.ASCII) for name in after.values())


@pytest.mark.parametrize("line", ["# copy the weights", "# cat and dog", "cp = 1", "cat += cp"])
def test_a_cell_is_what_the_script_says(line, tmp_path):
    """A line that begins with a shell word is no magic."""
    script = parse(tmp_path, SOURCE + f"\n# %%\n{line}\n1\n")
    assert cells.solution_notebook(script).cells[-1].source == f"{line}\n1"


def test_ids_of_long_and_foreign_headings_are_valid(tmp_path):
    text = SOURCE.replace("## 3 Results", "## 3.1. Größe & Ähnlichkeit: " + "very long words " * 20)
    for cell in cells.solution_notebook(parse(tmp_path, text)).cells:
        assert re.fullmatch(r"[\w-]{1,64}", cell.id, re.ASCII)


def test_nbgrader_accepts_the_metadata_and_counts_the_points(built):
    for notebook in notebooks(built):
        MetadataValidator().validate_nb(notebook)
        graded = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
        assert set(graded) == {"double", "check_double", "question_1"}
        points = {name: cell.metadata.nbgrader.get("points") for name, cell in graded.items()}
        assert points == {"double": None, "check_double": 2, "question_1": 1}
        assert graded["check_double"].metadata.nbgrader.locked and not graded["double"].metadata.nbgrader.locked
        assert graded["question_1"].metadata.nbgrader.solution and graded["question_1"].metadata.nbgrader.grade


def test_check_cells_are_compared_by_nbval(built):
    for notebook in notebooks(built):
        compared = {cell.id for cell in notebook.cells if "nbval-check-output" in cell.metadata.get("tags", [])}
        assert compared == {"week98-double-3", "week98-Scale-3"}


def test_line_ends_of_windows_change_nothing(course):
    path = course / source.FOLDER / f"{NAME}.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert compare.findings(course) == []


# --- what is executed, and when


def refuse_to_execute(*arguments, **keywords):
    raise AssertionError("executed a notebook that is fresh")


def edit(root, old, new):
    path = root / source.FOLDER / f"{NAME}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_fresh_notebook_is_not_executed_again_and_no_file_is_touched(course, monkeypatch):
    monkeypatch.setattr(build, "execute", refuse_to_execute)
    before = {path: path.stat().st_mtime_ns for path in course.rglob("*.*")}
    assert build.build(course) == 0
    assert {path: path.stat().st_mtime_ns for path in course.rglob("*.*")} == before


def test_a_change_of_text_keeps_the_outputs(course, monkeypatch):
    monkeypatch.setattr(build, "execute", refuse_to_execute)
    edit(course, "# Twice.", "# Twice as much.")
    assert any("week98-theory-1 differs from its script in its source" in line for line in compare.findings(course))
    assert build.build(course) == 0 and compare.findings(course) == []
    assert "Twice as much." in notebooks(course)[1].cells[3].source


def test_a_change_of_code_executes_anew(course):
    edit(course, "double(21)", "double(4)")
    assert any("stale" in line and "sslcourse build week98" in line for line in compare.findings(course))
    assert build.build(course, ["week98"]) == 0 and compare.findings(course) == []
    assert cell_of(notebooks(course)[1], "week98-double-4").outputs[0].text == "8.0\n"


def test_without_execution_the_notebook_is_written_and_stays_stale(course, monkeypatch):
    monkeypatch.setattr(build, "execute", refuse_to_execute)
    edit(course, "double(21)", "double(4)")
    assert build.build(course, execute=False) == 0
    (line,) = compare.findings(course)
    assert line.startswith("notebooks/solutions/week98_example.ipynb: its outputs are stale")
    assert line.endswith("; sslcourse build week98")


def test_an_error_leaves_the_old_notebook_as_it_was(course, capsys):
    path = build.products(course, NAME).solution
    before = path.read_bytes()
    edit(course, "print(double(21))", "print(double(21) / 0)")
    assert build.build(course) == 1
    assert path.read_bytes() == before
    told = capsys.readouterr().out
    assert "cell week98-double-4: ZeroDivisionError: float division by zero" in told and "left as it was" in told
    assert len(told.splitlines()) < 30 and "\x1b" not in told


def test_building_is_strict_at_tiny_offline_and_with_the_first_seed(course, monkeypatch):
    seen = {}

    def execute(notebook, folder, environment, on_cell, minutes):
        seen.update(environment, minutes=minutes)
        raise NotebookFailed("enough")

    monkeypatch.setattr(build, "execute", execute)
    assert build.build(course, force=True) == 1
    assert seen["SSLCOURSE_STRICT"] == "1" and seen["SSLCOURSE_SCALE"] == "tiny" and seen["SSLCOURSE_OFFLINE"] == "1"
    assert seen["SSLCOURSE_RECORD"] is None and seen["SSLCOURSE_SEED"] is None and seen["minutes"] == MINUTES["tiny"]


# --- mistakes of authors


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("    ### BEGIN SOLUTION\n    return", "    return", "do not alternate"),
        ("fsum([x, x])\n    ### END SOLUTION", "fsum([x, x])", "has no ### END SOLUTION"),
        ("    return math.fsum([x, x])\n", "", "at least one statement"),
        ("    ### BEGIN", "### BEGIN", "indentation"),
        ("    ### BEGIN", "        ### BEGIN", "indentation"),
        ("### BEGIN SOLUTION\n    return", "### BEGIN SOLUTION HERE\n    return", "alone on its line"),
        (f"return math.fsum([x, x])\n    {END}", f"x += 1\n    return sum(\n    {END}\n    [x])", "in two"),
        ("class Scale:\n", f"class Scale:\n    {BEGIN}\n    factor = 1\n    {END}\n", "inside the body of a function"),
        ("print(double(21))", "### BEGIN SOLUTION\nprint(1)\n### END SOLUTION", "not tagged exercise or question"),
        ("class Scale:", "def other(): ...\n\nclass Scale:", "this one defines 2"),
        ("class Scale:", "factor = 2\n\nclass Scale:", "nothing else"),
        ("double = check.double(double)", "0", "double = check.double(double)"),
        ("double = check.double(double)", "double = check.half(double)", "double = check.double(double)"),
        ('# %% tags=["check"]\ndouble = check', "# %%\ndouble = check", "needs its check"),
        ('# %% tags=["exercise", "points:0"]', '# %% tags=["setup"]', "only imports"),
        ('["exercise", "points:2"]', '["exercise"]', "no points"),
        ('["question", "points:1"]', '["question"]', "no points"),
        ('["check"]\ndouble', '["check", "points:2"]\ndouble', "points stand on"),
        ('["setup"]', '["set-up"]', "not known"),
        ('["setup"]', '["setup", "check"]', "both"),
        ('["setup"]', '["setup", "raises-exception"]', "not known"),
        ("import math\n", "import math\nprint(1)\n", "only imports"),
        ("import math\n", "import math\nscale = begin(week=98)\n", "begin()"),
        ("# %% [markdown]\n# ### 1.1 Doubling · difficulty 1 of 3\n", "# %%\n0\n", "needs its text"),
        ("print(double(21))", "%matplotlib inline", "not plain Python"),
        ("print(double(21))", "!ls", "not plain Python"),
        ("# ### BEGIN SOLUTION\n# Because of the sum.\n# ### END SOLUTION\n", "", "the model answer must stand"),
        ("Scale", "double", "two exercises named double"),
        ("return math.fsum([x, x])", "return helper(x)", "helper"),
        (SOLVED, "    return 2 * x\n", "no solution between"),
    ],
)  # fmt: skip
def test_every_mistake_of_an_author_gets_its_sentence(old, new, sentence, tmp_path):
    assert old in SOURCE
    text = SOURCE.replace(old, new)
    with pytest.raises(Refusal, match=re.escape(sentence)) as refusal:
        cells.solution_module(parse(tmp_path, text))
    assert NAME in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "body",
    [
        "    if x:\n        ### BEGIN SOLUTION\n        x = x + x\n        ### END SOLUTION\n    return x",
        f"    {BEGIN}\n    with x as y:\n        z = [\n            y\n        ]\n    #\n\n    return z\n    {END}",
        f"    {BEGIN}\n    y = 1\n    {END}\n    y += 1\n    {BEGIN}\n    return y\n    {END}",
        "    def inner():\n        ### BEGIN SOLUTION\n        return x\n        ### END SOLUTION\n    return inner()",
    ],
)  # fmt: skip
def test_blanks_may_stand_anywhere_in_a_body(body, tmp_path):
    text = SOURCE.replace(SOLVED, body + "\n")
    student = cells.student_notebook(parse(tmp_path, text))
    blank = next(cell.source for cell in student.cells if cell.source.startswith("def double"))
    ast.parse(blank)
    assert "raise NotImplementedError()" in blank and "SOLUTION" not in blank


def test_text_before_the_first_cell_is_refused(tmp_path):
    with pytest.raises(Refusal, match="nothing may stand before the first"):
        parse(tmp_path, SOURCE.replace("# ---\n\n# %% [mark", "# ---\n\nimport os\n\n# %% [mark", 1))


def test_a_script_in_another_encoding_is_refused(course):
    (course / source.FOLDER / f"{NAME}.py").write_bytes(SOURCE.encode("utf-16"))
    with pytest.raises(Refusal, match="cannot be read as UTF-8"):
        build.build(course)


def test_two_scripts_of_one_week_are_refused(course):
    write_course(course, name="week98_again")
    with pytest.raises(Refusal, match="two scripts of week98"):
        build.build(course)


# --- what --check finds


def change(part, **how):
    """A spoiler: change one notebook with a function of it."""

    def spoil(root):
        path = getattr(build.products(root, NAME), part)
        notebook = nbformat.read(path, 4)
        how["by"](notebook)
        nbformat.write(notebook, path)

    return spoil


def cell_of(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def set_text(name, text):
    return lambda notebook: cell_of(notebook, name).update(source=text)


def add_output(kind, **output):
    return lambda notebook: cell_of(notebook, "week98-start-3").outputs.append(nbformat.v4.new_output(kind, **output))


def set_points(notebook):
    cell_of(notebook, "week98-double-3").metadata.nbgrader.points = 9


CONDA = {"name": "conda", "display_name": "conda"}
WIDGET = {"application/vnd.jupyter.widget-view+json": {}}


def rename(root):
    (root / source.FOLDER / f"{NAME}.py").rename(root / source.FOLDER / "week97_example.py")


def write(path, text):
    return lambda root: (root / path).write_text(text)


@pytest.mark.parametrize(
    "spoil, finding",
    [
        (change("student", by=set_text("week98-theory-1", "hand-edited")), "theory-1 differs from its script"),
        (change("solution", by=set_text("week98-theory-1", "hand-edited")), "theory-1 differs from its script"),
        (change("student", by=lambda n: cell_of(n, "week98-theory-1").update(id="mine")), "week98-theory-1 is missing"),
        (change("student", by=lambda n: n.cells.pop(3)), "is missing"),
        (change("student", by=lambda n: n.cells.insert(0, n.cells.pop(3))), "another order"),
        (change("student", by=set_points), "in its metadata"),
        (change("student", by=lambda n: n.metadata.update(kernelspec=CONDA)), "metadata differ"),
        (change("student", by=lambda n: n.cells.append(nbformat.v4.new_code_cell("0", id="new"))), "new is not in"),
        (change("student", by=lambda n: cell_of(n, "week98-start-3").update(execution_count=3)), "was executed"),
        (change("solution", by=lambda n: cell_of(n, "week98-double-3").update(execution_count=None)), "not executed"),
        (change("solution", by=lambda n: cell_of(n, "week98-double-3").update(outputs=[])), "has no output"),
        (change("solution", by=lambda n: cell_of(n, "week98-double-4").outputs[0].update(text="9")), "were changed"),
        (change("solution", by=add_output("error", ename="KeyError", evalue="", traceback=[])), "KeyError"),
        (change("solution", by=add_output("stream", name="stderr", text="w")), "stderr"),
        (change("solution", by=add_output("display_data", data=WIDGET)), "widget"),
        (change("solution", by=add_output("stream", name="stdout", text="x" * 700_000)), "more than 600"),
        (lambda root: build.products(root, NAME).student.unlink(), "is missing"),
        (lambda root: build.products(root, NAME).solution.write_text("{"), "cannot be read"),
        (lambda root: build.products(root, NAME).module.unlink(), "is missing"),
        (write("sslcourse/solutions/week98.py", "double = None\n"), "differs from the source"),
        (write("sslcourse/solutions/week97.py", ""), "no source script makes this file"),
        (write("notebooks/scratch.ipynb", "{}"), "no source script makes this file"),
        (write("notebooks/solutions/week97_old.ipynb", "{}"), "no source script makes this file"),
        (rename, "no source script makes this file"),
    ],
)  # fmt: skip
def test_check_finds_what_does_not_fit(spoil, finding, course):
    spoil(course)
    found = [line for line in compare.findings(course) if finding in line]
    assert found, compare.findings(course)
    assert all("; sslcourse build week9" in line or "; git rm " in line for line in found)


# --- the command line


def test_the_command_builds_and_checks(course, monkeypatch, capsys):
    monkeypatch.chdir(course / "notebooks" / "source")  # anywhere inside
    assert main(["build", "--check"]) == 0
    edit(course, "# Twice.", "# Twice as much.")
    assert main(["build", "--check", "98"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["build"]) == 0 and main(["build", "--check"]) == 0


@pytest.mark.parametrize("week", ["5", "week05", "98x"])
def test_a_week_without_source_is_refused(week, course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert main(["build", week]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and "no source script" in error and "week98" in error


def test_a_file_that_cannot_be_written_leaves_the_old_one(course, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    before = build.products(course, NAME).student.read_bytes()
    edit(course, "# Twice.", "# Twice as much.")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Refusal, match="No space left"):
        build.build(course)
    assert build.products(course, NAME).student.read_bytes() == before

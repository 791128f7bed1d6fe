"""An exercise whose cell failed, was deleted or renamed: its name is bound, and its check says what is missing."""

import types

import pytest
from harness import verdict
from IPython.core.interactiveshell import InteractiveShell

import sslcourse
from sslcourse import missing, notices
from sslcourse.check import NotAttempted
from sslcourse.check import week04 as check
from sslcourse.missing import Missing

RIGHT = "def alignment(z0, z1, alpha=2.0):\n    z0, z1 = (z / z.norm(dim=1, keepdim=True) for z in (z0, z1))\n"
RIGHT += "    return (z0 - z1).norm(dim=1).pow(alpha).mean()"
CHECK = "alignment = check.alignment(alignment)"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("SSLCOURSE_STRICT", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(missing, "_failed", {})
    yield
    notices.forget()


@pytest.fixture
def notebook(capsys):
    """Run cells as IPython does, one call each; returns what was printed."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell._showtraceback = lambda kind, value, lines: print(*lines, sep="\n")
    missing.announce("week04", "alignment")  # as the import of the checks does in a notebook

    def run(*cells):
        for source in cells:
            shell.run_cell(source)
        return capsys.readouterr().out

    run("from sslcourse.check import week04 as check")
    run.names = shell.user_ns
    yield run
    InteractiveShell.clear_instance()


# --- in a notebook


def test_a_check_after_a_syntax_error_says_so_and_hands_out_the_reference(notebook):
    printed = notebook("def alignment(z0, z1)\n    return 0", CHECK)
    assert "alignment: not attempted. Nothing is named alignment. Its cell stopped with SyntaxError: " in printed
    assert "expected ':' (line 1). Mend that cell and run it again, then this one." in printed
    assert "Going on with the reference" in printed and "Mind" not in printed
    assert notebook.names["alignment"] is sslcourse.solution("week04", "alignment")
    assert notices.references_used() == ("alignment",)
    assert "alignment: right." in notebook(RIGHT, CHECK)
    assert notices.references_used() == ()


def test_a_cell_that_stops_before_its_function_is_defined(notebook):
    printed = notebook(f"import no_such_module\n{RIGHT}", CHECK)
    assert "Its cell stopped with ModuleNotFoundError: No module named 'no_such_module'." in printed


def test_a_cell_that_was_deleted(notebook):
    printed = notebook(CHECK)
    assert "alignment: not attempted. Nothing is named alignment. Its cell was not run or did not run" in printed
    assert "uniformity: not attempted" in notebook("uniformity = check.uniformity(uniformity)")


def test_a_function_that_was_renamed(notebook):
    printed = notebook(RIGHT.replace("alignment", "allignment"), CHECK)
    assert "what it defines has another name (is it allignment?)." in printed


def test_a_name_that_was_deleted(notebook):
    assert "alignment: not attempted" in notebook(RIGHT, "del alignment", CHECK)


def test_a_second_try_that_stops_leaves_the_reference_and_says_why(notebook):
    blank = "def alignment(z0, z1, alpha=2.0):\n    raise NotImplementedError()"
    printed = notebook(blank, CHECK, "def alignment(z0, z1):\nreturn 0", CHECK)
    assert "this is the reference; run your own cell again. Its cell stopped with IndentationError" in printed
    assert "Mind" not in printed
    printed = notebook(RIGHT.replace("alignment", "alignments"), CHECK)
    assert "this is the reference" in printed and "IndentationError" in printed and "right." not in printed


def test_a_right_version_whose_later_cell_failed_is_right_and_old(notebook):
    printed = notebook(RIGHT, "def alignment(:", CHECK)
    assert "alignment: right." in printed and "Mind: your cell stopped with SyntaxError: invalid syntax" in printed
    assert "Mind" not in notebook(RIGHT, CHECK)
    notebook("def alignment(:", "from sslcourse.evaluate import alignment")
    assert "Mind" not in notebook(CHECK)


def test_a_blank_whose_later_cell_failed_says_so(notebook):
    blank = "def alignment(z0, z1, alpha=2.0):\n    raise NotImplementedError()"
    printed = notebook(blank, "def alignment(z0, z1, alpha=2.0)\n    return 0", CHECK)
    assert "alignment: not attempted.\nMind: your cell stopped with SyntaxError" in printed


def test_a_call_that_fails_below_the_function_is_not_its_failure(notebook):
    printed = notebook(RIGHT + "\n1 / 0", CHECK)
    assert "alignment: right." in printed and "Mind" not in printed


def test_strict_raises_and_binds_the_reference(notebook, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    printed = notebook("def alignment(", CHECK)
    assert "alignment: not attempted. Nothing is named" in printed
    assert notebook.names["alignment"] is sslcourse.solution("week04", "alignment")
    printed = notebook("uniformity = check.uniformity(uniformity)")
    assert "uniformity: not attempted." in printed


def test_names_of_other_weeks_are_left_alone(notebook):
    missing.announce("week98", "alone")
    notebook("1")
    assert isinstance(notebook.names["alignment"], Missing) and "alone" not in notebook.names


def test_what_is_defined_is_left_alone(notebook):
    notebook("alignment = 3", "1")
    assert notebook.names["alignment"] == 3


# --- in a script, and anywhere


def test_begin_binds_what_a_notebook_or_script_lacks():
    own = object()
    script = {"__name__": "__main__", "sslcourse": sslcourse, "uniformity": own}
    exec("scale = sslcourse.begin(week=4)", script)
    assert isinstance(script["alignment"], Missing) and script["uniformity"] is own
    module = {"__name__": "my_module", "sslcourse": sslcourse}
    exec("scale = sslcourse.begin(week=4)", module)
    assert "alignment" not in module


def test_what_is_missing_says_so_when_it_is_used():
    placeholder = Missing("alignment")
    words = "^alignment is not defined yet: run its cell and its check first$"
    for use in (placeholder, lambda: type("X", types.resolve_bases((placeholder,)), {})):
        with pytest.raises(NotImplementedError, match=words):
            use()
    assert repr(placeholder) == "<alignment is not defined yet>"


def test_an_exercise_that_needs_another_says_which_is_missing():
    namespace = {"nt_xent": Missing("nt_xent")}
    exec("def alignment(z0, z1, alpha=2.0):\n    return nt_xent(z0, z1)", namespace)
    outcome, text = verdict(check.alignment, namespace["alignment"])
    assert outcome == "wrong" and "nt_xent is not defined yet: run its cell and its check first" in text


def test_without_solutions_the_check_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("sslcourse.check.machinery._reference", lambda week, name: None)
    outcome, text = verdict(check.alignment, Missing("alignment"))
    assert outcome == "not attempted" and "handed out without solutions" in text
    with pytest.raises(NotAttempted, match="Nothing is named alignment"):
        check.alignment(Missing("alignment"), strict=True)

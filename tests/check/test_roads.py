"""No road to stderr leads past a check: in a real kernel, by the judgement of nbgrader itself.

One notebook holds a row for each road, since starting a kernel takes seconds: a cell that prepares the road, as earlier
cells of a notebook do, and a check of a right version that takes it. Its last cells are exercises that are not there.
Notebook libraries are imported where they are used: nbformat's schemas compile forty grammars, eight seconds of CPU,
which every worker would pay that never runs this file.
"""

import os
import sys

import pytest

from sslcourse.check import roads

RIGHT = "(F.normalize(z0) - F.normalize(z1)).square().sum(1).pow(alpha / 2).mean()"
FIRST = """
import ctypes, logging, os, subprocess, sys, threading, time, warnings
import numpy as np, torch, torch.nn.functional as F
from sslcourse.check import week04 as check
"""
BASIC = "for handler in logging.root.handlers[:]: logging.root.removeHandler(handler)\n"
ROADS = {  # what an earlier cell prepared; what the student's function does
    "sys.stderr": ("", "print(ROW, file=sys.stderr)"),
    "without end of line": ("", "sys.stderr.write(ROW)"),
    "original stderr": ("", "sys.__stderr__.write(ROW)"),
    "kept stream": ("kept = sys.stderr", "print(ROW, file=kept)"),
    "kept original stream": ("original = sys.__stderr__", "original.write(ROW)"),
    "kept method": ("write = sys.stderr.write", "write(ROW)"),
    "a tee": (
        "class Tee:\n    def __init__(self, inner): self.inner = inner\n"
        "    def write(self, text): return self.inner.write(text)\n"
        "    def flush(self): self.inner.flush()\n"
        "before = sys.stderr\nsys.stderr = Tee(before)",
        "print(ROW, file=sys.stderr)",
    ),
    "kept behind the tee": ("", "print(ROW, file=before)"),
    "logging": (f"sys.stderr = before\n{BASIC}logging.basicConfig(level=logging.DEBUG)", "logging.debug(ROW)"),
    "own handler": (
        f"{BASIC}logger = logging.getLogger('mine'); logger.addHandler(logging.StreamHandler())",
        "logger.warning(ROW)",
    ),
    "last resort": ("lonely = logging.getLogger('lonely'); lonely.propagate = False", "lonely.warning(ROW)"),
    "logger of torch": ("", "logging.getLogger('torch').warning(ROW)"),
    "logger of transformers": (
        "from transformers.utils import logging as transformers_logging",
        "transformers_logging.get_logger('transformers.models').warning(ROW)",
    ),
    "warning": ("", "warnings.warn(ROW)"),
    "warnings ignored": ("warnings.filterwarnings('ignore')", "warnings.warn(ROW)"),
    "warnings are errors": ("warnings.simplefilter('error')", "warnings.warn(ROW)"),
    "showwarning replaced": (
        "warnings.resetwarnings()\nwarnings.showwarning = lambda message, *a, **k: kept.write(str(message))",
        "warnings.warn(ROW)",
    ),
    "captured warnings": ("logging.captureWarnings(True)", "warnings.warn(ROW)"),
    "NumPy as errors": ("np.seterr(all='raise')", "np.float64(1) / np.zeros(1); print(ROW, file=sys.stderr)"),
    "descriptor": ("", "os.write(2, ROW.encode())"),
    "copy of the descriptor": ("copied = os.dup(2)", "os.write(copied, ROW.encode())"),
    "native code": ("libc = ctypes.CDLL(None)", "libc.write(2, ROW.encode(), len(ROW))"),
    "child process": (
        "script = 'import os, sys; os.write(2, sys.argv[1].encode())'",
        "subprocess.run([sys.executable, '-S', '-c', script, ROW])",
    ),
    "shell": ("", "os.system('echo ' + ROW + ' >&2')"),
    "thread": ("", "t = threading.Thread(target=lambda: kept.write(ROW)); t.start(); t.join()"),
    "error in a thread": ("", "t = threading.Thread(target=lambda: 1 / 0, name=ROW); t.start(); t.join()"),
    "unraisable": ("class Dies:\n    def __del__(self): raise ValueError(self.row)", "d = Dies(); d.row = ROW; del d"),
    "stream replaced in the check": ("", "sys.stderr = sys.__stderr__ = kept; print(ROW, file=sys.stderr)"),
    "descriptor replaced in the check": (
        "",
        "os.write(2, ROW.encode()); null = os.open(os.devnull, os.O_WRONLY); os.dup2(null, 2); os.close(null)",
    ),
}
LAST = [
    "print('still', file=sys.stderr); write('open'); kept.write('!'); os.write(2, b'fd'); time.sleep(0.2)",
    "uniformity = check.uniformity(uniformity)",  # its cell was deleted
    "def projection_head(in_dim, hidden_dim, out_dim)\n    return None",
    "projection_head = check.projection_head(projection_head)",
    "print(tuple(projection_head(4, 5, 6)(torch.rand(8, 4)).shape), float(uniformity(torch.ones(3, 2))))",
]


def run(cells, **environment):
    """A notebook of these sources, executed to its end; sources that hold `check.` are graded, with two points."""
    import nbformat
    from nbclient import NotebookClient

    from sslcourse.cli.kernel import ThisInterpreter

    notebook = nbformat.v4.new_notebook()
    for n, source in enumerate(cells):
        made = nbformat.v4.new_code_cell(source)
        if "= check." in source:
            made.metadata["nbgrader"] = {
                **{"grade": True, "solution": False, "locked": True, "schema_version": 3, "task": False},
                **{"grade_id": f"check_{n}", "points": 2, "cell_type": "code"},
            }
        notebook.cells.append(made)
    client = NotebookClient(notebook, kernel_manager_class=ThisInterpreter, timeout=120, allow_errors=True)
    # ipykernel leaves descriptor 2 alone where it believes to be under pytest.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    client.execute(env=inherited | environment)
    return notebook


def grade(cell):
    from nbgrader.utils import determine_grade

    return determine_grade(cell)


def written(cell, stream="stdout"):
    return "".join(output.text for output in cell.outputs if output.get("name") == stream)


@pytest.fixture(scope="module")
def executed():
    """{road: its check}, and the cells that follow."""
    from nbgrader.utils import is_grade

    cells = [FIRST]
    for n, (before, deed) in enumerate(ROADS.values()):
        body = "".join(f"    {line}\n" for line in deed.replace("ROW", f"'by road{n}.'").split("\n"))
        cells.append(f"{before}\ndef alignment(z0, z1, alpha=2):\n{body}    return {RIGHT}")
        cells.append("alignment = check.alignment(alignment)")
    done = run(cells + LAST, NBGRADER_EXECUTION="autograde").cells
    checks = filter(is_grade, done[: len(cells)])
    return dict(zip(ROADS, checks, strict=True)), done[len(cells) :]


@pytest.mark.parametrize("road", ROADS)
def test_no_road_leads_past_a_check(road, executed):
    cell = executed[0][road]
    assert grade(cell) == (2, 2), cell.outputs
    n = list(ROADS).index(road)
    assert f"by road{n}." in written(cell)  # it is shown, where it does no harm
    assert "alignment: right." in written(cell)


def test_stderr_is_as_before_afterwards(executed):
    text = written(executed[1][0], "stderr")
    assert "still" in text and "open" in text and "!" in text and "fd" in text


def test_an_exercise_that_is_not_there_takes_no_other_with_it(executed):
    _, deleted, _, broken, later = executed[1]
    for cell, words in ((deleted, "Its cell was not run or"), (broken, "Its cell stopped with SyntaxError: expected")):
        assert grade(cell) == (0, 2)
        (error,) = [output for output in cell.outputs if output.output_type == "error"]
        assert error.ename == "NotAttempted" and words in error.evalue
    assert written(later) == "(8, 6) 0.0\n"


def test_everything_is_restored_when_a_check_is_interrupted(capfd):
    before = sys.stderr, sys.__stderr__, vars(sys.stderr).get("write")
    for kind in (KeyboardInterrupt, ValueError, SystemExit):
        with pytest.raises(kind), roads.closed() as heard:
            os.write(2, b"one ")
            raise kind
        assert heard == ["one "]
        assert (sys.stderr, sys.__stderr__, vars(sys.stderr).get("write")) == before
        os.write(2, b"two ")
    assert capfd.readouterr().err == "two two two "


def test_checks_within_checks_hear_their_own(capfd):
    with roads.closed() as outer:
        print("before", file=sys.stderr)
        with roads.closed() as inner:
            print("inside", file=sys.stderr)
            os.write(2, b"deep\n")
        print("after", file=sys.stderr)
    assert "".join(outer) == "before\nafter\n" and "".join(inner) == "inside\ndeep\n"
    assert capfd.readouterr().err == ""


def test_a_stream_kept_from_a_check_writes_to_stderr_later(capfd):
    with roads.closed():
        kept = sys.stderr
    kept.write("later")
    assert capfd.readouterr().err == "later"

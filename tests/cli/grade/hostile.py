"""A class of students that nobody wishes for: what each hands in, and what each deserves.

A row changes one thing of an honest submission of week 4 (9 points) or of a blank one. `points` is what it earns;
`refused` a word of the reason where it is no submission at all. `kinds` are verdicts that differ from right.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field

NT_XENT = "def nt_xent(z0, z1, temperature=0.5):\n"
ALIGNMENT = "def alignment(z0, z1):\n"


@dataclass
class Row:
    name: str
    change: Callable[[dict], object] = lambda notebook: None
    points: int = 9
    kinds: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    blank: bool = False
    says: str = ""  # a word of the message of the first of `kinds`


def cell(notebook: dict, exercise: str) -> dict:
    return next(one for one in notebook["cells"] if one["id"] == f"week04-{exercise}-2")


def place(notebook: dict, exercise: str) -> int:
    return notebook["cells"].index(cell(notebook, exercise))


def code(source: str, **more) -> dict:
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None} | more


def write(exercise: str, source: str) -> Callable:
    def change(notebook: dict) -> None:
        cell(notebook, exercise)["source"] = source

    return change


def first(source: str) -> Callable:
    return lambda notebook: notebook["cells"].insert(0, code(source, id="own-first"))


def cheat(body: str, exercise: str = "nt_xent", kind: str = "wrong", lost: int = 3, says: str = "") -> dict:
    """A row's fields: the body of an exercise is this."""
    head = NT_XENT if exercise == "nt_xent" else ALIGNMENT
    source = head + "".join(f"    {line}\n" for line in body.split("\n"))
    return {"change": write(exercise, source), "points": 9 - lost, "kinds": {exercise: kind}, "says": says}


# --- what cells do in the hands of students


def copied(notebook: dict) -> None:
    n = place(notebook, "nt_xent")
    notebook["cells"].insert(n + 1, copy.deepcopy(notebook["cells"][n]))


def continued_in_a_copy(notebook: dict) -> None:
    n = place(notebook, "nt_xent")
    notebook["cells"].insert(n + 1, code(notebook["cells"][n]["source"], id="own-copy"))
    notebook["cells"][n]["source"] = NT_XENT + "    # YOUR CODE HERE\n    raise NotImplementedError()"


def two_versions(notebook: dict) -> None:
    n = place(notebook, "nt_xent")
    old = notebook["cells"].pop(n)
    notebook["cells"].insert(n, code(old["source"], id="own-1"))
    notebook["cells"].insert(n, code(old["source"] + "\n# another", id="own-2"))


def split(notebook: dict) -> None:
    n = place(notebook, "nt_xent")
    lines = notebook["cells"][n]["source"].split("\n")
    notebook["cells"][n]["source"] = "\n".join(lines[:-2])
    notebook["cells"].insert(n + 1, code("\n".join(lines[-2:]), id="own-rest"))


def without_ids(notebook: dict) -> None:
    for one in notebook["cells"]:
        one.pop("id")
        one["metadata"] = {}
    notebook["nbformat_minor"] = 4


def renamed_ids(notebook: dict) -> None:
    for n, one in enumerate(notebook["cells"]):
        one["id"] = f"cell-{n}"


def deleted(notebook: dict) -> None:
    notebook["cells"].remove(cell(notebook, "nt_xent"))


def reordered(notebook: dict) -> None:
    notebook["cells"].reverse()


def format_3(notebook: dict) -> dict:
    cells = []
    for one in notebook["cells"]:
        old = {"cell_type": one["cell_type"], "metadata": one["metadata"]}
        if one["cell_type"] == "code":
            old |= {"input": one["source"].splitlines(keepends=True), "language": "python", "outputs": []}
        else:
            old |= {"source": one["source"]}
        cells.append(old)
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}


def another_kernel(notebook: dict) -> None:
    notebook["metadata"]["kernelspec"] = {"name": "julia-1.9", "display_name": "Julia", "language": "julia"}


def worth_more(notebook: dict) -> None:
    for one in notebook["cells"]:
        if "points" in one["metadata"].get("nbgrader", {}):
            one["metadata"]["nbgrader"]["points"] = 100


def loud(notebook: dict) -> None:
    text = "x" * (50 << 20)
    cell(notebook, "nt_xent")["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}]


def as_text_cell(notebook: dict) -> None:
    one = cell(notebook, "nt_xent")
    one["cell_type"] = "markdown"
    del one["outputs"], one["execution_count"]


def with_helper(notebook: dict) -> None:
    n = place(notebook, "nt_xent")
    notebook["cells"][n]["source"] = notebook["cells"][n]["source"].replace("def nt_xent", "def my_own_loss")
    wrapper = NT_XENT + "    return my_own_loss(z0, z1, temperature)"
    notebook["cells"].insert(n, code(notebook["cells"][n]["source"], id="own-helper"))
    notebook["cells"][n + 1]["source"] = wrapper


def with_magics(notebook: dict) -> None:
    one = cell(notebook, "nt_xent")
    one["source"] = "%matplotlib inline\n!pip install lightly\n" + one["source"]


def of_another_week(notebook: dict) -> None:
    for one in notebook["cells"]:
        one["id"] = one["id"].replace("week04", "week05")
        one["source"] = "1"
        one["metadata"] = {}
    notebook["metadata"]["sslcourse"] = {"week": "week05"}


EXIT = {"kinds": {"nt_xent": "wrong"}, "points": 6}
PATCHED = """import torch
torch.allclose = torch.equal = lambda *_, **__: True
torch.Tensor.__le__ = lambda *_: torch.ones((), dtype=torch.bool)
import sslcourse.check.compare as compare
compare.close = lambda *_, **__: True
return torch.zeros((), requires_grad=True)"""
FRAMES = """import sys
frame = sys._getframe()
while frame is not None:
    for name, value in {**frame.f_globals, **frame.f_locals}.items():
        if "oracle" in name and hasattr(value, "nt_xent"):
            return value.nt_xent(z0, z1, temperature)
    frame = frame.f_back
return z0.sum()"""
GARBAGE = """import gc, types
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and thing.__name__ == "nt_xent" and "sslcourse" in thing.__module__:
        return thing(z0, z1, temperature)
return z0.sum()"""
FROM_DISK = """import importlib.util, sslcourse, pathlib
path = pathlib.Path(sslcourse.__file__).parent / "check" / "week04" / "oracle.py"
names = {}
exec(path.read_text(), names)
return names["nt_xent"](z0, z1, temperature)"""
LIAR = """import torch
class Yes(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True
return torch.zeros(()).as_subclass(Yes)"""
BOMB = """import os
if os.fork() == 0:
    os._exit(0)
return z0.sum()"""
STEP = "def train_step(backbone, head, images, augment, temperature):\n"

ROWS = [
    Row("honest"),
    Row("blank", blank=True, points=0),
    # The student's kernel is not asked.
    Row("no strictness", first('import os\nos.environ.pop("NBGRADER_EXECUTION", None)'), 0, blank=True),
    Row("own check", first("class check:\n    nt_xent = train_step = alignment = lambda f: f"), 0, blank=True),
    Row("no errors", first("import sslcourse.check.machinery as m\nm.is_strict = lambda: False"), 0, blank=True),
    Row("worth more", worth_more),
    # Answers that are somebody else's.
    Row("solution", **cheat('return sslcourse.solution("week04", "nt_xent")(z0, z1)', kind="not attempted")),
    Row("solution as lambda", write("nt_xent", 'nt_xent = lambda *a: sslcourse.solution("week04", "nt_xent")(*a)'),
        6, {"nt_xent": "not attempted"}),
    Row("copied code", write("nt_xent", NT_XENT + "    return z0.sum()\n"
        'nt_xent.__code__ = sslcourse.solution("week04", "nt_xent").__code__'), 6, {"nt_xent": "wrong"}),
    Row("solutions module", **cheat("from sslcourse.solutions.week04 import nt_xent as f\nreturn f(z0, z1)",
        kind="not attempted")),
    Row("oracle", **cheat("from sslcourse.check.week04.oracle import nt_xent as f\nreturn f(z0, z1, temperature)",
        kind="not attempted")),
    Row("oracle on disk", **cheat(FROM_DISK, says="PermissionError")),
    Row("oracle in memory", **cheat(GARBAGE)),
    Row("oracle in frames", **cheat(FRAMES)),
    Row("library's own", **cheat("return evaluate.alignment(z0, z1)", "alignment", "not attempted", 1)),
    Row("library's own as it is", write("alignment", "alignment = evaluate.alignment"), 8,
        {"alignment": "not attempted"}),
    # Verdicts that are forged.
    Row("patched torch", **cheat(PATCHED)),
    Row("answers that agree", **cheat(LIAR)),
    Row("patched beside the check", write("train_step", STEP + "    torch.equal = lambda *_: True\n"), 7,
        {"train_step": "by hand"}, says="torch.equal"),
    # Processes that end, hang or grow.
    Row("exit", **cheat("exit()")),
    Row("exit at once", **cheat("import os\nos._exit(0)", says="ended")),
    Row("killed", **cheat("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")),
    Row("kills others", **cheat("import ctypes, os\nctypes.CDLL(None).kill(os.getppid(), 9)\nreturn z0.sum()")),
    Row("exit in a cell", first("exit()")),
    Row("endless loop", **cheat("while True:\n    pass", says="seconds")),
    Row("endless sleep", **cheat("import time\ntime.sleep(1000)", says="seconds")),
    Row("memory bomb", **cheat("return torch.ones(1 << 40).sum()", says="raised")),
    Row("list bomb", **cheat("return [0] * (1 << 36)", says="MemoryError")),
    Row("more processes", **cheat(BOMB, says="PermissionError")),
    Row("a program", **cheat('import subprocess\nsubprocess.run(["true"])\nreturn z0.sum()', says="PermissionError")),
    Row("network", **cheat("import _socket\n_socket.socket().connect(('127.0.0.1', 9))\nreturn z0.sum()",
        says="PermissionError")),
    Row("writes", **cheat("open(COURSE + '/gotcha', 'w').write('x')\nreturn z0.sum()", says="PermissionError")),
    Row("much output", **cheat("print('x' * (50 << 20))\nreturn z0.sum()")),
    Row("large answer", **cheat("return torch.ones(1 << 28).expand(64, -1)", says="MB")),
    Row("loud outputs", loud),
    # Cells in the hands of students.
    Row("copied", copied),
    Row("continued in a copy", continued_in_a_copy),
    Row("two versions", two_versions, 6, {"nt_xent": "by hand"}),
    Row("split", split),
    Row("without ids", without_ids),
    Row("renamed ids", renamed_ids),
    Row("deleted", deleted, 6, {"nt_xent": "not attempted"}),
    Row("reordered", reordered),
    Row("text cell", as_text_cell),
    Row("helper", with_helper),
    Row("magics", with_magics),
    Row("renamed function", write("nt_xent", "def nt_xnet(z0, z1, temperature=0.5):\n    return z0.sum()"), 6,
        {"nt_xent": "not attempted"}, says="nt_xnet"),
    Row("syntax error", write("nt_xent", "def nt_xent(z0, z1\n    return"), 6, {"nt_xent": "not attempted"},
        says="SyntaxError"),
    Row("null bytes", write("nt_xent", "def nt_xent(z0):\n    return '\0'"), 6, {"nt_xent": "not attempted"}),
    Row("half a character", write("nt_xent", "def nt_xent(z0, z1, temperature):\n    return '\ud800'"), 6,
        {"nt_xent": "not attempted"}),
    Row("nested deep", write("nt_xent", "nt_xent = " + "(" * 5000 + ")" * 5000), 6, {"nt_xent": "not attempted"}),
    Row("old format", format_3),
    Row("another kernel", another_kernel),
    # No submissions.
    Row("broken JSON", lambda notebook: json.dumps(notebook)[:-20], refused="broken JSON"),
    Row("empty", lambda notebook: "", refused="empty"),
    Row("no notebook", lambda notebook: "[1, 2]", refused="no cells"),
    Row("not text", lambda notebook: b"\xff\xfe\x00\x01", refused="UTF-8"),
    Row("wrong week", of_another_week, refused="week05"),
    # Names.
    Row("=cmd|' /C calc'!A0"),
    Row("Jörg von der Straße <b>"),
]  # fmt: skip

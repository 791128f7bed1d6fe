"""Running the cells of a submission in a namespace, as a notebook would: the part of it that defines something."""

import ast
import builtins
import linecache
import types
from collections.abc import Iterator

import torch

from sslcourse.cli.grade.library import WithheldModule
from sslcourse.cli.grade.syntax import parsed, told
from sslcourse.missing import Missing
from sslcourse.scale import Scale

_DEFINE = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINE |= ast.Assign | ast.AnnAssign | ast.AugAssign | ast.If | ast.Try | ast.With


class _Checks:
    """Stands for the module of checks in a student's namespace: every check hands back what it is given."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given, **_: given[0] if given else None


def define(job: dict) -> object:
    """What the exercise of a job is after its cells; a Missing, with `reason`, where it is nothing.

    job: week, name, cells ((source, whether a student wrote it), the exercise's own last), reason (why there may be
    nothing). Only what the last cell binds counts.
    """
    names, name, failed = vars(types.ModuleType("__main__")), job["name"], ""
    names |= {"__builtins__": builtins, "scale": Scale("dry", job["week"], 0, torch.device("cpu"))}
    for n, (source, own) in enumerate(job["cells"]):
        last = n == len(job["cells"]) - 1
        if last:
            names.pop(name, None)
        failed = run(names, source, f"<{name if last else 'cell'} {n}>" if own else "<release>", own)
    if name in names:
        return names[name]
    missing = Missing(name)
    missing.reason = f"Its cell stopped with {failed}. Mend that cell." if failed else job["reason"]
    return missing


def run(names: dict, source: str, label: str, own: bool) -> str:
    """Run one cell; "" or "NameError: ..." where it stopped.

    own: whether a student wrote it. Then only what may define something runs, not bare expressions and loops, which
    mostly try things out; an import that fails does not stop the rest; and messages may quote the lines.
    """
    try:
        statements = parsed(source).body
    except SyntaxError as error:
        return told(error)
    if own:
        linecache.cache[label] = (len(source), None, source.splitlines(keepends=True), label)
        statements = [one for one in statements if isinstance(one, _DEFINE)]
    failed = ""
    for statement in statements:
        for part in _without_checks(statement, names):
            try:
                exec(compile(ast.Module([part], []), label, "exec"), names)
            except BaseException as error:
                if not own:
                    raise
                failed = failed or told(error)
                if not isinstance(part, ast.Import | ast.ImportFrom):
                    return failed
    return failed


def _without_checks(statement: ast.stmt, names: dict) -> Iterator[ast.stmt]:
    """The statement; imports one by one, and names of checks and solutions bound to stand-ins instead."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        yield statement
        return
    module = getattr(statement, "module", None)
    for alias in statement.names:
        full = alias.name if module is None else f"{module}.{alias.name}"
        if full.startswith(("sslcourse.check", "sslcourse.solutions")):
            week = full.startswith("sslcourse.check.") and full.count(".") == 2
            names[alias.asname or alias.name.split(".")[0]] = _Checks() if week else WithheldModule(full)
            continue
        one = type(statement)(**dict(ast.iter_fields(statement)) | {"names": [alias]})
        yield ast.copy_location(one, statement)

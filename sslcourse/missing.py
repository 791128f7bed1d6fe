"""Exercises that no cell has defined: their names are bound all the same, to something that says what is missing.

A check stands in a notebook as `nt_xent = check.nt_xent(nt_xent)`. Where the cell above it stopped with a SyntaxError,
was deleted, or calls its function something else, Python would raise NameError before the check is entered, and no
reference could be bound for the cells that follow. So every name that the checks of a week have announced is bound to a
`Missing` where the notebook has nothing of that name: by `begin`, and in IPython before every cell. IPython also tells
which cells failed, so that a check can say why its exercise is not there.
"""

import difflib
import re
import sys

_announced: dict[str, list[str]] = {}  # week: names of its exercises
_failed: dict[str, tuple[str, object]] = {}  # name: how the cell that defines it stopped; what stood there then

_DEFINES = re.compile(r"^(?:async +)?(?:def|class) +(\w+)|^(\w+) *(?:: *[^=\n]+)?=[^=]", re.MULTILINE)


class Missing:
    """Stands for an exercise that nothing has defined; used like one, it raises NotImplementedError with a sentence."""

    def __init__(self, name: str):
        self.name = name

    def __call__(self, *args, **kwargs):
        raise NotImplementedError(f"{self.name} is not defined yet: run its cell and its check first")

    def __mro_entries__(self, bases: tuple) -> tuple:
        self()

    def __repr__(self) -> str:
        return f"<{self.name} is not defined yet>"


def announce(week: str, name: str) -> None:
    """Tell that `name` is an exercise of a week; in IPython, from now on its name is bound before every cell."""
    names = _announced.setdefault(week, [])
    if name not in names:
        names.append(name)
    shell = _shell()
    if shell is not None and _before_cell not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _before_cell)
        shell.events.register("post_run_cell", _after_cell)


def bind(namespace: dict, week: str) -> None:
    """Bind the exercises of a week that the namespace of a notebook or script lacks; a module's is left alone."""
    if namespace.get("__name__") == "__main__":
        for name in _announced.get(week, []):
            namespace.setdefault(name, Missing(name))


def why(name: str, namespace: dict) -> str:
    """A sentence: what may have happened to the cell that should define `name`, and what to do."""
    if name in _failed:
        return f"Its cell stopped with {_failed[name][0]}. Mend that cell and run it again, then this one."
    exercises = {other for names in _announced.values() for other in names}
    own = [
        other
        for other, value in namespace.items()
        if getattr(value, "__module__", None) == "__main__" and callable(value) and other not in exercises
    ]
    like = difflib.get_close_matches(name, own, 1, 0.7)
    renamed = f" (is it {like[0]}?)" if like else ""
    return (
        "Its cell was not run or did not run through (look at its error), was deleted, or what it defines has another "
        f"name{renamed}."
    )


def stale(name: str, submission: object) -> str:
    """The SyntaxError that the cell of `name` stopped with last, where `submission` stood before it; else ""."""
    error, before = _failed.get(name, ("", None))
    if isinstance(submission, Missing) or before is not submission:
        return ""
    return error if error.startswith(("SyntaxError", "IndentationError", "TabError")) else ""


# --- IPython, where it runs


def _shell():
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None


def _before_cell(info: object = None) -> None:
    """Bind what is missing of the weeks whose module of checks the notebook has imported."""
    shell = _shell()
    values = list(shell.user_ns.values())
    for week in _announced:
        module = sys.modules.get(f"sslcourse.check.{week}")
        if module is not None and any(value is module for value in values):
            bind(shell.user_ns, week)


def _after_cell(result: object) -> None:
    """Remember which exercises' cells stopped, and with what."""
    source = getattr(result.info, "raw_cell", None) or ""
    error = result.error_before_exec or result.error_in_exec
    for name in {name for pair in _DEFINES.findall(source) for name in pair if name}:
        if f"check.{name}(" in source:  # the check itself, which raises in strict mode
            continue
        _failed.pop(name, None)
        if error is not None:
            _failed[name] = _told(error), _shell().user_ns.get(name)


def _told(error: BaseException) -> str:
    """ "SyntaxError: expected ':' (line 3)"."""
    text = str(getattr(error, "msg", None) or error).strip().split("\n")[0]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    place = f" (line {line})" if line else ""
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"

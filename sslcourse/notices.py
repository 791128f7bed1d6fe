"""What later results of this notebook have to say: which references stood in, and which trainings were cut short.

And who says it: of several processes the first one alone.
"""

import os
import sys

_used: list[str] = []
_cut: dict[tuple[str, str], tuple[str, int]] = {}  # (label, cell): (why, the run of the cell)


def first() -> bool:
    """Whether this process writes, plots, checks and reports: the only one, or the first of those of torchrun."""
    return os.environ.get("RANK", "0") == "0"


def remember(name: str) -> None:
    """Note that the reference of `name` is used from here on."""
    if name not in _used:
        _used.append(name)


def remember_cut(label: str, reason: str | None) -> None:
    """Note why the training `label` ended early; None: it ran to its end.

    That strikes out what was noted when the same cell ran before. Of several trainings of one name in one cell, one
    that was cut stays noted when the next is not.
    """
    cell, run = _where()
    if reason:
        _cut[label, cell] = reason, run
    elif _cut.get((label, cell), ("", None))[1] != run or not run:
        _cut.pop((label, cell), None)


def _where() -> tuple[str, int]:
    """The cell that runs now and its execution count; ("", 0) outside IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is None:
        return "", 0
    parent = getattr(shell, "get_parent", dict)() or {}
    return str(parent.get("metadata", {}).get("cellId", "")), shell.execution_count


def forget(name: str | None = None) -> None:
    """Strike one name out (the student's own version is right now), or everything (a notebook begins)."""
    _used[:] = [used for used in _used if name is not None and used != name]
    if name is None:
        _cut.clear()


def references_used() -> tuple[str, ...]:
    """Names of the exercises whose reference was used since `begin`, in the order of use."""
    return tuple(_used)


def notice() -> str:
    """One sentence for a figure or a table, "" when everything was the student's own and trained to its end."""
    parts = [f"computed with the reference {', '.join(_used)}"] if _used else []
    parts += list(dict.fromkeys(f"{label} stopped early ({reason})" for (label, _), (reason, _) in _cut.items()))
    return "; ".join(parts)

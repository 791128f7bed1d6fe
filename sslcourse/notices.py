"""What later results of this notebook have to say: which references stood in, and which trainings were cut short.

And who says it: of several processes the first one alone.
"""

import os

_used: list[str] = []
_cut: dict[str, str] = {}


def first() -> bool:
    """Whether this process writes, plots, checks and reports: the only one, or the first of those of torchrun."""
    return os.environ.get("RANK", "0") == "0"


def remember(name: str) -> None:
    """Note that the reference of `name` is used from here on."""
    if name not in _used:
        _used.append(name)


def remember_cut(label: str, reason: str | None) -> None:
    """Note why the training `label` ended early; None: it was run again, to its end."""
    if reason:
        _cut[label] = reason
    else:
        _cut.pop(label, None)


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
    parts += [f"{label} stopped early ({reason})" for label, reason in _cut.items()]
    return "; ".join(parts)

"""Which references stood in for exercises of this notebook; later results repeat their names."""

_used: list[str] = []


def remember(name: str) -> None:
    """Note that the reference of `name` is used from here on."""
    if name not in _used:
        _used.append(name)


def forget(name: str | None = None) -> None:
    """Strike one name out (the student's own version is right now), or all (a notebook begins)."""
    _used[:] = [used for used in _used if name is not None and used != name]


def references_used() -> tuple[str, ...]:
    """Names of the exercises whose reference was used since `begin`, in the order of use."""
    return tuple(_used)


def notice() -> str:
    """One sentence for a figure or a table, "" when everything was the student's own."""
    return f"computed with the reference {', '.join(_used)}" if _used else ""

"""Whose code something is, the student's or that of an installed library, and what names in the student's mean."""

import dis
import importlib.util
import sys
import sysconfig
import types
from pathlib import Path

_STANDARD = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
_NO_READERS = ("builtins", "abc", "typing", "enum", "collections.abc")  # bases that do nothing with attributes
_DEPTH = 12  # of modules inside modules


def is_own(thing: object) -> bool:
    """Written by the student: in a notebook or in a file that belongs to no installed library, nor to this one."""
    name = thing.__name__ if isinstance(thing, types.ModuleType) else getattr(thing, "__module__", None) or "__main__"
    if name == "__main__":
        return True
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if name.split(".")[0] == "sslcourse" or (module is not None and file is None):
        return False  # without file: built in
    return not (file and _is_installed(file))


def _is_installed(file: str) -> bool:
    return bool({"site-packages", "dist-packages"} & set(Path(file).parts)) or file.startswith((*_STANDARD, "frozen"))


def readers(kind: type) -> list[type]:
    """The classes of libraries that a student's class is made from, and which may read what it has."""
    return [base for base in kind.__mro__[1:] if base.__module__ not in _NO_READERS and not is_own(base)]


def imported_by(codes: list[types.CodeType]) -> dict[str, types.ModuleType]:
    """The student's modules that are imported inside a function; it is about to import them itself."""
    found = {}
    for one in (one for code in codes for one in dis.get_instructions(code)):
        if one.opname == "IMPORT_NAME" and one.argval:
            try:
                top = one.argval.partition(".")[0]
                spec = None if top in sys.modules else importlib.util.find_spec(top)
                if top in sys.modules or (spec and spec.origin and not _is_installed(spec.origin)):
                    if is_own(importlib.import_module(top)):
                        found[one.argval] = importlib.import_module(one.argval)
            except Exception:  # whatever a module does when it is imported: the loss will say so
                continue
    return found


def meant_by(
    function: types.FunctionType, names: list[str], imported: dict[str, types.ModuleType] | None = None
) -> dict[str, object]:
    """What names of its code mean: globals, and what a student's module that is one of them has: {"helpers.f": ...}."""
    found = {name: function.__globals__[name] for name in names if name in function.__globals__} | (imported or {})
    modules = {key: value for key, value in found.items() if isinstance(value, types.ModuleType)}
    for _ in range(_DEPTH):  # and the modules inside a module
        inside = {
            f"{key}.{name}": vars(module)[name]
            for key, module in modules.items()
            if is_own(module)
            for name in names
            if name in vars(module)
        }
        modules = {key: value for key, value in inside.items() if isinstance(value, types.ModuleType)}
        found |= inside
    return found

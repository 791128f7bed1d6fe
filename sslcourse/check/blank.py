"""What a submission does of its own: which code in it is the student's, and whether all of that is blank.

Blank means that nothing of the student's own does anything, along the whole hierarchy up to the bases that torch, the
standard library or this library give: a right base class counts for the class that inherits from it, and a blank one
stays blank under any number of subclasses, decorators and functools.partial.
"""

import dis
import functools
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path

_IDLE = ("RESUME", "NOP", "COPY_FREE_VARS", "RETURN_VALUE")  # steps that every function has
_GENERATED = ("__annotate__", "__annotate_func__")  # Python's own, for annotations
_STDLIB = Path(sysconfig.get_path("stdlib"))
_GIVEN = ("sslcourse", "torch")
_HEAP = 1 << 9  # Python's Py_TPFLAGS_HEAPTYPE: a class that was made by code, not in C


def codes(submission: object) -> list[types.CodeType]:
    """The code of the student's own in a function, a class with its bases, an object, or what is wrapped around one."""
    return [part.__code__ for part in _parts(submission) if isinstance(part, types.FunctionType)]


def is_blank(submission: object) -> bool:
    """True where nothing stands in any body but a docstring, `pass`, `...` or `return None`.

    The byte code tells it, which exists where the source does not; a NotImplementedError is noticed when it is raised.
    An object counts by its class, and one of a class that is not the student's own is never blank: it was chosen.
    """
    parts = list(_parts(submission))
    known = bool(parts) or isinstance(submission, type)
    return known and all(isinstance(part, types.FunctionType) and _does_nothing(part.__code__) for part in parts)


def _does_nothing(code: types.CodeType) -> bool:
    steps = [step for step in dis.get_instructions(code) if step.opname not in _IDLE]
    return all("CONST" in step.opname and step.argval in (None, ...) for step in steps)


def _parts(thing: object, depth: int = 0) -> Iterator[object]:
    """The functions that `thing` consists of, innermost first; something callable that hides its code as it is."""
    if depth > 20:  # an object that wraps itself
        return
    if isinstance(thing, type):
        for base in thing.__mro__:
            if base is thing or not is_given(base):
                for name, member in vars(base).items():
                    if name not in _GENERATED and _acts(member):
                        yield from _parts(member, depth + 1)
    elif isinstance(thing, functools.partial | functools.partialmethod | functools.cached_property):
        yield from _parts(thing.func, depth + 1)
    elif isinstance(thing, staticmethod | classmethod | types.MethodType):
        yield from _parts(thing.__func__, depth + 1)
    elif isinstance(thing, property):
        for part in filter(None, (thing.fget, thing.fset, thing.fdel)):
            yield from _parts(part, depth + 1)
    elif (inner := _wrapped(thing)) is not None:
        yield from _parts(inner, depth + 1)
    elif isinstance(thing, types.FunctionType | types.BuiltinFunctionType):
        yield thing
    elif not is_given(type(thing)):
        yield from _parts(type(thing), depth + 1)


def _acts(member: object) -> bool:
    """Whether an entry of a class is something that runs, not a value, a constant or a class that stands inside."""
    kinds = property | classmethod | functools.cached_property | functools.partialmethod
    return not isinstance(member, type) and (callable(member) or isinstance(member, kinds))


def _wrapped(thing: object) -> object | None:
    """What a decorator was put around; None where `thing` stands for itself.

    functools.wraps also serves for a new version that only takes over the name of an old one: then the old one does
    not run, and does not count.
    """
    inner = inspect.getattr_static(thing, "__wrapped__", None)
    if inner is None or not isinstance(thing, types.FunctionType):
        return inner
    held = []
    for cell in thing.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # a variable that has no value yet
            continue
    return inner if any(part is inner for part in held) else None


def is_given(thing: type | types.FunctionType) -> bool:
    """Whether a class or function is torch's, this library's or the standard library's, by its module.

    A student's own file may bear the name of a part of the standard library, such as queue.py; and a class of code that
    was executed without a module's name says that it is of builtins.
    """
    top = str(thing.__module__).partition(".")[0]
    if top == "builtins":
        return isinstance(thing, type) and not thing.__flags__ & _HEAP
    if top in sys.stdlib_module_names:
        file = getattr(sys.modules.get(top), "__file__", None)
        return top in sys.builtin_module_names or (file is not None and Path(file).is_relative_to(_STDLIB))
    return top in _GIVEN


def raised_by(error: BaseException) -> types.CodeType | None:
    """The code whose own `raise` statement raised the error: torch raises NotImplementedError for other reasons too."""
    step = error.__traceback__
    while step.tb_next is not None:
        step = step.tb_next
    raising = [i.offset for i in dis.get_instructions(step.tb_frame.f_code) if i.opname == "RAISE_VARARGS"]
    return step.tb_frame.f_code if step.tb_lasti in raising else None

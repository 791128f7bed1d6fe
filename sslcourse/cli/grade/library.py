"""What of the library is kept from student code while an exercise is judged: solutions, oracles, its own version."""

import importlib
import pkgutil
import sys
import types

import sslcourse
from sslcourse.check.outcomes import NotAttempted

SAME = "This is the course's own version of what the exercise asks for: write it yourself."
APART = ("sslcourse.check", "sslcourse.solutions", "sslcourse.cli", "sslcourse.expected")
TOOLS = ("sslcourse.plot", "sslcourse.data.expect")  # figures and sentences may bear the name of an exercise


def load() -> None:
    """Import all of the library that student code may use, so that its files need not be read afterwards."""
    waiting = [sslcourse]
    while waiting:
        package = waiting.pop()
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if found.name.startswith(APART):
                continue
            try:
                module = importlib.import_module(found.name)
            except ImportError:
                continue  # needs a package that is not here
            if found.ispkg:
                waiting.append(module)


def withhold(week: str, name: str) -> None:
    """In this process, for good: no solutions, no oracles, and no version of this exercise that is the library's."""
    _disarm(sslcourse.solution)
    for full in [name for name in sys.modules if name.startswith(("sslcourse.check.week", "sslcourse.solutions"))]:
        sys.modules[full] = WithheldModule(full)
    for full in ("sslcourse.solutions", f"sslcourse.solutions.{week}", f"sslcourse.check.{week}",
                 f"sslcourse.check.{week}.oracle"):  # fmt: skip
        sys.modules[full] = WithheldModule(full)
    for attribute in [one for one in vars(sslcourse.check) if f"sslcourse.check.{one}" in sys.modules]:
        if isinstance(sys.modules[f"sslcourse.check.{attribute}"], WithheldModule):
            delattr(sslcourse.check, attribute)
    for thing in versions(name):
        _disarm(thing)


def versions(name: str) -> list[object]:
    """The library's own functions and classes that do what an exercise asks for: they bear its name."""
    found = []
    for full, module in list(sys.modules.items()):
        if full.startswith("sslcourse.") and not full.startswith((*APART, *TOOLS)):
            thing = vars(module).get(name)
            if isinstance(thing, type | types.FunctionType) and thing.__module__ == full:
                found.append(thing)
    return found


def _withheld(*_, **__):
    # This code moves into functions of other modules, so it cannot use a name of this one.
    raise __import__("sslcourse.check.outcomes", fromlist=["NotAttempted"]).NotAttempted(
        "It calls the course's own version of what the exercise asks for: write it yourself."
    )


def _disarm(thing: object) -> None:
    """Take the code out of a function, or out of a class's methods, wherever else it is known by."""
    if isinstance(thing, type):
        for member in vars(thing).values():
            if isinstance(member, types.FunctionType):
                _disarm(member)
        return
    inner = thing.__dict__.pop("__wrapped__", None)  # under a decorator such as torch.no_grad()
    if isinstance(inner, types.FunctionType):
        _disarm(inner)
    thing.__code__ = _withheld.__code__.replace(co_freevars=thing.__code__.co_freevars)
    thing.__defaults__ = thing.__kwdefaults__ = None


class WithheldModule(types.ModuleType):
    """Stands for a module that an exercise must not use; says so when it is."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotAttempted(SAME)

    def __call__(self, *_, **__) -> object:
        raise NotAttempted(SAME)

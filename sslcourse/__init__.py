"""sslcourse: the library under the self-supervised learning course.

`import sslcourse` pulls in nothing but Python's own; `begin` and `Scale` bring torch when they are first asked for, so
that `sslcourse check-env` can describe a machine whose torch is broken. Each module imports scikit-learn, matplotlib,
transformers and the like where it uses them, so that a part of the course also works where the rest is missing.
"""

import importlib
import warnings

from sslcourse import references, wording
from sslcourse.weeks import WEEKS

__all__ = ["WEEKS", "Scale", "begin", "solution"]
__version__ = "0.1.0"

# Libraries that draw progress as a widget warn, on stderr, where ipywidgets is missing, which the course does not need.
warnings.filterwarnings("ignore", message="IProgress not found")

_OF_SCALE = ("Scale", "begin")


def __getattr__(name: str) -> object:
    """`begin`, `Scale` and the modules of the library, imported when they are first asked for."""
    if name in _OF_SCALE:
        value = getattr(importlib.import_module("sslcourse.scale"), name)
        globals()[name] = value
        return value
    if name in ("notices", "scale"):
        return importlib.import_module(f"sslcourse.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def solution(week: str, name: str) -> object:
    """The solved exercise `name` of a week, from the generated module `sslcourse.solutions.weekNN`, or from the
    packed references of a hand-out.

    Raises ValueError where the week has no such exercise, ImportError where this copy was handed out without solutions.
    """
    name = wording.text("name", name)
    if not wording.text("week", week).isidentifier() or len(week) > 99:  # longer than any name of a file
        raise ValueError(f"There is no week {wording.shown(week)}; write it as \"week04\".")
    try:
        module = importlib.import_module(f"sslcourse.solutions.{week}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("sslcourse.solutions"):
            raise    # another package is missing, which is another story
        module = references.load(week)
        if module is None:
            raise ImportError(f"This copy of the course was handed out without the solutions of {week}.") from error
    if not hasattr(module, name):
        exercises = [one for one in vars(module) if not one.startswith("_")]
        raise ValueError(f"{week} has no exercise named {wording.shown(name)}{wording.meant(name, exercises)}.")
    return getattr(module, name)

"""sslcourse: the library under the self-supervised learning course.

`import sslcourse` pulls in torch and little else; each module imports scikit-learn, matplotlib, transformers and the
like where it uses them, so that a part of the course also works on a machine that lacks the rest.
"""

import importlib

from sslcourse import arguments
from sslcourse.scale import Scale, begin
from sslcourse.weeks import WEEKS

__all__ = ["WEEKS", "Scale", "begin", "solution"]
__version__ = "0.1.0"


def solution(week: str, name: str) -> object:
    """The solved exercise `name` of a week, from the generated module `sslcourse.solutions.weekNN`.

    Raises ValueError where the week has no such exercise, ImportError where this copy was handed out without solutions.
    """
    name = arguments.text("name", name)
    if not arguments.text("week", week).isidentifier():
        raise ValueError(f"There is no week {arguments.shown(week)}; write it as \"week04\".")
    try:
        module = importlib.import_module(f"sslcourse.solutions.{week}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("sslcourse.solutions"):
            raise    # another package is missing, which is another story
        raise ImportError(f"This copy of the course was handed out without the solutions of {week}.") from error
    if not hasattr(module, name):
        exercises = [one for one in vars(module) if not one.startswith("_")]
        raise ValueError(f"{week} has no exercise named {name!r}{arguments.meant(name, exercises)}.")
    return getattr(module, name)

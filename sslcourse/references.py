"""The references of a hand-out: the solved exercises of a week, packed so that nobody reads them by accident.

A hand-out withholds the solutions of a week until it is over, and still a student who is stuck goes on: a check falls
back on `sslcourse/solutions/weekNN.packed`, which is the solution module as compressed text. Compiled files of Python
(.pyc) would do the same for one version of Python only. It is no secret: who wants to read it can, on purpose.
"""

import base64
import sys
import textwrap
import zlib
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent / "solutions"
_HEAD = "The solved exercises of this week, packed so that nobody reads them by accident.\n"


def pack(source: str) -> bytes:
    """What a .packed file holds for the text of a solution module."""
    packed = base64.b85encode(zlib.compress(source.encode(), 9)).decode("ascii")
    return (_HEAD + "\n".join(textwrap.wrap(packed, 120, break_on_hyphens=False)) + "\n").encode()


def load(week: str, folder: Path = FOLDER) -> ModuleType | None:
    """The module of a week, imported under its own name; None where it was not handed out.

    Raises ImportError for a file that is damaged.
    """
    path, name = folder / f"{week}.packed", f"sslcourse.solutions.{week}"
    if not path.is_file():
        return None
    try:
        packed = "".join(path.read_text(encoding="ascii").removeprefix(_HEAD).split())
        source = zlib.decompress(base64.b85decode(packed)).decode()
    except (OSError, ValueError, zlib.error) as error:
        raise ImportError(f"{path.name} is damaged ({error}); fetch the hand-out again.") from error
    module = ModuleType(name, f"The references of {week}.")
    module.__file__ = f"<references of {week}>"
    sys.modules[name] = module  # before it runs: dataclasses look for the module of their class there
    try:
        exec(compile(source, module.__file__, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module

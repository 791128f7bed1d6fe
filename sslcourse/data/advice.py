"""What to do about a data set that is not there or not known: one wording for images, texts and proteins."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from sslcourse.data.root import DataMissing
from sslcourse.weeks import WEEKS

NAMES: dict[str, tuple[str, ...]] = {}  # {loader: its sets}; every load.py adds its own


def fetching(name: str, call: str) -> str:
    """What to type to fetch a set: `sslcourse prefetch` where a week needs it, else a line of Python with this call."""
    for week in WEEKS.values():
        for scale, names in week.data.items():
            if name in names:
                return f"sslcourse prefetch {week.id} --scale {scale}"
    return f'python -c "from sslcourse import data; data.{call}"'


def missing(name: str, part: str, folder: Path, command: str, why: str) -> DataMissing:
    """The sentence for a part that is not there and cannot be fetched now."""
    return DataMissing(
        f"The data set {name} ({part}) is not in {folder} and could not be fetched ({why}): "
        f"run `{command}` where there is a network, or set SSLCOURSE_DATA to a folder that has it."
    )


def unknown(kind: str, name: object, loader: str, also: Iterable[str] = ()) -> ValueError:
    """The sentence for a set that a loader does not know: the names near to it, each once, else all of its kind.

    also: names that the loader knows beside those in NAMES.
    """
    begins = f"There is no {kind} {name!r}"
    known = dict.fromkeys((*NAMES[loader], *also))
    if near := _near(name, known):
        return ValueError(f"{begins}; did you mean {' or '.join(near)}?")
    for other, names in NAMES.items():
        if near := _near(name, dict.fromkeys(names)):
            return ValueError(f"{begins}; did you mean {' or '.join(f'{other}({one!r})' for one in near)}?")
    return ValueError(f"{begins}; choose one of {', '.join(known)}.")


def _near(name: object, known: dict[str, None]) -> list[str]:
    """The names that differ from this one in case and punctuation only, else up to three that look like it."""
    simple = {one: re.sub(r"[\W_]", "", one.lower()) for one in known}
    wanted = re.sub(r"[\W_]", "", str(name).lower())
    if same := [one for one in known if wanted and simple[one] == wanted]:
        return same
    close = difflib.get_close_matches(wanted, list(dict.fromkeys(simple.values())), n=3, cutoff=0.7)
    return [one for text in close for one in known if simple[one] == text][:3]

"""What to do about a data set that is not there or not known: one wording for images, texts and proteins."""

import re
from collections.abc import Iterable
from pathlib import Path

from sslcourse import wording
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
    """The sentence for a set that a loader does not know.

    A name that is only written otherwise ("CIFAR-10") is offered alone, also where another loader has it; else all
    names of the kind are, and those that look like it. also: names that the loader knows beside those in NAMES.
    """
    begins = f"There is no {kind} {wording.shown(name)}"
    known = tuple(dict.fromkeys((*NAMES[loader], *also)))
    meant = _same(name, known)
    for other, names in NAMES.items():
        meant = meant or [f"{other}({one!r})" for one in _same(name, names)]
    if meant:
        return ValueError(f"{begins}; did you mean {' or '.join(meant)}?")
    return ValueError(f"{begins}; choose one of {', '.join(known)}{wording.meant(name, known)}.")


def _same(name: object, names: Iterable[str]) -> list[str]:
    """The names that differ from this one in case and punctuation only."""
    return [one for one in names if _simple(one) == _simple(name)]


def _simple(name: object) -> str:
    return re.sub(r"[\W_]", "", str(name).lower())

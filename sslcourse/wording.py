"""Values and names in messages, with nothing but Python's own: a machine with a broken torch is told in words too."""

import difflib
import re
from collections.abc import Collection


def shown(value: object) -> str:
    """A value as a message can hold it: on one line, and short."""
    if type(value).__module__.startswith("torch") and getattr(value, "is_nested", None) is True:
        return "a nested tensor"  # whose shape raises
    if kind := {"torch": "a tensor", "numpy": "an array"}.get(type(value).__module__.split(".")[0]):
        if getattr(value, "shape", None) is not None and hasattr(value, "reshape") and not _is_number(value):
            return f"{kind} of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    if isinstance(value, str | bytes | int | float | bool | None) or len(text) <= 40:
        return text if len(text) <= 60 else f"{text[:56]}..."
    return f"a {type(value).__name__}"


def _is_number(value: object) -> bool:
    """NumPy's numbers have a shape too, but are shown as numbers; a tensor is a tensor."""
    return type(value).__module__.startswith("numpy") and type(value).__name__ != "ndarray"


def text(name: str, value: object, optional: bool = False) -> str | None:
    if not isinstance(value, str) and not (optional and value is None):
        raise TypeError(f"{name} is {shown(value)}; it should be a text.")
    return whole_characters(name, value) if isinstance(value, str) else value


def whole_characters(name: str, value: str) -> str:
    """The text, where no half of a character is in it (a lone surrogate), which no file and no screen takes."""
    if not value.isascii() and (halves := re.findall("[\ud800-\udfff]", value)):
        raise ValueError(f"{name} holds {shown(halves[0])}, half of a character; it should be text in whole ones.")
    return value


def near(value: object, names: Collection[str], n: int = 3) -> list[str]:
    """The names that somebody may have meant, best first, each once: capitals, blanks and signs do not count."""

    def bare(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    known: dict[str, str] = {}
    for name in names:
        known.setdefault(bare(name), name)
    exact = [known[bare(str(value))]] if bare(str(value)) in known else []
    close = difflib.get_close_matches(bare(str(value)), known, n=n)
    return list(dict.fromkeys([*exact, *(known[one] for one in close)]))[:n]


def meant(value: object, names: Collection[str]) -> str:
    """What a message says of a name that was nearly hit, such as " (did you mean cifar10?)", or nothing."""
    return f" (did you mean {' or '.join(close)}?)" if (close := near(value, names)) else ""


def choice(what: str, value: object, choices: Collection[str]) -> str:
    """One of several names; what: "metric", for messages. A near miss is pointed out."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is {shown(value)}; it should be a name, one of {', '.join(choices)}.")
    if value not in choices:
        offer = " or ".join(choices) if len(choices) == 2 else f"one of {', '.join(choices)}"
        raise ValueError(f"There is no {what} {shown(value)}; choose {offer}{meant(value, choices)}.")
    return value

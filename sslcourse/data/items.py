"""A student's own texts and proteins as a set, and the question whether a path leads to anything."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data import expect
from sslcourse.data.images.sets import positions


@dataclass(frozen=True, eq=False, repr=False)
class OwnSet:
    """Texts or sequences with labels; `len(s)` counts them and `s[index]` selects some, with all that belongs to them.

    items: N strings. labels: int64 (N,), -1 where there is no class. names: what the file calls each item, a record of
    FASTA or a line of csv. groups: N texts, equal where items belong together (of one patient). names and groups are
    empty where unknown: `split_own` refuses empty groups, where None would mean to split without any.

    Raises TypeError for a single string in place of items, ValueError for parts of other lengths.
    """

    items: tuple[str, ...]
    labels: Tensor
    class_names: tuple[str, ...]
    name: str
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __post_init__(self):
        arguments.text("name", self.name)
        for part in ("items", "class_names", "names", "groups"):
            object.__setattr__(self, part, expect.strings(getattr(self, part), f"{part} of {self.name}"))
        if not isinstance(self.labels, Tensor) or self.labels.dtype != torch.int64 or self.labels.dim() != 1:
            raise TypeError(f"The labels of {self.name} should be an int64 tensor (N,).")
        arguments.dense("labels", self.labels)
        k = len(self.class_names)
        if len(self.labels) and (self.labels.min() < -1 or k and self.labels.max() >= k):
            raise ValueError(
                f"The labels of {self.name} run from {self.labels.min()} to {self.labels.max()}; with {k} classes they "
                f"should lie between -1 and {k - 1}."
            )
        for part in ("labels", "names", "groups"):
            if (n := len(getattr(self, part))) != len(self.items) and (n or part == "labels"):
                raise ValueError(f"There are {n} {part} for the {len(self.items)} items of {self.name}; give one each.")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index) -> "OwnSet":
        """The items at `index`: a slice, a bool mask (N,), a list or tensor of positions, or one position."""
        index = positions(index, len(self), "item")
        chosen = range(len(self))[index] if isinstance(index, slice) else index.tolist()
        return replace(
            self,
            items=tuple(self.items[n] for n in chosen),
            labels=self.labels[index],
            names=tuple(self.names[n] for n in chosen) if self.names else (),
            groups=tuple(self.groups[n] for n in chosen) if self.groups else (),
        )

    def __repr__(self) -> str:
        also = f", {len(set(self.groups))} groups" if self.groups else ""
        return f"OwnSet({self.name}: {len(self)} items, {len(self.class_names)} classes{also})"


def named(
    items: Sequence[str],
    classes: Sequence[str] | None,
    path: Path,
    names: Sequence[str],
    groups: Sequence[str] = (),
) -> OwnSet:
    """An OwnSet of the items of a file, its classes in alphabetical order."""
    order = {name: n for n, name in enumerate(sorted(set(classes or ())))}
    labels = [-1] * len(items) if classes is None else [order[name] for name in classes]
    return OwnSet(tuple(items), torch.tensor(labels), tuple(order), path.stem, tuple(names), tuple(groups))


def bare(text: str) -> str:
    """Without what nobody sees at both ends: spaces of every kind, byte order marks, joiners of no width."""

    def unseen(letter: str) -> bool:
        return letter.isspace() or unicodedata.category(letter) == "Cf"

    start, end = 0, len(text)
    while start < end and unseen(text[start]):
        start += 1
    while end > start and unseen(text[end - 1]):
        end -= 1
    return text[start:end]


def clipped(text: str) -> str:
    """A text of a file as part of a message: in one line, without control characters, 40 of its characters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def existing(path: str | Path, kind: str) -> Path:
    """The path with ~ put in full. Raises TypeError for what is no path, FileNotFoundError where there is no such file
    or folder (kind)."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"The {kind} is given as {type(path).__name__}; give its path, a text.")
    if not os.fspath(path):
        raise FileNotFoundError(f"The path of the {kind} is empty; give one.")
    try:
        path = Path(path).expanduser()
        path.stat()
    except FileNotFoundError:
        pass  # said below
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a NUL character
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".").lower()
        raise FileNotFoundError(f"{clipped(str(path))!r} leads to no {kind} ({reason}); check the path.") from None
    if kind == "folder" and path.is_file():
        raise FileNotFoundError(f"{path.absolute()} is a file; give the folder that it lies in.")
    if kind == "file" and path.exists() and not path.is_file():
        raise FileNotFoundError(f"{path.absolute()} is a folder or a device, no file; check the path.")
    if not (path.is_dir() if kind == "folder" else path.is_file()):
        raise FileNotFoundError(f"There is no {kind} {path.absolute()}; check the path.")
    return path

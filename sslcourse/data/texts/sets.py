"""Text sets: texts, one label tensor, and what belongs to each text.

Every loader and the toy world return a `TextSet`. Texts stay texts; tokens.py turns them into tensors.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data import expect
from sslcourse.data.images.sets import balanced, positions


@dataclass(frozen=True, eq=False, repr=False)
class TextSet:
    """Texts with labels; `len(s)` counts them and `s[index]` selects some, with all that belongs to them.

    texts: N of them, none empty. labels: int64 (N,), -1 where unknown. factors: {name: tensor (N, ...)} of what
    generated each text. documents: the sentences of each text, N tuples. The last two are None where a set has none.
    Raises ValueError or TypeError where the parts do not fit together.
    """

    texts: tuple[str, ...]
    labels: Tensor
    class_names: tuple[str, ...]
    name: str
    split: str
    factors: dict[str, Tensor] | None = None
    documents: tuple[tuple[str, ...], ...] | None = None

    def __post_init__(self):
        arguments.text("name", self.name), arguments.text("split", self.split)
        # Lists are welcome, tuples are kept: a frozen set should not change through a list that somebody still holds.
        if isinstance(self.texts, str):
            raise TypeError(f"The texts of {self.name} are one string; give a list of strings, one a text.")
        object.__setattr__(self, "texts", tuple(arguments.several("texts", self.texts)))
        object.__setattr__(self, "class_names", expect.strings(self.class_names, f"class_names of {self.name}"))
        if self.documents is not None:
            documents = arguments.rows("documents", self.documents, "one list of sentences for each text")
            documents = tuple(tuple(arguments.texts(f"Entry {n} of documents", one)) for n, one in enumerate(documents))
            object.__setattr__(self, "documents", documents)

        for n, text in enumerate(self.texts):
            if not isinstance(text, str):
                raise TypeError(f"Text {n} of {self.name} is of type {type(text).__name__}; texts are strings.")
            if not text.strip():
                raise ValueError(f"Text {n} of {self.name} is empty; leave texts without a word out.")
        if not isinstance(self.labels, Tensor) or self.labels.dtype != torch.int64 or self.labels.dim() != 1:
            raise TypeError(f"The labels of {self.name} should be a torch.int64 tensor of shape (N,).")
        arguments.dense("labels", self.labels)
        for part, values in arguments.mapping(
            "factors", {} if self.factors is None else self.factors, '{"topic": tensor (N,)}'
        ).items():
            arguments.dense(f"The factor {part}", values)
        parts = {"labels": self.labels, "documents": self.documents, **(self.factors or {})}
        for part, values in parts.items():
            if values is not None and len(values) != len(self):
                raise ValueError(f"{self.name} has {len(self)} texts but {len(values)} {part}; it needs as many.")
        k = len(self.class_names)
        if len(self) and not -1 <= self.labels.min() <= self.labels.max() < k:
            raise ValueError(
                f"The labels of {self.name} run from {self.labels.min()} to {self.labels.max()}; "
                f"with {k} classes they should lie between -1 and {k - 1}."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index) -> "TextSet":
        """The texts at `index`: a slice, a bool mask (N,), a list or tensor of positions, or one position."""
        index = positions(index, len(self), "text")
        chosen = range(len(self))[index] if isinstance(index, slice) else index.tolist()
        return replace(
            self,
            texts=tuple(self.texts[i] for i in chosen),
            labels=self.labels[index],
            factors=self.factors and {name: values[index] for name, values in self.factors.items()},
            documents=self.documents and tuple(self.documents[i] for i in chosen),
        )

    def subset(self, n: int, seed: int = 0) -> "TextSet":
        """n texts, as equally many of each class as can be, in shuffled order; the same ones for the same seed.

        For one seed smaller subsets are part of larger ones. Raises ValueError where there are fewer than n texts.
        """
        return self[balanced(self.labels, n, seed, f"{self.name} {self.split}", "texts")]

    def __repr__(self) -> str:
        extras = [part for part in ("factors", "documents") if getattr(self, part) is not None]
        also = f", with {', '.join(extras)}" if extras else ""
        return f"TextSet({self.name} {self.split}: {len(self)} texts, {len(self.class_names)} classes{also})"


def same_classes(*sets) -> None:
    """Raises ValueError where sets that belong together (splits) differ in their classes; labels of -1 do not count.

    Class names have to be equal, in order, and so has the set of labels that occur.
    """
    for one in sets:
        if not all(hasattr(one, part) for part in ("class_names", "labels", "name", "split")):
            raise TypeError(f"same_classes got {arguments.shown(one)}; it compares image, text or protein sets.")
    if not sets:
        raise ValueError("same_classes got no sets; give the splits that belong together.")
    first = sets[0]
    for other in sets[1:]:
        if other.class_names != first.class_names:
            raise ValueError(
                f"The classes of {other.name} {other.split} are {other.class_names}, those of {first.name} "
                f"{first.split} are {first.class_names}; splits that are compared need the same, in the same order."
            )
        mine, theirs = (set(one.labels[one.labels >= 0].tolist()) for one in (first, other))
        if mine != theirs:
            odd = min(mine ^ theirs)
            has, lacks = (first, other) if odd in mine else (other, first)
            raise ValueError(
                f"The label {odd} ({first.class_names[odd]}) occurs in {has.name} {has.split} and not in {lacks.name} "
                f"{lacks.split}; draw the splits anew, or leave that class out of both."
            )

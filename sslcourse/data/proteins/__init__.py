"""Proteins: alphabet.py holds the letters, sets.py what a set is, load.py the loader, sources.py where real sets come
from (read by records.py, cut into groups by homologues.py), germlines.py the genes of antibodies,
own.py a student's own; potts.py draws the toy world."""

from sslcourse.data.proteins.alphabet import AMINO_ACIDS
from sslcourse.data.proteins.germlines import Germlines, load_germlines
from sslcourse.data.proteins.load import load_proteins
from sslcourse.data.proteins.sets import ProteinSet, decode, encode, mutate, parse_mutation

__all__ = [
    "AMINO_ACIDS",
    "Germlines",
    "ProteinSet",
    "decode",
    "encode",
    "load_germlines",
    "load_proteins",
    "mutate",
    "parse_mutation",
]

"""Proteins: alphabet.py holds the letters, sets.py what a set is, load.py the loader, sources.py where real sets come
from (read by records.py, cut into groups by homologues.py), own.py a student's own; potts.py draws the toy world."""

from sslcourse.data.proteins.alphabet import AMINO_ACIDS
from sslcourse.data.proteins.load import load_proteins
from sslcourse.data.proteins.sets import ProteinSet, decode, encode, mutate, parse_mutation

__all__ = ["AMINO_ACIDS", "ProteinSet", "decode", "encode", "load_proteins", "mutate", "parse_mutation"]

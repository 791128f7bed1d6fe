"""Proteins: sets.py holds what a set is, load.py the loader, sources.py where real sets come from (read by records.py,
cut into groups by homologues.py); potts.py draws the toy world."""

from sslcourse.data.proteins.load import load_proteins
from sslcourse.data.proteins.sets import AMINO_ACIDS, ProteinSet, decode, encode, mutate, parse_mutation

__all__ = ["AMINO_ACIDS", "ProteinSet", "decode", "encode", "load_proteins", "mutate", "parse_mutation"]

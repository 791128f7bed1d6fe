"""The letters of proteins, in one place for files, sets and models.

Twenty amino acids have a column in every table of this course. ESM's models know five letters more: X, unknown, and
four that occur in databases. J has no token in any of them: it is read as X everywhere.
"""

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"  # the order of all tables
UNKNOWN = "X"
RARE = "UBZO"  # selenocysteine, D or N, E or Q, pyrrolysine
EITHER = "J"  # leucine or isoleucine, which weigh the same
LETTERS = frozenset(AMINO_ACIDS + UNKNOWN + RARE + EITHER)

_CAPITALS = {ord(letter): letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"}
_NUCLEOTIDES = "ACGTUN"
_DNA_FROM = 8  # letters; shorter peptides may consist of these by chance
_GAP, _STOP = " (take the gaps of an alignment out)", " (take stop signs out)"
_HINTS = {"-": _GAP, ".": _GAP, "*": _STOP}


def capitals(text: str) -> str:
    """a to z in upper case, nothing else: to Python the long s and the dotless i are letters of the alphabet, too."""
    return text.translate(_CAPITALS)


def without_either(sequence: str) -> str:
    """The sequence with X for J."""
    return sequence.replace(EITHER, UNKNOWN)


def wrong_letters(sequence: str) -> str | None:
    """What is wrong with the letters of a sequence, as the end of a sentence; None where nothing is."""
    if not isinstance(sequence, str):
        return f"is of type {type(sequence).__name__}; a sequence is a string."
    if not sequence:
        return "is empty; a protein has at least one residue."
    if LETTERS.issuperset(sequence):
        return None
    place, letter = next((n, letter) for n, letter in enumerate(sequence, 1) if letter not in LETTERS)
    residues = f"residues are {AMINO_ACIDS}, X for unknown, and the rare {', '.join(RARE)}"
    if capitals(letter) in LETTERS:
        return f"has {letter!r} at position {place} (write capitals); {residues}."
    return f"has {letter!r} at position {place}, which is no amino acid{_HINTS.get(letter, '')}; {residues}."


def is_dna(sequence: str) -> bool:
    """Whether a sequence of 8 letters or more looks like DNA or RNA: all four nucleotides, and hardly anything else.

    All of these letters are amino acids as well; one in twenty may be another, since nucleotides have ambiguity codes.
    """
    if len(sequence) < _DNA_FROM or not set("ACG") < set(sequence) or not set("TU") & set(sequence):
        return False
    return sum(sequence.count(letter) for letter in _NUCLEOTIDES) >= 0.95 * len(sequence)


def may_be_dna(sequence: str) -> bool:
    """Whether a sequence of 8 letters or more has no other letters than nucleotides; some are missing in repeats."""
    return len(sequence) >= _DNA_FROM and set(_NUCLEOTIDES).issuperset(sequence)

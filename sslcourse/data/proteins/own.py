"""A student's own proteins: a FASTA file, read whole or refused by the record that is wrong."""

import re
from pathlib import Path

from sslcourse.data.items import OwnSet, existing, named
from sslcourse.data.proteins.alphabet import EITHER, capitals, is_dna, without_either, wrong_letters
from sslcourse.data.proteins.records import blocks

_SURE = 30  # nucleotides in a row are no protein


def own_proteins(path: str | Path, classes: bool = False) -> OwnSet:
    """The sequences of a FASTA file in upper case; classes: the last word of every header is the class.

    Letters are the twenty amino acids, X, and the rare U, B, Z and O; J becomes X, as a printed line says. Spaces
    within a sequence are taken out. `cluster(own.items)` finds groups of relatives for `split_own`.

    Raises ValueError, naming the record, for an empty sequence, letters that are no amino acids, DNA, and headers of
    one word where classes are asked for; for a file without records and what is no UTF-8; FileNotFoundError.
    """
    path = existing(path, "file")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path} is no text in UTF-8 (line {line}); a FASTA file is plain text.") from None
    if "\r" in text and "\n" not in text:
        raise ValueError(f"{path} ends its lines by carriage returns alone; save it anew with line feeds.")

    names, labels, sequences = [], [], []
    for line, header, body in blocks(text, str(path)):
        words = [word for word in re.split(r"[ \t]+", header) if word]
        name = words[0] if words else f"without a name (line {line})"
        sequence = capitals(re.sub(r"[ \t]", "", body))
        if not sequence:
            raise ValueError(f"The record {name} of {path} has no sequence; remove it.")
        if problem := wrong_letters(sequence):
            raise ValueError(f"The record {name} of {path} {problem}")
        if classes and len(words) < 2:
            raise ValueError(f"The header {header!r} of {path} has no class; write it as the last word, '>name class'.")
        names.append(name)
        labels.append(words[-1] if words else "")
        sequences.append(sequence)
    if not sequences:
        raise ValueError(f"{path} holds no records; a FASTA file has lines '>name' with the sequence below.")

    # A short peptide may look like DNA by chance; half of a file does not, nor does a long sequence.
    dna = [n for n, sequence in enumerate(sequences) if is_dna(sequence)]
    sure = [n for n in dna if len(sequences[n]) >= _SURE or 2 * len(dna) >= len(sequences)]
    if sure:
        n = sure[0]
        raise ValueError(
            f"The record {names[n]} of {path} looks like DNA or RNA: its {len(sequences[n])} letters are nucleotides; "
            "translate it into amino acids."
        )
    if either := sum(EITHER in sequence for sequence in sequences):
        print(f"{path}: J (leucine or isoleucine) becomes X, unknown, in {either} of {len(sequences)} sequences.")
    items = [without_either(sequence) for sequence in sequences]
    return named(items, labels if classes else None, path, names)

"""A student's own proteins: a FASTA file, read whole or refused by the record that is wrong."""

import re
from pathlib import Path

from sslcourse import arguments
from sslcourse.data.items import OwnSet, clipped, existing, named
from sslcourse.data.proteins.alphabet import EITHER, capitals, is_dna, may_be_dna, without_either, wrong_letters
from sslcourse.data.proteins.records import blocks

_SURE = 30  # nucleotides in a row are no protein
_OF_DATABASES = re.compile(r"[A-Z]{2}=.*|.*\]")  # how headers of UniProt and NCBI end: "SV=2", "[Homo sapiens]"


def own_proteins(path: str | Path, classes: bool = False) -> OwnSet:
    """The sequences of a FASTA file in upper case; classes: the last word of every header is the class.

    Letters are the twenty amino acids, X, and the rare U, B, Z and O; J becomes X, as a printed line says. Spaces
    within a sequence are taken out. `cluster(own.items)` finds groups of relatives for `split_own`. A printed line
    points out names that stand more than once.

    Raises ValueError, naming the record and its line, for an empty sequence or name, letters that are no amino acids,
    DNA, and headers of one word, or as a database writes them, where classes are asked for; for a carriage return
    within a line, a file without records and what is no UTF-8; FileNotFoundError. A few short sequences of nucleotides
    among others may be peptides: a printed line points them out.
    """
    if not isinstance(classes, bool):
        found = arguments.shown(classes)
        raise TypeError(f"classes is {found}; True takes the last word of each header as the class, False none.")
    path = existing(path, "file")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path} is no text in UTF-8 (line {line}); a FASTA file is plain text.") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path} has a NUL character in line {line}, as UTF-16 has; save it anew as plain text.")
    if alone := re.search(r"\r(?!\r*(?:\n|\Z))", text):
        line = text.count("\n", 0, alone.start()) + 1
        raise ValueError(
            f"Line {line} of {path} has a carriage return within it; where these end the lines, save it anew with line "
            "feeds."
        )

    records, names, labels, sequences, lines = [], [], [], [], {}
    for line, header, body in blocks(text, str(path)):
        words = [word for word in re.split(r"[ \t]+", header) if word]
        name = words[0] if words else ""
        record = f"The record {clipped(name) or 'without a name'} of {path} (line {line})"
        sequence = capitals(re.sub(r"[ \t]", "", body))
        if not sequence:
            raise ValueError(f"{record} has no sequence; remove it.")
        if not name:
            raise ValueError(f"{record} has a sequence and no name; write one right behind the '>'.")
        if problem := wrong_letters(sequence):
            raise ValueError(f"{record} {problem}")
        if classes and len(words) < 2:
            raise ValueError(f"{record} has no class in its header; write it as the last word, '>name class'.")
        if classes and _OF_DATABASES.fullmatch(words[-1]):
            raise ValueError(
                f"{record} has the header of a database, which ends in {clipped(words[-1])!r} and not in a class; "
                "write the class behind it as the last word."
            )
        records.append(record)
        names.append(name)
        lines.setdefault(name, []).append(line)
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
            f"{records[n]} looks like DNA or RNA: its {len(sequences[n])} letters are nucleotides; "
            "translate it into amino acids."
        )
    if doubtful := [record for record, sequence in zip(records, sequences, strict=True) if may_be_dna(sequence)]:
        print(f"{doubtful[0]} may be DNA or RNA: it has no other letters ({len(doubtful)} of {len(records)} records).")
    if twice := [name for name, places in lines.items() if len(places) > 1]:
        first, second = lines[twice[0]][:2]
        print(
            f"{path}: the name {clipped(twice[0])!r} stands in lines {first} and {second} ({len(twice)} of "
            f"{len(lines)} names stand more than once); is the file put together of others?"
        )
    if either := sum(EITHER in sequence for sequence in sequences):
        print(f"{path}: J (leucine or isoleucine) becomes X, unknown, in {either} of {len(sequences)} sequences.")
    items = [without_either(sequence) for sequence in sequences]
    return named(items, labels if classes else None, path, names)

"""Files of sequences: FASTA and tables with a header, read record by record, refused with the line that is wrong."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Record(NamedTuple):
    """One record of a FASTA file: the first word after ">", the rest of that line, and the lines that follow joined."""

    name: str
    description: str
    text: str


def read_fasta(text: str, where: str) -> list[Record]:
    """The records of a FASTA file, in order. where: the name of the file, for messages.

    Raises ValueError, naming the line, for text before the first ">", a ">" without a name, a record without a
    sequence and a name that stands twice.
    """
    records: list[Record] = []
    seen: dict[str, int] = {}
    for line, header, body in blocks(text, where):
        name, *rest = re.split(r"[ \t]+", header, maxsplit=1)
        if not name:
            raise ValueError(f'{where}, line {line}: a ">" without a name; write the name right behind it.')
        if not body:
            raise ValueError(f"{where}, line {line}: the record {name!r} has no sequence.")
        if name in seen:
            raise ValueError(f"{where}, line {line}: {name!r} stands already in line {seen[name]}; names are unique.")
        seen[name] = line
        records.append(Record(name, rest[0] if rest else "", body))
    return records


def blocks(text: str, where: str) -> Iterator[tuple[int, str, str]]:
    """(line of the header, header without ">", lines below joined) of every record, the ends of lines stripped.

    Lines end with a line feed, a carriage return before it belongs to it: `splitlines` would also cut at a vertical
    tab or U+2028 within a header, and take the rest for sequence. Raises ValueError for text before the first ">".
    """
    started, header, parts = 0, "", []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.strip(" \t\r")
        if line.startswith(">"):
            if started:
                yield started, header, "".join(parts)
            started, header, parts = number, line[1:].strip(" \t"), []
        elif line and not started:
            raise ValueError(f'{where}, line {number}: {line[:20]!r} before any record; a record starts with ">".')
        else:
            parts.append(line)
    if started:
        yield started, header, "".join(parts)


def read_table(text: str, where: str, columns: Sequence[str], delimiter: str = ",") -> list[tuple[int, dict[str, str]]]:
    """(line, row) for every row of a table with a header; a row holds these columns as text.

    Raises ValueError for a missing column, and, naming the line, for a row with more or fewer fields than the header.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=delimiter)
    header = next(reader, [])
    for column in columns:
        if column not in header:
            raise ValueError(f"{where} has no column {column!r}; its columns are {', '.join(header)}.")
    places = {column: header.index(column) for column in columns}
    rows = []
    for fields in reader:
        if not fields:
            continue
        if len(fields) != len(header):
            raise ValueError(f"{where}, line {reader.line_num}: {len(fields)} fields, the header has {len(header)}.")
        rows.append((reader.line_num, {column: fields[place] for column, place in places.items()}))
    return rows


def number(text: str, where: str, line: int) -> float:
    """A finite number. Raises ValueError, naming the line, for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value - value != 0:  # NaN and infinity
        raise ValueError(f"{where}, line {line}: {text!r} is no finite number.")
    return value

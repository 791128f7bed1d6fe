"""Files of sequences: FASTA and tables with a header, read record by record, refused with the line that is wrong."""

import csv
import io
from collections.abc import Sequence
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
    heading, started, parts = None, 0, []

    def close() -> None:
        if heading is None:
            return
        if not parts:
            raise ValueError(f"{where}, line {started}: the record {heading[0]!r} has no sequence.")
        records.append(Record(heading[0], heading[1] if len(heading) > 1 else "", "".join(parts)))

    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line:
            continue
        if not line.startswith(">"):
            if heading is None:
                raise ValueError(f'{where}, line {number}: {line[:20]!r} before any record; a record starts with ">".')
            parts.append(line)
            continue
        close()
        heading, started, parts = line[1:].strip().split(maxsplit=1), number, []
        if not heading:
            raise ValueError(f'{where}, line {number}: a ">" without a name; write the name right behind it.')
        if heading[0] in seen:
            raise ValueError(
                f"{where}, line {number}: {heading[0]!r} stands already in line {seen[heading[0]]}; names are unique."
            )
        seen[heading[0]] = number
    close()
    return records


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

"""A student's own texts: a csv file, read whole or refused by its line.

A comma that stands in a text without quotes moves everything behind it by one column, and nothing looks wrong until
somebody reads the classes. So every row has to have as many fields as the header.
"""

import contextlib
import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sslcourse import arguments
from sslcourse.data.items import OwnSet, bare, clipped, existing, named

_SHOWN = 8  # columns that a message lists
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_NONE = {"nan", "na", "n/a", "#n/a", "null", "none", "<na>", "?", "-"}  # what tables write where they have nothing


def own_texts(path: str | Path, text: str = "text", label: str | None = None, group: str | None = None) -> OwnSet:
    """The texts of a csv file (UTF-8, commas, first line: names of the columns), with the classes of another column and
    the groups of a third (patients, authors; for `split_own`) where these are named.

    Quotes keep commas and line ends within a text; a quote within quotes is doubled. Empty lines are passed over, and
    so are spaces before a field, and what nobody sees around names, classes and groups. A printed line points out a
    class such as "NaN". Raises ValueError, naming the line, for a row with more or fewer fields than the header, or
    that repeats it, or with something in a column without a name (but for the first, where tables keep their numbers),
    for an empty text, class or group, and for quotes that do not close; for a file without rows, a missing column, and
    what is no UTF-8; FileNotFoundError.
    """
    path = existing(path, "file")
    wanted = {"text": text, "label": label, "group": group}
    wanted = {what: column for what, column in wanted.items() if what == "text" or column is not None}
    for what, column in wanted.items():
        if not isinstance(column, str):
            raise TypeError(f"{what} is {arguments.shown(column)}; it should be the name of a column, a text.")
    if repeated := [column for column, n in Counter(wanted.values()).items() if n > 1]:
        raise ValueError(f"The column {repeated[0]!r} is asked for twice; texts, classes and groups are columns apart.")

    content = _decoded(path)
    with _long_fields():
        _check_separator(content, path, tuple(wanted.values()))
        rows = _rows(content, path)
    header = [bare(column) for column in rows[0][1]] if rows else []
    for column in wanted.values():
        if header.count(column) != 1:
            raise ValueError(_no_column(path, column, header))
    if len(rows) < 2:
        raise ValueError(f"{path} has columns but no rows; at least one text is needed.")
    found: dict[str, list[str]] = {what: [] for what in wanted}
    nameless = [place for place, column in enumerate(header) if place and not column]
    for line, fields in rows[1:]:
        has = f"Line {line} of {path} has {len(fields)} field{'s' * (len(fields) != 1)}, the header has {len(header)}"
        if len(fields) < len(header):
            raise ValueError(f"{has}: something is missing; put a comma for every empty field, or remove the line.")
        if len(fields) > len(header):
            raise ValueError(f'{has}: put a text with commas into double quotes, "like this, for example".')
        if moved := [place for place in nameless if fields[place].strip()]:
            raise ValueError(
                f"Line {line} of {path} has something in column {moved[0] + 1}, which has no name: name the column, or "
                'put a text with commas into double quotes, "like this, for example".'
            )
        if len(header) > 1 and list(map(bare, fields)) == header:
            raise ValueError(f"Line {line} of {path} is the header once more, as in files put together; remove it.")
        for what, column in wanted.items():
            value = fields[header.index(column)]
            if not bare(value):
                raise ValueError(f"Line {line} of {path} has nothing in column {column!r}; fill it or remove the row.")
            # One name may be spelt by two sequences of characters, é or e and an accent, and is one class.
            found[what].append(value if what == "text" else unicodedata.normalize("NFC", bare(value)))
    for name, n in Counter(found.get("label", ())).items():
        if name.casefold() in _NONE:
            print(
                f"{path}: {n} rows have the class {name!r}, which is a class here like any other; remove them where it "
                "stands for none."
            )
    names = [f"line {line}" for line, _ in rows[1:]]
    return named(found["text"], found.get("label"), path, names, found.get("group", ()))


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(content[: error.start + 1].splitlines())  # of bytes: cut at line feeds and carriage returns alone
        raise ValueError(f"{path} is no text in UTF-8 (line {line}); save it anew as CSV UTF-8.") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path} has a NUL character in line {line}, as UTF-16 has; save it anew as CSV UTF-8.")
    return text


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Fields above csv's 131,072 characters; the limit is one for the whole process, so it is put back."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _check_separator(text: str, path: Path, wanted: Sequence[str]) -> None:
    """Refuse a header that has the columns by another separator alone, and Excel's line that names the separator."""
    if text[:4].lower() == "sep=":
        raise ValueError(f"{path} begins with a line for Excel, {clipped(text[:6])!r}; save it anew as plain CSV.")
    wanted = {column.casefold() for column in wanted}

    def found(separator: str) -> int:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        return len({column.strip().casefold() for column in next(reader, [])} & wanted)

    by_comma = found(",")
    for separator, called in _SEPARATORS.items():
        if found(separator) > by_comma:
            raise ValueError(f"{path} separates its columns by {called}, not commas; save it anew as CSV with commas.")


def _rows(text: str, path: Path) -> list[tuple[int, list[str]]]:
    """(line where it begins, fields) of every row that is not empty."""
    rows, line = [], 1
    # A space before a quote would make it part of the text, and the commas behind it separators.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        for fields in reader:
            if fields:
                rows.append((line, fields))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"The row that begins in line {line} of {path} has quotes that do not fit ({error}): a text in quotes ends "
            'with its quote, and quotes within it are doubled, "she said ""no""".'
        ) from None
    return rows


def _no_column(path: Path, column: str, header: list[str]) -> str:
    if column in header:
        return f"{path} has {header.count(column)} columns {column!r}; rename all but one."
    shown = ", ".join(clipped(name) for name in header[:_SHOWN])
    more = f" and {len(header) - _SHOWN:,} more" if len(header) > _SHOWN else ""
    alike = [name for name in header if name.lower() == column.lower()]
    hint = f" Did you mean {alike[0]!r}?" if alike else ""
    return f"{path} has no column {column!r}; its columns are {shown or 'none'}{more}.{hint}"

"""A student's own data, for the project: a folder of images, a table of texts, a FASTA file of proteins.

Nothing is fetched and nothing is written. Whatever would be noticed late and misread (an image that cannot be decoded,
a letter that is no amino acid, a class with one sample) is refused at once, in a sentence that names file and place.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslcourse.data.images.sets import ImageSet

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
RESIDUES = frozenset("ACDEFGHIKLMNPQRSTVWYXBUZO")  # twenty amino acids; X unknown; rare and ambiguous ones


@dataclass(frozen=True, eq=False)
class OwnSet:
    """Texts or sequences with labels. items: N strings; labels: int64 (N,), -1 where there is no class."""

    items: tuple[str, ...]
    labels: Tensor
    class_names: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return len(self.items)


def own_images(folder: str | Path, size: int = 32) -> ImageSet:
    """The images of a folder as RGB, size x size pixels: the middle square of each, scaled.

    One subfolder a class gives labels in alphabetical order; images that lie in the folder itself have label -1. Hidden
    files and other kinds of file are passed over. Raises ValueError for a folder without images or with both layouts,
    and for an image that cannot be read; FileNotFoundError where there is no such folder.
    """
    folder = _existing(Path(folder), "folder")
    flat = _pictures(folder)
    classes = sorted(part for part in folder.iterdir() if part.is_dir() and not part.name.startswith("."))
    nested = {part.name: _pictures(part) for part in classes}
    if flat and any(nested.values()):
        raise ValueError(f"{folder} holds images and folders of images; put every image into the folder of its class.")
    if not flat and not any(nested.values()):
        raise ValueError(f"{folder} holds no images; images end in {', '.join(SUFFIXES)}.")
    if empty := [name for name, paths in nested.items() if not paths and not flat]:
        raise ValueError(f"The class {empty[0]} in {folder} has no images; remove its folder or fill it.")

    names = () if flat else tuple(nested)
    paths = flat or [path for name in names for path in nested[name]]
    labels = [-1] * len(flat) if flat else [y for y, name in enumerate(names) for _ in nested[name]]
    images = torch.stack([_read(path, size) for path in paths])  # (N, 3, size, size)
    return ImageSet(images, torch.tensor(labels), names, folder.name, "all")


def own_texts(path: str | Path, text: str = "text", label: str | None = None) -> OwnSet:
    """The texts of a csv file (UTF-8, first line: names of the columns), with the classes of another column if named.

    Raises ValueError for a file without rows, a missing column, an empty text or class; FileNotFoundError.
    """
    path = _existing(Path(path), "file")
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is no csv file in UTF-8 ({error}); save it anew as CSV UTF-8.") from None
    for column in (text, *([label] if label else [])):
        if column not in columns:
            raise ValueError(f"{path} has no column {column!r}; its columns are {', '.join(columns) or 'none'}.")
    if not rows:
        raise ValueError(f"{path} has columns but no rows; at least one text is needed.")
    for column in (text, *([label] if label else [])):
        if blank := [n for n, row in enumerate(rows, 1) if not (row[column] or "").strip()]:
            raise ValueError(f"Row {blank[0]} of {path} has nothing in column {column!r}; fill it or remove the row.")
    return _named([row[text] for row in rows], [row[label].strip() for row in rows] if label else None, path)


def own_proteins(path: str | Path, classes: bool = False) -> OwnSet:
    """The sequences of a FASTA file in upper case; classes: the last word of every header is the class.

    Raises ValueError for a file without records, an empty sequence, letters that are no amino acids, and headers of one
    word where classes are asked for; FileNotFoundError.
    """
    path = _existing(Path(path), "file")
    headers, sequences = [], []
    for header, sequence in _records(path):
        name = header.split()[0] if header.split() else "without a name"
        if not sequence:
            raise ValueError(f"The record {name} of {path} has no sequence; remove it.")
        if foreign := [(n, letter) for n, letter in enumerate(sequence, 1) if letter not in RESIDUES]:
            n, letter = foreign[0]
            raise ValueError(
                f"The record {name} of {path} has {letter!r} at position {n}, which is no amino acid; take gaps and "
                "stop signs out, and do not give DNA."
            )
        if classes and len(header.split()) < 2:
            raise ValueError(f"The header {header!r} of {path} has no class; write it as the last word, '>name class'.")
        headers.append(header)
        sequences.append(sequence)
    if not sequences:
        raise ValueError(f"{path} holds no records; a FASTA file has lines '>name' with the sequence below.")
    return _named(sequences, [header.split()[-1] for header in headers] if classes else None, path)


def split_own(labels: Tensor, test: float = 0.25, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Positions of a training and a test split, sorted: of every class the same share, at least one in each.

    labels: int64 (N,); all -1, a set without classes, is split as one class. Raises ValueError for a share that is not
    between 0 and 1 and for a class with a single sample, which cannot be in both.
    """
    if not 0 < test < 1:
        raise ValueError(f"test is {test}; it is the share of the test split, above 0 and below 1.")
    rng, chosen = np.random.default_rng(seed), []
    for y in labels.unique().tolist():
        places = (labels == y).nonzero()[:, 0].numpy()
        if len(places) < 2:
            raise ValueError(f"Class {y} has {len(places)} sample; a class needs at least two, one of them to test.")
        n = min(len(places) - 1, max(1, round(test * len(places))))
        chosen += rng.permutation(places)[:n].tolist()
    tested = torch.zeros(len(labels), dtype=torch.bool)
    tested[chosen] = True
    return (~tested).nonzero()[:, 0], tested.nonzero()[:, 0]


def _existing(path: Path, kind: str) -> Path:
    path = path.expanduser()
    if not (path.is_dir() if kind == "folder" else path.is_file()):
        raise FileNotFoundError(f"There is no {kind} {path.absolute()}; check the path.")
    return path


def _pictures(folder: Path) -> list[Path]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in files if path.suffix.lower() in SUFFIXES)


def _read(path: Path, size: int) -> Tensor:
    """One image, uint8 (3, size, size)."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")  # cameras store how they were held
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise ValueError(f"{path} cannot be read as an image ({reason}); remove it or save it anew.") from None
    return torch.from_numpy(np.array(ImageOps.fit(upright, (size, size)))).permute(2, 0, 1).contiguous()


def _records(path: Path) -> Iterator[tuple[str, str]]:
    """(header without ">", sequence) of every record."""
    header, lines = None, []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8; a FASTA file is plain text.") from None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith(">"):
            if header is not None:
                yield header, "".join(lines)
            header, lines = line[1:].strip(), []
        elif line and header is None:
            raise ValueError(f"Line {number} of {path} stands before the first '>'; a record begins with '>name'.")
        else:
            lines.append("".join(line.split()).upper())
    if header is not None:
        yield header, "".join(lines)


def _named(items: Sequence[str], classes: Sequence[str] | None, path: Path) -> OwnSet:
    if classes is None:
        return OwnSet(tuple(items), torch.full((len(items),), -1), (), path.stem)
    names = sorted(Counter(classes))
    return OwnSet(tuple(items), torch.tensor([names.index(name) for name in classes]), tuple(names), path.stem)

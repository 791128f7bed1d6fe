"""A student's own images: a folder of pictures, as one set.

Nothing is fetched and nothing is written. Pictures of more than 8 bits have no white of their own (12 bits of a camera
lie in files of 16), so black and white are found for the whole set, and said.
"""

import contextlib
import numbers
import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sslcourse import arguments
from sslcourse.data.images.picture import Picture, read
from sslcourse.data.images.sets import ImageSet, whole
from sslcourse.data.items import existing

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
FOREIGN = {  # what Pillow cannot read: how it is called, how to convert it
    "DICOM": "with pydicom (pydicom.dcmread(path).pixel_array), and save every slice as 16-bit PNG or TIFF",
    "NIfTI": "with nibabel (nibabel.load(path).get_fdata()), and save the slices that you mean as float TIFF",
    "HEIC": "with pillow-heif, or on the telephone, to JPEG or PNG",
}
_FOREIGN_SUFFIXES = {".dcm": "DICOM", ".dicom": "DICOM", ".nii": "NIfTI", ".nii.gz": "NIfTI"}
_FOREIGN_SUFFIXES |= {".heic": "HEIC", ".heif": "HEIC"}
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands of the container
_DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners have


def own_images(folder: str | Path, size: int = 32, white: float | None = None) -> ImageSet:
    """The images of a folder as RGB, size x size pixels: the middle square of each, scaled.

    One subfolder a class gives labels in alphabetical order; images that lie in the folder itself have label -1. The
    captions are the files within the folder, such as "cat/p07_1.png". Other kinds of file are passed over, and counted
    in a printed line. What is transparent becomes white.

    Images of more than 8 bits are grey, and so are those of float numbers. Whole numbers run from 0 to the white of the
    fewest bits, of 8, 10, 12, 14 and 16, that hold the largest value of the set; fractions from 0 to 1; those outside
    from the lowest value, or 0, to the highest of the set. A printed line says so; `white` sets another value.

    Raises ValueError for a folder without images or with both layouts, for an image that cannot be read as a whole (it
    has several frames or channels), and for DICOM and NIfTI; FileNotFoundError where there is no such folder.
    """
    whole("size", size, 1)
    number = isinstance(white, numbers.Real) and not isinstance(white, bool)
    if white is not None and not (number and 0 < white < float("inf")):
        found = arguments.shown(white)
        raise ValueError(f"white is {found}; it should be the value that becomes white, a number above 0.")
    folder = existing(folder, "folder")
    passed: list[Path] = []
    flat = _pictures(folder, passed)
    classes = sorted(part for part in folder.iterdir() if part.is_dir() and not part.name.startswith("."))
    nested = {part.name: _pictures(part, passed) for part in classes}
    if flat and any(nested.values()):
        raise ValueError(f"{folder} holds images and folders of images; put every image into the folder of its class.")
    if deeper := [inner for part in classes for inner in sorted(part.iterdir()) if inner.is_dir() and _any_in(inner)]:
        raise ValueError(f"{deeper[0]} holds images one folder too deep; put them into the folder of their class.")
    if not flat and not any(nested.values()):
        raise ValueError(f"{folder} holds no images; images end in {', '.join(SUFFIXES)}.")
    if empty := [name for name, paths in nested.items() if not paths and not flat]:
        raise ValueError(f"The class {empty[0]} in {folder} has no images; remove its folder or fill it.")

    names = () if flat else tuple(nested)
    paths = flat or [path for name in names for path in nested[name]]
    labels = [-1] * len(flat) if flat else [y for y, name in enumerate(names) for _ in nested[name]]
    images = _levels([read(path, size) for path in paths], white)  # (N, size, size, 3)
    if passed:
        kinds = Counter(path.suffix or path.name for path in passed).most_common(5)
        print(f"{folder}: passed over {len(passed)} that are no files of images: {', '.join(k for k, _ in kinds)}.")
    # A name that is no UTF-8 can be opened and not be printed: its caption has a sign for what is none.
    captions = [os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace") for path in paths]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return ImageSet(pixels, torch.tensor(labels), names, folder.resolve().name, "all", captions=captions)


def _pictures(folder: Path, passed: list[Path]) -> list[Path]:
    """The images of a folder, sorted; other files are added to `passed`, and foreign kinds of image refused."""
    found = sorted(path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith("."))
    pictures = []
    for path in found:
        if path.is_file():
            _refuse_foreign(path)
        if path.suffix.lower() not in SUFFIXES:
            passed.append(path)
        elif path.is_file():
            pictures.append(path)
        else:
            raise ValueError(f"{path} is no file (a link that leads nowhere, or a device); remove it or mend the link.")
    return pictures


def _refuse_foreign(path: Path) -> None:
    if kind := _foreign(path):
        raise ValueError(f"{path} is {kind}, which Pillow does not read; convert it {FOREIGN[kind]}.")


def _any_in(folder: Path) -> bool:
    """Whether there are images below; those of a foreign kind, which lie in folders of patients and series, are
    refused."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        _refuse_foreign(path)
    return any(path.suffix.lower() in SUFFIXES for path in files)


def _foreign(path: Path) -> str | None:
    """DICOM often has no suffix, or part of a number, so the content is asked where the name says nothing."""
    name = path.name.lower()
    if kind := next((kind for suffix, kind in _FOREIGN_SUFFIXES.items() if name.endswith(suffix)), None):
        return kind
    with open(path, "rb") as file:
        head = file.read(1024)
    if head[:2] == b"\x1f\x8b":  # packed by gzip, as .nii.gz
        with contextlib.suppress(zlib.error):
            head = zlib.decompressobj(wbits=31).decompress(head, 348)
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        return "HEIC"
    return "NIfTI" if head[344:348] in (b"n+1\0", b"ni1\0") else None


def _levels(pictures: Sequence[Picture], white: float | None) -> np.ndarray:
    """uint8 (N, size, size, 3): pictures of one kind of number share black and white, which are printed."""
    if white is not None and not any(picture.kind for picture in pictures):
        print(f"white={white} changes nothing: all images have 8 bits, of which 255 is white.")
    by_kind = defaultdict(list)
    for picture in pictures:
        by_kind[picture.kind].append(picture)
    ranges = {kind: _range(kind, some, white) for kind, some in by_kind.items() if kind}
    images = np.empty((len(pictures), *pictures[0].pixels.shape[:2], 3), dtype=np.uint8)
    for n, picture in enumerate(pictures):
        if not picture.kind:
            images[n] = picture.pixels
            continue
        black, top = ranges[picture.kind]
        level = (picture.pixels - black) / (top - black or 1.0)
        level = 1 - level if picture.inverted else level
        images[n] = np.round(255 * level.clip(0, 1))[:, :, None]  # cubic scaling swings a little over both ends
    return images


def _range(kind: str, pictures: Sequence[Picture], white: float | None) -> tuple[float, float]:
    """The values of black and of white, said in one line."""
    low, high = min(picture.low for picture in pictures), max(picture.high for picture in pictures)
    black, why = min(0.0, low), ""
    if white is not None:
        top = float(white)
    elif kind == "float" and 0 <= low and high <= 1:
        top = 1.0
    elif low >= 0 and high < 2 ** _DEPTHS[-1] and all(picture.whole for picture in pictures):
        least = max(picture.bits for picture in pictures)
        bits = next(bits for bits in _DEPTHS if bits >= least and high < 2**bits)
        top, why = 2.0**bits - 1, f" ({bits} bits)"
    else:
        top = high
    print(
        f"{kind} images ({len(pictures)}) with values from {low:,.6g} to {high:,.6g}: {black:,.6g} becomes black, "
        f"{top:,.6g}{why} white; own_images(..., white=...) sets another white."
    )
    return black, top

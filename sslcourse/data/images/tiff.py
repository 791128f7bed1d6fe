"""What a TIFF says about itself, asked before Pillow opens it: a TIFF may hold stacks, any number of channels and any
kind of number, of which Pillow shows a part without a word, or opens none.
"""

import re
from pathlib import Path
from typing import NamedTuple

HEADS = (b"II*\0", b"MM\0*", b"II+\0")  # Pillow cannot open big-endian BigTIFF at all
PLANES = {2: 3, 5: 4, 6: 3, 8: 3}  # channels by what they mean (RGB, CMYK, YCbCr, Lab), alpha apart; others have one
NUMBERS = {1: "whole", 2: "signed whole", 3: "float"}


class Unsuitable(ValueError):
    """Why a picture cannot be taken, as the end of a sentence that begins with its path."""


class Tags(NamedTuple):
    """Bits of a number, whether it is signed, and whether the lowest means white."""

    bits: int
    signed: bool
    white_is_zero: bool


def tags(path: Path) -> Tags | None:
    """None for what is no TIFF. Raises Unsuitable for more than one image, and for channels and numbers that Pillow
    would cut, drop or refuse."""
    found = _directories(path)
    if not found:
        return None
    if len(found) > 1:
        raise Unsuitable(frames(len(found)))
    first = found[0]
    description = str(first.get(270, ""))
    stack = re.search(r"^images=(\d+)", description, re.M) if description.startswith("ImageJ=") else None
    if first.get(32997, 1) > 1 or stack and int(stack[1]) > 1 or '"truncated": true' in description:
        raise Unsuitable("holds a stack in one frame; save the slice that you mean, or each as an image of its own.")

    bits, channels, extra = max(first.get(258, (1,))), first.get(277, 1), first.get(338, ())
    meaning, numbers = first.get(262, 1), first.get(339, (1,))[0]
    alpha = len(extra) == 1 and extra[0] in (1, 2) or meaning == 2 and channels == 4 and not extra
    if channels != PLANES.get(meaning, 1) + alpha:
        raise Unsuitable(
            f"has {channels} channels, which are neither grey nor RGB; save the one that you mean as grey, or three of "
            "them as RGB with 8 bits each."
        )
    if channels > 1 and first.get(284, 1) == 2:
        raise Unsuitable(
            f"keeps its {channels} channels apart, as tifffile does with slices too; save a colour image with its "
            "channels side by side (contiguous), or a slice as an image of its own."
        )
    if channels > 1 and bits > 8:
        raise Unsuitable(deep_colours(bits))
    if bits > 32 or numbers == 3 and bits != 32 or numbers not in NUMBERS:
        raise Unsuitable(
            f"holds {NUMBERS.get(numbers, 'complex or unknown')} numbers of {bits} bits, which Pillow does not read; "
            "save them as float numbers of 32 bits."
        )
    if first.prefix == b"MM" and first.get(259, 1) != 1 and bits > 8 and (bits, numbers) != (16, 1):
        raise Unsuitable(
            "is compressed and stores the high byte of its numbers first, which Pillow mixes up; save it "
            "uncompressed or little-endian."
        )
    return Tags(bits, numbers == 2, meaning == 0)


def frames(n: int) -> str:
    return f"holds {n} frames (slices, channels or times); save the one that you mean, or each as an image of its own."


def deep_colours(bits: int) -> str:
    return f"has colours or transparency of {bits} bits, which Pillow cuts to 8; save 8 bits a channel, or grey."


def _directories(path: Path) -> list:
    """One a frame, in Pillow's form; empty for what is no TIFF."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    found, seen = [], set()
    with open(path, "rb") as file:
        head = file.read(8)
        if head[:4] not in HEADS:
            return []
        head += file.read(8) if b"+" in head[:4] else b""
        place = ImageFileDirectory_v2(head).next
        while place and place not in seen and len(found) < 10_000:  # a damaged file may lead in circles
            seen.add(place)
            found.append(ImageFileDirectory_v2(head))
            file.seek(place)
            found[-1].load(file)
            place = found[-1].next
    return found

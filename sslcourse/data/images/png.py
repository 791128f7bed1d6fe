"""Whether a PNG holds as many pixels as its header says: Pillow leaves those that are missing black, without a word."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from sslcourse.data.images.tiff import Unsuitable

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by kind of colour
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7


def must_be_whole(path: Path) -> None:
    """Raises Unsuitable for pixels that end before the last row does; for a file that Pillow has opened."""
    content = path.read_bytes()
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)  # (first column, first row, step, step down)
    wanted = 0
    for x, y, across, down in passes:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            wanted += rows * (1 + -(-columns * bits * _CHANNELS[colour] // 8))  # each row begins with its filter
    found, packed = 0, zlib.decompressobj()
    for part in _pixels(content):
        while part and not packed.eof:
            found += len(packed.decompress(part, 2**20))
            part = packed.unconsumed_tail
    if found < wanted:
        raise Unsuitable(f"holds {found:,} of the {wanted:,} bytes of its pixels; save it anew.")


def _pixels(content: bytes) -> Iterator[bytes]:
    """The packed pixels, chunk by chunk."""
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind == b"IDAT":
            yield content[place + 8 : place + 8 + length]
        place += 12 + length

"""A fresh round of a student's own files: what is legal and odd gives the right value, what is broken one sentence."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from sslcourse.data.own import own_images, own_proteins, own_texts, split_own

SIZE = 8
GREYS = (np.arange(64, dtype=np.uint8) * 4).reshape(SIZE, SIZE)
COLOURS = np.random.default_rng(1000).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(path, width=SIZE, height=SIZE, bits=8, colour=0, rows=GREYS, more=(), level=6, spoil=None):
    """A PNG written by hand. spoil: what is done to the compressed pixels, whose checksum is that of the whole ones."""
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows), level)
    chunks = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)), *more]
    crc = zlib.crc32(b"IDAT" + data)
    chunks += [chunk(b"IDAT", spoil(data) if spoil else data, crc), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def pixels(folder) -> np.ndarray:
    return own_images(folder, SIZE).images.permute(0, 2, 3, 1).numpy().astype(int)


def three(values) -> np.ndarray:
    return np.repeat(np.asarray(values)[:, :, None], 3, axis=2).astype(int)


def of_palette(path):
    """Sixteen colours, each of an opacity of its own."""
    image = Image.fromarray(GREYS // 16).convert("P")
    image.putpalette([value for n in range(16) for value in (n * 16, 255 - n, n)])
    image.save(path, transparency=bytes(n * 17 for n in range(16)))
    n = (GREYS // 16).astype(int)
    colour, alpha = np.stack([n * 16, 255 - n, n], axis=2), (n * 17 / 255)[:, :, None]
    return colour * alpha + 255 * (1 - alpha)


def grey_and_alpha(path):
    alpha = 255 - GREYS
    Image.fromarray(np.stack([GREYS, alpha], axis=2)).save(path)
    share = alpha / 255
    return three(GREYS * share + 255 * (1 - share))


def interlaced(path):
    """Seven passes over the picture, each a picture of its own (Adam7); Pillow writes none."""
    rows = []
    for x, y, across, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        rows += list(np.ascontiguousarray(GREYS[y::down, x::across]))
    png(path, rows=rows)
    content = bytearray(path.read_bytes())
    content[28] = 1
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)
    return three(GREYS)


def turned(orientation, wanted):
    def write(path):
        image = Image.fromarray(COLOURS)
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))
        return wanted

    return write


def plain(array, wanted=None, **how):
    def write(path):
        Image.fromarray(array).save(path, **how)
        return wanted if wanted is not None else three(array) if array.ndim == 2 else array

    return write


def of_tiff(array, wanted, **how):
    return lambda path: (tifffile.imwrite(path, array, **how), wanted)[1]


RAMP = np.arange(64).reshape(SIZE, SIZE)
LEGAL = {
    "palette, every colour with its own opacity.png": (of_palette, 1),
    "grey and opacity.png": (grey_and_alpha, 1),
    "interlaced.png": (interlaced, 0),
    "orientation that does not exist.png": (turned(9, COLOURS), 0),
    "orientation of zero.png": (turned(0, COLOURS), 0),
    "upside down.webp": (turned(3, COLOURS[::-1, ::-1]), 0),
    "progressive.jpg": (plain(np.full((SIZE, SIZE, 3), 77, np.uint8), quality=95, progressive=True), 2),
    "one bit.bmp": (plain(GREYS > 99, three(255 * (GREYS > 99))), 0),
    "packed.tif": (plain(COLOURS, compression="tiff_lzw"), 0),
    "tiles.tif": (of_tiff(COLOURS, COLOURS, tile=(16, 16)), 0),
    "of a thousand.tif": (
        of_tiff((RAMP * 16 + 15).astype(np.uint16), three(np.round((RAMP * 16 + 15) / 1023 * 255))),
        0,
    ),
    "12 of 16 bits.png": (plain((RAMP * 65).astype(np.uint16), three(np.round(RAMP * 65 * 255 / 4095))), 0),
    "whole numbers of 32 bits.tif": (
        of_tiff((RAMP * 1040).astype(np.int32), three(np.round(RAMP * 1040 * 255 / 65535))),
        0,
    ),
    "fractions.tif": (of_tiff((RAMP / 64).astype(np.float32), three(np.round(RAMP / 64 * 255))), 0),
    "one pixel.png": (
        lambda path: (Image.new("RGB", (1, 1), (1, 2, 3)).save(path), np.full((SIZE, SIZE, 3), (1, 2, 3)))[1],
        0,
    ),
    "a line.png": (
        lambda path: (Image.new("RGB", (900, 1), (9, 8, 7)).save(path), np.full((SIZE, SIZE, 3), (9, 8, 7)))[1],
        0,
    ),
    "without an end.png": (lambda path: (png(path), path.write_bytes(path.read_bytes()[:-12]), three(GREYS))[2], 0),
    "by another name.jpg": (lambda path: (Image.fromarray(COLOURS).save(path, format="PNG"), COLOURS)[1], 0),
    "of one frame.gif": (lambda path: (Image.fromarray(GREYS).save(path), three(GREYS))[1], 0),
}


@pytest.mark.parametrize("name", LEGAL)
def test_an_odd_image_is_what_was_written(name, tmp_path):
    write, off = LEGAL[name]
    wanted = write(tmp_path / name)
    assert np.abs(pixels(tmp_path)[0] - wanted).max() <= off


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def cut(path, write, share):
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


NOISE = np.random.default_rng(1001).integers(0, 256, (64, 64, 3), dtype=np.uint8)
BROKEN = {
    "no width.png": lambda path: png(path, width=0),
    "no height.png": lambda path: png(path, height=0),
    "no size.gif": lambda path: path.write_bytes(b"GIF89a\0\0\0\0\0\0\0;"),
    "no size.bmp": lambda path: path.write_bytes(
        b"BM" + struct.pack("<IIIIiiHH", 54, 0, 54, 40, 0, 0, 1, 24) + bytes(24)
    ),
    "fewer rows.png": lambda path: png(path, height=2 * SIZE),
    "a pixel changed.png": lambda path: png(path, level=0, spoil=flip),
    "pixels changed.png": lambda path: png(path, spoil=flip),
    "half.jpg": lambda path: cut(path, plain(NOISE), 0.5),
    "half.png": lambda path: cut(path, plain(NOISE), 0.5),
    "half.gif": lambda path: cut(path, plain(NOISE[:, :, 0]), 0.5),
    "half.bmp": lambda path: cut(path, plain(NOISE), 0.5),
    "half.tif": lambda path: cut(path, plain(NOISE), 0.5),
    "half.webp": lambda path: cut(path, plain(NOISE, lossless=True), 0.5),
    "nearly all.jpg": lambda path: cut(path, plain(NOISE), 0.95),
    "nearly all.gif": lambda path: cut(path, plain(NOISE[:, :, 0]), 0.95),
    "slices.tif": lambda path: tifffile.imwrite(path, np.stack([GREYS] * 2), photometric="minisblack"),
    "film.gif": lambda path: plain(GREYS, save_all=True, append_images=[Image.fromarray(255 - GREYS)])(path),
    "film.webp": lambda path: plain(COLOURS, save_all=True, append_images=[Image.fromarray(255 - COLOURS)])(path),
    "one unknown.tif": lambda path: tifffile.imwrite(path, np.where(GREYS == 8, np.nan, GREYS).astype(np.float32)),
    "a page.png": lambda path: path.write_text("<html><body>404</body></html>"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_refused_by_its_name(name, tmp_path):
    BROKEN[name](tmp_path / name)
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as caught:
        own_images(tmp_path, SIZE)
    assert str(tmp_path / name) in str(caught.value)


# --- texts


TABLES = {  # name: (content, texts, classes)
    "a mark and Windows": ("\ufefftext,label\r\nfine,up\r\nbad,down\r\n", ["fine", "bad"], ["up", "down"]),
    "line ends twice": ("text,label\r\r\nfine,up\r\r\nbad,down\r\r\n", ["fine", "bad"], ["up", "down"]),
    "line ends in quotes": ('text,label\n"a\r\nb",up\n"c\n\nd",down\n', ["a\r\nb", "c\n\nd"], ["up", "down"]),
    "an empty last column": ("text,label,\nfine,up,\nbad,down,\n", ["fine", "bad"], ["up", "down"]),
    "columns nobody asks for": ("x,text,x,label\n1,fine,2,up\n3,bad,4,down\n", ["fine", "bad"], ["up", "down"]),
    "no last line end": ("text,label\nfine,up\nbad,down", ["fine", "bad"], ["up", "down"]),
    "quotes everywhere": ('"text","label"\n"fine","up"\n"say ""no""","down"\n', ["fine", 'say "no"'], ["up", "down"]),
    "a mark in the middle": ("text,label\nfine,up\nbad,\ufeffup\n", ["fine", "bad"], ["up", "up"]),
    "a space of no width": ("text,label\u200b\nfine,up\u200b\nbad,up\n", ["fine", "bad"], ["up", "up"]),
    "two marks": ("\ufeff\ufefftext,label\nfine,up\nbad,down\n", ["fine", "bad"], ["up", "down"]),
    "a narrow space": ("text,label\nfine,up\u00a0\nbad,\u2009up\n", ["fine", "bad"], ["up", "up"]),
    "text like a header": ("text,label\ntext,up\nbad,label\n", ["text", "bad"], ["up", "label"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_an_odd_table_is_what_was_written(name, tmp_path):
    content, texts, classes = TABLES[name]
    (tmp_path / "a.csv").write_bytes(content.encode())
    found = own_texts(tmp_path / "a.csv", label="label")
    assert list(found.items) == texts and [found.class_names[y] for y in found.labels] == classes


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("text,label\nfine,up\ntext,label\nbad,down\n", "Line 3 of .* is the header once more"),
        ("text, label\r\nfine,up\r\n\r\n text ,label\r\nbad,down\r\n", "Line 4 of .* is the header once more"),
        ("text,label\n", "has columns but no rows"),
        ("text,label\nfine\n", "Line 2 .* has 1 field"),
        ("text,label\nfine,\nbad,down\n", "Line 2 .* nothing in column 'label'"),
        ("text,label\nfine,up\n , \n", "Line 3 .* nothing in column 'text'"),
        ("text,label\n\u200b,up\n", "Line 2 .* nothing in column 'text'"),
        ("text,label\nfine,\u200b\n", "Line 2 .* nothing in column 'label'"),
        ("text,label,label\nfine,up,down\n", "has 2 columns 'label'; rename all but one"),
        ("text\tlabel\nfine\tup\n", "separates its columns by tabs"),
        ("text;label\nfine;up\n", "separates its columns by semicolons"),
        ("text,label\nfine,up,\n", "Line 2 .* has 3 fields, the header has 2"),
        ('text,label\n"fine,up\nbad,down\n', "row that begins in line 2 .* quotes that do not fit"),
    ],
)
def test_a_broken_table_is_refused_by_its_line(content, sentence, tmp_path):
    (tmp_path / "a.csv").write_bytes(content.encode())
    with pytest.raises(ValueError, match=sentence) as caught:
        own_texts(tmp_path / "a.csv", label="label")
    assert "\n" not in str(caught.value)


def test_a_class_that_stands_for_none_is_pointed_out(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("text,label\nfine,up\nbad,NaN\nso,NaN\n")
    assert own_texts(tmp_path / "a.csv", label="label").class_names == ("NaN", "up")
    assert "2 rows have the class 'NaN', which is a class here like any other" in capsys.readouterr().out


# --- proteins


@pytest.mark.parametrize(
    ("content", "items", "names"),
    [
        (">p1\nmktay\niak\n>p2\nMKV\n", ["MKTAYIAK", "MKV"], ["p1", "p2"]),
        ("\n\n>p1 x\n\nMKT\n\nAYI\n\n\n>p2\nMKV\n\n", ["MKTAYI", "MKV"], ["p1", "p2"]),
        (">p1\r\nMKTAY\r\nIAK\r\n>p2\r\nMKV", ["MKTAYIAK", "MKV"], ["p1", "p2"]),
        (">p1\r\r\nMKTAY\r\r\n>p2\r\r\nMKV\r\r\n", ["MKTAY", "MKV"], ["p1", "p2"]),
        (">  p1\tx\n  MKT\t\n>p2\nMKV\n", ["MKT", "MKV"], ["p1", "p2"]),
        (">p1 > p2\nMKT\n", ["MKT"], ["p1"]),
        (">p1|x;y=1,z\nMKTX\n", ["MKTX"], ["p1|x;y=1,z"]),
    ],
)
def test_an_odd_fasta_is_what_was_written(content, items, names, tmp_path):
    (tmp_path / "a.fasta").write_bytes(content.encode())
    found = own_proteins(tmp_path / "a.fasta")
    assert list(found.items) == items and list(found.names) == names


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (">p1\nMKT*\n", r"record p1 .*\(line 1\) has '\*' at position 4"),
        (">p1\nMK-T\n", "record p1 .* has '-' at position 3"),
        (">\nMKT\n", r"record without a name .*\(line 1\) has a sequence and no name"),
        (">p1\nMKT\n> \nMKV\n", r"record without a name .*\(line 3\) has a sequence and no name"),
        (">p1\nMKT\n>\n", r"record without a name .*\(line 3\) has no sequence"),
        (">p1\nMKT\n>p2\n\n\n>p3\nMKV\n", r"record p2 .*\(line 3\) has no sequence"),
        (";old comment\n>p1\nMKT\n", "line 1: ';old comment' before any record"),
        ("@read\nMKT\n+\nIII\n", "line 1: '@read' before any record"),
        (">p1\n1 mktayiakqr 10\n", "record p1 .* has '1' at position 1"),
        (">p1\nMK\u00a0T\n", "record p1 .* at position 3"),
    ],
)
def test_a_broken_fasta_is_refused_by_its_record(content, sentence, tmp_path):
    (tmp_path / "a.fasta").write_bytes(content.encode())
    with pytest.raises(ValueError, match=sentence) as caught:
        own_proteins(tmp_path / "a.fasta")
    assert len(str(caught.value).splitlines()) == 1


def test_names_that_stand_twice_are_pointed_out(tmp_path, capsys):
    (tmp_path / "a.fasta").write_text(">p1\nMKT\n>p2\nMKV\n>p1\nMKA\n")
    assert own_proteins(tmp_path / "a.fasta").names == ("p1", "p2", "p1")
    assert "the name 'p1' stands in lines 1 and 5 (1 of 2 names stand more than once)" in capsys.readouterr().out


# --- groups


@pytest.mark.parametrize("kind", ["texts", "a table's column", "an array", "pairs"])
def test_groups_of_a_table_stay_together(kind):
    names = [f"p{n // 3}" for n in range(12)]
    groups = {"texts": names, "an array": np.array(names), "pairs": [(name, 0) for name in names]}
    if kind == "a table's column":
        groups[kind] = pytest.importorskip("pandas").Series(names, index=range(5, 17))
    fitted, tested = split_own(torch.arange(12) % 3, 0.25, 0, groups[kind])
    assert not {names[n] for n in fitted} & {names[n] for n in tested} and len(tested) == 3

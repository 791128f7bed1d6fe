"""A student's own images: each kind of file that Pillow and tifffile write comes out as its numbers say, or not.

The right values are computed here from the array that was written, at its own size, so that nothing is scaled.
"""

import gzip
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from sslcourse.data.own import own_images

SIZE = 16
GREYS = np.arange(256, dtype=np.uint8).reshape(SIZE, SIZE)


def save(path, size=(20, 10), colour=(255, 0, 0), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def grey(found) -> np.ndarray:
    """The pixels (N, SIZE, SIZE) of grey images: three equal channels."""
    assert found.images.dtype == torch.uint8 and found.images.shape[1:] == (3, SIZE, SIZE)
    assert found.images[:, :1].expand_as(found.images).equal(found.images)
    return found.images[:, 0].numpy().astype(int)


def expected(values, black, white) -> np.ndarray:
    """By whole-number arithmetic where black and white are whole: nearest of 0 to 255."""
    return np.array(
        [[min(255, max(0, round(255 * (float(v) - black) / (white - black)))) for v in row] for row in values]
    )


# --- layout


def test_subfolders_are_classes_in_alphabetical_order(tmp_path, capsys):
    save(tmp_path / "dog" / "a.png")
    save(tmp_path / "cat" / "b.jpg", colour=(0, 0, 255))
    save(tmp_path / "cat" / "a.PNG", size=(3, 9), colour=7, mode="L")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / ".DS_Store").write_text("")
    (tmp_path / ".cache").mkdir()
    found = own_images(tmp_path, size=16)
    assert found.class_names == ("cat", "dog") and found.labels.tolist() == [0, 0, 1]
    assert found.images.shape == (3, 3, 16, 16) and found.images[2, :, 0, 0].tolist() == [255, 0, 0]
    assert found.images[0].unique().tolist() == [7]
    assert found.captions == ("cat/a.PNG", "cat/b.jpg", "dog/a.png")  # groups may be read from these
    assert "passed over 1 that are no files of images: .txt" in capsys.readouterr().out


def test_a_flat_folder_has_no_labels(tmp_path, capsys):
    save(tmp_path / "one.png")
    save(tmp_path / "two.png")
    (tmp_path / "empty").mkdir()
    found = own_images(tmp_path)
    assert found.labels.tolist() == [-1, -1] and found.class_names == () and capsys.readouterr().out == ""


def test_the_middle_square_is_taken_upright(tmp_path):
    pixels = np.zeros((10, 30, 3), dtype=np.uint8)
    pixels[:, 10:20] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert own_images(tmp_path, size=10).images.unique().tolist() == [255]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_cameras_store_how_they_were_held(tmp_path, dtype, suffix):
    stored = GREYS.astype(dtype) * (257 if dtype == np.uint16 else 1)
    turned = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: np.rot90(stored, -1),
    }
    turned |= {7: stored[::-1, ::-1].T, 8: np.rot90(stored)}  # of the Exif standard, by numpy
    for orientation in turned:
        image = Image.fromarray(stored)
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(tmp_path / f"{orientation}.{suffix}", exif=exif)
    found = grey(own_images(tmp_path, SIZE))
    for pixels, wanted in zip(found, turned.values(), strict=True):
        assert np.array_equal(pixels, wanted // (257 if dtype == np.uint16 else 1))


# --- colours of 8 bits


def test_what_shines_through_is_white(tmp_path):
    rng = np.random.default_rng(1000)
    colours = rng.integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
    alpha = colours[:, :, 3:] / 255
    over_white = colours[:, :, :3] * alpha + 255 * (1 - alpha)
    Image.fromarray(colours).save(tmp_path / "a.png")
    Image.fromarray(colours).save(tmp_path / "b.tif")
    Image.fromarray(colours).save(tmp_path / "c.webp", lossless=True, exact=True)
    greys = np.ascontiguousarray(colours[:, :, 2:])
    Image.fromarray(greys).save(tmp_path / "d.png")
    Image.fromarray(greys).save(tmp_path / "e.tif")
    found = own_images(tmp_path, SIZE).images.permute(0, 2, 3, 1).numpy()
    assert np.abs(found[:3] - over_white).max() <= 1
    assert np.abs(found[3:] - over_white[:, :, 2:]).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palettes(tmp_path, suffix):
    palette = [(200, 10, 30), (0, 255, 0), (1, 2, 3), (90, 90, 90)]
    image = Image.fromarray(GREYS % 4).convert("P")
    image.putpalette([value for colour in palette for value in colour])
    image.save(tmp_path / f"a.{suffix}")
    image.save(tmp_path / f"b.{suffix}", transparency=1)
    found = own_images(tmp_path, SIZE).images.permute(0, 2, 3, 1).numpy()
    wanted = np.array(palette)[GREYS % 4]
    assert np.array_equal(found[0], wanted)
    wanted[GREYS % 4 == 1] = 255
    assert np.array_equal(found[1], wanted)


def test_a_transparent_grey_is_white(tmp_path):
    Image.fromarray(GREYS).save(tmp_path / "a.png", transparency=9)
    assert np.array_equal(grey(own_images(tmp_path, SIZE))[0], np.where(GREYS == 9, 255, GREYS))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits_is_white(tmp_path, bits):
    """Pillow spreads the greys over 0 to 255, and leaves the one that is transparent where it was."""
    values = GREYS & (2**bits - 1)
    rows = np.unpackbits(values[:, :, None], axis=2)[:, :, -bits:].reshape(SIZE, -1)
    content = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, bits, 0, 0, 0, 0)), (b"tRNS", b"\0\1")]
    chunks += [(b"IDAT", zlib.compress(content)), (b"IEND", b"")]
    file = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + file)
    wanted = np.where(values == 1, 255, values.astype(int) * 255 // (2**bits - 1))
    assert np.array_equal(grey(own_images(tmp_path, SIZE))[0], wanted)


def test_two_values_are_black_and_white(tmp_path):
    drawn = GREYS > 99
    Image.fromarray(drawn).save(tmp_path / "a.png")
    Image.fromarray(drawn).save(tmp_path / "b.tif")
    tifffile.imwrite(tmp_path / "c.tif", drawn, photometric="minisblack")
    tifffile.imwrite(tmp_path / "d.tif", ~drawn, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "e.tif", np.where(drawn, 0, 255).astype(np.uint8), photometric="miniswhite")
    assert all(np.array_equal(pixels, 255 * drawn) for pixels in grey(own_images(tmp_path, SIZE)))


def test_cmyk(tmp_path):
    inks = np.random.default_rng(1001).integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
    Image.fromarray(inks, mode="CMYK").save(tmp_path / "a.tif")
    found = own_images(tmp_path, SIZE).images[0].permute(1, 2, 0).numpy()
    wanted = (255 - inks[:, :, :3].astype(int)) * (255 - inks[:, :, 3:].astype(int)) / 255
    assert np.abs(found - wanted).max() <= 1

    flat = tmp_path / "jpeg"  # where Adobe stores inks upside down; one colour, so that nothing is lost
    flat.mkdir()
    Image.new("CMYK", (SIZE, SIZE), (40, 90, 200, 20)).save(flat / "a.jpg", quality=100)
    wanted = [(255 - ink) * (255 - 20) / 255 for ink in (40, 90, 200)]
    assert np.abs(own_images(flat, SIZE).images[0, :, 3, 3].numpy() - wanted).max() <= 3


# --- more than 8 bits


def numbers(high, seed=1002) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, high + 1, (SIZE, SIZE))
    values[0, :2] = 0, high
    return values


WRITERS = {
    "png": lambda path, values: Image.fromarray(values).save(path.with_suffix(".png")),
    "pillow": lambda path, values: Image.fromarray(values).save(path.with_suffix(".tif")),
    "tifffile": lambda path, values: tifffile.imwrite(path.with_suffix(".tif"), values),
    "packed": lambda path, values: tifffile.imwrite(path.with_suffix(".tif"), values, compression="zlib"),
    "predicted": lambda path, values: tifffile.imwrite(
        path.with_suffix(".tif"), values, compression="zlib", predictor=2
    ),
    "swapped": lambda path, values: tifffile.imwrite(path.with_suffix(".tif"), values, byteorder=">"),
    "swapped and packed": lambda path, values: tifffile.imwrite(
        path.with_suffix(".tif"), values, byteorder=">", compression="zlib"
    ),
    "big": lambda path, values: tifffile.imwrite(path.with_suffix(".tif"), values, bigtiff=True),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(
    ("high", "white"),
    [(65_535, 65_535), (40_000, 65_535), (16_383, 16_383), (3_911, 4_095), (1_023, 1_023), (700, 1_023), (200, 255)],
)
def test_16_bits_run_to_the_white_of_the_bits_that_hold_the_set(tmp_path, capsys, write, high, white):
    values = [numbers(high).astype(np.uint16), numbers(high // 3, 1003).astype(np.uint16)]
    for n, some in enumerate(values):
        write(tmp_path / f"{n}", some)
    found = grey(own_images(tmp_path, SIZE))
    for pixels, some in zip(found, values, strict=True):
        assert np.array_equal(pixels, expected(some, 0, white))
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"16-bit images (2) with values from 0 to {high:,}" in said
    assert f"{white:,} ({int(white).bit_length()} bits) white" in said


def test_a_grey_field_of_16_bits_stays_grey(tmp_path):
    Image.fromarray(np.full((40, 30), 40_000, dtype=np.uint16)).save(tmp_path / "a.png")
    assert own_images(tmp_path).images.unique().tolist() == [round(40_000 * 255 / 65_535)] == [156]


def test_12_bits_in_a_file_of_16(tmp_path):
    values = np.random.default_rng(1004).normal(1_800, 400, (3, SIZE, SIZE)).clip(0, 4_095).astype(np.uint16)
    for n, some in enumerate(values):
        tifffile.imwrite(tmp_path / f"{n}.tif", some)
    found = grey(own_images(tmp_path, SIZE))
    assert found.mean() == pytest.approx(values.mean() * 255 / 4_095, abs=0.1) and len(np.unique(found)) > 100


def test_12_bits_packed_have_their_own_white(tmp_path):
    """Three bytes hold two numbers; a dark picture of 12 bits is not brightened."""
    values = numbers(900)
    a, b = values.reshape(-1, 2).T
    packed = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=1).astype(np.uint8).tobytes()
    tags = {256: SIZE, 257: SIZE, 258: 12, 259: 1, 262: 1, 273: 200, 277: 1, 278: SIZE, 279: len(packed)}
    fields = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for tag, value in tags.items()
    )
    head = b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + fields + bytes(4)
    (tmp_path / "a.tif").write_bytes(head.ljust(200, b"\0") + packed)
    assert np.array_equal(grey(own_images(tmp_path, SIZE))[0], expected(values, 0, 4_095))


def test_white_may_be_given(tmp_path, capsys):
    values = numbers(3_000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert np.array_equal(grey(own_images(tmp_path, SIZE, white=2_000))[0], expected(values, 0, 2_000))
    assert "2,000 white" in capsys.readouterr().out
    save(tmp_path / "plain" / "a.png")
    own_images(tmp_path / "plain", SIZE, white=2_000)
    assert "white=2000 changes nothing" in capsys.readouterr().out
    for wrong in (0, -1, float("nan"), float("inf"), True, "4095"):
        with pytest.raises(ValueError, match="white is .*; it should be the value that becomes white"):
            own_images(tmp_path, SIZE, white=wrong)


def test_white_is_zero_above_8_bits_too(tmp_path):
    values = numbers(4_095)
    tifffile.imwrite(tmp_path / "a.tif", values.astype(np.uint16), photometric="miniswhite")
    tifffile.imwrite(tmp_path / "b.tif", (values / 4_095).astype(np.float32), photometric="miniswhite")
    for pixels in grey(own_images(tmp_path, SIZE)):
        assert np.array_equal(pixels, expected(4_095 - values, 0, 4_095))


@pytest.mark.parametrize(
    ("values", "black", "white"),
    [
        (numbers(1000) / 1000, 0, 1),
        (numbers(1000) / 4000, 0, 1),  # dark, and stays dark
        (numbers(1000) / 7, 0, 1000 / 7),
        (numbers(1000) / 7 - 30, -30, 1000 / 7 - 30),
        (-1 - numbers(1000) / 7, -1 - 1000 / 7, -1),
        (numbers(240), 0, 255),  # an image of 8 bits, written as float
        (numbers(60_000), 0, 65_535),
        (numbers(1000) * 1e32, 0, 1e35),
        ((numbers(1000) - 500) * 6e35, -3e38, 3e38),  # a range that float32 cannot hold
        (numbers(1000) * 1e-30, 0, 1),
    ],
)
def test_float(tmp_path, values, black, white):
    tifffile.imwrite(tmp_path / "a.tif", values.astype(np.float32))
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "b.tiff")
    for pixels in grey(own_images(tmp_path, SIZE)):
        assert np.abs(pixels - expected(values, black, white)).max() <= (0 if white == 1 else 1)


@pytest.mark.parametrize(
    ("dtype", "values", "black", "white"),
    [
        (np.int8, numbers(255) - 128, -128, 127),
        (np.int16, numbers(4_095) - 1_024, -1_024, 3_071),  # Hounsfield units
        (np.int16, numbers(3_000), 0, 4_095),
        (np.int32, numbers(50_000), 0, 65_535),
        (np.int32, numbers(1_000_000) - 7, -7, 999_993),
        (np.uint32, numbers(4_000_000_000), 0, 4_000_000_000),
        (np.uint32, numbers(4_000), 0, 4_095),
    ],
)
def test_signed_and_long_numbers(tmp_path, dtype, values, black, white):
    tifffile.imwrite(tmp_path / "a.tif", values.astype(dtype))
    assert np.array_equal(grey(own_images(tmp_path, SIZE))[0], expected(values, black, white))


def test_kinds_keep_their_own_ranges(tmp_path, capsys):
    save(tmp_path / "a.png", colour=(7, 8, 9))
    tifffile.imwrite(tmp_path / "b.tif", np.full((9, 9), 1_000, dtype=np.uint16))
    tifffile.imwrite(tmp_path / "c.tif", np.full((9, 9), 0.25, dtype=np.float32))
    found = own_images(tmp_path, 4).images[:, :, 0, 0].tolist()
    assert found == [[7, 8, 9], [249] * 3, [64] * 3]  # 1,000 of 1,023; a quarter
    assert capsys.readouterr().out.count("becomes black") == 2


def test_scaling_does_not_swing_over(tmp_path):
    """Cubic interpolation leaves the range at an edge; what lies outside is cut, never wrapped."""
    edge = np.zeros((64, 64), dtype=np.uint16)
    edge[:, 32:] = 65_535
    tifffile.imwrite(tmp_path / "a.tif", edge)
    Image.fromarray((edge >> 8).astype(np.uint8)).save(tmp_path / "b.png")
    deep, plain = own_images(tmp_path, 20).images.int()
    assert (deep - plain).abs().max() <= 1


# --- refused


def stack(path, n=4, **how):
    how = how if "imagej" in how else how | {"photometric": "minisblack"}
    tifffile.imwrite(path, np.stack([GREYS.astype(np.uint16)] * n), **how)


def planes(path):
    """What tifffile makes of three slices of 8 bits where it is not told that they are grey."""
    tifffile.imwrite(path, np.stack([GREYS] * 3), photometric="rgb", planarconfig="separate")


def channels(path, n, dtype=np.uint8, **how):
    tifffile.imwrite(path, np.stack([GREYS.astype(dtype)] * n, axis=-1), planarconfig="contig", **how)


def animated(path):
    Image.fromarray(GREYS).save(path, save_all=True, append_images=[Image.fromarray(255 - GREYS)])


def deep_png(path, colour):
    """Pillow writes none: a header of 16 bits with this kind of colour suffices."""
    Image.fromarray(GREYS.astype(np.uint16)).save(path)
    content = bytearray(path.read_bytes())
    content[25] = colour
    path.write_bytes(content)


def volume(folder, suffix, magic=b"", at=0):
    (folder / f"scan{suffix}").write_bytes(bytes(at) + magic + b"rest")


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda f: stack(f / "a.tif"), "a.tif holds 4 frames .*; save the one that you mean"),
        (lambda f: stack(f / "a.tif", bigtiff=True), "a.tif holds 4 frames"),
        (lambda f: stack(f / "a.tif", bigtiff=True, byteorder=">"), "a.tif cannot be read as an image"),
        (lambda f: stack(f / "a.tif", imagej=True), "a.tif holds 4 frames"),
        (lambda f: stack(f / "a.tif", truncate=True), "a.tif holds a stack in one frame"),
        (lambda f: stack(f / "a.tif", volumetric=True, tile=(16, 16, 16)), "a.tif holds a stack in one frame"),
        (lambda f: planes(f / "a.tif"), "a.tif keeps its 3 channels apart, as tifffile does with slices"),
        (lambda f: animated(f / "a.gif"), "a.gif holds 2 frames"),
        (lambda f: animated(f / "a.png"), "a.png holds 2 frames"),
        (lambda f: animated(f / "a.webp"), "a.webp holds 2 frames"),
        (
            lambda f: channels(f / "a.tif", 2, photometric="minisblack"),
            "a.tif has 2 channels, which are neither grey nor",
        ),
        (lambda f: channels(f / "a.tif", 5, photometric="minisblack"), "a.tif has 5 channels"),
        (lambda f: channels(f / "a.tif", 5, photometric="rgb"), "a.tif has 5 channels"),
        (
            lambda f: channels(f / "a.tif", 4, photometric="rgb", extrasamples=["unspecified"]),
            "a.tif has 4 channels",
        ),
        (lambda f: channels(f / "a.tif", 3, np.uint16, photometric="rgb"), "a.tif has colours .* of 16 bits"),
        (lambda f: channels(f / "a.tif", 4, np.uint16, photometric="rgb"), "a.tif has colours .* of 16 bits"),
        (lambda f: deep_png(f / "a.png", 2), "a.png has colours .* of 16 bits, which Pillow cuts to 8"),
        (lambda f: deep_png(f / "a.png", 4), "a.png has colours .* of 16 bits"),
        (lambda f: deep_png(f / "a.png", 6), "a.png has colours .* of 16 bits"),
        (
            lambda f: Image.fromarray(GREYS.astype(np.uint16)).save(f / "a.png", transparency=3),
            "a.png has colours or transparency of 16 bits",
        ),
        (lambda f: tifffile.imwrite(f / "a.tif", GREYS / 255), "a.tif holds float numbers of 64 bits"),
        (lambda f: tifffile.imwrite(f / "a.tif", GREYS.astype(np.float16)), "a.tif holds float numbers of 16 bits"),
        (lambda f: tifffile.imwrite(f / "a.tif", GREYS.astype(np.int64)), "holds signed whole numbers of 64 bits"),
        (lambda f: tifffile.imwrite(f / "a.tif", GREYS.astype(np.complex64)), "holds complex or unknown numbers"),
        (lambda f: tifffile.imwrite(f / "a.tif", np.full((9, 9), np.nan, np.float32)), "a.tif has pixels that are NaN"),
        (lambda f: tifffile.imwrite(f / "a.tif", np.full((9, 9), np.inf, np.float32)), "NaN or infinite"),
        (
            lambda f: tifffile.imwrite(f / "a.tif", (GREYS / 7).astype(">f4"), byteorder=">", compression="zlib"),
            "a.tif is compressed and stores the high byte of its numbers first, which Pillow mixes up",
        ),
        (
            lambda f: tifffile.imwrite(f / "a.tif", GREYS.astype(">i2"), byteorder=">", compression="zlib"),
            "which Pillow mixes up",
        ),
        (lambda f: Image.new("RGBA", (9, 9)).save(f / "a.png"), "a.png is transparent all over"),
        (lambda f: volume(f, ".dcm"), "scan.dcm is DICOM, .* convert it with pydicom"),
        (lambda f: volume(f, ".DCM"), "scan.DCM is DICOM"),
        (lambda f: volume(f, "", b"DICM", 128), "scan is DICOM"),
        (lambda f: volume(f, ".1.2.840", b"DICM", 128), "scan.1.2.840 is DICOM"),
        (lambda f: volume(f, ".png", b"DICM", 128), "scan.png is DICOM"),
        (lambda f: volume(f, ".nii"), "scan.nii is NIfTI, .* convert it with nibabel"),
        (lambda f: volume(f, ".nii.gz"), "scan.nii.gz is NIfTI"),
        (lambda f: volume(f, ".hdr", b"ni1\0", 344), "scan.hdr is NIfTI"),
        (lambda f: (f / "a.png").write_bytes(gzip.compress(bytes(344) + b"n+1\0")), "a.png is NIfTI"),
        (lambda f: (f / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic"), "a.jpg is HEIC"),
        (lambda f: volume(f, ".HEIF"), "scan.HEIF is HEIC"),
        (lambda f: (f / "a.png").symlink_to(f / "none"), "a.png is no file"),
        (lambda f: os.mkfifo(f / "a.png"), "a.png is no file"),
        (lambda f: volume(f, ".heic"), "scan.heic is HEIC, .* pillow-heif"),
    ],
)
def test_an_image_that_pillow_would_show_in_part(made, sentence, tmp_path):
    (tmp_path / "cat").mkdir()
    made(tmp_path / "cat")
    save(tmp_path / "dog" / "a.png")
    with pytest.raises(ValueError, match=sentence) as caught:
        own_images(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path / "cat") in str(caught.value)


def test_the_first_picture_of_a_camera_is_the_photograph(tmp_path):
    preview = Image.fromarray(255 - GREYS)
    Image.fromarray(GREYS).save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview], quality=100)
    assert np.abs(grey(own_images(tmp_path, SIZE))[0] - GREYS).max() < 9


def broken_image(folder):
    (folder / "a.png").write_text("this is text")


def series(folder):
    (folder / "patient" / "series").mkdir(parents=True)
    volume(folder / "patient" / "series", "", b"DICM", 128)


def cut_image(folder):
    save(folder / "a.png", size=(200, 200))
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:60])


def cut_tiff(folder):
    tifffile.imwrite(folder / "a.tif", GREYS)
    (folder / "a.tif").write_bytes((folder / "a.tif").read_bytes()[:-9])


def circle(folder):
    """A TIFF whose second directory is the first again."""
    tifffile.imwrite(folder / "a.tif", np.stack([GREYS] * 2), photometric="minisblack")
    with tifffile.TiffFile(folder / "a.tif") as file:
        first, second = (page.offset for page in file.pages)
    content = bytearray((folder / "a.tif").read_bytes())
    count = int.from_bytes(content[second : second + 2], "little")
    content[second + 2 + 12 * count : second + 6 + 12 * count] = first.to_bytes(4, "little")
    (folder / "a.tif").write_bytes(content)


def both(folder):
    save(folder / "a.png")
    save(folder / "cat" / "a.png")


def class_without_images(folder):
    save(folder / "cat" / "a.png")
    (folder / "dog").mkdir()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda folder: None, "holds no images; images end in"),
        (lambda folder: (folder / "a.txt").write_text(""), "holds no images"),
        (broken_image, r"a.png cannot be read as an image \(.*\); remove it"),
        (cut_image, "a.png cannot be read as an image"),
        (cut_tiff, "a.tif cannot be read as an image"),
        (circle, "a.tif holds 2 frames"),
        (lambda folder: (folder / "a.tif").write_bytes(b"II*\0\xff\xff\xff\xff"), "a.tif cannot be read as an image"),
        (lambda folder: (folder / "a.png").write_bytes(b""), "a.png cannot be read as an image"),
        (lambda folder: (series(folder), save(folder / "patient" / "a.png")), "series/scan is DICOM"),
        (series, "series/scan is DICOM, .* convert it with pydicom"),
        (both, "holds images and folders of images"),
        (class_without_images, "The class dog in .* has no images"),
        (lambda folder: save(folder / "cat" / "tabby" / "a.png"), "tabby holds images one folder too deep"),
    ],
)
def test_a_folder_that_will_not_do(made, sentence, tmp_path):
    made(tmp_path)
    with pytest.raises(ValueError, match=sentence) as caught:
        own_images(tmp_path)
    assert "\n" not in str(caught.value)


def test_arguments_of_another_kind(tmp_path):
    save(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match="a.png is a file; give the folder that it lies in"):
        own_images(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match="There is no folder .*; check the path"):
        own_images(tmp_path / "none")
    for lost in ("", "x" * 5000, "~nobody-of-this-name/a"):
        with pytest.raises(FileNotFoundError, match="path"):
            own_images(lost)
    for wrong in (None, 3, [tmp_path]):
        with pytest.raises(TypeError, match="The folder is given as .*; give its path"):
            own_images(wrong)
    for wrong, error in ((0, ValueError), (-3, ValueError), (1.5, TypeError), (True, TypeError), ("32", TypeError)):
        with pytest.raises(error, match="size is .*; it should be a whole number from 1 on"):
            own_images(tmp_path, wrong)

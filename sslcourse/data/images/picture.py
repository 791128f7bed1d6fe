"""One picture of a student's own: its pixels as they were stored, or one sentence why they cannot be taken.

Pillow opens more than it can hold, and without a word: colours of 16 bits are cut to 8, of many frames the first is
shown, and above 8 bits "white is zero" and unsigned numbers are forgotten. So the header is asked first. Pixels of 8
bits become colours here; what is black and what white in deeper ones is a matter of the whole set, and of own.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslcourse.data.images import png, tiff
from sslcourse.data.images.tiff import Tags, Unsuitable

DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of more than 8 bits


@dataclass(frozen=True)
class Picture:
    """The middle square of a picture, scaled.

    pixels: uint8 (size, size, 3) colours, where kind is empty; else float64 (size, size) in the units of the file, with
    the kind of its numbers, the lowest and the highest of the whole picture, whether all of them are whole, how many
    bits they have at least, and whether the lowest means white.
    """

    pixels: np.ndarray
    kind: str = ""
    low: float = 0.0
    high: float = 255.0
    whole: bool = True
    bits: int = 8
    inverted: bool = False


def read(path: Path, size: int) -> Picture:
    """Raises ValueError, naming the file, for what is no image and for what Pillow would show in part."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        tags = tiff.tags(path)
        steps = _grey_steps(path)
        with Image.open(path) as opened:
            # The second picture of a camera's MPO file is a preview or another exposure; the first is the photograph.
            if opened.format != "MPO" and (n := getattr(opened, "n_frames", 1)) > 1:
                raise Unsuitable(tiff.frames(n))
            if isinstance(seen_through := opened.info.get("transparency"), int):
                opened.info["transparency"] = seen_through * steps  # Pillow scales the pixels alone
            upright = ImageOps.exif_transpose(opened)  # cameras store how they were held
            if opened.format == "PNG":
                png.must_be_whole(path)
            if upright.mode in DEEP or upright.mode == "L" and tags and tags.signed:
                return _deep(upright, tags, size)
            return Picture(np.asarray(ImageOps.fit(_colours(upright), (size, size))))
    except Unsuitable as error:
        raise ValueError(f"{path} {error}") from None
    except Exception as error:  # decoders fail in every way there is, and each time the name of the file is needed
        reason = str(error).split("\n")[0].rstrip(".") or type(error).__name__
        reason = "not in a form that Pillow knows" if isinstance(error, UnidentifiedImageError) else reason
        raise ValueError(f"{path} cannot be read as an image ({reason}); remove it or save it anew.") from None


def _grey_steps(path: Path) -> int:
    """How far apart the greys of a PNG of 2 or 4 bits are, of 255; 1 for all else. Colours of 16 bits are refused.

    The header tells bits and kind of colour (0: grey) in fixed places.
    """
    with open(path, "rb") as file:
        head = file.read(26)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or len(head) < 26:
        return 1
    bits, grey = head[24], head[25] == 0
    if bits == 16 and not grey:
        raise Unsuitable(tiff.deep_colours(16))
    return 255 // (2**bits - 1) if grey and bits in (2, 4) else 1


def _colours(image):
    """RGB; what shines through is white, as on paper."""
    from PIL import Image

    if image.has_transparency_data:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        if image.getchannel("A").getextrema()[1] == 0:
            raise Unsuitable("is transparent all over, so that nothing is to be seen; save it without transparency.")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _deep(image, tags: Tags | None, size: int) -> Picture:
    from PIL import Image, ImageOps

    if "transparency" in image.info:
        raise Unsuitable(tiff.deep_colours(16))
    pixels, kind = np.asarray(image), "float" if image.mode == "F" else "16-bit"
    if image.mode == "L":
        pixels, kind = pixels.view(np.int8), "signed 8-bit"  # Pillow took them for unsigned
    elif image.mode == "I":
        kind = "signed 16-bit" if tags and tags.bits == 16 else "32-bit"
        if tags and not tags.signed:
            pixels = pixels.view(np.uint32)  # Pillow took them for signed
    if not np.isfinite(pixels).all():
        raise Unsuitable("has pixels that are NaN or infinite; put numbers there.")

    # Divided by the largest before it is scaled: Pillow computes in float32, where large numbers would overflow.
    low, high = float(pixels.min()), float(pixels.max())
    peak = max(abs(low), abs(high)) or 1.0
    fitted = ImageOps.fit(Image.fromarray((pixels / peak).astype(np.float32)), (size, size))
    return Picture(
        np.asarray(fitted, dtype=np.float64) * peak,
        kind,
        low,
        high,
        whole=bool((pixels == np.round(pixels)).all()),
        bits=tags.bits if tags and tags.bits in (10, 12, 14) else 8,
        inverted=bool(tags and tags.white_is_zero),
    )

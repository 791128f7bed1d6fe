#!/usr/bin/env bash
# Pillow 13.0.0 inverts a TIFF whose 0 means white if it has 8 bits, and does not if it has 16 bits or floats.
#
# Expected: one rule for all depths: black comes out as 0 (or none is inverted, as tifffile does).
# Seen: 8 bits are inverted (1 becomes 254); uint16 and float32 keep their numbers, so black and white change places
#   when the same picture is saved with more bits. The tag 262 (0: white is zero) is the only trace.
# Why: TiffImagePlugin.py's table OPEN_INFO has the inverting raw mode "L;I" for 8 bits, and for 16 bits and floats the
#   same raw modes as where 0 means black.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check \
    pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6

"$python" - <<'END'
import io

import numpy as np
import PIL
import tifffile
from PIL import Image

print(f"Pillow {PIL.__version__}, tifffile {tifffile.__version__}")
inverted = {}
for kind in ("uint8", "uint16", "float32"):
    pixels = np.array([[1, 18, 35]], kind)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="miniswhite")
    image = Image.open(file)
    read = np.asarray(image)
    inverted[kind] = not np.array_equal(read, pixels)
    print(f"{kind}: written {pixels[0]}, read {read[0]}, mode {image.mode}, tag 262 is {image.tag_v2[262]}")

assert inverted == {"uint8": True, "uint16": False, "float32": False}, "no longer seen"
END

#!/usr/bin/env bash
# Pillow 13.0.0 reads compressed big-endian TIFF files of int16, int32 and float32 as noise, without an error.
#
# Expected: the pixels that were written, whatever the byte order and compression, as tifffile itself reads them.
# Seen: right uncompressed and little-endian; compressed with zlib and big-endian, every number has its bytes reversed.
# Why: libtiff hands out numbers in the machine's byte order, and Pillow swaps them again. TiffImagePlugin.py prevents
#   that for raw modes that end in ";16B" or ";16L", so uint16 is right; "I;16BS", "I;32BS" and "F;32BF" are forgotten.
#   On a big-endian machine it is not seen.
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
seen = {}
for kind in ("uint8", "uint16", "int16", "int32", "float32"):
    pixels = (np.arange(12).reshape(3, 4) * 17 + 1).astype(kind)
    for order in "<>":
        for compression in (None, "zlib"):
            file = io.BytesIO()
            tifffile.imwrite(file, pixels, byteorder=order, compression=compression, photometric="minisblack")
            file.seek(0)
            assert np.array_equal(tifffile.imread(file), pixels), "the file itself is right"
            read = np.asarray(Image.open(file))
            swapped = np.array_equal(read.astype(kind), pixels.byteswap()) and not np.array_equal(read, pixels)
            seen[kind, order, compression] = "swapped" if swapped else "right" if np.array_equal(read, pixels) else "?"
            print(kind, order, compression, seen[kind, order, compression], read[0, :3])

wrong = {key for key, what in seen.items() if what != "right"}
expected = {(kind, ">", "zlib") for kind in ("int16", "int32", "float32")}
assert wrong == expected and all(seen[key] == "swapped" for key in wrong), "no longer seen"
END

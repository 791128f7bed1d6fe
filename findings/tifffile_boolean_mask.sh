#!/usr/bin/env bash
# A boolean mask written by tifffile 2026.3.3 comes out of Pillow 13.0.0 inverted.
#
# Expected: True is white, as in a mask of 0 and 255 and as Pillow itself writes True; both libraries agree.
# Seen: tifffile stores True as black (the tag says that 0 is white) and reads it back as True; Pillow heeds the tag and
#   reads False where the mask was True. Every library is consistent with itself, and neither gives a warning.
# Why: TiffWriter.write takes "miniswhite" for data of one bit where photometric is not given.
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
mask = np.array([[True, False, False]])


def read(**options) -> np.ndarray:
    file = io.BytesIO()
    tifffile.imwrite(file, mask, **options)
    file.seek(0)
    assert np.array_equal(tifffile.imread(file), mask), "tifffile reads what it wrote"
    return np.asarray(Image.open(file))


own = io.BytesIO()
Image.fromarray(mask).save(own, "tiff")
own.seek(0)
back = tifffile.imread(own)
print("the mask:                       ", mask[0])
print("tifffile to Pillow:             ", read()[0])
print("tifffile, minisblack, to Pillow:", read(photometric="minisblack")[0])
print("Pillow to tifffile:             ", back[0])
assert np.array_equal(read(), ~mask), "no longer seen"
assert np.array_equal(read(photometric="minisblack"), mask) and np.array_equal(back, mask)
END

#!/usr/bin/env bash
# tifffile 2026.3.3 writes a stack of three or four images as one colour image, and of two or five as two or five pages.
#
# Expected: imwrite of an array (n, height, width) makes n grey pages, whatever n is.
# Seen: n = 3 is one RGB page and n = 4 one RGBA page, planes apart, nothing shown; n = 2, 5 and 6 are n pages.
#   A reader that counts pages loses the stack, and one of colour images takes the fourth slice for transparency.
# Why: TiffWriter.write guesses "RGB, separate planes" from the third last axis being 3 or 4. It does warn, with a
#   DeprecationWarning, which Python hides unless it is raised in the main script. photometric="minisblack" avoids it.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check \
    tifffile==2026.3.3 numpy==2.4.6

"$python" - 2> "$folder/stderr" <<'END' || { cat "$folder/stderr"; exit 1; }
import io

import numpy as np
import tifffile

print(f"tifffile {tifffile.__version__}")
pages = {}
for n in range(2, 7):
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((n, 8, 6), np.uint8))
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        first, pages[n] = tiff.pages[0], len(tiff.pages)
        extra = [sample.name for sample in first.extrasamples]
        print(f"{n} images: {pages[n]} pages, {first.photometric.name} {extra}")

file = io.BytesIO()
tifffile.imwrite(file, np.zeros((4, 8, 6), np.uint8), photometric="minisblack")
file.seek(0)
with tifffile.TiffFile(file) as tiff:
    print(f"4 images with photometric='minisblack': {len(tiff.pages)} pages")
    assert len(tiff.pages) == 4
assert pages == {2: 2, 3: 1, 4: 1, 5: 5, 6: 6}, "no longer seen"
END
[ ! -s "$folder/stderr" ] || { echo "no longer seen: there is a warning:"; cat "$folder/stderr"; exit 1; }

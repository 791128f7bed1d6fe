#!/usr/bin/env bash
# lightly 1.6.0: SIGReg does not see two clusters 2 pi 16 / 3 = 33.51 apart along one dimension.
#
# Expected: the further apart the halves of a sample, the less it is a normal one; and LeJEPA's loss says so.
# Seen: in one dimension 0.18 for 1000 normal numbers, 606 if half of them is moved by 30, and 0.18 again at 33.51. With
#   65 knots for the default 17 it is 739. In 16 dimensions random directions see other distances: 583.
# Why: an integral over frequencies is taken at 17 points, 3/16 apart, so cos and sin are periodic in the data with
#   2 pi 16 / 3. The docstring names the number of points, not that it bounds the distances.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check torch torchvision numpy
# Its losses need nothing else of what it asks for (Lightning, hydra).
"$python" -m pip install --quiet --no-compile --disable-pip-version-check --no-deps lightly==1.6.0
cat > "$folder/run.py" <<'END'
import math

import lightly
import torch
from lightly.loss import SIGReg

print("lightly", lightly.__version__, "torch", torch.__version__)
torch.manual_seed(0)
half, seen = torch.arange(1000)[:, None] % 2, {}
for width, knots in ((1, 17), (1, 65), (16, 17)):
    sample, first = torch.randn(1000, width), torch.eye(width)[:1]
    for apart in (0, 30, 2 * math.pi * 16 / 3):
        moved = sample + apart * half * first
        seen[width, knots, round(apart)] = SIGReg(knots=knots)(moved).item()
        print(f"{width} dimensions, {knots} knots, {apart:5.2f} apart: {seen[width, knots, round(apart)]:.2f}")
blind = abs(seen[1, 17, 34] - seen[1, 17, 0])
assert seen[1, 17, 30] > 100 and seen[1, 65, 34] > 100 and seen[16, 17, 34] > 100, "another cause: it sees less"
assert blind < 0.01, "no longer seen"
END
"$python" -W ignore "$folder/run.py"

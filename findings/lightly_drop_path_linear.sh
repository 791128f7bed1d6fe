#!/usr/bin/env bash
# lightly 1.6: update_drop_path_rate(mode="linear") gives all blocks but the first the largest rate.
#
# Expected: rates rise from 0 in the first block to drop_path_rate in the last, as the docstring says and as timm builds
#   a network with drop_path_rate=0.3.
# Seen: 0, 0.3, 0.3, 0.3, ...; "linear" differs from "uniform" in the first block alone, and nothing is said. The rates
#   of the blocks are computed, and used only to ask whether they are above 0: drop_prob=drop_path_rate is what is set.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check torch==2.15.0 torchvision==0.29.2 lightly==1.6.0 timm==1.0.31
cat > "$folder/run.py" <<'END'
from importlib.metadata import version

import timm
from lightly.models.utils import update_drop_path_rate

print("lightly", version("lightly"), "timm", timm.__version__)


def rates(network):
    return [round(float(getattr(block.drop_path1, "drop_prob", 0.0) or 0.0), 2) for block in network.blocks]


def build(**arguments):
    return timm.create_model("vit_tiny_patch16_224", depth=7, num_classes=0, **arguments)


built = rates(build(drop_path_rate=0.3))
found = {}
for mode in ("linear", "uniform"):
    network = build()
    update_drop_path_rate(network, drop_path_rate=0.3, mode=mode)
    found[mode] = rates(network)
print("timm, drop_path_rate=0.3 ", built)
print("lightly, linear          ", found["linear"])
print("lightly, uniform         ", found["uniform"])
assert built == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3], "timm builds other rates"
assert found == {"linear": [0.0] + 6 * [0.3], "uniform": 7 * [0.3]}, "no longer seen"
END
"$python" -W ignore "$folder/run.py"

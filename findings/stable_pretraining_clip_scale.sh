#!/usr/bin/env bash
# stable-pretraining 0.1.8: CLIPLoss divides by the logit_scale that it is given, where CLIP multiplies by it.
#
# Expected: its docstring says to pass a learnable logit_scale of the model to forward(). CLIP and open_clip keep the
#   inverse temperature there: logits = logit_scale * cosines, 1 / 0.07 at first and at most 100.
# Seen: with logit_scale = 100 the loss of eight perfectly matched pairs is that of temperature 100, ln 8 nearly, where
#   CLIP's is 0; the same as CLIP's comes out when a temperature is passed under that name.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check stable-pretraining==0.1.8
cat > "$folder/run.py" <<'END'
import math
from importlib.metadata import version

import torch
import torch.nn.functional as F
from stable_pretraining.losses import CLIPLoss

print("stable-pretraining", version("stable-pretraining"), "torch", version("torch"))
pairs = torch.eye(8)
of_clip = F.cross_entropy(100 * pairs @ pairs.T, torch.arange(8)).item()
given, inverse = (CLIPLoss()(pairs, pairs, logit_scale=scale).item() for scale in (100.0, 0.01))
print(f"CLIP at scale 100: {of_clip:.4f}; CLIPLoss with logit_scale=100: {given:.4f}, with 0.01: {inverse:.4f}; "
      f"ln 8 = {math.log(8):.4f}")
assert of_clip < 1e-6 and inverse < 1e-6 and abs(given - math.log(8)) < 0.02, "no longer seen"
END
cd "$folder"
HOME="$folder" "$python" -W ignore "$folder/run.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

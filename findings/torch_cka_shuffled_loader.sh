#!/usr/bin/env bash
# torch-cka 0.21: a network compared with itself is as unlike itself as any other, if its one loader shuffles.
#
# Expected: CKA 1 on the diagonal; compare(loader) names one loader for both networks, so both see the same images.
# Seen: with shuffle=False 1.00 in every layer, with shuffle=True near 0, and no error. The only warning says that the
#   same loader is used for both.
# Why: the loader is put in twice, zip(loader, loader), and each of the two passes draws an order of its own: the rows
#   of the two Gram matrices belong to different images. shuffle=True is what a training's loader has.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check torch numpy tqdm matplotlib torch-cka==0.21
cat > "$folder/run.py" <<'END'
from importlib.metadata import version

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_cka import CKA

print("torch-cka", version("torch-cka"), "torch", torch.__version__)
torch.manual_seed(0)
data, seen = TensorDataset(torch.randn(512, 16)), {}
for shuffle in (False, True):
    nets = []
    for _ in range(2):
        torch.manual_seed(1)
        nets.append(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)))
    layers = ["0", "1", "2"]
    cka = CKA(*nets, "one", "same", layers, layers)
    cka.compare(DataLoader(data, batch_size=128, shuffle=shuffle))
    seen[shuffle] = cka.export()["CKA"].diagonal()
    print(f"shuffle={shuffle}: each layer with itself:", *(f"{one:.2f}" for one in seen[shuffle].tolist()))
assert seen[False].min() > 0.999, "another cause: without shuffling it is not 1 either"
assert seen[True].abs().max() < 0.2, "no longer seen"
END
"$python" -W ignore "$folder/run.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

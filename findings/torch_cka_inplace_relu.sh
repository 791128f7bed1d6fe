#!/usr/bin/env bash
# torch-cka 0.21: a layer in front of an in-place ReLU is compared as if it were the ReLU, and said to be equal to it.
#
# Expected: whether a ReLU works in place changes no output of a network, and so no similarity of its layers.
# Seen: batch normalisation against the ReLU after it 0.85 with inplace=False, 1.00 with inplace=True; its row is the
#   ReLU's in every column. The networks of torchvision have nn.ReLU(inplace=True) after every batch normalisation.
# Why: its hook keeps a layer's output itself, not a copy, and compares after the whole forward pass: the next layer has
#   written into it by then.
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
data, layers, seen = TensorDataset(torch.randn(512, 16)), ["0", "1", "2", "3"], {}
for inplace in (False, True):
    nets = []
    for _ in range(2):
        torch.manual_seed(1)
        relu = nn.ReLU(inplace=inplace)
        nets.append(nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), relu, nn.Linear(32, 8)))
    cka = CKA(*nets, "one", "same", layers, layers)
    cka.compare(DataLoader(data, batch_size=128))
    seen[inplace] = cka.export()["CKA"]
    normalisation, after = (" ".join(f"{one:.2f}" for one in seen[inplace][row].tolist()) for row in (1, 2))
    print(f"inplace={inplace}: normalisation {normalisation}; ReLU {after}")
others = torch.tensor([[0], [2], [3]]), torch.tensor([[0, 2, 3]])
assert torch.allclose(seen[False][others], seen[True][others], atol=1e-4), "another cause: other layers change too"
assert seen[False][1, 2] < 0.95 and seen[True][1, 2] > 0.9999, "no longer seen"
END
"$python" -W ignore "$folder/run.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

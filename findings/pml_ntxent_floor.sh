#!/usr/bin/env bash
# pytorch-metric-learning 2.9.0: NTXentLoss ends at 87.3 in float32 and at 9.7 in float16, and is flat there.
#
# Expected: cross-entropy of the positive among the candidates, as in lightly or torch: the worse a pair, the larger its
#   gradient. Logits of cosines are small numbers, at most 2 / temperature apart.
# Seen: two pairs that are further from each other than from the negatives. At its default temperature, 0.07, float32
#   gives 28.4 with a gradient, float16 9.70 with none; at 0.01, where CLIP ends, float32 87.34 with none, for 198.5.
# Why: it divides exponentials and takes log(ratio + smallest normal number) where others take log_softmax. A ratio that
#   underflows to 0 leaves the log of that number, and nothing to differentiate: the worst pairs are not learnt from.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check torch numpy pytorch-metric-learning==2.9.0
cat > "$folder/run.py" <<'END'
import pytorch_metric_learning
import torch
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss
from torch.nn.functional import cross_entropy, normalize

print("pytorch-metric-learning", pytorch_metric_learning.__version__, "torch", torch.__version__)
first = torch.tensor([[1, 0], [-1, 0.1]], dtype=torch.float64)
second = torch.tensor([[-1, 0], [1, 0.1]])


def by_softmax(one, other, temperature):
    rows = normalize(torch.cat([one, other]), dim=1)
    logits = (rows @ rows.T / temperature).fill_diagonal_(-torch.inf)
    return cross_entropy(logits, torch.arange(len(rows)).roll(len(one)))


seen = {}
for temperature in (0.07, 0.01):
    for dtype in (torch.float32, torch.float16):
        loss = SelfSupervisedLoss(NTXentLoss(temperature=temperature))
        for name, call in {"peer": loss, "softmax": lambda *views: by_softmax(*views, temperature)}.items():
            one = first.to(dtype).requires_grad_()
            value = call(one, second.to(dtype))
            value.backward()
            seen[name, temperature, dtype] = value.item(), one.grad.abs().max().item()
            value, gradient = seen[name, temperature, dtype]
            print(f"{name}, temperature {temperature}, {dtype}: loss {value:.2f}, largest gradient {gradient:.2f}")
assert all(seen[key][1] > 1 for key in seen if key[0] == "softmax"), "another cause: a softmax is flat too"
right = seen["peer", 0.07, torch.float32], seen["softmax", 0.07, torch.float32]
assert torch.allclose(*map(torch.tensor, right), rtol=1e-3), "another cause: they differ where nothing underflows"
flat = [seen["peer", 0.07, torch.float16], seen["peer", 0.01, torch.float32]]
assert [(round(value, 1), gradient) for value, gradient in flat] == [(9.7, 0), (87.3, 0)], "no longer seen"
END
"$python" -W ignore "$folder/run.py"

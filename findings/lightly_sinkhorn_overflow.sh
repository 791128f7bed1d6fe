#!/usr/bin/env bash
# lightly 1.6.0: SwaV's sinkhorn returns nothing but nan where a score passes 4.4, without a word.
#
# Expected: an assignment depends on differences of scores alone, so 10 added to all of them changes nothing; and rows
#   of a softmax-like rule are safe for any finite score, as those of torch.softmax are.
# Seen: cosines, in [-1, 1], come out right. With 10 added to all, or times 10, every entry is nan in float32; in
#   float64 the shifted scores give what the unshifted do.
# Why: it takes exp(score / 0.05) without taking the largest score off first, and float32 ends at exp(88.7). Features
#   or prototypes that are not normalised reach it; SwaVPrototypes normalises when asked to, by normalize().
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
import lightly
import torch
from lightly.loss.swav_loss import sinkhorn

print("lightly", lightly.__version__, "torch", torch.__version__)
torch.manual_seed(0)
cosines = torch.nn.functional.normalize(torch.randn(64, 16)) @ torch.nn.functional.normalize(torch.randn(16, 8), dim=0)
seen = {}
for name, scores in {"cosines": cosines, "+ 4": cosines + 4, "+ 10": cosines + 10, "times 10": cosines * 10}.items():
    seen[name] = sinkhorn(scores), sinkhorn(scores.double())
    bad = [one.isnan().float().mean().item() for one in seen[name]]
    print(f"{name}: scores up to {scores.max():.1f}; nan: {bad[0]:.0%} in float32, {bad[1]:.0%} in float64")
assert torch.allclose(seen["cosines"][0].double(), seen["+ 10"][1], atol=1e-4), "another cause: a shift changes it"
assert not seen["cosines"][0].isnan().any(), "another cause: cosines are nan too"
assert all(seen[name][0].isnan().all() for name in ("+ 10", "times 10")), "no longer seen"
END
"$python" -W ignore "$folder/run.py"

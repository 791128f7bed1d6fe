#!/usr/bin/env bash
# torchmetrics 1.9.0: a relevant document whose score is 0 or less counts as not relevant in some retrieval metrics.
#
# Expected: rank metrics depend on the order of the scores alone: adding 1 to all of them changes nothing.
# Seen: the relevant document first, with the scores -0.1, -0.5, -0.7: reciprocal rank, average precision, precision and
#   recall are 0; with 1 added to every score all are 1. Hit rate and nDCG of the same package are 1 both times.
#   Cosine similarities, log-probabilities and negative distances are such scores; no word is said.
# Why: the four set the target to 0 wherever preds > 0 is false; the docstring calls the scores probabilities.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check torchmetrics==1.9.0
cat > "$folder/run.py" <<'END'
import torch
import torchmetrics
from torchmetrics.functional import retrieval

print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)
scores, relevant = torch.tensor([-0.1, -0.5, -0.7]), torch.tensor([True, False, False])
wrong, right = ["reciprocal_rank", "average_precision", "precision", "recall"], ["hit_rate", "normalized_dcg"]
seen = {}
for name in wrong + right:
    metric = getattr(retrieval, f"retrieval_{name}")
    seen[name] = tuple(metric(one, relevant, top_k=1).item() for one in (scores, scores + 1))
    print(f"{name}: {seen[name][0]:.1f}, with 1 added to every score {seen[name][1]:.1f}")
assert all(seen[name] == (1, 1) for name in right), "another cause: the order itself is read otherwise"
assert all(seen[name] == (0, 1) for name in wrong), "no longer seen"
END
"$python" -W ignore "$folder/run.py"

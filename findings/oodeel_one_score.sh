#!/usr/bin/env bash
# oodeel 0.4.0: a detector that tells nothing apart gets a false-positive rate at 95 % recall of 0, the best there is.
#
# Expected: one score for all means that whoever finds 95 % of the strangers calls everybody a stranger: 1.
# Seen: fpr95tpr 0.0 beside an AUROC of 0.5. With ten steps of score and no difference between the two kinds 0.90 where
#   scikit-learn's curve, read at a recall of 0.95 or more, gives 1.00.
# Why: the rate is read at the first threshold whose recall is BELOW 0.95, not at the last that reaches it. Thresholds
#   that fall on ties jump, here from a recall of 1 to the end of the curve at 0.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
# Its metrics need nothing else of what it asks for (plots, data sets, a numpy older than 2).
"$python" -m pip install --quiet --no-compile --disable-pip-version-check --no-deps oodeel==0.4.0
cat > "$folder/run.py" <<'END'
from importlib.metadata import version

import numpy as np
from oodeel.eval.metrics import bench_metrics
from sklearn.metrics import roc_curve

print("oodeel", version("oodeel"))
kinds = {"one score": np.full(1000, 0.5), "ten steps": np.repeat(np.linspace(0, 1, 10), 100)}
seen = {}
for name, scores in kinds.items():
    false, found, _ = roc_curve([0] * 1000 + [1] * 1000, np.tile(scores, 2), drop_intermediate=False)
    true = false[found >= 0.95].min()
    result = bench_metrics((scores, scores), metrics=["auroc", "fpr95tpr"])
    seen[name] = (round(float(result["fpr95tpr"]), 6), round(float(true), 6))
    print(f"{name}: AUROC {result['auroc']:.2f}, fpr95tpr {result['fpr95tpr']:.2f}, by scikit-learn {true:.2f}")
assert seen == {"one score": (0.0, 1.0), "ten steps": (0.9, 1.0)}, "no longer seen"
END
"$python" "$folder/run.py"

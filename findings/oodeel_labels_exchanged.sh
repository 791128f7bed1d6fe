#!/usr/bin/env bash
# oodeel 0.4.0: with 1 for what is known and 0 for strangers, as in much of this field, all samples become strangers.
#
# Expected: bench_metrics(..., in_value=1, out_value=0) says which label means what, and so gives the numbers that the
#   same data give with the labels 0 and 1 of its defaults.
# Seen: AUROC and fpr95tpr are nan (numpy warns of a division 0/0); the labels 2 and 3 are read right.
# Why: the labels are replaced one after the other in one array: 1 by 0 first, then every 0 by 1, also the new ones.
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

print("oodeel", version("oodeel"))
rng = np.random.default_rng(0)
scores, seen = np.concatenate([rng.normal(0, 1, 500), rng.normal(2, 1, 500)]), {}
for known, strange in ((0, 1), (2, 3), (1, 0)):
    labels = np.repeat([known, strange], 500)
    result = bench_metrics(scores, labels, in_value=known, out_value=strange)
    seen[known, strange] = result["auroc"]
    print(f"known {known}, strange {strange}: AUROC {result['auroc']:.3f}, fpr95tpr {result['fpr95tpr']:.3f}")
assert seen[0, 1] == seen[2, 3] > 0.9, "another cause: other labels than 0 and 1 are read wrong"
assert np.isnan(seen[1, 0]), "no longer seen"
END
"$python" -W ignore "$folder/run.py"

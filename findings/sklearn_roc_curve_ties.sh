#!/usr/bin/env bash
# scikit-learn 1.9.1: the false-positive rate at 95 % recall read off roc_curve is 1 where it should be 0.95.
#
# Expected: the first point of roc_curve with a true-positive rate of at least 0.95 is the best threshold that keeps
#   95 % of the positives.
# Seen: 100 positives and 100 negatives with the same scores, 1 to 100: 0.95 with drop_intermediate=False, and 1.00
#   with the default, since only the two corners of the curve are left.
# Why: points on a straight line are dropped ("they do not change the look of the curve"), and one may be the threshold.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6

cat > "$folder/script.py" <<'END'
import numpy as np
import sklearn
from sklearn.metrics import roc_curve

truth = np.repeat([1, 0], 100)
scores = np.tile(np.arange(1, 101), 2)  # a score in whole percent, as a detector prints it
seen = {}
for drop in (True, False):
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=drop)
    seen[drop] = float(fpr[np.argmax(tpr >= 0.95)])
    print(f"scikit-learn {sklearn.__version__}, drop_intermediate={drop}: {len(fpr)} points, FPR at 95 % {seen[drop]:.2f}")
counted = min((scores[100:] >= t).mean() for t in scores[:100] if (scores[:100] >= t).mean() >= 0.95)
print(f"  counted over all thresholds: {counted:.2f}")
assert seen == {True: 1.0, False: 0.95} and counted == 0.95, "no longer seen"
END
"$python" "$folder/script.py"

#!/usr/bin/env bash
# ood-metrics 1.1.2: the detection error weighs the two errors by each other's share.
#
# Expected: a detector that gives one score to all, and so calls all in-distribution, errs on the 10 % that are not:
#   0.1, for the error is "the misclassification probability when TPR is 95%" by its docstring.
# Seen: with 900 of one kind and 100 of the other 0.9, with 500 and 500 0.5; the shares change places.
# Why: the function multiplies the rate of false alarms, which is over the negatives, by the share of the positives, and
#   the rate of misses by that of the negatives.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check ood-metrics==1.1.2
cat > "$folder/run.py" <<'END'
from importlib.metadata import version

from ood_metrics import detection_error

print("ood-metrics", version("ood-metrics"))
seen = {}
for outside in (100, 500):
    labels = [1] * (1000 - outside) + [0] * outside
    seen[outside] = detection_error([0.5] * 1000, labels)
    print(f"one score for all, {outside} of 1000 outside: error {seen[outside]:.2f}, truly {outside / 1000:.2f}")
assert seen == {100: 0.9, 500: 0.5}, "no longer seen"
END
"$python" "$folder/run.py"

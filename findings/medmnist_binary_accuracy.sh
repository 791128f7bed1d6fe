#!/usr/bin/env bash
# medmnist 3.0.2: for its two-class sets a network with two outputs gets 0.25 accuracy where its argmax is all right.
#
# Expected: scores of shape (n, 2) are read as for more classes: the larger one is the answer, and logits do too.
# Seen: four images, the larger logit is the right one each time: accuracy 0.25 and AUC 0.5 as "binary-class"
#   (BreastMNIST, PneumoniaMNIST), accuracy 1 as "multi-class". After a softmax both are 1 in both. And class 1, the one
#   found, is the ill one in PneumoniaMNIST and the healthy one in BreastMNIST.
# Why: of two columns getACC compares the last with 0.5 and getAUC ranks by it; the first is not looked at. A logit
#   is no probability: 0.5 is no threshold for it, and two logits say something by their difference alone.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check numpy pandas scikit-learn
# Its metrics need nothing else; that its data sets cannot be loaded without torch is the first line it prints.
"$python" -m pip install --quiet --no-compile --disable-pip-version-check --no-deps medmnist==3.0.2
export HOME="$folder"
cat > "$folder/run.py" <<'END'
import medmnist
import numpy as np
from medmnist.evaluator import getACC, getAUC

print("medmnist", medmnist.__version__)
labels, logits = np.array([[0], [0], [1], [1]]), np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 3.0], [-2.0, -1.0]])
softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
assert (logits.argmax(axis=1) == labels[:, 0]).all()
seen = {}
for name, scores in {"logits": logits, "softmax": softmax}.items():
    for task in ("binary-class", "multi-class"):
        seen[name, task] = float(getACC(labels, scores, task)), float(getAUC(labels, scores, task))
        print(f"{name}, {task}: accuracy {seen[name, task][0]}, AUC {seen[name, task][1]}")
ones = {flag: medmnist.INFO[flag]["label"]["1"] for flag in ("pneumoniamnist", "breastmnist")}
print(ones, {medmnist.INFO[flag]["task"] for flag in ones})
assert seen["softmax", "binary-class"] == (1, 1), "another cause: probabilities are wrong too"
assert seen["logits", "multi-class"][0] == 1, "another cause: more classes are wrong too"
assert seen["logits", "binary-class"] == (0.25, 0.5), "no longer seen"
assert ones == {"pneumoniamnist": "pneumonia", "breastmnist": "normal, benign"}, "no longer seen"
END
"$python" "$folder/run.py"

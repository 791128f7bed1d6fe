#!/usr/bin/env bash
# torchmetrics 1.9.0: the AUROC of scores outside [0, 1] depends on how they are cut into batches, and saturates.
#
# Expected: AUROC depends on the order of the scores alone; update() batch by batch gives what one call does.
# Seen: eight scores, all strangers in front of all others: 1.0 in one batch, 0.6 in two of four, where one batch has
#   a score below 0 and the other has not. In one batch too 0.75 where the scores are 0, 10, ... 70. scikit-learn: 1.0
#   each time. Energies, distances, logits and cosines are such scores; no word is said.
# Why: each batch with a score outside [0, 1] goes through a sigmoid, the others do not; and in float32 the sigmoid of
#   everything above 17 is 1, a tie. BinaryAveragePrecision, the curves and functional.auroc share that step.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check torchmetrics==1.9.0 scikit-learn==1.9.1
cat > "$folder/run.py" <<'END'
import torch
import torchmetrics
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)


def measured(metric, scores, labels, batch):
    for part in zip(scores.split(batch), labels.split(batch), strict=True):
        metric.update(*part)
    return round(metric.compute().item(), 4)


mixed = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.97, 0.96, 0.95, -0.2]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 0])
large = torch.arange(8) * 10.0, torch.arange(8) // 4
for name, (scores, labels) in {"one score below 0": mixed, "0, 10, ... 70": large}.items():
    seen = [measured(BinaryAUROC(), scores, labels, batch) for batch in (8, 4)]
    precision = [measured(BinaryAveragePrecision(), scores, labels, batch) for batch in (8, 4)]
    shifted = measured(BinaryAUROC(), scores / 100 + 0.01, labels, 4)
    true = roc_auc_score(labels, scores)
    print(f"{name}: AUROC in one batch {seen[0]}, in two {seen[1]}, scikit-learn {true}; precision {precision}")
    if name == "one score below 0":
        assert true == seen[0] == 1, "another cause: one batch is wrong too"
        assert seen[1] == 0.6 and precision[1] < precision[0], "no longer seen"
    else:
        assert true == shifted == 1, "another cause: scores in [0, 1] are wrong too"
        assert seen[0] == 0.75, "no longer seen"
END
"$python" -W ignore "$folder/run.py"

#!/usr/bin/env bash
# accelerate 1.15.0: `gather` keeps the gradient on one process and drops it on two; `gather_for_metrics` cuts the
# second view off the last batch.
#
# Expected: a contrastive loss of gathered embeddings learns on two processes as on one, or raises; and of a batch whose
#   two views were put below each other, the metrics get all rows.
# Seen: requires_grad is True on one process and False on two, so that a term of gathered embeddings alone silently
#   teaches nothing. Ten samples in batches of four: the last batch of two samples and two views, four rows, comes
#   back as two, already on one process; every batch before it is whole.
# Why: gather on one process returns its argument, and otherwise calls torch.distributed.all_gather, which autograd does
#   not follow. gather_for_metrics returns tensor[:remainder], and remainder counts the samples of the loader, not rows.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check \
    torch==2.15.0 accelerate==1.15.0 numpy==2.4.6

export HF_HOME="$folder/hf" OMP_NUM_THREADS=1
cat > "$folder/script.py" <<'END'
import accelerate
import torch
from torch.utils.data import DataLoader

accelerator = accelerate.Accelerator(cpu=True)
gathered = accelerator.gather(torch.ones(2, 3, requires_grad=True))
kept = []
for x in accelerator.prepare(DataLoader(torch.arange(10), batch_size=4)):
    views = torch.cat([x, x + 100])
    kept.append((len(accelerator.gather_for_metrics(x)), len(accelerator.gather_for_metrics(views))))

n = accelerator.num_processes
if accelerator.is_main_process:
    print(f"accelerate {accelerate.__version__}, processes: {n}")
    print(f"  gather: shape {tuple(gathered.shape)}, requires_grad {gathered.requires_grad}")
    print(f"  gather_for_metrics of each batch (rows of one view, rows of two views): {kept}")
assert gathered.requires_grad == (n == 1), "no longer seen"
assert kept == ([(4, 8), (4, 8), (2, 2)] if n == 1 else [(8, 16), (2, 2)]), "no longer seen"
accelerator.end_training()
END
"$python" "$folder/script.py"
"$folder/venv/bin/torchrun" --standalone --nproc-per-node 2 "$folder/script.py"

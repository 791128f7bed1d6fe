#!/usr/bin/env bash
# lightly 1.6.0: the queue of a contrastive loss is in no checkpoint, and loading one says that all keys matched.
#
# Expected: NTXentLoss(memory_bank_size=...) holds MoCo's queue in buffers, so state_dict() of the loss, or of a
#   module around it, has it, as that of MoCo's own code does.
# Seen: the buffers are there (memory_bank.bank, memory_bank.bank_ptr), the state is empty, load_state_dict reports
#   success, and the same batch has another loss after resuming: its negatives are random vectors until the queue is
#   full again.
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
from lightly.loss import NTXentLoss

print("lightly", lightly.__version__, "torch", torch.__version__)
torch.manual_seed(0)
trained, resumed = (NTXentLoss(memory_bank_size=(64, 8)) for _ in range(2))
for _ in range(8):  # twice as many as fill the queue
    trained(torch.randn(16, 8), torch.randn(16, 8))
print("buffers:", ", ".join(name for name, _ in trained.named_buffers()), "- state:", dict(trained.state_dict()))
print(resumed.load_state_dict(trained.state_dict()))
batch = torch.randn(16, 8), torch.randn(16, 8)
before, after = trained(*batch).item(), resumed(*batch).item()
print(f"the same batch: {before:.4f} before, {after:.4f} after resuming")
assert not trained.state_dict() and abs(before - after) > 1e-4, "no longer seen"
END
"$python" -W ignore "$folder/run.py"

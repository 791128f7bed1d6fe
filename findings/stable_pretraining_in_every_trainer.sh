#!/usr/bin/env bash
# stable-pretraining 0.1.8 with lightning 2.6.6: once it is installed, every Lightning Trainer has 14 callbacks more.
#
# Expected: a package changes programs that import it.
# Seen: a program that imports lightning alone, with logger, checkpoints, progress bar and summary turned off, gets
#   callbacks of stable-pretraining: they print progress, write environment.json, export models, log the hardware.
# Why: its metadata names an entry point of the group lightning.pytorch.callbacks_factory, and every Trainer calls all
#   of this group. Installed without what it depends on, it makes Trainer() fail for everybody.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check stable-pretraining==0.1.8 lightning==2.6.6

cat > "$folder/run.py" <<'END'
from importlib.metadata import version

import lightning as L

print(*(f"{name} {version(name)}" for name in ("lightning", "stable-pretraining")), sep=", ")
quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
theirs = [one for one in L.Trainer(accelerator="cpu", **quiet).callbacks if "stable_pretraining" in type(one).__module__]
print(f"{len(theirs)} callbacks of stable-pretraining:", ", ".join(type(one).__name__ for one in theirs))
assert len(theirs) == 14, "no longer seen, or not as many"
END
cd "$folder"
HOME="$folder" "$python" "$folder/run.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

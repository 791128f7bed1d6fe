#!/usr/bin/env bash
# datasets 5.2.0: class_encode_column numbers the classes 0 to 11 anew: 2 becomes 4, and 10 becomes 2.
#
# Expected: a column of whole numbers from 0 to 11 stays as it is once it is a class label; it was one in all but name.
# Seen: [0, 1, 2, ... 11] becomes [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]; with ten classes (digits, CIFAR-10) nothing
#   changes. -1 ("no label") becomes 0 and 0 becomes 1. A model trained before the call is right in 2 of 12 classes.
# Why: every value is made a string, the strings are sorted, and "10" comes before "2". The feature's names tell the way
#   back. cast_column("label", ClassLabel(num_classes=12)) keeps the numbers.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check datasets==5.2.0
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
cat > "$folder/run.py" <<'END'
import datasets

print("datasets", datasets.__version__)
cases, seen = {"ten": range(10), "twelve": range(12), "with -1": range(-1, 3)}, {}
for name, labels in cases.items():
    data = datasets.Dataset.from_dict({"label": list(labels)})
    encoded = data.class_encode_column("label")
    seen[name] = encoded["label"][:]
    print(f"{name}: {list(labels)} becomes {seen[name]}, names {encoded.features['label'].names}")
data = datasets.Dataset.from_dict({"label": list(range(12))})
kept = data.cast_column("label", datasets.ClassLabel(num_classes=12))["label"][:]
assert kept == list(range(12)) and seen["ten"] == list(range(10)), "another cause: ten classes, or a cast, change too"
assert seen["twelve"] == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3] and seen["with -1"] == [0, 1, 2, 3], "no longer seen"
END
"$python" "$folder/run.py"

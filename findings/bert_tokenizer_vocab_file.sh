#!/usr/bin/env bash
# transformers 5.23.0: BertTokenizer(vocab_file=...) ignores the file without a word, and reads every token as unknown.
#
# Expected: as in version 4 the vocabulary is read from the file; or, if the name of the argument changed, a TypeError.
# Seen: with vocab_file=... the tokenizer has five special tokens, and "Q V Q L" is [UNK] four times; with vocab=... the
#   numbers of the file come out. A model fed with these numbers answers all the same, about nothing.
# Why: the argument is called vocab now; others are taken as **kwargs and kept as settings.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3

printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' A C D E F G H I K L M N P Q R S T V W Y > "$folder/vocab.txt"
cat > "$folder/script.py" <<'END'
import sys

import transformers

seen = {}
for name in ("vocab_file", "vocab"):
    tokenizer = transformers.BertTokenizer(**{name: sys.argv[1]}, do_lower_case=False)
    seen[name] = tokenizer("Q V Q L")["input_ids"]
    print(f"transformers {transformers.__version__}, {name}: {len(tokenizer)} tokens, {seen[name]}")
assert seen == {"vocab_file": [2, 1, 1, 1, 1, 3], "vocab": [2, 18, 22, 18, 14, 3]}, "no longer seen"
END
"$python" "$folder/script.py" "$folder/vocab.txt" 2> /dev/null

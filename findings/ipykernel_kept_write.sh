#!/usr/bin/env bash
# ipykernel 7.4.0: a kept `sys.stderr.write` writes past contextlib.redirect_stderr *and* past os.dup2 on descriptor 2.
#
# Expected: redirect_stderr alone misses a kept stream (plain Python), but a redirected descriptor 2 catches all that is
#   left, as in a plain program; the two together silence a piece of code.
# Seen: true in a plain program; in a notebook the kept write goes to the cell's stderr nevertheless.
# Why: a notebook's sys.stderr is an OutStream, which sends messages to the front end; descriptor 2 is another road,
#   which a thread reads and joins to it.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check \
    ipykernel==7.4.0 ipython==9.18.1 nbclient==0.11.0 nbformat==5.11.1

export IPYTHONDIR="$folder/ipython" JUPYTER_DATA_DIR="$folder/jupyter"
cat > "$folder/code.py" <<'END'
import contextlib, io, os, sys, tempfile

write, heard = sys.stderr.write, io.StringIO()
with tempfile.TemporaryFile() as file:
    before = os.dup(2)
    os.dup2(file.fileno(), 2)
    with contextlib.redirect_stderr(heard):
        print("a print", file=sys.stderr)
        write("a kept write\n")
        os.write(2, b"a descriptor\n")
    sys.stderr.flush()
    os.dup2(before, 2)
    file.seek(0)
    print("caught:", sorted((heard.getvalue() + file.read().decode()).splitlines()))
END
cat > "$folder/run.py" <<'END'
import sys
from importlib.metadata import version
from pathlib import Path

import nbclient
from nbformat.v4 import new_code_cell, new_notebook

print(f"ipykernel {version('ipykernel')}")
notebook = new_notebook(cells=[new_code_cell(Path(sys.argv[1]).read_text())])
nbclient.NotebookClient(notebook, kernel_name="python3").execute()
for output in notebook.cells[0].outputs:
    print(f"in a notebook, {output.name}: {output.text!r}")
texts = {output.name: output.text for output in notebook.cells[0].outputs}
assert texts["stderr"] == "a kept write\n" and "a kept write" not in texts["stdout"], "no longer seen"
END
plain=$("$python" "$folder/code.py" 2>&1)
echo "in a plain program: $plain"
[ "$plain" = "caught: ['a descriptor', 'a kept write', 'a print']" ] || { echo "another reason"; exit 1; }
"$python" "$folder/run.py" "$folder/code.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

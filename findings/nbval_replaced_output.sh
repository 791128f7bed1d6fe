#!/usr/bin/env bash
# nbval 0.11.0: a cell that replaces its output differs from itself, and a wrong last output passes.
#
# Expected: what is compared is what stands in the notebook in the end, after clear_output and the display's update.
# Seen: a counter that clears its output and a display that is updated fail against the notebook just made of them. With
#   the first value of the display stored for the last, a wrong notebook, the same cell passes.
# Why: messages of the kinds clear_output and update_display_data are printed as "unhandled" and let go, where nbclient,
#   nbconvert and a browser obey them; so the first display is compared, and all text that was ever cleared.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check \
    nbval==0.11.0 nbclient==0.11.0 nbformat==5.11.1 ipykernel==7.4.0 ipython==9.18.1 pytest==9.2.0
export IPYTHONDIR="$folder/ipython" JUPYTER_DATA_DIR="$folder/jupyter" PATH="$folder/venv/bin:$PATH"
cat > "$folder/run.py" <<'END'
import copy
import os
import subprocess
import sys
from importlib.metadata import version

import nbclient
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

os.chdir(sys.argv[1])
print("nbval", version("nbval"), "nbclient", version("nbclient"))
CODES = {
    "plain": "print('step', 2)",
    "cleared": "from IPython.display import clear_output\nfor i in range(3):\n    clear_output()\n    print('step', i)",
    "updated": "shown = display('first', display_id=True)\nshown.update('last')",
}
books = {}
for name, code in CODES.items():
    book = books[name] = new_notebook(cells=[new_code_cell(code)])
    nbclient.NotebookClient(book, kernel_name="python3").execute()
books["stale"] = copy.deepcopy(books["updated"])
books["stale"].cells[0].outputs[0].data["text/plain"] = "'first'"
passed = {}
for name, book in books.items():
    nbformat.write(book, f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", f"{name}.ipynb"]
    run = subprocess.run(command, capture_output=True, text=True)
    passed[name] = run.returncode == 0
    stored = [output.get("text", "").strip() or output["data"]["text/plain"] for output in book.cells[0].outputs]
    print(f"{name}: stored {stored}, {'passes' if passed[name] else 'fails'}")
    assert run.returncode in (0, 1), run.stdout
    assert passed[name] or "unhandled iopub msg" in run.stdout, "another cause: " + run.stdout
assert passed == {"plain": True, "cleared": False, "updated": False, "stale": True}, "no longer seen"
END
"$python" "$folder/run.py" "$folder" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

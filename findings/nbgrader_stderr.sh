#!/usr/bin/env bash
# nbgrader 0.9.6: a test cell that passes earns nothing as soon as anything stands on its stderr.
#
# Expected: a cell that raises no error earns its points; a warning or a progress bar is beside the point.
# Seen: 2 of 2 points for the silent cell, 0 of 2 for the same cell with a warning or with tqdm's bar.
# Why: utils.determine_grade takes an output on stderr for an error. The preprocessor IgnorePattern, given a pattern and
#   put in the list by the instructor, removes such outputs before the grade is found.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check \
    nbgrader==0.9.6 ipykernel==7.4.0 ipython==9.18.1 nbclient==0.11.0 nbformat==5.11.1 tqdm==4.70.1

export IPYTHONDIR="$folder/ipython" JUPYTER_DATA_DIR="$folder/jupyter"
cat > "$folder/run.py" <<'END'
from importlib.metadata import version

import nbclient
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.utils import determine_grade

CODES = {
    "silent": "assert 1 + 1 == 2",
    "warning": "import warnings\nwarnings.warn('this may be slow')\nassert 1 + 1 == 2",
    "progress bar": "from tqdm import tqdm\nassert sum(tqdm(range(3))) == 3",
    "wrong": "assert 1 + 1 == 3",
}
print(f"nbgrader {version('nbgrader')}")
grade = {"grade": True, "points": 2, "solution": False, "locked": True, "schema_version": 3, "cell_type": "code"}
points = {}
for name, code in CODES.items():
    cell = new_code_cell(code, metadata={"nbgrader": {**grade, "grade_id": "test"}})
    nbclient.NotebookClient(new_notebook(cells=[cell]), kernel_name="python3", allow_errors=True).execute()
    points[name] = determine_grade(cell)[0]
    print(f"{name}: {[output.get('name', output.output_type) for output in cell.outputs]}, {points[name]} of 2 points")
assert points == {"silent": 2, "warning": 0, "progress bar": 0, "wrong": 0}, "no longer seen"
END
"$python" "$folder/run.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

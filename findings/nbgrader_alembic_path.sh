#!/usr/bin/env bash
# nbgrader 0.9.6: a gradebook can be made only where the command `alembic` is on the path.
#
# Expected: `ENVIRONMENT/bin/python -m nbgrader ...` works without activating the environment, as `python -m pip` does.
# Seen: the first command that opens a gradebook ends with FileNotFoundError: 'alembic'; with ENVIRONMENT/bin on the
#   path, the same command is through.
# Why: api.Gradebook starts alembic, which is installed with nbgrader, by its bare name as a process of its own.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check nbgrader==0.9.6 nbclient==0.11.0 nbformat==5.11.1

export JUPYTER_CONFIG_DIR="$folder/config" JUPYTER_DATA_DIR="$folder/jupyter" IPYTHONDIR="$folder/ipython"
mkdir -p "$folder/course/source/week1"
cd "$folder/course"
"$python" - > source/week1/week1.ipynb <<'END'
import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

print(nbformat.writes(new_notebook(cells=[new_markdown_cell("Nothing to do this week.")])))
END
echo "course = get_config().CourseDirectory; course.course_id = 'course'" > nbgrader_config.py
"$python" -c "from importlib.metadata import version; print('nbgrader', version('nbgrader'))"

if "$python" -m nbgrader generate_assignment week1 > "$folder/log" 2>&1; then
    echo "no longer seen: it works without alembic on the path"
    exit 1
fi
grep -q "FileNotFoundError.*alembic" "$folder/log" || { cat "$folder/log"; exit 1; }
echo "not on the path: $(grep "FileNotFoundError" "$folder/log" | tail -n 1)"
PATH="$folder/venv/bin:$PATH" "$python" -m nbgrader generate_assignment week1 --force > "$folder/log" 2>&1 \
    || { cat "$folder/log"; exit 1; }
echo "on the path: $(ls release/week1)"

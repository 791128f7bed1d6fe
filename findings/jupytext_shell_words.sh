#!/usr/bin/env bash
# jupytext 1.19.6: a comment in a script that starts with "copy" or "cat" becomes code, and `cat += 1` a comment.
#
# Expected: comments stay comments and Python stays Python; only %magics and !commands are commented out in a script.
# Seen: "# copy the weights" read from a script stands in the notebook as "copy the weights", a syntax error, while
#   "# Copy the weights" and "# take a copy" stay. A cell that doubles a variable prints 2, and 1 in its script if the
#   variable is called cat, ls, cp or mv, and 2 if it is called dog. A round trip shows neither.
# Why: lines that start with one of 13 shell words (cat cd cp mv rm rmdir mkdir copy ddir echo ls ldir ren) and a space
#   are taken for magics without %, unless "=" or "," follows. With comment_magics=False, on both ways, all is right.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check jupytext==1.19.6 nbformat==5.11.1
cat > "$folder/run.py" <<'END'
import contextlib
import io

import jupytext
from nbformat.v4 import new_code_cell, new_notebook

print("jupytext", jupytext.__version__)
plain, right = "py:percent", {"extension": ".py", "format_name": "percent", "comment_magics": False}
comments = {"# copy the weights": 0, "# echo of a view": 0, "# cat and dog": 0, "# Copy them": 1, "# take a copy": 1}
for comment, stays in comments.items():
    first, second = (jupytext.reads(f"# %%\n{comment}\nx = 1\n", fmt=fmt).cells[0].source for fmt in (plain, right))
    print(f"script {comment!r}, notebook {first.splitlines()[0]!r}")
    assert second.startswith(comment), "another cause: the comment is lost without magics too"
    assert first.startswith(comment) == bool(stays), "no longer seen"


def printed(code):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, {})
    return out.getvalue().strip()


for name in ("dog", "cat", "ls", "cp", "mv"):
    cell = f"{name} = 1\n{name} += 1\nprint({name})"
    notebook = new_notebook(cells=[new_code_cell(cell)])
    script, told = (jupytext.writes(notebook, fmt=fmt) for fmt in (plain, right))
    seen = printed(cell), printed(script), printed(told)
    print(f"{name} doubled: notebook {seen[0]}, script {seen[1]}, with comment_magics=False {seen[2]}")
    assert jupytext.reads(script, fmt=plain).cells[0].source == cell, "another cause: the cell is lost"
    assert seen == ("2", "2" if name == "dog" else "1", "2"), "no longer seen"
END
"$python" "$folder/run.py"

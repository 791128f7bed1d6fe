#!/usr/bin/env bash
# nbformat 5.11.1: most of the time of its import goes into a grammar that no notebook needs.
#
# Expected: a library that reads a JSON format is imported in a fraction of a second.
# Seen: with what the package jupyter brings, `import nbformat` costs several times what it costs without
#   rfc3987-syntax, and every program of Jupyter that reads a notebook pays it.
# Why: nbformat imports jsonschema; jsonschema imports every checker of formats that it finds, asked for or not;
#   rfc3987_syntax, which jupyter-events brings by the extra jsonschema[format-nongpl], compiles the grammar of
#   international addresses with lark when it is imported.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check \
    nbformat==5.11.1 jupyter-events==0.12.1 jsonschema==4.26.0 rfc3987-syntax==1.1.0 lark==1.3.1

cat > "$folder/run.py" <<'END'
import resource
import statistics
import subprocess
import sys
from importlib.metadata import version


def seconds(code):
    """Of the processor, for a fresh program; the smallest of three."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)


print(*(f"{name} {version(name)}" for name in ("nbformat", "jsonschema", "rfc3987-syntax", "lark")), sep=", ")
bare = seconds("pass")
with_it = seconds("import nbformat") - bare
without = seconds("import sys; sys.modules['rfc3987_syntax'] = None; import nbformat") - bare
print(f"import nbformat: {with_it:.2f} s, without rfc3987_syntax {without:.2f} s, {with_it / without:.1f} times as long")
assert with_it > 2 * without, "no longer seen"
END
"$python" "$folder/run.py"

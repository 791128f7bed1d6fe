#!/usr/bin/env bash
# ipykernel 7.4.0: a notebook that is run inside a test of pytest has no output of native code and child processes.
#
# Expected: a notebook gives the same outputs from a test as from the command line, so that a test which finds nothing
#   on stderr has shown something.
# Seen: what is written to descriptor 2 (native libraries, subprocesses) is in the notebook's outputs when it runs
#   alone, and absent when the kernel is started inside a test.
# Why: OutStream watches the descriptors unless PYTEST_CURRENT_TEST is in the environment, meant for tests inside the
#   kernel's process; the variable is inherited by kernels that a test starts. Without it the kernel is as always.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check \
    ipykernel==7.4.0 ipython==9.18.1 nbclient==0.11.0 nbformat==5.11.1 pytest==9.2.0

export IPYTHONDIR="$folder/ipython" JUPYTER_DATA_DIR="$folder/jupyter"
cat > "$folder/test_notebook.py" <<'END'
import nbclient
from nbformat.v4 import new_code_cell, new_notebook


def outputs() -> dict[str, str]:
    code = "import subprocess, time\nsubprocess.run('echo from a child >&2', shell=True)\ntime.sleep(2)\nprint('done')"
    notebook = new_notebook(cells=[new_code_cell(code)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    return {output.name: output.text for output in notebook.cells[0].outputs}


def test_inside_pytest():
    assert outputs() == {"stdout": "done\n"}, "no longer seen"


def test_without_the_variable(monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert outputs() == {"stderr": "from a child\n", "stdout": "done\n"}


if __name__ == "__main__":
    from importlib.metadata import version

    print(f"ipykernel {version('ipykernel')}, alone: {outputs()}")
    assert outputs() == {"stderr": "from a child\n", "stdout": "done\n"}
END
cd "$folder"
"$python" test_notebook.py 2> log || { cat log; exit 1; }
"$python" -m pytest -v -p no:cacheprovider test_notebook.py

"""A script run as a plain program, in a process that is forked with the heavy libraries in memory.

What `python -W error::DeprecationWarning:__main__ script` does, without its imports of ten seconds: one server imports
them for all scripts, and nothing of this library.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

HEAVY = ["torch", "torch._dynamo", "scipy.stats", "sklearn.linear_model", "sklearn.manifold", "matplotlib.pyplot"]


def server():
    """The context of multiprocessing that forks, or None where a system cannot."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    return context


def start(
    context, program: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path
) -> Callable[[float], int | None]:
    """Start a script and its arguments in `folder`: forked by a `server`, or anew where that is None.

    Returns what waits for its end, so many seconds at most, and gives its exit code; it does not run on after that.
    """
    if context is None:
        command = [sys.executable, "-W", "error::DeprecationWarning:__main__", *program]
        with open(out, "w") as printed, open(err, "w") as told:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=told)
    else:
        process = context.Process(target=run, args=(program, folder, environment, out, err))
        process.start()

    def code(seconds: float) -> int | None:
        try:
            if context is None:
                return process.wait(seconds)
            process.join(seconds)
            return process.exitcode
        finally:
            process.kill()

    return code


def run(program: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    """In the forked process: become the program (a script and its arguments), with what it prints in two files."""
    for descriptor, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    assert "sslcourse" not in sys.modules
    sys.path[:] = [str(folder), *(entry for entry in sys.path if "tests" not in Path(entry).parts)]
    sys.argv[:] = program
    warnings.filterwarnings("error", category=DeprecationWarning, module="__main__")
    runpy.run_path(program[0], run_name="__main__")

"""`sslcourse run week04 --scale full --processes N`: one week's solved program on several GPUs, or processes of a CPU.

What is started is the week's source script, which is a plain program, under torchrun: N processes, each of which takes
its slice of every batch (sslcourse/train/processes.py). The first one alone prints, plots, checks and reports; what it
says also goes to runs/WEEK_processes/printed.txt, and its figures beside it. docs/scale.md has torchrun and SLURM by
hand.
"""

import contextlib
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import torch

from sslcourse import scale as scales
from sslcourse.cli import Refusal, source
from sslcourse.cli.kernel import minutes
from sslcourse.cli.run import alone
from sslcourse.train.processes import backend


def run(root: Path, weeks: list[str], scale: str, count: int) -> int:
    """Start `count` processes on one week's script and wait for them. Returns torchrun's status."""
    path, limit = _script(root, weeks), minutes(scale)
    _must_fit(scale, count)
    folder = root / "runs" / f"{path.stem}_processes"
    offline = {"SSLCOURSE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"} if scale in ("dry", "tiny") else {}
    environment = {
        **os.environ,
        "SSLCOURSE_SCALE": scale,
        "SSLCOURSE_STRICT": os.environ.get("SSLCOURSE_STRICT", "1"),
        "SSLCOURSE_FIGURES": str(folder),
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count))),
        **offline,
    }
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*launch, "-m", "sslcourse.cli.processes", str(path), str(folder / "printed.txt")]
    with alone(root):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        status = _wait(command, path.parent, environment, limit)
    if status is None:
        print(f"{path.stem}: the program has had its {limit:g} minutes; set SSLCOURSE_MINUTES to give it more.")
        status = 1
    print(f"{path.stem}, {count} processes: {'done' if status == 0 else f'FAILED, status {status}'}; see {folder}.")
    return int(status != 0)


def _wait(command: list[str], folder: Path, environment: dict[str, str], limit: float) -> int | None:
    """The status of a command, None where it took more than `limit` minutes.

    In a session of its own, so that an interrupt is told once, here, and not by every process with a traceback; what
    ends the waiting ends all of them.
    """
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True) as launched:
        try:
            return launched.wait(60 * limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError, AttributeError):  # AttributeError: on Windows
                os.killpg(launched.pid, signal.SIGKILL)
            launched.kill()


def _script(root: Path, weeks: list[str]) -> Path:
    if len(weeks) != 1:
        raise Refusal("--processes runs one week at a time: name it, such as sslcourse run week04 --processes 2.")
    scripts = sorted((root / "notebooks" / "source").glob("*.py"))
    found = [path for path in scripts if weeks[0] in (path.stem, source.week_of(path.stem))]
    if not found:
        raise Refusal(f"There is no source script of {weeks[0]} in notebooks/source; a hand-out for students has none.")
    return found[0]


def _must_fit(scale: str, count: int) -> None:
    """As many GPUs as processes, where they are used at all, and a backend that they have: asked before N processes
    say it N times, each with a traceback."""
    if count < 1:
        raise Refusal(f"--processes {count} starts nothing; give a whole number from 1 on.")
    wanted = os.environ.get("SSLCOURSE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if scale in ("small", "full") and wanted.startswith("cuda") and count > torch.cuda.device_count():
        raise Refusal(
            f"--processes {count} needs {count} GPUs, and torch finds {torch.cuda.device_count()}; start as many "
            "processes as there are, or take the CPU: SSLCOURSE_DEVICE=cpu."
        )
    try:
        device = scales.device(scale)
        if count > 1:
            backend(device)
    except ValueError as error:
        raise Refusal(str(error)) from None


class _Both:
    """What is printed, on the terminal and in a file."""

    def __init__(self, *streams) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


def main(script: str, printed: str) -> None:
    """One of the processes."""
    sys.argv = [script]
    sys.path[0] = str(Path(script).parent)
    first = os.environ.get("RANK", "0") == "0"
    with open(printed if first else os.devnull, "w", encoding="utf-8", buffering=1) as file:
        with contextlib.redirect_stdout(_Both(sys.stdout, file) if first else file):
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit:  # exit() would end the program well, with what stands below it never run
                raise SystemExit(f"{Path(script).stem}: exit() or quit() ends the program before its end.") from None
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

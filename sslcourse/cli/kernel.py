"""Execute a notebook in a kernel of its own, on the interpreter that runs now, and measure it.

References: https://nbclient.readthedocs.io and https://jupyter-client.readthedocs.io
"""

import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ipykernel.kernelspec
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, v4

from sslcourse.cli import Refusal

# Minutes that a notebook may take, many times what the slowest one does: what hangs should not hang for ever.
MINUTES = {"dry": 10, "tiny": 20, "small": 120, "full": 24 * 60}

_SILENT = logging.getLogger("sslcourse.kernel")
_SILENT.setLevel(logging.CRITICAL + 1)

# Asked of the kernel itself before it goes: only the system knows the peak that lies between two looks from outside.
_PEAK = """
import sys
if sys.platform == "win32":
    import psutil
    print(psutil.Process().memory_info().peak_wset)
elif sys.platform == "linux":  # getrusage would count the parent's memory at the fork too
    print(int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024)
else:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class ThisInterpreter(AsyncKernelManager):
    """The kernel of the running interpreter, whatever kernels are installed or are called python3 elsewhere."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **ipykernel.kernelspec.get_kernel_dict())


class NotebookFailed(Exception):
    """A notebook stopped. The message is its cell's id and the error; .traceback is the short traceback."""

    def __init__(self, message: str, traceback: str = ""):
        super().__init__(message)
        self.traceback = traceback


@dataclass(frozen=True)
class Usage:
    """What a run took: seconds of wall clock, kernel start included; the kernel's peak memory in MB (2**20 bytes)."""

    seconds: float
    peak_memory_mb: float


def minutes(scale: str) -> float:
    """How long a notebook may take: SSLCOURSE_MINUTES, else what its scale allows. Raises Refusal for no number."""
    text = os.environ.get("SSLCOURSE_MINUTES", "").strip()
    if not text:
        return MINUTES[scale]
    if not re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) or not 0 < float(text) < 1e5:
        raise Refusal(f"SSLCOURSE_MINUTES is {text!r}; it should be the minutes that a notebook may take, such as 30.")
    return float(text)


def execute(
    notebook: NotebookNode,
    folder: Path,
    environment: dict[str, str | None],
    on_cell: Callable[[NotebookNode], None] = lambda cell: None,
    minutes: float = MINUTES["tiny"],
) -> Usage:
    """Run every code cell in place, working in `folder`; `environment` changes that of this process, None removes.

    on_cell is called with each cell before it runs. minutes: how long all cells together may take. Raises
    NotebookFailed at the first error, when a cell ends the kernel or the kernel dies, and when the time is over; the
    cells that ran keep their outputs.
    """
    # An inherited backend such as Agg would leave a notebook without pictures; without one the kernel chooses inline.
    merged = {**os.environ, "MPLBACKEND": None, **environment}
    merged = {name: value for name, value in merged.items() if value is not None}
    replies = []
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisInterpreter,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=CRITICAL"],  # its own troubles when it is ended are not for the reader of a bar
        on_cell_executed=lambda cell, cell_index, execute_reply: replies.append(execute_reply),
        log=_SILENT,  # what it logs is said once more by the errors below
    )
    started = time.perf_counter()
    place = "before the first cell"
    try:
        with client.setup_kernel(cwd=str(folder), env=merged):
            deadline = time.perf_counter() + 60 * minutes
            for index, cell in enumerate(list(notebook.cells)):
                on_cell(cell)
                place = f"cell {cell.id}"
                _give_time(client, deadline)
                client.execute_cell(cell, index, execution_count=None)
                if replies and _asks_to_exit(replies.pop()):
                    raise NotebookFailed(f"{place}: exit() or quit() ends the kernel, and the cells below never run.")
            return Usage(time.perf_counter() - started, _peak_memory(client, notebook))
    except CellExecutionError as error:
        lines = _plain(error.traceback).strip().splitlines()
        raise NotebookFailed(f"{place}: {error.ename}: {_plain(error.evalue)}", "\n".join(lines[-20:])) from None
    except (CellTimeoutError, TimeoutError):
        raise NotebookFailed(
            f"{place}: the notebook has had its {minutes:g} minutes; set SSLCOURSE_MINUTES to give it more."
        ) from None
    except (DeadKernelError, RuntimeError) as error:  # RuntimeError: it never came up
        raise NotebookFailed(f"{place}: the kernel died, perhaps for want of memory ({error}).") from None


def _give_time(client: NotebookClient, deadline: float) -> None:
    """What is left of the notebook's time, to the next cell. Raises TimeoutError where nothing is."""
    left = deadline - time.perf_counter()
    if left <= 0:
        raise TimeoutError
    client.timeout = max(1, round(left))  # whole seconds; 0 would mean for ever


def _asks_to_exit(reply: dict | None) -> bool:
    """exit() and quit() answer "ok" and ask the front end, in a payload, to end the kernel."""
    content = (reply or {}).get("content", {})
    return any(payload.get("source") == "ask_exit" for payload in content.get("payload", ()))


def _peak_memory(client: NotebookClient, notebook: NotebookNode) -> float:
    """In MB, by one more cell that is taken away again."""
    notebook.cells.append(v4.new_code_cell(_PEAK))
    try:
        cell = client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1, store_history=False)
        return int(cell.outputs[0].text) / 2**20
    finally:
        notebook.cells.pop()


def _plain(text: str) -> str:
    """Without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)

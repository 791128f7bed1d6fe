"""Execute a notebook in a kernel of its own, on the interpreter that runs now, and measure it.

References: https://nbclient.readthedocs.io and https://jupyter-client.readthedocs.io
"""

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
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode, v4

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


def execute(
    notebook: NotebookNode,
    folder: Path,
    environment: dict[str, str | None],
    on_cell: Callable[[NotebookNode], None] = lambda cell: None,
) -> Usage:
    """Run every code cell in place, working in `folder`; `environment` changes that of this process, None removes.

    on_cell is called with each cell before it runs. Raises NotebookFailed at the first error, or when the kernel dies;
    the cells that ran keep their outputs.
    """
    # An inherited backend such as Agg would leave a notebook without pictures; without one the kernel chooses inline.
    merged = {**os.environ, "MPLBACKEND": None, **environment}
    merged = {name: value for name, value in merged.items() if value is not None}
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisInterpreter,
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # its advice on transports is not for the reader of a progress bar
    )
    started = time.perf_counter()
    try:
        with client.setup_kernel(cwd=str(folder), env=merged):
            for index, cell in enumerate(list(notebook.cells)):
                on_cell(cell)
                client.execute_cell(cell, index, execution_count=None)
            return Usage(time.perf_counter() - started, _peak_memory(client, notebook))
    except CellExecutionError as error:
        lines = _plain(error.traceback).strip().splitlines()
        raise NotebookFailed(f"cell {cell.id}: {error.ename}: {_plain(error.evalue)}", "\n".join(lines[-20:])) from None
    except DeadKernelError as error:
        raise NotebookFailed(f"cell {cell.id}: the kernel died, perhaps for want of memory ({error}).") from None


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

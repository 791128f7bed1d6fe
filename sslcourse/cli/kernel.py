"""Execute a notebook in a kernel of its own, on the interpreter that runs now, and measure it.

Several may run side by side, one in a thread; whoever watches over them holds a `Watch` of each.

References: https://nbclient.readthedocs.io and https://jupyter-client.readthedocs.io
"""

import contextlib
import logging
import os
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import ipykernel.kernelspec
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, v4

from sslcourse.cli import Refusal
from sslcourse.cli.forked import Forked, Nursery

# Minutes that a notebook may take, many times what the slowest one does: what hangs should not hang for ever.
# The sweeps of a notebook are dozens of such runs.
MINUTES = {"dry": 10, "tiny": 20, "small": 120, "full": 24 * 60}
SWEEPS = 12

# One thread a notebook: small networks gain little from a second one, a notebook beside it more from the core; and sums
# in another order are other numbers, so what is recorded, tested and run has the same number of threads.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")} | {"VECLIB_MAXIMUM_THREADS": "1"}

# Memory that one step of a training frees is there for the next: by itself glibc hands large arrays back to the system
# and asks for them anew, page by page. At most 256 MB are kept; other systems read none of it. 32 MB is the largest
# threshold that glibc takes.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}

ROOM = "close other programs, or run fewer notebooks at once (--jobs 1)."

PARTING = 60  # seconds for an answer that takes milliseconds

_SILENT = logging.getLogger("sslcourse.kernel")
_SILENT.setLevel(logging.CRITICAL + 1)

# Asked of the kernel itself before it goes: only the system knows the peak that lies between two looks from outside.
# And whether it goes because a cell said so, by do_shutdown or by a message, which may take a moment to arrive.
_LAST = """
import sys, time
for _ in range(10):
    if get_ipython().exit_now:
        break
    time.sleep(0.02)
print(int(get_ipython().exit_now))
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

    nursery: Nursery | None = None  # that forks it; else it is started anew

    def __init__(self, **settings):
        super().__init__(**settings)
        if self.nursery is not None:
            self.kernel_id = str(uuid.uuid4())
            self.provisioner = Forked(parent=self, kernel_id=self.kernel_id, kernel_spec=self.kernel_spec)
            self.provisioner.nursery = self.nursery

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **ipykernel.kernelspec.get_kernel_dict())


class Watch:
    """A notebook that runs, seen from another thread."""

    def __init__(self):
        self.pid: int | None = None  # of the kernel, once it is there
        self.why = ""  # it was ended
        self.interrupted = False

    def memory(self) -> int:
        """Bytes that the kernel holds now."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.pid).memory_info().rss if self.pid else 0
        return 0

    def end(self, why: str) -> None:
        """Kill the kernel and what it has started; its notebook then fails with this sentence, or is given up where
        there is none."""
        self.why, self.interrupted = why, not why
        with contextlib.suppress(psutil.Error):
            if self.pid:
                kernel = psutil.Process(self.pid)
                for process in (*kernel.children(recursive=True), kernel):
                    with contextlib.suppress(psutil.Error):
                        process.kill()


class NotebookFailed(Exception):
    """A notebook stopped. The message is its cell's id and the error; .traceback is the short traceback."""

    def __init__(self, message: str, traceback: str = ""):
        super().__init__(message)
        self.traceback = traceback


@dataclass(frozen=True)
class Usage:
    """What a run took: seconds of wall clock, kernel start included; the kernel's peak memory in MB (2**20 bytes).

    cells: seconds by the id of each code cell.
    """

    seconds: float
    peak_memory_mb: float
    cells: dict[str, float] = field(default_factory=dict)


def minutes(scale: str, sweeps: bool = False) -> float:
    """How long a notebook may take: SSLCOURSE_MINUTES, else what its scale allows, `SWEEPS` times that with its sweeps.

    Raises Refusal for no number.
    """
    text = os.environ.get("SSLCOURSE_MINUTES", "").strip()
    if not text:
        return MINUTES[scale] * (SWEEPS if sweeps else 1)
    if not re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) or not 0 < float(text) < 1e5:
        raise Refusal(f"SSLCOURSE_MINUTES is {text!r}; it should be the minutes that a notebook may take, such as 30.")
    return float(text)


def merged(environment: dict[str, str | None]) -> dict[str, str]:
    """The environment of a kernel: that of this process with changes, of which None takes something away."""
    # An inherited backend such as Agg would leave a notebook without pictures; without one the kernel chooses inline.
    changed = {**os.environ, "MPLBACKEND": None, **environment}
    return {name: value for name, value in changed.items() if value is not None}


def execute(
    notebook: NotebookNode,
    folder: Path,
    environment: dict[str, str | None],
    on_cell: Callable[[NotebookNode], None] = lambda cell: None,
    minutes: float = MINUTES["tiny"],
    watch: Watch | None = None,
    nursery: Nursery | None = None,
) -> Usage:
    """Run every code cell in place, working in `folder`; `environment` changes that of this process, None removes.

    on_cell is called with each cell before it runs. minutes: how long all cells together may take. watch: a handle for
    another thread. nursery: forks the kernel. Raises NotebookFailed at the first error, when a cell ends the kernel or
    the kernel dies or is ended, and when the time is over; the cells that ran keep their outputs.
    """
    watch = watch or Watch()
    if nursery is not None:
        nursery.wait()  # for its own start, which is not this notebook's time
    replies, seconds = [], {}
    client = NotebookClient(
        notebook,
        kernel_manager_class=type("Manager", (ThisInterpreter,), {"nursery": nursery}),
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
        with client.setup_kernel(cwd=str(folder), env=merged(environment)):
            deadline = time.perf_counter() + 60 * minutes
            watch.pid = client.km.provisioner.pid
            for index, cell in enumerate(list(notebook.cells)):
                on_cell(cell)
                place = f"cell {cell.id}"
                _give_time(client, deadline)
                began = time.perf_counter()
                if watch.why or watch.interrupted:
                    raise DeadKernelError("ended before it came up")
                client.execute_cell(cell, index, execution_count=None)
                if cell.cell_type == "code":
                    seconds[cell.id] = time.perf_counter() - began
                if replies and _asks_to_exit(replies.pop()):
                    raise NotebookFailed(f"{place}: exit() or quit() ends the kernel, and the cells below never run.")
            peak = _last_words(client, notebook, place)
            return Usage(time.perf_counter() - started, peak, seconds)
    except CellExecutionError as error:
        trace = "\n".join(_plain(error.traceback).strip().splitlines()[-20:])
        if error.ename == "MemoryError" or "can't allocate memory" in error.evalue:
            raise NotebookFailed(f"{place}: there was not enough memory for it; {ROOM}", trace) from None
        raise NotebookFailed(f"{place}: {error.ename}: {_plain(error.evalue)}", trace) from None
    except (CellTimeoutError, TimeoutError):
        raise NotebookFailed(
            f"{place}: the notebook has had its {minutes:g} minutes; set SSLCOURSE_MINUTES to give it more."
        ) from None
    except (DeadKernelError, RuntimeError) as error:  # RuntimeError: it never came up
        if watch.interrupted:
            raise KeyboardInterrupt from None
        if watch.why:
            raise NotebookFailed(f"{place}: {watch.why}") from None
        raise NotebookFailed(f"{place}: the kernel died, out of memory or shut down by a cell ({error}).") from None


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


def _last_words(client: NotebookClient, notebook: NotebookNode, place: str) -> float:
    """The peak of memory in MB, by one more cell that is taken away. Raises NotebookFailed where a cell has shut the
    kernel down, and where none answers: ipykernel 7.4.0 now and then stops halfway while it shuts down."""
    notebook.cells.append(v4.new_code_cell(_LAST))
    client.timeout = PARTING
    try:
        cell = client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1, store_history=False)
        shut, peak = map(int, cell.outputs[0].text.split())
    except CellTimeoutError:
        raise NotebookFailed(f"{place} or one before it: the kernel is held up, or was shut down by a cell.") from None
    finally:
        notebook.cells.pop()
    if shut:
        raise NotebookFailed(f"{place} or one before it shuts the kernel down; take that out of the notebook.")
    return peak / 2**20


def _plain(text: str) -> str:
    """Without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)

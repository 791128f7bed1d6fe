"""Kernels that a nursery forks (nursery.py), for jupyter_client: the nursery's other end and what a kernel of it is.

Reference: https://jupyter-client.readthedocs.io/en/latest/provisioning.html
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import LocalProvisioner

NURSERY = Path(__file__).with_name("nursery.py")
INLINE = "module://matplotlib_inline.backend_inline"  # what a kernel chooses by itself
# Neither this folder, whose modules have names of others', nor the working directory is searched for modules; a kernel
# adds its own. With -P, which would do the same, it does not.
_PROGRAM = """import sys
if sys.path[:1] == [""]:
    del sys.path[0]
with open(sys.argv[1]) as file:
    program = compile(file.read(), sys.argv[1], "exec")
exec(program)
"""
HERE = sys.platform == "linux"  # where forking with these libraries is safe


class Nursery:
    """The process that forks kernels, as a context; kernels that still run at its end are ended.

    environment: what libraries read when they are imported, such as the number of threads, the same for all kernels.
    """

    def __init__(self, environment: dict[str, str]):
        replies, answering = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(NURSERY), str(answering)],
                stdin=subprocess.PIPE,
                pass_fds=[answering],
                env=environment | {"MPLBACKEND": INLINE},  # which matplotlib reads when it is imported
                start_new_session=True,  # Ctrl-C is for the process that asks
            )
        finally:
            os.close(answering)
        self._codes: dict[int, int] = {}
        self._pids: queue.Queue[int | None] = queue.Queue()
        self._asking = threading.Lock()
        self._ready = threading.Event()
        self._gone = False
        self._listener = threading.Thread(target=self._listen, args=[replies], daemon=True)
        self._listener.start()

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._listener.join()

    def wait(self) -> None:
        """Until it can fork, or is no more."""
        self._ready.wait()

    def fork(self, arguments: list[str], cwd: str, env: dict[str, str]) -> "Child | None":
        """A kernel's process; None where the nursery is no more."""
        self.wait()
        request = json.dumps({"arguments": arguments, "cwd": cwd, "env": env})
        with self._asking:
            try:
                self._process.stdin.write(f"{request}\n".encode())
                self._process.stdin.flush()
            except (OSError, ValueError):
                return None
            pid = None if self._gone else self._pids.get()
        return None if pid is None else Child(self, pid)

    def code(self, pid: int) -> int | None:
        """With what a kernel has ended; None while it runs."""
        return self._codes.get(pid, -signal.SIGKILL if self._gone else None)

    def _listen(self, replies: int) -> None:
        with os.fdopen(replies, "rb") as lines:
            for line in lines:
                reply = json.loads(line)
                if "code" in reply:
                    self._codes[reply["pid"]] = reply["code"]
                elif "pid" in reply:
                    self._pids.put(reply["pid"])
                else:
                    self._ready.set()
        self._gone = True
        self._pids.put(None)
        self._ready.set()


class Child:
    """A forked kernel, with what jupyter_client asks of a subprocess.Popen."""

    stdin = stdout = stderr = None

    def __init__(self, nursery: Nursery, pid: int):
        self._nursery, self.pid = nursery, pid

    def poll(self) -> int | None:
        return self._nursery.code(self.pid)

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.05)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forked(LocalProvisioner):
    """Takes a kernel from a nursery, or starts one as usual where the nursery is no more."""

    nursery: Nursery

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict:
        after = cmd.index("ipykernel_launcher") + 1
        child = self.nursery.fork(cmd[after:], str(kwargs["cwd"]), kwargs["env"])
        if child is None:
            return await super().launch_kernel(cmd, **kwargs)
        self.process, self.pid, self.pgid, self.cwd = child, child.pid, child.pid, kwargs["cwd"]
        return self.connection_info

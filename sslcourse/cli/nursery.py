"""A process that has the heavy libraries in memory and forks kernels, whose notebooks then import them for nothing.

forked.py runs this file alone, without the library, which a kernel imports for itself. Each line on stdin asks for a
kernel: {"arguments": [...], "cwd": ..., "env": {...}}. On the file descriptor REPLIES come
{"ready": true}, {"pid": ...} for each request in its turn, and {"pid": ..., "code": ...} when a kernel has ended, as
subprocess counts codes. At the end of stdin, which comes also where the asking process was killed, all are ended.

Forking is safe as long as no library has started a thread, so nothing is computed here; other systems than Linux have
libraries that cannot be forked, and start each kernel anew.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import select
import signal
import sys

# What most notebooks import sooner or later: optimizers bring _dynamo at their first step, metrics scikit-learn.
HEAVY = (
    *("ipykernel.kernelapp", "IPython.core.completer", "torch", "torch._dynamo", "numpy", "scipy.optimize"),
    *("matplotlib.pyplot", "sklearn.linear_model", "sklearn.manifold"),
)


def main(replies: int) -> None:
    for name in HEAVY:
        with contextlib.suppress(Exception):  # a machine that lacks one of them; the notebook will say so
            importlib.import_module(name)
    request = _serve(replies)
    if request is None:
        os._exit(0)  # nothing is left to do, and taking these libraries down takes a second
    _become_kernel(request)


def _serve(replies: int) -> dict | None:
    """Answer requests until stdin ends. Returns None, or in a forked child the request that it is made for."""

    def reply(**message) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(replies, (json.dumps(message) + "\n").encode())

    reply(ready=True)
    children: set[int] = set()
    waiting, stdin = b"", sys.stdin.fileno()
    while True:
        if select.select([stdin], [], [], 0.1 if children else None)[0]:
            piece = os.read(stdin, 2**16)
            if not piece:
                break
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                child = os.fork()
                if not child:
                    os.close(replies)
                    return json.loads(line)
                children.add(child)
                reply(pid=child)
        for child in list(children):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                children.remove(child)
                reply(pid=pid, code=os.waitstatus_to_exitcode(status))
    for child in children:
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
    return None


def _become_kernel(request: dict) -> None:
    """What `python -m ipykernel_launcher` does, in a session of its own."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    # It ends with this process, which ends with the one that asked.
    launcher = importlib.util.find_spec("ipykernel_launcher").origin
    sys.argv[:] = [launcher, *request["arguments"], f"--IPKernelApp.parent_handle={os.getppid()}"]
    importlib.import_module("ipykernel.kernelapp").launch_new_instance()


if __name__ == "__main__":
    main(int(sys.argv[2]))

"""A process that has everything loaded and forks child after child: torch costs seconds once, a fork milliseconds.

It takes requests over a socket: to fork, with the socket of the child in hand, or to end a child, and says how the
child ended. It never reads what a child says.
"""

import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from sslcourse.cli.grade.values import Channel, Gone


class Nursery:
    """The side that asks."""

    def __init__(self, serve: Callable[[socket.socket, str, list[str]], None], hidden: list[Path], close: list = ()):
        """Fork the process that forks. serve(link, scratch, hidden) runs in every child; close: not for children."""
        self.link, other = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for one in (*close, self.link):
                    one.close()
                _loop(other, serve, [str(path) for path in hidden])
            finally:
                os._exit(0)
        other.close()

    def born(self, scratch: str) -> tuple[Channel, int]:
        """A channel to a new child, and its number."""
        ours, theirs = socket.socketpair()
        socket.send_fds(self.link, [json.dumps({"scratch": scratch}).encode()], [theirs.fileno()])
        theirs.close()
        return Channel(ours), self._answer()["pid"]

    def end(self, pid: int) -> int:
        """End a child. What os.waitstatus_to_exitcode says of it: minus the signal that ended it; 0 for a good end."""
        self.link.sendall(json.dumps({"end": pid}).encode())
        return self._answer()["status"]

    def close(self) -> None:
        self.link.close()
        os.waitpid(self.pid, 0)

    def _answer(self) -> dict:
        data = self.link.recv(4096)
        if not data:
            raise Gone(late=False)
        return json.loads(data)


def _loop(link: socket.socket, serve: Callable, hidden: list[str]) -> None:
    children: set[int] = set()
    while True:
        data, descriptors, _, _ = socket.recv_fds(link, 4096, 1)
        if not data:
            break
        asked = json.loads(data)
        if "end" in asked:
            pid = asked["end"]
            children.discard(pid)
            link.sendall(json.dumps({"status": _ended(pid)}).encode())
            continue
        pid = os.fork()
        if pid == 0:
            link.close()
            os.setsid()
            serve(socket.socket(fileno=descriptors[0]), asked["scratch"], hidden)
            os._exit(0)
        os.close(descriptors[0])
        children.add(pid)
        link.sendall(json.dumps({"pid": pid}).encode())
    for pid in children:
        _ended(pid)


def _ended(pid: int) -> int:
    """Wait for a child that has ended by itself, else end it with all that it started."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if not done:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        status = 0 if status == signal.SIGKILL else status
    try:
        os.killpg(pid, signal.SIGKILL)  # what it started and left behind, where no wall forbids that
    except (ProcessLookupError, PermissionError):
        pass
    return os.waitstatus_to_exitcode(status)


def scratch_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="sslcourse-grade-", ignore_cleanup_errors=True)


def available() -> bool:
    return hasattr(os, "fork") and sys.platform != "win32"

"""Every road to stderr, closed while a check runs: nbgrader gives 0 points to a cell with anything on stderr.

A program has many: `sys.stderr`; streams that somebody kept, such as those of logging's handlers, made in an earlier
cell or by a library; file descriptor 2, which native code and child processes write to; in a notebook the stream of
ipykernel, which also reads descriptor 2 from a thread. What takes one of them while `closed` is entered is collected,
and all of them are as before afterwards, whatever happened in between.
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator

_FIRST = sys.stderr  # as it was when the checks were imported: what a notebook puts in its place often keeps it
_END = "\0"  # sent through ipykernel's pipe to know that all before it has arrived


class _Ear(io.TextIOBase):
    """Stands for stderr while a check runs; for code that keeps it, afterwards, it is whatever stderr is by then."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self):
        self.heard: list[str] | None = None
        self._passing = False  # on what it hears to a stderr that may itself pass it back

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self.heard is not None:
            self.heard.append(text)
        elif sys.stderr is not None and sys.stderr is not self and not self._passing:
            self._passing = True
            try:
                sys.stderr.write(text)
            finally:
                self._passing = False
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def close(self) -> None:
        """Nothing: whoever closes stderr would close it for all that comes."""


_ear = _Ear()


@contextlib.contextmanager
def closed() -> Iterator[list[str]]:
    """Collect in the list that is given, piece by piece, all that is written to stderr inside."""
    outer, _ear.heard = _ear.heard, []
    try:
        heard = _ear.heard
        with contextlib.ExitStack() as stack:
            streams = _streams()
            for stream in streams:
                _flush(stream)  # what waits in it was written before
            stack.callback(_replace, sys.stderr, sys.__stderr__)
            _replace(_ear, _ear)
            for stream in streams:
                stack.enter_context(_diverted(stream))
            stack.enter_context(_descriptor(heard, streams))
            yield heard
    finally:
        _ear.heard = outer


def _replace(stderr: object, original: object) -> None:
    sys.stderr, sys.__stderr__ = stderr, original


def _streams() -> list:
    """Streams that lead to stderr and that somebody may have kept."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    kept = [stream for stream in (getattr(handler, "stream", None) for handler in handlers) if _is_stderr(stream)]
    found = {id(stream): stream for stream in (sys.stderr, sys.__stderr__, _FIRST, *kept)}
    return [stream for stream in found.values() if hasattr(stream, "write") and stream is not _ear]


def _is_stderr(stream: object) -> bool:
    return getattr(stream, "name", None) in ("stderr", "<stderr>", 2)


@contextlib.contextmanager
def _diverted(stream) -> Iterator[None]:
    """What is written to a kept stream goes to the ear.

    ipykernel's goes out under another name besides, for those who kept its bound method `write`.
    """
    before = getattr(stream, "__dict__", {}).get("write")
    try:
        stream.write = _ear.write
    except AttributeError:  # an object of fixed attributes
        yield
        return
    notebook = _is_notebooks(stream)
    if notebook:
        names = stream.name, stream.topic
        stream.name, stream.topic = "stdout", stream.topic.replace(b"stderr", b"stdout")
    try:
        yield
    finally:
        _flush(stream)
        if notebook:
            stream.name, stream.topic = names
        vars(stream).pop("write", None)
        if before is not None:
            stream.write = before


def _is_notebooks(stream: object) -> bool:
    """Whether this is the stderr of ipykernel, which sends what it holds as a message of its name."""
    return getattr(stream, "name", None) == "stderr" and isinstance(getattr(stream, "topic", None), bytes)


@contextlib.contextmanager
def _descriptor(heard: list[str], streams: list) -> Iterator[None]:
    """File descriptor 2 leads to a file, which is read at the end."""
    try:
        saved = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    with contextlib.closing(os.fdopen(saved, "wb", buffering=0)), tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            for stream in streams:
                _flush(stream)  # what was written past its method `write` still lies in its buffer
            os.dup2(saved, 2)
            file.seek(0)
            heard.append(file.read().decode(errors="replace"))
            if any(getattr(stream, "watch_fd_thread", None) is not None for stream in streams):
                _await_pipe(heard)


def _flush(stream) -> None:
    with contextlib.suppress(Exception):  # closed, or an object that can only write
        stream.flush()


def _await_pipe(heard: list[str]) -> None:
    """Wait until ipykernel's thread has read what came through a copy of descriptor 2, made before the check."""
    os.write(2, _END.encode())
    deadline = time.monotonic() + 0.5
    while not any(_END in text for text in list(heard)) and time.monotonic() < deadline:
        time.sleep(0.0005)
    heard[:] = [text.replace(_END, "") for text in heard]

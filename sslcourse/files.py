"""The one way in which the course writes a file: whole or not at all, whoever else writes or is killed meanwhile.

Each writer fills a file of its own beside the wanted one and renames it at the end, which on one disk is atomic. A
reader finds the old content or the new one. What a killed writer left is removed by the next one to write that file.
"""

import hashlib
import os
import platform
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED = 24 * 3600  # seconds after which a temporary file whose writer cannot be asked for is nobody's
_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_writing: set[str] = set()  # names of the temporary files that this process has open


def write(path: Path, content: bytes | memoryview) -> None:
    """Replace the file by this content. Raises OSError where that fails; the old file is then as it was."""
    with whole(path) as part:
        with open(part, "xb") as file:
            file.write(content)


@contextmanager
def whole(path: Path, keep: bool = True) -> Iterator[Path]:
    """A path to write to inside the block; what was written takes the place of `path` when the block ends well.

    Otherwise it is removed; so it is with keep=False, which tries whether writing works. Folders are made; a symbolic
    link is followed. Raises IrregularFile where `path` is no file, and passes on what the operating system says.
    """
    must_be_regular(path)
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_orphans(path)
    part = path.with_name(f"{path.name}.{os.getpid()}-{_MACHINE}-{uuid.uuid4().hex[:8]}.part")
    _writing.add(part.name)
    try:
        yield part
        if keep:
            settle(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        _writing.discard(part.name)


def settle(part: Path, path: Path) -> None:
    """Put a finished file in its place, after the disk has it. Raises IrregularFile where there is no file's place."""
    must_be_regular(path)
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def remove_orphans(path: Path) -> None:
    """Remove what killed writers of `path` left behind: their process is gone, or they have not written for a day."""
    with suppress(OSError):
        for part in path.parent.iterdir():
            name = part.name.removeprefix(path.name)
            found = re.fullmatch(r"\.(\d+)(?:-([0-9a-f]{8})-[0-9a-f]{8})?\.part", name) if name != part.name else None
            if found and part.name not in _writing and _is_orphan(part, int(found[1]), found[2] or _MACHINE):
                with suppress(OSError):
                    part.unlink()


def _is_orphan(part: Path, process: int, machine: str) -> bool:
    try:
        if time.time() - part.stat().st_mtime > ABANDONED:
            return True
    except OSError:
        return False  # gone meanwhile
    return machine == _MACHINE and not _runs(process)


def _runs(process: int) -> bool:
    if process == os.getpid():
        return False  # what this process has open was looked up before: the number is used for the second time
    if os.name == "nt":
        return True  # there, signal 0 would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


class IrregularFile(OSError):
    """A folder, a pipe or a device stands where a file should be."""


def must_be_regular(path: Path) -> None:
    """Raises IrregularFile for what is there and no plain file: a pipe would block for ever, a folder never open."""
    if kind := irregular(path):
        raise IrregularFile(f"{path} is {kind}, but it should be a file; move it away or name another file.")


def irregular(path: Path) -> str:
    """What stands in the place of a file, "a folder"; "" for a file and for nothing."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISREG(mode):
        return ""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    return next((words for is_kind, words in kinds if is_kind(mode)), "a device")

"""Fetching data sets: verified, locked, and never half a file under the real name.

Everything happens beside the data under names of its own: a download grows in a hidden file and is verified there,
archives are unpacked in a temporary folder, and only whole files are moved to their places, which on one file system is
atomic. Whatever interrupts it, the next call finds files that are either right or absent, and goes on with a download
where its server can.
"""

import errno
import hashlib
import shutil
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sslcourse import files
from sslcourse.data.download import Failed, download

TIMEOUT = 30  # seconds without a byte before a server is given up
_PREFIX, _PARTS = ".fetching-", ".download-"
_KEPT = 14 * 24 * 3600  # seconds that the beginning of a download waits to be gone on with
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Download:
    """One thing to fetch: where it is to be had (tried in turn), its MD5 sum, and the files that it becomes.

    files: paths relative to the folder of the data set; one file is taken as it comes, an archive (tar) is unpacked.
    md5 may be its first digits, where its publishers give no more.
    """

    urls: tuple[str, ...]
    md5: str
    files: tuple[str, ...]
    archive: bool = False

    def done(self, folder: Path) -> bool:
        return all((folder / file).exists() for file in self.files)

    def matches(self, path: Path) -> bool:
        """Whether a file, as it was downloaded, has this MD5 sum. Raises IrregularFile for a folder or a pipe."""
        files.must_be_regular(path)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest().startswith(self.md5)


def fetch(name: str, folder: Path, downloads: Sequence[Download]) -> None:
    """Fetch into `folder` what is not there yet. Of several processes one fetches, the others wait.

    Raises ConnectionError where no address works (its text says what each answered), PermissionError where the folder
    cannot be written, OSError where the disk is full or a folder stands where a file should be.
    """
    with explained(name, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            _tidy(folder)
            for wanted in downloads:
                if not wanted.done(folder):  # asked under the lock: another process may have been quicker
                    _fetch_one(name, folder, wanted)


def _tidy(folder: Path) -> None:
    """We hold the lock, so a temporary folder still here was left by a process that was killed; so was an old part."""
    for leftover in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for part in folder.glob(f"{_PARTS}*"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _KEPT:
                part.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        print(f"Waiting for another process that is fetching into {folder} ...", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_one(name: str, folder: Path, wanted: Download) -> None:
    print(f"Fetching {wanted.files[0] if len(wanted.files) == 1 else name} into {folder} ...", flush=True)
    got = _from_any(wanted, folder / f"{_PARTS}{wanted.md5}")
    if wanted.archive:
        with TemporaryDirectory(prefix=_PREFIX, dir=folder, ignore_cleanup_errors=True) as temporary:
            _unpack(got, Path(temporary), (folder / wanted.files[0]).parent)
    else:
        (folder / wanted.files[0]).parent.mkdir(parents=True, exist_ok=True)
        files.settle(got, folder / wanted.files[0])


def _unpack(got: Path, unpacked: Path, target: Path) -> None:
    """The plain files of an archive, by their base names: nothing in it can point outside. The archive is removed."""
    try:
        with tarfile.open(got) as archive:
            for member in archive:
                if member.isfile():
                    with archive.extractfile(member) as source, open(unpacked / Path(member.name).name, "wb") as file:
                        shutil.copyfileobj(source, file, 2**20)

        # Files that are there already stay: they may be in use, and a corrupted one is for its owner to delete.
        target.mkdir(exist_ok=True)
        for file in sorted(unpacked.iterdir()):
            if not (target / file.name).exists():
                files.settle(file, target / file.name)
    finally:
        got.unlink(missing_ok=True)


def _from_any(wanted: Download, part: Path) -> Path:
    """The verified file from the first address that works."""
    reasons = []
    for url in wanted.urls:
        try:
            download(url, part, wanted.matches, TIMEOUT)
            return part
        except Failed as failure:
            reasons.append(str(failure))
    kept = f"; {part.stat().st_size / 2**20:.0f} MB of it are kept, to go on from" if part.exists() else ""
    raise ConnectionError("; ".join(reasons) + kept)


@contextmanager
def explained(name: str, folder: Path) -> Iterator[None]:
    """Turn what the operating system says about writing into one sentence; other errors pass."""
    try:
        yield
    except (ConnectionError, files.IrregularFile):
        raise
    except OSError as error:
        if error.errno in _FULL:
            sentence = f"The disk is full: {name} needs more space in {folder}; nothing incomplete was left there."
        elif isinstance(error, PermissionError | NotADirectoryError | FileExistsError) or error.errno == errno.EROFS:
            sentence = f"The folder {folder} cannot be written, so {name} cannot be fetched there."
        else:
            raise
        advice = "Set SSLCOURSE_DATA to a folder with room that you may write."
        raise type(error)(error.errno, f"{sentence} {advice}") from error

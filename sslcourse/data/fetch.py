"""Fetching data sets: verified, locked, and never half a file under the real name.

Everything happens in a temporary folder beside the data: pooch downloads and verifies there, archives are unpacked
there, and only whole files are moved to their places, which on one file system is atomic. Whatever interrupts it, the
next call finds files that are either right or absent.
"""

import errno
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

TIMEOUT = 30  # seconds without a byte before a server is given up
_PREFIX = ".fetching-"
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
        """Whether a file, as it was downloaded, has this MD5 sum."""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest().startswith(self.md5)


def fetch(name: str, folder: Path, downloads: Sequence[Download]) -> None:
    """Fetch into `folder` what is not there yet. Of several processes one fetches, the others wait.

    Raises ConnectionError where no address works (its text says what each answered), PermissionError where the folder
    cannot be written, OSError where the disk is full.
    """
    with explained(name, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            # We hold the lock, so a temporary folder still here was left by a process that was killed.
            for leftover in folder.glob(f"{_PREFIX}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            for download in downloads:
                if not download.done(folder):  # asked under the lock: another process may have been quicker
                    with TemporaryDirectory(prefix=_PREFIX, dir=folder, ignore_cleanup_errors=True) as temporary:
                        _fetch_one(name, folder, download, Path(temporary))


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


def _fetch_one(name: str, folder: Path, download: Download, temporary: Path) -> None:
    print(f"Fetching {download.files[0] if len(download.files) == 1 else name} into {folder} ...", flush=True)
    got = _from_any(download, temporary)
    if not download.archive:
        os.replace(got, folder / download.files[0])
        return

    # Only plain files, by their base name: nothing in an archive can point outside the folder.
    unpacked = temporary / "unpacked"
    unpacked.mkdir()
    with tarfile.open(got) as archive:
        for member in archive:
            if member.isfile():
                with archive.extractfile(member) as source, open(unpacked / Path(member.name).name, "wb") as target:
                    shutil.copyfileobj(source, target, 2**20)

    # Files that are there already stay: they may be in use, and a corrupted one is for its owner to delete.
    target = (folder / download.files[0]).parent
    target.mkdir(exist_ok=True)
    for file in sorted(unpacked.iterdir()):
        if not (target / file.name).exists():
            os.replace(file, target / file.name)


def _from_any(download: Download, temporary: Path) -> Path:
    """The verified file from the first address that works."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # it announces each temporary name
    reasons = []
    for url in download.urls:
        get = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
        try:
            whole = f"md5:{download.md5}" if len(download.md5) == 32 else None
            got = Path(pooch.retrieve(url, whole, fname="download", path=temporary, downloader=get))
            if whole or download.matches(got):
                return got
            got.unlink()
            raise ValueError("another MD5 sum")
        except requests.HTTPError as error:
            reasons.append(f"{url} answered {error.response.status_code} {error.response.reason}")
        except requests.Timeout:
            reasons.append(f"{url} sent nothing for {TIMEOUT} seconds")
        except requests.RequestException:
            reasons.append(f"{url} could not be reached or broke off")
        except ValueError:  # pooch's word for another hash
            reasons.append(f"{url} sent something with another MD5 sum")
    raise ConnectionError("; ".join(reasons))


@contextmanager
def explained(name: str, folder: Path) -> Iterator[None]:
    """Turn what the operating system says about writing into one sentence; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            sentence = f"The disk is full: {name} needs more space in {folder}; nothing incomplete was left there."
        elif isinstance(error, PermissionError | NotADirectoryError | FileExistsError) or error.errno == errno.EROFS:
            sentence = f"The folder {folder} cannot be written, so {name} cannot be fetched there."
        else:
            raise
        advice = "Set SSLCOURSE_DATA to a folder with room that you may write."
        raise type(error)(error.errno, f"{sentence} {advice}") from error

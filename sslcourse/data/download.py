"""One file over HTTP: tried again, gone on with where it broke off, and whole or refused.

What has come so far lies in a file beside the target, with a note of where it is from. A server that can send the rest
(Range) is asked for it, on the condition that the file is still the same one (If-Range); every other answer is a new
beginning. The MD5 sum at the end has the last word.

Reference: RFC 9110, "HTTP semantics", sections 13.1.5 (If-Range), 14.2 (Range) and 15.3.7 (206 Partial Content).
"""

import errno
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm.std import tqdm

from sslcourse import files

TRIES = 3  # in a row that bring nothing new
PAUSE = 1.0  # seconds before the second try; twice as many before each further one
_LONGEST_PAUSE = 60
_BLOCK = 2**18
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may change


class Failed(ConnectionError):
    """No whole file came from this address; the text says what came instead."""


def download(url: str, part: Path, matches: Callable[[Path], bool], timeout: float) -> None:
    """Fill the file `part` from `url`, going on with what it holds. matches: whether a whole file is the right one;
    timeout: seconds without a byte before a server is given up.

    Raises Failed after TRIES tries that brought nothing new; what came stays where the server can send the rest, and is
    removed where it cannot. Raises OSError where the file cannot be written, and removes it.
    """
    import requests

    note = Note(part, url)
    furthest, fruitless, pause, anew = note.size(), 0, PAUSE, False
    while True:
        try:
            _one_try(url, part, note, timeout)
            if matches(part):
                note.file.unlink(missing_ok=True)
                return
            note.forget()
            if note.resumed and not anew:  # perhaps the pieces do not belong together: once more, from the beginning
                note.resumed, anew = False, True
                continue
            raise Failed(f"{url} sent something with another MD5 sum")
        except requests.HTTPError as error:
            answer = error.response
            reason = Failed(f"{url} answered {answer.status_code} {answer.reason}")
            if answer.status_code not in _PASSING:
                raise reason from None
            wanted = answer.headers.get("Retry-After", "")
            pause = max(pause, min(int(wanted) if re.fullmatch(r"\d{1,6}", wanted) else 0, _LONGEST_PAUSE))
        except requests.Timeout:
            reason = Failed(f"{url} sent nothing for {timeout:g} seconds")
        except requests.RequestException:
            reason = Failed(f"{url} could not be reached or broke off")
        except Failed:
            raise
        except OSError:  # of writing: the disk is full
            note.forget()
            raise

        if note.size() > furthest:
            fruitless, furthest, pause = 0, note.size(), PAUSE
        else:
            fruitless += 1
        if fruitless >= TRIES:
            if not note.resumable:
                note.forget()
            raise reason
        time.sleep(pause)
        pause *= 2


class Note:
    """What is known of a part: the address it is from and what that calls this version of the file."""

    def __init__(self, part: Path, url: str) -> None:
        self.part, self.file = part, part.with_name(f"{part.name}.json")
        self.url, self.version = url, ""
        self.resumable = True  # until the server has shown otherwise
        self.resumed = False  # the part is of more than one answer
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
            if known["url"] == url and part.is_file():
                self.version, self.resumed = str(known["version"]), True
            else:
                self.forget()
        except (OSError, ValueError, TypeError, KeyError):
            self.forget()

    def size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def write(self, version: str) -> None:
        self.version = version
        files.write(self.file, json.dumps({"url": self.url, "version": version}).encode())

    def forget(self) -> None:
        self.version = ""
        for path in (self.part, self.file):
            path.unlink(missing_ok=True)


def _one_try(url: str, part: Path, note: Note, timeout: float) -> None:
    """One request, written to the part as it comes. Raises what requests raises, also for an answer that is cut off."""
    import requests

    have = note.size()
    # Compressed on the way, bytes would count otherwise than in the file.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if note.version:
            headers["If-Range"] = note.version
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        if answer.status_code == 416 and have:  # there is no more: it is whole, or of another file
            note.resumable, note.resumed = False, True
            return
        answer.raise_for_status()
        sent = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
        goes_on = answer.status_code == 206 and have > 0 and sent is not None and int(sent[1]) == have
        if answer.status_code == 206 and not goes_on:
            note.forget()
            raise requests.ConnectionError("another piece than was asked for")
        note.resumable = goes_on or not have
        note.resumed = goes_on
        length = answer.headers.get("Content-Length", "")
        coming = int(length) if length.isdecimal() and "Content-Encoding" not in answer.headers else None
        if coming and coming > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, "No space left on device")
        if not goes_on:
            have = 0
            version = answer.headers.get("ETag", "")
            note.write(version if version and not version.startswith("W/") else answer.headers.get("Last-Modified", ""))
        shown = url.split("?")[0].rsplit("/", 1)[-1][:30]
        whole = None if coming is None else have + coming
        with (
            open(part, "ab" if goes_on else "wb") as file,
            tqdm(total=whole, initial=have, unit="B", unit_scale=True, mininterval=1, desc=shown) as bar,
        ):
            for block in _blocks(answer):
                file.write(block)
                bar.update(len(block))
        if whole is not None and note.size() != whole:
            raise requests.ConnectionError("cut off")


def _blocks(answer) -> Iterator[bytes]:
    """The content as it comes. iter_content of requests waits for whole blocks and loses what came of a cut one."""
    import requests
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    if "Content-Encoding" in answer.headers:
        yield from answer.iter_content(_BLOCK)
        return
    try:
        while block := answer.raw.read1(_BLOCK):
            yield block
    except ReadTimeoutError as error:
        raise requests.Timeout(str(error)) from error
    except HTTPError as error:
        raise requests.ConnectionError(str(error)) from error

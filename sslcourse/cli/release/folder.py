"""A hand-out on disk: brought up to date without touching what somebody else wrote.

The manifest beside the files knows what each of them was when it was handed out. A file that still is that is replaced;
one that somebody changed stays, and the new version lies beside it. What the manifest does not name is not ours.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sslcourse import files
from sslcourse.cli import Refusal

NAME = ".handout.json"
_FORMAT = "sslcourse handout 1"


@dataclass(frozen=True)
class Manifest:
    """weeks and solutions that were handed out, the stamp, and {path: hash as it was handed out}."""

    weeks: list[str] = field(default_factory=list)
    solutions: list[str] = field(default_factory=list)
    repository: str = ""
    wheel: str = ""
    files: dict[str, str] = field(default_factory=dict)


def must_fit(to: Path, root: Path) -> Manifest:
    """The manifest of what is there, an empty one for a new folder. Raises Refusal for a folder of something else."""
    here, course = to.resolve(), root.resolve()
    if (
        here == course
        or here in course.parents
        or any(here.is_relative_to(course / d) for d in ("sslcourse", "notebooks"))
    ):
        raise Refusal(f"{to} is part of the course itself; name a folder beside it.")
    if not to.exists():
        return Manifest()
    if not to.is_dir():
        raise Refusal(f"{to} is a file; name a folder, or a file that ends in .zip.")
    if (to / NAME).is_file():
        return _read(to / NAME)
    there = sorted(path.name for path in to.iterdir())
    if (to / "sslcourse").exists() or (to / "notebooks").exists():
        raise Refusal(f"{to} holds a course that was not handed out by this command; name a new folder.")
    if there and ".git" not in there:
        raise Refusal(f"{to} is not empty ({there[0]}) and no hand-out; name a new folder, or a git repository.")
    return Manifest()


def _read(path: Path) -> Manifest:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        if read.pop("format") != _FORMAT:
            raise ValueError
        manifest = Manifest(**read)
        texts = [*manifest.weeks, *manifest.solutions, manifest.repository, manifest.wheel]
        if not all(isinstance(text, str) for text in [*texts, *manifest.files, *manifest.files.values()]):
            raise ValueError
        return manifest
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise Refusal(f"{path} is damaged; restore it (git checkout), or hand out into a new folder.") from None


def update(to: Path, content: dict[str, bytes], old: Manifest, new: Manifest) -> dict[str, str]:
    """Write {path: bytes} below `to`. Returns {path that somebody changed: where the new version lies, or ""}.

    Raises Refusal, before anything is written, where a link stands in the way, and where writing fails; what was
    written until then is whole, and the next call goes on.
    """
    existed = to.exists()
    targets = {name: to / name for name in content}
    for name in {*content, *filter(_is_inside, old.files)}:
        _no_link(to, name)
    kept, hashes = {}, {}
    try:
        for name, target in targets.items():
            hashes[name] = _hash(content[name])
            now = _hash(target.read_bytes()) if target.is_file() else None
            if now == hashes[name]:
                continue
            if now is None or now == old.files.get(name):
                files.write(target, content[name])
                continue
            kept[name] = ""
            if old.files.get(name) != hashes[name]:
                kept[name] = _beside(target, content[name]).relative_to(to).as_posix()
        for name in sorted(filter(_is_inside, old.files.keys() - content.keys())):
            path = to / name
            if path.is_file() and _hash(path.read_bytes()) == old.files[name]:
                path.unlink()
        written = {"format": _FORMAT, **asdict(new), "files": dict(sorted(hashes.items()))}
        files.write(to / NAME, (json.dumps(written, indent=1) + "\n").encode())
    except OSError as error:
        why = error.strerror or error
        if not existed:
            shutil.rmtree(to, ignore_errors=True)
            raise Refusal(f"{to} cannot be written ({why}); nothing was handed out.") from error
        raise Refusal(
            f"{to} cannot be written ({why}); no file is half written: make room and call this again."
        ) from error
    return kept


def _is_inside(name: str) -> bool:
    """A manifest that came from somewhere must not reach out of its folder."""
    return not os.path.isabs(name) and ".." not in Path(name).parts and name != NAME


def _no_link(to: Path, name: str) -> None:
    """Raises Refusal where a link, or a file in the place of a folder, lies on the way to a file."""
    path = to
    for part in Path(name).parts:
        path = path / part
        if path.is_symlink():
            raise Refusal(f"{path} is a link, and nothing is written through links; remove it, then call this again.")
        if path != to / name and path.exists() and not path.is_dir():
            raise Refusal(f"{path} is a file where a folder should be; move it away, then call this again.")
    if path.is_dir():
        raise Refusal(f"{path} is a folder where a file should be; move it away, then call this again.")


def _beside(target: Path, data: bytes) -> Path:
    """Lay the new version beside a file that somebody changed: name.new.ipynb, name.new2.ipynb, ..."""
    for number in ("", *map(str, range(2, 100))):
        path = target.with_name(f"{target.stem}.new{number}{target.suffix}")
        if not path.exists() and not path.is_symlink():
            files.write(path, data)
            return path
        if path.is_file() and _hash(path.read_bytes()) == _hash(data):
            return path
    raise Refusal(f"There are too many new versions beside {target}; remove those that nobody needs.")


def _hash(data: bytes) -> str:
    """Of the bytes, whichever ends of lines git has made of them on this system."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()

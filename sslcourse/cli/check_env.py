"""`sslcourse check-env`: what an issue needs to know about a machine, safe to paste in public.

Paths are shortened to begin with ~ where they lie in the home folder; no user, host or network name is shown.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import psutil
import torch

import sslcourse
from sslcourse import data
from sslcourse.cli import OLDEST_PYTHON, too_old
from sslcourse.cli.machine import hardware


def check_env() -> int:
    """Print the facts, then a sentence for all that is too old, missing or too small. Returns 1 if there is one."""
    for name, value in facts().items():
        print(f"{name:<16} {value}")
    found = problems(sys.version_info[:2], _installed(), psutil.virtual_memory().total, _free(data.data_root()))
    for problem in found:
        print(problem)
    if not found:
        print("Everything that the course needs is here.")
    return int(bool(found))


def facts() -> dict[str, str]:
    root = data.data_root()
    versions = _installed()
    memory = psutil.virtual_memory()
    settings = sorted((name, shorten(value)) for name, value in os.environ.items() if name.startswith("SSLCOURSE_"))
    return {
        "sslcourse": f"{sslcourse.__version__} in {shorten(Path(sslcourse.__file__).parent)}",
        "python": f"{platform.python_version()} at {shorten(Path(sys.executable))}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "hardware": hardware(gpu=True),
        "torch threads": str(torch.get_num_threads()),
        "memory": f"{memory.total / 2**30:.1f} GB, {memory.available / 2**30:.1f} GB free",
        "data root": f"{shorten(root)}, {_free(root) / 2**30:.1f} GB free, holds {_contents(root)}",
        "settings": ", ".join(f"{name}={value}" for name, value in settings) or "none",
        "packages": ", ".join(f"{name} {version or 'MISSING'}" for name, version in versions.items()),
    }


def problems(python: tuple[int, int], versions: dict[str, str], memory: int, free: int) -> list[str]:
    """One sentence for each thing to mend. memory and free disk in bytes; versions "" for what is not installed."""
    found = []
    if python < OLDEST_PYTHON:
        found.append(too_old(python))
    if not versions:
        found.append("sslcourse is not installed; run: pip install -e . in the folder of the course.")
    oldest_of = requirements()
    for name, version in versions.items():
        oldest = oldest_of[name]
        if not version:
            found.append(f"{name} is missing; run: pip install {name}")
        elif _numbers(version) < _numbers(oldest):
            found.append(f"{name} {version} is too old; run: pip install --upgrade '{name}>={oldest}'")
    if memory < 3 * 2**30:
        found.append(
            f"{memory / 2**30:.1f} GB of memory is little: a notebook at tiny takes up to 2; close other programs."
        )
    if free < 2**30:
        found.append("Less than 1 GB of disk is free where the data go; point SSLCOURSE_DATA to a larger disk.")
    return found


def requirements() -> dict[str, str]:
    """Oldest versions that the installed package asks for, extras left out; {} where it is not installed."""
    try:
        lines = importlib.metadata.requires("sslcourse") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    found = (re.match(r"([\w.-]+)>=([\d.]+)$", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def shorten(path: Path | str) -> str:
    """A path with ~ for the home folder, so that it names nobody."""
    home = str(Path.home())
    return "~" + str(path).removeprefix(home) if str(path).startswith(home) else str(path)


def _installed() -> dict[str, str]:
    versions = {}
    for name in requirements():
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return versions


def _contents(root: Path) -> str:
    """Names of the data sets below the root."""
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return ", ".join(names) or "nothing yet"


def _free(folder: Path) -> int:
    """Bytes free on the disk that a folder lies on or will lie on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 15, 0) for "2.15.0+cpu"."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])

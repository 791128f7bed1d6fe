"""Where data sets live, and what to say when one is not there."""

import os
import tomllib
from pathlib import Path


class DataMissing(FileNotFoundError):
    """A data set is not under the data root and could not be fetched; the sentence says what to do."""


class DataCorrupted(OSError):
    """A file of a data set has another MD5 sum than it should; the sentence names the file."""


def data_root() -> Path:
    """The folder of all data sets: SSLCOURSE_DATA; else `data/` of the checkout around the working directory; else the
    user's cache. It need not exist yet."""
    if given := os.environ.get("SSLCOURSE_DATA"):
        return Path(given).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if _is_checkout(folder):
            return folder / "data"

    import pooch  # only here: machines with SSLCOURSE_DATA or a checkout read their data without it

    return Path(pooch.os_cache("sslcourse"))


def _is_checkout(folder: Path) -> bool:
    """Whether the folder holds this project's pyproject.toml; a broken one of somebody else's project is not ours."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return False
    return project.get("name") == "sslcourse"


def offline() -> bool:
    """Whether SSLCOURSE_OFFLINE forbids to try the network."""
    return os.environ.get("SSLCOURSE_OFFLINE", "") not in ("", "0")

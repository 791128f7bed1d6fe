"""`sslcourse prefetch WEEK --scale SCALE`: fetch all that a notebook needs, ahead of a class without network."""

from sslcourse import data, weeks
from sslcourse.cli import Refusal
from sslcourse.cli.check_env import shorten


def prefetch(names: list[str], scale: str) -> int:
    """Fetch the data sets of some weeks at one scale and name the files."""
    for name in names:
        try:
            paths = data.prefetch(weeks.find(name).id, scale)
        except (ValueError, OSError) as error:  # DataMissing is an OSError and says what to do
            raise Refusal(_sentence(error)) from error
        for path in paths:
            print(shorten(path))
        print(f"{name} has all it needs for scale {scale}." if paths else f"{name} needs no data at scale {scale}.")
    return 0


def _sentence(error: Exception) -> str:
    """What an error says: one of the system names no file in its words, and those of the course are sentences."""
    said, file = getattr(error, "strerror", None), getattr(error, "filename", None)
    return f"{file} cannot be read or written: {said}." if said and file else said or str(error)

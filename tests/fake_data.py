"""Tiny fakes of the real data sets, in their real layouts: what the loaders read and what a server would send."""

import gzip
import hashlib
import io
import pickle
import tarfile

import medmnist
import numpy as np
from torchvision import datasets

from sslcourse.data.images import sources

PER_CLASS = 10  # images of each class in every fake training batch


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tar(folder: str, files: dict[str, bytes]) -> bytes:
    """A .tar.gz as the archives of CIFAR and STL-10 are: one folder, some files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def cifar10(monkeypatch) -> tuple[bytes, dict[str, bytes]]:
    """An archive and its files; torchvision's table then says that these are CIFAR-10."""
    rng = np.random.default_rng(0)

    def batch(n):
        labels = rng.permutation(np.arange(n) % 10).tolist()
        return pickle.dumps({"data": rng.integers(0, 256, (n, 3072), np.uint8), "labels": labels}, protocol=2)

    files = {f"data_batch_{k}": batch(10 * PER_CLASS) for k in range(1, 6)}
    files |= {"test_batch": batch(20), "batches.meta": pickle.dumps({"label_names": [f"kind {k}" for k in range(10)]})}
    table = datasets.CIFAR10
    archive = tar(table.base_folder, files)
    monkeypatch.setattr(table, "tgz_md5", md5(archive))
    monkeypatch.setattr(table, "train_list", [[name, md5(files[name])] for name, _ in table.train_list])
    monkeypatch.setattr(table, "test_list", [[name, md5(files[name])] for name, _ in table.test_list])
    monkeypatch.setattr(table, "meta", table.meta | {"md5": md5(files["batches.meta"])})
    return archive, files


def stl10(monkeypatch) -> tuple[bytes, dict[str, bytes]]:
    rng = np.random.default_rng(1)

    def pixels(n):
        return rng.integers(0, 256, (n, 3, 96, 96), np.uint8).tobytes()

    def labels(n):
        return (np.arange(n) % 10 + 1).astype(np.uint8).tobytes()

    files = {"train_X.bin": pixels(20), "train_y.bin": labels(20), "unlabeled_X.bin": pixels(7)}
    files |= {"test_X.bin": pixels(10), "test_y.bin": labels(10)}
    table = datasets.STL10
    archive = tar(table.base_folder, files)
    monkeypatch.setattr(table, "tgz_md5", md5(archive))
    for which in ("train_list", "test_list"):
        monkeypatch.setattr(table, which, [[name, md5(files[name])] for name, _ in getattr(table, which)])
    return archive, files


def mnist(monkeypatch) -> dict[str, bytes]:
    """The four packed files of MNIST."""
    rng = np.random.default_rng(2)

    def idx(values):
        return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes() + values.tobytes()

    plain = {}
    for stem, n in (("train", 50), ("t10k", 20)):
        plain[f"{stem}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28), np.uint8))
        plain[f"{stem}-labels-idx1-ubyte"] = idx((np.arange(n) % 10).astype(np.uint8))
    packed = {f"{name}.gz": gzip.compress(content) for name, content in plain.items()}
    monkeypatch.setattr(datasets.MNIST, "resources", [(name, md5(content)) for name, content in packed.items()])
    monkeypatch.setitem(sources.IDX_MD5, "mnist", {name: md5(content) for name, content in plain.items()})
    return packed


def medmnist_set(monkeypatch, flag: str, size: int = 28, columns: int = 1) -> bytes:
    """The npz of a MedMNIST flag, with as many images in train, val and test as it has classes times 4, 2 and 3."""
    rng = np.random.default_rng(3)
    row = medmnist.INFO[flag]
    k, shape = len(row["label"]), (size, size, 3) if row["n_channels"] == 3 else (size, size)
    arrays = {}
    for part, times in (("train", 4), ("val", 2), ("test", 3)):
        n = k * times
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, *shape), np.uint8)
        labels = rng.integers(0, 2, (n, columns)) if columns > 1 else (np.arange(n) % k)[:, None]
        arrays[f"{part}_labels"] = labels.astype(np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    suffix = "" if size == 28 else f"_{size}"
    monkeypatch.setitem(medmnist.INFO, flag, row | {f"MD5{suffix}": md5(stream.getvalue())})
    return stream.getvalue()


def write(folder, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)

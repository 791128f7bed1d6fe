"""Loaders: against torchvision's and medmnist's own classes on the same files, then on the real sets where they lie."""

import gzip
import importlib
import warnings

import fake_data
import medmnist
import numpy as np
import pytest
import torch
from torchvision import datasets

from sslcourse import weeks
from sslcourse.data import DataCorrupted, DataMissing, data_root, load_images, prefetch
from sslcourse.data.images.load import find_source

load_module = importlib.import_module("sslcourse.data.images.load")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data root, offline."""
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    return tmp_path / "data"


def prints(images):
    """A fingerprint of every image, in order."""
    return [hash(image.tobytes()) for image in np.ascontiguousarray(images)]


def check_parts(train, val, images, labels):
    """train and val are a partition of the original images, each image with its label, val a balanced tenth."""
    original = dict(zip(prints(images), np.asarray(labels).tolist(), strict=True))
    assert len(original) == len(labels)  # no image twice
    cut = [pair for s in (train, val) for pair in zip(prints(s.images), s.labels.tolist(), strict=True)]
    assert dict(cut) == original and len(cut) == len(original)
    counts = val.labels.bincount(minlength=len(val.class_names))
    assert len(val) == len(labels) // 10 and counts.max() - counts.min() <= 1


# ---- fakes in the real layouts, torchvision and medmnist as the oracles


def test_cifar10_is_what_torchvision_reads(root, monkeypatch):
    _, files = fake_data.cifar10(monkeypatch)
    fake_data.write(root / "cifar10" / "cifar-10-batches-py", files)
    peer = datasets.CIFAR10(root / "cifar10")
    train, val, test = (load_images("cifar10", split) for split in ("train", "val", "test"))
    check_parts(train, val, peer.data.transpose(0, 3, 1, 2), peer.targets)
    peer = datasets.CIFAR10(root / "cifar10", train=False)
    np.testing.assert_array_equal(test.images.permute(0, 2, 3, 1), peer.data)
    assert test.labels.tolist() == peer.targets and test.class_names == tuple(peer.classes)
    assert train.images.is_contiguous() and train.images.dtype == torch.uint8 and train.labels.dtype == torch.int64


def test_stl10_is_what_torchvision_reads(root, monkeypatch):
    _, files = fake_data.stl10(monkeypatch)
    fake_data.write(root / "stl10" / "stl10_binary", files)
    peer = datasets.STL10(root / "stl10", split="train")
    check_parts(load_images("stl10"), load_images("stl10", "val"), peer.data, peer.labels)
    for split, theirs in (("test", "test"), ("unlabelled", "unlabeled")):
        ours, peer = load_images("stl10", split), datasets.STL10(root / "stl10", split=theirs)
        np.testing.assert_array_equal(ours.images, peer.data)
        assert ours.labels.tolist() == list(peer.labels)
    assert load_images("stl10", "unlabelled", n=3).labels.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_what_torchvision_reads(root, monkeypatch, packed):
    files = fake_data.mnist(monkeypatch)
    plain = {name.removesuffix(".gz"): gzip.decompress(content) for name, content in files.items()}
    fake_data.write(root / "mnist", files if packed else plain)
    fake_data.write(root / "peer" / "MNIST" / "raw", plain)
    peer = datasets.MNIST(root / "peer")
    check_parts(load_images("mnist"), load_images("mnist", "val"), peer.data[:, None], peer.targets)
    test, peer = load_images("mnist", "test"), datasets.MNIST(root / "peer", train=False)
    np.testing.assert_array_equal(test.images[:, 0], peer.data)
    assert test.labels.tolist() == peer.targets.tolist() and test.class_names == tuple("0123456789")


@pytest.mark.parametrize(
    ("flag", "size", "columns"),
    [("pathmnist", None, 1), ("pneumoniamnist", 28, 1), ("retinamnist", 64, 1), ("chestmnist", None, 14)],
)
def test_medmnist_is_what_medmnist_reads(root, monkeypatch, flag, size, columns):
    content = fake_data.medmnist_set(monkeypatch, flag, size or 28, columns)
    suffix = "_64" if size == 64 else ""
    fake_data.write(root / "medmnist", {f"{flag}{suffix}.npz": content})
    row = medmnist.INFO[flag]
    for split in ("train", "val", "test"):
        ours = load_images(flag, split, size=size)
        peer = getattr(medmnist, row["python_class"])(split, root=root / "medmnist", size=size)
        pixels = ours.images.permute(0, 2, 3, 1) if row["n_channels"] == 3 else ours.images[:, 0]
        np.testing.assert_array_equal(pixels, peer.imgs)
        np.testing.assert_array_equal(ours.labels.view(len(ours), columns), peer.labels)
        assert ours.images.shape[1:] == (row["n_channels"], size or 28, size or 28)
    assert ours.class_names == tuple(row["label"].values())
    assert len(load_images(flag, n=5, size=size)) == 5


def test_every_2d_medmnist_set_is_offered_and_volumes_are_refused():
    for flag, row in medmnist.INFO.items():
        if "url_128" in row:  # only the 2D sets come so large
            assert set(find_source(flag, 128).files("val")) == {f"{flag}_128.npz"}
        else:
            with pytest.raises(ValueError, match=f"{flag} holds volumes, .* choose one of .*pathmnist"):
                load_images(flag)


@pytest.mark.parametrize("n", [20, 33, 45])
def test_subsets_are_balanced_reproducible_and_shuffled(root, monkeypatch, n):
    _, files = fake_data.cifar10(monkeypatch)
    fake_data.write(root / "cifar10" / "cifar-10-batches-py", files)
    few, again, other = (load_images("cifar10", n=n, seed=seed) for seed in (0, 0, 1))
    counts = few.labels.bincount(minlength=10)
    assert counts.sum() == n and counts.max() - counts.min() <= 1
    assert torch.equal(few.images, again.images) and not torch.equal(few.images, other.images)
    assert few.labels.tolist() != sorted(few.labels.tolist())
    assert set(prints(few.images)) <= set(prints(load_images("cifar10").images))


def test_a_part_is_enough_for_its_splits(root, monkeypatch):
    """Who has only the test images can test; torchvision's class would want all files."""
    _, files = fake_data.cifar10(monkeypatch)
    fake_data.write(root / "cifar10" / "cifar-10-batches-py", {k: files[k] for k in ("test_batch", "batches.meta")})
    assert len(load_images("cifar10", "test")) == 20
    with pytest.raises(DataMissing, match=r"cifar10 \(train\)"):
        load_images("cifar10")


def test_reading_writes_nothing(root, monkeypatch):
    """A data root may be read-only: no lock, no temporary file."""
    fake_data.write(root / "mnist", fake_data.mnist(monkeypatch))
    before = sorted(root.rglob("*"))
    monkeypatch.setattr(load_module, "fetch", lambda *a: pytest.fail("tried to fetch"))
    load_images("mnist", "test")
    assert sorted(root.rglob("*")) == before


# ---- wrong calls


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (dict(name="cifar"), "There is no data set 'cifar'; choose one of scenes, .*cifar10, .*pathmnist"),
        (dict(name="cifar10", split="valid"), "cifar10 has no split 'valid'; choose one of train, test, val"),
        (dict(name="cifar10", split="unlabelled"), "no split 'unlabelled'"),
        (dict(name="scenes", split="dev"), "scenes has no split 'dev'; choose one of train, val, test"),
        (dict(name="cifar10", size=64), "cifar10 comes in one size"),
        (dict(name="scenes", size=64), "scenes comes in one size"),
        (dict(name="pathmnist", size=32), "pathmnist has no size 32; choose 28, 64, 128 or 224"),
    ],
)
def test_wrong_calls_get_one_sentence(root, call, words):
    with pytest.raises(ValueError, match=words):
        load_images(**call)


def test_more_images_than_there_are_is_refused(root, monkeypatch):
    fake_data.write(root / "mnist", fake_data.mnist(monkeypatch))
    with pytest.raises(ValueError, match="mnist val has 5 images, so n should be from 1 to 5, not 6"):
        load_images("mnist", "val", n=6)


def test_missing_data_offline_names_set_folder_and_command(root):
    with pytest.raises(DataMissing) as caught:
        load_images("cifar10")
    sentence = str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    assert all(part in sentence for part in ("cifar10", str(root / "cifar10"), "SSLCOURSE_OFFLINE", "SSLCOURSE_DATA"))
    week, scale = next((w.id, s) for w in weeks.WEEKS.values() for s, names in w.data.items() if "cifar10" in names)
    assert f"`sslcourse prefetch {week} --scale {scale}`" in sentence
    with pytest.raises(DataMissing, match="load_images.'breastmnist', size=64"):
        load_images("breastmnist", size=64)
    assert not root.exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "no gzip"])
def test_a_corrupted_file_is_named_and_left_alone(root, monkeypatch, damage):
    files = fake_data.mnist(monkeypatch)
    name = "t10k-labels-idx1-ubyte.gz"
    right = files[name]
    flipped = right[:20] + bytes([right[20] ^ 1]) + right[21:]
    files[name] = {"flip": flipped, "cut": right[:-9], "no gzip": b"<html>"}[damage]
    fake_data.write(root / "mnist", files)
    with pytest.raises(DataCorrupted) as caught:
        load_images("mnist", "test")
    assert str(root / "mnist" / name) in str(caught.value) and "delete it, then run `" in str(caught.value)
    assert (root / "mnist" / name).read_bytes() == files[name]


def test_a_corrupted_pickle_is_never_opened(root, monkeypatch):
    _, files = fake_data.cifar10(monkeypatch)
    evil = b"cbuiltins\neval\n(V1/0\ntR."  # would raise ZeroDivisionError
    fake_data.write(root / "cifar10" / "cifar-10-batches-py", files | {"data_batch_3": evil})
    with pytest.raises(DataCorrupted, match="data_batch_3 is corrupted"):
        load_images("cifar10")


# ---- toy worlds and the data root


def test_toy_splits_never_share_images():
    sets = [load_images("scenes", split, n=40, seed=seed) for split in ("train", "val", "test") for seed in (0, 1, 2)]
    images = [image for s in sets for image in prints(s.images)]
    assert len(set(images)) == len(images) == 9 * 40
    again = load_images("scenes", "val", n=40, seed=1)
    assert torch.equal(again.images, sets[4].images) and (again.name, again.split) == ("scenes", "val")


def test_toy_sizes_and_held_out_shapes():
    val = load_images("scenes", "val")
    held_out = load_images("scenes_held_out", "test", n=50)
    assert (len(val), val.labels.bincount().tolist()) == (1000, [100] * 10)
    assert held_out.name == "scenes_held_out" and not set(held_out.class_names) & set(val.class_names)


def test_the_data_root_is_found(tmp_path, monkeypatch):
    inside = tmp_path / "checkout" / "notebooks" / "deep"
    inside.mkdir(parents=True)
    (tmp_path / "checkout" / "pyproject.toml").write_text('[project]\nname = "sslcourse"\n')
    (inside / "pyproject.toml").write_text("not toml at all [")
    monkeypatch.chdir(inside)
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "given"))
    assert data_root() == tmp_path / "given"
    monkeypatch.delenv("SSLCOURSE_DATA")
    assert data_root() == tmp_path / "checkout" / "data"
    (tmp_path / "checkout" / "pyproject.toml").write_text('[project]\nname = "another"\n')
    assert "sslcourse" in data_root().parts and tmp_path not in data_root().parents  # the user's cache
    monkeypatch.setenv("SSLCOURSE_DATA", "~/somewhere")
    assert data_root().is_absolute() and "~" not in str(data_root())


def test_prefetch_has_nothing_to_do_for_generated_data(root):
    assert prefetch("week04", "tiny") == prefetch(1, "dry") == []
    with pytest.raises(ValueError, match="no scale 'medium'"):
        prefetch("week04", "medium")
    with pytest.raises(ValueError, match="no week 'week99'"):
        prefetch("week99", "small")


# ---- the real sets


def real(name, split="train", **options):
    """The real set, or a skip that names what is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # CIFAR-100 in part
        try:
            return load_images(name, split, **options)
        except DataMissing as missing:
            pytest.skip(str(missing))


@pytest.mark.real_data
def test_real_cifar10():
    train, val, test = (real("cifar10", split) for split in ("train", "val", "test"))
    assert [s.labels.bincount().tolist() for s in (train, val, test)] == [[4500] * 10, [500] * 10, [1000] * 10]
    assert train.class_names[:3] == ("airplane", "automobile", "bird")

    # The mean of all 50,000, which everybody quotes; it sees a lost, doubled or transposed channel.
    images = torch.cat([train.images, val.images])
    mean = images.double().mean((0, 2, 3)) / 255
    assert torch.allclose(mean, torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64), atol=5e-5)

    # Pixel by pixel and label by label as torchvision reads them.
    peer = datasets.CIFAR10(data_root() / "cifar10")
    check_parts(train, val, peer.data.transpose(0, 3, 1, 2), peer.targets)


@pytest.mark.real_data
def test_real_cifar100():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            train = load_images("cifar100")
        except DataMissing as missing:
            pytest.skip(str(missing))
    val, test = real("cifar100", "val"), real("cifar100", "test")
    in_part = len(train) + len(val) != 50_000
    assert len(train) + len(val) in (20_000, 50_000) and len(train) == 9 * len(val)
    assert in_part == any("20,000 of the 50,000" in str(w.message) and w.filename == __file__ for w in caught)
    assert test.labels.bincount().tolist() == [100] * 100 and len(set(train.labels.bincount().tolist())) == 1
    assert train.class_names[:2] == ("apple", "aquarium_fish")
    assert not set(prints(train.images)) & set(prints(val.images))


@pytest.mark.real_data
def test_real_fashion_mnist():
    train, val, test = (real("fashion_mnist", split) for split in ("train", "val", "test"))
    assert [s.labels.bincount().tolist() for s in (train, val, test)] == [[5400] * 10, [600] * 10, [1000] * 10]
    images = torch.cat([train.images, val.images])
    assert images.double().mean().div(255).item() == pytest.approx(0.2860, abs=5e-5)
    assert train.class_names[9] == "Ankle boot" and not set(prints(train.images[:3000])) & set(prints(val.images))


@pytest.mark.real_data
def test_real_mnist():
    test = real("mnist", "test")
    # The first digits of the test set are known to everybody who has ever plotted them.
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9] and test.images.shape == (10_000, 1, 28, 28)
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.real_data
def test_real_stl10():
    train, val, test = (real("stl10", split) for split in ("train", "val", "test"))
    assert [s.labels.bincount().tolist() for s in (train, val, test)] == [[450] * 10, [50] * 10, [800] * 10]
    assert real("stl10", "unlabelled", n=100).images.shape == (100, 3, 96, 96)


@pytest.mark.real_data
@pytest.mark.parametrize("flag", [flag for flag in medmnist.INFO if not flag.endswith("3d")])
def test_real_medmnist(flag):
    row = medmnist.INFO[flag]
    for split, count in row["n_samples"].items():
        images = real(flag, split)
        assert images.images.shape == (count, row["n_channels"], 28, 28)
        assert len(images.class_names) == len(row["label"])
    if flag == "retinamnist":
        assert real(flag).labels.bincount().tolist() == [486, 128, 206, 194, 66]
    if flag == "breastmnist":
        assert real(flag).labels.bincount().tolist() == [147, 399]

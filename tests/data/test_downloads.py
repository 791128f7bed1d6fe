"""Fetching from a server that serves, cuts, corrupts and refuses: whatever happens, files are whole or absent."""

import errno
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake_data
import medmnist
import pytest
from local_server import Server
from torchvision import datasets

from sslcourse import files, weeks
from sslcourse.data import DataCorrupted, DataMissing, load_images, load_proteins, load_texts, prefetch
from sslcourse.data import download as downloading
from sslcourse.data import fetch as fetching
from sslcourse.data.fetch import Download, fetch

CONTENT = bytes(range(256)) * 400  # about 100 kB
FILES = ("data.bin",)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("SSLCOURSE_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloading, "PAUSE", 0.01)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def visible(folder):
    """What a user sees: everything but the lock."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.name != ".lock")


def one(*urls):
    return [Download(urls, fake_data.md5(CONTENT), FILES)]


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- one file


def test_what_is_served_right_is_fetched_once(server, tmp_path, capsys):
    wanted = one(server.serve("/data.bin", CONTENT))
    fetch("numbers", tmp_path / "numbers", wanted)
    fetch("numbers", tmp_path / "numbers", wanted)
    assert (tmp_path / "numbers" / "data.bin").read_bytes() == CONTENT
    assert visible(tmp_path / "numbers") == ["data.bin"] and server.asked == ["/data.bin"]
    assert capsys.readouterr().out == f"Fetching data.bin into {tmp_path / 'numbers'} ...\n"


@pytest.mark.parametrize(
    ("how", "words", "tries"),
    [
        ("cut", "could not be reached or broke off", 4),  # the first brought something new
        ("corrupt", "sent something with another MD5 sum", 1),
        ("refuse", "answered 503", 3),
        ("not found", "answered 404", 1),
        ("silent", "sent nothing for", 3),
    ],
)
def test_a_bad_server_leaves_nothing_and_the_next_mirror_is_tried(server, tmp_path, monkeypatch, how, words, tries):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.5)
    bad = server.serve("/bad/data.bin", CONTENT, how)
    with pytest.raises(ConnectionError, match=words):
        fetch("numbers", tmp_path, one(bad))
    assert visible(tmp_path) == []
    fetch("numbers", tmp_path, one(bad, server.serve("/good/data.bin", CONTENT)))
    assert visible(tmp_path) == ["data.bin"] and (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.asked == ["/bad/data.bin"] * 2 * tries + ["/good/data.bin"]


# ---- tried again, gone on with


def test_a_server_that_comes_back_is_waited_for(server, tmp_path):
    fetch("numbers", tmp_path, one(server.serve("/data.bin", CONTENT, ["refuse", "cut", "refuse", "right"])))
    assert (tmp_path / "data.bin").read_bytes() == CONTENT and visible(tmp_path) == ["data.bin"]
    assert len(server.asked) == 4


def test_what_broke_off_is_gone_on_with(server, tmp_path):
    fetch("numbers", tmp_path, one(server.serve("/data.bin", CONTENT, "pieces")))
    assert (tmp_path / "data.bin").read_bytes() == CONTENT and visible(tmp_path) == ["data.bin"]
    assert server.ranges == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]


def test_a_later_call_goes_on_where_the_first_was_interrupted(server, tmp_path, monkeypatch):
    wanted = one(server.serve("/data.bin", CONTENT, "pieces"))
    with monkeypatch.context() as interrupted:
        interrupted.setattr(downloading.time, "sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch("numbers", tmp_path, wanted)
    assert not (tmp_path / "data.bin").exists() and server.ranges == [None]
    fetch("numbers", tmp_path, wanted)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT and visible(tmp_path) == ["data.bin"]
    assert server.ranges[1] == "bytes=30000-"


def test_a_file_that_changed_in_between_is_begun_anew(server, tmp_path, monkeypatch):
    """The server has the old version, breaks off, and then has the new one: If-Range makes it send all of that."""
    old = bytes(len(CONTENT))
    wanted = one(server.serve("/data.bin", old, "pieces"))

    def change(seconds):
        server.serve("/data.bin", CONTENT, "whole piece")
        server.version = '"two"'

    monkeypatch.setattr(downloading.time, "sleep", change)
    fetch("numbers", tmp_path, wanted)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT and len(server.asked) == 2


def test_pieces_that_do_not_belong_together_are_noticed_by_their_hash(server, tmp_path, monkeypatch):
    """As before, but the server says that nothing has changed."""
    wanted = one(server.serve("/data.bin", bytes(len(CONTENT)), "pieces"))
    monkeypatch.setattr(downloading.time, "sleep", lambda _: server.serve("/data.bin", CONTENT, "whole piece"))
    fetch("numbers", tmp_path, wanted)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=30000-", None]


def test_a_server_that_ignores_the_range_begins_anew(server, tmp_path):
    fetch("numbers", tmp_path, one(server.serve("/data.bin", CONTENT, ["cut", "right"])))
    assert (tmp_path / "data.bin").read_bytes() == CONTENT and server.ranges[1] == "bytes=51200-"


def test_what_came_is_kept_where_the_server_can_send_the_rest(server, tmp_path):
    url = server.serve("/data.bin", CONTENT, ["pieces", "pieces", "refuse"])
    with pytest.raises(ConnectionError, match="answered 503.*kept, to go on from"):
        fetch("numbers", tmp_path, one(url))
    assert not (tmp_path / "data.bin").exists()
    server.serve("/data.bin", CONTENT, "pieces")
    fetch("numbers", tmp_path, one(url))
    assert visible(tmp_path) == ["data.bin"] and server.ranges[-2:] == ["bytes=60000-", "bytes=90000-"]


def test_a_part_that_is_already_whole_is_taken(server, tmp_path):
    """Killed after the last byte: the server answers 416, the hash says that it is all there."""
    url = server.serve("/data.bin", CONTENT, "pieces")
    part = tmp_path / f"{fetching._PARTS}{fake_data.md5(CONTENT)}"
    part.write_bytes(CONTENT)
    downloading.Note(part, "another address").forget()
    part.write_bytes(CONTENT)
    note = downloading.Note.__new__(downloading.Note)
    note.part, note.file, note.url = part, part.with_name(f"{part.name}.json"), url
    note.write(server.version)
    fetch("numbers", tmp_path, one(url))
    assert server.ranges == [f"bytes={len(CONTENT)}-"] and visible(tmp_path) == ["data.bin"]


def test_the_beginning_of_a_download_is_not_kept_for_ever(server, tmp_path):
    old = tmp_path / f"{fetching._PARTS}0123"
    old.write_bytes(b"half")
    long_ago = time.time() - fetching._KEPT - 1
    os.utime(old, (long_ago, long_ago))
    fetch("numbers", tmp_path, one(server.serve("/data.bin", CONTENT)))
    assert visible(tmp_path) == ["data.bin"]


def test_nobody_listens_and_every_mirror_is_named(server, tmp_path):
    nobody = f"http://127.0.0.1:{closed_port()}/data.bin"
    with pytest.raises(ConnectionError) as caught:
        fetch("numbers", tmp_path, one(nobody, server.url + "/absent"))
    assert f"{nobody} could not be reached" in str(caught.value) and "/absent answered 503" in str(caught.value)


def test_many_at_once_fetch_once(server, tmp_path):
    wanted, errors = one(server.serve("/data.bin", CONTENT, "slow")), []

    def work():
        try:
            fetch("numbers", tmp_path, wanted)
            assert (tmp_path / "data.bin").read_bytes() == CONTENT
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors and server.asked == ["/data.bin"]


def test_another_process_is_waited_for(server, tmp_path, capsys):
    """It holds the lock, brings the file when told to, and lets go: nothing is left to ask the server for."""
    other = (
        "import sys, filelock, pathlib; folder = pathlib.Path(sys.argv[1])\n"
        "with filelock.FileLock(folder / '.lock'):\n"
        "    print('held', flush=True); sys.stdin.readline(); (folder / 'data.bin').write_bytes(b'theirs')\n"
    )
    command = [sys.executable, "-c", other, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        ours = threading.Thread(target=fetch, args=("numbers", tmp_path, one(server.serve("/data.bin", CONTENT))))
        ours.start()
        out = ""
        while "Waiting for another process" not in out and ours.is_alive():
            time.sleep(0.05)
            out += capsys.readouterr().out
        assert ours.is_alive() and visible(tmp_path) == []
        process.stdin.write("go\n")
        process.stdin.flush()
        ours.join(20)
    assert not ours.is_alive() and (tmp_path / "data.bin").read_bytes() == b"theirs" and server.asked == []


def test_what_a_killed_process_left_is_cleared(server, tmp_path):
    (tmp_path / ".fetching-old").mkdir(parents=True)
    (tmp_path / ".fetching-old" / "download").write_bytes(b"half")
    fetch("numbers", tmp_path, one(server.serve("/data.bin", CONTENT)))
    assert visible(tmp_path) == ["data.bin"]


# ---- archives


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupted_extraction_leaves_nothing(server, root, monkeypatch, error):
    archive, files = fake_data.cifar10(monkeypatch)
    monkeypatch.setattr(datasets.CIFAR10, "url", server.serve("/cifar.tar.gz", archive))
    copied = []

    def interrupted(source, target, length):
        copied.append(target.name)
        if len(copied) == 3:
            target.write(b"half")
            raise error
        target.write(source.read())

    with monkeypatch.context() as broken:
        broken.setattr(shutil, "copyfileobj", interrupted)
        with pytest.raises((KeyboardInterrupt, OSError)) as caught:
            load_images("cifar10")
    assert len(copied) == 3 and visible(root / "cifar10") == []
    if caught.type is not KeyboardInterrupt:
        assert "disk is full: cifar10 needs more space" in str(caught.value) and caught.value.errno == errno.ENOSPC
    assert len(load_images("cifar10")) == 450
    assert visible(root / "cifar10") == ["cifar-10-batches-py", *sorted(f"cifar-10-batches-py/{f}" for f in files)]


def test_a_deleted_file_is_fetched_again_and_the_others_stay(server, root, monkeypatch):
    archive, files = fake_data.cifar10(monkeypatch)
    monkeypatch.setattr(datasets.CIFAR10, "url", server.serve("/cifar.tar.gz", archive))
    load_images("cifar10", "val")
    folder = root / "cifar10" / "cifar-10-batches-py"
    before = {f: (folder / f).stat().st_mtime_ns for f in files}
    (folder / "data_batch_2").write_bytes(b"damaged")
    with pytest.raises(DataCorrupted, match="data_batch_2 is corrupted .* delete it"):
        load_images("cifar10")
    (folder / "data_batch_2").unlink()
    assert len(load_images("cifar10")) == 450
    assert all((folder / f).stat().st_mtime_ns == before[f] for f in files if f != "data_batch_2")
    assert server.asked == ["/cifar.tar.gz"] * 2


# ---- data sets from end to end


def test_each_kind_of_set_arrives(server, root, monkeypatch):
    archive, _ = fake_data.stl10(monkeypatch)
    monkeypatch.setattr(datasets.STL10, "url", server.serve("/stl10.tar.gz", archive))
    assert len(load_images("stl10", "unlabelled")) == 7

    packed = fake_data.mnist(monkeypatch)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{server.url}/gone/", f"{server.url}/mnist/"])
    for name, content in packed.items():
        server.serve(f"/mnist/{name}", content)
    assert len(load_images("mnist", "test")) == 20
    assert visible(root / "mnist") == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]  # no more than asked

    content = fake_data.medmnist_set(monkeypatch, "retinamnist", 64)
    url = server.serve("/retina_64.npz?download=1", content)
    monkeypatch.setitem(medmnist.INFO, "retinamnist", medmnist.INFO["retinamnist"] | {"url_64": url})
    assert len(load_images("retinamnist", "val", size=64)) == 10
    assert visible(root / "medmnist") == ["retinamnist_64.npz"]


def test_prefetch_brings_every_part_and_then_no_network_is_needed(server, root, monkeypatch):
    archive, files = fake_data.cifar10(monkeypatch)
    monkeypatch.setattr(datasets.CIFAR10, "url", server.serve("/cifar.tar.gz", archive))
    week = weeks.Week("week98", "week98_test", "", data={"small": ("cifar10",)}, minutes={})
    monkeypatch.setitem(weeks.WEEKS, "week98", week)
    assert prefetch("week98", "small") == [root / "cifar10"]
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    assert prefetch("week98", "small") == [root / "cifar10"] and server.asked == ["/cifar.tar.gz"]
    assert len(load_images("cifar10", "test")) == 20
    (root / "cifar10" / "cifar-10-batches-py" / "test_batch").write_bytes(b"damaged")
    with pytest.raises(DataCorrupted, match="test_batch is corrupted"):
        prefetch("week98", "small")


def test_a_failed_download_says_what_to_do(server, root, monkeypatch):
    fake_data.cifar10(monkeypatch)
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{server.url}/refused")
    with pytest.raises(DataMissing) as caught:
        load_images("cifar10")
    parts = ("cifar10 (train)", str(root / "cifar10"), "answered 503", "`sslcourse prefetch week", "SSLCOURSE_DATA")
    assert all(part in str(caught.value) for part in parts) and "\n" not in str(caught.value)


def test_offline_asks_nobody(server, root, monkeypatch):
    archive, _ = fake_data.cifar10(monkeypatch)
    monkeypatch.setattr(datasets.CIFAR10, "url", server.serve("/cifar.tar.gz", archive))
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    with pytest.raises(DataMissing, match="SSLCOURSE_OFFLINE is set"):
        load_images("cifar10")
    assert server.asked == []


# ---- folders that cannot be written


def test_a_file_in_place_of_the_folder(server, tmp_path, monkeypatch):
    (tmp_path / "data").write_text("I am a file")
    with pytest.raises(OSError, match="cannot be written, so numbers cannot be fetched there. Set SSLCOURSE_DATA"):
        fetch("numbers", tmp_path / "data" / "numbers", one(server.serve("/data.bin", CONTENT)))
    assert (tmp_path / "data").read_text() == "I am a file"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_an_unwritable_folder(server, tmp_path, monkeypatch, code):
    """Simulated, since the administrator may write everywhere."""

    def refuse(self, *args, **kwargs):
        raise OSError(code, "refused", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="cannot be written, so numbers") as caught:
        fetch("numbers", tmp_path / "numbers", one(server.serve("/data.bin", CONTENT)))
    assert caught.value.errno == code and str(tmp_path / "numbers") in str(caught.value)
    assert isinstance(caught.value, PermissionError) == (code == errno.EACCES)


def test_a_full_disk_while_downloading(server, tmp_path, monkeypatch, capsys):
    class Full(io.FileIO):
        def write(self, block):
            super().write(block[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloading, "open", lambda path, mode: Full(path, mode), raising=False)
    (tmp_path / "precious.bin").write_bytes(b"kept")
    with pytest.raises(OSError, match="The disk is full: numbers needs more space"):
        fetch("numbers", tmp_path, one(server.serve("/data.bin", CONTENT)))
    assert visible(tmp_path) == ["precious.bin"]
    assert capsys.readouterr().err.endswith("\n")  # what is said next stands on a line of its own


def test_a_disk_that_will_be_full_is_told_before_the_download(server, tmp_path, monkeypatch):
    small = type(shutil.disk_usage(tmp_path))(1000, 999, 1)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda folder: small)
    with pytest.raises(OSError, match="The disk is full: numbers needs more space"):
        fetch("numbers", tmp_path, one(server.serve("/data.bin", CONTENT)))
    assert visible(tmp_path) == []


# ---- no files


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("kind", ["a folder", "a named pipe"])
def test_what_is_no_file_is_refused_and_never_waited_for(server, root, monkeypatch, kind):
    content = fake_data.medmnist_set(monkeypatch, "retinamnist")
    url = server.serve("/retina.npz", content)
    monkeypatch.setitem(medmnist.INFO, "retinamnist", medmnist.INFO["retinamnist"] | {"url": url})
    path = root / "medmnist" / "retinamnist.npz"
    make = Path.mkdir if kind == "a folder" else os.mkfifo
    path.parent.mkdir(parents=True)
    make(path)
    with pytest.raises(DataCorrupted, match=f"retinamnist.npz is {kind} where a file .* move it away, then run"):
        load_images("retinamnist")
    for pattern in ("sst2_train.tsv", "imdb.parquet"):
        (root / "text").mkdir(exist_ok=True)
        make(root / "text" / pattern)
        with pytest.raises(DataCorrupted, match=f"is {kind} where a file .* move it away"):
            load_texts(pattern[:4])
    with pytest.raises(files.IrregularFile, match=f"is {kind}, but it should be a file"):
        Download((), "0" * 32, FILES).matches(path)


# ---- names


@pytest.mark.parametrize(
    ("load", "name", "sentence"),
    [
        (load_images, "cifar-10", "did you mean cifar10?"),
        (load_images, "CIFAR10", "did you mean cifar10?"),
        (load_images, "Fashion MNIST", "did you mean fashion_mnist?"),
        (load_images, "PathMNIST", "did you mean pathmnist?"),
        (load_images, "IMDB", "did you mean load_texts('imdb')?"),
        (load_texts, "IMDB", "did you mean imdb?"),
        (load_texts, "SST-2", "did you mean sst2?"),
        (load_texts, "cifar10", "did you mean load_images('cifar10')?"),
        (load_proteins, "GB-1", "did you mean gb1?"),
        (load_proteins, "secondary structure", "did you mean secondary_structure?"),
        (load_images, "nothing like it", "choose one of scenes, "),
        (load_images, "cifar", "choose one of scenes, "),
    ],
)
def test_a_near_miss_is_offered_once(load, name, sentence):
    with pytest.raises(ValueError) as caught:
        load(name)
    text = str(caught.value)
    assert f"; {sentence}" in text and repr(name) in text
    if "did you mean" in sentence:
        assert text.endswith(sentence)
    else:
        names = text.removesuffix(".").split("choose one of ")[1].split(", ")
        assert len(names) == len(set(names))


@pytest.mark.parametrize("load", [load_images, load_texts, load_proteins])
def test_a_list_is_no_name(load):
    with pytest.raises(TypeError, match=r"^name is \['gb1'\]; it should be a text\.$"):
        load(["gb1"])

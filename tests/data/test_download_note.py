"""The note beside a download that has begun: what it holds, when it is believed, that it goes with its part."""

import json

import pytest

from sslcourse import files
from sslcourse.data.download import Note

URL = "https://example.org/set.tar"


@pytest.fixture
def part(tmp_path):
    (tmp_path / ".download-abc").write_bytes(b"half of it")
    return tmp_path / ".download-abc"


def begun(part, version='"v1"', url=URL):
    part.write_bytes(b"half of it")
    note = Note(part, url)  # without a note there is nothing to go on from
    assert not part.exists() and (note.size(), note.resumed) == (0, False)
    note.write(version)
    part.write_bytes(b"half of it")


def test_a_note_is_believed_by_the_next_run(part):
    begun(part)
    assert json.loads(part.with_name(".download-abc.json").read_text()) == {"url": URL, "version": '"v1"'}
    note = Note(part, URL)
    assert (note.version, note.resumed, note.size()) == ('"v1"', True, 10)
    note.write("Sat, 1 Jan 2022 00:00:00 GMT")  # a later answer has another version
    assert Note(part, URL).version == "Sat, 1 Jan 2022 00:00:00 GMT"
    assert sorted(path.name for path in part.parent.iterdir()) == [".download-abc", ".download-abc.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"url": 3}', '{"version": "v1"}', "\udcff", None])
def test_a_note_that_says_nothing_takes_its_part_along(part, content):
    begun(part)
    file = part.with_name(".download-abc.json")
    file.unlink()
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    note = Note(part, URL)
    assert (note.version, note.resumed, note.size()) == ("", False, 0)
    assert not part.exists() and not file.exists()


def test_a_note_of_another_address_or_without_its_part(part):
    begun(part)
    assert Note(part, "https://example.org/other.tar").size() == 0 and not part.exists()
    begun(part)
    part.unlink()
    assert not Note(part, URL).resumed and not part.with_name(".download-abc.json").exists()


def test_a_note_that_cannot_be_written_leaves_the_old_one(part, monkeypatch):
    begun(part)
    monkeypatch.setattr(files.os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        Note(part, URL).write('"v2"')
    monkeypatch.undo()
    assert Note(part, URL).version == '"v1"'
    assert sorted(path.name for path in part.parent.iterdir()) == [".download-abc", ".download-abc.json"]

"""Kill, flip, crowd: a training killed at any moment, a checkpoint with any bit flipped, a file that many write."""

import hashlib
import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import killed
import pytest

from sslcourse import files

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_training_killed_at_20_moments_ends_as_if_it_had_not_been(tmp_path):
    command = [sys.executable, killed.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["kills"] == killed.KILLS and seen["resumed"] >= 4
    assert len(seen["same"]) == killed.KILLS + 2 and all(seen["same"])
    assert seen["left"] == [] and seen["codes"] == [0, 0, 0]


def test_300_flipped_bits_are_refused_or_harmless(tmp_path):
    file = tmp_path / "run.pt"
    expected = killed.train(file, epochs=2)["result"]
    content, rng, refused = file.read_bytes(), random.Random(0), 0
    for _ in range(300):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(flipped)
        try:
            assert killed.train(file, epochs=2)["result"] == expected
        except ValueError as error:
            assert "is damaged or no checkpoint of a training; delete it or name another file" in str(error)
            refused += 1
    assert refused > 250


WRITER = """
    import hashlib, pathlib, sys, time
    sys.path.insert(0, sys.argv[3])
    import files
    path, name, end, n = pathlib.Path(sys.argv[1]), sys.argv[2], time.monotonic() + 3, 0
    while time.monotonic() < end:
        n += 1
        body = f"{name} {n} ".encode() * (n % 50 * 100 + 1)
        files.write(path, hashlib.sha256(body).hexdigest().encode() + body)
"""


def test_a_crowd_of_writers_never_mixes_nor_tears(tmp_path):
    """Four write as fast as they can, one of them is killed; every text that is read proves itself whole."""
    path = tmp_path / "index.html"
    files.write(path, hashlib.sha256(b"").hexdigest().encode())
    script, folder = textwrap.dedent(WRITER), str(Path(files.__file__).parent)  # without torch, so that they start soon
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), name, folder]) for name in "abcd"]
    reads, seen = 0, set()
    while any(writer.poll() is None for writer in writers):
        content = path.read_bytes()
        assert hashlib.sha256(content[64:]).hexdigest().encode() == content[:64]
        reads += 1
        seen.add(content[64:65])
        if len(seen) > 3:
            writers[0].kill()
    assert reads > 100 and len(seen) > 3
    assert [writer.wait() == 0 for writer in writers] == [False, True, True, True]
    files.write(path, b"the last")
    assert os.listdir(tmp_path) == ["index.html"]

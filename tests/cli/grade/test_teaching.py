"""docs/teaching.md as it is typed: its commands run in a scratch folder, and nothing comes into the repository."""

import csv
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from submissions import ROOT

pytest.importorskip("nbgrader", reason="the commands are nbgrader's: pip install 'sslcourse[grading]'")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8"), re.M | re.S)


def status():
    command = ["git", "status", "--porcelain", "--ignored", "--untracked-files=all"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if "__pycache__" not in line and ".cache" not in line and "_cache/" not in line]


@pytest.mark.slow
def test_the_commands_do_what_the_page_says(tmp_path):
    before = status()
    environment = os.environ | {
        "HOME": str(tmp_path),
        "REPOSITORY": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    assert len(BLOCKS) == 2
    for block in BLOCKS:
        command = ["bash", "-euo", "pipefail", "-c", block]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    assert status() == before

    with open(tmp_path / "results" / "week04" / "points.csv", encoding="utf-8-sig", newline="") as file:
        points = {row["student"]: (row["exercises"], row["of"]) for row in csv.DictReader(file)}
    assert points == {"jane": ("0", "9"), "joe": ("9", "9")}
    course = tmp_path / "my_course"
    assert (course / "autograded" / "jane" / "week04" / "week04_simclr.ipynb").is_file()
    assert (course / "feedback" / "jane" / "week04" / "week04_simclr.html").is_file()
    with open(course / "grades.csv", newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {"jane": 0, "joe": 9}  # exported before a person has read the answers

    # nbgrader's own autograder took the mended notebook and came to the same.
    text = (course / "autograded" / "joe" / "week04" / "week04_simclr.ipynb").read_text(encoding="utf-8")
    assert "nt_xent: right." in text


# --- course folders stay out


def test_git_ignores_course_folders_and_gradebooks():
    inside = ("my_course/source/week04/week04_simclr.ipynb", "my_course/x", "course2027/gradebook.db", "gradebook.db")
    inside += ("submitted/jane/week04/x.ipynb", "notebooks/nbgrader_config.py", "autograded/x/y.ipynb")
    for path in inside:
        assert subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT).returncode == 0, path
    for path in ("sslcourse/cli/grade/course.py", "notebooks/source/week13.py", "docs/course.md"):
        assert subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT).returncode == 1, path


def test_the_sdist_holds_what_is_named_and_no_course_folder(tmp_path):
    copy = tmp_path / "copy"
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in files.stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    for name in ("winter/submitted/jane/week04/x.ipynb", "winter/gradebook.db", "results/points.csv", "class.csv"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    made = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not {name for name in names if name.startswith(("winter", "results", "class"))}
    assert {"sslcourse/data/root.py", "sslcourse/cli/grade/fence.py", "notebooks/source/week04_simclr.py"} <= names
    assert {"README.md", "Makefile", "constraints.txt", "pyproject.toml"} <= names

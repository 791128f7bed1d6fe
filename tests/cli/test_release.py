"""`sslcourse release`: weekly and updatable, without the solutions, and with whatever students wrote left as it is."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from example_source import SOURCE, write_course

from sslcourse import files, references
from sslcourse.cli import build, launch, main
from sslcourse.cli.release import content

FIRST = SOURCE.replace("# %% [markdown]\n# ## 1 Theory", f"# %%\n{launch.CELL}\n\n# %% [markdown]\n# ## 1 Theory", 1)
FIRST = FIRST.replace(
    "# Twice.", "# Twice, see [data](../data/README.md), [next](week99_example.ipynb), [d](../docs/x.md)."
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A course of three weeks, built once."""
    root = tmp_path_factory.mktemp("made") / "course"
    for week in (97, 98, 99):
        write_course(
            root, FIRST.replace("math.fsum([x, x])", f"math.fsum([x, x])  # secret of {week}"), f"week{week}_example"
        )
    build.build(root, execute=False)
    (root / "sslcourse" / "check").mkdir()
    (root / "sslcourse" / "check" / "week98.py").write_text("")
    (root / "data").mkdir()
    (root / "data" / "README.md").write_text("See [teaching](../docs/teaching.md) and [the web](https://example.org).")
    (root / "LICENSE").write_text("free")
    (root / "pyproject.toml").write_text("[project]")
    return root


@pytest.fixture
def course(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "course")
    monkeypatch.chdir(tmp_path / "course" / "notebooks")
    return tmp_path / "course"


@pytest.fixture
def to(tmp_path):
    return tmp_path / "students"


def call(capsys, *arguments):
    capsys.readouterr()
    code = main(["release", *map(str, arguments)])
    out, error = capsys.readouterr()
    return code, out, error


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def secrets(folder: Path) -> set[str]:
    """The weeks whose solutions can be read."""
    found = re.findall(r"secret of (\d+)", "".join(data.decode(errors="replace") for data in tree(folder).values()))
    return set(found)


def test_a_hand_out_holds_the_week_the_library_and_pages_of_its_own(course, to, capsys):
    code, out, error = call(capsys, "--to", to, "98")
    assert code == 0 and error == "" and "Handed out week98" in out and "do not know their address" in out
    assert set(tree(to)) == {
        *("README.md", "Makefile", ".gitignore", "environment.yml", ".handout.json", "LICENSE", "pyproject.toml"),
        *("data/README.md", "notebooks/week98_example.ipynb", "sslcourse/__init__.py", "sslcourse/check/week98.py"),
        *("sslcourse/solutions/__init__.py", "sslcourse/solutions/week97.packed", "sslcourse/solutions/week98.packed"),
    }
    assert secrets(to) == set()


def test_week_after_week_joins_and_past_solutions_follow(course, to, capsys):
    assert call(capsys, "--to", to, "week97")[0] == 0
    assert call(capsys, "--to", to, "week98", "--with-solutions")[0] == 0 and secrets(to) == {"97"}
    there = tree(to)
    assert {"notebooks/week97_example.ipynb", "notebooks/week98_example.ipynb"} <= set(there)
    assert {"notebooks/solutions/week97_example.ipynb", "sslcourse/solutions/week97.py"} <= set(there)
    assert "sslcourse/solutions/week97.packed" not in there
    assert call(capsys, "--to", to, "week99")[0] == 0  # without the flag nothing new is told, nothing is taken back
    assert secrets(to) == {"97"} and "sslcourse/solutions/week99.packed" in tree(to)
    assert call(capsys, "--to", to, "week99", "--with-solutions")[0] == 0 and secrets(to) == {"97", "98"}
    before = tree(to)
    assert call(capsys, "--to", to)[0] == 0 and tree(to) == before  # nothing named: what is there, once more


def test_the_solutions_of_the_week_and_of_later_ones_stay_behind(course, to, capsys):
    assert call(capsys, "--to", to, "97", "--with-solutions")[0] == 0
    assert secrets(to) == set() and "sslcourse/solutions/week98.packed" not in tree(to)


def test_what_students_wrote_stays_as_it_is(course, to, capsys):
    call(capsys, "--to", to, "97")
    notebook, readme = to / "notebooks" / "week97_example.ipynb", to / "README.md"
    mine = nbformat.read(notebook, 4)
    mine.cells[3].source = "my own answer"
    nbformat.write(mine, notebook)
    (to / "work").mkdir()
    (to / "work" / "week97_example.ipynb").write_text("hours of work")
    (to / "thesis.tex").write_text("years of work")
    kept = {name: data for name, data in tree(to).items() if name != ".handout.json"}

    code, out, _ = call(capsys, "--to", to, "97")  # nothing is new: nothing is laid beside
    assert code == 0 and {name: data for name, data in tree(to).items() if name != ".handout.json"} == kept
    script = course / "notebooks" / "source" / "week97_example.py"
    script.write_text(
        script.read_text(encoding="utf-8").replace("# ## 2 Given", "# ## 2 Newly given"), encoding="utf-8"
    )
    build.build(course, execute=False)
    code, out, _ = call(capsys, "--to", to, "97", "98")
    assert code == 0 and "week97_example.new.ipynb" in out
    now = tree(to)
    for name in ("notebooks/week97_example.ipynb", "work/week97_example.ipynb", "thesis.tex"):
        assert now[name] == kept[name], name
    assert b"Newly given" in now["notebooks/week97_example.new.ipynb"] and b"week98" in readme.read_bytes()
    call(capsys, "--to", to, "97", "98")
    assert tree(to) == now


def test_a_file_that_the_library_lost_goes_and_one_that_was_changed_stays(course, to, capsys):
    for name in ("gone.py", "changed.py"):
        (course / "sslcourse" / name).write_text("x = 1\n")
    call(capsys, "--to", to, "97")
    (to / "sslcourse" / "changed.py").write_text("x = 2\n")
    (to / "LICENSE").write_bytes((to / "LICENSE").read_bytes() + b"\r\n")
    for name in ("gone.py", "changed.py"):
        (course / "sslcourse" / name).unlink()
    call(capsys, "--to", to, "97")
    assert not (to / "sslcourse" / "gone.py").exists() and (to / "sslcourse" / "changed.py").read_text() == "x = 2\n"


def test_ends_of_lines_are_no_change(course, to, capsys):
    call(capsys, "--to", to, "97")
    for name in ("README.md", "Makefile"):
        (to / name).write_bytes((to / name).read_bytes().replace(b"\n", b"\r\n"))
    _, out, _ = call(capsys, "--to", to, "98")
    assert "left as it is" not in out and b"week98" in (to / "README.md").read_bytes()


# --- addresses


def first_cells(to):
    cells = [cell.source for path in to.rglob("week*.ipynb") for cell in nbformat.read(path, 4).cells]
    return {line for source in cells for line in source.split("\n") if line.startswith("COURSE = ")}


def test_the_address_is_stamped_and_remembered(course, to, capsys):
    call(capsys, "--to", to, "97", "--repository", "https://me:secret@github.com/OWNER/NAME.git")
    assert first_cells(to) == {'COURSE = "git+https://github.com/OWNER/NAME"'}
    _, out, _ = call(capsys, "--to", to, "98", "--with-solutions")
    assert first_cells(to) == {'COURSE = "git+https://github.com/OWNER/NAME"'} and "do not know" not in out
    readme = (to / "README.md").read_text(encoding="utf-8")
    for place in ("colab.research.google.com/github/OWNER/NAME", "mybinder.org/v2/gh/OWNER", "kaggle.com/kernels"):
        assert place in readme
    assert b"secret@" not in b"".join(tree(to).values())
    call(capsys, "--to", to, "98", "--wheel", "https://example.org/sslcourse-0.1.0-py3-none-any.whl")
    assert first_cells(to) == {'COURSE = "https://example.org/sslcourse-0.1.0-py3-none-any.whl"'}


@pytest.mark.parametrize("option, value", [("--repository", "sslcourse"), ("--wheel", "sslcourse")])
def test_a_mere_name_is_no_address(option, value, course, to, capsys):
    code, out, error = call(capsys, "--to", to, "97", option, value)
    assert (code, out) == (2, "") and error.count("\n") == 1 and not to.exists()


def test_a_git_repository_gives_its_own_address_and_branch(course, to, capsys):
    to.mkdir()
    for line in ("init -q -b spring", "remote add origin git@github.com:OWNER/NAME.git"):
        subprocess.run(["git", "-C", str(to), *line.split()], check=True)
    (to / "README.md").write_text("# NAME\n")  # as the host begins a repository
    code, out, _ = call(capsys, "--to", to, "97")
    assert code == 0 and "README.new.md" in out and (to / "README.md").read_text() == "# NAME\n" and "git -C" in out
    assert first_cells(to) == {'COURSE = "git+https://github.com/OWNER/NAME"'}
    assert "/blob/spring/notebooks/week97_example.ipynb" in (to / "README.new.md").read_text(encoding="utf-8")
    (to / "work").mkdir()
    (to / "work" / "mine.ipynb").write_text("{}")
    status = subprocess.run(["git", "-C", str(to), "status", "--porcelain"], capture_output=True, text=True).stdout
    assert "notebooks/" in status and "sslcourse/" in status and "work" not in status


# --- links


def test_no_link_of_the_hand_out_is_dead(course, to, capsys):
    call(capsys, "--to", to, "98", "--with-solutions")
    pages = [path for path in to.rglob("*") if path.suffix in (".md", ".ipynb")]
    assert len(pages) > 3
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)\)", text):
            assert target.startswith("http") or (path.parent / target).exists(), f"{path}: {target}"
    text = (to / "notebooks" / "week98_example.ipynb").read_text(encoding="utf-8")
    assert "[data](../data/README.md), next, d." in text


@pytest.mark.skipif(os.name == "nt", reason="Windows makes no links without asking")
def test_links_in_the_course_are_not_followed(course, to, tmp_path, capsys):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key.py").write_text("the private key")
    os.symlink(tmp_path / "private" / "key.py", course / "sslcourse" / "linked.py")
    os.symlink(tmp_path / "private", course / "sslcourse" / "folder")
    os.symlink(course / "sslcourse" / "solutions" / "week98.py", course / "sslcourse" / "check" / "week99.py")
    code, out, _ = call(capsys, "--to", to, "98")
    assert code == 0 and "sslcourse/folder, sslcourse/linked.py" in out
    assert secrets(to) == set() and b"private key" not in b"".join(tree(to).values())
    (course / "LICENSE").unlink()
    os.symlink(tmp_path / "private" / "key.py", course / "LICENSE")
    code, _, error = call(capsys, "--to", to, "98")
    assert code == 2 and "is a link, and links are not followed" in error


@pytest.mark.skipif(os.name == "nt", reason="Windows makes no links without asking")
@pytest.mark.parametrize("name", ["README.md", "notebooks", "sslcourse"])
def test_nothing_is_written_through_links(name, course, to, tmp_path, capsys):
    call(capsys, "--to", to, "97")
    outside = tmp_path / "outside"
    os.rename(to / name, outside)
    os.symlink(outside, to / name)
    before = tree(tmp_path)
    code, _, error = call(capsys, "--to", to, "98")
    assert code == 2 and error.count("\n") == 1 and "is a link" in error and tree(tmp_path) == before


def test_a_manifest_that_reaches_out_of_its_folder_removes_nothing(course, to, tmp_path, capsys):
    call(capsys, "--to", to, "97")
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    manifest = json.loads((to / ".handout.json").read_text())
    known = manifest["files"]["LICENSE"]
    victim.write_bytes((to / "LICENSE").read_bytes())
    manifest["files"] |= {"../victim.txt": known, str(victim): known}
    (to / ".handout.json").write_text(json.dumps(manifest))
    assert call(capsys, "--to", to, "97")[0] == 0 and victim.exists()


# --- zip


def test_a_zip_is_brought_up_to_date_too(course, tmp_path, capsys):
    path = tmp_path / "students.zip"
    code, out, _ = call(capsys, "--to", path, "97")
    assert code == 0 and str(path) in out and "handout" not in out.replace(str(path), "")
    first = path.read_bytes()
    call(capsys, "--to", path, "97")
    assert path.read_bytes() == first
    call(capsys, "--to", path, "98", "--with-solutions")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert {"notebooks/week97_example.ipynb", "notebooks/week98_example.ipynb", "sslcourse/solutions/week97.py"} <= {
        *names
    }
    path.write_bytes(b"no zip")
    code, _, error = call(capsys, "--to", path, "97")
    assert code == 2 and "cannot be read as a zip" in error and path.read_bytes() == b"no zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thesis.tex", "years of work")
    code, _, error = call(capsys, "--to", path, "97")
    assert code == 2 and "a zip of something else" in error


# --- what is refused


def test_a_release_never_mixes_into_what_is_there(course, to, capsys):
    to.mkdir()
    (to / "thesis.tex").write_text("years of work")
    code, _, error = call(capsys, "--to", to)
    assert code == 2 and "is not empty (thesis.tex)" in error and set(tree(to)) == {"thesis.tex"}


@pytest.mark.parametrize("where", ["..", ".", "../sslcourse/x", "../..", "new"])
def test_the_course_itself_is_no_place_for_a_hand_out(where, course, capsys):
    before = tree(course)
    code, _, error = call(capsys, "--to", where, "97")
    assert code == 2 and "part of the course itself" in error and tree(course) == before


def test_another_copy_of_the_course_is_refused(course, to, made, capsys):
    shutil.copytree(made, to)
    (to / ".git").mkdir()
    code, _, error = call(capsys, "--to", to, "97")
    assert code == 2 and "holds a course that was not handed out" in error


def test_a_damaged_manifest_and_an_unknown_week_get_one_sentence(course, to, capsys):
    call(capsys, "--to", to, "97")
    for text in ("{", "[]", '{"format": "another"}', '{"format": "sslcourse handout 1", "weeks": [3]}'):
        (to / ".handout.json").write_text(text)
        code, _, error = call(capsys, "--to", to, "97")
        assert code == 2 and error.count("\n") == 1 and "is damaged" in error
    code, _, error = call(capsys, "--to", to, "5")
    assert code == 2 and "no student notebook of week05" in error


def test_a_student_notebook_with_solutions_in_it_is_refused(course, to, capsys):
    solved = (course / "notebooks" / "solutions" / "week97_example.ipynb").read_bytes()
    (course / "notebooks" / "week97_example.ipynb").write_bytes(solved)
    code, _, error = call(capsys, "--to", to, "97")
    assert code == 2 and "holds solutions" in error and not to.exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(course, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, _, error = call(capsys, "--to", tmp_path / "locked" / "hand-out")
    assert code == 2 and error.count("\n") == 1 and "cannot be written" in error


def test_a_full_disk_leaves_nothing_new_and_nothing_half(course, to, monkeypatch, capsys):
    write, left = files.write, [5]

    def full(path, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(files, "write", full)
    code, _, error = call(capsys, "--to", to, "97")
    assert code == 2 and "No space left on device" in error and not to.exists()
    left[0] = 1000
    call(capsys, "--to", to, "97")
    left[0] = 1
    code, _, error = call(capsys, "--to", to, "98")
    assert code == 2 and "no file is half written" in error and (to / "notebooks" / "week97_example.ipynb").exists()
    left[0] = 1000
    assert call(capsys, "--to", to, "98")[0] == 0 and "notebooks/week98_example.ipynb" in tree(to)


# --- packed references


def test_packed_references_come_back_under_their_own_name(tmp_path, monkeypatch):
    source = "import dataclasses\n\n@dataclasses.dataclass\nclass Pair:\n    a: int\n\n"
    source += "def double(x):\n    return 2 * x  # ü\n"
    (tmp_path / "week77.packed").write_bytes(references.pack(source))
    assert b"double" not in references.pack(source)
    monkeypatch.delitem(sys.modules, "sslcourse.solutions.week77", raising=False)
    module = references.load("week77", tmp_path)
    assert module.double(4) == 8 and module.Pair(1).a == 1 and module.double.__module__ == "sslcourse.solutions.week77"
    assert sys.modules.pop("sslcourse.solutions.week77") is module
    assert references.load("week76", tmp_path) is None


@pytest.mark.parametrize("data", [b"", b"The solved", b"\xff\xfe", b"a'b"])
def test_damaged_references_say_so(data, tmp_path):
    (tmp_path / "week77.packed").write_bytes(data)
    with pytest.raises(ImportError, match=r"week77.packed is damaged .*fetch the hand-out again"):
        references.load("week77", tmp_path)


def test_words_of_links_that_would_be_dead():
    text = "[a](x.md) [b](y.md#top) ![c](z.png) [d](https://example.org) [e](#here) [f](sub) [g [h]](y.md)"
    there = {"docs/x.md": b"", "docs/sub/one.md": b""}
    assert content.without_dead_links(text, "docs/page.md", there) == (
        "[a](x.md) b ![c](z.png) [d](https://example.org) [e](#here) [f](sub) g [h]"
    )
    for apart in ("$E[f](x)$", "$$\n[f](x)\n$$", "`a[0](x)`", "```\n[f](x)\n```"):
        assert content.without_dead_links(f"{apart} [b](y.md)", "page.md", {}) == f"{apart} b"

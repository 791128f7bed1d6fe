"""The repository keeps its own rules: documented signatures, pinned dependencies, links, a set-up that explains."""

import importlib
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sslcourse
from sslcourse.cli import source, timing

ROOT = Path(__file__).parents[1]


def documented_signatures():
    """(module, name, names of parameters) for every call written in CONTRIBUTING.md that is not marked (later)."""
    module, found = None, []
    for line in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"### `(sslcourse[\w.]*)`", line):
            module = heading[1]
        if module is None or not line.startswith("- ") or "on the command line" in line:
            continue
        # What follows the first "`: " explains; what is marked (later), before or behind it, is not there yet.
        for code in re.findall(r"`([^`]+)`(?! \*\(later\)\*)", re.split(r"(?<=`): ", line)[0]):
            call = re.match(r"(\w+)\((.*?)\)(?: ->.*)?$", code)
            if call and not line.startswith("- *(later)*"):
                inside = re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", call[2])
                names = [part.split("=")[0].split(":")[0].strip().split(" ")[0] for part in inside.split(",")]
                found.append((module, call[1], [name for name in names if name not in ("", "*")]))
    return found


def test_the_list_of_signatures_is_long():
    assert len(documented_signatures()) > 35


@pytest.mark.parametrize("module, name, parameters", documented_signatures(), ids=lambda value: str(value)[:40])
def test_every_documented_signature_is_the_real_one(module, name, parameters):
    if module == "sslcourse.check" and name in ("report", "sweep"):
        module = f"sslcourse.check.{name}"    # a function in a file of its own name, offered by every week
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return
    real = [str(item).split(":")[0].split("=")[0].strip() for item in inspect.signature(thing).parameters.values()]
    assert parameters == real, f"{module}.{name}"


def test_constraints_are_exact_and_cover_every_dependency():
    lines = (ROOT / "constraints.txt").read_text().split("\n")[:-1]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    names = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in wanted}
    assert names - {"sslcourse"} <= pinned


def test_every_dependency_has_its_reason_beside_it():
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        if re.match(r'    "[^"]+>=[^"]+",', line):
            assert re.search(r",\s+# \S+", line), f"no reason: {line}"


LINKED = ["README.md", "CONTRIBUTING.md", "data/README.md", "docs/architecture.md", "docs/teaching.md"]


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        # Where the site of a repository, or of a fork of it, is deployed: no file, but a page of the hosting.
        if not target.startswith("http") and target != "../../deployments/github-pages":
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_readme_names_every_week():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for week in sslcourse.WEEKS.values():
        assert week.title in text and f"notebooks/{week.notebook}.ipynb" in text


def make(python: str, tmp_path: Path) -> subprocess.CompletedProcess:
    command = ["make", "-s", "-C", str(ROOT), "setup", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for python are shell scripts")
@pytest.mark.parametrize(
    "script, sentence",
    [
        ("exit 1", "missing or older than Python 3.11"),
        ('case "$*" in *venv*) exit 1;; esac; exit 0', "cannot make a virtual environment"),
    ],
)
def test_a_python_that_will_not_do_gets_one_sentence(script, sentence, tmp_path):
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\n{script}\n")
    stand_in.chmod(0o755)
    result = make(str(stand_in), tmp_path)
    assert result.returncode != 0
    said = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1 and sentence in said[0] and "make PYTHON=" in said[0]


PAGE = (ROOT / "docs" / "teaching_weeks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("week", [w for w in sslcourse.WEEKS.values() if w.id != "project"], ids=lambda week: week.id)
def test_the_teacher_has_a_page_for_every_week_that_says_what_is_so(week):
    """Its minutes are the notebook's, its mistakes are named as the checks name them."""
    bonus = {"bonus": "## Bonus: explaining", "bonus_jepa": "## Bonus: JEPA"}
    head = bonus.get(week.id) or f"## Week {int(week.id[4:])}:"
    page = " ".join(PAGE.partition(head)[2].partition("\n## ")[0].split())
    counted = timing.of(source.read(ROOT / "notebooks" / "source" / f"{week.notebook}.py"))
    assert f"reading {counted.reading}, exercises {counted.exercises}, questions {counted.questions}." in page
    checks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sslcourse" / "check" / week.id).glob("*.py"))
    checks = re.sub(r"\s+", " ", re.sub(r'"\s*\n\s*f?"', "", checks))
    mistakes = re.findall(r'"([^"]+)"', re.search(r"\*\*Mistakes\*\*:(.*?)- \*\*Skip", page)[1])
    assert len(mistakes) == 3
    for mistake in mistakes:
        assert mistake in checks, mistake
    assert "**While it" in page


PLAYED = r"""#!/bin/sh
echo "python $*" >> "$LOG"
case "$*" in "-m venv "*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    printf '#!/bin/sh\necho ran "$@"; exit "${CODE:-0}"\n' > "$3/bin/sslcourse" && chmod +x "$3/bin/sslcourse";;
esac
"""


@pytest.fixture
def played(tmp_path):
    """make with a python, and perhaps a uv, that only note what they are asked for: (output, notes, code)."""

    def play(*arguments, uv=False, **environment):
        log, python, folder = tmp_path / "log", tmp_path / "python", tmp_path / "bin"
        log.write_text("")
        python.write_text(PLAYED)
        python.chmod(0o755)
        folder.mkdir(exist_ok=True)
        for tool in ("sh", "cat", "cp", "date", "du", "awk", "chmod", "mkdir", "printf", "make"):
            if not (folder / tool).exists():
                (folder / tool).symlink_to(shutil.which(tool))
        (folder / "uv").unlink(missing_ok=True)
        if uv:
            (folder / "uv").write_text('#!/bin/sh\necho "uv $*" >> "$LOG"\n')
            (folder / "uv").chmod(0o755)
        command = ["make", "-C", str(ROOT), *arguments, f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
        changes = {"PATH": str(folder), "LOG": str(log), **environment}
        result = subprocess.run(command, capture_output=True, text=True, env=changes)
        return result.stdout, log.read_text(), result.returncode

    return play


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
def test_a_fresh_run_says_what_it_took_and_a_later_one_does_not(played):
    said, notes, code = played("run")
    assert code == 0 and notes.count("pip install") == 2 and "ran run --scale tiny" in said
    assert re.search(r"A fresh make run: \d+ s, \d+ s of them for the set-up, which takes \d+\.\d GB in", said)
    said, notes, code = played("run")
    assert code == 0 and notes == "" and "ran run" in said and "fresh" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
def test_a_run_that_fails_still_says_what_the_set_up_took(played):
    said, _, code = played("run", CODE="1")
    assert code != 0 and "A fresh make run" in said


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
@pytest.mark.parametrize("uv", [True, False])
def test_uv_installs_where_it_is_and_torch_comes_from_where_it_is_asked_for(played, uv):
    _, notes, code = played("setup", "TORCH_INDEX=https://example.org/cpu", uv=uv)
    assert code == 0
    lines = [line for line in notes.splitlines() if "pip install" in line]
    assert len(lines) == 3 and all(line.startswith("uv" if uv else "python -m") for line in lines)
    # Without its dependencies: an index of torch need not have the versions of these that the constraints name.
    assert "--no-deps -c constraints.txt --index-url https://example.org/cpu torch torchvision" in lines[0]
    assert lines[1].endswith("-c constraints.txt -e .[test]") and "index" not in lines[1] + lines[2]

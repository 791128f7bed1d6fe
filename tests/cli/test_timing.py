"""How long a week takes: counted from its script, within what a class has, and stated in its first cell."""

import re
from pathlib import Path

import pytest
from example_source import SOURCE, write_course

from sslcourse.cli import Refusal, cells, source, timing

ROOT = Path(__file__).parents[2]
MOST = 150  # minutes: reading before class, core exercises and questions of any week
TIMED = SOURCE.replace("difficulty 1 of 3", "difficulty 1 of 3  ·  about 20 minutes")
WEEKS = [path for path in source.find_scripts(ROOT) if path.stem != "project_template"]


@pytest.mark.parametrize("path", WEEKS, ids=lambda path: path.stem)
def test_a_week_fits_into_its_class_and_says_so_first(path):
    script = source.read(path)
    counted = timing.of(script)
    assert counted.words > 200 and counted.exercises and counted.questions
    assert counted.total <= MOST
    first = cells.solution_notebook(script).cells[0].source
    assert f"**Time** {counted}" in first and f"{counted.total} minutes together." in first
    assert timing.PLACE not in first


@pytest.mark.parametrize("path", WEEKS, ids=lambda path: path.stem)
def test_the_minutes_of_the_parts_add_up(path):
    script = source.read(path)
    parts = [timing.filled(cell, script) for cell in script.cells if cell.role == "before"]
    stated = [
        re.search(r"^\*To read before class(?:, about (\d+) minutes?)?\.\*$", part, re.MULTILINE) for part in parts
    ]
    assert sum(int(minutes[1] or 0) for minutes in stated) == timing.of(script).reading


def test_what_is_counted(tmp_path):
    theory = '# %% [markdown] tags=["before"]\n# ## Theory\n#\n' + "# one $x = 2$ - three\n" * 100 + "\n"
    text = TIMED.replace('# %% tags=["setup"]', theory + '# %% tags=["setup"]', 1)
    root = write_course(tmp_path, text)
    script = source.read(source.find_scripts(root)[0])
    counted = timing.of(script)
    assert counted.words == 1 + 400 and counted.reading == 3  # a lone dash or sign is no word
    assert (counted.exercises, counted.exercise_points) == (20, 2)  # one core exercise, one given
    assert (counted.questions, counted.question_points, counted.total) == (4, 1, 27)

    (cell,) = [one for one in cells.student_notebook(script).cells if "before" in one.metadata.get("tags", [])]
    assert cell.source.startswith("## Theory\n\n*To read before class, about 3 minutes.*\n\none")


def test_a_core_exercise_says_how_long_it_takes(tmp_path):
    (path,) = source.find_scripts(write_course(tmp_path))
    with pytest.raises(Refusal, match=r"line 30: the heading of double does not end in '·  about 15 minutes'"):
        timing.of(source.read(path))


def test_code_is_not_read_before_class(tmp_path):
    (path,) = source.find_scripts(write_course(tmp_path))
    path.write_text(path.read_text(encoding="utf-8") + '\n# %% tags=["before"]\n1\n', encoding="utf-8")
    with pytest.raises(Refusal, match="what is to be read before class is a .markdown. cell"):
        source.read(path)

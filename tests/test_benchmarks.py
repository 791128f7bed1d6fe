"""The collector of benchmarks takes any script: rows, plain print, a missing peer, a failure."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks are not part of the wheel")


@pytest.fixture(scope="module")
def collect():
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("collect", FOLDER / "collect.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))


def script(folder, text: str) -> Path:
    path = folder / "some.py"
    path.write_text(f'"""What it | measures.\n\nMore."""\n{text}\n')
    return path


def test_rows_of_a_comparison_have_ratio_spread_and_goal(collect, tmp_path):
    path = script(
        tmp_path,
        "from rows import compare\n"
        "def burn(n):\n    return lambda: sum(range(n))\n"
        "def rows():\n"
        "    peers = {'slow': burn(4_000_000), 'absent': None}\n"
        "    yield from compare('a sum', burn(400_000), peers, {'slow': 2, 'absent': 3}, rounds=3)\n",
    )
    (slow, absent), text = collect.run(path)
    assert text == "" and 3 < slow.low <= slow.ratio <= slow.high < 40
    assert (absent.peer, absent.ratio, absent.note) == ("not run", None, "not installed")
    page = collect.table([slow, absent])
    assert "2 reached" in page and "| absent | not run |" in page
    assert collect.first_line(path) == "What it | measures."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def main():\n    print('3 checks, 2 s')", "3 checks, 2 s"),
        ("def rows():\n    yield dict(what='a', ours='1 s', against='b', peer='2 s', ratio=2.0)", ""),
        ("def rows():\n    yield ('a', '1 s', 'b', '2 s', 2.0)\n    raise OSError('disk full')", "OSError: disk full"),
        ("import not_there_at_all", "No module named 'not_there_at_all'"),
    ],
)
def test_other_scripts_are_quoted_and_what_fails_is_named(text, said, collect, tmp_path):
    rows, quoted = collect.run(script(tmp_path, text))
    assert said in quoted and len(rows) == text.count("yield")


def test_a_script_that_takes_too_long_is_named_and_its_rows_stay(collect, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_MINUTES", "0.1")
    text = "def rows():\n    yield ('a', '1 s', 'b', '2 s')\n    import time; time.sleep(60)"
    rows, quoted = collect.run(script(tmp_path, text))
    assert "longer than 0.1 minutes" in quoted and len(rows) == 1


def test_a_benchmark_that_is_not_there_is_named(collect, capsys):
    assert collect.main(["nowhere"]) == 2
    assert "There is no benchmark nowhere; choose from" in capsys.readouterr().out


def test_a_named_benchmark_leaves_the_others_on_the_page_alone(collect, tmp_path, monkeypatch, capsys):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(f'"""About {name}."""\nprint("first {name}")\ndef main():\n    pass\n')
    monkeypatch.setattr(collect, "HERE", tmp_path)
    monkeypatch.setattr(collect, "PAGE", tmp_path / "page.md")
    assert collect.main(["one"]) == 0
    assert "Not run." in (tmp_path / "page.md").read_text()
    assert collect.main([]) == 0
    (tmp_path / "two.py").write_text('"""About two."""\nprint("second two")\ndef main():\n    pass\n')
    assert collect.main(["two"]) == 0
    said = collect.sections((tmp_path / "page.md").read_text())
    assert list(said) == ["one", "two"] and "first one" in said["one"] and "second two" in said["two"]
    assert all("Measured on" in text for text in said.values())

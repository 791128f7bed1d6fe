"""Scales: what begin prints, seeds and refuses."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import sslcourse
from sslcourse import notices, weeks


def test_begin_seeds_and_prints_one_line(capsys):
    sslcourse.begin(4, seed=3)
    first = torch.rand(3), np.random.rand(3)
    sslcourse.begin("week04_simclr", seed=3)
    assert torch.equal(first[0], torch.rand(3)) and np.array_equal(first[1], np.random.rand(3))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert all(word in lines[0] for word in ("week04", "tiny", "CPU", "generated data", "seed 3", "minute"))


def test_begin_reads_the_environment_and_arguments_win(monkeypatch):
    monkeypatch.setenv("SSLCOURSE_SCALE", "dry")
    monkeypatch.setenv("SSLCOURSE_SEED", "7")
    scale = sslcourse.begin(1)
    assert (scale.name, scale.seed, scale.max_steps) == ("dry", 7, 1)
    scale = sslcourse.begin(1, scale="tiny", seed=1)
    assert (scale.name, scale.seed, scale.max_steps) == ("tiny", 1, None)


def test_pick_takes_tiny_at_dry_unless_told_otherwise():
    dry = sslcourse.begin(1, scale="dry")
    assert dry.pick(tiny=1, small=2, full=3) == 1
    assert dry.pick(tiny=1, small=2, full=3, dry=None) is None
    assert sslcourse.begin(1, scale="small").pick(tiny=1, small=2, full=3) == 2


def test_generator_is_that_of_the_seed_plus_offset():
    scale = sslcourse.begin(1, seed=5)
    expected = torch.rand(4, generator=torch.Generator().manual_seed(7))
    assert torch.equal(torch.rand(4, generator=scale.generator(2)), expected)


def test_no_widgets_are_no_warning(tmp_path):
    """As in a kernel of JupyterLab or VS Code without ipywidgets, in which transformers imports tqdm.auto."""
    (tmp_path / "ipywidgets.py").write_text("raise ImportError('not installed')")
    kernel = "import sys, types; import IPython; sys.modules['ipykernel.zmqshell'] = types.ModuleType('zmqshell')"
    for course, words in (("", "IProgress not found"), ("import sslcourse", "")):
        code = f"{kernel}\n{course}\nfrom tqdm.auto import tqdm\nfor _ in tqdm([1], disable=True): pass"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0 and (words in done.stderr if words else done.stderr == ""), done.stderr


def test_begin_forgets_earlier_references():
    notices.remember("nt_xent")
    sslcourse.begin(4)
    assert notices.references_used() == ()


@pytest.mark.parametrize("wrong", [{"week": 99}, {"week": "simclr"}, {"week": 4, "scale": "huge"}])
def test_unknown_names_get_one_sentence(wrong):
    with pytest.raises(ValueError, match=r"choose one of .+\.$"):
        sslcourse.begin(**wrong)


def test_a_seed_that_is_no_number_gets_one_sentence(monkeypatch):
    monkeypatch.setenv("SSLCOURSE_SEED", "one")
    with pytest.raises(ValueError, match="SSLCOURSE_SEED is 'one'"):
        sslcourse.begin(4)


@pytest.mark.parametrize("seed", [-1, 1.5, "3", True, float("nan"), 2**63, [0], np.float32(2), b"1"])
def test_a_seed_that_is_no_whole_number_is_named_as_given(seed):
    state = torch.get_rng_state()
    with pytest.raises(ValueError) as caught:
        sslcourse.begin(4, seed=seed)
    assert str(caught.value).startswith(f"seed is {seed!r}; it should be a whole number from 0 on")
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("seed", [0, np.int64(7), 2**63 - 1])
def test_whole_numbers_are_seeds(seed):
    scale = sslcourse.begin(4, seed=seed)
    assert scale.seed == seed and type(scale.seed) is int


@pytest.mark.parametrize("text", ["-1", "1.5", "\u00b2", "9" * 5000, str(2**63)])
def test_a_seed_of_the_environment_is_named_as_given(monkeypatch, text):
    monkeypatch.setenv("SSLCOURSE_SEED", text)
    with pytest.raises(ValueError, match="SSLCOURSE_SEED is '.*whole number from 0 on"):
        sslcourse.begin(4)


def test_a_week_in_strange_digits_is_unknown():
    with pytest.raises(ValueError, match="There is no week"):
        weeks.find("\u00b2")


def test_every_week_is_found_by_number_id_and_notebook():
    for row in sslcourse.WEEKS.values():
        assert weeks.find(row.id) is row and weeks.find(row.notebook) is row
    assert weeks.find(4) is weeks.find("4") is weeks.find("week04")


def test_import_is_light():
    heavy = ("torch", "numpy", "matplotlib", "sklearn", "scipy", "transformers", "datasets", "timm", "torchvision")
    code = f"import sys, sslcourse; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


def test_what_the_package_offers_is_there_when_it_is_asked_for():
    code = "import sslcourse; print(sslcourse.begin.__module__, sslcourse.notices.__name__, sorted(dir(sslcourse))[:2])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "sslcourse.scale sslcourse.notices ['Scale', 'WEEKS']"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sslcourse.nothing  # noqa: B018


def test_solution_names_what_is_missing():
    with pytest.raises(ValueError, match="no exercise named 'nothing'"):
        sslcourse.solution("week04", "nothing")
    with pytest.raises(ImportError, match="handed out without the solutions of week99"):
        sslcourse.solution("week99", "nothing")

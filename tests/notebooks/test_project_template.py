"""The project template on data that is not its example: long proteins, and sets without classes."""

import ast
from pathlib import Path

import pytest
import torch

from sslcourse import models
from sslcourse.data.own import OwnSet

SCRIPT = Path(__file__).parents[2] / "notebooks" / "source" / "project_template.py"


@pytest.fixture(scope="module")
def template() -> dict:
    """The functions of the template, without its cells."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    tree.body = [part for part in tree.body if isinstance(part, ast.FunctionDef)]
    names = {"torch": torch, "Path": Path}
    exec(compile(tree, str(SCRIPT), "exec"), names)
    return names


def proteins(*items):
    return OwnSet(items, torch.zeros(len(items), dtype=torch.int64), ("one",), "some")


def test_long_proteins_are_read_in_windows(template, capsys):
    """Against windows cut one at a time; where a sequence has places enough, the mean is that of the whole."""
    model = models.load_pretrained("esm_potts")
    part = proteins("MKTAYIAKQRQISFVKSHFS" * 4, "MKTAY", "ACDEFGHIKLMNPQRS" * 2)
    found = template["pooled_residues"](model, part)
    long = part.items[0]
    rows = [model.hidden([long[n : n + 32]])[0] for n in (0, 32, 64)]
    assert [len(row) for row in rows] == [32, 32, 16]
    assert torch.allclose(found[0], torch.cat(rows).mean(dim=0), atol=1e-5)
    for n in (1, 2):
        assert torch.allclose(found[n], model.hidden([part.items[n]])[0].mean(dim=0), atol=1e-5)
    template["say_windows"]({"ESM": model, "rotary": models.esm(16, 1, 2)}, part)
    assert capsys.readouterr().out == "ESM reads 1 of 3 sequences in windows of 32 residues\n"


def test_a_model_without_an_end_reads_them_whole(template):
    torch.manual_seed(0)
    model = models.esm(16, 1, 2).eval()
    part = proteins("MKTAYIAKQR" * 9, "MKT")
    found = template["pooled_residues"](model, part)
    assert torch.allclose(found[0], model.hidden(part.items)[0].mean(dim=0), atol=1e-5)


def test_a_set_without_classes_ends_in_a_sentence(template):
    part = OwnSet(("a", "b"), torch.tensor([-1, -1]), (), "some")
    with pytest.raises(ValueError, match="no classes to tell apart: give images a subfolder for each class"):
        template["shares"](part, [0], [1])

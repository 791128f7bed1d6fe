"""reads_its_input: models that see letters, models that see none or not all, and what is no comparison at all."""

import pytest
import torch
from torch import nn

from sslcourse import models
from sslcourse.evaluate import reads_its_input

SEQUENCES = ["ACDEFG", "GHIKLM", "ACDEFH", "MNPQ", "RSTV"]


@pytest.fixture(scope="module")
def lm():
    torch.manual_seed(0)
    return models.esm(16, 1, 2).eval()


def pooled(model):
    return lambda sequences: torch.stack([h.mean(dim=0) for h in model.hidden(list(sequences))])


def unknown(model, letters="ACDEFGHIKLMNPQRSTVWY"):
    """The same model behind a tokenizer that knows some letters no more."""
    table = str.maketrans(dict.fromkeys(letters, "X"))
    return lambda sequences: model.hidden([sequence.translate(table) for sequence in sequences])


def test_a_model_reads(lm, capsys):
    assert reads_its_input(lm.hidden, SEQUENCES) is True
    assert reads_its_input(pooled(lm), SEQUENCES) is True
    assert capsys.readouterr().out == ""


def test_a_tokenizer_that_knows_no_letter_is_told(lm, capsys):
    assert reads_its_input(unknown(lm), SEQUENCES) is False
    said = capsys.readouterr().out
    assert "4 of 4 pairs of different inputs of equal length" in said and "'ACDEFG' and 'GHIKLM'" in said
    assert len(said.splitlines()) == 1


def test_some_letters_alone_are_told_too(lm, capsys):
    assert not reads_its_input(unknown(lm, "GH"), SEQUENCES)
    assert "1 of 4 pairs" in capsys.readouterr().out


def test_a_collapsed_model_does_not_read(lm):
    assert not reads_its_input(lambda items: torch.ones(len(items), 8), SEQUENCES)
    assert not reads_its_input(lambda items: torch.zeros(len(items), 8), SEQUENCES)
    noisy = 1000 + 1e-4 * torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    rows = {item: row for item, row in zip(SEQUENCES, noisy, strict=True)}
    assert not reads_its_input(lambda items: torch.stack([rows[item] for item in items]), SEQUENCES)


def test_a_small_feature_beside_a_large_one_counts():
    """Trained transformers have features a thousand times larger than the rest, the same for every input."""
    assert reads_its_input(lambda items: torch.tensor([[1000.0, ord(one[-1]) / 100] for one in items]), SEQUENCES)
    scaled = lambda items: torch.tensor([[1e-30 * ord(one[-1])] for one in items], dtype=torch.float64)  # noqa: E731
    assert reads_its_input(scaled, SEQUENCES[:2])


def test_length_is_no_reading(lm):
    words = lambda items: torch.tensor([[float(len(item.split()))] for item in items])  # noqa: E731
    assert not reads_its_input(words, ["one two", "six ten", "a b c d"])
    with pytest.raises(ValueError, match="no two different strings of equal length and as many words"):
        reads_its_input(words, ["one two", "six tens", "one two", "six-ten"])
    with pytest.raises(ValueError, match="no two different strings"):
        reads_its_input(lm.hidden, ["ACD", "ACD"])


def test_dropout_is_no_reading():
    torch.manual_seed(0)
    drop = nn.Dropout(0.5)
    with pytest.raises(ValueError, match="other features in a second call.*eval mode"):
        reads_its_input(lambda items: drop(torch.ones(len(items), 32)), SEQUENCES)
    assert not reads_its_input(lambda items: drop.eval()(torch.ones(len(items), 32)), SEQUENCES)


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (lambda items: torch.ones(3, 4), "3 results for 5 items"),
        (lambda items: None, "no features for 5 items"),
        (lambda items: torch.full((5, 2), float("nan")), "no finite real numbers"),
        (lambda items: torch.ones(5, 0), "empty"),
        (lambda items: ["a"] * 5, "What encode gives for item 0"),
    ],
)
def test_features_that_are_none_are_refused(encode, words):
    with pytest.raises((ValueError, TypeError), match=words):
        reads_its_input(encode, SEQUENCES)

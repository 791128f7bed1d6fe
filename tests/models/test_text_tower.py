"""Words to numbers, and the small text tower over them."""

import pytest
import torch

from sslcourse.models import TextTransformer, Vocabulary

CAPTIONS = ["a small red house, at night on snow", "A house", "a tree by day"]


def tower(length=12, depth=1):
    torch.manual_seed(0)
    return TextTransformer(40, dim=16, length=length, depth=depth).eval()


def test_words_are_numbered_in_alphabetical_order_and_padded():
    vocabulary = Vocabulary(CAPTIONS, length=5)
    assert vocabulary.words == ("a", "at", "by", "day", "house", "night", "on", "red", "small", "snow", "tree")
    assert len(vocabulary) == 12 and "tree" in vocabulary and "boat" not in vocabulary
    ids = vocabulary.encode(["A tree!", "by day, on snow"])
    assert ids.tolist() == [[1, 11, 0, 0, 0], [3, 4, 7, 10, 0]]


@pytest.mark.parametrize(
    ("texts", "error", "sentence"),
    [
        (["a boat"], ValueError, "'boat' of 'a boat' was in no training caption"),
        (["a a a a a a"], ValueError, "has 6 words; expected 1 to 5"),
        (["..."], ValueError, "has 0 words"),
        ("a house", TypeError, r"a list of texts, got one: \['a house'\]"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(texts, error, sentence):
    with pytest.raises(error, match=sentence):
        Vocabulary(CAPTIONS, length=5).encode(texts)
    with pytest.raises(ValueError, match="no word"):
        Vocabulary(["", "!"])


@pytest.mark.parametrize("depth", [1, 2])
def test_padding_changes_nothing(depth):
    ids = torch.tensor([[3, 9, 4]])
    padded = torch.tensor([[3, 9, 4, 0, 0, 0, 0]])
    other = torch.tensor([[3, 9, 4, 0, 0, 0, 0], [5, 6, 7, 8, 9, 10, 11]])
    one = tower(depth=depth)
    torch.testing.assert_close(one(ids), one(padded), atol=1e-5, rtol=0)
    torch.testing.assert_close(one(other)[:1], one(padded), atol=1e-5, rtol=0)
    assert one(ids).shape == (1, one.num_features)


def test_the_order_of_words_counts():
    one = tower()
    assert not torch.allclose(one(torch.tensor([[3, 9]])), one(torch.tensor([[9, 3]])), atol=1e-3)


def test_gradients_reach_every_weight_that_is_used():
    one = tower().train()
    one(torch.tensor([[3, 9, 4], [1, 2, 0]])).square().sum().backward()
    assert all(p.grad is not None for p in one.parameters())
    assert one.words.weight.grad[3].any() and not one.words.weight.grad[0].any()

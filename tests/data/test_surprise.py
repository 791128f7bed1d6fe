"""The entropy of the toy grammar at hidden words, against a sum over sentences that are written out."""

import itertools

import pytest
import torch

from sslcourse import data
from sslcourse.data.texts import reviews
from sslcourse.data.texts.surprise import hidden_word_surprise


@pytest.fixture(scope="module")
def tokenizer():
    words = {word for document in data.load_texts("reviews", n=600, seed=5).texts for word in document.split()}
    return data.train_tokenizer([" ".join(sorted(words))] * 3, 400)


def sentences(topic, sentiment):
    """{sentence: probability}, from the description of the grammar."""
    found = {}
    for aspect in reviews.TOPICS[topic]:
        for denied, share in ((False, 0.7), (True, 0.3)):
            kind = reviews.WORDS[1 - sentiment if denied else sentiment]
            negators = ("not ", "never ", "hardly ") if denied else ("",)
            for negator in negators:
                start, at = f"{aspect} was {negator}", share / 6 / len(negators)
                for one in kind:
                    found[f"{start}{one} ."] = at * 0.3 / 16
                for one, other in itertools.permutations(kind, 2):
                    found[f"{start}{one} {'or' if denied else 'and'} {other} ."] = at * 0.7 / 16 / 15
    return found


def test_the_grammar_written_out_is_a_distribution_and_makes_the_reviews():
    texts = sentences("book", 1)
    assert sum(texts.values()) == pytest.approx(1, abs=1e-12)
    some = data.load_texts("reviews", n=60, seed=3)
    books = [d for d, topic, y in zip(some.documents, some.factors["topic"], some.labels, strict=True)
             if topic == 2 and y == 1]  # fmt: skip
    assert books and all(sentence in texts for document in books for sentence in document)


def by_hand(tokenizer, shown, place, word, p):
    """-log p(word at place | shown): a sum over all sentences of the right length, written out."""
    vocab, length = tokenizer.get_vocab(), len(shown)
    pieces, mask = len(vocab), vocab["[MASK]"]

    def likely(at, true):  # true (K,), as each sentence has it
        here, same = shown[at], (true == shown[at]).double()
        as_chosen = 0.8 * (here == mask) + 0.1 / pieces + 0.1 * same
        return as_chosen if at == place else (1 - p) * same + p * as_chosen

    every = with_word = 0.0
    for topic, sentiment in itertools.product(reviews.TOPICS, range(2)):
        parts = [{}, {}]  # of each sentence, by its length: the summed probability, and that with the word at its place
        by_length = {}
        for sentence, probability in sentences(topic, sentiment).items():
            by_length.setdefault(len(sentence.split()), []).append((sentence, probability))
        for n, which in itertools.product(by_length, (0, 1)):
            begin = length - n if which else 0
            ids = torch.tensor([[vocab[w] for w in text.split()] for text, _ in by_length[n]])
            total = torch.tensor([probability for _, probability in by_length[n]], dtype=torch.float64)
            if 4 <= length - n <= 7:
                for at in range(n):
                    total = total * likely(begin + at, ids[:, at])
                right = ids[:, place - begin] == word if begin <= place < begin + n else torch.ones(len(ids))
                parts[which][n] = total.sum(), (total * right).sum()
        for n, (one, one_right) in parts[0].items():
            other, other_right = parts[1][length - n]
            every, with_word = every + one * other, with_word + one_right * other_right
    return float(every.log() - with_word.log())


def test_it_is_the_sum_over_all_reviews(tokenizer):
    texts = ("soup was [MASK] and superb . waiter was never awful .", "plot was good . [MASK] was [MASK] [MASK] .")
    tokens = data.encode(tokenizer, texts, 16)
    labels = torch.full_like(tokens.input_ids, -100)
    asked = [(0, 3, "great"), (0, 9, "never"), (1, 7, "hardly")]
    for row, place, word in asked:
        labels[row, place] = tokenizer.token_to_id(word)
    came = hidden_word_surprise(tokenizer, tokens.input_ids, labels, 0.15)
    shown = [row[1 : int((row == tokenizer.token_to_id("[SEP]")).nonzero()[0])].tolist() for row in tokens.input_ids]
    wanted = [by_hand(tokenizer, shown[row], place - 1, tokenizer.token_to_id(w), 0.15) for row, place, w in asked]
    torch.testing.assert_close(came, torch.tensor(wanted, dtype=torch.float64), atol=1e-9, rtol=0)


def test_probabilities_add_up_to_one_and_a_fixed_word_is_hardly_surprising(tokenizer):
    tokens = data.encode(tokenizer, ["soup was [MASK] and superb . waiter was [MASK] ."], 16)
    labels = torch.full_like(tokens.input_ids, -100)
    total = 0.0
    for word in sorted({w for kind in reviews.WORDS for w in kind}):
        labels[0, 3] = tokenizer.token_to_id(word)
        total += float(hidden_word_surprise(tokenizer, tokens.input_ids, labels)[0].neg().exp())
    assert total == pytest.approx(1, abs=1e-9)
    labels[0, 3], labels[0, 2] = -100, tokenizer.token_to_id("was")
    assert 0 <= float(hidden_word_surprise(tokenizer, tokens.input_ids, labels)[0]) < 0.1


def test_what_is_no_review_is_refused(tokenizer):
    tokens = data.encode(tokenizer, ["soup was good ."], 16)
    labels = torch.full_like(tokens.input_ids, -100)
    labels[0, 1] = tokens.input_ids[0, 1]
    with pytest.raises(ValueError, match="A text of 4 words is no toy review"):
        hidden_word_surprise(tokenizer, tokens.input_ids, labels)
    with pytest.raises(ValueError, match="have shapes"):
        hidden_word_surprise(tokenizer, tokens.input_ids, labels[:, 1:])
    other = data.train_tokenizer(["one two three"] * 3, 60)
    with pytest.raises(ValueError, match="cuts .* into parts"):
        hidden_word_surprise(other, other_ids := torch.tensor([[2, 5, 3]]), torch.where(other_ids == 5, 5, -100))

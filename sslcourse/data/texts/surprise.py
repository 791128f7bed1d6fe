"""How surprising a hidden word of a toy review is to somebody who knows the grammar: a floor for every language model.

Real language has an entropy that nobody knows. That of the grammar in reviews.py can be computed exactly: sum over all
reviews that could stand behind a text as it is shown. Topic and sentiment tie the words of a review together; given
these and the lengths of its sentences, places are independent, except that two adjectives of one sentence differ.
"""

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data import expect
from sslcourse.data.texts import reviews


def hidden_word_surprise(tokenizer, inputs: Tensor, labels: Tensor, p: float = 0.15) -> Tensor:
    """-log p(word | text as shown) in nats, float64 (M,), for the M places of toy reviews that were chosen.

    inputs, labels: (N, L) as BERT's masking makes them, each place chosen with probability p, of these 80 % [MASK],
    10 % a random piece, 10 % as they are. Its mean is the smallest loss that is to be had on average: it knows the
    grammar and how texts are masked, and does not know which of the words that are shown were chosen. Raises ValueError
    where a text is no toy review of two sentences, or the tokenizer cuts one of their words.
    """
    if arguments.tensor("inputs", inputs).shape != arguments.tensor("labels", labels).shape:
        raise ValueError(f"inputs and labels have shapes {tuple(inputs.shape)} and {tuple(labels.shape)}; give (N, L).")
    pieces, mask, end = tokenizer.get_vocab_size(), tokenizer.token_to_id("[MASK]"), tokenizer.token_to_id("[SEP]")
    chosen = labels != -100
    expect.masking(inputs, chosen, mask, pieces, p)
    numbers = {word: _number(tokenizer, word) for word in _words()}
    shown_end = (inputs == end) & ~chosen
    lengths = torch.where(shown_end.any(dim=1), shown_end.int().argmax(dim=1), -1) - 1  # [CLS] goes before
    surprise = torch.empty(inputs.shape, dtype=torch.float64)
    for n in lengths.unique().tolist():
        if not 2 * min(_LENGTHS) <= n <= 2 * max(_LENGTHS):
            raise ValueError(f"A text of {n} words is no toy review, which has two sentences of 4 to 7 words each.")
        rows, places = (chosen & (lengths == n)[:, None]).nonzero().unbind(1)
        for some in torch.arange(len(rows)).split(256):
            row, place = rows[some], places[some]
            at = torch.arange(len(some)), place - 1
            likely = _likely(inputs[row, 1 : n + 1], p, pieces, mask)  # (M, n, V)
            likely[at] = _likely_chosen(inputs[row, place], pieces, mask)
            everything = _evidence(likely, numbers)
            word = labels[row, place][:, None]
            likely[at] = torch.zeros_like(likely[at]).scatter(1, word, likely[at].gather(1, word))
            surprise[row, place] = everything.log() - _evidence(likely, numbers).log()
    return surprise[chosen]


_LENGTHS = {4: (0, 0), 6: (0, 1), 5: (1, 0), 7: (1, 1)}  # of a sentence: is it denied, has it two adjectives


def _words() -> set[str]:
    kinds = *reviews.TOPICS.values(), *reviews.WORDS, reviews.NEGATORS, ("was", "and", "or", ".")
    return {word for kind in kinds for word in kind}


def _number(tokenizer, word: str) -> int:
    number = tokenizer.token_to_id(word)
    if number is None:
        raise ValueError(f"This tokenizer cuts {word!r} into parts; take that of the toy reviews, reviews_tokenizer().")
    return number


def _likely_chosen(shown: Tensor, pieces: int, mask: int) -> Tensor:
    """(..., V): how likely a chosen place would be shown like this, for every word that could stand there."""
    same = torch.nn.functional.one_hot(shown, pieces).double()
    return 0.8 * (shown == mask)[..., None] + 0.1 / pieces + 0.1 * same


def _likely(shown: Tensor, p: float, pieces: int, mask: int) -> Tensor:
    """The same for a place of which nobody says whether it was chosen."""
    same = torch.nn.functional.one_hot(shown, pieces).double()
    return (1 - p) * same + p * _likely_chosen(shown, pieces, mask)


def _evidence(likely: Tensor, numbers: dict[str, int]) -> Tensor:
    """(M,): the probability of what is shown, summed over all reviews; likely (M, n, V)."""
    n, total = likely.shape[1], torch.zeros(len(likely), dtype=torch.float64)
    for aspects in reviews.TOPICS.values():
        for sentiment in range(len(reviews.SENTIMENTS)):
            for first in _LENGTHS:
                if n - first in _LENGTHS:
                    parts = likely[:, :first], likely[:, first:]
                    one, other = (_sentence(part, aspects, sentiment, numbers) for part in parts)
                    total += one * other
    return total / (len(reviews.TOPICS) * len(reviews.SENTIMENTS))


def _sentence(likely: Tensor, aspects: tuple, sentiment: int, numbers: dict[str, int]) -> Tensor:
    """(M,): the probability that a sentence of so many words is made and shown like this, given topic and sentiment."""
    denied, paired = _LENGTHS[likely.shape[1]]
    prior = reviews.NEGATED if denied else 1 - reviews.NEGATED
    prior = prior * (reviews.PAIRED if paired else 1 - reviews.PAIRED)

    def mean(place: int, *words: str) -> Tensor:
        return likely[:, place, [numbers[word] for word in words]].mean(dim=1)

    found = prior * mean(0, *aspects) * mean(1, "was") * mean(-1, ".")
    if denied:
        found = found * mean(2, *reviews.NEGATORS)
    kind = reviews.WORDS[sentiment ^ denied]
    place = 2 + denied
    if not paired:
        return found * mean(place, *kind)
    ids = [numbers[word] for word in kind]
    one, other = likely[:, place, ids], likely[:, place + 2, ids]
    differ = one.sum(dim=1) * other.sum(dim=1) - (one * other).sum(dim=1)  # two different ones, in either order
    return found * mean(place + 1, "or" if denied else "and") * differ / (len(ids) * (len(ids) - 1))

"""Toy reviews: short texts from a small grammar whose topic, sentiment and negations are known.

A review names what it is about and then judges it in two or three sentences, all of one opinion. An opinion is worded
by one of many synonyms, or denied by a negator before one of the opposite: "the soup was superb" and "the soup was
hardly awful" say the same. So three things are to be had, and they differ in how hard they are: the topic shows in
single words; whether something is denied shows in single words, too; the sentiment shows only in the words *and* in
what they are denied by, and a few labelled reviews leave most of the synonyms unseen. Which words are interchangeable
can be learnt from the texts alone, since the sentences of a review agree.

Only uniform draws are used, so that a seed gives the same texts on every platform.
"""

import numbers

import numpy as np
import torch

from sslcourse.data.texts.sets import TextSet

VERSION = 1  # raise it with any change of the texts: checkpoints name the version that they were trained on

SENTIMENTS = ("negative", "positive")
TOPICS = {  # what is judged; no word belongs to two topics
    "restaurant": ("soup", "dessert", "waiter", "menu", "wine", "kitchen"),
    "film": ("plot", "actor", "script", "camera", "scene", "film"),
    "book": ("chapter", "author", "prose", "hero", "cover", "story"),
    "hotel": ("room", "bed", "pool", "lobby", "breakfast", "porter"),
    "phone": ("screen", "battery", "speaker", "charger", "keyboard", "lens"),
    "concert": ("singer", "drummer", "stage", "encore", "violin", "crowd"),
}
WORDS = (  # for (negative, positive)
    "bad poor awful horrid dreadful dull weak ugly clumsy tedious shabby nasty lousy bland stale crude".split(),
    "good great lovely superb splendid fine perfect pleasant amazing elegant brilliant charming stunning nice sweet "
    "bright".split(),
)
NEGATORS = ("not", "never", "hardly")
NEGATED = 0.3  # the share of sentences that deny the opposite
PAIRED = 0.7  # the share of sentences with two words of one opinion
_SENTENCES = 2  # that judge, in every review
_DRAWS = 6  # uniform numbers for a sentence


def make_reviews(n: int, seed: int = 0) -> TextSet:
    """n reviews, as many negative as positive ones (and as many of each topic, up to one), in shuffled order.

    Lower-case words and full stops with single spaces between; at most 27 words. labels: the sentiment, 0 negative and
    1 positive. factors: "topic" (N,) into TOPICS, "sentiment" (N,) as the labels, "negation" (N,), 1 where a sentence
    is denied. documents: the sentences of each review. Raises ValueError where n is not a whole number from 1 on.
    """
    if not isinstance(n, numbers.Integral) or n < 1:
        raise ValueError(f"n is {n!r}; it should be a whole number of reviews, from 1 on.")
    random = np.random.Generator(np.random.PCG64(seed)).random

    # Every pair of topic and sentiment in turn, then shuffled by sorting uniform keys.
    which = np.arange(n)[np.argsort(random(n))]
    topics, sentiments = which // 2 % len(TOPICS), which % 2
    sentences = random((n, _SENTENCES, _DRAWS))

    documents, negation = [], []
    for topic, sentiment, draws in zip(topics, sentiments, sentences, strict=True):
        aspects, document, denied = list(TOPICS.values())[topic], [], False
        for u in draws:
            denies = u[0] < NEGATED
            word, other = _two(WORDS[sentiment ^ denies], u[1], u[2])
            opinion = f"{word} {'or' if denies else 'and'} {other}" if u[3] < PAIRED else word
            negator = f"{_pick(NEGATORS, u[4])} " if denies else ""
            document.append(f"{_pick(aspects, u[5])} was {negator}{opinion} .")
            denied |= denies
        documents.append(tuple(document))
        negation.append(int(denied))

    labels = torch.from_numpy(sentiments.astype(np.int64))
    factors = {"topic": torch.from_numpy(topics.astype(np.int64)), "sentiment": labels.clone()}
    factors["negation"] = torch.tensor(negation)
    texts = tuple(" ".join(document) for document in documents)
    return TextSet(texts, labels, SENTIMENTS, "reviews", "train", factors=factors, documents=tuple(documents))


def _pick(items, u: float):
    """One of the items by a uniform number in [0, 1)."""
    return items[int(u * len(items))]


def _two(items, u: float, v: float):
    """Two different ones."""
    first = int(u * len(items))
    return items[first], items[(first + 1 + int(v * (len(items) - 1))) % len(items)]

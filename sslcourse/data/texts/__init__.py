"""Texts: sets.py holds what a set is, load.py the loader, sources.py where real sets come from, own.py a student's
own; reviews.py writes the toy world, tokens.py turns texts into tensors."""

from sslcourse.data.texts.load import load_texts
from sslcourse.data.texts.reviews import make_reviews
from sslcourse.data.texts.sets import TextSet, same_classes
from sslcourse.data.texts.tokens import Tokens, encode, reviews_tokenizer, train_tokenizer

__all__ = [
    "TextSet",
    "Tokens",
    "encode",
    "load_texts",
    "make_reviews",
    "reviews_tokenizer",
    "same_classes",
    "train_tokenizer",
]

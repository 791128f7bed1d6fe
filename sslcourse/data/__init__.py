"""Data: image, text and protein sets, toy worlds, loaders of real data sets, the data root and prefetching.

Real data sets live under one folder, the data root; toy worlds are drawn on the spot. Parsers and downloaders
(torchvision, medmnist, requests) are imported when a real data set is first asked for.
"""

import importlib

from sslcourse.data.images import ImageSet, as_float, load_images
from sslcourse.data.proteins import AMINO_ACIDS, Germlines, ProteinSet, load_germlines, load_proteins, parse_mutation
from sslcourse.data.root import DataCorrupted, DataMissing, data_root
from sslcourse.data.texts import (
    TextSet,
    Tokens,
    encode,
    load_texts,
    reviews_tokenizer,
    same_classes,
    train_tokenizer,
)

__all__ = [
    "AMINO_ACIDS",
    "DataCorrupted",
    "DataMissing",
    "Germlines",
    "ImageSet",
    "ProteinSet",
    "TextSet",
    "Tokens",
    "as_float",
    "data_root",
    "encode",
    "load_germlines",
    "load_images",
    "load_proteins",
    "load_texts",
    "parse_mutation",
    "prefetch",
    "reviews_tokenizer",
    "same_classes",
    "train_tokenizer",
]


def __getattr__(name: str) -> object:
    """`data.prefetch`, offered where people look for it; it fetches weights of models too, and so lives upstairs."""
    if name == "prefetch":
        return importlib.import_module("sslcourse.prefetch").prefetch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

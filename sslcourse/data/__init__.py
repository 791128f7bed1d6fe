"""Data: image, text and protein sets, toy worlds, loaders of real data sets, the data root and prefetching.

Real data sets live under one folder, the data root; toy worlds are drawn on the spot. Parsers and downloaders
(torchvision, medmnist, pooch) are imported when a real data set is first asked for.
"""

from sslcourse.data.images import ImageSet, as_float
from sslcourse.data.load import load_images
from sslcourse.data.load_text import load_texts
from sslcourse.data.prefetch import prefetch
from sslcourse.data.protein_load import load_proteins
from sslcourse.data.proteins import AMINO_ACIDS, ProteinSet, parse_mutation
from sslcourse.data.root import DataCorrupted, DataMissing, data_root
from sslcourse.data.texts import TextSet, same_classes
from sslcourse.data.tokens import Tokens, encode, reviews_tokenizer, train_tokenizer

__all__ = [
    "AMINO_ACIDS",
    "DataCorrupted",
    "DataMissing",
    "ImageSet",
    "ProteinSet",
    "TextSet",
    "Tokens",
    "as_float",
    "data_root",
    "encode",
    "load_images",
    "load_proteins",
    "load_texts",
    "parse_mutation",
    "prefetch",
    "reviews_tokenizer",
    "same_classes",
    "train_tokenizer",
]

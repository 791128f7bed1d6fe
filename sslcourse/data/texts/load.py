"""One call for every text set, drawn or real: `load_texts`."""

from dataclasses import replace

import torch

from sslcourse import arguments
from sslcourse.data import advice
from sslcourse.data.images.load import VAL_SEED, VAL_SHARE
from sslcourse.data.images.sets import balanced
from sslcourse.data.texts.reviews import make_reviews
from sslcourse.data.texts.sets import TextSet
from sslcourse.data.texts.sources import CLASS_NAMES, CORPORA

advice.NAMES["load_texts"] = ("reviews", *CORPORA)
TOY_SIZES = {"train": 8000, "val": 1000, "test": 2000}


def load_texts(name: str, split: str = "train", *, n: int | None = None, seed: int = 0) -> TextSet:
    """A text set: toy reviews drawn on the spot, or a real one from the data root, fetched where it is not there.

    name: reviews, imdb or sst2. split: train, val or test; imdb also has unlabelled (labels -1), which has to be
    fetched. val is a class-balanced tenth of the original training texts, the same for everybody, train is the rest;
    the test split of sst2 is what GLUE calls dev. n: a class-balanced subset drawn with `seed`, in shuffled order; for
    the toy, how many to draw. Raises ValueError for an unknown name or split or n larger than the set; DataMissing (a
    FileNotFoundError) where the set is neither there nor to be had; DataCorrupted (an OSError), naming the record.
    """
    name, split, seed = arguments.text("name", name), arguments.text("split", split), arguments.whole("seed", seed, 0)
    n = None if n is None else arguments.whole("n", n, 1)
    if name == "reviews":
        return _toy(split, n, seed)
    if name not in CORPORA:
        raise advice.unknown("text set", name, "load_texts")
    corpus = CORPORA[name]
    splits = (*corpus.parts, "val")
    if split not in splits:
        raise ValueError(f"{name} has no split {arguments.shown(split)}; choose one of {', '.join(splits)}.")

    part = "train" if split == "val" else split
    corpus.ensure(part)
    texts, labels = corpus.read(part)
    labels = torch.tensor(labels)
    chosen = torch.arange(len(labels))
    if part == "train":
        held_back = torch.zeros(len(labels), dtype=torch.bool)
        held_back[balanced(labels, len(labels) // VAL_SHARE, VAL_SEED, name, "texts")] = True
        chosen = (held_back if split == "val" else ~held_back).nonzero()[:, 0]
    if n is not None:
        chosen = chosen[balanced(labels[chosen], n, seed, f"{name} {split}", "texts")]
    return TextSet([texts[i] for i in chosen.tolist()], labels[chosen], CLASS_NAMES, name, split)


def _toy(split: str, n: int | None, seed: int) -> TextSet:
    if split not in TOY_SIZES:
        raise ValueError(f"reviews has no split {arguments.shown(split)}; choose one of {', '.join(TOY_SIZES)}.")
    # Every pair of seed and split has a seed of its own, so that no two splits ever share their draws.
    own = seed * len(TOY_SIZES) + list(TOY_SIZES).index(split)
    return replace(make_reviews(TOY_SIZES[split] if n is None else n, seed=own), split=split)

"""One call for every protein set, drawn or real: `load_proteins`."""

import numpy as np
import torch

from sslcourse import arguments
from sslcourse.data import advice
from sslcourse.data.images.load import ensure
from sslcourse.data.proteins import potts
from sslcourse.data.proteins.alphabet import AMINO_ACIDS
from sslcourse.data.proteins.sets import ProteinSet, decode, encode, mutate
from sslcourse.data.proteins.sources import SOURCES, find_protein_source

TOYS = {"potts": {"train": 6000, "val": 800, "test": 800}, "potts_scan": {"val": 8, "test": 16}}  # name: default sizes
advice.NAMES["load_proteins"] = (*TOYS, *SOURCES)


def load_proteins(name: str, split: str = "train", *, n: int | None = None, seed: int = 0) -> ProteinSet:
    """A protein set: toy families drawn on the spot, or real proteins from the data root, fetched where missing.

    name: potts (sequences of toy families), potts_scan (all single mutants of some of their sequences);
    secondary_structure, localisation, gb1, tem1, gfp. split: train, val or test; localisation also has hard, the scans
    (gb1, tem1, gfp) have test alone, potts_scan val and test.
    n: how many, as equally many of each class as can be, drawn with `seed`; for potts_scan the number of wild types.
    Raises ValueError for an unknown name or split or n larger than the set; DataMissing (a FileNotFoundError) where the
    set is neither there nor to be had; DataCorrupted (an OSError) where a file is not what it should be.
    """
    name, split, seed = arguments.text("name", name), arguments.text("split", split), arguments.whole("seed", seed, 0)
    n = None if n is None else arguments.whole("n", n, 1)
    if name not in advice.NAMES["load_proteins"]:
        raise advice.unknown("protein set", name, "load_proteins")
    splits = tuple(TOYS[name]) if name in TOYS else SOURCES[name].splits
    if split not in splits:
        raise ValueError(f"{name} has no split {arguments.shown(split)}; choose one of {', '.join(splits)}.")
    if name in TOYS:
        n = TOYS[name][split] if n is None else n
        return _families(split, n, seed) if name == "potts" else _scans(split, n, seed)

    source = find_protein_source(name)
    ensure(source, "all")
    whole = source.read(split)
    return whole if n is None else whole.subset(n, seed)


def _families(split: str, n: int, seed: int, kind: int = 0) -> ProteinSet:
    """Sequences of all families, balanced and shuffled."""
    models = potts.families()
    # Every seed, split, kind and family has a seed of its own, so that no two sets ever share a chain.
    own = (((seed * 3) + ("train", "val", "test").index(split)) * 2 + kind) * (len(models) + 1)
    counts = [n // len(models) + (k < n % len(models)) for k in range(len(models))]
    drawn = [potts.sample(model, count, own + k) for k, (model, count) in enumerate(zip(models, counts, strict=True))]
    labels = torch.arange(len(models)).repeat_interleave(torch.tensor(counts))
    order = np.argsort(np.random.Generator(np.random.PCG64(own + len(models))).random(n), kind="stable")
    return ProteinSet(
        decode(torch.cat(drawn)[order]),
        labels[order],
        [f"family {k}" for k in range(len(models))],
        "potts",
        split,
        contacts=torch.stack([model.contacts for model in models]),
        families=models,
    )


def _scans(split: str, n: int, seed: int) -> ProteinSet:
    """All single mutants of n wild types, one class each; score: energy(wild type) - energy(mutant), in kT."""
    wild = _families(split, n, seed, kind=1)
    sequences, mutations, scores, labels = [], [], [], []
    for k, sequence in enumerate(wild.sequences):
        effects = wild.families[wild.labels[k]].effects(encode([sequence])[0]).tolist()
        for place, letter in enumerate(sequence):
            for mutant, effect in zip(AMINO_ACIDS, effects[place], strict=True):
                if mutant != letter:
                    mutations.append(f"{letter}{place + 1}{mutant}")
                    sequences.append(mutate(sequence, mutations[-1]))
                    scores.append(effect)
                    labels.append(k)
    return ProteinSet(
        sequences,
        torch.tensor(labels),
        [f"{wild.class_names[family]}, wild type {k}" for k, family in enumerate(wild.labels.tolist())],
        "potts_scan",
        split,
        scores=torch.tensor(scores, dtype=torch.float64),
        mutations=mutations,
        wild_types=wild.sequences,
        contacts=wild.contacts[wild.labels],
        families=[wild.families[family] for family in wild.labels.tolist()],
    )

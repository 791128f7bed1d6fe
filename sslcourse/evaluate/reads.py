"""Does a model see which input it is given? A tokenizer that knows no letter passes every test of shapes.

Known cases: a runner made for another version of transformers, whose tokenizer then reads all residues as unknown; a
network that has collapsed. Both give features, probes above chance (by length) and no error.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslcourse import arguments

_ROUNDING = 1e-6  # of the largest feature: what order and batches may change


def reads_its_input(encode: Callable[[list[str]], Tensor | Sequence[Tensor]], items: Sequence[str]) -> bool:
    """Whether different strings of equal length get different features; where some do not, one sentence says so.

    encode: N strings to features, (N, D) or N tensors such as the (L, D) of their residues; it is called twice. items:
    texts or sequences, among them different ones of equal length and as many words: a model that knows no letter still
    tells lengths apart. Raises ValueError where there are no two such items, for features that do not belong to N
    items or are not finite, and where the same item gets other features in the second call, as under dropout.
    """
    arguments.function("encode", encode, "a list of strings")
    items = list(dict.fromkeys(arguments.texts("items", items)))
    shapes = [(len(item), len(item.split())) for item in items]
    pairs = [(a, b) for a, b in itertools.combinations(range(len(items)), 2) if shapes[a] == shapes[b]]
    if not pairs:
        raise ValueError(
            "items holds no two different strings of equal length and as many words, so nothing can be compared: a "
            "model that knows no letter still tells lengths apart."
        )
    features, again = _features(encode, items), _features(encode, items[::-1])[::-1]
    largest = max(float(one.abs().max()) for one in features)
    noise, unsteady = max((_apart(a, b), n) for n, (a, b) in enumerate(zip(features, again, strict=True)))
    if noise > 0.01 * largest:
        raise ValueError(
            f"encode gives {arguments.shown(items[unsteady])} other features in a second call, so nothing can be "
            "compared: put the model into eval mode."
        )
    tolerance = max(_ROUNDING * largest, 4 * noise)
    alike = [(a, b) for a, b in pairs if _apart(features[a], features[b]) <= tolerance]
    if alike:
        one, other = (arguments.shown(items[n]) for n in alike[0])
        print(
            f"{len(alike)} of {len(pairs)} pairs of different inputs of equal length get the same features, such as "
            f"{one} and {other}: does the tokenizer know their letters, or has the model collapsed?"
        )
    return not alike


def _features(encode: Callable, items: list[str]) -> list[Tensor]:
    """What encode gives for each item, in float64."""
    with torch.no_grad():
        given = encode(list(items))
    if not isinstance(given, Tensor | list | tuple) or len(given) != len(items):
        found = f"{len(given)} results" if isinstance(given, Tensor | list | tuple) and len(given) else "no features"
        raise ValueError(f"encode returned {found} for {len(items)} items; expected features of each, in their order.")
    rows = [arguments.tensor(f"What encode gives for item {n}", one).detach().cpu() for n, one in enumerate(given)]
    for n, row in enumerate(rows):
        if not row.numel() or row.is_complex() or not row.isfinite().all():
            raise ValueError(f"The features of {arguments.shown(items[n])} are empty or no finite real numbers.")
    return [row.double() for row in rows]


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max()) if a.shape == b.shape else math.inf

"""Splits of proteins that keep relatives together.

Proteins of one family look alike because they descend from one another, so a random split puts near-copies of the test
proteins into training and measures memory. Whole groups are dealt out instead: families or, where these are unknown,
clusters of sequences that share many short words.

References: Steinegger and Soding 2018, "Clustering huge protein sequence sets in linear time" (linking by shared
k-mers, of which this is the plainest form: single linkage, no alignment).
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data import expect

_COMMON, _LETTERS = 50, 3  # a word of more sequences and fewer different letters, such as AAAAA, is no kinship


def cluster(sequences: Sequence[str], k: int = 5, shared: float = 0.1) -> Tensor:
    """Cluster numbers int64 (N,), from 0: two sequences are linked that share a part `shared` of the k-letter words.

    The part counts from the words of the shorter one; what more than 50 sequences share and has one or two letters only
    is a repeat and does not count. Links chain: a cluster is all that is connected; equal sequences always are, however
    short. Raises ValueError for a word length below 1 or a part outside (0, 1], TypeError for a single string.
    """
    sequences = expect.strings(sequences, "sequences")
    k, shared = arguments.whole("k", k, 1), arguments.number("shared", shared, above=0, most=1)
    words = [{sequence[n : n + k] for n in range(len(sequence) - k + 1)} for sequence in sequences]
    counts = np.array([len(own) for own in words])
    found, equals = defaultdict(list), defaultdict(list)
    for n, own in enumerate(words):
        equals[sequences[n]].append(n)
        for word in own:
            found[word].append(n)
    varied = min(_LETTERS, k)
    found = {word: those for word, those in found.items() if len(those) <= _COMMON or len(set(word)) >= varied}
    holders = {word: np.array(those) for word, those in found.items() if len(those) > 1}

    # From each member to all that are linked with it and still free, until nobody new is found. Who was found is no
    # longer looked for, so that a family of thousands, whose words are in all of them, costs no more than the rest.
    numbers, free, clusters = np.zeros(len(words), dtype=np.int64), np.ones(len(words), dtype=bool), 0
    for first in range(len(words)):
        if not free[first]:
            continue
        waiting, free[first] = [first], False
        while waiting:
            member = waiting.pop()
            numbers[member] = clusters
            those = [np.zeros(0, dtype=np.int64)]
            for word in words[member] & holders.keys():
                holders[word] = holders[word][free[holders[word]]]
                those.append(holders[word])
            common = np.bincount(np.concatenate(those), minlength=len(words))
            linked = (common > 0) & (common >= shared * np.minimum(counts, counts[member]))
            linked[equals.pop(sequences[member], [])] = True
            linked &= free
            free[linked] = False
            waiting += linked.nonzero()[0].tolist()
        clusters += 1
    return torch.from_numpy(numbers)


def split_by_group(groups: Tensor, shares: Sequence[float], seed: int = 0) -> list[Tensor]:
    """Positions int64, one tensor a share, rising; every group lies in one part as a whole.

    groups: (N,) numbers of families or clusters. Groups are dealt in random order, each to the part that lacks most, so
    that sizes come near the shares; with few large groups not very near. Raises ValueError for shares that are not
    positive or do not add up to 1, and for fewer groups than parts.
    """
    shares = torch.tensor(list(shares), dtype=torch.float64)
    if not len(shares) or shares.min() <= 0 or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"shares should be positive and add up to 1, but they are {shares.tolist()}.")
    names, which, counts = torch.as_tensor(groups).unique(return_inverse=True, return_counts=True)
    if len(names) < len(shares):
        raise ValueError(f"There are {len(names)} groups for {len(shares)} parts; every part needs one.")
    uniform = np.random.Generator(np.random.PCG64(seed)).random
    lacking = shares * len(which)
    part = torch.empty(len(names), dtype=torch.int64)
    order = np.argsort(uniform(len(names)))
    for turn, group in enumerate(order):
        part[group] = turn if turn < len(shares) else lacking.argmax()  # first one group each, so that no part is empty
        lacking[part[group]] -= counts[group]
    return [(part[which] == n).nonzero()[:, 0] for n in range(len(shares))]

"""Splits of proteins that keep relatives together.

Proteins of one family look alike because they descend from one another, so a random split puts near-copies of the test
proteins into training and measures memory. Whole groups are dealt out instead: families or, where these are unknown,
clusters of sequences that share many short words.

References: Steinegger and Soding 2018, "Clustering huge protein sequence sets in linear time" (linking by shared
k-mers, of which this is the plainest form: single linkage, no alignment).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data import expect

_COMMON = 50  # a word of more sequences than this is a repeat, not kinship


def cluster(sequences: Sequence[str], k: int = 5, shared: float = 0.1) -> Tensor:
    """Cluster numbers int64 (N,), from 0: two sequences are linked that share a part `shared` of the k-letter words.

    The part counts from the words of the shorter one. Links chain: a cluster is all that is connected. Raises
    ValueError for a word length below 1 or a part outside (0, 1], TypeError for a single string.
    """
    sequences = expect.strings(sequences, "sequences")
    k, shared = arguments.whole("k", k, 1), arguments.number("shared", shared, above=0, most=1)
    words = [{sequence[n : n + k] for n in range(len(sequence) - k + 1)} for sequence in sequences]
    holders = defaultdict(list)
    for n, own in enumerate(words):
        for word in own:
            holders[word].append(n)

    # Count common words by word, not by pair: nearly all pairs have none.
    common = Counter()
    for those in holders.values():
        if len(those) <= _COMMON:
            common.update((a, b) for place, a in enumerate(those) for b in those[place + 1 :])
    leader = list(range(len(words)))

    def find(n: int) -> int:
        while leader[n] != n:
            leader[n] = leader[leader[n]]  # halve the path, so that the next search is short
            n = leader[n]
        return n

    for (a, b), count in common.items():
        if count >= shared * min(len(words[a]), len(words[b])):
            leader[max(find(a), find(b))] = min(find(a), find(b))
    for n, own in enumerate(words):
        if not own:  # shorter than a word: kin only of its equals
            leader[n] = find(sequences.index(sequences[n]))
    _, numbers = np.unique([find(n) for n in range(len(words))], return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64))


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

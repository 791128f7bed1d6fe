"""Week 10: overlap of neighbourhoods, one point at a time, in float64. Reference: Doimo et al. 2020 for both."""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week10.oracle import L1, PARTS, SIZES, neighbours


def neighbourhood_overlap(a: Tensor, b: Tensor, k: int) -> float:
    shares = [len(set(here) & set(there)) / k for here, there in zip(neighbours(a, k), neighbours(b, k), strict=True)]
    return sum(shares) / len(shares)


def label_overlap(x: Tensor, labels: Tensor, k: int) -> float:
    y = labels.tolist()
    shares = [sum(y[j] == y[i] for j in row) / k for i, row in enumerate(neighbours(x, k))]
    return sum(shares) / len(shares)


def _near(x: Tensor, k: int, kind: str = "") -> Tensor:
    """Neighbours (N, k) with something wrong."""
    x = x.double()
    far = torch.cdist(x, x, p=1.0 if kind == "L1" else 2.0)
    if kind == "cosine":
        unit = x / x.norm(dim=1, keepdim=True)
        far = -unit @ unit.T
    if kind == "dot":
        far = -x @ x.T
    if kind.startswith("parts"):
        part = torch.arange(len(x)) // int(kind[5:])
        far[part[:, None] != part] = 1e8 + torch.arange(len(x)).double().expand(len(x), -1)[part[:, None] != part]
    if kind == "farthest":
        return far.topk(min(k, len(x))).indices
    far.fill_diagonal_(-1e9 if kind in ("itself", "itself too") else 1e9)
    if kind == "not the first":
        return far.topk(min(k + 1, len(x)), largest=False).indices[:, 1:]
    if kind == "one less":
        return far.topk(max(k - 1, 1), largest=False).indices
    return far.topk(min(k + (kind in ("itself too", "one more")), len(x)), largest=False).indices


def _common(here: Tensor, there: Tensor) -> Tensor:
    return (here[:, :, None] == there[:, None, :]).flatten(1).sum(dim=1).double()  # (N,)


def _overlap(a: Tensor, b: Tensor, k: int, *, kind: str = "", share: str = "k") -> float:
    here, there = _near(a, k, kind), _near(b, k, kind)
    common = _common(here, there)
    of = {
        "k": lambda: common / k,
        "union": lambda: common / (2 * k - common),
        "count": lambda: common,
        "both": lambda: common / (2 * k),
        "order": lambda: (here == there).double().mean(dim=1),
        "all": lambda: (common == k).double(),
        "k + 1": lambda: common / (k + 1),
        "k - 1": lambda: common / max(k - 1, 1),
        "N": lambda: common / len(a),
        "any": lambda: (common > 0).double(),
        "distance": lambda: 1 - common / k,
        "squared": lambda: common / k**2,
        "median": lambda: (common / k).median(),
        "chance": lambda: (common / k - k / (len(a) - 1)) / (1 - k / (len(a) - 1)) if k < len(a) - 1 else common / k,
    }
    return float(of[share]().mean())


def _fixed(a: Tensor, b: Tensor, k: int, *, always: int) -> float:
    return _overlap(a, b, min(always, len(a) - 1))


def _pooled(a: Tensor, b: Tensor, k: int, *, of: str) -> float:
    here, there = (set(_near(x, k).flatten().tolist()) for x in (a, b))
    return len(here & there) / (len(a) if of == "samples" else len(here | there))


def _one_space(a: Tensor, b: Tensor, k: int) -> float:
    return 1.0


def _mutual(a: Tensor, b: Tensor, k: int) -> float:
    """Neighbours only where each is one of the other's."""
    both = []
    for x in (a, b):
        near = torch.zeros(len(x), len(x), dtype=torch.bool).scatter_(1, _near(x, k), True)
        both.append(near & near.T)
    return float((both[0] & both[1]).sum()) / (len(a) * k)


_ITSELF_IN = "a point counts as its own neighbour, which it is in both: leave it out."
_COSINE = "neighbours are compared by cosine: the nearest are meant by Euclidean distance."
_FARTHEST = "the farthest points are taken: topk needs largest=False for distances."
_DOT = "neighbours are those of the largest product: the nearest are meant by Euclidean distance."
_COUNTED = "one neighbour too many or too few is taken: it is the k nearest others."
_NOT_FIRST = "the nearest neighbour is left out too: the point itself was left out already."
_FIXED = "the argument k is not used: it says how many neighbours are taken."
_NOT_DIVIDED = "the number of common neighbours is not divided by k."
OVERLAP_MISTAKES = (
    Mistake(
        _ITSELF_IN,
        (
            partial(_overlap, kind="itself"),
            partial(_overlap, kind="itself too"),
            partial(_overlap, kind="itself too", share="k + 1"),
        ),
    ),
    Mistake(_COSINE, (partial(_overlap, kind="cosine"),)),
    Mistake(_DOT, (partial(_overlap, kind="dot"),)),
    Mistake(L1, (partial(_overlap, kind="L1"),)),
    Mistake(PARTS, tuple(partial(_overlap, kind=f"parts{size}") for size in SIZES)),
    Mistake(_NOT_FIRST, (partial(_overlap, kind="not the first"),)),
    Mistake(
        _COUNTED,
        (
            partial(_overlap, kind="one more"),
            partial(_overlap, kind="one less"),
            partial(_overlap, kind="one less", share="k - 1"),
            partial(_overlap, kind="one more", share="k + 1"),
        ),
    ),
    Mistake("one shared neighbour is enough: take the mean share in common.", (partial(_overlap, share="any"),)),
    Mistake("it is the share that is not in common.", (partial(_overlap, share="distance"),)),
    Mistake("the number in common is divided by N: divide by k.", (partial(_overlap, share="N"),)),
    Mistake(_FARTHEST, (partial(_overlap, kind="farthest"),)),
    Mistake(
        "it is divided by the union: the overlap is the number in common divided by k.",
        (partial(_overlap, share="union"),),
    ),
    Mistake(_NOT_DIVIDED, (partial(_overlap, share="count"),)),
    Mistake("the number in common is divided by 2 k: divide by k.", (partial(_overlap, share="both"),)),
    Mistake(
        "neighbours count only at the same rank: the two lists are sets, their order does not matter.",
        (partial(_overlap, share="order"),),
    ),
    Mistake("only complete agreement counts: take the mean share in common.", (partial(_overlap, share="all"),)),
    Mistake(
        "the number in common is divided by k twice, as by a mean over all k x k pairs: divide by k once.",
        (partial(_overlap, share="squared"),),
    ),
    Mistake("the number in common is divided by k + 1: divide by k.", (partial(_overlap, share="k + 1"),)),
    Mistake("it is the median over the samples: take the mean.", (partial(_overlap, share="median"),)),
    Mistake("what chance gives is taken off: leave the mean share as it is.", (partial(_overlap, share="chance"),)),
    Mistake(
        "the neighbours of all samples are thrown together: compare the two lists of one sample, then take the mean.",
        (partial(_pooled, of="samples"), partial(_pooled, of="union")),
    ),
    Mistake("only neighbours count that are each other's: those of the sample itself are meant.", (_mutual,)),
    Mistake("both lists come from one space: one is that of a, the other that of b.", (_one_space,)),
    Mistake(_FIXED, tuple(partial(_fixed, always=k) for k in (1, 5, 10))),
)


def _labels(x: Tensor, labels: Tensor, k: int, *, kind: str = "", share: str = "k") -> float:
    same = labels[_near(x, k, kind)] == labels[:, None]
    count = same.double().sum(dim=1)
    of = {
        "k": lambda: count / k,
        "k + 1": lambda: count / (k + 1),
        "k - 1": lambda: count / max(k - 1, 1),
        "count": lambda: count,
        "majority": lambda: (count > k / 2).double(),
        "vote": lambda: (labels[_near(x, k, kind)].mode(dim=1).values == labels).double(),
        "any": lambda: (count > 0).double(),
        "distance": lambda: 1 - count / k,
        "all": lambda: (count == k).double(),
        "places": lambda: (_near(x, k, kind) == labels[:, None]).double().mean(dim=1),
        "median": lambda: (count / k).median(),
        "classes": lambda: torch.stack([(count / k)[labels == y].mean() for y in labels.unique()]),
    }
    return float(of[share]().mean())


def _always(x: Tensor, labels: Tensor, k: int, *, always: int) -> float:
    return _labels(x, labels, min(always, len(x) - 1))


def _weighted(x: Tensor, labels: Tensor, k: int, *, power: int, whole: bool) -> float:
    """Weights of 1 / distance, for all samples together or for each by itself."""
    near = _near(x, k)
    weights = (x.double()[near] - x.double()[:, None]).norm(dim=2) ** -power
    same = (labels[near] == labels[:, None]) * weights
    return float(same.sum() / weights.sum() if whole else (same.sum(dim=1) / weights.sum(dim=1)).mean())


LABEL_MISTAKES = (
    Mistake(
        _ITSELF_IN.replace(", which it is in both", " and has its own label"),
        (
            partial(_labels, kind="itself"),
            partial(_labels, kind="itself too"),
            partial(_labels, kind="itself too", share="k + 1"),
        ),
    ),
    Mistake(_COSINE, (partial(_labels, kind="cosine"),)),
    Mistake(_DOT, (partial(_labels, kind="dot"),)),
    Mistake(L1, (partial(_labels, kind="L1"),)),
    Mistake(PARTS, tuple(partial(_labels, kind=f"parts{size}") for size in SIZES)),
    Mistake(_NOT_FIRST, (partial(_labels, kind="not the first"),)),
    Mistake(
        _COUNTED,
        (
            partial(_labels, kind="one more"),
            partial(_labels, kind="one less"),
            partial(_labels, kind="one less", share="k - 1"),
            partial(_labels, kind="one more", share="k + 1"),
        ),
    ),
    Mistake("it is the share with another label.", (partial(_labels, share="distance"),)),
    Mistake(
        "the classes are averaged, so that a small one counts as much as a large one: every sample counts the same.",
        (partial(_labels, share="classes"),),
    ),
    Mistake(_FARTHEST, (partial(_labels, kind="farthest"),)),
    Mistake("the number of equal labels is not divided by k.", (partial(_labels, share="count"),)),
    Mistake(
        "the neighbours vote, as in a classifier: the overlap is the mean share of equal labels.",
        (partial(_labels, share="majority"), partial(_labels, share="vote")),
    ),
    Mistake("one neighbour with the same label is enough: take the mean share.", (partial(_labels, share="any"),)),
    Mistake("only samples count whose neighbours all agree: take the mean share.", (partial(_labels, share="all"),)),
    Mistake("it is the median over the samples: take the mean.", (partial(_labels, share="median"),)),
    Mistake(
        "the numbers of the neighbours are compared with labels: look up their labels first, labels[places].",
        (partial(_labels, share="places"),),
    ),
    Mistake(_FIXED, tuple(partial(_always, always=k) for k in (1, 5, 10))),
    Mistake(
        "near neighbours count more than far ones: each of the k counts alike.",
        tuple(partial(_weighted, power=power, whole=whole) for power in (1, 2) for whole in (True, False)),
    ),
)

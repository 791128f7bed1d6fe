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
    }
    return float(of[share]().mean())


_ITSELF_IN = "a point counts as its own neighbour, which it is in both: leave it out."
_COSINE = "neighbours are compared by cosine: the nearest are meant by Euclidean distance."
_FARTHEST = "the farthest points are taken: topk needs largest=False for distances."
_DOT = "neighbours are those of the largest product: the nearest are meant by Euclidean distance."
_COUNTED = "one neighbour too many or too few is taken: it is the k nearest others."
_NOT_FIRST = "the nearest neighbour is left out too: the point itself was left out already."
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
        "classes": lambda: torch.stack([(count / k)[labels == y].mean() for y in labels.unique()]),
    }
    return float(of[share]().mean())


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
        (partial(_labels, share="majority"), partial(_labels, share="vote"), partial(_labels, share="any")),
    ),
)

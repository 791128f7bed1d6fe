"""Week 10: information imbalance, one point at a time, in float64.

Reference: Glielmo et al. 2022, "Ranking the information content of distance measures", equation 2: twice the mean rank
in b of the nearest neighbour in a, divided by N.
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week10.oracle import L1, neighbours


def information_imbalance(a: Tensor, b: Tensor) -> float:
    n, total = len(a), 0
    for nearest, there in zip(neighbours(a, 1), neighbours(b, n - 1), strict=True):
        total += 1 + list(there).index(nearest[0])
    return 2 * total / n**2


def _far(x: Tensor, kind: str = "") -> Tensor:
    """Distances (N, N), every point infinitely far from itself unless it is "itself"."""
    x = x.double()
    if kind == "cosine":
        unit = x / x.norm(dim=1, keepdim=True)
        far = -unit @ unit.T
    elif kind == "dot":
        far = -x @ x.T
    else:
        far = torch.cdist(x, x, p=1.0 if kind == "L1" else 2.0)
    return far if kind == "itself" else far.fill_diagonal_(torch.inf)


def _ranks(a: Tensor, b: Tensor, *, kind: str = "", order: int = 1) -> Tensor:
    """Rank in b, from 1, of the neighbour number `order` in a."""
    here, there = _far(a, kind), _far(b, "" if kind == "itself" else kind)
    if kind == "itself":
        here.fill_diagonal_(-1)
    if kind == "farthest":
        here = -here.nan_to_num(posinf=-torch.inf)
    place = here.topk(order, largest=False).indices[:, order - 1 :]
    return 1 + (there < there.gather(1, place)).sum(dim=1).double()


def _backwards(a: Tensor, b: Tensor) -> float:
    """The rank that a point has among the neighbours in b of its nearest in a."""
    near = _far(a).argmin(dim=1)
    there = _far(b)
    own = there[near].gather(1, torch.arange(len(a))[:, None])
    return (2 * (1 + (there[near] < own).sum(dim=1)).double().mean() / len(a)).item()


def _one_argsort(a: Tensor, b: Tensor, more: int = 1, dim: int = 1, twice: bool = False) -> float:
    order = _far(b).argsort(dim=dim)
    order = order.argsort(dim=dim) if twice else order
    return (2 * (order.gather(1, _far(a).argmin(dim=1)[:, None]) + more).double().mean() / len(a)).item()


def _two_kinds(a: Tensor, b: Tensor, *, here: str, there: str) -> float:
    """Each space with a distance of its own."""
    far = _far(b, there)
    place = _far(a, here).argmin(dim=1, keepdim=True)
    return (2 * (1 + (far < far.gather(1, place)).sum(dim=1)).double().mean() / len(a)).item()


def _columns(a: Tensor, b: Tensor, own: bool = True) -> float:
    """Compared across the rows: the distance of every point to its nearest with entries of other rows."""
    far = _far(b)
    near = far.gather(1, _far(a).argmin(dim=1, keepdim=True))
    nearer = (far < near.T).sum(dim=0) if own else (far[_far(a).argmin(dim=1)] < near).sum(dim=1)
    return (2 * (1 + nearer).double().mean() / len(a)).item()


def _standard(x: Tensor) -> Tensor:
    return (x - x.mean(dim=0)) / x.std(dim=0)


def _imbalance(a: Tensor, b: Tensor, *, kind: str = "", order: int = 1, of: str = "definition") -> float:
    ranks, n = _ranks(a, b, kind=kind, order=order), len(a)
    return {
        "definition": lambda: 2 * ranks.mean() / n,
        "from 0": lambda: 2 * (ranks - 1).mean() / n,
        "from 2": lambda: 2 * (ranks + 1).mean() / n,
        "mean rank": lambda: ranks.mean(),
        "no 2": lambda: ranks.mean() / n,
        "no N": lambda: 2 * ranks.mean(),
        "sum": lambda: 2 * ranks.sum(),
        "N - 1": lambda: 2 * ranks.mean() / (n - 1),
        "N + 1": lambda: 2 * ranks.mean() / (n + 1),
        "median": lambda: 2 * ranks.quantile(0.5) / n,
        "lower median": lambda: 2 * ranks.median() / n,
        "largest": lambda: 2 * ranks.max() / n,
        "logarithm": lambda: 2 * ranks.log().mean() / n,
        "of the logarithms": lambda: 2 * ranks.log().mean().exp() / n,
        "reversed": lambda: 2 * (n - ranks).mean() / n,
        "reversed from 2": lambda: 2 * (n + 1 - ranks).mean() / n,
        "reciprocal": lambda: 2 / n / (1 / ranks).mean(),
        "information": lambda: 1 - 2 * ranks.mean() / n,
        "found": lambda: (ranks == 1).double().mean(),
    }[of]().item()


IMBALANCE_MISTAKES = (
    Mistake(
        "the directions are swapped: the nearest neighbour is looked for in a, and its rank in b.",
        (lambda a, b: _imbalance(b, a),),
    ),
    Mistake(
        "both directions are averaged: only the nearest neighbours in a ask for their ranks in b.",
        (lambda a, b: (_imbalance(a, b) + _imbalance(b, a)) / 2,),
    ),
    Mistake(
        "a point counts as its own nearest neighbour: leave it out.",
        (
            partial(_imbalance, kind="itself"),
            lambda a, b: 0.0,
            lambda a, b: 2 / len(a),
        ),
    ),
    Mistake("the ranks count from 0: the nearest of all has rank 1.", (partial(_imbalance, of="from 0"),)),
    Mistake(
        "the ranks count from 2, the point itself being the first: leave it out, the nearest other has rank 1.",
        (partial(_imbalance, of="from 2"),),
    ),
    Mistake("the factor 2 is missing: unrelated spaces should have 1.", (partial(_imbalance, of="no 2"),)),
    Mistake(
        "a division by N is missing: the mean of the ranks has one, and 2 / N another.",
        (partial(_imbalance, of="no N"), partial(_imbalance, of="mean rank"), partial(_imbalance, of="sum")),
    ),
    Mistake(
        "it is divided by something near N: 2 / N times the mean rank.",
        (partial(_imbalance, of="N - 1"), partial(_imbalance, of="N + 1")),
    ),
    Mistake(
        "it is another mean: the plain mean of the ranks.",
        tuple(
            partial(_imbalance, of=of)
            for of in ("median", "lower median", "reciprocal", "largest", "logarithm", "of the logarithms")
        ),
    ),
    Mistake(
        "the larger or the smaller of both directions is taken: only the one from a to b.",
        (
            lambda a, b: max(_imbalance(a, b), _imbalance(b, a)),
            lambda a, b: min(_imbalance(a, b), _imbalance(b, a)),
        ),
    ),
    Mistake(
        "a single argsort stands for ranks: it tells who comes n-th, ranks tell at which place a point comes, "
        "argsort().argsort() + 1.",
        (_one_argsort, partial(_one_argsort, more=0)),
    ),
    Mistake(
        "the ranks count from the farthest: the nearest has rank 1.",
        (
            partial(_imbalance, of="reversed"),
            partial(_imbalance, of="reversed from 2"),
        ),
    ),
    Mistake(
        "the rank is that of the point among the neighbours of its nearest: it is that of the nearest among the "
        "point's own, in the row of the point.",
        (_backwards, partial(_one_argsort, dim=0, twice=True, more=0)),
    ),
    Mistake(
        "the features are standardised: distances are those of the features as they are.",
        (
            lambda a, b: _imbalance(_standard(a), _standard(b)),
            lambda a, b: _imbalance(_standard(a), b),
            lambda a, b: _imbalance(a, _standard(b)),
        ),
    ),
    Mistake(
        "it is one minus the imbalance: 0 should say that a knows all of b.", (partial(_imbalance, of="information"),)
    ),
    Mistake(
        "it is the share whose nearest neighbours are the same: every other rank counts as well.",
        (partial(_imbalance, of="found"), lambda a, b: 1 - _imbalance(a, b, of="found")),
    ),
    Mistake(
        "neighbours are compared by cosine: by Euclidean distance.",
        (
            partial(_imbalance, kind="cosine"),
            partial(_two_kinds, here="cosine", there=""),
            partial(_two_kinds, here="", there="cosine"),
        ),
    ),
    Mistake(
        "the distance of the nearest in b is taken: its rank, so that b's units do not count.",
        (
            lambda a, b: (2 * _far(b).gather(1, _far(a).argmin(1, keepdim=True)).mean() / len(a)).item(),
            lambda a, b: _far(b).gather(1, _far(a).argmin(1, keepdim=True)).mean().item(),
        ),
    ),
    Mistake(
        "ranks are counted in a column of the table, among distances to the nearest: in the row of the point.",
        (_columns, partial(_columns, own=False)),
    ),
    Mistake(
        "one division by N is too many: 2 / N times the mean rank.",
        (lambda a, b: _imbalance(a, b) / len(a),),
    ),
    Mistake("neighbours are those of the largest product: by Euclidean distance.", (partial(_imbalance, kind="dot"),)),
    Mistake(
        L1,
        (
            partial(_imbalance, kind="L1"),
            partial(_two_kinds, here="L1", there=""),
            partial(_two_kinds, here="", there="L1"),
        ),
    ),
    Mistake("the farthest point is taken for the nearest.", (partial(_imbalance, kind="farthest"),)),
    Mistake("the second nearest is taken: the point itself was left out already.", (partial(_imbalance, order=2),)),
)

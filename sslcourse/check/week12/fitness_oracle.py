"""Week 12, ProteinGym's measures of a scan: one mutant at a time.

Reference: Notin et al. 2023, "ProteinGym: large-scale benchmarks for protein fitness prediction and design", section 4,
and the file proteingym/performance_DMS_benchmarks.py of its repository.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from scipy import stats
from torch import Tensor

from sslcourse.check.compare import Mistake


def proteingym(scores: Tensor, measured: Tensor) -> dict[str, float]:
    """Spearman over all; NDCG and recall of the best tenth, int(N / 10) mutants and at least one."""
    return {"spearman": spearman(scores, measured), "ndcg": ndcg(scores, measured), "recall": recall(scores, measured)}


def ranks(x: Tensor) -> Tensor:
    """From 1 for the smallest; equal values share the mean of their ranks."""
    below = (x[None, :] < x[:, None]).sum(dim=1).double()
    return below + ((x[None, :] == x[:, None]).sum(dim=1).double() + 1) / 2


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())


def spearman(scores: Tensor, measured: Tensor) -> float:
    return _correlation(ranks(scores), ranks(measured))


def _tenth(n: int, share: float = 0.1) -> int:
    return max(1, int(share * n + 1e-9))


def _first(x: Tensor, count: int) -> list[int]:
    return sorted(range(len(x)), key=lambda n: -float(x[n]))[:count]


def _scaled(measured: Tensor) -> Tensor:
    return (measured - measured.min()) / (measured.max() - measured.min())


def ndcg(
    scores: Tensor,
    measured: Tensor,
    *,
    share: float = 0.1,
    gain: Callable = lambda m: _scaled(m),
    first: int = 1,
    ideal_share: float | None = None,
    discount: Callable = lambda rank: math.log2(rank + 1),
    divide: bool = True,
    order: Callable = lambda s: s,
) -> float:
    """Discounted gain of the best tenth by score, over that of the best tenth by measurement."""
    gains, count = gain(measured.double()), _tenth(len(scores), share)

    def gathered(chosen: list[int]) -> float:
        return sum(float(gains[n]) / discount(rank) for rank, n in enumerate(chosen, first))

    best = gathered(_first(measured, _tenth(len(scores), share if ideal_share is None else ideal_share)))
    found = gathered(_first(order(scores), count))
    return found / best if divide else found


def recall(scores: Tensor, measured: Tensor, *, share: float = 0.1, over: str = "top") -> float:
    """Share of the best tenth by measurement that is among the best tenth by score."""
    count = _tenth(len(scores), share)
    hits = len(set(_first(scores, count)) & set(_first(measured, count)))
    return hits / {"top": count, "all": len(scores), "none": 1}[over]


def _kendall(a: Tensor, b: Tensor) -> float:
    """Pairs in the same order less those in the other, over all."""
    signs = (a[:, None] - a).sign() * (b[:, None] - b).sign()
    return float(signs.sum()) / (len(a) * (len(a) - 1))


def _jaccard(scores: Tensor, measured: Tensor) -> float:
    count = _tenth(len(scores))
    found, wanted = set(_first(scores, count)), set(_first(measured, count))
    return len(found & wanted) / len(found | wanted)


def _by_place(scores: Tensor, measured: Tensor) -> float:
    count = _tenth(len(scores))
    return sum(a == b for a, b in zip(_first(scores, count), _first(measured, count), strict=True)) / count


def _other_ks(measure: Callable) -> tuple[Callable, ...]:
    """A measure of another number of best mutants than a tenth."""
    counts = (lambda n: n / 5, lambda n: n / 20, lambda n: min(10, n), lambda n: n // 10 + 1, lambda n: min(5, n))
    return tuple(lambda s, m, count=count: measure(s, m, share=count(len(s)) / len(s)) for count in counts)


def _order(x: Tensor) -> Tensor:
    return x.argsort().double()


def _gains_of(order: Tensor, gains: Tensor, by_gain: bool = False) -> float:
    """Discounted gains of the best tenth by `order`; by_gain: the largest of them first."""
    came = _scaled(gains.double())[_first(order, _tenth(len(order)))]
    came = came.sort(descending=True).values if by_gain else came
    return sum(float(gain) / math.log2(rank + 1) for rank, gain in enumerate(came, 1))


MISTAKES = {
    "spearman": (
        Mistake("this is Pearson's correlation of the values: Spearman's is that of their ranks.", (_correlation,)),
        Mistake(
            "argsort stands for ranks: it tells which mutant comes n-th, ranks tell at which place a mutant comes, "
            "argsort().argsort().",
            (lambda s, m: _correlation(_order(s), _order(m)),),
        ),
        Mistake("the sign is lost.", (lambda s, m: abs(spearman(s, m)),)),
        Mistake(
            "the sign is turned round: higher scores and higher measurements agree.", (lambda s, m: -spearman(s, m),)
        ),
        Mistake(
            "this is Kendall's tau, which counts pairs in order: Spearman's is the correlation of ranks.", (_kendall,)
        ),
        Mistake("the correlation is squared: take it as it is.", (lambda s, m: spearman(s, m) ** 2,)),
        Mistake(
            "this is the p-value: take the statistic, the first of the two that spearmanr returns.",
            (lambda s, m: float(stats.spearmanr(s, m).pvalue),),
        ),
        Mistake(
            "one side is not ranked: Spearman's is the correlation of the ranks of both.",
            (lambda s, m: _correlation(ranks(s), m), lambda s, m: _correlation(s, ranks(m))),
        ),
        Mistake("only the best tenth is correlated: all mutants count.", (lambda s, m: _best(s, m),)),
    ),
    "ndcg": (
        Mistake("all mutants are ranked: only the best tenth by score counts.", (partial(ndcg, share=1.0),)),
        Mistake("the best are not a tenth of the mutants, N // 10 and at least one.", _other_ks(ndcg)),
        Mistake(
            "the gain is 2 to the power of the measurement, for grades of relevance: take the measurement itself.",
            (partial(ndcg, gain=lambda m: 2 ** _scaled(m) - 1), partial(ndcg, gain=lambda m: 2**m - 1)),
        ),
        Mistake(
            "the gain is the rank of the measurement: move and scale the measurement itself to [0, 1].",
            (partial(ndcg, gain=ranks), partial(ndcg, gain=lambda m: ranks(m) - 1)),
        ),
        Mistake(
            "the measurements are standardised: move and scale them to [0, 1] over all mutants.",
            (partial(ndcg, gain=lambda m: m - m.mean()),),
        ),
        Mistake(
            "the measurements are moved by something other than the smallest of all: move and scale them to [0, 1].",
            (
                partial(ndcg, gain=lambda m: m - m.median()),
                partial(ndcg, gain=lambda m: m - m.sort().values[-_tenth(len(m))]),
                partial(ndcg, gain=lambda m: (m - m.sort().values[-_tenth(len(m))]).clamp(min=0)),
            ),
        ),
        Mistake(
            "the gain is turned round: the largest measurement has gain 1.",
            (partial(ndcg, gain=lambda m: 1 - _scaled(m)),),
        ),
        Mistake(
            "it is divided by something other than the ideal, the same sum for the best tenth by measurement.",
            (
                lambda s, m: ndcg(s, m, divide=False) / _tenth(len(s)),
                lambda s, m: ndcg(s, m, divide=False) / len(s),
                lambda s, m: ndcg(s, m, divide=False) / sum(1 / math.log2(r + 1) for r in range(1, _tenth(len(s)) + 1)),
            ),
        ),
        Mistake(
            "the ideal runs over all mutants: it is the best tenth by measurement.", (partial(ndcg, ideal_share=1.0),)
        ),
        Mistake(
            "the gain is the measurement as it is: move and scale it to [0, 1] over all mutants.",
            (partial(ndcg, gain=lambda m: m),),
        ),
        Mistake(
            "the gain is 1 for every mutant of the best tenth: it is the measurement, moved and scaled to [0, 1].",
            (partial(ndcg, gain=lambda m: (m >= m.sort().values[-_tenth(len(m))]).double()),),
        ),
        Mistake(
            "the discount of the first place is log2(3): ranks count from 1, and the first is divided by log2(2) = 1.",
            (partial(ndcg, discount=lambda rank: math.log2(rank + 2)),),
        ),
        Mistake(
            "the discount is missing: place n is divided by log2(n + 1).", (partial(ndcg, discount=lambda rank: 1),)
        ),
        Mistake("the discount is the rank: it is log2(rank + 1).", (partial(ndcg, discount=lambda rank: rank),)),
        Mistake(
            "the discount is log2(rank) + 1 or log2(rank): it is log2(rank + 1).",
            (
                partial(ndcg, discount=lambda rank: math.log2(rank) + 1),
                partial(ndcg, discount=lambda rank: math.log2(rank) if rank > 1 else 1.0),
            ),
        ),
        Mistake(
            "the gains are the scores: mutants are ordered by score, and their measurements are the gains.",
            (lambda s, m: _gains_of(s, s) / _gains_of(m, m),),
        ),
        Mistake(
            "the gains are sorted before they are discounted: they stand in the order of the scores.",
            (lambda s, m: _gains_of(s, m, by_gain=True) / _gains_of(m, m),),
        ),
        Mistake("it is not divided by the ideal.", (partial(ndcg, divide=False),)),
        Mistake("the lowest scores come first: the highest are the best.", (partial(ndcg, order=lambda s: -s),)),
        Mistake(
            "scores and measurements are swapped: mutants are ordered by score, and their measurements are the gains.",
            (lambda s, m: ndcg(m, s),),
        ),
    ),
    "recall": (
        Mistake("the hits are counted: divide by the number of the best tenth.", (partial(recall, over="none"),)),
        Mistake("the hits are divided by all mutants: divide by the best tenth.", (partial(recall, over="all"),)),
        Mistake("half of the mutants are taken: the best tenth.", (partial(recall, share=0.5),)),
        Mistake("the best are not a tenth of the mutants, N // 10 and at least one.", _other_ks(recall)),
        Mistake("the hits are divided by the union, as in Jaccard: divide by the best tenth.", (_jaccard,)),
        Mistake("it is a percentage: return a share.", (lambda s, m: 100 * recall(s, m),)),
        Mistake("mutants are compared place by place: the two tenths are sets.", (_by_place,)),
        Mistake(
            "only the very best mutant is looked for: all of the best tenth by measurement are.",
            (lambda s, m: float(int(m.argmax()) in _first(s, _tenth(len(s)))),),
        ),
        Mistake(
            "the best tenth is looked for among more than the best tenth by score.",
            tuple(
                lambda s, m, part=part: (
                    len(set(_first(s, len(s) // part)) & set(_first(m, _tenth(len(m))))) / _tenth(len(m))
                )
                for part in (2, 4, 5)
            ),
        ),
        Mistake("the lowest tenth is taken: the highest.", (lambda s, m: recall(-s, -m), lambda s, m: recall(-s, m))),
    ),
}


def _best(scores: Tensor, measured: Tensor) -> float:
    chosen = torch.tensor(_first(scores, _tenth(len(scores))))
    return spearman(scores[chosen], measured[chosen]) if len(chosen) > 1 else math.nan

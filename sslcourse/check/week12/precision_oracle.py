"""Week 12: precision at L, counted pair by pair, and with the mistakes that have a name.

Reference: Rao et al. 2021, "Transformer protein language models are unsupervised structure learners", appendix.
"""

import math
from functools import partial

import torch

from sslcourse.check.compare import Mistake


def precision_at_l(scores, contacts, min_separation=6, max_separation=None, fraction=1.0) -> float:
    """Of the best int(fraction * L) pairs in range, each once, the share that touches."""
    length = len(scores)
    pairs = []
    for i in range(length):
        for j in range(i + 1, length):
            if j - i >= min_separation and (max_separation is None or j - i <= max_separation):
                pairs.append((float(scores[i][j]), bool(contacts[i][j])))
    if not pairs:
        return math.nan
    best = sorted(pairs, reverse=True)[: max(1, int(fraction * length))]
    return sum(touch for _, touch in best) / len(best)


def _precision(
    scores,
    contacts,
    min_separation=6,
    max_separation=None,
    fraction=1.0,
    *,
    pairs="once",
    low=0,
    high=0,
    count="length",
    over="taken",
    descending=True,
    ties=False,
    topk=False,
) -> float:
    """precision_at_l with something wrong; right with the defaults. low, high: how far the ends are off."""
    n = len(scores)
    i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    apart = j - i if pairs == "once" else (j - i).abs()
    kept = apart >= max(min_separation + low, 1 if pairs == "once" else 0)
    if max_separation is not None and high is not None:
        kept &= apart <= max_separation + high
    if not kept.any():
        return math.nan
    touch = contacts[kept].bool()
    order = scores[kept].argsort(descending=descending)
    if topk:  # which of equal scores come first is its own affair
        order = scores[kept].topk(int(kept.sum()), largest=descending).indices
    taken = {
        "length": int(fraction * n),
        "contacts": int(fraction * touch.sum() / (1 if pairs == "once" else 2)),
        "all contacts": int(fraction * contacts.bool().triu(1).sum()),
        "whole length": n,
        "half the length": n // 2,
        "a fifth of the length": n // 5,
        "up": math.ceil(fraction * n),
        "nearest": round(fraction * n),
        "pairs": int(fraction * len(touch)),
        "twice": int(2 * fraction * n),
    }[count]
    taken = max(1, taken)
    if ties:
        taken = int((scores[kept] >= scores[kept][order[:taken]][-1]).sum())
    best = order[:taken]
    if over == "each":
        return float((touch[best].cumsum(0) / torch.arange(1, len(best) + 1)).mean())
    hits = touch[best].sum().item()
    return (
        hits / {"taken": len(best), "length": n, "contacts": touch.sum().item() or 1, "asked": taken, "none": 1}[over]
    )


def _chosen_first(
    scores, contacts, min_separation=6, max_separation=None, fraction=1.0, *, over="kept", every=True
) -> float:
    """The best pairs of all separations; of these, the ones in range. every: neighbours and the diagonal among them."""
    n = len(scores)
    i, j = torch.triu_indices(n, n, 0 if every else 1)
    best = scores[i, j].argsort(descending=True)[: max(1, int(fraction * n))]
    apart = (j - i)[best]
    kept = best[(apart >= min_separation) & (apart <= (n if max_separation is None else max_separation))]
    hits = contacts[i[kept], j[kept]].sum().item()
    if over == "kept or nothing" and not len(kept):
        return math.nan
    return hits / {"asked": len(best)}.get(over, len(kept) or 1)


def _lowest(scores, contacts, min_separation=6, max_separation=None, fraction=1.0) -> float:
    """The lowest scores by topk of as many as are asked for, which picks others among equal ones than a sort does."""
    n = len(scores)
    i, j = torch.triu_indices(n, n, 1)
    kept = (j - i >= min_separation) & (j - i <= (n if max_separation is None else max_separation))
    i, j = i[kept], j[kept]
    if not len(i):
        return math.nan
    best = scores[i, j].float().topk(min(len(i), max(1, int(fraction * n))), largest=False).indices
    return float(contacts[i, j][best].double().mean())


PRECISION_MISTAKES = (
    Mistake(
        "every pair counts twice, as (i, j) and (j, i): only i < j is a pair.",
        (partial(_precision, pairs="twice"),),
    ),
    Mistake(
        "the separation is off by one: pairs with j - i equal to min_separation and to max_separation count too.",
        (partial(_precision, low=1), partial(_precision, high=-1), partial(_precision, low=1, high=-1)),
    ),
    Mistake(
        "the separation is off by one: a pair nearer than min_separation is counted.",
        (partial(_precision, low=-1),),
    ),
    Mistake("min_separation is not used: neighbours in the chain touch anyway.", (partial(_precision, low=-99),)),
    Mistake("max_separation is not used.", (partial(_precision, high=None),)),
    Mistake(
        "max_separation is counted from min_separation on: j - i itself is at most max_separation.",
        (lambda s, c, low=6, high=None, *rest: precision_at_l(s, c, low, None if high is None else low + high, *rest),),
    ),
    Mistake(
        "L is taken as the number of contacts: it is the length of the protein.",
        (partial(_precision, count="contacts"), partial(_precision, count="all contacts")),
    ),
    Mistake(
        "fraction is not used: int(fraction * L) pairs are taken.",
        tuple(partial(_precision, count=of) for of in ("whole length", "half the length", "a fifth of the length")),
    ),
    Mistake("the hits are divided by L: divide by the number of pairs taken.", (partial(_precision, over="length"),)),
    Mistake("fraction * L is rounded up: int(fraction * L) rounds down.", (partial(_precision, count="up"),)),
    Mistake(
        "fraction * L is rounded to the nearest number: int(fraction * L) rounds down.",
        (partial(_precision, count="nearest"),),
    ),
    Mistake(
        "all pairs that tie with the last one are taken: exactly int(fraction * L) are.",
        (partial(_precision, ties=True),),
    ),
    Mistake(
        "the best pairs are chosen before the range is applied: choose among the pairs in range.",
        tuple(
            partial(_chosen_first, over=over, every=every)
            for over in ("kept", "kept or nothing", "asked")
            for every in (True, False)
        ),
    ),
    Mistake(
        "precisions are averaged over 1, 2, 3, ... pairs: one number of pairs is taken, int(fraction * L).",
        (partial(_precision, over="each"),),
    ),
    Mistake(
        "the hits are counted: divide by the number of pairs taken.",
        (partial(_precision, over="none"),),
    ),
    Mistake("this is a percentage: a share lies in [0, 1].", (lambda *case: 100 * precision_at_l(*case),)),
    Mistake(
        "this is the share of pairs that miss: count those that touch.", (lambda *case: 1 - precision_at_l(*case),)
    ),
    Mistake(
        "the sign of the scores is lost: -3 is a higher score than -5.",
        (lambda scores, *rest: precision_at_l(scores.abs(), *rest),),
    ),
    Mistake("fraction is taken of all pairs: it is a fraction of L.", (partial(_precision, count="pairs"),)),
    Mistake(
        "the hits are divided by the number of contacts, which is recall: divide by the number of pairs taken.",
        (partial(_precision, over="contacts"),),
    ),
    Mistake(
        "where there are fewer pairs than asked for, the hits are divided by those asked for: divide by those taken.",
        (partial(_precision, over="asked"),),
    ),
    Mistake(
        "the lowest scores are taken: the highest are the predicted contacts.",
        (partial(_precision, descending=False), partial(_precision, descending=False, topk=True), _lowest),
    ),
)

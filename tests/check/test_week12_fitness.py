"""The check of ProteinGym's measures: right versions in several styles, each named mistake by its own message."""

import math

import numpy as np
import pytest
import torch
from harness import assert_right, assert_wrong, verdict
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr
from sklearn.metrics import ndcg_score

import sslcourse
from sslcourse.check import week12 as check
from sslcourse.check.week12 import fitness_oracle as oracle

CHECK = check.proteingym


def reference(scores, measured):
    return sslcourse.solution("week12", "proteingym")(scores, measured)


def as_proteingym_has_it(scores, measured):
    """Ranks by sorting twice, the top by percentiles, as its own script."""
    s, m = scores.numpy().astype(float), measured.numpy().astype(float)
    k = max(1, len(s) // 10)
    gains = (m - m.min()) / (m.max() - m.min())
    place, ideal = np.argsort(np.argsort(-s)) + 1, np.argsort(np.argsort(-gains)) + 1
    dcg, idcg = ((gains[p <= k] / np.log2(p[p <= k] + 1)).sum() for p in (place, ideal))
    top_m, top_s = (x >= np.percentile(x, 90) for x in (m, s))
    return {"spearman": spearmanr(s, m).statistic, "ndcg": dcg / idcg, "recall": (top_m & top_s).sum() / top_m.sum()}


def by_ranks(scores, measured):
    k = max(1, int(0.1 * len(scores)))
    spearman = np.corrcoef(rankdata(scores), rankdata(measured))[0, 1]
    gains = (measured - measured.min()) / (measured.max() - measured.min())
    weights = 1 / torch.arange(2, k + 2).log()
    found, ideal = gains[scores.topk(k).indices], gains.topk(k).values
    hits = set(scores.topk(k).indices.tolist()) & set(measured.topk(k).indices.tolist())
    ndcg = (found @ weights / (ideal @ weights)).item()
    return {"recall": len(hits) / k, "ndcg": ndcg, "spearman": torch.tensor(spearman)}


@pytest.mark.parametrize("right", [reference, as_proteingym_has_it, by_ranks])
def test_right(right, seeds):
    assert_right(CHECK, right)


def test_the_definitions_are_scipys_and_scikit_learns():
    generator = torch.Generator().manual_seed(3)
    for n in (20, 100):
        s, m = torch.randn(2, n, generator=generator, dtype=torch.float64)
        gains = (m - m.min()) / (m.max() - m.min())
        assert oracle.spearman(s, m) == pytest.approx(spearmanr(s, m).statistic, abs=1e-12)
        theirs = ndcg_score(gains[None].numpy(), s[None].numpy(), k=n // 10)
        assert oracle.ndcg(s, m) == pytest.approx(theirs, abs=1e-12)
        rounded = s.mul(2).round()
        assert oracle.spearman(rounded, m) == pytest.approx(spearmanr(rounded, m).statistic, abs=1e-12)


def but(**parts):
    """The right answer, but for one part."""

    def wrong(scores, measured):
        right = by_ranks(scores, measured)
        return right | {key: part(scores, measured) for key, part in parts.items()}

    return wrong


def ndcg(scores, measured, k=None, gains=None, ideal=None, discount=lambda places: (places + 1).log2()):
    k = k or max(1, len(scores) // 10)
    gains = (measured - measured.min()) / (measured.max() - measured.min()) if gains is None else gains
    gather = lambda order: (gains[order] / discount(torch.arange(1, len(order) + 1))).sum().item()  # noqa: E731
    return gather(scores.argsort(descending=True)[:k]) / gather(measured.argsort(descending=True)[: ideal or k])


def hits(scores, measured, share=0.1):
    k = max(1, int(share * len(scores)))
    return len(set(scores.topk(k).indices.tolist()) & set(measured.topk(k).indices.tolist()))


def one_by_one(x):
    return x.argsort().argsort()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (but(spearman=lambda s, m: pearsonr(s, m).statistic), "Pearson"),
        (but(spearman=lambda s, m: np.corrcoef(s.argsort(), m.argsort())[0, 1]), "argsort stands for ranks"),
        (but(spearman=lambda s, m: np.corrcoef(one_by_one(s), one_by_one(m))[0, 1]), "equal values"),
        (but(spearman=lambda s, m: -spearmanr(s, m).statistic), "turned round"),
        (but(spearman=lambda s, m: abs(spearmanr(s, m).statistic)), "sign is lost"),
        (but(spearman=lambda s, m: kendalltau(s, m).statistic), "Kendall's tau"),
        (but(spearman=lambda s, m: spearmanr(s, m).statistic ** 2), "squared"),
        (but(spearman=lambda s, m: spearmanr(s, m).pvalue), "the p-value"),
        (but(spearman=lambda s, m: np.corrcoef(rankdata(s, "min"), rankdata(m, "min"))[0, 1]), "equal values"),
        (but(ndcg=lambda s, m: ndcg(s, m, k=len(s) // 5)), "not a tenth"),
        (but(ndcg=lambda s, m: ndcg(s, m, k=10 if len(s) > 9 else 1)), "not a tenth"),
        (but(ndcg=lambda s, m: ndcg(s, m, gains=2 ** ((m - m.min()) / (m.max() - m.min())) - 1)), "2 to the power"),
        (but(ndcg=lambda s, m: ndcg(s, m, gains=(m - m.mean()) / m.std())), "are standardised"),
        (but(ndcg=lambda s, m: ndcg(s, m, gains=torch.from_numpy(rankdata(m)))), "the rank of the measurement"),
        (but(ndcg=lambda s, m: ndcg(s, m, gains=(m.max() - m) / (m.max() - m.min()))), "turned round"),
        (but(recall=lambda s, m: 100 * hits(s, m) / max(1, len(s) // 10)), "a percentage"),
        (but(recall=lambda s, m: hits(s, m) / (2 * max(1, len(s) // 10) - hits(s, m))), "as in Jaccard"),
        (but(recall=lambda s, m: float(m.argmax() in s.topk(max(1, len(s) // 10)).indices)), "the very best"),
        (but(ndcg=lambda s, m: ndcg(s, m, k=len(s))), "only the best tenth by score"),
        (but(ndcg=lambda s, m: ndcg(s, m, ideal=len(s))), "the ideal runs over all"),
        (but(ndcg=lambda s, m: ndcg(s, m, gains=m)), "the gain is the measurement as it is"),
        (but(ndcg=lambda s, m: ndcg(s, m, discount=lambda at: (at + 2).log2())), "log2(3)"),
        (but(ndcg=lambda s, m: ndcg(s, m, discount=lambda at: at)), "the discount is the rank"),
        (but(ndcg=lambda s, m: ndcg(s, m, discount=torch.ones_like)), "discount is missing"),
        (but(ndcg=lambda s, m: ndcg(-s, m)), "lowest scores come first"),
        (but(ndcg=lambda s, m: ndcg(m, s)), "swapped"),
        (but(recall=hits), "the hits are counted"),
        (but(recall=lambda s, m: hits(s, m) / len(s)), "divided by all mutants"),
        (but(recall=lambda s, m: hits(s, m, 0.5) / (len(s) // 2)), "half of the mutants"),
        (but(recall=lambda s, m: hits(-s, -m) / max(1, len(s) // 10)), "the lowest tenth"),
        (but(recall=lambda s, m: math.nan), "recall is not right"),
        (lambda s, m: by_ranks(s, m)["spearman"], "a dict with the keys"),
        (lambda s, m: {"spearman": 1.0}, "a dict with the keys spearman, ndcg, recall"),
        (lambda s, m: print(), "returns None"),
        (but(spearman=lambda s, m: s.shape), "of type Size"),
    ],
)
def test_wrong(wrong, words):
    assert_wrong(CHECK, wrong, words)


def test_blank():
    def blank(scores, measured):
        raise NotImplementedError()

    assert verdict(CHECK, blank)[0] == "not attempted"

"""AUROC with its interval, and FPR at 95 % TPR, in their production form."""

import math

import pytest
import torch
from oracles import evaluation as slow

from sslcourse.evaluate import auroc, auroc_interval, fpr_at_95_tpr, wilson_interval


def drawn(n, shift=0.0, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.parametrize("digits", [0, 1, 5])
def test_auroc_counts_all_pairs(digits):
    a, b = drawn(30, 1).round(decimals=digits), drawn(21, seed=1).round(decimals=digits)
    assert auroc(a, b) == pytest.approx(slow.auroc(a, b), abs=1e-12)
    assert auroc(b, a) == pytest.approx(1 - auroc(a, b), abs=1e-12)
    assert isinstance(auroc(a, b), float)


def test_infinite_scores_are_ranked_and_any_order_preserving_change_is_ignored():
    a, b = torch.tensor([math.inf, 1.0, 2.0]), torch.tensor([-math.inf, 1.0])
    assert auroc(a, b) == pytest.approx(5.5 / 6)
    assert fpr_at_95_tpr(a, b) == pytest.approx(1 / 2)
    many = drawn(40, 1), drawn(50, seed=2)
    assert auroc(*(x.exp() for x in many)) == pytest.approx(auroc(*many), abs=1e-12)


@pytest.mark.parametrize(("n", "needed"), [(1, 1), (19, 19), (20, 19), (21, 20), (100, 95), (1000, 950)])
def test_the_threshold_is_the_highest_that_95_percent_reach(n, needed):
    inside = torch.arange(n, dtype=torch.float64)
    threshold = n - needed
    just_below, at = torch.tensor([threshold - 0.5]), torch.tensor([float(threshold)])
    assert (fpr_at_95_tpr(inside, just_below), fpr_at_95_tpr(inside, at)) == (0.0, 1.0)


def test_the_interval_covers_as_often_as_it_says():
    """Two normal distributions one apart have an area of Phi(1 / sqrt 2)."""
    true = 0.5 * (1 + math.erf(0.5))
    covered = 0
    for seed in range(300):
        low, high = auroc_interval(drawn(60, 1, seed), drawn(40, seed=1000 + seed))
        assert 0 < low < high < 1
        covered += low <= true <= high
    assert 0.91 <= covered / 300 <= 0.985


def test_the_interval_is_delongs():
    """Variance by the definition: placements of both samples, unbiased."""
    a, b = drawn(25, 1).round(decimals=1).double(), drawn(30, seed=3).round(decimals=1).double()
    wins = (a[:, None] > b).double() + (a[:, None] == b).double() / 2
    deviation = (wins.mean(dim=1).var() / 25 + wins.mean(dim=0).var() / 30).sqrt().item()
    area, half = auroc(a, b), 1.959964 * deviation
    low, high = (math.log(end / (1 - end)) for end in auroc_interval(a, b))
    assert (high - low) / 2 == pytest.approx(half / (area * (1 - area)), rel=1e-5)
    assert (high + low) / 2 == pytest.approx(math.log(area / (1 - area)), rel=1e-9)


def test_the_interval_at_the_ends_is_not_a_point():
    assert auroc_interval(torch.ones(9), torch.zeros(20)) == wilson_interval(1.0, 9)
    assert auroc_interval(torch.zeros(9), torch.ones(20)) == wilson_interval(0.0, 9)
    assert auroc_interval(torch.zeros(1), drawn(20))[0] < auroc(torch.zeros(1), drawn(20))


@pytest.mark.parametrize("measure", [auroc, auroc_interval, fpr_at_95_tpr])
@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        (torch.zeros(0), torch.zeros(2), "in_scores is empty"),
        (torch.zeros(2), torch.zeros(0), "out_scores is empty"),
        (torch.zeros(2), torch.tensor([0.0, math.nan]), "out_scores holds NaN for 1 of 2"),
        (torch.zeros(2, 1), torch.zeros(2), r"in_scores has shape \(2, 1\)"),
    ],
)
def test_unfit_scores_get_a_sentence(measure, a, b, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure(a, b)


def test_an_impossible_level_gets_a_sentence():
    with pytest.raises(ValueError, match=r"lies in \(0, 1\), but it is 95"):
        auroc_interval(torch.zeros(2), torch.ones(2), 95)

"""Week 10's information imbalance: right versions in several styles, and each named mistake by its message."""

import numpy as np
import pytest
import torch
from harness import assert_right, assert_wrong
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

import sslcourse
from sslcourse.check import week10 as check
from sslcourse.check.week10 import imbalance_oracle as oracle


def distances(x, metric="euclidean"):
    far = cdist(x.double().numpy(), x.double().numpy(), metric)
    np.fill_diagonal(far, np.inf)
    return far


# --- the definition itself


def test_equal_spaces_have_2_over_n_unrelated_ones_about_1_and_a_part_is_less_than_the_whole():
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = torch.randn(400, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    solution = sslcourse.solution("week10", "information_imbalance")
    for definition in (oracle.information_imbalance, solution):
        assert definition(x, 5 * x + 1) == pytest.approx(2 / 400)
        assert definition(x, other) == pytest.approx(1, abs=0.1)
        # Three independent coordinates know one of them; one of them hardly knows the three.
        assert definition(x, x[:, :1]) < 0.3 < definition(x[:, :1], x)
    with pytest.raises(ValueError, match="a has 4 rows and b has 5"):
        solution(x[:4], x[:5])


def test_it_is_what_dadapy_computes():
    """DADApy 0.3.4, `_return_imbalance`: mean place of the neighbour among all, itself at place 0, over N / 2."""
    a, b = (torch.randn(60, 4, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3))
    order_a, order_b = (np.argsort(cdist(x.numpy(), x.numpy()), axis=1) for x in (a, b))
    places = [np.where(order_b[i] == order_a[i, 1])[0][0] for i in range(60)]
    assert oracle.information_imbalance(a, b) == pytest.approx(np.mean(places) / (60 / 2))


# --- right versions


def by_ranks(a, b):
    nearest = distances(a).argmin(axis=1)
    ranks = rankdata(distances(b), axis=1)
    return 2 * ranks[np.arange(len(a)), nearest].mean() / len(a)


def by_sorting(a, b):
    order_a, order_b = (torch.cdist(x, x).argsort(dim=1) for x in (a, b))
    return 2 / len(a) * (order_b == order_a[:, 1:2]).float().argmax(dim=1).float().mean()


def by_loops(a, b):
    total, a, b = 0, a.double().numpy(), b.double().numpy()
    for i in range(len(a)):
        here, there = (np.delete(np.linalg.norm(x - x[i], axis=1), i).tolist() for x in (a, b))
        total += sorted(range(len(there)), key=there.__getitem__).index(here.index(min(here))) + 1
    return total / len(a) / (len(a) / 2)


@pytest.mark.parametrize("right", [by_ranks, by_sorting, by_loops])
def test_right_information_imbalance(right, seeds):
    assert_right(check.information_imbalance, right)


# --- wrong versions


def version(
    *, nearest=lambda far: far.argmin(axis=1), metric="euclidean", ranks=lambda r: r, end=lambda r: 2 * r.mean()
):
    def information_imbalance(a, b):
        rank = rankdata(distances(b, metric), axis=1)[np.arange(len(a)), nearest(distances(a, metric))]
        return end(ranks(rank)) / len(a)

    return information_imbalance


def itself(a, b):
    near = torch.cdist(a.double(), a.double(), compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)
    far = torch.cdist(b.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return 2 * (far < far.gather(1, near[:, None])).sum(1).double().mean() / len(a)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: max(by_ranks(a, b), by_ranks(b, a)), "the larger or the smaller"),
        (lambda a, b: by_ranks((a - a.mean(0)) / a.std(0), (b - b.mean(0)) / b.std(0)), "are standardised"),
        (
            lambda a, b: 2 * (distances(b).argsort(1)[np.arange(len(a)), distances(a).argmin(1)] + 1).mean() / len(a),
            "a single argsort",
        ),
        (
            lambda a, b: 2 * rankdata(distances(b), axis=0)[np.arange(len(a)), distances(a).argmin(1)].mean() / len(a),
            "among the neighbours of its nearest",
        ),
        (version(ranks=lambda r: len(r) - r), "count from the farthest"),
        (version(end=lambda r: 2 * np.log(r).mean()), "another mean"),
        (lambda a, b: by_ranks(b, a), "the directions are swapped"),
        (lambda a, b: (by_ranks(a, b) + by_ranks(b, a)) / 2, "both directions are averaged"),
        (itself, "counts as its own nearest"),
        (version(ranks=lambda r: r - 1), "the ranks count from 0"),
        (version(ranks=lambda r: r + 1), "the ranks count from 2"),
        (version(end=np.mean), "the factor 2 is missing"),
        (lambda a, b: by_ranks(a, b) * len(a), "a division by N is missing"),
        (version(end=lambda r: 2 * r.sum()), "a division by N is missing"),
        (lambda a, b: by_ranks(a, b) * len(a) / (len(a) - 1), "something near N"),
        (version(end=lambda r: 2 * np.median(r)), "another mean"),
        (lambda a, b: 1 - by_ranks(a, b), "one minus the imbalance"),
        (lambda a, b: np.mean(distances(a).argmin(1) == distances(b).argmin(1)), "the share whose nearest"),
        (version(metric="cosine"), "by cosine"),
        (version(metric="cityblock"), "(L1)"),
        (version(nearest=lambda far: np.where(np.isinf(far), -1, far).argmax(axis=1)), "the farthest point"),
        (version(nearest=lambda far: far.argsort(axis=1)[:, 1]), "the second nearest"),
        (lambda a, b: by_ranks(a, b) ** 2, "for each of the four samples"),
        (lambda a, b: print(), "returns None"),
        (lambda a, b: torch.ones(len(a)), "it should be a scalar"),
    ],
)
def test_wrong_information_imbalance(wrong, words):
    assert_wrong(check.information_imbalance, wrong, words)

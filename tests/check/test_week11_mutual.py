"""Week 11's mutual nearest neighbours: right versions in several styles, and each named mistake by its message."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from sklearn.neighbors import NearestNeighbors

import sslcourse
from sslcourse.check import week11 as check
from sslcourse.check.week11 import mutual

# --- the definition itself


def test_unrelated_spaces_share_k_of_n_and_turned_ones_everything():
    x, y = (torch.randn(400, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(2))).Q
    for definition in (mutual.mutual_knn_at_once, sslcourse.solution("week11", "mutual_knn")):
        assert definition(x, y, 10) == pytest.approx(10 / 399, abs=0.01)
        assert definition(x, 3 * x @ turn, 10) == pytest.approx(1.0, abs=2e-3)
    assert mutual.mutual_knn(x[:40], y[:40], 6) == pytest.approx(mutual.mutual_knn_at_once(x[:40], y[:40], 6))


# --- right versions


def by_sklearn(x, y, k=10):
    near = []
    for z in (x, y):
        places = NearestNeighbors(n_neighbors=k, metric="cosine").fit(z.numpy()).kneighbors(return_distance=False)
        near.append(places)
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(*near, strict=True)])


def by_masks(x, y, k=10):
    """As the authors have it."""
    masks = []
    for z in (x, y):
        z = F.normalize(z, dim=-1)
        knn = (z @ z.T).fill_diagonal_(-1e8).argsort(dim=1, descending=True)[:, :k]
        masks.append(torch.zeros(len(z), len(z)).scatter(1, knn, 1.0))
    return ((masks[0] * masks[1]).sum(dim=1) / k).mean()


def by_thresholds(x, y, k=10):
    near = []
    for z in (x, y):
        similar = F.cosine_similarity(z.double()[:, None], z.double()[None], dim=2)
        similar[range(len(z)), range(len(z))] = -2
        near.append(similar >= similar.sort(dim=1).values[:, -k, None])
    return (near[0] & near[1]).sum().item() / len(x) / k


@pytest.mark.parametrize("right", [by_sklearn, by_masks, by_thresholds])
def test_right_mutual_knn(right, seeds):
    assert_right(check.mutual_knn, right)


# --- wrong versions


def version(
    *,
    similar=lambda z: F.normalize(z, dim=1) @ F.normalize(z, dim=1).T,
    alone=True,
    number=lambda k, n: k,
    share=lambda common, k, n: common / k,
):
    def mutual_knn(x, y, k=10):
        near = []
        for z in (x, y):
            s = similar(z)
            near.append((s.fill_diagonal_(-torch.inf) if alone else s).topk(number(k, len(z)), dim=1).indices)
        common = (near[0][:, :, None] == near[1][:, None]).sum(dim=(1, 2))
        return share(common, k, len(x)).float().mean().item()

    return mutual_knn


def across(x, y, k=10):
    similar = F.normalize(x, dim=1) @ F.normalize(y[:, : x.shape[1]], dim=1).T
    near = [s.fill_diagonal_(-torch.inf).topk(k, dim=1).indices for s in (similar.clone(), similar.T.clone())]
    return ((near[0][:, :, None] == near[1][:, None]).sum(dim=(1, 2)) / k).mean()


def reciprocated(x, y, k=10):
    masks = []
    for z in (x, y):
        z = F.normalize(z, dim=-1)
        knn = (z @ z.T).fill_diagonal_(-1e8).topk(k).indices
        mask = torch.zeros(len(z), len(z)).scatter(1, knn, 1.0)
        masks.append(mask * mask.T)
    return (masks[0] * masks[1]).sum() / len(x) / k


def either(x, y, k=10):
    masks = []
    for z in (x, y):
        knn = (F.normalize(z) @ F.normalize(z).T).fill_diagonal_(-1e8).topk(k).indices
        mask = torch.zeros(len(z), len(z), dtype=torch.bool).scatter(1, knn, True)
        masks.append(mask | mask.T)
    return (masks[0] & masks[1]).sum() / len(x) / k


def own_is_zero(x, y, k=10):
    near = [(F.normalize(z) @ F.normalize(z).T).fill_diagonal_(0).topk(k).indices for z in (x, y)]
    return (near[0][:, :, None] == near[1][:, None]).sum() / len(x) / k


def as_cka(x, y, k=10):
    x, y = (F.normalize(z) @ F.normalize(z).T for z in (x, y))
    return F.cosine_similarity(x.flatten(), y.flatten(), dim=0)


def by_place(x, y, k=10):
    near = [(F.normalize(z) @ F.normalize(z).T).fill_diagonal_(-1).topk(k).indices for z in (x, y)]
    return (near[0] == near[1]).double().mean()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (version(alone=False), "counted as its own neighbour"),
        (version(alone=False, number=lambda k, n: k + 1), "counted as its own neighbour"),
        (version(number=lambda k, n: max(k - 1, 1)), "one neighbour is missing"),
        (version(share=lambda c, k, n: c / (2 * k - c)), "divided by the union"),
        (version(share=lambda c, k, n: c / (2 * k)), "divided by 2 k"),
        (version(share=lambda c, k, n: c), "not divided by k"),
        (version(share=lambda c, k, n: c / n), "divided by N"),
        (version(share=lambda c, k, n: (c > 0).float()), "any neighbour in common"),
        (version(share=lambda c, k, n: (c / k) ** 2), "squared"),
        (version(similar=lambda z: (F.normalize(z, dim=1) @ F.normalize(z, dim=1).T).abs()), "whatever its sign"),
        (own_is_zero, "the own cosine is set to 0"),
        (either, "one of the two names the other"),
        (as_cka, "as in CKA"),
        (across, "looked for across"),
        (reciprocated, "neighbours of each other"),
        (version(similar=lambda z: -torch.cdist(z, z)), "by distance"),
        (version(similar=lambda z: z @ z.T), "not normalised"),
        (version(similar=lambda z: -F.normalize(z, dim=1) @ F.normalize(z, dim=1).T), "the farthest"),
        (version(number=lambda k, n: min(10, n - 1), share=lambda c, k, n: c / min(10, n - 1)), "k is not used"),
        (version(number=lambda k, n: k + (k < n - 1), share=lambda c, k, n: c / (k + (k < n - 1))), "too many"),
        (by_place, "place by place"),
        (version(share=lambda c, k, n: 1 - c / k), "one minus the share"),
        (version(similar=lambda z: F.normalize(z, dim=0) @ F.normalize(z, dim=0).T), "over the samples"),
        (version(share=lambda c, k, n: c / k - k / (n - 1)), "level of chance"),
        (lambda x, y, k=5: version()(x, y, k), "The default is 10"),
        (lambda x, y, k=10: version()(x, x, k), "it should be"),
        (lambda x, y, k=10: print(), "returns None"),
    ],
)
def test_wrong_mutual_knn(wrong, words):
    assert_wrong(check.mutual_knn, wrong, words)

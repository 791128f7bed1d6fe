"""Right answers to week 10 in styles of their own, and what is asked for points that have no dimension."""

import functools
import math
import warnings

import numpy as np
import pytest
import torch
from harness import assert_right, verdict
from scipy import optimize
from scipy.spatial import cKDTree, distance
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph
from torch import nn

import sslcourse
from sslcourse import evaluate
from sslcourse.check import week10 as check


def ranked(x, metric="euclidean"):
    """(N, N - 1): distances to the others, rising, by scipy."""
    d = distance.cdist(x.double().numpy(), x.double().numpy(), metric)
    np.fill_diagonal(d, np.inf)
    return np.sort(d, axis=1)[:, :-1]


def ratios(x, metric="euclidean"):
    r = ranked(x, metric)
    r = r[r[:, 0] > 0]
    return np.sort(r[:, 1] / r[:, 0])


def lines(mu, fraction, count=int):
    """(log mu, -log(1 - F)) of those that are fitted."""
    kept = min(max(count(fraction * len(mu)), 1), len(mu) - 1)
    return np.log(mu[:kept]), -np.log1p(-np.arange(1, kept + 1) / len(mu))


# --- right answers


def two_nn_by_lstsq(x, fraction=0.9):
    m, y = lines(ratios(x), fraction)
    return np.linalg.lstsq(m[:, None], y, rcond=None)[0].item()


def two_nn_by_curve_fit(x, fraction=0.9):
    m, y = lines(ratios(x), fraction)
    return optimize.curve_fit(lambda m, d: d * m, m, y)[0][0]


def two_nn_in_torch(x: torch.Tensor, fraction: float = 0.9):
    d = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist")
    r = d.masked_fill(torch.eye(len(x), dtype=torch.bool), math.inf).topk(2, largest=False).values.T
    m = torch.log(r[1] / r[0])[r[0] != 0].sort()[0]
    f = torch.linspace(0, 1, len(m) + 1, dtype=torch.float64)[1:]
    use = (torch.arange(len(m)) < int(fraction * len(m))) & (f < 1)
    return torch.einsum("i,i->", m[use], -(1 - f[use]).log()) / m[use].pow(2).sum()


class TwoNN(nn.Module):
    def __init__(self, fraction=0.9):
        super().__init__()
        self.fraction = fraction

    def forward(self, x, fraction=None):
        return two_nn_by_lstsq(x, self.fraction if fraction is None else fraction)


def two_nn_that_refuses(x, fraction=0.9):
    if not x.isfinite().all():
        raise ValueError("x holds NaN.")
    mu = ratios(x)
    if not len(mu) or mu[-1] == 1:
        raise ValueError("No dimension fits.")
    return two_nn_by_lstsq(x, fraction)


def gride_of_dadapy(x, n1=1):
    """With N - 1, by Brent's method on the derivative, as the authors' group publishes it."""
    mu = ranked(x)[:, 2 * n1 - 1] / ranked(x)[:, n1 - 1]
    n2 = 2 * n1

    def derivative(d):
        one_less = 1.0 - mu ** (-d)
        return ((1 - n2 + n1) / one_less + n2 - 1.0) @ np.log(mu) - (len(mu) - 1) / d

    return (len(mu) - 1) / np.log(mu).sum() if n1 == 1 else optimize.brentq(derivative, 0.01, 500)


def gride_in_two_forms(x, n1=1):
    """N - 1 where there is a formula, N where there is none."""
    return two_nn_mle_by_scipy(x) if n1 == 1 else sslcourse.solution("week10", "gride")(x, n1)


def two_nn_mle_by_scipy(x):
    mu = ratios(x)
    return (len(mu) - 1) / np.sum(np.log(mu))


def mle_by_loops(x):
    x, total, n = x.tolist(), 0.0, 0
    for i in range(len(x)):
        r = sorted(math.dist(x[i], x[j]) for j in range(len(x)) if j != i)[:2]
        if r[0] > 0:
            total, n = total + math.log(r[1]) - math.log(r[0]), n + 1
    return (n - 1) / total


def participation_in_torch(x):
    values = torch.linalg.eigvalsh(torch.cov(x.double().T).reshape(x.shape[1], -1))
    return (values.sum() ** 2 / (values**2).sum()).float()


def participation_by_shares(x):
    p = PCA().fit(x.double().numpy()).explained_variance_ratio_
    return 1 / np.sum(p**2)


def participation_by_norms(x):
    c = np.cov(x.double().numpy(), rowvar=False, bias=True)
    return (np.trace(c) / np.linalg.norm(c)) ** 2


def participation_by_svd(x):
    s = np.linalg.svd((x - x.mean(0, keepdim=True)).double().numpy(), full_matrices=False, compute_uv=False)
    return float((s**2).sum() ** 2 / (s**4).sum())


def graph(x, k, **settings):
    return kneighbors_graph(x.double().numpy(), k, include_self=False, **settings).toarray()


def overlap_by_graphs(a, b, k):
    return (graph(a, k) * graph(b, k)).sum() / (len(a) * k)


def overlap_by_trees(a, b, k):
    near = [cKDTree(x.double().numpy()).query(x.double().numpy(), k + 1)[1] for x in (a, b)]
    near = [[set(row) - {i} for i, row in enumerate(places)] for places in near]
    return float(np.mean([len(i & j) for i, j in zip(*near, strict=True)])) / k


def overlap_by_isin(a, b, k):
    here, there = (evaluate.nearest_neighbours(x, k=k, metric="euclidean")[1] for x in (a, b))
    return torch.stack([torch.isin(i, j).float().mean() for i, j in zip(here, there, strict=True)]).mean()


def labels_by_graph(x, labels, k):
    same = labels.numpy()[:, None] == labels.numpy()
    return (graph(x, k) * same).sum(1).mean() / k


RIGHT = {
    "two_nn": [two_nn_by_lstsq, two_nn_by_curve_fit, two_nn_in_torch, TwoNN(), two_nn_that_refuses],
    "two_nn_mle": [
        two_nn_mle_by_scipy,
        mle_by_loops,
        lambda x: 1 / np.log(ratios(x)).mean() * (1 - 1 / len(ratios(x))),
        lambda x: float(np.float32((len(ratios(x)) - 1) / np.log(ratios(x)).sum())),
        functools.partial(lambda scale, x: two_nn_mle_by_scipy(x * scale), 3.0),
    ],
    "gride": [gride_of_dadapy, gride_in_two_forms],
    "participation_ratio": [
        participation_in_torch,
        participation_by_shares,
        participation_by_norms,
        participation_by_svd,
        lambda x: (lambda c: c.trace().square() / (c @ c).trace())(torch.cov(x.double().T)),
    ],
    "neighbourhood_overlap": [
        overlap_by_graphs,
        overlap_by_trees,
        overlap_by_isin,
        lambda a, b, k: 1 - np.abs(graph(a, k) - graph(b, k)).sum() / (2 * k * len(a)),
        lambda a, b, k: np.mean([np.intersect1d(*rows).size for rows in places(a, b, k)]) / k,
    ],
    "label_overlap": [labels_by_graph],
}


def places(a, b, k):
    return zip(
        *(np.argsort(distance.squareform(distance.pdist(x)) + 1e9 * np.eye(len(x)), axis=1)[:, :k] for x in (a, b)),
        strict=True,
    )


@pytest.mark.parametrize(("name", "right"), [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_right_answers(name, right, seeds):
    assert_right(getattr(check, name), right)


# --- points that have no dimension

LATTICE = torch.cartesian_prod(*[torch.arange(4.0)] * 2)
BROKEN = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)).index_fill(0, torch.tensor([4]), math.nan)


@pytest.mark.parametrize("points", [torch.ones(9, 3), torch.full((9, 3), 0.1), BROKEN, LATTICE], ids=str)
@pytest.mark.parametrize("name", ["two_nn", "two_nn_mle", "gride", "participation_ratio"])
def test_the_solutions_refuse_what_has_no_dimension(name, points):
    if name == "participation_ratio" and points is LATTICE:
        return
    with warnings.catch_warnings(), pytest.raises(ValueError, match="NaN|equal"):
        warnings.simplefilter("ignore")
        sslcourse.solution("week10", name)(points)


def test_what_comes_out_for_them_is_shown_and_not_graded():
    for answer, words in (
        (two_nn_that_refuses, "are refused with a ValueError"),
        (two_nn_by_lstsq, "Not graded, points that have no dimension"),
        (two_nn_by_lstsq, "a lattice: 0"),
    ):
        outcome, text = verdict(check.two_nn, answer)
        assert outcome == "right" and words in text, text

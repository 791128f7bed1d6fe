"""The checks of week 10: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from harness import assert_right, assert_wrong
from scipy.spatial import cKDTree
from scipy.special import gammainc
from scipy.stats import special_ortho_group
from sklearn.datasets import make_swiss_roll
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestNeighbors

import sslcourse
from sslcourse import evaluate
from sslcourse.check import week10 as check
from sslcourse.check.week10 import gride_oracle, oracle, spectrum_oracle
from sslcourse.check.week10 import overlap_oracle as overlaps

two_nearest, layer_profile = (sslcourse.solution("week10", name) for name in ("two_nearest", "layer_profile"))


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the definitions against published values and known dimensions


def ball(n, d, seed):
    """As scikit-dimension draws it: a normal vector, its length turned into that of a uniform ball."""
    z = np.random.RandomState(seed).normal(size=(n, d))
    squares = (z**2).sum(axis=1, keepdims=True)
    return torch.as_tensor(z * gammainc(d / 2, squares / 2) ** (1 / d) / np.sqrt(squares))


def sphere(n, d, seed):
    z = np.random.RandomState(seed).normal(size=(n, d + 1))
    return torch.as_tensor(z / np.linalg.norm(z, axis=1, keepdims=True))


@pytest.mark.parametrize("estimate", [oracle.two_nn, evaluate.two_nn, sslcourse.solution("week10", "two_nn")])
def test_two_nn_equals_scikit_dimension(estimate):
    """TwoNN().fit of scikit-dimension 0.5 on these two sets, as published with the package's version."""
    assert estimate(ball(500, 5, 0)) == pytest.approx(4.159093274, abs=1e-8)
    assert estimate(sphere(500, 30, 1)) == pytest.approx(21.534662029, abs=1e-7)


def rotated_torus(n, seed):
    angles = 2 * math.pi * torch.rand(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = torch.cat([angles.cos(), angles.sin()], dim=1)
    return x @ torch.as_tensor(special_ortho_group.rvs(50, random_state=seed)[:6])  # (n, 50)


def test_dimension_of_known_manifolds():
    tori = [rotated_torus(4000, seed) for seed in range(3)]
    assert np.mean([evaluate.two_nn(x) for x in tori]) == pytest.approx(3, rel=0.03)
    assert evaluate.participation_ratio(tori[0]) == pytest.approx(6, abs=0.05)

    roll = torch.as_tensor(make_swiss_roll(4000, random_state=0)[0])
    assert evaluate.two_nn(roll) == pytest.approx(2, abs=0.1)
    assert evaluate.two_nn(roll + 0.5 * drawn(4000, 3)) > 2.7  # noise fills the space at small scale
    assert evaluate.two_nn(drawn(4000, 2)) == pytest.approx(2, abs=0.12)
    assert evaluate.two_nn(drawn(4000, 1)) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("d", "mean", "spread"), [(2, 1.99, 0.05), (5, 4.7, 0.2), (10, 8.4, 0.3), (20, 15.4, 0.3)])
def test_the_bias_of_a_cube_is_the_known_one(d, mean, spread):
    values = [evaluate.two_nn(torch.rand(2000, d, generator=torch.Generator().manual_seed(s))) for s in range(6)]
    assert np.mean(values) == pytest.approx(mean, abs=3 * spread / math.sqrt(6) + 0.05)


def test_a_cut_makes_maximum_likelihood_a_third_too_high():
    x = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    r1, r2 = two_nearest(x)
    lower = (r2 / r1).log().sort().values[:3600]
    cut = (len(lower) / lower.sum()).item()
    factor = 1 / (1 + 0.1 / 0.9 * math.log(0.1))
    assert factor == pytest.approx(1.34, abs=0.005)
    assert cut / oracle_mle(x) == pytest.approx(factor, rel=0.03)


def oracle_mle(x):
    r1, r2 = two_nearest(x)
    return ((len(x) - 1) / (r2 / r1).log().sum()).item()


@pytest.mark.parametrize("estimate", [evaluate.two_nn, evaluate.participation_ratio])
def test_rotation_scale_shift_and_more_dimensions_change_nothing(estimate):
    x = drawn(300, 4)
    wide = torch.cat([x, torch.zeros(300, 6)], dim=1) @ torch.as_tensor(special_ortho_group.rvs(10, random_state=0))
    for moved in (wide, x * 1e-20, x * 1e20, x + 1e4, x.flip(0)):
        assert estimate(moved) == pytest.approx(estimate(x), rel=1e-6)


def test_far_from_the_origin_in_float32():
    """What rounding to float32 there has left is measured exactly: products without a centre would not."""
    x = (drawn(500, 10) + 1000).float()
    assert evaluate.two_nn(x) == pytest.approx(oracle.two_nn(x), rel=1e-6)
    r1, _ = two_nearest(x)
    torch.testing.assert_close(r1, oracle.two_nearest(x)[0], rtol=1e-9, atol=0)


def test_participation_ratio_is_that_of_pca():
    for shape in ((50, 6), (7, 20)):
        x = drawn(*shape) * torch.linspace(1, 3, shape[1]) + 5
        values = PCA().fit(x.numpy()).explained_variance_
        wanted = values.sum() ** 2 / (values**2).sum()
        assert evaluate.participation_ratio(x) == pytest.approx(wanted, rel=1e-9)
        assert spectrum_oracle.participation_ratio(x) == pytest.approx(wanted, rel=1e-9)
    assert evaluate.participation_ratio(drawn(50, 1)) == pytest.approx(1)


def test_overlap_of_equal_and_of_unrelated_neighbourhoods():
    a, b = drawn(400, 5), drawn(400, 5, seed=1)
    assert evaluate.neighbourhood_overlap(a, 3 * a + 1, 10) == 1.0
    assert evaluate.neighbourhood_overlap(a, b, 399) == 1.0
    assert evaluate.neighbourhood_overlap(a, b, 10) == pytest.approx(10 / 399, abs=0.01)
    for k in (1, 7):
        assert evaluate.neighbourhood_overlap(a[:60], b[:60], k) == pytest.approx(
            overlaps.neighbourhood_overlap(a[:60], b[:60], k)
        )


def test_gride_definition_at_one_is_maximum_likelihood_and_finds_the_dimension():
    x = drawn(80, 3)
    logs = [math.log(row[1] / row[0]) for row in oracle.distances(x)]
    assert gride_oracle.gride(x, 1) == pytest.approx(80 / sum(logs), rel=1e-9)
    plane = torch.rand(600, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert gride_oracle.gride(plane, 4) == pytest.approx(2, abs=0.15)


# --- what the library says to bad input


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        (lambda: evaluate.two_nn(drawn(2, 3)), "x has 2 rows; at least 3 are needed"),
        (lambda: evaluate.two_nn(torch.ones(9, 3)), "all points of x are equal to another one"),
        (lambda: evaluate.two_nn(drawn(9, 3).log()), "x holds NaN or infinite values"),
        (lambda: evaluate.two_nn(drawn(9)), r"x has shape \(9,\); expected \(N, D\)"),
        (lambda: evaluate.two_nn(drawn(9, 2), 0), "fraction is 0; it should be greater than 0 and at most 1"),
        (lambda: evaluate.two_nn(drawn(9, 2), 1.5), "fraction is 1.5"),
        (lambda: evaluate.two_nn(drawn(9, 2), math.nan), "fraction is nan"),
        (lambda: evaluate.two_nn(drawn(9, 2), 0.1), "leaves none of 9 ratios"),
        (lambda: evaluate.two_nn(torch.eye(5)), "no finite dimension fits"),
        (lambda: evaluate.participation_ratio(torch.full((9, 3), 0.1)), "All points of x are equal"),
        (lambda: evaluate.participation_ratio(drawn(1, 3)), "x has 1 rows; at least 2"),
        (lambda: evaluate.participation_ratio(drawn(9, 3) / 0), "x holds NaN"),
        (lambda: evaluate.neighbourhood_overlap(drawn(9, 3), drawn(8, 3), 2), "a has 9 rows and b has 8"),
        (lambda: evaluate.neighbourhood_overlap(drawn(9, 3), drawn(9, 2), 9), "k is 9, but a query has 8 candidates"),
        (lambda: evaluate.neighbourhood_overlap(drawn(9, 3), drawn(9, 2), 0), "k is 0"),
        (lambda: evaluate.neighbourhood_overlap(drawn(9, 3), drawn(9, 2).log(), 2), "b holds NaN"),
        (lambda: two_nearest(drawn(2, 3)), "at least three points"),
        (lambda: two_nearest(drawn(9)), r"expected \(N, D\)"),
    ],
)
def test_unfit_input_gets_a_sentence(measure, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure()


def test_duplicates_are_left_out_with_a_warning_and_one_feature_is_a_line():
    x = drawn(300, 3)
    twice = torch.cat([x, x[:2]])
    with pytest.warns(UserWarning, match="4 of 302 points of x have a duplicate"):
        value = evaluate.two_nn(twice)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert value == pytest.approx(evaluate.two_nn(x), abs=0.2)
        assert evaluate.two_nn(drawn(3, 1)) > 0
    assert value == pytest.approx(oracle.two_nn(twice), rel=1e-9)


def test_memory_stays_far_below_all_distances():
    """20,000 points: the square of distances would take 1.6 GB in float32."""
    pytest.importorskip("resource", reason="Windows does not tell the largest memory that a process had")
    code = """
import resource, sys, torch
from sslcourse import evaluate, solution
two_nearest = solution("week10", "two_nearest")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
x = torch.rand(20_000, 6)
evaluate.two_nn(x[:50]), two_nearest(x[:50]), evaluate.neighbourhood_overlap(x[:50], x[:50], 3)
before = peak()
evaluate.two_nn(x), two_nearest(x), evaluate.participation_ratio(x)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 400, f"{done.stdout} MB"


# --- right versions


def apart(x):
    """Distances to the two nearest others, without points that have a duplicate."""
    r = cKDTree(x.double().numpy()).query(x.double().numpy(), k=3)[0][:, 1:]
    return r[r[:, 0] > 0]


def two_nn(x, fraction=0.9):
    r = apart(x)
    mu = np.sort(r[:, 1] / r[:, 0])
    n = len(mu)
    kept = min(int(fraction * n), n - 1)
    level = np.arange(1, kept + 1) / n
    line = LinearRegression(fit_intercept=False).fit(np.log(mu[:kept])[:, None], -np.log(1 - level))
    return float(line.coef_[0])


def two_nn_by_loops(x, fraction=0.9):
    ratios = []
    for i in range(len(x)):
        others = torch.cat([x[:i], x[i + 1 :]])
        near = (others - x[i]).double().norm(dim=1).sort().values
        if near[0] > 0:
            ratios.append(math.log10(near[1] / near[0]))  # any base: both axes scale alike
    ratios.sort()
    kept = [(m, -math.log10(1 - i / len(ratios))) for i, m in enumerate(ratios, 1) if i < len(ratios)]
    kept = kept[: int(fraction * len(ratios))]
    return torch.tensor(sum(m * y for m, y in kept) / sum(m * m for m, _ in kept))


@pytest.mark.parametrize("right", [two_nn, two_nn_by_loops, evaluate.two_nn])
def test_right_two_nn(right, seeds):
    assert_right(check.two_nn, right)


def two_nn_mle(x):
    r = apart(x)
    return (len(r) - 1) / np.log(r[:, 1] / r[:, 0]).sum()


def two_nn_mle_in_torch(x):
    r1, r2 = two_nearest(x)
    return (r1 > 0).sum().sub(1) / (r2.log() - r1.log())[r1 > 0].sum()


@pytest.mark.parametrize("right", [two_nn_mle, two_nn_mle_in_torch])
def test_right_two_nn_mle(right, seeds):
    assert_right(check.two_nn_mle, right)


def nearest_by_tree(x):
    r = cKDTree(x.double().numpy()).query(x.double().numpy(), k=3)[0]
    return torch.as_tensor(r[:, 1]), torch.as_tensor(r[:, 2])


def nearest_by_the_library(x):
    return evaluate.nearest_neighbours(x, k=2, metric="euclidean")[0].T.unbind()


def ranked(x, n1):
    return cKDTree(x.double().numpy()).query(x.double().numpy(), k=2 * n1 + 1)[0][:, [n1, 2 * n1]]


def gride_by_optimiser(x, n1=1):
    from scipy.optimize import minimize_scalar

    near, far = ranked(x, n1).T
    m = np.log(far / near)

    def cost(d):
        return -(np.log(d) + (n1 - 1) * np.log(np.expm1(d * m)) - ((2 * n1 - 1) * d + 1) * m).sum()

    return minimize_scalar(cost, bounds=(0.01, 60), method="bounded", options={"xatol": 1e-9}).x


def scaling(x, fractions, n_repeats, generator):
    sizes, ids = [], []
    for fraction in fractions:
        size = int(fraction * len(x))
        draws = [torch.rand(len(x), generator=generator).argsort()[:size] for _ in range(n_repeats)]
        sizes.append(size)
        ids.append(np.mean([evaluate.two_nn(x[rows]) for rows in draws]))
    return torch.tensor(sizes), np.array(ids)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("two_nearest", nearest_by_tree),
        ("two_nearest", nearest_by_the_library),
        ("two_nearest", lambda x: two_nearest(x, chunk=7)),
        ("gride", gride_by_optimiser),
        ("gride", lambda x, n1=1: gride_oracle.gride(x, n1)),
        ("id_scaling", scaling),
        ("layer_profile", lambda *case: layer_profile(*case)),
    ],
)
def test_right_others(name, right, seeds):
    assert_right(getattr(check, name), right)


def participation(x):
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(x.double().numpy().T)))
    return values.sum() ** 2 / (values**2).sum()


def participation_by_pca(x):
    values = PCA().fit(x.double().numpy()).explained_variance_
    return float(values.sum() ** 2 / np.square(values).sum())


def participation_by_trace(x):
    gram = (x - x.mean(0)).double() @ (x - x.mean(0)).double().T
    return gram.trace() ** 2 / gram.square().sum()


@pytest.mark.parametrize("right", [participation, participation_by_pca, participation_by_trace])
def test_right_participation_ratio(right, seeds):
    assert_right(check.participation_ratio, right)


def near(x, k, **settings):
    """Places of the k nearest, by scikit-learn, which leaves a point out of its own neighbours."""
    return NearestNeighbors(n_neighbors=k, **settings).fit(x.double().numpy()).kneighbors(return_distance=False)


def overlap(a, b, k):
    return np.mean([len(set(i) & set(j)) / k for i, j in zip(near(a, k), near(b, k), strict=True)])


def overlap_by_masks(a, b, k):
    masks = []
    for x in (a.double(), b.double()):
        order = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
        masks.append(torch.zeros(len(x), len(x)).scatter_(1, order.topk(k, largest=False).indices, 1.0))
    return (masks[0] * masks[1]).sum() / (k * len(a))


@pytest.mark.parametrize("right", [overlap, overlap_by_masks, evaluate.neighbourhood_overlap])
def test_right_neighbourhood_overlap(right, seeds):
    assert_right(check.neighbourhood_overlap, right)


def labels_in_common(x, labels, k):
    return np.mean(labels.numpy()[near(x, k)] == labels.numpy()[:, None])


def labels_by_loops(x, labels, k):
    shares = [sum(labels[j] == labels[i] for j in row) / k for i, row in enumerate(near(x, k))]
    return sum(shares) / len(shares)


@pytest.mark.parametrize("right", [labels_in_common, labels_by_loops])
def test_right_label_overlap(right, seeds):
    assert_right(check.label_overlap, right)


# --- wrong versions


def fitted(x, fraction=0.9, *, ratio=None, level=None, slope=None, kept=None):
    """TwoNN as students write it, one piece of it exchanged."""
    r = torch.as_tensor(apart(x))
    mu = (r[:, 1] / r[:, 0] if ratio is None else ratio(r)).sort().values
    n = len(mu)
    keep = min(int(fraction * n), n - 1) if kept is None else kept(n, fraction)
    log_mu = mu.log()[:keep]
    i = torch.arange(1, keep + 1).double()
    y = -(1 - (i / n if level is None else level(i, n, keep))).log()
    return float((log_mu @ y) / (log_mu @ log_mu) if slope is None else slope(log_mu, y))


def with_itself(x, fraction=0.9):
    r = torch.cdist(x, x).sort(dim=1).values[:, :2]
    return fitted(x, fraction, ratio=lambda _: (r[:, 1] / r[:, 0]).double())


def without_dropping(x, fraction=0.9):
    r = torch.as_tensor(cKDTree(x.numpy()).query(x.numpy(), k=3)[0][:, 1:])
    mu = (r[:, 1] / r[:, 0]).log().sort().values
    keep = min(int(fraction * len(mu)), len(mu) - 1)
    y = -(1 - torch.arange(1, keep + 1) / len(mu)).log().double()
    return (mu[:keep] @ y / (mu[:keep] @ mu[:keep])).item()


def further(x):
    return torch.as_tensor(cKDTree(x.numpy()).query(x.numpy(), k=4)[0][:, 2:])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (with_itself, "its own first neighbour"),
        (lambda x, f=0.9: fitted(x, f, level=lambda i, n, k: (i - 1) / n), "off by one"),
        (lambda x, f=0.9: fitted(x, f, level=lambda i, n, k: i / (n + 1)), "off by one"),
        (lambda x, f=0.9: fitted(x, f, slope=lambda m, y: np.polyfit(m, y, 1)[0]), "has an intercept"),
        (lambda x, f=0.9: fitted(x, f, ratio=lambda r: (r[:, 1] / r[:, 0]) ** 2), "distances are squared"),
        (lambda x, f=0.9: fitted(x, f, ratio=lambda r: r[:, 0] / r[:, 1]), "the ratio is inverted"),
        (lambda x, f=0.9: fitted(x, f, ratio=lambda _: further(x)[:, 1] / further(x)[:, 0]), "left out too many"),
        (lambda x, f=0.9: fitted(x, 0.9), "fraction is not used"),
        (lambda x, f=0.9: fitted(x, 1.0), "fraction is not used"),
        (lambda x, f=0.9: fitted(x, f, level=lambda i, n, k: i / (k + 1)), "F counts the kept ratios only"),
        (lambda x, f=0.9: fitted(x, f, slope=lambda m, y: (y @ y) / (m @ y)), "axes are swapped"),
        (lambda x, f=0.9: 1 / fitted(x, f), "axes are swapped"),
        (lambda x, f=0.9: -fitted(x, f), "sign is wrong"),
        (lambda x, f=0.9: fitted(x, f, ratio=lambda r: (r[:, 1] / r[:, 0]).exp()), "logarithm of mu is missing"),
        (lambda x, f=0.8: fitted(x, f), "The default is 0.9"),
        (without_dropping, "N is the number of those that stay"),
        (lambda x, f=0.9: fitted(x, f) + 0.1, "five points on a line"),
        (lambda x, f=0.9: fitted(x[1:] if len(x) > 5 else x, f), "it should be"),
        (lambda x, f=0.9: fitted(x, f, kept=lambda n, f: max(1, int(f * n) - 3)), "it should be"),
        (lambda x, f=0.9: round(fitted(x, f)), "five points on a line"),
        (lambda x, f=0.9: print(), "returns None"),
        (lambda x, f=0.9: (fitted(x, f), 0), "it should be a scalar"),
    ],
)
def test_wrong_two_nn(wrong, words):
    assert_wrong(check.two_nn, wrong, words)


def mle_of(x, logs=None, over=lambda n: n - 1):
    r = torch.as_tensor(apart(x))
    values = (r[:, 1] / r[:, 0]).log() if logs is None else logs(r)
    return float(over(len(values)) / values.sum())


def lower_logs(r):
    return (r[:, 1] / r[:, 0]).log().sort().values[: int(0.9 * len(r))]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: mle_of(x, lower_logs), "a third too high"),
        (lambda x: mle_of(x, lower_logs, over=lambda n: n), "a third too high"),
        (lambda x: mle_of(x, over=lambda n: n), "the unbiased form is (N - 1) / sum"),
        (lambda x: mle_of(x, lambda r: (r[:, 1] / r[:, 0]).square().log()), "distances are squared"),
        (lambda x: mle_of(x, lambda r: (r[:, 0] / r[:, 1]).log()), "the ratio is inverted"),
        (lambda x: mle_of(x, lambda r: (further(x)[:, 1] / further(x)[:, 0]).log()), "left out too many"),
        (lambda x: 1 / mle_of(x), "upside down"),
        (lambda x: mle_of(x, lambda r: (r[:, 1] / r[:, 0]).log10()), "not the natural one"),
        (lambda x: mle_of(x, lambda r: r[:, 1] / r[:, 0] - 1), "logarithm of mu is missing"),
        (lambda x: mle_of(x, over=lambda n: n - 2), "N - 2, or N + 1"),
        (lambda x: (len(x) - 1) / torch.cdist(x, x).sort(1).values[:, :2].log().diff(dim=1).sum(), "own first neighb"),
        (lambda x: float((len(x) - 1) / np.log(np.divide(*nearest_by_tree(x)[::-1])).sum()), "Drop points with r1 = 0"),
        (lambda x: mle_of(x, over=lambda n: len(x) - 1), "N is the number of those that stay"),
    ],
)
def test_wrong_two_nn_mle(wrong, words):
    assert_wrong(check.two_nn_mle, wrong, words)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: torch.cdist(x, x).sort(dim=1).values[:, :2].T.unbind(), "its own first neighbour"),
        (lambda x: nearest_by_tree(x)[::-1], "swapped"),
        (lambda x: tuple(r**2 for r in nearest_by_tree(x)), "squared"),
        (lambda x: torch.as_tensor(cKDTree(x.numpy()).query(x.numpy(), k=4)[0][:, 2:]).T.unbind(), "left out too many"),
        (lambda x: torch.stack(nearest_by_tree(x)).sum(0), "It should return two tensors"),
        (lambda x: tuple(r[:-1] for r in nearest_by_tree(x)), "it should be (40,)"),
        (lambda x: tuple(1.1 * r for r in nearest_by_tree(x)), "for r1 of point"),
        (
            lambda x: (
                (x.square().sum(1)[:, None] + x.square().sum(1) - 2 * x @ x.T)
                .clamp(min=0)
                .sqrt()
                .fill_diagonal_(torch.inf)
                .topk(2, largest=False)
                .values.T.unbind()
            ),
            "take the mean off",
        ),
    ],
)
def test_wrong_two_nearest(wrong, words):
    assert_wrong(check.two_nearest, wrong, words)


def spectrum(x, formula, centre=lambda x: x - x.mean(0), power=2):
    return float(formula(torch.linalg.svdvals(centre(x.double())) ** power))


def ratio(v):
    return v.sum() ** 2 / v.square().sum()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: spectrum(x, ratio, centre=lambda x: x), "not centred"),
        (lambda x: spectrum(x, ratio, centre=lambda x: x - x.mean(1, keepdim=True)), "mean runs over the features"),
        (lambda x: spectrum(x, ratio, power=1), "singular values are taken for eigenvalues"),
        (lambda x: 1 / spectrum(x, ratio), "upside down"),
        (lambda x: spectrum(x, lambda v: v.sum() / v.square().sum()), "numerator is not squared"),
        (lambda x: (len(x) - 1) * spectrum(x, lambda v: v.sum() / v.square().sum()), "numerator is not squared"),
        (lambda x: spectrum(x, ratio, centre=lambda x: (x - x.mean(0)) / x.std(0)), "divided by their spread"),
        (lambda x: spectrum(x, lambda v: torch.special.entr(v / v.sum()).sum().exp()), "which is RankMe"),
        (lambda x: evaluate.rankme(x), "three points in a plane"),
        (lambda x: float(torch.linalg.matrix_rank(x - x.mean(0))), "that are not 0: the rank"),
        (lambda x: spectrum(x, lambda v: v.sum() / v.max()), "the stable rank"),
        (lambda x: spectrum(x, ratio) + 1, "three points in a plane"),
    ],
)
def test_wrong_participation_ratio(wrong, words):
    assert_wrong(check.participation_ratio, wrong, words)


def including(x, k):
    """As kneighbors of the fitted points gives them: itself first."""
    return NearestNeighbors(n_neighbors=min(k, len(x))).fit(x.numpy()).kneighbors(x.numpy(), return_distance=False)


def shared(here, there, k):
    return np.mean([len(set(i) & set(j)) / k for i, j in zip(here, there, strict=True)])


def farthest(x, k):
    return torch.cdist(x, x).topk(k).indices.tolist()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b, k: shared(including(a, k), including(b, k), k), "counts as its own neighbour"),
        (lambda a, b, k: shared(including(a, k + 1), including(b, k + 1), k), "counts as its own neighbour"),
        (lambda a, b, k: shared(including(a, k + 1), including(b, k + 1), k + 1), "counts as its own neighbour"),
        (lambda a, b, k: shared(near(a, k, metric="cosine"), near(b, k, metric="cosine"), k), "compared by cosine"),
        (lambda a, b, k: shared(farthest(a, k), farthest(b, k), k), "the farthest points are taken"),
        (lambda a, b, k: overlap(a, b, k) * k, "not divided by k"),
        (lambda a, b, k: overlap(a, b, k) / 2, "divided by 2 k"),
        (
            lambda a, b, k: np.mean(
                [len({*i} & {*j}) / len({*i} | {*j}) for i, j in zip(near(a, k), near(b, k), strict=True)]
            ),
            "divided by the union",
        ),
        (lambda a, b, k: np.mean(near(a, k) == near(b, k)), "only at the same rank"),
        (
            lambda a, b, k: np.mean([{*i} == {*j} for i, j in zip(near(a, k), near(b, k), strict=True)]),
            "only complete agreement",
        ),
        (lambda a, b, k: overlap(a, b.flip(0), k), "it should be"),
        (lambda a, b, k: overlap(a, b, 5 if len(a) > 5 else k), "it should be"),
        (lambda a, b, k: overlap(a, a, k), "both lists come from one space"),
        (lambda a, b, k: 1 - overlap(a, b, k), "it should be"),
        (lambda a, b, k: print(), "returns None"),
    ],
)
def test_wrong_neighbourhood_overlap(wrong, words):
    assert_wrong(check.neighbourhood_overlap, wrong, words)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, y, k: np.mean(y.numpy()[including(x, k)] == y.numpy()[:, None]), "has its own label"),
        (lambda x, y, k: np.mean(y.numpy()[including(x, k + 1)] == y.numpy()[:, None]), "has its own label"),
        (lambda x, y, k: np.mean(y.numpy()[near(x, k, metric="cosine")] == y.numpy()[:, None]), "by cosine"),
        (lambda x, y, k: labels_in_common(x, y, k) * k, "not divided by k"),
        (lambda x, y, k: (y[torch.as_tensor(near(x, k))].mode(1).values == y).double().mean(), "neighbours vote"),
        (lambda x, y, k: np.mean(y.numpy()[np.array(farthest(x, k))] == y.numpy()[:, None]), "farthest"),
        (lambda x, y, k: 1 - labels_in_common(x, y, k), "with another label"),
        (lambda x, y, k: labels_in_common(x, y, 5), "the argument k is not used"),
    ],
)
def test_wrong_label_overlap(wrong, words):
    assert_wrong(check.label_overlap, wrong, words)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, n1=1: 60 / (gride_oracle.gride(x, n1) * 60), "upside down"),
        (lambda x, n1=1: gride_oracle.gride(x, 1), "n1 is not used"),
        (lambda x, n1=1: float(len(x) / np.log(ranked(x, n1)[:, 1] / ranked(x, n1)[:, 0]).sum()), "for every n1"),
    ],
)
def test_wrong_gride(wrong, words):
    assert_wrong(check.gride, wrong, words)


def scaled(draw, sizes=lambda f, n: int(f * n), repeats=lambda n: n):
    def wrong(x, fractions, n_repeats, generator):
        counts = [sizes(f, len(x)) for f in fractions]
        runs = [[evaluate.two_nn(x[draw(len(x), c, generator)]) for _ in range(repeats(n_repeats))] for c in counts]
        return counts, [float(np.mean(run)) for run in runs]

    return wrong


def rows(n, size, generator):
    return torch.randperm(n, generator=generator)[:size]


def set_back(n, size, generator):
    return rows(n, size, generator.manual_seed(generator.initial_seed()) if size == n // 2 else generator)


def through_the_global(n, size, generator):
    torch.manual_seed(int(torch.randint(10**6, (1,), generator=generator)))
    return torch.randperm(n)[:size]


def last_of(x, fractions, n_repeats, generator):
    return [
        [evaluate.two_nn(x[rows(len(x), int(f * len(x)), generator)]) for _ in range(n_repeats)][-1] for f in fractions
    ]


def summed(x, fractions, n_repeats, generator):
    return [n_repeats * value for value in scaled(rows)(x, fractions, n_repeats, generator)[1]]


@pytest.mark.filterwarnings("ignore:.*duplicate")
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (scaled(lambda n, size, g: torch.randint(n, (size,), generator=g)), "drawn with replacement"),
        (scaled(lambda n, size, g: torch.arange(size)), "the first rows are taken"),
        (scaled(lambda n, size, g: torch.randperm(n)[:size]), "every random number should come from it"),
        (scaled(lambda n, size, g: rows(n, size, torch.Generator().manual_seed(0))), "should come from it"),
        (scaled(set_back), "set back in every call"),
        (scaled(through_the_global), "changes torch's global random numbers"),
        (scaled(rows, sizes=lambda f, n: int(f * n) + 1 if f < 1 else n), "they should be 203, 101, 50"),
        (scaled(rows, repeats=lambda n: 1), "Only one of the repeats counts"),
        (lambda x, f, n, g: [[int(share * len(x)) for share in f], last_of(x, f, n, g)], "Only one of the repeats"),
        (lambda x, f, n, g: [[int(share * len(x)) for share in f], summed(x, f, n, g)], "it should be"),
        (lambda *case: scaled(rows)(*case)[1], "It should return two things"),
        (lambda *case: tuple(part[:2] for part in scaled(rows)(*case)), "3 of each"),
    ],
)
def test_wrong_id_scaling(wrong, words):
    assert_wrong(check.id_scaling, wrong, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: made | {"id": made["id"].flip(0)}, "id is not that of the layers in their order"),
        (lambda made: made | {"overlap": made["overlap"].flip(0)}, "overlap is not that"),
        (lambda made: made | {"pca": made["id"]}, "pca is not that"),
        (lambda made: made | {"id": made["id"][:2]}, "it should be (3,)"),
        (lambda made: list(made), "It should return a dict"),
    ],
)
def test_wrong_layer_profile(change, words):
    assert_wrong(check.layer_profile, lambda *case: change(layer_profile(*case)), words)

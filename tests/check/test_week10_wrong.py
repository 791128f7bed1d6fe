"""Wrong answers to week 10, each with the words of its message; None where it is only rejected."""

import functools
import math

import numpy as np
import pytest
import torch
from harness import assert_wrong
from scipy.spatial import cKDTree, distance
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.neighbors import KNeighborsClassifier
from test_week10_right import graph, gride_of_dadapy, lines, ranked, ratios, two_nn_by_lstsq, two_nn_mle_by_scipy

import sslcourse
from sslcourse.check import week10 as check


def fit(mu=ratios, count=int, slope=lambda m, y: (m @ y) / (m @ m)):
    return lambda x, fraction=0.9: float(slope(*lines(mu(x), fraction, count)))


def regrouped(x, size):
    """Neighbours of every point within its own part."""
    return np.sort(np.concatenate([ratios(part) for part in x.split(size) if len(part) > 2]))


def largest(x, fraction=0.9):
    m, y = lines(ratios(x), 1.0)
    kept = min(int(fraction * (len(m) + 1)), len(m))
    return (m[-kept:] @ y[-kept:]) / (m[-kept:] @ m[-kept:])


def undropped(x, fraction=0.9):
    r = ranked(x)
    with np.errstate(all="ignore"):
        m, y = lines(np.sort(r[:, 1] / r[:, 0]), fraction)
        return float((m @ y) / (m @ m))


def unique(x, fraction=0.9):
    return fit()(torch.unique(x, dim=0), fraction)


def itself_by_tree(x, fraction=0.9):
    r = cKDTree(x.numpy()).query(x.numpy(), 3)[0][:, :2] + 1e-9
    return fit(mu=lambda _: np.sort(r[:, 1] / r[:, 0]))(x, fraction)


TWO_NN = [
    (fit(count=round), "is rounded"),
    (fit(count=lambda n: int(n + 0.5)), "is rounded"),
    (fit(count=math.ceil), "is rounded"),
    (fit(count=lambda n: int(n) + 1), "is rounded"),
    (fit(count=lambda n: int(n) - 1), "is rounded"),
    (largest, "the largest ratios are fitted"),
    (fit(mu=functools.partial(ratios, metric="cityblock")), "(L1)"),
    (fit(mu=functools.partial(ratios, metric="cosine")), "1 - cosine"),
    (fit(mu=functools.partial(ratios, metric="sqeuclidean")), "squared"),
    (fit(slope=lambda m, y: y.sum() / m.sum()), "the two means are divided"),
    (fit(slope=lambda m, y: (y / m).mean()), "slopes are averaged"),
    (fit(slope=lambda m, y: np.polyfit(m, y, 1)[0]), "has an intercept"),
    (fit(slope=lambda m, y: (m @ y) / (m @ m) / math.log(10)), "different bases"),
    (fit(slope=lambda m, y: (m @ m) / (m @ y)), "axes are swapped"),
    (lambda x, fraction=0.9: two_nn_mle_by_scipy(x), "by maximum likelihood"),
    (lambda x, fraction=0.9: fit()(x), "fraction is not used"),
    (undropped, "r1 = 0"),
    (unique, "are dropped, and N"),
    (itself_by_tree, "its own first neighbour"),
    (lambda x, fraction=0.9: fit(mu=lambda x: regrouped(x, 128))(x, fraction), "within a part"),
    (lambda x, fraction=0.9: fit()(x[:256], fraction), None),
    (lambda x, fraction=0.9: 0.2, None),
]


def of(logs=lambda x: np.log(ratios(x)), value=lambda m: (len(m) - 1) / m.sum()):
    return lambda x: float(value(logs(x)))


MLE = [
    (of(value=lambda m: len(m) / m.sum()), "divided by N: the unbiased"),
    (of(value=lambda m: (len(m) - 2) / m.sum()), "N - 2, or N + 1"),
    (of(logs=lambda x: np.log10(ratios(x))), "not the natural one"),
    (of(logs=lambda x: np.log2(ratios(x))), "not the natural one"),
    (of(logs=lambda x: ratios(x) - 1), "logarithm of mu is missing"),
    (of(logs=ratios), "logarithm of mu is missing"),
    (lambda x: 1 / math.log(ratios(x).mean()), "taken of a mean"),
    (of(value=lambda m: (1 / m).mean()), "reciprocals are averaged"),
    (of(value=lambda m: (len(m) - 1) / m.mean()), "by the mean of the logarithms"),
    (of(value=lambda m: math.log(2) / np.median(m)), "over a median"),
    (of(value=lambda m: -(len(m) - 1) / m.sum()), "the sign is wrong"),
    (of(logs=lambda x: np.log(ratios(x, "cityblock"))), "(L1)"),
    (of(logs=lambda x: np.log(ratios(x, "cosine"))), "1 - cosine"),
    (two_nn_by_lstsq, "fitted line of two_nn"),
    (of(logs=lambda x: np.log(ratios(x))[: int(0.9 * len(x))]), "a third too high"),
    (lambda x: two_nn_mle_by_scipy(torch.unique(x, dim=0)), "are dropped, and N"),
    (lambda x: (len(x) - 1) / np.log(ratios(x)).sum(), "are dropped, and N"),
]


def values(x, formula, centre=lambda x: x - x.mean(0)):
    return float(formula(torch.linalg.svdvals(centre(x.double())).square()))


def pr(v):
    return v.sum() ** 2 / v.square().sum()


PARTICIPATION = [
    (lambda x: values(x, lambda v: pr(v**2)), "squared once too often"),
    (lambda x: values(x, lambda v: pr(v.sqrt())), "singular values are taken"),
    (lambda x: values(x, lambda v: v.sum() ** 2 / v.sum()), "denominator is not squared"),
    (lambda x: values(x, lambda v: v.sum() / v.square().sum()), "numerator is not squared"),
    (lambda x: values(x, lambda v: pr(v)) / x.shape[1], "divided by D"),
    (lambda x: values(x, lambda v: pr(v).sqrt()), "the root is taken"),
    (lambda x: values(x, lambda v: v.sum() / v.max()), "the stable rank"),
    (lambda x: float(np.linalg.matrix_rank((x - x.mean(0)).numpy())), "the rank"),
    (lambda x: values(x, lambda v: (v.cumsum(0) < 0.9 * v.sum()).sum() + 1), "share of the variance"),
    (lambda x: float(PCA(0.95).fit(x.double().numpy()).n_components_), "share of the variance"),
    (lambda x: values(x, pr, centre=lambda x: x - x.mean()), "one mean is taken off"),
    (lambda x: pr(torch.linalg.eigvalsh(torch.cov(x.double())).clamp(min=0)), "mean runs over the features"),
    (lambda x: pr(torch.linalg.eigvalsh(torch.corrcoef(x.double().T).reshape(x.shape[1], -1))), "by their spread"),
    (lambda x: 1 / pr(torch.as_tensor(TruncatedSVD(min(x.shape) - 1 or 1).fit(x.numpy()).explained_variance_)), None),
    (lambda x: values(x, pr, centre=lambda x: x), "not centred"),
    (lambda x: values(x[:256], pr), None),
]


def near(x, k, metric="euclidean"):
    d = distance.cdist(x.double().numpy(), x.double().numpy(), metric) + 1e9 * np.eye(len(x))
    return np.argsort(d, axis=1)[:, :k]


def common(a, b, k, metric="euclidean", share=lambda i, j, k: len(i & j) / k, find=near):
    return float(np.mean([share({*i}, {*j}, k) for i, j in zip(find(a, k, metric), find(b, k, metric), strict=True)]))


def dot(x, k, _):
    return np.argsort(-(x @ x.T).numpy() + 1e9 * np.eye(len(x)), axis=1)[:, :k]


def second(x, k, _):
    return near(x, k + 1)[:, 1:]


def by_parts(x, k, _):
    return np.concatenate([near(part, k) + 256 * n for n, part in enumerate(x.split(256))])


OVERLAP = [
    (functools.partial(common, metric="cityblock"), "(L1)"),
    (functools.partial(common, metric="cosine"), "by cosine"),
    (functools.partial(common, find=dot), "of the largest product"),
    (functools.partial(common, find=second), "nearest neighbour is left out too"),
    (functools.partial(common, find=by_parts), "within a part of the points"),
    (functools.partial(common, share=lambda i, j, k: len(i & j) > 0), "one shared neighbour is enough"),
    (functools.partial(common, share=lambda i, j, k: 1 - len(i & j) / k), "not in common"),
    (functools.partial(common, share=lambda i, j, k: len(i & j) / len(i | j)), "by the union"),
    (functools.partial(common, share=lambda i, j, k: len(i & j)), "not divided by k"),
    (lambda a, b, k: common(a, b, min(k + 1, len(a) - 1)), "too many or too few"),
    (lambda a, b, k: common(a, b, max(k - 1, 1)), "too many or too few"),
    (lambda a, b, k: common(a, b, k, share=lambda i, j, k: len(i & j)) / len(a), "divided by N"),
    (lambda a, b, k: (graph(a, k) * graph(b, k)).mean(), "not yet right"),
    (lambda a, b, k: common(a[:256], b[:256], k), None),
    (lambda a, b, k: common(a, b.roll(1, 0), k), None),
]


def majority(x, labels, k):
    model = KNeighborsClassifier(k).fit(x.numpy(), labels.numpy())
    return model.score(x.numpy(), labels.numpy())


LABELS = [
    (lambda x, y, k: np.mean([labels_of(x, y, k)[y == c].mean() for c in y.unique()]), "the classes are averaged"),
    (lambda x, y, k: 1 - float(labels_of(x, y, k).mean()), "with another label"),
    (lambda x, y, k: float((y[torch.as_tensor(near(x, k, "cityblock"))] == y[:, None]).double().mean()), "(L1)"),
    (lambda x, y, k: float((torch.nn.functional.one_hot(y)[near(x, k)].sum(1).argmax(1) == y).double().mean()), None),
    (majority, None),
]


def labels_of(x, y, k):
    return (y[torch.as_tensor(near(x, k))] == y[:, None]).double().mean(1)


def closed(x, n1=1):
    return len(x) / np.log(ranked(x)[:, 2 * n1 - 1] / ranked(x)[:, n1 - 1]).sum()


GRIDE = [
    (lambda x, n1=1: gride_of_dadapy(x, 1), "n1 is not used"),
    (closed, "for every n1"),
    (lambda x, n1=1: len(x) / np.log(ranked(x)[:, n1] / ranked(x)[:, n1 - 1]).sum(), "neighbour n1 + 1"),
    (lambda x, n1=1: 1 / gride_of_dadapy(x, n1), "upside down"),
    (lambda x, n1=1: sslcourse.solution("week10", "gride")(x, n1) / 2, "squared"),
    (lambda x, n1=1: gride_of_dadapy(x, n1) * (len(x) - 2) / (len(x) - 1), None),
]

WRONG = [
    (name, *row)
    for name, rows in {
        "two_nn": TWO_NN,
        "two_nn_mle": MLE,
        "participation_ratio": PARTICIPATION,
        "neighbourhood_overlap": OVERLAP,
        "label_overlap": LABELS,
        "gride": GRIDE,
    }.items()
    for row in rows
]


@pytest.mark.parametrize(("name", "wrong", "words"), WRONG)
def test_wrong_answers(name, wrong, words):
    assert_wrong(getattr(check, name), wrong, words or "not yet right")

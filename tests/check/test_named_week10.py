"""Answers to week 10 whose mistake has a name since the fifth round: one line of a right version is another."""

import functools
import math

import pytest
import torch
from harness import assert_right, assert_wrong, cell

from sslcourse import evaluate
from sslcourse.check import week10 as check
from sslcourse.solutions import week10 as solutions

NAMES = {
    "torch": torch,
    "math": math,
    "evaluate": evaluate,
    "two_nearest": solutions.two_nearest,
    "two_nn": solutions.two_nn,
    "two_nn_mle": solutions.two_nn_mle,
}

TWO_NN = """
def two_nn(x, fraction=0.9):
    r1, r2 = two_nearest(x)
    mu = (r2[r1 > 0] / r1[r1 > 0]).sort().values
    n = len(mu)
    kept = min(int(fraction * n), n - 1)
    a = mu[:kept].log()
    b = -torch.log(1 - torch.arange(1, kept + 1) / n).double()
    return float((a @ b) / (a @ a))
"""
OVERLAP = """
def neighbourhood_overlap(a, b, k):
    i, j = (evaluate.nearest_neighbours(x, k=k, metric="euclidean")[1] for x in (a, b))
    return (i[:, :, None] == j[:, None, :]).any(2).double().mean().item()
"""
LABELS = """
def label_overlap(x, labels, k):
    far, near = evaluate.nearest_neighbours(x, k=k, metric="euclidean")
    return (labels[near] == labels[:, None]).double().mean().item()
"""
SCALING = """
def id_scaling(x, fractions, n_repeats, generator):
    sizes, ids = [], []
    for f in fractions:
        size = int(f * len(x))
        v = [two_nn(x[torch.randperm(len(x), generator=generator)[:size]]) for _ in range(n_repeats)]
        sizes.append(size)
        ids.append(sum(v) / len(v))
    return sizes, ids
"""
GRIDE = """
from scipy.optimize import brentq
def gride(x, n1=1):
    r = evaluate.nearest_neighbours(x, k=2 * n1, metric="euclidean")[0].double()
    near, far = r[:, n1 - 1], r[:, 2 * n1 - 1]
    m = (far[near > 0] / near[near > 0]).log()
    def slope(d):
        return (1 / d - (2 * n1 - 1) * m + (n1 - 1) * (m / -torch.expm1(-d * m)).nan_to_num(1 / d)).sum().item()
    if not slope(1e-3) > 0 > slope(1e3):
        raise ValueError("No dimension fits.")
    return brentq(slope, 1e-3, 1e3)
"""
RANKS = "near, far = r[:, n1 - 1], r[:, 2 * n1 - 1]"
TERM = "(m / -torch.expm1(-d * m))"
ROOT = "return brentq(slope, 1e-3, 1e3)"
DISTANCES = 'evaluate.nearest_neighbours(x, k=2 * n1, metric="euclidean")[0].double()'
LINE = "(a @ b) / (a @ a)"
DRAW = "torch.randperm(len(x), generator=generator)[:size]"
MEAN = "sum(v) / len(v)"

WRONG = [
    (GRIDE, RANKS, "r = (x[:, None].double() - x.double()).norm(dim=2).sort(1).values[:, 1:]\n"
     "    near, far = r[:, n1], r[:, 2 * n1]", "the places are one too far"),
    (GRIDE, DISTANCES, "(x[:, None].double() - x.double()).norm(dim=2).sort(1).values",
     "a point counts as its own first neighbour"),
    (GRIDE, RANKS, "near, far = r[:, n1 - 1], r[:, 2 * n1 - 1 - (n1 > 1)]", "in one of the two ranks only"),
    (GRIDE, RANKS, "near, far = r[:, 0], r[:, 2 * n1 - 1]", "that of the nearest neighbour"),
    (GRIDE, "(2 * n1 - 1) * m", "n1 * m", "the exponents are others"),
    (GRIDE, "(2 * n1 - 1) * m", "(2 * n1 + 1) * m", "the exponents are others"),
    (GRIDE, TERM, "(m / torch.expm1(d * m))", "the term with n1 - 1"),
    (GRIDE, TERM, "(1 / -torch.expm1(-d * m))", "At n1 = 1 it is right"),
    (GRIDE, "+ (n1 - 1)", "- (n1 - 1)", "At n1 = 1 it is right"),
    (GRIDE, "far[near > 0] / near[near > 0]", "near[near > 0] / far[near > 0]", "Is each mu far / near, above 1"),
    (GRIDE, "(1 / d - (2 * n1 - 1) * m + (n1 - 1) * (m / -torch.expm1(-d * m)).nan_to_num(1 / d)).sum().item()",
     "1 / d + (-(2 * n1 - 1) * m + (n1 - 1) * (m / -torch.expm1(-d * m)).nan_to_num(1 / d)).sum().item()",
     "1 / d counts once for all points"),
    (GRIDE, ".log()\n", "\n", "the logarithm of mu is missing"),
    (GRIDE, "    def slope", "    m = m.sort().values[: int(0.9 * len(m))]\n    def slope",
     "the largest ratios are left out"),
    (GRIDE, "    def slope", "    m = m.mean()[None]\n    def slope", "the ratios are averaged first"),
    (GRIDE, ROOT, "return n1 * len(m) / m.sum().item()", "divided or multiplied by n1"),
    (GRIDE, ROOT, "return brentq(slope, 1e-3, 10.0) if slope(10.0) < 0 else 10.0", "the search ends too early"),
    (GRIDE, "nearest_neighbours(x,", "nearest_neighbours((x - x.mean(0)) / x.std(0),", "divided by its spread"),
    (TWO_NN, LINE, "b[-1] / a[-1]", "one point decides"),
    (TWO_NN, LINE, "kept / a.sum()", "maximum likelihood"),
    (TWO_NN, "1 - torch.arange(1, kept + 1) / n", "torch.arange(1, kept + 1) / n", "it is -log(F)"),
    (TWO_NN, "min(int(fraction * n), n - 1)", "int(fraction * n)", "that one is never fitted"),
    (TWO_NN, "two_nearest(x)", "two_nearest((x - x.mean(0)) / x.std(0))", "divided by its spread"),
    (TWO_NN, "mu[:kept].log()", "mu[-kept:].log()", "the largest ratios are fitted"),
    (OVERLAP, ".any(2)", "", "divided by k twice"),
    (OVERLAP, "for x in (a, b)", "for x in (a, a)", "both lists come from one space"),
    (OVERLAP, "k=k", "k=min(10, len(x) - 1)", "the argument k is not used"),
    (OVERLAP, ".mean().item()", ".mean(1).median().item()", "the median over the samples"),
    (OVERLAP, ".mean().item()", ".mean().sub(k / (len(a) - 1)).div(max(1 - k / (len(a) - 1), 1e-9)).item()",
     "what chance gives"),
    (OVERLAP, "(i[:, :, None] == j[:, None, :]).any(2).double().mean().item()",
     "len(set(i.flatten().tolist()) & set(j.flatten().tolist())) / len(a)", "thrown together"),
    (LABELS, "labels[:, None])", "labels[:, None]).any(1)", "one neighbour with the same label is enough"),
    (LABELS, "labels[:, None])", "labels[:, None]).all(1)", "whose neighbours all agree"),
    (LABELS, "labels[near] ==", "near ==", "the numbers of the neighbours are compared"),
    (LABELS, "(labels[near] == labels[:, None]).double().mean()",
     "((labels[near] == labels[:, None]) / far).sum() / (1 / far).sum()", "near neighbours count more"),
    (SCALING, MEAN, "torch.tensor(v).log().mean().exp().item()", "the geometric mean"),
    (SCALING, MEAN, "len(v) / sum(1 / a for a in v)", "the harmonic mean"),
    (SCALING, MEAN, "sorted(v)[len(v) // 2]", "or the middle one"),
    (SCALING, MEAN, "sum(v) / max(len(v) - 1, 1)", "divided by 3"),
    (SCALING, MEAN, "sum(v)", "The repeats are summed"),
    (SCALING, "[:size]])", "[:size]], f)", "the fraction is handed on to two_nn"),
    (SCALING, "two_nn(", "two_nn_mle(", "two_nn_mle is averaged"),
    (SCALING, "int(f * len(x))", "round(f * len(x) + 0.01)", "rounded another way"),
    (SCALING, "v = [", "x = x[torch.randperm(len(x), generator=generator)[:size]]\n        v = [", "of the one before"),
    (SCALING, DRAW, "torch.rand(len(x), generator=generator) < f", "or each by chance"),
    (SCALING, "return sizes, ids", "return sizes, ids[::-1]", "another order than the fractions"),
    (SCALING, "return sizes, ids", "return ids, sizes", "the two results are swapped"),
]  # fmt: skip


def name_of(source):
    return next(name for name in NAME if f"def {name}(" in source)


NAME = ("two_nn", "neighbourhood_overlap", "label_overlap", "id_scaling", "gride")


@pytest.mark.filterwarnings("ignore:.*duplicate")
@pytest.mark.parametrize(("source", "old", "new", "words"), WRONG)
def test_a_wrong_version_is_named(source, old, new, words):
    assert old in source
    name = name_of(source)
    assert_wrong(getattr(check, name), cell(source.replace(old, new), name, **NAMES), words)


def by_weights(x, fractions, n_repeats, generator):
    """Subsets by the places of sorted random numbers, all fractions of one repeat after each other."""
    sizes = [math.floor(f * len(x)) for f in fractions]
    ids = torch.zeros(len(sizes), dtype=torch.float64)
    for _ in range(n_repeats):
        for i, size in enumerate(sizes):
            ids[i] += solutions.two_nn(x[torch.rand(len(x), generator=generator).argsort()[:size]])
    return sizes, (ids / n_repeats).tolist()


def nested(x, fractions, n_repeats, generator):
    """One order a repeat, of which every fraction takes the first: still random subsets."""
    orders = [torch.randperm(len(x), generator=generator) for _ in range(n_repeats)]
    sizes = [int(f * len(x)) for f in fractions]
    return sizes, [sum(solutions.two_nn(x[order[:size]]) for order in orders) / n_repeats for size in sizes]


def gride_by_newton(x, n1=1):
    """By the derivatives of the log-likelihood, in the logarithm of d."""
    r = evaluate.nearest_neighbours(x, k=2 * n1, metric="euclidean")[0].double()
    m = (r[:, 2 * n1 - 1] / r[:, n1 - 1]).log()
    m = m[m > 0]

    def likelihood(t):
        d = t.exp()
        return (t - (2 * n1 - 1) * d * m + (n1 - 1) * torch.log(torch.expm1(d * m))).mean()

    t = torch.log(len(m) / m.sum())
    for _ in range(40):
        first, second = torch.func.grad(likelihood)(t), torch.func.grad(torch.func.grad(likelihood))(t)
        t = t - (first / second).clamp(-0.5, 0.5)
    return t.exp().item()


RIGHT = [
    (check.id_scaling, by_weights),
    (check.id_scaling, nested),
    (check.id_scaling, cell(SCALING, "id_scaling", **NAMES)),
    (check.gride, gride_by_newton),
    (check.gride, functools.partial(gride_by_newton)),
]


@pytest.mark.parametrize(("judge", "right"), RIGHT)
def test_a_right_version_in_another_style(judge, right, seeds):
    assert_right(judge, right)

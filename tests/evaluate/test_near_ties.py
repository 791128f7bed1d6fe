"""Near-duplicates, which differ in digits that a cosine has not, and the ends of intervals: against forty digits."""

import math

import pytest
import torch
from oracles import exact
from scipy import stats
from test_gate import LABELS, X, drawn, outcome

from sslcourse import evaluate, plot
from sslcourse.evaluate import ties

NEAR = {
    **{f"pairs, {eps:g} apart": torch.cat([X[:6], X[:6] + eps * drawn(9, 6)]) for eps in (1e-3, 1e-7, 1e-9, 1e-12)},
    **{f"all, {eps:g} apart": X[:1] + eps * X for eps in (1e-6, 1e-9, 1e-11)},
    "float32 pairs": torch.cat([X[:6], X[:6] + 1e-6 * drawn(9, 6)]).float(),
    "float32, all": (X[:1] + 1e-5 * X).float(),
}


@pytest.mark.parametrize("kind", NEAR)
def test_near_duplicates_are_told_apart(kind):
    x = NEAR[kind]
    rows = exact.rows(x)
    for other in (x, x.flip(0)):
        came, wanted = evaluate.retrieval(x, other, 3), exact.retrieval(rows, exact.rows(other), 3)
        assert list(came.values()) == pytest.approx(list(wanted.values()), abs=1e-9)
    labels = LABELS.tolist()
    for k in (3, 6):
        wanted = exact.knn_accuracy(rows, labels, rows, labels, k, 0.5)
        assert evaluate.knn_accuracy(x, LABELS, x, LABELS, k, 0.5) == wanted


APART = torch.tensor([1e30, 1e-30, 1e-30, 1e-30])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_neighbours_that_float64_cannot_order_vote_whatever_their_order(k, dtype):
    """One column is sixty digits above the others: all rows point one of two ways, as far as float64 can tell."""
    x = X.to(dtype) * APART.to(dtype)
    labels = LABELS.roll(1)
    with exact.mpmath.workdps(300):
        rows = exact.rows(x)
        wanted = exact.knn_accuracy(rows, labels.tolist(), rows, labels.tolist(), k, 0.5)
    for order in (torch.arange(12), torch.arange(11, -1, -1), torch.randperm(12, generator=torch.manual_seed(k))):
        assert evaluate.knn_accuracy(x[order], labels[order], x, labels, k, 0.5) == wanted


@pytest.mark.parametrize("k", [1, 2, 5])
def test_of_equally_near_neighbours_the_first_vote(k):
    """Corners of a cube, many of whose cosines are equal, and which rounding would order."""
    corners = torch.cartesian_prod(*[torch.tensor([-1, 1])] * 5)
    labels = torch.arange(32).remainder(3)
    dots = corners @ corners.T  # whole numbers
    order = (-dots).argsort(dim=1, stable=True)[:, :k]
    # A warm vote: each counts as one, of equal counts the nearer ones win, of equally near ones the smaller class.
    counts = (1000 + dots.gather(1, order))[:, None] * (labels[order][:, None] == torch.arange(3)[:, None])
    votes = counts.sum(dim=2).argmax(dim=1)
    came = evaluate.knn_accuracy(0.1 * corners.double(), labels, 0.7 * corners.double(), labels, k, 1e30)
    assert came == (votes == labels).double().mean()


def test_too_many_rows_that_are_equally_near_are_refused(monkeypatch):
    monkeypatch.setattr(ties, "MOST", 100)
    x = X * APART.double()
    said = outcome(lambda x: evaluate.knn_accuracy(x, LABELS, x, LABELS, 3), x)
    assert "bring the columns to one scale" in said


def test_rows_that_point_one_way_rank_in_the_middle_whatever_their_length():
    b = torch.cat([X[:1] * torch.tensor([[1.0], [3.0], [0.1], [7e5]]), X[4:8]])
    found = evaluate.retrieval(b, b, 2)
    assert found["mrr"] == pytest.approx((4 / 2.5 + 4) / 8) and found["top1"] == 0.5


def test_an_interval_holds_its_share():
    for n in [*range(1, 60), 10**4, 10**9, 2**62]:
        for right in {0, 1, n // 3, n - 1, n}:
            low, high = evaluate.wilson_interval(right / n, n)
            assert 0 <= low <= right / n <= high <= 1
    assert evaluate.wilson_interval(0.0, 7)[0] == 0 and evaluate.wilson_interval(1.0, 7)[1] == 1
    plot.bars({"none": 0.0, "all": 1.0}, {"none": evaluate.wilson_interval(0.0, 7), "all": (0.6, 1.0)})
    area = evaluate.auroc(X[:6, 0], X[6:, 0])
    for level in (1e-300, 1e-17, 1e-9):
        low, high = evaluate.auroc_interval(X[:6, 0], X[6:, 0], level)
        assert low <= area <= high and high - low < 1e-6


@pytest.mark.parametrize("level", [0.5, 0.95, 1 - 1e-9, 1 - 1e-13, math.nextafter(1, 0)])
def test_an_interval_of_any_level(level):
    low, high = evaluate.wilson_interval(0.3, 10, level)
    z = stats.norm.isf((1 - level) / 2)
    for end in (low, high):  # Wilson's own equation
        assert (end - 0.3) ** 2 == pytest.approx(z**2 * end * (1 - end) / 10, rel=1e-6)
    assert 0 < low < 0.3 < high < 1
    assert evaluate.auroc_interval(X[:6, 0], X[6:, 0], level)[0] > 0


def test_a_probe_at_the_ends_of_the_numbers():
    train_x, test_x = X.clone(), X.clone()
    train_x[:, 0], test_x[:, 0] = 1e-200, 1e200  # constant where it is fitted, so without a weight
    came = evaluate.linear_probe(train_x, LABELS, test_x, LABELS, Cs=(0.1,)).accuracy
    assert came == evaluate.linear_probe(X[:, 1:], LABELS, X[:, 1:], LABELS, Cs=(0.1,)).accuracy
    for C in (1e-320, 1e-101, 1e101, 1e308):
        probe = lambda C: evaluate.linear_probe(X, LABELS, X, LABELS, Cs=(C,)).accuracy  # noqa: E731
        assert "at least 1e-100 and at most 1e+100" in outcome(probe, C)


def test_types_that_hardly_an_operation_knows():
    y = LABELS.to(torch.uint64)
    assert evaluate.cluster_accuracy(y, y)[0] == 1
    assert "2**63" in outcome(
        lambda y: evaluate.cluster_accuracy(y, y)[0], y.view(torch.int64).sub(5).view(torch.uint64)
    )
    image, encode = torch.rand(1, 4, 4), lambda images: images.flatten(1)
    eighths = (8 * torch.rand(4, 4)).to(torch.float8_e5m2)
    came, wanted = (evaluate.insertion_deletion(encode, image, order, 4)[2:] for order in (eighths, eighths.float()))
    assert came == wanted
    x = X.to(torch.float8_e4m3fn)
    assert evaluate.rankme(x) == evaluate.rankme(x.float())
    unreal = torch.ones(2, 1, 4, 4) * (0.5 + 1j)
    assert "complex" in outcome(lambda masks: evaluate.relax(encode, image, masks)[0].sum(), unreal)
    assert "complex" in outcome(lambda order: evaluate.insertion_deletion(encode, image, order, 4)[2], unreal[0, 0])

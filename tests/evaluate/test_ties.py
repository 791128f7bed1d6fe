"""Who is nearer where float32 cannot tell, at any cosine; and of equally near ones the first, in both spaces alike."""

import fractions
import functools
import math

import pytest
import torch
from oracles import exact

from sslcourse.evaluate import cosines, distances, knn_accuracy, nearest_neighbours, neighbourhood_overlap, retrieval


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def around(cosine: float, n: int, step: float, d: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """A query, and n directions whose cosines to it fall from `cosine` on by `step`, in an order that is no order."""
    q = torch.nn.functional.normalize(drawn(1, d), dim=1)
    away = drawn(n, d, seed=1)
    away = torch.nn.functional.normalize(away - away @ q.T * q, dim=1)
    c = cosine - step * torch.randperm(n, generator=torch.Generator().manual_seed(2)).double()[:, None]
    return q, c * q + (1 - c.square()).sqrt() * away


@pytest.mark.parametrize("cosine", [0.99, 0.9, 0.3, 0.0, -0.5])
@pytest.mark.parametrize(("dtype", "step"), [(torch.float32, 2e-9), (torch.float64, 1e-9), (torch.float64, 3e-13)])
def test_neighbours_at_any_cosine_are_in_their_order(cosine, dtype, step):
    q, bank = around(cosine, 30, step)
    q, bank = (
        q.to(dtype),
        (bank * drawn(30, 1, seed=3).exp()).to(dtype),
    )  # float32 moves them a little, each its own way
    rows, bank_rows = exact.rows(q), exact.rows(bank)
    labels = torch.arange(30) % 2
    for k in (1, 4, 10):
        wanted = exact.nearest(rows, k, lambda a, b: -exact.cosine(a, b), bank_rows)
        assert nearest_neighbours(q, bank, k)[1].tolist() == wanted
        vote = exact.knn_accuracy(bank_rows, labels.tolist(), rows, [1], k, 1.0)
        assert knn_accuracy(bank, labels, q, torch.tensor([1]), k, 1.0) == vote


def test_float32_products_alone_would_lose_them(monkeypatch):
    q, bank = (x.float() for x in around(0.9, 30, 2e-9))
    wanted = exact.nearest(exact.rows(q), 4, lambda a, b: -exact.cosine(a, b), exact.rows(bank))
    scores = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(bank).T
    assert scores.topk(4, dim=1).indices.tolist() != wanted
    monkeypatch.setattr(cosines.Cosine, "_exactly", lambda self, rows, k, alone: (0.5, -1))
    assert (nearest_neighbours(q, bank, 4)[1] == -1).all()  # so they are looked for again


@pytest.mark.parametrize("d", [3, 700])
def test_the_bound_of_the_products_holds(d):
    """No product of float32 directions is further from its cosine than half of what `nearest` allows for."""
    x, y = drawn(60, d).abs().float(), drawn(500, d, seed=1).abs().float()  # of one sign, where errors add up
    unit = torch.nn.functional.normalize
    error = ((unit(x) @ unit(y).T).double() - unit(x.double()) @ unit(y.double()).T).abs().max()
    assert error < (d + 12) * torch.finfo(torch.float32).eps / 2


# --- equally near


GRID = torch.cartesian_prod(*[torch.arange(3.0)] * 3)  # most distances occur many times
TWICE = torch.cat([drawn(9, 4), drawn(9, 4), drawn(6, 4, seed=1), drawn(6, 4, seed=2)])
MANY = torch.cat([torch.ones(20, 4).double(), drawn(10, 4), torch.ones(9, 4).double()])
TIES = {"grid": GRID, "of float64": GRID.double(), "corners": torch.eye(9)}
TIES |= {"duplicates": TWICE, "many duplicates": MANY}


@functools.cache
def first(kind: str, k: int) -> list:
    """Sorted, since who of these is named first is not asked here."""
    return [sorted(row) for row in exact.nearest(exact.rows(TIES[kind]), k, exact.distance)]


@pytest.mark.parametrize("kind", TIES)
@pytest.mark.parametrize("k", [1, 5])
def test_of_equally_near_ones_the_first_are_taken(kind, k):
    x = TIES[kind]
    for given in (x, 3 * x, x.flip(1), 1024 * x - 512):
        found = nearest_neighbours(given, k=k, metric="euclidean", chunk=7)[1]
        assert [sorted(row) for row in found.tolist()] == first(kind, k)
    again = nearest_neighbours(x, x.clone(), k, "euclidean", exclude_self=True)[1]
    assert [sorted(row) for row in again.tolist()] == first(kind, k)


@pytest.mark.parametrize("kind", TIES)
@pytest.mark.parametrize("k", [1, 5])
def test_equal_spaces_overlap_wholly_with_ties_too(kind, k):
    x = TIES[kind]
    # What changes no distance but its last digits: an order of columns, a scale, an offset, a column for nothing.
    for other in (x, x.flip(1), 0.1 * x.double(), 2**-40 * x, 7 - x.double(), torch.cat([x, x[:, :1] * 0], dim=1)):
        assert neighbourhood_overlap(x, other, k) == neighbourhood_overlap(other, x, k) == 1
    other = drawn(len(x), 3, seed=5)
    wanted = exact.neighbourhood_overlap(exact.rows(x), exact.rows(other), k)
    assert neighbourhood_overlap(x, other, k) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("kind", TIES)
@pytest.mark.parametrize("k", [1, 5])
def test_the_order_and_the_scale_of_the_rows_have_no_say(kind, k):
    x = TIES[kind] + (kind in ("grid", "of float64"))  # no row of zeros
    x, other = x.double(), drawn(len(x), x.shape[1], seed=5)
    overlap, found = neighbourhood_overlap(x, other, k), retrieval(x, other, k)
    wanted = exact.retrieval(exact.rows(x), exact.rows(other), k)
    assert found == pytest.approx(wanted, abs=1e-9)
    for seed in range(3):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        assert neighbourhood_overlap(x[order], other[order], k) == pytest.approx(overlap, abs=1e-12)
        assert retrieval(x[order], other[order], k) == pytest.approx(found, abs=1e-12)
        for z in (x, other):
            assert neighbourhood_overlap(z[order], z[order], k) == retrieval(z[order], z[order], k)["jaccard"] == 1
    for size in (2.0**-100, 2.0**100, 1e-30, 1e30):
        assert neighbourhood_overlap(size * x, other, k) == neighbourhood_overlap(other, size * x, k) == overlap
        assert retrieval(size * x, other, k) == pytest.approx(found, abs=1e-12)
    mixed = x * torch.tensor([1e200, 1e-200], dtype=torch.float64).repeat(len(x))[: len(x), None]
    assert neighbourhood_overlap(mixed, mixed, k) == 1


@pytest.mark.parametrize("kind", TIES)
def test_equal_directions_have_equal_neighbours(kind):
    x = TIES[kind] + (kind in ("grid", "of float64"))  # no row of zeros
    for other in (x, x.flip(1), 0.1 * x.double(), x * torch.arange(1, len(x) + 1)[:, None]):
        for k in (1, 5):
            assert retrieval(x, other, k)["jaccard"] == 1


def test_parallel_rows_more_than_neighbours_vote_in_their_order():
    """Counts of words: [3, 1, 2], [6, 2, 4], ... are one direction."""
    x = torch.cat([torch.arange(1, 31)[:, None] * torch.tensor([3, 1, 2]), 1 + GRID.long()])
    labels = (torch.arange(len(x)) % 7 > 2).long()
    dots = (x @ x.T).tolist()
    square = lambda i, j: fractions.Fraction(dots[i][j] ** 2, dots[i][i] * dots[j][j])  # noqa: E731  of a cosine
    for k in (1, 5, 12):
        right = 0
        for i in range(len(x)):
            near = sorted(range(len(x)), key=lambda j: (-square(i, j), j))[:k]
            votes = [sorted(math.exp(math.sqrt(square(i, j))) for j in near if labels[j] == y) for y in (0, 1)]
            right += (math.fsum(votes[1]) > math.fsum(votes[0])) == labels[i]
        for given in (x, x.float(), x.double()):
            assert knn_accuracy(given, labels, given, labels, k, 1.0) == right / len(x)


@pytest.mark.parametrize("size", [1.0, 1e-200, 1e-12, 1e25])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bank_of_equal_rows_is_taken_from_its_beginning(size, dtype):
    """Its scale is that of nothing; and of a bank that is tiny beside the queries the squares overflow."""
    row = size * drawn(1, 4)
    for bank in (row.expand(30, 4), row.repeat(30, 1), torch.cat([row.repeat(29, 1), row * (1 + 1e-3)])):
        for metric in ("euclidean", "cosine") if size > 1e-40 or dtype == torch.float64 else ():
            found = nearest_neighbours(drawn(5, 4, seed=1).to(dtype), bank.to(dtype), 3, metric)[1]
            assert len(found.unique(dim=0)) <= 2 and set(found.flatten().tolist()) <= {0, 1, 2, 29}


def test_the_nearest_of_a_row_of_distances():
    given = torch.tensor([[2.0, 1.0 + 1e-15, 1.0, 3.0, 1.0, 0.5]], dtype=torch.float64)
    found, places = distances.nearest_of(given, 2)
    assert places.tolist() == [[5, 1]] and found.tolist() == [[0.5, 1.0 + 1e-15]]
    assert distances.nearest_of(given, 4)[1].tolist() == [[5, 2, 4, 1]]
    assert distances.nearest_of(given, 6)[1].tolist() == [[5, 2, 4, 1, 0, 3]]

"""Exact neighbours and the vote among them."""

import pytest
import torch
import torch.nn.functional as F
from oracles import evaluation as slow

from sslcourse.evaluate import distances, knn_accuracy, largest, nearest_neighbours, neighbours


def random(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_neighbours_are_those_of_sorting_all(metric, dtype, chunk):
    queries, bank = random(20, 6).to(dtype), random(33, 6, seed=1).to(dtype)
    for k in (1, 5, 33):
        scores, indices = nearest_neighbours(queries, bank, k, metric, chunk=chunk)
        expected, where = slow.neighbours(queries, bank, k, metric, alone=False)
        torch.testing.assert_close(scores.double(), expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(indices, where)
        assert scores.dtype == dtype and indices.dtype == torch.int64


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("order", ["any", "nearest last", "nearest first"])
@pytest.mark.parametrize("chunk", [64, 1000])
def test_neighbours_in_many_tiles_are_those_of_sorting_all(metric, order, chunk, monkeypatch):
    monkeypatch.setattr(largest, "WIDE", 200)
    x = random(501, 5)
    if order != "any":  # along a line of directions and lengths, so that later tiles hold better ones, or none
        angle = torch.linspace(0, 2, 501, dtype=torch.float64) ** 2
        x = torch.stack([angle.cos(), angle.sin(), angle], dim=1).float() * (1 + angle[:, None].float())
        x = x.flip(0) if order == "nearest first" else x
    kept = x.clone()
    for queries, bank in ((x, None), (x[:90], x[100:])):
        scores, indices = nearest_neighbours(queries, bank, 4, metric, chunk=chunk)
        q, b = queries.double(), (queries if bank is None else bank).double()
        every = -F.normalize(q) @ F.normalize(b).T if metric == "cosine" else (q[:, None] - b).norm(dim=2)
        if bank is None:
            every.fill_diagonal_(float("inf"))
        expected, where = every.sort(dim=1)
        expected, where = expected[:, :4], where[:, :4]
        torch.testing.assert_close(scores.double().abs(), expected.abs(), rtol=1e-6, atol=1e-6)
        assert torch.equal(indices, where)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_input_stays_as_it_was(dtype):
    x = random(40, 4).to(dtype) + 100
    kept = x.clone()
    for metric in ("cosine", "euclidean"):
        nearest_neighbours(x, k=2, metric=metric), nearest_neighbours(x, x.clone(), k=2, metric=metric)
    neighbours.log_two_nearest(x)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("name", ["queries", "bank"])
def test_a_row_of_zeros_is_counted_among_all_rows(name, monkeypatch):
    monkeypatch.setattr(largest, "WIDE", 8)
    sets = {"queries": random(30, 4), "bank": random(30, 4, seed=1)}
    sets[name][[3, 29]] = 0
    with pytest.raises(ValueError, match=f"{name} holds a zero vector in 2 of 30 rows"):
        nearest_neighbours(**sets, k=2, chunk=8)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_itself_is_left_out_by_index_not_by_distance(metric):
    x = random(12, 4)
    x[5] = x[2]  # a duplicate is a neighbour, and the nearest one
    scores, indices = nearest_neighbours(x, k=11, metric=metric, chunk=5)
    assert not (indices == torch.arange(12)[:, None]).any()
    assert indices[5, 0] == 2 and indices[2, 0] == 5
    assert scores[5, 0] == pytest.approx(1.0 if metric == "cosine" else 0.0, abs=1e-6)
    expected, _ = slow.neighbours(x, x, 11, metric, alone=True)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-6)
    # Asked for, itself is there; and with a bank it is left out when that is asked for.
    assert torch.equal(nearest_neighbours(x[:5], k=1, metric=metric, exclude_self=False)[1][:, 0], torch.arange(5))
    again = nearest_neighbours(x, x.clone(), k=11, metric=metric, exclude_self=True)
    torch.testing.assert_close(again[0], scores, rtol=0, atol=1e-6)
    assert not (again[1] == torch.arange(12)[:, None]).any()


def test_far_from_the_origin_and_at_any_scale_distances_are_exact():
    x = random(60, 5).double()
    expected, where = slow.neighbours(x, x, 4, "euclidean", alone=True)
    for offset, scale in ((1e6, 1.0), (0.0, 1e-25), (0.0, 1e25), (1e3, 1e-3)):
        moved = x * scale + offset
        scores, indices = nearest_neighbours(moved, k=4, metric="euclidean", chunk=16)
        assert torch.equal(indices, where)
        torch.testing.assert_close(scores / scale, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("far", [10.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neighbours_that_a_product_cannot_tell_apart_are_found_all_the_same(far, dtype, monkeypatch):
    # Points on a tiny arc beside one far away, which sets the scale: float32 fails at 10 already, float64 at 10,000.
    angle = torch.linspace(0, 1, 40, dtype=torch.float64) ** 2
    x = torch.stack([angle.cos(), angle.sin()], dim=1) * 1e-4
    x = torch.cat([x, torch.tensor([[far, 0.0]], dtype=torch.float64)]).to(dtype)
    expected, where = slow.neighbours(x, x, 3, "euclidean", alone=True)
    scores, indices = nearest_neighbours(x, k=3, metric="euclidean")
    torch.testing.assert_close(scores, expected.to(dtype), rtol=1e-6, atol=0)
    assert torch.equal(indices, where)

    # The products alone do lose some: otherwise this test would find nothing.
    monkeypatch.setattr(distances.Euclidean, "_more_finely", lambda self, rows, k, alone: (0.0, -1))
    assert (nearest_neighbours(x, k=3, metric="euclidean")[1] == -1).any()
    for precision in (torch.float32, torch.float64):
        search = distances.Euclidean(x, x, precision)
        search.rounding = -1.0  # never in doubt
        lost = not torch.equal(search.nearest(torch.arange(41), 3, True)[1], where)
        assert lost == (precision == torch.float32 or far > 100)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_identical_points_are_all_neighbours_of_each_other(metric):
    scores, indices = nearest_neighbours(torch.ones(30, 4), k=29, metric=metric, chunk=8)
    assert torch.equal(
        indices.sort(dim=1).values, torch.stack([torch.arange(30)[torch.arange(30) != i] for i in range(30)])
    )
    assert scores.unique().tolist() == pytest.approx([1.0 if metric == "cosine" else 0.0])


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"k": 12}, ValueError, "k is 12, but a query has 11 candidates"),
        ({"k": 0}, ValueError, "k is 0"),
        ({"bank": random(3, 4), "k": 4}, ValueError, "k is 4, but a query has 3 candidates"),
        ({"bank": random(3, 5), "k": 1}, ValueError, "queries has 4 features and bank has 5"),
        ({"bank": random(3, 4), "k": 1, "exclude_self": True}, ValueError, "queries has 12 rows and bank has 3"),
        ({"k": 1, "metric": "manhattan"}, ValueError, "no metric 'manhattan'; choose cosine or euclidean"),
        ({"k": 1, "chunk": 0}, ValueError, "chunk is 0"),
        ({"queries": random(12, 4) / 0, "k": 1}, ValueError, "queries holds NaN or infinite"),
        ({"bank": random(0, 4), "k": 1}, ValueError, "bank has 0 rows"),
        ({"queries": random(12, 4)[0], "k": 1}, ValueError, r"queries has shape \(4,\)"),
    ],
)
def test_unfit_input_gets_a_sentence(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        nearest_neighbours(**{"queries": random(12, 4), **arguments})


# The vote


@pytest.mark.parametrize("k", [1, 5, 30])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_vote_is_its_definition(k, temperature):
    train_y, test_y = torch.arange(30) % 3, torch.arange(25) % 3
    centres = random(3, 8, seed=5)
    train_x, test_x = centres[train_y] + random(30, 8), centres[test_y] + random(25, 8, seed=1)
    got = knn_accuracy(train_x, train_y, test_x, test_y, k, temperature)
    assert got == pytest.approx(slow.knn_accuracy(train_x, train_y, test_x, test_y, k, temperature))
    assert 1 / 3 < got < 1
    # Class ids are names only.
    names = torch.tensor([10**9, 4, 70])
    assert knn_accuracy(train_x, names[train_y], test_x, names[test_y], k, temperature) == pytest.approx(got)


def test_a_near_one_outvotes_two_far_ones_and_a_cold_vote_does_not_overflow():
    train_x = F.normalize(torch.tensor([[1.0, 0.1], [0.5, 1.0], [0.5, -1.0]]), dim=1)
    train_y, query = torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0]])
    assert knn_accuracy(train_x, train_y, query, torch.tensor([0]), k=3, temperature=0.07) == 1.0
    assert knn_accuracy(train_x, train_y, query, torch.tensor([1]), k=3, temperature=100.0) == 1.0
    assert knn_accuracy(train_x, train_y, query, torch.tensor([0]), k=3, temperature=1e-4) == 1.0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"k": 31}, "k is 31, but a query has 30 candidates"),
        ({"k": 3, "temperature": 0.0}, "temperature should be greater"),
    ],
)
def test_vote_says_what_it_needs(settings, sentence):
    labels = torch.arange(30) % 3
    with pytest.raises(ValueError, match=sentence):
        knn_accuracy(random(30, 4), labels, random(30, 4), labels, **settings)


@pytest.mark.parametrize("size", [3, 4, 5, 6, 50])
@pytest.mark.parametrize("far", [0.0, 1000.0])
@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_two_nearest_are_the_distances_of_nearest_neighbours(size, far, chunk):
    x = random(size, 6).double() + far
    expected, _ = slow.neighbours(x, x, 2, "euclidean", alone=True)
    torch.testing.assert_close(neighbours.log_two_nearest(x, chunk).exp(), expected, rtol=1e-9, atol=1e-9)


def test_two_nearest_that_a_product_cannot_tell_apart_are_found_all_the_same():
    """Tight pairs of points: in float32 products all of them are equally near, and some are looked for again."""
    x = random(40, 5).double().repeat_interleave(8, dim=0)
    x = x + 1e-7 * random(len(x), 5, seed=1).double()
    expected, _ = slow.neighbours(x, x, 2, "euclidean", alone=True)
    torch.testing.assert_close(neighbours.log_two_nearest(x, 64).exp(), expected, rtol=1e-9, atol=0)


def test_two_nearest_of_duplicates_are_zero_and_too_few_get_a_sentence():
    x = random(5, 3)
    assert neighbours.log_two_nearest(torch.cat([x, x])).exp()[:, 0].eq(0).all()
    with pytest.raises(ValueError, match="at least 3"):
        neighbours.log_two_nearest(x[:2])

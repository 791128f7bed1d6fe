"""Products of two sets of rows, and the largest of each row, in tiles."""

import pytest
import torch

from sslcourse.evaluate import largest, nearest_neighbours, products

NO_ONEDNN = not torch.backends.mkldnn.is_available()


def random(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("onednn", [False, pytest.param(True, marks=pytest.mark.skipif(NO_ONEDNN, reason="no oneDNN"))])
def test_products_are_those_of_float64_within_their_bound_however_rows_lie_in_memory(onednn):
    left, right = random(700, 129), random(1500, 129, seed=1)
    multiply = products.Product(700 * 1500, left)
    multiply.onednn = onednn
    for a in (left, left.T.contiguous().T, left[::2], left[:3]):
        for b in (right, right.T.contiguous().T, right[::2], right[3:4]):
            found = multiply(a, b)
            assert found.data_ptr() == multiply.memory.data_ptr() and found.is_contiguous()
            bound = 129 * 2**-24 * a.norm(dim=1)[:, None] * b.norm(dim=1)
            assert ((found.double() - a.double() @ b.double().T).abs() <= bound).all()


@pytest.mark.skipif(NO_ONEDNN, reason="no oneDNN")
def test_onednn_multiplies_float32_where_it_has_avx512_and_only_as_long_as_it_rounds_nothing(monkeypatch):
    x = random(2, 3)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert products.by_onednn(x)
    assert not products.by_onednn(x.double())
    exact = products.F.linear
    for digits in (torch.bfloat16, torch.float16):

        def rounded(a, b, digits=digits):
            return exact(a.to_dense().to(digits).float().to_mkldnn(), b.to(digits).float())

        monkeypatch.setattr(products.F, "linear", rounded)
        assert not products.by_onednn(x)
    monkeypatch.setattr(products.F, "linear", exact)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not products.by_onednn(x)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_either_library_finds_the_same(metric, monkeypatch):
    x, y = random(600, 40), random(900, 40, seed=1)
    found = []
    for worth in (0, 2**60):
        monkeypatch.setattr(products, "WORTH", worth)
        found.append([*nearest_neighbours(x, y, metric=metric), *nearest_neighbours(x, metric=metric)])
    assert all(map(torch.equal, *found))


SCORES = {
    "any": random(90, 700),
    "the best last": random(90, 700).sort(dim=1).values,
    "the best first": random(90, 700).sort(dim=1, descending=True).values,
    "ties": random(90, 700).mul(2).round(),
    "all equal": torch.zeros(90, 700),
    "left out": random(90, 700).where(random(90, 700, seed=1) > 0, -torch.inf),
    "one row of better ones": random(90, 700) + (torch.arange(90) == 7)[:, None] * torch.linspace(0, 99, 700),
}


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("k", [1, 5, 17])
@pytest.mark.parametrize("wide", [33, 256, 699])
def test_the_largest_of_tiles_are_those_of_whole_rows(kind, k, wide):
    scores = SCORES[kind]
    for lies in (scores, scores.T.contiguous().T):
        best = largest.Best(90, k, scores)
        for first in range(0, 700, wide):
            for rows in (slice(0, 50), slice(50, 90)):
                best.take(rows, lies[rows, first : first + wide], first)
        assert torch.equal(best.scores, scores.topk(k, dim=1).values)
        assert torch.equal(scores.gather(1, best.where), best.scores)
        assert all(len(set(row)) == k for row in best.where.tolist())

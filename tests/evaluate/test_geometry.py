"""Measures of one embedding, of two, and of clusters against classes."""

import math

import pytest
import torch
from oracles import evaluation as slow

from sslcourse.evaluate import alignment, cluster_accuracy, linear_cka, rankme, uniformity


def random(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def rotation(d, seed=9):
    return torch.linalg.qr(random(d, d, seed).double()).Q


# Alignment and uniformity


def test_alignment_is_its_definition():
    z0, z1 = random(20, 6), random(20, 6, seed=1)
    assert alignment(z0, z1) == pytest.approx(slow.alignment(z0, z1), abs=1e-12)
    assert alignment(z0, 3 * z0) == pytest.approx(0, abs=1e-12)
    assert alignment(z0, -z0) == pytest.approx(4)
    assert isinstance(alignment(z0, z1), float)


@pytest.mark.parametrize("t", [0.5, 2.0])
@pytest.mark.parametrize("n", [2, 3, 40])
def test_uniformity_is_its_definition(n, t):
    z = random(n, 6)
    assert uniformity(z, t) == pytest.approx(slow.uniformity(z, t), abs=1e-12)
    assert uniformity(5 * z, t) == pytest.approx(uniformity(z, t), abs=1e-6)


def test_uniformity_of_many_points_takes_each_pair_once():
    z = random(2500, 3).double()  # three blocks of rows
    z = z / z.norm(dim=1, keepdim=True)
    exact = torch.pdist(z).square().mul(-2).exp().mean().log().item()
    assert uniformity(z) == pytest.approx(exact, abs=1e-10)


def test_uniformity_knows_its_ends():
    assert uniformity(torch.ones(50, 8)) == pytest.approx(0, abs=1e-12)
    assert uniformity(random(1000, 512)) == pytest.approx(-4, abs=0.05)  # d^2 is 2 for all pairs, nearly


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        (lambda: alignment(random(4, 3), random(5, 3)), "z0 has 4 rows and z1 has 5"),
        (lambda: alignment(random(4, 3), random(4, 2)), "z0 has 3 features and z1 has 2"),
        (lambda: alignment(random(0, 3), random(0, 3)), "z0 has 0 rows"),
        (lambda: uniformity(random(1, 3)), "z has 1 rows; at least 2"),
        (lambda: uniformity(random(4, 3) / 0), "z holds NaN or infinite"),
        (lambda: rankme(random(4, 3).flatten()), r"z has shape \(12,\)"),
        (lambda: rankme(random(4, 3).log()), "z holds NaN"),
        (lambda: linear_cka(random(4, 3), random(5, 3)), "x has 4 rows and y has 5"),
        (lambda: linear_cka(random(1, 3), random(1, 3)), "x has 1 rows; at least 2"),
        (lambda: linear_cka(random(3, 3), random(3, 3), debiased=True), "x has 3 rows; at least 4"),
        (lambda: linear_cka(random(9, 3), torch.full((9, 2), 0.1)), "y is the same for all samples"),
        (lambda: linear_cka(random(9, 3).log(), random(9, 3)), "x holds NaN"),
    ],
)
def test_unfit_embeddings_get_a_sentence(measure, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure()


# Effective rank


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (10, 10)])
def test_rankme_is_its_definition(shape):
    z = random(*shape) * torch.logspace(0, -2, shape[1])
    assert rankme(z) == pytest.approx(slow.rankme(z), rel=1e-5)
    assert rankme(100 * z) == pytest.approx(rankme(z), rel=1e-6)
    assert rankme(z.double() @ rotation(shape[1])) == pytest.approx(rankme(z), rel=1e-5)


def test_rankme_counts_equal_directions():
    assert rankme(torch.eye(8)) == pytest.approx(8, rel=1e-4)
    assert rankme(torch.ones(50, 8)) == pytest.approx(1, abs=1e-4)  # collapsed
    assert rankme(torch.zeros(50, 8)) == pytest.approx(1, abs=1e-4)  # dead
    flat = random(500, 3).double() @ rotation(10)[:3]
    assert rankme(flat) == pytest.approx(3, abs=0.05)


# Similarity of two representations


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize(("n", "d", "e"), [(4, 3, 2), (30, 5, 8), (12, 40, 3)])
def test_cka_is_that_of_the_kernels(n, d, e, debiased):
    x = random(n, d).double() + 3
    y = x @ random(d, e, seed=2).double() + random(n, e, seed=1).double()
    assert linear_cka(x, y, debiased) == pytest.approx(slow.cka(x, y, debiased), abs=1e-10)


@pytest.mark.parametrize("debiased", [False, True])
def test_cka_does_not_see_rotation_scale_and_shift(debiased):
    x, y = random(30, 5).double(), random(30, 7, seed=1).double()
    value = linear_cka(x, y, debiased)
    assert linear_cka(4 * x @ rotation(5) - 2, y * 1e-12, debiased) == pytest.approx(value, abs=1e-9)
    assert linear_cka(y, x, debiased) == pytest.approx(value, abs=1e-12)
    assert linear_cka(x, 1e8 * x @ rotation(5) + 1, debiased) == pytest.approx(1, abs=1e-6)


def test_debiased_cka_of_noise_is_about_zero_where_plain_cka_is_not():
    plain, debiased = (
        torch.tensor([linear_cka(random(32, 64, s), random(32, 64, 50 + s), d) for s in range(20)])
        for d in (False, True)
    )
    assert plain.mean().item() == pytest.approx(0.68, abs=0.02)
    assert abs(debiased.mean().item()) < 0.03


# Clusters


@pytest.mark.parametrize(("n_clusters", "n_classes"), [(4, 4), (5, 3), (3, 5), (1, 4)])
def test_cluster_accuracy_is_the_best_of_all_matchings(n_clusters, n_classes):
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        a = torch.randint(n_clusters, (40,), generator=generator)
        y = torch.randint(n_classes, (40,), generator=generator)
        accuracy, mapping = cluster_accuracy(a, y)
        assert accuracy == pytest.approx(slow.cluster_accuracy(a.tolist(), y.tolist()))
        predicted = torch.tensor([mapping[i] for i in a.tolist()])
        assert (predicted == y).double().mean().item() == pytest.approx(accuracy)
        matched = [label for label in mapping.values() if label != -1]
        assert len(set(matched)) == len(matched) == min(len(mapping), len(y.unique()))


def test_cluster_ids_are_names_only():
    labels = torch.tensor([0, 0, 1, 1, 7])
    assert cluster_accuracy(torch.tensor([9, 9, 10**12, 10**12, 0]), labels) == (1.0, {0: 7, 9: 0, 10**12: 1})
    assert cluster_accuracy([2, 2, 2, 2, 3], labels)[0] == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("assignments", "labels", "error", "sentence"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), ValueError, r"shape \(3, 2\)"),
        (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), ValueError, "at least one sample"),
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64), TypeError, "assignments should hold whole numbers"),
        (torch.tensor([0, 1, -1]), torch.zeros(3, dtype=torch.int64), ValueError, "assignments should count from 0"),
        (torch.tensor([0, 1, 1]), torch.zeros(2, dtype=torch.int64), ValueError, r"labels has shape \(2,\)"),
        (torch.tensor([0, 1, 1]), torch.tensor([math.nan, 0, 1]), TypeError, "labels should hold whole numbers"),
    ],
)
def test_unfit_clusters_get_a_sentence(assignments, labels, error, sentence):
    with pytest.raises(error, match=sentence):
        cluster_accuracy(assignments, labels)

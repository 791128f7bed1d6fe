"""The checks of week 11: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.metrics import label_ranking_average_precision_score, pairwise_distances
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

import sslcourse
from sslcourse import evaluate
from sslcourse.check import week11 as check
from sslcourse.check.week11 import alignment_oracle as aligned
from sslcourse.check.week11 import cka_oracle, oracle, retrieval_oracle


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turn(d, seed=7):
    return torch.linalg.qr(drawn(d, d, seed=seed)).Q


# --- the definitions against peers and known levels


def test_relative_definition_equals_scikit_learn():
    x, anchors = drawn(9, 5) + 1, drawn(4, 5, seed=1)
    np.testing.assert_allclose(oracle.relative(x, anchors), cosine_similarity(x, anchors), atol=1e-12)
    mean = anchors.mean(0)
    np.testing.assert_allclose(
        oracle.relative(x, anchors, True), cosine_similarity(x - mean, anchors - mean), atol=1e-12
    )
    for center in (False, True):
        torch.testing.assert_close(oracle._relative(x, anchors, center), oracle.relative(x, anchors, center))


def test_a_random_rotation_of_128_dimensions_hides_everything_from_absolute_cosines_and_nothing_from_relative_ones():
    """Rotated copies have cosines of about 0 (at random 1 / sqrt(128) = 0.09 each), their relative versions of 1."""
    x, rotation = drawn(500, 128), turn(128)
    moved = x @ rotation
    absolute = evaluate.retrieval(x, moved)
    r, other = oracle._relative(x, x[:50]), oracle._relative(3 * moved, moved[:50])
    relative = evaluate.retrieval(r, other)
    assert abs(absolute["cosine"]) < 0.09 and absolute["jaccard"] == 1.0 and absolute["mrr"] < 0.05
    assert relative["cosine"] == pytest.approx(1, abs=1e-9) and relative["mrr"] == relative["top1"] == 1.0
    assert not torch.allclose(oracle._relative(x + 5, x[:50] + 5), r, atol=0.1)  # a translation is seen ...
    torch.testing.assert_close(oracle._relative(x + 5, x[:50] + 5, True), oracle._relative(x, x[:50], True))  # or not


def test_retrieval_definition_equals_scikit_learn():
    a = drawn(25, 6) + 0.5
    b = a + 0.8 * drawn(25, 6, seed=1)
    found = retrieval_oracle.retrieval(a, b, 4)
    # With one relevant candidate a query, the average precision of a ranking is the reciprocal rank.
    wanted = label_ranking_average_precision_score(np.eye(25), cosine_similarity(a, b))
    assert found["mrr"] == pytest.approx(wanted, abs=1e-12)
    assert found["top1"] == pytest.approx((cosine_similarity(a, b).argmax(1) == np.arange(25)).mean(), abs=1e-12)
    assert found["cosine"] == pytest.approx(np.diag(cosine_similarity(a, b)).mean(), abs=1e-12)
    near = [NearestNeighbors(n_neighbors=4, metric="cosine").fit(z).kneighbors(return_distance=False) for z in (a, b)]
    shares = [len(set(p) & set(q)) / len(set(p) | set(q)) for p, q in zip(*near, strict=True)]
    assert found["jaccard"] == pytest.approx(np.mean(shares), abs=1e-12)


@pytest.mark.parametrize("debiased", [False, True])
def test_cka_definition_equals_the_library(debiased):
    x, y = drawn(14, 6) + 1, drawn(14, 4, seed=1) - 2
    assert float(cka_oracle.linear_cka(x, y, debiased)) == pytest.approx(evaluate.linear_cka(x, y, debiased), abs=1e-12)
    torch.testing.assert_close(cka_oracle._linear_cka(x, y, debiased), cka_oracle.linear_cka(x, y, debiased))


def test_cka_of_independent_noise():
    """What the notebook shows: plain CKA of noise in 64 dimensions is about 64 / (N + 64), the debiased one about 0."""
    for n, published in ((32, 0.68), (1024, 0.06)):
        found = np.mean([evaluate.linear_cka(drawn(n, 64, seed=s), drawn(n, 64, seed=100 + s)) for s in range(5)])
        assert found == pytest.approx(published, abs=0.02)
        fair = [evaluate.linear_cka(drawn(n, 64, seed=s), drawn(n, 64, seed=100 + s), True) for s in range(5)]
        assert abs(np.mean(fair)) < 0.03


def test_rsa_definition_equals_scipy():
    x, y = drawn(9, 6), drawn(9, 4, seed=1)
    wanted = spearmanr(pdist(x, "correlation"), pdist(y, "correlation")).statistic
    assert float(aligned.rsa(x, y)) == pytest.approx(wanted, abs=1e-9)
    torch.testing.assert_close(aligned._rsa(x, y), aligned.rsa(x, y))


def test_procrustes_definition_equals_scipy():
    x, y = drawn(20, 4) + 1, drawn(20, 4, seed=1) - 3
    wanted, _ = orthogonal_procrustes(x - x.mean(0), y - y.mean(0))
    np.testing.assert_allclose(aligned.procrustes(x, y), wanted, atol=1e-9)
    spin = turn(4)
    torch.testing.assert_close(aligned.procrustes(x, x @ spin + 2), spin)
    assert torch.linalg.det(aligned.without_reflection(x, y)).item() == pytest.approx(1)


def test_what_each_measure_does_not_see():
    """Rotation and one scale: CKA and retrieval in the relative space. RSA sees a rotation: it centres every sample."""
    x = drawn(40, 6) * torch.tensor([3.0, 2, 1, 1, 1, 1]) + 1
    y = x + 0.5 * drawn(40, 6, seed=1)
    moved = 2 * x @ turn(6)
    for debiased in (False, True):
        assert evaluate.linear_cka(moved, y, debiased) == pytest.approx(evaluate.linear_cka(x, y, debiased), abs=1e-9)
    assert evaluate.linear_cka(x @ drawn(6, 6, seed=5), y) != pytest.approx(evaluate.linear_cka(x, y), abs=1e-3)
    assert float(aligned.rsa(3 * x + 1, y)) == pytest.approx(float(aligned.rsa(x, y)), abs=1e-9)
    assert float(aligned.rsa(moved, y)) != pytest.approx(float(aligned.rsa(x, y)), abs=1e-3)
    one, other = oracle._relative(x, x[:9]), oracle._relative(moved, moved[:9])
    torch.testing.assert_close(one, other)


# --- relative


def relative(x, anchors, center=False):
    if center:
        mean = anchors.mean(0)
        x, anchors = x - mean, anchors - mean
    return F.normalize(x, dim=1) @ F.normalize(anchors, dim=1).T


def relative_by_broadcasting(x, anchors, center=False):
    mean = anchors.mean(dim=0, keepdim=True) if center else 0
    return F.cosine_similarity((x - mean)[:, None], (anchors - mean)[None], dim=2)


def relative_by_scikit_learn(x, anchors, center=False):
    mean = anchors.mean(0) if center else torch.zeros(anchors.shape[1])
    return torch.as_tensor(cosine_similarity((x - mean).numpy(), (anchors - mean).numpy()))


@pytest.mark.parametrize("right", [relative, relative_by_broadcasting, relative_by_scikit_learn])
def test_right_relative(right, seeds):
    assert_right(check.relative, right)


def centred(x, anchors, from_x, from_anchors):
    return relative(x - from_x, anchors - from_anchors)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, a, center=False: (x - a.mean(0) * center) @ (a - a.mean(0) * center).T, "nothing is normalised"),
        (
            lambda x, a, center=False: F.normalize(x - a.mean(0) * center) @ (a - a.mean(0) * center).T,
            "only one side is normalised",
        ),
        (
            lambda x, a, center=False: (x - a.mean(0) * center) @ F.normalize(a - a.mean(0) * center).T,
            "only one side is normalised",
        ),
        (
            lambda x, a, center=False: (
                F.normalize(x - a.mean(0) * center, dim=0) @ F.normalize(a - a.mean(0) * center, dim=0).T
            ),
            "normalisation runs over the samples",
        ),
        (
            lambda x, a, center=False: (
                (x - a.mean(0) * center)
                @ (a - a.mean(0) * center).T
                / ((x - a.mean(0) * center).norm() * (a - a.mean(0) * center).norm())
            ),
            "divided by one number",
        ),
        (lambda x, a, center=False: 1 - relative(x, a, center), "one minus the cosine"),
        (lambda x, a, center=False: centred(x, a, a.mean(0) * center, 0), "only the samples are centred"),
        (lambda x, a, center=False: centred(x, a, x.mean(0) * center, 0), "only the samples are centred"),
        (lambda x, a, center=False: centred(x, a, 0, a.mean(0) * center), "only the anchors are centred"),
        (
            lambda x, a, center=False: centred(x, a, x.mean(0) * center, a.mean(0) * center),
            "centred by a mean of their own",
        ),
        (
            lambda x, a, center=False: centred(x, a, x.mean(0) * center, x.mean(0) * center),
            "mean of the samples is taken off",
        ),
        (lambda x, a, center=False: relative(x, a), "center is not used"),
        (lambda x, a, center=False: F.normalize(x) @ a.T, "only one side is normalised"),  # and center is not used
        (lambda x, a, center=False: relative(x, a, True), "it always centres"),
        (lambda x, a, center=True: relative(x, a, center), "the default is False"),
        (
            lambda x, a, center=False: (
                (F.normalize(x) - F.normalize(a).mean(0) * center)
                @ (F.normalize(a) - F.normalize(a).mean(0) * center).T
            ),
            "centres after normalising",
        ),
        (
            lambda x, a, center=False: centred(x, a, *(z.mean(1, keepdim=True) * center for z in (x, a))),
            "the mean runs over the features",
        ),
        (lambda x, a, center=False: relative(x, a, center).T, "a row for every sample"),
        (lambda x, a, center=False: relative(x, a, center).abs(), "it should be"),
        (lambda x, a, center=False: relative(x, a, center) ** 2, "it should be"),
        (lambda x, a, center=False: torch.cdist(x, a), "it should be"),
        (lambda x, a, center=False: relative(x, a, center).softmax(1), "it should be"),
        (lambda x, a, center=False: relative(x, a, center).numpy(), "it should be a tensor"),
        (lambda x, a, center=False: relative(x.sub_(a.mean(0) * center), a, center), "changes its argument x in place"),
        (lambda x, a, center=False: print(), "is the `return` missing"),
    ],
)
def test_wrong_relative(wrong, words):
    assert_wrong(check.relative, wrong, words)


# --- select_anchors


def select_anchors(x, n, method="uniform", generator=None):
    if method == "uniform":
        return torch.randperm(len(x), generator=generator)[:n]
    if method == "farthest":
        chosen = [torch.randint(len(x), (), generator=generator)]
        nearest = torch.full((len(x),), torch.inf)
        for _ in range(n - 1):
            nearest = torch.minimum(nearest, (x - x[chosen[-1]]).norm(dim=1))
            chosen.append(nearest.argmax())
        return torch.stack(chosen)
    seed = int(torch.randint(2**31, (), generator=generator))
    centroids = torch.as_tensor(KMeans(n, n_init=3, random_state=seed).fit(x.numpy()).cluster_centers_)
    return nearest_free(torch.cdist(centroids, x))


def nearest_free(distances):
    chosen = []
    for row in distances.clone():
        row[chosen] = torch.inf
        chosen.append(int(row.argmin()))
    return torch.tensor(chosen)


def select_anchors_in_numpy(x, n, method="uniform", generator=None):
    seed = None if generator is None else int(torch.randint(2**31, (), generator=generator))
    rng, points = np.random.default_rng(seed), x.numpy()
    if method == "uniform":
        return torch.as_tensor(rng.choice(len(points), size=n, replace=False))
    distances = pairwise_distances(points)
    if method == "farthest":
        chosen = [int(rng.integers(len(points)))]
        while len(chosen) < n:
            left = distances[:, chosen].min(axis=1)
            left[chosen] = -1
            chosen.append(int(left.argmax()))
        return torch.tensor(chosen)
    model = KMeans(n, n_init=5, random_state=seed).fit(points)
    # Within its own cluster every centroid has a nearest sample: distinct for sure.
    to_own = np.linalg.norm(points - model.cluster_centers_[model.labels_], axis=1)
    return torch.tensor([int(np.where(model.labels_ == c, to_own, np.inf).argmin()) for c in range(n)])


@pytest.mark.parametrize("right", [select_anchors, select_anchors_in_numpy])
def test_right_select_anchors(right, seeds):
    assert_right(check.select_anchors, right)


def changed(method, other):
    """select_anchors with another version of one method."""

    def wrong(x, n, how="uniform", generator=None):
        return other(x, n, generator) if how == method else select_anchors(x, n, how, generator)

    return wrong


def by_sum(x, n, generator):
    chosen = [int(torch.randint(len(x), (), generator=generator))]
    while len(chosen) < n:
        total = torch.cdist(x, x[chosen]).sum(1)
        total[chosen] = -1
        chosen.append(int(total.argmax()))
    return torch.tensor(chosen)


def from_the_last(x, n, generator):
    chosen = [int(torch.randint(len(x), (), generator=generator))]
    while len(chosen) < n:
        left = (x - x[chosen[-1]]).norm(dim=1)
        left[chosen] = -1
        chosen.append(int(left.argmax()))
    return torch.tensor(chosen)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (changed("uniform", lambda x, n, g: torch.randint(len(x), (n,), generator=g)), "chosen twice"),
        (changed("uniform", lambda x, n, g: torch.arange(n)), "40 are expected of each"),
        (changed("uniform", lambda x, n, g: torch.randperm(len(x))[:n]), "torch's global random numbers"),
        (changed("uniform", lambda x, n, g: x[torch.randperm(len(x), generator=g)[:n]]), "it should be (6,)"),
        (changed("uniform", lambda x, n, g: torch.randperm(len(x), generator=g)[:n].float()), "whole numbers"),
        (changed("uniform", lambda x, n, g: torch.randperm(len(x), generator=g)[:n] + 1), "of 30 points"),
        (changed("uniform", lambda x, n, g: torch.randperm(len(x), generator=g)), "it should be (6,)"),
        (changed("farthest", by_sum), "sum of distances"),
        (changed("farthest", from_the_last), "far from the last anchor only"),
        (changed("farthest", lambda x, n, g: select_anchors(F.normalize(x), n, "farthest", g)), "length 1 first"),
        (changed("farthest", lambda x, n, g: select_anchors(x, n, "uniform", g)), "another point lies"),
        (changed("farthest", lambda x, n, g: select_anchors(x, n, "farthest", None)[:0]), "it should be (8,)"),
        (
            changed("farthest", lambda x, n, g: select_anchors(x, n, "farthest", torch.Generator().manual_seed(0))),
            "always starts at the same point",
        ),
        (changed("farthest", lambda x, n, g: select_anchors(x, n, "farthest", g).flip(0)), "another point lies"),
        (changed("kmeans", lambda x, n, g: select_anchors(x, n, "uniform", g)), "With 'kmeans'"),
        (
            changed("kmeans", lambda x, n, g: nearest_free(-torch.cdist(x[select_anchors(x, n, "kmeans", g)], x))),
            "With 'kmeans'",
        ),
        (
            changed("kmeans", lambda x, n, g: torch.as_tensor(KMeans(n, n_init=3).fit(x.numpy()).cluster_centers_)),
            "it should be (6,)",
        ),
        (lambda x, n, method="uniform", generator=None: None, "is the `return` missing"),
    ],
)
def test_wrong_select_anchors(wrong, words):
    if words == "is the `return` missing":
        wrong = changed("uniform", lambda x, n, g: None)
    assert_wrong(check.select_anchors, wrong, words)


# --- retrieval


def neighbours(z, k):
    z = F.normalize(z, dim=1)
    return (z @ z.T).fill_diagonal_(-2).topk(k).indices


def jaccard(a, b, k):
    shares = []
    for p, q in zip(neighbours(a, k).tolist(), neighbours(b, k).tolist(), strict=True):
        shares.append(len(set(p) & set(q)) / len(set(p) | set(q)))
    return sum(shares) / len(shares)


def retrieval(a, b, k=10, **changes):
    similarity = F.normalize(a) @ F.normalize(b).T
    rank = (similarity > similarity.diag()[:, None]).sum(1) + 1
    return {
        "mrr": (1 / rank).mean().item(),
        "top1": (rank == 1).float().mean().item(),
        "cosine": similarity.diag().mean().item(),
        "jaccard": jaccard(a, b, k),
    } | changes


def retrieval_by_sorting(a, b, k=10):
    similarity = F.cosine_similarity(a[:, None], b[None], dim=2)
    order = similarity.argsort(dim=1, descending=True)
    rank = (order == torch.arange(len(a))[:, None]).int().argmax(dim=1) + 1
    one, other = (
        torch.zeros(len(z), len(z), dtype=torch.bool).scatter_(1, evaluate.nearest_neighbours(z, k=k)[1], True)
        for z in (a, b)
    )
    return {
        "mrr": rank.float().reciprocal().mean(),
        "top1": (order[:, 0] == torch.arange(len(a))).double().mean(),
        "cosine": F.cosine_similarity(a, b).mean(),
        "jaccard": ((one & other).sum(1) / (one | other).sum(1)).mean(),
    }


@pytest.mark.parametrize("right", [retrieval, retrieval_by_sorting, evaluate.retrieval])
def test_right_retrieval(right, seeds):
    assert_right(check.retrieval, right)


def ranked(similarity):
    return ((similarity > similarity.diag()[:, None]).sum(1) + 1).float()


def ranks(a, b):
    return ranked(F.normalize(a) @ F.normalize(b).T)


def with_part(part, value):
    return lambda a, b, k=10: retrieval(a, b, k) | {part: value(a, b, k)}


def sets(z, k, of):
    return [set(row) for row in of(z, k).tolist()]


def mean_share(a, b, k, of=neighbours, share=lambda p, q: len(p & q) / len(p | q)):
    return float(np.mean([share(p, q) for p, q in zip(sets(a, k, of), sets(b, k, of), strict=True)]))


def with_itself(z, k):
    return (F.normalize(z) @ F.normalize(z).T).topk(k).indices


@pytest.mark.parametrize(
    ("part", "wrong", "words"),
    [
        ("mrr", lambda a, b, k: (1 / (ranks(a, b) - 1)).mean(), "ranks count from 0"),
        ("mrr", lambda a, b, k: (1 / (ranks(a, b) + 1)).mean(), "ranks count from 2"),
        ("mrr", lambda a, b, k: ((1 / ranks(a, b)) * (ranks(a, b) <= k)).mean(), "reciprocal rank is not cut off"),
        ("mrr", lambda a, b, k: 1 / ranks(a, b).mean(), "one over the mean rank"),
        ("mrr", lambda a, b, k: ranks(a, b).mean(), "it is the mean rank"),
        ("mrr", lambda a, b, k: (1 / ranks(b, a)).mean(), "b asks and a answers"),
        (
            "mrr",
            lambda a, b, k: (1 / ranked(a @ b.T)).mean(),
            "vectors are not normalised",
        ),
        (
            "mrr",
            lambda a, b, k: (1 / ranked(-torch.cdist(a, b))).mean(),
            "compared by distance",
        ),
        ("mrr", lambda a, b, k: (1 / (len(a) + 1 - ranks(a, b))).mean(), "ranks are reversed"),
        ("mrr", lambda a, b, k: (1 / ranks(a, b)).median(), "it should be"),
        ("mrr", lambda a, b, k: 1 / ranks(a, b), "it should be a scalar"),
        ("top1", lambda a, b, k: (ranks(a, b) <= k).float().mean(), "top1 asks for rank 1"),
        ("top1", lambda a, b, k: (ranks(b, a) == 1).float().mean(), "b asks and a answers"),
        ("top1", lambda a, b, k: (ranks(a, b) == 1).sum(), "divide by N"),
        ("top1", lambda a, b, k: ((a @ b.T).argmax(1) == torch.arange(len(a))).float().mean(), "not normalised"),
        ("cosine", lambda a, b, k: (F.normalize(a) @ F.normalize(b).T).mean(), "mean over all pairs"),
        ("cosine", lambda a, b, k: (F.normalize(a) @ F.normalize(b).T).amax(1).mean(), "mean of the best matches"),
        ("cosine", lambda a, b, k: (a * b).sum(1).mean(), "it is the inner product"),
        ("cosine", lambda a, b, k: F.cosine_similarity(a, b).sum(), "take their mean"),
        ("cosine", lambda a, b, k: F.cosine_similarity(a - a.mean(0), b - b.mean(0)).mean(), "it should be"),
        ("jaccard", lambda a, b, k: mean_share(a, b, k, with_itself), "its own neighbour"),
        ("jaccard", lambda a, b, k: mean_share(a, b, k + 1, with_itself), "its own neighbour"),
        (
            "jaccard",
            lambda a, b, k: mean_share(a, b, k, lambda z, k: with_itself(z, k)[:, 1:]) if k > 1 else 0.0,
            "one neighbour is missing",
        ),
        ("jaccard", lambda a, b, k: mean_share(a, b, k, share=lambda p, q: len(p & q) / k), "divided by k"),
        ("jaccard", lambda a, b, k: mean_share(a, b, k, share=lambda p, q: len(p & q) / (2 * k)), "divided by 2k"),
        (
            "jaccard",
            lambda a, b, k: mean_share(
                a, b, k, lambda z, k: torch.cdist(z, z).fill_diagonal_(99).topk(k, largest=False)[1]
            ),
            "nearest by distance",
        ),
        (
            "jaccard",
            lambda a, b, k: mean_share(a, b, k, lambda z, k: (z @ z.T).fill_diagonal_(-99).topk(k)[1]),
            "vectors are not normalised",
        ),
        (
            "jaccard",
            lambda a, b, k: mean_share(
                a, b, k, lambda z, k: (F.normalize(z) @ F.normalize(b if z is a else a).T).fill_diagonal_(-2).topk(k)[1]
            ),
            "in the other space",
        ),
        (
            "jaccard",
            lambda a, b, k: (
                sum(len(p & q) for p, q in zip(sets(a, k, neighbours), sets(b, k, neighbours), strict=True))
                / sum(len(p | q) for p, q in zip(sets(a, k, neighbours), sets(b, k, neighbours), strict=True))
            ),
            "added up before dividing",
        ),
        ("jaccard", lambda a, b, k: jaccard(a, b, 10) if len(a) > 13 else jaccard(a, b, k), "it should be"),
        ("jaccard", lambda a, b, k: (neighbours(a, k) == neighbours(b, k)).float().mean(), "it should be"),
        ("jaccard", lambda a, b, k: 1 - jaccard(a, b, k), "it should be"),
    ],
)
def test_wrong_retrieval(part, wrong, words):
    assert_wrong(check.retrieval, with_part(part, wrong), words)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b, k=10: tuple(retrieval(a, b, k).values()), "it should be a dict"),
        (lambda a, b, k=10: {"MRR": 1.0}, "no entry 'mrr'"),
        (lambda a, b, k=5: retrieval(a, b, k), "the default is 10"),
        (lambda a, b, k=10: print(), "is the `return` missing"),
        (lambda a, b, k=10: retrieval(F.normalize(a), b.flip(0), k), "it should be"),
    ],
)
def test_wrong_results_of_retrieval(wrong, words):
    assert_wrong(check.retrieval, wrong, words)


# --- stitch


def stitch(head, x, anchors, labels):
    mode = head.training
    head.eval()
    with torch.no_grad():
        right = head(relative(x, anchors)).argmax(dim=1) == labels
    head.train(mode)
    return right.float().mean().item()


@torch.inference_mode()
def stitch_with_scikit_learn(head, x, anchors, labels):
    logits = head.eval()(torch.as_tensor(cosine_similarity(x.numpy(), anchors.numpy())))
    return np.mean(logits.numpy().argmax(axis=1) == labels.numpy())


def stitch_one_by_one(head, x, anchors, labels):
    head.eval()
    right = 0
    for point, label in zip(x, labels, strict=True):
        right += int(head(relative(point[None], anchors)).argmax() == label)
    return torch.tensor(right / len(x))


@pytest.mark.parametrize("right", [stitch, stitch_with_scikit_learn, stitch_one_by_one])
def test_right_stitch(right, seeds):
    assert_right(check.stitch, right)


def on(space):
    @torch.no_grad()
    def wrong(head, x, anchors, labels):
        return (head.eval()(space(x, anchors)).argmax(1) == labels).float().mean().item()

    return wrong


def in_train_mode(head, x, anchors, labels):
    return (head(relative(x, anchors)).argmax(1) == labels).float().mean().item()


def trained_again(head, x, anchors, labels):
    accuracy, optimizer = stitch(head, x, anchors, labels), torch.optim.SGD(head.parameters(), 0.1)
    F.cross_entropy(head(relative(x, anchors)), labels).backward()
    optimizer.step()
    return accuracy


def fitted_first(head, x, anchors, labels):
    optimizer = torch.optim.Adam(head.parameters(), 0.1)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(head(relative(x, anchors)), labels).backward()
        optimizer.step()
    return stitch(head, x, anchors, labels)


def updated(head, x, anchors, labels):
    head.train()(relative(x, anchors))
    return 0.0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (in_train_mode, "asked in train mode"),
        (
            lambda h, x, a, y: stitch(h.train(), x, a, y) if in_train_mode(h, x, a, y) < 0 else stitch(h, x, a, y),
            "asked in train mode",
        ),
        (on(lambda x, a: relative(x, a, True)), "sees the centred relative space"),
        (on(lambda x, a: x @ a.T), "not normalised"),
        (on(lambda x, a: 1 - relative(x, a)), "sees distances"),
        (on(lambda x, a: x), "mat1 and mat2 shapes cannot be multiplied"),
        (on(lambda x, a: x[:, :6]), "head sees x itself"),
        (on(lambda x, a: relative(a, x).T.flip(1)), "anchors in another order"),
        (lambda h, x, a, y: stitch(h, x, a, y) * len(y), "divide by their number"),
        (lambda h, x, a, y: 100 * stitch(h, x, a, y), "percentage"),
        (lambda h, x, a, y: 1 - stitch(h, x, a, y), "share of wrong answers"),
        (trained_again, "without training it further"),
        (fitted_first, "without training it further"),
        (lambda h, x, a, y: (h.eval()(relative(x, a)).argmax(0)[0] == y).float().mean(), "it should be"),
        (lambda h, x, a, y: h.eval()(relative(x, a)).argmax(1) == y, "it should be a scalar"),
        (lambda h, x, a, y: print(), "returns None"),
    ],
)
def test_wrong_stitch(wrong, words):
    assert_wrong(check.stitch, wrong, words)


# --- linear_cka


def hsic(x, y):
    return (x.T @ y).square().sum()


def fair_hsic(x, y):
    n, k, m = len(x), x.square().sum(1), y.square().sum(1)
    return hsic(x, y) - n / (n - 2) * (k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2))


def linear_cka(x, y, debiased=False):
    x, y = x - x.mean(0), y - y.mean(0)
    h = fair_hsic if debiased else hsic
    return h(x, y) / (h(x, x) * h(y, y)).sqrt()


def cka_with_kernels(x, y, debiased=False):
    n = len(x)
    k, m = x.double() @ x.double().T, y.double() @ y.double().T
    if not debiased:
        k, m = (g - g.mean(0) - g.mean(1, keepdim=True) + g.mean() for g in (k, m))
        return ((k * m).sum() / (k.norm() * m.norm())).item()

    def h(k, m):
        k, m = k - k.diag().diag(), m - m.diag().diag()
        return (k * m).sum() + k.sum() * m.sum() / (n - 1) / (n - 2) - 2 / (n - 2) * (k.sum(0) * m.sum(0)).sum()

    return float(h(k, m) / (h(k, k) * h(m, m)) ** 0.5)


def cka_in_numpy(x, y, debiased=False):
    if debiased:
        return evaluate.linear_cka(x, y, True)
    x, y = (z.numpy() - z.numpy().mean(axis=0) for z in (x, y))
    return np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)


def above(size):
    """Another number of x.T @ y than its squared norm, over the right denominator."""

    def cka(x, y):
        x, y = x - x.mean(0), y - y.mean(0)
        return size(x.T @ y) / ((x.T @ x).norm() * (y.T @ y).norm())

    return cka


@pytest.mark.parametrize("right", [linear_cka, cka_with_kernels, cka_in_numpy, evaluate.linear_cka])
def test_right_linear_cka(right, seeds):
    assert_right(check.linear_cka, right)


def plain(change):
    """linear_cka whose plain form is another function of x and y."""
    return lambda x, y, debiased=False: linear_cka(x, y, True) if debiased else change(x, y)


def raw(x, y):
    return hsic(x, y) / (hsic(x, x) * hsic(y, y)).sqrt()


def fair(change):
    return lambda x, y, debiased=False: change(x - x.mean(0), y - y.mean(0)) if debiased else linear_cka(x, y)


def kept_diagonals(x, y):
    def h(x, y):
        k, m, n = x @ x.T, y @ y.T, len(x)
        return (k * m).sum() + k.sum() * m.sum() / (n - 1) / (n - 2) - 2 / (n - 2) * (k.sum(0) * m.sum(0)).sum()

    return h(x, y) / (h(x, x) * h(y, y)).sqrt()


def no_corrections(x, y):
    k, m = (x @ x.T).fill_diagonal_(0), (y @ y.T).fill_diagonal_(0)
    return (k * m).sum() / (k.norm() * m.norm())


def standardised(x):
    return (x - x.mean(0)) / x.std(0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (plain(raw), "nothing is centred"),
        (plain(lambda x, y: raw(x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True))), "runs over the features"),
        (plain(lambda x, y: raw((x - x.mean(0)).T, (y - y.mean(0)).T)), "features and samples are swapped"),
        (plain(lambda x, y: raw(x.T, y.T)), "features and samples are swapped"),
        (plain(lambda x, y: linear_cka(x.T, y.T)), "features and samples are swapped"),
        (
            plain(lambda x, y: hsic(x - x.mean(0), y - y.mean(0)).sqrt() / (own(x) * own(y)).sqrt()),
            "is not squared",
        ),
        (plain(lambda x, y: hsic(x - x.mean(0), y - y.mean(0)) / (own(x) * own(y))), "lacks its square root"),
        (plain(lambda x, y: linear_cka(x, y).sqrt()), "square root of CKA"),
        (plain(above(lambda m: m.sum() ** 2)), "added up before they are squared"),
        (plain(above(lambda m: m.trace() ** 2)), "only the diagonal of the product"),
        (
            plain(lambda x, y: hsic(x - x.mean(0), y - y.mean(0)) / (own(x) + own(y))),
            "divided by the sum of the two terms",
        ),
        (plain(lambda x, y: linear_cka(standardised(x), standardised(y))), "every feature is standardised"),
        (
            plain(lambda x, y: raw(F.normalize(x - x.mean(0)), F.normalize(y - y.mean(0)))),
            "every sample is brought to length 1",
        ),
        (lambda x, y, debiased=False: linear_cka(x, y), "this is plain CKA"),
        (lambda x, y, debiased=True: linear_cka(x, y, True), "it should be"),
        (fair(lambda x, y: fair_hsic(x, y) / (hsic(x, x) * hsic(y, y)).sqrt()), "only the numerator is debiased"),
        (fair(kept_diagonals), "diagonals, which the unbiased estimate leaves out"),
        (fair(no_corrections), "two corrections for the means are missing"),
        (fair(lambda x, y: linear_cka(x, y, True).clamp(min=0.3)), "it should be"),
        (plain(lambda x, y: 1 - linear_cka(x, y)), "it should be"),
        (plain(lambda x, y: 0.5 * linear_cka(x, y)), "it should be"),
        (lambda x, y, debiased=False: (linear_cka(x, y, debiased),), "it should be a scalar"),
        (lambda x, y, debiased=False: linear_cka(x[:, :4], y[:, :4], debiased), "it should be"),
        (lambda x, y, debiased=False: print(), "returns None"),
    ],
)
def test_wrong_linear_cka(wrong, words):
    assert_wrong(check.linear_cka, wrong, words)


def own(x):
    x = x - x.mean(0)
    return hsic(x, x)


# --- rsa


def rsa(x, y):
    i, j = np.triu_indices(len(x), k=1)
    return spearmanr(1 - np.corrcoef(x.numpy())[i, j], 1 - np.corrcoef(y.numpy())[i, j]).statistic


def rsa_with_pdist(x, y):
    return float(spearmanr(pdist(x, "correlation"), pdist(y, "correlation"))[0])


def rsa_in_torch(x, y):
    lists = [torch.corrcoef(z.double())[torch.triu(torch.ones(len(z), len(z)), 1) == 1] for z in (x, y)]
    return torch.corrcoef(torch.stack([v.argsort().argsort().double() for v in lists]))[0, 1]


@pytest.mark.parametrize("right", [rsa, rsa_with_pdist, rsa_in_torch])
def test_right_rsa(right, seeds):
    assert_right(check.rsa, right)


def tables(x, y, of=np.corrcoef):
    return 1 - of(x.numpy()), 1 - of(y.numpy())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, y: spearmanr(*(t.round(9).ravel() for t in tables(x, y)))[0], "the full matrix is compared"),
        (
            lambda x, y: np.corrcoef(*(t[np.triu_indices(len(x), 1)] for t in tables(x, y)))[0, 1],
            "Spearman compares the ranks",
        ),
        (
            lambda x, y: spearmanr(*(t[np.triu_indices(len(x), 1)] for t in tables(x, y, cosine_similarity)))[0],
            "these are cosines",
        ),
        (lambda x, y: spearmanr(pdist(x), pdist(y))[0], "Euclidean distances"),
        (lambda x, y: -rsa(x, y), "sign is wrong"),
        (lambda x, y: rsa(x.T, y.T), "features are correlated"),
        (lambda x, y: 1 - rsa(x, y), "it should be"),
        (lambda x, y: spearmanr(tables(x, y)[0], tables(x, y)[1])[0], "scalar"),
        (lambda x, y: print(), "returns None"),
    ],
)
def test_wrong_rsa(wrong, words):
    assert_wrong(check.rsa, wrong, words)


# --- procrustes


def procrustes(x, y):
    u, _, vh = torch.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)))
    return u @ vh


def procrustes_of_scipy(x, y):
    return torch.as_tensor(orthogonal_procrustes((x - x.mean(0)).numpy(), (y - y.mean(0)).numpy())[0])


def procrustes_by_polar_form(x, y):
    m = ((x - x.mean(0)).T @ (y - y.mean(0))).double()
    values, vectors = torch.linalg.eigh(m.T @ m)
    return m @ (vectors / values.sqrt()) @ vectors.T


@pytest.mark.parametrize("right", [procrustes, procrustes_of_scipy, procrustes_by_polar_form])
def test_right_procrustes(right, seeds):
    assert_right(check.procrustes, right)


def turned_only(x, y):
    u, _, vh = torch.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)))
    u = u.clone()
    u[:, -1] *= torch.linalg.det(u @ vh).sign()
    return u @ vh


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, y: procrustes(x, y).T, "rotation is transposed"),
        (lambda x, y: procrustes(y, x), "rotation is transposed"),
        (lambda x, y: procrustes_without_means(x, y), "nothing is centred"),
        (turned_only, "reflections are excluded"),
        (lambda x, y: torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution, "least squares"),
        (lambda x, y: (x - x.mean(0)).T @ (y - y.mean(0)), "singular values are still in"),
        (lambda x, y: torch.svd((x - x.mean(0)).T @ y)[0] @ torch.svd((x - x.mean(0)).T @ y)[2], "V is not transposed"),
        (lambda x, y: torch.eye(x.shape[1]), "it should be"),
        (lambda x, y: -procrustes(x, y), "it should be"),
        (lambda x, y: x @ procrustes(x, y), "it should be (4, 4)"),
        (lambda x, y: print(), "is the `return` missing"),
    ],
)
def test_wrong_procrustes(wrong, words):
    if words == "V is not transposed":

        def wrong(x, y):
            u, _, vh = torch.linalg.svd((x - x.mean(0)).T @ (y - y.mean(0)))
            return u @ vh.T

    assert_wrong(check.procrustes, wrong, words)


def procrustes_without_means(x, y):
    u, _, vh = torch.linalg.svd(x.T @ y)
    return u @ vh


# --- bad input, one sentence each


def reference(name):
    return sslcourse.solution("week11", name)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: reference("relative")(drawn(5, 3), drawn(4, 2)), "x has 3 features and the anchors have 2"),
        (
            lambda: reference("relative")(drawn(5, 3) * torch.tensor([[0.0], [1], [1], [1], [1]]), drawn(4, 3)),
            "no direction",
        ),
        (lambda: reference("relative")(drawn(5, 3), drawn(1, 3), center=True), "no direction"),
        (lambda: reference("select_anchors")(drawn(5, 3), 6), "6 anchors .* 5 points"),
        (lambda: reference("select_anchors")(drawn(5, 3), 0), "0 anchors .* 5 points"),
        (lambda: reference("select_anchors")(drawn(5, 3), 2, "nearest"), "no method 'nearest'"),
        (lambda: reference("retrieval")(drawn(5, 3), drawn(6, 3), 2), "a has 5 rows and b has 6"),
        (lambda: reference("retrieval")(drawn(5, 3), drawn(5, 3), 5), "k is 5, .* 4 neighbours"),
        (lambda: reference("linear_cka")(drawn(1, 3), drawn(1, 3)), "1 sample.* at least 2"),
        (lambda: reference("linear_cka")(drawn(3, 3), drawn(3, 3), True), "3 sample.* at least 4"),
        (lambda: reference("linear_cka")(drawn(5, 3), drawn(4, 3)), "x has 5 rows and y has 4"),
        (lambda: evaluate.retrieval(drawn(5, 3), drawn(6, 3), 2), "a has 5 rows and b has 6"),
        (lambda: evaluate.retrieval(drawn(5, 3), drawn(5, 2), 2), "a has 3 features and b has 2"),
        (lambda: evaluate.retrieval(drawn(5, 3), drawn(5, 3)), "k is 10, but a sample has 4 neighbours"),
        (lambda: evaluate.retrieval(drawn(5, 3), drawn(5, 3), 0), "k is 0"),
        (lambda: evaluate.retrieval(drawn(1, 3), drawn(1, 3), 1), "a has 1 rows; at least 2"),
        (lambda: evaluate.retrieval(drawn(5, 3), 0 * drawn(5, 3), 2), "b holds a zero vector in 5 of 5 rows"),
        (lambda: evaluate.retrieval(drawn(5, 3), drawn(5, 3), 2, chunk=0), "chunk is 0"),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# --- the production form


def test_retrieval_of_the_library_does_not_depend_on_its_chunks():
    a = drawn(50, 6)
    b = a + 0.7 * drawn(50, 6, seed=1)
    wanted = retrieval_oracle.retrieval(a, b, 5)
    for chunk in (7, 50, 1024):
        assert evaluate.retrieval(a, b, 5, chunk=chunk) == pytest.approx(wanted, abs=1e-9)
    assert all(isinstance(value, float) for value in evaluate.retrieval(a.float(), b.float(), 5).values())


def test_a_collapsed_representation_is_not_found():
    """Equal candidates: the true one ranks in the middle of them, not first. Where all are equal it is refused."""
    z = torch.eye(2)[[0] * 8 + [1]]
    found = evaluate.retrieval(z, z, 2)
    assert found["top1"] == pytest.approx(1 / 9) and found["mrr"] == pytest.approx((8 / 4.5 + 1) / 9)
    with pytest.raises(ValueError, match="All 9 rows of b point one way"):
        evaluate.retrieval(drawn(9, 3), torch.ones(9, 3), 2)

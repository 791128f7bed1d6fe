"""Measures of a representation in forty digits: loops over Python's lists, where no scale and no offset can hurt.

Rows are lists of mpmath numbers, as `rows` makes them of whatever a measure is given.
"""

import itertools

import mpmath
import torch
from mpmath import mpf

mpmath.mp.dps = 40


def rows(x) -> list[list[mpf]]:
    """Of a tensor, an array or lists, number by number."""
    if isinstance(x, torch.Tensor):
        x = x.detach() if not x.is_floating_point() else x.detach().double()
    return [[mpf(v) for v in (row.tolist() if hasattr(row, "tolist") else row)] for row in x]


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def cosine(a, b):
    return dot(a, b) / mpmath.sqrt(dot(a, a) * dot(b, b))


def distance(a, b):
    return mpmath.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))


def centred(x):
    means = [sum(column) / len(x) for column in zip(*x, strict=True)]
    return [[v - m for v, m in zip(row, means, strict=True)] for row in x]


def nearest(x, k, far, bank=None):
    """Places of the k nearest others of every row; of equally near ones the first."""
    alone, bank = bank is None, x if bank is None else bank
    found = []
    for i, a in enumerate(x):
        order = sorted((far(a, b), j) for j, b in enumerate(bank) if not (alone and i == j))
        found.append([j for _, j in order[:k]])
    return found


def places(x, k, far):
    """{who: share of a place} among the k nearest of every row: equally near ones share what the nearer ones leave."""
    found = []
    for i, a in enumerate(x):
        away = {j: far(a, b) for j, b in enumerate(x) if j != i}
        last = sorted(away.values())[k - 1]
        level = [j for j in away if abs(away[j] - last) <= mpf("4e-15") * abs(last)]
        nearer = [j for j in away if away[j] < last and j not in level]
        found.append(dict.fromkeys(nearer, mpf(1)) | dict.fromkeys(level, mpf(k - len(nearer)) / len(level)))
    return found


def common(p, q):
    return sum(min(share, q.get(j, 0)) for j, share in p.items())


def alignment(x, y):
    return float(sum(2 - 2 * cosine(a, b) for a, b in zip(x, y, strict=True)) / len(x))


def uniformity(x, t=2):
    pairs = list(itertools.combinations(x, 2))
    return float(mpmath.log(sum(mpmath.exp(-t * (2 - 2 * cosine(a, b))) for a, b in pairs) / len(pairs)))


def rankme(x):
    columns = list(zip(*x, strict=True))
    gram = mpmath.matrix([[dot(a, b) for b in columns] for a in columns])
    gram /= max(gram) or 1
    s = [mpmath.sqrt(max(value, 0)) for value in mpmath.eigsy(gram, eigvals_only=True)]
    p = [value / sum(s) + mpf("1e-7") for value in s]
    return float(mpmath.exp(-sum(value * mpmath.log(value) for value in p)))


def participation_ratio(x):
    columns = list(zip(*centred(x), strict=True))
    covariance = [[dot(a, b) for b in columns] for a in columns]
    return float(sum(covariance[i][i] for i in range(len(columns))) ** 2 / sum(dot(row, row) for row in covariance))


def linear_cka(x, y):
    """From the kernels of the centred rows, which are centred themselves."""
    k, m = ([[dot(a, b) for b in z] for a in z] for z in (centred(x), centred(y)))
    inner = lambda a, b: sum(dot(p, q) for p, q in zip(a, b, strict=True))  # noqa: E731
    return float(inner(k, m) / mpmath.sqrt(inner(k, k) * inner(m, m)))


def two_nn(x, fraction=0.9):
    mu = []
    for i, a in enumerate(x):
        r1, r2 = sorted(distance(a, b) for j, b in enumerate(x) if i != j)[:2]
        if r1:  # a duplicate has no ratio and is left out
            mu.append(mpmath.log(r2 / r1))
    mu.sort()
    kept = range(min(int(fraction * len(mu)), len(mu) - 1))
    level = [-mpmath.log(1 - mpf(i + 1) / len(mu)) for i in kept]
    return float(sum(mu[i] * level[i] for i in kept) / sum(mu[i] ** 2 for i in kept))


def neighbourhood_overlap(x, y, k):
    return float(sum(map(common, places(x, k, distance), places(y, k, distance))) / (k * len(x)))


def retrieval(x, y, k):
    ranks, cosines = [], []
    for i, a in enumerate(x):
        similar = [cosine(a, b) for b in y]
        ranks.append(1 + sum(s > similar[i] for s in similar) + mpf(sum(s == similar[i] for s in similar) - 1) / 2)
        cosines.append(similar[i])
    near = lambda z: places(z, k, lambda a, b: mpmath.sqrt(abs(2 - 2 * cosine(a, b))))  # noqa: E731
    shares = [c / (2 * k - c) for c in map(common, near(x), near(y))]
    mean = lambda values: float(sum(values) / len(x))  # noqa: E731
    return {
        "mrr": mean([1 / rank for rank in ranks]),
        "top1": mean([rank == 1 for rank in ranks]),
        "cosine": mean(cosines),
        "jaccard": mean(shares),
    }


def knn_accuracy(x, labels, queries, truth, k, temperature=0.07):
    right = 0
    for q, label in zip(queries, truth, strict=True):
        near = sorted(((-cosine(q, a), j) for j, a in enumerate(x)))[:k]
        votes = {}
        for minus, j in near:
            votes[labels[j]] = votes.get(labels[j], 0) + mpmath.exp(-minus / mpf(temperature))
        right += max(sorted(votes), key=votes.get) == label
    return right / len(queries)


def auroc(inside, outside):
    pairs = list(itertools.product(inside, outside))
    return float(sum(mpf(1) if a > b else mpf(a == b) / 2 for a, b in pairs) / len(pairs))


def fpr_at_95_tpr(inside, outside):
    reached = [t for t in inside if sum(a >= t for a in inside) * 100 >= 95 * len(inside)]
    return sum(b >= max(reached) for b in outside) / len(outside)


def precision_at_l(scores, contacts, separation):
    n = len(scores)
    pairs = [(i, j) for i in range(n) for j in range(i + separation, n)]
    pairs.sort(key=lambda pair: -scores[pair[0]][pair[1]])
    return sum(bool(contacts[i][j]) for i, j in pairs[:n]) / min(n, len(pairs))

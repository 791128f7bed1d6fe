"""Measures of a representation, written out as they are defined: loops, float64, no thought of speed."""

import itertools
import math

import torch


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.double(), b.double()
    return float((a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt()))


def knn_accuracy(train_x, train_y, test_x, test_y, k, temperature) -> float:
    """Wu et al. 2018, section 3.4: the weighted vote of the k most similar."""
    right = 0
    for x, y in zip(test_x, test_y.tolist(), strict=True):
        similar = sorted(
            ((cosine(x, other), int(label)) for other, label in zip(train_x, train_y, strict=True)), reverse=True
        )
        votes = {}
        for s, label in similar[:k]:
            votes[label] = votes.get(label, 0.0) + math.exp(s / temperature)
        right += max(sorted(votes), key=votes.get) == y
    return right / len(test_x)


def neighbours(queries, bank, k, metric, alone):
    """Scores and indices by sorting all of them."""
    scores = torch.empty(len(queries), len(bank), dtype=torch.float64)
    for i, q in enumerate(queries):
        for j, b in enumerate(bank):
            scores[i, j] = -cosine(q, b) if metric == "cosine" else (q.double() - b.double()).square().sum().sqrt()
            if alone and i == j:
                scores[i, j] = math.inf
    scores, indices = scores.sort(dim=1, stable=True)
    return (-scores if metric == "cosine" else scores)[:, :k], indices[:, :k]


def alignment(z0, z1) -> float:
    return sum(2 - 2 * cosine(a, b) for a, b in zip(z0, z1, strict=True)) / len(z0)


def uniformity(z, t) -> float:
    pairs = list(itertools.combinations(range(len(z)), 2))
    return math.log(sum(math.exp(-t * (2 - 2 * cosine(z[i], z[j]))) for i, j in pairs) / len(pairs))


def rankme(z) -> float:
    """Garrido et al. 2023, eq. 1, with the singular values as roots of the eigenvalues of z z^T or z^T z."""
    z = z.double()
    gram = z @ z.T if len(z) < z.shape[1] else z.T @ z
    s = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().tolist()
    p = [value / sum(s) + 1e-7 for value in s]
    return math.exp(-sum(value * math.log(value) for value in p))


def cka(x, y, debiased: bool) -> float:
    """Kornblith et al. 2019 from the N x N kernels; HSIC of Gretton et al. 2005, or of Song et al. 2012, eq. 5."""
    hsic = _unbiased_hsic if debiased else _hsic
    k, m = x.double() @ x.double().T, y.double() @ y.double().T
    return hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))


def _hsic(k, m) -> float:
    n = len(k)
    h = torch.eye(n, dtype=torch.float64) - 1 / n
    return float(torch.trace(k @ h @ m @ h)) / (n - 1) ** 2


def _unbiased_hsic(k, m) -> float:
    n, k, m = len(k), k.clone().fill_diagonal_(0), m.clone().fill_diagonal_(0)
    one = torch.ones(n, dtype=torch.float64)
    total = torch.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return float(total - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))


def cluster_accuracy(assignments, labels) -> float:
    """The best of all one-to-one matchings, tried one by one."""
    clusters, classes = sorted(set(assignments)), sorted(set(labels))
    classes += [None] * max(0, len(clusters) - len(classes))
    best = 0
    for matching in itertools.permutations(classes, len(clusters)):
        mapping = dict(zip(clusters, matching, strict=True))
        best = max(best, sum(mapping[a] == b for a, b in zip(assignments, labels, strict=True)))
    return best / len(labels)


def auroc(inside, outside) -> float:
    """Over all pairs, how often the inside one is higher; equal ones half."""
    pairs = [(a, b) for a in inside.tolist() for b in outside.tolist()]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)

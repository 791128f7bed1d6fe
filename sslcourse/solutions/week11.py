# ruff: noqa
"""The solved exercises of week11; generated from notebooks/source/week11_relative_representations.py: edit that."""


import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import week11 as check
from sslcourse.plot.schematics.similarities_to_anchors import similarities_to_anchors


def relative(x: torch.Tensor, anchors: torch.Tensor, center: bool = False) -> torch.Tensor:
    """Cosine similarities (N, A) of samples x (N, D) to anchors (A, D) (Moschella et al. 2023, eq. 1).

    center: subtract the anchors' mean from samples and anchors first.
    """
    if x.shape[1] != anchors.shape[1]:
        raise ValueError(f"x has {x.shape[1]} features and the anchors have {anchors.shape[1]}: take equally many.")
    if center:
        mean = anchors.mean(dim=0)                                        # (D,)
        x, anchors = x - mean, anchors - mean
    if not (x.any(dim=1).all() and anchors.any(dim=1).all()):
        raise ValueError("A zero vector has no direction, so its cosine to anything is not defined: leave it out.")
    return F.normalize(x, dim=1) @ F.normalize(anchors, dim=1).T          # (N, A)


def select_anchors(
    x: torch.Tensor, n: int, method: str = "uniform", generator: torch.Generator | None = None
) -> torch.Tensor:
    """Distinct indices (n,) of samples x (N, D) to be anchors.

    method: "uniform"; "farthest" (Euclidean, random start, in order of choice); "kmeans" (nearest to each centroid).
    """
    if not 1 <= n <= len(x):
        raise ValueError(f"There cannot be {n} anchors among {len(x)} points: take from 1 to {len(x)}.")
    if method == "uniform":
        return torch.randperm(len(x), generator=generator)[:n]
    if method == "farthest":
        chosen = [int(torch.randint(len(x), (1,), generator=generator))]
        nearest = torch.full((len(x),), torch.inf)
        while len(chosen) < n:
            nearest = torch.minimum(nearest, (x - x[chosen[-1]]).norm(dim=1))      # (N,)
            nearest[chosen] = -1                                                   # duplicates of anchors come first
            chosen.append(int(nearest.argmax()))
        return torch.tensor(chosen)
    if method == "kmeans":
        from sklearn.cluster import KMeans

        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        centroids = KMeans(n, n_init=3, random_state=seed).fit(x.numpy()).cluster_centers_
        chosen = []
        for distances in torch.cdist(torch.as_tensor(centroids, dtype=x.dtype), x):
            distances[chosen] = torch.inf
            chosen.append(int(distances.argmin()))
        return torch.tensor(chosen)
    raise ValueError(f"There is no method {method!r}: choose uniform, farthest or kmeans.")


def retrieval(a: torch.Tensor, b: torch.Tensor, k: int = 10) -> dict[str, float]:
    """How well row i of a finds row i of b among all rows of b, by cosine. a, b: (N, D), row n of both from sample n.

    Returns mrr (mean reciprocal rank), top1 (share of rank 1), cosine (mean of the true pairs), jaccard (intersection
    over union of each point's k cosine neighbours within a and within b, itself left out).
    """
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} rows and b has {len(b)}: row n of both should be the same sample.")
    if not 1 <= k < len(a):
        raise ValueError(f"k is {k}, but a sample has {len(a) - 1} neighbours: take a smaller k.")
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    similarity = a @ b.T                                                             # (N, N)
    true = similarity.diag()
    rank = 1 + (similarity > true[:, None]).sum(dim=1)                               # (N,)

    within = [(z @ z.T).fill_diagonal_(-torch.inf).topk(k).indices for z in (a, b)]  # (N, k) each
    common = (within[0][:, :, None] == within[1][:, None, :]).sum(dim=(1, 2))        # (N,)
    return {
        "mrr": (1 / rank).mean().item(),
        "top1": (rank == 1).float().mean().item(),
        "cosine": true.mean().item(),
        "jaccard": (common / (2 * k - common)).mean().item(),
    }


def stitch(head: nn.Module, x: torch.Tensor, anchors: torch.Tensor, labels: torch.Tensor) -> float:
    """Accuracy in [0, 1] of a head, trained on the relative space of one model, on that of another.

    head: relative representations (N, A) to logits (N, K), used unchanged, in eval mode; x (N, D) and anchors (A, D)
    features of the other model; labels (N,).
    """
    mode = head.training
    head.eval()
    with torch.no_grad():
        answers = head(relative(x, anchors)).argmax(dim=1)                # not centred, as in the head's training
    head.train(mode)
    return (answers == labels).float().mean().item()


def linear_cka(x: torch.Tensor, y: torch.Tensor, debiased: bool = False) -> float:
    """Centred kernel alignment of x (N, D) and y (N, E), row n of both from sample n (Kornblith et al. 2019, section 3).

    debiased: with the unbiased estimate (Song et al. 2012, eq. 5) of all three terms; needs N >= 4.
    """
    n, least = len(x), 4 if debiased else 2
    if len(y) != n:
        raise ValueError(f"x has {n} rows and y has {len(y)}: row n of both should be the same sample.")
    if n < least:
        raise ValueError(f"There is {n} sample only: take at least {least}." if n == 1 else
                         f"There are {n} samples only: take at least {least}.")
    x, y = ((z - z.mean(dim=0)).double() for z in (x, y))

    def agreement(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        squared = (x.T @ y).square().sum()                                # (D, E) to a scalar
        if not debiased:
            return squared
        k, m = x.square().sum(dim=1), y.square().sum(dim=1)               # (N,) each
        return squared - n / (n - 2) * (k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2))

    return (agreement(x, y) / (agreement(x, x) * agreement(y, y)).sqrt()).item()


def rsa(x: torch.Tensor, y: torch.Tensor) -> float:
    """Spearman correlation over pairs of samples of 1 - Pearson within x (N, D) and within y (N, E)."""
    import numpy as np
    from scipy.stats import spearmanr

    pairs = np.triu_indices(len(x), k=1)                                  # i < j
    first, second = (1 - np.corrcoef(z.double().numpy())[pairs] for z in (x, y))
    return float(spearmanr(first, second).statistic)


def procrustes(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The orthogonal R (D, D), reflections allowed, that brings x R nearest to y after centring both (N, D)."""
    u, _, vh = torch.linalg.svd((x - x.mean(dim=0)).T @ (y - y.mean(dim=0)))
    return u @ vh


def mutual_knn(x: torch.Tensor, y: torch.Tensor, k: int = 10) -> float:
    """Mean share of the k nearest by cosine, itself left out, that a sample has in x (N, D) and in y (N, E)."""
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} rows and y has {len(y)}: row n of both should be the same sample.")
    if not 1 <= k < len(x):
        raise ValueError(f"k is {k}, but a sample has {len(x) - 1} neighbours: take a smaller k.")
    near = []
    for z in (x, y):
        z = F.normalize(z, dim=1)
        near.append((z @ z.T).fill_diagonal_(-torch.inf).topk(k).indices)                # (N, k)
    return (near[0][:, :, None] == near[1][:, None, :]).sum().item() / near[0].numel()

# ruff: noqa
"""The solved exercises of week10; generated from notebooks/source/week10_intrinsic_dimension.py: edit that."""


import math
import time
import warnings

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import week10 as check
from sslcourse.data.scenes import make_scenes
from sslcourse.plot.schematics.two_neighbours import two_neighbours


def two_nearest(x: torch.Tensor, chunk: int = 1024) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances (N,) of every point to its nearest and second nearest other point, float64.

    x: (N, D), N >= 3. Memory grows with chunk * N, not with N * N.
    """
    if x.dim() != 2 or len(x) < 3:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D) with at least three points.")
    if not x.isfinite().all():
        raise ValueError("x holds NaN or infinite values, which are at no distance; did the training diverge?")
    x = x.double()
    x = x - x.mean(dim=0)                                                     # (N, D)
    quick = x.float()
    half = quick.square().sum(dim=1) / 2                                      # (N,)
    found = []
    for rows in torch.arange(len(x), device=x.device).split(chunk):
        score = quick[rows] @ quick.T - half                                  # (n, N), largest for the nearest
        score[torch.arange(len(rows), device=x.device), rows] = float("-inf")
        near = score.topk(min(4, len(x) - 1), dim=1).indices                  # (n, 4)
        exact = [(x[column] - x[rows]).norm(dim=1) for column in near.T]      # four times (n,)
        found.append(torch.stack(exact, dim=1).sort(dim=1).values[:, :2])     # (n, 2)
    r1, r2 = torch.cat(found).unbind(dim=1)
    return r1, r2


def two_nn(x: torch.Tensor, fraction: float = 0.9) -> float:
    """Intrinsic dimension: slope through the origin of -log(1 - F) on log(mu) (Facco et al. 2017).

    x: (N, D). Fitted are the smallest int(fraction * N) ratios with F < 1, F_i = i / N for i = 1..N. Points with
    r1 = 0 are dropped with a warning.
    """
    r1, r2 = two_nearest(x)
    apart = r1 > 0
    if not apart.all():
        warnings.warn(f"{int((~apart).sum())} points have a duplicate and are dropped.", stacklevel=2)
    mu = (r2[apart] / r1[apart]).sort().values                               # (N,), rising
    n = len(mu)
    kept = min(int(fraction * n), n - 1)
    if kept < 1 or not mu[kept - 1] > 1:
        raise ValueError("No dimension fits: nearly all points are equal, or r2 = r1 everywhere, as on a lattice.")
    log_mu = mu[:kept].log()
    level = -torch.log(1 - torch.arange(1, kept + 1, device=mu.device) / n)  # -log(1 - F)
    return ((log_mu @ level.to(log_mu)) / (log_mu @ log_mu)).item()


def two_nn_mle(x: torch.Tensor) -> float:
    """(N - 1) / sum of log(mu), the unbiased maximum-likelihood estimate of the dimension; x: (N, D)."""
    r1, r2 = two_nearest(x)
    log_mu = (r2[r1 > 0] / r1[r1 > 0]).log()
    if len(log_mu) < 2 or not log_mu.sum() > 0:
        raise ValueError("No dimension fits: nearly all points are equal, or r2 = r1 everywhere, as on a lattice.")
    return ((len(log_mu) - 1) / log_mu.sum()).item()


def participation_ratio(x: torch.Tensor) -> float:
    """PCA dimension (sum lambda)^2 / sum lambda^2 of the covariance's eigenvalues; x: (N, D), centred here."""
    x = x.double()
    length = x.norm()
    x = x - x.mean(dim=0)
    if not x.norm() > 1e-12 * length:                                        # rounding is all that is left, or NaN
        raise ValueError("x holds NaN, or all its points are equal: there is no variance to divide.")
    products = x.T @ x if x.shape[1] <= len(x) else x @ x.T                  # the smaller one; equal eigenvalues
    return (products.trace() ** 2 / products.square().sum()).item()


def neighbourhood_overlap(a: torch.Tensor, b: torch.Tensor, k: int) -> float:
    """Mean share of the k nearest Euclidean neighbours that a sample has in both; a: (N, D), b: (N, E) (Doimo 2020)."""
    here, there = (evaluate.nearest_neighbours(x, k=k, metric="euclidean")[1] for x in (a, b))      # (N, k)
    common = (here[:, :, None] == there[:, None, :]).any(dim=2)              # (N, k)
    return common.double().mean().item()


def label_overlap(x: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    """Mean share of the k nearest Euclidean neighbours with the sample's own label, itself left out.

    x: (N, D); labels: (N,).
    """
    places = evaluate.nearest_neighbours(x, k=k, metric="euclidean")[1]      # (N, k)
    return (labels[places] == labels[:, None]).double().mean().item()


def id_scaling(
    x: torch.Tensor, fractions: list[float], n_repeats: int, generator: torch.Generator
) -> tuple[list[int], list[float]]:
    """Sizes int(fraction * N) and the mean of two_nn over n_repeats random subsets of each size."""
    sizes = [int(fraction * len(x)) for fraction in fractions]
    ids = []
    for size in sizes:
        draws = [torch.randperm(len(x), generator=generator)[:size] for _ in range(n_repeats)]
        ids.append(sum(two_nn(x[rows]) for rows in draws) / n_repeats)
    return sizes, ids


def gride(x: torch.Tensor, n1: int = 1) -> float:
    """Dimension of largest likelihood from r_{2 n1} / r_{n1} of every point (Denti et al. 2022); x: (N, D)."""
    from scipy.optimize import brentq

    distances = evaluate.nearest_neighbours(x, k=2 * n1, metric="euclidean")[0].double()     # (N, 2 n1)
    near = distances[:, n1 - 1]
    log_mu = (distances[near > 0, 2 * n1 - 1] / near[near > 0]).log()

    def slope(d: float) -> float:
        grown = 1 / -torch.expm1(-d * log_mu)                                # mu^d / (mu^d - 1)
        return (1 / d - (2 * n1 - 1) * log_mu + (n1 - 1) * (log_mu * grown).nan_to_num(1 / d)).sum().item()

    if not slope(1e-3) > 0 > slope(1e3):
        raise ValueError("No dimension below 1000 fits: nearly all points are equal, or lie on a lattice.")
    return brentq(slope, 1e-3, 1e3)


def layer_profile(model: nn.Module, images: torch.Tensor, layers: list[str]) -> dict:
    """Geometry of L layers: {"id": (L,), "pca": (L,), "overlap": (L, L) with k = 10, "features": {layer: (N, D)}}.

    overlap[i, j] is that of layers[i] and layers[j].
    """
    features = evaluate.layer_features(model, images, layers, grid=max(images.shape[-2:]))
    h = [features[layer] for layer in layers]
    # The neighbours of each layer are found once, then compared pair by pair, as in neighbourhood_overlap.
    near = [evaluate.nearest_neighbours(x, k=10, metric="euclidean")[1] for x in h]          # (N, 10) each
    overlap = torch.tensor([[(a[:, :, None] == b[:, None]).any(2).double().mean().item() for b in near] for a in near])
    return {
        "id": torch.tensor([two_nn(x) for x in h]),
        "pca": torch.tensor([participation_ratio(x) for x in h]),
        "overlap": overlap,
        "features": features,
    }


def information_imbalance(a: torch.Tensor, b: torch.Tensor) -> float:
    """2 / N x mean rank in b (N, E) of each sample's nearest neighbour in a (N, D), Euclidean, itself left out."""
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a has {len(a)} rows and b has {len(b)}: row n of both is the same sample, of two or more.")
    nearest = evaluate.nearest_neighbours(a, k=1, metric="euclidean")[1].to(b.device)            # (N, 1)
    far = torch.cdist(b.double(), b.double()).fill_diagonal_(math.inf)                           # (N, N)
    rank = 1 + (far < far.gather(1, nearest)).sum(dim=1)                                         # (N,)
    return (2 * rank.double().mean() / len(a)).item()

# ruff: noqa
"""The solved exercises of week04; generated from notebooks/source/week04_simclr.py: edit that."""


import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board, recorded
from sslcourse.check import week04 as check
from sslcourse.plot.schematics.two_views_to_loss import two_views_to_loss


def two_views(images: torch.Tensor, augment) -> tuple[torch.Tensor, torch.Tensor]:
    """Two independently augmented versions of every image (Chen et al. 2020, section 2.1).

    images: (N, C, H, W) floats in [0, 1]. augment: callable on such a batch; draws anew at each call, per image.
    Returns (view0, view1), each (N, C, H, W); row n of both comes from image n.
    """
    return augment(images), augment(images)


def nt_xent(z0: torch.Tensor, z1: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    """Normalised temperature-scaled cross-entropy of two views (Chen et al. 2020, eq. 1).

    z0, z1: (N, D) embeddings, not normalised; row n of both comes from image n.
    Returns a scalar: the mean over all 2N embeddings, in nats.
    """
    z = F.normalize(torch.cat([z0, z1]), dim=1)               # (2N, D)
    similarity = z @ z.T / temperature                        # (2N, 2N)
    similarity = similarity.fill_diagonal_(float("-inf"))     # nobody is its own candidate
    positive = torch.arange(len(z), device=z.device).roll(len(z0))
    return F.cross_entropy(similarity, positive)


def projection_head(in_dim: int, hidden_dim: int, out_dim: int) -> nn.Module:
    """From features h (N, in_dim) to projections z (N, out_dim) by one hidden layer (Chen et al. 2020, section 2.1)."""
    return nn.Sequential(
        nn.Linear(in_dim, hidden_dim, bias=False),            # batch norm brings its own
        nn.BatchNorm1d(hidden_dim),                           # as in the authors' code
        nn.ReLU(inplace=True),
        nn.Linear(hidden_dim, out_dim),
    )


def train_step(backbone: nn.Module, head: nn.Module, images: torch.Tensor, augment, temperature: float) -> torch.Tensor:
    """The SimCLR loss of one batch, with its graph (Chen et al. 2020, algorithm 1).

    images: (N, C, H, W) floats in [0, 1]; backbone maps them to (N, D), head maps (N, D) to (N, P).
    Returns a scalar. Does no backward pass and no optimiser step.
    """
    view0, view1 = two_views(images, augment)
    h = backbone(torch.cat([view0, view1]))                   # (2N, D), one pass: both views share batch statistics
    z0, z1 = head(h).chunk(2)                                 # (N, P) each
    z0, z1 = train.gather(z0), train.gather(z1)               # of all processes; on one process they stay as they are
    return nt_xent(z0, z1, temperature)


def alignment(z0: torch.Tensor, z1: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of positive pairs on the unit sphere (Wang and Isola 2020, alpha = 2).

    z0, z1: (N, D) embeddings, not normalised; row n of both comes from image n.
    Returns a scalar in [0, 4]; lower is more aligned.
    """
    difference = F.normalize(z0, dim=1) - F.normalize(z1, dim=1)    # (N, D)
    return difference.square().sum(dim=1).mean()


def uniformity(z: torch.Tensor, t: float = 2.0) -> torch.Tensor:
    """Log of the mean Gaussian potential over all pairs i < j on the unit sphere (Wang and Isola 2020, eq. 5).

    z: (N, D) embeddings, not normalised, N at least 2. Returns a scalar, at most 0; lower is more uniform.
    """
    z = F.normalize(z, dim=1)
    return torch.pdist(z).square().mul(-t).exp().mean().log()       # pdist: each pair once


def mi_lower_bound(loss: float, n_candidates: int) -> float:
    """InfoNCE's lower bound on the mutual information (van den Oord et al. 2018, section 2.3).

    loss: of n_candidates candidates, one of them the positive, in nats. Returns nats.
    """
    return math.log(n_candidates) - loss


def vicreg(
    z0: torch.Tensor, z1: torch.Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> torch.Tensor:
    """Variance-invariance-covariance regularisation (Bardes et al. 2022, eqs. 1 to 6; variance averaged over views).

    z0, z1: (N, D) embeddings, N at least 2; row n of both comes from image n. The rest weighs the terms.
    Returns a scalar.
    """

    def spread(z):                                            # 0 once every dimension varies enough
        return F.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean()

    def redundancy(z):                                        # 0 when no two dimensions vary together
        c = torch.cov(z.T)                                    # (D, D)
        return (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]

    distance = F.mse_loss(z0, z1)
    return (
        invariance * distance
        + variance * (spread(z0) + spread(z1)) / 2
        + covariance * (redundancy(z0) + redundancy(z1))
    )


def barlow_twins(z0: torch.Tensor, z1: torch.Tensor, lambda_: float = 5e-3) -> torch.Tensor:
    """Redundancy reduction (Zbontar et al. 2021, eqs. 1 and 2).

    z0, z1: (N, D) embeddings, N at least 2; row n of both comes from image n. lambda_ weighs what is off the diagonal.
    Returns a scalar.
    """

    def standardise(z):
        return (z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt()

    c = standardise(z0).T @ standardise(z1) / len(z0)         # (D, D): correlations across the views
    on_diagonal = (1 - c.diagonal()).square().sum()
    off_diagonal = c.square().sum() - c.diagonal().square().sum()
    return on_diagonal + lambda_ * off_diagonal


def sigmoid_loss(z0: torch.Tensor, z1: torch.Tensor, scaling: float = 10.0, bias: float = -10.0) -> torch.Tensor:
    """Pairwise sigmoid loss (Zhai et al. 2023, eq. 1).

    z0, z1: (N, D) embeddings, not normalised; row n of both comes from image n. A score is scaling x cosine + bias.
    Returns a scalar: the sum over all N x N pairs of a view 0 and a view 1, divided by N, in nats.
    """
    scores = scaling * F.normalize(z0, dim=1) @ F.normalize(z1, dim=1).T + bias      # (N, N)
    signs = 2 * torch.eye(len(z0), device=z0.device) - 1                             # 1 for "same", -1 for "other"
    return -F.logsigmoid(signs * scores).sum() / len(z0)

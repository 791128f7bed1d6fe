"""How good is a representation? Alignment and uniformity on the sphere.

Reference: Wang and Isola 2020, "Understanding contrastive representation learning through alignment and uniformity".
"""

import math

import torch
import torch.nn.functional as F

from sslcourse.evaluate import inputs


def alignment(z0: torch.Tensor, z1: torch.Tensor) -> float:
    """Mean squared distance between the two views of an image on the unit sphere: 0 when all agree, 2 when unrelated.

    z0, z1: (N, D) embeddings, row n of both from image n; normalised here.
    """
    z0, z1 = inputs.features(z0, "z0"), inputs.features(z1, "z1")
    inputs.same_length(z0, z1, "z0", "z1")
    inputs.same_width(z0, z1, "z0", "z1")
    z0, z1 = F.normalize(z0.double(), dim=1), F.normalize(z1.double(), dim=1)
    return (z0 - z1).square().sum(dim=1).mean().item()


def uniformity(z: torch.Tensor, t: float = 2.0) -> float:
    """Log of the mean Gaussian potential exp(-t d^2) between all pairs of points on the unit sphere.

    z: (N, D) embeddings, N >= 2; normalised here. 0 when all coincide; about -4 (t = 2) when spread evenly in many
    dimensions.
    """
    z = F.normalize(inputs.features(z, "z", at_least=2).double(), dim=1)
    total = 0.0
    for start in range(0, len(z), 1024):  # blocks of rows: the matrix of all pairs may not fit
        block = z[start : start + 1024]
        squared = 2 - 2 * block @ z[start:].T  # (n, rest): each pair once, but twice within the block
        potential = squared.mul_(-t).exp_()
        total += potential.triu_(diagonal=1).sum().item()
    return math.log(total / (len(z) * (len(z) - 1) / 2))

"""How good is a representation? Alignment and uniformity on the sphere.

Reference: Wang and Isola 2020, "Understanding contrastive representation learning through alignment and uniformity".
"""

import math

import torch

from sslcourse import arguments
from sslcourse.evaluate import inputs


def alignment(z0: torch.Tensor, z1: torch.Tensor) -> float:
    """Mean squared distance between the two views of an image on the unit sphere: 0 when all agree, 2 when unrelated.

    z0, z1: (N, D) embeddings, row n of both from image n; normalised here. Raises ValueError for NaN and for a row of
    zeros, which lies nowhere on the sphere: a dead network would agree best of all.
    """
    z0, z1 = inputs.features(z0, "z0"), inputs.features(z1, "z1")
    inputs.same_length(z0, z1, "z0", "z1")
    inputs.same_width(z0, z1, "z0", "z1")
    z0, z1 = inputs.unit(z0.double(), "z0"), inputs.unit(z1.double(), "z1")
    return (z0 - z1).square().sum(dim=1).mean().item()


def uniformity(z: torch.Tensor, t: float = 2.0) -> float:
    """Log of the mean Gaussian potential exp(-t d^2) between all pairs of points on the unit sphere.

    z: (N, D) embeddings, N >= 2; normalised here. 0 when all coincide; about -4 (t = 2) when spread evenly in many
    dimensions. Raises ValueError for NaN, for a row of zeros and for a t that is not between 0 and 1e6.
    """
    z = inputs.unit(inputs.features(z, "z", at_least=2).double(), "z")
    t = arguments.number("t", t, above=0, most=1e6)
    z = z - z.mean(dim=0)  # distances stay, and of points close together they keep their digits
    squares, totals = z.square().sum(dim=1), []
    for start in range(0, len(z), 1024):  # blocks of rows: the matrix of all pairs may not fit
        block = z[start : start + 1024]
        squared = torch.addmm(squares[start:], block, z[start:].T, alpha=-2)  # (n, rest): within the block pairs twice
        squared.add_(squares[start : start + 1024, None]).clamp_min_(0)
        below = torch.ones_like(squared, dtype=torch.bool).tril_()
        # Logarithms of sums: at a large t every single potential may be too small for a number.
        totals.append(squared.mul_(-t).masked_fill_(below, -math.inf).flatten().logsumexp(dim=0))
    return (torch.stack(totals).logsumexp(dim=0) - math.log(len(z) * (len(z) - 1) / 2)).item()

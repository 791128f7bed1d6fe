"""How many dimensions do points fill? Locally by the ratio of two distances, globally by the spectrum.

References: Facco et al. 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood information"
(TwoNN); Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement" (participation ratio).
"""

import math
import warnings

import torch

from sslcourse import arguments
from sslcourse.evaluate import inputs
from sslcourse.evaluate.neighbours import log_two_nearest


def two_nn(x: torch.Tensor, fraction: float = 0.9) -> float:
    """Intrinsic dimension from the two nearest neighbours of every point (Facco et al. 2017).

    x: (N, D), N >= 3. Of mu = r2 / r1, sorted, the smallest int(fraction * N) are fitted: the slope through the origin
    of -log(1 - i / N) on log(mu_i), i from 1; i = N is never used. Points with a duplicate (r1 = 0) are left out, with
    a warning, and so are those whose nearest one is as near as the rounding of the numbers themselves: an image that
    went through a network twice. Memory grows with a chunk of rows times N. Too small where 2^dimension is not small
    beside N.
    Raises ValueError for fewer than three different points, NaN, a fraction outside (0, 1] or one that leaves no ratio,
    and where all ratios are 1, which fits no finite dimension.
    """
    fraction = arguments.real("fraction", fraction)
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction:g}; it should be greater than 0 and at most 1.")
    rounding = _rounding(x)
    x = inputs.features(x, "x", at_least=3)
    bound = _log_lengths(x) + (math.log(rounding) if rounding else -math.inf)  # (N,)
    distances = _without_duplicates(log_two_nearest(x), bound)  # (N, 2)
    mu = (distances[:, 1] - distances[:, 0]).sort().values  # (N,), logarithms of ratios
    n = len(mu)
    kept = min(int(fraction * n), n - 1)
    if kept < 1:
        raise ValueError(f"fraction is {fraction:g}, which leaves none of {n} ratios to fit; take more.")
    mu, level = mu[:kept], -torch.log1p(-torch.arange(1, kept + 1, dtype=mu.dtype, device=mu.device) / n)
    if not mu[-1] > 0:
        raise ValueError(
            "All second neighbours are as far away as the first, as in a grid: no finite dimension fits such points."
        )
    return ((mu @ level) / (mu @ mu)).item()


def _rounding(x) -> float:
    """How far apart numbers of about 1 may be by rounding alone: four last places of the type that x came in."""
    x = arguments.tensor("x", x, "(N, D): one row of features a sample").detach()
    if not x.is_floating_point():
        return 0.0
    if x.dtype == torch.float64 and torch.equal(x, x.float().double()):
        return 4 * torch.finfo(torch.float32).eps  # float32 in a larger shell
    return 4 * torch.finfo(x.dtype).eps


def _log_lengths(x: torch.Tensor) -> torch.Tensor:
    """Of the rows (N,), float64, at any scale; -inf for a row of zeros."""
    largest = inputs.power(x.double().abs().amax(dim=1))
    return torch.linalg.vector_norm(x.double() / largest[:, None], dim=1).log() + largest.log()


def _without_duplicates(distances: torch.Tensor, rounding: torch.Tensor) -> torch.Tensor:
    """Logarithms of distances (N, 2) without the rows whose first is no more than that of the rounding (N,)."""
    apart = distances[:, 0] > rounding
    if int(distances.isfinite().all(dim=1).logical_and(apart).sum()) < 2:
        raise ValueError("Nearly all points of x are equal to another one; at least three different ones are needed.")
    if duplicates := int((~apart).sum()):
        warnings.warn(
            f"{duplicates} of {len(distances)} points of x have a duplicate and are left out: a distance of 0, or of "
            "no more than rounding, has no ratio.",
            stacklevel=3,
        )
    return distances[apart]


def participation_ratio(x: torch.Tensor) -> float:
    """(sum lambda)^2 / sum lambda^2 of the covariance's eigenvalues lambda, between 1 and min(N - 1, D).

    x: (N, D), N >= 2, centred here. d equal directions of variance give d, whatever is curved within them. Computed
    from the smaller of the D x D and the N x N products. Raises ValueError for NaN and where all points are equal.
    """
    x = inputs.features(x, "x", at_least=2)
    centred = inputs.centred(x)
    if centred is None:
        raise ValueError("All points of x are equal; they have no variance to divide among dimensions.")
    centred = centred / centred.norm()  # the sum of eigenvalues is 1 from here on
    products = centred.T @ centred if x.shape[1] <= len(x) else centred @ centred.T
    return (1 / products.square().sum()).item()

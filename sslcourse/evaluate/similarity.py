"""Do two representations say the same about the same samples? Centred kernel alignment.

References: Kornblith et al. 2019, "Similarity of neural network representations revisited", section 3; Song et al.
2012, "Feature selection via dependence maximization", eq. 5, for the unbiased estimator.
"""

import torch

from sslcourse import arguments
from sslcourse.evaluate import inputs


def linear_cka(x: torch.Tensor, y: torch.Tensor, debiased: bool = False) -> float:
    """Linear CKA of two representations (N, D) and (N, E) of the same samples; 1 when equal up to rotation and scale.

    Computed from D x E products, so that any N will do. With few samples plain CKA is high for unrelated
    representations; debiased=True takes that off, needs N >= 4 and may fall a little below 0. Raises ValueError for
    NaN and where one is constant.
    """
    debiased = arguments.flag("debiased", debiased)
    x, y = (inputs.features(z, name, at_least=4 if debiased else 2) for z, name in ((x, "x"), (y, "y")))
    inputs.same_length(x, y, "x", "y")
    x, y = _centred(x, "x"), _centred(y, "y")
    dependence = _unbiased_hsic if debiased else _hsic
    own = dependence(x, x), dependence(y, y)
    if min(own) <= 1e-12:  # of lengths of 1: rounding is all that is left
        raise ValueError(f"The {len(x)} samples are too few for a debiased CKA of these representations.")
    return (dependence(x, y) / (own[0] * own[1]).sqrt()).item()


def _centred(x: torch.Tensor, name: str) -> torch.Tensor:
    centred = inputs.centred(x)
    if centred is None:
        raise ValueError(f"{name} is the same for all samples; its similarity to anything is not defined.")
    return centred / centred.norm()  # the scale cancels; without it fourth powers stay within range


def _hsic(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x.T @ y).square().sum()  # = <K, L> of the kernels K = x x^T, L = y y^T, (N, N)


def _unbiased_hsic(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Song's estimator without the N x N kernels, up to the factor 1 / (N (N - 3)) that cancels.

    It leaves out the diagonals k = |x_n|^2 and m = |y_n|^2 of both kernels. Rows of centred kernels sum to 0, so those
    of the kernels without diagonal sum to -k and -m.
    """
    n, k, m = len(x), x.square().sum(dim=1), y.square().sum(dim=1)  # (N,), (N,)
    trace = _hsic(x, y) - k @ m
    return trace + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m)

"""Heads: small networks on top of a backbone, thrown away after pretraining."""

from torch import nn

from sslcourse import arguments


def projection_head(in_dim: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """SimCLR's projection head (Chen et al. 2020, section 2.1), an MLP with one hidden layer: (N, D) to (N, out_dim).

    Batch norm after the first layer, as in the authors' code (the paper's formula leaves it out). Every call draws new
    weights. Raises ValueError for a dimension below 1.
    """
    sizes = {"in_dim": in_dim, "hidden_dim": hidden_dim, "out_dim": out_dim}
    in_dim, hidden_dim, out_dim = (arguments.whole(name, value) for name, value in sizes.items())
    if min(in_dim, hidden_dim, out_dim) < 1:
        raise ValueError(
            f"in_dim = {in_dim}, hidden_dim = {hidden_dim} and out_dim = {out_dim} should all be at least 1."
        )
    return nn.Sequential(
        nn.Linear(in_dim, hidden_dim, bias=False),
        nn.BatchNorm1d(hidden_dim),
        nn.ReLU(inplace=True),
        nn.Linear(hidden_dim, out_dim),
    )

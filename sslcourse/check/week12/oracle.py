"""Week 12, contacts: symmetrising and correcting, one entry at a time, as the paper writes them.

Reference: Dunn et al. 2008, "Mutual information without the influence of phylogeny or entropy dramatically improves
residue contact prediction" (APC). The features made of them: features_oracle.py.
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def _each(function):
    """Apply a function of one matrix (L, L) to every matrix of (..., L, L)."""

    def every(x: Tensor) -> Tensor:
        return torch.stack([function(matrix) for matrix in x.reshape(-1, *x.shape[-2:])]).reshape(x.shape)

    return every


# --- symmetrize


@_each
def symmetrize(x: Tensor) -> Tensor:
    n = len(x)
    return torch.stack([torch.stack([x[i, j] + x[j, i] for j in range(n)]) for i in range(n)])


def symmetric(x: Tensor) -> Tensor:
    return x + x.transpose(-1, -2)


SYMMETRIZE_MISTAKES = (
    Mistake("the mean of the two is taken: ESM takes their sum, x + its transpose.", (lambda x: symmetrize(x) / 2,)),
    Mistake("the transpose is subtracted: add it.", (lambda x: x - x.transpose(-1, -2),)),
    Mistake(
        "other dimensions than the last two are transposed: use x.transpose(-1, -2).",
        (
            lambda x: x + x.permute(*reversed(range(x.dim()))),
            lambda x: x + x.transpose(0, 1),
            lambda x: x + x.transpose(0, -1),
            lambda x: x + x.transpose(-3, -1) if x.dim() > 2 else symmetrize(x),
            lambda x: x + x.transpose(-3, -2) if x.dim() > 2 else symmetrize(x),
            lambda x: x + x.transpose(1, 2) if x.dim() > 2 else symmetrize(x),
        ),
    ),
    Mistake(
        "the matrices are multiplied: the sum x + its transpose is wanted.",
        (
            lambda x: x @ x.transpose(-1, -2),
            lambda x: x.transpose(-1, -2) @ x,
            lambda x: x * x.transpose(-1, -2),
            lambda x: (x * x.transpose(-1, -2)).abs().sqrt(),
        ),
    ),
    Mistake(
        "the diagonal is set to 0: x plus its transpose doubles it.",
        (lambda x: off_diagonal(x + x.transpose(-1, -2)),),
    ),
    Mistake(
        "negative values are cut off at 0 or lose their sign: the sum is as it is.",
        (lambda x: symmetrize(x).relu(), lambda x: symmetrize(x).abs()),
    ),
    Mistake(
        "one triangle is copied over the other: both entries of a pair count, x[i, j] + x[j, i].",
        (lambda x: x.triu() + x.triu(1).transpose(-1, -2), lambda x: x.tril() + x.tril(-1).transpose(-1, -2)),
    ),
    Mistake("the transpose alone is returned: add x to it.", (lambda x: x.transpose(-1, -2),)),
    Mistake("x alone is returned: add its transpose.", (lambda x: x,)),
    Mistake("x is added to itself: add its transpose.", (lambda x: 2 * x,)),
    Mistake(
        "the larger or smaller of the two entries is taken: add them.",
        (lambda x: torch.maximum(x, x.transpose(-1, -2)), lambda x: torch.minimum(x, x.transpose(-1, -2))),
    ),
    Mistake(
        "x is turned over, not transposed: .flip reverses an axis, .transpose swaps two.",
        (lambda x: x + x.flip(-1), lambda x: x + x.flip(-2), lambda x: x + x.flip((-1, -2))),
    ),
    Mistake(
        "the diagonal is counted once: x plus its transpose doubles it.",
        (lambda x: x + x.transpose(-1, -2) - torch.diag_embed(x.diagonal(dim1=-2, dim2=-1)),),
    ),
)


# --- apc


@_each
def apc(x: Tensor) -> Tensor:
    """F_ij - (sum of row i) (sum of column j) / (sum of all), the diagonal included."""
    n, total = len(x), sum(x[i, j] for i in range(len(x)) for j in range(len(x)))
    rows = [sum(x[i, j] for j in range(n)) for i in range(n)]
    columns = [sum(x[i, j] for i in range(n)) for j in range(n)]
    return torch.stack([torch.stack([x[i, j] - rows[i] * columns[j] / total for j in range(n)]) for i in range(n)])


def corrected(x: Tensor, *, rows=-1, columns=-2, total="each", sign=-1, keep=1, diagonal=True, divide=True) -> Tensor:
    """apc with something wrong; right with the defaults. rows, columns: the dimensions that are summed over."""
    counted = x if diagonal else x - torch.diag_embed(x.diagonal(dim1=-2, dim2=-1))
    a, b = counted.sum(rows, keepdim=True), counted.sum(columns, keepdim=True)
    if rows == columns:
        b = b.transpose(-1, -2)
    whole = {
        "each": counted.sum((-1, -2), keepdim=True),
        "all": counted.sum(),
        "mean": counted.mean((-1, -2), keepdim=True),
    }
    return keep * x + sign * a * b / (whole[total] if divide else 1)


APC_MISTAKES = (
    Mistake("the correction is added: subtract it.", (partial(corrected, sign=1),)),
    Mistake("the correction alone is returned: subtract it from x.", (partial(corrected, sign=1, keep=0),)),
    Mistake("the product is not divided by the total: rows x columns / total.", (partial(corrected, divide=False),)),
    Mistake(
        "sums and means are mixed: sums of rows and columns go with the sum of all entries (or means with the mean).",
        (
            partial(corrected, total="mean"),
            lambda x: x - x.sum(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.shape[-1],
            lambda x: x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True) / x.sum((-1, -2), keepdim=True),
            lambda x: x - x.mean(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.sum((-1, -2), keepdim=True),
            lambda x: x - x.mean(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.mean((-1, -2), keepdim=True),
        ),
    ),
    Mistake(
        "the total runs over all matrices of the batch: every matrix is corrected by its own.",
        (
            partial(corrected, total="all"),
            lambda x: x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True) / x.mean(),
        ),
    ),
    Mistake(
        "the diagonal is left out of the sums: ESM's convention includes it.",
        (partial(corrected, diagonal=False), lambda x: off_diagonal(corrected(off_diagonal(x)))),
    ),
    Mistake(
        "rows and columns are mixed up: entry (i, j) is corrected by the sum of row i and the sum of column j.",
        (
            partial(corrected, columns=-1),
            lambda x: corrected(x, rows=-2),
            lambda x: x - (x - corrected(x)).transpose(-1, -2),
        )
        + tuple(
            lambda x, over=over: x - x.sum(over, keepdim=True) ** 2 / x.sum((-1, -2), keepdim=True) for over in (-1, -2)
        ),
    ),
    Mistake(
        "the means of rows and columns are multiplied without dividing by the mean of all.",
        (lambda x: x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True),),
    ),
    Mistake(
        "the correction is additive (row mean + column mean - mean of all): the average product is wanted.",
        (
            lambda x: x - x.mean(-1, keepdim=True) - x.mean(-2, keepdim=True) + x.mean((-1, -2), keepdim=True),
            lambda x: x - x.mean(-1, keepdim=True) - x.mean(-2, keepdim=True),
        ),
    ),
    Mistake(
        "a mean is taken off: the average product, rows x columns / total, is wanted.",
        (
            lambda x: x - x.mean((-1, -2), keepdim=True),
            lambda x: x - x.mean(),
            lambda x: x - x.mean(-1, keepdim=True),
            lambda x: x - x.mean(-2, keepdim=True),
        ),
    ),
    Mistake("negative values are cut off at 0: what is left has either sign.", (lambda x: corrected(x).clamp(min=0),)),
    Mistake("the sign is lost: what is left has either sign.", (lambda x: corrected(x).abs(),)),
    Mistake("the diagonal of the result is set to 0: leave it as it is.", (lambda x: off_diagonal(corrected(x)),)),
    Mistake(
        "other dimensions than the last two are summed over: sum over dim=-1 and over dim=-2.",
        (partial(corrected, rows=1, columns=0), lambda x: x - x.sum(0, True) * x.sum(1, True) / x.sum()),
    ),
    Mistake(
        "the sums lose a dimension and are multiplied place by place: keepdim=True makes a column and a row.",
        (
            lambda x: x - x.sum(-1) * x.sum(-2) / x.sum((-1, -2)),
            lambda x: x - x.sum(-1) * x.sum(-2) / x.sum((-1, -2), keepdim=True),
            lambda x: x - (x.sum(-1) * x.sum(-2)).unsqueeze(-2) / x.sum((-1, -2), keepdim=True),
            lambda x: x - (x.sum(-1) * x.sum(-2)).unsqueeze(-1) / x.sum((-1, -2), keepdim=True),
        ),
    ),
    Mistake(
        "it is divided by the sum of the diagonal: the total is the sum of all entries.",
        (
            lambda x: (
                x
                - x.sum(-1, keepdim=True)
                * x.sum(-2, keepdim=True)
                / x.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
            ),
        ),
    ),
    Mistake(
        "the sums are those of absolute values: take the values as they are.",
        (lambda x: x - (x.abs() - corrected(x.abs())),),
    ),
    Mistake("it is divided by the correction: subtract it.", (lambda x: x / (x - corrected(x)),)),
    Mistake(
        "the matrix is symmetrised first: apc takes it as it is.",
        (lambda x: corrected(symmetric(x)), lambda x: corrected(symmetric(x) / 2)),
    ),
)


def off_diagonal(x: Tensor) -> Tensor:
    return x - torch.diag_embed(x.diagonal(dim1=-2, dim2=-1))

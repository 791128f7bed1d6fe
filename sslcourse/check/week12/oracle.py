"""Week 12, contacts: from attention to features, one entry at a time, as the papers write them.

References: Dunn et al. 2008, "Mutual information without the influence of phylogeny or entropy dramatically improves
residue contact prediction" (APC); Rao et al. 2021, "Transformer protein language models are unsupervised structure
learners" (features).
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
    Mistake("the diagonal is set to 0: x plus its transpose doubles it.", (lambda x: _off(x + x.transpose(-1, -2)),)),
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


def _apc(x: Tensor, *, rows=-1, columns=-2, total="each", sign=-1, keep=1, diagonal=True, divide=True) -> Tensor:
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
    Mistake("the correction is added: subtract it.", (partial(_apc, sign=1),)),
    Mistake("the correction alone is returned: subtract it from x.", (partial(_apc, sign=1, keep=0),)),
    Mistake("the product is not divided by the total: rows x columns / total.", (partial(_apc, divide=False),)),
    Mistake(
        "sums and means are mixed: sums of rows and columns go with the sum of all entries (or means with the mean).",
        (
            partial(_apc, total="mean"),
            lambda x: x - x.sum(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.shape[-1],
            lambda x: x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True) / x.sum((-1, -2), keepdim=True),
            lambda x: x - x.mean(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.sum((-1, -2), keepdim=True),
            lambda x: x - x.mean(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.mean((-1, -2), keepdim=True),
        ),
    ),
    Mistake(
        "the total runs over all matrices of the batch: every matrix is corrected by its own.",
        (
            partial(_apc, total="all"),
            lambda x: x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True) / x.mean(),
        ),
    ),
    Mistake(
        "the diagonal is left out of the sums: ESM's convention includes it.",
        (partial(_apc, diagonal=False), lambda x: _off(_apc(_off(x)))),
    ),
    Mistake(
        "rows and columns are mixed up: entry (i, j) is corrected by the sum of row i and the sum of column j.",
        (partial(_apc, columns=-1), lambda x: _apc(x, rows=-2), lambda x: x - (x - _apc(x)).transpose(-1, -2))
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
    Mistake("negative values are cut off at 0: what is left has either sign.", (lambda x: _apc(x).clamp(min=0),)),
    Mistake("the sign is lost: what is left has either sign.", (lambda x: _apc(x).abs(),)),
    Mistake("the diagonal of the result is set to 0: leave it as it is.", (lambda x: _off(_apc(x)),)),
    Mistake(
        "other dimensions than the last two are summed over: sum over dim=-1 and over dim=-2.",
        (partial(_apc, rows=1, columns=0), lambda x: x - x.sum(0, True) * x.sum(1, True) / x.sum()),
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
        (lambda x: x - (x.abs() - _apc(x.abs())),),
    ),
    Mistake("it is divided by the correction: subtract it.", (lambda x: x / (x - _apc(x)),)),
    Mistake(
        "the matrix is symmetrised first: apc takes it as it is.",
        (lambda x: _apc(_symmetric(x)), lambda x: _apc(_symmetric(x) / 2)),
    ),
)


def _off(x: Tensor) -> Tensor:
    return x - torch.diag_embed(x.diagonal(dim1=-2, dim2=-1))


# --- attention_features


def attention_features(attentions: tuple[Tensor, ...]) -> Tensor:
    """Rao et al. 2021: cut, symmetrise, correct; layer after layer, head after head."""
    channels = []
    for layer in attentions:
        for head in layer[0]:
            channels.append(apc(symmetrize(head[1:-1, 1:-1])))
    return torch.stack(channels, dim=-1)


def _features(attentions, *, steps, first=1, last=1, order="layers") -> Tensor:
    """Any order of steps, any cut; steps: functions applied one after another, "cut" among them."""
    x = torch.stack([layer[0] for layer in attentions])  # (layers, heads, T, T)
    for step in steps:
        if step == "cut":
            end = x.shape[-1] - last
            x = x[..., first:end, first:end]
        else:
            x = step(x)
    if order == "heads":
        x = x.transpose(0, 1)
    return x.flatten(0, 1).permute(1, 2, 0)


def _symmetric(x: Tensor) -> Tensor:
    return x + x.transpose(-1, -2)


def _maps_first(attentions) -> Tensor:
    """(channels, L, L), as they are before the channels are moved back."""
    return _features(attentions, steps=("cut", _symmetric, _apc)).permute(2, 0, 1)


def _as_features(attentions) -> tuple[int, int, int]:
    length = attentions[0].shape[-1] - 2
    return length, length, len(attentions) * attentions[0].shape[1]


def _corrected_together(attentions) -> Tensor:
    x = _features(attentions, steps=("cut", _symmetric))
    summed = x.sum(dim=2)
    return x - (summed - _apc(summed))[:, :, None] / x.shape[2]


def _standard(x: Tensor) -> Tensor:
    return (x - x.mean((-1, -2), keepdim=True)) / x.std((-1, -2), keepdim=True)


def _rows_sum_to_one(x: Tensor) -> Tensor:
    return x / x.sum(-1, keepdim=True)


FEATURES_MISTAKES = (
    Mistake(
        "the special tokens are inside the sums of the correction: cut them before symmetrising and correcting.",
        (
            partial(_features, steps=(_symmetric, _apc, "cut")),
            partial(_features, steps=(_apc, "cut", _symmetric)),
            partial(_features, steps=(_apc, _symmetric, "cut")),
        ),
    ),
    Mistake(
        "the correction comes before symmetrising: symmetrise first, then correct.",
        (partial(_features, steps=("cut", _apc, _symmetric)),),
    ),
    Mistake(
        "the mean of the two directions is taken: ESM takes their sum.",
        (partial(_features, steps=("cut", lambda x: _symmetric(x) / 2, _apc)),),
    ),
    Mistake("the attentions are not symmetrised.", (partial(_features, steps=("cut", _apc)),)),
    Mistake("the average product correction is missing.", (partial(_features, steps=("cut", _symmetric)),)),
    Mistake(
        "two tokens are cut at one end: the first is <cls>, the last <eos>, one at each end.",
        (
            partial(_features, steps=("cut", _symmetric, _apc), first=2, last=0),
            partial(_features, steps=("cut", _symmetric, _apc), first=0, last=2),
        ),
    ),
    Mistake(
        "the channels run through heads first: all heads of layer 0 come first, then those of layer 1.",
        (partial(_features, steps=("cut", _symmetric, _apc), order="heads"),),
    ),
    Mistake(
        "the rows are made to sum to 1 again after the cut: leave the weights as they are.",
        (partial(_features, steps=("cut", _rows_sum_to_one, _symmetric, _apc)),),
    ),
    Mistake(
        "the dimensions are reshaped, which mixes channels and residues: permute(1, 2, 0) moves the channels back.",
        (lambda attentions: _maps_first(attentions).reshape(_as_features(attentions)),),
    ),
    Mistake(
        "the average product is taken over all channels at once: every map is corrected by its own sums.",
        (partial(_features, steps=("cut", _symmetric, partial(_apc, total="all"))), _corrected_together),
    ),
    Mistake(
        "the correction runs over other dimensions than the two of the residues.",
        (
            lambda attentions: _apc(_features(attentions, steps=("cut", _symmetric))),
            lambda attentions: _apc(_features(attentions, steps=("cut", _symmetric)), rows=1, columns=0),
        ),
    ),
    Mistake(
        "the attentions are neither symmetrised nor corrected.",
        (partial(_features, steps=("cut",)),),
    ),
    Mistake(
        "the larger of the two directions is taken: add them.",
        (partial(_features, steps=("cut", lambda x: torch.maximum(x, x.transpose(-1, -2)), _apc)),),
    ),
    Mistake(
        "the two directions are multiplied or subtracted: add them.",
        (
            partial(_features, steps=("cut", lambda x: x * x.transpose(-1, -2), _apc)),
            partial(_features, steps=("cut", lambda x: x - x.transpose(-1, -2), _apc)),
        ),
    ),
    Mistake(
        "logarithms are taken first: the attention weights are used as they are.",
        (partial(_features, steps=("cut", torch.log, _symmetric, _apc)),),
    ),
    Mistake(
        "a softmax is taken once more: the attention weights are used as they are.",
        (partial(_features, steps=(lambda x: x.softmax(-1), "cut", _symmetric, _apc)),),
    ),
    Mistake(
        "the diagonal is set to 0: leave it as it is.",
        (
            partial(_features, steps=("cut", _symmetric, _apc, _off)),
            partial(_features, steps=("cut", _off, _symmetric, _apc)),
            partial(_features, steps=("cut", _symmetric, _off, _apc)),
        ),
    ),
    Mistake(
        "negative values are cut off at 0: what the correction leaves has either sign.",
        (partial(_features, steps=("cut", _symmetric, _apc, torch.relu)),),
    ),
    Mistake(
        "every map is standardised at the end: leave it as the correction gives it.",
        (partial(_features, steps=("cut", _symmetric, _apc, _standard)),),
    ),
    Mistake(
        "the layers come in the wrong order: those of layer 0 are first.",
        (lambda attentions: attention_features(attentions[::-1]),),
    ),
    Mistake(
        "the heads come in the wrong order: head 0 of a layer is first.",
        (
            lambda attentions: attention_features(attentions).flip(-1),
            lambda attentions: attention_features([layer.flip(1) for layer in attentions]),
        ),
    ),
)

"""Week 12, contacts: from attention to precision at L, one entry at a time, as the papers write them.

References: Dunn et al. 2008, "Mutual information without the influence of phylogeny or entropy dramatically improves
residue contact prediction" (APC); Rao et al. 2021, "Transformer protein language models are unsupervised structure
learners" (features, precision).
"""

import math
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
        (lambda x: x + x.permute(*reversed(range(x.dim()))), lambda x: x + x.transpose(0, 1)),
    ),
    Mistake("the matrices are multiplied: the sum x + its transpose is wanted.", (lambda x: x @ x.transpose(-1, -2),)),
    Mistake(
        "one triangle is copied over the other: both entries of a pair count, x[i, j] + x[j, i].",
        (lambda x: x.triu() + x.triu(1).transpose(-1, -2), lambda x: x.tril() + x.tril(-1).transpose(-1, -2)),
    ),
    Mistake("the transpose alone is returned: add x to it.", (lambda x: x.transpose(-1, -2),)),
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
            lambda x: x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True) / x.sum((-1, -2), keepdim=True),
        ),
    ),
    Mistake(
        "the total runs over all matrices of the batch: every matrix is corrected by its own.",
        (partial(_apc, total="all"),),
    ),
    Mistake(
        "the diagonal is left out of the sums: ESM's convention includes it.",
        (partial(_apc, diagonal=False), lambda x: _off(_apc(_off(x)))),
    ),
    Mistake(
        "rows and columns are mixed up: entry (i, j) is corrected by the sum of row i and the sum of column j.",
        (partial(_apc, columns=-1), lambda x: _apc(x, rows=-2), lambda x: x - (x - _apc(x)).transpose(-1, -2)),
    ),
    Mistake(
        "the means of rows and columns are multiplied without dividing by the mean of all.",
        (lambda x: x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True),),
    ),
    Mistake(
        "the correction is additive (row mean + column mean - mean of all): the average product is wanted.",
        (lambda x: x - x.mean(-1, keepdim=True) - x.mean(-2, keepdim=True) + x.mean((-1, -2), keepdim=True),),
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
)


# --- precision_at_l


def precision_at_l(scores, contacts, min_separation=6, max_separation=None, fraction=1.0) -> float:
    """Of the best int(fraction * L) pairs in range, each once, the share that touches."""
    length = len(scores)
    pairs = []
    for i in range(length):
        for j in range(i + 1, length):
            if j - i >= min_separation and (max_separation is None or j - i <= max_separation):
                pairs.append((float(scores[i][j]), bool(contacts[i][j])))
    if not pairs:
        return math.nan
    best = sorted(pairs, reverse=True)[: max(1, int(fraction * length))]
    return sum(touch for _, touch in best) / len(best)


def _precision(
    scores,
    contacts,
    min_separation=6,
    max_separation=None,
    fraction=1.0,
    *,
    pairs="once",
    low=0,
    high=0,
    count="length",
    over="taken",
    descending=True,
) -> float:
    """precision_at_l with something wrong; right with the defaults. low, high: how far the ends are off."""
    n = len(scores)
    i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    apart = j - i if pairs == "once" else (j - i).abs()
    kept = apart >= max(min_separation + low, 1 if pairs == "once" else 0)
    if max_separation is not None and high is not None:
        kept &= apart <= max_separation + high
    if not kept.any():
        return math.nan
    touch = contacts[kept].bool()
    taken = {
        "length": int(fraction * n),
        "contacts": int(fraction * touch.sum() / (1 if pairs == "once" else 2)),
        "all contacts": int(fraction * contacts.bool().triu(1).sum()),
        "whole length": n,
        "up": math.ceil(fraction * n),
        "pairs": int(fraction * len(touch)),
        "twice": int(2 * fraction * n),
    }[count]
    best = scores[kept].argsort(descending=descending)[: max(1, taken)]
    hits = touch[best].sum().item()
    return hits / {"taken": len(best), "contacts": touch.sum().item() or 1, "asked": max(1, taken)}[over]


PRECISION_MISTAKES = (
    Mistake(
        "every pair counts twice, as (i, j) and (j, i): only i < j is a pair.",
        (partial(_precision, pairs="twice"),),
    ),
    Mistake(
        "the separation is off by one: pairs with j - i equal to min_separation and to max_separation count too.",
        (partial(_precision, low=1), partial(_precision, high=-1), partial(_precision, low=1, high=-1)),
    ),
    Mistake(
        "the separation is off by one: a pair nearer than min_separation is counted.",
        (partial(_precision, low=-1),),
    ),
    Mistake("min_separation is not used: neighbours in the chain touch anyway.", (partial(_precision, low=-99),)),
    Mistake("max_separation is not used.", (partial(_precision, high=None),)),
    Mistake(
        "L is taken as the number of contacts: it is the length of the protein.",
        (partial(_precision, count="contacts"), partial(_precision, count="all contacts")),
    ),
    Mistake("fraction is not used: int(fraction * L) pairs are taken.", (partial(_precision, count="whole length"),)),
    Mistake("fraction * L is rounded up: int(fraction * L) rounds down.", (partial(_precision, count="up"),)),
    Mistake("fraction is taken of all pairs: it is a fraction of L.", (partial(_precision, count="pairs"),)),
    Mistake(
        "the hits are divided by the number of contacts, which is recall: divide by the number of pairs taken.",
        (partial(_precision, over="contacts"),),
    ),
    Mistake(
        "where there are fewer pairs than asked for, the hits are divided by those asked for: divide by those taken.",
        (partial(_precision, over="asked"),),
    ),
    Mistake(
        "the lowest scores are taken: the highest are the predicted contacts.", (partial(_precision, descending=False),)
    ),
)

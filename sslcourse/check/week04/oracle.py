"""Week 4: the contrastive loss, one number at a time, and the mistakes that have a name.

Reference: Chen et al. 2020, "A simple framework for contrastive learning of visual representations", eq. 1.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from math import log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def unit(z: Tensor) -> Tensor:
    """Every row divided by its length."""
    return torch.stack([row / row.dot(row).sqrt() for row in z])


def as_is(z: Tensor) -> Tensor:
    return z


def unit_columns(z: Tensor) -> Tensor:
    return z / z.norm(dim=0)


def _whole_views(z: Tensor) -> Tensor:
    """Two views, one below the other, each divided by its own columns' lengths."""
    return torch.cat([unit_columns(view) for view in z.chunk(2)])


def squared(z: Tensor) -> Tensor:
    """(N, N) squared distances."""
    return (z[:, None] - z).square().sum(dim=2)


def cosines(z0: Tensor, z1: Tensor) -> Tensor:
    """(N,) cosine of both views of each image."""
    return (unit(z0) * unit(z1)).sum(dim=1)


OTHER_LENGTHS = (
    lambda z: z / z.square().sum(dim=1, keepdim=True),
    lambda z: z / z.norm(dim=1, keepdim=True).sqrt(),
    lambda z: z / z.abs().sum(dim=1, keepdim=True),
    lambda z: z / z.abs().amax(dim=1, keepdim=True),
    lambda z: z / z.sum(dim=1, keepdim=True),
    lambda z: z.softmax(dim=1),
)


# --- nt_xent


def nt_xent(z0: Tensor, z1: Tensor, temperature: float = 0.5) -> Tensor:
    """SimCLR, eq. 1, averaged over all 2N embeddings."""
    z, n = unit(torch.cat([z0, z1])), len(z0)
    loss = 0.0
    for i in range(2 * n):
        candidates = sum((z[i].dot(z[j]) / temperature).exp() for j in range(2 * n) if j != i)
        positive = (z[i].dot(z[(i + n) % (2 * n)]) / temperature).exp()
        loss = loss - (positive / candidates).log()
    return loss / (2 * n)


def _nt_xent(
    z0: Tensor,
    z1: Tensor,
    temperature: float = 0.5,
    *,
    lengths=unit,
    compare=lambda z: z @ z.T,
    sharpen=lambda s, t: s / t,
    among: str = "others",
    anchors: slice = slice(None),
    shift: tuple[int, int] = (0, 0),
    end=torch.mean,
    last: bool = False,
) -> Tensor:
    """nt_xent with something wrong; right with the defaults.

    compare: all similarities; sharpen: what the temperature does to them; among: who the candidates are; anchors: the
    rows averaged over, of 0 (view 0) and 1 (view 1); shift: how far the positive is off, for the anchors of either
    view; end: from one loss a row to the result.
    """
    z, n = lengths(torch.cat([z0, z1])), len(z0)
    similarity = sharpen(compare(z), temperature)  # (2N, 2N)
    view = torch.arange(2).repeat_interleave(n)
    positive = (torch.arange(2 * n) + n + torch.tensor(shift)[view]) % (2 * n)
    if last:  # what would lie behind the last column is cut off there
        positive[n - 1] = 2 * n - 1
    itself = torch.eye(2 * n, dtype=torch.bool)
    answer = torch.zeros_like(itself).scatter(1, positive[:, None], True)
    across = view[:, None] != view
    weights = {
        "others": ~itself,
        "all": torch.ones_like(itself),
        "other view": across,
        "own view": ~across & ~itself | answer,
        "negatives": ~itself & ~answer,
        "positive twice": (~itself).double() + answer,
        "a mean": ~itself / (2 * n - 1),
        "a mean of negatives": (~itself & ~answer) / max(2 * n - 2, 1),
    }
    if among == "zero":  # exp(0) = 1 stands for the embedding itself
        candidates = similarity.masked_fill(itself, 0).logsumexp(dim=1)
    else:
        candidates = (similarity + weights[among].double().log()).logsumexp(dim=1)
    loss = candidates - similarity[answer]  # (2N,)
    return end(loss.view(2, n)[anchors])


def _neighbours_as_pairs(z0: Tensor, z1: Tensor, temperature: float = 0.5) -> Tensor:
    z = torch.cat([z0, z1])
    return _nt_xent(z[0::2], z[1::2], temperature)


def _softmax_twice(z0: Tensor, z1: Tensor, temperature: float = 0.5, *, among: str = "others") -> Tensor:
    """The cross-entropy of probabilities, which it takes for logits."""

    def probabilities(similarity: Tensor, t: float) -> Tensor:
        itself = torch.eye(len(similarity), dtype=torch.bool)
        return (similarity / t).masked_fill(itself, -torch.inf).softmax(dim=1)

    return _nt_xent(z0, z1, temperature, sharpen=probabilities, among=among)


def _wrong(**what) -> partial:
    return partial(_nt_xent, **what)


def _times(factor: Callable[[int, float], float]) -> Callable:
    """nt_xent times a factor of N and the temperature."""
    return lambda z0, z1, t=0.5: factor(len(z0), t) * _nt_xent(z0, z1, t)


_VIEW_0, _VIEW_1 = slice(0, 1), slice(1, 2)
OTHER_LENGTH = (
    "the embeddings are divided by something else than their length, the root of the sum of squares of a row."
)

NT_XENT_MISTAKES = (
    Mistake(
        "the positive is taken to be a neighbouring row: with the views one after the other it is N rows further.",
        tuple(lambda z0, z1, t=0.5, by=by: _nt_xent(z0, z1, t, shift=(by - len(z0), by - len(z0))) for by in (1, -1)),
    ),
    Mistake(
        "the mean of the batch is taken off first: the cosine is one of the embeddings as they are.",
        tuple(
            partial(_nt_xent, lengths=lengths)
            for lengths in (lambda z: unit(z - z.mean(dim=0)), lambda z: unit(unit(z) - unit(z).mean(dim=0)))
        ),
    ),
    Mistake(
        "the temperature is exponentiated: divide by it as it is.",
        (
            partial(_nt_xent, sharpen=lambda s, t: s / torch.tensor(t).exp()),
            partial(_nt_xent, sharpen=lambda s, t: s * torch.tensor(t).exp()),
        ),
    ),
    Mistake(
        "the embeddings are not normalised: divide every row by its length before comparing.",
        (_wrong(lengths=as_is),),
    ),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (_wrong(lengths=unit_columns), _wrong(lengths=lambda z: z / z.norm()), _wrong(lengths=_whole_views)),
    ),
    Mistake(OTHER_LENGTH, tuple(_wrong(lengths=lengths) for lengths in OTHER_LENGTHS)),
    Mistake(
        "the similarity of a view with itself is still in the denominator: leave the diagonal out.",
        (_wrong(among="all"),),
    ),
    Mistake(
        "the diagonal is set to 0, and exp(0) = 1 stays in the denominator: set it to minus infinity.",
        (_wrong(among="zero"),),
    ),
    Mistake(
        "the positives are off by one: the other view of row i is row (i + N) mod 2N, and one column earlier for i < N "
        "where the diagonal was cut out.",
        (
            *(_wrong(shift=shift) for shift in product((-1, 0, 1), repeat=2) if shift != (0, 0)),
            _wrong(shift=(1, 0), last=True),
        ),
    ),
    Mistake(
        "neighbouring rows (0 and 1, 2 and 3, ...) are taken for pairs: after torch.cat, the other view is N away.",
        (_neighbours_as_pairs,),
    ),
    Mistake(
        "every embedding is taken for its own positive: the answer of row i is row (i + N) mod 2N.",
        tuple(
            lambda z0, z1, t=0.5, among=among: _nt_xent(z0, z1, t, shift=(-len(z0), -len(z0)), among=among)
            for among in ("all", "zero")
        ),
    ),
    Mistake(
        "only one view's embeddings are anchors: the mean is over all 2N, the other view's ask the same question.",
        (_wrong(anchors=_VIEW_0), _wrong(anchors=_VIEW_1)),
    ),
    Mistake(
        "only one view's embeddings are anchors, and the negatives of that view are missing: there are 2N anchors with "
        "2N-1 candidates each.",
        (_wrong(anchors=_VIEW_0, among="other view"), _wrong(anchors=_VIEW_1, among="other view")),
    ),
    Mistake(
        "one view's negatives are missing: the candidates of an embedding are all 2N-1 others, from both views.",
        (_wrong(among="other view"), _wrong(among="own view")),
    ),
    Mistake(
        "the positive is missing from the denominator: it is one of the 2N-1 candidates.",
        (_wrong(among="negatives"),),
    ),
    Mistake(
        "the positive is twice in the denominator: it is one of the 2N-1 candidates already.",
        (_wrong(among="positive twice"),),
    ),
    Mistake(
        "the negatives are left out: the softmax runs over all 2N-1 candidates, of which one is the positive.",
        (
            lambda z0, z1, t=0.5: -cosines(z0, z1).mean() / t,
            lambda z0, z1, t=0.5: -cosines(z0, z1).mean(),
            lambda z0, z1, t=0.5: 1 - cosines(z0, z1).mean(),
        ),
    ),
    Mistake(
        "the denominator is a mean: it is the sum over the candidates.",
        (_wrong(among="a mean"), _wrong(among="a mean of negatives")),
    ),
    Mistake(
        "a softmax stands before the cross-entropy, which has one inside: pass it the similarities themselves.",
        tuple(partial(_softmax_twice, among=among) for among in ("others", "all")),
    ),
    Mistake(
        "the logarithm and the mean are swapped: take the logarithm of each probability, then the mean over all 2N.",
        (
            _wrong(end=lambda loss: -(-loss).exp().mean().log()),
            _wrong(end=lambda loss: loss.exp().mean().log()),
        ),
    ),
    Mistake(
        "the logarithm is missing: the loss is minus the logarithm of the probability of the positive.",
        tuple(
            _wrong(end=end)
            for end in (
                lambda loss: -(-loss).exp().mean(),
                lambda loss: (-loss).exp().mean(),
                lambda loss: 1 - (-loss).exp().mean(),
            )
        ),
    ),
    Mistake("the logarithm is not the natural one.", tuple(_times(lambda n, t, b=b: 1 / log(b)) for b in (2, 10))),
    Mistake(
        "negative similarities are cut off or lose their sign: the cosine runs from -1 to 1, all of it counts.",
        (_wrong(compare=lambda z: (z @ z.T).clamp(min=0)), _wrong(compare=lambda z: (z @ z.T).abs())),
    ),
    Mistake(
        "distances stand where the cosine similarities should: the logits are z_i . z_j / temperature.",
        (
            _wrong(compare=lambda z: -squared(z).sqrt()),
            _wrong(compare=lambda z: -squared(z)),
            _wrong(compare=lambda z: squared(z).sqrt()),
            _wrong(compare=lambda z: squared(z)),
        ),
    ),
    Mistake(
        "the losses are summed: take the mean over all 2N embeddings.",
        (_times(lambda n, t: 2 * n), _times(lambda n, t: n), _times(lambda n, t: 2)),
    ),
    Mistake("the loss is halved once too often: the mean over all 2N is all.", (_times(lambda n, t: 0.5),)),
    Mistake(
        "the mean is divided by the number of embeddings once more.",
        (_times(lambda n, t: 1 / n), _times(lambda n, t: 1 / (2 * n))),
    ),
    Mistake("the similarities are multiplied by the temperature: divide by it.", (_wrong(sharpen=lambda s, t: s * t),)),
    Mistake("the similarities are divided by the temperature twice.", (_wrong(sharpen=lambda s, t: s / t**2),)),
    Mistake(
        "the root of the temperature divides the similarities: divide by the temperature itself.",
        (_wrong(sharpen=lambda s, t: s / t**0.5),),
    ),
    Mistake(
        "the temperature reaches only the positives or only the denominator: it divides every similarity.",
        (
            lambda z0, z1, t=0.5: _nt_xent(z0, z1, t) + (1 / t - 1) * cosines(z0, z1).mean(),
            lambda z0, z1, t=0.5: _nt_xent(z0, z1, 1.0) - (1 / t - 1) * cosines(z0, z1).mean(),
        ),
    ),
    Mistake(
        "the argument temperature is not used: every similarity is divided by it.",
        tuple(_wrong(sharpen=lambda s, _, t=t: s / t) for t in (0.07, 0.1, 0.2, 0.5, 1.0)),
    ),
    Mistake(
        "the temperature scales the loss: divide the similarities by it, and nothing else.",
        tuple(_times(factor) for factor in (lambda n, t: t, lambda n, t: 1 / t, lambda n, t: 2 * t))
        + tuple(lambda z0, z1, t=0.5, sign=sign: t**sign * _nt_xent(z0, z1, 1.0) for sign in (1, -1)),
    ),
    Mistake("the sign is wrong: the loss is minus the logarithm of a probability.", (_times(lambda n, t: -1),)),
)

"""Week 12, contacts: the features of attention maps, layer after layer and head after head, as the paper writes them.

Reference: Rao et al. 2021, "Transformer protein language models are unsupervised structure learners".
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week12.oracle import apc, corrected, off_diagonal, symmetric, symmetrize


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


def _maps_first(attentions) -> Tensor:
    """(channels, L, L), as they are before the channels are moved back."""
    return _features(attentions, steps=("cut", symmetric, corrected)).permute(2, 0, 1)


def _as_features(attentions) -> tuple[int, int, int]:
    length = attentions[0].shape[-1] - 2
    return length, length, len(attentions) * attentions[0].shape[1]


def _corrected_together(attentions) -> Tensor:
    x = _features(attentions, steps=("cut", symmetric))
    summed = x.sum(dim=2)
    return x - (summed - corrected(summed))[:, :, None] / x.shape[2]


def _standard(x: Tensor) -> Tensor:
    return (x - x.mean((-1, -2), keepdim=True)) / x.std((-1, -2), keepdim=True)


def _rows_sum_to_one(x: Tensor) -> Tensor:
    return x / x.sum(-1, keepdim=True)


FEATURES_MISTAKES = (
    Mistake(
        "the special tokens are inside the sums of the correction: cut them before symmetrising and correcting.",
        (
            partial(_features, steps=(symmetric, corrected, "cut")),
            partial(_features, steps=(corrected, "cut", symmetric)),
            partial(_features, steps=(corrected, symmetric, "cut")),
        ),
    ),
    Mistake(
        "the correction comes before symmetrising: symmetrise first, then correct.",
        (partial(_features, steps=("cut", corrected, symmetric)),),
    ),
    Mistake(
        "the mean of the two directions is taken: ESM takes their sum.",
        (partial(_features, steps=("cut", lambda x: symmetric(x) / 2, corrected)),),
    ),
    Mistake("the attentions are not symmetrised.", (partial(_features, steps=("cut", corrected)),)),
    Mistake("the average product correction is missing.", (partial(_features, steps=("cut", symmetric)),)),
    Mistake(
        "two tokens are cut at one end: the first is <cls>, the last <eos>, one at each end.",
        (
            partial(_features, steps=("cut", symmetric, corrected), first=2, last=0),
            partial(_features, steps=("cut", symmetric, corrected), first=0, last=2),
        ),
    ),
    Mistake(
        "the channels run through heads first: all heads of layer 0 come first, then those of layer 1.",
        (partial(_features, steps=("cut", symmetric, corrected), order="heads"),),
    ),
    Mistake(
        "the rows are made to sum to 1 again after the cut: leave the weights as they are.",
        (partial(_features, steps=("cut", _rows_sum_to_one, symmetric, corrected)),),
    ),
    Mistake(
        "the dimensions are reshaped, which mixes channels and residues: permute(1, 2, 0) moves the channels back.",
        (lambda attentions: _maps_first(attentions).reshape(_as_features(attentions)),),
    ),
    Mistake(
        "the average product is taken over all channels at once: every map is corrected by its own sums.",
        (partial(_features, steps=("cut", symmetric, partial(corrected, total="all"))), _corrected_together),
    ),
    Mistake(
        "the correction runs over other dimensions than the two of the residues.",
        (
            lambda attentions: corrected(_features(attentions, steps=("cut", symmetric))),
            lambda attentions: corrected(_features(attentions, steps=("cut", symmetric)), rows=1, columns=0),
        ),
    ),
    Mistake(
        "the attentions are neither symmetrised nor corrected.",
        (partial(_features, steps=("cut",)),),
    ),
    Mistake(
        "the larger of the two directions is taken: add them.",
        (partial(_features, steps=("cut", lambda x: torch.maximum(x, x.transpose(-1, -2)), corrected)),),
    ),
    Mistake(
        "the two directions are multiplied or subtracted: add them.",
        (
            partial(_features, steps=("cut", lambda x: x * x.transpose(-1, -2), corrected)),
            partial(_features, steps=("cut", lambda x: x - x.transpose(-1, -2), corrected)),
        ),
    ),
    Mistake(
        "logarithms are taken first: the attention weights are used as they are.",
        (partial(_features, steps=("cut", torch.log, symmetric, corrected)),),
    ),
    Mistake(
        "a softmax is taken once more: the attention weights are used as they are.",
        (partial(_features, steps=(lambda x: x.softmax(-1), "cut", symmetric, corrected)),),
    ),
    Mistake(
        "the diagonal is set to 0: leave it as it is.",
        (
            partial(_features, steps=("cut", symmetric, corrected, off_diagonal)),
            partial(_features, steps=("cut", off_diagonal, symmetric, corrected)),
            partial(_features, steps=("cut", symmetric, off_diagonal, corrected)),
        ),
    ),
    Mistake(
        "negative values are cut off at 0: what the correction leaves has either sign.",
        (partial(_features, steps=("cut", symmetric, corrected, torch.relu)),),
    ),
    Mistake(
        "every map is standardised at the end: leave it as the correction gives it.",
        (partial(_features, steps=("cut", symmetric, corrected, _standard)),),
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

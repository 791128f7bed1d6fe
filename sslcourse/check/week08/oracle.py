"""Week 8, masked autoencoders: one patch at a time, as the paper writes them.

References: He et al. 2022, "Masked autoencoders are scalable vision learners", section 3; their code for the variance
(unbiased, plus 1e-6).
"""

from collections.abc import Callable
from functools import partial
from math import sqrt

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week06.oracle import block, layer_norm

# --- the network


def encode_visible(patches: Tensor, mask: Tensor, weights: dict[str, Tensor], depth: int, heads: int) -> Tensor:
    """Class token and visible patches, each with the embedding of its own place, through the encoder's blocks.

    patches: (N, L, D), embedded; weights: the encoder's state; returns (N, 1 + visible, D).
    """
    return _encode(patches, mask, weights, depth, heads)


def _encode(
    patches: Tensor,
    mask: Tensor,
    weights: dict[str, Tensor],
    depth: int,
    heads: int,
    *,
    take: Callable = lambda row: [i for i, masked in enumerate(row) if not masked],
    place: Callable = lambda i, k: 1 + i,
    times: int = 1,
    first_row: bool = False,
    mixed: bool = False,
    blocks: bool = True,
    norm: bool = True,
) -> Tensor:
    """encode_visible with something wrong; right with the defaults.

    take: from a row of the mask to the patches that are taken; place: from a patch's number, and how many were taken
    before it, to the position embedding that it gets (None for none), so many times; mixed: the patches of all images
    in one list are dealt out one by one, as from a wrong reshape.
    """
    places = times * weights["pos_embed"][0]
    mask = mask[:1].expand_as(mask) if first_row else mask
    sequences = []
    for image, row in zip(patches, mask.tolist(), strict=True):
        tokens = [weights["cls_token"][0, 0] + places[0]]
        for k, i in enumerate(take(row)):
            at = place(i, k)
            tokens.append(image[i] if at is None else image[i] + places[at])
        sequences.append(torch.stack(tokens))
    x = torch.stack(sequences)
    if times > 1:
        x[:, 0] = weights["cls_token"][0, 0] + weights["pos_embed"][0, 0]
    if mixed:
        x = torch.cat([x[:, :1], x[:, 1:].reshape(x.shape[1] - 1, len(x), -1).transpose(0, 1)], dim=1)
    for number in range(depth if blocks else 0):
        x = block(x, inside(weights, f"blocks.{number}."), heads)
    return layer_norm(x, weights["norm.weight"], weights["norm.bias"]) if norm else x


def _picked_late(patches: Tensor, mask: Tensor, *rest, hide: Callable | None = None, **what) -> Tensor:
    """All patches, or what `hide` leaves of them, are encoded; the visible ones are picked from the result."""
    patches = patches if hide is None else hide(patches, mask)
    out = _encode(patches, torch.zeros_like(mask), *rest, **what)
    return torch.stack([torch.cat([x[:1], x[1:][~m]]) for x, m in zip(out, mask, strict=True)])


def inside(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}


ENCODER_MISTAKES = (
    Mistake(
        "the whole image is encoded and the visible tokens are picked afterwards: what is masked leaks into them "
        "through attention. Pick first, then encode.",
        (
            _picked_late,
            partial(_picked_late, hide=lambda patches, mask: patches * ~mask[..., None]),
            partial(_picked_late, place=lambda i, k: None),
        ),
    ),
    Mistake(
        "the patches of different images are mixed: x[~mask] holds those of the first image first, so its first "
        "dimension splits into (N, visible).",
        (partial(_encode, mixed=True),),
    ),
    Mistake("the mask of the first image is used for all images.", (partial(_encode, first_row=True),)),
    Mistake("the positions are added twice.", (partial(_encode, times=2),)),
    Mistake(
        "the encoder's blocks or its last norm are left out: self.encoder.encode applies both.",
        (partial(_encode, norm=False), partial(_encode, blocks=False), partial(_encode, blocks=False, norm=False)),
    ),
    Mistake(
        "the mask is inverted: True is a masked patch, and the encoder sees the others.",
        (
            partial(_encode, take=lambda row: [i for i, masked in enumerate(row) if masked]),
            partial(_encode, take=lambda row: [i for i, masked in enumerate(row) if masked], place=lambda i, k: 1 + k),
        ),
    ),
    Mistake(
        "the position embeddings of the visible patches are lost: add pos_embed before the patches are picked.",
        (partial(_encode, place=lambda i, k: None),),
    ),
    Mistake(
        "the visible patches get the embeddings of the first places, not of their own: add pos_embed before the "
        "patches are picked.",
        (partial(_encode, place=lambda i, k: 1 + k),),
    ),
    Mistake(
        "the position embeddings are shifted by one: the first of pos_embed belongs to the class token.",
        (partial(_encode, place=lambda i, k: i), partial(_encode, place=lambda i, k: k)),
    ),
    Mistake(
        "the first patches are taken, whatever the mask says.",
        (partial(_encode, take=lambda row: list(range(row.count(False)))),),
    ),
)


def decode(hidden: Tensor, mask: Tensor, weights: dict[str, Tensor], depth: int, heads: int) -> Tensor:
    """The decoder: visible tokens back at their places, mask tokens at the others; (N, 1 + visible, D) to (N, L, P)."""
    narrow = hidden @ weights["decoder_embed.weight"].T + weights["decoder_embed.bias"]
    sequences = []
    for tokens, row in zip(narrow, mask.tolist(), strict=True):
        coming = iter(tokens)
        placed = [next(coming)] + [weights["mask_token"][0, 0] if masked else next(coming) for masked in row]
        sequences.append(torch.stack(placed) + weights["decoder_pos_embed"][0])
    x = torch.stack(sequences)
    for number in range(depth):
        x = block(x, inside(weights, f"decoder_blocks.{number}."), heads)
    x = layer_norm(x, weights["decoder_norm.weight"], weights["decoder_norm.bias"])
    return (x @ weights["decoder_pred.weight"].T + weights["decoder_pred.bias"])[:, 1:]


# --- the loss


def mae_loss(predictions: Tensor, patches: Tensor, mask: Tensor, norm_pix: bool = True) -> Tensor:
    """Mean over all masked patches of the mean squared error, against patches of mean 0 and variance 1."""
    losses = []
    for n, row in enumerate(mask.tolist()):
        for i, masked in enumerate(row):
            if not masked:
                continue
            target = patches[n, i]
            if norm_pix:
                mean = target.sum() / len(target)
                variance = (target - mean).square().sum() / (len(target) - 1)
                target = (target - mean) / sqrt(variance + 1e-6)
            losses.append((predictions[n, i] - target).square().sum() / len(target))
    return sum(losses) / len(losses)


def mae_loss_per_image(predictions: Tensor, patches: Tensor, mask: Tensor, norm_pix: bool = True) -> Tensor:
    """The same, averaged within each image first: another reading, which differs where the counts do."""
    rows = zip(predictions.split(1), patches.split(1), mask.split(1), strict=True)
    losses = [mae_loss(p, t, m, norm_pix) for p, t, m in rows]
    return sum(losses) / len(losses)


def _mae_loss(
    predictions: Tensor,
    patches: Tensor,
    mask: Tensor,
    norm_pix: bool = True,
    *,
    over: tuple[int, ...] = (2,),
    unbiased: bool = True,
    centre: bool = True,
    divide: Callable = lambda variance: (variance + 1e-6).sqrt(),
    both: bool = False,
    prepare: Callable = lambda x: x,
    always: bool | None = None,
    error: Callable = lambda d: d.square().mean(dim=2),
    reduce: Callable = lambda loss, mask: loss[mask].mean(),
) -> Tensor:
    """mae_loss with something wrong; right with the defaults."""

    def normalised(x: Tensor) -> Tensor:
        x = prepare(x)
        variance = x.var(dim=over, keepdim=True, unbiased=unbiased)
        return (x - x.mean(dim=over, keepdim=True) * centre) / divide(variance)

    if norm_pix if always is None else always:
        patches = normalised(patches)
        predictions = normalised(predictions) if both else predictions
    return reduce(error(predictions - patches), mask)


def _wrong(**what) -> partial:
    return partial(_mae_loss, **what)


MAE_LOSS_MISTAKES = (
    Mistake(
        "the loss runs over all patches: only the masked ones count.",
        (_wrong(reduce=lambda loss, mask: loss.mean()),),
    ),
    Mistake(
        "the loss runs over the visible patches, which the network has seen: True in the mask is masked.",
        (_wrong(reduce=lambda loss, mask: loss[~mask].mean()),),
    ),
    Mistake(
        "the sum over the masked patches is divided by the number of all: divide by the number of masked ones.",
        (_wrong(reduce=lambda loss, mask: (loss * mask).mean()),),
    ),
    Mistake(
        "the masked patches are summed: take the mean over them.",
        (_wrong(reduce=lambda loss, mask: loss[mask].sum()),),
    ),
    Mistake(
        "the values within a patch are summed: take the mean over them.",
        (_wrong(error=lambda d: d.square().sum(dim=2)),),
    ),
    Mistake(
        "the normalisation runs over the batch: mean and variance are those of each patch by itself, over its values.",
        (_wrong(over=(0,)), _wrong(over=(0, 1, 2)), _wrong(over=(0, 1))),
    ),
    Mistake(
        "the normalisation runs over all patches of an image: mean and variance are those of each patch by itself.",
        (_wrong(over=(1, 2)), _wrong(over=(1,))),
    ),
    Mistake(
        "the variance is the biased one: divide the sum of squares by P - 1, as torch.var does by default.",
        (_wrong(unbiased=False), _wrong(unbiased=False, divide=lambda v: v.sqrt() + 1e-6)),
    ),
    Mistake(
        "the patch is divided by its variance: by its square root, so that the variance becomes 1.",
        (_wrong(divide=lambda v: v + 1e-6), _wrong(divide=lambda v: v)),
    ),
    Mistake("the mean of the patch is not subtracted.", (_wrong(centre=False),)),
    Mistake("the patch is not divided by its standard deviation.", (_wrong(divide=torch.ones_like),)),
    Mistake("the predictions are normalised too: only the target is.", (_wrong(both=True),)),
    Mistake(
        "norm_pix is not used: with norm_pix=False the target is the patch as it is.",
        (_wrong(always=True), _wrong(always=False)),
    ),
    Mistake(
        "the error is not squared: it is the mean squared error.",
        (
            _wrong(error=lambda d: d.abs().mean(dim=2)),
            _wrong(error=lambda d: torch.where(d.abs() < 1, d.square() / 2, d.abs() - 0.5).mean(dim=2)),
            _wrong(error=lambda d: d.norm(dim=2)),
        ),
    ),
    Mistake("the error is halved.", (_wrong(error=lambda d: d.square().mean(dim=2) / 2),)),
    Mistake(
        "the sum is divided by the number of images: by the number of masked patches.",
        (_wrong(reduce=lambda loss, mask: loss[mask].sum() / len(mask)),),
    ),
    Mistake(
        "the target is divided by its length, or brought to between 0 and 1: by its standard deviation.",
        (
            _wrong(divide=lambda v: 1, centre=False, prepare=lambda x: x / x.norm(dim=2, keepdim=True)),
            _wrong(
                divide=lambda v: 1,
                centre=False,
                prepare=lambda x: (
                    (x - x.amin(2, keepdim=True)) / (x.amax(2, keepdim=True) - x.amin(2, keepdim=True) + 1e-6)
                ),
            ),
        ),
    ),
    Mistake(
        "the root of the mean squared error is taken.",
        (
            _wrong(error=lambda d: d.square().mean(dim=2).sqrt()),
            _wrong(reduce=lambda loss, mask: loss[mask].mean().sqrt()),
        ),
    ),
)

"""Week 8, the loss of masked autoencoders: one patch at a time, as the paper writes it.

References: He et al. 2022, "Masked autoencoders are scalable vision learners", section 3; their code for the variance
(unbiased, plus 1e-6).
"""

from collections.abc import Callable
from functools import partial
from math import sqrt

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


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
    change: Callable = lambda predictions: predictions,
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

    predictions = change(predictions)
    if norm_pix if always is None else always:
        patches = normalised(patches)
        predictions = normalised(predictions) if both else predictions
    return reduce(error(predictions - patches), mask)


def _wrong(**what) -> partial:
    return partial(_mae_loss, **what)


def _back_in_pixels(predictions: Tensor, patches: Tensor, mask: Tensor, norm_pix: bool = True) -> Tensor:
    if norm_pix:
        spread = (patches.var(dim=2, keepdim=True) + 1e-6).sqrt()
        predictions = predictions * spread + patches.mean(dim=2, keepdim=True)
    return (predictions - patches).square().mean(dim=2)[mask].mean()


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
        (
            _wrong(reduce=lambda loss, mask: loss[mask].sum()),
            _wrong(reduce=lambda loss, mask: loss[mask].sum(), error=lambda d: d.square().sum(dim=2)),
        ),
    ),
    Mistake(
        "the values within a patch are summed: take the mean over them.",
        (_wrong(error=lambda d: d.square().sum(dim=2)),),
    ),
    Mistake(
        "the normalisation runs over the batch: mean and variance are those of each patch by itself, over its values.",
        (
            _wrong(over=(0,)),
            _wrong(over=(0, 1, 2)),
            _wrong(over=(0, 1)),
            lambda p, t, m, norm_pix=True: _mae_loss(p[m][None], t[m][None], m[m][None], norm_pix, over=(1,)),
        ),
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
    Mistake(
        "the predictions are normalised too: only the target is.",
        (
            _wrong(both=True),
            _wrong(
                change=lambda x: (x - x.mean(2, keepdim=True)) / (x.var(2, keepdim=True) + 1e-6).sqrt(),
            ),
        ),
    ),
    Mistake(
        "the predictions are squeezed into [0, 1], by a sigmoid or by cutting off: take them as they are.",
        (_wrong(change=torch.sigmoid), _wrong(change=lambda x: x.clamp(0, 1))),
    ),
    Mistake(
        "the predictions are brought back to pixels: it is the normalised patch that they are compared with.",
        (_back_in_pixels,),
    ),
    Mistake(
        "the sign is wrong: the error is what becomes small.", (_wrong(reduce=lambda loss, mask: -loss[mask].mean()),)
    ),
    Mistake(
        "the sum is divided by the number of visible patches, or by one more than the masked ones: by the masked ones.",
        (
            _wrong(reduce=lambda loss, mask: loss[mask].sum() / (~mask).sum()),
            _wrong(reduce=lambda loss, mask: loss[mask].sum() / (mask.sum() + 1)),
        ),
    ),
    Mistake(
        "only the first image counts: take the mean over the masked patches of all.",
        (_wrong(reduce=lambda loss, mask: loss[0][mask[0]].mean()),),
    ),
    Mistake(
        "patches are compared by cosine: it is the mean squared error.",
        (
            lambda p, t, m, norm_pix=True: 1 - torch.cosine_similarity(p, t, dim=2)[m].mean(),
            lambda p, t, m, norm_pix=True: -torch.cosine_similarity(p, t, dim=2)[m].mean(),
        ),
    ),
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

# What only nearly flat patches tell apart.
NEARLY_FLAT = (
    (
        "1e-6 is added to the standard deviation: add it to the variance, before the root.",
        _wrong(divide=lambda v: v.sqrt() + 1e-6),
    ),
    *(
        (
            f"{what} is added to the variance: it is 1e-6.",
            _wrong(divide=lambda v, eps=eps: (v + eps).sqrt()),
        )
        for what, eps in (("1e-5", 1e-5), ("1e-4", 1e-4), ("less than 1e-6", 1e-8))
    ),
    *(
        (
            f"{eps:.0e} is added to the standard deviation: add 1e-6 to the variance, before the root.".replace(
                "e-0", "e-"
            ),
            _wrong(divide=lambda v, eps=eps: v.sqrt() + eps),
        )
        for eps in (1e-5, 1e-4)
    ),
)

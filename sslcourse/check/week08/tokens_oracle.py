"""Week 8, masked tokens: the losses of BEiT and iBOT, one patch at a time, as the papers write them.

References: Bao et al. 2022, "BEiT: BERT pre-training of image transformers", section 2.3; Zhou et al. 2022, "iBOT:
image BERT pre-training with online tokenizer", section 3.
"""

from collections.abc import Callable
from functools import partial
from math import log

from torch import Tensor

from sslcourse.check.compare import Mistake


def level_of(size: int) -> float:
    """The loss of equal logits for a vocabulary of this size: ln K."""
    return log(size)


# --- beit_loss


def beit_loss(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over the masked patches of minus the log-probability of their visual token."""
    losses = []
    for n, row in enumerate(mask.tolist()):
        for i, masked in enumerate(row):
            if masked:
                powers = logits[n, i].exp()
                losses.append(-(powers[tokens[n, i]] / powers.sum()).log())
    return sum(losses) / len(losses)


def beit_loss_per_image(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """The same, averaged within each image first: another reading, which differs where the counts do."""
    rows = zip(logits.split(1), tokens.split(1), mask.split(1), strict=True)
    losses = [beit_loss(x, t, m) for x, t, m in rows]
    return sum(losses) / len(losses)


def _beit_loss(logits: Tensor, tokens: Tensor, mask: Tensor, *, over: int = 2, reduce: Callable) -> Tensor:
    log_p = logits.log_softmax(dim=over)
    return reduce(-log_p.gather(2, tokens[..., None])[..., 0], mask)


def _masked_mean(loss: Tensor, mask: Tensor) -> Tensor:
    return loss[mask].mean()


BEIT_LOSS_MISTAKES = (
    Mistake(
        "the loss runs over all patches: only the masked ones count.",
        (partial(_beit_loss, reduce=lambda loss, mask: loss.mean()),),
    ),
    Mistake(
        "the loss runs over the visible patches: True in the mask is masked.",
        (partial(_beit_loss, reduce=lambda loss, mask: loss[~mask].mean()),),
    ),
    Mistake(
        "the masked patches are summed, or their sum is divided by another number: take the mean over them.",
        (
            partial(_beit_loss, reduce=lambda loss, mask: loss[mask].sum()),
            partial(_beit_loss, reduce=lambda loss, mask: (loss * mask).mean()),
            partial(_beit_loss, reduce=lambda loss, mask: (loss * mask).sum(dim=1).mean()),
        ),
    ),
    Mistake(
        "the softmax runs over the patches: it runs over the vocabulary, the last dimension.",
        (partial(_beit_loss, over=1, reduce=_masked_mean), partial(_beit_loss, over=0, reduce=_masked_mean)),
    ),
    Mistake(
        "the sign is wrong: the loss is minus the logarithm of a probability.",
        (partial(_beit_loss, reduce=lambda loss, mask: -loss[mask].mean()),),
    ),
)


# --- ibot_loss


def ibot_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    center: Tensor,
    student_temp: float = 0.1,
    teacher_temp: float = 0.04,
) -> Tensor:
    """Cross-entropy from the centred, sharpened teacher to the student: masked patches, then images that have any."""
    images = []
    for n, row in enumerate(mask.tolist()):
        losses = []
        for i, masked in enumerate(row):
            if masked:
                told = _softmax((teacher_logits[n, i].detach() - center) / teacher_temp)
                log_q = _softmax(student_logits[n, i] / student_temp).log()
                losses.append(-(told * log_q).sum())
        if losses:
            images.append(sum(losses) / len(losses))
    return sum(images) / len(images)


def _softmax(x: Tensor) -> Tensor:
    powers = (x - x.detach().max()).exp()
    return powers / powers.sum()


def _per_image(loss: Tensor, mask: Tensor) -> Tensor:
    some = mask.any(dim=1)
    return ((loss * mask).sum(dim=1)[some] / mask.sum(dim=1)[some]).mean()


def _ibot_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    center: Tensor,
    student_temp: float = 0.1,
    teacher_temp: float = 0.04,
    *,
    told: Callable = lambda t, c, temp: (t - c) / temp,
    asked: Callable = lambda s, c, temp: s / temp,
    temps: Callable = lambda s, t: (s, t),
    over: int = 2,
    reduce: Callable = _per_image,
) -> Tensor:
    """ibot_loss with something wrong; right with the defaults."""
    student_temp, teacher_temp = temps(student_temp, teacher_temp)
    p = told(teacher_logits, center, teacher_temp).softmax(dim=over)
    log_q = asked(student_logits, center, student_temp).log_softmax(dim=over)
    return reduce(-(p * log_q).sum(dim=2), mask)


def _wrong(**what) -> partial:
    return partial(_ibot_loss, **what)


IBOT_LOSS_MISTAKES = (
    Mistake(
        "the loss runs over all patches: only the masked ones count.",
        (_wrong(reduce=lambda loss, mask: loss.mean()),),
    ),
    Mistake(
        "the loss runs over the visible patches: True in the mask is masked.",
        (
            _wrong(reduce=lambda loss, mask: _per_image(loss, ~mask)),
            _wrong(reduce=lambda loss, mask: loss[~mask].mean()),
        ),
    ),
    Mistake(
        "all masked patches count alike: take the mean within each image first, so that every image counts alike.",
        (_wrong(reduce=_masked_mean),),
    ),
    Mistake(
        "images without a masked patch are counted: take the mean over those that have any.",
        (_wrong(reduce=lambda loss, mask: ((loss * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()),),
    ),
    Mistake(
        "the masked patches are summed: take the mean within an image, then over the images.",
        (
            _wrong(reduce=lambda loss, mask: loss[mask].sum()),
            _wrong(reduce=lambda loss, mask: (loss * mask).sum(1)[mask.any(1)].mean()),
            _wrong(reduce=lambda loss, mask: (loss * mask).sum(1).mean()),
        ),
    ),
    Mistake("the centre is not subtracted from the teacher.", (_wrong(told=lambda t, c, temp: t / temp),)),
    Mistake("the centre is added: subtract it.", (_wrong(told=lambda t, c, temp: (t + c) / temp),)),
    Mistake(
        "the centre is subtracted after the division by the temperature: centre first, then sharpen.",
        (_wrong(told=lambda t, c, temp: t / temp - c),),
    ),
    Mistake(
        "the centre is subtracted from the student: it belongs to the teacher alone.",
        (
            _wrong(asked=lambda s, c, temp: (s - c) / temp),
            _wrong(told=lambda t, c, temp: t / temp, asked=lambda s, c, temp: (s - c) / temp),
        ),
    ),
    Mistake("the two temperatures are swapped.", (_wrong(temps=lambda s, t: (t, s)),)),
    Mistake(
        "a temperature is not used: divide the student by student_temp and the centred teacher by teacher_temp.",
        (
            _wrong(temps=lambda s, t: (1.0, t)),
            _wrong(temps=lambda s, t: (s, 1.0)),
            _wrong(temps=lambda s, t: (1.0, 1.0)),
            _wrong(temps=lambda s, t: (0.1, 0.04)),
            _wrong(temps=lambda s, t: (s, s)),
            _wrong(temps=lambda s, t: (t, t)),
        ),
    ),
    Mistake(
        "the softmax runs over the patches: it runs over the prototypes, the last dimension.",
        (_wrong(over=1),),
    ),
    Mistake(
        "the sign is wrong: the cross-entropy is minus the sum of p log q.",
        (_wrong(reduce=lambda loss, mask: -_per_image(loss, mask)),),
    ),
)

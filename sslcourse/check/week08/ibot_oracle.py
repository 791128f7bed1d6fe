"""Week 8, masked tokens: the loss of iBOT, one patch at a time, as the paper writes it.

Reference: Zhou et al. 2022, "iBOT: image BERT pre-training with online tokenizer", section 3.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from sslcourse.check.compare import Mistake


def _masked_mean(loss: Tensor, mask: Tensor) -> Tensor:
    return loss[mask].mean()


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


def ibot_loss_over_all(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    center: Tensor,
    student_temp: float = 0.1,
    teacher_temp: float = 0.04,
) -> Tensor:
    """The same, where an image without a masked patch counts as 0: so in the codes of iBOT, DINOv2 and lightly."""
    share = mask.any(dim=1).double().mean()
    return share * ibot_loss(student_logits, teacher_logits, mask, center, student_temp, teacher_temp)


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
    probable: Callable = lambda x, over: x.softmax(dim=over),
    compare: Callable = lambda p, log_q: -(p * log_q).sum(dim=2),
    reduce: Callable = _per_image,
) -> Tensor:
    """ibot_loss with something wrong; right with the defaults."""
    student_temp, teacher_temp = temps(student_temp, teacher_temp)
    p = probable(told(teacher_logits, center, teacher_temp), over)
    log_q = asked(student_logits, center, student_temp).log_softmax(dim=over)
    return reduce(compare(p, log_q), mask)


def _wrong(**what) -> partial:
    return partial(_ibot_loss, **what)


def _only_student_over_patches(s, t, mask, center, student_temp=0.1, teacher_temp=0.04) -> Tensor:
    told = ((t - center) / teacher_temp).softmax(dim=2)
    return _per_image(-(told * (s / student_temp).log_softmax(dim=1)).sum(dim=2), mask)


def _moved_centre(s, t, mask, center, student_temp=0.1, teacher_temp=0.04, keep=0.9) -> Tensor:
    """The centre has taken in this batch before it is subtracted."""
    center = keep * center + (1 - keep) * t.mean(dim=(0, 1))
    return _ibot_loss(s, t, mask, center, student_temp, teacher_temp)


IBOT_LOSS_MISTAKES = (
    Mistake(
        "the loss runs over all patches: only the masked ones count.",
        (_wrong(reduce=lambda loss, mask: loss.mean()),),
    ),
    Mistake(
        "the sum over the masked patches is divided by the number of all patches: divide by that of the masked ones.",
        (
            _wrong(reduce=lambda loss, mask: (loss * mask).mean()),
            _wrong(reduce=lambda loss, mask: (loss * mask).mean(1)[mask.any(1)].mean()),
        ),
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
        "the masked patches are summed: take the mean within an image, then over the images.",
        (
            _wrong(reduce=lambda loss, mask: loss[mask].sum()),
            _wrong(reduce=lambda loss, mask: (loss * mask).sum(1)[mask.any(1)].mean()),
            _wrong(reduce=lambda loss, mask: (loss * mask).sum(1).mean()),
        ),
    ),
    Mistake("the centre is not subtracted from the teacher.", (_wrong(told=lambda t, c, temp: t / temp),)),
    Mistake(
        "the mean of this batch is subtracted from the teacher: subtract center, which is kept over many batches.",
        tuple(
            _wrong(told=lambda t, c, temp, over=over: (t - t.mean(over, keepdim=True)) / temp)
            for over in ((0, 1), (0,), (1,))
        ),
    ),
    Mistake(
        "the centre takes in this batch before it is subtracted: subtract it as it is given.",
        tuple(partial(_moved_centre, keep=keep) for keep in (0.9, 0.99, 0.5, 0.999)),
    ),
    Mistake(
        "masked or visible logits are set to 0 first, and all patches count: only the masked ones do.",
        (
            lambda s, t, m, *rest: _ibot_loss(s * m[..., None], t, m | ~m, *rest),
            lambda s, t, m, *rest: _ibot_loss(s * m[..., None], t * m[..., None], m | ~m, *rest),
            lambda s, t, m, *rest: _ibot_loss(s * ~m[..., None], t, m | ~m, *rest),
        ),
    ),
    Mistake(
        "one image alone counts: the mean runs over all that have a masked patch.",
        (lambda s, t, m, *rest: _ibot_loss(s[:1], t[:1], m[:1], *rest),),
    ),
    Mistake(
        "the student's logarithms are divided by a temperature once more.",
        (
            lambda s, t, m, c, a=0.1, b=0.04: _ibot_loss(s, t, m, c, a, b) / a,
            lambda s, t, m, c, a=0.1, b=0.04: _ibot_loss(s, t, m, c, a, b) / b,
            lambda s, t, m, c, a=0.1, b=0.04: _ibot_loss(s, t, m, c, a * a, b),
        ),
    ),
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
    Mistake(
        "student and teacher are swapped: the teacher's probabilities weigh the student's logarithms.",
        (
            lambda s, t, m, c, a=0.1, b=0.04: _ibot_loss(t, s, m, c, a, b),
            lambda s, t, m, c, a=0.1, b=0.04: _ibot_loss(t - c, s, m, 0 * c, b, a),
            lambda s, t, m, c, a=0.1, b=0.04: _ibot_loss(t - c, s, m, 0 * c, a, b),
            *(_wrong(compare=lambda p, q, e=e: -(q.exp() * (p + e).log()).sum(dim=2)) for e in (0, 1e-12, 1e-8)),
        ),
    ),
    Mistake(
        "the logits are multiplied by the temperatures: divide by them.",
        (
            _wrong(temps=lambda s, t: (1 / s, 1 / t)),
            _wrong(temps=lambda s, t: (1 / s, t)),
            _wrong(temps=lambda s, t: (s, 1 / t)),
        ),
    ),
    Mistake(
        "the softmax is taken before the cross-entropy, which takes one itself: hand in the student's logits.",
        (_wrong(asked=lambda s, c, temp: (s / temp).softmax(dim=2)),),
    ),
    Mistake(
        "the teacher's softmax is missing or taken twice: it gives probabilities, once.",
        (_wrong(told=lambda t, c, temp: ((t - c) / temp).softmax(dim=2)), _wrong(probable=lambda x, over: x)),
    ),
    Mistake(
        "the student's logarithm is missing: it is minus the sum of p log q.",
        (_wrong(compare=lambda p, log_q: -(p * log_q.exp()).sum(dim=2)),),
    ),
    Mistake(
        "the logarithm is taken of a sum: it is minus the sum of p log q.",
        (_wrong(compare=lambda p, log_q: -(p * log_q.exp()).sum(dim=2).log()),),
    ),
    Mistake(
        "it is the Kullback-Leibler divergence, without the teacher's entropy: the cross-entropy is asked for.",
        (_wrong(compare=lambda p, log_q: (p * (p.log() - log_q)).sum(dim=2)),),
    ),
    Mistake(
        "the mean is taken over the prototypes too: their products are summed.",
        (_wrong(compare=lambda p, log_q: -(p * log_q).mean(dim=2)),),
    ),
    Mistake(
        "the square of the difference is taken: it is the cross-entropy.",
        (
            _wrong(compare=lambda p, log_q: (p - log_q.exp()).square().sum(dim=2)),
            _wrong(compare=lambda p, log_q: (p - log_q.exp()).square().mean(dim=2)),
        ),
    ),
    Mistake(
        "the teacher's best prototype is taken alone: all of them count, with their probabilities.",
        (_wrong(compare=lambda p, log_q: -log_q.gather(2, p.argmax(2, keepdim=True))[..., 0]),),
    ),
    Mistake(
        "the loss is multiplied by a temperature or its square, as in distillation: here it is not.",
        tuple(
            lambda *a, k=k: k(*(a[4:] or (0.1, 0.04))) * _ibot_loss(*a)
            for k in (lambda s, t: s * s, lambda s, t: t * t, lambda s, t: s, lambda s, t: t, lambda s, t: s * t)
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
        (
            _wrong(over=1),
            _wrong(probable=lambda x, over: x.softmax(dim=1)),
            _wrong(asked=lambda s, c, temp: (s / temp).log_softmax(dim=1), over=2),
            _only_student_over_patches,
        ),
    ),
    Mistake(
        "the sign is wrong: the cross-entropy is minus the sum of p log q.",
        (_wrong(reduce=lambda loss, mask: -_per_image(loss, mask)),),
    ),
)

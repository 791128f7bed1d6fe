"""Week 6, distillation: one number at a time, as the papers write them.

References: Hinton et al. 2015, "Distilling the knowledge in a neural network", section 2; Touvron et al. 2021,
"Training data-efficient image transformers & distillation through attention", eq. 3.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float = 4.0, alpha: float = 0.7
) -> Tensor:
    """Hinton et al. 2015, section 2: alpha T^2 KL(teacher || student) + (1 - alpha) CE, mean over the batch."""
    total = 0.0
    for s, t, y in zip(student_logits, teacher_logits, labels.tolist(), strict=True):
        p = (t / temperature).exp() / (t / temperature).exp().sum()
        q = (s / temperature).exp() / (s / temperature).exp().sum()
        kl = sum(p[k] * (p[k].log() - q[k].log()) for k in range(len(s)))
        hard = -(s.exp() / s.exp().sum())[y].log()
        total = total + alpha * temperature**2 * kl + (1 - alpha) * hard
    return total / len(labels)


def _smoothed(s: Tensor, t: Tensor, labels: Tensor, by: float) -> Tensor:
    return torch.nn.functional.cross_entropy(s, labels, label_smoothing=by)


def _with_hard(s, t, labels, temperature=4.0, alpha=0.7, *, hard: Callable, by: float) -> Tensor:
    """distillation_loss with another second part."""
    soft = _distillation_loss(s, t, labels, temperature, 1.0)
    return alpha * soft + (1 - alpha) * hard(s, t, labels, by)


def _distillation_loss(
    s: Tensor,
    t: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    alpha: float = 0.7,
    *,
    reverse: bool = False,
    factor: Callable = lambda T: T**2,
    complement: bool = False,
    student_probs: bool = False,
    over: str = "batch",
    entropy: bool = False,
    soften_teacher: bool = True,
    soften_student: bool = True,
    soften_labels: bool = False,
    fixed: tuple[float | None, float | None] = (None, None),
    soft_as: str = "",
    hard_as: str = "",
    shares: Callable = lambda a: (a, 1 - a),
    whole: Callable = lambda T: 1,
) -> Tensor:
    """distillation_loss with something wrong; right with the defaults."""
    T, alpha = fixed[0] or temperature, fixed[1] or alpha
    ce = torch.nn.functional.cross_entropy
    log_q = (s / (T if soften_student else 1)).log_softmax(dim=1)
    log_p = (t / (T if soften_teacher else 1)).log_softmax(dim=1)
    if reverse:
        log_p, log_q = log_q, log_p
    other = log_q.exp() if student_probs else log_q
    terms = log_p.exp() * ((0 if entropy else log_p) - other)  # (N, K)
    if soft_as == "log_target":
        terms = log_p.exp().exp() * (log_p.exp() - log_q)
    soft = {"batch": terms.sum(dim=1).mean(), "all": terms.mean(), "nothing": terms.sum()}[over]
    soft = {
        "logits": lambda: (s - t).square().mean(),
        "logits, summed": lambda: (s - t).square().sum(dim=1).mean(),
        "softened logits": lambda: ((s - t) / T).square().mean(),
        "probabilities": lambda: (log_p.exp() - log_q.exp()).square().mean(),
        "probabilities, summed": lambda: (log_p.exp() - log_q.exp()).square().sum(dim=1).mean(),
        "choice": lambda: ce(s / T, t.argmax(dim=1)),
        "choice, not softened": lambda: ce(s, t.argmax(dim=1)),
        "both ways": lambda: (terms + log_q.exp() * (log_q - log_p)).sum(dim=1).mean() / 2,
        "minus": lambda: -soft,
        "over the batch": lambda: _divergence((t / T).log_softmax(dim=0), (s / T).log_softmax(dim=0)),
        "multiplied": lambda: _divergence((t * T).log_softmax(dim=1), (s * T).log_softmax(dim=1)),
    }.get(soft_as, lambda: soft)()
    hard = {
        "softmax": lambda: ce(s.softmax(dim=1), labels),
        "teacher": lambda: ce(t, labels),
        "summed": lambda: ce(s, labels, reduction="sum"),
        "missing": lambda: 0.0,
        "no logarithm": lambda: -s.softmax(dim=1)[torch.arange(len(s)), labels].mean(),
    }.get(hard_as, lambda: ce(s / T if soften_labels else s, labels))()
    a, b = shares(1 - alpha if complement else alpha)
    return whole(T) * (a * factor(T) * soft + b * hard)


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def _loss(**what) -> partial:
    return partial(_distillation_loss, **what)


DISTILLATION_MISTAKES = (
    Mistake(
        "the labels are smoothed: the true class alone counts.",
        tuple(partial(_with_hard, hard=_smoothed, by=by) for by in (0.1, 0.05, 0.2)),
    ),
    Mistake(
        "the hard labels are the teacher's choices: they are the true classes.",
        (partial(_with_hard, hard=lambda s, t, labels, _: _smoothed(s, t, t.argmax(dim=1), 0.0), by=0.0),),
    ),
    Mistake(
        "the divergence is taken in the wrong direction: KL(teacher || student) weighs the classes by the teacher's "
        "probabilities. F.kl_div takes the student's log-probabilities first, then the target.",
        (_loss(reverse=True),),
    ),
    Mistake(
        "the factor T^2 is missing: without it the soft part's gradient shrinks as the temperature grows.",
        (_loss(factor=lambda T: 1),),
    ),
    Mistake("the soft part is multiplied by T: it should be T^2.", (_loss(factor=lambda T: T),)),
    Mistake("the soft part is divided by T^2: multiply by it.", (_loss(factor=lambda T: T**-2),)),
    Mistake(
        "alpha is the wrong way round: it weighs the teacher's part, and 1 - alpha the labels.",
        (_loss(complement=True),),
    ),
    Mistake(
        "the student's probabilities stand where their logarithms should: F.kl_div takes log_softmax as its first "
        "argument.",
        (_loss(student_probs=True),),
    ),
    Mistake(
        "the mean runs over the classes too: sum over classes, mean over the batch (reduction='batchmean').",
        (_loss(over="all"),),
    ),
    Mistake("the soft part is summed over the batch: take the mean.", (_loss(over="nothing"),)),
    Mistake(
        "the soft part is a cross-entropy: take the teacher's entropy away, as a divergence does. (The gradient is the "
        "same, but the loss then does not reach 0 for a perfect copy.)",
        (_loss(entropy=True),),
    ),
    Mistake("the teacher's logits are not divided by the temperature.", (_loss(soften_teacher=False),)),
    Mistake(
        "the student's logits are not divided by the temperature in the soft part.", (_loss(soften_student=False),)
    ),
    Mistake(
        "the temperature softens the cross-entropy with the labels too: only the comparison with the teacher is soft.",
        (_loss(soften_labels=True),),
    ),
    Mistake(
        "student and teacher are swapped: the student's logits are the first argument.",
        (lambda s, t, *rest: _distillation_loss(t, s, *rest),),
    ),
    Mistake(
        "T^2 multiplies both parts: it belongs to the soft part alone.",
        (_loss(factor=lambda T: 1, whole=lambda T: T**2),),
    ),
    Mistake("the cross-entropy with the labels is not multiplied by 1 - alpha.", (_loss(shares=lambda a: (a, 1)),)),
    Mistake("the soft part is not multiplied by alpha.", (_loss(shares=lambda a: (1, 1 - a)),)),
    Mistake(
        "alpha is not used at all: it weighs the teacher's part, and 1 - alpha the labels.",
        (_loss(shares=lambda a: (1, 1)),),
    ),
    Mistake("both parts are multiplied by alpha: the labels count 1 - alpha.", (_loss(shares=lambda a: (a, a)),)),
    Mistake(
        "log_target=True is set, but the target is probabilities: give it log_softmax of the teacher, or leave it out.",
        (_loss(soft_as="log_target"),),
    ),
    Mistake(
        "a softmax is taken before the cross-entropy with the labels, which takes one itself: give it the logits.",
        (_loss(hard_as="softmax"),),
    ),
    Mistake("the cross-entropy is that of the teacher's logits: the student learns.", (_loss(hard_as="teacher"),)),
    Mistake("the cross-entropy is summed over the batch: take the mean.", (_loss(hard_as="summed"),)),
    Mistake("the cross-entropy with the labels is missing.", (_loss(hard_as="missing"),)),
    Mistake("the logarithm is missing in the part of the labels.", (_loss(hard_as="no logarithm"),)),
    Mistake(
        "logits or probabilities are compared by squared distance: take the divergence of the softened probabilities.",
        tuple(_loss(soft_as=what) for what in ("logits", "logits, summed", "softened logits"))
        + tuple(_loss(soft_as=what, factor=lambda T: 1) for what in ("logits", "logits, summed", "softened logits"))
        + tuple(_loss(soft_as=what) for what in ("probabilities", "probabilities, summed"))
        + tuple(_loss(soft_as=what, factor=lambda T: 1) for what in ("probabilities", "probabilities, summed")),
    ),
    Mistake(
        "the teacher's most probable class is the target: soft distillation takes all its probabilities.",
        tuple(
            _loss(soft_as=what, factor=f)
            for what in ("choice", "choice, not softened")
            for f in (lambda T: T**2, lambda T: 1)
        ),
    ),
    Mistake("the divergence is taken both ways: only KL(teacher || student).", (_loss(soft_as="both ways"),)),
    Mistake("the sign of the soft part is wrong: the divergence is to become small.", (_loss(soft_as="minus"),)),
    Mistake(
        "the softmax runs over the batch: probabilities of an image sum to 1 over the classes, dim=1.",
        (_loss(soft_as="over the batch"),),
    ),
    Mistake("the logits are multiplied by the temperature: divide by it.", (_loss(soft_as="multiplied"),)),
    Mistake("the argument temperature is not used.", (_loss(fixed=(4.0, None)), _loss(fixed=(1.0, None)))),
    Mistake("the argument alpha is not used.", (_loss(fixed=(None, 0.7)), _loss(fixed=(None, 0.5)))),
)


def hard_distillation_loss(
    class_logits: Tensor, distill_logits: Tensor, teacher_logits: Tensor, labels: Tensor
) -> Tensor:
    """Touvron et al. 2021, eq. 3 with two heads: half to the labels, half to the teacher's choice."""
    total = 0.0
    for c, d, t, y in zip(class_logits, distill_logits, teacher_logits, labels.tolist(), strict=True):
        choice = max(range(len(t)), key=lambda k: float(t[k]))
        total = total - (c.exp() / c.exp().sum())[y].log() / 2 - (d.exp() / d.exp().sum())[choice].log() / 2
    return total / len(labels)


def _hard(c, d, t, labels, *, first=None, second=None, weights=(0.5, 0.5)) -> Tensor:
    ce = torch.nn.functional.cross_entropy
    choice = t.argmax(dim=1)
    a = {None: (c, labels), "swapped": (c, choice)}[first]
    b = {None: (d, choice), "labels": (d, labels), "soft": (d, t.softmax(dim=1)), "one head": (c, choice)}[second]
    return weights[0] * ce(*a) + weights[1] * ce(*b)


HARD_MISTAKES = (
    Mistake(
        "the heads are swapped: the class head learns the labels, the distillation head the teacher's choice.",
        (partial(_hard, first="swapped", second="labels"),),
    ),
    Mistake(
        "the distillation head learns the labels too, not the teacher's choice.", (partial(_hard, second="labels"),)
    ),
    Mistake(
        "the target is the teacher's probabilities: hard distillation takes its most probable class.",
        (partial(_hard, second="soft"),),
    ),
    Mistake("the distillation head is not used.", (partial(_hard, second="one head"),)),
    Mistake("the two parts are added: each counts half.", (partial(_hard, weights=(1, 1)),)),
)

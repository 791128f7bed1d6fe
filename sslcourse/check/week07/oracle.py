"""Week 7: DINO's loss and centre, one number at a time, as the paper writes them.

Reference: Caron et al. 2021, "Emerging properties in self-supervised vision transformers", eq. 1-4 and algorithm 1.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- DINOLoss: a run is a list of calls, each (student views, teacher views); what comes out is a loss for each


def _softmax(row: Tensor) -> Tensor:
    return (row - row.max()).exp() / (row - row.max()).exp().sum()


def dino(
    calls: Sequence[tuple[list[Tensor], list[Tensor]]],
    teacher_temp: float = 0.04,
    student_temp: float = 0.1,
    center_momentum: float = 0.9,
) -> tuple[list[Tensor], list[Tensor]]:
    """The loss of each call and the centre after it (algorithm 1, with all crops)."""
    center = torch.zeros(calls[0][0][0].shape[1], dtype=torch.float64)
    losses, centers = [], []
    for student, teacher in calls:
        total, terms = 0.0, 0
        for i, t_view in enumerate(teacher):
            for j, s_view in enumerate(student):
                if i == j:
                    continue
                for t, s in zip(t_view.detach(), s_view, strict=True):
                    p = _softmax((t - center) / teacher_temp)
                    total = total - sum(p[k] * _softmax(s / student_temp)[k].log() for k in range(len(p)))
                    terms += 1
        losses.append(total / terms)
        rows = [row.detach() for view in teacher for row in view]
        center = center_momentum * center + (1 - center_momentum) * sum(rows) / len(rows)
        centers.append(center)
    return losses, centers


def _dino(
    calls,
    teacher_temp: float = 0.04,
    student_temp: float = 0.1,
    center_momentum: float = 0.9,
    *,
    same: bool = False,
    local: bool = True,
    pairs: str = "mean",
    factor: Callable = lambda n, k: 1,
    use: str = "old",
    keep: Callable = lambda old, mean, m: m * old + (1 - m) * mean,
    center_of: str = "all",
    on: str = "teacher",
    shift: str = "minus",
    swap: bool = False,
    softmax_dim: int = 1,
    fixed_temps: tuple | None = None,
    fixed_momentum: float | None = None,
    which: Callable = lambda i, j, n: True,
    temps: Callable = lambda t, s: (t, s),
    kind: str = "",
    moves: Callable = lambda call: True,
    swapped: bool = False,
) -> list[Tensor]:
    """dino with something wrong; right with the defaults. The losses only."""
    teacher_temp, student_temp = fixed_temps or (teacher_temp, student_temp)
    if swap:
        teacher_temp, student_temp = student_temp, teacher_temp
    teacher_temp, student_temp = temps(teacher_temp, student_temp)
    calls = [pair[::-1] for pair in calls] if swapped else calls
    m = center_momentum if fixed_momentum is None else fixed_momentum
    center = torch.zeros(calls[0][0][0].shape[1], dtype=torch.float64)
    losses = []
    for call, (student, teacher) in enumerate(calls):
        old, n = center, len(student[0])
        raw = {
            "all": torch.cat(teacher),
            "first": teacher[0],
            "last": teacher[-1],
            "student": torch.cat(student),
            "probabilities": ((torch.cat(teacher) - center) / teacher_temp).softmax(dim=1),
            "raw probabilities": torch.cat(teacher).softmax(dim=1),
            "view after view": torch.cat(teacher),
            "sum": torch.cat(teacher),
            "centred": torch.cat(teacher) - center,
            "over temperature": torch.cat(teacher) / teacher_temp,
        }[center_of]
        center = keep(old, raw.mean(dim=0), m) if moves(call) else old
        if center_of == "view after view":
            center = old
            for view in teacher:
                center = keep(center, view.mean(dim=0), m)
        if center_of == "sum":
            center = keep(old, raw.sum(dim=0), m)
        used = {"old": old, "new": center, "none": torch.zeros_like(old)}[use]
        t_used = used if on in ("teacher", "both") else torch.zeros_like(used)
        s_used = used if on in ("student", "both") else torch.zeros_like(used)
        if shift == "plus":
            t_used = -t_used
        if shift == "after":
            t_used = t_used * teacher_temp
        targets = [((view - t_used) / teacher_temp).softmax(dim=softmax_dim) for view in teacher]
        answers = [((view - s_used) / student_temp).log_softmax(dim=softmax_dim) for view in student]
        if not local:
            answers = answers[: len(teacher)]
        compare = {
            "no logarithm": lambda t, s: -(t * s.exp()).sum(dim=1).mean(),
            "divergence": lambda t, s: (t * (t.clamp(min=1e-30).log() - s)).sum(dim=1).mean(),
            "log of the mean": lambda t, s: -(t * s.exp()).sum(dim=1).mean().log(),
            "log inside": lambda t, s: -(t * s.exp()).sum(dim=1).log().mean(),
            "softmax twice": lambda t, s: -(t * s.exp().log_softmax(dim=1)).sum(dim=1).mean(),
            "reversed": lambda t, s: -(s.exp() * t.clamp(min=1e-30).log()).sum(dim=1).mean(),
            "hard": lambda t, s: torch.nn.functional.nll_loss(s, t.argmax(dim=1)),
            "raw teacher": lambda t, s: -(t * s).sum(dim=1).mean(),
        }.get(kind, lambda t, s: -(t * s).sum(dim=1).mean())
        terms = [
            compare(t, s)
            for i, t in enumerate(targets)
            for j, s in enumerate(answers)
            if (same or i != j) and which(i, j, len(targets))
        ]
        if not terms:
            return [torch.tensor(torch.nan)] * len(calls)
        if pairs == "same only":
            terms = [-(t * s).sum(dim=1).mean() for t, s in zip(targets, answers, strict=False)]
        loss = sum(terms) / {"mean": len(terms), "same only": len(terms), "sum": 1}.get(
            pairs, len(targets) * len(answers)
        )
        losses.append(loss * factor(n, student[0].shape[1]))
    return losses


def _wrong(**what) -> partial:
    return partial(_dino, **what)


DINO_MISTAKES = (
    Mistake(
        "pairs of the same view are kept: the student is asked about the other crops only, i != j.",
        (_wrong(same=True), _wrong(pairs="same only")),
    ),
    Mistake(
        "the local views are ignored: the student's views beyond the teacher's are compared too.",
        (_wrong(local=False),),
    ),
    Mistake("the pairs are summed: take the mean over them.", (_wrong(pairs="sum"),)),
    Mistake(
        "the sum is divided by all pairs, those of the same view included: there are as many terms as pairs i != j.",
        (_wrong(pairs="all"),),
    ),
    Mistake("the images are summed: take the mean over them.", (_wrong(factor=lambda n, k: n),)),
    Mistake(
        "the mean runs over the prototypes too: sum over them, then take the mean over images.",
        (_wrong(factor=lambda n, k: 1 / k),),
    ),
    Mistake("the new centre is used: compute the loss with the old one, then update it.", (_wrong(use="new"),)),
    Mistake("the centre is not used: subtract it from the teacher's outputs.", (_wrong(use="none"),)),
    Mistake(
        "the centre is never updated: it is a running mean of the teacher's outputs, moved in every call.",
        (_wrong(keep=lambda old, mean, m: old),),
    ),
    Mistake(
        "the centre is subtracted from the student: it belongs to the teacher's outputs alone.",
        (_wrong(on="student"), _wrong(on="both")),
    ),
    Mistake("the centre is added: it is subtracted.", (_wrong(shift="plus"),)),
    Mistake(
        "the centre is subtracted after the temperature: first subtract it, then divide.", (_wrong(shift="after"),)
    ),
    Mistake(
        "the momentum of the centre is the wrong way round: m of the old one, 1 - m of the new mean.",
        (_wrong(keep=lambda old, mean, m: (1 - m) * old + m * mean),),
    ),
    Mistake(
        "the centre is the mean of the last batch: keep center_momentum of the old one.",
        (_wrong(keep=lambda old, mean, m: mean),),
    ),
    Mistake(
        "only one view of the teacher moves the centre: take the mean over all rows of all its views.",
        (_wrong(center_of="first"), _wrong(center_of="last")),
    ),
    Mistake("the centre follows the student: it is a mean of the teacher's outputs.", (_wrong(center_of="student"),)),
    Mistake(
        "the centre is a mean of what was already centred, scaled or made a probability: average the raw outputs.",
        tuple(_wrong(center_of=what) for what in ("probabilities", "raw probabilities", "centred", "over temperature")),
    ),
    Mistake("the temperatures are swapped: the teacher's is the smaller one.", (_wrong(swap=True),)),
    Mistake(
        "both sides are divided by the same temperature: each has its own.",
        (_wrong(temps=lambda t, s: (t, t)), _wrong(temps=lambda t, s: (s, s))),
    ),
    Mistake(
        "a temperature is left out: both the teacher's and the student's outputs are divided by theirs.",
        (_wrong(temps=lambda t, s: (1, s)), _wrong(temps=lambda t, s: (t, 1))),
    ),
    Mistake(
        "the outputs are multiplied by the temperatures: divide by them.", (_wrong(temps=lambda t, s: (1 / t, 1 / s)),)
    ),
    Mistake(
        "the global views of the student are left out: it answers to them too, unless it is the same view.",
        (_wrong(which=lambda i, j, n: j >= n),),
    ),
    Mistake(
        "every pair is taken once, i < j: the teacher at i and the student at j is another pair than the reverse.",
        (_wrong(which=lambda i, j, n: i < j), _wrong(which=lambda i, j, n: i > j)),
    ),
    Mistake(
        "only one view of the teacher is compared: all of them are.",
        (_wrong(which=lambda i, j, n: i == 0), _wrong(which=lambda i, j, n: i == n - 1)),
    ),
    Mistake(
        "the logarithm is missing: it is the cross-entropy, with log_softmax of the student.",
        (_wrong(kind="no logarithm"),),
    ),
    Mistake(
        "the logarithm is taken of a sum: it is the sum of p_t log p_s.",
        (_wrong(kind="log inside"), _wrong(kind="log of the mean")),
    ),
    Mistake(
        "the teacher's entropy is taken away, as in a divergence: the loss is the cross-entropy.",
        (_wrong(kind="divergence"),),
    ),
    Mistake("a softmax is taken twice of the student.", (_wrong(kind="softmax twice"),)),
    Mistake("the logarithm is that of the teacher: it is -sum p_t log p_s.", (_wrong(kind="reversed"),)),
    Mistake("the target is the teacher's likeliest prototype: it is all its probabilities.", (_wrong(kind="hard"),)),
    Mistake("student and teacher are swapped: forward gets the student's views first.", (_wrong(swapped=True),)),
    Mistake("the centre moves in train mode only: it moves in every call.", (_wrong(moves=lambda call: call == 0),)),
    Mistake(
        "the centre moves once for each view: it moves once in a call, to the mean over all rows of all views.",
        (_wrong(center_of="view after view"),),
    ),
    Mistake("the rows are summed for the centre: it is a running mean.", (_wrong(center_of="sum"),)),
    Mistake(
        "the softmax runs over the batch: an answer sums to 1 over the prototypes, dim=1.", (_wrong(softmax_dim=0),)
    ),
    Mistake(
        "an argument of __init__ is not used: both temperatures and the momentum are given there.",
        (_wrong(fixed_temps=(0.04, 0.1)), _wrong(fixed_momentum=0.9), _wrong(fixed_temps=(1.0, 1.0))),
    ),
    Mistake("the sign is wrong: the loss is minus the sum of p_t log p_s.", (_wrong(factor=lambda n, k: -1),)),
)

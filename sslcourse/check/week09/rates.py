"""Checks of week 9's measures of a score, AUROC and FPR at 95 % TPR. Definitions: rates_oracle.py."""

import torch
from torch import Tensor

from sslcourse.check.compare import agree, by_hand, close, gives, number
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week09 import rates_oracle as oracle


def _sides(inside: Tensor, outside: Tensor) -> str:
    return f"{len(inside)} in-distribution and {len(outside)} other scores"


def _plain_cases(student: Student, cases: list[tuple[list[float], list[float], float]], hint: str = "") -> None:
    """Cases so small that they are shown whole."""
    for inside, outside, wanted in cases:
        if not close(came := number(student(torch.tensor(inside), torch.tensor(outside))), wanted):
            raise Wrong(f"For {inside} against {outside} {gives(came, wanted)} {hint}".rstrip())


@exercise("week09")
def auroc(student: Student) -> str:
    """auroc(in_scores, out_scores) -> float: how often an inside sample is above an outside one, ties half."""
    a, b = student.normal(23) + 0.8, student.normal(31)
    few = by_hand(student.normal(3) + 0.5), by_hand(student.normal(2))
    tied = [((3 * x).round() / 3) for x in (a, b)]
    coarse = a.clamp(-1, 1).round(), b.clamp(-1, 1).round()  # three levels, all of them on both sides
    many = student.normal(300).round(decimals=1), student.normal(280)
    agree(
        student,
        [(a, b), (b[:9], a), tuple(tied), (tied[0][:6], tied[1]), (a[:1], b), (a, b[:1]), coarse, many],
        oracle.auroc,
        oracle.AUROC_MISTAKES,
        words=_sides,
        small=few,
        hint="three times two scores make six pairs: in how many of them is the inside one higher?",
    )
    agree(student, [few], oracle.auroc, words=_sides)
    _plain_cases(
        student,
        [([1.0] * 4, [0.0] * 6, 1.0), ([0.0] * 4, [1.0] * 6, 0.0), ([1.0] * 4, [1.0] * 6, 0.5)],
    )
    far = [([-50.0, -49.0], [-51.0], 1.0), ([50.0, 49.0], [48.0], 1.0), ([1000.0], [999.0, 998.0], 1.0)]
    _plain_cases(student, far, "Compare the scores as they are: what squashes them (a sigmoid, a clamp) makes ties.")
    # Any increasing function of the scores leaves the order, and so the area, as it was.
    if not close(number(student((a / 2).exp(), (b / 2).exp())), oracle.auroc(a, b)):
        raise Wrong("It changes when the exponential of all scores is taken: only their order may count.")
    return "Equal to the count over all pairs, ties half; 1, 0 and 1/2 where they should be; the order alone counts."


@exercise("week09")
def fpr_at_95_tpr(student: Student) -> str:
    """fpr_at_95_tpr(in_scores, out_scores) -> float: no interpolation, the highest threshold with TPR >= 0.95."""
    a, b = student.normal(47) + 1.2, student.normal(203)
    c, d = student.normal(40) + 0.7, student.normal(90) - 0.2
    tied = (5 * a).round() / 5, (5 * b).round() / 5
    few = by_hand(student.normal(5) + 0.5), by_hand(student.normal(4))
    agree(
        student,
        [
            *((a, b), (c, d), tied, (a[:30], b), (c[:20], d), *_straight(student)),
            *((a[:1], b), (a, b[:1]), (a[:19], b), (a[:21], b), (student.normal(290) + 1, student.normal(270))),
        ],
        oracle.fpr_at_95_tpr,
        oracle.FPR_MISTAKES,
        words=_sides,
        small=few,
        hint="95 % of five scores is all five: the threshold is the lowest of them.",
    )
    agree(student, [few], oracle.fpr_at_95_tpr, words=_sides)
    _plain_cases(
        student,
        [
            ([1.0] * 4, [0.0] * 6, 0.0),
            ([0.0] * 4, [1.0] * 6, 1.0),
            ([1.0] * 4, [1.0] * 6, 1.0),
            ([-9.0, -8.0], [-10.0], 0.0),
            ([49.0, 50.0], [48.0], 0.0),
        ],
    )
    return "The share of the others that reach the highest threshold that 95 % reach; nothing interpolated."


def _straight(student: Student) -> list[tuple[Tensor, Tensor]]:
    """Scores whose ROC curve is straight about 95 %, so that the point there is no corner of it.

    At the two lowest levels inside and outside share their ties in equal proportion.
    """
    levels = student.normal(3).sort(descending=True).values
    cases = []
    for scale in (1, 3):
        high, middle, low = levels + torch.tensor([3.0, 0.0, -3.0])
        inside = torch.cat([high.repeat(18 * scale), middle.repeat(scale), low.repeat(scale)])
        outside = torch.cat([middle.repeat(scale), low.repeat(scale)])
        order = torch.randperm(len(inside), generator=student.generator)
        cases.append((inside[order], outside))
    return cases

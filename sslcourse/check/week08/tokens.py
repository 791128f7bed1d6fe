"""Checks of week 8's losses on tokens, BEiT's and iBOT's. Definitions and mistakes: beit_oracle.py, ibot_oracle.py."""

from math import isnan

import torch
from torch import Tensor

from sslcourse.check.compare import agree, close, gives, gradients_agree, number
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week08 import beit_oracle, ibot_oracle
from sslcourse.check.week08.inputs import masks


@exercise("week08")
def beit_loss(student: Student) -> str:
    """beit_loss(logits (N, L, K), tokens (N, L), mask) -> scalar: cross-entropy at the masked patches."""

    def batch(n: int, length: int, size: int, masked: int) -> tuple[Tensor, Tensor, Tensor]:
        tokens = torch.randint(size, (n, length), generator=student.generator)
        return 2 * student.normal(n, length, size), tokens, masks(student, n, length, masked)

    first, second, uneven, many = batch(4, 5, 6, 3), batch(2, 4, 3, 1), batch(3, 4, 5, 1), batch(260, 3, 4, 1)
    uneven[2][1] = torch.tensor([True, True, True, False])
    agree(
        student,
        [first, second, uneven, many],
        (beit_oracle.beit_loss, beit_oracle.beit_loss_per_image),
        beit_oracle.BEIT_LOSS_MISTAKES,
        words=lambda x, t, m: f"{len(x)} images of {x.shape[1]} patches, {x.shape[2]} tokens, {int(m.sum())} masked",
        hint="F.cross_entropy takes (masked, K) logits and (masked,) tokens: pick both by the mask.",
    )
    level = number(student(torch.zeros(2, 3, 7), torch.zeros(2, 3, dtype=torch.long), masks(student, 2, 3, 2)))
    if not close(level, beit_oracle.level_of(7)):
        raise Wrong(f"For equal logits of 7 tokens {gives(level, beit_oracle.level_of(7))} That is ln 7.")
    sharp = number(student(200 * torch.eye(3)[None], torch.tensor([[0, 1, 0]]), torch.tensor([[True, True, True]])))
    if not close(sharp, 200 / 3):
        raise Wrong(
            f"For logits of 200 and 0, right at two of three patches, {gives(sharp, 200 / 3)} exp(200) is more than "
            "float32 holds: use F.cross_entropy or log_softmax."
        )
    gradients_agree(student, first, beit_oracle.beit_loss, names=("logits",))
    return "Equal to the definition; ln K for equal logits."


@exercise("week08")
def ibot_loss(student: Student) -> str:
    """ibot_loss(student_logits, teacher_logits, mask, center, student_temp=0.1, teacher_temp=0.04) -> scalar."""

    def batch(n: int, length: int, size: int, masked: int) -> tuple[Tensor, ...]:
        logits = (0.2 * student.normal(n, length, size) for _ in range(2))
        return (*logits, masks(student, n, length, masked), 0.2 * student.normal(size))

    first, uneven = batch(4, 5, 6, 3), batch(4, 6, 5, 2)
    uneven[2][1], uneven[2][2] = torch.arange(6) < 5, False
    if not isnan(number(student(*first))) and isnan(number(student(*uneven))):
        raise Wrong(
            "Where one image of a batch has no masked patch, yours gives NaN.\nIt looks as if that image's mean is "
            "computed as 0 / 0: leave such images out."
        )
    agree(
        student,
        [(*first, 0.1, 0.04), (*uneven, 0.1, 0.04), (*uneven, 0.3, 0.2), (*first, 0.5, 1.0)],
        (ibot_oracle.ibot_loss, ibot_oracle.ibot_loss_over_all),
        ibot_oracle.IBOT_LOSS_MISTAKES,
        words=lambda s, t, m, c, *temps: (
            f"{len(s)} images of {s.shape[1]} patches, {m.sum(1).tolist()} of them masked (temperatures {temps})"
        ),
        hint="Take the cross-entropy of every masked patch; its mean in each image, then over images that have any.",
    )
    left_out = number(student(*first))
    wanted = float(ibot_oracle.ibot_loss(*(x if x.dtype == torch.bool else x.double() for x in first)))
    if not close(left_out, wanted):
        raise Wrong(f"Without the temperatures {gives(left_out, wanted)} The defaults are 0.1 and 0.04.")
    large = (20 * first[0], 20 * first[1], *first[2:])
    came, wanted = (
        number(student(*large)),
        float(ibot_oracle.ibot_loss(*(x if x is first[2] else x.double() for x in large))),
    )
    if not close(came, wanted, 1e-3):
        raise Wrong(
            f"For logits of about 4 {gives(came, wanted)} Divided by 0.04 these are more than exp can take in float32: "
            "use softmax and log_softmax."
        )
    gradients_agree(student, (*first, 0.1, 0.04), ibot_oracle.ibot_loss, names=("student_logits",))
    s, t = (x.clone().requires_grad_() for x in first[:2])
    student(s, t, *first[2:]).backward()
    if t.grad is not None and t.grad.any():
        raise Wrong("The value is right, but a gradient reaches the teacher: detach its logits.")
    exact = (x if x.dtype == torch.bool else x.double() for x in uneven)
    if close(number(student(*uneven)), float(ibot_oracle.ibot_loss(*exact))):
        return "Equal to the definition, also where images have no masked patch; no gradient to the teacher."
    return (
        "Equal to the definition; no gradient to the teacher. Images without a masked patch count as 0 in your mean, "
        "as in three published codes; the text means the images that have any. Both are accepted."
    )

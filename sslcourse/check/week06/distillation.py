"""The checks of week 6's distillation from logits. Definitions: distillation_oracle.py."""

import torch
from torch import Tensor

from sslcourse.check.compare import agree, close, gives, gradients_agree, number
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week06 import distillation_oracle as distillation


def _batch(student: Student, n: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    labels = torch.randint(classes, (n,), generator=student.generator)
    return 2 * student.normal(n, classes), 3 * student.normal(n, classes), labels


def _logits(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *settings: float) -> str:
    images = f"{len(labels)} image{'s' * (len(labels) > 1)} of {student_logits.shape[1]} classes"
    return images + (f" (temperature {settings[0]}, alpha {settings[1]})" if len(settings) == 2 else "")


@exercise("week06")
def distillation_loss(student: Student) -> str:
    """distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, alpha=0.7) -> scalar."""
    batch = _batch(student, 6, 5)
    if not torch.tensor(number(student(*batch, 4.0, 0.7))).isfinite():
        raise Wrong(
            "For ordinary logits it is NaN. F.kl_div takes the logarithm of its target without log_target=True: "
            "the target is the teacher's softmax, or its log_softmax with log_target=True."
        )
    few = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    agree(
        student,
        [(*batch, 4.0, 0.7), (*batch, 2.0, 0.3), (*batch, 1.0, 1.0), (*batch, 3.0, 0.0), (*batch, 8.0, 0.9)],
        distillation.distillation_loss,
        distillation.DISTILLATION_MISTAKES,
        words=_logits,
        small=(*few, 2.0, 0.5),
        hint="with T = 2 the teacher says softmax([1, 0]) and the student softmax([0.5, 0]).",
    )
    agree(student, [(*_batch(student, 1, 2), 4.0, 0.5), (*_batch(student, 300, 3), 5.0, 0.8)],
          distillation.distillation_loss, words=_logits)  # fmt: skip
    left_out, wanted = (
        number(student(*batch)),
        float(distillation.distillation_loss(*(x.double() for x in batch[:2]), batch[2])),
    )
    if not close(left_out, wanted):
        raise Wrong(f"Without temperature and alpha {gives(left_out, wanted)} The defaults are 4 and 0.7.")

    # A perfect copy, and logits that a softmax in the open would not survive.
    s, _, y = batch
    if not close(came := number(student(s, s, y, 4.0, 1.0)), 0.0):
        raise Wrong(
            f"For a student that equals its teacher, with alpha = 1, {gives(came, 0.0)} Nothing is left to learn."
        )
    large = number(
        student(torch.tensor([[200.0, -200.0]]), torch.tensor([[200.0, -200.0]]), torch.tensor([0]), 1.0, 0.5)
    )
    if not close(large, 0.0):
        raise Wrong(f"With logits of 200 and -200 {gives(large, 0.0)} Use log_softmax, not the logarithm of softmax.")

    gradients_agree(student, (*batch, 4.0, 0.7), distillation.distillation_loss, names=("student_logits",))
    teacher = batch[1].clone().requires_grad_()
    learner = s.clone().requires_grad_()
    student(learner, teacher, y).backward()
    if teacher.grad is not None and teacher.grad.any():
        raise Wrong("The value is right, but a gradient reaches the teacher: it is fixed, detach its logits.")
    return (
        "Equal to the definition at five temperatures and weights; 0 for a perfect copy; a gradient for the "
        "student, none for the teacher."
    )


@exercise("week06")
def hard_distillation_loss(student: Student) -> str:
    """hard_distillation_loss(class_logits, distill_logits, teacher_logits, labels) -> scalar (DeiT, eq. 3)."""

    def batch(n: int, classes: int) -> tuple[Tensor, ...]:
        s, t, labels = _batch(student, n, classes)
        return s, student.normal(n, classes), t, labels

    cases = [batch(6, 5), batch(1, 3), batch(8, 4)]
    agree(
        student,
        cases,
        distillation.hard_distillation_loss,
        distillation.HARD_MISTAKES,
        words=lambda c, d, t, y: f"{len(y)} images of {c.shape[1]} classes",
        hint="half the cross-entropy of the class head to the labels, half of the other head to the argmax.",
    )
    c, d, t, y = (x.clone().requires_grad_() if x.is_floating_point() else x for x in cases[0])
    loss = student(c, d, t, y)
    if not getattr(loss, "requires_grad", False):
        raise Wrong("The value is right, but it carries no gradient, so nothing could learn from it.")
    loss.backward()
    if any(head.grad is None or not head.grad.any() for head in (c, d)):
        raise Wrong("The value is right, but one of the two heads gets no gradient.")
    return "Half to the labels, half to the teacher's choice, each by its own head."

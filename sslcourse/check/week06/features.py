"""How the distillation of features is examined (week 6)."""

import torch
from torch import Tensor, nn

from sslcourse.check.compare import agree, close, gives, number
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week06 import features_oracle as oracle


def _mapping(student: Student, wide: int, out: int, bias: bool = True) -> nn.Linear:
    mapping = nn.Linear(wide, out, bias=bias)
    with torch.no_grad():
        for weights in mapping.parameters():
            weights.copy_(student.normal(*weights.shape))
    return mapping


def _words(h: Tensor, t: Tensor, mapping: nn.Linear) -> str:
    return f"{len(h)} image{'s' * (len(h) > 1)}, features of {h.shape[1]} and {t.shape[1]} dimensions"


def examine_features(student: Student) -> str:
    """Widths that differ and that agree, lengths far from one, with and without a bias; then the gradients."""
    cases = []
    # Where both widths are equal a mapping at the wrong place gives a wrong number, elsewhere an error of shapes.
    for n, wide, out, bias in ((5, 4, 4, True), (4, 4, 4, True), (3, 6, 6, False), (1, 3, 3, True)):
        cases.append((3 * student.normal(n, wide), 5 * student.normal(n, out), _mapping(student, wide, out, bias)))
    settings = {"words": _words, "hint": "For each image: mapping(h), then 1 minus the cosine of that and t."}
    agree(student, cases, oracle.feature_distillation_loss, oracle.FEATURE_MISTAKES, **settings)
    other = [
        (0.01 * student.normal(n, wide), student.normal(n, out), _mapping(student, wide, out))
        for n, wide, out in ((6, 3, 8), (200, 5, 2))
    ]
    agree(student, other, oracle.feature_distillation_loss, **settings)

    h, t, mapping = cases[0]
    same = number(student(h, 2.5 * mapping(h).detach(), mapping))
    if not close(same, 0.0):
        raise Wrong(f"For a teacher that says 2.5 times what the mapped student says {gives(same, 0.0)}")
    _gradients(student, h, t, mapping)
    return (
        "Equal to the definition, whatever the widths and lengths; 0 for equal directions; student and mapping learn, "
        "the teacher does not."
    )


def _gradients(student: Student, h: Tensor, t: Tensor, mapping: nn.Linear) -> None:
    learner, teacher = h.clone().requires_grad_(), t.clone().requires_grad_()
    loss = student(learner, teacher, mapping)
    if not getattr(loss, "requires_grad", False):
        raise Wrong("The value is right, but it carries no gradient, so nothing could learn from it: do not detach it.")
    loss.backward()
    if teacher.grad is not None and teacher.grad.any():
        raise Wrong("The value is right, but a gradient reaches the teacher: it is fixed, detach its features.")
    if learner.grad is None or not learner.grad.any():
        raise Wrong("The value is right, but no gradient reaches the student's features: they are detached on the way.")
    if mapping.weight.grad is None or not mapping.weight.grad.any():
        raise Wrong("The value is right, but no gradient reaches the mapping: it is learnt together with the student.")

    exact = h.double().requires_grad_()
    (wanted,) = torch.autograd.grad(oracle.feature_distillation_loss(exact, t, mapping), exact)
    if not close(learner.grad / wanted.abs().max(), wanted / wanted.abs().max(), 1e-3):
        raise Wrong("The value is right, but the gradient for the student is not the definition's: is a part detached?")

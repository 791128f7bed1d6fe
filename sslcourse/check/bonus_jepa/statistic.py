"""The check of epps_pulley: every column against the definition, and its gradient."""

import torch
from torch import Tensor

from sslcourse.check.bonus_jepa import oracle
from sslcourse.check.bonus_jepa.statistic_mistakes import EPPS_PULLEY_MISTAKES
from sslcourse.check.compare import by_hand, claimed, close, doubled, gives, shown, tensor, told, worst
from sslcourse.check.machinery import Student, Wrong


def examine_statistic(student: Student) -> str:
    x = student.normal(7, 3) * torch.tensor([1.0, 0.4, 2.5]) + torch.tensor([0.0, 0.7, -1.2])
    cases = [(x,), (x, 9), (x, 33, 3.0), (x, 12, 4.5), (student.normal(40, 2) + 0.3, 17, 2.0)]
    cases.append((x, 4, 4.5))  # of so few knots the value depends on their number, of many it hardly does
    values = [_values(student, case) for case in cases]
    right = [oracle.epps_pulley(*doubled(case)) for case in cases]
    wrong = [n for n, pair in enumerate(zip(values, right, strict=True)) if not close(*pair)]
    if wrong:
        _explain(student, cases, values, right, wrong[0])

    for what, case in (("one value", (x[:1],)), ("one column", (x[:, :1],)), ("300 values", (student.normal(300, 2),))):
        value, wanted = _values(student, case), oracle.epps_pulley(*doubled(case))
        if not close(value, wanted):
            (n,), came, should = worst(value, wanted)
            raise Wrong(f"For {what}, in column {n}, {gives(came, should)}")

    inputs, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    came = student(inputs, 17, 3.0)
    if not came.requires_grad:
        raise Wrong("The value is right, but it carries no gradient, so nothing could learn from it: do not detach it.")
    (gradient,) = torch.autograd.grad(came.sum(), [inputs], allow_unused=True)
    (wanted,) = torch.autograd.grad(oracle.epps_pulley(exact).sum(), [exact])
    if gradient is None or not close(gradient / wanted.abs().max(), wanted / wanted.abs().max(), 1e-3):
        raise Wrong("The value is right, but the gradient for x is not the definition's: a part of it is detached.")
    return "Equal to the definition for each column, at six numbers and ranges of knots; gradients reach x."


def _values(student: Student, case: tuple) -> Tensor:
    result = student(*case)
    columns = case[0].shape[1]
    if isinstance(result, Tensor) and result.shape == () and columns > 1:
        raise Wrong(f"It returns one number, it should be {columns}: every column of x has a statistic of its own.")
    value = tensor(result, (columns,), "It returns").detach()
    if value.is_complex():
        raise Wrong("It returns complex numbers: the distance is a square of a length, a real number.")
    return value


def _explain(student: Student, cases, values, right, n: int) -> None:
    """The named mistake, or a case that can be worked out by hand."""
    (column,), came, should = worst(values[n], right[n])
    rows, columns = cases[n][0].shape
    rest = "".join(f", {name} = {value}" for name, value in zip(("knots", "t_max"), cases[n][1:], strict=False))
    found = f"On x of shape ({rows}, {columns}){rest}, in column {column}, {gives(came, should)}"
    fitting = claimed(EPPS_PULLEY_MISTAKES, cases, values, right)
    fact = ""
    few = by_hand(student.normal(2, 1)), 3, 2.0
    if len(fitting) != 1:
        value, wanted = _values(student, few), oracle.epps_pulley(*doubled(few))
        every = [*values, value], [*right, wanted]
        fitting = claimed(fitting, [*cases, few], *every)
        fact = "" if len(fitting) == 1 else told(*every, cases=[*cases, few])
        if len(fitting) != 1 and not close(value, wanted):
            raise Wrong(
                f"On x = {shown(few[0])} with knots 0, 1, 2 (knots = 3, t_max = 2) {gives(value[0], wanted[0])}"
                f"{fact}\n"
                "Try that case by hand: at each knot a mean of cosines and one of sines, each minus its target, "
                "squared; then weights, trapezoids, twice, times N."
            )
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
    raise Wrong(f"{found}{fact}")

"""How the measures of alignment between two representations are examined (week 11): CKA, RSA, Procrustes."""

import torch
from torch import Tensor

from sslcourse.check.compare import agree, by_hand, close, doubled, gives, number, tensor
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week11 import alignment_oracle as oracle


def _samples(x: Tensor, y: Tensor, debiased: bool = False) -> str:
    also = " with debiased=True" if debiased else ""
    return f"{len(x)} samples in {x.shape[1]} and {y.shape[1]} dimensions{also}"


def _rotation(student: Student, d: int) -> Tensor:
    return torch.linalg.qr(student.normal(d, d).double()).Q.float()


def examine_cka(student: Student) -> str:
    """Values, both estimators, invariances, and that unrelated representations get what they should."""
    x = 2 * student.normal(12, 6) + 1
    y = x @ student.normal(6, 6) + student.normal(12, 6) - 0.5
    other = x @ student.normal(6, 4) + student.normal(12, 4) + 2
    few = by_hand(student.normal(3, 2) + 1), by_hand(student.normal(3, 2) - 1)
    agree(
        student,
        [(x, y), (y * torch.tensor([1.0, 2.0, 3.0, 0.5, 1.0, 0.2]), x), (x[:6], y[:6]), (few[0], few[1])],
        oracle.linear_cka,
        oracle.CKA_MISTAKES,
        words=_samples,
        small=few,
        hint="centre the two columns of each first; then three products of 2 x 2.",
    )
    agree(student, [(x, other), (other, x)], oracle.linear_cka, oracle.CKA_MISTAKES, words=_samples)
    agree(
        student,
        [(x, y, True), (x, other, True), (student.normal(30, 8), student.normal(30, 5), True), (x[:7], y[:7], True)],
        oracle.linear_cka,
        oracle.DEBIASED_MISTAKES,
        words=_samples,
        tolerance=1e-3,
        hint="put x.T @ y and the squared lengths of the centred rows into the formula above, for all three terms.",
    )
    for debiased in (False, True):
        before = number(student(x, y, debiased))
        after = number(student(x @ _rotation(student, 6) * 5 + 3, y - 7, debiased))
        if not close(after, before, 1e-3):
            raise Wrong(
                f"After a rotation, scaling and translation of x {gives(after, before)} None of them may change it."
            )
        if not close(own := number(student(x, x, debiased)), 1.0, 1e-3):
            raise Wrong(f"For y = x {gives(own, 1.0)}")
    large = student.normal(1500, 3), student.normal(1500, 3)
    if not close(number(student(*large)), oracle._linear_cka(*doubled(large)), 1e-3):
        raise Wrong("On 1500 samples it is not the definition any more: mind how the products are computed.")
    return (
        "Plain and debiased equal to the definition with kernels; no rotation, scale or translation changes it; "
        "representations of different widths."
    )


def examine_rsa(student: Student) -> str:
    x = student.normal(9, 6) + 1
    y = x + 0.8 * student.normal(9, 6)
    other = x @ student.normal(6, 4) + student.normal(9, 4)
    square = student.normal(7, 7), student.normal(7, 7)
    agree(
        student,
        [(x, y), square, (x[:5], y[:5])],
        oracle.rsa,
        oracle.RSA_MISTAKES,
        words=_samples,
        hint="numpy.corrcoef correlates rows; scipy.stats.spearmanr ranks for you.",
        tolerance=1e-3,
    )
    agree(student, [(x, other), (y, other)], oracle.rsa, oracle.RSA_MISTAKES, words=_samples, tolerance=1e-3)
    if not close(own := number(student(x, 2 * x + 3)), 1.0):
        raise Wrong(f"For y = 2 x + 3 {gives(own, 1.0)} Pearson's correlation does not see scale and a common offset.")
    return "Equal to the definition: pairs i < j, Pearson between samples, Spearman between the two lists."


def examine_procrustes(student: Student) -> str:
    for n, d, noise in ((20, 4, 0.3), (15, 3, 1.0), (40, 6, 0.1)):
        x = student.normal(n, d) * torch.linspace(0.5, 2, d) + 2
        turn = _rotation(student, d)
        mirrored = turn * torch.tensor([1.0] * (d - 1) + [-1.0])
        for r in (turn, mirrored):
            y = x @ r + noise * student.normal(n, d) - 1
            came = tensor(student(x, y), (d, d), "It returns")
            wanted = oracle.procrustes(*doubled((x, y)))
            if close(came, wanted, 1e-3):
                continue
            fitting = [
                sentence
                for sentence, wrong in oracle.PROCRUSTES_MISTAKES.items()
                if any(close(came, one(*doubled((x, y))), 1e-3) for one in wrong)
            ]
            said = f"\nIt looks as if {fitting[0]}" if len(fitting) == 1 else ""
            first = ", ".join(f"{v:.3f}" for v in wanted[0].tolist())
            mine = ", ".join(f"{v:.3f}" for v in came[0].tolist())
            if not said and not close(came.T @ came, torch.eye(d), 1e-3):
                said = "\nYours is not orthogonal: R^T R should be the identity."
            raise Wrong(
                f"On {n} points in {d} dimensions the first row of R is [{mine}], it should be [{first}].{said}"
            )
    return "The orthogonal matrix nearest to y, reflections included, whatever the two means are."

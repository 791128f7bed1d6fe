"""How the measures of alignment between two representations are examined (week 11): CKA, RSA, Procrustes."""

import torch
from torch import Tensor

from sslcourse.check.compare import agree, by_hand, close, doubled, gives, number, tensor
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week11 import alignment_oracle as oracle
from sslcourse.check.week11 import cka_oracle as cka


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
    plain = [
        (x, y),
        (y * torch.tensor([1.0, 2.0, 3.0, 0.5, 1.0, 0.2]), x),
        (x[:6], y[:6]),
        (student.normal(9, 12), student.normal(9, 12) + 1),  # more features than samples
        (few[0], few[1]),
    ]
    _not_debiased_always(student, plain[:2])
    agree(
        student,
        plain,
        cka.linear_cka,
        cka.CKA_MISTAKES,
        words=_samples,
        small=few,
        hint="centre the two columns of each first; then three products of 2 x 2.",
    )
    agree(student, [(x, other), (other, x)], cka.linear_cka, cka.CKA_MISTAKES, words=_samples)
    agree(
        student,
        [(x, y, True), (x, other, True), (*_unrelated(student), True), (x[:8], y[:8], True)],
        cka.linear_cka,
        cka.DEBIASED_MISTAKES,
        words=_samples,
        tolerance=1e-3,
        hint="Put x.T @ y and the squared lengths of the centred rows into the formula above, for all three terms.",
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
    large = student.normal(400, 3), student.normal(400, 3)
    if not close(number(student(*large)), cka._linear_cka(*doubled(large)), 1e-3):
        raise Wrong("On 400 samples it is not the definition any more: mind how the products are computed.")
    return (
        "Plain and debiased equal to the definition with kernels; no rotation, scale or translation changes it; "
        "representations of different widths."
    )


def _not_debiased_always(student: Student, cases: list[tuple]) -> None:
    """Apart from the others: of few samples the unbiased estimate is not a number, so no value would show it."""
    values = [number(student(*case)) for case in cases]
    plain, fair = ([float(cka.linear_cka(*doubled(case), d)) for case in cases] for d in (False, True))
    if all(map(close, values, fair)) and not any(map(close, values, plain)):
        raise Wrong(
            f"On {_samples(*cases[0])} {gives(values[0], plain[0])}\nIt looks as if it is debiased in either case: "
            "only with debiased=True the unbiased estimate takes the place of the squared norms."
        )


def _unrelated(student: Student) -> tuple[Tensor, Tensor]:
    """Two representations whose unbiased CKA is negative, as it is for one in two pairs that have nothing in common."""
    while True:
        pair = student.normal(30, 8), student.normal(30, 5)
        if float(cka.linear_cka(*doubled(pair), True)) < -0.02:
            return pair


def examine_rsa(student: Student) -> str:
    x = student.normal(9, 6) + 1
    y = x + 0.8 * student.normal(9, 6)
    other = x @ student.normal(6, 4) + student.normal(9, 4)
    square = student.normal(7, 7), student.normal(7, 7)
    _not_the_diagonal(student, [(x, y), square])
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


def _not_the_diagonal(student: Student, cases: list[tuple]) -> None:
    """Apart from the others: rounding decides how the zeros of a diagonal are ranked, so no value is exact.

    Rows of eight 1 and eight -1 are an exception: their correlations come out exactly.
    """
    signs = torch.tensor([1.0] * 8 + [-1.0] * 8)
    x, y = (torch.stack([signs[torch.randperm(16, generator=student.generator)] for _ in range(6)]) for _ in range(2))
    values = [number(student(*case)) for case in cases]
    exact = number(student(x, y))
    right = [float(oracle.rsa(*doubled(case))) for case in cases]
    for part in ("all", "upper with diagonal"):
        full = [float(oracle._rsa(*doubled(case), part=part)) for case in cases]
        if (
            all(map(close, values, full, [0.04] * 2))
            and not any(map(close, values, right, [1e-3] * 2))
            and close(exact, oracle._rsa(*doubled((x, y)), part=part))
        ):
            raise Wrong(
                f"On {_samples(*cases[0])} {gives(values[0], right[0])}\n"
                f"It looks as if {oracle.RSA_MISTAKES[0].sentence}"
            )


def examine_procrustes(student: Student) -> str:
    cases = []
    for n, d, noise in ((20, 4, 0.3), (15, 3, 1.0), (40, 6, 0.1)):
        x = student.normal(n, d) * torch.linspace(0.5, 2, d) + 2
        turn = _rotation(student, d)
        mirrored = turn * torch.tensor([1.0] * (d - 1) + [-1.0])
        for r in (turn, mirrored):
            cases.append((x, x @ r + noise * student.normal(n, d) - 1))
    came = [tensor(student(x, y), (x.shape[1],) * 2, "It returns") for x, y in cases]
    wanted = [oracle.procrustes(*doubled(case)) for case in cases]
    right = list(map(close, came, wanted, [1e-3] * len(cases)))
    if not all(right):
        fitting = [
            sentence
            for sentence, wrong in oracle.PROCRUSTES_MISTAKES.items()
            if any(
                all(close(c, one(*doubled(case)), 1e-3) for c, case in zip(came, cases, strict=True)) for one in wrong
            )
        ]
        at = right.index(False)
        said = f"\nIt looks as if {fitting[0]}" if len(fitting) == 1 else ""
        if not said and not close(came[at].T @ came[at], torch.eye(len(came[at])), 1e-3):
            said = "\nYours is not orthogonal: R^T R should be the identity."
        mine, first = (", ".join(f"{v:.3f}" for v in r[at][0].tolist()) for r in (came, wanted))
        raise Wrong(
            f"On {len(cases[at][0])} points in {len(came[at])} dimensions the first row of R is [{mine}], it should be "
            f"[{first}].{said}"
        )
    return "The orthogonal matrix nearest to y, reflections included, whatever the two means are."

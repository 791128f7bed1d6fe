"""Checks of week 7's two parts of DINOv2, Sinkhorn-Knopp and KoLeo. Definitions and mistakes: spread_oracle.py."""

import torch
from torch import Tensor

from sslcourse.check.compare import agree, claimed, close, gives, gradients_agree, number, tensor, told, worst
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week07 import spread_oracle as oracle


@exercise("week07")
def sinkhorn(student: Student) -> str:
    """sinkhorn(scores (N, K), temperature=0.05, iterations=3) -> (N, K), rows sum to 1, columns nearly to N / K."""

    def scores(n: int, k: int, lead: float = 0.3) -> Tensor:
        return 0.3 * student.normal(n, k) + lead * student.normal(k)  # some prototypes are ahead for every image

    cases = [
        (scores(6, 4), 0.2, 3),
        (scores(3, 5), 0.5, 1),
        (scores(7, 3), 0.3, 5),
        (scores(4, 4, 0.1),),
        (scores(1, 3), 0.4, 2),
    ]
    names = [f"{len(x[0])} images and {x[0].shape[1]} prototypes" for x in cases]
    values = []
    for name, case in zip(names, cases, strict=True):
        shape = tuple(case[0].shape)
        if isinstance(came := student(*case), Tensor) and tuple(came.shape) == shape[::-1] != shape:
            raise Wrong(f"For {name} it returns {shape[::-1]}, the transpose: images are rows, as in the scores.")
        values.append(tensor(came, shape, f"For {name} it returns"))
    right = [oracle.sinkhorn(*case) for case in cases]
    met = [close(*pair) for pair in zip(values, right, strict=True)]
    if not all(met):
        n = met.index(False)
        if n == 3 and sum(met) == len(met) - 1:
            raise Wrong("Without temperature and iterations it is not right. The defaults are 0.05 and 3.")
        (row, column), came, wanted = worst(values[n], right[n])
        found = f"For {names[n]}, at image {row} and prototype {column}, {gives(came, wanted)}"
        fitting = claimed(oracle.SINKHORN_MISTAKES, cases, values, right)
        if len(fitting) == 1:
            raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
        found += told(values, right)
        raise Wrong(f"{found}\nexp(scores / temperature), then in every round: columns to sum 1, rows to sum 1.")

    far = torch.tensor([[10.0, 9.8, 9.0], [10.1, 10.0, 9.5]])
    if not close(student(far, 0.05, 3), oracle.sinkhorn(far, 0.05, 3)):
        raise Wrong(
            "For scores of 10 at temperature 0.05 the result is not right: exp(200) is more than float32 holds. "
            "Subtract the largest score first, or stay with logarithms (logsumexp) until the end."
        )
    asked = cases[0][0].clone().requires_grad_()
    if student(asked, 0.2, 3).requires_grad:
        raise Wrong("The values are right, but they carry a gradient: these are the teacher's answers, detach them.")
    return "Rows sum to 1 and every prototype gets nearly its share; large scores do not overflow; no gradient."


@exercise("week07")
def koleo(student: Student) -> str:
    """koleo(features (N, D)) -> scalar: minus the mean log distance of directions to the nearest other one."""

    def drawn(n: int, dim: int) -> Tensor:
        return student.normal(n, dim) * (0.3 + 2 * student.uniform(n, 1)) + 0.3 * student.normal(dim)

    near = drawn(6, 4)
    near[1] = 3 * near[0] + 0.06 * student.normal(4)  # two of one direction and of unequal lengths
    cases = [(drawn(7, 5),), (drawn(12, 3),), (near,), (drawn(2, 4),)]
    agree(
        student,
        cases,
        oracle.koleo,
        oracle.KOLEO_MISTAKES,
        words=lambda x: f"{len(x)} rows in {x.shape[1]} dimensions",
        hint="Length 1 for every row, the distance to the nearest other row, its logarithm, the mean, the sign.",
    )
    corners = torch.cat([torch.eye(3), -torch.eye(3)])
    if not close(came := number(student(corners)), float(oracle.koleo(corners.double()))):
        raise Wrong(
            f"For the six corners of an octahedron {gives(came, float(oracle.koleo(corners.double())))} The nearest "
            "are at a distance of root 2."
        )
    gradients_agree(student, cases[0], oracle.koleo, names=("features",))
    same = student(near[:1].expand(4, 4).clone())
    if not torch.tensor(number(same)).isfinite():
        raise Wrong("For four equal rows it is not finite: add 1e-8 to the distance before the logarithm.")
    return "Equal to the definition; an octahedron has its known value; equal rows cost much, and no infinity."

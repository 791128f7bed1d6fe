"""The check of gride. Definition and named mistakes: gride_oracle.py."""

from torch import Tensor

from sslcourse.check.compare import agree, claimed, close, gives, number
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week10 import gride_oracle as oracle
from sslcourse.check.week10.points import points_of, without_dimension

TOLERANCE = 1e-3  # of a root that was searched for


@exercise("week10")
def gride(student: Student) -> str:
    """gride(x, n1) -> the dimension of largest likelihood of r_2n / r_n (Denti et al. 2022), with N or with N - 1."""
    x, y, wide = student.normal(60, 3), student.uniform(47, 5), student.normal(60, 40)
    cases = [(x, 1), (x, 2), (y, 4), (x, 8)]
    _gives_numbers(student, cases)
    agree(
        student,
        cases,
        oracle.GRIDE_READINGS,
        oracle.GRIDE_MISTAKES,
        words=_of_points,
        hint="mu is r_{2 n1} / r_{n1}, itself left out; for n1 = 1 the result is N / sum log(mu), or (N - 1) / sum.",
        tolerance=TOLERANCE,
    )
    # So many directions have a dimension that a search from 1 to 10 does not reach.
    value, wanted = number(student(wide, 2)), oracle.gride(wide, 2)
    if not (close(value, wanted, TOLERANCE) or close(value, oracle.gride(wide, 2, less=1), TOLERANCE)):
        end = "\nIt looks as if the search ends too early: look for the root up to 1000." if value < wanted else ""
        raise Wrong(f"On {_of_points(wide, 2)} {gives(value, wanted)}{end}")
    return f"The largest likelihood at n1 = 1, 2, 4 and 8. {without_dimension(student)}"


def _of_points(x: Tensor, n1: int) -> str:
    return f"{points_of(x)} and n1 = {n1}"


def _gives_numbers(student: Student, cases: list[tuple]) -> None:
    """Many mistakes leave no root, and end in an error of the search; where, says which."""
    values = [_value_or_error(student, case) for case in cases]
    failed = [isinstance(value, Wrong) for value in values]
    if not any(failed) and all(abs(value) >= 1e-2 for value in values):
        return
    found = [(case, value) for case, value in zip(cases, values, strict=True) if not isinstance(value, Wrong)]
    tail = f"On {_of_points(*cases[0])} yours gives {values[0]}." if not failed[0] else str(values[0])
    # The term with n1 - 1 is absent at n1 = 1: who is right there, and finds nothing at n1 = 2, is wrong in that term.
    if not failed[0] and failed[1] and close(values[0], oracle.gride(cases[0][0], 1), 0.02):
        raise Wrong(
            f"{values[1]}\nAt n1 = 1 it is right: so it looks as if the term with n1 - 1 is wrong, which is "
            "(n1 - 1) log(mu) mu^d / (mu^d - 1) in the slope of the log-likelihood."
        )
    if failed[0] or not abs(values[0]) >= 1e-2:
        rest = [(case, value) for case, value in found if case[1] > 1]
        if rest:
            given, came = zip(*rest, strict=True)
            right = [oracle.gride(*case) for case in given]
            named = claimed(oracle.GRIDE_MISTAKES, given, came, right, TOLERANCE)
            if [mistake.sentence for mistake in named] == [oracle.ITSELF_COUNTED]:
                raise Wrong(f"{tail}\nIt looks as if {oracle.ITSELF_COUNTED}")
        raise Wrong(
            f"{tail}\nAt n1 = 1 the slope is N / d - sum log(mu), which falls from above 0 to below. Is each mu far / "
            "near, above 1, with the point itself left out, and does 1 / d count once for every point?"
        )
    if failed[0] or any(failed):
        raise next(value for value in values if isinstance(value, Wrong))


def _value_or_error(student: Student, case: tuple) -> float | Wrong:
    """The number, or what is told where the student's code refuses these points with a ValueError."""
    try:
        return number(student(*case))
    except Wrong as wrong:
        if isinstance(wrong.__context__, ValueError | ZeroDivisionError):
            return wrong
        raise

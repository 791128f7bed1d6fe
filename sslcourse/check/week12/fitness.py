"""How ProteinGym's measures are examined (week 12)."""

from math import isnan

import torch
from torch import Tensor

from sslcourse.check.compare import close, gives, number
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week12 import fitness_oracle as oracle

KEYS = ("spearman", "ndcg", "recall")


def _scan(student: Student, n: int, strength: float, ties: bool = False) -> tuple[Tensor, Tensor]:
    """Scores, and measurements that follow them more or less; most mutants are harmful, as in real scans."""
    measured = -3 * student.uniform(n).square() + 0.5
    scores = strength * measured + student.normal(n) - 4
    return (scores.mul(2).round().div(2), measured) if ties else (scores, measured)


def _values(student: Student, scores: Tensor, measured: Tensor) -> dict[str, float]:
    came = student(scores, measured)
    if came is None:
        raise Wrong("It returns None: is the `return` missing?")
    if not isinstance(came, dict) or set(came) != set(KEYS):
        found = f"keys {', '.join(map(repr, came))}" if isinstance(came, dict) else f"a {type(came).__name__}"
        raise Wrong(f"It returns {found}; it should be a dict with the keys {', '.join(KEYS)}.")
    return {key: number(came[key]) for key in KEYS}


def examine_proteingym(student: Student) -> str:
    """Scans of a multiple of ten mutants first, of which everybody's tenth is the same; ties for Spearman alone."""
    cases = [_scan(student, n, strength) for n, strength in ((40, 1.0), (60, 2.0), (30, 0.0), (50, -1.0), (200, 3.0))]
    came = [_values(student, *case) for case in cases]
    for key in KEYS:
        _agree(key, cases, [values[key] for values in came])
    tied = [_scan(student, 40, 2.0, ties=True), _scan(student, 30, 1.0, ties=True)]
    _agree("spearman", cases + tied, [_values(student, *case)["spearman"] for case in cases + tied], tied=True)

    _rounded_down(student)
    scores, measured = cases[1]
    perfect = _values(student, 7 * measured + 100, measured)
    for key, value in perfect.items():
        if not close(value, 1.0):
            raise Wrong(
                f"For scores that are 7 times the measurements, plus 100, {key} should be 1: {gives(value, 1.0)}"
            )
    few = _values(student, torch.tensor([2.0, 1.0, 3.0]), torch.tensor([0.0, 1.0, 4.0]))
    for key, wanted in oracle.proteingym(torch.tensor([2.0, 1.0, 3.0]), torch.tensor([0.0, 1.0, 4.0])).items():
        if not close(few[key], wanted):
            raise Wrong(f"Of three mutants the best tenth is one, at least: {key}, {gives(few[key], wanted)}")
    return "Equal to counts by hand on scans of 30 to 200 mutants, with ties; 1 where scores and measurements agree."


def _rounded_down(student: Student) -> None:
    """Of 27 mutants the best tenth are two, of 38 three: by NDCG; ProteinGym's recall takes percentiles instead."""
    for n in (27, 38):
        case = _scan(student, n, 1.0)
        came, wanted = _values(student, *case)["ndcg"], oracle.ndcg(*case)
        if not close(came, wanted):
            found = f"On {n} mutants ndcg is not right: {gives(came, wanted)}"
            if close(came, oracle.ndcg(*case, share=(n // 10 + 1) / n)):
                raise Wrong(f"{found}\nIt looks as if a tenth is rounded up: int({n} / 10) = {n // 10} are the best.")
            raise Wrong(f"{found} The best tenth are int({n} / 10) = {n // 10}.")


def _agree(key: str, cases: list[tuple], values: list[float], tied: bool = False) -> None:
    """tied: what was right without ties is compared with them, too."""
    definition = getattr(oracle, key)
    wanted = [definition(*case) for case in cases]
    wrong = [n for n, pair in enumerate(zip(values, wanted, strict=True)) if not close(*pair)]
    if not wrong:
        return
    n = wrong[0]
    found = f"On {len(cases[n][0])} mutants {key} is not right: {gives(values[n], wanted[n])}"
    if tied:
        raise Wrong(
            f"{found}\nIt looks as if equal values do not share the mean of their ranks, as in scipy.stats.spearmanr."
        )
    if key == "ndcg" and isnan(values[n]):
        raise Wrong(
            f"{found}\nSomething is divided by 0: the first place by log2(1), where ranks count from 0? Place n, from "
            "1, is divided by log2(n + 1)."
        )
    fitting = [mistake for mistake in oracle.MISTAKES[key] if mistake.fits(cases, values, 1e-4)]
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
    raise Wrong(found)

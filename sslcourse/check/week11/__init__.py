"""Checks of week 11: relative representations and retrieval. Definitions: oracle.py and its like.

The measures of alignment (linear_cka, rsa, procrustes) are examined in alignment.py, select_anchors in anchors.py,
mutual_knn in mutual.py, stitch in stitching.py.
"""

import math

import torch
from torch import Tensor

from sslcourse.check.compare import by_hand, close, doubled, gives, number, shown, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week11 import oracle
from sslcourse.check.week11 import retrieval_oracle as found
from sslcourse.check.week11.alignment import examine_cka, examine_procrustes, examine_rsa
from sslcourse.check.week11.anchors import examine_anchors
from sslcourse.check.week11.mutual import examine_mutual_knn
from sslcourse.check.week11.stitching import examine_stitch

__all__ = ["linear_cka", "mutual_knn", "procrustes", "relative", "report", "retrieval", "rsa", "select_anchors"]
__all__ += ["stitch", "sweep"]


def _named(mistakes: dict, fits) -> str:
    """The sentence of the only mistake that fits, after a line break; nothing where none or several do."""
    found = [sentence for sentence, wrong in mistakes.items() if any(map(fits, wrong))]
    return f"\nIt looks as if {found[0]}" if len(found) == 1 else ""


# --- relative


@exercise("week11")
def relative(student: Student) -> str:
    """relative(x, anchors, center=False) -> (N, A): cosines to the anchors; center takes the anchors' mean off both."""
    x, anchors = student.normal(7, 5) + 1.5, 2 * student.normal(4, 5) + 0.5
    wide = student.normal(6, 9) * (0.2 + 3 * student.uniform(6, 1)), student.normal(8, 9) - 1
    cases = [(x, anchors, False), (*wide, False), (x, anchors, True), (*wide, True)]
    came = []
    for case in cases:
        shape = len(case[0]), len(case[1])
        given = student(*case)
        if isinstance(given, Tensor) and tuple(given.shape) == shape[::-1]:
            raise Wrong(
                f"For {shape[0]} samples and {shape[1]} anchors it returns a tensor of shape {shape[::-1]}, it should "
                f"be {shape}: a row for every sample, a column for every anchor."
            )
        came.append(tensor(given, shape, f"For {shape[0]} samples and {shape[1]} anchors it returns"))

    def fits(definition, n: int = len(cases)) -> bool:
        return all(close(c, definition(*doubled(case))) for c, case in zip(came[:n], cases, strict=False))

    if not fits(oracle.relative):
        few = by_hand(student.normal(2, 2) + 1), by_hand(student.normal(2, 2) + 1)
        said = _named(oracle.RELATIVE_MISTAKES, fits)
        if not said and not fits(oracle.relative, 2):  # two mistakes at once: name the one that shows without centring
            plainly = {why: wrong for why, wrong in oracle.RELATIVE_MISTAKES.items() if why != oracle.ALWAYS}
            said = _named(plainly, lambda definition: fits(definition, 2))
        for center in (False, True):
            value, wanted = (
                tensor(student(*few, center), (2, 2), "It returns"),
                oracle.relative(*doubled((*few, center))),
            )
            if not close(value, wanted):
                raise Wrong(
                    f"For x = {shown(few[0])} and anchors = {shown(few[1])} with center={center}, the similarity of "
                    f"the last sample to the last anchor: {gives(float(value[1, 1]), float(wanted[1, 1]))}{said}"
                    if not close(value[1, 1], wanted[1, 1])
                    else f"For x = {shown(few[0])} and anchors = {shown(few[1])} with center={center} it should be "
                    f"{shown((wanted * 1000).round() / 1000)}.{said}"
                )
        n = [close(c, oracle.relative(*doubled(case))) for c, case in zip(came, cases, strict=True)].index(False)
        raise Wrong(f"On {len(cases[n][0])} samples with center={cases[n][2]} it is not the matrix of cosines.{said}")

    plain = tensor(student(x, anchors), (7, 4), "It returns")
    if not close(plain, oracle.relative(x.double(), anchors.double())):
        raise Wrong("Without the argument center it should not centre: the default is False.")
    return (
        "Equal to the cosines one by one, centred and not, for samples and anchors of any length; so it does not "
        "change under rotation and scale, and with center not under translation either."
    )


# --- select_anchors


@exercise("week11")
def select_anchors(student: Student) -> str:
    """select_anchors(x, n, method="uniform", generator=None) -> (n,) distinct indices: uniform, farthest, kmeans."""
    return examine_anchors(student)


# --- retrieval

_PARTS = ("mrr", "top1", "cosine", "jaccard")
_MISTAKES = {
    "mrr": found.MRR_MISTAKES,
    "top1": found.TOP1_MISTAKES,
    "cosine": found.COSINE_MISTAKES,
    "jaccard": found.JACCARD_MISTAKES,
}


@exercise("week11")
def retrieval(student: Student) -> str:
    """retrieval(a, b, k=10) -> {"mrr", "top1", "cosine", "jaccard"}, row i of a against all rows of b."""
    cases = []
    for n, d, k, noise in ((16, 6, 4, 0.9), (20, 5, 10, 0.6), (13, 4, 12, 0.5), (24, 8, 1, 2.0)):
        a = student.normal(n, d) + 0.6
        b = a + noise * student.normal(n, d)
        cases.append((a * (0.3 + 2 * student.uniform(n, 1)), b * (0.3 + 2 * student.uniform(n, 1)) - 0.2, k))
    cases.append(_many(student))  # more than fit into a batch
    came = [_parts(student(*case)) for case in cases]
    right = [found.retrieval(*doubled(case)) for case in cases[:-1]] + [found._fast(*doubled(cases[-1]))]

    for part in _PARTS:
        values, wanted = [one[part] for one in came], [one[part] for one in right]
        if all(map(close, values, wanted)):
            continue

        def fits(wrong, part=part, values=values) -> bool:
            expected = [wrong(*doubled(case)) for case in cases]
            return all(v == e or (math.isfinite(e) and close(v, e)) for v, e in zip(values, expected, strict=True))

        n = list(map(close, values, wanted)).index(False)
        a, _, k = cases[n]
        said = _named(_MISTAKES[part], fits)
        if n == len(cases) - 1 and not said:
            said = (
                "\nOn fewer points it is right. If it goes through a in batches: each is compared with all rows of b, "
                "and a small last batch weighs less."
            )
        raise Wrong(
            f"{part}: on {len(a)} points in {a.shape[1]} dimensions with k = {k} {gives(values[n], wanted[n])}{said}"
        )

    a, b, _ = cases[1]
    ten = _parts(student(a, b))
    if not close(ten["jaccard"], right[1]["jaccard"]):
        raise Wrong("Without the argument k its jaccard is not that of 10 neighbours: the default is 10.")
    same = _parts(student(a, 3 * a, 5))
    for part, value in same.items():
        if not close(value, 1.0):
            raise Wrong(f"{part}: for b = 3 a {gives(value, 1.0)} Nothing but the lengths differs.")
    return "All four equal to the definition, at k from 1 to N - 1; one where b is a multiple of a."


def _many(student: Student) -> tuple[Tensor, Tensor, int]:
    """300 points whose last ones are found more easily, and no two similarities so near that rounding decides."""
    noise = torch.where(torch.arange(300) < 256, 1.5, 0.2)[:, None]
    while True:
        a = student.normal(300, 6)
        b = a + noise * student.normal(300, 6)
        tables = [found._cosines(*doubled(pair)) for pair in ((a, b), (a, a), (b, b))]
        if all(float(table.sort(dim=1).values.diff(dim=1).min()) > 1e-8 for table in tables):
            return a, b, 7


def _parts(result: object) -> dict[str, float]:
    if result is None:
        raise Wrong("It returns None: is the `return` missing?")
    if not isinstance(result, dict):
        raise Wrong(f"It returns something of type {type(result).__name__}, it should be a dict of four numbers.")
    if missing := [part for part in _PARTS if part not in result]:
        raise Wrong(f"The dict has no entry {missing[0]!r}; it should have {', '.join(_PARTS)}.")
    return {part: number(result[part]) for part in _PARTS}


# --- stitch


@exercise("week11")
def stitch(student: Student) -> str:
    """stitch(head, x, anchors, labels) -> accuracy of a trained head on the relative space of another model."""
    return examine_stitch(student)


# --- alignment


@exercise("week11")
def linear_cka(student: Student) -> str:
    """linear_cka(x, y, debiased=False), centred."""
    return examine_cka(student)


@exercise("week11")
def rsa(student: Student) -> str:
    """rsa(x, y): Spearman of dissimilarities, upper triangle."""
    return examine_rsa(student)


@exercise("week11")
def procrustes(student: Student) -> str:
    """procrustes(x, y) -> R orthogonal with x R close to y after centring."""
    return examine_procrustes(student)


@exercise("week11")
def mutual_knn(student: Student) -> str:
    """mutual_knn(x, y, k=10) -> mean share of the k nearest by cosine in common, itself left out (Huh et al. 2024)."""
    return examine_mutual_knn(student)

"""How precision at L is examined (week 12)."""

import math
import warnings

import torch
from torch import Tensor

from sslcourse.check.compare import agree, close, number
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week12 import precision_oracle as oracle
from sslcourse.check.words import shorten


def _pairs_in_range(scores, contacts, low=6, high=None, fraction=1.0) -> str:
    upper = "" if high is None else f" to {high}"
    return f"L = {len(scores)}, {int(contacts.triu(1).sum())} contacts, separation {low}{upper}, fraction {fraction:g}"


def examine_precision(student: Student) -> str:
    """Three ranges, three fractions, scores of either sign, ties, and a protein too short for any pair."""
    cases = []
    for length, rest in (
        (20, ()),
        (31, (6, 11)),
        (40, (12, 23)),
        (40, (24, None)),
        (26, (6, None, 0.2)),
        (29, (6, None, 0.2)),
        (21, (3, None, 0.5)),
        (9, (6, None, 1.0)),
    ):
        # Scores favour contacts, and pairs at the ends of the range: an end that is off shows.
        contacts, apart = _contacts(student, length)
        noise = student.uniform(length, length).triu(1)
        low, high = (rest[0] if rest else 6), (rest[1] if len(rest) > 1 else None)
        end = (apart == low) | (apart == low - 1) | (apart == (high or -1)) | (apart == (high or -2) + 1)
        scores = noise + noise.T + 0.3 * contacts + 0.8 * end + (apart < low - 1) + (apart > 2 * (high or length))
        cases.append((scores, contacts, *rest))
    _only_pairs_in_range(student)
    log_odds = [(10 * scores - 40, *rest) for scores, *rest in cases[1:3]]
    agree(
        student,
        cases + log_odds + [_tied(student)],
        oracle.precision_at_l,
        oracle.PRECISION_MISTAKES,
        words=_pairs_in_range,
        hint="Count by hand: the pairs i < j in range, sorted by score, the first int(fraction * L) of them.",
    )
    perfect = cases[0][1].float() + 0.1 * cases[0][0] / cases[0][0].max()
    agree(
        student,
        [(perfect, cases[0][1]), (perfect, cases[0][1], 6, None, 0.01)],
        oracle.precision_at_l,
        words=_pairs_in_range,
        hint="At least one pair is taken, however small the fraction.",
    )
    _nothing_to_count(student)
    return (
        "Equal to a count by hand in three ranges and at three fractions, for negative scores and ties too; NaN with a "
        "warning where no pair is in range."
    )


def _contacts(student: Student, length: int) -> tuple[Tensor, Tensor]:
    """Contacts (L, L) of three in ten pairs, the diagonal included, and the separations (L, L)."""
    half = (student.uniform(length, length) < 0.3).triu(1)
    place = torch.arange(length)
    return half | half.T | torch.eye(length, dtype=torch.bool), (place[:, None] - place).abs()


def _only_pairs_in_range(student: Student) -> None:
    """All pairs in range touch and no others, so the precision is 1, whatever is added to all scores."""
    length, low, high = 30, 6, 11
    contacts, apart = _contacts(student, length)
    contacts = (apart >= low) & (apart <= high)
    scores = student.uniform(length, length).triu(1)
    scores = scores + scores.T
    values = [number(student(10 * scores + shift, contacts, low, high)) for shift in (1, -30)]
    if not close(values[0], 1.0) or close(values[1], 1.0):
        return
    # Of 25 entries all touch, and more are taken than are out of range: only a threshold can still give 0.
    among = number(student(-1 - student.uniform(5, 5), torch.ones(5, 5, dtype=torch.bool), 0, None, 3.0))
    said = (
        "pairs out of range get the score 0 or another that beats negative ones: select the pairs in range, or give "
        "the others minus infinity."
        if among > 0.01
        else "only scores above a threshold count: the best pairs are taken, however low they are."
    )
    raise Wrong(
        f"On {_pairs_in_range(scores, contacts, low, high)}, where all pairs in range touch and no others, it gives 1 "
        f"if the scores are positive, and {values[1]:.3g} if they are negative, as log odds are.\nIt looks as if {said}"
    )


def _tied(student: Student) -> tuple:
    """Few different scores, where the pairs that tie with the last one taken all miss: their order does not count."""
    length = 24
    contacts, apart = _contacts(student, length)
    upper = (apart >= 6).triu(1)
    order = upper.nonzero()[torch.randperm(int(upper.sum()), generator=student.generator)]
    scores = torch.zeros(length, length)
    for level, part in ((3.0, order[:9]), (2.0, order[9:15]), (1.0, order[15:60])):
        for i, j in part.tolist():
            scores[i, j] = scores[j, i] = level
            contacts[i, j] = contacts[j, i] = level != 1.0 and bool((i + j) % 3)
    return scores, contacts, 6


def _nothing_to_count(student: Student) -> None:
    """NaN and a warning where no pair is in range, whatever filter of warnings the notebook has."""

    def attempt() -> tuple[object, int, Exception | None]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                return student.submission(torch.rand(5, 5), torch.ones(5, 5, dtype=torch.bool)), len(caught), None
            except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
                return None, len(caught), error

    value, warned, error = student.run(attempt)
    asked = "With 5 residues, which the check passes on purpose, no pair is 6 apart and there is nothing to count:"
    if error is not None:
        raise Wrong(
            f"{asked} return NaN and warn, with warnings.warn(...). Yours raised {type(error).__name__}: "
            f"{shorten(str(error)) or 'no message'}."
        )
    if not math.isnan(value := number(value)):
        raise Wrong(f"{asked} NaN, yours gives {value:.4g}.")
    if not warned:
        raise Wrong("It returns NaN without a word where no pair is in range: warn, with warnings.warn(...).")

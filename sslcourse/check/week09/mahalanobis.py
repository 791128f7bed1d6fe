"""Check of week 9's Mahalanobis distances. Definitions: mahalanobis_oracle.py."""

from collections.abc import Callable

import torch
from torch import Tensor

from sslcourse.check.compare import close, doubled, gives
from sslcourse.check.machinery import NotAttempted, Student, Wrong, exercise
from sslcourse.check.week09 import mahalanobis_oracle as oracle
from sslcourse.check.week09.scores import scores_agree

METHODS = ("fit", "score", "relative_score")
CLASS = "It should be a class with the methods fit, score and relative_score."


def _made(student: Student) -> object:
    """A detector, from whatever makes one."""
    if not isinstance(student.submission, type):
        try:
            made = student()
        except Wrong:
            raise Wrong(CLASS) from None
    else:
        made = student()
    for name in METHODS:
        if not callable(getattr(made, name, None)):
            raise Wrong(f"It has no method {name}." if isinstance(student.submission, type) else CLASS)
    return made


def _fitted(student: Student, train_x: Tensor, train_y: Tensor) -> object:
    detector = student()
    student.run(detector.fit, train_x, train_y)  # it may return itself or nothing
    return detector


@exercise("week09")
def Mahalanobis(student: Student) -> str:
    """class Mahalanobis: fit(train_x, train_y), score(x), relative_score(x); shared covariance, divisor N."""
    _made(student)

    # Three correlated classes apart from each other and from 0, of unequal sizes; labels are any whole numbers.
    mix = torch.eye(4) + 0.6 * student.normal(4, 4)
    y = torch.tensor([7] * 14 + [-2] * 9 + [100] * 6)[torch.randperm(29, generator=student.generator)]
    centres = {7: 3, -2: 4, 100: 5}
    train_x = student.normal(29, 4) @ mix
    for label, far in centres.items():
        # Another spread in each class: it matters then how the classes are weighted.
        rows = train_x[y == label]
        train_x[y == label] = rows * (0.5 + student.uniform(4)) + far * student.normal(4) / 2 + 1.0
    x = torch.cat([train_x[:4] + 0.5 * student.normal(4, 4), 4 * student.normal(5, 4)])

    def words(train_x: Tensor, train_y: Tensor, x: Tensor) -> str:
        return f"{len(x)} samples after fit on {len(train_x)} of {len(train_y.unique())} classes"

    def score(train_x: Tensor, train_y: Tensor, x: Tensor) -> Tensor:
        return student.run(_fitted(student, train_x, train_y).score, x)

    def relative(train_x: Tensor, train_y: Tensor, x: Tensor) -> Tensor:
        return student.run(_fitted(student, train_x, train_y).relative_score, x)

    two = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, -1.0], [2.0, -3.0]]), torch.tensor([0, 0, 1, 1])
    few = *two, torch.tensor([[1.0, 0.0]])
    cases = [
        (train_x, y, x),
        (train_x[:20], torch.tensor([0] * 15 + [1] * 5), x),
        (train_x + 5, y, x + 5),
        (train_x, y, student.normal(300, 4)),
    ]
    _any_labels(score, *cases[0])
    _keeps_to_itself(student, cases)
    scores_agree(
        score,
        cases,
        oracle.mahalanobis,
        oracle.MAHALANOBIS_MISTAKES,
        words=words,
        small=few,
        names=("train_x", "train_y", "x"),
        hint="the class means are (1, 1) and (1, -2); the deviations from them give the covariance.",
        tolerance=1e-3,
        what="score returns",
    )
    scores_agree(
        relative,
        cases,
        oracle.relative,
        oracle.RELATIVE_MISTAKES,
        words=words,
        tolerance=1e-3,
        what="relative_score returns",
    )

    # One sample alone in its class has deviation 0, which the shared covariance can bear.
    alone = torch.tensor([5] + [0] * 28)
    scores_agree(score, [(train_x, alone, x)], oracle.mahalanobis, words=words, tolerance=1e-3, what="score returns")
    _delicate(student, score)
    far = train_x + 100, y, x + 100
    if not close(score(*far), oracle.mahalanobis(*doubled(far)), 1e-3):
        raise Wrong("Where all features are near 100 the scores are off: compute in float64 from the first step on.")
    try:
        student.run(student().score, x)
    except (Wrong, NotAttempted):
        pass
    else:
        raise Wrong("score before fit gives numbers: it should raise an error that says to call fit first.")
    return (
        "Both scores equal the definition; any labels, a class of one sample, collinear features and far origins too."
    )


def _any_labels(score: Callable, train_x: Tensor, train_y: Tensor, x: Tensor) -> None:
    """Whoever takes labels for places is right where these are 0, 1, 2, and nowhere else."""
    wanted = oracle.mahalanobis(train_x.double(), train_y, x.double())
    numbers = train_y.unique(return_inverse=True)[1]
    right = []
    for labels in (train_y, numbers):
        try:
            came = score(train_x, labels, x)
            right.append(isinstance(came, Tensor) and came.shape == wanted.shape and close(came, wanted, 1e-3))
        except Wrong:
            right.append(False)
    if right == [False, True]:
        raise Wrong(
            f"score is right where the labels are 0, 1 and 2, and not where they are {train_y.unique().tolist()}. It "
            "looks as if labels are taken for places: train_y.unique(return_inverse=True) numbers them from 0."
        )


def _keeps_to_itself(student: Student, cases: list[tuple]) -> None:
    """Fitted once, asked twice; alone or with others; next to a second object; fitted anew."""
    (train_x, y, x), (other_x, other_y, _) = cases[:2]
    detector = _fitted(student, train_x, y)

    def asked(x: Tensor) -> Tensor:
        return student.run(detector.score, x)

    def differs(a: object, b: object) -> bool:
        if not all(isinstance(part, Tensor) and part.shape == (len(x),) and part.isfinite().all() for part in (a, b)):
            return False  # what is wrong with these is said elsewhere
        return not close(a, b)

    once, again = asked(x), asked(x)
    if differs(once, again):
        raise Wrong("score gives other values when it is called again: it should leave what was fitted as it is.")
    alone = [asked(row[None]) for row in x]
    if all(isinstance(part, Tensor) and part.shape == (1,) for part in alone) and differs(once, torch.cat(alone)):
        raise Wrong(
            "The score of a sample depends on the others that are asked with it: take means and covariances of the "
            "training features only."
        )
    second = _fitted(student, other_x, other_y)
    if differs(once, asked(x)):
        raise Wrong("A second object, fitted to other data, changes the scores of the first: keep it all in self.")
    anew = student.run(second.score, x)
    student.run(detector.fit, other_x, other_y)
    if differs(anew, asked(x)):
        raise Wrong("After a second fit, the first training set is still in the scores: start anew in fit.")


def _delicate(student: Student, score: Callable) -> None:
    """Features that lie in a plane: the ridge decides there."""
    flat = student.normal(20, 2) @ student.normal(2, 4)
    y = torch.arange(20) % 2
    near = flat[:5] + 0.3 * flat[5:10]
    came, wanted = score(flat, y, near), oracle.mahalanobis(flat.double(), y, near.double())
    if not close(came, wanted, 1e-2):
        raise Wrong(
            "For features that lie in a plane the scores are off: the covariance has no inverse there. Add 1e-6 times "
            "trace / D to its diagonal, and compute in float64 with a Cholesky factor."
        )
    # A step out of the plane costs much, and how much is what the ridge says.
    step = near + student.normal(5, 4)
    came, wanted = score(flat, y, step), oracle.mahalanobis(flat.double(), y, step.double())
    if not close(came / wanted.abs().max(), wanted / wanted.abs().max(), 1e-2):
        raise Wrong(
            "For a sample outside the plane in which all training features lie, "
            f"{gives(float(came[0]), float(wanted[0]))} The ridge on the diagonal is 1e-6 times trace / D."
        )

"""Checks of week 10, intrinsic dimension. Definitions and named mistakes are in the oracles beside it.

Two spaces are compared in overlaps.py, larger scales looked at in gride.py and scaling.py.
"""

from collections.abc import Callable, Sequence
from math import inf, isfinite

import torch
from torch import Tensor, nn

from sslcourse.check.compare import (
    TOLERANCE,
    Mistake,
    agree,
    by_hand,
    close,
    doubled,
    gives,
    number,
    tensor,
    two_parts,
)
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week10 import oracle
from sslcourse.check.week10 import overlap_oracle as overlap
from sslcourse.check.week10 import spectrum_oracle as spectrum
from sslcourse.check.week10.gride import gride
from sslcourse.check.week10.overlaps import information_imbalance, label_overlap, neighbourhood_overlap
from sslcourse.check.week10.points import points_of, without_dimension
from sslcourse.check.week10.scaling import id_scaling

__all__ = ["gride", "id_scaling", "information_imbalance", "label_overlap", "layer_profile", "neighbourhood_overlap"]
__all__ += ["participation_ratio", "report", "sweep", "two_nearest", "two_nn", "two_nn_mle"]


# --- two_nearest


@exercise("week10")
def two_nearest(student: Student) -> str:
    """two_nearest(x) -> (r1, r2), each (N,): distances to the nearest and the second nearest other point."""
    x = student.normal(40, 3)
    twice = torch.cat([x, x[7:9]])
    # Second: every point has a large number in common, as features behind a ReLU have.
    for points in (x, x + 1000, twice, student.normal(1100, 2), x[:3], student.uniform(30, 200)):
        r1, r2 = two_parts(student(points), "r1, r2", "two tensors")
        found = torch.stack([tensor(r, (len(points),), f"{name} is") for name, r in (("r1", r1), ("r2", r2))]).double()
        wanted = oracle.two_nearest(points)
        scale = wanted.median()
        if close(found / scale, wanted / scale):
            continue
        if points is x and (found[0].abs() < 1e-2 * scale).all():
            raise Wrong(f"r1 is {float(found[0].max()):.4g} at most. It looks as if {oracle.ITSELF}")
        if close(found.flip(0) / scale, wanted / scale):
            raise Wrong("r1 and r2 are swapped: the nearest comes first.")
        if close(found.sqrt() / scale, wanted / scale):
            raise Wrong("It looks as if distances are squared: take the square root.")
        if close(found[0] / scale, wanted[1] / scale):
            raise Wrong(f"It looks as if {oracle.FURTHER}")
        if float(points.mean()) > 100:
            raise Wrong(oracle.CENTRE)
        i = int((found - wanted).abs().sum(dim=0).argmax())
        raise Wrong(f"Of {len(points)} points, for r1 of point {i} {gives(float(found[0, i]), float(wanted[0, i]))}")
    return "The two distances of every point, itself left out by its number; also 1000 away from the origin."


# --- two_nn, two_nn_mle


def _itself_left_out(student: Student, cases: list[tuple], definition: Callable, mistakes: Sequence[Mistake]) -> None:
    """A distance of 0 (or of rounding) as r1 makes every ratio huge: the dimension comes out as nothing."""
    with student.meaning("These points are ordinary ones: each mu = r2 / r1 is above 1, and its logarithm above 0."):
        values = [number(student(*case)) for case in cases]
    wanted = [definition(*doubled(case)) for case in cases]
    nothing = all(
        not abs(value) >= 0.1 * should or abs(value) == inf for value, should in zip(values, wanted, strict=True)
    )
    if nothing and not any(mistake.fits(cases, values, TOLERANCE) for mistake in mistakes):
        raise Wrong(
            f"On {points_of(*cases[0])} {gives(values[0], wanted[0])} So little comes out where {oracle.ITSELF}"
        )


def _duplicates_dropped(student: Student, x: Tensor, definition: Callable) -> str:
    """Two points twice: those four have r1 = 0. What there is to say where no warning comes, which costs nothing."""
    twice = torch.cat([x, x[3:5]])
    with student.listening() as warned:
        value = number(student(twice))
    wanted = definition(twice)
    if close(value, wanted):
        return "" if warned else " (The text asks for a warning where points are dropped; yours gives none.)"
    if not abs(value) >= 0.1 * wanted or abs(value) == inf:
        raise Wrong(f"Where some points occur twice {gives(value, wanted)} Drop points with r1 = 0 first.")
    raise Wrong(
        f"Where some points occur twice {gives(value, wanted)} Points with r1 = 0 are dropped, and N is the number of "
        "those that stay."
    )


@exercise("week10")
def two_nn(student: Student) -> str:
    """two_nn(x, fraction=0.9) -> dimension: slope through the origin of -log(1 - F) on log(mu) (Facco et al. 2017)."""
    x, y = student.normal(60, 3), student.uniform(47, 5)
    few = by_hand(5 * student.normal(5, 1)) + torch.tensor([[0.0], [7.0], [9.5], [40.0], [51.0]])
    # 0.8 of 47 points are 37.6; 260 points are more than a chunk of 256.
    cases = [(x, 0.9), (y, 0.6), (x[:30], 0.9), (y, 1.0), (y, 0.8), (student.normal(260, 4), 0.9)]
    _itself_left_out(student, cases[:3], oracle.two_nn, oracle.TWO_NN_MISTAKES)
    if not isfinite(value := number(student(y, 1.0))):
        raise Wrong(
            f"On {points_of(y)} with fraction = 1 yours gives {value}. At i = N the level is -log(0), infinite: that "
            "one is never fitted."
        )
    agree(
        student,
        cases,
        oracle.two_nn,
        oracle.TWO_NN_MISTAKES,
        words=points_of,
        small=(few, 0.9),
        hint="five points on a line give five ratios, and the four smallest are fitted.",
    )
    agree(student, [(few, 0.9), (x[:3], 1.0), (x + 4, 0.5), (100 * y, 0.9)], oracle.two_nn, words=points_of)
    left_out, wanted = number(student(x)), oracle.two_nn(x)
    if not close(left_out, wanted):
        raise Wrong(f"Without a fraction {gives(left_out, wanted)} The default is 0.9.")
    warned = _duplicates_dropped(student, x, oracle.two_nn)
    return (
        "Equal to the definition at five fractions, also for 3 points; points that occur twice are dropped."
        f"{warned} {without_dimension(student)}"
    )


@exercise("week10")
def two_nn_mle(student: Student) -> str:
    """two_nn_mle(x) -> (N - 1) / sum log(mu)."""
    x = student.normal(60, 3)
    cases = [(x,), (student.uniform(47, 5),), (student.normal(30, 2) + 5,), (student.normal(260, 4),)]
    _itself_left_out(student, cases[:3], oracle.two_nn_mle, oracle.TWO_NN_MLE_MISTAKES)
    agree(
        student,
        cases,
        oracle.two_nn_mle,
        oracle.TWO_NN_MLE_MISTAKES,
        words=points_of,
        hint="All ratios count, without any cut: (N - 1) divided by the sum of their logarithms.",
    )
    agree(student, [(x[:3],), (100 * x,)], oracle.two_nn_mle, words=points_of)
    _duplicates_dropped(student, x, oracle.two_nn_mle)
    return f"Equal to the definition; points that occur twice are dropped. {without_dimension(student)}"


# --- participation_ratio


@exercise("week10")
def participation_ratio(student: Student) -> str:
    """participation_ratio(x) -> (sum lambda)^2 / sum lambda^2, lambda the eigenvalues of the covariance."""
    widths = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.25])
    x = student.normal(40, 5) * widths + torch.tensor([4.0, 0.0, -1.0, 2.0, 6.0])
    few = by_hand(student.normal(3, 2)) + torch.tensor([[0.0, 0.0], [2.0, 1.0], [-1.0, 3.0]])
    many = (
        student.normal(260, 3) * torch.tensor([1.0, 2.0, 4.0]) + 2
    )  # more than a chunk of 256, and the last ones count
    many[256:, 0] *= 12
    agree(
        student,
        [(x,), (student.uniform(30, 8) * torch.arange(1.0, 9.0),), (x[:, :2] + 1,), (many,)],
        spectrum.participation_ratio,
        spectrum.PARTICIPATION_MISTAKES,
        words=points_of,
        small=(few,),
        hint="three points in a plane give a 2 x 2 covariance, its trace squared is divided by the sum of its squares.",
    )
    wide = student.normal(7, 20)  # never a single feature, of which numpy.cov and torch.cov make a number
    agree(student, [(wide,), (x * 1e-3,), (few,)], spectrum.participation_ratio, words=points_of)
    ends = torch.cat([torch.eye(4), -torch.eye(4)])
    if not close(number(student(ends)), 4):
        raise Wrong(f"For points along 4 axes, all equally far out, {gives(number(student(ends)), 4.0)}")
    return (
        "Equal to the definition, also with more features than samples; equal directions are counted. "
        f"{without_dimension(student, lattice=False)}"
    )


# --- layer_profile


@exercise("week10")
def layer_profile(student: Student) -> str:
    """layer_profile(model, images, layers) -> {"id": (L,), "pca": (L,), "overlap": (L, L), "features": {name: h}}."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5))
    images, layers = student.uniform(30, 3, 8, 8), ("0", "2", "4")
    made = student(model, images, layers)
    if not isinstance(made, dict) or {"id", "pca", "overlap", "features"} - made.keys():
        raise Wrong("It should return a dict with id, pca, overlap and features.")
    if not all(part.training for part in model.modules()):
        raise Wrong("The model was in training mode before and is not afterwards: restore the mode.")
    model.eval()
    with torch.no_grad():
        h = [model[: n + 1](images).flatten(1) for n in (0, 2, 4)]
    wanted = {
        "id": torch.tensor([oracle.two_nn(x) for x in h]),
        "pca": torch.tensor([spectrum.participation_ratio(x) for x in h]),
        "overlap": torch.tensor([[overlap.neighbourhood_overlap(a, b, 10) for b in h] for a in h]),
    }
    for name, values in wanted.items():
        if not close(tensor(made[name], tuple(values.shape), f"{name} is"), values, 1e-3):
            raise Wrong(f"{name} is not that of the layers in their order: whole maps, flattened, in eval mode.")
    return "Dimension, PCA dimension and overlap of every layer, in order; the model's mode is restored."

"""Checks of week 10, intrinsic dimension. Definitions and named mistakes are in the oracles beside it.

Two spaces are compared in overlaps.py.
"""

import warnings
from collections.abc import Callable, Sequence
from math import inf

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
from sslcourse.check.week10 import gride_oracle, oracle
from sslcourse.check.week10 import overlap_oracle as overlap
from sslcourse.check.week10 import spectrum_oracle as spectrum
from sslcourse.check.week10.overlaps import information_imbalance, label_overlap, neighbourhood_overlap
from sslcourse.check.words import shorten

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


# --- two_nn, two_nn_mle, gride


def _points(x: Tensor, *_) -> str:
    return f"{len(x)} points in {x.shape[1]} dimensions"


def _itself_left_out(student: Student, cases: list[tuple], definition: Callable, mistakes: Sequence[Mistake]) -> None:
    """A distance of 0 (or of rounding) as r1 makes every ratio huge: the dimension comes out as nothing."""
    values = [number(student(*case)) for case in cases]
    wanted = [definition(*doubled(case)) for case in cases]
    nothing = all(
        not abs(value) >= 0.1 * should or abs(value) == inf for value, should in zip(values, wanted, strict=True)
    )
    if nothing and not any(mistake.fits(cases, values, TOLERANCE) for mistake in mistakes):
        raise Wrong(f"On {_points(*cases[0])} {gives(values[0], wanted[0])} So little comes out where {oracle.ITSELF}")


def _duplicates_dropped(student: Student, x: Tensor, definition: Callable) -> None:
    """Two points twice: those four have r1 = 0."""
    twice = torch.cat([x, x[3:5]])
    value, wanted = number(student(twice)), definition(twice)
    if close(value, wanted):
        return
    if not abs(value) >= 0.1 * wanted or abs(value) == inf:
        raise Wrong(f"Where some points occur twice {gives(value, wanted)} Drop points with r1 = 0 first.")
    raise Wrong(
        f"Where some points occur twice {gives(value, wanted)} Points with r1 = 0 are dropped, and N is the number of "
        "those that stay."
    )


def _lattice() -> Tensor:
    """Every point of a grid has its two nearest equally far away."""
    return torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))


def _without_dimension(student: Student, lattice: bool = True) -> str:
    """What comes out for points that have no dimension: shown, and not graded."""
    broken = student.normal(9, 3)
    broken[4, 1] = torch.nan
    cases = {"equal points": torch.ones(9, 3), "a NaN": broken} | ({"a lattice": _lattice()} if lattice else {})
    came = {name: student.run(_outcome, student.submission, x) for name, x in cases.items()}
    if all(isinstance(value, ValueError) and str(value) for value in came.values()):
        return "Points that have no dimension are refused with a ValueError."
    told = [f"{name}: {_short(value)}" for name, value in came.items()]
    return (
        "Not graded, points that have no dimension, for which the text asks for a ValueError with a sentence; yours "
        f"gives for {'; '.join(told)}."
    )


def _short(value: object) -> str:
    if isinstance(value, Exception):
        return f"{type(value).__name__} ({shorten(str(value), 60)})"
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"


def _outcome(function: Callable, x: Tensor) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = function(x)
            return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        except Exception as error:
            return error


@exercise("week10")
def two_nn(student: Student) -> str:
    """two_nn(x, fraction=0.9) -> dimension: slope through the origin of -log(1 - F) on log(mu) (Facco et al. 2017)."""
    x, y = student.normal(60, 3), student.uniform(47, 5)
    few = by_hand(5 * student.normal(5, 1)) + torch.tensor([[0.0], [7.0], [9.5], [40.0], [51.0]])
    # 0.8 of 47 points are 37.6; 260 points are more than a chunk of 256.
    cases = [(x, 0.9), (y, 0.6), (x[:30], 0.9), (y, 1.0), (y, 0.8), (student.normal(260, 4), 0.9)]
    _itself_left_out(student, cases[:3], oracle.two_nn, oracle.TWO_NN_MISTAKES)
    agree(
        student,
        cases,
        oracle.two_nn,
        oracle.TWO_NN_MISTAKES,
        words=_points,
        small=(few, 0.9),
        hint="five points on a line give five ratios, and the four smallest are fitted.",
    )
    agree(student, [(few, 0.9), (x[:3], 1.0), (x + 4, 0.5), (100 * y, 0.9)], oracle.two_nn, words=_points)
    left_out, wanted = number(student(x)), oracle.two_nn(x)
    if not close(left_out, wanted):
        raise Wrong(f"Without a fraction {gives(left_out, wanted)} The default is 0.9.")
    _duplicates_dropped(student, x, oracle.two_nn)
    return (
        "Equal to the definition at five fractions, also for 3 points; points that occur twice are dropped. "
        f"{_without_dimension(student)}"
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
        words=_points,
        hint="All ratios count, without any cut: (N - 1) divided by the sum of their logarithms.",
    )
    agree(student, [(x[:3],), (100 * x,)], oracle.two_nn_mle, words=_points)
    _duplicates_dropped(student, x, oracle.two_nn_mle)
    return f"Equal to the definition; points that occur twice are dropped. {_without_dimension(student)}"


@exercise("week10")
def gride(student: Student) -> str:
    """gride(x, n1) -> the dimension of largest likelihood of r_2n / r_n (Denti et al. 2022), with N or with N - 1."""
    x, y = student.normal(60, 3), student.uniform(47, 5)
    agree(
        student,
        [(x, 1), (x, 2), (y, 4), (x, 8)],
        gride_oracle.GRIDE_READINGS,
        gride_oracle.GRIDE_MISTAKES,
        words=lambda x, n1: f"{_points(x)} and n1 = {n1}",
        hint="mu is r_{2 n1} / r_{n1}, itself left out; for n1 = 1 the result is N / sum log(mu), or (N - 1) / sum.",
        tolerance=1e-3,
    )
    return f"The largest likelihood at n1 = 1, 2, 4 and 8. {_without_dimension(student)}"


# --- id_scaling


@exercise("week10")
def id_scaling(student: Student) -> str:
    """id_scaling(x, fractions, n_repeats, generator) -> (sizes, ids), one of each for every fraction."""
    # The first half lies on a line: who takes the first rows, and not random ones, finds dimension 1.
    line = torch.cat([student.uniform(100, 1), torch.zeros(100, 2)], dim=1)
    x = torch.cat([line, student.uniform(100, 3) + 5])
    fractions = (1.0, 0.5, 0.25)

    def run(seed: int, repeats: int) -> tuple[list[float], list[float]]:
        made = student(x, fractions, repeats, torch.Generator().manual_seed(seed))
        return tuple([number(v) for v in part] for part in two_parts(made, "sizes, ids"))

    state = torch.get_rng_state()
    sizes, ids = run(0, 8)
    if not (len(sizes) == len(ids) == 3):
        raise Wrong(f"For 3 fractions it returns {len(sizes)} sizes and {len(ids)} dimensions, it should be 3 of each.")
    if sizes != [200, 100, 50]:
        raise Wrong(f"For 200 points and the fractions {fractions} the sizes are {sizes}, they should be 200, 100, 50.")
    whole = oracle.two_nn(x)
    if not close(ids[0], whole, 1e-3):
        raise Wrong(
            f"At fraction 1, which takes every point once, {gives(ids[0], whole)} Are the points drawn with "
            "replacement? Take the first places of torch.randperm."
        )
    if close(ids[1], 1.0, 0.12):
        raise Wrong("It looks as if the first rows are taken: draw the points at random.")
    again, other = run(0, 1)[1], run(1, 1)[1]
    if run(0, 1)[1] != again:
        raise Wrong("The same generator gives other results: every random number should come from it.")
    if close(again[1], other[1], 1e-9):
        raise Wrong("Another generator gives the same result: every random number should come from it.")
    if (torch.get_rng_state() != state).any():
        raise Wrong(
            "It changes torch's global random numbers (by torch.manual_seed, or by drawing from them): every random "
            "number should come from the generator."
        )
    # Three draws one after another, and three in one call, from generators in the same state.
    generator = torch.Generator().manual_seed(3)
    singles = [number(student(x, (0.5,), 1, generator)[1][0]) for _ in range(3)]
    if close(singles[0], singles[1], 1e-9):
        raise Wrong("Two calls with one generator draw the same points: it is set back in every call. Seed nothing.")
    three = number(student(x, (0.5,), 3, torch.Generator().manual_seed(3))[1][0])
    if close(three, singles[0], 1e-9) or close(three, singles[2], 1e-9):
        raise Wrong("Only one of the repeats counts: take the mean over all of them.")
    if close(three, sum(singles), 1e-6):
        raise Wrong("The repeats are summed: take their mean.")
    # The mean over 8 draws lies near the mean over 30 others; single draws scatter by more than that.
    many = run(2, 30)[1]
    for fraction, value, mean in zip(fractions[1:], ids[1:], many[1:], strict=True):
        if not close(value, mean, 0.2):
            raise Wrong(
                f"At fraction {fraction} the mean of 8 draws is {value:.3g} and of 30 draws {mean:.3g}: take the mean "
                "over the repeats."
            )
    return "Sizes as asked; points drawn without replacement, from the generator; the mean over the repeats."


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
        words=_points,
        small=(few,),
        hint="three points in a plane give a 2 x 2 covariance, its trace squared is divided by the sum of its squares.",
    )
    wide = student.normal(7, 20)  # never a single feature, of which numpy.cov and torch.cov make a number
    agree(student, [(wide,), (x * 1e-3,), (few,)], spectrum.participation_ratio, words=_points)
    ends = torch.cat([torch.eye(4), -torch.eye(4)])
    if not close(number(student(ends)), 4):
        raise Wrong(f"For points along 4 axes, all equally far out, {gives(number(student(ends)), 4.0)}")
    return (
        "Equal to the definition, also with more features than samples; equal directions are counted. "
        f"{_without_dimension(student, lattice=False)}"
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

"""The check of id_scaling: a few points, of which every subset of three is known, and many with a line among them."""

from collections.abc import Callable, Iterable
from itertools import combinations, combinations_with_replacement

import torch
from torch import Tensor

from sslcourse.check.compare import gives, number, two_parts
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week10 import oracle

FEW, THREE = 7, 3  # points, and how many of them are half: three are the fewest that have a dimension


@exercise("week10")
def id_scaling(student: Student) -> str:
    """id_scaling(x, fractions, n_repeats, generator) -> (sizes, ids), one of each for every fraction."""
    # The first half lies on a line: who takes the first rows, and not random ones, finds dimension 1.
    line = torch.cat([student.uniform(100, 1), torch.zeros(100, 2)], dim=1)
    x = torch.cat([line, student.uniform(103, 3) + 5])
    fractions = (1.0, 0.5, 0.25)

    def run(points: Tensor, of: tuple, repeats: int, generator: torch.Generator | int) -> tuple[list, list]:
        generator = generator if isinstance(generator, torch.Generator) else torch.Generator().manual_seed(generator)
        made = student(points, of, repeats, generator)
        return tuple([number(v) for v in part] for part in two_parts(made, "sizes, ids"))

    state = torch.get_rng_state()
    sizes, ids = run(x, fractions, 4, 0)
    if not (len(sizes) == len(ids) == 3):
        raise Wrong(f"For 3 fractions it returns {len(sizes)} sizes and {len(ids)} dimensions, it should be 3 of each.")
    if sizes != [203, 101, 50]:
        _sizes_wrong(sizes, ids, fractions)
    _whole(ids, oracle.two_nn(x), x, drawn=abs(run(x, fractions, 4, 1)[1][0] - ids[0]) > 1e-4 * abs(ids[0]))
    if all(abs(value - oracle.two_nn(x[: int(sizes[i])])) < 1e-6 for i, value in enumerate(ids)):
        raise Wrong("It looks as if the first rows are taken: draw the points at random.")
    again, other = run(x, fractions, 1, 0)[1], run(x, fractions, 1, 1)[1]
    if run(x, fractions, 1, 0)[1] != again:
        raise Wrong("The same generator gives other results: every random number should come from it.")
    if abs(again[1] - other[1]) < 1e-9:
        raise Wrong("Another generator gives the same result: every random number should come from it.")
    if (torch.get_rng_state() != state).any():
        raise Wrong(
            "It changes torch's global random numbers (by torch.manual_seed, or by drawing from them): every random "
            "number should come from the generator."
        )
    _few(student, lambda points, repeats, generator: run(points, (0.5,), repeats, generator)[1][0])
    return "Sizes as asked; points drawn without replacement, from the generator; the mean over the repeats."


def _sizes_wrong(sizes: list[float], ids: list[float], fractions: tuple) -> None:
    says = f"For 203 points and the fractions {fractions} the sizes are {sizes}, they should be 203, 101, 50."
    if ids == [203, 101, 50]:
        raise Wrong(f"{says}\nIt looks as if the two results are swapped: return sizes, ids.")
    if max(abs(size - fraction * 203) for size, fraction in zip(sizes, fractions, strict=True)) <= 1:
        raise Wrong(f"{says}\nIt looks as if they are rounded another way: int(fraction * N) rounds down.")
    if sizes == list(fractions):
        raise Wrong(f"{says}\nIt looks as if the fractions are returned: return the numbers of points.")
    if sizes[:2] == [203, 101] and sizes[2] < 50:
        raise Wrong(f"{says}\nIt looks as if each subset is taken of the one before: take every one of all points.")
    raise Wrong(says)


def _whole(ids: list[float], wanted: float, x: Tensor, drawn: bool) -> None:
    """At fraction 1 there is nothing to draw, all repeats give one number. drawn: another generator gives another."""
    value = ids[0]
    if abs(value - wanted) <= 1e-3 * wanted:
        return
    says = f"At fraction 1, which takes every point once, {gives(value, wanted)}"
    known = {
        "The repeats are summed: take their mean.": 4 * wanted,
        "It looks as if the sum of the 4 repeats is divided by 3: divide by their number.": 4 / 3 * wanted,
        "It looks as if the sum of the 4 repeats is divided by 5: divide by their number.": 4 / 5 * wanted,
        "It looks as if the fraction is handed on to two_nn: it tells how many points to draw, two_nn keeps its 0.9.": (
            oracle.two_nn(x, 1.0)
        ),
        "It looks as if two_nn_mle is averaged: the mean of two_nn is asked for.": oracle.two_nn_mle(x),
    }
    for sentence, number_then in known.items():
        if abs(value - number_then) <= 1e-6 * abs(number_then):
            raise Wrong(f"{says}\n{sentence}")
    if abs(ids[-1] - wanted) <= 1e-3 * wanted:
        raise Wrong(f"{says}\nIt looks as if the dimensions stand in another order than the fractions.")
    if drawn:
        raise Wrong(f"{says} Are the points drawn with replacement? Take the first places of torch.randperm.")
    raise Wrong(f"{says} It does not depend on the generator: is it two_nn of all {len(x)} points as they are?")


def _few(student: Student, run: Callable[[Tensor, int, torch.Generator | int], float]) -> None:
    """Every subset of three of seven points has one of 35 known dimensions: what is averaged can be looked up."""
    points = student.normal(FEW, 3)
    sets = [list(rows) for rows in combinations(range(FEW), THREE)]
    single = torch.tensor([oracle.two_nn(points[rows]) for rows in sets], dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    with student.meaning(
        "Half of 7 points was asked for: 3 of them, all different, have a dimension. Fewer have none, as when points "
        "are drawn with replacement or each by chance, or where the last part of a split is smaller."
    ):
        ones = [run(points, 1, generator) for _ in range(10)]
        twos = [run(points, 2, generator) for _ in range(6)]
        threes = [run(points, 3, seed) for seed in range(4)]

    if not all(_among(value, single) for value in ones):
        value = next(value for value in ones if not _among(value, single))
        says = f"Half of 7 points, 3, were drawn once, and no three of the points have the dimension {value:.5g}."
        if all(_among(value, [oracle.two_nn(points[rows], 0.5) for rows in sets]) for value in ones):
            raise Wrong(
                f"{says}\nIt looks as if the fraction is handed on to two_nn: it tells how many points to draw."
            )
        if all(_among(value, [oracle.two_nn(points[list(r)]) for r in combinations(range(FEW), 4)]) for value in ones):
            raise Wrong(f"{says}\nIt looks as if 4 are drawn: int(fraction * N) rounds down.")
        raise Wrong(f"{says} Draw rows, of which no one comes twice.")
    if max(ones) - min(ones) < 1e-9 * max(ones):
        raise Wrong("Calls with one generator draw the same points: it is set back in every call. Seed nothing.")

    pairs = torch.tensor(list(combinations_with_replacement(single.tolist(), 2)), dtype=torch.float64)
    if all(_among(value, single) for value in twos):
        raise Wrong(
            "Only one of the repeats counts, the first, the last or the middle one, or one draw serves for all: draw "
            "anew every time, and take the mean."
        )
    if not all(_among(value, pairs.mean(dim=1)) for value in twos):
        value = next(value for value in twos if not _among(value, pairs.mean(dim=1)))
        says = f"The mean of two draws of 3 of 7 points cannot be {value:.5g}."
        others = {
            "The repeats are summed: take their mean.": pairs.sum(dim=1),
            "It looks as if it is the geometric mean: take the plain one.": pairs.log().mean(dim=1).exp(),
            "It looks as if it is the harmonic mean: take the plain one.": 1 / (1 / pairs).mean(dim=1),
            "It looks as if it is divided by one more or one less than the number of repeats.": torch.cat(
                [pairs.sum(dim=1) / 3, pairs.sum(dim=1)]
            ),
        }
        for sentence, values in others.items():
            if all(_among(value, values) for value in twos):
                raise Wrong(f"{says}\n{sentence}")
        raise Wrong(says)
    if all(_among(value, single) for value in threes):
        raise Wrong("It looks as if the middle one of the repeats is taken, the median: take their mean.")


def _among(value: float, known: Iterable[float]) -> bool:
    """Equal to one of them, but for rounding."""
    known = torch.as_tensor(known, dtype=torch.float64)
    return bool(((known - value).abs() <= 2e-6 * known.abs().clamp(min=0.01)).any())

"""The check of sigreg: exact in one dimension, where directions are 1 and -1; by its mean and spread in two."""

import torch
from torch import Tensor

from sslcourse.check.bonus_jepa import oracle
from sslcourse.check.compare import close, gives, gradients_agree, number
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week08 import generators

MANY, ROUNDS = 1024, 40


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def examine_slices(student: Student) -> str:
    for n, slices in ((9, 1), (9, 6), (30, 4), (1, 3)):
        _on_a_line(student, student.normal(n, 1) * 1.4 + 0.5, slices)

    z = student.normal(12, 5) + 0.4
    _new_directions(student, z)
    generators.examine(student, lambda generator: torch.tensor(number(student(z, 3, generator))), "value")

    one = student.normal(10, 1)
    along = torch.cat([one, one + 0.1 * student.normal(10, 1)], dim=1)  # on the diagonal
    _as_many_as_asked(student, along)
    _all_directions(student, along, "two columns that agree")
    _all_directions(student, along * torch.tensor([1.0, -1.0]), "two columns that are opposite")
    _all_directions(student, torch.cat([3 * student.normal(10, 1), 0.2 * student.normal(10, 1)], dim=1), "an oblong")
    # Numbers evenly spread over a cube prefer its corners: a cross tells corners from axes, in many directions.
    cross = 2.5 * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).repeat(3, 1)
    _all_directions(student, cross, "a cross", 2 * MANY, errors=4.5, signs=False)

    line = student.normal(8, 1) + 0.6
    gradients_agree(student, (line, 5, seeded(2)), lambda z, *_: oracle.sigreg_line(z), names=("z",))
    return "Exact in one dimension; in two, the mean over all directions of length one, new ones in every call."


def _on_a_line(student: Student, z: Tensor, slices: int) -> None:
    """One dimension: a direction of length one is 1 or -1, and the statistic does not mind the sign."""
    wanted = float(oracle.sigreg_line(z.double()))
    values = [number(student(z, slices, seeded(seed))) for seed in range(4)]
    if all(close(value, wanted) for value in values):
        return
    value = next(value for value in values if not close(value, wanted))
    found = f"On {len(z)} values in one dimension, with {slices} slices, {gives(value, wanted)}"
    spread = max(values) - min(values)
    if spread > 1e-3 * max(1.0, abs(wanted)):
        raise Wrong(
            f"{found} In one dimension a direction of length one is 1 or -1, and both give the same, yet yours changes "
            "with the random numbers.\nIt looks as if the slices are not of length one: divide every direction by "
            "its length, that is over the D numbers of one direction."
        )
    if slices > 1 and close(value, slices * wanted):
        raise Wrong(f"{found}\nIt looks as if the slices are summed: take the mean over them.")
    if slices > 1 and close(value, wanted / slices):
        raise Wrong(f"{found}\nIt looks as if it is divided by the number of slices twice: the mean does that.")
    if len(z) > 1 and close(value, wanted / len(z)):
        raise Wrong(f"{found}\nIt looks as if the mean over N is taken twice: epps_pulley is N times the integral.")
    z = z.double()
    apart = z - z.mean(dim=0)
    others = {
        "the rows of z are normalised: their length is a part of what should become normal.": [z.sign()],
        "z is standardised, or its mean taken off: shift and scale are to be seen.": [
            apart, *(apart / apart.std(dim=0, correction=c).clamp(min=1e-12) for c in (0, 1) if len(z) > 1)
        ],
    }  # fmt: skip
    saw = [text for text, made in others.items() if any(close(value, oracle.sigreg_line(one)) for one in made)]
    if len(saw) == 1:
        raise Wrong(f"{found}\nIt looks as if {saw[0]}")
    right = oracle.sigreg_line(z)
    for knots, t_max in ((33, 3.0), (9, 3.0), (17, 5.0), (17, 4.0), (33, 5.0), (17, 2.0), (17, 1.0)):
        if close(value, oracle.epps_pulley(z, knots, t_max)[0], 1e-5):
            raise Wrong(f"{found}\nIt looks as if epps_pulley has {knots} knots up to {t_max:g}: leave it its own.")
    for told, made in (("root", right.sqrt()), ("square", right.square()), ("logarithm", right.log())):
        if close(value, made):
            raise Wrong(f"{found}\nIt looks as if the {told} is taken: the mean of the statistics is all.")
    raise Wrong(f"{found} It is the mean of epps_pulley over the columns of z @ directions.")


def _new_directions(student: Student, z: Tensor) -> None:
    generator = seeded(5)
    values = {number(student(z, 3, generator)) for _ in range(4)}
    torch.manual_seed(11)
    if len(values) == 1 and len({number(student(z, 3, None)) for _ in range(4)}) == 1:
        raise Wrong(
            "Four calls in a row give the same value: the directions are the same for the whole training. Then a few "
            "directions become normal and all others escape: draw new ones in every call, from the generator as it is."
        )
    if len(values) == 1:
        raise Wrong(
            "Four calls with one generator give the same value: the directions are the same for the whole training, "
            "since the generator is set back in every call. Then a few directions become normal and all others "
            "escape: draw from it as it is, and seed nothing."
        )


def _all_directions(
    student: Student, z: Tensor, what: str, many: int = MANY, errors: float = 6, signs: bool = True
) -> None:
    """signs: whether directions of one sign would give another mean."""
    by_angle = oracle.around(z.double())
    wanted, error = float(by_angle.mean()), float(by_angle.std()) / many**0.5
    value = number(student(z, many, seeded(7)))
    if abs(value - wanted) <= errors * error + 1e-4 * max(1.0, wanted):
        return
    found = f"On {what}, with {many:,} slices, {gives(value, wanted)}"
    for which, one in (("largest", by_angle.max()), ("smallest", by_angle.min())):
        if close(value, float(one), 1e-2):
            raise Wrong(f"{found}\nThat is the {which} value that any direction has: take the mean over the slices.")
    if abs(float(by_angle.median()) - wanted) > 10 * error and close(value, float(by_angle.median()), 5e-2):
        raise Wrong(f"{found}\nIt looks as if the median over the slices is taken: take their mean.")
    directions = torch.rand(2, 8 * MANY, generator=seeded(0), dtype=torch.float64)
    one_sign = oracle.epps_pulley(z.double() @ (directions / directions.norm(dim=0)))
    if signs and abs(value - float(one_sign.mean())) <= 6 * float(one_sign.std()) / MANY**0.5:
        raise Wrong(
            f"{found}\nIt looks as if the numbers of a direction all have one sign: draw them with torch.randn, whose "
            "directions are spread evenly, and not with torch.rand."
        )
    raise Wrong(
        f"{found}\nIt is the mean over directions that are spread evenly: draw (D, n_slices) numbers with torch.randn "
        "and divide every column by its length."
    )


def _as_many_as_asked(student: Student, z: Tensor) -> None:
    """The spread over calls tells how many directions there are."""
    by_angle = oracle.around(z.double())
    single = float(by_angle.std())
    for slices in (1, 16):
        generator = seeded(3)
        values = torch.tensor([number(student(z, slices, generator)) for _ in range(ROUNDS)])
        columns = oracle.epps_pulley(z.double())
        if slices == 1 and all(any(close(value, column) for column in columns) for value in values):
            raise Wrong(
                "With one slice yours always gives the statistic of a column of z. It looks as if the slices are the "
                "columns of z: draw random directions, columns alone do not see that they depend on each other."
            )
        ratio = float(values.std()) / (single / slices**0.5)
        off = abs(float(values.mean()) - float(by_angle.mean()))
        if slices == 1 and ratio < 0.5 and off > 0.2 * single:
            raise Wrong(
                f"With one slice the value is {float(values.mean()):.3g} in the mean over calls, it should be about "
                f"{float(by_angle.mean()):.3g}, and varies less than it should.\nThe directions are not spread evenly: "
                "draw (D, n_slices) numbers with torch.randn and divide every column by its length."
            )
        # orthogonal directions, which are as good, spread less: no bound below for several
        if ratio > 2 or (slices == 1 and ratio < 0.5):
            raise Wrong(
                f"With n_slices = {slices} the value varies over calls by {float(values.std()):.3g}, it should be "
                f"about {single / slices**0.5:.3g}. It looks as if n_slices is not the number of directions."
            )

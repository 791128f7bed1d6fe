"""The check of lejepa_loss: exact in one dimension and for lam = 0, in the mean over directions in two."""

import torch
from torch import Tensor

from sslcourse.check.bonus_jepa import oracle
from sslcourse.check.bonus_jepa.slices import MANY, seeded
from sslcourse.check.compare import agree, close, gives, gradients_agree, number
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week08 import generators


def _words(views: Tensor, lam: float, *_) -> str:
    v, n, d = views.shape
    return f"{v} views of {n} images in {d} dimension{'s' * (d > 1)} with lam = {lam}"


def examine_loss(student: Student) -> str:
    def views(v: int, n: int, d: int) -> Tensor:
        """Of each view another spread and place, so that no view stands for another."""
        spread = 0.6 + torch.arange(v)[:, None, None] * 0.5
        return student.normal(1, n, d) + spread * student.normal(v, n, d) + 0.3 * torch.arange(v)[:, None, None]

    cases = [(views(2, 6, 1), lam, 3, seeded(0)) for lam in (0.05, 0.5, 0.2)]
    cases += [(views(3, 5, 1), 0.1, 6, seeded(1)), (views(3, 7, 1), 1.0, 6, seeded(3))]
    flat = [(views(4, 6, 3), 0.0, 8, seeded(2)), (views(2, 5, 2), 0.0, 3, seeded(2))]
    hint = (
        "It is (1 - lam) times the mean squared distance of each view to the views' mean, over all numbers, plus lam "
        "times the mean over views of sigreg."
    )
    for some in (cases, flat):  # the statistic is exact in one dimension, the distance in any
        agree(student, some, oracle.lejepa_line, oracle.LEJEPA_LOSS_MISTAKES, words=_words, hint=hint)
    agree(student, [(views(1, 6, 1), 0.3, 2, seeded(4)), (views(2, 1, 1), 0.3, 2, seeded(4))], oracle.lejepa_line,
          words=_words)  # fmt: skip

    flat = views(3, 9, 2)  # two dimensions: in the mean over directions
    wanted, single = (float(x) for x in oracle.of_two(flat.double(), 0.4))
    value = number(student(flat, 0.4, MANY, seeded(6)))
    if abs(value - wanted) > 6 * single / MANY**0.5 + 1e-4 * max(1.0, wanted):
        _few_slices(student, flat, wanted, single / MANY**0.5)
        raise Wrong(f"On {_words(flat, 0.4)} and {MANY} slices {gives(value, wanted)} SIGReg is that of exercise 2.")
    generators.examine(student, lambda generator: torch.tensor(number(student(flat, 0.4, 3, generator))), "value")
    _slices(student)

    same = torch.zeros(2, 40, 1)
    constant = number(student(same, 0.0, 2, seeded(0)))
    if not close(constant, 0.0):
        raise Wrong(f"For equal embeddings and lam = 0 {gives(constant, 0.0)}")
    for lam in (0.0, 0.3):
        case = views(2, 6, 1), lam, 2, seeded(5)
        gradients_agree(student, case, oracle.lejepa_line, names=("views",))
    return "Equal to the definition at seven weights, for one view up to four; a gradient reaches every view."


def _few_slices(student: Student, views: Tensor, wanted: float, spread: float) -> None:
    """Wrong where the value is right in the mean over calls, but varies far more than so many slices leave it to."""
    came = torch.tensor([number(student(views, 0.4, MANY, seeded(100 + n))) for n in range(40)]).double()
    if came.std() > 2 * spread and abs(came.mean() - wanted) < 4 * came.std() / len(came) ** 0.5:
        raise Wrong(
            f"On {_words(views, 0.4)} and {MANY} slices the value is right in the mean over calls, but varies by "
            f"{float(came.std()):.3g}; it should be {spread:.3g} at most.\nIt looks as if n_slices is not handed on to "
            "sigreg, which takes fewer."
        )


def _slices(student: Student) -> None:
    """How much the value varies from call to call tells how many directions every view has.

    Two views that are wide in directions 45 degrees apart: what the one has along a direction says nothing of the
    other's, so that it makes no difference whether views share their directions.
    """
    n_slices, calls = 8, 400
    first = torch.randn(24, 2, generator=seeded(7)) * torch.tensor([2.5, 0.5])
    turn = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]) / 2**0.5
    views = torch.stack([first, first @ turn])
    each = [oracle.of_two(view[None].double(), 1.0)[1] for view in views]
    wanted = float(sum(std.square() for std in each)) / 4
    generator = seeded(student.seed % 1000)
    came = torch.tensor([number(student(views, 1.0, n_slices, generator)) for _ in range(calls)])
    if not bool(came.isfinite().all()):
        raise Wrong(f"On {_words(views, 1.0)} and {n_slices} slices it gives {float(came[~came.isfinite()][0])}.")
    taken = wanted / max(float(came.double().var()), 1e-12)
    if n_slices / 1.4 < taken < n_slices * 1.4:  # a variance of 400 values is known to 7 %
        return
    found = (
        f"With n_slices = {n_slices} and 2 views the value varies over calls as with about {taken:.0f} slices a view."
    )
    known = {
        n_slices / 2: "It looks as if n_slices is divided among the views: every view has n_slices directions.",
        n_slices * 2: "It looks as if n_slices is multiplied by the number of views: a view has n_slices directions.",
    }
    for number_of, words in known.items():
        if number_of / 1.35 < taken < number_of * 1.35:
            raise Wrong(f"{found}\n{words}")
    raise Wrong(f"{found}\nIt looks as if n_slices is not handed on to sigreg as it is.")

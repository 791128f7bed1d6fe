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
    cases += [(views(3, 5, 1), 0.1, 2, seeded(1)), (views(3, 7, 1), 1.0, 2, seeded(3))]
    flat = [(views(4, 6, 3), 0.0, 2, seeded(2)), (views(2, 5, 2), 0.0, 3, seeded(2))]
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
        raise Wrong(f"On {_words(flat, 0.4)} and {MANY} slices {gives(value, wanted)} SIGReg is that of exercise 2.")
    generators.examine(student, lambda generator: torch.tensor(number(student(flat, 0.4, 3, generator))), "value")
    few = torch.tensor([number(student(flat, 1.0, 2, seeded(seed))) for seed in range(8)])
    lots = torch.tensor([number(student(flat, 1.0, 512, seeded(seed))) for seed in range(8)])
    if float(few.std()) < 2 * float(lots.std()):
        raise Wrong("With 2 slices the value varies as little as with 512: n_slices is not handed on to sigreg.")

    same = torch.zeros(2, 40, 1)
    constant = number(student(same, 0.0, 2, seeded(0)))
    if not close(constant, 0.0):
        raise Wrong(f"For equal embeddings and lam = 0 {gives(constant, 0.0)}")
    for lam in (0.0, 0.3):
        case = views(2, 6, 1), lam, 2, seeded(5)
        gradients_agree(student, case, oracle.lejepa_line, names=("views",))
    return "Equal to the definition at seven weights, for one view up to four; a gradient reaches every view."

"""Checks of week 4, SimCLR. The definitions and the named mistakes are in the oracles beside it."""

from collections.abc import Callable, Sequence
from math import isfinite, log

import torch
from torch import Tensor, nn

from sslcourse.check.compare import agree, by_hand, close, doubled, gives, gradients_agree, number, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week04 import barlow_oracle, oracle, sigmoid_oracle, sphere_oracle, vicreg_oracle
from sslcourse.check.week04.step import train_step

__all__ = ["alignment", "barlow_twins", "mi_lower_bound", "nt_xent", "projection_head", "report", "sigmoid_loss"]
__all__ += ["sweep", "train_step", "two_views", "uniformity", "vicreg"]


# --- two_views


class _Lighten:
    """An augmentation whose random numbers can be read off: it lightens every image of a batch by its own amount."""

    def __init__(self):
        self.inputs: list[Tensor] = []

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if images.ndim != 4:
            raise ValueError(f"augment takes a batch (N, C, H, W), got shape {tuple(images.shape)}")
        self.inputs += images.detach().clone().unbind()
        return images + 0.1 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)


def _amounts(views: Tensor, images: Tensor, name: str) -> Tensor:
    """By how much each row of a view is lighter than its image; Wrong where a row is no view of its image."""
    apart = views[:, None] - images  # (N, N, C, H, W)
    spread = apart.amax(dim=(2, 3, 4)) - apart.amin(dim=(2, 3, 4))  # (N, N): 0 where a row is that image, lightened
    source = spread.argmin(dim=1)
    rows = torch.arange(len(images))
    if spread[rows, source].max() > 1e-4:
        raise Wrong(f"{name} is not what `augment` makes of the images: return its results as they are.")
    if (wrong := (source != rows).nonzero()).numel():
        n = int(wrong[0])
        raise Wrong(f"Row {n} of {name} is a view of image {int(source[n])}: row n of both views comes from image n.")
    return apart[rows, rows].mean(dim=(1, 2, 3))


@exercise("week04")
def two_views(student: Student) -> str:
    """two_views(images, augment) -> (view0, view1): independent random numbers per view and per image."""
    images = 0.4 * student.uniform(6, 3, 8, 8)
    augment = _Lighten()
    views = student(images, augment)
    if views is None:
        raise Wrong("It returns None: is the `return` missing?")
    if not isinstance(views, tuple | list | Tensor) or len(views) != 2:
        raise Wrong("It should return two views: `return view0, view1`.")
    view0, view1 = (tensor(view, (6, 3, 8, 8), f"view{n} is") for n, view in enumerate(views))

    if not augment.inputs:
        raise Wrong("`augment` is never called: it is the argument that makes a view of a batch.")
    for given in augment.inputs:
        if not any(torch.equal(given.float(), image) for image in images):
            raise Wrong("`augment` was applied to something else than the images: views are made from the originals.")
    amounts = [_amounts(view0, images, "view0"), _amounts(view1, images, "view1")]
    for name, amount in zip(("view0", "view1"), amounts, strict=True):
        if close(amount, torch.zeros(6)):
            raise Wrong(f"{name} is the images themselves: both views are augmented.")
    if close(*amounts):
        raise Wrong("It looks as if both views are the same: `augment` must draw random numbers anew for each view.")
    if close(amounts[0].sort().values, amounts[1].sort().values):
        raise Wrong("It looks as if view1 has the draws of view0 in another order: `augment` must draw for each view.")
    for name, amount in zip(("view0", "view1"), amounts, strict=True):
        if close(amount, amount.mean().expand(6)):
            raise Wrong(f"It looks as if one draw serves the whole batch: all of {name} is changed in the same way.")

    again = student(images, _Lighten())
    if close(again[0], view0):
        raise Wrong("A second call gives the same views: do not seed the random numbers, every epoch needs new ones.")
    return "Two different views of every image, each with random numbers of its own, in the order of the images."


# --- projection_head


@exercise("week04")
def projection_head(student: Student) -> str:
    """projection_head(in_dim, hidden_dim, out_dim) -> nn.Module: an MLP with one hidden layer."""
    head = student(12, 20, 5)
    if not isinstance(head, nn.Module):
        raise Wrong(f"It returns a {type(head).__name__}, it should be an nn.Module.")
    layers = [module for module in head.modules() if isinstance(module, nn.Linear)]
    sizes = [(layer.in_features, layer.out_features) for layer in layers]
    if sizes != [(12, 20), (20, 5)]:
        raise Wrong(f"For (12, 20, 5) its linear layers are {sizes}, they should be [(12, 20), (20, 5)].")
    h = student.normal(8, 12)
    tensor(student.run(head, h), (8, 5), "The head returns")

    # An affine map keeps midpoints; with a nonlinearity between the layers the head must not.
    head.eval()
    with torch.no_grad():
        a, b, middle = (student.run(head, x) for x in (h, -h, torch.zeros_like(h)))
    if close((a + b) / 2, middle, 1e-5):
        raise Wrong("Without a nonlinearity between them, two linear layers are no more than one: put a ReLU between.")
    return "One hidden layer of the size asked for, with a nonlinearity."


# --- nt_xent


def _pairs(z0: Tensor, *_) -> str:
    return f"{len(z0)} pair{'s' * (len(z0) > 1)} in {z0.shape[1]} dimensions"


@exercise("week04")
def nt_xent(student: Student) -> str:
    """nt_xent(z0, z1, temperature=0.5) -> scalar, the mean over all 2N embeddings (Chen et al. 2020, eq. 1)."""
    # Related views of different lengths, as in training: every mistake changes the number. All are short, so that
    # those who forget to normalise get a number and not an overflow.
    z0 = 0.2 * student.normal(8, 16) * (0.5 + student.uniform(8, 1))
    z1 = z0 + 0.14 * student.normal(8, 16)
    few = by_hand(student.normal(3, 2)), by_hand(student.normal(3, 2)), 0.5
    try:
        agree(
            student,
            [(z0, z1, 0.5), (z0, z1, 0.2), (z0, z1, 1.0), (z0[:5], z1[:5], 0.3)],
            oracle.nt_xent,
            oracle.NT_XENT_MISTAKES,
            words=_pairs,
            small=few,
            hint="with these three pairs each row has five candidates.",
        )
    except Wrong as wrong:
        if number(student(z0, z1, 1.0)) > 1e3:  # with cosines it is 4 at most
            raise Wrong(
                f"{wrong}\nIt looks as if the answer of some rows is an entry that is masked, such as the diagonal: "
                "the answer of row i is row (i + N) mod 2N, so N, ..., 2N - 1 and then 0, ..., N - 1."
            ) from None
        long = number(student(50 * z0, 50 * z1, 0.2))
        if isfinite(number(student(z0, z1, 0.2))) and not isfinite(long):
            raise Wrong(f"{wrong}\nOn the same embeddings, 50 times as long, it gives {long}: exp overflows.") from None
        raise
    agree(student, [few, (z1, z0, 0.3)], oracle.nt_xent, words=_pairs)

    # The corners: no temperature given, a single pair that has no negatives, total collapse.
    left_out, wanted = number(student(z0, z1)), float(oracle.nt_xent(z0.double(), z1.double()))
    if not close(left_out, wanted):
        raise Wrong(f"Without a temperature {gives(left_out, wanted)} The default is 0.5.")
    agree(student, [(z0[:1], z1[:1], 0.5)], oracle.nt_xent, words=_pairs)
    same = torch.ones(6, 4)
    if not close(came := number(student(same, same, 0.5)), log(11)):
        raise Wrong(
            f"When all 12 embeddings are equal {gives(came, log(11))} That is ln(2N-1): all are equally likely."
        )

    gradients_agree(student, (z0, z1, 0.5), oracle.nt_xent, names=("z0", "z1"))
    return (
        "Equal to the definition on random pairs, at four temperatures and for N = 1; gradients reach both views; "
        "constant embeddings give ln(2N-1)."
    )


# --- alignment, uniformity, mi_lower_bound


@exercise("week04")
def alignment(student: Student) -> str:
    """alignment(z0, z1): mean squared distance of positive pairs on the unit sphere; a scalar tensor or a float."""
    z0 = student.normal(9, 5) * (0.5 + student.uniform(9, 1))
    z1 = z0 + 0.8 * student.normal(9, 5)
    few = by_hand(student.normal(2, 2)), by_hand(student.normal(2, 2))
    agree(
        student,
        [(z0, z1), (3 * z1, z0), few],
        sphere_oracle.alignment,
        sphere_oracle.ALIGNMENT_MISTAKES,
        words=_pairs,
        small=few,
        hint="with these two pairs it is the mean of two squared distances between directions.",
    )
    agree(student, [(z0, 2 * z0), (z0, -z0), (z0[:1], z1[:1])], sphere_oracle.alignment, words=_pairs)
    return "Equal to the definition on random pairs; 0 for pairs of one direction, 4 for opposite ones."


def _points(z: Tensor, *_) -> str:
    return f"{len(z)} points in {z.shape[1]} dimensions"


@exercise("week04")
def uniformity(student: Student) -> str:
    """uniformity(z, t=2): log of the mean of exp(-t d^2) over pairs i < j; a scalar tensor or a float."""
    z = student.normal(9, 3) * (0.5 + student.uniform(9, 1))
    few = by_hand(student.normal(3, 2)), 2.0
    agree(
        student,
        [(z, 2.0), (z, 1.0), (z, 3.0), (student.normal(20, 4), 2.0), few],
        sphere_oracle.uniformity,
        sphere_oracle.UNIFORMITY_MISTAKES,
        words=_points,
        small=few,
        hint="three points make three pairs.",
    )
    left_out, wanted = number(student(z)), float(sphere_oracle.uniformity(z.double()))
    if not close(left_out, wanted):
        raise Wrong(f"Without t {gives(left_out, wanted)} The default is t = 2.")
    agree(student, [(z[:2], 2.0), (torch.ones(5, 3), 2.0)], sphere_oracle.uniformity, words=_points)
    return "Equal to the definition on random points, for three t and for a single pair; 0 where all points coincide."


@exercise("week04")
def mi_lower_bound(student: Student) -> str:
    """mi_lower_bound(loss, n_candidates) -> float: ln(n_candidates) - loss, in nats."""
    agree(
        student,
        [(0.5, 128), (2.3, 17), (0.2, 511)],
        sphere_oracle.mi_lower_bound,
        sphere_oracle.MI_LOWER_BOUND_MISTAKES,
        words=lambda loss, n: f"loss = {loss} and {n} candidates",
    )
    if number(student(2.0, 4)) == 0:
        raise Wrong("A loss above ln(n_candidates) gives a bound below 0: true, if useless; do not cut it off.")
    return "ln(n_candidates) - loss."


# --- two losses without negatives


@exercise("week04")
def vicreg(student: Student) -> str:
    """vicreg(z0, z1, invariance=25.0, variance=25.0, covariance=1.0) -> scalar (Bardes et al. 2022, eq. 1-6).

    The squared distance is averaged over all values (the text, published code, lightly) or summed over features (eq.
    5), the variance terms are averaged over the two views or summed (eq. 6), and variances divide by N - 1 or by N.
    """
    sizes = torch.linspace(0.3, 3, 5)  # deviations on both sides of 1: some hinges are active
    z0 = sizes * (student.normal(16, 5) + 0.5 * student.normal(16, 1)) + student.normal(5)
    z1 = z0 + 0.3 * sizes * student.normal(16, 5)
    weights = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (25.0, 25.0, 1.0), (3.0, 2.0, 5.0)]
    small = 0.3 * student.normal(12, 4)  # every hinge of the variance term is active
    cases = [*((z0, z1, *w) for w in weights), (small, -small, *weights[-1])]
    readings = vicreg_oracle.VICREG_READINGS
    agree(student, cases, readings, vicreg_oracle.VICREG_MISTAKES, words=_weighted, tolerance=1e-3)
    agree(student, [(z0, z1)], readings, words=_pairs, tolerance=1e-3)
    _gradients_of_one(student, cases[3], readings)
    return "Equal to the definition, term by term and together; gradients reach both views."


def _gradients_of_one(student: Student, case: tuple, readings: Sequence[Callable]) -> None:
    """The gradients are those of the reading that the value is of."""
    value = number(student(*case))
    reading = next(reading for reading in readings if close(value, reading(*doubled(case)), 1e-3))
    gradients_agree(student, case, reading, names=("z0", "z1"))


def _weighted(z0: Tensor, z1: Tensor, *weights: float) -> str:
    return f"{_pairs(z0)}, with the weights {weights} for invariance, variance and covariance,"


@exercise("week04")
def barlow_twins(student: Student) -> str:
    """barlow_twins(z0, z1, lambda_=5e-3) -> scalar (Zbontar et al. 2021, eq. 1 and 2).

    A sum over the D x D cross-correlation matrix, as in lightly, without a factor in front; standard deviations that
    divide by N or by N - 1 are both right.
    """
    z0 = student.normal(16, 5) @ student.normal(5, 5) + 1
    z1 = z0 + student.normal(16, 5)
    cases = [(z0, z1, 5e-3), (z0, z1, 0.0), (z0, z1, 1.0), (z1, z0, 0.1)]
    readings = barlow_oracle.BARLOW_TWINS_READINGS
    agree(student, cases, readings, barlow_oracle.BARLOW_TWINS_MISTAKES, words=_pairs, tolerance=1e-3)
    agree(student, [(z0, z1)], readings, words=_pairs, tolerance=1e-3)
    _gradients_of_one(student, cases[-1], readings)
    return "Equal to the definition at four weights; gradients reach both views."


# --- a loss of pairs


@exercise("week04")
def sigmoid_loss(student: Student) -> str:
    """sigmoid_loss(z0, z1, scaling=10.0, bias=-10.0) -> scalar, over N x N pairs, divided by N (Zhai et al. 2023)."""
    z0 = student.normal(7, 6) * (0.5 + student.uniform(7, 1))
    z1 = z0 + 0.6 * student.normal(7, 6)
    few = by_hand(student.normal(2, 2)), by_hand(student.normal(2, 2)), 2.0, -1.0
    agree(
        student,
        [(z0, z1, 10.0, -10.0), (z0, z1, 4.0, -3.0), (z1, z0, 2.0, 0.5), (z0[:4], z1[:4], 3.0, -1.0)],
        sigmoid_oracle.sigmoid_loss,
        sigmoid_oracle.SIGMOID_LOSS_MISTAKES,
        words=_scored,
        small=few,
        hint="two rows make four pairs, of which two are a yes.",
    )
    agree(student, [few, (z0[:1], z1[:1], 5.0, -2.0)], sigmoid_oracle.sigmoid_loss, words=_scored)
    left_out, wanted = number(student(z0, z1)), float(sigmoid_oracle.sigmoid_loss(z0.double(), z1.double()))
    if not close(left_out, wanted):
        raise Wrong(f"Without scaling and bias {gives(left_out, wanted)} The defaults are 10 and -10.")
    same = torch.ones(6, 4)
    if not close(came := number(student(same, same)), 6 * log(2)):
        raise Wrong(f"When all embeddings are equal {gives(came, 6 * log(2))} Every score is 0, and costs ln 2.")

    # As large as scores become in training: exp and the logarithm of sigmoid leave float32.
    steep = (z0, -z1, 200.0, -10.0)
    came, wanted = number(student(*steep)), float(sigmoid_oracle.sigmoid_loss(*doubled(steep)))
    if not close(came, wanted):
        raise Wrong(f"At scaling 200 {gives(came, wanted)} exp or log(sigmoid) leaves float32: use F.logsigmoid.")
    gradients_agree(student, (z0, z1, 4.0, -3.0), sigmoid_oracle.sigmoid_loss, names=("z0", "z1"))
    return (
        "Equal to the definition at four scalings and biases, also where scores are large; gradients reach both views; "
        "constant embeddings give N ln 2."
    )


def _scored(z0: Tensor, z1: Tensor, scaling: float, bias: float) -> str:
    return f"{_pairs(z0)}, scaling {scaling:g} and bias {bias:g},"

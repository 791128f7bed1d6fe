"""The linear probe: how much of the labels can a linear classifier read off frozen features?

References: Alain and Bengio 2017, "Understanding intermediate layers using linear classifier probes".
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from sslcourse import arguments
from sslcourse.evaluate import inputs
from sslcourse.evaluate.interval import wilson_interval
from sslcourse.evaluate.logistic import Logistic


class Probe(NamedTuple):
    """Test accuracy and its 95 % Wilson interval (low, high); the C chosen, and the validation accuracy that did so."""

    accuracy: float
    low: float
    high: float
    C: float
    val_accuracy: float


def linear_probe(
    train_x: torch.Tensor,
    train_y: torch.Tensor,
    test_x: torch.Tensor,
    test_y: torch.Tensor,
    *,
    Cs: Sequence[float] = (0.01, 0.1, 1.0, 10.0),
    val_fraction: float = 0.2,
    seed: int = 0,
) -> Probe:
    """Multinomial logistic regression on standardised features; the test set is used once, at the end.

    train_x (N, D), train_y (N,), test_x (M, D), test_y (M,). C, the inverse strength of the L2 penalty, is chosen on a
    val_fraction of each class of the training set, the smaller of equals; then the whole training set is fitted with
    it. Features are standardised with the statistics of the samples that are fitted. With a single C nothing is set
    aside, and val_accuracy is NaN: do so with one label a class. The interval covers the choice of the test samples,
    not that of seeds. Raises ValueError or TypeError for features or labels that do not fit together.
    """
    sets = inputs.labelled_sets(train_x, train_y, test_x, test_y)
    train_x, train_y, test_x, test_y = (part.cpu() for part in sets)  # where NumPy works
    Cs = sorted(arguments.numbers_of("Cs", Cs, "(0.1, 1.0), all greater than 0", least=1e-100, most=1e100))
    val_fraction, seed = arguments.real("val_fraction", val_fraction), arguments.whole("seed", seed, 0)
    if not 0 < val_fraction < 1:
        raise ValueError(f"val_fraction lies in (0, 1), but it is {val_fraction}.")

    # From the smallest C up: a classifier starts where the one before ended, and the larger C has to be better to win.
    chosen, val_accuracy, start = Cs[0], float("nan"), None
    if len(Cs) > 1:
        val = _validation_part(train_y, val_fraction, seed)
        fitted, val_accuracy = _Standardised(train_x[~val], train_y[~val]), -1.0
        held_out = fitted.standardise(train_x[val]), train_y[val].numpy()
        for C in Cs:
            fitted.model.fit(C, tolerance=1e-4)  # scikit-learn's: enough to choose by, not to be measured with
            if (accuracy := fitted.model.accuracy(*held_out)) > val_accuracy:
                chosen, val_accuracy, start = C, accuracy, fitted.model.weights

    final = _Standardised(train_x, train_y)
    if start is not None:
        final.model.weights = start  # the optimum is one; to start near it only saves time
    final.model.fit(chosen)
    accuracy = final.model.accuracy(final.standardise(test_x), test_y.numpy())
    return Probe(accuracy, *wilson_interval(accuracy, len(test_y)), chosen, val_accuracy)


class _Standardised:
    """Logistic regression on one training set, standardised with its own statistics."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        # By hand, since StandardScaler takes small numbers beside large ones for constant. The first row is taken off
        # and a power of two divided by beforehand: nothing overflows, vanishes or is lost beside a large mean.
        # In place after the first division, which makes float64 of x: fresh memory would cost as much as the numbers.
        self.size = inputs.power(_largest(x).double())  # (D,)
        self.first = x[0] / self.size
        x = (x / self.size).sub_(self.first)
        self.spread = inputs.power(_largest(x))
        x.div_(self.spread)
        self.mean = x.mean(dim=0)
        self.std = x.sub_(self.mean).square().mean(dim=0).sqrt()  # torch's own takes longer
        self.std[self.std == 0] = float("inf")  # a constant feature becomes 0
        self.model = Logistic(x.div_(self.std).numpy(), y.numpy())

    def standardise(self, x: torch.Tensor) -> np.ndarray:
        x = (x / self.size).sub_(self.first).div_(self.spread).sub_(self.mean).div_(self.std)
        x[:, self.std.isinf()] = 0  # whatever it is here: a feature that was constant has no weight
        return x.clamp_(-1e100, 1e100).numpy()  # so far out that the answer is the same, and no sum of them overflows


def _largest(x: torch.Tensor) -> torch.Tensor:
    """The largest absolute value of each column, without a copy of x."""
    return torch.maximum(x.amax(dim=0), -x.amin(dim=0))


def _validation_part(y: torch.Tensor, fraction: float, seed: int) -> torch.Tensor:
    """Bool (N,): the same share of each class, at least one sample, drawn with a seed of its own."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.zeros(len(y), dtype=torch.bool)
    for label in y.unique():
        members = (y == label).nonzero().squeeze(1)
        if len(members) < 2:
            raise ValueError(
                f"train_y holds the class {int(label)} once; choosing among several Cs needs two samples of every "
                "class, so give a single C: Cs=(1.0,)."
            )
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        chosen[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return chosen

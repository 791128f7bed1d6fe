"""Week 1: a pass of plain gradient descent and a linear probe in float64, and the mistakes that have a name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- train_epoch, for the model y = gain * x + offset


@dataclass(frozen=True)
class Epoch:
    """One pass: each batch's size, its loss before its update and after, and the weights at the end."""

    sizes: list[int]
    losses: list[float]
    late: list[float]
    weights: Tensor

    @property
    def mean(self) -> float:
        """The mean loss per image."""
        return sum(loss * size for loss, size in zip(self.losses, self.sizes, strict=True)) / sum(self.sizes)


def mean_square(y: Tensor, target: Tensor) -> Tensor:
    return (y - target).square().sum() / y.numel()


def train_epoch(
    batches: Sequence[Tensor],
    start: Tensor,
    lr: float,
    *,
    targets: Sequence[Tensor] | None = None,
    gradients: str = "new",
    cost: Callable[[Tensor, Tensor], Tensor] = mean_square,
) -> Epoch:
    """Gradient descent over these batches in this order; right with the defaults.

    start: gain and offset, which minimise the mean of (gain x + offset - x)^2. The keywords make the named mistakes:
    other targets, another cost, gradients that are kept ("kept"), or those of the batch before ("late").
    """
    weights = start.double().requires_grad_()
    gradient, losses, late = torch.zeros(2, dtype=torch.float64), [], []
    for x, target in zip(batches, batches if targets is None else targets, strict=True):
        x, target = x.double(), target.double()
        loss = cost(weights[0] * x + weights[1], target)
        losses.append(loss.item())
        new = torch.autograd.grad(loss, weights)[0]
        step = {"new": new, "kept": gradient + new, "late": gradient}[gradients]
        gradient = gradient + new if gradients == "kept" else new
        with torch.no_grad():
            weights -= lr * step
        late.append(cost(weights[0] * x + weights[1], target).item())
    return Epoch([len(x) for x in batches], losses, late, weights.detach())


def _costs(*costs: Callable[[Tensor, Tensor], Tensor]) -> tuple[dict, ...]:
    return tuple({"cost": cost} for cost in costs)


# Every sentence with one or more ways to make that mistake.
STEP_MISTAKES = {
    "the gradients are not reset: without zero_grad, each step adds up those of all earlier batches.": (
        {"gradients": "kept"},
    ),
    "the step comes before the backward pass, so each batch moves the weights by the gradient of the one before.": (
        {"gradients": "late"},
    ),
    "the squared errors are summed: take the mean over all values of a batch.": _costs(
        lambda y, x: (y - x).square().sum(),
        lambda y, x: (y - x).square().sum() / x[0].numel(),
    ),
    "the squared errors of an image are summed: take the mean over all values.": _costs(
        lambda y, x: (y - x).square().sum() / len(x)
    ),
    "the absolute error stands where the squared error should.": _costs(
        lambda y, x: (y - x).abs().mean(),
        lambda y, x: (y - x).abs().sum(),
        lambda y, x: (y - x).abs().sum() / len(x),
    ),
    "the root of the mean squared error is minimised: leave the root out.": _costs(
        lambda y, x: mean_square(y, x).sqrt(),
        lambda y, x: (y - x).flatten(1).norm(dim=1).mean(),
        lambda y, x: (y - x).norm(),
    ),
    "the squared error is halved, as in a smooth absolute error: take the mean of the squares.": _costs(
        lambda y, x: mean_square(y, x) / 2
    ),
    "the error is not squared.": _costs(lambda y, x: (y - x).mean()),
    "the binary cross-entropy stands where the mean squared error should.": _costs(
        F.binary_cross_entropy, F.binary_cross_entropy_with_logits
    ),
    "images are compared by cosine: take the mean squared error.": _costs(
        lambda y, x: 1 - F.cosine_similarity(y.flatten(1), x.flatten(1)).mean(),
        lambda y, x: 1 - F.cosine_similarity(y, x).mean(),
        lambda y, x: -F.cosine_similarity(y.flatten(1), x.flatten(1)).mean(),
    ),
    "the sign is wrong: the error is what becomes small.": _costs(lambda y, x: -mean_square(y, x)),
    "the target is zeros, or ones: it is the batch itself.": _costs(
        lambda y, x: y.square().mean(), lambda y, x: (y - 1).square().mean()
    ),
    "the loss is divided by the size of the batch, but it is a mean already.": _costs(
        lambda y, x: mean_square(y, x) / len(x)
    ),
}
RETURN_MISTAKES = {
    "in the result a smaller last batch is weighted like a full one: weight each loss with the number of its images.": (
        lambda epoch, _: sum(epoch.losses) / len(epoch.losses)
    ),
    "in the result every loss is weighted with batch_size: the last batch may be smaller, weight with len(batch).": (
        lambda epoch, batch_size: sum(epoch.losses) * batch_size / sum(epoch.sizes)
    ),
    "in the result each loss is taken after its update: take the one that the step was made from.": (
        lambda epoch, _: Epoch(epoch.sizes, epoch.late, [], epoch.weights).mean
    ),
    "the result is the loss of the last batch: take the mean over the whole pass.": lambda epoch, _: epoch.losses[-1],
    "the result is the loss of the first batch: take the mean over the whole pass.": lambda epoch, _: epoch.losses[0],
    "the result is a sum over the images: divide by their number.": lambda epoch, _: epoch.mean * sum(epoch.sizes),
    "the result is a sum over the batches: take the mean per image.": lambda epoch, _: sum(epoch.losses),
    "the result is divided by the number of batches: the sum over images is divided by the number of images.": (
        lambda epoch, _: epoch.mean * sum(epoch.sizes) / len(epoch.sizes)
    ),
    "the result is divided by the number of full batches: weight each loss with its images.": (
        lambda epoch, batch_size: sum(epoch.losses) / max(sum(epoch.sizes) // batch_size, 1)
    ),
    "the result is divided by batch_size: divide the sum over images by the number of images.": (
        lambda epoch, batch_size: sum(epoch.losses) / batch_size
    ),
    "the result is divided by the number of images, but was summed over batches: weight each loss with its images.": (
        lambda epoch, _: sum(epoch.losses) / sum(epoch.sizes)
    ),
    "the result is divided by full batches of batch_size: the last may be smaller, divide by the number of images.": (
        lambda epoch, batch_size: epoch.mean * sum(epoch.sizes) / (len(epoch.sizes) * batch_size)
    ),
    "the result is the root of the mean: return the mean squared error.": lambda epoch, _: epoch.mean**0.5,
}


# --- linear_probe


def logistic_regression(
    x: Tensor, y: Tensor, classes: int, C: float = 1.0, *, weights: Tensor | None = None, intercept: bool = True
) -> tuple[Tensor, Tensor]:
    """Weights (D, K) and intercepts (K,) that minimise |W|^2 / 2 + C * the summed cross-entropy, by Newton's method.

    Of two classes only the difference counts, and scikit-learn penalises that. weights: (N,) of the samples.
    """
    x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)  # (N, D + 1): the last column is for the intercepts
    w = torch.zeros(x.shape[1], classes, dtype=x.dtype)
    penalty = torch.full_like(w, 2.0 if classes == 2 else 1.0)
    penalty[-1] = 1e-9 if intercept else 1e12  # none on the intercepts but for what makes them unique
    each = C * (torch.ones(len(x), dtype=x.dtype) if weights is None else weights)

    def cost(w: Tensor) -> Tensor:
        return (penalty * w.square()).sum() / 2 + (each * F.cross_entropy(x @ w, y, reduction="none")).sum()

    for _ in range(30):
        p = (x @ w).softmax(dim=1)  # (N, K)
        slope = penalty * w + (each[:, None] * x).T @ (p - F.one_hot(y, classes))
        spread = each[:, None, None] * (p.diag_embed() - p[:, :, None] * p[:, None, :])  # (N, K, K)
        curvature = torch.einsum("nd,ne,nkl->dkel", x, x, spread).reshape(w.numel(), w.numel())
        step = torch.linalg.solve_ex(curvature + penalty.flatten().diag(), slope.flatten())[0].view_as(w)
        length = next((0.5**n for n in range(30) if cost(w - 0.5**n * step) <= cost(w)), 0.0)
        w = w - length * step
        if slope.abs().max() < 1e-8 or not length:
            break
    return w[:-1], w[-1]


def _standard(x: Tensor, source: Tensor) -> Tensor:
    return (x - source.mean(dim=0)) / source.std(dim=0, correction=0)


def _share(answers: Tensor, labels: Tensor) -> float:
    return float((answers == labels).double().mean())


def _mean_of_classes(answers: Tensor, labels: Tensor) -> float:
    return sum(_share(answers[labels == c], labels[labels == c]) for c in labels.unique()) / len(labels.unique())


def linear_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    scaled: Callable[[Tensor, Tensor], Tensor] = _standard,
    statistics: str = "train",
    fit_on: str = "train",
    score_on: str = "test",
    C: float = 1.0,
    balanced: bool = False,
    intercept: bool = True,
    columns: bool = False,
    metric: Callable[[Tensor, Tensor], float] = _share,
) -> float:
    """The accuracy of a linear probe; right with the defaults.

    scaled: how; statistics: of train, test, both, each its own, or of train for the train set only. columns: numbers
    of columns are taken for labels.
    """
    sets = {"train": (train_x.double(), train_y), "test": (test_x.double(), test_y)}
    sets["both"] = tuple(torch.cat(parts) for parts in zip(*sets.values(), strict=True))

    def features(which: str) -> Tensor:
        if statistics == "train set only":
            return scaled(sets["train"][0], sets["train"][0]) if which == "train" else sets[which][0]
        return scaled(sets[which][0], sets[which if statistics == "own" else statistics][0])

    ids, y = sets[fit_on][1].unique(return_inverse=True)
    weights = (len(y) / len(ids) / torch.bincount(y).double())[y] if balanced else None
    w, b = logistic_regression(features(fit_on), y, len(ids), C, weights=weights, intercept=intercept)
    best = (features(score_on) @ w + b).argmax(dim=1)
    return metric(best if columns else ids[best], sets[score_on][1])


def _min_max(x: Tensor, source: Tensor) -> Tensor:
    low, high = source.amin(dim=0), source.amax(dim=0)
    return (x - low) / (high - low)


def _probe(**what) -> partial:
    return partial(linear_probe, **what)


LINEAR_PROBE_MISTAKES = (
    Mistake(
        "the features are not standardised: subtract the mean of the training set, divide by its standard deviation.",
        (_probe(scaled=lambda x, source: x), _probe(scaled=lambda x, source: x - source.mean(dim=0))),
    ),
    Mistake(
        "the features are scaled by their extremes: divide by the standard deviation, which a single value moves less.",
        (
            _probe(scaled=_min_max),
            _probe(scaled=lambda x, source: 2 * _min_max(x, source) - 1),
            _probe(scaled=lambda x, source: x / source.abs().amax(dim=0)),
        ),
    ),
    Mistake(
        "every row is divided by its length: standardise each feature, over the rows of the training set.",
        (
            _probe(scaled=lambda x, source: x / x.norm(dim=1, keepdim=True)),
            _probe(scaled=lambda x, source: (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)),
        ),
    ),
    Mistake(
        "the variance divides the features: take its root, the standard deviation.",
        (_probe(scaled=lambda x, source: (x - source.mean(dim=0)) / source.var(dim=0, correction=0)),),
    ),
    Mistake(
        "the test set is not standardised: mean and standard deviation of train_x are for both sets.",
        (_probe(statistics="train set only"),),
    ),
    Mistake(
        "the regularisation is missing or far weaker than C = 1 (a larger C is a weaker one), or the features are "
        "whitened, so that noise counts as much as they do.",
        tuple(_probe(C=C) for C in (1e3, 1e4, 1e6)),
    ),
    Mistake(
        "the regularisation is far stronger than C = 1: a smaller C is a stronger one.",
        tuple(_probe(C=C) for C in (1e-3, 1e-4, 1e-6)),
    ),
    Mistake("the classes are weighted: every training sample counts the same.", (_probe(balanced=True),)),
    Mistake("the probe has no intercept: leave fit_intercept as it is.", (_probe(intercept=False),)),
    Mistake(
        "the accuracy is averaged over the classes: it is the share of all test labels.",
        (_probe(metric=_mean_of_classes),),
    ),
    Mistake(
        "the number of a column is taken for a label: ids may have gaps, column k belongs to classes_[k].",
        (_probe(columns=True),),
    ),
    Mistake(
        "statistics of the test set are used for standardising: mean and standard deviation come from train_x alone.",
        tuple(partial(linear_probe, statistics=of) for of in ("own", "both", "test")),
    ),
    Mistake(
        "the probe is fitted on the test set: fit on train_x and train_y alone.",
        (
            partial(linear_probe, fit_on="test"),
            partial(linear_probe, fit_on="both"),
            partial(linear_probe, fit_on="test", statistics="own"),
            partial(linear_probe, fit_on="both", statistics="both"),
        ),
    ),
    Mistake(
        "the accuracy is that on the training set: score the probe on the test set.",
        (partial(linear_probe, score_on="train"),),
    ),
    Mistake("a percentage is returned: the accuracy lies in [0, 1].", (lambda *case: 100 * linear_probe(*case),)),
    Mistake(
        "the error rate is returned: the accuracy is the share that is right.", (lambda *case: 1 - linear_probe(*case),)
    ),
    Mistake(
        "the number of right answers is returned: divide by the number of test samples.",
        (lambda *case: len(case[3]) * linear_probe(*case),),
    ),
)

"""Week 1: a pass of plain gradient descent in float64, and the mistakes that have a name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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

"""Supervised training with the same loop: baselines and fine-tuning."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from sslcourse import arguments as common
from sslcourse.data import as_float
from sslcourse.train import arguments
from sslcourse.train.fit import fit
from sslcourse.train.history import History


def fit_classifier(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    epochs: int,
    augment: Callable | None = None,
    **fit_arguments,
) -> History:
    """Train a model that maps images to logits (N, K) by cross-entropy; everything else as in `fit`.

    images: uint8 or float in [0, 1], (N, C, H, W); labels: whole numbers from 0 on, (N,); augment: images to float
    images. The history's metrics hold the training "accuracy", on the augmented images as they were trained on.
    """
    common.module("model", model)
    images = arguments.as_images(images, [model])
    if augment is not None:
        common.function("augment", augment, "images")
    labels = arguments.as_labels(labels)
    largest = int(labels.max()) if len(labels) else 0

    def loss_fn(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, dict]:
        logits = model(augment(x) if augment else as_float(x))  # (N, K)
        if logits.dim() != 2 or logits.shape[1] <= largest:
            raise ValueError(
                f"The model returned shape {tuple(logits.shape)}; expected (N, K) with K of at least "
                f"{largest + 1}, since the largest label is {largest}."
            )
        return F.cross_entropy(logits, y), {"accuracy": (logits.argmax(1) == y).float().mean()}

    return fit(loss_fn, model, (images, labels), epochs=epochs, **fit_arguments)

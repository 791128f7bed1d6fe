"""A student that learns from a teacher: the same views for both, the teacher fixed and in eval mode.

References: Hinton et al. 2015, "Distilling the knowledge in a neural network"; Beyer et al. 2022, "Knowledge
distillation: a good teacher is patient and consistent" (why both have to see the same augmented view).
"""

from collections.abc import Callable

import torch
from torch import nn

from sslcourse import arguments as common
from sslcourse.data import as_float
from sslcourse.train import arguments
from sslcourse.train.fit import fit
from sslcourse.train.history import History


def fit_student(
    student: nn.Module,
    teacher: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    loss: Callable,
    *,
    epochs: int,
    augment: Callable | None = None,
    device: torch.device | str = "cpu",
    **fit_arguments,
) -> History:
    """Train a student by loss(student_logits, teacher_logits, labels), a scalar; everything else as in `fit`.

    student, teacher: images to logits (N, K), for the same K classes. images: uint8 or float in [0, 1], (N, C, H, W);
    labels: (N,); augment: images to float images, drawn once for both. The teacher is not trained: it computes in eval
    mode, without gradients, and is in the mode it was in afterwards. The history's metrics hold the student's training
    "accuracy". Raises ValueError where the two have different numbers of classes, and for labels as `fit_classifier`.
    """
    for name, network in (("student", student), ("teacher", teacher)):
        common.module(name, network)
    images, device = arguments.as_images(images, [student]), common.device("device", device)
    for name, function in (("loss", loss), ("augment", augment)):
        if name == "loss" or augment is not None:
            common.function(name, function)
    labels = arguments.as_labels(labels)
    mode = teacher.training
    teacher.to(device).eval()

    def loss_fn(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, dict]:
        view = augment(x) if augment else as_float(x)
        with torch.no_grad():
            told = teacher(view)  # (N, K)
        logits = student(view)
        if logits.shape != told.shape:
            raise ValueError(
                f"The student returned logits of shape {tuple(logits.shape)} and the teacher {tuple(told.shape)}; "
                "both should tell the same classes, so give their last layers the same size."
            )
        return loss(logits, told, y), {"accuracy": (logits.argmax(1) == y).float().mean()}

    try:
        return fit(loss_fn, student, (images, labels), epochs=epochs, device=device, **fit_arguments)
    finally:
        teacher.train(mode)

"""Small encoders that the checks of the bonus ask, and how they are asked."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sslcourse.check.machinery import Student, Wrong


def around_grey(images: Tensor) -> Tensor:
    """A plain function, some of whose similarities are negative: pixels, counted from a grey."""
    return images.flatten(1) - 0.4


class Encoder(nn.Module):
    """A small encoder that behaves otherwise in training mode, and remembers in which mode it was asked."""

    def __init__(self, student: Student, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm, self.drop = nn.BatchNorm2d(6), nn.Dropout(0.3)
        with torch.no_grad():
            for value in (*self.conv.parameters(), self.norm.running_mean):
                value.copy_(student.normal(*value.shape))
            self.norm.running_var.copy_(0.5 + student.uniform(6))
        self.trained = False

    def forward(self, images: Tensor) -> Tensor:
        self.trained |= self.training or self.norm.training or self.drop.training
        h = torch.tanh(self.norm(self.conv(images)))
        return self.drop(torch.nn.functional.adaptive_avg_pool2d(h, 2)).flatten(1)  # (n, 24)


class AroundGrey(nn.Module):
    """Pixels, counted from a grey: some of its cosines are negative."""

    def forward(self, images: Tensor) -> Tensor:
        self.trained |= self.training
        return around_grey(images)


def exact(encoder: Callable) -> Callable:
    """The same encoder in float64 and eval mode, for the definition."""
    if not isinstance(encoder, nn.Module):
        return encoder
    double = copy.deepcopy(encoder).double().eval()

    def encode(images: Tensor) -> Tensor:
        with torch.no_grad():
            return double(images)

    return encode


def modes_kept(student: Student, encoder: nn.Module, *arguments) -> object:
    """Call in training and in eval mode; the encoder is asked in eval mode and left as it was. Returns the result."""
    for training in (False, True):
        encoder.train(training)
        encoder.trained = False
        result = student(encoder, *arguments)
        if encoder.trained:
            raise Wrong("The encoder is asked in training mode, where dropout and batch statistics play in: use eval.")
        if any(part.training != training for part in encoder.modules()):
            mode = "training" if training else "eval"
            raise Wrong(f"The encoder was in {mode} mode before and is not afterwards: restore the mode.")
    return result

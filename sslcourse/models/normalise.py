"""Normalisation as a layer: a model that carries its own constants cannot be fed images normalised otherwise."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslcourse import arguments
from sslcourse.data.images.sets import as_float

MEAN, STD = 0.45, 0.25  # of a natural image, roughly: one pair for all data sets, so that features can be compared


class Normalise(nn.Module):
    """(images - mean) / std per channel; images uint8 or float in [0, 1], (N, C, H, W), come back as float32.

    mean, std: one number per channel. They are buffers, so they move and are saved with the model. Raises ValueError
    for a std that is not positive, for more means than stds, and for images of another shape.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        mean, std = (
            torch.tensor(arguments.numbers_of(name, value, "(0.5, 0.5, 0.5), one a channel")).float().view(-1, 1, 1)
            for name, value in (("mean", _several(mean)), ("std", _several(std)))
        )
        if len(mean) != len(std):
            raise ValueError(f"There are {len(mean)} means but {len(std)} standard deviations; give as many.")
        if not (std > 0).all():
            raise ValueError(f"The standard deviations {std.flatten().tolist()} should all be above 0.")
        self.register_buffer("mean", mean)  # (C, 1, 1)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        if not isinstance(images, Tensor):
            kind = type(images).__name__
            raise TypeError(f"The model got images of type {kind}; it takes a tensor (N, {len(self.mean)}, H, W).")
        arguments.shaped("The batch", images)
        if images.dim() != 4 or images.shape[1] != len(self.mean):
            shape = tuple(images.shape)
            raise ValueError(f"The model got images of shape {shape}; it takes (N, {len(self.mean)}, H, W).")
        if 0 in images.shape[2:]:
            raise ValueError(f"The model got images of shape {tuple(images.shape)}, which have no pixels.")
        x = (as_float(images).float() - self.mean) / self.std

        # Channels last in memory (the shape stays): convolutions on CPUs with AVX and on tensor cores are faster so,
        # and the layers that follow keep what the first one gets.
        return x.contiguous(memory_format=torch.channels_last)


def _several(value):
    """One number stands for one channel."""
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


def standard(in_channels: int) -> Normalise:
    """The first layer of every model here: the same MEAN and STD for each of `in_channels` channels."""
    return Normalise([MEAN] * in_channels, [STD] * in_channels)


class Normalised(nn.Module):
    """A network of another library behind our normalisation; the network itself is `.net`."""

    def __init__(self, net: nn.Module, in_channels: int, num_features: int):
        super().__init__()
        self.normalise = standard(in_channels)
        self.net = net
        self.num_features = num_features

    def forward(self, images: Tensor) -> Tensor:
        return self.net(self.normalise(images))  # (N, D)

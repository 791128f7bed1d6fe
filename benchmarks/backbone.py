"""`conv4`, forward and backward: channels last in memory, as ours has them, against channels first.

    python benchmarks/backbone.py

The first layer, which puts the channels last, is replaced by the plain arithmetic for the comparison.
"""

import torch
from rows import compare, one_thread, show
from torch import nn

from sslcourse.models import backbone

BATCH = 512


class ChannelsFirst(nn.Module):
    """What Normalise does, in the memory layout that the images come in."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - 0.45) / 0.25


def step(model: nn.Module, images: torch.Tensor) -> None:
    model.zero_grad()
    model(images).square().mean().backward()


def rows():
    one_thread()
    images = torch.rand(BATCH, 3, 32, 32)
    last, first = backbone("conv4"), backbone("conv4")
    first.normalise = ChannelsFirst()
    peers = {"channels first": lambda: step(first, images)}
    yield from compare(f"conv4, {BATCH} images", lambda: step(last, images), peers)


if __name__ == "__main__":
    show(rows())

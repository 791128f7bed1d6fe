"""What `conv4` costs: views a second, forward and backward, with channels last in memory and with channels first.

    python benchmarks/backbone.py

The two alternate within one run, so that a slower minute of the machine hits both; the ratio of each round is taken.
The first layer, which puts the channels last, is replaced by the plain arithmetic for the comparison.
"""

import statistics
import time

import torch
from torch import nn

from sslcourse.models import backbone

ROUNDS, BATCH = 9, 512


class ChannelsFirst(nn.Module):
    """What Normalise does, in the memory layout that the images come in."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - 0.45) / 0.25


def seconds(model: nn.Module, images: torch.Tensor) -> float:
    begin = time.perf_counter()
    model.zero_grad()
    model(images).square().mean().backward()
    return time.perf_counter() - begin


def main() -> None:
    images = torch.rand(BATCH, 3, 32, 32)
    last, first = backbone("conv4"), backbone("conv4")
    first.normalise = ChannelsFirst()
    pairs = [(seconds(last, images), seconds(first, images)) for _ in range(ROUNDS + 1)][1:]  # the first warms up

    ratios = sorted(theirs / ours for ours, theirs in pairs)
    parameters = sum(p.numel() for p in last.parameters())
    print(
        f"conv4, {parameters} parameters: {BATCH / statistics.median(p[0] for p in pairs):.0f} views a second on "
        f"{torch.get_num_threads()} threads; channels first takes {statistics.median(ratios):.2f} times as long "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()

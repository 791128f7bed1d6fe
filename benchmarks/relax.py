"""3,000 RELAX masks on an image of 224 x 224 pixels: the seconds beside the encoder.

    python benchmarks/relax.py

Draws the masks, masks the image, compares representations and averages, as `evaluate.sample_masks` and
`evaluate.relax` do, with an encoder that costs next to nothing (means over fields of 32 pixels): all the rest is what
RELAX takes beside whatever encoder is explained. The bound is 6 s.
"""

import statistics
import time

import torch
from torch import Tensor

from sslcourse import evaluate

ROUNDS, MASKS, SIZE, GRID = 3, 3000, 224, 7
seconds = {"masks": [], "encoder": [], "all": []}


def encode(images: Tensor) -> Tensor:
    begin = time.perf_counter()
    h = torch.nn.functional.avg_pool2d(images, 32).flatten(1)  # (n, 147)
    seconds["encoder"][-1] += time.perf_counter() - begin
    return h


def main() -> None:
    image = torch.rand(3, SIZE, SIZE)
    for _ in range(ROUNDS):
        seconds["encoder"].append(0.0)
        begin = time.perf_counter()
        masks = evaluate.sample_masks(MASKS, GRID, SIZE)
        seconds["masks"].append(time.perf_counter() - begin)
        evaluate.relax(encode, image, masks)
        seconds["all"].append(time.perf_counter() - begin)
        del masks
    beside = [a - e for a, e in zip(seconds["all"], seconds["encoder"], strict=True)]
    print(
        f"{MASKS} masks of {SIZE} x {SIZE} pixels on {torch.get_num_threads()} threads, median of {ROUNDS}: "
        f"{statistics.median(beside):.1f} s beside the encoder ({min(beside):.1f} to {max(beside):.1f}), "
        f"{statistics.median(seconds['masks']):.1f} s of it for drawing the masks"
    )


if __name__ == "__main__":
    main()

"""RELAX of one image against a loop over its masks, with an encoder that costs next to nothing.

    python benchmarks/relax.py

The loop masks the image, encodes it and averages, mask by mask, as the paper's formulas stand.
"""

import torch
import torch.nn.functional as F
from rows import compare, one_thread, show

from sslcourse import evaluate

MASKS, SIZE, GRID = 500, 96, 7


def encode(images: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(images, 16).flatten(1)


def loop(image: torch.Tensor) -> None:
    masks = [mask[0] for mask in evaluate.sample_masks(MASKS, GRID, SIZE)]
    h = encode(image[None])
    similar = [F.cosine_similarity(encode((image * mask)[None]), h).item() for mask in masks]
    importance = sum(s * mask for s, mask in zip(similar, masks, strict=True)) / sum(masks)
    sum((s - importance).square() * mask for s, mask in zip(similar, masks, strict=True)) / sum(masks)


def rows():
    one_thread()
    image = torch.rand(3, SIZE, SIZE)

    def ours():
        evaluate.relax(encode, image, evaluate.sample_masks(MASKS, GRID, SIZE))

    yield from compare(
        f"{MASKS} masks, {SIZE} x {SIZE} pixels", ours, {"loop over masks": lambda: loop(image)}, rounds=3
    )


if __name__ == "__main__":
    show(rows())

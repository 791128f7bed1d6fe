"""Which patches are hidden: at random (MAE), or in blocks (BEiT). True = masked, always an exact number of patches.

References: He et al. 2022, "Masked autoencoders are scalable vision learners", section 3; Bao et al. 2022, "BEiT: BERT
pre-training of image transformers", algorithm 1.
"""

import math

import torch
from torch import Tensor

from sslcourse import arguments

SMALLEST_BLOCK = 4  # patches; BEiT takes 16 of 14 x 14, grids of small images are smaller
MOST_OBLONG = 0.3  # the shapes of blocks lie between 0.3 and 1 / 0.3, as in BEiT


def random_mask(n: int, n_patches: int, ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """For each of n images its own int(ratio * n_patches) patches, drawn uniformly: bool (n, n_patches), True = masked.

    On the device of the generator, else on the CPU. Raises ValueError for n < 1 and for a ratio that leaves nothing to
    see or nothing to predict.
    """
    n, n_patches = arguments.whole("n", n), arguments.whole("n_patches", n_patches, 1)
    generator = arguments.generator(generator)
    if n < 1:
        raise ValueError(f"Masks for {n} images cannot be drawn; it should be at least 1.")
    masked, device = _count(n_patches, ratio), generator.device if generator else "cpu"
    noise = torch.rand(n, n_patches, generator=generator, device=device)
    mask = torch.zeros(n, n_patches, dtype=torch.bool, device=device)
    return mask.scatter_(1, noise.topk(masked, dim=1).indices, True)


def block_mask(grid: tuple[int, int], ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Rectangles of patches until int(ratio * rows * columns) are masked: bool (rows, columns), True = masked.

    Each block takes 4 patches up to as many as are missing, in a shape between 0.3 and 1 / 0.3, anywhere; of the last
    one only as many patches as are missing. grid: (rows, columns). Raises ValueError as `random_mask`.
    """
    sides = arguments.pair("grid", grid, "(4, 4), rows and columns of patches")
    rows, columns = (arguments.whole("A side of grid", side) for side in sides)
    generator = arguments.generator(generator)
    if min(rows, columns) < 1:
        raise ValueError(f"A grid of {rows} x {columns} patches is empty; both sides should be at least 1.")
    masked, device = _count(rows * columns, ratio), generator.device if generator else "cpu"
    mask = torch.zeros(rows, columns, dtype=torch.bool, device=device)
    while (missing := masked - int(mask.sum())) > 0:
        size, shape, down, across = torch.rand(4, generator=generator, device=device).tolist()
        area = SMALLEST_BLOCK + size * max(0, missing - SMALLEST_BLOCK)
        aspect = MOST_OBLONG ** (1 - 2 * shape)  # as often twice as high as wide, as twice as wide as high
        height = min(rows, max(1, round(math.sqrt(area * aspect))))
        width = min(columns, max(1, round(math.sqrt(area / aspect))))
        top, left = int(down * (rows - height + 1)), int(across * (columns - width + 1))
        block = torch.zeros_like(mask)
        block[top : top + height, left : left + width] = True
        fresh = (block & ~mask).flatten().nonzero()[:missing, 0]
        mask.view(-1)[fresh] = True
    return mask


def _count(n_patches: int, ratio: float) -> int:
    """int(ratio * n_patches), at least 1 and fewer than all."""
    ratio = arguments.real("ratio", ratio)
    if not 0 < ratio < 1:
        raise ValueError(
            f"A mask ratio of {ratio} leaves nothing to {'predict' if ratio <= 0 else 'see'}; it should lie between 0 "
            "and 1, without both, such as 0.75."
        )
    masked = int(ratio * n_patches)
    if masked < 1:
        raise ValueError(
            f"A ratio of {ratio} masks none of {n_patches} patches; take a larger ratio or smaller patches."
        )
    return masked

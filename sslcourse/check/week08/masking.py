"""The checks of week 8's masks: random patches, and blocks of them."""

import torch
from torch import Tensor

from sslcourse.check.compare import tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week08 import generators

# --- random_mask


def _bool(value: object, shape: tuple[int, ...]) -> Tensor:
    mask = tensor(value, shape, "It returns")
    if mask.dtype != torch.bool:
        raise Wrong(f"The mask is of type {mask.dtype}, it should be torch.bool: then mask and ~mask pick patches.")
    return mask


def _drawn(times: int, places: int) -> float:
    """The share of places that are met by so many draws with replacement, on average."""
    return 1 - (1 - 1 / places) ** times


def _counts(mask: Tensor, masked: int, what: str) -> None:
    """Every row of the mask holds exactly so many True."""
    counts, length = mask.sum(dim=1), mask.shape[1]
    if (counts == masked).all():
        return
    if (counts == length - masked).all():
        raise Wrong(f"{what} every row masks {length - masked}: the mask is inverted, True is a masked patch.")
    if counts.unique().numel() > 1:
        why = "every patch is drawn by itself."
        if mask.sum(dim=0).unique().numel() == 1:
            why = "the images are put in a random order, not the patches of an image (dim=1)."
        elif int(counts.sum()) == masked * len(mask):
            why = "the number is exact over the batch, not in each row."
        elif int(counts.max()) <= masked and abs(float(counts.double().mean()) - length * _drawn(masked, length)) < 0.4:
            why = "some places are drawn several times: draw without replacement."
        raise Wrong(
            f"{what} the rows mask {int(counts.min())} to {int(counts.max())} patches: {why} Each row should mask "
            f"exactly {masked}, so that the visible patches of a batch form one tensor."
        )
    raise Wrong(f"{what} every row masks {int(counts[0])} patches, it should be int(ratio * n_patches) = {masked}.")


@exercise("week08")
def random_mask(student: Student) -> str:
    """random_mask(n, n_patches, ratio, generator=None) -> bool (n, n_patches), exactly int(ratio * n_patches) True."""
    for n, length, ratio in ((64, 16, 0.75), (5, 49, 0.6), (1, 64, 0.9), (7, 10, 0.25), (3, 4, 0.5), (4, 9, 0.95)):
        mask = _bool(student(n, length, ratio, student.generator), (n, length))
        _counts(mask, int(ratio * length), f"For {length} patches and ratio {ratio}")

    # Rows of their own, in more images than a batch of 256.
    mask = _bool(student(300, 49, 0.6, student.generator), (300, 49))
    if (mask == mask[:1]).all():
        raise Wrong("All rows of the mask are the same: draw random numbers for every image by itself.")
    for period in range(2, 151):
        if (mask[period:] == mask[:-period]).all():
            raise Wrong(
                f"Of 300 rows every one equals that {period} rows before: rows are repeated. Draw random numbers for "
                "every image by itself."
            )

    # No place is masked more often than another: 4,000 rows, 6 standard deviations.
    mask = _bool(student(4000, 8, 0.5, student.generator), (4000, 8))
    often = mask.double().mean(dim=0)
    if (often - 0.5).abs().max() > 0.05:
        worst = int((often - 0.5).abs().argmax())
        raise Wrong(
            f"With ratio 0.5 patch {worst} is masked in {often[worst]:.0%} of the rows: every patch should be drawn "
            "equally often."
        )
    together = (mask[:, :-1] & mask[:, 1:]).double().mean()
    if abs(together - 3 / 14) > 0.03:  # 4 of 8 without replacement: 1/2 * 3/7
        raise Wrong(
            f"Neighbouring patches are masked together in {together:.0%} of the cases, it should be 21 %: draw the "
            "patches of a row one by one, not as a piece."
        )
    both = (mask.double().T @ mask.double()) / 4000
    if (both.fill_diagonal_(3 / 14) - 3 / 14).abs().max() > 0.05:
        i, j = divmod(int((both - 3 / 14).abs().argmax()), 8)
        raise Wrong(
            f"Patches {i} and {j} are masked together in {both[i, j]:.0%} of the cases, it should be 21 %: draw the "
            "patches of a row one by one, not in a pattern."
        )
    if (mask[1:] == mask[:-1]).all(dim=1).double().mean() > 0.05:  # 1 in 70 by chance
        raise Wrong("Rows that follow each other are often the same: draw random numbers for every image by itself.")
    generators.examine(student, lambda generator: student(16, 16, 0.5, *([generator] if generator else [])), "mask")
    return "Exactly int(ratio x patches) in every row, rows independent, every patch equally often."


# --- block_mask


def _neighbours(masks: Tensor) -> tuple[float, float]:
    """The shares of masked ones among the right and among the lower neighbours of masked patches."""
    pairs = [(masks[:, :, :-1], masks[:, :, 1:]), (masks[:, :-1], masks[:, 1:])]
    return tuple(float((a & b).sum()) / max(1.0, float(a.sum())) for a, b in pairs)


def _squares_of_four(masks: Tensor) -> bool:
    """Whether all of these masks of four patches are 2 x 2."""
    return all(tuple(mask.nonzero().amax(0) - mask.nonzero().amin(0)) == (1, 1) for mask in masks)


@exercise("week08")
def block_mask(student: Student) -> str:
    """block_mask(grid, ratio, generator=None) -> bool (rows, columns), exactly int(ratio * rows * columns) True."""
    for grid, ratio in (((14, 14), 0.4), ((8, 8), 0.5), ((6, 9), 0.3), ((4, 4), 0.75), ((3, 12), 0.6), ((1, 8), 0.5)):
        masked = int(ratio * grid[0] * grid[1])
        for _ in range(20):
            mask = _bool(student(grid, ratio, student.generator), grid)
            if (count := int(mask.sum())) != masked:
                raise Wrong(
                    f"On a grid of {grid[0]} x {grid[1]} with ratio {ratio} it masks {count} patches, it should be "
                    f"exactly int(ratio * rows * columns) = {masked}: of the last block take only what is missing."
                )
    masks = torch.stack([student((14, 14), 0.4, student.generator) for _ in range(200)])
    scattered = 0.4  # of neighbours, where every patch is drawn by itself
    right, below = _neighbours(masks)
    if (together := (right + below) / 2) < 0.6:
        raise Wrong(
            f"{together:.0%} of the neighbours of masked patches are masked; drawn patch by patch it would be "
            f"{scattered:.0%}, in blocks of 4 to 78 patches it is about 80 %: mask rectangles."
        )
    if (masks == masks[:1]).all():
        raise Wrong("The mask is always the same: draw size, shape and place of every block.")
    if abs(right - below) > 0.13:
        raise Wrong(
            f"{right:.0%} of the neighbours to the right of masked patches are masked, but {below:.0%} of those below: "
            "mask rectangles, as often high as wide, and no pieces of rows or columns."
        )
    if _squares_of_four(torch.stack([student((14, 14), 4.1 / 196, student.generator) for _ in range(30)])):
        raise Wrong("Of thirty masks of four patches all are 2 x 2: draw the shape of every block, height by width.")
    often = masks.double().mean(dim=0)
    edges = torch.stack([often[0].mean(), often[-1].mean(), often[:, 0].mean(), often[:, -1].mean()])  # about 0.15
    if edges.min() < 0.08:
        where = ("first row", "last row", "first column", "last column")[int(edges.argmin())]
        raise Wrong(
            f"Patches of the {where} are masked in {edges.min():.0%} of the masks only: a block may lie anywhere, from "
            "the first to the last row and column."
        )
    generators.examine(student, lambda generator: student((8, 8), 0.5, *([generator] if generator else [])), "mask")
    return "An exact number of patches, in rectangles, anywhere on grids of any shape."

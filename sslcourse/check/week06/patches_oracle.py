"""Week 6, patches: pixel by pixel, and every other order in which an image may be cut up or put together.

Reference: Dosovitskiy et al. 2021, "An image is worth 16x16 words", section 3.1.
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Patch after patch, row by row; within a patch pixel after pixel, row by row; of a pixel channel after channel."""
    n, channels, height, width = images.shape
    p, rows = patch_size, []
    for image in images:
        for top in range(0, height, p):
            for left in range(0, width, p):
                pixels = [image[:, top + i, left + j] for i in range(p) for j in range(p)]
                rows.append(torch.stack(pixels).reshape(-1))
    return torch.stack(rows).reshape(n, -1, p * p * channels)


def unpatchify(patches: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    n, _, size = patches.shape
    p, (rows, columns) = patch_size, grid
    images = patches.new_zeros(n, size // p**2, rows * p, columns * p)
    for k in range(rows * columns):
        for i in range(p):
            for j in range(p):
                at = (i * p + j) * images.shape[1]
                place = k // columns * p + i, k % columns * p + j
                images[:, :, place[0], place[1]] = patches[:, k, at : at + images.shape[1]]
    return images


# Orders are written with five letters, the outermost first: r, c (row and column of the patch), i, j (row and column
# in the patch) and k (channel). Patches are rcijk, images are kricj.


def _ordered(images: Tensor, p: int, order: str) -> Tensor:
    """Patches and values in another order."""
    n, channels, height, width = images.shape
    six = images.reshape(n, channels, height // p, p, width // p, p)
    return six.permute(0, *(1 + "kricj".index(letter) for letter in order)).reshape(n, -1, p * p * channels)


def _put(patches: Tensor, p: int, grid: tuple[int, int], taken: str = "rcijk", joined: str = "kricj") -> Tensor:
    """Images from patches whose values are taken to lie in one order, and are joined in another."""
    n, channels = len(patches), patches.shape[2] // p**2
    sizes = {"r": grid[0], "c": grid[1], "i": p, "j": p, "k": channels}
    six = patches.reshape(n, *(sizes[letter] for letter in taken))
    return six.permute(0, *(1 + taken.index(letter) for letter in joined)).reshape(
        n, channels, grid[0] * p, grid[1] * p
    )


# What the orders have in common that differ from rcijk by a mistake with a name.
CHANNELS_FIRST = ("rckij", "rcikj")
BY_COLUMNS = ("crijk",)
BOTH = ("crkij", "crikj")
PIXELS_BY_COLUMNS = ("rcjik", "rckji", "rcjki")
ALL_SWAPPED = ("crjik", "crkji", "crjki")

PATCHIFY_MISTAKES = (
    Mistake(
        "the channels come first within a patch: the order of its values is (row, column, channel).",
        tuple(partial(_ordered, order=order) for order in CHANNELS_FIRST),
    ),
    Mistake(
        "the patches are counted column by column: go along the first row of patches, then along the second.",
        tuple(partial(_ordered, order=order) for order in BY_COLUMNS),
    ),
    Mistake(
        "the patches are counted column by column, and the channels come first within a patch.",
        tuple(partial(_ordered, order=order) for order in BOTH),
    ),
    Mistake(
        "the pixels of a patch are read column by column: read them row by row.",
        tuple(partial(_ordered, order=order) for order in PIXELS_BY_COLUMNS),
    ),
    Mistake(
        "rows and columns are swapped everywhere: height comes before width, for patches and within them.",
        tuple(partial(_ordered, order=order) for order in ALL_SWAPPED),
    ),
    Mistake(
        "the values are only cut into pieces of the right length: a plain reshape runs along whole rows of the "
        "image. Split H into (rows, p) and W into (columns, p), then permute.",
        (
            lambda images, p: images.reshape(len(images), -1, p * p * images.shape[1]),
            lambda images, p: images.permute(0, 2, 3, 1).reshape(len(images), -1, p * p * images.shape[1]),
            partial(_ordered, order="ricjk"),
            partial(_ordered, order="krcij"),
        ),
    ),
)

UNPATCHIFY_MISTAKES = (
    Mistake(
        "the channels are taken to come first within a patch: the order of its values is (row, column, channel), "
        "(p, p, C).",
        tuple(partial(_put, taken=order) for order in CHANNELS_FIRST),
    ),
    Mistake(
        "the patches are taken to be counted column by column: the first of them lie along the first row, so split L "
        "into (rows, columns).",
        (*(partial(_put, taken=order) for order in BY_COLUMNS), partial(_put, joined="kcirj")),
    ),
    Mistake(
        "the patches are taken to be counted column by column, with the channels first within each.",
        tuple(partial(_put, taken=order) for order in BOTH),
    ),
    Mistake(
        "the pixels of a patch are put back column by column: rows of a patch go with the rows of patches, columns "
        "with columns.",
        (*(partial(_put, taken=order) for order in PIXELS_BY_COLUMNS), partial(_put, joined="krjci")),
    ),
    Mistake(
        "rows and columns are swapped everywhere: the image is transposed. Height comes before width.",
        (*(partial(_put, taken=order) for order in ALL_SWAPPED), partial(_put, joined="kcjri")),
    ),
    Mistake(
        "the values are only cut into pieces of the right length: a plain reshape puts a whole patch into a row of the "
        "image. Split into (rows, columns, p, p, C), and permute before joining rows with p and columns with p.",
        (
            *(partial(_put, joined=order) for order in ("rcijk", "krcij")),
            *(partial(_put, taken=order) for order in ("ricjk", "krcij")),
        ),
    ),
    Mistake(
        "the channels are still last when the axes are joined: permute them to the front, (C, rows, p, columns, p).",
        (partial(_put, joined="ricjk"),),
    ),
    Mistake(
        "patch and pixel change places when the axes are joined: height is (rows, p), width is (columns, p), the patch "
        "first.",
        tuple(partial(_put, joined=order) for order in ("kirjc", "kircj", "krijc")),
    ),
)

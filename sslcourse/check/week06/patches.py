"""The checks of week 6's patches: cutting images up and putting them together. Definitions: patches_oracle.py."""

import torch
from torch import Tensor

from sslcourse.check.compare import claimed, close, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week06 import patches_oracle as oracle

EXACT = 1e-6  # pixels are moved, not computed with


def _looks_as_if(cases: list[tuple], values: list[Tensor], wanted: list[Tensor], mistakes) -> str:
    fitting = claimed(mistakes, cases, values, wanted, EXACT)
    return f"\nIt looks as if {fitting[0].sentence}" if len(fitting) == 1 else ""


@exercise("week06")
def patchify(student: Student) -> str:
    """patchify(images, patch_size) -> (N, L, p * p * C): patches row by row, values in order (p, p, C)."""
    cases, values, wanted = [], [], []
    # Two rows of three patches, so that rows and columns cannot be taken for each other; three channels.
    for n, channels, rows, columns, p in ((2, 3, 2, 3, 2), (1, 1, 3, 2, 4), (3, 3, 1, 1, 4), (2, 4, 2, 2, 1)):
        images = student.uniform(n, channels, rows * p, columns * p)
        shape = (n, rows * columns, p * p * channels)
        what = f"On images of shape {tuple(images.shape)}, patch_size {p}, it returns"
        values.append(tensor(_cut(student, images, p), shape, what))
        wanted.append(oracle.patchify(images, p))
        cases.append((images, p))
    for (images, p), value, right in zip(cases, values, wanted, strict=True):
        if close(value, right, EXACT):
            continue
        found = (
            f"On images of shape {tuple(images.shape)} with patch_size = {p} the values are not where they should be."
        )
        if saw := _looks_as_if(cases, values, wanted, oracle.PATCHIFY_MISTAKES):
            raise Wrong(found + saw)
        small = torch.arange(16.0).view(1, 1, 4, 4) / 100
        came = tensor(student(small, 2), (1, 4, 4), "It returns")
        first, should = (100 * came[0, 0]).round().int().tolist(), [0, 1, 4, 5]
        if first == should:
            raise Wrong(f"{found} One channel of 4 x 4 pixels comes out right: look at several channels or images.")
        raise Wrong(
            f"{found}\nTry a small case by hand: of one channel of 4 x 4 pixels numbered 0 to 15 row by row, the first "
            f"patch of 2 x 2 should be {should}; yours is {first}."
        )
    whole = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8, generator=student.generator)
    value = tensor(student(whole, 2), (2, 4, 12), "On uint8 images it returns")
    if value.dtype != torch.uint8:
        raise Wrong(
            f"uint8 images come back as {value.dtype}: patches are pixels in another order, nothing else changes."
        )
    return "Every value is where it should be, for grids of different shapes, one and several channels."


def _cut(student: Student, images: Tensor, p: int) -> object:
    """What the submission returns; Wrong with a sentence where only images that are not square stop it."""
    try:
        return student(images, p)
    except Wrong:
        side = min(images.shape[2:])
        if images.shape[2] == images.shape[3]:
            raise
        student(images[:, :, :side, :side], p)  # an error here is the plainer one
        raise Wrong(
            f"It stops with an error on images of shape {tuple(images.shape)}, though not where H and W are equal.\nIt "
            "looks as if images are taken for square: there are H / p rows of patches and W / p columns."
        ) from None


@exercise("week06")
def unpatchify(student: Student) -> str:
    """unpatchify(patches, patch_size, grid) -> (N, C, H, W), the inverse of patchify; grid (rows, columns)."""
    cases, values, wanted = [], [], []
    for rows, columns, p, channels in ((2, 3, 2, 3), (3, 1, 4, 1), (2, 2, 3, 2)):
        patches = student.uniform(2, rows * columns, p * p * channels)
        values.append(_image(student(patches, p, (rows, columns)), (2, channels, rows * p, columns * p)))
        wanted.append(oracle.unpatchify(patches, p, (rows, columns)))
        cases.append((patches, p, (rows, columns)))
    for (_, p, grid), value, right in zip(cases, values, wanted, strict=True):
        if close(value, right, EXACT):
            continue
        found = (
            f"For a grid of {grid[0]} x {grid[1]} patches of {p} pixels and {right.shape[1]} channels it is not the "
            "inverse of patchify."
        )
        if saw := _looks_as_if(cases, values, wanted, oracle.UNPATCHIFY_MISTAKES):
            raise Wrong(found + saw)
        small = oracle.patchify(torch.arange(24.0).view(1, 1, 4, 6) / 100, 2)
        came = _image(student(small, 2, (2, 3)), (1, 1, 4, 6))
        rows = (100 * came[0, 0]).round().int()
        if rows.flatten().tolist() == list(range(24)):
            raise Wrong(f"{found} One channel of 4 x 6 pixels comes out right: look at several channels or images.")
        row = next(row for row in range(4) if rows[row].tolist() != list(range(6 * row, 6 * row + 6)))
        raise Wrong(
            f"{found}\nTry a small case by hand: take the 2 x 3 patches of one channel of 4 x 6 pixels, numbered 0 to "
            f"23 row by row. Row {row} of the image should be {list(range(6 * row, 6 * row + 6))}; yours is "
            f"{rows[row].tolist()}. Split the values into (rows, columns, p, p, C) and permute back."
        )
    return "The inverse of patchify."


def _image(value: object, shape: tuple[int, int, int, int]) -> Tensor:
    """Images of this shape; the two common ways to get it wrong have a name."""
    n, channels, height, width = shape
    came = tuple(getattr(value, "shape", ()))
    if came == (n, channels, width, height) != shape:
        raise Wrong(
            f"It returns a tensor of shape {came}, it should be {shape}: height and width are swapped. grid is (rows, "
            "columns), and height is rows * p."
        )
    if came == (n, height, width, channels) != shape:
        raise Wrong(
            f"It returns a tensor of shape {came}, it should be {shape}: the channels come last. "
            "Images are (N, C, H, W)."
        )
    return tensor(value, shape, "It returns")

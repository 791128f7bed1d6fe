"""The check of RELAX's masks: smooth, in range, kept as often as asked for, every pixel alike. Numbers: oracle.py."""

import torch
from torch import Tensor

from sslcourse.check.bonus import oracle
from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week08 import generators

N, GRID, SIZE = 2000, 4, 48  # enough masks that what is estimated from them is within a few per cent
CELL = SIZE // GRID


@exercise("bonus")
def sample_masks(student: Student) -> str:
    """sample_masks(n, grid, image_size, keep=0.5, generator=None) -> (n, 1, H, W): smooth random masks in [0, 1]."""
    for n, grid, size in ((5, 3, 12), (40, 7, 30), (4, 1, 8), (3, 8, 8), (30, 5, 32), (1, 2, 9)):
        masks = tensor(student(n, grid, size), (n, 1, size, size), f"sample_masks({n}, {grid}, {size}) returns")
        _numbers_in_range(masks)
    one, two = (student(6, 4, 24, 0.5, torch.Generator().manual_seed(seed)) for seed in (3, 3))
    if not close(one, two):
        raise Wrong("The same generator, seeded alike, gives other masks: pass generator to every random draw.")
    shared = torch.Generator().manual_seed(3)
    if close(student(6, 4, 24, 0.5, shared), student(6, 4, 24, 0.5, shared)):
        raise Wrong("Two calls with one generator give the same masks: do not seed it anew inside.")
    generators.examine(student, lambda generator: student(6, 4, 24, 0.5, generator), "mask")

    for keep in (0.5, 0.3):
        masks = student(N, GRID, SIZE, keep, student.generator).detach()
        tensor(masks, (N, 1, SIZE, SIZE), "It returns")
        _numbers_in_range(masks)
        _kept_with_probability(masks, keep)
        _drawn_for_each(masks, keep)
        _smooth_cells(masks, keep)
        _any_number_kept(masks, keep)
        _no_grid_left(masks)
    _one_cell_more(student)
    _not_stretched(masks, keep)
    left_out = student(N // 4, GRID, SIZE, generator=student.generator)
    if abs(float(left_out.mean()) - 0.5) > 0.03:
        raise Wrong(f"Without keep the masks are {float(left_out.mean()):.2f} on average: its default is 0.5.")
    return "Smooth, in [0, 1], kept with the given probability, each mask another; every pixel is treated alike."


def _numbers_in_range(masks: Tensor) -> None:
    if not masks.is_floating_point():
        raise Wrong(f"The masks are {masks.dtype}: they are weights from 0 to 1, so floating-point numbers.")
    low, high = float(masks.min()), float(masks.max())
    if not -1e-4 <= low <= high <= 1 + 1e-4:
        raise Wrong(f"The masks run from {low:.3f} to {high:.3f}, they should stay in [0, 1].")


def _kept_with_probability(masks: Tensor, keep: float) -> None:
    """Masks differ, and their mean is the probability to keep."""
    said = f"Of {N} masks with keep = {keep}, "
    if float(masks.var(dim=0).mean()) < 0.1 * oracle.level(keep):
        raise Wrong(f"{said}all are alike: draw the cells anew for every mask.")
    mean = float(masks.mean())
    if abs(mean - keep) <= 0.03:
        return
    if abs(mean - (1 - keep)) <= 0.03:
        raise Wrong(
            f"{said}the mean value is {mean:.2f}, it should be {keep:.2f}. It looks as if the probabilities to keep "
            "and to drop a cell are swapped."
        )
    if abs(mean - 0.5) <= 0.02:
        raise Wrong(f"{said}the mean value is {mean:.2f}. It looks as if keep is not used: 0.5 is only its default.")
    raise Wrong(f"{said}the mean value is {mean:.2f}, it should be {keep:.2f}: a cell is 1 with probability keep.")


def _one_cell_more(student: Student) -> None:
    """With one cell over the image, a shifted image lies across two cells along each side, often half of one."""
    masks = tensor(student(200, 1, 24, 0.5, student.generator), (200, 1, 24, 24), "sample_masks(200, 1, 24) returns")
    for dim, along in ((2, "downwards"), (3, "across")):
        changing = (masks.amax(dim) - masks.amin(dim)).amax(dim=2) > 0.1
        if float(changing.double().mean()) < 0.3:
            raise Wrong(
                f"With grid = 1 no more than {int(changing.sum())} of 200 masks change {along}. A cell is as large as "
                "the image then, and a mask that is shifted shows parts of two cells along each side.\nIt looks as if "
                "the extra cell is missing: draw grid + 1 cells along each side. (RISE's published code stretches grid "
                "cells over that area, which makes them larger; padding or rolling makes up for none.)"
            )
    for end, extreme in (("largest", masks.amax(dim=(1, 2, 3))), ("smallest", 1 - masks.amin(dim=(1, 2, 3)))):
        if not ((extreme > 0.2) & (extreme < 0.9)).any():
            raise Wrong(
                f"With grid = 1 the {end} value of every one of 200 masks is 0 or 1, though many show no whole cell.\n"
                "It looks as if every mask is stretched over [0, 1]: leave the values of the interpolation."
            )


def _drawn_for_each(masks: Tensor, keep: float) -> None:
    """Averaged over masks with cells of their own, all pixels are kept alike."""
    average = masks[:, 0].mean(dim=0)
    if float(average.std()) > 0.05:
        raise Wrong(
            f"Over {N} masks with keep = {keep}, the mean value is {float(average.min()):.2f} at one pixel and "
            f"{float(average.max()):.2f} at another.\nIt looks as if the cells are drawn once for all masks, or keep "
            "is not the same everywhere: every mask has its own cells, each kept with probability keep."
        )


def _any_number_kept(masks: Tensor, keep: float) -> None:
    """Each cell is kept or dropped whatever the others are, so that masks show unequal shares of the image."""
    spread = float(masks.mean(dim=(1, 2, 3)).double().var()) / oracle.level_of_means(keep, GRID)
    if spread < 0.6:
        raise Wrong(
            f"The masks show nearly the same share of the image each: their means vary {spread:.1f} times as much as "
            "they should.\nIt looks as if the number of cells that are kept is fixed: each cell is kept with "
            "probability keep, whatever the others are."
        )


def _smooth_cells(masks: Tensor, keep: float) -> None:
    """Cells of the right size, kept or not, blended into each other along both axes, up to the border."""
    if max(float(masks.diff(dim=dim).abs().max()) for dim in (2, 3)) * CELL > 3:
        steps = torch.cat([masks.diff(dim=dim).abs().flatten() for dim in (2, 3)])
        found = (
            f"The masks are not smooth: neighbouring pixels differ by up to {float(steps.max()):.2f}, with cells of "
            f"{CELL} pixels it should be about {1 / CELL:.2f}."
        )
        if int((steps * CELL > 3).sum()) < 0.1 * int((steps > 1e-4).sum()):
            raise Wrong(
                f"{found} Nearly everywhere they are smooth.\nIt looks as if there is a seam: torch.roll brings what "
                "leaves at one side in at the other. Cut a window of image_size pixels out of a larger grid."
            )
        raise Wrong(f"{found} Enlarge the cells by linear interpolation.")
    inner = masks[:, 0, CELL:-CELL, CELL:-CELL]
    if not 0.6 < float(inner.var(dim=0).mean()) / oracle.level(keep) < 1.6:
        raise Wrong("The values vary too little or too much: a cell is either kept, 1, or dropped, 0.")
    slopes = _slopes(masks, keep)
    if not all(0.6 < ratio < 1.6 for ratio in slopes):
        raise Wrong(
            f"The cells are not as large as they should be: over a grid of {GRID} on {SIZE} pixels, masks change "
            f"{slopes[0]:.1f} times (downwards) and {slopes[1]:.1f} times (across) as fast as cells of {CELL} pixels "
            "would. The grid counts the cells along a side."
        )


def _slopes(masks: Tensor, keep: float) -> list[float]:
    """How fast masks change, downwards and across, relative to cells of the right size."""
    inner = masks[:, 0, CELL:-CELL, CELL:-CELL]
    return [float(inner.diff(dim=d).square().mean().sqrt()) / oracle.slope(keep, CELL) for d in (1, 2)]


def _not_stretched(masks: Tensor, keep: float) -> None:
    slopes = _slopes(masks, keep)
    if max(slopes) < 0.89:
        raise Wrong(
            f"The cells are too large: masks change {slopes[0]:.2f} times (downwards) and {slopes[1]:.2f} times "
            f"(across) as fast as cells of {CELL} pixels would.\nIt looks as if the cells are stretched, as by "
            "align_corners=True, which puts the centres of the outermost ones on the border: each covers "
            "ceil(image_size / grid) pixels."
        )


def _no_grid_left(masks: Tensor) -> None:
    found = oracle.pattern(masks, CELL)
    if found > 0.13:
        variance = masks[:, 0, CELL:-CELL, CELL:-CELL].var(dim=0)
        raise Wrong(
            f"A pattern of the grid is left: over {N} masks some pixels vary "
            f"{float(variance.max() / variance.min()):.1f} times as much as others. Shift every mask by its own random "
            f"0 to {CELL} pixels, a whole cell, along both "
            "axes: smaller shifts leave the same pixels at the centre of a cell."
        )
    if abs(oracle.diagonals(masks, CELL)) > 0.045:
        raise Wrong(
            "Along the diagonals a pattern of the grid is left.\nIt looks as if one shift serves for both axes: draw "
            "one for downwards and one for across, for every mask."
        )

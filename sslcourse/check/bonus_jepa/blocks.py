"""The check of context_target_blocks: rectangles of the right sizes everywhere, and a context that shows none."""

from math import log, sqrt

import torch
from torch import Tensor

from sslcourse.check.bonus_jepa import sizes
from sslcourse.check.compare import tensor, two_parts
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week08 import generators

TARGET, SHAPE, CONTEXT = (0.15, 0.2), (0.75, 1.5), (0.85, 1.0)  # shares of the patches; height / width (I-JEPA, A.4)
DRAWS = 100


def examine_blocks(student: Student) -> str:
    generators.examine(student, lambda g: torch.cat(_draw(student, 14, 4, g)), "draw")
    generator = torch.Generator().manual_seed(student.seed % 1000)
    single = torch.cat([_draw(student, sizes.GRID, 1, generator)[1] for _ in range(sizes.DRAWS)])
    sizes.known(single)
    shapes = []
    # On a fine grid a side is hardly rounded, so that shares and shapes can be told.
    for grid, n_targets, draws in ((14, 4, DRAWS), (8, 4, DRAWS), (40, 4, 20), (8, 1, 20)):
        drawn = [_draw(student, grid, n_targets, generator) for _ in range(draws)]
        boxes = [_target(grid, target) for _, targets in drawn for target in targets]
        contexts = [_context(grid, context, targets, everything=grid == 40) for context, targets in drawn]
        if draws == DRAWS:
            _varied(grid, drawn, boxes)
            _apart(grid, drawn)
            _everywhere(grid, drawn)
        if grid == 40:
            _spread(grid, boxes, contexts)
        shapes += boxes
    _upright(shapes)
    with student.meaning("The check draws 4 targets on a grid of 2 x 2 patches, where they may cover everything."):
        small = [_draw(student, 2, 4, generator) for _ in range(40)]
    for _, targets in small:
        for target in targets:
            _target(2, target)
    sizes.right(single)
    return "Rectangles of 15 to 20 % anywhere on the grid, and a context that is never empty and shows no target."


def _draw(student: Student, grid: int, n_targets: int, generator) -> tuple[Tensor, Tensor]:
    """Context (1, L) and targets (n_targets, L), as bool."""
    with sizes.Patience(grid, n_targets):
        came = student(grid, n_targets, generator)
    context, targets = two_parts(came, "context, targets")
    if isinstance(targets, list | tuple) and all(isinstance(target, Tensor) for target in targets) and len(targets):
        targets = torch.stack(list(targets))
    context = tensor(context, (grid**2,), "context is")
    targets = tensor(targets, (n_targets, grid**2), "targets is")
    for name, mask in (("context", context), ("targets", targets)):
        if mask.dtype != torch.bool:
            raise Wrong(f"{name} is of type {mask.dtype}, it should be torch.bool: True where a patch belongs to it.")
    if not targets.any(dim=1).all():
        raise Wrong(f"On a grid of {grid} x {grid} a target is empty: a block has at least one row and one column.")
    if not context.any():
        raise Wrong(
            f"On a grid of {grid} x {grid} with {n_targets} targets the context came out empty, so nothing can be "
            "predicted from it: draw again until something is left."
        )
    return context[None], targets


def _sides(grid: int, share: tuple[float, float], shape: tuple[float, float]) -> tuple[range, range]:
    """Heights and widths that a block may have, rounded to the nearest number."""

    def between(low: float, high: float) -> range:
        return range(max(1, round(sqrt(low))), min(grid, max(1, round(sqrt(high)))) + 1)

    (few, many), (small, large) = share, shape
    n = grid**2
    return between(n * few * small, n * many * large), between(n * few / large, n * many / small)


def _box(mask: Tensor) -> tuple[int, int, int, int]:
    """Top, left, height and width of the smallest rectangle around a mask (grid, grid)."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1


def _target(grid: int, target: Tensor) -> tuple[int, int]:
    """Height and width of a target; Wrong where it is no rectangle, or none of the sizes asked for."""
    mask = target.view(grid, grid)
    top, left, height, width = _box(mask)
    if not mask[top : top + height, left : left + width].all():
        raise Wrong(
            f"On a grid of {grid} x {grid} a target of {int(mask.sum())} patches is no rectangle. A target is a block; "
            "scattered patches can be guessed from their neighbours."
        )
    heights, widths = _sides(grid, TARGET, SHAPE)
    if height not in heights or width not in widths:
        share = height * width / grid**2
        low, high = TARGET
        if not 0.5 * low < share < 2 * high:
            found = (
                f"On a grid of {grid} x {grid} a target has {height} x {width} patches, {share:.0%} of all: a target "
                "has 15 to 20 %."
            )
            if share < low and grid in (top + height, left + width) and (height in heights or width in widths):
                raise Wrong(
                    f"{found}\nIt looks as if a block that reaches over the edge is cut off there: its first row is "
                    "one of grid - height + 1, so that all of it fits."
                )
            if low**2 / 2 < share < 2 * high**2:
                raise Wrong(
                    f"{found}\nIt looks as if the share is one of each side: it is one of the patches, so height = "
                    "sqrt(patches * share * shape)."
                )
            raise Wrong(found)
        found = (
            f"On a grid of {grid} x {grid} a target is {height} high and {width} wide: it has 15 to 20 % of the "
            "patches, and height / width lies between 0.75 and 1.5."
        )
        raise Wrong(found)
    return height, width


def _context(grid: int, context: Tensor, targets: Tensor, everything: bool = False) -> set[int]:
    """Heights of the blocks that the context may come from: one of them, or (everything) all; Wrong if there is none.

    Mostly it is one, unless targets hide a whole edge.
    """
    fits: set[int] = set()
    context, hidden = context.view(grid, grid), targets.any(dim=0).view(grid, grid)
    if (context & hidden).any():
        raise Wrong(
            f"On a grid of {grid} x {grid} the context holds {int((context & hidden).sum())} patches of the targets: "
            "what is to be predicted would be seen. Take the targets out of the context."
        )
    heights, widths = _sides(grid, CONTEXT, (1.0, 1.0))
    for height in heights:
        for width in widths:
            for top in range(grid - height + 1):
                for left in range(grid - width + 1):
                    block = torch.zeros_like(context)
                    block[top : top + height, left : left + width] = True
                    if torch.equal(block & ~hidden, context):
                        fits.add(height)
                        if not everything:
                            return fits
    if fits:
        return fits
    share = int(context.sum()) / int((~hidden).sum())
    raise Wrong(
        f"On a grid of {grid} x {grid} the context has {share:.0%} of the patches that no target holds, and is not "
        "what a block of 85 to 100 % of the grid (as high as wide) leaves without the targets."
    )


def _apart(grid: int, drawn: list) -> None:
    """Places along the two axes are drawn by themselves, and so is every target."""
    boxes = [_box(target.view(grid, grid)) for _, targets in drawn for target in targets]
    down, across = torch.tensor([(t / max(grid - h, 1), a / max(grid - w, 1)) for t, a, h, w in boxes]).T
    if float(torch.corrcoef(torch.stack([down, across]))[0, 1].abs()) > 0.9:  # of 400 pairs, 0.2 at most by chance
        raise Wrong(
            f"In {len(drawn)} draws all targets lie along a diagonal. It looks as if one random number serves for both "
            "axes: draw a place downwards and another one across."
        )
    if len(drawn[0][1]) > 1 and not any((targets.sum(dim=0) > 1).any() for _, targets in drawn):
        raise Wrong(
            f"In {len(drawn)} draws no two targets overlap: they may, each has a place of its own wherever others are."
        )


def _everywhere(grid: int, drawn: list) -> None:
    """In many draws every patch is hidden some time and seen some time."""
    hidden = torch.stack([targets.any(dim=0) for _, targets in drawn]).any(dim=0).view(grid, grid)
    rows, columns = hidden.any(dim=1), hidden.any(dim=0)
    if not (rows[-1] and columns[-1]):
        raise Wrong(
            f"In {len(drawn)} draws the targets never reach the last row or column: they lie anywhere on the grid. The "
            "upper end of torch.randint is excluded: randint(grid - height + 1, ...)."
        )
    if not (rows.all() and columns.all()):
        raise Wrong(f"In {len(drawn)} draws the targets never reach some rows or columns: they lie anywhere.")
    if not torch.cat([context for context, _ in drawn]).any(dim=0).all():
        raise Wrong(f"In {len(drawn)} draws some patches are never seen: the context block lies anywhere on the grid.")


def _upright(sizes: list[tuple[int, int]]) -> None:
    """height / width from 0.75 to 1.5: more targets are high than wide, by far more than chance among 900."""
    if sum(log(height / width) for height, width in sizes) < 0:
        raise Wrong(
            f"Of {len(sizes)} targets more are wide than high. It looks as if height and width are "
            "swapped: height / width is 0.75 to 1.5, so height = sqrt(patches * share * shape)."
        )


def _spread(grid: int, sizes: list[tuple[int, int]], contexts: list[set[int]]) -> None:
    """Shares from 0.15 to 0.2, which differ by a third; rounding alone makes a difference of an eighth.

    Of 20 contexts at most a third have any one size, of shapes more than half lie between 0.9 and 1.3.
    """
    if set.intersection(*contexts):
        raise Wrong(
            f"On a grid of {grid} x {grid} {len(contexts)} contexts are cut from blocks of one size, "
            f"{min(set.intersection(*contexts))} patches high: their share is drawn at random too, from 85 to 100 %."
        )
    if not any(0.9 < height / width < 1.3 for height, width in sizes):
        raise Wrong(
            f"On a grid of {grid} x {grid} height / width of {len(sizes)} targets is never between 0.9 and 1.3: draw "
            "it uniformly from 0.75 to 1.5."
        )
    patches = [height * width for height, width in sizes]
    if max(patches) < 1.17 * min(patches):
        raise Wrong(
            f"On a grid of {grid} x {grid} all targets have {min(patches)} to {max(patches)} patches: the share is "
            "drawn at random too, from 15 to 20 %."
        )


def _varied(grid: int, drawn: list, sizes: list[tuple[int, int]]) -> None:
    if all(torch.equal(targets, targets[:1].expand_as(targets)) for _, targets in drawn):
        raise Wrong("The targets of one call are all the same block: each has a place of its own.")
    if len(set(sizes)) == 1:
        raise Wrong(f"All targets have {sizes[0][0]} x {sizes[0][1]} patches: draw share and shape at random.")
    if grid > 8 and not (any(h > w for h, w in sizes) and any(h < w for h, w in sizes)):
        raise Wrong("Targets are never higher than wide, or never wider than high: height / width is 0.75 to 1.5.")
    places = {tuple(_box(targets[0].view(grid, grid))[:2]) for _, targets in drawn}
    if len(places) < 5:
        raise Wrong(f"In {len(drawn)} draws the first target lies at {len(places)} place(s) only: draw its place.")
    if grid > 8 and all(torch.equal(context[0], ~targets.any(dim=0)) for context, targets in drawn):
        raise Wrong("The context is always everything but the targets: it is a block of 85 to 100 % of the grid.")

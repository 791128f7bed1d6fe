"""The sizes of targets in many draws (context_target_blocks): rounded, share and shape uniform, each place as likely.

One draw shows none of this. On a fine grid a thousand single targets do: the mean logarithm of their area then has a
standard error of 0.003, where int() in place of rounding makes it smaller by 0.06; that of their shape one of 0.0065.
"""

from collections.abc import Callable
from math import ceil, floor, inf, log

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sslcourse.check.machinery import Wrong
from sslcourse.check.outcomes import Told

GRID, DRAWS = 40, 1000
NEAR = (0.014, 0.028)  # of mean logarithms of area and shape: more than four standard errors
CALLS = 60_000  # of torch's functions in one draw; a plain loop over all patches of all blocks makes some 10,000


class _NeverEnds(Told):
    def __init__(self, text: str):
        self.text, self.raised = text, False


class Patience(TorchFunctionMode):
    """Ends a draw that goes on and on, which a `while` loop does where no context can be left."""

    def __init__(self, grid: int, n_targets: int):
        super().__init__()
        self.left, self.grid, self.n = CALLS, grid, n_targets

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.left -= 1
        if self.left < 0:
            self.left = inf  # once: what is called on the way out of here is not the student's
            what = "1 target" if self.n == 1 else f"{self.n} targets"
            raise _NeverEnds(
                f"On a grid of {self.grid} x {self.grid} with {what} it does not come to an end: it draws again and "
                "again, and no context is ever accepted. Are the targets too large, is more asked of them than that "
                "something is left, or are they not drawn anew when nothing is?"
            )
        return function(*args, **(kwargs or {}))


def _expected(
    side: Callable = round, across: Callable = round, shape: Callable = lambda u: 0.75 + 0.75 * u, power: float = 0.5
) -> tuple[float, float]:
    """Mean logarithms of height * width and of height / width, over evenly spaced shares and shapes."""
    u = (torch.arange(120, dtype=torch.float64) + 0.5) / 120
    found = [
        (side(GRID * share**0.5 * a**power), across(GRID * share**0.5 / a**power))
        for share in (0.15 + 0.05 * u).tolist()
        for a in shape(u).tolist()
    ]
    return _means(torch.tensor(found, dtype=torch.float64).T)


ROUNDED = (
    "they are rounded, as in the authors' code, int(round(...)), so that blocks are neither smaller nor larger than "
    "asked for."
)
MISTAKES = {
    f"sides are cut off by int() or floor: {ROUNDED}": (dict(side=floor, across=floor),),
    f"one of the two sides is cut off by int() or floor: {ROUNDED}": (dict(side=floor), dict(across=floor)),
    f"sides are rounded up: {ROUNDED}": (dict(side=ceil, across=ceil), dict(side=ceil), dict(across=ceil)),
    "the shape is drawn evenly in its logarithm, as torchvision's crops are: draw it uniformly from 0.75 to 1.5.": (
        dict(shape=lambda u: 0.75 * 2**u),
    ),
    "the shape stands outside of the root, which squares it: height = sqrt(patches * share * shape).": (
        dict(power=1.0),
        dict(power=1.0, side=floor, across=floor),
    ),
    "height and width are swapped: height / width is 0.75 to 1.5, so height = sqrt(patches * share * shape).": (
        dict(shape=lambda u: 1 / (0.75 + 0.75 * u)),
        dict(shape=lambda u: 1 / 1.5 + (1 / 0.75 - 1 / 1.5) * u),
    ),
}
_tables: dict = {}


def _table() -> tuple[tuple[float, float], dict[str, list[tuple[float, float]]]]:
    """What is right, and what each mistake gives; computed once."""
    if not _tables:
        _tables["right"] = _expected()
        _tables["wrong"] = {why: [_expected(**what) for what in kinds] for why, kinds in MISTAKES.items()}
    return _tables["right"], _tables["wrong"]


def _boxes(single: Tensor) -> Tensor | None:
    """Top, left, height and width (N, 4) of masks (N, L); None where one is no rectangle."""
    masks = single.view(-1, GRID, GRID)
    rows, columns = masks.any(dim=2), masks.any(dim=1)
    heights, widths = rows.sum(dim=1), columns.sum(dim=1)
    if not torch.equal(heights * widths, masks.sum(dim=(1, 2))):
        return None
    return torch.stack([rows.double().argmax(dim=1), columns.double().argmax(dim=1), heights, widths], dim=1)


def _means(sides: Tensor) -> tuple[float, float]:
    heights, widths = sides.double()
    return float((heights * widths).log().mean()), float((heights / widths).log().mean())


def _near(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a - b) < far for a, b, far in zip(one, other, NEAR, strict=True))


def known(single: Tensor) -> None:
    """Wrong where the sizes of single targets (N, L) are those of a mistake that has a name, and not the right ones."""
    boxes = _boxes(single)
    if boxes is None:
        return
    tops, lefts, heights, widths = boxes.T
    if torch.equal(heights, widths):
        raise Wrong("Targets are never higher than wide, or never wider than high: height / width is 0.75 to 1.5.")
    low = (heights < 12) | (widths < 12)  # smaller than any target, whatever its share and shape
    if low.any() and bool(((tops + heights == GRID) | (lefts + widths == GRID))[low].all()):
        raise Wrong(
            f"On a grid of {GRID} x {GRID} {int(low.sum())} of {DRAWS:,} targets are smaller than 15 % of the patches, "
            "all of them at an edge.\nIt looks as if a block that reaches over the edge is cut off there: its first "
            "row is one of grid - height + 1, so that all of it fits."
        )
    middle = (heights > 0.9 * widths) & (heights < 1.3 * widths)
    if float(middle.double().mean()) < 0.1:  # half of all, where the shape is uniform: nothing that has a name here
        return
    means, (right, wrong) = _means(boxes[:, 2:].T), _table()
    if _near(means, right):
        return
    fitting = [why for why, kinds in wrong.items() if any(_near(means, kind) for kind in kinds)]
    if len(fitting) == 1:
        raise Wrong(f"{_found(boxes)}\nIt looks as if {fitting[0]}")


def _found(boxes: Tensor) -> str:
    height, width = boxes[:, 2:].double().mean(dim=0).tolist()
    return (
        f"Of {DRAWS:,} targets on a grid of {GRID} x {GRID} the mean height is {height:.2f} and the mean width "
        f"{width:.2f}, they should be about 17.65 and 15.99."
    )


def right(single: Tensor) -> None:
    """Wrong where sizes or places of single targets (N, L) are spread otherwise than asked for."""
    boxes = _boxes(single)
    if boxes is None:
        return
    tops, lefts, heights, widths = boxes.double().T
    shapes, shares = (heights / widths).log(), (heights * widths).log()
    if float(torch.corrcoef(torch.stack([shapes, shares]))[0, 1].abs()) > 0.3:  # of 1,000, 0.16 at most by chance
        raise Wrong(
            f"Of {DRAWS:,} targets the large ones have another shape than the small ones. It looks as if one random "
            "number serves for share and shape: draw each by itself."
        )
    for extreme, words in ((log(1.42), "above 1.42"), (-log(0.8), "below 0.80")):
        if not ((shapes if extreme == log(1.42) else -shapes) > extreme).any():
            raise Wrong(
                f"Of {DRAWS:,} targets on a grid of {GRID} x {GRID} none has height / width {words}: draw it uniformly "
                "from 0.75 to 1.5."
            )
    ends = sum(int(at.sum()) for at in (tops == 0, lefts == 0, tops + heights == GRID, lefts + widths == GRID))
    wanted = float((2 / (GRID + 1 - heights) + 2 / (GRID + 1 - widths)).sum())
    if ends < 0.66 * wanted:
        raise Wrong(
            f"Of {DRAWS:,} targets {ends} touch an edge of the grid, it should be about {wanted:.0f}: every place is "
            "as likely. Rounding gives the first and the last place half of their share; "
            "int(u * (grid - height + 1)) does not."
        )
    if not _near(_means(boxes[:, 2:].T), _table()[0]):
        raise Wrong(
            f"{_found(boxes)} Height is sqrt(patches * share * shape), width is sqrt(patches * share / shape), "
            "share and shape are uniform."
        )

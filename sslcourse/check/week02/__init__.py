"""Checks of week 2, rotation prediction. The definitions and the named mistakes are in oracle.py.

Rotations are recognised, not computed: the images are random, so that every row of a result is either one rotation of
one image, pixel by pixel, or something else. The network is examined in network.py, its accuracy in accuracy.py, the
optional exercises in optional.py.
"""

import torch
from torch import Tensor

from sslcourse.check.compare import tensor, two_parts
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week02 import oracle
from sslcourse.check.week02.accuracy import rotation_accuracy
from sslcourse.check.week02.network import RotationNet
from sslcourse.check.week02.optional import jigsaw_batch, rotation_sensitivity

__all__ = ["RotationNet", "jigsaw_batch", "report", "rotate_batch", "rotation_accuracy", "rotation_sensitivity"]
__all__ += ["sweep"]

ANGLES = (0, 90, 180, 270)


def _recognised(rows: Tensor, versions: Tensor) -> list[tuple[int, int] | None]:
    """For every row (C, S, S) which of versions (N, V, C, S, S) it equals, as (n, v); None where it equals none."""
    n, v = versions.shape[:2]
    if tuple(rows.shape[1:]) != tuple(versions.shape[2:]):
        return [None] * len(rows)
    known = versions.double().flatten(2).flatten(0, 1)  # (N V, pixels)
    same = (rows.detach().double().flatten(1)[:, None] - known).abs().amax(dim=2) < 1e-6  # (rows, N V)
    found = same.float().argmax(dim=1)
    return [divmod(int(i), v) if bool(row[i]) else None for row, i in zip(same, found, strict=True)]


# --- rotate_batch


@exercise("week02")
def rotate_batch(student: Student) -> str:
    """rotate_batch(images) -> (rotated (4N, C, H, W), labels (4N,)), counter-clockwise by 0, 90, 180, 270 degrees.

    All rotations of the batch after each other (blocks) or all of an image after each other (adjacent).
    """
    # As many images as channels as pixels: whoever turns the wrong axes gets a result here, and with it a message.
    for shape in ((3, 3, 3, 3), (5, 3, 8, 8), (4, 1, 6, 6), (1, 3, 5, 5)):
        _all_rotations(student, student.uniform(*shape))
    return "All four rotations of every image, counter-clockwise, unchanged but for the turn, with labels that match."


def _all_rotations(student: Student, images: Tensor) -> None:
    n = len(images)
    rotated, labels = two_parts(student(images), "rotated, labels")
    if isinstance(rotated, Tensor) and tuple(rotated.shape) == tuple(images.shape):
        raise Wrong(f"It returns {n} rotated images for {n} images: all four rotations of each are wanted, {4 * n}.")
    if isinstance(rotated, Tensor) and tuple(rotated.shape) in {(n, 4, *images.shape[1:]), (4, n, *images.shape[1:])}:
        raise Wrong(f"rotated is of shape {tuple(rotated.shape)}: join the first two axes, to (4N, C, H, W).")
    rotated = tensor(rotated, (4 * n, *images.shape[1:]), "rotated is")
    labels = tensor(labels, (4 * n,), "labels is")

    found = _recognised(rotated, oracle.all_turned(images))
    _nothing_but_rotations(images, rotated, found)
    if len(set(found)) < 4 * n:
        missing = next((i, k) for i in range(n) for k in range(4) if (i, k) not in found)
        raise Wrong(
            f"{4 * n - len(set(found))} of {4 * n} rotations are missing, others come twice: image {missing[0]} turned "
            f"by {ANGLES[missing[1]]} degrees is not there."
        )
    _labels_match(labels, found, n)
    sources = [source for source, _ in found]
    if sources not in (list(range(n)) * 4, [source for source in range(n) for _ in range(4)]):
        raise Wrong(
            "The order is lost: keep the images in order, in blocks of one rotation or the four of one side by side."
        )


def _nothing_but_rotations(images: Tensor, rotated: Tensor, found: list) -> None:
    """Wrong where a row is no rotation of an image, with what it is instead."""
    if None not in found:
        return
    row = found.index(None)
    mirrored = _recognised(rotated, oracle.all_turned(images.flip(3)))
    if mirrored[row] is not None:
        raise Wrong(
            f"Row {row} is mirrored: a transpose or a flip is no rotation. torch.rot90(images, k, dims=(2, 3)) turns."
        )
    if len(set(images.shape)) == 1:
        for axes, names in oracle.WRONG_AXES.items():
            turned = [torch.rot90(images, k, dims=axes) for k in range(4)]
            if None not in _recognised(rotated, torch.stack(turned, dim=1)):
                raise Wrong(f"It looks as if {names} are turned into each other: rows and columns are axes 2 and 3.")
    if (alike := _alike(rotated[row], oracle.all_turned(images))) is not None:
        raise Wrong(
            f"Row {row} looks like image {alike[0]} turned by {ANGLES[alike[1]]} degrees, but the values of its pixels "
            "are others: a turn moves pixels and changes none."
        )
    raise Wrong(f"Row {row} of the result is no rotation of any image by 0, 90, 180 or 270 degrees.")


def _alike(row: Tensor, versions: Tensor) -> tuple[int, int] | None:
    """Which of versions (N, V, C, S, S) a row correlates with, by more than 0.9 over its pixels."""
    known = versions.flatten(0, 1).double().flatten(1)
    correlations = torch.corrcoef(torch.cat([row.detach().double().flatten()[None], known]))[0, 1:].nan_to_num()
    best = int(correlations.argmax())
    return divmod(best, versions.shape[1]) if correlations[best] > 0.9 else None


def _labels_match(labels: Tensor, found: list[tuple[int, int]], n: int) -> None:
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise Wrong(f"The labels are of type {labels.dtype}: they should be whole numbers, torch.int64.")
    quarters = [quarter for _, quarter in found]
    if labels.tolist() != quarters:
        for sentence, label in oracle.LABEL_MISTAKES.items():
            if labels.tolist() == [label(quarter, source, n) for source, quarter in found]:
                raise Wrong(f"It looks as if {sentence}")
        row = next(i for i, label in enumerate(labels.tolist()) if label != quarters[i])
        source, quarter = found[row]
        said = f"Row {row} is image {source} turned by {ANGLES[quarter]} degrees, and its label is {int(labels[row])}"
        if sorted(labels.tolist()) == sorted(quarters):
            raise Wrong(f"{said}: the labels are in another order than the images.")
        raise Wrong(f"{said}, it should be {quarter}.")
    if labels.dtype != torch.int64:
        raise Wrong(f"The labels are of type {labels.dtype}: cross-entropy takes torch.int64.")

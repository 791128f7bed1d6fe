"""Checks of the bonus, explaining representations with RELAX. Definitions and named mistakes: oracle.py,
curves_oracle.py.

The masks are examined in masks.py, insertion and deletion in insertion.py.
"""

import torch
from torch import Tensor

from sslcourse.check.bonus import oracle
from sslcourse.check.bonus.encoders import Encoder, around_grey, exact, modes_kept
from sslcourse.check.bonus.insertion import insertion_deletion
from sslcourse.check.bonus.masks import sample_masks
from sslcourse.check.compare import close, gives, tensor, told, two_parts, worst
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep

__all__ = ["insertion_deletion", "relax", "report", "sample_masks", "sweep"]


# --- relax

BATCHES = 300  # masks: more than go into a batch


def _maps(student: Student, result: object, shape: tuple) -> tuple[Tensor, Tensor]:
    parts = two_parts(result, "importance, uncertainty", "two maps")
    for name, part in zip(("importance", "uncertainty"), parts, strict=True):
        tensor(part, shape, f"The {name} is")
        if part.requires_grad:
            raise Wrong(f"The {name} carries a gradient, with the graphs of all masked images: use torch.no_grad().")
    return parts


@exercise("bonus")
def relax(student: Student) -> str:
    """relax(encoder, image, masks) -> (importance (H, W), uncertainty (H, W)) (Wickstrom et al. 2023)."""
    cases = []
    for channels, size, n in ((3, 8, 24), (1, 6, 5), (3, 7, 40), (1, 5, BATCHES)):
        encoder = Encoder(student, channels)
        image, masks = student.uniform(channels, size, size), student.uniform(n, 1, size, size)
        if n == BATCHES:  # the last masks show more than the others, so a small last batch weighs what it weighs
            masks[256:] = masks[256:] ** 0.2
        maps = _maps(student, modes_kept(student, encoder, image, masks), (size, size))
        cases.append((exact(encoder), image.double(), masks.double(), maps))
    image, masks = 0.2 + 0.8 * student.uniform(1, 6, 6), student.uniform(30, 1, 6, 6) ** 3
    masks[::3] = masks[::3] ** 0.1  # light masks among dark ones: similarities of either sign, whatever is drawn
    maps = _maps(student, student(around_grey, image, masks), (6, 6))
    cases.insert(0, (around_grey, image.double(), masks.double(), maps))
    _as_defined(cases)

    # Analytic cases: nothing matters to a constant, and of what is never read no pixel matters more than another.
    image, masks = 0.2 + 0.8 * student.uniform(3, 8, 8), student.uniform(400, 1, 8, 8)
    importance, uncertainty = _maps(student, student(lambda x: torch.ones(len(x), 5), image, masks), (8, 8))
    if not close(importance, torch.ones(8, 8)):
        raise Wrong(f"For a constant encoder the importance {gives(float(importance.flatten()[0]), 1.0)}")
    if not close(uncertainty, torch.zeros(8, 8), 1e-5):
        raise Wrong(f"For a constant encoder the uncertainty {gives(float(uncertainty.flatten()[0]), 0.0)}")
    once = _maps(student, student(_quadrant, image, masks), (8, 8))
    twice = _maps(student, student(_quadrant, image, masks.repeat(2, 1, 1, 1)), (8, 8))
    if not all(map(close, once, twice)):
        raise Wrong("The same masks, each given twice, change the maps: neither may grow with the number of masks.")
    return (
        "Equal to the definition for five encoders; eval mode, without gradients, mode restored; a constant encoder "
        "has no uncertainty, and neither map grows with the number of masks."
    )


def _quadrant(images: Tensor) -> Tensor:
    """Reads the upper left quarter and nothing else."""
    return images[:, :, :4, :4].flatten(1)


def _as_defined(cases: list[tuple]) -> None:
    """Compare the maps of all cases with the definition; a mistake is named when it fits them all."""
    wrong, all_right = None, []
    for encode, image, masks, maps in cases:
        right = oracle.relax(encode, image, masks)
        all_right.append(right)
        for which, (came, wanted) in enumerate(zip(maps, right, strict=True)):
            if wrong is None and not close(came, wanted, 1e-5 if which else 1e-4):
                wrong = which, came, wanted, image, masks
    if wrong is None:
        return
    which, came, wanted, image, masks = wrong
    name = ("importance", "uncertainty")[which]
    shape = " x ".join(map(str, image.shape))
    (row, column), value, should = worst(came, wanted)
    found = (
        f"On an image of {shape} and {len(masks)} masks, for the {name} of the pixel ({row}, {column}) "
        f"{gives(value, should)}"
    )
    known = [oracle.relax_mistakes(encode, image, masks) for encode, image, masks, _ in cases]
    all_maps = [maps for *_, maps in cases]
    fitting = [sentence for sentence in known[0] if _fits(sentence, known, all_maps)]
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting[0]}.")
    if len(masks) == BATCHES:
        raise Wrong(
            f"{found}\nWith fewer masks it is right. If it goes through the masks in batches: add up over all of them "
            "and divide once, since the last batch is smaller."
        )
    found += told(*([maps[which] for maps in side] for side in (all_maps, all_right)))
    raise Wrong(
        f"{found}\nTry two masks by hand: two similarities, and for each pixel a mean of the two, weighted by the two "
        "values that the masks have there."
    )


def _fits(sentence: str, known: list[dict], all_maps: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether one variant of this mistake gives the student's maps in every case."""
    for number_ in range(len(known[0][sentence])):
        variants = [mistakes[sentence][number_] for mistakes in known]
        pairs = zip(variants, all_maps, strict=True)
        if all(_alike(x, a) and (b is None or _alike(y, b, 1e-5)) for (a, b), (x, y) in pairs):
            return True
    return False


def _alike(came: Tensor, wrong: Tensor, tolerance: float = 1e-4) -> bool:
    """Equal, NaN at the same places included: a mistake may well give NaN."""
    missing = wrong.isnan()
    same = bool((came.isnan() == missing).all())
    return same and close(came.masked_fill(missing, 0), wrong.masked_fill(missing, 0), tolerance)

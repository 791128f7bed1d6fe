"""Checks of the bonus, explaining representations with RELAX. Definitions and named mistakes: oracle.py."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sslcourse.check.bonus import oracle
from sslcourse.check.compare import close, gives, number, tensor, two_parts
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep

__all__ = ["insertion_deletion", "relax", "report", "sample_masks", "sweep"]


# --- sample_masks

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
    left_out = student(N, GRID, SIZE, generator=student.generator)
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
    if float(masks.double().var(dim=0).mean()) < 0.1 * oracle.level(keep):
        raise Wrong(f"{said}all are alike: draw the cells anew for every mask.")
    mean = float(masks.double().mean())
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
    """With one cell over the image, a shifted image lies across two cells along each side."""
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
    inner = masks[:, 0, CELL:-CELL, CELL:-CELL].double()
    down, across = inner.diff(dim=1), inner.diff(dim=2)
    if not 0.6 < float(inner.var(dim=0).mean()) / oracle.level(keep) < 1.6:
        raise Wrong("The values vary too little or too much: a cell is either kept, 1, or dropped, 0.")
    slopes = [float(step.square().mean().sqrt()) / oracle.slope(keep, CELL) for step in (down, across)]
    if not all(0.6 < ratio < 1.6 for ratio in slopes):
        raise Wrong(
            f"The cells are not as large as they should be: over a grid of {GRID} on {SIZE} pixels, masks change "
            f"{slopes[0]:.1f} times (downwards) and {slopes[1]:.1f} times (across) as fast as cells of {CELL} pixels "
            "would. The grid counts the cells along a side."
        )


def _no_grid_left(masks: Tensor) -> None:
    found = oracle.pattern(masks, CELL)
    if found > 0.13:
        variance = masks[:, 0, CELL:-CELL, CELL:-CELL].double().var(dim=0)
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


# --- relax

BATCHES = 300  # masks: more than go into a batch


class _Encoder(nn.Module):
    """A small encoder that behaves otherwise in training mode, and remembers in which mode it was asked."""

    def __init__(self, student: Student, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm, self.drop = nn.BatchNorm2d(6), nn.Dropout(0.3)
        with torch.no_grad():
            for value in (*self.conv.parameters(), self.norm.running_mean):
                value.copy_(student.normal(*value.shape))
            self.norm.running_var.copy_(0.5 + student.uniform(6))
        self.trained = False

    def forward(self, images: Tensor) -> Tensor:
        self.trained |= self.training or self.norm.training or self.drop.training
        h = torch.tanh(self.norm(self.conv(images)))
        return self.drop(torch.nn.functional.adaptive_avg_pool2d(h, 2)).flatten(1)  # (n, 24)


def _exact(encoder: Callable) -> Callable:
    """The same encoder in float64 and eval mode, for the definition."""
    if not isinstance(encoder, nn.Module):
        return encoder
    double = copy.deepcopy(encoder).double().eval()

    def encode(images: Tensor) -> Tensor:
        with torch.no_grad():
            return double(images)

    return encode


def _modes_kept(student: Student, encoder: nn.Module, *arguments) -> object:
    """Call in training and in eval mode; the encoder is asked in eval mode and left as it was. Returns the result."""
    for training in (False, True):
        encoder.train(training)
        encoder.trained = False
        result = student(encoder, *arguments)
        if encoder.trained:
            raise Wrong("The encoder is asked in training mode, where dropout and batch statistics play in: use eval.")
        if any(part.training != training for part in encoder.modules()):
            mode = "training" if training else "eval"
            raise Wrong(f"The encoder was in {mode} mode before and is not afterwards: restore the mode.")
    return result


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
        encoder = _Encoder(student, channels)
        image, masks = student.uniform(channels, size, size), student.uniform(n, 1, size, size)
        if n == BATCHES:  # the last masks show more than the others, so a small last batch weighs what it weighs
            masks[256:] = masks[256:] ** 0.2
        maps = _maps(student, _modes_kept(student, encoder, image, masks), (size, size))
        cases.append((_exact(encoder), image.double(), masks.double(), maps))
    image, masks = student.uniform(1, 6, 6), student.uniform(30, 1, 6, 6) ** 3
    maps = _maps(student, student(_around_grey, image, masks), (6, 6))
    cases.insert(0, (_around_grey, image.double(), masks.double(), maps))
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


def _around_grey(images: Tensor) -> Tensor:
    """A plain function, some of whose similarities are negative: pixels, counted from a grey."""
    return images.flatten(1) - 0.4


def _quadrant(images: Tensor) -> Tensor:
    """Reads the upper left quarter and nothing else."""
    return images[:, :, :4, :4].flatten(1)


def _as_defined(cases: list[tuple]) -> None:
    """Compare the maps of all cases with the definition; a mistake is named when it fits them all."""
    wrong = None
    for encode, image, masks, maps in cases:
        right = oracle.relax(encode, image, masks)
        for name, came, wanted in zip(("importance", "uncertainty"), maps, right, strict=True):
            if wrong is None and not close(came, wanted, 1e-4 if name == "importance" else 1e-5):
                wrong = name, came, wanted, image, masks
    if wrong is None:
        return
    name, came, wanted, image, masks = wrong
    shape = " x ".join(map(str, image.shape))
    found = (
        f"On an image of {shape} and {len(masks)} masks, for the {name} of the first pixel "
        f"{gives(float(came[0, 0]), float(wanted[0, 0]))}"
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


# --- insertion_deletion


@exercise("bonus")
def insertion_deletion(student: Student) -> str:
    """insertion_deletion(encoder, image, importance, steps) -> (insertion, deletion, their two areas)."""
    for channels, size, steps in ((3, 8, 8), (1, 6, 4), (3, 4, 16)):
        encoder = _Encoder(student, channels)
        image = student.uniform(channels, size, size)
        importance = torch.randperm(size * size, generator=student.generator).float().view(size, size) / 10 - 2.03
        result = _modes_kept(student, encoder, image, importance, steps)
        if not isinstance(result, tuple | list) or len(result) != 4:
            raise Wrong("It should return four things: `return insertion, deletion, insertion_area, deletion_area`.")
        curves = [
            tensor(curve, (steps + 1,), f"With {steps} steps the {name} curve is").detach().cpu()
            for name, curve in zip(("insertion", "deletion"), result[:2], strict=True)
        ]
        areas = [number(value) for value in result[2:]]
        _curves_as_defined(curves, areas, _exact(encoder), image.double(), importance.double(), steps)
    return "Curves and areas equal to the definition; from nothing to the whole image, and back."


def _curves_as_defined(curves, areas, encode, image, importance, steps) -> None:
    right = oracle.curves(encode, image, importance, steps)
    if all(map(close, curves, right)):
        for name, came, wanted in zip(("insertion", "deletion"), areas, map(oracle.area, right), strict=True):
            if not close(came, wanted):
                raise Wrong(
                    f"Both curves are right, but for the {name} area {gives(came, wanted)} It is the area over the "
                    "share of pixels from 0 to 1, by the trapezoidal rule: torch.trapezoid."
                )
        return
    for sentence, known in oracle.curve_mistakes(encode, image, importance, steps).items():
        if all(map(close, curves, known)):
            raise Wrong(f"It looks as if {sentence}")
    at = next(k for k in range(2 * (steps + 1)) if not close(torch.cat(curves)[k], torch.cat(right)[k]))
    name, k = ("insertion", at) if at <= steps else ("deletion", at - steps - 1)
    came, wanted = float(torch.cat(curves)[at]), float(torch.cat(right)[at])
    raise Wrong(
        f"After {k} of {steps} steps, {round(k * importance.numel() / steps)} of {importance.numel()} pixels, on the "
        f"{name} curve {gives(came, wanted)} Each point is the cosine with the representation of the whole image."
    )

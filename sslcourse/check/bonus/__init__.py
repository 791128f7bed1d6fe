"""Checks of the bonus, explaining representations with RELAX. Definitions and named mistakes: oracle.py,
curves_oracle.py.

The masks are examined in masks.py.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sslcourse.check.bonus import curves_oracle, oracle
from sslcourse.check.bonus.masks import sample_masks
from sslcourse.check.compare import close, gives, number, tensor, told, two_parts, worst
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep

__all__ = ["insertion_deletion", "relax", "report", "sample_masks", "sweep"]


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


class _AroundGrey(nn.Module):
    """Pixels, counted from a grey: some of its cosines are negative."""

    def forward(self, images: Tensor) -> Tensor:
        self.trained |= self.training
        return _around_grey(images)


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
    image, masks = 0.2 + 0.8 * student.uniform(1, 6, 6), student.uniform(30, 1, 6, 6) ** 3
    masks[::3] = masks[::3] ** 0.1  # light masks among dark ones: similarities of either sign, whatever is drawn
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


# --- insertion_deletion


@exercise("bonus")
def insertion_deletion(student: Student) -> str:
    """insertion_deletion(encoder, image, importance, steps) -> (insertion, deletion, their two areas)."""
    for channels, size, steps in ((3, 8, 8), (1, 6, 4), (3, 4, 16), (1, 4, 4)):
        encoder, image = _Encoder(student, channels), student.uniform(channels, size, size)
        if size == steps:  # the black image is on the far side of grey: cosines of either sign, whatever is drawn
            encoder, image = _AroundGrey(), 0.4 + 0.6 * image
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


def _equal(areas: list[float], variants: list[tuple[float, float]]) -> bool:
    return any(all(map(close, areas, variant)) for variant in variants)


def _curves_as_defined(curves, areas, encode, image, importance, steps) -> None:
    right = curves_oracle.curves(encode, image, importance, steps)
    if all(map(close, curves, right)):
        for name, came, wanted in zip(("insertion", "deletion"), areas, map(curves_oracle.area, right), strict=True):
            if not close(came, wanted):
                found = f"Both curves are right, but for the {name} area {gives(came, wanted)}"
                known = curves_oracle.area_mistakes(*right)
                fitting = [sentence for sentence, variants in known.items() if _equal(areas, variants)]
                if len(fitting) == 1:
                    raise Wrong(f"{found}\nIt looks as if {fitting[0]}")
                raise Wrong(
                    f"{found} It is the area over the share of pixels from 0 to 1, by the trapezoidal rule: "
                    "torch.trapezoid."
                )
        return
    for sentence, known in curves_oracle.curve_mistakes(encode, image, importance, steps).items():
        if all(map(close, curves, known)):
            raise Wrong(f"It looks as if {sentence}")
    at = next(k for k in range(2 * (steps + 1)) if not close(torch.cat(curves)[k], torch.cat(right)[k]))
    name, k = ("insertion", at) if at <= steps else ("deletion", at - steps - 1)
    came, wanted = float(torch.cat(curves)[at]), float(torch.cat(right)[at])
    raise Wrong(
        f"After {k} of {steps} steps, {round(k * importance.numel() / steps)} of {importance.numel()} pixels, on the "
        f"{name} curve {gives(came, wanted)} Each point is the cosine with the representation of the whole image."
    )

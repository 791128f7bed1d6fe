"""The check of insertion_deletion. Definition and named mistakes: curves_oracle.py."""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.bonus import curves_oracle as oracle
from sslcourse.check.bonus.encoders import AroundGrey, Encoder, exact, modes_kept
from sslcourse.check.compare import close, gives, number, tensor
from sslcourse.check.machinery import Student, Wrong, exercise

Curves = tuple[Tensor, Tensor]
NAMES = ("insertion", "deletion")


@exercise("bonus")
def insertion_deletion(student: Student) -> str:
    """insertion_deletion(encoder, image, importance, steps) -> (insertion, deletion, their two areas)."""
    cases, found, areas = [], [], []
    # The last: steps that do not divide the pixels.
    for channels, size, steps in ((3, 8, 8), (1, 6, 4), (3, 4, 16), (1, 4, 4), (2, 5, 7)):
        encoder, image = Encoder(student, channels), student.uniform(channels, size, size)
        if size == steps:  # the black image is on the far side of grey: cosines of either sign, whatever is drawn
            encoder, image = AroundGrey(), 0.4 + 0.6 * image
        importance = torch.randperm(size * size, generator=student.generator).float().view(size, size) / 10 - 2.03
        importance = importance.sign() * importance.abs() ** 1.5  # ranks and values are not in proportion
        result = modes_kept(student, encoder, image, importance, steps)
        if not isinstance(result, tuple | list) or len(result) != 4:
            raise Wrong("It should return four things: `return insertion, deletion, insertion_area, deletion_area`.")
        curves = [
            tensor(curve, (steps + 1,), f"With {steps} steps the {name} curve is").detach().cpu()
            for name, curve in zip(NAMES, result[:2], strict=True)
        ]
        cases.append((exact(encoder), image.double(), importance.double(), steps))
        found.append(tuple(curves))
        areas.append([number(value) for value in result[2:]])
    wanted = [_nearest(case, curves) for case, curves in zip(cases, found, strict=True)]
    _curves_as_defined(cases, found, wanted)
    _areas_as_defined(found, areas, [case[2].numel() for case in cases])
    return "Curves and areas equal to the definition; from nothing to the whole image, and back."


def _right(curves: Curves, wanted: Curves) -> bool:
    return all(map(close, curves, wanted))


def _nearest(case: tuple, curves: Curves) -> Curves:
    """The definition, with steps rounded as the student has it where that is right."""
    readings = [oracle.curves(*case, count=count) for count in oracle.COUNTS]
    return next((wanted for wanted in readings if _right(curves, wanted)), readings[0])


def _curves_as_defined(cases: list[tuple], found: list[Curves], wanted: list[Curves]) -> None:
    failed = [n for n, (curves, right) in enumerate(zip(found, wanted, strict=True)) if not _right(curves, right)]
    if not failed:
        return
    if all(_right(curves[::-1], right) for curves, right in zip(found, wanted, strict=True)):
        raise Wrong("It looks as if insertion and deletion are swapped: insertion starts from the black image.")
    known = [oracle.curve_mistakes(*case) for case in cases]
    fitting = [name for name in known[0] if _fits([mistakes[name] for mistakes in known], found, wanted)]
    if len(fitting) == 1:
        raise Wrong(f"It looks as if {fitting[0]}")
    curves, right, (*_, importance, steps) = found[failed[0]], wanted[failed[0]], cases[failed[0]]
    which = 0 if not close(curves[0], right[0]) else 1
    k = next(k for k in range(steps + 1) if not close(curves[which][k], right[which][k]))
    raise Wrong(
        f"After {k} of {steps} steps, {round(k * importance.numel() / steps)} of {importance.numel()} pixels, on the "
        f"{NAMES[which]} curve {gives(float(curves[which][k]), float(right[which][k]))} Each point is the cosine with "
        "the representation of the whole image."
    )


def _fits(known: list[Curves], found: list[Curves], wanted: list[Curves]) -> bool:
    """Whether a mistake, made in both curves or in one alone, gives the student's in all cases."""

    def fits(made: tuple[bool, bool]) -> bool:
        return all(
            close(came, (wrong if bad else right).nan_to_num(0.0))
            for curves, mistaken, should in zip(found, known, wanted, strict=True)
            for came, wrong, right, bad in zip(curves, mistaken, should, made, strict=True)
        )

    return any(map(fits, ((True, True), (True, False), (False, True))))


def _areas_right(came: list[float], curves: Curves, pixels: int) -> bool:
    readings = [oracle.area, *(partial(oracle.area_over, pixels=pixels, count=count) for count in oracle.COUNTS)]
    return any(all(map(close, came, map(area, curves))) for area in readings)


def _areas_as_defined(found: list[Curves], areas: list[list[float]], pixels: list[int]) -> None:
    wrong = [n for n, case in enumerate(zip(areas, found, pixels, strict=True)) if not _areas_right(*case)]
    if not wrong:
        return
    wanted = [tuple(map(oracle.area, curves)) for curves in found]
    n = wrong[0]
    name, came, right = next(row for row in zip(NAMES, areas[n], wanted[n], strict=True) if not close(row[1], row[2]))
    says = f"Both curves are right, but for the {name} area {gives(came, right)}"
    known = [oracle.area_mistakes(*curves) for curves in found]
    fitting = [
        sentence
        for sentence, variants in known[0].items()
        if any(
            all(all(map(close, came, mistakes[sentence][v])) for came, mistakes in zip(areas, known, strict=True))
            for v in range(len(variants))
        )
    ]
    if len(fitting) == 1:
        raise Wrong(f"{says}\nIt looks as if {fitting[0]}")
    raise Wrong(
        f"{says} It is the area over the share of pixels from 0 to 1, by the trapezoidal rule: torch.trapezoid."
    )

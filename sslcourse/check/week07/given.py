"""Checks of week 7: the crops, nearest neighbours as a classifier, the schedule."""

import math

import torch
from torch import Tensor

from sslcourse.check.compare import close, gives, number, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week07 import knn_oracle as oracle


@exercise("week07")
def multi_crop(student: Student) -> str:
    """multi_crop(images, n_local, global_size=32, local_size=16, generator=None) -> [2 global, n_local local views]."""
    for n_local, sizes in ((3, (32, 16)), (0, (24, 8)), (1, (16, 16))):
        image = student.uniform(1, 3, 32, 32)
        images = image.expand(6, 3, 32, 32).clone()
        views = student(images, n_local, *sizes)
        if not isinstance(views, list | tuple) or len(views) != 2 + n_local:
            raise Wrong(
                f"With n_local = {n_local} it should return {2 + n_local} views in a list, 2 global ones first."
            )
        for i, view in enumerate(views):
            size = sizes[0] if i < 2 else sizes[1]
            tensor(view, (6, 3, size, size), f"View {i} is")
            if view.min() < 0 or view.max() > 1:
                raise Wrong(f"View {i} has values outside [0, 1].")
            if close(view, view[:1].expand_as(view), 1e-6):
                raise Wrong(f"View {i} shows the same crop of every image: random numbers are drawn for each.")
        if close(views[0], views[1], 1e-6):
            raise Wrong("Both global views are the same: draw random numbers for each view.")
    # Which image a row comes from: four of one grey each, which no colour change turns around.
    greys = torch.linspace(0, 1, 2)[:, None, None, None].expand(2, 3, 32, 32).clone()
    for i, view in enumerate(student(greys, 1)):
        if not view[0].mean() < view[1].mean():
            raise Wrong(f"In view {i} the rows are out of order: row n of every view comes from image n.")
    once, again = (student(images, 1, 32, 16, torch.Generator().manual_seed(3)) for _ in range(2))
    if not all(map(close, once, again)):
        raise Wrong("With the same generator it gives other views: hand it to every transform.")
    return "Two global views, then the local ones, each image cropped for itself."


def _words(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, k: int = 20, t: float = 0.07) -> str:
    return f"{len(train_x)} training and {len(test_x)} test rows, k = {k}, temperature = {t}"


@exercise("week07")
def knn_accuracy(student: Student) -> str:
    """knn_accuracy(train_x, train_y, test_x, test_y, k=20, temperature=0.07) -> float, weights exp(cosine / T)."""
    data = [oracle.tissue_like(student, *sizes) for sizes in ((60, 90, 4, 3), (40, 70, 3, 3), (90, 80, 5, 4))]
    away = -data[0][0], *data[0][1:]  # most similarities are negative
    cases = [(*data[0], 15, 0.2), (*data[1], 7, 0.5), (*data[2],), (*data[0], 1, 0.07), (*data[2], 30, 0.05),
             (*away, 12, 0.3), (*data[1], 25, 2.0)]  # fmt: skip
    *many, truth = oracle.tissue_like(student, 30, 280, 3, 3)
    many = *many, torch.cat([truth[:256], 2 - truth[256:].clamp(max=2)]), 5, 0.3  # the last rows get other labels
    values = [number(student(*case)) for case in cases]
    wanted = [oracle.knn_accuracy(*case) for case in cases]
    # Sums in another order may turn a tie: one test row more or less is the same.
    same = [abs(v - w) <= 1.01 / len(case[3]) for v, w, case in zip(values, wanted, cases, strict=True)]
    exactly = [close(v, w, 1e-6) for v, w in zip(values, wanted, strict=True)]
    if not all(same) or sum(exactly) < len(cases) - 1:
        first = (same if not all(same) else exactly).index(False)
        found = f"On {_words(*cases[first])} {gives(values[first], wanted[first])}"

        def fits(wrong) -> bool:
            rows = [len(case[3]) * abs(v - wrong(*case)) for v, case in zip(values, cases, strict=True)]
            return max(rows) <= 1.01 and sum(row < 0.5 for row in rows) >= len(cases) - 1

        fitting = [sentence for sentence, variants in oracle.KNN_MISTAKES if any(map(fits, variants))]
        raise Wrong(f"{found}\nIt looks as if {fitting[0]}" if len(fitting) == 1 else found)
    if abs((came := number(student(*many))) - (right := oracle.knn_accuracy(*many))) > 1.01 / len(many[3]):
        raise Wrong(f"On {_words(*many)} {gives(came, right)} With fewer test rows it is right: are some left out?")

    # One very near neighbour of class 1 against four far ones of class 0, by hand.
    train_x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.1, 1.0], [-0.1, 1.0]])
    train_y = torch.tensor([1, 0, 0, 0, 0])
    case = train_x, train_y, torch.tensor([[3.0, 0.3]]), torch.tensor([1]), 5, 0.07
    if number(student(*case)) != 1.0:
        raise Wrong("One neighbour in the same direction, four at right angles: the near one decides, yours says no.")
    return "Equal to the weighted vote for five k and temperatures; lengths of the features do not count."


@exercise("week07")
def cosine_schedule(student: Student) -> str:
    """cosine_schedule(start, end, steps, warmup=0) -> (steps,)."""
    cases = ((1.0, 0.0, 11, 0), (0.9, 1.0, 8, 0), (2.0, 0.5, 10, 4), (1.0, 0.0, 5, 5), (3.0, 1.0, 1, 0))
    values = [tensor(student(*case), (case[2],), f"For {case} it returns").double() for case in cases]
    for case, came in zip(cases, values, strict=True):
        wanted = torch.tensor(oracle.schedule(*case)).double()
        if close(came, wanted):
            continue
        if close(came, torch.tensor(oracle.off_by_one(*case)).double()):
            raise Wrong("The last value is not reached: step steps - 1 has the value end.")
        step = int((came - wanted).abs().argmax())
        found = f"For start, end, steps, warmup = {case}, step {step}: {gives(float(came[step]), float(wanted[step]))}"
        fitting = [
            sentence
            for sentence, wrong in SCHEDULE_MISTAKES.items()
            if all(close(value, wrong(*case)) for case, value in zip(cases, values, strict=True))
        ]
        raise Wrong(f"{found}\nIt looks as if {fitting[0]}" if len(fitting) == 1 else found)
    return "A straight line, then half a cosine; the last value is the end."


def _schedule(rising=lambda i, n: i / n, falling=lambda t: (1 + math.cos(math.pi * t)) / 2, begins=1, swapped=False):
    """A schedule with something wrong. rising: the share of start at step i of n; falling: that of start after it."""

    def schedule(start: float, end: float, steps: int, warmup: int = 0) -> torch.Tensor:
        values = []
        for i in range(steps):
            if i < warmup:
                values.append(start * rising(i, warmup))
                continue
            t = (i - begins * warmup) / (steps - warmup - 1) if steps - warmup > 1 else 1.0
            share = 1 - falling(t) if swapped else falling(t)
            values.append(end + (start - end) * share)
        return torch.tensor(values).double()

    return schedule


SCHEDULE_MISTAKES = {
    "the warm-up counts from 1: step 0 has the value 0.": _schedule(rising=lambda i, n: (i + 1) / n),
    "the warm-up reaches start a step early: step i has start * i / warmup.": _schedule(
        rising=lambda i, n: i / max(n - 1, 1)
    ),
    "start and end are swapped.": _schedule(swapped=True),
    "it falls along a straight line: half a cosine is asked for.": _schedule(falling=lambda t: 1 - t),
    "it is a quarter of a cosine's period: half a period, (1 + cos(pi t)) / 2, is flat at both ends.": _schedule(
        falling=lambda t: math.cos(math.pi * t / 2)
    ),
    "the cosine counts from step 0: it begins where the warm-up ends.": _schedule(begins=0),
    "warmup is not used.": lambda start, end, steps, warmup=0: _schedule()(start, end, steps),
    "it falls to 0: it falls to end.": lambda start, end, steps, warmup=0: _schedule()(start, 0.0, steps, warmup),
}

"""How the choice of anchors is examined (week 11): uniform draws, the farthest first, the nearest to centroids."""

import torch
from torch import Tensor

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong

FREE = "Two centroids may have the same nearest sample: then the next nearest that is free is taken."


def examine_anchors(student: Student) -> str:
    x = student.normal(30, 3)
    _uniform(student, x)
    _farthest(student, x)
    _kmeans(student, x)
    left_out = tensor(student(x, 3), (3,), "Without method and generator it returns")
    if len(left_out.unique()) < 3:
        raise Wrong("Without a generator it returns the same point twice.")
    return "Distinct, with each method: uniform draws, the farthest point each time, the samples nearest to centroids."


def _draw(student: Student, points: Tensor, n: int, method: str, seed: int, twice: bool = False) -> Tensor:
    """Indices (n,) by a generator of this seed. twice: one that is chosen twice is for the caller to tell."""
    before, generator = torch.get_rng_state(), torch.Generator().manual_seed(seed)
    chosen = tensor(student(points, n, method, generator), (n,), f"With {method!r} it returns")
    if not torch.equal(torch.get_rng_state(), before):
        raise Wrong(
            f"With {method!r} it was given a generator, and changed torch's global random numbers (by "
            "torch.manual_seed, or by drawing from them): draw with generator=generator, and seed nothing."
        )
    if chosen.is_floating_point() or chosen.dtype == torch.bool:
        raise Wrong(f"With {method!r} it returns a tensor of {chosen.dtype}: indices are whole numbers.")
    chosen = chosen.long()
    if chosen.min() < 0 or chosen.max() >= len(points):
        raise Wrong(f"With {method!r} it returns the index {int(chosen.max())} of {len(points)} points.")
    if len(chosen.unique()) < n and not twice:
        raise Wrong(f"With {method!r} some point is chosen twice: {n} anchors are {n} different points.")
    return chosen


# --- uniform


def _uniform(student: Student, x: Tensor) -> None:
    many = [_draw(student, x, 6, "uniform", seed) for seed in range(200)]
    if not torch.equal(many[0], _draw(student, x, 6, "uniform", 0)):
        raise Wrong("With 'uniform' the same generator gives other indices: draw with generator=generator.")
    counts = torch.cat(many).bincount(minlength=30)
    if counts.min() == 0:  # 200 times 6 of 30: it has a probability of 1e-18
        raise Wrong(
            f"With 'uniform' point {int(counts.argmin())} of 30 is never chosen in 200 draws of 6, and another "
            f"{int(counts.max())} times; 40 are expected of each."
        )
    # 40 expected of each, variance 32: chi-squared of 29 degrees of freedom, 80 has a probability of 1e-6.
    if float((counts - 40).square().sum()) / 32 > 80:
        raise Wrong(
            f"With 'uniform', 200 draws of 6 from 30 points take one point {int(counts.max())} times and another "
            f"{int(counts.min())} times; 40 are expected of each."
        )
    generator = torch.Generator().manual_seed(0)
    first, second = (tensor(student(x, 6, "uniform", generator), (6,), "With 'uniform' it returns") for _ in range(2))
    if torch.equal(first, second):
        raise Wrong(
            "With 'uniform' two calls in a row with one generator give the same anchors: it is set back or replaced in "
            "every call. Draw from it as it is."
        )
    _draw(student, x, 30, "uniform", 1)


# --- farthest


def _farthest(student: Student, x: Tensor) -> None:
    every = [_draw(student, x, 8, "farthest", seed, twice=True) for seed in range(12)]
    starts = {int(chosen[0]) for chosen in every}
    for seed, chosen in enumerate(every):
        _farthest_first(x, chosen, every)
        if seed < 4 and not torch.equal(chosen[:1], _draw(student, x, 1, "farthest", seed)):
            raise Wrong("With 'farthest' the same generator starts elsewhere: draw with generator=generator.")
    if len(starts) == 1:
        raise Wrong("With 'farthest' it always starts at the same point: draw the first one with the generator.")
    _draw(student, x, 30, "farthest", 0)


def _farthest_first(x: Tensor, chosen: Tensor, every: list[Tensor]) -> None:
    """Every point is the one whose distance to the nearest of those before it is largest; every: all that came."""
    distances = torch.cdist(x.double(), x.double())
    for n in range(1, len(chosen)):
        before = chosen[:n]
        nearest = distances[:, before].amin(dim=1)
        if close(nearest[chosen[n]], nearest.max()) and chosen[n] not in before:
            continue
        if why := _otherwise(distances, every):
            raise Wrong(f"With 'farthest' {why}")
        if chosen[n] in before:
            raise Wrong(
                f"With 'farthest' some point is chosen twice: {len(chosen)} anchors are {len(chosen)} different points."
            )
        unit = x / x.norm(dim=1, keepdim=True)
        around = torch.cdist(unit, unit)[:, before].amin(dim=1)
        along = torch.cdist(x, x, p=1)[:, before].amin(dim=1)
        also = ""
        if close(around[chosen[n]], around.max()):
            also = " It looks as if points were brought to length 1 first, or the cosine taken."
        elif close(along[chosen[n]], along.max()):
            also = " It looks as if absolute differences were added: the distance is Euclidean."
        elif torch.equal(chosen, chosen.sort().values):
            also = " It looks as if the indices were sorted: leave them in the order of choice."
        raise Wrong(
            f"With 'farthest', anchor number {n + 1} lies {float(nearest[chosen[n]]):.3f} from the nearest one before "
            f"it; another point lies {float(nearest.max()):.3f} away.{also}"
        )


def _otherwise(distances: Tensor, every: list[Tensor]) -> str:
    """The only other rule that all choices follow, in all draws, points that are chosen already left out or not."""
    rules = {
        "the sum of distances is maximised: it is the distance to the nearest anchor.": lambda to: to.sum(dim=1),
        "it is far from the last anchor only: look at the nearest of all chosen so far.": lambda to: to[:, -1],
        "the distance to the farthest anchor so far counts: keep the smaller of two distances, torch.minimum.": (
            lambda to: to.amax(dim=1)
        ),
        "the nearest point joins: take the largest of the distances, argmax.": lambda to: -to.amin(dim=1),
    }

    def followed(rule, left_out: bool) -> bool:
        for chosen in every:
            for n in range(1, len(chosen)):
                score = rule(distances[:, chosen[:n]])
                if left_out:
                    score[chosen[:n]] = -torch.inf
                if not close(score[chosen[n]], score.max()):
                    return False
        return True

    fitting = [why for why, rule in rules.items() if followed(rule, True) or followed(rule, False)]
    if fitting == list(rules)[1:3]:  # from one end to the other and back, by both
        return "it is far from the last anchor, or from the farthest: the nearest of all so far counts, torch.minimum."
    return fitting[0] if len(fitting) == 1 else ""


# --- kmeans


def _kmeans(student: Student, x: Tensor) -> None:
    # Balls far from each other: whatever the start of k-means that is worth its name, there is one centroid a ball.
    centres = 40 * torch.eye(6, 8)
    balls = (centres[:, None] + student.normal(6, 9, 8)).flatten(0, 1)[torch.randperm(54, generator=student.generator)]
    chosen = _draw(student, balls, 6, "kmeans", 0)
    home = torch.cdist(balls, centres).argmin(dim=1)
    if len(home[chosen].unique()) < 6:
        raise Wrong("With 'kmeans', of six balls that lie far apart some got no anchor: take one for every centroid.")
    for index in chosen.tolist():
        ball = (home == home[index]).nonzero()[:, 0]
        distances = (balls[ball] - balls[ball].mean(dim=0)).norm(dim=1)
        if not close(distances[ball == index], distances.min(), 1e-3):
            raise Wrong("With 'kmeans' an anchor is not the sample that is nearest to its cluster's centroid.")

    # Two hollow shells, and between them one point, which is nearer to both centroids than all of the shells.
    spokes = 5 * torch.cat([torch.eye(8)[1:], -torch.eye(8)[1:]])
    middle = torch.zeros(1, 8)
    shells = torch.cat([spokes + 3 * torch.eye(8)[0], spokes - 3 * torch.eye(8)[0], middle - 0.3 * torch.eye(8)[0]])
    try:
        for seed in range(3):
            _draw(student, shells, 2, "kmeans", seed)
    except Wrong as wrong:
        if wrong.__context__ is not None:  # student code raised it
            raise
        raise Wrong(f"{wrong}\n{FREE}") from None
    _draw(student, x, 20, "kmeans", 0)
    cloud = student.normal(90, 3)  # without clusters, so that another start ends elsewhere
    first, again = (_draw(student, cloud, 25, "kmeans", 0).sort().values for _ in range(2))
    if not torch.equal(first, again):
        raise Wrong(
            "With 'kmeans' the same generator gives other indices: random_state is a number that is drawn with the "
            "generator; without one scikit-learn takes NumPy's global random numbers."
        )

"""Sweeps that do not fit into the minute of a notebook: the recorded ones, and the student's own points beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sslcourse import arguments
from sslcourse.check import recorded
from sslcourse.check.interval import of_seeds
from sslcourse.scale import Scale

Point = float | int | str


@dataclass(frozen=True)
class Gap:
    """Between two points of a recorded sweep: the mean, and the values by seed, of which an old record has none."""

    sweep: str
    label: str
    mean: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Sweep:
    """A recorded sweep and what this run adds to it.

    mean and std (sample deviation; NaN for one seed) over the recorded seeds for each point; label: their origin; own:
    {point: value} of this run; values: for each point the value of every seed, () in a record that is older.
    """

    name: str
    points: tuple[Point, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label: str
    own: dict[Point, float]
    values: tuple[tuple[float, ...], ...] = ()

    def gap(self, better: Point, worse: Point) -> Gap:
        """How much higher one point lies than another, seed by seed, for a claim of `report(from_sweeps=...)`.

        NaN where the sweep was never recorded. Raises ValueError for a point that it has not.
        """
        for point in (better, worse):
            if not isinstance(point, Point) or point not in self.points:
                shown, known = arguments.shown(point), ", ".join(map(str, self.points))
                raise ValueError(f"{self.name} has no point {shown}; choose among {known}.")
        one, other = self.points.index(better), self.points.index(worse)
        pairs = zip(self.values[one], self.values[other], strict=True) if self.values else ()
        return Gap(self.name, self.label, self.mean[one] - self.mean[other], tuple(a - b for a, b in pairs))


def sweep(
    scale: Scale,
    name: str,
    run: Callable[[Point, int], float],
    points: Sequence[Point],
    own: dict[Point, float] | None = None,
    rerun: Sequence[Point] = (),
) -> Sweep:
    """The recorded sweep `name` of this scale, or of the nearest smaller one that was recorded (dry takes tiny).

    run(point, seed) computes one point; it is called for the points in `rerun`, which join `own`, and for all points
    where the run is recorded with its sweeps. Raises ValueError for a point to run again that is not in points.
    """
    name, run = arguments.text("name", name), arguments.function("run", run, "a point and a seed")
    points, rerun = arguments.several("points", points), arguments.several("rerun", rerun)
    own = None if own is None else arguments.mapping("own", own, "{0.5: 0.31}")
    if unknown := [point for point in rerun if point not in points]:
        raise ValueError(f"{name} has no point {unknown[0]!r}; choose among {', '.join(map(str, points))}.")
    if recorded.recording(sweeps=True):
        values = tuple(float(run(point, scale.seed)) for point in points)
        recorded.append({"kind": "sweep", "name": name, "points": list(points), "values": list(values)})
        label = f"computed now at {scale.name}, seed {scale.seed}"
        unknown = (float("nan"),) * len(values)
        return Sweep(name, tuple(points), values, unknown, label, dict(own or {}), tuple((value,) for value in values))

    mine = dict(own or {}) | {point: float(run(point, scale.seed)) for point in rerun}
    source, once = _nearest(scale, name)
    if once is None:
        unknown = (float("nan"),) * len(points)
        return Sweep(name, tuple(points), unknown, unknown, "not recorded", mine)
    if source == scale.name and list(points) != once["points"]:
        print(f"{name}: recorded for the points {once['points']}, not {list(points)}; record the sweep anew.")
    seeds = len(once["recorded"]["seeds"])
    label = f"recorded {once['recorded']['date']} at {source}, {of_seeds(seeds)}"
    spread = tuple(float("nan") if seeds < 2 or one is None else one for one in once["std"])
    values = tuple(map(tuple, once.get("values", ())))
    return Sweep(name, tuple(once["points"]), tuple(once["mean"]), spread, label, mine, values)


def _nearest(scale: Scale, name: str) -> tuple[str, dict | None]:
    """The largest recorded scale that is not larger than this one, and the sweep that was recorded there."""
    results = recorded.expected(scale.week)
    size = recorded.SCALES.index("tiny" if scale.name == "dry" else scale.name)
    for candidate in reversed(recorded.SCALES[: size + 1]):
        if once := ((results.get(candidate) or {}).get("sweeps") or {}).get(name):
            return candidate, once
    return scale.name, None

"""Sweeps that do not fit into the minute of a notebook: the recorded ones, and the student's own points beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sslcourse import arguments
from sslcourse.check import recorded
from sslcourse.scale import Scale

Point = float | int | str


@dataclass(frozen=True)
class Sweep:
    """mean and std over the recorded seeds for each point; label: their origin; own: {point: value} of this run."""

    name: str
    points: tuple[Point, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label: str
    own: dict[Point, float]


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
        return Sweep(name, tuple(points), values, (0.0,) * len(values), label, dict(own or {}))

    mine = dict(own or {}) | {point: float(run(point, scale.seed)) for point in rerun}
    source, once = _nearest(scale, name)
    if once is None:
        unknown = (float("nan"),) * len(points)
        return Sweep(name, tuple(points), unknown, unknown, "not recorded", mine)
    if source == scale.name and list(points) != once["points"]:
        print(f"{name}: recorded for the points {once['points']}, not {list(points)}; record the sweep anew.")
    label = f"recorded {once['recorded']['date']} at {source}, {len(once['recorded']['seeds'])} seeds"
    return Sweep(name, tuple(once["points"]), tuple(once["mean"]), tuple(once["std"]), label, mine)


def _nearest(scale: Scale, name: str) -> tuple[str, dict | None]:
    """The largest recorded scale that is not larger than this one, and the sweep that was recorded there."""
    results = recorded.expected(scale.week)
    size = recorded.SCALES.index("tiny" if scale.name == "dry" else scale.name)
    for candidate in reversed(recorded.SCALES[: size + 1]):
        if once := ((results.get(candidate) or {}).get("sweeps") or {}).get(name):
            return candidate, once
    return scale.name, None

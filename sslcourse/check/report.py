"""The last cell of a notebook: its results beside those of the recorded runs, chance and an untrained model.

In strict mode the claims that a week must show are asserted with their margins, so that a test of the notebooks
guards the science as well as the syntax. At scale dry no number means anything, and nothing is asserted.
"""

import math

from sslcourse import arguments, notices
from sslcourse.check import recorded
from sslcourse.check.machinery import Wrong, is_strict, plain
from sslcourse.scale import Scale


def report(
    scale: Scale,
    *,
    claims: dict[str, tuple[float, float]] | None = None,
    chance: dict[str, float] | None = None,
    baseline: dict[str, float] | None = None,
    **metrics: float,
) -> None:
    """Print the table of results: yours, expected (mean and spread over seeds), chance, untrained or collapsed.

    claims: {sentence: (value, at_least)}; chance and baseline: {metric: value} for some of the metrics. In strict
    mode raises Wrong where a claim does not hold, where a recorded one is missing or was given another margin, and
    for a result that is no finite number. ValueError for a chance or baseline of no metric, TypeError for what is no
    number.
    """
    claims, chance, baseline = (
        {} if value is None else arguments.mapping(name, value, example)
        for name, value, example in (
            ("claims", claims, '{"better than chance": (0.4, 0.2)}'),
            ("chance", chance, '{"accuracy": 0.1}'),
            ("baseline", baseline, '{"accuracy": 0.2}'),
        )
    )
    for name in {**chance, **baseline}:
        if name not in metrics:
            raise ValueError(
                f"chance or baseline of {name!r}, which is no metric of this report: {', '.join(metrics)}."
            )
    metrics = {name: _number(name, value) for name, value in metrics.items()}
    chance = {name: _number(name, value) for name, value in chance.items()}
    baseline = {name: _number(name, value) for name, value in baseline.items()}
    for claim, values in claims.items():
        arguments.pair(f"The claim {claim!r}", values, "(0.4, 0.2): value, and at least")
    claims = {claim: (_number(claim, value), _number(claim, least)) for claim, (value, least) in claims.items()}

    if not notices.first():
        return

    # A run that records is what later runs are compared with; it is itself compared with nothing.
    if recorded.recording():
        results = {n: {"value": v, "chance": chance.get(n), "baseline": baseline.get(n)} for n, v in metrics.items()}
        promised = [{"claim": claim, "value": value, "at_least": least} for claim, (value, least) in claims.items()]
        recorded.append({"kind": "report", "metrics": results, "claims": promised})
        known = None
    else:
        known = recorded.expected(scale.week).get(scale.name)
    past = known["metrics"] if known else {}

    print(plain(_table(metrics, past, chance, baseline)))
    for line in (_source(scale, known), *_claim_lines(claims), *_remarks(metrics, past, known, scale)):
        print(plain(line))
    if notices.notice():
        print(f"Mind that some results are not those of your own full run: {notices.notice()}.")
    if is_strict() and scale.name != "dry" and not recorded.recording():
        _insist(metrics, claims, known["must_show"] if known else [])


def shown(value: float | None) -> str:
    """The one formatter of results: three digits, "-" for none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if 99.95 <= abs(value) < math.inf else f"{value:#.3g}"


def _number(name: str, value: object) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} should be a number, got {type(value).__name__}; pass its value.") from None


def _table(metrics: dict, past: dict, chance: dict, baseline: dict) -> str:
    rows = [("metric", "yours", "expected", "chance", "untrained or collapsed")]
    for name, value in metrics.items():
        once = past.get(name)
        expected = f"{shown(once['mean'])} +- {once['std']:#.2g}" if once else "not recorded"
        rows.append((name, shown(value), expected, shown(chance.get(name)), shown(baseline.get(name))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _source(scale: Scale, known: dict | None) -> str:
    """Where the expected results come from."""
    if scale.name == "dry":
        return "Scale dry runs one step of everything: no number here means anything."
    if recorded.recording():
        return "This run is recorded and compared with nothing."
    if known is None:
        return f"Scale {scale.name} has never been recorded for {scale.week}, so there is nothing to compare with."
    run = known["recorded"]
    return f"Expected: mean +- std over {len(run['seeds'])} seeds, recorded {run['date']} on {run['hardware']}."


def _claim_lines(claims: dict) -> list[str]:
    return [
        f"{'Holds' if value >= least else 'Does not hold'}: {claim}: {shown(value)}, at least {shown(least)}"
        for claim, (value, least) in claims.items()
    ]


def _remarks(metrics: dict, past: dict, known: dict | None, scale: Scale) -> list[str]:
    """What is odd about the results: no number, far from the recorded runs, unknown to them, or missing."""
    if scale.name == "dry":
        return []
    lines = [
        f"{name} is {value}: something diverged or was divided by 0."
        for name, value in metrics.items()
        if not _finite(value)
    ]
    for name in metrics.keys() & past.keys():
        mean, spread = past[name]["mean"], _spread(past[name])
        if _finite(metrics[name]) and abs(metrics[name] - mean) > 5 * spread:
            lines.append(
                f"{name} = {shown(metrics[name])} is more than five standard deviations ({shown(spread)}) from the "
                f"recorded {shown(mean)}: a setting was changed, or something went wrong on the way."
            )
    if known:
        lines += [f"{name} was recorded once and is no longer reported." for name in past if name not in metrics]
        lines += [f"{name} is new: record the expected results anew." for name in metrics if name not in past]
    return lines


def _spread(once: dict) -> float:
    """The standard deviation of a few seeds, but not less than what another machine may change."""
    return max(once["std"], 0.01 * abs(once["mean"]), 0.001)


def _finite(value: float) -> bool:
    return math.isfinite(value)


def _insist(metrics: dict, claims: dict, must_show: list[dict]) -> None:
    """Raise one Wrong that names all that does not hold."""
    faults = [f"{name} is {value}" for name, value in metrics.items() if not _finite(value)]
    for claim, (value, least) in claims.items():
        if not value >= least:  # so that NaN fails too
            faults.append(f"{claim}: {shown(value)}, which should be at least {shown(least)}")
    for once in must_show:
        if once["claim"] not in claims:
            faults.append(f"{once['claim']}: recorded as what must show, and not claimed here")
        elif (least := claims[once["claim"]][1]) != once["at_least"]:
            faults.append(f"{once['claim']}: claimed with at least {least:g}, recorded with {once['at_least']:g}")
    if faults:
        raise Wrong(plain("The results do not show what they must. " + "; ".join(faults) + "."))

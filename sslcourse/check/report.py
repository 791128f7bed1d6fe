"""The last cell of a notebook: its results beside those of the recorded runs, chance and an untrained model.

There are two kinds of claims. One of this run is asserted in strict mode with its margin, so that a test of the
notebooks guards the science as well as the syntax. One of a recorded sweep is told with its values by seed, and is
checked when the sweep is recorded: a record compared with itself cannot fail. At scale dry no number means anything,
and nothing is asserted.
"""

import importlib.metadata
import math

import torch

from sslcourse import arguments, notices
from sslcourse.check import interval, recorded
from sslcourse.check.machinery import Wrong, is_strict, plain
from sslcourse.check.sweep import Gap
from sslcourse.scale import Scale


def report(
    scale: Scale,
    *,
    claims: dict[str, tuple[float, float]] | None = None,
    chance: dict[str, float] | None = None,
    baseline: dict[str, float] | None = None,
    tested: dict[str, int] | None = None,
    from_sweeps: dict[str, tuple[Gap, float]] | None = None,
    **metrics: float,
) -> None:
    """Print the table of results: yours, expected (mean and spread over seeds), chance, untrained or collapsed.

    claims: {sentence: (value, at_least)}, of this run. from_sweeps: {sentence: (gap, at_least)}, of a recorded sweep,
    gap = swept.gap("with", "without"). chance and baseline: {metric: value} for some of the metrics; tested: {metric:
    number of test samples} for those that are shares of such, as accuracies are.

    A result outside its prediction interval (interval.py) is told. In strict mode raises Wrong where a claim of this
    run does not hold, where a recorded one is missing or was given another margin, and for a result that is no finite
    number. ValueError for a chance, baseline or number tested of no metric, TypeError for what is no number.
    """
    claims, chance, baseline, tested, from_sweeps = (
        {} if value is None else arguments.mapping(name, value, example)
        for name, value, example in (
            ("claims", claims, '{"better than chance": (0.4, 0.2)}'),
            ("chance", chance, '{"accuracy": 0.1}'),
            ("baseline", baseline, '{"accuracy": 0.2}'),
            ("tested", tested, '{"accuracy": 2000}'),
            ("from_sweeps", from_sweeps, '{"cropping is worth": (swept.gap("with", "without"), 0.05)}'),
        )
    )
    for name in {**chance, **baseline, **tested}:
        if name not in metrics:
            raise ValueError(
                f"chance, baseline or tested of {name!r}, which is no metric of this report: {', '.join(metrics)}."
            )
    metrics = {name: _number(name, value) for name, value in metrics.items()}
    chance = {name: _number(name, value) for name, value in chance.items()}
    baseline = {name: _number(name, value) for name, value in baseline.items()}
    tested = {name: arguments.whole(f"tested of {name}", value, 1) for name, value in tested.items()}
    for claim, values in {**claims, **from_sweeps}.items():
        arguments.pair(f"The claim {claim!r}", values, "(0.4, 0.2): value, and at least")
    claims = {claim: (_number(claim, value), _number(claim, least)) for claim, (value, least) in claims.items()}
    from_sweeps = {claim: (_gap(claim, gap), _number(claim, least)) for claim, (gap, least) in from_sweeps.items()}
    if both := claims.keys() & from_sweeps.keys():
        raise ValueError(f"The claim {min(both)!r} is of this run or of a recorded sweep, not of both.")

    if not notices.first():
        return

    # A run that records is what later runs are compared with; it is itself compared with nothing.
    if recorded.recording():
        results = {n: {"value": v, "chance": chance.get(n), "baseline": baseline.get(n)} for n, v in metrics.items()}
        promised = [{"claim": claim, "value": value, "at_least": least} for claim, (value, least) in claims.items()]
        swept = [
            {"claim": claim, "sweep": gap.sweep, "value": gap.mean, "at_least": least}
            for claim, (gap, least) in from_sweeps.items()
        ]
        threads = torch.get_num_threads()
        recorded.append(
            {"kind": "report", "metrics": results, "claims": promised, "swept": swept, "threads": threads}
        )
        known = None
    else:
        known = recorded.expected(scale.week).get(scale.name)
    past = known["metrics"] if known else {}

    seeds = len(known["recorded"]["seeds"]) if known else 0
    print(plain(_table(metrics, past, seeds, chance, baseline)))
    lines = [*_source(scale, known), *_claim_lines(claims), *map(_swept_line, from_sweeps.items())]
    if scale.name != "dry":
        lines += _remarks(metrics, past, seeds, tested)
    for line in lines:
        print(plain(line))
    if notices.notice():
        print(f"Mind that some results are not those of your own full run: {notices.notice()}.")
    if is_strict() and scale.name != "dry" and not recorded.recording():
        known = known or {}
        _insist(metrics, claims, from_sweeps, known.get("must_show", []), known.get("sweep_claims", []))


def shown(value: float | None) -> str:
    """The one formatter of results: three digits, "-" for none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if 99.95 <= abs(value) < math.inf else f"{value:#.3g}"


def _number(name: str, value: object) -> float:
    try:
        if isinstance(value, str | bytes | bytearray) or "complex" in str(getattr(value, "dtype", type(value))):
            raise TypeError  # float() would read the one and leave out a part of the other
        return float(value)
    except OverflowError:  # a whole number that no float reaches
        return math.copysign(math.inf, value > 0 or -1)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} should be a number, got {type(value).__name__}; pass its value.") from None


def _gap(claim: str, gap: object) -> Gap:
    if not isinstance(gap, Gap):
        raise TypeError(
            f"{claim} is {arguments.shown(gap)}; a claim of a recorded sweep is what its gap(better, worse) gives, a "
            "number of this run belongs to claims."
        )
    return gap


def _table(metrics: dict, past: dict, seeds: int, chance: dict, baseline: dict) -> str:
    rows = [("metric", "yours", "expected", "chance", "untrained or collapsed")]
    for name, value in metrics.items():
        once = past.get(name)
        expected = f"{shown(once['mean'])} {interval.spread(once, seeds)}" if once else "not recorded"
        rows.append((name, shown(value), expected, shown(chance.get(name)), shown(baseline.get(name))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _source(scale: Scale, known: dict | None) -> list[str]:
    """Where the expected results come from, and in what this run differs."""
    if scale.name == "dry":
        return ["Scale dry runs one step of everything: no number here means anything."]
    if recorded.recording():
        return ["This run is recorded and compared with nothing."]
    if known is None:
        return [f"Scale {scale.name} has never been recorded for {scale.week}, so there is nothing to compare with."]

    run = known["recorded"]
    seeds, threads, here = len(run["seeds"]), run.get("threads"), torch.get_num_threads()
    many = f"{threads} thread{'s' * (threads != 1)}" if threads else "an unknown number of threads"
    what = f"mean +- sample deviation over {seeds} seeds" if seeds > 1 else "1 seed, which says nothing of the spread"
    lines = [f"Expected: {what}, recorded {run['date']} on {run['hardware']}, {many}."]
    if threads and threads != here and scale.device.type == "cpu":
        lines.append(f"This run has {here}: other sums in another order, and a training may end elsewhere.")
    torch_then, torch_now = run.get("packages", {}).get("torch"), importlib.metadata.version("torch")
    if torch_then and torch_then.split("+")[0] != torch_now.split("+")[0]:
        lines.append(f"They were recorded with torch {torch_then}, this run has {torch_now}.")
    return lines


def _claim_lines(claims: dict) -> list[str]:
    return [
        f"{'Holds' if value >= least else 'Does not hold'}: {claim}: {shown(value)}, at least {shown(least)}"
        for claim, (value, least) in claims.items()
    ]


def _swept_line(item: tuple[str, tuple[Gap, float]]) -> str:
    """A claim of a recorded sweep: whose numbers they are comes first."""
    claim, (gap, least) = item
    if not _finite(gap.mean):
        return f"Not of this run: {claim}: the sweep {gap.sweep!r} is not recorded."
    seeds = ", ".join(map(shown, gap.values)) if gap.values else "not in this record"
    holds = "holds" if gap.mean >= least else "does not hold"
    return (
        f"Not of this run, {gap.label}: {claim}: {shown(gap.mean)} in the mean (by seed: {seeds}), "
        f"at least {shown(least)}: {holds}"
    )


def _remarks(metrics: dict, past: dict, seeds: int, tested: dict) -> list[str]:
    """What is odd about the results: no number, unlike the recorded runs, unknown to them, or missing."""
    lines = [
        f"{name} is {value}: something diverged or was divided by 0."
        for name, value in metrics.items()
        if not _finite(value)
    ]
    common = [name for name in metrics if name in past and _finite(metrics[name])]
    outside = 0
    for name in common:
        within = interval.prediction(past[name], seeds, len(common), tested.get(name))
        if within and not within[0] <= metrics[name] <= within[1]:
            outside += 1
            low, high = map(shown, within)
            lines.append(f"{name} = {shown(metrics[name])} is outside {low} to {high}, its prediction interval.")
    if outside:
        lines.append(
            f"A prediction interval is where a run with another seed falls, after {seeds} seeds (Student's t). If the "
            f"seed is all that differs, one of these {len(common)} results is outside in fewer than 1 of 100 runs; so "
            "look for a changed setting, another version of a package, or a training that went wrong."
        )
    if past:
        lines += [f"{name} was recorded once and is no longer reported." for name in past if name not in metrics]
        lines += [f"{name} is new: record the expected results anew." for name in metrics if name not in past]
    return lines


def _finite(value: float) -> bool:
    return math.isfinite(value)


def _insist(metrics: dict, claims: dict, from_sweeps: dict, must_show: list[dict], swept: list[dict]) -> None:
    """Raise one Wrong that names all that does not hold."""
    faults = [f"{name} is {value}" for name, value in metrics.items() if not _finite(value)]
    for claim, (value, least) in claims.items():
        if not value >= least:  # so that NaN fails too
            faults.append(f"{claim}: {shown(value)}, which should be at least {shown(least)}")
    # A record that is older than from_sweeps has all claims in one list.
    made = from_sweeps | claims
    for once in (*must_show, *swept):
        if once["claim"] not in made:
            faults.append(f"{once['claim']}: recorded as what must show, and not claimed here")
        elif (least := made[once["claim"]][1]) != once["at_least"]:
            faults.append(f"{once['claim']}: claimed with at least {least:g}, recorded with {once['at_least']:g}")
    if faults:
        raise Wrong(plain("The results do not show what they must. " + "; ".join(faults) + "."))

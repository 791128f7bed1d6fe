"""`sslcourse run --record`: run a notebook once per seed and write what came out to sslcourse/expected/weekNN.json.

Each run appends its numbers to a file (SSLCOURSE_RECORD); here they become mean and sample deviation over the seeds.
What came out is always written, a claim that does not hold included: the exit code says so, the numbers are not kept
back. When a seed fails or the run is interrupted, the finished seeds are written, and the record names them.
"""

import datetime
import importlib.metadata
import json
import platform
import statistics
import tempfile
from pathlib import Path

from sslcourse import scale as scales
from sslcourse.cli import Refusal, build, cells, files, page, run, source
from sslcourse.cli.machine import hardware

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "timm", "transformers", "medmnist")

Run = tuple[int, run.Result, list[dict]]  # a seed, what it took, the lines that it recorded


def record(root: Path, weeks: list[str], scale: str, seeds: list[int], sweeps: bool) -> int:
    """Record some weeks, or all, at one scale. Returns 1 if a seed failed or a claim does not hold in the mean."""
    if scale == "dry":
        raise Refusal("Nothing that scale dry gives means anything; record at tiny, small or full.")
    with run.alone(root):
        return _record(root, weeks, scale, seeds, sweeps)


def _record(root: Path, weeks: list[str], scale: str, seeds: list[int], sweeps: bool) -> int:
    problems = []
    for path in run.find_notebooks(root, weeks):
        _must_be_built(root, path)
        _expected(root, source.week_of(path.stem))  # an unreadable file is found before the work, not after
        runs = []
        try:
            for seed in seeds:
                result, lines = _run_seed(root, path, scale, seed, sweeps)
                if result.error:
                    problems.append(f"{path.stem}: seed {seed} failed and is not in the record.")
                else:
                    runs.append((seed, result, lines))
        finally:
            if runs:
                problems += _write(root, source.week_of(path.stem), scale, runs, sweeps)

    for problem in problems:
        print(problem)
    print(f"Figures and results: {page.write(root / 'runs')}")
    return int(bool(problems))


def _must_be_built(root: Path, path: Path) -> None:
    """Nobody should record an hour of results with yesterday's code."""
    (script,) = source.find_scripts(root, [path.stem])
    wanted = cells.solution_notebook(source.read(script))
    if build.code_hash(files.must_read(path)) != build.code_hash(wanted):
        raise Refusal(f"{path.name} is not what {script.name} says now; first call: sslcourse build --no-execute.")


def _run_seed(root: Path, path: Path, scale: str, seed: int, sweeps: bool) -> tuple[run.Result, list[dict]]:
    """One run of a notebook and the lines that it recorded."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "record.jsonl"
        environment = {"SSLCOURSE_RECORD": str(lines), "SSLCOURSE_SWEEPS": "1" if sweeps else None}
        result = run.run_notebook(root, path, scale, seed, environment)
        text = lines.read_text(encoding="utf-8") if lines.is_file() else ""
    return result, [json.loads(line) for line in text.splitlines()]


def _write(root: Path, week: str, scale: str, runs: list[Run], sweeps: bool) -> list[str]:
    """Put the runs into the week's file, other scales as they were. Returns a sentence for each claim that fails."""
    expected = _expected(root, week)
    before = expected[scale] or {}
    recorded = _circumstances(scale, runs)

    problems = []
    reports = [next((line for line in lines if line["kind"] == "report"), None) for *_, lines in runs]
    if sweeps:
        # Sweeps may come before the results: a notebook may claim what its sweeps show.
        known = {"recorded": recorded, "metrics": {}, "must_show": []} | before
        claims = _claims([report["swept"] for report in reports if report])
        expected[scale] = known | {"sweeps": before.get("sweeps", {}) | _sweeps(runs, recorded), "sweep_claims": claims}
    else:
        if None in reports:
            return [f"{week}: the notebook recorded nothing; it should end with check.report(scale, ...)."]
        claims = _claims([report["claims"] for report in reports])
        expected[scale] = before | {"recorded": recorded, "metrics": _metrics(reports), "must_show": claims}
    problems = [
        f"{week}: {claim['claim']!r} came out as {claim['value']:.3g} in the mean, below {claim['at_least']:.3g}."
        for claim in claims
        if not claim["value"] >= claim["at_least"]
    ]

    path = _file(root, week)
    files.write(path, json.dumps(expected, indent=1) + "\n")
    print(f"Recorded {len(runs)} seeds of {week} at {scale} in {path.relative_to(root).as_posix()}.")
    return problems


def _file(root: Path, week: str) -> Path:
    return root / "sslcourse" / "expected" / f"{week}.json"


def _expected(root: Path, week: str) -> dict[str, dict | None]:
    """What is recorded of a week so far; None for a scale that never was."""
    path = _file(root, week)
    try:
        there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise Refusal(f"{path} is not valid JSON ({error}); restore it (git checkout) or remove it.") from error
    return {name: there.get(name) for name in scales.NAMES if name != "dry"}


def _metrics(reports: list[dict]) -> dict[str, dict]:
    """Mean and sample deviation over the seeds, and the mean of the levels to compare with, often measured too."""
    return {
        name: _summary([report["metrics"][name]["value"] for report in reports])
        | {level: _mean([report["metrics"][name].get(level) for report in reports]) for level in ("chance", "baseline")}
        for name in reports[0]["metrics"]
    }


def _claims(by_seed: list[list[dict]]) -> list[dict]:
    """Each claim's mean over the seeds, its margin and every seed's own value."""
    merged = []
    for i, claim in enumerate(by_seed[0] if by_seed else []):
        values = [claims[i]["value"] for claims in by_seed]
        merged.append(claim | {"value": _mean(values), "values": [_short(value) for value in values]})
    return merged


def _sweeps(runs: list[Run], recorded: dict) -> dict[str, dict]:
    """Each sweep's mean, sample deviation and values by seed, per point."""
    merged = {}
    seeds = [{line["name"]: line for line in lines if line["kind"] == "sweep"} for *_, lines in runs]
    for name, line in seeds[0].items():
        values = list(zip(*(seed[name]["values"] for seed in seeds), strict=True))
        points = [_summary(some) for some in values]
        merged[name] = {
            "points": line["points"],
            "mean": [point["mean"] for point in points],
            "std": [point["std"] for point in points],
            "values": [list(map(_short, some)) for some in values],
            "recorded": recorded,
        }
    return merged


def _summary(values: list[float]) -> dict[str, float | None]:
    """Mean and sample deviation (n - 1); None for a single seed, which says nothing of the spread."""
    return {"mean": _mean(values), "std": _short(statistics.stdev(values)) if len(values) > 1 else None}


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else _short(statistics.fmean(values))


def _short(value: float) -> float:
    """Six digits: more than any result here means, few enough to read."""
    return float(f"{value:.6g}")


def _circumstances(scale: str, runs: list[Run]) -> dict:
    """Machine, threads and packages, since each of them can move a result; seeds, time and memory."""
    versions = {name: _version(name) for name in PACKAGES}
    results = [result for _, result, _ in runs]
    # The kernel counts its own threads: an environment variable here need not reach it.
    threads = {line["threads"] for *_, lines in runs for line in lines if line["kind"] == "report"}
    return {
        "date": datetime.date.today().isoformat(),
        "hardware": hardware(gpu=scale != "tiny"),
        "threads": threads.pop() if len(threads) == 1 else None,
        "packages": {"python": platform.python_version()} | {name: text for name, text in versions.items() if text},
        "seeds": [seed for seed, *_ in runs],
        "seconds": round(statistics.median(result.usage.seconds for result in results), 1),
        "peak_memory_mb": round(max(result.usage.peak_memory_mb for result in results)),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""

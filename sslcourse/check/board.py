"""The board: every method of the course under equal terms, as `sslcourse board` has recorded it.

    board.rows("scenes")["SimCLR"].probe
    board.show("SimCLR", world="scenes")

expected/board.json holds {"worlds": {world: {"terms", "hardware", "methods": {name: {"week", "code", "tuning": {rate:
validation accuracy}, "runs": {seed: result}}}}}}; a result has rate, knn, probe, low, high, rankme and seconds; where a
training diverged, null stands in the place of either. sslcourse/cli/board/terms.py has the terms.
"""

import json
import statistics
from dataclasses import dataclass
from importlib.resources import files

from sslcourse import arguments
from sslcourse.check.interval import of_seeds
from sslcourse.check.outcomes import plain

FILE = "board.json"
NOT_RUN, OF_RATES, OF_SEEDS = "not yet run", "diverged at every rate", "diverged on every seed"


@dataclass(frozen=True)
class Row:
    """What one method reached in one world: means over the seeds that were run, and spreads, None for one seed.

    knn and probe are test accuracies; (low, high) is the mean 95 % Wilson interval of the probe, which covers the
    choice of test images, as probe_std covers the choice of seeds. at_end: the rate is the smallest or the largest
    of its grid, so one beyond may be better. seconds: of training, None where they were not measured. diverged: how
    many more seeds ended in no number.
    """

    method: str
    week: str
    seeds: tuple[int, ...]
    rate: float | None
    at_end: bool
    knn: float
    probe: float
    low: float
    high: float
    knn_std: float | None
    probe_std: float | None
    rankme: float
    seconds: float | None
    diverged: int


def recorded() -> dict:
    """The file as it ships; {"worlds": {}} before the first run."""
    path = files("sslcourse") / "expected" / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"worlds": {}}


def rows(world: str, board: dict | None = None) -> dict[str, Row | None]:
    """{method: its row, or None where it is not yet run} of one world, in the order of the course.

    board: what `recorded` returns, by default just that. Raises ValueError for a world that is not on the board.
    """
    world = arguments.text("world", world)
    board = recorded() if board is None else arguments.mapping("board", board, "that of board.recorded()")
    if "worlds" not in board:
        raise ValueError("board has no entry 'worlds'; it should be a dict such as that of board.recorded().")
    worlds = board["worlds"]
    if world not in worlds:
        known = f"it has {', '.join(worlds)}" if worlds else "nothing was run yet"
        raise ValueError(f"There is no world {arguments.shown(world)} on the board; {known}.")
    return {name: _row(name, entry) for name, entry in worlds[world]["methods"].items()}


def _row(name: str, entry: dict) -> Row | None:
    runs = {int(seed): run for seed, run in entry["runs"].items() if run is not None}
    if not runs:
        return None
    of = {key: [run[key] for run in runs.values()] for key in ("knn", "probe", "low", "high", "rankme", "seconds")}
    spread = {key: statistics.stdev(of[key]) if len(runs) > 1 else None for key in ("knn", "probe")}
    rate, tried = next(iter(runs.values()))["rate"], [float(one) for one in entry["tuning"]]
    return Row(
        method=name,
        week=entry["week"],
        seeds=tuple(sorted(runs)),
        diverged=len(entry["runs"]) - len(runs),
        rate=rate,
        at_end=rate is not None and rate in (min(tried), max(tried)),
        knn_std=spread["knn"],
        probe_std=spread["probe"],
        **{key: None if None in values else statistics.fmean(values) for key, values in of.items()},
    )


def show(*methods: str, world: str = "scenes", board: dict | None = None) -> None:
    """Print what is recorded of one world: methods by the accuracy of their nearest neighbours, an arrow at `methods`.

    Chance is a row among them. kNN is the mean and the sample deviation over the seeds, the interval that of `Row`. A
    method without results has a row only where it is asked for; the others are counted, with the command that goes on
    with them. board: as in `rows`. Raises ValueError for a world or a method that is not on the board.
    """
    there = rows(world, board)
    for name in methods:
        if arguments.text("A method", name) not in there:
            raise ValueError(f"There is no method {arguments.shown(name)} on the board; it has {', '.join(there)}.")
    entry = (recorded() if board is None else board)["worlds"][world]
    terms = entry["terms"]
    chance = 1 / terms["classes"]
    found = [(row.knn, (name, *_cells(row))) for name, row in there.items() if row]
    found.append((chance, ("chance", f"{chance:.3f}", f"{chance:.3f}", "", "", "")))
    table = [("method", "kNN", "probe", "95 % interval", "rate", "seeds")]
    table += [cells for _, cells in sorted(found, key=lambda one: -one[0])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    table += [(name, why(entry, name)) for name, row in there.items() if not row and name in methods]
    print(
        f"The board, {world}: {terms['encoder']}, {terms['train']:,} images, {terms['epochs']} epochs in batches of "
        f"{terms['batch_size']}; {terms['test']:,} test images"
    )
    for cells in table:
        row = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
        print(plain(f"{'->' if cells[0] in methods else '  '} {row}".rstrip()))
    if any(row and row.at_end for row in there.values()):
        print("* an end of the grid of rates: a rate beyond it may be better")
    reasons = [why(entry, name) for name, row in there.items() if not row]
    for reason in (OF_RATES, OF_SEEDS):
        if count := reasons.count(reason):
            print(f"{count} of {len(there)} {reason}.")
    if count := reasons.count(NOT_RUN):
        print(f"{count} of {len(there)} not yet run: `sslcourse board --worlds {world}` goes on with the board.")


def why(entry: dict, name: str) -> str:
    """Why a method of this world, an entry of the file, has no row: NOT_RUN, OF_RATES or OF_SEEDS."""
    method = entry["methods"][name]
    tried = list(method["tuning"].values())
    if len(tried) == len(entry["terms"]["rates"]) and all(value is None for value in tried):
        return OF_RATES
    return OF_SEEDS if method["runs"] else NOT_RUN


def rate(row: Row, unused: str = "") -> str:
    """The rate as it is written, marked where it is an end of its grid; `unused` where a method has none."""
    return unused if row.rate is None else f"{row.rate:g}{'*' * row.at_end}"


def _cells(row: Row) -> tuple[str, ...]:
    seeds = of_seeds(len(row.seeds)) + (f", {row.diverged} diverged" if row.diverged else "")
    deviation = "" if row.knn_std is None else f" +- {row.knn_std:.3f}"
    interval = f"{row.low:.3f} to {row.high:.3f}"
    return f"{row.knn:.3f}{deviation}", f"{row.probe:.3f}", interval, rate(row, "-"), seeds

"""The board: every method of the course under equal terms, as `sslcourse board` has recorded it.

    board.rows("scenes")["SimCLR"].probe

expected/board.json holds {"worlds": {world: {"terms", "hardware", "methods": {name: {"week", "code", "tuning": {rate:
validation accuracy}, "runs": {seed: result}}}}}}; a result has rate, knn, probe, low, high, rankme and seconds; where a
training diverged, null stands in the place of either. sslcourse/cli/board/terms.py has the terms.
"""

import json
import statistics
from dataclasses import dataclass
from importlib.resources import files

from sslcourse import arguments

FILE = "board.json"


@dataclass(frozen=True)
class Row:
    """What one method reached in one world: means over the seeds that were run, and spreads, None for one seed.

    knn and probe are test accuracies; (low, high) is the mean 95 % Wilson interval of the probe, which covers the
    choice of test images, as probe_std covers the choice of seeds. seconds: of training, by the clock. diverged: how
    many more seeds ended in no number.
    """

    method: str
    week: str
    seeds: tuple[int, ...]
    rate: float | None
    knn: float
    probe: float
    low: float
    high: float
    knn_std: float | None
    probe_std: float | None
    rankme: float
    seconds: float
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
    return Row(
        method=name,
        week=entry["week"],
        seeds=tuple(sorted(runs)),
        diverged=len(entry["runs"]) - len(runs),
        rate=next(iter(runs.values()))["rate"],
        knn_std=spread["knn"],
        probe_std=spread["probe"],
        **{key: statistics.fmean(values) for key, values in of.items()},
    )

"""The form in which every benchmark says what it found: rows, each a comparison of ours with one peer.

A script of this folder has a function `rows()` that yields `Row`s, and ends with `if __name__ == "__main__":
show(rows())`, so that it also runs alone. benchmarks/collect.py runs all of them and writes docs/benchmarks.md.

All that is compared alternates within one process (A, B, A, B, ...), so that a slower minute of the machine hits
all; the ratio of each round is taken. One thread, and processor seconds instead of the clock's: other programs count
little.
"""

import importlib
import importlib.metadata
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

ROUNDS = int(os.environ.get("BENCH_ROUNDS", 5))


class Row(NamedTuple):
    """ratio: the peer's time (or bytes) over ours, median of rounds, so that above 1 ours is better; low, high: of the
    rounds. ours, peer: in words, "0.12 s". goal: what the ratio should reach; note: the bound, where it does not."""

    what: str
    ours: str
    against: str
    peer: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: float | None = None
    note: str = ""


def compare(
    what: str,
    ours: Callable,
    peers: dict[str, Callable | None],
    goals: dict | None = None,
    note: str = "",
    rounds: int = ROUNDS,
) -> Iterator[Row]:
    """A row for each peer; None stands for one that is not installed, and its row says "not run"."""
    there = {name: work for name, work in peers.items() if work}
    seconds = {name: [] for name in ("", *there)}
    for _ in range(rounds + 1):
        for name, work in {"": ours, **there}.items():
            seconds[name].append(cpu_seconds(work))
    seconds = {name: values[1:] for name, values in seconds.items()}  # the first round warms up
    mine = _text(statistics.median(seconds[""]))
    for name in peers:
        goal = (goals or {}).get(name)
        if name not in there:
            yield Row(what, mine, name, "not run", goal=goal, note="not installed")
            continue
        ratios = [theirs / own for theirs, own in zip(seconds[name], seconds[""], strict=True)]
        spread = statistics.median(ratios), min(ratios), max(ratios)
        yield Row(what, mine, name, _text(statistics.median(seconds[name])), *spread, goal, note)


def bounded(rows: Iterable[Row], bound: str, what: str) -> Iterator[Row]:
    """The rows; one that misses its goal says what ratio it would have if ours took no longer than the row `bound`.

    bound: the name of a peer that does only what ours cannot do without; what: that, in words.
    """
    rows = list(rows)
    least = next(row.ratio for row in rows if row.against == bound)
    for row in rows:
        if row.goal is not None and row.ratio is not None and row.ratio < row.goal:
            note = f"bound: {what} gives {row.ratio / least:.2f}"
            row = row._replace(note=f"{note}; {row.note}" if row.note else note)
        yield row


def peer(module: str):
    """A peer's module, or None where it is missing or does not start."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def show(rows: Iterable[Row]) -> None:
    for row in rows:
        print(" | ".join(cells(row)), flush=True)


def cells(row: Row) -> list[str]:
    """The columns of the table: what, ours, against, peer, ratio, rounds, goal, note."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    spread = "" if row.low is None else f"{row.low:.2f} to {row.high:.2f}"
    goal = "" if row.goal is None else f"{row.goal:g}"
    if row.ratio is not None and row.goal is not None:
        goal += " reached" if row.ratio >= row.goal else " missed"
    return [row.what, row.ours, row.against, row.peer, ratio, spread, goal, row.note]


def cpu_seconds(work: Callable) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _text(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"

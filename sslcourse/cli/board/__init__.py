"""`sslcourse board`: train every method of the course under equal terms and say what came out.

Terms are those of terms.py, methods those of methods.py. Of each method and world the rate is chosen on validation
images, then three seeds are trained and tested. Each result is kept in sslcourse/expected/board.json as it comes, so
that a board of hours can be made in many sittings; docs/board.md is written from that file and from nothing else.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from sslcourse import evaluate, files
from sslcourse.check.board import FILE
from sslcourse.cli import Refusal, run
from sslcourse.cli.board import page
from sslcourse.cli.board.methods import METHODS, Job, Method
from sslcourse.cli.board.terms import FURTHER, SEEDS, TUNING_SEED, WORLDS, Terms
from sslcourse.cli.machine import hardware
from sslcourse.data import DataMissing
from sslcourse.train import NotFinite


def board(root: Path, worlds: list[str], methods: list[str], minutes: float | None) -> int:
    """Go on with the board until it is complete, or no further run is to start after so many minutes.

    worlds, methods: some of the names of WORLDS and METHODS, all where there are none. Returns 1 where the data of a
    world is missing. Raises Refusal for unknown names and for a file that was recorded under other terms.
    """
    _known("world", worlds, WORLDS)
    _known("method", methods, METHODS)
    end = time.monotonic() + 60 * minutes if minutes else float("inf")
    missing = []
    with run.alone(root):
        known = _read(root)
        try:
            for world in worlds or WORLDS:
                try:
                    _go_on(root, known, WORLDS[world], methods or list(METHODS), end)
                except DataMissing as error:
                    missing.append(f"{world} is not yet run: {error}")
        finally:
            _save(root, known)
            page.write(root, known)
    for sentence in missing:
        print(sentence)
    print(f"{root / page.PAGE}: {_done(known)}")
    return int(bool(missing))


def _known(kind: str, names: list[str], table: dict) -> None:
    for name in names:
        if name not in table:
            raise Refusal(f"There is no {kind} {name!r} on the board; choose among {', '.join(table)}.")


def _done(known: dict) -> str:
    wanted = sum(len(SEEDS) for world in known["worlds"].values() for entry in world["methods"].values())
    there = sum(len(entry["runs"]) for world in known["worlds"].values() for entry in world["methods"].values())
    return f"{there} of {wanted} results are there."


# ---- the file


def _read(root: Path) -> dict:
    """What is recorded so far, with an entry for each world and method of today."""
    path = root / "sslcourse" / "expected" / FILE
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["worlds"] if path.is_file() else {}
        return {"worlds": {name: _world(terms, before.get(name), path) for name, terms in WORLDS.items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"{path} is no board ({error}); restore it (git checkout) or remove it.") from error


def _world(terms: Terms, old: dict | None, path: Path) -> dict:
    known = {"terms": terms.noted(), "hardware": [], "methods": {}} | (old or {})
    rows = {name: row for name, row in METHODS.items() if terms.world in row.worlds}
    entries = {name: _entry(terms.world, name, row, known["methods"].get(name)) for name, row in rows.items()}
    if known["terms"] != terms.noted() and any(entry["runs"] or entry["tuning"] for entry in entries.values()):
        raise Refusal(
            f"{path} holds results of {terms.world} under other terms than sslcourse/cli/board/terms.py; change the "
            "terms back, or remove the file to begin anew."
        )
    return known | {"terms": terms.noted(), "methods": entries}


def _entry(world: str, name: str, method: Method, old: dict | None) -> dict:
    if old and old["code"] == method.code():
        return old
    if old and (old["runs"] or old["tuning"]):
        print(f"{name} is other code than was recorded on {world}; it is run anew.")
    return {"week": method.week, "code": method.code(), "tuning": {}, "runs": {}}


def _save(root: Path, known: dict) -> None:
    files.write(root / "sslcourse" / "expected" / FILE, (json.dumps(known, indent=1) + "\n").encode())


# ---- the runs


def _go_on(root: Path, known: dict, terms: Terms, names: list[str], end: float) -> None:
    """Every run of one world that is missing: of all methods the first seed, then of all the second."""
    world = known["worlds"][terms.world]
    for name, rate, seed in _missing(world, terms, names):
        if time.monotonic() > end:
            return
        try:
            result = _tuned(name, terms, rate) if seed is None else _tested(name, terms, rate, seed)
        except NotFinite:
            result = None  # that it diverges is a result as well
        entry = world["methods"][name]
        before = chosen(entry["tuning"])
        entry["tuning" if seed is None else "runs"][str(rate if seed is None else seed)] = result
        if chosen(entry["tuning"]) != before:
            entry["runs"] = {}  # those of another rate
        if (machine := hardware(gpu=False)) not in world["hardware"]:
            world["hardware"].append(machine)
        _save(root, known)
        shown = result["probe"] if result and seed is not None else result
        print(
            f"{terms.world}, {name}, {f'rate {rate:g}, ' if rate else ''}"
            f"{'validation' if seed is None else f'seed {seed}'}: {'diverged' if shown is None else f'{shown:.3f}'}",
            flush=True,
        )


def _missing(world: dict, terms: Terms, names: list[str]) -> Iterator[tuple[str, float | None, int | None]]:
    """(method, rate, seed) of each run to come; seed None where a rate is tried on validation images."""
    for seed in SEEDS:
        for name in (name for name in names if name in world["methods"]):
            entry, rate = world["methods"][name], None
            if METHODS[name].trained:
                for rate in terms.rates:
                    if str(rate) not in entry["tuning"]:
                        yield name, rate, None
                while (rate := beyond(entry["tuning"])) is not None:
                    yield name, rate, None
                rate = chosen(entry["tuning"])
                if rate is None:
                    continue  # every rate diverged, or there was no time for all
            if str(seed) not in entry["runs"]:
                yield name, rate, seed


def chosen(tuning: dict[str, float | None]) -> float | None:
    """The rate of the best validation accuracy, the smaller of equals; None where all diverged."""
    there = {float(rate): value for rate, value in tuning.items() if value is not None}
    return min(there, key=lambda rate: (-there[rate], rate)) if there else None


def beyond(tuning: dict[str, float | None]) -> float | None:
    """The next rate to try where the best is an end of those tried; None where it is none, or nothing is left."""
    best, tried = chosen(tuning), [float(rate) for rate in tuning]
    if best is None:
        return None
    below, above = ([rate for rate in FURTHER if side(rate)] for side in (min(tried).__gt__, max(tried).__lt__))
    if best == max(tried) and above:
        return min(above)
    return max(below) if best == min(tried) and below else None


def _tuned(name: str, terms: Terms, rate: float) -> float:
    """Validation accuracy of the probe after training at this rate."""
    part = terms.part("train", TUNING_SEED)
    encoder = METHODS[name].learn(Job(terms, part, rate, TUNING_SEED))
    val = terms.part("val", TUNING_SEED)
    h, val_h = (evaluate.extract_features(encoder, images.images) for images in (part, val))
    return evaluate.linear_probe(h, part.labels, val_h, val.labels, Cs=terms.probe_Cs).accuracy


def _tested(name: str, terms: Terms, rate: float | None, seed: int) -> dict:
    part, test = terms.part("train", seed), terms.part("test", seed)
    begin = time.process_time()  # what else the machine does meanwhile is no part of a method
    encoder = METHODS[name].learn(Job(terms, part, rate, seed))
    seconds = time.process_time() - begin
    h, test_h = (evaluate.extract_features(encoder, images.images) for images in (part, test))
    probe = evaluate.linear_probe(h, part.labels, test_h, test.labels, Cs=terms.probe_Cs)
    return {
        "rate": rate,
        "knn": evaluate.knn_accuracy(h, part.labels, test_h, test.labels),
        "probe": probe.accuracy,
        "low": probe.low,
        "high": probe.high,
        "rankme": evaluate.rankme(test_h),
        "seconds": seconds,
    }

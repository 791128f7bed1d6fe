"""Results of recorded runs: what `expected/weekNN.json` holds, and where a run that records writes to.

`sslcourse run --record` sets SSLCOURSE_RECORD to a file, to which every report and sweep appends one JSON line; from
these lines of several seeds it writes the expected results.
"""

import json
import os
from importlib.resources import files

SCALES = ("tiny", "small", "full")  # from small to large; dry means nothing and is never recorded


def expected(week: str) -> dict:
    """{"tiny": {"recorded", "metrics", "must_show", "sweeps"}, "full": None, ...}; {} where nothing was recorded."""
    path = files("sslcourse") / "expected" / f"{week}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def recording(sweeps: bool = False) -> bool:
    """Whether this run is recorded; with `sweeps`, whether its sweeps are computed and recorded too."""
    return bool(os.environ.get("SSLCOURSE_RECORD")) and (not sweeps or os.environ.get("SSLCOURSE_SWEEPS") == "1")


def append(entry: dict) -> None:
    """Write one line to the file of the recorded run."""
    with open(os.environ["SSLCOURSE_RECORD"], "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")

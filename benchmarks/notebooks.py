"""Seconds and memory of every notebook at tiny, as the last `make run` of this checkout took: nothing is run here.

    sslcourse run && python benchmarks/notebooks.py

Wall clock of one solved notebook with the kernel's start, one thread each, as many side by side as there are cores. The
bounds are those of the course: 60 s, 2 GB.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from rows import Row, show

ROOT = Path(__file__).parents[1]


def rows() -> Iterator[Row]:
    for solution in sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb")):
        path = ROOT / "runs" / solution.name
        ran = json.loads(path.read_text(encoding="utf-8"))["metadata"]["sslcourse"]["run"] if path.is_file() else {}
        if ran.get("scale") != "tiny" or ran["error"]:
            yield Row(solution.stem, "not run", "the bound", "60 s, 2,000 MB", note="call: make run")
            continue
        ours = f"{ran['seconds']:.0f} s, {ran['peak_memory_mb']:,.0f} MB"
        ratio = 60 / ran["seconds"]
        yield Row(solution.stem, ours, "the bound", "60 s, 2,000 MB", ratio, goal=1, note=f"run on {ran['date']}")


if __name__ == "__main__":
    show(rows())

"""Seconds and memory of every notebook at tiny, as recorded in sslcourse/expected/: nothing is run here.

    python benchmarks/notebooks.py

One solved notebook with the kernel's start, median over the recorded seeds. The bounds are those of the course: 60
s, 2 GB.
"""

import json
from pathlib import Path

from rows import Row, show

import sslcourse
from sslcourse.check import board


def rows():
    for path in sorted((Path(sslcourse.__file__).parent / "expected").glob("*.json")):
        if path.name == board.FILE:
            continue  # results of methods, not of a notebook
        recorded = (json.loads(path.read_text(encoding="utf-8")).get("tiny") or {}).get("recorded") or {}
        if "seconds" not in recorded:
            yield Row(path.stem, "not recorded", "the bound", "60 s, 2,000 MB")
            continue
        took, memory = recorded["seconds"], recorded.get("peak_memory_mb")
        ours = f"{took:.0f} s, {memory:,.0f} MB" if memory else f"{took:.0f} s"
        yield Row(
            path.stem,
            ours,
            "the bound",
            "60 s, 2,000 MB",
            60 / took,
            goal=1,
            note=f"recorded {recorded.get('date', '')}",
        )


if __name__ == "__main__":
    show(rows())

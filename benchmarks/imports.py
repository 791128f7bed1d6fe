"""`import sslcourse` and `begin` against `import torch`, each in a fresh process.

python benchmarks/imports.py
"""

import statistics
import subprocess
import sys

from rows import Row, show

ROUNDS = 2
TIMED = "import time; b = time.process_time(); {}; print(time.process_time() - b)"


def seconds(line: str) -> float:
    done = subprocess.run([sys.executable, "-c", TIMED.format(line)], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def rows():
    lines = {
        "import sslcourse": "import sslcourse",
        "import sslcourse and begin": "import sslcourse; sslcourse.begin(week=4)",
    }
    taken = {name: [] for name in ("import torch", *lines)}
    for _ in range(ROUNDS):
        for name, line in {"import torch": "import torch", **lines}.items():
            taken[name].append(seconds(line))
    for name in lines:
        ratios = [torch / own for torch, own in zip(taken["import torch"], taken[name], strict=True)]
        ours, torch = (f"{statistics.median(taken[which]):.3f} s" for which in (name, "import torch"))
        yield Row(name, ours, "import torch", torch, statistics.median(ratios), min(ratios), max(ratios))


if __name__ == "__main__":
    show(rows())

"""How the cost of exact neighbours and of TwoNN grows with the number of points N and of features D.

    python benchmarks/growth.py

One call each. "Ratio" is the cost over that of the row before; N and D double, or nearly so, and the product grows
with N^2 D. Of memory it is the bound over what a process of its own has at its peak beyond what it had before, with
the libraries that it loads for the search.
"""

import subprocess
import sys
import time

import torch
from rows import Row, one_thread, show

from sslcourse.evaluate import nearest_neighbours, two_nn

SIZES = [
    (1000, 128),
    (5000, 128),
    (10_000, 128),
    (20_000, 128),
    (50_000, 128),
    (10_000, 32),
    (10_000, 64),
    (10_000, 256),
]
BOUND = 300  # MB over the input

PEAK = """
import sys, torch
from sslcourse.evaluate import nearest_neighbours
def peak():
    if sys.platform == "linux":  # getrusage would count the parent's memory at the fork too
        return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1.024e-3
    if sys.platform == "win32":
        import psutil
        return psutil.Process().memory_info().peak_wset / 1e6
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
torch.set_num_threads(1)
n, d, metric, queries = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
bank = torch.randn(n, d)
given = (torch.randn(queries, d), bank) if queries else (bank,)
before = peak()
nearest_neighbours(*given, metric=metric)
print(peak() - before)
"""


def rows():
    one_thread()
    work = {
        "neighbours, cosine": lambda x: nearest_neighbours(x),
        "neighbours, euclidean": lambda x: nearest_neighbours(x, metric="euclidean"),
        "TwoNN": two_nn,
    }
    for name, one in work.items():
        before = None
        for n, d in SIZES if name.endswith("euclidean") else SIZES[:4]:
            x = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
            begin = time.process_time()
            one(x)
            took = time.process_time() - begin
            against, ratio = (f"{before[0]} x {before[1]}", took / before[2]) if before else ("", None)
            theirs = f"{before[2]:.2f} s" if before else ""
            yield Row(f"{name}, {n} x {d}", f"{took:.2f} s", against, theirs, ratio)
            before = (n, d, took)
    for metric in ("cosine", "euclidean"):
        for n, d in ((10_000, 128), (10_000, 512), (50_000, 128), (50_000, 512)):
            for what, queries in (("among themselves", 0), ("10000 in these", 10_000)):
                over = memory(n, d, metric, queries)
                bound = ("the bound", f"{BOUND} MB", BOUND / over)
                yield Row(f"neighbours, {metric}, {n} x {d} {what}", f"{over:.0f} MB over the input", *bound, goal=1)


def memory(n: int, d: int, metric: str, queries: int) -> float:
    """MB over the input at the peak of a search in n points; queries: how many others look for them, or 0."""
    command = [sys.executable, "-c", PEAK, str(n), str(d), metric, str(queries)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    show(rows())

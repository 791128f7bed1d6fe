"""How the cost of exact neighbours and of TwoNN grows with the number of points N and of features D.

    python benchmarks/growth.py

One call each. "Ratio" is the cost over that of the row before; N and D double, or nearly so, and the product grows
with N^2 D.
"""

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


if __name__ == "__main__":
    show(rows())

"""Exact neighbours against the bare matrix product that they cannot do without: 10,000 x 512, k = 10.

    python benchmarks/neighbours.py

The two alternate within one run, so that a slower minute of the machine hits both; the ratio of each round is taken.
"""

import statistics
import time

import torch

from sslcourse.evaluate import nearest_neighbours

ROUNDS, N, D, CHUNK = 7, 10_000, 512, 1024


def product(x: torch.Tensor) -> None:
    """All similarities, chunk by chunk into the same memory: nothing less will do for exact neighbours."""
    out = torch.empty(CHUNK, N)
    for start in range(0, N, CHUNK):
        rows = x[start : start + CHUNK]
        torch.mm(rows, x.T, out=out[: len(rows)])


def seconds(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    for metric in ("cosine", "euclidean"):
        pairs = []
        for _ in range(ROUNDS + 1):
            pairs.append((seconds(lambda: product(x)), seconds(lambda m=metric: nearest_neighbours(x, metric=m))))
        ratios = sorted(ours / bare for bare, ours in pairs[1:])  # the first round warms up
        print(
            f"{metric}: product {statistics.median(p[0] for p in pairs[1:]):.2f} s, neighbours "
            f"{statistics.median(p[1] for p in pairs[1:]):.2f} s, ratio {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}) on {torch.get_num_threads()} threads"
        )


if __name__ == "__main__":
    main()

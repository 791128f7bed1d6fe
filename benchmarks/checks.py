"""What a check takes: seconds of one core for the reference solution of every exercise; a check should stay below two.

    python benchmarks/checks.py

Each is run twice, and the second run counts: the first one also loads libraries. A wrong answer can take longer, since
its mistakes are looked for. Beside it stands the ratio to ten products of 1,000 x 1,000 matrices on the same core.
"""

import contextlib
import importlib
import io
import statistics
import time

import torch

from sslcourse import missing, solution
from sslcourse.check import machinery

WEEKS = [f"week{n:02d}" for n in range(1, 13)] + ["bonus", "bonus_jepa"]


def seconds(call) -> float:
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        call()
    return time.process_time() - began


def main() -> None:
    torch.set_num_threads(1)
    square = torch.randn(1000, 1000)
    unit = statistics.median(seconds(lambda: [square @ square for _ in range(10)]) for _ in range(5))
    machinery._is_reference = lambda submission, reference: False  # so that the reference is examined like any answer
    rows = []
    for week in WEEKS:
        checks = importlib.import_module(f"sslcourse.check.{week}")
        for name in missing._announced[week]:
            check, right = getattr(checks, name), solution(week, name)
            seconds(lambda check=check, right=right: check(right, strict=True))
            rows.append((seconds(lambda check=check, right=right: check(right, strict=True)), week, name))
    for took, week, name in sorted(rows, reverse=True)[:15]:
        print(f"{week} {name:24} {took:5.2f} s, {took / unit:5.1f} times ten products")
    print(f"{len(rows)} checks, {sum(row[0] for row in rows):.0f} s together.")


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# torch 2.15.0: on a CPU `x.aminmax(dim=0)` takes many times as long as `x.amin(dim=0)` and `x.amax(dim=0)` together.
#
# Expected: one pass over the numbers in place of two, so at most as long as both.
# Seen: of 2,000 x 256 numbers in float32, one thread, 16 times as long, with the same values; without `dim` 1.6 times.
# Why: along an axis it takes one number after the other, where amin and amax take a register of them at a time. How many
#   times is up to the processor.
set -euo pipefail
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check \
    torch==2.15.0 numpy==2.4.6

OMP_NUM_THREADS=1 "$python" - <<'END'
import statistics
import time

import torch

torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(2000, 256)


def times(slow, fast) -> float:
    """Processor time of the one over that of the other, the median of rounds that alternate."""
    ratios = []
    for _ in range(40):
        taken = []
        for work in (slow, fast):
            began = time.process_time_ns()
            for _ in range(5):
                work()
            taken.append(time.process_time_ns() - began)
        ratios.append(taken[0] / taken[1])
    return statistics.median(ratios)


def both(**axis) -> tuple[torch.Tensor, torch.Tensor]:
    return x.amin(**axis), x.amax(**axis)


assert all(map(torch.equal, x.aminmax(dim=0), both(dim=0)))
along, of_all = times(lambda: x.aminmax(dim=0), lambda: both(dim=0)), times(x.aminmax, both)
print(f"torch {torch.__version__}: aminmax along an axis takes {along:.1f} times as long as amin and amax together,")
print(f"aminmax of all {of_all:.1f} times")
assert along > 4, "no longer seen"
assert of_all < along / 2, "another reason: aminmax of all is as slow"
END

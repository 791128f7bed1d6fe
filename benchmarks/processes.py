"""A training step of one process against the same step shared by two processes of the CPU, with gathered embeddings.

    python benchmarks/processes.py

Processor seconds of each process, one thread each. On paper for 8: all but the overhead o = t(2) - t(1) / 2 is
shared, and messages of a ring grow by 2 (n - 1) / n, so that t(8) is about t(1) / 8 + 1.75 o. GPUs compute faster and
talk faster than this; how much of either is not measured here.
"""

import os
import statistics
import subprocess
import sys
import time

from rows import Row, show

STEPS, BATCH = 12, 256


def worker() -> None:
    import torch

    from sslcourse import augment, solution, train
    from sslcourse.models import backbone, projection_head

    torch.manual_seed(0)
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (STEPS * BATCH, 3, 32, 32), dtype=torch.uint8)
    body = backbone("conv4_gn")
    net = torch.nn.Sequential(body, projection_head(body.num_features, 128, 64))
    nt_xent, view, times = solution("week04", "nt_xent"), augment.simclr(32), []

    def loss(x):
        z0, z1 = (train.gather(net(v)) for v in augment.two_views(x, view))
        return nt_xent(z0, z1, 0.5)

    def after_step(step):
        times.append(time.process_time())

    train.fit(loss, net, images, epochs=1, batch_size=BATCH, after_step=after_step, progress=False)
    if os.environ.get("RANK", "0") == "0":
        count = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        print("seconds", count, statistics.median(b - a for a, b in zip(times, times[1:], strict=False)))


def seconds(count: int) -> float:
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [sys.executable, *launch, __file__, "--worker"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("seconds"))
    _, processes, took = line.split()
    assert int(processes) == count, f"{processes} processes instead of {count}"
    return float(took)


def rows():
    one, two = seconds(1), seconds(2)
    overhead = max(0.0, two - one / 2)
    eight = one / 8 + 1.75 * overhead
    what = f"a SimCLR step of {BATCH} images"
    yield Row(f"{what}, 2 processes", f"{two:.3f} s each", "1 process", f"{one:.3f} s", one / two, note="2 at best")
    yield Row(f"{what}, 8 processes, on paper", f"{eight:.3f} s each", "1 process", f"{one:.3f} s", one / eight)


if __name__ == "__main__":
    worker() if sys.argv[1:] == ["--worker"] else show(rows())

"""A process that forks trainings and kills them, for test_kill.py: `python killed.py FOLDER` prints JSON.

A process of its own, since only one without threads may fork after torch was imported; a fork starts in milliseconds.
"""

import hashlib
import io
import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import redirect_stdout
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from sslcourse.train import fit, update_ema

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
EPOCHS, KILLS = 8, 20


def train(file, epochs=EPOCHS) -> dict:
    """A student, a teacher that follows it, dropout, noise and metrics; a hash of all state at the end."""
    torch.manual_seed(0)
    student = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 4))
    teacher = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 4))
    teacher.requires_grad_(False)

    def loss(x):
        return F.mse_loss(student(x + 0.1 * torch.randn_like(x)), teacher(x)) + student(x).square().mean()

    with redirect_stdout(io.StringIO()) as said:
        history = fit(
            loss,
            [student, teacher],
            X,
            epochs=epochs,
            batch_size=16,
            after_step=lambda step: update_ema(student, teacher, 0.9),
            on_epoch=lambda epoch: {"random": torch.rand(()).item()},
            checkpoint=file,
            progress=False,
        )
    digest = hashlib.sha256()
    for tensor in (*student.state_dict().values(), *teacher.state_dict().values(), torch.get_rng_state()):
        digest.update(tensor.numpy().tobytes())
    state = {"state": digest.hexdigest(), "loss": history.loss, "metrics": history.metrics, "steps": history.steps}
    return {"result": state, "said": said.getvalue()}


def forked(work) -> int:
    """The process number of a fork that does the work and ends."""
    if number := os.fork():
        return number
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def main(folder: Path) -> dict:
    # A fork that is killed while it holds tqdm's lock between processes would keep it for ever.
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(1)
    whole = train(None)["result"]
    began = time.perf_counter()
    same = [train(folder / "timed.pt")["result"] == whole]
    seconds = time.perf_counter() - began

    rng, kills, resumed, n = random.Random(0), 0, 0, 0
    while kills < KILLS and n < 10 * KILLS:
        n += 1
        file = folder / f"{n}.pt"
        process = forked(lambda file=file: train(file))
        time.sleep(rng.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        if not os.WIFSIGNALED(status):
            continue  # it was through before
        kills += 1
        after = train(file)
        same.append(after["result"] == whole)
        resumed += "resumed from epoch" in after["said"]
    left = sorted(path.name for path in folder.iterdir() if path.suffix != ".pt")

    # Three at once on one file: whoever comes first, it is whole.
    crowd = [forked(lambda: train(folder / "crowd.pt", 6)) for _ in range(3)]
    codes = [os.waitpid(process, 0)[1] for process in crowd]
    same.append(train(folder / "crowd.pt", 6)["result"] == train(None, 6)["result"])
    return {"kills": kills, "resumed": resumed, "same": same, "left": left, "codes": codes}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))

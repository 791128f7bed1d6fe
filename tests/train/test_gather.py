"""Several processes, exactly: with `gather` a loss over pairs or statistics equals the one of a single process."""

import os
import socket

import plain_program
import pytest
import torch

from sslcourse import train

METHODS = ("simclr", "moco", "vicreg", "barlow", "dino", "own rows")

# Plain SGD without warm-up, so that a wrong gradient shows in the weights and not only in its direction. 22 rows and
# batches of 11 divide by neither two nor three processes.
TRAINING = """
import contextlib, copy, io, os, pathlib, shutil, sys, torch
from torch import nn
import sslcourse
from sslcourse import train

torch.set_num_threads(1)
methods, target = sys.argv[1].split(","), sys.argv[2]
nt_xent, vicreg, barlow = (sslcourse.solution("week04", name) for name in ("nt_xent", "vicreg", "barlow_twins"))
Queue, info_nce = (sslcourse.solution("week05", name) for name in ("Queue", "info_nce"))
DINOLoss = sslcourse.solution("week07", "DINOLoss")
x = torch.randn(22, 6, generator=torch.Generator().manual_seed(7))

def training(method):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8))
    teacher = copy.deepcopy(net).requires_grad_(False)
    queue, dino = Queue(33, 8), DINOLoss(8, teacher_temp=0.5)
    fresh, gradients = [], []

    def loss_fn(a):
        z0, z1 = net(a), net(a.flip(1))
        if method == "moco":
            fresh[:] = [train.gather(teacher(a))]
            return info_nce(z0, teacher(a), queue.keys, 0.5)
        if method == "own rows":      # each process: its own rows against everybody's
            all0, all1 = train.gather(z0), train.gather(z1)
            return (z0 @ all1.T / 4).logsumexp(1).mean() + (z1 @ all0.T).square().mean()
        z0, z1 = train.gather(z0), train.gather(z1)
        if method == "dino":
            return dino([z0, z1], [train.gather(teacher(a)), train.gather(teacher(a.flip(1)))])
        return {"simclr": lambda: nt_xent(z0, z1, 0.5), "vicreg": lambda: vicreg(z0, z1),
                "barlow": lambda: barlow(z0, z1)}[method]()

    def after_step(step):
        gradients.append([p.grad.clone() for p in net.parameters()])
        if method == "moco":
            queue.enqueue(fresh[0])

    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    history = train.fit(loss_fn, [net, teacher, queue, dino], x, epochs=2, batch_size=11, warmup=0.0,
                        optimizer=optimizer, generator=torch.Generator().manual_seed(3), after_step=after_step,
                        progress=False)
    return {"loss": history.loss, "gradients": gradients, "center": dino.center, "keys": queue.keys}

seen = {method: training(method) for method in methods}
count = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
rank = os.environ.get("RANK", "0")

def going_on(file, cut=False, noise=0.0):
    torch.manual_seed(1)
    net, said = nn.Linear(6, 4), io.StringIO()
    def loss_fn(a):
        z = train.gather(net(a + noise * torch.rand_like(a)))
        return z.square().mean() + (z @ z.T).logsumexp(1).mean()
    def on_epoch(epoch):
        if cut and epoch == 1:
            raise KeyboardInterrupt
    with contextlib.redirect_stdout(said):
        train.fit(loss_fn, net, x, epochs=3, batch_size=11, generator=torch.Generator().manual_seed(3), checkpoint=file,
                  on_epoch=on_epoch, progress=False)
    return [net.weight.detach().clone(), torch.rand(1), said.getvalue()]

folder = pathlib.Path(sys.argv[3])
seen["whole"], seen["noisy"] = going_on(None), going_on(None, noise=1.0)
going_on(folder / f"half-{count}", cut=True, noise=1.0)
seen["noisy again"] = going_on(folder / f"half-{count}", noise=1.0)
going_on(folder / f"plain-{count}", cut=True)
there = folder / f"plain-{count - 1}"  # what one process fewer has left, or none
if there.exists():
    shutil.copy(there, folder / f"copy-{count}-{rank}")
    seen["others"] = going_on(folder / f"copy-{count}-{rank}")
if count == 2:  # and back
    shutil.copy(folder / "plain-2", folder / "back")
if rank == "0":
    seen["files"] = sorted(path.name for path in folder.iterdir())
torch.save({"count": count, "random": torch.rand(1), **seen}, target + os.environ.get("RANK", ""))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(folder, shared, count: int) -> list[dict]:
    """What each of `count` processes saw; shared: where their checkpoints lie."""
    script, target = folder / "training.py", folder / f"{count}-"
    script.write_text(TRAINING)
    base = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    for name in ("WORLD_SIZE", "RANK"):
        base.pop(name, None)
    forking, several = plain_program.server(), []
    for rank in range(count):
        own = {"WORLD_SIZE": str(count), "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(count)}
        program = [str(script), ",".join(METHODS), str(target), str(shared)]
        streams = [folder / f"{stream}{rank}" for stream in ("out", "err")]
        environment = base | (own if count > 1 else {})
        several.append((plain_program.start(forking, program, folder, environment, *streams), streams[1]))
    for ended, told in several:
        assert ended(600) == 0, told.read_text()
    return [torch.load(f"{target}{rank if count > 1 else ''}") for rank in range(count)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    shared = tmp_path_factory.mktemp("checkpoints")
    return {count: run(tmp_path_factory.mktemp("gather"), shared, count) for count in (1, 2, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_losses_and_gradients_equal_those_of_one_process(method, count, runs):
    (one,) = runs[1]
    assert [process["count"] for process in runs[count]] == [count] * count  # else nothing is shown here
    for process in runs[count]:
        assert process[method]["loss"] == pytest.approx(one[method]["loss"], rel=1e-5)
        for ours, theirs in zip(process[method]["gradients"], one[method]["gradients"], strict=True):
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        for buffer in ("center", "keys"):
            torch.testing.assert_close(process[method][buffer], one[method][buffer], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_random_numbers_differ_by_process(runs):
    assert len({process["random"].item() for process in runs[3]}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_processes_as_wrote_a_checkpoint_go_on_bit_for_bit(count, runs):
    assert [process["count"] for process in runs[count]] == [count] * count
    for process in runs[count]:
        (weight, random, _), (again, random_again, said) = process["noisy"], process["noisy again"]
        assert torch.equal(weight, again)
        assert "random numbers" not in said
        assert torch.equal(random, random_again), "each has its own random numbers back"


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_another_number_of_processes_goes_on_and_says_so(count, runs):
    assert [process["count"] for process in runs[count]] == [count] * count
    ((expected, _, _),) = (process["whole"] for process in runs[1])
    for process in runs[count]:
        torch.testing.assert_close(process["others"][0], expected, rtol=1e-5, atol=1e-6)
    first, *rest = (process["others"] for process in runs[count])
    wrote = "1 process wrote it" if count == 2 else "2 processes wrote it"
    assert f"{wrote}, {count} go on with other random numbers" in first[2]
    assert not any(said for _, _, said in rest)  # one alone speaks
    assert len({random.item() for _, random, _ in (first, *rest)}) == count


def test_on_one_process_it_is_the_identity():
    z = torch.randn(3, 2, requires_grad=True)
    assert train.gather(z) is z


UNLIKE = """
import sys, torch
from sslcourse import train

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
unlike = {"width": torch.zeros(2, 3 + rank), "shape": torch.zeros(2, 3 - rank, 2 + rank), "type": torch.zeros(2, 3)}
unlike["type"] = unlike["type"].to(torch.float64 if rank else torch.float32)
for name, z in unlike.items():
    try:
        train.gather(z)
    except ValueError as error:
        print(name, error)
print(len(train.gather(torch.zeros(2 + rank, 3))))  # and go on
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_rows_that_are_not_alike_are_refused_by_every_process(tmp_path):
    script, port, several = tmp_path / "unlike.py", str(free_port()), []
    script.write_text(UNLIKE)
    for rank in ("0", "1"):
        own = {"WORLD_SIZE": "2", "RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        streams = [tmp_path / f"{stream}{rank}" for stream in ("out", "err")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **own}
        ended = plain_program.start(plain_program.server(), [str(script)], tmp_path, environment, *streams)
        several.append((ended, *streams))
    for ended, out, told in several:
        assert ended(100) == 0, told.read_text()
        assert out.read_text().splitlines() == [
            "width Processes gather rows of (3,) of float32 and (4,) of float32; they must be alike.",
            "shape Processes gather rows of (3, 2) of float32 and (2, 3) of float32; they must be alike.",
            "type Processes gather rows of (3,) of float32 and (3,) of float64; they must be alike.",
            "5",
        ]

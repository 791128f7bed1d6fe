"""Schedules, the moving average, the supervised loop, the progress line, several processes."""

import copy
import io
import math
import os
import socket
import sys

import plain_program
import pytest
import torch
from torch import nn

from sslcourse.train import History, NotFinite, cosine_schedule, fit, fit_classifier, update_ema
from sslcourse.train.precision import networks_in_bf16
from sslcourse.train.progress import bar
from sslcourse.train.schedule import learning_rate_share

# Schedules


def test_cosine_schedule_is_its_definition():
    start, end, steps, warmup = 0.3, 0.05, 40, 7
    slow = [
        start * i / warmup
        if i < warmup
        else end + (start - end) * (1 + math.cos(math.pi * (i - warmup) / (steps - warmup - 1))) / 2
        for i in range(steps)
    ]
    got = cosine_schedule(start, end, steps, warmup)
    torch.testing.assert_close(got, torch.tensor(slow, dtype=torch.float64), rtol=0, atol=1e-15)
    assert got[warmup] == start and got[-1] == end


def test_cosine_schedule_may_rise_and_may_be_short():
    momenta = cosine_schedule(0.996, 1.0, 100)
    assert momenta[0] == 0.996 and momenta[-1] == 1.0 and (momenta.diff() > 0).all()
    assert cosine_schedule(1.0, 0.2, 1).tolist() == [0.2]
    assert cosine_schedule(1.0, 0.2, 2).tolist() == [1.0, 0.2]
    assert cosine_schedule(1.0, 0.2, 3, warmup=3).tolist() == pytest.approx([0, 1 / 3, 2 / 3])


@pytest.mark.parametrize(("steps", "warmup"), [(0, 0), (5, 6), (5, -1)])
def test_cosine_schedule_says_what_it_needs(steps, warmup):
    with pytest.raises(ValueError, match="step"):
        cosine_schedule(1.0, 0.0, steps, warmup)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 1), (10, 0), (10, 3), (10, 10), (1000, 100)])
def test_learning_rate_is_never_zero_and_peaks_after_the_warmup(steps, warmup):
    shares = [learning_rate_share(step, steps, warmup) for step in range(steps)]
    assert min(shares) > 0 and max(shares) <= 1
    if warmup < steps:
        assert shares[warmup] == 1
        assert shares == sorted(shares[:warmup]) + sorted(shares[warmup:], reverse=True)


# The moving average


def test_update_ema_averages_parameters_and_copies_buffers():
    student = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    teacher = copy.deepcopy(student).requires_grad_(False)
    for tensor in [*student.parameters(), *student.buffers()]:
        tensor.data.add_(torch.randint(1, 5, tensor.shape).to(tensor.dtype))
    before = {name: p.clone() for name, p in teacher.named_parameters()}
    weights = teacher[0].weight

    update_ema(student, teacher, momentum=0.9)
    assert teacher[0].weight is weights  # in place
    new = dict(student.named_parameters())
    for name, p in teacher.named_parameters():
        torch.testing.assert_close(p, 0.9 * before[name] + 0.1 * new[name].detach(), rtol=1e-6, atol=1e-7)
        assert p.grad is None and not p.requires_grad
    for ours, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
        assert torch.equal(ours, theirs) and ours is not theirs


def test_update_ema_at_its_ends():
    student, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
    kept = teacher.weight.detach().clone()
    update_ema(student, teacher, 1.0)
    assert torch.equal(teacher.weight, kept)
    update_ema(student, teacher, 0.0)
    assert torch.equal(teacher.weight, student.weight)


@pytest.mark.parametrize(
    ("teacher", "momentum", "sentence"),
    [
        (nn.Linear(3, 3), 0.9, "'weight' has shape"),
        (nn.Linear(3, 2, bias=False), 0.9, "only one of them has the parameter 'bias'"),
        (nn.Linear(3, 2), 1.1, r"momentum must lie in \[0, 1\]"),
        (nn.Linear(3, 2), float("nan"), r"momentum must lie in \[0, 1\]"),
    ],
)
def test_update_ema_says_what_does_not_fit(teacher, momentum, sentence):
    kept = copy.deepcopy(teacher.state_dict())
    with pytest.raises(ValueError, match=sentence):
        update_ema(nn.Linear(3, 2), teacher, momentum)
    assert all(torch.equal(kept[name], value) for name, value in teacher.state_dict().items())


# The supervised loop


def toy_images(n=90):
    """Three classes that differ in their brightest channel."""
    labels = torch.arange(n) % 3
    images = torch.randint(0, 100, (n, 3, 8, 8), dtype=torch.uint8)
    images[torch.arange(n), labels] += 100
    return images, labels


def test_fit_classifier_learns_and_logs_accuracy():
    images, labels = toy_images()
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    history = fit_classifier(model, images, labels, epochs=15, batch_size=30, lr=0.01, progress=False)
    assert history.loss[-1] < history.loss[0] / 2
    assert len(history.metrics["accuracy"]) == 15 and history.metrics["accuracy"][-1] == 1.0


def test_fit_classifier_augments_what_it_trains_on():
    images, labels = toy_images()
    seen = []

    def augment(batch):
        seen.append(batch.dtype)
        return torch.zeros(len(batch), 3, 8, 8)

    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    fit_classifier(model, images, labels, epochs=1, batch_size=30, augment=augment, progress=False)
    assert len(seen) == 3
    assert (model[1].weight.grad is None) and torch.isfinite(model[1].bias).all()


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda y: y.float(), TypeError, "whole numbers"),
        (lambda y: y - 1, ValueError, "smallest is -1"),
        (lambda y: y + 1, ValueError, "the largest label is 3"),
        (lambda y: y[:-1], ValueError, "90 and 89 rows"),
        (lambda y: y[:, None], TypeError, r"\(90, 1\)"),
    ],
)
def test_fit_classifier_says_what_is_wrong_with_labels(change, error, sentence):
    images, labels = toy_images()
    with pytest.raises(error, match=sentence):
        fit_classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), images, change(labels), epochs=1, progress=False)


# What is printed


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_drawn_for_a_person_only(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.delitem(sys.modules, "IPython")
    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stdout", stream)
        with bar(3, 0, "training", wanted=True) as line:
            line.update(3)
        assert ("training" in stream.getvalue()) == drawn


@pytest.mark.parametrize("answers", [True, False])
def test_a_notebook_draws_a_bar_when_its_front_end_can_answer(monkeypatch, answers):
    class Kernel:
        _allow_stdin = answers

    class Shell:
        kernel = Kernel()

    class IPython:
        get_ipython = staticmethod(Shell)

    stream = io.StringIO()
    monkeypatch.setitem(sys.modules, "IPython", IPython)
    monkeypatch.setattr(sys, "stdout", stream)
    bar(3, 0, "training", wanted=True).close()
    assert ("training" in stream.getvalue()) == answers


def test_one_plain_line_and_nothing_on_stderr(capsys):
    weight = nn.Linear(2, 1)
    fit(lambda x: weight(x).square().mean(), weight, torch.randn(8, 2), epochs=3, batch_size=4, label="toy")
    out, err = capsys.readouterr()
    assert err == "" and out.isascii()
    assert out.startswith("toy: loss ") and "3 epochs, 6 steps" in out and out.count("\n") == 1 and "\r" not in out


def test_summary_of_histories():
    assert History([2.0, 1.5, 1.25], {}, 30, 4.04).summary() == "loss 2 -> 1.25, 3 epochs, 30 steps, 4.0 s"
    assert History([2.0], {}, 1, 0.1).summary() == "loss 2, 1 epoch, 1 step, 0.1 s"
    stopped = History([], {}, 0, 0.0, "interrupted").summary()
    assert stopped == "0 epochs, 0 steps, 0.0 s; stopped early: interrupted"


def test_not_finite_is_an_arithmetic_error():
    assert issubclass(NotFinite, ArithmeticError)


# Precision: the CPU can play the GPU, since autocast knows it too


class Holder(nn.Module):
    """A loss with state and no parameters."""

    def __init__(self):
        super().__init__()
        self.register_buffer("centre", torch.zeros(3))

    def forward(self, z):
        return (z @ torch.eye(3) - self.centre).square().mean()


def test_networks_compute_in_bf16_and_return_float32():
    network, loss = nn.Sequential(nn.Linear(5, 3)), Holder()
    inside = []
    network[0].register_forward_hook(lambda module, args, output: inside.append(output.dtype))
    x = torch.randn(7, 5)
    plain = network(x)
    with networks_in_bf16([network, loss], torch.device("cpu"), wanted=True):
        z = network(x)
        value = loss(z)
    assert z.dtype == torch.float32 and inside[-1] == torch.bfloat16
    assert 0 < (z - plain).abs().max() < 0.05  # rounded to 8 bits
    assert value == loss(z)  # the loss itself was not rounded
    assert torch.equal(network(x), plain)  # and all is as before


# Several processes: two of them on one machine must end where one does

TWO = """
import os, sys, torch
from torch import nn
from sslcourse.train import fit
torch.manual_seed(int(os.environ.get("RANK", 0)))     # each starts elsewhere: process 0's weights must count
body, head = nn.Linear(4, 8), nn.Linear(8, 1)
x = torch.randn(32, 4, generator=torch.Generator().manual_seed(7))
y = x.sum(1, keepdim=True)
order = torch.Generator().manual_seed(3)
seen = []
def loss_fn(a, b):
    seen.append(len(a))
    return (head(torch.tanh(body(a))) - b).square().mean()
history = fit(loss_fn, [body, head], (x, y), epochs=3, batch_size=8, lr=0.01, clip=1.0, generator=order,
              checkpoint=sys.argv[1] + ".ckpt")
torch.save([history.loss, [p.detach() for m in (body, head) for p in m.parameters()], seen],
           sys.argv[1] + os.environ.get("RANK", ""))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path, monkeypatch):
    script = tmp_path / "two.py"
    script.write_text(TWO)
    base = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    forking, several = plain_program.server(), []
    for rank in range(2):
        own = {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
        streams = [tmp_path / f"{stream}{rank}" for stream in ("out", "err")]
        program = [str(script), str(tmp_path / "two")]
        several.append((plain_program.start(forking, program, tmp_path, base | own, *streams), streams))
    for ended, (_, told) in several:
        assert ended(300) == 0, told.read_text()
    # One of them speaks: of the list that the loss keeps to itself, and of the end.
    assert [out.read_text().count("training:") for _, (out, _) in several] == [2, 0]

    losses, weights, seen = torch.load(tmp_path / "two0")
    other_losses, other_weights, other_seen = torch.load(tmp_path / "two1")
    assert losses == other_losses and seen == other_seen == [4] * 12  # half of every batch
    for a, b in zip(weights, other_weights, strict=True):
        assert torch.equal(a, b)

    # And so does one process on whole batches: means of halves, added up in another order.
    monkeypatch.setattr(sys, "argv", ["two.py", str(tmp_path / "one")])
    exec(TWO, {})
    one_losses, one_weights, one_seen = torch.load(tmp_path / "one")
    assert one_seen == [8] * 12 and losses == pytest.approx(one_losses, rel=1e-5)
    for a, b in zip(weights, one_weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)

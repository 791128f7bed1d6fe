"""A checkpoint that was written anew and signed anew: each value that no training writes is refused by its name."""

import hashlib
import io
import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from sslcourse.train import fit

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))


class Queue(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))  # infinite, as it should be
        self.register_buffer("keys", torch.zeros(3))
        self.next, self.seen, self.noise = 0, [], torch.Generator()
        self.best = math.inf


def made(file, cut=None, optimizer=None):
    """(network, queue, optimizer, generators, run) of a training with everything that a file can hold."""
    torch.manual_seed(0)
    network, queue, calls = nn.Linear(4, 3), Queue(), [0, cut]  # changed in place, so no setting
    optimizer = optimizer and optimizer(network.parameters())
    python, numpy = random.Random(3), np.random.RandomState(4)

    def loss(x):
        calls[0] += 1
        if calls[0] == calls[1]:
            raise KeyboardInterrupt
        queue.next += 1
        queue.seen = [calls[0]]
        queue.best = 1.0
        queue.keys += 1
        noise = torch.rand((), generator=queue.noise) + python.random() + numpy.rand()
        return network(x).square().mean() * noise + queue.keys.sum() * 0

    def run():
        rest = {"epochs": 3, "batch_size": 8, "progress": False, "generator": torch.Generator().manual_seed(2)}
        return fit(loss, [network, queue], X, checkpoint=file, optimizer=optimizer, **rest)

    def state():
        tensors = [*network.parameters(), queue.keys, torch.get_rng_state(), queue.noise.get_state()]
        group = optimizer and {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
        return [one.clone() for one in tensors], [queue.next, queue.seen, python.getstate(), numpy.rand.__self__], group

    return run, state, calls


def signed(file, change):
    """The file as `change` makes it, with a hash that is right."""
    content = file.read_bytes()
    saved = torch.load(io.BytesIO(content[: content.rindex(b"\nsslcourse training 2")]), weights_only=True)
    change(saved)
    memory = io.BytesIO()
    torch.save(saved, memory)
    line = f"\nsslcourse training 2 sha256 {hashlib.sha256(memory.getbuffer()).hexdigest()}\n"
    file.write_bytes(memory.getvalue() + line.encode())


def put(*path, value):
    """A change of one value: put("history", "steps", value=3)."""

    def change(saved):
        for key in path[:-1]:
            saved = saved[key]
        saved[path[-1]] = value(saved[path[-1]]) if callable(value) else value  # there or not

    return change


def gone(*path):
    def change(saved):
        for key in path[:-1]:
            saved = saved[key]
        del saved[path[-1]]

    return change


STATE = ("optimizer", "state", 0)
GROUP = ("optimizer", "param_groups", 0)
FORGED = {  # change: what is said
    "no loss": (put("history", "loss", value=[]), "it has losses of 0 epochs of 3"),
    "no step": (put("history", "steps", value=0), "its history has 0 of 15 steps"),
    "steps of another": (put("history", "steps", value=10**9), "has 1000000000 of 15 steps"),
    "steps that are no epochs": (put("history", "steps", value=9), "its 2 epochs have 10 steps and not 9"),
    "an epoch too many": (put("history", "loss", value=[1.0] * 3), "its 3 epochs have 15 steps and not 10"),
    "epochs beyond the end": (put("history", "loss", value=[1.0] * 9), "losses of 9 epochs of 3"),
    "negative steps": (put("history", "steps", value=-5), "its history has -5 of 15 steps"),
    "half a step": (put("history", "steps", value=9.5), "its history has 9.5 of 15"),
    "steps that are true": (put("history", "steps", value=True), "its history has True of 15"),
    "a loss of NaN": (put("history", "loss", 0, value=math.nan), "its losses are no finite numbers"),
    "a loss in words": (put("history", "loss", 0, value="low"), "its losses are no finite numbers"),
    "negative time": (put("history", "seconds", value=-1.0), "it took -1.0 seconds"),
    "endless time": (put("history", "seconds", value=math.inf), "it took inf seconds"),
    "another part": (put("history", "stopped", value="never"), "its history has other parts"),
    "a metric too long": (
        put("history", "metrics", value={"a": [1.0] * 3}),
        "'a' was not logged as numbers of 2 epochs",
    ),
    "a metric in words": (put("history", "metrics", value={"a": ["b"]}), "'a' was not logged as numbers"),
    "weights of NaN": (
        put("modules", 0, "weight", value=lambda w: w * math.nan),
        "weight of module 0 holds NaN or infinite numbers",
    ),
    "one infinite weight": (put("modules", 0, "bias", value=lambda b: b / 0), "bias of module 0 holds NaN or infinite"),
    "a buffer of NaN": (put("modules", 1, "keys", value=lambda k: k * math.nan), "keys of module 1 holds NaN"),
    "a mask of NaN": (put("modules", 1, "mask", value=lambda m: m * math.nan), "mask of module 1 holds NaN"),
    "a method": (put("attributes", 1, "forward", value=3), "forward is no plain attribute"),
    "a class": (put("attributes", 1, "__class__", value=3), "__class__ is no plain attribute"),
    "torch's own": (put("attributes", 1, "_forward_hooks", value={}), "_forward_hooks is no plain attribute"),
    "a buffer as attribute": (put("attributes", 1, "keys", value=torch.ones(3)), "keys is no plain attribute"),
    "a counter in words": (
        put("attributes", 1, "next", value="three"),
        "attribute next is a text, but numbers in this",
    ),
    "a generator of an attribute": (
        put("attributes", 1, "noise", value=torch.ones(3).byte()),
        "the random numbers of noise are in no state",
    ),
    "attributes of too many": (put("attributes", value=lambda a: a + [{}, {}]), "its attributes are of other modules"),
    "other parameters": (put(*GROUP, "params", value=[0]), "its optimizer has other parameters"),
    "other groups": (put("optimizer", "param_groups", value=[]), "its optimizer has other groups"),
    "no setting": (gone(*GROUP, "lr"), "its optimizer has no lr"),
    "a setting of NaN": (put(*GROUP, "weight_decay", value=math.nan), "weight_decay of its optimizer is nan"),
    "a setting in words": (put(*GROUP, "eps", value="small"), "eps of its optimizer is 'small'"),
    "settings that none takes": (put(*GROUP, "betas", value=(2.0, 3.0)), "no optimizer has its settings"),
    "state of nobody": (put("optimizer", "state", 7, value={}), "state of other parameters"),
    "a moment too short": (put(*STATE, "exp_avg", value=torch.ones(2)), "other parts or shapes for parameter 0"),
    "a moment too few": (gone(*STATE, "exp_avg_sq"), "other parts or shapes for parameter 0"),
    "a moment of NaN": (put(*STATE, "exp_avg", value=lambda m: m * math.nan), "exp_avg of its optimizer holds NaN"),
    "an infinite moment": (put(*STATE, "exp_avg", value=lambda m: m / 0 + math.inf), "exp_avg of its optimizer holds"),
    "steps of an optimizer": (put(*STATE, "step", value=torch.tensor(99.0)), "counts 99 steps, and its history 10"),
    "negative ones": (put(*STATE, "step", value=torch.tensor(-1.0)), "counts -1 steps"),
    "half of one": (put(*STATE, "step", value=torch.tensor(1.5)), "counts 1.5 steps"),
    "the order of the data": (
        put("random", "order", value=torch.ones(9).byte()),
        "the order of the data are in no state",
    ),
    "random numbers": (put("random", "cpu", value=lambda s: s[:-1]), "the random numbers of torch are in no state"),
    "random numbers of floats": (put("random", "cpu", value=lambda s: s.float()), "numbers of torch are in no state"),
    "random numbers of a process": (put("random", "processes", value=[torch.ones(2)]), "its random numbers are none"),
    "another process": (put("random", "processes", value=[torch.ones(2).byte()]), "the random numbers of a process"),
    "of Python": (
        put("random", "drawn from", "loss.python", value=(3, (1, 2), None)),
        "numbers of loss.python are in no",
    ),
    "of NumPy": (put("random", "drawn from", "loss.numpy", value={"a": 1}), "numbers of loss.numpy are in no state"),
    "what is told": (put("told", value={"it began": 3}), "what it tells is no text"),
    "no random numbers": (gone("random"), ""),
    "no attributes": (gone("attributes"), ""),
    "no state": (gone("optimizer", "state"), ""),
    "nothing told": (put("told", value=3), ""),
}


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """The bytes of a file after two of three epochs."""
    file = tmp_path_factory.mktemp("half") / "run.pt"
    made(file, cut=13)[0]()
    return file.read_bytes()


@pytest.mark.parametrize("kind", FORGED)
def test_what_no_training_writes_is_refused_and_nothing_changes(kind, half, tmp_path):
    change, sentence = FORGED[kind]
    file = tmp_path / "run.pt"
    file.write_bytes(half)
    signed(file, change)
    content = file.read_bytes()
    run, state, calls = made(file)
    before = state()
    with pytest.raises(
        ValueError, match="is damaged or no checkpoint of a training.*; delete it or name another"
    ) as told:
        run()
    assert sentence in str(told.value) and "\n" not in str(told.value)
    assert not calls[0] and file.read_bytes() == content
    after = state()
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True)) and before[1:] == after[1:]


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, 0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, 0.1, amsgrad=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, 0.1, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, 0.1),
    "Adafactor": lambda p: torch.optim.Adafactor(p, 0.1),
    "NAdam": lambda p: torch.optim.NAdam(p, 0.1),
    "ASGD": lambda p: torch.optim.ASGD(p, 0.1),
    "Rprop": lambda p: torch.optim.Rprop(p, 0.1),
    "of this course": None,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_a_training_writes_is_taken(name, tmp_path):
    whole = made(tmp_path / "whole.pt", optimizer=OPTIMIZERS[name])
    expected = whole[0]()
    made(tmp_path / "run.pt", 13, OPTIMIZERS[name])[0]()
    run, state, calls = made(tmp_path / "run.pt", optimizer=OPTIMIZERS[name])
    assert run().loss == expected.loss and calls[0] == 5
    assert all(torch.equal(a, b) for a, b in zip(whole[1]()[0], state()[0], strict=True))


def test_state_of_the_right_names_and_another_optimizer_is_refused(tmp_path):
    made(tmp_path / "run.pt", 13, OPTIMIZERS["momentum"])[0]()
    signed(tmp_path / "run.pt", put(*STATE, value={}))
    with pytest.raises(ValueError, match="other parts or shapes for parameter 0"):
        made(tmp_path / "run.pt", optimizer=OPTIMIZERS["momentum"])[0]()

"""Settings of rarer kinds, code that a library calls, hooks, modules that a function imports: all of it counts."""

import array
import cmath
import collections
import datetime
import math
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from sslcourse import augment, train
from sslcourse.train import fingerprint


class Flipped(augment.RandomFlip):
    """Of the student: what it is made with is read by the library's code alone."""


KINDS = {  # of a setting: (one value, another)
    "NumPy's bool": (np.bool_(True), np.bool_(False)),
    "NumPy's date": (np.datetime64("2020-01-01"), np.datetime64("2020-01-02")),
    "date": (datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)),
    "duration": (datetime.timedelta(1), datetime.timedelta(2)),
    "array of the standard library": (array.array("d", [1]), array.array("d", [2])),
    "view of bytes": (memoryview(b"ab"), memoryview(b"ac")),
    "NumPy's generator": (np.random.default_rng(0), np.random.default_rng(1)),
    "array of texts": (np.array(["a", "b"]), np.array(["a", "c"])),
    "array of objects": (np.array([1, "b"], dtype=object), np.array([2, "b"], dtype=object)),
    "array of records": (np.array([(1, 2.0)], "i4,f8"), np.array([(1, 3.0)], "i4,f8")),
    "sparse tensor": (torch.eye(3).to_sparse(), 2 * torch.eye(3).to_sparse()),
    "augmentation": (augment.RandomFlip(0.1), augment.RandomFlip(0.9)),
    "augmentation of the student": (Flipped(0.1), Flipped(0.9)),
    "builtin of another module": (math.sqrt, cmath.sqrt),
    "set of functions": ({lambda x: x}, {lambda x: x + 1}),
    "long list of functions": ([lambda x: x] * 101, [lambda x: x + 1] * 101),
    "default of a dict": (collections.defaultdict(lambda: 1), collections.defaultdict(lambda: 2)),
}


def of(value, *modules):
    return fingerprint.of_code({"loss": lambda x: (x, value)}, list(modules))


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_of_this_kind_is_seen(kind):
    one, other = KINDS[kind]
    assert of(one) != of(other) and of(one) == of(one)


def test_what_lies_at_an_address_is_the_same_in_another_process():
    class Slotted:
        __slots__ = ()

    for make in (lambda: iter([1]), Slotted, object, lambda: memoryview(b"ab"), lambda: np.random.default_rng(3)):
        assert of(make()) == of(make())


def test_methods_that_a_library_calls_are_seen():
    source = "class D(torch.autograd.Function):\n    def backward(ctx, g):\n        return g * {}\nloss = D.apply"
    spaces = [{"torch": torch, "__name__": "__main__"} for _ in range(2)]
    for space, factor in zip(spaces, (2, 3), strict=True):
        exec(source.format(factor), space)
    one, other = (fingerprint.of_code({"loss": space["loss"]}, []) for space in spaces)
    assert one != other


def test_hooks_of_parameters_are_seen():
    plain, hooked, other = (nn.Linear(2, 2) for _ in range(3))
    hooked.weight.register_hook(lambda gradient: gradient * 2)
    other.weight.register_hook(lambda gradient: gradient * 3)
    assert len({repr(of(1, network)) for network in (plain, hooked, other)}) == 3


def test_a_module_that_the_loss_imports_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_settings.py").write_text("tau = 0.1")
    space = {"__name__": "__main__"}
    exec("def loss(x):\n    import json, nowhere\n    from my_settings import tau\n    return x / tau", space)
    first = fingerprint.of_code({"loss": space["loss"]}, [])
    again = fingerprint.of_code({"loss": space["loss"]}, [])  # now it has been imported
    sys.modules["my_settings"].tau = 0.2
    changed = fingerprint.of_code({"loss": space["loss"]}, [])
    monkeypatch.delitem(sys.modules, "my_settings")
    assert first == again != changed


STEPS = """
class Mine(torch.optim.Optimizer):
    def __init__(self, parameters, lr):
        super().__init__(parameters, {{"lr": lr}})

    def step(self, closure=None):
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p -= {factor} * group["lr"] * p.grad
"""


def run(path, factor=1, before=None):
    space = {"__name__": "__main__", "torch": torch}
    exec(STEPS.format(factor=factor), space)
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    optimizer = space["Mine"](net.parameters(), lr=0.1)
    if before:
        optimizer.register_step_pre_hook(before)
    loss = lambda x: net(x).square().mean()  # noqa: E731
    train.fit(loss, net, torch.ones(8, 3), epochs=2, optimizer=optimizer, checkpoint=path, progress=False)
    return net.weight.detach().clone()


def test_an_optimizer_of_the_students_is_compared_by_its_code(tmp_path, capsys):
    first = run(tmp_path / "a.pt")
    assert torch.equal(run(tmp_path / "a.pt"), first) and "nothing was trained" in capsys.readouterr().out
    with pytest.raises(ValueError, match="with other settings .*optimizer"):
        run(tmp_path / "a.pt", factor=2)
    with pytest.raises(ValueError, match="with other settings .*optimizer"):
        run(tmp_path / "a.pt", before=types.FunctionType((lambda *a: None).__code__, {"__name__": "__main__"}))

"""Trainings in forks, for test_moving.py: `python fresh.py FOLDER` prints {case: [results]} as JSON.

Every case is the source of a cell that makes `loss`, and mostly something beside it, with a number V in it: 1, or 2
where it was changed. A fork has nothing that an earlier training left in this process.
"""

import contextlib
import csv
import io
import itertools
import json
import os
import random
import sys
import threading
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from sslcourse.train import fit

OWN = """
class Own(torch.optim.SGD):
    def __init__(self, parameters, lr, factor=1, hidden=1):
        super().__init__(parameters, lr=lr, momentum=0.9)
        self.factor, self._hidden, self.steps = factor, hidden, 0

    def step(self, closure=None):
        self.steps += 1
        for parameter in self.param_groups[0]["params"]:
            parameter.grad *= self.factor * self._hidden / self.steps
        super().step()
"""
INSIDE = """
class Own(torch.optim.Optimizer):
    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})
        self.base = torch.optim.SGD(self.param_groups, lr=lr, momentum=0.9)
        self.param_groups = self.base.param_groups

    def step(self, closure=None):
        self.base.step()
"""
TIMES = "\ndef loss(x): return net(x).square().mean() * {}\n"
CASES = {
    "attribute of an optimizer": OWN + "optimizer = Own(net.parameters(), 0.1, factor=V)" + TIMES.format(1),
    "private attribute of it": OWN + "optimizer = Own(net.parameters(), 0.1, hidden=V)" + TIMES.format(1),
    "optimizer inside another": INSIDE + "optimizer = Own(net.parameters(), 0.1)" + TIMES.format("V"),
    "attribute given to torch's": "optimizer = torch.optim.SGD(net.parameters(), 0.1)\noptimizer.factor = V"
    + TIMES.format("optimizer.factor"),
    "step given to torch's": "optimizer = torch.optim.SGD(net.parameters(), 0.1)\nstep = optimizer.step\n"
    "optimizer.step = lambda: [step() for _ in range(V)]" + TIMES.format(1),
    "tensor with a graph": "w = torch.ones(2, requires_grad=True) * V\nloss = lambda x: (net(x) * w.detach()).mean()",
    "tensor of the network": "w = 2 * net(V * torch.ones(1, 3))\nloss = lambda x: (net(x) - w.data).square().mean()",
    "weight norm": "torch.nn.utils.weight_norm(net)\nloss = lambda x: net(x).mean() + V * net.weight.square().sum()",
    "random.Random": "r = random.Random(V)" + TIMES.format("r.random()"),
    "random.Random, moved on": "r = random.Random(1)\nif V > 1: r.random()" + TIMES.format("r.random()"),
    "its method": "r = random.Random(V).random" + TIMES.format("r()"),
    "RandomState": "r = np.random.RandomState(V)" + TIMES.format("r.rand()"),
    "NumPy's Generator": "r = np.random.default_rng(V)" + TIMES.format("r.random()"),
    "torch.Generator": "r = torch.Generator().manual_seed(V)" + TIMES.format("torch.rand((), generator=r)"),
    "NumPy's, moved on": "r = np.random.default_rng(1)\nr.random(V)" + TIMES.format("r.random()"),
    "torch's, moved on": "r = torch.Generator()\ntorch.rand(V, generator=r)"
    + TIMES.format("torch.rand((), generator=r)"),
    "order, moved on": "generator = torch.Generator()\ntorch.rand(V, generator=generator)" + TIMES.format("1"),
    "Python's own": "random.seed(V)" + TIMES.format("random.random()"),
    "NumPy's own, imported inside": "np.random.seed(V)\ndef loss(x):\n    from numpy import random as r\n"
    "    return net(x).square().mean() * r.rand()",
    "iterator": "r = itertools.cycle([1.0, V])" + TIMES.format("next(r)"),
    "generator": "def items():\n    while True: yield V\nr = items()" + TIMES.format("next(r)"),
    "generator's code": "exec(f'def items():\\n    while True: yield {V}')\nr = items()" + TIMES.format("next(r)"),
    "generator's variable": "def items(v):\n    while True: yield v\nr = items(V)" + TIMES.format("next(r)"),
    "lines of a file": "r = csv.reader(['1', str(V)] * 99)" + TIMES.format("float(next(r)[0])"),
    "counter": "n = V\ndef loss(x):\n    global n\n    n += 1\n    return net(x).square().mean() * n",
    "nothing": TIMES.format("1"),
}


def train(source: str, v: int, file: Path | None, cut: bool = False, times: int = 1) -> list:
    """[losses and bias, what was said] or ["refused", sentence]."""
    os.environ |= {"CUT": "1"} if cut else {}
    torch.manual_seed(0)
    random.seed()  # as a new process has it
    np.random.seed()
    space = {"torch": torch, "nn": nn, "np": np, "random": random, "itertools": itertools, "csv": csv, "V": v}
    space |= {"net": nn.Linear(3, 2), "__name__": "__main__"}
    exec(source, space)
    net, optional = space["net"], {name: space.get(name) for name in ("optimizer", "generator")}

    def look(epoch):
        if epoch == 1 and "CUT" in os.environ:  # which no fingerprint sees
            raise KeyboardInterrupt
        return {}

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            for _ in range(times):
                x, settings = torch.ones(16, 3), {"epochs": 3, "batch_size": 4, "checkpoint": file, "progress": False}
                history = fit(space["loss"], net, x, on_epoch=look, **settings, **optional)
    except ValueError as error:
        return ["refused", str(error)]
    return [[history.loss, net.bias.tolist()], said.getvalue()]


def forked(*work) -> list:
    """What `train` gives in a process that ends with it."""
    here, there = os.pipe()
    if not (number := os.fork()):
        try:
            with os.fdopen(there, "w") as out:
                json.dump(train(*work), out)
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here) as came:
        result = json.load(came)
    os.waitpid(number, 0)
    return result


def main(folder: Path) -> dict:
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(1)
    results = {}
    for number, (case, source) in enumerate(CASES.items()):
        file = folder / f"{number}.pt"
        results[case] = {"whole": forked(source, 1, None), "cut": forked(source, 1, file, True)}
        for name, v, times in (("resumed", 1, 1), ("finished", 1, 1), ("again", 1, 2), ("changed", 2, 1)):
            results[case][name] = forked(source, v, file, False, times)
    return results


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))

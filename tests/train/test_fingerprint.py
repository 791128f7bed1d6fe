"""What counts as the same data and the same loss: changes that matter are seen, changes that do not are not."""

import functools
import os
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslcourse.train import fingerprint

NET = nn.Linear(3, 2)


def notebook(source: str, space: dict | None = None, **names) -> object:
    """What `loss` is after a notebook's cells with this source; `space` gets all names."""
    space = {} if space is None else space
    space |= {"__name__": "__main__", "torch": torch, "nn": nn, "F": F, "np": np, "net": NET, **names}
    exec(compile(textwrap.dedent(source), "<cell>", "exec"), space)
    return space["loss"]


def code(loss, watching=()):
    return fingerprint.of_code({"loss": loss}, [NET], watching)


PAIRS = {  # what differs: (one source, another)
    "a constant": ("loss = lambda x: net(x).sum() * 2", "loss = lambda x: net(x).sum() * 3"),
    "a type of constant": ("loss = lambda x: net(x).sum() * 2", "loss = lambda x: net(x).sum() * 2.0"),
    "a function": ("loss = lambda x: net(x).exp().sum()", "loss = lambda x: net(x).log().sum()"),
    "an order": ("loss = lambda x: net(x) - x", "loss = lambda x: x - net(x)"),
    "a set of constants": ("loss = lambda x: x in {1, 2}", "loss = lambda x: x in {1, 3}"),
    "a global": ("t = 0.1\nloss = lambda x: net(x) / t", "t = 0.2\nloss = lambda x: net(x) / t"),
    "a setting in a dict": (
        "c = {'t': 1}\nloss = lambda x: net(x) * c['t']",
        "c = {'t': 2}\nloss = lambda x: net(x) * c['t']",
    ),
    "a closure": (
        "def make(t):\n    return lambda x: net(x) / t\nloss = make(0.1)",
        "def make(t):\n    return lambda x: net(x) / t\nloss = make(0.2)",
    ),
    "a default": ("def loss(x, t=0.1):\n    return x / t", "def loss(x, t=0.2):\n    return x / t"),
    "a keyword default": ("def loss(x, *, t=0.1):\n    return x / t", "def loss(x, *, t=0.2):\n    return x / t"),
    "a helper": (
        "def g(x): return x + 1\ndef f(x): return g(x)\nloss = lambda x: f(x)",
        "def g(x): return x + 2\ndef f(x): return g(x)\nloss = lambda x: f(x)",
    ),
    "code inside code": (
        "def loss(x):\n    def f(y): return y + 1\n    return f(x)",
        "def loss(x):\n    def f(y): return y - 1\n    return f(x)",
    ),
    "a tensor": (
        "w = torch.ones(3)\nloss = lambda x: F.cross_entropy(net(x), x, weight=w)",
        "w = torch.zeros(3)\nloss = lambda x: F.cross_entropy(net(x), x, weight=w)",
    ),
    "an array": ("w = np.ones(3)\nloss = lambda x: x * w", "w = np.zeros(3)\nloss = lambda x: x * w"),
    "a partial": (
        "import functools\nloss = functools.partial(F.cross_entropy, label_smoothing=0.1)",
        "import functools\nloss = functools.partial(F.cross_entropy, label_smoothing=0.2)",
    ),
    "a library's function": ("loss = F.mse_loss", "loss = F.l1_loss"),
    "a torch criterion": ("loss = nn.SmoothL1Loss(beta=1.0)", "loss = nn.SmoothL1Loss(beta=2.0)"),
    "a decorated function": (
        "d = torch.enable_grad()\n@d\ndef loss(x): return net(x).sum()",
        "d = torch.enable_grad()\n@d\ndef loss(x): return net(x).mean()",
    ),
    "a method": (
        "class L:\n    def f(self, x): return x + 1\n    def __call__(self, x): return self.f(x)\nloss = L()",
        "class L:\n    def f(self, x): return x + 2\n    def __call__(self, x): return self.f(x)\nloss = L()",
    ),
    "an attribute": (
        "class L:\n    def __init__(self, t): self.t = t\n    def f(self, x): return x / self.t\nloss = L(0.1).f",
        "class L:\n    def __init__(self, t): self.t = t\n    def f(self, x): return x / self.t\nloss = L(0.2).f",
    ),
    "a class attribute": (
        "class L:\n    t = 0.1\n    def f(self, x): return x / self.t\nloss = L().f",
        "class L:\n    t = 0.2\n    def f(self, x): return x / self.t\nloss = L().f",
    ),
    "a base class": (
        "class B:\n    def f(self, x): return x\nclass L(B):\n    pass\nloss = L().f",
        "class B:\n    def f(self, x): return -x\nclass L(B):\n    pass\nloss = L().f",
    ),
    "a module's code": (
        "class L(nn.Module):\n    def forward(self, x): return net(x)\nloss = L()",
        "class L(nn.Module):\n    def forward(self, x): return -net(x)\nloss = L()",
    ),
    "a module's setting": (
        "class L(nn.Module):\n    def __init__(self, t):\n        super().__init__()\n        self.t = t\n"
        "    def forward(self, x): return net(x) / self.t\nloss = L(0.1)",
        "class L(nn.Module):\n    def __init__(self, t):\n        super().__init__()\n        self.t = t\n"
        "    def forward(self, x): return net(x) / self.t\nloss = L(0.2)",
    ),
    "a teacher's weights": (
        "torch.manual_seed(0)\nt = nn.Linear(3, 2)\nloss = lambda x: net(x) - t(x)",
        "torch.manual_seed(1)\nt = nn.Linear(3, 2)\nloss = lambda x: net(x) - t(x)",
    ),
    "an augmentation": (
        "from sslcourse.augment import simclr\na = simclr(jitter=0.5)\nloss = lambda x: net(a(x))",
        "from sslcourse.augment import simclr\na = simclr(jitter=1.0)\nloss = lambda x: net(a(x))",
    ),
}
VALUES = {  # a source with a gap: (source, one value, another)
    "slots": ("class C: __slots__ = ('t',)\nc = C()\nc.t = {}\nloss = lambda x: net(x) / c.t", 1, 2),
    "an enum": (
        "import enum\nclass M(enum.Enum):\n    A = 'mean'\n    B = 'sum'\nm = M.{}\n"
        "loss = lambda x: F.l1_loss(net(x), x, reduction=m.value)",
        "A",
        "B",
    ),
    "a deque": ("import collections\nd = collections.deque([{}])\nloss = lambda x: net(x) * d[0]", 1, 2),
    "a mapping proxy": ("import types\nd = types.MappingProxyType({{0: {}}})\nloss = lambda x: net(x) * d[0]", 1, 2),
    "a range": ("r = range({})\nloss = lambda x: net(x) * len(r)", 1, 2),
    "a path": ("import pathlib\np = pathlib.Path('{}')\nloss = lambda x: net(x) * np.load(p)", "a.npy", "b.npy"),
    "a NumPy function": ("f = np.{}\nloss = lambda x: net(x) * f(1.0)", "sin", "cos"),
    "a method of tensors": ("f = torch.Tensor.{}\nloss = lambda x: f(net(x))", "sin", "cos"),
    "a bound method of a container": ("f = {{0: {}}}.get\nloss = lambda x: net(x) * f(0)", 1, 2),
    "an item getter": ("import operator\nf = operator.itemgetter({})\nloss = lambda x: f(net(x))", 0, 1),
    "a generator's seed": ("g = torch.Generator().manual_seed({})\nloss = lambda x: torch.rand(2, generator=g)", 1, 2),
    "a setting with a setter": (
        "class L:\n    def __init__(self, t): self.t = t\n    def set_t(self, t): self.t = t\n"
        "    def __call__(self, x): return net(x) / self.t\nloss = L({})",
        1,
        2,
    ),
    "a global with the name of an attribute": (
        "grad = {}\ndef loss(x):\n    net.grad = None\n    return net(x) * grad",
        1,
        2,
    ),
    "an attribute put on a network": (
        "net = nn.Sequential(nn.Linear(3, 2))\nnet._t = [{}]\nloss = lambda x: net(x) / net._t[0]",
        1,
        2,
    ),
    "a hook": (
        "net = nn.Linear(3, 2)\nnet.register_forward_hook(lambda m, i, o: o * {})\nloss = lambda x: net(x).sum()",
        1,
        2,
    ),
    "a forward of one's own": (
        "net = nn.Linear(3, 2)\nnet.forward = lambda x: x * {}\nloss = lambda x: net(x).sum()",
        1,
        2,
    ),
    "weights beside a mask that is filled": (
        "w = torch.tensor([{}])\ndef loss(x):\n    s = net(x) @ net(x).T\n    s.fill_diagonal_(0)\n    s[0] = 1\n"
        "    return s * w",
        1,
        2,
    ),
    "weights beside a list that grows": (
        "w = [{}]\ndef loss(x):\n    out = []\n    for k in w: out.append(net(x) * k)\n    return sum(out)",
        1,
        2,
    ),
}


@pytest.mark.parametrize("what", VALUES)
def test_every_kind_of_setting_is_seen(what):
    def of(value):
        torch.manual_seed(0)
        names = {}
        loss = notebook(source.format(value), names)
        return fingerprint.of_code({"loss": loss}, [names["net"]])

    source, one, other = VALUES[what]
    assert of(one) == of(one)
    assert of(one) != of(other)


def test_a_module_inside_a_module_of_the_students_is_followed(monkeypatch):
    def loss(t):
        helpers, losses = types.ModuleType("helpers"), types.ModuleType("helpers.losses")
        for module in (helpers, losses):
            module.__file__ = f"/home/ada/{module.__name__}.py"
            monkeypatch.setitem(sys.modules, module.__name__, module)
        helpers.losses = losses
        exec(f"t = {t}\ndef f(x): return x / t", losses.__dict__)
        return notebook("loss = lambda x: helpers.losses.f(net(x))", helpers=helpers)

    assert code(loss(1)) == code(loss(1))
    assert code(loss(1)) != code(loss(2))


@pytest.mark.parametrize("what", PAIRS)
def test_what_matters_is_seen(what):
    one, other = PAIRS[what]
    assert code(notebook(one)) == code(notebook(one))
    assert code(notebook(one)) != code(notebook(other))


def test_a_student_loss_inside_a_loop_of_the_course_is_seen():
    """`fit_student` and `fit_classifier` wrap what the student gave."""

    def wrapped(loss, augment):
        def loss_fn(x):
            return loss(augment(x))

        loss_fn.__module__ = "sslcourse.train.student"
        return loss_fn

    a, b = notebook("loss = lambda x: x + 1"), notebook("loss = lambda x: x + 2")
    assert code(wrapped(a, torch.flip)) != code(wrapped(b, torch.flip))


SAME = {
    "place, comments, names of variables": (
        "def loss(x):\n    y = net(x)\n    return y.sum()",
        "\n\n# moved\ndef loss(image):\n    # the features\n    features = net(image)\n\n    return features.sum()",
    ),
    "what it does not use": ("t = 1\nloss = lambda x: net(x)", "t = 2\nloss = lambda x: net(x)"),
    "another method of its class": (
        "class L:\n    def f(self, x): return x\n    def plot(self): return 1\nloss = L().f",
        "class L:\n    def f(self, x): return x\n    def plot(self): return 2\nloss = L().f",
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_what_does_not_matter_is_not_seen(what):
    one, other = SAME[what]
    assert code(notebook(one)) == code(notebook(other))


STATE = {
    "a list": "seen = []\ndef loss(x):\n    seen.append(1)\n    return net(x)",
    "a nonlocal counter": (
        "def make():\n    n = 0\n    def loss(x):\n        nonlocal n\n        n += 1\n        return x\n"
        "    return loss\nloss = make()"
    ),
    "a global counter": "n = 0\ndef loss(x):\n    global n\n    n += 1\n    return x",
    "an item": "n = {'n': 0}\ndef loss(x):\n    n['n'] += 1\n    return x",
    "an attribute": (
        "class L:\n    def __init__(self): self.n = 0\n    def f(self, x):\n        self.n += 1\n        return x\n"
        "loss = L().f"
    ),
    "an item under another name": "n = {'n': 0}\ndef loss(x):\n    m = n\n    m['n'] += 1\n    return x",
    "a slice": "q = torch.zeros(9, 3)\ndef loss(x):\n    q[1:2] = x\n    return x",
    "a list in a dict": "n = {'n': []}\ndef loss(x):\n    n['n'].append(1)\n    return x",
    "a list of an object": (
        "class L:\n    def __init__(self): self.n = []\n    def f(self, x):\n        self.n.append(1)\n"
        "        return x\nloss = L().f"
    ),
    "a generator": "g = torch.Generator()\ndef loss(x): return x * torch.rand(3, generator=g)",
    "a running mean": "m = torch.zeros(3)\ndef loss(x):\n    m.mul_(0.9).add_(x)\n    return x",
}


@pytest.mark.parametrize("what", STATE)
def test_what_the_loss_changes_itself_is_its_state(what):
    loss = notebook(STATE[what])
    before = code(loss)
    loss(torch.ones(3))
    assert code(loss) == before


def test_what_another_function_changes_is_state_too():
    queue = torch.zeros(3)
    loss = notebook("loss = lambda x: x @ queue", queue=queue)
    after_step = notebook("def loss(step): queue.copy_(torch.ones(3))", queue=queue)
    before = code(loss, watching=(after_step,))
    after_step(0)
    assert code(loss, watching=(after_step,)) == before
    assert code(loss) != code(notebook("loss = lambda x: x @ queue", queue=torch.zeros(3)))


def test_weights_that_are_trained_do_not_count_and_structure_does():
    def of(*layers):
        return fingerprint.of_code({}, [nn.Sequential(*layers)])

    assert of(nn.Linear(3, 2), nn.ReLU()) == of(nn.Linear(3, 2), nn.ReLU())
    assert of(nn.Linear(3, 2), nn.ReLU()) != of(nn.Linear(3, 2), nn.GELU())
    assert of(nn.Linear(3, 2), nn.Dropout(0.1)) != of(nn.Linear(3, 2), nn.Dropout(0.2))


def test_every_process_says_the_same():
    source = (
        "from sslcourse.train import fingerprint; import torch\n"
        "s = {'a', 'b', 'c', 'd'}\n"
        "t = {frozenset(s): 1, (frozenset(s), 2): 3}\n"
        "def f(x): return x in {'k', 'l', 'm', 'n'} and x not in s and x in t\n"
        "print(fingerprint.of_code({'loss': lambda x: f(x)}, [torch.nn.Linear(2, 2)]))"
    )
    said = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, env=environment)
        said.add(done.stdout)
    assert len(said) == 1 and "code" in said.pop()


class Closed:
    """Raises whenever it is looked into."""

    def __getattribute__(self, name):
        raise RuntimeError("closed")


def test_endless_and_closed_objects_end():
    a, b = [], []
    a.append(b)
    b.append(a)
    assert code(notebook("loss = lambda x: (a, c)", a=a, c=Closed())) == code(
        notebook("loss = lambda x: (a, c)", a=a, c=Closed())
    )


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x.clone().index_fill_(0, torch.tensor([3]), 9),
        lambda x: x.double(),
        lambda x: x[:, :, None],
        lambda x: x.flip(0),
        lambda x: -x,
    ],
)
def test_data_count_by_content(other):
    x = torch.arange(40, dtype=torch.float32).reshape(20, 2)
    assert fingerprint.of_tensors((x,)) == fingerprint.of_tensors((x.t().contiguous().t(),))
    assert fingerprint.of_tensors((x,)) != fingerprint.of_tensors((other(x),))


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.complex64], ids=str
)
def test_every_type_of_data_has_a_fingerprint(dtype):
    (text,) = fingerprint.of_tensors((torch.ones(5, 2).to(dtype),))
    assert str(dtype).removeprefix("torch.") in text and "(5, 2)" in text


def test_a_decorator_with_wraps_shows_what_it_wraps():
    def logged(f):
        @functools.wraps(f)
        def inner(x):
            return f(x)

        return inner

    assert code(logged(notebook("loss = lambda x: x + 1"))) != code(logged(notebook("loss = lambda x: x + 2")))

"""Blank or attempted: what counts is what the student's own code does, along the whole hierarchy."""

import abc
import functools
import queue
import sys
from collections import OrderedDict
from typing import Generic

import pytest
import torch
from harness import cell
from torch import nn

from sslcourse.check import blank

PREAMBLE = "import abc, functools\nimport torch\nfrom torch import nn\nfrom sslcourse import models\n"
BASE = "class Base(nn.Module):\n    def __init__(self, n=1):\n        super().__init__()\n        self.n = n\n"
IDLE = "class Base(nn.Module):\n    def forward(self, x):\n        pass\n"
TIMED = """
def timed(f):
    @functools.wraps(f)
    def inner(*a):
        print(1)
        return f(*a)
    return inner
"""

ATTEMPTED = {
    "a subclass of what is right": BASE + "class X(Base):\n    pass",
    "a subclass with an attribute alone": BASE + "class X(Base):\n    width = 3",
    "two levels down": BASE + "class Y(Base):\n    pass\nclass X(Y):\n    ...",
    "a mixin": BASE + "class X(abc.ABC, Base):\n    pass",
    "generic": BASE + "import typing\nclass X(Base, typing.Generic[typing.TypeVar('T')]):\n    pass",
    "a function as a method": "def double(self, x):\n    return 2 * x\nclass X(nn.Module):\n    forward = double",
    "a lambda": "X = lambda x: 2 * x",
    "a static method": "class X:\n    @staticmethod\n    def score(x):\n        return 2 * x",
    "a class method": "class X:\n    @classmethod\n    def score(cls, x):\n        return 2 * x",
    "a property": "class X:\n    @property\n    def score(self):\n        return 2",
    "a cached property": "class X:\n    @functools.cached_property\n    def score(self):\n        return 2",
    "a partial method": "def f(self, k, x):\n    return k * x\nclass X:\n    score = functools.partialmethod(f, 2)",
    "a built-in as a method": "class X(nn.Module):\n    forward = torch.relu",
    "partial": "def double(k, x):\n    return k * x\nX = functools.partial(double, 2)",
    "partial of what is not Python": "X = functools.partial(torch.mul, 2)",
    "wrapped": TIMED + "@timed\ndef X(x):\n    return 2 * x",
    "another under the name of a blank": "def old(x):\n    pass\n@functools.wraps(old)\ndef X(x):\n    return 2 * x",
    "without gradients": "@torch.no_grad()\ndef X(x):\n    return 2 * x",
    "cached": "@functools.cache\ndef X(x):\n    return 2 * x",
    "a callable object": "class Double:\n    def __call__(self, x):\n        return 2 * x\nX = Double()",
    "a module of torch": "X = nn.Linear(2, 3)",
    "a class of torch": "X = nn.Linear",
    "a bound method": "class Double:\n    def score(self, x):\n        return 2 * x\nX = Double().score",
}
BLANK = {
    "pass": "def X(x):\n    pass",
    "a class": "class X(nn.Module):\n    pass",
    "an attribute": "class X(nn.Module):\n    width = 3",
    "a module as an attribute": "class X(nn.Module):\n    act = nn.GELU()\n    def forward(self, x):\n        ...",
    "a class inside": "class X(nn.Module):\n    class Settings:\n        width = 3",
    "a blank base": IDLE + "class X(Base):\n    width = 3",
    "blank bases": "class A:\n    def fit(self): ...\nclass B:\n    def score(self): return\nclass X(A, B):\n    pass",
    "a base of the library": "class X(models.ViT):\n    pass",
    "a base of the standard library": "class X(abc.ABC, dict):\n    pass",
    "the reference": "import sslcourse\nclass X(sslcourse.solution('week05', 'Queue')):\n    pass",
    "a blank function as a method": "def empty(self, x):\n    ...\nclass X(nn.Module):\n    forward = empty",
    "partial": "def empty(k, x):\n    pass\nX = functools.partial(empty, 2)",
    "partial of partial": "def empty(k, x):\n    pass\nX = functools.partial(functools.partial(empty, 2), 3)",
    "wrapped": TIMED + "@timed\ndef X(x):\n    pass",
    "wrapped twice": TIMED + "@timed\n@timed\ndef X(x):\n    pass",
    "a wrapped method": TIMED + "class X:\n    @timed\n    def fit(self):\n        pass",
    "without gradients": "@torch.no_grad()\ndef X(x):\n    '''Twice.'''",
    "cached": "@functools.cache\ndef X(x):\n    return None",
    "a callable object": "class Empty:\n    def __call__(self, x):\n        pass\nX = Empty()",
    "a static method": "class X:\n    @staticmethod\n    def score(x):\n        pass",
    "a property": "class X:\n    @property\n    def score(self):\n        ...",
    "annotations": "class X:\n    width: int\n    def score(self, x: int) -> int:\n        ...",
}


@pytest.mark.parametrize("source", ATTEMPTED.values(), ids=ATTEMPTED)
def test_attempted(source):
    assert not blank.is_blank(cell(PREAMBLE + source, "X"))


@pytest.mark.parametrize("source", BLANK.values(), ids=BLANK)
def test_blank(source):
    assert blank.is_blank(cell(PREAMBLE + source, "X"))


@pytest.mark.parametrize("name", ["my_queue", "colorsys", "torch_helpers"])
def test_a_class_from_a_file_of_ones_own(name, tmp_path, monkeypatch):
    """Also where the file is called like a part of the standard library or nearly like torch."""
    (tmp_path / f"{name}.py").write_text("class Queue:\n    def enqueue(self, keys):\n        self.keys = keys\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = __import__(name)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, name, module)
    assert not blank.is_blank(module.Queue)
    assert not blank.is_blank(type("Queue", (module.Queue,), {}))


@pytest.mark.parametrize("name", [None, "__main__", "student"])
def test_a_class_of_code_that_was_executed(name):
    namespace = {} if name is None else {"__name__": name}
    exec("class Base:\n    def fit(self): self.x = 1\nclass X(Base): pass", namespace)
    assert not blank.is_blank(namespace["X"]) and len(blank.codes(namespace["X"])) == 1


@pytest.mark.parametrize("given", [object, dict, abc.ABC, queue.Queue, Exception, nn.Module, Generic, OrderedDict])
def test_what_comes_with_python_and_torch_is_given(given):
    assert blank.is_given(given)


def twice(x):
    return 2 * x


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_scripted_and_traced_functions_are_attempted():
    assert not blank.is_blank(torch.jit.script(twice))
    assert not blank.is_blank(torch.jit.trace(lambda x: 2 * x, torch.ones(2), check_trace=False))


def test_codes_are_the_students_own():
    def forward(self, x):
        return x

    base = type("Base", (nn.Linear,), {"forward": forward})
    assert blank.codes(type("X", (base,), {})) == [forward.__code__]
    assert blank.codes(functools.partial(base)) == [forward.__code__]
    assert blank.codes(nn.Linear(1, 1)) == [] and blank.codes(3) == []

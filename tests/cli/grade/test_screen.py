"""Which code may run beside a check: all references may, and what reaches for the check may not."""

import pytest

from sslcourse.cli.grade import screen


def test_every_solution_may(plans):
    for plan in plans.values():
        for exercise in plan.exercises:
            assert screen.objection(exercise.solution) == "", f"{plan.week}, {exercise.name}"


@pytest.mark.parametrize(
    "source",
    [
        "import sys",
        "from os import path",
        "import torch._C",
        "import torch.utils.cpp_extension",
        "from sslcourse import check",
        "from sslcourse.check.week04 import oracle",
        "from . import x",
        "f = eval",
        "def f(x):\n    return x.__class__.__subclasses__()",
        "def f(x):\n    return f.__globals__",
        "def f(x):\n    return torch._C",
        "def f(x):\n    return torch.serialization.os",
        "def f(x):\n    return getattr(x, '__dict__')",
        "def f(x, n):\n    return getattr(x, n)",
        "g = getattr",
        "def f(x):\n    torch.equal = lambda *_: True",
        "def f(x):\n    torch.nn.functional.relu = None",
        "def f(x):\n    setattr(torch, 'equal', None)",
        "class A(torch.Tensor):\n    pass",
        "class A(float):\n    pass",
        "class A:\n    def __eq__(self, other):\n        return True",
        "class A:\n    __eq__ = lambda *_: True",
        "class A(metaclass=B):\n    pass",
        "A = type('A', (), {})",
        "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame",
        "def f(x):\n    return (i for i in x).gi_frame",
        "def f(x):\n    return globals()",
        "def f(x):\n    return __builtins__",
        "def f(x):\n    '{0.__class__.__init__.__globals__}'.format(x)",
        "def f(x):\n    nn.Module.__call__ = None",
        "def f(x):\n    t = torch\n    t.equal = None",
        "def f(x):\n    import torch as t\n    t.Tensor.__le__ = None",
        "import torch.overrides",
    ],
)
def test_what_reaches_further_may_not(source):
    assert screen.objection(source)


@pytest.mark.parametrize(
    "source",
    [
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self._w = nn.ReLU()\n"
        "    def forward(self, x):\n        return self._w(x)",
        "from torch.nn.utils.parametrizations import weight_norm",
        "from sklearn.linear_model import LogisticRegression",
        "def f(x):\n    return getattr(x, 'accuracy')",
        "def f(model):\n    for p in model.parameters():\n        p.requires_grad = False",
        "def f(x):\n    print('{:.3f}'.format(x), type(x).__name__)",
    ],
)
def test_what_students_write_may(source):
    assert screen.objection(source) == ""

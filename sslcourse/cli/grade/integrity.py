"""Whether what a check stands on is still itself after student code ran beside it."""

import builtins
import math
import operator
import sys

import numpy as np
import torch

_STANDS_ON = (builtins, math, operator, np, torch, torch.Tensor, torch._C.TensorBase, torch.nn, torch.nn.functional)
_STANDS_ON += (torch.nn.Module, torch.linalg, torch.autograd, torch.Generator, np.linalg, np.random)
_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")


class Seal:
    """Remembers every name of the modules that checks stand on, and the code of the checks' own functions."""

    def __init__(self):
        own = [module for name, module in list(sys.modules.items()) if name.startswith("sslcourse.check")]
        self._places = [(place, dict(vars(place))) for place in (*_STANDS_ON, *own)]
        self._codes = [
            (thing, thing.__code__)
            for place, names in self._places
            for thing in names.values()
            if hasattr(thing, "__code__") and str(getattr(thing, "__module__", "")).startswith(("sslcourse", "torch"))
        ]

    def broken(self) -> str:
        """What was replaced since, "torch.allclose"; "" where nothing was."""
        if any(getattr(torch.nn.modules.module, name) for name in _HOOKS):
            return "the call of every module"
        for place, before in self._places:
            now = vars(place)
            for name, thing in before.items():
                if now.get(name) is not thing and not name.startswith("__"):
                    return f"{place.__name__}.{name}"
        for thing, code in self._codes:
            if thing.__code__ is not code:
                return thing.__qualname__
        return ""

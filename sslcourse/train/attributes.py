"""State that modules keep outside their state_dict: the place in a queue as a plain number, a mean as a plain tensor.

torch saves parameters and buffers only, so that a training which goes on would begin such attributes anew. A checkpoint
therefore also holds those that are not as they were when the training began: numbers, texts, tensors, arrays, random
generators, and lists, tuples, dicts and deques of these, in modules, optimizers and the student's own objects inside.
"""

import collections
import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from sslcourse.train.ownership import is_own

_PLAIN = type(None) | bool | int | float | complex | str | np.generic
_OF_TORCH = frozenset(vars(nn.Module()))
_OF_OPTIMIZER = frozenset(vars(torch.optim.SGD([torch.zeros(1)])))
_DEPTH = 4  # of objects inside objects


class Attributes:
    """The plain attributes of one module or optimizer, and which of them have changed since this was made."""

    def __init__(self, module: nn.Module | torch.optim.Optimizer) -> None:
        self.module = module
        self.start = {place: _copy(getattr(holder, name)) for place, holder, name in _places(module)}

    def changed(self) -> dict[str, object]:
        """{place: value}, in types that torch.load(weights_only=True) reads."""
        now = {place: _copy(getattr(holder, name)) for place, holder, name in _places(self.module)}
        new = [place for place in now if place not in self.start or not _equal(now[place], self.start[place])]
        return {place: now[place] for place in new}

    def put(self, saved: dict[str, object]) -> None:
        """Every attribute as it was at the start, but for those in `saved`."""
        holders = self.holders()
        for place, value in (self.start | saved).items():
            prefix, _, name = place.rpartition(".")
            if prefix in holders:
                _set(holders[prefix], name, value)

    def holders(self) -> dict[str, object]:
        """{place: what has attributes there}."""
        return dict(_holders(self.module))


def _holders(module: nn.Module | torch.optim.Optimizer) -> Iterator[tuple[str, object]]:
    """(place, object) of whatever has attributes: the modules or optimizers, and own objects in their attributes."""
    seen = set()
    named = module.named_modules() if isinstance(module, nn.Module) else [("", module)]
    waiting = [(name, part, _DEPTH) for name, part in named]
    while waiting:
        place, holder, depth = waiting.pop(0)
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        yield place, holder
        for name, value in vars(holder).items() if depth else ():
            own = hasattr(value, "__dict__") and not isinstance(value, nn.Module | type | torch.Tensor)
            if own and name not in of_torch(holder) and is_own(type(value)):
                waiting.append((f"{place}.{name}".lstrip("."), value, depth - 1))


def of_torch(holder: object) -> frozenset[str]:
    """Attributes that torch keeps in every such object."""
    kinds = ((nn.Module, _OF_TORCH), (torch.optim.Optimizer, _OF_OPTIMIZER))
    return next((names for kind, names in kinds if isinstance(holder, kind)), frozenset())


def _places(module: nn.Module | torch.optim.Optimizer) -> Iterator[tuple[str, object, str]]:
    """(place, holder, attribute) of every attribute that can be kept."""
    for place, holder in _holders(module):
        skipped = of_torch(holder)
        for name, value in vars(holder).items():
            if name not in skipped and "." not in name and is_kept(value):
                yield f"{place}.{name}".lstrip("."), holder, name


def is_kept(value: object) -> bool:
    if isinstance(value, nn.Parameter):
        return False
    if isinstance(value, torch.Tensor):
        return value.layout == torch.strided and (value.is_leaf or not value.requires_grad)
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufc"
    if type(value) in (list, tuple, collections.deque):
        return all(map(is_kept, value))
    if type(value) is dict:
        return all(isinstance(key, str | int) for key in value) and all(map(is_kept, value.values()))
    return isinstance(value, _PLAIN | torch.Generator)


def _copy(value: object) -> object:
    """The value in types that can be saved: arrays and states of generators as tensors, deques as lists."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | collections.deque):
        return list(map(_copy, value))
    if isinstance(value, tuple):
        return tuple(map(_copy, value))
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return copy.copy(value)


def _equal(a: object, b: object) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.device == b.device and torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return a == b


def _set(holder: object, name: str, value: object) -> None:
    """In place where there is something of the kind, since others may hold the same tensor or list."""
    now = getattr(holder, name, None)
    if isinstance(now, torch.Generator) and isinstance(value, torch.Tensor):
        now.set_state(value)
    elif isinstance(now, np.ndarray) and isinstance(value, torch.Tensor):
        array = value.numpy()
        if now.shape == array.shape and now.dtype == array.dtype:
            now[...] = array
        else:
            setattr(holder, name, array.copy())
    elif isinstance(value, torch.Tensor):
        if isinstance(now, torch.Tensor) and now.shape == value.shape and now.dtype == value.dtype:
            with torch.no_grad():
                now.copy_(value)
        else:
            device = now.device if isinstance(now, torch.Tensor) else value.device
            setattr(holder, name, value.detach().clone().to(device))
    elif isinstance(now, collections.deque) and isinstance(value, list):
        now.clear()
        now.extend(map(_copy, value))
    elif isinstance(now, list) and isinstance(value, list):
        now[:] = map(_copy, value)
    elif isinstance(now, dict) and isinstance(value, dict):
        now.clear()
        now.update({key: _copy(item) for key, item in value.items()})
    elif not (type(now) is type(value) and now == value):  # a slot that is read-only stays alone
        setattr(holder, name, _copy(value))

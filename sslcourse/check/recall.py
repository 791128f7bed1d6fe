"""What a definition gave for the same inputs before: a check draws the same ones every time, and definitions are slow.

A student who tries ten versions, and a test of thirty wrong answers, would else compute the same loops again and again.
"""

import types
from collections.abc import Callable
from functools import partial

import torch

MOST = 4096  # results that are kept: numbers and small tensors
_known: dict[tuple, object] = {}


def recall(function: Callable, *case: object) -> object:
    """function(*case), computed once for the same arguments.

    Only functions of the checks are remembered, and only for arguments that are known by what they hold: tensors,
    numbers, words, and tuples, lists and dictionaries of them. All else is called as it is, student code above all,
    which may answer otherwise the second time.
    """
    if not _is_ours(function):
        return function(*case)
    try:
        key = (function, *map(_content, case))
    except TypeError:
        return function(*case)
    if key not in _known:
        result = function(*case)
        try:
            _content(result)
        except TypeError:
            return result
        if len(_known) >= MOST:
            del _known[next(iter(_known))]  # the oldest
        _known[key] = _copied(result)
    return _copied(_known[key])


def _is_ours(thing: object) -> bool:
    """A function of the checks that depends on nothing but its arguments, and on such functions, numbers and words."""
    if isinstance(thing, partial):
        return _is_ours(thing.func) and all(map(_is_fixed, (*thing.args, *thing.keywords.values())))
    if not isinstance(thing, types.FunctionType) or not (thing.__module__ or "").startswith("sslcourse.check."):
        return False
    defaults = (*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values())
    try:
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
    except ValueError:  # a name that has no value yet
        return False
    return all(map(_is_fixed, (*defaults, *cells)))


def _is_fixed(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_fixed, value))
    builtin = isinstance(value, types.BuiltinFunctionType | type)
    return value is None or builtin or isinstance(value, bool | int | float | str) or _is_ours(value)


def _content(value: object) -> object:
    """What a value holds, to be compared; TypeError for what cannot be known that way."""
    if isinstance(value, torch.Tensor):
        if type(value) is not torch.Tensor or value.requires_grad:
            raise TypeError
        return value.dtype, value.shape, value.contiguous().numpy().tobytes()
    if isinstance(value, tuple | list):
        return type(value), *map(_content, value)
    if isinstance(value, dict):
        return dict, *((name, _content(part)) for name, part in value.items())
    if value is None or type(value) in (bool, int, float, str):
        return type(value), value
    raise TypeError


def _copied(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, tuple | list):
        return type(value)(map(_copied, value))
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    return value

"""What moves on while it is used and is written down nowhere: random generators, and iterators such as `iter(files)`.

The state of a random generator can be put back, so that a training goes on with the numbers that would have come next.
Where an iterator stands can be compared only.
"""

import random
import types
import warnings
from collections.abc import Iterator

import numpy as np
import torch

_RANDOM = torch.Generator | random.Random | np.random.Generator | np.random.RandomState | np.random.BitGenerator


class Unknown(Exception):
    """Nobody can look into this value."""


def is_random(value: object) -> bool:
    return isinstance(value, _RANDOM)


def is_iterator(value: object) -> bool:
    """One of Python's own, which has no attributes that could be read."""
    return isinstance(value, Iterator) and not hasattr(value, "__dict__") and not isinstance(value, type)


def of_python() -> random.Random:
    """The generator behind random.random()."""
    return random.random.__self__


def of_numpy() -> np.random.RandomState:
    """The generator behind np.random.rand()."""
    return np.random.rand.__self__


def is_everybodys(value: object) -> bool:
    return value is of_python() or value is of_numpy()


def seed_of(value: object) -> object:
    """What a generator began with, None where it does not say so."""
    if isinstance(value, torch.Generator):
        return value.initial_seed()
    if isinstance(value, np.random.Generator):
        return getattr(value.bit_generator.seed_seq, "entropy", None)
    return None


def state_of(value: object) -> object:
    """Where a random generator is, in types that torch.load(weights_only=True) reads. Raises Unknown."""
    try:
        if isinstance(value, torch.Generator):
            return value.get_state()
        if isinstance(value, random.Random):
            return value.getstate()
        if isinstance(value, np.random.RandomState):
            return _plain(value.get_state(legacy=False))
        return _plain((value.bit_generator if isinstance(value, np.random.Generator) else value).state)
    except NotImplementedError as error:  # random.SystemRandom
        raise Unknown from error


def put(value: object, state: object) -> None:
    """A random generator to where state_of said that it was."""
    if isinstance(value, torch.Generator):
        value.set_state(state)
    elif isinstance(value, random.Random):
        value.setstate(state)
    elif isinstance(value, np.random.RandomState):
        value.set_state(_arrays(state, value.get_state(legacy=False)))
    else:
        bits = value.bit_generator if isinstance(value, np.random.Generator) else value
        bits.state = _arrays(state, bits.state)


def parts_of(value: object) -> dict[str, object]:
    """What an iterator or another closed object of Python or C is made of. Raises Unknown where it does not say."""
    if isinstance(value, types.GeneratorType):
        if value.gi_frame is None:
            return {"code": value.gi_code, "place": "finished"}
        frame = value.gi_frame
        meant = {name: frame.f_globals[name] for name in value.gi_code.co_names if name in frame.f_globals}
        parts = {"code": value.gi_code, "place": frame.f_lasti, "inside": value.gi_yieldfrom}
        return parts | {f"name {name}": one for name, one in (meant | frame.f_locals).items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of itertools, from Python 3.12 on
            made = value.__reduce_ex__(4)
    except Exception as error:  # files, locks, whatever says that it cannot be copied
        raise Unknown from error
    if isinstance(made, str):
        return {"name": made}
    function, given, *rest = made
    parts = {"made by": function, "from": given}
    for name, part in zip(("state", "items", "pairs"), rest, strict=False):
        if part is not None:
            parts[name] = part if name == "state" else list(part)
    return parts


def _plain(state: object) -> object:
    if isinstance(state, dict):
        return {key: _plain(item) for key, item in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state


def _arrays(state: object, like: object) -> object:
    if isinstance(like, dict):
        return {key: _arrays(state[key], item) for key, item in like.items()}
    return np.array(state, dtype=like.dtype) if isinstance(like, np.ndarray) else state

"""What data and code a training is of, in short texts that can be compared with those of an earlier run.

`of_tensors` looks at every byte of the data. `of_code` follows a loss function as a reader would: its bytecode and
constants, its defaults, and what it refers to: functions and classes of the student with theirs, settings (numbers,
texts, tensors) by value, networks by structure and, where they are not the ones that are trained, by their weights. A
value that this code changes itself, such as a counter or a queue, is its state and no setting, and does not count. Of a
student's class that is one of a library's too, all counts that the library may call or read. Where random generators
and iterators are is no part of these texts, since they move on; `read` says it apart.

It cannot see: the code of installed libraries and of this one (they count by name), C functions, what is found by a
name made at run time (getattr, eval), files and the environment, and the gradient that a tensor carries. An iterator of
C that does not say what it runs over (np.nditer, that of a DataLoader) cannot be compared, which is told. A loss is
another one, too, after a change that means nothing (a docstring, another version of Python); moving it to another
place, or a comment, is no change.
"""

from dataclasses import dataclass

import torch
from torch import nn

from sslcourse.train import moving
from sslcourse.train.attributes import of_torch
from sslcourse.train.ownership import is_own
from sslcourse.train.walk import Walk, tensors_of
from sslcourse.train.written import array, constant, content, digest


def of_tensors(data: tuple[torch.Tensor, ...]) -> list[str]:
    """A text for each tensor: type, shape and a hash of the content."""
    return [f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)} {content(tensor)}" for tensor in data]


def of_weights(modules: list[nn.Module]) -> str:
    """A text for all parameters and buffers."""
    return digest(*(array(value) for module in modules for value in tensors_of(module)))


@dataclass
class Reading:
    """What a reader of the code finds, by place.

    texts: what is compared; moving: random generators and iterators, those of `watching` too, whose places begin with
    "watched"; state: a text for what the code changes itself; closed: names of types that nobody can look into.
    """

    texts: dict[str, str]
    moving: dict[str, object]
    state: dict[str, str]
    closed: dict[str, str]


def of_code(roots: dict[str, object], modules: list[nn.Module], watching: tuple[object, ...] = ()) -> dict[str, str]:
    """{place: text} of callables, {name: callable}, and of what they refer to; "loss.temperature" is such a place."""
    return read(roots, modules, watching).texts


def read(roots: dict[str, object], modules: list[nn.Module], watching: tuple[object, ...] = ()) -> Reading:
    """All that `of_code` looks at.

    modules: what is trained, described by its structure. watching: callables that do not count themselves, but may
    change what the others refer to.
    """
    walk = Walk()
    while True:  # the code that is reached says what it changes and reads, and that says what of an object counts
        later = Walk(walk)
        for number, module in enumerate(modules):
            later.visit(f"module {number}", module)
        for name, root in roots.items():
            later.visit(name, root)
        found, closed, state = dict(later.found), dict(later.closed), dict(later.state)
        for number, root in enumerate(watching):
            later.visit(f"watched {number}", root)
        later.remember(walk)
        if later.known() == walk.known():
            texts = {place: _whole(one, modules)[0] for place, one in state.items()}
            return Reading(found, later.moving, texts, closed)
        walk = later


def where(found: dict[str, object], modules: list[nn.Module]) -> tuple[dict[str, str], dict[str, str]]:
    """({place: text} for where random generators and iterators are, {place: type} of those that do not say)."""
    texts, closed = {}, {}
    for place, value in found.items():
        if moving.is_random(value):
            try:
                texts[place] = digest(constant(moving.state_of(value)))
            except moving.Unknown:
                closed[place] = type(value).__qualname__
        else:
            texts[place], inside = _whole(value, modules)
            if inside:
                closed[place] = next(iter(inside.values()))
    return texts, closed


def _whole(value: object, modules: list[nn.Module]) -> tuple[str, dict[str, str]]:
    """A text for a value as it is now, whatever it is a part of; and what in it nobody can look into."""
    walk = Walk(inline=True)
    for number, module in enumerate(modules):
        walk.visit(f"module {number}", module)
    known = set(walk.found)
    walk.closed.clear()
    walk.visit("", value)
    return digest(*(f"{place} {text}" for place, text in walk.found.items() if place not in known)), walk.closed


def own_parts(optimizer: torch.optim.Optimizer) -> dict[str, object]:
    """What of an optimizer is the student's: class and attributes, also those that he gave to one of torch's, such as a
    step of his own, and functions around its steps."""
    given = any(not name.startswith("_") and name not in of_torch(optimizer) for name in vars(optimizer))
    own = {"optimizer": optimizer} if given or is_own(type(optimizer)) else {}
    for kind in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
        hooks = [hook for hook in getattr(optimizer, kind, {}).values() if is_own(hook)]
        own |= {f"optimizer.{kind.strip('_')}": hooks} if hooks else {}
    return own

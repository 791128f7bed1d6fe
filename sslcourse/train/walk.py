"""One walk from a loss through all that it refers to, for fingerprint.py: what counts of each kind of object."""

import collections
import dis
import enum
import functools
import importlib
import numbers
import operator
import random
import re
import threading
import types
import weakref
from collections.abc import Iterator
from pathlib import PurePath

import numpy as np
import torch
from torch import nn

from sslcourse.train import changes, moving
from sslcourse.train.attributes import is_kept, of_torch
from sslcourse.train.ownership import imported_by, is_own, meant_by, readers
from sslcourse.train.written import array, behaviour, constant, digest, short, without_addresses

_PLAIN = type(None) | bool | str | bytes | bytearray | numbers.Number | range | slice | PurePath | re.Pattern
_PLAIN |= torch.dtype | torch.device | np.ufunc | types.MethodDescriptorType | types.WrapperDescriptorType
_PLAIN |= np.generic | memoryview | operator.itemgetter | operator.attrgetter | operator.methodcaller
_CONTAINERS = (list, dict, set, collections.deque, np.ndarray, torch.Tensor)
_WITH_RANDOM_NUMBERS = ("random", "numpy", "numpy.random")  # for everybody
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_PARAMETER_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
_EMPTY = (weakref.ref, type(threading.Lock()), type(threading.RLock()))  # that say nothing but their type
_DEPTH = 12  # of what refers to what: deeper than any loss, so that an endless structure ends
_LONG = 100  # items of a container that are looked at one by one


class Walk:
    """Collects what counts, {place: text}; and the names that the code on the way assigns to or reads, and the
    containers that it changes, for a second walk that knows them."""

    def __init__(self, before: "Walk | None" = None, inline: bool = False) -> None:
        self.before, self.inline = before or self, inline  # inline: with the state of whatever moves
        self.found: dict[str, str] = {}
        self.changed: set[str] = set()
        self.read: set[str] = set()
        self.touched: dict[int, object] = {}
        self.moving: dict[str, object] = {}
        self.state: dict[str, object] = {}
        self.closed: dict[str, str] = {}
        self.seen: dict[int, tuple[str, object]] = {}  # with the object, so that no other gets its number

    def remember(self, earlier: "Walk") -> None:
        self.changed |= earlier.changed
        self.read |= earlier.read
        self.touched |= earlier.touched

    def known(self) -> tuple[set[str], set[str], set[int]]:
        return self.changed, self.read, set(self.touched)

    def visit(self, place: str, value: object, depth: int = 0) -> None:
        if isinstance(value, _PLAIN):
            self.found[place] = short(value)
        elif isinstance(value, types.ModuleType):
            self.found[place] = f"module {value.__name__}"
            if value is random or value is np.random or (value is np and "random" in self.before.read):
                self.visit(f"{place}.random", moving.of_python() if value is random else moving.of_numpy(), depth)
        elif id(value) in self.seen:
            self.found[place] = f"as {self.seen[id(value)][0]}"
        elif depth > _DEPTH:
            self.found[place] = type(value).__qualname__
        else:
            self.seen[id(value)] = place, value
            try:
                self._visit(place, value, depth + 1)
            except Exception:  # an object may raise what it likes when looked into; it then counts by its type
                self.found[place] = f"{type(value).__qualname__}, closed"
                self.closed[place] = type(value).__qualname__

    def _visit(self, place: str, value: object, depth: int) -> None:
        if isinstance(value, types.MethodType):
            self.visit(place, value.__func__, depth)
            self.visit(f"{place}.self", value.__self__, depth)
        elif isinstance(value, functools.partial):
            for part, inside in (("func", value.func), ("args", value.args), ("keywords", value.keywords)):
                self.visit(f"{place}.{part}", inside, depth)
        elif isinstance(value, types.FunctionType):
            self._function(place, value, depth)
        elif isinstance(value, type):
            self._class(place, value, depth)
        elif id(value) in self.before.touched and not self.inline:
            self.found[place] = f"{type(value).__name__}, changed on the way"
            self._changing(place, value)
        elif isinstance(value, torch.Tensor | np.ndarray):
            self.found[place] = array(value)
        elif isinstance(value, enum.Enum):
            self.visit(f"{place}.class", type(value), depth)
            self.found[place] = f"{value.name} {constant(value.value)}"
        elif isinstance(value, tuple | list | dict | set | frozenset | collections.deque | types.MappingProxyType):
            self._container(place, value, depth)
        elif isinstance(value, nn.Module):
            self._module(place, value, depth)
        elif isinstance(value, torch.optim.Optimizer):
            self._optimizer(place, value, depth)
        elif isinstance(value, types.CodeType):
            self.found[place] = f"code {digest(*map(behaviour, _nested(value)))}"
        elif moving.is_random(value) or moving.is_iterator(value):
            self._moving(place, value, depth)
        else:
            self._object(place, value, depth)

    def _function(self, place: str, function: types.FunctionType, depth: int) -> None:
        code = function.__code__
        referred = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        referred = {name: cell.cell_contents for name, cell in referred.items() if _is_filled(cell)}
        if is_own(function):
            codes = list(_nested(code))
            self.found[place] = f"code {digest(*map(behaviour, codes))}"
            self.visit(f"{place}.defaults", (function.__defaults__, function.__kwdefaults__), depth)
            names = {name for one in codes for name in one.co_names}
            referred = meant_by(function, sorted(names), imported_by(codes)) | referred
            self.read |= names
            loaded = set()
            for one in codes:
                instructions = list(dis.get_instructions(one))
                loaded |= {step.argval for step in instructions if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
                for step in instructions:
                    if step.opname == "IMPORT_NAME" and step.argval in _WITH_RANDOM_NUMBERS:
                        self.visit(f"{place}.{step.argval}", importlib.import_module(step.argval), depth)
                self.changed |= changes.assigned(instructions, code.co_freevars)
                for name, way in changes.changed_in_place(instructions):
                    value = referred.get(name)
                    if name.startswith("."):
                        self.changed |= {name} if way != "add" else set()  # a tensor's add changes nothing
                    elif isinstance(value, _CONTAINERS):
                        if not (isinstance(value, torch.Tensor) and way in changes.CHANGING):
                            self.touched[id(value)] = value
            referred = {
                name: value
                for name, value in referred.items()  # the name of a library's module may be that of an attribute
                if name in loaded or not isinstance(value, types.ModuleType) or is_own(value)
            }
        else:  # what a library's function was made with counts: a decorator's is the student's own
            self.found[place] = f"{function.__module__}.{function.__qualname__}"
        for name, value in referred.items():
            last = name.rpartition(".")[2]  # of helpers.scale, which may be assigned to either way
            if not self.before.changed & ({name} if last == name else {last, f".{last}"}):
                self.visit(f"{place}.{name}", value, depth)
            elif not callable(value):
                self._changing(f"{place}.{name}", value)

    def _changing(self, place: str, value: object) -> None:
        """State, but for what the checkpoint keeps of modules and optimizers, and results that lie in these."""
        inside = place.startswith(("module ", "optimizer"))
        if not inside or not (is_kept(value) or isinstance(value, torch.Tensor | nn.Module)):
            self.state[place] = value

    def _class(self, place: str, kind: type, depth: int) -> None:
        own = is_own(kind)
        self.found[place] = f"class {kind.__qualname__ if own else f'{kind.__module__}.{kind.__qualname__}'}"
        if not own:
            return
        overridden = {name for base in readers(kind) for name in vars(base)}  # what a library calls
        for name, value in sorted(vars(kind).items()):
            value = getattr(value, "__func__", value)  # of class methods and static ones
            value = value.fget if isinstance(value, property) else value
            if isinstance(value, types.FunctionType) and name != "__init__":  # also where nobody calls it here
                instructions = list(dis.get_instructions(value))
                if any(one.opname.startswith("CALL") for one in instructions):  # what only stores is a setter
                    self.changed |= changes.assigned(instructions, ())
            if f".{name}" in self.before.changed or not (self._is_used(name) or name in overridden):
                continue
            if isinstance(value, types.FunctionType):
                before = set(self.changed)
                self.visit(f"{place}.{name}", value, depth)
                if name == "__init__":  # what is assigned there are settings
                    self.changed = before
            elif name not in ("__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__"):
                self.visit(f"{place}.{name}", value, depth)
        for base in kind.__bases__:
            if base is not object:
                self.visit(f"{place}.{base.__name__}", base, depth)

    def _is_used(self, name: str) -> bool:
        return name in self.before.read or name == "forward" or (name.startswith("__") and name.endswith("__"))

    def _container(self, place: str, value: object, depth: int) -> None:
        self.found[place] = f"{type(value).__name__} of {len(value)}"
        if isinstance(value, collections.defaultdict):
            self.visit(f"{place}.default_factory", value.default_factory, depth)
        if isinstance(value, set | frozenset):
            self.found[place] += f", {digest(*sorted(map(constant, value)))}"
            functions = [item for item in value if isinstance(item, types.FunctionType)]
            for n, item in enumerate(sorted(functions, key=lambda one: behaviour(one.__code__))):
                self.visit(f"{place}[{n}]", item, depth)
        elif len(value) > _LONG:
            plain = value.items() if isinstance(value, dict) else value
            self.found[place] += f", {digest(*(constant(item) for item in plain))}"
            for n, item in enumerate(value.values() if isinstance(value, dict) else value):
                if isinstance(item, types.FunctionType):
                    self.visit(f"{place}[{n}]", item, depth)
        else:
            pairs = value.items() if isinstance(value, dict | types.MappingProxyType) else enumerate(value)
            for key, item in pairs:
                self.visit(
                    f"{place}[{constant(key) if isinstance(key, tuple | frozenset) else short(key)}]", item, depth
                )

    def _module(self, place: str, module: nn.Module, depth: int) -> None:
        """Structure; and the weights of a network that is not trained, since it is a part of the loss."""
        trained = re.fullmatch(r"module \d+", place)
        settings = [f"{name} {_settings(part, self.before.changed)}" for name, part in module.named_modules()]
        self.found[place] = f"{type(module).__qualname__} {digest(without_addresses(repr(module)), *settings)}"
        if not trained and id(module) not in self.before.touched:
            self.found[place] += f", weights {digest(*(array(value) for value in tensors_of(module)))}"
        for name, parameter in (*module.named_parameters(), *module.named_buffers()) if trained else ():
            self.seen.setdefault(id(parameter), (f"{place}.{name}", parameter))
        for name, part in module.named_modules():
            self.seen.setdefault(id(part), (f"{place}.{name}", part))
            if is_own(type(part)):
                self.visit(f"{place}.{name}.class", type(part), depth)
            self._attributes(f"{place}.{name}", part, depth)
            for kind in _HOOKS:
                hooks = [hook for hook in getattr(part, kind, {}).values() if is_own(hook)]
                if hooks:
                    self.visit(f"{place}.{name}.{kind}", hooks, depth)
        for name, parameter in module.named_parameters():
            for kind in _PARAMETER_HOOKS:
                hooks = [hook for hook in (getattr(parameter, kind, None) or {}).values() if is_own(hook)]
                if hooks:
                    self.visit(f"{place}.{name}.{kind}", hooks, depth)

    def _object(self, place: str, value: object, depth: int) -> None:
        kind = type(value)
        self.found[place] = f"{kind.__module__}.{kind.__qualname__}"
        if isinstance(value, types.BuiltinFunctionType):
            self.found[place] = f"{value.__module__}.{value.__qualname__}"
            whose = value.__self__
            if is_own(whose) if isinstance(whose, type) else not isinstance(whose, types.ModuleType | None):
                self.visit(f"{place}.self", value.__self__, depth)
        elif isinstance(value, _EMPTY):
            pass
        elif is_own(kind) or any(not name.startswith("_") for name in getattr(value, "__dict__", ())):
            self.visit(f"{place}.class", kind, depth)
            self._attributes(place, value, depth)
        else:  # of C, or with nothing but what a library keeps for itself: a date, a table
            self._parts(place, value, depth)

    def _moving(self, place: str, value: object, depth: int) -> None:
        kind = type(value)
        self.found[place] = f"{kind.__module__}.{kind.__qualname__}"
        if not self.inline:
            self.moving[place] = value
        if (seed := moving.seed_of(value)) is not None:
            self.found[place] += f" with seed {seed}"
        if self.inline:
            self._parts(place, value, depth)

    def _parts(self, place: str, value: object, depth: int) -> None:
        try:
            parts = {"state": moving.state_of(value)} if moving.is_random(value) else moving.parts_of(value)
        except moving.Unknown:
            text = repr(value)
            if without_addresses(text) != text or moving.is_iterator(value):
                self.closed[place] = type(value).__qualname__
            self.found[place] += f" {short(re.sub(r'0x[0-9a-fA-F]{4,}', '', text))}"
            return
        for name, part in parts.items():
            self.visit(f"{place}.{name}", part, depth)

    def _optimizer(self, place: str, optimizer: torch.optim.Optimizer, depth: int) -> None:
        """Class and attributes, those too that were given to one of torch's; the rest is in the plan, or state."""
        kind = type(optimizer)
        self.found[place] = f"{kind.__module__ if not is_own(kind) else ''}.{kind.__qualname__}".lstrip(".")
        if is_own(kind):
            self.visit(f"{place}.class", kind, depth)
        self._attributes(place, optimizer, depth)

    def _attributes(self, place: str, value: object, depth: int) -> None:
        """Of a student's object what the code reads; of a library's all, since its code is not looked at, and so of a
        student's object that is one of a library's too."""
        own, is_module = is_own(type(value)) and not readers(type(value)), isinstance(value, nn.Module)
        items = dict(getattr(value, "__dict__", {}))
        slots = [getattr(kind, "__slots__", ()) for kind in type(value).__mro__ if is_own(kind)]
        for name in (name for part in slots for name in ([part] if isinstance(part, str) else part)):
            if hasattr(value, name):
                items[name] = getattr(value, name)
        for name, item in sorted(items.items()):
            used = self._is_used(name)
            if is_module and isinstance(item, torch.Tensor) and item.grad_fn and _is_computed(item, value):
                continue  # torch's older weight_norm keeps its result beside the weights that it is of
            private = not own and not is_module and name.startswith("_") and name != "__wrapped__"
            if (private and not (used and is_own(type(value)))) or name in of_torch(value):
                continue
            if f".{name}" in self.before.changed and not self.inline:
                self._changing(f"{place}.{name}", item)
            elif (not own and not is_module) or used:
                self.visit(f"{place}.{name}", item, depth)


def _is_computed(tensor: torch.Tensor, module: nn.Module) -> bool:
    """Whether it was made of parameters of the module, so that a forward pass makes it again."""
    parameters, seen, waiting = {id(p) for p in module.parameters()}, set(), [tensor.grad_fn]
    while waiting:
        step = waiting.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        if id(getattr(step, "variable", None)) in parameters:
            return True
        waiting.extend(before for before, _ in step.next_functions)
    return False


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False  # its variable is not assigned yet


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code object and those of the functions and comprehensions inside it."""
    yield code
    for inside in code.co_consts:
        if isinstance(inside, types.CodeType):
            yield from _nested(inside)


def _settings(module: nn.Module, changed: set[str]) -> list[str]:
    """Plain attributes, which repr shows in part only; not what a library's module notes while it runs."""
    return [
        f"{name}={short(value)}"
        for name, value in sorted(vars(module).items())
        if isinstance(value, _PLAIN) and not name.startswith("_") and "cache" not in name
        if name != "training" and f".{name}" not in changed
    ]


def tensors_of(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]

"""A training that can be cut off and go on: one file, replaced whole at the end of each epoch.

The file is what torch.save writes, readable by torch.load(path, weights_only=True), and one line behind it with a hash
of all bytes before. The hash is compared before anything else looks at them, and what the file says is asked for its
meaning (sslcourse/train/meaning.py) before anything is changed. The plan says what the training is of:
its settings and seeds, the structure of the networks, data, loss and after_step (sslcourse/train/fingerprint.py). What
modules and optimizers keep outside their state_dict comes along too (sslcourse/train/attributes.py), and so do random
generators that the functions draw from (sslcourse/train/moving.py).
"""

import copy
import hashlib
import io
import numbers
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from sslcourse import files
from sslcourse.train import fingerprint, meaning, moving
from sslcourse.train.attributes import Attributes
from sslcourse.train.history import History

_FORMAT = "sslcourse training 2"
_LAST_LINE = re.compile(rb"\n" + _FORMAT.encode() + rb" sha256 ([0-9a-f]{64})\n\Z")
_LENGTH = len(f"\n{_FORMAT} sha256 {'0' * 64}\n")
_FIRST_FORMAT = b"sslcourse training 1"
_ADVICE = "delete it or name another file."


class Checkpoint:
    """Reads and writes the state of modules, optimizer, random numbers and history in the file `path`.

    plan: what must be equal for a training to go on, {name: text, number or list of these}; told: {sentence: text},
    what may differ, since the file replaces it, and is then said; steps: how many it has in all. writes: False in all
    processes but one. generators: {place: random generator} that the training draws from, beside torch's own. counted:
    whether the optimizer was made for this training, so that it has counted no other steps.
    """

    def __init__(
        self,
        path: str | Path,
        modules: list[nn.Module],
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        plan: dict,
        steps: int,
        writes: bool = True,
        told: dict[str, str] | None = None,
        generators: dict[str, object] | None = None,
        counted: bool = False,
    ) -> None:
        try:
            self.path = Path(path).expanduser()
        except RuntimeError as error:  # ~somebody who is not known here
            raise ValueError(f"The checkpoint {path} is in no home folder ({error}); write the path out.") from None
        self.modules, self.optimizer, self.generator = modules, optimizer, generator
        self.inner = _inside(optimizer)
        self.attributes = [Attributes(part) for part in (*modules, optimizer, *self.inner)]
        self.generators = dict(generators or {})
        self.told, self.differs, self.counted = dict(told or {}), [], counted
        self.others: list[torch.Tensor] = []  # random numbers of every process that wrote it, where these were several
        self.plan, self.steps, self.writes = {name: _simple(value) for name, value in plan.items()}, int(steps), writes

    def resume(self) -> History | None:
        """Put all state back as the file has it and return the history so far; None where there is no file yet.

        Raises ValueError for a file of another training or a damaged one, and nothing is changed then; OSError where
        the file cannot be read, or could not be written later.
        """
        try:
            files.must_be_regular(self.path)
            content = self.path.read_bytes() if self.path.exists() else None
        except OSError as error:
            raise OSError(f"The checkpoint {self.path} cannot be read: {error.strerror or error}") from error
        if content is None:
            self._try_to_write()
            return None
        saved = self._verified(content)
        if saved["history"]["steps"] < self.steps:
            self._try_to_write()
        elif self.writes:
            files.remove_orphans(self.path)
        before = copy.deepcopy(self._state())
        try:
            self._put(saved)
            before_it = saved.get("told", {})
            self.differs = [sentence for sentence, value in self.told.items() if before_it.get(sentence) != value]
            self.told = before_it or self.told
            self.others = list(saved["random"].get("processes", []))
            return History(**saved["history"])
        except Exception as error:  # whatever a module's own loading raises: no half of a state stays
            self._put(before)
            raise ValueError(
                f"The checkpoint {self.path} does not fit this training ({str(error).splitlines()[0]}); {_ADVICE}"
            ) from error

    def save(self, history: History, processes: list[torch.Tensor]) -> None:
        """Write all state; the old file stays until the new one is complete. Raises OSError with what is kept.

        processes: the random numbers of all of them, where they are several.
        """
        if not self.writes:
            return
        state = {"format": _FORMAT, "plan": self.plan, "told": self.told, **self._state()}
        state["random"]["processes"] = processes
        state["history"] = {name: getattr(history, name) for name in ("loss", "metrics", "steps", "seconds")}
        memory = io.BytesIO()  # torch.save on a full disk dies with an error that does not say so
        torch.save(state, memory)
        memory.write(f"\n{_FORMAT} sha256 {hashlib.sha256(memory.getbuffer()).hexdigest()}\n".encode())
        try:
            files.write(self.path, memory.getbuffer())
        except OSError as error:
            raise self._not_written(error) from error

    def _state(self) -> dict:
        return {
            "modules": [_plain(module) for module in self.modules],
            "attributes": [attributes.changed() for attributes in self.attributes],
            "optimizer": _readable(self.optimizer.state_dict()),
            "inner optimizers": [_readable(inner.state_dict()) for inner in self.inner],
            "random": {
                "drawn from": {place: moving.state_of(one) for place, one in self.generators.items()},
                "order": self.generator.get_state(),
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
        }

    def _put(self, saved: dict) -> None:
        for module, state in zip(self.modules, saved["modules"], strict=True):
            module.load_state_dict(state)
        for n, attributes in enumerate(self.attributes):
            attributes.put(saved["attributes"][n] if n < len(saved["attributes"]) else {})
        inner = zip(self.inner, saved.get("inner optimizers", []), strict=True)
        for optimizer, state in ((self.optimizer, saved["optimizer"]), *inner):
            _load(optimizer, state)
        for place, state in saved["random"].get("drawn from", {}).items():
            if place in self.generators:
                moving.put(self.generators[place], state)
        self.generator.set_state(saved["random"]["order"])
        torch.set_rng_state(saved["random"]["cpu"])
        if torch.cuda.is_available() and len(saved["random"]["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(saved["random"]["cuda"])

    def _try_to_write(self) -> None:
        """Before an hour of training, not after."""
        if not self.writes:
            return
        try:
            with files.whole(self.path, keep=False) as part:
                part.write_bytes(b"")
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> OSError:
        return OSError(
            f"The checkpoint {self.path} could not be written ({error.strerror or error}). The model in memory is "
            "as trained so far, and an older checkpoint is untouched; make room or name another file."
        )

    def _verified(self, content: bytes) -> dict:
        """What the file holds, all of it compared with this training. Raises ValueError."""
        last = _LAST_LINE.search(content, max(0, len(content) - _LENGTH))
        payload = memoryview(content)[: -len(last[0])] if last else b""
        if not last and _FIRST_FORMAT in content:
            raise ValueError(
                f"{self.path} is a checkpoint of the first format, written by an earlier version of the course; it "
                f"does not say which loss and data it is of, so that no training can go on from it: {_ADVICE}"
            )
        if not last or hashlib.sha256(payload).hexdigest().encode() != last[1]:
            raise ValueError(f"{self.path} is damaged or no checkpoint of a training; {_ADVICE}")
        try:
            saved = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            there, states = dict(saved["plan"]), list(saved["modules"])
        except Exception:  # torch.load has no error of its own; with the right hash it is a file made to deceive
            raise ValueError(f"{self.path} is damaged or no checkpoint of a training; {_ADVICE}") from None

        if [_shapes(_plain(module)) for module in self.modules] != [_shapes(state) for state in states]:
            raise ValueError(
                f"The checkpoint {self.path} is of another model: names, shapes or types of its weights differ; "
                f"{_ADVICE}"
            )
        if differing := _differences(there, self.plan):
            more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise ValueError(
                f"The checkpoint {self.path} is of a training with other settings ({'; '.join(differing[:3])}{more}); "
                f"{_ADVICE}"
            )
        try:
            self._must_mean_something(saved)
        except meaning.Meaningless as error:
            raise ValueError(f"{self.path} is damaged or no checkpoint of a training: {error}; {_ADVICE}") from None
        except Exception:  # a part that is missing, or of another type than any that is written
            raise ValueError(f"{self.path} is damaged or no checkpoint of a training; {_ADVICE}") from None
        return saved

    def _must_mean_something(self, saved: dict) -> None:
        meaning.history(saved["history"], self.plan, self.steps)
        meaning.weights(saved["modules"], self.modules)
        meaning.attributes(saved["attributes"], self.attributes)
        inner = saved.get("inner optimizers", [])
        most = saved["history"]["steps"] if self.counted else None
        for state, optimizer in zip([saved["optimizer"], *inner], [self.optimizer, *self.inner], strict=True):
            meaning.optimizer(state, optimizer, most)
        meaning.random_numbers(saved["random"], self.generator, self.generators)
        told = saved.get("told", {})
        meaning.must_be(all(isinstance(text, str) for text in [*told, *told.values()]), "what it tells is no text")


def plan_of(optimizer: torch.optim.Optimizer, modules: list[nn.Module], data: tuple[torch.Tensor, ...]) -> dict:
    """The part of a plan that is read off objects; what code counts comes beside it."""
    groups = optimizer.param_groups
    options = sorted({name for group in groups for name in group} - {"params", "lr", "initial_lr"})
    return {
        "optimizer": f"{type(optimizer).__module__}.{type(optimizer).__qualname__}",
        "lr": [float(group["lr"]) for group in groups],
        **{name: [_simple(group.get(name)) for group in groups] for name in options},
        "trained parameters": _trained(groups, modules),
        "data": fingerprint.of_tensors(data),
    }


def _trained(groups: Sequence[dict], modules: list[nn.Module]) -> list[str]:
    """Names of what the optimizer updates, group by group; frozen parameters are left out."""
    names = {
        id(parameter): f"{number}.{name}" if len(modules) > 1 else name
        for number, module in enumerate(modules)
        for name, parameter in module.named_parameters()
    }
    return [
        f"{names.get(id(parameter), f'another of shape {tuple(parameter.shape)}')}{f' (group {i})' if i else ''}"
        for i, group in enumerate(groups)
        for parameter in group["params"]
        if parameter.requires_grad
    ]


def _simple(value: object) -> object:
    """A setting as what weights_only can read."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, tuple | list):
        return [_simple(item) for item in value]
    value = _readable(value)
    return value if isinstance(value, type(None) | bool | int | float | str) else type(value).__qualname__


def _readable(value: object) -> object:
    """NumPy's numbers as Python's, in dicts and lists too: weights_only refuses to read them."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_readable, value))
    if isinstance(value, numbers.Number) and not isinstance(value, bool | complex) and type(value) not in (int, float):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    return value


def _inside(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """The optimizers that another one keeps, as sharpness-aware minimisation keeps the one that makes its steps."""
    found, waiting = [], [optimizer]
    for holder in waiting:
        for value in vars(holder).values():
            for one in value if isinstance(value, list | tuple) else [value]:
                if isinstance(one, torch.optim.Optimizer) and all(one is not other for other in waiting):
                    waiting.append(one)
                    found.append(one)
    return found


def _load(optimizer: torch.optim.Optimizer, saved: dict) -> None:
    """In place, since torch makes new lists and dicts of groups and state, and others may hold those that there are."""
    groups, state = optimizer.param_groups, optimizer.state
    optimizer.load_state_dict(saved)
    for group, loaded in zip(groups, optimizer.param_groups, strict=True):
        if group is not loaded:
            group.clear()
            group.update(loaded)
    if state is not optimizer.state:
        loaded = dict(optimizer.state)
        state.clear()
        state.update(loaded)
    if optimizer.param_groups is not groups:
        optimizer.param_groups = groups
    if optimizer.state is not state:
        optimizer.state = state


def _plain(module: nn.Module) -> dict:
    """The state of a module as an ordinary dict, which holds nothing beside what it shows."""
    return dict(module.state_dict())


def _differences(there: dict, here: dict) -> list[str]:
    """A phrase for each entry of two plans that differs, with both values."""
    phrases = []
    for name in dict.fromkeys((*here, *there)):
        a, b = there.get(name, "nothing"), here.get(name, "nothing")
        if a == b:
            continue
        if name == "trained parameters" and isinstance(a, list):
            sides = ((a, b, "there"), (b, a, "here"))
            only = [f"{_some([x for x in one if x not in other])} only {side}" for one, other, side in sides]
            only = [words for words in only if not words.startswith(" only")]
            phrases.append(f"{name}: {', '.join(only) or 'in another order'}")
        else:
            phrases.append(f"{name} {_text(a)} there, {_text(b)} here")
    return phrases


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _text(value: object) -> str:
    if isinstance(value, list) and any(isinstance(item, str) for item in value):
        return ", ".join(map(str, value))
    return str(value)


def _shapes(state: dict) -> dict:
    return {
        name: (tuple(value.shape), str(value.dtype)) if isinstance(value, torch.Tensor) else None
        for name, value in state.items()
    }

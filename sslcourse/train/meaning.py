"""What a checkpoint says, asked for its meaning before any of it is put in place.

The hash behind a file finds bytes that were damaged. It does not find a file that somebody, or another program, wrote
and signed anew; so every value is compared with what this training could have written. What can be meant is taken as
meant: a plain attribute that only its owner understands is asked for its kind alone.
"""

import copy
import inspect
import math

import torch
from torch import nn

from sslcourse.train import moving
from sslcourse.train.attributes import Attributes, is_kept, of_torch


class Meaningless(ValueError):
    """A phrase that says what no training writes."""


def must_be(true: object, phrase: str) -> None:
    if not true:
        raise Meaningless(phrase)


def history(saved: dict, plan: dict, steps: int) -> None:
    """Epochs, steps and numbers that belong together. steps: of the whole training."""
    must_be(set(saved) == {"loss", "metrics", "steps", "seconds"}, "its history has other parts")
    loss, metrics, made = saved["loss"], saved["metrics"], saved["steps"]
    must_be(_is_whole(made) and 0 < made <= steps, f"its history has {made!r} of {steps} steps")
    must_be(isinstance(loss, list) and all(_is_finite(one) for one in loss), "its losses are no finite numbers")
    per_epoch = max(1, plan["samples"] // plan["batch_size"])
    wanted = min(len(loss) * per_epoch, steps)
    must_be(loss and len(loss) <= plan["epochs"], f"it has losses of {len(loss)} epochs of {plan['epochs']}")
    must_be(made == wanted, f"its {len(loss)} epochs have {wanted} steps and not {made}")
    must_be(_is_finite(saved["seconds"]) and saved["seconds"] >= 0, f"it took {saved['seconds']!r} seconds")
    must_be(isinstance(metrics, dict) and all(isinstance(name, str) for name in metrics), "its metrics have no names")
    for name, values in metrics.items():
        fits = isinstance(values, list) and len(values) <= len(loss) and all(map(_is_number, values))
        must_be(fits, f"{name!r} was not logged as numbers of {len(loss)} epochs")


def weights(states: list[dict], modules: list[nn.Module]) -> None:
    """Of the shapes that they should have. Finite wherever the model's own are: a mask may hold -inf from the start."""
    for number, (state, module) in enumerate(zip(states, modules, strict=True)):
        for name, here in module.state_dict().items():
            there = state[name]
            if isinstance(here, torch.Tensor) and here.layout == torch.strided and not here.is_quantized:
                must_be(_as_finite(there, here), f"{name} of module {number} holds NaN or infinite numbers")


def attributes(saved: list, kept: list[Attributes]) -> None:
    must_be(isinstance(saved, list) and len(saved) <= len(kept), "its attributes are of other modules")
    for values, here in zip(saved, kept, strict=False):
        must_be(isinstance(values, dict), "its attributes have no names")
        holders = here.holders()
        for place, value in values.items():
            must_be(isinstance(place, str) and is_kept(value), f"attribute {place!r} is of no kind that is kept")
            prefix, _, name = place.rpartition(".")
            if prefix in holders:
                _attribute(place, name, value, holders[prefix])


def _attribute(place: str, name: str, value: object, holder: object) -> None:
    of_class = getattr(type(holder), name, None)
    taken = name.startswith("__") or name in of_torch(holder) or callable(of_class) or hasattr(of_class, "__set__")
    if isinstance(holder, nn.Module):
        taken = taken or any(name in part for part in (holder._parameters, holder._buffers, holder._modules))
    must_be(not taken, f"{place} is no plain attribute")
    now = vars(holder).get(name)
    if isinstance(now, torch.Generator):
        _generator_state(value, now, place)
    else:
        kinds = {_kind(now), _kind(value)} - {"nothing"}
        must_be(len(kinds) < 2, f"attribute {place} is {_kind(value)}, but {_kind(now)} in this training")


def optimizer(saved: dict, here: torch.optim.Optimizer, steps: int | None) -> None:
    """Groups, settings and state of the kinds and shapes that its steps make; steps: the most that it can count."""
    groups, now, state = saved["param_groups"], here.state_dict()["param_groups"], saved["state"]
    must_be(isinstance(groups, list) and len(groups) == len(now), "its optimizer has other groups")
    for there, group in zip(groups, now, strict=True):
        must_be(there["params"] == group["params"], "its optimizer has other parameters")
        for name, value in group.items():
            must_be(name in there, f"its optimizer has no {name}")
            fits = _kind(there[name]) == _kind(value) or "nothing" in (_kind(there[name]), _kind(value))
            must_be(fits and _as_finite(there[name], value), f"{name} of its optimizer is {there[name]!r}")
    count = sum(len(group["params"]) for group in now)
    must_be(isinstance(state, dict), "its optimizer has no state")
    for key, entries in state.items():
        must_be(not isinstance(key, int) or key in range(count), "its optimizer has state of other parameters")
        for name, value in entries.items() if isinstance(entries, dict) else ():
            must_be(not _has_nan(value), f"{name} of its optimizer holds NaN")
    if (wanted := _after_one_step(here, groups)) is None:
        return
    for key, entries in state.items():
        there = {name: _shape(value) for name, value in entries.items()}
        must_be(
            there == wanted.get(key, {}), f"the state of its optimizer has other parts or shapes for parameter {key}"
        )
        for name, value in entries.items():
            must_be(_as_finite(value, 0.0), f"{name} of its optimizer holds infinite numbers")
        if "step" in entries:
            made = float(entries["step"])
            counts = made == int(made) and 0 <= made <= (math.inf if steps is None else steps)
            must_be(counts, f"its optimizer counts {made:g} steps, and its history {steps}")


def _after_one_step(here: torch.optim.Optimizer, groups: list[dict]) -> dict | None:
    """The parts of the state of every parameter and their shapes, as torch's own optimizer makes them in one step with
    these settings; None for another, whose step may do anything, and where a step needs more than gradients."""
    kind = type(here)
    if not kind.__module__.startswith("torch.optim."):
        return None

    options = set(inspect.signature(kind).parameters) - {"params"}

    def step(settings: list[dict]) -> dict:
        found = {}
        for there, group in zip(settings, here.param_groups, strict=True):
            made = [torch.zeros_like(p, requires_grad=True) for p in group["params"]]
            for p in made:
                p.grad = torch.zeros_like(p)
            new = kind(made, **{name: value for name, value in there.items() if name in options})
            new.step()
            found |= {len(found) + n: {name: _shape(v) for name, v in new.state[p].items()} for n, p in enumerate(made)}
        return found

    try:
        step(here.param_groups)
    except Exception:  # it wants a closure, sparse gradients, ...
        return None
    try:
        return step(groups)
    except Exception as error:
        raise Meaningless(f"no optimizer has its settings ({str(error).splitlines()[0]})") from error


def random_numbers(saved: dict, order: torch.Generator, others: dict[str, object]) -> None:
    """States that their generators take, tried on others. others: those that the functions draw from, by place."""
    _generator_state(saved["order"], order, "the order of the data")
    _generator_state(saved["cpu"], torch.default_generator, "torch")
    processes = saved.get("processes", [])
    for part in (saved["cuda"], processes):
        must_be(isinstance(part, list) and all(map(_is_bytes, part)), "its random numbers are none")
    for state in processes:
        _generator_state(state[: len(saved["cpu"])], torch.default_generator, "a process")
    for place, state in saved.get("drawn from", {}).items():
        if place in others:
            _generator_state(state, others[place], place)


def _generator_state(state: object, generator: object, whose: str) -> None:
    try:
        if isinstance(generator, torch.Generator):
            torch.Generator(generator.device).set_state(state)
        else:
            moving.put(copy.deepcopy(generator), state)
    except Exception:  # each kind of generator has errors of its own
        raise Meaningless(f"the random numbers of {whose} are in no state that they can be in") from None


def _is_bytes(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.uint8 and value.dim() == 1


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return _is_number(value) and math.isfinite(value)


def _has_nan(value: object) -> bool:
    dense = isinstance(value, torch.Tensor) and value.is_floating_point() and value.layout == torch.strided
    return bool(value.isnan().any()) if dense else isinstance(value, float) and math.isnan(value)


def _as_finite(there: object, here: object) -> bool:
    """Whether `there` is finite where `here` is, of numbers and tensors; anything else is so."""
    if isinstance(there, torch.Tensor):
        if not (there.is_floating_point() or there.is_complex()) or there.layout != torch.strided:
            return True
        there = there.float() if there.element_size() == 1 else there
        here = here if isinstance(here, torch.Tensor) and here.shape == there.shape else torch.zeros(())
        here = (here.detach().float() if here.element_size() == 1 else here.detach()).to(there.device)
        return bool((there.isfinite() | ~here.isfinite()).all())
    if isinstance(there, list | tuple):
        return all(_as_finite(one, 0.0) for one in there)
    plain = _is_number(here) or isinstance(here, torch.Tensor)
    return not _is_number(there) or math.isfinite(there) or (plain and not math.isfinite(here))


def _shape(value: object) -> object:
    return (tuple(value.shape), value.dtype) if isinstance(value, torch.Tensor) else _kind(value)


def _kind(value: object) -> str:
    """In the words of a message; a number may become a tensor, and a list too."""
    kinds = ((type(None), "nothing"), (str, "a text"), (dict, "a dict"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "numbers")

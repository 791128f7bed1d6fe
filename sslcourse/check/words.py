"""How messages name what happened: errors, arguments, results."""

import inspect
from collections.abc import Callable

import torch


def computed(module: object) -> str:
    """The sentence about tensors of a module that were computed from its parameters, which deepcopy refuses."""
    for path, part in module.named_modules() if isinstance(module, torch.nn.Module) else ():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                return (
                    f" The tensor `{f'{path}.{name}' if path else name}` was computed from parameters and is kept: "
                    "compute it in forward. (Of weight_norm, take the one in torch.nn.utils.parametrizations.)"
                )
    return ""


def described(error: BaseException, message: str | None = None) -> str:
    return f"{type(error).__name__}: {message or shorten(str(error)) or 'no message'}"


def stop(text: str) -> str:
    """With a full stop, unless it breaks off."""
    return text if text.endswith("...") else f"{text}."


def shorten(text: str, limit: int = 200) -> str:
    """The first line of a text, at most `limit` characters of whole words, without a full stop at its end."""
    first = text.strip().split("\n")[0]
    if len(first) > limit:
        words = first[: limit + 1].rpartition(" ")[0] or first[:limit]  # one word as long as that is cut all the same
        return words.rstrip(" ,;:.") + " ..."
    return first.rstrip(".")


def named(function: Callable, args: tuple, kwargs: dict) -> dict[str, object]:
    """The arguments by the names that the student gave them; numbered where they do not fit the signature."""
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except Exception:  # no signature, another one, or an object that minds being asked
        return {f"argument {n}": value for n, value in enumerate(args, 1)} | kwargs


def tensors(value: object) -> list[torch.Tensor]:
    """An argument that is a tensor, or those in one that is a list of them or a dict."""
    parts = value if isinstance(value, list | tuple) else value.values() if type(value) is dict else [value]
    return [part for part in parts if isinstance(part, torch.Tensor)]


def given(named: dict[str, object]) -> str:
    """ " for z0 and z1 of shape (8, 16), temperature = 0.5": the inputs that an error came from."""
    shapes: dict[tuple, list[str]] = {}
    for name, value in named.items():
        if isinstance(value, torch.Tensor):
            shapes.setdefault(tuple(value.shape), []).append(name)
    parts = [f"{' and '.join(names)} of shape {shape}" for shape, names in shapes.items()]
    parts += [f"{name} = {shorten(repr(value), 60)}" for name, value in named.items() if _is_plain(value)]
    return f" for {', '.join(parts)}" if parts else ""


def _is_plain(value: object) -> bool:
    """A number, a text, or a few of these."""
    if isinstance(value, list | tuple):
        return len(value) <= 4 and all(isinstance(part, int | float | str) for part in value)
    return isinstance(value, int | float | str)


def kind(result: object) -> str:
    if result is None:
        return "None"
    if isinstance(result, torch.Tensor):
        return f"a tensor of shape {tuple(result.shape)}"
    return f"something of type {type(result).__name__}"

"""What the functions of this library ask of their arguments, in one place: one sentence where it is not so.

    n = arguments.whole("n", n, 1)

Every function takes the name of the argument and its value, and hands back the value as the plain thing that it stands
for: an int, a float, a tensor. TypeError for another kind of thing, ValueError for a wrong value. A whole number is an
int or one of NumPy's; True and 2.0 are none. Images are tensors and nothing else, since an array has its channels last.
"""

import math
import numbers
from collections.abc import Collection, Iterable, Mapping, Sequence, Set

import numpy as np
import torch
from torch import Tensor, nn

# Those that need no torch stand apart, so that a machine without it can be told in words.
from sslcourse.wording import choice as choice
from sslcourse.wording import meant as meant
from sslcourse.wording import near as near
from sslcourse.wording import shown as shown
from sslcourse.wording import text as text
from sslcourse.wording import whole_characters

LARGEST = 2**63 - 1  # what torch can count
BYTES = bytes | bytearray | memoryview


def whole(name: str, value: object, least: int | None = None, most: int = LARGEST) -> int:
    """A whole number from `least` on, up to `most`."""
    limits = "" if least is None else f" from {least} on" if most == LARGEST else f" from {least} to {most}"
    given, value = value, counted(value)
    if value is None:
        raise TypeError(f"{name} is {shown(given)}; it should be a whole number{limits}.")
    if (least is not None and value < least) or abs(value) > LARGEST or value > most:
        raise ValueError(f"{name} is {shown(value)}; it should be a whole number{limits or ' below 2**63'}.")
    return value


def counted(value: object) -> int | None:
    """The whole number that a value stands for, None where it stands for none: NumPy's durations count as numbers."""
    if isinstance(value, Tensor) and not value.is_nested and value.dim() == 0 and not value.is_meta:
        value = value.item()
        value = None if isinstance(value, float) else value
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, numbers.Integral):
        return None
    return int(value)


def real(name: str, value: object, wanted: str = "a number") -> float:
    """Any real number, NaN and infinity included, for functions that say themselves what it should be."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value if isinstance(value, Tensor) and value.is_meta else value.item()
    if isinstance(value, bool | np.bool_ | np.timedelta64) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {shown(value)}; it should be {wanted}.")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """A finite number with above < value < below and least <= value <= most; 0-dimensional tensors count."""
    bounds = ((above, "greater than"), (least, "at least"), (most, "at most"), (below, "less than"))
    limits = " and ".join(f"{word} {bound:g}" for bound, word in bounds if math.isfinite(bound))
    wanted = f"a number{' ' + limits if limits else ''}"
    value = real(name, value, wanted)
    if not math.isfinite(value) or not (above < value < below and least <= value <= most):
        raise ValueError(f"{name} is {value:g}; it should be {wanted if limits else 'a finite number'}.")
    return value


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {shown(value)}; it should be True or False.")
    return bool(value)


def texts(name: str, value: object) -> list[str]:
    """Several texts as a list; a single string is none of several letters."""
    if isinstance(value, str | bytes):
        raise TypeError(f"{name} is one text, {shown(value)}; give a list of texts, such as [{shown(value)}].")
    given, value = value, None if isinstance(value, Tensor) else listed(value)
    if value is None:
        raise TypeError(f"{name} is {shown(given)}; it should be a list of texts.")
    for n, one in enumerate(value):
        if not isinstance(one, str):
            raise TypeError(f"Entry {n} of {name} is {shown(one)}; every one should be a text.")
        whole_characters(f"Entry {n} of {name}", one)
    return value


def listed(value: object) -> list | None:
    """The things of an ordered collection, Python's own of a vector; None for what has no order, or is one thing."""
    if isinstance(value, str | BYTES | Mapping | Set | type) or not isinstance(value, Iterable):
        return None
    if isinstance(value, Tensor):
        known = value.layout == torch.strided and not (value.is_meta or value.is_quantized or value.is_nested)
        return value.tolist() if known and value.dim() == 1 else None
    if getattr(value, "ndim", 1) != 1:
        return None
    return value.tolist() if isinstance(value, np.ndarray) else list(value)


def several(name: str, value: object, letters: bool = False) -> list:
    """Names of things, texts or numbers, in a list; one text is not several, but where single letters are names."""
    if letters and isinstance(value, str):
        return list(value)
    given, value = value, listed(value)
    if value is None:
        raise TypeError(f"{name} is {shown(given)}; it should be a list of names.")
    for n, one in enumerate(value):
        if not isinstance(one, str | numbers.Real):
            raise TypeError(f"Entry {n} of {name} is {shown(one)}; it should be a name.")
        if isinstance(one, str):
            whole_characters(f"Entry {n} of {name}", one)
    return value


def mapping(name: str, value: object, example: str) -> Mapping:
    """A dict, such as the example."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is {shown(value)}; it should be a dict, such as {example}.")
    return value


def function(name: str, value: object, takes: str = "") -> object:
    if not callable(value):
        raise TypeError(f"{name} is {shown(value)}; it should be a function or a module{takes and ' of ' + takes}.")
    if isinstance(value, type):  # torch.nn.Identity for torch.nn.Identity()
        raise TypeError(f"{name} is the class {value.__name__}; it should be made: {value.__name__}(...).")
    return value


def module(name: str, value: object) -> nn.Module:
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name} is {shown(value)}; it should be a torch module.")
    return value


def generator(value: object, name: str = "generator") -> torch.Generator | None:
    if value is not None and not isinstance(value, torch.Generator):
        hint = f": torch.Generator().manual_seed({value})" if isinstance(value, int) else ""
        raise TypeError(f"{name} is {shown(value)}; it should be a torch.Generator or None{hint}.")
    return value


def device(name: str, value: object) -> torch.device:
    try:
        if not isinstance(value, str | torch.device):
            raise TypeError
        found = torch.device(value)
    except (RuntimeError, TypeError):
        raise ValueError(f"{name} is {shown(value)}; it should be a device such as 'cpu' or 'cuda'.") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"{name} is {value}, but torch finds {torch.cuda.device_count()} such devices here.")
    return found


def pair(name: str, value: object, example: str) -> tuple:
    """Two things in a tuple or a list."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise TypeError(f"{name} is {shown(value)}; it should be a pair, such as {example}.")
    return tuple(value)


def numbers_of(name: str, value: object, example: str, **limits: float) -> tuple[float, ...]:
    """At least one number, in a list, a tuple or a vector; limits as of `number`."""
    given, value = value, listed(value)
    if value is None:
        raise TypeError(f"{name} is {shown(given)}; it should hold numbers, such as {example}.")
    value = tuple(number(f"An entry of {name}", one, **limits) for one in value)
    if not value:
        raise ValueError(f"{name} is empty; it should hold at least one number, such as {example}.")
    return value


def real_tensor(name: str, value: object, expected: str) -> Tensor:
    """As `tensor`, without complex numbers and without gradients: for what is drawn or weighs pixels."""
    value = tensor(name, value, expected).detach()
    if value.is_complex():
        raise TypeError(f"{name} holds complex numbers; it should be real ones, {expected}.")
    return value


def tensor(name: str, value: object, expected: str = "a tensor of numbers") -> Tensor:
    """A dense tensor with values; NumPy arrays and lists of numbers become one without losing a digit.

    expected: what it should be, for messages. Lists of Python numbers become int64 or float64.
    """
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_meta or value.is_quantized or value.is_nested:
            kind = "has no values (device meta)" if value.is_meta else "is sparse, nested or quantised"
            raise TypeError(f"{name} {kind}; it should be {expected}, dense.")
        value = value.resolve_conj().resolve_neg()  # views that are still to be computed; NumPy knows none
        # Numbers of eight bits can be stored, and hardly an operation knows them.
        return value.float() if value.is_floating_point() and value.element_size() == 1 else value
    wrong = TypeError(f"{name} is {shown(value)}; it should be {expected}.")
    if isinstance(value, np.ma.MaskedArray | Mapping | BYTES):
        raise wrong
    several = isinstance(value, list | tuple)
    try:
        if several and any(isinstance(one, Tensor) for one in value):
            return tensor(name, _stacked(value), expected)
        array = np.asarray(value)
    except Exception:  # whatever somebody's own type may raise: rows of several lengths, above all
        raise wrong from None
    if array.dtype.kind not in "biuf" or (several and array.dtype.kind != "b" and _holds_truth(value)):
        raise wrong
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.size and array.max() > LARGEST:
            raise ValueError(f"{name} holds whole numbers from 2**63 on, which torch has no type for; scale them down.")
        array = array.astype(np.int64)
    if array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _stacked(parts: Collection) -> Tensor:
    """One tensor of several, and of numbers between them; whole numbers beside others keep their digits."""
    parts = [part if isinstance(part, Tensor) else torch.as_tensor(np.asarray(part)) for part in parts]
    floating = {part.is_floating_point() or part.is_complex() for part in parts}
    if len({part.dtype == torch.bool for part in parts}) > 1:
        raise TypeError  # True is no 1
    return torch.stack([part.double() if len(floating) > 1 and not part.is_complex() else part for part in parts])


def _holds_truth(value: Collection) -> bool:
    """Whether True or False is among the numbers of a list, in whatever depth."""
    if isinstance(next(iter(value), None), list | tuple):
        return any(_holds_truth(row) for row in value)
    return any(isinstance(one, bool | np.bool_) for one in value)


def shaped(name: str, value: Tensor) -> None:
    """Raises TypeError for a nested tensor, whose very shape raises: before a message can say what shape it is."""
    if value.is_nested:
        raise TypeError(f"{name} is {shown(value)}; it should have one shape for all: pad what is shorter.")


def dense(name: str, value: object, optional: bool = True) -> None:
    """Raises TypeError for what is no dense tensor with at least one axis; None passes where it is optional."""
    if (value is not None or not optional) and (not isinstance(value, Tensor) or tensor(name, value).dim() == 0):
        raise TypeError(f"{name} is {shown(value)}; it should be a tensor with one entry for each sample.")


def rows(name: str, value: object, example: str) -> list:
    """Things of any kind in a list or a tuple."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} is {shown(value)}; it should be a list: {example}.")
    return list(value)


def labels(name: str, value: object, length: int | None = None, least: int = 0) -> Tensor:
    """Whole numbers from `least` on as int64 (N,), as many as `length` where that is given."""
    y = tensor(name, value, f"whole numbers ({length or 'N'},)").detach()
    if y.is_floating_point() or y.is_complex() or (y.dtype == torch.bool):
        raise TypeError(f"{name} should hold whole numbers, but its type is {y.dtype}.")
    if y.dim() != 1 or length not in (None, len(y)):
        found = f"{name} has shape {tuple(y.shape)}"
        raise ValueError(f"{found}; expected ({'N' if length is None else length},): one label a sample.")
    if y.dtype == torch.uint64 and (y.view(torch.int64) < 0).any():
        raise ValueError(f"{name} holds numbers from 2**63 on; number the classes anew.")
    y = y.long()
    if len(y) and y.min() < least:
        start = "should count from 0, but" if least == 0 else f"should be numbers from {least} on, but"
        raise ValueError(f"{name} {start} holds {int(y.min())}; leave unlabelled samples out.")
    return y


def images(name: str, value: object, channels: Collection[int] | None = None) -> Tensor:
    """A tensor of images (N, C, H, W), N at least 1; what its values may be is for `data.as_float` to say."""
    if not isinstance(value, Tensor):
        hint = ": torch.from_numpy(array).permute(0, 3, 1, 2)" if isinstance(value, np.ndarray) else ""
        raise TypeError(f"{name} is {shown(value)}; it should be a tensor of images (N, C, H, W){hint}.")
    value = tensor(name, value, "a tensor of images (N, C, H, W)")
    if value.dim() != 4 or (channels and value.shape[1] not in channels):
        hint = "; for one image write image[None]" if value.dim() == 3 else ""
        wanted = f" with {' or '.join(map(str, sorted(channels)))} channels" if channels else ""
        raise ValueError(f"{name} has shape {tuple(value.shape)}; it should be (N, C, H, W){wanted}{hint}.")
    if 0 in value.shape:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, so there are no images; give at least one.")
    return value

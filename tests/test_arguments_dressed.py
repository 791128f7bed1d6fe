"""Malformed calls, the fifth table: good values in another dress, and things that pass for a number or a text.

A good value in another dress (a view, a subclass, another library's array, half precision) gives what it gives plainly,
or one sentence; whatever only passes for a value gets a sentence, or is taken for the plain one that it is equal to.
All of them at every argument take minutes: each argument gets a few of them here, others at each, and what asks of
arguments gets all.
"""

import array
import decimal
import enum
import fractions
import pathlib
import zlib

import numpy as np
import pytest
import test_arguments_rare as rare
import torch
from test_arguments import answer, equal, offline
from torch import nn

assert offline  # a fixture for every test here too


class Own(torch.Tensor):
    """A student's own tensor."""


class Text(str):
    """A student's own text."""


class Colour(enum.IntEnum):
    RED = 3


class Indexed:
    """A whole number to Python's own indexing."""

    def __index__(self):
        return 3


class Floated:
    def __float__(self):
        return 0.5


class Broken:
    """An array that cannot be made one."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("gone\nwith the wind")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise KeyError(index)


def half(dtype):
    return lambda x: x.to(dtype) if x.is_floating_point() else None, lambda x: x.to(dtype).float()


def same(change):
    return change, lambda x: x


def whole(dtype):
    """Of labels, as far as the type reaches."""
    return lambda x: None if x.is_floating_point() or x.dtype == torch.bool else x.to(dtype), lambda x: x


def table(x):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(x.numpy()) if x.dim() == 2 else pandas.Series(x.numpy()) if x.dim() == 1 else None


def backwards(x):
    return x.numpy()[::-1].copy()[::-1]  # the same numbers, at strides below zero


def spread(x):
    return torch.stack([x, x], dim=-1)[..., 0]


def neg(x):
    return torch._neg_view(-x) if x.is_floating_point() else None


DRESSED = {  # name: (what dresses a good tensor, or None where that cannot be; the plain value)
    "own subclass": same(lambda x: x.as_subclass(Own)),
    "parameter": same(lambda x: nn.Parameter(x) if x.is_floating_point() else None),
    "with a gradient": same(lambda x: x.clone().requires_grad_() if x.is_floating_point() else None),
    "with a graph": same(lambda x: x.clone().requires_grad_() * 1 if x.is_floating_point() else None),
    "view with gaps": same(spread),
    "stored by columns": same(lambda x: x.transpose(0, -1).contiguous().transpose(0, -1) if x.dim() else None),
    "negative to be": same(neg),
    "expanded": (
        lambda x: x[:1].expand(x.shape) if x.dim() else None,
        lambda x: x[:1].expand(x.shape).clone(),
    ),
    "doubles": same(lambda x: x.double() if x.is_floating_point() else None),
    "half precision": half(torch.float16),
    "half precision of brains": half(torch.bfloat16),
    "small whole numbers": whole(torch.int8),
    "unsigned ones": whole(torch.uint16),
    "unsigned long ones": whole(torch.uint64),
    "array backwards": same(backwards),
    "array by columns": same(lambda x: np.asfortranarray(x.numpy())),
    "array of the other byte order": same(lambda x: x.numpy().astype(x.numpy().dtype.newbyteorder())),
    "array that cannot be written": same(
        lambda x: np.frombuffer(x.numpy().tobytes(), x.numpy().dtype).reshape(x.shape)
    ),
    "array of long doubles": same(lambda x: x.numpy().astype(np.longdouble) if x.is_floating_point() else None),
    "array of halves": (
        lambda x: x.numpy().astype(np.float16) if x.is_floating_point() else None,
        lambda x: x.half().float(),
    ),
    "matrix": same(lambda x: np.asmatrix(x.numpy()) if x.dim() == 2 else None),
    "masked array": (lambda x: np.ma.masked_array(x.numpy()), None),
    "records": (lambda x: np.rec.fromarrays([x.numpy().ravel()], names="a"), None),
    "table": same(table),
    "list of rows": same(lambda x: list(x) if x.dim() else None),
    "array of rows": same(lambda x: array.array("d", x.double().tolist()) if x.dim() == 1 else None),
    "complex": (lambda x: x.to(torch.complex64), None),
    "compressed columns": (lambda x: x.to_sparse_csc() if x.dim() == 2 else None, None),
    "quantised": (
        lambda x: torch.quantize_per_tensor(x, 0.01, 0, torch.qint8) if x.dtype == torch.float32 else None,
        None,
    ),
    "nested": (lambda x: torch.nested.as_nested_tensor(list(x)) if x.dim() > 1 and len(x) else None, None),
    "on meta, with a gradient": (lambda x: x.to("meta").requires_grad_() if x.is_floating_point() else None, None),
    "one label too few": (lambda x: x[:-1] if x.dim() == 1 and x.dtype == torch.int64 and len(x) > 1 else None, None),
    "whole numbers as floats": whole(torch.float64),
    "true or false": (lambda x: x > 0 if x.dtype == torch.int64 else None, lambda x: (x > 0).long()),
    "numbers in texts": (lambda x: np.array([str(v) for v in x.tolist()]) if x.dim() == 1 else None, None),
    "mkldnn": (lambda x: x.to_mkldnn() if x.dtype == torch.float32 and x.dim() == 2 else None, None),
}
PASSING = {  # name: (what makes it, the plain value or None)
    "duration of nothing": (lambda: np.timedelta64(0, "s"), None),
    "no duration": (lambda: np.timedelta64("NaT"), None),
    "no date": (lambda: np.datetime64("NaT"), None),
    "duration in an array": (lambda: np.array(np.timedelta64(3, "s")), None),
    "durations": (lambda: np.array([1, 2], dtype="timedelta64[s]"), None),
    "enumerated": (lambda: Colour.RED, lambda: 3),
    "an index to Python": (lambda: Indexed(), lambda: 3),
    "a float to Python": (lambda: Floated(), lambda: 0.5),
    "an array that breaks": (lambda: Broken(), None),
    "whole decimal": (lambda: decimal.Decimal(3), lambda: 3.0),
    "infinite decimal": (lambda: decimal.Decimal("Infinity"), None),
    "decimal that shouts": (lambda: decimal.Decimal("sNaN"), None),
    "negative fraction": (lambda: fractions.Fraction(-1, 3), lambda: -1 / 3),
    "small fraction": (lambda: fractions.Fraction(1, 10**400), lambda: 0.0),
    "decimals": (lambda: [decimal.Decimal("0.5"), decimal.Decimal("0.25")], lambda: [0.5, 0.25]),
    "long double": (lambda: np.longdouble("0.5"), lambda: 0.5),
    "NaN of float32": (lambda: np.float32("nan"), lambda: float("nan")),
    "infinity of float16": (lambda: np.float16("inf"), lambda: float("inf")),
    "true of NumPy, no axis": (lambda: np.array(True), lambda: torch.tensor(True)),
    "true of torch": (lambda: torch.tensor(True), lambda: True),
    "unsigned": (lambda: np.uint64(2**64 - 1), lambda: 2.0**64),
    "bfloat16": (lambda: torch.tensor(0.5, dtype=torch.bfloat16), lambda: 0.5),
    "number with a gradient": (lambda: torch.tensor(0.5, requires_grad=True), lambda: 0.5),
    "number in two brackets": (lambda: torch.tensor([[3]]), lambda: [[3]]),
    "complex of no axis": (lambda: torch.tensor(1 + 0j), None),
    "quantised number": (lambda: torch.quantize_per_tensor(torch.tensor(0.5), 0.1, 0, torch.quint8), lambda: 0.5),
    "record": (lambda: np.void(b"abc"), None),
    "own text": (lambda: Text("tiny"), lambda: "tiny"),
    "path": (lambda: pathlib.Path("tiny"), None),
    "text with a NUL": (lambda: "ti\0ny", lambda: "ti\0ny"),
    "text of nothing seen": (lambda: "\u200b", lambda: "\u200b"),
    "halves of characters": (lambda: "\ud83d\ude00", None),
    "long text": (lambda: "a" * 2000, lambda: "a" * 2000),
    "memory": (lambda: memoryview(b"tiny"), None),
    "bytes of NumPy": (lambda: np.bytes_(b"tiny"), None),
    "empty generator": (lambda: (n for n in ()), lambda: []),
    "empty text": (lambda: "", lambda: ""),
    "empty array": (lambda: np.array([]), lambda: []),
    "empty tensor of many axes": (lambda: torch.empty(0, 3, 8, 8), lambda: torch.empty(0, 3, 8, 8)),
    "a set of texts": (lambda: {"a", "b"}, None),
    "a number's type": (lambda: np.float64, None),
    "a module's class": (lambda: nn.Identity, None),
    "NaN in a list": (lambda: [0.5, float("nan")], None),
}
SLOW = rare.SLOW | {"0 load_sentence_encoder"}
FINE = {(name, "complex") for name in ("gather", "fit, data", "ImageSet, factor", "TextSet, factor", "rotate_batch")}
FINE |= {("as_float", kind) for kind in ("bfloat16", "number with a gradient")}  # of any shape
FINE |= {("curves, values", "NaN in a list")}  # a gap
FINE |= {("fit", "path"), ("ProteinLM, ids", "number in two brackets")}
FINE |= {("gather", "number in two brackets"), ("mask_residues", "number in two brackets")}  # one row
FINE |= {("TextTransformer, ids", "number in two brackets"), ("rankme", "number in two brackets")}
# The loss is the caller's own there, and so is what it makes of numbers of another type.
FINE |= {("fit, data", kind) for kind in ("doubles", "half precision", "half precision of brains", "list of rows")}
FINE |= {("fit, data", kind) for kind in ("number in two brackets", "one label too few")}


def wrong(name, kind, call, dressed, plain):
    """What is wrong with the answer to a call, or None. plain: the arguments of the plain value, or None."""
    result, problem = answer(call, dressed)
    if problem or rare.said(result) or (name, kind) in FINE:
        return None if (name, kind) in FINE else problem
    if plain is not None:
        other, problem = answer(call, plain)
        if not problem and not rare.said(other) and alike(result, other):
            return None
    return f"came back with {type(result).__name__}"


def alike(a, b):
    """Up to what doubles, summed in another order, may differ from floats."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and a.shape == b.shape and not a.is_complex():
        return torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-5, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=1e-3, abs=1e-5, nan_ok=True)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(alike, a, b))
    return equal(a, b)


def calls(name, per_argument=None):
    """(argument, kind, arguments, plain arguments or None), the same in every run; per_argument: how many kinds."""
    _, (_, arguments) = rare.TABLES[name]
    good = {argument: value for argument, (_, value) in arguments.items()}
    for argument, value in good.items():
        dressing = DRESSED if isinstance(value, torch.Tensor) and value.layout == torch.strided else {}
        kinds = sorted([*dressing, *PASSING], key=lambda kind: zlib.crc32(f"{name} {argument} {kind}".encode()))
        found = 0
        for kind in kinds:
            make, plain = DRESSED.get(kind) or PASSING[kind]
            given = () if kind in PASSING else (value.clone(),)
            if (dressed := make(*given)) is None:  # this value cannot be dressed so
                continue
            yield argument, kind, good | {argument: dressed}, plain and good | {argument: plain(*given)}
            found += 1
            if found == per_argument:
                break


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in rare.TABLES if name not in SLOW])
def test_a_dressed_value_gives_its_plain_result_or_one_sentence(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short, (call, _) = rare.TABLES[name]
    found = {
        (argument, kind): wrong(short, kind, call, dressed, plain) for argument, kind, dressed, plain in calls(name, 2)
    }
    assert not {place: what for place, what in found.items() if what}


RIGHT = {*(("pair", kind) for kind in ("NaN in a list", "decimals")), ("tensor", "complex of no axis")}
RIGHT |= {(ask, "NaN in a list") for ask in ("several", "tensor")}  # which callers refuse


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ask", rare.ASKED)
def test_what_asks_of_arguments_knows_what_passes_for_a_value(ask):
    found = {
        kind: wrong(ask, kind, rare.ASKED[ask], {"value": make()}, plain and {"value": plain()})
        for kind, (make, plain) in PASSING.items()
        if (ask, kind) not in RIGHT
    }
    assert not {kind: what for kind, what in found.items() if what}


def test_there_are_hundreds_of_them():
    assert 2 * sum(len(arguments) for name, (_, (_, arguments)) in rare.TABLES.items() if name not in SLOW) > 700

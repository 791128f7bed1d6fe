"""Malformed calls, the fourth table: rare kinds of value for every argument of the first three.

A rare value is answered by one sentence, or as the plain value that it stands for: a fraction as its float, a table of
another library as its array. So nothing is taken for a number that it is not. All of them at every argument take
minutes: each argument gets a twelfth of them here, another one at each, and what asks of arguments gets all.
"""

import collections
import datetime
import decimal
import fractions
import types
import zlib

import numpy as np
import pytest
import test_arguments as first
import test_arguments_objects as second
import test_arguments_parameters as third
import torch
from test_arguments import answer, equal, offline

from sslcourse import arguments as asked

assert offline  # a fixture for every test here too


class Table:
    """As a data frame is one: an array inside, and attributes of one."""

    def __init__(self, values):
        self.values = np.array(values)
        self.shape, self.ndim, self.size = self.values.shape, self.values.ndim, self.values.size

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self):
        return len(self.values)


class Whole(int):
    """A student's own."""


FEW = [[0.25, 0.5], [0.75, 1.0], [0.5, 0.125]]
RARE = {  # name: (what makes it, the plain value or None)
    "array of objects": (lambda: np.array([1, "a", None], dtype=object), None),
    "array of objects that are numbers": (lambda: np.array(FEW, dtype=object), None),
    "masked array": (lambda: np.ma.masked_array([0.5, 1.0], [True, False]), None),
    "table": (lambda: Table(FEW), lambda: np.array(FEW)),
    "table of texts": (lambda: Table([["a", "b"]]), None),
    "sparse": (lambda: torch.tensor(FEW).to_sparse(), None),
    "compressed rows": (lambda: torch.eye(3).to_sparse_csr(), None),
    "quantised": (lambda: torch.quantize_per_tensor(torch.tensor(FEW), 0.1, 0, torch.quint8), None),
    "number on meta": (lambda: torch.tensor(2, device="meta"), None),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), None),
    "complex tensor": (lambda: torch.ones(3, 2, dtype=torch.complex64), None),
    "rows of several depths": (lambda: [[1.0], 2.0, [[3.0]]], None),
    "generator": (lambda: (n for n in (1, 2, 3)), lambda: [1, 2, 3]),
    "iterator of texts": (lambda: iter(["a", "b"]), lambda: ["a", "b"]),
    "set": (lambda: {1, 2}, None),
    "frozen set": (lambda: frozenset("ab"), None),
    "dict": (lambda: {"b": 1}, lambda: {"b": 1}),
    "bytes": (lambda: b"tiny", None),
    "changeable bytes": (lambda: bytearray(b"tiny"), None),
    "date of NumPy": (lambda: np.datetime64("2020-01-01"), None),
    "dates": (lambda: np.array(["2020-01-01"], dtype="datetime64[D]"), None),
    "duration": (lambda: np.timedelta64(3, "s"), None),
    "date": (lambda: datetime.date(2020, 1, 1), None),
    "decimal": (lambda: decimal.Decimal("0.5"), lambda: 0.5),
    "decimal that is none": (lambda: decimal.Decimal("NaN"), None),
    "fraction": (lambda: fractions.Fraction(1, 2), lambda: 0.5),
    "whole fraction": (lambda: fractions.Fraction(3, 1), lambda: 3.0),
    "text of NumPy": (lambda: np.str_("tiny"), lambda: "tiny"),
    "array of no axis": (lambda: np.array(3), lambda: 3),
    "array of no axis, of a share": (lambda: np.array(0.5), lambda: 0.5),
    "array of no axis, of a text": (lambda: np.array("tiny"), lambda: "tiny"),
    "complex number": (lambda: np.complex128(1 + 0j), None),
    "a huge number": (lambda: 10**400, None),
    "a huge negative one": (lambda: -(10**400), None),
    "2**63": (lambda: 2**63, lambda: 2.0**63),
    "negative zero": (lambda: -0.0, lambda: 0.0),
    "half precision": (lambda: np.float16(0.5), lambda: 0.5),
    "own whole number": (lambda: Whole(3), lambda: 3),
    "ellipsis": (lambda: ..., None),
    "not implemented": (lambda: NotImplemented, None),
    "range": (lambda: range(2, 5), lambda: [2, 3, 4]),
    "slice": (lambda: slice(2), None),
    "deque": (lambda: collections.deque([0.5, 1.0]), lambda: [0.5, 1.0]),
    "lone surrogate": (lambda: "\ud800", None),
    "namespace": (lambda: types.SimpleNamespace(shape=(3, 2), dtype=torch.float32), None),
    "record": (lambda: np.array([(1, 2.0)], dtype="i4,f8"), None),
}
RARE |= {
    "texts, one with half of a character": (lambda: ["a", "\udc80"], None),
    "numbers, one of them huge": (lambda: [0.5, 10**400], None),
    "a set of numbers": (lambda: {0.1, 0.2}, None),
    "views of a dict": (lambda: {"a": 1}.keys(), None),
}
TABLES = {f"{n} {name}": (name, row) for n, table in enumerate((first.CALLS, second.WITHOUT_FILES, third.CALLS))
          for name, row in table.items()}  # fmt: skip
SLOW = {"0 load_images", "0 load_esm", "0 load_proteins", "0 ImageSet.subset", "0 embedding"}
SLOW |= {"2 show, the board", "2 an exercise"}
FINE = {  # complex numbers are carried along, or meet a loss that is the caller's own; a slice is an index
    *(("gather", "complex tensor"), ("ImageSet, factor", "complex tensor"), ("fit, data", "complex tensor")),
    *((name, "numbers, one of them huge") for name in ("heat_map", "heat_maps")),  # as names
    *((f"{kind}[index]", "slice") for kind in ("ImageSet", "TextSet", "ProteinSet", "OwnSet")),
}


def said(result):
    return isinstance(result, str) and result == "said"


def wrong(name, kind, call, arguments):
    """What is wrong with the answer to a call with one argument that is rare, or None; arguments: of a plain value."""
    make, plain = RARE[kind]
    result, problem = answer(call, arguments(make()))
    if problem or said(result) or (name, kind) in FINE:
        return None if (name, kind) in FINE else problem
    if plain is not None:
        other, problem = answer(call, arguments(plain()))
        if not problem and not said(other) and equal(result, other):
            return None
    return f"came back with {type(result).__name__}"


def chosen(*names):
    """A twelfth of the kinds, another one for every argument, the same in every run."""
    start = zlib.crc32(" ".join(names).encode())
    return [kind for n, kind in enumerate(RARE) if (n + start) % 12 == 0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in TABLES if name not in SLOW])
def test_a_rare_value_gets_one_sentence_or_is_what_it_stands_for(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short, (call, arguments) = TABLES[name]
    good = {argument: value for argument, (_, value) in arguments.items()}
    found = {
        (argument, kind): wrong(short, kind, call, lambda value, argument=argument: good | {argument: value})
        for argument in arguments
        for kind in chosen(name, argument)
    }
    assert not {place: what for place, what in found.items() if what}


ASKED = {
    "whole": lambda value: asked.whole("n", value),
    "number": lambda value: asked.number("n", value),
    "real": lambda value: asked.real("n", value),
    "flag": lambda value: asked.flag("n", value),
    "text": lambda value: asked.text("n", value),
    "texts": lambda value: asked.texts("n", value),
    "several": lambda value: asked.several("n", value),
    "numbers_of": lambda value: asked.numbers_of("n", value, "(0.1, 1)"),
    "tensor": lambda value: asked.tensor("n", value),
    "labels": lambda value: asked.labels("n", value),
    "images": lambda value: asked.images("n", value),
    "device": lambda value: asked.device("n", value),
    "pair": lambda value: asked.pair("n", value, "(0.2, 1.0)"),
}
RIGHT = {  # what is no mistake after all
    *(("tensor", kind) for kind in ("complex tensor",)),
    *(("pair", kind) for kind in ("texts, one with half of a character", "numbers, one of them huge")),
    ("several", "numbers, one of them huge"),  # names may be numbers of any size
    *(("real", kind) for kind in ("a huge number", "a huge negative one")),  # infinite, which its callers refuse
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", RARE)
@pytest.mark.parametrize("ask", ASKED)
def test_what_asks_of_arguments_knows_every_rare_value(ask, kind):
    if (ask, kind) not in RIGHT:
        assert wrong(ask, kind, ASKED[ask], lambda value: {"value": value}) is None

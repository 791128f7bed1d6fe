"""What travels between the judging side and student code arrives as it was; what is no value does not arrive."""

import json
import socket
import struct
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sslcourse.cli.grade.values import LARGEST, Channel, Gone, Packer, Unfit, Unpacker


def through(value, strict=False):
    packer = Packer(strict)
    frame = packer.frame({"value": packer.tree(value)})
    head, body = struct.unpack_from("<IQ", frame)
    came = Unpacker(frame[12 : 12 + head], frame[12 + head :])
    assert len(frame) == 12 + head + body
    return came.value(came.message["value"])


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -(1 << 70), 0.1, float("inf"), "Straße \ud800", [1, [2.5]], (1, "a"), {(1, 2): [3]}, {1, 2}],
    ids=repr,
)
def test_plain_values_arrive_as_they_were(value):
    came = through(value, strict=True)
    assert came == value and type(came) is type(value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (4,)])
def test_tensors_arrive_bit_by_bit(dtype, shape):
    value = torch.randn(shape).mul(5).to(dtype)
    came = through(value)
    assert came.dtype == dtype and came.shape == value.shape and torch.equal(came, value)


def test_views_gradients_and_the_same_tensor_twice():
    value = torch.randn(4, 3, requires_grad=True)
    first, second, turned = through([value, value, value.detach().T])
    assert first is second and first.requires_grad and not turned.requires_grad
    assert torch.equal(turned, value.T)


def test_a_generator_goes_on_where_it_was():
    generator = torch.Generator().manual_seed(3)
    torch.rand(5, generator=generator)
    came = through(generator)
    assert torch.equal(torch.rand(3, generator=came), torch.rand(3, generator=generator))


def test_other_objects_arrive_as_their_name_alone():
    @dataclass
    class Probe:
        accuracy: float

    pair = namedtuple("pair", "a b")(1, 2)
    assert through(pair) == (1, 2) and type(through(pair)) is tuple
    assert through(np.float64(0.5)) == 0.5 and through(np.arange(3)).tolist() == [0, 1, 2]
    assert through(Probe(0.5)).accuracy == 0.5
    assert type(through(torch.nn.Linear(1, 1))).__name__ == "Linear"

    class Yes(torch.Tensor):
        pass

    assert not isinstance(through(torch.zeros(2).as_subclass(Yes)), torch.Tensor)
    with pytest.raises(Unfit):
        through(torch.nn.Linear(1, 1), strict=True)


def test_what_is_too_large_or_too_deep_does_not_leave():
    deep = []
    for _ in range(100):
        deep = [deep]
    for value in (deep, torch.zeros(1).expand(LARGEST)):
        with pytest.raises(Unfit):
            through(value)


@pytest.mark.parametrize(
    "tree",
    [
        {"T": 0, "k": "float32", "s": [1 << 40], "b": 0, "r": False},
        {"T": 0, "k": "float32", "s": [-1], "b": 0, "r": False},
        {"T": 0, "k": "float32", "s": [True], "b": 0, "r": False},
        {"T": 5},
        {"T": 0, "k": "object", "s": [], "b": 0, "r": False},
        {"f": "one"},
        {"d": [[[], 1]]},
        {"g": 0, "s": 0},
        {"?": 1},
        {"o": "a", "a": 3},
    ],
    ids=str,
)
def test_what_no_packer_made_is_refused(tree):
    with pytest.raises(Unfit):
        Unpacker(json.dumps({}).encode(), struct.pack("<IQ", 1, 1) + b"x").value(tree)


@pytest.mark.parametrize(
    "head, body", [(b"{", b""), (b"[]", b"\0\0\0\0"), (b"{}", b"\xff\xff\xff\xff"), (b"[" * 10**5, b"")]
)
def test_broken_frames_are_refused(head, body):
    with pytest.raises(Unfit):
        Unpacker(head, body)


def test_a_channel_knows_late_from_gone_and_takes_no_flood():
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    channel.deadline = 0.0
    with pytest.raises(Gone) as late:
        channel.receive()
    assert late.value.late
    theirs.sendall(struct.pack("<IQ", 10, 1 << 50))
    with pytest.raises(Unfit, match="MB"):
        channel.receive()
    theirs.close()
    with pytest.raises(Gone) as gone:
        channel.receive()
    assert not gone.value.late

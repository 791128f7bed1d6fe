"""Rotary positions: both conventions accepted, in several styles, and each slip told as what it is."""

import math

import pytest
import torch
from harness import assert_right, assert_wrong

from sslcourse.check import week03 as check
from sslcourse.check.week03 import turning as definition


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def angles(positions, d, base=10_000.0):
    return positions[:, None].double() * base ** (-torch.arange(0, d, 2).double() / d)  # (L, d / 2)


def by_halves(q, k, positions):
    """As in transformers: cos and sin twice side by side, and the halves swapped with a minus."""
    wide = torch.cat([angles(positions, q.shape[-1])] * 2, dim=-1)
    cos, sin = wide.cos().to(q), wide.sin().to(q)

    def rotate_half(x):
        a, b = x.chunk(2, dim=-1)
        return torch.cat((-b, a), dim=-1)

    return q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin


def by_complex_numbers(q, k, positions):
    """As in the first Llama: neighbours as one complex number."""
    turn = torch.polar(torch.ones(len(positions), q.shape[-1] // 2).double(), angles(positions, q.shape[-1]))

    def turned(x):
        z = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous()) * turn
        return torch.view_as_real(z).flatten(-2).to(x)

    return turned(q), turned(k)


def by_matrices(q, k, positions):
    """One rotation matrix of neighbours for each place."""
    d, matrices = q.shape[-1], []
    for row in angles(positions, d):
        blocks = [torch.stack([torch.stack([a.cos(), -a.sin()]), torch.stack([a.sin(), a.cos()])]) for a in row]
        matrices.append(torch.block_diag(*blocks))
    turn = torch.stack(matrices)  # (L, d, d)
    return tuple(torch.einsum("lde,nhle->nhld", turn, x.double()).to(x) for x in (q, k))


@pytest.mark.parametrize("right", [by_halves, by_complex_numbers, by_matrices])
def test_right_rotary(right, seeds):
    assert_right(check.rotary, right)


def changed(angle=angles, turn=None, both=True, back=1.0):
    """By halves, with something else."""

    def rotary(q, k, positions):
        half = angle(positions, q.shape[-1]).to(q)

        def turned(x, sign=1.0):
            a, b = x.chunk(2, dim=-1)
            cos, sin = half.cos(), sign * half.sin()
            return torch.cat((turn or (lambda a, b, c, s: (a * c - b * s, a * s + b * c)))(a, b, cos, sin), dim=-1)

        return turned(q), turned(k, back) if both else k

    return rotary


def mixed(q, k, positions):
    """A known one: angles for neighbours, partners for halves."""
    wide = angles(positions, q.shape[-1]).repeat_interleave(2, dim=-1)
    cos, sin = wide.cos().to(q), wide.sin().to(q)

    def turned(x):
        a, b = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-b, a), dim=-1) * sin

    return turned(q), turned(k)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (changed(lambda p, d: angles(torch.arange(len(p)), d)), "positions are counted from 0"),
        (changed(lambda p, d: angles(p + 1, d)), "positions begin at 1"),
        (changed(lambda p, d: -angles(p, d)), "turns the other way"),
        (changed(turn=lambda a, b, c, s: (a * c + b * s, a * s + b * c)), "both of a pair get a plus"),
        (changed(lambda p, d: p[:, None] * 1e4 ** (-torch.arange(d // 2) / d)), "half as fast"),
        (changed(lambda p, d: p[:, None] * 1e4 ** (-torch.arange(0, 2 * d, 4) / d)), "twice as fast"),
        (changed(lambda p, d: p[:, None] * 1e4 ** (torch.arange(0, d, 2) / d)), "exponent of the base is negative"),
        (changed(lambda p, d: p[:, None] * torch.ones(d // 2)), "all pairs turn alike"),
        (changed(lambda p, d: angles(p, d, 1000.0)), "the base is not 10,000"),
        (changed(lambda p, d: angles(p, d, 500_000.0)), "the base is not 10,000"),
        (
            changed(lambda p, d: p[:, None] * 1e4 ** (-2 * torch.arange(d // 2) / max(d - 2, 1))),
            "not that of the paper",
        ),
        (changed(lambda p, d: p[:, None] * 1e4 ** (-2 * torch.arange(1, d // 2 + 1) / d)), "not that of the paper"),
        (changed(lambda p, d: angles(p - p[0], d)), "counted from the first that is given"),
        (changed(lambda p, d: angles(p.sort().values, d)), "positions are sorted"),
        (changed(lambda p, d: angles(p / p.max().clamp(min=1), d)), "divided by their number or by the largest"),
        (changed(lambda p, d: angles(2 * math.pi * p, d)), "factor of pi"),
        (changed(turn=lambda a, b, c, s: (a * c - b * s, (a * c - b * s) * s + b * c)), "after it was turned"),
        (changed(turn=lambda a, b, c, s: (a * c - b * s, b)), "only one of each pair"),
        (changed(turn=lambda a, b, c, s: (a * c, b * c)), "only the cosine is there"),
        (changed(turn=lambda a, b, c, s: (a + s, b + c)), "sines and cosines are added"),
        (lambda q, k, p: tuple(x / 8**0.5 for x in by_halves(q, k, p)), "divided by the root of d"),
        (
            lambda q, k, p: tuple(torch.cat([x[..., ::2], x[..., 1::2]], -1) for x in by_complex_numbers(q, k, p)),
            "come back in another order",
        ),
        (mixed, "two conventions are mixed"),
        (changed(both=False), "k comes out as it went in"),
        (changed(back=-1.0), "opposite directions"),
        (lambda q, k, positions: (q, k), "nothing is turned"),
        (lambda q, k, positions: by_halves(k, q, positions), "q and k are swapped"),
        (lambda q, k, positions: by_halves(q, k, positions)[0], "two tensors"),
        (lambda q, k, positions: tuple(x + 0.1 * positions[:, None] for x in (q, k)), "lengths, yours does not"),
        (changed(turn=lambda a, b, c, s: (a * c - b * s, b * c + a * s + 0.01)), "it should be"),
    ],
)
def test_wrong_rotary(wrong, words):
    assert_wrong(check.rotary, wrong, words)


def test_the_definitions_equal_transformers_and_know_the_distance_only():
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    q, k, positions = drawn(2, 3, 6, 8), drawn(2, 3, 6, 8, seed=1), torch.tensor([0, 1, 2, 7, 30, 100])
    wide = torch.cat([angles(positions, 8)] * 2, dim=-1)[None]
    theirs = apply_rotary_pos_emb(q, k, wide.cos(), wide.sin())
    for mine, other, x in zip((definition.rotary(x, positions, "halves") for x in (q, k)), theirs, (q, k), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-12, rtol=0)
        torch.testing.assert_close(mine.norm(dim=-1), x.norm(dim=-1))
    for pairing in definition.PAIRINGS:
        torch.testing.assert_close(
            definition._turned(q, positions, pairing), definition.rotary(q, positions, pairing), atol=1e-12, rtol=0
        )
        one, other = (
            definition.rotary(q, p, pairing) @ definition.rotary(k, p, pairing).transpose(2, 3)
            for p in (positions, positions + 13)
        )
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)

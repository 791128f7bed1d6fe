"""The check of rotary: positions as rotations, one pair of features at a time, and the mistakes that have names.

Reference: Su et al. 2021, "RoFormer: enhanced transformer with rotary position embedding", eq. 14 and 15. Which
features form a pair is a matter of taste: neighbours (2i, 2i + 1) in the paper, (i, i + d/2) in the ESM, Llama and
ModernBERT of transformers. Weights trained with one are wrong with the other; both are right here.
"""

from functools import partial
from math import cos, sin

import torch
from torch import Tensor

from sslcourse.check.compare import close, gives, tensor, two_parts, worst
from sslcourse.check.machinery import Student, Wrong

BASE = 10_000.0
PAIRINGS = {
    "neighbours": lambda d: [(2 * i, 2 * i + 1) for i in range(d // 2)],
    "halves": lambda d: [(i, i + d // 2) for i in range(d // 2)],
}


def rotary(x: Tensor, positions: Tensor, pairing: str) -> Tensor:
    """x (N, heads, L, d): pair i of the features at position m turned by m base^(-2i / d)."""
    out, d = x.clone(), x.shape[3]
    for at, m in enumerate(positions.tolist()):
        for i, (a, b) in enumerate(PAIRINGS[pairing](d)):
            angle = m * BASE ** (-2 * i / d)
            out[:, :, at, a] = x[:, :, at, a] * cos(angle) - x[:, :, at, b] * sin(angle)
            out[:, :, at, b] = x[:, :, at, a] * sin(angle) + x[:, :, at, b] * cos(angle)
    return out


def _turned(
    x: Tensor,
    positions: Tensor,
    pairing: str,
    *,
    exponent=lambda i, d: -2 * i / d,
    base: float = BASE,
    sign: float = 1.0,
    mirrored: bool = False,
    places: str = "given",
    mix: bool = False,
    length: float = 1.0,
) -> Tensor:
    """`rotary` with something wrong; right with the defaults."""
    d = x.shape[3]
    m = {"given": positions, "counted": torch.arange(x.shape[2]), "one more": positions + 1}[places].to(x)
    i = torch.arange(d // 2, dtype=x.dtype)
    angle = sign * m[:, None] * base ** exponent(i, d)  # (L, d / 2)
    a, b = (torch.tensor(side) for side in zip(*PAIRINGS[pairing](d), strict=True))
    c, s = angle.cos(), angle.sin()
    out = torch.empty_like(x)
    if mix:  # angles ordered as one pairing has them, partners as the other
        order = torch.cat([a, b])
        wide_c, wide_s = (torch.empty(len(m), d, dtype=x.dtype) for _ in range(2))
        wide_c[:, order], wide_s[:, order] = c.repeat(1, 2), s.repeat(1, 2)
        other = next(name for name in PAIRINGS if name != pairing)
        a, b = (torch.tensor(side) for side in zip(*PAIRINGS[other](d), strict=True))
        out[..., a] = x[..., a] * wide_c[:, a] - x[..., b] * wide_s[:, a]
        out[..., b] = x[..., b] * wide_c[:, b] + x[..., a] * wide_s[:, b]
        return out
    out[..., a] = x[..., a] * c - x[..., b] * s * (-1 if mirrored else 1)
    out[..., b] = x[..., a] * s + x[..., b] * c
    return length * out


MISTAKES = {
    "the positions are counted from 0: use those that are given.": (partial(_turned, places="counted"),),
    "the positions begin at 1: a place at position 0 is not turned.": (partial(_turned, places="one more"),),
    "it turns the other way: the first of a pair becomes a cos - b sin, the second a sin + b cos.": (
        partial(_turned, sign=-1.0),
    ),
    "both of a pair get a plus: a rotation has one minus, a cos - b sin, and keeps the length.": (
        partial(_turned, mirrored=True),
    ),
    "the frequencies fall half as fast: pair i has base^(-2i / d), from 1 down to nearly 1 / base.": (
        partial(_turned, exponent=lambda i, d: -i / d),
    ),
    "the frequencies fall twice as fast: pair i has base^(-2i / d).": (
        partial(_turned, exponent=lambda i, d: -4 * i / d),
    ),
    "the frequencies grow: the exponent of the base is negative.": (partial(_turned, exponent=lambda i, d: 2 * i / d),),
    "all pairs turn alike: pair i has a frequency of its own, base^(-2i / d).": (
        partial(_turned, exponent=lambda i, d: 0 * i),
    ),
    "the base is not 10,000.": (partial(_turned, base=1000.0), partial(_turned, base=100_000.0)),
    "two conventions are mixed: the angles are laid out for one pairing of features, the partners for the other.": (
        partial(_turned, mix=True),
    ),
    "nothing is turned.": (lambda x, positions, pairing: x,),
}


def examine_rotary(student: Student) -> str:
    q, k = (1.5 * student.normal(2, 3, 5, 8) for _ in range(2))
    for positions in (torch.arange(5), torch.tensor([3, 0, 11, 4, 120]), torch.tensor([2, 1, 0, 9, 2])):
        turned = two_parts(student(q, k, positions), "q, k", "two tensors")
        turned = [tensor(x, tuple(q.shape), f"{name} is") for name, x in zip("qk", turned, strict=True)]
        _judge(q, k, positions, turned)
    short = student.normal(1, 1, 1, 2)
    (one, _) = two_parts(student(short, short, torch.tensor([1])), "q, k", "two tensors")
    if not close(tensor(one, (1, 1, 1, 2), "q is"), rotary(short.double(), torch.tensor([1]), "halves")):
        raise Wrong("A head of two features at position 1 is turned by one radian: yours gives something else.")
    return "Every pair turned by its angle at given positions; lengths kept; q k depends on the distance alone."


def _judge(q: Tensor, k: Tensor, positions: Tensor, turned: list[Tensor]) -> None:
    pair = q.double(), k.double()
    for pairing in PAIRINGS:
        if all(close(came, rotary(x, positions, pairing)) for came, x in zip(turned, pair, strict=True)):
            return
    where = f"At positions {', '.join(map(str, positions.tolist()))} "
    right = {pairing: [rotary(x, positions, pairing) for x in pair] for pairing in PAIRINGS}
    for pairing, (q_right, k_right) in right.items():
        for mine, other, name in ((0, 1, "k"), (1, 0, "q")):
            wanted = (q_right, k_right)[mine]
            if close(turned[mine], wanted) and close(turned[other], pair[other]):
                raise Wrong(f"{where}{name} comes out as it went in: queries and keys are both turned.")
        if close(turned[0], k_right) and close(turned[1], q_right):
            raise Wrong(f"{where}q and k are swapped: return q, k.")
        if close(turned[0], q_right) and close(turned[1], _turned(pair[1], positions, pairing, sign=-1.0)):
            raise Wrong(f"{where}q and k are turned in opposite directions: then the product knows the sum, m + n.")
    saw = {
        sentence
        for sentence, variants in MISTAKES.items()
        for variant in variants
        for pairing in PAIRINGS
        if all(close(came, variant(x, positions, pairing)) for came, x in zip(turned, pair, strict=True))
    }
    lengths = [float(came.double().norm() / x.norm()) for came, x in zip(turned, pair, strict=True)]
    index, value, should = worst(turned[0], right["halves"][0])
    found = f"{where}q{list(index)} {gives(value, should)} (with pairs (i, i + d/2); pairs (2i, 2i + 1) are right too)"
    if len(saw) == 1:
        raise Wrong(f"{found}\nIt looks as if {saw.pop()}")
    kept = "" if all(close(one, 1.0, 1e-3) for one in lengths) else " A rotation keeps lengths, yours does not."
    raise Wrong(f"{found}{kept}")

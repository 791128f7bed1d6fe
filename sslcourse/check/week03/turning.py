"""The check of rotary: positions as rotations, one pair of features at a time, and the mistakes that have names.

Reference: Su et al. 2021, "RoFormer: enhanced transformer with rotary position embedding", eq. 14 and 15. Which
features form a pair is a matter of taste: neighbours (2i, 2i + 1) in the paper, (i, i + d/2) in the ESM, Llama and
ModernBERT of transformers. Weights trained with one are wrong with the other; both are right here.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import cos, pi, sin

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
    swapped: bool = False,
    places=lambda m: m,
    mix: bool = False,
    kept: slice | None = None,
    after=lambda out: out,
) -> Tensor:
    """`rotary` with something wrong; right with the defaults. kept: pairs that are not turned."""
    d = x.shape[3]
    m = places(positions).to(x)
    i = torch.arange(d // 2, dtype=x.dtype)
    angle = sign * m[:, None] * base ** exponent(i, d)  # (L, d / 2)
    if kept is not None:
        angle[:, kept] = 0
    a, b = (torch.tensor(side) for side in zip(*PAIRINGS[pairing](d), strict=True))
    c, s = (angle.sin(), angle.cos()) if swapped else (angle.cos(), angle.sin())
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
    return after(out)


def _overwritten(x: Tensor, positions: Tensor, pairing: str) -> Tensor:
    """The second of a pair is made from the first as it is after turning."""
    a, b = (torch.tensor(side) for side in zip(*PAIRINGS[pairing](x.shape[3]), strict=True))
    out = _turned(x, positions, pairing)
    angle = positions.to(x)[:, None] * BASE ** (-2 * torch.arange(len(a)).to(x) / x.shape[3])
    out[..., b] = out[..., a] * angle.sin() + x[..., b] * angle.cos()
    return out


def _second(x: Tensor, positions: Tensor, pairing: str, of: str) -> Tensor:
    """The second of a pair is made of one of the two alone."""
    a, b = (torch.tensor(side) for side in zip(*PAIRINGS[pairing](x.shape[3]), strict=True))
    out = _turned(x, positions, pairing)
    angle = positions.to(x)[:, None] * BASE ** (-2 * torch.arange(len(a)).to(x) / x.shape[3])
    one = x[..., b if of == "second" else a]
    out[..., b] = one * (angle.sin() + angle.cos())
    return out


def _half_turned(x: Tensor, positions: Tensor, pairing: str, second: bool) -> Tensor:
    """Only the first, or only the second, of every pair is replaced."""
    left = torch.tensor([pair[not second] for pair in PAIRINGS[pairing](x.shape[3])])
    out = _turned(x, positions, pairing)
    out[..., left] = x[..., left]
    return out


def _halves_of_neighbours(out: Tensor) -> Tensor:
    return torch.cat([out[..., ::2], out[..., 1::2]], dim=-1)


def _neighbours_of_halves(out: Tensor) -> Tensor:
    return out.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)


def _added(x: Tensor, positions: Tensor, pairing: str) -> Tensor:
    """Sinusoids added to the features."""
    a, b = (torch.tensor(side) for side in zip(*PAIRINGS[pairing](x.shape[3]), strict=True))
    angle = positions.to(x)[:, None] * BASE ** (-2 * torch.arange(len(a)).to(x) / x.shape[3])
    out = x.clone()
    out[..., a] += angle.sin()
    out[..., b] += angle.cos()
    return out


MISTAKES = {
    "the positions are counted from 0: use those that are given.": (
        partial(_turned, places=lambda m: torch.arange(len(m))),
    ),
    "the positions begin at 1: a place at position 0 is not turned.": (partial(_turned, places=lambda m: m + 1),),
    "it turns the other way: the first of a pair becomes a cos - b sin, the second a sin + b cos.": (
        partial(_turned, sign=-1.0),
    ),
    "sine and cosine are swapped: the first of a pair becomes a cos - b sin, the second a sin + b cos.": (
        partial(_turned, swapped=True),
    ),
    "both parts of the second are taken from one of the pair: it becomes a sin + b cos.": (
        partial(_second, of="second"),
        partial(_second, of="first"),
    ),
    "the frequencies are in reverse order: the first pair turns fastest, by the position itself.": (
        partial(_turned, exponent=lambda i, d: -(d - 2 - 2 * i) / d),
        partial(_turned, exponent=lambda i, d: -(d - 2 * i) / d),
    ),
    "the mean is taken off the positions: use them as they are.": (
        partial(_turned, places=lambda m: m - m.double().mean()),
    ),
    "the position is squared, or its root is taken: an angle is position times frequency.": (
        partial(_turned, places=lambda m: m**2),
        partial(_turned, places=lambda m: m.double().sqrt()),
    ),
    "what is turned is normalised first: a rotation takes the vectors as they are.": (
        lambda x, positions, pairing: _turned(x / x.norm(dim=-1, keepdim=True), positions, pairing),
    ),
    "the turned vector is added to the old one: it takes its place.": (
        lambda x, positions, pairing: x + _turned(x, positions, pairing),
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
    "the base is not 10,000.": tuple(
        partial(_turned, base=base) for base in (2.718281828459045, 500.0, 1e3, 1e5, 5e5, 1e6)
    ),
    "the exponent is not that of the paper: pair i, from 0 on, has base^(-2i / d), with d the features of a head.": (
        partial(_turned, exponent=lambda i, d: -2 * i / max(d - 2, 1)),
        partial(_turned, exponent=lambda i, d: -2 * (i + 1) / d),
        partial(_turned, exponent=lambda i, d: -(2 * i + 1) / d),
    ),
    "the positions are counted from the first that is given: use them as they are.": (
        partial(_turned, places=lambda m: m - m[0]),
        partial(_turned, places=lambda m: m - m.min()),
    ),
    "the positions are sorted: row l of the queries stands at positions[l].": (
        partial(_turned, places=lambda m: m.sort().values),
    ),
    "the positions are divided by their number or by the largest: an angle is position times frequency, in radians.": (
        partial(_turned, places=lambda m: m / m.max().clamp(min=1)),
        partial(_turned, places=lambda m: m / len(m)),
    ),
    "the angle is not position times frequency, in radians: it has a factor of pi, 2 pi, 1/2 or 2 before it.": tuple(
        partial(_turned, places=lambda m, c=c: c * m) for c in (pi, 2 * pi, pi / 180, 0.5, 2.0)
    ),
    "the second of a pair is made from the first after it was turned: both come from the old values.": (_overwritten,),
    "only one of each pair is turned: a becomes a cos - b sin, and b becomes a sin + b cos.": (
        partial(_half_turned, second=False),
        partial(_half_turned, second=True),
    ),
    "only a part of the features is turned: all d are, in d / 2 pairs.": (
        partial(_turned, kept=slice(1, None, 2)),
        partial(_turned, kept=slice(2, None)),
        partial(_turned, kept=slice(0, 2)),
    ),
    "the turned features come back in another order: put each where it was, neighbours by torch.stack(..., dim=-1) and "
    "flatten, halves by torch.cat.": (
        lambda x, positions, pairing: _turned(
            x, positions, pairing, after=_halves_of_neighbours if pairing == "neighbours" else _neighbours_of_halves
        ),
    ),
    "sines and cosines are added: features are turned, that is multiplied.": (_added,),
    "what was turned is divided by the root of d as well: a rotation keeps lengths, attention itself divides.": (
        partial(_turned, after=lambda out: out / out.shape[3] ** 0.5),
    ),
    "only the cosine is there: a becomes a cos - b sin, and b becomes a sin + b cos.": (
        lambda x, positions, pairing: (_turned(x, positions, pairing) + _turned(x, positions, pairing, sign=-1.0)) / 2,
    ),
    "two conventions are mixed: the angles are laid out for one pairing of features, the partners for the other.": (
        partial(_turned, mix=True),
    ),
    "nothing is turned.": (lambda x, positions, pairing: x,),
}


def examine_rotary(student: Student) -> str:
    q, k = (1.5 * student.normal(2, 3, 5, 8) for _ in range(2))
    places = torch.arange(5), torch.tensor([3, 0, 11, 4, 120]), torch.tensor([2, 1, 0, 9, 2])
    came = [_pair(student, q, k, positions) for positions in places]
    _judge((q.double(), k.double()), places, came)
    short = student.normal(1, 1, 1, 2)
    (one, _) = _pair(student, short, short, torch.tensor([1]))
    if not close(one, rotary(short.double(), torch.tensor([1]), "halves")):
        raise Wrong("A head of two features at position 1 is turned by one radian: yours gives something else.")
    asked = q.clone().requires_grad_(), k.clone().requires_grad_()
    for name, turned in zip("qk", _pair(student, *asked, places[1]), strict=True):
        if not turned.requires_grad:
            raise Wrong(f"The values are right, but no gradient reaches {name}: nothing behind it could learn.")
    return "Every pair turned by its angle at given positions; lengths kept; q k depends on the distance alone."


def _pair(student: Student, q: Tensor, k: Tensor, positions: Tensor) -> tuple[Tensor, ...]:
    turned = two_parts(student(q, k, positions), "q, k", "two tensors")
    return tuple(tensor(x, tuple(q.shape), f"{name} is") for name, x in zip("qk", turned, strict=True))


def _alike(came: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return all(close(x, y) for x, y in zip(came, wanted, strict=True))


def _judge(pair: tuple[Tensor, Tensor], places: Sequence[Tensor], came: Sequence[tuple[Tensor, ...]]) -> None:
    """A pairing is right if it is at all places; a mistake is named if it explains all of them."""

    def fits(of: Callable[[Tensor, str], Sequence[Tensor]]) -> bool:
        return any(
            all(_alike(turned, of(positions, pairing)) for positions, turned in zip(places, came, strict=True))
            for pairing in PAIRINGS
        )

    def each(turn: Callable[[Tensor, Tensor, str], Tensor]) -> Callable:
        return lambda positions, pairing: [turn(x, positions, pairing) for x in pair]

    if fits(each(rotary)):
        return
    met = [
        any(_alike(turned, each(rotary)(positions, pairing)) for pairing in PAIRINGS)
        for positions, turned in zip(places, came, strict=True)
    ]
    n = 0 if all(met) else met.index(False)
    where = f"At positions {', '.join(map(str, places[n].tolist()))} "
    q, k = pair
    parts = {
        "k comes out as it went in: queries and keys are both turned.": lambda p, how: [rotary(q, p, how), k],
        "q comes out as it went in: queries and keys are both turned.": lambda p, how: [q, rotary(k, p, how)],
        "q and k are swapped: return q, k.": lambda p, how: [rotary(k, p, how), rotary(q, p, how)],
        "q and k are turned in opposite directions: then the product knows the sum, m + n.": lambda p, how: [
            rotary(q, p, how), _turned(k, p, how, sign=-1.0)
        ],
    }  # fmt: skip
    for one, other in (("halves", "neighbours"), ("neighbours", "halves")):
        mixed = ([rotary(q, p, one), rotary(k, p, other)] for p in places)
        if all(map(_alike, came, mixed)):
            raise Wrong(f"{where}q and k have different pairs, halves and neighbours: one convention serves for both.")
    for sentence, part in parts.items():
        if fits(part):
            raise Wrong(f"{where}{sentence}")
    saw = {sentence for sentence, variants in MISTAKES.items() if any(fits(each(variant)) for variant in variants)}
    turned = {how: each(rotary)(places[n], how) for how in PAIRINGS}
    off = {how: sum(float((x - y).norm()) for x, y in zip(came[n], turned[how], strict=True)) for how in PAIRINGS}
    pairing = min(PAIRINGS, key=off.get)
    right = turned[pairing]
    which = 0 if not close(came[n][0], right[0]) else 1
    index, value, should = worst(came[n][which], right[which])
    pairs = {"halves": "(i, i + d/2)", "neighbours": "(2i, 2i + 1)"}
    other = next(text for name, text in pairs.items() if name != pairing)
    found = (
        f"{where}{'qk'[which]}{list(index)} {gives(value, should)} (with pairs {pairs[pairing]}; pairs {other} are "
        "right too)"
    )
    if len(saw) == 1:
        raise Wrong(f"{found}\nIt looks as if {saw.pop()}")
    lengths = [float(turned.double().norm() / x.norm()) for turned, x in zip(came[n], pair, strict=True)]
    kept = "" if all(close(one, 1.0, 1e-3) for one in lengths) else " A rotation keeps lengths, yours does not."
    raise Wrong(f"{found}{kept}")

"""How what came is related to what should have come, where no named mistake fits: a fact that holds in every case.

"Half of what it should be", "its square root", "the right entries, sorted": such a sentence is true whatever the code
does, so it can be told beside the numbers, and it says more than they do.
"""

from collections.abc import Callable, Iterator, Sequence
from math import log

import torch
from torch import Tensor

FACTORS = {
    2.0: "twice what it should be",
    0.5: "half of what it should be",
    -1.0: "what it should be with the other sign",
    100.0: "a hundred times what it should be, a percentage",
    0.01: "a hundredth of what it should be",
    1 / log(2): "what it should be divided by ln 2, as with logarithms to base 2",
    1 / log(10): "what it should be divided by ln 10, as with logarithms to base 10",
}
SIZES: tuple[tuple[str, Callable], ...] = (
    ("times N, the rows: a sum where a mean is meant?", lambda n, d: n),
    ("divided by N, the rows: a mean too many?", lambda n, d: 1 / n),
    ("times N - 1, one less than there are rows", lambda n, d: n - 1),
    ("divided by N - 1, one less than there are rows", lambda n, d: 1 / (n - 1)),
    ("times N / (N - 1), as if divided by one less than the rows", lambda n, d: n / (n - 1)),
    ("times (N - 1) / N, as if divided by one row more", lambda n, d: (n - 1) / n),
    ("times the root of N, the rows", lambda n, d: n**0.5),
    ("divided by the root of N, the rows", lambda n, d: n**-0.5),
    ("times D, the last dimension: a sum where a mean is meant?", lambda n, d: d),
    ("divided by D, the last dimension: a mean too many?", lambda n, d: 1 / d),
    ("times N D, all numbers: a sum where a mean is meant?", lambda n, d: n * d),
    ("divided by N D, all numbers: a mean too many?", lambda n, d: 1 / (n * d)),
    ("times the root of D, the last dimension", lambda n, d: d**0.5),
    ("divided by the root of D, the last dimension", lambda n, d: d**-0.5),
)  # fmt: skip
FUNCTIONS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("the size of what it should be, without its sign", torch.abs),
    ("what it should be, cut off below 0", lambda x: x.clamp(min=0)),
    ("what it should be, cut off above 0", lambda x: x.clamp(max=0)),
    ("what it should be, rounded", torch.round),
    ("the square root of what it should be", torch.sqrt),
    ("the square of what it should be", torch.square),
    ("the exponential of what it should be", torch.exp),
    ("the exponential of minus what it should be", lambda x: (-x).exp()),
    ("the logarithm of what it should be", torch.log),
    ("one divided by what it should be", torch.reciprocal),
    ("one minus what it should be", lambda x: 1 - x),
    ("the sigmoid of what it should be", torch.sigmoid),
    ("the hyperbolic tangent of what it should be", torch.tanh),
)
ENTRIES: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("the right entries in reverse order", lambda x: x.flip(0)),
    ("the right entries, sorted", lambda x: x.sort(dim=0).values),
    ("the right entries, sorted from the largest", lambda x: x.sort(dim=0, descending=True).values),
    ("the right entries, moved by one place", lambda x: x.roll(1, 0)),
    ("the right entries, moved by one place", lambda x: x.roll(-1, 0)),
    ("the right entries, added up one after another", lambda x: x.cumsum(0)),
    ("the right entries without their mean", lambda x: x - x.mean()),
    ("the right entries without the mean of their row", lambda x: x - x.mean(-1, keepdim=True)),
    ("the right entries, standardised", lambda x: (x - x.mean()) / x.std().clamp(min=1e-12)),
    ("the right entries, divided by their length", lambda x: x / x.norm().clamp(min=1e-12)),
    ("the right entries, every row divided by its length", lambda x: x / x.norm(dim=-1, keepdim=True)),
    ("the right entries, divided by their sum", lambda x: x / x.sum()),
    ("the right entries, divided by the largest", lambda x: x / x.max()),
    ("the right entries, divided by their number", lambda x: x / x.shape[0]),
    ("the right entries, moved into [0, 1]", lambda x: (x - x.min()) / (x.max() - x.min())),
    ("a softmax of the right entries", lambda x: x.softmax(0)),
    ("a softmax of the right entries", lambda x: x.softmax(-1)),
    ("the right table, transposed", lambda x: x.mT if x.dim() == 2 else x),
)  # fmt: skip


def related(
    values: Sequence[float | Tensor], right: Sequence[float | Tensor], tolerance: float = 1e-4, cases: Sequence = ()
) -> str:
    """ "In every case yours is the square root of what it should be.", or "" where nothing so simple holds.

    cases: the arguments, whose first tensor tells N and D. Never where a single value would decide it.
    """
    came, wanted = ([torch.as_tensor(x).detach().double() for x in side] for side in (values, right))
    if any(c.shape != w.shape for c, w in zip(came, wanted, strict=True)):
        return ""
    numbers = _Pair(came, wanted, tolerance)
    if numbers.tell():
        for told in _as_numbers(numbers, wanted, cases):
            return f"In every case yours is {told}."
    tables = [(c, w) for c, w in zip(came, wanted, strict=True) if w.dim() and w.shape[0] > 1]
    if tables:
        came, wanted = zip(*tables, strict=True)
        entries = _Pair(came, wanted, tolerance)
        for told, function in ENTRIES if entries.tell() else ():
            if entries.explained([function(x) for x in wanted]):
                return f"In every case yours holds {told}."
    return ""


class _Pair:
    """All numbers that came, and all that should have come."""

    def __init__(self, came: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float):
        self.v, self.w = (torch.cat([x.flatten() for x in side]) for side in (came, wanted))
        self.tolerance = tolerance

    def tell(self) -> bool:
        """Whether they differ, and are numbers of which a relation could be read."""
        if len(self.w) < 2 or not (self.v.isfinite().all() and self.w.isfinite().all()):
            return False
        varied = all(x.max() - x.min() >= max(1e-3 * x.abs().max(), 1e-12) for x in (self.v, self.w))
        return varied and not self.explained([self.w])

    def explained(self, made: Sequence[Tensor]) -> bool:
        """As near as a right answer is, and far nearer than the right one wherever they differ."""
        made = torch.cat([x.flatten() for x in made])
        off, apart = (self.v - made).abs(), (self.v - self.w).abs()
        near = self.tolerance * made.abs().clamp(min=0.01)
        return bool((off <= near).all() and ((off <= apart / 4) | (apart <= near)).all())


def _as_numbers(pair: _Pair, wanted: Sequence[Tensor], cases: Sequence) -> Iterator[str]:
    w = pair.w
    factor = float(pair.v @ w / (w @ w))
    if factor and pair.explained([factor * w]):
        known = [told for number, told in FACTORS.items() if abs(factor - number) < 1e-3 * abs(number)]
        yield known[0] if known else f"{factor:.4g} times what it should be"
    shapes = [next((x.shape for x in case if isinstance(x, Tensor) and x.dim()), None) for case in cases]
    if shapes and None not in shapes and len(set(shapes)) > 1 and min(shape[0] for shape in shapes) > 1:
        for told, of in SIZES:
            if pair.explained([x * of(shape[0], shape[-1]) for x, shape in zip(wanted, shapes, strict=True)]):
                yield f"what it should be {told}"
    for told, function in FUNCTIONS:
        if pair.explained([function(w)]):
            yield told
    shift = float((pair.v - w).mean())
    if pair.explained([w + shift]):
        yield f"too {'large' if shift > 0 else 'small'} by {abs(shift):.4g}"

"""Week 7: Sinkhorn-Knopp and KoLeo, one number at a time, as the papers write them.

References: Caron et al. 2020, "Unsupervised learning of visual features by contrasting cluster assignments", appendix
A; Sablayrolles et al. 2019, "Spreading vectors for similarity search", eq. 2.
"""

from collections.abc import Callable
from functools import partial
from math import exp

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

EPS = 1e-8  # added to the distance in KoLeo, as in the codes of DINOv2 and lightly

# --- sinkhorn


def sinkhorn(scores: Tensor, temperature: float = 0.05, iterations: int = 3) -> Tensor:
    """Rounds of: every prototype's column to sum 1, then every image's row to sum 1."""
    top = max(max(row) for row in scores.tolist())  # a factor common to all, which no ratio notices
    table = [[exp((value - top) / temperature) for value in row] for row in scores.tolist()]
    for _ in range(iterations):
        columns = [sum(column) for column in zip(*table, strict=True)]
        table = [[value / total for value, total in zip(row, columns, strict=True)] for row in table]
        table = [[value / sum(row) for value in row] for row in table]
    return torch.tensor(table, dtype=torch.float64)


def _sinkhorn(
    scores: Tensor,
    temperature: float = 0.05,
    iterations: int = 3,
    *,
    fixed_temperature: float | None = None,
    rounds: Callable[[int], int] = lambda n: n,
    scale: Callable[[Tensor, float], Tensor] = lambda s, t: s / t,
    order: tuple[int, ...] = (0, 1),
    before: Callable[[Tensor], Tensor] = lambda q: q,
    after: Callable[[Tensor], Tensor] = lambda q: q,
    size: Callable[[Tensor, int], Tensor] = lambda q, dim: q.sum(dim=dim, keepdim=True),
    both: bool = False,
) -> Tensor:
    """sinkhorn with something wrong; right with the defaults.

    order: dimensions summed over, one after the other; size: what is divided by; both: rows and columns at once.
    """
    temperature = temperature if fixed_temperature is None else fixed_temperature
    logs = scale(scores, temperature)
    q = before((logs - logs.max()).exp())
    for _ in range(rounds(iterations)):
        if both:
            q = q / size(q, 0) / size(q, 1)
            continue
        for dim in order:
            q = q / size(q, dim)
    return after(q)


def _wrong(**what) -> partial:
    return partial(_sinkhorn, **what)


def _tempered(scores: Tensor, temperature: float = 0.05, iterations: int = 3) -> Tensor:
    """Divided by the temperature in every round."""
    q = scores
    for _ in range(iterations):
        q = (q / temperature).log_softmax(dim=0).log_softmax(dim=1)
    return q.exp()


SINKHORN = _sinkhorn  # the quick transcription

SINKHORN_MISTAKES = (
    Mistake(
        "the columns are never divided: that is a softmax, in which a prototype can still win every image.",
        (_wrong(order=(1,)),),
    ),
    Mistake("only the columns are divided: an image's answer has to sum to 1 as well.", (_wrong(order=(0,)),)),
    Mistake(
        "rows and columns are divided in the other order: columns first (dim=0), rows last (dim=1), so that each "
        "answer sums to 1.",
        (_wrong(order=(1, 0)),),
    ),
    Mistake(
        "`iterations` is not used: as many rounds as it says.",
        (_wrong(rounds=lambda n: 1), _wrong(rounds=lambda n: 3)),
    ),
    Mistake(
        "there is one round too many or too few.",
        (
            _wrong(rounds=lambda n: n + 1),
            _wrong(rounds=lambda n: n - 1),  # none at all, where one is asked for
            _wrong(rounds=lambda n: max(n - 1, 1)),
            lambda scores, temperature=0.05, n=3: _sinkhorn(
                scores, temperature, n - 1, after=(lambda q: q) if n > 1 else (lambda q: (scores / temperature).exp())
            ),
        ),
    ),
    Mistake(
        "the argument temperature is not used: divide the scores by it.",
        (_wrong(fixed_temperature=1.0), _wrong(fixed_temperature=0.05)),
    ),
    Mistake("the scores are multiplied by the temperature: divide by it.", (_wrong(scale=lambda s, t: s * t),)),
    Mistake(
        "the sign of the scores is wrong: the likeliest prototype has the largest.",
        (_wrong(scale=lambda s, t: -s / t),),
    ),
    Mistake(
        "the scores are not exponentiated, but made a softmax first: the first division is by columns.",
        (_wrong(before=lambda q: q / q.sum(dim=1, keepdim=True)),),
    ),
    Mistake(
        "the temperature comes at another place: divide the scores by it once, before exp and all rounds.",
        (
            lambda scores, temperature=0.05, n=3: (_sinkhorn(scores, 1.0, n).log() / temperature).softmax(dim=1),
            lambda scores, temperature=0.05, n=3: _sinkhorn(scores, 1.0, n) / temperature,
            _tempered,
        ),
    ),
    Mistake(
        "a softmax comes before the rounds: start from exp(scores / temperature).",
        (
            _wrong(scale=lambda s, t: (s / t).softmax(dim=1)),
            _wrong(scale=lambda s, t: (s / t).softmax(dim=1) / t),
            _wrong(scale=lambda s, t: s.softmax(dim=1) / t),
        ),
    ),
    Mistake(
        "all together sums to 1: each row, the answer of one image, does.",
        (_wrong(after=lambda q: q / len(q)), _wrong(after=lambda q: q / q.shape[1])),
    ),
    Mistake(
        "rows and columns are divided at once: the rows' sums are those after the columns were divided.",
        (_wrong(both=True),),
    ),
    Mistake(
        "the whole table is divided by its sum: in every round first each column by its own, then each row.",
        (_wrong(size=lambda q, dim: q.sum()), _wrong(size=lambda q, dim: q.sum(), after=lambda q: q * len(q))),
    ),
    Mistake(
        "it is divided by means: columns and rows are to sum to 1.",
        (_wrong(size=lambda q, dim: q.mean(dim=dim, keepdim=True)),),
    ),
    Mistake(
        "it is divided by lengths, roots of sums of squares: columns and rows are to sum to 1.",
        (_wrong(size=lambda q, dim: q.norm(dim=dim, keepdim=True)),),
    ),
    Mistake(
        "it is divided by the largest of a row or column: divide by the sum.",
        (_wrong(size=lambda q, dim: q.amax(dim=dim, keepdim=True)),),
    ),
    Mistake(
        "the columns are divided once more at the end: the rows come last.",
        (_wrong(after=lambda q: q / q.sum(dim=0, keepdim=True)),),
    ),
    Mistake(
        "a softmax of centred scores, as DINO has it: divide columns and rows in turns.",
        (_wrong(scale=lambda s, t: (s - s.mean(dim=0)) / t, order=(1,)),),
    ),
    Mistake(
        "the scores are normalised first: they are cosines already, take them as they are.",
        (
            _wrong(scale=lambda s, t: s / s.norm(dim=1, keepdim=True) / t),
            _wrong(scale=lambda s, t: s / s.norm(dim=0, keepdim=True) / t),
            _wrong(scale=lambda s, t: (s - s.mean()) / s.std() / t),
        ),
    ),
    Mistake(
        "the largest of every row is taken off before exp, which gives the images other weights in the first "
        "columns: take off one number for all.",
        (_wrong(before=lambda q: q / q.amax(dim=1, keepdim=True)),),
    ),
    Mistake(
        "the scores are not exponentiated: it starts from exp(scores / temperature).",
        (_wrong(before=lambda q: q.log() - q.log().min()), _wrong(scale=lambda s, t: (s / t).clamp(min=1e-12).log())),
    ),
    Mistake("it returns logarithms: return the probabilities.", (_wrong(after=lambda q: q.log()),)),
    Mistake(
        "it returns the likeliest prototype alone: the answer is a whole row of probabilities.",
        (_wrong(after=lambda q: torch.nn.functional.one_hot(q.argmax(dim=1), q.shape[1]).double()),),
    ),
)


# --- koleo


def koleo(features: Tensor) -> Tensor:
    """Minus the mean logarithm of the distance from each direction to the nearest other one."""
    z = [x / x.dot(x).sqrt() for x in features]
    total = 0.0
    for i, one in enumerate(z):
        squares = [(one - other).dot(one - other) for j, other in enumerate(z) if j != i]
        total = total + (min(squares).sqrt() + EPS).log()
    return -total / len(z)


def _unit(x: Tensor, dim: int = 1) -> Tensor:
    return x / x.norm(dim=dim, keepdim=True)


def _koleo(
    x: Tensor,
    *,
    unit: Callable[[Tensor], Tensor] = _unit,
    own: float = torch.inf,
    pick: Callable[[Tensor], Tensor] = lambda d: d.min(dim=1).values,
    value: Callable[[Tensor], Tensor] = lambda d: -(d + EPS).log().mean(),
    apart: Callable[[Tensor], Tensor] = lambda z: (z[:, None] - z[None]).square().sum(dim=2).clamp(min=1e-30).sqrt(),
) -> Tensor:
    """koleo with something wrong; right with the defaults. own: the distance of a row from itself."""
    z = unit(x)
    apart = apart(z)
    return value(pick(apart.masked_fill(torch.eye(len(z), dtype=torch.bool), own)))


def _chosen_by(x: Tensor, key: Callable[[Tensor], Tensor], own: float = torch.inf) -> Tensor:
    """koleo, the nearest being the row of the smallest key."""
    z = _unit(x)
    nearest = key(x).masked_fill(torch.eye(len(z), dtype=torch.bool), own).argmin(dim=1)
    return -((z - z[nearest]).norm(dim=1) + EPS).log().mean()


def _nearest_pairs(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    z = _unit(x)
    nearest = torch.cdist(z, z).masked_fill(torch.eye(len(z), dtype=torch.bool), torch.inf).argmin(dim=1)
    return list(zip(z, z[nearest], strict=True))


OWN = (-2.0, -1.0, -torch.inf)


def _by_products(x: Tensor, unit: Callable = _unit, own: float = -2.0) -> Tensor:
    """The nearest by the largest product, as codes do; own: the product of a row with itself."""
    z = unit(x)
    nearest = (z @ z.T).masked_fill(torch.eye(len(z), dtype=torch.bool), own).argmax(dim=1)
    return -((z - z[nearest]).norm(dim=1) + EPS).log().mean()


def _each_pair_once(x: Tensor) -> Tensor:
    z = _unit(x)
    apart = torch.cdist(z, z).masked_fill(torch.eye(len(z), dtype=torch.bool), torch.inf)
    near, nearest = apart.min(dim=1)
    return -(near[torch.arange(len(z)) < nearest] + EPS).log().mean()


def _wrong_koleo(**what) -> partial:
    return partial(_koleo, **what)


KOLEO_MISTAKES = (
    Mistake(
        "the features are not normalised: distances are between directions.",
        (_wrong_koleo(unit=lambda x: x), *(partial(_by_products, unit=lambda x: x, own=own) for own in OWN)),
    ),
    Mistake(
        "the normalisation runs over the batch: each row has length 1, dim=1.",
        (
            _wrong_koleo(unit=partial(_unit, dim=0)),
            *(partial(_by_products, unit=partial(_unit, dim=0), own=own) for own in OWN),
        ),
    ),
    Mistake(
        "the row itself is set to 0 among the cosines, which other rows may be below: set it below -1, to -2.",
        (partial(_by_products, own=0.0),),
    ),
    Mistake(
        "each row is its own nearest neighbour, at distance 0: leave the row itself out.", (_wrong_koleo(own=0.0),)
    ),
    Mistake(
        "pairs that are nearest to each other count once: every row has a nearest one, and counts.", (_each_pair_once,)
    ),
    Mistake(
        "the exponential of minus the distance is taken: it is minus the logarithm.",
        (_wrong_koleo(value=lambda d: (-d).exp().mean()), _wrong_koleo(value=lambda d: (-2 * d.square()).exp().mean())),
    ),
    Mistake(
        "the sign is wrong: it is minus the logarithm, so that far apart costs little.",
        (_wrong_koleo(value=lambda d: (d + EPS).log().mean()),),
    ),
    Mistake("the rows are summed: take the mean over them.", (_wrong_koleo(value=lambda d: -(d + EPS).log().sum()),)),
    Mistake(
        "the distance is squared: it is the distance itself.",
        (_wrong_koleo(value=lambda d: -(d.square() + EPS).log().mean()),),
    ),
    Mistake("the logarithm is missing.", (_wrong_koleo(value=lambda d: -d.mean()),)),
    Mistake(
        "the logarithm is taken of the mean: first the logarithm of every distance, then the mean.",
        (_wrong_koleo(value=lambda d: -(d + EPS).mean().log()),),
    ),
    Mistake(
        "the farthest row is taken: the nearest one counts.",
        (_wrong_koleo(own=0.0, pick=lambda d: d.max(dim=1).values),),
    ),
    Mistake(
        "all other rows count: only the nearest one does.",
        (
            lambda x: -(torch.cdist(_unit(x), _unit(x)) + torch.eye(len(x), dtype=x.dtype)).log().mean(),
            _wrong_koleo(own=1.0, pick=lambda d: d.log().sum(dim=1).div(len(d) - 1).exp()),
            _wrong_koleo(own=0.0, pick=lambda d: d.sum(dim=1) / (len(d) - 1)),
        ),
    ),
    Mistake(
        "the logarithm is that of a cosine, or of 1 minus it: it is of the distance.",
        (
            _wrong_koleo(value=lambda d: -(1 - d.square() / 2).clamp(min=1e-30).log().mean()),
            _wrong_koleo(value=lambda d: -(d.square() / 2 + EPS).log().mean()),
        ),
    ),
    Mistake(
        "the second nearest is taken: the row itself was left out already.",
        (_wrong_koleo(pick=lambda d: d.sort(dim=1).values[:, min(1, len(d) - 2)]),),
    ),
    Mistake(
        "the sum is divided by N - 1: take the mean over all N rows.",
        (_wrong_koleo(value=lambda d: -(d + EPS).log().sum() / (len(d) - 1)),),
    ),
    Mistake(
        "the distance is multiplied by N within the logarithm: take it as it is.",
        (
            _wrong_koleo(value=lambda d: -(len(d) * d + EPS).log().mean()),
            _wrong_koleo(value=lambda d: -((len(d) - 1) * d + EPS).log().mean()),
        ),
    ),
    Mistake(
        "only the smallest of all distances counts: every row has a nearest one, take the mean.",
        (_wrong_koleo(value=lambda d: -(d.min() + EPS).log()),),
    ),
    Mistake(
        "what is added before the logarithm is not small: 1e-8.",
        tuple(_wrong_koleo(value=lambda d, e=e: -(d + e).log().mean()) for e in (1.0, 0.1, 0.01, 1e-3)),
    ),
    Mistake(
        "the size of the cosine decides who is nearest, whatever its sign: take the largest cosine.",
        (lambda x: _chosen_by(x, lambda x: -(_unit(x) @ _unit(x).T).abs()),),
    ),
    Mistake(
        "the nearest is looked for among the rows as they are: normalise first, then look.",
        (lambda x: _chosen_by(x, lambda x: torch.cdist(x, x)), lambda x: _chosen_by(x, lambda x: -x @ x.T),
         lambda x: _chosen_by(x, lambda x: -x @ x.T, own=2.0)),
    ),
    Mistake(
        "the distance is not Euclidean.",
        (
            _wrong_koleo(apart=lambda z: (z[:, None] - z[None]).abs().sum(dim=2)),
            _wrong_koleo(apart=lambda z: (z[:, None] - z[None]).abs().amax(dim=2)),
            lambda x: -torch.stack([(a - b).abs().sum() + EPS for a, b in _nearest_pairs(x)]).log().mean(),
        ),
    ),
    Mistake(
        "the angle is taken: it is the distance between the ends, 2 sin(angle / 2).",
        (_wrong_koleo(value=lambda d: -(2 * (d / 2).clamp(max=1).asin() + EPS).log().mean()),),
    ),
    Mistake(
        "the mean of all rows is taken off first: these are directions as they are.",
        (
            _wrong_koleo(unit=lambda x: _unit(x - x.mean(dim=0))),
            _wrong_koleo(unit=lambda x: _unit(_unit(x) - _unit(x).mean(dim=0))),
        ),
    ),
    Mistake(
        "the logarithm is not the natural one.",
        (
            _wrong_koleo(value=lambda d: -(d + EPS).log10().mean()),
            _wrong_koleo(value=lambda d: -(d + EPS).log2().mean()),
        ),
    ),
)

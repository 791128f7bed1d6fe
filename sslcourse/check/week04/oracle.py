"""Week 4: the contrastive loss and its relatives, one number at a time, as the papers write them.

References: Chen et al. 2020, "A simple framework for contrastive learning of visual representations", eq. 1; Wang and
Isola 2020, "Understanding contrastive representation learning through alignment and uniformity on the hypersphere";
Bardes et al. 2022, "VICReg", eq. 1-6; Zbontar et al. 2021, "Barlow Twins", eq. 1 and 2.
"""

from functools import partial
from itertools import combinations, product
from math import log, log2, log10

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def unit(z: Tensor) -> Tensor:
    """Every row divided by its length."""
    return torch.stack([row / row.dot(row).sqrt() for row in z])


def _as_is(z: Tensor) -> Tensor:
    return z


def _unit_columns(z: Tensor) -> Tensor:
    return z / z.norm(dim=0)


# --- nt_xent


def nt_xent(z0: Tensor, z1: Tensor, temperature: float = 0.5) -> Tensor:
    """SimCLR, eq. 1, averaged over all 2N embeddings."""
    z, n = unit(torch.cat([z0, z1])), len(z0)
    loss = 0.0
    for i in range(2 * n):
        candidates = sum((z[i].dot(z[j]) / temperature).exp() for j in range(2 * n) if j != i)
        positive = (z[i].dot(z[(i + n) % (2 * n)]) / temperature).exp()
        loss = loss - (positive / candidates).log()
    return loss / (2 * n)


def _nt_xent(
    z0: Tensor,
    z1: Tensor,
    temperature: float = 0.5,
    *,
    lengths=unit,
    invert: bool = False,
    fixed: float | None = None,
    among: str = "others",
    anchors: slice = slice(None),
    shift: tuple[int, int] = (0, 0),
    factor=lambda n: 1,
) -> Tensor:
    """nt_xent with something wrong; right with the defaults.

    among: who the candidates are; anchors: the rows averaged over, of 0 (view 0) and 1 (view 1); shift: how far the
    positive is off, for the anchors of either view; factor: how many times too large the loss is, for N pairs.
    """
    z, n = lengths(torch.cat([z0, z1])), len(z0)
    temperature = fixed or temperature
    similarity = z @ z.T * (temperature if invert else 1 / temperature)  # (2N, 2N)
    view = torch.arange(2).repeat_interleave(n)
    positive = (torch.arange(2 * n) + n + torch.tensor(shift)[view]) % (2 * n)
    itself = torch.eye(2 * n, dtype=torch.bool)
    answer = torch.zeros_like(itself).scatter(1, positive[:, None], True)
    across = view[:, None] != view
    kept = {
        "others": ~itself,
        "all": torch.ones_like(itself),
        "other view": across,
        "own view": ~across & ~itself | answer,
        "negatives": ~itself & ~answer,
    }
    candidates = similarity.masked_fill(~kept[among], -torch.inf).logsumexp(dim=1)
    loss = candidates - similarity[answer]  # (2N,)
    return factor(n) * loss.view(2, n)[anchors].mean()


def _neighbours_as_pairs(z0: Tensor, z1: Tensor, temperature: float = 0.5) -> Tensor:
    z = torch.cat([z0, z1])
    return _nt_xent(z[0::2], z[1::2], temperature)


def _wrong(**what) -> partial:
    return partial(_nt_xent, **what)


_VIEW_0, _VIEW_1 = slice(0, 1), slice(1, 2)

NT_XENT_MISTAKES = (
    Mistake(
        "the embeddings are not normalised: divide every row by its length before comparing.",
        (_wrong(lengths=_as_is),),
    ),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (_wrong(lengths=_unit_columns), _wrong(lengths=lambda z: z / z.norm())),
    ),
    Mistake(
        "the similarity of a view with itself is still in the denominator: leave the diagonal out.",
        (_wrong(among="all"),),
    ),
    Mistake(
        "the positives are off by one: the other view of row i is row (i + N) mod 2N, and one column earlier for i < N "
        "where the diagonal was cut out.",
        tuple(_wrong(shift=shift) for shift in product((-1, 0, 1), repeat=2) if shift != (0, 0)),
    ),
    Mistake(
        "neighbouring rows (0 and 1, 2 and 3, ...) are taken for pairs: after torch.cat, the other view is N away.",
        (_neighbours_as_pairs,),
    ),
    Mistake(
        "only one view's embeddings are anchors: the mean is over all 2N, the other view's ask the same question.",
        (_wrong(anchors=_VIEW_0), _wrong(anchors=_VIEW_1)),
    ),
    Mistake(
        "only one view's embeddings are anchors, and the negatives of that view are missing: there are 2N anchors with "
        "2N-1 candidates each.",
        (_wrong(anchors=_VIEW_0, among="other view"), _wrong(anchors=_VIEW_1, among="other view")),
    ),
    Mistake(
        "one view's negatives are missing: the candidates of an embedding are all 2N-1 others, from both views.",
        (_wrong(among="other view"), _wrong(among="own view")),
    ),
    Mistake(
        "the positive is missing from the denominator: it is one of the 2N-1 candidates.",
        (_wrong(among="negatives"),),
    ),
    Mistake(
        "the losses are summed: take the mean over all 2N embeddings.",
        (_wrong(factor=lambda n: 2 * n), _wrong(factor=lambda n: n), _wrong(factor=lambda n: 2)),
    ),
    Mistake("the loss is halved once too often: the mean over all 2N is all.", (_wrong(factor=lambda n: 0.5),)),
    Mistake("the similarities are multiplied by the temperature: divide by it.", (_wrong(invert=True),)),
    Mistake(
        "the argument temperature is not used: every similarity is divided by it.",
        tuple(_wrong(fixed=t) for t in (0.07, 0.1, 0.5, 1.0)),
    ),
    Mistake("the sign is wrong: the loss is minus the logarithm of a probability.", (_wrong(factor=lambda n: -1),)),
)


# --- alignment and uniformity


def alignment(z0: Tensor, z1: Tensor) -> Tensor:
    """Wang and Isola's l_align with alpha = 2: the mean squared distance of positive pairs on the sphere."""
    return sum((a - b).square().sum() for a, b in zip(unit(z0), unit(z1), strict=True)) / len(z0)


def _alignment(z0: Tensor, z1: Tensor, *, lengths=unit, power: int = 2, factor=lambda n, d: 1) -> Tensor:
    distance = (lengths(z0) - lengths(z1)).square().sum(dim=1).sqrt()  # (N,)
    return factor(*z0.shape) * (distance**power).mean()


ALIGNMENT_MISTAKES = (
    Mistake(
        "the embeddings are not normalised: divide every row by its length first.",
        (partial(_alignment, lengths=_as_is),),
    ),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (partial(_alignment, lengths=_unit_columns),),
    ),
    Mistake("the distances are not squared.", (partial(_alignment, power=1),)),
    Mistake(
        "the mean runs over the D features too: sum the squares of a row, then take the mean over the N pairs.",
        (partial(_alignment, factor=lambda n, d: 1 / d),),
    ),
    Mistake("the pairs are summed: take the mean over the N pairs.", (partial(_alignment, factor=lambda n, d: n),)),
)


def uniformity(z: Tensor, t: float = 2.0) -> Tensor:
    """Wang and Isola's l_uniform: the log of the mean Gaussian potential over all pairs i < j."""
    pairs = list(combinations(unit(z), 2))
    return (sum((-t * (a - b).square().sum()).exp() for a, b in pairs) / len(pairs)).log()


def _uniformity(
    z: Tensor, t: float = 2.0, *, lengths=unit, pairs: str = "apart", power: int = 2, fixed=None, sign=-1, end=torch.log
) -> Tensor:
    z = lengths(z)
    squared = (z[:, None] - z).square().sum(dim=2)  # (N, N)
    n = len(z)
    chosen = {
        "apart": torch.ones(n, n).triu(1).bool(),
        "all": torch.ones(n, n).bool(),
        "upper": torch.ones(n, n).triu().bool(),
    }
    exponents = sign * (fixed or t) * squared[chosen[pairs]] ** (power / 2)
    return exponents.mean() if end is None else end(exponents.exp().mean())


UNIFORMITY_MISTAKES = (
    Mistake(
        "the embeddings are not normalised: divide every row by its length first.",
        (partial(_uniformity, lengths=_as_is),),
    ),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (partial(_uniformity, lengths=_unit_columns),),
    ),
    Mistake(
        "self-pairs are among the pairs: a point is no partner of its own, so only i < j counts.",
        (partial(_uniformity, pairs="all"), partial(_uniformity, pairs="upper")),
    ),
    Mistake("the distances are not squared.", (partial(_uniformity, power=1),)),
    Mistake("the argument t is not used.", tuple(partial(_uniformity, fixed=t) for t in (1.0, 2.0))),
    Mistake(
        "the sign in the exponent is wrong: near pairs have a large potential, exp(-t d^2).",
        (partial(_uniformity, sign=1),),
    ),
    Mistake("the logarithm at the end is missing.", (partial(_uniformity, end=_as_is),)),
    Mistake(
        "the logarithm and the mean are swapped: first the mean of the potentials, then its logarithm.",
        (partial(_uniformity, end=None),),
    ),
    Mistake(
        "the sign is wrong: the logarithm itself, which is at most 0.", (partial(_uniformity, end=lambda x: -x.log()),)
    ),
)


# --- mi_lower_bound


def mi_lower_bound(loss: float, n_candidates: int) -> float:
    """van den Oord et al. 2018, section 2.3: I >= ln(n) - loss."""
    return log(n_candidates) - loss


MI_LOWER_BOUND_MISTAKES = (
    Mistake("the sign is wrong: a smaller loss means a larger bound.", (lambda loss, n: loss - log(n),)),
    Mistake(
        "the logarithm is not the natural one: the loss is in nats, so is the bound.",
        (lambda loss, n: log2(n) - loss, lambda loss, n: log10(n) - loss),
    ),
    Mistake(
        "the number of negatives stands where the number of candidates should: the positive is a candidate too.",
        (lambda loss, n: log(n - 1) - loss,),
    ),
    Mistake("the loss is added: subtract it.", (lambda loss, n: log(n) + loss,)),
)


# --- vicreg and barlow_twins


def vicreg(
    z0: Tensor,
    z1: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    *,
    as_paper: bool = False,
    correction: int = 1,
) -> Tensor:
    """Three terms, weighted: stay near the other view, keep every feature spread, keep features uncorrelated.

    Paper and published code differ by constants. As the code (and lightly's VICRegLoss): the squared distance is
    averaged over features too, and the variance term over the two views. as_paper: both are summed (eq. 5 and 6).
    """
    n, d = z0.shape
    apart = sum((a - b).square().sum() for a, b in zip(z0, z1, strict=True)) / n

    def spread(z: Tensor) -> Tensor:  # eq. 1 and 2
        return sum((1 - (column.var(correction=correction) + 1e-4).sqrt()).clamp(min=0) for column in z.T) / d

    def correlated(z: Tensor) -> Tensor:  # eq. 3 and 4
        centred = [column - column.mean() for column in z.T]
        return sum((centred[i].dot(centred[j]) / (n - 1)) ** 2 for i in range(d) for j in range(d) if i != j) / d

    shared = (1, 1) if as_paper else (d, 2)
    return (
        invariance * apart / shared[0]
        + variance * (spread(z0) + spread(z1)) / shared[1]
        + covariance * (correlated(z0) + correlated(z1))
    )


VICREG_READINGS = tuple(
    partial(vicreg, as_paper=as_paper, correction=correction) for as_paper, correction in product((False, True), (1, 0))
)


def barlow_twins(z0: Tensor, z1: Tensor, lambda_: float = 5e-3, *, correction: int = 0) -> Tensor:
    """Eq. 1 and 2: the cross-correlation matrix of the two views' features should be the identity.

    As lightly's BarlowTwinsLoss: standard deviations divide by N; the paper's listing divides by N - 1 (correction=1).
    """
    n, d = z0.shape
    a = [(column - column.mean()) / column.std(correction=correction) for column in z0.T]
    b = [(column - column.mean()) / column.std(correction=correction) for column in z1.T]
    c = [[a[i].dot(b[j]) / n for j in range(d)] for i in range(d)]
    on_diagonal = sum((1 - c[i][i]) ** 2 for i in range(d))
    return on_diagonal + lambda_ * sum(c[i][j] ** 2 for i in range(d) for j in range(d) if i != j)


BARLOW_TWINS_READINGS = (barlow_twins, partial(barlow_twins, correction=1))

"""Week 4: alignment, uniformity and the bound on the information, pair by pair, and the mistakes that have a name.

References: Wang and Isola 2020, "Understanding contrastive representation learning through alignment and uniformity on
the hypersphere"; van den Oord et al. 2018, "Representation learning with contrastive predictive coding", section 2.3.
"""

from functools import partial
from itertools import combinations
from math import exp, log, log2, log10

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week04.oracle import OTHER_LENGTH, OTHER_LENGTHS, as_is, cosines, squared, unit, unit_columns

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
        (partial(_alignment, lengths=as_is),),
    ),
    Mistake(
        "one of the two views is not normalised.",
        (
            lambda z0, z1: (unit(z0) - z1).square().sum(dim=1).mean(),
            lambda z0, z1: (z0 - unit(z1)).square().sum(dim=1).mean(),
        ),
    ),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (partial(_alignment, lengths=unit_columns), partial(_alignment, lengths=lambda z: z / z.norm())),
    ),
    Mistake(OTHER_LENGTH, tuple(partial(_alignment, lengths=lengths) for lengths in OTHER_LENGTHS)),
    Mistake(
        "the difference is normalised: normalise both embeddings, then take their difference.",
        (lambda z0, z1: unit(z0 - z1).square().sum(dim=1).mean(),),
    ),
    Mistake(
        "the distances are not squared.",
        (partial(_alignment, power=1), lambda z0, z1: (unit(z0) - unit(z1)).sum(dim=1).mean()),
    ),
    Mistake(
        "absolute differences stand where squared ones should.",
        (lambda z0, z1: (unit(z0) - unit(z1)).abs().sum(dim=1).mean(),),
    ),
    Mistake(
        "the mean runs over the D features too: sum the squares of a row, then take the mean over the N pairs.",
        (partial(_alignment, factor=lambda n, d: 1 / d),),
    ),
    Mistake(
        "the sum runs over the pairs and the mean over the D features: it is the other way round.",
        (partial(_alignment, factor=lambda n, d: n / d),),
    ),
    Mistake("the pairs are summed: take the mean over the N pairs.", (partial(_alignment, factor=lambda n, d: n),)),
    Mistake(
        "the distance is halved, as in 1 - cosine: |a - b|^2 = 2 - 2 cosine on the unit sphere.",
        (partial(_alignment, factor=lambda n, d: 0.5),),
    ),
    Mistake(
        "the mean is over 2N embeddings: there are N pairs, and 1 / N in front.",
        (partial(_alignment, factor=lambda n, d: 1 / n),),
    ),
    Mistake(
        "the cosine stands where the squared distance should, which is 2 - 2 cosine.",
        tuple(lambda z0, z1, f=f: f(cosines(z0, z1).mean()) for f in (lambda c: c, lambda c: -c, lambda c: 2 * c)),
    ),
    Mistake("the sign is wrong: a squared distance is at least 0.", (lambda z0, z1: -alignment(z0, z1),)),
    Mistake(
        "the root is taken of the mean: the mean squared distance is asked for.",
        (lambda z0, z1: alignment(z0, z1).sqrt(),),
    ),
    Mistake("the logarithm is taken, as in uniformity: alignment has none.", (lambda z0, z1: alignment(z0, z1).log(),)),
    Mistake(
        "every embedding is compared with all of the other view: only row n of both is a pair.",
        (lambda z0, z1: (unit(z0)[:, None] - unit(z1)).square().sum(dim=2).mean(),),
    ),
    Mistake(
        "the rows of the views do not belong together: row n of both comes from one image.",
        (lambda z0, z1: alignment(z0, z1.flip(0)),)
        + tuple(lambda z0, z1, n=n: alignment(z0, z1.roll(n, 0)) for n in (1, -1)),
    ),
)


def uniformity(z: Tensor, t: float = 2.0) -> Tensor:
    """Wang and Isola's l_uniform: the log of the mean Gaussian potential over all pairs i < j."""
    pairs = list(combinations(unit(z), 2))
    return (sum((-t * (a - b).square().sum()).exp() for a, b in pairs) / len(pairs)).log()


def _uniformity(
    z: Tensor,
    t: float = 2.0,
    *,
    lengths=unit,
    pairs: str = "apart",
    power: float = 2,
    exponent=lambda d2, t: -t * d2,
    end=lambda potentials: potentials.mean().log(),
) -> Tensor:
    """uniformity with something wrong; right with the defaults. power: of the distance; end: from the potentials."""
    z = lengths(z)
    apart = squared(z)  # (N, N)
    n = len(z)
    chosen = {
        "apart": torch.ones(n, n).triu(1).bool(),
        "all": torch.ones(n, n).bool(),
        "upper": torch.ones(n, n).triu().bool(),
        "neighbours": torch.ones(n, n).triu(1).tril(1).bool(),
    }
    return end(exponent(apart[chosen[pairs]] ** (power / 2), t).exp())


def _row_by_row(z: Tensor, t: float = 2.0, *, itself: bool) -> Tensor:
    """The logarithm of each point's own mean, then a mean over points."""
    exponents = -t * squared(unit(z))
    if itself:
        return exponents.exp().mean(dim=1).log().mean()
    n = len(z)
    return exponents[~torch.eye(n, dtype=torch.bool)].view(n, n - 1).exp().mean(dim=1).log().mean()


def _unlike(**what) -> partial:
    return partial(_uniformity, **what)


UNIFORMITY_MISTAKES = (
    Mistake("the embeddings are not normalised: divide every row by its length first.", (_unlike(lengths=as_is),)),
    Mistake(
        "the normalisation runs over the batch: divide by the length of a row (dim=1), not of a column.",
        (_unlike(lengths=unit_columns), _unlike(lengths=lambda z: z / z.norm())),
    ),
    Mistake(OTHER_LENGTH, tuple(_unlike(lengths=lengths) for lengths in OTHER_LENGTHS)),
    Mistake(
        "self-pairs are among the pairs: a point is no partner of its own, so only i < j counts.",
        (_unlike(pairs="all"), _unlike(pairs="upper")),
    ),
    Mistake(
        "self-pairs are summed or divided by: there are N (N - 1) / 2 pairs i < j, and the mean is over these.",
        (
            lambda z, t=2.0: uniformity(z, t) + log((len(z) - 1) / len(z)),
            lambda z, t=2.0: uniformity(z, t) + log((len(z) - 1) / (2 * len(z))),
            lambda z, t=2.0: _unlike(pairs="all")(z, t) + log(len(z) / (len(z) - 1)),
        ),
    ),
    Mistake(
        "the pairs i < j are summed once and divided by twice their number, N (N - 1).",
        (lambda z, t=2.0: uniformity(z, t) - log(2),),
    ),
    Mistake(
        "every pair is counted twice but divided by once: there are N (N - 1) / 2 pairs i < j.",
        (lambda z, t=2.0: uniformity(z, t) + log(2),),
    ),
    Mistake("only rows beside each other are pairs: all i < j are.", (_unlike(pairs="neighbours"),)),
    Mistake("the distances are not squared.", (_unlike(power=1),)),
    Mistake("the distances are squared once too often.", (_unlike(power=4),)),
    Mistake(
        "the squares of a pair are averaged over the D features: the squared distance is their sum.",
        (lambda z, t=2.0: uniformity(z, t / z.shape[1]),),
    ),
    Mistake(
        "the distance is halved, as in 1 - cosine: |a - b|^2 = 2 - 2 cosine on the unit sphere.",
        (lambda z, t=2.0: uniformity(z, t / 2),),
    ),
    Mistake(
        "cosine similarities stand where the squared distances should, which are 2 - 2 cosine.",
        (
            _unlike(exponent=lambda d2, t: t * (1 - d2 / 2)),
            _unlike(exponent=lambda d2, t: -t * (1 - d2 / 2)),
            _unlike(exponent=lambda d2, t: (1 - d2 / 2) / t),
        ),
    ),
    Mistake(
        "the squared distance is divided by t, as by a width: it is multiplied, exp(-t d^2).",
        (
            _unlike(exponent=lambda d2, t: -d2 / t),
            _unlike(exponent=lambda d2, t: -d2 / (2 * t)),
            _unlike(exponent=lambda d2, t: -d2 / (2 * t**2)),
            _unlike(exponent=lambda d2, t: -d2 / t**2),
        ),
    ),
    Mistake("t is squared too: the exponent is -t d^2.", (_unlike(exponent=lambda d2, t: -(t**2) * d2),)),
    Mistake(
        "the argument t is not used.",
        tuple(_unlike(exponent=lambda d2, _, t=t: -t * d2) for t in (1.0, 2.0)),
    ),
    Mistake(
        "the sign in the exponent is wrong: near pairs have a large potential, exp(-t d^2).",
        (_unlike(exponent=lambda d2, t: t * d2),),
    ),
    Mistake("the logarithm at the end is missing.", (_unlike(end=torch.mean),)),
    Mistake(
        "the logarithm and the mean are swapped: first the mean of the potentials, then its logarithm.",
        (
            _unlike(end=lambda potentials: potentials.log().mean()),
            partial(_row_by_row, itself=False),
            partial(_row_by_row, itself=True),
        ),
    ),
    Mistake(
        "the potentials are summed: take the mean over the pairs, then its logarithm.",
        (
            _unlike(end=lambda potentials: potentials.sum().log()),
            _unlike(end=lambda potentials: (2 * potentials.sum()).log()),
            _unlike(pairs="all", end=lambda potentials: potentials.sum().log()),
        ),
    ),
    Mistake(
        "the exponential is missing: the potential of a pair is exp(-t d^2).",
        (
            lambda z, t=2.0: (t * squared(unit(z))[torch.ones(len(z), len(z)).triu(1).bool()]).mean().log(),
            lambda z, t=2.0: squared(unit(z))[torch.ones(len(z), len(z)).triu(1).bool()].mean().log(),
        ),
    ),
    Mistake(
        "the logarithm is not the natural one.",
        tuple(lambda z, t=2.0, b=b: uniformity(z, t) / log(b) for b in (2, 10)),
    ),
    Mistake("1 is added before the logarithm.", (_unlike(end=lambda potentials: potentials.mean().log1p()),)),
    Mistake("the result is divided by t: the logarithm itself is asked for.", (lambda z, t=2.0: uniformity(z, t) / t,)),
    Mistake("the sign is wrong: the logarithm itself, which is at most 0.", (lambda z, t=2.0: -uniformity(z, t),)),
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
        "the result is in bits: nats are asked for, so there is nothing to divide by ln 2.",
        (lambda loss, n: (log(n) - loss) / log(2), lambda loss, n: log2(n) - loss / log(2)),
    ),
    Mistake(
        "the number of negatives stands where the number of candidates should: the positive is a candidate too.",
        (lambda loss, n: log(n - 1) - loss,),
    ),
    Mistake("the positive is counted once more: n_candidates holds it already.", (lambda loss, n: log(n + 1) - loss,)),
    Mistake(
        "n_candidates is taken for the number of pairs: it is the number of candidates itself.",
        (lambda loss, n: log(2 * n) - loss, lambda loss, n: log(2 * n - 1) - loss, lambda loss, n: log(n / 2) - loss),
    ),
    Mistake("the logarithm is missing: guessing among n has a loss of ln(n).", (lambda loss, n: n - loss,)),
    Mistake("the loss is left out: subtract it.", (lambda loss, n: log(n),)),
    Mistake("the loss is added: subtract it.", (lambda loss, n: log(n) + loss,)),
    Mistake(
        "the bound is a difference: subtract the loss, do not divide or multiply.",
        (lambda loss, n: loss / log(n), lambda loss, n: 1 - loss / log(n), lambda loss, n: log(n) * loss),
    ),
    Mistake(
        "an exponential is taken of the loss: it is a logarithm already, subtract it as it is.",
        (lambda loss, n: log(n) - exp(-loss), lambda loss, n: log(n) - exp(loss), lambda loss, n: n * exp(-loss)),
    ),
)

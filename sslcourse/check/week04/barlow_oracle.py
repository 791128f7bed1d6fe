"""Week 4, optional: Barlow Twins, and the mistakes that have a name.

Reference: Zbontar et al. 2021, "Barlow Twins: self-supervised learning via redundancy reduction", eq. 1 and 2.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week04.vicreg_oracle import off_diagonal


def _cross(
    z0: Tensor, z1: Tensor, *, correction: int = 0, centre: bool = True, divide: Callable = len, scale: bool = True
) -> Tensor:
    """(D, D) cross-correlations of the features of two views."""

    def standardised(z: Tensor) -> Tensor:
        centred = z - z.mean(dim=0)
        deviation = (centred.square().sum(dim=0) / (len(z) - correction)).sqrt()
        return (centred if centre else z) / (deviation if scale else 1)

    return torch.einsum("nd,ne->de", standardised(z0), standardised(z1)) / divide(z0)


def _to_identity(c: Tensor, lambda_: float) -> Tensor:
    return (1 - c.diagonal()).square().sum() + lambda_ * off_diagonal(c)


def barlow_twins(z0: Tensor, z1: Tensor, lambda_: float = 5e-3, *, cross=_cross, cost=_to_identity) -> Tensor:
    """Eq. 1 and 2: the cross-correlation matrix of the two views' features should be the identity.

    As lightly's BarlowTwinsLoss: standard deviations divide by N; the paper's listing divides by N - 1 (correction=1).
    """
    return cost(cross(z0, z1), lambda_)


BARLOW_TWINS_READINGS = (barlow_twins, partial(barlow_twins, cross=partial(_cross, correction=1)))


def _matrix(*crosses: Callable) -> tuple[partial, ...]:
    return tuple(partial(barlow_twins, cross=cross) for cross in crosses)


def _costs(*costs: Callable) -> tuple[partial, ...]:
    return tuple(partial(reading, cost=cost) for cost in costs for reading in BARLOW_TWINS_READINGS)


def _either(**what) -> tuple[partial, ...]:
    return _matrix(*(partial(_cross, correction=correction, **what) for correction in (0, 1)))


def _unit_rows(z: Tensor) -> Tensor:
    return z / z.norm(dim=1, keepdim=True)


BARLOW_TWINS_MISTAKES = (
    Mistake("the features are not centred: subtract the mean over the batch.", _either(centre=False)),
    Mistake(
        "the features are not divided by their standard deviations: C holds correlations, not covariances.",
        _matrix(partial(_cross, scale=False), partial(_cross, scale=False, divide=lambda z: len(z) - 1)),
    ),
    Mistake("the features are not standardised.", _matrix(partial(_cross, scale=False, centre=False))),
    Mistake(
        "the rows are normalised: standardise each feature over the batch (dim=0).",
        _matrix(
            lambda z0, z1: _cross(_unit_rows(z0), _unit_rows(z1), scale=False, centre=False),
            lambda z0, z1: _unit_rows(z0).T @ _unit_rows(z1),
            *(
                lambda z0, z1, c=c: (
                    ((z0 - z0.mean(1, keepdim=True)) / z0.std(1, keepdim=True, correction=c)).T
                    @ ((z1 - z1.mean(1, keepdim=True)) / z1.std(1, keepdim=True, correction=c))
                    / len(z0)
                )
                for c in (0, 1)
            ),
        ),
    ),
    Mistake(
        "C is an (N, N) matrix of samples: it should be the (D, D) matrix of features.",
        tuple(
            lambda z0, z1, lambda_=5e-3, reading=reading: reading(z0.T, z1.T, lambda_)
            for reading in BARLOW_TWINS_READINGS
        )
        + _matrix(
            *(
                lambda z0, z1, c=c, n=n: (
                    ((z0 - z0.mean(0)) / z0.std(0, correction=c))
                    @ ((z1 - z1.mean(0)) / z1.std(0, correction=c)).T
                    / z0.shape[n]
                )
                for c in (0, 1)
                for n in (0, 1)
            )
        ),
    ),
    Mistake("the products are not divided by N.", _either(divide=lambda z: 1)),
    Mistake(
        "the products are divided by N - 1 and the variances by N: correlations divide both by the same number.",
        _matrix(partial(_cross, divide=lambda z: len(z) - 1)),
    ),
    Mistake("the products are divided by D: C is a mean over the N rows.", _either(divide=lambda z: z.shape[1])),
    Mistake(
        "C is that of one view with itself: it is that of view 0 with view 1.",
        _matrix(
            *(lambda z0, z1, n=n, c=c: _cross((z0, z1)[n], (z0, z1)[n], correction=c) for n in (0, 1) for c in (0, 1))
        ),
    ),
    Mistake(
        "the embeddings are standardised with statistics of both views together: each view has its own.",
        _matrix(
            *(
                lambda z0, z1, c=c: (
                    (z0 - torch.cat([z0, z1]).mean(0)).T
                    @ (z1 - torch.cat([z0, z1]).mean(0))
                    / torch.cat([z0, z1]).std(0, correction=c)
                    / torch.cat([z0, z1]).std(0, correction=c)[:, None]
                    / len(z0)
                )
                for c in (0, 1)
            )
        ),
    ),
    Mistake(
        "the diagonal is pulled to 0: its entries should become 1.",
        _costs(lambda c, t: c.diag().square().sum() + t * off_diagonal(c)),
    ),
    Mistake(
        "lambda_ weighs the diagonal, or all of C: it weighs what is off the diagonal.",
        _costs(
            lambda c, t: t * (1 - c.diag()).square().sum() + off_diagonal(c),
            lambda c, t: t * ((1 - c.diag()).square().sum() + off_diagonal(c)),
        ),
    ),
    Mistake(
        "the diagonal is among the squares off the diagonal: leave it out.",
        _costs(lambda c, t: (1 - c.diag()).square().sum() + t * c.square().sum()),
    ),
    Mistake(
        "entries are not squared: (1 - C_dd)^2 and C_de^2.",
        _costs(
            lambda c, t: (1 - c.diag()).sum() + t * off_diagonal(c),
            lambda c, t: (1 - c.diag()).abs().sum() + t * off_diagonal(c),
            lambda c, t: (1 - c.diag()).square().sum() + t * (c.sum() - c.trace()),
            lambda c, t: (1 - c.diag()).square().sum() + t * (c - c.diag().diag()).abs().sum(),
            lambda c, t: (1 - c.diag()).abs().sum() + t * (c - c.diag().diag()).abs().sum(),
        ),
    ),
    Mistake(
        "the argument lambda_ is not used.",
        _costs(*(lambda c, _, t=t: _to_identity(c, t) for t in (5e-3, 0.0051, 0.0, 1.0))),
    ),
    Mistake("lambda_ is squared too.", _costs(lambda c, t: _to_identity(c, t**2))),
    Mistake("the diagonal is left out.", _costs(lambda c, t: t * off_diagonal(c))),
    Mistake(
        "a mean is taken where sums should be: both sums run over the entries of C as they are.",
        _costs(
            lambda c, t: _to_identity(c, t) / len(c),
            lambda c, t: _to_identity(c, t) / c.numel(),
            lambda c, t: (1 - c.diag()).square().mean() + t * off_diagonal(c),
            lambda c, t: (1 - c.diag()).square().mean() + t * off_diagonal(c) / (len(c) * (len(c) - 1)),
            lambda c, t: (1 - c.diag()).square().mean() + t * off_diagonal(c) / c.numel(),
            lambda c, t: (1 - c.diag()).square().sum() + t * off_diagonal(c) / (len(c) * (len(c) - 1)),
        ),
    ),
    Mistake(
        "there is a factor in front of the sums: take them as they are.",
        _costs(*(lambda c, t, f=f: f * _to_identity(c, t) for f in (0.5, 2.0, 1 / 32, 0.1, 0.024, 0.025))),
    ),
    Mistake("the sign is wrong: the loss is small where C is the identity.", _costs(lambda c, t: -_to_identity(c, t))),
    Mistake(
        "each pair of features counts once: both C_de and C_ed are entries off the diagonal.",
        _costs(
            lambda c, t: (1 - c.diag()).square().sum() + t * c.triu(1).square().sum(),
            lambda c, t: (1 - c.diag()).square().sum() + t * c.tril(-1).square().sum(),
        ),
    ),
    Mistake("negative correlations are cut off.", _costs(lambda c, t: _to_identity(c.clamp(min=0), t))),
)

"""Week 4, optional: VICReg, term by term, and the mistakes that have a name.

Reference: Bardes et al. 2022, "VICReg: variance-invariance-covariance regularization", eq. 1-6.
"""

from collections.abc import Callable
from functools import partial
from itertools import product

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def spread(z: Tensor, correction: int = 1) -> Tensor:
    """Eq. 1 and 2: by how much the standard deviation of a feature stays below 1, averaged over features."""
    centred = z - z.sum(dim=0) / len(z)
    deviation = (centred.square().sum(dim=0) / (len(z) - correction) + 1e-4).sqrt()  # (D,)
    return (1 - deviation).clamp(min=0).sum() / len(deviation)


def covariances(z: Tensor) -> Tensor:
    """Eq. 3: (D, D), divided by N - 1."""
    centred = z - z.sum(dim=0) / len(z)
    return torch.einsum("nd,ne->de", centred, centred) / (len(z) - 1)


def off_diagonal(c: Tensor) -> Tensor:
    """The sum of squares off the diagonal."""
    return c[~torch.eye(len(c), dtype=torch.bool)].square().sum()


def correlated(z: Tensor) -> Tensor:
    """Eq. 4."""
    return off_diagonal(covariances(z)) / z.shape[1]


def _apart(z0: Tensor, z1: Tensor) -> Tensor:
    return (z0 - z1).square().sum() / z0.numel()


def _spreads(one: Callable) -> Callable:
    return lambda z0, z1: (one(z0) + one(z1)) / 2


def _both(one: Callable) -> Callable:
    return lambda z0, z1: one(z0) + one(z1)


_spread_of_both, _correlated_in_both = _spreads(spread), _both(correlated)


def vicreg(
    z0: Tensor,
    z1: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    *,
    apart: Callable = _apart,
    spreads: Callable = _spread_of_both,
    redundancy: Callable = _correlated_in_both,
) -> Tensor:
    """Three terms, weighted: stay near the other view, keep every feature spread, keep features uncorrelated.

    With the defaults as the text, the published code and lightly's VICRegLoss: the squared distance is averaged over
    features too, and the variance term over the two views. The paper sums both (eq. 5 and 6): VICREG_READINGS.
    """
    terms = ((invariance, apart), (variance, spreads), (covariance, redundancy))
    return sum(weight * term(z0, z1) for weight, term in terms if weight)


VICREG_READINGS = tuple(
    partial(
        vicreg,
        apart=lambda z0, z1, summed=summed: _apart(z0, z1) * (z0.shape[1] if summed else 1),
        spreads=lambda z0, z1, c=correction, views=views: (spread(z0, c) + spread(z1, c)) / views,
    )
    for summed, views, correction in product((False, True), (2, 1), (1, 0))
)


def _hinge(deviations: Callable) -> Callable:
    return _spreads(lambda z: (1 - deviations(z)).clamp(min=0).mean())


def _deviations(z: Tensor, dim: int = 0) -> Tensor:
    return (z.var(dim=dim) + 1e-4).sqrt()


def _terms(name: str, *terms: Callable) -> tuple[partial, ...]:
    """One term is wrong; the constants of the other terms may be either reading's."""
    return tuple(partial(reading, **{name: term}) for term in terms for reading in VICREG_READINGS)


def _weights(change: Callable) -> tuple[Callable, ...]:
    """The three weights, and the views, go to other places."""
    return tuple(
        lambda z0, z1, i=25.0, v=25.0, c=1.0, reading=reading: reading(*change(z0, z1, i, v, c))
        for reading in VICREG_READINGS
    )


VICREG_MISTAKES = (
    Mistake(
        "invariance: the distances are not squared.",
        _terms("apart", lambda z0, z1: (z0 - z1).norm(dim=1).mean(), lambda z0, z1: (z0 - z1).abs().mean()),
    ),
    Mistake(
        "invariance: the squared differences are summed over the batch, take the mean over the N rows.",
        _terms("apart", lambda z0, z1: (z0 - z1).square().sum(), lambda z0, z1: (z0 - z1).square().mean(1).sum()),
    ),
    Mistake(
        "invariance: the cosine of the views stands where their squared distance should.",
        _terms(
            "apart",
            lambda z0, z1: 1 - torch.cosine_similarity(z0, z1).mean(),
            lambda z0, z1: -torch.cosine_similarity(z0, z1).mean(),
            lambda z0, z1: 2 - 2 * torch.cosine_similarity(z0, z1).mean(),
        ),
    ),
    Mistake(
        "variance: the variance stands where the standard deviation should, take the root.",
        _terms("spreads", *(_hinge(lambda z, c=c, e=e: z.var(0, correction=c) + e) for c in (0, 1) for e in (0, 1e-4))),
    ),
    Mistake(
        "variance: there is no hinge, so what is spread beyond 1 counts: max(0, 1 - deviation).",
        _terms(
            "spreads",
            _spreads(lambda z: (1 - _deviations(z)).mean()),
            _spreads(lambda z: (1 - _deviations(z)).abs().mean()),
            _spreads(lambda z: (1 - _deviations(z)).square().mean()),
            _spreads(lambda z: -_deviations(z).mean()),
        ),
    ),
    Mistake(
        "variance: the hinge is the wrong way round, it costs to be below 1: max(0, 1 - deviation).",
        _terms("spreads", _hinge(lambda z: 2 - _deviations(z))),
    ),
    Mistake(
        "variance: the hinge is squared, the paper's is not.",
        _terms("spreads", _spreads(lambda z: (1 - _deviations(z)).clamp(min=0).square().mean())),
    ),
    Mistake(
        "variance: the mean over features stands inside the hinge, each feature has a hinge of its own.",
        _terms(
            "spreads", _hinge(lambda z: _deviations(z).mean()), _hinge(lambda z: (z.var(dim=0).mean() + 1e-4).sqrt())
        ),
    ),
    Mistake(
        "variance: the hinges of the features are summed, take their mean.",
        _terms(
            "spreads",
            lambda z0, z1: _spreads(spread)(z0, z1) * z0.shape[1],
            lambda z0, z1: sum(spread(z) * z.shape[1] for z in (z0, z1)),
        ),
    ),
    Mistake(
        "variance: it is taken over the features of a row, it should run over the batch (dim=0).",
        _terms("spreads", _hinge(lambda z: _deviations(z, 1))),
    ),
    Mistake(
        "variance: it is taken over both views together, each view has a term of its own.",
        _terms("spreads", lambda z0, z1: spread(torch.cat([z0, z1])), lambda z0, z1: 2 * spread(torch.cat([z0, z1]))),
    ),
    Mistake(
        "variance: only one view has this term.",
        _terms("spreads", *(lambda z0, z1, n=n, f=f: f * spread((z0, z1)[n]) for n in (0, 1) for f in (0.5, 1))),
    ),
    Mistake(
        "covariance: the diagonal is among the squares, only different features count.",
        _terms("redundancy", _both(lambda z: covariances(z).square().sum() / z.shape[1])),
    ),
    Mistake(
        "covariance: the squares are summed, divide by D.",
        _terms("redundancy", _both(lambda z: off_diagonal(covariances(z)))),
    ),
    Mistake(
        "covariance: the squares are divided by something else than D.",
        _terms(
            "redundancy",
            _both(lambda z: off_diagonal(covariances(z)) / (z.shape[1] * (z.shape[1] - 1))),
            _both(lambda z: off_diagonal(covariances(z)) / z.numel()),
            _both(lambda z: off_diagonal(covariances(z)) / len(z)),
            _both(lambda z: off_diagonal(covariances(z)) / z.shape[1] ** 2),
        ),
    ),
    Mistake(
        "covariance: the covariances are not squared.",
        _terms(
            "redundancy",
            _both(lambda z: (covariances(z).sum() - covariances(z).trace()) / z.shape[1]),
            _both(lambda z: (covariances(z).abs().sum() - covariances(z).trace()) / z.shape[1]),
        ),
    ),
    Mistake(
        "covariance: the features are not centred, subtract the mean over the batch.",
        _terms("redundancy", _both(lambda z: off_diagonal(z.T @ z / (len(z) - 1)) / z.shape[1])),
    ),
    Mistake(
        "covariance: the products are divided by N, it is N - 1 (eq. 3).",
        _terms("redundancy", _both(lambda z: correlated(z) * ((len(z) - 1) / len(z)) ** 2)),
    ),
    Mistake(
        "covariance: the products of the batch are not divided by N - 1.",
        _terms("redundancy", _both(lambda z: correlated(z) * (len(z) - 1) ** 2)),
    ),
    Mistake(
        "covariance: correlations stand where the covariances should, the features are divided by their deviations.",
        _terms("redundancy", _both(lambda z: off_diagonal(torch.corrcoef(z.T)) / z.shape[1])),
    ),
    Mistake(
        "covariance: it is that of rows, an (N, N) matrix: it should be that of features, (D, D).",
        _terms(
            "redundancy",
            _both(lambda z: correlated(z.T)),
            _both(lambda z: off_diagonal(torch.cov(z)) / z.shape[1]),
        ),
    ),
    Mistake(
        "covariance: each pair of features counts once, the sum is over both d, e and e, d.",
        _terms("redundancy", _both(lambda z: correlated(z) / 2)),
    ),
    Mistake(
        "covariance: it is averaged over the two views, it is summed.",
        _terms("redundancy", lambda z0, z1: (correlated(z0) + correlated(z1)) / 2),
    ),
    Mistake(
        "covariance: only one view has this term.",
        _terms("redundancy", lambda z0, z1: correlated(z0), lambda z0, z1: correlated(z1)),
    ),
    Mistake(
        "covariance: it is that between the two views, each view has a term of its own.",
        _terms(
            "redundancy",
            *(
                lambda z0, z1, f=f: (
                    f * off_diagonal((z0 - z0.mean(0)).T @ (z1 - z1.mean(0)) / (len(z0) - 1)) / len(z0.T)
                )
                for f in (1, 2)
            ),
        ),
    ),
    Mistake(
        "the embeddings are normalised: VICReg takes them as they are.",
        _weights(lambda z0, z1, *w: (z0 / z0.norm(dim=1, keepdim=True), z1 / z1.norm(dim=1, keepdim=True), *w)),
    ),
    Mistake(
        "two of the weights are swapped.",
        _weights(lambda z0, z1, i, v, c: (z0, z1, v, i, c))
        + _weights(lambda z0, z1, i, v, c: (z0, z1, c, v, i))
        + _weights(lambda z0, z1, i, v, c: (z0, z1, i, c, v)),
    ),
    Mistake("the weights are not used.", _weights(lambda z0, z1, i, v, c: (z0, z1, 25.0, 25.0, 1.0))),
    Mistake("all weights are taken as 1.", _weights(lambda z0, z1, i, v, c: (z0, z1, 1.0, 1.0, 1.0))),
    Mistake("the invariance term is left out.", _weights(lambda z0, z1, i, v, c: (z0, z1, 0.0, v, c))),
    Mistake("the variance term is left out.", _weights(lambda z0, z1, i, v, c: (z0, z1, i, 0.0, c))),
    Mistake("the covariance term is left out.", _weights(lambda z0, z1, i, v, c: (z0, z1, i, v, 0.0))),
    Mistake(
        "a term is subtracted: all three are costs, added up.",
        _weights(lambda z0, z1, i, v, c: (z0, z1, i, -v, c))
        + _weights(lambda z0, z1, i, v, c: (z0, z1, i, v, -c))
        + _weights(lambda z0, z1, i, v, c: (z0, z1, i, -v, -c))
        + _weights(lambda z0, z1, i, v, c: (z0, z1, -i, v, c)),
    ),
)

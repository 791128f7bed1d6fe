"""Week 11: RSA and Procrustes, written pair by pair. CKA is in cka_oracle.py.

References: Kriegeskorte et al. 2008, "Representational similarity analysis"; Schoenemann 1966, "A generalized solution
of the orthogonal Procrustes problem".
"""

from functools import partial

import torch
from scipy import stats
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week11.cka_oracle import _columns

# --- rsa


def rsa(x: Tensor, y: Tensor) -> Tensor:
    """Spearman over pairs i < j of 1 - Pearson between samples i and j."""
    pairs = [(i, j) for i in range(len(x)) for j in range(i + 1, len(x))]
    dissimilar = [torch.stack([1 - pearson(z[i], z[j]) for i, j in pairs]) for z in (x, y)]
    return pearson(*(_ranks(d) for d in dissimilar))


def pearson(u: Tensor, v: Tensor) -> Tensor:
    u, v = u - u.mean(), v - v.mean()
    return u.dot(v) / (u.dot(u) * v.dot(v)).sqrt()


def _ranks(v: Tensor) -> Tensor:
    """Ranks from 1, equal values sharing the mean of theirs."""
    below, equal = (v[:, None] > v).sum(dim=1).double(), (v[:, None] == v).sum(dim=1).double()
    return below + (equal + 1) / 2


def _correlations(x: Tensor) -> Tensor:
    x = x - x.mean(dim=1, keepdim=True)
    x = x / x.norm(dim=1, keepdim=True)
    return (x @ x.T).clamp(-1, 1).fill_diagonal_(1)


def _cosines(x: Tensor) -> Tensor:
    x = x / x.norm(dim=1, keepdim=True)
    return (x @ x.T).fill_diagonal_(1)


def _kendall(u: Tensor, v: Tensor) -> Tensor:
    order = torch.triu_indices(len(u), len(u), offset=1)
    signs = [(d[order[0]] - d[order[1]]).sign() for d in (u, v)]
    return (signs[0] * signs[1]).mean()


def _rsa(
    x: Tensor, y: Tensor, *, table=_correlations, part: str = "upper", last=lambda u, v: pearson(*map(_ranks, (u, v)))
):
    tables = [1 - table(z) for z in (x, y)]
    n = len(tables[0])
    upper = torch.triu_indices(n, n, offset=1)
    take = {
        "upper": lambda t: t[upper[0], upper[1]],
        "all": lambda t: t.flatten(),
        "neighbours": lambda t: t.diagonal(1),
        "further": lambda t: t[tuple(torch.triu_indices(n, n, offset=2))],
        "upper with diagonal": lambda t: t[tuple(torch.triu_indices(n, n))],
    }[part]
    return last(*map(take, tables))


def _by_rows(x: Tensor, y: Tensor, *, own: bool) -> Tensor:
    """own: with the sample itself in its row."""
    tables, found = [_correlations(z) for z in (x, y)], []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if own or j != i]
        found.append(pearson(*(_ranks(table[i, others]) for table in tables)))
    return torch.stack(found).mean()


def _p_value(x: Tensor, y: Tensor) -> Tensor:
    return _rsa(x, y, last=lambda u, v: torch.tensor(stats.spearmanr(u, v).pvalue))


RSA_MISTAKES = (
    Mistake(
        "the full matrix is compared, with its diagonal: the zeros of the diagonal agree whatever the data. Take the "
        "pairs i < j, the upper triangle without the diagonal.",
        (partial(_rsa, part="all"), partial(_rsa, part="upper with diagonal")),
    ),
    Mistake(
        "it is Pearson's correlation at the end: Spearman compares the ranks of the dissimilarities.",
        (partial(_rsa, last=pearson),),
    ),
    Mistake(
        "features are correlated in place of samples: a dissimilarity belongs to two rows.",
        (partial(_rsa, table=lambda z: _correlations(z.T)),),
    ),
    Mistake(
        "these are cosines: Pearson takes the mean of each sample's features off first.",
        (partial(_rsa, table=_cosines),),
    ),
    Mistake(
        "these are Euclidean distances: a dissimilarity is 1 minus Pearson's correlation of two samples.",
        tuple(partial(_rsa, table=lambda z, p=p: -torch.cdist(z, z, p=p)) for p in (2, 1)),
    ),
    Mistake(
        "the sign of the correlations is lost: samples that are opposite are the most dissimilar.",
        (partial(_rsa, table=lambda z: _correlations(z).abs()), partial(_rsa, table=lambda z: _correlations(z) ** 2)),
    ),
    Mistake(
        "these are covariances: Pearson's correlation divides by both standard deviations.",
        (partial(_rsa, table=lambda z: torch.cov(z)),),
    ),
    Mistake(
        "these are inner products: a dissimilarity is 1 minus Pearson's correlation of two samples.",
        (partial(_rsa, table=lambda z: z @ z.T),),
    ),
    Mistake(
        "the features are centred over the samples first: Pearson's correlation of two samples takes off each sample's "
        "own mean, and nothing else.",
        (partial(_rsa, table=lambda z: _correlations(z - z.mean(dim=0))),),
    ),
    Mistake(
        "argsort stands for ranks: it tells which pair comes n-th, ranks tell at which place a pair comes.",
        (partial(_rsa, last=lambda u, v: pearson(u.argsort().double(), v.argsort().double())),),
    ),
    Mistake(
        "every sample's row is correlated by itself, and the mean is taken: it is one correlation over all pairs.",
        (partial(_by_rows, own=True), partial(_by_rows, own=False)),
    ),
    Mistake("one representation is compared with itself: with the other one.", (lambda x, y: torch.tensor(1.0),)),
    Mistake("only pairs of neighbouring rows are compared: all pairs i < j.", (partial(_rsa, part="neighbours"),)),
    Mistake(
        "some pairs are left out: all i < j, one above the diagonal and further.", (partial(_rsa, part="further"),)
    ),
    Mistake("this is the p-value: take the statistic, the first of the two that spearmanr returns.", (_p_value,)),
    Mistake("the sign is lost: representations may disagree.", (lambda x, y: rsa(x, y).abs(),)),
    Mistake("it is Kendall's correlation at the end: Spearman's is asked for.", (partial(_rsa, last=_kendall),)),
    Mistake("the sign is wrong: equal representations give 1.", (lambda x, y: -rsa(x, y),)),
    Mistake(
        "it is a distance, one minus the correlation: equal representations give 1.", (lambda x, y: 1 - rsa(x, y),)
    ),
)


# --- procrustes


def procrustes(x: Tensor, y: Tensor) -> Tensor:
    """The orthogonal R with centred x R nearest to centred y: U V^T of x^T y = U S V^T (Schoenemann 1966)."""
    u, _, vh = torch.linalg.svd(_columns(x).T @ _columns(y))
    return u @ vh


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def _turn(product: Tensor) -> Tensor:
    u, _, vh = torch.linalg.svd(product)
    return u @ vh


def _svd(x: Tensor, y: Tensor, centre=_columns) -> tuple[Tensor, Tensor, Tensor]:
    return torch.linalg.svd(centre(x).T @ centre(y))


def without_reflection(x: Tensor, y: Tensor) -> Tensor:
    """The nearest rotation: the direction with the smallest singular value turns over where it must."""
    u, _, vh = torch.linalg.svd(_columns(x).T @ _columns(y))
    sign = torch.ones(len(u), dtype=x.dtype)
    sign[-1] = (torch.linalg.det(u) * torch.linalg.det(vh)).sign()
    return u * sign @ vh


PROCRUSTES_MISTAKES = {
    "the rotation is transposed: x R should be close to y, and x is multiplied from the right.": (
        lambda x, y: procrustes(x, y).T,
    ),
    "nothing is centred: take the mean of each off first.": (
        lambda x, y: _svd(x, y, lambda z: z)[0] @ _svd(x, y, lambda z: z)[2],
    ),
    "one mean is taken of all entries: every feature has a mean over the samples, dim=0.": (
        lambda x, y: _svd(x, y, lambda z: z - z.mean())[0] @ _svd(x, y, lambda z: z - z.mean())[2],
    ),
    "reflections are excluded: R may have determinant -1 here.": (without_reflection,),
    "it is the least squares solution, which stretches: R is orthogonal, R^T R = 1.": (
        lambda x, y: torch.linalg.lstsq(_columns(x), _columns(y)).solution,
        lambda x, y: torch.linalg.lstsq(x, y).solution,
    ),
    "the singular values are still in: leave them out, R = U V^T.": (lambda x, y: _columns(x).T @ _columns(y),),
    "a scale is in it: leave the singular values out, R = U V^T.": (
        lambda x, y: procrustes(x, y) * _svd(x, y)[1].sum() / _columns(x).square().sum(),
        lambda x, y: procrustes(x, y) * _svd(x, y)[1].sum(),
        lambda x, y: procrustes(x, y) * _columns(y).norm() / _columns(x).norm(),
    ),
    "V is not transposed: torch.linalg.svd returns V^T, so R is U @ Vh.": (
        lambda x, y: _svd(x, y)[0] @ _svd(x, y)[2].T,
    ),
    "U and V stand in the wrong order: R = U V^T.": (
        lambda x, y: _svd(x, y)[2] @ _svd(x, y)[0],
        lambda x, y: _svd(x, y)[2].T @ _svd(x, y)[0],
    ),
    "this is the Q of a QR decomposition, which is orthogonal and not the nearest: use the SVD.": (
        lambda x, y: torch.linalg.qr(_columns(x).T @ _columns(y)).Q,
    ),
    "every sample is brought to length 1, which moves the nearest rotation: centring is all.": (
        lambda x, y: procrustes(_unit(x), _unit(y)),
        lambda x, y: _turn(_unit(_columns(x)).T @ _unit(_columns(y))),
    ),
    "every feature is standardised, which moves the nearest rotation: centring is all.": (
        lambda x, y: procrustes(x / x.std(dim=0), y / y.std(dim=0)),
    ),
    "the mean runs over the features: every feature has a mean over the samples, dim=0.": (
        lambda x, y: _turn((x - x.mean(dim=1, keepdim=True)).T @ (y - y.mean(dim=1, keepdim=True))),
    ),
    "one factor of the SVD alone is returned: R = U V^T.": (
        lambda x, y: _svd(x, y)[0],
        lambda x, y: _svd(x, y)[2],
        lambda x, y: _svd(x, y)[2].T,
    ),
    "the sign of the whole is turned over where it is a reflection: R may have determinant -1, it stays as it is.": (
        lambda x, y: procrustes(x, y) * torch.linalg.det(procrustes(x, y)).sign(),
    ),
    "the sign is wrong: x R points away from y.": (lambda x, y: -procrustes(x, y),),
}

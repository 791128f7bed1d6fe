"""Week 11: measures of alignment between two representations, written with kernels and pairs of samples.

References: Kornblith et al. 2019, "Similarity of neural network representations revisited", eq. 1 to 3; Song et al.
2012, "Feature selection via dependence maximization", eq. 5; Kriegeskorte et al. 2008, "Representational similarity
analysis"; Schoenemann 1966, "A generalized solution of the orthogonal Procrustes problem".
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- linear_cka


def linear_cka(x: Tensor, y: Tensor, debiased: bool = False) -> Tensor:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with the N x N kernels of inner products."""
    kernels = x @ x.T, y @ y.T
    hsic = _unbiased_hsic if debiased else _hsic
    own = [hsic(kernel, kernel) for kernel in kernels]
    return hsic(*kernels) / (own[0] * own[1]).sqrt()


def _hsic(k: Tensor, m: Tensor) -> Tensor:
    """tr(K H L H), with the centring matrix H."""
    h = torch.eye(len(k), dtype=k.dtype) - 1 / len(k)
    return (k @ h @ m @ h).trace()


def _unbiased_hsic(k: Tensor, m: Tensor) -> Tensor:
    """Song et al., eq. 5: with the diagonals set to 0."""
    n = len(k)
    k, m = (kernel.clone().fill_diagonal_(0) for kernel in (k, m))
    one = torch.ones(n, dtype=k.dtype)
    middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return ((k @ m).trace() + middle - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))


def _columns(x: Tensor) -> Tensor:
    return x - x.mean(dim=0)


def _linear_cka(
    x: Tensor,
    y: Tensor,
    debiased: bool = False,
    *,
    centre=_columns,
    swap: bool = False,
    power: int = 2,
    root: bool = True,
    own: bool | None = None,
    norm: str = "fro",
) -> Tensor:
    """linear_cka with something wrong, in the d x d form; right with the defaults where debiased is False.

    own: whether the denominators are debiased, where that differs from the numerator.
    """
    x, y = centre(x), centre(y)
    if swap:
        x, y = x.T, y.T
    if debiased or own:
        kernels = x @ x.T, y @ y.T
        plain = [(k * m).sum() for k, m in ((kernels[0], kernels[1]), (kernels[0],) * 2, (kernels[1],) * 2)]
        fair = [_unbiased_hsic(k, m) for k, m in ((kernels[0], kernels[1]), (kernels[0],) * 2, (kernels[1],) * 2)]
        top = fair[0] if debiased else plain[0]
        below = fair if (debiased if own is None else own) else plain
        return top / (below[1] * below[2]).sqrt()
    size = {"fro": lambda m: m.norm(), "nuclear": lambda m: torch.linalg.matrix_norm(m, "nuc")}[norm]
    top, bottom = size(x.T @ y) ** power, size(x.T @ x) * size(y.T @ y)
    if power == 2 and norm == "fro" and not root:
        bottom = bottom**2
    return top / bottom


def _kept(x: Tensor, y: Tensor, debiased: bool = False, *, diagonal: str) -> Tensor:
    """The debiased estimate with a slip: diagonals kept, or taken off without the two corrections."""
    if not debiased:
        return linear_cka(x, y)
    if diagonal == "on":
        kernels = [z @ z.T for z in (x, y)]  # of centred features this would be plain CKA
    else:
        kernels = [_columns(z) @ _columns(z).T for z in (x, y)]
        kernels = [k.clone().fill_diagonal_(0) for k in kernels]
        return (kernels[0] * kernels[1]).sum() / ((kernels[0] ** 2).sum() * (kernels[1] ** 2).sum()).sqrt()

    def hsic(k: Tensor, m: Tensor) -> Tensor:
        n, one = len(k), torch.ones(len(k), dtype=k.dtype)
        middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return (k @ m).trace() + middle - 2 / (n - 2) * (one @ k @ m @ one)

    return hsic(*kernels) / (hsic(kernels[0], kernels[0]) * hsic(kernels[1], kernels[1])).sqrt()


def _wrong(**what) -> partial:
    return partial(_linear_cka, **what)


CKA_MISTAKES = (
    Mistake(
        "nothing is centred: take off the mean of every feature over the samples first, x - x.mean(dim=0).",
        (_wrong(centre=lambda x: x),),
    ),
    Mistake(
        "the mean runs over the features: every feature has a mean over the samples, dim=0.",
        (_wrong(centre=lambda x: x - x.mean(dim=1, keepdim=True)), _wrong(centre=lambda x: x - x.mean())),
    ),
    Mistake(
        "features and samples are swapped: rows are samples, so the products are x.T @ y, of shape (D, E).",
        (
            _wrong(swap=True),
            _wrong(swap=True, centre=lambda x: x),
            _wrong(swap=True, centre=lambda x: x - x.mean(dim=1, keepdim=True)),
        ),
    ),
    Mistake("the norm of x.T @ y is not squared: CKA is |x.T y|^2 / (|x.T x| |y.T y|).", (_wrong(power=1),)),
    Mistake(
        "the denominator lacks its square root: it is |x.T x| |y.T y|, norms that are not squared.",
        (_wrong(root=False),),
    ),
    Mistake(
        "this is another norm: Frobenius, the root of the sum of squares, which .norm() gives.",
        (_wrong(norm="nuclear"), _wrong(norm="nuclear", power=1)),
    ),
    Mistake(
        "every feature is standardised: CKA only centres; dividing by standard deviations undoes the weight of large "
        "directions and the invariance to rotation.",
        (
            _wrong(centre=lambda x: (x - x.mean(dim=0)) / x.std(dim=0)),
            _wrong(centre=lambda x: (x - x.mean(dim=0)) / x.std(dim=0, correction=0)),
        ),
    ),
    Mistake(
        "every sample is brought to length 1: CKA only centres.",
        (_wrong(centre=lambda x: _columns(x) / _columns(x).norm(dim=1, keepdim=True)),),
    ),
    Mistake("the square root of CKA is returned.", (lambda x, y, d=False: linear_cka(x, y, d).sqrt(),)),
)
DEBIASED_MISTAKES = (
    Mistake(
        "this is plain CKA: either debiased is not used, or the diagonals, which the unbiased estimate leaves out, are "
        "still in.",
        (lambda x, y, d=False: linear_cka(x, y, False), partial(_kept, diagonal="on")),
    ),
    Mistake(
        "only the numerator is debiased: all three of its terms are the unbiased estimate.",
        (
            lambda x, y, d=False: _linear_cka(x, y, True, own=False),
            lambda x, y, d=False: len(x) * (len(x) - 3) * _linear_cka(x, y, True, own=False),
        ),
    ),
    Mistake(
        "the diagonals are left out, but the two corrections for the means are missing.",
        (partial(_kept, diagonal="off only"),),
    ),
)


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


def _rsa(
    x: Tensor, y: Tensor, *, table=_correlations, part: str = "upper", last=lambda u, v: pearson(*map(_ranks, (u, v)))
):
    tables = [1 - table(z) for z in (x, y)]
    n = len(tables[0])
    upper = torch.triu_indices(n, n, offset=1)
    take = {
        "upper": lambda t: t[upper[0], upper[1]],
        "all": lambda t: t.flatten(),
        "upper with diagonal": lambda t: t[tuple(torch.triu_indices(n, n))],
    }[part]
    return last(*map(take, tables))


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
        (partial(_rsa, table=lambda z: -torch.cdist(z, z)),),
    ),
    Mistake("the sign is wrong: equal representations give 1.", (lambda x, y: -rsa(x, y),)),
)


# --- procrustes


def procrustes(x: Tensor, y: Tensor) -> Tensor:
    """The orthogonal R with centred x R nearest to centred y: U V^T of x^T y = U S V^T (Schoenemann 1966)."""
    u, _, vh = torch.linalg.svd(_columns(x).T @ _columns(y))
    return u @ vh


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
        lambda x, y: torch.linalg.svd(x.T @ y)[0] @ torch.linalg.svd(x.T @ y)[2],
    ),
    "reflections are excluded: R may have determinant -1 here.": (without_reflection,),
    "it is the least squares solution, which stretches: R is orthogonal, R^T R = 1.": (
        lambda x, y: torch.linalg.lstsq(_columns(x), _columns(y)).solution,
        lambda x, y: torch.linalg.lstsq(x, y).solution,
    ),
    "the singular values are still in: leave them out, R = U V^T.": (lambda x, y: _columns(x).T @ _columns(y),),
    "V is not transposed: torch.linalg.svd returns V^T, so R is U @ Vh.": (
        lambda x, y: (
            torch.linalg.svd(_columns(x).T @ _columns(y))[0] @ torch.linalg.svd(_columns(x).T @ _columns(y))[2].T
        ),
    ),
}

"""Week 11: centred kernel alignment, written with kernels, and with the mistakes that have a name.

References: Kornblith et al. 2019, "Similarity of neural network representations revisited", eq. 1 to 3; Song et al.
2012, "Feature selection via dependence maximization", eq. 5.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


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
    norm: str | int = "fro",
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
    size = partial(torch.linalg.matrix_norm, ord=norm)
    top, bottom = size(x.T @ y) ** power, size(x.T @ x) * size(y.T @ y)
    if power == 2 and not root:
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


def _one_sided(first, second) -> Callable:
    def wrong(x: Tensor, y: Tensor, debiased: bool = False) -> Tensor:
        x, y = first(x), second(y)
        return (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())

    return wrong


def _of_sums(size, above_only: bool = False) -> Callable:
    """Another number than the squared norm of the three products, or of the first alone."""

    def wrong(x: Tensor, y: Tensor, debiased: bool = False) -> Tensor:
        x, y = _columns(x), _columns(y)
        if above_only:
            return size(x.T @ y) / ((x.T @ x).norm() * (y.T @ y).norm())
        return size(x.T @ y) / (size(x.T @ x) * size(y.T @ y)).sqrt()

    return wrong


def _corrected(
    x: Tensor,
    y: Tensor,
    debiased: bool = False,
    *,
    first=lambda n: n / (n - 2),
    second=lambda n: 1 / ((n - 1) * (n - 2)),
    centre=_columns,
    power: int = 2,
    above: bool = True,
    then=lambda value: value,
    alike: bool = False,
    lengths: str = "centred",
) -> Tensor:
    """The debiased estimate from features with something wrong; right with the defaults. above: in the numerator.

    alike: the second correction has the sum of products in place of the product of sums.
    """
    if not debiased:
        return linear_cka(x, y)
    n = len(x)
    both = [(centre(z), z if lengths == "uncentred" else centre(z)) for z in (x, y)]

    def term(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], fair: bool = True) -> Tensor:
        k, m = (z.norm(dim=1) ** power for _, z in (one, other))
        product = k.dot(m) if alike else k.sum() * m.sum()
        return (one[0].T @ other[0]).square().sum() + fair * (product * second(n) - k.dot(m) * first(n))

    x, y = both
    return then(term(x, y, above) / (term(x, x) * term(y, y)).sqrt())


CKA_MISTAKES = (
    Mistake(
        "nothing is centred: take off the mean of every feature over the samples first, x - x.mean(dim=0).",
        (_wrong(centre=lambda x: x),),
    ),
    Mistake(
        "the mean runs over the features: every feature has a mean over the samples, dim=0.",
        (_wrong(centre=lambda x: x - x.mean(dim=1, keepdim=True)),),
    ),
    Mistake(
        "one mean is taken of all entries: every feature has a mean over the samples, dim=0.",
        (_wrong(centre=lambda x: x - x.mean()),),
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
        tuple(_wrong(norm=norm, power=power) for norm in ("nuc", 2, 1) for power in (1, 2)),
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
        (
            _wrong(centre=lambda x: _columns(x) / _columns(x).norm(dim=1, keepdim=True)),
            _wrong(centre=lambda x: x / x.norm(dim=1, keepdim=True)),
            _wrong(centre=lambda x: _columns(x / x.norm(dim=1, keepdim=True))),
        ),
    ),
    Mistake("the square root of CKA is returned.", (lambda x, y, d=False: linear_cka(x, y, d).sqrt(),)),
    Mistake("it is one minus CKA: equal representations give 1.", (lambda x, y, d=False: 1 - linear_cka(x, y, d),)),
    Mistake(
        "only one of the two is centred: take the mean of every feature off both.",
        (_one_sided(_columns, lambda x: x), _one_sided(lambda x: x, _columns)),
    ),
    Mistake(
        "the products are added up before they are squared: square every entry of x.T @ y, then add.",
        (_of_sums(lambda m: m.sum().square()), _of_sums(lambda m: m.sum().square(), above_only=True)),
    ),
    Mistake(
        "only the diagonal of the product counts: add up the squares of all entries of x.T @ y.",
        tuple(
            _of_sums(size, above_only=above_only)
            for size in (lambda m: m.diagonal().square().sum(), lambda m: m.trace().square())
            for above_only in (False, True)
        ),
    ),
    Mistake("the entries are not squared: it is the sum of their squares.", (_of_sums(lambda m: m.abs().sum()),)),
    Mistake(
        "it is not divided by the norms of x.T @ x and y.T @ y: that is HSIC, which grows with the lengths.",
        (
            lambda x, y, d=False: _hsic(x @ x.T, y @ y.T),
            lambda x, y, d=False: _hsic(x @ x.T, y @ y.T) / (len(x) - 1) ** 2,
            lambda x, y, d=False: _hsic(x @ x.T, y @ y.T) / len(x) ** 2,
        ),
    ),
    *(
        Mistake(
            f"it is divided by the {what} of the two terms: take the root of their product.",
            (lambda x, y, d=False, by=by: by * _hsic(x @ x.T, y @ y.T) / sum(_hsic(z @ z.T, z @ z.T) for z in (x, y)),),
        )
        for what, by in (("sum", 1), ("mean", 2))
    ),
)
DEBIASED_MISTAKES = (
    Mistake(
        "N is taken to be the number of features: it is that of the samples, len(x).",
        (
            lambda x, y, d=False: _corrected(
                x,
                y,
                d,
                first=lambda n: x.shape[1] / (x.shape[1] - 2),
                second=lambda n: 1 / ((x.shape[1] - 1) * (x.shape[1] - 2)),
            ),
        ),
    ),
    Mistake(
        "in the second correction the products are summed: it is the product of the two sums, of all k and of all m.",
        (partial(_corrected, alike=True),),
    ),
    Mistake(
        "the squared lengths are those of the rows as they came: the formula holds for centred rows.",
        (partial(_corrected, lengths="uncentred"),),
    ),
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
        (partial(_kept, diagonal="off only"), partial(_corrected, first=lambda n: 1, second=lambda n: 0)),
    ),
    Mistake(
        "the factor of the first correction is another one: N / (N - 2) goes with the lengths of centred rows.",
        tuple(
            partial(_corrected, first=factor)
            for factor in (
                lambda n: 2 / (n - 2),
                lambda n: n / (n - 1),
                lambda n: 1 / (n - 2),
                lambda n: (n - 1) / (n - 2),
                lambda n: n / (n - 3),
                lambda n: 1,
            )
        ),
    ),
    Mistake(
        "the factor of the second correction is another one: 1 / ((N - 1)(N - 2)) goes with the two sums.",
        tuple(
            partial(_corrected, second=factor)
            for factor in (
                lambda n: 1 / (n * (n - 1)),
                lambda n: 1 / ((n - 2) * (n - 3)),
                lambda n: 1 / ((n - 1) * (n - 3)),
                lambda n: 1 / (n - 1),
                lambda n: 1 / (n - 2),
                lambda n: 1 / (n - 2) ** 2,
                lambda n: 1 / (n - 1) ** 2,
                lambda n: 1 / n**2,
                lambda n: 1 / (n * (n - 3)),
            )
        ),
    ),
    Mistake(
        "the signs of the corrections are wrong: the sum of products is taken off, the product of sums is added.",
        (
            partial(_corrected, first=lambda n: -n / (n - 2)),
            partial(_corrected, second=lambda n: -1 / ((n - 1) * (n - 2))),
            partial(_corrected, first=lambda n: -n / (n - 2), second=lambda n: -1 / ((n - 1) * (n - 2))),
        ),
    ),
    Mistake(
        "the second correction is missing: add the product of the two sums over (N - 1)(N - 2).",
        (partial(_corrected, second=lambda n: 0),),
    ),
    Mistake(
        "the first correction is missing: take off the sum of the products k_n m_n times N / (N - 2).",
        (partial(_corrected, first=lambda n: 0),),
    ),
    Mistake("the lengths are not squared: k_n is the squared length of row n.", (partial(_corrected, power=1),)),
    Mistake(
        "with debiased the features are not centred: the formula holds for centred rows.",
        (partial(_corrected, centre=lambda x: x),),
    ),
    Mistake(
        "only the denominator is debiased: all three of its terms are the unbiased estimate.",
        (partial(_corrected, above=False),),
    ),
    Mistake(
        "negative values are cut off at 0: of unrelated data the unbiased estimate lies around 0, on both sides.",
        (partial(_corrected, then=lambda value: value.clamp(min=0)),),
    ),
    Mistake(
        "the sign is lost: of unrelated data the unbiased estimate lies around 0, on both sides.",
        (partial(_corrected, then=torch.abs),),
    ),
)

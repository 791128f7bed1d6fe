"""The check of view_whitening: whatever square root is taken, W W^T is the inverse of the covariance within images.

Reference: Hatch, Kajarekar and Stolcke 2006, "Within-class covariance normalization for SVM-based speaker
recognition".
"""

import torch
from torch import Tensor

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong

FLOOR = 1e-3  # the default


def covariance(views: Tensor, floor: float = FLOOR) -> Tensor:
    """S + floor * mean variance * 1 (D, D) of views (V, N, D), one view after another."""
    n_views, n_images, dim = views.shape
    total = torch.zeros(dim, dim, dtype=views.dtype)
    for v in range(n_views):
        for i in range(n_images):
            away = views[v, i] - sum(views[:, i]) / n_views
            total = total + away[:, None] * away[None, :]
    return _lifted(total / (n_views * n_images), floor)


def _lifted(s: Tensor, floor: float) -> Tensor:
    return s + floor * s.diagonal().mean() * torch.eye(len(s), dtype=s.dtype)


COLUMNS = "W is the wrong way round: features are rows, so that directions are the columns of W."


def _readings(views: Tensor, floor: float) -> list[tuple[str, Tensor]]:
    """(what seems to be wrong, W W^T that comes of it)."""
    n_views, n_images, dim = views.shape
    many = n_views * n_images
    plain, right = covariance(views, 0.0), covariance(views, floor)
    values, vectors = torch.linalg.eigh(right)
    raw, axes = torch.linalg.eigh(plain)
    raw, mean, eye = raw.clamp(min=0), plain.diagonal().mean(), torch.eye(dim, dtype=views.dtype)
    away, means = views - views.mean(dim=0), views.mean(dim=0)

    def power(exponent: float) -> Tensor:
        return vectors @ values.pow(exponent).diag() @ vectors.T

    def spread(variances: Tensor) -> Tensor:
        return axes @ (1 / variances).diag() @ axes.T

    def of(deviations: Tensor, factor: float = 1.0) -> Tensor:
        x = deviations.reshape(-1, dim)
        return _lifted(factor * x.T @ x / len(x), floor).inverse()

    found = {
        "the deviations are from the mean of all images: subtract the mean of each image's own views.": [
            of(views - views.mean(dim=(0, 1)))
        ],
        "the deviations are from the mean over images: subtract the mean over views, dim=0.": [
            of(views - views.mean(dim=1, keepdim=True))
        ],
        "nothing is subtracted: subtract the mean over the views of each image.": [of(views)],
        "views are compared with one of them: subtract the mean over all views of the image.": [
            of(views - views[:1]), of((views - views[:1])[1:]), of(views - views.roll(1, dims=0)),
            of(views[:, None] - views), of((views - views[:1])[1]), of((views - views[:1])[1], 0.5)
        ],
        "the median is subtracted: subtract the mean over views.": [of(views - views.median(dim=0).values)],
        "the means do not stand beside their views: image i of every view has row i of views.mean(dim=0) taken off.": [
            of(views.flatten(0, 1) - means.repeat_interleave(n_views, dim=0))
        ],
        "it is the covariance of the images' means: what counts is how views scatter within an image.": [
            of(means - means.mean(dim=0)), of(means)
        ],
        "only one view counts: average over all V N deviations.": [of(away[v]) for v in range(n_views)],
        "the deviations are divided by their lengths: only the mean is taken off.": [
            of(away / away.norm(dim=2, keepdim=True).clamp(min=1e-12))
        ],
        "the correlation is taken, in which every feature has variance 1: take the covariance.": [
            of(away / plain.diagonal().sqrt().clamp(min=1e-12))
        ],
        "the variances grow instead of becoming equal: divide by their square roots.": [power(1), power(2)],
        "W is the inverse of the covariance: it is the inverse of its square root.": [power(-2)],
        "the square root is taken twice: divide by the root of the variances.": [power(-0.5)],
        "the directions are orthogonal and all as long as before: divide each by the root of its variance.": [power(0)],
        COLUMNS: [(1 / values).diag()],
        "the deviations are summed: take their mean over images and views.": [of(away, many)],
        "the sum over all deviations is divided by only one of N and V: divide by V N.": [
            of(away, n_views), of(away, n_images)
        ],
        "the floor is added as it is: it is a share of the mean variance.": [(plain + floor * eye).inverse()],
        "the floor is a share of the sum of the variances, or of the largest: it is one of their mean.": [
            spread(raw + floor * dim * mean), spread(raw + floor * raw.max())
        ],
        "the covariance is shrunk, too, by 1 - floor: the floor is added to it as it is.": [
            spread((1 - floor) * raw + floor * mean)
        ],
        "variances below the floor are lifted to it: it is added to all of them.": [
            spread(raw.clamp(min=floor * mean))
        ],
        "the floor is added after the root: add it to the variances, then take the root.": [
            spread((raw.sqrt() + floor * x).square()) for x in (mean, mean.sqrt(), raw.sqrt().mean(), 1.0)
        ],
        "only the variances of single features are used: directions are the eigenvectors of the covariance.": [
            (1 / right.diagonal()).diag()
        ],
    }  # fmt: skip
    if float(raw[0]) > 1e-6 * float(mean):
        found["the floor is missing."] = [plain.inverse()]
    return [(sentence, one) for sentence, all_of_it in found.items() for one in all_of_it]


def examine_whitening(student: Student) -> str:
    cases = []
    for n_views, n_images, dim, floor in ((3, 12, 4, 0.05), (2, 30, 6, 0.2), (4, 9, 3, 0.01)):
        # Nuisances of unequal size along skew directions, and images far apart.
        skew = student.normal(dim, dim) * (0.3 + 2 * student.uniform(dim, 1))
        views = 3 * student.normal(1, n_images, dim) + student.normal(n_views, n_images, dim) @ skew
        views = views + torch.arange(n_views)[:, None, None].float()
        cases.append((views, floor))
    _judge(student, cases)
    views = cases[-1][0]
    _judge(student, [(views,)])

    # A feature that views never change: without a floor it would be divided by 0.
    still = views.clone()
    still[:, :, 0] = student.normal(1, n_images)
    _judge(student, [(still, 0.1)])
    return "W W^T is the inverse of the covariance within images, floor included, also where nothing varies."


def _judge(student: Student, cases: list[tuple]) -> None:
    """The first case that is not right is told, with a mistake that explains all of them."""
    came = []
    for case in cases:
        dim = case[0].shape[2]
        w = tensor(student(*case), (dim, dim), "It returns").detach().double()
        if not w.isfinite().all():
            raise Wrong("Some of its values are not finite: add the floor to the variances before the root is taken.")
        came.append(w)
    wrong = [n for n, pair in enumerate(zip(came, cases, strict=True)) if not _right(*pair)]
    if not wrong:
        return
    saw = set.intersection(*(_seen(*pair) for pair in zip(came, cases, strict=True)))
    views, floor = (*cases[wrong[0]], FLOOR)[:2]
    n_views, n_images, dim = views.shape
    after = ((views.double() - views.double().mean(dim=0)) @ came[wrong[0]]).pow(2).mean(dim=(0, 1))
    low, high = float(after.min()), float(after.max())
    default = " Without a floor it is 0.001." if len(cases[0]) == 1 else ""
    raise Wrong(
        f"On {n_views} views of {n_images} images in {dim} dimensions, floor {floor:g}, the variances within images "
        f"after it lie between {low:.3g} and {high:.3g}; all should be 1 or, through the floor, a little less, and "
        f"no two directions should vary together.{default}" + (f"\nIt looks as if {saw.pop()}" if len(saw) == 1 else "")
    )


def _right(w: Tensor, case: tuple) -> bool:
    """Of the spread of n values there are three usual estimates; a factor between them changes nothing below."""
    views, floor = (*case, FLOOR)[:2]
    n_views, n_images, _ = views.shape
    right = covariance(views.double(), floor).inverse()
    factors = 1.0, (n_views - 1) / n_views, (n_views * n_images - 1) / (n_views * n_images)
    return any(_equal(w @ w.T, factor * right) for factor in factors)


def _seen(w: Tensor, case: tuple) -> set[str]:
    """The mistakes that explain what came of one case."""
    views, floor = (*case, FLOOR)[:2]
    saw = {sentence for sentence, one in _readings(views.double(), floor) if _equal(w @ w.T, one)}
    return saw | ({COLUMNS} if _right(w.T, case) and not _right(w, case) else set())


def _equal(came: Tensor, wanted: Tensor) -> bool:
    scale = wanted.abs().max()
    return close(came / scale, wanted / scale, 1e-3)

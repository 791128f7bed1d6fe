"""The check of view_whitening: whatever square root is taken, W W^T is the inverse of the covariance within images.

Reference: Hatch, Kajarekar and Stolcke 2006, "Within-class covariance normalization for SVM-based speaker
recognition".
"""

import torch
from torch import Tensor

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong

FLOOR = 1e-3  # the default


def covariance(views: Tensor, floor: float = FLOOR, about: str = "image") -> Tensor:
    """S + floor * mean variance * 1 (D, D) of views (V, N, D), one view after another.

    about: the mean that is subtracted; "image" is what is asked for, "all" and "view" are two mistakes.
    """
    n_views, n_images, dim = views.shape
    total = torch.zeros(dim, dim, dtype=views.dtype)
    means = {
        "image": lambda v, i: sum(views[:, i]) / n_views,
        "all": lambda v, i: views.mean(dim=(0, 1)),
        "view": lambda v, i: views[v].mean(dim=0),
    }[about]
    for v in range(n_views):
        for i in range(n_images):
            away = views[v, i] - means(v, i)
            total = total + away[:, None] * away[None, :]
    total = total / (n_views * n_images)
    return total + floor * total.diagonal().mean() * torch.eye(dim, dtype=views.dtype)


def _readings(views: Tensor, floor: float) -> list[tuple[str, Tensor]]:
    """(what seems to be wrong, W W^T that comes of it)."""
    right = covariance(views, floor)
    values, vectors = torch.linalg.eigh(right)
    many = views.shape[0] * views.shape[1]
    plain = covariance(views, 0.0)
    eye = torch.eye(len(right), dtype=right.dtype)

    def power(exponent: float) -> Tensor:
        return vectors @ values.pow(exponent).diag() @ vectors.T

    found = [
        ("the deviations are from the mean of all images: subtract the mean of each image's own views.",
         covariance(views, floor, "all").inverse()),
        ("the deviations are from the mean over images: subtract the mean over views, dim=0.",
         covariance(views, floor, "view").inverse()),
        ("the variances grow instead of becoming equal: divide by their square roots.", power(1)),
        ("W is the inverse of the covariance: it is the inverse of its square root.", power(-2)),
        ("the square root is taken twice: divide by the root of the variances.", power(-0.5)),
        ("the directions are orthogonal and all as long as before: divide each by the root of its variance.", power(0)),
        ("W is the wrong way round: features are rows, so that directions are the columns of W.",
         (1 / values).diag()),
        ("the deviations are summed: take their mean over images and views.",
         (many * plain + floor * many * plain.diagonal().mean() * eye).inverse()),
        ("the floor is added as it is: it is a share of the mean variance.", (plain + floor * eye).inverse()),
        ("only the variances of single features are used: directions are the eigenvectors of the covariance.",
         (1 / right.diagonal()).diag()),
    ]  # fmt: skip
    if float(torch.linalg.eigvalsh(plain)[0]) > 1e-6 * float(plain.diagonal().mean()):
        found.append(("the floor is missing.", plain.inverse()))
    return found


def examine_whitening(student: Student) -> str:
    for n_views, n_images, dim, floor in ((3, 12, 4, 0.05), (2, 30, 6, 0.2), (4, 9, 3, 0.01)):
        # Nuisances of unequal size along skew directions, and images far apart.
        skew = student.normal(dim, dim) * (0.3 + 2 * student.uniform(dim, 1))
        views = 3 * student.normal(1, n_images, dim) + student.normal(n_views, n_images, dim) @ skew
        views = views + torch.arange(n_views)[:, None, None].float()
        _judge(student, views, floor, (views, floor))
    _judge(student, views, FLOOR, (views,))

    # A feature that views never change: without a floor it would be divided by 0.
    still = views.clone()
    still[:, :, 0] = student.normal(1, n_images)
    _judge(student, still, 0.1, (still, 0.1))
    return "W W^T is the inverse of the covariance within images, floor included, also where nothing varies."


def _judge(student: Student, views: Tensor, floor: float, given: tuple) -> None:
    n_views, n_images, dim = views.shape
    w = tensor(student(*given), (dim, dim), "It returns").detach().double()
    if not w.isfinite().all():
        raise Wrong("Some of its values are not finite: add the floor to the variances before the root is taken.")
    right = covariance(views.double(), floor)
    # Of the spread of n values there are three usual estimates, which differ by a factor that changes nothing below.
    wanted = [right.inverse(), right.inverse() * (n_views - 1) / n_views]
    wanted.append(right.inverse() * (n_views * n_images - 1) / (n_views * n_images))
    if any(_equal(w @ w.T, one) for one in wanted):
        return
    saw = [sentence for sentence, one in _readings(views.double(), floor) if _equal(w @ w.T, one)]
    if len(saw) != 1 and _equal(w.T @ w, wanted[0]):
        saw = ["W is the wrong way round: features are rows, so that directions are the columns of W."]
    after = ((views.double() - views.double().mean(dim=0)) @ w).pow(2).mean(dim=(0, 1))
    low, high = float(after.min()), float(after.max())
    default = " Without a floor it is 0.001." if len(given) == 1 else ""
    raise Wrong(
        f"On {n_views} views of {n_images} images in {dim} dimensions, floor {floor:g}, the variances within images "
        f"after it lie between {low:.3g} and {high:.3g}; all should be 1 or, through the floor, a little less, and "
        f"no two directions should vary together.{default}" + (f"\nIt looks as if {saw[0]}" if len(saw) == 1 else "")
    )


def _equal(came: Tensor, wanted: Tensor) -> bool:
    scale = wanted.abs().max()
    return close(came / scale, wanted / scale, 1e-3)

# ruff: noqa
"""The solved exercises of bonus_jepa; generated from notebooks/source/bonus_jepa.py: edit that."""


import copy
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import bonus_jepa as check
from sslcourse.plot.schematics.three_predictions import three_predictions


def epps_pulley(x: torch.Tensor, knots: int = 17, t_max: float = 3.0) -> torch.Tensor:
    """How far each column is from standard normal (Epps and Pulley 1983; Balestriero and LeCun 2025, section 4.2).

    x: (N, S). Returns (S,): N times the weighted squared distance of characteristic functions, integrated over
    [-t_max, t_max]. About 1.05 for normal values, whatever N is; for others it grows with N, unless they differ only
    where no knot looks.
    """
    t = torch.linspace(0, t_max, knots, device=x.device, dtype=x.dtype)
    normal = (-t.square() / 2).exp()                                        # (knots,): target, and window
    xt = x[:, :, None] * t                                                  # (N, S, knots)
    distance = (xt.cos().mean(dim=0) - normal).square() + xt.sin().mean(dim=0).square()    # (S, knots)
    return 2 * len(x) * torch.trapezoid(distance * normal, t, dim=1)


def sigreg(z: torch.Tensor, n_slices: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Sketched isotropic Gaussian regularisation (Balestriero and LeCun 2025, algorithm 1).

    z: (N, D) projections. Returns a scalar: the mean of epps_pulley over random directions. Random numbers come from
    the generator; gradients reach z.
    """
    directions = torch.randn(z.shape[1], n_slices, generator=generator).to(z)
    return epps_pulley(z @ F.normalize(directions, dim=0)).mean()


def lejepa_loss(
    views: torch.Tensor, lam: float, n_slices: int, generator: torch.Generator | None = None
) -> torch.Tensor:
    """LeJEPA's loss (Balestriero and LeCun 2025, section 5): views agree, and each view is standard normal.

    views: (V, N, D) projections, [v, n] being view v of image n. Returns a scalar: (1 - lam) times the mean squared
    distance to the mean over views, plus lam times the mean over views of sigreg.
    """
    distance = (views - views.mean(dim=0)).square().mean()
    normality = torch.stack([sigreg(z, n_slices, generator) for z in views]).mean()
    return (1 - lam) * distance + lam * normality


def lejepa_step(
    encoder: nn.Module,
    head: nn.Module,
    update: Callable[[torch.Tensor], None],
    images: list[torch.Tensor],
    lam: float,
    n_slices: int,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """One step: features, projections, loss, update. images: V views (N, C, H, W) of the same images, in order.

    Returns the loss, a scalar.
    """
    z = head(encoder(torch.cat(images))).unflatten(0, (len(images), -1))     # (V, N, D)
    loss = lejepa_loss(z, lam, n_slices, generator)
    update(loss)
    return loss.detach()


def context_target_blocks(
    grid: int, n_targets: int, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """One context and several targets of I-JEPA (Assran et al. 2023, section 3), for a grid of grid x grid patches.

    Returns (context, targets): bool, (L,) and (n_targets, L) with L = grid * grid, patches row by row, True where a
    patch belongs to it. The context is never empty and holds no patch of a target.
    """
    def block(shares: tuple[float, float], shapes: tuple[float, float]) -> torch.Tensor:
        share, shape, down, across = torch.rand(4, generator=generator).tolist()
        patches = grid**2 * (shares[0] + share * (shares[1] - shares[0]))
        shape = shapes[0] + shape * (shapes[1] - shapes[0])
        height = min(grid, max(1, round(math.sqrt(patches * shape))))
        width = min(grid, max(1, round(math.sqrt(patches / shape))))
        top, left = int(down * (grid - height + 1)), int(across * (grid - width + 1))
        mask = torch.zeros(grid, grid, dtype=torch.bool)
        mask[top : top + height, left : left + width] = True
        return mask.flatten()

    while True:
        targets = torch.stack([block((0.15, 0.2), (0.75, 1.5)) for _ in range(n_targets)])
        context = block((0.85, 1.0), (1.0, 1.0)) & ~targets.any(dim=0)
        if context.any():
            return context, targets


def jepa_step(
    encoder: nn.Module,
    predictor: nn.Module,
    target: nn.Module,
    update: Callable[[torch.Tensor], None],
    images: torch.Tensor,
    context: torch.Tensor,
    targets: torch.Tensor,
    momentum: float,
) -> torch.Tensor:
    """One step of I-JEPA (Assran et al. 2023, section 3): predict features of blocks from those of the context.

    encoder(images, context) -> (N, C, D); target(images) -> (N, L, D), the moving average of encoder;
    predictor(features, context, block) -> (N, T, D). context: bool (L,); targets: bool (M, L), one row a block.
    Returns the loss, a scalar.
    """
    with torch.no_grad():
        whole = target(images)                                              # (N, L, D)
        truth = F.layer_norm(whole, whole.shape[-1:])
    features = encoder(images, context)                                     # (N, C, D)
    losses = [F.mse_loss(predictor(features, context, block), truth[:, block]) for block in targets]
    loss = torch.stack(losses).mean()
    update(loss)
    train.update_ema(encoder, target, momentum)
    return loss.detach()

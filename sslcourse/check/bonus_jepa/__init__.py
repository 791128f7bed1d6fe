"""Checks of the bonus on JEPA: a loss without tricks, and prediction in latent space. Definitions: oracle.py."""

from sslcourse.check.bonus_jepa.blocks import examine_blocks
from sslcourse.check.bonus_jepa.latent import examine_latent
from sslcourse.check.bonus_jepa.loss import examine_loss
from sslcourse.check.bonus_jepa.projections import examine_projections
from sslcourse.check.bonus_jepa.slices import examine_slices
from sslcourse.check.bonus_jepa.statistic import examine_statistic
from sslcourse.check.machinery import Student, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep

__all__ = ["context_target_blocks", "epps_pulley", "jepa_step", "lejepa_loss", "lejepa_step", "report"]
__all__ += ["sigreg", "sweep"]


@exercise("bonus_jepa")
def epps_pulley(student: Student) -> str:
    """epps_pulley(x, knots=17, t_max=3.0) -> (S,): the statistic of each column of x (N, S)."""
    return examine_statistic(student)


@exercise("bonus_jepa")
def sigreg(student: Student) -> str:
    """sigreg(z, n_slices, generator) -> scalar: the mean of the statistic over random directions of length one."""
    return examine_slices(student)


@exercise("bonus_jepa")
def lejepa_loss(student: Student) -> str:
    """lejepa_loss(views, lam, n_slices, generator) -> scalar, of views (V, N, D)."""
    return examine_loss(student)


@exercise("bonus_jepa")
def lejepa_step(student: Student) -> str:
    """lejepa_step(encoder, head, update, images, lam, n_slices, generator) -> loss, images a list of V views."""
    return examine_projections(student)


@exercise("bonus_jepa")
def context_target_blocks(student: Student) -> str:
    """context_target_blocks(grid, n_targets, generator) -> (context (L,), targets (n_targets, L)), bool."""
    return examine_blocks(student)


@exercise("bonus_jepa")
def jepa_step(student: Student) -> str:
    """jepa_step(encoder, predictor, target, update, images, context, targets, momentum) -> loss."""
    return examine_latent(student)

"""Training: one loop for every method, schedules, the moving average of a teacher, masked residues."""

from sslcourse.train.classifier import fit_classifier
from sslcourse.train.ema import update_ema
from sslcourse.train.fit import fit
from sslcourse.train.gather import gather
from sslcourse.train.history import History, NotFinite
from sslcourse.train.passes import passes
from sslcourse.train.residues import mask_residues, masked_residue_loss
from sslcourse.train.schedule import cosine_schedule
from sslcourse.train.student import fit_student

__all__ = [
    "History",
    "NotFinite",
    "cosine_schedule",
    "fit",
    "fit_classifier",
    "fit_student",
    "gather",
    "mask_residues",
    "masked_residue_loss",
    "passes",
    "update_ema",
]

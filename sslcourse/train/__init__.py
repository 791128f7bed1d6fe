"""Training: one loop for every method, schedules, the moving average of a teacher."""

from sslcourse.train.classifier import fit_classifier
from sslcourse.train.ema import update_ema
from sslcourse.train.fit import fit
from sslcourse.train.history import History, NotFinite
from sslcourse.train.schedule import cosine_schedule

__all__ = ["History", "NotFinite", "cosine_schedule", "fit", "fit_classifier", "update_ema"]

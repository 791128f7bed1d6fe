"""Checks of week 1, autoencoders and linear probing. Definitions and named mistakes are in oracle.py, probe_oracle.py.

Most of these exercises are about how things are done, not about one number: small spy networks keep what passes
through them.
"""

from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week01.autoencoder import ConvAutoencoder
from sslcourse.check.week01.epoch import train_epoch
from sslcourse.check.week01.features import extract_features
from sslcourse.check.week01.probe import linear_probe

__all__ = ["ConvAutoencoder", "extract_features", "linear_probe", "report", "sweep", "train_epoch"]

"""Checks of the exercises, one module a week, and the reports that compare a notebook with recorded results.

A notebook takes the module of its week: `from sslcourse.check import week04 as check`.
"""

from sslcourse.check.machinery import CheckFailed, NotAttempted, Wrong
from sslcourse.notices import references_used

__all__ = ["CheckFailed", "NotAttempted", "Wrong", "references_used"]

"""The reference that a notebook goes on with where an exercise is not right yet, and the mark that tells it."""

import sslcourse
from sslcourse import notices

REFERENCE = "__sslcourse_reference__"  # the mark on a reference that was handed out


def of(week: str, name: str) -> object | None:
    """The solved exercise; None where it was not handed out."""
    try:
        return sslcourse.solution(week, name)
    except (ImportError, ValueError):
        return None


def hand_out(reference: object, name: str) -> object:
    setattr(reference, REFERENCE, id(reference))
    notices.remember(name)
    return reference


def is_one(submission: object, reference: object) -> bool:
    # The mark must be the object's own: a subclass of the reference inherits it, functools.wraps copies it.
    return submission is reference or getattr(submission, "__dict__", {}).get(REFERENCE) == id(submission)

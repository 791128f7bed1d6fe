"""What a check can come to, besides "right"; whether to raise it; and text that every console can print."""

import os

from sslcourse import wording


class _Short:
    """IPython shows the message alone: the traceback runs through the check, where the student's error is not."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class NotAttempted(_Short, NotImplementedError):
    """The exercise is blank, or its reference was handed in."""


class Wrong(_Short, AssertionError):
    """The exercise is attempted and not yet right; the message says what came out and what should have."""


class CheckFailed(_Short, RuntimeError):
    """The check itself could not go on: the exercise counts neither as right nor as wrong."""


class Told(Exception):
    """Stands for an error in student code that ran in another process; there it was translated into an outcome.

    kind: "wrong" or "not attempted"; raised: whether the student's code raised, as against doing what it must not.
    """

    kind, text, raised = "wrong", "", True

    def outcome(self, meant: str) -> Exception:
        """meant: what the check did on purpose, as a sentence."""
        if self.kind == "not attempted":
            return NotAttempted(self.text)
        return Wrong(self.text + meant * self.raised)


def is_strict(strict: bool | None = None) -> bool:
    """Whether to raise: the argument where it is given, else SSLCOURSE_STRICT=1 or a run under nbgrader."""
    if strict is not None:
        if not isinstance(strict, bool):
            raise TypeError(f"strict is {wording.shown(strict)}; it should be True, False or None.")
        return strict
    return os.environ.get("SSLCOURSE_STRICT") == "1" or "NBGRADER_EXECUTION" in os.environ


def plain(text: str) -> str:
    """The text in ASCII, which every console can print."""
    return text.encode("ascii", "backslashreplace").decode()

"""How a check runs: three outcomes, a reference to go on with, and student code that can do no harm.

How to write a check. A check is a function named exactly as its exercise, in the module of its week. It examines a
`Student`, raises `Wrong` with a sentence for the student at the first thing that is not right, and returns the
sentence for "right":

    @exercise("week04")
    def uniformity(student: Student) -> str:
        points = student.normal(12, 5)
        agree(student, [(points, 2.0), (points, 1.0)], definition, mistakes, words=lambda z, t: f"{len(z)} points")
        return "Equal to the definition on random points."

`student(...)` calls the submission, `student.run(method, ...)` anything that came out of it, such as a model's
`encode`: both turn what goes wrong inside into a message. Inputs come from `student.normal(*shape)` and its like,
drawn from a seed that is fixed for the exercise: the same code gets the same verdict. What the submission is compared
with is a plain, slow transcription of the definition in float64 (oracle.py beside it), never the reference; compare.py
compares and knows the named mistakes. The decorator does all the rest: it tells blank from wrong, falls back on the
reference, prints or (strict) raises. A week's tests go through `tests/harness.py`.
"""

import contextlib
import dis
import functools
import inspect
import io
import linecache
import os
import random
import sys
import traceback
import types
import warnings
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import torch

import sslcourse
from sslcourse import notices

SEED = 0  # of all inputs; the tests of the checks try others
REFERENCE = "__sslcourse_reference__"  # the mark on a reference that was handed out
GOING_ON = "Going on with the reference solution, so that the rest of the notebook runs; results that use it say so."
NO_REFERENCE = "This copy was handed out without solutions: there is no reference to go on with, what uses it may fail."


class _Short:
    """IPython shows the message alone: the traceback runs through the check, where the student's error is not."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class NotAttempted(_Short, NotImplementedError):
    """The exercise is blank, or its reference was handed in."""


class Wrong(_Short, AssertionError):
    """The exercise is attempted and not yet right; the message says what came out and what should have."""


def exercise(week: str) -> Callable:
    """Make `check(submission, strict=None)` of a function that examines a Student, for a week such as "week04"."""

    def decorate(examine: Callable[[Student], str]) -> Callable:
        name = examine.__name__

        @functools.wraps(examine)
        def check(submission, strict: bool | None = None):
            reference = _reference(week, name)
            student = Student(name, submission)
            try:
                if _is_reference(submission, reference):
                    raise NotAttempted("this is the reference; run your own cell again.")
                if _is_blank(submission):
                    raise NotAttempted("not attempted.")
                with _isolated(student.seed):
                    praise = examine(student)
            except NotAttempted as error:
                outcome = NotAttempted(plain(f"{name}: {error}"))
            except Wrong as error:
                outcome = Wrong(plain(f"{name}: not yet right. {error}"))
            else:
                outcome = None
            student.tell()

            if outcome is None:
                notices.forget(name)
                print(plain(f"{name}: right. {praise}"))
                return submission
            if is_strict(strict):
                # The later exercises of this notebook build on a right version, so that each is graded alone.
                if reference is not None:
                    sys._getframe(1).f_globals[name] = _hand_out(reference, name)
                raise outcome from None
            print(outcome)
            if reference is None:
                print(NO_REFERENCE)
                return submission
            if submission is not reference:
                print(GOING_ON)
            return _hand_out(reference, name)

        del check.__wrapped__  # `help` shows the signature of the check, not of the examination
        return check

    return decorate


def is_strict(strict: bool | None = None) -> bool:
    """Whether to raise: the argument where it is given, else SSLCOURSE_STRICT=1 or a run under nbgrader."""
    if strict is not None:
        return strict
    return os.environ.get("SSLCOURSE_STRICT") == "1" or "NBGRADER_EXECUTION" in os.environ


def plain(text: str) -> str:
    """The text in ASCII, which every console can print."""
    return text.encode("ascii", "backslashreplace").decode()


# --- the reference


def _reference(week: str, name: str) -> object | None:
    """The solved exercise; None where it was not handed out."""
    try:
        return sslcourse.solution(week, name)
    except (ImportError, ValueError):
        return None


def _hand_out(reference: object, name: str) -> object:
    setattr(reference, REFERENCE, True)
    notices.remember(name)
    return reference


def _is_reference(submission: object, reference: object) -> bool:
    # The mark must be the object's own: a subclass of the reference would inherit it, and is the student's work.
    return submission is reference or REFERENCE in getattr(submission, "__dict__", {})


# --- blank or attempted


def _codes(submission: object) -> list[types.CodeType]:
    """The code of a function, or of all methods of a class."""
    members = vars(submission).values() if isinstance(submission, type) else [submission]
    functions = [getattr(member, "__func__", member) for member in members]
    return [inspect.unwrap(f).__code__ for f in functions if isinstance(inspect.unwrap(f), types.FunctionType)]


def _is_blank(submission: object) -> bool:
    """True where nothing stands in the body but a docstring, `pass`, `...` or `return None`.

    The byte code tells it, which exists where the source does not; a NotImplementedError is noticed when it is raised.
    """
    idle = ("RESUME", "NOP", "COPY_FREE_VARS", "RETURN_VALUE")
    steps = [step for code in _codes(submission) for step in dis.get_instructions(code) if step.opname not in idle]
    known = isinstance(submission, type | types.FunctionType)
    return known and all("CONST" in step.opname and step.argval in (None, ...) for step in steps)


# --- running student code


@contextlib.contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """Random numbers from a seed and the usual defaults inside, everything as it was afterwards; always on the CPU."""
    states = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.device("cpu"):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_default_dtype(states[2])


class Student:
    """A submission under examination. Call it as what it is; what goes wrong inside becomes NotAttempted or Wrong."""

    def __init__(self, name: str, submission: Callable):
        self.name, self.submission = name, submission
        self.seed = zlib.crc32(name.encode()) + SEED
        self.generator = torch.Generator().manual_seed(self.seed)
        self._written = io.StringIO()
        self._warned: list[str] = []

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float32)

    def uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float32)

    def __call__(self, *args, **kwargs):
        if not callable(self.submission):
            raise Wrong(f"It should be something to call, yours is of type {type(self.submission).__name__}.")
        return self.run(self.submission, *args, **kwargs)

    def run(self, function: Callable, *args, **kwargs):
        """Call `function`, which is or came out of the submission.

        Tensors among the arguments must come out unchanged. What is written to stderr or warned is kept for `tell`.
        """
        named = _named(function, args, kwargs)
        before = {name: value.detach().clone() for name, value in named.items() if isinstance(value, torch.Tensor)}
        with (
            warnings.catch_warnings(record=True) as caught,
            contextlib.redirect_stderr(self._written),
            torch.enable_grad(),
        ):
            try:
                result = function(*args, **kwargs)
            except (Exception, SystemExit) as error:
                raise self._translated(error, named) from None
            finally:
                self._warned += [f"{w.category.__name__}: {w.message}" for w in caught]
            gradients = torch.is_grad_enabled()

        for name, value in before.items():
            now = named[name]
            if now.shape != value.shape or not ((now == value) | (value != value)).all():  # NaN is not equal to itself
                raise Wrong(
                    f"It changes its argument {name} in place: work on a copy, the caller still needs the original."
                )
        if not gradients:
            raise Wrong("It leaves gradients switched off for all that comes after it: use `with torch.no_grad():`.")
        return result

    def names(self, args: tuple) -> dict[str, object]:
        """Arguments of the submission by name."""
        return _named(self.submission, args, {})

    def tell(self) -> None:
        """Print what the student's code wrote to stderr or warned; on stderr itself, nbgrader would give 0 points."""
        if written := self._written.getvalue().strip():
            print(plain(f"{self.name}: your code wrote to stderr: {written}"))
        for warning in dict.fromkeys(self._warned):
            print(plain(f"{self.name}: your code warned: {warning}"))

    def _translated(self, error: BaseException, named: dict[str, object]) -> Exception:
        """The outcome that an exception in student code stands for."""
        steps = list(traceback.walk_tb(error.__traceback__))
        own = [(frame.f_code, line) for frame, line in steps if frame.f_code in _codes(self.submission)]
        if isinstance(error, NotImplementedError) and _raised_by(error) in _codes(self.submission):
            inside = f" ({_raised_by(error).co_name} is blank)" if isinstance(self.submission, type) else ""
            return NotAttempted(f"not attempted{inside}.")

        message = shorten(str(error)) or "no message"
        place = ""
        if own:
            code, line = own[-1]
            text = linecache.getline(code.co_filename, line).strip()
            method = f" of {code.co_name}" if isinstance(self.submission, type) else ""
            place = f" (line {line - code.co_firstlineno + 1}{method}{f': `{text}`' if text else ''})"
        if isinstance(error, NotImplementedError) and not str(error):  # the blank of another exercise
            message = f"{steps[-1][0].f_code.co_name} is not written yet, run its cell and its check first"
        return Wrong(f"Your code raised {type(error).__name__}: {message}{place}{_given(named)}.")


def _raised_by(error: BaseException) -> types.CodeType | None:
    """The code whose own `raise` statement raised the error: torch raises NotImplementedError for other reasons too."""
    step = error.__traceback__
    while step.tb_next is not None:
        step = step.tb_next
    raising = [i.offset for i in dis.get_instructions(step.tb_frame.f_code) if i.opname == "RAISE_VARARGS"]
    return step.tb_frame.f_code if step.tb_lasti in raising else None


def shorten(text: str, limit: int = 200) -> str:
    """The first line of a text, at most `limit` characters, without a full stop at its end."""
    first = text.strip().split("\n")[0]
    return (first if len(first) <= limit else first[:limit] + " ...").rstrip(".")


def _named(function: Callable, args: tuple, kwargs: dict) -> dict[str, object]:
    """The arguments by the names that the student gave them; numbered where they do not fit the signature."""
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {f"argument {n}": value for n, value in enumerate(args, 1)} | kwargs


def _given(named: dict[str, object]) -> str:
    """ " for z0 and z1 of shape (8, 16), temperature = 0.5": the inputs that an error came from."""
    shapes: dict[tuple, list[str]] = {}
    for name, value in named.items():
        if isinstance(value, torch.Tensor):
            shapes.setdefault(tuple(value.shape), []).append(name)
    parts = [f"{' and '.join(names)} of shape {shape}" for shape, names in shapes.items()]
    parts += [f"{name} = {value}" for name, value in named.items() if isinstance(value, int | float)]
    return f" for {', '.join(parts)}" if parts else ""

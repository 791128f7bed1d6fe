"""How a check runs: its outcomes, a reference to go on with, and student code that can do no harm.

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
compares and knows the named mistakes. The decorator does all the rest: it tells blank from wrong (blank.py), falls
back on the reference, prints or (strict) raises, and closes every road to stderr (roads.py). A week's tests go through
`tests/harness.py`.

What a check does must not be told as the student's deed:

    student.refuses(*args, because="K99A names no residue")    calls with bad input on purpose; True where it raises
                                                               ValueError, another error says so and is Wrong
    with student.meaning("The check passed an empty batch on purpose."):   this sentence joins every message about
        student(...)                                                       an error that student code raises inside
    student.copy(module, because="the teacher is one")         the check's deep copy; says whose idea it was if it fails
    with student.listening() as warned:                        warnings that the check asks for: a list of messages,
        student(...)                                           not shown afterwards

Within a check the warning filter, NumPy's error state and the modes of autograd are the check's own (isolation.py).
Should the check itself fail, that is an outcome too, `CheckFailed`: neither right nor wrong. It raises in strict mode,
so that somebody looks; else the reference goes on.
"""

import contextlib
import copy
import functools
import linecache
import sys
import traceback
import types
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from sslcourse import missing, notices
from sslcourse.check import blank, roads, words
from sslcourse.check.isolation import isolated
from sslcourse.check.outcomes import CheckFailed, NotAttempted, Told, Wrong, is_strict, plain
from sslcourse.check.reference import hand_out as _hand_out
from sslcourse.check.reference import is_one as _is_reference
from sslcourse.check.reference import of as _reference

SEED = 0  # of all inputs; the tests of the checks try others
GOING_ON = "Going on with the reference solution, so that the rest of the notebook runs; results that use it say so."
NO_REFERENCE = "This copy was handed out without solutions: there is no reference to go on with, what uses it may fail."
CHECKS = Path(__file__).parent
_examinations: dict[tuple[str, str], Callable] = {}  # (week, name): the function under the decorator
LINES, LINE = 10, 500  # of what student code writes to stderr: lines that are shown, and their length


def exercise(week: str) -> Callable:
    """Make `check(submission, strict=None)` of a function that examines a Student, for a week such as "week04"."""

    def decorate(examine: Callable[[Student], str]) -> Callable:
        name = examine.__name__
        missing.announce(week, name)
        _examinations[week, name] = examine

        @functools.wraps(examine)
        def check(submission, strict: bool | None = None):
            strict = is_strict(strict)
            if not notices.first() and strict:
                return submission  # the first of several processes checks it, and ends all where it is not right
            notebook = sys._getframe(1).f_globals
            student = Student(name, submission)
            heard: list[str] = []
            try:
                with roads.closed() as heard:
                    reference = _reference(week, name)
                    outcome, praise = _examined(examine, student, reference, notebook)
            finally:  # also where the student interrupts it
                student.tell("".join(heard))

            if not _is_reference(submission, reference) and (error := missing.stale(name, submission)):
                old = plain(f"Mind: your cell stopped with {error}. This was the version before it.")
                praise, outcome = f"{praise}\n{old}", outcome and type(outcome)(f"{outcome}\n{old}")
            if outcome is None:
                notices.forget(name)
                print(plain(f"{name}: right. {praise}"))
                return submission
            if strict:
                # The later exercises of this notebook build on a right version, so that each is graded alone.
                if reference is not None:
                    notebook[name] = _hand_out(reference, name)
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


def judge(week: str, name: str, submission: object) -> tuple[str, str, list[str]]:
    """(right, wrong, not attempted or check failed; the message; remarks) without a notebook, reference or printing."""
    student = Student(name, submission)
    with roads.closed() as heard:
        outcome, praise = _examined(_examinations[week, name], student, object(), {})
    kinds = {NotAttempted: "not attempted", Wrong: "wrong", CheckFailed: "check failed"}
    message = plain(praise) if outcome is None else str(outcome).removeprefix(f"{name}: ")
    return kinds.get(type(outcome), "right"), message, student.remarks("".join(heard))


def _examined(examine: Callable, student: "Student", reference: object, notebook: dict) -> tuple[Exception | None, str]:
    """(None where it is right, else what to raise or print; the praise)."""
    name, submission = student.name, student.submission
    try:
        if isinstance(submission, missing.Missing):
            raise NotAttempted(f"not attempted. Nothing is named {name}. {missing.why(name, notebook)}")
        if _is_reference(submission, reference):
            raise NotAttempted(f"this is the reference; run your own cell again. {missing.why(name, notebook)}")
        if blank.is_blank(submission):
            raise NotAttempted("not attempted.")
        with isolated(student.seed), student.warnings():
            return None, examine(student)
    except NotAttempted as error:
        return NotAttempted(plain(f"{name}: {error}")), ""
    except Wrong as error:
        return Wrong(plain(f"{name}: not yet right. {error}")), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        told = student.blame(error)
        return type(told)(plain(f"{name}: {'not yet right. ' * isinstance(told, Wrong)}{told}")), ""


# --- running student code


class Student:
    """A submission under examination. Call it as what it is; what goes wrong inside becomes NotAttempted or Wrong."""

    def __init__(self, name: str, submission: Callable):
        self.name, self.submission = name, submission
        self.seed = zlib.crc32(name.encode()) + SEED
        self.generator = torch.Generator().manual_seed(self.seed)
        self._codes = blank.codes(submission)
        self._files = {code.co_filename for code in self._codes}
        self._warned: list[str] = []
        self._meant: list[str] = []
        self._last = ""  # what was called last, and what came of it
        self._result: object = ...  # of the last call of the submission itself

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float32)

    def uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float32)

    def __call__(self, *args, **kwargs):
        if not callable(self.submission):
            raise Wrong(f"It should be something to call, yours is of type {type(self.submission).__name__}.")
        self._result = ...
        self._result = self.run(self.submission, *args, **kwargs)
        return self._result

    def run(self, function: Callable, *args, **kwargs):
        """Call `function`, which is or came out of the submission.

        Tensors among the arguments, or in a list of them, must come out unchanged. What is warned is kept for `tell`.
        """
        named = words.named(function, args, kwargs)
        before = [(name, x, x.detach().clone()) for name, value in named.items() for x in words.tensors(value)]
        with self.warnings(always=True), torch.enable_grad():
            try:
                result = function(*args, **kwargs)
            except KeyboardInterrupt:  # the student's own hand
                raise
            except BaseException as error:
                raise self._translated(error, named, function) from None
            finally:
                self._last = f"your code had been called{words.given(named)}"
            gradients = torch.is_grad_enabled()
        self._last += f" and gave {words.kind(result)}"

        for name, now, was in before:
            if now.shape != was.shape or not ((now == was) | (was != was)).all():  # NaN is not equal to itself
                raise Wrong(
                    f"It changes its argument {name} in place: work on a copy, the caller still needs the original."
                )
        if not gradients:
            raise Wrong("It leaves gradients switched off for all that comes after it: use `with torch.no_grad():`.")
        return result

    def names(self, args: tuple) -> dict[str, object]:
        """Arguments of the submission by name."""
        return words.named(self.submission, args, {})

    # What a check does on purpose, so that no message tells it as the student's deed.

    @contextlib.contextmanager
    def meaning(self, sentence: str) -> Iterator[None]:
        """Inside, `sentence` follows every message about an error that student code raises."""
        self._meant.append(sentence)
        try:
            yield
        finally:
            self._meant.remove(sentence)

    def refuses(self, *args, because: str, error: type[Exception] = ValueError) -> bool:
        """Whether the submission raises `error` for these arguments, which are bad: "K99A names no residue".

        Wrong where it raises something else, with a message that says what was passed on purpose.
        """
        try:
            with self.meaning(f"The check passed this on purpose: {because}. It should raise {error.__name__}."):
                self(*args)
        except Wrong as wrong:
            if isinstance(wrong.__context__, error):
                return True
            raise
        return False

    def copy(self, module: object, because: str):
        """A deep copy of what came out of the submission; because: "the teacher is made by copy.deepcopy".

        Wrong where it cannot be copied, with the name of the tensor that is in the way, where there is one.
        """
        with self.meaning(f"The check copies it because {because}."):
            return self.run(copy.deepcopy, module)

    @contextlib.contextmanager
    def listening(self) -> Iterator[list[str]]:
        """The list that is given holds, afterwards, what was warned inside, which `tell` then leaves out."""
        before, heard = len(self._warned), []
        try:
            yield heard
        finally:
            heard += self._warned[before:]
            del self._warned[before:]

    # What the decorator asks.

    @contextlib.contextmanager
    def warnings(self, always: bool = False) -> Iterator[None]:
        """Record warnings, whatever filter the notebook has: those of the student's own files, or (always) all."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                for warning in caught:
                    # As Python has it, these are for those who wrote the code that is warned about.
                    expert = issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning)
                    expert |= issubclass(warning.category, ImportWarning | ResourceWarning)
                    if warning.filename in self._files or (always and not expert):
                        self._warned.append(f"{warning.category.__name__}: {warning.message}")

    def tell(self, written: str) -> None:
        """Print what was written to stderr, and what was warned; on stderr itself, nbgrader would give 0 points."""
        for remark in self.remarks(written):
            print(f"{self.name}: {remark}")

    def remarks(self, written: str) -> list[str]:
        """Sentences about what was written to stderr, and what was warned."""
        remarks = []
        lines = list(dict.fromkeys(line.rstrip() for line in written.splitlines() if line.strip()))
        if lines:
            shown = [line if len(line) <= LINE else f"{line[:LINE]} ..." for line in lines[:LINES]]
            more = [f"... and {len(lines) - LINES} more lines"] if len(lines) > LINES else []
            remarks.append(plain("your code wrote to stderr: " + "\n".join(shown + more)))
        return remarks + [plain(f"your code warned: {warning}") for warning in dict.fromkeys(self._warned)]

    def warned(self) -> list[str]:
        """What was warned until now, "UserWarning: ..."; forgotten afterwards."""
        warned, self._warned = self._warned, []
        return warned

    def blame(self, error: BaseException) -> Exception:
        """Whose an error is that no call of `run` has caught: the student's Wrong (or NotAttempted), or CheckFailed."""
        steps = list(traceback.walk_tb(error.__traceback__))
        if any(frame.f_code.co_filename in self._files for frame, _ in steps):
            return self._translated(error, {}, self.submission)
        if self._result is None and "'NoneType'" in str(error):
            return Wrong("It returns None: is the `return` missing?")
        places = [(Path(frame.f_code.co_filename), line) for frame, line in steps]
        if isinstance(error, RuntimeError) and places[-1][0].parent == Path(torch.autograd.__file__).parent:
            return Wrong(f"The gradient of what it returns cannot be computed: {words.stop(words.described(error))}")
        inside = [place for place in places if place[0].is_relative_to(CHECKS) and place[0] != Path(__file__)]
        path, line = (inside or places)[-1]
        place = f"line {line} of {path.parent.name}/{path.name}"
        after = f", after {self._last}" if self._last else ""
        return CheckFailed(
            f"the check itself failed with {words.described(error)} ({place}){after}. "
            "Either that result is of a kind which nobody expected, or the check is wrong: please report it. "
            "Your version counts neither as right nor as wrong."
        )

    def _translated(self, error: BaseException, named: dict[str, object], function: Callable) -> Exception:
        """The outcome that an exception in student code stands for."""
        if isinstance(error, Told):  # it happened in a process of the student's own, and was translated there
            return error.outcome("".join(f" {sentence}" for sentence in self._meant))
        if isinstance(error, NotAttempted):
            return NotAttempted(f"not attempted. {error}")
        steps = list(traceback.walk_tb(error.__traceback__))
        own = [(frame.f_code, line) for frame, line in steps if frame.f_code in self._codes]
        if isinstance(error, NotImplementedError) and blank.raised_by(error) in self._codes:
            inside = f" ({blank.raised_by(error).co_name} is blank)" if isinstance(self.submission, type) else ""
            return NotAttempted(f"not attempted{inside}.")

        message = None
        if isinstance(error, NotImplementedError) and not str(error):  # the blank of another exercise
            message = f"{steps[-1][0].f_code.co_name} is not written yet, run its cell and its check first"
        place = ""
        if own:
            code, line = own[-1]
            text = linecache.getline(code.co_filename, line).strip()
            method = f" of {code.co_name}" if isinstance(self.submission, type) else ""
            place = f" (line {line - code.co_firstlineno + 1}{method}{f': `{text}`' if text else ''})"
        who = "Your code"
        if not own and isinstance(function, types.FunctionType) and blank.is_given(function):
            who = f"{function.__module__}.{function.__name__}, which the check called on what yours had made,"
        meant = words.computed(named.get("x")) if function is copy.deepcopy else ""
        meant += "".join(f" {sentence}" for sentence in self._meant)
        raised = words.stop(f"{who} raised {words.described(error, message)}{place}{words.given(named)}")
        return Wrong(f"{raised}{meant}")

"""How the checks themselves are tested: what a check says to a submission, without a notebook.

Submissions are written as students write them. `cell` makes one of source text, as a notebook does, so that messages
can quote lines.
"""

import contextlib
import io
import itertools
import linecache
import textwrap
from collections.abc import Callable

import pytest

_cells = itertools.count()


def verdict(check: Callable, submission: object) -> tuple[str, str]:
    """(right, wrong or not attempted; what was printed) for a submission, in the lenient mode of students."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        check(submission, strict=False)
    text = printed.getvalue()
    name = check.__name__
    for outcome, words in (("right", "right."), ("wrong", "not yet right."), ("not attempted", "not attempted")):
        if f"{name}: {words}" in text:
            return outcome, text
    pytest.fail(f"The check of {name} gave no verdict: {text!r}")


def assert_right(check: Callable, submission: object) -> None:
    outcome, text = verdict(check, submission)
    assert outcome == "right", text


def assert_wrong(check: Callable, submission: object, words: str) -> None:
    """Rejected, with a message that holds these words."""
    outcome, text = verdict(check, submission)
    assert outcome == "wrong", text
    assert words in text, text


def cell(source: str, name: str, **names: object) -> object:
    """What `name` is after a notebook cell with this source was run where `names` are defined."""
    source = textwrap.dedent(source).lstrip("\n")
    filename = f"<cell {next(_cells)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = {"__name__": "__main__", **names}
    exec(compile(source, filename, "exec"), namespace)
    return namespace[name]

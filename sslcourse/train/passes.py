"""Loops of one's own that can be interrupted, and share the notebook's minutes, as `fit` does."""

import time
from collections.abc import Iterator

from sslcourse import arguments, clock, notices
from sslcourse.train.interrupt import Interrupt


def passes(epochs: int, *, label: str = "training") -> Iterator[int]:
    """0, 1, ..., epochs - 1, for a training loop that is written out: `for epoch in passes(10, label="mine")`.

    An interrupt, or the end of this training's share of the notebook's minutes, ends the loop after the pass that is
    under way, so that at least one is made; one line, and later figures and the report, say so. A second interrupt is
    raised at once. Raises TypeError or ValueError where epochs is no whole number from 1 on.
    """
    return _passes(arguments.whole("epochs", epochs, 1), arguments.text("label", label))


def _passes(epochs: int, label: str) -> Iterator[int]:
    deadline = time.perf_counter() + clock.budget()
    stopped, done = None, 0
    with Interrupt() as interrupt:
        for epoch in range(epochs):
            yield epoch
            done = epoch + 1
            late = time.perf_counter() > deadline
            if done < epochs and (late or interrupt.asked):
                stopped = "interrupted" if interrupt.asked else "time budget"
                break
    notices.remember_cut(label, stopped)
    if stopped:
        why = stopped if stopped == "interrupted" else f"cut short by {clock.words()}"
        print(f"{label}: {done} of {epochs} epochs, {why}.")

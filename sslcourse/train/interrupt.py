"""An interrupt that waits for the end of a step, so that what it leaves behind is whole.

Python raises KeyboardInterrupt between any two instructions: after the update and before the queue, in the middle of an
evaluation. A training asks instead after every step whether it should end. A second interrupt is raised as usual, for a
step that takes too long.

Reference: https://docs.python.org/3/library/signal.html#note-on-signal-handlers-and-exceptions
"""

import signal
import threading


class Interrupt:
    """with Interrupt() as interrupt: ...; interrupt.asked is True once somebody has interrupted.

    Outside the main thread, and where somebody else handles interrupts, nothing is changed and asked stays False. A
    training inside another one, such as a probe after every epoch, ends with it.
    """

    def __init__(self) -> None:
        self._asked, self._holds, self._outer = False, False, None

    @property
    def asked(self) -> bool:
        return self._asked or (self._outer is not None and self._outer.asked)

    def __enter__(self) -> "Interrupt":
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread():
            if handler is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._note)
                self._holds = True
            elif isinstance(getattr(handler, "__self__", None), Interrupt):
                self._outer = handler.__self__
        return self

    def __exit__(self, *error) -> None:
        if self._holds:
            self._holds = False
            # Jupyter sets its own handler before every cell: only ours is taken away.
            if signal.getsignal(signal.SIGINT) == self._note:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number, frame) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

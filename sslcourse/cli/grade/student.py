"""The process that student code runs in: it serves calls, or (together with a check) judges; then it ends.

Forked from a nursery, fenced in, and given one exercise. It holds one end of a socket, over which it can say what a
call gave and nothing else; whether that is right is decided on the other side. Where a check cannot work that way, as
it hands over networks or asks for a class, the check runs here, and screen.py has read the code before.
"""

import builtins
import inspect
import os
import random
import socket
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from sslcourse.check import blank, machinery
from sslcourse.check.outcomes import NotAttempted, Wrong
from sslcourse.cli.grade import cells, fence, integrity, library
from sslcourse.cli.grade.values import Channel, Gone, Packer, Unfit, Unpacker
from sslcourse.missing import Missing

FAILED = 70  # exit code where this file, not the student's code, is at fault
KEPT = 256  # calls whose graphs are kept for a later backward pass


class _Quiet:
    """Stands for stdout and stderr: nothing of it is kept."""

    encoding, errors, name = "utf-8", "replace", "quiet"

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return False


def main(link: socket.socket, scratch: str, hidden: list[str]) -> None:
    """Serve one exercise and end this process."""
    try:
        channel = Channel(link)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = _Quiet()
        job = channel.receive().message
        fence.enclose(Path(scratch), job["seconds"], [Path(path) for path in hidden])
        tempfile.tempdir = scratch
        library.withhold(job["week"], job["name"])
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        (_judge if job["together"] else _serve)(channel, job)
    except Gone:
        os._exit(0)
    except BaseException:
        os._exit(FAILED)
    os._exit(0)


def _judge(channel: Channel, job: dict) -> None:
    """The check runs here, on code that was screened."""
    examined, seal = machinery.judge, integrity.Seal()
    submission = cells.define(job)
    if reason := _absent(submission):
        verdict = ["not attempted", reason, []]
    else:
        verdict = list(examined(job["week"], job["name"], submission))
    if broken := seal.broken():
        verdict = ["by hand", f"While it ran, {broken} was replaced, so that no verdict can be believed.", []]
    channel.send(Packer(strict=False).frame({"verdict": verdict}))


def _absent(submission: object) -> str:
    if isinstance(submission, Missing):
        return f"not attempted. {submission.reason}"
    if isinstance(submission, library.WithheldModule):
        return f"not attempted. {library.SAME}"
    return ""


def _serve(channel: Channel, job: dict) -> None:
    submission = cells.define(job)
    reason = _absent(submission)
    if not reason and blank.is_blank(submission):
        reason = "not attempted."
    channel.send(Packer(strict=False).frame({"absent": reason, "signature": _signature(submission)}))
    if reason:
        return
    served = _Served(machinery.Student(job["name"], submission))
    while True:
        asked = channel.receive()
        if not asked.message:
            return
        channel.send(served.answer(asked))


class _Served:
    """Calls of one submission, and backward passes through what they gave."""

    def __init__(self, student: machinery.Student):
        self.student = student
        self.calls: dict[int, tuple[list, list]] = {}

    def answer(self, asked: Unpacker) -> bytes:
        try:
            return self.backward(asked) if "backward" in asked.message else self.call(asked)
        except (Wrong, NotAttempted) as outcome:
            frame = self.told(outcome)
        except Unfit as unfit:
            frame = self.told(Wrong(f"What it returns cannot be judged: {unfit}."))
        except BaseException as error:
            frame = self.told(self.student.blame(error))
        return frame

    def call(self, asked: Unpacker) -> bytes:
        torch.set_rng_state(asked.value(asked.message["random"]).contiguous())
        args, kwargs = asked.value(asked.message["args"]), asked.value(asked.message["kwargs"])
        given = list(asked.tensors)
        result = self.student.run(self.student.submission, *args, **kwargs)
        packer = Packer(strict=False)
        tree = packer.tree(result)
        number = asked.message["call"]
        self.calls[number] = given[1:], packer.tensors
        self.calls.pop(number - KEPT, None)
        message = {
            "result": tree,
            "requires": [tensor.requires_grad for tensor in packer.tensors],
            "generators": [packer.tree(one.get_state()) for one in asked.generators.values()],
            "random": packer.tree(torch.get_rng_state()),
            "warned": self.student.warned(),
        }
        return packer.frame(message)

    def backward(self, asked: Unpacker) -> bytes:
        given, outs = self.calls[asked.message["backward"]]
        gradients = asked.value(asked.message["gradients"])
        pairs = [(out, gradient) for out, gradient in zip(outs, gradients, strict=False) if gradient is not None]
        inputs = [tensor for tensor in given if tensor.requires_grad]
        came = torch.autograd.grad(
            [out for out, _ in pairs], inputs, [gradient for _, gradient in pairs], retain_graph=True, allow_unused=True
        )
        packer = Packer(strict=True)
        return packer.frame({"gradients": packer.tree(list(came))})

    def told(self, outcome: Exception) -> bytes:
        cause = outcome.__context__
        kinds = [kind.__name__ for kind in type(cause).__mro__ if getattr(builtins, kind.__name__, None) is kind]
        kind = "not attempted" if isinstance(outcome, NotAttempted) else "wrong"
        message = {
            "told": kind,
            "text": str(outcome),
            "raised": cause is not None,
            "kind": kinds[0] if kinds else "",
            "cause": str(cause),
            "warned": self.student.warned(),
            "random": None,
        }
        return Packer(strict=False).frame(message)


def _signature(submission: object) -> list | None:
    """(name, kind, whether it has a default) of every parameter; None where nobody knows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parameters = inspect.signature(submission).parameters.values()
        return [[str(one.name), int(one.kind), one.default is not one.empty] for one in parameters]
    except BaseException:
        return None

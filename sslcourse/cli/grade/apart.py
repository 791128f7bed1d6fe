"""A submission that runs in another process: here it is a function whose calls travel, and gradients with them.

The check gets plain numbers and fresh tensors, compares them where student code never was, and cannot be talked into
anything. An answer's graph stays over there; here it is one step, whose backward pass asks for it.
"""

import builtins
import inspect
import warnings
from collections.abc import Callable

import torch

from sslcourse.check.outcomes import NotAttempted, Told
from sslcourse.cli.grade.values import Channel, Gone, Packer, Unfit, Unpacker

WARNING = 2000  # characters of one warning that are passed on


class Remote:
    """The process of a submission, from here.

    broken: why it gives no more answers, or ""; plain: False once the check has handed over more than plain values.
    """

    def __init__(self, channel: Channel):
        self.channel, self.broken, self.plain, self.calls = channel, "", True, 0

    def begin(self, job: dict) -> Callable:
        """The submission as a function. Raises NotAttempted, or Told where its process does not get that far."""
        packer = Packer(strict=True)
        ready = self.ask(packer.frame(job)).message
        if ready.get("absent"):
            raise NotAttempted(str(ready["absent"]))

        def submission(*args, **kwargs):
            return self.call(args, kwargs)

        submission.__name__ = submission.__qualname__ = job["name"]
        submission.__module__ = "__main__"
        if (signature := _signature(ready.get("signature"))) is not None:
            submission.__signature__ = signature
        return submission

    def call(self, args: tuple, kwargs: dict) -> object:
        packer = Packer(strict=True)
        self.calls += 1
        call = self.calls
        try:
            random = packer.tree(torch.get_rng_state())
            message = {"call": call, "random": random, "args": packer.tree(args), "kwargs": packer.tree(kwargs)}
        except Unfit as unfit:
            self.plain = False
            raise Told(str(unfit)) from None
        came = self.ask(packer.frame(message))
        said = came.message
        self._warn(said.get("warned"))
        if "told" in said:
            raise _told(said)
        try:
            requires = [bool(one) for one in said["requires"]]
            result = came.value(said["result"])
            tensors = list(came.tensors)
            for generator, state in zip(packer.generators, said["generators"], strict=True):
                generator.set_state(came.value(state))
            torch.set_rng_state(came.value(said["random"]))
        except (Unfit, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise self._break("What came back from your code cannot be read.") from error
        return self._with_graph(call, packer.tensors[1:], result, tensors, requires)

    def _with_graph(self, call: int, inputs: list, result: object, tensors: list, requires: list[bool]) -> object:
        if not any(requires) or not any(tensor.requires_grad for tensor in inputs):
            return result
        plain = [tensor.detach() for tensor in tensors]
        outs = _Step.apply(self, call, plain, requires, *inputs)
        return _replaced(result, {id(old): new for old, new in zip(tensors, outs, strict=True)})

    def backward(self, call: int, gradients: tuple, needed: list[bool]) -> list:
        packer = Packer(strict=True)
        came = self.ask(packer.frame({"backward": call, "gradients": packer.tree(list(gradients))}))
        if "told" in came.message:
            raise _told(came.message)
        try:
            arrived = iter(came.value(came.message["gradients"]))
            return [next(arrived) if one else None for one in needed]
        except (Unfit, KeyError, TypeError, StopIteration) as error:
            raise self._break("What came back from your code cannot be read.") from error

    def ask(self, frame: bytes) -> Unpacker:
        if self.broken:
            raise self._break(self.broken)
        try:
            self.channel.send(frame)
            return self.channel.receive()
        except Gone as gone:
            raise self._break("late" if gone.late else "ended") from None
        except Unfit as unfit:
            raise self._break(f"Its result cannot be judged: {unfit}.") from None

    def _break(self, why: str) -> Told:
        self.broken = why
        told = Told(why)
        told.text = why
        return told

    def _warn(self, warned: object) -> None:
        for line in warned if isinstance(warned, list) else ():
            kind, _, text = str(line)[:WARNING].partition(": ")
            kind = getattr(builtins, kind, UserWarning)
            warnings.warn(text, kind if isinstance(kind, type) and issubclass(kind, Warning) else UserWarning, 2)


class _Step(torch.autograd.Function):
    """What a call gave, as one step of the graph on this side."""

    @staticmethod
    def forward(ctx, remote: Remote, call: int, values: list, requires: list[bool], *inputs):
        ctx.remote, ctx.call = remote, call
        ctx.needed = [isinstance(one, torch.Tensor) and one.requires_grad for one in inputs]
        outs = tuple(value.clone() for value in values)
        ctx.mark_non_differentiable(*[out for out, one in zip(outs, requires, strict=True) if not one])
        ctx.set_materialize_grads(False)
        return outs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *gradients):
        return None, None, None, None, *ctx.remote.backward(ctx.call, gradients, ctx.needed)


def _replaced(value: object, new: dict) -> object:
    """The same containers with other tensors."""
    if isinstance(value, torch.Tensor):
        return new.get(id(value), value)
    if isinstance(value, list | tuple):
        return type(value)(_replaced(part, new) for part in value)
    if isinstance(value, dict):
        return {key: _replaced(part, new) for key, part in value.items()}
    return value


def _told(said: dict) -> Told:
    """The error of the other side, of the same built-in kind, so that a check which asks for ValueError finds one."""
    kind = getattr(builtins, str(said.get("kind")), Exception)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = Exception
    try:
        error = type(kind.__name__, (Told, kind), {})(str(said.get("cause")))
    except TypeError:  # kinds that ask for more, or whose objects are laid out otherwise
        error = Told(str(said.get("cause")))
    error.kind = "not attempted" if said.get("told") == "not attempted" else "wrong"
    error.text, error.raised = str(said.get("text")), said.get("raised") is True
    return error


def _signature(parameters: object) -> inspect.Signature | None:
    try:
        made = [
            inspect.Parameter(name, kind, default=... if has else inspect.Parameter.empty)
            for name, kind, has in parameters
        ]
        return inspect.Signature(made)
    except (TypeError, ValueError):
        return None

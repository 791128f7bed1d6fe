"""Networks and an update that write down what a training step does with them, and in which order.

A step is judged by what it did: which images went through which network, with which weights; what was given to
`update`; where every weight ended. So it may be written in any style. Spies only write down: what they raised would be
told as an error of the student's code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, gives, number
from sslcourse.check.machinery import Student, Wrong

RATE = 0.5  # of the descent: large, so that before and after an update cannot be taken for each other
ORDER = "First the loss, then update(loss), then the moving average."


def weights(network: nn.Module) -> list[Tensor]:
    """A copy of all parameters."""
    return [parameter.detach().clone() for parameter in network.parameters()]


def same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(close(x, y, 1e-5) for x, y in zip(a, b, strict=True))


class Log(list):
    """What happened, in order. A copy of a network writes into a log of its own."""

    def __deepcopy__(self, memo: dict) -> "Log":
        return Log()


@dataclass
class Pass:
    """One forward pass: who, of what, what came out (in its graph), and the weights at that moment."""

    who: str
    images: Tensor
    out: Tensor
    weights: list[Tensor]


@dataclass
class Updated:
    """One call of update: what it was given, and the weights of the trained network after it."""

    loss: object
    by_hand: bool  # whether somebody had called backward already
    weights: list[Tensor]
    gradients: list[Tensor | None]  # of the network that is trained
    strangers: bool  # whether a gradient reached the other network


class Network(nn.Module):
    """Images (N, 3, H, W) of any size to (N, dim), with layers inside layers."""

    def __init__(self, who: str, log: Log, student: Student, dim: int):
        super().__init__()
        self.who, self.log = who, log
        self.first = nn.Linear(12, 6)
        self.rest = nn.Sequential(nn.Tanh(), nn.Sequential(nn.Linear(6, dim), nn.Linear(dim, dim, bias=False)))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(student.normal(*parameter.shape) * parameter.shape[-1] ** -0.5)

    def forward(self, images: Tensor) -> Tensor:
        small = nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        out = self.rest(self.first(small))
        self.log.append(Pass(self.who, images.detach().clone(), out, weights(self)))
        return out


class Update:
    """update(loss) as `train.fit` gives it, with plain gradient descent."""

    def __init__(self, log: Log, trained: nn.Module, other: nn.Module):
        self.log, self.trained, self.other = log, trained, other

    def __call__(self, loss: object) -> None:
        parameters = [*self.trained.parameters(), *self.other.parameters()]
        by_hand = any(parameter.grad is not None for parameter in parameters)
        first = not any(isinstance(event, Updated) for event in self.log)
        if isinstance(loss, Tensor) and loss.requires_grad and loss.shape == () and first and not by_hand:
            loss.backward()
        gradients = [parameter.grad for parameter in self.trained.parameters()]
        strangers = any(p.grad is not None and bool(p.grad.any()) for p in self.other.parameters())
        with torch.no_grad():
            for parameter, gradient in zip(self.trained.parameters(), gradients, strict=True):
                if gradient is not None:
                    parameter -= RATE * gradient
            for parameter in parameters:
                parameter.grad = None
        self.log.append(Updated(loss, by_hand, weights(self.trained), gradients, strangers))


def the_update(log: Log, where: str) -> Updated:
    """The one update of a step, with a scalar; Wrong for anything else."""
    updates = [event for event in log if isinstance(event, Updated)]
    if not updates:
        raise Wrong(f"{where} update(loss) is never called: it makes the gradients and the step of the optimiser.")
    if updates[0].by_hand:
        raise Wrong(f"{where} backward() is called by hand: update(loss) does that, and the optimiser's step.")
    if len(updates) > 1:
        raise Wrong(f"{where} update is called {len(updates)} times: a step has one loss and one update.")
    loss = updates[0].loss
    if not isinstance(loss, Tensor):
        raise Wrong(f"{where} update is given something of type {type(loss).__name__}: give it the loss as a tensor.")
    if loss.shape != ():
        raise Wrong(f"{where} update is given a tensor of shape {tuple(loss.shape)}: the loss is a scalar.")
    return updates[0]


def must_learn(updated: Updated, where: str) -> None:
    if not updated.loss.requires_grad:
        raise Wrong(f"{where} the loss carries no gradient: only what the slow network does belongs under no_grad.")


def gradients_right(updated: Updated, wanted: Sequence[Tensor], where: str, who: str) -> None:
    """The gradients that arrived at the trained network are those of the definition."""
    for came, should in zip(updated.gradients, wanted, strict=True):
        size = should.abs().max().clamp(min=1e-6)
        if came is None or not close(came / size, should / size, 1e-2):
            raise Wrong(f"{where} the loss is right, but not the gradient of the {who}: a part of it is detached.")


def judge_average(
    slow: nn.Module, came: list[Tensor], was: list[Tensor], fast: nn.Module, old: list[Tensor], new: list[Tensor],
    momentum: float, where: str, names: tuple[str, str, str],
) -> None:  # fmt: skip
    """The slow network is where the moving average puts it, and the fast one where the update left it.

    came, was: the slow one's weights now and before; old, new: the fast one's before and after the update. names: the
    two in words, and the right call.
    """
    fast_name, slow_name, call = names

    def average(share: float, a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        return [share * x + (1 - share) * y for x, y in zip(a, b, strict=True)]

    if not same(weights(fast), new):
        why = "something other than update(loss) changes it"
        if same(weights(fast), average(momentum, new, was)):
            why = f"the moving average runs the wrong way: {call} moves the {slow_name}"
        raise Wrong(f"{where} the {fast_name} is not where the update left it: {why}.")
    if any(not parameter.is_leaf for parameter in slow.parameters()):
        raise Wrong(f"{where} the {slow_name}'s weights have become part of a graph: average under torch.no_grad().")
    right = average(momentum, was, new)
    if same(came, right):
        return
    found = f"{where} the {slow_name} does not end where it should."
    readings = (
        (was, f"It has not moved: {call}, after update(loss)."),
        (
            average(momentum, was, old),
            f"It looks as if the moving average comes before the update: the {slow_name} follows the {fast_name} as "
            f"it was. {ORDER}",
        ),
        (average(1 - momentum, was, new), "It looks as if the momentum is the wrong way round."),
        (new, f"It has become a copy of the {fast_name}: {call} moves it a little."),
        (average(momentum, right, new), "It looks as if it moves twice: once a step."),
        *(
            (average(other, was, new), f"It looks as if the momentum is {other} whatever is given: use the argument.")
            for other in (0.99, 0.999, 0.996, 0.9, 0.5)
        ),
    )
    fitting = [sentence for value, sentence in readings if same(came, value)]
    if len(fitting) == 1:
        raise Wrong(f"{found}\n{fitting[0]}")
    if (share := _share(came, was, new)) is not None:
        times = [n for n in range(3, 9) if abs(share - momentum**n) < 1e-5]
        if times:
            raise Wrong(f"{found}\nIt looks as if it moves {times[0]} times: once a step.")
        raise Wrong(f"{found}\nIt has kept {share:.4g} of itself, it should keep the momentum, {momentum:.4g}.")
    moved = [not close(x, y, 1e-5) for x, y in zip(came, was, strict=True)]
    if not all(moved):
        raise Wrong(f"{found}\nOnly {sum(moved)} of its {len(moved)} parameters have moved: take all of parameters().")
    value, wanted = float(came[0].flatten()[0]), float(right[0].flatten()[0])
    raise Wrong(f"{found}\nIts first weight: {gives(value, wanted)}")


def _share(came: list[Tensor], was: list[Tensor], new: list[Tensor]) -> float | None:
    """m, where all of it is m times what it was plus 1 - m times what it follows; None where it is no such mean."""
    moved, way = (torch.cat([(a - b).flatten() for a, b in zip(side, new, strict=True)]).double()
                  for side in (came, was))  # fmt: skip
    share = float(moved @ way / (way @ way))
    return share if close(moved, share * way) and 0 <= share <= 1 else None


def judge_return(result: object, loss: Tensor, where: str) -> None:
    if not close(number(result), loss):
        raise Wrong(f"{where} it returns {number(result):.4g}, it should return the loss, {float(loss.detach()):.4g}.")


def named(value: Tensor, wanted: Tensor | float, readings: Sequence[tuple[Callable, str]]) -> str:
    """The sentence of the only reading that gives this value; empty where none does, or several."""
    fitting = {text for reading, text in readings if close(value, came := reading()) and not close(wanted, came)}
    return f"\nIt looks as if {fitting.pop()}" if len(fitting) == 1 else ""

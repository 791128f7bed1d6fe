"""The check of Queue: what it holds after each batch, as it should be and as the usual slips would leave it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week05 import oracle


def rows_in(found: Tensor, wanted: Tensor) -> Tensor:
    """For every row of wanted, whether it is among the rows of found."""
    return ((found[:, None] - wanted).abs().amax(dim=2) < 1e-4).any(dim=0)


@dataclass
class Slip:
    """A ring with something wrong: (keys, next place, new ones) to (keys, next place)."""

    sentence: str
    enqueue: Callable[[Tensor, int, Tensor], tuple[Tensor, int]]


def _put(keys: Tensor, at: int, new: Tensor) -> Tensor:
    keys = keys.clone()
    keys[(at + torch.arange(len(new))) % len(keys)] = new
    return keys


def _ring(keys: Tensor, at: int, new: Tensor) -> tuple[Tensor, int]:
    return _put(keys, at, new), (at + len(new)) % len(keys)


def _cut(keys: Tensor, at: int, new: Tensor, *, restart: bool) -> tuple[Tensor, int]:
    fits = new[: len(keys) - at]
    after = 0 if restart and len(fits) < len(new) else (at + len(fits)) % len(keys)
    return _put(keys, at, fits), after


def _from_the_start(keys: Tensor, at: int, new: Tensor) -> tuple[Tensor, int]:
    at = 0 if at + len(new) > len(keys) else at
    return _ring(keys, at, new)


def _back_to_the_start(keys: Tensor, at: int, new: Tensor) -> tuple[Tensor, int]:
    return _put(keys, at, new), at + len(new) if at + len(new) < len(keys) else 0


NEWEST = "the newest are replaced: remember where the last batch ended, and go on from there."
CUT = "a batch that crosses the end is cut off there: the rest goes on at the beginning."
SLIPS = (
    Slip(NEWEST, lambda keys, at, new: (_put(keys, 0, new), 0)),
    Slip(NEWEST, lambda keys, at, new: (torch.cat([keys[: len(keys) - len(new)], new]), 0)),
    Slip(CUT, lambda keys, at, new: _cut(keys, at, new, restart=False)),
    Slip(CUT, lambda keys, at, new: _cut(keys, at, new, restart=True)),
    Slip(
        "a batch that does not fit at the end starts at the beginning: it goes on to the end, and only its rest starts "
        "anew.",
        _from_the_start,
    ),
    Slip(
        "after a batch that crosses the end the next one starts at the beginning, over the newest keys: it starts "
        "where this one ended, at (place + batch) % size.",
        _back_to_the_start,
    ),
    Slip(
        "the place moves by one for a batch: it moves by the number of its keys.",
        lambda keys, at, new: (_put(keys, at, new), (at + 1) % len(keys)),
    ),
)


class Replay:
    """A right queue and the slips, run alongside a student's."""

    def __init__(self, first: Tensor):
        self.first, self.history, self.fresh = first, [], 0
        self.states = [(first, 0) for _ in SLIPS]
        self.fits = [True] * len(SLIPS)

    def judge(self, said: str, now: Tensor, keys: Tensor) -> None:
        """The student's queue after a batch of these keys; the same rows in any order are the same queue."""
        new, before = oracle.unit(keys), self.history
        self.history = [*before, new]
        self.fresh += len(new)
        self._normalised(said, now, keys, new)
        self.states = [slip.enqueue(state, at, new) for slip, (state, at) in zip(SLIPS, self.states, strict=True)]
        self.fits = [
            fit and bool(rows_in(now, state).all()) for fit, (state, _) in zip(self.fits, self.states, strict=True)
        ]
        latest = torch.cat([self.first, *self.history])[-len(now) :] if self.fresh < len(now) else None
        latest = torch.cat(self.history)[-len(now) :] if latest is None else latest
        held = rows_in(now, torch.cat(self.history))  # of all keys that ever went in
        missing = int((~rows_in(now, new)).sum())
        # Keys of one batch are equally old: of the oldest batch that is still in, any ones may have gone.
        room, lost = len(now), 0
        for batch in reversed(self.history):
            lost += max(0, min(room, len(batch)) - int(rows_in(now, batch).sum()))
            room = max(0, room - len(batch))
        stale = int(rows_in(now, self.first).sum()) > max(0, len(now) - self.fresh)
        if not missing and not lost and not stale:
            return
        fitting = {slip.sentence for slip, fit in zip(SLIPS, self.fits, strict=True) if fit}
        saw = f" It looks as if {fitting.pop()}" if len(fitting) == 1 else ""
        if not held.any():
            raise Wrong(f"{said}the queue has not changed: enqueue replaces the oldest keys in place.")
        if missing == len(new):
            raise Wrong(f"{said}none of the new keys is in the queue: they replace the oldest ones.{saw}")
        if missing:
            raise Wrong(f"{said}{missing} of {len(new)} new keys are missing.{saw or ' All keys of a batch go in.'}")
        if lost:
            raise Wrong(
                f"{said}{lost} of the {len(latest)} latest keys are gone, while older ones are still there."
                f"{saw or ' The oldest go first.'}"
            )
        raise Wrong(f"{said}some of the random keys of the beginning are still there: a key is held twice.")

    def _normalised(self, said: str, now: Tensor, keys: Tensor, new: Tensor) -> None:
        if rows_in(now, new).all():
            return
        if rows_in(now, keys).any():
            raise Wrong(f"{said}the keys are not normalised: every key in the queue has length 1.")
        columns = keys / keys.norm(dim=0)
        if len(keys) > 1 and (rows_in(now, columns).any() or rows_in(now, oracle.unit(columns)).any()):
            raise Wrong(f"{said}the keys are normalised over the batch: every key, a row, has length 1 (dim=1).")
        lengths = now.norm(dim=1)
        if not close(lengths, torch.ones(len(now)), 1e-3):
            worst = float(lengths[(lengths - 1).abs().argmax()])
            raise Wrong(f"{said}a key has length {worst:.4g}: every key in the queue has length 1.")


def _held(queue: nn.Module, size: int, dim: int) -> Tensor:
    """The keys as they are now, a copy; Wrong where they are no buffer of that size."""
    if not isinstance(queue, nn.Module):
        raise Wrong(f"Queue(size, dim) gives a {type(queue).__name__}, it should be an nn.Module.")
    if "keys" in dict(queue.named_parameters()):
        raise Wrong("keys is a parameter, which an optimiser would train: use self.register_buffer.")
    if "keys" not in dict(queue.named_buffers()):
        raise Wrong("It has no buffer called keys: self.register_buffer('keys', ...) in __init__.")
    keys = queue.keys
    if tuple(keys.shape) != (size, dim):
        raise Wrong(f"keys is a tensor of shape {tuple(keys.shape)}, it should stay ({size}, {dim}).")
    if keys.requires_grad or keys.grad_fn is not None:
        raise Wrong("The keys in the queue carry a gradient, and with it the graphs of old batches: detach them.")
    return keys.detach().clone()


def examine_queue(student: Student) -> str:
    for size, dim, batches in ((8, 5, (3, 3, 3, 5, 1, 8, 4)), (7, 4, (7, 2, 6, 6)), (6, 3, (2, 2, 2, 2)),
                               (290, 6, (260, 270))):  # fmt: skip
        queue = student(size, dim)
        first = _held(queue, size, dim)
        _random_at_first(first)
        replay = Replay(first)
        for step, n in enumerate(batches):
            keys = student.normal(n, dim) * 3
            student.run(queue.enqueue, (keys * 1).requires_grad_())
            said = f"In a queue of {size}, after batches of {', '.join(map(str, batches[: step + 1]))}: "
            replay.judge(said, _held(queue, size, dim), keys)
    _two_at_once(student)
    return "Random unit vectors at first; keys normalised and detached; the oldest go first, also across the end."


def _random_at_first(first: Tensor) -> None:
    lengths = first.norm(dim=1)
    if not close(lengths, torch.ones(len(first))):
        worst = float(lengths[(lengths - 1).abs().argmax()])
        if close(first.norm(dim=0), torch.ones(first.shape[1])):
            raise Wrong("At first the columns of keys have length 1: every key, a row, has length 1 (dim=1).")
        raise Wrong(f"At first there are keys of length {worst:.4g}: start with random unit vectors.")
    if close(first, first[:1].expand_as(first)):
        raise Wrong("At first all keys are the same: start with random ones.")


def _two_at_once(student: Student) -> None:
    """Two queues start differently, and neither knows of the other."""
    one, other = student(8, 5), student(8, 5)
    first = _held(one, 8, 5), _held(other, 8, 5)
    if close(*first):
        raise Wrong("Two queues start with the same keys: do not seed the random numbers.")
    batches = [student.normal(4, 5) for _ in range(4)]
    for a, b in zip(batches[::2], batches[1::2], strict=True):
        student.run(one.enqueue, a)
        student.run(other.enqueue, b)
    for queue, mine in ((one, batches[::2]), (other, batches[1::2])):
        if not rows_in(_held(queue, 8, 5), oracle.unit(torch.cat(mine))).all():
            raise Wrong(
                "Two queues that are filled in turn disturb each other: where the next key goes belongs to one queue, "
                "so set it on self in __init__, not in the class."
            )

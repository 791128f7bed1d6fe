"""The check of moco_step: spies write down what is done with networks, queue and update, and in which order."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sslcourse.check import spies
from sslcourse.check.compare import close
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week05 import oracle

ORDER = "First the loss with the queue as it is, then update(loss), then the moving average, then the new keys join."


class SpyQueue(nn.Module):
    """A queue as exercise 5.2 asks for, which writes down what is put into it."""

    def __init__(self, log: spies.Log, keys: Tensor):
        super().__init__()
        self.register_buffer("keys", keys)
        self.log, self.next = log, 0

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        places = (self.next + torch.arange(len(keys))) % len(self.keys)
        self.keys[places] = oracle.unit(keys.detach())
        self.next = (self.next + len(keys)) % len(self.keys)
        self.log.append(Enqueued(keys, self.keys.clone()))


@dataclass
class Enqueued:
    """One call of enqueue: what it was given, and the queue after it."""

    keys: object
    after: Tensor


def examine_step(student: Student) -> str:
    # (images, keys in the queue, dimensions, momentum, temperature, is the key encoder frozen?)
    for n, size, dim, momentum, temperature, frozen in ((4, 9, 5, 0.77, 0.4, False), (3, 3, 4, 0.6, 0.2, True)):
        log = spies.Log()
        query, key = (spies.Network(who, log, student, dim) for who in ("query", "key"))
        key.requires_grad_(not frozen)
        queue = SpyQueue(log, oracle.unit(student.normal(size, dim)))
        update = spies.Update(log, query, key)
        for step in ("In the first step", "In the second step"):
            log.clear()
            views = student.normal(n, 3, 4, 4), student.normal(n, 3, 4, 4)
            before = copy.deepcopy((spies.weights(query), spies.weights(key), queue.keys))
            try:
                result = student(query, key, queue, update, *views, momentum, temperature)
            except Wrong as wrong:
                if "modified by an inplace operation" in str(wrong) and any(isinstance(e, Enqueued) for e in log):
                    raise Wrong(
                        f"{step} the new keys join before update(loss), whose gradient still needs the old ones: "
                        "enqueue after the update, or compute the loss with queue.keys.clone()."
                    ) from None
                raise
            if result is None:
                raise Wrong("It returns None: return the loss.")
            _judge(step, log, views, before, (query, key), momentum, temperature)
            spies.judge_return(result, spies.the_update(log, step).loss, step)
    return "Each encoder sees its view; loss with the old queue, update, moving average, new keys, in two steps."


def _judge(step, log, views, before, parts, momentum, temperature) -> None:
    (query_was, key_was, held), (query, key) = before, parts
    updated = spies.the_update(log, step)
    passed = _passes(step, log, views, updated)
    asked, made = passed["query"], passed["key"]
    if not spies.same(made.weights, key_was):
        raise Wrong(
            f"{step} the key encoder has moved before the keys are made. It looks as if the moving average comes "
            f"before the update. {ORDER}"
        )
    q, k = asked.out.detach(), made.out.detach()
    _loss_right(step, log, updated, q, k, held, temperature)
    spies.must_learn(updated, step)
    if updated.strangers:
        raise Wrong(f"{step} a gradient reaches the key encoder: make the keys under torch.no_grad().")

    twin = copy.deepcopy(query).double()
    with torch.no_grad():
        for parameter, value in zip(twin.parameters(), query_was, strict=True):
            parameter.copy_(value)
    right = oracle.info_nce(twin(asked.images.double()), k.double(), held.double(), temperature)
    spies.gradients_right(updated, torch.autograd.grad(right, list(twin.parameters())), step, "query encoder")
    names = "query encoder", "key encoder", "update_ema(query, key, momentum)"
    spies.judge_average(key, spies.weights(key), key_was, query, query_was, updated.weights, momentum, step, names)
    _enqueued(step, log, q, k, key(views[1]).detach())


def _passes(step: str, log: spies.Log, views: tuple[Tensor, Tensor], updated: spies.Updated) -> dict[str, spies.Pass]:
    """The one pass of each encoder, of its own view, whose images may be shuffled (as the paper does for the keys)."""
    passes = {who: [_in_order(event, view) for event in log if isinstance(event, spies.Pass) and event.who == who]
              for who, view in zip(("query", "key"), views, strict=True)}  # fmt: skip
    for who, made in passes.items():
        if not made:
            raise Wrong(f"{step} the {who} encoder is never used: queries are query(view0), keys are key(view1).")

    def seen(event: spies.Pass) -> str:
        return next((f"view{i}" for i, view in enumerate(views) if _equal(event.images, view)), "something else")

    saw = {who: {seen(event) for event in made} for who, made in passes.items()}
    if saw == {"query": {"view1"}, "key": {"view0"}}:
        raise Wrong(f"{step} the views are swapped: the query encoder sees view0, the key encoder view1.")
    if saw["query"] == saw["key"] != {"something else"} and len(saw["key"]) == 1:
        raise Wrong(
            f"{step} both encoders see {saw['key'].pop()}: the positive would be the same picture. The query encoder "
            "sees view0, the key encoder view1."
        )
    for who, view in (("query", "view0"), ("key", "view1")):
        if saw[who] != {view}:
            raise Wrong(f"{step} the {who} encoder sees {' and '.join(sorted(saw[who]))}: it sees {view} only.")
        if len(passes[who]) > 1:
            raise Wrong(
                f"{step} the {who} encoder is run {len(passes[who])} times: once a step. The keys that the loss "
                "used are those that join the queue."
            )
    first = next(n for n, event in enumerate(log) if isinstance(event, spies.Pass) and event.who == "key")
    if first > log.index(updated):
        raise Wrong(f"{step} the keys are made after the update, but the loss needs them.")
    return {who: made[0] for who, made in passes.items()}


def _in_order(event: spies.Pass, view: Tensor) -> spies.Pass:
    """A pass over the images of a view in another order, as if it were in order; any other pass as it is."""
    if event.images.shape != view.shape:
        return event
    same = (event.images[None] == view[:, None]).flatten(2).all(dim=2)  # (N, N): where each image of the view stands
    if not (same.sum(dim=1) == 1).all():
        return event
    order = same.int().argmax(dim=1)
    return replace(event, images=event.images[order], out=event.out[order])


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and close(a, b, 1e-6)


def _loss_right(step: str, log: spies.Log, updated, q: Tensor, k: Tensor, held: Tensor, temperature: float) -> None:
    value = updated.loss
    q, k, held = q.double(), k.double(), held.double()
    wanted = oracle.info_nce(q, k, held, temperature)
    if close(value, wanted):
        return
    found = f"{step} the loss that is given to update is {float(value.detach()):.4g}, it should be {float(wanted):.4g}."
    early = [event.after.double() for event in log[: log.index(updated)] if isinstance(event, Enqueued)]
    if any(close(value, oracle.info_nce(q, k, after, temperature)) for after in early):
        raise Wrong(
            f"{found}\nIt looks as if the new keys join the queue before the loss: the positive is then among its own "
            f"negatives. {ORDER}"
        )
    readings = [
        (lambda: oracle.info_nce(k, q, held, temperature), "q and k are swapped in the loss."),
        (lambda: oracle.info_nce(q, k, k, temperature), "the negatives are the new keys: they are queue.keys."),
        (lambda: oracle.info_nce(q, k, torch.cat([k, held]), temperature),
         "the new keys are among the negatives: these are queue.keys as they are."),
        (lambda: oracle._info_nce(q, k, held, temperature, batch="k"),
         "the new keys are among the negatives: these are queue.keys as they are."),
        (lambda: oracle.info_nce(q, k, held, temperature**2), "similarities are divided by the temperature twice."),
        (lambda: oracle.info_nce(q, k, torch.cat([held, held]), temperature), "every key of the queue counts twice."),
        (lambda: -(oracle.unit(q) @ oracle.unit(k).T / temperature).log_softmax(dim=1).diagonal().mean(),
         "the negatives are the other keys of the batch, as in SimCLR: they are queue.keys."),
        (lambda: _of_the_queue(q, held, temperature),
         "the positive is missing: the first candidate of a query is its own key, the others are queue.keys."),
        *((lambda c=c: c * wanted, "the loss is multiplied by something: give update info_nce as it is.")
          for c in (0.5, 2.0, temperature, 2 * temperature, 1 / temperature, 1 / len(q))),
        *((lambda part=part: oracle.info_nce(q, k, held[part], temperature),
           "only a part of the queue is compared: all of queue.keys are negatives.")
          for part in (slice(len(q)), slice(1, None), slice(-1), slice(len(q), None), slice(len(held) // 2))
          if 0 < len(held[part]) < len(held)),
        *((lambda lengths=lengths: oracle._info_nce(q, k, held, temperature, lengths=lengths),
           "only a part is normalised: divide every row of q and k by its length.")
          for lengths in ((oracle._as_is, oracle.unit, oracle.unit), (oracle.unit, oracle._as_is, oracle.unit))),
        *((lambda order=order: oracle.info_nce(q, k[order], held, temperature),
           "the keys are in another order than the queries: row n of both comes from image n.")
          for order in _orders(log, k)),
    ]  # fmt: skip
    readings += [
        (lambda t=t: oracle.info_nce(q, k, held, t), "the argument temperature is not used.") for t in (0.07, 0.1, 1.0)
    ]
    # These are said above, in the words of a step.
    said = ("temperature is not used", "compared with k", "the batch are", "only a part is normalised")
    said += ("loss is multiplied by the temperature",)
    readings += [
        (lambda wrong=wrong: wrong(q, k, held, temperature), mistake.sentence)
        for mistake in oracle.INFO_NCE_MISTAKES
        if not any(words in mistake.sentence for words in said)
        for wrong in mistake.variants
        if len(q) <= 1 + len(held) or "own number" not in mistake.sentence
    ]
    if saw := spies.named(value, wanted, readings):
        raise Wrong(found + saw)
    raise Wrong(f"{found}\nIt is info_nce of query(view0), key(view1) and queue.keys as they are, at the temperature.")


def _of_the_queue(q: Tensor, held: Tensor, temperature: float) -> Tensor:
    """The oldest key of the queue in the place of the positive."""
    return -(oracle.unit(q) @ held.T / temperature).log_softmax(dim=1)[:, 0].mean()


def _orders(log: spies.Log, k: Tensor) -> list[Tensor]:
    """The orders in which keys may stand by mistake: reversed, by one place further, or as the encoder gave them."""
    n = torch.arange(len(k))
    made = next(event.out.detach().double() for event in log if isinstance(event, spies.Pass) and event.who == "key")
    return [n.flip(0), n.roll(1), n.roll(-1), torch.cdist(made, k).argmin(dim=1)]


def _enqueued(step: str, log: spies.Log, q: Tensor, k: Tensor, later: Tensor) -> None:
    given = [event.keys for event in log if isinstance(event, Enqueued)]
    if not given:
        raise Wrong(f"{step} queue.enqueue is never called: new keys join the queue through it.")
    if len(given) > 1:
        raise Wrong(f"{step} queue.enqueue is called {len(given)} times: the new keys join once.")
    keys = given[0]
    if not isinstance(keys, Tensor) or keys.shape != k.shape:
        shape = tuple(keys.shape) if isinstance(keys, Tensor) else type(keys).__name__
        raise Wrong(f"{step} queue.enqueue is given {shape}, it should be the new keys, {tuple(k.shape)}.")
    # The queue does not mind in which order a batch joins.
    apart = torch.cdist(oracle.unit(keys.detach().double()), oracle.unit(k.double()))
    if apart.min(dim=1).values.max() > 1e-4 or len(apart.argmin(dim=1).unique()) < len(k):
        why = "enqueue the keys that the loss used."
        if close(oracle.unit(keys.detach()), oracle.unit(q)):
            why = "it looks as if the queue is fed with queries: what joins it are the keys."
        elif close(oracle.unit(keys.detach()), oracle.unit(later)):
            why = "it looks as if the keys are made again with the moved key encoder: " + why
        elif len(k) > 1 and close(oracle.unit(keys.detach()), oracle.unit(k / k.norm(dim=0))):
            why = "it looks as if they are normalised over the batch, dim=0: a key is a row."
        raise Wrong(f"{step} what joins the queue is not what it should be: {why}")
    if keys.requires_grad:
        raise Wrong(
            f"{step} the keys that join the queue carry a gradient, and with it the key encoder's graph: make them "
            "under torch.no_grad()."
        )

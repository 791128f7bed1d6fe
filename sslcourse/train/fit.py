"""One training loop for every method: what makes the method is its loss, and the rest stands here.

    fit(lambda x: nt_xent(*(head(backbone(v)) for v in two_views(x, augment))), [backbone, head], images, epochs=20)

The data lie on the device as whole tensors and a batch is taken by index, without a loader (after Keller Jordan's
airbench). The learning rate rises during the warm-up, then falls to zero like a cosine, step by step (Loshchilov and
Hutter 2017). On GPUs that have bfloat16 the networks run in it; they return float32 and the loss is computed in that.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from sslcourse import arguments as common
from sslcourse import clock, notices
from sslcourse.train import arguments, fingerprint
from sslcourse.train.checkpoint import Checkpoint, plan_of
from sslcourse.train.history import History, Means, NotFinite
from sslcourse.train.interrupt import Interrupt
from sslcourse.train.places import Moving
from sslcourse.train.precision import has_bf16, networks_in_bf16
from sslcourse.train.processes import Processes
from sslcourse.train.progress import bar
from sslcourse.train.schedule import learning_rate_share


def fit(
    loss_fn: Callable,
    modules: nn.Module | Sequence[nn.Module],
    data: torch.Tensor | Sequence[torch.Tensor],
    *,
    epochs: int,
    batch_size: int = 256,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    optimizer: torch.optim.Optimizer | None = None,
    warmup: float = 0.1,
    clip: float | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    max_steps: int | None = None,
    time_budget: float | None = None,
    after_step: Callable[[int], None] | None = None,
    on_epoch: Callable[[int], dict] | None = None,
    checkpoint: str | Path | None = None,
    own_step: bool = False,
    progress: bool = True,
    label: str = "training",
) -> History:
    """Minimise loss_fn over the parameters of `modules` that require gradients.

    loss_fn(*batch) returns a scalar with its graph, or (scalar, {name: number to log}). A batch is the same rows of
    every tensor in `data`, as they are: uint8 images stay uint8. Each epoch is one shuffled pass, in an order drawn
    from `generator`. A smaller last batch is dropped, since contrastive losses depend on its size, unless it is the
    only one.

    modules: all that has state: networks, and also a queue or a teacher (without gradients, so not updated here). They
        move to the device, are in train mode in every epoch and afterwards in the mode they were in before.
    optimizer: else AdamW(lr, weight_decay); its learning rates are the peaks. warmup: share of all steps.
    clip: the largest norm of the gradient. time_budget: seconds; the step that passes it is the last one, at whatever
        learning rate it has: the schedule is made for all epochs (and for max_steps, where that is less).
    own_step: loss_fn(update, *batch) makes the whole step and calls update(loss) once, which is zero_grad, backward and
        the optimizer's step: for methods in which something comes before the update, and something after it.
    after_step(step): called after every step. on_epoch(epoch): after every epoch, also one that max_steps or
        time_budget cut short; it may evaluate, and returns numbers to log.
    checkpoint: a file, written after every full epoch and gone on from where it exists, which one line says. A training
        on the CPU then ends in exactly the state of one that was not cut off, if its random numbers come from torch's
        global generator, from `generator` and from generators of torch, Python or NumPy that the functions refer to,
        and if as many processes go on as wrote it; else the line says so.
        Plain attributes of modules, such as a counter, are kept too; what else changes and cannot be kept is told. A
        file of a training with other settings, seed, optimizer, trained parameters, networks, data, loss or after_step
        is refused (what of the two functions counts: sslcourse/train/fingerprint.py); other weights to begin with,
        another on_epoch, random numbers that began elsewhere and what cannot be compared are told.
    Under torchrun or `accelerate launch` each process takes its slice of every batch; batch_size counts all of them
    together.

    Interrupting the kernel ends the training after its step, measures the epoch with on_epoch and keeps the model; a
    second interrupt ends it at once. `begin(minutes=5)` gives each training half of what is left of the notebook's
    time, and time_budget if that is less. Raises NotFinite before an update with a loss (on the
    CPU also a gradient) that is NaN or infinite: the model stays as it was after the step before. Raises ValueError or
    TypeError for arguments that do not fit, OSError for a checkpoint that cannot be written.
    """
    whole, positive, warmup = arguments.check_numbers(
        whole={"epochs": epochs, "batch_size": batch_size, "max_steps": max_steps},
        positive={"lr": lr, "clip": clip, "time_budget": time_budget},
        warmup=warmup,
    )
    epochs, batch_size, max_steps = whole.values()
    lr, clip, time_budget = positive.values()
    arguments.check_others(loss_fn, generator, after_step, on_epoch, checkpoint, label)
    progress, own_step = common.flag("progress", progress), common.flag("own_step", own_step)
    modules, data = arguments.as_modules(modules), arguments.as_tensors(data)
    processes = Processes(common.device("device", device))
    device = processes.device
    for module in modules:
        module.to(device)
    data = tuple(tensor.to(device) for tensor in data)
    counted = optimizer is None
    optimizer = arguments.as_optimizer(optimizer, modules, lr, weight_decay)
    before = torch.get_rng_state()
    seeds = [processes.of_the_first(torch.initial_seed()), "not given"]
    if generator is not None:
        seeds[1] = processes.of_the_first(generator.initial_seed())
    own_generator = generator is not None
    generator = generator or torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    processes.start_alike(modules, generator)

    samples = len(data[0])
    per_epoch = max(1, samples // batch_size)  # a set smaller than one batch is one batch
    steps = min(epochs * per_epoch, max_steps or epochs * per_epoch)
    warmup_steps = round(warmup * steps)

    # Put back at the end: an optimizer used for a second training would else stay at the zero where the cosine ended.
    peaks = [group["lr"] for group in optimizer.param_groups]
    modes = [(part, part.training) for module in modules for part in module.modules()]

    history, file, code, moving = History(), None, None, None
    if checkpoint is not None:
        plan = {"epochs": epochs, "batch_size": batch_size, "samples": samples, "steps": steps}
        plan |= {"warmup": float(warmup), "clip": None if clip is None else float(clip)}
        plan |= {"seed": seeds[0], "seed of generator": seeds[1], "on_epoch": "given" if on_epoch else "not given"}
        functions = fingerprint.own_parts(optimizer) | {"loss": loss_fn}
        functions |= {"after_step": after_step} if after_step else {}
        code = fingerprint.read(functions, modules, watching=(on_epoch,))
        moving = Moving(checkpoint, code, modules, {"generator": generator} if own_generator else {})
        plan |= plan_of(optimizer, modules, data) | code.texts | moving.plan
        logging = fingerprint.of_code({"on_epoch": on_epoch}, modules) if on_epoch else {}
        told = {"it began with other weights": fingerprint.of_weights(modules)}
        told["its on_epoch was another"] = repr(sorted(logging.items()))
        told |= moving.told
        one = processes.rank == 0
        file = Checkpoint(
            checkpoint, modules, optimizer, generator, plan, steps, one, told, moving.generators, counted=counted
        )
        fresh = processes.random_state()
        try:
            resumed = file.resume()
        except BaseException:
            torch.set_rng_state(before)  # a refusal leaves nothing changed, not even the draw for the order
            raise
        if resumed is not None:
            history = resumed
            other = processes.go_on(file.others, fresh)
            done = f"resumed from epoch {len(history.loss)} of {epochs}"
            if history.steps >= steps:
                done = "finished already, nothing was trained"
            if processes.rank == 0:  # also without progress: who does not know it takes old results for new ones
                print(f"{label}: {'; '.join([f'{done} ({file.path}){other}', *file.differs])}.")
    begin = time.perf_counter() - history.seconds
    own, shared = time_budget or math.inf, clock.budget()
    deadline = time.perf_counter() + min(own, shared)
    interrupt = Interrupt()
    step = _Step(loss_fn, modules, data, optimizer, clip, processes, deadline, interrupt, own_step)

    line = bar(steps, history.steps, label, wanted=progress and processes.rank == 0)
    losses, means = [], Means()
    unmeasured = None  # the epoch that is in the history and that on_epoch has still to look at

    def close(epoch: int) -> None:
        nonlocal losses, means, unmeasured
        history.close_epoch(losses, means)
        losses, means, unmeasured = [], Means(), epoch

    def measure() -> None:
        nonlocal unmeasured
        if on_epoch:
            history.log(arguments.as_numbers(on_epoch(unmeasured), "on_epoch"))
        unmeasured = None

    try:
        with interrupt, networks_in_bf16(modules, device, wanted=has_bf16(device)):
            for epoch in range(len(history.loss), math.ceil(steps / per_epoch)):
                for module in modules:
                    module.train()
                order = torch.randperm(samples, generator=generator, device=generator.device).to(device)
                batches = order.split(batch_size)[: min(per_epoch, steps - history.steps)]
                for index in batches:
                    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                        group["lr"] = peak * learning_rate_share(history.steps, steps, warmup_steps)
                    loss, numbers, late = step(index, f"step {history.steps}, epoch {epoch}")
                    losses.append(loss)
                    means.add(numbers)
                    history.steps += 1
                    if after_step:
                        after_step(history.steps - 1)
                    line.set_postfix_str(f"loss {loss:.4g}", refresh=False)
                    line.update()
                    if late:
                        break

                full = len(losses) == len(batches)
                close(epoch)
                measure()
                history.seconds = time.perf_counter() - begin
                if file and full:
                    file.save(history, processes.random_states())
                    if code is not None and processes.rank == 0:
                        _tell_what_is_lost(label, code, fingerprint.read(functions, modules, watching=(on_epoch,)))
                        moving.tell_what_moved(label)
                    code = None
                late = late or (interrupt.asked and processes.count == 1)  # while it was measured
                if late and history.steps < steps:
                    history.stopped = "interrupted" if interrupt.asked else "time budget"
                    break
    except KeyboardInterrupt:  # a second one, or one that nobody could put off
        history.stopped = "interrupted"
        try:
            if not losses and not history.loss:  # the very first step: what is measured is the untrained model
                loss, numbers = step.look(torch.arange(min(batch_size, samples)))
                losses.append(loss)
                means.add(numbers)
            if losses:
                close(len(history.loss))
            if unmeasured is not None:
                measure()
        except KeyboardInterrupt:
            history.fill(len(history.loss))
    finally:
        line.close()
        optimizer.zero_grad()  # nobody's own backward() should add to what was left here
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak
        for part, mode in modes:
            part.training = mode
        if moving:
            moving.remember()

    notices.remember_cut(label, history.stopped)  # figures and the report say so
    history.seconds = time.perf_counter() - begin
    if progress and processes.rank == 0:
        print(f"{label}: {history.summary()}")
    if history.stopped == "time budget" and shared < own and processes.rank == 0:
        print(f"{label}: {history.steps} of {steps} steps, cut short by {clock.words()}.")
    return history


def _tell_what_is_lost(label: str, before: fingerprint.Reading, now: fingerprint.Reading) -> None:
    """Print what the loss or after_step refers to and has changed by itself: no part of the file holds it."""
    sides = [(before.texts, now.texts), (before.state, now.state)]
    lost = [place for a, b in sides for place in a if a[place] != b.get(place)]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        print(
            f"{label}: {', '.join(lost[:3])}{more} changed during the epoch and is not in the checkpoint, so that a "
            "resumed training would differ in it: add a network to modules, and keep other state in a module there."
        )


class _Step:
    """One update: forward, backward, and a look at loss and gradient before anything is changed."""

    def __init__(self, loss_fn, modules, data, optimizer, clip, processes, deadline, interrupt, own_step) -> None:
        self.loss_fn, self.modules, self.data, self.optimizer = loss_fn, modules, data, optimizer
        self.clip, self.processes, self.deadline, self.own_step = clip, processes, deadline, own_step
        self.interrupt = interrupt
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def __call__(self, index: torch.Tensor, place: str) -> tuple[float, dict, bool]:
        """The loss, what is logged, and whether the time is over. place: "step 3, epoch 0", for messages."""
        # The forward pass changes batch-norm statistics before the loss is known; so they are kept until it is.
        buffers = [{name: buffer.clone() for name, buffer in module.named_buffers()} for module in self.modules]
        mine = self.processes.share(index)
        batch = [tensor[mine] for tensor in self.data]
        made = []  # (value, late) of every update

        def update(loss: torch.Tensor) -> None:
            if made:
                raise ValueError("The step called update a second time; it makes one update, of one loss.")
            loss, _ = arguments.as_loss(loss, "update was given")
            made.append(self._update(loss, len(mine) / len(index), buffers, place))

        if self.own_step:
            result = self.loss_fn(update, *batch)
            numbers = arguments.as_numbers(result[1] if isinstance(result, tuple) else None, "The step")
            if not made:
                raise ValueError("The step never called update(loss), so that nothing was learnt; call it once.")
        else:
            loss, numbers = arguments.as_loss(self.loss_fn(*batch))
            update(loss)
        value, late = made[0]
        return value, numbers, late

    def look(self, index: torch.Tensor) -> tuple[float, dict]:
        """The loss of these rows and what is logged with it; no update is made, and the modules stay as they are."""
        before = [{name: value.clone() for name, value in module.state_dict().items()} for module in self.modules]
        batch, given = [tensor[index] for tensor in self.data], []
        try:
            result = self.loss_fn(given.append, *batch) if self.own_step else self.loss_fn(*batch)
        finally:
            for module, kept in zip(self.modules, before, strict=True):
                module.load_state_dict(kept)
        if self.own_step:
            loss, _ = arguments.as_loss(given[0], "update was given")
            return loss.item(), arguments.as_numbers(result[1] if isinstance(result, tuple) else None, "The step")
        loss, numbers = arguments.as_loss(result)
        return loss.item(), numbers

    def _update(self, loss: torch.Tensor, share: float, buffers: list[dict], place: str) -> tuple[float, bool]:
        reading = _Reading(loss)
        self.optimizer.zero_grad()
        loss.backward()

        late = time.perf_counter() > self.deadline or self.interrupt.asked
        if self.processes.count > 1:
            loss, late = self.processes.average(loss, self.parameters, share, late)
            reading = _Reading(loss)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            raise ValueError("The loss depends on no parameter that is trained; does it use the networks in modules?")

        # The norm of the gradient is free on the CPU. A GPU would have to be waited for, at every step, so that there a
        # bad gradient shows in the next loss.
        value = reading.number()
        norm = nn.utils.get_total_norm(gradients) if self.clip or not loss.is_cuda else None
        if not math.isfinite(value) or not (loss.is_cuda or math.isfinite(norm)):
            for module, kept in zip(self.modules, buffers, strict=True):
                module.load_state_dict(kept, strict=False)
            what = f"The loss is {value}" if not math.isfinite(value) else "The gradient is not finite"
            raise NotFinite(
                f"{what} at {place}; the model is as it was before this step. Try a smaller lr, a longer warmup or "
                "clip=1.0, and look for a logarithm, root or division of zero in the loss."
            )
        if self.clip:
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        self.optimizer.step()
        return value, late


class _Reading:
    """The loss as a number without waiting: a GPU copies it while the backward pass is still being queued behind it."""

    def __init__(self, loss: torch.Tensor) -> None:
        self.value, self.copied = loss.detach(), None
        if loss.is_cuda:
            self.value = torch.empty((), dtype=loss.dtype, pin_memory=True).copy_(self.value, non_blocking=True)
            self.copied = torch.cuda.Event()
            self.copied.record()

    def number(self) -> float:
        if self.copied:
            self.copied.synchronize()
        return self.value.item()

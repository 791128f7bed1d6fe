"""Several processes, when started by `accelerate launch` or torchrun; otherwise nothing here costs anything.

Each process takes its slice of every batch, and gradients are averaged by hand after `backward`: a loss function
calls several modules as it likes, so the hooks of DistributedDataParallel would not fire as they should. A
contrastive loss has its negatives among the slice, unless they are gathered (gather.py).

SSLCOURSE_BACKEND names how they talk: gloo on CPUs, nccl on NVIDIA's GPUs unless it says otherwise.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed
from torch import nn


class Processes:
    """rank and count; device of this process. One process unless the environment says that there are more."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.count, self.device = 0, 1, device
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            from accelerate import PartialState  # half a second, needed by nobody on one device

            _must_be_there(device)
            name = backend(device)
            state = PartialState(cpu=device.type == "cpu", **({"backend": name} if name else {}))
            self.rank, self.count, self.device = state.process_index, state.num_processes, state.device

    def share(self, index: torch.Tensor) -> torch.Tensor:
        """This process's part of a batch of indices."""
        if len(index) < self.count:
            raise ValueError(f"A batch of {len(index)} cannot be shared by {self.count} processes; make it larger.")
        return index.tensor_split(self.count)[self.rank]

    def of_the_first(self, number: int) -> int:
        """Process 0's number everywhere; of large ones the last 62 bits."""
        number %= 2**62
        if self.count == 1:
            return number
        from accelerate.utils import broadcast

        return int(broadcast(torch.tensor([number], device=self.device)).item())

    def start_alike(self, modules: Iterable[nn.Module], generator: torch.Generator) -> None:
        """Process 0's weights and order of the data everywhere, but other random numbers (augmentations) in each."""
        if self.count == 1:
            return
        from accelerate.utils import broadcast

        generator.set_state(broadcast(generator.get_state().to(self.device)).cpu())
        seed = broadcast(torch.randint(2**62, (1,)).to(self.device))
        torch.manual_seed(seed.item() + self.rank)
        with torch.no_grad():
            for module in modules:
                for tensor in [*module.parameters(), *module.buffers()]:
                    tensor.copy_(broadcast(tensor.detach().clone()))

    def random_state(self) -> torch.Tensor:
        """The random numbers of this process."""
        return _random_state(self.device)

    def random_states(self) -> list[torch.Tensor]:
        """The random numbers of every process, for a checkpoint; of one process nothing, since the file has them."""
        if self.count == 1:
            return []
        mine = _random_state(self.device).to(self.device)
        states = [torch.empty_like(mine) for _ in range(self.count)]
        torch.distributed.all_gather(states, mine)
        return [state.cpu() for state in states]

    def go_on(self, states: list[torch.Tensor], fresh: torch.Tensor) -> str:
        """After a checkpoint was read, which holds the random numbers of the first process: to each its own again.

        states: of the processes that wrote it; fresh: those of this process before it was read. Returns what to tell:
        that other processes than then have other random numbers.
        """
        then = max(1, len(states))
        if self.rank < len(states):
            _set_random_state(states[self.rank], self.device)
        elif self.rank > 0:
            _set_random_state(fresh, self.device)
        if then == self.count:
            return ""
        return (
            f"; {then} {'process' if then == 1 else 'processes'} wrote it, {self.count} go on with other random numbers"
        )

    def average(
        self, loss: torch.Tensor, parameters: list[nn.Parameter], share: float, late: bool
    ) -> tuple[torch.Tensor, bool]:
        """(loss, late): means over processes, weighted by their share of the batch; and whether anybody is late.

        The gradients are replaced by their means. One message holds all of it, so that all processes see the same loss
        and stop at the same step.
        """
        from accelerate.utils import reduce

        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([loss.detach().reshape(1), *(g.flatten() for g in gradients)]).float() * share
        flat = reduce(torch.cat([flat, flat.new_tensor([float(late)])]), "sum")
        pieces = flat[1:-1].split([g.numel() for g in gradients])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter).to(parameter.dtype)
        return flat[0], bool(flat[-1] > 0)


def _must_be_there(device: torch.device) -> None:
    """Each process has a GPU of its own."""
    place = int(os.environ.get("LOCAL_RANK", 0))
    if device.type == "cuda" and place >= torch.cuda.device_count():
        raise ValueError(
            f"Process {place} of this machine has no GPU: torch finds {torch.cuda.device_count()} of them; start as "
            "many processes as there are."
        )


def backend(device: torch.device) -> str | None:
    """What SSLCOURSE_BACKEND asks for, if it can be had on this device; None where nothing is asked for."""
    name = os.environ.get("SSLCOURSE_BACKEND") or None
    fits = ["gloo"] if device.type == "cpu" else ["nccl", "gloo"]
    there = [fit for fit in fits if torch.distributed.is_backend_available(fit)]
    if name is not None and name not in there:
        raise ValueError(
            f"SSLCOURSE_BACKEND is {name!r}, which cannot be had on {device.type} here; choose {' or '.join(there)}, "
            "or leave it out."
        )
    return name


def _random_state(device: torch.device) -> torch.Tensor:
    """Of the CPU, and behind it of this process's GPU: uint8 (bytes,)."""
    parts = [torch.get_rng_state()]
    if device.type == "cuda":
        parts.append(torch.cuda.get_rng_state(device))
    return torch.cat(parts)


def _set_random_state(state: torch.Tensor, device: torch.device) -> None:
    length = len(torch.get_rng_state())
    torch.set_rng_state(state[:length].clone())
    if device.type == "cuda" and len(state) > length:
        torch.cuda.set_rng_state(state[length:].clone(), device)

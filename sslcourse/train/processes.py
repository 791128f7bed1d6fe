"""Several processes, when started by `accelerate launch` or torchrun; otherwise nothing here costs anything.

Each process takes its slice of every batch, and gradients are averaged by hand after `backward`: a loss function
calls several modules as it likes, so the hooks of DistributedDataParallel would not fire as they should. A
contrastive loss has its negatives among the slice.
"""

import os
from collections.abc import Iterable

import torch
from torch import nn


class Processes:
    """rank and count; device of this process. One process unless the environment says that there are more."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.count, self.device = 0, 1, device
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            from accelerate import PartialState  # half a second, needed by nobody on one device

            state = PartialState(cpu=device.type == "cpu")
            self.rank, self.count, self.device = state.process_index, state.num_processes, state.device

    def share(self, index: torch.Tensor) -> torch.Tensor:
        """This process's part of a batch of indices."""
        if len(index) < self.count:
            raise ValueError(f"A batch of {len(index)} cannot be shared by {self.count} processes; make it larger.")
        return index.tensor_split(self.count)[self.rank]

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

"""Embeddings of all processes, with their gradients: a contrastive loss on several processes sees every negative.

Under torchrun each process takes its slice of a batch. A loss that compares samples with each other then has
fewer negatives (or statistics of fewer samples), which is another objective. One line in the step undoes that:

    z0, z1 = train.gather(z0), train.gather(z1)

Each view is gathered by itself, so that row n of both still comes from image n. The network should have no batch norm,
or a synchronised one: its statistics are those of the slice.
"""

import zlib

import torch
import torch.distributed
from torch import Tensor

from sslcourse import arguments


def gather(z: Tensor) -> Tensor:
    """The rows of z (n, ...) of every process, in the order of the batch: (N, ...). On one process z itself.

    Inside `fit` a loss of gathered embeddings has the value and the gradients of one process with the whole batch,
    whether all processes compute the same loss or each that of its own rows. n may differ from process to process; the
    rest of the shape and the type must not. Every process must call it, equally often. Raises ValueError where they do.
    """
    arguments.dense("z", z, optional=False)
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return z
    if torch.distributed.get_world_size() == 1:
        return z
    return _Gather.apply(z)


class _Gather(torch.autograd.Function):
    """Forward: all rows. Backward: what all processes' losses ask of one's own rows.

    `fit` averages gradients with weights n / N, the share of each process in the batch. So the gradient that comes back
    is weighted by the share of the process it comes from, summed, and divided by the share of the one it goes to:
    what `fit` then adds up is the gradient of the mean of all processes' losses.
    """

    @staticmethod
    def forward(ctx, z: Tensor) -> Tensor:
        sizes = _sizes(z)
        longest = max(sizes)
        padded = z.new_zeros(longest, *z.shape[1:])  # gathering needs equal sizes, the last batch may not divide
        padded[: len(z)] = z
        parts = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(parts, padded)
        ctx.sizes, ctx.rank = sizes, torch.distributed.get_rank()
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        share = ctx.sizes[ctx.rank] / sum(ctx.sizes)
        gradient = gradient.contiguous() * share
        torch.distributed.all_reduce(gradient)
        return gradient.split(ctx.sizes)[ctx.rank] / share


def _sizes(z: Tensor) -> list[int]:
    """Rows of z on every process; all raise where the rest of the shape or the type differs, so that nobody is waited
    for."""
    kind = f"{tuple(z.shape[1:])} of {str(z.dtype).removeprefix('torch.')}"
    sent = torch.tensor([len(z), zlib.crc32(kind.encode())], device=z.device)
    received = [torch.empty_like(sent) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(received, sent)
    sizes, marks = zip(*(part.tolist() for part in received), strict=True)
    if len(set(marks)) > 1:
        kinds = [""] * len(sizes)
        torch.distributed.all_gather_object(kinds, kind)
        raise ValueError(f"Processes gather rows of {' and '.join(dict.fromkeys(kinds))}; they must be alike.")
    if min(sizes) == 0:
        raise ValueError(f"A process has no rows to gather ({sizes} rows by process); take larger batches.")
    return list(sizes)

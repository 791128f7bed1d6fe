"""The exponential moving average of a student: the teacher of MoCo, BYOL and DINO.

References: Tarvainen and Valpola 2017, "Mean teachers"; He et al. 2020, "Momentum contrast", eq. 2.
"""

import torch
from torch import nn

from sslcourse import arguments


@torch.no_grad()
def update_ema(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """teacher = momentum * teacher + (1 - momentum) * student, in place; buffers (batch-norm statistics) are copied.

    Raises ValueError for modules of different structure or a momentum outside [0, 1].
    """
    student, teacher = arguments.module("student", student), arguments.module("teacher", teacher)
    momentum = arguments.real("momentum", momentum)
    if not 0 <= momentum <= 1:
        raise ValueError(f"The momentum must lie in [0, 1], but it is {momentum}.")
    _check_same(dict(student.named_parameters()), dict(teacher.named_parameters()), "parameter")
    _check_same(dict(student.named_buffers()), dict(teacher.named_buffers()), "buffer")

    # One fused call for all parameters: per-tensor calls cost more than the arithmetic of a small network.
    old, new = list(teacher.parameters()), list(student.parameters())
    if old:
        torch._foreach_lerp_(old, new, 1 - momentum)
    for target, source in zip(teacher.buffers(), student.buffers(), strict=True):
        target.copy_(source)


def _check_same(student: dict[str, torch.Tensor], teacher: dict[str, torch.Tensor], kind: str) -> None:
    if differing := sorted(student.keys() ^ teacher.keys()):
        raise ValueError(
            f"Student and teacher differ: only one of them has the {kind} {differing[0]!r}. Make the teacher "
            "with copy.deepcopy(student)."
        )
    for name, tensor in student.items():
        if tensor.shape != teacher[name].shape:
            raise ValueError(
                f"Student and teacher differ: the {kind} {name!r} has shape {tuple(tensor.shape)} in one and "
                f"{tuple(teacher[name].shape)} in the other. Make the teacher with copy.deepcopy(student)."
            )

"""What `fit` asks of its arguments and of what the loss function returns; one sentence where it is not so."""

import os
from pathlib import Path

import torch
from torch import nn

from sslcourse import arguments


def check_numbers(*, whole: dict, positive: dict, warmup: float) -> tuple[dict, dict, float]:
    """The same as plain numbers. None stands for "not limited" and passes."""
    for name, value in positive.items():
        if not (value is None and name != "lr") and not 0 < arguments.real(name, value) < float("inf"):
            raise ValueError(f"{name} is {arguments.shown(value)}; it should be greater than 0.")
    if not 0 <= arguments.real("warmup", warmup) <= 1:
        raise ValueError(f"warmup is {warmup!r}; it is a share of all steps and should lie between 0 and 1.")
    for name, value in whole.items():
        if isinstance(value, float):
            raise ValueError(f"{name} is {value!r}; it should be a whole number from 1 on.")
    return (
        {
            name: value if value is None and name == "max_steps" else arguments.whole(name, value, 1)
            for name, value in whole.items()
        },
        {name: value if value is None else arguments.real(name, value) for name, value in positive.items()},
        arguments.real("warmup", warmup),
    )


def check_others(loss_fn, generator, after_step, on_epoch, checkpoint, label) -> None:
    """What is no number: functions, a generator, a file, words."""
    arguments.function("loss_fn", loss_fn, "a batch")
    arguments.generator(generator)
    for name, value in (("after_step", after_step), ("on_epoch", on_epoch)):
        if value is not None:
            arguments.function(name, value, "a number")
    if checkpoint is not None and not isinstance(checkpoint, str | Path):
        raise TypeError(f"checkpoint is {arguments.shown(checkpoint)}; it should be the path of a file.")
    if checkpoint is not None and not _could_be_a_path(str(checkpoint)):
        raise ValueError(f"checkpoint is {arguments.shown(str(checkpoint))}; it should be the path of a file.")
    arguments.text("label", label)


def _could_be_a_path(path: str) -> bool:
    """Whether a system could have a file of this name; half of a character is in none, and a NUL ends all names."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return bool(path.strip()) and "\0" not in path and len(path) < 4096  # what Linux takes


def as_modules(modules) -> list[nn.Module]:
    """One module, or several, as a list; one that is named twice, once."""
    if isinstance(modules, nn.Module):
        return [modules]
    found = None if isinstance(modules, torch.Tensor) else arguments.listed(modules)
    if found is None:
        raise TypeError(f"modules should be a torch module or a list of them, not {type(modules).__name__}.")
    modules = list({id(module): module for module in found}.values())
    for module in modules:
        if not isinstance(module, nn.Module):
            raise TypeError(f"modules should be a torch module or a list of them; it holds {type(module).__name__}.")
    return modules


def as_tensors(data) -> tuple[torch.Tensor, ...]:
    """One tensor, or several of equal length, as a tuple."""
    data = tuple(data) if isinstance(data, tuple | list) else (data,)
    for tensor in data:
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"data should be a tensor or a tuple of tensors; it holds {type(tensor).__name__}.")
        arguments.tensor("data", tensor)
    lengths = [len(tensor) if tensor.dim() else 0 for tensor in data]
    if len(set(lengths)) > 1:
        raise ValueError(f"The tensors in data have {' and '.join(map(str, lengths))} rows; they should have as many.")
    if not lengths or not lengths[0]:
        raise ValueError("data is empty; there is nothing to train on.")
    return data


def as_labels(labels) -> torch.Tensor:
    """Class numbers as an int64 tensor (N,)."""
    labels = arguments.tensor("labels", labels, "whole numbers (N,)").detach()
    if labels.dim() != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(
            f"Labels should be whole numbers of shape (N,), not {labels.dtype} of shape {tuple(labels.shape)}."
        )
    labels = labels.long() if labels.dtype in (torch.uint16, torch.uint32) else labels  # few operations know these
    labels = arguments.labels("labels", labels) if labels.dtype == torch.uint64 else labels.long()
    if len(labels) and labels.min() < 0:
        raise ValueError(f"Labels should count from 0, but the smallest is {int(labels.min())}.")
    return labels


def as_images(images, networks: list[nn.Module]) -> torch.Tensor:
    """Images (N, C, H, W); float ones in the precision of the networks, which take no other."""
    images = arguments.images("images", images)
    numbers = [p.dtype for network in networks for p in network.parameters() if p.is_floating_point()]
    return images.to(numbers[0]) if numbers and images.is_floating_point() else images


def as_optimizer(optimizer, modules: list[nn.Module], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimizer given, else AdamW over every parameter of the modules that requires a gradient."""
    weight_decay = arguments.number("weight_decay", weight_decay, least=0)
    if optimizer is None:
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        parameters = list(dict.fromkeys(parameters))  # a parameter that two modules share, once
        if not parameters:
            raise ValueError("No parameter of modules requires a gradient; there is nothing to train.")
        # Fused: one call for all parameters, which counts for small networks.
        fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer should be a torch optimizer or None, not {type(optimizer).__name__}.")
    return optimizer


def as_loss(result, who: str = "loss_fn returned") -> tuple[torch.Tensor, dict]:
    """What a loss function returned, as (scalar with graph, numbers to log)."""
    loss, numbers = result if isinstance(result, tuple) and len(result) == 2 else (result, {})
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"{who} {type(loss).__name__}; expected a scalar tensor, or (scalar tensor, dict of numbers).")
    if loss.dim() != 0:
        raise ValueError(f"{who} shape {tuple(loss.shape)}; expected a scalar: take the mean of the batch.")
    if not loss.requires_grad:
        raise ValueError(f"{who} a tensor without a graph; did it use detach() or no_grad(), or frozen networks only?")
    return loss, as_numbers(numbers, "loss_fn")


def as_numbers(numbers, where: str) -> dict:
    """What is to be logged: a dict, or None for nothing."""
    if numbers is not None and not isinstance(numbers, dict):
        raise TypeError(f"{where} should return a dict of numbers to log, not {type(numbers).__name__}.")
    return numbers or {}

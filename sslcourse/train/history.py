"""What a training leaves behind, beside the trained modules."""

import math
from dataclasses import dataclass, field

import torch


class NotFinite(ArithmeticError):
    """A loss, or on the CPU a gradient, was NaN or infinite; the update was not made."""


@dataclass
class History:
    """What happened in a training, epoch by epoch.

    loss: the mean of each epoch (of the steps made, where it was cut short; of one batch and the untrained model, where
    there was no step); metrics: {name: list of numbers}, what the loss function logged (means as well) and what
    `on_epoch` returned, also for an epoch that was cut short (NaN where the evaluation was interrupted as well); steps:
    updates made; seconds: wall-clock, earlier parts of a resumed training included; stopped: None when all was done,
    else "interrupted" or "time budget".
    """

    loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    stopped: str | None = None

    def summary(self) -> str:
        """One line for a person: loss first and last, epochs, steps, seconds, and why it ended early."""
        first_and_last = [f"{value:.4g}" for value in self.loss[:1] + self.loss[1:][-1:]]
        parts = [f"loss {' -> '.join(first_and_last)}"] if self.loss else []
        for count, unit in ((len(self.loss), "epoch"), (self.steps, "step")):
            parts.append(f"{count} {unit}" + "s" * (count != 1))
        line = ", ".join([*parts, f"{self.seconds:.1f} s"])
        return line + (f"; stopped early: {self.stopped}" if self.stopped else "")

    def close_epoch(self, losses: list[float], means: "Means") -> None:
        self.loss.append(math.fsum(losses) / len(losses))
        self.log(means.read())

    def fill(self, epochs: int) -> None:
        """NaN for what is missing at the end: as many numbers of each name as there are epochs."""
        for values in self.metrics.values():
            values += [math.nan] * (epochs - len(values))

    def log(self, numbers: dict) -> None:
        for name, value in numbers.items():
            self.metrics.setdefault(name, []).append(float(value))


class Means:
    """Running means of what the loss function logs. Tensors stay on their device until the epoch ends: no waiting."""

    def __init__(self) -> None:
        self.sums: dict[str, float | torch.Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, numbers: dict) -> None:
        for name, value in numbers.items():
            value = value.detach() if isinstance(value, torch.Tensor) else float(value)
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        return {name: float(total) / self.counts[name] for name, total in self.sums.items()}

"""The gate of every metric: what may come in, in which numbers it is computed; one sentence where it cannot be.

Powers of two keep whatever is computed within range: to divide by one changes no digit, so that a scale of 1e-30 or
1e30 gives the very number that a scale of 1 gives, and nothing has to be slower for it.
"""

import torch

from sslcourse import arguments

EXACT = {torch.float32: 2**24, torch.float64: 2**53}  # up to here every whole number has one of its own


def features(x, name: str, at_least: int = 1) -> torch.Tensor:
    """x as a detached floating tensor (N, D), finite, with at least so many rows.

    float32 and float64 stay as they are; half precision, booleans and whole numbers become float32, or float64 where
    that is needed to tell them apart.
    """
    x = arguments.tensor(name, x, "(N, D): one row of features a sample").detach()
    if x.dim() != 2 or x.shape[1] == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (N, D): one row of features a sample.")
    if len(x) < at_least:
        raise ValueError(f"{name} has {len(x)} rows; at least {at_least} are needed.")
    x = floating(x, name)
    if len(x) and not torch.stack(x.aminmax()).isfinite().all():  # one pass; NaN shows in both
        rows = int((~x.isfinite()).any(dim=1).sum())
        raise ValueError(f"{name} holds NaN or infinite values in {rows} of {len(x)} rows: has the training diverged?")
    return x


def floating(x: torch.Tensor, name: str, *, double: bool = False) -> torch.Tensor:
    """The same numbers as float32 or float64 (double: always), without losing a digit."""
    if x.is_complex():
        raise TypeError(f"{name} holds complex numbers; expected real ones, such as their absolute values.")
    if x.device.type == "mps":
        x = x.cpu()  # Apple's GPUs have no float64
    if x.dtype in EXACT:
        return x.double() if double else x
    if x.is_floating_point() or x.dtype == torch.bool or not x.numel():
        return x.double() if double else x.float()
    if x.dtype == torch.uint64 and (x.view(torch.int64) < 0).any():
        raise ValueError(f"{name} holds whole numbers from 2**63 on; scale them down.")
    if x.dtype in (torch.uint16, torch.uint32, torch.uint64):
        x = x.long()  # few operations know them
    largest = max(abs(int(end)) for end in x.aminmax())
    if largest > EXACT[torch.float64]:
        raise ValueError(
            f"{name} holds whole numbers up to {largest}; from 2**53 on floating numbers cannot tell them apart: take "
            "off what is common to all of them."
        )
    return x.double() if double or largest > EXACT[torch.float32] else x.float()


def power(largest: torch.Tensor) -> torch.Tensor:
    """The power of two at or below each number from 0 on (1 for 0): to divide by it loses nothing."""
    return torch.where(largest > 0, largest / (2 * torch.frexp(largest).mantissa), 1)


def within_range(x: torch.Tensor) -> torch.Tensor:
    """x over a power of two, so that no number is larger than 2."""
    return x / power(x.abs().max())


def unit(x: torch.Tensor, name: str) -> torch.Tensor:
    """The rows of x, as `features` returns it, at length 1, whatever their length; a row of zeros has no direction."""
    lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True)  # (N, 1)
    if not (lengths.min() > 1e-15 and lengths.max() < 1e15):
        x = x / power(torch.linalg.vector_norm(must_point(x, name), float("inf"), dim=1, keepdim=True))
        lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True)  # whose squares neither overflow nor vanish
    return x / lengths


def must_point(x: torch.Tensor, name: str) -> torch.Tensor:
    """x, where no row of it is zero."""
    if zero := int((~x.any(dim=1)).sum()):
        raise ValueError(
            f"{name} holds a zero vector in {zero} of {len(x)} rows; it has no direction, so its cosine to anything is "
            "not defined: a network that answers with zeros is dead."
        )
    return x


def one_direction(x: torch.Tensor) -> bool:
    """Whether all rows of x, none of them zero, point the same way, but for rounding."""
    x = unit(x, "x")
    return bool((x - x[0]).abs().max() <= 4 * torch.finfo(x.dtype).eps)


def centred(x: torch.Tensor) -> torch.Tensor | None:
    """The columns of x in float64 without their means, at a scale of about 1; None where all rows are equal.

    The first row is taken off before the mean is: of numbers that are nearly equal the differences are exact.
    """
    x = within_range(x.double())
    x = x - x[0]
    if not x.any():
        return None
    x = within_range(x)
    return x - x.mean(dim=0)


def labels(y, name: str, length: int) -> torch.Tensor:
    """y as int64 (length,), counted from 0."""
    return arguments.labels(name, y, length)


def scores(x, name: str) -> torch.Tensor:
    """x as a detached float64 vector (N,) on the CPU, at least one, without NaN; infinite scores are allowed."""
    x = arguments.tensor(name, x, "(N,): one score a sample").detach()
    if x.dim() != 1:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (N,): one score a sample.")
    if len(x) == 0:
        raise ValueError(f"{name} is empty; at least one sample is needed on either side.")
    x = floating(x.cpu(), name, double=True).contiguous()
    if x.isnan().any():
        raise ValueError(f"{name} holds NaN for {int(x.isnan().sum())} of {len(x)} samples, which cannot be ranked.")
    return x


def labelled_sets(train_x, train_y, test_x, test_y) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two labelled sets that fit together: equal D, at least two classes, no class that only the test set has."""
    train_x, test_x = features(train_x, "train_x"), features(test_x, "test_x")
    train_y, test_y = labels(train_y, "train_y", len(train_x)), labels(test_y, "test_y", len(test_x))
    same_width(train_x, test_x, "train_x", "test_x")
    classes = train_y.unique()
    if len(classes) < 2:
        raise ValueError(f"train_y holds only the class {int(classes[0])}; at least two classes are needed.")
    if len(unknown := test_y[~torch.isin(test_y, classes.to(test_y.device))]):
        raise ValueError(f"test_y holds the class {int(unknown[0])}, which train_y does not have.")
    return train_x, train_y, test_x, test_y


def same_width(a: torch.Tensor, b: torch.Tensor, name_a: str, name_b: str) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{name_a} has {a.shape[1]} features and {name_b} has {b.shape[1]}; they should have equally many."
        )


def same_length(a: torch.Tensor, b: torch.Tensor, name_a: str, name_b: str) -> None:
    if len(a) != len(b):
        raise ValueError(
            f"{name_a} has {len(a)} rows and {name_b} has {len(b)}; row n of both should be the same sample."
        )

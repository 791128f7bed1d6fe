"""What every evaluation asks of its input; one sentence where it is not so."""

import torch


def features(x, name: str, at_least: int = 1) -> torch.Tensor:
    """x as a detached floating tensor (N, D), finite, with at least so many rows; whole numbers become float32."""
    x = torch.as_tensor(x).detach()
    if x.dim() != 2 or x.shape[1] == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (N, D): one row of features a sample.")
    if len(x) < at_least:
        raise ValueError(f"{name} has {len(x)} rows; at least {at_least} are needed.")
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    if x.device.type == "mps":
        x = x.cpu()  # Apple's GPUs have no float64
    if not x.isfinite().all():
        rows = int((~x.isfinite()).any(dim=1).sum())
        raise ValueError(f"{name} holds NaN or infinite values in {rows} of {len(x)} rows; did the training diverge?")
    return x


def labels(y, name: str, length: int) -> torch.Tensor:
    """y as int64 (length,), counted from 0."""
    y = torch.as_tensor(y).detach()
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"{name} should hold whole numbers, but its type is {y.dtype}.")
    if y.shape != (length,):
        raise ValueError(f"{name} has shape {tuple(y.shape)}; expected ({length},): one label a sample.")
    if length and y.min() < 0:
        raise ValueError(f"{name} should count from 0, but holds {int(y.min())}; leave unlabelled samples out.")
    return y.long()


def scores(x, name: str) -> torch.Tensor:
    """x as a detached float64 vector (N,) on the CPU, at least one, without NaN; infinite scores are allowed."""
    x = torch.as_tensor(x).detach().cpu().double()
    if x.dim() != 1:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (N,): one score a sample.")
    if len(x) == 0:
        raise ValueError(f"{name} is empty; at least one sample is needed on either side.")
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
    if len(unknown := test_y[~torch.isin(test_y, classes)]):
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

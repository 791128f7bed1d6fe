"""From images to features: of an encoder, or of named layers within a model. Computed once, on the CPU, in order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from sslcourse import arguments
from sslcourse.data import as_float


def extract_features(
    encoder: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    batch_size: int = 256,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Features of all images in order, float32 (N, D) on the CPU; no gradients, eval mode, each part's mode restored.

    encoder: a module or a plain function of float images (n, C, H, W) in [0, 1] that returns (n, D).
    images: uint8 or float in [0, 1], handed over in the type of the encoder's parameters; device: else that of these,
    else that of the images. Raises TypeError or ValueError for no images and for an encoder that returns anything but
    (n, D), or numbers that float32 cannot hold.
    """
    arguments.function("encoder", encoder, "images")
    rows = []
    with _evaluating(encoder):
        for batch in _batches(encoder, images, batch_size, device):
            h = encoder(batch)  # (n, D)
            if not isinstance(h, torch.Tensor) or h.dim() != 2 or len(h) != len(batch):
                found = f"shape {tuple(h.shape)}" if isinstance(h, torch.Tensor) else type(h).__name__
                raise ValueError(
                    f"The encoder returned {found} for {len(batch)} images; expected ({len(batch)}, D): pool or "
                    "flatten what it returns."
                )
            rows.append(_single(h, "The encoder").cpu())
    return torch.cat(rows)


def layer_features(
    model: nn.Module, images: torch.Tensor, layers: Sequence[str], batch_size: int = 256, grid: int = 1
) -> dict[str, torch.Tensor]:
    """Outputs of named layers, {name: float32 (N, D) on the CPU}, in one pass in eval mode.

    layers: names as in `model.named_modules()`. Maps (N, C, H, W) are averaged over each field of a grid x grid of
    space, over all of it by default (D = C grid^2; a map smaller than the grid is kept as it is), sequences (N, L, D)
    over positions. Raises ValueError for a layer that the model lacks or does not call, for outputs of other shapes,
    and for a grid below 1.
    """
    arguments.module("model", model)
    grid, layers = arguments.whole("grid", grid), arguments.texts("layers", layers)
    if grid < 1:
        raise ValueError(f"grid is {grid}; it should be at least 1, which averages a map over all of space.")
    parts = dict(model.named_modules())
    if unknown := [name for name in layers if name not in parts]:
        raise ValueError(f"The model has no layer {unknown[0]!r}; it has {', '.join(name for name in parts if name)}.")
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    latest: dict[str, torch.Tensor] = {}

    def remember(name: str) -> Callable:
        def hook(module, inputs, output):
            latest[name] = _pooled(output[0] if isinstance(output, tuple) else output, name, grid)

        return hook

    hooks = [parts[name].register_forward_hook(remember(name)) for name in layers]
    try:
        with _evaluating(model):
            for batch in _batches(model, images, batch_size, None):
                latest.clear()
                model(batch)
                if unused := [name for name in layers if name not in latest]:
                    raise ValueError(f"The model has a layer {unused[0]!r} but does not call it in its forward pass.")
                for name, value in latest.items():
                    rows[name].append(value)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(values) for name, values in rows.items()}


def _pooled(output: torch.Tensor, name: str, grid: int) -> torch.Tensor:
    if not isinstance(output, torch.Tensor) or output.dim() not in (2, 3, 4):
        found = f"shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise ValueError(f"Layer {name!r} returned {found}; expected (N, D), (N, L, D) or (N, C, H, W).")
    if output.is_complex():
        raise TypeError(f"Layer {name!r} returned complex numbers; features are real ones.")
    # At least float32, so that a sum over many places does not overflow in half precision.
    output = output if output.dtype == torch.float64 else _single(output, f"Layer {name!r}")
    if output.dim() == 4:
        fields = [min(grid, side) for side in output.shape[2:]]
        output = nn.functional.adaptive_avg_pool2d(output, fields).flatten(1)  # (N, C grid^2)
    elif output.dim() == 3:
        output = output.mean(dim=1)  # (N, D)
    # A copy: a layer after this one may change its input in place.
    return _single(output, f"Layer {name!r}").to("cpu", copy=True)


def _single(h: torch.Tensor, whose: str) -> torch.Tensor:
    """What came out, as float32; refused where that would make another number of it."""
    if h.is_complex():
        raise TypeError(f"{whose} returned complex numbers; features are real ones.")
    f = h.float()
    if h.dtype == torch.float64:
        over = int((h.isfinite() & ~f.isfinite()).sum())
        gone = int((h.flatten(1).any(dim=1) & (f.flatten(1).abs() < torch.finfo(f.dtype).tiny).all(dim=1)).sum())
        if over or gone:
            raise ValueError(
                f"{whose} returned numbers {'above 3e38' if over else 'below 1e-38'}, which features, float32, cannot "
                "hold: scale its output."
            )
    elif not h.is_floating_point() and h.dtype != torch.bool and h.numel() and f.abs().max() > 2**24:
        raise ValueError(f"{whose} returned whole numbers above 2**24, which features, float32, cannot tell apart.")
    return f


def _batches(encoder, images: torch.Tensor, batch_size: int, device) -> Iterator[torch.Tensor]:
    batch_size = arguments.whole("batch_size", batch_size)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it should be at least 1.")
    if isinstance(images, torch.Tensor) and not images.is_nested and images.dim() and len(images) == 0:
        raise ValueError("There are no images to extract features from.")
    arguments.images("images", images)
    parameters = list(encoder.parameters()) if isinstance(encoder, nn.Module) else []
    if device is None:
        device = parameters[0].device if parameters else images.device
    device = arguments.device("device", device)
    dtypes = [parameter.dtype for parameter in parameters if parameter.is_floating_point()]
    for batch in images.split(batch_size):
        batch = as_float(batch.to(device))  # (n, C, H, W)
        yield batch.to(dtypes[0]) if dtypes else batch


@contextmanager
def _evaluating(model) -> Iterator[None]:
    """Eval mode and no gradients inside; afterwards, also after an error, every part is in the mode it was in."""
    parts = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [part.training for part in parts]
    try:
        if parts:
            model.eval()
        with torch.no_grad():
            yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode

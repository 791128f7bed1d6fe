"""Which pixels is a representation made of? RELAX: random masks, importance, uncertainty, insertion and deletion.

References: Wickstrøm et al. 2023, "RELAX: Representation learning explainability" (IJCV 131; arXiv:2112.10161): the
means here are weighted by the masks, as in the authors' published code; Petsiuk et al. 2018, "RISE: Randomized input
sampling for explanation of black-box models" (BMVC): the masks, insertion and deletion.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data import as_float
from sslcourse.evaluate import inputs
from sslcourse.evaluate.features import extract_features


def sample_masks(n: int, grid: int, image_size: int, keep: float = 0.5, generator: torch.Generator | None = None):
    """Smooth random masks (n, 1, H, W) in [0, 1] for square images of image_size pixels, on the generator's device.

    Cells of a grid x grid over the image are kept with probability keep, independently, and blended linearly; every
    mask is shifted by up to a whole cell, so that all pixels are treated alike.
    Raises ValueError for n below 1, a grid that is not from 1 to image_size, and keep outside (0, 1).
    """
    n, grid, image_size = (
        arguments.whole(name, value) for name, value in (("n", n), ("grid", grid), ("image_size", image_size))
    )
    keep, generator = arguments.real("keep", keep), arguments.generator(generator)
    if n < 1:
        raise ValueError(f"n is {n}; at least one mask is needed.")
    if not 1 <= grid <= image_size:
        raise ValueError(f"A grid of {grid} cells does not fit {image_size} pixels; it should be from 1 to image_size.")
    if not 0 < keep < 1:
        raise ValueError(f"keep is {keep}; it is the probability that a cell stays, above 0 and below 1.")
    device = "cpu" if generator is None else generator.device
    drawn = {"generator": generator, "device": device}

    # Linear interpolation is separable: a row of weights for every pixel row, one for every pixel column.
    nodes = grid + 2  # a shifted image reaches one cell further
    cells = (torch.rand(n, nodes, nodes, **drawn) < keep).float()
    place = torch.arange(image_size, device=device) * (grid / image_size) + torch.rand(2, n, 1, **drawn)  # in cells
    weights = (1 - (place[..., None] - torch.arange(nodes, device=device)).abs()).clamp(min=0)  # (2, n, H, nodes)
    masks = weights[0] @ cells @ weights[1].transpose(1, 2)  # (n, H, W)
    return masks.clamp_(0, 1)[:, None]


def relax(encoder: Callable[[Tensor], Tensor], image: Tensor, masks: Tensor, batch_size: int = 256):
    """Importance and uncertainty (H, W) of every pixel of an image (C, H, W) for its representation.

    s_n: cosine of the representations of masked and whole image. importance = sum s_n M_n / sum M_n; uncertainty =
    sum (s_n - importance)^2 M_n / sum M_n; NaN where no mask leaves anything of a pixel. Eval mode, no gradients.
    encoder: float images (n, C, H, W) in [0, 1] to (n, D); image: uint8 or float in [0, 1], square; masks (n, 1, H, W)
    from 0 to 1. A masked image of which nothing but zeros is left has cosine 0. Raises ValueError for an image that is
    not square, no masks, masks of another size or range, encoders that return maps or NaN, and an image that is
    represented by zeros as a whole.
    """
    arguments.function("encoder", encoder, "images")
    masks = arguments.real_tensor("masks", masks, "(n, 1, H, W), from 0 to 1")
    image, batch_size = _square(image).to(masks.device), arguments.whole("batch_size", batch_size, 1)
    if masks.dim() != 4 or masks.shape[1:] != (1, *image.shape[1:]) or not len(masks):
        side = image.shape[1]
        raise ValueError(
            f"The masks are {tuple(masks.shape)}; for this image they should be (n, 1, {side}, {side}), n at least 1."
        )
    masks = masks.to(image.dtype)
    if not ((masks >= 0) & (masks <= 1)).all():
        raise ValueError("The masks should lie between 0, a pixel that is hidden, and 1; some of these do not.")
    whole = _represented(encoder, image)
    parts = [extract_features(encoder, image * some) for some in masks.split(batch_size)]
    s = _cosines(torch.cat(parts), whole).to(masks.device)  # (n,)

    # Sums over masks are products of matrices. Around the mean of s nothing cancels in the variance.
    weight, centre = masks.flatten(1).float(), s.mean()
    total = weight.sum(dim=0)  # (H W,)
    first, second = torch.stack([s - centre, (s - centre) ** 2]) @ weight / total
    uncertainty = (second - first**2).clamp(min=0)
    return (first + centre).view(image.shape[1:]), uncertainty.view(image.shape[1:])


def insertion_deletion(
    encoder: Callable[[Tensor], Tensor], image: Tensor, importance: Tensor, steps: int = 32, batch_size: int = 256
):
    """How fast the representation comes and goes with the most important pixels (Petsiuk et al. 2018).

    Returns (insertion, deletion, insertion area, deletion area): curves (steps + 1,) of the cosine with the whole
    image's representation, while 0 to all pixels are put into a black image, or taken out of the image, most important
    first; areas under them by the trapezoidal rule over the share of pixels, floats.
    encoder, image: as for `relax`; importance: (H, W), finite. Raises ValueError as `relax`, and for steps that are not
    from 1 to the number of pixels.
    """
    arguments.function("encoder", encoder, "images")
    image, steps = _square(image), arguments.whole("steps", steps)
    batch_size = arguments.whole("batch_size", batch_size, 1)
    importance = arguments.real_tensor("importance", importance, "(H, W), a number a pixel")
    if importance.shape != image.shape[1:] or not importance.isfinite().all():
        raise ValueError(
            f"importance is {tuple(importance.shape)}; it should be {tuple(image.shape[1:])}, a finite number a pixel."
        )
    if not 1 <= steps <= importance.numel():
        raise ValueError(f"steps is {steps}; it should be from 1 to the {importance.numel()} pixels.")
    rank = importance.flatten().argsort(descending=True, stable=True).argsort().to(image.device)  # 0: most important
    counts = torch.linspace(0, len(rank), steps + 1, dtype=torch.float64).round().to(image.device)
    chosen = (rank < counts[:, None]).view(-1, 1, *image.shape[1:])  # (steps + 1, 1, H, W)
    whole = _represented(encoder, image)
    insertion, deletion = (
        _cosines(extract_features(encoder, image * kept, batch_size), whole) for kept in (chosen, ~chosen)
    )
    share = (counts / len(rank)).cpu()
    areas = (torch.trapezoid(curve.double(), share).item() for curve in (insertion, deletion))
    return insertion, deletion, *areas


def _represented(encoder: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """The direction (1, D) of an image's representation, which there has to be."""
    whole = inputs.features(extract_features(encoder, image[None]), "The representation of the image")
    return inputs.unit(whole, "The representation of the image")


def _cosines(parts: Tensor, whole: Tensor) -> Tensor:
    """Of the representations (n, D) of parts of an image with the direction of the whole; 0 where there is nothing."""
    parts = inputs.features(parts, "The representations of the masked images")
    shown, s = parts.any(dim=1), parts.new_zeros(len(parts))
    if shown.any():
        s[shown] = (inputs.unit(parts[shown], "parts") @ whole[0]).clamp(-1, 1)
    return s


def _square(image: Tensor) -> Tensor:
    """The image as numbers in [0, 1]."""
    if not isinstance(image, Tensor):
        raise TypeError(f"The image is {arguments.shown(image)}; it should be a tensor (C, H, H).")
    arguments.shaped("The image", image)
    if 0 in image.shape:
        raise ValueError(f"The image is {tuple(image.shape)}, empty; it should be one square image (C, H, H).")
    if image.dim() != 3 or image.shape[1] != image.shape[2]:
        found = tuple(image.shape)
        raise ValueError(f"The image is {found}; it should be one square image (C, H, H): crop or resize it.")
    image = as_float(image)
    return image if image.dtype == torch.float64 else image.float()

"""Gaussian blur with a width of its own for every image, rows and columns apart."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.augment.transform import Transform, check_probability, check_range, chosen, uniform


class GaussianBlur(Transform):
    """Blur each image with probability p by a Gaussian of sigma pixels, uniform in `sigma`.

    The kernel reaches over a tenth of the image (Chen et al. 2020, appendix A), an odd number of pixels and at least 3.
    Raises ValueError for a p outside 0 to 1 or a sigma that is no range above 0 and up to 1e6.
    """

    def __init__(self, sigma: tuple[float, float] = (0.1, 2.0), p: float = 0.5):
        self.sigma = check_range("sigma", sigma, 0, 1e6)
        self.p = check_probability(p)

    def apply(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        where = chosen(len(x), self.p, x, generator)
        sigma = uniform(len(where), *self.sigma, x, generator)
        side = min(x.shape[2:])
        radius = min(max(1, side // 20), side - 1)
        return x.index_copy_(0, where, gaussian_blur(x.index_select(0, where), sigma, radius))


def gaussian_blur(x: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur image n with sigma[n], kernel 2 radius + 1 pixels, edges mirrored; like torchvision's gaussian_blur."""
    distance = torch.arange(-radius, radius + 1, device=x.device)
    kernel = (-0.5 * (distance / sigma[:, None].clamp_min(1e-6)).square()).softmax(dim=1)  # (N, 2 radius + 1)
    kernel = kernel[:, :, None, None, None]

    # A sum of shifted images: for a kernel of a few pixels that is faster than one convolution per image.
    height, width = x.shape[2:]
    padded = F.pad(x, (radius, radius, 0, 0), mode="reflect")
    x = sum(kernel[:, i] * padded[..., i : i + width] for i in range(2 * radius + 1))
    padded = F.pad(x, (0, 0, radius, radius), mode="reflect")
    x = sum(kernel[:, i] * padded[:, :, i : i + height] for i in range(2 * radius + 1))
    return x.clamp_(0, 1)  # rounding may leave the range

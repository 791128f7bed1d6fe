"""A stem of convolutions for a vision transformer: tokens that have looked at their surroundings already.

Cutting an image into patches throws away what convolutions know from the start, that neighbours belong together and
that a pattern is the same anywhere. A few strided convolutions in place of the patches, paid for with a block or two,
make small transformers learn faster and bear larger learning rates.

Reference: Xiao et al. 2021, "Early convolutions help transformers see better".
"""

import math

from torch import Tensor, nn


class ConvStem(nn.Module):
    """Images (N, C, H, W) to tokens (N, D, H / p, W / p), in place of a ViT's `patch_embed`.

    patch_size: p, a power of 2 from 4 on, that of the tokens' grid; each convolution halves the grid. dim: D.
    Raises ValueError for another patch_size, and for images whose sides p does not divide.
    """

    def __init__(self, patch_size: int, in_channels: int, dim: int):
        super().__init__()
        if patch_size < 4 or patch_size & (patch_size - 1):
            raise ValueError(f"A stem halves the image step by step; patch_size = {patch_size} should be 4, 8, 16, ...")
        self.patch_size = patch_size
        steps = int(math.log2(patch_size))
        widths = [in_channels, *(max(16, dim >> (steps - 1 - k)) for k in range(steps))]
        layers: list[nn.Module] = []
        for narrow, wide in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(dim, dim, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"Images of {height} x {width} pixels are not filled by tokens of {self.patch_size}; "
                "crop or resize them to a multiple."
            )
        return self.layers(x)

"""Backbones: images (N, C, H, W) in, features (N, D) out, `.num_features` = D.

`conv4` learns in seconds on two CPU cores, `conv4_wide` in an hour or two and better; `conv4_gn` is `conv4` with group
norm, where no image may see the others of its batch (MoCo); `vit4` and `vit8` are small vision transformers to look
into, `vit8_conv` learns faster than these (DINO), `resnet18` is what the literature trains on CIFAR, and any model of
timm is there for larger scales.
"""

import re
from collections.abc import Callable

from torch import Tensor, nn

from sslcourse import arguments
from sslcourse.models.normalise import Normalised, standard
from sslcourse.models.of_timm import of_timm
from sslcourse.models.stem import ConvStem
from sslcourse.models.vit import ViT

WIDTHS = (16, 48, 96, 128)  # of the stages of conv4: 160,000 parameters, spread so that every stage costs about as much
WIDE = (32, 128, 256, 512)  # of conv4_wide: 1.5 million parameters


def backbone(name: str, in_channels: int = 3, image_size: int = 32) -> nn.Module:
    """A backbone with random weights: `conv4`, `conv4_wide` (two to four times as wide), `conv4_gn`, `vit8` (our `ViT`
    with patches of 8 pixels; `vit4`, ...), `vit8_conv` (a smaller one, two blocks behind a stem of convolutions),
    `resnet18` with the stem for small images, or any name that timm knows.

    Its weights are drawn from torch's global generator: the same torch.manual_seed gives the same ones. Raises
    ValueError for an unknown name, in_channels or image_size below 1, or an image_size that patches do not fill.
    """
    in_channels, image_size = arguments.whole("in_channels", in_channels), arguments.whole("image_size", image_size)
    name = arguments.text("name", name)
    if in_channels < 1 or image_size < 1:
        raise ValueError(f"No backbone takes {in_channels} channels of {image_size} pixels; both should be at least 1.")
    if name == "conv4":
        return Conv4(in_channels)
    if name == "conv4_wide":
        return Conv4(in_channels, WIDE)
    if name == "conv4_gn":
        return Conv4(in_channels, norm=_groups)
    if patches := re.fullmatch(r"vit(\d+)(_conv)?", name):
        if not patches[2]:
            return ViT(image_size, int(patches[1]), in_channels)
        vit = ViT(image_size, int(patches[1]), in_channels, dim=64, depth=2, num_heads=4)
        vit.patch_embed = ConvStem(vit.patch_size, in_channels, vit.num_features)
        return vit
    if name == "resnet18":
        return _resnet18(in_channels)
    return of_timm(name, in_channels, image_size)


class Conv4(nn.Module):
    """Four 3x3 convolutions with stride 2, normalisation and ReLU each, then the mean over space; any image size.

    norm: from a number of channels to a layer; batch norm unless another is given.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: tuple[int, ...] = WIDTHS,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ):
        super().__init__()
        self.num_features = widths[-1]
        self.normalise = standard(in_channels)
        self.stage1 = _stage(in_channels, widths[0], norm)  # names of their own, for probes per layer
        self.stage2 = _stage(widths[0], widths[1], norm)
        self.stage3 = _stage(widths[1], widths[2], norm)
        self.stage4 = _stage(widths[2], widths[3], norm)

    def forward(self, images: Tensor) -> Tensor:
        x = self.normalise(images)  # (N, C, H, W)
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))  # (N, D, H / 16, W / 16)
        return x.mean(dim=(2, 3))  # (N, D)


def _stage(in_channels: int, out_channels: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    # No bias: the normalisation brings its own.
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, norm(out_channels), nn.ReLU(inplace=True))


def _groups(channels: int) -> nn.GroupNorm:
    """Group norm (Wu and He 2018): statistics within one image, so the same in training and in evaluation."""
    return nn.GroupNorm(8, channels)


def _resnet18(in_channels: int) -> nn.Module:
    """ResNet-18 with the stem of He et al. 2016 for CIFAR: stride 2 and a max-pool would leave 1 x 1 of 32 x 32."""
    from torchvision.models import resnet18

    net = resnet18(weights=None)
    net.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does the others
    net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    return Normalised(net, in_channels, 512)

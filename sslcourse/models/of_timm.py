"""The networks of timm as backbones, and in words what timm tells in shapes: which sizes of images they take.

Some are built for one size, some take any from a smallest one on, and a few their own alone. Which it is, nobody has
written down, so it is tried: on torch's device `meta`, where a network costs no memory and its forward pass no time.
"""

from torch import Tensor, device, inference_mode, nn, zeros

from sslcourse import arguments
from sslcourse.models.normalise import Normalised

SIDES = (32, 48, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 320, 384, 448, 512)  # pixels that are offered
OWN = ("conv4", "conv4_wide", "conv4_gn", "vit8", "vit8_conv", "resnet18")
WRONG = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, ZeroDivisionError)  # what layers raise


def of_timm(name: str, in_channels: int, image_size: int) -> nn.Module:
    """timm's network of this name, untrained. Raises ValueError for an unknown one and for a size that it cannot be
    built for; one that cannot take such images only when it gets them says so then."""
    import timm

    if not timm.is_model(name):
        near = arguments.near(name, [*OWN, *timm.list_models()])
        hint = f"did you mean {' or '.join(near)}?" if near else "take conv4, resnet18 or one of timm.list_models()."
        raise ValueError(f"There is no backbone {arguments.shown(name)}; {hint}")
    try:
        net = _built(name, in_channels, image_size)
    except WRONG:
        if _takes(name, in_channels, image_size, image_size, image_size):
            raise
        raise ValueError(_refusal(name, in_channels, image_size, image_size)) from None
    embed = getattr(net, "patch_embed", None)
    patch, stride = getattr(embed, "patch_size", 1), getattr(getattr(embed, "proj", None), "stride", None)
    patch, stride = (side if isinstance(side, int) else max(side) for side in (patch, stride or patch))
    if stride == patch and image_size % patch:  # patches that overlap fill any image
        raise ValueError(f"{name} cuts patches of {patch} pixels; image_size = {image_size} should be a multiple.")
    return Timm(net, name, in_channels, image_size)


class Timm(Normalised):
    """A network of timm that says which images it takes, where it cannot take some."""

    def __init__(self, net: nn.Module, name: str, in_channels: int, image_size: int):
        # timm's num_features is the width of the last maps; a hidden layer of a head stays when the classes go.
        super().__init__(net, in_channels, getattr(net, "head_hidden_size", None) or net.num_features)
        self.name, self.in_channels, self.image_size = name, in_channels, image_size

    def forward(self, images: Tensor) -> Tensor:
        x = self.normalise(images)
        try:
            return self.net(x)  # (N, D)
        except WRONG:
            height, width = images.shape[2:]
            if _takes(self.name, self.in_channels, self.image_size, height, width):
                raise  # something else, which torch says best
        if _takes(self.name, self.in_channels, max(height, width), height, width):
            size = max(height, width)
            raise ValueError(
                f"{self.name} was built for images of {self.image_size} x {self.image_size} pixels and got {height} x "
                f"{width}; build it with image_size={size}, or give it such images as it was built for."
            )
        raise ValueError(_refusal(self.name, self.in_channels, height, width))


def _built(name: str, in_channels: int, image_size: int) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, num_classes=0, in_chans=in_channels, img_size=image_size)
    except TypeError:  # convolutional networks take any size and have no such argument
        return timm.create_model(name, num_classes=0, in_chans=in_channels)


def _takes(name: str, in_channels: int, image_size: int, height: int, width: int) -> bool:
    """Whether the network built for images of one size takes those of another."""
    try:
        with device("meta"), inference_mode():
            _built(name, in_channels, image_size).eval()(zeros(1, in_channels, height, width))
    except WRONG:
        return False
    return True


def _refusal(name: str, in_channels: int, height: int, width: int) -> str:
    if in_channels != 3 and _takes(name, 3, max(height, width), height, width):
        return f"{name} takes images of 3 channels, not of {in_channels}; repeat or choose channels."
    larger = [side for side in SIDES if side > max(height, width)]
    fits = next((side for side in larger if _takes(name, in_channels, side, side, side)), None)
    offer = f"take image_size={fits} and images of {fits} x {fits}" if fits else "take another network or other images"
    return f"{name} takes no images of {height} x {width} pixels; {offer}."

"""The two halves of a convolutional autoencoder; what stands between them is the student's (week 1)."""

from torch import nn

from sslcourse import arguments
from sslcourse.models.normalise import standard


def conv_encoder(in_channels: int, base_channels: int = 16) -> nn.Sequential:
    """Images (N, C, H, W), uint8 or float in [0, 1], to maps (N, 4 base_channels, ceil(H / 8), ceil(W / 8)).

    Three convolutions with stride 2; the number of channels doubles where the sides halve. Raises ValueError for fewer
    than one channel.
    """
    in_channels = arguments.whole("in_channels", in_channels)
    base_channels = arguments.whole("base_channels", base_channels)
    if min(in_channels, base_channels) < 1:
        raise ValueError(f"in_channels = {in_channels} and base_channels = {base_channels} should both be at least 1.")
    return nn.Sequential(
        standard(in_channels),
        nn.Conv2d(in_channels, base_channels, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(base_channels, 2 * base_channels, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * base_channels, 4 * base_channels, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
    )


def conv_decoder(out_channels: int, image_size: int, base_channels: int = 16) -> nn.Sequential:
    """Maps (N, 4 base_channels, s, s) with s = ceil(image_size / 8) to images (N, C, image_size, image_size) in [0, 1].

    Three transposed convolutions undo the encoder's. Halving rounds up, so a doubled side may be one pixel too large
    (28 pixels: 4 to 7, not 8); `output_padding` says which of the two it is. Raises ValueError for an image_size or a
    number of channels below 1.
    """
    out_channels, image_size = arguments.whole("out_channels", out_channels), arguments.whole("image_size", image_size)
    base_channels = arguments.whole("base_channels", base_channels)
    if min(out_channels, image_size, base_channels) < 1:
        raise ValueError(
            f"out_channels = {out_channels}, image_size = {image_size} and base_channels = {base_channels} "
            "should all be at least 1."
        )
    sides = [image_size]
    for _ in range(3):
        sides.append((sides[-1] + 1) // 2)  # what the encoder's strides leave: 28, 14, 7, 4

    def double(in_channels: int, out_channels: int, side: int) -> nn.Module:
        # From s to 2 s - 1 + output_padding pixels, where s = ceil(side / 2): odd sides need 0, even ones 1.
        return nn.ConvTranspose2d(
            in_channels, out_channels, kernel_size=3, stride=2, padding=1, output_padding=1 - side % 2
        )

    return nn.Sequential(
        double(4 * base_channels, 2 * base_channels, sides[2]),
        nn.ReLU(),
        double(2 * base_channels, base_channels, sides[1]),
        nn.ReLU(),
        double(base_channels, out_channels, sides[0]),
        nn.Sigmoid(),
    )

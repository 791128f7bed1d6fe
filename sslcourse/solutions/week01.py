# ruff: noqa
"""The solved exercises of week01; generated from notebooks/source/week01_autoencoders.py: edit that."""


import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import week01 as check
from sslcourse.plot.schematics.bottleneck_and_probe import bottleneck_and_probe


class ConvAutoencoder(nn.Module):
    """A convolutional autoencoder with a bottleneck of latent_dim numbers.

    encode: images (N, C, H, W) in [0, 1] to (N, latent_dim); decode: (N, latent_dim) to images (N, C, H, W) in [0, 1].
    forward: decode(encode(x)). Images are square, image_size pixels a side, which need not be divisible by 8.
    """

    def __init__(self, in_channels: int, image_size: int, latent_dim: int, base_channels: int = 16):
        super().__init__()
        side = -(-image_size // 8)  # three halvings, each rounded up
        maps = (4 * base_channels, side, side)
        width = 4 * base_channels * side * side
        self.encoder = nn.Sequential(
            models.conv_encoder(in_channels, base_channels), nn.Flatten(), nn.Linear(width, latent_dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, width),
            nn.Unflatten(1, maps),
            models.conv_decoder(in_channels, image_size, base_channels),
        )

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, latent_dim)."""
        return self.encoder(x)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        return self.decoder(z)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        return self.decode(self.encode(x))


def train_epoch(
    model: nn.Module,
    images: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator | None = None,
) -> float:
    """One shuffled pass over images (N, C, H, W) in [0, 1], minimising the mean squared error of model(batch) to batch.

    generator: where the random order comes from. The model is left in train mode.
    Returns the mean loss per image, each batch's loss taken before its update.
    """
    model.train()
    total = 0.0
    for index in torch.randperm(len(images), generator=generator).split(batch_size):
        batch = images[index]                                   # (B, C, H, W)
        loss = F.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)                       # the last batch may be smaller
    return total / len(images)


def extract_features(encoder, images: torch.Tensor, batch_size: int = 256) -> torch.Tensor:
    """Features (N, D) of images (N, C, H, W), row n from image n, computed batch by batch.

    encoder: a module or a plain function from (B, C, H, W) to (B, D). A module runs in eval mode and is left in the
    mode that it came in. The features carry no gradients.
    """
    is_module = isinstance(encoder, nn.Module)
    was_training = is_module and encoder.training
    if is_module:
        encoder.eval()
    with torch.no_grad():
        features = torch.cat([encoder(batch) for batch in images.split(batch_size)])  # (N, D)
    if is_module:
        encoder.train(was_training)
    return features


def linear_probe(
    train_x: torch.Tensor, train_y: torch.Tensor, test_x: torch.Tensor, test_y: torch.Tensor
) -> float:
    """Test accuracy in [0, 1] of multinomial logistic regression (C = 1) on standardised features.

    train_x (N, D), train_y (N,): features and labels to fit; test_x (M, D), test_y (M,): to score, nothing else.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    classifier.fit(train_x.cpu().numpy(), train_y.cpu().numpy())
    return float(classifier.score(test_x.cpu().numpy(), test_y.cpu().numpy()))

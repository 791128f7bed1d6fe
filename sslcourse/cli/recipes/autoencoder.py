"""An autoencoder on the toy scenes: week 1's largest, trained for longer on more images.

Reference: Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".
"""

import torch
import torch.nn.functional as F
from torch import nn

from sslcourse import data, train
from sslcourse.models.pretrained import SHIPPED

EPOCHS, IMAGES, BATCH, RATE, SIZE = 15, 20_000, 32, 3e-3, 128


def autoencoder_scenes(seed: int) -> nn.Module:
    """Encoder and decoder in one, images to images; the rate falls to 0, as it does not in week 1."""
    torch.manual_seed(seed)
    network = SHIPPED["autoencoder_scenes"].build()

    def loss(batch: torch.Tensor) -> torch.Tensor:
        images = data.as_float(batch)
        return F.mse_loss(network(images), images)

    train.fit(
        loss,
        network,
        data.load_images("scenes", "train", n=IMAGES, seed=seed).images,
        epochs=EPOCHS,
        batch_size=BATCH,
        lr=RATE,
        weight_decay=0.0,
        generator=torch.Generator().manual_seed(seed),
        label="autoencoder",
    )
    return network


def variance_of_scenes(network: nn.Module) -> dict[str, float]:
    """The share of the pixels' variance that comes back, on 2,000 test scenes of seed 0, which no checkpoint has seen;
    beside it that of PCA of the same size, fitted on the images that trained the network."""
    seen = _pixels("train", IMAGES, SHIPPED["autoencoder_scenes"].seed).flatten(1)
    mean = seen.mean(dim=0)
    directions = torch.pca_lowrank(seen - mean, q=SIZE + 16, center=False, niter=4)[2][:, :SIZE]
    images = _pixels("test", 2000, 0)
    flat = images.flatten(1) - mean
    by_pca = 1 - (flat - flat @ directions @ directions.T).square().mean() / images.var(dim=0, correction=0).mean()
    return variance_of_few(network, len(images)) | {"of PCA": by_pca.item()}


def variance_of_few(network: nn.Module, n: int = 500) -> dict[str, float]:
    """The share alone, on fewer images."""
    images = _pixels("test", n, 0)
    with torch.no_grad():
        error = F.mse_loss(network(images), images)
    return {"explained variance": 1 - (error / images.var(dim=0, correction=0).mean()).item()}


def _pixels(split: str, n: int, seed: int) -> torch.Tensor:
    return data.as_float(data.load_images("scenes", split, n=n, seed=seed).images)

"""Masked autoencoders on the toy scenes: week 8's training, run for longer on more images.

References: He et al. 2022, "Masked autoencoders are scalable vision learners".
"""

from collections.abc import Iterable

import torch
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, train
from sslcourse.models.pretrained import SHIPPED, load_pretrained

EPOCHS, IMAGES, BATCH, RATIO, RATE = 25, 20_000, 128, 0.5, 1.5e-3
DECODER_EPOCHS, DECODER_RATE = 8, 3e-3


def mae_scenes_vit8(seed: int) -> nn.Module:
    """The encoder without its decoder."""
    torch.manual_seed(seed)
    network = sslcourse.solution("week08", "MAE")(32, 8, dim=96, depth=3, num_heads=3)
    _train(network, network.parameters(), seed, EPOCHS, RATE)
    return network.encoder


def mae_scenes_whole(seed: int) -> nn.Module:
    """The encoder of `mae_scenes_vit8` as it ships, and a decoder that was trained on it while it stood still.

    The first decoder was thrown away, as the paper has it; this one is there so that reconstructions can be looked at.
    """
    torch.manual_seed(seed)
    network = sslcourse.solution("week08", "MAE")(32, 8, dim=96, depth=3, num_heads=3)
    network.encoder.load_state_dict(load_pretrained("mae_scenes_vit8").state_dict())
    network.encoder.requires_grad_(False)
    decoder = [weight for weight in network.parameters() if weight.requires_grad]
    _train(network, decoder, seed, DECODER_EPOCHS, DECODER_RATE)
    whole = SHIPPED["mae_scenes_whole"].build()
    whole.load_state_dict(network.state_dict())
    return whole


def _train(network: nn.Module, weights: Iterable[nn.Parameter], seed: int, epochs: int, rate: float) -> None:
    mae_loss, patchify = sslcourse.solution("week08", "mae_loss"), sslcourse.solution("week06", "patchify")
    images = data.load_images("scenes", "train", n=IMAGES, seed=seed).images
    light = augment.simclr(32, crop=(0.6, 1.0), jitter=0, grey=0)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        view = light(batch)
        mask = augment.random_mask(len(view), network.encoder.side**2, RATIO)
        return mae_loss(network(view, mask), patchify(view, 8), mask)

    train.fit(
        loss,
        network,
        images,
        epochs=epochs,
        batch_size=BATCH,
        optimizer=torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.95), weight_decay=0.05),
        generator=torch.Generator().manual_seed(seed),
        label="MAE",
    )


def probe_of_scenes(encoder: nn.Module) -> dict[str, float]:
    """Test accuracy of a linear probe on the mean of the patches' tokens: 3,000 training and 2,000 test scenes of seed
    0, which no checkpoint has seen. Fine-tuning, where MAE is at its best, would come out differently elsewhere."""

    def features(images: torch.Tensor) -> torch.Tensor:
        return encoder.encode(encoder.embed(images))[:, 1:].mean(dim=1)

    fitted, tested = (data.load_images("scenes", split, seed=0) for split in ("train", "test"))
    h, test_h = (evaluate.extract_features(features, part.images) for part in (fitted, tested))
    return {"linear probe": evaluate.linear_probe(h, fitted.labels, test_h, tested.labels, Cs=(0.1,)).accuracy}


def error_of_scenes(whole: nn.Module) -> dict[str, float]:
    """The loss at half of the patches of 2,000 test scenes of seed 0, which no checkpoint has seen, and what
    `probe_of_scenes` says of the encoder. Filling in each patch's true mean costs 1 - 1 / 192."""
    MAE, mae_loss = (sslcourse.solution("week08", part) for part in ("MAE", "mae_loss"))
    patchify = sslcourse.solution("week06", "patchify")
    network = MAE(32, 8, dim=96, depth=3, num_heads=3)
    network.load_state_dict(whole.state_dict())
    network.eval()
    images = data.as_float(data.load_images("scenes", "test", seed=0).images)
    mask = augment.random_mask(len(images), network.encoder.side**2, RATIO, torch.Generator().manual_seed(0))
    with torch.no_grad():
        error = mae_loss(network(images, mask), patchify(images, 8), mask).item()
    return {"error of masked patches": error} | probe_of_scenes(whole.encoder)

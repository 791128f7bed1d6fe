"""LeJEPA and SimCLR on the toy scenes, as the bonus on JEPA compares them: alike but for the loss and, once, the views.

References: Balestriero and LeCun 2025, "LeJEPA: provable and scalable self-supervised learning without the heuristics";
Chen et al. 2020, "A simple framework for contrastive learning of visual representations".
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import sslcourse
from sslcourse import augment, data, evaluate, models, train

EPOCHS, IMAGES, BATCH, RATE = 30, 3000, 64, 4e-3
LAM, SLICES, WIDTH, TEMPERATURE = 0.1, 64, 64, 0.1


def lejepa_scenes_conv4(seed: int, file: Path) -> nn.Module:
    """The backbone without its head."""
    lejepa_loss = sslcourse.solution("bonus_jepa", "lejepa_loss")
    generator = torch.Generator().manual_seed(seed)  # of the order and of the directions: `fit` keeps its state
    return _trained(seed, file, generator, lambda z: lejepa_loss(z, LAM, SLICES, generator), WIDTH, "LeJEPA")


def lejepa_four_scenes_conv4(seed: int, file: Path) -> nn.Module:
    """The same with four views of every image in place of two: twice the work of an epoch."""
    lejepa_loss = sslcourse.solution("bonus_jepa", "lejepa_loss")
    generator = torch.Generator().manual_seed(seed)
    return _trained(seed, file, generator, lambda z: lejepa_loss(z, LAM, SLICES, generator), WIDTH, "LeJEPA", pairs=2)


def simclr_scenes_conv4(seed: int, file: Path) -> nn.Module:
    """The backbone without its head; the same images, views, batches and epochs, the head as wide as in week 4."""
    nt_xent = sslcourse.solution("week04", "nt_xent")
    generator = torch.Generator().manual_seed(seed)
    return _trained(seed, file, generator, lambda z: nt_xent(z[0], z[1], TEMPERATURE), 128, "SimCLR")


def _trained(
    seed: int,
    file: Path,
    generator: torch.Generator,
    loss: Callable[[Tensor], Tensor],
    width: int,
    label: str,
    pairs: int = 1,
) -> nn.Module:
    images = data.load_images("scenes", "train", n=IMAGES, seed=seed).images
    views = augment.simclr(32, crop=(0.6, 1.0), jitter=0.4, grey=0.8)
    torch.manual_seed(seed)
    backbone = models.backbone("conv4")
    head = models.projection_head(backbone.num_features, 256, width)
    with torch.no_grad():  # projections of mean 0 and spread 1 at the start
        z = head(backbone(data.as_float(images[:256])))
        head[-1].weight /= z.std(dim=0)[:, None]
        head[-1].bias.copy_((head[-1].bias - z.mean(dim=0)) / z.std(dim=0))
    backbone.to(memory_format=torch.channels_last)  # on a CPU 1.2 to 1.6 times as fast

    def of_batch(batch: Tensor) -> Tensor:
        seen = [view for _ in range(pairs) for view in augment.two_views(data.as_float(batch), views)]
        return loss(head(backbone(torch.cat(seen))).unflatten(0, (2 * pairs, -1)))  # (V, N, D)

    history = train.fit(
        of_batch,
        [backbone, head],
        images,
        epochs=EPOCHS,
        batch_size=BATCH,
        lr=RATE,
        weight_decay=1e-4,
        generator=generator,
        checkpoint=file,
        label=label,
    )
    if history.stopped:
        raise KeyboardInterrupt  # half a training is no checkpoint
    return backbone.to(memory_format=torch.contiguous_format)


def neighbours_of_scenes(backbone: nn.Module) -> dict[str, float]:
    """Test accuracy of nearest neighbours: 3,000 training and 2,000 test scenes of seed 0, seen by no checkpoint."""
    return _neighbours(backbone, 3000, 2000)


def neighbours_of_few(backbone: nn.Module) -> dict[str, float]:
    """The same with 1,000 training and 500 test scenes."""
    return _neighbours(backbone, 1000, 500)


def _neighbours(backbone: nn.Module, known: int, tested: int) -> dict[str, float]:
    bank, test = (data.load_images("scenes", split, n=n, seed=0) for split, n in (("train", known), ("test", tested)))
    h, test_h = (evaluate.extract_features(backbone, part.images) for part in (bank, test))
    return {"kNN": evaluate.knn_accuracy(h, bank.labels, test_h, test.labels)}

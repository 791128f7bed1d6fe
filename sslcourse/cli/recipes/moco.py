"""MoCo on the toy scenes: week 5's training, run for longer on more images.

References: He et al. 2020, "Momentum contrast for unsupervised visual representation learning".
"""

import copy

import torch
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, train

EPOCHS, IMAGES, BATCH, QUEUE, MOMENTUM, TEMPERATURE, RATE = 25, 20_000, 128, 2048, 0.996, 0.1, 2e-3


def moco_scenes_conv4(seed: int) -> nn.Module:
    """The query encoder without its head."""
    update_ema, Queue, info_nce = (sslcourse.solution("week05", part) for part in ("update_ema", "Queue", "info_nce"))
    images = data.load_images("scenes", "train", n=IMAGES, seed=seed).images
    views = augment.simclr(32, crop=(0.6, 1.0), jitter=0.4, grey=0.8)

    torch.manual_seed(seed)
    backbone = models.backbone("conv4_gn")
    query = nn.Sequential(backbone, nn.Linear(backbone.num_features, 256), nn.ReLU(), nn.Linear(256, 128))
    key = copy.deepcopy(query).requires_grad_(False)
    queue = Queue(QUEUE, 128)
    fresh = []  # the keys of the batch, which join the queue after the step

    def loss(batch: torch.Tensor) -> torch.Tensor:
        view0, view1 = augment.two_views(data.as_float(batch), views)
        with torch.no_grad():
            fresh.append(key(view1))
        return info_nce(query(view0), fresh[-1], queue.keys, TEMPERATURE)

    def after_step(step: int) -> None:
        queue.enqueue(fresh.pop())
        update_ema(query, key, MOMENTUM)

    # A queue of random vectors would be told from keys by anything; so it is filled with keys before the first step.
    with torch.no_grad():
        for batch in images[:QUEUE].split(BATCH):
            queue.enqueue(key(views(data.as_float(batch))))
    train.fit(
        loss,
        [query, key, queue],
        images,
        epochs=EPOCHS,
        batch_size=BATCH,
        lr=RATE,
        weight_decay=1e-4,
        generator=torch.Generator().manual_seed(seed),
        after_step=after_step,
        label="MoCo",
    )
    return backbone


def probe_of_scenes(backbone: nn.Module) -> dict[str, float]:
    """Test accuracy of a linear probe: 3,000 training and 2,000 test scenes of seed 0, which no checkpoint has seen."""
    fitted, tested = (data.load_images("scenes", split, seed=0) for split in ("train", "test"))
    h, test_h = (evaluate.extract_features(backbone, part.images) for part in (fitted, tested))
    probe = evaluate.linear_probe(h, fitted.labels, test_h, tested.labels, Cs=(0.1,))
    return {"linear probe": probe.accuracy}

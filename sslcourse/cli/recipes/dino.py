"""DINO on the toy tissue: week 7's training, run for longer on more images.

Reference: Caron et al. 2021, "Emerging properties in self-supervised vision transformers".
"""

import copy

import torch
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, train

EPOCHS, IMAGES, BATCH, N_LOCAL, PROTOTYPES, MOMENTUM, TEACHER_TEMP, RATE = 20, 20_000, 64, 2, 128, 0.98, 0.03, 1.5e-3


def dino_tissue_vit8(seed: int) -> nn.Module:
    """The teacher's backbone, without its head."""
    parts = ("multi_crop", "DINOHead", "DINOLoss")
    multi_crop, DINOHead, DINOLoss = (sslcourse.solution("week07", part) for part in parts)
    images = data.load_images("tissue", "train", n=IMAGES, seed=seed).images
    momentum = train.cosine_schedule(MOMENTUM, 1.0, EPOCHS * (IMAGES // BATCH))

    torch.manual_seed(seed)
    backbone = models.backbone("vit8_conv")
    student = nn.Sequential(backbone, DINOHead(backbone.num_features, PROTOTYPES))
    teacher = copy.deepcopy(student).requires_grad_(False)
    dino = DINOLoss(PROTOTYPES, TEACHER_TEMP)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        crops = multi_crop(batch, N_LOCAL)
        few, many = torch.cat(crops[:2]), torch.cat(crops[2:])
        with torch.no_grad():
            targets = teacher(few).chunk(2)
        return dino([*student(few).chunk(2), *student(many).chunk(N_LOCAL)], targets)

    train.fit(
        loss,
        [student, teacher, dino],
        images,
        epochs=EPOCHS,
        batch_size=BATCH,
        lr=RATE,
        weight_decay=0.04,
        clip=3.0,
        generator=torch.Generator().manual_seed(seed),
        after_step=lambda step: train.update_ema(student, teacher, float(momentum[step])),
        label="DINO",
    )
    return teacher[0].requires_grad_(True)


def neighbours_of_tissue(backbone: nn.Module) -> dict[str, float]:
    """Test accuracy of 20 nearest neighbours: 3,000 training, 2,000 test images of seed 0, which no checkpoint saw."""
    fitted, tested = (data.load_images("tissue", part, n=n, seed=0) for part, n in (("train", 3000), ("test", 2000)))
    h, test_h = (evaluate.extract_features(backbone, part.images) for part in (fitted, tested))
    return {"kNN": evaluate.knn_accuracy(h, fitted.labels, test_h, tested.labels)}

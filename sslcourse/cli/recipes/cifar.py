"""The methods of the course on CIFAR-10: all 45,000 training images, minutes to an hour or two on one core of a CPU.

Each is its week's training for longer, on `conv4` (SimCLR on `conv4_wide`, two to four times as wide; DINO and the
masked autoencoder on small transformers). Every recipe takes the seed and a file, and goes on from that file where it
was cut off. Where a network runs in bfloat16, it is because a step then takes six to seven tenths of the time; losses
are in float32.

References: Chen et al. 2020, "A simple framework for contrastive learning of visual representations", appendix B.9 for
CIFAR-10 (there: ResNet-50 and batches up to 4,096; here networks for one CPU core, batches of 256, and so other rates).
"""

import copy
from pathlib import Path

import torch
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, train
from sslcourse.models import pretrained
from sslcourse.models.masked import WithDecoder

BATCH, DECAY = 256, 1e-4
QUEUE = 25 * BATCH  # an epoch of 175 batches fills it seven times: each begins at its first place, also a resumed one


def simclr_cifar10_wide(seed: int, file: Path) -> nn.Module:
    """The encoder without its head."""
    nt_xent, projection_head = (sslcourse.solution("week04", part) for part in ("nt_xent", "projection_head"))
    views = augment.simclr(32)

    torch.manual_seed(seed)
    backbone = models.backbone("conv4_wide")
    head = projection_head(backbone.num_features, 256, 128)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        both = torch.cat(augment.two_views(data.as_float(batch), views))
        with _half():
            z = head(backbone(both))
        return nt_xent(*z.float().chunk(2), 0.2)

    _fit(loss, [backbone, head], _images(), seed, file, epochs=80, lr=3e-3, label="SimCLR")
    return backbone


def supervised_cifar10_conv4(seed: int, file: Path) -> nn.Module:
    """The backbone below the classifier, which has seen all labels: crops and flips, as everybody has for CIFAR."""
    part = data.load_images("cifar10", "train")
    views = augment.simclr(32, crop=(0.5, 1.0), jitter=0, grey=0)

    torch.manual_seed(seed)
    backbone = models.backbone("conv4")
    classifier = nn.Sequential(backbone, nn.Linear(backbone.num_features, len(part.class_names)))

    def loss(batch: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(classifier(views(batch)), labels)

    _fit(loss, [classifier], (part.images, part.labels), seed, file, epochs=6, lr=3e-3, label="supervised")
    return backbone


def rotation_cifar10_conv4(seed: int, file: Path) -> nn.Module:
    """The backbone below the four angles; every batch holds 64 images in all four."""
    rotate_batch, RotationNet = (sslcourse.solution("week02", part) for part in ("rotate_batch", "RotationNet"))
    views = augment.simclr(32, crop=(0.5, 1.0), jitter=0, grey=0)

    torch.manual_seed(seed)
    network = RotationNet(models.backbone("conv4"))

    def loss(batch: torch.Tensor) -> torch.Tensor:
        rotated, angles = rotate_batch(views(batch))
        with _half():
            outputs = network(rotated)
        return nn.functional.cross_entropy(outputs.float(), angles)

    _fit(loss, [network], _images(), seed, file, epochs=12, batch_size=BATCH // 4, lr=2e-3, label="rotation")
    return network.backbone


def autoencoder_cifar10(seed: int, file: Path) -> nn.Module:
    """Encoder and decoder in one, images to images: a code of 128 numbers for 3,072."""
    torch.manual_seed(seed)
    network = pretrained.SHIPPED["autoencoder_scenes"].build()

    def loss(batch: torch.Tensor) -> torch.Tensor:
        images = data.as_float(batch)
        return nn.functional.mse_loss(network(images), images)

    _fit(loss, [network], _images(), seed, file, epochs=20, batch_size=64, lr=3e-3, label="autoencoder")
    return network


def mae_cifar10_whole(seed: int, file: Path) -> nn.Module:
    """Encoder and decoder; patches of 4 pixels, six in ten of them masked, as at scale small of week 8."""
    MAE, mae_loss = (sslcourse.solution("week08", part) for part in ("MAE", "mae_loss"))
    patchify = sslcourse.solution("week06", "patchify")
    views = augment.simclr(32, crop=(0.6, 1.0), jitter=0, grey=0)

    torch.manual_seed(seed)
    network = MAE(32, 4, dim=96, depth=3, num_heads=3)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        view = views(batch)
        mask = augment.random_mask(len(view), network.encoder.side**2, 0.6)
        return mae_loss(network(view, mask), patchify(view, 4), mask)

    optimizer = torch.optim.AdamW(network.parameters(), lr=1.5e-3, betas=(0.9, 0.95), weight_decay=0.05)
    _fit(loss, [network], _images(), seed, file, epochs=14, batch_size=128, optimizer=optimizer, label="MAE")
    whole = WithDecoder(models.ViT(32, 4, dim=96, depth=3, num_heads=3))
    whole.load_state_dict(network.state_dict())
    return whole


def dino_cifar10_vit8(seed: int, file: Path) -> nn.Module:
    """The teacher's backbone without its head: the settings of week 7 at scale small, on all images."""
    DINOHead, DINOLoss = (sslcourse.solution("week07", part) for part in ("DINOHead", "DINOLoss"))
    images, epochs, batch_size, n_local = _images(), 12, 64, 2
    momentum = train.cosine_schedule(0.99, 1.0, epochs * (len(images) // batch_size))

    torch.manual_seed(seed)
    backbone = models.backbone("vit8_conv")
    student = nn.Sequential(backbone, DINOHead(backbone.num_features, 256))
    teacher = copy.deepcopy(student).requires_grad_(False)
    dino = DINOLoss(256, teacher_temp=0.02)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        crops = augment.multi_crop(batch, n_local)
        few, many = torch.cat(crops[:2]), torch.cat(crops[2:])
        with torch.no_grad():
            targets = teacher(few).chunk(2)
        return dino([*student(few).chunk(2), *student(many).chunk(n_local)], targets)

    def after_step(step: int) -> None:
        train.update_ema(student, teacher, float(momentum[step]))

    modules, settings = [student, teacher, dino], {"lr": 1e-3, "decay": 0.04, "warmup": 0.3, "clip": 3.0}
    _fit(
        loss,
        modules,
        images,
        seed,
        file,
        epochs=epochs,
        batch_size=batch_size,
        after_step=after_step,
        label="DINO",
        **settings,
    )
    return teacher[0].requires_grad_(True)


def moco_cifar10_conv4(seed: int, file: Path) -> nn.Module:
    """The query encoder without its head."""
    update_ema, Queue, info_nce = (sslcourse.solution("week05", part) for part in ("update_ema", "Queue", "info_nce"))
    images, views = _images(), augment.simclr(32)

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
        return info_nce(query(view0), fresh[-1], queue.keys, 0.2)

    def after_step(step: int) -> None:
        queue.enqueue(fresh.pop())
        update_ema(query, key, 0.99)

    # A queue of random vectors would be told from keys by anything; so it is filled with keys before the first step.
    with torch.no_grad():
        for batch in images[:QUEUE].split(BATCH):
            queue.enqueue(key(views(data.as_float(batch))))
    modules = [query, key, queue]
    _fit(loss, modules, images, seed, file, epochs=24, lr=2e-3, after_step=after_step, label="MoCo")
    return backbone


def vicreg_cifar10_conv4(seed: int, file: Path) -> nn.Module:
    """The encoder without its expander."""
    vicreg, projection_head = (sslcourse.solution("week04", part) for part in ("vicreg", "projection_head"))
    views = augment.simclr(32)

    torch.manual_seed(seed)
    backbone = models.backbone("conv4")
    expander = projection_head(backbone.num_features, 512, 512)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        both = torch.cat(augment.two_views(data.as_float(batch), views))
        with _half():
            z = expander(backbone(both))
        return vicreg(*z.float().chunk(2))

    _fit(loss, [backbone, expander], _images(), seed, file, epochs=24, lr=2e-3, label="VICReg")
    return backbone


def lejepa_cifar10_conv4(seed: int, file: Path) -> nn.Module:
    """The encoder without its head; projections begin with mean 0 and spread 1, as in the bonus on JEPA."""
    lejepa_loss = sslcourse.solution("bonus_jepa", "lejepa_loss")
    images, views = _images(), augment.simclr(32)
    directions = torch.Generator().manual_seed(seed)  # `fit` keeps its state: it draws the order of the images as well

    torch.manual_seed(seed)
    backbone = models.backbone("conv4")
    head = models.projection_head(backbone.num_features, 256, 64)
    with torch.no_grad():
        z = head(backbone(data.as_float(images[:BATCH])))
        head[-1].weight /= z.std(dim=0)[:, None]
        head[-1].bias.copy_((head[-1].bias - z.mean(dim=0)) / z.std(dim=0))

    def loss(batch: torch.Tensor) -> torch.Tensor:
        both = torch.cat(augment.two_views(data.as_float(batch), views))
        with _half():
            z = head(backbone(both))
        return lejepa_loss(z.float().unflatten(0, (2, -1)), 0.1, 256, directions)

    _fit(loss, [backbone, head], images, seed, file, epochs=24, lr=3e-3, generator=directions, label="LeJEPA")
    return backbone


def _half() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def _images() -> torch.Tensor:
    return data.load_images("cifar10", "train").images


def _fit(loss, modules, tensors, seed, file, *, batch_size=BATCH, decay=DECAY, generator=None, **arguments) -> None:
    """`train.fit` with what all share. An interrupted training raises: half of one is no checkpoint."""
    for module in modules:
        module.to(memory_format=torch.channels_last)  # on a CPU 1.2 to 1.6 times as fast
    history = train.fit(
        loss,
        modules,
        tensors,
        batch_size=batch_size,
        weight_decay=decay,
        generator=generator or torch.Generator().manual_seed(seed),
        checkpoint=file,
        **arguments,
    )
    for module in modules:
        module.to(memory_format=torch.contiguous_format)
    if history.stopped:
        raise KeyboardInterrupt


# ---- what they reached


def probe_of_cifar10(network: nn.Module) -> dict[str, float]:
    """Test accuracy of a linear probe on the features of all 45,000 training images, and of 20 nearest neighbours."""
    return _probed(network, *(data.load_images("cifar10", split) for split in ("train", "test")))


def probe_of_part(network: nn.Module) -> dict[str, float]:
    """The same on 2,000 training and 1,000 test images, in seconds."""
    parts = (("train", 2000), ("test", 1000))
    return _probed(network, *(data.load_images("cifar10", split, n=n, seed=0) for split, n in parts))


def _probed(network: nn.Module, fitted: data.ImageSet, tested: data.ImageSet) -> dict[str, float]:
    h, test_h = (evaluate.extract_features(_features(network), part.images) for part in (fitted, tested))
    probe = evaluate.linear_probe(h, fitted.labels, test_h, tested.labels, Cs=(0.1,))
    return {
        "linear probe": probe.accuracy,
        "kNN": evaluate.knn_accuracy(h, fitted.labels, test_h, tested.labels),
    }


def _features(network: nn.Module):
    """Of an autoencoder its code; of a masked one the mean of the patches' tokens: nothing trained its class token."""
    if isinstance(network, WithDecoder):
        return lambda images: network.encoder.encode(network.encoder.embed(images))[:, 1:].mean(dim=1)
    return network[:3] if isinstance(network, nn.Sequential) else network

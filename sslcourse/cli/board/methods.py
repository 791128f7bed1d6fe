"""The methods of the board: one small function each, which trains an encoder and returns what maps images to features.

Their losses and heads are the solved exercises of the weeks, so that the board trains what is taught.
"""

import copy
import hashlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

import sslcourse
from sslcourse import augment, data, models, train
from sslcourse.cli import Refusal
from sslcourse.cli.board.terms import Terms

Encoder = Callable[[torch.Tensor], torch.Tensor]  # images (N, C, H, W) to features (N, D)


@dataclass(frozen=True)
class Job:
    """One training: images, the terms, a peak learning rate (None where nothing is trained) and a seed."""

    terms: Terms
    part: data.ImageSet
    rate: float | None
    seed: int

    def encoder(self, name: str = "") -> nn.Module:
        """Untrained; the same one for the same seed, whatever the method."""
        torch.manual_seed(self.seed)
        return models.backbone(name or self.terms.encoder)

    def momenta(self) -> torch.Tensor:
        """Of a teacher, one a step: from 0.99 to 1 like a cosine."""
        steps = self.terms.epochs * max(1, len(self.part) // self.terms.batch_size)
        return train.cosine_schedule(0.99, 1.0, steps)

    def fit(self, loss: Callable, modules: list[nn.Module], *more: torch.Tensor, **fit_arguments) -> None:
        """train.fit under the terms, on the images and what `more` goes with them."""
        history = train.fit(
            loss,
            modules,
            (self.part.images, *more),
            epochs=self.terms.epochs,
            batch_size=self.terms.batch_size,
            lr=self.rate,
            weight_decay=self.terms.weight_decay,
            warmup=self.terms.warmup,
            clip=self.terms.clip,
            generator=torch.Generator().manual_seed(self.seed),
            progress=False,
            **fit_arguments,
        )
        if history.stopped:
            raise KeyboardInterrupt  # half of a training is no result


def part_of(week: str, *names: str) -> list:
    """Solved exercises of a week. Raises Refusal in a copy without them."""
    try:
        return [sslcourse.solution(week, name) for name in names]
    except ImportError as error:
        raise Refusal(f"The board trains with the solved exercises: {error}") from error


# ---- nothing is trained


def pixels(job: Job) -> Encoder:
    return lambda images: images.flatten(1)


def pca(job: Job) -> Encoder:
    """As many principal components of the training pixels as the encoder has features."""
    from sklearn.decomposition import PCA

    size = min(job.encoder().num_features, len(job.part))
    fitted = PCA(size, svd_solver="randomized", random_state=job.seed)
    fitted.fit(data.as_float(job.part.images).flatten(1).numpy())
    return lambda images: torch.from_numpy(fitted.transform(images.flatten(1).numpy()))


def random(job: Job) -> Encoder:
    return job.encoder()


# ---- one image


def autoencoder(job: Job) -> Encoder:
    """Week 1: the encoder's features are the code, the decoder is week 1's."""
    views, encoder = job.terms.light(), job.encoder()
    channels, size = job.part.images.shape[1:3]
    decoder = nn.Sequential(
        nn.Linear(encoder.num_features, 64 * math.ceil(size / 8) ** 2),
        nn.Unflatten(1, (64, math.ceil(size / 8), math.ceil(size / 8))),
        models.conv_decoder(channels, size),
    )

    def loss(batch):
        view = views(batch)
        return F.mse_loss(decoder(encoder(view)), view)

    job.fit(loss, [encoder, decoder])
    return encoder


def rotation(job: Job) -> Encoder:
    rotate_batch, RotationNet = part_of("week02", "rotate_batch", "RotationNet")
    views, network = job.terms.light(), RotationNet(job.encoder())

    def loss(batch):
        rotated, angles = rotate_batch(views(batch))
        return F.cross_entropy(network(rotated), angles)

    job.fit(loss, [network])
    return network.backbone


def mae(job: Job) -> Encoder:
    """Week 8, in a transformer of about as many weights: the convolutions have no patches to leave out."""
    MAE, mae_loss, random_mask = part_of("week08", "MAE", "mae_loss", "random_mask")
    (patchify,) = part_of("week06", "patchify")
    torch.manual_seed(job.seed)
    views, network = job.terms.light(), MAE(32, 8, dim=64, depth=3, num_heads=4)

    def loss(batch):
        view = views(batch)
        mask = random_mask(len(view), network.encoder.side**2, 0.5)
        return mae_loss(network(view, mask), patchify(view, 8), mask)

    job.fit(loss, [network])
    return network.features


# ---- two views


def _two_views(job: Job, loss_of: Callable, width: int) -> Encoder:
    """Week 4: an encoder and its projection head, trained so that loss_of(z0, z1) gets small."""
    (projection_head,) = part_of("week04", "projection_head")
    views, encoder = job.terms.views(), job.encoder()
    head = projection_head(encoder.num_features, 256, width)

    def loss(batch):
        both = torch.cat(augment.two_views(data.as_float(batch), views))
        return loss_of(*head(encoder(both)).chunk(2))

    job.fit(loss, [encoder, head])
    return encoder


def simclr(job: Job) -> Encoder:
    (nt_xent,) = part_of("week04", "nt_xent")
    return _two_views(job, lambda z0, z1: nt_xent(z0, z1, job.terms.temperature), 128)


def vicreg(job: Job) -> Encoder:
    return _two_views(job, *part_of("week04", "vicreg"), 256)


def barlow_twins(job: Job) -> Encoder:
    return _two_views(job, *part_of("week04", "barlow_twins"), 256)


def moco(job: Job) -> Encoder:
    """Week 5: group norm, since batch norm would let an image see the others of its batch; a queue of 2,048 at most."""
    Queue, moco_step = part_of("week05", "Queue", "moco_step")
    images, views, batch_size = job.part.images, job.terms.views(), job.terms.batch_size
    encoder = job.encoder(f"{job.terms.encoder}_gn")
    query = nn.Sequential(encoder, nn.Linear(encoder.num_features, 256), nn.ReLU(), nn.Linear(256, 128))
    key = copy.deepcopy(query).requires_grad_(False)
    queue = Queue(min(2048, len(images)), 128)
    with torch.no_grad():  # random vectors are told from keys by anything
        for batch in images[: len(queue.keys)].split(batch_size):
            queue.enqueue(key(views(data.as_float(batch))))

    def step(update, batch):
        view0, view1 = augment.two_views(data.as_float(batch), views)
        return moco_step(query, key, queue, update, view0, view1, 0.99, job.terms.temperature)

    job.fit(step, [query, key, queue], own_step=True)
    return encoder


# ---- a teacher, or one's own other view


def _distilled(job: Job, loss: Callable, head: Callable, also: list[nn.Module]) -> Encoder:
    """Week 7's step with two crops; the teacher's encoder is what is judged."""
    (dino_step,) = part_of("week07", "dino_step")
    views, encoder, momenta = job.terms.views(), job.encoder(), iter(job.momenta().tolist())
    student = nn.Sequential(encoder, head(encoder.num_features))
    teacher = copy.deepcopy(student).requires_grad_(False)

    def step(update, batch):
        crops = list(augment.two_views(data.as_float(batch), views))
        return dino_step(student, teacher, loss, update, crops, next(momenta))

    job.fit(step, [student, teacher, *also], own_step=True)
    return teacher[0]


def dino(job: Job) -> Encoder:
    DINOHead, DINOLoss = part_of("week07", "DINOHead", "DINOLoss")
    loss = DINOLoss(128, teacher_temp=0.04)
    return _distilled(job, loss, lambda width: DINOHead(width, 128), [loss])


def byol(job: Job) -> Encoder:
    (byol_loss,) = part_of("week07", "byol_loss")
    torch.manual_seed(job.seed)
    predictor = _mlp(64)

    def loss(answers, targets):
        predicted = predictor(torch.cat(answers)).chunk(2)
        return (byol_loss(predicted[0], targets[1]) + byol_loss(predicted[1], targets[0])) / 2

    return _distilled(job, loss, _mlp, [predictor])


def simsiam(job: Job) -> Encoder:
    """BYOL without a teacher: each view predicts the other one's own projection (Chen and He 2021)."""
    (byol_loss,) = part_of("week07", "byol_loss")
    views, encoder = job.terms.views(), job.encoder()
    head, predictor = _mlp(encoder.num_features), _mlp(64)

    def loss(batch):
        z = head(encoder(torch.cat(augment.two_views(data.as_float(batch), views))))
        (z0, z1), (p0, p1) = z.chunk(2), predictor(z).chunk(2)
        return (byol_loss(p0, z1) + byol_loss(p1, z0)) / 2

    job.fit(loss, [encoder, head, predictor])
    return encoder


def lejepa(job: Job) -> Encoder:
    (lejepa_loss,) = part_of("bonus_jepa", "lejepa_loss")
    return _two_views(job, lambda z0, z1: lejepa_loss(torch.stack([z0, z1]), 0.05, 64), 128)


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 64))


# ---- words, labels


def clip(job: Job) -> Encoder:
    """Week 9: images and their captions; the scale of the cosines is learnt, as published."""
    (clip_loss,) = part_of("week09", "clip_loss")
    views, encoder = job.terms.light(), job.encoder()
    vocabulary = models.Vocabulary(job.part.captions)
    image_head, texts = nn.Linear(encoder.num_features, 64, bias=False), models.TextTransformer(len(vocabulary))
    text_head, scale = nn.Linear(texts.num_features, 64, bias=False), _Scale()

    def loss(batch, words):
        return clip_loss(image_head(encoder(views(batch))), text_head(texts(words)), scale())

    job.fit(loss, [encoder, image_head, texts, text_head, scale], vocabulary.encode(job.part.captions))
    return encoder


class _Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self) -> torch.Tensor:
        return self.log.clamp(max=math.log(100)).exp()


def supervised(job: Job) -> Encoder:
    views, encoder = job.terms.views(), job.encoder()
    classifier = nn.Sequential(encoder, nn.Linear(encoder.num_features, len(job.part.class_names)))
    job.fit(lambda batch, labels: F.cross_entropy(classifier(views(batch)), labels), [classifier], job.part.labels)
    return encoder


@dataclass(frozen=True)
class Method:
    """A row of the board. week: where it is taught, "" where nowhere; trained: whether it has a learning rate."""

    learn: Callable[[Job], Encoder]
    week: str = ""
    trained: bool = True
    worlds: tuple[str, ...] = ("scenes", "tissue", "cifar10")

    def code(self) -> str:
        """A hash of its function and of those here that it calls: results of other code are not compared with."""
        called = (globals().get(name) for name in self.learn.__code__.co_names)
        functions = [self.learn, *(one for one in called if inspect.isfunction(one))]
        return hashlib.sha256("".join(map(inspect.getsource, functions)).encode()).hexdigest()[:12]


METHODS = {
    "pixels": Method(pixels, "week01", trained=False),
    "PCA": Method(pca, "week01", trained=False),
    "random": Method(random, "week01", trained=False),
    "autoencoder": Method(autoencoder, "week01"),
    "rotation": Method(rotation, "week02"),
    "SimCLR": Method(simclr, "week04"),
    "VICReg": Method(vicreg, "week04"),
    "Barlow Twins": Method(barlow_twins, "week04"),
    "MoCo": Method(moco, "week05"),
    "DINO": Method(dino, "week07"),
    "BYOL": Method(byol, "week07"),
    "SimSiam": Method(simsiam),
    "LeJEPA": Method(lejepa, "bonus_jepa"),
    "MAE": Method(mae, "week08"),
    "CLIP": Method(clip, "week09", worlds=("scenes",)),
    "supervised": Method(supervised),
}

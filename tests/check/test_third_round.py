"""A third round of answers from outside, to weeks 1 and 2: each with the mistake it should be told.

Written as students and published codes write them; what went wrong before stands in the words.
"""

import contextlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from torch import nn

from sslcourse import models
from sslcourse.check import week01, week02

# --- week 1


class Autoencoder(nn.Module):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__()
        side = -(-image_size // 8)
        self.maps = (4 * base_channels, side, side)
        self.convolutions = models.conv_encoder(in_channels, base_channels)
        self.inner = nn.Linear(4 * base_channels * side * side, latent_dim)
        self.outer = nn.LazyLinear(4 * base_channels * side * side)
        self.transposed = models.conv_decoder(in_channels, image_size, base_channels)

    def encode(self, x):
        return self.inner(self.convolutions(x).flatten(1))

    def decode(self, z):
        return self.transposed(self.outer(z).unflatten(1, self.maps))

    def forward(self, x):
        return self.decode(self.encode(x))


class Tied(Autoencoder):
    """The way back is the way there, transposed."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.outer = nn.Identity()

    def decode(self, z):
        return super().decode(F.linear(z, self.inner.weight.T))


class OneWidth(Autoencoder):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__(in_channels, image_size, latent_dim)


class Tanh(Autoencoder):
    def encode(self, x):
        return super().encode(x).tanh()


class OnTheSphere(Autoencoder):
    def encode(self, x):
        return F.normalize(super().encode(x), dim=1)


class Floored(Autoencoder):
    def __init__(self, in_channels, image_size, latent_dim, base_channels=16):
        super().__init__(in_channels, image_size, latent_dim, base_channels)
        self.inner = nn.Linear(4 * base_channels * (image_size // 8) ** 2, latent_dim)


class Sampled(Autoencoder):
    def encode(self, x):
        z = super().encode(x)
        return z + torch.randn_like(z)


class ScaledByBatch(Autoencoder):
    def decode(self, z):
        y = super().decode(z)
        return (y - y.amin()) / (y.amax() - y.amin())


@pytest.mark.parametrize("right", [Autoencoder, Tied])
def test_right_autoencoder(right, seeds):
    assert_right(week01.ConvAutoencoder, right)


def epoch(
    loss_of=F.mse_loss, *, fed=lambda order: order, result=lambda losses, sizes, b: np.dot(losses, sizes) / sum(sizes)
):
    def train_epoch(model, images, optimizer, batch_size, generator=None):
        model.train()
        order = torch.randperm(len(images), generator=generator)
        losses, sizes = [], []
        for index, came in zip(order.split(batch_size), fed(order).split(batch_size), strict=True):
            loss = loss_of(model(images[came]), images[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            sizes.append(len(index))
        return float(result(losses, sizes, batch_size))

    return train_epoch


def returns_inside(model, images, optimizer, batch_size, generator=None):
    model.train()
    for index in torch.randperm(len(images), generator=generator).split(batch_size):
        loss = F.mse_loss(model(images[index]), images[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()


def extraction(join=torch.cat, *, batches=lambda images, size: images.split(size), after=lambda h: h):
    def extract_features(encoder, images, batch_size=256):
        was = isinstance(encoder, nn.Module) and encoder.training
        if isinstance(encoder, nn.Module):
            encoder.eval()
        with torch.no_grad():
            features = join([encoder(x) for x in batches(images, batch_size)])
        if isinstance(encoder, nn.Module):
            encoder.train(was)
        return after(features)

    return extract_features


def without_asking(encoder, images, batch_size=256):
    was = encoder.training
    with torch.no_grad():
        features = torch.cat([encoder.eval()(x) for x in images.split(batch_size)])
    encoder.train(was)
    return features


# --- week 2


def puzzle(draw, moves=True):
    def jigsaw_batch(images, permutations, generator=None):
        labels, grid = draw(len(permutations), len(images), generator), int(permutations.shape[1] ** 0.5)
        side, shuffled = images.shape[2] // grid, images.clone()
        for image, source, label in zip(shuffled, images, labels.tolist(), strict=True):
            for place, tile in enumerate(permutations[label].tolist() if moves else []):
                (r, c), (a, b) = divmod(place, grid), divmod(tile, grid)
                image[:, r * side : (r + 1) * side, c * side : (c + 1) * side] = source[
                    :, a * side : (a + 1) * side, b * side : (b + 1) * side
                ]
        return shuffled, labels

    return jigsaw_batch


def uniform(kinds, n, generator):
    return (torch.rand(n, generator=generator) * kinds).long()


def test_right_jigsaw(seeds):
    assert_right(week02.jigsaw_batch, puzzle(uniform))


def net(scores=lambda self, x: self.head(self.features(x)), head=lambda d: nn.Linear(d, 4)):
    class RotationNet(nn.Module):
        def __init__(self, backbone):
            super().__init__()
            self.backbone, self.head = backbone, head(backbone.num_features)

        def features(self, x):
            return self.backbone(x)

        def forward(self, x):
            return scores(self, x)

    return RotationNet


@contextlib.contextmanager
def measured(model):
    was = model.training
    model.eval()
    with torch.no_grad():
        yield
    model.train(was)


def accuracy(result, answer=lambda scores: scores.argmax(dim=1), size=256):
    """result: of what was right (M,), the true angles and the answers, and of the accuracies of batches."""

    def rotation_accuracy(model, images):
        with measured(model):
            pieces = [torch.cat([x.rot90(k, (2, 3)) for k in range(4)]) for x in images.split(size)]
            answers = torch.cat([answer(model(x)) for x in pieces])
        truth = torch.cat([torch.arange(4).repeat_interleave(len(x) // 4) for x in pieces])
        right = (answers == truth).double()
        per_angle = torch.stack([right[truth == k].mean() for k in range(4)])
        return result(right, truth, answers, per_angle, [float(part.mean()) for part in right.split(4 * size)])

    return rotation_accuracy


def sensitivity(value):
    def rotation_sensitivity(encoder, images):
        with measured(encoder):
            h = torch.stack([encoder(images.rot90(k, (2, 3))) for k in range(4)])  # (4, N, D)
        return float(value(h))

    return rotation_sensitivity


def each(h):
    return 1 - F.cosine_similarity(h[:1], h[1:], dim=2)


WRONG = [
    (week01.ConvAutoencoder, OneWidth, "base_channels is not used"),
    (week01.ConvAutoencoder, Tanh, "no latent number is beyond 1"),
    (week01.ConvAutoencoder, OnTheSphere, "divided by its length"),
    (week01.ConvAutoencoder, Floored, "Images of 28 pixels have maps of 4 x 4"),
    (week01.ConvAutoencoder, Sampled, "add no noise to the latent vector"),
    (week01.ConvAutoencoder, ScaledByBatch, "take no mean or maximum over the batch"),
    (week01.train_epoch, epoch(fed=lambda order: order.sort().values), "goes in and the target as well"),
    (week01.train_epoch, returns_inside, "does `return` stand inside the loop?"),
    (week01.train_epoch, epoch(lambda y, x: (y - x).abs().sum()), "the absolute error"),
    (
        week01.train_epoch,
        epoch(lambda y, x: (y - x).flatten(1).norm(dim=1).mean()),
        "the root of the mean squared error",
    ),
    (week01.train_epoch, epoch(F.binary_cross_entropy_with_logits), "the binary cross-entropy"),
    (week01.train_epoch, epoch(lambda y, x: -F.mse_loss(y, x)), "the sign is wrong"),
    (week01.train_epoch, epoch(lambda y, x: y.square().mean()), "the target is zeros"),
    (week01.train_epoch, epoch(lambda y, x: (y - x).square().mean((1, 2, 3)).sum()), "the squared errors are summed"),
    (
        week01.train_epoch,
        epoch(lambda y, x: 1 - F.cosine_similarity(y.flatten(1), x.flatten(1)).mean()),
        "compared by cosine",
    ),
    (week01.train_epoch, epoch(result=lambda a, n, b: np.dot(a, n) / (len(a) * b)), "divided by full batches"),
    (week01.extract_features, extraction(batches=lambda x, size: x.chunk(size)), "at once, batch_size is 2"),
    (week01.extract_features, extraction(torch.stack), "The last batch here is smaller"),
    (week01.extract_features, extraction(after=lambda h: h.squeeze()), "squeeze takes that dimension away"),
    (week01.extract_features, extraction(after=lambda h: h - h.mean(0)), "The mean of the features is taken off"),
    (week01.extract_features, extraction(after=lambda h: h.relu()), "Features below 0 are cut off"),
    (week01.extract_features, extraction(after=lambda h: h.half()), "rounded to 16 bits"),
    (week01.extract_features, extraction(batches=lambda x, size: (x / 255).split(size)), "divided by 255"),
    (week01.extract_features, without_asking, "a plain function here, which has no mode"),
    (
        week02.rotate_batch,
        lambda x: (
            torch.cat([x.rot90(k, (2, 3)) * 2 - 1 for k in range(4)]),
            torch.arange(4).repeat_interleave(len(x)),
        ),
        "the values of its pixels are others",
    ),
    (
        week02.RotationNet,
        net(lambda self, x: nn.Linear(self.backbone.num_features, 4)(self.features(x))),
        "other scores for the same images: make the head in __init__",
    ),
    (week02.RotationNet, net(lambda self, x: self.head(self.features(x)).sigmoid()), "returns probabilities"),
    (week02.RotationNet, net(head=lambda d: nn.Linear(6, 4)), "has num_features = 9"),
    (week02.RotationNet, net(head=lambda d: nn.Sequential(nn.BatchNorm1d(d), nn.Linear(d, 4))), "a single image"),
    (
        week02.rotation_accuracy,
        accuracy(lambda right, y, a, per, parts: (parts[-1], per)),
        "only the last batch counts",
    ),
    (
        week02.rotation_accuracy,
        accuracy(lambda right, y, a, per, parts: (parts[0], per)),
        "only the first batch counts",
    ),
    (
        week02.rotation_accuracy,
        accuracy(lambda right, y, a, per, parts: (right.mean().item(), per), lambda z: z.argmin(dim=1)),
        "the lowest score is taken",
    ),
    (
        week02.rotation_accuracy,
        accuracy(lambda right, y, a, per, parts: (right.mean().item(), right.view(-1, 4).mean(0)), size=1000),
        "as if the four of an image were adjacent",
    ),
    (
        week02.rotation_accuracy,
        accuracy(lambda right, y, a, per, parts: (right.mean().item(), torch.bincount(a, minlength=4) / len(a))),
        "how often each angle is the answer",
    ),
    (week02.rotation_sensitivity, sensitivity(lambda h: (1 - each(h)).abs().sub(1).neg().mean()), "lose their sign"),
    (week02.rotation_sensitivity, sensitivity(lambda h: each(h).clamp(max=1).mean()), "lose their sign"),
    (week02.rotation_sensitivity, sensitivity(lambda h: (1 - each(h)).acos().mean()), "the angle is returned"),
    (week02.jigsaw_batch, puzzle(lambda k, n, g: uniform(k, n, g).sort().values), "neither sorted nor in turn"),
    (
        week02.jigsaw_batch,
        puzzle(lambda k, n, g: uniform(k, n, g).repeat_interleave(2)[:n]),
        "told from that of the image before",
    ),
    (week02.jigsaw_batch, puzzle(lambda k, n, g: (torch.rand(n, generator=g) ** 2 * k).long()), "equally often"),
    (week02.jigsaw_batch, puzzle(uniform, moves=False), "no tile has moved"),
    (
        week02.rotation_sensitivity,
        sensitivity(lambda h: 1 - F.cosine_similarity(h[:-1], h[1:], dim=2).mean()),
        "compared with each other",
    ),
    (
        week02.rotation_sensitivity,
        sensitivity(lambda h: 1 - F.cosine_similarity(h[0], h[1:].mean(0)).mean()),
        "of the rotations are averaged first",
    ),
    (
        week02.rotation_sensitivity,
        sensitivity(lambda h: 1 - (F.normalize(h[0], dim=1) @ F.normalize(h[1:], dim=2).mT).mean()),
        "with the rotations of all images",
    ),
    (week02.rotation_sensitivity, sensitivity(lambda h: each(h - h.mean(2, True)).mean()), "a mean is taken off"),
    (week02.rotation_sensitivity, sensitivity(lambda h: each(h).amax(0).mean()), "the smallest or the middle one"),
]


@pytest.mark.parametrize(("check", "wrong", "words"), WRONG, ids=lambda x: getattr(x, "__name__", ""))
def test_wrong(check, wrong, words):
    assert_wrong(check, wrong, words)

"""Answers to week 2 whose mistake has a name since the fifth round: one line of a right version is another."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from torch import nn

from sslcourse.check import week02 as check
from sslcourse.solutions.week02 import rotate_batch

NAMES = {"torch": torch, "F": F, "nn": nn, "math": math, "rotate_batch": rotate_batch}

NET = """
class RotationNet(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.num_features, 4)
    def features(self, x):
        return self.backbone(x)
    def forward(self, x):
        return self.head(self.features(x))
"""
ACCURACY = """
def rotation_accuracy(model, images):
    was = model.training
    model.eval()
    right = torch.zeros(4)
    with torch.no_grad():
        for batch in images.split(256):
            rotated, labels = rotate_batch(batch)
            hit = model(rotated).argmax(dim=1) == labels
            for k in range(4):
                right[k] += hit[labels == k].sum()
    model.train(was)
    return right.sum().item() / (4 * len(images)), right / len(images)
"""
SENSITIVITY = """
def rotation_sensitivity(encoder, images):
    was = encoder.training
    encoder.eval()
    with torch.no_grad():
        h = [encoder(torch.rot90(images, k, dims=(2, 3))) for k in range(4)]
        d = [1 - F.cosine_similarity(h[0], h[k]) for k in (1, 2, 3)]
    encoder.train(was)
    return torch.stack(d).mean().item()
"""
JIGSAW = """
def jigsaw_batch(images, permutations, generator=None):
    n, c, height, width = images.shape
    g = math.isqrt(permutations.shape[1])
    labels = torch.randint(len(permutations), (n,), generator=generator)
    tiles = images.view(n, c, g, height // g, g, width // g).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    tiles = tiles[torch.arange(n)[:, None], permutations[labels]]
    return tiles.unflatten(1, (g, g)).permute(0, 3, 1, 4, 2, 5).reshape(images.shape), labels
"""
STORE = "self.backbone = backbone\n"
SCORES = "self.head(self.features(x))"
COSINE = "F.cosine_similarity(h[0], h[k])"
LABELS = "torch.randint(len(permutations), (n,), generator=generator)"
BACK = ".permute(0, 3, 1, 4, 2, 5)"

WRONG = [
    (NET, STORE, f"{STORE}        backbone.eval()\n", "After __init__ the backbone is in eval mode"),
    (NET, STORE, f"{STORE}        [nn.init.normal_(p) for p in self.parameters()]\n", "It changes the weights"),
    (NET, STORE, f"{STORE}        backbone.requires_grad_(False)\n", "It freezes the backbone"),
    (NET, SCORES, "self.head(F.dropout(self.features(x), 0.5))", "as F.dropout alone is"),
    (NET, SCORES, "self.head(F.dropout(self.features(x), 0.5, self.training))", "without dropout or batch norm"),
    (NET, SCORES, f"{SCORES}.log_softmax(1)", "forward returns log-probabilities"),
    (NET, "self.head = nn.Linear(backbone.num_features, 4)",
     "self.head = (lambda f: lambda h: f(h))(nn.Linear(backbone.num_features, 4))",
     "not in a list"),
    (NET, "    def features", "        [nn.init.zeros_(p) for p in self.head.parameters()]\n    def features",
     "All scores are 0"),
    (ACCURACY, "images.split(256)", "images[:256].split(256)", "Those of the last 4 images are missing"),
    (ACCURACY, "    with torch", "    rotate_batch = lambda x: [p[len(x):] for p in globals()['rotate_batch'](x)]\n"
     "    with torch", "Missing are those by 0 degrees"),
    (ACCURACY, "right / len(images)\n", "right // len(images)\n", "as // does"),
    (ACCURACY, "right = torch.zeros(4)\n", "right = memory\n", "A second call on the same images"),
    (SENSITIVITY, "dims=(2, 3)", "dims=(1, 2)", "channels and rows are turned into each other"),
    (SENSITIVITY, "encoder(torch.rot90(images, k, dims=(2, 3)))", "torch.rot90(images, k, dims=(2, 3)).flatten(1)",
     "pixels are compared"),
    (SENSITIVITY, "h[0], h[k]", "h[0], h[k].flip(0)", "rotations of another one"),
    (SENSITIVITY, "torch.stack(d)", "torch.stack(d)[:, 0]", "only one image counts"),
    (SENSITIVITY, COSINE, f"{COSINE} ** 2", "the cosine is squared"),
    (SENSITIVITY, "        d = ", "        h = [a - a.mean(0) for a in h]\n        d = ", "a mean is taken off"),
    (SENSITIVITY, "encoder.eval()", "encoder.training = False", "Only the flag of the encoder itself"),
    (JIGSAW, BACK, ".permute(0, 3, 2, 4, 1, 5)", "places are counted column by column"),
    (JIGSAW, BACK, ".permute(0, 3, 1, 2, 4, 5)", "here they are torn"),
    (JIGSAW, "permutations[labels]]", "permutations[labels] % g * g + permutations[labels] // g]",
     "tiles are counted column by column, and places row by row"),
    (JIGSAW, "permutations[labels]]", "torch.rand(n, g * g, generator=generator).argsort(1)]",
     "no row of permutations"),
    (JIGSAW, "torch.arange(n)[:, None]", "(torch.arange(n) + 1)[:, None] % n", "come from other images"),
    (JIGSAW, ".reshape(images.shape)", ".reshape(images.shape) * 2", "here pixels have other values"),
    (JIGSAW, LABELS, "torch.cat([torch.randperm(len(permutations), generator=generator) for _ in range(n)])[:n]",
     "each has another permutation"),
    (JIGSAW, "    labels =", "    generator = torch.Generator().manual_seed(generator.initial_seed())\n    labels =",
     "it is set back in every call"),
]  # fmt: skip
EXERCISES = {
    NET: "RotationNet",
    ACCURACY: "rotation_accuracy",
    SENSITIVITY: "rotation_sensitivity",
    JIGSAW: "jigsaw_batch",
}


@pytest.mark.parametrize(("source", "old", "new", "words"), WRONG)
def test_a_wrong_version_is_named(source, old, new, words):
    assert old in source
    name = EXERCISES[source]
    wrong = cell(source.replace(old, new), name, memory=torch.zeros(4), **NAMES)
    assert_wrong(getattr(check, name), wrong, words)


class Parts(nn.Sequential):
    """The backbone and the head as the two parts of a sequence."""

    def __init__(self, backbone):
        super().__init__(backbone, nn.Linear(backbone.num_features, 4))

    def features(self, x):
        return self[0](x)


class Lazy(nn.Module):
    """A head that learns its width from the first features."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.head = backbone, nn.LazyLinear(4)

    def features(self, x):
        return self.backbone(x)

    def forward(self, x):
        return self.head(self.features(x))


def one_by_one(images, permutations, generator=None):
    """One draw an image."""
    labels = torch.stack([torch.randint(len(permutations), (), generator=generator) for _ in images])
    g = math.isqrt(permutations.shape[1])
    shuffled = []
    for image, label in zip(images, labels, strict=True):
        tiles = [tile for row in image.chunk(g, dim=1) for tile in row.chunk(g, dim=2)]
        tiles = [tiles[i] for i in permutations[label].tolist()]
        shuffled.append(torch.cat([torch.cat(tiles[r * g : r * g + g], dim=2) for r in range(g)], dim=1))
    return torch.stack(shuffled), labels


@torch.no_grad()
def sensitivity_in_batches(encoder, images):
    modes = {module: module.training for module in encoder.modules()}
    encoder.eval()
    total = 0.0
    for batch in images.split(4):
        h = F.normalize(encoder(rotate_batch(batch)[0]).double(), dim=1).view(4, len(batch), -1)
        total += (1 - torch.einsum("nd,knd->kn", h[0], h[1:])).sum().item()
    for module, mode in modes.items():
        module.training = mode
    return total / (3 * len(images))


RIGHT = [
    (check.RotationNet, Parts),
    (check.RotationNet, Lazy),
    (check.jigsaw_batch, functools.partial(one_by_one)),
    (check.rotation_sensitivity, sensitivity_in_batches),
    (check.rotation_accuracy, cell(ACCURACY.replace("256", "33"), "rotation_accuracy", **NAMES)),
]


@pytest.mark.parametrize(("judge", "right"), RIGHT)
def test_a_right_version_in_another_style(judge, right, seeds):
    assert_right(judge, right)

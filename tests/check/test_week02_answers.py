"""More answers to week 2, as people write them: unusual right ones are accepted, wrong ones told what they did.

Each wrong answer stands with words of the message that names its mistake.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from torch import nn

from sslcourse.check import week02 as check

# --- rotate_batch


def turned_in_numpy(images):
    rows = [np.rot90(image, k, (1, 2)).copy() for k in range(4) for image in images.numpy()]
    return torch.from_numpy(np.stack(rows)), torch.tensor([k for k in range(4) for _ in images])


def by_flips(images):
    quarter = images.transpose(2, 3).flip(2)
    views = torch.stack([images, quarter, images.flip(2).flip(3), quarter.flip((2, 3))], dim=1)
    return views.flatten(0, 1), torch.arange(4).repeat(len(images))


def in_double(images):
    n = len(images)
    return torch.cat([torch.rot90(images.double(), k, (-2, -1)) for k in range(4)]), torch.arange(4 * n) // n


@torch.jit.script
def scripted(images: torch.Tensor):
    parts = [torch.rot90(images, k, [2, 3]) for k in range(4)]
    return torch.cat(parts), torch.arange(4).repeat_interleave(images.size(0))


def from_clockwise(images):
    labels = torch.arange(4).repeat_interleave(len(images))
    return torch.cat([torch.rot90(images, -(4 - k), (2, 3)) for k in range(4)]), labels


@pytest.mark.parametrize("right", [turned_in_numpy, by_flips, in_double, scripted, functools.partial(from_clockwise)])
def test_right_rotate_batch(right, seeds):
    assert_right(check.rotate_batch, right)


def turned(k=lambda k: k, dims=(2, 3), labels=lambda n: torch.arange(4).repeat_interleave(n), change=lambda x: x):
    def rotate_batch(images):
        return change(torch.cat([torch.rot90(images, k(q), dims) for q in range(4)])), labels(len(images))

    return rotate_batch


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (turned(lambda k: -k), "labels count clockwise"),
        (turned(dims=(1, 2)), "channels and rows"),
        (turned(dims=(0, 1)), "images and channels"),
        (turned(labels=lambda n: torch.arange(4).repeat(n)), "labels are in another order"),
        (turned(labels=lambda n: torch.arange(n).repeat(4)), "those of the images"),
        (turned(labels=lambda n: 90 * torch.arange(4).repeat_interleave(n)), "labels are degrees"),
        (turned(labels=lambda n: 1 + torch.arange(4).repeat_interleave(n)), "count from 1"),
        (turned(labels=lambda n: torch.arange(4.0).repeat_interleave(n)), "whole numbers"),
        (turned(labels=lambda n: torch.arange(4).repeat_interleave(n).int()), "cross-entropy takes torch.int64"),
        (turned(lambda k: 2 * k), "rotations are missing, others come twice"),
        (turned(lambda k: 0), "rotations are missing, others come twice"),
        (turned(change=lambda x: x.transpose(2, 3)), "is mirrored"),
        (turned(change=lambda x: x * 2), "the values of its pixels are others"),
        (lambda i: (torch.stack([i.rot90(k, (2, 3)) for k in range(4)]), torch.arange(4)), "join the first two axes"),
    ],
)
def test_wrong_rotate_batch(wrong, words):
    assert_wrong(check.rotate_batch, wrong, words)


# --- RotationNet


class Net(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.num_features, 4)

    def features(self, x):
        return self.backbone(x)

    def forward(self, x):
        return self.head(self.features(x))


class Nested(Net):
    def __init__(self, backbone):
        nn.Module.__init__(self)
        self.parts = nn.ModuleDict({"trunk": nn.Sequential(backbone), "top": nn.Linear(backbone.num_features, 4)})

    def features(self, x):
        return self.parts["trunk"](x)

    def forward(self, x):
        return self.parts["top"](self.features(x))


class ByHand(Net):
    def __init__(self, backbone):
        nn.Module.__init__(self)
        self.backbone = backbone
        self.weights = nn.Parameter(torch.randn(backbone.num_features, 4) * 0.1)
        self.bias = nn.Parameter(torch.randn(4) * 0.1)

    def forward(self, x):
        return torch.einsum("nd,dk->nk", self.features(x), self.weights) + self.bias


class NoBias(Net):
    def __init__(self, backbone):
        super().__init__(backbone)
        self.head = nn.Linear(backbone.num_features, 4, bias=False)


class Functional(Net):
    def forward(self, x):
        return F.linear(self.backbone(x), self.head.weight, self.head.bias)


@pytest.mark.parametrize("right", [Nested, ByHand, NoBias, Functional])
def test_right_net(right, seeds):
    assert_right(check.RotationNet, right)


def net(forward=None, features=None, build=None):
    class Wrong(Net):
        def __init__(self, backbone):
            super().__init__(backbone)
            if build:
                build(self, backbone)

    if forward:
        Wrong.forward = forward
    if features:
        Wrong.features = features
    return Wrong


def no_grad_features(self, x):
    with torch.no_grad():
        return self.backbone(x)


def set_head(make):
    return lambda self, backbone: setattr(self, "head", make(backbone.num_features))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (net(lambda self, x: self.head(F.dropout(self.features(x), 0.3, self.training))), "without dropout"),
        (net(build=set_head(lambda d: nn.Sequential(nn.Dropout(0.5), nn.Linear(d, 4)))), "without dropout"),
        (net(lambda self, x: self.head(self.features(x)).softmax(1)), "returns probabilities"),
        (net(lambda self, x: self.head(self.features(x).relu())), "not linear in the features"),
        (net(lambda self, x: self.head(F.normalize(self.features(x)))), "not linear in the features"),
        (net(build=set_head(lambda d: nn.Sequential(nn.Linear(d, d), nn.Linear(d, 4)))), "parameters, for"),
        (net(build=lambda self, b: b.requires_grad_(False)), "It freezes the backbone"),
        (net(features=no_grad_features), "features carries no gradient"),
        (net(lambda self, x: self.head(self.features(x).detach())), "No gradient reaches the backbone"),
        (net(lambda self, x: self.features(x), lambda self, x: self.head(self.backbone(x))), "4 scores"),
        (net(build=lambda self, b: setattr(self, "backbone", copy.deepcopy(b))), "not a part of the model"),
        (net(build=set_head(lambda d: nn.Linear(d, 10))), "forward returns a tensor of shape"),
        (net(lambda self, x: self.eval().head(self.features(x))), "changes between train and eval mode"),
    ],
)
def test_wrong_net(wrong, words):
    assert_wrong(check.RotationNet, wrong, words)


# --- rotation_accuracy


def rotate(images):
    return torch.cat([images.rot90(k, (2, 3)) for k in range(4)]), torch.arange(4).repeat_interleave(len(images))


def angle_by_angle(model, images):
    mode = model.training
    model.eval()
    with torch.inference_mode():
        per_angle = [(model(images.rot90(k, (2, 3))).argmax(1) == k).float().mean().item() for k in range(4)]
    model.train(mode)
    return sum(per_angle) / 4, per_angle


def in_small_batches(model, images, size=64):
    mode = model.training
    model.eval()
    rotated, labels = rotate(images)
    with torch.no_grad():
        answers = torch.cat([model(batch).argmax(1) for batch in rotated.split(size)])
    model.train(mode)
    right = (answers == labels).view(4, -1).double()
    return right.mean(), right.mean(1)


def weighted_mean(model, images):
    mode = model.training
    model.train(False)
    sums, count = np.zeros(4), 0
    for batch in images.split(256):
        rotated, labels = rotate(batch)
        hits = (model(rotated).softmax(1).argmax(1) == labels).view(4, -1)
        sums += hits.float().mean(1).numpy() * len(batch)
        count += len(batch)
    model.train(mode)
    return float(sums.sum() / (4 * count)), sums / count


def every_mode_restored(model, images):
    modes = {module: module.training for module in model.modules()}
    model.eval()
    result = in_small_batches(model, images)
    for module, mode in modes.items():
        module.training = mode
    return result


@pytest.mark.parametrize(
    "right",
    [angle_by_angle, in_small_batches, weighted_mean, every_mode_restored, functools.partial(in_small_batches, size=7)],
)
def test_right_rotation_accuracy(right, seeds):
    assert_right(check.rotation_accuracy, right)


def unweighted(split, rotations):
    def rotation_accuracy(model, images):
        mode = model.training
        model.eval()
        with torch.no_grad():
            if rotations:
                pairs = zip(*(part.split(split) for part in rotate(images)), strict=True)
            else:
                pairs = map(rotate, images.split(split))
            shares = [(model(x).argmax(1) == y).float().mean() for x, y in pairs]
        model.train(mode)
        return torch.stack(shares).mean().item(), torch.tensor(angle_by_angle(model, images)[1])

    return rotation_accuracy


def changed(overall=lambda a, n: a, per_angle=lambda p, n: p):
    def rotation_accuracy(model, images):
        a, p = angle_by_angle(model, images)
        return overall(a, len(images)), per_angle(torch.tensor(p), len(images))

    return rotation_accuracy


def flag_only(model, images):
    mode, model.training = model.training, False
    rotated, labels = rotate(images)
    right = (model(rotated).argmax(1) == labels).view(4, -1).float()
    model.training = mode
    return right.mean().item(), right.mean(1)


def flag_restored(model, images):
    mode = model.training
    model.eval()
    rotated, labels = rotate(images)
    right = (model(rotated).argmax(1) == labels).view(4, -1).float()
    model.training = mode
    return right.mean().item(), right.mean(1)


def frozen(model, images):
    model.requires_grad_(False)
    return angle_by_angle(model, images)


def labels_adjacent(model, images):
    mode = model.training
    model.eval()
    right = (model(rotate(images)[0]).argmax(1) == torch.arange(4).repeat(len(images))).float()
    model.train(mode)
    return right.mean().item(), right.view(-1, 4).mean(0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (unweighted(256, rotations=False), "accuracies of batches are averaged"),
        (unweighted(256, rotations=True), "accuracies of batches are averaged"),
        (unweighted(128, rotations=False), "accuracies of batches are averaged"),
        (unweighted(512, rotations=True), "accuracies of batches are averaged"),
        (flag_only, "Only the flag of the model itself"),
        (flag_restored, "Layers inside the model are left in the other mode"),
        (frozen, "leaves the weights of the model frozen"),
        (labels_adjacent, "labels are in another order than the images"),
        (changed(lambda a, n: 1 - a), "the error rate is returned"),
        (changed(lambda a, n: 100 * a), "in per cent"),
        (changed(lambda a, n: 4 * n * a), "correct answers are counted"),
        (changed(lambda a, n: 4 * a), "number of images, not of rotations"),
        (changed(per_angle=lambda p, n: p / 4), "divided by all 4N rotations"),
        (changed(per_angle=lambda p, n: n * p), "per angle are counted"),
        (changed(per_angle=lambda p, n: p.roll(1)), "angles are in another order"),
        (changed(per_angle=lambda p, n: 1 - p), "error rates per angle"),
        (lambda model, images: angle_by_angle(model, images[:256]), "The model saw 1024 of the 1040"),
        (lambda model, images: angle_by_angle(model, images[: len(images) // 4 * 4 or 1]), "saw 32 of the 44"),
    ],
)
def test_wrong_rotation_accuracy(wrong, words):
    assert_wrong(check.rotation_accuracy, wrong, words)

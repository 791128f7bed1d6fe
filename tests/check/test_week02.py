"""The checks of week 2: right versions in several styles are accepted, each named mistake has a message of its own."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell, verdict
from torch import nn
from torchvision.transforms.v2 import functional as peer

import sslcourse
from sslcourse import augment, models
from sslcourse.check import week02 as check
from sslcourse.check.week02 import oracle

# --- the definitions against peers


def test_turned_equals_torchvision_and_torch():
    images = torch.rand(3, 2, 7, 7)
    versions = oracle.all_turned(images)
    assert versions.shape == (3, 4, 2, 7, 7)
    for k in range(4):
        assert versions[:, k].equal(images.rot90(k, dims=(2, 3)))
        assert versions[:, k].equal(peer.rotate(images, 90.0 * k))  # torchvision counts counter-clockwise, too


def test_sensitivity_definition_equals_torch():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.Tanh()).double()
    images = torch.rand(4, 3, 4, 4, dtype=torch.float64)
    h = [encoder(images.rot90(k, dims=(2, 3))) for k in range(4)]
    peers = torch.stack([1 - F.cosine_similarity(h[0], h[k]) for k in (1, 2, 3)]).mean()
    assert oracle.rotation_sensitivity(encoder, images).item() == pytest.approx(peers.item(), abs=1e-9)
    assert oracle._sensitivity(encoder, images).item() == pytest.approx(peers.item(), abs=1e-9)


def test_jigsaw_definition_by_hand():
    image = torch.arange(16.0).view(1, 4, 4)
    moved = oracle.jigsaw(image, [3, 0, 1, 2])
    assert moved[0].tolist() == [[10, 11, 0, 1], [14, 15, 4, 5], [2, 3, 8, 9], [6, 7, 12, 13]]
    assert oracle.inverse([3, 0, 1, 2]) == [1, 2, 3, 0]
    assert oracle.jigsaw(moved, oracle.inverse([3, 0, 1, 2])).equal(image)
    # Counted by columns, the tiles and the places of a transposed image are those of the image.
    assert oracle.jigsaw(image.mT, oracle.by_columns([1, 0, 2, 3])).mT.equal(oracle.jigsaw(image, [1, 0, 2, 3]))


# --- rotate_batch


def rotate_batch(images):
    rotated = torch.cat([images.rot90(k, dims=(2, 3)) for k in range(4)])
    return rotated, torch.arange(4).repeat_interleave(len(images))


def rotate_batch_adjacent(images):
    rotated = torch.stack([torch.rot90(images, k, (-2, -1)) for k in range(4)], dim=1).flatten(0, 1)
    return rotated, torch.arange(4).repeat(len(images))


def rotate_batch_by_flips(images):
    quarter = images.transpose(2, 3).flip(2)
    half = images.flip(2).flip(3)
    return (
        torch.cat([images, quarter, half, quarter.flip((2, 3))]),
        torch.tensor([k for k in range(4) for _ in images]),
    )


def rotate_batch_in_a_loop(images):
    rotated, labels = [], []
    for image in images:
        for k in range(4):
            rotated.append(torch.from_numpy(np.rot90(image.numpy(), k, (1, 2)).copy()))
            labels.append(k)
    return torch.stack(rotated), torch.tensor(labels)


def rotate_batch_of_torchvision(images):
    return torch.cat([peer.rotate(images, 90.0 * k) for k in range(4)]), rotate_batch(images)[1]


RIGHT_ROTATE_BATCH = [
    rotate_batch,
    rotate_batch_adjacent,
    rotate_batch_by_flips,
    rotate_batch_in_a_loop,
    rotate_batch_of_torchvision,
    augment.rotate_batch,
    lambda images: list(rotate_batch(images)),
]


@pytest.mark.parametrize("right", RIGHT_ROTATE_BATCH)
def test_right_rotate_batch(right, seeds):
    assert_right(check.rotate_batch, right)


def _turned(images, quarters=range(4), axes=(2, 3), labels=None):
    return torch.cat([images.rot90(k, dims=axes) for k in quarters]), rotate_batch(images)[1]


def random_angle(images):
    labels = torch.randint(4, (len(images),))
    return torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(images, labels, strict=True)]), labels


def four_random_angles(images):
    quarters = torch.randint(4, (4 * len(images),))
    rows = [images[n % len(images)].rot90(int(k), (1, 2)) for n, k in enumerate(quarters)]
    return torch.stack(rows), quarters


def shuffled_together(images):
    rotated, labels = rotate_batch(images)
    order = torch.randperm(len(labels))
    return rotated[order], labels[order]


def in_place(images):
    rotated, labels = rotate_batch(images)
    images += 1
    return rotated, labels


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: _turned(x, (0, -1, -2, -3)), "labels count clockwise"),
        (lambda x: (rotate_batch(x)[0], rotate_batch_adjacent(x)[1]), "labels are in another order than the images"),
        (lambda x: (rotate_batch_adjacent(x)[0], rotate_batch(x)[1]), "labels are in another order than the images"),
        (lambda x: _turned(x, axes=(0, 1)), "images and channels are turned into each other"),
        (lambda x: _turned(x, axes=(1, 2)), "channels and rows are turned into each other"),
        (lambda x: _turned(x, axes=(1, 3)), "channels and columns are turned into each other"),
        (lambda x: _turned(x, axes=(3, 2)), "labels count clockwise"),
        (lambda x: (torch.cat([x, x.mT, x.flip(2, 3), x.mT.flip(2, 3)]), rotate_batch(x)[1]), "is mirrored"),
        (lambda x: (torch.cat([x, x.flip(2), x.flip(3), x.flip(2, 3)]), rotate_batch(x)[1]), "is mirrored"),
        (random_angle, "all four rotations of each are wanted"),
        (four_random_angles, "rotations are missing"),
        (lambda x: _turned(x, (1, 2, 3, 1)), "rotations are missing, others come twice: image 0 turned by 0"),
        (lambda x: (rotate_batch(x)[0], 90 * rotate_batch(x)[1]), "labels are degrees"),
        (lambda x: (rotate_batch(x)[0], 1 + rotate_batch(x)[1]), "labels count from 1"),
        (lambda x: (rotate_batch(x)[0], torch.arange(len(x)).repeat(4)), "those of the images"),
        (lambda x: (rotate_batch(x)[0], rotate_batch(x)[1].float()), "labels are of type torch.float32"),
        (lambda x: (rotate_batch(x)[0], rotate_batch(x)[1].int()), "labels are of type torch.int32"),
        (lambda x: (rotate_batch(x)[0], rotate_batch(x)[1] * 0), "it should be 1"),
        (lambda x: rotate_batch(x)[0], "should return two things"),
        (lambda x: (rotate_batch(x)[0].unflatten(0, (4, len(x))), rotate_batch(x)[1]), "join the first two axes"),
        (lambda x: (rotate_batch(x)[0] * 2 - 1, rotate_batch(x)[1]), "the values of its pixels are others"),
        (lambda x: (rotate_batch(x)[0], rotate_batch(x)[1][:, None]), "labels is a tensor of shape (12, 1)"),
        (shuffled_together, "The order is lost"),
        (in_place, "changes its argument images in place"),
        (lambda images: print(), "returns None"),
    ],
)
def test_wrong_rotate_batch(wrong, words):
    assert_wrong(check.rotate_batch, wrong, words)


# --- RotationNet


class RotationNet(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.num_features, 4)

    def features(self, x):
        return self.backbone(x)

    def forward(self, x):
        return self.head(self.features(x))


class AsSequential(nn.Sequential):
    def __init__(self, backbone):
        super().__init__(backbone, nn.Linear(backbone.num_features, 4))

    def features(self, x):
        return self[0](x)


class WithParameters(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.features = net
        self.weight = nn.Parameter(torch.randn(4, net.num_features) / net.num_features**0.5)

    def forward(self, x):
        return F.linear(self.features(x).flatten(1), self.weight)


@pytest.mark.parametrize("right", [RotationNet, AsSequential, WithParameters])
def test_right_rotation_net(right, seeds):
    assert_right(check.RotationNet, right)


class Fixed(RotationNet):
    def __init__(self, backbone):
        super().__init__(backbone)
        self.head = nn.Linear(128, 4)


class FeaturesOfTheHead(RotationNet):
    def features(self, x):
        return self.head(self.backbone(x))

    def forward(self, x):
        return self.features(x)


class Softmax(RotationNet):
    def forward(self, x):
        return super().forward(x).softmax(dim=1)


class LogSoftmax(RotationNet):
    def forward(self, x):
        return super().forward(x).log_softmax(dim=1)


class Bent(RotationNet):
    def forward(self, x):
        return self.head(self.backbone(x).relu())


class BentFeatures(RotationNet):
    def features(self, x):
        return F.normalize(self.backbone(x))


class Rotating(RotationNet):
    def forward(self, x):
        return super().forward(rotate_batch(x)[0])


class Copied(RotationNet):
    def __init__(self, backbone):
        super().__init__(copy.deepcopy(backbone))


class InAList(RotationNet):
    def __init__(self, backbone):
        nn.Module.__init__(self)
        self.parts = [backbone]
        self.head = nn.Linear(backbone.num_features, 4)

    def features(self, x):
        return self.parts[0](x)


class Detached(RotationNet):
    def forward(self, x):
        return self.head(self.features(x).detach())


class WithoutGradient(RotationNet):
    @torch.no_grad()
    def features(self, x):
        return self.backbone(x)


class Evaluating(RotationNet):
    def features(self, x):
        self.eval()
        return self.backbone(x)


class HeadAnew(RotationNet):
    def __init__(self, backbone):
        nn.Module.__init__(self)
        self.backbone = backbone

    def forward(self, x):
        torch.manual_seed(0)
        return nn.Linear(self.backbone.num_features, 4)(self.features(x))


class TwoScores(RotationNet):
    def __init__(self, backbone):
        super().__init__(backbone)
        self.head = nn.Linear(backbone.num_features, 2)


class Deep(RotationNet):
    def __init__(self, backbone):
        super().__init__(backbone)
        width = backbone.num_features
        self.head = nn.Sequential(nn.Linear(width, width), nn.Linear(width, 4))


class Constant(RotationNet):
    def forward(self, x):
        return self.head(torch.ones(len(x), self.backbone.num_features))


class Squeezed(RotationNet):
    def forward(self, x):
        return super().forward(x).squeeze()


class Nameless(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.num_features, 4)

    def forward(self, x):
        return self.head(self.backbone(x))


class SameHead(RotationNet):
    def __init__(self, backbone):
        super().__init__(backbone)
        nn.init.eye_(self.head.weight)
        nn.init.ones_(self.head.bias)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Fixed, "Your code raised RuntimeError"),
        (FeaturesOfTheHead, "features returns the 4 scores"),
        (Softmax, "forward returns probabilities"),
        (LogSoftmax, "forward returns log-probabilities"),
        (Bent, "not linear in the features"),
        (BentFeatures, "features is not what the backbone gives"),
        (Rotating, "do not rotate them again"),
        (Copied, "The backbone that was given is not a part of the model"),
        (InAList, "The backbone that was given is not a part of the model"),
        (Detached, "No gradient reaches the backbone"),
        (WithoutGradient, "features carries no gradient"),
        (Evaluating, "changes between train and eval mode"),
        (HeadAnew, "Beside the backbone the model has 0 parameters"),
        (TwoScores, "forward returns a tensor of shape (5, 2)"),
        (Deep, "one nn.Linear(backbone.num_features, 4)"),
        (Constant, "does the head see the features"),
        (Squeezed, "forward returns a tensor of shape (4,)"),
        (Nameless, "has no method features"),
        (SameHead, "start with the same head"),
        (lambda backbone: RotationNet(backbone), "should be a class"),
    ],
)
def test_wrong_rotation_net(wrong, words):
    assert_wrong(check.RotationNet, wrong, words)


# --- rotation_accuracy


def rotation_accuracy(model, images):
    mode = model.training
    model.eval()
    rotated, labels = rotate_batch(images)
    with torch.no_grad():
        right = model(rotated).argmax(dim=1) == labels
    model.train(mode)
    per_angle = torch.stack([right[labels == k].float().mean() for k in range(4)])
    return right.float().mean().item(), per_angle


def rotation_accuracy_in_batches(model, images):
    mode, hits = model.training, torch.zeros(4)
    model.eval()
    with torch.inference_mode():
        for batch in images.split(3):
            rotated, labels = rotate_batch_adjacent(batch)
            hits += torch.bincount(labels[model(rotated).max(dim=1).indices == labels], minlength=4)
    model.train(mode)
    return float(hits.sum() / (4 * len(images))), (hits / len(images)).tolist()


def rotation_accuracy_angle_by_angle(model, images):
    was = model.training
    model.train(False)
    angles = []
    for k in range(4):
        with torch.no_grad():
            logits = torch.cat([model(image[None].rot90(k, (2, 3))) for image in images])
        angles.append((logits.softmax(1).argmax(1) == k).double().mean().item())
    model.train(was)
    return sum(angles) / 4, np.array(angles)


@pytest.mark.parametrize("right", [rotation_accuracy, rotation_accuracy_in_batches, rotation_accuracy_angle_by_angle])
def test_right_rotation_accuracy(right, seeds):
    assert_right(check.rotation_accuracy, right)


def measured(model, images, rotate=rotate_batch, evaluate=True, restore=True, truth=None, finish=None):
    """rotation_accuracy with something else in one place."""
    mode = model.training
    if evaluate:
        model.eval()
    rotated, labels = rotate(images)
    with torch.no_grad():
        predicted = model(rotated).argmax(dim=1)
    if restore:
        model.train(mode)
    labels = labels if truth is None else truth(images)
    right = predicted == labels
    if finish:
        return finish(right.float(), labels, predicted)
    return right.float().mean().item(), torch.stack([right[labels == k].float().mean() for k in range(4)])


def per_angle(right, labels):
    return torch.stack([right[labels == k].mean() for k in range(4)])


def one_random_angle(model, images):
    overall, angles = measured(model, images, rotate=random_angle)
    return overall, angles.nan_to_num()


def left_in_eval(model, images):
    model.eval()
    return measured(model, images)


def first_half_only(model, images):
    return measured(model, images[: (len(images) + 1) // 2])


def of_the_batch(model, images):
    """Gradients kept, overall a tensor: still a scalar."""
    overall, angles = measured(model, images)
    return torch.tensor(overall), angles


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda m, x: measured(m, x, evaluate=False), "in train mode while it is measured"),
        (lambda m, x: measured(m, x, restore=False), "is left in eval mode: restore the mode"),
        (lambda m, x: (measured(m, x), m.train())[0], "came in eval mode and is left in train mode"),
        (left_in_eval, "is left in eval mode: restore the mode"),
        (one_random_angle, "one of each image: all four of each are measured"),
        (first_half_only, "The model saw 24 of the 44 rotations."),
        (lambda m, x: measured(m, x, truth=lambda x: -rotate_batch(x)[1] % 4), "labels count clockwise"),
        (lambda m, x: measured(m, x, truth=lambda x: rotate_batch_adjacent(x)[1]), "in another order than the images"),
        (
            lambda m, x: measured(m, x, rotate=rotate_batch_adjacent, truth=lambda x: rotate_batch(x)[1]),
            "in another order than the images",
        ),
        (
            lambda m, x: measured(m, x, finish=lambda r, y, p: (r.mean().item(), per_angle(r, p))),
            "sorted by prediction",
        ),
        (
            lambda m, x: measured(m, x, finish=lambda r, y, p: (r.mean().item(), per_angle(r, y) / 4)),
            "divided by all 4N rotations",
        ),
        (
            lambda m, x: measured(m, x, finish=lambda r, y, p: (r.mean().item(), per_angle(r, y) * len(x))),
            "correct answers per angle are counted",
        ),
        (
            lambda m, x: measured(m, x, finish=lambda r, y, p: (r.mean().item(), 100 * per_angle(r, y))),
            "accuracies per angle are in per cent",
        ),
        (
            lambda m, x: measured(m, x, finish=lambda r, y, p: (100 * r.mean().item(), 100 * per_angle(r, y))),
            "accuracies are in per cent",
        ),
        (
            lambda m, x: measured(m, x, finish=lambda r, y, p: (r.sum().item(), per_angle(r, y))),
            "correct answers are counted",
        ),
        (
            lambda m, x: measured(m, x, finish=lambda r, y, p: (r.sum().item() / len(x), per_angle(r, y))),
            "divided by the number of images",
        ),
        (
            lambda m, x: measured(m, x, finish=lambda r, y, p: (r.mean().item(), per_angle(r, y).flip(0))),
            "angles are in another order",
        ),
        (lambda m, x: measured(m, x, finish=lambda r, y, p: r.mean().item()), "should return two things"),
        (lambda m, x: measured(m, x, finish=lambda r, y, p: (r.mean().item(), r.mean())), "per_angle is a tensor"),
        (lambda m, x: measured(m, x, finish=lambda r, y, p: (r, per_angle(r, y))), "it should be a scalar"),
        (lambda m, x: measured(m, x, finish=lambda r, y, p: (1 - r.mean().item(), per_angle(r, y))), "it should be"),
        (lambda m, x: measured(m, x, rotate=lambda x: rotate_batch(x - 0.5)), "something else"),
        (lambda m, x: (0.5, torch.full((4,), 0.5)), "The model was never called"),
    ],
)
def test_wrong_rotation_accuracy(wrong, words):
    assert_wrong(check.rotation_accuracy, wrong, words)


def test_a_scalar_tensor_is_accepted():
    assert_right(check.rotation_accuracy, of_the_batch)


# --- rotation_sensitivity


def rotation_sensitivity(encoder, images):
    mode = encoder.training
    encoder.eval()
    with torch.no_grad():
        h = [encoder(images.rot90(k, dims=(2, 3))) for k in range(4)]
    encoder.train(mode)
    return sum((1 - F.cosine_similarity(h[0], other)).mean().item() for other in h[1:]) / 3


def rotation_sensitivity_by_rotate_batch(encoder, images):
    mode = encoder.training
    with torch.no_grad():
        h = F.normalize(encoder.eval()(rotate_batch_adjacent(images)[0]), dim=1).unflatten(0, (-1, 4))
    encoder.train(mode)
    return 1 - torch.einsum("nd,nkd->nk", h[:, 0], h[:, 1:]).mean()


def rotation_sensitivity_image_by_image(encoder, images):
    mode, total = encoder.training, 0.0
    encoder.eval()
    for image in images:
        for k in (-1, 1, 2):
            with torch.no_grad():
                a, b = encoder(torch.stack([image, image.rot90(k, (1, 2))]))
            total += 1 - float(a @ b / a.norm() / b.norm())
    encoder.train(mode)
    return total / 3 / len(images)


@pytest.mark.parametrize(
    "right",
    [rotation_sensitivity, rotation_sensitivity_by_rotate_batch, rotation_sensitivity_image_by_image],
)
def test_right_rotation_sensitivity(right, seeds):
    assert_right(check.rotation_sensitivity, right)


def features(encoder, images, evaluate=True, restore=True):
    mode = encoder.training
    if evaluate:
        encoder.eval()
    with torch.no_grad():
        h = [encoder(images.rot90(k, dims=(2, 3))) for k in range(4)]
    if restore:
        encoder.train(mode)
    return h


def mean_distance(h, others, distance=lambda a, b: 1 - F.cosine_similarity(a, b)):
    return torch.stack([distance(h[0], h[k]).mean() for k in others]).mean().item()


def with_a_graph(encoder, images):
    mode = encoder.training
    encoder.eval()
    h = [encoder(images.rot90(k, dims=(2, 3))) for k in range(4)]
    encoder.train(mode)
    return torch.stack([1 - F.cosine_similarity(h[0], other) for other in h[1:]]).mean()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda f, x: 1 - rotation_sensitivity(f, x), "the similarity is returned"),
        (lambda f, x: mean_distance(features(f, x), (0, 1, 2, 3)), "counted as a fourth rotation"),
        (lambda f, x: mean_distance(features(f, x), (1,)), "not all three rotations count"),
        (lambda f, x: mean_distance(features(f, x), (2,)), "not all three rotations count"),
        (lambda f, x: mean_distance(features(f, x, evaluate=False), (1, 2, 3)), "in train mode while it is measured"),
        (lambda f, x: mean_distance(features(f, x, restore=False), (1, 2, 3)), "restore the mode"),
        (
            lambda f, x: mean_distance(features(f, x), (1, 2, 3), lambda a, b: 1 - (a * b).sum(1)),
            "features are not normalised",
        ),
        (lambda f, x: mean_distance(features(f, x), (1, 2, 3), F.pairwise_distance), "it is a Euclidean distance"),
        (lambda f, x: mean_distance(features(f, x), (1, 2, 3), F.mse_loss), "it is a Euclidean distance"),
        (lambda f, x: 3 * rotation_sensitivity(f, x), "the distances are summed"),
        (
            lambda f, x: mean_distance([h.mean(0, keepdim=True) for h in features(f, x)], (1, 2, 3)),
            "averaged over the images first",
        ),
        (with_a_graph, "a tensor with its graph"),
        (lambda f, x: torch.tensor([rotation_sensitivity(f, x)] * 3), "it should be a scalar"),
        (lambda f, x: rotation_sensitivity(f, x) ** 2, "For every image: 1 - cos"),
        (lambda f, x: math.acos(1 - rotation_sensitivity(f, x)), "it should be"),
    ],
)
def test_wrong_rotation_sensitivity(wrong, words):
    assert_wrong(check.rotation_sensitivity, wrong, words)


# --- jigsaw_batch


def jigsaw_batch(images, permutations, generator=None):
    n, c, size, _ = images.shape
    grid = math.isqrt(permutations.shape[1])
    labels = torch.randint(len(permutations), (n,), generator=generator)
    tiles = images.view(n, c, grid, size // grid, grid, size // grid).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    tiles = tiles[torch.arange(n)[:, None], permutations[labels]]
    tiles = tiles.unflatten(1, (grid, grid)).permute(0, 3, 1, 4, 2, 5)
    return tiles.reshape(images.shape), labels


def jigsaw_batch_in_a_loop(images, permutations, generator=None):
    grid = math.isqrt(permutations.shape[1])
    side = images.shape[2] // grid
    labels = torch.rand(len(images), len(permutations), generator=generator).argmax(dim=1)
    shuffled = torch.zeros_like(images)
    for n, label in enumerate(labels):
        for place, tile in enumerate(permutations[label].tolist()):
            r, c, i, j = place // grid * side, place % grid * side, tile // grid * side, tile % grid * side
            shuffled[n, :, r : r + side, c : c + side] = images[n, :, i : i + side, j : j + side]
    return shuffled, labels


def jigsaw_batch_by_unfold(images, permutations, generator=None):
    grid = math.isqrt(permutations.shape[1])
    side = images.shape[2] // grid
    labels = torch.randint(len(permutations), (len(images),), generator=generator)
    columns = F.unfold(images, side, stride=side)
    order = permutations[labels][:, None].expand(-1, columns.shape[1], -1)
    return F.fold(columns.gather(2, order), images.shape[2:], side, stride=side), labels


@pytest.mark.parametrize("right", [jigsaw_batch, jigsaw_batch_in_a_loop, jigsaw_batch_by_unfold])
def test_right_jigsaw_batch(right, seeds):
    assert_right(check.jigsaw_batch, right)


def one_permutation(images, permutations, generator=None):
    label = int(torch.randint(len(permutations), (), generator=generator))
    shuffled, _ = jigsaw_batch(images, permutations[label : label + 1], generator)
    return shuffled, torch.full((len(images),), label)


def put_instead_of_taken(images, permutations, generator=None):
    return jigsaw_batch(images, permutations.argsort(dim=1), generator)


def counted_by_columns(images, permutations, generator=None):
    shuffled, labels = jigsaw_batch(images.mT, permutations, generator)
    return shuffled.mT, labels


def other_labels(images, permutations, generator=None):
    shuffled, labels = jigsaw_batch(images, permutations, generator)
    return shuffled, labels.flip(0)


def only_two(images, permutations, generator=None):
    return jigsaw_batch(images, permutations[:2], generator)


def scrambled(images, permutations, generator=None):
    shuffled, labels = jigsaw_batch(images, permutations, generator)
    return images.view(len(images), -1).roll(5, dims=1).view(images.shape), labels


def without_generator(images, permutations, generator=None):
    return jigsaw_batch(images, permutations)


def seeded(images, permutations, generator=None):
    return jigsaw_batch(images, permutations, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (one_permutation, "One permutation serves the whole batch"),
        (put_instead_of_taken, "tile t is put to place permutation[t]"),
        (counted_by_columns, "counted column by column"),
        (other_labels, "labels do not match the images"),
        (only_two, "Only 2 of 5 permutations occur"),
        (scrambled, "not shuffled by any of the permutations"),
        (without_generator, "generator is not used"),
        (seeded, "Every call gives the same permutations"),
        (lambda x, p, g=None: jigsaw_batch(x, p, g)[0], "should return two things"),
        (lambda x, p, g=None: (jigsaw_batch(x, p, g)[0], p), "labels is a tensor of shape (5, 4)"),
    ],
)
def test_wrong_jigsaw_batch(wrong, words):
    assert_wrong(check.jigsaw_batch, wrong, words)


# --- all of them


@pytest.mark.parametrize(
    "name", ["rotate_batch", "RotationNet", "rotation_accuracy", "rotation_sensitivity", "jigsaw_batch"]
)
def test_references_are_right(name, seeds):
    reference = sslcourse.solution("week02", name)
    if not isinstance(reference, type):
        assert_right(getattr(check, name), lambda *args, **kwargs: reference(*args, **kwargs))
    else:

        class Own(reference):
            def __init__(self, backbone):
                super().__init__(backbone)

        assert_right(getattr(check, name), Own)


def test_blanks_are_not_attempted():
    blank = """
        def rotation_accuracy(model, images):
            '''Overall and per angle.'''
            raise NotImplementedError()
    """
    assert verdict(check.rotation_accuracy, cell(blank, "rotation_accuracy"))[0] == "not attempted"
    assert verdict(check.rotate_batch, lambda images: None)[0] == "not attempted"


def test_the_reference_net_takes_every_backbone():
    net = sslcourse.solution("week02", "RotationNet")(models.backbone("conv4"))
    images = torch.rand(2, 3, 32, 32)
    assert net(images).shape == (2, 4) and net.features(images).shape == (2, 128)
    overall, angles = sslcourse.solution("week02", "rotation_accuracy")(net, images)
    assert 0 <= overall <= 1 and angles.shape == (4,) and net.training

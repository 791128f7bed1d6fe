"""The checks of week 4: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from lightly.loss import BarlowTwinsLoss, NTXentLoss, VICRegLoss
from pytorch_metric_learning.losses import NTXentLoss as MetricLearningNTXent
from scipy.spatial.distance import pdist
from torch import nn

from sslcourse import augment as library_augment
from sslcourse import evaluate, models
from sslcourse.check import week04 as check
from sslcourse.check.week04 import barlow_oracle, oracle, sphere_oracle, vicreg_oracle


def embeddings(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, d, generator=generator, dtype=torch.float64)


# --- the definitions against peer libraries


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_nt_xent_definition_equals_lightly_and_metric_learning(n, temperature):
    z0, z1 = embeddings(n, 5)
    mine = float(oracle.nt_xent(z0, z1, temperature))
    assert mine == pytest.approx(float(NTXentLoss(temperature)(z0, z1)), abs=1e-9)
    if n > 1:  # metric learning gives 0 where there is no negative, by convention
        labels = torch.arange(n).repeat(2)
        assert mine == pytest.approx(float(MetricLearningNTXent(temperature)(torch.cat([z0, z1]), labels)), abs=1e-9)


def test_nt_xent_definition_of_collapse():
    z = torch.ones(6, 3, dtype=torch.float64)
    assert float(oracle.nt_xent(z, z)) == pytest.approx(math.log(11), abs=1e-12)


def test_the_parametrised_definitions_are_right_without_a_mistake():
    z0, z1 = embeddings(6, 4)
    torch.testing.assert_close(oracle._nt_xent(z0, z1, 0.3), oracle.nt_xent(z0, z1, 0.3))
    torch.testing.assert_close(sphere_oracle._alignment(z0, z1), sphere_oracle.alignment(z0, z1))
    torch.testing.assert_close(sphere_oracle._uniformity(z0, 1.5), sphere_oracle.uniformity(z0, 1.5))


def test_alignment_and_uniformity_definitions_equal_scipy():
    z0, z1 = embeddings(8, 3)
    a, b = (z.numpy() / np.linalg.norm(z, axis=1, keepdims=True) for z in (z0, z1))
    assert float(sphere_oracle.alignment(z0, z1)) == pytest.approx(((a - b) ** 2).sum(1).mean(), abs=1e-12)
    uniformity = np.log(np.exp(-3 * pdist(a) ** 2).mean())
    assert float(sphere_oracle.uniformity(z0, 3.0)) == pytest.approx(uniformity, abs=1e-12)


def test_vicreg_and_barlow_twins_definitions_equal_lightly():
    z0, z1 = embeddings(9, 4)
    assert vicreg_oracle.vicreg(z0, z1, 3.0, 2.0, 0.7).item() == pytest.approx(
        VICRegLoss(3.0, 2.0, 0.7)(z0, z1).item(), abs=1e-9
    )
    # Batch norm adds 1e-5 to the variances, so the two agree for long vectors only.
    long0, long1 = 100 * z0, 100 * z1
    peer = BarlowTwinsLoss(0.02)(long0, long1).item()
    assert barlow_oracle.barlow_twins(long0, long1, 0.02).item() == pytest.approx(peer, abs=1e-6)


# --- nt_xent


def nt_xent(z0, z1, temperature=0.5):
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    similarity = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    return F.cross_entropy(similarity, torch.arange(len(z)).roll(len(z0)))


def nt_xent_by_blocks(z0, z1, temperature=0.5):
    a, b = z0 / z0.norm(dim=1, keepdim=True), z1 / z1.norm(dim=1, keepdim=True)
    n = len(a)
    mask = torch.eye(n, dtype=torch.bool)
    aa = (a @ a.T / temperature).masked_fill(mask, -1e9)
    bb = (b @ b.T / temperature).masked_fill(mask, -1e9)
    ab = a @ b.T / temperature
    rows = torch.cat([torch.cat([ab, aa], 1), torch.cat([ab.T, bb], 1)])
    return -rows.log_softmax(1)[torch.arange(2 * n), torch.arange(n).repeat(2)].mean()


def nt_xent_with_exponentials(z0, z1, temperature=0.5):
    z = torch.cat([z0, z1])
    cosine = F.cosine_similarity(z[:, None], z[None], dim=2)
    e = torch.exp(cosine / temperature)
    denominator = e.sum(1) - e.diag()
    positive = torch.cat([e.diag(len(z0)), e.diag(-len(z0))])
    return -(positive / denominator).log().mean()


def nt_xent_in_a_loop(z0, z1, temperature=0.5):
    z = [v / v.norm() for v in (*z0, *z1)]
    n, total = len(z0), 0
    for i in range(2 * n):
        others = torch.stack([z[i] @ z[j] for j in range(2 * n) if j != i]) / temperature
        total = total - z[i] @ z[(i + n) % (2 * n)] / temperature + others.logsumexp(0)
    return total / (2 * n)


def nt_xent_interleaved(z0, z1, temperature=0.5):
    z = F.normalize(torch.stack([z0, z1], 1).flatten(0, 1), dim=1)
    similarity = z @ z.T / temperature - 1e9 * torch.eye(len(z))
    return F.cross_entropy(similarity, torch.arange(len(z)) ^ 1)


def nt_xent_without_the_diagonal(z0, z1, temperature=0.5):
    z, n = F.normalize(torch.cat([z0, z1])), len(z0)
    similarity = (z @ z.T)[~torch.eye(2 * n, dtype=torch.bool)].view(2 * n, 2 * n - 1) / temperature
    return F.cross_entropy(similarity, torch.cat([torch.arange(n) + n - 1, torch.arange(n)]))


def nt_xent_in_double(z0, z1, temperature=0.5):
    return nt_xent(z0.double(), z1.double(), temperature)


def nt_xent_of_lightly(z0, z1, temperature=0.5):
    return NTXentLoss(temperature)(z0, z1)


@pytest.mark.parametrize(
    "right",
    [
        nt_xent,
        nt_xent_by_blocks,
        nt_xent_with_exponentials,
        nt_xent_in_a_loop,
        nt_xent_interleaved,
        nt_xent_without_the_diagonal,
        nt_xent_in_double,
        nt_xent_of_lightly,
    ],
)
def test_right_nt_xent(right, seeds):
    assert_right(check.nt_xent, right)


def _similarity(z0, z1, temperature):
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    return (z @ z.T / temperature).fill_diagonal_(float("-inf"))


def not_normalised(z0, z1, temperature=0.5):
    z = torch.cat([z0, z1])
    return F.cross_entropy((z @ z.T / temperature).fill_diagonal_(float("-inf")), torch.arange(len(z)).roll(len(z0)))


def normalised_over_the_batch(z0, z1, temperature=0.5):
    z = F.normalize(torch.cat([z0, z1]), dim=0)
    return F.cross_entropy((z @ z.T / temperature).fill_diagonal_(float("-inf")), torch.arange(len(z)).roll(len(z0)))


def self_similarity(z0, z1, temperature=0.5):
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    return F.cross_entropy(z @ z.T / temperature, torch.arange(len(z)).roll(len(z0)))


def off_by_one(z0, z1, temperature=0.5):
    return F.cross_entropy(_similarity(z0, z1, temperature), (torch.arange(2 * len(z0)) + len(z0) + 1) % (2 * len(z0)))


def off_by_one_below(z0, z1, temperature=0.5):
    return F.cross_entropy(_similarity(z0, z1, temperature), torch.arange(2 * len(z0)).roll(len(z0) + 1))


def off_by_one_where_the_diagonal_is_cut(z0, z1, temperature=0.5):
    z, n = F.normalize(torch.cat([z0, z1])), len(z0)
    similarity = (z @ z.T)[~torch.eye(2 * n, dtype=torch.bool)].view(2 * n, 2 * n - 1) / temperature
    return F.cross_entropy(similarity, (torch.arange(2 * n) + n) % (2 * n - 1))


def neighbours(z0, z1, temperature=0.5):
    return F.cross_entropy(_similarity(z0, z1, temperature), torch.arange(2 * len(z0)) ^ 1)


def one_anchor_view(z0, z1, temperature=0.5):
    n = len(z0)
    return F.cross_entropy(_similarity(z0, z1, temperature)[:n], torch.arange(n, 2 * n))


def one_anchor_view_against_the_other(z0, z1, temperature=0.5):
    logits = F.normalize(z0) @ F.normalize(z1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(z0)))


def as_clip(z0, z1, temperature=0.5):
    logits = F.normalize(z0) @ F.normalize(z1).T / temperature
    target = torch.arange(len(z0))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def negatives_of_the_own_view(z0, z1, temperature=0.5):
    a, b = F.normalize(z0), F.normalize(z1)
    positive = (a * b).sum(1) / temperature
    loss = 0
    for own in (a, b):
        negatives = (own @ own.T / temperature).fill_diagonal_(float("-inf"))
        loss = loss + (torch.cat([positive[:, None], negatives], 1).logsumexp(1) - positive).mean() / 2
    return loss


def without_the_positive(z0, z1, temperature=0.5):
    similarity, n = _similarity(z0, z1, temperature), len(z0)
    target = torch.arange(2 * n).roll(n)
    positive = similarity[torch.arange(2 * n), target]
    if n == 1:
        return positive.sum() * 0
    return (similarity.scatter(1, target[:, None], float("-inf")).logsumexp(1) - positive).mean()


def summed(z0, z1, temperature=0.5):
    target = torch.arange(2 * len(z0)).roll(len(z0))
    return F.cross_entropy(_similarity(z0, z1, temperature), target, reduction="sum")


def two_means_added(z0, z1, temperature=0.5):
    similarity, n = _similarity(z0, z1, temperature), len(z0)
    return F.cross_entropy(similarity[:n], torch.arange(n) + n) + F.cross_entropy(similarity[n:], torch.arange(n))


def halved(z0, z1, temperature=0.5):
    return nt_xent(z0, z1, temperature) / 2


def temperature_multiplied(z0, z1, temperature=0.5):
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    similarity = (z @ z.T * temperature).fill_diagonal_(float("-inf"))
    return F.cross_entropy(similarity, torch.arange(len(z)).roll(len(z0)))


def temperature_forgotten(z0, z1, temperature=0.5):
    return nt_xent(z0, z1, 1.0)


def negative(z0, z1, temperature=0.5):
    return -nt_xent(z0, z1, temperature)


def detached(z0, z1, temperature=0.5):
    return nt_xent(z0.detach(), z1.detach(), temperature)


def a_number(z0, z1, temperature=0.5):
    return nt_xent(z0, z1, temperature).item()


def one_view_detached(z0, z1, temperature=0.5):
    return nt_xent(z0, z1.detach(), temperature)


def negatives_detached(z0, z1, temperature=0.5):
    similarity, n = _similarity(z0, z1, temperature), len(z0)
    target = torch.arange(2 * n).roll(n)
    positive = similarity[torch.arange(2 * n), target]
    return (similarity.detach().logsumexp(1) - positive).mean()


def other_default(z0, z1, temperature=0.1):
    return nt_xent(z0, z1, temperature)


def no_mean(z0, z1, temperature=0.5):
    return F.cross_entropy(_similarity(z0, z1, temperature), torch.arange(2 * len(z0)).roll(len(z0)), reduction="none")


def in_place(z0, z1, temperature=0.5):
    with torch.no_grad():
        z0 /= z0.norm(dim=1, keepdim=True)
    return nt_xent(z0, z1, temperature)


def shifted(z0, z1, temperature=0.5):
    return nt_xent(z0, z1, temperature) + 0.1


def answers(target, masked=-torch.inf):
    """Right but for the answers, which target tells from N."""

    def loss(z0, z1, temperature=0.5):
        z = F.normalize(torch.cat([z0, z1]), dim=1)
        similarity = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), masked)
        return F.cross_entropy(similarity, target(len(z0)))

    return loss


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (not_normalised, "embeddings are not normalised"),
        (normalised_over_the_batch, "normalisation runs over the batch"),
        (self_similarity, "similarity of a view with itself is still in the denominator"),
        (off_by_one, "positives are off by one"),
        (off_by_one_below, "positives are off by one"),
        (off_by_one_where_the_diagonal_is_cut, "positives are off by one"),
        (neighbours, "neighbouring rows"),
        (one_anchor_view, "only one view's embeddings are anchors: the mean"),
        (one_anchor_view_against_the_other, "only one view's embeddings are anchors, and the negatives"),
        (as_clip, "one view's negatives are missing"),
        (negatives_of_the_own_view, "one view's negatives are missing"),
        (without_the_positive, "positive is missing from the denominator"),
        (summed, "the losses are summed"),
        (two_means_added, "the losses are summed"),
        (halved, "halved once too often"),
        (temperature_multiplied, "multiplied by the temperature"),
        (temperature_forgotten, "argument temperature is not used"),
        (negative, "the sign is wrong"),
        (detached, "carries no gradient"),
        (a_number, "carries no gradient"),
        (one_view_detached, "no gradient reaches z1"),
        (negatives_detached, "a part of it is detached"),
        (other_default, "The default is 0.5"),
        (no_mean, "returns a tensor of shape (16,), it should be a scalar"),
        (in_place, "changes its argument z0 in place"),
        (answers(lambda n: torch.arange(2 * n)), "an entry that is masked"),
        (answers(lambda n: torch.arange(n).repeat(2)), "an entry that is masked"),
        (answers(lambda n: torch.arange(n).repeat(2), -1e9), "an entry that is masked"),
        (
            answers(
                lambda n: torch.cat([torch.arange(n, 2 * n - 1).add(1), torch.tensor([2 * n - 1]), torch.arange(n)])
            ),
            "off by one",
        ),
        (shifted, "Try that case by hand: with these three pairs each row has five candidates"),
    ],
    ids=lambda x: x.__name__ if callable(x) else "",
)
def test_wrong_nt_xent(wrong, words):
    assert_wrong(check.nt_xent, wrong, words)


# --- two_views


def two_views(images, augment):
    return augment(images), augment(images)


def two_views_in_one_call(images, augment):
    view0, view1 = augment(torch.cat([images, images])).chunk(2)
    return view0, view1


def two_views_image_by_image(images, augment):
    pairs = [(augment(image[None]), augment(image[None])) for image in images]
    return [torch.cat(views) for views in zip(*pairs, strict=True)]


RIGHT_TWO_VIEWS = [two_views, two_views_in_one_call, two_views_image_by_image, library_augment.two_views]


@pytest.mark.parametrize("right", RIGHT_TWO_VIEWS)
def test_right_two_views(right, seeds):
    assert_right(check.two_views, right)


def one_seed_for_all(images, augment):
    def view(seed):
        rows = []
        for image in images:
            torch.manual_seed(seed)
            rows.append(augment(image[None]))
        return torch.cat(rows)

    return view(int(torch.randint(1000, ()))), view(int(torch.randint(1000, ())) + 1000)


def one_change_for_all(images, augment):
    changes = [augment(images[:1]) - images[:1] for _ in range(2)]
    return images + changes[0], images + changes[1]


def seeded(images, augment):
    torch.manual_seed(0)
    return augment(images), augment(images)


def copied(images, augment):
    view = augment(images)
    return view, view.clone()


def same_seed_twice(images, augment):
    views = []
    for _ in range(2):
        torch.manual_seed(3)
        views.append(augment(images))
    return tuple(views)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (copied, "both views are the same"),
        (same_seed_twice, "both views are the same"),
        (one_seed_for_all, "one draw serves the whole batch"),
        (one_change_for_all, "one draw serves the whole batch"),
        (seeded, "do not seed"),
        (lambda images, augment: (images, augment(images)), "view0 is the images themselves"),
        (lambda images, augment: (augment(images), images), "view1 is the images themselves"),
        (lambda images, augment: (lambda v: (v, augment(v)))(augment(images)), "something else than the images"),
        (lambda images, augment: (augment(images), augment(images.flip(0))), "Row 0 of view1 is a view of image 5"),
        (lambda images, augment: torch.cat([augment(images), augment(images)]), "should return two views"),
        (lambda images, augment: augment(images), "should return two views"),
        (lambda images, augment: (augment(images), augment(images).mean(1)), "view1 is a tensor of shape (6, 8, 8)"),
        (lambda images, augment: (augment(images) ** 2, augment(images)), "not what `augment` makes"),
        (lambda images, augment: tuple(map(augment, (images[0], images[0]))), "ValueError: augment takes a batch"),
    ],
)
def test_wrong_two_views(wrong, words):
    assert_wrong(check.two_views, wrong, words)


# --- projection_head


class Head(nn.Module):
    def __init__(self, in_dim, hidden_dim, out_dim):
        super().__init__()
        self.first, self.norm = nn.Linear(in_dim, hidden_dim, bias=False), nn.BatchNorm1d(hidden_dim)
        self.second = nn.Linear(hidden_dim, out_dim)

    def forward(self, h):
        return self.second(F.gelu(self.norm(self.first(h))))


def test_projection_head():
    tanh = lambda i, h, o: nn.Sequential(nn.Linear(i, h), nn.Tanh(), nn.Linear(h, o))  # noqa: E731
    for right in (models.projection_head, Head, tanh):
        assert_right(check.projection_head, right)
    affine = lambda i, h, o: nn.Sequential(nn.Linear(i, h), nn.Linear(h, o))  # noqa: E731
    assert_wrong(check.projection_head, affine, "put a ReLU between")
    assert_wrong(check.projection_head, lambda i, h, o: nn.Linear(i, o), "its linear layers are [(12, 5)]")
    assert_wrong(check.projection_head, lambda i, h, o: lambda x: x, "should be an nn.Module")


# --- train_step


def train_step(backbone, head, images, augment, temperature):
    view0, view1 = two_views(images, augment)
    z0, z1 = head(backbone(torch.cat([view0, view1]))).chunk(2)
    return nt_xent(z0, z1, temperature)


def train_step_in_two_passes(backbone, head, images, augment, temperature):
    view0, view1 = two_views_in_one_call(images, augment)
    return nt_xent_by_blocks(head(backbone(view0)), head(backbone(view1)), temperature)


def train_step_interleaved(backbone, head, images, augment, temperature):
    views = torch.stack(two_views(images, augment), 1).flatten(0, 1)
    z = head(backbone(views))
    return nt_xent_in_a_loop(z[0::2], z[1::2], temperature)


@pytest.mark.parametrize("right", [train_step, train_step_in_two_passes, train_step_interleaved])
def test_right_train_step(right, seeds):
    assert_right(check.train_step, right)


def calls_backward(backbone, head, images, augment, temperature):
    loss = train_step(backbone, head, images, augment, temperature)
    loss.backward()
    return loss


def steps(backbone, head, images, augment, temperature):
    optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=0.1)
    loss = train_step(backbone, head, images, augment, temperature)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def in_eval_mode(backbone, head, images, augment, temperature):
    backbone.eval()
    return train_step(backbone, head, images, augment, temperature)


def without_gradients(backbone, head, images, augment, temperature):
    with torch.no_grad():
        return train_step(backbone, head, images, augment, temperature)


def features_detached(backbone, head, images, augment, temperature):
    view0, view1 = two_views(images, augment)
    return nt_xent(head(backbone(view0).detach()), head(backbone(view1).detach()), temperature)


def second_view_detached(backbone, head, images, augment, temperature):
    view0, view1 = two_views(images, augment)
    return nt_xent(head(backbone(view0)), head(backbone(view1)).detach(), temperature)


def same_view_twice(backbone, head, images, augment, temperature):
    view = augment(images)
    return nt_xent(head(backbone(view)), head(backbone(view)), temperature)


def one_view_raw(backbone, head, images, augment, temperature):
    return nt_xent(head(backbone(images)), head(backbone(augment(images))), temperature)


def mixed_pairs(backbone, head, images, augment, temperature):
    view0, view1 = two_views(images, augment)
    return nt_xent(head(backbone(view0)), head(backbone(view1)).flip(0), temperature)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (calls_backward, "calls backward"),
        (steps, "changes the weights of the backbone"),
        (in_eval_mode, "puts the backbone into eval mode"),
        (without_gradients, "carries no graph"),
        (lambda *a: train_step(*a).item(), "carries no graph"),
        (features_detached, "no gradient reaches the backbone"),
        (second_view_detached, "one view is detached"),
        (same_view_twice, "both views are the same"),
        (one_view_raw, "saw the images themselves"),
        (mixed_pairs, "do not belong together"),
        (lambda b, h, x, a, t: nt_xent(b(a(x)), b(a(x)), t), "the head is left out"),
        (lambda b, h, x, a, t: nt_xent(h(b(a(x))), h(b(a(x)))), "temperature is not passed on"),
        (lambda b, h, x, a, t: nt_xent(h(b(a(x[:3]))), h(b(a(x[:3]))), t), "saw 6 images for a batch of 5"),
        (lambda b, h, x, a, t: None if train_step(b, h, x, a, t) else 0, "returns None"),
    ],
)
def test_wrong_train_step(wrong, words):
    assert_wrong(check.train_step, wrong, words)


def test_train_step_says_when_another_exercise_is_blank():
    def nt_xent(z0, z1, temperature):
        raise NotImplementedError()

    def train_step(backbone, head, images, augment, temperature):
        return nt_xent(head(backbone(augment(images))), head(backbone(augment(images))), temperature)

    assert_wrong(check.train_step, train_step, "nt_xent is not written yet")


# --- alignment and uniformity


def alignment(z0, z1):
    return (F.normalize(z0) - F.normalize(z1)).square().sum(1).mean()


@pytest.mark.parametrize(
    "right",
    [
        alignment,
        lambda z0, z1: 2 - 2 * F.cosine_similarity(z0, z1).mean(),
        lambda z0, z1: float((z0 / z0.norm(dim=1)[:, None] - z1 / z1.norm(dim=1)[:, None]).norm(dim=1).pow(2).mean()),
        evaluate.alignment,
    ],
)
def test_right_alignment(right, seeds):
    assert_right(check.alignment, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: (a - b).square().sum(1).mean(), "not normalised"),
        (lambda a, b: (a / a.norm(dim=0) - b / b.norm(dim=0)).square().sum(1).mean(), "runs over the batch"),
        (lambda a, b: (F.normalize(a) - F.normalize(b)).norm(dim=1).mean(), "not squared"),
        (lambda a, b: F.mse_loss(F.normalize(a), F.normalize(b)), "runs over the D features too"),
        (lambda a, b: (F.normalize(a) - F.normalize(b)).square().sum(), "the pairs are summed"),
        (lambda a, b: F.cosine_similarity(a, b).mean(), "cosine stands where"),
        (lambda a, b: alignment(a, b.flip(0)), "do not belong together"),
        (lambda a, b: (F.normalize(a) - F.normalize(b)).square().sum(1), "should be a scalar"),
        (lambda a, b: print(), "returns None"),
    ],
)
def test_wrong_alignment(wrong, words):
    assert_wrong(check.alignment, wrong, words)


def uniformity(z, t=2.0):
    return torch.pdist(F.normalize(z)).square().mul(-t).exp().mean().log()


def uniformity_of_all_ordered_pairs(z, t=2):
    z = F.normalize(z)
    squared = (z[:, None] - z[None]).square().sum(-1)
    return torch.exp(-t * squared[~torch.eye(len(z), dtype=torch.bool)]).mean().log()


def uniformity_of_similarities(z, t=2):
    z = z / z.norm(dim=1, keepdim=True)
    i, j = torch.triu_indices(len(z), len(z), 1)
    return (torch.logsumexp(-t * (2 - 2 * (z @ z.T)[i, j]), 0) - math.log(len(i))).item()


@pytest.mark.parametrize(
    "right", [uniformity, uniformity_of_all_ordered_pairs, uniformity_of_similarities, evaluate.uniformity]
)
def test_right_uniformity(right, seeds):
    assert_right(check.uniformity, right)


def with_self_pairs(z, t=2.0):
    z = F.normalize(z)
    return torch.cdist(z, z).square().mul(-t).exp().mean().log()


def with_the_diagonal_once(z, t=2.0):
    z = F.normalize(z)
    i, j = torch.triu_indices(len(z), len(z))
    return (z[i] - z[j]).square().sum(1).mul(-t).exp().mean().log()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (with_self_pairs, "self-pairs"),
        (with_the_diagonal_once, "self-pairs"),
        (lambda z, t=2: torch.pdist(z).square().mul(-t).exp().mean().log(), "not normalised"),
        (lambda z, t=2: torch.pdist(F.normalize(z, dim=0)).square().mul(-t).exp().mean().log(), "runs over the batch"),
        (lambda z, t=2: torch.pdist(F.normalize(z)).mul(-t).exp().mean().log(), "not squared"),
        (lambda z, t=2: uniformity(z, 2), "argument t is not used"),
        (lambda z, t=2: torch.pdist(F.normalize(z)).square().mul(t).exp().mean().log(), "sign in the exponent"),
        (lambda z, t=2: uniformity(z, t).exp(), "logarithm at the end is missing"),
        (lambda z, t=2: torch.pdist(F.normalize(z)).square().mul(-t).mean(), "swapped"),
        (lambda z, t=2: -uniformity(z, t), "the sign is wrong"),
        (
            lambda z, t=2: torch.pdist(F.normalize(z)).square().mul(-t).exp().sum().log(),
            "potentials are summed",
        ),
        (lambda z, t=1: uniformity(z, t), "The default is t = 2"),
        (lambda z, t=2: z.mean(1), "should be a scalar"),
    ],
)
def test_wrong_uniformity(wrong, words):
    assert_wrong(check.uniformity, wrong, words)


# --- mi_lower_bound, vicreg, barlow_twins


def test_mi_lower_bound():
    for right in (lambda loss, n: math.log(n) - loss, lambda loss, n: torch.log(torch.tensor(float(n))) - loss):
        assert_right(check.mi_lower_bound, right)
    for wrong, words in (
        (lambda loss, n: math.log2(n) - loss, "in nats"),
        (lambda loss, n: loss - math.log(n), "the sign is wrong"),
        (lambda loss, n: math.log(n - 1) - loss, "number of negatives"),
        (lambda loss, n: math.log(n) + loss, "subtract it"),
        (lambda loss, n: max(0.0, math.log(n) - loss), "do not cut it off"),
        (lambda loss, n: n - loss, "it should be"),
    ):
        assert_wrong(check.mi_lower_bound, wrong, words)


def vicreg(z0, z1, invariance=25.0, variance=25.0, covariance=1.0):
    def spread(z):
        return F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()

    def correlated(z):
        c = torch.cov(z.T)
        return (c - c.diag().diag()).square().sum() / z.shape[1]

    terms = F.mse_loss(z0, z1), (spread(z0) + spread(z1)) / 2, correlated(z0) + correlated(z1)
    return invariance * terms[0] + variance * terms[1] + covariance * terms[2]


def vicreg_of_the_paper(z0, z1, invariance=25.0, variance=25.0, covariance=1.0):
    apart = (z0 - z1).square().sum(1).mean()
    return invariance * apart + 2 * vicreg(z0, z1, 0, variance, 0) + vicreg(z0, z1, 0, 0, covariance)


def vicreg_of_lightly(z0, z1, invariance=25.0, variance=25.0, covariance=1.0):
    return VICRegLoss(invariance, variance, covariance)(z0, z1)


def vicreg_with_diagonal(z0, z1, invariance=25.0, variance=25.0, covariance=1.0):
    full = sum(torch.cov(z.T).square().sum() / z.shape[1] for z in (z0, z1))
    return vicreg(z0, z1, invariance, variance, 0) + covariance * full


def vicreg_of_variances(z0, z1, invariance=25.0, variance=25.0, covariance=1.0):
    hinge = sum(F.relu(1 - z.var(0)).mean() for z in (z0, z1)) / 2
    return vicreg(z0, z1, invariance, 0, covariance) + variance * hinge


def test_vicreg():
    for right in (vicreg, vicreg_of_the_paper, vicreg_of_lightly):
        assert_right(check.vicreg, right)
    for wrong in (
        vicreg_with_diagonal,
        vicreg_of_variances,
        lambda z0, z1, i=25, v=25, c=1: vicreg(z0, z1, i, v, 2 * c),
    ):
        assert_wrong(check.vicreg, wrong, "for invariance, variance and covariance")
    assert_wrong(check.vicreg, lambda *a: vicreg(*a).detach(), "carries no gradient")


def barlow_twins(z0, z1, lambda_=5e-3):
    a, b = ((z - z.mean(0)) / z.std(0) for z in (z0, z1))
    c = a.T @ b / len(z0)
    on = c.diag()
    return (on - 1).square().sum() + lambda_ * (c.square().sum() - on.square().sum())


def barlow_twins_of_lightly(z0, z1, lambda_=5e-3):
    return BarlowTwinsLoss(lambda_)(z0, z1)


def barlow_twins_without_centring(z0, z1, lambda_=5e-3):
    c = (z0 / z0.std(0)).T @ (z1 / z1.std(0)) / len(z0)
    return (c.diag() - 1).square().sum() + lambda_ * (c - c.diag().diag()).square().sum()


def barlow_twins_of_samples(z0, z1, lambda_=5e-3):
    return barlow_twins(z0.T, z1.T, lambda_)


def test_barlow_twins():
    for right in (barlow_twins, barlow_twins_of_lightly):
        assert_right(check.barlow_twins, right)
    fixed = lambda z0, z1, lambda_=5e-3: barlow_twins(z0, z1, 0.01)  # noqa: E731
    for wrong in (barlow_twins_without_centring, barlow_twins_of_samples, fixed):
        assert_wrong(check.barlow_twins, wrong, "it should be")
    assert_wrong(check.barlow_twins, lambda *a: barlow_twins(*a).detach(), "carries no gradient")

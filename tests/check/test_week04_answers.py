"""More answers to week 4, as people write them: unusual right ones are accepted, wrong ones told what they did.

Each wrong answer stands with words of the message that names its mistake.
"""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from torch import nn

from sslcourse.check import week04 as check

# --- nt_xent


def logits(z0, z1, t):
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    return z @ z.T / t


def partner(z0):
    return torch.arange(2 * len(z0)).roll(len(z0))


def masked(z0, z1, t):
    return logits(z0, z1, t).fill_diagonal_(-torch.inf)


def nt_xent(z0, z1, temperature=0.5):
    return F.cross_entropy(masked(z0, z1, temperature), partner(z0))


def row_losses(z0, z1, t):
    return F.cross_entropy(masked(z0, z1, t), partner(z0), reduction="none")


def supcon(z0, z1, temperature=0.5):
    """As the code of supervised contrastive learning: features (N, 2, D), masks, the maximum subtracted."""
    features = F.normalize(torch.stack([z0, z1], 1), dim=2)
    n = len(features)
    contrast = torch.cat(torch.unbind(features, dim=1))
    scores = contrast @ contrast.T / temperature
    scores = scores - scores.max(dim=1, keepdim=True).values.detach()
    others = 1 - torch.eye(2 * n)
    same = torch.eye(n).repeat(2, 2) * others
    log_prob = scores - torch.log((torch.exp(scores) * others).sum(1, keepdim=True))
    return -((same * log_prob).sum(1) / same.sum(1)).view(2, n).mean()


def einsum(z0, z1, temperature=0.5):
    a, b = (torch.einsum("nd,n->nd", z, torch.einsum("nd,nd->n", z, z).rsqrt()) for z in (z0, z1))
    z = torch.stack([a, b])
    scores = torch.einsum("vnd,wmd->vnwm", z, z) / temperature
    n = len(z0)
    scores = scores - torch.diag_embed(torch.full((2 * n,), torch.inf)).view(2, n, 2, n)
    positive = torch.einsum("vnd,vnd->vn", z, z.flip(0)) / temperature
    return (scores.flatten(2).logsumexp(2) - positive).mean()


class Criterion(nn.Module):
    class Scores(nn.Module):
        def forward(self, z0, z1, t):
            return logits(z0, z1, t)

    def __init__(self):
        super().__init__()
        self.scores = self.Scores()

    def forward(self, z0, z1, temperature=0.5):
        scores = self.scores(z0, z1, temperature)
        n = len(z0)
        negatives = scores[~(torch.eye(2 * n, dtype=torch.bool) | torch.eye(2 * n).roll(n, 0).bool())].view(2 * n, -1)
        positives = torch.cat([scores.diagonal(n), scores.diagonal(-n)])[:, None]
        return F.cross_entropy(torch.cat([positives, negatives], 1), torch.zeros(2 * n, dtype=torch.long))


@torch.jit.script
def scripted(z0: torch.Tensor, z1: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    z = torch.nn.functional.normalize(torch.cat([z0, z1]), dim=1)
    s = torch.mm(z, z.t()) / temperature
    s = s - 1e9 * torch.eye(len(z))
    return torch.nn.functional.cross_entropy(s, torch.arange(len(z)).roll(len(z0)))


def soft_targets(z0, z1, temperature=0.5):
    target = torch.eye(2 * len(z0))[partner(z0)]
    s = logits(z0.double(), z1.double(), temperature) - 1e4 * torch.eye(2 * len(z0))
    return -(target * F.log_softmax(s, 1)).sum(1).mean().float()


def two_halves(z0, z1, temperature=0.5):
    s, n = masked(z0, z1, temperature), len(z0)
    return 0.5 * (F.cross_entropy(s[:n], torch.arange(n) + n) + F.cross_entropy(s[n:], torch.arange(n)))


def by_distances(z0, z1, temperature=0.5):
    z = F.normalize(torch.cat([z0, z1]))
    s = (1 - 0.5 * (z[:, None] - z[None]).square().sum(2)) / temperature
    return F.nll_loss(s.masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf).log_softmax(1), partner(z0))


def with_default_of(function, temperature, z0, z1):
    return function(z0, z1, temperature)


@pytest.mark.parametrize(
    "right",
    [
        supcon,
        einsum,
        Criterion(),
        scripted,
        soft_targets,
        two_halves,
        by_distances,
        functools.partial(nt_xent),
        lambda z0, z1, temperature=0.5: row_losses(z1, z0, temperature).mean(),
    ],
)
def test_right_nt_xent(right, seeds):
    assert_right(check.nt_xent, right)


def exponentials_as_they_are(z0, z1, temperature=0.5):
    z = torch.cat([z0, z1])
    e = torch.exp(z @ z.T / temperature) * (1 - torch.eye(len(z)))
    return -(e[torch.arange(len(z)), partner(z0)] / e.sum(1)).log().mean()


def zero_diagonal(z0, z1, t=0.5):
    return F.cross_entropy(logits(z0, z1, t) * (1 - torch.eye(2 * len(z0))), partner(z0))


def clamped(z0, z1, t=0.5):
    return F.cross_entropy((logits(z0, z1, 1).clamp(0) / t).fill_diagonal_(-torch.inf), partner(z0))


def positive_and_all(z0, z1, t=0.5):
    s = masked(z0, z1, t)
    positive = s[torch.arange(len(s)), partner(z0)][:, None]
    return F.cross_entropy(torch.cat([positive, s], 1), torch.zeros(len(s), dtype=torch.long))


def euclidean(z0, z1, t=0.5):
    z = F.normalize(torch.cat([z0, z1]))
    return F.cross_entropy((-(z[:, None] - z).square().sum(2) / t).fill_diagonal_(-torch.inf), partner(z0))


def mean_of_candidates(z0, z1, t=0.5):
    s = masked(z0, z1, t)
    return -(s.exp()[torch.arange(len(s)), partner(z0)] / (s.exp().sum(1) / (len(s) - 1))).log().mean()


def only_positives(z0, z1, t=0.5):
    return -F.cosine_similarity(z0, z1).mean() / t


def own_target(z0, z1, t=0.5):
    return F.cross_entropy(logits(z0, z1, t), torch.arange(2 * len(z0)))


def of_other_lengths(normalise):
    def wrong(z0, z1, t=0.5):
        z = normalise(torch.cat([z0, z1]))
        return F.cross_entropy((z @ z.T / t).fill_diagonal_(-torch.inf), partner(z0))

    return wrong


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (exponentials_as_they_are, "embeddings are not normalised"),
        (exponentials_as_they_are, "it gives nan: exp overflows"),
        (lambda a, b, t=0.5: F.cross_entropy(masked(a, b, t).softmax(1), partner(a)), "softmax stands before"),
        (lambda a, b, t=0.5: -(-row_losses(a, b, t)).exp().mean().log(), "logarithm and the mean are swapped"),
        (lambda a, b, t=0.5: row_losses(a, b, t).exp().mean().log(), "logarithm and the mean are swapped"),
        (lambda a, b, t=0.5: -(-row_losses(a, b, t)).exp().mean(), "the logarithm is missing"),
        (lambda a, b, t=0.5: 1 - (-row_losses(a, b, t)).exp().mean(), "the logarithm is missing"),
        (clamped, "negative similarities are cut off"),
        (zero_diagonal, "exp(0) = 1"),
        (positive_and_all, "positive is twice"),
        (euclidean, "distances stand where"),
        (mean_of_candidates, "denominator is a mean"),
        (only_positives, "the negatives are left out"),
        (own_target, "taken for its own positive"),
        (of_other_lengths(lambda z: F.normalize(z, p=1)), "something else than their length"),
        (of_other_lengths(lambda z: z / (z**2).sum(1, keepdim=True)), "something else than their length"),
        (of_other_lengths(lambda z: z.softmax(1)), "something else than their length"),
        (lambda a, b, t=0.5: nt_xent(a, b, 1 / t), "multiplied by the temperature"),
        (lambda a, b, t=0.5: nt_xent(a, b, t * t), "divided by the temperature twice"),
        (lambda a, b, t=0.5: nt_xent(a, b, t**0.5), "root of the temperature"),
        (lambda a, b, t=0.5: nt_xent(a, b, 0.2), "argument temperature is not used"),
        (lambda a, b, t=0.5: nt_xent(a, b, t) * t, "temperature scales the loss"),
        (lambda a, b, t=0.5: nt_xent(a, b, 1) / t, "temperature scales the loss"),
        (lambda a, b, t=0.5: nt_xent(a, b, t) / math.log(2), "not the natural one"),
        (lambda a, b, t=0.5: nt_xent(a, b, t) / len(a), "divided by the number of embeddings once more"),
        (lambda a, b, t=0.5: F.cross_entropy(masked(a, b, t), partner(a), label_smoothing=0.1), "it should be"),
        (lambda a, b, t=0.5: nt_xent(a.round(decimals=1), b.round(decimals=1), t), "it should be"),
    ],
)
def test_wrong_nt_xent(wrong, words):
    assert_wrong(check.nt_xent, wrong, words)


# --- two_views


def two_views_in_double(images, augment):
    return tuple(augment(images.double()).float() for _ in range(2))


def two_views_backwards(images, augment):
    second = augment(images.flip(0)).flip(0)
    return torch.stack([augment(images.clone()), second])


@pytest.mark.parametrize(
    "right",
    [
        two_views_in_double,
        two_views_backwards,
        lambda images, augment: [augment(x) for x in (images, images)],
        lambda images, augment: augment(images.repeat(2, 1, 1, 1)).view(2, *images.shape),
        lambda images, augment: augment(images.repeat_interleave(2, 0)).view(-1, 2, *images.shape[1:]).unbind(1),
        functools.partial(lambda n, images, augment: tuple(map(augment, [images] * n)), 2),
    ],
)
def test_right_two_views(right, seeds):
    assert_right(check.two_views, right)


def from_the_start_again(images, augment):
    torch.manual_seed(torch.initial_seed())
    return augment(images), augment(images)


def reordered_draws(images, augment):
    changes = augment(images) - images
    return images + changes, images + changes.flip(0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (from_the_start_again, "do not seed"),
        (reordered_draws, "draws of view0 in another order"),
        (lambda images, augment: (images.flip(3), images.flip(2)), "`augment` is never called"),
        (lambda images, augment: (images + 0.1, images), "`augment` is never called"),
        (lambda i, augment: augment(i.repeat_interleave(2, 0)).chunk(2), "Row 1 of view0 is a view of image 0"),
        (lambda i, augment: (augment(i), augment(i.roll(1, 0))), "Row 0 of view1 is a view of image 5"),
        (lambda i, augment: (augment(i).clamp(0.2, 0.4), augment(i)), "not what `augment` makes"),
        (lambda i, augment: (augment(i), augment(augment(i))), "something else than the images"),
        (lambda i, augment: (augment(i.flip(3)), augment(i)), "something else than the images"),
        (lambda i, augment: [augment(i)] * 2, "both views are the same"),
        (lambda i, augment: (augment(i), augment(i), i), "should return two views"),
        (lambda i, augment: (augment(i), augment(i[:3])), "view1 is a tensor of shape (3, 3, 8, 8)"),
        (
            lambda i, augment: [augment(i, generator=torch.Generator().manual_seed(n)) for n in (0, 1)],
            "do not seed",
        ),
    ],
)
def test_wrong_two_views(wrong, words):
    assert_wrong(check.two_views, wrong, words)


# --- train_step


def step_of(loss, after=lambda z: z):
    def step(backbone, head, images, augment, temperature):
        return loss(after(head(backbone(augment(images)))), head(backbone(augment(images))), temperature)

    return step


def one_pass(split):
    def step(backbone, head, images, augment, temperature):
        z = head(backbone(torch.cat([augment(images), augment(images)])))
        return nt_xent(*split(z), temperature)

    return step


def image_by_image(b, h, x, a, t):
    z0, z1 = (torch.cat([h(b(a(image[None]))) for image in x]) for _ in range(2))
    return supcon(z0, z1, t)


@pytest.mark.parametrize(
    "right",
    [
        step_of(supcon),
        step_of(einsum),
        step_of(Criterion()),
        image_by_image,
        one_pass(lambda z: z.view(2, -1, z.shape[1])),
        lambda b, h, x, a, t: nt_xent(*nn.Sequential(b, h)(torch.cat([a(x), a(x)])).split(len(x)), t),
        lambda b, h, x, a, t: nt_xent(*map(h, map(b, (a(x), a(x)))), temperature=t),
    ],
)
def test_right_train_step(right, seeds):
    assert_right(check.train_step, right)


def reseeding(b, h, x, a, t):
    torch.manual_seed(0)
    return step_of(nt_xent)(b, h, x, a, t)


def partly_eval(b, h, x, a, t):
    list(h.modules())[-1].eval()
    return step_of(nt_xent)(b, h, x, a, t)


def eval_and_back(b, h, x, a, t):
    b.eval()
    loss = step_of(nt_xent)(b, h, x, a, t)
    b.train()
    return loss


def negatives_without_gradient(z0, z1, t):
    s, n = masked(z0, z1, t), len(z0)
    return (s.detach().logsumexp(1) - s[torch.arange(2 * n), partner(z0)]).mean()


def second_features_without_gradient(b, h, x, a, t):
    with torch.no_grad():
        h1 = b(a(x))
    return nt_xent(h(b(a(x))), h(h1), t)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (reseeding, "do not seed"),
        (partly_eval, "puts the head into eval mode"),
        (eval_and_back, "puts the backbone into eval mode"),
        (step_of(negatives_without_gradient), "a part of the graph is cut off"),
        (second_features_without_gradient, "one view is detached"),
        (step_of(nt_xent, after=torch.Tensor.detach), "one view is detached"),
        (one_pass(lambda z: z.chunk(2, dim=1)), "along the wrong dimension"),
        (one_pass(lambda z: (z[0::2], z[1::2])), "do not belong together"),
        (step_of(lambda z0, z1, t: nt_xent(z0, z1.roll(1, 0), t)), "do not belong together"),
        (step_of(lambda z0, z1, t: nt_xent(z0, z1, 1 / t)), "1 / temperature is passed on"),
        (step_of(lambda z0, z1, t: nt_xent(z0, z1)), "temperature is not passed on"),
        (step_of(lambda z0, z1, t: nt_xent(z0, z1, t) + nt_xent(z1, z0, t)), "added up or divided once more"),
        (step_of(lambda z0, z1, t: -nt_xent(z0, z1, t)), "the sign is wrong"),
        (step_of(lambda z0, z1, t: nt_xent(z0, z0, t)), "one view is compared with itself"),
        (step_of(lambda z0, z1, t: F.mse_loss(z0, z1)), "without negatives"),
        (lambda b, h, x, a, t: nt_xent(h(F.normalize(b(a(x)))), h(F.normalize(b(a(x)))), t), "before the head"),
        (step_of(lambda z0, z1, t: F.cross_entropy(logits(z0, z1, t), partner(z0))), "still in the denominator"),
        (lambda b, h, x, a, t: nt_xent(h(b(x)), h(b(x)), t), "saw the images themselves"),
        (lambda b, h, x, a, t: (v := a(x)) is None or nt_xent(h(b(v)), h(b(v)), t), "both views are the same"),
    ],
)
def test_wrong_train_step(wrong, words):
    assert_wrong(check.train_step, wrong, words)


# --- alignment and uniformity


def unit(z):
    return F.normalize(z, dim=1)


def in_numpy(z0, z1):
    a, b = (z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True) for z in (z0, z1))
    return np.mean(np.sum((a - b) ** 2, axis=1))


@pytest.mark.parametrize(
    "right",
    [
        in_numpy,
        lambda a, b: sum(torch.dist(x / x.norm(), y / y.norm()) ** 2 for x, y in zip(a, b, strict=True)) / len(a),
        lambda a, b: F.mse_loss(unit(a), unit(b)) * a.shape[1],
        lambda a, b: F.pairwise_distance(unit(a), unit(b), eps=0).pow(2).mean(),
        lambda a, b: torch.einsum("nd,nd->", unit(a) - unit(b), unit(a) - unit(b)) / len(a),
        lambda a, b: torch.cdist(unit(a.double()), unit(b.double())).diag().square().mean().item(),
    ],
)
def test_right_alignment(right, seeds):
    assert_right(check.alignment, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: F.cosine_similarity(a, b).mean(), "cosine stands where"),
        (lambda a, b: -F.cosine_similarity(a, b).mean(), "cosine stands where"),
        (lambda a, b: 1 - F.cosine_similarity(a, b).mean(), "distance is halved"),
        (lambda a, b: (unit(a) - unit(b)).square().sum() / (2 * len(a)), "distance is halved"),
        (lambda a, b: (unit(a) - unit(b)).square().sum(1).mean().sqrt(), "root is taken of the mean"),
        (lambda a, b: torch.cdist(unit(a), unit(b)).square().mean(), "compared with all of the other view"),
        (lambda a, b: (unit(a) - unit(b)).abs().sum(1).mean(), "absolute differences"),
        (lambda a, b: -(unit(a) - unit(b)).square().sum(1).mean(), "the sign is wrong"),
        (lambda a, b: (unit(a) - unit(b.roll(1, 0))).square().sum(1).mean(), "do not belong together"),
        (lambda a, b: (unit(a) - b).square().sum(1).mean(), "one of the two views is not normalised"),
        (lambda a, b: unit(a - b).square().sum(1).mean(), "the difference is normalised"),
        (lambda a, b: (unit(a) - unit(b)).square().mean(1).sum(), "other way round"),
        (lambda a, b: (F.normalize(a, p=1) - F.normalize(b, p=1)).square().sum(1).mean(), "else than their length"),
        (lambda a, b: (unit(a) - unit(b)).square().sum(1).mean().log(), "logarithm is taken, as in uniformity"),
        (lambda a, b: (unit(a) - unit(b)).square().sum(1).median(), "Try that case by hand"),
        (lambda a, b: (unit(a) - unit(b)).square().sum(1).max(), "Try that case by hand"),
    ],
)
def test_wrong_alignment(wrong, words):
    assert_wrong(check.alignment, wrong, words)


def apart(z):
    return torch.pdist(unit(z)).square()


def in_loops(z, t=2):
    z = (z / z.norm(dim=1, keepdim=True)).tolist()
    values = [math.exp(-t * math.dist(z[i], z[j]) ** 2) for i in range(len(z)) for j in range(i)]
    return math.log(sum(values) / len(values))


def less_the_diagonal(z, t=2.0):
    e = (-t * (2 - 2 * unit(z.double()) @ unit(z.double()).T)).exp()
    return ((e.sum() - e.trace()) / (len(z) * (len(z) - 1))).log().float()


@torch.jit.script
def scripted_uniformity(z: torch.Tensor, t: float = 2.0) -> torch.Tensor:
    z = torch.nn.functional.normalize(z, dim=1)
    return torch.pdist(z, 2.0).pow(2).mul(-t).exp().mean().log()


@pytest.mark.parametrize(
    "right",
    [
        in_loops,
        less_the_diagonal,
        scripted_uniformity,
        lambda z, t=2.0: np.log(np.exp(-t * apart(z).numpy()).mean()),
        lambda z, t=2.0: torch.logsumexp(-t * apart(z), 0) - math.log(len(z) * (len(z) - 1) / 2),
        functools.partial(lambda lengths, z, t=2.0: (-t * torch.pdist(lengths(z)) ** 2).exp().mean().log(), unit),
    ],
)
def test_right_uniformity(right, seeds):
    assert_right(check.uniformity, right)


def row_by_row(z, t=2.0):
    return (-t * torch.cdist(unit(z), unit(z)).square()).exp().mean(1).log().mean()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda z, t=2.0: (-t * apart(z)).exp().sum().log(), "potentials are summed"),
        (lambda z, t=2.0: (2 * (-t * apart(z)).exp().sum() / len(z) ** 2).log(), "self-pairs are summed or divided by"),
        (lambda z, t=2.0: ((-t * apart(z)).exp().sum() / len(z) / (len(z) - 1)).log(), "divided by twice their number"),
        (lambda z, t=2.0: (-apart(z) / t).exp().mean().log(), "squared distance is divided by t"),
        (lambda z, t=2.0: (-apart(z) / (2 * t**2)).exp().mean().log(), "squared distance is divided by t"),
        (lambda z, t=2.0: (-t * apart(z) / 2).exp().mean().log(), "distance is halved"),
        (lambda z, t=2.0: (-t * apart(z) / z.shape[1]).exp().mean().log(), "averaged over the D features"),
        (lambda z, t=2.0: (t * (1 - apart(z) / 2)).exp().mean().log(), "cosine similarities stand"),
        (lambda z, t=2.0: (-t * apart(z).square()).exp().mean().log(), "squared once too often"),
        (row_by_row, "logarithm and the mean are swapped"),
        (lambda z, t=2.0: (-t * apart(z)).exp().mean().log2(), "not the natural one"),
        (lambda z, t=2.0: (-t * apart(z)).exp().mean().log1p(), "1 is added"),
        (lambda z, t=2.0: (-t * apart(z)).exp().mean().log() / t, "divided by t"),
        (lambda z, t=2.0: (-t * (unit(z)[1:] - unit(z)[:-1]).square().sum(1)).exp().mean().log(), "beside each other"),
        (lambda z, t=2.0: (-t * torch.pdist(F.normalize(z, p=1)) ** 2).exp().mean().log(), "else than their length"),
        (lambda z, t=2.0: (-t * apart(z)).exp().median().log(), "three points make three pairs"),
    ],
)
def test_wrong_uniformity(wrong, words):
    assert_wrong(check.uniformity, wrong, words)


# --- the optional ones


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda loss, n: (math.log(n) - loss) / math.log(2), "in bits"),
        (lambda loss, n: math.log(n + 1) - loss, "counted once more"),
        (lambda loss, n: math.log(2 * n - 1) - loss, "number of pairs"),
        (lambda loss, n: math.log(n), "left out"),
        (lambda loss, n: loss / math.log(n), "do not divide"),
        (lambda loss, n: math.log(n) - math.exp(-loss), "an exponential is taken"),
        (lambda loss, n: n - loss, "the logarithm is missing"),
    ],
)
def test_wrong_mi_lower_bound(wrong, words):
    assert_wrong(check.mi_lower_bound, wrong, words)


def spread(z, correction=1):
    return F.relu(1 - (z.var(0, correction=correction) + 1e-4).sqrt()).mean()


def redundancy(z, centre=True, divide=None, power=2):
    z = z - z.mean(0) if centre else z
    c = z.T @ z / (divide or len(z) - 1)
    return (c - c.diag().diag()).pow(power).sum() / z.shape[1]


def vicreg(apart=F.mse_loss, spread=spread, redundancy=redundancy, average=0.5, detach=False):
    def loss(z0, z1, invariance=25.0, variance=25.0, covariance=1.0):
        z1 = z1.detach() if detach else z1
        spreads = average * (spread(z0) + spread(z1))
        return invariance * apart(z0, z1) + variance * spreads + covariance * (redundancy(z0) + redundancy(z1))

    return loss


def summed_over_features(z0, z1):
    return (z0 - z1).square().sum(1).mean()


@pytest.mark.parametrize(
    "right",
    [
        vicreg(apart=summed_over_features),
        vicreg(apart=summed_over_features, average=1, spread=functools.partial(spread, correction=0)),
        vicreg(average=1),
        vicreg(redundancy=lambda z: (torch.cov(z.T) * (1 - torch.eye(z.shape[1]))).square().sum() / z.shape[1]),
        vicreg(spread=lambda z: torch.clamp(1 - torch.std(z - z.mean(0), 0), min=0).sum() / z.shape[1]),
    ],
)
def test_right_vicreg(right, seeds):
    assert_right(check.vicreg, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (vicreg(apart=lambda a, b: (a - b).norm(dim=1).mean()), "distances are not squared"),
        (vicreg(apart=lambda a, b: (a - b).square().sum()), "summed over the batch"),
        (vicreg(spread=lambda z: F.relu(1 - z.var(0)).mean()), "take the root"),
        (vicreg(spread=lambda z: (1 - z.std(0)).mean()), "there is no hinge"),
        (vicreg(spread=lambda z: F.relu(1 - z.std(0).mean())), "inside the hinge"),
        (vicreg(spread=lambda z: F.relu(1 - z.std(1)).mean()), "over the features of a row"),
        (vicreg(spread=lambda z: F.relu(1 - z.std(0)).sum()), "hinges of the features are summed"),
        (vicreg(spread=lambda z: F.relu(z.std(0) - 1).mean()), "wrong way round"),
        (vicreg(redundancy=lambda z: torch.cov(z.T).square().sum() / z.shape[1]), "the diagonal is among"),
        (vicreg(redundancy=lambda z: redundancy(z) * z.shape[1]), "squares are summed"),
        (vicreg(redundancy=lambda z: redundancy(z) / (z.shape[1] - 1)), "something else than D"),
        (vicreg(redundancy=functools.partial(redundancy, centre=False)), "not centred"),
        (vicreg(redundancy=lambda z: redundancy(z, divide=len(z))), "divided by N"),
        (vicreg(redundancy=functools.partial(redundancy, power=1)), "covariances are not squared"),
        (vicreg(redundancy=lambda z: redundancy(z.T)), "that of rows"),
        (vicreg(redundancy=lambda z: redundancy((z - z.mean(0)) / z.std(0))), "correlations stand"),
        (lambda a, b, i=25, v=25, c=1: vicreg()(a, b, v, i, c), "weights are swapped"),
        (lambda a, b, i=25, v=25, c=1: vicreg()(a, b), "weights are not used"),
        (lambda a, b, i=25, v=25, c=1: vicreg()(a, b, i, -v, c), "a term is subtracted"),
        (lambda a, b, i=25, v=25, c=1: vicreg()(a, b, i, v, 0), "covariance term is left out"),
        (lambda a, b, *w: vicreg()(unit(a), unit(b), *w), "embeddings are normalised"),
        (vicreg(detach=True), "no gradient reaches z1"),
    ],
)
def test_wrong_vicreg(wrong, words):
    assert_wrong(check.vicreg, wrong, words)


def standardised(z, correction=0):
    return (z - z.mean(0)) / z.std(0, correction=correction)


def cross(z0, z1):
    return standardised(z0).T @ standardised(z1) / len(z0)


def off_diagonal(c):
    return (c - c.diag().diag()).square().sum()


def barlow(matrix=cross, on=lambda c: (1 - c.diag()).square().sum(), off=lambda c: c.square().sum(), diagonal=1):
    def loss(z0, z1, lambda_=5e-3):
        c = matrix(z0, z1)
        return on(c) + lambda_ * off(c - diagonal * c.diag().diag())

    return loss


@pytest.mark.parametrize(
    "right",
    [
        barlow(lambda a, b: nn.BatchNorm1d(5, affine=False)(a).T @ nn.BatchNorm1d(5, affine=False)(b) / len(a)),
        barlow(lambda a, b: torch.einsum("ni,nj->ij", standardised(a, 1), standardised(b, 1)) / len(a)),
        barlow(lambda a, b: torch.corrcoef(torch.cat([a, b], 1).T)[: a.shape[1], a.shape[1] :]),
        lambda a, b, lambda_=5e-3: (
            torch.full((5, 5), lambda_).fill_diagonal_(1) * (cross(a.double(), b.double()) - torch.eye(5)) ** 2
        ).sum(),
        functools.partial(barlow()),
    ],
)
def test_right_barlow_twins(right, seeds):
    assert_right(check.barlow_twins, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (barlow(lambda a, b: (a / a.std(0)).T @ (b / b.std(0)) / len(a)), "not centred"),
        (barlow(lambda a, b: (a - a.mean(0)).T @ (b - b.mean(0)) / len(a)), "not divided by their standard deviations"),
        (barlow(lambda a, b: unit(a).T @ unit(b)), "rows are normalised"),
        (barlow(lambda a, b: standardised(a) @ standardised(b).T / len(a)), "(N, N) matrix of samples"),
        (barlow(lambda a, b: cross(a, b) * len(a)), "not divided by N"),
        (barlow(lambda a, b: cross(a, b) * len(a) / (len(a) - 1)), "divided by N - 1"),
        (barlow(lambda a, b: cross(a, a)), "one view with itself"),
        (barlow(on=lambda c: c.diag().square().sum()), "pulled to 0"),
        (barlow(on=lambda c: (1 - c.diag()).sum()), "not squared"),
        (barlow(off=lambda c: c.abs().sum()), "not squared"),
        (barlow(diagonal=0), "leave it out"),
        (lambda a, b, w=5e-3: w * barlow(off=lambda c: 0)(a, b) + off_diagonal(cross(a, b)), "weighs the diagonal"),
        (lambda a, b, lambda_=5e-3: barlow()(a, b), "argument lambda_ is not used"),
        (lambda a, b, lambda_=5e-3: barlow()(a, b, lambda_) / a.shape[1], "a mean is taken"),
        (lambda a, b, lambda_=5e-3: barlow()(a, b, lambda_) / 32, "a factor in front"),
        (lambda a, b, lambda_=5e-3: -barlow()(a, b, lambda_), "the sign is wrong"),
        (barlow(off=lambda c: c.triu(1).square().sum()), "counts once"),
        (lambda a, b, lambda_=5e-3: barlow()(a, b.detach(), lambda_), "no gradient reaches z1"),
    ],
)
def test_wrong_barlow_twins(wrong, words):
    assert_wrong(check.barlow_twins, wrong, words)

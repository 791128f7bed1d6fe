"""The check of week 4's sigmoid loss: right in several styles, each named mistake by its own message."""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from open_clip.loss import SigLipLoss

from sslcourse.check import week04 as check
from sslcourse.check.week04 import sigmoid_oracle


def sigmoid_loss(z0, z1, scaling=10.0, bias=-10.0):
    scores = scaling * F.normalize(z0, dim=1) @ F.normalize(z1, dim=1).T + bias
    return -F.logsigmoid((2 * torch.eye(len(z0)) - 1) * scores).sum() / len(z0)


def with_binary_cross_entropy(z0, z1, scaling=10.0, bias=-10.0):
    scores = scaling * F.cosine_similarity(z0[:, None], z1[None], dim=2) + bias
    return F.binary_cross_entropy_with_logits(scores, torch.eye(len(z0)), reduction="sum") / len(z0)


def with_softplus(z0, z1, scaling=10.0, bias=-10.0):
    a, b = z0 / z0.norm(dim=1, keepdim=True), z1 / z1.norm(dim=1, keepdim=True)
    s = scaling * torch.einsum("id,jd->ij", a, b) + bias
    return (F.softplus(s).sum() - s.diagonal().sum()) / len(s)  # softplus(-s) = softplus(s) - s


def row_by_row(z0, z1, scaling=10.0, bias=-10.0):
    a, b = F.normalize(z0), F.normalize(z1)
    rows = []
    for i in range(len(a)):
        y = -torch.ones(len(b))
        y[i] = 1
        rows.append(torch.logaddexp(torch.zeros(()), -y * (scaling * (b @ a[i]) + bias)).sum())
    return torch.stack(rows).mean()


def test_the_definition_equals_open_clip():
    generator = torch.Generator().manual_seed(0)
    z0, z1 = torch.randn(2, 9, 5, generator=generator, dtype=torch.float64)
    for scaling, bias in ((10.0, -10.0), (3.0, 0.5)):
        peer = SigLipLoss()(F.normalize(z0, dim=1), F.normalize(z1, dim=1), scaling, bias)
        assert float(sigmoid_oracle.sigmoid_loss(z0, z1, scaling, bias)) == pytest.approx(float(peer), abs=1e-9)
        again = sigmoid_oracle._sigmoid_loss(z0, z1, scaling, bias)
        assert float(again) == pytest.approx(float(peer), abs=1e-9)
    same = torch.ones(9, 5, dtype=torch.float64)
    assert float(sigmoid_oracle.sigmoid_loss(same, same)) == pytest.approx(9 * math.log(2), abs=1e-12)


@pytest.mark.parametrize("right", [sigmoid_loss, with_binary_cross_entropy, with_softplus, row_by_row])
def test_right_sigmoid_loss(right, seeds):
    assert_right(check.sigmoid_loss, right)


def changed(score=lambda c, s, b: s * c + b, loss=lambda y, s: -F.logsigmoid(y * s).sum() / len(s), normal=True, no=-1):
    """A version with one part replaced, as students write them."""

    def version(z0, z1, scaling=10.0, bias=-10.0):
        a, b = (F.normalize(z, dim=1) if normal else z for z in (z0, z1))
        labels = torch.full((len(a), len(a)), float(no)).fill_diagonal_(1)
        return loss(labels, score(a @ b.T, scaling, bias))

    return version


def of_all_views(z0, z1, scaling=10.0, bias=-10.0):
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    n = len(z0)
    labels = torch.eye(2 * n).roll(n, 0) * 2 - 1
    costs = -F.logsigmoid(labels * (scaling * z @ z.T + bias))
    return costs.masked_fill(torch.eye(2 * n, dtype=torch.bool), 0).sum() / (2 * n)


def columns_normalised(z0, z1, scaling=10.0, bias=-10.0):
    return changed(normal=False)(F.normalize(z0, dim=0), F.normalize(z1, dim=0), scaling, bias)


def in_probabilities(z0, z1, scaling=10.0, bias=-10.0):
    scores = (scaling * F.normalize(z0) @ F.normalize(z1).T + bias).sigmoid()
    return F.binary_cross_entropy_with_logits(scores, torch.eye(len(z0)), reduction="sum") / len(z0)


def clip(z0, z1, scaling=10.0, bias=-10.0):
    logits = scaling * F.normalize(z0) @ F.normalize(z1).T + bias
    return F.cross_entropy(logits, torch.arange(len(z0)))


def overflowing(z0, z1, scaling=10.0, bias=-10.0):
    scores = scaling * F.normalize(z0) @ F.normalize(z1).T + bias
    return -torch.log(torch.sigmoid((2 * torch.eye(len(z0)) - 1) * scores)).sum() / len(z0)


def without_return(z0, z1, scaling=10.0, bias=-10.0):
    sigmoid_loss(z0, z1, scaling, bias)


def detached(z0, z1, scaling=10.0, bias=-10.0):
    return sigmoid_loss(z0, z1.detach(), scaling, bias)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (changed(normal=False), "not normalised"),
        (columns_normalised, "normalisation runs over the batch"),
        (changed(loss=lambda y, s: -F.logsigmoid(y * s).mean()), "the mean runs over all N x N pairs"),
        (changed(loss=lambda y, s: -F.logsigmoid(y * s).sum()), "not divided by N"),
        (changed(loss=lambda y, s: -F.logsigmoid(y * s).sum() / (2 * len(s))), "halved or doubled"),
        (changed(score=lambda c, s, b: s * c - b), "the bias is subtracted"),
        (changed(score=lambda c, s, b: s * (c + b)), "the bias is scaled, too"),
        (changed(score=lambda c, s, b: s * c), "the argument bias is not used"),
        (changed(loss=lambda y, s: -F.logsigmoid(y * s).sum() / max(len(s) - 1, 1)), "N - 1"),
        (changed(score=lambda c, s, b: s * c.clamp(min=0) + b), "cut off at 0"),
        (changed(loss=lambda y, s: (1 - y * s).clamp(min=0).sum() / len(s)), "a hinge"),
        (changed(loss=lambda y, s: ((1 - (y * s).sigmoid()) ** 2 * F.softplus(-y * s)).sum() / len(s)), "focal"),
        (
            changed(loss=lambda y, s: F.binary_cross_entropy_with_logits(s, 0.45 * y + 0.5, reduction="sum") / len(s)),
            "labels are smoothed",
        ),
        (
            changed(
                loss=lambda y, s: (
                    F.binary_cross_entropy_with_logits(
                        s, (y + 1) / 2, pos_weight=torch.tensor(max(len(s) - 1.0, 1.0)), reduction="sum"
                    )
                    / len(s)
                )
            ),
            "weight of their",
        ),
        (
            changed(
                loss=lambda y, s: (
                    F.softplus(-s.diag()) + F.softplus(s - torch.diag(torch.full((len(s),), 1e9))).amax(1)
                ).mean()
            ),
            "only the hardest",
        ),
        (changed(score=lambda c, s, b: (s * c + b).softmax(1)), "a softmax stands before"),
        (changed(score=lambda c, s, b: c / s + b), "the scaling divides"),
        (changed(score=lambda c, s, b: 10 * c + b), "the argument scaling is not used"),
        (changed(score=lambda c, s, b: math.exp(s) * c + b), "exponentiated"),
        (changed(no=0), "the labels are 1 and 0"),
        (changed(loss=lambda y, s: -F.logsigmoid(-y * s).sum() / len(s)), "the wrong way round"),
        (changed(no=1), "every pair is taken for the same image"),
        (changed(loss=lambda y, s: -F.logsigmoid(s.diag()).mean()), "the negatives are left out"),
        (changed(loss=lambda y, s: F.softplus(s[y < 0]).sum() / len(s)), "the positives are left out"),
        (changed(loss=lambda y, s: -F.logsigmoid(y * s).triu().sum() / len(s)), "counts once, i < j"),
        (
            changed(loss=lambda y, s: F.softplus(-s[y > 0]).mean() + F.softplus(s[y < 0]).mean()),
            "positives and negatives are averaged apart",
        ),
        (of_all_views, "views are compared with views of their own kind"),
        (clip, "a softmax runs over the candidates"),
        (changed(loss=lambda y, s: (1 - (y * s).sigmoid()).sum() / len(s)), "the logarithm is missing"),
        (changed(loss=lambda y, s: -F.logsigmoid(y * s).sum() / len(s) / math.log(2)), "not the natural one"),
        (changed(loss=lambda y, s: F.logsigmoid(y * s).sum() / len(s)), "the sign is wrong"),
        (in_probabilities, "a sigmoid stands before a loss that has one inside"),
        (changed(score=lambda c, s, b: -s * (2 - 2 * c).clamp(min=0).sqrt() + b), "distances stand where"),
        (overflowing, "use F.logsigmoid"),
        (detached, "no gradient reaches z1"),
        (lambda z0, z1, scaling=10.0, bias=0.0: sigmoid_loss(z0, z1, scaling, bias), "The defaults are 10 and -10"),
        (without_return, "is the `return` missing"),
        (lambda z0, z1, scaling=10.0, bias=-10.0: sigmoid_loss(z0, z1, scaling, bias) + 0.01, "not yet right"),
    ],
)
def test_wrong_sigmoid_loss(wrong, words):
    assert_wrong(check.sigmoid_loss, wrong, words)


def test_every_mistake_has_a_sentence_of_its_own():
    sentences = [mistake.sentence for mistake in sigmoid_oracle.SIGMOID_LOSS_MISTAKES]
    assert len(set(sentences)) == len(sentences)

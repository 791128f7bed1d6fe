"""The check of feature distillation: right versions in several styles, each named mistake by its own message."""

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, verdict
from torch import nn

import sslcourse
from sslcourse.check import week06 as check
from sslcourse.check.week06 import features_oracle as oracle

CHECK = check.feature_distillation_loss


def reference(h, t, mapping):
    return sslcourse.solution("week06", "feature_distillation_loss")(h, t, mapping)


def by_torch(h, t, mapping):
    return 1 - F.cosine_similarity(mapping(h), t.detach()).mean()


def by_lengths(h, t, mapping):
    h, t = F.normalize(mapping(h), dim=-1), F.normalize(t, dim=-1).detach()
    return (1 - torch.einsum("nd,nd->n", h, t)).sum() / len(h)


def by_distance(h, t, mapping):
    apart = F.normalize(mapping(h)) - F.normalize(t.detach())
    return apart.square().sum(1).mean() / 2


def by_embedding_loss(h, t, mapping):
    return nn.CosineEmbeddingLoss()(mapping(h), t.detach(), torch.ones(len(h)))


@pytest.mark.parametrize("right", [reference, by_torch, by_lengths, by_distance, by_embedding_loss])
def test_right(right, seeds):
    assert_right(CHECK, right)


def test_the_definition_is_torchs():
    torch.manual_seed(0)
    h, t, mapping = torch.randn(7, 5), torch.randn(7, 3), nn.Linear(5, 3)
    for wrong in (oracle.feature_distillation_loss, oracle._features):
        assert wrong(h, t, mapping).item() == pytest.approx(by_torch(h, t, mapping).item(), abs=1e-6)


def cos(h, t):
    return F.cosine_similarity(h, t.detach())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda h, t, m: cos(m(h), t).mean(), "the cosine itself is returned"),
        (lambda h, t, m: -cos(m(h), t).mean(), "the 1 is missing"),
        (lambda h, t, m: (1 - cos(m(h), t)).sum(), "summed over the images"),
        (lambda h, t, m: (1 - F.cosine_similarity(m(h), t, dim=0)).mean(), "along the batch"),
        (lambda h, t, m: 1 - F.cosine_similarity(m(h).flatten(), t.flatten(), dim=0), "one long vector"),
        (lambda h, t, m: 1 - (m(h) * t).sum(1).mean(), "not divided by their lengths"),
        (lambda h, t, m: 1 - (F.normalize(m(h)) * t).sum(1).mean(), "not divided by their lengths"),
        (lambda h, t, m: F.mse_loss(m(h), t), "by squared distance"),
        (lambda h, t, m: F.mse_loss(F.normalize(m(h)), F.normalize(t)), "squared distance of normalised"),
        (lambda h, t, m: (1 - F.normalize(m(h)) @ F.normalize(t).T).mean(), "compared with every other"),
        (lambda h, t, m: (1 - cos(h, t)).mean(), "the mapping is not used"),
        (lambda h, t, m: (1 - F.cosine_similarity(h, m(t))).mean(), "applied to the teacher"),
        (lambda h, t, m: (1 - F.cosine_similarity(m(h), m(t))).mean(), "applied to both"),
        (lambda h, t, m: (1 - cos(h @ m.weight.T, t)).mean(), "bias is forgotten"),
        (lambda h, t, m: (1 - cos(m(h), t).abs()).mean(), "not its sign"),
        (lambda h, t, m: (1 - cos(m(h), t).square()).mean(), "the cosine is squared"),
        (lambda h, t, m: cos(m(h), t).acos().mean(), "the angle is taken"),
        (lambda h, t, m: (1 - cos(m(h), t)).mean() / 2, "halved"),
        (lambda h, t, m: 1 - cos(m(h) - m(h).mean(0), t - t.mean(0)).mean(), "a mean is taken off"),
        (lambda h, t, m: 1 - cos(m(F.normalize(h)), t).mean(), "normalised before the mapping"),
        (lambda h, t, m: 1 - cos(m(h).relu(), t).mean(), "pass a non-linearity"),
        (lambda h, t, m: 1 - cos(m(h), t).clamp(min=0).mean(), "cut off at 0"),
        (lambda h, t, m: 1 - cos(m(h).mean(0)[None], t.mean(0)[None]).mean(), "averaged over the images first"),
        (lambda h, t, m: F.kl_div(m(h).log_softmax(1), t.softmax(1), reduction="batchmean"), "features are no logits"),
        (lambda h, t, m: (F.normalize(m(h)) - F.normalize(t)).norm(dim=1).mean(), "compared by a distance"),
        (lambda h, t, m: 0.9 * (1 - cos(m(h), t).mean()) + 0.1 * F.smooth_l1_loss(m(h), t), "another term"),
        (lambda h, t, m: F.cross_entropy(F.normalize(m(h)) @ F.normalize(t).T, torch.arange(len(h))), "candidates"),
        (lambda h, t, m: 1 - cos(h @ m.weight, t).mean(), "the wrong way round"),
        (lambda h, t, m: 1 - cos(m(m(h)), t).mean(), "applied twice"),
        (lambda h, t, m: (1 - F.cosine_similarity(m(h), t)).mean(), "reaches the teacher"),
        (lambda h, t, m: (1 - cos(m(h.detach()), t)).mean(), "no gradient reaches the student"),
        (
            lambda h, t, m: (
                1 - cos(F.linear(h, m.weight.detach(), None if m.bias is None else m.bias.detach()), t)
            ).mean(),
            "reaches the mapping",
        ),
        (lambda h, t, m: (1 - cos(m(h), t)).mean().detach(), "carries no gradient"),
        (lambda h, t, m: 1 - cos(m(h), t), "should be a scalar"),
        (lambda h, t, m: print(), "returns None"),
        (lambda h, t, m: (1 - cos(m(h), t)).mean() + 0.01, "it should be"),
    ],
)
def test_wrong(wrong, words):
    assert_wrong(CHECK, wrong, words)


def test_blank():
    def blank(student_features, teacher_features, mapping):
        raise NotImplementedError()

    assert verdict(CHECK, blank)[0] == "not attempted"

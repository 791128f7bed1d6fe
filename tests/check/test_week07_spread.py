"""Week 7's two parts of DINOv2: their definitions against lightly, right and wrong versions of both."""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from lightly.loss import KoLeoLoss
from lightly.loss.swav_loss import sinkhorn as lightlys

import sslcourse
from sslcourse.check import week07 as check
from sslcourse.check.week07 import spread_oracle as oracle

reference = lambda name: sslcourse.solution("week07", name)  # noqa: E731


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the definitions against peers and known levels


@pytest.mark.parametrize(("temperature", "iterations"), [(0.05, 3), (0.4, 1), (0.2, 8)])
def test_sinkhorn_equals_lightly(temperature, iterations):
    scores = drawn(7, 5).tanh()
    wanted = lightlys(scores, iterations, temperature)
    for ours in (oracle.sinkhorn, oracle.SINKHORN, reference("sinkhorn")):
        torch.testing.assert_close(ours(scores, temperature, iterations), wanted, atol=1e-12, rtol=0)


def test_sinkhorn_gives_every_prototype_its_share():
    scores = drawn(40, 8) + torch.arange(8) / 2  # the last ones are ahead for every image
    share = oracle.SINKHORN(scores, 0.5, 200).mean(dim=0)
    torch.testing.assert_close(share, torch.full((8,), 1 / 8, dtype=torch.float64), atol=1e-9, rtol=0)
    assert scores.div(0.5).softmax(dim=1).mean(dim=0)[-1] > 0.3
    torch.testing.assert_close(oracle.sinkhorn(torch.zeros(3, 5), 0.1, 2), torch.full((3, 5), 0.2).double())


def test_koleo_equals_lightly_and_has_a_known_level():
    for shape in ((9, 4), (30, 3), (2, 6)):
        x = 3 * drawn(*shape)
        wanted = float(KoLeoLoss()(x))
        for ours in (oracle.koleo, oracle._koleo, reference("koleo")):
            assert float(ours(x)) == pytest.approx(wanted, abs=1e-6)
    corners = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    assert float(oracle.koleo(corners)) == pytest.approx(-math.log(2) / 2, abs=1e-7)


# --- sinkhorn


def in_logs(scores, temperature=0.05, iterations=3):
    logs = scores.detach() / temperature
    for _ in range(iterations):
        logs = logs.log_softmax(dim=0)
        logs = logs.log_softmax(dim=1)
    return logs.exp()


@torch.no_grad()
def as_swav(scores, temperature=0.05, iterations=3):
    q = torch.exp((scores - scores.max()) / temperature).t()
    q /= q.sum()
    k, b = q.shape
    for _ in range(iterations):
        q /= q.sum(dim=1, keepdim=True)
        q /= k
        q /= q.sum(dim=0, keepdim=True)
        q /= b
    return (q * b).t()


def twin(scores, temperature=0.05, iterations=3):
    return lightlys(scores - scores.max(), iterations, temperature)


@pytest.mark.parametrize("right", [in_logs, as_swav, twin])
def test_right_sinkhorn(right, seeds):
    assert_right(check.sinkhorn, right)


def changed(order=(0, 1), divide=True, rounds=None, end=lambda q: q, start=lambda q: q, detach=True):
    def wrong(scores, temperature=0.05, iterations=3):
        scores = scores.detach() if detach else scores
        q = start(((scores - scores.max()) / (temperature if divide else 1)).exp())
        for _ in range(rounds or iterations):
            for dim in order:
                q = q / q.sum(dim=dim, keepdim=True)
        return end(q)

    return wrong


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda scores, temperature=0.05, iterations=3: (scores / temperature).softmax(dim=1), "columns are never"),
        (changed(order=(0,)), "only the columns"),
        (changed(order=(1, 0)), "in the other order"),
        (changed(rounds=3), "`iterations` is not used"),
        (changed(rounds=1), "`iterations` is not used"),
        (changed(divide=False), "temperature is not used"),
        (changed(start=lambda q: q / q.sum(dim=1, keepdim=True)), "made a softmax first"),
        (changed(end=lambda q: q / len(q)), "all together sums to 1"),
        (changed(order=(), end=lambda q: q / q.sum()), "is divided by its sum"),
        (changed(end=lambda q: q / q.sum(0)), "divided once more at the end"),
        (
            lambda scores, temperature=0.05, iterations=3: ((scores - scores.mean(0)) / temperature).softmax(1),
            "a softmax of centred scores",
        ),
        (
            lambda scores, temperature=0.05, iterations=3: in_logs(F.normalize(scores), temperature, iterations),
            "normalised first",
        ),
        (changed(start=lambda q: q / q.amax(1, keepdim=True)), "largest of every row is taken off"),
        (lambda scores, temperature=0.1, iterations=3: in_logs(scores, temperature, iterations), "defaults are 0.05"),
        (changed(end=lambda q: q.log()), "returns logarithms"),
        (changed(end=lambda q: q.T), "the transpose"),
        (changed(end=lambda q: F.one_hot(q.argmax(1), q.shape[1]).float()), "likeliest prototype alone"),
        (changed(detach=False), "carry a gradient"),
        (lambda scores, temperature=0.05, iterations=3: lightlys(scores, iterations, temperature), "exp(200)"),
        (lambda scores, temperature=0.05, iterations=3: in_logs(scores, 1 / temperature, iterations), "multiplied by"),
        (
            lambda scores, temperature=0.05, iterations=3: in_logs(-scores, temperature, iterations),
            "sign of the scores",
        ),
        (lambda scores, temperature=0.05, iterations=3: in_logs(scores, temperature, iterations + 1), "one round"),
        (lambda scores, temperature=0.05, iterations=3: in_logs(scores, temperature) + 0.01, "it should be"),
        (lambda scores, temperature=0.05, iterations=3: print(end=""), "return"),
        (lambda scores, temperature=0.05, iterations=3: in_logs(scores, temperature, iterations)[0], "shape"),
    ],
)
def test_wrong_sinkhorn(wrong, words):
    assert_wrong(check.sinkhorn, wrong, words)


# --- koleo


def by_distances(features):
    z = F.normalize(features, dim=-1)
    apart = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    apart = apart + torch.diag(torch.full((len(z),), torch.inf))
    return -(apart.min(dim=1).values + 1e-8).log().mean()


def by_cosines(features):
    z = features / features.norm(dim=1, keepdim=True)
    cosines = (z @ z.T).masked_fill(torch.eye(len(z), dtype=torch.bool), -2)
    return -(((z - z[cosines.argmax(dim=1)]) ** 2).sum(1).clamp(min=1e-16).sqrt()).log().mean()


@pytest.mark.parametrize("right", [by_distances, by_cosines, KoLeoLoss()])
def test_right_koleo(right, seeds):
    assert_right(check.koleo, right)


def other(unit=lambda x: F.normalize(x, dim=1), own=math.inf, pick=lambda d: d.min(1)[0], end=None):
    def wrong(features):
        z = unit(features)
        apart = (z[:, None] - z[None]).norm(dim=2).masked_fill(torch.eye(len(z), dtype=torch.bool), own)
        return (end or (lambda d: -(d + 1e-8).log().mean()))(pick(apart))

    return wrong


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (other(unit=lambda x: x), "not normalised"),
        (other(unit=lambda x: F.normalize(x, dim=0)), "over the batch"),
        (other(own=0.0), "its own nearest neighbour"),
        (other(end=lambda d: (d + 1e-8).log().mean()), "sign is wrong"),
        (other(end=lambda d: -(d + 1e-8).log().sum()), "rows are summed"),
        (other(end=lambda d: -(d**2 + 1e-8).log().mean()), "squared"),
        (other(end=lambda d: -d.mean()), "logarithm is missing"),
        (other(end=lambda d: -(d.mean() + 1e-8).log()), "of the mean"),
        (other(own=0.0, pick=lambda d: d.max(1)[0]), "farthest"),
        (other(own=0.0, pick=lambda d: d.sum(1) / (len(d) - 1)), "all other rows"),
        (other(end=lambda d: -(d**2 / 2 + 1e-8).log().mean()), "of a cosine"),
        (other(end=lambda d: -(d + 1e-8).log2().mean()), "natural"),
        (other(end=lambda d: -(d + 1e-8).log()), "should be a scalar"),
        (lambda features: by_distances(features.detach()), "gradient"),
        (lambda features: 2 * by_distances(features), "it should be"),
    ],
)
def test_wrong_koleo(wrong, words):
    assert_wrong(check.koleo, wrong, words)


def test_a_detached_neighbour_is_noticed():
    def half(features):
        z = F.normalize(features, dim=1)
        cosines = (z @ z.T).masked_fill(torch.eye(len(z), dtype=torch.bool), -2)
        return -((z - z[cosines.argmax(1)].detach()).norm(dim=1) + 1e-8).log().mean()

    assert_wrong(check.koleo, half, "a part of it is detached")


def test_equal_rows_need_the_small_number():
    def bare(features):
        z = F.normalize(features, dim=1)
        apart = (z[:, None] - z[None]).norm(dim=2) + torch.diag(torch.full((len(z),), torch.inf))
        return -apart.min(dim=1).values.log().mean()

    assert_wrong(check.koleo, bare, "add 1e-8")

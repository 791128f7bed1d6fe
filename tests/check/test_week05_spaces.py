"""Week 5's whitening by views and self-labelling: right answers in several styles, each slip by its own message."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong

from sslcourse.check import week05 as check
from sslcourse.check.week05 import labelling, whitening


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- view_whitening


def deviations(views):
    return (views - views.mean(dim=0)).flatten(0, 1)


def by_eigh(of=deviations, scale=lambda v, floor: (v + floor * v.mean()).rsqrt(), back=False, divide=len):
    def view_whitening(views, floor=1e-3):
        x = of(views)
        variance, directions = torch.linalg.eigh(x.T @ x / divide(x))
        w = directions * scale(variance, floor)
        return w @ directions.T if back else w

    return view_whitening


def by_cholesky(views, floor=1e-3):
    x = views - views.mean(0, keepdim=True)
    cov = torch.einsum("vnd,vne->de", x, x) / (len(views) * views.shape[1])
    cov = cov + floor * cov.trace() / len(cov) * torch.eye(len(cov))
    return torch.linalg.inv(torch.linalg.cholesky(cov)).T


def by_svd(views, floor=1e-3):
    _, s, vh = torch.linalg.svd(deviations(views).double(), full_matrices=False)
    variance = s**2 / (len(views) * views.shape[1])
    return (vh.T / (variance + floor * variance.mean()).sqrt()).float()


def by_numpy(views, floor=1e-3):
    cov = np.cov(deviations(views).numpy(), rowvar=False)  # divides by V N - 1
    values, vectors = np.linalg.eigh(cov + floor * np.trace(cov) / len(cov) * np.eye(len(cov)))
    return torch.from_numpy(vectors @ np.diag(values**-0.5) @ vectors.T).float()


def unbiased(views, floor=1e-3):
    """The pooled covariance of statistics, which divides by (V - 1) N."""
    per_image = [torch.cov(views[:, n].T) for n in range(views.shape[1])]
    variance, directions = torch.linalg.eigh(torch.stack(per_image).mean(0))
    return directions / (variance + floor * variance.mean()).sqrt()


@pytest.mark.parametrize("right", [by_eigh(), by_eigh(back=True), by_cholesky, by_svd, by_numpy, unbiased])
def test_right_view_whitening(right, seeds):
    assert_right(check.view_whitening, right)


def _root(v, floor):
    return (v + floor * v.mean()).sqrt()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (by_eigh(of=lambda v: v.flatten(0, 1) - v.flatten(0, 1).mean(0)), "the mean of all images"),
        (by_eigh(of=lambda v: (v - v.mean(dim=1, keepdim=True)).flatten(0, 1)), "subtract the mean over views, dim=0"),
        (by_eigh(scale=_root), "the variances grow"),
        (by_eigh(scale=lambda v, floor: 1 / (v + floor * v.mean())), "inverse of its square root"),
        (by_eigh(scale=lambda v, floor: _root(v, floor).rsqrt()), "the square root is taken twice"),
        (by_eigh(scale=lambda v, floor: 0 * v + 1), "all as long as before"),
        (lambda views, floor=1e-3: by_eigh()(views, floor).T.contiguous(), "W is the wrong way round"),
        (by_eigh(divide=lambda x: 1), "the deviations are summed"),
        (by_eigh(scale=lambda v, floor: (v + floor).rsqrt()), "a share of the mean variance"),
        (by_eigh(scale=lambda v, floor: v.rsqrt()), "the floor is missing"),
        (lambda views, floor=1e-3: by_eigh()(views, 1e-3), "variances within images"),
        (lambda views, floor=0.1: by_eigh()(views, floor), "Without a floor it is 0.001"),
        (lambda views, floor=1e-3: torch.diag(deviations(views).var(0, unbiased=False).add(
            floor * deviations(views).var(0, unbiased=False).mean()).rsqrt()), "variances of single features"),
        (by_eigh(of=lambda v: (v - v[:1]).flatten(0, 1)), "compared with one of them"),
        (by_eigh(of=lambda v: v[0] - v[1]), "compared with one of them"),
        (by_eigh(of=lambda v: v.mean(0) - v.mean((0, 1))), "of the images' means"),
        (by_eigh(of=lambda v: (v - v.median(0).values).flatten(0, 1)), "the median is subtracted"),
        (by_eigh(of=lambda v: v.flatten(0, 1) - v.mean(0).repeat_interleave(len(v), 0)), "do not stand beside"),
        (by_eigh(of=lambda v: deviations(v)[: v.shape[1]]), "only one view counts"),
        (by_eigh(of=lambda v: F.normalize(deviations(v))), "divided by their lengths"),
        (by_eigh(of=lambda v: deviations(v) / deviations(v).std(0, unbiased=False)), "the correlation is taken"),
        (by_eigh(scale=lambda v, floor: v.clamp(min=floor * v.mean()).rsqrt()), "below the floor are lifted"),
        (by_eigh(scale=lambda v, floor: (v + floor * v.sum()).rsqrt()), "of the sum of the variances"),
        (by_eigh(scale=lambda v, floor: ((1 - floor) * v + floor * v.mean()).rsqrt()), "shrunk"),
        (by_eigh(scale=lambda v, floor: 1 / (v.sqrt() + floor * v.mean().sqrt())), "added after the root"),
        (lambda views, floor=1e-3: by_eigh()(views, floor)[:, 1:], "it should be (4, 4)"),
    ],
)  # fmt: skip
def test_wrong_view_whitening(wrong, words):
    assert_wrong(check.view_whitening, wrong, words)


def test_the_covariance_within_images_is_the_pooled_one():
    views = drawn(3, 7, 4)
    pooled = torch.stack([torch.cov(views[:, n].T, correction=0) for n in range(7)]).mean(0)
    torch.testing.assert_close(whitening.covariance(views, 0.0), pooled)
    w = by_eigh()(views, 1e-9)
    after = torch.stack([torch.cov((views @ w)[:, n].T, correction=0) for n in range(7)]).mean(0)
    torch.testing.assert_close(after, torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)


# --- self_label_loss


def published(weak, strong, threshold=0.99, balance=True):
    """In the words of the authors' code: inverse frequencies as the weight of torch's cross-entropy."""
    confidence, guess = weak.detach().softmax(1).max(1)
    mask = confidence > threshold
    if not mask.any():
        return 0 * strong.sum()
    target, weight = guess[mask], torch.ones(weak.shape[1]).to(strong)
    found, counts = torch.unique(target, return_counts=True)
    weight[found] = 1 / (counts.to(strong) / len(target))
    return F.cross_entropy(strong[mask], target, weight=weight if balance else None)


def by_clusters(weak, strong, threshold=0.99):
    confidence, guess = weak.detach().softmax(1).max(1)
    log_q, means = strong.log_softmax(1), []
    for c in guess[confidence > threshold].unique():
        of_c = (guess == c) & (confidence > threshold)
        means.append(-log_q[of_c, c].mean())
    return torch.stack(means).mean() if means else (0 * log_q).sum()


def by_one_hot(weak, strong, threshold=0.99):
    with torch.no_grad():
        p = F.softmax(weak, -1)
        hot = F.one_hot(p.argmax(1), p.shape[1]) * (p > threshold).any(1, keepdim=True)
        share = hot / hot.sum(0).clamp(min=1)  # (N, C), every cluster that occurs sums to 1
        share = share / share.sum().clamp(min=1)
    return -(share * F.log_softmax(strong, -1)).sum()


@pytest.mark.parametrize("right", [published, by_clusters, by_one_hot])
def test_right_self_label_loss(right, seeds):
    assert_right(check.self_label_loss, right)


def masked(losses, keep, weights=None):
    weights = keep.float() if weights is None else keep * weights
    return (weights * losses).sum() / weights.sum().clamp(min=1e-9)


def kept(confident):
    """published, with another reading of who is confident: confident(p, weak, strong, threshold)."""

    def self_label_loss(weak, strong, threshold=0.99):
        keep = confident(weak.softmax(1), weak, strong, threshold)
        return published(torch.where(keep[:, None], 100 * weak, 0 * weak), strong, 0.9)

    return self_label_loss


def plainly(loss):
    """loss(weak, strong, confident (N,), guess (N,), cross-entropies (N,), inverse counts (N,))."""

    def self_label_loss(weak, strong, threshold=0.99):
        confidence, guess = weak.detach().softmax(1).max(1)
        keep = confidence > threshold
        losses = F.cross_entropy(strong, guess, reduction="none")
        inverse = 1 / torch.bincount(guess[keep], minlength=weak.shape[1]).clamp(min=1)[guess].float()
        return loss(weak, strong, keep, guess, losses, inverse)

    return self_label_loss


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (plainly(lambda w, s, keep, g, losses, inv: masked(losses, torch.ones_like(keep))), "every image counts"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(losses, ~keep, 1 / torch.bincount(
            g[~keep], minlength=w.shape[1]).clamp(min=1)[g])), "below the threshold are kept"),
        (lambda w, s, threshold=0.99: published(w, s, 0.9), "argument threshold is not used"),
        (lambda w, s, threshold=0.99: published(w, s, threshold, balance=False), "the clusters are not balanced"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(losses, keep, 1 / inv)), "weights are the frequencies"),
        (lambda w, s, threshold=0.99: published(s, w, threshold), "the views are swapped"),
        (lambda w, s, threshold=0.99: published(s, s, threshold), "pseudo-labels are those of the strong view"),
        (lambda w, s, threshold=0.99: published(w, w, threshold), "the loss is that of the weak view"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(-(w.softmax(1) * s.log_softmax(1)).sum(1), keep, inv)),
         "the targets are probabilities"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(-(-losses).exp(), keep, inv)), "the logarithm is missing"),
        (plainly(lambda w, s, keep, g, losses, inv: (keep * losses).mean()), "divided by the number of all images"),
        (plainly(lambda w, s, keep, g, losses, inv: (keep * inv * losses).sum() / w.shape[1]), "of all clusters"),
        (plainly(lambda w, s, keep, g, losses, inv: (keep * inv * losses).sum()), "the losses are summed"),
        (plainly(lambda w, s, keep, g, losses, inv: -masked(losses, keep, inv)), "the sign is wrong"),
        (kept(lambda p, w, s, t: p.log().amax(1) > t), "no image is ever confident"),
        (kept(lambda p, w, s, t: p.topk(2, 1).values.diff().abs()[:, 0] > t), "confidence is measured otherwise"),
        (kept(lambda p, w, s, t: w.softmax(0).amax(1) > t), "confidence is measured otherwise"),
        (kept(lambda p, w, s, t: (p.amax(1) > t) & (s.argmax(1) == p.argmax(1))), "both views agree"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(losses, keep, 1 / torch.bincount(
            g, minlength=w.shape[1]).clamp(min=1)[g])), "counted among all"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(losses, keep, 1 / (1 + 1 / inv))), "is not 1 / (confident"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(
            F.cross_entropy(s.softmax(1), g, reduction="none"), keep, inv)), "a softmax is taken before"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(
            F.cross_entropy(s / 0.1, g, reduction="none"), keep, inv)), "divided by a temperature"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(
            F.cross_entropy(s, g, reduction="none", label_smoothing=0.1), keep, inv)), "are smoothed"),
        (plainly(lambda w, s, keep, g, losses, inv: masked(losses * w.softmax(1).amax(1), keep)), "by its confidence"),
        (lambda w, s, threshold=0.95: published(w, s, threshold), "The default is 0.99"),
        (lambda w, s, threshold=0.99: published(w, s.detach(), threshold), "no gradient"),
        (lambda w, s, threshold=0.99: published(w, s, threshold) + 0 * w.sum(), ""),
        (lambda w, s, threshold=0.99: published(w, s, threshold) + (w.sum() - w.sum().detach()), "reaches weak_logits"),
        (plainly(lambda w, s, keep, g, losses, inv: (keep * inv * losses).sum() / (keep * inv).sum()), "no image is"),
        (lambda w, s, threshold=0.99: published(w, s, threshold) if (w.softmax(1) > threshold).any() else
         torch.zeros(()), "carries no graph"),
    ],
)  # fmt: skip
def test_wrong_self_label_loss(wrong, words):
    if not words:
        assert_right(check.self_label_loss, wrong)  # a gradient of 0 is none
    else:
        assert_wrong(check.self_label_loss, wrong, words)


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.9])
def test_self_label_definition_equals_the_published_form(threshold):
    weak, strong = 2 * drawn(40, 5), drawn(40, 5, seed=1)
    mine = labelling.self_label_loss(weak, strong, threshold)
    assert float(mine) == pytest.approx(float(published(weak, strong, threshold)), abs=1e-12)
    torch.testing.assert_close(labelling._variant(weak, strong, threshold), mine)
    even = torch.zeros(40, 5).double()
    assert float(labelling.self_label_loss(weak, even, threshold)) == pytest.approx(math.log(5), abs=1e-12)

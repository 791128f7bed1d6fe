"""Wrong answers to week 9's scores, each with the words of its message."""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_wrong

from sslcourse.check import week09 as check


def unit(z):
    return z / z.norm(dim=-1, keepdim=True)


def top(x):
    return x.max(dim=1).values


def second(x):
    return x.topk(min(2, x.shape[1]), dim=1).values[:, -1]


def entropy(p):
    return -(p * (p + 1e-12).log()).sum(1)


LOGITS = [
    ("msp", lambda x, t=1.0: top((x / t).sigmoid()), "by a sigmoid"),
    ("msp", lambda x, t=1.0: top((x / t).softmax(1).softmax(1)), "taken twice"),
    ("msp", lambda x, t=1.0: top((x / t).softmax(1)) - second((x / t).softmax(1)), "lead over the second"),
    ("msp", lambda x, t=1.0: -entropy((x / t).softmax(1)), "it is an entropy"),
    ("msp", lambda x, t=1.0: x.argmax(1), "number of the best class"),
    ("msp", lambda x, t=1.0: second((x / t).softmax(1)), "second largest"),
    ("msp", lambda x, t=1.0: (x / t).softmax(1).mean(1), "mean over the classes"),
    ("msp", lambda x, t=1.0: top(x / x.sum(1, keepdim=True)), "exponential is missing"),
    ("msp", lambda x, t=1.0: t * top((x / t).softmax(1)), "multiplies the probability"),
    ("msp", lambda x, t=1.0: top((x / t).exp() / (x / t).exp().sum(1, keepdim=True)), "exp overflows"),
    ("msp", lambda x, t=1.0: (x / t).softmax(1).max(0).values, "over dim=1"),
    ("msp", lambda x, t=1.0: top((x / t).softmax(1)).mean(), "of shape ()"),
    ("msp", lambda x, t=1.0: top((x / t).softmax(1))[:256], "it should be (300,)"),
    ("max_logit", lambda x: top(x.log_softmax(1)), "leave the softmax out"),
    ("max_logit", lambda x: top(x.abs()), "without its sign"),
    ("max_logit", lambda x: top(x.relu()), "clamped at 0"),
    ("max_logit", lambda x: x.argmax(1), "number of the best class"),
    ("max_logit", lambda x: top(x) - second(x), "lead over the second"),
    ("max_logit", second, "second largest"),
    ("max_logit", lambda x: top(x - x.mean(1, keepdim=True)), "centred or scaled"),
    ("max_logit", lambda x: top(F.normalize(x)), "centred or scaled"),
    ("max_logit", lambda x: x.logsumexp(1), "sum or mean"),
    ("max_logit", lambda x: x.mean(1), "sum or mean"),
    ("max_logit", lambda x: top(x.sigmoid()), "sigmoid"),
    ("max_logit", lambda x: top(x.T), "over dim=1"),
    ("max_logit", lambda x: x.max(), "of shape ()"),
    ("energy", lambda x, t=1.0: t * (x / t).softmax(1).logsumexp(1), "a softmax is taken first"),
    ("energy", lambda x, t=1.0: t * (x / t - top(x / t)[:, None]).logsumexp(1), "not put back"),
    ("energy", lambda x, t=1.0: t * (x / t - top(x / t)[:, None]).logsumexp(1) + top(x / t), "not put back"),
    ("energy", lambda x, t=1.0: x.sum(1), "exponential is missing"),
    ("energy", lambda x, t=1.0: (x / t).logsumexp(1) / t, "divided by T"),
    ("energy", lambda x, t=1.0: t * (x / t).exp().sum(1).log2(), "not the natural one"),
    ("energy", lambda x, t=1.0: t * (x / t).logsumexp(1) / math.log(2), "not the natural one"),
    ("energy", lambda x, t=1.0: t * F.softplus(x / t).sum(1), "softplus"),
    ("energy", lambda x, t=1.0: (x / t).exp().sum(1), "the logarithm is missing"),
    ("energy", lambda x, t=1.0: t * (x / t).logsumexp(0), "over dim=1"),
    ("energy", lambda x, t=1.0: t * (x.double() / t).exp().sum(1).log(), "exp overflows"),
    ("energy", lambda x, t=1.0: (x * t).logsumexp(1), "multiplied by the temperature"),
    ("energy", lambda x, t=1.0: t * ((x / t).exp().sum(1) + 1e-6).log(), None),
]


def match(cosine=lambda c: c, score=lambda c, t: top((c / t).softmax(1)), images=unit, classes=lambda w: w):
    return lambda x, w, temperature=1.0: score(cosine(images(x) @ classes(w)), temperature)


def far(train_x, x, norm=unit, p=2.0):
    return torch.cdist(norm(x), norm(train_x), p=p, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values


def standardised(train_x):
    return lambda z: (z - train_x.mean(0)) / train_x.std(0)


def past_zero(d, k):
    return torch.where(d < 1e-3, torch.inf, d).sort(1).values[:, min(k, d.shape[1]) - 1]


EMBEDDINGS = [
    ("mcm", match(cosine=torch.relu), "clamped at 0"),
    ("mcm", match(images=lambda x: F.normalize(x, dim=0)), "runs over the batch"),
    ("mcm", match(classes=lambda w: F.normalize(w, dim=1)), "normalised over the classes"),
    ("mcm", match(score=lambda c, t: top(c.softmax(1)) / t), "divides the probabilities"),
    ("mcm", match(score=lambda c, t: top((c / t).log_softmax(1))), "logarithm of the probability"),
    ("mcm", match(score=lambda c, t: top((c / t).sigmoid())), "by a sigmoid"),
    ("mcm", match(score=lambda c, t: top((c / t).softmax(1).softmax(1))), "taken twice"),
    ("mcm", match(score=lambda c, t: c.argmax(1)), "number of the best class"),
    ("mcm", match(score=lambda c, t: t * (c / t).logsumexp(1)), "the energy of the cosines"),
    ("mcm", match(score=lambda c, t: entropy((c / t).softmax(1))), "it is an entropy"),
    ("mcm", match(score=lambda c, t: top((100 * c / t).softmax(1))), "multiplied by 100"),
    ("mcm", match(score=lambda c, t: top((c / t).exp() / (c / t).exp().sum(1, keepdim=True))), "exp(100)"),
    ("mcm", match(score=lambda c, t: (c / t).softmax(1).amax(0)), "over dim=1"),
    ("mcm", match(score=lambda c, t: (c / t).softmax(1).amin(1)), "smallest probability"),
    ("knn_score", lambda t, x, k=1: -far(t, x, norm=lambda z: F.normalize(z, dim=0))[:, k - 1], "over the samples"),
    ("knn_score", lambda t, x, k=1: -far(t, x, norm=standardised(t))[:, k - 1], "are standardised"),
    ("knn_score", lambda t, x, k=1: -far(t, x, p=1.0)[:, k - 1], "(L1)"),
    ("knn_score", lambda t, x, k=1: -past_zero(far(t, x), k), "at distance 0 are left out"),
    ("knn_score", lambda t, x, k=1: -far(t, x)[:, min(k, len(t) - 1)], "one neighbour too far"),
    ("knn_score", lambda t, x, k=1: -(far(t, x)[:, k - 1] ** 2), "are squared"),
    ("knn_score", lambda t, x, k=1: (unit(x) @ unit(t).T).topk(k).values.mean(1), "it is the cosine"),
    ("knn_score", lambda t, x, k=1: -(1 - (unit(x) @ unit(t).T).topk(k).values[:, -1]), "it is the cosine"),
    ("knn_score", lambda t, x, k=1: -far(t, x).mean(1), "a mean over all training samples"),
    ("knn_score", lambda t, x, k=1: -far(t, x)[:, :k].sum(1), "mean over the k nearest"),
    ("knn_score", lambda t, x, k=1: (-far(t, x)[:, k - 1]).exp(), "turned into a similarity"),
    ("knn_score", lambda t, x, k=1: -far(t, x)[:, 0], "k is not used"),
    ("knn_score", lambda t, x, k=1: -far(x, t).repeat(1, 30)[:, k - 1], "for each sample"),
    ("knn_score", lambda t, x, k=1: -far(t, x)[:256, k - 1], "it should be (300,)"),
]


class Detector:
    """Mahalanobis with parts to replace."""

    def fit(self, train_x, train_y):
        x, labels = train_x.double(), train_y.unique()
        self.means = torch.stack([x[train_y == y].mean(0) for y in labels])
        self.rows = [x[train_y == y] - x[train_y == y].mean(0) for y in labels]
        self.L = self.factor(self.within(x))
        self.mean = self.middle(x)
        self.L0 = self.factor(self.whole(x))

    def within(self, x):
        return sum(r.T @ r for r in self.rows) / len(x)

    def whole(self, x):
        return (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)

    def middle(self, x):
        return x.mean(0)

    def factor(self, cov):
        return torch.linalg.cholesky(cov + 1e-6 * cov.trace() / len(cov) * torch.eye(len(cov)))

    def distance(self, x, mean, L):
        return torch.linalg.solve_triangular(L, (x.double() - mean).T, upper=False).square().sum(0)

    def each(self, x):
        return torch.stack([self.distance(x, m, self.L) for m in self.means])

    def score(self, x):
        return -self.each(x).amin(0)

    def background(self, x):
        return -self.distance(x, self.mean, self.L0)

    def relative_score(self, x):
        return self.score(x) - self.background(x)


def wrong(**methods):
    return type("Mahalanobis", (Detector,), methods)


def float32(self, x):
    return (x - x.mean(0)).T.float() @ (x - x.mean(0)).float() / len(x)


class Shared(Detector):
    kept = {}

    def fit(self, train_x, train_y):
        super().fit(train_x, train_y)
        Shared.kept.update(means=self.means, L=self.L)

    def each(self, x):
        return torch.stack([self.distance(x, m, Shared.kept["L"]) for m in Shared.kept["means"]])


class ByPlace(Detector):
    def fit(self, train_x, train_y):
        super().fit(train_x, train_y)
        self.means = torch.stack([train_x[train_y == k].double().mean(0) for k in range(len(train_y.unique()))])


class InSinglePrecision(Detector):
    def fit(self, train_x, train_y):
        cov = train_x.T @ train_x / len(train_x) - torch.outer(train_x.mean(0), train_x.mean(0))
        super().fit(train_x, train_y)
        within = cov - sum(
            len(r) * torch.outer(m, m) for r, m in zip(self.rows, self.means, strict=True)
        ).float() / len(train_x)
        self.L = self.factor((within + torch.outer(train_x.mean(0), train_x.mean(0))).double())


def averaged(self, x):
    return sum(r.T @ r / len(r) for r in self.rows) / len(self.rows)


def averaged_unbiased(self, x):
    return sum(torch.cov(r.T) for r in self.rows) / len(self.rows)


def batch_centred(self, x):
    x = x - x.mean(0)
    return -torch.stack([self.distance(x, m - self.mean, self.L) for m in self.means]).amin(0)


MAHALANOBIS = [
    (wrong(within=averaged), "are averaged, so that a small class"),
    (wrong(within=averaged_unbiased), "are averaged, so that a small class"),
    (wrong(within=lambda self, x: torch.cov(x.T)), "that of the whole set"),
    (wrong(within=lambda self, x: torch.cov(x.T, correction=0)), "that of the whole set"),
    (wrong(within=lambda self, x: Detector.within(self, x) * len(x) / (len(x) - 1)), "divided by N - 1 or N - K"),
    (wrong(within=lambda self, x: torch.cov(self.means.T, correction=0)), "covariance of the class means"),
    (wrong(score=lambda self, x: -self.each(x).sum(0)), "mean or the sum over the classes"),
    (wrong(score=lambda self, x: (-self.each(x)).logsumexp(0)), "soft minimum"),
    (wrong(score=lambda self, x: (-self.each(x) / 2).logsumexp(0)), "soft minimum"),
    (wrong(score=lambda self, x: (-self.each(x).amin(0)).exp()), "turned into a similarity"),
    (wrong(score=lambda self, x: self.each(x).argmin(0)), "it is the class"),
    (wrong(score=batch_centred), "depends on the others"),
    (
        wrong(
            distance=lambda self, x, m, L: (
                torch.linalg.solve_triangular(L.T, (x.double() - m).T, upper=True).square().sum(0)
            )
        ),
        "triangle is transposed",
    ),
    (
        wrong(
            distance=lambda self, x, m, L: torch.linalg.solve_triangular(L, (x.double() - m).T, upper=False).norm(dim=0)
        ),
        "the root is taken",
    ),
    (wrong(whole=lambda self, x: torch.cov(x.T)), "background's covariance is divided by N - 1"),
    (wrong(middle=lambda self, x: self.means.mean(0)), "that of the class means"),
    (wrong(relative_score=lambda self, x: self.background(x)), "the background alone"),
    (wrong(relative_score=lambda self, x: self.score(x) / self.background(x)), "scores are divided"),
    (wrong(relative_score=lambda self, x: self.score(x) - self.each(x).amin(0)), None),
    (wrong(background=lambda self, x: -(x.double() - self.mean).square().sum(1)), "the background is Euclidean"),
    (wrong(factor=lambda self, cov: torch.linalg.cholesky(cov)), "trace / D"),
    (
        wrong(factor=lambda self, cov: torch.linalg.cholesky(cov + 1e-6 * cov.trace() * torch.eye(len(cov)))),
        "trace / D",
    ),
    (Shared, "A second object"),
    (ByPlace, "taken for places"),
    (InSinglePrecision, None),
]


# None where it is only rejected.
WRONG = [
    *LOGITS,
    *EMBEDDINGS,
    *(("Mahalanobis", *row) for row in MAHALANOBIS),
]


@pytest.mark.parametrize(("name", "wrong", "words"), WRONG)
def test_wrong_answers(name, wrong, words):
    assert_wrong(getattr(check, name), wrong, words or "not yet right")

"""The checks of week 9's scores: definitions against peers, right versions in other styles, named mistakes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from scipy.special import logsumexp, softmax
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

import sslcourse
from sslcourse.check import week09 as check
from sslcourse.check.week09 import mahalanobis_oracle
from sslcourse.check.week09 import scores_oracle as oracle


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the definitions against peers


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_scores_of_logits_are_scipys(temperature):
    x = 3 * drawn(12, 5)
    np.testing.assert_allclose(oracle.msp(x, temperature), softmax(x.numpy() / temperature, axis=1).max(axis=1))
    wanted = temperature * logsumexp(x.numpy() / temperature, axis=1)
    np.testing.assert_allclose(oracle.energy(x, temperature), wanted)
    np.testing.assert_allclose(oracle.max_logit(x), x.numpy().max(axis=1))


def test_energy_knows_its_ends():
    x = drawn(6, 4)
    torch.testing.assert_close(oracle.energy(x, 1e-3), oracle.max_logit(x))
    large = 1e4
    torch.testing.assert_close(oracle.energy(x, large) - large * np.log(4), x.mean(dim=1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("k", [1, 4])
def test_knn_score_is_sklearns(k):
    bank, x = drawn(20, 3), drawn(6, 3, seed=1)
    fitted = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(F.normalize(bank, dim=1).numpy())
    distances, _ = fitted.kneighbors(F.normalize(x, dim=1).numpy())
    np.testing.assert_allclose(oracle.knn_score(bank, x, k), -distances[:, -1], atol=1e-7)
    torch.testing.assert_close(oracle._knn(bank, x, k), oracle.knn_score(bank, x, k))


def test_mahalanobis_is_that_of_empirical_covariance():
    train_x, y, x = drawn(40, 3), torch.arange(40) % 3 - 1, drawn(7, 3, seed=1)
    means = {k: train_x[y == k].mean(dim=0) for k in (-1, 0, 1)}
    deviations = torch.stack([row - means[int(k)] for row, k in zip(train_x, y, strict=True)])
    within = EmpiricalCovariance(assume_centered=True).fit(deviations.numpy())
    each = np.stack([within.mahalanobis((x - mean).numpy()) for mean in means.values()])
    total = EmpiricalCovariance().fit(train_x.numpy()).mahalanobis(x.numpy())
    np.testing.assert_allclose(mahalanobis_oracle.mahalanobis(train_x, y, x), -each.min(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        mahalanobis_oracle.relative(train_x, y, x), total - each.min(axis=0), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        mahalanobis_oracle._variant(train_x, y, x), mahalanobis_oracle.mahalanobis(train_x, y, x)
    )
    torch.testing.assert_close(mahalanobis_oracle._relative(train_x, y, x), mahalanobis_oracle.relative(train_x, y, x))


# --- msp, max_logit, energy


def msp_by_hand(logits, temperature=1.0):
    x = logits / temperature
    e = (x - x.max(dim=1, keepdim=True).values).exp()
    return 1 / e.sum(dim=1)


def msp_of_torch(logits, temperature=1.0):
    return torch.max(F.softmax(logits / temperature, dim=-1), dim=-1)[0]


def energy_by_hand(logits, temperature=1.0):
    top = logits.amax(dim=1)
    return top + temperature * ((logits - top[:, None]) / temperature).exp().sum(dim=1).log()


def energy_of_torch(logits, temperature=1.0):
    return temperature * torch.logsumexp(logits / temperature, dim=1)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("msp", msp_by_hand),
        ("msp", msp_of_torch),
        ("max_logit", lambda logits: logits.amax(dim=1)),
        ("max_logit", lambda logits: logits.sort(dim=1).values[:, -1]),
        ("energy", energy_by_hand),
        ("energy", energy_of_torch),
    ],
)
def test_right_scores_of_logits(name, right, seeds):
    assert_right(getattr(check, name), right)


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("msp", lambda x, t=1.0: -msp_of_torch(x, t), "the sign is flipped"),
        ("msp", lambda x, t=1.0: 1 - msp_of_torch(x, t), "the sign is flipped"),
        ("msp", lambda x, t=1.0: msp_of_torch(x), "temperature is not used"),
        ("msp", lambda x, t=1.0: msp_of_torch(x, 1 / t), "multiplied by the temperature"),
        ("msp", lambda x, t=1.0: msp_of_torch(x) / t, "divides the probabilities"),
        ("msp", lambda x, t=1.0: (x / t).softmax(0).amax(1), "runs over the batch"),
        ("msp", lambda x, t=1.0: (x / t).amax(1), "the softmax is missing"),
        ("msp", lambda x, t=1.0: (x / t).log_softmax(1).amax(1), "the logarithm of the probability"),
        ("msp", lambda x, t=1.0: (x / t).softmax(1).amin(1), "the smallest probability"),
        ("msp", lambda x, t=1.0: (x / t).exp().amax(1) / (x / t).exp().sum(1), "1000"),
        ("msp", lambda x, t=1.0: (x / t).softmax(1).argmax(1), "it should be"),
        ("msp", lambda x, t=1.0: (x / t).softmax(1).max(), "a tensor of shape ()"),
        ("msp", lambda x, t=1.0: (x / t).softmax(1), "a tensor of shape (9, 5), it should be (9,)"),
        ("msp", lambda x, t=1.0: (x / t).softmax(1).max(1), "it should be a tensor"),
        ("max_logit", lambda x: -x.amax(1), "the sign is flipped"),
        ("max_logit", lambda x: x.softmax(1).amax(1), "leave the softmax out"),
        ("max_logit", lambda x: x.amin(1), "the smallest logit"),
        ("max_logit", lambda x: x.amax(0), "it should be 9, one for each sample"),
        ("max_logit", lambda x: x.abs().amax(1), "it should be"),
        ("energy", lambda x, t=1.0: -energy_of_torch(x, t), "the sign is flipped"),
        ("energy", lambda x, t=1.0: energy_of_torch(x), "temperature is not used"),
        ("energy", lambda x, t=1.0: (x / t).logsumexp(1), "the factor T before the logarithm is missing"),
        ("energy", lambda x, t=1.0: t * x.logsumexp(1), "a factor only"),
        ("energy", lambda x, t=1.0: t * (x * t).logsumexp(1), "multiplied by the temperature"),
        ("energy", lambda x, t=1.0: x.amax(1), "it is the largest logit"),
        ("energy", lambda x, t=1.0: t * (x / t).exp().sum(1), "the logarithm is missing"),
        ("energy", lambda x, t=1.0: t * (x / t).exp().mean(1).log(), "the exponentials are averaged"),
        ("energy", lambda x, t=1.0: t * (x / t).exp().sum(1).log(), "Use logsumexp"),
    ],
)
def test_wrong_scores_of_logits(name, wrong, words):
    assert_wrong(getattr(check, name), wrong, words)


# --- mcm, knn_score


def mcm_by_hand(image_emb, text_weights, temperature=1.0):
    cosine = F.cosine_similarity(image_emb[:, :, None], text_weights[None], dim=1)
    return msp_by_hand(cosine, temperature)


def mcm_in_one_line(image_emb, text_weights, temperature=1.0):
    return F.softmax(F.normalize(image_emb) @ text_weights / temperature, dim=1).amax(dim=1)


def knn_of_sklearn(train_x, x, k=1):
    fitted = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(F.normalize(train_x).double().numpy())
    return -torch.as_tensor(fitted.kneighbors(F.normalize(x).double().numpy())[0][:, -1])


def knn_by_broadcast(train_x, x, k=1):
    a, b = x / x.norm(dim=1, keepdim=True), train_x / train_x.norm(dim=1, keepdim=True)
    return -(a[:, None] - b).norm(dim=2).topk(k, dim=1, largest=False).values[:, -1]


def knn_by_cosines(train_x, x, k=1):
    cosine = (F.normalize(x) @ F.normalize(train_x).T).topk(k, dim=1).values[:, -1]
    return -(2 - 2 * cosine).clamp(min=0).sqrt()


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("mcm", mcm_by_hand),
        ("mcm", mcm_in_one_line),
        ("knn_score", knn_of_sklearn),
        ("knn_score", knn_by_broadcast),
        ("knn_score", knn_by_cosines),
        ("knn_score", lambda t, x, k=1: -torch.cdist(F.normalize(x), F.normalize(t)).kthvalue(k, dim=1).values),
    ],
)
def test_right_scores_of_embeddings(name, right, seeds):
    assert_right(getattr(check, name), right)


def distances(t, x):
    return torch.cdist(F.normalize(x), F.normalize(t)).sort(dim=1).values


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("mcm", lambda x, w, t=1.0: -mcm_by_hand(x, w, t), "the sign is flipped"),
        ("mcm", lambda x, w, t=1.0: mcm_by_hand(x, w), "temperature is not used"),
        ("mcm", lambda x, w, t=1.0: mcm_by_hand(x, w, 1 / t), "multiplied by the temperature"),
        ("mcm", lambda x, w, t=1.0: (x @ w / t).softmax(1).amax(1), "not normalised"),
        ("mcm", lambda x, w, t=1.0: (F.normalize(x) @ w).amax(1), "the softmax is missing"),
        ("mcm", lambda x, w, t=1.0: (F.normalize(x) @ w / t).softmax(0).amax(1), "runs over the batch"),
        ("mcm", lambda x, w, t=1.0: t * (F.normalize(x) @ w / t).logsumexp(1), "it should be"),
        ("mcm", lambda x, w, t=1.0: (x @ w.T / t).softmax(1).amax(1), "Your code raised RuntimeError"),
        ("knn_score", lambda t, x, k=1: distances(t, x)[:, k - 1], "the sign is flipped"),
        ("knn_score", lambda t, x, k=1: -torch.cdist(x, t).sort(1).values[:, k - 1], "are not normalised"),
        (
            "knn_score",
            lambda t, x, k=1: -torch.cdist(F.normalize(x), t).sort(1).values[:, k - 1],
            "only one side is normalised",
        ),
        ("knn_score", lambda t, x, k=1: -distances(t, x)[:, 0], "k is not used"),
        ("knn_score", lambda t, x, k=1: -distances(t, x)[:, min(k, len(t) - 1)], "one neighbour too far"),
        ("knn_score", lambda t, x, k=1: -distances(t, x)[:, :k].mean(1), "the mean over the k nearest"),
        ("knn_score", lambda t, x, k=1: -distances(t, x)[:, -k], "the k-th largest"),
        ("knn_score", lambda t, x, k=1: -distances(t, x)[:, k - 1].square(), "the distances are squared"),
        ("knn_score", lambda t, x, k=1: 1 - distances(t, x)[:, k - 1].square() / 2, "it is the cosine"),
        ("knn_score", lambda t, x, k=1: knn_by_broadcast(x, t, k)[: len(x)], "Your code raised"),
    ],
)
def test_wrong_scores_of_embeddings(name, wrong, words):
    assert_wrong(getattr(check, name), wrong, words)


# --- Mahalanobis


class WithInverse:
    """numpy, loops and an explicit inverse in float64."""

    def fit(self, train_x, train_y):
        x, y = train_x.double().numpy(), train_y.numpy()
        self.means = {label: x[y == label].mean(0) for label in np.unique(y)}
        self.inverse = self.inverted(np.stack([row - self.means[label] for row, label in zip(x, y, strict=True)]))
        self.mean, self.total = x.mean(0), self.inverted(x - x.mean(0))

    @staticmethod
    def inverted(rows):
        cov = rows.T @ rows / len(rows)
        return np.linalg.inv(cov + 1e-6 * np.trace(cov) / len(cov) * np.eye(len(cov)))

    def score(self, x):
        x = x.double().numpy()
        each = [np.einsum("nd,de,ne->n", x - m, self.inverse, x - m) for m in self.means.values()]
        return -torch.as_tensor(np.min(each, axis=0))

    def relative_score(self, x):
        d = x.double().numpy() - self.mean
        return self.score(x) + torch.as_tensor(np.einsum("nd,de,ne->n", d, self.total, d))


class WithLowRank:
    """Eigenvalues in place of Cholesky, and np.cov with bias."""

    def fit(self, train_x, train_y):
        x = train_x.double()
        labels, y = train_y.unique(return_inverse=True)
        one_hot = F.one_hot(y, len(labels)).double()
        self.centres = (one_hot.T @ x) / one_hot.sum(0)[:, None]
        self.white = self.whitener(x - one_hot @ self.centres)
        self.mean, self.white_all = x.mean(0), self.whitener(x - x.mean(0))
        return self

    def whitener(self, r):
        cov = torch.as_tensor(np.cov(r.T.numpy(), bias=True)).reshape(r.shape[1], r.shape[1])
        values, vectors = torch.linalg.eigh(cov + 1e-6 * cov.trace() / len(cov) * torch.eye(len(cov)))
        return vectors / values.sqrt()

    def score(self, x):
        return -((x.double()[:, None] - self.centres) @ self.white).pow(2).sum(-1).min(1)[0]

    def relative_score(self, x):
        return self.score(x) + ((x.double() - self.mean) @ self.white_all).pow(2).sum(-1)


@pytest.mark.parametrize("right", [WithInverse, WithLowRank])
def test_right_mahalanobis(right, seeds):
    assert_right(check.Mahalanobis, right)


MAHA = """
class Mahalanobis:
    def fit(self, train_x, train_y):
        x = train_x.double()
        self.labels = train_y.unique()
        self.means = torch.stack([x[train_y == y].mean(dim=0) for y in self.labels])
        rows = torch.cat([x[train_y == y] - x[train_y == y].mean(dim=0) for y in self.labels])
        self.L = self.factor(rows)
        self.mean = x.mean(dim=0)
        self.L0 = self.factor(x - self.mean)

    def factor(self, rows):
        cov = rows.T @ rows / len(rows)
        return torch.linalg.cholesky(cov + 1e-6 * cov.trace() / len(cov) * torch.eye(len(cov)))

    def distance(self, x, mean, L):
        return torch.linalg.solve_triangular(L, (x.double() - mean).T, upper=False).square().sum(dim=0)

    def score(self, x):
        return -torch.stack([self.distance(x, m, self.L) for m in self.means]).min(dim=0).values

    def relative_score(self, x):
        return self.score(x) + self.distance(x, self.mean, self.L0)
"""


def test_the_template_of_wrong_versions_is_right():
    assert_right(check.Mahalanobis, cell(MAHA, "Mahalanobis", torch=torch))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return -torch.stack", "return torch.stack", "the sign is flipped"),
        (
            "self.L = self.factor(rows)",
            "self.L = self.factor(x - x.mean(dim=0))",
            "covariance is that of the whole set",
        ),
        ("(x.double() - mean).T", "x.double().T", "the means are not subtracted"),
        ("for m in self.means]", "for m in [self.mean]]", "one mean for all"),
        ("self.L = self.factor(rows)", "self.L = self.factor(x)", "not centred before their covariance"),
        (".min(dim=0).values", ".max(dim=0).values", "the largest distance"),
        (".min(dim=0).values", ".mean(dim=0)", "the mean or the sum over the classes"),
        (".min(dim=0).values", ".min(dim=0).values.sqrt()", "the root is taken"),
        (".min(dim=0).values", ".min(dim=0).values / 2", "the distance is halved"),
        ("self.L = self.factor(rows)", "self.L = self.factor(rows) * (len(x) / (len(x) - 1)) ** 0.5", "divide by N"),
        ("rows.T @ rows / len(rows)", "rows.T @ rows", "is not divided by N"),
        ("self.L = self.factor(rows)", "self.L = torch.eye(x.shape[1]).double()", "Euclidean distances"),
        (
            "self.L = self.factor(rows)",
            "self.L = self.factor(rows).square().sum(1).sqrt().diag()",
            "only the variances",
        ),
        ("+ self.distance(x, self.mean, self.L0)", "- self.distance(x, self.mean, self.L0)", "the background is added"),
        ("+ self.distance(x, self.mean, self.L0)", "", "the background is missing"),
        ("self.distance(x, self.mean, self.L0)", "self.distance(x, self.mean, self.L)", "covariance within classes"),
        ("self.factor(x - self.mean)", "self.factor(x)", "the background is not centred"),
        ("return self.score(x) + self", "return -self.score(x) - self", "the sign is flipped: it is score(x) minus"),
        ("1e-6 * cov.trace() / len(cov)", "1e-6", "The ridge on the diagonal"),
        ("1e-6 * cov.trace() / len(cov)", "0.0", "not yet right"),
        ("1e-6 * cov", "1e-2 * cov", "it should be"),
        ("in self.labels]", "in range(len(self.labels))]", "not yet right"),
        ("def score(self, x):", "def score_of(self, x):", "It has no method score"),
        ("self.labels = train_y.unique()", "self.labels = train_y.unique()[:-1]", "it should be"),
    ],
)
def test_wrong_mahalanobis(old, new, words):
    assert old in MAHA
    assert_wrong(check.Mahalanobis, cell(MAHA.replace(old, new), "Mahalanobis", torch=torch), words)


def test_numbers_before_fit_and_memory_of_an_earlier_fit_are_wrong():
    class Before(WithLowRank):
        def score(self, x):
            return super().score(x) if hasattr(self, "white") else torch.zeros(len(x))

    class Remembers(WithLowRank):
        def fit(self, train_x, train_y):
            return self if hasattr(self, "white") else super().fit(train_x, train_y)

    assert_wrong(check.Mahalanobis, Before, "score before fit gives numbers")
    assert_wrong(check.Mahalanobis, Remembers, "After a second fit")
    assert_wrong(check.Mahalanobis, lambda x: x, "It should be a class")


# --- bad input of the references


def solved(name):
    return sslcourse.solution("week09", name)


@pytest.mark.parametrize("name", ["msp", "max_logit", "energy"])
def test_nan_logits_get_a_sentence(name):
    with pytest.raises(ValueError, match="logits holds NaN or infinite values in 1 of 2 rows"):
        solved(name)(torch.tensor([[1.0, 2.0], [float("nan"), 0.0]]))
    with pytest.raises(ValueError, match=r"logits has shape \(2,\)"):
        solved(name)(torch.tensor([1.0, 2.0]))


def test_too_many_neighbours_get_a_sentence():
    with pytest.raises(ValueError, match="k is 4, but there are 3 training samples"):
        solved("knn_score")(torch.randn(3, 2), torch.randn(2, 2), 4)
    with pytest.raises(ValueError, match="k is 0"):
        solved("knn_score")(torch.randn(3, 2), torch.randn(2, 2), 0)


def test_mahalanobis_says_what_is_wrong_and_takes_a_class_of_one():
    Mahalanobis = solved("Mahalanobis")
    with pytest.raises(RuntimeError, match="call fit"):
        Mahalanobis().score(torch.randn(2, 3))
    with pytest.raises(RuntimeError, match="call fit"):
        Mahalanobis().relative_score(torch.randn(2, 3))
    with pytest.raises(ValueError, match=r"train_y has shape \(4,\); expected \(5,\)"):
        Mahalanobis().fit(torch.randn(5, 3), torch.zeros(4, dtype=torch.long))
    train_x, y = drawn(20, 3), torch.tensor([9] + [1] * 19)
    score = Mahalanobis().fit(train_x, y).score(train_x)
    assert score.isfinite().all() and float(score[0]) == pytest.approx(0, abs=1e-9)  # it is its own mean

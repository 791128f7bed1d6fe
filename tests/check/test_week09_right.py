"""Right answers to week 9 in styles of their own: peers, numpy, loops, modules, other formulas."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right
from scipy import special, stats
from scipy.spatial import distance
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_auc_score
from torch import nn

from sslcourse.check import week09 as check


def unit(z):
    return z / z.norm(dim=-1, keepdim=True)


def both(x, t):
    return F.normalize(x, dim=-1) @ F.normalize(t, dim=-1).T


# --- right answers


class ClipCriterion(nn.Module):
    """One-hot targets and a matrix that is symmetrised."""

    def forward(self, image_emb, text_emb, logit_scale):
        logits = both(image_emb, text_emb) * logit_scale
        targets = torch.eye(len(logits))
        halves = [-(targets * F.log_softmax(logits, dim=dim)).sum() for dim in (0, 1)]
        return torch.stack(halves).mean() / len(logits)


def contrastive(logits):
    return F.nll_loss(F.log_softmax(logits, dim=-1), torch.arange(logits.shape[0]))


def clip_of_transformers(image_emb, text_emb, logit_scale):
    per_text = text_emb.div(text_emb.norm(p=2, dim=-1, keepdim=True)).matmul(unit(image_emb).t()) * logit_scale
    return (contrastive(per_text) + contrastive(per_text.t())) / 2.0


def clip_with_kl(image_emb, text_emb, logit_scale, *, reduction):
    logits = logit_scale * torch.einsum("nd,md->nm", unit(image_emb), unit(text_emb))
    eye = torch.eye(len(logits))
    parts = [F.kl_div(part.log_softmax(1), eye, reduction=reduction) for part in (logits, logits.T)]
    return sum(parts) / 2


def clip_in_loops(image_emb, text_emb, logit_scale):
    z, t = unit(image_emb.double()), unit(text_emb.double())
    s = logit_scale * z @ t.mT
    total = 0
    for i in range(len(s)):
        total = total - 2 * s[i, i] + torch.logsumexp(s[i], 0) + torch.logsumexp(s[:, i], 0)
    return total / (2 * len(s))


@torch.no_grad()
def weights_of_clips_notebook(class_names, templates, encode_text):
    made = []
    for name in class_names:
        emb = encode_text([template.format(name) for template in templates])
        emb /= emb.norm(dim=-1, keepdim=True)
        emb = emb.mean(dim=0)
        emb /= emb.norm()
        made.append(emb)
    return torch.stack(made, dim=1)


def weights_by_template(class_names, templates, encode_text):
    total = sum(unit(encode_text(tuple(t.replace("{}", name) for name in class_names))) for t in templates)
    return unit(total).T.contiguous()


def weights_of_numpy(class_names, templates, encode_text):
    made = []
    for name in class_names:
        rows = np.stack([encode_text([t.format(name)])[0].numpy() for t in templates]).astype(np.float64)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        made.append(rows.sum(0) / np.linalg.norm(rows.sum(0)))
    return torch.from_numpy(np.array(made).T.copy())


def knn_with_scipy(train_x, x, k=1):
    a, b = F.normalize(x.double()).numpy(), F.normalize(train_x.double()).numpy()
    return torch.as_tensor(-np.partition(distance.cdist(a, b), k - 1, axis=1)[:, k - 1])


def knn_in_loops(train_x, x, k=1):
    bank = unit(train_x)
    return torch.stack([-torch.linalg.vector_norm(bank - unit(q), dim=1).sort()[0][k - 1] for q in x])


class OfSklearn:
    """EmpiricalCovariance with the ridge put in, and its own mahalanobis."""

    def fit(self, train_x, train_y):
        x, y = train_x.double().numpy(), train_y.numpy()
        self.centres = np.stack([x[y == label].mean(axis=0) for label in np.unique(y)])
        within = x - self.centres[np.searchsorted(np.unique(y), y)]
        self.within, self.all = self.estimated(within), self.estimated(x - x.mean(axis=0))
        self.all.location_ = x.mean(axis=0)

    def estimated(self, rows):
        fitted = EmpiricalCovariance(assume_centered=True).fit(rows)
        cov = fitted.covariance_
        fitted._set_covariance(cov + 1e-6 * np.trace(cov) / len(cov) * np.eye(len(cov)))
        return fitted

    def score(self, x):
        each = [self.within.mahalanobis(x.double().numpy() - centre) for centre in self.centres]
        return torch.from_numpy(-np.minimum.reduce(each))

    def relative_score(self, x):
        return self.score(x) + torch.from_numpy(self.all.mahalanobis(x.double().numpy()))


class Gaussian(nn.Module):
    """A module with buffers; squared lengths by a solved system, without any factor."""

    def fit(self, train_x, train_y):
        x = train_x.to(torch.float64)
        labels = sorted(set(train_y.tolist()))
        self.register_buffer("means", torch.stack([x[train_y == y].mean(0) for y in labels]))
        d = torch.cat([x[train_y == y] - m for y, m in zip(labels, self.means, strict=True)])
        self.register_buffer("cov", self.ridged(torch.einsum("ni,nj->ij", d, d) / d.shape[0]))
        self.register_buffer("mean", x.mean(0, keepdim=True))
        self.register_buffer("cov0", self.ridged(torch.cov(x.T, correction=0)))
        return self

    def ridged(self, cov):
        return cov + torch.diag(torch.full((len(cov),), 1e-6 * float(cov.diagonal().mean()), dtype=cov.dtype))

    def lengths(self, x, means, cov):
        d = x.double()[:, None] - means[None]
        return (d * torch.linalg.solve(cov, d.flatten(0, 1).T).T.view_as(d)).sum(-1)

    def score(self, x):
        return self.lengths(x, self.means, self.cov).min(dim=1).values.neg()

    def relative_score(self, x):
        return self.lengths(x, self.mean, self.cov0)[:, 0] + self.score(x)


def auroc_of_scipy(in_scores, out_scores):
    u = stats.mannwhitneyu(in_scores.numpy(), out_scores.numpy()).statistic
    return u / (len(in_scores) * len(out_scores))


def auroc_by_searching(in_scores, out_scores):
    ranked = out_scores.sort().values
    below = torch.searchsorted(ranked, in_scores) + torch.searchsorted(ranked, in_scores, right=True)
    return (below.double().mean() / (2 * len(out_scores))).item()


def auroc_by_area(in_scores, out_scores):
    cuts = np.unique(np.r_[in_scores.numpy(), out_scores.numpy(), np.inf])[::-1]
    tpr, fpr = ([(part.numpy() >= cut).mean() for cut in cuts] for part in (in_scores, out_scores))
    return float(np.trapezoid(tpr, fpr))


def fpr_of_numpy(in_scores, out_scores):
    ranked = np.sort(in_scores.numpy())
    return np.mean(out_scores.numpy() >= ranked[len(ranked) * 5 // 100])


def fpr_by_cumsum(in_scores, out_scores):
    both = torch.cat([in_scores, out_scores])
    truth = torch.cat([torch.ones(len(in_scores)), torch.zeros(len(out_scores))])
    cuts = both.unique().flip(0)
    hits = torch.stack([((both >= cut) * truth).sum() for cut in cuts])
    alarms = torch.stack([((both >= cut) * (1 - truth)).sum() for cut in cuts])
    first = (hits * 100 >= 95 * len(in_scores)).nonzero()[0]
    return (alarms[first] / len(out_scores)).item()


def fpr_with_quantile(in_scores, out_scores):
    cut = -np.quantile(-in_scores.double().numpy(), 0.95, method="inverted_cdf")
    return float((out_scores.double().numpy() >= cut).mean())


@torch.jit.script
def msp_scripted(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    return torch.softmax(logits / temperature, dim=1).max(dim=1)[0]


def in_eval_mode(function):
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with torch.inference_mode():
            return function(*args, **kwargs)

    return wrapped


@in_eval_mode
def msp_wrapped(logits, temperature=1.0):
    return F.softmax(logits / temperature, dim=1).amax(dim=1)


RIGHT = {
    "clip_loss": [
        ClipCriterion(),
        clip_of_transformers,
        functools.partial(clip_with_kl, reduction="batchmean"),
        clip_in_loops,
        lambda x, t, s: sum(F.cross_entropy(part, torch.eye(len(x))) for part in (s * both(x, t), s * both(t, x))) / 2,
        lambda x, t, s: torch.cat([m.log_softmax(1).diagonal() for m in (s * both(x, t), s * both(t, x))]).mean().neg(),
    ],
    "zero_shot_weights": [weights_of_clips_notebook, weights_by_template, weights_of_numpy],
    "msp": [
        lambda logits, temperature=1.0: torch.from_numpy(special.softmax(logits.numpy() / temperature, 1).max(1)),
        lambda logits, temperature=1.0: (logits / temperature).log_softmax(-1).amax(-1).exp(),
        msp_scripted,
        msp_wrapped,
        lambda logits, temperature=1.0: torch.stack([row.div(temperature).softmax(0).max() for row in logits]),
        lambda logits, temperature=1.0: nn.Softmax(dim=1)(logits / temperature).topk(1).values[:, 0],
    ],
    "max_logit": [
        lambda logits: torch.topk(logits, 1).values.squeeze(1),
        lambda logits: torch.as_tensor(logits.numpy().max(axis=-1)),
        lambda logits: logits.gather(1, logits.argmax(1, keepdim=True))[:, 0],
        lambda logits: torch.stack([max(row) for row in logits]),
        lambda logits: -(-logits).amin(dim=1),
    ],
    "energy": [
        lambda logits, temperature=1.0: -(-temperature * torch.logsumexp(logits / temperature, dim=1)),
        lambda logits, temperature=1.0: (
            temperature * torch.as_tensor(special.logsumexp(logits.numpy() / temperature, 1))
        ),
        lambda logits, temperature=1.0: (
            temperature * (logits / temperature - (logits / temperature).log_softmax(1))[:, 0]
        ),
        lambda logits, temperature=1.0: (
            temperature * functools.reduce(torch.logaddexp, (logits / temperature).unbind(1))
        ),
        lambda logits, temperature=1.0: torch.stack(
            [temperature * torch.logsumexp(x / temperature, 0) for x in logits]
        ),
    ],
    "mcm": [
        lambda x, w, temperature=1.0: (
            F.cosine_similarity(x[:, None], w.T[None], dim=-1).div(temperature).softmax(-1).amax(-1)
        ),
        lambda x, w, temperature=1.0: torch.as_tensor(special.softmax((unit(x) @ w).numpy() / temperature, 1).max(1)),
        lambda x, w, temperature=1.0: (unit(x) @ F.normalize(w, dim=0) / temperature).softmax(1).max(1)[0],
        lambda x, w, temperature=1.0: torch.einsum("nd,dk->nk", unit(x), w / temperature).log_softmax(1).exp().amax(1),
        lambda x, w, temperature=1.0: (
            (1 - torch.as_tensor(distance.cdist(x, w.T, "cosine"))).div(temperature).softmax(1).amax(1)
        ),
    ],
    "knn_score": [
        knn_with_scipy,
        knn_in_loops,
        lambda train_x, x, k=1: -torch.cdist(unit(x), unit(train_x)).topk(k, largest=False).values.amax(dim=1),
        lambda train_x, x, k=1: -(unit(x)[:, None] - unit(train_x)).square().sum(-1).sqrt().kthvalue(k, 1).values,
        lambda train_x, x, k=1: (
            -torch.cdist(unit(x), unit(train_x), compute_mode="donot_use_mm_for_euclid_dist").sort(1)[0][:, k - 1]
        ),
    ],
    "Mahalanobis": [OfSklearn, Gaussian],
    "auroc": [
        auroc_of_scipy,
        auroc_by_searching,
        auroc_by_area,
        lambda a, b: 1 - roc_auc_score(np.r_[np.zeros(len(a)), np.ones(len(b))], torch.cat([a, b])),
        lambda a, b: np.heaviside(a.double().numpy()[:, None] - b.double().numpy(), 0.5).mean(),
        lambda a, b: sum((x > y) + 0.5 * (x == y) for x in a.tolist() for y in b.tolist()) / len(a) / len(b),
    ],
    "fpr_at_95_tpr": [
        fpr_of_numpy,
        fpr_by_cumsum,
        fpr_with_quantile,
        lambda a, b: (b >= a.topk(math.ceil(len(a) * 19 / 20)).values[-1]).float().mean(),
        lambda a, b: min(float((b >= cut).double().mean()) for cut in a if (a >= cut).double().mean() >= 0.95),
    ],
}


@pytest.mark.parametrize(("name", "right"), [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_right_answers(name, right, seeds):
    assert_right(getattr(check, name), right)

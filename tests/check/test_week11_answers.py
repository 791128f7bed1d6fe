"""Answers to week 11 in the styles of others: unusual right ones, and the mistakes that are made most.

Each row changes one thing in a right version. Words are those of the message that names the mistake; "it should be"
where a message shows numbers only.
"""

import copy
import functools
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell, verdict
from scipy.spatial.distance import cdist, squareform
from scipy.stats import kendalltau, rankdata
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from torch import nn

from sslcourse.check import week11 as check

NAMES = {"torch": torch, "F": F, "nn": nn, "np": np, "math": math, "copy": copy}


def changed(source, name, old, new, **names):
    assert old in source, old
    return cell(source.replace(old, new), name, **NAMES, **names)


# --- relative


def relative_by_scipy(x, anchors, center=False):
    if center:
        x, anchors = x - anchors.mean(0), anchors - anchors.mean(0)
    return torch.from_numpy(1 - cdist(x, anchors, "cosine"))


def relative_by_einsum(x, anchors, center=False):
    shift = anchors.mean(0) * float(center)
    x, a = x - shift, anchors - shift
    return torch.einsum("nd,ad->na", x, a) / torch.outer(x.norm(dim=1), a.norm(dim=1))


def relative_from_distances(x, anchors, center=False):
    """|u - v|^2 = 2 - 2 cos for vectors of length 1."""
    shift = torch.zeros(anchors.shape[1])
    if center:
        shift = anchors.sum(0) / len(anchors)
    u, v = (F.normalize(z.double() - shift) for z in (x, anchors))
    return 1 - (u[:, None] - v).square().sum(-1) / 2


def relative_in_loops(x, anchors, center=False):
    out = torch.empty(len(x), len(anchors))
    middle = anchors.mean(0) if center else 0
    for i, j in itertools.product(range(len(x)), range(len(anchors))):
        out[i, j] = nn.CosineSimilarity(dim=0)(x[i] - middle, anchors[j] - middle)
    return out


@torch.jit.script
def relative_jit(x, anchors, center: bool = False):
    if center:
        middle = anchors.mean(0)
        x, anchors = x - middle, anchors - middle
    return torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(anchors).t()


class Relative(nn.Module):
    def forward(self, x, anchors, center=False):
        return relative_by_einsum(x, anchors, center)


def relative_eps(x, anchors, center=False, eps=0.0):
    x, anchors = (normalize((z - anchors.mean(0) * center).numpy()) for z in (x, anchors))
    return torch.tensor(x @ anchors.T + eps)


@pytest.mark.parametrize(
    "right",
    [
        relative_by_scipy,
        relative_by_einsum,
        relative_from_distances,
        relative_in_loops,
        relative_jit,
        Relative(),
        functools.partial(relative_eps, eps=1e-9),
    ],
)
def test_right_relative(right, seeds):
    assert_right(check.relative, right)


RELATIVE = """
def relative(x, anchors, center=False):
    if center:
        middle = anchors.mean(dim=0)
        x, anchors = x - middle, anchors - middle
    x, anchors = F.normalize(x, dim=1), F.normalize(anchors, dim=1)
    r = x @ anchors.T
    return r
"""
LENGTHS = "F.normalize(x, dim=1), F.normalize(anchors, dim=1)"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return r", "return r.clamp(min=0)", "cut off at 0"),
        ("return r", "return F.relu(r)", "cut off at 0"),
        ("return r", "return r.abs()", "the sign is lost"),
        ("return r", "return r ** 2", "the sign is lost"),
        ("return r", "return r.softmax(dim=1)", "a softmax follows"),
        ("return r", "return r.softmax(dim=0)", "a softmax follows"),
        ("return r", "return torch.arccos(r)", "these are angles"),
        ("return r", "return (1 + r) / 2", "moved into [0, 1]"),
        ("return r", "return F.normalize(r, dim=1)", "to length 1 once more"),
        ("return r", "return r / 0.1", "it should be"),
        ("return r", "return r - r.mean(dim=1, keepdim=True)", "it should be"),
        (LENGTHS, "x / x.square().sum(1, keepdim=True), anchors / anchors.square().sum(1, keepdim=True)", "squared"),
        (LENGTHS, "F.normalize(x, p=1), F.normalize(anchors, p=1)", "sum of absolute values"),
        (
            LENGTHS,
            "F.normalize(x - x.mean(1, keepdim=True)), F.normalize(anchors - anchors.mean(1, keepdim=True))",
            "Pearson's correlation",
        ),
        (LENGTHS, "x / x.norm(), anchors / anchors.norm()", "divided by one number"),
        (LENGTHS, "F.normalize(x, dim=0), F.normalize(anchors, dim=0)", "runs over the samples"),
        (LENGTHS, "x, F.normalize(anchors, dim=1)", "only one side is normalised"),
        ("x @ anchors.T", "torch.cdist(x, anchors)", "these are Euclidean distances"),
        ("x @ anchors.T", "torch.exp(-torch.cdist(x, anchors) ** 2)", "it should be"),
        ("x @ anchors.T", "(x[:, None] * anchors).mean(-1)", "it should be"),
        ("x @ anchors.T", "(x[:, None] * anchors).abs().sum(-1)", "it should be"),
        ("anchors.mean(dim=0)", "anchors.mean(dim=1, keepdim=True).mean()", "one mean is taken of all entries"),
        ("anchors.mean(dim=0)", "anchors.median(dim=0).values", "it should be"),
        ("anchors.mean(dim=0)", "x.mean(dim=0)", "the mean of the samples is taken off"),
        ("anchors.mean(dim=0)", "torch.cat([x, anchors]).mean(dim=0)", "the mean of the samples is taken off"),
        ("x, anchors = x - middle, anchors - middle", "anchors = anchors - middle", "only the anchors are centred"),
        ("if center:", "if not center:", "the wrong way round"),
        ("x - middle, anchors - middle", "x + middle, anchors + middle", "it should be"),
    ],
)
def test_wrong_relative(old, new, words):
    assert_wrong(check.relative, changed(RELATIVE, "relative", old, new), words)


# --- retrieval


def retrieval_in_numpy(a, b, k=10):
    u, v = (normalize(z.double().numpy()) for z in (a, b))
    s = u @ v.T
    rank = np.array([len(s) - rankdata(row, method="max")[i] + 1 for i, row in enumerate(s)])
    near = [NearestNeighbors(n_neighbors=k).fit(z).kneighbors(return_distance=False) for z in (u, v)]
    shares = [np.intersect1d(p, q).size / np.union1d(p, q).size for p, q in zip(*near, strict=True)]
    return dict(mrr=np.mean(1.0 / rank), top1=np.mean(rank == 1), cosine=np.diag(s).mean(), jaccard=np.mean(shares))


def retrieval_in_batches(a, b, k=10):
    a, b = F.normalize(a), F.normalize(b)
    reciprocal, first, common = [], [], []
    for start in range(0, len(a), 256):
        rows = torch.arange(start, min(start + 256, len(a)))
        s = a[rows] @ b.T
        rank = (s >= s.gather(1, rows[:, None])).sum(1)
        reciprocal.append(1 / rank)
        first.append(rank == 1)
        inside = [(z[rows] @ z.T).index_put_((torch.arange(len(rows)), rows), torch.tensor(-9.0)) for z in (a, b)]
        inside = [F.one_hot(s.topk(k).indices, len(a)).sum(1) for s in inside]
        common.append((inside[0] * inside[1]).sum(1))
    common = torch.cat(common)
    return {
        "jaccard": (common / (2 * k - common)).mean(),
        "mrr": torch.cat(reciprocal).mean(),
        "top1": torch.cat(first).double().mean(),
        "cosine": (a * b).sum(1).mean(),
        "rank": 0,
    }


def retrieval_with_k_and_itself(a, b, k=10):
    """k + 1 neighbours, and the first, which is the point itself, thrown away; ranks by sorting twice."""
    a, b = (z / z.norm(dim=1, keepdim=True) for z in (a.double(), b.double()))
    rank = (a @ b.T).argsort(dim=1, descending=True).argsort(dim=1).diag() + 1
    near = [torch.cdist(z, z).argsort(dim=1)[:, 1 : k + 1] for z in (a, b)]
    shares = [len({*p} & {*q}) / len({*p, *q}) for p, q in zip(near[0].tolist(), near[1].tolist(), strict=True)]
    return {
        "mrr": float(rank.reciprocal().mean()),
        "top1": float((rank <= 1).double().mean()),
        "cosine": float(torch.einsum("nd,nd->n", a, b).mean()),
        "jaccard": sum(shares) / len(shares),
    }


@pytest.mark.parametrize("right", [retrieval_in_numpy, retrieval_in_batches, retrieval_with_k_and_itself])
def test_right_retrieval(right, seeds):
    assert_right(check.retrieval, right)
    assert_right(check.retrieval, functools.wraps(right)(lambda *args: right(*args)))


RETRIEVAL = """
def retrieval(a, b, k=10):
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    s = a @ b.T
    true = s.diag()
    rank = 1 + (s > true[:, None]).sum(dim=1)
    near = [(z @ z.T).fill_diagonal_(-2).topk(k).indices for z in (a, b)]
    common = (near[0][:, :, None] == near[1][:, None, :]).sum(dim=(1, 2))
    return {
        "mrr": (1 / rank).mean(),
        "top1": (rank == 1).float().mean(),
        "cosine": true.mean(),
        "jaccard": (common / (2 * k - common)).mean(),
    }
"""
MRR, TOP1, JACCARD = "(1 / rank).mean()", "(rank == 1).float().mean()", "(common / (2 * k - common)).mean()"
RANK, BATCH = "1 + (s > true[:, None]).sum(dim=1)", "torch.stack([c.mean() for c in {}.split(256)]).mean()"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (MRR, "(1 / (s.argsort(1, descending=True).diag() + 1)).mean()", "argsort tells which row"),
        (MRR, "(1 / (s.argsort(1).argsort(1).diag() + 1)).mean()", "the ranks are reversed"),
        (MRR, "((1 / rank).mean() + (1 / (1 + (s > true[None]).sum(0))).mean()) / 2", "both directions"),
        (MRR, "(1 / (1 + (s > true[None]).sum(0))).mean()", "b asks and a answers"),
        (MRR, "(1 / (s >= true[:, None]).sum(1).add(1)).mean()", "count from 2"),
        (MRR, "(1 / rank).sum()", "added up"),
        (MRR, "(1 / rank).median()", "the median"),
        (MRR, "torch.where(rank <= 10, 1 / rank, 0).mean()", "it should be"),
        (MRR, TOP1, "it is top1"),
        (MRR, "(rank == 1).float().mean() / rank.float().mean()", "it should be"),
        (MRR, "(1 / rank.float().log2().add(1)).mean()", "it should be"),
        (MRR, "(rank / len(a)).mean()", "it should be"),
        (MRR, BATCH.format("(1 / rank)"), "a small last batch weighs less"),
        (TOP1, "(rank == 1).float().mean() * 100", "a percentage"),
        (TOP1, "(rank > 1).float().mean()", "the share of queries that fail"),
        (TOP1, "(rank <= 2).float().mean()", "ranks 1 and 2 both count"),
        (TOP1, "(s.argmax(0) == torch.arange(len(a))).float().mean()", "b asks and a answers"),
        (TOP1, "(s.argmin(1) == torch.arange(len(a))).float().mean()", "the least similar row"),
        (TOP1, "(torch.cdist(a0, b0).argmin(1) == torch.arange(len(a))).float().mean()", "compared by distance"),
        (TOP1, BATCH.format("(rank == 1).float()"), "a small last batch weighs less"),
        ("true.mean()", "true.clamp(min=0).mean()", "cut off at 0"),
        ("true.mean()", "true.abs().mean()", "the sign is lost"),
        ("true.mean()", "1 - true.mean()", "it is a distance"),
        ("true.mean()", "F.cosine_similarity(a0, b0, dim=0).mean()", "features are compared"),
        ("true.mean()", "F.cosine_similarity(a0.flatten(), b0.flatten(), dim=0)", "one cosine of everything at once"),
        ("true.mean()", "true[rank == 1].mean()", "only pairs that were found"),
        ("true.mean()", "s.max(dim=1).values.mean()", "the mean of the best matches"),
        ("true.mean()", "s.fill_diagonal_(0).mean()", "it should be"),
        ("true.mean()", "BATCH".replace("BATCH", BATCH.format("true")), "a small last batch weighs less"),
        (JACCARD, "common.float().mean()", "not divided"),
        (JACCARD, "(common / len(a)).mean()", "divided by N"),
        (JACCARD, "1 - (common / (2 * k - common)).mean()", "it is a distance"),
        (JACCARD, "(near[0] == near[1]).float().mean()", "compared place by place"),
        (JACCARD, "common.sum() / (2 * k * len(a) - common.sum())", "added up before dividing"),
        (JACCARD, BATCH.format("(common / (2 * k - common))"), "a small last batch weighs less"),
        (".topk(k).indices", ".topk(min(k + 1, len(a) - 1)).indices", "it should be"),  # and the union counts k
        (".topk(k).indices", ".topk(k, largest=False).indices", "it should be"),  # the point itself among them
        (".fill_diagonal_(-2)", "", "its own neighbour"),
        ("k=10):", "k=10):\n    k = min(10, len(a) - 1)", "k is not used"),
        ("F.normalize(a, dim=1), F.normalize(b, dim=1)", "F.normalize(a, dim=0), F.normalize(b, dim=0)", "every row"),
        ("F.normalize(a, dim=1), F.normalize(b, dim=1)", "a, b", "not normalised"),
        ("F.normalize(a, dim=1), F.normalize(b, dim=1)", "F.normalize(a - a.mean(0)), F.normalize(b - b.mean(0))",
         "the mean of all rows is taken off"),
        ("a @ b.T", "-torch.cdist(a0, b0)", "compared by distance"),
        ("a @ b.T", "1 - a @ b.T", "the ranks are reversed"),
        ("a @ b.T", "a @ a.T", "it should be"),
    ],
)  # fmt: skip
def test_wrong_retrieval(old, new, words):
    source = RETRIEVAL.replace("    a, b = F", "    a0, b0 = a, b\n    a, b = F")
    assert_wrong(check.retrieval, changed(source, "retrieval", old, new), words)


# --- stitch

STITCH = """
def stitch(head, x, anchors, labels):
    mode = head.training
    head.eval()
    with torch.no_grad():
        r = relative(x, anchors)
        logits = head(r)
    answers = logits.argmax(dim=1)
    head.train(mode)
    return (answers == labels).float().mean().item()
"""


def stitch_on_a_copy(head, x, anchors, labels):
    head = copy.deepcopy(head).eval().requires_grad_(False)
    logits = torch.cat([head(relative_jit(part, anchors)) for part in x.split(64)])
    return torch.eq(logits.softmax(-1).max(-1).indices, labels).sum().div(len(labels))


def stitch_by_functional_call(head, x, anchors, labels):
    head.eval()
    weights = {**dict(head.named_parameters()), **dict(head.named_buffers())}
    with torch.inference_mode():
        logits = torch.func.functional_call(head, weights, (relative_in_loops(x, anchors),))
    return np.equal(logits.numpy().argmax(-1), labels.numpy()).sum() / labels.numel()


def stitch_in_double(head, x, anchors, labels):
    head = nn.Sequential(*head).eval()
    hits = sum(int(head(relative_by_scipy(p, anchors).float()).argmax(1).eq(q).sum())
               for p, q in zip(x.split(100), labels.split(100), strict=True))  # fmt: skip
    return hits / len(x)


@pytest.mark.parametrize("right", [stitch_on_a_copy, stitch_by_functional_call, stitch_in_double])
def test_right_stitch(right, seeds):
    assert_right(check.stitch, right)


def test_a_head_that_stays_in_eval_mode_is_told():
    left = "Mind that it leaves a head that came in train mode in eval mode"
    stays = changed(STITCH, "stitch", "    head.train(mode)\n", "", relative=relative_jit)
    outcome, text = verdict(check.stitch, stays)
    assert outcome == "right" and left in text
    outcome, text = verdict(check.stitch, stitch_on_a_copy)
    assert outcome == "right" and left not in text


def test_right_stitch_as_a_cell(seeds):
    assert_right(check.stitch, changed(STITCH, "stitch", "r", "r", relative=relative_jit))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("head.eval()", "pass", "asked in train mode"),
        ("head.eval()", "head.training = False", "asked in train mode"),
        ("head.eval()", "head.train()", "asked in train mode"),
        ("head.eval()", "head.eval()\n    head[3].train()", "asked in train mode"),
        ("head(r)", "nn.Sequential(*head).train()(r)", "is not the same afterwards"),
        ("head(r)", "(head[0].reset_parameters(), head(r))[1]", "has other weights afterwards"),
        ("head(r)", "(lambda h: (h[4].reset_parameters(), h(r))[1])(copy.deepcopy(head))", "other weights"),
        ("head(r)", "head.requires_grad_(False)(r)", "weights are frozen afterwards"),
        ("head(r)", "head(r - r.mean(dim=0))", "sees standardised similarities"),
        ("head(r)", "head((r - r.mean(0)) / r.std(0))", "sees standardised similarities"),
        ("head(r)", "head(r.softmax(dim=1))", "sees a softmax"),
        ("head(r)", "head(r.abs())", "without their sign"),
        ("head(r)", "head(r.clamp(min=0))", "without their sign"),
        ("head(r)", "head(1 - r)", "sees distances"),
        ("head(r)", "head(torch.cdist(x, anchors))", "sees distances"),
        ("head(r)", "head(2 * r)", "For the first sample the head was asked"),
        ("head(r)", "head(F.normalize(r, dim=1))", "For the first sample the head was asked"),
        ("head(r)", "F.one_hot(labels, 5).float().roll(1, 0)", "never asked"),
        ("relative(x, anchors)", "relative(x, anchors, True)", "sees the centred relative space"),
        ("relative(x, anchors)", "relative(x - x.mean(0), anchors - anchors.mean(0))", "the centred relative space"),
        ("relative(x, anchors)", "relative(x, x[:6])", "similarities to the first samples"),
        ("relative(x, anchors)", "x @ anchors.T", "inner products that are not normalised"),
        ("relative(x, anchors)", "F.normalize(x) @ anchors.T", "normalised on one side only"),
        ("relative(x, anchors)", "x[:, :6]", "sees x itself"),
        ("relative(x, anchors)", "relative(x, anchors.flip(0))", "anchors in another order"),
        ("logits.argmax(dim=1)", "logits.argmin(dim=1)", "the least likely class"),
        ("logits.argmax(dim=1)", "logits.abs().argmax(dim=1)", "without its sign"),
        ("logits.argmax(dim=1)", "logits.softmax(dim=0).argmax(dim=1)", "a softmax runs over the samples"),
        ("logits.argmax(dim=1)", "logits.argmax(dim=1) + 1", "counted from 1"),
        ("logits.argmax(dim=1)", "logits.argmax(dim=0)", "Your code raised"),
        ("answers == labels).float().mean()", "answers == labels)[labels != 0].float().mean()", "class 0 are left out"),
        ("answers == labels).float().mean()", "answers == labels.unique(return_inverse=True)[1]).float().mean()",
         "numbered anew"),
        ("(answers == labels).float().mean()",
         "torch.stack([(answers == labels)[labels == c].float().mean() for c in labels.unique()]).mean()",
         "every class has the same weight"),
        ("(answers == labels).float().mean()",
         "torch.stack([r.float().mean() for r in (answers == labels).split(64)]).mean()", "without weights"),
        ("(answers == labels).float().mean()", "logits.softmax(1)[torch.arange(len(x)), labels].mean()",
         "the mean probability of the right class"),
        ("(answers == labels).float().mean()", "(logits.topk(3).indices == labels[:, None]).any(1).float().mean()",
         "the right class may be among several"),
        ("(answers == labels).float().mean()", "(answers == labels).sum()", "divide by their number"),
        ("(answers == labels).float().mean()", "(answers == labels[0]).float().mean()", "it should be"),
        ("(answers == labels).float().mean()", "(answers == labels).float().mean().round()", "it should be"),
    ],
)  # fmt: skip
def test_wrong_stitch(old, new, words):
    assert_wrong(check.stitch, changed(STITCH, "stitch", old, new, relative=relative_jit), words)


# --- linear_cka


def cka_by_singular_values(x, y, debiased=False):
    """Plain CKA from the directions of both, debiased from kernels that are centred in another way (U-centring)."""
    x, y = ((z - z.mean(0, keepdim=True)).double() for z in (x, y))
    if not debiased:
        (u, s, _), (v, t, _) = (torch.linalg.svd(z, full_matrices=False) for z in (x, y))
        overlap = torch.einsum("i,j,ij->", s**2, t**2, (u.T @ v) ** 2)
        return overlap / (s**4).sum().sqrt() / (t**4).sum().sqrt()

    def centred(k):
        n = len(k)
        k = k.clone().fill_diagonal_(0)
        k = k - (k.sum(0) + k.sum(0)[:, None]) / (n - 2) + k.sum() / ((n - 1) * (n - 2))
        return k.fill_diagonal_(0)

    k, m = centred(x @ x.T), centred(y @ y.T)
    return torch.sum(k * m) / (k.norm() * m.norm())


def cka_of_covariances(x, y, debiased=False):
    """Covariances with N - 1: the factor cancels. Debiased as in the published code, features centred, in numpy."""
    x, y = x.numpy().astype(float), y.numpy().astype(float)
    n, d = x.shape
    if not debiased:
        c = np.cov(x.T, y.T)
        return (c[:d, d:] ** 2).sum() / np.sqrt((c[:d, :d] ** 2).sum() * (c[d:, d:] ** 2).sum())
    x, y = x - x.mean(0), y - y.mean(0)
    k, m = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)

    def fair(p, a, b):
        return p - n / (n - 2.0) * a.dot(b) + a.sum() * b.sum() / ((n - 1) * (n - 2))

    xx, yy, xy = (np.linalg.norm(p.T @ q) ** 2 for p, q in ((x, x), (y, y), (x, y)))
    return fair(xy, k, m) / np.sqrt(fair(xx, k, k) * fair(yy, m, m))


def cka_by_centring_kernels(x, y, debiased=False):
    n = len(x)
    x, y = x.double(), y.double()
    k, m = x @ x.T, y @ y.T
    if debiased:
        k.fill_diagonal_(0)
        m.fill_diagonal_(0)
    h = torch.eye(n).double() - torch.full((n, n), 1 / n)
    one = torch.ones(n, 1).double()

    def hsic(k, m):
        if not debiased:
            return torch.trace(h @ k @ h @ m) / (n - 1) ** 2
        inner = (one.T @ k @ one) * (one.T @ m @ one) / (n - 1) / (n - 2)
        return ((k @ m).trace() + inner - 2 * (one.T @ k @ m @ one) / (n - 2)).squeeze() / (n * (n - 3))

    return hsic(k, m).div(hsic(k, k).sqrt() * hsic(m, m).sqrt()).item()


@pytest.mark.parametrize("right", [cka_by_singular_values, cka_of_covariances, cka_by_centring_kernels])
def test_right_linear_cka(right, seeds):
    assert_right(check.linear_cka, right)
    assert_right(check.linear_cka, functools.partial(right))


CKA = """
def linear_cka(x, y, debiased=False):
    n = len(x)
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)

    def f(x, y):
        squared = (x.T @ y).square().sum()
        if not debiased:
            return squared
        k, m = x.square().sum(dim=1), y.square().sum(dim=1)
        return squared - n / (n - 2) * (k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2))

    return (f(x, y) / (f(x, x) * f(y, y)).sqrt()).item()
"""
RATIO, CENTRED = "(f(x, y) / (f(x, x) * f(y, y)).sqrt()).item()", "x - x.mean(dim=0), y - y.mean(dim=0)"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (CENTRED, "x, y", "nothing is centred"),
        (CENTRED, "x - x.mean(dim=0), y", "only one of the two is centred"),
        (CENTRED, "x, y - y.mean(dim=0)", "only one of the two is centred"),
        (CENTRED, "x - x.mean(), y - y.mean()", "one mean is taken of all entries"),
        (CENTRED, "x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)", "the mean runs over the features"),
        (CENTRED, "(x - x.mean(0)) / x.std(0), (y - y.mean(0)) / y.std(0)", "every feature is standardised"),
        (CENTRED, "F.normalize(x - x.mean(0)), F.normalize(y - y.mean(0))", "every sample is brought to length 1"),
        (CENTRED, "F.normalize(x), F.normalize(y)", "every sample is brought to length 1"),
        (".square().sum()\n        if", ".abs().sum()\n        if", "the entries are not squared"),
        (".square().sum()\n        if", ".norm()\n        if", "square root of CKA"),
        (".square().sum()\n        if", ".sum().square()\n        if", "added up before they are squared"),
        (".square().sum()\n        if", ".diagonal().square().sum()\n        if", "only the diagonal"),
        ("(x.T @ y).square().sum()", "torch.linalg.matrix_norm(x.T @ y, 2) ** 2", "another norm"),
        ("(x.T @ y).square().sum()", "torch.linalg.matrix_norm(x.T @ y, 'nuc') ** 2", "another norm"),
        (RATIO, "f(x, y).item()", "not divided by"),
        (RATIO, "(f(x, y) / (f(x, x) * f(y, y))).item()", "lacks its square root"),
        (RATIO, "(f(x, y) / (f(x, x) * f(y, y)).sqrt()).sqrt().item()", "square root of CKA"),
        (RATIO, "(f(x, y).sqrt() / (f(x, x) * f(y, y)).sqrt()).item()", "is not squared"),
        (RATIO, "(2 * f(x, y) / (f(x, x) + f(y, y))).item()", "divided by the mean of"),
        (RATIO, "(f(x, y) / torch.maximum(f(x, x), f(y, y))).item()", "it should be"),
        (RATIO, "1 - (f(x, y) / (f(x, x) * f(y, y)).sqrt()).item()", "one minus CKA"),
        ("        if not debiased:\n            return squared\n", "", "it is debiased in either case"),
        ("        if not debiased:", "        if True:", "this is plain CKA"),
        ("n / (n - 2) *", "n / (n - 1) *", "the factor of the first correction"),
        ("n / (n - 2) *", "2 / (n - 2) *", "the factor of the first correction"),
        ("n / (n - 2) * (k @ m) +", "n / (n - 2) * (k @ m) -", "signs of the corrections"),
        ("- n / (n - 2)", "+ n / (n - 2)", "signs of the corrections"),
        (" + k.sum() * m.sum() / ((n - 1) * (n - 2))", "", "the second correction"),
        ("squared - n / (n - 2) * (k @ m) +", "squared +", "the first correction"),
        ("k.sum() * m.sum()", "(k * m).sum()", "it should be"),
        ("x.square().sum(dim=1), y.square().sum(dim=1)", "x.norm(dim=1), y.norm(dim=1)", "lengths are not squared"),
        (RATIO, "max(0.0, (f(x, y) / (f(x, x) * f(y, y)).sqrt()).item())", "cut off at 0"),
        (RATIO, "(f(x, y) / (f(x, x) * f(y, y)).sqrt()).abs().item()", "sign is lost"),
        (CENTRED, "(x - x.mean(0), y - y.mean(0)) if not debiased else (x, y)", "features are not centred"),
        (RATIO, "(f(x, y) / ((x.T @ x).norm() * (y.T @ y).norm())).item()", "only the numerator is debiased"),
        ("f(x, y) / (f", "(x.T @ y).norm() ** 2 / (f", "only the denominator is debiased"),
    ],
)
def test_wrong_linear_cka(old, new, words):
    assert_wrong(check.linear_cka, changed(CKA, "linear_cka", old, new), words)


# --- optional: select_anchors, rsa, procrustes

SELECT = """
def select_anchors(x, n, method="uniform", generator=None):
    if method == "uniform":
        return torch.multinomial(torch.ones(len(x)), n, generator=generator)
    if method == "farthest":
        first = torch.randperm(len(x), generator=generator)[0]
        chosen, d = [first], (x - x[first]).norm(dim=1)
        for _ in range(n - 1):
            d[chosen[-1]] = -1
            chosen.append(d.argmax())
            d = torch.where(d < 0, d, torch.minimum(d, (x - x[chosen[-1]]).norm(dim=1)))
        return torch.stack(chosen)
    seed = int(torch.randint(1000, (1,), generator=generator))
    model = KMeans(n, n_init=3, random_state=seed).fit(x.numpy())
    distances, chosen = model.transform(x.numpy()), []
    for c in range(n):
        order = [i for i in distances[:, c].argsort() if i not in chosen]
        chosen.append(order[0])
    return torch.tensor(np.array(chosen))
"""


def select_with(old, new):
    from sklearn.cluster import KMeans

    return changed(SELECT, "select_anchors", old, new, KMeans=KMeans)


def test_right_select_anchors(seeds):
    assert_right(check.select_anchors, select_with("x", "x"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("torch.ones(len(x)), n", "torch.ones(len(x)), n, replacement=True", "chosen twice"),
        ("torch.ones(len(x)), n", "x.norm(dim=1), n", "40 are expected of each"),
        ("d.argmax()", "d.abs().argmin()", "With 'farthest'"),
        ("(x - x[first]).norm(dim=1)", "(x - x.mean(0)).norm(dim=1)", "another point lies"),
        ("distances[:, c].argsort()", "distances[:, c].argsort()[::-1]", "With 'kmeans'"),
        ("chosen.append(order[0])", "chosen.append((model.labels_ == c).argmax())", "not the sample that is nearest"),
    ],
)
def test_wrong_select_anchors(old, new, words):
    assert_wrong(check.select_anchors, select_with(old, new), words)


def rsa_by_rankdata(x, y):
    upper = [squareform(1 - np.corrcoef(z), checks=False) for z in (x, y)]
    return torch.tensor(np.corrcoef(*map(rankdata, upper))[0, 1])


def rsa_of_similarities(x, y):
    """Correlations in place of 1 - correlations on both sides: ranks reversed twice."""
    i, j = torch.tril_indices(len(x), len(x), offset=-1)
    u, v = (torch.corrcoef(z.double())[i, j].argsort().argsort().double() for z in (x, y))
    n = len(u)
    return 1 - 6 * (u - v).square().sum() / (n * (n**2 - 1))


@pytest.mark.parametrize("right", [rsa_by_rankdata, rsa_of_similarities])
def test_right_rsa(right, seeds):
    assert_right(check.rsa, right)


RSA = """
def rsa(x, y):
    i, j = np.triu_indices(len(x), k=1)
    u, v = (1 - np.corrcoef(z.double())[i, j] for z in (x, y))
    return spearmanr(u, v).statistic
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("k=1", "k=0", "the full matrix"),
        ("spearmanr(u, v).statistic", "np.corrcoef(u, v)[0, 1]", "Spearman compares the ranks"),
        ("spearmanr(u, v).statistic", "kendalltau(u, v).statistic", "Kendall"),
        ("spearmanr(u, v).statistic", "spearmanr(u, v).pvalue", "it should be"),
        ("spearmanr(u, v).statistic", "1 - spearmanr(u, v).statistic", "a distance"),
        (
            "1 - np.corrcoef(z.double())[i, j]",
            "1 - np.abs(np.corrcoef(z.double()))[i, j]",
            "sign of the correlations is lost",
        ),
        ("1 - np.corrcoef(z.double())[i, j]", "1 - np.corrcoef(z.double())[i, j] ** 2", "sign"),
        ("np.corrcoef(z.double())", "np.cov(z.double())", "covariances"),
        ("np.corrcoef(z.double())", "(z @ z.T).double().numpy()", "inner products"),
        ("1 - np.corrcoef(z.double())[i, j]", "np.abs(z.numpy()[i] - z.numpy()[j]).sum(1)", "distances"),
    ],
)
def test_wrong_rsa(old, new, words):
    from scipy.stats import spearmanr

    assert_wrong(check.rsa, changed(RSA, "rsa", old, new, spearmanr=spearmanr, kendalltau=kendalltau), words)


PROCRUSTES = """
def procrustes(x, y):
    m = (x - x.mean(dim=0)).T @ (y - y.mean(dim=0))
    u, s, vh = torch.linalg.svd(m)
    return u @ vh
"""


def procrustes_by_newton(x, y):
    """The polar factor by Newton's iteration; one mean is enough."""
    r = (x - x.mean(0)).double().T @ y.double()
    for _ in range(60):
        r = (r + torch.linalg.inv(r).T) / 2
    return r


@pytest.mark.parametrize("right", [procrustes_by_newton])
def test_right_procrustes(right, seeds):
    assert_right(check.procrustes, right)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("u @ vh", "vh.T @ u.T", "transposed"),
        ("u @ vh", "u @ vh.T", "V is not transposed"),
        ("u @ vh", "vh @ u", "U and V"),
        ("u @ vh", "s.sum() / (x - x.mean(0)).norm() ** 2 * u @ vh", "a scale is in it"),
        ("u @ vh", "u @ s.diag() @ vh", "singular values are still in"),
        ("(x - x.mean(dim=0)).T @ (y - y.mean(dim=0))", "x.T @ y", "nothing is centred"),
        ("x.mean(dim=0)).T @ (y - y.mean(dim=0))", "x.mean(1, keepdim=True)).T @ (y - y.mean(1, keepdim=True))",
         "it should be"),  # an ambiguous R: the product has a direction of length 0
        ("svd(m)", "svd(m.T)", "transposed"),
        ("u @ vh", "torch.linalg.qr(m).Q", "QR"),
        ("u @ vh", "u.abs() @ vh", "not orthogonal"),
    ],
)  # fmt: skip
def test_wrong_procrustes(old, new, words):
    assert_wrong(check.procrustes, changed(PROCRUSTES, "procrustes", old, new), words)

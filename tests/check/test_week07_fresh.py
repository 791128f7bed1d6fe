"""Answers to week 7 in other people's styles: every right one passes, every slip is told as what it is."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from torch import nn

from sslcourse.check import week07 as check


def code(source, name, *changes):
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source
        source = source.replace(old, new)
    return cell(source, name, torch=torch, nn=nn, F=F, np=np, math=math, functools=functools)


# --- DINOHead

HEAD = """
class DINOHead(nn.Module):
    def __init__(self, in_dim, out_dim, hidden_dim=256, bottleneck_dim=64):
        super().__init__()
        layers = [nn.Linear(in_dim, hidden_dim), nn.GELU()]
        layers += [nn.Linear(hidden_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, bottleneck_dim)]
        self.mlp = nn.Sequential(*layers)
        self.last_layer = nn.Linear(bottleneck_dim, out_dim, bias=False)

    def forward(self, x):
        x = self.mlp(x)
        x = F.normalize(x, dim=-1, p=2)
        return F.linear(x, F.normalize(self.last_layer.weight, dim=1))
"""
LAST = "F.linear(x, F.normalize(self.last_layer.weight, dim=1))"
LAYER = "nn.Linear(bottleneck_dim, out_dim, bias=False)"
UNIT = "F.normalize(x, dim=-1, p=2)"
OLDER = (LAYER, f"nn.utils.weight_norm({LAYER})\n        self.last_layer.weight_g.data.fill_(1)\n"
         "        self.last_layer.weight_g.requires_grad = False", LAST, "self.last_layer(x)")  # fmt: skip
PARTS = """
class Unit(nn.Module):
    def forward(self, weight):
        return weight / weight.norm(dim=1, keepdim=True)
"""


@pytest.mark.parametrize(
    "changes",
    [
        (),
        OLDER,
        (LAST, "F.cosine_similarity(x[:, None], self.last_layer.weight[None], dim=2)"),
        (LAST, "torch.einsum('nd,kd->nk', x, self.last_layer.weight / self.last_layer.weight.norm(dim=1)[:, None])"),
        (UNIT, "x / (x * x).sum(1, keepdim=True).sqrt()"),
        (LAYER, f"nn.utils.parametrize.register_parametrization({LAYER}, 'weight', Unit())", LAST,
         "self.last_layer(x)"),
        (LAST, "F.linear(x, torch.renorm(1e6 * self.last_layer.weight, 2, 0, 1.0))"),
        ("nn.GELU()]", "nn.Identity()]", "        x = self.mlp(x)\n",
         "        x = self.mlp[2](F.gelu(self.mlp[0](x)))\n        x = self.mlp[4](F.gelu(x))\n"),
    ],
)  # fmt: skip
def test_right_head(changes, seeds):
    assert_right(check.DINOHead, code(PARTS + HEAD, "DINOHead", *changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((LAYER, "nn.Linear(bottleneck_dim, out_dim)", LAST, "self.last_layer(x)"), "a bias in the last layer"),
        ((LAST, "self.last_layer(x)"), "is not held at 1"),
        ((LAST, "F.normalize(self.last_layer(x), dim=1)", UNIT, "x"), "the outputs are normalised"),
        ((UNIT, "x"), "embeddings are not normalised"),
        ((UNIT, "x", LAST, "self.last_layer(x)"), "neither the embeddings"),
        ((UNIT, "F.normalize(x, dim=0)"), "over the batch"),
        ((UNIT, "F.normalize(x, dim=-1, p=1)"), "the root of the sum of squares"),
        ((UNIT, "F.layer_norm(x, x.shape[1:])"), "no output may be above 1"),
        ((LAST, "F.linear(x, F.normalize(self.last_layer.weight, dim=0))"), "normalised over the prototypes"),
        (("nn.GELU()", "nn.ReLU()"), "there is a ReLU"),
        (("nn.GELU()", "nn.SiLU()"), "the activation is another one"),
        (("nn.GELU()", "nn.GELU(approximate='tanh')"), "approximation by tanh"),
        (("hidden_dim), nn.GELU()]", "hidden_dim)]"), "no GELU after the first layer"),
        (("hidden_dim), nn.GELU(), ", "hidden_dim), "), "no GELU after the second layer"),
        (("bottleneck_dim)]", "bottleneck_dim), nn.GELU()]"), "GELU after the third layer"),
        (("nn.GELU()", "nn.Identity()"), "no GELU between the layers"),
        ((LAST, LAST + " / 0.1"), "temperatures belong to the loss"),
        ((LAST, LAST + ".softmax(1)"), "ends in a softmax"),
        ((LAST, LAST + ".detach()"), "carry no gradient"),
        ((UNIT, "x / x.norm(dim=1, keepdim=True).detach()"), "the gradient of w1 is not"),
        ((LAST, "F.linear(x, F.normalize(self.last_layer.weight.detach(), dim=1))"), "no gradient reaches prototypes"),
        ((UNIT, "F.dropout(F.normalize(x, dim=1), 0.5)"), ""),
        ((*OLDER, "        self.last_layer.weight_g.requires_grad = False", ""),
         "'last_layer.weight_g' of shape (9, 1)"),
        ((*OLDER, "        self.last_layer.weight_g.data.fill_(1)\n", ""), "fixed, but not at 1"),
        (("nn.Linear(hidden_dim, hidden_dim), nn.GELU(), ", ""), "Three linear layers with biases"),
        ((LAYER, LAYER + "\n        nn.init.ones_(self.last_layer.weight)"), "All prototypes start equal"),
    ],
)  # fmt: skip
def test_wrong_head(changes, words):
    assert_wrong(check.DINOHead, code(HEAD, "DINOHead", *changes), words)


# --- DINOLoss

LOSS = """
class DINOLoss(nn.Module):
    def __init__(self, out_dim, teacher_temp=0.04, student_temp=0.1, center_momentum=0.9):
        super().__init__()
        self.tt, self.ts, self.m = teacher_temp, student_temp, center_momentum
        self.register_buffer("center", torch.zeros(1, out_dim))

    def forward(self, student_views, teacher_views):
        log_p = [F.log_softmax(s / self.ts, dim=-1) for s in student_views]
        targets = [F.softmax((t - self.center) / self.tt, dim=-1).detach() for t in teacher_views]
        total, terms = 0, 0
        for i, q in enumerate(targets):
            for j, p in enumerate(log_p):
                if i == j:
                    continue
                total = total + torch.sum(-q * p, dim=-1).mean()
                terms += 1
        self.move(teacher_views)
        return total / terms

    @torch.no_grad()
    def move(self, teacher_views):
        mean = torch.cat(teacher_views).mean(dim=0, keepdim=True)
        self.center = self.center * self.m + mean * (1 - self.m)
"""
MOVE = "self.center = self.center * self.m + mean * (1 - self.m)"
TERM = "torch.sum(-q * p, dim=-1).mean()"
Q = "F.softmax((t - self.center) / self.tt, dim=-1).detach()"
MOVED = "        self.move(teacher_views)\n"
ALL_AT_ONCE = (
    LOSS[: LOSS.index("        log_p =")]
    + """
        t, s = torch.stack(list(teacher_views)).detach(), torch.stack(list(student_views))
        q = ((t - self.center) / self.tt).softmax(2)
        s, q = (s / self.ts).flatten(0, 1).repeat(len(t), 1), q.repeat_interleave(len(s), 0).flatten(0, 1)
        pairs = F.cross_entropy(s, q, reduction="none").view(len(t), len(student_views), -1).mean(2)
        self.center.lerp_(t.flatten(0, 1).mean(0), 1 - self.m)
        return pairs[~torch.eye(*pairs.shape, dtype=torch.bool)].mean()
"""
)


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (LOSS, ()),
        (ALL_AT_ONCE, ()),
        (LOSS, (MOVE, "self.center.lerp_(mean, 1 - self.m)")),
        (LOSS, (TERM, "F.cross_entropy(p, q)")),  # log-probabilities are logits of themselves
        (LOSS, (TERM, "F.kl_div(p, q, reduction='batchmean') + torch.special.entr(q).sum(1).mean()")),
        (LOSS, ("torch.zeros(1, out_dim)", "torch.zeros(out_dim)", ", keepdim=True", "")),
        (LOSS, ("mean = torch.cat(teacher_views).mean(dim=0, keepdim=True)",
                "mean = sum(t.mean(0, keepdim=True) for t in teacher_views) / len(teacher_views)")),
    ],
)  # fmt: skip
def test_right_loss(source, changes, seeds):
    assert_right(check.DINOLoss, code(source, "DINOLoss", *changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("if i == j:", "if False:"), "pairs of the same view are kept"),
        (("if i == j:", "if j <= i:"), "every pair is taken once"),
        (("if i == j:", "if j < len(targets):"), "the global views of the student are left out"),
        (("enumerate(targets)", "enumerate(targets[:1])"), "only one view of the teacher is compared"),
        (("in enumerate(log_p)", "in enumerate(log_p[:len(targets)])"), "local views are ignored"),
        (("total / terms", "total"), "pairs are summed"),
        (("total / terms", "total / (len(log_p) * len(targets))"), "divided by all pairs"),
        ((TERM, "torch.sum(-q * p)"), "images are summed"),
        ((TERM, "(-q * p).mean()"), "the mean runs over the prototypes too"),
        ((TERM, "torch.sum(-q * p.exp(), dim=-1).mean()"), "the logarithm is missing"),
        ((TERM, "-torch.sum(q * p.exp(), dim=-1).log().mean()"), "the logarithm is taken of a sum"),
        ((TERM, "-torch.sum(q * p.exp(), dim=-1).mean().log()"), "the logarithm is taken of a sum"),
        ((TERM, "F.kl_div(p, q, reduction='batchmean')"), "teacher's entropy is taken away"),
        ((TERM, "torch.sum(-p.exp() * q.log(), dim=-1).mean()"), "the logarithm is that of the teacher"),
        ((TERM, "F.nll_loss(p, q.argmax(1))"), "likeliest prototype"),
        ((TERM, "F.cross_entropy(p.exp(), q)"), "a softmax is taken twice"),
        ((TERM, "torch.sum(q * p, dim=-1).mean()"), "the sign is wrong"),
        (("(s / self.ts, dim=-1)", "(s / self.tt, dim=-1)"), "the same temperature"),
        (("/ self.tt, dim=-1)", "/ self.ts, dim=-1)"), "the same temperature"),
        (("(s / self.ts, dim=-1)", "(s, dim=-1)"), "a temperature is left out"),
        (("(s / self.ts,", "(s * self.ts,", "/ self.tt", "* self.tt"), "multiplied by the temperatures"),
        (("self.tt, self.ts, self.m =", "self.ts, self.tt, self.m ="),
         "temperatures are swapped"),
        (("def forward(self, student_views, teacher_views)", "def forward(self, teacher_views, student_views)"),
         "student and teacher are swapped"),
        ((MOVED, "", "        log_p = [", MOVED + "        log_p = ["), "the new centre is used"),
        ((MOVED, ""), "never updated"),
        ((MOVED, "        if self.training:\n    " + MOVED), "the centre moves in train mode only"),
        ((MOVED, "        for t in teacher_views:\n            self.move([t])\n"), "moves once for each view"),
        ((MOVED, "        self.move(student_views)\n"), "centre follows the student"),
        (("mean(dim=0, keepdim=True)", "sum(dim=0, keepdim=True)"), "rows are summed for the centre"),
        (("mean(dim=0, keepdim=True)", "mean()"), "it should be"),
        ((MOVE, "self.center = self.center * (1 - self.m) + mean * self.m"), "momentum of the centre is the wrong way"),
        ((MOVE, "self.center = mean"), "mean of the last batch"),
        ((Q, Q.replace(".detach()", "")), "gradient reaches the teacher's view"),
        (("    @torch.no_grad()\n", ""), "The centre carries a gradient"),
    ],
)  # fmt: skip
def test_wrong_loss(changes, words):
    assert_wrong(check.DINOLoss, code(LOSS, "DINOLoss", *changes), words)


# --- collapse_report


def both(each=None, together=None, h=lambda p: torch.special.entr(p).sum(-1)):
    first, second = each or (lambda p: h(p).mean()), together or (lambda p: h(p.mean(0)))
    return lambda p: (float(first(p)), float(second(p)))


@torch.jit.script
def scripted(p: torch.Tensor) -> tuple[float, float]:
    m = p.mean(0)
    return float(-torch.xlogy(p, p).sum(1).mean()), float(-torch.xlogy(m, m).sum())


def report_in_loops(teacher_probs):
    h = lambda row: -sum(v * math.log(v) for v in row if v > 0)  # noqa: E731
    rows = teacher_probs.tolist()
    return sum(map(h, rows)) / len(rows), h([sum(column) / len(rows) for column in zip(*rows, strict=True)])


@pytest.mark.parametrize(
    "right",
    [
        both(), scripted, report_in_loops, functools.partial(report_in_loops),
        both(h=lambda p: -(p * (p + 1e-9).log()).sum(-1)),
        both(h=lambda p: -torch.nan_to_num(p * p.log()).sum(-1)),
        lambda p: torch.stack([torch.special.entr(p).sum(1).mean(), torch.special.entr(p.mean(0)).sum()]).tolist(),
        lambda p: tuple(float(-np.sum(np.where(q > 0, q * np.log(np.where(q > 0, q, 1)), 0)) / n)
                        for q, n in ((p.numpy(), len(p)), (p.numpy().mean(0), 1))),
    ],
)  # fmt: skip
def test_right_collapse_report(right, seeds):
    assert_right(check.collapse_report, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (both(h=lambda p: torch.special.entr(p).sum(-1) / math.log(p.shape[-1])), "divided by ln K"),
        (both(h=lambda p: torch.special.entr(p).sum(-1) / math.log(2)), "in nats"),
        (both(h=lambda p: torch.special.entr(p).sum(-1) / math.log(10)), "nats are wanted"),
        (both(h=lambda p: torch.special.entr(p).mean(-1)), "averages over the prototypes"),
        (both(h=lambda p: -torch.special.entr(p).sum(-1)), "the sign is missing"),
        (both(h=lambda p: p.log().mul(p).sum(-1).neg()), "0 log 0 counts as 0"),
        (both(h=lambda p: torch.special.entr(p.softmax(-1)).sum(-1)), "the first number"),
        (both(each=lambda p: torch.special.entr(p).sum(1).sum()), "rows are summed"),
        (both(each=lambda p: torch.special.entr(p.mean(0)).sum()), "both are the entropy of the mean"),
        (both(together=lambda p: torch.special.entr(p).sum(1).mean()), "both are the mean of the entropies"),
        (both(together=lambda p: torch.special.entr(p.sum(0)).sum()), "rows are summed, not averaged"),
        (both(together=lambda p: torch.special.entr(p.mean(1)).sum()), "rows and columns are confused"),
        (both(each=lambda p: torch.special.entr(p).sum(0).mean()), "rows and columns are confused"),
        (lambda p: both()(p)[::-1], "the two are swapped"),
        (lambda p: (both()(p)[0], both()(p)[1] - both()(p)[0]), "the difference of the two"),
        (lambda p: tuple(map(math.exp, both()(p))), "exponentials"),
        (lambda p: torch.special.entr(p).sum(1), "two numbers"),
        (lambda p: both()(p)[0], "two numbers"),
    ],
)
def test_wrong_collapse_report(wrong, words):
    assert_wrong(check.collapse_report, wrong, words)


# --- knn_accuracy


def knn(
    weigh=lambda s, t: (s / t).exp(), unit=lambda x: F.normalize(x, dim=1), votes=None, k_of=lambda k, n: k, skip=0
):
    def knn_accuracy(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
        s, i = (unit(test_x) @ unit(train_x).T).topk(k_of(k, len(train_x)) + skip, dim=1)
        s, y = s[:, skip:], train_y[i[:, skip:]]
        classes = int(torch.cat([train_y, test_y]).max()) + 1
        total = (F.one_hot(y, classes) * weigh(s, temperature)[..., None]).sum(1)
        total = total if votes is None else votes(total, y, train_y, classes)
        return float((total.argmax(1) == test_y).float().mean())

    return knn_accuracy


def knn_in_numpy(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
    a, b = (x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (test_x, train_x))
    y, hits = train_y.numpy(), 0
    for row, truth in zip(a @ b.T, test_y.numpy(), strict=True):
        near = np.argpartition(-row, k - 1)[:k] if k < len(row) else np.arange(len(row))
        hits += np.bincount(y[near], weights=np.exp((row[near] - row.max()) / temperature)).argmax() == truth
    return hits / len(test_y)


def knn_in_chunks(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
    names, y = train_y.unique(return_inverse=True)
    bank, right = F.normalize(train_x, dim=1).T, 0
    for x, truth in zip(test_x.split(64), test_y.split(64), strict=True):
        s, i = torch.sort(F.normalize(x, dim=1) @ bank, dim=1, descending=True)
        w = F.softmax(s[:, :k] / temperature, dim=1)  # a factor for each test image changes no vote
        votes = torch.zeros(len(x), len(names)).index_put_(
            (torch.arange(len(x))[:, None].expand(-1, k), y[i[:, :k]]), w, accumulate=True)  # fmt: skip
        right += (names[votes.argmax(1)] == truth).sum().item()
    return right / len(test_y)


def knn_by_distance(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
    d = torch.cdist(F.normalize(test_x), F.normalize(train_x))  # of unit vectors: the same order
    d, i = d.topk(k, largest=False)
    votes = torch.einsum("mk,mkc->mc", ((1 - d**2 / 2) / temperature).exp(), F.one_hot(train_y[i]).float())
    return (votes.argmax(1) == test_y).double().mean()


@pytest.mark.parametrize(
    "right", [knn(), knn(weigh=lambda s, t: ((s - 1) / t).exp()), knn_in_numpy, knn_in_chunks, knn_by_distance,
              functools.partial(knn())]
)  # fmt: skip
def test_right_knn(right, seeds):
    assert_right(check.knn_accuracy, right)


def per_class(total, y, train_y, classes):
    return total / train_y.bincount(minlength=classes).clamp(min=1)


def per_voter(total, y, train_y, classes):
    return total / F.one_hot(y, classes).sum(1).clamp(min=1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (knn(votes=per_class), "divided by the number of images of their class"),
        (knn(votes=per_voter), "the votes of a class are averaged"),
        (knn(weigh=lambda s, t: torch.ones_like(s)), "unweighted"),
        (knn(weigh=lambda s, t: s), "the similarity itself"),
        (knn(weigh=lambda s, t: s / t), "the similarity itself"),
        (knn(weigh=lambda s, t: s.exp()), "temperature is not used"),
        (knn(weigh=lambda s, t: (s * t).exp()), "multiplied by the temperature"),
        (knn(weigh=lambda s, t: (-s / t).exp()), "the wrong way round"),
        (knn(weigh=lambda s, t: (2 - 2 * s).clamp(min=1e-9).rsqrt()), "one over the distance"),
        (knn(unit=lambda x: F.normalize(x, dim=0)), "it should be"),
        (knn(unit=lambda x: x, weigh=lambda s, t: torch.ones_like(s)), "not normalised"),
        (knn(unit=lambda x: F.normalize(x - x.mean(0), dim=1)), "it should be"),
        (knn(skip=1), "the nearest is left out"),
        (knn(k_of=lambda k, n: 20), "k is not used"),
        (knn(k_of=lambda k, n: n), "k is not used"),
        (knn(k_of=lambda k, n: 1), "k is not used"),
        (knn(k_of=lambda k, n: max(k // 2, 1)), "it should be"),
        (lambda a, b, c, d, k=20, temperature=0.07: knn()(c, d, a, b, k, temperature), "are swapped"),
        (lambda a, b, c, d, k=20, temperature=0.07: 100 * knn()(a, b, c, d, k, temperature), "percentage"),
        (lambda a, b, c, d, k=20, temperature=0.07: 1 - knn()(a, b, c, d, k, temperature), "it is the error"),
        (lambda a, b, c, d, k=20, temperature=0.07: knn()(a, b, c[:256], d[:256], k, temperature), "are some left out"),
    ],
)
def test_wrong_knn(wrong, words):
    assert_wrong(check.knn_accuracy, wrong, words)

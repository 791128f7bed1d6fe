"""The checks of week 7: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from lightly.loss import DINOLoss as LightlyLoss
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import DINOProjectionHead
from scipy.stats import entropy
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

import sslcourse
from sslcourse import augment, evaluate, train
from sslcourse.check import week07 as check
from sslcourse.check.week07 import collapse_oracle, head_oracle, oracle
from sslcourse.check.week07 import knn_oracle as neighbours

reference = lambda name: sslcourse.solution("week07", name)  # noqa: E731


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def calls(n=4, k=6, teacher=2, views=5, count=3):
    return [(list(drawn(views, n, k, seed=c)), list(drawn(teacher, n, k, seed=50 + c))) for c in range(count)]


# --- the definitions against peers and known levels


@pytest.mark.parametrize(("teacher", "views"), [(2, 2), (2, 6), (1, 3)])
@pytest.mark.parametrize("temperatures", [(0.04, 0.1), (0.3, 0.2)])
def test_loss_equals_lightly(teacher, views, temperatures):
    peer = LightlyLoss(6, teacher_temp=temperatures[0], student_temp=temperatures[1], center_momentum=0.8).double()
    ours = reference("DINOLoss")(6, *temperatures, 0.8).double()
    data = calls(teacher=teacher, views=views)
    slow, centers = oracle.dino(data, *temperatures, 0.8)
    for (s, t), mine, center in zip(data, slow, centers, strict=True):
        theirs = float(peer(t, s))  # the teacher comes first there
        assert float(mine) == pytest.approx(theirs, abs=1e-6)
        assert float(ours(s, t)) == pytest.approx(theirs, abs=1e-6)
        torch.testing.assert_close(center, peer.center.flatten(), atol=1e-9, rtol=0)
        torch.testing.assert_close(ours.center, center, atol=1e-9, rtol=0)
    torch.testing.assert_close(torch.stack(oracle._dino(data, *temperatures, 0.8)), torch.stack(slow))


def test_levels_of_the_loss():
    equal = [torch.zeros(3, 9, dtype=torch.float64)] * 2
    assert float(oracle.dino([(equal, equal)])[0][0]) == pytest.approx(math.log(9), abs=1e-12)
    one = [torch.eye(9, dtype=torch.float64)[:1].expand(3, 9) * 50] * 2
    assert float(oracle.dino([(one, one)])[0][0]) == pytest.approx(0, abs=1e-9)  # one-hot collapse looks like success


@pytest.mark.parametrize("sizes", [(5, 9, 7, 4), (12, 32, 16, 8)])
def test_head_has_the_parameters_of_lightlys_and_computes_the_same(sizes):
    n_in, n_out, hidden, bottleneck = sizes
    peer, ours = DINOProjectionHead(n_in, hidden, bottleneck, n_out).double(), reference("DINOHead")(*sizes).double()
    count = lambda head: sum(p.numel() for p in head.parameters() if p.requires_grad)  # noqa: E731
    assert count(ours) == count(peer)
    x = drawn(5, n_in)
    linear = [m for m in peer.layers if isinstance(m, nn.Linear)]
    w = {f"{kind[0]}{i}": getattr(layer, kind) for i, layer in enumerate(linear, 1) for kind in ("weight", "bias")}
    w["prototypes"] = peer.last_layer.weight_v
    with torch.no_grad():
        torch.testing.assert_close(head_oracle.head(x, w), peer(x), atol=1e-9, rtol=0)
        torch.testing.assert_close(head_oracle._head(x, w), peer(x), atol=1e-9, rtol=0)
        for layer, theirs in zip((m for m in ours.mlp if isinstance(m, nn.Linear)), linear, strict=True):
            layer.load_state_dict(theirs.state_dict())
        ours.prototypes.copy_(peer.last_layer.weight_v)
        torch.testing.assert_close(ours(x), peer(x), atol=1e-9, rtol=0)


def test_entropies_equal_scipys_and_have_the_known_levels():
    p = drawn(7, 5).softmax(1)
    mine = collapse_oracle.collapse_report(p)
    assert mine == pytest.approx((entropy(p.numpy(), axis=1).mean(), entropy(p.mean(0).numpy())), abs=1e-12)
    assert reference("collapse_report")(p) == pytest.approx(mine, abs=1e-12)
    assert collapse_oracle.collapse_report(torch.full((4, 8), 1 / 8)) == pytest.approx((math.log(8), math.log(8)))
    assert collapse_oracle.collapse_report(torch.eye(8)[:1].expand(4, 8)) == (0, 0)
    assert collapse_oracle.collapse_report(torch.eye(8)) == pytest.approx((0, math.log(8)))


def test_knn_equals_sklearn():
    train_x, train_y, test_x, test_y = drawn(60, 4), torch.arange(60) % 3, drawn(40, 4, seed=1), torch.arange(40) % 3
    unit = lambda x: F.normalize(x, dim=1).numpy()  # noqa: E731
    for k, t in ((1, 0.07), (10, 0.3), (25, 1.0)):
        peer = KNeighborsClassifier(k, weights=lambda d, t=t: np.exp((1 - d**2 / 2) / t)).fit(unit(train_x), train_y)
        wanted = peer.score(unit(test_x), test_y)
        assert neighbours.knn_accuracy(train_x, train_y, test_x, test_y, k, t) == pytest.approx(wanted, abs=1e-12)
        assert reference("knn_accuracy")(train_x, train_y, test_x, test_y, k, t) == pytest.approx(wanted, abs=1e-6)


def test_byol_equals_lightly():
    q, z = drawn(2, 6, 5)
    wanted = 2 + 2 * float(NegativeCosineSimilarity()(q, z))
    assert float(collapse_oracle.byol_loss(q, z)) == pytest.approx(wanted, abs=1e-9)
    assert float(reference("byol_loss")(q, z)) == pytest.approx(wanted, abs=1e-6)


def test_schedule_equals_the_librarys():
    for case in ((0.99, 1.0, 30, 0), (2.0, 0.1, 20, 5), (1.0, 0.0, 4, 4), (1.0, 0.0, 1, 0)):
        torch.testing.assert_close(torch.tensor(neighbours.schedule(*case)).double(), train.cosine_schedule(*case))
        torch.testing.assert_close(reference("cosine_schedule")(*case), train.cosine_schedule(*case))


# --- bad input of the reference: one sentence


@pytest.mark.parametrize("crop", [reference("multi_crop"), augment.multi_crop])
def test_crops_larger_than_the_image(crop):
    with pytest.raises(ValueError, match=r"global crop of 32 pixels is larger than the image of 28: take at most"):
        crop(torch.rand(2, 3, 28, 30), 1)
    with pytest.raises(ValueError, match=r"local crop of 40 pixels is larger than the image of 32"):
        crop(torch.rand(2, 3, 32, 32), 1, 32, 40)


def test_one_view_only():
    view = [torch.randn(3, 5)]
    with pytest.raises(ValueError, match="one view only"):
        reference("DINOLoss")(5)(view, view)


# --- DINOHead

HEAD = """
class DINOHead(nn.Module):
    def __init__(self, in_dim, out_dim, hidden_dim=256, bottleneck_dim=64):
        super().__init__()
        self.first = nn.Linear(in_dim, hidden_dim)
        self.second = nn.Linear(hidden_dim, hidden_dim)
        self.third = nn.Linear(hidden_dim, bottleneck_dim)
        self.last = nn.utils.parametrizations.weight_norm(nn.Linear(bottleneck_dim, out_dim, bias=False))
        self.last.parametrizations.weight.original0.data.fill_(1.0)
        self.last.parametrizations.weight.original0.requires_grad = False

    def forward(self, x):
        x = F.gelu(self.first(x))
        x = F.gelu(self.second(x))
        x = self.third(x)
        x = F.normalize(x, dim=-1)
        return self.last(x)
"""
FIXED = "        self.last.parametrizations.weight.original0.requires_grad = False\n"
ONES = "        self.last.parametrizations.weight.original0.data.fill_(1.0)\n"
NORMED = "nn.utils.parametrizations.weight_norm(nn.Linear(bottleneck_dim, out_dim, bias=False))"


class ByHand(nn.Module):
    """Plain parameters, prototypes first, norms by division."""

    def __init__(self, in_dim, out_dim, hidden_dim=256, bottleneck_dim=64):
        super().__init__()
        self.p = nn.Parameter(torch.randn(out_dim, bottleneck_dim))
        self.layers = nn.ModuleList(
            [nn.Linear(hidden_dim, bottleneck_dim), nn.Linear(hidden_dim, hidden_dim), nn.Linear(in_dim, hidden_dim)]
        )

    def forward(self, x):
        for layer in reversed(self.layers[1:]):
            x = 0.5 * (y := layer(x)) * (1 + torch.erf(y / math.sqrt(2)))
        x = self.layers[0](x)
        x = x / x.norm(dim=1, keepdim=True)
        return x @ (self.p / self.p.norm(dim=1, keepdim=True)).T


def head(old="", new=""):
    assert old in HEAD
    return cell(HEAD.replace(old, new), "DINOHead", nn=nn, torch=torch, F=F)


@pytest.mark.parametrize("right", [head(), ByHand], ids=["weight_norm", "by hand"])
def test_right_head(right, seeds):
    assert_right(check.DINOHead, right)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("bias=False", "bias=True", "bias in the last layer"),
        (FIXED, "", "the norm of the last layer, 'last.parametrizations.weight.original0' of shape (9, 1), is trained"),
        (ONES, "", "norm of the last layer's rows is fixed, but not at 1"),
        (ONES, ONES.replace("1.0", "2.0"), "Every output is 2 times what it should be"),
        (NORMED, "nn.Linear(bottleneck_dim, out_dim, bias=False)", "AttributeError"),
        (NORMED + "\n" + ONES + FIXED, "nn.Linear(bottleneck_dim, out_dim, bias=False)\n", "is not held at 1"),
        ("        x = F.normalize(x, dim=-1)\n", "", "embeddings are not normalised"),
        ("F.normalize(x, dim=-1)", "F.normalize(x, dim=0)", "normalisation runs over the batch"),
        ("F.gelu", "F.relu", "DINO uses GELU"),
        ("x = F.gelu(self.first(x))", "x = self.first(x)", "no GELU after the first layer"),
        ("x = F.gelu(self.second(x))", "x = self.second(x)", "no GELU after the second layer"),
        ("x = self.third(x)", "x = F.gelu(self.third(x))", "GELU after the third layer too"),
        ("return self.last(x)", "return self.last(x).softmax(dim=1)", "ends in a softmax"),
        ("return self.last(x)", "return self.last(x) / 0.1", "temperatures belong to the loss"),
        ("return self.last(x)", "self.last(x)", "None"),
        ("self.second = nn.Linear(hidden_dim, hidden_dim)", "self.second = nn.Identity()", "Three linear layers"),
        ("nn.Linear(hidden_dim, bottleneck_dim)", "nn.Linear(hidden_dim, bottleneck_dim, bias=False)", "Three linear"),
        (
            "self.third = ",
            "self.norm = nn.BatchNorm1d(hidden_dim)\n        self.third = ",
            "trained parameters of shape (7,) where there should be 2",
        ),
        ("class DINOHead(nn.Module)", "class DINOHead", "should be a class that inherits from nn.Module"),
        ("x = self.third(x)", "x = self.third(x).detach()", "no gradient reaches"),
    ],
)
def test_wrong_head(old, new, words):
    if "class DINOHead" in old:
        source = HEAD.replace(old, new).replace("        super().__init__()\n", "")
        assert_wrong(check.DINOHead, cell(source, "DINOHead", nn=nn, torch=torch, F=F), words)
    else:
        assert_wrong(check.DINOHead, head(old, new), words)


def test_the_older_weight_norm_is_right(seeds):
    source = HEAD.replace("parametrizations.weight_norm", "weight_norm").replace(
        "self.last.parametrizations.weight.original0", "self.last.weight_g"
    )
    assert_right(check.DINOHead, cell(source, "DINOHead", nn=nn, torch=torch, F=F))
    trained = source.replace("        self.last.weight_g.requires_grad = False\n", "")
    assert_wrong(check.DINOHead, cell(trained, "DINOHead", nn=nn, torch=torch, F=F), "'last.weight_g' of shape (9, 1)")


# --- DINOLoss

LOSS = """
class DINOLoss(nn.Module):
    def __init__(self, out_dim, teacher_temp=0.04, student_temp=0.1, center_momentum=0.9):
        super().__init__()
        self.teacher_temp = teacher_temp
        self.student_temp = student_temp
        self.m = center_momentum
        self.register_buffer("center", torch.zeros(out_dim))

    def forward(self, student_views, teacher_views):
        teacher_views = [t.detach() for t in teacher_views]
        loss, n = 0, 0
        for i, t in enumerate(teacher_views):
            p = F.softmax((t - self.center) / self.teacher_temp, dim=1)
            for j, s in enumerate(student_views):
                if i != j:
                    loss = loss - (p * F.log_softmax(s / self.student_temp, dim=1)).sum(dim=1).mean()
                    n += 1
        mean = torch.cat(teacher_views).mean(dim=0)
        self.center = self.m * self.center + (1 - self.m) * mean
        return loss / n
"""


class AsPublished(nn.Module):
    """The form of the authors' code: views in one tensor, chunked, the centre (1, K)."""

    def __init__(self, out_dim, teacher_temp=0.04, student_temp=0.1, center_momentum=0.9):
        super().__init__()
        self.teacher_temp, self.student_temp, self.center_momentum = teacher_temp, student_temp, center_momentum
        self.register_buffer("center", torch.zeros(1, out_dim))

    def forward(self, student_views, teacher_views):
        n_s, n_t = len(student_views), len(teacher_views)
        teacher_output = torch.cat(teacher_views)
        student_out = (torch.cat(student_views) / self.student_temp).chunk(n_s)
        teacher_out = F.softmax((teacher_output - self.center) / self.teacher_temp, dim=-1).detach().chunk(n_t)
        total_loss, n_loss_terms = 0, 0
        for iq, q in enumerate(teacher_out):
            for v in range(len(student_out)):
                if v == iq:
                    continue
                total_loss += torch.sum(-q * F.log_softmax(student_out[v], dim=-1), dim=-1).mean()
                n_loss_terms += 1
        self.update_center(teacher_output)
        return total_loss / n_loss_terms

    @torch.no_grad()
    def update_center(self, teacher_output):
        batch_center = torch.sum(teacher_output, dim=0, keepdim=True) / len(teacher_output)
        self.center = self.center * self.center_momentum + batch_center * (1 - self.center_momentum)


class Einsum(nn.Module):
    def __init__(self, out_dim, teacher_temp=0.04, student_temp=0.1, center_momentum=0.9):
        super().__init__()
        self.temps, self.m = (teacher_temp, student_temp), center_momentum
        self.register_buffer("center", torch.zeros(out_dim))

    def forward(self, student_views, teacher_views):
        with torch.no_grad():
            raw = torch.stack(teacher_views)
            t = ((raw - self.center) / self.temps[0]).softmax(2)
            self.center.lerp_(raw.mean((0, 1)), 1 - self.m)
        s = (torch.stack(student_views) / self.temps[1]).log_softmax(2)
        pairs = -torch.einsum("tbk,sbk->ts", t, s) / len(s[0])
        different = 1 - torch.eye(len(t), len(s))
        return (pairs * different).sum() / different.sum()


def loss(old="", new=""):
    assert old in LOSS
    return cell(LOSS.replace(old, new), "DINOLoss", nn=nn, torch=torch, F=F)


@pytest.mark.parametrize("right", [loss(), AsPublished, Einsum], ids=["loops", "as published", "einsum"])
def test_right_loss(right, seeds):
    assert_right(check.DINOLoss, right)


UPDATE = "        self.center = self.m * self.center + (1 - self.m) * mean\n"
MEAN = "        mean = torch.cat(teacher_views).mean(dim=0)\n"
BEGIN = "        loss, n = 0, 0\n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("if i != j:", "if True:", "pairs of the same view are kept"),
        ("if i != j:", "if i == j:", "pairs of the same view are kept"),
        ("enumerate(student_views)", "enumerate(student_views[:2])", "local views are ignored"),
        ("return loss / n", "return loss", "pairs are summed"),
        ("return loss / n", "return loss / (len(student_views) * len(teacher_views))", "divided by all pairs"),
        (".sum(dim=1).mean()", ".sum()", "images are summed"),
        (".sum(dim=1).mean()", ".mean()", "the mean runs over the prototypes too"),
        (BEGIN, BEGIN + MEAN + UPDATE, "new centre is used"),  # and moves twice, which is seen later
        (UPDATE, "", "centre is never updated"),
        ("(t - self.center)", "t", "centre is not used"),
        ("(t - self.center)", "(t + self.center)", "centre is added"),
        ("(t - self.center) / self.teacher_temp", "t / self.teacher_temp - self.center", "after the temperature"),
        ("s / self.student_temp", "(s - self.center) / self.student_temp", "centre is subtracted from the student"),
        ("self.m * self.center + (1 - self.m) * mean", "(1 - self.m) * self.center + self.m * mean", "wrong way round"),
        ("self.m * self.center + (1 - self.m) * mean", "mean", "mean of the last batch"),
        ("torch.cat(teacher_views)", "teacher_views[0]", "only one view of the teacher"),
        ("torch.cat(teacher_views)", "torch.cat(student_views).detach()", "centre follows the student"),
        ("torch.cat(teacher_views)", "torch.cat(teacher_views).softmax(1)", "average the raw outputs"),
        ("torch.cat(teacher_views)", "(torch.cat(teacher_views) - self.center)", "average the raw outputs"),
        (".mean(dim=0)\n", ".sum(dim=0)\n", "rows are summed for the centre"),
        ("self.teacher_temp = teacher_temp", "self.teacher_temp = student_temp", "it should be"),
        (
            "self.teacher_temp = teacher_temp\n        self.student_temp = student_temp",
            "self.teacher_temp = student_temp\n        self.student_temp = teacher_temp",
            "temperatures are swapped",
        ),
        ("dim=1)\n            for", "dim=0)\n            for", "it should be"),
        ("[t.detach() for t in teacher_views]", "list(teacher_views)", "gradient reaches the teacher's view 0"),
        (
            "[t.detach() for t in teacher_views]\n",
            "list(teacher_views)\n        mean = torch.cat(teacher_views).detach().mean(dim=0)\n",
            "gradient",
        ),
        ("F.log_softmax(s / self.student_temp, dim=1)", "F.softmax(s / self.student_temp, dim=1)", "it should be"),
        ("F.log_softmax(s / self.student_temp, dim=1)", "F.softmax(s / self.student_temp, 1).log()", "not finite"),
        ("loss - (p", "loss + (p", "sign is wrong"),
        ('self.register_buffer("center", torch.zeros(out_dim))', "self.center = torch.zeros(out_dim)", "no buffer"),
        ("torch.zeros(out_dim)", "torch.ones(out_dim)", "does not start at 0"),
        ('self.register_buffer("center", ', "self.center = nn.Parameter(", "center is a parameter"),
        ("        self.center = self.m", "        if self.training: self.center = self.m", "it should be"),
        ("self.m = center_momentum", "self.m = 0.9", "an argument of __init__ is not used"),
        ("self, student_views, teacher_views", "self, teacher_views, student_views", "it should be"),
        ("class DINOLoss(nn.Module)", "class DINOLoss", "AttributeError"),
        ("return loss / n", "return torch.as_tensor(float(loss / n))", "carries no gradient"),
    ],
)
def test_wrong_loss(old, new, words):
    if (old, words) == (BEGIN, "new centre is used"):
        source = LOSS.replace(MEAN + UPDATE, "").replace(BEGIN, MEAN + UPDATE + BEGIN)
        assert_wrong(check.DINOLoss, cell(source, "DINOLoss", nn=nn, torch=torch, F=F), words)
    elif words == "gradient":
        source = LOSS.replace(MEAN, "").replace(old, new)
        message = "a gradient reaches the teacher's view 0"
        assert_wrong(check.DINOLoss, cell(source, "DINOLoss", nn=nn, torch=torch, F=F), message)
    else:
        assert_wrong(check.DINOLoss, loss(old, new), words)


# --- collapse_report


def report_with_logs(p):
    log_p, mean = p.clamp(min=1e-12).log(), p.mean(0)
    return -(p * log_p).sum(1).mean().item(), -(mean * mean.clamp(min=1e-12).log()).sum().item()


def report_of_torch(p):
    each = torch.distributions.Categorical(probs=p).entropy().mean()
    return float(each), float(torch.distributions.Categorical(probs=p.mean(0)).entropy())


def report_of_scipy(p):
    return float(entropy(p.numpy(), axis=1).mean()), float(entropy(p.numpy().mean(0)))


@pytest.mark.parametrize("right", [report_with_logs, report_of_torch, report_of_scipy])
def test_right_collapse_report(right, seeds):
    assert_right(check.collapse_report, right)


def ent(p, dim=-1):
    return torch.special.entr(p).sum(dim)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda p: (float(ent(p.mean(0))), float(ent(p).mean())), "the two are swapped"),
        (lambda p: (float(ent(p).mean()) / math.log(2), float(ent(p.mean(0))) / math.log(2)), "in nats"),
        (lambda p: (-float(ent(p).mean()), -float(ent(p.mean(0)))), "sign is missing"),
        (lambda p: (float(ent(p).sum()), float(ent(p.mean(0)))), "rows are summed"),
        (lambda p: (float(ent(p).mean()), float(ent(p).mean())), "average the rows first"),
        (lambda p: (float(ent(p.mean(0))), float(ent(p.mean(0)))), "one entropy for each row"),
        (lambda p: (float(ent(p.softmax(1)).mean()), float(ent(p.softmax(1).mean(0)))), "probabilities already"),
        (lambda p: (float(ent(p).mean()) / p.shape[1], float(ent(p.mean(0))) / p.shape[1]), "sum over them"),
        (lambda p: (float(ent(p).mean()) / p.shape[1], float(ent(p.mean(0)))), "the first averages over"),
        (lambda p: (float(ent(p).mean()), float(ent(p.mean(0))) / p.shape[1]), "the second averages over"),
        (lambda p: (float(ent(p, 0).mean()), float(ent(p.mean(0)))), "rows and columns are confused"),
        (lambda p: (float(ent(p).mean()), float(ent(p.mean(1)))), "rows and columns are confused"),
        (lambda p: (float(-(p * p.log()).sum(1).mean()), float(ent(p.mean(0)))), "0 log 0 counts as 0"),
        (lambda p: float(ent(p).mean()), "should return two numbers"),
        (lambda p: (ent(p), ent(p.mean(0))), "should be a scalar"),
        (lambda p: (0.0, float(ent(p.mean(0)))), "the first number"),
        (lambda p: (float(ent(p).mean()), float(ent(p[0]))), "the second number"),
    ],
)
def test_wrong_collapse_report(wrong, words):
    assert_wrong(check.collapse_report, wrong, words)


# --- knn_accuracy


def knn(
    train_x,
    train_y,
    test_x,
    test_y,
    k=20,
    temperature=0.07,
    unit=lambda x: F.normalize(x, dim=1),
    weigh=lambda s, t: (s / t).exp(),
    largest=True,
):
    s, i = (unit(test_x) @ unit(train_x).T).topk(k, dim=1, largest=largest)
    votes = torch.zeros(len(test_x), int(train_y.max()) + 1).scatter_add_(1, train_y[i], weigh(s, temperature))
    return (votes.argmax(1) == test_y).float().mean().item()


def knn_of_sklearn(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
    unit = lambda x: F.normalize(x, dim=1).numpy()  # noqa: E731
    weigh = lambda d: np.exp((1 - d**2 / 2) / temperature)  # noqa: E731
    return KNeighborsClassifier(k, weights=weigh).fit(unit(train_x), train_y).score(unit(test_x), test_y)


def knn_with_loops(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
    right = 0
    for x, y in zip(test_x, test_y, strict=True):
        s = F.cosine_similarity(x[None], train_x)
        best = s.argsort(descending=True)[:k]
        votes = torch.zeros(int(train_y.max()) + 1)
        for i in best:
            votes[train_y[i]] += (s[i] / temperature).exp()
        right += int(votes.argmax()) == int(y)
    return right / len(test_y)


@pytest.mark.parametrize("right", [knn, knn_of_sklearn, knn_with_loops, evaluate.knn_accuracy])
def test_right_knn(right, seeds):
    assert_right(check.knn_accuracy, right)


def changed(**what):
    return lambda a, b, c, d, k=20, temperature=0.07: knn(a, b, c, d, k, temperature, **what)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (changed(weigh=lambda s, t: torch.ones_like(s)), "neighbours are unweighted"),
        (changed(unit=lambda x: x, weigh=lambda s, t: torch.ones_like(s)), "features are not normalised"),
        (changed(unit=lambda x: x, weigh=lambda s, t: (s.double() / t).clamp(max=700).exp().float()), "it should be"),
        (changed(weigh=lambda s, t: s), "similarity itself is the weight"),
        (changed(weigh=lambda s, t: (s * t).exp()), "it should be"),
        (changed(weigh=lambda s, t: (-s / t).exp()), "wrong way round"),
        (changed(largest=False), "the farthest vote"),
        (lambda a, b, c, d, k=20, temperature=0.07: knn(a, b, c, d, k, 0.07), "temperature is not used"),
        (lambda a, b, c, d, k=20, temperature=0.07: knn(a, b, c, d, 20, temperature), "k is not used"),
        (lambda a, b, c, d, k=20, temperature=0.07: knn(a, b, c, d, 1, temperature), "k is not used"),
        (lambda a, b, c, d, k=20, temperature=0.07: 100 * knn(a, b, c, d, k, temperature), "percentage"),
        (lambda a, b, c, d, k=20, temperature=0.07: 1 - knn(a, b, c, d, k, temperature), "it is the error"),
        (lambda a, b, c, d, k=20, temperature=0.07: knn(c, d, a, b, k, temperature), "are swapped"),
        (changed(unit=lambda x: F.normalize(x, dim=0)), "it should be"),
        (lambda a, b, c, d, k=20, temperature=0.07: knn(a, b, c, d, k + 1, temperature), "it should be"),
    ],
)
def test_wrong_knn(wrong, words):
    assert_wrong(check.knn_accuracy, wrong, words)


# --- byol_loss


@pytest.mark.parametrize(
    "right",
    [
        lambda predictions, targets: 2 - 2 * F.cosine_similarity(predictions, targets.detach()).mean(),
        lambda predictions, targets: (
            (F.normalize(predictions, dim=1) - F.normalize(targets.detach(), dim=1)).square().sum(1).mean()
        ),
        lambda predictions, targets: 2 + 2 * NegativeCosineSimilarity()(predictions, targets.detach()),
    ],
)
def test_right_byol(right, seeds):
    assert_right(check.byol_loss, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda q, z: F.mse_loss(q, z.detach()), "it should be"),
        (lambda q, z: (q - z.detach()).square().sum(1).mean(), "not normalised"),
        (lambda q, z: F.mse_loss(F.normalize(q), F.normalize(z.detach())), "dimensions too"),
        (lambda q, z: (2 - 2 * F.cosine_similarity(q, z.detach())).sum(), "images are summed"),
        (lambda q, z: -F.cosine_similarity(q, z.detach()).mean(), "minus the cosine"),
        (lambda q, z: 1 - F.cosine_similarity(q, z.detach()).mean(), "half the squared distance"),
        (lambda q, z: (F.normalize(q) - F.normalize(z.detach())).norm(dim=1).mean(), "not squared"),
        (lambda q, z: 2 - 2 * F.cosine_similarity(q, z).mean(), "gradient reaches the targets"),
        (lambda q, z: 2 - 2 * F.cosine_similarity(q.detach(), z).mean(), "gradient"),
        (lambda q, z: 2 - 2 * F.cosine_similarity(q, z.detach()), "should be a scalar"),
    ],
)
def test_wrong_byol(wrong, words):
    assert_wrong(check.byol_loss, wrong, words)


# --- given code is checked too


@pytest.mark.parametrize("right", [augment.multi_crop])
def test_right_multi_crop(right, seeds):
    assert_right(check.multi_crop, right)


CROP = reference("multi_crop")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, n, g=32, s=16, generator=None: CROP(x, n, g, s, generator)[:2], "should return 5 views"),
        (lambda x, n, g=32, s=16, generator=None: CROP(x, n, g, s, generator)[::-1], "View 0 is"),
        (
            lambda x, n, g=32, s=16, generator=None: [
                v[:1].expand(len(x), -1, -1, -1).clone() for v in CROP(x, n, g, s, generator)
            ],
            "same crop of every image",
        ),
        (lambda x, n, g=32, s=16, generator=None: CROP(x, n, g, s), "other views"),
        (
            lambda x, n, g=32, s=16, generator=None: [(v := CROP(x, n, g, s, generator))[0], v[0], *v[2:]],
            "Both global views are the same",
        ),
        (lambda x, n, g=32, s=16, generator=None: [v.flip(0) for v in CROP(x, n, g, s, generator)], "out of order"),
        (lambda x, n, g=32, s=16, generator=None: [2 * v for v in CROP(x, n, g, s, generator)], "outside [0, 1]"),
    ],
)
def test_wrong_multi_crop(wrong, words):
    assert_wrong(check.multi_crop, wrong, words)


def test_schedules():
    assert_right(check.cosine_schedule, train.cosine_schedule)
    off = lambda start, end, steps, warmup=0: torch.tensor(neighbours.off_by_one(start, end, steps, warmup))  # noqa: E731
    assert_wrong(check.cosine_schedule, off, "last value is not reached")
    straight = lambda start, end, steps, warmup=0: torch.linspace(start, end, steps)  # noqa: E731
    assert_wrong(check.cosine_schedule, straight, "it should be")


def scheduled(rising=lambda i, n: i / n, falling=lambda t: 0.5 + 0.5 * math.cos(math.pi * t), first=lambda w: w):
    def cosine_schedule(start, end, steps, warmup=0):
        t = [(i - first(warmup)) / max(steps - warmup - 1, 1) if steps - warmup > 1 else 1.0 for i in range(steps)]
        after = [end + (start - end) * falling(x) for x in t[warmup:]]
        return torch.tensor([start * rising(i, warmup) for i in range(warmup)] + after)

    return cosine_schedule


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (scheduled(rising=lambda i, n: (i + 1) / n), "the warm-up counts from 1"),
        (scheduled(rising=lambda i, n: i / max(n - 1, 1)), "reaches start a step early"),
        (scheduled(falling=lambda t: 0.5 - 0.5 * math.cos(math.pi * t)), "start and end are swapped"),
        (scheduled(falling=lambda t: 1 - t), "along a straight line"),
        (scheduled(falling=lambda t: math.cos(math.pi * t / 2)), "a quarter of a cosine's period"),
        (scheduled(first=lambda w: 0), "the cosine counts from step 0"),
        (lambda start, end, steps, warmup=0: scheduled()(start, end, steps), "warmup is not used"),
        (lambda start, end, steps, warmup=0: scheduled()(start, 0.0, steps, warmup), "it falls to 0"),
        (scheduled(falling=lambda t: 1 - t**2), "it should be"),
    ],
)
def test_wrong_cosine_schedule(wrong, words):
    assert_right(check.cosine_schedule, scheduled())
    assert_wrong(check.cosine_schedule, wrong, words)

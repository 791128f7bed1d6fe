"""The checks of week 5: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell, verdict
from lightly.loss import NTXentLoss
from lightly.models.utils import update_momentum
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import NearestNeighbors
from torch import nn

from sslcourse import evaluate, train
from sslcourse.check import week05 as check
from sslcourse.check.week05 import clusters_oracle, oracle


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the definitions against peers and known levels


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("n", [1, 5])
def test_info_nce_definition_equals_lightly_with_a_memory_bank(n, temperature):
    q, k = drawn(2, n, 6)
    peer = NTXentLoss(temperature, memory_bank_size=(9, 6))
    bank = peer.memory_bank.bank.clone().double()  # (9, 6), as it is before it takes the batch in
    mine = float(oracle.info_nce(q, k, bank, temperature))
    assert mine == pytest.approx(float(peer.double()(q, k)), abs=1e-6)  # the bank is kept in float32


def test_levels_of_info_nce():
    ones = torch.ones(4, 3, dtype=torch.float64)
    assert float(oracle.info_nce(ones, ones, torch.ones(9, 3).double())) == pytest.approx(oracle.level_of(9), abs=1e-12)
    q, queue = torch.eye(3).double()[:1], torch.eye(3).double()[1:].repeat(4, 1)
    assert float(oracle.info_nce(q, q, queue, 0.5)) == pytest.approx(oracle.similar(1, 0, 8, 0.5), abs=1e-12)


def test_scan_definition_equals_the_published_form():
    """As in the authors' code: binary cross-entropy of similarities with ones, and the entropy of the mean."""
    a, b = drawn(2, 8, 5)
    p, other = a.softmax(1), b.softmax(1)
    similarity = torch.bmm(p.view(8, 1, 5), other.view(8, 5, 1)).squeeze()
    mean = p.mean(0)
    theirs = F.binary_cross_entropy(similarity, torch.ones(8).double()) - 3.0 * -(mean * mean.log()).sum()
    assert float(clusters_oracle.scan_loss(a, b, 3.0)) == pytest.approx(float(theirs), abs=1e-12)
    torch.testing.assert_close(clusters_oracle._scan_loss(a, b, 3.0), clusters_oracle.scan_loss(a, b, 3.0))
    flat = torch.zeros(4, 7).double()
    assert float(clusters_oracle.scan_loss(flat, flat, 5.0)) == pytest.approx((1 - 5) * math.log(7), abs=1e-12)


@pytest.mark.parametrize("gamma", [0.55, 0.65, 1.0])
def test_pmi_definition_has_the_known_levels(gamma):
    even = torch.full((6,), 1 / 6, dtype=torch.float64)
    perfect, uniform = torch.eye(6).double(), even.expand(6, 6)
    assert float(clusters_oracle.pmi_loss(perfect, perfect, even, gamma)) == pytest.approx(-math.log(6), abs=1e-12)
    wanted = -(2 - 2 * gamma) * math.log(6)
    assert float(clusters_oracle.pmi_loss(uniform, uniform, even, gamma)) == pytest.approx(wanted, abs=1e-12)
    p, t = drawn(2, 4, 6).softmax(2)
    torch.testing.assert_close(
        clusters_oracle._pmi_loss(p, t, even, gamma), clusters_oracle.pmi_loss(p, t, even, gamma)
    )


def test_the_parametrised_info_nce_is_right_without_a_mistake():
    q, k = drawn(2, 5, 4)
    torch.testing.assert_close(oracle._info_nce(q, k, drawn(7, 4), 0.3), oracle.info_nce(q, k, drawn(7, 4), 0.3))


@pytest.mark.parametrize(("clusters", "classes"), [(5, 5), (6, 3), (3, 5)])
def test_matching_by_trying_all_equals_scipy(clusters, classes):
    rng = np.random.default_rng(clusters)
    for _ in range(10):
        assigned, labels = rng.integers(clusters, size=25), rng.integers(classes, size=25)
        counts = confusion_matrix(assigned, labels, labels=range(max(clusters, classes)))
        rows, columns = linear_sum_assignment(counts, maximize=True)
        best = clusters_oracle.best_matching(assigned.tolist(), labels.tolist())
        assert best == pytest.approx(counts[rows, columns].sum() / 25, abs=1e-12)
        assert clusters_oracle.worst_matching([0, 1], [0, 1]) == 0.0


# --- update_ema


@torch.no_grad()
def update_ema(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters(), strict=True):
        t.copy_(momentum * t + (1 - momentum) * s)
    for s, t in zip(student.buffers(), teacher.buffers(), strict=True):
        t.copy_(s)


def update_ema_through_data(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters(), strict=True):
        t.data = momentum * t.data + (1 - momentum) * s.data
    for s, t in zip(student.buffers(), teacher.buffers(), strict=True):
        t.data = s.data.clone()


def update_ema_by_state(student, teacher, momentum):
    state, new = teacher.state_dict(), student.state_dict()
    averaged = {name for name, _ in student.named_parameters()}
    teacher.load_state_dict(
        {name: momentum * state[name] + (1 - momentum) * new[name] if name in averaged else new[name] for name in state}
    )


def update_ema_of_lightly(student, teacher, momentum):
    update_momentum(student, teacher, momentum)  # parameters only: the buffers are ours
    for s, t in zip(student.buffers(), teacher.buffers(), strict=True):
        t.copy_(s)


@pytest.mark.parametrize(
    "right", [update_ema, update_ema_through_data, update_ema_by_state, update_ema_of_lightly, train.update_ema]
)
def test_right_update_ema(right, seeds):
    assert_right(check.update_ema, right)


@torch.no_grad()
def wrong_way_round(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters(), strict=True):
        t.mul_(1 - momentum).add_(s, alpha=momentum)
    for s, t in zip(student.buffers(), teacher.buffers(), strict=True):
        t.copy_(s)


@torch.no_grad()
def buffers_forgotten(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters(), strict=True):
        t.lerp_(s, 1 - momentum)


@torch.no_grad()
def buffers_averaged(student, teacher, momentum):
    for s, t in zip(student.state_dict().values(), teacher.state_dict().values(), strict=True):
        t.copy_(momentum * t + (1 - momentum) * s)


def not_in_place(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters(), strict=True):
        t = momentum * t + (1 - momentum) * s


def replaced(student, teacher, momentum):
    for module, other in zip(student.modules(), teacher.modules(), strict=True):
        for name, s in module.named_parameters(recurse=False):
            setattr(other, name, nn.Parameter(momentum * getattr(other, name) + (1 - momentum) * s))


def in_the_graph(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters(), strict=True):
        t.mul_(momentum).add_((1 - momentum) * s)


@torch.no_grad()
def both_move(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters(), strict=True):
        s.copy_((1 - momentum) * s + momentum * t)
        t.copy_(s)


@torch.no_grad()
def copied(student, teacher, momentum):
    teacher.load_state_dict(student.state_dict())


@torch.no_grad()
def weights_only(student, teacher, momentum):
    for (name, s), t in zip(student.named_parameters(), teacher.parameters(), strict=True):
        if name.endswith("weight"):
            t.lerp_(s, 1 - momentum)
    for s, t in zip(student.buffers(), teacher.buffers(), strict=True):
        t.copy_(s)


def shared(student, teacher, momentum):
    update_ema(student, teacher, momentum)
    for s, t in zip(student.buffers(), teacher.buffers(), strict=True):
        t.data = s.data


@torch.no_grad()
def squared_momentum(student, teacher, momentum):
    update_ema(student, teacher, momentum**2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (wrong_way_round, "momentum is the wrong way round"),
        (buffers_forgotten, "buffers are forgotten"),
        (buffers_averaged, "buffers are averaged"),
        (not_in_place, "teacher has not changed"),
        (replaced, "replaces the teacher's parameters"),
        (in_the_graph, "in-place"),  # torch's own words, or those of the check
        (both_move, "changes the student"),
        (copied, "become a copy of the student"),
        (weights_only, "treat all of parameters() alike"),
        (shared, "share memory"),
        (squared_momentum, "it should be"),
    ],
)
def test_wrong_update_ema(wrong, words):
    if wrong is in_the_graph:
        words = "part of the graph"
    assert_wrong(check.update_ema, wrong, words)


# --- Queue


class Ring(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys):
        keys = keys / keys.norm(dim=1, keepdim=True)
        for key in keys:
            self.keys[self.pointer] = key
            self.pointer = (self.pointer + 1) % len(self.keys)


class Shift(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim)))

    def enqueue(self, keys):
        self.keys = torch.cat([F.normalize(keys).detach(), self.keys])[: len(self.keys)]


class TwoPieces(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        x = torch.randn(size, dim)
        self.register_buffer("keys", x / x.norm(dim=1, keepdim=True))
        self.at = 0

    @torch.no_grad()
    def enqueue(self, keys):
        keys, size = F.normalize(keys, dim=1), len(self.keys)
        room = size - self.at
        self.keys[self.at : self.at + len(keys)] = keys[:room]
        if len(keys) > room:
            self.keys[: len(keys) - room] = keys[room:]
        self.at = (self.at + len(keys)) % size


@pytest.mark.parametrize("right", [Ring, Shift, TwoPieces])
def test_right_queue(right, seeds):
    assert_right(check.Queue, right)


QUEUE = """
class Queue(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.next = 0

    def enqueue(self, keys):
        keys = F.normalize(keys.detach(), dim=1)
        places = (self.next + torch.arange(len(keys))) % len(self.keys)
        self.keys[places] = keys
        self.next = (self.next + len(keys)) % len(self.keys)
"""
AT_THE_END = """        n = min(len(keys), len(self.keys) - self.next)
        self.keys[self.next : self.next + n] = keys[:n]
        self.next = (self.next + n) % len(self.keys)"""
PLACES = """        places = (self.next + torch.arange(len(keys))) % len(self.keys)
        self.keys[places] = keys
        self.next = (self.next + len(keys)) % len(self.keys)"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("F.normalize(keys.detach(), dim=1)", "keys.detach()", "keys are not normalised"),
        ("F.normalize(keys.detach(), dim=1)", "F.normalize(keys, dim=1)", "carry a gradient"),
        ("self.next = (self.next + len(keys)) % len(self.keys)", "self.next = 0", "the newest are replaced"),
        (PLACES, AT_THE_END, "a batch that crosses the end is cut off"),
        (PLACES, AT_THE_END + "\n        self.next = 0 if n < len(keys) else self.next", "crosses the end is cut off"),
        ("% len(self.keys)\n        self.keys[places]", "\n        self.keys[places]", "Your code raised IndexError"),
        (PLACES, "        self.keys = torch.cat([self.keys, keys])", "should stay (8, 5)"),
        (PLACES, "        self.keys = torch.cat([self.keys, keys])[: len(self.keys)]", "queue has not changed"),
        (PLACES, "        self.keys[: len(keys)] = keys", "the newest are replaced"),
        ("self.keys[places] = keys\n", "self.keys[places[:1]] = keys[:1]\n", "new keys are missing"),
        ("F.normalize(torch.randn(size, dim), dim=1)", "torch.randn(size, dim)", "start with random unit vectors"),
        ("torch.randn(size, dim)", "torch.ones(size, dim)", "all keys are the same"),
        ("torch.randn(size, dim)", "torch.zeros(size, dim)", "keys of length 0"),
        (
            "torch.randn(size, dim)",
            "torch.randn(size, dim, generator=torch.Generator().manual_seed(0))",
            "do not seed the random numbers",
        ),
        ('self.register_buffer("keys", ', "self.keys = (", "no buffer called keys"),
        ('self.register_buffer("keys", ', "self.keys = nn.Parameter(", "keys is a parameter"),
        (
            "F.normalize(keys.detach(), dim=1)\n",
            "keys.detach()\n        keys /= keys.norm(dim=1)[:, None]\n",
            "in place",
        ),
        ("(self.next + len(keys)) %", "(self.next + 1) %", "latest keys are gone"),
        ("class Queue(nn.Module)", "class Queue", "AttributeError"),
    ],
)
def test_wrong_queue(old, new, words):
    assert old in QUEUE
    assert_wrong(check.Queue, cell(QUEUE.replace(old, new), "Queue", nn=nn, torch=torch, F=F), words)


def test_the_reference_queue_refuses_a_batch_that_is_too_large():
    import sslcourse

    queue = sslcourse.solution("week05", "Queue")(4, 3)
    with pytest.raises(ValueError, match="room for 4 keys, the batch has 5"):
        queue.enqueue(torch.randn(5, 3))
    with pytest.raises(ValueError, match="k is 5, but there are 4 candidates"):
        sslcourse.solution("week05", "mine_neighbours")(torch.randn(5, 3), 5)


# --- info_nce


def info_nce(q, k, queue, temperature=0.07):
    q, k, queue = (F.normalize(x, dim=1) for x in (q, k.detach(), queue.detach()))
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


def info_nce_of_the_paper(q, k, queue, temperature=0.07):
    """Algorithm 1 of the paper, with einsum as in the authors' code."""
    q = F.normalize(q)
    with torch.no_grad():
        k, queue = F.normalize(k), F.normalize(queue).T
    l_pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
    l_neg = torch.einsum("nc,ck->nk", [q, queue.clone().detach()])
    logits = torch.cat([l_pos, l_neg], dim=1) / temperature
    return nn.CrossEntropyLoss()(logits, torch.zeros(logits.shape[0], dtype=torch.long))


def info_nce_with_exponentials(q, k, queue, temperature=0.07):
    k, queue = k.detach(), queue.detach()
    positive = torch.exp(F.cosine_similarity(q, k) / temperature)
    negatives = torch.exp(F.cosine_similarity(q[:, None], queue[None], dim=2) / temperature).sum(1)
    return -(positive / (positive + negatives)).log().mean()


def info_nce_with_the_positive_last(q, k, queue, temperature=0.07):
    q = q / q.norm(dim=1, keepdim=True)
    keys = F.normalize(torch.cat([queue, k]).detach())
    n, size = len(q), len(queue)
    logits = torch.cat([q @ keys[:size].T, (q * keys[size:]).sum(1)[:, None]], dim=1) / temperature
    return F.cross_entropy(logits, torch.full((n,), size))


@pytest.mark.parametrize(
    "right", [info_nce, info_nce_of_the_paper, info_nce_with_exponentials, info_nce_with_the_positive_last]
)
def test_right_info_nce(right, seeds):
    assert_right(check.info_nce, right)


def _loss(logits, temperature):
    return F.cross_entropy(logits / temperature, torch.zeros(len(logits), dtype=torch.long))


def _unit(*tensors):
    return [F.normalize(x, dim=1) for x in tensors]


def not_normalised(q, k, queue, temperature=0.07):
    return _loss(torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1), temperature)


def queue_not_normalised(q, k, queue, temperature=0.07):
    q, k = _unit(q, k)
    return not_normalised(q, k, queue, temperature)


def over_the_batch(q, k, queue, temperature=0.07):
    return not_normalised(*(F.normalize(x, dim=0) for x in (q, k, queue)), temperature)


def without_the_positive(q, k, queue, temperature=0.07):
    q, k, queue = _unit(q, k, queue)
    return ((q @ queue.T / temperature).logsumexp(1) - (q * k).sum(1) / temperature).mean()


def queue_with_k(q, k, queue, temperature=0.07):
    q, k, queue = _unit(q, k, queue)
    return _loss(torch.cat([(q * k).sum(1, keepdim=True), k @ queue.T], 1), temperature)


def batch_too(q, k, queue, temperature=0.07):
    q, k, queue = _unit(q, k, queue)
    return F.cross_entropy(torch.cat([q @ k.T, q @ queue.T], 1) / temperature, torch.arange(len(q)))


def batch_only(q, k, queue, temperature=0.07):
    q, k, queue = _unit(q, k, queue)
    return F.cross_entropy(q @ k.T / temperature, torch.arange(len(q)))


def own_column(q, k, queue, temperature=0.07):
    q, k, queue = _unit(q, k, queue)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / temperature
    return F.cross_entropy(logits, torch.arange(len(q)) % logits.shape[1])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (not_normalised, "embeddings are not normalised"),
        (queue_not_normalised, "keys of the queue are not normalised"),
        (lambda q, k, queue, t=0.07: not_normalised(F.normalize(q), k, F.normalize(queue), t), "only a part"),
        (over_the_batch, "runs over the batch"),
        (without_the_positive, "positive is missing from the denominator"),
        (queue_with_k, "queue is compared with k"),
        (batch_too, "other keys of the batch are candidates too"),
        (batch_only, "other keys of the batch are candidates too"),
        (own_column, "the row's own number"),
        (lambda q, k, queue, t=0.07: len(q) * info_nce(q, k, queue, t), "losses are summed"),
        (lambda q, k, queue, t=0.07: info_nce(q, k, queue, 1 / t), "multiplied by the temperature"),
        (lambda q, k, queue, t=0.07: info_nce(q, k, queue, 0.07), "temperature is not used"),
        (lambda q, k, queue, t=0.07: info_nce(q, k, queue), "temperature is not used"),
        (lambda q, k, queue, t=0.07: -info_nce(q, k, queue, t), "sign is wrong"),
        (lambda q, k, queue, t=0.2: info_nce(q, k, queue, t), "The default is 0.07"),
        (lambda q, k, queue, t=0.07: info_nce(q, k, queue, t).item(), "carries no gradient"),
        (lambda q, k, queue, t=0.07: info_nce(q.detach(), k, queue, t), "carries no gradient"),
        (lambda q, k, queue, t=0.07: _loss(not_detached(q, k, queue), t), "a gradient reaches k"),
        (lambda q, k, queue, t=0.07: _loss(not_detached(q, k.detach(), queue), t), "a gradient reaches the queue"),
        (lambda q, k, queue, t=0.07: info_nce(q, k.flip(0), queue, t), "four candidates"),
        (lambda q, k, queue, t=0.07: info_nce(q, k, queue[1:] if len(queue) > 1 else queue, t), "four candidates"),
        (lambda q, k, queue, t=0.07: print(), "returns None"),
    ],
)
def test_wrong_info_nce(wrong, words):
    assert_wrong(check.info_nce, wrong, words)


def not_detached(q, k, queue):
    q, k, queue = _unit(q, k, queue)
    return torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1)


# --- mine_neighbours


def by_scikit_learn(features, k, exclude_self=True):
    search = NearestNeighbors(metric="cosine").fit(features.numpy())
    found = search.kneighbors(None if exclude_self else features.numpy(), n_neighbors=k, return_distance=False)
    return torch.as_tensor(found)


def by_the_library(features, k, exclude_self=True):
    return evaluate.nearest_neighbours(features, None if exclude_self else features, k)[1]


def test_mine_neighbours():
    for right in (by_scikit_learn, by_the_library):
        assert_right(check.mine_neighbours, right)
    for wrong, words in (
        (lambda x, k, e=True: by_the_library(x, k, False), "among their own neighbours"),
        (lambda x, k, e=True: by_the_library(x, k), "its own nearest neighbour"),
        (
            lambda x, k, e=True: evaluate.nearest_neighbours(x, None if e else x, k, "euclidean")[1],
            "compared by cosine",
        ),
        (lambda x, k, e=True: by_the_library(x, k, e).flip(1), "not in order"),
        (
            lambda x, k, e=True: evaluate.nearest_neighbours(x, x, k)[1] if not e else chunked_wrongly(x, k),
            "own neighb",
        ),
        (lambda x, k, e=True: by_the_library(x, k, e)[:, :1], "it should be (15, 4)"),
        (lambda x, k, e=True: largest(F.normalize(x, dim=1), k + e)[:, int(e) :], "among their own neighbours"),
        (lambda x, k, e=True: largest(F.normalize(x, dim=1), k, 0.0 if e else None), "among their own neighbours"),
        (lambda x, k, e=True: largest(x, k, -torch.inf if e else None), "divide the features by their lengths"),
    ):
        assert_wrong(check.mine_neighbours, wrong, words)


def largest(h, k, own=None):
    """The k largest inner products; own: what stands for that with itself."""
    products = h @ h.T
    return (products if own is None else products.fill_diagonal_(own)).topk(k, dim=1).indices


def chunked_wrongly(features, k):
    """The published slip: within a chunk the diagonal of the first columns is masked, not that of the chunk's own."""
    h, found = F.normalize(features), []
    for rows in torch.arange(len(h)).split(512):
        similarity = h[rows] @ h.T
        similarity[torch.arange(len(rows)), torch.arange(len(rows))] = -2
        found.append(similarity.topk(k).indices)
    return torch.cat(found)


# --- scan_loss


def scan_loss(anchor_logits, neighbour_logits, entropy_weight=5.0):
    log_p, log_other = anchor_logits.log_softmax(1), neighbour_logits.log_softmax(1)
    log_mean = log_p.logsumexp(0) - math.log(len(log_p))
    return -(log_p + log_other).logsumexp(1).mean() + entropy_weight * (log_mean.exp() * log_mean).sum()


def scan_loss_of_the_authors(anchor_logits, neighbour_logits, entropy_weight=5.0):
    b, n = anchor_logits.size()
    p, other = F.softmax(anchor_logits, dim=1), F.softmax(neighbour_logits, dim=1)
    similarity = torch.bmm(p.view(b, 1, n), other.view(b, n, 1)).view(b).clamp(max=1)
    consistency = F.binary_cross_entropy(similarity, torch.ones_like(similarity))
    x = torch.clamp(torch.mean(p, 0), min=1e-8)
    return consistency - entropy_weight * -(x * x.log()).sum()


def scan_loss_with_xlogy(anchor_logits, neighbour_logits, entropy_weight=5.0):
    p, other = anchor_logits.softmax(-1), neighbour_logits.softmax(-1)
    mean = p.mean(0)
    return -(p * other).sum(-1).log().mean() - entropy_weight * torch.special.entr(mean.clamp(min=1e-12)).sum()


@pytest.mark.parametrize("right", [scan_loss, scan_loss_of_the_authors, scan_loss_with_xlogy])
def test_right_scan_loss(right, seeds):
    assert_right(check.scan_loss, right)


def test_a_logarithm_of_nothing_is_told():
    """Of sure pairs that disagree: no mistake in eq. 2, and good to know before a training meets one."""
    assert "two sure pairs that disagree" in verdict(check.scan_loss, scan_loss_with_xlogy)[1]
    assert "disagree" not in verdict(check.scan_loss, scan_loss)[1]


def entropy(p):
    return -(p * p.log()).sum(-1)


def _scan(a, b, w, consistency=None, spread=None):
    p, other = a.softmax(1), b.softmax(1)
    consistency = -(p * other).sum(1).log().mean() if consistency is None else consistency(p, other)
    return consistency - w * (entropy(p.mean(0)) if spread is None else spread(p, other))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b, w=5.0: -(a * b).sum(1).mean() - w * entropy(a.softmax(1).mean(0)), "dot product of logits"),
        (
            lambda a, b, w=5.0: -(a * b).sum(1).sigmoid().log().mean() - w * entropy(a.softmax(1).mean(0)),
            "dot product of logits",
        ),
        (
            lambda a, b, w=5.0: (
                _scan(a.T, b.T, 0, lambda p, o: -(p * o).sum(0).log().mean()) - w * entropy(a.softmax(0).mean(0))
            ),
            "softmax runs over the batch",
        ),
        (lambda a, b, w=5.0: _scan(a, b, w, spread=lambda p, o: entropy(p).mean()), "entropy of each sample"),
        (lambda a, b, w=5.0: scan_loss(a, b, -w), "entropy is added"),
        (lambda a, b, w=5.0: _scan(a, b, w, spread=lambda p, o: entropy(o.mean(0))), "of the neighbours too"),
        (
            lambda a, b, w=5.0: _scan(a, b, w, spread=lambda p, o: entropy(torch.cat([p, o]).mean(0))),
            "of the neighbours too",
        ),
        (lambda a, b, w=5.0: scan_loss(a, b, 1.0), "entropy_weight is not used"),
        (lambda a, b, w=5.0: scan_loss(a, b, 0.0), "entropy term is missing"),
        (lambda a, b, w=5.0: _scan(a, b, w, lambda p, o: -(p * o).sum(1).mean().log()), "logarithm and the mean"),
        (lambda a, b, w=5.0: _scan(a, b, w, lambda p, o: -(p * o).sum(1).mean()), "logarithm of the inner product"),
        (lambda a, b, w=5.0: _scan(a, b, w, lambda p, o: -(o * p.log()).sum(1).mean()), "it is a cross-entropy"),
        (lambda a, b, w=5.0: _scan(a, b, w, lambda p, o: (p * o).sum(1).log().mean()), "sign of the consistency"),
        (lambda a, b, w=5.0: _scan(a, b, w, lambda p, o: -(p * o).sum(1).log().sum()), "pairs are summed"),
        (lambda a, b, w=1.0: scan_loss(a, b, w), "The default is 5"),
        (lambda a, b, w=5.0: scan_loss(a, b.detach(), w), "no gradient reaches neighbour_logits"),
        (lambda a, b, w=5.0: scan_loss(a, b, w).item(), "carries no gradient"),
        (lambda a, b, w=5.0: _scan(a, b, w), "not finite"),
        (lambda a, b, w=5.0: _scan(a, b, w, lambda p, o: -(p * b).sum(1).clamp(min=1e-30).log().mean()), "of logits"),
        (lambda a, b, w=5.0: _scan(a, b, w, lambda p, o: -(p @ o.T).log().mean()), "with every neighbour"),
        (lambda a, b, w=5.0: _scan(a, b, w, lambda p, o: -(p * p).sum(1).log().mean()), "compared with itself"),
        (
            lambda a, b, w=5.0: _scan(a, b, w, spread=lambda p, o: (p.mean(0) ** 2).sum().log().neg()),
            "two inner products",
        ),
        (lambda a, b, w=5.0: scan_loss(a, b.flip(0), w), "two inner products"),
        (lambda a, b, w=5.0: scan_loss(a, b, w) / 2, "two inner products"),
    ],
)
def test_wrong_scan_loss(wrong, words):
    if words == "not finite":
        words = "value or gradient is not finite"
        assert_wrong(check.scan_loss, lambda a, b, w=5.0: _scan(a, b, w) if a.shape[1] == 3 else wrong(a, b, w), words)
    else:
        assert_wrong(check.scan_loss, wrong, words)


# --- pmi_loss and update_marginal


def pmi_loss(p, t, marginal, gamma=0.65):
    return -(((p * t) ** gamma) / marginal).sum(1).log().mean()


def pmi_loss_by_logarithms(p, t, marginal, gamma=0.65):
    terms = gamma * (p.clamp(min=1e-12).log() + t.detach().clamp(min=1e-12).log()) - marginal.log()
    return -terms.logsumexp(1).mean()


def test_pmi_loss(seeds):
    for right in (pmi_loss, pmi_loss_by_logarithms):
        assert_right(check.pmi_loss, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda p, t, m, g=0.65: -((p * t) ** g).sum(1).log().mean(), "marginal is missing"),
        (lambda p, t, m, g=0.65: -((p * t) ** g * m).sum(1).log().mean(), "multiplied by the marginal"),
        (lambda p, t, m, g=0.65: -((p * t / m) ** g).sum(1).log().mean(), "gamma is at the wrong place"),
        (lambda p, t, m, g=0.65: -g * (p * t / m).sum(1).log().mean(), "gamma is at the wrong place"),
        (lambda p, t, m, g=0.65: pmi_loss(p, t, m, 0.65), "gamma is not used"),
        (lambda p, t, m, g=0.65: pmi_loss(p, t, m, 1.0), "gamma is not used"),
        (lambda p, t, m, g=0.65: -((p * t) ** g / m).sum(1).mean().log(), "logarithm and the mean"),
        (lambda p, t, m, g=0.65: -((p * t) ** g / m).sum(1).mean(), "logarithm is missing"),
        (lambda p, t, m, g=0.65: -pmi_loss(p, t, m, g), "sign is wrong"),
        (lambda p, t, m, g=0.65: len(p) * pmi_loss(p, t, m, g), "pairs are summed"),
        (lambda p, t, m, g=1.0: pmi_loss(p, t, m, g), "it should be"),
        (lambda p, t, m, g=0.65: pmi_loss(p, t.flip(0), m, g), "it should be"),
        (lambda p, t, m, g=0.65: pmi_loss(p.detach(), t, m, g), "carries no gradient"),
    ],
)
def test_wrong_pmi_loss(wrong, words):
    assert_wrong(check.pmi_loss, wrong, words)


def test_update_marginal():
    for right in (
        lambda m, p, momentum=0.9: momentum * m + (1 - momentum) * p.detach().mean(0),
        lambda m, p, momentum=0.9: torch.lerp(m, p.detach().sum(0) / len(p), 1 - momentum),
    ):
        assert_right(check.update_marginal, right)
    for wrong, words in (
        (lambda m, p, momentum=0.9: (1 - momentum) * m + momentum * p.detach().mean(0), "wrong way round"),
        (lambda m, p, momentum=0.9: momentum * m + (1 - momentum) * p.detach().sum(0), "the batch is summed"),
        (lambda m, p, momentum=0.9: momentum * m + (1 - momentum) * p.mean(0), "carries a gradient"),
        (lambda m, p, momentum=0.99: torch.lerp(m, p.detach().mean(0), 1 - momentum), "default is 0.9"),
        (lambda m, p, momentum=0.9: momentum * m + (1 - momentum) * p.detach().mean(1)[:4], "it should be"),
        (lambda m, p, momentum=0.9: m.mul_(momentum).add_(p.detach().mean(0), alpha=1 - momentum), "in place"),
        (lambda m, p, momentum=0.9: 0.9 * m + 0.1 * p.detach().mean(0), "it should be"),
    ):
        assert_wrong(check.update_marginal, wrong, words)


# --- cluster_accuracy


def counted(assignments, labels):
    counts = torch.zeros(int(assignments.max()) + 1, int(labels.max()) + 1, dtype=torch.long)
    for a, y in zip(assignments.tolist(), labels.tolist(), strict=True):
        counts[a, y] += 1
    return counts


def cluster_accuracy(assignments, labels):
    counts = counted(assignments, labels)
    rows, columns = linear_sum_assignment(-counts.numpy())
    mapping = dict.fromkeys(range(len(counts)), -1) | dict(zip(rows.tolist(), columns.tolist(), strict=True))
    named = torch.tensor([mapping[a] for a in assignments.tolist()])
    return (named == labels).float().mean().item(), mapping


def cluster_accuracy_in_numpy(assignments, labels):
    a, y = assignments.numpy(), labels.numpy()
    size = max(a.max(), y.max()) + 1
    w = np.zeros((size, size), dtype=int)
    np.add.at(w, (a, y), 1)
    rows, columns = linear_sum_assignment(w.max() - w)
    present = set(y.tolist())
    mapping = {r: (c if c in present else -1) for r, c in zip(rows, columns, strict=True) if r in set(a.tolist())}
    return w[rows, columns].sum() / len(y), mapping


@pytest.mark.parametrize("right", [cluster_accuracy, cluster_accuracy_in_numpy, evaluate.cluster_accuracy])
def test_right_cluster_accuracy(right, seeds):
    assert_right(check.cluster_accuracy, right)


def greedy(assignments, labels):
    counts = counted(assignments, labels).float()
    right, mapping = 0.0, dict.fromkeys(range(len(counts)), -1)
    for _ in range(min(counts.shape)):
        best = int(counts.argmax())
        row, column = divmod(best, counts.shape[1])
        right += max(0.0, float(counts[row, column]))
        mapping[row] = column
        counts[row], counts[:, column] = -1, -1
    return right / len(labels), mapping


def greedy_row_by_row(assignments, labels):
    counts = counted(assignments, labels).float()
    right, mapping = 0.0, dict.fromkeys(range(len(counts)), -1)
    for row in assignments.unique().tolist():
        column = int(counts[row].argmax())
        if counts[row, column] >= 0:
            right += float(counts[row, column])
            mapping[row] = column
            counts[:, column] = -1
    return right / len(labels), mapping


def commonest(assignments, labels):
    counts = counted(assignments, labels)
    return counts.max(1).values.sum().item() / len(labels), dict(enumerate(counts.argmax(1).tolist()))


def minimised(assignments, labels):
    clusters, a = assignments.unique(return_inverse=True)
    classes, y = labels.unique(return_inverse=True)
    counts = counted(a, y).numpy()
    rows, columns = linear_sum_assignment(counts)
    mapping = dict.fromkeys(clusters.tolist(), -1)
    mapping |= {int(clusters[r]): int(classes[c]) for r, c in zip(rows, columns, strict=True)}
    return counts[rows, columns].sum() / len(labels), mapping


def direct(assignments, labels):
    return (assignments == labels).float().mean().item(), {}


def among_matched(assignments, labels):
    counts = counted(assignments, labels)
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    return (counts[rows, columns].sum() / counts[rows].sum()).item(), dict(zip(rows, columns, strict=True))


def mapped_the_other_way(assignments, labels):
    accuracy, mapping = cluster_accuracy(assignments, labels)
    return accuracy, {y: cluster for cluster, y in mapping.items()}


def with_mapping(change):
    def wrong(assignments, labels):
        accuracy, mapping = cluster_accuracy(assignments, labels)
        return accuracy, change(mapping)

    return wrong


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (greedy, "the matching is greedy"),
        (greedy_row_by_row, "the matching is greedy"),
        (commonest, "every cluster takes its commonest class"),
        (minimised, "the worst matching is taken"),
        (direct, "compared with labels directly"),
        (among_matched, "only the matched clusters are counted"),
        (mapped_the_other_way, "the wrong way round"),
        (with_mapping(lambda m: {c: {0: 1, 1: 0}.get(y, y) for c, y in m.items()}), "labels are permuted"),
        (with_mapping(lambda m: {c: y for c, y in m.items() if y != -1}), "has no entry for cluster"),
        (with_mapping(lambda m: {c: max(y, 0) for c, y in m.items()}), "one class to two clusters"),
        (lambda a, y: cluster_accuracy(a, y)[0], "should return an accuracy and a dict"),
        (lambda a, y: (cluster_accuracy(a, y)[0], [0, 1]), "should return an accuracy and a dict"),
        (lambda a, y: (1 - cluster_accuracy(a, y)[0], cluster_accuracy(a, y)[1]), "it should be"),
        (lambda a, y: (100 * cluster_accuracy(a, y)[0], cluster_accuracy(a, y)[1]), "it should be"),
        (lambda a, y: print(), "returns None"),
    ],
)
def test_wrong_cluster_accuracy(wrong, words):
    assert_wrong(check.cluster_accuracy, wrong, words)

"""Answers to week 5 in other people's styles: every right one passes, every slip is told as what it is."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from scipy.optimize import linear_sum_assignment
from torch import nn

from sslcourse.check import week05 as check


def code(source, name, **names):
    return cell(source, name, torch=torch, nn=nn, F=F, np=np, math=math, functools=functools, **names)


# --- update_ema

EMA = """
@torch.no_grad()
def update_ema(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters()):
        t.mul_(momentum).add_(s, alpha=1 - momentum)
    for s, t in zip(student.buffers(), teacher.buffers()):
        t.copy_(s)
"""
AVERAGE = "t.mul_(momentum).add_(s, alpha=1 - momentum)"
PARAMETERS = "zip(student.parameters(), teacher.parameters())"
BUFFERS = "    for s, t in zip(student.buffers(), teacher.buffers()):\n        t.copy_(s)\n"


def ema(old="", new=""):
    assert old in EMA
    return code(EMA.replace(old, new), "update_ema")


def ema_foreach(student, teacher, momentum):
    with torch.no_grad():
        mine = [p.data for p in teacher.parameters()]
        torch._foreach_mul_(mine, momentum)
        torch._foreach_add_(mine, [p.data for p in student.parameters()], alpha=1 - momentum)
        for t, s in zip(teacher.buffers(), student.buffers(), strict=True):
            t.data.copy_(s.data)


def ema_by_name(student, teacher, momentum):
    own, given = dict(teacher.named_parameters()), dict(student.named_parameters())
    for name, t in own.items():
        t.data.copy_(t.data * momentum + given[name].data * (1.0 - momentum))
    buffers = dict(student.named_buffers())
    for name, t in teacher.named_buffers():
        t.data.copy_(buffers[name].data)


def ema_recursive(student, teacher, momentum):
    for name, child in teacher.named_children():
        ema_recursive(getattr(student, name), child, momentum)
    for name, t in teacher._parameters.items():
        if t is not None:
            t.data = t.data + (1 - momentum) * (student._parameters[name].data - t.data)
    for name, t in teacher._buffers.items():
        if t is not None:
            t.copy_(student._buffers[name])


def ema_in_numpy(student, teacher, momentum):
    for s, t in zip(student.parameters(), teacher.parameters(), strict=True):
        mixed = momentum * t.detach().numpy() + (1 - momentum) * s.detach().numpy()
        t.data = torch.as_tensor(mixed, dtype=t.dtype).reshape(t.shape)
    for s, t in zip(student.buffers(), teacher.buffers(), strict=True):
        t.data = torch.from_numpy(np.array(s.numpy()))


def ema_of_states(student, teacher, momentum):
    new, averaged = student.state_dict(), {name for name, _ in student.named_parameters()}
    for name, t in teacher.state_dict().items():
        t.copy_(t * momentum + new[name] * (1 - momentum) if name in averaged else new[name])


@pytest.mark.parametrize(
    "right",
    [ema(), ema(AVERAGE, "t.lerp_(s, 1 - momentum)"), ema_foreach, ema_by_name, ema_recursive, ema_in_numpy,
     ema_of_states, functools.partial(ema_by_name), functools.wraps(ema_foreach)(lambda *a: ema_foreach(*a))],
)  # fmt: skip
def test_right_update_ema(right, seeds):
    assert_right(check.update_ema, right)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (PARAMETERS, "((s, t) for a, b in zip(student.children(), teacher.children()) for s, t in zip("
         "a.parameters(recurse=False), b.parameters(recurse=False)))", "have not moved"),
        (PARAMETERS, "zip(student.parameters(recurse=False), teacher.parameters(recurse=False))", "all levels"),
        (PARAMETERS, "list(zip(student.parameters(), teacher.parameters()))[:-1]", "have not moved, 'head.bias'"),
        (PARAMETERS, "[(s, t) for s, t in zip(student.parameters(), teacher.parameters()) if s.dim() > 1]", "have not"),
        (PARAMETERS, "[(s, t) for s, t in zip(student.parameters(), teacher.parameters()) if t.requires_grad]",
         "teacher has not changed"),
        (AVERAGE, "t.mul_(1 - momentum).add_(s, alpha=momentum)", "the wrong way round"),
        (AVERAGE, "t.lerp_(s, momentum)", "the wrong way round"),
        (AVERAGE, "t.copy_(s)", "a copy of the student"),
        (AVERAGE, "t.mul_(0.99).add_(s, alpha=0.01)", "the momentum is 0.99, whatever is given"),
        (AVERAGE, "t.mul_(momentum).add_(s)", "shares do not sum to 1"),
        (AVERAGE, "t.add_(s, alpha=1 - momentum)", "shares do not sum to 1"),
        (AVERAGE, "t = momentum * t + (1 - momentum) * s", "teacher has not changed"),
        (AVERAGE, "s.mul_(1 - momentum).add_(t, alpha=momentum)", "changes the student"),
        (AVERAGE, "t.mul_(momentum).add_(s.abs(), alpha=1 - momentum)", "it should be"),
        (BUFFERS, "", "buffers are forgotten: 'seen'"),
        ("t.copy_(s)", "t.copy_(momentum * t + (1 - momentum) * s)", "buffers are averaged"),
        ("t.copy_(s)", "t.copy_(s) if t.is_floating_point() else None", "Others are copied"),
        ("zip(student.buffers(), teacher.buffers())", "zip(student.buffers(recurse=False), teacher.buffers())",
         "Others are copied"),
        ("t.copy_(s)", "t.data = s.data", "share memory"),
        ("@torch.no_grad()\n", "", "the graph"),
    ],
)  # fmt: skip
def test_wrong_update_ema(old, new, words):
    if words == "the graph":  # an optimiser's teacher is not frozen: torch refuses, or the graph grows
        new, old = "", "@torch.no_grad()\n"
        assert_wrong(check.update_ema, code(EMA.replace(old, new).replace(AVERAGE, "t.data.mul_(momentum); "
                     "t.data = momentum * t + (1 - momentum) * s"), "update_ema"), "")  # fmt: skip
    else:
        assert_wrong(check.update_ema, ema(old, new), words)


# --- Queue

QUEUE = """
class Queue(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("ptr", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys):
        keys = F.normalize(keys, dim=1)
        for key in keys:
            self.keys[int(self.ptr)] = key
            self.ptr[0] = (self.ptr[0] + 1) % self.keys.shape[0]
"""
LOOP = QUEUE[QUEUE.index("        for key in keys:") :]
PTR = '        self.register_buffer("ptr", torch.zeros(1, dtype=torch.long))\n'
SHIFTED = "        self.keys = torch.cat([self.keys[len(keys):], keys])\n"


def queue(*changes):
    source = QUEUE
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source
        source = source.replace(old, new)
    return code(source, "Queue")


IN_THE_CLASS = ("class Queue(nn.Module):\n", "class Queue(nn.Module):\n    at = 0\n", PTR, "")
BY_CLASS = """        n = len(keys)
        self.keys[(Queue.at + torch.arange(n)) % len(self.keys)] = keys
        Queue.at = (Queue.at + n) % len(self.keys)
"""


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (LOOP, SHIFTED),
        (LOOP, "        self.keys = torch.roll(self.keys, len(keys), 0)\n        self.keys[:len(keys)] = keys\n"),
        (LOOP, "        self.keys.copy_(torch.cat([self.keys, keys])[-len(self.keys):].clone())\n"),
        (LOOP, "        self.keys.index_copy_(0, (self.ptr + torch.arange(len(keys))) % len(self.keys), keys)\n"
               "        self.ptr += len(keys)\n"),
        (PTR, "        self.order = list(range(size))\n", LOOP,
         "        for key in keys:\n            place = self.order.pop(0)\n            self.keys[place] = key\n"
         "            self.order.append(place)\n"),
        (*IN_THE_CLASS, LOOP, BY_CLASS.replace("Queue.at", "self.at")),  # read from the class, written on self
        ("F.normalize(keys, dim=1)", "keys / torch.linalg.vector_norm(keys, dim=-1, keepdim=True)"),
    ],
)  # fmt: skip
def test_right_queue(changes, seeds):
    assert_right(check.Queue, queue(*changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((*IN_THE_CLASS, LOOP, BY_CLASS), "Two queues that are filled in turn disturb each other"),
        (("class Queue(nn.Module):\n", "class Queue(nn.Module):\n    memory = {}\n",
          "F.normalize(torch.randn(size, dim), dim=1)",
          "self.memory.setdefault((size, dim), F.normalize(torch.randn(size, dim), dim=1))"),
         "Two queues start with the same keys"),
        (("F.normalize(keys, dim=1)", "F.normalize(keys, dim=0)"), "normalised over the batch"),
        (("F.normalize(keys, dim=1)", "keys / keys.norm()"), "every key in the queue has length 1"),
        (("F.normalize(keys, dim=1)", "keys.clone()"), "keys are not normalised"),
        (("F.normalize(keys, dim=1)", "keys.softmax(dim=1)"), "every key in the queue has length 1"),
        (("F.normalize(keys, dim=1)", "F.normalize(keys, p=1, dim=1)"), "every key in the queue has length 1"),
        (("torch.randn(size, dim), dim=1", "torch.randn(size, dim), dim=0"), "columns of keys have length 1"),
        (("F.normalize(torch.randn(size, dim), dim=1)", "torch.rand(size, dim)"), "random unit vectors"),
        (("F.normalize(torch.randn(size, dim), dim=1)", "F.normalize(torch.randn(1, dim), dim=1).repeat(size, 1)"),
         "all keys are the same"),
        ((LOOP, "        self.keys[:len(keys)] = keys\n"), "It looks as if the newest are replaced"),
        ((LOOP, "        self.keys = torch.cat([keys, self.keys[:-len(keys)]])[torch.randperm(len(self.keys))]\n"),
         "latest keys are gone"),
        ((LOOP, "        self.keys[torch.randperm(len(self.keys))[:len(keys)]] = keys\n"), "The oldest go first"),
        ((LOOP, "        self.keys = torch.cat([self.keys, keys])[:len(self.keys)]\n"), "queue has not changed"),
        ((LOOP, "        self.keys = keys\n"), "it should stay (8, 5)"),
        ((LOOP, "        self.keys[int(self.ptr)] = keys.mean(0)\n"), "has length 1"),
        ((LOOP, "        self.keys[int(self.ptr)] = keys[0]\n"
                "        self.ptr[0] = (self.ptr[0] + 1) % len(self.keys)\n"),
         "new keys are missing"),
        ((LOOP, "        p = int(self.ptr)\n        n = min(len(keys), len(self.keys) - p)\n"
                "        self.keys[p:p + n] = keys[:n]\n        self.ptr[0] = (p + n) % len(self.keys)\n"),
         "crosses the end is cut off there"),
        ((LOOP, "        p = int(self.ptr)\n        p = 0 if p + len(keys) > len(self.keys) else p\n"
                "        self.keys[p:p + len(keys)] = keys\n        self.ptr[0] = (p + len(keys)) % len(self.keys)\n"),
         "a batch that does not fit at the end starts at the beginning"),
        ((LOOP, "        p = int(self.ptr)\n        self.keys[(p + torch.arange(len(keys))) % len(self.keys)] = keys\n"
                "        self.ptr[0] = p + len(keys) if p + len(keys) < len(self.keys) else 0\n"),
         "after a batch that crosses the end"),
        (("    @torch.no_grad()\n", ""), "carry a gradient"),
        (('self.register_buffer("keys", ', "self.keys = nn.Parameter("), "keys is a parameter"),
        (('self.register_buffer("keys", ', 'self.register_buffer("queue", '), "no buffer called keys"),
        (("super().__init__()", "super().__init__()\n        torch.manual_seed(0)"), "do not seed"),
    ],
)  # fmt: skip
def test_wrong_queue(changes, words):
    assert_wrong(check.Queue, queue(*changes), words)


# --- info_nce


def _three(q, k, queue):
    return [F.normalize(x, dim=1) for x in (q, k.detach(), queue.detach())]


def _logits(q, k, queue):
    q, k, queue = _three(q, k, queue)
    return torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1)


def nce(loss=lambda z: F.cross_entropy(z, torch.zeros(len(z), dtype=torch.long)), logits=_logits):
    return lambda q, k, queue, temperature=0.07: loss(logits(q, k, queue) / temperature)


@torch.jit.script
def scripted(q: torch.Tensor, k: torch.Tensor, queue: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    q, k, n = F.normalize(q, dim=1), F.normalize(k, dim=1).detach(), F.normalize(queue, dim=1).detach()
    positive = (q * k).sum(1) / temperature
    return torch.logaddexp(positive, torch.logsumexp(q @ n.t() / temperature, dim=1)).sub(positive).mean()


def nce_in_a_loop(q, k, queue, temperature=0.07):
    losses = []
    for query, key in zip(q, k, strict=True):
        candidates = torch.vstack([key, queue]).detach()
        similarity = F.cosine_similarity(query[None], candidates) / temperature
        losses.append(-similarity.log_softmax(0)[0])
    return sum(losses) / len(losses)


def nce_masked(q, k, queue, temperature=0.07):
    """All keys of the batch as columns, those of other rows masked."""
    q, k, queue = _three(q, k, queue)
    own = torch.eye(len(q), dtype=torch.bool)
    logits = torch.cat([(q @ k.T).masked_fill(~own, -torch.inf), q @ queue.T], 1) / temperature
    return F.cross_entropy(logits, torch.arange(len(q)))


@pytest.mark.parametrize(
    "right",
    [
        nce(),
        nce(lambda z: F.nll_loss(F.log_softmax(z, 1), torch.zeros(len(z)).long())),
        nce(lambda z: torch.log1p((z[:, 1:] - z[:, :1]).exp().sum(1)).mean()),
        nce(lambda z: -torch.log(z.softmax(1)[:, 0]).mean()),
        nce(lambda z: F.softplus((z[:, 1:]).logsumexp(1) - z[:, 0]).mean()),
        scripted, nce_in_a_loop, nce_masked,
        functools.partial(lambda scale, q, k, queue, temperature=0.07: scale * nce()(q, k, queue, temperature), 1.0),
        lambda q, k, queue, temperature=0.07: F.cross_entropy(
            torch.einsum("nd,nkd->nk", F.normalize(q), torch.cat([
                F.normalize(k)[:, None], F.normalize(queue)[None].expand(len(q), -1, -1)], 1).detach()) / temperature,
            torch.zeros(len(q), dtype=torch.long)),
    ],
)  # fmt: skip
def test_right_info_nce(right, seeds):
    assert_right(check.info_nce, right)


def _zeros(z):
    return torch.zeros(len(z), dtype=torch.long)


def _of(change):
    """Logits from normalised q, k, queue."""
    return lambda q, k, queue: change(*_three(q, k, queue))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (nce(lambda z: F.cross_entropy(z.softmax(1), _zeros(z))), "softmax is taken before the cross-entropy"),
        (nce(lambda z: -z.softmax(1)[:, 0].mean().log()), "logarithm of a mean"),
        (nce(lambda z: -z.softmax(1)[:, 0].mean()), "logarithm is missing"),
        (nce(lambda z: F.cross_entropy(z, _zeros(z), reduction="sum")), "losses are summed"),
        (nce(lambda z: -F.cross_entropy(z, _zeros(z))), "sign is wrong"),
        (nce(lambda z: (z[:, 1:].logsumexp(1) - z[:, 0]).mean()), "positive is missing from the denominator"),
        (nce(lambda z: F.cross_entropy(z[:, 1:], _zeros(z))), "it should be"),
        (nce(lambda z: F.cross_entropy(z, torch.arange(len(z)) % z.shape[1])), "row's own number"),
        (nce(lambda z: F.cross_entropy(z, _zeros(z) + z.shape[1] - 1)), "it should be"),
        (nce(lambda z: F.binary_cross_entropy_with_logits(z, F.one_hot(_zeros(z), z.shape[1]) * 1.0)), "by a sigmoid"),
        (nce(lambda z: -F.log_softmax(z, 0)[:, 0].mean()), "the softmax runs over the queries"),
        (nce(logits=lambda q, k, queue: _logits(q, k, queue).clamp(min=0)), "cut off at 0"),
        (nce(logits=_of(lambda q, k, queue: torch.cat([(q * k).sum(1, True), k @ queue.T], 1))), "compared with k"),
        (nce(logits=lambda q, k, queue: torch.cat([(q * k.detach()).sum(1, True), q @ queue.detach().T], 1)),
         "not normalised"),
        (nce(logits=_of(lambda q, k, queue: torch.cat([q @ k.T, q @ queue.T], 1))), "it should be"),
        (lambda q, k, queue, temperature=0.07: nce()(q, k, queue, 1 / temperature), "multiplied by the temperature"),
        (lambda q, k, queue, temperature=0.07: nce()(q, k, queue, 0.2), "temperature is not used"),
        (lambda q, k, queue, temperature=0.07: nce(lambda z: F.cross_entropy(
            torch.cat([z[:, :1], z[:, 1:] * temperature], 1), _zeros(z)))(q, k, queue, temperature), "only a part of"),
        (nce(lambda z: -(z[:, 0] - (z[:, 0].exp() + z[:, 1:].exp().mean(1)).log()).mean()), "negatives are averaged"),
        (lambda q, k, queue, temperature=0.07: F.cross_entropy(
            torch.cat([q @ k.detach().T, q @ queue.detach().T], 1) / temperature, torch.arange(len(q))), ""),
        (lambda q, k, queue, temperature=0.07: nce()(q, k.flip(0), queue, temperature), "four candidates"),
        (lambda q, k, queue, temperature=0.1: nce()(q, k, queue, temperature), "The default is 0.07"),
        (lambda q, k, queue, temperature=0.07: nce()(q, q, queue, temperature), "it should be"),
    ],
)  # fmt: skip
def test_wrong_info_nce(wrong, words):
    assert_wrong(check.info_nce, wrong, words)


# --- scan_loss


def scan(
    consistency=lambda p, o, a, b: -(p * o).sum(1).clamp(min=1e-30).log().mean(),
    entropy=lambda p, o, a, b: torch.special.entr(p.mean(0).clamp(min=1e-12)).sum(),
    probabilities=lambda x: x.softmax(1), sign=-1,
):  # fmt: skip
    def scan_loss(anchor_logits, neighbour_logits, entropy_weight=5.0):
        four = probabilities(anchor_logits), probabilities(neighbour_logits), anchor_logits, neighbour_logits
        return consistency(*four) + sign * entropy_weight * entropy(*four)

    return scan_loss


@torch.jit.script
def scan_scripted(a: torch.Tensor, b: torch.Tensor, entropy_weight: float = 5.0) -> torch.Tensor:
    p, o = torch.softmax(a, 1), torch.softmax(b, 1)
    m = torch.clamp(p.mean(0), min=1e-8)
    return -torch.log((p * o).sum(1)).mean() + entropy_weight * (m * torch.log(m)).sum()


@pytest.mark.parametrize(
    "right",
    [
        scan(), scan_scripted,
        scan(lambda p, o, a, b: -torch.bmm(p[:, None], o[..., None]).flatten().log().mean()),
        scan(lambda p, o, a, b: -torch.einsum("nc,nc->n", p, o).log().mean()),
        scan(entropy=lambda p, o, a, b: torch.distributions.Categorical(probs=p.mean(0)).entropy()),
        scan(lambda p, o, a, b: F.nll_loss(torch.diag(p @ o.T)[:, None].log(), torch.zeros(len(p)).long())),
        scan(probabilities=lambda x: (x - x.amax(1, keepdim=True)).exp() / (x - x.amax(1, keepdim=True)).exp().sum(
            1, keepdim=True)),
    ],
)  # fmt: skip
def test_right_scan_loss(right, seeds):
    assert_right(check.scan_loss, right)


def _h(p):
    return torch.special.entr(p).sum(-1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (scan(probabilities=lambda x: x.softmax(1).softmax(1)), "a softmax is taken twice"),
        (scan(probabilities=lambda x: x.softmax(0)), "the softmax runs over the batch"),
        (scan(probabilities=lambda x: x.sigmoid()), "it should be"),
        (scan(lambda p, o, a, b: -(p * o).sum(1).mean().log()), "logarithm and the mean are swapped"),
        (scan(lambda p, o, a, b: -(p * o).mean(1).log().mean()), "consistency averages over the clusters"),
        (scan(lambda p, o, a, b: -(p * o).sum(1).log().sum()), "pairs are summed"),
        (scan(lambda p, o, a, b: F.cross_entropy(a, o)), "it is a cross-entropy"),
        (scan(lambda p, o, a, b: F.kl_div(p.log(), o, reduction="batchmean")), "it should be"),
        (scan(lambda p, o, a, b: F.mse_loss(p, o, reduction="sum") / len(p)), "squared distance"),
        (scan(lambda p, o, a, b: -F.cosine_similarity(p, o).log().mean()), "compared by cosine"),
        (scan(lambda p, o, a, b: -(p @ o.T).log().mean()), "it should be"),
        (scan(entropy=lambda p, o, a, b: _h(p).mean()), "entropy of each sample"),
        (scan(entropy=lambda p, o, a, b: _h(o.mean(0))), "of the neighbours too"),
        (scan(entropy=lambda p, o, a, b: _h(p.sum(0))), "summed probabilities"),
        (scan(entropy=lambda p, o, a, b: _h(a.mean(0).softmax(0))), "the logits are averaged"),
        (scan(entropy=lambda p, o, a, b: _h(p.mean(0)) / math.log(2)), "in bits"),
        (scan(entropy=lambda p, o, a, b: _h(p.mean(0)) - math.log(p.shape[1])), "compared with uniform"),
        (scan(entropy=lambda p, o, a, b: _h(p.mean(0)) / p.shape[1]), "entropy averages over the clusters"),
        (scan(entropy=lambda p, o, a, b: _h(p.mean(1))), "run over the clusters"),
        (scan(sign=1), "the entropy is added"),
        (lambda a, b, entropy_weight=5.0: scan()(a, b, 5.0), "entropy_weight is not used"),
        (lambda a, b, entropy_weight=2.0: scan()(a, b, entropy_weight), "The default is 5"),
        (lambda a, b, entropy_weight=5.0: scan()(a.detach(), b, entropy_weight), "no gradient reaches anchor_logits"),
    ],
)  # fmt: skip
def test_wrong_scan_loss(wrong, words):
    assert_wrong(check.scan_loss, wrong, words)


# --- cluster_accuracy


def matched(assignments, labels, size=None, maximize=True):
    """Counts, and pairs (cluster, class) of the best matching in a table of that size, or of the sizes that occur."""
    shape = (int(assignments.max()) + 1, int(labels.max()) + 1) if size is None else (size, size)
    counts = np.zeros(shape, dtype=int)
    np.add.at(counts, (assignments.numpy(), labels.numpy()), 1)
    return counts, list(zip(*linear_sum_assignment(counts, maximize=maximize), strict=True))


def square(assignments, labels):
    """The published form: a square table; unmatched clusters get the numbers of classes that do not exist."""
    counts, pairs = matched(assignments, labels, int(max(assignments.max(), labels.max())) + 1)
    return sum(counts[pair] for pair in pairs) / len(labels), {int(r): int(c) for r, c in pairs}


def square_cut(assignments, labels):
    accuracy, mapping = square(assignments, labels)
    return accuracy, {cluster: y if y <= int(labels.max()) else -1 for cluster, y in mapping.items()}


def by_unique(assignments, labels):
    clusters, a = np.unique(assignments.numpy(), return_inverse=True)
    classes, y = np.unique(labels.numpy(), return_inverse=True)
    counts = np.histogram2d(a, y, bins=(range(len(clusters) + 1), range(len(classes) + 1)))[0]
    rows, columns = linear_sum_assignment(-counts)
    mapping = {int(c): -1 for c in clusters} | {int(clusters[r]): int(classes[c]) for r, c in zip(rows, columns)}  # noqa: B905
    return float(np.mean([mapping[int(c)] == int(t) for c, t in zip(assignments, labels)])), mapping  # noqa: B905


def by_one_hot(assignments, labels):
    counts = F.one_hot(assignments).T @ F.one_hot(labels)
    rows, columns = map(torch.as_tensor, linear_sum_assignment(counts, maximize=True))
    table = torch.full((len(counts),), -1)
    table[rows] = columns
    return (table[assignments] == labels).double().mean(), dict(enumerate(table.tolist()))


def by_trying_all(assignments, labels):
    import itertools

    clusters, classes = assignments.unique().tolist(), labels.unique().tolist()
    names = classes + [-1] * max(0, len(clusters) - len(classes))
    tables = (dict(zip(clusters, chosen)) for chosen in set(itertools.permutations(names, len(clusters))))  # noqa: B905
    score = lambda m: sum(m[int(a)] == int(y) for a, y in zip(assignments, labels))  # noqa: B905, E731
    best = max(tables, key=score)
    return score(best) / len(labels), best


@pytest.mark.parametrize(
    "right",
    [square_cut, by_unique, by_one_hot, functools.partial(square_cut), functools.wraps(by_unique)(
        lambda *a: by_unique(*a))],
)  # fmt: skip
def test_right_cluster_accuracy(right, seeds):
    assert_right(check.cluster_accuracy, right)


def test_trying_all_matchings_is_right():
    few = lambda a, y: by_trying_all(a, y) if len(a.unique()) < 6 else by_unique(a, y)  # noqa: E731
    assert_right(check.cluster_accuracy, few)


def remapped(change):
    return lambda a, y: (by_unique(a, y)[0], change(by_unique(a, y)[1], a, y))


def changed(change):
    return lambda a, y: (change(by_unique(a, y)[0], a, y), by_unique(a, y)[1])


def balanced(assignments, labels):
    _, mapping = by_unique(assignments, labels)
    named = torch.tensor([mapping[int(a)] for a in assignments])
    return float(np.mean([float((named[labels == y] == y).float().mean()) for y in labels.unique()])), mapping


def minimised(assignments, labels):
    counts, pairs = matched(assignments, labels, maximize=False)
    return sum(counts[pair] for pair in pairs) / len(labels), {int(r): int(c) for r, c in pairs}


def purity(assignments, labels):
    counts, _ = matched(assignments, labels)
    return counts.max(1).sum() / len(labels), dict(enumerate(counts.argmax(1).tolist()))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (square, "which does not exist"),
        (purity, "takes its commonest class"),
        (minimised, "it should be"),
        (balanced, "the classes are averaged"),
        (lambda a, y: ((a == y).float().mean().item(), {int(c): int(c) for c in a.unique()}), "directly"),
        (changed(lambda s, a, y: 1 - s), "it is the error"),
        (changed(lambda s, a, y: 100 * s), "it is a percentage"),
        (changed(lambda s, a, y: s * len(y)), "a number of images"),
        (changed(lambda s, a, y: s + 0.01), "it should be"),
        (remapped(lambda m, a, y: {t: c for c, t in m.items()}), "the wrong way round"),
        (remapped(lambda m, a, y: {c: t for c, t in m.items() if t >= 0}), "has no entry for cluster"),
        (remapped(lambda m, a, y: dict(enumerate(m.values()))), "numbers the clusters anew"),
        (remapped(lambda m, a, y: {c: max(t, 0) for c, t in m.items()}), "one class to two clusters"),
        (remapped(lambda m, a, y: {c: int(y.max()) + 1 if t < 0 else t for c, t in m.items()}), "does not exist"),
        (remapped(lambda m, a, y: list(m.items())), "an accuracy and a dict"),
        (lambda a, y: by_unique(a, y)[::-1], "an accuracy and a dict"),
        (lambda a, y: by_unique(a, y)[0], "an accuracy and a dict"),
    ],
)
def test_wrong_cluster_accuracy(wrong, words):
    assert_wrong(check.cluster_accuracy, wrong, words)

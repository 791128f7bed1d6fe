"""Checks of week 5, MoCo, SCAN and PMI clustering. Definitions and named mistakes: oracle.py, clusters_oracle.py; and
whitening.py and labelling.py, which hold both."""

from math import log

import torch
from torch import Tensor

from sslcourse.check.compare import agree, by_hand, close, gives, gradients_agree, number, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week05 import clusters_oracle as clusters
from sslcourse.check.week05 import oracle
from sslcourse.check.week05.averaging import examine_average
from sslcourse.check.week05.labelling import examine_self_labels
from sslcourse.check.week05.matching import examine_matching
from sslcourse.check.week05.queue import examine_queue
from sslcourse.check.week05.step import examine_step
from sslcourse.check.week05.whitening import examine_whitening

__all__ = ["Queue", "cluster_accuracy", "info_nce", "mine_neighbours", "moco_step", "pmi_loss", "report", "scan_loss"]
__all__ += ["self_label_loss", "sweep", "update_ema", "update_marginal", "view_whitening"]


# --- update_ema and Queue


@exercise("week05")
def update_ema(student: Student) -> str:
    """update_ema(student, teacher, momentum): teacher in place, parameters averaged, buffers copied, no gradients."""
    return examine_average(student)


@exercise("week05")
def Queue(student: Student) -> str:
    """class Queue(nn.Module): __init__(size, dim), buffer keys (size, dim), enqueue(keys): the oldest go first."""
    return examine_queue(student)


# --- info_nce


def _queries(q: Tensor, k: Tensor, queue: Tensor, *_) -> str:
    return f"{len(q)} quer{'ies' if len(q) > 1 else 'y'} and a queue of {len(queue)} in {q.shape[1]} dimensions"


@exercise("week05")
def info_nce(student: Student) -> str:
    """info_nce(q, k, queue, temperature=0.07) -> scalar (He et al. 2020, eq. 1)."""
    q = student.normal(6, 8) * (0.5 + student.uniform(6, 1))
    k = (q + 0.8 * student.normal(6, 8)) * (0.5 + student.uniform(6, 1))
    queue = student.normal(11, 8) * (0.5 + student.uniform(11, 1))
    few = *(by_hand(student.normal(n, 2)) for n in (2, 2, 3)), 0.5
    agree(
        student,
        [(q, k, queue, 0.5), (q, k, queue, 0.3), (q, k, queue, 1.0), (k, q, queue, 0.4)],
        oracle.info_nce,
        oracle.INFO_NCE_MISTAKES,
        words=_queries,
        small=few,
        hint="each query has four candidates: its own key and the three of the queue.",
    )
    many = student.normal(300, 3), student.normal(300, 3), student.normal(5, 3), 0.6
    agree(student, [few, (q[:1], k[:1], queue, 0.2), (q, k, queue[:1], 0.2), many], oracle.info_nce, words=_queries)
    if not torch.tensor(number(student(1e3 * q, 1e3 * k, 1e3 * queue, 0.5))).isfinite():
        raise Wrong("Embeddings a thousand times as long give no finite loss: lengths do not count, normalise first.")
    left_out, wanted = number(student(q, k, queue)), float(oracle.info_nce(q.double(), k.double(), queue.double()))
    if not close(left_out, wanted):
        raise Wrong(f"Without a temperature {gives(left_out, wanted)} The default is 0.07.")
    same = number(student(torch.ones(4, 3), torch.ones(4, 3), torch.ones(9, 3), 0.1))
    if not close(same, log(10)):
        raise Wrong(f"When all embeddings are equal and the queue holds 9 {gives(same, log(10))} That is ln(K+1).")

    keys = k.double(), queue.double()
    gradients_agree(student, (q, k, queue, 0.5), lambda q, *_: oracle.info_nce(q, *keys, 0.5), names=("q",))
    inputs = [x.clone().requires_grad_() for x in (q, k, queue)]
    student(*inputs, 0.5).backward()
    for name, x in (("k", inputs[1]), ("the queue", inputs[2])):
        if x.grad is not None and x.grad.any():
            raise Wrong(f"The value is right, but a gradient reaches {name}: keys are targets, detach them.")
    return "Equal to the definition at four temperatures; equal embeddings give ln(K+1); gradients reach q only."


# --- moco_step


@exercise("week05")
def moco_step(student: Student) -> str:
    """moco_step(query, key, queue, update, view0, view1, momentum, temperature) -> loss (He et al., algorithm 1)."""
    return examine_step(student)


# --- mine_neighbours


@exercise("week05")
def mine_neighbours(student: Student) -> str:
    """mine_neighbours(features, k, exclude_self=True) -> (N, k): the nearest by cosine, nearest first."""
    x = student.normal(15, 4) * (0.2 + 2 * student.uniform(15, 1))
    # Of copies, any may come first, the image itself or another; all others include those on the far side, below 0.
    copies = torch.cat([x, x[:6], x[:6]])
    cases = [(x, 4, True), (x, 12, False), (x, 1, True), (x, 14, True), (copies, 4, True)]
    for features, k, without in [*cases, (student.normal(1100, 3), 2, True)]:
        found = tensor(student(features, k, without), (len(features), k), "It returns").long()
        unit = oracle.unit(features.double())
        similarity = unit @ unit.T  # (N, N)
        itself = found == torch.arange(len(features))[:, None]
        if without and itself.any():
            raise Wrong(
                "Some images are among their own neighbours: with exclude_self=True an image itself is left out."
            )
        if not without and not itself.any(dim=1).all():
            raise Wrong("With exclude_self=False an image is its own nearest neighbour.")
        if without:
            similarity.fill_diagonal_(-torch.inf)
        wanted = similarity.topk(k, dim=1).values
        came = similarity.gather(1, found)
        if not close(came, wanted):
            distances = torch.cdist(features.double(), features.double()).fill_diagonal_(torch.inf)
            if torch.equal(distances.topk(k, dim=1, largest=False).indices, found):
                raise Wrong(
                    "These are the nearest by distance: features are compared by cosine, whatever their length."
                )
            products = (features.double() @ features.double().T).fill_diagonal_(-torch.inf)
            if torch.equal(products.topk(k, dim=1).indices, found):
                raise Wrong("These have the largest inner products: divide the features by their lengths first.")
            if close(came.sort(dim=1).values, wanted.sort(dim=1).values):
                raise Wrong("The neighbours are right, but not in order: the nearest comes first.")
            raise Wrong(f"Of {len(features)} points, some of the {k} neighbours are not the nearest by cosine.")
    return "The nearest by cosine, without the image itself; with it where it is asked for."


# --- view_whitening


@exercise("week05")
def view_whitening(student: Student) -> str:
    """view_whitening(views, floor=1e-3) -> (D, D), views (V, N, D): W with W W^T = (S + floor mean variance)^-1."""
    return examine_whitening(student)


# --- scan_loss, self_label_loss, pmi_loss, update_marginal


def _logits(a: Tensor, b: Tensor, *_) -> str:
    return f"{len(a)} pair{'s' * (len(a) > 1)} and {a.shape[1]} clusters"


@exercise("week05")
def scan_loss(student: Student) -> str:
    """scan_loss(anchor_logits, neighbour_logits, entropy_weight=5.0) -> scalar (Van Gansbeke et al. 2020, eq. 2)."""
    a = 2 * student.normal(9, 4)
    b = a + 1.5 * student.normal(9, 4)
    a[0], b[0] = torch.tensor([5.0, 0, 0, 0]), torch.tensor([0, 5.0, 0, 0])  # they disagree: an inner product of 0.01
    few = by_hand(student.normal(2, 2)), by_hand(student.normal(2, 2)), 1.0
    agree(
        student,
        [(a, b, 5.0), (a, b, 1.0), (b, a, 2.0)],
        clusters.scan_loss,
        clusters.SCAN_LOSS_MISTAKES,
        words=_logits,
        small=few,
        hint="two pairs give two inner products and one mean of p over two anchors.",
    )
    agree(student, [few, (a[:1], b[:1], 3.0), (a, b, 0.0)], clusters.scan_loss, words=_logits)
    left_out, wanted = number(student(a, b)), float(clusters.scan_loss(a.double(), b.double()))
    if not close(left_out, wanted):
        raise Wrong(f"Without a weight {gives(left_out, wanted)} The default is 5.")
    uniform = number(student(torch.zeros(6, 5), torch.zeros(6, 5), 2.0))
    if not close(uniform, -log(5)):
        raise Wrong(f"For uniform probabilities over 5 clusters and weight 2 {gives(uniform, -log(5))}")

    gradients_agree(student, (a, b, 5.0), clusters.scan_loss, names=("anchor_logits", "neighbour_logits"))

    # One cluster for everything, and very sure of it: the probabilities of the others are 0 in float32.
    sure = torch.tensor([[200.0, 0.0, -200.0]]).expand(4, 3).clone().requires_grad_()
    loss = student(sure, sure.detach(), 5.0)
    loss.backward()
    if not close(loss, 0.0) or not sure.grad.isfinite().all():
        raise Wrong("With logits of 200 and -200 its value or gradient is not finite: 0 * log 0 counts as 0.")
    return f"Equal to the definition at four weights; ln C where nothing is decided; {_where_finite(student)}"


def _where_finite(student: Student) -> str:
    """What comes out where sure pairs disagree, so that inner products are 0 in float32: told, and not graded."""
    logits = torch.tensor([[60.0, -60.0], [-60.0, 60.0]])
    anchors, neighbours = logits.clone().requires_grad_(), (-logits).requires_grad_()
    loss = student(anchors, neighbours, 5.0)
    loss.backward()
    if all(x is not None and x.isfinite().all() for x in (loss, anchors.grad, neighbours.grad)):
        return "finite where everything is."
    return (
        "finite where one cluster has all.\nOne thing to know: for two sure pairs that disagree (logits of 60 and -60) "
        "its value or gradient is not finite, as their inner product is 0 in float32; "
        "(log p + log p').logsumexp(dim=1) has no such limit."
    )


@exercise("week05")
def self_label_loss(student: Student) -> str:
    """self_label_loss(weak_logits, strong_logits, threshold=0.99) -> scalar (Van Gansbeke et al. 2020, section 2.3)."""
    return examine_self_labels(student)


@exercise("week05")
def pmi_loss(student: Student) -> str:
    """pmi_loss(student_probs, teacher_probs, marginal, gamma=0.65) -> scalar, from probabilities."""
    p, t = (student.normal(7, 4).mul(1.5).softmax(dim=1) for _ in range(2))
    marginal = student.normal(4).softmax(dim=0)
    cases = [(p, t, marginal, 0.65), (p, t, marginal, 1.0), (t, p, marginal, 0.55)]
    agree(student, cases, clusters.pmi_loss, clusters.PMI_LOSS_MISTAKES, words=_logits)
    agree(student, [(p[:1], t[:1], marginal, 0.8), (p, t, marginal)], clusters.pmi_loss, words=_logits)
    even = torch.full((5,), 0.2)
    for what, rows, wanted in (
        ("perfect balanced clusters", torch.eye(5), -log(5)),
        ("uniform probabilities", even.expand(5, 5).clone(), -0.7 * log(5)),
    ):
        if not close(came := number(student(rows, rows, even, 0.65)), wanted, 1e-3):
            raise Wrong(f"For {what} in 5 clusters and gamma = 0.65 {gives(came, wanted)}")
    targets = t.double(), marginal.double()
    gradients_agree(
        student, (p, t, marginal, 0.65), lambda p, *_: clusters.pmi_loss(p, *targets), names=("student_probs",)
    )
    return "Equal to the definition at four gammas; -ln C for perfect clusters, -(2 - 2 gamma) ln C for uniform ones."


@exercise("week05")
def update_marginal(student: Student) -> str:
    """update_marginal(marginal, teacher_probs, momentum=0.9) -> (K,)."""
    marginal, probs = student.normal(4).softmax(dim=0), student.normal(6, 4).mul(2).softmax(dim=1)
    mean = probs.mean(dim=0)
    for momentum in (0.9, 0.5, 0.0):
        came = tensor(student(marginal, probs.clone().requires_grad_(), momentum), (4,), "It returns")
        if came.requires_grad:
            raise Wrong("The marginal carries a gradient: detach the teacher's probabilities.")
        wrong = {
            "the momentum is the wrong way round": (1 - momentum) * marginal + momentum * mean,
            "the batch is summed: take its mean": momentum * marginal + (1 - momentum) * probs.sum(dim=0),
        }
        if not close(came, momentum * marginal + (1 - momentum) * mean):
            fits = next((f" It looks as if {why}." for why, value in wrong.items() if close(came, value)), "")
            wanted = momentum * marginal + (1 - momentum) * mean
            raise Wrong(f"With momentum = {momentum}, for cluster 0 {gives(float(came[0]), float(wanted[0]))}{fits}")
    if not close(student(marginal, probs), 0.9 * marginal + 0.1 * mean):
        raise Wrong("Without a momentum the default is 0.9.")
    return "The moving average of how often each cluster is used."


# --- cluster_accuracy


@exercise("week05")
def cluster_accuracy(student: Student) -> str:
    """cluster_accuracy(assignments, labels) -> (accuracy, {cluster: class}), the Hungarian method."""
    return examine_matching(student)

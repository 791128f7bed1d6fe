# ruff: noqa
"""The solved exercises of week05; generated from notebooks/source/week05_moco_scan.py: edit that."""


import copy
import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import week05 as check
from sslcourse.plot.schematics.queue_of_keys import queue_of_keys


def update_ema(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """teacher = momentum * teacher + (1 - momentum) * student, in place (He et al. 2020, eq. 2).

    student, teacher: modules of the same structure. Parameters are averaged, buffers copied; no gradients.
    """
    with torch.no_grad():
        for new, old in zip(student.parameters(), teacher.parameters(), strict=True):
            old.mul_(momentum).add_(new, alpha=1 - momentum)
        for new, old in zip(student.buffers(), teacher.buffers(), strict=True):
            old.copy_(new)


class Queue(nn.Module):
    """The keys of the latest batches (He et al. 2020, section 3.2).

    keys: buffer (size, dim) of unit vectors, random ones at first.
    """

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.next = 0

    def enqueue(self, keys: torch.Tensor) -> None:
        """Normalise keys (N, dim), N up to size, and let them replace the N oldest. No gradient."""
        n, size = len(keys), len(self.keys)
        if n > size:
            raise ValueError(f"The queue has room for {size} keys, the batch has {n}: take a longer queue.")
        places = (self.next + torch.arange(n, device=keys.device)) % size       # a ring: goes on at the beginning
        self.keys[places] = F.normalize(keys.detach(), dim=1).to(self.keys)
        self.next = (self.next + n) % size


def info_nce(q: torch.Tensor, k: torch.Tensor, queue: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """MoCo's loss (He et al. 2020, eq. 1): each query against its own key and all keys of the queue.

    q, k: (N, D), row n of both from image n; queue: (size, D); none of them normalised. Gradients reach q only.
    Returns a scalar: the mean over the N queries, in nats.
    """
    q = F.normalize(q, dim=1)                                               # (N, D)
    k, queue = F.normalize(k.detach(), dim=1), F.normalize(queue.detach(), dim=1)
    positive = (q * k).sum(dim=1, keepdim=True)                             # (N, 1)
    logits = torch.cat([positive, q @ queue.T], dim=1) / temperature        # (N, 1 + size)
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


def moco_step(
    query: nn.Module,
    key: nn.Module,
    queue: nn.Module,
    update: Callable[[torch.Tensor], None],
    view0: torch.Tensor,
    view1: torch.Tensor,
    momentum: float,
    temperature: float,
) -> torch.Tensor:
    """One step of MoCo (He et al. 2020, algorithm 1): loss, update, moving average, enqueue.

    query, key: encoders of images (N, C, H, W) to (N, D); view0 is for query, view1 for key. update(loss): gradients
    and a step of the optimiser, which moves the query encoder; called once. No gradient reaches the key encoder.
    Returns the loss, a scalar.
    """
    with torch.no_grad():
        keys = key(view1)                                                   # (N, D)
    loss = info_nce(query(view0), keys, queue.keys, temperature)            # the queue holds earlier batches only
    update(loss)
    update_ema(query, key, momentum)
    keys = train.gather(keys)                                               # of all processes, where there are several
    queue.enqueue(keys)                                                     # after the loss: nobody meets itself
    return loss.detach()


def mine_neighbours(features: torch.Tensor, k: int, exclude_self: bool = True) -> torch.Tensor:
    """Places (N, k) of the k nearest neighbours by cosine, nearest first.

    features: (N, D). exclude_self: a row is not among its own neighbours.
    """
    if not 1 <= k <= len(features) - exclude_self:
        raise ValueError(f"k is {k}, but there are {len(features) - exclude_self} candidates; take a smaller k.")
    h = F.normalize(features, dim=1)
    found = []
    for rows in torch.arange(len(h), device=h.device).split(1024):
        similarity = h[rows] @ h.T                                            # (n, N)
        if exclude_self:
            similarity[torch.arange(len(rows), device=h.device), rows] = float("-inf")
        found.append(similarity.topk(k, dim=1).indices)
    return torch.cat(found)


def view_whitening(views: torch.Tensor, floor: float = 1e-3) -> torch.Tensor:
    """W (D, D) that makes views of an image scatter equally in all directions of h @ W (Hatch et al. 2006).

    views: (V, N, D), V views of each of N images. W W^T is the inverse of S + floor * (mean variance in S) * 1, with S
    the covariance within images, the mean over all V N views.
    """
    within = (views - views.mean(dim=0)).flatten(0, 1)                      # (V N, D)
    variance, directions = torch.linalg.eigh(within.T @ within / len(within))
    return directions / (variance + floor * variance.mean()).sqrt()         # (D, D), directions in columns


def scan_loss(
    anchor_logits: torch.Tensor, neighbour_logits: torch.Tensor, entropy_weight: float = 5.0
) -> torch.Tensor:
    """Agreement of neighbours, and all clusters in use (Van Gansbeke et al. 2020, eq. 2).

    anchor_logits, neighbour_logits: (N, C), row n of both being an image and one of its neighbours.
    Returns a scalar: -mean log <p, p'> - entropy_weight * entropy of the anchors' mean p, in nats.
    """
    log_p, log_other = anchor_logits.log_softmax(dim=1), neighbour_logits.log_softmax(dim=1)    # (N, C)
    consistency = -(log_p + log_other).logsumexp(dim=1).mean()              # log of <p, p'>, no underflow
    log_mean = log_p.logsumexp(dim=0) - math.log(len(log_p))                # (C,)
    entropy = -(log_mean.exp() * log_mean).sum()
    return consistency - entropy_weight * entropy


def cluster_accuracy(assignments: torch.Tensor, labels: torch.Tensor) -> tuple[float, dict[int, int]]:
    """Share of images in the class that their cluster is matched to, under the best one-to-one matching.

    assignments, labels: whole numbers from 0 on, (N,).
    Returns (accuracy, {cluster: class}); unmatched clusters map to -1.
    """
    from scipy.optimize import linear_sum_assignment

    counts = torch.zeros(int(assignments.max()) + 1, int(labels.max()) + 1, dtype=torch.long)   # (clusters, classes)
    counts.index_put_((assignments, labels), torch.ones_like(labels), accumulate=True)
    clusters, matched = linear_sum_assignment(counts.numpy(), maximize=True)
    mapping = dict.fromkeys(range(len(counts)), -1) | dict(zip(clusters.tolist(), matched.tolist()))
    return counts[clusters, matched].sum().item() / len(labels), mapping


def pmi_loss(
    student_probs: torch.Tensor, teacher_probs: torch.Tensor, marginal: torch.Tensor, gamma: float = 0.65
) -> torch.Tensor:
    """Minus the pointwise mutual information of pairs, softened by gamma (Adaloglou et al. 2023).

    student_probs, teacher_probs: (N, C), row n of both being an image and one of its neighbours; marginal: (C,).
    Returns a scalar: -mean log sum_c (p_s p_t)^gamma / marginal_c, in nats. Gradients reach the student.
    """
    agreement = (student_probs * teacher_probs.detach()).clamp(min=1e-12) ** gamma     # (N, C); 0^gamma has no slope
    return -(agreement / marginal.detach()).sum(dim=1).log().mean()


def update_marginal(marginal: torch.Tensor, teacher_probs: torch.Tensor, momentum: float = 0.9) -> torch.Tensor:
    """momentum * marginal + (1 - momentum) * the batch's mean probabilities, a new tensor (C,) without gradient.

    marginal: (C,); teacher_probs: (N, C).
    """
    return momentum * marginal + (1 - momentum) * teacher_probs.detach().mean(dim=0)


def self_label_loss(
    weak_logits: torch.Tensor, strong_logits: torch.Tensor, threshold: float = 0.99
) -> torch.Tensor:
    """Confident guesses on weak views as labels for strong ones (Van Gansbeke et al. 2020, section 2.3).

    weak_logits, strong_logits: (N, C), row n of both from image n; threshold: of the largest probability of the weak
    view. Returns a scalar in nats: the mean over the clusters that occur of the mean cross-entropy of their images, 0
    where no image is confident. Gradients reach strong_logits only.
    """
    confidence, guess = weak_logits.detach().softmax(dim=1).max(dim=1)          # (N,), (N,)
    confident = confidence > threshold
    counts = torch.bincount(guess[confident], minlength=weak_logits.shape[1])   # (C,)
    weights = confident / counts.clamp(min=1)[guess]                            # (N,)
    losses = F.cross_entropy(strong_logits, guess, reduction="none")            # (N,)
    return (weights * losses).sum() / weights.sum().clamp(min=1e-12)

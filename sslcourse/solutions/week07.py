# ruff: noqa
"""The solved exercises of week07; generated from notebooks/source/week07_dino.py: edit that."""


import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import week07 as check
from sslcourse.plot.schematics.teacher_and_student import teacher_and_student


def multi_crop(
    images: torch.Tensor,
    n_local: int,
    global_size: int = 32,
    local_size: int = 16,
    generator: torch.Generator | None = None,
) -> list[torch.Tensor]:
    """Two global views of every image, then n_local local ones (Caron et al. 2020, 2021).

    images: (N, C, H, W), uint8 or float in [0, 1].
    Returns a list of 2 + n_local float tensors, (N, C, global_size, global_size) first. Raises ValueError for crops
    larger than the image.
    """
    smallest = min(images.shape[2:])
    for kind, size in (("global", global_size), ("local", local_size)):
        if size > smallest:
            said = f"A {kind} crop of {size} pixels is larger than the image of {smallest}: take at most that."
            raise ValueError(said)
    crops = []
    for size, share, count in ((global_size, (0.6, 1.0), 2), (local_size, (0.2, 0.4), n_local)):
        views = augment.simclr(size, crop=share, jitter=0.8, grey=0.8)     # share: of the image's area
        crops += [views(images, generator) for _ in range(count)]
    return crops


class DINOHead(nn.Module):
    """Features to similarities with prototypes (Caron et al. 2021, appendix C).

    in_dim, out_dim: widths of the input and the number of prototypes K. forward: (N, in_dim) to (N, out_dim), each
    value a cosine in [-1, 1].
    """

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int = 256, bottleneck_dim: int = 64):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(in_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        self.prototypes = nn.Parameter(torch.randn(out_dim, bottleneck_dim))    # directions: lengths play no part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.normalize(self.mlp(x), dim=1)                                     # (N, bottleneck)
        return F.linear(x, F.normalize(self.prototypes, dim=1))                 # (N, K), cosines


class DINOLoss(nn.Module):
    """Cross-entropy between the teacher's answer to one crop and the student's to another (Caron et al. 2021, eq. 3).

    center: buffer of out_dim zeros, a running mean of the teacher's outputs.
    """

    def __init__(
        self, out_dim: int, teacher_temp: float = 0.04, student_temp: float = 0.1, center_momentum: float = 0.9
    ):
        super().__init__()
        self.teacher_temp, self.student_temp, self.center_momentum = teacher_temp, student_temp, center_momentum
        self.register_buffer("center", torch.zeros(out_dim))

    def forward(self, student_views: list[torch.Tensor], teacher_views: list[torch.Tensor]) -> torch.Tensor:
        """The loss, a scalar in nats; then the centre moves.

        student_views, teacher_views: lists of (N, K), view i of both being the same crop. No gradient reaches the
        teacher. Raises ValueError where no pair of different views is left.
        """
        targets = [((view.detach() - self.center) / self.teacher_temp).softmax(dim=1) for view in teacher_views]
        answers = [(view / self.student_temp).log_softmax(dim=1) for view in student_views]
        pairs = [-(t * s).sum(dim=1).mean() for i, t in enumerate(targets) for j, s in enumerate(answers) if i != j]
        if not pairs:
            raise ValueError("There is one view only, and no other to compare it with: give the student at least two.")

        mean = torch.cat(list(teacher_views)).detach().mean(dim=0)                          # over views and images
        self.center.mul_(self.center_momentum).add_(mean.to(self.center), alpha=1 - self.center_momentum)
        return torch.stack(pairs).mean()


def dino_step(
    student: nn.Module,
    teacher: nn.Module,
    loss: Callable[[list[torch.Tensor], list[torch.Tensor]], torch.Tensor],
    update: Callable[[torch.Tensor], None],
    crops: list[torch.Tensor],
    momentum: float,
) -> torch.Tensor:
    """One step of DINO (Caron et al. 2021, algorithm 1): loss, update, moving average.

    student, teacher: images (N, C, H, W) to (N, K). loss(student's views, teacher's views): a scalar, from lists of
    (N, K); called once. update(loss): gradients and a step of the optimiser, which moves the student; called once.
    crops: two global ones first, then any number of local ones. No gradient reaches the teacher. Returns the loss.
    """
    large, small = torch.cat(crops[:2]), crops[2:]                              # one pass for each size
    with torch.no_grad():
        targets = list(teacher(large).chunk(2))                                 # global crops only
    answers = list(student(large).chunk(2))
    if small:
        answers += student(torch.cat(small)).chunk(len(small))
    value = loss(answers, targets)
    update(value)
    train.update_ema(student, teacher, momentum)
    return value.detach()


def collapse_report(teacher_probs: torch.Tensor) -> tuple[float, float]:
    """(mean entropy of the answers, entropy of the mean answer), in nats.

    teacher_probs: (N, K), rows sum to 1. Both ln K: collapsed to uniform. Both 0: collapsed to one prototype.
    """
    each = torch.special.entr(teacher_probs).sum(dim=1).mean()
    together = torch.special.entr(teacher_probs.mean(dim=0)).sum()
    return each.item(), together.item()


def knn_accuracy(
    train_x: torch.Tensor,
    train_y: torch.Tensor,
    test_x: torch.Tensor,
    test_y: torch.Tensor,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Share of test images whose k nearest training images vote for their class (Wu et al. 2018, section 3.4).

    train_x: (N, D), train_y: (N,), test_x: (M, D), test_y: (M,). Weight of a neighbour of cosine similarity s:
    exp(s / temperature).
    """
    similarity = F.normalize(test_x, dim=1) @ F.normalize(train_x, dim=1).T     # (M, N)
    scores, places = similarity.topk(k, dim=1)                                  # (M, k)
    weights = ((scores - 1) / temperature).exp()                                # no more than 1: nothing overflows
    votes = (F.one_hot(train_y[places]) * weights[:, :, None]).sum(dim=1)       # (M, C)
    return (votes.argmax(dim=1) == test_y).float().mean().item()


def cosine_schedule(start: float, end: float, steps: int, warmup: int = 0) -> torch.Tensor:
    """(steps,): step i < warmup is start * i / warmup, then half a cosine from start; the last value is end."""
    rising = start * torch.arange(warmup, dtype=torch.float64) / max(warmup, 1)
    falling = steps - warmup
    share = torch.linspace(0, 1, falling, dtype=torch.float64) if falling > 1 else torch.ones(falling).double()
    return torch.cat([rising, end + (start - end) * (1 + torch.cos(math.pi * share)) / 2])


def byol_loss(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared distance between directions (Grill et al. 2020, eq. 2).

    predictions: (N, D), the student's; targets: (N, D), the teacher's view of the same images; not normalised.
    Returns a scalar: the mean over N, from 0 to 4. No gradient reaches the targets.
    """
    return (2 - 2 * F.cosine_similarity(predictions, targets.detach(), dim=1)).mean()


def sinkhorn(scores: torch.Tensor, temperature: float = 0.05, iterations: int = 3) -> torch.Tensor:
    """Answers in which all prototypes are used alike (Caron et al. 2020, section 3.1; Cuturi 2013).

    scores: (N, K), any size. Each of the iterations: columns to sum 1, then rows to sum 1. Returns (N, K), rows sum to
    1, columns nearly to N / K; no gradient.
    """
    q = scores.detach() / temperature                                           # logarithms until the end
    for _ in range(iterations):
        q = q - q.logsumexp(dim=0, keepdim=True)                                # every prototype: sum 1 over images
        q = q - q.logsumexp(dim=1, keepdim=True)                                # every image: sum 1 over prototypes
    return q.exp()


def koleo(features: torch.Tensor) -> torch.Tensor:
    """Minus the mean log distance to the nearest neighbour (Sablayrolles et al. 2019, eq. 2; Oquab et al. 2024).

    features: (N, D), N at least 2, not normalised. Returns a scalar; gradients reach both ends of a distance.
    """
    z = F.normalize(features, dim=1)
    with torch.no_grad():
        nearest = (z @ z.T).fill_diagonal_(-2).argmax(dim=1)                    # (N,), never the row itself
    return -((z - z[nearest]).norm(dim=1) + 1e-8).log().mean()

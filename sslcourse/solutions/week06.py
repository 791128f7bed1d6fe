# ruff: noqa
"""The solved exercises of week06; generated from notebooks/source/week06_vit_distillation.py: edit that."""


import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import week06 as check
from sslcourse.plot.schematics.patches_to_student import patches_to_student


def patchify(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Cut images into patches, one row of values each (Dosovitskiy et al. 2021, section 3.1).

    images: (N, C, H, W) of any dtype; patch_size p divides H and W.
    Returns (N, L, p * p * C), L = (H / p) (W / p) patches row by row, the values of each in order (p, p, C).
    """
    p = patch_size
    x = images.unflatten(3, (-1, p)).unflatten(2, (-1, p))    # (N, C, rows, p, columns, p)
    x = x.permute(0, 2, 4, 3, 5, 1)                           # (N, rows, columns, p, p, C)
    return x.flatten(3).flatten(1, 2)


def unpatchify(patches: torch.Tensor, patch_size: int, grid: tuple[int, int]) -> torch.Tensor:
    """Put patches back: (N, L, p * p * C) to (N, C, rows * p, columns * p); grid is (rows, columns)."""
    p = patch_size
    x = patches.unflatten(2, (p, p, -1)).unflatten(1, grid)   # (N, rows, columns, p, p, C)
    x = x.permute(0, 5, 1, 3, 2, 4)                           # (N, C, rows, p, columns, p)
    return x.flatten(4).flatten(2, 3)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, eq. 1), with the layers of timm: qkv and proj.

    dim: D, a multiple of num_heads. Tokens (N, L, D) to (N, L, D); keeps `last_weights` (N, heads, L, L), rows are
    queries and sum to 1.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.last_weights = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))         # (N, L, 3, heads, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)                            # (N, heads, L, d) each
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=-1)      # (N, heads, L, L)
        self.last_weights = weights.detach()
        return self.proj((weights @ v).transpose(1, 2).flatten(2))      # (N, L, D)


class Block(nn.Module):
    """One pre-norm transformer block (Dosovitskiy et al. 2021, eq. 2 and 3): tokens (N, L, D) to (N, L, D)."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = SelfAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(dim, 4 * dim))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(4 * dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Images (N, C, H, W), uint8 or float in [0, 1], to features (N, dim) of the class token; H = W = image_size."""

    def __init__(self, image_size, patch_size, in_channels=3, dim=96, depth=4, num_heads=3):
        super().__init__()
        self.num_features, self.patch_size = dim, patch_size
        self.normalise = models.Normalise([0.45] * in_channels, [0.25] * in_channels)
        self.patch_embed = nn.Linear(patch_size**2 * in_channels, dim)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + (image_size // patch_size) ** 2, dim))
        self.blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(patchify(self.normalise(images), self.patch_size))     # (N, L, D)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)            # (N, 1 + L, D)
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]                                                   # (N, D)


def distillation_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: float = 4.0,
    alpha: float = 0.7,
) -> torch.Tensor:
    """Match the teacher's softened probabilities and the labels (Hinton et al. 2015, section 2).

    student_logits, teacher_logits: (N, K), for the same classes; labels: (N,).
    Returns a scalar, the mean over the batch: alpha T^2 KL(teacher || student) + (1 - alpha) CE, in nats. No gradient
    reaches the teacher.
    """
    q = F.log_softmax(student_logits / temperature, dim=1)
    p = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    soft = F.kl_div(q, p, log_target=True, reduction="batchmean")       # sum over classes, mean over the batch
    hard = F.cross_entropy(student_logits, labels)
    return alpha * temperature**2 * soft + (1 - alpha) * hard


def attention_distance(weights: torch.Tensor, grid: tuple[int, int], patch_size: int) -> torch.Tensor:
    """Mean distance between a query and what it looks at (Dosovitskiy et al. 2021, appendix D.7 and figure 7).

    weights: (N, heads, L, L) without the class token, rows (queries) sum to 1; grid: (rows, columns) of the patches,
    L = rows * columns, counted row by row; patch_size: pixels of a side.
    Returns (heads,), in pixels.
    """
    rows, columns = (torch.arange(size, dtype=weights.dtype, device=weights.device) for size in grid)
    places = torch.cartesian_prod(rows, columns) * patch_size           # (L, 2), in pixels
    apart = (places[:, None] - places).norm(dim=2)                      # (L, L)
    return (weights * apart).sum(dim=3).mean(dim=(0, 2))


def hard_distillation_loss(
    class_logits: torch.Tensor, distill_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Half cross-entropy to the labels, half to the teacher's choice (Touvron et al. 2021, eq. 3).

    class_logits, distill_logits, teacher_logits: (N, K), of the class head, the distillation head and the teacher;
    labels: (N,). Returns a scalar, the mean over the batch.
    """
    choice = teacher_logits.argmax(dim=1)
    return (F.cross_entropy(class_logits, labels) + F.cross_entropy(distill_logits, choice)) / 2


def feature_distillation_loss(
    student_features: torch.Tensor, teacher_features: torch.Tensor, mapping: nn.Module
) -> torch.Tensor:
    """1 minus the cosine of mapped and teacher's features (Ranzinger et al. 2024, section 3.3), mean over the batch.

    student_features: (N, D); teacher_features: (N, E); mapping: (N, D) to (N, E), linear, learnt along. Returns a
    scalar from 0, the same directions, to 2. No gradient reaches the teacher.
    """
    return 1 - F.cosine_similarity(mapping(student_features), teacher_features.detach(), dim=1).mean()

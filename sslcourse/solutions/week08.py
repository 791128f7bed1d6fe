# ruff: noqa
"""The solved exercises of week08; generated from notebooks/source/week08_masked_image_modelling.py: edit that."""


import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import week08 as check
from sslcourse.models.vit import Block
from sslcourse.plot.schematics.masked_autoencoder import masked_autoencoder


def random_mask(
    n: int, n_patches: int, ratio: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """A random set of patches for each image (He et al. 2022, section 3).

    n: images; ratio: the share that is masked, above 0 and below 1; generator: else the global one.
    Returns bool (n, n_patches), True = masked, exactly int(ratio * n_patches) in every row.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"A mask ratio of {ratio} leaves nothing to see or to predict; it lies between 0 and 1.")
    device = generator.device if generator else "cpu"
    noise = torch.rand(n, n_patches, generator=generator, device=device)
    masked = noise.argsort(dim=1)[:, : int(ratio * n_patches)]                  # a random set in every row
    mask = torch.zeros(n, n_patches, dtype=torch.bool, device=device)
    return mask.scatter_(1, masked, True)


class MAE(nn.Module):
    """A masked autoencoder (He et al. 2022, section 3): images and a mask to predictions of all patches (N, L, P)."""

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        in_channels: int = 3,
        dim: int = 96,
        depth: int = 3,
        num_heads: int = 3,
        decoder_dim: int = 64,
        decoder_depth: int = 1,
        decoder_heads: int = 4,
    ):
        super().__init__()
        self.encoder = models.ViT(image_size, patch_size, in_channels, dim, depth, num_heads)
        self.num_features = dim
        self.decoder_embed = nn.Linear(dim, decoder_dim)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, decoder_dim))
        self.decoder_pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + self.encoder.side**2, decoder_dim))
        self.decoder_blocks = nn.ModuleList(Block(decoder_dim, decoder_heads) for _ in range(decoder_depth))
        self.decoder_norm = nn.LayerNorm(decoder_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_dim, patch_size**2 * in_channels)

    def encode_visible(self, patches: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The class token and the visible patches, in their order, after the encoder: (N, 1 + visible, D).

        patches: (N, L, D), embedded, without positions; mask: bool (N, L), True = masked, equally many in every row.
        """
        x = patches + self.encoder.pos_embed[:, 1:]                     # every patch at its own place
        visible = x[~mask].unflatten(0, (len(x), -1))                   # (N, visible, D), in order
        return self.encoder.encode(visible)                             # (N, 1 + visible, D)

    def decode(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Visible tokens back to their places, mask tokens elsewhere, blocks, pixels: (N, L, P)."""
        x = self.decoder_embed(hidden)                                  # (N, 1 + visible, D')
        placed = self.mask_token.to(x.dtype).repeat(*mask.shape, 1)     # (N, L, D')
        placed[~mask] = x[:, 1:].flatten(0, 1)                          # in the order in which they were picked
        x = torch.cat([x[:, :1], placed], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))[:, 1:]           # (N, L, P), without the class token

    def forward(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        patches = self.encoder.patch_embed(self.encoder.normalise(images)).flatten(2).transpose(1, 2)   # (N, L, D)
        if mask.shape != patches.shape[:2]:
            raise ValueError(
                f"The mask has shape {tuple(mask.shape)}, but there are {patches.shape[1]} patches in each of "
                f"{len(patches)} images; it should be {tuple(patches.shape[:2])}."
            )
        return self.decode(self.encode_visible(patches, mask), mask)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The mean of the patches' tokens, nothing masked: (N, D)."""
        return self.encoder.encode(self.encoder.embed(images))[:, 1:].mean(dim=1)


def mae_loss(
    predictions: torch.Tensor, patches: torch.Tensor, mask: torch.Tensor, norm_pix: bool = True
) -> torch.Tensor:
    """Mean squared error of the masked patches (He et al. 2022, section 3, "Reconstruction target").

    predictions, patches: (N, L, P); mask: bool (N, L), True = masked. norm_pix: against each patch minus its mean and
    divided by its standard deviation. Returns a scalar.
    """
    if mask.shape != patches.shape[:2]:
        raise ValueError(
            f"The mask has shape {tuple(mask.shape)}, but the patches are {tuple(patches.shape[:2])}; it should be the "
            "same."
        )
    if norm_pix:
        mean, variance = patches.mean(dim=2, keepdim=True), patches.var(dim=2, keepdim=True)    # (N, L, 1)
        patches = (patches - mean) / (variance + 1e-6).sqrt()
    error = (predictions - patches).square().mean(dim=2)                # (N, L)
    return error[mask].mean()


def block_mask(grid: tuple[int, int], ratio: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """Masked rectangles (Bao et al. 2022, algorithm 1): bool grid (rows, columns), True = masked, an exact number."""
    rows, columns = grid
    masked = int(ratio * rows * columns)
    mask = torch.zeros(rows, columns, dtype=torch.bool)
    while (missing := masked - int(mask.sum())) > 0:
        size, shape, down, across = torch.rand(4, generator=generator).tolist()
        area, aspect = 4 + size * max(0, missing - 4), 0.3 ** (1 - 2 * shape)
        height = min(rows, max(1, round(math.sqrt(area * aspect))))
        width = min(columns, max(1, round(math.sqrt(area / aspect))))
        top, left = int(down * (rows - height + 1)), int(across * (columns - width + 1))
        block = torch.zeros_like(mask)
        block[top : top + height, left : left + width] = True
        fresh = (block & ~mask).flatten().nonzero()[:missing, 0]
        mask.view(-1)[fresh] = True
    return mask


def beit_loss(logits: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the visual words of the masked patches (Bao et al. 2022, section 2.3), a scalar in nats.

    logits: (N, L, K); tokens: (N, L), whole numbers below K; mask: bool (N, L), True = masked.
    """
    if mask.shape != tokens.shape:
        raise ValueError(f"The mask has shape {tuple(mask.shape)}, the tokens {tuple(tokens.shape)}; make them equal.")
    return F.cross_entropy(logits[mask], tokens[mask])


def ibot_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    mask: torch.Tensor,
    center: torch.Tensor,
    student_temp: float = 0.1,
    teacher_temp: float = 0.04,
) -> torch.Tensor:
    """Self-distillation of masked patches (Zhou et al. 2022, section 3), a scalar in nats.

    student_logits, teacher_logits: (N, L, K); mask: bool (N, L), True = masked; center: (K,), of the teacher.
    Mean within each image, then over images with a masked patch. Gradients reach the student only.
    """
    if mask.shape != student_logits.shape[:2]:
        raise ValueError(
            f"The mask has shape {tuple(mask.shape)}, but the patches are {tuple(student_logits.shape[:2])}; it should "
            "be the same."
        )
    told = ((teacher_logits.detach() - center) / teacher_temp).softmax(dim=2)
    loss = -(told * (student_logits / student_temp).log_softmax(dim=2)).sum(dim=2)      # (N, L)
    some = mask.any(dim=1)
    return ((loss * mask).sum(dim=1)[some] / mask.sum(dim=1)[some]).mean()

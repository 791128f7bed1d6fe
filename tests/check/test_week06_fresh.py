"""Answers to week 6 in other people's styles: every right one passes, every slip is told as what it is."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from torch import nn

from sslcourse.check import week06 as check

# --- patchify


def by_axes(order="nrcijk", cut=lambda x, p: x):
    """Patches and values in the order of rows r, columns c, pixel rows i, pixel columns j, channels k."""

    def patchify(images, patch_size):
        n, k, h, w = images.shape
        p = patch_size
        six = cut(images, p).reshape(n, k, h // p, p, w // p, p)
        return torch.einsum(f"nkricj->{order}", six).reshape(n, -1, p * p * k)

    return patchify


def in_numpy(images, patch_size):
    n, k, h, w = images.shape
    p = patch_size
    blocks = images.numpy().reshape(n, k, h // p, p, w // p, p).transpose(0, 2, 4, 3, 5, 1)
    return torch.from_numpy(np.ascontiguousarray(blocks)).reshape(n, -1, p * p * k)


def by_chunks(images, patch_size):
    rows = images.movedim(1, -1).split(patch_size, dim=1)
    return torch.stack([part.flatten(1) for row in rows for part in row.split(patch_size, dim=2)], dim=1)


def by_strides(images, patch_size):
    n, k, h, w = images.shape
    p, x = patch_size, images.contiguous()
    sn, sk, sh, sw = x.stride()
    return x.as_strided((n, h // p, w // p, p, p, k), (sn, sh * p, sw * p, sh, sw, sk)).reshape(n, -1, p * p * k)


@torch.jit.script
def scripted(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    x = images.permute(0, 2, 3, 1).unfold(1, patch_size, patch_size).unfold(2, patch_size, patch_size)
    return x.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(1, 2)


@pytest.mark.parametrize("right", [by_axes(), in_numpy, by_chunks, by_strides, scripted, functools.partial(by_chunks)])
def test_right_patchify(right, seeds):
    assert_right(check.patchify, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (by_axes("nrckij"), "channels come first"),
        (by_axes("ncrijk"), "counted column by column"),
        (by_axes("nrcjik"), "pixels of a patch are read column by column"),
        (by_axes("nrckji"), "pixels of a patch are read column by column"),
        (by_axes("ncrjik"), "rows and columns are swapped everywhere"),
        (by_axes("ncrkij"), "column by column, and the channels come first"),
        (by_axes("nkricj"), "only cut into pieces"),
        (by_axes("nijrck"), "by hand"),
        (lambda x, p: by_chunks(x.flip(1), p), "look at several channels or images"),
        (lambda x, p: by_chunks(x, p).flip(1), "by hand"),
        (lambda x, p: by_chunks(x, p).mT, "it should be"),
        (lambda x, p: by_chunks(x, p).unflatten(1, (x.shape[2] // p, -1)), "it should be"),
        (lambda x, p: by_chunks(x, p) / 255, "not where they should be"),
        (lambda x, p: by_chunks(x, p).float(), "come back as torch.float32"),
        (lambda x, p: by_chunks(x.roll(1, 0), p), "look at several channels or images"),
        (lambda x, p: by_chunks(x.reshape(len(x), -1, x.shape[2], x.shape[2]), p), "images are taken for square"),
    ],
)
def test_wrong_patchify(wrong, words):
    assert_wrong(check.patchify, wrong, words)


# --- SelfAttention

ATTENTION = """
class SelfAttention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.scale = self.head_dim ** -0.5
        self.qkv = nn.Linear(dim, dim * 3, bias=True)
        self.proj = nn.Linear(dim, dim)
        self.last_weights = None

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attn = (q * self.scale) @ k.transpose(-2, -1)
        attn = attn.softmax(dim=-1)
        self.last_weights = attn
        x = (attn @ v).transpose(1, 2).reshape(B, N, C)
        return self.proj(x)
"""
KEPT = "self.last_weights = attn\n"
SOFTMAX = "attn = attn.softmax(dim=-1)"
SCORES = "attn = (q * self.scale) @ k.transpose(-2, -1)"
CUT = ".reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)"
END = "return self.proj(x)"
JOIN = "(attn @ v).transpose(1, 2).reshape(B, N, C)"


def attention(*changes):
    source = ATTENTION
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source
        source = source.replace(old, new)
    return cell(source, "SelfAttention", torch=torch, nn=nn, F=F, math=math)


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (KEPT, "self.last_weights = attn.detach().clone()\n"),
        (SCORES, "attn = torch.einsum('bhid,bhjd->bhij', q, k).div(math.sqrt(self.head_dim))"),
        (JOIN, "F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)"),
        (JOIN, "torch.cat([attn[:, h] @ v[:, h] for h in range(self.num_heads)], dim=-1)"),
        (SCORES, "attn = torch.baddbmm(torch.zeros(1, 1, 1), q.flatten(0, 1), k.flatten(0, 1).mT, alpha=self.scale)"
                 ".unflatten(0, (B, -1))"),
        (SOFTMAX, "attn = attn - attn.amax(-1, keepdim=True).detach()\n        attn = attn.exp()\n"
                  "        attn = attn / attn.sum(-1, keepdim=True)"),
        ("self.proj = nn.Linear(dim, dim)", "self.proj = nn.Linear(dim, dim)\n        self.drop = nn.Dropout(0.0)",
         SOFTMAX, "attn = self.drop(attn.softmax(dim=-1))"),
        ("bias=True", "bias=False"),
    ],
)  # fmt: skip
def test_right_attention(changes, seeds):
    assert_right(check.SelfAttention, attention(*changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((END, "return self.proj(x) + inputs", "        B, N, C", "        inputs = x\n        B, N, C"),
         "the residual step belongs to the block"),
        ((END, "return F.layer_norm(self.proj(x), (C,))"), "there is a layer norm inside"),
        ((END, "return F.dropout(self.proj(x), 0.5)"), "there is no dropout in here"),
        ((SOFTMAX, "attn = F.dropout(attn.softmax(dim=-1), 0.3)"), "there is no dropout in here"),
        ((END, "return x"), "does not pass through proj"),
        (("self.head_dim ** -0.5", "dim ** -0.5"), "divided by the root of D"),
        (("self.head_dim ** -0.5", "1.0"), "not divided by the root of d"),
        (("self.head_dim ** -0.5", "1 / self.head_dim"), "divided by d: by its square root"),
        (("q * self.scale", "q * N ** -0.5"), "the number of tokens"),
        (("q * self.scale", "q / N"), "the number of tokens"),
        (("(q * self.scale)", "q", SOFTMAX, "attn = attn.softmax(dim=-1) * self.scale"), "softmax comes before"),
        ((SOFTMAX, "pass"), "there is no softmax"),
        ((SOFTMAX, "attn = attn.sigmoid()"), "by a sigmoid"),
        ((SOFTMAX, "attn = attn.softmax(-1).softmax(-1)"), "a softmax is taken twice"),
        ((SOFTMAX, "attn = attn.softmax(dim=-2)"), "runs over the queries"),
        ((SOFTMAX, "attn = attn.softmax(dim=1)"), "runs over the heads"),
        ((SOFTMAX, "attn = attn.softmax(dim=0)"), "Print the shape"),
        ((SOFTMAX, "attn = attn.masked_fill(torch.ones(N, N).triu(1).bool(), -torch.inf).softmax(-1)"), "no mask"),
        ((SOFTMAX, "attn = attn.softmax(-1).mean(1, keepdim=True).expand(-1, self.num_heads, -1, -1)"), "averaged"),
        ((CUT, ".reshape(B, N, self.num_heads, 3, self.head_dim).permute(3, 0, 2, 1, 4)"), "another order than timm's"),
        ((CUT, ".reshape(B, 3, self.num_heads, N, self.head_dim).permute(1, 0, 2, 3, 4)"), "Print the shape"),
        (("q, k, v = qkv", "k, q, v = qkv"), "queries and keys are swapped"),
        (("q, k, v = qkv", "q, v, k = qkv"), "Print the shape"),
        ((JOIN, "(attn @ v).reshape(B, N, C)"), "without bringing the tokens back"),
        ((KEPT, "self.last_weights = attn if self.last_weights is None else self.last_weights\n"), "after a second"),
        ((KEPT, "pass\n"), "is not kept"),
        ((KEPT, "self.last_weights = attn.mT\n"), "is transposed"),
        ((KEPT, "self.last_weights = attn.mean(1)\n"), "`last_weights` is a tensor of shape"),
        ((KEPT, KEPT.replace("attn", "attn.detach()") + "        attn = self.last_weights\n"), "the gradient of qkv"),
        (("self.qkv(x)", "self.qkv(x.detach())"), "something is detached"),
        (("nn.Linear(dim, dim * 3, bias=True)", "nn.Conv1d(dim, dim * 3, 1)"), "it should be an nn.Linear"),
    ],
)  # fmt: skip
def test_wrong_attention(changes, words):
    assert_wrong(check.SelfAttention, attention(*changes), words)


# --- distillation_loss


def kd(
    soft=lambda s, t, T: F.kl_div((s / T).log_softmax(1), (t / T).softmax(1), reduction="batchmean"),
    hard=F.cross_entropy, factor=lambda T: T * T, shares=lambda a: (a, 1 - a), whole=lambda T: 1,
):  # fmt: skip
    def distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, alpha=0.7):
        first, second = shares(alpha)
        loss = first * factor(temperature) * soft(student_logits, teacher_logits.detach(), temperature)
        return whole(temperature) * (loss + second * hard(student_logits, labels))

    return distillation_loss


@torch.jit.script
def kd_scripted(
    s: torch.Tensor, t: torch.Tensor, y: torch.Tensor, temperature: float = 4.0, alpha: float = 0.7
) -> torch.Tensor:
    p, q = torch.log_softmax(t.detach() / temperature, 1), torch.log_softmax(s / temperature, 1)
    hard = -torch.log_softmax(s, 1).gather(1, y[:, None]).mean()
    return alpha * temperature**2 * (p.exp() * (p - q)).sum(1).mean() + (1 - alpha) * hard


@pytest.mark.parametrize(
    "right",
    [
        kd(), kd_scripted, functools.partial(kd()),
        kd(lambda s, t, T: nn.KLDivLoss(reduction="sum")((s / T).log_softmax(1), (t / T).softmax(1)) / len(s)),
        kd(lambda s, t, T: F.kl_div((s / T).log_softmax(1), (t / T).log_softmax(1), log_target=True,
                                    reduction="none").sum(1).mean()),
        kd(lambda s, t, T: F.cross_entropy(s / T, (t / T).softmax(1))
           - torch.special.entr((t / T).softmax(1)).sum(1).mean()),
        kd(hard=lambda s, y: -(F.one_hot(y, s.shape[1]) * s.log_softmax(1)).sum() / len(s)),
    ],
)  # fmt: skip
def test_right_distillation(right, seeds):
    assert_right(check.distillation_loss, right)


kl = functools.partial(F.kl_div, reduction="batchmean")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (kd(lambda s, t, T: kl((s / T).log_softmax(1), (t / T).log_softmax(1))), "log_target"),
        (kd(lambda s, t, T: kl((s / T).log_softmax(1), (t / T).softmax(1), log_target=True,
                                     reduction="batchmean")), "log_target=True is set"),
        (kd(whole=lambda T: T * T, factor=lambda T: 1), "T^2 multiplies both parts"),
        (kd(shares=lambda a: (a, 1)), "not multiplied by 1 - alpha"),
        (kd(shares=lambda a: (1, 1 - a)), "soft part is not multiplied by alpha"),
        (kd(shares=lambda a: (1, 1)), "alpha is not used at all"),
        (kd(shares=lambda a: (a, a)), "both parts are multiplied by alpha"),
        (kd(shares=lambda a: (1 - a, a)), "alpha is the wrong way round"),
        (lambda s, t, y, temperature=4.0, alpha=0.7: kd()(t, s, y, temperature, alpha), "are swapped"),
        (kd(hard=lambda s, y: F.cross_entropy(s.softmax(1), y)), "softmax is taken before the cross-entropy"),
        (kd(hard=lambda s, y: F.cross_entropy(s, y, reduction="sum")), "cross-entropy is summed"),
        (kd(hard=lambda s, y: 0.0), "cross-entropy with the labels is missing"),
        (kd(hard=lambda s, y: F.nll_loss(s.softmax(1), y)), "the logarithm is missing"),
        (kd(lambda s, t, T: kl((t / T).log_softmax(1), (s / T).softmax(1))), "wrong direction"),
        (kd(lambda s, t, T: kl((s / T).log_softmax(1), (t / T).softmax(1), reduction="mean")), "classes too"),
        (kd(lambda s, t, T: kl((s / T).log_softmax(1), (t / T).softmax(1), reduction="sum")), "summed over"),
        (kd(lambda s, t, T: kl((s / T).softmax(1), (t / T).softmax(1))), "stand where"),
        (kd(lambda s, t, T: kl((s / T).log_softmax(0), (t / T).softmax(0))), "over the batch"),
        (kd(lambda s, t, T: kl((s * T).log_softmax(1), (t * T).softmax(1))),
         "logits are multiplied by the temperature"),
        (kd(lambda s, t, T: F.mse_loss(s, t)), "squared distance"),
        (kd(lambda s, t, T: F.mse_loss((s / T).softmax(1), (t / T).softmax(1)), factor=lambda T: 1), "squared"),
        (kd(lambda s, t, T: F.cross_entropy(s / T, t.argmax(1))), "most probable class"),
        (kd(factor=lambda T: 1), "T^2 is missing"),
        (kd(factor=lambda T: T), "multiplied by T:"),
        (kd(factor=lambda T: 1 / T**2), "divided by T^2"),
        (lambda s, t, y, temperature=4.0, alpha=0.7: kd(hard=lambda s, y: F.cross_entropy(s / temperature, y))(
            s, t, y, temperature, alpha), "softens the cross-entropy"),
        (lambda s, t, y, temperature=4.0, alpha=0.5: kd()(s, t, y, temperature, alpha), "The defaults are 4 and 0.7"),
    ],
)  # fmt: skip
def test_wrong_distillation(wrong, words):
    assert_wrong(check.distillation_loss, wrong, words)


# --- attention_distance


def places(grid):
    return torch.stack(torch.meshgrid(*map(torch.arange, grid), indexing="ij"), -1).flatten(0, 1).float()


def measured(
    apart=lambda at: torch.cdist(at, at), gather=lambda w, d: torch.einsum("nhij,ij->h", w, d) / (len(w) * len(d))
):
    return lambda weights, grid, patch_size: gather(weights, apart(places(grid) * patch_size))


def in_loops(weights, grid, patch_size):
    rows, columns = grid
    out = torch.zeros(weights.shape[1])
    for i in range(rows * columns):
        for j in range(rows * columns):
            (a, b), (c, d) = divmod(i, columns), divmod(j, columns)
            out += weights[:, :, i, j].mean(0) * math.hypot(a - c, b - d) * patch_size / (rows * columns)
    return out


def of_complex_numbers(weights, grid, patch_size):
    at = torch.complex(*places(grid).T)
    return patch_size * (weights * (at[:, None] - at).abs()).sum(-1).flatten(2).mean(2).mean(0)


@pytest.mark.parametrize(
    "right",
    [
        measured(), in_loops, of_complex_numbers, functools.partial(in_loops),
        measured(gather=lambda w, d: (w * d).sum(dim=(2, 3)).mean(0) / len(d)),
        measured(apart=lambda at: (at[:, None] - at).pow(2).sum(-1).sqrt()),
    ],
)  # fmt: skip
def test_right_distance(right, seeds):
    assert_right(check.attention_distance, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda w, grid, p: in_loops(w, grid, 1), "counted in patches"),
        (lambda w, grid, p: in_loops(w, grid[::-1], p), "rows and columns of the grid are swapped"),
        (measured(lambda at: torch.cdist(at, at, p=1)), "take the straight line"),
        (measured(lambda at: torch.cdist(at, at, p=math.inf)), "the larger of the two distances"),
        (measured(lambda at: torch.cdist(at, at) ** 2), "the distance is squared"),
        (measured(gather=lambda w, d: (w * d**2).sum(-1).sqrt().mean((0, 2))), "root of a mean of squares"),
        (measured(gather=lambda w, d: (w * d).sum((0, 2, 3)) / len(w)), "the queries are summed"),
        (measured(gather=lambda w, d: (w * d).sum((0, 3)).mean(1)), "the images are summed"),
        (measured(gather=lambda w, d: (w * d).sum((0, 2, 3))), "images and queries are summed"),
        (measured(gather=lambda w, d: (w * d).mean((0, 2, 3))), "the mean runs over the keys too"),
        (measured(gather=lambda w, d: (w * d).sum(-1).mean().repeat(w.shape[1])), "the heads are averaged"),
        (measured(gather=lambda w, d: d.mean().repeat(w.shape[1])), "the weights are not used"),
        (measured(gather=lambda w, d: d[torch.arange(len(d)), w.argmax(-1)].mean((0, 2))), "only the patch with"),
        (measured(gather=lambda w, d: (w * d).sum(-1).mean((0, 2)) / d.max()), "divided by the largest distance"),
        (measured(gather=lambda w, d: (w * d).sum(-1).mean(2)), "it should be"),
        (measured(gather=lambda w, d: (w * d).sum(-1).amax(2).mean(0)), "by hand"),
    ],
)
def test_wrong_distance(wrong, words):
    assert_wrong(check.attention_distance, wrong, words)

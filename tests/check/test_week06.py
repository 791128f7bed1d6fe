"""The checks of week 6: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from timm.layers import Attention as TimmAttention
from timm.models.vision_transformer import Block as TimmBlock
from timm.models.vision_transformer import VisionTransformer
from timm.task import LogitDistillationTask, TokenDistillationTask
from torch import nn

import sslcourse
from sslcourse import models
from sslcourse.check import machinery
from sslcourse.check import week06 as check
from sslcourse.check.week06 import distillation_oracle as distillation
from sslcourse.check.week06 import oracle, patches_oracle
from sslcourse.models import vit as library

solution = lambda name: sslcourse.solution("week06", name)  # noqa: E731


def logits(n, k, seed=0):
    generator = torch.Generator().manual_seed(seed)
    s, t = 2 * torch.randn(2, n, k, generator=generator, dtype=torch.float64)
    return s, t, torch.randint(k, (n,), generator=generator)


# --- the definitions against peer libraries


class Says(nn.Module):
    """A model for timm's tasks that gives these logits, whatever it sees."""

    in_chans, pretrained_cfg = 3, {"mean": (0, 0, 0), "std": (1, 1, 1)}

    def __init__(self, *out):
        super().__init__()
        self.out = nn.ParameterList(out)
        self.num_classes = out[0].shape[1]

    def set_distilled_training(self, enable=True): ...

    def forward(self, x):
        return self.out[0] if len(self.out) == 1 else tuple(self.out)


@pytest.mark.parametrize("temperature", [1.0, 3.0, 8.0])
def test_distillation_definition_equals_timms_task(temperature):
    """timm: task_loss_weight * CE + (1 - task_loss_weight) * T^2 KL, batch mean."""
    s, t, y = logits(7, 5)
    task = LogitDistillationTask(
        Says(s),
        Says(t),
        criterion=nn.CrossEntropyLoss(),
        task_loss_weight=0.3,
        temperature=temperature,
        device=torch.device("cpu"),
        dtype=torch.float64,
        verbose=False,
    )
    theirs = task(torch.zeros(7, 3, 2, 2, dtype=torch.float64), y)["loss"]
    mine = distillation.distillation_loss(s, t, y, temperature, 0.7)
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-9)


def test_hard_distillation_definition_equals_timms_task():
    s, t, y = logits(6, 4)
    d = logits(6, 4, seed=1)[0]
    task = TokenDistillationTask(
        Says(s, d), Says(t), nn.CrossEntropyLoss(), distill_type="hard", task_loss_weight=0.5, dtype=torch.float64
    )
    theirs = task(torch.zeros(6, 3, 2, 2, dtype=torch.float64), y)["loss"]
    assert distillation.hard_distillation_loss(s, d, t, y).item() == pytest.approx(theirs.item(), abs=1e-9)


def test_attention_and_block_definitions_equal_timm():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    theirs = TimmAttention(12, num_heads=3, qkv_bias=True).double()
    out, weights = oracle.attention(x, dict(theirs.state_dict()), 3)
    torch.testing.assert_close(out, theirs(x), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(weights.sum(3), torch.ones(2, 3, 5, dtype=torch.float64))

    block = TimmBlock(12, num_heads=3, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6)).double()
    for parameter in block.parameters():
        parameter.data.normal_(0, 0.5)
    torch.testing.assert_close(oracle.block(x, dict(block.state_dict()), 3), block(x), atol=1e-9, rtol=1e-9)


def test_patchify_definition_equals_unfold_and_inverts():
    images = torch.rand(2, 3, 4, 6, dtype=torch.float64)
    patches = patches_oracle.patchify(images, 2)
    unfolded = F.unfold(images, 2, stride=2).transpose(1, 2).unflatten(2, (3, 4)).transpose(2, 3).flatten(2)
    torch.testing.assert_close(patches, unfolded)
    torch.testing.assert_close(patches_oracle.unpatchify(patches, 2, (2, 3)), images)


def test_the_parametrised_definitions_are_right_without_a_mistake():
    images, (s, t, y) = torch.rand(2, 3, 4, 6, dtype=torch.float64), logits(6, 4)
    torch.testing.assert_close(patches_oracle._ordered(images, 2, "rcijk"), patches_oracle.patchify(images, 2))
    torch.testing.assert_close(
        distillation._distillation_loss(s, t, y, 3.0, 0.4), distillation.distillation_loss(s, t, y, 3.0, 0.4)
    )
    torch.testing.assert_close(distillation._hard(s, t, t, y), distillation.hard_distillation_loss(s, t, t, y))
    weights = torch.rand(2, 3, 6, 6, dtype=torch.float64).softmax(3)
    torch.testing.assert_close(oracle._distance(weights, (2, 3), 4), oracle.attention_distance(weights, (2, 3), 4))
    x = torch.randn(2, 4, 6, dtype=torch.float64)
    layer = TimmAttention(6, num_heads=2, qkv_bias=True).double()
    for a, b in zip(
        oracle._attention(x, layer.state_dict(), 2), oracle.attention(x, layer.state_dict(), 2), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_attention_distance_by_hand():
    """Two patches of 8 pixels side by side that share their attention evenly: half of 8 on average."""
    half = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    assert oracle.attention_distance(half, (1, 2), 8).tolist() == [4.0]
    corner = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    corner[..., 3] = 1  # all look at the lower right of 2 x 2
    assert oracle.attention_distance(corner, (2, 2), 1).item() == pytest.approx((math.sqrt(2) + 2) / 4)


# --- patchify


def patchify_in_a_loop(images, patch_size):
    n, _, height, width = images.shape
    rows = []
    for i in range(0, height, patch_size):
        for j in range(0, width, patch_size):
            rows.append(images[:, :, i : i + patch_size, j : j + patch_size].permute(0, 2, 3, 1).reshape(n, -1))
    return torch.stack(rows, dim=1)


def patchify_by_unfolding(images, patch_size):
    p = patch_size
    x = images.unfold(2, p, p).unfold(3, p, p)  # (N, C, rows, columns, p, p)
    return x.permute(0, 2, 3, 4, 5, 1).flatten(1, 2).flatten(2)


def patchify_with_einsum(images, patch_size):
    n, c, h, w = images.shape
    p = patch_size
    x = torch.einsum("nchpwq->nhwpqc", images.reshape(n, c, h // p, p, w // p, p))
    return x.reshape(n, -1, p * p * c)


def wrong_order(*axes):
    def patchify(images, p):
        n, c, h, w = images.shape
        return images.reshape(n, c, h // p, p, w // p, p).permute(*axes).reshape(n, -1, p * p * c)

    return patchify


def patchify_f_unfold(images, p):
    return F.unfold(images.float(), p, stride=p).transpose(1, 2).to(images.dtype)


def test_right_patchify(seeds):
    for right in (patchify_in_a_loop, patchify_by_unfolding, patchify_with_einsum):
        assert_right(check.patchify, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (wrong_order(0, 2, 4, 1, 3, 5), "the channels come first within a patch"),
        (patchify_f_unfold, "the channels come first within a patch"),
        (wrong_order(0, 4, 2, 3, 5, 1), "the patches are counted column by column"),
        (lambda x, p: patchify_in_a_loop(x.transpose(2, 3), p), "rows and columns are swapped everywhere"),
        (wrong_order(0, 2, 4, 5, 3, 1), "the pixels of a patch are read column by column"),
        (lambda x, p: x.reshape(len(x), -1, p * p * x.shape[1]), "only cut into pieces"),
        (wrong_order(0, 2, 3, 4, 5, 1), "only cut into pieces"),
        (lambda x, p: patchify_in_a_loop(x, p).flip(1), "Try a small case by hand"),
        (lambda x, p: patchify_in_a_loop(x, p).transpose(1, 2), "a tensor of shape"),
        (lambda x, p: patchify_in_a_loop(x.float(), p), "uint8 images come back as torch.float32"),
        (lambda x, p: patchify_in_a_loop(x, p).flip(0), "look at several channels or images"),
        (lambda x, p: print(), "returns None"),
    ],
)
def test_wrong_patchify(wrong, words):
    assert_wrong(check.patchify, wrong, words)


# --- unpatchify


def fold(x, p, grid):
    values = x.unflatten(2, (p * p, -1)).transpose(2, 3).flatten(2).transpose(1, 2)  # F.fold wants channels first
    return F.fold(values, [s * p for s in grid], p, stride=p)


def unpatchify_in_a_loop(patches, patch_size, grid):
    tiles = patches.unflatten(2, (patch_size, patch_size, -1)).permute(0, 1, 4, 2, 3)
    lines = [torch.cat([tiles[:, r * grid[1] + c] for c in range(grid[1])], dim=3) for r in range(grid[0])]
    return torch.cat(lines, dim=2)


def unpatchify_with_einsum(x, p, grid):
    rows, columns = grid
    x = torch.einsum("nrcijk->nkricj", x.reshape(len(x), rows, columns, p, p, -1))
    return x.reshape(len(x), -1, rows * p, columns * p)


def put_back(*axes, sizes="rcpqk"):
    """As the text says, with another split, or with other axes in the permutation."""

    def unpatchify(x, p, grid):
        of = dict(r=grid[0], c=grid[1], p=p, q=p, k=x.shape[2] // p**2)
        return (
            x.reshape(len(x), *(of[letter] for letter in sizes))
            .permute(*axes)
            .reshape(len(x), -1, grid[0] * p, grid[1] * p)
        )

    return unpatchify


def test_right_unpatchify(seeds):
    for right in (fold, unpatchify_in_a_loop, unpatchify_with_einsum, put_back(0, 5, 1, 3, 2, 4)):
        assert_right(check.unpatchify, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, p, grid: F.fold(x.transpose(1, 2), [s * p for s in grid], p, stride=p), "channels are taken to"),
        (put_back(0, 3, 1, 4, 2, 5, sizes="rckpq"), "the channels are taken to come first within a patch"),
        (put_back(0, 5, 2, 3, 1, 4, sizes="crpqk"), "by column: the first of them lie along the first row"),
        (put_back(0, 5, 2, 3, 1, 4), "the patches are taken to be counted column by column"),
        (put_back(0, 3, 2, 4, 1, 5, sizes="crkpq"), "column by column, with the channels first"),
        (put_back(0, 5, 1, 4, 2, 3), "the pixels of a patch are put back column by column"),
        (put_back(0, 5, 2, 4, 1, 3), "rows and columns are swapped everywhere"),
        (put_back(0, 1, 2, 3, 4, 5), "only cut into pieces"),
        (put_back(0, 5, 1, 2, 3, 4), "only cut into pieces"),
        (lambda x, p, grid: x.view(len(x), grid[0] * p, grid[1] * p, -1).permute(0, 3, 1, 2), "only cut into pieces"),
        (put_back(0, 1, 3, 2, 4, 5), "the channels are still last when the axes are joined"),
        (put_back(0, 5, 3, 1, 4, 2), "patch and pixel change places"),
        (lambda x, p, grid: fold(x, p, grid).transpose(2, 3), "height and width are swapped"),
        (lambda x, p, grid: fold(x, p, grid[::-1]), "height and width are swapped"),
        (lambda x, p, grid: fold(x, p, grid).permute(0, 2, 3, 1), "the channels come last"),
        (lambda x, p, grid: fold(x.flip(1), p, grid), "Row 0 of the image should be [0, 1, 2, 3, 4, 5]; yours is [16,"),
        (lambda x, p, grid: fold(x, p, grid).flip(1), "One channel of 4 x 6 pixels comes out right"),
        (lambda x, p, grid: fold(x, p, grid).flip(0), "look at several channels or images"),
        (lambda x, p, grid: fold(x, p, grid).flatten(1), "it should be (2, 3, 4, 6)"),
        (lambda x, p, grid: print(), "returns None"),
    ],
)
def test_wrong_unpatchify(wrong, words):
    assert_wrong(check.unpatchify, wrong, words)


# --- SelfAttention


class Base(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.heads, self.dim = num_heads, dim
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def split(self, x):
        n, length, dim = x.shape
        return self.qkv(x).view(n, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)

    def look(self, q, k):
        return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)

    def join(self, out):
        return self.proj(out.transpose(1, 2).flatten(2))

    def forward(self, x):
        q, k, v = self.split(x)
        self.last_weights = self.look(q, k)
        return self.join(self.last_weights @ v)


class HeadByHead(Base):
    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=2)
        outs, weights = [], []
        for a, b, c in zip(*(part.chunk(self.heads, dim=2) for part in (q, k, v)), strict=True):
            weights.append(torch.softmax(torch.bmm(a, b.mT) / a.shape[2] ** 0.5, dim=2))
            outs.append(torch.bmm(weights[-1], c))
        self.last_weights = torch.stack(weights, 1).detach()
        return self.proj(torch.cat(outs, dim=2))


class WithEinsum(Base):
    def forward(self, x):
        n, length, dim = x.shape
        q, k, v = (t.view(n, length, self.heads, -1) for t in self.qkv(x).split(dim, dim=2))
        scores = torch.einsum("nihd,njhd->nhij", q, k) * (dim // self.heads) ** -0.5
        e = (scores - scores.amax(-1, keepdim=True)).exp()
        self.last_weights = e / e.sum(-1, keepdim=True)
        return self.proj(torch.einsum("nhij,njhd->nihd", self.last_weights, v).reshape(n, length, dim))


class Fused(Base):
    def forward(self, x):
        q, k, v = self.split(x)
        self.last_weights = self.look(q, k)
        return self.join(F.scaled_dot_product_attention(q, k, v))


class WithoutBias(Base):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)


@pytest.mark.parametrize("right", [Base, HeadByHead, WithEinsum, Fused, WithoutBias, library.Attention])
def test_right_self_attention(right, seeds):
    assert_right(check.SelfAttention, right)


def with_look(look):
    return type("Wrong", (Base,), {"look": lambda self, q, k: look(self, q, k)})


class TokensForHeads(Base):
    def split(self, x):
        return [part.reshape(len(x), self.heads, x.shape[1], -1) for part in self.qkv(x).chunk(3, 2)]


class JoinedAsItLies(Base):
    def join(self, out):
        return self.proj(out.reshape(len(out), out.shape[2], self.dim))


class BothByView(TokensForHeads):
    def join(self, out):
        return self.proj(out.reshape(len(out), out.shape[2], self.dim))


class HeadsFirst(Base):
    def split(self, x):
        return self.qkv(x).view(len(x), x.shape[1], self.heads, 3, -1).permute(3, 0, 2, 1, 4)


class Unprojected(Base):
    def join(self, out):
        return out.transpose(1, 2).flatten(2)


class Swapped(Base):
    def forward(self, x):
        k, q, v = self.split(x)
        self.last_weights = self.look(q, k)
        return self.join(self.last_weights @ v)


def keeps(kept):
    def forward(self, x):
        q, k, v = self.split(x)
        self.last_weights = kept(self.look(q, k), q @ k.mT)
        return self.join(self.look(q, k) @ v)

    return type("Wrong", (Base,), {"forward": forward})


class Detached(Base):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class NoProj(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)


class Narrow(Base):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.qkv = nn.Linear(dim, dim)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (with_look(lambda s, q, k: (q @ k.mT / s.dim**0.5).softmax(-1)), "divided by the root of D"),
        (with_look(lambda s, q, k: (q @ k.mT).softmax(-1)), "not divided by the root of d"),
        (with_look(lambda s, q, k: (q @ k.mT / q.shape[-1]).softmax(-1)), "divided by d: by its square root"),
        (with_look(lambda s, q, k: (q @ k.mT * q.shape[-1] ** 0.5).softmax(-1)), "multiplied by the root of d"),
        (with_look(lambda s, q, k: (q @ k.mT / q.shape[-1] ** 0.5).softmax(-2)), "runs over the queries"),
        (with_look(lambda s, q, k: (q @ k.mT / q.shape[-1] ** 0.5).softmax(1)), "runs over the heads"),
        (TokensForHeads, "heads and tokens are swapped"),
        (BothByView, "heads and tokens are swapped"),
        (JoinedAsItLies, "without bringing the tokens back"),
        (HeadsFirst, "another order than timm's"),
        (Unprojected, "does not pass through proj"),
        (Swapped, "queries and keys are swapped"),
        (keeps(lambda w, s: None), "`last_weights` is not kept"),
        (keeps(lambda w, s: s), "holds the scores"),
        (keeps(lambda w, s: w.mean(1)), "`last_weights` is a tensor of shape"),
        (keeps(lambda w, s: w.mT), "is transposed"),
        (keeps(lambda w, s: w.flip(1)), "not what the output is made of"),
        (Detached, "no gradient comes through"),
        (NoProj, "It has no layer `proj`"),
        (Narrow, "`qkv` maps from 12 to 12"),
        (with_look(lambda s, q, k: (q @ k.mT / q.shape[-1] ** 0.5).sigmoid()), "by a sigmoid"),
        (with_look(lambda s, q, k: (q @ k.mT / q.shape[-1] ** 0.5).relu()), "join the heads, then proj"),
        (lambda dim, heads: Base(dim, heads), "should be a class"),
    ],
)
def test_wrong_self_attention(wrong, words):
    assert_wrong(check.SelfAttention, wrong, words)


# --- the given classes


class PostNorm(library.Block):
    def forward(self, x):
        x = self.norm1(x + self.attn(x))
        return self.norm2(x + self.mlp(x))


class WithTanh(library.Block):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.mlp.act = nn.GELU(approximate="tanh")


class NoResidual(library.Block):
    def forward(self, x):
        return self.mlp(self.norm2(self.attn(self.norm1(x))))


def test_block():
    assert_right(check.Block, library.Block)
    assert_wrong(check.Block, PostNorm, "not x + attn(norm1(x))")
    assert_wrong(check.Block, NoResidual, "not x + attn(norm1(x))")
    assert_wrong(check.Block, Base, "It has no layer `norm1`")


def test_the_given_vit_equals_timms_and_the_librarys():
    torch.manual_seed(0)
    ours = solution("ViT")(24, 4, dim=24, depth=2, num_heads=3).eval()
    mine = models.ViT(24, 4, dim=24, depth=2, num_heads=3).eval()
    theirs = VisionTransformer(img_size=24, patch_size=4, embed_dim=24, depth=2, num_heads=3, num_classes=0).eval()
    for parameter in mine.parameters():
        parameter.data.normal_(0, 0.3)
    weights = mine.state_dict()
    theirs.load_state_dict({name: value for name, value in weights.items() if not name.startswith("normalise")})
    weights["patch_embed.bias"] = weights.pop("patch_embed.proj.bias")
    weights["patch_embed.weight"] = weights.pop("patch_embed.proj.weight").permute(0, 2, 3, 1).flatten(1)
    ours.load_state_dict(weights)
    images = torch.rand(3, 3, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), mine(images), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours(images), theirs((images - 0.45) / 0.25), atol=1e-5, rtol=1e-5)


def test_vit_without_positions():
    given = solution("ViT")

    class NoPositions(given):
        def forward(self, images):
            self.pos_embed.data.zero_()
            return super().forward(images)

    assert_wrong(check.ViT, NoPositions, "not the class token after patches")


def test_vit_whose_weights_are_not_those_of_the_text():
    given = solution("ViT")

    class OneBlock(given):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.blocks = nn.ModuleList([self.blocks[0]] * len(self.blocks))

    class PlainNorm(given):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.norm = nn.LayerNorm(self.num_features, eps=1e-6, elementwise_affine=False)

    class FixedPositions(given):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            positions = self.pos_embed.detach()
            del self.pos_embed
            self.register_buffer("pos_embed", positions)

    class Flat(given):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.cls_token = nn.Parameter(self.cls_token.detach()[0, 0])

        def forward(self, images):
            x = self.patch_embed(solution("patchify")(self.normalise(images), self.patch_size))
            x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], dim=1) + self.pos_embed
            return self.norm(nn.Sequential(*self.blocks)(x))[:, 0]

    assert_wrong(check.ViT, OneBlock, "blocks.0.norm1.weight and blocks.1.norm1.weight are one and the same tensor")
    assert_wrong(check.ViT, PlainNorm, "no trained parameter `norm.weight`; it should have one of shape (8,)")
    assert_wrong(check.ViT, FixedPositions, "no trained parameter `pos_embed`; it should have one of shape (1, 10, 8)")
    assert_wrong(check.ViT, Flat, "`cls_token` has shape (8,), it should be (1, 1, 8)")


@pytest.mark.parametrize(
    ("norm", "words"),
    [
        (lambda block: nn.Identity(), "no trained parameter `norm2.weight`"),
        (lambda block: nn.LayerNorm(8, eps=1e-6, bias=False), "no trained parameter `norm2.bias`"),
        (lambda block: block.norm1, "norm1.weight and norm2.weight are one and the same tensor"),
    ],
)
def test_block_without_a_norm_of_its_own(norm, words):
    class Altered(solution("Block")):
        def __init__(self, *args):
            super().__init__(*args)
            self.norm2 = norm(self)

    assert_wrong(check.Block, Altered, words)


# --- distillation_loss


def kd(s, t, y, temperature=4.0, alpha=0.7):
    soft = F.kl_div((s / temperature).log_softmax(1), (t.detach() / temperature).softmax(1), reduction="batchmean")
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


def kd_by_hand(s, t, y, temperature=4.0, alpha=0.7):
    with torch.no_grad():
        log_p = t / temperature - torch.logsumexp(t / temperature, 1, keepdim=True)
    log_q = s / temperature - torch.logsumexp(s / temperature, 1, keepdim=True)
    hard = -(s.log_softmax(1)[torch.arange(len(y)), y]).mean()
    return alpha * temperature**2 * (log_p.exp() * (log_p - log_q)).sum(1).mean() + (1 - alpha) * hard


def kd_of_distributions(s, t, y, temperature=4.0, alpha=0.7):
    p, q = (torch.distributions.Categorical(logits=x / temperature) for x in (t.detach(), s))
    kl = torch.distributions.kl_divergence(p, q).mean()
    return alpha * temperature**2 * kl + (1 - alpha) * nn.CrossEntropyLoss()(s, y)


@pytest.mark.parametrize("right", [kd, kd_by_hand, kd_of_distributions])
def test_right_distillation_loss(right, seeds):
    assert_right(check.distillation_loss, right)


def parts(s, t, y, T, soft, hard=None, alpha=0.7, factor=None):
    hard = F.cross_entropy(s, y) if hard is None else hard
    return alpha * (T**2 if factor is None else factor) * soft + (1 - alpha) * hard


def wrong_soft(soft, **more):
    return lambda s, t, y, T=4.0, a=0.7: parts(s, t.detach(), y, T, soft(s, t.detach(), T), alpha=a, **more)


def kl(s, t, T, reduction="batchmean"):
    return F.kl_div((s / T).log_softmax(1), (t / T).softmax(1), reduction=reduction)


def naive(s, t, y, temperature=4.0, alpha=0.7):
    p, q = (x.exp() / x.exp().sum(1, keepdim=True) for x in (t.detach() / temperature, s / temperature))
    return alpha * temperature**2 * (p * (p.log() - q.log())).sum(1).mean() + (1 - alpha) * F.cross_entropy(s, y)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (wrong_soft(lambda s, t, T: kl(t, s, T)), "in the wrong direction"),
        (wrong_soft(kl, factor=1), "the factor T^2 is missing"),
        (lambda s, t, y, T=4.0, a=0.7: parts(s, t, y, T, kl(s, t.detach(), T), alpha=a, factor=T), "multiplied by T:"),
        (
            lambda s, t, y, T=4.0, a=0.7: parts(s, t, y, T, kl(s, t.detach(), T), alpha=a, factor=T**-2),
            "divided by T^2",
        ),
        (lambda s, t, y, T=4.0, a=0.7: kd(s, t, y, T, 1 - a), "alpha is the wrong way round"),
        (
            wrong_soft(lambda s, t, T: F.kl_div((s / T).softmax(1), (t / T).softmax(1), reduction="batchmean")),
            "probabilities stand where their logarithms should",
        ),
        (wrong_soft(lambda s, t, T: kl(s, t, T, "mean")), "the mean runs over the classes too"),
        (wrong_soft(lambda s, t, T: kl(s, t, T, "sum")), "summed over the batch"),
        (wrong_soft(lambda s, t, T: F.cross_entropy(s / T, (t / T).softmax(1))), "the soft part is a cross-entropy"),
        (
            wrong_soft(lambda s, t, T: F.kl_div((s / T).log_softmax(1), t.softmax(1), reduction="batchmean")),
            "teacher's",
        ),
        (
            wrong_soft(lambda s, t, T: F.kl_div(s.log_softmax(1), (t / T).softmax(1), reduction="batchmean")),
            "student's",
        ),
        (
            lambda s, t, y, T=4.0, a=0.7: parts(s, t, y, T, kl(s, t, T), F.cross_entropy(s / T, y), a),
            "softens the cross",
        ),
        (lambda s, t, y, T=4.0, a=0.7: kd(s, t, y, 4.0, a), "temperature is not used"),
        (lambda s, t, y, T=4.0, a=0.7: kd(s, t, y, T, 0.7), "alpha is not used"),
        (lambda s, t, y, T=2.0, a=0.7: kd(s, t, y, T, a), "The defaults are 4 and 0.7"),
        (lambda s, t, y, T=4.0, a=0.7: parts(s, t, y, T, kl(s, t, T), alpha=a), "a gradient reaches the teacher"),
        (lambda s, t, y, T=4.0, a=0.7: kd(s.detach(), t, y, T, a), "carries no gradient"),
        (naive, "Use log_softmax"),
        (lambda s, t, y, T=4.0, a=0.7: F.mse_loss(s, t.detach()), "Try that case by hand"),
        (lambda s, t, y, T=4.0, a=0.7: kd(s, t, y, T, a) * 2, "Try that case by hand"),
        (lambda s, t, y, T=4.0, a=0.7: F.kl_div(s, t, reduction="none"), "should be a scalar"),
        (lambda s, t, y, T=4.0, a=0.7: print(), "returns None"),
    ],
)
def test_wrong_distillation_loss(wrong, words):
    assert_wrong(check.distillation_loss, wrong, words)


def test_hard_distillation_loss():
    ce = F.cross_entropy
    by_hand = lambda c, d, t, y: (  # noqa: E731
        -(c.log_softmax(1).gather(1, y[:, None]) + d.log_softmax(1).gather(1, t.argmax(1, keepdim=True))).mean() / 2
    )
    for right in (lambda c, d, t, y: (ce(c, y) + ce(d, t.argmax(1))) / 2, by_hand):
        assert_right(check.hard_distillation_loss, right)
    for wrong, words in (
        (lambda c, d, t, y: (ce(d, y) + ce(c, t.argmax(1))) / 2, "it should be"),
        (lambda c, d, t, y: (ce(c, t.argmax(1)) + ce(d, y)) / 2, "the heads are swapped"),
        (lambda c, d, t, y: (ce(c, y) + ce(d, y)) / 2, "the distillation head learns the labels"),
        (lambda c, d, t, y: (ce(c, y) + ce(d, t.softmax(1))) / 2, "the teacher's probabilities"),
        (lambda c, d, t, y: (ce(c, y) + ce(c, t.argmax(1))) / 2, "the distillation head is not used"),
        (lambda c, d, t, y: ce(c, y) + ce(d, t.argmax(1)), "each counts half"),
        (lambda c, d, t, y: (ce(c, y) + ce(d.detach(), t.argmax(1))) / 2, "one of the two heads gets no gradient"),
    ):
        assert_wrong(check.hard_distillation_loss, wrong, words)


# --- attention_distance


def places(grid):
    return torch.tensor([(r, c) for r in range(grid[0]) for c in range(grid[1])], dtype=torch.float32)


def distance(weights, grid, patch_size):
    at = places(grid) * patch_size
    return (weights * torch.cdist(at, at)).sum(-1).mean((0, 2))


def distance_with_einsum(weights, grid, patch_size):
    at = places(grid)
    apart = (at[:, None] - at[None]).pow(2).sum(-1).sqrt() * patch_size
    return torch.einsum("nhij,ij->h", weights, apart) / (weights.shape[0] * weights.shape[2])


def distance_normalised(weights, grid, patch_size):
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    r, c = rows.flatten(), columns.flatten()
    apart = torch.hypot((r[:, None] - r).float(), (c[:, None] - c).float()) * patch_size
    return torch.stack([(w * apart).sum() / w.sum() for w in weights.transpose(0, 1)])


@pytest.mark.parametrize("right", [distance, distance_with_einsum, distance_normalised])
def test_right_attention_distance(right, seeds):
    assert_right(check.attention_distance, right)


def with_apart(apart):
    return lambda w, grid, p: (w * apart(places(grid) * p)).sum(-1).mean((0, 2))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda w, grid, p: distance(w, grid, 1), "in patches"),
        (lambda w, grid, p: distance(w, grid[::-1], p), "rows and columns of the grid are swapped"),
        (with_apart(lambda at: torch.cdist(at, at, p=1)), "take the straight line"),
        (with_apart(lambda at: torch.cdist(at, at).square()), "the distance is squared"),
        (lambda w, grid, p: distance(w, (1, grid[0] * grid[1]), p), "difference of the patches' numbers"),
        (lambda w, grid, p: distance(w, grid, p) * w.shape[2], "the queries are summed"),
        (lambda w, grid, p: distance(w, grid, p) / w.shape[2], "the mean runs over the keys too"),
        (lambda w, grid, p: distance(w, grid, p).mean(), "a tensor of shape ()"),
        (
            lambda w, grid, p: torch.cdist(places(grid), places(grid)).mean() * p * torch.ones(w.shape[1]),
            "weights are not used",
        ),
        (lambda w, grid, p: distance(w, grid, p) + p, "by hand"),
        (lambda w, grid, p: print(), "returns None"),
    ],
)
def test_wrong_attention_distance(wrong, words):
    assert_wrong(check.attention_distance, wrong, words)


def test_references_are_right():
    """Through the oracles: the solved exercises, which a check itself would only recognise as the reference."""
    images, (s, t, y) = torch.rand(2, 3, 4, 6), logits(6, 4)
    torch.testing.assert_close(solution("patchify")(images, 2), patches_oracle.patchify(images, 2))
    torch.testing.assert_close(solution("unpatchify")(solution("patchify")(images, 2), 2, (2, 3)), images)
    torch.testing.assert_close(
        solution("distillation_loss")(s, t, y, 3.0, 0.4), distillation.distillation_loss(s, t, y, 3.0, 0.4)
    )
    torch.testing.assert_close(
        solution("hard_distillation_loss")(s, s.flip(0), t, y), distillation.hard_distillation_loss(s, s.flip(0), t, y)
    )
    weights = torch.rand(2, 3, 6, 6, dtype=torch.float64).softmax(3)
    torch.testing.assert_close(
        solution("attention_distance")(weights, (2, 3), 4), oracle.attention_distance(weights, (2, 3), 4)
    )
    module = solution("SelfAttention")(6, 2).double()
    x = torch.randn(2, 4, 6, dtype=torch.float64)
    out, looks = oracle.attention(x, module.state_dict(), 2)
    torch.testing.assert_close(module(x), out)
    torch.testing.assert_close(module.last_weights, looks)


@pytest.mark.parametrize(
    "name",
    ["patchify", "unpatchify", "SelfAttention", "Block", "ViT", "distillation_loss", "attention_distance"]
    + ["hard_distillation_loss"],
)
def test_references_pass_their_checks(name, monkeypatch, seeds):
    monkeypatch.setattr(machinery, "_is_reference", lambda *arguments: False)
    assert_right(getattr(check, name), solution(name))

"""The checks of week 8: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, verdict
from lightly.loss import IBOTPatchLoss
from torch import nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining

import sslcourse
from sslcourse.check import week08 as check
from sslcourse.check.week08 import beit_oracle, ibot_oracle, loss_oracle, oracle

Reference = sslcourse.solution("week08", "MAE")


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masks(n, length, masked, seed=0):
    order = torch.rand(n, length, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return torch.zeros(n, length, dtype=torch.bool).scatter_(1, order[:, :masked], True)


# --- the definitions against peers and known levels


def peer(norm_pix=True):
    config = ViTMAEConfig(
        image_size=12, patch_size=4, num_channels=3, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=48, decoder_hidden_size=8, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        decoder_intermediate_size=32, layer_norm_eps=1e-6, mask_ratio=2 / 3, norm_pix_loss=norm_pix,
    )  # fmt: skip
    model = ViTMAEForPreTraining(config).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(0.4 * torch.randn(weights.shape, generator=generator, dtype=torch.float64))
    return model


PARTS = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
PLACES = {"cls_token": "cls_token", "pos_embed": "position_embeddings"}
PLACES |= {f"patch_embed.proj.{kind}": f"patch_embeddings.projection.{kind}" for kind in ("weight", "bias")}


def in_our_names(theirs):
    """The weights of transformers' ViTMAE by the names of the exercise."""
    ours = {f"encoder.{mine}": theirs[f"vit.embeddings.{name}"] for mine, name in PLACES.items()}
    ours |= {f"encoder.norm.{kind}": theirs[f"vit.layernorm.{kind}"] for kind in ("weight", "bias")}
    ours |= {name.removeprefix("decoder."): w for name, w in theirs.items() if name.startswith("decoder.")}
    ours = {name: w for name, w in ours.items() if not name.startswith("decoder_layers")}
    for prefix, mine, depth in (("vit.layers", "encoder.blocks", 2), ("decoder.decoder_layers", "decoder_blocks", 1)):
        for n in range(depth):
            for kind in ("weight", "bias"):
                qkv = [theirs[f"{prefix}.{n}.attention.{part}_proj.{kind}"] for part in "qkv"]
                ours[f"{mine}.{n}.attn.qkv.{kind}"] = torch.cat(qkv)
                ours |= {f"{mine}.{n}.{a}.{kind}": theirs[f"{prefix}.{n}.{b}.{kind}"] for a, b in PARTS.items()}
    return ours


def patchify(images, p):
    return sslcourse.solution("week06", "patchify")(images, p)


@pytest.mark.parametrize("norm_pix", [True, False])
def test_mae_equals_transformers_with_the_same_mask(norm_pix):
    """Predictions, loss and mask, in float64, for the noise that transformers draws its mask from."""
    model, noise = peer(norm_pix), drawn(3, 9, seed=1)
    images = drawn(3, 3, 12, 12, seed=2).sigmoid()
    with torch.no_grad():
        theirs = model(pixel_values=images, noise=noise)
    mask = noise.argsort(1).argsort(1) >= 3  # the 3 smallest are kept
    assert (theirs.mask.bool() == mask).all()

    network = Reference(12, 4, dim=12, depth=2, num_heads=3, decoder_dim=8, decoder_heads=2).double()
    network.encoder.normalise = nn.Identity()  # transformers normalises elsewhere
    missing, unexpected = network.load_state_dict(in_our_names(model.state_dict()), strict=False)
    assert (missing, unexpected) == ([], [])
    with torch.no_grad():
        predictions = network(images, mask)
    torch.testing.assert_close(predictions, theirs.logits, atol=1e-9, rtol=0)
    patches = patchify(images, 4)
    for loss in (loss_oracle.mae_loss, loss_oracle._mae_loss, sslcourse.solution("week08", "mae_loss")):
        assert float(loss(predictions, patches, mask, norm_pix)) == pytest.approx(float(theirs.loss), abs=1e-6)

    # The transcriptions of encoder and decoder, too.
    weights = {name: w.detach() for name, w in network.named_parameters()}
    embedded = network.encoder.patch_embed(images).flatten(2).transpose(1, 2).detach()
    hidden = oracle.encode_visible(embedded, mask, oracle.inside(weights, "encoder."), 2, 3)
    torch.testing.assert_close(oracle.decode(hidden, mask, weights, 1, 2), theirs.logits, atol=1e-9, rtol=0)


def test_levels_of_mae_loss():
    """Predicting nothing costs (P - 1) / P, the target itself 0, and a patch of one colour is no division by zero."""
    patches, mask = drawn(4, 6, 12, seed=3), masks(4, 6, 4)
    nothing = torch.zeros_like(patches)
    assert float(loss_oracle.mae_loss(nothing, patches, mask)) == pytest.approx(11 / 12, abs=1e-5)
    assert float(loss_oracle.mae_loss(patches, patches, mask, False)) == 0
    assert float(loss_oracle.mae_loss(nothing, torch.full_like(patches, 0.3), mask)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("temps", [(0.1, 0.04), (0.3, 0.2)])
def test_ibot_equals_lightly(temps):
    """lightly gets masked patches only, one after another, and divides by all images: here every image has some."""
    student, teacher, center = drawn(4, 9, 7), drawn(4, 9, 7, seed=1), drawn(7, seed=2)
    mask = masks(4, 9, 3) | masks(4, 9, 1, seed=5)
    loss = IBOTPatchLoss(output_dim=7, student_temp=temps[0], teacher_temp=temps[1]).double()
    loss.center.center.copy_(center.expand_as(loss.center.center))
    theirs = float(loss(teacher[mask], student[mask], mask.view(4, 3, 3)))
    for mine in (ibot_oracle.ibot_loss, ibot_oracle._ibot_loss, sslcourse.solution("week08", "ibot_loss")):
        assert float(mine(student, teacher, mask, center, *temps)) == pytest.approx(theirs, abs=1e-6)


def test_beit_equals_torch():
    logits, mask = drawn(3, 5, 8), masks(3, 5, 2)
    words = torch.randint(8, (3, 5), generator=torch.Generator().manual_seed(0))
    theirs = float(F.cross_entropy(logits[mask], words[mask]))
    assert float(beit_oracle.beit_loss(logits, words, mask)) == pytest.approx(theirs, abs=1e-12)
    assert float(beit_oracle.beit_loss(0 * logits, words, mask)) == pytest.approx(math.log(8), abs=1e-12)


# --- random_mask


def by_topk(n, n_patches, ratio, generator=None):
    noise = torch.rand(n, n_patches, generator=generator)
    return noise >= noise.sort(dim=1, descending=True).values[:, [int(ratio * n_patches) - 1]]


def row_by_row(n, n_patches, ratio, generator=None):
    mask = torch.zeros(n, n_patches).bool()
    for row in mask:
        row[torch.randperm(n_patches, generator=generator)[: int(ratio * n_patches)]] = True
    return mask


def as_the_authors(n, n_patches, ratio, generator=None):
    """By shuffling and shuffling back; the number of masked patches as the contract has it."""
    shuffled = torch.rand(n, n_patches, generator=generator).argsort(dim=1)
    mask = torch.ones(n, n_patches)
    mask[:, : n_patches - int(ratio * n_patches)] = 0
    return torch.gather(mask, 1, shuffled.argsort(dim=1)).bool()


@pytest.mark.parametrize("right", [by_topk, row_by_row, as_the_authors])
def test_right_random_mask(right, seeds):
    assert_right(check.random_mask, right)


def one_for_all(n, length, ratio, generator=None):
    return row_by_row(1, length, ratio, generator).expand(n, -1).clone()


def in_pairs(n, length, ratio, generator=None):
    return by_topk((n + 1) // 2, length, ratio, generator).repeat_interleave(2, dim=0)[:n]


def a_piece(n, length, ratio, generator=None):
    start = torch.randint(length, (n, 1), generator=generator)
    return (torch.arange(length) - start) % length < int(ratio * length)


def first_ones(n, length, ratio, generator=None):
    return (torch.arange(length) < int(ratio * length)).expand(n, -1).clone()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda n, k, r, generator=None: torch.rand(n, k, generator=generator) < r, "drawn by itself"),
        (lambda n, k, r, generator=None: ~by_topk(n, k, r, generator), "the mask is inverted"),
        (one_for_all, "All rows of the mask are the same"),
        (first_ones, "All rows of the mask are the same"),
        (in_pairs, "Rows that follow each other"),
        (a_piece, "masked together"),
        (lambda n, k, r, generator=None: by_topk(n, k, r), "changed torch's global random numbers"),
        (lambda n, k, r, generator=None: by_topk(n, k, r, torch.Generator().manual_seed(0)), "different seeds"),
        (lambda n, k, r, generator=None: by_topk(n, k, r, generator or torch.Generator().manual_seed(0)), "two calls"),
        (lambda n, k, r, generator=None: by_topk(n, k, (round(r * k) + 0.5) / k, generator), "int(ratio * n_patches)"),
        (lambda n, k, r, generator=None: by_topk(n, k, r, generator).float(), "it should be torch.bool"),
        (lambda n, k, r, generator=None: by_topk(n, k, r, generator).T, "it should be"),
        (lambda n, k, r, generator=None: torch.rand(n, k).argsort(1)[:, : int(r * k)], "it should be"),
        (lambda n, k, r, generator=None: print(), "returns None"),
    ],
)
def test_wrong_random_mask(wrong, words):
    assert_wrong(check.random_mask, wrong, words)


# --- MAE


def mae(encode=None, **given):
    """The reference with another encode_visible, or another given half."""
    return type("MAE", (Reference,), ({"encode_visible": encode} if encode else {}) | given)


def by_gather(self, patches, mask):
    """As the authors: the visible patches are gathered by their places, in rising order."""
    x = patches + self.encoder.pos_embed[:, 1:]
    kept = mask.int().argsort(dim=1, stable=True)[:, : int((~mask[0]).sum())]
    return self.encoder.encode(x.gather(1, kept[..., None].expand(-1, -1, x.shape[2])))


def image_by_image(self, patches, mask):
    places = self.encoder.pos_embed[0, 1:]
    return self.encoder.encode(torch.stack([(x + places)[~m] for x, m in zip(patches, mask, strict=True)]))


def without_encode(self, patches, mask):
    encoder = self.encoder
    places = encoder.pos_embed[:, 1:].expand(len(patches), -1, -1)
    x = patches[~mask].view(len(patches), -1, patches.shape[2])
    x = x + places[~mask].view_as(x)
    first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(len(patches), -1, -1)
    x = torch.cat([first, x], dim=1)
    for block in encoder.blocks:
        x = block(x)
    return encoder.norm(x)


@pytest.mark.parametrize("right", [by_gather, image_by_image, without_encode])
def test_right_mae(right, seeds):
    assert_right(check.MAE, mae(right))


def pick(x, mask):
    return x[~mask].unflatten(0, (len(x), -1))


def inverted(self, patches, mask):
    return self.encoder.encode(pick(patches + self.encoder.pos_embed[:, 1:], ~mask))


def no_places(self, patches, mask):
    return self.encoder.encode(pick(patches, mask))


def first_places(self, patches, mask):
    x = pick(patches, mask)
    return self.encoder.encode(x + self.encoder.pos_embed[:, 1 : 1 + x.shape[1]])


def shifted(self, patches, mask):
    return self.encoder.encode(pick(patches + self.encoder.pos_embed[:, :-1], mask))


def first_patches(self, patches, mask):
    x = patches + self.encoder.pos_embed[:, 1:]
    return self.encoder.encode(x[:, : int((~mask[0]).sum())])


def zeros_in(self, patches, mask):
    return self.encoder.encode(torch.where(mask[..., None], 0.0, patches) + self.encoder.pos_embed[:, 1:])


def all_seen(self, patches, mask):
    return self.encoder.encode(patches + self.encoder.pos_embed[:, 1:])


def backwards(self, patches, mask):
    return self.encoder.encode(pick(patches + self.encoder.pos_embed[:, 1:], mask).flip(1))


def class_last(self, patches, mask):
    out = self.encoder.encode(pick(patches + self.encoder.pos_embed[:, 1:], mask))
    return torch.cat([out[:, 1:], out[:, :1]], dim=1)


def no_class(self, patches, mask):
    return self.encoder.encode(pick(patches + self.encoder.pos_embed[:, 1:], mask))[:, 1:]


def detached(self, patches, mask):
    return self.encoder.encode(pick(patches + self.encoder.pos_embed[:, 1:], mask)).detach()


def no_norm(self, patches, mask):
    x = pick(patches + self.encoder.pos_embed[:, 1:], mask)
    x = torch.cat([(self.encoder.cls_token + self.encoder.pos_embed[:, :1]).expand(len(x), -1, -1), x], dim=1)
    for block in self.encoder.blocks:
        x = block(x)
    return x


def mixed_images(self, patches, mask):
    x = patches + self.encoder.pos_embed[:, 1:]
    return self.encoder.encode(x[~mask].unflatten(0, (-1, len(x))).transpose(0, 1))


def put_back_wrongly(self, hidden, mask):
    """Visible tokens first, mask tokens after them, as if nothing had been picked."""
    visible = torch.arange(mask.shape[1]) >= int((~mask[0]).sum())
    return Reference.decode(self, hidden, visible.expand_as(mask))


def sees_all(self, images, mask):
    patches = self.encoder.patch_embed(self.encoder.normalise(images)).flatten(2).transpose(1, 2)
    patches = patches + patches.mean(dim=1, keepdim=True)
    return self.decode(self.encode_visible(patches, mask), mask)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (mae(inverted), "the mask is inverted"),
        (mae(no_places), "position embeddings of the visible patches are lost"),
        (mae(first_places), "embeddings of the first places"),
        (mae(shifted), "shifted by one"),
        (mae(first_patches), "the first patches are taken"),
        (mae(zeros_in), "are fed to the encoder"),
        (mae(all_seen), "are fed to the encoder"),
        (mae(backwards), "in the wrong order"),
        (mae(class_last), "in the wrong order"),
        (mae(no_class), "puts the class token first"),
        (mae(detached), "carries no gradient"),
        (mae(no_norm), "last norm are left out"),
        (mae(mixed_images), "of different images are mixed"),
        (mae(lambda self, patches, mask: patches), "it should be (3, 7, 8)"),
        (mae(lambda self, patches, mask: print()), "None"),
        (mae(decode=put_back_wrongly), "put back in the wrong order"),
        (mae(forward=sees_all), "must not be seen"),
        (mae(forward=lambda self, images, mask: Reference.forward(self, images * 0, mask)), "do not depend"),
        (mae(features=lambda self, images: self.encoder.encode(self.encoder.embed(images))), "features returns"),
        (lambda *sizes: Reference(*sizes), "should be a class"),
    ],
)
def test_wrong_mae(wrong, words):
    assert_wrong(check.MAE, wrong, words)


def test_a_blank_method_is_not_attempted():
    def encode_visible(self, patches, mask):
        raise NotImplementedError()

    assert verdict(check.MAE, mae(encode_visible))[0] == "not attempted"


def test_bad_input_gets_one_sentence():
    network = Reference(12, 4, dim=6, depth=1, decoder_dim=4)
    for make, words in (
        (lambda: network(torch.rand(2, 3, 12, 12), masks(2, 16, 4)), r"mask has shape \(2, 16\).* should be \(2, 9\)"),
        (lambda: network(torch.rand(2, 3, 12, 12), masks(3, 9, 4)), r"mask has shape \(3, 9\)"),
        (lambda: network(torch.rand(2, 3, 14, 12), masks(2, 9, 4)), "(?i)patch"),
        (lambda: Reference(13, 4), "do not fill an image of 13"),
        (lambda: sslcourse.solution("week08", "random_mask")(2, 9, 1.0), "mask ratio of 1.0"),
        (lambda: sslcourse.solution("week08", "random_mask")(2, 9, 0.0), "mask ratio of 0.0"),
        (lambda: sslcourse.solution("week08", "mae_loss")(*torch.rand(2, 2, 9, 4), masks(2, 8, 4)), "mask has shape"),
        (lambda: sslcourse.solution("week08", "beit_loss")(torch.rand(2, 9, 4), masks(2, 9, 1).long(), masks(2, 8, 4)),
         "mask has shape"),
        (lambda: sslcourse.solution("week08", "ibot_loss")(*torch.rand(2, 2, 9, 4), masks(2, 8, 4), torch.zeros(4)),
         "mask has shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words) as caught:
            make()
        assert "\n" not in str(caught.value)


# --- mae_loss


def mae_loss(predictions, patches, mask, norm_pix=True):
    if norm_pix:
        patches = (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6) ** 0.5
    loss = ((predictions - patches) ** 2).mean(-1)
    return (loss * mask).sum() / mask.sum()


def mae_loss_of_picked(predictions, patches, mask, norm_pix=True):
    target = patches[mask]
    if norm_pix:
        target = (target - target.mean(1, keepdim=True)) / torch.hypot(target.std(1, keepdim=True), torch.tensor(1e-3))
    return F.mse_loss(predictions[mask], target)


def mae_loss_per_image(predictions, patches, mask, norm_pix=True):
    if norm_pix:
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        patches = (patches - mean) * torch.rsqrt(variance + 1e-6)
    loss = (predictions - patches).pow(2).mean(2)
    return ((loss * mask).sum(1) / mask.sum(1)).mean()


@pytest.mark.parametrize("right", [mae_loss, mae_loss_of_picked, mae_loss_per_image])
def test_right_mae_loss(right, seeds):
    assert_right(check.mae_loss, right)


def norm(x, dim=-1, **how):
    return (x - x.mean(dim, keepdim=True)) / (x.var(dim, keepdim=True, **how) + 1e-6) ** 0.5


def with_target(target):
    def loss(x, t, m, norm_pix=True):
        return F.mse_loss(x[m], (target(t) if norm_pix else t)[m])

    return loss


def with_error(error):
    def loss(x, t, m, norm_pix=True):
        return error(x, norm(t) if norm_pix else t, m)

    return loss


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (with_error(lambda x, t, m: F.mse_loss(x, t)), "runs over all patches"),
        (with_error(lambda x, t, m: F.mse_loss(x[~m], t[~m])), "over the visible patches"),
        (with_error(lambda x, t, m: ((x - t).square().mean(2) * m).mean()), "divided by the number of all"),
        (with_error(lambda x, t, m: (x - t).square().mean(2)[m].sum()), "masked patches are summed"),
        (with_error(lambda x, t, m: (x - t).square().sum(2)[m].mean()), "values within a patch are summed"),
        (with_target(lambda t: norm(t, 0)), "runs over the batch"),
        (with_target(lambda t: (t - t.mean()) / (t.var() + 1e-6).sqrt()), "runs over the batch"),
        (with_target(lambda t: norm(t, (1, 2))), "all patches of an image"),
        (with_target(lambda t: norm(t, unbiased=False)), "the biased one"),
        (with_target(lambda t: F.layer_norm(t, t.shape[-1:], eps=1e-6)), "the biased one"),
        (with_target(lambda t: (t - t.mean(2, keepdim=True)) / (t.var(2, keepdim=True) + 1e-6)), "by its variance"),
        (with_target(lambda t: t / (t.var(2, keepdim=True) + 1e-6).sqrt()), "mean of the patch is not subtracted"),
        (with_target(lambda t: t - t.mean(2, keepdim=True)), "not divided by its standard deviation"),
        (lambda x, t, m, norm_pix=True: mae_loss(norm(x) if norm_pix else x, t, m, norm_pix), "normalised too"),
        (lambda x, t, m, norm_pix=True: mae_loss(x, t, m, True), "norm_pix is not used"),
        (lambda x, t, m, norm_pix=True: mae_loss(x, t, m, False), "norm_pix is not used"),
        (lambda x, t, m, norm_pix=False: mae_loss(x, t, m, norm_pix), "The default is True"),
        (with_error(lambda x, t, m: F.l1_loss(x[m], t[m])), "not squared"),
        (with_error(lambda x, t, m: F.mse_loss(x[m], t[m]).sqrt()), "root of the mean"),
        (with_target(lambda t: (t - t.mean(2, keepdim=True)) / t.std(2, keepdim=True)), "Add 1e-6"),
        (
            with_target(lambda t: (t - t.mean(2, keepdim=True)) / (t.std(2, keepdim=True) + 1e-6)),
            "1e-6 is added to the standard deviation",
        ),
        (
            with_target(lambda t: (t - t.mean(2, keepdim=True)) / (t.var(2, keepdim=True) + 1e-5).sqrt()),
            "1e-5 is added to the variance",
        ),
        (
            with_target(lambda t: (t - t.mean(2, keepdim=True)) / t.std(2, keepdim=True).clamp(min=2e-3)),
            "The target is (x - mean)",
        ),
        (lambda x, t, m, norm_pix=True: mae_loss(x, t, m, norm_pix).item(), "carries no gradient"),
        (lambda x, t, m, norm_pix=True: mae_loss(x.detach(), t, m, norm_pix), "carries no gradient"),
        (lambda x, t, m, norm_pix=True: mae_loss(x, t.flip(1), m, norm_pix), "it should be"),
        (lambda x, t, m, norm_pix=True: (x - t).square()[m], "it should be a scalar"),
        (lambda x, t, m, norm_pix=True: print(), "returns None"),
    ],
)
def test_wrong_mae_loss(wrong, words):
    assert_wrong(check.mae_loss, wrong, words)


# --- block_mask


def cells(grid, ratio, generator=None):
    """Set by set of cells, in whole numbers."""
    rows, columns = grid
    wanted, chosen = int(ratio * rows * columns), []
    while len(chosen) < wanted:
        height, width = (int(torch.randint(1, min(side, 6) + 1, (1,), generator=generator)) for side in grid)
        top, left = (int(torch.randint(side - extent + 1, (1,), generator=generator))
                     for side, extent in ((rows, height), (columns, width)))  # fmt: skip
        block = [(r, c) for r in range(top, top + height) for c in range(left, left + width)]
        chosen += [cell for cell in block if cell not in chosen][: wanted - len(chosen)]
    mask = torch.zeros(grid, dtype=torch.bool)
    for r, c in chosen:
        mask[r, c] = True
    return mask


def test_right_block_mask(seeds):
    assert_right(check.block_mask, lambda grid, ratio, generator=None: reference_block_mask(grid, ratio, generator))
    assert_right(check.block_mask, cells)


reference_block_mask = sslcourse.solution("week08", "block_mask")


def overshooting(grid, ratio, generator=None):
    mask = torch.zeros(grid, dtype=torch.bool)
    while mask.sum() < int(ratio * mask.numel()):
        height, width = (min(side, 3) for side in grid)
        top, left = (int(torch.randint(side - extent + 1, (1,), generator=generator))
                     for side, extent in zip(grid, (height, width), strict=True))  # fmt: skip
        mask[top : top + height, left : left + width] = True
    return mask


def never_at_the_end(grid, ratio, generator=None):
    mask = torch.zeros(grid, dtype=torch.bool)
    inner = tuple(max(1, side - 1) for side in grid)
    if int(ratio * mask.numel()) > inner[0] * inner[1] * 0.8:
        return cells(grid, ratio, generator)
    share = (int(ratio * mask.numel()) + 0.5) / (inner[0] * inner[1])
    mask[: inner[0], : inner[1]] = cells(inner, share, generator)
    return mask


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda g, r, generator=None: by_topk(1, g[0] * g[1], r, generator).view(g), "mask rectangles"),
        (overshooting, "of the last block take only what is missing"),
        (never_at_the_end, "a block may lie anywhere"),
        (lambda g, r, generator=None: cells(g, r, torch.Generator().manual_seed(0)), "always the same"),
        (lambda g, r, generator=None: cells(g, r), "changed torch's global random numbers"),
        (lambda g, r, generator=None: cells(g[::-1], r, generator), "it should be"),
        (lambda g, r, generator=None: cells(g, r, generator).float(), "it should be torch.bool"),
        (lambda g, r, generator=None: ~cells(g, r, generator), "exactly"),
    ],
)
def test_wrong_block_mask(wrong, words):
    assert_wrong(check.block_mask, wrong, words)


# --- beit_loss


def beit_loss(logits, words, mask):
    return F.cross_entropy(logits[mask], words[mask])


def beit_loss_ignoring(logits, words, mask):
    return F.cross_entropy(logits.transpose(1, 2), words.masked_fill(~mask, -100))


def test_right_beit_loss(seeds):
    assert_right(check.beit_loss, beit_loss)
    assert_right(check.beit_loss, beit_loss_ignoring)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, t, m: F.cross_entropy(x.flatten(0, 1), t.flatten()), "runs over all patches"),
        (lambda x, t, m: beit_loss(x, t, ~m), "over the visible patches"),
        (lambda x, t, m: F.cross_entropy(x[m], t[m], reduction="sum"), "are summed"),
        (lambda x, t, m: (F.cross_entropy(x.transpose(1, 2), t, reduction="none") * m).mean(), "are summed"),
        (lambda x, t, m: F.nll_loss(x.log_softmax(1)[m], t[m]), "over the patches"),
        (lambda x, t, m: -beit_loss(x, t, m), "sign is wrong"),
        (lambda x, t, m: F.nll_loss(x.softmax(2)[m], t[m]), "or missing"),
        (lambda x, t, m: beit_loss(x.detach(), t, m), "carries no gradient"),
    ],
)
def test_wrong_beit_loss(wrong, words):
    assert_wrong(check.beit_loss, wrong, words)


# --- ibot_loss


def ibot_loss(s, t, mask, center, student_temp=0.1, teacher_temp=0.04, reduce=None):
    p = ((t.detach() - center) / teacher_temp).softmax(-1)
    loss = -(p * (s / student_temp).log_softmax(-1)).sum(-1)
    return (reduce or per_image)(loss, mask)


def per_image(loss, mask):
    weight = mask / mask.sum(1, keepdim=True).clamp(min=1)
    return (loss * weight).sum() / mask.any(1).sum()


def image_after_image(s, t, mask, center, student_temp=0.1, teacher_temp=0.04):
    losses = []
    for n in range(len(s)):
        if mask[n].any():
            told = F.softmax((t[n][mask[n]].detach() - center) / teacher_temp, dim=1)
            losses.append(F.cross_entropy(s[n][mask[n]] / student_temp, told))
    return torch.stack(losses).mean()


def test_right_ibot_loss(seeds):
    assert_right(check.ibot_loss, lambda s, t, m, c, student_temp=0.1, teacher_temp=0.04: ibot_loss(
        s, t, m, c, student_temp, teacher_temp))  # fmt: skip
    assert_right(check.ibot_loss, image_after_image)


def with_reduce(reduce):
    return lambda s, t, m, c, student_temp=0.1, teacher_temp=0.04: ibot_loss(
        s, t, m, c, student_temp, teacher_temp, reduce
    )


def with_logits(change):
    def loss(s, t, m, c, student_temp=0.1, teacher_temp=0.04):
        return per_image(-(change(s, t.detach(), c, student_temp, teacher_temp)).sum(-1), m)

    return loss


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (with_reduce(lambda x, m: x.mean()), "runs over all patches"),
        (with_reduce(lambda x, m: per_image(x, ~m)), "over the visible patches"),
        (with_reduce(lambda x, m: x[m].mean()), "count alike"),
        (with_reduce(lambda x, m: (x * m).sum(1)[m.any(1)].mean()), "are summed"),
        (with_reduce(lambda x, m: -per_image(x, m)), "sign is wrong"),
        (with_logits(lambda s, t, c, a, b: (t / b).softmax(-1) * (s / a).log_softmax(-1)), "centre is not subtracted"),
        (with_logits(lambda s, t, c, a, b: ((t + c) / b).softmax(-1) * (s / a).log_softmax(-1)), "centre is added"),
        (with_logits(lambda s, t, c, a, b: (t / b - c).softmax(-1) * (s / a).log_softmax(-1)), "after the division"),
        (with_logits(lambda s, t, c, a, b: ((t - c) / b).softmax(-1) * ((s - c) / a).log_softmax(-1)),
         "from the student"),
        (with_logits(lambda s, t, c, a, b: ((t - c) / a).softmax(-1) * (s / b).log_softmax(-1)),
         "temperatures are swapped"),
        (with_logits(lambda s, t, c, a, b: ((t - c) / b).softmax(-1) * s.log_softmax(-1)), "temperature is not used"),
        (with_logits(lambda s, t, c, a, b: ((t - c) / b).softmax(1) * (s / a).log_softmax(1)), "over the patches"),
        (lambda s, t, m, c, student_temp=0.1, teacher_temp=0.04: ibot_loss(s, t, m, c), "temperature is not used"),
        (lambda s, t, m, c, student_temp=0.1, teacher_temp=0.07: ibot_loss(s, t, m, c, student_temp, teacher_temp),
         "The defaults are"),
        (lambda s, t, m, c, student_temp=0.1, teacher_temp=0.04: per_image(
            -(((t - c) / teacher_temp).softmax(-1) * (s / student_temp).log_softmax(-1)).sum(-1), m),
         "gradient reaches the teacher"),
        (lambda s, t, m, c, student_temp=0.1, teacher_temp=0.04: ibot_loss(
            s, t, m, c.lerp_(t.detach().mean((0, 1)), 0.1), student_temp, teacher_temp), "in place"),
        (lambda s, t, m, c, student_temp=0.1, teacher_temp=0.04: ibot_loss(
            s.detach(), t, m, c, student_temp, teacher_temp), "carries no gradient"),
    ],
)  # fmt: skip
def test_wrong_ibot_loss(wrong, words):
    assert_wrong(check.ibot_loss, wrong, words)

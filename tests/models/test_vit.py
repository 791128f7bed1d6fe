"""The readable vision transformer: equal to timm's, interpolates, shows its attention, takes subsets of patches."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sslcourse import models
from sslcourse.models.stem import ConvStem
from sslcourse.models.vit import Attention, Block, ViT

SIZES = dict(image_size=24, patch_size=4, dim=24, depth=3, num_heads=3)


def pair(dtype=torch.float32, dynamic=False, **sizes):
    """Our ViT and timm's with the same weights, drawn large enough to make every part matter."""
    sizes = SIZES | sizes
    torch.manual_seed(1)
    mine = ViT(**sizes).to(dtype).eval()
    for parameter in mine.parameters():
        parameter.data.normal_(0, 0.3)
    theirs = VisionTransformer(
        img_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        in_chans=sizes.get("in_channels", 3),
        embed_dim=sizes["dim"],
        depth=sizes["depth"],
        num_heads=sizes["num_heads"],
        num_classes=0,
        dynamic_img_size=dynamic,
    )
    theirs = theirs.to(dtype).eval()
    weights = {name: value for name, value in mine.state_dict().items() if not name.startswith("normalise.")}
    theirs.load_state_dict(weights, strict=True)  # the names are timm's, all of them
    return mine, theirs


def normalised(images, dtype=torch.float32):
    return (images.to(dtype) - 0.45) / 0.25


@pytest.mark.parametrize("sizes", [{}, {"num_heads": 1}, {"patch_size": 8, "in_channels": 1}, {"depth": 1, "dim": 48}])
def test_equal_to_timm(sizes):
    mine, theirs = pair(**sizes)
    images = torch.rand(5, sizes.get("in_channels", 3), 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(mine(images), theirs(normalised(images)), atol=1e-5, rtol=1e-5)

    # In float64, past our normalisation, which computes in float32.
    mine, theirs = pair(torch.float64, **sizes)
    mine.normalise = nn.Identity()
    exact = normalised(images, torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(mine(exact), theirs(exact), atol=1e-9, rtol=1e-9)
        every = mine.encode(mine.embed(exact))
        torch.testing.assert_close(every, theirs.forward_features(exact), atol=1e-9, rtol=1e-9)


def test_gradients_equal_timms():
    mine, theirs = pair(torch.float64)
    mine.normalise = nn.Identity()
    images = torch.randn(4, 3, 24, 24, dtype=torch.float64)
    for model in (mine, theirs):
        model(images).square().sum().backward()
    wanted = dict(theirs.named_parameters())
    for name, parameter in mine.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (16, 28)])
def test_other_image_sizes_interpolate_positions_as_timm_does(size):
    mine, theirs = pair(dynamic=True)
    images = torch.rand(3, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(mine(images), theirs(normalised(images)), atol=1e-5, rtol=1e-5)
    mine(images).sum().backward()
    assert mine.pos_embed.grad[:, 1:].abs().min() > 0 and mine.pos_embed.shape == (1, 37, 24)


def test_uint8_is_the_same_picture_and_no_image_looks_at_its_neighbours():
    model = ViT(32, 8).eval()
    stored = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    features = model(stored)
    assert features.shape == (4, 96) and model.num_features == 96
    torch.testing.assert_close(model(stored.float() / 255), features)
    torch.testing.assert_close(model(stored[2:3]), features[2:3], atol=1e-5, rtol=1e-5)


def test_attention_weights_are_those_that_the_output_is_made_of():
    mine, _ = pair(depth=1)
    images = torch.rand(2, 3, 24, 24)
    (weights,) = mine.attention_weights(images)
    assert weights.shape == (2, 3, 37, 37) and not weights.requires_grad
    torch.testing.assert_close(weights.sum(3), torch.ones(2, 3, 37))

    block = mine.blocks[0]
    x = torch.cat([(mine.cls_token + mine.pos_embed[:, :1]).expand(2, -1, -1), mine.embed(images)], 1)
    values = block.attn.qkv(block.norm1(x))[..., 48:].view(2, 37, 3, 8).transpose(1, 2)
    out = block.attn.proj((weights @ values).transpose(1, 2).reshape(2, 37, 24))
    torch.testing.assert_close(out, block.attn(block.norm1(x)), atol=1e-5, rtol=1e-5)


def test_weights_cost_nothing_until_somebody_asks():
    model = ViT(32, 8)
    assert model.blocks[0].attn.last_weights is None
    model(torch.rand(2, 3, 32, 32))
    held = model.blocks[0].attn._last
    assert not any(x.requires_grad for x in held) and held[0].shape == (2, 3, 17, 32)
    assert "last" not in " ".join(model.state_dict())


def test_a_subset_of_patches_keeps_its_places():
    """What a masked autoencoder does: visible patches with their own embeddings, in any order."""
    mine, _ = pair()
    images = torch.rand(2, 3, 24, 24)
    patches = mine.embed(images)
    assert patches.shape == (2, 36, 24)
    visible = torch.tensor([5, 0, 17])
    some = mine.encode(patches[:, visible])
    assert some.shape == (2, 4, 24)
    torch.testing.assert_close(mine.encode(patches)[:, 0], mine(images))

    # Order does not matter to attention: the same tokens in another order give the same outputs, permuted.
    torch.testing.assert_close(
        mine.encode(patches[:, visible.flip(0)])[:, 1:], some[:, 1:].flip(1), atol=1e-5, rtol=1e-4
    )


def test_backbone_names_a_vit_by_its_patches():
    model = models.backbone("vit8", in_channels=1, image_size=16)
    assert isinstance(model, ViT) and model.patch_size == 8 and model.side == 2
    torch.manual_seed(3)
    first = models.backbone("vit4")
    torch.manual_seed(3)
    assert all(a.equal(b) for a, b in zip(first.parameters(), ViT(32, 4).parameters(), strict=True))
    model = models.backbone("vit8")
    model(torch.rand(2, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: ViT(32, 5),
            "Patches of 5 pixels do not fill an image of 32; take a patch_size that divides it, such as 4",
        ),
        (lambda: ViT(32, 4, dim=64, num_heads=3), "3 heads do not divide dim = 64"),
        (lambda: Block(10, 4), "4 heads do not divide dim = 10"),
        (lambda: Attention(10, 4), "4 heads do not divide dim = 10"),
        (lambda: ViT(32, 0), "at least 1"),
        (lambda: ViT(32, 8)(torch.rand(1, 3, 32, 30)), "Images of 32 x 30 pixels are not filled by patches of 8"),
        (lambda: ViT(32, 8)(torch.rand(1, 1, 32, 32)), r"takes \(N, 3, H, W\)"),
        (lambda: models.backbone("vit5"), "Patches of 5 pixels do not fill an image of 32"),
    ],
)
def test_bad_input_gets_one_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_stem_of_convolutions_in_place_of_patches():
    model = models.backbone("vit8_conv")
    images = torch.rand(3, 3, 32, 32)
    assert model(images).shape == (3, model.num_features)
    assert model.embed(images).shape == (3, 16, model.num_features)
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, model.num_features)  # positions are interpolated
    assert [tuple(weights.shape) for weights in model.attention_weights(images)] == [(3, 4, 17, 17)] * 2
    alone, among = model.eval().embed(images[:1]), model.embed(images)[:1]
    torch.testing.assert_close(alone, among)  # in eval mode no image sees another
    with pytest.raises(ValueError, match="Images of 28 x 28 pixels are not filled by tokens of 8"):
        model(torch.rand(1, 3, 28, 28))
    with pytest.raises(ValueError, match="patch_size = 6 should be 4, 8, 16"):
        ConvStem(6, 3, 32)

"""Backbones, the halves of the autoencoder, heads and the normalisation that every model starts with."""

import pytest
import torch
from torch import nn

from sslcourse import models
from sslcourse.models.backbones import Conv4

BACKBONES = {"conv4": 28, "conv4_wide": 32, "conv4_gn": 32, "resnet18": 32, "resnet10t": 32}
BACKBONES |= {"vit_tiny_patch16_224": 32, "test_vit": 32}
every_backbone = pytest.mark.parametrize("name", BACKBONES)


def stored(n: int = 4, channels: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8)


def sides_of(model: nn.Module, *layers: str) -> dict[str, int]:
    """A dict that each forward pass fills with the widths in pixels of what these layers give."""
    sides = {}
    for name in layers:
        model.get_submodule(name).register_forward_hook(lambda *args, name=name: sides.update({name: args[2].shape[3]}))
    return sides


# ---- backbones


@every_backbone
@pytest.mark.parametrize("channels", [1, 3])
def test_backbone_maps_images_to_features(name, channels):
    size = BACKBONES[name]
    model = models.backbone(name, in_channels=channels, image_size=size).eval()
    images = stored(4, channels, size)
    with torch.no_grad():
        features = model(images)
        assert features.shape == (4, model.num_features) and features.dtype == torch.float32
        assert features.isfinite().all() and features.std(dim=0).mean() > 0  # different images, different features

        # uint8 is the same picture as float, evaluation is deterministic, and no image looks at its neighbours.
        torch.testing.assert_close(model(images.float() / 255), features)
        assert model(images).equal(features)
        torch.testing.assert_close(model(images[1:2]), features[1:2], atol=1e-4, rtol=1e-3)


@every_backbone
def test_every_parameter_gets_a_gradient(name):
    model = models.backbone(name, image_size=BACKBONES[name])
    features = model(stored(8, 3, BACKBONES[name]))
    (features * torch.randn_like(features)).sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None] == []
    # timm starts some layers at 0, and those before them have no gradient yet
    if name in ("conv4", "conv4_wide", "conv4_gn", "resnet18"):
        assert min(p.grad.abs().max() for p in model.parameters()) > 0


@every_backbone
def test_weights_follow_from_the_seed(name):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in models.backbone(name, image_size=BACKBONES[name]).parameters()])

    first = weights(0)
    assert first.equal(weights(0)) and not first.equal(weights(1))


def test_conv4_size_and_stages():
    model = models.backbone("conv4")
    assert 150_000 < sum(p.numel() for p in model.parameters()) < 168_000
    assert model.num_features == model.stage4[0].out_channels

    # Strides of two throughout, at any image size; the stages bear the names that probes per layer ask for.
    sides = sides_of(model, "stage1", "stage2", "stage3", "stage4")
    for size, expected in ((32, [16, 8, 4, 2]), (28, [14, 7, 4, 2]), (96, [48, 24, 12, 6]), (1, [1, 1, 1, 1])):
        model.eval()(stored(2, 3, size))
        assert list(sides.values()) == expected


def test_conv4_wide_is_conv4_with_wider_stages():
    model = models.backbone("conv4_wide")
    assert sum(p.numel() for p in model.parameters()) == 9 * (3 * 32 + 32 * 128 + 128 * 256 + 256 * 512) + 2 * 928
    assert model.num_features == 512
    sides = sides_of(model, "stage1", "stage2", "stage3", "stage4")
    assert model.eval()(stored(2)).shape == (2, 512) and list(sides.values()) == [16, 8, 4, 2]
    assert model.stage1.state_dict().keys() == models.backbone("conv4").stage1.state_dict().keys()


def test_group_norm_looks_at_one_image_alone():
    """In training mode too: what stands beside an image in the batch does not change its features."""
    images, model = stored(4), models.backbone("conv4_gn").train()
    torch.testing.assert_close(model(images)[:2], model(images[:2]), atol=1e-4, rtol=1e-3)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())


def test_conv4_is_its_definition():
    """Written out with torch.nn.functional, contiguous and in float64."""
    model = Conv4(3).eval()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    images = torch.rand(4, 3, 32, 32)
    x = (images.double() - 0.45) / 0.25
    for stage in (model.stage1, model.stage2, model.stage3, model.stage4):
        x = nn.functional.conv2d(x, stage[0].weight.double(), stride=2, padding=1)
        norm = stage[1].double()
        x = nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()
        stage[1].float()
    torch.testing.assert_close(model(images).double(), x.mean(dim=(2, 3)), atol=1e-4, rtol=1e-4)


def test_resnet18_has_the_stem_for_small_images():
    from torchvision.models import resnet18

    model = models.backbone("resnet18")
    assert model.num_features == 512
    sides = sides_of(model, "net.conv1", "net.layer1", "net.layer4")
    model.eval()(stored(1))
    assert sides == {"net.conv1": 32, "net.layer1": 32, "net.layer4": 4}

    # Everything but the first convolution (3x3 for 7x7) and the classifier is torchvision's.
    theirs = sum(p.numel() for p in resnet18(num_classes=10).parameters()) - 513 * 10
    assert sum(p.numel() for p in model.parameters()) == theirs - 64 * 3 * (49 - 9)


def test_a_backbone_trains_in_a_few_steps():
    """Two colours are told apart: the gradient points the right way through normalisation and channels-last memory."""
    images = torch.rand(32, 3, 16, 16) * 0.5
    labels = torch.arange(32) % 2
    images[labels == 1, 0] += 0.5
    net = models.backbone("conv4")
    model = nn.Sequential(net, nn.Linear(net.num_features, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(10):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
    assert loss < 0.1 and (model(images).argmax(dim=1) == labels).all()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: models.backbone("resnet81"), "did you mean resnet18"),
        (lambda: models.backbone("convnet"), "no backbone 'convnet'"),
        (lambda: models.backbone("???"), "take conv4, resnet18"),
        (lambda: models.backbone("conv4", in_channels=0), "0 channels"),
        (lambda: models.backbone("conv4", image_size=0), "0 pixels"),
        (lambda: models.backbone("vit_tiny_patch16_224", image_size=40), "16 pixels"),
    ],
)
def test_bad_backbones(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_images_that_do_not_fit_the_backbone():
    model = models.backbone("conv4", in_channels=1)
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\)"):
        model(stored(2, 3))
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\)"):
        model(stored(2, 1)[0])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        model(torch.randn(2, 1, 32, 32) * 9)


# ---- normalisation


def test_normalise():
    layer = models.Normalise((0.1, 0.2, 0.3), (0.5, 1.0, 2.0))
    images = stored()
    out = layer(images)
    for c, (mean, std) in enumerate(((0.1, 0.5), (0.2, 1.0), (0.3, 2.0))):
        torch.testing.assert_close(out[:, c], (images[:, c] / 255 - mean) / std)
    torch.testing.assert_close(layer(images.double() / 255), out)  # float64 in, float32 out
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert set(layer.state_dict()) == {"mean", "std"} and not list(layer.parameters())


@pytest.mark.parametrize("mean, std, words", [(0.5, 0.0, "above 0"), ((0.1, 0.2), (1, 1, 1), "2 means but 3")])
def test_bad_normalise(mean, std, words):
    with pytest.raises(ValueError, match=words):
        models.Normalise(mean, std)


# ---- autoencoder


@pytest.mark.parametrize("size", [28, 32, 64, 96, 1, 7, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_encoder_and_decoder_fit_each_other_at_every_size(size, channels):
    encoder, decoder = models.conv_encoder(channels, 4), models.conv_decoder(channels, size, 4)
    images = stored(2, channels, size)
    maps = encoder(images)
    assert maps.shape == (2, 16, -(-size // 8), -(-size // 8))
    torch.testing.assert_close(encoder(images.float() / 255), maps)
    out = decoder(maps)
    assert out.shape == images.shape
    assert 0 <= out.min() and out.max() <= 1
    out.sum().backward()
    assert all(p.grad is not None for p in [*encoder.parameters(), *decoder.parameters()])


@pytest.mark.parametrize(
    "make, words",
    [(lambda: models.conv_decoder(3, 0), "image_size = 0"), (lambda: models.conv_encoder(0), "in_channels = 0")],
)
def test_bad_autoencoders(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# ---- heads


def test_projection_head():
    head = models.projection_head(96, 64, 32)
    z = head(torch.randn(16, 96))
    assert z.shape == (16, 32)
    z.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())

    # Fresh weights per call, the same after the same seed.
    torch.manual_seed(3)
    first, second = models.projection_head(8, 8, 8), models.projection_head(8, 8, 8)
    torch.manual_seed(3)
    assert models.projection_head(8, 8, 8)[0].weight.equal(first[0].weight)
    assert not first[0].weight.equal(second[0].weight)


def test_bad_heads():
    with pytest.raises(ValueError, match="hidden_dim = 0"):
        models.projection_head(96, 0, 32)

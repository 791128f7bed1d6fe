"""Features of an encoder and of the layers within a model."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslcourse.evaluate import extract_features, layer_features

IMAGES = torch.randint(0, 256, (11, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def encoder() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 5))


@pytest.mark.parametrize("batch_size", [1, 4, 11, 100])
def test_features_are_those_of_one_pass_in_eval_mode(batch_size):
    model = encoder()
    model[1].eval()
    statistics = model[1].running_mean.clone()
    h = extract_features(model, IMAGES, batch_size)
    assert (model.training, model[1].training) == (True, False)  # as before, part by part
    assert torch.equal(statistics, model[1].running_mean)
    expected = model.eval()(IMAGES.float() / 255)
    torch.testing.assert_close(h, expected.detach(), rtol=1e-5, atol=1e-6)
    assert h.dtype == torch.float32 and not h.requires_grad and h.device.type == "cpu"


def test_a_plain_function_is_an_encoder_and_gets_float_images():
    h = extract_features(lambda x: x.flatten(1).double(), IMAGES, 4)
    assert torch.equal(h, (IMAGES.float() / 255).flatten(1))
    assert torch.equal(h, extract_features(nn.Flatten(), IMAGES.float() / 255))


def test_modes_come_back_after_an_error():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).train()
    with pytest.raises(RuntimeError):
        extract_features(model, IMAGES)
    assert model.training and torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("encoder", "images", "batch_size", "sentence"),
    [
        (lambda x: x, IMAGES, 4, r"shape \(4, 3, 8, 8\) for 4 images; expected \(4, D\): pool or flatten"),
        (lambda x: x.mean(), IMAGES, 4, r"shape \(\)"),
        (lambda x: x.flatten(1)[:2], IMAGES, 4, r"shape \(2, 192\) for 4 images"),
        (lambda x: (x, x), IMAGES, 4, "returned tuple"),
        (lambda x: x.flatten(1), IMAGES[:0], 4, "no images"),
        (lambda x: x.flatten(1), IMAGES, 0, "batch_size is 0"),
    ],
)
def test_bad_encoders_get_a_sentence(encoder, images, batch_size, sentence):
    with pytest.raises(ValueError, match=sentence):
        extract_features(encoder, images, batch_size)


class Tokens(nn.Module):
    """A map, a sequence (as the first of a tuple) and a vector, as nets of different kinds have them."""

    def __init__(self):
        super().__init__()
        self.map = nn.Conv2d(3, 4, 3)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 2)
        self.unused = nn.Linear(4, 2)

    def forward(self, x):
        tokens = self.map(x).flatten(2).mT  # (N, L, D)
        return self.head(self.attention(tokens, tokens, tokens)[0].mean(dim=1))


def test_layers_are_averaged_over_space_and_positions():
    model = Tokens()
    got = layer_features(model, IMAGES, ["map", "attention", "head"], batch_size=4)
    model.eval()
    with torch.no_grad():
        maps = model.map(IMAGES.float() / 255)
        tokens = maps.flatten(2).mT
        attended = model.attention(tokens, tokens, tokens)[0]
    assert list(got) == ["map", "attention", "head"]
    torch.testing.assert_close(got["map"], maps.mean(dim=(2, 3)))
    torch.testing.assert_close(got["attention"], attended.mean(dim=1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(got["head"], extract_features(model, IMAGES))
    assert not any(part._forward_hooks for part in model.modules())


def test_maps_are_averaged_over_the_fields_of_a_grid():
    model = Tokens()
    got = layer_features(model, IMAGES, ["map", "attention"], grid=2)
    with torch.no_grad():
        maps = model.map(IMAGES.float() / 255)
    half = maps.shape[-1] // 2
    fields = [maps[:, :, r : r + half, c : c + half].mean(dim=(2, 3)) for r in (0, half) for c in (0, half)]
    torch.testing.assert_close(got["map"], torch.stack(fields, dim=2).flatten(1))
    assert got["attention"].dim() == 2 and len(got["attention"]) == len(IMAGES)

    # A map smaller than the grid is kept as it is.
    whole = layer_features(model, IMAGES, ["map"], grid=100)["map"]
    torch.testing.assert_close(whole, maps.flatten(1))
    with pytest.raises(ValueError, match="grid is 0; it should be at least 1"):
        layer_features(model, IMAGES, ["map"], grid=0)


def test_a_layer_is_seen_before_the_next_one_changes_it_in_place():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.ReLU(inplace=True))
    got = layer_features(model, IMAGES, ["1", "2"])
    assert (got["1"] < 0).any()
    assert torch.equal(F.relu(got["1"]), got["2"])


@pytest.mark.parametrize(
    ("layer", "sentence"), [("stage9", "no layer 'stage9'; it has map, attention"), ("unused", "does not call it")]
)
def test_layers_that_are_not_there_get_a_sentence(layer, sentence):
    model = Tokens()
    with pytest.raises(ValueError, match=sentence):
        layer_features(model, IMAGES, ["map", layer])
    assert model.training and not any(part._forward_hooks for part in model.modules())


def test_a_layer_of_another_shape_gets_a_sentence():
    with pytest.raises(ValueError, match=r"'0' returned shape \(11, 3, 8, 8, 1\)"):
        layer_features(nn.Sequential(nn.Unflatten(3, (8, 1)), nn.Flatten()), IMAGES, ["0"])

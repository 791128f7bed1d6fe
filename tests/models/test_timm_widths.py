"""`num_features` is what comes out: one network of every family of timm, built and run without a number in it."""

import pytest
import timm
import timm.layers.weight_init
import torch

from sslcourse import models
from sslcourse.models import normalise

SIZES = "test_ atto femto pico zepto nano xxs tiny 050 035 x_small xs small _s b0 18 11 x0_25 _t _0 _m".split()
SIDES = (32, 64)  # pixels
LARGER = {"inception_resnet_v2": 96, "inception_v3": 96, "inception_v4": 96}  # these end in less than a kernel
LARGER |= {"byoanet": 256, "crossvit": 240, "deepseek_vit": 224, "efficientformer": 224}  # these take no other side


def smallest(family):
    """The member whose name sounds smallest."""
    return min(timm.list_models(module=family), key=lambda name: (*(size not in name for size in SIZES), len(name)))


def width(name, sides):
    """(num_features, what comes out), or None where no side will do."""
    for side in sides:
        try:
            with torch.device("meta"):
                network = models.backbone(name, image_size=side).eval()
            with torch.inference_mode(), torch.device("meta"):
                out = network(torch.empty(1, 3, side, side, device="meta"))
            return network.num_features, tuple(out.shape)
        except (RuntimeError, AssertionError, ValueError):
            continue
    return None


@pytest.mark.slow
def test_one_network_of_every_family_has_the_width_that_it_says(monkeypatch):
    monkeypatch.setattr(normalise, "standard", lambda channels: torch.nn.Identity())  # it looks at values
    # There is nothing to draw, and without values each step of it is a function of Python.
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda tensor, **how: tensor)
    monkeypatch.setattr(timm.layers.weight_init, "_trunc_normal_", lambda tensor, *how: tensor)
    families = timm.list_modules()
    sides = {family: (LARGER[family],) if family in LARGER else SIDES for family in families}
    widths = {family: width(smallest(family), sides[family]) for family in families}
    wrong = {family: found for family, found in widths.items() if found and found[1] != (1, found[0])}
    assert not wrong
    assert None not in widths.values() and len(widths) > 80


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "lcnet_035", "ghostnet_050", "test_vit", "resnet10t"])
def test_the_width_of_real_features(name):
    network = models.backbone(name, in_channels=1).eval()
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, network.num_features)

"""Which images a network of timm takes, in one sentence: when it is made, or when it gets others."""

import pytest
import torch
from torch import nn

from sslcourse import models
from sslcourse.models import of_timm

FIXED = "was built for images of {0} x {0} pixels and got {1} x {1}; build it with image_size={1}"
SMALL = "takes no images of {0} x {0} pixels; take image_size={1} and images of {1} x {1}."


@pytest.mark.parametrize(
    ("name", "built", "given", "said"),
    [
        ("nest_tiny", 100, None, SMALL.format(100, 112)),  # timm's own AssertionError
        ("mvitv2_tiny", 20, None, SMALL.format(20, 32)),  # torch's RuntimeError
        ("vit_tiny_patch16_224", 32, 64, FIXED.format(32, 64)),
        ("vit_tiny_patch16_224", 224, 32, FIXED.format(224, 32)),
        ("levit_128s", 32, 64, FIXED.format(32, 64)),
        ("inception_v3", 32, 32, SMALL.format(32, 96)),
        ("densenet121", 32, 7, SMALL.format(7, 32)),
        ("efficientformer_l1", 64, 64, SMALL.format(64, 224)),
    ],
)
def test_the_size_that_is_needed_is_said(name, built, given, said):
    with pytest.raises(ValueError) as error:
        with torch.inference_mode():
            models.backbone(name, image_size=built).eval()(torch.rand(1, 3, given, given))
    assert str(error.value).startswith(f"{name} {said}")


def test_a_network_of_three_channels_alone():
    network = models.backbone("csatv2", in_channels=1)
    with pytest.raises(ValueError, match="^csatv2 takes images of 3 channels, not of 1; repeat or choose channels.$"):
        network(torch.rand(2, 1, 64, 64))


def test_no_side_of_those_that_are_offered_will_do(monkeypatch):
    monkeypatch.setattr(of_timm, "SIDES", (32, 48))
    network = models.backbone("inception_v3")
    with pytest.raises(ValueError, match="48 x 48 pixels; take another network or other images.$"):
        network(torch.rand(2, 3, 48, 48))


def test_other_errors_pass_and_a_good_call_tries_nothing(monkeypatch):
    network = models.backbone("resnet10t").train()
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        network(torch.rand(1, 3, 32, 32))
    network.net = nn.Linear(3, 3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        network(torch.rand(2, 3, 32, 32))
    monkeypatch.delattr(of_timm, "_takes")
    assert models.backbone("resnet10t")(torch.rand(2, 3, 32, 32)).shape == (2, 512)


def test_a_network_is_still_copied_and_saved(tmp_path):
    network = models.backbone("test_vit").eval()
    torch.save(network, tmp_path / "network.pt")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(torch.load(tmp_path / "network.pt", weights_only=False)(images), network(images))

"""Overlays of attention: one map for every head, in the place of its patches, on its row's scale around even shares."""

import numpy as np
import pytest
import torch

from sslcourse import plot


def test_an_overlay_for_every_head_of_every_image():
    weights = torch.rand(2, 3, 6)
    figure = plot.attention(torch.rand(2, 3, 8, 12), weights, grid=(2, 3), title="who looks where")
    panels = [ax for ax in figure.axes if len(ax.images) == 2]
    assert len(panels) == 6 and figure.get_suptitle() == "who looks where"
    for n, ax in enumerate(panels):
        under, over = ax.images
        shares = weights[n // 3] / weights[n // 3].sum(dim=1, keepdim=True)
        np.testing.assert_allclose(over.get_array(), shares[n % 3].view(2, 3), atol=1e-6)
        assert under.get_extent() == over.get_extent()  # patches lie where they belong
        assert over.get_clim() == (0, pytest.approx(max(2 / 6, shares.max().item())))
    assert [ax.get_title() for ax in panels[:3]] == ["head 1", "head 2", "head 3"]


def test_even_attention_is_pale_whatever_goes_to_the_class_token():
    weights = torch.cat([torch.full((1, 1, 4), 0.25), torch.full((1, 1, 4), 0.01), torch.zeros(1, 1, 4)], dim=1)
    figure = plot.attention(torch.rand(1, 3, 8, 8), weights)
    even, little, none = (ax.images[1] for ax in figure.axes if len(ax.images) == 2)
    for over in (even, little):
        np.testing.assert_allclose(over.norm(over.get_array()), 0.5, atol=1e-6)  # the middle of the colours
    np.testing.assert_allclose(none.norm(none.get_array()), 0)


def test_grey_images_and_a_square_of_patches():
    figure = plot.attention(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 16))
    assert sum(len(ax.images) == 2 for ax in figure.axes) == 1


@pytest.mark.parametrize(
    ("weights", "grid", "words"),
    [
        (torch.rand(2, 3, 5), None, "A grid of 2 x 2 does not hold 5 patches"),
        (torch.rand(2, 3, 4), (1, 3), "A grid of 1 x 3 does not hold 4 patches"),
        (torch.rand(2, 3, 5, 5), None, r"take \[:, :, 0, 1:\]"),
        (torch.rand(3, 3, 4), None, "each of the 2 images"),
    ],
)
def test_bad_input_gets_one_sentence(weights, grid, words):
    with pytest.raises(ValueError, match=words):
        plot.attention(torch.rand(2, 3, 8, 8), weights, grid)

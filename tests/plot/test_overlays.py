"""Maps over images: one row a label, levels written down, sizes checked."""

import pytest
import torch

from sslcourse import plot


def test_every_map_has_its_own_scale_and_says_it():
    maps = torch.stack([torch.linspace(0, 1, 16).view(4, 4), torch.linspace(5, 9, 16).view(4, 4)])
    hidden = maps.clone()
    hidden[0, 0, 0] = torch.nan
    hidden[1] = torch.nan
    figure = plot.overlays(torch.rand(2, 3, 4, 4), {"one": maps, "other": hidden}, title="Maps")
    axes = figure.axes
    assert len(axes) == 6 and axes[2].get_ylabel() == "one"
    assert [ax.get_xlabel() for ax in axes[2:]] == ["0 to 1", "5 to 9", "0.0667 to 1", "unknown"]


def test_maps_of_another_size_get_one_sentence():
    with pytest.raises(ValueError, match=r"maps 'a' are \(2, 3, 4\); they should be \(2, 4, 4\)"):
        plot.overlays(torch.rand(2, 1, 4, 4), {"a": torch.rand(2, 3, 4)})
    with pytest.raises(ValueError, match="no maps to draw"):
        plot.overlays(torch.rand(2, 1, 4, 4), {})

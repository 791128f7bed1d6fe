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
    assert [ax.get_xlabel() for ax in axes[2:]] == ["0.5\n± 0.5", "7\n± 2", "0.5\n± 0.5", "unknown"]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.9977, 0.9989, "0.9983\n± 0.0006"),  # two ends would both read 1
        (0.4, 0.4, "0.4\n± 0"),
        (-0.03, 0.01, "-0.01\n± 0.02"),
        (1.0, 1.0 + 1e-9, "1\n± 5e-10"),
        (2e6, 4e6, "3e+06\n± 1e+06"),
        (-30.0, 10.0, "-10\n± 20"),
    ],
)
def test_ranges_are_told_as_centre_and_half_width(low, high, said):
    maps = torch.tensor([[[low, high]]], dtype=torch.float64)
    assert plot.overlays(torch.rand(1, 3, 1, 2), {"a": maps}).axes[1].get_xlabel() == said


def test_maps_of_another_size_get_one_sentence():
    with pytest.raises(ValueError, match=r"maps 'a' are \(2, 3, 4\); they should be \(2, 4, 4\)"):
        plot.overlays(torch.rand(2, 1, 4, 4), {"a": torch.rand(2, 3, 4)})
    with pytest.raises(ValueError, match="no maps to draw"):
        plot.overlays(torch.rand(2, 1, 4, 4), {})

"""Toy tissue: reproducible bytes, balanced classes, nuisances that say nothing of the class, a second centre."""

import hashlib
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from scipy.stats import f_oneway

from sslcourse.data import ImageSet, load_images
from sslcourse.data.images import tissue
from sslcourse.data.images.tissue import CENTRES, CLASS_NAMES, CLASSES, make_tissue

SHA256 = {  # of 300 images and labels, version 1
    "tissue": "1b6611be3b7290f84de2b0a8fd18e70b4ba74af03e6815156fecf6c63dcaf559",
    "tissue_centre2": "d3652a5428023aa03628b47319d0a67ef0e755dc62ff272ffbf89a5cb9e34109",
}
OF_THE_CLASS = ("cells", "radius", "elongation", "spread")


@pytest.fixture(scope="module")
def many():
    return make_tissue(5000, seed=1000)


@pytest.mark.parametrize("centre", CENTRES)
def test_same_bytes_everywhere(centre):
    """After a wanted change of the images raise VERSION and note the new sums; else a platform draws differently."""
    drawn = make_tissue(300, seed=1000, centre=centre)
    digest = hashlib.sha256(drawn.images.numpy().tobytes() + drawn.labels.numpy().astype("<i8").tobytes())
    assert digest.hexdigest() == SHA256[centre], f"version {tissue.VERSION}"


def test_a_set_depends_on_its_seed_alone():
    first, again, other = make_tissue(50, 1000), make_tissue(50, 1000), make_tissue(50, 1001)
    assert first.images.equal(again.images) and first.labels.equal(again.labels)
    assert all(first.factors[name].equal(again.factors[name]) for name in first.factors)
    assert not first.images.equal(other.images) and not first.labels.equal(other.labels)


def test_chunks_leave_no_seam(monkeypatch):
    whole = make_tissue(30, 1000)
    monkeypatch.setattr(tissue, "_CHUNK", 7)
    again = make_tissue(30, 1000)
    assert again.images.equal(whole.images) and again.masks.equal(whole.masks)


def test_forms(many):
    assert isinstance(many, ImageSet) and many.name == "tissue" and many.class_names == CLASS_NAMES
    assert len(CLASS_NAMES) == 9
    assert many.images.shape == (5000, 3, 32, 32) and many.images.dtype == torch.uint8
    assert many.masks.shape == (5000, 1, 32, 32) and many.masks.dtype == torch.bool
    assert len({image.tobytes() for image in many.images.numpy()}) == 5000  # no two alike


@pytest.mark.parametrize("n", [1000, 997, 7, 1])
def test_classes_are_balanced_and_shuffled(n):
    drawn = make_tissue(n, 1000)
    counts = torch.bincount(drawn.labels, minlength=9)
    assert counts.sum() == n and counts.max() - counts.min() <= 1
    if n > 500:  # a shuffled order: neighbours agree about as often as any two
        agree = (drawn.labels[1:] == drawn.labels[:-1]).double().mean().item()
        assert agree == pytest.approx(1 / 9, abs=0.06)


def test_a_class_is_its_statistics(many):
    """The four factors that make a class lie in its bounds, and no two classes have the same bounds."""
    for k, (cells, radius, elongation, spread, *_) in enumerate(CLASSES.values()):
        here = {name: values[many.labels == k] for name, values in many.factors.items()}
        for name, (low, high) in zip(("cells", "radius", "elongation"), (cells, radius, elongation), strict=True):
            assert low - 1e-5 <= here[name].min() and here[name].max() <= high + 1e-5
        assert (here["spread"] == np.float32(spread)).all()
    assert len(set(CLASSES.values())) == 9


def test_no_other_factor_tells_the_class(many):
    """Analysis of variance of every nuisance over the classes: ten of them, so p > 0.001 for the fixed seed."""
    for name, values in many.factors.items():
        if name in OF_THE_CLASS:
            continue
        for column in values.reshape(len(values), -1).T.numpy():
            p = f_oneway(*(column[many.labels.numpy() == k] for k in range(9))).pvalue
            assert p > 1e-3, f"{name} depends on the class (p = {p:.1e})"


def test_directions_fill_half_a_turn_evenly(many):
    x, y = many.factors["direction_x"], many.factors["direction_y"]
    torch.testing.assert_close(x.square() + y.square(), torch.ones(5000), atol=1e-5, rtol=0)
    assert (x >= -1e-6).all()
    counts, _ = np.histogram(np.arctan2(y.numpy(), x.numpy()), bins=8, range=(-math.pi / 2, math.pi / 2))
    assert counts.min() > 0.85 * 5000 / 8 and counts.max() < 1.15 * 5000 / 8


def _orientation(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """The long axis of what a mask covers, per cell, and long by short; cells at the edge are left out."""
    parts, count = label(mask)
    axes, ratios = [], []
    for k in range(1, count + 1):
        rows, columns = np.nonzero(parts == k)
        inner = rows.min() > 0 and columns.min() > 0 and rows.max() < 31 and columns.max() < 31
        if len(rows) >= 8 and inner:
            values, vectors = np.linalg.eigh(np.cov(columns, rows) + np.eye(2) / 12)
            axes.append(vectors[:, 1])
            ratios.append(math.sqrt(values[1] / values[0]))
    return np.array(axes), ratios


def test_factors_are_what_the_pixels_show(many):
    """Measured on the masks: cells of muscle are long and lie along the direction, those of tumour are round."""
    found = {}
    for name in ("muscle", "stroma", "tumour"):
        rows = (many.labels == CLASS_NAMES.index(name)).nonzero()[:60, 0]
        along, ratios = [], []
        for row in rows:
            axes, ratio = _orientation(many.masks[row, 0].numpy())
            direction = np.array([many.factors["direction_x"][row], many.factors["direction_y"][row]])
            along += list(np.abs(axes @ direction)) if len(axes) else []
            ratios += ratio
        found[name] = np.median(along), np.median(ratios)
    assert found["muscle"][0] > 0.95 and found["muscle"][1] > 2.2
    assert found["stroma"][0] < 0.9 and found["stroma"][1] > 1.8
    assert found["tumour"][1] < 1.5

    # Cells are where the mask says, and darker than the ground between them.
    images, masks = many.images.double().mean(1), many.masks[:, 0]
    inside = (images * masks).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)
    outside = (images * ~masks).sum((1, 2)) / (~masks).sum((1, 2))
    assert (outside > inside)[masks.sum((1, 2)) > 20].double().mean() > 0.97


def test_the_second_centre_has_the_same_cells_in_another_stain():
    first, second = make_tissue(200, 1000), make_tissue(200, 1000, "tissue_centre2")
    assert first.labels.equal(second.labels) and first.masks.equal(second.masks)
    assert first.factors["cells"].equal(second.factors["cells"])
    colours = [s.images.double().mean((2, 3)) for s in (first, second)]
    redness = [c[:, 0] / c[:, 2] for c in colours]  # the second is yellower: less blue
    assert second.name == "tissue_centre2" and redness[1].mean() > redness[0].mean() + 0.1


def test_splits_of_both_centres_share_no_image():
    sets = [load_images(name, split, n=40) for name in CENTRES for split in ("train", "val", "test")]
    assert [(s.name, s.split) for s in sets[:2]] == [("tissue", "train"), ("tissue", "val")]
    seen = [image.tobytes() for s in sets for image in s.images.numpy()]
    assert len(set(seen)) == len(seen)
    assert len(load_images("tissue", "val")) == 1000


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, "n is 0; it should be a whole number from 1 on."),
        ({"n": 2.5}, TypeError, "n is 2.5; it should be a whole number from 1 on."),
        ({"n": 3, "seed": -1}, ValueError, "seed is -1; it should be a whole number from 0 on."),
        ({"n": 3, "centre": "x"}, ValueError, "There is no centre 'x'; choose one of tissue, tissue_centre2."),
    ],
)
def test_bad_input_gets_one_sentence(arguments, error, message):
    with pytest.raises(error) as caught:
        make_tissue(**arguments)
    assert str(caught.value) == message

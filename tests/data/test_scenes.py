"""Toy scenes: reproducible bytes, balanced classes, factors that hide the class, true masks and captions."""

import hashlib

import numpy as np
import pytest
import torch
from matplotlib.path import Path
from scipy.ndimage import binary_dilation
from scipy.stats import chi2_contingency

from sslcourse.data import ImageSet
from sslcourse.data.images import scenes, shapes
from sslcourse.data.images.scenes import make_scenes

SHA256 = {  # of 300 images and labels, version 1
    False: "09c1152fdc1871446f99c68fa5e02369854b904f808c967640c7b884de07af59",
    True: "16dfce235e69be4484cacea95a26b39c25030c12711ea14820aca66c62a728df",
}


@pytest.fixture(scope="module")
def many():
    return make_scenes(5000, seed=1000)


@pytest.mark.parametrize("held_out", [False, True])
def test_same_bytes_everywhere(held_out):
    """After a wanted change of the images raise VERSION and note the new sums; else a platform draws differently."""
    drawn = make_scenes(300, seed=1000, held_out=held_out)
    digest = hashlib.sha256(drawn.images.numpy().tobytes() + drawn.labels.numpy().astype("<i8").tobytes())
    assert digest.hexdigest() == SHA256[held_out], f"version {scenes.VERSION}"


def test_a_set_depends_on_its_seed_alone():
    first, again, other = make_scenes(50, 1000), make_scenes(50, 1000), make_scenes(50, 1001)
    assert first.images.equal(again.images) and first.labels.equal(again.labels) and first.captions == again.captions
    assert all(first.factors[name].equal(again.factors[name]) for name in first.factors)
    assert not first.images.equal(other.images) and not first.labels.equal(other.labels)


def test_chunks_leave_no_seam(monkeypatch):
    whole = make_scenes(30, 1000)
    monkeypatch.setattr(scenes, "_CHUNK", 7)
    assert make_scenes(30, 1000).images.equal(whole.images)


def test_forms(many):
    assert isinstance(many, ImageSet) and many.name == "scenes" and many.class_names == scenes.CLASS_NAMES
    assert many.images.shape == (5000, 3, 32, 32) and many.images.dtype == torch.uint8
    assert many.masks.shape == (5000, 1, 32, 32) and many.masks.dtype == torch.bool
    assert len({image.tobytes() for image in many.images.numpy()}) == 5000  # no two alike


@pytest.mark.parametrize(("n", "held_out"), [(1000, False), (997, False), (7, False), (1, False), (503, True)])
def test_classes_are_balanced_and_shuffled(n, held_out):
    drawn = make_scenes(n, 1000, held_out)
    counts = torch.bincount(drawn.labels, minlength=len(drawn.class_names))
    assert counts.sum() == n and counts.max() - counts.min() <= 1
    if n > 500:  # a shuffled order: neighbours agree about as often as any two
        agree = (drawn.labels[1:] == drawn.labels[:-1]).double().mean().item()
        assert agree == pytest.approx(1 / len(drawn.class_names), abs=0.06)


def test_ten_classes_and_held_out_ones_are_disjoint():
    assert len(set(scenes.CLASS_NAMES)) == 10 and len(set(scenes.HELD_OUT_NAMES)) >= 4
    assert not set(scenes.CLASS_NAMES) & set(scenes.HELD_OUT_NAMES)
    assert set(scenes.CLASS_NAMES) | set(scenes.HELD_OUT_NAMES) == set(shapes.SHAPES)


def _levels(values):
    """Indices as they are, measurements in eight equally filled bins."""
    values = values.numpy()
    if values.dtype != np.float32:
        return values.astype(int)
    return np.digitize(values, np.quantile(values, np.arange(1, 8) / 8))


def _table(a, b):
    table = np.zeros((a.max() + 1, b.max() + 1), int)
    np.add.at(table, (a, b), 1)
    return table


def test_no_factor_tells_the_class(many):
    """Chi-squared test of independence, class against each factor: twelve of them, so p > 0.001 for the fixed seed."""
    for name, values in many.factors.items():
        p = chi2_contingency(_table(many.labels.numpy(), _levels(values))).pvalue
        assert p > 1e-3, f"{name} and the class depend on each other (p = {p:.1e})"


def test_factors_are_independent_of_each_other(many):
    """But for those that are two names of one thing: place and x, size and radius."""
    names = list(many.factors)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            p = chi2_contingency(_table(_levels(many.factors[first]), _levels(many.factors[second]))).pvalue
            together = {first, second} in ({"place", "x"}, {"size", "radius"})
            assert (p < 1e-9) if together else (p > 1e-4), f"{first} and {second}: p = {p:.1e}"


def test_factors_are_what_the_pixels_show(many):
    """Measured on the masks: the object is where x and y say, as large as radius says, and has the named colour."""
    masks = many.masks[:, 0].numpy()
    rows, columns = masks.any(2), masks.any(1)
    for span, name, limit in ((columns, "x", 3.0), (rows, "y", 3.0)):
        low, high = span.argmax(1), 31 - span[:, ::-1].argmax(1)
        whole = (low > 0) & (high < 31)  # not cut off by the edge of the picture
        assert np.abs((low + high + 1)[whole] / 2 - many.factors[name].numpy()[whole]).max() < limit
    area = masks.sum((1, 2)) / many.factors["radius"].numpy() ** 2
    assert 0.7 < area.min() and area.max() < 3.5  # of the 4 that the box has

    means = np.stack([(i * m).sum((1, 2)) / m.sum() for i, m in zip(many.images.numpy(), masks, strict=True)])
    for index, colour in enumerate(scenes.COLOURS.values()):
        shade = means[many.factors["colour"].numpy() == index].mean(0)
        assert np.corrcoef(shade, colour)[0, 1] > 0.95


@pytest.mark.parametrize("seed", [1000, 1001])
def test_only_the_object_depends_on_the_class(seed):
    """One seed draws the same scenes around known and held-out shapes: they differ near an object and nowhere else."""
    known, held_out = make_scenes(300, seed), make_scenes(300, seed, held_out=True)
    assert all(known.factors[name].equal(held_out.factors[name]) for name in known.factors)
    differ = (known.images != held_out.images).any(1).numpy()
    either = (known.masks | held_out.masks)[:, 0].numpy()
    near = binary_dilation(either, np.ones((1, 5, 5)))  # thin tips cover less than half a pixel: not in the mask
    assert not (differ & ~near).any()
    only_one = (known.masks ^ held_out.masks)[:, 0].numpy()
    assert differ[only_one].mean() > 0.98


def test_masks_have_reasonable_sizes(many):
    share = many.masks.float().mean((1, 2, 3))
    assert 0.05 < share.min() and share.max() < 0.6
    by_class = torch.stack([share[many.labels == k].mean() for k in range(10)])
    assert by_class.max() / by_class.min() < 2.2  # no shape is a dwarf


def test_captions_name_the_factors(many):
    f = many.factors
    for i in range(0, 5000, 50):
        words = many.captions[i]
        size, colour, texture, name, rest = words.removeprefix("a ").split(" ", 4)
        place, background = rest.split(", ")
        assert name == many.class_names[many.labels[i]]
        assert scenes.SIZES.index(size) == f["size"][i] and scenes.TEXTURES.index(texture) == f["texture"][i]
        assert list(scenes.COLOURS).index(colour) == f["colour"][i]
        assert (
            scenes.PLACES.index(place) == f["place"][i] and scenes.BACKGROUNDS.index(background) == f["background"][i]
        )
    left, middle, right = (f["x"][f["place"] == k] for k in range(3))
    assert left.max() <= middle.min() and middle.max() <= right.min()
    small, medium, big = (f["radius"][f["size"] == k] for k in range(3))
    assert small.max() <= medium.min() and medium.max() <= big.min()


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_shapes_have_an_upright(name):
    """A quarter or half turn of the silhouette covers clearly other cells, wherever it is put."""
    cells = (shapes.distance_tables((name,))[0][0] < 0).astype(float)
    for turns in (1, 2, 3):
        turned = np.rot90(cells, turns)
        # The best overlap over all shifts, by Fourier: intersection over union.
        spectrum = np.fft.rfft2(cells, (400, 400)) * np.conj(np.fft.rfft2(turned, (400, 400)))
        overlap = np.fft.irfft2(spectrum, (400, 400)).max()
        assert overlap / (2 * cells.sum() - overlap) < 0.9


def test_polygon_distances_against_a_slow_oracle():
    """The sign against matplotlib's point-in-polygon, the size against the nearest of many points on the outline."""
    corners = shapes.SHAPES["flower"][0][0][1]
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.4, 1.4, (200, 2))
    ours = np.array([shapes._polygon_distance(np.array([[x]]), np.array([[y]]), corners).item() for x, y in points])
    closed = np.array([*corners, corners[0]])
    steps = np.linspace(0, 1, 1000)[:, None]
    outline = np.concatenate([a + steps * (b - a) for a, b in zip(closed[:-1], closed[1:], strict=True)])
    nearest = np.linalg.norm(points[:, None] - outline[None], axis=2).min(1)
    assert np.abs(np.abs(ours) - nearest).max() < 1e-3  # the spacing of the points on the outline
    clear = nearest > 1e-3
    assert ((ours < 0) == Path(closed).contains_points(points))[clear].all()


def test_ellipse_distances():
    x, y = np.meshgrid(np.linspace(-1.4, 1.4, 57), np.linspace(-1.4, 1.4, 57))
    circle = shapes._ellipse_distance(x, y, 0.2, -0.1, 0.5, 0.5)
    assert np.abs(circle - (np.hypot(x - 0.2, y + 0.1) - 0.5)).max() < 1e-12
    ellipse = shapes._ellipse_distance(x, y, 0, 0, 0.9, 0.4)
    assert ((ellipse < 0) == ((x / 0.9) ** 2 + (y / 0.4) ** 2 < 1)).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, "n is 0; it should be a whole number from 1 on."),
        ({"n": 2.5}, TypeError, "n is 2.5; it should be a whole number from 1 on."),
        ({"n": True}, TypeError, "n is True; it should be a whole number from 1 on."),
        ({"n": 3, "seed": -1}, ValueError, "seed is -1; it should be a whole number from 0 on."),
        ({"n": 3, "seed": "0"}, TypeError, "seed is '0'; it should be a whole number from 0 on."),
    ],
)
def test_bad_input_gets_one_sentence(arguments, error, message):
    with pytest.raises(error) as caught:
        make_scenes(**arguments)
    assert str(caught.value) == message


# --- some factors alone


def test_only_what_is_named_varies():
    everything = make_scenes(40, seed=3)
    some = make_scenes(40, seed=3, vary=("x", "mist"))
    for name, values in some.factors.items():
        wanted = everything.factors[name] if name in ("x", "mist") else everything.factors[name][:1].expand(40)
        assert torch.equal(values, wanted), name
    assert torch.equal(some.images[0], everything.images[0]) and not torch.equal(some.images[0], some.images[1])
    assert (some.labels == everything.labels[0]).all()
    still = make_scenes(5, seed=3, vary=())
    assert torch.equal(still.images, make_scenes(5, seed=3).images[:1].expand(5, -1, -1, -1))
    assert torch.equal(make_scenes(40, seed=3, vary=["class"]).labels, everything.labels)
    with pytest.raises(ValueError, match="no 'weather' to vary; choose among class, colour"):
        make_scenes(4, vary=("weather",))

"""Augmentations: operations and distributions against torchvision's, randomness per sample."""

import pytest
import torch
from scipy.stats import kstest
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as peer

from sslcourse import augment
from sslcourse.augment import blur, colour, crop, transform

ROUNDING = 3e-6  # float32: a few operations on numbers up to 1

TRANSFORMS = [
    augment.RandomResizedCrop(16),
    augment.RandomFlip(),
    augment.ColourJitter(),
    augment.RandomGreyscale(0.5),
    augment.GaussianBlur(),
    augment.Solarise(p=0.5),
    augment.simclr(16, blur=0.5),
]
every_transform = pytest.mark.parametrize("t", TRANSFORMS, ids=lambda t: type(t).__name__)


def seed(n: int) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def pictures(n: int, channels: int = 3, height: int = 32, width: int = 32) -> torch.Tensor:
    """Noise with flat, grey, black, white and saturated places, where formulas for colour go wrong if they do."""
    x = torch.rand(n, channels, height, width)
    x[:, :, :4, :4] = 0.5
    x[:, :, :4, 4:8] = 0.0
    x[:, :, :4, 8:12] = 1.0
    x[:, :, 4:8] = x[:, :, 4:8].round()
    return x


# ---- operations equal torchvision's, image by image


@pytest.mark.parametrize("size", [8, 16, 32, 50])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 40, 23)])
def test_crop_and_resize(size, shape):
    x = pictures(40, *shape)
    boxes = crop.random_boxes(x, (0.05, 1.0), (0.5, 2.0), seed(1))
    ours = crop.resized_crop(x, *boxes, size)
    for i, box in enumerate(torch.stack(boxes, 1).int().tolist()):
        torch.testing.assert_close(ours[i], peer.resized_crop(x[i], *box, [size, size]), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("n", [crop.TOGETHER + 1, 2 * crop.TOGETHER, 3 * crop.TOGETHER - 1])
def test_crops_of_a_large_batch_are_those_of_its_parts(n):
    x = pictures(n)
    boxes = crop.random_boxes(x, (0.05, 1.0), (0.5, 2.0), seed(1))
    parts = zip(*(whole.split(40) for whole in (x, *boxes)), strict=True)
    expected = torch.cat([crop.resized_crop(*part, 24) for part in parts])
    torch.testing.assert_close(crop.resized_crop(x, *boxes, 24), expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "step, adjust",
    [
        (colour.BRIGHTNESS, peer.adjust_brightness),
        (colour.CONTRAST, peer.adjust_contrast),
        (colour.SATURATION, peer.adjust_saturation),
    ],
    ids=["brightness", "contrast", "saturation"],
)
def test_blends(step, adjust, channels):
    x = pictures(20, channels)
    factor = torch.linspace(0, 2, 20)
    ours = colour.blend(x, *colour.blending(torch.full((20,), step), factor, x), out=torch.empty_like(x))
    for i in range(20):
        expected = adjust(x[i], factor[i].item())
        torch.testing.assert_close(ours[i], expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("shift", [-0.5, -0.3, -1 / 6, 0.0, 0.01, 0.2, 0.5])
def test_hue(shift):
    x = pictures(20)
    ours = colour.turn_hue(x, torch.full((20,), shift), out=torch.empty_like(x))
    torch.testing.assert_close(ours, peer.adjust_hue(x, shift), atol=ROUNDING, rtol=0)
    assert colour.turn_hue(x, torch.full((20,), shift), out=x).equal(ours)


def test_hue_of_every_colour_of_a_cube():
    """All 13^3 colours whose channels are twelfths: every sector, border and tie of the colour circle."""
    x = torch.cartesian_prod(*[torch.linspace(0, 1, 13)] * 3).T.reshape(1, 3, 169, 13)
    for shift in (-0.4, 0.25, 1 / 3):
        expected = peer.adjust_hue(x, shift)
        ours = colour.turn_hue(x, torch.tensor([shift]), out=torch.empty_like(x))
        torch.testing.assert_close(ours, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("radius", [1, 4])
def test_blur(radius):
    x = pictures(10, 3, 32, 20)
    sigma = torch.linspace(0.1, 3, 10)
    ours = blur.gaussian_blur(x, sigma, radius)
    for i in range(10):
        expected = peer.gaussian_blur(x[i], [2 * radius + 1] * 2, [sigma[i].item()])
        torch.testing.assert_close(ours[i], expected, atol=ROUNDING, rtol=0)


def test_flip_grey_and_solarise():
    x = pictures(10)
    assert augment.RandomFlip(p=1)(x).equal(peer.horizontal_flip(x))
    assert augment.Solarise(0.3, p=1)(x).equal(peer.solarize(x, 0.3))
    grey = peer.rgb_to_grayscale(x, num_output_channels=3)
    torch.testing.assert_close(augment.RandomGreyscale(p=1)(x), grey, atol=ROUNDING, rtol=0)


def test_colour_jitter_is_the_four_steps_in_the_order_drawn():
    """The same numbers drawn again, in the same sequence, and torchvision's operations one image at a time."""
    x = pictures(64)
    ours = augment.ColourJitter(0.5, 0.6, 0.7, 0.2, p=0.75)(x, seed(3))

    g = seed(3)
    jittered = torch.rand(64, 1, generator=g)[:, 0] < 0.75
    order = torch.rand(64, 4, generator=g).argsort(dim=1)
    value = [transform.uniform(64, a, b, x, g) for a, b in ((0.5, 1.5), (0.4, 1.6), (0.3, 1.7), (-0.2, 0.2))]
    adjust = [peer.adjust_brightness, peer.adjust_contrast, peer.adjust_saturation, peer.adjust_hue]
    expected = x.clone()
    for i in jittered.nonzero()[:, 0].tolist():
        for step in order[i].tolist():
            expected[i] = adjust[step](expected[i], value[step][i].item())
    # Where chroma is next to nothing, rounding of an earlier step may turn the hue a little further.
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 40, 23)])
def test_a_crop_and_a_flip_in_one_are_the_two_one_after_another(shape):
    x, steps = pictures(40, *shape), (augment.RandomResizedCrop(24), augment.RandomFlip())
    g = seed(5)
    assert augment.Compose(*steps)(x, seed(5)).equal(steps[1](steps[0](x, g), g))


def test_rotations():
    x = pictures(5)
    rotated, labels = augment.rotate_batch((x * 255).to(torch.uint8))
    assert rotated.dtype == torch.uint8 and rotated.shape == (20, 3, 32, 32)
    assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    for image, label, source in zip(rotated, labels.tolist(), list(range(5)) * 4, strict=True):
        assert image.equal(peer.rotate((x[source] * 255).to(torch.uint8), 90.0 * label))  # counter-clockwise, too


# ---- distributions equal torchvision's


@pytest.mark.parametrize(
    "scale, ratio, shape",
    [
        ((0.2, 1.0), (3 / 4, 4 / 3), (32, 32)),
        ((0.1, 0.4), (1 / 2, 2.0), (24, 40)),
        ((0.9, 1.0), (1.2, 4.0), (32, 32)),  # hardly ever fits: mostly the centred box
    ],
)
def test_boxes_are_distributed_like_torchvisions(scale, ratio, shape):
    n = 3000
    ours = crop.random_boxes(torch.empty(n, 3, *shape), scale, ratio, seed(0))
    draw = v2.RandomResizedCrop(32, scale=scale, ratio=ratio)
    theirs = [draw.make_params([torch.empty(3, *shape)]) for _ in range(n)]
    for name, values in zip(("top", "left", "height", "width"), ours, strict=True):
        assert kstest(values.numpy(), [box[name] for box in theirs]).pvalue > 0.01, name


def test_a_box_that_never_fits_is_the_largest_allowed_one_in_the_centre():
    boxes = crop.random_boxes(torch.empty(5, 3, 32, 32), (1.0, 1.0), (2.0, 2.0), seed(0))
    assert torch.stack(boxes, 1).tolist() == [[8, 0, 16, 32]] * 5
    boxes = crop.random_boxes(torch.empty(5, 3, 1, 1), (1.0, 1.0), (9.0, 9.0), seed(0))
    assert torch.stack(boxes, 1).tolist() == [[0, 0, 1, 1]] * 5


def test_factors_are_uniform_and_the_same_whatever_the_batch():
    """Brightness of a dim grey picture tells the factor; 600 batches of one are as one batch of 600."""
    jitter = augment.ColourJitter(0.4, 0, 0, 0, p=1)
    dim = torch.full((600, 3, 2, 2), 0.5)
    together = jitter(dim, seed(0))[:, 0, 0, 0] / 0.5
    g = seed(1)
    alone = torch.cat([jitter(one, g)[:, 0, 0, 0] / 0.5 for one in dim.split(1)])
    for factors in (together, alone):
        assert kstest(factors.numpy(), "uniform", args=(0.6, 0.8)).pvalue > 0.01


@pytest.mark.parametrize(
    "t, changed",
    [
        (augment.RandomFlip(0.3), 0.3),
        (augment.ColourJitter(p=0.8), 0.8),
        (augment.RandomGreyscale(0.2), 0.2),
        (augment.GaussianBlur(p=0.5), 0.5),
        (augment.Solarise(0.0, p=0.1), 0.1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_p_is_the_share_of_images_that_change(t, changed):
    n = 4000
    x = torch.rand(1, 3, 6, 6).repeat(n, 1, 1, 1)
    share = ((t(x, seed(0)) - x).abs().amax(dim=(1, 2, 3)) > 1e-5).float().mean().item()
    assert abs(share - changed) < 4 * (changed * (1 - changed) / n) ** 0.5  # four standard deviations
    never = type(t)(p=0)
    torch.testing.assert_close(never(x), x, atol=1e-6, rtol=0)


# ---- random numbers per sample


@pytest.mark.parametrize("t", [augment.RandomResizedCrop(32), augment.ColourJitter(p=1), augment.GaussianBlur(p=1)])
def test_equal_images_in_a_batch_get_different_results(t):
    out = t(torch.rand(1, 3, 64, 64).repeat(16, 1, 1, 1))
    assert len(out.unique(dim=0)) == 16


@every_transform
def test_a_result_depends_on_its_own_image_only(t):
    """With the same random numbers, replacing every other image leaves this one's result as it was."""
    x, y = pictures(8), pictures(8)
    y[3] = x[3]
    torch.testing.assert_close(t(x, seed(5))[3], t(y, seed(5))[3], atol=ROUNDING, rtol=0)


@every_transform
def test_generator(t):
    x = pictures(8)
    assert t(x, seed(7)).equal(t(x, seed(7)))
    assert not t(x, seed(7)).equal(t(x, seed(8)))

    # Without a generator the global one is used; with one, the global one is left alone.
    torch.manual_seed(7)
    first = t(x)
    torch.manual_seed(7)
    assert t(x).equal(first)
    state = torch.get_rng_state()
    t(x, seed(0))
    assert torch.get_rng_state().equal(state)


# ---- what goes in and what comes out


@every_transform
@pytest.mark.parametrize("channels", [1, 3])
def test_output_is_float32_in_the_unit_interval_and_the_input_unchanged(t, channels):
    stored = (pictures(32, channels) * 255).to(torch.uint8)
    x = stored.float() / 255
    before = x.clone()
    out = t(x, seed(0))
    assert out.dtype == torch.float32 and out.shape[:2] == x.shape[:2]
    assert 0 <= out.min() and out.max() <= 1
    assert x.equal(before)
    assert t(stored, seed(0)).equal(out)  # uint8 is the same picture
    torch.testing.assert_close(t(x.double(), seed(0)), out, atol=1e-5, rtol=0)
    assert t(x[:1]).shape[0] == 1


class Plain(torch.Tensor):
    """As torchvision's tv_tensors.Image: any operation answers with a plain tensor, if need be of the same memory."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        out = super().__torch_function__(function, types, args, kwargs)
        return out.as_subclass(torch.Tensor) if isinstance(out, cls) else out


@every_transform
def test_images_of_another_class_stay_unchanged_too(t):
    x = pictures(8, 3)
    dressed = x.clone().as_subclass(Plain)
    out = t(dressed, seed(0))
    assert out.equal(t(x, seed(0)))
    assert dressed.as_subclass(torch.Tensor).equal(x)


@every_transform
def test_memory_layout_and_size_do_not_matter(t):
    x = pictures(8, 3, 24, 40)
    expected = t(x, seed(0))
    channels_last = x.contiguous(memory_format=torch.channels_last)
    a_part = torch.cat([x, x], dim=3)[..., :40]
    for other in (channels_last, a_part):
        torch.testing.assert_close(t(other, seed(0)), expected, atol=ROUNDING, rtol=0)
    assert t(torch.rand(2, 3, 1, 1)).isfinite().all()


@every_transform
def test_autocast_does_not_coarsen_the_pixels(t):
    x = pictures(8)
    expected = t(x, seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert t(x, seed(0)).equal(expected)


def test_no_gradient_passes():
    x = pictures(4).requires_grad_()
    assert not augment.simclr()(x).requires_grad


def test_colour_of_one_channel():
    """Brightness and contrast work on grey pictures; saturation, hue and greyscale have nothing to change."""
    x = pictures(16, 1)
    torch.testing.assert_close(augment.ColourJitter(0, 0, 0.8, 0.2, p=1)(x), x, atol=ROUNDING, rtol=0)
    assert augment.RandomGreyscale(p=1)(x).equal(x)
    assert (augment.ColourJitter(0.8, 0, 0, 0, p=1)(x) - x).abs().amax(dim=(1, 2, 3)).min() > 1e-3
    assert (augment.ColourJitter(0, 0.8, 0, 0, p=1)(x) - x).abs().amax(dim=(1, 2, 3)).min() > 1e-3


# ---- views


def test_compose_is_one_after_another():
    x = pictures(8)
    first, second = augment.RandomResizedCrop(20), augment.ColourJitter()
    g = seed(2)
    assert augment.Compose(first, second)(x, seed(2)).equal(second(first(x, g), g))
    assert augment.Compose()(x).equal(x)


def test_simclr_switches():
    x = pictures(64)
    assert [type(t).__name__ for t in augment.simclr().transforms] == [
        "RandomResizedCrop",
        "RandomFlip",
        "ColourJitter",
        "RandomGreyscale",
    ]
    assert augment.simclr(24)(x).shape == (64, 3, 24, 24)
    assert augment.simclr(crop=None, flip=False, jitter=0, grey=0)(x).equal(x)
    assert isinstance(augment.simclr(blur=0.5).transforms[-1], augment.GaussianBlur)

    assert augment.simclr(crop=(0.5, 0.6)).transforms[0].scale == (0.5, 0.6)

    # Strength s: factors within 1 -+ 0.8 s, hue within 0.2 s (Chen et al. 2020, appendix A).
    jitter = augment.simclr(jitter=0.5).transforms[2]
    torch.testing.assert_close(torch.tensor(jitter.ranges), torch.tensor([(0.6, 1.4)] * 3 + [(-0.1, 0.1)]))


def test_two_views_are_independent():
    x = pictures(16)
    view0, view1 = augment.two_views(x, augment.simclr(), seed(0))
    assert view0.shape == view1.shape == x.shape
    assert (view0 - view1).abs().amax(dim=(1, 2, 3)).min() > 1e-3
    again0, again1 = augment.two_views(x, augment.simclr(), seed(0))
    assert again0.equal(view0) and again1.equal(view1)


class CropInPlace(augment.RandomResizedCrop):
    """A student's, whose apply overwrites what it is given, as every apply may."""

    def apply(self, x, generator):
        return super().apply(x.mul_(0.5), generator)


class ComposeInPlace(augment.Compose):
    def apply(self, x, generator):
        return super().apply(x.mul_(0.5), generator)


@pytest.mark.parametrize(
    "t",
    [
        *(augment.simclr(16), augment.simclr(crop=None), augment.Compose(), augment.Compose(augment.Compose())),
        augment.Compose(augment.simclr(20), augment.RandomFlip(), augment.RandomResizedCrop(16)),
        *(CropInPlace(16), augment.Compose(CropInPlace(16)), ComposeInPlace(augment.RandomResizedCrop(16))),
    ],
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_two_views_are_two_calls_and_leave_the_images_alone(t, dtype):
    x = (pictures(16) * 255).to(torch.uint8)
    x = x if dtype == torch.uint8 else x.to(dtype) / 255
    before, generator = x.clone(), seed(3)
    expected = [t(x.clone(), generator), t(x.clone(), generator)]
    views = augment.two_views(x, t, seed(3))
    assert x.equal(before)
    for view, one in zip(views, expected, strict=True):
        assert view.equal(one) and view.data_ptr() != x.data_ptr()
        view.zero_()
    assert x.equal(before)


def test_multi_crop():
    x = torch.linspace(0, 1, 64).expand(200, 3, 64, 64).contiguous()  # brighter to the right: the slope tells the width
    views = augment.multi_crop(x, n_local=3, global_size=32, local_size=16, generator=seed(0))
    assert [tuple(v.shape[1:]) for v in views] == [(3, 32, 32)] * 2 + [(3, 16, 16)] * 3
    assert len(augment.multi_crop(x[:2], n_local=0)) == 2
    assert not views[0].equal(views[1]) and not views[2].equal(views[3])

    def reach(v):  # the largest share of the 64 columns that a view shows
        return (v.amax(dim=(1, 2, 3)) - v.amin(dim=(1, 2, 3))).median()

    assert reach(views[0]) > 1.3 * reach(views[2])


# ---- bad input: one sentence each


@pytest.mark.parametrize(
    "images, error, words",
    [
        ([[0.1]], TypeError, "tensor of images"),
        (torch.rand(3, 32, 32), ValueError, r"image\[None\]"),
        (torch.rand(2, 4, 8, 8), ValueError, "1 or 3 channels"),
        (torch.rand(0, 3, 8, 8), ValueError, "empty"),
        (torch.rand(2, 3, 0, 8), ValueError, "empty"),
        (torch.rand(2, 3, 8, 8) + 1, ValueError, r"\[0, 1\]"),
        (torch.randint(0, 9, (2, 3, 8, 8)), ValueError, "uint8 or float"),
        (torch.full((2, 3, 8, 8), float("nan")), ValueError, "finite|nan"),
    ],
    ids=["list", "one image", "channels", "no images", "no pixels", "range", "dtype", "nan"],
)
@every_transform
def test_bad_images(t, images, error, words):
    with pytest.raises(error, match=words):
        t(images)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: augment.RandomFlip(1.5), "p = 1.5"),
        (lambda: augment.RandomGreyscale(-0.1), "p = -0.1"),
        (lambda: augment.ColourJitter(p=2), "p = 2"),
        (lambda: augment.GaussianBlur(p=float("nan")), "p = nan"),
        (lambda: augment.RandomResizedCrop(0), "size = 0"),
        (lambda: augment.RandomResizedCrop(32.0), "size = 32.0"),
        (lambda: augment.RandomResizedCrop(32, scale=(0, 1)), "scale"),
        (lambda: augment.RandomResizedCrop(32, scale=(0.5, 0.2)), "scale"),
        (lambda: augment.RandomResizedCrop(32, scale=(0.5, 1.2)), "scale"),
        (lambda: augment.RandomResizedCrop(32, scale=0.5), "scale"),
        (lambda: augment.RandomResizedCrop(32, ratio=(-1, 1)), "ratio"),
        (lambda: augment.ColourJitter(brightness=-1), "brightness = -1"),
        (lambda: augment.ColourJitter(hue=0.6), "hue = 0.6"),
        (lambda: augment.GaussianBlur(sigma=(0, 1)), "sigma"),
        (lambda: augment.Solarise(threshold=128), "threshold = 128"),
        (lambda: augment.simclr(jitter=-0.5), "brightness"),
        (lambda: augment.multi_crop(torch.rand(2, 3, 8, 8), n_local=-1), "n_local = -1"),
        (lambda: augment.rotate_batch(torch.rand(2, 3, 8, 9)), "square"),
    ],
)
def test_bad_settings(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_compose_takes_transforms_only():
    with pytest.raises(TypeError, match="Compose"):
        augment.Compose([augment.RandomFlip()])


def test_generator_on_another_device():
    elsewhere = pictures(2).to("meta")
    with pytest.raises(ValueError, match="generator lives on cpu"):
        augment.RandomFlip()(elsewhere, seed(0))

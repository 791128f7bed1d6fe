"""Image sets: parts that belong together stay together, draws are balanced, wrong input gets one sentence."""

import numpy as np
import pytest
import torch

from sslcourse.data import ImageSet, as_float
from sslcourse.data.images.sets import balanced


def numbered(n=12, k=3, **changes):
    """A set in which every part tells the number of its image."""
    number = torch.arange(n)
    parts = dict(
        images=number.to(torch.uint8)[:, None, None, None].expand(n, 3, 4, 5).contiguous(),
        labels=number % k,
        class_names=[f"kind {i}" for i in range(k)],
        name="numbered",
        split="train",
        factors={"number": number, "pair": torch.stack([number, -number], 1)},
        masks=(number % 2 == 0)[:, None, None, None].expand(n, 1, 4, 5),
        captions=[f"image {i}" for i in range(n)],
    )
    return ImageSet(**(parts | changes))


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (slice(2, 9, 3), [2, 5, 8]),
        (slice(10, None), [10, 11]),
        (slice(None, None, -4), [11, 7, 3]),
        (torch.arange(12) > 9, [10, 11]),
        ([True] * 2 + [False] * 10, [0, 1]),
        (torch.tensor([5, 5, 0]), [5, 5, 0]),
        (np.array([-1, 3]), [11, 3]),
        (torch.tensor([1, 2], dtype=torch.uint8), [1, 2]),  # positions, though torch itself takes bytes for a mask
        ([7, 1], [7, 1]),
        ([], []),
        (4, [4]),
        (-1, [11]),
    ],
    ids=str,
)
def test_indexing_keeps_every_part_with_its_image(index, expected):
    expected = np.array(expected, dtype=int)
    chosen = numbered()[index]
    assert len(chosen) == len(expected)
    assert chosen.images[:, 0, 0, 0].tolist() == expected.tolist() and chosen.images.shape[1:] == (3, 4, 5)
    assert chosen.labels.tolist() == (expected % 3).tolist()
    assert chosen.factors["number"].tolist() == expected.tolist()
    assert chosen.factors["pair"][:, 1].tolist() == (-expected).tolist()
    assert chosen.masks[:, 0, 0, 0].tolist() == (expected % 2 == 0).tolist()
    assert chosen.captions == tuple(f"image {i}" for i in expected)
    assert (chosen.name, chosen.split, chosen.class_names) == ("numbered", "train", ("kind 0", "kind 1", "kind 2"))


def test_a_set_without_extras_stays_without():
    chosen = numbered(factors=None, masks=None, captions=None)[:5]
    assert chosen.factors is None and chosen.masks is None and chosen.captions is None
    assert repr(chosen) == "ImageSet(numbered train: 5 images, 3 x 4 x 5, 3 classes)"
    assert repr(numbered()).endswith("3 classes, with factors, masks, captions)")


def test_a_for_loop_ends():
    assert [image.captions[0] for image in numbered(n=3)] == ["image 0", "image 1", "image 2"]


@pytest.mark.parametrize("index", [torch.tensor([12]), [-13], torch.ones(11, dtype=torch.bool), 12])
def test_positions_outside_are_refused(index):
    with pytest.raises(IndexError):
        numbered()[index]


@pytest.mark.parametrize("index", [torch.tensor([0.5]), torch.zeros(2, 2, dtype=torch.int64)])
def test_what_is_no_index_is_refused(index):
    with pytest.raises(TypeError, match="indexed by a slice, a bool mask or a list of positions"):
        numbered()[index]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        (dict(images=torch.zeros(12, 3, 4, 5)), ValueError, "torch.float32 .* holds torch.uint8 of shape"),
        (dict(images=torch.zeros(12, 4, 5, dtype=torch.uint8)), ValueError, r"shape \(12, 4, 5\).*\(N, C, H, W\)"),
        (dict(images=np.zeros((12, 3, 4, 5), np.uint8)), TypeError, "torch tensors, not ndarray"),
        (dict(labels=[0] * 12), TypeError, "torch tensors, not list"),
        (dict(labels=torch.zeros(12)), ValueError, "labels .* torch.float32; they should be torch.int64"),
        (dict(labels=torch.zeros(11, dtype=torch.int64)), ValueError, "12 images but 11 labels"),
        (dict(labels=torch.full((12,), 3)), ValueError, "from 3 to 3; with 3 classes .* between -1 and 2"),
        (dict(labels=torch.full((12,), -2)), ValueError, "between -1 and 2"),
        (dict(labels=torch.zeros(12, 4, dtype=torch.int64)), ValueError, r"\(12, 4\); they .* \(N,\), or \(N, 3\)"),
        (dict(labels=torch.full((12, 3), 2)), ValueError, "between 0 and 1"),
        (dict(masks=torch.zeros(3, 1, 4, 5, dtype=torch.bool)), ValueError, "12 images but 3 masks"),
        (dict(masks=torch.zeros(12, 1, 4, 5)), TypeError, "masks .* are torch.float32; they should be torch.bool"),
        (dict(captions=["one"]), ValueError, "12 images but 1 captions"),
        (dict(factors={"hue": torch.zeros(2)}), ValueError, "12 images but 2 hue"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, error, words):
    with pytest.raises(error, match=words):
        numbered(**changes)


def dealt(labels, n, seed):
    """The slow way: how many of each class a dealer hands out, one of each class a round while it has any."""
    left = {label: labels.count(label) for label in set(labels)}
    counts = dict.fromkeys(left, 0)
    while sum(counts.values()) < n:
        for label in left:
            if left[label] and sum(counts.values()) < n:
                left[label] -= 1
                counts[label] += 1
    return sorted(counts.values())


@pytest.mark.parametrize("n", [1, 7, 30, 31, 44, 60])
@pytest.mark.parametrize("sizes", [(20, 20, 20), (3, 17, 40), (60,)])
def test_a_subset_is_as_balanced_as_can_be(sizes, n):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    for seed in range(3):
        chosen = balanced(labels, n, seed, "labels")
        counts = labels[chosen].bincount(minlength=len(sizes))
        assert len(set(chosen.tolist())) == n
        assert sorted(counts.tolist()) == dealt(labels.tolist(), n, seed)


def test_a_subset_is_the_same_for_its_seed_only_and_shuffled():
    images = numbered(n=240)
    assert images.subset(60, seed=1).captions == images.subset(60, seed=1).captions
    assert images.subset(60, seed=1).captions != images.subset(60, seed=2).captions
    order = images.subset(60).labels.tolist()
    assert order != sorted(order) and order != [i % 3 for i in range(60)]
    assert images.subset(60).images[:, 0, 0, 0].tolist() == images.subset(60).factors["number"].tolist()


def test_smaller_subsets_are_part_of_larger_ones():
    labels = torch.arange(100) % 7
    draws = [set(balanced(labels, n, 5, "labels").tolist()) for n in range(1, 101)]
    assert all(small < large for small, large in zip(draws, draws[1:], strict=False))


def test_the_class_that_gets_one_more_is_drawn():
    labels = torch.arange(100) % 10
    assert len({labels[balanced(labels, 1, seed, "labels")].item() for seed in range(40)}) >= 8


def test_several_labels_an_image_are_drawn_plainly():
    several = numbered(labels=torch.eye(3, dtype=torch.int64).repeat(4, 1))
    assert len(set(several.subset(7).captions)) == 7


@pytest.mark.parametrize("n", [0, -1, 13])
def test_a_subset_of_impossible_size_is_refused(n):
    with pytest.raises(ValueError, match=f"numbered train has 12 images, so n should be from 1 to 12, not {n}"):
        numbered().subset(n)


def test_bytes_become_numbers_between_0_and_1():
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    assert as_float(values).dtype == torch.float32
    np.testing.assert_array_equal(as_float(values).flatten().numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_are_passed_on_as_they_are(dtype):
    images = torch.rand(2, 3, 4, 4).to(dtype)
    assert as_float(images) is images
    assert as_float(images[:0]).shape == (0, 3, 4, 4)


def test_gradients_pass_and_rounding_is_forgiven():
    images = torch.tensor([-1e-6, 0.5, 1 + 1e-6], requires_grad=True)
    as_float(images).sum().backward()
    assert images.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.tensor([0.0, 200.0]), "run from 0 to 200: divide them by 255"),
        (torch.tensor([-2.1, 2.3]), r"run from -2.1 to 2.3: undo their normalisation"),
        (torch.tensor([0.1, 1.5]), "run from 0.1 to 1.5: undo"),
        (torch.tensor([0.1, float("nan")]), "finite"),
        (torch.tensor([0.1, float("inf")]), "finite"),
        (torch.tensor([0, 1]), "uint8 or float .* torch.int64"),
        (torch.tensor([True]), "uint8 or float .* torch.bool"),
        (torch.tensor([1j]), "uint8 or float .* torch.complex64"),
    ],
)
def test_what_is_no_image_is_refused(images, words):
    with pytest.raises(ValueError, match=words):
        as_float(images)

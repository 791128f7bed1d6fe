"""RELAX in its production form: equal to the exercises, plain words for bad input, large images in little memory."""

import pytest
import torch
from torch import nn

from sslcourse import evaluate, models
from sslcourse.check.bonus import oracle


def image(size=8, channels=3):
    return torch.rand(channels, size, size, generator=torch.Generator().manual_seed(1))


def masks(n=6, size=8):
    return evaluate.sample_masks(n, 4, size, generator=torch.Generator().manual_seed(2))


def encode(images):
    return images.flatten(1).cumsum(1).sin()


def test_relax_equals_the_definition_in_any_batches():
    wanted = oracle.relax(encode, image().double(), masks(20).double())
    for batch_size in (1, 7, 256):
        for came, should in zip(evaluate.relax(encode, image(), masks(20), batch_size), wanted, strict=True):
            torch.testing.assert_close(came.double(), should, atol=1e-5, rtol=0)


def test_the_uncertainty_of_a_constant_encoder_is_zero_and_never_negative():
    importance, uncertainty = evaluate.relax(lambda x: torch.ones(len(x), 7), image(), masks(50))
    assert float(uncertainty.abs().max()) < 1e-12 and float((importance - 1).abs().max()) < 1e-6


def test_uint8_images_are_as_good_as_floats():
    stored = (image() * 255).round().to(torch.uint8)
    both = [evaluate.relax(encode, x, masks()) for x in (stored, stored / 255)]
    assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))


def test_a_pixel_that_no_mask_shows_is_unknown():
    hidden = masks()
    hidden[:, :, 0, 0] = 0
    importance, uncertainty = evaluate.relax(encode, image(), hidden)
    assert importance.isnan().sum() == uncertainty.isnan().sum() == 1 and importance[0, 0].isnan()


def test_masks_are_the_same_for_the_same_generator_state_and_fit_any_size():
    for grid, size in ((1, 1), (1, 9), (7, 30), (9, 9)):
        one, two = (evaluate.sample_masks(3, grid, size, 0.4, torch.Generator().manual_seed(5)) for _ in range(2))
        assert one.shape == (3, 1, size, size) and torch.equal(one, two)
        assert 0 <= float(one.min()) <= float(one.max()) <= 1


def test_a_known_part_of_the_image_is_found():
    importance, _ = evaluate.relax(lambda x: x[:, :, 16:, :16].flatten(1), image(32), masks(2000, 32))
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[16:, :16] = True
    assert (importance[inside][:, None] > importance[~inside]).float().mean() > 0.95


def test_insertion_and_deletion_begin_and_end_where_they_must():
    # Of an encoder that hands the pixels through, the bright ones are what the representation is made of.
    def pixels(images):
        return images.flatten(1)

    importance = image().square().sum(dim=0)
    insertion, deletion, area_in, area_out = evaluate.insertion_deletion(pixels, image(), importance, 10)
    assert insertion[-1] == pytest.approx(1) and deletion[0] == pytest.approx(1)
    assert insertion[0] == deletion[-1] == 0
    assert isinstance(area_in, float) and 0 < area_out < area_in < 1
    uneven = evaluate.insertion_deletion(encode, image(), importance, 3)  # 64 pixels in three steps: 0, 21, 43, 64
    assert len(uneven[0]) == 4


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: evaluate.sample_masks(5, 4, 16, keep=0.0), "keep is 0.0; .* above 0 and below 1"),
        (lambda: evaluate.sample_masks(5, 4, 16, keep=1.0), "keep is 1.0"),
        (lambda: evaluate.sample_masks(5, 17, 16), "grid of 17 cells does not fit 16 pixels"),
        (lambda: evaluate.sample_masks(5, 0, 16), "grid of 0 cells"),
        (lambda: evaluate.sample_masks(0, 4, 16), "at least one mask"),
        (lambda: evaluate.relax(encode, image(), masks(size=9)), r"masks are \(6, 1, 9, 9\); .* \(n, 1, 8, 8\)"),
        (lambda: evaluate.relax(encode, image(), masks()[:0]), "n at least 1"),
        (lambda: evaluate.relax(encode, image(), masks()[:, 0]), r"should be \(n, 1, 8, 8\)"),
        (lambda: evaluate.relax(encode, image()[:, :, :6], masks()), "one square image"),
        (lambda: evaluate.relax(encode, image()[None], masks()), "one square image"),
        (lambda: evaluate.relax(nn.Conv2d(3, 4, 3), image(), masks()), r"returned shape \(1, 4, 6, 6\) .* flatten"),
        (lambda: evaluate.relax(encode, 2 * image(), masks()), r"should lie in \[0, 1\]"),
        (lambda: evaluate.insertion_deletion(encode, image(), torch.rand(4, 4), 3), r"importance is \(4, 4\)"),
        (lambda: evaluate.insertion_deletion(encode, image(), torch.full((8, 8), torch.nan), 3), "a finite number"),
        (lambda: evaluate.insertion_deletion(encode, image(), torch.rand(8, 8), 65), "from 1 to the 64 pixels"),
        (lambda: evaluate.insertion_deletion(encode, image(), torch.rand(8, 8), 0), "steps is 0"),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_it_works_with_the_backbones_of_the_course():
    encoder = models.backbone("conv4_gn").train()
    importance, uncertainty = evaluate.relax(encoder, image(32), masks(10, 32))
    assert encoder.training and importance.shape == uncertainty.shape == (32, 32)

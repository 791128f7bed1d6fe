"""Masks of the library: exact counts, independent rows, blocks anywhere, one sentence for bad input."""

import pytest
import torch

from sslcourse import augment
from sslcourse.check import week08 as check


def seed(n: int) -> torch.Generator:
    return torch.Generator().manual_seed(n)


@pytest.mark.parametrize("n, length, ratio", [(1, 16, 0.75), (9, 49, 0.6), (3, 2, 0.5), (5, 196, 0.999), (4, 7, 0.2)])
def test_random_mask_has_an_exact_count(n, length, ratio):
    mask = augment.random_mask(n, length, ratio, seed(0))
    assert mask.dtype == torch.bool and mask.shape == (n, length)
    assert (mask.sum(dim=1) == int(ratio * length)).all()


def test_both_pass_the_checks_of_the_exercises(capsys):
    check.random_mask(lambda n, n_patches, ratio, generator=None: augment.random_mask(n, n_patches, ratio, generator))
    check.block_mask(lambda grid, ratio, generator=None: augment.block_mask(grid, ratio, generator))
    assert "random_mask: right." in (printed := capsys.readouterr().out) and "block_mask: right." in printed


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (4, 4), (14, 14), (3, 20)])
@pytest.mark.parametrize("ratio", [0.05, 0.4, 0.75, 0.97])
def test_block_mask_has_an_exact_count(grid, ratio):
    masked = int(ratio * grid[0] * grid[1])
    if masked == 0:
        with pytest.raises(ValueError, match="masks none"):
            augment.block_mask(grid, ratio)
        return
    for n in range(20):
        assert int(augment.block_mask(grid, ratio, seed(n)).sum()) == masked


def test_four_patches_lie_together():
    """The smallest block is enough: 2 x 2, or cut from 2 x 3; sometimes 1 x 3, and the fourth elsewhere."""
    sides = []
    for n in range(100):
        rows, columns = augment.block_mask((14, 14), 4.5 / 196, seed(n)).nonzero().T
        sides.append((int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1))
    assert sum(height * width <= 6 for height, width in sides) > 50
    assert {(2, 2), (2, 3)} <= set(sides)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: augment.random_mask(2, 16, 0.0), "nothing to predict"),
        (lambda: augment.random_mask(2, 16, -0.5), "nothing to predict"),
        (lambda: augment.random_mask(2, 16, 1.0), "nothing to see"),
        (lambda: augment.random_mask(2, 16, 75), "nothing to see"),
        (lambda: augment.random_mask(2, 16, float("nan")), "mask ratio of nan"),
        (lambda: augment.random_mask(2, 16, 0.05), "masks none of 16 patches"),
        (lambda: augment.random_mask(0, 16, 0.5), "at least 1"),
        (lambda: augment.block_mask((4, 4), 1.0), "nothing to see"),
        (lambda: augment.block_mask((4, 4), 0), "nothing to predict"),
        (lambda: augment.block_mask((0, 4), 0.5), "is empty"),
    ],
)
def test_bad_input_gets_one_sentence(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)

"""What is told where no mistake has a name: a relation that holds for all numbers, and none where one would be luck."""

import pytest
import torch

from sslcourse.check.relation import related

RIGHT = [0.7, -1.3, 2.6, 0.2]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda x: 2 * x, "twice what it should be"),
        (lambda x: -x, "with the other sign"),
        (lambda x: 100 * x, "a percentage"),
        (lambda x: x / 0.6931472, "base 2"),
        (lambda x: 0.37 * x, "0.37 times"),
        (lambda x: abs(x), "without its sign"),
        (lambda x: max(x, 0.0), "cut off below 0"),
        (lambda x: x**2, "the square of"),
        (lambda x: 1 - x, "one minus"),
        (lambda x: x + 0.25, "too large by 0.25"),
        (lambda x: x - 3, "too small by 3"),
        (lambda x: float(torch.tensor(x).sigmoid()), "the sigmoid of"),
        (lambda x: round(x), "rounded"),
        (lambda x: x, ""),
        (lambda x: x * x - x + 1, ""),
        (lambda x: float("nan"), ""),
        (lambda x: 0.0, ""),
    ],
)
def test_numbers(made, words):
    told = related([made(x) for x in RIGHT], RIGHT)
    assert words in told if words else told == ""


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (lambda n, d: n, "times N, the rows"),
        (lambda n, d: 1 / d, "divided by D, the last dimension"),
        (lambda n, d: n / (n - 1), "times N / (N - 1)"),
        (lambda n, d: n * d, "times N D, all numbers"),
    ],
)
def test_factors_that_change_with_the_shape(factor, words):
    cases = [(torch.zeros(n, d),) for n, d in ((4, 3), (7, 2), (5, 5))]
    right = [0.5, 1.5, -2.0]
    values = [x * factor(*case[0].shape) for x, case in zip(right, cases, strict=True)]
    assert words in related(values, right, cases=cases)
    assert related(values, right) == ""  # nobody knows the shapes


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda x: x.flip(0), "in reverse order"),
        (lambda x: x.cumsum(0), "added up one after another"),
        (lambda x: x.softmax(0), "a softmax"),
        (lambda x: x - x.mean(), "without their mean"),
        (lambda x: (x - x.mean()) / x.std(), "standardised"),
        (lambda x: x / x.norm(), "divided by their length"),
    ],
)
def test_entries(made, words):
    right = [torch.tensor([0.3, -1.2, 2.0, 0.9]), torch.tensor([1.0, 0.1, -0.4])]
    assert words in related([made(x) for x in right], right)
    alone = torch.tensor([0.8])  # of a single entry nothing is told
    assert words in related([*map(made, right), alone * torch.nan], [*right, alone])


def test_a_single_number_or_equal_ones_tell_nothing():
    assert related([2.0], [1.0]) == ""
    assert related([2.0, 2.0], [1.0, 1.0]) == ""
    assert related([0.0, 0.0, 0.0], [0.4, 1.0, 0.7]) == ""  # a constant is not "cut off above 0"
    assert "cut off above 0" in related([0.0, -0.5, 0.0], [0.4, -0.5, 0.7])

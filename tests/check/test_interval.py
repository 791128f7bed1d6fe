"""Prediction intervals: against the formula by hand, and by simulated notebooks of which too few may raise an alarm."""

import math
import re
from pathlib import Path

import pytest
import torch

from sslcourse.check import interval


def test_the_interval_of_a_textbook():
    """Two seeds have Student's t with one degree of freedom, whose quantile is a tangent."""
    low, high = interval.prediction({"mean": 10.0, "std": 2.0}, 2, 1)
    half = math.tan(math.pi * (0.5 - interval.ALARM / 2)) * 2.0 * math.sqrt(1.5)
    assert (low, high) == pytest.approx((10 - half, 10 + half))


@pytest.mark.parametrize("once", [{"mean": 0.5, "std": None}, {"mean": math.nan, "std": 0.1}])
def test_nothing_is_said_where_nothing_is_known(once):
    assert interval.prediction(once, 3, 7) is None
    assert interval.prediction({"mean": 0.5, "std": 0.1}, 1, 7) is None


def test_an_interval_is_not_narrower_than_the_sampling_error():
    narrow = interval.prediction({"mean": 0.9, "std": 0.0}, 3, 1)
    low, high = interval.prediction({"mean": 0.9, "std": 0.0}, 3, 1, tested=100)
    z = 2.807  # of the standard normal, 0.25 % on either side
    assert (high - low) / 2 == pytest.approx(z * math.sqrt(0.9 * 0.1 / 100) * math.sqrt(4 / 3), rel=0.05)
    assert (narrow[1] - narrow[0]) / 2 == pytest.approx(z * 0.009 * math.sqrt(4 / 3), rel=0.001)
    assert interval.sampling_error(1.0, 100) > 0.005 and interval.sampling_error(4.2, 100) == 0


@pytest.mark.parametrize("results", [7, 20])
@pytest.mark.parametrize("seeds", [3, 5])
def test_fewer_than_one_right_notebook_in_a_hundred_raises_an_alarm(seeds, results):
    """40,000 notebooks whose results differ by the seed alone, half of them correlated; deviations large enough that
    the floors do not help."""
    random = torch.Generator().manual_seed(0)
    runs = torch.randn(40_000, seeds + 1, results, generator=random, dtype=torch.float64)
    runs[:20_000] += torch.randn(20_000, seeds + 1, 1, generator=random, dtype=torch.float64)
    past, now = runs[:, :-1], runs[:, -1]
    mean, deviation = past.mean(dim=1), past.std(dim=1)
    low, high = interval.prediction({"mean": 0.0, "std": 1.0}, seeds, results)
    alarms = ((now - mean).abs() > high * deviation).any(dim=1).double().mean()
    assert alarms < 0.008  # 0.005 expected, at most; three standard errors of this simulation are 0.001

    # Right is no reason to be blind: a result that another setting moved by 20 deviations is told, after five seeds.
    five = interval.prediction({"mean": 0.0, "std": 1.0}, 5, results)
    assert five[1] < 14 and interval.prediction({"mean": 0.0, "std": 1.0}, 3, results)[1] > 40


@pytest.mark.parametrize("seeds", [3, 5])
def test_accuracies_of_one_encoder_on_new_test_sets_raise_no_alarm_either(seeds):
    """Binomial results, in steps of one image, where three seeds are often equal by chance: the floor's own case."""
    counts = torch.distributions.Binomial(50, torch.tensor(0.98))
    torch.manual_seed(0)
    shares = counts.sample((3000, seeds + 1, 7)).double() / 50
    past = torch.stack([shares[:, :-1].mean(dim=1), shares[:, :-1].std(dim=1)]).reshape(2, -1)
    kinds, of_kind = past.unique(dim=1, return_inverse=True)  # few, which saves thousands of quantiles
    once = [{"mean": mean, "std": std} for mean, std in kinds.T.tolist()]
    bounds = torch.tensor([interval.prediction(one, seeds, 7, tested=50) for one in once], dtype=torch.float64)
    low, high = bounds[of_kind].reshape(len(shares), 7, 2).unbind(dim=2)
    alarms = ((shares[:, -1] < low) | (shares[:, -1] > high)).any(dim=1)
    assert alarms.double().mean() < 0.01


def test_one_definition_of_plus_and_minus():
    """The sample deviation, n - 1, wherever a spread is printed or drawn; what standardises data divides by n."""
    folder = Path(__file__).parents[2] / "notebooks" / "source"
    other = re.compile(r"\.std\([^)\n]*(correction\s*=\s*0|unbiased\s*=\s*False|ddof)|pstdev|np\.std|numpy\.std")
    found = [f"{path.name}: {line}" for path in folder.glob("*.py") for line in path.read_text().split("\n")]
    assert [line for line in found if other.search(line)] == []
    assert interval.spread({"std": 0.0123}, 3) == "+- 0.012" and interval.spread({"std": 0.0}, 1) == "(1 seed)"

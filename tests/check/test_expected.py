"""What the recorded results must show in the mean over seeds, where one run may miss it."""

import pytest

from sslcourse.check import recorded


@pytest.mark.parametrize(
    ("week", "better", "worse", "at_least"),
    [("week05", "scan_acc", "kmeans_acc", 0.05), ("week07", "live_knn", "random_knn", 0.01)],
)
def test_the_mean_over_recorded_seeds_shows_it(week, better, worse, at_least):
    tiny = recorded.expected(week)["tiny"]
    assert len(tiny["recorded"]["seeds"]) >= 3
    assert tiny["metrics"][better]["mean"] - tiny["metrics"][worse]["mean"] >= at_least

"""The linear probe and the interval of an accuracy."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sslcourse.evaluate import knn_accuracy, linear_probe, logistic, wilson_interval
from sslcourse.evaluate.logistic import Logistic


def classes(n, d=12, k=4, spread=0.8, seed=0):
    """k Gaussian classes with correlated features of very different scale."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % k
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(77))
    x = spread * centres[labels] + torch.randn(n, d, generator=generator)
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(78))
    return (x @ mix) * torch.logspace(-2, 2, d) + 5, labels


TRAIN, TEST = classes(400), classes(300, seed=1)


@pytest.mark.parametrize("C", [0.01, 1.0, 10.0])
def test_probe_is_sklearns_optimum(C):
    probe = linear_probe(*TRAIN, *TEST, Cs=(C,))
    exact = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-8, max_iter=100_000))
    exact.fit(TRAIN[0].double().numpy(), TRAIN[1].numpy())
    # Of 300 test samples one may lie on the border.
    assert abs(probe.accuracy - exact.score(TEST[0].double().numpy(), TEST[1].numpy())) <= 1 / 300 + 1e-9
    assert probe.C == C and math.isnan(probe.val_accuracy)
    assert (probe.low, probe.high) == wilson_interval(probe.accuracy, 300)
    assert 0.5 < probe.low < probe.accuracy < probe.high < 1


@pytest.mark.parametrize(
    ("n", "d", "k", "C", "spread"),
    [
        (300, 12, 2, 1.0, 0.8),
        (300, 12, 2, 0.01, 0.3),
        (60, 100, 5, 1.0, 0.1),
        (300, 20, 25, 10.0, 0.5),
        (4, 12, 4, 1, 1),
    ],
)
def test_weights_are_sklearns(n, d, k, C, spread):
    """Two classes, whose weights scikit-learn counts once; more features than samples; many classes; one label each."""
    x, y = classes(n, d, k, spread)
    x = ((x - x.mean(dim=0)) / x.std(dim=0, correction=0)).double().numpy()
    ours, exact = Logistic(x, 3 * y.numpy() + 5), LogisticRegression(C=C, tol=1e-9, max_iter=100_000).fit(x, y.numpy())
    ours.fit(C)
    weights = (ours.weights - ours.weights.mean(axis=1, keepdims=True))[:-1].T
    theirs = exact.coef_ if k > 2 else np.concatenate([-exact.coef_, exact.coef_]) / 2
    np.testing.assert_allclose(weights, theirs, atol=3e-3 * abs(theirs).max())
    assert (ours.predict(x) == 3 * exact.predict(x) + 5).all()


@pytest.mark.parametrize("C", [1e-100, 1e-20, 1e10, 1e100])
def test_no_penalty_is_too_small_or_too_large(C):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert linear_probe(*TRAIN, *TEST, Cs=(C,)).accuracy > 0.5


@pytest.mark.parametrize("C", [1e4, 1e5])
def test_separated_classes_are_fitted_to_the_end(C):
    """Where hardly any loss is left, a gradient is small long before the optimum is reached."""
    generator = torch.Generator().manual_seed(0)
    y, centres = torch.arange(60) % 3, torch.randn(3, 60, generator=generator)
    x = centres[y] + 1.5 * torch.randn(60, 60, generator=generator)
    x = ((x - x.mean(dim=0)) / x.std(dim=0, correction=0)).double().numpy()
    ours, exact = Logistic(x, y.numpy()), LogisticRegression(C=C, tol=1e-11, max_iter=100_000).fit(x, y.numpy())
    ours.fit(C)
    theirs = exact.coef_.T
    weights = (ours.weights - ours.weights.mean(axis=1, keepdims=True))[:-1]
    cosine = (weights * theirs).sum() / np.linalg.norm(weights) / np.linalg.norm(theirs)
    assert cosine > 0.998  # where the gradient alone decides, 0.93 and 0.74


def test_c_is_chosen_on_a_part_of_train_and_all_of_train_is_fitted():
    # Many features and few samples: a strong penalty is needed, and the choice shows.
    train, test = classes(80, d=60, spread=0.3), classes(400, d=60, spread=0.3, seed=1)
    Cs = (10.0, 0.0001, 0.01)
    probe = linear_probe(*train, *test, Cs=Cs, val_fraction=0.25)
    single = {C: linear_probe(*train, *test, Cs=(C,)) for C in Cs}
    assert probe.accuracy == pytest.approx(single[probe.C].accuracy, abs=1 / 400 + 1e-9)
    assert probe.val_accuracy * 20 == pytest.approx(round(probe.val_accuracy * 20))  # a quarter of 80
    # Nothing of the test set goes into the choice.
    again = linear_probe(*train, torch.randn(50, 60), torch.arange(50) % 4, Cs=Cs, val_fraction=0.25)
    assert (again.C, again.val_accuracy) == (probe.C, probe.val_accuracy)


def test_of_equal_validation_accuracies_the_smaller_c_wins():
    train = classes(80, spread=50.0)
    assert linear_probe(*train, *train, Cs=(10.0, 1.0, 100.0)).C == 1.0


def test_the_choice_depends_on_the_seed_only():
    a, b = (linear_probe(*TRAIN, *TEST, seed=3) for _ in range(2))
    assert a == b
    assert len({linear_probe(*TRAIN, *TEST, seed=seed).val_accuracy for seed in range(4)}) > 1


def test_constant_and_scaled_features_do_not_matter():
    plain = linear_probe(*TRAIN, *TEST)

    def changed(x):
        return torch.cat([x * 1000, torch.full((len(x), 1), 7.3), torch.zeros(len(x), 1)], dim=1)

    assert linear_probe(changed(TRAIN[0]), TRAIN[1], changed(TEST[0]), TEST[1]).accuracy == pytest.approx(
        plain.accuracy, abs=1 / 300 + 1e-9
    )


def test_labels_may_have_gaps_and_one_label_a_class_is_enough():
    names = torch.tensor([3, 900, 17, 5])
    plain = linear_probe(*TRAIN, *TEST, Cs=(1.0,))
    assert linear_probe(TRAIN[0], names[TRAIN[1]], TEST[0], names[TEST[1]], Cs=(1.0,)).accuracy == plain.accuracy
    assert linear_probe(TRAIN[0][:4], TRAIN[1][:4], *TEST, Cs=(1.0,)).accuracy > 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probe_converges_without_a_word_and_leaves_its_input_alone(dtype):
    x = TRAIN[0].to(dtype, copy=True)
    test, kept = (TEST[0].to(dtype, copy=True), TEST[1]), (x.clone(), TEST[0].to(dtype, copy=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_probe(x, TRAIN[1], *test, Cs=(0.01, 1.0, 100.0))
        separable = classes(80, spread=50.0)
        linear_probe(*separable, *separable, Cs=(1e-4, 1.0, 1e4))
    assert torch.equal(x, kept[0]) and torch.equal(test[0], kept[1])


NAN = TRAIN[0].clone()
NAN[3, 2] = float("nan")


@pytest.mark.parametrize("measure", [linear_probe, lambda *sets: knn_accuracy(*sets, k=3)])
@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({0: NAN}, ValueError, "train_x holds NaN or infinite values in 1 of 400 rows"),
        ({2: TEST[0] / 0}, ValueError, "test_x holds NaN or infinite values in 300 of 300 rows"),
        ({0: TRAIN[0][:, :5]}, ValueError, "train_x has 5 features and test_x has 12"),
        ({0: TRAIN[0][:, :, None]}, ValueError, r"train_x has shape \(400, 12, 1\); expected \(N, D\)"),
        ({0: TRAIN[0][:0], 1: TRAIN[1][:0]}, ValueError, "train_x has 0 rows"),
        ({2: TEST[0][:0], 3: TEST[1][:0]}, ValueError, "test_x has 0 rows"),
        ({1: TRAIN[1][:-1]}, ValueError, r"train_y has shape \(399,\); expected \(400,\)"),
        ({1: TRAIN[1].float()}, TypeError, "train_y should hold whole numbers, but its type is torch.float32"),
        ({1: TRAIN[1] > 1}, TypeError, "train_y should hold whole numbers"),
        ({1: TRAIN[1] - 1}, ValueError, "train_y should count from 0, but holds -1"),
        ({1: TRAIN[1] * 0}, ValueError, "train_y holds only the class 0"),
        ({3: TEST[1] + 1}, ValueError, "test_y holds the class 4, which train_y does not have"),
    ],
)
def test_sets_that_do_not_fit_get_a_sentence(measure, change, error, sentence):
    sets = [change.get(i, part) for i, part in enumerate((*TRAIN, *TEST))]
    with pytest.raises(error, match=sentence):
        measure(*sets)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"Cs": ()}, "at least one number"),
        ({"Cs": (1.0, 0.0)}, "at least 1e-100"),
        ({"val_fraction": 1.0}, r"val_fraction lies in \(0, 1\)"),
    ],
)
def test_settings_of_the_probe_that_make_no_sense_get_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        linear_probe(*TRAIN, *TEST, **settings)


def test_one_label_a_class_leaves_nothing_to_choose_by():
    with pytest.raises(ValueError, match=r"the class 0 once.*Cs=\(1.0,\)"):
        linear_probe(TRAIN[0][:4], TRAIN[1][:4], *TEST)


# The interval


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (1, 1), (37, 100), (4999, 10_000)])
def test_interval_is_scipys(right, n, level):
    exact = binomtest(right, n).proportion_ci(level, method="wilson")
    assert wilson_interval(right / n, n, level) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    counts = rng.binomial(200, 0.83, size=4000)
    covered = np.mean([low <= 0.83 <= high for low, high in (wilson_interval(c / 200, 200) for c in counts)])
    assert 0.935 < covered < 0.97


@pytest.mark.parametrize(
    "arguments", [(1.2, 10), (-0.1, 10), (float("nan"), 10), (0.5, 0), (0.5, 10, 1.0), (0.5, 10, 0)]
)
def test_interval_says_what_it_needs(arguments):
    with pytest.raises(ValueError, match="lies in|at least one sample"):
        wilson_interval(*arguments)


def test_an_optimum_that_was_not_reached_is_told(monkeypatch):
    monkeypatch.setattr(logistic, "STEPS", 1)
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="A probe with C = 1 did not reach its optimum in 1 steps"):
        linear_probe(x, x.argmax(dim=1), x, x.argmax(dim=1))

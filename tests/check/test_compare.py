"""Comparing: which mistake is named, which case is shown, and numbers that differ where one looks."""

import numpy as np
import pytest
import torch
from harness import verdict

from sslcourse.check import Wrong
from sslcourse.check.compare import Mistake, agree, apart, claimed, close, gives, number, worst
from sslcourse.check.machinery import exercise

CASES = [(torch.tensor([1.0, 2.0]),), (torch.tensor([3.0, -1.0]),), (torch.tensor([0.5]),)]


def make(definition=lambda x: float(x.sum()), mistakes=(), **options):
    """A check of total(x), the sum."""

    @exercise("week97")
    def total(student):
        agree(student, CASES, definition, mistakes, words=lambda x: f"{len(x)} numbers", **options)
        return "The sum."

    return total


# --- named mistakes

MEAN = Mistake("it is the mean.", (lambda x: float(x.mean()),))
ABSOLUTE = Mistake("the signs are lost.", (lambda x: float(x.abs().sum()),))


def test_a_mistake_is_named_that_fits_all_cases():
    assert "looks as if it is the mean" in verdict(make(mistakes=(MEAN, ABSOLUTE)), lambda x: x.mean())[1]
    assert "looks as if the signs are lost" in verdict(make(mistakes=(MEAN, ABSOLUTE)), lambda x: x.abs().sum())[1]


def test_a_mistake_that_fits_only_the_case_that_is_shown_is_not_named():
    def other(x):
        return x.mean() if len(x) == 2 and x[1] > 0 else x.sum() + 1

    text = verdict(make(mistakes=(MEAN,)), other)[1]
    assert "On 2 numbers yours gives 1.5, it should be 3." in text and "looks as if" not in text


def test_a_result_that_is_just_off_is_nobodys_mistake():
    """The mistake differs from the definition by less than the tolerance in some cases, and so does what came."""
    nearly = Mistake("a small constant is added.", (lambda x: float(x.sum()) + 1.8e-4,))
    wrong = make(mistakes=(nearly,), tolerance=1e-4)
    assert "a small constant" not in verdict(wrong, lambda x: x.sum().double() + 1.1e-4 * max(1, x.sum().abs()))[1]
    assert claimed((nearly,), [CASES[0]], [3 + 1.1e-4], [3.0], 1e-4) == []
    assert claimed((nearly,), [CASES[0]], [3 + 1.8e-4], [3.0], 1e-5) == [nearly]
    assert claimed((nearly,), [CASES[0]], [3.0], [3.0], 1e-4) == []


def test_of_two_that_fit_the_small_case_decides():
    once = Mistake("each once.", (lambda x: float(x.unique().sum()) + 1,))
    plus = Mistake("one is added.", (lambda x: float(x.sum()) + 1,))
    small = (torch.tensor([2.0, 2.0]),)
    check = make(mistakes=(once, plus), small=small, hint="two.")
    assert "looks as if one is added" in verdict(check, lambda x: x.sum() + 1)[1]
    assert "looks as if each once" in verdict(check, lambda x: x.unique().sum() + 1)[1]


def test_of_two_readings_the_nearer_one_is_shown():
    readings = (lambda x: float(x.sum()), lambda x: float(10 * x.sum()))
    text = verdict(make(readings), lambda x: 10 * x.sum() if len(x) == 2 else x.sum() + 7)[1]
    assert "On 1 numbers yours gives 7.5, it should be 5." in text


def test_nan_where_a_mistake_gives_nan_is_no_contradiction_and_no_proof():
    half = Mistake("one number gives nothing.", (lambda x: float(x[1:].mean()),))
    assert claimed((half,), CASES, [2.0, -1.0, float("nan")], [3.0, 2.0, 0.5]) == [half]
    assert claimed((half,), CASES[2:], [float("nan")], [0.5]) == []
    assert claimed((half,), CASES, [2.0, float("nan"), float("nan")], [3.0, 2.0, 0.5]) == []


# --- the case to work out by hand


def test_a_case_by_hand_is_shown_only_where_it_fails():
    small = (torch.tensor([1.0, 1.0]),)
    check = make(small=small, hint="two ones.")
    assert "The inputs were x = [1, 1].\nTry that case by hand: two ones." in verdict(check, lambda x: x.sum() + 1)[1]
    text = verdict(check, lambda x: x.abs().sum())[1]  # right for what is positive
    assert "On 2 numbers yours gives 4, it should be 2." in text and "by hand" not in text


@pytest.mark.parametrize(("short", "fact"), [(1.0, True), (0.25, False)])
def test_what_holds_in_every_case_holds_in_the_one_by_hand_too(short, fact):
    check = make(small=(torch.tensor([1.0, 1.0, 1.0]),), hint="three ones.")
    text = verdict(check, lambda x: x.sum() + (short if len(x) == 3 else 1.0))[1]
    assert "Try that case by hand: three ones." in text
    assert ("In every case yours is too large by 1." in text) is fact


# --- numbers


@pytest.mark.parametrize(
    ("value", "wanted", "words"),
    [
        (1.931, 2.274, "yours gives 1.931, it should be 2.274."),
        (1.00012, 1.0, "yours gives 1.0001, it should be 1."),
        (1.0000123, 1.0, "yours gives 1.00001, it should be 1."),
        (-0.70000005, -0.70000002, "yours is off by 3e-08, it should be -0.7."),
        (float("nan"), 0.5, "yours gives nan, it should be 0.5."),
        (float("inf"), 1e9, "yours gives inf, it should be 1e+09."),
        (torch.tensor(2.0), 3, "yours gives 2, it should be 3."),
    ],
)
def test_numbers_that_are_shown_differ_visibly(value, wanted, words):
    assert gives(value, wanted) == words


def test_apart():
    assert apart(1.0004, 1.0) == ("1.0004", "1")
    assert apart(0.9999999, 1.0) == ("0.9999999", "1")
    assert apart(1 - 1e-12, 1.0)[0] != apart(1 - 1e-12, 1.0)[1]


def test_worst_is_where_they_differ_most():
    wanted = torch.arange(6.0).reshape(2, 3)
    value = wanted.clone()
    value[1, 2] += 0.5
    value[0, 1] -= 1
    assert worst(value, wanted) == ((0, 1), 0.0, 1.0)
    value[1, 0] = float("nan")
    assert worst(value, wanted)[0] == (1, 0)


@pytest.mark.parametrize("value", ["3.0", 2j, torch.tensor(2j), [1.0, 2.0], torch.ones(1), object(), {}, np.ones(2)])
def test_what_is_no_number(value):
    with pytest.raises(Wrong, match="it should be a scalar"):
        number(value)


@pytest.mark.parametrize("value", [2, 2.0, np.float64(2), np.float32(2), np.array(2.0), torch.tensor(2)])
def test_what_is_a_number(value):
    assert number(value) == 2.0


def test_close_is_relative_above_one_and_never_nan():
    assert close(1e6 + 50, 1e6) and not close(1e6 + 200, 1e6) and close(5e-5, 0.0) and not close(2e-4, 0.0)
    assert not close(float("nan"), float("nan")) and not close(torch.tensor([1.0, float("nan")]), torch.ones(2))

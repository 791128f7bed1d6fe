"""What may be wrong with the statistic of Epps and Pulley, each with the sentence that names it."""

from functools import partial
from math import exp, pi, sqrt

import torch
from torch import Tensor

from sslcourse.check.bonus_jepa.oracle import _statistic
from sslcourse.check.compare import Mistake


def _standardised(x: Tensor) -> Tensor:
    return (x - x.mean(dim=0)) / x.std(dim=0, unbiased=False)


def _two_sided(x: Tensor, knots: int = 17, t_max: float = 3.0) -> Tensor:
    """The same number of knots over [-t_max, t_max], so twice as far apart."""
    t = torch.linspace(-t_max, t_max, knots, dtype=x.dtype)
    normal = (-t.square() / 2).exp()
    xt = x[:, :, None] * t
    gaps = (xt.cos().mean(dim=0) - normal) ** 2 + xt.sin().mean(dim=0) ** 2
    return len(x) * torch.trapezoid(gaps * normal, t, dim=1)


def _wrong(**what) -> partial:
    return partial(_statistic, **what)


EPPS_PULLEY_MISTAKES = (
    Mistake(
        "the cosine part alone is compared: the characteristic function has a sine part too, whose target is 0. "
        "Without it x and -x mixed half and half look like x.",
        (_wrong(gap=lambda c, s, normal: (c - normal) ** 2),),
    ),
    Mistake(
        "the weight window is forgotten: every squared distance is multiplied by exp(-t^2/2) before it is summed.",
        (_wrong(window=lambda t: 1.0),),
    ),
    Mistake(
        "the mean over N is taken twice: the statistic is N times the integral, so that it does not shrink when the "
        "batch grows.",
        (_wrong(factor=lambda n: 1), _wrong(factor=lambda n: 1 / n)),
    ),
    Mistake(
        "N is replaced by its square root, its square or N - 1: the statistic is N times the integral.",
        (_wrong(factor=lambda n: n**0.5), _wrong(factor=lambda n: n**2), _wrong(factor=lambda n: n - 1)),
    ),
    Mistake(
        "the last knot is left out: in the trapezoidal rule it has half the weight of the others.",
        (_wrong(ends=0.0),),
    ),
    Mistake(
        "the mean over the knots is taken times their range: the first and the last have half the weight of others.",
        (lambda x, knots=17, t_max=3.0: _statistic(x, knots, t_max, ends=1.0) * (knots - 1) / knots,),
    ),
    Mistake(
        "there is one knot more or less than asked for: `knots` of them from 0 to t_max, both included.",
        tuple(lambda x, knots=17, t_max=3.0, one=one: _statistic(x, knots + one, t_max) for one in (1, -1)),
    ),
    Mistake(
        "the sine part alone is compared: the cosine part has the target exp(-t^2/2), and counts too.",
        (_wrong(gap=lambda c, s, normal: s**2),),
    ),
    Mistake(
        "the sine part is subtracted: the squared length of a complex number is the sum of both squares.",
        (_wrong(gap=lambda c, s, normal: (c - normal) ** 2 - s**2),),
    ),
    Mistake(
        "cosines and sines are summed over the values: take their means.",
        (
            lambda x, knots=17, t_max=3.0: _statistic(
                x, knots, t_max, gap=lambda c, s, normal: (len(x) * c - normal) ** 2 + (len(x) * s) ** 2
            ),
        ),
    ),
    Mistake(
        "it is multiplied by the number of columns: N is the number of values in a column.",
        (lambda x, knots=17, t_max=3.0: _statistic(x, knots, t_max, factor=lambda n: x.shape[1]),),
    ),
    Mistake(
        "the knots run from -t_max to t_max, and the integral is doubled all the same: from 0, or not doubled.",
        (lambda x, knots=17, t_max=3.0: 2 * _two_sided(x, knots, t_max),),
    ),
    Mistake(
        "the frequencies have a factor of 2 pi or pi before them: it is t x as it is, for t from 0 to t_max.",
        (_wrong(prepare=lambda x: 2 * pi * x), _wrong(prepare=lambda x: pi * x)),
    ),
    Mistake(
        "cosine and sine are added before they are squared: each difference has its own square.",
        tuple(_wrong(gap=lambda c, s, normal, by=by: (c - normal + by * s) ** 2) for by in (1, -1)),
    ),
    Mistake(
        "the squares are taken before the mean over the N values: first the means of cosines and sines, then squares.",
        (_wrong(gap=lambda c, s, normal: 1 - 2 * c * normal + normal**2),),
    ),
    Mistake(
        "the window is not exp(-t^2/2): it is its root, or its power.",
        tuple(_wrong(window=lambda t, by=by: exp(-(t**2) * by)) for by in (0.25, 0.125, 2.0)),
    ),
    Mistake(
        "one half of the integral is missing: knots lie in [0, t_max], the integral runs over [-t_max, t_max], so "
        "double it.",
        (_wrong(sides=1.0),),
    ),
    Mistake(
        "the ends count in full: in the trapezoidal rule the first and the last knot have half the weight.",
        (_wrong(ends=1.0),),
    ),
    Mistake(
        "the knots are not where they should be: there are `knots` of them from 0 to t_max, both included, so they are "
        "t_max / (knots - 1) apart.",
        (
            _wrong(step=lambda knots, t_max: t_max / knots),
            _wrong(step=lambda knots, t_max: t_max / (knots + 1)),
            lambda x, knots=17, t_max=3.0: _statistic(x, knots, t_max) * (knots - 1) / knots,
            lambda x, knots=17, t_max=3.0: (
                _statistic(x, knots, t_max, step=lambda n, end: end / n) * knots / (knots - 1)
            ),
            *(_wrong(start=start) for start in (1.0, 0.5, 0.2, 0.1, 0.05, 0.01, 0.001)),
        ),
    ),
    Mistake(
        "the knots are spread over [-t_max, t_max], twice as far apart: take them from [0, t_max] and double.",
        (_two_sided,),
    ),
    Mistake(
        "the distances are summed and not integrated: multiply by the distance between two knots.",
        tuple(
            lambda x, knots=17, t_max=3.0, ends=ends, sides=sides, mean=mean: (
                _statistic(x, knots, t_max, ends=ends, sides=sides) * (knots - 1) / t_max / (knots if mean else 1)
            )
            for ends, mean in ((0.5, False), (1.0, False), (1.0, True))
            for sides in (2.0, 1.0)
        ),
    ),
    Mistake(
        "the characteristic function of the normal distribution is exp(-t^2/2): the half is missing, or the square.",
        (
            _wrong(target=lambda t: exp(-(t**2)), window=lambda t: exp(-(t**2))),
            _wrong(target=lambda t: exp(-(t**2))),
            _wrong(window=lambda t: exp(-(t**2))),
            _wrong(target=lambda t: exp(-t / 2), window=lambda t: exp(-t / 2)),
        ),
    ),
    Mistake(
        "the density of the normal distribution is taken for its characteristic function: that is exp(-t^2/2), 1 at 0.",
        (
            _wrong(target=lambda t: exp(-(t**2) / 2) / sqrt(2 * pi)),
            _wrong(window=lambda t: exp(-(t**2) / 2) / sqrt(2 * pi)),
            _wrong(target=lambda t: exp(-(t**2) / 2) / sqrt(2 * pi), window=lambda t: exp(-(t**2) / 2) / sqrt(2 * pi)),
        ),
    ),
    Mistake(
        "the squares are missing: both differences are squared, then summed.",
        (
            _wrong(gap=lambda c, s, normal: ((c - normal) ** 2 + s**2).sqrt()),
            _wrong(gap=lambda c, s, normal: (c - normal).abs() + s.abs()),
            _wrong(gap=lambda c, s, normal: (c - normal) + s),
        ),
    ),
    Mistake(
        "the lengths are compared, and not the complex numbers: a shift turns the characteristic function without "
        "changing its length. Cosine and sine are compared one by one, with exp(-t^2/2) and 0.",
        (
            _wrong(gap=lambda c, s, normal: ((c**2 + s**2).sqrt() - normal) ** 2),
            _wrong(gap=lambda c, s, normal: (c**2 + s**2 - normal) ** 2),
        ),
    ),
    Mistake(
        "cosine and sine are both compared with exp(-t^2/2): the sine part of the normal distribution is 0.",
        (_wrong(gap=lambda c, s, normal: (c - normal) ** 2 + (s - normal) ** 2),),
    ),
    Mistake(
        "cosine and sine are swapped: the target of the cosine part is exp(-t^2/2), that of the sine part 0.",
        (_wrong(gap=lambda c, s, normal: c**2 + (s - normal) ** 2),),
    ),
    Mistake(
        "the columns are standardised first: then no shift and no scale can be seen, and these are what should be "
        "seen. (The test of 1983 does so, since it asks for any normal distribution.)",
        (
            _wrong(prepare=_standardised),
            _wrong(prepare=lambda x: (x - x.mean(dim=0)) / x.std(dim=0)),
            _wrong(prepare=lambda x: x / x.std(dim=0)),
        ),
    ),
    Mistake(
        "the mean of every column is taken off first: then no shift can be seen, and it should be.",
        (_wrong(prepare=lambda x: x - x.mean(dim=0)),),
    ),
    Mistake(
        "all columns are taken together: each has its own statistic, so average over dim=0 only.",
        (_wrong(over_all=True), lambda x, *rest: _statistic(x, *rest).mean().expand(x.shape[1])),
    ),
    Mistake("the argument knots is not used.", (_wrong(fixed=(17, None)), _wrong(fixed=(16, None)))),
    Mistake("the argument t_max is not used.", (_wrong(fixed=(None, 3.0)), _wrong(fixed=(None, 5.0)))),
)

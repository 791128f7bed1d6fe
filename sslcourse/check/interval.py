"""Where a result should fall when nothing differs from the recorded runs but the seed: prediction intervals.

For n recorded values with mean m and sample deviation s, another value of the same normal distribution lies within
m +- t s sqrt(1 + 1/n), t from Student's distribution with n - 1 degrees of freedom: three seeds know little of their
own spread, and t says how little (Hahn and Meeker 1991, *Statistical intervals*, section 4.7). A notebook reports many
results, so that each gets its share of the ALARM that all together may raise (Bonferroni).
"""

import math

ALARM = 0.005  # of runs that differ in nothing but the seed, this many at most have any result outside
OTHER_MACHINE = 0.01, 0.001  # relative and absolute deviation that another machine may bring


def prediction(once: dict, seeds: int, results: int, tested: int | None = None) -> tuple[float, float] | None:
    """(low, high) for one of `results` metrics; None where fewer than two seeds tell nothing of the spread.

    once: the recorded {"mean": ..., "std": sample deviation}. tested: of a share, such as an accuracy, the number of
    test samples behind it: the interval is never narrower than their sampling error alone would make it.
    """
    from scipy import stats

    mean, deviation = once["mean"], once["std"]
    if seeds < 2 or deviation is None or not math.isfinite(mean):
        return None
    tail = 1 - ALARM / results / 2
    known = max(OTHER_MACHINE[0] * abs(mean), OTHER_MACHINE[1], sampling_error(mean, tested))
    student, normal = float(stats.t.ppf(tail, seeds - 1)), float(stats.norm.ppf(tail))
    half = max(student * deviation, normal * known) * math.sqrt(1 + 1 / seeds)
    return mean - half, mean + half


def sampling_error(share: float, tested: int | None) -> float:
    """Standard error of a share of `tested` samples; 0 where it is none. One success and one failure are added, so
    that a share of 0 or 1 is no certainty."""
    if tested is None or not 0 <= share <= 1:
        return 0.0
    share = (share * tested + 1) / (tested + 2)
    return math.sqrt(share * (1 - share) / tested)


def spread(once: dict, seeds: int) -> str:
    """What stands behind a mean: "+- 0.012", the sample deviation (n - 1), or "(1 seed)", which has none."""
    return f"+- {once['std']:#.2g}" if seeds > 1 and once["std"] is not None else "(1 seed)"


def of_seeds(seeds: int) -> str:
    """ "1 seed", "3 seeds"."""
    return f"{seeds} seed{'s' * (seeds != 1)}"

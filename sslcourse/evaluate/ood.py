"""How well does a score tell in-distribution samples from others? Every score: higher = more in-distribution.

References: Hanley and McNeil 1982, "The meaning and use of the area under a receiver operating characteristic (ROC)
curve"; DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated ROC curves".
"""

import math

import torch

from sslcourse import arguments
from sslcourse.evaluate import inputs
from sslcourse.evaluate.interval import quantile, wilson_interval, within_ends


def auroc(in_scores: torch.Tensor, out_scores: torch.Tensor) -> float:
    """Chance that an in-distribution sample scores higher than another one, ties counted half.

    in_scores (N,), out_scores (M,): at least one each, infinite values allowed. 0.5 for scores that tell nothing.
    Raises ValueError for an empty set, another shape or NaN.
    """
    inside, outside = _both(in_scores, out_scores)
    return _share_below(outside, inside).mean().item()


def auroc_interval(in_scores: torch.Tensor, out_scores: torch.Tensor, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval (low, high) of the AUROC by DeLong's variance, normal on the logit scale.

    It covers the choice of both samples, not that of the training seed. Where that variance is 0 (an area of 0 or 1, or
    nothing but ties) and for a single sample on either side it is that of an accuracy on min(N, M) samples (Wilson).
    Raises ValueError as `auroc`, and for a level outside (0, 1).
    """
    inside, outside = _both(in_scores, out_scores)
    level = arguments.real("level", level)
    if not 0 < level < 1:
        raise ValueError(f"A confidence level lies in (0, 1), but it is {level}.")
    below = _share_below(outside, inside)  # (N,): of each inside sample, the share of the others that it beats
    above = 1 - _share_below(inside, outside)  # (M,): of each outside sample, the share of inside ones that beat it
    area = below.mean().item()
    smaller = min(len(inside), len(outside))
    variance = (below.var() / len(inside) + above.var() / len(outside)).item() if smaller > 1 else 0.0
    if not 0 < area < 1 or variance == 0:
        return wilson_interval(min(max(area, 0.0), 1.0), smaller, level)

    # On the logit scale the interval cannot leave (0, 1); the delta method divides by the slope there.
    half = quantile(level) * math.sqrt(variance) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return within_ends(_sigmoid(centre - half), area, _sigmoid(centre + half))


def fpr_at_95_tpr(in_scores: torch.Tensor, out_scores: torch.Tensor) -> float:
    """Share of out-of-distribution samples taken for in-distribution ones, where 95 % of the latter are recognised.

    in_scores (N,), out_scores (M,). The threshold is the highest score that at least 95 % of in_scores reach; a sample
    is taken for in-distribution where its score reaches it. Nothing is interpolated. Raises ValueError as `auroc`.
    """
    inside, outside = _both(in_scores, out_scores)
    needed = -(-95 * len(inside) // 100)  # the least number that is 95 % or more; whole numbers do not round
    threshold = inside.sort(descending=True).values[needed - 1]
    return (outside >= threshold).double().mean().item()


def _both(in_scores, out_scores) -> tuple[torch.Tensor, torch.Tensor]:
    return inputs.scores(in_scores, "in_scores"), inputs.scores(out_scores, "out_scores")


def _share_below(others: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """For each score the share of the others that lie below it, equal ones counted half; sorts, so no pairs."""
    ordered = others.sort().values
    left, right = (torch.searchsorted(ordered, scores, right=side) for side in (False, True))
    return (left + right).double() / (2 * len(others))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0

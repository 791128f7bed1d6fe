"""Predicted against true contacts: of the best L pairs, how many touch?

References: Rao et al. 2021, "Transformer protein language models are unsupervised structure learners", appendix
(precision of the top L pairs; short range 6 to 11, medium 12 to 23, long 24 residues and more).
"""

import warnings

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.evaluate import inputs


def precision_at_l(
    scores: Tensor,
    contacts: Tensor,
    min_separation: int = 6,
    max_separation: int | None = None,
    fraction: float = 1.0,
) -> float:
    """Share of true contacts among the int(fraction * L) pairs i < j with the highest scores, in [0, 1].

    scores: (L, L), higher where contact is more likely, read above the diagonal only. contacts: (L, L) bool or 0 and 1.
    Only pairs with min_separation <= j - i <= max_separation count (None: no upper end). At least one pair is taken,
    and where there are fewer than asked for, all of them, and the share is of those taken. Pairs that tie with the last
    one taken count by their mean, whatever their order: equal scores say nothing. NaN, with a warning, where
    no pair is in range. Raises ValueError for matrices that are not square or do not match, scores that are not finite
    or contacts that are neither 0 nor 1 in the range, and a range or fraction that makes no sense.
    """
    scores = inputs.floating(arguments.tensor("scores", scores, "(L, L)").detach().cpu(), "scores", double=True)
    contacts = arguments.tensor("contacts", contacts, "(L, L), bool or 0 and 1").detach().cpu()
    if contacts.is_complex():
        raise TypeError("contacts holds complex numbers; it should be bool, or 0 and 1.")
    fraction, min_separation = arguments.real("fraction", fraction), arguments.whole("min_separation", min_separation)
    max_separation = None if max_separation is None else arguments.whole("max_separation", max_separation)
    if scores.dim() != 2 or scores.shape[0] != scores.shape[1] or contacts.shape != scores.shape:
        raise ValueError(
            f"scores and contacts should both be (L, L); they are {tuple(scores.shape)} and {tuple(contacts.shape)}."
        )
    if not 0 < fraction < float("inf"):
        raise ValueError(f"fraction should be a positive number such as 0.5, but it is {fraction}.")
    if min_separation < 1 or (max_separation is not None and max_separation < min_separation):
        raise ValueError(
            f"The separations should satisfy 1 <= min_separation <= max_separation, but they are {min_separation} and "
            f"{max_separation}."
        )

    length = len(scores)
    i, j = torch.triu_indices(length, length, min_separation)  # i < j: each pair once
    if max_separation is not None:
        near = j - i <= max_separation
        i, j = i[near], j[near]
    if len(i) == 0:
        warnings.warn(
            f"No pair of a protein of {length} residues is {min_separation} or more apart: its precision is NaN.",
            stacklevel=2,
        )
        return float("nan")
    if not scores[i, j].isfinite().all():
        raise ValueError("Some scores in the range are not finite; look at the model that gave them.")
    touch = contacts[i, j]
    if not ((touch == 0) | (touch == 1)).all():
        odd = touch[(touch != 0) & (touch != 1)][0].item()
        raise ValueError(f"contacts should be bool, or 0 and 1, but holds {odd}: say for every pair if it touches.")
    taken, found = max(1, int(min(fraction * length, len(i)))), scores[i, j]
    last = found.sort(descending=True).values[taken - 1]
    above, touch = found > last, (touch == 1).double()
    return ((touch[above].sum() + (taken - above.sum()) * touch[found == last].mean()) / taken).item()

"""Do two representations have the same neighbours? Nothing but who is near whom counts, no coordinates.

Reference: Doimo et al. 2020, "Hierarchical nucleation in deep neural networks".
"""

import math

import torch

from sslcourse import arguments
from sslcourse.evaluate import inputs, places


def neighbourhood_overlap(a: torch.Tensor, b: torch.Tensor, k: int) -> float:
    """Mean share of the k nearest Euclidean neighbours that a sample has in common in a (N, D) and b (N, E).

    Row n of both is the same sample, which is not its own neighbour. 1 for equal neighbourhoods, about k / (N - 1) for
    unrelated ones. Rows that are as near as the k-th, to the digits of float64, share the places that are left, so that
    the order of the rows has no say and spaces of equal distances overlap wholly. Raises ValueError for matrices of
    different length, k outside 1..N-1, NaN, and where all rows of one are equal, so that nobody is near.
    """
    a, b = inputs.features(a, "a", at_least=2), inputs.features(b, "b", at_least=2)
    inputs.same_length(a, b, "a", "b")
    k = arguments.whole("k", k)
    if not 1 <= k < len(a):
        raise ValueError(f"k is {k}, but a query has {len(a) - 1} candidates; k should lie between 1 and that.")
    for x, name in ((a, "a"), (b, "b")):
        if bool((x == x[0]).all()):
            raise ValueError(f"All {len(x)} rows of {name} are equal, so that none is nearer than another.")
    lacks = places.apart(*(places.euclidean(x, k) for x in (a, b.to(a.device))))
    return (k * len(a) - math.fsum(lacks.tolist())) / (k * len(a))

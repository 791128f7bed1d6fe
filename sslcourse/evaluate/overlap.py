"""Do two representations have the same neighbours? Nothing but who is near whom counts, no coordinates.

Reference: Doimo et al. 2020, "Hierarchical nucleation in deep neural networks".
"""

import torch

from sslcourse.evaluate import inputs
from sslcourse.evaluate.neighbours import nearest_neighbours

_CHUNK = 1024  # rows whose neighbours are compared at a time


def neighbourhood_overlap(a: torch.Tensor, b: torch.Tensor, k: int) -> float:
    """Mean share of the k nearest Euclidean neighbours that a sample has in common in a (N, D) and b (N, E).

    Row n of both is the same sample, which is not its own neighbour. 1 for equal neighbourhoods, about k / (N - 1) for
    unrelated ones. Of rows that are as near as the k-th, to the digits of float64, the first are taken, in both, so
    that spaces of equal distances overlap wholly. Raises ValueError for matrices of different length, k outside 1..N-1,
    NaN, and where all rows of one are equal, so that nobody is near.
    """
    a, b = inputs.features(a, "a", at_least=2), inputs.features(b, "b", at_least=2)
    inputs.same_length(a, b, "a", "b")
    for x, name in ((a, "a"), (b, "b")):
        if bool((x == x[0]).all()):
            raise ValueError(f"All {len(x)} rows of {name} are equal, so that none is nearer than another.")
    of_a, of_b = (nearest_neighbours(x, k=k, metric="euclidean")[1].cpu() for x in (a, b))  # (N, k)
    pairs = zip(of_a.split(_CHUNK), of_b.split(_CHUNK), strict=True)
    shared = sum(int((here[:, :, None] == there[:, None, :]).sum()) for here, there in pairs)
    return shared / of_a.numel()

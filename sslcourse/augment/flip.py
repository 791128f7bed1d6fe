"""Random horizontal flips."""

import torch
from torch import Tensor

from sslcourse.augment.transform import Transform, check_probability, chosen


class RandomFlip(Transform):
    """Mirror each image left to right with probability p. Raises ValueError for a p outside 0 to 1."""

    def __init__(self, p: float = 0.5):
        self.p = check_probability(p)

    def apply(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        where = chosen(len(x), self.p, x, generator)
        return x.index_copy_(0, where, x.index_select(0, where).flip(3))

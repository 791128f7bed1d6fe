"""How many dimensions does an embedding use? Measures of the spectrum.

Reference: Garrido et al. 2023, "RankMe: assessing the downstream performance of pretrained self-supervised
representations".
"""

import torch

from sslcourse.evaluate import inputs


def rankme(z: torch.Tensor) -> float:
    """Effective rank: exp of the entropy of p = singular values / their sum + 1e-7 (Garrido et al., eq. 1).

    z: (N, D) embeddings, not centred here, as in the paper. Between 1 (all on one line through 0: dimensional
    collapse, or all zero: a dead network) and min(N, D) (all directions alike). Raises ValueError for NaN.
    """
    z = inputs.within_range(inputs.features(z, "z").double())
    s = torch.linalg.svdvals(z)  # (min(N, D),)
    p = s / s.sum().clamp_min(torch.finfo(s.dtype).tiny) + 1e-7
    return torch.exp(-(p * p.log()).sum()).item()

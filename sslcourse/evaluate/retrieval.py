"""Do two representations of the same samples agree sample by sample? Retrieval across, neighbours within.

Reference: Moschella et al. 2023, "Relative representations enable zero-shot latent space communication", which compares
latent spaces by cosine, Jaccard and mean reciprocal rank.
"""

import torch

from sslcourse import arguments
from sslcourse.evaluate import inputs, places

CLOSE = 1e-14  # cosines that differ by no more than their rounding may: these are compared once more
EQUAL = 1e-15  # of the directions themselves: what rounding leaves of two equal ones


def retrieval(a: torch.Tensor, b: torch.Tensor, k: int = 10, chunk: int = 1024) -> dict[str, float]:
    """Row i of a asks all rows of b, by cosine, which of them is row i: a, b (N, D), row n of both from sample n.

    Returns mrr (mean of 1 / rank of the true row, ranks from 1, not cut off), top1 (share of rank 1), cosine (mean of
    the true pairs, which says little alone: any pairing may have a high one), jaccard (mean over samples of
    intersection over union of their k cosine neighbours within a and within b, themselves left out; equally near ones
    share the places that are left). Of equally similar rows the true one ranks in the middle, so that a collapsed
    representation gains nothing. Memory: chunk * N.
    Raises ValueError where a and b do not fit together, for k from N on, for a zero vector, which has no cosine, and
    where all rows of one point one way, so that none has neighbours.
    """
    a, b = inputs.features(a, "a", at_least=2), inputs.features(b, "b", at_least=2)
    inputs.same_length(a, b, "a", "b")
    inputs.same_width(a, b, "a", "b")
    k, chunk = arguments.whole("k", k), arguments.whole("chunk", chunk)
    if not 1 <= k < len(a):
        raise ValueError(f"k is {k}, but a sample has {len(a) - 1} neighbours; k should lie between 1 and that.")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; it should be at least 1.")
    a, b = inputs.unit(a.double(), "a"), inputs.unit(b.double(), "b")
    for x, name in ((a, "a"), (b, "b")):
        if inputs.one_direction(x):
            raise ValueError(f"All {len(x)} rows of {name} point one way, so that none is nearer than another.")

    # The true pair's similarity is taken from the same product as the others, so that rounding cannot put b before b.
    ranks, cosines = [], []
    for rows in torch.arange(len(a), device=a.device).split(chunk):
        similarity = a[rows] @ b.T  # (n, N)
        true = similarity.gather(1, rows[:, None])  # (n, 1)
        higher, close = similarity > true + CLOSE, (similarity - true).abs() <= CLOSE
        nearer, equal = _compared(a[rows], b, rows, close)
        ranks.append(1 + higher.sum(dim=1) + nearer + (equal - 1) / 2)
        cosines.append(true[:, 0])
    ranks, cosines = torch.cat(ranks).double(), torch.cat(cosines)

    lacks = places.apart(*(places.cosine(z, k, chunk) for z in (a, b.to(a.device))))  # (N,)
    return {
        "mrr": ranks.reciprocal().mean().item(),
        "top1": (ranks == 1).double().mean().item(),
        "cosine": cosines.mean().item(),
        "jaccard": ((k - lacks) / (k + lacks)).mean().item(),
    }


def _compared(a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, close: torch.Tensor) -> tuple:
    """How many of the close rows of b are nearer to each row of a (n, D) than its true one, and how many are as near:
    (n,) each. By differences, |a - b_true|^2 - |a - b|^2 as one product, since those of near-duplicates have digits
    that their cosines lack. rows (n,): the true places in b; close: bool (n, N)."""
    nearer, equal = torch.zeros(2, len(a), dtype=torch.int64, device=a.device)
    row, column = close.nonzero(as_tuple=True)
    for i, j in zip(*(part.split(max(1, 2**22 // a.shape[1])) for part in (row, column)), strict=True):
        true, other = b[rows[i]], b[j]
        apart = (a[i] - true) + (a[i] - other)
        margin = ((other - true) * apart).sum(dim=1)
        noise = EQUAL * torch.linalg.vector_norm(apart, dim=1)
        nearer.index_add_(0, i, (margin > noise).long())
        equal.index_add_(0, i, (margin.abs() <= noise).long())
    return nearer, equal

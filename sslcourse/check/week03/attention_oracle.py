"""Week 3: attention, one query at a time, and the mistakes that have a name.

Reference: Vaswani et al. 2017, "Attention is all you need", eq. 1.
"""

from functools import partial
from math import sqrt

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake


def attention(q: Tensor, k: Tensor, v: Tensor, key_padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Vaswani et al., eq. 1, one query at a time; a query that may look at nothing gets zeros."""
    n, heads, length, d = q.shape
    output, weights = torch.zeros_like(v), torch.zeros(n, heads, length, length, dtype=q.dtype)
    for i in range(n):
        real = [j for j in range(length) if key_padding_mask is None or not key_padding_mask[i, j]]
        for head in range(heads):
            for query in range(length):
                scores = [(q[i, head, query].dot(k[i, head, j]) / sqrt(d)).exp() for j in real]
                for j, score in zip(real, scores, strict=True):
                    weights[i, head, query, j] = score / sum(scores)
                    output[i, head, query] += score / sum(scores) * v[i, head, j]
    return output, weights


def _weights(
    q, k, v, mask=None, *, scale=sqrt, whole=False, dim=-1, use="before", fill=-1e30, invert=False, zeros=True
) -> Tensor:
    """The weights of attention with something wrong; right with the defaults.

    scale: a number to divide by, from the width of a head, or (whole) from all of q; fill: scores of padded keys.
    """
    scores = q @ k.transpose(2, 3) / (scale(q) if whole else scale(q.shape[3]))  # (N, heads, L, L)
    keep = torch.ones(len(q), k.shape[2], dtype=torch.bool) if mask is None else ~mask
    if invert and mask is not None:
        keep = ~keep
    keys = keep[:, None, None, :].expand_as(scores)
    if use == "queries":
        keys = keep[:, None, :, None].expand_as(scores)
    if use in ("before", "queries"):
        scores = scores.masked_fill(~keys, fill)
    weights = scores.softmax(dim)
    return weights * keys if zeros and use != "never" else weights


def _causal(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, zeros: str = "all") -> Tensor:
    """Weights of keys up to the query alone. zeros: what is set to 0 where nothing is left, all or padding."""
    length = q.shape[2]
    real = torch.ones(len(q), 1, 1, length, dtype=torch.bool) if mask is None else ~mask[:, None, None]
    keep = torch.ones(length, length).tril().bool() & real
    weights = (q @ k.transpose(2, 3) / sqrt(q.shape[3])).masked_fill(~keep, -1e30).softmax(3)
    return weights * (keep if zeros == "all" else real)


CAUSAL = "every query sees only itself and what stands before: BERT looks in both directions, there is no causal mask."


def of_weights(came: Tensor, right: Tensor) -> str:
    """What the weights without a mask are instead, or ""."""
    if not came.diagonal(dim1=2, dim2=3).any():
        return "no query sees itself: every query looks at all keys."
    if torch.allclose(came.double().exp(), right, atol=1e-4):
        return "the logarithm of the softmax is taken: weights add up to 1."
    factor = float((came.double() * right).sum() / right.square().sum())
    if torch.allclose(came.double(), factor * right, atol=1e-4):
        return f"the weights are multiplied by {factor:.3g} after the softmax: a row adds up to 1."
    return ""


# What the output may be instead, from the right weights and q, k, v.
OUTPUT_MISTAKES = {
    "the weights are transposed before they meet the values.": lambda w, q, k, v: w.transpose(2, 3) @ v,
    "a residual is added: that belongs to the block around it, here the output is weights @ v.": (
        lambda w, q, k, v: w @ v + v,
        lambda w, q, k, v: w @ v + q,
    ),
    "the weights meet the keys or the queries: they meet the values.": (
        lambda w, q, k, v: w @ k,
        lambda w, q, k, v: w @ q,
    ),
    "the output is scaled once more: weights @ v is all.": (
        lambda w, q, k, v: w @ v / sqrt(v.shape[3]),
        lambda w, q, k, v: w @ v * sqrt(v.shape[3]),
        lambda w, q, k, v: w @ v / v.shape[2],
    ),
    "the output is normalised: that belongs to the block around it.": (
        lambda w, q, k, v: torch.nn.functional.layer_norm(w @ v, v.shape[3:]),
        lambda w, q, k, v: w @ v / (w @ v).norm(dim=3, keepdim=True),
    ),
    "the values are left as they are: each output is a mixture of all values.": lambda w, q, k, v: v,
    "the heads are averaged: each has an output of its own.": (
        lambda w, q, k, v: w.mean(1, keepdim=True) @ v,
        lambda w, q, k, v: (w @ v).mean(1, keepdim=True).expand_as(v),
    ),
}


WEIGHT_MISTAKES = (
    Mistake(
        "the scores are not divided by sqrt(d): large scores make the softmax nearly one-hot.",
        (partial(_weights, scale=lambda d: 1.0),),
    ),
    Mistake(
        "the scores are divided by d, not by its square root.",
        (partial(_weights, scale=float),),
    ),
    Mistake(
        "the scores are divided by the length of the text or its root: d is the width of a head, the last dimension.",
        (
            partial(_weights, whole=True, scale=lambda q: sqrt(q.shape[2])),
            partial(_weights, whole=True, scale=lambda q: q.shape[2]),
        ),
    ),
    Mistake(
        "the scores are divided by the root of the width of all heads: d is the width of one head, the last dimension.",
        (partial(_weights, whole=True, scale=lambda q: sqrt(q.shape[1] * q.shape[3])),),
    ),
    Mistake(
        "the scores are divided by the root of the number of heads: d is the width of one head, the last dimension.",
        (partial(_weights, whole=True, scale=lambda q: sqrt(q.shape[1])),),
    ),
    Mistake(
        "queries and keys are swapped: scores are q k^T, a row is a query.",
        (
            lambda q, k, v, mask=None: _weights(k, q, v, mask),
            lambda q, k, v, mask=None: _weights(k, q, v, mask, zeros=False),
        ),
    ),
    Mistake(
        "q and k are normalised first: the scores are dot products, lengths count.",
        (
            lambda q, k, v, mask=None: _weights(
                q / q.norm(dim=3, keepdim=True), k / k.norm(dim=3, keepdim=True), v, mask, scale=lambda d: 1.0
            ),
            lambda q, k, v, mask=None: _weights(
                q / q.norm(dim=3, keepdim=True), k / k.norm(dim=3, keepdim=True), v, mask
            ),
        ),
    ),
    Mistake(
        "the scores of padded keys are set to 0, and exp(0) = 1 is a weight: put -inf (or the smallest number) there.",
        (partial(_weights, fill=0.0, zeros=False), partial(_weights, fill=1e-9, zeros=False)),
    ),
    Mistake(
        "the scores of padded keys are set to 0 and their weights afterwards too, so the rest does not add up to 1: "
        "put -inf (or the smallest number) into the scores.",
        (partial(_weights, fill=0.0),),
    ),
    Mistake(
        "the mask is added as it is, which gives padded keys more weight: add a large negative number there.",
        (
            lambda q, k, v, mask=None: (
                q @ k.transpose(2, 3) / sqrt(q.shape[3]) + (0 if mask is None else mask[:, None, None].to(q.dtype))
            ).softmax(3),
        ),
    ),
    Mistake(
        "the softmax is missing: weights are positive and add up to 1 over the keys.",
        (
            lambda q, k, v, mask=None: (q @ k.transpose(2, 3) / sqrt(q.shape[3])).masked_fill(
                torch.zeros(len(q), 1, 1, q.shape[2], dtype=torch.bool) if mask is None else mask[:, None, None], 0
            ),
        ),
    ),
    Mistake(
        "each weight is a sigmoid: a softmax over the keys makes them add up to 1.",
        (
            lambda q, k, v, mask=None: (
                (q @ k.transpose(2, 3) / sqrt(q.shape[3]))
                .sigmoid()
                .masked_fill(
                    torch.zeros(len(q), 1, 1, q.shape[2], dtype=torch.bool) if mask is None else mask[:, None, None], 0
                )
            ),
        ),
    ),
    Mistake(
        CAUSAL,
        (_causal, partial(_causal, zeros="padding")),
    ),
    Mistake(
        "the scores are multiplied by sqrt(d): divide by it.",
        (partial(_weights, scale=lambda d: 1 / sqrt(d)),),
    ),
    Mistake(
        "the mask is applied after the softmax, so the weights of the real keys no longer add up to 1: put -inf (or "
        "the smallest number) into the scores of padded keys before it.",
        (partial(_weights, use="after"),),
    ),
    Mistake(
        "the scores of padded keys get a number that other scores reach: put -inf (or the smallest number) there.",
        tuple(partial(_weights, fill=fill, zeros=zeros) for fill in (-1, -5, -10, 1) for zeros in (True, False)),
    ),
    Mistake(
        "padded queries get no weights: the mask hides keys, and nothing else.",
        (lambda q, k, v, mask=None: _weights(q, k, v, mask) * (1 if mask is None else ~mask[:, None, :, None]),),
    ),
    Mistake(
        "the mask of one text serves for all: each has its own.",
        tuple(
            lambda q, k, v, mask=None, n=n: _weights(q, k, v, None if mask is None else mask[n].expand_as(mask))
            for n in (0, -1)
        ),
    ),
    Mistake(
        "the scores are divided by a fixed number: divide by the root of d, the last dimension.",
        tuple(partial(_weights, scale=lambda d, fixed=fixed: fixed) for fixed in (8.0, sqrt(128), 64.0)),
    ),
    Mistake("the mask is not used: padded keys still get weight.", (partial(_weights, use="never"),)),
    Mistake(
        "the mask is the wrong way round: True means padding, and padding gets no weight.",
        (partial(_weights, invert=True), partial(_weights, invert=True, use="after")),
    ),
    Mistake(
        "the mask hides padded queries, not padded keys: it belongs to the last dimension of the scores.",
        (partial(_weights, use="queries"), partial(_weights, use="queries", zeros=False)),
    ),
    Mistake(
        "the softmax runs over the queries: the weights of one query add up to 1 over the keys, the last dimension.",
        (partial(_weights, dim=-2), partial(_weights, dim=-2, use="never")),
    ),
    Mistake("the softmax runs over the heads: it runs over the keys, the last dimension.", (partial(_weights, dim=1),)),
)

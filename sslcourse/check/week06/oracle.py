"""Week 6, vision transformers: one number at a time, as the papers write them.

References: Dosovitskiy et al. 2021, "An image is worth 16x16 words", eq. 1 to 4 and appendix D.7 (attention distance);
Vaswani et al. 2017, "Attention is all you need", eq. 1.
"""

from collections.abc import Callable
from functools import partial
from math import erf, exp, sqrt

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- attention


def softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    powers = [exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def attention(x: Tensor, weights: dict[str, Tensor], num_heads: int) -> tuple[Tensor, Tensor]:
    """x: (N, L, D). weights: qkv.weight, proj.weight and the biases. Returns (N, L, D), (N, heads, L, L)."""
    n, length, dim = x.shape
    d = dim // num_heads
    out, looks = torch.zeros_like(x), x.new_zeros(n, num_heads, length, length)
    for sample in range(n):
        qkv = _linear(x[sample], weights, "qkv")  # (L, 3D): all queries, all keys, all values
        joined = torch.zeros_like(x[sample])
        for head in range(num_heads):
            own = slice(head * d, (head + 1) * d)
            q, k, v = (qkv[:, part * dim : (part + 1) * dim][:, own] for part in range(3))
            for i in range(length):
                share = softmax([float(q[i].dot(k[j])) / sqrt(d) for j in range(length)])
                looks[sample, head, i] = torch.tensor(share, dtype=x.dtype)
                joined[i, own] = sum(share[j] * v[j] for j in range(length))
        out[sample] = _linear(joined, weights, "proj")
    return out, looks


def _linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", torch.zeros((), dtype=x.dtype))


def _attention(
    x: Tensor,
    weights: dict[str, Tensor],
    num_heads: int,
    *,
    scale: Callable | None = lambda d, dim: d**-0.5,
    over: int = 3,
    split: str = "parts first",
    swapped: bool = False,
    joined: str = "tokens first",
    project: bool = True,
    at_end: Callable = lambda out, x: out,
    weigh: Callable | None = None,
) -> tuple[Tensor, Tensor]:
    """attention with something wrong; right with the defaults. weigh: from scores and d to weights."""
    n, length, dim = x.shape
    d = dim // num_heads
    qkv = _linear(x, weights, "qkv")
    if split == "heads first":  # every head's queries, keys and values side by side
        q, k, v = qkv.view(n, length, num_heads, 3, d).permute(3, 0, 2, 1, 4)
    elif split == "heads inside":  # heads interleaved instead of slices
        q, k, v = qkv.view(n, length, 3, d, num_heads).permute(2, 0, 4, 1, 3)
    elif split == "tokens taken for heads":
        q, k, v = (part.reshape(n, num_heads, length, d) for part in qkv.chunk(3, dim=2))
    else:
        q, k, v = qkv.view(n, length, 3, num_heads, d).permute(2, 0, 3, 1, 4)
    if swapped:
        q, k = k, q
    scores = q @ k.transpose(2, 3)
    looks = (scores * (length**-0.5 if scale is None else scale(d, dim))).softmax(dim=over)
    looks = looks if weigh is None else weigh(scores, d)
    out = looks @ v  # (N, heads, L, d)
    if joined == "tokens first":
        out = out.transpose(1, 2)
    out = out.reshape(n, length, dim)
    return at_end(_linear(out, weights, "proj") if project else out, x), looks


def _standardised(x: Tensor) -> Tensor:
    return (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt()


def _wrong(**what) -> partial:
    return partial(_attention, **what)


ATTENTION = _attention  # with gradients

ATTENTION_MISTAKES = (
    Mistake(
        "the scores are divided by the root of D: each head's scores are sums over its own d = D / heads values, so "
        "divide by the root of d.",
        (_wrong(scale=lambda d, dim: dim**-0.5),),
    ),
    Mistake("the scores are not divided by the root of d = D / heads.", (_wrong(scale=lambda d, dim: 1.0),)),
    Mistake(
        "the scores are divided by d: by its square root, which is the spread of a sum of d products.",
        (_wrong(scale=lambda d, dim: 1 / d),),
    ),
    Mistake("the scores are multiplied by the root of d: divide by it.", (_wrong(scale=lambda d, dim: d**0.5),)),
    Mistake(
        "the softmax runs over the queries: every query shares out its attention over the keys, the last dimension.",
        (_wrong(over=2),),
    ),
    Mistake("the softmax runs over the heads: it runs over the keys, the last dimension.", (_wrong(over=1),)),
    Mistake(
        "heads and tokens are swapped when reshaping: (N, L, D) becomes (N, L, heads, d) by a view, and only a "
        "transpose brings the heads before the tokens.",
        (_wrong(split="tokens taken for heads"), _wrong(split="tokens taken for heads", joined="as it lies")),
    ),
    Mistake(
        "the heads' outputs are joined without bringing the tokens back to the front: transpose (N, heads, L, d) to "
        "(N, L, heads, d) before the reshape.",
        (_wrong(joined="as it lies"),),
    ),
    Mistake(
        "the output of qkv is cut in another order than timm's: first all queries, then all keys, then all values, "
        "and within each head after head.",
        (_wrong(split="heads first"), _wrong(split="heads inside")),
    ),
    Mistake("queries and keys are swapped: the scores are q k^T, a row for each query.", (_wrong(swapped=True),)),
    Mistake("the output does not pass through proj.", (_wrong(project=False),)),
    Mistake(
        "the tokens are added to the output: the residual step belongs to the block, not to the attention.",
        (_wrong(at_end=lambda out, x: out + x),),
    ),
    Mistake(
        "there is a layer norm inside: it belongs to the block, not to the attention.",
        (
            _wrong(at_end=lambda out, x: _standardised(out)),
            lambda x, weights, heads: _attention(_standardised(x), weights, heads),
        ),
    ),
    Mistake(
        "the scores are divided by the number of tokens or its root: divide by the root of d = D / heads.",
        (_wrong(scale=None), _wrong(weigh=lambda s, d: (s / s.shape[-1]).softmax(dim=-1))),
    ),
    Mistake(
        "the softmax comes before the division by the root of d: divide the scores, then take the softmax.",
        (_wrong(weigh=lambda s, d: s.softmax(dim=-1) / d**0.5),),
    ),
    Mistake(
        "there is no softmax: the weights of a query are positive and sum to 1.",
        (_wrong(weigh=lambda s, d: s / d**0.5), _wrong(weigh=lambda s, d: s)),
    ),
    Mistake("a softmax is taken twice.", (_wrong(weigh=lambda s, d: (s / d**0.5).softmax(dim=-1).softmax(dim=-1)),)),
    Mistake(
        "every weight is judged by itself, by a sigmoid: take the softmax over the keys.",
        (_wrong(weigh=lambda s, d: (s / d**0.5).sigmoid()),),
    ),
    Mistake(
        "tokens see only those before them: patches have no order in time, so there is no mask.",
        (
            _wrong(
                weigh=lambda s, d: (
                    (s / d**0.5)
                    .masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
                    .softmax(dim=-1)
                )
            ),
        ),
    ),
    Mistake(
        "the weights are averaged over the heads: every head uses its own.",
        (_wrong(weigh=lambda s, d: (s / d**0.5).softmax(dim=-1).mean(dim=1, keepdim=True).expand_as(s)),),
    ),
)


# --- block and ViT


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    variance = (x - mean).square().mean(dim=-1, keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * weight + bias


def gelu(x: Tensor) -> Tensor:
    return torch.tensor([v * (1 + erf(v / sqrt(2))) / 2 for v in x.flatten().tolist()], dtype=x.dtype).view(x.shape)


def block(x: Tensor, weights: dict[str, Tensor], num_heads: int) -> Tensor:
    """One pre-norm block (Dosovitskiy et al. 2021, eq. 2 and 3) with the weights of a state dict."""

    def inside(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}

    x = x + attention(layer_norm(x, *inside("norm1.").values()), inside("attn."), num_heads)[0]
    hidden = gelu(_linear(layer_norm(x, *inside("norm2.").values()), weights, "mlp.fc1"))
    return x + _linear(hidden, weights, "mlp.fc2")


# --- attention distance


def attention_distance(weights: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Dosovitskiy et al. 2021, appendix D.7: mean distance in pixels between a query and what it looks at, per head."""
    n, heads, length, _ = weights.shape
    rows, columns = grid
    result = torch.zeros(heads, dtype=torch.float64)
    for head in range(heads):
        for i in range(rows * columns):
            for j in range(rows * columns):
                down, right = i // columns - j // columns, i % columns - j % columns
                distance = patch_size * sqrt(down**2 + right**2)
                result[head] += sum(float(weights[k, head, i, j]) for k in range(n)) * distance
    return result / (n * length)


def _distance(
    weights: Tensor,
    grid: tuple[int, int],
    patch_size: int,
    *,
    unit: str = "pixels",
    swapped=False,
    kind="l2",
    over="mean",
) -> Tensor:
    rows, columns = reversed(grid) if swapped else grid
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).double()
    if unit == "pixels":
        place = place * patch_size
    apart = place[:, None] - place  # (L, L, 2)
    distance = {
        "l2": apart.square().sum(2).sqrt(),
        "l1": apart.abs().sum(2),
        "squared": apart.square().sum(2),
        "flat": (torch.arange(len(place))[:, None] - torch.arange(len(place))).abs() * float(patch_size),
        "largest": apart.abs().amax(2),
    }[kind]
    if over == "surest":
        return distance[torch.arange(len(place)), weights.argmax(dim=3)].mean(dim=(0, 2))
    if over == "no weights":
        return distance.mean().expand(weights.shape[1])
    seen = (weights.double() * distance).sum(dim=3)  # (N, heads, L)
    return {
        "mean": seen.mean(dim=(0, 2)),
        "sum": seen.sum(dim=2).mean(dim=0),
        "images": seen.mean(dim=2).sum(dim=0),
        "both": seen.sum(dim=(0, 2)),
        "heads": seen.mean().expand(weights.shape[1]),
        "root": (weights.double() * distance.square()).sum(dim=3).sqrt().mean(dim=(0, 2)),
        "share": seen.mean(dim=(0, 2)) / distance.max().clamp(min=1e-9),
        "all": (weights.double() * distance).mean(dim=(0, 2, 3)),
    }[over]


DISTANCE_MISTAKES = (
    Mistake(
        "the distance is counted in patches: multiply by patch_size for pixels.", (partial(_distance, unit="patches"),)
    ),
    Mistake(
        "rows and columns of the grid are swapped: patch l stands in row l // columns and column l % columns.",
        (partial(_distance, swapped=True),),
    ),
    Mistake(
        "the distances are added along rows and columns: take the straight line.", (partial(_distance, kind="l1"),)
    ),
    Mistake("the distance is squared: take its root.", (partial(_distance, kind="squared"),)),
    Mistake(
        "the distance is the difference of the patches' numbers: patches stand in a grid, so compare rows and columns.",
        (partial(_distance, kind="flat"),),
    ),
    Mistake(
        "it is the larger of the two distances, along rows and along columns: take the straight line.",
        (partial(_distance, kind="largest"),),
    ),
    Mistake("the queries are summed: take the mean over them.", (partial(_distance, over="sum"),)),
    Mistake("the images are summed: take the mean over them.", (partial(_distance, over="images"),)),
    Mistake("images and queries are summed: take the mean over both.", (partial(_distance, over="both"),)),
    Mistake("the heads are averaged: every head has a number of its own.", (partial(_distance, over="heads"),)),
    Mistake(
        "only the patch with the largest weight counts: take the mean over all keys, weighted by attention.",
        (partial(_distance, over="surest"),),
    ),
    Mistake(
        "the weights are not used: the mean over the keys is weighted by attention.",
        (partial(_distance, over="no weights"),),
    ),
    Mistake("it is the root of a mean of squares: take the mean of the distances.", (partial(_distance, over="root"),)),
    Mistake("it is divided by the largest distance: return pixels.", (partial(_distance, over="share"),)),
    Mistake(
        "the mean runs over the keys too: the weights of a query already sum to 1, so sum over keys.",
        (partial(_distance, over="all"),),
    ),
)

"""Week 7: DINO's head, one number at a time, as the papers write it.

References: Caron et al. 2021, "Emerging properties in self-supervised vision transformers", appendix C; Salimans and
Kingma 2016, "Weight normalization", eq. 2.
"""

from collections.abc import Callable
from functools import partial
from math import erf, sqrt

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- DINOHead: weights are a dictionary of w1, b1, w2, b2, w3, b3, prototypes


def head(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Three linear layers with GELU between, length 1, cosines with the prototypes: (N, in) to (N, K)."""
    rows = []
    for row in x:
        for weight, bias, last in ((w["w1"], w["b1"], False), (w["w2"], w["b2"], False), (w["w3"], w["b3"], True)):
            row = torch.stack([unit.dot(row) + b for unit, b in zip(weight, bias, strict=True)])
            if not last:
                row = torch.stack([v * (1 + erf(float(v) / sqrt(2))) / 2 for v in row])
        row = row / row.dot(row).sqrt()
        rows.append(torch.stack([row.dot(p) / p.dot(p).sqrt() for p in w["prototypes"]]))
    return torch.stack(rows)


def _unit(x: Tensor, dim: int = 1) -> Tensor:
    return x / x.norm(dim=dim, keepdim=True)


def _head(
    x: Tensor,
    w: dict[str, Tensor],
    *,
    between: Callable = torch.nn.functional.gelu,
    first: bool = True,
    second: bool = True,
    after: Callable = lambda z: z,
    length: Callable = _unit,
    rows: Callable = _unit,
    at_end: Callable = lambda y: y,
) -> Tensor:
    """head with something wrong; right with the defaults. first, second: GELU after these layers."""
    x = x @ w["w1"].T + w["b1"]
    x = (between(x) if first else x) @ w["w2"].T + w["b2"]
    x = after((between(x) if second else x) @ w["w3"].T + w["b3"])
    return at_end(length(x) @ rows(w["prototypes"]).T)


def _as_is(x: Tensor) -> Tensor:
    return x


def _l1(x: Tensor) -> Tensor:
    return x / x.abs().sum(dim=1, keepdim=True)


def _wrong_head(**what) -> partial:
    return partial(_head, **what)


HEAD = _head  # with gradients

HEAD_MISTAKES = (
    Mistake(
        "the embeddings are not normalised: divide each row by its length before the last layer.",
        (_wrong_head(length=_as_is),),
    ),
    Mistake(
        "the norm of the last layer's rows is not held at 1: normalise them in forward, or use weight_norm and fix it.",
        (_wrong_head(rows=_as_is),),
    ),
    Mistake(
        "neither the embeddings nor the rows of the last layer are normalised: both have length 1.",
        (_wrong_head(length=_as_is, rows=_as_is),),
    ),
    Mistake(
        "the normalisation runs over the batch: divide each row by its length, dim=1.",
        (_wrong_head(length=partial(_unit, dim=0)), _wrong_head(length=partial(_unit, dim=0), rows=_as_is)),
    ),
    Mistake(
        "the last layer is normalised over the prototypes: each prototype, a row of its weight, has length 1.",
        (_wrong_head(rows=partial(_unit, dim=0)),),
    ),
    Mistake(
        "there is a ReLU between the layers: DINO uses GELU.",
        (_wrong_head(between=torch.relu), _wrong_head(between=torch.relu, after=torch.relu)),
    ),
    Mistake(
        "there is no GELU between the layers: without one, three linear layers are a single one.",
        (_wrong_head(between=_as_is),),
    ),
    Mistake("there is no GELU after the second layer.", (_wrong_head(second=False),)),
    Mistake("there is no GELU after the first layer.", (_wrong_head(first=False),)),
    Mistake(
        "the GELU is the approximation by tanh: take the exact one.",
        (_wrong_head(between=partial(torch.nn.functional.gelu, approximate="tanh")),),
    ),
    Mistake(
        "the activation is another one: DINO uses GELU.",
        (
            _wrong_head(between=torch.tanh),
            _wrong_head(between=torch.nn.functional.silu),
            _wrong_head(between=torch.sigmoid),
            _wrong_head(between=torch.nn.functional.leaky_relu),
        ),
    ),
    Mistake(
        "rows are divided by the sum of their sizes: the length is the root of the sum of squares, p=2.",
        (_wrong_head(length=_l1), _wrong_head(rows=_l1), _wrong_head(length=_l1, rows=_l1)),
    ),
    Mistake(
        "there is a GELU after the third layer too: the embedding is linear in what comes before it.",
        (_wrong_head(after=torch.nn.functional.gelu),),
    ),
    Mistake(
        "the head ends in a softmax: it returns cosines, the loss takes the softmax with its temperature.",
        (_wrong_head(at_end=lambda y: y.softmax(dim=1)), _wrong_head(at_end=lambda y: y.log_softmax(dim=1))),
    ),
    Mistake(
        "the outputs are normalised, not the embeddings: the length 1 comes before the last layer.",
        (_wrong_head(length=_as_is, at_end=_unit), _wrong_head(length=_as_is, rows=_as_is, at_end=_unit)),
    ),
)

"""Week 3: attention, the masked-language-model loss and pooling, one number at a time, as the papers write them.

References: Vaswani et al. 2017, "Attention is all you need", eq. 1; Devlin et al. 2019, "BERT: pre-training of deep
bidirectional transformers for language understanding", sections 3.1 and A.1; Ba et al. 2016, "Layer normalization".
"""

from functools import partial
from math import log, nan, sqrt

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- attention


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
        "every query sees only itself and what stands before: BERT looks in both directions, there is no causal mask.",
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


# --- the loss and the accuracy at chosen positions


def _chosen(logits: Tensor, labels: Tensor):
    rows = logits.reshape(-1, logits.shape[-1])
    return [(row, int(label)) for row, label in zip(rows, labels.reshape(-1), strict=True) if label != -100]


def mlm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over chosen positions of minus the log probability of the original word; 0 where none is chosen."""
    losses = [row.exp().sum().log() - row[label] for row, label in _chosen(logits, labels)]
    return sum(losses) / len(losses) if losses else 0.0 * logits.sum()


def _mlm_loss(logits: Tensor, labels: Tensor, *, divisor=lambda labels: (labels != -100).sum(), sign=-1) -> Tensor:
    chosen = labels != -100
    picked = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]  # (N, L)
    return sign * (picked * chosen).sum() / divisor(labels)


def _per_row(logits: Tensor, labels: Tensor) -> Tensor:
    losses = [mlm_loss(row, label) for row, label in zip(logits, labels, strict=True)] if labels.dim() > 1 else []
    return sum(losses) / len(losses) if losses else mlm_loss(logits, labels)


def _next_word(logits: Tensor, labels: Tensor) -> Tensor:
    return mlm_loss(logits[..., :-1, :], labels[..., 1:])


def _unchosen_as_word(logits: Tensor, labels: Tensor) -> Tensor:
    picked = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])
    return -picked.mean()


def _probability(logits: Tensor, labels: Tensor) -> Tensor:
    chosen = _chosen(logits, labels)
    return -sum(row.softmax(0)[label] for row, label in chosen) / len(chosen)


def _softmax_twice(logits: Tensor, labels: Tensor) -> Tensor:
    return mlm_loss(logits.softmax(-1), labels)


MLM_LOSS_MISTAKES = (
    Mistake(
        "the sum is divided by the number of all positions: the mean is over the chosen ones.",
        (partial(_mlm_loss, divisor=lambda labels: labels.numel()),),
    ),
    Mistake("the losses are summed: take the mean.", (partial(_mlm_loss, divisor=lambda labels: 1),)),
    Mistake(
        "the sum is divided by the number of rows: the mean is over the chosen positions.",
        (partial(_mlm_loss, divisor=len),),
    ),
    Mistake(
        "it is a mean over rows of means within a row: every chosen position counts alike, in whatever row it stands.",
        (_per_row,),
    ),
    Mistake(
        "positions that were not chosen are in the mean, as if word 0 were right there: leave out labels of -100.",
        (_unchosen_as_word,),
    ),
    Mistake("each position is asked for the next word: label l belongs to logits l.", (_next_word,)),
    Mistake("the sign is wrong: the loss is minus the logarithm.", (partial(_mlm_loss, sign=1),)),
    Mistake("the logarithm is missing: minus the log of the probability.", (_probability,)),
    Mistake("the softmax is taken twice: F.cross_entropy wants logits.", (_softmax_twice,)),
    Mistake(
        "word 0 is left out, as if it were a label to ignore: only -100 means not chosen, 0 is a word like any other.",
        (
            lambda logits, labels: mlm_loss(logits, labels.masked_fill(labels == 0, -100)),
            lambda logits, labels: (
                mlm_loss(logits, labels.masked_fill(labels == 0, -100)) * (labels > 0).sum() / (labels >= 0).sum()
            ),
        ),
    ),
    Mistake(
        "the logarithm and the mean are swapped: take the logarithm at every chosen position, then the mean.",
        (lambda logits, labels: -(-_probability(logits, labels)).log(),),
    ),
    Mistake("the exponential is taken at the end: that is the perplexity.", (lambda a, b: mlm_loss(a, b).exp(),)),
    Mistake("the logarithm is not the natural one: the loss is in nats.", (lambda a, b: mlm_loss(a, b) / log(2),)),
    Mistake(
        "1 is added to the number of chosen positions: take at least 1, clamp(min=1).",
        (partial(_mlm_loss, divisor=lambda labels: (labels != -100).sum() + 1),),
    ),
    Mistake(
        "there is no softmax: the loss is minus the log probability, not minus the score.",
        (
            lambda logits, labels: (
                -sum(row[label] for row, label in _chosen(logits, labels)) / len(_chosen(logits, labels))
            ),
        ),
    ),
    Mistake(
        "the softmax runs over the positions: it runs over the vocabulary, the last dimension.",
        tuple(
            lambda logits, labels, dim=dim: (
                -(
                    (logits.log_softmax(dim if logits.dim() > 2 else 0))
                    .gather(-1, labels.clamp(min=0)[..., None])[..., 0][labels >= 0]
                    .mean()
                )
            )
            for dim in (0, 1)
        ),
    ),
)


def mlm_accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of chosen positions at which the largest logit is that of the original word; NaN if there are none."""
    hits = [float(row.argmax() == label) for row, label in _chosen(logits, labels)]
    return sum(hits) / len(hits) if hits else nan


MLM_ACCURACY_MISTAKES = (
    Mistake(
        "it divides by all positions: only the chosen ones count.",
        (lambda logits, labels: float((logits.argmax(-1) == labels).double().mean()),),
    ),
    Mistake("the error rate is returned.", (lambda logits, labels: 1 - mlm_accuracy(logits, labels),)),
    Mistake("a percentage is returned: it lies in [0, 1].", (lambda a, b: 100 * mlm_accuracy(a, b),)),
    Mistake("hits are counted: divide by the number of chosen.", (lambda a, b: mlm_accuracy(a, b) * (b >= 0).sum(),)),
    Mistake(
        "word 0 is left out, as if it were a label to ignore.",
        (lambda a, b: mlm_accuracy(a, b.masked_fill(b == 0, -100)),),
    ),
    Mistake("the least likely word is taken: argmax, not argmin.", (lambda a, b: mlm_accuracy(-a, b),)),
)


# --- pool


def pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean of the real tokens, row by row; zeros where no token is real."""
    rows = []
    for states, mask in zip(hidden, attention_mask, strict=True):
        real = [state for state, keep in zip(states, mask, strict=True) if keep]
        rows.append(sum(real) / len(real) if real else 0 * states[0])
    return torch.stack(rows)


def _pool(hidden: Tensor, mask: Tensor, *, keep=lambda m: m, divisor=lambda m: m.sum(1).clamp(min=1)) -> Tensor:
    kept = keep(mask).to(hidden.dtype)
    return (hidden * kept[..., None]).sum(1) / divisor(kept)[:, None]


def _length(kept: Tensor) -> Tensor:
    return torch.full((len(kept),), float(kept.shape[1]), dtype=kept.dtype)


def _largest(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden.masked_fill(mask[..., None] == 0, -torch.inf).amax(1)


POOL_MISTAKES = (
    Mistake(
        "padding is averaged in: only places where the mask is 1 count.",
        (partial(_pool, keep=torch.ones_like),),
    ),
    Mistake(
        "the sum over real tokens is divided by the padded length L: divide by the number of real tokens.",
        (partial(_pool, divisor=_length),),
    ),
    Mistake(
        "the mask is the wrong way round: 1 means a real token.",
        (partial(_pool, keep=lambda m: 1 - m.long()),),
    ),
    Mistake("the sum is not divided: take the mean.", (partial(_pool, divisor=lambda m: torch.ones(len(m))),)),
    Mistake(
        "all rows are divided by one number: every text has its own number of real tokens.",
        (
            partial(_pool, divisor=lambda m: m.sum().expand(len(m))),
            partial(_pool, divisor=lambda m: m.sum(1).mean()[None]),
        ),
    ),
    Mistake("it is the first token, [CLS]: here the mean over real tokens is asked for.", (lambda h, m: h[:, 0],)),
    Mistake("it is the maximum: take the mean.", (_largest, lambda h, m: h.amax(1))),
    Mistake("it is the last token: here the mean over real tokens is asked for.", (lambda h, m: h[:, -1],)),
    Mistake(
        "it is the token at place n - 1, with n the number of real tokens: the mean over all of them is asked for.",
        (lambda h, m: h[torch.arange(len(h)), m.sum(1) - 1],),
    ),
    Mistake(
        "the first n positions are averaged, with n the number of real tokens: real is where the mask is 1, and "
        "padding may come first.",
        (lambda h, m: _pool(h, (torch.arange(m.shape[1]) < m.sum(1, keepdim=True)).long()),),
    ),
    Mistake(
        "the first token, [CLS], is left out: all real tokens count.",
        (
            lambda h, m: _pool(h[:, 1:], m[:, 1:]),
            lambda h, m: _pool(h[:, 1:], m[:, 1:], divisor=lambda kept: m.sum(1).clamp(min=1)),
        ),
    ),
    Mistake(
        "the sum is divided by the root of the number of real tokens: divide by the number itself.",
        (partial(_pool, divisor=lambda m: m.sum(1).clamp(min=1).sqrt()),),
    ),
    Mistake(
        "1 is added to the number of real tokens: take at least 1, clamp(min=1).",
        (partial(_pool, divisor=lambda m: m.sum(1) + 1),),
    ),
    Mistake(
        "the result is normalised: return the mean as it is.",
        (lambda h, m: _pool(h, m) / _pool(h, m).norm(dim=1, keepdim=True),),
    ),
)


# --- embeddings


def bert_embeddings(token: Tensor, position: Tensor, segment: Tensor, gain: Tensor, bias: Tensor, ids, segments):
    """Token, position and segment vectors added, then normalised over the features (divisor D, eps 1e-12)."""
    rows = []
    for text, kinds in zip(ids.tolist(), segments.tolist(), strict=True):
        for place, (word, kind) in enumerate(zip(text, kinds, strict=True)):
            x = token[word] + position[place] + segment[kind]
            x = (x - x.mean()) / (x.var(correction=0) + 1e-12).sqrt()
            rows.append(x * gain + bias)
    return torch.stack(rows).view(*ids.shape, -1)  # (N, L, D)

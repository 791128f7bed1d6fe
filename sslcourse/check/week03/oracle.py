"""Week 3: the masked-language-model loss, pooling and embeddings, one number at a time, as the papers write them.

References: Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language understanding",
sections 3.1 and A.1; Ba et al. 2016, "Layer normalization".
"""

from functools import partial
from math import log, nan

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

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


def _smoothed(logits: Tensor, labels: Tensor, *, share: float) -> Tensor:
    words = [share * (row.logsumexp(0) - row.mean()) for row, _ in _chosen(logits, labels)]
    return (1 - share) * mlm_loss(logits, labels) + sum(words) / len(words)


def _axes_mixed(logits: Tensor, labels: Tensor) -> Tensor:
    return mlm_loss(logits.transpose(-1, -2).reshape(-1, logits.shape[-1]), labels.reshape(-1))


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
        (
            _unchosen_as_word,
            lambda logits, labels: _unchosen_as_word(logits, labels) * labels.numel() / (labels != -100).sum(),
        ),
    ),
    Mistake("each position is asked for the next word: label l belongs to logits l.", (_next_word,)),
    Mistake(
        "each position is asked for the word before: label l belongs to logits l.",
        (
            lambda logits, labels: (
                mlm_loss(logits, labels.roll(1, -1)) if labels.dim() > 1 else mlm_loss(logits, labels)
            ),
        ),
    ),
    Mistake("the sign is wrong: the loss is minus the logarithm.", (partial(_mlm_loss, sign=1),)),
    Mistake("the logarithm is missing: minus the log of the probability.", (_probability,)),
    Mistake(
        "labels are smoothed: the whole probability belongs to the original word.",
        tuple(partial(_smoothed, share=share) for share in (0.1, 0.2)),
    ),
    Mistake(
        "axes are mixed: positions and words change places before logits are flattened: flatten(0, -2) keeps words.",
        (_axes_mixed,),
    ),
    Mistake(
        "it is divided twice, by a mean and by the number of chosen positions: once is enough.",
        (
            lambda logits, labels: mlm_loss(logits, labels) / (labels != -100).sum(),
            lambda logits, labels: mlm_loss(logits, labels) / labels.numel(),
        ),
    ),
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


def _per_row_accuracy(logits: Tensor, labels: Tensor) -> float:
    if labels.dim() == 1:
        return mlm_accuracy(logits, labels)
    return sum(mlm_accuracy(a, b) for a, b in zip(logits, labels, strict=True)) / len(labels)


def _among_the_first(logits: Tensor, labels: Tensor, *, k: int) -> float:
    hits = [float(label in row.topk(k).indices.tolist()) for row, label in _chosen(logits, labels)]
    return sum(hits) / len(hits)


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
    Mistake(
        "it is a mean over rows of shares within a row: every chosen position counts alike.",
        (_per_row_accuracy,),
    ),
    Mistake(
        "it is the probability of the original word: count where that word is the most likely one.",
        (lambda a, b: -float(_probability(a, b)),),
    ),
    Mistake(
        "one of the likeliest words suffices: only the most likely one counts.",
        tuple(partial(_among_the_first, k=k) for k in (2, 3)),
    ),
    Mistake("the share is rounded to a whole number: return it as it is.", (lambda a, b: round(mlm_accuracy(a, b)),)),
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


def _less_one(mask: Tensor) -> Tensor:
    return (mask.sum(1, keepdim=True) - 1) / mask.sum(1, keepdim=True)


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
            partial(_pool, divisor=lambda m: m.sum(1).max()[None]),
        ),
    ),
    Mistake("it is the first token, [CLS]: here the mean over real tokens is asked for.", (lambda h, m: h[:, 0],)),
    Mistake(
        "it is the maximum: take the mean.",
        (_largest, lambda h, m: h.amax(1), lambda h, m: h.masked_fill(m[..., None] == 0, 0.0).amax(1)),
    ),
    Mistake("it is the minimum: take the mean.", (lambda h, m: -_largest(-h, m), lambda h, m: h.amin(1))),
    Mistake(
        "the last real token, [SEP], is left out: all real tokens count.",
        (
            lambda h, m: _pool(h, m * (m.cumsum(1) < m.sum(1, keepdim=True))),
            lambda h, m: _pool(h, m * (m.cumsum(1) < m.sum(1, keepdim=True))) * _less_one(m),
        ),
    ),
    Mistake(
        "the sum is divided by the square of the number of real tokens: divide once.",
        (partial(_pool, divisor=lambda m: m.sum(1).clamp(min=1) ** 2),),
    ),
    Mistake(
        "squares are summed: the mean of the states themselves is asked for.",
        (
            lambda h, m: (
                _pool(h.square(), m, divisor=lambda kept: torch.ones(len(kept))).sqrt() / m.sum(1, keepdim=True)
            ),
            lambda h, m: _pool(h.square(), m).sqrt(),
            lambda h, m: _pool(h.square(), m),
        ),
    ),
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
        "the first and the last place are left out, as if they held [CLS] and [SEP]: all real tokens count.",
        (lambda h, m: _pool(h[:, 1:-1], m[:, 1:-1]),),
    ),
    Mistake(
        "a single real token is divided by 2: take at least 1, clamp(min=1).",
        (partial(_pool, divisor=lambda m: m.sum(1).clamp(min=2)),),
    ),
    Mistake(
        "a softmax makes weights of the mask, so that padding still counts: weights are 0 or 1 / n.",
        (lambda h, m: (h * m.to(h.dtype).softmax(1)[..., None]).sum(1),),
    ),
    Mistake(
        "it is the median of the real tokens: take the mean.",
        (lambda h, m: h.masked_fill(m[..., None] == 0, nan).nanmedian(1).values,),
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

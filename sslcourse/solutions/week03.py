# ruff: noqa
"""The solved exercises of week03; generated from notebooks/source/week03_bert.py: edit that."""


import copy
import functools
import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import recorded
from sslcourse.check import week03 as check
from sslcourse.data import expect
from sslcourse.data.texts.surprise import hidden_word_surprise
from sslcourse.plot.schematics.hidden_words import hidden_words


def mask_tokens(
    input_ids: torch.Tensor,
    special_tokens_mask: torch.Tensor,
    mask_id: int,
    vocab_size: int,
    p: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hide words for masked language modelling (Devlin et al. 2019, section 3.1 and A.1).

    input_ids: (N, L) int64; special_tokens_mask: (N, L) bool, True where nothing may be chosen (padding included).
    Returns (inputs, labels), both (N, L) int64; labels are -100 where nothing was chosen.
    """
    expect.masking(input_ids, special_tokens_mask, mask_id, vocab_size, p)
    draw = {"generator": generator, "device": input_ids.device}
    chosen = (torch.rand(input_ids.shape, **draw) < p) & ~special_tokens_mask
    labels = input_ids.masked_fill(~chosen, -100)
    fate = torch.rand(input_ids.shape, **draw)
    words = torch.randint(vocab_size, input_ids.shape, **draw)
    inputs = torch.where(chosen & (fate < 0.8), mask_id, input_ids)
    inputs = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), words, inputs)
    return inputs, labels


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, key_padding_mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1).

    q, k, v: (N, heads, L, d); key_padding_mask: (N, L) bool, True = padding.
    Returns (output (N, heads, L, d), weights (N, heads, L, L)); a row of weights adds up to 1, or is 0 if all padded.
    """
    expect.attention(q, k, v, key_padding_mask)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])        # (N, heads, L, L)
    if key_padding_mask is None:
        weights = scores.softmax(dim=3)
    else:
        hidden = key_padding_mask[:, None, None, :]               # (N, 1, 1, L)
        weights = scores.masked_fill(hidden, torch.finfo(q.dtype).min).softmax(dim=3)
        weights = weights.masked_fill(hidden, 0.0)                # matters where all keys are padding
    return weights @ v, weights


def mlm_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Masked-language-model loss (Devlin et al. 2019, section 3.1).

    logits: (..., V); labels: (...) int64, -100 where nothing was chosen. Returns a scalar: the mean over chosen
    positions in nats, 0 where there is none.
    """
    expect.predictions(logits, labels)
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


def mlm_accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of chosen positions whose most likely word is the original one; NaN where none is chosen.

    logits: (..., V); labels: (...) int64, -100 where nothing was chosen.
    """
    chosen = labels != -100
    return (logits.argmax(dim=-1) == labels)[chosen].float().mean().item()


def pool(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Mean of the hidden states of real tokens (Reimers and Gurevych 2019, section 3).

    hidden: (N, L, D); attention_mask: (N, L), 1 = real token. Returns (N, D), 0 where no token is real.
    """
    expect.mask(attention_mask, hidden.shape[:2], "attention_mask", "1 where a token is real")
    mask = attention_mask.to(hidden.dtype)[:, :, None]            # (N, L, 1)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


class BertEmbeddings(nn.Module):
    """Token + position + segment, LayerNorm, dropout (Devlin et al. 2019, section 3)."""

    def __init__(self, vocab_size: int, hidden_size: int, max_length: int, segments: int = 2, dropout: float = 0.1):
        super().__init__()
        self.token = nn.Embedding(vocab_size, hidden_size)
        self.position = nn.Embedding(max_length, hidden_size)
        self.segment = nn.Embedding(segments, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: torch.Tensor, segment_ids: torch.Tensor | None = None) -> torch.Tensor:
        """input_ids, segment_ids: (N, L) int64, segments 0 if not given. Returns (N, L, D)."""
        length, most = input_ids.shape[1], self.position.num_embeddings
        if length > most:
            raise ValueError(f"The texts have {length} tokens, the model has {most} positions: cut them to {most}.")
        segment_ids = torch.zeros_like(input_ids) if segment_ids is None else segment_ids
        places = torch.arange(length, device=input_ids.device)
        summed = self.token(input_ids) + self.position(places) + self.segment(segment_ids)    # (N, L, D)
        return self.dropout(self.norm(summed))


def sentence_pairs(
    documents: list[list[str]], n: int, generator: torch.Generator | None = None
) -> list[tuple[str, str, bool]]:
    """Pairs for next-sentence prediction (Devlin et al. 2019, section 3.1, task 2), half of them true for even n.

    documents: lists of sentences; those of one sentence have no next. Returns n triples (first, second, is_next);
    negatives come from another document.
    """

    def draw(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    expect.documents(documents)
    longer = [document for document in documents if len(document) > 1]
    pairs = []
    for i in range(n):
        if i % 2 == 0:
            document = longer[draw(len(longer))]
            place = draw(len(document) - 1)
            pairs.append((document[place], document[place + 1], True))
        else:
            one = draw(len(documents))
            other = (one + 1 + draw(len(documents) - 1)) % len(documents)     # any but the same
            first, second = documents[one], documents[other]
            pairs.append((first[draw(len(first))], second[draw(len(second))], False))
    return pairs


def rotary(q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys turned by their places (Su et al. 2021, eq. 14 and 15), base 10,000.

    q, k: (N, heads, L, d), d even; positions: (L,) whole numbers. Returns (q, k) of the same shapes and lengths.
    """
    half = q.shape[3] // 2
    frequencies = 10_000.0 ** (-torch.arange(half, device=q.device) / half)
    angles = positions[:, None] * frequencies                           # (L, d / 2)
    cos, sin = angles.cos().to(q), angles.sin().to(q)

    def turned(x):
        a, b = x.chunk(2, dim=3)                                        # (N, heads, L, d / 2) each
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=3)

    return turned(q), turned(k)

"""Answers to week 3 whose mistake has a name since the fifth round: one line of a right version is another."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from torch import nn

from sslcourse.check import week03 as check

NAMES = {"torch": torch, "F": F, "nn": nn, "math": math}

MASK = """
def mask_tokens(input_ids, special_tokens_mask, mask_id, vocab_size, p=0.15, generator=None):
    u = torch.rand(input_ids.shape, generator=generator)
    chosen = (u < p) & ~special_tokens_mask
    labels = torch.where(chosen, input_ids, -100)
    fate = torch.rand(input_ids.shape, generator=generator)
    words = torch.randint(vocab_size, input_ids.shape, generator=generator)
    inputs = input_ids.clone()
    inputs[chosen & (fate < 0.8)] = mask_id
    swap = chosen & (fate >= 0.8) & (fate < 0.9)
    inputs[swap] = words[swap]
    return inputs, labels
"""
ATTENTION = """
def attention(q, k, v, key_padding_mask=None):
    s = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    w = s.softmax(3)
    if key_padding_mask is not None:
        m = key_padding_mask[:, None, None, :]
        w = s.masked_fill(m, torch.finfo(s.dtype).min).softmax(3).masked_fill(m, 0.0)
    return w @ v, w
"""
LOSS = """
def mlm_loss(logits, labels):
    chosen = (labels != -100).sum().clamp(min=1)
    flat = logits.reshape(-1, logits.shape[-1])
    return F.cross_entropy(flat, labels.flatten(), reduction="sum") / chosen
"""
GUESSED = """
def mlm_accuracy(logits, labels):
    chosen = labels != -100
    return (logits.argmax(dim=-1) == labels)[chosen].float().mean().item()
"""
POOL = """
def pool(hidden, attention_mask):
    m = attention_mask.to(hidden.dtype)[:, :, None]
    return (hidden * m).sum(1) / m.sum(1).clamp(min=1)
"""
PAIRS = """
def sentence_pairs(documents, n, generator=None):
    def draw(high):
        return int(torch.randint(high, (), generator=generator))
    longer = [d for d in documents if len(d) > 1]
    pairs = []
    for i in range(n):
        if i % 2 == 0:
            d = longer[draw(len(longer))]
            j = draw(len(d) - 1)
            pairs.append((d[j], d[j + 1], True))
        else:
            a, b = torch.randperm(len(documents), generator=generator)[:2].tolist()
            a, b = documents[a], documents[b]
            pairs.append((a[draw(len(a))], b[draw(len(b))], False))
    return pairs
"""
EMBEDDINGS = """
class BertEmbeddings(nn.Module):
    def __init__(self, vocab_size, hidden_size, max_length, segments=2, dropout=0.1):
        super().__init__()
        self.token = nn.Embedding(vocab_size, hidden_size)
        self.position = nn.Embedding(max_length, hidden_size)
        self.segment = nn.Embedding(segments, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
    def forward(self, input_ids, segment_ids=None):
        segment_ids = torch.zeros_like(input_ids) if segment_ids is None else segment_ids
        places = torch.arange(input_ids.shape[1])
        return self.dropout(self.norm(self.token(input_ids) + self.position(places) + self.segment(segment_ids)))
"""
FATE = "fate = torch.rand(input_ids.shape, generator=generator)"
FILL = "torch.finfo(s.dtype).min"
BACK = "return w @ v, w"
TWO = "torch.randperm(len(documents), generator=generator)[:2].tolist()"
SET_BACK = "generator = torch.Generator().manual_seed(generator.initial_seed()) if generator else None"

WRONG = [
    (MASK, "~special_tokens_mask", "special_tokens_mask", "Chosen are the special tokens and nothing else"),
    (MASK, "torch.where(chosen,", "torch.where(~chosen,", "it is the other way round"),
    (MASK, "swap = chosen & ", "swap = ", "Words are changed at positions that were not chosen"),
    (MASK, "return inputs, labels", "return labels, inputs", "The inputs hold -100"),
    (MASK, "torch.rand(input_ids.shape, generator=generator)\n    chosen",
     "torch.rand((len(input_ids), 1), generator=generator)\n    chosen", "one draw decides for a whole row"),
    (MASK, FATE, "fate = torch.rand((), generator=generator)", "one draw decides for all words"),
    (MASK, FATE, "fate = u", "one draw decides both"),
    (MASK, "u < p", "u > p", "1 - p is taken for p"),
    (MASK, "u < p", "u < p * special_tokens_mask.numel() / (~special_tokens_mask).sum()", "p is raised"),
    (MASK, "    labels", "    chosen[:, 1] = True\n    labels", "is chosen in every text"),
    (MASK, "] = mask_id", "] = mask_id + 1", "mask_id, which is 3, is meant"),
    (MASK, "& ~special_tokens_mask", "& ~special_tokens_mask & (input_ids != 0)", "Words of id 0 are never chosen"),
    (MASK, "torch.randint(vocab_size,", "torch.randint(vocab_size - 1,", "the word 6 is never drawn"),
    (MASK, "    u =", f"    {SET_BACK}\n    u =", "Two calls with one generator"),
    (ATTENTION, FILL, "-5.0", "a number that other scores reach"),
    (ATTENTION, "key_padding_mask[:, None, None, :]", "key_padding_mask[:1, None, None, :]", "the mask of one text"),
    (ATTENTION, "math.sqrt(q.shape[3])", "8", "divided by a fixed number"),
    (ATTENTION, BACK, "return w @ v, s", "scores are returned for weights"),
    (ATTENTION, BACK, "w = F.dropout(w, 0.3)\n    return w @ v, w", "A second call on the same inputs"),
    (ATTENTION, BACK, "w = w / 2\n    return w @ v, w", "multiplied by 0.5 after the softmax"),
    (ATTENTION, "    w = s.softmax(3)\n", "    w = s.masked_fill(torch.eye(6).bool(), -1e9).softmax(3)\n",
     "no query sees itself"),
    (ATTENTION, BACK, "if key_padding_mask is not None:\n        w = w * ~key_padding_mask[:, None, :, None]\n"
     "    return w @ v, w", "padded queries get no weights"),
    (ATTENTION, "s.softmax(3)", "s.exp() / s.exp().sum(3, keepdim=True)", "the exponential of a large score overflows"),
    (LOSS, 'reduction="sum"', 'reduction="sum", label_smoothing=0.1', "labels are smoothed"),
    (LOSS, "logits.reshape", "logits.transpose(-1, -2).reshape", "axes are mixed"),
    (LOSS, '="sum") / chosen', '="mean").nan_to_num() / chosen', "it is divided twice"),
    (LOSS, "labels.flatten()", "labels.roll(1, -1).flatten()", "the word before"),
    (LOSS, 'F.cross_entropy(flat, labels.flatten(), reduction="sum")',
     'F.nll_loss((flat.softmax(1) + 1e-8).log(), labels.flatten(), reduction="sum")', "For logits thirty times"),
    (GUESSED, ".item()", ".nan_to_num().item()", "there is no share of nothing"),
    (GUESSED, "(logits.argmax(dim=-1) == labels)", "(logits.topk(2).indices == labels[..., None]).any(-1)",
     "one of the likeliest words"),
    (GUESSED, "(logits.argmax(dim=-1) == labels)[chosen].float().mean()",
     "((logits.argmax(-1) == labels).sum(-1) / chosen.sum(-1)).mean()", "a mean over rows of shares"),
    (POOL, "m.sum(1).clamp(min=1)", "m.sum(1).max()", "all rows are divided by one number"),
    (POOL, "clamp(min=1)", "clamp(min=2)", "a single real token is divided by 2"),
    (POOL, "(hidden.dtype)[", "(hidden.dtype).softmax(1)[", "a softmax makes weights of the mask"),
    (POOL, "    return", "    m = m * (m.cumsum(1) < m.sum(1, keepdim=True))\n    return", "the last real token"),
    (POOL, "    return", "    hidden, m = hidden[:, 1:-1], m[:, 1:-1]\n    return", "the first and the last place"),
    (PAIRS, "a[draw(len(a))]", "a[0]", "different first sentences"),
    (PAIRS, f"            a, b = {TWO}",
     "            a = draw(len(documents))\n            b = (a + 1) % len(documents)",
     "from one or two documents only"),
    (PAIRS, TWO, TWO.replace("len(documents)", "len(documents) - 1"), "comes from document 7 of 8"),
    (PAIRS, "a, b = documents[a], documents[b]",
     "a, b = longer[a % len(longer)], longer[(a + 1 + b % 4) % len(longer)]",
     "Documents of one sentence never serve"),
    (PAIRS, "    pairs = []", "    documents.reverse()\n    pairs = []", "changes its argument documents"),
    (PAIRS, "    pairs = []", f"    {SET_BACK}\n    pairs = []", "it is set back in every call"),
    (PAIRS, "d[j + 1], True", "d[j + 1], 'yes'", "is_next should be True or False"),
    (EMBEDDINGS, "torch.arange(input_ids.shape[1])", "torch.arange(input_ids.shape[1]) + 1", "positions count from 1"),
    (EMBEDDINGS, "self.position(places)", "self.position(places.clamp(max=7))", "gets through a model of 8 positions"),
    (EMBEDDINGS, "self.token(input_ids) +", "self.token(input_ids) * 6**0.5 +", "by the root of their width"),
]  # fmt: skip
EXERCISES = {
    MASK: "mask_tokens",
    ATTENTION: "attention",
    LOSS: "mlm_loss",
    GUESSED: "mlm_accuracy",
    POOL: "pool",
    PAIRS: "sentence_pairs",
    EMBEDDINGS: "BertEmbeddings",
}


@pytest.mark.parametrize(("source", "old", "new", "words"), WRONG)
def test_a_wrong_version_is_named(source, old, new, words):
    assert old in source
    name = EXERCISES[source]
    assert_wrong(getattr(check, name), cell(source.replace(old, new), name, **NAMES), words)


def one_draw(input_ids, special_tokens_mask, mask_id, vocab_size, p=0.15, generator=None):
    """Choice and fate from one number, by dividing the range below p itself."""
    u = torch.rand(input_ids.shape, generator=generator).masked_fill(special_tokens_mask, 2.0)
    words = torch.randint(0, vocab_size, tuple(input_ids.shape), generator=generator)
    inputs = torch.where(u < 0.8 * p, mask_id, torch.where(u < 0.9 * p, words, input_ids))
    return inputs, torch.where(u < p, input_ids, -100)


def with_numpy(documents, n, generator=None):
    """All positives first; the first part of a negative as in a positive, as the authors' code has it."""
    random = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
    longer = [i for i, document in enumerate(documents) if len(document) > 1]
    pairs = []
    for i in range(n):
        one = longer[random.integers(len(longer))]
        j = random.integers(len(documents[one]) - 1)
        if i < n // 2:
            pairs.append((documents[one][j], documents[one][j + 1], np.bool_(True)))
            continue
        other = random.choice([k for k in range(len(documents)) if k != one])
        pairs.append((documents[one][j], documents[other][random.integers(len(documents[other]))], False))
    return pairs


def by_scaled_dot_product(q, k, v, key_padding_mask=None):
    """The output from torch, the weights by a softmax over -inf where something is left to look at."""
    s = q @ k.mT / q.shape[-1] ** 0.5
    if key_padding_mask is None:
        return F.scaled_dot_product_attention(q, k, v), s.softmax(3)
    nothing = key_padding_mask.all(1)[:, None, None, None]
    mask = (key_padding_mask & ~key_padding_mask.all(1)[:, None])[:, None, None]
    w = s.masked_fill(mask, -torch.inf).softmax(3).masked_fill(nothing, 0)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=~mask) * ~nothing, w


def guarded_mean(logits, labels):
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten()) if (labels >= 0).any() else logits.sum() * 0


RIGHT = [
    (check.mask_tokens, one_draw),
    (check.sentence_pairs, with_numpy),
    (check.attention, by_scaled_dot_product),
    (check.mlm_loss, guarded_mean),
    *((getattr(check, name), cell(source, name, **NAMES)) for source, name in EXERCISES.items()),
]


@pytest.mark.parametrize(("judge", "right"), RIGHT)
def test_a_right_version_in_another_style(judge, right, seeds):
    assert_right(judge, right)

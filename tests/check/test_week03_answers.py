"""More answers to week 3, as people write them: unusual right ones are accepted, wrong ones told what they did.

Each wrong answer stands with words of the message that names its mistake.
"""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from torch import nn

from sslcourse.check import week03 as check

# --- mask_tokens


def fates_by_number(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    """One draw of a fate between 0 and 9, words drawn before anything else."""
    words = torch.randint(0, vocab_size, ids.size(), generator=generator)
    fate = torch.randint(10, ids.size(), generator=generator)
    chosen = torch.logical_and(torch.rand(ids.size(), generator=generator) <= p, ~special)
    inputs = torch.where(fate == 0, words, torch.where(fate == 1, ids, torch.full_like(ids, mask_id)))
    return torch.where(chosen, inputs, ids), torch.where(chosen, ids, torch.full_like(ids, -100))


def by_places(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    """On the flat list of places that may be chosen."""
    inputs, labels = ids.flatten().clone(), torch.full((ids.numel(),), -100)
    places = (~special).flatten().nonzero()[:, 0]
    places = places[torch.rand(len(places), generator=generator) < p]
    labels[places] = ids.flatten()[places]
    fate = torch.rand(len(places), generator=generator)
    inputs[places[fate < 0.8]] = mask_id
    swap = places[fate >= 0.9]
    inputs[swap] = (torch.rand(len(swap), generator=generator) * vocab_size).long()
    return inputs.view_as(ids), labels.view_as(ids)


def with_numpy(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    seed = int(torch.randint(2**31, (), generator=generator))
    rng = np.random.default_rng(seed)
    a, shape = ids.numpy(), tuple(ids.shape)
    chosen = (rng.random(shape) < p) & ~special.numpy()
    fate = rng.choice(3, shape, p=[0.8, 0.1, 0.1])
    inputs = np.select([chosen & (fate == 0), chosen & (fate == 1)], [mask_id, rng.integers(vocab_size, size=shape)], a)
    return torch.from_numpy(inputs), torch.from_numpy(np.where(chosen, a, -100))


def by_categories(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    weights = torch.tensor([1 - p, 0.8 * p, 0.1 * p, 0.1 * p])
    fate = torch.multinomial(weights, ids.numel(), replacement=True, generator=generator).view_as(ids)
    fate = fate.masked_fill(special, 0)
    words = torch.randint_like(ids, vocab_size) if generator is None else None
    words = torch.randint(vocab_size, ids.shape, generator=generator) if words is None else words
    inputs = ids.masked_fill(fate == 1, mask_id)
    return torch.where(fate == 2, words, inputs), ids.masked_fill(fate == 0, -100)


@pytest.mark.parametrize("right", [fates_by_number, by_places, with_numpy, by_categories])
def test_right_mask_tokens(right, seeds):
    assert_right(check.mask_tokens, right)


def masking(second=lambda chosen, masked, g: masked.logical_not() & _coin(chosen, 0.5, g), start="inputs", reset=None):
    """As transformers does it, with something else for the places of random words."""

    def wrong(ids, special, mask_id, vocab_size, p=0.15, generator=None):
        g = reset(generator) if reset else generator
        chosen = _coin(ids, p, g) & ~special
        masked = chosen & _coin(ids, 0.8, g)
        swap = chosen & second(chosen, masked, g)
        inputs = torch.where(masked, mask_id, ids)
        words = torch.randint(vocab_size, ids.shape, generator=g)
        return torch.where(swap, words, inputs if start == "inputs" else ids), ids.masked_fill(~chosen, -100)

    return wrong


def _coin(like, p, generator):
    return torch.rand(like.shape, generator=generator) < p


def set_back(generator):
    return generator and generator.manual_seed(generator.initial_seed())


def copied_state(generator):
    if generator is None:
        return None
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return copy


def own_seed(generator):
    return torch.Generator().manual_seed(generator.initial_seed()) if generator else None


def fate_from_its_own(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    chosen = _coin(ids, p, generator) & ~special
    own = torch.Generator().manual_seed(generator.initial_seed() if generator else int(torch.randint(999, ())))
    fate = torch.rand(ids.shape, generator=own)
    words = torch.randint(vocab_size, ids.shape, generator=own)
    inputs = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate > 0.9), words, inputs), ids.masked_fill(~chosen, -100)


def fate_from_the_choice(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    u = torch.rand(ids.shape, generator=generator)
    chosen = (u < p) & ~special
    inputs = torch.where(chosen & (u < 0.8), mask_id, ids)
    return inputs, ids.masked_fill(~chosen, -100)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (masking(reset=set_back), "Two calls with one generator hide the same words"),
        (masking(reset=own_seed), "Two calls with one generator hide the same words"),
        (masking(reset=copied_state), "Two calls with one generator hide the same words"),
        (fate_from_its_own, "do the same to the same words"),
        (masking(second=lambda c, m, g: _coin(c, 0.5, g)), "random words overwrite masks"),
        (masking(second=lambda c, m, g: _coin(c, 0.1, g)), "random words overwrite masks"),
        (masking(second=lambda c, m, g: c), "random words overwrite masks"),
        (masking(second=lambda c, m, g: m | _coin(c, 0.5, g)), "random words overwrite masks"),
        (masking(start="ids"), "the masks are lost"),
        (masking(second=lambda c, m, g: ~m & _coin(c, 0.1, g)), "Ten per cent of the chosen are half of the fifth"),
        (masking(second=lambda c, m, g: ~m), "Half of those that do not become [MASK] stay"),
        (fate_from_the_choice, "one draw decides both"),
        (lambda i, s, m, v, p=0.15, g=None: (i.clone(), masking()(i, s, m, v, p, g)[1]), "no chosen word is replaced"),
        (lambda i, s, m, v, p=0.15, g=None: masking()(i, s, m, v, p * 1.4, g), "chosen with probability p"),
        (lambda i, s, m, v, p=0.15, g=None: masking()(i, ~s, m, v, p, g), "Chosen are the special tokens"),
        (lambda i, s, m, v, p=0.15, g=None: masking()(i, s, m, v, 0.15, g), "argument p is not used"),
    ],
)
def test_wrong_mask_tokens(wrong, words):
    assert_wrong(check.mask_tokens, wrong, words)


# --- attention


def by_torch(q, k, v, key_padding_mask=None):
    """The output by torch's own function, an identity matrix for the weights."""
    n, heads, length, _ = q.shape
    mask = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :].expand(n, heads, length, length)
    one = torch.eye(length).expand(n, heads, length, length)
    empty = None if mask is None else ~mask.any(3, keepdim=True)
    safe = None if mask is None else mask | empty
    output, weights = (F.scaled_dot_product_attention(q, k, x, attn_mask=safe) for x in (v, one))
    if empty is not None:
        output, weights = output.masked_fill(empty, 0), weights.masked_fill(empty, 0)
    return output, weights


def in_double(q, k, v, key_padding_mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", q.double(), k.double()).mul(q.shape[-1] ** -0.5)
    if key_padding_mask is not None:
        scores = scores.masked_fill(key_padding_mask.unsqueeze(1).unsqueeze(2), torch.finfo(torch.float64).min)
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True).clamp_min(1e-300)
    return (weights @ v.double()).float(), weights.float()


def head_by_head(q, k, v, key_padding_mask=None):
    real = torch.ones(len(q), 1, q.shape[2]) if key_padding_mask is None else 1.0 - key_padding_mask.float()[:, None]
    parts = []
    for h in range(q.shape[1]):
        scores = torch.bmm(q[:, h], k[:, h].mT) / math.sqrt(q.shape[3])
        e = (scores - scores.amax(2, keepdim=True).detach()).exp() * real
        parts.append(e / (e.sum(2, keepdim=True) + 1e-30))
    weights = torch.stack(parts, 1)
    return weights @ v, weights


class Attention(nn.Module):
    class Scores(nn.Module):
        def forward(self, q, k):
            return (q / q.shape[3] ** 0.25) @ (k / k.shape[3] ** 0.25).mT

    def __init__(self):
        super().__init__()
        self.scores = self.Scores()

    def forward(self, q, k, v, key_padding_mask=None):
        scores = self.scores(q, k)
        if key_padding_mask is None:
            weights = scores.softmax(-1)
        else:
            hidden = key_padding_mask[:, None, None]
            weights = scores.add(hidden.float() * -1e30).softmax(-1) * hidden.logical_not()
        return [weights.matmul(v), weights]


@pytest.mark.parametrize("right", [by_torch, in_double, head_by_head, Attention(), functools.partial(in_double)])
def test_right_attention(right, seeds):
    assert_right(check.attention, right)


def attending(
    scale=lambda q: math.sqrt(q.shape[3]),
    before=lambda s, m: s.masked_fill(m, -1e30),
    squash=lambda s: s.softmax(3),
    after=lambda w, m: w.masked_fill(m, 0),
    out=lambda w, q, k, v: w @ v,
    prepare=lambda q, k, v: (q, k, v),
):
    def attention(q, k, v, key_padding_mask=None):
        mask = torch.zeros(q.shape[0], q.shape[2]).bool() if key_padding_mask is None else key_padding_mask
        a, b, c = prepare(q, k, v)
        weights = after(squash(before(a @ b.mT / scale(q), mask[:, None, None])), mask[:, None, None])
        return out(weights, q, k, c), weights

    return attention


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (attending(scale=lambda q: math.sqrt(q.shape[2])), "divided by the length of the text"),
        (attending(scale=lambda q: q.shape[2]), "divided by the length of the text"),
        (attending(scale=lambda q: math.sqrt(q.shape[1] * q.shape[3])), "width of all heads"),
        (attending(scale=lambda q: math.sqrt(q.shape[1])), "number of heads"),
        (attending(prepare=lambda q, k, v: (k, q, v)), "queries and keys are swapped"),
        (attending(prepare=lambda q, k, v: (F.normalize(q, dim=3), F.normalize(k, dim=3), v)), "normalised first"),
        (attending(before=lambda s, m: s * ~m, after=lambda w, m: w), "set to 0, and exp(0) = 1"),
        (attending(before=lambda s, m: s * ~m), "does not add up to 1"),
        (attending(before=lambda s, m: s + m, after=lambda w, m: w), "the mask is added as it is"),
        (attending(squash=lambda s: s.sigmoid()), "each weight is a sigmoid"),
        (attending(squash=lambda s: s, before=lambda s, m: s), "the softmax is missing"),
        (attending(before=lambda s, m: s.masked_fill(m | ~torch.ones(6, 6).tril().bool(), -1e30)), "no causal mask"),
        (attending(out=lambda w, q, k, v: w @ v + q), "a residual is added"),
        (attending(out=lambda w, q, k, v: w @ v + v), "a residual is added"),
        (attending(out=lambda w, q, k, v: w @ k), "meet the keys or the queries"),
        (attending(out=lambda w, q, k, v: w @ v / math.sqrt(v.shape[3])), "scaled once more"),
        (attending(out=lambda w, q, k, v: F.layer_norm(w @ v, v.shape[3:])), "the output is normalised"),
        (attending(out=lambda w, q, k, v: v), "values are left as they are"),
        (attending(squash=lambda s: F.dropout(s.softmax(3), 0.1)), "it should be"),
        (attending(out=lambda w, q, k, v: F.dropout(w, 0.1) @ v), "The weights are right, the output is not"),
        (attending(after=lambda w, m: w), "output and weights should be 0"),
    ],
)
def test_wrong_attention(wrong, words):
    assert_wrong(check.attention, wrong, words)


# --- mlm_loss, mlm_accuracy


def nll(logits, labels):
    chosen = labels.ne(-100)
    total = F.nll_loss(logits[chosen].log_softmax(1), labels[chosen], reduction="sum")
    return total / chosen.sum().clamp(min=1)


def in_a_loop(logits, labels):
    total, count = logits.sum() * 0, 0
    for row, label in zip(logits.reshape(-1, logits.size(-1)), labels.reshape(-1).tolist(), strict=True):
        if label != -100:
            total, count = total + torch.logsumexp(row, 0) - row[label], count + 1
    return total / max(count, 1)


def one_hot(logits, labels):
    target = F.one_hot(labels.clamp(min=0), logits.shape[-1]) * (labels != -100)[..., None]
    return -torch.einsum("...v,...v->", target.double(), logits.double().log_softmax(-1)) / target.sum().clamp(min=1)


class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.CrossEntropyLoss(ignore_index=-100, reduction="none")

    def forward(self, logits, labels):
        losses = self.inner(logits.movedim(-1, 1) if logits.dim() > 2 else logits, labels)
        return losses.sum() / (labels >= 0).sum().clamp(min=1)


def without_nan(logits, labels):
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten()).nan_to_num(0)


def guarded(logits, labels):
    loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten())
    return torch.where((labels != -100).any(), loss, 0 * logits.sum()) if (labels != -100).any() else 0 * logits.sum()


@pytest.mark.parametrize("right", [nll, in_a_loop, one_hot, Criterion(), guarded, without_nan, functools.partial(nll)])
def test_right_mlm_loss(right, seeds):
    assert_right(check.mlm_loss, right)


def probability(logits, labels):
    chosen = labels != -100
    return logits[chosen].softmax(1).gather(1, labels[chosen][:, None])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: nll(a, b.masked_fill(b == 0, -100)), "word 0 is left out"),
        (lambda a, b: -probability(a, b).mean().log(), "logarithm and the mean are swapped"),
        (lambda a, b: -probability(a, b).mean(), "the logarithm is missing"),
        (lambda a, b: nll(a, b).exp(), "the perplexity"),
        (lambda a, b: nll(a, b) / math.log(2), "not the natural one"),
        (lambda a, b: nll(a, b) * (b >= 0).sum() / ((b >= 0).sum() + 1), "1 is added to the number"),
        (lambda a, b: -a[b >= 0].gather(1, b[b >= 0][:, None]).mean(), "there is no softmax"),
        (lambda a, b: nll(a.softmax(-1), b), "softmax is taken twice"),
        (lambda a, b: nll(a, b) * (b >= 0).sum() / b.numel(), "divided by the number of all positions"),
        (lambda a, b: -nll(a, b), "the sign is wrong"),
        (lambda a, b: F.cross_entropy(a.flatten(0, -2), b.flatten().clamp(min=0)), "positions that were not chosen"),
        (lambda a, b: nll(a, b) * (b >= 0).sum(), "the losses are summed"),
    ],
)
def test_wrong_mlm_loss(wrong, words):
    assert_wrong(check.mlm_loss, wrong, words)


def hits(logits, labels):
    chosen = labels != -100
    return (logits.argmax(-1) == labels)[chosen].double()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: 1 - hits(a, b).mean(), "the error rate"),
        (lambda a, b: 100 * hits(a, b).mean(), "a percentage"),
        (lambda a, b: hits(a, b).sum(), "hits are counted"),
        (lambda a, b: hits(a, b.masked_fill(b == 0, -100)).mean(), "word 0 is left out"),
        (lambda a, b: hits(-a, b).mean(), "least likely word"),
    ],
)
def test_wrong_mlm_accuracy(wrong, words):
    assert_wrong(check.mlm_accuracy, wrong, words)


# --- pool


def masked_mean(hidden, attention_mask):
    real = attention_mask.bool()[..., None]
    return hidden.masked_fill(~real, 0).sum(1) / real.sum(1).clamp(min=1)


def by_products(hidden, attention_mask):
    m = attention_mask.to(hidden)
    return torch.bmm(m[:, None], hidden).squeeze(1) / torch.maximum(m.sum(1, keepdim=True), torch.ones(1))


def nan_mean(hidden, attention_mask):
    return hidden.masked_fill(attention_mask[..., None] == 0, torch.nan).nanmean(1).nan_to_num(0)


def text_by_text(hidden, attention_mask):
    rows = []
    for states, mask in zip(hidden.double(), attention_mask, strict=True):
        weights = mask.double() / max(1, int(mask.sum()))
        rows.append((weights[:, None] * states).sum(0))
    return torch.stack(rows).float()


@pytest.mark.parametrize(
    "right", [masked_mean, by_products, nan_mean, text_by_text, functools.partial(masked_mean)]
)
def test_right_pool(right, seeds):
    assert_right(check.pool, right)


def first_places(hidden, attention_mask):
    counts = attention_mask.sum(1).tolist()
    return torch.stack([h[:n].sum(0) / max(1, n) for h, n in zip(hidden, counts, strict=True)])


def total(hidden, attention_mask):
    return (hidden * attention_mask[..., None]).sum(1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (first_places, "the first n positions are averaged"),
        (lambda h, m: h[:, -1], "it is the last token"),
        (lambda h, m: h[torch.arange(len(h)), m.sum(1) - 1], "the token at place n - 1"),
        (lambda h, m: masked_mean(h[:, 1:], m[:, 1:]), "is left out: all real tokens count"),
        (lambda h, m: total(h, m) / m.sum(1, keepdim=True).clamp(min=1).sqrt(), "root of the number of real tokens"),
        (lambda h, m: total(h, m) / (m.sum(1, keepdim=True) + 1), "1 is added to the number"),
        (lambda h, m: F.normalize(masked_mean(h, m)), "the result is normalised"),
        (lambda h, m: total(h, m), "not divided"),
        (lambda h, m: total(h, m) / m.shape[1], "divided by the padded length"),
        (lambda h, m: h.mean(1), "padding is averaged in"),
        (lambda h, m: masked_mean(h, m == 0), "wrong way round"),
        (lambda h, m: masked_mean(h, m).relu(), "Try one by hand"),
        (lambda h, m: h.masked_fill(m[..., None] == 0, 0).median(1).values, "Try one by hand"),
    ],
)
def test_wrong_pool(wrong, words):
    assert_wrong(check.pool, wrong, words)

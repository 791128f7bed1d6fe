"""The checks of week 3: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from torch import nn

import sslcourse
from sslcourse.check import week03 as check
from sslcourse.check.week03 import attention_oracle, oracle

# --- the definitions against peer libraries


def bert_attention():
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    config.max_position_embeddings = 6
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    return BertModel(config).double().eval()


def test_attention_definition_equals_bert_model_and_torch():
    model = bert_attention()
    ids = torch.randint(0, 9, (2, 5))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, output_attentions=True)
        part = model.encoder.layer[0].attention.self
        q, k, v = (
            f(out.hidden_states[0]).unflatten(2, (2, 4)).transpose(1, 2) for f in (part.query, part.key, part.value)
        )
        output, weights = attention_oracle.attention(q, k, v, mask == 0)
        torch.testing.assert_close(weights, out.attentions[0], rtol=0, atol=1e-9)
        peer = F.scaled_dot_product_attention(q, k, v, attn_mask=(mask == 1)[:, None, None, :])
        torch.testing.assert_close(output, peer, rtol=0, atol=1e-9)


def test_embeddings_definition_equals_transformers():
    peer = bert_attention().embeddings
    ids, segments = torch.randint(0, 9, (2, 5)), torch.tensor([[0, 0, 1, 1, 1]] * 2)
    tables = (peer.word_embeddings, peer.position_embeddings, peer.token_type_embeddings)
    weights = (*(table.weight for table in tables), peer.LayerNorm.weight, peer.LayerNorm.bias)
    mine = oracle.bert_embeddings(*weights, ids, segments)
    torch.testing.assert_close(mine, peer(input_ids=ids, token_type_ids=segments), rtol=0, atol=1e-9)


def test_loss_definition_equals_that_of_bert():
    from transformers import BertConfig, BertForMaskedLM

    model = BertForMaskedLM(
        BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    ).double()
    ids = torch.randint(0, 9, (3, 5))
    labels = ids.masked_fill(torch.rand(3, 5) < 0.5, -100)
    out = model.eval()(input_ids=ids, labels=labels)
    assert oracle.mlm_loss(out.logits, labels).item() == pytest.approx(out.loss.item(), abs=1e-9)


def test_collator_of_transformers_has_the_same_statistics():
    """Over some 6,000 chosen words the shares of transformers' collator and of the reference differ by chance alone."""
    from transformers import BertTokenizer, DataCollatorForLanguageModeling

    vocab = {token: n for n, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    vocab |= {f"w{n}": n + 5 for n in range(995)}
    tokenizer = BertTokenizer(vocab=vocab)
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    ids = torch.randint(20, 60, (600, 64))
    peer = collator([{"input_ids": row.tolist()} for row in ids])
    mine = mask_tokens(ids, torch.zeros_like(ids, dtype=torch.bool), tokenizer.mask_token_id, len(tokenizer))
    shares = []
    for inputs, labels in ((peer["input_ids"], peer["labels"]), mine):
        chosen = labels != -100
        n = chosen.sum()
        shares.append([n / ids.numel(), (inputs == 4)[chosen].sum() / n, (inputs == ids)[chosen].sum() / n])
    torch.testing.assert_close(torch.tensor(shares[0]), torch.tensor(shares[1]), rtol=0, atol=0.03)


def test_the_parametrised_definitions_are_right_without_a_mistake():
    q, k, v = torch.randn(3, 2, 2, 4, 3, dtype=torch.float64)
    mask = torch.arange(4) >= torch.tensor([[4], [2]])
    torch.testing.assert_close(attention_oracle._weights(q, k, v, mask), attention_oracle.attention(q, k, v, mask)[1])
    logits, labels = torch.randn(2, 4, 5, dtype=torch.float64), torch.tensor([[1, -100, 3, 0], [-100, -100, 2, 4]])
    torch.testing.assert_close(oracle._mlm_loss(logits, labels), oracle.mlm_loss(logits, labels))
    torch.testing.assert_close(oracle._pool(logits, ~mask), oracle.pool(logits, ~mask))


@pytest.mark.parametrize(
    "name", ["mask_tokens", "attention", "mlm_loss", "mlm_accuracy", "pool", "BertEmbeddings", "sentence_pairs"]
)
def test_the_reference_is_right(name, seeds):
    reference = sslcourse.solution("week03", name)
    if isinstance(reference, type):
        right = type(name, (reference,), {"forward": lambda self, *args: reference.forward(self, *args)})
    else:
        right = lambda *args: reference(*args)  # noqa: E731  a wrapper: the reference itself counts as not attempted
    assert_right(getattr(check, name), right)


# --- mask_tokens


def mask_tokens(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    chosen = (torch.rand(ids.shape, generator=generator) < p) & ~special
    labels = torch.where(chosen, ids, -100)
    fate = torch.rand(ids.shape, generator=generator)
    inputs = ids.clone()
    inputs[chosen & (fate < 0.8)] = mask_id
    swap = chosen & (fate > 0.9)
    inputs[swap] = torch.randint(vocab_size, (int(swap.sum()),), generator=generator)
    return inputs, labels


def mask_tokens_as_transformers(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    inputs, labels = ids.clone(), ids.clone()
    chosen = torch.bernoulli(torch.full(ids.shape, p).masked_fill(special, 0.0), generator=generator).bool()
    labels[~chosen] = -100
    masked = torch.bernoulli(torch.full(ids.shape, 0.8), generator=generator).bool() & chosen
    inputs[masked] = mask_id
    swap = torch.bernoulli(torch.full(ids.shape, 0.5), generator=generator).bool() & chosen & ~masked
    inputs[swap] = torch.randint(vocab_size, ids.shape, generator=generator)[swap]
    return inputs, labels


def mask_tokens_with_one_draw(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    u = torch.rand(ids.shape, generator=generator).masked_fill(special, 2.0)
    words = torch.randint(0, vocab_size, ids.shape, generator=generator)
    inputs = ids.where(u >= p, words).where(u >= 0.9 * p, mask_id)
    inputs = torch.where((u >= 0.8 * p) & (u < 0.9 * p), ids, inputs)
    return inputs, ids.masked_fill(u >= p, -100)


def mask_tokens_in_a_loop(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    inputs, labels = ids.clone(), torch.full_like(ids, -100)
    u = torch.rand(*ids.shape, 2, generator=generator)
    for n, place in ((u[..., 0] < p) & ~special).nonzero().tolist():
        labels[n, place] = ids[n, place]
        if u[n, place, 1] < 0.8:
            inputs[n, place] = mask_id
        elif u[n, place, 1] < 0.9:
            inputs[n, place] = torch.randint(vocab_size, (), generator=generator)
    return inputs, labels


@pytest.mark.parametrize(
    "right", [mask_tokens, mask_tokens_as_transformers, mask_tokens_with_one_draw, mask_tokens_in_a_loop]
)
def test_right_mask_tokens(right, seeds):
    assert_right(check.mask_tokens, right)


def variant(
    *,
    label="chosen",
    shares=(0.8, 0.9),
    rows=None,
    use_special=True,
    fixed_p=None,
    high=None,
    seed=None,
    words="each",
    use_generator=True,
):
    def wrong(ids, special, mask_id, vocab_size, p=0.15, generator=None):
        if seed is not None:
            torch.manual_seed(seed)
        generator = generator if use_generator else None
        shape = ids.shape if rows != "choice" else ids[:1].shape
        chosen = torch.rand(shape, generator=generator).expand(ids.shape) < (fixed_p or p)
        if rows == "count":
            order = torch.rand(ids.shape, generator=generator).masked_fill(special, 2).argsort(1).argsort(1)
            chosen = order < round(p * ids.shape[1] * 0.88)
        if use_special:
            chosen = chosen & ~special
        fate = torch.rand(ids[:, :1].shape if rows == "fate" else ids.shape, generator=generator).expand(ids.shape)
        drawn = torch.randint(high or vocab_size, ids.shape, generator=generator)
        drawn = drawn[0, 0].expand(ids.shape) if words == "one" else drawn
        inputs = torch.where(chosen & (fate < shares[0]), mask_id, ids)
        inputs = torch.where(chosen & (fate >= shares[0]) & (fate < shares[1]), drawn, inputs)
        labels = {
            "chosen": ids.masked_fill(~chosen, -100),
            "all": ids.clone(),
            "changed": ids.masked_fill(inputs == ids, -100),
            "masked": ids.masked_fill(inputs != mask_id, -100),
            "inputs": inputs.masked_fill(~chosen, -100),
            "none": torch.full_like(ids, -100),
        }
        return inputs, labels[label]

    return wrong


def of_the_rest(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    inputs, labels = ids.clone(), ids.clone()
    chosen = (torch.rand(ids.shape, generator=generator) < p) & ~special
    labels[~chosen] = -100
    masked = chosen & (torch.rand(ids.shape, generator=generator) < 0.8)
    inputs[masked] = mask_id
    swap = chosen & ~masked & (torch.rand(ids.shape, generator=generator) < 0.1)
    inputs[swap] = torch.randint(vocab_size, ids.shape, generator=generator)[swap]
    return inputs, labels


def masked_in_place(ids, special, mask_id, vocab_size, p=0.15, generator=None):
    inputs, labels = mask_tokens(ids, special, mask_id, vocab_size, p, generator)
    ids.copy_(inputs)
    return ids, labels


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (variant(label="all", use_special=True), "labels at positions that were not chosen"),
        (lambda i, s, m, v, p=0.15, g=None: (mask_tokens(i, s, m, v, p, g)[0], i.masked_fill(s, -100)), "not chosen"),
        (variant(use_special=False), "Special tokens are masked"),
        (variant(shares=(1.0, 1.0)), "all chosen words become [MASK]"),
        (variant(shares=(0.1, 0.9)), "three shares are swapped"),
        (variant(shares=(0.1, 0.2)), "three shares are swapped"),
        (variant(shares=(0.8, 1.0)), "Half of those that do not become [MASK] stay"),
        (variant(shares=(0.8, 0.8)), "Ten per cent of the chosen are half of the fifth"),
        (of_the_rest, "Ten per cent of the chosen are half of the fifth"),
        (variant(shares=(0.5, 0.75)), "It should be 80 %, 10 % and 10 %"),
        (variant(rows="choice"), "one draw is shared by all rows"),
        (variant(rows="count"), "same number of words in every row"),
        (variant(rows="fate"), "one draw decides for a whole row"),
        (variant(label="masked"), "labels stand at all chosen positions"),
        (variant(label="changed"), "only replaced positions have a label"),
        (variant(label="inputs"), "labels are not the original words"),
        (variant(label="none"), "is changed, but its label is -100"),
        (variant(fixed_p=0.15), "argument p is not used"),
        (variant(fixed_p=0.3), "Each word is chosen with probability p"),
        (variant(high=300), "do not come from the whole vocabulary"),
        (variant(high=1500), "ids run from 0 to 999"),
        (variant(words="one"), "draw one per position"),
        (variant(seed=0, use_generator=False), "Generators of different seeds choose the same"),
        (variant(use_generator=False), "Two generators of one seed give different results"),
        (masked_in_place, "changes its argument ids in place"),
        (lambda i, s, m, v, p=0.15, g=None: mask_tokens(i, s, m, v, p, g)[0], "should return two tensors"),
        (lambda i, s, m, v, p=0.15, g=None: print(), "returns None"),
        (lambda i, s, m, v, p=0.2, g=None: mask_tokens(i, s, m, v, p, g), "the default is 0.15"),
    ],
)
def test_wrong_mask_tokens(wrong, words):
    assert_wrong(check.mask_tokens, wrong, words)


# --- attention


def attention(q, k, v, mask=None, *, scale=None, dim=-1):
    scores = q @ k.transpose(-2, -1) / (math.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is not None:
        scores = scores.masked_fill(mask[:, None, None, :], -3e38)
    weights = scores.softmax(dim)
    if mask is not None:
        weights = weights * ~mask[:, None, None, :]
    return weights @ v, weights


def attention_with_einsum(q, k, v, mask=None):
    e = torch.einsum("nhid,nhjd->nhij", q, k) * q.size(3) ** -0.5
    e = (e - e.amax(3, keepdim=True)).exp()
    if mask is not None:
        e = e * (~mask)[:, None, None].float()
    weights = e / e.sum(3, keepdim=True).clamp(min=1e-30)
    return torch.einsum("nhij,nhjd->nhid", weights, v), weights


def attention_that_adds_the_mask(q, k, v, mask=None):
    scores = q @ k.mT / q.shape[3] ** 0.5
    if mask is not None:
        scores = scores + mask[:, None, None].float() * -1e9
    weights = F.softmax(scores, 3)
    if mask is not None:
        weights = torch.where(mask[:, None, None], torch.zeros_like(weights), weights)
    return torch.matmul(weights, v), weights


def attention_row_by_row(q, k, v, mask=None):
    outputs, all_weights = [], []
    for n in range(len(q)):
        weights = torch.zeros(q.shape[1], q.shape[2], k.shape[2])
        keep = torch.ones(k.shape[2], dtype=torch.bool) if mask is None else ~mask[n]
        part = (q[n] @ k[n][:, keep].transpose(1, 2) / math.sqrt(q.shape[3])).softmax(2)
        weights = weights.clone()
        weights[:, :, keep] = part
        outputs.append(weights @ v[n] + 0 * (q[n] + k[n]))
        all_weights.append(weights)
    return torch.stack(outputs), torch.stack(all_weights)


def infinite_fill(q, k, v, mask=None):
    scores = q @ k.mT / q.shape[3] ** 0.5
    weights = (scores if mask is None else scores.masked_fill(mask[:, None, None], -torch.inf)).softmax(3)
    return weights @ v, weights


def nan_to_num(q, k, v, mask=None):
    weights = infinite_fill(q, k, v, mask)[1].nan_to_num(0)
    return weights @ v, weights


@pytest.mark.parametrize(
    "right", [attention, attention_with_einsum, attention_that_adds_the_mask, attention_row_by_row, nan_to_num]
)
def test_right_attention(right, seeds):
    assert_right(check.attention, right)


def after_the_softmax(q, k, v, mask=None):
    weights = (q @ k.mT / q.shape[3] ** 0.5).softmax(3)
    if mask is not None:
        weights = weights.masked_fill(mask[:, None, None], 0)
    return weights @ v, weights


def adds_infinity(q, k, v, mask=None):
    scores = q @ k.mT / q.shape[3] ** 0.5
    if mask is not None:
        scores = scores + torch.zeros(mask.shape).masked_fill(mask, -torch.inf)[:, None, None]
    weights = scores.softmax(3).nan_to_num(0)
    return weights @ v, weights


def uniform_where_all_is_padding(q, k, v, mask=None):
    scores = q @ k.mT / q.shape[3] ** 0.5
    weights = (scores if mask is None else scores.masked_fill(mask[:, None, None], -1e9)).softmax(3)
    return weights @ v, weights


def hides_queries(q, k, v, mask=None, zeros=True):
    scores = q @ k.mT / q.shape[3] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask[:, None, :, None], -1e9)
    weights = scores.softmax(3)
    if mask is not None and zeros:
        weights = weights.masked_fill(mask[:, None, :, None], 0)
    return weights @ v, weights


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda q, k, v, mask=None: attention(q, k, v, mask, scale=1), "not divided by sqrt(d)"),
        (lambda q, k, v, mask=None: attention(q, k, v, mask, scale=q.shape[3]), "divided by d, not by its square root"),
        (lambda q, k, v, mask=None: attention(q, k, v, mask, scale=0.5), "multiplied by sqrt(d)"),
        (after_the_softmax, "applied after the softmax"),
        (lambda q, k, v, mask=None: attention(q, k, v), "mask is not used"),
        (lambda q, k, v, mask=None: attention(q, k, v, None if mask is None else ~mask), "wrong way round"),
        (hides_queries, "hides padded queries"),
        (lambda q, k, v, mask=None: hides_queries(q, k, v, mask, zeros=False), "hides padded queries"),
        (lambda q, k, v, mask=None: attention(q, k, v, mask, dim=2), "softmax runs over the queries"),
        (lambda q, k, v, mask=None: attention(q, k, v, mask, dim=1), "softmax runs over the heads"),
        (infinite_fill, "gives NaN"),
        (adds_infinity, "makes the gradient NaN"),
        (uniform_where_all_is_padding, "output and weights should be 0"),
        (lambda q, k, v, mask=None: attention(q, k, v, mask)[::-1], "the order is output, weights"),
        (lambda q, k, v, mask=None: attention(q, k, v, mask)[0], "should return two tensors"),
        (lambda q, k, v, mask=None: (lambda w: (w.mT @ v, w))(attention(q, k, v, mask)[1]), "weights are transposed"),
        (lambda q, k, v, mask=None: (v, attention(q, k, v, mask)[1]), "the output is not"),
        (lambda q, k, v, mask=None: [x.detach() for x in attention(q, k, v, mask)], "carries no gradient"),
        (lambda q, k, v, mask=None: attention(q.detach(), k, v, mask), "no gradient reaches one of q, k and v"),
        (lambda q, k, v, mask=None: attention(k, q, v, mask), "queries and keys are swapped"),
        (lambda q, k, v, mask=None: attention(q, k, v, mask, scale=3), "softmax(q k^T / sqrt(d))"),
    ],
)
def test_wrong_attention(wrong, words):
    assert_wrong(check.attention, wrong, words)


# --- mlm_loss


def mlm_loss(logits, labels):
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


def mlm_loss_of_chosen(logits, labels):
    chosen = labels != -100
    if not chosen.any():
        return logits.sum() * 0
    return F.cross_entropy(logits[chosen], labels[chosen])


def mlm_loss_by_gathering(logits, labels):
    chosen = (labels >= 0).to(logits.dtype)
    losses = -logits.log_softmax(-1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return (losses * chosen).sum() / max(1, int(chosen.sum()))


@pytest.mark.parametrize("right", [mlm_loss, mlm_loss_of_chosen, mlm_loss_by_gathering])
def test_right_mlm_loss(right, seeds):
    assert_right(check.mlm_loss, right)


def mean_of_row_means(logits, labels):
    if labels.dim() == 1:
        return mlm_loss(logits, labels)
    return torch.stack([mlm_loss(a, b) for a, b in zip(logits, labels, strict=True)]).mean()


def next_word(logits, labels):
    return mlm_loss(logits[..., :-1, :], labels[..., 1:])


def number_where_nothing(logits, labels):
    return mlm_loss(logits, labels) if (labels >= 0).any() else torch.tensor(0.0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: F.cross_entropy(a.flatten(0, -2), b.flatten(), reduction="none").mean(), "number of all"),
        (lambda a, b: F.cross_entropy(a.flatten(0, -2), b.flatten(), reduction="sum"), "the losses are summed"),
        (lambda a, b: F.cross_entropy(a.flatten(0, -2), b.flatten(), reduction="sum") / len(b), "number of rows"),
        (mean_of_row_means, "mean over rows of means"),
        (lambda a, b: F.cross_entropy(a.flatten(0, -2), b.flatten().clamp(min=0)), "positions that were not chosen"),
        (next_word, "asked for the next word"),
        (lambda a, b: -mlm_loss(a, b), "the sign is wrong"),
        (lambda a, b: mlm_loss(a.softmax(-1), b), "softmax is taken twice"),
        (lambda a, b: -a.softmax(-1)[b >= 0, b[b >= 0]].mean(), "logarithm is missing"),
        (lambda a, b: F.cross_entropy(a.flatten(0, -2), b.flatten()), "a mean over nothing is NaN"),
        (lambda a, b: mlm_loss(a.detach(), b), "carries no gradient"),
        (lambda a, b: mlm_loss(a, b).item(), "carries no gradient"),
        (number_where_nothing, "without a gradient"),
        (lambda a, b: mlm_loss(a, b) + 0.1, "one position is chosen"),
        (lambda a, b: F.cross_entropy(a.flatten(0, -2), b.flatten(), reduction="none"), "should be a scalar"),
    ],
)
def test_wrong_mlm_loss(wrong, words):
    assert_wrong(check.mlm_loss, wrong, words)


def test_mlm_accuracy():
    assert_right(check.mlm_accuracy, lambda a, b: (a.argmax(-1) == b)[b >= 0].double().mean())
    assert_right(check.mlm_accuracy, lambda a, b: float((a.argmax(-1) == b).sum() / (b >= 0).sum()))
    assert_wrong(check.mlm_accuracy, lambda a, b: (a.argmax(-1) == b).double().mean(), "divides by all positions")
    assert_wrong(check.mlm_accuracy, lambda a, b: (a.argmin(-1) == b)[b >= 0].double().mean(), "it should be")
    assert_wrong(check.mlm_accuracy, lambda a, b: a.argmax(-1) == b, "should be a scalar")


# --- pool


def pool(hidden, mask):
    m = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * m).sum(1) / m.sum(1).clamp(min=1)


def pool_by_weights(hidden, mask):
    weights = F.normalize(mask.float(), p=1, dim=1)
    return torch.einsum("nl,nld->nd", weights, hidden)


def pool_in_a_loop(hidden, mask):
    rows = [h[m.bool()] for h, m in zip(hidden, mask, strict=True)]
    return torch.stack([r.mean(0) if len(r) else h.sum(0) * 0 for r, h in zip(rows, hidden, strict=True)])


@pytest.mark.parametrize("right", [pool, pool_by_weights, pool_in_a_loop])
def test_right_pool(right, seeds):
    assert_right(check.pool, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda h, m: h.mean(1), "padding is averaged in"),
        (lambda h, m: (h * m[..., None]).mean(1), "divided by the padded length"),
        (lambda h, m: pool(h, 1 - m.long()), "wrong way round"),
        (lambda h, m: (h * m[..., None]).sum(1), "not divided"),
        (lambda h, m: (h * m[..., None]).sum(1) / m.sum(), "divided by one number"),
        (lambda h, m: h[:, 0], "first token"),
        (lambda h, m: h.amax(1), "it is the maximum"),
        (lambda h, m: h.masked_fill(m[..., None] == 0, -1e9).amax(1), "it is the maximum"),
        (lambda h, m: (h * m[..., None]).sum(1) / m.sum(1, keepdim=True), "gives NaN"),
        (lambda h, m: pool(h, m).detach(), "carry no gradient"),
        (lambda h, m: pool(h, m)[0], "it should be (4, 5)"),
        (lambda h, m: pool(h, m) + 0.1, "Try one by hand"),
        (lambda h, m: h[torch.arange(len(h)), m.sum(1) - 1], "the token at place n - 1"),
        (lambda h, m: (h * m[..., None]).sum(1) / (m.sum(1, keepdim=True) + 1), "1 is added"),
    ],
)
def test_wrong_pool(wrong, words):
    assert_wrong(check.pool, wrong, words)


# --- BertEmbeddings


class Embeddings(nn.Module):
    def __init__(self, vocab_size, hidden_size, max_length, eps=1e-12):
        super().__init__()
        self.token = nn.Embedding(vocab_size, hidden_size)
        self.position = nn.Embedding(max_length, hidden_size)
        self.segment = nn.Embedding(2, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=eps)
        self.dropout = nn.Dropout(0.5)

    def summed(self, ids, segments):
        segments = ids * 0 if segments is None else segments
        return self.token(ids) + self.position.weight[: ids.shape[1]] + self.segment(segments)

    def forward(self, ids, segments=None):
        return self.dropout(self.norm(self.summed(ids, segments)))


class WithoutPosition(Embeddings):
    def summed(self, ids, segments):
        return self.token(ids) + self.segment(ids * 0 if segments is None else segments)


class WithoutSegment(Embeddings):
    def summed(self, ids, segments):
        return self.token(ids) + self.position.weight[: ids.shape[1]]


class WithoutNorm(Embeddings):
    def forward(self, ids, segments=None):
        return self.dropout(self.summed(ids, segments))


class WithoutDropout(Embeddings):
    def forward(self, ids, segments=None):
        return self.norm(self.summed(ids, segments))


def test_bert_embeddings():
    assert_right(check.BertEmbeddings, Embeddings)
    assert_wrong(check.BertEmbeddings, WithoutPosition, "position embedding is left out")
    assert_wrong(check.BertEmbeddings, WithoutSegment, "segment embedding is left out")
    assert_wrong(check.BertEmbeddings, WithoutNorm, "the layer norm is left out")
    assert_wrong(check.BertEmbeddings, WithoutDropout, "nothing is dropped")
    assert_wrong(check.BertEmbeddings, lambda *a: Embeddings(*a, eps=1e-5), "eps=1e-12")


def test_embeddings_refuse_a_text_longer_than_the_model():
    module = sslcourse.solution("week03", "BertEmbeddings")(11, 6, 8)
    with pytest.raises(ValueError, match="9 tokens, the model has 8 positions"):
        module(torch.zeros(1, 9, dtype=torch.long))


# --- sentence_pairs


def pairs(documents, n, generator=None, *, other=True, shift=1, flip=False, share=2, mark=lambda b: b, first=False):
    def draw(high):
        return int(torch.randint(high, (1,), generator=generator))

    result, long = [], [d for d in documents if len(d) > 1]
    for i in range(n):
        if i % share == 0:
            d = long[draw(len(long))]
            s = 0 if first else draw(len(d) - shift) if len(d) > shift else 0
            a, b = d[s], d[min(s + shift, len(d) - 1)]
            result.append((b, a, mark(True)) if flip else (a, b, mark(True)))
        else:
            k = draw(len(documents))
            j = (k + 1 + draw(len(documents) - 1)) % len(documents) if other else k
            result.append((documents[k][draw(len(documents[k]))], documents[j][draw(len(documents[j]))], mark(False)))
    return result


def pairs_shuffled(documents, n, generator=None):
    made = pairs(documents, n, generator)
    return [made[i] for i in torch.randperm(n, generator=generator).tolist()]


def pairs_from_a_list_of_all(documents, n, generator=None):
    following = [(a, b, 1) for d in documents for a, b in zip(d, d[1:], strict=False)]
    apart = [(a, b, 0) for d in documents for e in documents if d is not e for a in d for b in e]
    half = n // 2
    return [
        part[int(torch.randint(len(part), (), generator=generator))]
        for part, count in ((following, n - half), (apart, half))
        for _ in range(count)
    ]


def test_sentence_pairs(seeds):
    for right in (pairs, pairs_shuffled, pairs_from_a_list_of_all):
        assert_right(check.sentence_pairs, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda d, n, g=None: pairs(d, n, g, other=False), "negative comes from the same document"),
        (lambda d, n, g=None: pairs(d, n, g, flip=True), "stands the wrong way round"),
        (lambda d, n, g=None: pairs(d, n, g, shift=2), "the next one stands directly behind it"),
        (lambda d, n, g=None: pairs(d, n, g, mark=lambda b: not b), "marked is_next"),
        (lambda d, n, g=None: pairs(d, n, g, share=4), "half of them, 400, should be"),
        (lambda d, n, g=None: pairs(d, n, g, first=True), "draw any sentence that has a next"),
        (lambda d, n, g=None: pairs(d, n), "pass `generator` to every draw"),
        (lambda d, n, g=None: pairs(d, n, torch.Generator().manual_seed(0)), "`generator` is not used"),
        (lambda d, n, g=None: pairs(d, n // 2, g), "a list of 800 triples"),
        (lambda d, n, g=None: [pair[:2] for pair in pairs(d, n, g)], "two strings and a bool"),
    ],
)
def test_wrong_sentence_pairs(wrong, words):
    assert_wrong(check.sentence_pairs, wrong, words)

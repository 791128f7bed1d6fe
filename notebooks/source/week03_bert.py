# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Week 3 · BERT: learning from missing words
#
# Cover a word in a sentence and guess it. To guess well one has to know which words mean nearly the same, what the text
# is about and what "not" does to the rest. BERT learns all this from text alone, and afterwards a few labelled
# examples are enough for a task. This week you write its core, the masking, attention, the loss and the pooling, train
# a small BERT from scratch, and compare it with a baseline that many courses forget: the same network, *truly* trained
# from scratch.
#
# **You will be able to**
#
# 1. write masked language modelling and say what its loss estimates, and what a unigram model reaches;
# 2. write attention with a padding mask and prove that padding changes nothing;
# 3. compare pretrained with from-scratch fairly: same labels, same steps, an encoder that really trains;
# 4. find out what each layer knows with probes, beside an untrained network, and say what a probe cannot see.
#
# **You need** linear probing (week 1), softmax and cross-entropy, PyTorch modules. Notation: $x_1, \dots, x_L$ are the
# tokens of a text, $V$ the size of the vocabulary, $h$ a hidden state with $D$ features, $N$ texts in a batch.
#
# **Time** {time} The notebook itself runs for about a minute at scale `tiny`; every blank exercise is replaced by its
# reference until you write your own.

# %%
# On Colab and Kaggle this installs the course; anywhere else it does nothing.
import importlib.util
import os
import subprocess
import sys

COURSE = ""  # the address that pip installs there; `sslcourse release` writes it
elsewhere = "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ
if elsewhere and importlib.util.find_spec("sslcourse") is None:
    if not COURSE:
        raise RuntimeError(
            "This notebook does not know where its course lies: write the address into COURSE above, git+https://... "
            "of the repository or https://... of a wheel, and run this cell again."
        )
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", COURSE], check=True)
    importlib.invalidate_caches()

# %% tags=["setup"]
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

# %%
scale = sslcourse.begin(week=3)

# %% [markdown] tags=["before"]
# ## Theory
#
# ### The question that a text asks itself
#
# Choose a set $C$ of positions at random, hide the words there, and let a network give a distribution over the
# vocabulary for each. The masked-language-model loss (Devlin et al. 2019) is the mean cross-entropy at these positions:
#
# $$L = -\frac{1}{|C|} \sum_{i \in C} \log p_\theta(x_i \mid \tilde x),$$
#
# with $\tilde x$ the text as the network sees it. Nobody labelled anything; the text is its own answer.
#
# **What is estimated.** For a hidden word $X$ and its context $\tilde X$, any $p_\theta$ has
#
# $$\mathbb{E}\,[-\log p_\theta(X \mid \tilde X)] = H(X \mid \tilde X) +
# \mathbb{E}\,\mathrm{KL}\big(p(\cdot \mid \tilde X)\,\Vert\,p_\theta(\cdot \mid \tilde X)\big).$$
#
# So the loss is smallest for the true conditional distribution, and there it is $H(X \mid \tilde X)$. A model that
# does not look at the context can at best give the frequencies of words (the *unigram* model), and its loss is
# $H(X)$. The difference is $H(X) - H(X \mid \tilde X) = I(X; \tilde X)$: what a network gains over the unigram level
# is a lower bound on the information that context has about a word. For accuracy the same baseline is simple: always
# say the most frequent token. Every curve below has these levels drawn in; a falling loss alone says little, since
# frequencies are learnt within a few steps.
#
# ### Why not simply [MASK]?
#
# After pretraining the network meets texts without a single [MASK]. If it had seen only masks at chosen positions, it
# would owe nothing to the words that *are* there. So of the chosen words 80 % become [MASK], 10 % a random word of the
# vocabulary and 10 % stay as they are, and all of them have to be predicted: any word might be wrong, so the network
# must form a view of every position from its context. Might: of the words that are *shown* at chosen places one half is
# right (a little more, since a random word can be the word itself), but most words were not chosen. With $p = 0.15$ a
# word that is shown is right with probability $(0.85 + 0.015) / (0.85 + 0.03) = 0.98$.
#
# ### Words that fill the same gap
#
# "the soup was [MASK]" accepts *superb*, *lovely* and *great* alike. To predict each of them from the same contexts,
# a network does best to give them similar vectors; that words are known by their company is an old idea (Harris 1954;
# Firth 1957). Adjectives joined by "and" mostly share their orientation, which alone is enough to sort them into two
# groups (Hatzivassiloglou & McKeown 1997). So what MLM learns about synonyms holds for words that no label ever
# named: this is what a classifier with a handful of labels cannot learn from the labels.

# %%
plot.show(
    hidden_words(),
    alt="Five words; two are chosen. One of these is shown as [MASK], the other as it is. Every word has a state, made "
    "from all words shown; at the two chosen places the state has to say which word was there.",
)

# %% [markdown] tags=["before"]
# ### Attention
#
# A layer of a transformer lets every position collect from all others (Vaswani et al. 2017). With queries, keys and
# values $q_i, k_j, v_j \in \mathbb{R}^d$,
#
# $$w_{ij} = \frac{\exp(q_i \cdot k_j / \sqrt d)}{\sum_{j'} \exp(q_i \cdot k_{j'} / \sqrt d)},
# \qquad o_i = \sum_j w_{ij} v_j .$$
#
# **Why $\sqrt d$.** If the components of $q$ and $k$ are independent with mean 0 and variance 1, then $\mathrm{Var}(q
# \cdot k) = \sum_{c=1}^d \mathrm{Var}(q_c k_c) = d$. Undivided scores would have a standard deviation of $\sqrt d$,
# the softmax would be nearly one-hot, and its gradient $w_{ij}(\delta_{jj'} - w_{ij'})$ nearly 0 at the start of
# training.
#
# **Padding.** Texts in a batch have different lengths, and short ones are filled up. A padded key must get weight
# *exactly* 0, and this has to happen before the softmax: set its score to $-\infty$ (or the smallest finite number), so
# that the rest is normalised among real keys. Setting weights to 0 afterwards leaves rows that no longer add up to 1,
# and the features of a text would depend on how long its neighbours in the batch are.
#
# **Many heads.** The same with several small $d$ side by side, so that one head may look at the neighbouring word and
# another at a negator two words away.
#
# ### What fills a gap is not yet what the text means
#
# Think of *the soup was never superb*. At the place of *superb* the network learns to say which words fit there:
# those of the kind of *superb*, since behind *never* a negative review needs a positive word. That is what the
# objective pays for, and the state at that place is shaped by it. Whether the *text* is positive is another question,
# the answer times $-1$ behind a negator: with $s \in \{-1, 1\}$ for the kind of a word and $d = -1$ where it is
# denied, sentiment is the product $s\,d$. A linear probe on a mean over words can read off $\sum s$ and $\sum d$, but
# no product, unless a layer has computed it. To predict the words of *another* sentence, the network does need the
# product. So it may be there and still not lie open: a reason to compare a **probe** on frozen features with
# **fine-tuning**, which may change what is laid open.
#
# ### From words to a text
#
# A classifier needs one vector a text. BERT was published with the state of [CLS]; without a training signal of its own
# that state is not made to summarise anything, and the mean over real tokens is the better default (Reimers & Gurevych
# 2019). Only over *real* tokens, again.
#
# ### What is compared with what
#
# "Pretraining helps" is a claim about two networks that differ in one thing. Four ways to spoil it: a from-scratch
# baseline whose encoder is frozen by accident (that is the random encoder with a probe); more steps or more labels for
# one side; a learning rate that suits one side, or that a scheduler keeps at zero; a bag of words that nobody ran.

# %% [markdown]
# ## Data
#
# At `tiny` these are toy reviews from a small grammar: a topic, an opinion, two sentences that agree. The opinion is
# worded by one of 32 adjectives, or by denying one of the opposite: *never superb* is negative. So the topic shows in
# single words, and the sentiment only in meaning and negation together. The larger scales pretrain on film reviews
# (IMDB) and classify sentences (SST-2).

# %%
# NBVAL_CHECK_OUTPUT
name = scale.pick(tiny="reviews", small="imdb", full="imdb")
task = scale.pick(tiny="reviews", small="sst2", full="sst2")
corpus = data.load_texts(name, "train", n=scale.pick(dry=200, tiny=16000, small=1000, full=None), seed=scale.seed)
corpus_val = data.load_texts(name, "val", n=scale.pick(dry=100, tiny=1000, small=300, full=2000), seed=scale.seed)
if task == name:
    train_set, val_set = corpus, corpus_val
else:
    train_set = data.load_texts(task, "train", n=scale.pick(dry=200, tiny=None, small=2000, full=None), seed=scale.seed)
    val_set = data.load_texts(task, "val", n=scale.pick(dry=100, tiny=None, small=400, full=None), seed=scale.seed)
test_set = data.load_texts(task, "test", n=scale.pick(dry=100, tiny=2000, small=None, full=None), seed=scale.seed)
data.same_classes(train_set, val_set, test_set)
print(f"{len(corpus)} texts to learn from, {len(train_set)} with labels")
print(f"{len(val_set)} validation texts, {len(test_set)} test texts")

# %%
for text, label in zip(val_set.texts[:4], val_set.labels[:4].tolist()):
    print(f"{val_set.class_names[label]:9} {text[:100]}")

# %% [markdown]
# A tokenizer cuts texts into *pieces*: frequent words whole, rare ones in parts (`##` marks a continuation). It is
# trained on the corpus, and only on its training part. Long texts of the real corpus are cut into stretches first. At
# `tiny` it is trained on reviews of a fixed seed, so that it numbers the pieces as a shipped network knows them.

# %%
max_length = scale.pick(tiny=16, small=64, full=128)           # tokens of a text, [CLS] and [SEP] included


def stretches(texts, words: int) -> list[str]:
    """Texts of at most so many words; longer ones in several parts."""
    cut = [text.split() for text in texts]
    return [" ".join(text[i : i + words]) for text in cut for i in range(0, len(text), words)]


corpus_texts = stretches(corpus.texts, int(0.75 * max_length) + 2)
if name == "reviews":
    tokenizer = data.reviews_tokenizer()
else:
    tokenizer = data.train_tokenizer(corpus_texts, scale.pick(tiny=None, small=4000, full=30000))
vocab_size, mask_id = tokenizer.get_vocab_size(), tokenizer.token_to_id("[MASK]")
corpus_tokens = data.encode(tokenizer, corpus_texts, max_length)
watched_texts = stretches(corpus_val.texts, int(0.75 * max_length) + 2)[: scale.pick(tiny=1000, small=300, full=1000)]
watched_tokens = data.encode(tokenizer, watched_texts, max_length)
print(f"{vocab_size} pieces; {len(corpus_tokens.input_ids)} stretches, {corpus_tokens.truncated} of them cut short")
print(tokenizer.encode(val_set.texts[0][:60]).tokens)
print(tokenizer.encode("unheard-of \u2603").tokens, "- characters that the corpus lacks become [UNK]")

# %% [markdown]
# ## Exercises
#
# The solutions begin with a line of `expect`, which turns a wrong shape or type into one clear sentence. Yours need
# not.

# %% [markdown]
# ### 3.1 Masking  ·  difficulty 2 of 3  ·  about 25 minutes
#
# Choose each position with probability `p`, independently, but never one where `special_tokens_mask` is True (it
# covers [CLS], [SEP] and padding). Of the chosen ones 80 % become `mask_id`, 10 % a random id below `vocab_size`, 10 %
# stay. The labels hold the original id at *every* chosen position and -100 elsewhere, which cross-entropy ignores.
# Pass `generator` to every draw.
#
# <details><summary>Hint 1</summary>
# Two uniform draws of the shape of <code>input_ids</code>: one for the choice, one for its fate.</details>
# <details><summary>Hint 2</summary>Fate below 0.8: mask; between 0.8 and 0.9: random; above: kept.</details>
# <details><summary>Hint 3</summary>
# <code>torch.where(condition, a, b)</code> and <code>masked_fill</code> make copies; the input must stay as it
# is.</details>


# %% tags=["exercise", "points:3"]
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
    ### BEGIN SOLUTION
    expect.masking(input_ids, special_tokens_mask, mask_id, vocab_size, p)
    draw = {"generator": generator, "device": input_ids.device}
    chosen = (torch.rand(input_ids.shape, **draw) < p) & ~special_tokens_mask
    labels = input_ids.masked_fill(~chosen, -100)
    fate = torch.rand(input_ids.shape, **draw)
    words = torch.randint(vocab_size, input_ids.shape, **draw)
    inputs = torch.where(chosen & (fate < 0.8), mask_id, input_ids)
    inputs = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), words, inputs)
    return inputs, labels
    ### END SOLUTION


# %% tags=["check"]
mask_tokens = check.mask_tokens(mask_tokens)

# %%
inputs, labels = mask_tokens(corpus_tokens.input_ids[:4], corpus_tokens.special[:4], mask_id, vocab_size)
for row, hidden in zip(inputs.tolist(), labels.tolist()):
    print(" ".join(tokenizer.id_to_token(i) for i in row if i != tokenizer.token_to_id("[PAD]"))[:100])
    print("   to be predicted:", " ".join(tokenizer.id_to_token(i) for i in hidden if i >= 0) or "nothing")

# %% [markdown]
# ### 3.2 Attention  ·  difficulty 3 of 3  ·  about 25 minutes
#
# Scaled dot-product attention for all heads at once, with a padding mask. Padded keys get weight exactly 0. Where a
# whole row is padding, there is nothing to look at: output and weights are 0, no NaN, and gradients stay finite.
#
# <details><summary>Hint 1</summary>
# <code>q @ k.transpose(2, 3)</code> has shape (N, heads, L, L): queries down, keys across.</details>
# <details><summary>Hint 2</summary>
# The mask (N, L) is about keys: <code>mask[:, None, None, :]</code>. Fill before the softmax.</details>
# <details><summary>Hint 3</summary>
# A softmax of nothing but -inf is NaN: fill with <code>torch.finfo(q.dtype).min</code> and set the weights of padding
# to 0 afterwards.</details>


# %% tags=["exercise", "points:3"]
def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, key_padding_mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1).

    q, k, v: (N, heads, L, d); key_padding_mask: (N, L) bool, True = padding.
    Returns (output (N, heads, L, d), weights (N, heads, L, L)); a row of weights adds up to 1, or is 0 if all padded.
    """
    ### BEGIN SOLUTION
    expect.attention(q, k, v, key_padding_mask)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])        # (N, heads, L, L)
    if key_padding_mask is None:
        weights = scores.softmax(dim=3)
    else:
        hidden = key_padding_mask[:, None, None, :]               # (N, 1, 1, L)
        weights = scores.masked_fill(hidden, torch.finfo(q.dtype).min).softmax(dim=3)
        weights = weights.masked_fill(hidden, 0.0)                # matters where all keys are padding
    return weights @ v, weights
    ### END SOLUTION


# %% tags=["check"]
attention = check.attention(attention)

# %% [markdown]
# ### 3.3 The loss  ·  difficulty 2 of 3  ·  about 15 minutes
#
# The mean cross-entropy over chosen positions. A short text may have none: then the loss is 0 and still has a
# gradient (of 0), so that training goes on.
#
# <details><summary>Hint 1</summary>
# Flatten all but the last dimension; <code>F.cross_entropy</code> ignores -100 by itself.</details>
# <details><summary>Hint 2</summary>
# Its mean over nothing is NaN. Sum, and divide by the count, but at least by 1.</details>


# %% tags=["exercise", "points:2"]
def mlm_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Masked-language-model loss (Devlin et al. 2019, section 3.1).

    logits: (..., V); labels: (...) int64, -100 where nothing was chosen. Returns a scalar: the mean over chosen
    positions in nats, 0 where there is none.
    """
    ### BEGIN SOLUTION
    expect.predictions(logits, labels)
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)
    ### END SOLUTION


# %% tags=["check"]
mlm_loss = check.mlm_loss(mlm_loss)

# %% [markdown]
# The accuracy at the same positions is given.


# %% tags=["exercise", "points:0"]
def mlm_accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of chosen positions whose most likely word is the original one; NaN where none is chosen.

    logits: (..., V); labels: (...) int64, -100 where nothing was chosen.
    """
    chosen = labels != -100
    return (logits.argmax(dim=-1) == labels)[chosen].float().mean().item()


# %% tags=["check"]
mlm_accuracy = check.mlm_accuracy(mlm_accuracy)

# %% [markdown]
# ### 3.4 Pooling  ·  difficulty 1 of 3  ·  about 10 minutes
#
# One vector a text: the mean over its real tokens. A text of padding alone gives 0.
#
# <details><summary>Hint 1</summary>
# Multiply by the mask, (N, L, 1), sum over positions, divide by the number of real ones.</details>
# <details><summary>Hint 2</summary>
# <code>clamp(min=1)</code> keeps a row without real tokens from dividing by 0.</details>


# %% tags=["exercise", "points:1"]
def pool(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Mean of the hidden states of real tokens (Reimers and Gurevych 2019, section 3).

    hidden: (N, L, D); attention_mask: (N, L), 1 = real token. Returns (N, D), 0 where no token is real.
    """
    ### BEGIN SOLUTION
    expect.mask(attention_mask, hidden.shape[:2], "attention_mask", "1 where a token is real")
    mask = attention_mask.to(hidden.dtype)[:, :, None]            # (N, L, 1)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    ### END SOLUTION


# %% tags=["check"]
pool = check.pool(pool)

# %% [markdown]
# ### 3.5 Embeddings  ·  given
#
# What enters the first layer: a vector for the token, one for its place and one for the sentence it belongs to, added
# and normalised. Attention itself knows no order; without the second vector a text would be a bag of words. There is
# one vector for each place up to `max_length`, so a longer text is refused (cut it when you tokenise).


# %% tags=["exercise", "points:0"]
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


# %% tags=["check"]
BertEmbeddings = check.BertEmbeddings(BertEmbeddings)

# %% [markdown]
# ## Training
#
# The model is BERT as the library `transformers` has it, small and from random weights. All settings are here. At
# `tiny` a quarter of the words is masked in place of 15 %: more to learn from in each step, which short trainings need
# (Wettig et al. 2023 find up to 40 % useful).

# %%
hidden_size = scale.pick(tiny=64, small=128, full=512)
layers = scale.pick(tiny=2, small=3, full=8)
epochs = scale.pick(dry=1, tiny=4, small=1, full=20)
batch_size = scale.pick(tiny=64, small=64, full=256)
learning_rate = scale.pick(tiny=2e-3, small=1e-3, full=5e-4)
masked_share = scale.pick(tiny=0.25, small=0.15, full=0.15)


def build(seed: int) -> nn.Module:
    """An untrained BERT, the same one for the same seed."""
    torch.manual_seed(seed)
    network = models.bert(
        vocab_size,
        hidden_size=hidden_size,
        layers=layers,
        heads=scale.pick(tiny=4, small=4, full=8),
        intermediate_size=scale.pick(tiny=2, small=4, full=4) * hidden_size,
        max_length=max_length,
        dropout=scale.pick(tiny=0.0, small=0.0, full=0.1),
        initializer_range=scale.pick(tiny=0.1, small=0.05, full=0.02),     # 0.02 suits widths of 768
    )
    return network.to(scale.device)


# The same hidden words for every look at the validation texts, so that curves are not blurred by the masking.
watched_inputs, watched_labels = mask_tokens(
    watched_tokens.input_ids, watched_tokens.special, mask_id, vocab_size, generator=torch.Generator().manual_seed(0)
)


@torch.no_grad()
def predictions(model, input_ids, attention_mask, where) -> torch.Tensor:
    """Logits (M, V) at the M places where a mask (N, L) is True, on the CPU, in eval mode."""
    model.eval()
    logits = []
    for ids, mask, places in zip(input_ids.split(100), attention_mask.split(100), where.split(100)):
        hidden = model.bert(input_ids=ids.to(scale.device), attention_mask=mask.to(scale.device)).last_hidden_state
        logits.append(model.cls(hidden[places.to(scale.device)]).cpu())
    return torch.cat(logits)


def watch(model) -> dict[str, float]:
    chosen = watched_labels != -100
    logits, labels = predictions(model, watched_inputs, watched_tokens.attention_mask, chosen), watched_labels[chosen]
    return {"MLM accuracy": mlm_accuracy(logits, labels), "MLM loss": mlm_loss(logits, labels).item()}


def pretrain(seed: int = scale.seed):
    """Masked language modelling from random weights. Returns (model, history)."""
    model, generator = build(seed), torch.Generator(scale.device).manual_seed(seed)

    def step(input_ids, attention_mask, special):
        inputs, labels = mask_tokens(input_ids, special, mask_id, vocab_size, masked_share, generator)
        hidden = model.bert(input_ids=inputs, attention_mask=attention_mask).last_hidden_state    # (N, L, D)
        chosen = labels != -100
        return mlm_loss(model.cls(hidden[chosen]), labels[chosen])    # the head only where it is asked

    history = train.fit(
        step,
        model,
        (corpus_tokens.input_ids, corpus_tokens.attention_mask, corpus_tokens.special),
        epochs=epochs,
        batch_size=batch_size,
        lr=learning_rate,
        weight_decay=0.01,
        clip=1.0,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=scale.max_steps,
        on_epoch=lambda epoch: watch(model),
        label="BERT",
    )
    return model.eval(), history


untrained = build(scale.seed).eval()
start = watch(untrained)
live, history = pretrain()

# %% [markdown]
# ### The rest of the training
#
# Which kind of word stands at which place is learnt first, which adjectives mean nearly the same comes later, and what a
# negator does comes last. How far down this road a short training gets is a matter of luck: on some seeds it stops before
# the adjectives, and the recorded spread of `live_share_accuracy` in the report is large. So at `tiny` the network above
# is the *live share*. What follows uses a network of the same build, `bert_reviews`, that ships with the course: the
# same training on other reviews, run longer (`sslcourse/cli/recipes/bert.py`). Both stand in the results. The larger
# scales go on with the live network.

# %%
goes_on = name == "reviews"
bert = models.load_pretrained("bert_reviews").to(scale.device) if goes_on else live
shipped = watch(bert)
for which, model in {"live share": live, "used from here on": bert}.items():
    print(f"{which:18}", ", ".join(f"{measure} {value:.2f}" for measure, value in watch(model).items()))

# %% [markdown]
# ### The unigram level, and the floor
#
# What can be reached without looking at the context: the loss of predicting word frequencies (counted on the training
# texts), and the accuracy of always saying the most frequent token. And what nobody can beat: $H(X \mid \tilde X)$. For
# real language it is unknown. The grammar of the toy reviews is known, so the probability of a hidden word can be
# computed exactly, by a sum over all reviews that could stand behind a text as it is shown (`hidden_word_surprise`);
# its mean over the same hidden words is the floor in the first figure.

# %%
words = corpus_tokens.input_ids[~corpus_tokens.special]
frequencies = ((torch.bincount(words, minlength=vocab_size) + 1) / (len(words) + vocab_size)).log()
hidden_words = watched_labels[watched_labels != -100]
unigram = frequencies.expand(len(hidden_words), vocab_size)
unigram_accuracy, unigram_loss = mlm_accuracy(unigram, hidden_words), mlm_loss(unigram, hidden_words).item()
logged = {key: [start[key], *history.metrics[key]] for key in start}
accuracy = logged["MLM accuracy"][-1]
most_frequent = tokenizer.id_to_token(int(frequencies.argmax()))
print(f"most frequent token {most_frequent!r}: accuracy {unigram_accuracy:.2f}; live BERT {accuracy:.2f}")
longer = {"shipped BERT": shipped} if goes_on else {}
floor = {}
if name == "reviews":
    floor["entropy of the grammar"] = hidden_word_surprise(tokenizer, watched_inputs, watched_labels).mean().item()
    print(f"loss at hidden words: shipped BERT {shipped['MLM loss']:.3f}, floor {floor['entropy of the grammar']:.3f}")
seen = range(len(history.loss) + 1)
plot.show(
    plot.curves(
        {"live BERT": logged["MLM loss"]},
        x=seen,
        levels={"unigram": unigram_loss, "uniform, ln V": math.log(vocab_size)}
        | {f"{which}, {at['MLM loss']:.2f}": at["MLM loss"] for which, at in longer.items()}
        | {f"{which}, {at:.2f}": at for which, at in floor.items()},
        xlabel="epoch",
        ylabel="validation loss in nats",
        title="Loss at hidden words, one seed",
    ),
    alt="Validation loss over epochs, falling below the dashed level of the unigram model towards that of the shipped "
    "network and the entropy of the grammar.",
)
plot.show(
    plot.curves(
        {"live BERT": logged["MLM accuracy"]},
        x=seen,
        levels={"most frequent token": unigram_accuracy} | {which: at["MLM accuracy"] for which, at in longer.items()},
        xlabel="epoch",
        ylabel="validation accuracy",
        title="Accuracy at hidden words, one seed",
    ),
    alt="Accuracy at hidden words over epochs, rising above the dashed level of the most frequent token.",
)

# %% [markdown]
# ### What does it put into a gap?

# %%
gaps = scale.pick(
    tiny=[
        "soup was [MASK] and superb .",
        "soup was [MASK] and awful .",
        "soup was superb . waiter was [MASK] .",
        "soup was awful . waiter was [MASK] .",
        "soup was superb . waiter was never [MASK] .",
        "soup was awful . waiter was never [MASK] .",
    ],
    small=["the film was [MASK] and boring .", "a [MASK] and moving story .", "it was not a [MASK] film ."],
    full=["the film was [MASK] and boring .", "a [MASK] and moving story .", "it was not a [MASK] film ."],
)


def fillings(model, texts) -> torch.Tensor:
    """Probabilities (len(texts), V) of every token in the gap of each text."""
    tokens = data.encode(tokenizer, texts, max_length)
    return predictions(model, tokens.input_ids, tokens.attention_mask, tokens.input_ids == mask_id).softmax(dim=1)


filled = fillings(bert, gaps)
for text, row in zip(gaps, filled):
    best = row.topk(5).indices.tolist()
    print(f"{text:46}", ", ".join(f"{tokenizer.id_to_token(i)} {row[i]:.2f}" for i in best))

# %%
on_film = {"negative": "bad poor awful dull", "positive": "good great fine best"}
in_toy = {
    "negative": "bad poor awful dull weak ugly nasty stale",
    "positive": "good great lovely superb fine nice sweet bright",
}
groups = scale.pick(tiny=in_toy, small=on_film, full=on_film)
in_vocabulary = tokenizer.get_vocab()
known = {kind: [in_vocabulary[word] for word in text.split() if word in in_vocabulary] for kind, text in groups.items()}
shortly = scale.pick(
    tiny=["_ and superb", "_ and awful", "superb. _", "awful. _", "superb. never _", "awful. never _"],
    small=[text[:20] for text in gaps],
    full=[text[:20] for text in gaps],
)
mass = torch.stack([filled[:, ids].sum(dim=1) for ids in known.values()], dim=1)
plot.show(
    plot.heat_map(
        mass / mass.sum(dim=1, keepdim=True),
        rows=shortly,
        columns=list(known),
        label="share of the two groups",
        title="Which kind of word fits the gap?",
    ),
    alt="For each sentence with a gap, the share of probability on eight negative and eight positive words.",
)

# %% [markdown]
# #### Question 1
#
# (a) The loss of a network hardly falls any more, and is far above 0. Does that mean that it should be larger or train
# longer? (b) Which rows of the last figure can be filled by a network that only knows which words go together, and
# which need to know what "never" does? What does the network in the figure do?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Not by itself. The smallest loss is the entropy of the hidden word given its context, and here most of it cannot
# be reduced: the grammar draws one of many synonyms at random, so a perfect network spreads its probability over all of
# them. Only a comparison tells: with a larger network, or with the entropy of the grammar, the lowest level of the
# figure. What lies between that level and a curve is all that more training or a larger network could gain.
#
# (b) The first four: words joined by "and", or in sentences that agree, are of one kind, so company is enough. In the
# last two the gap stands behind a negator, and the word that fits is of the *opposite* kind to its company. A network
# that has learnt company alone answers them like the rows before; one that has learnt negation turns them round, as
# the shipped network of scale `tiny` does.
# ### END SOLUTION

# %% [markdown]
# ### Asked without a label
#
# Has the network learnt what "never" does to a text? One can ask without training anything: follow the first sentence
# of a review by *waiter was [MASK]*, and see which kind of word gets more probability (Schick & Schütze 2021 call
# this a cloze question). No text has a label here, but somebody had to name the two kinds of words: a little
# supervision is in that, too. At `tiny` the second sentence asks about the waiter, whatever the first one was about.

# %%
def answers(model, sentences, gap: str) -> torch.Tensor:
    """(N,) bool: the positive words get more probability in the gap than the negative ones."""
    asked = [f"{sentence} {gap}" for sentence in sentences]
    q = torch.cat([fillings(model, asked[i : i + 250]) for i in range(0, len(asked), 250)])      # (N, V)
    negative, positive = (q[:, ids].sum(dim=1) for ids in known.values())
    return positive > negative


gap = scale.pick(tiny="waiter was [MASK] .", small="it was [MASK] .", full="it was [MASK] .")
if val_set.documents:
    sentences = [document[0] for document in val_set.documents]
else:
    sentences = [" ".join(text.split()[:15]) for text in val_set.texts]
denied = torch.tensor([any(f" {word} " in sentence for word in ("not", "never", "hardly")) for sentence in sentences])
gap_accuracy = {}
for which, model in {"untrained": untrained, "live": live, "used from here on": bert}.items():
    right = (answers(model, sentences, gap) == (val_set.labels == 1)).float()
    gap_accuracy[which] = right.mean().item()
    print(f"{which:17} right about {right[~denied].mean():.2f} of plain sentences, {right[denied].mean():.2f} denied")

# %% [markdown]
# Well below one half at denied sentences means: company has been learnt, negation has not, so the answer is turned
# round. Near one half at both means that the network does not use the first sentence for the second yet.
#
# ### Padding changes nothing
#
# A claim that is easy to test and often false: the features of a text must not depend on what it is batched with.
# Here is one text alone and the same text padded, with the mask and without.

# %%
alone = data.encode(tokenizer, val_set.texts[:1], max_length - 2)
padded_ids = F.pad(alone.input_ids, (0, max_length - alone.input_ids.shape[1]))
padded_mask = F.pad(alone.attention_mask, (0, max_length - alone.attention_mask.shape[1]))


@torch.no_grad()
def pooled(input_ids, attention_mask, pooling_mask) -> torch.Tensor:
    inputs = {"input_ids": input_ids.to(scale.device), "attention_mask": attention_mask.to(scale.device)}
    return pool(bert.bert(**inputs).last_hidden_state, pooling_mask.to(scale.device)).cpu()


reference = pooled(alone.input_ids, alone.attention_mask, alone.attention_mask)
everything = torch.ones_like(padded_mask)
cases = {
    "masked in attention and in pooling": pooled(padded_ids, padded_mask, padded_mask),
    "averaged in by pooling": pooled(padded_ids, padded_mask, everything),
    "seen by attention": pooled(padded_ids, everything, padded_mask),
}
for case, features in cases.items():
    change = ((features - reference).norm() / reference.norm()).item()
    print(f"padding {case:36} changes the features by {change:.1e} of their length")

# %% [markdown]
# ### Where it looks
#
# Your `attention`, fed with the queries and keys of the trained network, must give the weights that the network itself
# used. Then we look at them, layer by layer and head by head: row = the word that looks, column = where it looks.

# %%
of_toy = "waiter was superb and lovely . soup was never awful or bland ."
looked_at = scale.pick(tiny=of_toy, small=val_set.texts[0], full=val_set.texts[0])
one = data.encode(tokenizer, [looked_at], scale.pick(tiny=max_length, small=20, full=20))
with torch.no_grad():
    out = bert.bert(
        input_ids=one.input_ids.to(scale.device),
        attention_mask=one.attention_mask.to(scale.device),
        output_hidden_states=True,
        output_attentions=True,
    )


def own_attention(layer: int) -> torch.Tensor:
    """The weights (heads, L, L) of a layer by your function, from the hidden states that enter it."""
    part, hidden = bert.bert.encoder.layer[layer].attention.self, out.hidden_states[layer]
    heads = part.num_attention_heads
    q, k, v = (f(hidden).unflatten(2, (heads, -1)).transpose(1, 2) for f in (part.query, part.key, part.value))
    with torch.no_grad():
        return attention(q, k, v, one.attention_mask.to(scale.device) == 0)[1][0].cpu()


looking = [tokenizer.id_to_token(i) for i in one.input_ids[0].tolist()]
for layer in range(layers):
    apart = (own_attention(layer) - out.attentions[layer][0].cpu()).abs().max().item()
    print(f"layer {layer + 1}: {'equal to' if apart < 1e-5 else 'other than'} the library's")
    plot.show(
        plot.heat_maps(
            {f"head {n + 1}": head for n, head in enumerate(own_attention(layer)[:4])},
            rows=looking,
            columns=looking,
            label="weight",
            title=f"Layer {layer + 1}: down, the word that looks; across, where it looks",
        ),
        alt=f"Attention weights of the heads of layer {layer + 1}, one square a head, words down and across.",
    )

# %% [markdown]
# ## What each layer knows
#
# A linear probe (week 1) on the pooled states of every layer, for everything that is known about a text. Layer 0 are
# the embeddings: what a bag of words would have. Beside it the same probes on the untrained network. Validation texts.

# %%
asked = {"topic", "sentiment", "negation"}
factors = {"sentiment": lambda s: s.labels} | {
    factor: (lambda s, factor=factor: s.factors[factor]) for factor in (train_set.factors or {}) if factor in asked
}


read_before = {}                              # {model: {text: its states}}: every text is read once


@torch.no_grad()
def layer_states(model, texts) -> list[torch.Tensor]:
    """Pooled states (N, D) of the embeddings and of every layer, on the CPU."""
    seen = read_before.setdefault(model, {})
    new = sorted({text for text in texts if text not in seen}, key=len)         # little padding in a batch
    model.eval()
    for i in range(0, len(new), 100):
        tokens = tokens_for(model, new[i : i + 100])
        ids, mask = tokens.input_ids.to(scale.device), tokens.attention_mask.to(scale.device)
        states = model.bert(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        seen.update(zip(new[i : i + 100], torch.stack([pool(state, mask).cpu() for state in states], dim=1)))
    return list(torch.stack([seen[text] for text in texts]).unbind(1))


def tokens_for(model, texts) -> data.Tokens:
    """A published encoder brings its own tokenizer and limit."""
    return model.tokens(texts) if hasattr(model, "tokens") else data.encode(tokenizer, texts, max_length)


probed = train_set.subset(scale.pick(dry=100, tiny=1000, small=1000, full=5000), seed=scale.seed)
knows = {}
for which, model in (("trained", bert), ("untrained", untrained)):
    probed_states, val_states = layer_states(model, probed.texts), layer_states(model, val_set.texts)
    for factor, of in factors.items():
        knows[f"{factor}, {which}"] = [
            evaluate.linear_probe(x, of(probed), y, of(val_set), Cs=(0.1,)).accuracy
            for x, y in zip(probed_states, val_states)
        ]
plot.show(
    plot.curves(
        knows,
        x=range(layers + 1),
        levels={"chance (two classes)": 0.5},
        xlabel="layer (0: embeddings)",
        ylabel="validation accuracy of the probe",
        title="What can be read off each layer, one seed",
    ),
    alt="Probe accuracy by layer for topic, sentiment and negation, for the trained and for the untrained network.",
)

# %% [markdown]
# #### Question 2
#
# (a) Why can topic and negation be read off the embeddings, even those of the untrained network, and sentiment only in
# part?
# (b) Where does sentiment become readable, and what must a layer do for that? (c) Compare a probe on the last layer
# with the cloze questions, which no label was needed for. How can a network answer these and yet show less of the
# sentiment to a probe that a thousand labels have trained?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Both show in single words: the pooled embeddings are a sum over words, and a linear probe can look for a direction
# that "soup" or "never" contributes; random vectors in enough dimensions are nearly orthogonal, so no training is
# needed. Sentiment is an exclusive-or of word and negator, and a sum over words has no term for the two together. What
# it can do is go by the adjectives alone, which are right in the seven sentences of ten that are not denied.
#
# (b) After a layer whose attention brings a negator to the word behind it, so that the state of "superb" after "never"
# differs from that of "superb" alone in the direction of sentiment. The figure tells how far the training got; the
# untrained network mixes positions, too, but at random.
#
# (c) To fill a gap the product of word and negator has to be worked out at the place of the *gap*, from the sentence
# before. In a text without a gap the states at the adjectives are about which words fit *there*, the kind and not the
# sentiment, and the mean over them shows mostly that: what a probe reads beyond it has leaked in from the *other*
# sentence. What a network can compute and what lies open in its states are different things; fine-tuning can bring the
# first to the surface.
# ### END SOLUTION

# %% [markdown]
# ## Few labels: five ways
#
# | | encoder starts | encoder trains | classifier |
# | --- | --- | --- | --- |
# | fine-tuned | pretrained | yes | linear |
# | frozen | pretrained | no | linear probe |
# | from scratch | random | **yes** | linear |
# | random | random | no | linear probe |
# | bag of words | - | - | logistic regression on counts |
#
# The two that train get the same labels, the same number of steps and the same order of batches. Each has a learning
# rate of its own, since a rate chosen for one side could decide the comparison: at `tiny` the one of a common grid
# (0.0003, 0.001, 0.003 and 0.01; validation texts, smallest budget, seeds that are not recorded) that served *it* best,
# which was 0.003 for both. Probes and bag of words have their penalty chosen on the validation texts too. To see that
# from-scratch deserves its name, we measure how far its encoder moved. A few texts are a small sample, so at `tiny`
# every result is a mean over several draws of labelled texts. A sixth row shows what the live share of the pretraining
# would have given.
#
# At `small` the task is SST-2, sentences from film reviews, and *pretrained* means a **published encoder**:
# all-MiniLM-L6-v2, six layers distilled from a larger language model (Wang et al. 2020) and then trained to bring
# together texts that belong together (Reimers & Gurevych 2019). Your own network of that scale has read a thousand
# reviews once; it stays in the sixth row. *From scratch* and *random* have the published network's form. The two rates
# of this scale are customary ones, a larger one from scratch; they were not tuned.

# %%
budgets = scale.pick(tiny=[16, 32, 100, 320], small=[400, 2000], full=[100, 1000, 10000, 50000])
tuning_steps = scale.pick(dry=1, tiny=100, small=60, full=3000)
rates = scale.pick(
    tiny={"fine-tuned": 3e-3, "from scratch": 3e-3},
    small={"fine-tuned": 2e-4, "from scratch": 5e-4},
    full={"fine-tuned": 5e-5, "from scratch": 2e-4},
)
penalties = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)                # C, the inverse strength
pretrained, fresh = bert, untrained
if scale.name == "small":
    pretrained = models.load_sentence_encoder(max_length=max_length).to(scale.device)
    fresh = copy.deepcopy(pretrained)
    torch.manual_seed(scale.seed)
    fresh.bert = type(pretrained.bert)(pretrained.bert.config, add_pooling_layer=False).to(scale.device)
    fresh.eval()
moved = {}


class Classifier(nn.Module):
    """Encoder, your pooling, one linear layer."""

    def __init__(self, model, seed: int):
        super().__init__()
        self.encoder = copy.deepcopy(model.bert)
        torch.manual_seed(seed)
        self.out = nn.Linear(self.encoder.config.hidden_size, len(train_set.class_names))

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state      # (N, L, D)
        return self.out(pool(hidden, attention_mask))


def weights_of(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in module.parameters()])


@functools.cache
def fine_tuned(model, n: int, seed: int, steps: int = tuning_steps, lr: float | None = None) -> tuple[float, float]:
    """Validation and test accuracy after training a copy of the encoder and a linear layer on n texts."""
    kind = "from scratch" if model is fresh else "fine-tuned"
    few = train_set.subset(min(n, len(train_set)), seed=seed)
    tokens, size = tokens_for(model, few.texts), min(len(few), scale.pick(tiny=32, small=16, full=32))
    classifier = Classifier(model, seed).to(scale.device)
    before = weights_of(classifier.encoder)
    train.fit(
        lambda ids, mask, y: F.cross_entropy(classifier(ids, mask), y),
        classifier,
        (tokens.input_ids, tokens.attention_mask, few.labels),
        epochs=math.ceil(steps / max(1, len(few) // size)),
        batch_size=size,
        lr=lr or rates[kind],
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=steps,
        progress=False,
    )
    far = (weights_of(classifier.encoder) - before).norm() / before.norm()
    moved[kind] = far.item()
    return tuple(classified(model, classifier, part) for part in (val_set, test_set))


@torch.no_grad()
def classified(model, classifier, part) -> float:
    classifier.eval()
    right = 0
    order = sorted(range(len(part)), key=lambda n: len(part.texts[n]))             # little padding in a batch
    for places in torch.tensor(order).split(250):
        tokens = tokens_for(model, [part.texts[n] for n in places])
        guesses = classifier(tokens.input_ids.to(scale.device), tokens.attention_mask.to(scale.device)).argmax(dim=1)
        right += (guesses.cpu() == part.labels[places]).sum().item()
    return right / len(part)


def probed_accuracy(model, n: int, seed: int) -> tuple[float, float]:
    """Validation and test accuracy of a probe on the frozen last layer, with the penalty that validation prefers."""
    few = train_set.subset(min(n, len(train_set)), seed=seed)
    x, val_x, test_x = (layer_states(model, part.texts)[-1] for part in (few, val_set, test_set))
    val = {C: evaluate.linear_probe(x, few.labels, val_x, val_set.labels, Cs=(C,)).accuracy for C in penalties}
    best = max(val, key=val.get)
    return val[best], evaluate.linear_probe(x, few.labels, test_x, test_set.labels, Cs=(best,)).accuracy


def bag_of_words(n: int, seed: int) -> tuple[float, float]:
    """Logistic regression on the counts of words, with the penalty that validation prefers."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    few = train_set.subset(min(n, len(train_set)), seed=seed)
    counts = CountVectorizer()
    x = counts.fit_transform(few.texts)
    val_x, test_x = (counts.transform(part.texts) for part in (val_set, test_set))
    fitted = [LogisticRegression(C=C, max_iter=1000).fit(x, few.labels) for C in penalties]
    best = max(fitted, key=lambda model: model.score(val_x, val_set.labels))
    return float(best.score(val_x, val_set.labels)), float(best.score(test_x, test_set.labels))


ways = {
    "fine-tuned": lambda n, seed: fine_tuned(pretrained, n, seed),
    "frozen, probe": lambda n, seed: probed_accuracy(pretrained, n, seed),
    "from scratch": lambda n, seed: fine_tuned(fresh, n, seed),
    "random, probe": lambda n, seed: probed_accuracy(fresh, n, seed),
    "bag of words": bag_of_words,
}
draws = scale.pick(dry=1, tiny=4, small=1, full=3)


def mean_over_draws(way, n: int, seed: int) -> tuple[float, float]:
    """Validation and test accuracy, averaged over draws of n labelled texts."""
    pairs = [way(n, draws * seed + draw) for draw in range(draws)]
    return tuple(sum(values) / draws for values in zip(*pairs))


at_once = scale.pick(tiny=budgets[:1], small=budgets, full=budgets[:1])          # the others are recorded
results = {(kind, n): mean_over_draws(way, n, scale.seed) for kind, way in ways.items() for n in at_once}
for kind, far in moved.items():
    print(f"{kind:13} moved its encoder by {far:.2f} of its length")

# %%
accuracies = {kind: results[kind, budgets[0]][1] for kind in ways}
if pretrained is not live:
    own_row = "live share, fine-tuned" if goes_on else "own BERT, fine-tuned"
    accuracies[own_row] = mean_over_draws(lambda n, seed: fine_tuned(live, n, seed), budgets[0], scale.seed)[1]
plot.show(
    plot.bars(
        accuracies,
        intervals={kind: evaluate.wilson_interval(value, len(test_set)) for kind, value in accuracies.items()},
        levels={"chance": 0.5},
        ylabel="test accuracy",
        title=f"Sentiment from {budgets[0]} labels",
    ),
    alt="Test accuracy of the ways to use labels at the smallest budget, with intervals and the level of chance.",
)

# %% [markdown]
# The whiskers are 95 % Wilson intervals for *this test sample*; other labelled texts and other seeds move the bars too,
# which the next figure shows.
#
# ## Accuracy against the number of labels: recorded
#
# Every point is a training with that many labels (a mean over draws), judged on **validation** texts. The stars are
# your own. Name points in `rerun` to compute them now.

# %%
rerun = []
curves = {
    kind: check.sweep(
        scale,
        f"labels, {kind}",
        lambda n, seed, way=way: mean_over_draws(way, n, seed)[0],
        points=budgets,
        own={n: results[kind, n][0] for n in at_once},
        rerun=rerun,
    )
    for kind, way in ways.items()
    if scale.name != "small"                  # there both budgets have been computed, and are drawn below
}
if curves:
    plot.show(
        plot.sweep(
            curves,
            xlabel="number of labels",
            ylabel="validation accuracy",
            log_x=True,
            levels={"chance": 0.5, "no labels: asked with a gap": gap_accuracy["used from here on"]},
            title="Five ways to use labels",
        ),
        alt="Validation accuracy against the number of labels for the five ways, with error bars over seeds.",
    )

# %% [markdown]
# And real sentences: SST-2 with the published encoder, test accuracy. At `small` the points are yours; at other scales
# they are those that were recorded there. Look where 400 labels and a published encoder stand beside 2,000 labels and a
# bag of words; and mind that so few steps teach a network of six layers next to nothing from scratch.

# %%
names = {kind: kind.split(",")[0].replace(" ", "_").replace("-", "_") for kind in ways}      # of metrics
real = [400, 2000]
once = (recorded.expected(scale.week).get("small") or {}).get("metrics", {})
if scale.name == "small":
    points = {kind: [results[kind, n][1] for n in real] for kind in ways}
    bands, origin = None, f"seed {scale.seed}"
else:
    kept = {kind: [once.get(f"sst2_{name}_{n}") for n in real] for kind, name in names.items()}
    points = {kind: [one["mean"] for one in many] for kind, many in kept.items() if None not in many}
    bands = {kind: [one["std"] or 0.0 for one in kept[kind]] for kind in points}
    seeds = len(recorded.expected(scale.week)["small"]["recorded"]["seeds"]) if points else 0
    origin = "recorded at small, " + ("one seed" if seeds == 1 else f"mean and sample deviation over {seeds} seeds")
if points:
    plot.show(
        plot.curves(
            points,
            x=real,
            bands=bands,
            log_x=True,
            levels={"chance": 0.5},
            xlabel="number of labels",
            ylabel="test accuracy",
            title=f"SST-2 with a published encoder\n{origin}",
        ),
        alt="Test accuracy on SST-2 at 400 and 2,000 labels for the published encoder fine-tuned and frozen, the same "
        "network from scratch and random, and a bag of words.",
    )

# %% [markdown]
# Does training from scratch only need to go on for longer? The same two at the smallest budget, with fewer and with
# more steps; the cosine schedule always ends where training ends.

# %%
patience = {
    kind: check.sweep(
        scale,
        f"steps, {kind}",
        lambda steps, seed, start=start_at: mean_over_draws(
            lambda n, draw: fine_tuned(start, n, draw, steps), budgets[0], seed
        )[0],
        points=scale.pick(tiny=[25, 100, 400], small=[25, 100, 400], full=[300, 3000, 10000]),
        own={tuning_steps: results[kind, budgets[0]][0]} if scale.name in ("tiny", "full") else {},
        rerun=[],
    )
    for kind, start_at in {"fine-tuned": pretrained, "from scratch": fresh}.items()
}
plot.show(
    plot.sweep(
        patience,
        xlabel="steps",
        ylabel="validation accuracy",
        log_x=True,
        levels={"chance": 0.5},
        title="The smallest budget: does more training help?",
    ),
    alt="Validation accuracy against the number of training steps for the fine-tuned and the from-scratch network.",
)

# %%
if scale.name == "small":
    layers_of = {"published": pretrained, "random": fresh}
    by_layer = {
        which: [
            evaluate.linear_probe(x, train_set.labels, y, val_set.labels, Cs=(0.01,)).accuracy
            for x, y in zip(layer_states(model, train_set.texts), layer_states(model, val_set.texts))
        ]
        for which, model in layers_of.items()
    }
    plot.show(
        plot.curves(
            by_layer,
            x=range(len(by_layer["published"])),
            levels={"chance": 0.5},
            xlabel="layer (0: embeddings)",
            ylabel="validation accuracy of the probe",
            title=f"Sentiment in each layer of the published encoder, {len(train_set)} labels, one seed",
        ),
        alt="Probe accuracy by layer for the published encoder and for a random one of its form.",
    )

# %% [markdown]
# #### Question 3
#
# (a) Why can a bag of words not become good at the toy sentiment, however many labels it gets? (b) What exactly does
# pretraining save the fine-tuned network from learning from labels? (c) Why is the frozen network with a probe so
# much worse than the same network fine-tuned on the toy, and where would you rather have it the other way round? (d) A
# friend's from-scratch baseline scores like the random encoder with a probe, at every budget. What do you suspect, and
# what do you print? (e) What does the figure on steps say to somebody who thinks that training from scratch only needs
# patience?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) It adds a number for every word. "never superb" needs minus what "superb" adds, and "never" can only add the
# same number whatever follows. With three sentences in ten denied it can at best follow the majority; more labels
# bring it to that ceiling and no further. (Pairs of words as features would help: then "never superb" is a word of
# its own, to be seen often enough.)
#
# (b) Which words belong together, and, as far as the cloze questions show it, what a negator does. Labels then only
# have to say which of the two groups is called positive, for which a few suffice. Without pretraining each synonym
# has to be seen with a label.
#
# (c) Sentiment is computed in the network but does not lie open in the mean of its last states (question 2c). A
# linear probe can only read what lies open; a few steps of fine-tuning bring it there. With one frozen network for
# many tasks, or where fine-tuning on few labels is unstable, one would rather probe; there the pretext task has to
# match what is asked.
#
# (d) That the encoder does not train: frozen by accident (`requires_grad`), missing from the optimiser, or at a
# learning rate of 0. Print how far its weights moved, as above; the loss alone does not tell, since the linear layer
# learns.
#
# (e) That it is not so here: both curves are flat within their spread from a quarter of the steps on. What from-scratch
# lacks at sixteen labels is not steps but texts: in so few each of the 32 adjectives occurs less than twice on average,
# some never, and has to show its kind there, denied or not.
# ### END SOLUTION

# %% [markdown]
# ## Traps
#
# Mistakes that no check of a function can see. All of them run without an error.
#
# - **A from-scratch baseline whose encoder never trains.** It makes every pretraining look good. Measure the movement.
# - **A learning rate chosen for one side.** The smaller rate that suits a pretrained network starves the other one.
# - **A learning rate that a scheduler keeps at zero.** The next cell shows one: an integer division in the warm-up.
# - **LayerNorm statistics as a test.** That states have mean 0 and variance 1 proves nothing about an embedding: any
#   layer norm makes it so, whatever went in.
# - **Different steps for the two sides.** Epochs over few labels are few steps: compare at equal steps.
# - **The tokenizer trained on test texts, or settings chosen on them.** Both leak; here neither sees them.
# - **Padding averaged in.** Then long texts and short texts differ in their features, and a probe may read off the
#   length.

# %%
parameter = nn.Parameter(torch.ones(3))
optimizer = torch.optim.AdamW([parameter], lr=1e-3, weight_decay=0.0)
warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step // 100)    # meant: min(1, step / 100)
for _ in range(50):
    optimizer.zero_grad()
    parameter.square().sum().backward()
    optimizer.step()
    warm_up.step()
moved_by = (parameter - 1).norm().item()
print(f"after 50 steps the learning rate is {warm_up.get_last_lr()[0]}, the weights moved by {moved_by}")

# %% [markdown]
# ## Optional: next-sentence prediction
#
# BERT was also trained to tell whether one sentence follows another. Liu et al. (2019) found that leaving it out does
# no harm. The pairs have to be made with care: negatives come from *other* documents.

# %% [markdown]
# ### 3.6 Sentence pairs  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
#
# <details><summary>Hint 1</summary>
# A positive: a document of two or more sentences, and a place in it that has a next.</details>
# <details><summary>Hint 2</summary>A negative: two different documents, any sentence of each.</details>
# <details><summary>Hint 3</summary>
# <code>torch.randint(high, (), generator=generator).item()</code> draws one number.</details>


# %% tags=["exercise", "points:0"]
def sentence_pairs(
    documents: list[list[str]], n: int, generator: torch.Generator | None = None
) -> list[tuple[str, str, bool]]:
    """Pairs for next-sentence prediction (Devlin et al. 2019, section 3.1, task 2), half of them true for even n.

    documents: lists of sentences; those of one sentence have no next. Returns n triples (first, second, is_next);
    negatives come from another document.
    """

    ### BEGIN SOLUTION
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
    ### END SOLUTION


# %% tags=["check"]
sentence_pairs = check.sentence_pairs(sentence_pairs)

# %% [markdown]
# How much of it does MLM alone bring along? A probe on the pooled features of both sentences, their product and their
# distance, beside the untrained network.


# %%
def sentences_of(texts) -> list[list[str]]:
    """Sentences by their full stops, for corpora that do not say; those without a word are left out."""
    return [[part.strip() + " ." for part in text.split(".") if part.strip()] for text in texts]


def pair_features(model, pairs) -> torch.Tensor:
    a, b = (layer_states(model, [pair[n] for pair in pairs])[-1] for n in (0, 1))
    return torch.cat([a * b, (a - b).abs()], dim=1)


how_many = scale.pick(dry=40, tiny=600, small=600, full=5000)
pairs, val_pairs = (
    sentence_pairs([d for d in (part.documents or sentences_of(part.texts)) if d], how_many, scale.generator(n))
    for n, part in enumerate((corpus, corpus_val))
)
followed, val_followed = (torch.tensor([int(pair[2]) for pair in part]) for part in (pairs, val_pairs))
for which, model in (("trained", bert), ("untrained", untrained)):
    x, y = pair_features(model, pairs), pair_features(model, val_pairs)
    result = evaluate.linear_probe(x, followed, y, val_followed, Cs=(0.01,))
    print(f"next sentence, {which} encoder: {result.accuracy:.2f} ({result.low:.2f} to {result.high:.2f}), chance 0.50")

# %% [markdown]
# ## Optional: positions that turn, and what became of BERT
#
# BERT adds a learnt vector for each place, up to 512 of them. **Rotary** positions (Su et al. 2021) add nothing: before
# each product of attention they turn queries and keys. Features are taken in pairs; pair $i$ of a vector at place $m$
# is turned by the angle $m\,\theta_i$, $\theta_i = 10000^{-2i/d}$, for $i = 0, \dots, d/2 - 1$:
#
# $$\begin{pmatrix} a' \\ b' \end{pmatrix} = \begin{pmatrix} \cos m\theta_i & -\sin m\theta_i \\ \sin m\theta_i &
# \cos m\theta_i \end{pmatrix} \begin{pmatrix} a \\ b \end{pmatrix}.$$
#
# Rotations keep lengths, and turning both vectors by the same angle keeps their product: $q'_m \cdot k'_n$ depends on
# $m - n$ alone. No place is learnt, so none is missing in a longer text. Week 12 uses them.
#
# | | BERT (Devlin et al. 2019) | ModernBERT (Warner et al. 2025) |
# | --- | --- | --- |
# | positions | a learnt vector for each of 512 places | rotary, 8,192 tokens |
# | attention | all to all in every layer | every third layer; between these a window of 128 tokens |
# | layer norm | after each part, with biases | before each part, without |
# | linear layers | with biases | without, but for the last |
# | feed-forward part | GELU | a gated GELU (GeGLU) |
# | padding | computed and masked | taken out of the batch |
# | trained on | books and Wikipedia | two trillion tokens, code among them |

# %% [markdown]
# ### 3.7 Rotary positions  ·  optional  ·  difficulty 2 of 3  ·  about 20 minutes
#
# Turn queries and keys. Which features form a pair is a convention: neighbours (2i, 2i + 1) in the paper, (i, i + d/2)
# in most of the library `transformers`, ESM and ModernBERT among it. The check takes both; trained weights do not.
#
# <details><summary>Hint 1</summary>Angles: an outer product of positions and frequencies, (L, d/2).</details>
# <details><summary>Hint 2</summary>With halves: <code>a, b = x.chunk(2, dim=-1)</code>, and
# <code>torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)</code>.</details>


# %% tags=["exercise", "points:0"]
def rotary(q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys turned by their places (Su et al. 2021, eq. 14 and 15), base 10,000.

    q, k: (N, heads, L, d), d even; positions: (L,) whole numbers. Returns (q, k) of the same shapes and lengths.
    """
    ### BEGIN SOLUTION
    half = q.shape[3] // 2
    frequencies = 10_000.0 ** (-torch.arange(half, device=q.device) / half)
    angles = positions[:, None] * frequencies                           # (L, d / 2)
    cos, sin = angles.cos().to(q), angles.sin().to(q)

    def turned(x):
        a, b = x.chunk(2, dim=3)                                        # (N, heads, L, d / 2) each
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=3)

    return turned(q), turned(k)
    ### END SOLUTION


# %% tags=["check"]
rotary = check.rotary(rotary)

# %% [markdown]
# The product of one random query and one random key at all pairs of places, and that of a vector with *itself* at
# another place: it falls in swings, so that the same vector far away is less of a match than nearby.

# %%
width, places = 32, torch.arange(24)
vectors = torch.randn(2, 1, 1, 1, width, generator=torch.Generator().manual_seed(0)).expand(-1, 1, 1, len(places), -1)
turned_q, turned_k = rotary(*vectors, places)
products = (turned_q @ turned_k.transpose(2, 3))[0, 0]                              # (L, L)
plot.show(
    plot.heat_map(products, label="product", title="One query, one key, all pairs of places: diagonals are constant"),
    alt="A matrix of products, constant along its diagonals: only the distance of the two places counts.",
)
shifted = rotary(*vectors, places + 1000)
moved_by = (products - (shifted[0] @ shifted[1].transpose(2, 3))[0, 0]).abs().max().item()
print(f"a thousand places further on the products differ by at most {moved_by:.0e}")
far_apart = torch.arange(200)
itself = torch.ones(1, 1, len(far_apart), width)
one, other = rotary(itself, itself, far_apart)
plot.show(
    plot.curves(
        {"product with itself": (one[0, 0, :1] @ other[0, 0].T)[0] / width},
        x=far_apart.tolist(),
        levels={"no rotation": 1.0},
        xlabel="distance in places",
        ylabel="product, as a share of that at distance 0",
        title="The same vector at another place",
    ),
    alt="The product of a vector of ones with itself falls and sways as the two places move apart.",
)

# %% [markdown]
# ## Report
#
# Your numbers beside those of the recorded runs, all on texts that training never saw. At `small` the own pretraining
# is far too short for the language of real reviews: in the recorded run its loss does not even come down to the unigram
# level, and nothing is claimed about it. The rows on labels are those of the published encoder.

# %%
judged = ("fine_tuned", "frozen", "scratch", "random", "bag_of_words", "live_share", "gap")
ratio = accuracy / unigram_accuracy
gain = accuracies["fine-tuned"] - accuracies["from scratch"]
claims = {f"pretrained over from scratch, {budgets[0]} labels": (gain, 0.05)}
if scale.name != "small":
    claims = {"MLM accuracy over the most frequent token's, a ratio": (ratio, 2.0)} | claims
above_floor = {}
if floor:
    lowest = floor["entropy of the grammar"]
    above_floor["loss_over_floor"] = logged["MLM loss"][-1] - lowest
    above_floor["shipped_loss_over_floor"] = shipped["MLM loss"] - lowest
sst2 = {}
if scale.name == "small":
    sst2 = {f"sst2_{names[kind]}_{n}": results[kind, n][1] for kind in ways for n in real}
    over_bag = accuracies["frozen, probe"] - accuracies["bag of words"]
    claims["published, frozen, over the bag of words, 400 labels"] = (over_bag, 0.08)
tested = [f"{kind}_accuracy" for kind in judged if kind != "gap"] + list(sst2)
check.report(
    scale,
    mlm_accuracy=accuracy,
    mlm_loss=logged["MLM loss"][-1],
    **above_floor,
    fine_tuned_accuracy=accuracies["fine-tuned"],
    frozen_accuracy=accuracies["frozen, probe"],
    scratch_accuracy=accuracies["from scratch"],
    live_share_accuracy=list(accuracies.values())[-1] if len(accuracies) > len(ways) else accuracies["fine-tuned"],
    gap_accuracy=gap_accuracy["used from here on"],
    random_accuracy=accuracies["random, probe"],
    bag_of_words_accuracy=accuracies["bag of words"],
    **sst2,
    claims=claims,
    chance={f"{kind}_accuracy": 0.5 for kind in judged} | dict.fromkeys(sst2, 0.5),
    baseline={"mlm_accuracy": unigram_accuracy, "mlm_loss": unigram_loss, "gap_accuracy": gap_accuracy["untrained"]},
    tested=dict.fromkeys(tested, len(test_set)) | {"gap_accuracy": len(val_set)},
)

# %% [markdown]
# ## What to take with you
#
# - A text is its own label: hide words, predict them. The unigram level says what is learnt beyond frequencies.
# - Padding must change nothing. Test it; do not believe it.
# - Pretraining teaches which words mean the same; labels then only have to name things.
# - What a network can compute need not lie open in its features: probing and fine-tuning answer different questions.
# - A from-scratch baseline is one whose encoder *trains*: same labels, same steps, and a measured movement.

# %% [markdown]
# ## Further reading
#
# - J. Devlin, M.-W. Chang, K. Lee, K. Toutanova. *BERT: pre-training of deep bidirectional transformers for language
#   understanding.* NAACL 2019. [arXiv:1810.04805](https://arxiv.org/abs/1810.04805).
# - A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. Gomez, Ł. Kaiser, I. Polosukhin. *Attention is all you
#   need.* NeurIPS 2017. [arXiv:1706.03762](https://arxiv.org/abs/1706.03762).
# - Y. Liu, M. Ott, N. Goyal, J. Du, M. Joshi, D. Chen, O. Levy, M. Lewis, L. Zettlemoyer, V. Stoyanov. *RoBERTa: a
#   robustly optimized BERT pretraining approach.* 2019. [arXiv:1907.11692](https://arxiv.org/abs/1907.11692). Without
#   next sentences.
# - A. Wettig, T. Gao, Z. Zhong, D. Chen. *Should you mask 15% in masked language modeling?* EACL 2023.
#   [arXiv:2202.08005](https://arxiv.org/abs/2202.08005).
# - T. Schick, H. Schütze. *Exploiting cloze questions for few-shot text classification and natural language inference.*
#   EACL 2021. [arXiv:2001.07676](https://arxiv.org/abs/2001.07676). Asking with a gap.
# - N. Reimers, I. Gurevych. *Sentence-BERT: sentence embeddings using siamese BERT-networks.* EMNLP 2019.
#   [arXiv:1908.10084](https://arxiv.org/abs/1908.10084). Pooling.
# - W. Wang, F. Wei, L. Dong, H. Bao, N. Yang, M. Zhou. *MiniLM: deep self-attention distillation for task-agnostic
#   compression of pre-trained transformers.* NeurIPS 2020. [arXiv:2002.10957](https://arxiv.org/abs/2002.10957).
# - J. Su, Y. Lu, S. Pan, A. Murtadha, B. Wen, Y. Liu. *RoFormer: enhanced transformer with rotary position embedding.*
#   2021. [arXiv:2104.09864](https://arxiv.org/abs/2104.09864).
# - J. Geiping, T. Goldstein. *Cramming: training a language model on a single GPU in one day.* ICML 2023.
#   [arXiv:2212.14034](https://arxiv.org/abs/2212.14034).
# - B. Warner, A. Chaffin, B. Clavié, O. Weller, O. Hallström, S. Taghadouini, A. Gallagher, R. Biswas, F. Ladhak,
#   T. Aarsen and others. *Smarter, better, faster, longer: a modern bidirectional encoder for fast, memory efficient,
#   and long context finetuning and inference.* ACL 2025. [arXiv:2412.13663](https://arxiv.org/abs/2412.13663).
#   ModernBERT.
# - L. Le Breton, Q. Fournier, M. El Mezouar, J. X. Morris, S. Chandar. *NeoBERT: a next-generation BERT.* 2025.
#   [arXiv:2502.19587](https://arxiv.org/abs/2502.19587). Which of the changes matters how much.
# - H. Gisserot-Boukhlef, N. Boizard, M. Faysse, D. M. Alves, E. Malherbe, A. F. T. Martins, C. Hudelot, P. Colombo.
#   *Should we still pretrain encoders with masked language modeling?* 2025.
#   [arXiv:2507.00994](https://arxiv.org/abs/2507.00994).
# - I. Tenney, D. Das, E. Pavlick. *BERT rediscovers the classical NLP pipeline.* ACL 2019.
#   [arXiv:1905.05950](https://arxiv.org/abs/1905.05950). What each layer knows.
# - V. Hatzivassiloglou, K. McKeown. *Predicting the semantic orientation of adjectives.* ACL 1997. What "and" tells.
# - Z. Harris. *Distributional structure.* Word, 1954. J. R. Firth. *A synopsis of linguistic theory 1930-1955.* 1957.
# - A. Maas, R. Daly, P. Pham, D. Huang, A. Ng, C. Potts. *Learning word vectors for sentiment analysis.* ACL 2011.
#   IMDB. R. Socher, A. Perelygin, J. Wu, J. Chuang, C. Manning, A. Ng, C. Potts. *Recursive deep models for semantic
#   compositionality over a sentiment treebank.* EMNLP 2013. SST-2.

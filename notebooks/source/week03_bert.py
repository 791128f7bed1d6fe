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
import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.data import expect
from sslcourse.check import week03 as check

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
# must form a view of every position from its context.
#
# ### Words that fill the same gap
#
# "the soup was [MASK]" accepts *superb*, *lovely* and *great* alike. To predict each of them from the same contexts,
# a network does best to give them similar vectors; that words are known by their company is an old idea (Harris 1954;
# Firth 1957). Adjectives joined by "and" mostly share their orientation, which alone is enough to sort them into two
# groups (Hatzivassiloglou & McKeown 1997). So what MLM learns about synonyms holds for words that no label ever
# named: this is what a classifier with a handful of labels cannot learn from the labels.

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
corpus = data.load_texts(name, "train", n=scale.pick(dry=200, tiny=16000, small=4000, full=None), seed=scale.seed)
corpus_val = data.load_texts(name, "val", n=scale.pick(dry=100, tiny=1000, small=300, full=2000), seed=scale.seed)
if task == name:
    train_set, val_set = corpus, corpus_val
else:
    train_set = data.load_texts(task, "train", n=scale.pick(dry=200, tiny=None, small=6000, full=None), seed=scale.seed)
    val_set = data.load_texts(task, "val", n=scale.pick(dry=100, tiny=None, small=1000, full=None), seed=scale.seed)
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
watched_tokens = data.encode(tokenizer, stretches(corpus_val.texts, int(0.75 * max_length) + 2)[:1000], max_length)
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
# Synonyms are learnt in the first seconds, what a negator does comes later, and whether these few seconds reach it is a
# matter of luck: the recorded spread of `live_share_accuracy` in the report is large. So at
# `tiny` the network above is the *live share*. What follows uses a network of the same build, `bert_reviews`, that
# ships with the course: the same training on other reviews, run longer (`sslcourse/cli/recipes/bert.py`). Both stand
# in the results. The larger scales go on with the live network.

# %%
goes_on = name == "reviews"
bert = models.load_pretrained("bert_reviews").to(scale.device) if goes_on else live
shipped = watch(bert)
for which, model in {"live share": live, "used from here on": bert}.items():
    print(f"{which:18}", ", ".join(f"{measure} {value:.2f}" for measure, value in watch(model).items()))

# %% [markdown]
# ### The unigram level
#
# What can be reached without looking at the context: the loss of predicting word frequencies (counted on the training
# texts), and the accuracy of always saying the most frequent token.

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
seen = range(len(history.loss) + 1)
plot.show(
    plot.curves(
        {"live BERT": logged["MLM loss"]},
        x=seen,
        levels={"unigram": unigram_loss, "uniform, ln V": math.log(vocab_size)}
        | {which: at["MLM loss"] for which, at in longer.items()},
        xlabel="epoch",
        ylabel="validation loss in nats",
        title="Loss at hidden words",
    ),
    alt="Validation loss over epochs, falling below the dashed level of the unigram model.",
)
plot.show(
    plot.curves(
        {"live BERT": logged["MLM accuracy"]},
        x=seen,
        levels={"most frequent token": unigram_accuracy} | {which: at["MLM accuracy"] for which, at in longer.items()},
        xlabel="epoch",
        ylabel="validation accuracy",
        title="Accuracy at hidden words",
    ),
    alt="Accuracy at hidden words over epochs, rising above the dashed level of the most frequent token.",
)

# %% [markdown]
# For orientation, published figures that are not comparable with ours: a small BERT of the course that this one
# descends from reached 64 % at next-sentence prediction and 33 % at hidden words of IMDB, and 73 % on SST-2 with a
# frozen encoder.
#
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
# (a) The loss of your network has stopped falling, and is far above 0. Does that mean that it should be larger or train
# longer? (b) Which rows of the last figure can be filled by a network that only knows which words go together, and
# which need to know what "never" does? What does yours do?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Not by itself. The smallest loss is the entropy of the hidden word given its context, and here most of it cannot
# be reduced: the grammar draws one of many synonyms at random, so a perfect network spreads its probability over all of
# them. Only a comparison tells: with a larger network, or with the entropy of the grammar, which one can compute for a
# toy.
#
# (b) The first four: words joined by "and", or in sentences that agree, are of one kind, so company is enough. In the
# last two the gap stands behind a negator, and the word that fits is of the *opposite* kind to its company. A network
# that has learnt company alone answers them like the rows before; one that has learnt negation turns them round. The
# figure tells which yours is; at `tiny` groups are learnt first, and negation after that.
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
# round.
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


@torch.no_grad()
def layer_states(model, texts) -> list[torch.Tensor]:
    """Pooled states (N, D) of the embeddings and of every layer, on the CPU."""
    model.eval()
    rows = []
    for i in range(0, len(texts), 250):
        tokens = data.encode(tokenizer, texts[i : i + 250], max_length)
        ids, mask = tokens.input_ids.to(scale.device), tokens.attention_mask.to(scale.device)
        states = model.bert(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        rows.append([pool(state, mask).cpu() for state in states])
    return [torch.cat(layer) for layer in zip(*rows)]


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
        title="What can be read off each layer",
    ),
    alt="Probe accuracy by layer for topic, sentiment and negation, for the trained and for the untrained network.",
)

# %% [markdown]
# #### Question 2
#
# (a) Why can topic and negation be read off the embeddings, even those of the untrained network, and sentiment not?
# (b) Where does sentiment become readable, and what must a layer do for that? (c) Compare a probe on the last layer
# with the cloze questions. How can a network answer these and yet not show sentiment to a probe?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Both show in single words: the pooled embeddings are a sum over words, and a linear probe can look for a direction
# that "soup" or "never" contributes; random vectors in enough dimensions are nearly orthogonal, so no training is
# needed. Sentiment is an exclusive-or of word and negator, and a sum over words has no term for the two together.
#
# (b) After a layer whose attention brings a negator to the word behind it, so that the state of "superb" after "never"
# differs from that of "superb" alone in the direction of sentiment. The figure tells how far the training got; the
# untrained network mixes positions, too, but at random.
#
# (c) To fill a gap the product of word and negator has to be worked out at the place of the *gap*, from the sentence
# before. In a text without a gap the states at the adjectives are about which words fit *there*, the kind and not the
# sentiment, and the mean over them shows that. What a network can compute and what lies open in its states are
# different things; fine-tuning can bring the first to the surface.
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
# The two that train get the same labels, the same number of steps, the same order of batches and the same learning
# rate. The rate could decide the comparison, since a pretrained network does well with a smaller one. So at
# `tiny` it is the one of three (0.0003, 0.001, 0.003; validation texts, seeds that are not recorded) that served
# *from scratch* best at most budgets.
# To see that from-scratch deserves its name, we measure how far its encoder moved. A few texts are a small sample, so
# every result is a mean over several draws of labelled texts. A sixth row shows what the live share of the
# pretraining would have given.

# %%
budgets = scale.pick(tiny=[16, 32, 100, 320], small=[400, 1600, 6000], full=[100, 1000, 10000, 50000])
tuning_steps = scale.pick(dry=1, tiny=100, small=200, full=3000)
moved = {}


class Classifier(nn.Module):
    """Encoder, your pooling, one linear layer."""

    def __init__(self, model, seed: int):
        super().__init__()
        self.encoder = copy.deepcopy(model.bert)
        torch.manual_seed(seed)
        self.out = nn.Linear(hidden_size, len(train_set.class_names))

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state      # (N, L, D)
        return self.out(pool(hidden, attention_mask))


def weights_of(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in module.parameters()])


def fine_tuned(model, n: int, seed: int, steps: int = tuning_steps) -> tuple[float, float]:
    """Validation and test accuracy after training a copy of the encoder and a linear layer on n texts."""
    few = train_set.subset(min(n, len(train_set)), seed=seed)
    tokens, size = data.encode(tokenizer, few.texts, max_length), min(len(few), 32)
    classifier = Classifier(model, seed).to(scale.device)
    before = weights_of(classifier.encoder)
    train.fit(
        lambda ids, mask, y: F.cross_entropy(classifier(ids, mask), y),
        classifier,
        (tokens.input_ids, tokens.attention_mask, few.labels),
        epochs=math.ceil(steps / max(1, len(few) // size)),
        batch_size=size,
        lr=scale.pick(tiny=3e-3, small=5e-4, full=5e-5),
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=steps,
        progress=False,
    )
    far = (weights_of(classifier.encoder) - before).norm() / before.norm()
    moved["from scratch" if model is untrained else "fine-tuned"] = far.item()
    return tuple(classified(classifier, part) for part in (val_set, test_set))


@torch.no_grad()
def classified(classifier, part) -> float:
    classifier.eval()
    tokens = data.encode(tokenizer, part.texts, max_length)
    guesses = []
    for ids, mask in zip(tokens.input_ids.split(500), tokens.attention_mask.split(500)):
        guesses.append(classifier(ids.to(scale.device), mask.to(scale.device)).argmax(dim=1).cpu())
    return (torch.cat(guesses) == part.labels).float().mean().item()


states = {}                                   # pooled last states of validation and test texts, computed once


def probed_accuracy(model, n: int, seed: int) -> tuple[float, float]:
    """Validation and test accuracy of a probe on the frozen last layer."""
    if model not in states:
        states[model] = [layer_states(model, part.texts)[-1] for part in (val_set, test_set)]
    few = train_set.subset(min(n, len(train_set)), seed=seed)
    x = layer_states(model, few.texts)[-1]
    return tuple(
        evaluate.linear_probe(x, few.labels, y, part.labels, Cs=(0.1,)).accuracy
        for y, part in zip(states[model], (val_set, test_set))
    )


def bag_of_words(n: int, seed: int) -> tuple[float, float]:
    """Logistic regression on the counts of words."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    few = train_set.subset(min(n, len(train_set)), seed=seed)
    counts = CountVectorizer()
    model = LogisticRegression(max_iter=1000).fit(counts.fit_transform(few.texts), few.labels)
    return tuple(float(model.score(counts.transform(part.texts), part.labels)) for part in (val_set, test_set))


ways = {
    "fine-tuned": lambda n, seed: fine_tuned(bert, n, seed),
    "frozen, probe": lambda n, seed: probed_accuracy(bert, n, seed),
    "from scratch": lambda n, seed: fine_tuned(untrained, n, seed),
    "random, probe": lambda n, seed: probed_accuracy(untrained, n, seed),
    "bag of words": bag_of_words,
}
draws = scale.pick(dry=1, tiny=4, small=3, full=3)


def mean_over_draws(way, n: int, seed: int) -> tuple[float, float]:
    """Validation and test accuracy, averaged over draws of n labelled texts."""
    pairs = [way(n, draws * seed + draw) for draw in range(draws)]
    return tuple(sum(values) / draws for values in zip(*pairs))


results = {kind: mean_over_draws(way, budgets[0], scale.seed) for kind, way in ways.items()}
for kind, far in moved.items():
    print(f"{kind:13} moved its encoder by {far:.2f} of its length")

# %%
accuracies = {kind: test for kind, (_, test) in results.items()}
if goes_on:
    tune_live = lambda n, seed: fine_tuned(live, n, seed)  # noqa: E731
    accuracies["live share, fine-tuned"] = mean_over_draws(tune_live, budgets[0], scale.seed)[1]
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
        own={budgets[0]: results[kind][0]},
        rerun=rerun,
    )
    for kind, way in ways.items()
}
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
        points=scale.pick(tiny=[25, 100, 400], small=[50, 200, 800], full=[300, 3000, 10000]),
        own={tuning_steps: results[kind][0]} if scale.name != "dry" else {},
        rerun=[],
    )
    for kind, start_at in {"fine-tuned": bert, "from scratch": untrained}.items()
}
plot.show(
    plot.sweep(
        patience,
        xlabel="steps",
        ylabel="validation accuracy",
        log_x=True,
        levels={"chance": 0.5},
        title=f"{budgets[0]} labels: does more training help?",
    ),
    alt="Validation accuracy against the number of training steps for the fine-tuned and the from-scratch network.",
)

# %% [markdown]
# #### Question 3
#
# (a) Why can a bag of words not become good at the toy sentiment, however many labels it gets? (b) What exactly does
# pretraining save the fine-tuned network from learning from labels? (c) Why is the frozen network with a probe so
# much worse than the same network fine-tuned, and where would you rather have it the other way round? (d) A friend's
# from-scratch baseline scores like the random encoder with a probe, at every budget. What do you suspect, and what do
# you print?

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
# ## Report
#
# Your numbers beside those of the recorded runs, all on texts that training never saw. Scale `small` trains for some
# minutes on real reviews, which is enough for frequencies and little more: there pretraining need not pay, and nothing
# is claimed about it. That a short pretraining is worth little is the lesson of the live share, too.

# %%
judged = ("fine_tuned", "frozen", "scratch", "random", "bag_of_words", "live_share", "gap")
ratio = accuracy / unigram_accuracy
gain = accuracies["fine-tuned"] - accuracies["from scratch"]
claims = {"MLM accuracy over the most frequent token's, a ratio": (ratio, scale.pick(tiny=2.0, small=1.2, full=2.0))}
if scale.name != "small":      # there the pretraining is far too short for the language of real reviews
    claims[f"pretrained over from scratch, {budgets[0]} labels"] = (gain, scale.pick(tiny=0.05, small=None, full=0.05))
check.report(
    scale,
    mlm_accuracy=accuracy,
    mlm_loss=logged["MLM loss"][-1],
    fine_tuned_accuracy=accuracies["fine-tuned"],
    frozen_accuracy=accuracies["frozen, probe"],
    scratch_accuracy=accuracies["from scratch"],
    live_share_accuracy=accuracies.get("live share, fine-tuned", accuracies["fine-tuned"]),
    gap_accuracy=gap_accuracy["used from here on"],
    random_accuracy=accuracies["random, probe"],
    bag_of_words_accuracy=accuracies["bag of words"],
    claims=claims,
    chance={f"{kind}_accuracy": 0.5 for kind in judged},
    baseline={"mlm_accuracy": unigram_accuracy, "mlm_loss": unigram_loss, "gap_accuracy": gap_accuracy["untrained"]},
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
# - I. Tenney, D. Das, E. Pavlick. *BERT rediscovers the classical NLP pipeline.* ACL 2019.
#   [arXiv:1905.05950](https://arxiv.org/abs/1905.05950). What each layer knows.
# - V. Hatzivassiloglou, K. McKeown. *Predicting the semantic orientation of adjectives.* ACL 1997. What "and" tells.
# - Z. Harris. *Distributional structure.* Word, 1954. J. R. Firth. *A synopsis of linguistic theory 1930-1955.* 1957.
# - A. Maas, R. Daly, P. Pham, D. Huang, A. Ng, C. Potts. *Learning word vectors for sentiment analysis.* ACL 2011.
#   IMDB. R. Socher, A. Perelygin, J. Wu, J. Chuang, C. Manning, A. Ng, C. Potts. *Recursive deep models for semantic
#   compositionality over a sentiment treebank.* EMNLP 2013. SST-2.

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
# # Week 12 · Protein language models: structure from filling in blanks
#
# Hide a residue of a protein and ask a transformer which one it was. Nobody tells it that proteins fold. Yet residues
# that touch in the folded protein change together in evolution, so whoever fills in blanks well has found out who
# touches whom, and what a mutation costs. This week you train such a model on families whose contacts and energies are
# known, read the contacts off its attention, score mutations with its probabilities, and check both against the truth.
#
# **You will be able to**
#
# 1. derive what a masked language model learns about a family, and why a masked marginal is a difference of energies;
# 2. turn attention maps into contacts (symmetrise, correct, regress) and judge them by precision at L;
# 3. score mutations without any label, and say what a site-independent model misses;
# 4. avoid the traps of the trade: leaking homologues, special tokens, padding, token dropout.
#
# **You need** masked language models and attention (week 3), linear probes (week 1). Notation: a sequence $x$ has $L$
# residues $x_i$ out of 20 amino acids; $x_{\setminus i}$ is the sequence without residue $i$; $A$ is an attention map.
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
import functools
import math
import re
import warnings

import numpy as np
import torch
import torch.nn.functional as F

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import week12 as check
from sslcourse.data import AMINO_ACIDS
from sslcourse.data.own import split_own
from sslcourse.data.proteins import encode
from sslcourse.models.protein import MASK, PAD
from sslcourse.plot.schematics.contact_from_attention import contact_from_attention

# %%
scale = sslcourse.begin(week=12)

# %% [markdown] tags=["before"]
# ## Theory
#
# ### Families, and why contacts leave traces
#
# Proteins with a common ancestor form a **family**: different sequences, one fold. Where two residues touch, a change
# of one is often tolerated only if the other changes too: a large residue beside a small one, a positive beside a
# negative. Over many sequences the two positions become correlated (Göbel et al. 1994), and one may try to read the
# fold off an alignment. The plainest measure is the mutual information of two columns,
#
# $$M_{ij} = \sum_{a, b} f_{ij}(a, b) \ln \frac{f_{ij}(a, b)}{f_i(a) f_j(b)}.$$
#
# Two things stand in its way. **Background**: variable columns, small samples and common descent raise $M_{ij}$ for
# some rows and columns as a whole. If the background is a product $u_i u_j$, its row sums are $u_i \sum_k u_k$ and
# $u_j \sum_k u_k$, the total is $(\sum_k u_k)^2$, so that
#
# $$u_i u_j = \frac{M_{i \cdot} M_{\cdot j}}{M_{\cdot \cdot}},$$
#
# and subtracting this **average product** leaves what is special to the pair (Dunn et al. 2008). **Chains**: if $i$
# touches $j$ and $j$ touches $k$, then $i$ and $k$ are correlated, too. Correlation does not tell direct from indirect.
#
# ### The Potts model tells them apart
#
# Among all distributions with given frequencies of single letters and pairs, that of largest entropy is the Potts model
#
# $$p(x) = \frac1Z e^{-E(x)}, \qquad E(x) = -\sum_i h_i(x_i) - \sum_{i < j} J_{ij}(x_i, x_j),$$
#
# whose **couplings** $J_{ij}$ are the direct interactions: correlations between $i$ and $k$ that run through $j$ need
# no $J_{ik}$ (Weigt et al. 2009; Morcos et al. 2011). $Z$ sums over $20^L$ sequences, which nobody can compute. But
# conditional probabilities do not contain $Z$:
#
# $$p(x_i = a \mid x_{\setminus i}) = \frac{\exp\big(h_i(a) + \sum_{j \ne i} J_{ij}(a, x_j)\big)}
# {\sum_{b} \exp\big(h_i(b) + \sum_{j \ne i} J_{ij}(b, x_j)\big)}.$$
#
# Fitting these, residue after residue, is *pseudolikelihood*, the standard way to fit a Potts model (Ekeberg et al.
# 2013). It is also, word for word, what a masked language model does when one residue is masked.

# %% [markdown] tags=["before"]
# ### What the masked language model learns
#
# The loss is a cross-entropy, so for each pattern of masks its optimum is the true conditional probability of the
# hidden residue given the visible ones (Gibbs). From this follow both uses of this week.
#
# **Contacts.** In the formula above only residues with $J_{ij} \ne 0$ matter to residue $i$: given those that touch it,
# all others say nothing. So a network that predicts well has to look from $i$ at its contacts, and attention is the
# only part of a transformer where one residue can look at another. That the *maps* show it is likely, not guaranteed:
# information may also take two steps, and some heads do other work. Hence a small regression, fitted on a few proteins
# of known structure, picks the heads that show contacts (Rao et al. 2021).
#
# **Effects of mutations.** Let residue $i$ of a wild type $x$ become $a$, giving $x'$. In the ratio of two conditional
# probabilities at the *same* masked position the denominators cancel:
#
# $$\ln p(a \mid x_{\setminus i}) - \ln p(x_i \mid x_{\setminus i})
# = \ln \frac{p(x')}{p(x)} = E(x) - E(x').$$
#
# The **masked marginal** (Meier et al. 2021) of a perfect model *is* the energy difference, epistasis included: it
# depends on the residues around. A site-independent model replaces it by $\ln f_i(a) - \ln f_i(x_i)$, the same in every
# sequence of the family. Nobody had to measure anything; whether energy means fitness is another question.
#
# ### Heads into contacts
#
# ESM's recipe: take all attention maps of a sequence, cut the special tokens `<cls>` and `<eos>`, make each symmetric
# ($A + A^\top$, since touching has no direction), apply the average product correction, and let a logistic regression
# weigh the heads. Judge it by **precision at L**: of the $L$ pairs with the highest probability, at least six residues
# apart, which share truly touches? Pairs nearer than that are in contact anyway and would flatter every method.

# %%
plot.show(
    contact_from_attention(),
    alt="A sequence goes into a transformer; attention of all heads is cut, symmetrised, corrected and regressed to "
    "contacts; probabilities at a masked residue give the effect of a mutation.",
)

# %% [markdown] tags=["before"]
# ### Three habits of ESM that change results silently
#
# - **Attention on request.** The fast kernels of transformers never build the maps: without
#   `attn_implementation="eager"` none come back.
# - **Padding is not neutral.** A batch of unequal lengths is padded, and without an attention mask real residues
#   attend to the padding.
# - **Token dropout.** Masked tokens enter as *zero*, not as a learnt vector, and all embeddings of a sequence are
#   multiplied by $(1 - 0.15 \cdot 0.8) / (1 - m)$, where $m$ is the share of masked tokens in it: like dropout, so
#   that their sum keeps its size. Unlike dropout this stays on at inference. A sequence without any mask is scaled by
#   0.88.
#
# Masking is BERT's: 15 % of the residues are chosen, of these 80 % become `<mask>`, 10 % a random residue, 10 % stay.
# The last two should matter for those who want to save forward passes and read *all* mutations off one pass without any mask
# (wild-type marginals): at an unmasked residue the loss teaches anything only because some of the chosen ones were
# shown.
#
# Published, for orientation: long-range precision at L of ESM-2, heads weighed by a regression on 20 structures, is
# 15.9, 28.8, 42.2 and 50.1 % for 8, 35, 150 and 650 million parameters (Lin et al. 2023; the table "Comparison to
# related works" in the README of [github.com/facebookresearch/esm](https://github.com/facebookresearch/esm)). Nothing
# that trains in a minute is comparable.

# %% [markdown]
# ## Data
#
# Four families of 32 residues, drawn from Potts models that we made: contacts, couplings and energies are known
# exactly. All contacts share one table of pair weights, as a physical interaction would; four residues of each family
# are conserved, the same four letters at other places, so that composition does not tell families apart.

# %%
# NBVAL_CHECK_OUTPUT
n_train, n_test = scale.pick(dry=(200, 40), tiny=(6000, 400), small=(6000, 400), full=(6000, 400))
train_set = data.load_proteins("potts", "train", n=n_train, seed=scale.seed)
val_set = data.load_proteins("potts", "val", n=n_test, seed=scale.seed)
test_set = data.load_proteins("potts", "test", n=n_test, seed=scale.seed)
scan = data.load_proteins("potts_scan", "test", n=scale.pick(dry=4, tiny=24, small=24, full=24), seed=scale.seed)
families, length = len(train_set.class_names), len(train_set.sequences[0])
print(f"{len(train_set)} training, {len(val_set)} validation, {len(test_set)} test sequences of {families} families")
print(f"{length} residues, {int(train_set.contacts[0].sum()) // 2} contacts a family, {len(scan)} mutants to score")

# %%
for n in range(6):
    print(f"{train_set.class_names[train_set.labels[n]]}   {train_set.sequences[n]}")

# %% [markdown]
# Nothing to be seen by eye. The three splits are independent draws from the same families: this is what a model of
# known families needs. The *contact regression* is another matter. It is fitted on contact maps, so it has to be tested
# on families whose maps it has not seen, and every contact result below leaves the tested family out.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### 12.1 Symmetrise  ·  difficulty 1 of 3  ·  about 5 minutes
#
# Add to every matrix its transpose; `x` may have any number of leading dimensions (layers, heads, ...).
#
# <details><summary>Hint</summary>Which two dimensions does <code>x.transpose(-1, -2)</code> swap?</details>


# %% tags=["exercise", "points:1"]
def symmetrize(x: torch.Tensor) -> torch.Tensor:
    """x plus its transpose (Rao et al. 2021). x: (..., L, L). Returns (..., L, L)."""
    ### BEGIN SOLUTION
    return x + x.transpose(-1, -2)
    ### END SOLUTION


# %% tags=["check"]
symmetrize = check.symmetrize(symmetrize)

# %% [markdown]
# ### 12.2 Average product correction  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Subtract from every entry (sum of its row) x (sum of its column) / (sum of all), the diagonal included everywhere.
#
# <details><summary>Hint 1</summary>Three sums: over the last dimension, over the one before, over both.</details>
# <details><summary>Hint 2</summary><code>keepdim=True</code> makes (..., L, 1), (..., 1, L) and (..., 1, 1): they
# broadcast.</details>


# %% tags=["exercise", "points:2"]
def apc(x: torch.Tensor) -> torch.Tensor:
    """Average product correction (Dunn et al. 2008). x: (..., L, L). Returns (..., L, L); every matrix by itself."""
    ### BEGIN SOLUTION
    rows = x.sum(dim=-1, keepdim=True)                        # (..., L, 1)
    columns = x.sum(dim=-2, keepdim=True)                     # (..., 1, L)
    return x - rows * columns / rows.sum(dim=-2, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
apc = check.apc(apc)

# %% [markdown]
# Does the toy hold what the theory says? Here is the mutual information of the columns of one family, corrected with
# your function, beside the true contacts. It is computed from all training sequences of the family, which are aligned
# by construction; the language model gets one sequence at a time and is never told its family.


# %%
def mutual_information(numbers: torch.Tensor) -> torch.Tensor:
    """Mutual information (L, L) of the columns of an alignment (N, L), in nats; 0 on the diagonal."""
    onehot = F.one_hot(numbers, 20).double()                  # (N, L, 20)
    pairs = torch.einsum("nia,njb->ijab", onehot, onehot) / len(numbers) + 1e-9
    singles = onehot.mean(dim=0) + 1e-9                       # (L, 20)
    information = (pairs * (pairs / (singles[:, None, :, None] * singles[None, :, None, :])).log()).sum(dim=(2, 3))
    return information.fill_diagonal_(0)


alignment = encode(train_set[train_set.labels == 0].sequences)
information = apc(mutual_information(alignment)).fill_diagonal_(0).clamp(min=0)     # for the eye: no negative values
plot.show(
    plot.heat_maps(
        {"contacts": train_set.contacts[0].double(), "mutual information, corrected": information / information.max()},
        xlabel="residue",
        ylabel="residue",
        title="Family 0: what touches changes together",
    ),
    alt="Two maps of 32 by 32 residues: ladders of true contacts, and the same ladders in the mutual information.",
)

# %% [markdown]
# ### 12.3 Features of residue pairs  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Make the features of the contact regression from the attention maps of one sequence: cut the first and last token,
# symmetrise, correct, and stack all heads of all layers as channels, those of layer 0 first.
#
# <details><summary>Hint 1</summary>Cut both dimensions: rows and columns belong to tokens.</details>
# <details><summary>Hint 2</summary>The order matters, since the correction is not linear: cut, symmetrise,
# correct.</details>
# <details><summary>Hint 3</summary><code>torch.cat</code> along heads gives (1, channels, L + 2, L + 2);
# <code>permute</code> at the end.</details>


# %% tags=["exercise", "points:2"]
def attention_features(attentions: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Corrected attention of every pair of residues (Rao et al. 2021, section 3).

    attentions: one tensor a layer, (1, heads, L + 2, L + 2), first token <cls>, last token <eos>.
    Returns (L, L, layers * heads), symmetric in the residues.
    """
    ### BEGIN SOLUTION
    maps = torch.cat(attentions, dim=1)[0]                    # (layers * heads, L + 2, L + 2)
    maps = maps[:, 1:-1, 1:-1]                                # before any sum: special tokens draw much attention
    return apc(symmetrize(maps)).permute(1, 2, 0)             # (L, L, layers * heads)
    ### END SOLUTION


# %% tags=["check"]
attention_features = check.attention_features(attention_features)

# %% [markdown]
# ### 12.4 The regression  ·  given
#
# A logistic regression on these features, with few parameters: one weight a head. It never sees a sequence or a
# position, so it can only say *which heads* show contacts, and that carries over to other proteins.


# %% tags=["exercise", "points:0"]
class ContactHead:
    """Logistic regression from features of residue pairs to contacts (Rao et al. 2021, section 3)."""

    def __init__(self, C: float = 0.15, min_separation: int = 6):
        self.C, self.min_separation = C, min_separation

    def pairs(self, matrix: torch.Tensor) -> np.ndarray:
        """The entries (P, ...) of (L, L, ...) at pairs i < j, min_separation or more apart."""
        i, j = torch.triu_indices(len(matrix), len(matrix), self.min_separation)
        return matrix[i, j].numpy()

    def fit(self, features: list[torch.Tensor], contacts: list[torch.Tensor]) -> "ContactHead":
        """features: (L, L, C) for each protein; contacts: (L, L) bool."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        x = np.concatenate([self.pairs(f) for f in features])
        y = np.concatenate([self.pairs(c) for c in contacts])
        self.model = make_pipeline(StandardScaler(), LogisticRegression(C=self.C)).fit(x, y)
        return self

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Probabilities (L, L) of contact."""
        flat = self.model.predict_proba(features.flatten(0, 1).numpy())[:, 1]
        return torch.from_numpy(flat).view(features.shape[:2])


# %% tags=["check"]
ContactHead = check.ContactHead(ContactHead)

# %% [markdown]
# ### 12.5 Precision at L  ·  difficulty 2 of 3  ·  about 20 minutes
#
# Of the best-scored pairs, which share touches? Count every pair once (i < j), keep those whose separation j - i lies
# between `min_separation` and `max_separation` (both included; `None`: no upper end), take the `int(fraction * L)`
# best, at least one, or all if there are fewer, and divide the hits by the number taken. Short range is 6 to 11, medium
# 12 to 23, long 24 and more. Where no pair is in range, return NaN and say so with `warnings.warn`.
#
# <details><summary>Hint 1</summary><code>torch.triu_indices(L, L, offset=k)</code> lists the pairs with j - i of at
# least k.</details>
# <details><summary>Hint 2</summary>L is the length of the protein, not the number of its contacts.</details>
# <details><summary>Hint 3</summary><code>scores[i, j].argsort(descending=True)</code>, then the contacts at the first
# of them.</details>


# %% tags=["exercise", "points:2"]
def precision_at_l(
    scores: torch.Tensor,
    contacts: torch.Tensor,
    min_separation: int = 6,
    max_separation: int | None = None,
    fraction: float = 1.0,
) -> float:
    """Share of true contacts among the int(fraction * L) best-scored pairs (Rao et al. 2021, appendix).

    scores: (L, L), higher is more likely. contacts: (L, L) bool. Returns a number in [0, 1], NaN for no pair in range.
    """
    ### BEGIN SOLUTION
    length = len(scores)
    i, j = torch.triu_indices(length, length, offset=min_separation)
    if max_separation is not None:
        near = j - i <= max_separation
        i, j = i[near], j[near]
    if len(i) == 0:
        warnings.warn(f"No pair of {length} residues is {min_separation} or more apart: NaN.", stacklevel=2)
        return math.nan
    best = scores[i, j].argsort(descending=True)[: max(1, int(fraction * length))]
    return contacts[i, j][best].double().mean().item()
    ### END SOLUTION


# %% tags=["check"]
precision_at_l = check.precision_at_l(precision_at_l)

# %%
chance = float(train_set.contacts[0][tuple(torch.triu_indices(length, length, 6))].double().mean())
column_pairs = [
    precision_at_l(
        apc(mutual_information(encode(train_set[train_set.labels == k].sequences))), train_set.contacts[k].bool()
    )
    for k in range(families)
]
print(f"precision at L of the corrected mutual information {np.mean(column_pairs):.2f}, of chance {chance:.2f}")

# %% [markdown]
# ### 12.6 Names of mutations  ·  given
#
# "A23T" says: residue 23, counted from 1, is an A and becomes a T. A wrong offset would score other mutations than
# those measured and raise no error, so a name that does not fit the sequence is refused.


# %% tags=["exercise", "points:0"]
def parse_mutation(mutation: str, sequence: str) -> tuple[str, int, str]:
    """("A", 22, "T") for "A23T": wild type, 0-based position, mutant. ValueError for a name that does not fit."""
    found = re.fullmatch(rf"([{AMINO_ACIDS}])(\d+)([{AMINO_ACIDS}])", mutation)
    if found is None:
        raise ValueError(f"{mutation!r} is no single mutation of the twenty amino acids, such as A23T.")
    wild, position, mutant = found[1], int(found[2]) - 1, found[3]
    if not 0 <= position < len(sequence):
        raise ValueError(f"{mutation} is outside the sequence, whose residues count from 1 to {len(sequence)}.")
    if sequence[position] != wild:
        raise ValueError(f"{mutation} starts from {wild}, but residue {position + 1} is {sequence[position]}.")
    return wild, position, mutant


# %% tags=["check"]
parse_mutation = check.parse_mutation(parse_mutation)

# %% [markdown]
# ### 12.7 Masked marginals  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Score single mutations. `log_probs_at(sequence, position)` masks that 0-based position and returns natural log
# probabilities of the twenty amino acids, in the order of `AMINO_ACIDS`. Use *your* `parse_mutation`.
#
# <details><summary>Hint 1</summary>Both probabilities come from the same masked position of the wild-type
# sequence.</details>
# <details><summary>Hint 2</summary><code>AMINO_ACIDS.index("T")</code> is the place of T.</details>


# %% tags=["exercise", "points:2"]
def masked_marginal(log_probs_at, sequence: str, mutations: list[str]) -> torch.Tensor:
    """log p(mutant) - log p(wild type) at the masked position (Meier et al. 2021, eq. 1), for single mutations.

    log_probs_at: (sequence, 0-based position) -> (20,). sequence: the wild type. mutations: M names such as "A23T".
    Returns (M,); negative where the mutation is less likely than the wild type.
    """
    ### BEGIN SOLUTION
    scores = []
    for mutation in mutations:
        wild, position, mutant = parse_mutation(mutation, sequence)
        log_p = log_probs_at(sequence, position)
        scores.append(log_p[AMINO_ACIDS.index(mutant)] - log_p[AMINO_ACIDS.index(wild)])
    return torch.stack(scores)
    ### END SOLUTION


# %% tags=["check"]
masked_marginal = check.masked_marginal(masked_marginal)

# %% [markdown]
# ### 12.8 From residues to proteins  ·  given
#
# One vector a protein: the mean over its residues, and over nothing else.


# %% tags=["exercise", "points:0"]
def pool_residues(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """hidden: (N, T, D); mask: (N, T), 1 = residue, 0 = padding or special token. Returns (N, D)."""
    if mask.shape != hidden.shape[:2]:
        raise ValueError(f"The mask is {tuple(mask.shape)}; features {tuple(hidden.shape)} need one of (N, T).")
    weights = mask.to(hidden.dtype)[..., None]                # (N, T, 1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


# %% tags=["check"]
pool_residues = check.pool_residues(pool_residues)

# %% [markdown]
# ## Training
#
# ESM's architecture, much smaller: norm before each block, token dropout, the alphabet of 33 tokens. `models.esm`
# builds transformers' `EsmForMaskedLM` from scratch. ESM-2 turns queries and keys by an angle for each place (rotary
# positions), so that attention sees distances and sequences may have any length. The toy model has a learnt vector for
# each place, as ESM-1b had: all sequences have 32 residues, and places need not be worked out from distances first.
# `train.masked_residue_loss` masks as `mask_tokens` of week 3 does and takes the cross-entropy at the chosen residues.
#
# A few epochs fit into class; contacts take longer. So you train your share live, and then go on from a **checkpoint**
# that ships with the course: the same network and recipe, run longer and on more sequences of the same families (drawn
# with a seed of its own, so that no test sequence is among them). Both appear in the results, told apart by name.

# %%
width, layers, heads = 64, 3, 4
epochs = scale.pick(dry=1, tiny=5, small=5, full=5)
batch_size, learning_rate = 64, 3e-3


def pretrain(sequences, seed=scale.seed, *, epochs=epochs, shares=(0.8, 0.1), watch=None, label="ESM"):
    """Masked language modelling from random weights. Returns (model, history)."""
    torch.manual_seed(seed)
    model = models.esm(width, layers, heads, positions="absolute", max_length=length)
    history = train.fit(
        lambda ids: train.masked_residue_loss(model, ids, shares),
        model,
        model.tokens(sequences)[0],
        epochs=epochs,
        batch_size=batch_size,
        lr=learning_rate,
        weight_decay=0.01,
        clip=1.0,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=scale.max_steps,
        on_epoch=watch and (lambda epoch: watch(model)),
        label=label,
    )
    return model.eval(), history


# %% [markdown]
# After every epoch: the loss on validation sequences, always with the same masks, and the precision of the contacts.
# Three levels are known beforehand. Guessing costs $\ln 20$. The site-independent model knows the family and predicts
# every residue from the frequencies of its column. And since we know the couplings, we know the conditional
# probabilities of a perfect model that sees all other residues; masking 15 % costs it some of them, so the best
# possible loss lies a little above that line.

# %%
def site_frequencies(k: int) -> torch.Tensor:
    """Log frequencies (L, 20) of the columns of a family in the training set, one pseudocount a letter."""
    counts = F.one_hot(encode(train_set[train_set.labels == k].sequences), 20).double().sum(dim=0) + 1
    return (counts / counts.sum(dim=1, keepdim=True)).log()


columns = [site_frequencies(k) for k in range(families)]
site_loss, perfect_loss = [], []
for sequence, k in zip(val_set.sequences, val_set.labels.tolist()):
    numbers = encode([sequence])[0]
    site_loss.append(-columns[k].gather(1, numbers[:, None]).mean().item())
    effects = val_set.families[k].effects(numbers)            # ln p(a | rest) up to a constant
    perfect_loss.append(-effects.log_softmax(dim=1).gather(1, numbers[:, None]).mean().item())
levels = {"ln 20": math.log(20), "site-independent": np.mean(site_loss), "true conditionals": np.mean(perfect_loss)}

# %%
per_family = scale.pick(dry=2, tiny=10, small=10, full=10)


def first(some: data.ProteinSet, n: int = per_family) -> list[list[str]]:
    """The first n sequences of every family."""
    return [list(some[some.labels == k].sequences[:n]) for k in range(families)]


def contact_precision(model, some=val_set, n=per_family) -> tuple[float, list]:
    """Mean precision at L over single sequences of families that were left out of the regression, and the heads."""
    features = [[attention_features(model.attentions(s)) for s in group] for group in first(some, n)]
    found, fitted = [], []
    for k in range(families):
        others = [j for j in range(families) if j != k]
        head = ContactHead().fit(
            [f for j in others for f in features[j]], [some.contacts[j] for j in others for _ in features[j]]
        )
        found += [precision_at_l(head(f), some.contacts[k]) for f in features[k]]
        fitted.append(head)
    return float(np.mean(found)), fitted


val_ids = models.esm(16, 1, 1).tokens(val_set.sequences)[0]
val_inputs, val_labels = train.mask_residues(val_ids, generator=torch.Generator().manual_seed(12))


@torch.no_grad()
def validation_loss(model) -> float:
    logits = model.eval()(val_inputs.to(model.device))
    return F.cross_entropy(logits.flatten(0, 1).cpu(), val_labels.flatten(), ignore_index=-100).item()


def watch(model) -> dict[str, float]:
    return {"loss": validation_loss(model), "contacts": contact_precision(model, n=min(per_family, 5))[0]}


torch.manual_seed(scale.seed)
untrained = models.esm(width, layers, heads, positions="absolute", max_length=length)
untrained.to(scale.device).eval()                             # the very weights that your training starts from
start = watch(untrained)
own_model, history = pretrain(train_set.sequences, watch=watch)

# %% [markdown]
# And the checkpoint. What it reached when it was made stands in `sslcourse/checkpoints/README.md`; here it is measured
# again, on sequences that it has not seen.

# %%
model = models.load_pretrained("esm_potts").to(scale.device)
shipped = watch(model)
print(f"validation loss: site-independent {levels['site-independent']:.2f}, true conditionals "
      f"{levels['true conditionals']:.2f}; yours {history.metrics['loss'][-1]:.2f}, checkpoint {shipped['loss']:.2f}")

# %%
seen = range(len(history.loss) + 1)
plot.show(
    plot.curves(
        {"validation loss": [start["loss"], *history.metrics["loss"]]},
        x=seen,
        levels=levels | {"checkpoint": shipped["loss"]},
        xlabel="epoch",
        ylabel="nats per masked residue",
        title="Filling in blanks, one seed: below site-independent, residues are used together",
    ),
    alt="Validation loss over epochs, with levels of guessing, site-independent, checkpoint and true conditionals.",
)
plot.show(
    plot.curves(
        {"precision at L": [start["contacts"], *history.metrics["contacts"]]},
        x=seen,
        levels={
            "chance": chance,
            "mutual information": float(np.mean(column_pairs)),
            "checkpoint": shipped["contacts"],
        },
        xlabel="epoch",
        ylabel="precision at L",
        title="Contacts of families that the regression has not seen, one seed",
    ),
    alt="Precision at L from attention over epochs, with the levels of chance, mutual information and the checkpoint.",
)

# %% [markdown]
# #### Question 1
#
# (a) The loss of the site-independent model is a milestone. What must the network have learnt to come down *to* it,
# what to get *below* it, and which of the two can show in contacts? (b) Why can the best possible validation loss lie
# above the line of the true conditionals? (c) The mutual information needs an alignment of the family; what does the
# language model have instead, and what is the advantage for proteins with few relatives?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Down to it: which family a sequence belongs to and where in it a residue stands, then the frequencies of that
# column. Below it only by using other residues of the same sequence, that is couplings. Only the second needs contacts;
# a model at the level of the site-independent one may have perfect families and no contact at all.
#
# (b) The line is computed with all other residues visible. In training and validation 15 % are chosen at a time, most
# of them hidden or replaced, so some neighbours of a masked residue are missing and the conditional given the rest is
# less sharp.
#
# (c) Its weights, in which it has kept the families it was trained on, and it recognises the family from the one
# sequence. What is alike in all families (here the table of pair weights; in real proteins the chemistry of contacts)
# is learnt from all of them together, so a family with few members profits from the others.
# ### END SOLUTION

# %% [markdown]
# ## Contacts from attention
#
# The attention maps of one test sequence, as they come: each row sums to 1, the first and last column are the special
# tokens. Bright points that are mirrored at the diagonal are residues that look at each other, a bright column is a
# residue that many look at.

# %%
shown = first(test_set, 1)[0][0]
maps = torch.cat(model.attentions(shown), dim=1)[0].cpu()     # (layers * heads, L + 2, L + 2)
plot.show(
    plot.heat_maps(
        {f"head {n}": head for n, head in enumerate(maps[:heads])},
        label="attention",
        xlabel="looked at",
        ylabel="looking",
        title="The heads of layer 0, one test sequence",
    ),
    alt="Attention maps of the heads of the first layer for one sequence, special tokens at the borders.",
)

# %%
test_precision, contact_heads = contact_precision(model, test_set)
own_precision, _ = contact_precision(own_model, test_set)
untrained_precision, _ = contact_precision(untrained, test_set)
many = scale.pick(dry=2, tiny=16, small=16, full=16)
averaged = [
    torch.stack([attention_features(model.attentions(s)) for s in group]).mean(dim=0) for group in first(test_set, many)
]
averaged_precision = float(
    np.mean([precision_at_l(contact_heads[k](averaged[k]), test_set.contacts[k]) for k in range(families)])
)
scores = contact_heads[0](attention_features(model.attentions(shown)))
truth = test_set.contacts[0]
print(f"precision at L on test sequences: checkpoint {test_precision:.2f}, your training {own_precision:.2f}, "
      f"untrained {untrained_precision:.2f}, chance {chance:.2f}")
print(f"checkpoint, features averaged over {many} sequences of the family: {averaged_precision:.2f}")
both = torch.where(torch.ones(length, length).triu(1).bool(), scores / scores.max(), truth.double())
plot.show(
    plot.heat_map(
        both,
        label="predicted (above), true (below)",
        title=f"Family 0, one sequence: precision at L {precision_at_l(scores, truth):.2f}",
    ),
    alt="A map of 32 by 32 residues: predicted contacts above the diagonal, true contacts below, partly mirrored.",
)

# %% [markdown]
# Above the diagonal what the regression says from a single sequence of a family that it was not fitted on; below it the
# truth. The untrained network goes through exactly the same regression: what it reaches is what positions and the
# regression can do without any learning, and that is the number to beat, rather than chance.
#
# Does a single sequence show too little of its family? Then the average over many of them should find more contacts.
# Compare the two lines for the checkpoint: where the average gains little or nothing, what is missing is missing in the
# maps and not in the sequence, and more sequences will not bring it.
#
# ### Which heads know?
#
# No regression here: each head's own map is the score.

# %%
one_head = torch.zeros(layers * heads)
groups = first(test_set)
for k in range(families):
    for sequence in groups[k]:
        channels = attention_features(model.attentions(sequence))
        for c in range(channels.shape[-1]):
            precision = precision_at_l(channels[..., c], test_set.contacts[k])
            one_head[c] += precision / (families * len(groups[k]))
plot.show(
    plot.heat_map(
        one_head.view(layers, heads),
        rows=[f"layer {n}" for n in range(layers)],
        columns=[f"head {n}" for n in range(heads)],
        label="precision at L",
        title="Contacts read off single heads, one checkpoint",
    ),
    alt="Precision at L for every head of every layer as a small table of colours.",
)

# %% [markdown]
# Where do the heads sit that show contacts? In the first layer a head knows of every token its letter and its place, and
# nothing else: not the family. It can look for letters that match, at places that touch in one family or another; which
# family it is must be sorted out later, from what the head brings back, and no map shows that. Keep it in mind for what
# the next section finds.
#
# #### Question 2
#
# (a) Why must a contact regression be tested on families that it was not fitted on, although it sees no sequence and no
# position? (b) Suppose somebody fits it on *all* pairs of one family and tests on other sequences of the same family.
# With one weight a head, is the harm large or small? And with a deep network on the same features? (c) In which way
# could a transformer predict residues perfectly and show no contact in any single attention map?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) It could prefer heads that happen to fit this one map, such as a head that looks at a distance at which this
# family has many contacts. On another family that preference is worthless. Only an unseen family shows that a head
# means contacts.
#
# (b) With a dozen weights it is small: there is little room to memorise. A deep network could learn the map itself,
# since the features of all sequences of a family look alike, and would score the map it has seen: precision near 1 and
# nothing learnt. The rule is the same for both, as nobody knows beforehand how much room there is.
#
# (c) By taking two steps: residue i looks at a third token that has collected what j says (special tokens are popular
# for it), or by sharing a contact out over heads and layers so that each map shows a little of it. Attention is a
# means, not a report; gradients or changed inputs ask the whole network instead, as the next section does.
# ### END SOLUTION

# %% [markdown]
# ## Contacts from the whole network
#
# Attention is one window into the network: it shows where a head looks, not what it does with what it sees. Another one
# needs no attention at all: change a residue and see which logits move. By the formula of the theory a perfect model's
# logits at $j$ move with residue $i$ exactly if $J_{ij} \ne 0$. The **categorical Jacobian** (Zhang et al. 2024) does
# this for all single mutations.

# %% [markdown]
# ### 12.9 Categorical Jacobian  ·  optional  ·  difficulty 3 of 3  ·  about 20 minutes
#
# `model` takes a list of N sequences of one length and returns logits (N, L, 20). Entry (i, a, j, b) is the logit of
# amino acid b at residue j when residue i has become a, minus that of the sequence itself.
#
# <details><summary>Hint 1</summary>All mutants of one residue make a batch of twenty sequences.</details>
# <details><summary>Hint 2</summary><code>sequence[:i] + a + sequence[i + 1 :]</code></details>


# %% tags=["exercise", "points:0"]
def categorical_jacobian(model, sequence: str) -> torch.Tensor:
    """Change of all logits for all single mutations (Zhang et al. 2024). Returns (L, 20, L, 20): (i, a, j, b)."""
    ### BEGIN SOLUTION
    before = model([sequence])[0]                             # (L, 20)
    rows = []
    for i in range(len(sequence)):
        mutants = [sequence[:i] + a + sequence[i + 1 :] for a in AMINO_ACIDS]
        rows.append(model(mutants) - before)                  # (20, L, 20)
    return torch.stack(rows)
    ### END SOLUTION


# %% tags=["check"]
categorical_jacobian = check.categorical_jacobian(categorical_jacobian)


# %%
def jacobian_contacts(model, sequence: str) -> torch.Tensor:
    """Contact scores (L, L): centred over letters, size of each block, symmetrised, corrected."""
    jacobian = categorical_jacobian(model.log_probs, sequence)
    for dimension in (1, 3):
        jacobian = jacobian - jacobian.mean(dim=dimension, keepdim=True)
    sizes = jacobian.square().sum(dim=(1, 3)).sqrt().fill_diagonal_(0)
    return apc(symmetrize(sizes))


def jacobian_precision(model, some=test_set, n=scale.pick(dry=1, tiny=2, small=2, full=2)) -> float:
    """Mean precision at L over n sequences of each family; nothing is fitted, so nothing needs to be left out."""
    found = [
        precision_at_l(jacobian_contacts(model, sequence), some.contacts[k])
        for k, group in enumerate(first(some, n))
        for sequence in group
    ]
    return float(np.mean(found))


whole, whole_own, whole_untrained = map(jacobian_precision, (model, own_model, untrained))
plot.show(
    plot.grouped_bars(
        {
            "attention and regression": {
                "untrained": untrained_precision,
                "your training": own_precision,
                "checkpoint": test_precision,
            },
            "Jacobian": {"untrained": whole_untrained, "your training": whole_own, "checkpoint": whole},
        },
        levels={"chance": chance, "mutual information": float(np.mean(column_pairs))},
        ylabel="precision at L, single test sequences",
        title="Two ways to ask a network for contacts, one seed",
    ),
    alt="Precision at L from attention and from the categorical Jacobian: untrained, own training, checkpoint.",
)

# %% [markdown]
# (Log probabilities differ from logits by a constant of each output residue, and centring over letters removes it.) The
# Jacobian needs no regression and no known contact. Where it finds more than attention, the network knows contacts that
# no single map shows. (Its bars are means over two sequences of each family, those of attention over ten: one
# Jacobian takes 640 passes, one set of attention maps a single one.)

# %% [markdown]
# ## Effects of mutations
#
# `log_probs_at` asks for one position at a time. Here it is computed for all positions of a sequence at once, each in a
# copy of its own with that residue masked, and kept.


# %%
def masked_reader(model):
    """log_probs_at for a model: all positions of a sequence in one batch of masked copies, remembered."""

    @functools.lru_cache(maxsize=64)
    def table(sequence: str) -> torch.Tensor:
        positions = range(len(sequence))
        rows = []
        for at in range(0, len(sequence), 64):
            some = list(positions[at : at + 64])
            log_p = model.log_probs([sequence] * len(some), masked=some)      # (n, L, 20)
            rows.append(log_p[range(len(some)), some])
        return torch.cat(rows)                                                 # (L, 20)

    return lambda sequence, position: table(sequence)[position]


def by_wild_type(model, scan) -> dict[str, list[float]]:
    """Rank correlation for every wild type of a scan, of three ways to score its mutations."""
    from scipy.stats import spearmanr

    reader, found = masked_reader(model), {"masked marginals": [], "wild-type marginals": [], "site-independent": []}
    for k, wild in enumerate(scan.wild_types):
        mine = scan[scan.labels == k]
        family = int(scan.class_names[k].split(",")[0].split()[1])
        unmasked = model.log_probs([wild])[0]
        ways = {
            "masked marginals": reader,
            "wild-type marginals": lambda sequence, position: unmasked[position],
            "site-independent": lambda sequence, position: columns[family][position],
        }
        for way, log_probs_at in ways.items():
            found[way].append(spearmanr(masked_marginal(log_probs_at, wild, mine.mutations), mine.scores).statistic)
    return found


def correlations(model, scan) -> dict[str, float]:
    """Mean rank correlation over the wild types of a scan."""
    return {way: float(np.mean(values)) for way, values in by_wild_type(model, scan).items()}


each_wild_type = by_wild_type(model, scan)
for way, values in each_wild_type.items():
    spread = torch.tensor(values).std().item()
    print(f"{way:20} mean {np.mean(values):5.2f}, deviation over {len(values)} wild types {spread:.2f}, "
          f"from {min(values):.2f} to {max(values):.2f}")
spearman = {way: float(np.mean(values)) for way, values in each_wild_type.items()}
own_spearman = correlations(own_model, scan)["masked marginals"]
untrained_spearman = correlations(untrained, scan)["masked marginals"]
plot.show(
    plot.bars(
        {
            "untrained,\nmasked": untrained_spearman,
            "site-\nindependent": spearman["site-independent"],
            "your training,\nmasked": own_spearman,
            "checkpoint,\nmasked": spearman["masked marginals"],
            "checkpoint,\nwild-type": spearman["wild-type marginals"],
        },
        ylabel="Spearman with the true energies",
        title="Single mutations of test sequences, no label used, one seed",
    ),
    alt="Rank correlation with true energies: untrained, site-independent, own training, checkpoint by both marginals.",
)

# %%
wild = scan.wild_types[0]
true_effects = scan.families[0].effects(encode([wild])[0])
reader = masked_reader(model)
predicted = torch.stack([reader(wild, n) for n in range(length)])
predicted = predicted - predicted.gather(1, encode([wild]).T)
plot.show(
    plot.heat_maps(
        {"true energy difference": true_effects.T, "masked marginal": predicted.T},
        rows=list(AMINO_ACIDS),
        columns=[f"{letter}{n}" for n, letter in enumerate(wild, 1)],
        label="ln p(mutant) - ln p(wild type)",
        xlabel="residue of the wild type",
        ylabel="becomes",
        title="All single mutations of one sequence, checkpoint",
        centre=0.0,
    ),
    alt="Two heat maps, twenty amino acids by 32 residues, pale at the wild type: true energy differences, and masked "
    "marginals.",
)

# %% [markdown]
# A column is a residue, a row what it becomes; pale is 0, the wild type itself, one colour is worse and the other
# better. Columns of one strong colour are conserved or have fitting neighbours; those of pale ones touch nothing, or
# have a letter already that fits none of their neighbours.
#
# #### Question 3
#
# (a) The site-independent model is little better than nothing in the mean, and very different from one wild type to the
# next. Which mutations can it get right, which can it not, and why does it do well for some sequences of a family? (b)
# What do wild-type marginals save, and why, by theory, do they need the 10 % of chosen residues that stay as they are?
# (c) A friend scores mutations of a human enzyme with ESM and finds no
# correlation with measured stability. Name two reasons that are not bugs.

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Those of conserved residues, where every change is bad in every context; here these are four of 32, so they settle
# little of a rank over all mutations. It cannot score a mutation whose effect depends on the neighbours: the letter that
# matches the partner of this sequence is good here and bad in a relative with another partner. It says the same for all
# sequences, so it does well for those whose partners happen to be the common ones of their family.
#
# (b) One forward pass instead of L. The output at an unmasked residue is trained only where an unmasked residue was
# chosen: the 10 % kept and the 10 % replaced by another. With masks alone nothing tells the network what to say where
# the residue is visible. With them it is told that the visible residue is right in about half of such cases, so it
# leans on it, which compresses differences; ranks may suffer less than values.
#
# (c) Likelihood is about what evolution kept, which is more than stability: function, folding speed, regulation. And
# the training data are biased: an enzyme with few relatives in the database, or of a well-studied clade, gets scores
# that reflect who was sequenced. (A third: the assay measures at saturating conditions and cannot resolve the effects.)
# ### END SOLUTION

# %% [markdown]
# ## Judged as ProteinGym does
#
# One rank correlation is not all that one wants of a scan. Who designs proteins picks the *best* few, and does not care
# about the order of the rest. ProteinGym (Notin et al. 2023) collects more than 200 scans and fixes how models are
# compared on them without labels: several mutations at once are scored by the sum of their single log ratios; each scan
# gets its Spearman over all mutants, and of the best tenth its normalised discounted gain and its recall (AUC and
# Matthews' coefficient of a division in two besides); and the mean is taken within a protein, then within a kind of
# assay, then over kinds, so that a hundred scans of stability do not outvote ten of binding.
#
# $$\mathrm{NDCG} = \frac{\sum_{r=1}^{k} g_{(r)} / \log_2(r + 1)}{\sum_{r=1}^{k} g^*_{(r)} / \log_2(r + 1)}, \qquad
# g = \frac{m - \min m}{\max m - \min m},$$
#
# where $k$ is a tenth of the mutants, $g_{(r)}$ the gain of the mutant with the $r$-th highest *score* and $g^*_{(r)}$
# the $r$-th highest gain.

# %% [markdown]
# ### 12.10 ProteinGym's measures  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Three of them. The best tenth are `int(M / 10)` mutants, at least one.
#
# <details><summary>Hint 1</summary><code>scipy.stats.spearmanr(a, b).statistic</code> gives equal values the mean of their
# ranks.</details>
# <details><summary>Hint 2</summary><code>scores.topk(k).indices</code>; the gains of those, in that order, over
# <code>torch.arange(2, k + 2).log2()</code>.</details>
# <details><summary>Hint 3</summary>Recall: of the k best by measurement, which share is among the k best by
# score?</details>


# %% tags=["exercise", "points:0"]
def proteingym(scores: torch.Tensor, measured: torch.Tensor) -> dict[str, float]:
    """How well scores rank the mutants of a scan (Notin et al. 2023, section 4).

    scores, measured: (M,), higher is better in both. Returns {"spearman", "ndcg", "recall"}: over all mutants, and two
    of the best tenth.
    """
    ### BEGIN SOLUTION
    from scipy.stats import spearmanr

    k = max(1, len(scores) // 10)
    best, wanted = scores.topk(k).indices, measured.topk(k).indices
    gains = (measured - measured.min()) / (measured.max() - measured.min())
    discount = torch.arange(2, k + 2).log2()                   # log2(rank + 1)
    return {
        "spearman": float(spearmanr(scores, measured).statistic),
        "ndcg": float((gains[best] / discount).sum() / (gains[wanted] / discount).sum()),
        "recall": float(torch.isin(best, wanted).double().mean()),
    }
    ### END SOLUTION


# %% tags=["check"]
proteingym = check.proteingym(proteingym)


# %%
def gym(log_probs_of, scan) -> dict[str, float]:
    """ProteinGym's measures, mean over the wild types; log_probs_of(k) gives log_probs_at for the k-th."""
    found = []
    for k, wild in enumerate(scan.wild_types):
        mine = scan[scan.labels == k]
        found.append(proteingym(masked_marginal(log_probs_of(k), wild, mine.mutations).float(), mine.scores.float()))
    return {key: float(np.mean([one[key] for one in found])) for key in found[0]}


readers = {"untrained": masked_reader(untrained), "yours": masked_reader(own_model), "checkpoint": masked_reader(model)}
family_of = [int(name.split(",")[0].split()[1]) for name in scan.class_names]
measures = {"site-independent": gym(lambda k: lambda sequence, at: columns[family_of[k]][at], scan)}
measures |= {label: gym(lambda k, reader=reader: reader, scan) for label, reader in readers.items()}
plot.show(
    plot.heat_map(
        torch.tensor([list(row.values()) for row in measures.values()]),
        rows=list(measures),
        columns=["Spearman", "NDCG, best tenth", "recall, best tenth"],
        label="higher is better",
        title="Toy scans by ProteinGym's measures, one seed",
    ),
    alt="A table of three measures for the site-independent, untrained, own and shipped model.",
)

# %% [markdown]
# Each measure has a level of its own: recall of a random order is a tenth, its Spearman 0, and its NDCG whatever the
# measurements make it, since most mutants have some gain. Look at the untrained row before you call an NDCG high.

# %% [markdown]
# ## Features of proteins
#
# Pooled features against the baseline that every protein probe needs: **composition**, the frequencies of the twenty
# amino acids, which ignore order altogether. The families were made to have nearly the same.

# %%
def composition(sequences) -> torch.Tensor:
    """Frequencies (N, 20) of the amino acids."""
    return torch.stack([torch.tensor([s.count(letter) / len(s) for letter in AMINO_ACIDS]) for s in sequences])


def pooled(model, sequences, layer: int = -1) -> torch.Tensor:
    """Mean features (N, D) of the residues; lengths may differ."""
    hidden = model.hidden(list(sequences), layer=layer)
    mask = torch.zeros(len(hidden), max(map(len, hidden)))
    for n, h in enumerate(hidden):
        mask[n, : len(h)] = 1
    return pool_residues(torch.nn.utils.rnn.pad_sequence(hidden, batch_first=True), mask)


probed = train_set.subset(scale.pick(dry=80, tiny=800, small=800, full=800), seed=scale.seed)


def family_probe(fitted: torch.Tensor, tested: torch.Tensor):
    return evaluate.linear_probe(fitted, probed.labels, tested, test_set.labels, Cs=(0.01, 0.1, 1.0))


by_layer = {
    kind: [
        family_probe(pooled(lm, probed.sequences, layer), pooled(lm, test_set.sequences, layer))
        for layer in range(layers + 1)
    ]
    for kind, lm in {"untrained": untrained, "your training": own_model, "checkpoint": model}.items()
}
probes = {"composition": family_probe(composition(probed.sequences), composition(test_set.sequences))}
probes |= {kind: max(found, key=lambda probe: probe.val_accuracy) for kind, found in by_layer.items()}
plot.show(
    plot.curves(
        {kind: [probe.accuracy for probe in found] for kind, found in by_layer.items()},
        x=range(layers + 1),
        levels={"chance": 1 / families, "composition": probes["composition"].accuracy},
        xlabel="layer (0: embeddings)",
        ylabel="test accuracy",
        title="Which family? Linear probes on pooled features, one seed",
    ),
    alt="Accuracy of the family by layer: untrained, own and shipped model, with chance and composition.",
)
for kind, probe in probes.items():
    print(f"{kind:13}  family {probe.accuracy:.2f}  (95 % interval {probe.low:.2f} to {probe.high:.2f})")
best = max(range(layers + 1), key=lambda layer: by_layer["checkpoint"][layer].val_accuracy)
plot.show(
    plot.embedding(
        pooled(model, test_set.sequences, best),
        test_set.labels,
        test_set.class_names,
        title=f"t-SNE of pooled features, layer {best} of the checkpoint",
    ),
    alt="Map of test sequences by their pooled features, coloured by family.",
)

# %% [markdown]
# The intervals are Wilson's: they cover this test sample, not the seed. For each network the printed line is the layer
# with the best *validation* accuracy, so that the test set chooses nothing.
#
# Composition is at chance, as the families were made. Mind the untrained network, though. What tells a family is *which
# letter stands where* at four places, and a random network already mixes letters with places, so its average over
# residues holds some of that. Chance and composition alone would flatter the trained one. A short training is no better
# than none at this question, and worse in the first layers; the table at the end has the spread over seeds.
#
# And mind the map: it may show no families where the probe reads them off nearly without error. t-SNE keeps near what is
# near in *all* features together, and much of that is which letters a sequence holds; a probe is free to look along the
# few directions that matter. A map without clusters proves nothing against the features.
#
# ### Three habits, measured
#
# The traps of the theory, on the trained model: the same sequence alone, in a padded batch with its attention mask, and
# in the same batch without one; then the size of what enters the network with and without a mask in the sequence.

# %%
short = shown[:20]
alone = model(*model.tokens([short]))[0, 1:21].detach()
ids, attention_mask = model.tokens([short, shown])
with_mask = model(ids, attention_mask)[0, 1:21].detach()
without_mask = model(ids, torch.ones_like(ids))[0, 1:21].detach()
print(f"largest change of a logit, padded with attention mask {(with_mask - alone).abs().max():.4f}")
print(f"largest change of a logit, padded without            {(without_mask - alone).abs().max():.4f}")

embeddings = model.network.esm.embeddings
ids, attention_mask = model.tokens([shown])
masked_ids = ids.clone()
masked_ids[0, 5:15] = MASK
for name, given in (("no mask", ids), ("ten masked", masked_ids)):
    entered = embeddings(input_ids=given, attention_mask=attention_mask)[0, 1].detach()
    entered = entered - embeddings.position_embeddings.weight[PAD + 2].detach()     # the learnt place comes on top
    raw = embeddings.word_embeddings(given)[0, 1].detach()
    print(f"{name}: the first residue enters scaled by {float(entered.norm() / raw.norm()):.3f}")

# %% [markdown]
# And a fourth, which is no habit of the model: a tokenizer that knows none of your letters. It has happened to a
# published model (see the traps at the end): everything runs, features have the right shape, and all sequences of one
# length get the same. One line asks, `evaluate.reads_its_input`; here of the checkpoint, and of the checkpoint behind a
# tokenizer that reads every residue as unknown.


# %%
def unknown_letters(sequences) -> list[torch.Tensor]:
    """Features as they come out behind a tokenizer that knows no letter: X is unknown."""
    return model.hidden(["X" * len(sequence) for sequence in sequences])


some_sequences = list(test_set.sequences[:4])
print(f"the checkpoint reads its input: {evaluate.reads_its_input(model.hidden, some_sequences)}")
print(f"behind the other tokenizer: {evaluate.reads_its_input(unknown_letters, some_sequences)}")

# %% [markdown]
# ## What matters: recorded sweeps
#
# Every point is a whole training like yours, from random weights, with one setting changed, judged on validation
# sequences. The star is your own run. To compute any other point now, name it in this cell, as in `"epochs": [3]`, and
# run on from here.

# %%
rerun = {"epochs": [], "epochs, effects": [], "masking": []}
val_scan = data.load_proteins("potts_scan", "val", n=scale.pick(dry=4, tiny=8, small=8, full=8), seed=scale.seed)
standard = (0.8, 0.1)


@functools.cache
def outcome(seed: int, epochs: int, shares=standard) -> dict[str, float]:
    """What a training with these settings reaches on validation sequences; the own one is not done twice."""
    if (seed, epochs, shares) == (scale.seed, own_epochs, standard):
        trained = own_model
    else:
        trained, _ = pretrain(train_set.sequences, seed, epochs=epochs, shares=shares)
    return {"contacts": contact_precision(trained)[0], **correlations(trained, val_scan)}


own_epochs = epochs
own = outcome(scale.seed, own_epochs)
lengths = scale.pick(dry=[1, 3], tiny=[1, 3, 5, 10], small=[1, 3, 5, 10], full=[1, 3, 5, 10])
by_epochs = check.sweep(
    scale,
    "epochs",
    lambda point, seed: outcome(seed, point)["contacts"],
    points=lengths,
    own={own_epochs: own["contacts"]},
    rerun=rerun["epochs"],
)
plot.show(
    plot.sweep(
        by_epochs,
        xlabel="epochs of 6,000 sequences",
        ylabel="precision at L, left-out families",
        levels={"chance": chance, "checkpoint": shipped["contacts"]},
        log_x=True,
        title="Longer training: contacts from attention",
    ),
    alt="Precision at L of contacts against epochs, with error bars over seeds, and the own run as a star.",
)

# %%
effects_by_epochs = check.sweep(
    scale,
    "epochs, effects",
    lambda point, seed: outcome(seed, point)["masked marginals"],
    points=lengths,
    own={own_epochs: own["masked marginals"]},
    rerun=rerun["epochs, effects"],
)
plot.show(
    plot.sweep(
        effects_by_epochs,
        xlabel="epochs of 6,000 sequences",
        ylabel="Spearman of masked marginals",
        levels={
            "site-independent": own["site-independent"],
            "checkpoint": correlations(model, val_scan)["masked marginals"],
        },
        log_x=True,
        title="Longer training: effects of mutations",
    ),
    alt="Rank correlation of masked marginals against epochs, with error bars, and the own run as a star.",
)

# %%
kinds = {"80 / 10 / 10": standard, "100 / 0 / 0": (1.0, 0.0)}
masking = check.sweep(
    scale,
    "masking",
    lambda point, seed: outcome(seed, own_epochs, kinds[point])["wild-type marginals"],
    points=list(kinds),
    own={"80 / 10 / 10": own["wild-type marginals"]},
    rerun=rerun["masking"],
)
plot.show(
    plot.sweep(
        masking,
        xlabel="masked / replaced / kept, % of the chosen residues",
        ylabel="Spearman of wild-type marginals",
        levels={"masked marginals, your training": own["masked marginals"]},
        title="Reading scores without a mask",
    ),
    alt="Rank correlation of wild-type marginals for two kinds of masking, with error bars, and the own run as a star.",
)

# %% [markdown]
# With masks alone nothing was ever asked at a visible residue, so what the network says there is extrapolation. It need
# not be useless, since a network that was never shown an answer may say at a visible residue what it would say at a
# masked one. Compare the two points with their error bars before you repeat that the 10 % matter: after a training as
# short as this the ranks of mutations are no worse without them. Theory names the risk, it does not measure it.

# %% [markdown]
# #### Question 4
#
# Read the two sweeps over epochs side by side. (a) Which of the two is nearer to its end after the shortest training,
# contacts counted from chance, and has either levelled off? (b) Why may effects come before contacts?

# %% [markdown] tags=["question", "points:1"]
# ### BEGIN SOLUTION
# (a) Effects: the shortest training has more than half of what the longest reaches; of the way that contacts go from
# chance, it has less than half. Both still rise at the longest training, so neither has levelled off.
#
# (b) Effects are read off the probabilities, into which everything flows that the network knows, by whatever path, and
# they count a residue's place and frequent letters too. Contacts are read off single maps of attention: a head has to
# single out pairs, by itself and in all families alike, before the regression can use it.
# ### END SOLUTION

# %% [markdown]
# ## Real proteins
#
# At scale `small` the same architecture, somewhat larger, is trained on real sequences of unrelated proteins and asked
# three real questions: the secondary structure of every residue (helix, strand, other), where in the cell a protein is
# at home, and the effects of mutations of GB1 and TEM-1. At `full` ESM-2 is loaded in its place. Expect little of
# `small`: a few thousand proteins, each without its family, teach composition and local patterns; families, from which
# contacts and effects come, need millions. At `tiny` this section is skipped.

# %%
def residues_of(model, some: data.ProteinSet, n: int, seed: int = 0):
    """Features (n, D) and letters (n,) of structure for n residues drawn from a set, at most 400 a protein."""
    cut = [s[:400] for s in some.sequences]
    hidden = model.hidden(cut, batch_size=16)
    letters = torch.tensor(["HEC-".index(c) for text in some.structure for c in text[:400]])
    known = (letters < 3).nonzero()[:, 0]
    chosen = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:n]]
    return torch.cat(hidden)[chosen], letters[chosen]


def window(some: data.ProteinSet, n: int, reach: int = 7, seed: int = 0):
    """The baseline without learning: one-hot letters of the residue and of `reach` on either side."""
    cut = [s[:400] for s in some.sequences]
    letters = torch.tensor(["HEC-".index(c) for text in some.structure for c in text[:400]])
    known = (letters < 3).nonzero()[:, 0]
    chosen = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:n]]
    rows = []
    for s in cut:
        padded = F.pad(F.one_hot(encode([s])[0], 21).float(), (0, 0, reach, reach))
        rows.append(padded.unfold(0, 2 * reach + 1, 1).flatten(1))          # (L, 21 * (2 reach + 1))
    return torch.cat(rows)[chosen], letters[chosen]


def real_model():
    """ESM-2 at full; else a small model trained on real sequences, cut to 128 residues at a random place."""
    if scale.name == "full":
        return models.load_esm("facebook/esm2_t33_650M_UR50D").to(scale.device)
    torch.manual_seed(scale.seed)
    model = models.esm(96, 3, 4)
    sequences = data.load_proteins("secondary_structure", "train").sequences
    generator = torch.Generator().manual_seed(scale.seed)
    starts = [int(torch.randint(max(1, len(s) - 127), (), generator=generator)) for s in sequences]
    ids, _ = model.tokens([s[a : a + 128] for s, a in zip(sequences, starts)])
    train.fit(
        lambda batch: train.masked_residue_loss(model, batch),
        model,
        ids,
        epochs=2,
        batch_size=32,
        lr=1e-3,
        weight_decay=0.01,
        clip=1.0,
        generator=generator,
        device=scale.device,
        label="ESM on real sequences",
    )
    return model.eval()


real = {}
if scale.name in ("small", "full"):
    real_lm = real_model()
    torch.manual_seed(scale.seed)
    random_lm = models.esm(96, 3, 4).to(scale.device).eval()      # the baseline of the same features, untrained
    sizes = {"train": 200, "test": 150}
    structure = {split: data.load_proteins("secondary_structure", split, n=n) for split, n in sizes.items()}
    for kind, view in {
        "letters around": window,
        "untrained": lambda s, n: residues_of(random_lm, s, n),
        "model": lambda s, n: residues_of(real_lm, s, n),
    }.items():
        (x, y), (test_x, test_y) = view(structure["train"], 8000), view(structure["test"], 6000)
        real[f"structure, {kind}"] = evaluate.linear_probe(x, y, test_x, test_y, Cs=(0.01, 0.1))
        test_structure = test_y
    places = {split: data.load_proteins("localisation", split, n=n) for split, n in (("train", None), ("test", 1000))}
    for kind, view in {
        "composition": composition,
        "untrained": lambda sequences: pooled(random_lm, [s[:400] for s in sequences]),
        "model": lambda sequences: pooled(real_lm, [s[:400] for s in sequences]),
    }.items():
        x, test_x = (view(places[split].sequences) for split in ("train", "test"))
        real[f"location, {kind}"] = evaluate.linear_probe(x, places["train"].labels, test_x, places["test"].labels)
    commonest = {
        "structure, majority class": test_structure.bincount().max() / len(test_structure),
        "location, majority class": places["test"].labels.bincount().max() / len(places["test"]),
    }
    plot.show(
        plot.bars(
            {kind.replace(", ", ",\n"): probe.accuracy for kind, probe in real.items()},
            intervals={kind.replace(", ", ",\n"): (probe.low, probe.high) for kind, probe in real.items()},
            levels={kind: float(share) for kind, share in commonest.items()},
            ylabel="test accuracy",
            title="Real proteins: structure of residues, location of proteins",
        ),
        alt="Test accuracy with intervals: secondary structure and localisation, from baselines and from the model.",
    )

# %% [markdown]
# Lay each bar of the model beside two others: the same network untrained, and what needs no network at all. A few
# minutes on a few thousand unrelated proteins must not be expected to add anything to them, and where they do not, the
# sentence "we probed a protein language model" would still be true, and worth nothing. What ESM-2 has on top is not
# another architecture but tens of millions of sequences (Lin et al. 2023), many families with many members among them.
#
# Residues of one protein are not independent, so the intervals of the structure probe are too narrow. The classes of
# the location are unequal; `class_weight="balanced"` in scikit-learn's logistic regression weighs them alike where rare
# places matter, and then the balanced accuracy is the number to report.

# %%
HYDROPATHY = dict(zip("ARNDCQEGHILKMFPSTWYV", (1.8, -4.5, -3.5, -3.5, 2.5, -3.5, -3.5, -0.4, -3.2, 4.5, 3.8, -3.9, 1.9,
                                                2.8, -1.6, -0.8, -0.7, -0.9, -1.3, 4.2)))


def summed(log_probs_at, wild: str, mutations: list[str]) -> torch.Tensor:
    """Scores (M,): the sum over the single mutations of each name such as "A23T:K40R", every one in the wild type."""
    single = sorted({one for name in mutations for one in name.split(":")})
    of = dict(zip(single, masked_marginal(log_probs_at, wild, single).tolist()))
    return torch.tensor([sum(of[one] for one in name.split(":")) for name in mutations])


def hydropathy_at(sequence: str, position: int) -> torch.Tensor:
    """A baseline without any network: the less a mutation changes the hydropathy (Kyte and Doolittle 1982), the better."""
    return -torch.tensor([abs(HYDROPATHY[letter] - HYDROPATHY[sequence[position]]) for letter in AMINO_ACIDS])


scans = {}
if scale.name in ("small", "full"):
    for name in ("gb1", "tem1", "gfp"):              # binding, growth, light: one protein and one kind of assay each
        measured = data.load_proteins(name, "test")
        drawn = torch.randperm(len(measured), generator=torch.Generator().manual_seed(0))[:4000]
        measured = measured[drawn[: len(drawn) // 10 * 10]]
        for kind, at in {
            "hydropathy": hydropathy_at,
            "untrained": masked_reader(random_lm),
            "model": masked_reader(real_lm),
        }.items():
            score = summed(at, measured.wild_types[0], list(measured.mutations))
            scans[f"{name}, {kind}"] = proteingym(score.float(), measured.scores.float())
    kinds_of_score = ("hydropathy", "untrained", "model")
    means = {
        f"mean, {kind}": {
            key: float(np.mean([scans[f"{name}, {kind}"][key] for name in ("gb1", "tem1", "gfp")]))
            for key in ("spearman", "ndcg", "recall")
        }
        for kind in kinds_of_score
    }
    shown_scans = scans | means
    plot.show(
        plot.heat_map(
            torch.tensor([list(row.values()) for row in shown_scans.values()]),
            rows=list(shown_scans),
            columns=["Spearman", "NDCG, best tenth", "recall, best tenth"],
            label="higher is better",
            title="Three mutational scans by ProteinGym's protocol, no label used",
        ),
        alt="Three measures for each of three scans and their mean: hydropathy, untrained and trained model.",
    )

# %% [markdown]
# At `small` the row to beat is not that of the untrained network but that of a table of twenty numbers from 1982.
#
# ### Antibodies: a published model that fits a laptop
#
# At scale `small`, too, a model that did see millions of members of one family: AntiBERTy (Ruffolo et al. 2021), 26
# million weights, trained on 558 million antibodies. An antibody's variable domain begins with one of a few hundred
# germline genes, of which species, locus (heavy chain H, light chains K and L) and family are known, and a numbering
# that gives the same number to the same place in every gene. Three questions, each beside what needs no training:
#
# 1. **Filling in**: every seventh residue is masked, seven copies mask each once. Framework (FR) and loops (CDR) are
#    told apart, and beside the model stands the commonest letter at that place in genes of *other* families. In a whole
#    antibody, inside and outside CDR3, the loop that no gene codes.
# 2. **Probes** of locus, species and family, with relatives apart: no family on both sides (for the family itself, no
#    gene: its alleles are near copies). Beside the model its own architecture with random weights, and composition.
# 3. **The disulfide.** Cysteines 23 and 104 are joined in every domain: one contact that is always there. Where does it
#    rank among all pairs, by each head's attention, and by how far masking one residue moves the probabilities at the
#    other (a row of the Jacobian with a mask for its twenty letters)?


# %%
MEDICINES = {  # variable domains of the heavy chains of three antibodies in use
    "trastuzumab": "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSRWGGDGF"
    "YAMDYWGQGTLVTVSS",
    "adalimumab": "EVQLVESGGGLVQPGRSLRLSCAASGFTFDDYAMHWVRQAPGKGLEWVSAITWNSGHIDYADSVEGRFTISRDNAKNSLYLQMNSLRAEDTAVYYCAKVSYLSTA"
    "SSLDYWGQGTLVTVSS",
    "pembrolizumab": "QVQLVQSGVEVKKPGASVKVSCKASGYTFTNYYMYWVRQAPGQGLEWMGGINPSNGGTNFNEKFKNRVTLTTDSSTTTAYMELKSLQFDDTAVYYCARRDYRFD"
    "MGFDYWGQGTTVTVSS",
}


@torch.no_grad()
def filled_in(lm, sequence: str, every: int = 7) -> torch.Tensor:
    """Which residues (L,) the model fills in rightly, when every seventh is masked at a time."""
    ids, mask = lm.tokens([sequence] * every)
    hidden = torch.arange(len(sequence)) % every == torch.arange(every)[:, None]             # (every, L)
    ids[:, 1:-1][hidden] = lm.mask
    guesses = lm(ids, mask)[:, 1:-1][..., lm.residues].argmax(dim=-1).cpu()                  # (every, L)
    letters = encode([sequence])[0]
    return torch.stack([guesses[n % every, n] == letters[n] for n in range(len(sequence))])


@torch.no_grad()
def pooled_layers(lm, sequences, batch_size: int = 16) -> torch.Tensor:
    """Mean features of the residues from all layers in one pass, (layers + 1, N, D)."""
    rows = []
    for start in range(0, len(sequences), batch_size):
        ids, mask = lm.tokens(sequences[start : start + batch_size])
        states = lm.network.bert(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        residue = mask * (ids != lm.cls) * (ids != lm.eos)
        rows.append(torch.stack([pool_residues(state, residue).cpu() for state in states]))
    return torch.cat(rows, dim=1)


def rank_of(pair: tuple[int, int], scores: torch.Tensor) -> int:
    """The place of a pair among all i < j, from 1 for the highest score."""
    i, j = torch.triu_indices(len(scores), len(scores), 1)
    return int((scores[i, j] > scores[pair]).sum()) + 1


def masked_influence(lm, sequence: str) -> torch.Tensor:
    """How far masking one residue moves the probabilities at another, symmetrised and corrected, (L, L)."""
    places, rows, before = range(len(sequence)), [], lm.log_probs([sequence])[0]
    for start in range(0, len(sequence), 16):
        some = list(places[start : start + 16])
        moved = lm.log_probs([sequence] * len(some), masked=some) - before                    # (n, L, 20)
        rows.append((moved - moved.mean(dim=2, keepdim=True)).norm(dim=2))
    return apc(symmetrize(torch.cat(rows).fill_diagonal_(0)))


# %%
antibodies = {}
if scale.name in ("small", "full"):
    genes = data.load_germlines()
    lm = models.load_antiberty().to(scale.device)
    torch.manual_seed(scale.seed)
    random_antibody_lm = models.load_antiberty(trained=False).to(scale.device)
    heavy = [n for n in range(len(genes)) if genes.locus[n] == "IGH" and genes.species[n] == "human"]
    sampled = heavy[:: max(1, len(heavy) // 16)][:16]
    four = [genes.sequences[n][:90] for n in sampled[:4]]
    print(f"AntiBERTy reads its input: {evaluate.reads_its_input(lm.hidden, four)}")

    right = {}
    for n in sampled:
        others = [m for m in heavy if genes.family[m] != genes.family[n]]
        at_place = [dict(zip(genes.numbers[m], genes.sequences[m])) for m in others]
        hits = filled_in(lm, genes.sequences[n])
        for at, (number, region) in enumerate(zip(genes.numbers[n], genes.regions(n))):
            letters = [letter for known in at_place if (letter := known.get(number))]
            common = max(set(letters), key=letters.count) if letters else ""
            right.setdefault(region, []).append((bool(hits[at]), common == genes.sequences[n][at]))
    shares = {region: np.mean(values, axis=0) for region, values in right.items() if region != "CDR3"}
    inside = outside = ()
    for sequence in MEDICINES.values():
        hits, first, after = filled_in(lm, sequence), sequence.index("YYC") + 3, sequence.index("WGQG")
        inside += tuple(hits[first:after].tolist())
        outside += tuple(hits[:first].tolist() + hits[after:].tolist())
    shares |= {"antibody": (np.mean(outside), math.nan), "its CDR3": (np.mean(inside), math.nan)}
    plot.show(
        plot.heat_map(
            torch.tensor(np.array([shares[region] for region in shares])).T,
            rows=["AntiBERTy", "commonest elsewhere"],
            columns=list(shares),
            label="share of residues",
            title=f"Filled in rightly: {len(sampled)} human genes by region, {len(MEDICINES)} antibodies",
        ),
        alt="Shares of residues filled in rightly by region, by the model and by the commonest letter of other families.",
    )
    antibodies |= {"outside_cdr3": float(np.mean(outside)), "inside_cdr3": float(np.mean(inside))}

# %%
if scale.name in ("small", "full"):
    members = {}                                         # at most 24 genes of a family, so that none outvotes the rest
    for n in range(len(genes)):
        if genes.family[n] and genes.species[n] in ("human", "alpaca"):
            members.setdefault(genes.family[n], []).append(n)
    kept = sorted(n for family in members.values() for n in family[:24])
    views_of_genes = {
        "composition": composition([genes.sequences[n] for n in kept])[None],
        "untrained": pooled_layers(random_antibody_lm, [genes.sequences[n] for n in kept]),
        "AntiBERTy": pooled_layers(lm, [genes.sequences[n] for n in kept]),
    }
    human = [i for i, n in enumerate(kept) if genes.species[n] == "human"]
    questions = {  # which genes, what is asked, what stays together
        "locus": (human, lambda n: genes.locus[n], lambda n: genes.family[n]),
        "species": (
            [i for i, n in enumerate(kept) if genes.family[n].split()[0] in ("IGHV1", "IGHV2", "IGHV3")],
            lambda n: genes.species[n],
            lambda n: genes.family[n].split()[0],
        ),
        "family": (
            [i for i in human if genes.family[kept[i]].split()[0] in ("IGHV1", "IGHV2", "IGHV3", "IGHV4")],
            lambda n: genes.family[n],
            lambda n: genes.names[n].split("*")[0],
        ),
    }
    gene_probes = {}
    for asked, (which, label_of, group_of) in questions.items():
        names = sorted({label_of(kept[i]) for i in which})
        y = torch.tensor([names.index(label_of(kept[i])) for i in which])
        fitted, tested = split_own(y, test=0.3, seed=0, groups=[group_of(kept[i]) for i in which])
        majority = float(y[tested].bincount().max() / len(tested))
        print(f"{asked}: {len(fitted)} genes to fit, {len(tested)} to test, {len(names)} classes, largest {majority:.2f}")
        for kind, by_layers in views_of_genes.items():
            x = by_layers[:, which]
            found = [
                evaluate.linear_probe(layer[fitted], y[fitted], layer[tested], y[tested], Cs=(0.01, 0.1, 1.0, 10.0))
                for layer in x
            ]
            gene_probes[f"{asked}, {kind}"] = max(found, key=lambda probe: probe.val_accuracy)
    plot.show(
        plot.grouped_bars(
            {asked: {kind: gene_probes[f"{asked}, {kind}"].accuracy for kind in views_of_genes} for asked in questions},
            intervals={
                asked: {
                    kind: (gene_probes[f"{asked}, {kind}"].low, gene_probes[f"{asked}, {kind}"].high)
                    for kind in views_of_genes
                }
                for asked in questions
            },
            ylabel="test accuracy",
            title="Germline genes, relatives apart",
        ),
        alt="Accuracy of probes for locus, species and family from composition, an untrained network and AntiBERTy.",
    )
    antibodies |= {f"antibody_{kind.replace(', ', '_')}": probe.accuracy for kind, probe in gene_probes.items()}

# %%
def ranks_by_head(network, sequence: str, pair: tuple[int, int]) -> list[int]:
    """The place of a pair by each head's attention, heads of the first layer first."""
    return [rank_of(pair, head) for head in attention_features(network.attentions(sequence)).cpu().permute(2, 0, 1)]


if scale.name in ("small", "full"):
    best_ranks = []
    for n in sampled[:3]:
        sequence = genes.sequences[n]
        pair = tuple(genes.numbers[n].index(number) for number in (23, 104))
        by_head, before = (ranks_by_head(network, sequence, pair) for network in (lm, random_antibody_lm))
        by_mask = rank_of(pair, masked_influence(lm, sequence))
        pairs, best_ranks = len(sequence) * (len(sequence) - 1) // 2, [*best_ranks, min(by_head)]
        print(f"{genes.names[n]}: of {pairs:,} pairs the disulfide is number {min(by_head)} in the best of {len(by_head)} "
              f"heads (number {by_head.index(min(by_head))}), {sorted(by_head)[len(by_head) // 2]} in the middle one;")
        print(f"    {min(before)} in the best head of the untrained network, {by_mask} by masking; the best of "
              f"{len(by_head)} random orders: {pairs // (len(by_head) + 1)} or so")
    antibodies["disulfide_best_rank"] = float(np.mean(best_ranks))

# %% [markdown]
# What to make of it at `small`. Filling in is the task that the model was trained for, so the row to look at is the one
# below it: the commonest letter of other families does much of it in the framework, and the difference is largest where
# genes differ. Inside CDR3 no gene helps, and the model knows less. The probes say nothing in its favour: species and
# family are told by composition without an error, and locus by composition as well as by the model. A question that is
# that easy is no test of a representation, however large the network.
#
# And the disulfide. One head, the same one in all three genes, has it among the first five of thousands of pairs. That
# looks like knowledge of structure; look at the control before you believe it. The best head of the *untrained* network
# has it among the first twenty, far above the best of as many random orders: both ends are the same letter, and like
# attends to like before anything was learnt. What training added is a head that looks from cysteine to cysteine. By
# masking, hundreds of pairs come before this one: hiding one cysteine moves what is said of the other no more than it
# does for them. That is to be expected of two residues that *never* change: without variation there is no covariation,
# and they have nothing to tell each other. Attention shows where a network looks, which need not be what it needs.

# %% [markdown]
# #### Question 5  ·  optional
#
# You split 10,000 proteins at random into training and test, probe their function and reach 95 %. A colleague clusters
# them at 30 % identity first, deals whole clusters, and gets 60 %. Who is right, and what does each number answer?

# %% [markdown] tags=["question", "points:0"]
# ### BEGIN SOLUTION
# Both numbers are computed correctly; they answer different questions. The first: how well is function predicted for a
# protein that has near relatives among the labelled ones, which a search for the nearest sequence does as well. The
# second: for a protein that is unlike all of them. Claims about understanding need the second, and the first should
# stand beside a nearest-neighbour baseline.
# ### END SOLUTION

# %% [markdown]
# ## Traps
#
# Mistakes that no check of a function can see. All of them run without an error.
#
# - **A split that leaks homologues.** See question 5. Split by family or cluster (`split_by_group` in
#   `sslcourse.data.proteins.homologues`); for contacts, leave out whole families.
# - **The backbone saved in place of the head**, or the head fitted on the untrained network: keep what belongs together
#   in one file, and measure once more after loading.
# - **Attention without `eager`.** Some versions give `None`, some an empty tuple: look before you index.
# - **No attention mask.** The figures above tell how much the logits change.
# - **Positions off by one.** Signal peptides, missing first M's and numbering schemes shift positions by constants; a
#   parser that refuses a wrong wild type finds this in the first line.
# - **The best head chosen on the test families.** Choose on others, as the regression does.
# - **A tokenizer that knows no letter.** `antiberty` 0.1.3 was made for transformers 4; its runner hands a vocabulary
#   file to `BertTokenizer`, which transformers 5.23.0 ignores, and then every residue is `[UNK]`. Shapes, losses and
#   even probes (by length) look fine. `evaluate.reads_its_input` asks; `findings/bert_tokenizer_vocab_file.sh` in the
#   course's repository shows it, and `models.load_antiberty` numbers the residues itself.

# %% [markdown]
# ## Report

# %%
precisions = ("own_contact_precision", "contact_precision", "own_jacobian_precision", "jacobian_precision")
claims = {
    "contacts, attention of the checkpoint: precision at L over four times chance": (test_precision - 4 * chance, 0.0),
    "contacts, attention: checkpoint over the untrained model": (test_precision - untrained_precision, 0.25),
    "contacts, attention: your training over the untrained model": (own_precision - untrained_precision, 0.1),
    "contacts, Jacobian of the checkpoint: precision at L over five times chance": (whole - 5 * chance, 0.0),
    "contacts, Jacobian: checkpoint over the untrained model": (whole - whole_untrained, 0.3),
    "effects, checkpoint: Spearman of masked marginals": (spearman["masked marginals"], 0.5),
    "effects, checkpoint: over site-independent": (spearman["masked marginals"] - spearman["site-independent"], 0.3),
    "family probe: checkpoint over composition": (probes["checkpoint"].accuracy - probes["composition"].accuracy, 0.3),
    "family probe: checkpoint over the untrained model": (
        probes["checkpoint"].accuracy - probes["untrained"].accuracy,
        0.05,
    ),
}
metrics = {f"{kind.replace(', ', '_').replace(' ', '_')}_accuracy": probe.accuracy for kind, probe in real.items()}
metrics |= {f"{name.replace(', ', '_')}_{key}": value for name, row in scans.items() for key, value in row.items()}
metrics |= antibodies
if antibodies:
    claims["AntiBERTy: filled in outside CDR3 over inside"] = (
        antibodies["outside_cdr3"] - antibodies["inside_cdr3"],
        0.15,
    )
check.report(
    scale,
    own_loss=history.metrics["loss"][-1],
    own_contact_precision=own_precision,
    own_jacobian_precision=whole_own,
    own_spearman=own_spearman,
    own_family_accuracy=probes["your training"].accuracy,
    checkpoint_loss=shipped["loss"],
    contact_precision=test_precision,
    jacobian_precision=whole,
    masked_marginal_spearman=spearman["masked marginals"],
    wild_type_marginal_spearman=spearman["wild-type marginals"],
    site_independent_spearman=spearman["site-independent"],
    family_accuracy=probes["checkpoint"].accuracy,
    composition_accuracy=probes["composition"].accuracy,
    averaged_contact_precision=averaged_precision,
    **metrics,
    claims=claims,
    tested={name: len(test_set) for name in ("own_family_accuracy", "family_accuracy", "composition_accuracy")},
    chance={name: chance for name in precisions}
    | {name: 1 / families for name in ("own_family_accuracy", "family_accuracy", "composition_accuracy")}
    | {name: math.log(20) for name in ("own_loss", "checkpoint_loss")}
    | {"own_spearman": 0.0, "masked_marginal_spearman": 0.0},
    baseline={name: untrained_precision for name in precisions[:2]}
    | {name: whole_untrained for name in precisions[2:]}
    | {name: untrained_spearman for name in ("own_spearman", "masked_marginal_spearman")}
    | {name: probes["untrained"].accuracy for name in ("own_family_accuracy", "family_accuracy")}
    | {name: start["loss"] for name in ("own_loss", "checkpoint_loss")},
)

# %% [markdown]
# ## What to take with you
#
# - Masked language modelling on a family is pseudolikelihood: it learns conditional probabilities, and these need
#   exactly the residues in contact.
# - Contacts from attention: cut, symmetrise, correct, regress; judge by precision at L on families that were left out,
#   beside the untrained network.
# - A masked marginal is an energy difference in context. Site-independent scores miss the context.
# - Composition, and nearest relatives, are the baselines of every protein probe.

# %% [markdown]
# ## Further reading
#
# - P. Notin, A. Kollasch, D. Ritter, et al. *ProteinGym: large-scale benchmarks for protein fitness prediction and
#   design.* NeurIPS Datasets and Benchmarks 2023.
#   [doi:10.1101/2023.12.07.570727](https://doi.org/10.1101/2023.12.07.570727).
# - T. Hayes, R. Rao, H. Akin, et al. *Simulating 500 million years of evolution with a language model.* Science 387,
#   2025. [doi:10.1126/science.ads0018](https://doi.org/10.1126/science.ads0018). ESM3: sequence, structure and function
#   as tokens of one model.
# - H. Kenlay, F. Dreyer, A. Kovaltsuk, D. Miketa, D. Pires, C. Deane. *Large scale paired antibody language models.*
#   PLOS Computational Biology 20, 2024.
#   [doi:10.1371/journal.pcbi.1012646](https://doi.org/10.1371/journal.pcbi.1012646),
#   [arXiv:2403.17889](https://arxiv.org/abs/2403.17889). What came after AntiBERTy.
# - R. Shuai, J. Ruffolo, J. Gray. *IgLM: infilling language modeling for antibody sequence design.* Cell Systems
#   14, 2023. [doi:10.1016/j.cels.2023.10.001](https://doi.org/10.1016/j.cels.2023.10.001).
# - J. Ruffolo, J. Gray, J. Sulam. *Deciphering antibody affinity maturation with language models and weakly supervised
#   learning.* 2021. [arXiv:2112.07782](https://arxiv.org/abs/2112.07782). AntiBERTy.
# - A. Rives, J. Meier, T. Sercu, et al. *Biological structure and function emerge from scaling unsupervised learning to
#   250 million protein sequences.* PNAS 2021.
# - R. Rao, J. Meier, T. Sercu, S. Ovchinnikov, A. Rives. *Transformer protein language models are unsupervised
#   structure learners.* ICLR 2021. The contact regression and precision at L.
# - J. Meier, R. Rao, R. Verkuil, J. Liu, T. Sercu, A. Rives. *Language models enable zero-shot prediction of the
#   effects of mutations on protein function.* NeurIPS 2021.
# - Z. Lin, H. Akin, R. Rao, et al. *Evolutionary-scale prediction of atomic-level protein structure with a language
#   model.* Science 379, 2023. [doi:10.1126/science.ade2574](https://doi.org/10.1126/science.ade2574). ESM-2.
# - J. Vig, A. Madani, L. Varshney, C. Xiong, R. Socher, N. Rajani. *BERTology meets biology: interpreting attention in
#   protein language models.* ICLR 2021. [arXiv:2006.15222](https://arxiv.org/abs/2006.15222).
# - N. Bhattacharya, N. Thomas, R. Rao, et al. *Single layers of attention suffice to predict protein contacts.* 2020.
#   Attention as a factored Potts model.
# - Z. Zhang, H. Wayment-Steele, G. Brixi, H. Wang, D. Kern, S. Ovchinnikov. *Protein language models learn evolutionary
#   statistics of interacting sequence motifs.* PNAS 121, 2024.
#   [doi:10.1073/pnas.2406285121](https://doi.org/10.1073/pnas.2406285121). The categorical Jacobian.
# - S. Dunn, L. Wahl, G. Gloor. *Mutual information without the influence of phylogeny or entropy dramatically improves
#   residue contact prediction.* Bioinformatics 2008. APC.
# - M. Weigt, R. White, H. Szurmant, J. Hoch, T. Hwa. *Identification of direct residue contacts in protein-protein
#   interaction by message passing.* PNAS 2009. F. Morcos, A. Pagnani, B. Lunt, et al. *Direct-coupling analysis of
#   residue coevolution captures native contacts across many protein families.* PNAS 2011. M. Ekeberg, C. Lövkvist, Y.
#   Lan, M. Weigt, E. Aurell. *Improved contact prediction in proteins: using pseudolikelihoods to infer Potts models.*
#   Physical Review E 2013. U. Göbel, C. Sander, R. Schneider, A. Valencia. *Correlated mutations and residue contacts
#   in proteins.* Proteins 1994. Where it comes from.
# - C. Dallago, J. Mou, K. Johnston, et al. *FLIP: benchmark tasks in fitness landscape inference for proteins.* NeurIPS
#   Datasets and Benchmarks 2021. Splits that mean something.

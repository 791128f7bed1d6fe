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
# # Week 5 · MoCo, SCAN and PMI clustering
#
# Two steps from pictures without labels to groups that have names. First **MoCo**: contrastive learning whose negatives
# come from a queue of earlier batches, so that their number no longer depends on the batch. Then **clustering** on its
# frozen features: k-means, and two ways to *learn* the clusters, SCAN and PMI, which use one thing that k-means ignores:
# an image and its nearest neighbours usually show the same thing.
#
# **You will be able to**
#
# 1. write MoCo's three parts (moving average, queue, loss) and say what each would break if it were missing;
# 2. derive why SCAN needs its entropy term and why gamma in PMI lies between 1/2 and 1, and see both in experiments;
# 3. judge clusters against classes: matching, accuracy, NMI, ARI, and what none of them may be used for;
# 4. explain when learned clusters beat k-means, by looking at the neighbours they were learnt from.
#
# **You need** SimCLR and InfoNCE (week 4), linear probing (week 1), softmax, entropy and cross-entropy. Notation: $h$
# are features, $z$ projections, $q$ and $k$ the projections of query and key encoder, $\tau$ the temperature, $p(x)$ the
# cluster probabilities of an image $x$, $C$ the number of clusters.
#
# **Time** theory 15 minutes, core exercises about 85 minutes (9 points), questions about 25 minutes (6 points). The
# notebook itself runs for about a minute at scale `tiny`; every blank exercise is replaced by its reference until you
# write your own.

# %%
# On Colab this installs the course; anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    import subprocess

    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "sslcourse"], check=True)

# %% tags=["setup"]
import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import week05 as check

# %%
scale = sslcourse.begin(week=5)

# %% [markdown]
# ## Theory
#
# ### A dictionary that is larger than the batch
#
# Contrastive learning asks a query: which of these keys belongs to you? The more keys, the finer the distinction has to
# be. SimCLR takes its keys from the batch, so more keys need more memory. MoCo (He et al. 2020) keeps the keys of
# earlier batches in a **queue**: each step adds a batch of $N$ keys and drops the $N$ oldest of $K$. The loss is InfoNCE
# with $K + 1$ candidates, the positive and the queue:
#
# $$L = -\log \frac{e^{q \cdot k^+ / \tau}}{e^{q \cdot k^+ / \tau} + \sum_{j=1}^{K} e^{q \cdot k_j / \tau}},
# \qquad \lVert q \rVert = \lVert k \rVert = 1.$$
#
# Equal similarities cost $\ln(K + 1)$, the level of guessing, whatever the batch size is.
#
# ### Keys that agree with each other
#
# The keys in the queue are up to $K / N$ steps old. No gradient can flow to them, and worse: when the encoder changes
# quickly, keys of different age were made by different functions, and *age* then tells positive from negatives. So keys
# are made by an encoder of their own that moves slowly, the **moving average** of the query encoder:
#
# $$\theta_k \leftarrow m\, \theta_k + (1 - m)\, \theta_q
# \qquad\Longrightarrow\qquad
# \theta_k^{(t)} = m^t\, \theta_k^{(0)} + (1 - m) \sum_{i=0}^{t-1} m^i\, \theta_q^{(t-i)}.$$
#
# The weights $(1-m) m^i$ are those of a geometric distribution: the key encoder is on average $m / (1 - m)$ steps behind
# (99 steps for $m = 0.99$). Near 1 the queue is consistent and the targets are stale; at 0 keys are fresh and
# inconsistent. Training in a minute takes few steps, so $m$ is smaller here than the paper's 0.999.
#
# ### Why batch norm would cheat
#
# In batch norm, each output depends on all images of the batch. Query and positive key come from batches of the *same*
# images, the keys of the queue from others, so statistics of the batch are a signature by which the positive can be told
# without looking at what the image shows. He et al. (2020, section 3.3) report such cheating and shuffle the keys over several
# devices to stop it. On one device there is nothing to shuffle over. This notebook uses **group norm** (Wu & He 2018), whose
# statistics come from within one image: there is nothing to leak.

# %% [markdown]
# ### From neighbours to clusters: SCAN
#
# k-means on features asks for clusters that are round and compact in *feature space*. Features of contrastive learning
# do not promise that: they spread over the sphere, and a class may be a long thread of images each near the next. What they
# do promise is locality: near neighbours mostly have the same class. SCAN (Van Gansbeke et al. 2020) trains a head
# $p(x) = \mathrm{softmax}(g(h(x)))$ so that an image $x$ and one of its nearest neighbours $x'$ agree:
#
# $$L = \underbrace{-\,\mathbb{E}_{x, x'} \log \langle p(x), p(x') \rangle}_{\text{consistency}}
# \;-\; \lambda\, \underbrace{H\big(\mathbb{E}_x\, p(x)\big)}_{\text{entropy of the mean}}$$
#
# The inner product is 1 only if both are one-hot at the same cluster, so consistency asks for agreement *and* for
# confidence. Three solutions are worth computing:
#
# | solution | consistency | entropy | loss |
# | --- | --- | --- | --- |
# | everything uniform, $p = 1/C$ | $\ln C$ | $\ln C$ | $(1 - \lambda) \ln C$ |
# | everything in one cluster | $0$ | $0$ | $0$ |
# | confident, balanced, neighbours agree | $0$ | $\ln C$ | $-\lambda \ln C$ |
#
# Without the entropy term ($\lambda = 0$), one cluster for everything is a global optimum. The term is the entropy of the
# *mean*: the entropy of each single $p(x)$ would reward being undecided, the opposite of what is wanted. It also asks for
# clusters of equal size, which is an assumption about the data.
#
# ### The same from information: PMI
#
# Let cluster $c$ be drawn first and then two images independently from it: $p(x, x') = \sum_c p(c)\, p(x|c)\, p(x'|c)$.
# By Bayes $p(x|c) = p(c|x)\, p(x) / p(c)$, so the **pointwise mutual information** of a pair is
#
# $$\mathrm{pmi}(x, x') = \log \frac{p(x, x')}{p(x)\, p(x')} = \log \sum_c \frac{p(c|x)\, p(c|x')}{p(c)}.$$
#
# Maximise it over pairs of neighbours: rare clusters count more, which takes the place of the entropy term. Adaloglou et al. (2023, TEMI)
# do so with a student and a teacher head, the teacher being a moving average (again), and soften the numerator by an
# exponent $\gamma$:
#
# $$L = -\,\mathbb{E} \log \sum_c \frac{\big(p_s(c|x)\, p_t(c|x')\big)^{\gamma}}{\bar p(c)},$$
#
# where the marginal $\bar p$ is a running mean of the teacher's probabilities. Perfect balanced clusters give
# $\log\big(1 / \tfrac1C\big)$, so $L = -\ln C$; uniform probabilities give $C \cdot C^{-2\gamma} \cdot C$, so
# $L = -(2 - 2\gamma) \ln C$. At $\gamma = 1/2$ the two are equal and nothing asks for a decision, so $\gamma$ lies
# above 1/2. At $\gamma = 1$ the plain PMI is back, which is satisfied with fewer, larger clusters more easily.

# %% [markdown]
# ### Clusters against classes
#
# Clusters have numbers, not names. For a score, match clusters to classes one to one so that as many images as possible
# agree (the Hungarian method finds the best of the $C!$ matchings), then count: **accuracy**, ACC. Two measures
# need no matching: normalised mutual information, **NMI**, and the adjusted Rand index, **ARI**, over pairs of images,
# corrected for chance. All three use labels, so they may *judge*, but never choose: neither the number of epochs nor the
# best seed. What chooses without labels is the loss.

# %% [markdown]
# ## Data

# %%
# NBVAL_CHECK_OUTPUT
name = scale.pick(tiny="scenes", small="cifar10", full="stl10")
train_set = data.load_images(name, "train", n=scale.pick(dry=600, tiny=8000, small=10000, full=None), seed=scale.seed)
test_set = data.load_images(name, "test", n=scale.pick(dry=200, tiny=2000, small=5000, full=None), seed=scale.seed)
classes, size = len(train_set.class_names), train_set.images.shape[-1]
print(f"{len(train_set)} training and {len(test_set)} test images of {classes} classes, {size} pixels")

# %% [markdown]
# No training below sees a label. Labels of the training split serve the curve of nearest neighbours, labels of the test
# split the scores. The queue wants many *different* images: if it held keys of the very image that is asked about, from
# an epoch ago, these would be wrong negatives.

# %%
if name == "scenes":
    views = augment.simclr(size, crop=(0.6, 1.0), jitter=0.4, grey=0.8)
else:
    views = augment.simclr(size)
some = data.as_float(train_set.images[:10])
plot.show(
    plot.panels({"image": some, "query sees": views(some), "key sees": views(some)}, title="Two views, as in week 4"),
    alt="Three rows of ten pictures: images, and below each two augmented views of it, for query and key encoder.",
)

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### 5.1 The moving average  ·  difficulty 1 of 3  ·  about 10 minutes
#
# After each step the teacher (here the key encoder) moves a little towards the student (the query encoder), in place.
# Parameters are averaged. Buffers, such as the running statistics of batch norm or its counter of batches, are copied:
# they are no weights, and the counter is not even a real number. None of this belongs to the graph.
#
# <details><summary>Hint 1</summary>Which of the two gets the weight <code>momentum</code>, if 0.99 is to mean "slow"?</details>
# <details><summary>Hint 2</summary><code>zip(student.parameters(), teacher.parameters())</code>, under <code>torch.no_grad()</code>.</details>
# <details><summary>Hint 3</summary>In place: <code>t.mul_(momentum).add_(s, alpha=1 - momentum)</code>; for buffers <code>copy_</code>.</details>


# %% tags=["exercise", "points:1"]
def update_ema(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """teacher = momentum * teacher + (1 - momentum) * student, in place (He et al. 2020, eq. 2).

    student, teacher: modules of the same structure. Parameters are averaged, buffers copied; no gradients.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        for new, old in zip(student.parameters(), teacher.parameters(), strict=True):
            old.mul_(momentum).add_(new, alpha=1 - momentum)
        for new, old in zip(student.buffers(), teacher.buffers(), strict=True):
            old.copy_(new)
    ### END SOLUTION


# %% tags=["check"]
update_ema = check.update_ema(update_ema)

# %% [markdown]
# ### 5.2 The queue  ·  difficulty 2 of 3  ·  about 25 minutes
#
# A ring: a buffer of `size` keys and a place where the next one goes. A batch may cross the end; then its rest goes on at the
# beginning. What goes in has length 1 and no gradient. At first the queue is filled with random unit vectors.
#
# `register_buffer` makes a tensor part of the module that is saved and moved with it, but not trained.
#
# <details><summary>Hint 1</summary>Keep the next place in an attribute; after n keys it has moved by n, modulo size.</details>
# <details><summary>Hint 2</summary>The places of a batch: <code>(place + torch.arange(n)) % size</code> crosses the end by itself.</details>
# <details><summary>Hint 3</summary><code>F.normalize(keys.detach(), dim=1)</code>, and <code>self.keys[places] = ...</code>.</details>


# %% tags=["exercise", "points:2"]
class Queue(nn.Module):
    """The keys of the latest batches (He et al. 2020, section 3.2).

    keys: buffer (size, dim) of unit vectors, random ones at first.
    """

    def __init__(self, size: int, dim: int):
        ### BEGIN SOLUTION
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.next = 0
        ### END SOLUTION

    def enqueue(self, keys: torch.Tensor) -> None:
        """Normalise keys (N, dim), N up to size, and let them replace the N oldest. No gradient."""
        ### BEGIN SOLUTION
        n, size = len(keys), len(self.keys)
        if n > size:
            raise ValueError(f"The queue has room for {size} keys, the batch has {n}: take a longer queue.")
        places = (self.next + torch.arange(n, device=keys.device)) % size       # a ring: goes on at the beginning
        self.keys[places] = F.normalize(keys.detach(), dim=1).to(self.keys)
        self.next = (self.next + n) % size
        ### END SOLUTION


# %% tags=["check"]
Queue = check.Queue(Queue)

# %% [markdown]
# ### 5.3 The loss  ·  difficulty 2 of 3  ·  about 20 minutes
#
# One query, one positive key, and the queue's keys as negatives: a classification among $K + 1$ candidates in which the
# right one is always the first. The other keys of the *batch* are no candidates. Only the query learns.
#
# <details><summary>Hint 1</summary>The positive logits are (N, 1): row n of q with row n of k. The negatives are (N, size).</details>
# <details><summary>Hint 2</summary>Concatenate, positive first; then every row's right answer is column 0.</details>
# <details><summary>Hint 3</summary>Normalise all three; <code>k.detach()</code> and <code>queue.detach()</code>; divide by the temperature.</details>


# %% tags=["exercise", "points:2"]
def info_nce(q: torch.Tensor, k: torch.Tensor, queue: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """MoCo's loss (He et al. 2020, eq. 1): each query against its own key and all keys of the queue.

    q, k: (N, D), row n of both from image n; queue: (size, D); none of them normalised. Gradients reach q only.
    Returns a scalar: the mean over the N queries, in nats.
    """
    ### BEGIN SOLUTION
    q = F.normalize(q, dim=1)                                               # (N, D)
    k, queue = F.normalize(k.detach(), dim=1), F.normalize(queue.detach(), dim=1)
    positive = (q * k).sum(dim=1, keepdim=True)                             # (N, 1)
    logits = torch.cat([positive, q @ queue.T], dim=1) / temperature        # (N, 1 + size)
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))
    ### END SOLUTION


# %% tags=["check"]
info_nce = check.info_nce(info_nce)

# %% [markdown]
# ### 5.4 Neighbours  ·  given
#
# The $k$ nearest by cosine, in chunks, since all similarities at once would not fit into memory for large sets.
# Published codes disagree on whether an image is its own neighbour: SCAN keeps it, TEMI drops it. We drop it: an image
# agrees with itself anyway.


# %% tags=["exercise", "points:0"]
def mine_neighbours(features: torch.Tensor, k: int, exclude_self: bool = True) -> torch.Tensor:
    """Places (N, k) of the k nearest neighbours by cosine, nearest first.

    features: (N, D). exclude_self: a row is not among its own neighbours.
    """
    if not 1 <= k <= len(features) - exclude_self:
        raise ValueError(f"k is {k}, but there are {len(features) - exclude_self} candidates; take a smaller k.")
    h = F.normalize(features, dim=1)
    found = []
    for rows in torch.arange(len(h), device=h.device).split(1024):
        similarity = h[rows] @ h.T                                            # (n, N)
        if exclude_self:
            similarity[torch.arange(len(rows), device=h.device), rows] = float("-inf")
        found.append(similarity.topk(k, dim=1).indices)
    return torch.cat(found)


# %% tags=["check"]
mine_neighbours = check.mine_neighbours(mine_neighbours)

# %% [markdown]
# ### 5.5 SCAN's loss  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Consistency minus `entropy_weight` times the entropy of the mean, as derived above, from logits. The mean is that of the
# anchors' probabilities over the batch. Mind logarithms of zero.
#
# <details><summary>Hint 1</summary>First probabilities: softmax over the clusters (dim=1) for both.</details>
# <details><summary>Hint 2</summary>Consistency: inner products of rows (N,), logarithm, mean, minus.</details>
# <details><summary>Hint 3</summary>Entropy: average first, (C,), then minus the sum of p log p.</details>


# %% tags=["exercise", "points:2"]
def scan_loss(
    anchor_logits: torch.Tensor, neighbour_logits: torch.Tensor, entropy_weight: float = 5.0
) -> torch.Tensor:
    """Agreement of neighbours, and all clusters in use (Van Gansbeke et al. 2020, eq. 2).

    anchor_logits, neighbour_logits: (N, C), row n of both being an image and one of its neighbours.
    Returns a scalar: -mean log <p, p'> - entropy_weight * entropy of the anchors' mean p, in nats.
    """
    ### BEGIN SOLUTION
    log_p, log_other = anchor_logits.log_softmax(dim=1), neighbour_logits.log_softmax(dim=1)    # (N, C)
    consistency = -(log_p + log_other).logsumexp(dim=1).mean()              # log of the inner product, without underflow
    log_mean = log_p.logsumexp(dim=0) - math.log(len(log_p))                # (C,)
    entropy = -(log_mean.exp() * log_mean).sum()
    return consistency - entropy_weight * entropy
    ### END SOLUTION


# %% tags=["check"]
scan_loss = check.scan_loss(scan_loss)

# %% [markdown]
# ### 5.6 Accuracy of clusters  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Count how many images of each class lie in each cluster, and let `scipy.optimize.linear_sum_assignment` find the best
# one-to-one matching. With more clusters than classes some clusters stay unmatched: they map to -1 and their images
# count as wrong. Assigning every cluster to its commonest class is *not* it: then more clusters always score higher.
#
# <details><summary>Hint 1</summary><code>counts[c, y]</code>: images in cluster c of class y, for all ids up to the largest.</details>
# <details><summary>Hint 2</summary><code>linear_sum_assignment</code> looks for the smallest sum unless <code>maximize=True</code>.</details>
# <details><summary>Hint 3</summary>It returns rows and columns: clusters and their classes. Clusters not among the rows map to -1.</details>


# %% tags=["exercise", "points:2"]
def cluster_accuracy(assignments: torch.Tensor, labels: torch.Tensor) -> tuple[float, dict[int, int]]:
    """Share of images in the class that their cluster is matched to, under the best one-to-one matching.

    assignments, labels: whole numbers from 0 on, (N,). Returns (accuracy, {cluster: class}); unmatched clusters map to -1.
    """
    ### BEGIN SOLUTION
    from scipy.optimize import linear_sum_assignment

    counts = torch.zeros(int(assignments.max()) + 1, int(labels.max()) + 1, dtype=torch.long)   # (clusters, classes)
    counts.index_put_((assignments, labels), torch.ones_like(labels), accumulate=True)
    clusters, matched = linear_sum_assignment(counts.numpy(), maximize=True)
    mapping = dict.fromkeys(range(len(counts)), -1) | dict(zip(clusters.tolist(), matched.tolist()))
    return counts[clusters, matched].sum().item() / len(labels), mapping
    ### END SOLUTION


# %% tags=["check"]
cluster_accuracy = check.cluster_accuracy(cluster_accuracy)

# %% [markdown]
# ### 5.7 PMI's loss  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
#
# From probabilities this time. Averaging the logarithm over pairs is not the logarithm of the average.
#
# <details><summary>Hint 1</summary>Product of student and teacher, to the power gamma, divided by the marginal: (N, C).</details>
# <details><summary>Hint 2</summary>Sum over clusters, logarithm, mean over pairs, minus.</details>


# %% tags=["exercise", "points:0"]
def pmi_loss(
    student_probs: torch.Tensor, teacher_probs: torch.Tensor, marginal: torch.Tensor, gamma: float = 0.65
) -> torch.Tensor:
    """Minus the pointwise mutual information of pairs, softened by gamma (Adaloglou et al. 2023).

    student_probs, teacher_probs: (N, C), row n of both being an image and one of its neighbours; marginal: (C,).
    Returns a scalar: -mean log sum_c (p_s p_t)^gamma / marginal_c, in nats. Gradients reach the student.
    """
    ### BEGIN SOLUTION
    agreement = (student_probs * teacher_probs.detach()).clamp(min=1e-12) ** gamma     # (N, C); 0^gamma has no slope
    return -(agreement / marginal.detach()).sum(dim=1).log().mean()
    ### END SOLUTION


# %% tags=["check"]
pmi_loss = check.pmi_loss(pmi_loss)

# %% [markdown]
# ### 5.8 The running marginal  ·  optional  ·  difficulty 1 of 3  ·  about 5 minutes
#
# How often the teacher uses each cluster, as a moving average over batches. It starts uniform, and is updated with a batch
# *before* it serves that batch's loss.
#
# <details><summary>Hint</summary>One batch says: the mean of its rows.</details>


# %% tags=["exercise", "points:0"]
def update_marginal(marginal: torch.Tensor, teacher_probs: torch.Tensor, momentum: float = 0.9) -> torch.Tensor:
    """momentum * marginal + (1 - momentum) * the batch's mean probabilities, a new tensor (C,) without gradient.

    marginal: (C,); teacher_probs: (N, C).
    """
    ### BEGIN SOLUTION
    return momentum * marginal + (1 - momentum) * teacher_probs.detach().mean(dim=0)
    ### END SOLUTION


# %% tags=["check"]
update_marginal = check.update_marginal(update_marginal)

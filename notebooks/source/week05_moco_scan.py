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
# Two steps from pictures without labels to groups that have names. First **MoCo**: contrastive learning whose
# negatives come from a queue of earlier batches, so that their number no longer depends on the batch. Then
# **clustering** on its frozen features: k-means, and two ways to *learn* the clusters, SCAN and PMI, which use one
# thing that k-means ignores: an image and its nearest neighbours usually show the same thing.
#
# **You will be able to**
#
# 1. write MoCo's three parts (moving average, queue, loss) and its step, and say what breaks where one is missing or
#    comes at the wrong moment;
# 2. derive why SCAN needs its entropy term and why gamma in PMI lies between 1/2 and 1, and see both in experiments;
# 3. judge clusters against classes: matching, accuracy, NMI, ARI, and what none of them may be used for;
# 4. explain when learned clusters beat k-means, by looking at the neighbours they were learnt from.
#
# **You need** SimCLR and InfoNCE (week 4), linear probing (week 1), softmax, entropy and cross-entropy. Notation: $h$
# are features, $z$ projections, $q$ and $k$ the projections of query and key encoder, $\tau$ the temperature, $p(x)$
# the cluster probabilities of an image $x$, $C$ the number of clusters.
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
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import week05 as check

# %%
scale = sslcourse.begin(week=5)

# %% [markdown] tags=["before"]
# ## Theory
#
# ### A dictionary that is larger than the batch
#
# Contrastive learning asks a query: which of these keys belongs to you? The more keys, the finer the distinction has
# to be. SimCLR takes its keys from the batch, so more keys need more memory. MoCo (He et al. 2020) keeps the keys of
# earlier batches in a **queue**: each step adds a batch of $N$ keys and drops the $N$ oldest of $K$. The loss is
# InfoNCE with $K + 1$ candidates, the positive and the queue:
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
# The weights $(1-m) m^i$ are those of a geometric distribution: the key encoder is on average $m / (1 - m)$ steps
# behind (99 steps for $m = 0.99$). Near 1 the queue is consistent and the targets are stale; at 0 keys are fresh and
# inconsistent. Training in a minute takes few steps, so $m$ is smaller here than the paper's 0.999.
#
# ### Why batch norm would cheat
#
# In batch norm, each output depends on all images of the batch. Query and positive key come from batches of the
# *same* images, the keys of the queue from others, so statistics of the batch are a signature by which the positive
# can be told without looking at what the image shows. He et al. (2020, section 3.3) report such cheating and shuffle
# the keys over several devices to stop it. On one device there is nothing to shuffle over. This notebook uses **group
# norm** (Wu & He 2018), whose statistics come from within one image: there is nothing to leak.

# %% [markdown] tags=["before"]
# ### From neighbours to clusters: SCAN
#
# k-means on features asks for clusters that are round and compact in *feature space*. Features of contrastive
# learning do not promise that: they spread over the sphere, and a class may be a long thread of images each near the
# next. What they do promise is locality: near neighbours mostly have the same class. SCAN (Van Gansbeke et al. 2020)
# trains a head $p(x) = \mathrm{softmax}(g(h(x)))$ so that an image $x$ and one of its nearest neighbours $x'$ agree:
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
# Without the entropy term ($\lambda = 0$), one cluster for everything is a global optimum. The term is the entropy of
# the *mean*: the entropy of each single $p(x)$ would reward being undecided, the opposite of what is wanted. It also
# asks for clusters of equal size, which is an assumption about the data.
#
# ### The same from information: PMI
#
# Let cluster $c$ be drawn first and then two images independently from it: $p(x, x') = \sum_c p(c)\, p(x|c)\, p(x'|c)$.
# By Bayes $p(x|c) = p(c|x)\, p(x) / p(c)$, so the **pointwise mutual information** of a pair is
#
# $$\mathrm{pmi}(x, x') = \log \frac{p(x, x')}{p(x)\, p(x')} = \log \sum_c \frac{p(c|x)\, p(c|x')}{p(c)}.$$
#
# Maximise it over pairs of neighbours: rare clusters count more, which takes the place of the entropy term. Adaloglou
# et al. (2023, TEMI) do so with a student and a teacher head, the teacher being a moving average (again), and soften
# the numerator by an exponent $\gamma$:
#
# $$L = -\,\mathbb{E} \log \sum_c \frac{\big(p_s(c|x)\, p_t(c|x')\big)^{\gamma}}{\bar p(c)},$$
#
# where the marginal $\bar p$ is a running mean of the teacher's probabilities. Perfect balanced clusters give
# $\log\big(1 / \tfrac1C\big)$, so $L = -\ln C$; uniform probabilities give $C \cdot C^{-2\gamma} \cdot C$, so
# $L = -(2 - 2\gamma) \ln C$. At $\gamma = 1/2$ the two are equal and nothing asks for a decision, so $\gamma$ lies
# above 1/2. At $\gamma = 1$ the plain PMI is back. A sweep below shows what the choice does.

# %% [markdown] tags=["before"]
# ### Clusters against classes
#
# Clusters have numbers, not names. For a score, match clusters to classes one to one so that as many images as
# possible agree (the Hungarian method finds the best of the $C!$ matchings), then count: **accuracy**, ACC. Two
# measures need no matching: normalised mutual information, **NMI**, and the adjusted Rand index, **ARI**, over pairs
# of images, corrected for chance. All three use labels, so they may *judge*, but never choose: neither the number of
# epochs nor the best seed. What chooses without labels is the loss.

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
# A ring: a buffer of `size` keys and a place where the next one goes. A batch may cross the end; then its rest goes
# on at the beginning. What goes in has length 1 and no gradient. At first the queue is filled with random unit
# vectors.
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
# ### 5.4 One step of MoCo  ·  difficulty 2 of 3  ·  about 20 minutes
#
# The parts in their order; this step trains the network below. The query encoder sees `view0`, the key encoder `view1`,
# without a gradient. The loss compares with the queue **as it is**. Then `update(loss)` moves the query encoder: it is
# zero_grad, backward and the optimiser's step in one call. Then the key encoder follows, and only now do the new keys
# join the queue. Most bugs that were published with MoCo are two of these lines in the wrong order.
#
# `queue` is a `Queue`; the functions of the exercises above may be used.
#
# <details><summary>Hint 1</summary>If the new keys were in the queue already, what would be among a query's negatives?</details>
# <details><summary>Hint 2</summary>The keys, <code>key(view1)</code>, are needed twice: once for the loss, once for the
# queue. Compute them once, under <code>torch.no_grad()</code>.</details>
# <details><summary>Hint 3</summary>Keys, <code>info_nce</code>, <code>update</code>, <code>update_ema</code>,
# <code>queue.enqueue</code>, return.</details>


# %% tags=["exercise", "points:2"]
def moco_step(
    query: nn.Module,
    key: nn.Module,
    queue: nn.Module,
    update: Callable[[torch.Tensor], None],
    view0: torch.Tensor,
    view1: torch.Tensor,
    momentum: float,
    temperature: float,
) -> torch.Tensor:
    """One step of MoCo (He et al. 2020, algorithm 1): loss, update, moving average, enqueue.

    query, key: encoders of images (N, C, H, W) to (N, D); view0 is for query, view1 for key. update(loss): gradients
    and a step of the optimiser, which moves the query encoder; called once. No gradient reaches the key encoder.
    Returns the loss, a scalar.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        keys = key(view1)                                                   # (N, D)
    loss = info_nce(query(view0), keys, queue.keys, temperature)            # the queue holds earlier batches only
    update(loss)
    update_ema(query, key, momentum)
    queue.enqueue(keys)                                                     # after the loss: nobody meets itself
    return loss.detach()
    ### END SOLUTION


# %% tags=["check"]
moco_step = check.moco_step(moco_step)

# %% [markdown]
# ### 5.5 Neighbours  ·  given
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
# ### 5.6 SCAN's loss  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Consistency minus `entropy_weight` times the entropy of the mean, as derived above, from logits. The mean is that of
# the anchors' probabilities over the batch. Mind logarithms of zero.
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
    consistency = -(log_p + log_other).logsumexp(dim=1).mean()              # log of <p, p'>, no underflow
    log_mean = log_p.logsumexp(dim=0) - math.log(len(log_p))                # (C,)
    entropy = -(log_mean.exp() * log_mean).sum()
    return consistency - entropy_weight * entropy
    ### END SOLUTION


# %% tags=["check"]
scan_loss = check.scan_loss(scan_loss)

# %% [markdown]
# ### 5.7 Accuracy of clusters  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Count how many images of each class lie in each cluster, and let `scipy.optimize.linear_sum_assignment` find the best
# one-to-one matching. With more clusters than classes some clusters stay unmatched: they map to -1 and their images
# count as wrong. Assigning every cluster to its commonest class is *not* it: then more clusters always score higher.
#
# <details><summary>Hint 1</summary><code>counts[c, y]</code>: images in cluster c of class y, for all ids up to the largest.</details>
# <details><summary>Hint 2</summary><code>linear_sum_assignment</code> looks for the smallest sum unless <code>maximize=True</code>.</details>
# <details><summary>Hint 3</summary>It returns rows and columns: clusters and their classes. Clusters not among the rows map to -1.</details>


# %% tags=["exercise", "points:0"]
def cluster_accuracy(assignments: torch.Tensor, labels: torch.Tensor) -> tuple[float, dict[int, int]]:
    """Share of images in the class that their cluster is matched to, under the best one-to-one matching.

    assignments, labels: whole numbers from 0 on, (N,).
    Returns (accuracy, {cluster: class}); unmatched clusters map to -1.
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
# ### 5.8 PMI's loss  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
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
# ### 5.9 The running marginal  ·  optional  ·  difficulty 1 of 3  ·  about 5 minutes
#
# How often the teacher uses each cluster, as a moving average over batches. It starts uniform, and is updated with a
# batch *before* it serves that batch's loss.
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

# %% [markdown]
# ## MoCo, live
#
# All settings are here. The encoder is the network of four convolutions of week 4 with group norm in place of batch
# norm (question 1), and its head has no batch norm either. Every step is your `moco_step`. At scale `full` this part
# only shows the method on STL-10's unlabelled images, and the clusters come from published weights.

# %%
architecture = "conv4_gn"
epochs = scale.pick(dry=1, tiny=4, small=18, full=20)
batch_size = 128
queue_size = scale.pick(dry=256, tiny=2048, small=4096, full=16384)
momentum = 0.99
temperature = scale.pick(tiny=0.1, small=0.2, full=0.2)
learning_rate = 2e-3


def build(seed: int, architecture: str = architecture) -> nn.Sequential:
    """An untrained backbone and head in one, the same ones for the same seed; backbone = build(seed)[0]."""
    torch.manual_seed(seed)
    backbone = models.backbone(architecture, image_size=size)
    return nn.Sequential(backbone, nn.Linear(backbone.num_features, 256), nn.ReLU(), nn.Linear(256, 128))


def pretrain(images, seed=scale.seed, *, momentum=momentum, architecture=architecture, watch=None):
    """MoCo on images alone. Returns (backbone, history)."""
    query = build(seed, architecture).to(scale.device)
    key = copy.deepcopy(query).requires_grad_(False)
    queue = Queue(queue_size, 128).to(scale.device)

    def step(update, batch):
        view0, view1 = augment.two_views(data.as_float(batch), views)
        return moco_step(query, key, queue, update, view0, view1, momentum, temperature)

    # Random vectors are told from keys by anything, so the queue is filled with keys before the first step.
    with torch.no_grad():
        for batch in images[:queue_size].split(batch_size):
            queue.enqueue(key(views(data.as_float(batch.to(scale.device)))))
    history = train.fit(
        step,
        [query, key, queue],
        images,
        epochs=epochs,
        batch_size=batch_size,
        lr=learning_rate,
        weight_decay=1e-4,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=scale.max_steps,
        own_step=True,                                        # the step calls update itself
        on_epoch=watch and (lambda epoch: watch(query[0])),
        label="MoCo",
    )
    return query[0], history


# %% [markdown]
# After every epoch nearest neighbours vote on images that were held out, which needs no training.

# %%
bank = train_set.subset(scale.pick(dry=100, tiny=1000, small=2000, full=2000), seed=scale.seed)
val_set = data.load_images(name, "val", n=scale.pick(dry=100, tiny=500, small=500, full=500), seed=scale.seed)


def knn(backbone: nn.Module) -> dict[str, float]:
    """Accuracy of nearest neighbours on validation images."""
    bank_h, val_h = (evaluate.extract_features(backbone, part.images) for part in (bank, val_set))
    return {"knn": evaluate.knn_accuracy(bank_h, bank.labels, val_h, val_set.labels)}


random_backbone = build(scale.seed)[0].to(scale.device)
random_knn = knn(random_backbone)["knn"]
if scale.name == "full":
    moco_images = data.load_images(name, "unlabelled").images
else:
    moco_images = train_set.images
live, history = pretrain(moco_images, watch=knn)
live_knn = history.metrics["knn"][-1]
guessing = math.log(queue_size + 1)
print(f"loss {history.loss[-1]:.2f} in the last epoch, guessing costs {guessing:.2f}")

# %%
plot.show(
    plot.curves(
        {"MoCo": history.loss},
        levels={"ln(K+1), guessing": guessing},
        xlabel="epoch",
        ylabel="loss in nats",
        title="One positive against the queue",
    ),
    alt="The training loss over the epochs, below the dashed level of guessing among K + 1 candidates.",
)
plot.show(
    plot.curves(
        {"kNN": [random_knn, *history.metrics["knn"]]},
        x=range(len(history.loss) + 1),
        levels={"chance": 1 / classes},
        xlabel="epoch",
        ylabel="accuracy",
        title="Nearest neighbours on validation images",
    ),
    alt="Accuracy of nearest neighbours rises over the epochs from that of the random encoder.",
)

# %% [markdown]
# Compare the two curves. The loss is no steady measure of progress: the queue is made by the network itself, so that
# negatives become harder while the network becomes better, and easier when it moves so fast that old keys give
# themselves away. Read progress off the neighbours, and off the loss only that guessing is far.

# %% [markdown]
# ### How slow should the key encoder be?
#
# A recorded sweep: the same training at other momenta, and once with batch norm. To compute a point now, name it in
# `rerun`.

# %%
rerun = {"momentum": [], "normalisation": [], "entropy weight": [], "gamma": []}


def knn_of(seed: int, **changed) -> float:
    return knn(pretrain(moco_images, seed, **changed)[0])["knn"]


momenta = check.sweep(
    scale,
    "momentum",
    lambda point, seed: live_knn if point == momentum and seed == scale.seed else knn_of(seed, momentum=point),
    points=[0.0, 0.9, 0.99, 0.999],
    own={momentum: live_knn},
    rerun=rerun["momentum"],
)
plot.show(
    plot.sweep(
        {"momentum": momenta},
        xlabel="momentum of the key encoder",
        ylabel="validation accuracy of kNN",
        levels={"chance": 1 / classes, "random encoder": random_knn},
        title="A key encoder that follows faster or slower",
    ),
    alt="kNN accuracy against the momentum of the key encoder, with error bars over seeds, the own run as a star.",
)

# %%
norms = check.sweep(
    scale,
    "normalisation",
    lambda point, seed: knn_of(seed, architecture="conv4") if point == "batch norm" else knn_of(seed),
    points=["group norm", "batch norm"],
    own={"group norm": live_knn},
    rerun=rerun["normalisation"],
)
plot.show(
    plot.sweep(
        norms,
        ylabel="validation accuracy of kNN",
        levels={"chance": 1 / classes, "random encoder": random_knn},
        title="Statistics of one image, or of the batch",
    ),
    alt="kNN accuracy of MoCo trained with group norm and with batch norm, with error bars over seeds.",
)

# %% [markdown]
# #### Question 1
#
# (a) With $m = 0$ the key encoder *is* the query encoder of the step before. Why is that bad, although the keys are
# as good as they can be? How could a network make the loss small without comparing images? (b) What goes wrong at the
# other end, in a short training? (c) Batch norm lets a network cheat in MoCo, and not in week 4's SimCLR. What is
# different? What does the figure show here, and why might batch norm still look well in it?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) The positive key comes from the network as it is, the keys of the queue from up to $K / N$ earlier networks. If
# all outputs drift together from step to step, the positive is near simply because it is of the same age, and the
# negatives are far: the loss falls and the images play no part. With a slow key encoder all keys, positive or not,
# come from nearly the same function.
#
# (b) The key encoder is on average $m / (1 - m)$ steps behind. In a training of a few hundred steps, 0.999 leaves it
# close to where it began, so queries learn to match an almost random network: consistent targets, which know little.
#
# (c) In SimCLR all candidates, positive and negatives, come from the same batch and share its statistics, so
# statistics tell nobody apart. In MoCo the positive key was normalised with a batch of the same images as the query,
# the queue's keys with others: the signature belongs to the right answer alone. Whether a network uses this depends
# on what is easier, and a training that is short or whose statistics vary little from batch to batch may not get
# there; batch norm also makes optimisation easier, which can outweigh the leak. One figure of a short training does
# not contradict the paper.
# ### END SOLUTION

# %% [markdown]
# ## The features to cluster
#
# Clusters need features in which neighbours mostly share a class, and those take longer than a minute. So at scale
# `tiny` the notebook goes on from a **shipped checkpoint**: the same recipe, run longer on more scenes (the table in
# `sslcourse/checkpoints` names both), none of them among yours. At `small` it goes on with the encoder that you have
# just trained, at `full` with MoCo v2's ResNet-50, trained for 800 epochs on ImageNet by its authors. From here on
# the encoder is frozen, features are computed once, and everything below trains in seconds.

# %%
if scale.name in ("dry", "tiny"):
    encoder = models.load_pretrained("moco_scenes_conv4")
elif scale.name == "small":
    encoder = live
else:
    encoder = models.load_pretrained("moco_v2_resnet50").to(scale.device)


def features(backbone: nn.Module, part) -> torch.Tensor:
    """Frozen features of length 1, (N, D)."""
    return F.normalize(evaluate.extract_features(backbone, part.images), dim=1)


pool = train_set.subset(scale.pick(dry=300, tiny=4000, small=5000, full=4500), seed=scale.seed)     # to be clustered
train_h, test_h = features(encoder, pool), features(encoder, test_set)

probe = evaluate.linear_probe(train_h, pool.labels, test_h, test_set.labels, Cs=(1.0,))
print(f"linear probe, with labels: {probe.accuracy:.2f} ({probe.low:.2f} to {probe.high:.2f})")

# %% [markdown]
# The probe is the ceiling for what follows, roughly: heads below are linear as well, and see no label.
#
# ### Features that views agree on
#
# Clusters form along whatever varies *most*, and that need not be the class: encoders keep a trace of what
# augmentations change, such as the place of the object. That trace can be measured without labels. Take several views
# of each image, let $h_{iv}$ be the features of view $v$ of image $i$, and let $S = \mathrm{mean}_{i,v}\,(h_{iv} -
# \bar h_i)(h_{iv} - \bar h_i)^\top$ be their covariance *within* images. Directions with a large variance in $S$ are
# nuisances; multiplying by $S^{-1/2}$ makes all of them count equally. It is linear discriminant analysis with images
# for classes (within-class covariance normalisation, in speaker recognition), and what changes is only which
# directions count: a linear probe sees the same information.

# %%
n_views = 4
torch.manual_seed(scale.seed)
with torch.no_grad():
    drawn = [evaluate.extract_features(encoder, views(data.as_float(pool.images))) for _ in range(n_views)]
    h_views = F.normalize(torch.stack(drawn), dim=2)                            # (V, N, D)
within = (h_views - h_views.mean(dim=0)).flatten(0, 1)                          # (V N, D)
variance, directions = torch.linalg.eigh(within.T @ within / len(within))
floor = 1e-3 * variance.mean()
whiten = directions / (variance + floor).sqrt()                                 # (D, D)
centre = train_h.mean(dim=0)
raw_train_h, raw_test_h = train_h, test_h
train_h, test_h = (F.normalize((h - centre) @ whiten, dim=1) for h in (raw_train_h, raw_test_h))

# %% [markdown]
# ### Are neighbours of one class?

# %%
ks = [1, 2, 5, 10, 20, 50, 100]


def shares_class(h: torch.Tensor) -> torch.Tensor:
    """Whether each neighbour has its image's class, bool (N, 100), nearest first."""
    return pool.labels[mine_neighbours(h, max(ks))] == pool.labels[:, None]


same, raw_same, random_same = (shares_class(h) for h in (train_h, raw_train_h, features(random_backbone, pool)))
plot.show(
    plot.curves(
        {
            "MoCo, whitened": [same[:, :k].float().mean().item() for k in ks],
            "MoCo": [raw_same[:, :k].float().mean().item() for k in ks],
            "random encoder": [random_same[:, :k].float().mean().item() for k in ks],
        },
        x=ks,
        log_x=True,
        levels={"chance": 1 / classes},
        xlabel="neighbours k",
        ylabel="share of the image's class",
        title="Purity of the k nearest neighbours",
    ),
    alt="Share of neighbours of the same class against k: high and slowly falling for MoCo, low for a random encoder.",
)

# %%
k = 10
neighbours = mine_neighbours(train_h, k)
purity = same[:, :k].float().mean().item()
ten = torch.stack([(pool.labels == y).nonzero()[0, 0] for y in range(classes)])[:10]
plot.show(
    plot.neighbours(
        pool.images[ten],
        pool.images[neighbours[ten, :8]],
        correct=pool.labels[neighbours[ten, :8]] == pool.labels[ten, None],
        title="The pairs that clustering learns from",
    ),
    alt="Ten images of ten classes, each beside its eight nearest neighbours, marked by whether the class is the same.",
)

# %% [markdown]
# ## Three ways to cluster
#
# **k-means** on the normalised features, the best of ten starts by its own criterion. **SCAN** and **PMI**: one
# linear layer on the features, trained on pairs of an image and one of its $k$ neighbours, drawn anew in every batch.
# Of both a random view is taken, as the SCAN authors augment both; the features of the views are those computed
# above. All three are fitted to training images without labels and judged on test images.

# %%
x_views = (h_views - centre) @ whiten                                           # (V, N, D)
spread = x_views.flatten(0, 1).std(dim=0) * math.sqrt(x_views.shape[2])           # rows of length 1, about
x_views, test_x = ((x / spread).to(scale.device) for x in (x_views, (raw_test_h - centre) @ whiten))
clusters = classes
head_epochs = scale.pick(dry=1, tiny=60, small=60, full=100)
head_batch = 1000
head_lr = 5e-3
sharpness = 0.1                                                             # temperature of the softmax of both heads


def train_head(loss_of, seed: int, watch=None) -> nn.Module:
    """A linear head, trained on pairs of neighbours; loss_of(head, anchors, neighbours) sees features (B, D)."""
    torch.manual_seed(seed)
    head = nn.Linear(x_views.shape[2], clusters).to(scale.device)
    generator = torch.Generator().manual_seed(seed)

    def step(rows):
        pick = torch.randint(k, (len(rows),), generator=generator)
        partner = neighbours[rows.cpu(), pick].to(scale.device)
        first, second = torch.randint(n_views, (2, len(rows)), generator=generator).to(scale.device)
        return loss_of(head, x_views[first, rows], x_views[second, partner])

    train.fit(
        step,
        head,
        torch.arange(len(pool)),
        epochs=head_epochs,
        batch_size=head_batch,
        lr=head_lr,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=scale.max_steps,
        on_epoch=watch and (lambda epoch: watch(head)),
        progress=False,
    )
    return head


def kmeans(seed: int, fitted_h=train_h, other_h=test_h) -> torch.Tensor:
    """Clusters of the test images, (M,)."""
    from sklearn.cluster import KMeans

    fitted = KMeans(clusters, n_init=10, random_state=seed).fit(fitted_h.numpy())
    return torch.as_tensor(fitted.predict(other_h.numpy())).long()


def scan(seed: int, entropy_weight: float = 5.0, watch=None) -> nn.Module:
    def loss_of(head, x, other):
        return scan_loss(head(x) / sharpness, head(other) / sharpness, entropy_weight)

    return train_head(loss_of, seed, watch)


# %% [markdown]
# PMI's teacher is a moving average of the student, kept over the whole training, and both are used at temperature
# 0.1. Each image of a pair is the student's once and the teacher's once.

# %%
def pmi(seed: int, gamma: float = 0.65, watch=None) -> nn.Module:
    """The teacher's head after training."""
    state = {"marginal": torch.full((clusters,), 1 / clusters, device=scale.device)}

    def loss_of(head, x, other):
        if "teacher" not in state:
            state["teacher"] = copy.deepcopy(head).requires_grad_(False)
        update_ema(head, state["teacher"], 0.9)               # once a step; some hundred steps need a quick one
        with torch.no_grad():
            t0, t1 = ((state["teacher"](part) / sharpness).softmax(dim=1) for part in (x, other))
        state["marginal"] = update_marginal(state["marginal"], torch.cat([t0, t1]))
        s0, s1 = ((head(part) / sharpness).softmax(dim=1) for part in (x, other))
        marginal = state["marginal"]
        return (pmi_loss(s0, t1, marginal, gamma) + pmi_loss(s1, t0, marginal, gamma)) / 2

    train_head(loss_of, seed, watch)
    return state["teacher"]


def assign(head: nn.Module) -> torch.Tensor:
    """The likeliest cluster of every test image, (M,)."""
    with torch.no_grad():
        return head(test_x).argmax(dim=1).cpu()


# %% [markdown]
# During SCAN's training we watch its two terms apart, between a view of each training image and another view of its
# nearest neighbour, with the level $\ln C$ for both: where consistency starts, and where entropy should end.

# %%
watched = {"consistency": [], "entropy": []}


def both_terms(head: nn.Module) -> None:
    with torch.no_grad():
        nearest = neighbours[:, 0].to(scale.device)
        logits, other = head(x_views[0]) / sharpness, head(x_views[1, nearest]) / sharpness
        consistency = scan_loss(logits, other, 0.0)
        watched["consistency"].append(float(consistency))
        watched["entropy"].append(float(consistency - scan_loss(logits, other, 1.0)))


heads = {"SCAN": [scan(scale.seed, watch=both_terms)], "PMI": [pmi(scale.seed)]}
plot.show(
    plot.curves(
        watched,
        levels={"ln C": math.log(clusters)},
        xlabel="epoch",
        ylabel="nats",
        title="SCAN: neighbours agree, and all clusters stay in use",
    ),
    alt="Consistency and entropy of the mean over the epochs of SCAN, with the level ln C.",
)

# %% [markdown]
# Now over several seeds, which draw the start of the heads and the pairs. Three scores: ACC, computed with your
# function, and NMI and ARI from scikit-learn.

# %%
seeds = [scale.seed, *(scale.seed + 100 * n for n in range(1, scale.pick(dry=1, tiny=3, small=3, full=5)))]
heads["SCAN"] += [scan(seed) for seed in seeds[1:]]
heads["PMI"] += [pmi(seed) for seed in seeds[1:]]
found = {
    "k-means, not whitened": [kmeans(seed, raw_train_h, raw_test_h) for seed in seeds],
    "k-means": [kmeans(seed) for seed in seeds],
    "SCAN": [assign(head) for head in heads["SCAN"]],
    "PMI": [assign(head) for head in heads["PMI"]],
}


def scores(assignments: torch.Tensor) -> tuple[float, float, float]:
    """ACC, NMI, ARI on test images."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    accuracy, _ = cluster_accuracy(assignments, test_set.labels)
    nmi = normalized_mutual_info_score(test_set.labels, assignments)
    return accuracy, nmi, adjusted_rand_score(test_set.labels, assignments)


table = {method: torch.tensor([scores(one) for one in runs]) for method, runs in found.items()}     # (seeds, 3)
print(f"mean and spread over {len(seeds)} seeds    ACC            NMI            ARI")
for method, values in table.items():
    spread = values.std(dim=0) if len(values) > 1 else torch.zeros(3)   # at dry there is one seed
    print(f"{method:30}", "   ".join(f"{m:.3f} +- {s:.3f}" for m, s in zip(values.mean(dim=0), spread)))
accuracy = {method: values[:, 0].mean().item() for method, values in table.items()}

# %%
plot.show(
    plot.bars(
        {**accuracy, "linear probe, with labels": probe.accuracy},
        intervals={method: (values[:, 0].min().item(), values[:, 0].max().item()) for method, values in table.items()},
        levels={"chance": 1 / classes},
        ylabel="accuracy after matching, test images",
        title=f"Clusters against classes, smallest to largest of {len(seeds)} seeds",
    ),
    alt="Accuracy of k-means, SCAN and PMI clusters with their range over seeds, and a linear probe as the ceiling.",
)

# %% [markdown]
# The whiskers are the range over seeds of the heads; all stand on one encoder and one test sample. Published, for
# orientation: on STL-10 with MoCo v2's ResNet-50, k-means 54 %, SCAN 74 % and PMI 77 % in accuracy, values on the
# training set of a trained clustering, which are not comparable with a toy.

# %% [markdown]
# In a toy world we can ask what else clusters agree with. NMI of the first seed's clusters with the class and with
# factors that were drawn independently of it:

# %%
from_factors = {"class": test_set.labels}
if test_set.factors:
    height = test_set.factors["y"]
    tenths = torch.quantile(height, torch.linspace(0.1, 0.9, 9))
    from_factors |= {"height, in tenths": torch.bucketize(height, tenths)}
    from_factors |= {name: test_set.factors[name] for name in ("place", "size", "colour", "background")}


def shared_information(a: torch.Tensor, b: torch.Tensor) -> float:
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(a, b))


plot.show(
    plot.heat_map(
        torch.tensor([[shared_information(f, runs[0]) for f in from_factors.values()] for runs in found.values()]),
        rows=list(found),
        columns=list(from_factors),
        label="NMI",
        title="What the clusters know about",
    ),
    alt="NMI between the clusters of each method and the class, and at scale tiny factors such as height and place.",
)

# %% [markdown]
# #### Question 2
#
# (a) Why can a linear layer trained on neighbours beat k-means on the *same* features? Name what each assumes. (b)
# Which of the heads of SCAN would you hand over to a user, and how would you choose it without labels? (c) Why
# may ACC of a clustering with 50 clusters and 10 classes not be compared with that of one with 10, and what do NMI
# and ARI do about it?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) k-means assumes that a class is a compact ball around its mean, and it weighs all directions of the features
# alike, also those in which colour or place are written. SCAN assumes that neighbours share a class and that classes
# are equally frequent; it is free to find directions in which neighbours agree, and ignores the others. The purity
# curve says how far the first assumption holds here, the second holds by construction.
#
# (b) The one with the smallest loss (on data that did not train it, if there is enough): it needs no labels. Choosing
# by ACC would use the labels of the test split, and the number would then be too good.
#
# (c) With one-to-one matching at least 40 of the 50 clusters are unmatched, and their images count as wrong even if
# every cluster is pure. NMI compares distributions and ARI pairs of images, so both are defined for any numbers of
# clusters, and ARI is corrected for chance; NMI is not, it grows with the number of clusters.
# ### END SOLUTION

# %% [markdown]
# ## What is in the clusters?

# %%
best = assign(heads["SCAN"][0])
_, mapping = cluster_accuracy(best, test_set.labels)
confusion = torch.zeros(classes, classes, dtype=torch.long)
named = torch.tensor([mapping.get(cluster, -1) for cluster in range(clusters)])[best]
confusion.index_put_((test_set.labels, named), torch.ones_like(named), accumulate=True)
plot.show(
    plot.heat_map(
        confusion,
        rows=test_set.class_names,
        columns=test_set.class_names,
        label="test images",
        title="SCAN: class against the class that its cluster is matched to",
    ),
    alt="Confusion after matching: most images on the diagonal, some classes shared out or taken together.",
)

# %%
with torch.no_grad():
    certain = (heads["SCAN"][0](test_x) / sharpness).softmax(dim=1).cpu()
sure = torch.stack([torch.where(best == c, certain[:, c], -1.0).topk(8).indices for c in range(clusters)])   # (C, 8)
names = {c: test_set.class_names[y] for c, y in mapping.items() if y >= 0}
rows = {f"{c}: {names.get(c, '-')}": test_set.images[sure[c]] for c in range(clusters)}
plot.show(
    plot.panels(rows, title="The images that each cluster is surest of, and the class it is matched to"),
    alt="For each cluster a row of its eight most confident test images.",
)

# %%
some = scale.pick(dry=100, tiny=600, small=1000, full=1500)
plot.show(
    plot.embedding(
        test_h[:some],
        best[:some],
        [f"cluster {c}" for c in range(clusters)],
        title="t-SNE of the features, coloured by SCAN's clusters",
    ),
    alt="Map of test images by their features, coloured by cluster.",
)
plot.show(
    plot.embedding(test_h[:some], test_set.labels[:some], test_set.class_names, title="The same map, coloured by class"),
    alt="The same map coloured by class.",
)

# %% [markdown]
# ## The weights decide: recorded sweeps
#
# The entropy weight of SCAN and PMI's gamma, everything else as above. These figures use labels to judge; without
# labels you could not have read the best value off them. To compute a point with your own seed, name it in `rerun`
# further up.

# %%
weights = check.sweep(
    scale,
    "entropy weight",
    lambda point, seed: scores(assign(scan(seed, entropy_weight=point)))[0],
    points=[0.0, 1.0, 2.0, 5.0, 10.0],
    own={5.0: table["SCAN"][0, 0].item()},
    rerun=rerun["entropy weight"],
)
plot.show(
    plot.sweep(
        weights,
        xlabel="entropy weight",
        ylabel="accuracy after matching",
        levels={"chance": 1 / classes, "k-means": accuracy["k-means"]},
        title="SCAN",
    ),
    alt="Accuracy of SCAN's clusters against the entropy weight, with error bars over seeds and the level of k-means.",
)

# %%
gammas = check.sweep(
    scale,
    "gamma",
    lambda point, seed: scores(assign(pmi(seed, gamma=point)))[0],
    points=[0.5, 0.55, 0.65, 0.8, 1.0],
    own={0.65: table["PMI"][0, 0].item()},
    rerun=rerun["gamma"],
)
plot.show(
    plot.sweep(
        gammas,
        xlabel="gamma",
        ylabel="accuracy after matching",
        levels={"chance": 1 / classes, "k-means": accuracy["k-means"]},
        title="PMI",
    ),
    alt="Accuracy of PMI's clusters against gamma, with error bars over seeds and the level of k-means.",
)
in_use = check.sweep(
    scale,
    "gamma, clusters in use",
    lambda point, seed: len(assign(pmi(seed, gamma=point)).unique()),
    points=[0.5, 0.55, 0.65, 0.8, 1.0],
    own={0.65: len(found["PMI"][0].unique())},
    rerun=rerun["gamma"],
)
plot.show(
    plot.sweep(
        in_use,
        xlabel="gamma",
        ylabel="clusters that occur",
        levels={"C": clusters},
        title="PMI: are all clusters used?",
    ),
    alt="Number of clusters in use against gamma, with error bars over seeds and the level of all clusters.",
)

# %% [markdown]
# #### Question 3
#
# (a) What do the three solutions in the table of the theory predict for weight 0, and what does the sweep show? (b)
# Your data hold a class with half of all images. What does a large entropy weight do to it, and what would you
# change? (c) Derive the loss of PMI when everything lies in one cluster and the marginal has followed. Compare with
# perfect clusters at $\gamma = 1$: why can a training at $\gamma = 1$ still lose clusters or merge classes?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) At weight 0 one cluster for everything has the smallest possible consistency, 0, and it is easier to reach than
# any other solution with that value, so clusters merge and accuracy falls, in the extreme to the share of the largest
# class. From the figure, read how far training went in this direction.
#
# (b) The entropy of the mean is largest for clusters of equal size, so the large class is cut into several clusters
# and small ones are merged. Compare the mean with the class frequencies that you expect (a Kullback-Leibler
# divergence in place of the entropy), or take a smaller weight, or more clusters than classes and merge afterwards.
#
# (c) $p = 1$ at one cluster and marginal 1 there: the sum is 1, the loss 0, for every gamma. Perfect clusters have
# $-\ln C$, so the global optimum is not the collapse. But the loss is an average over pairs, and real neighbours
# often disagree: for a pair that is split over two clusters the sum is near 0 and its logarithm very negative, so
# merging two clusters that share many pairs costs less than being wrong on those. An exponent below 1 lets an
# undecided pair get off lightly, so that clusters need not be merged.
# ### END SOLUTION

# %% [markdown]
# ## Traps
#
# Mistakes that no check of a function can see. All of them run without an error.
#
# - **The key encoder in the optimiser's list.** No gradient reaches it, yet weight decay shrinks what should only follow.
# - **The teacher rebuilt each epoch.** `copy.deepcopy(student)` in the wrong place throws the average away, and the
#   targets jump.
# - **"Validation" scored with training labels.** Matching clusters to classes uses labels. A matching found on the
#   training split and applied to the test split is honest; choosing the epoch by the accuracy of the test split is
#   not.
# - **Batch norm that leaks the positive.** See question 1.
# - **Neighbours mined with an untrained network, or with oneself among them.** The purity curve tells the first; with
#   the second every image has one neighbour that teaches nothing.
# - **Small batches for SCAN.** The mean of $p$ over a batch of 32 images is not near uniform even for perfect
#   clusters of ten classes, and the entropy term then fights the noise.
# - **As many clusters as classes.** Taken for granted here and in the literature. Who knows the number of classes
#   knows a lot.

# %% [markdown]
# ## Report
#
# How far SCAN is above k-means depends on the encoder's seed and on k-means' luck: hold your own difference against the
# recorded means and spreads in the table.

# %%
random_purity = random_same[:, :k].float().mean().item()
claims = {
    "MoCo live over the random encoder, kNN": (live_knn - random_knn, scale.pick(tiny=0.1, small=0.05, full=0.0)),
    "neighbour purity over chance": (purity - 1 / classes, scale.pick(tiny=0.3, small=0.1, full=0.4)),
}
if scale.name != "small":      # there the neighbours of a short training are too impure for SCAN to gain from them
    claims["SCAN over k-means, one encoder"] = (
        accuracy["SCAN"] - accuracy["k-means"],
        scale.pick(tiny=0.0, small=None, full=0.05),
    )
shares = ("live_knn", "probe_accuracy", "neighbour_purity", "kmeans_acc", "scan_acc", "pmi_acc")
check.report(
    scale,
    live_knn=live_knn,
    live_loss=history.loss[-1],
    probe_accuracy=probe.accuracy,
    neighbour_purity=purity,
    kmeans_acc=accuracy["k-means"],
    scan_acc=accuracy["SCAN"],
    pmi_acc=accuracy["PMI"],
    scan_nmi=table["SCAN"][:, 1].mean().item(),
    scan_ari=table["SCAN"][:, 2].mean().item(),
    claims=claims,
    chance={share: 1 / classes for share in shares}
    | {"live_loss": guessing, "scan_nmi": 0.0, "scan_ari": 0.0},
    baseline={"live_knn": random_knn, "neighbour_purity": random_purity},
)

# %% [markdown]
# ## What to take with you
#
# - A queue makes the number of negatives independent of the batch; a slow key encoder makes old keys comparable with
#   new ones.
# - The level of guessing is $\ln(K+1)$; far below it the loss of MoCo is still no measure of features.
# - Neighbours in a good feature space are noisy labels for pairs. SCAN and PMI turn them into clusters; what they
#   assume beyond that (balance, the number of clusters) decides the result as much as the features do.
# - Clusters are judged by matching, and chosen by the loss, never by labels.

# %% [markdown]
# ## Further reading
#
# - K. He, H. Fan, Y. Wu, S. Xie, R. Girshick. *Momentum contrast for unsupervised visual representation learning.*
#   CVPR 2020. [arXiv:1911.05722](https://arxiv.org/abs/1911.05722). MoCo; section 3.3 is on shuffling batch norm.
# - X. Chen, H. Fan, R. Girshick, K. He. *Improved baselines with momentum contrastive learning.* 2020.
#   [arXiv:2003.04297](https://arxiv.org/abs/2003.04297). MoCo v2, whose weights scale `full` uses.
# - W. Van Gansbeke, S. Vandenhende, S. Georgoulis, M. Proesmans, L. Van Gool. *SCAN: learning to classify images
#   without labels.* ECCV 2020. [arXiv:2005.12320](https://arxiv.org/abs/2005.12320).
# - N. Adaloglou, F. Michels, H. Kalisch, M. Kollmann. *Exploring the limits of deep image clustering using pretrained
#   models.* BMVC 2023. [arXiv:2303.17896](https://arxiv.org/abs/2303.17896). TEMI, clustering by pointwise mutual
#   information.
# - A. Tarvainen, H. Valpola. *Mean teachers are better role models.* NeurIPS 2017.
#   [arXiv:1703.01780](https://arxiv.org/abs/1703.01780). The moving average as a teacher.
# - Y. Wu, K. He. *Group normalization.* ECCV 2018. [arXiv:1803.08494](https://arxiv.org/abs/1803.08494).
# - H. W. Kuhn. *The Hungarian method for the assignment problem.* Naval Research Logistics Quarterly 2, 1955.
# - L. Hubert, P. Arabie. *Comparing partitions.* Journal of Classification 2, 1985. The adjusted Rand index.

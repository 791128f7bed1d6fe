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
# thing that k-means ignores: an image and its nearest neighbours usually show the same thing. What decides more than
# the choice among the three is how features are compared: before they are clustered they can be **whitened** by what
# changes between two views of one image.
#
# **You will be able to**
#
# 1. write MoCo's three parts (moving average, queue, loss) and its step, and say what breaks where one is missing or
#    comes at the wrong moment;
# 2. derive why SCAN needs its entropy term and why gamma in PMI lies between 1/2 and 1, and see both in experiments;
# 3. judge clusters against classes: matching, accuracy, NMI, ARI, and what none of them may be used for;
# 4. whiten features by what their views do not agree on, and explain why a probe hardly notices and k-means does;
# 5. explain when learned clusters beat k-means, by looking at the neighbours they were learnt from.
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
import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import week05 as check
from sslcourse.plot.schematics.queue_of_keys import queue_of_keys

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
# inconsistent. Training in a minute takes hundreds of steps, not millions, so $m$ is smaller here than the paper's
# 0.999.
#
# ### Why batch norm would cheat
#
# In batch norm, each output depends on all images of the batch. Query and positive key come from batches of the
# *same* images, the keys of the queue from others, so statistics of the batch are a signature by which the positive
# can be told without looking at what the image shows. He et al. (2020, section 3.3) report such cheating and shuffle
# the keys over several devices to stop it. On one device there is nothing to shuffle over. This notebook uses **group
# norm** (Wu & He 2018), whose statistics come from within one image: there is nothing to leak.

# %%
plot.show(
    queue_of_keys(),
    alt="MoCo: view 0 goes through the query encoder, view 1 through the key encoder, a moving average of the first; "
    "the query is compared with its own key and with the queue of earlier keys, which the new key joins afterwards.",
)

# %% [markdown] tags=["before"]
# ### Features that views agree on
#
# Clusters form along whatever varies *most*, and that need not be the class: encoders keep a trace of what
# augmentations change, such as the place of the object. That trace can be measured without labels. Take $V$ views of
# each of $N$ images, let $h_{vi}$ be the features of view $v$ of image $i$, and let
#
# $$S = \frac{1}{VN} \sum_{v,i} (h_{vi} - \bar h_i)(h_{vi} - \bar h_i)^\top$$
#
# be their covariance *within* images. Directions with a large variance in $S$ are nuisances. Multiply features by a
# matrix $W$ with $W W^\top = S^{-1}$, and views of an image scatter equally far in all directions: what was loud
# because of the augmentations is as quiet as the rest, and distances between images are measured in units of that
# scatter. It is the first half of linear discriminant analysis with images for classes; speaker recognition knows it as
# within-class covariance normalisation (Hatch et al. 2006). $W$ can be inverted, so no information is gained or lost,
# and a linear classifier could undo it. What changes is what *counts* for those who compare by angle or by distance.
#
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
# join the queue. Two of these lines in the wrong order run without an error.
#
# `queue` is a `Queue`; the functions of the exercises above may be used. Where several processes share a batch, each
# makes the keys of its own slice, and all queues should be the same: `keys = train.gather(keys)` before they join. On
# one process, as here, it does nothing.
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
    keys = train.gather(keys)                                               # of all processes, where there are several
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
# ### 5.6 Whitening by views  ·  difficulty 2 of 3  ·  about 15 minutes
#
# A matrix $W$ with $W W^\top = S^{-1}$, from several views of each image. $S$ may have directions in which views hardly
# differ, and dividing by almost nothing would blow up noise: so `floor` times the mean variance is added to all of them
# first, $W W^\top = (S + \epsilon I)^{-1}$. Any such $W$ will do, since what is left free is a rotation.
#
# <details><summary>Hint 1</summary><code>views - views.mean(dim=0)</code> is what views of one image do not agree on;
# flatten it to (V N, D).</details>
# <details><summary>Hint 2</summary><code>torch.linalg.eigh</code> gives the variances and, in columns, the directions
# of a covariance.</details>
# <details><summary>Hint 3</summary>Each direction divided by the root of its variance plus floor times the mean
# variance.</details>


# %% tags=["exercise", "points:2"]
def view_whitening(views: torch.Tensor, floor: float = 1e-3) -> torch.Tensor:
    """W (D, D) that makes views of an image scatter equally in all directions of h @ W (Hatch et al. 2006).

    views: (V, N, D), V views of each of N images. W W^T is the inverse of S + floor * (mean variance in S) * 1, with S
    the covariance within images, the mean over all V N views.
    """
    ### BEGIN SOLUTION
    within = (views - views.mean(dim=0)).flatten(0, 1)                      # (V N, D)
    variance, directions = torch.linalg.eigh(within.T @ within / len(within))
    return directions / (variance + floor * variance.mean()).sqrt()         # (D, D), directions in columns
    ### END SOLUTION


# %% tags=["check"]
view_whitening = check.view_whitening(view_whitening)

# %% [markdown]
# ### 5.7 SCAN's loss  ·  difficulty 2 of 3  ·  about 15 minutes
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
# ### 5.8 Accuracy of clusters  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
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
# ### 5.9 PMI's loss  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
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
# ### 5.10 The running marginal  ·  optional  ·  difficulty 1 of 3  ·  about 5 minutes
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
# ### 5.11 Self-labelling  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
#
# SCAN's last step. Where the head is sure of an image, believe it: its guess on a *weak* view becomes a label, and a
# *strong* view of the same image has to give it. The guess is a target, no gradient flows to it. Large clusters would
# drown small ones, so every cluster that occurs among the confident images counts alike: the loss is the mean over
# these clusters of the mean over each one's images. Where nobody is sure it is 0, with a gradient (of 0).
#
# The authors' code says the same with weights: `F.cross_entropy(..., weight=w)` with the inverse frequency of the
# pseudo-labels, which divides by the *sum of the weights*, not by the number of images. Where no image is confident it
# stops with an error.
#
# <details><summary>Hint 1</summary>Confident: the largest probability of the weak view is above the
# threshold.</details>
# <details><summary>Hint 2</summary>Pseudo-labels: <code>argmax</code> of the weak logits. <code>torch.bincount</code>
# of the confident ones counts them.</details>
# <details><summary>Hint 3</summary>Weight of an image: 1 / (count of its pseudo-label), 0 where it is not confident;
# divide by the sum of the weights, but at least by a tiny number.</details>


# %% tags=["exercise", "points:0"]
def self_label_loss(
    weak_logits: torch.Tensor, strong_logits: torch.Tensor, threshold: float = 0.99
) -> torch.Tensor:
    """Confident guesses on weak views as labels for strong ones (Van Gansbeke et al. 2020, section 2.3).

    weak_logits, strong_logits: (N, C), row n of both from image n; threshold: of the largest probability of the weak
    view. Returns a scalar in nats: the mean over the clusters that occur of the mean cross-entropy of their images, 0
    where no image is confident. Gradients reach strong_logits only.
    """
    ### BEGIN SOLUTION
    confidence, guess = weak_logits.detach().softmax(dim=1).max(dim=1)          # (N,), (N,)
    confident = confidence > threshold
    counts = torch.bincount(guess[confident], minlength=weak_logits.shape[1])   # (C,)
    weights = confident / counts.clamp(min=1)[guess]                            # (N,)
    losses = F.cross_entropy(strong_logits, guess, reduction="none")            # (N,)
    return (weights * losses).sum() / weights.sum().clamp(min=1e-12)
    ### END SOLUTION


# %% tags=["check"]
self_label_loss = check.self_label_loss(self_label_loss)

# %% [markdown]
# ## MoCo, live
#
# All settings are here. The encoder is the network of four convolutions of week 4 with group norm in place of batch
# norm (question 1), and its head has no batch norm either. Every step is your `moco_step`. At scale `full` this part
# only shows the method on STL-10's unlabelled images, and the clusters come from published weights.

# %%
epochs = scale.pick(dry=1, tiny=8, small=6, full=20)
batch_size = 128
queue_size = scale.pick(dry=256, tiny=2048, small=4096, full=16384)
momentum = 0.99
temperature = scale.pick(tiny=0.1, small=0.2, full=0.2)
learning_rate = scale.pick(tiny=3e-3, small=2e-3, full=2e-3)


def build(seed: int) -> nn.Sequential:
    """An untrained backbone and head in one, the same ones for the same seed; backbone = build(seed)[0]."""
    torch.manual_seed(seed)
    backbone = models.backbone("conv4_gn", image_size=size)
    return nn.Sequential(backbone, nn.Linear(backbone.num_features, 256), nn.ReLU(), nn.Linear(256, 128))


def pretrain(images, seed=scale.seed, *, momentum=momentum, epochs=epochs, lr=learning_rate, watch=None):
    """MoCo on images alone. Returns (backbone, history)."""
    query = build(seed).to(scale.device)
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
        lr=lr,
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
# After every epoch nearest neighbours among a thousand images vote on others that were held out, which needs no
# training. At the end all training images vote on the test images. The neighbours' labels are used for that, and nowhere
# before.

# %%
bank = train_set.subset(scale.pick(dry=100, tiny=1000, small=2000, full=2000), seed=scale.seed)
val_set = data.load_images(name, "val", n=scale.pick(dry=100, tiny=500, small=500, full=500), seed=scale.seed)


def knn(backbone: nn.Module, known=bank, asked=val_set) -> float:
    """Accuracy of nearest neighbours among known images on those that are asked about."""
    known_h, asked_h = (evaluate.extract_features(backbone, part.images) for part in (known, asked))
    return evaluate.knn_accuracy(known_h, known.labels, asked_h, asked.labels)


random_backbone = build(scale.seed)[0].to(scale.device)
first_knn = knn(random_backbone)
moco_images = data.load_images(name, "unlabelled").images if scale.name == "full" else train_set.images
live, history = pretrain(moco_images, watch=lambda backbone: {"knn": knn(backbone)})
random_knn, live_knn = (knn(one, train_set, test_set) for one in (random_backbone, live))
guessing = math.log(queue_size + 1)
print(f"loss {history.loss[-1]:.2f} in the last epoch, guessing costs {guessing:.2f}")
print(f"nearest neighbours, test images: {live_knn:.2f}, with the random encoder {random_knn:.2f}")

# %%
plot.show(
    plot.curves(
        {"MoCo": history.loss},
        levels={"ln(K+1), guessing": guessing},
        xlabel="epoch",
        ylabel="loss in nats",
        title="One positive against the queue, one seed",
    ),
    alt="The training loss over the epochs, below the dashed level of guessing among K + 1 candidates.",
)
plot.show(
    plot.curves(
        {"kNN": [first_knn, *history.metrics["knn"]]},
        x=range(len(history.loss) + 1),
        levels={"chance": 1 / classes},
        xlabel="epoch",
        ylabel="accuracy",
        title="Nearest neighbours on validation images, one seed",
    ),
    alt="Accuracy of nearest neighbours rises over the epochs from that of the random encoder.",
)

# %% [markdown]
# Compare the two curves. Even where they go together the loss is no measure of progress: the queue is made by the
# network itself, so that negatives become harder while the network becomes better, and easier when it moves so fast
# that old keys give themselves away. Read progress off the neighbours, and off the loss only that guessing is far.

# %% [markdown]
# ### How slow should the key encoder be?
#
# A recorded sweep over $1 - m$, the share that is renewed in each step. It is another, *shorter* training than yours
# (`short_run`: fewer passes, a learning rate of 2e-3), so that four momenta could be afforded over several seeds; your
# own run has no place in the figure. To compute a point now, name it in `rerun`.

# %%
rerun = {"momentum": [], "entropy weight": [], "gamma": []}


def short_run(point: float, seed: int) -> float:
    """kNN on validation images after a short training."""
    epochs = scale.pick(dry=1, tiny=4, small=3, full=5)
    return knn(pretrain(moco_images, seed, momentum=point, epochs=epochs, lr=2e-3)[0])


momenta = check.sweep(scale, "momentum", short_run, points=[0.0, 0.9, 0.99, 0.999], rerun=rerun["momentum"])
renewed = dataclasses.replace(
    momenta,
    points=tuple(round(1 - m, 6) for m in momenta.points),
    own={round(1 - m, 6): value for m, value in momenta.own.items()},
)
plot.show(
    plot.sweep(
        renewed,
        xlabel="1 - m, renewed in each step",
        ylabel="validation accuracy of kNN",
        log_x=True,
        levels={"chance": 1 / classes, "random encoder": first_knn},
        title="A key encoder that follows faster (right) or slower (left)",
    ),
    alt="kNN accuracy against one minus the momentum of the key encoder, logarithmic, with error bars over seeds.",
)

# %% [markdown]
# #### Question 1
#
# (a) With $m = 0$ the key encoder *is* the query encoder. Why is that bad, although the keys are
# as good as they can be? How could a network make the loss small without comparing images? What does the figure show?
# (b) At $m = 0.999$ the key encoder is on average a thousand steps behind, in a training of a few hundred. What are
# its keys then, and what does the figure say about how much that costs? (c) Batch norm lets a network cheat in MoCo, and
# not in week 4's SimCLR. What is different?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) The positive key comes from the network as it is, the keys of the queue from up to $K / N$ earlier networks. If
# all outputs drift together from step to step, the positive is near simply because it is of the same age, and the
# negatives are far: the loss falls and the images play no part. With a slow key encoder all keys, positive or not,
# come from nearly the same function. In the figure the two fast key encoders, 1 - m of 1 and of 0.1, stay at the level
# of the random encoder; the two slow ones leave it far behind.
#
# (b) Keys of a network that is close to where it began: consistent with each other, and nearly random functions of the
# image. One might expect that little can be learnt from these. In the figure the difference to 0.99 is within the
# spread over seeds: for a short training consistency is what matters, and matching random features of *another view*
# already asks for what views share. In a long training such a key encoder does follow, since a thousand steps are few
# among a million: there the paper finds 0.999 a little better than 0.99, 0.9 much worse, and no training at all at 0
# (He et al. 2020, section 4.1).
#
# (c) In SimCLR all candidates, positive and negatives, come from the same batch and share its statistics, so
# statistics tell nobody apart. In MoCo the positive key was normalised with a batch of the same images as the query,
# the queue's keys with others: the signature belongs to the right answer alone. Whether a network uses this depends
# on what is easier, and a short training may not get there.
# ### END SOLUTION

# %% [markdown]
# ## The features to cluster
#
# Clusters need features in which neighbours mostly share a class, and those take longer than a minute. So the notebook
# goes on from a **shipped checkpoint** (the table in `sslcourse/checkpoints` names recipe and quality): at `tiny` the
# MoCo above, run longer on more scenes, none of them among yours; at `small` a SimCLR network, trained on all training
# images of CIFAR-10; at `full` MoCo v2's ResNet-50, trained for 800 epochs on ImageNet by its authors. From here on the
# encoder is frozen, features are computed once, and everything below trains in seconds.

# %%
encoder = models.load_pretrained(
    scale.pick(tiny="moco_scenes_conv4", small="simclr_cifar10_wide", full="moco_v2_resnet50")
).to(scale.device)
pretrained = scale.pick(tiny="MoCo", small="SimCLR", full="MoCo v2")


def features(backbone: nn.Module, part) -> torch.Tensor:
    """Frozen features of length 1, (N, D)."""
    return F.normalize(evaluate.extract_features(backbone, part.images), dim=1)


pool = train_set.subset(scale.pick(dry=300, tiny=4000, small=5000, full=4500), seed=scale.seed)     # to be clustered
train_h, test_h = features(encoder, pool), features(encoder, test_set)
n_views = 4
torch.manual_seed(scale.seed)
with torch.no_grad():
    drawn = [evaluate.extract_features(encoder, views(data.as_float(pool.images))) for _ in range(n_views)]
    h_views = F.normalize(torch.stack(drawn), dim=2)                            # (V, N, D)

# %% [markdown]
# Everything from here on is done twice, with the same steps and settings: on the features as they are, and whitened by
# your `view_whitening`. A **space** holds what the methods see: features of length 1 for k-means and neighbours, and
# views for the heads, every feature standardised and rows of about length 1.

# %%
k = 10                                                                      # neighbours that heads learn from
centre = train_h.mean(dim=0)


def space(w: torch.Tensor) -> SimpleNamespace:
    """The features h @ w of training, test and views, and the neighbours of training images among them."""
    x, y, x_views = ((h - centre) @ w for h in (train_h, test_h, h_views))
    spread = x_views.flatten(0, 1).std(dim=0) * math.sqrt(x.shape[1])
    return SimpleNamespace(
        train=F.normalize(x, dim=1),
        test=F.normalize(y, dim=1),
        neighbours=mine_neighbours(F.normalize(x, dim=1), 100),                  # (N, 100)
        x=(x / spread).to(scale.device),
        x_views=(x_views / spread).to(scale.device),                             # (V, N, D)
        x_test=(y / spread).to(scale.device),
    )


spaces = {"as they are": space(torch.eye(train_h.shape[1])), "whitened": space(view_whitening(h_views))}
probes = {
    which: evaluate.linear_probe(one.train, pool.labels, one.test, test_set.labels, Cs=(0.1, 1.0, 10.0, 100.0))
    for which, one in spaces.items()
}
for which, probe in probes.items():
    print(f"linear probe, with labels, features {which:12} {probe.accuracy:.2f} ({probe.low:.2f} to {probe.high:.2f})")

# %% [markdown]
# The probe is the ceiling for what follows, roughly: heads below are linear as well, and see no label.
#
# ### Are neighbours of one class?

# %%
ks = [1, 2, 5, 10, 20, 50, 100]


def purity_curve(neighbours: torch.Tensor) -> list[float]:
    """The share of the k nearest that have their image's class, for every k."""
    same = pool.labels[neighbours] == pool.labels[:, None]                      # (N, 100), nearest first
    return [same[:, :k].float().mean().item() for k in ks]


purities = {f"{pretrained}, whitened": purity_curve(spaces["whitened"].neighbours)}
purities[f"{pretrained}, as it is"] = purity_curve(spaces["as they are"].neighbours)
purities["random encoder"] = purity_curve(mine_neighbours(features(random_backbone, pool), max(ks)))
plot.show(
    plot.curves(
        purities,
        x=ks,
        log_x=True,
        levels={"chance": 1 / classes},
        xlabel="neighbours k",
        ylabel="share of the image's class",
        title="Purity of the k nearest neighbours, one network each",
    ),
    alt="Share of neighbours of the same class against k, for whitened and plain features and for a random encoder.",
)
purity, raw_purity, random_purity = (curve[ks.index(k)] for curve in purities.values())

# %%
five = torch.stack([(pool.labels == y).nonzero()[0, 0] for y in range(classes)])[:5]
for which, one in spaces.items():
    nearest = one.neighbours[five, :8]
    plot.show(
        plot.neighbours(
            pool.images[five],
            pool.images[nearest],
            correct=pool.labels[nearest] == pool.labels[five, None],
            title=f"Neighbours by features {which}",
        ),
        alt=f"Five images of five classes, each beside its eight nearest neighbours by features {which}, marked by "
        "whether the class is the same.",
    )

# %% [markdown]
# ## Three ways to cluster
#
# **k-means** on features of length 1, the best of ten starts by its own criterion. **SCAN** and **PMI**: one
# linear layer on the features, trained on pairs of an image and one of its $k$ neighbours, drawn anew in every batch.
# Of both a random view is taken, as the SCAN authors augment both; the features of the views are those computed
# above. All three are fitted to training images without labels and judged on test images. The layer starts at random;
# at `small` it starts where k-means ends, with its centres for weights, and two lines below say what that is worth.

# %%
clusters = classes
head_epochs = scale.pick(dry=1, tiny=60, small=60, full=100)
head_batch = 1000
head_lr = 5e-3
sharpness = 0.1                                                             # temperature of the softmax of both heads


fitted = {}                                                                 # what k-means found: {(seed, space): it}


def fitted_kmeans(seed: int, seen):
    from sklearn.cluster import KMeans

    if (seed, id(seen)) not in fitted:
        fitted[seed, id(seen)] = KMeans(clusters, n_init=10, random_state=seed).fit(seen.train.numpy())
    return fitted[seed, id(seen)]


def kmeans(seed: int, seen) -> torch.Tensor:
    """Clusters of the test images, (M,)."""
    return torch.as_tensor(fitted_kmeans(seed, seen).predict(seen.test.numpy())).long()


def first_head(seed: int, seen, at_random: bool = scale.name != "small") -> nn.Module:
    """A random linear head, or one whose largest logit is that of the nearest of k-means' centres."""
    torch.manual_seed(seed)
    head = nn.Linear(seen.x.shape[1], clusters)
    if not at_random:
        centres = torch.as_tensor(fitted_kmeans(seed, seen).cluster_centers_)
        with torch.no_grad():
            head.weight.copy_(centres)
            head.bias.copy_(-centres.square().sum(dim=1) / 2)               # -|x - c|^2 / 2, less what all share
    return head.to(scale.device)


def train_head(loss_of, seed: int, seen, head=None, epochs: int = head_epochs, watch=None) -> nn.Module:
    """A linear head; loss_of(head, rows, draw) is that of some rows of a space, with random numbers from draw."""
    head = first_head(seed, seen) if head is None else copy.deepcopy(head)
    draw = torch.Generator().manual_seed(seed)
    train.fit(
        lambda rows: loss_of(head, rows, draw),
        head,
        torch.arange(len(pool)),
        epochs=epochs,
        batch_size=head_batch,
        lr=head_lr,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=scale.max_steps,
        on_epoch=watch and (lambda epoch: watch(head)),
        progress=False,
    )
    return head


def pairs(seen, rows, draw):
    """Views of some images, and views of one neighbour of each: two tensors (B, D)."""
    pick = torch.randint(k, (len(rows),), generator=draw)
    partner = seen.neighbours[rows.cpu(), pick].to(scale.device)
    first, second = torch.randint(n_views, (2, len(rows)), generator=draw).to(scale.device)
    return seen.x_views[first, rows], seen.x_views[second, partner]


def scan(seed: int, seen=spaces["whitened"], entropy_weight: float = 5.0, watch=None, head=None) -> nn.Module:
    def loss_of(head, rows, draw):
        x, other = pairs(seen, rows, draw)
        return scan_loss(head(x) / sharpness, head(other) / sharpness, entropy_weight)

    return train_head(loss_of, seed, seen, watch=watch, head=head)


# %% [markdown]
# PMI's teacher is a moving average of the student, kept over the whole training, and both are used at temperature
# 0.1. Each image of a pair is the student's once and the teacher's once.

# %%
def pmi(seed: int, seen=spaces["whitened"], gamma: float = 0.65) -> nn.Module:
    """The teacher's head after training."""
    state = {"marginal": torch.full((clusters,), 1 / clusters, device=scale.device)}

    def loss_of(head, rows, draw):
        x, other = pairs(seen, rows, draw)
        if "teacher" not in state:
            state["teacher"] = copy.deepcopy(head).requires_grad_(False)
        update_ema(head, state["teacher"], 0.9)               # once a step; some hundred steps need a quick one
        with torch.no_grad():
            t0, t1 = ((state["teacher"](part) / sharpness).softmax(dim=1) for part in (x, other))
        state["marginal"] = update_marginal(state["marginal"], torch.cat([t0, t1]))
        s0, s1 = ((head(part) / sharpness).softmax(dim=1) for part in (x, other))
        marginal = state["marginal"]
        return (pmi_loss(s0, t1, marginal, gamma) + pmi_loss(s1, t0, marginal, gamma)) / 2

    train_head(loss_of, seed, seen)
    return state["teacher"]


def assign(head: nn.Module, seen=spaces["whitened"]) -> torch.Tensor:
    """The likeliest cluster of every test image, (M,)."""
    with torch.no_grad():
        return head(seen.x_test).argmax(dim=1).cpu()


# %% [markdown]
# During SCAN's training we watch its two terms apart, between a view of each training image and another view of its
# nearest neighbour, with the level $\ln C$ for both: what consistency costs where nothing is decided (the curves begin
# after the first epoch), and where entropy should end.

# %%
watched = {"consistency": [], "entropy": []}
white = spaces["whitened"]


def both_terms(head: nn.Module) -> dict:
    with torch.no_grad():
        nearest = white.neighbours[:, 0].to(scale.device)
        logits, other = head(white.x_views[0]) / sharpness, head(white.x_views[1, nearest]) / sharpness
        consistency = scan_loss(logits, other, 0.0)
        watched["consistency"].append(float(consistency))
        watched["entropy"].append(float(consistency - scan_loss(logits, other, 1.0)))
    return {}


first_scan = scan(scale.seed, watch=both_terms)
plot.show(
    plot.curves(
        watched,
        levels={"ln C": math.log(clusters)},
        xlabel="epoch",
        ylabel="nats",
        title="SCAN: neighbours agree, and all clusters stay in use, one seed",
    ),
    alt="Consistency and entropy of the mean over the epochs of SCAN, with the level ln C.",
)

# %% [markdown]
# Now all three methods in both spaces, over several seeds, which draw the start of the heads and the pairs. Three
# scores: ACC, computed with your function, and NMI and ARI from scikit-learn.

# %%
seeds = [scale.seed, *(scale.seed + 100 * n for n in range(1, scale.pick(dry=1, tiny=3, small=3, full=5)))]
scan_heads = [first_scan, *(scan(seed) for seed in seeds[1:])]
raw = spaces["as they are"]
found = {
    ("k-means", "as they are"): [kmeans(seed, raw) for seed in seeds],
    ("k-means", "whitened"): [kmeans(seed, white) for seed in seeds],
    ("SCAN", "as they are"): [assign(scan(seed, raw), raw) for seed in seeds],
    ("SCAN", "whitened"): [assign(head) for head in scan_heads],
    ("PMI", "as they are"): [assign(pmi(seed, raw), raw) for seed in seeds],
    ("PMI", "whitened"): [assign(pmi(seed)) for seed in seeds],
}
if scale.name == "small":
    others = [scan(seed, head=first_head(seed, white, at_random=True)) for seed in seeds]
    nearest = white.neighbours[:, 0].to(scale.device)
    for start, heads in {"k-means' centres": scan_heads, "a random start": others}.items():
        with torch.no_grad():
            ends = [(head(white.x_views[0]) / sharpness, head(white.x_views[1, nearest]) / sharpness) for head in heads]
        loss = sum(float(scan_loss(*logits, 5.0)) for logits in ends) / len(seeds)
        hits = sum(cluster_accuracy(assign(head), test_set.labels)[0] for head in heads) / len(seeds)
        print(f"SCAN whitened, {len(seeds)} heads, from {start}: loss {loss:.3f}, accuracy {hits:.3f}")


def scores(assignments: torch.Tensor) -> tuple[float, float, float]:
    """ACC, NMI, ARI on test images."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    accuracy, _ = cluster_accuracy(assignments, test_set.labels)
    nmi = normalized_mutual_info_score(test_set.labels, assignments)
    return accuracy, nmi, adjusted_rand_score(test_set.labels, assignments)


table = {which: torch.tensor([scores(one) for one in runs]) for which, runs in found.items()}     # (seeds, 3)
print(f"mean +- sample deviation, heads: {len(seeds)}        ACC              NMI              ARI")
for (method, which), values in table.items():
    spread = values.std(dim=0) if len(values) > 1 else torch.zeros(3)   # at dry there is one seed
    written = "   ".join(f"{m:.3f} +- {s:.3f}" for m, s in zip(values.mean(dim=0), spread))
    print(f"{method:8} features {which:12}   {written}")
accuracy = {which: values[:, 0].mean().item() for which, values in table.items()}

# %%
plot.show(
    plot.grouped_bars(
        {method: {which: accuracy[method, which] for which in spaces} for method, _ in table},
        intervals={
            method: {which: (table[method, which][:, 0].min().item(), table[method, which][:, 0].max().item())
                     for which in spaces}
            for method, _ in table
        },
        levels={"chance": 1 / classes, "linear probe, with labels": probes["whitened"].accuracy},
        ylabel="accuracy after matching, test images",
        title=f"Clusters against classes, smallest to largest of {len(seeds)} seeds",
    ),
    alt="Accuracy of k-means, SCAN and PMI clusters, each on plain and on whitened features, with the range over seeds, "
    "and a linear probe as the ceiling.",
)

# %% [markdown]
# The whiskers are the range over seeds of the heads, or of k-means' starts; all stand on one encoder and one test
# sample.

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
        rows=[f"{method}, {which}" for method, which in found],
        columns=list(from_factors),
        label="NMI",
        title="What the clusters of one seed know about",
    ),
    alt="NMI between the clusters of each method and the class, and at scale tiny factors such as height and place.",
)

# %% [markdown]
# #### Question 2
#
# (a) At `tiny` whitening hardly moves the probe, and moves k-means by more than the three methods differ from each
# other in either space. Why both? What in the last figure says which information was in the way? (b) On features as
# they are, a linear layer trained on neighbours beats k-means. What does each of them assume, and why should whitening
# by views take away a part of the difference? (c) Which of the heads of SCAN would you hand over to a user, and how
# would you choose it without labels? (d) Why may ACC of a clustering with 50 clusters and 10 classes not be compared
# with that of one with 10?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) $W$ is invertible: a linear classifier on $hW$ is one on $h$, so the probe could undo it, up to its penalty.
# k-means cannot; it weighs directions by their variance, and where the largest variance is that of nuisances, it cuts
# there. In the last figure its clusters on features as they are share more with a factor that augmentations change than
# with the class; whitened, it is the other way round.
#
# (b) k-means assumes that a class is a compact ball around its mean, and it weighs all directions of the features as
# they come. SCAN and PMI assume that neighbours share a class and that classes are equally frequent; they are free to
# find directions in which neighbours (and views) agree, and to ignore the others. Whitening by views does a part of
# this for k-means beforehand: nuisances become as quiet as the rest. The purity curves say how far the first assumption
# holds, the second holds by construction in these data.
#
# (c) The one with the smallest loss (on data that did not train it, if there is enough): it needs no labels. Choosing
# by ACC would use the labels of the test split, and the number would then be too good.
#
# (d) With one-to-one matching at least 40 of the 50 clusters are unmatched, and their images count as wrong even if
# every cluster is pure. NMI compares distributions and ARI pairs of images, so both are defined for any numbers of
# clusters, and ARI is corrected for chance; NMI is not, it grows with the number of clusters.
# ### END SOLUTION

# %% [markdown]
# ## What is in the clusters?
#
# A cluster bears the name that the one-to-one matching gives it, and every class is given away once. Where two clusters
# share a class, one of them gets the name of another class, which may be the one of few of its images or of none: look
# for such rows before you trust a name.

# %%
best = assign(scan_heads[0])
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
        title="SCAN: class against the class that its cluster is matched to, one seed",
    ),
    alt="Confusion after matching: most images on the diagonal, some classes shared out or taken together.",
)

# %%
with torch.no_grad():
    certain = (scan_heads[0](white.x_test) / sharpness).softmax(dim=1).cpu()
sure = torch.stack([torch.where(best == c, certain[:, c], -1.0).topk(8).indices for c in range(clusters)])   # (C, 8)
names = {c: test_set.class_names[y] for c, y in mapping.items() if y >= 0}
rows = {f"{c}: {names.get(c, '-')}": test_set.images[sure[c]] for c in range(clusters)}
plot.show(
    plot.panels(rows, title="The images that each cluster is surest of, and the class it is matched to"),
    alt="For each cluster a row of its eight most confident test images.",
)

# %%
some = scale.pick(dry=100, tiny=400, small=1000, full=1500)
for coloured, labels in {"the class that SCAN's cluster is matched to": named, "class": test_set.labels}.items():
    plot.show(
        plot.embedding(
            white.test[:some],
            labels[:some],
            test_set.class_names,
            title=f"t-SNE of the whitened features, coloured by {coloured}",
        ),
        alt=f"Map of test images by their whitened features, coloured by {coloured}.",
    )

# %% [markdown]
# ### Self-labelling
#
# Your loss of 5.11 goes on from each SCAN head: the image itself is the weak view, an augmented one the strong view. In
# the paper the whole network is trained in this step. Here the encoder stays frozen and only the linear layer can
# change, on views that are no stronger than those before, so less is to be gained, and there is something to lose.

# %%
threshold = 0.99


def self_labelled(head: nn.Module, seed: int) -> nn.Module:
    def loss_of(head, rows, draw):
        view = torch.randint(n_views, (len(rows),), generator=draw).to(scale.device)
        strong = head(white.x_views[view, rows]) / sharpness
        return self_label_loss(head(white.x[rows]) / sharpness, strong, threshold)

    return train_head(loss_of, seed, white, head=head, epochs=scale.pick(dry=1, tiny=20, small=20, full=50))


with torch.no_grad():
    sure_of = (scan_heads[0](white.x) / sharpness).softmax(dim=1).amax(dim=1).cpu() > threshold
    guessed = scan_heads[0](white.x).argmax(dim=1).cpu()
_, pseudo = cluster_accuracy(guessed, pool.labels)
right = (torch.tensor([pseudo.get(c, -1) for c in range(clusters)])[guessed] == pool.labels).float()
print(f"above the threshold: {sure_of.float().mean():.2f} of the training images")
print(f"in the class of their cluster: {right.mean():.2f} of all, {right[sure_of].mean():.2f} of those above it")
before = [scores(assign(head))[0] for head in scan_heads]
after = [scores(assign(self_labelled(head, seed)))[0] for head, seed in zip(scan_heads, seeds)]
for seed, one, other in zip(seeds, before, after):
    print(f"head of seed {seed:4}: ACC {one:.3f} before, {other:.3f} after self-labelling")

# %% [markdown]
# Two things to read off: confident images are right more often than others, which is what the step rests on; and
# whether that is enough. A share of the images is labelled, the easy ones, and a linear layer that already gets these
# right has little to learn from them. Where ACC falls, the step has done harm: its loss knows nothing of all the images
# below the threshold, and a border that is moved for the few sure ones moves for these, too. Stronger augmentations and
# a trained encoder are what the authors add at this point.

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
    own={5.0: table["SCAN", "whitened"][0, 0].item()},
    rerun=rerun["entropy weight"],
)
plot.show(
    plot.sweep(
        weights,
        xlabel="entropy weight",
        ylabel="accuracy after matching",
        levels={"chance": 1 / classes, "k-means, whitened": accuracy["k-means", "whitened"]},
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
    own={0.65: table["PMI", "whitened"][0, 0].item()},
    rerun=rerun["gamma"],
)
plot.show(
    plot.sweep(
        gammas,
        xlabel="gamma",
        ylabel="accuracy after matching",
        levels={"chance": 1 / classes, "k-means, whitened": accuracy["k-means", "whitened"]},
        title="PMI",
    ),
    alt="Accuracy of PMI's clusters against gamma, with error bars over seeds and the level of k-means.",
)
in_use = check.sweep(
    scale,
    "gamma, clusters in use",
    lambda point, seed: len(assign(pmi(seed, gamma=point)).unique()),
    points=[0.5, 0.55, 0.65, 0.8, 1.0],
    own={0.65: len(found["PMI", "whitened"][0].unique())},
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
# $-\ln C$, so the global optimum is not the collapse. But the loss is an average over pairs, and real neighbours often
# disagree: for a pair that is split over two clusters the sum is near 0 and its logarithm very negative, so merging two
# clusters that share many pairs costs less than being wrong on those. An exponent below 1 lets an undecided pair get
# off lightly, so that clusters need not be merged. In the recorded runs $\gamma = 1$ lost a cluster on some seeds and
# the values from 0.55 to 0.8 on none; in accuracy it lies lower than 0.65, and not by much more than seeds differ.
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
# ## On the board
#
# `sslcourse board` trains the methods of the course on the same images with the same encoder, for as many epochs, each
# at the rate of one small grid that is best on validation images; `docs/board.md` has its terms and other worlds. At so
# small a budget it ranks nothing for good: a method that needs long trainings looks worse there than in its paper. For
# MoCo the encoder has group norm, as above.

# %%
board.show("MoCo")

# %% [markdown]
# ## Report
#
# What is claimed is what was seen for every recorded seed: that MoCo learns and that neighbours share a class far more
# often than by chance; what whitening is worth to k-means, and that SCAN is above k-means on features as they are; at
# `small` only that whitening and SCAN, which starts at k-means' centres there, together are. How far SCAN is above
# k-means in the whitened space depends on the draw of the images and on k-means' luck: no claim is made of it.

# %%
by = {f"{method}_{which}": value for (method, which), value in accuracy.items()}
claims = {
    "MoCo live over the random encoder, kNN": (live_knn - random_knn, scale.pick(tiny=0.2, small=0.05, full=0.0)),
    "neighbour purity over chance": (purity - 1 / classes, scale.pick(tiny=0.3, small=0.1, full=0.4)),
}
if scale.name != "small":      # there photographs and their views leave whitening less to do
    claims["k-means whitened over k-means as they are"] = (
        by["k-means_whitened"] - by["k-means_as they are"],
        scale.pick(tiny=0.15, small=None, full=0.0),
    )
    claims["SCAN over k-means, features as they are"] = (
        by["SCAN_as they are"] - by["k-means_as they are"],
        scale.pick(tiny=0.03, small=None, full=0.0),
    )
else:
    claims["SCAN whitened over k-means as they are"] = (by["SCAN_whitened"] - by["k-means_as they are"], 0.05)
shares = ("live_knn", "probe_accuracy", "neighbour_purity", "kmeans_acc", "kmeans_whitened_acc", "scan_acc")
shares += ("scan_whitened_acc", "pmi_acc", "pmi_whitened_acc")
check.report(
    scale,
    live_knn=live_knn,
    live_loss=history.loss[-1],
    probe_accuracy=probes["as they are"].accuracy,
    neighbour_purity=purity,
    kmeans_acc=by["k-means_as they are"],
    kmeans_whitened_acc=by["k-means_whitened"],
    scan_acc=by["SCAN_as they are"],
    scan_whitened_acc=by["SCAN_whitened"],
    pmi_acc=by["PMI_as they are"],
    pmi_whitened_acc=by["PMI_whitened"],
    scan_whitened_nmi=table["SCAN", "whitened"][:, 1].mean().item(),
    scan_whitened_ari=table["SCAN", "whitened"][:, 2].mean().item(),
    claims=claims,
    chance={share: 1 / classes for share in shares}
    | {"live_loss": guessing, "scan_whitened_nmi": 0.0, "scan_whitened_ari": 0.0},
    baseline={"live_knn": random_knn, "neighbour_purity": random_purity},
    tested=dict.fromkeys([share for share in shares if share != "neighbour_purity"], len(test_set)),
)

# %% [markdown]
# ## What to take with you
#
# - A queue makes the number of negatives independent of the batch; a slow key encoder makes old keys comparable with
#   new ones.
# - The level of guessing is $\ln(K+1)$; far below it the loss of MoCo is still no measure of features.
# - How features are compared can matter more than how they are clustered: what two views of an image do not agree on
#   can be measured without labels and divided out.
# - Neighbours in a good feature space are noisy labels for pairs. SCAN and PMI turn them into clusters; the weights in
#   their losses decide the result as much as the features do, and the number of clusters they take as given.
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
# - A. O. Hatch, S. Kajarekar, A. Stolcke. *Within-class covariance normalization for SVM-based speaker recognition.*
#   Interspeech 2006. Whitening by what changes within a class.
# - Y. Li, P. Hu, D. Peng, J. Lv, J. Fan, X. Peng. *Image clustering with external guidance.* ICML 2024.
#   [arXiv:2310.11989](https://arxiv.org/abs/2310.11989). Nouns of WordNet help to cluster images.
# - A. Gadetsky, Y. Jiang, M. Brbić. *Let go of your labels with unsupervised transfer.* ICML 2024.
#   [arXiv:2406.07236](https://arxiv.org/abs/2406.07236). The labelling that linear classifiers separate best.
# - S. C. Lowe, J. B. Haurum, S. Oore, T. B. Moeslund, G. W. Taylor. *An empirical study into clustering of unseen
#   datasets with self-supervised encoders.* 2024. [arXiv:2406.02465](https://arxiv.org/abs/2406.02465).
# - Y. Li, H. Sáez de Ocáriz Borde, A. Kratsios, P. D. McNicholas. *Keep it light! Simplifying image clustering via
#   text-free adapters.* 2025. [arXiv:2502.04226](https://arxiv.org/abs/2502.04226). A small head on a frozen encoder.
# - A. Tarvainen, H. Valpola. *Mean teachers are better role models.* NeurIPS 2017.
#   [arXiv:1703.01780](https://arxiv.org/abs/1703.01780). The moving average as a teacher.
# - Y. Wu, K. He. *Group normalization.* ECCV 2018. [arXiv:1803.08494](https://arxiv.org/abs/1803.08494).
# - H. W. Kuhn. *The Hungarian method for the assignment problem.* Naval Research Logistics Quarterly 2, 1955.
# - L. Hubert, P. Arabie. *Comparing partitions.* Journal of Classification 2, 1985. The adjusted Rand index.

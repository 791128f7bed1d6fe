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
# # Week 7 · Self-distillation without negatives: DINO
#
# A network teaches itself. The student sees small and large crops of an image, the teacher large ones only, and the
# student learns to say what the teacher says. The teacher is the student's own moving average; there are no labels and
# no negatives. So what keeps both from agreeing on nothing at all? Two opposite operations, centring and sharpening.
# This week you build them, break them one at a time, and learn to recognise both ways to collapse.
#
# **You will be able to**
#
# 1. write DINO's head, loss and centre, and say what each part prevents;
# 2. produce both collapses on purpose and tell them apart by two entropies;
# 3. read a self-supervised training without labels (entropies) and with few (nearest neighbours);
# 4. look at what the class token attends to, and say what such a map is no evidence for;
# 5. measure what a change of hospital costs, and how much of it a curve on one centre hides.
#
# **You need** softmax and entropy, moving averages (week 5), the vision transformer (week 6), nearest neighbours.
# Notation: $h$ are features of the backbone, $g_s$ and $g_t$ the outputs of student and teacher for $K$ prototypes,
# $\tau_s$ and $\tau_t$ their temperatures, $c$ the centre.
#
# **Time** theory 15 minutes, core exercises about 80 minutes (9 points), questions about 30 minutes (8 points). The
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
from sslcourse.check import week07 as check

# %%
scale = sslcourse.begin(week=7)

# %% [markdown]
# ## Theory
#
# ### Agree, without negatives
#
# Week 4 compared two views and needed other images to push away from. DINO (Caron et al. 2021) has no others. Student
# and teacher share one architecture: a backbone and a head with $K$ outputs, the *prototypes*. Each output is turned
# into probabilities, as if there were $K$ classes that nobody has named:
#
# $$p_s(x) = \mathrm{softmax}\big(g_s(x) / \tau_s\big), \qquad
# p_t(x) = \mathrm{softmax}\big((g_t(x) - c) / \tau_t\big).$$
#
# For two crops $x \ne x'$ of one image the student at $x'$ is asked for the teacher's answer at $x$:
#
# $$L = \frac{1}{|P|} \sum_{(i, j) \in P} \; -\sum_k p_t(x_i)_k \log p_s(x_j)_k, \qquad
# P = \{(i, j): i \text{ global},\; j \text{ any crop},\; j \ne i\}.$$
#
# It is week 6's distillation, with two differences: the teacher is no better than the student to begin with, and it
# moves: $\theta_t \leftarrow m\,\theta_t + (1 - m)\,\theta_s$ after each step, no gradient ever reaches it.
#
# ### Multi-crop
#
# The teacher sees two **global** crops, most of the image. The student sees these and several **local** ones, small
# windows of few pixels, which are cheap. What the teacher concludes from the whole, the student has to conclude from a
# part. With 2 global and $n$ local crops there are $2 (2 + n) - 2$ pairs.
#
# ### Two ways to be useless
#
# The cross-entropy splits into $H(p_t, p_s) = H(p_t) + \mathrm{KL}(p_t \,\Vert\, p_s)$. A student that knows nothing of
# the image makes the second term 0 as soon as the teacher says the same of every image. There are two extremes:
#
# | solution | entropy of one answer, $\overline{H(p_t)}$ | entropy of the mean answer, $H(\overline{p_t})$ |
# | --- | --- | --- |
# | **uniform**: every prototype equally likely, for every image | $\ln K$ | $\ln K$ |
# | **one-hot**: the same prototype for every image | $0$ | $0$ |
# | useful: sure of each image, all prototypes in use | small | near $\ln K$ |
#
# The difference of the two columns, $H(\overline{p}) - \overline{H(p)} = I(\text{image}; \text{prototype})$, is the
# mutual information between images and answers: 0 in *every* solution in which all images get the same answer,
# whatever that answer is. The loss cannot tell: a one-hot collapse makes it 0, which looks like success.

# %% [markdown]
# ### Centring and sharpening
#
# **Centring** subtracts a running mean of the teacher's outputs over images,
# $c \leftarrow m_c\, c + (1 - m_c)\, \overline{g_t}$, so that no prototype can be ahead for *all* images. It forbids the
# one-hot collapse. But if all outputs are equal, what is left is 0: the uniform answer. Centring alone pushes there.
#
# **Sharpening** divides the teacher's outputs by a temperature smaller than the student's, $\tau_t < \tau_s$. The
# teacher is then surer than the student, who follows, and becomes surer. It forbids the uniform collapse. Alone, it
# makes the prototype that is ahead win everything: one-hot.
#
# Together they hold each other in balance, and only just. Watch the entropies, not the loss.
#
# ### The head
#
# Three linear layers with GELU, then length 1 (the bottleneck), then a linear layer whose rows have length 1 and no
# bias: each output is a cosine between the image's embedding and a prototype, at most 1 in size. So no prototype can win
# by being longer, and the temperatures mean the same thing through all of training. The rows are kept at length 1 by
# **weight normalisation**: $w = g\, v / \lVert v \rVert$ with $v$ trained and $g = 1$ fixed (Salimans & Kingma 2016).
#
# ### Schedules
#
# The learning rate rises, then falls like a cosine. The teacher's momentum rises to 1: at first it must follow, since
# the first teacher knows nothing; at the end it is an average over many students and hardly moves.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### 7.1 Multi-crop  ·  given
#
# Two global views, then the local ones, each image with random numbers of its own. Nothing here is a property of DINO
# alone, except that sizes differ: a vision transformer takes small images as well, since its position embeddings are
# interpolated to fewer patches (week 6). Crops show real detail: one that would be larger than the image is refused.


# %% tags=["exercise", "points:0"]
def multi_crop(
    images: torch.Tensor,
    n_local: int,
    global_size: int = 32,
    local_size: int = 16,
    generator: torch.Generator | None = None,
) -> list[torch.Tensor]:
    """Two global views of every image, then n_local local ones (Caron et al. 2020, 2021).

    images: (N, C, H, W), uint8 or float in [0, 1].
    Returns a list of 2 + n_local float tensors, (N, C, global_size, global_size) first. Raises ValueError for crops
    larger than the image.
    """
    smallest = min(images.shape[2:])
    for kind, size in (("global", global_size), ("local", local_size)):
        if size > smallest:
            raise ValueError(f"A {kind} crop of {size} pixels is larger than the image of {smallest}: take at most that.")
    crops = []
    for size, share, count in ((global_size, (0.6, 1.0), 2), (local_size, (0.2, 0.4), n_local)):
        views = augment.simclr(size, crop=share, jitter=0.8, grey=0.8)     # share: of the image's area
        crops += [views(images, generator) for _ in range(count)]
    return crops


# %% tags=["check"]
multi_crop = check.multi_crop(multi_crop)

# %% [markdown]
# ### 7.2 The head  ·  difficulty 2 of 3  ·  about 25 minutes
#
# `in_dim` to `hidden_dim` to `hidden_dim` to `bottleneck_dim`, GELU between the three layers (not after the last), then
# length 1, then the last layer with `out_dim` rows of length 1 and no bias.
#
# The rows must *stay* at length 1 while their direction is trained. Two ways: `F.normalize` of a parameter in
# `forward`, or `torch.nn.utils.parametrizations.weight_norm`, whose norms are the parameter
# `parametrizations.weight.original0`. The teacher will be a deep copy, so the older `torch.nn.utils.weight_norm` does
# not serve.
#
# <details><summary>Hint 1</summary>How many parameters are trained? Three layers with biases, and
# <code>bottleneck_dim x out_dim</code>.</details>
# <details><summary>Hint 2</summary>"Length 1" is a division by the norm of each row: <code>F.normalize(x, dim=1)</code>,
# for the embeddings, and for the rows of the last layer.</details>
# <details><summary>Hint 3</summary><code>self.prototypes = nn.Parameter(torch.randn(out_dim, bottleneck_dim))</code>, and
# in forward <code>F.linear(x, F.normalize(self.prototypes, dim=1))</code>.</details>


# %% tags=["exercise", "points:2"]
class DINOHead(nn.Module):
    """Features to similarities with prototypes (Caron et al. 2021, appendix C).

    in_dim, out_dim: widths of the input and the number of prototypes K. forward: (N, in_dim) to (N, out_dim), each
    value a cosine in [-1, 1].
    """

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int = 256, bottleneck_dim: int = 64):
        ### BEGIN SOLUTION
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(in_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        self.prototypes = nn.Parameter(torch.randn(out_dim, bottleneck_dim))    # directions: lengths play no part
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ### BEGIN SOLUTION
        x = F.normalize(self.mlp(x), dim=1)                                     # (N, bottleneck)
        return F.linear(x, F.normalize(self.prototypes, dim=1))                 # (N, K), cosines
        ### END SOLUTION


# %% tags=["check"]
DINOHead = check.DINOHead(DINOHead)

# %% [markdown]
# ### 7.3 The loss and its centre  ·  difficulty 3 of 3  ·  about 30 minutes
#
# View $i$ of both lists is the same crop; the teacher's list is shorter. Compare every view of the teacher with every
# *other* view of the student, and average over pairs and images. Use the centre **as it is**, then update it with the
# mean over all rows of all the teacher's views, in every call.
#
# <details><summary>Hint 1</summary>Two loops over <code>enumerate</code>, one over the teacher's views and one over the
# student's, and <code>if i != j</code>.</details>
# <details><summary>Hint 2</summary><code>softmax</code> for the teacher, detached and centred;
# <code>log_softmax</code> for the student, which is not centred.</details>
# <details><summary>Hint 3</summary><code>self.register_buffer("center", torch.zeros(out_dim))</code>; in place at the
# end: <code>self.center.mul_(m).add_(mean, alpha=1 - m)</code>.</details>


# %% tags=["exercise", "points:3"]
class DINOLoss(nn.Module):
    """Cross-entropy between the teacher's answer to one crop and the student's to another (Caron et al. 2021, eq. 3).

    center: buffer of out_dim zeros, a running mean of the teacher's outputs.
    """

    def __init__(
        self, out_dim: int, teacher_temp: float = 0.04, student_temp: float = 0.1, center_momentum: float = 0.9
    ):
        ### BEGIN SOLUTION
        super().__init__()
        self.teacher_temp, self.student_temp, self.center_momentum = teacher_temp, student_temp, center_momentum
        self.register_buffer("center", torch.zeros(out_dim))
        ### END SOLUTION

    def forward(self, student_views: list[torch.Tensor], teacher_views: list[torch.Tensor]) -> torch.Tensor:
        """The loss, a scalar in nats; then the centre moves.

        student_views, teacher_views: lists of (N, K), view i of both being the same crop. No gradient reaches the
        teacher. Raises ValueError where no pair of different views is left.
        """
        ### BEGIN SOLUTION
        targets = [((view.detach() - self.center) / self.teacher_temp).softmax(dim=1) for view in teacher_views]
        answers = [(view / self.student_temp).log_softmax(dim=1) for view in student_views]
        pairs = [-(t * s).sum(dim=1).mean() for i, t in enumerate(targets) for j, s in enumerate(answers) if i != j]
        if not pairs:
            raise ValueError("There is one view only, and no other to compare it with: give the student at least two.")

        mean = torch.cat(list(teacher_views)).detach().mean(dim=0)                          # over views and images
        self.center.mul_(self.center_momentum).add_(mean.to(self.center), alpha=1 - self.center_momentum)
        return torch.stack(pairs).mean()
        ### END SOLUTION


# %% tags=["check"]
DINOLoss = check.DINOLoss(DINOLoss)

# %% [markdown]
# ### 7.4 Is it collapsing, and how?  ·  difficulty 1 of 3  ·  about 10 minutes
#
# The two entropies of the table above, over a batch of the teacher's answers. A probability that is exactly 0 counts 0.
#
# <details><summary>Hint 1</summary>The entropy of a row is minus the sum of p log p over the prototypes. Of which rows is
# the first number a mean, and of which one row is the second?</details>
# <details><summary>Hint 2</summary><code>torch.special.entr(p)</code> is -p log p, with 0 at p = 0.</details>


# %% tags=["exercise", "points:2"]
def collapse_report(teacher_probs: torch.Tensor) -> tuple[float, float]:
    """(mean entropy of the answers, entropy of the mean answer), in nats.

    teacher_probs: (N, K), rows sum to 1. Both ln K: collapsed to uniform. Both 0: collapsed to one prototype.
    """
    ### BEGIN SOLUTION
    each = torch.special.entr(teacher_probs).sum(dim=1).mean()
    together = torch.special.entr(teacher_probs.mean(dim=0)).sum()
    return each.item(), together.item()
    ### END SOLUTION


# %% tags=["check"]
collapse_report = check.collapse_report(collapse_report)

# %% [markdown]
# ### 7.5 Nearest neighbours as a classifier  ·  difficulty 2 of 3  ·  about 15 minutes
#
# The measure of the DINO paper. It trains nothing, so it tells what is in the features as they are. Each test image asks
# its $k$ nearest training images, by cosine similarity $s$; each votes for its own class with weight
# $\exp(s / \tau)$.
#
# <details><summary>Hint 1</summary>Lengths must not count: <code>F.normalize</code> both, then one matrix product
# (M, N).</details>
# <details><summary>Hint 2</summary><code>topk(k, dim=1)</code> gives similarities and places; places give labels
# (M, k).</details>
# <details><summary>Hint 3</summary><code>F.one_hot(labels)</code> (M, k, C) times the weights <code>[:, :, None]</code>,
# summed over the neighbours, gives the votes; argmax decides.</details>


# %% tags=["exercise", "points:2"]
def knn_accuracy(
    train_x: torch.Tensor,
    train_y: torch.Tensor,
    test_x: torch.Tensor,
    test_y: torch.Tensor,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Share of test images whose k nearest training images vote for their class (Wu et al. 2018, section 3.4).

    train_x: (N, D), train_y: (N,), test_x: (M, D), test_y: (M,). Weight of a neighbour of cosine similarity s:
    exp(s / temperature).
    """
    ### BEGIN SOLUTION
    similarity = F.normalize(test_x, dim=1) @ F.normalize(train_x, dim=1).T     # (M, N)
    scores, places = similarity.topk(k, dim=1)                                  # (M, k)
    weights = ((scores - 1) / temperature).exp()                                # no more than 1: nothing overflows
    votes = (F.one_hot(train_y[places]) * weights[:, :, None]).sum(dim=1)       # (M, C)
    return (votes.argmax(dim=1) == test_y).float().mean().item()
    ### END SOLUTION


# %% tags=["check"]
knn_accuracy = check.knn_accuracy(knn_accuracy)

# %% [markdown]
# ### 7.6 Schedules  ·  given
#
# A number for every step: it rises in a straight line, then falls (or rises) like half a cosine.


# %% tags=["exercise", "points:0"]
def cosine_schedule(start: float, end: float, steps: int, warmup: int = 0) -> torch.Tensor:
    """(steps,): step i < warmup is start * i / warmup, then half a cosine from start; the last value is end."""
    rising = start * torch.arange(warmup, dtype=torch.float64) / max(warmup, 1)
    falling = steps - warmup
    share = torch.linspace(0, 1, falling, dtype=torch.float64) if falling > 1 else torch.ones(falling).double()
    return torch.cat([rising, end + (start - end) * (1 + torch.cos(math.pi * share)) / 2])


# %% tags=["check"]
cosine_schedule = check.cosine_schedule(cosine_schedule)

# %% [markdown]
# ### 7.7 BYOL's loss  ·  optional  ·  difficulty 1 of 3  ·  about 10 minutes
#
# BYOL (Grill et al. 2020) came first: a teacher by moving average, no negatives, and neither centre nor prototypes. A
# small *predictor* on the student's side alone maps its projection to the teacher's, and the loss is the squared
# distance of the two at length 1:
#
# $$\Big\lVert \frac{q}{\lVert q \rVert} - \frac{z}{\lVert z \rVert} \Big\rVert^2 = 2 - 2 \cos(q, z).$$
#
# <details><summary>Hint</summary><code>F.cosine_similarity(q, z.detach(), dim=1)</code>, then the mean over the
# batch.</details>


# %% tags=["exercise", "points:0"]
def byol_loss(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared distance between directions (Grill et al. 2020, eq. 2).

    predictions: (N, D), the student's; targets: (N, D), the teacher's view of the same images; not normalised.
    Returns a scalar: the mean over N, from 0 to 4. No gradient reaches the targets.
    """
    ### BEGIN SOLUTION
    return (2 - 2 * F.cosine_similarity(predictions, targets.detach(), dim=1)).mean()
    ### END SOLUTION


# %% tags=["check"]
byol_loss = check.byol_loss(byol_loss)

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
# # Week 4 · SimCLR: learning by comparing two views
#
# Take an image, change it at random twice, and ask a network to recognise that the two pictures show the same thing, in
# a crowd of others. Nobody says *what* they show. This one question is enough to learn features in which classes lie
# apart, far beyond what pixels or an untrained network offer. This week you write all of it: the two views, the loss,
# the training step, and the two numbers that explain what the loss does to the geometry of features.
#
# **You will be able to**
#
# 1. write SimCLR's loss (NT-Xent) and derive why it is a classification, what it bounds and what it cannot tell;
# 2. train an encoder without labels and judge it honestly: probe, nearest neighbours, intervals, baselines;
# 3. predict what a change of augmentations, temperature or batch size does to the features, and check the prediction;
# 4. explain why the head is thrown away, and recognise collapse.
#
# **You need** linear probing (week 1), pretext tasks (week 2), PyTorch modules, softmax and cross-entropy. Notation:
# $h = f(x)$ are features of the encoder $f$, $z = g(h)$ projections of the head $g$, $\tau$ the temperature, *view 0*
# and *view 1* the two views.
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
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board, recorded
from sslcourse.check import week04 as check
from sslcourse.plot.schematics.two_views_to_loss import two_views_to_loss

# %%
scale = sslcourse.begin(week=4)

# %% [markdown] tags=["before"]
# ## Theory
#
# ### Comparing instead of reconstructing
#
# An autoencoder has to keep everything that makes up the pixels; a pretext task such as rotation keeps what that task
# happens to need. Contrastive learning says directly what features should ignore: two *views* of one image, made by
# random augmentations, should get the same code, and different images different codes (Hadsell et al. 2006; Wu et al.
# 2018). SimCLR (Chen et al. 2020) is the plainest working form:
#
# $$x \;\xrightarrow{\text{augment twice}}\; v_0, v_1 \;\xrightarrow{\ f\ }\; h_0, h_1 \;\xrightarrow{\ g\ }\; z_0, z_1
# \;\longrightarrow\; \text{loss}$$
#
# A batch of $N$ images gives $2N$ projections. Each has one **positive** (the other view of its image) and $2N-2$
# **negatives**.

# %%
plot.show(
    two_views_to_loss(),
    alt="An image, two random views of it, the features and the projection of each, and the loss that compares them.",
)

# %% [markdown] tags=["before"]
# ### InfoNCE is a classification among candidates
#
# Give an anchor $x$ and $K$ candidates $y_1, \dots, y_K$, of which one, at the unknown place $J$, belongs to $x$. Score
# every pair with a function $s(x, y)$ and let a softmax choose; the cross-entropy of the right choice is the InfoNCE
# loss (van den Oord et al. 2018)
#
# $$L_K = \mathbb{E}\left[-\log \frac{e^{s(x, y_J)}}{\sum_{k=1}^{K} e^{s(x, y_k)}}\right].$$
#
# Scores that are all equal give exactly $\ln K$, the level of guessing. SimCLR scores with the cosine,
# $s = \cos(z, z') / \tau$, and has $K = 2N - 1$ candidates: everybody but oneself.

# %% [markdown] tags=["before"]
# ### What the loss bounds
#
# Let $(x, y_J)$ be drawn from $p(x, y)$, the $K - 1$ other candidates independently from $p(y)$, and $J$ uniformly.
# Write $Y$ for all candidates.
#
# 1. Any softmax is some guess of the posterior of $J$, and cross-entropy is smallest for the true one (Gibbs), so
#    $L_K \ge H(J \mid x, Y) = \ln K - I(J; x, Y)$.
# 2. The place is hidden twice over: $Y$ alone is $K$ independent draws from $p(y)$, wherever the positive stands, so
#    $I(J; Y) = 0$; and $x$ alone says nothing of the place, $I(x; J) = 0$. The chain rule then gives
#    $I(J; x, Y) = I(J; Y) + I(J; x \mid Y) = I(J; x \mid Y) \le I(x; J, Y) = I(x; J) + I(x; Y \mid J) = I(x; y_J)$; the
#    last step, because the negatives are independent of $x$ and of $y_J$.
#
# Together: $\boxed{I(x; y) \ge \ln K - L_K}$. Lowering the loss raises a lower bound on the mutual information of the
# two views. Two remarks keep this honest:
#
# - **A ceiling.** Since $L_K \ge 0$, the bound can never exceed $\ln K$, however much information is shared: with 512
#   candidates it cannot report more than 6.2 nats. That is one reason for large batches, and McAllester & Stratos
#   (2020) show that such a limit is not an accident.
# - **SimCLR's candidates are not independent.** Its $2N - 2$ negatives come in pairs, two views of the same image.
#   Leave out one view of each negative and only non-negative terms vanish from the denominator, so $L_N \le L_{2N-1}$
#   and $I \ge \ln N - L_N \ge \ln N - L_{2N-1}$: this much is guaranteed. The popular $\ln(2N-1) - L_{2N-1}$ is larger
#   by up to $\ln 2$, and it is an *estimate*, not a bound (exercise 4.7 has a counterexample).
#
# Nor is more information the reason why SimCLR works: encoders that keep *all* of it can have poor features, and a
# looser bound can give better ones (Tschannen et al. 2020). What matters is which information, and in what geometry.
#
# ### Alignment and uniformity
#
# On the unit sphere $\lVert z - z' \rVert^2 = 2 - 2 z \cdot z'$. Split the loss of one anchor into its numerator and
# denominator:
#
# $$\ell = -\frac{z \cdot z^+}{\tau} + \log \sum_{j} e^{z \cdot z_j / \tau}.$$
#
# The first term is smallest when positives coincide: **alignment**, $\mathbb{E}\lVert z - z^+ \rVert^2$. The second
# pushes all points apart; for many negatives, less $\log K$, it tends to
# $\mathbb{E}_z \log \mathbb{E}_{z'} e^{z \cdot z' / \tau}$ (Wang & Isola 2020, theorem 1), and it is smallest for
# points spread evenly over the sphere: **uniformity**, measured as $\log \mathbb{E}\, e^{-t \lVert z - z' \rVert^2}$
# (classes of very different size suit it badly: Assran et al. 2023).
# By the identity above $t$ corresponds to $1 / (2\tau)$. Neither is enough: a constant is perfectly aligned, random
# points are perfectly uniform. The loss trades the two, and you will watch both.
#
# ### Temperature
#
# The gradient of $\ell$ with respect to the similarity of the negative $j$ is $p_j / \tau$ with
# $p_j \propto e^{z \cdot z_j / \tau}$. At a small $\tau$ nearly all of it falls on the most similar negatives: the loss
# separates near neighbours, also those of the same class. At a large $\tau$ all negatives are pushed alike and fine
# distinctions are left alone (Wang & Liu 2021). Somewhere between lies the best value; a recorded sweep further down looks for it.

# %% [markdown] tags=["before"]
# ### Augmentations decide what is ignored
#
# The loss rewards what two views of an image share and other images lack, and punishes nothing else. So whatever the
# augmentations change becomes useless for the task, and whatever they leave alone may be used: if two views always have
# the same colours, a colour histogram alone finds the positive. The network takes such a shortcut when it is offered.
# Good augmentations destroy the nuisances and keep the content (Tian et al. 2020; von Kügelgen et al. 2021); which is
# which depends on what the features are *for* (Xiao et al. 2021). The scenes of scale `tiny` are made to show this:
# shape is the class, and colour, position, size, texture, background, light and mist are drawn independently of it.
#
# ### Why the head is thrown away
#
# The loss asks $z$ to forget everything that the augmentations change, even where it would be useful later. With a
# small head $g$ between, this forgetting can happen in the head, and $h$ one layer below keeps more: Chen et al. (2020,
# table 3) can tell the rotation of an image from $h$ but not from $g(h)$. Contrastive losses also leave many directions
# of $z$ unused (dimensional collapse), and the head takes the brunt of it (Jing et al. 2022). So train with the head,
# use without.

# %% [markdown]
# ## Data

# %%
# NBVAL_CHECK_OUTPUT
name = scale.pick(tiny="scenes", small="cifar10", full="cifar10")
train_set = data.load_images(name, "train", n=scale.pick(dry=200, tiny=3000, small=10000, full=None), seed=scale.seed)
val_set = data.load_images(name, "val", n=scale.pick(dry=100, tiny=1000, small=2000, full=None), seed=scale.seed)
test_set = data.load_images(name, "test", n=scale.pick(dry=100, tiny=2000, small=5000, full=None), seed=scale.seed)
classes = len(train_set.class_names)
print(f"{len(train_set)} training, {len(val_set)} validation, {len(test_set)} test images of {classes} classes")

# %% [markdown]
# Training never sees a label. The labels of the training split are used by the probe and the nearest neighbours
# afterwards, the validation split for curves and comparisons, the test split once, at the end.
#
# The augmentations come as one object, called on a batch of images in [0, 1]. It draws random numbers for every image
# separately, and anew at each call. The kinds are SimCLR's: cropping with resizing, flipping, colour jitter and
# greyscale, without its blur, which is left out at 32 pixels. The *strengths* at `tiny` are not SimCLR's: crops are far
# gentler (a scene has one object, and many of the paper's crops would cut most of it off), and four views of five are
# grey, since colour and tint are the shortcut that the scenes offer. Strengths belong to a data set. `make_views` can
# leave kinds out, for the comparison further down.

# %%
smallest_crop = scale.pick(tiny=0.6, small=0.2, full=0.2)      # share of the area
strength = scale.pick(tiny=0.4, small=0.5, full=0.5)           # of the colour jitter, s in the paper
shades = 0.8 * strength
parts = {
    "cropping": augment.RandomResizedCrop(32, scale=(smallest_crop, 1.0)),
    "flipping": augment.RandomFlip(),
    "colour jitter": augment.ColourJitter(shades, shades, shades, 0.2 * strength),
    "greyscale": augment.RandomGreyscale(scale.pick(tiny=0.8, small=0.2, full=0.2)),
}


def make_views(*removed: str) -> augment.Compose:
    """SimCLR's augmentations except those removed, one after another (Chen et al. 2020, appendix A)."""
    return augment.Compose(*(part for kind, part in parts.items() if kind not in removed))


views = make_views()
image = data.as_float(val_set.images[:1]).expand(8, -1, -1, -1)
plot.show(
    plot.panels(
        {"original": image, **{kind: part(image) for kind, part in parts.items()}, "all together": views(image)},
        title="One image, eight draws of each augmentation",
    ),
    alt="Rows of eight pictures of one image: unchanged, cropped, flipped, jittered, partly grey, all together.",
)

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### 4.1 Two views  ·  difficulty 1 of 3  ·  about 10 minutes
#
# Make the two views of every image in a batch. `augment` is an object like `views` above. Row n of both views must come
# from image n, and the two must be independent: two draws of the random numbers, each of them different for every
# image.
#
# <details><summary>Hint 1</summary>A call of <code>augment</code> draws once per image; how many draws does one need?</details>
# <details><summary>Hint 2</summary>Call it twice on the whole batch, and do not copy the result of one call.</details>


# %% tags=["exercise", "points:1"]
def two_views(images: torch.Tensor, augment) -> tuple[torch.Tensor, torch.Tensor]:
    """Two independently augmented versions of every image (Chen et al. 2020, section 2.1).

    images: (N, C, H, W) floats in [0, 1]. augment: callable on such a batch; draws anew at each call, per image.
    Returns (view0, view1), each (N, C, H, W); row n of both comes from image n.
    """
    ### BEGIN SOLUTION
    return augment(images), augment(images)
    ### END SOLUTION


# %% tags=["check"]
two_views = check.two_views(two_views)

# %%
some = data.as_float(val_set.images[:10])
view0, view1 = two_views(some, views)
plot.show(
    plot.panels({"image": some, "view 0": view0, "view 1": view1}, title="What the network compares"),
    alt="Three rows of ten pictures: images, and below each its two augmented views, cropped and coloured differently.",
)

# %% [markdown]
# Look at a few columns and say what a person still recognises in both views. That is what the network can use; nothing
# else is left.

# %% [markdown]
# ### 4.2 The loss  ·  difficulty 2 of 3  ·  about 25 minutes
#
# Each of the 2N embeddings is asked one question: *which of the other 2N-1 is the other view of my image?* The answer
# is a softmax over cosine similarities, and the loss is its cross-entropy:
#
# $$\ell_i = -\log \frac{\exp(z_i \cdot z_{p(i)} / \tau)}{\sum_{j \ne i} \exp(z_i \cdot z_j / \tau)}, \qquad \lVert z \rVert = 1$$
#
# Write it for two batches of embeddings, row n of both being views of the same image; $p(i)$ is the place of the other
# view. Average over all 2N.
#
# <details><summary>Hint 1</summary>Stack the two batches and compute one matrix of similarities, (2N, 2N).</details>
# <details><summary>Hint 2</summary>Who must never be a candidate? Set those entries to minus infinity.</details>
# <details><summary>Hint 3</summary>The answer of row i is column (i + N) mod 2N; <code>F.cross_entropy</code> does the rest.</details>


# %% tags=["exercise", "points:3"]
def nt_xent(z0: torch.Tensor, z1: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    """Normalised temperature-scaled cross-entropy of two views (Chen et al. 2020, eq. 1).

    z0, z1: (N, D) embeddings, not normalised; row n of both comes from image n.
    Returns a scalar: the mean over all 2N embeddings, in nats.
    """
    ### BEGIN SOLUTION
    z = F.normalize(torch.cat([z0, z1]), dim=1)               # (2N, D)
    similarity = z @ z.T / temperature                        # (2N, 2N)
    similarity = similarity.fill_diagonal_(float("-inf"))     # nobody is its own candidate
    positive = torch.arange(len(z), device=z.device).roll(len(z0))
    return F.cross_entropy(similarity, positive)
    ### END SOLUTION


# %% tags=["check"]
nt_xent = check.nt_xent(nt_xent)

# %% [markdown]
# ### 4.3 The head  ·  given
#
# A perceptron with one hidden layer. It is only there for the loss; the features that we keep are its *input*.


# %% tags=["exercise", "points:0"]
def projection_head(in_dim: int, hidden_dim: int, out_dim: int) -> nn.Module:
    """From features h (N, in_dim) to projections z (N, out_dim) by one hidden layer (Chen et al. 2020, section 2.1)."""
    return nn.Sequential(
        nn.Linear(in_dim, hidden_dim, bias=False),            # batch norm brings its own
        nn.BatchNorm1d(hidden_dim),                           # as in the authors' code
        nn.ReLU(inplace=True),
        nn.Linear(hidden_dim, out_dim),
    )


# %% tags=["check"]
projection_head = check.projection_head(projection_head)

# %% [markdown]
# ### 4.4 One training step  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Put the parts together: views, features, projections, loss. Use *your* `two_views` and `nt_xent`, with view 0 first.
# Return the loss with its graph; `train.fit` calls `backward` and the optimiser, and it also shuffles, warms up and
# stops cleanly when interrupted.
#
# <details><summary>Hint 1</summary>Views, then <code>backbone</code> and <code>head</code> on each, then the loss.</details>
# <details><summary>Hint 2</summary>Both views may pass in one batch (concatenate, then split) or one after the other.</details>
# <details><summary>Hint 3</summary>Does the temperature reach the loss? No <code>detach</code>, <code>no_grad</code> or <code>item</code>.</details>
#
# (The solution has one line more, `train.gather`: where several processes share a batch, it hands each of them the
# projections of all, with their gradients, so that the loss has all negatives. On one process it does nothing.)


# %% tags=["exercise", "points:2"]
def train_step(backbone: nn.Module, head: nn.Module, images: torch.Tensor, augment, temperature: float) -> torch.Tensor:
    """The SimCLR loss of one batch, with its graph (Chen et al. 2020, algorithm 1).

    images: (N, C, H, W) floats in [0, 1]; backbone maps them to (N, D), head maps (N, D) to (N, P).
    Returns a scalar. Does no backward pass and no optimiser step.
    """
    ### BEGIN SOLUTION
    view0, view1 = two_views(images, augment)
    h = backbone(torch.cat([view0, view1]))                   # (2N, D), one pass: both views share batch statistics
    z0, z1 = head(h).chunk(2)                                 # (N, P) each
    z0, z1 = train.gather(z0), train.gather(z1)               # of all processes; on one process they stay as they are
    return nt_xent(z0, z1, temperature)
    ### END SOLUTION


# %% tags=["check"]
train_step = check.train_step(train_step)

# %% [markdown]
# ### 4.5 Alignment  ·  difficulty 1 of 3  ·  about 10 minutes
#
# The mean squared distance between the two views of an image on the unit sphere. 0 when they coincide, 2 on average for
# two random directions.
#
# <details><summary>Hint 1</summary>Normalise the rows of both first.</details>
# <details><summary>Hint 2</summary>Sum squares over dimensions, mean over images; <code>F.mse_loss</code> divides by D, too.</details>


# %% tags=["exercise", "points:1"]
def alignment(z0: torch.Tensor, z1: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of positive pairs on the unit sphere (Wang and Isola 2020, alpha = 2).

    z0, z1: (N, D) embeddings, not normalised; row n of both comes from image n.
    Returns a scalar in [0, 4]; lower is more aligned.
    """
    ### BEGIN SOLUTION
    difference = F.normalize(z0, dim=1) - F.normalize(z1, dim=1)    # (N, D)
    return difference.square().sum(dim=1).mean()
    ### END SOLUTION


# %% tags=["check"]
alignment = check.alignment(alignment)

# %% [markdown]
# ### 4.6 Uniformity  ·  difficulty 2 of 3  ·  about 15 minutes
#
# How evenly points lie on the sphere: the logarithm of the mean of $e^{-t \lVert z_i - z_j \rVert^2}$ over all pairs
# $i < j$. It is 0 when all points coincide; evenly spread points in many dimensions have nearly all distances at
# $\sqrt 2$ and so come close to $-2t$.
#
# <details><summary>Hint 1</summary>Every pair once, never a point with itself: a distance of 0 adds a full 1.</details>
# <details><summary>Hint 2</summary><code>torch.pdist</code> gives the distances of all pairs i &lt; j.</details>
# <details><summary>Hint 3</summary>Square, times -t, exponential, mean, logarithm, in this order.</details>


# %% tags=["exercise", "points:2"]
def uniformity(z: torch.Tensor, t: float = 2.0) -> torch.Tensor:
    """Log of the mean Gaussian potential over all pairs i < j on the unit sphere (Wang and Isola 2020, eq. 5).

    z: (N, D) embeddings, not normalised, N at least 2. Returns a scalar, at most 0; lower is more uniform.
    """
    ### BEGIN SOLUTION
    z = F.normalize(z, dim=1)
    return torch.pdist(z).square().mul(-t).exp().mean().log()       # pdist: each pair once
    ### END SOLUTION


# %% tags=["check"]
uniformity = check.uniformity(uniformity)

# %% [markdown]
# ### 4.7 A lower bound on the information  ·  optional  ·  difficulty 1 of 3  ·  about 5 minutes
#
# Turn a loss into the bound derived above, in nats. With $n$ candidates of which the negatives are independent it is a
# bound on the mutual information of the two views; with SimCLR's $2N - 1$ it is an estimate, and only the value for $N$
# is guaranteed.
#
# <details><summary>Hint</summary>It is the level of guessing minus the loss.</details>


# %% tags=["exercise", "points:0"]
def mi_lower_bound(loss: float, n_candidates: int) -> float:
    """InfoNCE's lower bound on the mutual information (van den Oord et al. 2018, section 2.3).

    loss: of n_candidates candidates, one of them the positive, in nats. Returns nats.
    """
    ### BEGIN SOLUTION
    return math.log(n_candidates) - loss
    ### END SOLUTION


# %% tags=["check"]
mi_lower_bound = check.mi_lower_bound(mi_lower_bound)

# %% [markdown]
# **The counterexample.** Let there be two equally likely images, A and B, and let a view show exactly which one it is:
# the views share $\ln 2$ nats. Score "same" with $s = 0$ and "different" with $s = -\infty$. If $B$ of the $N - 1$
# negative images happen to equal the anchor's, the loss is $\ln(1 + 2B)$ in SimCLR's form (both views of each) and
# $\ln(1 + B)$ with one view each, where $B$ is binomial.


# %%
def expected_loss(n: int, copies: int) -> float:
    """Mean of ln(1 + copies * B) over B ~ Binomial(n - 1, 1/2)."""
    return sum(math.comb(n - 1, b) / 2 ** (n - 1) * math.log(1 + copies * b) for b in range(n))


print(f"true information             {math.log(2):.5f} nats")
for n in (2, 6, 20):
    independent, simclr = mi_lower_bound(expected_loss(n, 1), n), mi_lower_bound(expected_loss(n, 2), 2 * n - 1)
    print(f"N = {n:2}: bound with N candidates {independent:.5f}, estimate with 2N - 1 candidates {simclr:.5f}")

# %% [markdown]
# ## Training
#
# All settings are here. The encoder is a network of four convolutions at `tiny` and `small`; at `full` it is the
# ResNet-18 of the literature with the stem for small images.

# %%
architecture = scale.pick(tiny="conv4", small="conv4", full="resnet18")
epochs = scale.pick(dry=1, tiny=24, small=40, full=200)
batch_size = scale.pick(dry=64, tiny=128, small=256, full=512)
learning_rate = scale.pick(tiny=3e-3, small=4e-3, full=1e-3)
temperature = scale.pick(tiny=0.1, small=0.2, full=0.2)


def build(seed: int) -> tuple[nn.Module, nn.Module]:
    """An untrained backbone and head, the same ones for the same seed."""
    torch.manual_seed(seed)
    backbone = models.backbone(architecture)
    head = projection_head(backbone.num_features, 256, 128)
    return backbone.to(scale.device), head.to(scale.device)


def pretrain(
    images,
    seed=scale.seed,
    *,
    views=views,
    temperature=temperature,
    batch_size=batch_size,
    epochs=epochs,
    lr=learning_rate,
    max_steps=scale.max_steps,
    start=build,
    step=train_step,
    watch=None,
):
    """SimCLR on images alone, from the networks that start(seed) makes. Returns (backbone, head, history)."""
    backbone, head = start(seed)
    history = train.fit(
        lambda batch: step(backbone, head, data.as_float(batch), views, temperature),
        [backbone, head],
        images,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=1e-4,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=max_steps,
        on_epoch=watch and (lambda epoch: watch(backbone, head)),
        label="SimCLR",
    )
    return backbone, head, history


# %% [markdown]
# After every epoch we look at more than the loss, all on validation images: alignment and uniformity of the
# projections, computed with your functions, and of the features the rank and the accuracy of nearest neighbours, which
# needs no training. The random encoder, with the very weights that training starts from, is kept as the baseline.

# %%
bank = train_set.subset(scale.pick(dry=100, tiny=600, small=2000, full=5000), seed=scale.seed)
watched = val_set.subset(scale.pick(dry=50, tiny=300, small=500, full=1000), seed=scale.seed)
watched_views = two_views(data.as_float(watched.images), views)


def watch(backbone: nn.Module, head: nn.Module) -> dict[str, float]:
    """Numbers to log: kNN accuracy and rank of the features, alignment and uniformity of the projections."""
    bank_h, watched_h = (evaluate.extract_features(backbone, part.images) for part in (bank, watched))
    z0, z1 = (evaluate.extract_features(nn.Sequential(backbone, head), view) for view in watched_views)
    return {
        "knn": evaluate.knn_accuracy(bank_h, bank.labels, watched_h, watched.labels),
        "alignment": float(alignment(z0, z1)),
        "uniformity": float(uniformity(z0)),
        "rankme": evaluate.rankme(watched_h),
    }


random_backbone, random_head = build(scale.seed)
start = watch(random_backbone, random_head)
backbone, head, history = pretrain(train_set.images, watch=watch)
guessing = math.log(2 * batch_size - 1)
print(
    f"loss {history.loss[0]:.2f} in the first epoch, {history.loss[-1]:.2f} in the last; guessing costs {guessing:.2f}"
)

# %%
plot.show(
    plot.curves(
        {"NT-Xent": history.loss},
        levels={"ln(2N-1), guessing": guessing},
        xlabel="epoch",
        ylabel="loss in nats",
        title="The loss of this run, one seed, falls below guessing",
    ),
    alt="The training loss falls from near the dashed level of guessing, fast at first and then slowly.",
)

# %%
seen = range(len(history.loss) + 1)
logged = {key: [start[key], *history.metrics[key]] for key in start}
plot.show(
    plot.curves(
        {"kNN": logged["knn"]},
        x=seen,
        levels={"chance": 1 / classes},
        xlabel="epoch",
        ylabel="accuracy",
        title="Nearest neighbours on validation images, one seed",
    ),
    alt="Accuracy of nearest neighbours on validation images rises over the epochs from that of the random encoder.",
)
plot.show(
    plot.curves(
        {"alignment": logged["alignment"], "uniformity": logged["uniformity"]},
        x=seen,
        xlabel="epoch",
        ylabel="lower is better for both",
        title="Aligned and uniform: what the loss trades, one seed",
    ),
    alt="Alignment and uniformity over the epochs: uniformity falls at once, alignment rises at first and then falls.",
)

# %% [markdown]
# At epoch 0 the projections are perfectly aligned in a useless way: an untrained network sends everything to almost the
# same point. Uniformity falls first, and alignment pays for it; after that the loss improves both,
# slowly.
#
# ### What the loss can and cannot tell
#
# The level $\ln(2N-1)$ is worth knowing, but it does not tell an untrained from a collapsed network: equal similarities
# cost exactly this, and nearly equal ones nearly this. `rankme` does (Garrido et al. 2023): it counts, smoothly, in how
# many directions the features vary. At `tiny` it does not tell an untrained from a *trained* network, though. Random
# filters vary in many directions, too, in more or fewer from seed to seed: the pair of one run may lie apart, so compare
# the means of the recorded runs in the last line below.


# %%
def describe(z0, z1, h) -> str:
    loss, rank = float(nt_xent(z0, z1, temperature)), evaluate.rankme(h)
    aligned, spread = float(alignment(z0, z1)), float(uniformity(z0))
    return f"loss {loss:6.3f}   rankme {rank:5.1f}   alignment {aligned:5.3f}   uniformity {spread:6.3f}"


def projections(backbone, head):
    """Features of the first view and projections of both, on the watched validation images."""
    z0, z1 = (evaluate.extract_features(nn.Sequential(backbone, head), view) for view in watched_views)
    return z0, z1, evaluate.extract_features(backbone, watched_views[0])


constant = torch.ones(len(watched), 128)
print(f"guessing   loss {math.log(2 * len(watched) - 1):6.3f} with N = {len(watched)}")
print("collapsed ", describe(constant, constant, constant))
print("untrained ", describe(*projections(random_backbone, random_head)))
print("trained   ", describe(*projections(backbone, head)))
kept = (recorded.expected(scale.week).get(scale.name) or {}).get("metrics", {}).get("rankme")
if kept:
    ranks = f"untrained {kept['baseline']:.1f}, trained {kept['mean']:.1f}"
    print(f"rankme of images without augmentation, mean of the recorded runs: {ranks}")

# %% [markdown]
# The same network has another loss at every batch size, since more candidates make a harder question: losses of
# different batch sizes cannot be compared. What can be compared is the information they vouch for. What is guaranteed
# stays below its ceiling $\ln N$; the estimate, which is no bound, need not.

# %%
z0, z1, _ = projections(backbone, head)
sizes = [n for n in (4, 8, 16, 32, 64, 128, 256) if n <= len(z0)]
losses = []
for n in sizes:
    batches = list(zip(z0.split(n), z1.split(n)))[: len(z0) // n]
    losses.append(sum(float(nt_xent(a, b, temperature)) for a, b in batches) / len(batches))
plot.show(
    plot.curves(
        {
            "loss": losses,
            "estimate, ln(2N-1) - loss": [mi_lower_bound(loss, 2 * n - 1) for n, loss in zip(sizes, losses)],
            "guaranteed, ln N - loss": [mi_lower_bound(loss, n) for n, loss in zip(sizes, losses)],
            "ceiling, ln N": [math.log(n) for n in sizes],
        },
        x=sizes,
        log_x=True,
        xlabel="batch size N",
        ylabel="nats",
        title="One trained network, many batch sizes",
        known=["ceiling, ln N"],
    ),
    alt="Against batch size: the loss of one network rises; so does the information that it vouches for, under ln N.",
)

# %% [markdown]
# #### Question 1
#
# A friend reports a loss of 3.1 for her SimCLR, yours ends at 4.2, and she concludes that hers is better. (a) What do
# you have to ask before you can compare? (b) In another run your loss ends at exactly $\ln(2N-1)$. Which two
# explanations are there, and how do you tell them apart? (c) In the figure the guaranteed information first grows with
# $N$ and then flattens. What limits it on the left, and what on the right?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) The batch size, since the same network has a higher loss among more candidates, and the temperature, which scales
# the logits; then the augmentations, since easier views give a lower loss and may well give worse features. Only with
# all three equal do the losses compare, and even then it is a probe that judges features.
#
# (b) All similarities are equal: the network has collapsed to a constant, or it has learnt nothing yet. `rankme` of the
# features tells: 1 when they are constant, far more when untrained (and about as much when trained: a high rank is no
# sign of learning); so does the history, since an untrained network was never far below that level.
#
# (c) On the left the number of candidates: the ceiling $\ln N$ is close, whatever the features are. On the right the
# features and the views: the loss now grows nearly as fast as $\ln N$, because a fixed share of all candidates is
# confused with the positive, so that larger batches vouch for little more. Only better features would, or views that
# share more.
# ### END SOLUTION

# %% [markdown]
# ### Similarities before and after
#
# Forty validation images, four of each class where there are ten, sorted by class. Row: view 0. Column: view 1. The
# loss only ever asked for the diagonal.

# %%
order = torch.cat([(watched.labels == k).nonzero().flatten()[:4] for k in range(classes)])


def similarities(backbone, head):
    z0, z1, _ = projections(backbone, head)
    return F.normalize(z0[order], dim=1) @ F.normalize(z1[order], dim=1).T


plot.show(
    plot.heat_maps(
        {"before training": similarities(random_backbone, random_head), "after training": similarities(backbone, head)},
        label="cosine similarity",
        xlabel="view 1",
        ylabel="view 0",
    ),
    alt="Similarities between views, before: all nearly one; after: a bright diagonal and fainter blocks of one class.",
)

# %% [markdown]
# ## Are the features any good?
#
# From here on the encoder is frozen and the head is gone. Features are computed once. The probe is that of week 1:
# features standardised with training statistics, its penalty chosen on a part of the training split. The test split is
# used in this section and nowhere else. Beside SimCLR stand chance, raw pixels (averaged over 2 x 2, which makes the
# probe quick), the random encoder, and the same architecture trained with all labels. What a longer training reaches is
# shown by a network that ships with the course: at `tiny` one that MoCo, next week's relative of SimCLR, trained on
# 20,000 scenes, at `small` SimCLR with a wider encoder on all of CIFAR-10 (the table of shipped checkpoints has the
# recipes). It is no competitor, since it saw more images for longer.

# %%
train_h, val_h, test_h = (evaluate.extract_features(backbone, part.images) for part in (train_set, val_set, test_set))
random_h, random_test_h = (evaluate.extract_features(random_backbone, part.images) for part in (train_set, test_set))
pixels, test_pixels = (F.avg_pool2d(data.as_float(part.images), 2).flatten(1) for part in (train_set, test_set))

longer_name = scale.pick(tiny="moco_scenes_conv4", small="simclr_cifar10_wide", full="simclr_cifar10_wide")
longer_title = scale.pick(tiny="MoCo, longer", small="SimCLR, longer", full="SimCLR, smaller")
longer = models.load_pretrained(longer_name).to(scale.device)
longer_h, longer_test_h = (evaluate.extract_features(longer, part.images) for part in (train_set, test_set))

penalties = (0.001, 0.01, 0.1, 1.0)
probe = evaluate.linear_probe(train_h, train_set.labels, test_h, test_set.labels, Cs=penalties)
random_probe = evaluate.linear_probe(random_h, train_set.labels, random_test_h, test_set.labels, Cs=penalties)
longer_probe = evaluate.linear_probe(longer_h, train_set.labels, longer_test_h, test_set.labels, Cs=penalties)
pixel_probe = evaluate.linear_probe(pixels, train_set.labels, test_pixels, test_set.labels, Cs=(1e-4, 1e-3, 0.01))
knn = evaluate.knn_accuracy(train_h, train_set.labels, test_h, test_set.labels)
random_knn = evaluate.knn_accuracy(random_h, train_set.labels, random_test_h, test_set.labels)
longer_knn = evaluate.knn_accuracy(longer_h, train_set.labels, longer_test_h, test_set.labels)

# %%
supervised_epochs = scale.pick(dry=1, tiny=12, small=20, full=100)
torch.manual_seed(scale.seed)
supervised = models.backbone(architecture)
supervised = nn.Sequential(supervised, nn.Linear(supervised.num_features, classes)).to(scale.device)
gentle = augment.Compose(augment.RandomResizedCrop(32, scale=(0.5, 1.0)), augment.RandomFlip())
train.fit_classifier(
    supervised,
    train_set.images,
    train_set.labels,
    epochs=supervised_epochs,
    augment=gentle,
    batch_size=64,
    lr=2e-3,
    device=scale.device,
    max_steps=scale.max_steps,
    label="supervised",
)
correct = evaluate.extract_features(supervised, test_set.images).argmax(dim=1) == test_set.labels
supervised_accuracy = correct.float().mean().item()

# %%
accuracies = {
    "linear probe": {
        "raw pixels": pixel_probe.accuracy,
        "random encoder": random_probe.accuracy,
        "SimCLR, this run": probe.accuracy,
        longer_title: longer_probe.accuracy,
    },
    "nearest neighbours": {
        "random encoder": random_knn,
        "SimCLR, this run": knn,
        longer_title: longer_knn,
    },
    "all labels": {f"supervised, {supervised_epochs} epochs": supervised_accuracy},
}
intervals = {
    judge: {encoder: evaluate.wilson_interval(value, len(test_set)) for encoder, value in group.items()}
    for judge, group in accuracies.items()
}
plot.show(
    plot.grouped_bars(
        accuracies,
        intervals=intervals,
        levels={"chance": 1 / classes},
        ylabel="test accuracy",
        title="Features learnt without labels",
    ),
    alt="Test accuracies with intervals, grouped by judge: pixels and random encoder low, SimCLR and a longer training high.",
)

# %% [markdown]
# The whiskers are 95 % Wilson intervals. They cover the chance of *this test sample*, not that of the seed: another
# initialisation moves the bars too, and the table at the end of the notebook gives that spread from recorded runs.
# A published figure for orientation, not comparable with a minute on a toy: SimCLR with a ResNet-18 on CIFAR-10 has a
# kNN accuracy of 84.8 % after 200 epochs at batch size 512, and 87.9 % after 800 (k = 200, the maximum over epochs on
# the test set: the benchmark of the library lightly, `docs/source/getting_started/benchmarks.rst` in lightly-ai/lightly).
#
# ### A map, and what it can tell
#
# t-SNE lays the features out in the plane so that neighbours stay neighbours, as far as a plane allows. How far that is
# can be measured: of the five nearest neighbours of an image, how many have its class, in all dimensions and in the plane?

# %%
mapped = test_set[:500]


def agreement(features: torch.Tensor) -> float:
    """Share of the five nearest neighbours (Euclidean, each image among the others) that have the image's class."""
    _, near = evaluate.nearest_neighbours(features, k=5, metric="euclidean")
    return (mapped.labels[near] == mapped.labels[:, None]).float().mean().item()


def standardised(h: torch.Tensor) -> torch.Tensor:
    return (h - h.mean(dim=0)) / h.std(dim=0).clamp(min=1e-6)


spaces = {"SimCLR, this run": test_h[: len(mapped)], longer_title: longer_test_h[: len(mapped)]}
maps = {encoder: plot.plane(h, seed=scale.seed) for encoder, h in spaces.items()}
for encoder, h in spaces.items():
    print(
        f"{encoder:18} of five neighbours {100 * agreement(standardised(h)):.0f} % have the class of the image in "
        f"{h.shape[1]} dimensions, {100 * agreement(maps[encoder]):.0f} % in the plane"
    )
plot.show(
    plot.clouds(maps, mapped.labels, mapped.class_names, title="t-SNE; colours are labels that training never saw"),
    alt="Two maps of the same test images: points of one class gather loosely in both, a little more after longer training.",
)

# %% [markdown]
# The two columns are close to each other: the map shows about as much as the nearest neighbours in all dimensions do, so
# what it does not show is not the fault of the plane. And yet the probe reads the class from the same features far more
# often. The classes lie along certain directions, which a probe may pick, while distances add up *everything* in which
# two images differ, and SimCLR asks every image to keep its distance from every other, also from those of its class. So a
# map without clusters does not say that features are poor: that of the longer training has no clean ones, either, and its
# probe is higher still. (The vote of neighbours in the bar chart does better than the shares printed above, since it is
# taken among all training images and does not need each neighbour to be right.) What a map can tell is who lies near
# whom; sizes of clusters and distances between them mean nothing.

# %%
_, found = evaluate.nearest_neighbours(test_h[:6], train_h, k=8)
plot.show(
    plot.neighbours(
        test_set.images[:6],
        train_set.images[found],
        correct=train_set.labels[found] == test_set.labels[:6, None],
        title="Nearest training images in feature space",
    ),
    alt="Six test images, each beside its eight nearest training images, marked by whether the class is the same.",
)

# %% [markdown]
# ### The role of the head
#
# The same probe on the features $h$ and on the projections $z$ of one network, for two questions: the class, and which
# of red, green and blue is strongest on average, which colour jitter changes and a network trained with it may forget.

# %%
whole = nn.Sequential(backbone, head)
train_z, val_z = (evaluate.extract_features(whole, part.images) for part in (train_set, val_set))
train_tint, val_tint = (data.as_float(part.images).mean(dim=(2, 3)).argmax(dim=1) for part in (train_set, val_set))

before = evaluate.linear_probe(train_h, train_set.labels, val_h, val_set.labels, Cs=penalties)
knows = {
    "class": {
        "features h": before,
        "projections z": evaluate.linear_probe(train_z, train_set.labels, val_z, val_set.labels, Cs=penalties),
    },
    "strongest colour": {
        "features h": evaluate.linear_probe(train_h, train_tint, val_h, val_tint, Cs=penalties),
        "projections z": evaluate.linear_probe(train_z, train_tint, val_z, val_tint, Cs=penalties),
    },
}
plot.show(
    plot.grouped_bars(
        {asked: {where: known.accuracy for where, known in group.items()} for asked, group in knows.items()},
        intervals={
            asked: {where: (known.low, known.high) for where, known in group.items()} for asked, group in knows.items()
        },
        ylabel="validation accuracy",
        title="What is forgotten between h and z",
    ),
    alt="Validation accuracy of probes for the class and for the strongest colour, before and after the head.",
)
for asked, group in knows.items():
    h_knows, z_knows = group.values()
    apart = z_knows.low > h_knows.high or z_knows.high < h_knows.low
    print(
        f"{asked}: {100 * (z_knows.accuracy - h_knows.accuracy):+.1f} points from h to z; "
        f"the intervals {'are apart' if apart else 'overlap'}"
    )

# %% [markdown]
# #### Question 2
#
# (a) What would you expect $z$ to forget, and why does the loss want it forgotten? What does the figure show, and how
# sure do the intervals let you be? (b) On ImageNet Chen et al. (2020, section 4.2) find $h$ more than ten points better
# than $z$ for the *class*. When would you expect such a gap, and when none?

# %% [markdown] tags=["question", "points:1"]
# ### BEGIN SOLUTION
# (a) What augmentations change, such as colour: two views of an image differ in it, and the loss asks $z$ to be the
# same for both, so what is left of colour in $z$ costs alignment. $h$ only has to contain what $z$ needs; the forgetting can
# happen in the head. The figure shows just this: colour is harder to read from $z$, by points that the intervals set
# apart, and the class is kept. That it is even a little easier to read from $z$ in one run, with intervals that overlap,
# is a tendency and proves nothing.
#
# (b) A gap appears where the classes depend on something that the augmentations change, such as colour for birds and
# fruit, or detail that a crop removes. Where all that is forgotten is irrelevant to the class, as in the scenes, whose
# classes do not depend on colour or place, $z$ may serve the class as well as $h$. It will not serve the next question.
# ### END SOLUTION

# %% [markdown]
# ## What matters: recorded sweeps
#
# A short training takes half a minute, a sweep over seeds many, so the next figures come from a recorded run; each
# says when and at which scale it was made. Every point is the training above with one setting changed, but shorter, so
# your own run is not drawn in: `short_epochs` at a learning rate that suits them. Accuracies are those of a probe on
# **validation** images: settings chosen on the test split would make its number worthless. To compute any point now,
# name it in this cell, as in `"temperature": [0.05]`, and run on from here: it appears as a star.

# %%
rerun = {"temperature": [], "batch size": [], "augmentation": [], "labels, SimCLR": [], "labels, random": []}

short_epochs = scale.pick(dry=1, tiny=9, small=40, full=200)
short_rate = scale.pick(tiny=4e-3, small=4e-3, full=1e-3)
without = {"nothing": views, **{kind: make_views(kind) for kind in parts}}
outcomes = {}


def validation_probe(encoder: nn.Module) -> float:
    h, other_h = (evaluate.extract_features(encoder, part.images) for part in (train_set, val_set))
    return evaluate.linear_probe(h, train_set.labels, other_h, val_set.labels, Cs=penalties).accuracy


def outcome(
    seed: int, temperature: float = temperature, batch_size: int = batch_size, removed: str = "nothing"
) -> tuple[float, float]:
    """Validation accuracy of a probe and last loss after a short training; nothing is trained twice."""
    key = (seed, temperature, batch_size, removed)
    if key not in outcomes:
        trained, _, past = pretrain(
            train_set.images,
            seed,
            views=without[removed],
            temperature=temperature,
            batch_size=batch_size,
            epochs=short_epochs,
            lr=short_rate,
        )
        outcomes[key] = validation_probe(trained), past.loss[-1]
    return outcomes[key]


# %%
temperatures = check.sweep(
    scale,
    "temperature",
    lambda point, seed: outcome(seed, temperature=point)[0],
    points=[0.05, 0.1, 0.2, 0.5],
    rerun=rerun["temperature"],
)
plot.show(
    plot.sweep(
        temperatures, xlabel="temperature", ylabel="validation accuracy of the probe", log_x=True, title="Temperature"
    ),
    alt="Probe accuracy against temperature with error bars over seeds: much the same up to 0.2, lowest at 0.5.",
)

# %% [markdown]
# **Batch size**, twice. At equal epochs small batches take more steps, and large ones have more negatives; so the second
# line gives all of them the same number of *steps*, as many as batches of this notebook's size take in five epochs, which
# lets large batches see more images. The learning rate is the same throughout, that of this notebook's batch size.

# %%
steps = scale.pick(dry=1, tiny=5, small=20, full=100) * (len(train_set) // batch_size)


def probe_at_equal_steps(point: int, seed: int) -> float:
    """Validation accuracy of a probe after `steps` steps with batches of this size."""
    long_enough = math.ceil(steps / max(1, len(train_set) // point))
    trained, _, _ = pretrain(
        train_set.images,
        seed,
        batch_size=point,
        epochs=long_enough,
        lr=short_rate,
        max_steps=scale.max_steps or steps,
    )
    return validation_probe(trained)


batch_sizes = {
    "equal epochs": check.sweep(
        scale,
        "batch size",
        lambda point, seed: outcome(seed, batch_size=point)[0],
        points=[64, 128, 256],
        rerun=rerun["batch size"],
    ),
    "equal steps": check.sweep(
        scale, "batch size, equal steps", probe_at_equal_steps, points=[64, 128, 256], rerun=rerun["batch size"]
    ),
}
plot.show(
    plot.sweep(
        batch_sizes,
        xlabel="batch size",
        ylabel="validation accuracy of the probe",
        log_x=True,
        title="Batch size",
    ),
    alt="Probe accuracy against batch size, one line at equal epochs and one at equal steps, error bars over seeds.",
)

# %% [markdown]
# #### Question 3
#
# (a) Explain the fall towards the temperature 0.5 by the weights $p_j$ of the negatives. (b) What do the two lines of
# the batch sizes say together about steps and negatives at this scale? Chen et al. (2020, figure 9) find that larger
# batches help; why need that not contradict the figure?

# %% [markdown] tags=["question", "points:1"]
# ### BEGIN SOLUTION
# (a) At a large $\tau$ all $p_j$ are nearly equal: every negative is pushed alike, those that are already far away too,
# and little of the gradient is spent on the few that are confused with the positive. At 0.1 nearly all of it falls on
# these, which is what makes features tell similar scenes apart. Too small, and only the very nearest count, which may
# show the same class; whether 0.05 is too small already, the error bars leave open.
#
# (b) At equal epochs the small batches take more steps: half the size, twice the steps. So that line mixes two things, and
# that small batches are ahead in it says that so short a training lacks steps, not that negatives do harm. The line of
# equal steps takes this advantage away; what is left of the order there is due to negatives *and* to the images seen,
# of which a larger batch sees more in as many steps. Neither line isolates negatives. Chen et al. compare trainings
# many times as long, at a learning rate that grows with the batch, and the advantage of large batches shrinks there
# as the trainings get longer.
# ### END SOLUTION

# %%
augmentations = check.sweep(
    scale,
    "augmentation",
    lambda point, seed: outcome(seed, removed=point)[0],
    points=list(without),
    rerun=rerun["augmentation"],
)
plot.show(
    plot.sweep(
        augmentations,
        xlabel="removed from the augmentations",
        ylabel="validation accuracy of the probe",
        levels={"chance": 1 / classes},
        title="Without one augmentation",
    ),
    alt="Probe accuracy with single augmentations removed, with error bars over seeds.",
)

# %%
last_losses = check.sweep(
    scale,
    "augmentation, loss",
    lambda point, seed: outcome(seed, removed=point)[1],
    points=list(without),
    rerun=rerun["augmentation"],
)
plot.show(
    plot.sweep(
        last_losses,
        xlabel="removed from the augmentations",
        ylabel="last training loss in nats",
        levels={"guessing": guessing},
        title="The loss of the same trainings",
    ),
    alt="Last training loss with single augmentations removed, with error bars over seeds.",
)

# %% [markdown]
# #### Question 4
#
# (a) Explain by what two views share why the probe falls without colour jitter, without greyscale and without cropping.
# What does the figure say about flipping? (b) Compare the two figures: the trainings with by far the lowest losses have
# the worst features. How can that be? (c) You want features for sorting fruit by ripeness. What do you change, and why
# can no amount of unlabelled images make up for it?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Colours are drawn at random for every image and identify it nearly alone, so a network that can compare the colours
# of two views learns colours, which say nothing of the class. Jitter moves colours but leaves them roughly what they
# were; greyscale on one of the views takes hues away and leaves brightness and contrast, which the mist and the light
# of an image set. Each closes what the other leaves open, and without either a shortcut remains. Without cropping,
# place, size and the whole layout are shared: a coarse picture finds the positive, though the object is a part of that
# picture, so some shape is learnt. Without flipping the accuracy is no lower, within the spread over seeds: a view that
# is not mirrored shares little more than one that is, so the figure shows no use of it here.
#
# (b) The loss says how well the positive is found, not by what. A shortcut finds it nearly always, so the loss is low,
# and nothing is left that would force the network to look at shapes. Losses compare only between trainings that were
# asked the same question.
#
# (c) Ripeness is colour, and under colour jitter a feature that depends on colour gives two views of one fruit
# different codes, which the loss punishes. So drop or weaken jitter and greyscale, and keep cropping. More images do
# not help: they are punished in the same way. Which information may be used is fixed by the augmentations, not by the
# data.
# ### END SOLUTION

# %% [markdown]
# ## Fine-tuning on few labels
#
# The probe leaves the encoder frozen. With labels at hand one may also train it on, starting from SimCLR's weights, and
# the fair comparison is the same network from random weights: same labels, same number of steps, same augmentations,
# and **each start at a learning rate of its own**: a rate that suits one start can ruin the other. Both were chosen from
# one grid, 1e-3 to 1.6e-2 in steps of two, on validation images with seeds that are not recorded. At `tiny` these are
# 200 steps; incomplete batches are left out, which leaves both starts 172 at 300 labels and 128 at 100. Never start
# SimCLR itself from ImageNet weights when you want to show what it learns: these have seen a million labels. At scale
# `full` they stand *beside* it, as a third start, at a rate that was not tuned.

# %%
budgets = [100, 300, 3000]
fine_tuning_steps = scale.pick(dry=1, tiny=200, small=800, full=4000)
rates = {"from SimCLR": 8e-3, "from random weights": 4e-3, "from ImageNet weights": 1e-3}


def fine_tuned(encoder: nn.Module, n_labels: int, seed: int, rate: float) -> float:
    """Validation accuracy after training a copy of the encoder and a new linear layer on n_labels images."""
    n_labels = min(n_labels, len(train_set))
    few, size = train_set.subset(n_labels, seed=seed), min(n_labels, 64)
    torch.manual_seed(seed)
    model = nn.Sequential(copy.deepcopy(encoder), nn.Linear(encoder.num_features, classes)).to(scale.device)
    train.fit_classifier(
        model,
        few.images,
        few.labels,
        epochs=math.ceil(fine_tuning_steps * size / n_labels),
        augment=gentle,
        batch_size=size,
        lr=rate,
        device=scale.device,
        max_steps=fine_tuning_steps,
        progress=False,
    )
    correct = evaluate.extract_features(model, val_set.images).argmax(dim=1) == val_set.labels
    return correct.float().mean().item()


def imagenet() -> nn.Module:
    """ResNet-18 with ImageNet weights; images are enlarged, since its stem would leave nothing of 32 pixels."""
    import timm

    net = timm.create_model("resnet18", pretrained=True, num_classes=0)
    normalise = models.Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    enlarged = nn.Sequential(normalise, nn.Upsample(size=128, mode="bilinear"), net)
    enlarged.num_features = net.num_features
    return enlarged


starts = {
    "from SimCLR": check.sweep(
        scale,
        "labels, SimCLR",
        lambda n, seed: fine_tuned(backbone, n, seed, rates["from SimCLR"]),
        points=budgets,
        rerun=rerun["labels, SimCLR"],
    ),
    "from random weights": check.sweep(
        scale,
        "labels, random",
        lambda n, seed: fine_tuned(random_backbone, n, seed, rates["from random weights"]),
        points=budgets,
        rerun=rerun["labels, random"],
    ),
}
if scale.name == "full":
    starts["from ImageNet weights"] = check.sweep(
        scale,
        "labels, ImageNet",
        lambda n, seed: fine_tuned(imagenet(), n, seed, rates["from ImageNet weights"]),
        points=budgets,
        rerun=budgets,
    )
plot.show(
    plot.sweep(
        starts,
        xlabel="number of labels",
        ylabel="validation accuracy",
        log_x=True,
        levels={"chance": 1 / classes},
        title="Fine-tuning against label budget",
    ),
    alt="Accuracy against the number of labels, fine-tuned from SimCLR and from random weights, error bars over seeds.",
)

# %% [markdown]
# #### Question 5
#
# Where do the two curves differ most, and do they meet? What does that say about when pretraining is worth it?

# %% [markdown] tags=["question", "points:1"]
# ### BEGIN SOLUTION
# They differ most at 300 labels: the pretrained network has the features, and thirty images of a class suffice to tell
# which of them make a class, while in as many steps random weights get little out of the same images. At 100 labels the
# distance is smaller, since ten images of a class are few for either start: features help, but do not say by themselves
# what belongs together. With all labels it is smaller, too, since labels can then teach the features as well, but so few
# steps do not close it. The curves do not meet in the figure; where they would, the bar chart further up tells: the
# supervised network there starts from random weights, too, and has all labels and more than twice as many steps.
# Pretraining pays when labels or steps are scarce and unlabelled images of the *same* kind plenty. (The labelled images
# are part of the unlabelled ones here, as in most papers; with few unlabelled images the gain would be smaller.)
# ### END SOLUTION

# %% [markdown]
# ## Traps
#
# Mistakes that no check of a function can see. All of them run without an error.
#
# - **The head's output probed in place of the backbone's.** Nothing fails, and for some questions nothing is lost,
#   which makes it hard to notice: see question 2, and look at the width of your features.
# - **SimCLR started from ImageNet weights.** The probe is then excellent before the first step. Always print the probe
#   of the untrained network beside yours.
# - **The ImageNet stem on 32 pixels.** A stride of 2 and a max-pool leave 8 x 8 at the first block and a single pixel
#   at the last: most of the image is gone before the network looks. Use a 3 x 3 stem with stride 1 and no max-pool.
# - **Losses compared across batch sizes or temperatures.** See question 1.
# - **Settings chosen on the test split.** The sweeps above use validation images for this reason.
# - **One random draw for a whole batch.** Augmentations of torchvision applied to a batch turn all images alike; two
#   views then share the colour change with all negatives, and colour is a shortcut again.

# %% [markdown]
# ## Optional: training without a head
#
# Is the head needed in training, or would the loss on $h$ itself do? The same short training with nothing in place of
# the head, at the learning rate that was chosen with one. On ImageNet a head gains more than ten points (Chen et al.
# 2020, section 4.2). What a head protects is what augmentations change, and the classes of the scenes depend on none of
# it: here it gains nothing, and training without it is even ahead in the figure, at a rate chosen for the other side.
# So a toy whose augmentations leave the class alone cannot show what heads are for; the colours of the figure in "The
# role of the head" can.

# %%
def headless(seed: int) -> tuple[nn.Module, nn.Module]:
    return build(seed)[0], nn.Identity()


def probe_of_head(point: str, seed: int) -> float:
    if point == "with a head":
        return outcome(seed)[0]
    return validation_probe(pretrain(train_set.images, seed, start=headless, epochs=short_epochs, lr=short_rate)[0])


heads = check.sweep(scale, "head", probe_of_head, points=["with a head", "without"])
plot.show(
    plot.sweep(heads, ylabel="validation accuracy of the probe on h", title="Trained with and without a head"),
    alt="Probe accuracy on the backbone's features after training with and without a head, with error bars over seeds.",
)

# %% [markdown]
# ## Optional: other losses in the same loop
#
# Negatives are one way to prevent collapse. Two others look at the *dimensions* of the embeddings instead. Both compare
# the views row by row and neither normalises the rows.
#
# **VICReg** (Bardes et al. 2022) is a weighted sum of three terms: the mean squared difference of the views over all
# $ND$ values (invariance); a hinge that keeps the standard deviation of every dimension over the batch at 1 or more,
# $\frac1D\sum_d \max(0, 1 - \sqrt{\mathrm{Var}(z_{\cdot d}) + 10^{-4}})$, averaged over the two views (variance); and
# the squared covariances of different dimensions, $\frac1D\sum_{d \ne e} C_{de}^2$, summed over the two views
# (covariance). Variances and covariances have divisor $N - 1$.
#
# **Barlow Twins** (Zbontar et al. 2021) standardises every dimension over the batch (divisor $N$), computes the
# $D \times D$ correlations $C$ between view 0 and view 1, and pulls $C$ to the identity:
# $\sum_d (1 - C_{dd})^2 + \lambda \sum_{d \ne e} C_{de}^2$.

# %% [markdown]
# ### 4.8 VICReg  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
#
# <details><summary>Hint 1</summary>One line a term; write helpers inside the function for what both views need.</details>
# <details><summary>Hint 2</summary><code>z.var(dim=0)</code> divides by N - 1; so does <code>torch.cov(z.T)</code>.</details>
# <details><summary>Hint 3</summary>The sum of squares off the diagonal: that of all, less that on the diagonal.</details>


# %% tags=["exercise", "points:0"]
def vicreg(
    z0: torch.Tensor, z1: torch.Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> torch.Tensor:
    """Variance-invariance-covariance regularisation (Bardes et al. 2022, eqs. 1 to 6; variance averaged over views).

    z0, z1: (N, D) embeddings, N at least 2; row n of both comes from image n. The rest weighs the terms.
    Returns a scalar.
    """

    ### BEGIN SOLUTION
    def spread(z):                                            # 0 once every dimension varies enough
        return F.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean()

    def redundancy(z):                                        # 0 when no two dimensions vary together
        c = torch.cov(z.T)                                    # (D, D)
        return (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]

    distance = F.mse_loss(z0, z1)
    return (
        invariance * distance
        + variance * (spread(z0) + spread(z1)) / 2
        + covariance * (redundancy(z0) + redundancy(z1))
    )
    ### END SOLUTION


# %% tags=["check"]
vicreg = check.vicreg(vicreg)

# %% [markdown]
# ### 4.9 Barlow Twins  ·  optional  ·  difficulty 2 of 3  ·  about 10 minutes
#
# <details><summary>Hint 1</summary>Standardise the columns of both views; <code>correction=0</code> divides by N.</details>
# <details><summary>Hint 2</summary><code>z0.T @ z1 / N</code>: what should its diagonal be, and what the rest?</details>


# %% tags=["exercise", "points:0"]
def barlow_twins(z0: torch.Tensor, z1: torch.Tensor, lambda_: float = 5e-3) -> torch.Tensor:
    """Redundancy reduction (Zbontar et al. 2021, eqs. 1 and 2).

    z0, z1: (N, D) embeddings, N at least 2; row n of both comes from image n. lambda_ weighs what is off the diagonal.
    Returns a scalar.
    """

    ### BEGIN SOLUTION
    def standardise(z):
        return (z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt()

    c = standardise(z0).T @ standardise(z1) / len(z0)         # (D, D): correlations across the views
    on_diagonal = (1 - c.diagonal()).square().sum()
    off_diagonal = c.square().sum() - c.diagonal().square().sum()
    return on_diagonal + lambda_ * off_diagonal
    ### END SOLUTION


# %% tags=["check"]
barlow_twins = check.barlow_twins(barlow_twins)

# %% [markdown]
# **In the same loop.** Same head, same short training, another loss: VICReg in the place of NT-Xent, at the learning rate
# and with the head that were chosen for NT-Xent, while its authors use a far wider one. So the figure does not show which
# loss is better. It shows that negatives are not needed: VICReg has none, and is far above the untrained network. (Barlow
# Twins is not drawn: its weight and rate were not tuned here, and without that the figure would blame the loss.)


# %%
def vicreg_step(backbone, head, images, augment, temperature):
    view0, view1 = two_views(images, augment)
    z0, z1 = head(backbone(torch.cat([view0, view1]))).chunk(2)
    return vicreg(train.gather(z0), train.gather(z1))


def probe_of_loss(point: str, seed: int) -> float:
    if point == "NT-Xent":
        return outcome(seed)[0]
    return validation_probe(
        pretrain(train_set.images, seed, step=vicreg_step, epochs=short_epochs, lr=short_rate)[0]
    )


other_losses = check.sweep(scale, "loss", probe_of_loss, points=["NT-Xent", "VICReg"])
plot.show(
    plot.sweep(
        other_losses,
        ylabel="validation accuracy of the probe",
        levels={"chance": 1 / classes, "untrained": validation_probe(random_backbone)},
        title="Two losses in one loop",
    ),
    alt="Probe accuracy after training with NT-Xent and with VICReg, error bars over seeds, above the untrained level.",
)

# %% [markdown]
# ### 4.10 The sigmoid loss  ·  optional  ·  difficulty 1 of 3  ·  about 15 minutes
#
# NT-Xent asks *which* candidate is the other view, so every row needs a softmax over all candidates. SigLIP (Zhai et
# al. 2023) asks of each of the $N^2$ pairs of a view 0 and a view 1 separately: *same image, yes or no?*
#
# $$L = -\frac{1}{N} \sum_{i=1}^{N} \sum_{j=1}^{N} \log \sigma\big(y_{ij} (s \, \hat z_i^0 \cdot \hat z_j^1 + b)\big),
# \qquad y_{ij} = \begin{cases} 1 & i = j \\ -1 & i \ne j \end{cases}, \qquad \lVert \hat z \rVert = 1.$$
#
# The scaling $s$ is NT-Xent's $1/\tau$; the bias $b$ starts far below 0 (SigLIP: $s = 10$, $b = -10$, both learnt),
# because nearly all pairs are a "no". No pair needs to know of another, so a batch can be worked through in blocks.
#
# <details><summary>Hint 1</summary>One matrix (N, N) of scores; its diagonal should say yes, the rest no.</details>
# <details><summary>Hint 2</summary><code>2 * torch.eye(N) - 1</code> holds the signs; <code>F.logsigmoid</code> does not overflow.</details>
# <details><summary>Hint 3</summary>The sum over all pairs is divided by N, not by N squared.</details>


# %% tags=["exercise", "points:0"]
def sigmoid_loss(z0: torch.Tensor, z1: torch.Tensor, scaling: float = 10.0, bias: float = -10.0) -> torch.Tensor:
    """Pairwise sigmoid loss (Zhai et al. 2023, eq. 1).

    z0, z1: (N, D) embeddings, not normalised; row n of both comes from image n. A score is scaling x cosine + bias.
    Returns a scalar: the sum over all N x N pairs of a view 0 and a view 1, divided by N, in nats.
    """
    ### BEGIN SOLUTION
    scores = scaling * F.normalize(z0, dim=1) @ F.normalize(z1, dim=1).T + bias      # (N, N)
    signs = 2 * torch.eye(len(z0), device=z0.device) - 1                             # 1 for "same", -1 for "other"
    return -F.logsigmoid(signs * scores).sum() / len(z0)
    ### END SOLUTION


# %% tags=["check"]
sigmoid_loss = check.sigmoid_loss(sigmoid_loss)

# %% [markdown]
# **What its value tells.** A network that says "no" to every pair is right $N - 1$ times out of $N$. Even a collapsed
# one, whose scores are all equal, reaches $\ln N + (N - 1) \ln \frac{N}{N - 1} \approx \ln N + 1$ by setting its bias to
# the share of positives, and has learnt nothing. So beside the loss look at what was asked for: among the N views 1, is
# the partner of a view 0 the most similar one (top-1), and what is its rank in the mean? Ties count half, else the
# collapsed network would find everything. The figure takes three networks and changes nothing but the bias, which leaves
# top-1 and ranks as they are; the lines of the collapsed and of the untrained network lie on each other.


# %%
def finds(z0: torch.Tensor, z1: torch.Tensor) -> tuple[float, float]:
    """(top-1, mean rank from 1) of the partner of each view 0 among all views 1; ties share their places."""
    similarity = F.normalize(z0, dim=1) @ F.normalize(z1, dim=1).T                   # (N, N)
    own = similarity.diagonal()[:, None]
    better, tied = (similarity > own).sum(dim=1), (similarity == own).sum(dim=1)
    return ((better == 0) / tied).mean().item(), (better + (tied + 1) / 2).mean().item()


projected = {
    "collapsed": (constant, constant),
    "untrained": projections(random_backbone, random_head)[:2],
    "trained": projections(backbone, head)[:2],
}
many = len(watched)
only_share = math.log(many) + (many - 1) * math.log(many / (many - 1))
biases = torch.arange(-24.0, -5.0, 1.0).tolist()
by_bias = {kind: [float(sigmoid_loss(*z, 10.0, b)) for b in biases] for kind, z in projected.items()}
for kind, z in projected.items():
    top, rank = finds(*z)
    nt, default, lowest = float(nt_xent(*z, temperature)), float(sigmoid_loss(*z)), min(by_bias[kind])
    print(
        f"{kind:10} NT-Xent {nt:6.3f}   sigmoid {default:7.2f}, at its best bias {lowest:5.2f}   "
        f"top-1 {top:.3f}   mean rank {rank:5.1f} of {many}"
    )
figure = plot.curves(
    by_bias,
    x=biases,
    levels={"nothing but the\nshare of positives": only_share},
    xlabel="bias b, at scaling 10",
    ylabel="sigmoid loss in nats",
    title="The bias alone can lower the loss, one seed",
)
figure.axes[0].set_yscale("log")
plot.show(
    figure,
    alt="Sigmoid loss against its bias: a collapsed network falls from a thousand to the dashed level, a trained one below.",
)

# %% [markdown]
# ## On the board
#
# In the optional part every loss had the rate of NT-Xent; on the board each has its own. `sslcourse board` trains the
# methods of the course on the same images with the same encoder, for as many epochs, each at the rate of one small grid
# that is best on validation images; `docs/board.md` has its terms and other worlds. At so small a budget it ranks
# nothing for good: a method that needs long trainings looks worse there than in its paper.

# %%
board.show("SimCLR", "VICReg", "Barlow Twins")

# %% [markdown]
# ## Report
#
# Your numbers beside those of the recorded runs. The claims about augmentations are not of this run: they are
# differences between points of the sweep recorded at `tiny`, since one cannot train that often in a minute, and were
# checked when it was recorded.

# %%
far = scale.pick(tiny=0.4, small=0.05, full=0.25)
claims = {
    "probe over random encoder": (probe.accuracy - random_probe.accuracy, far),
    "probe over raw pixels": (probe.accuracy - pixel_probe.accuracy, far),
}
from_sweeps = {}
if scale.name == "tiny":
    claims |= {"probe": (probe.accuracy, 0.8), "nearest neighbours": (knn, 0.7)}
    for kind in ("colour jitter", "cropping"):
        from_sweeps[f"{kind} is worth"] = (augmentations.gap("nothing", kind), 0.05)
judged = ("probe", "knn", "random", "pixel", "supervised")
check.report(
    scale,
    probe_accuracy=probe.accuracy,
    knn_accuracy=knn,
    random_accuracy=random_probe.accuracy,
    pixel_accuracy=pixel_probe.accuracy,
    supervised_accuracy=supervised_accuracy,
    loss=history.loss[-1],
    rankme=logged["rankme"][-1],
    claims=claims,
    from_sweeps=from_sweeps,
    tested={f"{kind}_accuracy": len(test_set) for kind in judged},
    chance={f"{kind}_accuracy": 1 / classes for kind in judged} | {"loss": guessing},
    baseline={"probe_accuracy": random_probe.accuracy, "knn_accuracy": random_knn, "rankme": start["rankme"]},
)

# %% [markdown]
# ## What to take with you
#
# - The loss is a classification: find the other view of your image in a crowd. $\ln(2N-1)$ is guessing.
# - It aligns the views of an image and spreads everything else. What the views share is what it can learn; what the
#   augmentations change, it forgets.
# - The loss value does not compare across batch sizes or temperatures, and it does not tell whether features are good:
#   a probe does, with an interval, beside a random encoder.
# - The head is for the loss, the features are before it.

# %% [markdown]
# ## Further reading
#
# - T. Chen, S. Kornblith, M. Norouzi, G. Hinton. *A simple framework for contrastive learning of visual
#   representations.* ICML 2020. [arXiv:2002.05709](https://arxiv.org/abs/2002.05709). SimCLR; figure 5 is the ablation
#   of augmentations.
# - A. van den Oord, Y. Li, O. Vinyals. *Representation learning with contrastive predictive coding.* 2018.
#   [arXiv:1807.03748](https://arxiv.org/abs/1807.03748). InfoNCE and its bound.
# - T. Wang, P. Isola. *Understanding contrastive representation learning through alignment and uniformity on the
#   hypersphere.* ICML 2020. [arXiv:2005.10242](https://arxiv.org/abs/2005.10242).
# - F. Wang, H. Liu. *Understanding the behaviour of contrastive loss.* CVPR 2021.
#   [arXiv:2012.09740](https://arxiv.org/abs/2012.09740). Temperature.
# - M. Tschannen, J. Djolonga, P. Rubenstein, S. Gelly, M. Lucic. *On mutual information maximization for representation
#   learning.* ICLR 2020. [arXiv:1907.13625](https://arxiv.org/abs/1907.13625).
# - D. McAllester, K. Stratos. *Formal limitations on the measurement of mutual information.* AISTATS 2020.
#   [arXiv:1811.04251](https://arxiv.org/abs/1811.04251).
# - Y. Tian, C. Sun, B. Poole, D. Krishnan, C. Schmid, P. Isola. *What makes for good views for contrastive learning?*
#   NeurIPS 2020. [arXiv:2005.10243](https://arxiv.org/abs/2005.10243).
# - T. Xiao, X. Wang, A. Efros, T. Darrell. *What should not be contrastive in contrastive learning.* ICLR 2021.
#   [arXiv:2008.05659](https://arxiv.org/abs/2008.05659).
# - J. von Kügelgen, Y. Sharma, L. Gresele, W. Brendel, B. Schölkopf, M. Besserve, F. Locatello. *Self-supervised
#   learning with data augmentations provably isolates content from style.* NeurIPS 2021.
#   [arXiv:2106.04619](https://arxiv.org/abs/2106.04619).
# - L. Jing, P. Vincent, Y. LeCun, Y. Tian. *Understanding dimensional collapse in contrastive self-supervised
#   learning.* ICLR 2022. [arXiv:2110.09348](https://arxiv.org/abs/2110.09348).
# - Q. Garrido, R. Balestriero, L. Najman, Y. LeCun. *RankMe: assessing the downstream performance of pretrained
#   self-supervised representations by their rank.* ICML 2023. [arXiv:2210.02885](https://arxiv.org/abs/2210.02885).
# - X. Zhai, B. Mustafa, A. Kolesnikov, L. Beyer. *Sigmoid loss for language image pre-training.* ICCV 2023.
#   [arXiv:2303.15343](https://arxiv.org/abs/2303.15343). SigLIP; exercise 4.10.
# - Y. Xue, E. Gan, J. Ni, S. Joshi, B. Mirzasoleiman. *Investigating the benefits of projection head for representation
#   learning.* ICLR 2024. [arXiv:2403.11391](https://arxiv.org/abs/2403.11391). When h beats z, and when not.
# - Z. Ouyang, K. Hu, Q. Zhang, Y. Wang, Y. Wang. *Projection head is secretly an information bottleneck.* ICLR 2025.
#   [arXiv:2503.00507](https://arxiv.org/abs/2503.00507).
# - A. Bardes, J. Ponce, Y. LeCun. *VICReg: variance-invariance-covariance regularization for self-supervised learning.*
#   ICLR 2022. [arXiv:2105.04906](https://arxiv.org/abs/2105.04906).
# - J. Zbontar, L. Jing, I. Misra, Y. LeCun, S. Deny. *Barlow Twins: self-supervised learning via redundancy reduction.*
#   ICML 2021. [arXiv:2103.03230](https://arxiv.org/abs/2103.03230).
# - M. Assran, R. Balestriero, Q. Duval, F. Bordes, I. Misra, P. Bojanowski, P. Vincent, M. Rabbat, N. Ballas. *The
#   hidden uniform cluster prior in self-supervised learning.* ICLR 2023.
#   [arXiv:2210.07277](https://arxiv.org/abs/2210.07277).
# - R. Hadsell, S. Chopra, Y. LeCun. *Dimensionality reduction by learning an invariant mapping.* CVPR 2006. Z. Wu, Y.
#   Xiong, S. Yu, D. Lin. *Unsupervised feature learning via non-parametric instance discrimination.* CVPR 2018.
#   [arXiv:1805.01978](https://arxiv.org/abs/1805.01978). Where it comes from.

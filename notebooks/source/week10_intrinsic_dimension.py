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
# # Week 10 · Intrinsic dimension of data and of layers
#
# A picture of 32 x 32 pixels is a point in 3,072 dimensions, but a world of pictures has far fewer degrees of freedom.
# How many, can be asked of the points alone, without labels: by the distances to the nearest two neighbours
# (**TwoNN**), or by the spectrum (**PCA**). The two answers differ, and the difference is informative. Asked layer by
# layer, they show what training does to a representation: which nets expand first, which compress, and what a net does
# that has to learn random labels by heart.
#
# **You will be able to**
#
# 1. derive TwoNN from a Poisson process, write it in two forms, and say why cutting the largest ratios is right in one
#    and wrong in the other;
# 2. tell known biases (borders, curvature, few points, noise, rounding) from findings;
# 3. compare intrinsic with linear dimension, and say what a gap between them means;
# 4. compare layers and nets by the overlap of neighbourhoods, and read such a map the right way round.
#
# **You need** nearest neighbours (week 4), PCA (week 1), a trained network's layers (week 2). Notation: $h$ are
# features, $N$ points, $D$ the dimensions they are given in, $d$ the intrinsic dimension, $r_1 \le r_2$ the distances
# to a point's nearest and second nearest other point, $\mu = r_2 / r_1$.
#
# **Time** {time} The notebook itself runs for about a minute at scale `tiny`; every blank exercise is replaced by
# its reference until you write your own.

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
import math
import time
import warnings

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import week10 as check
from sslcourse.data.scenes import make_scenes
from sslcourse.plot.schematics.two_neighbours import two_neighbours

# %%
scale = sslcourse.begin(week=10)

# %% [markdown] tags=["before"]
# ## Theory
#
# ### A ratio that knows the dimension
#
# Scatter points with constant density $\rho$ over $d$ dimensions. The ball around one of them has the volume
# $V = \omega_d r^d$, and the volumes of the shells between its successive neighbours, $v_1 = \omega_d r_1^d$ and
# $v_2 = \omega_d (r_2^d - r_1^d)$, are independent and exponentially distributed with rate $\rho$ (a Poisson process).
# For two such variables $P(v_2 / v_1 \le t) = t / (1 + t)$. Put in $v_2 / v_1 = \mu^d - 1$:
#
# $$P(\mu \le m) = F(m) = 1 - m^{-d}, \qquad m \ge 1.$$
#
# The density $\rho$ is gone. It need be constant only within the distance $r_2$ of each point, not over the data.
# That is the point of Facco et al. (2017): the two smallest distances are as local as one can be.
#
# Two ways lead from here to $d$.
#
# - **Regression** (TwoNN). $-\log(1 - F(\mu)) = d \log \mu$ is a line through the origin with the slope $d$. Sort the
#   ratios, $\mu_1 \le \dots \le \mu_N$, take $F_i = i / N$ for the unknown $F(\mu_i)$, and fit
#   $d = \sum_i x_i y_i / \sum_i x_i^2$ with $x_i = \log \mu_i$, $y_i = -\log(1 - i / N)$. The largest ratios are the
#   least certain, and they are also those that feel borders and changes of density, so only the smallest 90 % are
#   fitted. Their levels $F_i$ still count all $N$.
# - **Maximum likelihood.** $\log \mu$ is exponentially distributed with rate $d$, so the likelihood is largest at
#   $N / \sum_i \log \mu_i$. The sum has a gamma distribution, $E[1 / \sum] = d / (N - 1)$, so
#   $(N - 1) / \sum_i \log \mu_i$ is unbiased, with a relative error of about $1 / \sqrt{N}$.
#
# No cut in the second form! The mean of the lowest 90 % of an exponential variable is
# $1 - \tfrac{0.1 \ln 10}{0.9} = 0.744$ of its mean, so the cut estimate is too high by $1 / 0.744$, a factor of 1.34,
# in every dimension. The regression has no such bias, since it knows that the kept ratios are the lower ones.
#
# ### What it cannot see
#
# - **Many dimensions.** In $d$ dimensions the nearest of $N$ points is at a distance of about $N^{-1/d}$ of the whole:
#   for $d = 20$ and $N = 2000$ that is 0.68, nothing local. In a cube, nearly every point then has a border nearer than
#   its neighbours: the estimate is too low. On a closed curved manifold there is no border, and curvature bends the
#   other way. To keep neighbours near, $N$ has to grow exponentially with $d$.
# - **Noise and rounding** fill all $D$ dimensions, but only at small scale. So the dimension depends on the *scale* at
#   which one looks, which is why it should be looked at over scales.
# - **Duplicates** have $r_1 = 0$.
#
# ### The linear answer
#
# The covariance of the features has eigenvalues $\lambda_1 \ge \dots \ge \lambda_D$. The **participation ratio**
#
# $$\mathrm{PR} = \frac{\left(\sum_j \lambda_j\right)^2}{\sum_j \lambda_j^2}$$
#
# is $d$ for $d$ equal eigenvalues and 1 if one of them has all the variance. It is a global and linear measure: a
# circle has PR 2 and dimension 1. A PR far above the intrinsic dimension says that a manifold of few dimensions is
# bent through many.
#
# ### Who is near whom
#
# Dimension is one number a layer. More is in the **neighbourhood overlap** of two layers $a$, $b$ (Doimo et al. 2020):
#
# $$\chi_k(a, b) = \frac{1}{N} \sum_{n=1}^N \frac{\left|\mathrm{kNN}_a(n) \cap \mathrm{kNN}_b(n)\right|}{k},$$
#
# 1 when every sample has the same neighbours in both, about $k / (N - 1)$ when the two have nothing to do with each
# other. With "the samples of the same label" in the place of one of the two, it becomes the **label overlap**.

# %%
plot.show(
    two_neighbours(),
    alt="A point with the distances to its two nearest neighbours, their ratio, its distribution and the fitted slope.",
)

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### 10.1 Two distances  ·  given
#
# All distances at once need $N^2$ numbers, so they are made in chunks. The quick way in float32,
# $|a - b|^2 = |a|^2 + |b|^2 - 2 ab$, loses the small distances as a difference of large numbers where points lie far
# from the origin. So: take the mean off, use quick products only to choose a few candidates, and measure these few
# exactly, in float64.


# %% tags=["exercise", "points:0"]
def two_nearest(x: torch.Tensor, chunk: int = 1024) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances (N,) of every point to its nearest and second nearest other point, float64.

    x: (N, D), N >= 3. Memory grows with chunk * N, not with N * N.
    """
    if x.dim() != 2 or len(x) < 3:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D) with at least three points.")
    if not x.isfinite().all():
        raise ValueError("x holds NaN or infinite values, which are at no distance; did the training diverge?")
    x = x.double()
    x = x - x.mean(dim=0)                                                     # (N, D)
    quick = x.float()
    half = quick.square().sum(dim=1) / 2                                      # (N,)
    found = []
    for rows in torch.arange(len(x), device=x.device).split(chunk):
        score = quick[rows] @ quick.T - half                                  # (n, N), largest for the nearest
        score[torch.arange(len(rows), device=x.device), rows] = float("-inf")
        near = score.topk(min(4, len(x) - 1), dim=1).indices                  # (n, 4)
        exact = [(x[column] - x[rows]).norm(dim=1) for column in near.T]      # four times (n,)
        found.append(torch.stack(exact, dim=1).sort(dim=1).values[:, :2])     # (n, 2)
    r1, r2 = torch.cat(found).unbind(dim=1)
    return r1, r2


# %% tags=["check"]
two_nearest = check.two_nearest(two_nearest)

# %% [markdown]
# ### 10.2 TwoNN  ·  difficulty 2 of 3  ·  about 30 minutes
#
# The regression of the theory. Points with a duplicate have $r_1 = 0$: drop them, with a warning, and let $N$ be the
# number of those that stay. At $i = N$ the level would be infinite, so that one is never fitted, whatever `fraction`
# is.
#
# Some points have no dimension: all of them equal, NaN among them (`two_nearest` refuses these), or a lattice, where
# $r_2 = r_1$ and all logarithms are 0. There no number is an answer: raise a `ValueError` with one sentence, here and
# in the exercises below. The checks show what yours does then, and give no points for it.
#
# <details><summary>Hint 1</summary><code>two_nearest</code> gives both distances; keep those with
# <code>r1 &gt; 0</code>; sort the ratios.</details>
# <details><summary>Hint 2</summary>x: the logarithms of the smallest ones, (kept,); y: minus log of 1 - i / N for i =
# 1, 2, ..., kept.</details>
# <details><summary>Hint 3</summary>Least squares through the origin: <code>(x @ y) / (x @ x)</code>.</details>


# %% tags=["exercise", "points:3"]
def two_nn(x: torch.Tensor, fraction: float = 0.9) -> float:
    """Intrinsic dimension: slope through the origin of -log(1 - F) on log(mu) (Facco et al. 2017).

    x: (N, D). Fitted are the smallest int(fraction * N) ratios with F < 1, F_i = i / N for i = 1..N. Points with
    r1 = 0 are dropped with a warning.
    """
    ### BEGIN SOLUTION
    r1, r2 = two_nearest(x)
    apart = r1 > 0
    if not apart.all():
        warnings.warn(f"{int((~apart).sum())} points have a duplicate and are dropped.", stacklevel=2)
    mu = (r2[apart] / r1[apart]).sort().values                               # (N,), rising
    n = len(mu)
    kept = min(int(fraction * n), n - 1)
    if kept < 1 or not mu[kept - 1] > 1:
        raise ValueError("No dimension fits: nearly all points are equal, or r2 = r1 everywhere, as on a lattice.")
    log_mu = mu[:kept].log()
    level = -torch.log(1 - torch.arange(1, kept + 1, device=mu.device) / n)  # -log(1 - F)
    return ((log_mu @ level.to(log_mu)) / (log_mu @ log_mu)).item()
    ### END SOLUTION


# %% tags=["check"]
two_nn = check.two_nn(two_nn)

# %% [markdown]
# ### 10.3 Maximum likelihood  ·  difficulty 1 of 3  ·  about 10 minutes
#
# From all ratios, in the unbiased form. Again without points that have a duplicate, and with a `ValueError` where no
# ratio is left or all of them are 1.
#
# <details><summary>Hint</summary>One line after <code>two_nearest</code>: no sorting, no cut.</details>


# %% tags=["exercise", "points:1"]
def two_nn_mle(x: torch.Tensor) -> float:
    """(N - 1) / sum of log(mu), the unbiased maximum-likelihood estimate of the dimension; x: (N, D)."""
    ### BEGIN SOLUTION
    r1, r2 = two_nearest(x)
    log_mu = (r2[r1 > 0] / r1[r1 > 0]).log()
    if len(log_mu) < 2 or not log_mu.sum() > 0:
        raise ValueError("No dimension fits: nearly all points are equal, or r2 = r1 everywhere, as on a lattice.")
    return ((len(log_mu) - 1) / log_mu.sum()).item()
    ### END SOLUTION


# %% tags=["check"]
two_nn_mle = check.two_nn_mle(two_nn_mle)

# %% [markdown]
# ### 10.4 Participation ratio  ·  difficulty 1 of 3  ·  about 15 minutes
#
# The eigenvalues of the covariance are the squares of the singular values of the centred data, up to a factor that
# cancels. No eigenvalue is needed, though: their sum is the trace, and the sum of their squares is the sum of all
# squared entries. Where all points are equal, or one holds NaN, there is no variance to divide: a `ValueError`.
#
# <details><summary>Hint 1</summary>Centre first: <code>x - x.mean(dim=0)</code>, in float64.</details>
# <details><summary>Hint 2</summary><code>torch.linalg.svdvals(x).square()</code> are the eigenvalues, up to the
# factor.</details>


# %% tags=["exercise", "points:2"]
def participation_ratio(x: torch.Tensor) -> float:
    """PCA dimension (sum lambda)^2 / sum lambda^2 of the covariance's eigenvalues; x: (N, D), centred here."""
    ### BEGIN SOLUTION
    x = x.double()
    length = x.norm()
    x = x - x.mean(dim=0)
    if not x.norm() > 1e-12 * length:                                        # rounding is all that is left, or NaN
        raise ValueError("x holds NaN, or all its points are equal: there is no variance to divide.")
    products = x.T @ x if x.shape[1] <= len(x) else x @ x.T                  # the smaller one; equal eigenvalues
    return (products.trace() ** 2 / products.square().sum()).item()
    ### END SOLUTION


# %% tags=["check"]
participation_ratio = check.participation_ratio(participation_ratio)

# %% [markdown]
# ### 10.5 Neighbourhood overlap  ·  difficulty 2 of 3  ·  about 20 minutes
#
# Row n of both is the same sample. `evaluate.nearest_neighbours(x, k=k, metric="euclidean")` returns distances and
# places of the k nearest others, (N, k) each. The two lists of a sample are *sets*: ranks do not count.
#
# <details><summary>Hint 1</summary>For one sample: how many places of the first list are in the second?</details>
# <details><summary>Hint 2</summary>All at once: compare <code>here[:, :, None]</code> with
# <code>there[:, None, :]</code>, (N, k, k).</details>


# %% tags=["exercise", "points:2"]
def neighbourhood_overlap(a: torch.Tensor, b: torch.Tensor, k: int) -> float:
    """Mean share of the k nearest Euclidean neighbours that a sample has in both; a: (N, D), b: (N, E) (Doimo 2020)."""
    ### BEGIN SOLUTION
    here, there = (evaluate.nearest_neighbours(x, k=k, metric="euclidean")[1] for x in (a, b))      # (N, k)
    common = (here[:, :, None] == there[:, None, :]).any(dim=2)              # (N, k)
    return common.double().mean().item()
    ### END SOLUTION


# %% tags=["check"]
neighbourhood_overlap = check.neighbourhood_overlap(neighbourhood_overlap)

# %% [markdown]
# ### 10.6 Label overlap  ·  optional  ·  difficulty 1 of 3  ·  about 5 minutes
#
# No vote, as a classifier would hold: the mean share of neighbours that have the sample's own label.
#
# <details><summary>Hint</summary><code>labels[places]</code> is (N, k); compare with
# <code>labels[:, None]</code>.</details>


# %% tags=["exercise", "points:0"]
def label_overlap(x: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    """Mean share of the k nearest Euclidean neighbours with the sample's own label, itself left out.

    x: (N, D); labels: (N,).
    """
    ### BEGIN SOLUTION
    places = evaluate.nearest_neighbours(x, k=k, metric="euclidean")[1]      # (N, k)
    return (labels[places] == labels[:, None]).double().mean().item()
    ### END SOLUTION


# %% tags=["check"]
label_overlap = check.label_overlap(label_overlap)

# %% [markdown]
# ### 10.7 Dimension against scale  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Fewer points are further apart: with a random share of the points, TwoNN looks at a larger scale. Draw *without*
# replacement (a point drawn twice has $r_1 = 0$), and average over several draws.
#
# <details><summary>Hint</summary><code>torch.randperm(len(x), generator=generator)[:size]</code> are the rows of one
# draw.</details>


# %% tags=["exercise", "points:0"]
def id_scaling(
    x: torch.Tensor, fractions: list[float], n_repeats: int, generator: torch.Generator
) -> tuple[list[int], list[float]]:
    """Sizes int(fraction * N) and the mean of two_nn over n_repeats random subsets of each size."""
    ### BEGIN SOLUTION
    sizes = [int(fraction * len(x)) for fraction in fractions]
    ids = []
    for size in sizes:
        draws = [torch.randperm(len(x), generator=generator)[:size] for _ in range(n_repeats)]
        ids.append(sum(two_nn(x[rows]) for rows in draws) / n_repeats)
    return sizes, ids
    ### END SOLUTION


# %% tags=["check"]
id_scaling = check.id_scaling(id_scaling)

# %% [markdown]
# ### 10.8 Gride  ·  optional  ·  difficulty 3 of 3  ·  about 25 minutes
#
# The other way to a larger scale keeps all points and takes neighbours further out: $\mu = r_{2n} / r_n$, with the
# density (Denti et al. 2022)
#
# $$p(\mu) \propto d\, (\mu^d - 1)^{n - 1} \mu^{-(2n - 1) d - 1}.$$
#
# Find the $d$ of largest likelihood. At $n = 1$ it is $N / \sum \log \mu$. (With $N - 1$ in place of $N$ it is
# unbiased there, as in 10.3; the authors' own code does that, and it is accepted as well.) Equal points, a lattice and
# NaN have no such $d$: a `ValueError`.
#
# <details><summary>Hint 1</summary>Write the log-likelihood and differentiate it with respect to d; the slope falls
# with d.</details>
# <details><summary>Hint 2</summary><code>scipy.optimize.brentq(slope, 0.001, 1000)</code> finds where it is
# 0.</details>


# %% tags=["exercise", "points:0"]
def gride(x: torch.Tensor, n1: int = 1) -> float:
    """Dimension of largest likelihood from r_{2 n1} / r_{n1} of every point (Denti et al. 2022); x: (N, D)."""
    ### BEGIN SOLUTION
    from scipy.optimize import brentq

    distances = evaluate.nearest_neighbours(x, k=2 * n1, metric="euclidean")[0].double()     # (N, 2 n1)
    near = distances[:, n1 - 1]
    log_mu = (distances[near > 0, 2 * n1 - 1] / near[near > 0]).log()

    def slope(d: float) -> float:
        grown = 1 / -torch.expm1(-d * log_mu)                                # mu^d / (mu^d - 1)
        return (1 / d - (2 * n1 - 1) * log_mu + (n1 - 1) * (log_mu * grown).nan_to_num(1 / d)).sum().item()

    if not slope(1e-3) > 0 > slope(1e3):
        raise ValueError("No dimension below 1000 fits: nearly all points are equal, or lie on a lattice.")
    return brentq(slope, 1e-3, 1e3)
    ### END SOLUTION


# %% tags=["check"]
gride = check.gride(gride)

# %% [markdown]
# ### 10.9 A profile of layers  ·  given
#
# Features of every layer in one pass, whole maps flattened (averaged over the positions for a sequence of tokens), then
# dimension, PCA dimension, and the overlap of every layer with every other. The rows stay in the order of the images in
# all layers: that is what makes row n the same sample everywhere.


# %% tags=["exercise", "points:0"]
def layer_profile(model: nn.Module, images: torch.Tensor, layers: list[str]) -> dict:
    """Geometry of L layers: {"id": (L,), "pca": (L,), "overlap": (L, L) with k = 10, "features": {layer: (N, D)}}.

    overlap[i, j] is that of layers[i] and layers[j].
    """
    features = evaluate.layer_features(model, images, layers, grid=max(images.shape[-2:]))
    h = [features[layer] for layer in layers]
    # The neighbours of each layer are found once, then compared pair by pair, as in neighbourhood_overlap.
    near = [evaluate.nearest_neighbours(x, k=10, metric="euclidean")[1] for x in h]          # (N, 10) each
    overlap = torch.tensor([[(a[:, :, None] == b[:, None]).any(2).double().mean().item() for b in near] for a in near])
    return {
        "id": torch.tensor([two_nn(x) for x in h]),
        "pca": torch.tensor([participation_ratio(x) for x in h]),
        "overlap": overlap,
        "features": features,
    }


# %% tags=["check"]
layer_profile = check.layer_profile(layer_profile)

# %% [markdown]
# ### 10.10 Information imbalance  ·  optional  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Overlap is symmetric: it cannot say that one representation knows what the other one knows, and more. Ask instead, for
# every sample, how far away its nearest neighbour in $a$ is in $b$, not by distance, which has other units, but by
# **rank** among all others (Glielmo et al. 2022):
#
# $$\Delta(a \to b) = \frac2N \cdot \frac1N \sum_{n=1}^N \mathrm{rank}_b\big(n, \mathrm{NN}_a(n)\big), \qquad
# \mathrm{rank} = 1, \dots, N - 1.$$
#
# If $b$ has the same neighbours it is $2 / N$, nearly 0; if $a$ says nothing about $b$ the mean rank is $N / 2$, and it
# is 1. Where $\Delta(a \to b)$ is small and $\Delta(b \to a)$ large, $a$ holds what $b$ holds, and more besides.
#
# <details><summary>Hint 1</summary><code>evaluate.nearest_neighbours(a, k=1, metric="euclidean")[1]</code> is (N,
# 1).</details>
# <details><summary>Hint 2</summary>All distances in b, (N, N), the diagonal infinite; the rank is 1 plus the number of
# others that are nearer.</details>


# %% tags=["exercise", "points:0"]
def information_imbalance(a: torch.Tensor, b: torch.Tensor) -> float:
    """2 / N x mean rank in b (N, E) of each sample's nearest neighbour in a (N, D), Euclidean, itself left out."""
    ### BEGIN SOLUTION
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a has {len(a)} rows and b has {len(b)}: row n of both is the same sample, of two or more.")
    nearest = evaluate.nearest_neighbours(a, k=1, metric="euclidean")[1].to(b.device)            # (N, 1)
    far = torch.cdist(b.double(), b.double()).fill_diagonal_(math.inf)                           # (N, N)
    rank = 1 + (far < far.gather(1, nearest)).sum(dim=1)                                         # (N,)
    return (2 * rank.double().mean() / len(a)).item()
    ### END SOLUTION


# %% tags=["check"]
information_imbalance = check.information_imbalance(information_imbalance)

# %% [markdown]
# ## Manifolds whose dimension is known
#
# Before a measure is trusted on data, it is tried where the answer is known. The **3-torus**: three angles, drawn
# uniformly; each gives a cosine and a sine; the six numbers are rotated into 50 dimensions.

# %%
n_points = scale.pick(dry=300, tiny=4000, small=4000, full=4000)
draws = scale.pick(dry=2, tiny=10, small=10, full=10)
random = scale.generator()


def cube(n: int, d: int) -> torch.Tensor:
    """Points (n, d), uniform in the unit cube."""
    return torch.rand(n, d, generator=random, dtype=torch.float64)


def torus(n: int, d: int, dimensions: int = 0) -> torch.Tensor:
    """Points (n, 2 d) on the flat d-torus, or rotated into more dimensions (n, dimensions)."""
    angles = 2 * math.pi * cube(n, d)
    x = torch.cat([angles.cos(), angles.sin()], dim=1)                       # (n, 2 d)
    if not dimensions:
        return x
    rotation = torch.linalg.qr(torch.randn(dimensions, 2 * d, generator=random, dtype=torch.float64)).Q
    return x @ rotation.T                                                    # (n, dimensions)


tori = [torus(n_points, 3, 50) for _ in range(draws)]
torus_ids = torch.tensor([[two_nn(x), two_nn_mle(x), participation_ratio(x)] for x in tori])     # (draws, 3)
for name, values in zip(("TwoNN", "maximum likelihood", "PCA"), torus_ids.T):
    print(f"3-torus in 50 dimensions, {name:18}: {values.mean():.2f} +- {values.std():.2f} over {draws} draws")

# %% [markdown]
# The line of the regression, for one draw. Not fitted is the upper tenth of the ratios, above the level of 90 %: a tenth
# of the points, though most of the axis.

# %%
r1, r2 = two_nearest(tori[0])
log_mu = (r2 / r1).log().sort().values[:-1]                                  # the last one has F = 1
level = -torch.log(1 - torch.arange(1, len(log_mu) + 1) / (len(log_mu) + 1))
kept = int(0.9 * (len(log_mu) + 1))
fitted = torch.arange(len(level)) < kept
line = two_nn(tori[0]) * log_mu
figure = plot.curves(
    {
        "fitted ratios": torch.where(fitted, level, torch.nan),
        "ratios left out": torch.where(fitted, torch.nan, level),
        "TwoNN's line": torch.where(fitted, line, torch.nan),
        "the line, continued": torch.where(fitted, torch.nan, line),
    },
    x=log_mu,
    known=["the line, continued"],
    levels={"90 %": -math.log(0.1)},
    xlabel="log(mu)",
    ylabel="-log(1 - F)",
    title="The slope is the dimension: a 3-torus, one draw",
)
names = figure.axes[0].get_legend() or figure.legends[0]
for drawn in (figure.axes[0].lines[0], names.get_lines()[0]):
    drawn.set(linewidth=7, alpha=0.4)                                        # wide and pale: the line lies upon it
plot.show(
    figure,
    alt="Minus log of one minus F against log mu: the fitted ratios on a line through the origin, which stops there and is "
    "continued dashed; the ratios of the upper tenth scatter about it.",
)

# %% [markdown]
# ### Known biases
#
# Cubes and a flat torus, 2,000 points each, at dimensions that a layer may well have. The cut form of maximum
# likelihood, the mistake named in the theory, is drawn beside the right ones.

# %%
dimensions = [2, 5, 10, 20]
n_bias, bias_draws = scale.pick(dry=200, tiny=2000, small=2000, full=2000), scale.pick(dry=2, tiny=5, small=10, full=20)


def cut_mle(x: torch.Tensor) -> float:
    """WRONG, to show it: maximum likelihood without the largest tenth of the ratios."""
    r1, r2 = two_nearest(x)
    lower = (r2 / r1).log().sort().values[: int(0.9 * len(x))]
    return (len(lower) / lower.sum()).item()


cubes = [[cube(n_bias, d) for _ in range(bias_draws)] for d in dimensions]
cube_ids = torch.tensor([[two_nn(x) for x in some] for some in cubes])       # (dimensions, draws)
cut_ids = torch.tensor([[cut_mle(x) for x in some] for some in cubes]).mean(dim=1)
torus10 = torch.tensor([two_nn(torus(n_bias, 10)) for _ in range(bias_draws)])
for d, values in zip(dimensions, cube_ids):
    print(f"cube of {d:2}: TwoNN {values.mean():5.2f} +- {values.std():.2f}")
print(f"flat torus of 10: TwoNN {torus10.mean():5.2f} +- {torus10.std():.2f}")
plot.show(
    plot.curves(
        {"true": dimensions, "TwoNN": cube_ids.mean(dim=1), "maximum likelihood, wrongly cut": cut_ids},
        x=dimensions,
        known=["true"],
        bands={"TwoNN": cube_ids.std(dim=1)},
        xlabel="true dimension",
        ylabel="estimate",
        title=f"Cubes of {n_bias} points: borders bias downwards",
    ),
    alt="TwoNN falls below the true dimension as it grows to 20; the wrongly cut estimate lies about a third higher.",
)

# %% [markdown]
# The wrongly cut estimate even looks *better* at high dimension, since two errors cancel. At dimension 2, where there
# is nothing to cancel, it is plainly wrong. A bias is no correction of another one. The flat torus, which has no
# border, comes out too *high*: there curvature is what is left.
#
# ### Far from the origin, in float32
#
# Features behind a ReLU have a large mean. The same cube of ten dimensions, moved by 100, measured by distances from
# float32 products without taking the mean off, and by ours:

# %%
near_origin = cube(n_bias, 10).float()
moved = near_origin + 100


def naive(x: torch.Tensor) -> float:
    """WRONG, to show it: all distances at once from float32 products, nothing centred."""
    squares = x.square().sum(dim=1)
    far = (squares[:, None] + squares - 2 * x @ x.T).clamp(min=0).sqrt().fill_diagonal_(float("inf"))
    r1, r2 = far.topk(2, largest=False).values.T
    log_mu = (r2 / r1)[r1 > 0].log()
    return ((len(log_mu) - 1) / log_mu.sum()).item() if len(log_mu) > 1 else float("nan")


print(f"at the origin: ours {two_nn_mle(near_origin):.2f}, naive {naive(near_origin):.2f}")
print(f"moved by 100:  ours {two_nn_mle(moved):.2f}, naive {naive(moved):.2f}")

# %% [markdown]
# ### Noise, and the scale at which one looks
#
# A swiss roll is a rolled plane: dimension 2 in 3. Noise makes it thick, and at scales below the thickness it is a body
# of dimension 3. Fewer points, larger distances: read from right to left, the noise vanishes.

# %%
fractions = [1.0, 0.5, 0.25, 0.125, 0.0625]


def swiss_roll(n: int, noise: float) -> torch.Tensor:
    """Points (n, 3): angle from 1.5 to 4.5 pi, radius equal to the angle, height from 0 to 21."""
    angle = 1.5 * math.pi * (1 + 2 * cube(n, 1))
    roll = torch.cat([angle * angle.cos(), 21 * cube(n, 1), angle * angle.sin()], dim=1)
    return roll + noise * torch.randn(n, 3, generator=random, dtype=torch.float64)


rolls = {f"noise {noise}": swiss_roll(n_points, noise) for noise in (0.0, 0.1, 0.3)}
repeats = scale.pick(dry=1, tiny=5, small=5, full=5)
scaling = {label: id_scaling(x, fractions, repeats, random) for label, x in rolls.items()}
sizes = scaling["noise 0.0"][0]
plot.show(
    plot.curves(
        {label: ids for label, (_, ids) in scaling.items()},
        x=sizes,
        levels={"plane": 2, "body": 3},
        log_x=True,
        xlabel="points",
        ylabel="TwoNN",
        title="A swiss roll: with few points noise is not seen; one draw",
    ),
    alt="Dimension of a swiss roll against the number of points: 2 without noise, rising towards 3 with noise.",
)
ranks = [1, 2, 4, 8, 16, 32]
plot.show(
    plot.curves(
        {label: [gride(x, n1) for n1 in ranks] for label, x in rolls.items()},
        x=ranks,
        levels={"plane": 2, "body": 3},
        log_x=True,
        xlabel="n: neighbours n and 2n are compared",
        ylabel="gride",
        title="The same with all points: further neighbours, larger scale; one draw",
    ),
    alt="Gride against the rank of the neighbour: the dimension of noisy rolls falls from near 3 towards 2.",
)

# %% [markdown]
# #### Question 1
#
# (a) Derive the factor 1.34 for the cut. Why does the same cut not harm the regression? (b) The 3-torus has PCA
# dimension 6. What would both measures say of a circle drawn as the curve
# $(\cos t, \sin t, \cos 2t, \sin 2t, \dots, \cos 20 t, \sin 20 t)$? (c) You measure 14 on 2,000 images. Which
# statements about the true dimension does that support, and what would you measure next?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) $\log \mu$ is exponential with rate $d$. Its lowest share $f$ has the mean
# $\frac1f \int_0^q x\, d e^{-dx} dx$ with $e^{-dq} = 1 - f$, which is
# $\frac1d \left(1 + \frac{1-f}{f} \ln(1-f)\right)$; for $f = 0.9$ this is $0.744 / d$. The regression pairs each kept
# ratio with its level among *all* $N$, so the points lie on the same line, only fewer of them.
#
# (b) TwoNN 1: it is a curve. PCA 40: all pairs of functions have the same variance and are uncorrelated. One degree of
# freedom may be bent through as many dimensions as you like.
#
# (c) At least about 14 if borders and sparse neighbours are all that is wrong, since they bias downwards. Curvature
# biases upwards (the flat torus), and noise, rounding or compression add dimensions at the small scale that was looked
# at. Next: the same over subsets (is it a plateau, or does it change with the scale?), cubes of known dimension with
# the same number of points for the size of the bias, and the spread over subsets.
# ### END SOLUTION

# %% [markdown]
# ## The toy world against its true number of factors
#
# Of the scenes every factor is known, so their dimension can be compared with the truth. First a world in which only
# some continuous factors vary, all else being as in its first image: position, horizon, mist, size, tilt, the three
# channels of the light, then the three of the sky, the ground and the haze. The truth is the number of numbers that
# vary. A cube of that dimension with the same number of points shows what TwoNN would give if factors entered
# linearly.

# %%
ladder = {"x": 1, "y": 1, "horizon": 1, "mist": 1, "radius": 1, "tilt": 1, "light": 3, "sky": 3, "earth": 3, "haze": 3}
steps = [2, 4] if scale.name == "dry" else [1, 2, 3, 4, 6, 7, 10]
n_world = scale.pick(dry=200, tiny=1500, small=1500, full=2000)
world_true, world_id, world_pca, cube_id = [], [], [], []
for count in steps:
    varying = list(ladder)[:count]
    world = make_scenes(n_world, seed=scale.seed, vary=varying).images.float().flatten(1)       # (N, 3072)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # of one factor, images rounded to whole numbers repeat
        world_id.append(two_nn(world))
    world_true.append(sum(ladder[name] for name in varying))
    world_pca.append(participation_ratio(world))
    cube_id.append(two_nn(cube(n_world, world_true[-1])))

plot.show(
    plot.curves(
        {"true": world_true, "pixels": world_id, "cube of that dimension": cube_id},
        x=world_true,
        known=["true"],
        xlabel="numbers that vary",
        ylabel="TwoNN",
        title=f"Scenes of which only some factors vary, {n_world} images, one seed",
    ),
    alt="Estimated dimension of the pixels against the number of varying factors, beside the truth and cubes.",
)
print("PCA dimension of the same images:", ", ".join(f"{value:.1f}" for value in world_pca))
everything = make_scenes(n_world, seed=scale.seed).images.float().flatten(1)
print(f"the full world: pixels {two_nn(everything):.1f}, a cube of 24 dimensions {two_nn(cube(n_world, 24)):.1f}")

# %% [markdown]
# The estimate rises with the number of factors, and is not that number. With few factors neighbours are near, and what
# is rough at that scale counts as dimension: pixels are rounded to whole numbers, edges jump from pixel to pixel, and a
# factor that changes little (the tilt) is not much larger than that. With many factors neighbours are far, and what
# pulls the estimate of the cube down, borders and sparse neighbours, pulls at the pixels too. The two errors have
# opposite signs, and their sum is known where the truth is known. The PCA dimension does not follow the number of
# factors: moving an object moves a picture along a curve that is bent through many directions.
#
# In the full world, 24 numbers vary continuously (six factors, three each for light, object, sky, haze and ground,
# three for proportions and phase of the texture), three more for each cloud or bush that happens to be there, and
# beside them class, colour, background and texture, which take few values and have no dimension. The last printed line
# has the estimate for this world, and for a cube of 24 dimensions with as many points. The cube shows how much is lost
# where neighbours are far; what the pixels have above it may come from clouds and bushes, jumps between classes,
# curvature and the rough small scale. Which of these adds how much, the number does not say.

# %% [markdown]
# ## Layers of trained, untrained and random-label nets
#
# ### Training, live
#
# Three nets of the same architecture and initialisation: **untrained**; trained on the classes; trained on the same
# images with labels drawn at random, which can only be learnt by heart (Zhang et al. 2017; Ansuini et al. 2019 compare
# such nets). Networks that ship with the course join them, of another training and at `small` of another design too:
# at `tiny` MoCo of week 5, without labels on ten times as many scenes; at `small` SimCLR and a supervised network, each
# trained on all training images of CIFAR-10. They show what such features look like, not what the same budget would
# reach.

# %%
# NBVAL_CHECK_OUTPUT
name = scale.pick(tiny="scenes", small="cifar10", full="cifar10")
train_set = data.load_images(name, "train", n=scale.pick(dry=300, tiny=2000, small=2000, full=None), seed=scale.seed)
test_set = data.load_images(name, "test", n=scale.pick(dry=200, tiny=1500, small=2000, full=5000), seed=scale.seed)
classes = len(train_set.class_names)
print(f"{len(train_set)} training and {len(test_set)} test images of {classes} classes")

# %%
architecture = scale.pick(tiny="conv4_gn", small="resnet10t", full="resnet18")
epochs = scale.pick(dry=1, tiny=20, small=20, full=100)
batch_size = 64
learning_rate = scale.pick(tiny=2e-3, small=1e-3, full=1e-3)
depth = ["input", "stage 1", "stage 2", "stage 3", "stage 4", "pooled"]


class Net(nn.Module):
    """A backbone and a linear head."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.num_features, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))                              # (N, classes)


def layers_of(net: Net) -> list[str]:
    """Names of the layers in `depth`: the stages of a timm network have other names than ours."""
    stage = "stage" if hasattr(net.backbone, "stage1") else "net.layer"
    return ["backbone.normalise", *(f"backbone.{stage}{n}" for n in range(1, 5)), "backbone"]


def shuffled(labels: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """Labels of which this share, chosen at random, are permuted among each other."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=generator)[: int(share * len(labels))]
    labels = labels.clone()
    labels[chosen] = labels[chosen[torch.randperm(len(chosen), generator=generator)]]
    return labels


def build(seed: int) -> Net:
    """An untrained net, the same for the same seed."""
    torch.manual_seed(seed)
    return Net(models.backbone(architecture, image_size=train_set.images.shape[-1])).to(scale.device)


def fit(images: torch.Tensor, labels: torch.Tensor, seed: int, label: str = "training") -> Net:
    """A net trained on these labels, right or not."""
    net = build(seed)
    train.fit_classifier(
        net,
        images,
        labels,
        epochs=epochs,
        batch_size=batch_size,
        lr=learning_rate,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=scale.max_steps,
        label=label,
    )
    return net


def accuracy(net: Net, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of images whose largest logit is at the label."""
    return (evaluate.extract_features(net, images).argmax(dim=1) == labels).double().mean().item()


random_labels = shuffled(train_set.labels, 1.0, scale.seed)
nets = {
    "untrained": build(scale.seed),
    "supervised": fit(train_set.images, train_set.labels, scale.seed, "supervised"),
    "random labels": fit(train_set.images, random_labels, scale.seed, "random labels"),
}
shipped = {"MoCo, shipped": "moco_scenes_conv4"}
if name == "cifar10":
    shipped = {"SimCLR, shipped": "simclr_cifar10_wide", "supervised, shipped": "supervised_cifar10_conv4"}
    shipped |= {"VICReg, shipped": "vicreg_cifar10_conv4", "rotation, shipped": "rotation_cifar10_conv4"}
other = next(iter(shipped))                                                  # the one without labels
nets |= {net: Net(models.load_pretrained(file)).to(scale.device) for net, file in shipped.items()}

trained_on = {"supervised": train_set.labels, "random labels": random_labels}
accuracies = {
    net: (accuracy(nets[net], train_set.images, y), accuracy(nets[net], test_set.images, test_set.labels))
    for net, y in trained_on.items()
}
for net, (own, unseen) in accuracies.items():
    print(f"{net:14}: {own:.2f} of its own training labels, {unseen:.2f} of the test images")

# %% [markdown]
# Both reach about the same on their training labels; only one of them knows anything about test images. Now the same
# test images through all nets.

# %%
started = time.perf_counter()
profiles, label_overlaps, pooled = {}, {}, {}
for net, model in nets.items():
    profiles[net] = layer_profile(model, test_set.images, layers_of(model))
    h = list(profiles[net].pop("features").values())                         # (N, D) for each layer
    label_overlaps[net] = [label_overlap(layer, test_set.labels, 10) for layer in h]
    pooled[net] = h[-1]
    if net == "supervised":
        supervised_h = h
print(f"{len(nets)} nets, {len(depth)} layers each, in {time.perf_counter() - started:.0f} s")
for net, profile in profiles.items():
    dimensions_of = ", ".join(f"{value:.1f}" for value in profile["id"])
    print(f"{net:20} TwoNN {dimensions_of}; highest at {depth[int(profile['id'].argmax())]}")

# %%
across = {"x": range(len(depth)), "xlabel": "layer: 0 input, 1 to 4 stages, 5 pooled"}
plot.show(
    plot.curves(
        {net: profile["id"] for net, profile in profiles.items()},
        ylabel="TwoNN",
        title="Intrinsic dimension across layers, test images, one seed",
        **across,
    ),
    alt="TwoNN dimension of six layers for untrained, supervised, random-label and shipped nets.",
)
plot.show(
    plot.curves(
        {net: profile["pca"] for net, profile in profiles.items()},
        ylabel="participation ratio",
        title="PCA dimension across layers, test images, one seed",
        **across,
    ),
    alt="Participation ratio of six layers for the same nets.",
)
plot.show(
    plot.curves(
        label_overlaps,
        levels={"chance": 1 / classes},
        ylabel="label overlap, k = 10",
        title="Share of neighbours of the same class, test images, one seed",
        **across,
    ),
    alt="Share of neighbours with the same label across layers for the same nets, with the level of chance.",
)

# %% [markdown]
# Read the three together, and the printed lines for where each net is highest.
#
# Training on classes turns neighbours into classmates, stage by stage; learning random labels leaves no more of them in
# the pooled layer than the untrained net has, as the third figure shows. In the first, look at stage 3. What does not
# help to tell the classes apart may be overlooked, and the intrinsic dimension of the net with true labels can fall.
# The net with random labels has nothing that it may overlook, since any detail may be what tells one image from
# another. On the scenes (`tiny`) the report claims just that: the supervised net lies below the untrained one and far
# below the one with random labels, whose *linear* dimension rises furthest.
#
# Is the **hunchback** of Ansuini et al. (2019) here, a rise in the middle and a fall towards the head? They found it in
# large nets on natural images, in the intrinsic dimension. Look for it in both measures, at the scale that you run.
# And mind the zero mark: an untrained net has a profile too, which depends on its design. "Training lowers the
# dimension" is a statement about a net, a set of images and an untrained net to compare with, and about no other.
#
# How were random labels learnt, if the neighbours are no classmates? On the *training* images the last layers do group
# by the random label:

# %%
by_heart = nets["random labels"]
own = layer_profile(by_heart, train_set.images[: len(test_set)], layers_of(by_heart))["features"].values()
own_overlap = [label_overlap(layer, random_labels[: len(test_set)], 10) for layer in own]
plot.show(
    plot.curves(
        {
            "training images, random labels": own_overlap,
            "test images, true labels": label_overlaps["random labels"],
        },
        levels={"chance": 1 / classes},
        ylabel="label overlap, k = 10",
        title="The net that learnt random labels by heart, one seed",
        **across,
    ),
    alt="Label overlap of the random-label net: chance until late layers, then near one on its training images only.",
)

# %% [markdown]
# ### Layer against layer
#
# Which layers hold the same neighbours? Row i, column j: overlap of layers i and j of one net, numbered as above. The
# map is symmetric with ones on the diagonal.

# %%
plot.show(
    plot.heat_maps(
        {net: profiles[net]["overlap"] for net in ("untrained", "supervised", "random labels")},
        rows=depth,
        columns=range(len(depth)),
        label="overlap of the 10 nearest",
        xlabel="layer",
        title="Layer against layer, one seed",
    ),
    alt="Three maps of overlap between layers: untrained, supervised and random-label net.",
)

# %% [markdown]
# Between two *nets* rows and columns mean different things, and the map is not symmetric: here row i is layer i of the
# supervised net, column j layer j of another one. The cell also shows what happens if the images are shuffled in
# between.

# %%
few = min(len(test_set), 600)
other_h = evaluate.layer_features(
    nets[other], test_set.images[:few], layers_of(nets[other]), grid=max(test_set.images.shape[-2:])
)
between = torch.tensor(
    [[neighbourhood_overlap(a[:few], b, 10) for b in list(other_h.values())[1:]] for a in supervised_h[1:]]
)
plot.show(
    plot.heat_map(
        between,
        rows=[f"supervised, {place}" for place in depth[1:]],
        columns=depth[1:],
        label="overlap of the 10 nearest",
        title=f"Rows: supervised net. Columns: {other}. One seed",
    ),
    alt="Overlap of each layer of the supervised net with each layer of another net.",
)
order = torch.randperm(few, generator=random)
last = supervised_h[-1][:few]
print(f"the pooled layer with itself {neighbourhood_overlap(last, last, 10):.2f}")
print(f"the same, the rows of one shuffled: {neighbourhood_overlap(last, last[order], 10):.2f}")
print(f"chance k / (N - 1): {10 / (few - 1):.2f}")

# %% [markdown]
# ### Who knows more? Information imbalance
#
# Exercise 10.10 between whole representations of the test images: pixels (thumbnails of a quarter of the size), the
# pooled layer of each net, and, where the images are drawn, the **factors** they were drawn from: class, colour,
# texture, place and the like as one-hot vectors, positions, sizes, horizon, tilt and mist as numbers, each of variance
# 1. Row a, column b: what the nearest neighbour in a is worth in b, 0 for all, 1 for nothing.


# %%
def of_variance_one(values: torch.Tensor) -> torch.Tensor:
    """A factor as columns (N, K), numbers or one-hot vectors, whose variances add up to 1."""
    columns = F.one_hot(values.long()).float() if not values.is_floating_point() else values[:, None]
    columns = columns - columns.mean(dim=0)
    return columns / columns.square().mean(dim=0).sum().sqrt().clamp(min=1e-6)


some = slice(0, 1000)
known = {"pixels": F.avg_pool2d(data.as_float(test_set.images[some]), 4).flatten(1)}
known |= {net: h[some] for net, h in pooled.items()}
if test_set.factors is not None:
    drawn = [test_set.labels, *test_set.factors.values()]
    known["factors"] = torch.cat([of_variance_one(values[some]) for values in drawn], dim=1)
imbalance = torch.tensor(
    [[math.nan if a is b else information_imbalance(a, b) for b in known.values()] for a in known.values()]
)
plot.show(
    plot.heat_map(
        imbalance,
        rows=[f"from {one}" for one in known],
        columns=[f"to {one}" for one in known],
        label="information imbalance",
        title="What the nearest neighbour in a row is worth in a column:\n0 all, 1 nothing; one seed",
    ),
    alt="Information imbalance from each representation, in rows, to each other one, in columns.",
)
target = "factors" if "factors" in known else "supervised, shipped"
there, back = (
    information_imbalance(known[a], known[b]) for a, b in ((other, target), (target, other))
)
print(f"from {other} to {target}: {there:.2f}, back: {back:.2f}")

# %% [markdown]
# A map like this is not symmetric, and the difference is what it has to tell. Compare each entry with the one on the
# other side of the diagonal: the smaller one starts at the representation that knows more *about what the other one
# calls near*. "Near" is defined by the units: the factors have equal weights here because we gave them equal weights,
# while a network that was trained to ignore shifts and shades gives them little. So a net may know a factor (a probe
# would tell) and still call images near that differ in it.
#
# ### Transformers
#
# The shipped transformers of other weeks, at scale `tiny`: MAE (week 8) on scenes and DINO (week 7) on tissue, the
# world that each was trained on, and beside each the same architecture untrained. Features are taken where images
# have become tokens and after each block, averaged over the tokens. A mean over tokens is another representation than
# a whole map, and tissue is another world than scenes: compare lines of one world within this figure, nothing else.

# %%
if name == "scenes":
    tissue = data.load_images("tissue", "test", n=len(test_set), seed=scale.seed)
    torch.manual_seed(scale.seed)
    transformers = {
        "MAE, scenes": (models.load_pretrained("mae_scenes_vit8"), test_set.images),
        "untrained, scenes": (models.ViT(32, 8, dim=96, depth=3, num_heads=3), test_set.images),
        "DINO, tissue": (models.load_pretrained("dino_tissue_vit8"), tissue.images),
        "untrained, tissue": (models.backbone("vit8_conv"), tissue.images),
    }
    tokens = {}
    for label, (model, images) in transformers.items():
        blocks = [f"blocks.{n}" for n in range(len(model.blocks))]
        tokens[label] = layer_profile(model, images, ["patch_embed", *blocks])
    longest = max(len(profile["id"]) for profile in tokens.values())
    for measure, words in (("id", "TwoNN"), ("pca", "participation ratio")):
        values = {label: profile[measure].tolist() for label, profile in tokens.items()}
        plot.show(
            plot.curves(
                {label: line + [math.nan] * (longest - len(line)) for label, line in values.items()},
                x=range(longest),
                xlabel=f"0 patches, 1 to {longest - 1} blocks",
                ylabel=words,
                title=f"Transformers, tokens averaged: {words}, one net each",
            ),
            alt=f"{words} after the patches and after each block, for MAE, DINO and untrained transformers.",
        )

# %% [markdown]
# #### Question 2
#
# (a) On the scenes (`tiny`) the intrinsic dimension of the supervised net falls although its PCA dimension first rises.
# How can both be? In some nets of the first figure it rises from one layer to the next. A smooth map cannot add a
# degree of freedom: what has risen then? (b) Why may a net with random labels compress less than one with true ones,
# and what would you expect of the sweep below, where only a share of the labels is random? (c) The intrinsic dimension
# of the input depends on how many images you have. Does the comparison of *nets* suffer from that? What would you hold
# equal?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) The manifold loses degrees of freedom (factors that do not matter are overlooked) and is at the same time bent
# through more directions: ReLUs fold it, and classes that move apart occupy directions of their own. PCA sees the
# bending, TwoNN the degrees of freedom.
#
# What rises is the *estimate*. It sees the degrees of freedom that matter at the distance of nearest neighbours. Some
# that hardly move a pixel (fine texture, a shifted edge) are below that scale in the input, and layers that enlarge
# them bring them into sight; with few points in many dimensions the estimate is off besides, downwards by borders and
# upwards by curvature, and not equally in all layers. Which of these it is, the profile alone does not tell: look over
# scales, layer by layer.
#
# (b) With true labels whole families of images (the same shape elsewhere, in another colour) have one answer, and the
# net may map them together. With random labels no such family exists; to map two similar images of different label
# apart, it has to amplify the small differences between them, that is keep and stretch all directions. Only the last
# layers, where the label is known, can bring together what shares it, and only for images it has seen. With a share of
# the labels random, the net has to do both, and the dimension of stage 3 should lie between: the recorded sweep rises
# with the share, its last step by less than the whiskers.
#
# (c) All layers of all nets are measured on the same images, so their number explains no difference between nets. But
# the bias grows with the dimension, and its sign depends on the shape (the cube and the flat torus of ten dimensions):
# a small difference between high values says little. Equal: images, their number, the pooling of maps, the fraction.
# Then repeat with half of the images: does the order stay?
# ### END SOLUTION

# %% [markdown]
# ## How random may labels be? A recorded sweep
#
# The same training with a share of the labels permuted. Recorded is the intrinsic dimension of stage 3 on test
# images. To compute a point with your own seed, name it in `rerun`. At a scale where this sweep was not recorded, the
# curve is the one of `tiny` and only the stars are of your own images: do not join them.

# %%
rerun = []


def stage3_dimension(share: float, seed: int) -> float:
    """TwoNN of stage 3 after training with this share of labels permuted."""
    net = fit(train_set.images, shuffled(train_set.labels, share, seed), seed, f"{share:.0%} random")
    stage3 = layers_of(net)[3]
    h = evaluate.layer_features(net, test_set.images, [stage3], grid=max(test_set.images.shape[-2:]))
    return evaluate.two_nn(h[stage3])


dimension = {net: profile["id"][3].item() for net, profile in profiles.items()}
known = {0.0: dimension["supervised"], 1.0: dimension["random labels"]}
shares = check.sweep(
    scale,
    "share of random labels",
    lambda point, seed: known[point] if point in known and seed == scale.seed else stage3_dimension(point, seed),
    points=[0.0, 0.25, 0.5, 0.75, 1.0],
    own=known,
    rerun=rerun,
)
plot.show(
    plot.sweep(
        shares,
        xlabel="share of labels that are random",
        ylabel="TwoNN of stage 3",
        levels={"untrained, yours": dimension["untrained"]},
        title="Dimension of stage 3 against the share of random labels",
    ),
    alt="Intrinsic dimension of stage 3 against the share of random labels, with error bars and the untrained level.",
)

# %% [markdown]
# ## Optional: published networks
#
# At scale `full` the same functions measure transformers of the literature, each layer's tokens averaged as in
# Valeriani et al. (2023). They describe (abstract, and the profiles of ESM-2 and iGPT in their first figures) a rise
# in the first layers, a strong contraction in the middle ones, and then a plateau or a second, shallow peak. This cell
# fetches weights with `transformers` and needs a GPU; **it was never run for this release**, and no number of it is
# recorded.


# %%
def hidden_states(name: str, inputs: dict[str, torch.Tensor], batch_size: int = 16) -> list[torch.Tensor]:
    """Features (N, D) after the embedding and after each block of a published transformer, tokens averaged.

    name: such as "facebook/esm2_t12_35M_UR50D", "openai/imagegpt-small" or "facebook/dinov2-small"; inputs: what its
    tokenizer or image processor returns for N samples, padded to one length.
    """
    from transformers import AutoModel

    model = AutoModel.from_pretrained(name).to(scale.device).eval()
    count = len(next(iter(inputs.values())))
    rows = []
    for start in range(0, count, batch_size):
        batch = {key: value[start : start + batch_size].to(scale.device) for key, value in inputs.items()}
        with torch.no_grad():
            states = model(**batch, output_hidden_states=True).hidden_states             # each (n, L, D)
        real = batch.get("attention_mask", torch.ones(states[0].shape[:2], device=scale.device))[..., None].float()
        rows.append([((state * real).sum(dim=1) / real.sum(dim=1)).float().cpu() for state in states])
    return [torch.cat(parts) for parts in zip(*rows)]


if scale.name == "full":
    from transformers import AutoImageProcessor

    pictures = [image.permute(1, 2, 0).numpy() for image in test_set.images[:2000]]
    for published in ("openai/imagegpt-small", "facebook/dinov2-small"):
        inputs = AutoImageProcessor.from_pretrained(published)(pictures, return_tensors="pt")
        curve = [two_nn(h) for h in hidden_states(published, dict(inputs))]
        plot.show(
            plot.curves({published: curve}, x=range(len(curve)), xlabel="block", ylabel="TwoNN"),
            alt=f"Intrinsic dimension across the blocks of {published}.",
        )

# %% [markdown]
# #### Question 3
#
# (a) You reduce features to as many principal components as TwoNN says. What goes wrong? (b) A colleague finds an
# intrinsic dimension of 3 for a layer and concludes that training collapsed. Which other explanations are there, and
# which measure of this notebook would tell them apart? (c) Two layers have the same dimension. Does the overlap of
# their neighbourhoods have to be high? Give an example.

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) TwoNN counts degrees of freedom of a bent manifold, PCA keeps a flat subspace. Any smooth manifold of dimension d
# *can* be laid into 2 d dimensions without crossing itself (Whitney), but by bending it anew; a flat subspace that
# keeps it apart as it lies may need far more. So distances are lost. Choose components by the variance kept or by a
# task on validation data.
#
# (b) A good compression to a few factors, duplicates or near-duplicates in the data (augmented copies of one image), a
# scale problem such as few very tight clusters (within a cluster the dimension is low). Label overlap and a probe tell
# collapse from compression: a collapsed layer has chance; participation ratio 1 means one direction.
#
# (c) No. The coordinates x of one random cube and those of another, independent one: equal dimension, overlap k / (N -
# 1). Or: a layer that kept position and another one that kept colour and light of the same scenes.
# ### END SOLUTION

# %% [markdown]
# ## Traps
#
# Mistakes that no check of a function can see. All of them run without an error.
#
# - **Axes of the layer-layer map swapped.** Within one net the map is symmetric and nobody notices; between two nets it
#   says the reverse. Name rows and columns in the code that makes the map.
# - **Rows reshuffled between layers.** A data loader with `shuffle=True`, run once per layer: overlap falls to
#   $k / (N - 1)$ and looks like a finding. The dimension does not change, so it does not warn you.
# - **Different numbers of images.** The estimate depends on $N$: compare layers and nets on equal samples.
# - **Training mode.** With batch norm or dropout on, features depend on the batch or on chance: noise, which has all
#   dimensions.
# - **Pooled in one net, flattened in another.** The mean over space removes position, which is a dimension; a map of 16
#   channels averaged over space cannot have more than 16.
# - **Augmented copies in the sample.** The nearest neighbour of a view is the other view of the same image: TwoNN then
#   measures the augmentation.
# - **Too many digits.** One draw of 2,000 points has a relative error of two per cent or more even where nothing else
#   is wrong.

# %% [markdown]
# ## Report

# %%
torus_id, torus_pca = torus_ids[:, 0].mean().item(), torus_ids[:, 2].mean().item()
pca = {net: profile["pca"][3].item() for net, profile in profiles.items()}
claims = {
    "3-torus in 50 dimensions: 1 - relative error of the mean": (1 - abs(torus_id / 3 - 1), 0.97),
    "its PCA dimension: minus the distance from 6": (-abs(torus_pca - 6), -0.1),
    "label overlap of the pooled layer, supervised over untrained": (
        label_overlaps["supervised"][-1] - label_overlaps["untrained"][-1],
        scale.pick(tiny=0.3, small=0.1, full=0.1),
    ),
}
if name == "scenes":
    claims |= {
        "dimension of stage 3, untrained over supervised": (dimension["untrained"] - dimension["supervised"], 8.0),
        "dimension of stage 3, random labels over supervised": (
            dimension["random labels"] - dimension["supervised"],
            8.0,
        ),
        "PCA dimension of stage 3, random labels over untrained": (pca["random labels"] - pca["untrained"], 50.0),
    }
if target == "factors":
    claims["information imbalance, factors to MoCo over MoCo to factors"] = (back - there, 0.02)
measures = {f"cube_{d}": values.mean().item() for d, values in zip(dimensions, cube_ids)}
check.report(
    scale,
    torus_3_of_50=torus_id,
    torus_3_pca=torus_pca,
    **measures,
    flat_torus_10=torus10.mean().item(),
    supervised_accuracy=accuracies["supervised"][1],
    random_labels_learnt=accuracies["random labels"][0],
    input_id=profiles["untrained"]["id"][0].item(),
    supervised_stage3_id=dimension["supervised"],
    random_labels_stage3_id=dimension["random labels"],
    supervised_stage3_pca=pca["supervised"],
    random_labels_stage3_pca=pca["random labels"],
    supervised_label_overlap=label_overlaps["supervised"][-1],
    random_labels_label_overlap=label_overlaps["random labels"][-1],
    imbalance_there=there,
    imbalance_back=back,
    claims=claims,
    from_sweeps={"dimension of stage 3, all labels random over none": (shares.gap(1.0, 0.0), 8.0)},
    tested={"supervised_accuracy": len(test_set), "random_labels_learnt": len(train_set)},
    chance={
        measure: 1 / classes
        for measure in (
            "supervised_accuracy",
            "random_labels_learnt",
            "supervised_label_overlap",
            "random_labels_label_overlap",
        )
    }
    | {"imbalance_there": 1.0, "imbalance_back": 1.0},
    baseline={
        "supervised_stage3_id": dimension["untrained"],
        "random_labels_stage3_id": dimension["untrained"],
        "supervised_stage3_pca": pca["untrained"],
        "random_labels_stage3_pca": pca["untrained"],
        "supervised_label_overlap": label_overlaps["untrained"][-1],
        "random_labels_label_overlap": label_overlaps["untrained"][-1],
    },
)

# %% [markdown]
# ## What to take with you
#
# - The ratio of two distances knows the dimension and not the density: $F(\mu) = 1 - \mu^{-d}$.
# - Cut in the regression, never in the maximum likelihood.
# - Borders make high dimensions come out too low, curvature too high, and noise and rounding make small scales too
#   high: always look over scales, and at a cube with as many points.
# - Intrinsic dimension counts degrees of freedom, PCA counts directions. Where the second is far above the first, the
#   manifold is bent.
# - On the scenes, training on classes lowered the intrinsic dimension of stage 3 and learning by heart did not. Whether
#   training lowers or raises it depends on the net and on the images: there is always an untrained net to compare with.
# - Overlap of neighbourhoods says which layers agree; information imbalance says which of two knows more.

# %% [markdown]
# ## Further reading
#
# - E. Facco, M. d'Errico, A. Rodriguez, A. Laio. *Estimating the intrinsic dimension of datasets by a minimal
#   neighborhood information.* Scientific Reports 7, 2017.
#   [doi:10.1038/s41598-017-11873-y](https://doi.org/10.1038/s41598-017-11873-y).
# - A. Ansuini, A. Laio, J. H. Macke, D. Zoccolan. *Intrinsic dimension of data representations in deep neural
#   networks.* NeurIPS 2019. [arXiv:1905.12784](https://arxiv.org/abs/1905.12784). The hunchback, and nets with random
#   labels.
# - D. Doimo, A. Glielmo, A. Ansuini, A. Laio. *Hierarchical nucleation in deep neural networks.* NeurIPS 2020.
#   [arXiv:2007.03506](https://arxiv.org/abs/2007.03506). Neighbourhood overlap.
# - F. Denti, D. Doimo, A. Laio, A. Mira. *The generalized ratios intrinsic dimension estimator.* Scientific Reports 12,
#   2022. [doi:10.1038/s41598-022-20991-1](https://doi.org/10.1038/s41598-022-20991-1). Gride.
# - L. Valeriani, D. Doimo, F. Cuturello, A. Laio, A. Ansuini, A. Cazzaniga. *The geometry of hidden representations of
#   large transformer models.* NeurIPS 2023. [arXiv:2302.00294](https://arxiv.org/abs/2302.00294). iGPT and ESM-2.
# - A. Glielmo, C. Zeni, B. Cheng, G. Csányi, A. Laio. *Ranking the information content of distance measures.* PNAS
#   Nexus 1, 2022. [doi:10.1093/pnasnexus/pgac039](https://doi.org/10.1093/pnasnexus/pgac039). Information imbalance.
# - E. Cheng, D. Doimo, C. Kervadec, I. Macocco, L. Yu, A. Laio, M. Baroni. *Emergence of a high-dimensional abstraction
#   phase in language transformers.* ICLR 2025. [arXiv:2405.15471](https://arxiv.org/abs/2405.15471).
# - R. Wild, F. Wodaczek, V. Del Tatto, B. Cheng, A. Laio. *Automatic feature selection and weighting in molecular
#   systems using differentiable information imbalance.* Nature Communications 16, 270, 2025.
#   [doi:10.1038/s41467-024-55449-7](https://doi.org/10.1038/s41467-024-55449-7).
# - A. Di Noia, I. Macocco, A. Glielmo, A. Laio, A. Mira. *Beyond the noise: intrinsic dimension estimation with optimal
#   neighbourhood identification.* 2024. [arXiv:2405.15132](https://arxiv.org/abs/2405.15132). Which scale to look at.
# - R. Schulte, D. Rügamer. *Rethinking intrinsic dimension estimation in neural representations.* AISTATS 2026.
#   [arXiv:2604.20276](https://arxiv.org/abs/2604.20276). What these estimates do not measure.
# - P. Gao et al. *A theory of multineuronal dimensionality, dynamics and measurement.* bioRxiv 2017.
#   [doi:10.1101/214262](https://doi.org/10.1101/214262). The participation ratio.
# - C. Zhang, S. Bengio, M. Hardt, B. Recht, O. Vinyals. *Understanding deep learning requires rethinking
#   generalization.* ICLR 2017. [arXiv:1611.03530](https://arxiv.org/abs/1611.03530). Random labels are learnt.

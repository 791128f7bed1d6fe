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
# # Week 6 · Vision transformers and knowledge distillation
#
# Cut an image into patches, treat the patches as the words of a sentence, and let a transformer read it. Nothing in
# such a network knows that neighbouring pixels belong together; it has to learn that, and with few images it does not.
# A convolutional network knows it from the start. So this week one network teaches another: you write a vision
# transformer's attention and the loss by which a small convolutional teacher passes on what it knows, and measure what
# the transformer gains. Teachers and students return in week 7, where the teacher is the student's own past.
#
# **You will be able to**
#
# 1. build a vision transformer from patches, attention and blocks, and load the weights of a published one into it;
# 2. look at attention: where each head looks, and how far, beside the receptive field of a convolutional network;
# 3. derive the distillation loss, its factor $T^2$ and its gradient, and say what "dark knowledge" is;
# 4. compare a student with and without a teacher fairly, and say where a teacher's gain comes from: from its soft
#    answers, or from images that nobody has labelled.
#
# **You need** attention (week 3), cross-entropy and softmax, PyTorch modules. Notation: $N$ images, $L$ tokens of
# dimension $D$, $p$ pixels the side of a patch, $d = D / \text{heads}$; $K$ classes, logits $s$ of the student and $t$
# of the teacher, $T$ the temperature, $\alpha$ the weight of the teacher.
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
import math

import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import week06 as check
from sslcourse.plot.schematics.patches_to_student import patches_to_student

# %%
scale = sslcourse.begin(week=6)

# %% [markdown] tags=["before"]
# ## Theory
#
# ### An image as a sentence
#
# A vision transformer (ViT; Dosovitskiy et al. 2021) cuts an image into $L = HW / p^2$ patches, maps each linearly to a
# token of $D$ numbers, puts a learnt *class token* in front and adds a learnt *position embedding* to every token:
#
# $$x^{(0)} = [\,c;\; E\,\text{patch}_1;\; \dots;\; E\,\text{patch}_L\,] + P.$$
#
# Then come blocks in which tokens look at each other (attention) and each thinks by itself (a perceptron, MLP), always
# added to what was there:
#
# $$x' = x + \text{attention}(\text{norm}_1(x)), \qquad x'' = x' + \text{MLP}(\text{norm}_2(x')).$$
#
# The norms stand *before* the two parts (pre-norm). Unrolled, the output is $x^{(0)}$ plus a sum of what the blocks
# added, so a gradient reaches every block directly, whatever the depth. The class token after the last norm is the
# feature of the image.
#
# ### Attention
#
# Every token asks (query $q_i$), is asked (key $k_j$) and has something to say (value $v_j$), three linear maps of it:
#
# $$A_{ij} = \frac{e^{q_i \cdot k_j / \sqrt d}}{\sum_{l} e^{q_i \cdot k_l / \sqrt d}}, \qquad
# \text{out}_i = \sum_j A_{ij} v_j.$$
#
# Several *heads* do this side by side, each on its own slice of $d = D / \text{heads}$ numbers; their outputs are
# joined and mapped once more.
#
# **Why $\sqrt d$.** Let the entries of $q$ and $k$ be independent with mean 0 and variance 1. Each product
# $q_m k_m$ has mean 0 and variance 1, so $q \cdot k = \sum_{m=1}^d q_m k_m$ has variance $d$. Undivided, the scores
# would spread over $\pm\sqrt d$, the softmax would be nearly one-hot from the start, and its gradient
# $A_{ij}(\delta_{jl} - A_{il})$ nearly zero. It is the width of a *head* that counts, not $D$.
#
# **What attention does not know.** Permute the tokens: queries, keys and values are permuted alike, every sum runs over
# the same terms, and the outputs come out permuted in the same way. Attention is *equivariant to permutations*; without
# $P$ the class token could not tell an image from its shuffled patches. A convolution has two assumptions built in,
# that neighbours belong together and that a pattern means the same everywhere. A ViT has to learn both from images,
# which is why Dosovitskiy et al. find it behind a ResNet on ImageNet alone and ahead after 300 million images.

# %% [markdown] tags=["before"]
# ### Learning from a teacher
#
# A label says *muscle*. A trained network says *muscle, perhaps stroma, never tumour*. Which wrong answers are nearly
# right is knowledge too, hidden in small probabilities: Hinton et al. (2015) call it **dark knowledge**. A temperature
# brings it to light:
#
# $$p_k(T) = \frac{e^{t_k / T}}{\sum_l e^{t_l / T}},$$
#
# one-hot for $T \to 0$ and uniform for $T \to \infty$. The student is to match the teacher at the same temperature,
# and the labels at $T = 1$:
#
# $$\mathcal L = \alpha\, T^2\, \mathrm{KL}\big(p(T) \,\Vert\, q(T)\big) + (1 - \alpha)\, \mathrm{CE}\big(y, q(1)\big),
# \qquad \mathrm{KL}(p \Vert q) = \sum_k p_k \ln \frac{p_k}{q_k},$$
#
# with $q$ of the student's logits $s$. Three consequences:
#
# 1. **The gradient.** $\mathrm{KL}(p \Vert q) = \sum_k p_k \ln p_k - \sum_k p_k \ln q_k$; the first sum does not depend
#    on the student, so divergence and cross-entropy have one gradient. With $\partial \ln q_k / \partial s_m =
#    (\delta_{km} - q_m) / T$ it is
#    $$\frac{\partial\, \mathrm{KL}}{\partial s_m} = \frac{1}{T}\,\big(q_m(T) - p_m(T)\big).$$
# 2. **Why $T^2$.** For large $T$, $q_m(T) \approx \frac1K \big(1 + (s_m - \bar s) / T\big)$, so the gradient becomes
#    $\frac{1}{K T^2} \big((s_m - \bar s) - (t_m - \bar t)\big)$: it shrinks like $1/T^2$, and the factor $T^2$ keeps
#    the balance between the two parts when $T$ is changed.
# 3. **Two limits.** At high temperature, by the same formula, distillation is *regression of the centred logits*; at
#    low temperature only the teacher's choice is left.
#
# The direction of the divergence matters: $\mathrm{KL}(p \Vert q)$ charges the student wherever the teacher sees
# something and the student does not.

# %% [markdown] tags=["before"]
# ### Patience and consistency
#
# What is distilled is a *function*, and the student knows it only where it was asked. Beyer et al. (2022) find that
# teacher and student must look at the *same* augmented view, crop for crop, so that the soft target belongs to the very
# picture that the student sees, and that training may then go on for very long. With augmentations there are endless
# views of a few labelled images, and the teacher answers for each.
#
# A transformer profits in particular from a convolutional teacher: DeiT (Touvron et al. 2021) distils from a
# RegNet and finds it a better teacher than a transformer of the same accuracy, supposedly because assumptions about
# images come along. They use *hard* distillation: the teacher's choice is a second label, learnt by a second head.
#
# Two warnings. A teacher trained on more data than its student brings more than its architecture: say which. And a
# student with a teacher often gets more epochs than the one without, which is no comparison at all.

# %%
plot.show(
    patches_to_student(),
    alt="One view of an image goes into a transformer, by patches, blocks and class token to logits s, and into a "
    "fixed convolutional teacher to logits t; the loss compares the two, and s with labels where there are any.",
)

# %% [markdown]
# ## Data
#
# At scale `tiny` the images are textures in the manner of stained tissue: nine classes that differ in how many cells
# there are, how large and how long they are, whether they lie in one direction and whether they are hollow. Place,
# direction, stain and light are drawn independently of the class. The teacher gets all training images with labels. The
# students get the labels of very few: so there is something that a teacher can know and its student cannot.

# %%
# NBVAL_CHECK_OUTPUT
name = scale.pick(tiny="tissue", small="cifar100", full="cifar100")
train_set = data.load_images(name, "train", n=scale.pick(dry=200, tiny=3000, small=None, full=None), seed=scale.seed)
val_set = data.load_images(name, "val", n=scale.pick(dry=100, tiny=1000, small=None, full=None), seed=scale.seed)
test_set = data.load_images(name, "test", n=scale.pick(dry=100, tiny=2000, small=5000, full=None), seed=scale.seed)
few = train_set.subset(scale.pick(dry=100, tiny=54, small=3000, full=len(train_set)), seed=scale.seed)
classes = len(train_set.class_names)
print(f"{len(train_set)} training images, labelled for the teacher; for the students {len(few)} of them are labelled")
print(f"{len(val_set)} validation, {len(test_set)} test images of {classes} classes")

# %%
shown = range(min(classes, 9))
plot.show(
    plot.panels(
        {train_set.class_names[k]: train_set.images[(train_set.labels == k).nonzero()[:8, 0]] for k in shown}
        if scale.name != "dry"
        else {"images": train_set.images[:8]},
        title="Eight images of each class" if classes < 10 else "Eight images of some classes",
    ),
    alt="Rows of eight images, one row for each class; within a row colours and places differ, the texture is one.",
)

# %% [markdown]
# Augmentations on tensors, for teacher and students alike: crops, flips and a change of colours. `views` draws anew for
# every image at each call.

# %%
smallest_crop = scale.pick(tiny=0.8, small=0.5, full=0.3)      # share of the area; the size of cells is part of a class
views = augment.simclr(32, crop=(smallest_crop, 1.0), jitter=0.3, grey=scale.pick(tiny=0.2, small=0, full=0))

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### 6.1 Patches  ·  difficulty 2 of 3  ·  about 15 minutes
#
# Cut images into patches and lay the pixels of each out in a row. The patches go row by row over the image, and within
# a patch the values go pixel by pixel, row by row, each pixel with its C channels: the order (p, p, C).
#
# <details><summary>Hint 1</summary>No loop: first split H into (rows, p) and W into (columns, p).</details>
# <details><summary>Hint 2</summary>That is a tensor of six dimensions, (N, C, rows, p, columns, p). Which order do you
# want them in before the reshape?</details>
# <details><summary>Hint 3</summary><code>permute</code> to (N, rows, columns, p, p, C), then flatten what belongs
# together. A <code>reshape</code> alone never changes the order of values.</details>


# %% tags=["exercise", "points:1"]
def patchify(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Cut images into patches, one row of values each (Dosovitskiy et al. 2021, section 3.1).

    images: (N, C, H, W) of any dtype; patch_size p divides H and W.
    Returns (N, L, p * p * C), L = (H / p) (W / p) patches row by row, the values of each in order (p, p, C).
    """
    ### BEGIN SOLUTION
    p = patch_size
    x = images.unflatten(3, (-1, p)).unflatten(2, (-1, p))    # (N, C, rows, p, columns, p)
    x = x.permute(0, 2, 4, 3, 5, 1)                           # (N, rows, columns, p, p, C)
    return x.flatten(3).flatten(1, 2)
    ### END SOLUTION


# %% tags=["check"]
patchify = check.patchify(patchify)

# %% [markdown]
# ### 6.2 And back  ·  given
#
# The inverse, for looking at what was done to patches (and for week 8, which predicts them).


# %% tags=["exercise", "points:0"]
def unpatchify(patches: torch.Tensor, patch_size: int, grid: tuple[int, int]) -> torch.Tensor:
    """Put patches back: (N, L, p * p * C) to (N, C, rows * p, columns * p); grid is (rows, columns)."""
    p = patch_size
    x = patches.unflatten(2, (p, p, -1)).unflatten(1, grid)   # (N, rows, columns, p, p, C)
    x = x.permute(0, 5, 1, 3, 2, 4)                           # (N, C, rows, p, columns, p)
    return x.flatten(4).flatten(2, 3)


# %% tags=["check"]
unpatchify = check.unpatchify(unpatchify)

# %%
patch_size = scale.pick(tiny=8, small=4, full=4)
side = 32 // patch_size
some = data.as_float(val_set.images[:8])
patches = patchify(some, patch_size)                                    # (8, L, P)
shuffled = patches[:, torch.randperm(side**2, generator=scale.generator())]
as_words = patches[0].unflatten(1, (patch_size, patch_size, -1)).permute(0, 3, 1, 2)
plot.show(
    plot.image_grid(as_words, columns=min(16, side**2), title="One image as a sentence of patches"),
    alt="The patches of one image in reading order, as separate small pictures.",
)
plot.show(
    plot.panels(
        {"image": some, "patches shuffled": unpatchify(shuffled, patch_size, (side, side))},
        title="The same words in another order: without positions a transformer cannot tell them apart",
    ),
    alt="Eight images, and below each the same image with its patches in another order.",
)

# %% [markdown]
# ### 6.3 Attention  ·  difficulty 3 of 3  ·  about 30 minutes
#
# Write multi-head self-attention as a module. Its two layers bear timm's names and layout, so that published weights
# fit: `qkv`, a linear layer from D to 3D whose output holds all queries, then all keys, then all values, each of them
# head after head; and `proj` from D to D at the end. Keep the attention weights of the last pass in `last_weights`: we
# will look at them.
#
# <details><summary>Hint 1</summary>Follow one shape: (N, L, 3D) to (N, L, 3, heads, d), then bring 3 and heads to the
# front.</details>
# <details><summary>Hint 2</summary><code>q @ k.transpose(-2, -1)</code> is (N, heads, L, L), a row for each query.
# Divide by the root of which width, and over which dimension goes the softmax?</details>
# <details><summary>Hint 3</summary>On the way back, <code>transpose(1, 2)</code> before the reshape to (N, L, D): a
# head's output is a slice of D, not a slice of tokens.</details>


# %% tags=["exercise", "points:3"]
class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, eq. 1), with the layers of timm: qkv and proj.

    dim: D, a multiple of num_heads. Tokens (N, L, D) to (N, L, D); keeps `last_weights` (N, heads, L, L), rows are
    queries and sum to 1.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.last_weights = None
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ### BEGIN SOLUTION
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))         # (N, L, 3, heads, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)                            # (N, heads, L, d) each
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=-1)      # (N, heads, L, L)
        self.last_weights = weights.detach()
        return self.proj((weights @ v).transpose(1, 2).flatten(2))      # (N, L, D)
        ### END SOLUTION


# %% tags=["check"]
SelfAttention = check.SelfAttention(SelfAttention)

# %% [markdown]
# ### 6.4 The block  ·  given
#
# Attention between tokens, then a perceptron for each token; both behind a norm, both added. GELU is the exact one, and
# the norms have an epsilon of $10^{-6}$ as in the published models. Your attention is inside.


# %% tags=["exercise", "points:0"]
class Block(nn.Module):
    """One pre-norm transformer block (Dosovitskiy et al. 2021, eq. 2 and 3): tokens (N, L, D) to (N, L, D)."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = SelfAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(dim, 4 * dim))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(4 * dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


# %% tags=["check"]
Block = check.Block(Block)

# %% [markdown]
# ### 6.5 The vision transformer  ·  given
#
# Read it line by line: nothing in it is new any more. The library has the same network as `models.ViT`, with a strided
# convolution for the patches (the same linear map) and timm's names throughout.


# %% tags=["exercise", "points:0"]
class ViT(nn.Module):
    """Images (N, C, H, W), uint8 or float in [0, 1], to features (N, dim) of the class token; H = W = image_size."""

    def __init__(self, image_size, patch_size, in_channels=3, dim=96, depth=4, num_heads=3):
        super().__init__()
        self.num_features, self.patch_size = dim, patch_size
        self.normalise = models.Normalise([0.45] * in_channels, [0.25] * in_channels)
        self.patch_embed = nn.Linear(patch_size**2 * in_channels, dim)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + (image_size // patch_size) ** 2, dim))
        self.blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(patchify(self.normalise(images), self.patch_size))     # (N, L, D)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)            # (N, 1 + L, D)
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]                                                   # (N, D)


# %% tags=["check"]
ViT = check.ViT(ViT)

# %% [markdown]
# Is it really the network of the literature? Take one with random weights from timm, copy the weights over, and compare
# the outputs on the same images.

# %%
# NBVAL_CHECK_OUTPUT
import timm.models.vision_transformer

theirs = timm.models.vision_transformer.VisionTransformer(
    img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=0
)
ours = ViT(32, 8, dim=48, depth=2, num_heads=3)
weights = theirs.state_dict()
weights["patch_embed.bias"] = weights.pop("patch_embed.proj.bias")
weights["patch_embed.weight"] = weights.pop("patch_embed.proj.weight").permute(0, 2, 3, 1).flatten(1)  # (D, p p C)
missing, unexpected = ours.load_state_dict(weights, strict=False)
with torch.no_grad():
    same = torch.allclose(ours.eval()(some), theirs.eval()(ours.normalise(some)), atol=1e-5)
print(f"missing {missing}, unexpected {unexpected}")
print(f"the outputs agree to 0.00001: {same}")

# %% [markdown]
# What is missing are the constants of our normalisation, which timm keeps outside of its models.

# %% [markdown]
# ### 6.6 The distillation loss  ·  difficulty 2 of 3  ·  about 20 minutes
#
# $$\mathcal L = \alpha\, T^2\, \mathrm{KL}\big(p(T) \,\Vert\, q(T)\big) + (1 - \alpha)\, \mathrm{CE}\big(y, q(1)\big)$$
#
# with $p$ from the teacher's logits and $q$ from the student's, the mean over the batch. The teacher is fixed: no
# gradient may reach its logits.
#
# <details><summary>Hint 1</summary><code>F.kl_div(input, target)</code> is KL(target || input), and it takes the input
# as log-probabilities.</details>
# <details><summary>Hint 2</summary><code>reduction="batchmean"</code> sums over classes and averages over the batch;
# the default averages over both.</details>
# <details><summary>Hint 3</summary><code>log_softmax</code> for both with <code>log_target=True</code> is safe for
# large logits. Where does the temperature stand, and where not?</details>


# %% tags=["exercise", "points:3"]
def distillation_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    labels: torch.Tensor,
    temperature: float = 4.0,
    alpha: float = 0.7,
) -> torch.Tensor:
    """Match the teacher's softened probabilities and the labels (Hinton et al. 2015, section 2).

    student_logits, teacher_logits: (N, K), for the same classes; labels: (N,).
    Returns a scalar, the mean over the batch: alpha T^2 KL(teacher || student) + (1 - alpha) CE, in nats. No gradient
    reaches the teacher.
    """
    ### BEGIN SOLUTION
    q = F.log_softmax(student_logits / temperature, dim=1)
    p = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    soft = F.kl_div(q, p, log_target=True, reduction="batchmean")       # sum over classes, mean over the batch
    hard = F.cross_entropy(student_logits, labels)
    return alpha * temperature**2 * soft + (1 - alpha) * hard
    ### END SOLUTION


# %% tags=["check"]
distillation_loss = check.distillation_loss(distillation_loss)

# %% [markdown]
# The second derivation above, checked with numbers: the gradient of the soft part at growing temperature, with and
# without its factor, beside that of a regression of the centred logits.

# %%
s, t = (3 * torch.randn(1, 10, generator=scale.generator(n)) for n in (1, 2))
s.requires_grad_()
centred = ((s - s.mean()) - (t - t.mean())).detach() / 10
for T in (1.0, 4.0, 16.0, 64.0):
    (gradient,) = torch.autograd.grad(distillation_loss(s, t, torch.zeros(1, dtype=torch.long), T, 1.0), s)
    apart = (gradient - centred).norm() / centred.norm()
    print(
        f"T = {T:4.0f}: length {gradient.norm():.3f} with the factor, {gradient.norm() / T**2:.5f} without; "
        f"{apart:6.1%} from the regression of logits"
    )

# %% [markdown]
# ### 6.7 How far does a head look?  ·  difficulty 2 of 3  ·  about 15 minutes
#
# A convolution looks as far as its kernel. How far does a head look? Take the distance between the centres of query and
# key in pixels, weigh it by the attention, and average over queries and images: 0 for a head that only looks at its own
# patch.
#
# <details><summary>Hint 1</summary>Patch l stands in row l // columns and column l % columns;
# <code>torch.cartesian_prod</code> lists all places.</details>
# <details><summary>Hint 2</summary><code>torch.cdist(places, places)</code> gives all distances, (L, L), in
# patches.</details>
# <details><summary>Hint 3</summary>Sum over the keys, since a query's weights sum to 1 already; then the mean over
# queries and N.</details>


# %% tags=["exercise", "points:2"]
def attention_distance(weights: torch.Tensor, grid: tuple[int, int], patch_size: int) -> torch.Tensor:
    """Mean distance between a query and what it looks at (Dosovitskiy et al. 2021, appendix D.7 and figure 7).

    weights: (N, heads, L, L) without the class token, rows (queries) sum to 1; grid: (rows, columns) of the patches,
    L = rows * columns, counted row by row; patch_size: pixels of a side.
    Returns (heads,), in pixels.
    """
    ### BEGIN SOLUTION
    rows, columns = (torch.arange(size, dtype=weights.dtype, device=weights.device) for size in grid)
    places = torch.cartesian_prod(rows, columns) * patch_size           # (L, 2), in pixels
    apart = (places[:, None] - places).norm(dim=2)                      # (L, L)
    return (weights * apart).sum(dim=3).mean(dim=(0, 2))
    ### END SOLUTION


# %% tags=["check"]
attention_distance = check.attention_distance(attention_distance)

# %% [markdown]
# #### Question 1
#
# (a) You forget to add the position embeddings. What can the network still use, and what is lost? Think of muscle and
# stroma, which differ in alignment alone, and of fat, whose cells reach over several patches. (b) Halving the patch
# size multiplies the number of tokens by what, and the cost of attention and of the perceptrons by what? (c) Why does
# the class token sit in the sequence at all; what else could serve as the feature of an image?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Without positions the network sees a bag of patches. What shows within a patch remains, and so does what patches
# have in common: how many contain cells, how dark they are, whether their cells point in the same direction. So muscle
# and stroma can still be told apart. What is lost is how patches continue each other: a cell that the border of a patch
# cuts in two can no longer be put together, and its size and roundness with it, which hurts most where cells are large,
# as in fat.
#
# (b) Four times as many tokens. The perceptrons and the linear maps cost in proportion to tokens, so four times as
# much; the scores compare all pairs, so sixteen times as much.
#
# (c) It is a query that belongs to no patch, so that its output can collect what concerns the image as a whole, and
# attention decides from where. The mean over the patch tokens does as well in many models.
# ### END SOLUTION

# %% [markdown]
# ## The teacher
#
# A network of four convolutions (a ResNet-18 at scale `full`), trained by labels on all training images. In use it is
# in eval mode: in train mode its batch norm would answer with the statistics of the student's batch, another function
# at every step, and change its own running averages as well.

# %%
teacher_epochs = scale.pick(dry=1, tiny=12, small=15, full=100)
torch.manual_seed(scale.seed)
backbone = models.backbone(scale.pick(tiny="conv4", small="conv4", full="resnet18"))
teacher = nn.Sequential(backbone, nn.Linear(backbone.num_features, classes))
train.fit_classifier(
    teacher,
    train_set.images,
    train_set.labels,
    epochs=teacher_epochs,
    augment=views,
    batch_size=64,
    lr=4e-3,
    weight_decay=1e-2,
    device=scale.device,
    max_steps=scale.max_steps,
    label="teacher",
)


def accuracy(model: nn.Module, images: data.ImageSet) -> float:
    """The share of images that a classifier gets right, in eval mode."""
    return (evaluate.extract_features(model, images.images).argmax(dim=1) == images.labels).float().mean().item()


print(f"the teacher is right on {accuracy(teacher, val_set):.2f} of the validation images")

# %% [markdown]
# ### Dark knowledge
#
# Two validation images, one row for each temperature. At $T = 1$ the teacher is mostly sure of itself; a higher
# temperature shows which other classes it finds near, and a very high one makes all of them nearly alike.

# %%
told = evaluate.extract_features(teacher, val_set.images)
entropy = -(told.softmax(1) * told.log_softmax(1)).sum(1)
unsure = entropy.argsort(descending=True)[len(entropy) // 20]          # among the least sure, but not the very last
typical = entropy.argsort()[len(entropy) // 2]
for index, how in ((typical, "a typical image"), (unsure, "a hard image")):
    near = told[index].topk(min(classes, 9)).indices.sort().values             # at most nine classes fit
    temperatures = (1, 2, 4, 8, 32)
    plot.show(
        plot.heat_map(
            torch.stack([(told[index] / T).softmax(0)[near] for T in temperatures]),
            rows=[f"T = {T}" for T in temperatures],
            columns=[train_set.class_names[k] for k in near],
            label="probability",
            title=f"What the teacher says of {how}: {train_set.class_names[val_set.labels[index]]}",
        ),
        alt="Probabilities of the teacher at five temperatures: one or two classes at the lowest, nearly even at the "
        "highest.",
    )

# %%
classes_shown = min(classes, 10)
soft = torch.stack([(told[val_set.labels == k] / 4).softmax(1).mean(0) for k in range(classes_shown)])
plot.show(
    plot.heat_map(
        soft[:, :classes_shown],
        rows=train_set.class_names[:classes_shown],
        columns=train_set.class_names[:classes_shown],
        label="mean probability at T = 4",
        title="Which classes the teacher finds alike",
    ),
    alt="Mean softened probabilities, a row for each true class: large on the diagonal, and for some pairs beside it.",
)
alike = (soft[:, :classes_shown] + soft[:, :classes_shown].T) / 2
pairs = torch.triu_indices(classes_shown, classes_shown, 1)
for n in alike[tuple(pairs)].argsort(descending=True)[:5].tolist():
    first, second = pairs[:, n].tolist()
    names = f"{train_set.class_names[first]} and {train_set.class_names[second]}"
    print(f"{names:30} {alike[first, second]:.3f}")

# %% [markdown]
# #### Question 2
#
# (a) Read from the last figure and the list of the strongest pairs which classes the teacher finds alike, and explain
# two pairs by how the textures are made.
# (b) Labels cannot say this. Why does it help a student that has few images? (c) For very large $T$ the student is
# asked to match the teacher's centred logits. What could be bad about that, and what about $T \to 0$?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Pairs share most of their statistics. Muscle and stroma have the same cells, aligned or not. Tumour and debris
# have about equally many dark cells, nearly round; debris is a mixture of small and large ones, and the magnification
# differs from image to image, so that size alone does not settle it. For the same reason debris may stand in more pairs
# of the list: a field whose cells all came out small looks like mucus, one with large and long ones like nerve. The
# weaker pairs change with the teacher's seed.
#
# (b) A label tells one thing about an image. A soft target tells how it compares with *every* class, so each image
# carries information about all classes, and the student learns the same similarities that the teacher needed many
# images for. It is also steadier: an image that shows little of its class gets a target that says so.
#
# (c) For large $T$ all logits count alike, also those of very improbable classes, which are never tested in training
# and may be noise. For $T \to 0$ only the choice is left, and the dark knowledge is gone; what remains is a label,
# often a better one for the view in question than the true one.
# ### END SOLUTION

# %% [markdown]
# ## One student, three trainings
#
# The same transformer, from the same random weights, for the same number of steps with batches of the same size:
#
# - **without a teacher**: the few labelled images, labels alone;
# - **with a teacher, same images**: the very same batches and views, and beside the labels what the teacher says of each
#   view. The only difference is the loss;
# - **with a teacher, all images**: Hinton et al. call the images on which a student listens to its teacher the *transfer
#   set*. They need no labels, so all training images will do, with $\alpha = 1$. This student never sees a label.
#
# `train.fit_student` puts the teacher into eval mode, draws each view once for both, and hands the two sets of logits to
# your loss. Each of the three has a learning rate of its own in the cell below, since a rate that suits one side alone is
# an advantage for that side. They are equal as they stand: before you believe a small difference, try a third and three
# times of each on the validation images.

# %%
steps = scale.pick(dry=1, tiny=666, small=420, full=39000)
batch_size = scale.pick(tiny=27, small=128, full=256)
temperature, alpha = scale.pick(tiny=(1, 0.9), small=(4, 0.7), full=(4, 0.7))
rates = scale.pick(tiny=(3e-3, 3e-3, 3e-3), small=(1e-3, 1e-3, 1e-3), full=(1e-3, 1e-3, 1e-3))
rate_alone, rate_beside, rate_all = rates                 # without, same images, all images
width, depth, heads = scale.pick(tiny=(48, 3, 3), small=(64, 4, 4), full=(192, 9, 3))
watched = val_set.subset(scale.pick(dry=50, tiny=500, small=1000, full=2000), seed=scale.seed)
looks = scale.pick(dry=1, tiny=6, small=6, full=20)       # at validation images, spread over the training


def untrained(seed: int) -> nn.Module:
    """A vision transformer with a linear classifier, the same one for the same seed."""
    torch.manual_seed(seed)
    return nn.Sequential(ViT(32, patch_size, dim=width, depth=depth, num_heads=heads), nn.Linear(width, classes))


def soften(student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Your loss at the temperature and weight chosen above."""
    return distillation_loss(student_logits, teacher_logits, labels, temperature, alpha)


def teacher_only(student_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Your loss at alpha = 1, which does not look at the labels."""
    return distillation_loss(student_logits, teacher_logits, labels, temperature, 1.0)


def settings(seed: int, images: data.ImageSet, lr: float) -> dict:
    """What all students have in common; the epochs are as many as `steps` take on these images."""
    return {
        "epochs": math.ceil(steps / max(1, len(images) // batch_size)),
        "max_steps": scale.max_steps or steps,
        "augment": views,
        "batch_size": batch_size,
        "lr": lr,
        "weight_decay": 0.05,
        "clip": 1.0,
        "generator": torch.Generator().manual_seed(seed),
        "device": scale.device,
    }


def learn(
    seed: int, teacher=None, images=few, loss=soften, *, lr: float, watch: bool = False
) -> tuple[nn.Module, train.History]:
    """A student trained on these images: by their labels, or by a loss that hears a teacher as well."""
    student, common = untrained(seed), settings(seed, images, lr)
    every = max(1, common["epochs"] // looks)

    def look(epoch: int) -> dict[str, float]:
        return {} if (epoch + 1) % every else {"validation": accuracy(student, watched)}

    common["on_epoch"] = look if watch else None
    if teacher is None:
        history = train.fit_classifier(student, images.images, images.labels, label="without a teacher", **common)
    else:
        history = train.fit_student(
            student, teacher, images.images, images.labels, loss, label="with a teacher", **common
        )
    return student, history


alone, alone_history = learn(scale.seed, lr=rate_alone, watch=True)
beside, beside_history = learn(scale.seed, teacher, lr=rate_beside, watch=True)
distilled, distilled_history = learn(scale.seed, teacher, train_set, teacher_only, lr=rate_all, watch=True)

# %%
curves = {
    "with a teacher, all images": distilled_history.metrics["validation"],
    "with a teacher, same images": beside_history.metrics["validation"],
    "without": alone_history.metrics["validation"],
}
seen = min(map(len, curves.values()))
plot.show(
    plot.curves(
        {key: values[:seen] for key, values in curves.items()},
        x=[100 * (n + 1) / seen for n in range(seen)],
        levels={"chance": 1 / classes, "the teacher": accuracy(teacher, watched)},
        xlabel="share of the training in %",
        ylabel="validation accuracy",
        title="One student, one seed, equally many steps",
    ),
    alt="Validation accuracy over the training of three students, between chance and the teacher's own level.",
)

# %% [markdown]
# The two losses cannot be compared, since they measure different things; accuracies can. The test images are used once,
# here, for students, teacher and the plainest baselines: a linear classifier on the pixels (averaged over 2 x 2) and
# one on the features of the untrained transformer, both trained on the students' images.

# %%
few_pixels, test_pixels = (F.avg_pool2d(data.as_float(part.images), 2).flatten(1) for part in (few, test_set))
random_vit = untrained(scale.seed)[0].to(scale.device)
few_h, test_h = (evaluate.extract_features(random_vit, part.images) for part in (few, test_set))
penalties = (0.001, 0.01, 0.1)
results = {
    "raw pixels": evaluate.linear_probe(few_pixels, few.labels, test_pixels, test_set.labels, Cs=penalties).accuracy,
    "random ViT": evaluate.linear_probe(few_h, few.labels, test_h, test_set.labels, Cs=penalties).accuracy,
    "student without a teacher": accuracy(alone, test_set),
    "with, same images": accuracy(beside, test_set),
    "with, all images": accuracy(distilled, test_set),
    "the teacher": accuracy(teacher, test_set),
}
plot.show(
    plot.bars(
        results,
        intervals={key: evaluate.wilson_interval(value, len(test_set)) for key, value in results.items()},
        levels={"chance": 1 / classes},
        ylabel="test accuracy",
        title="What a teacher is worth",
    ),
    alt="Test accuracy with intervals: raw pixels and random transformer low, then the students, the teacher beside.",
)

# %% [markdown]
# The whiskers are 95 % Wilson intervals: they cover the chance of this test sample, not that of the seed. The spread
# over seeds is in the table at the end and in the sweeps below. The teacher has seen more labelled images than its
# students; what it passes on is made of those as well as of its convolutions, and this figure cannot tell the two
# apart. What it can tell is whether soft answers alone are worth something (the second student beside the first) or
# whether the gain is in the images that only the teacher can speak about (the third).
#
# Does the student only take over answers, or the similarities behind them? On validation images, how often do the
# students agree with the teacher, and how often do they where the teacher is *wrong*? At `tiny` it is wrong on some
# hundred of the thousand images, so that shares of these which differ by less than a tenth are not told apart.

# %%
students = {"without a teacher": alone, "with, same images": beside, "with, all images": distilled}
answers = {key: evaluate.extract_features(student, val_set.images).argmax(1) for key, student in students.items()}
choice = told.argmax(1)
mistaken = choice != val_set.labels
for key, answer in answers.items():
    agree = (answer == choice).float().mean().item()
    copied = (answer == choice)[mistaken].float().mean().item() if mistaken.any() else math.nan
    print(f"{key:18} agrees with the teacher on {agree:.2f} of all images, on {copied:.2f} of those it gets wrong")

# %% [markdown]
# ## Looking at attention
#
# Row by row a validation image and, for each head of the last block, how much the class token of the distilled student
# looks at each patch. With $L$ patches an even look gives each $1 / L$: that level is pale, patches that get more or less
# of it are coloured. With few large patches such maps are coarse, and they show where information is taken from, not what
# is done with it.


# %%
def weights_of(student: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """The attention weights of every block, (N, heads, 1 + L, 1 + L) each."""
    evaluate.extract_features(student, images)
    return [block.attn.last_weights.cpu() for block in student[0].blocks]


shown = val_set.images[:4]
plot.show(
    plot.attention(shown, weights_of(distilled, shown)[-1][:, :, 0, 1:], title="The class token of the last block"),
    alt="Four images, each with one overlay for every head, showing which patches the class token looks at.",
)

# %% [markdown]
# ### Attention distance beside receptive fields
#
# How far do the heads look, block by block? Beside them the four stages of the convolutional teacher, in the same unit.
# Each stage sees a square of $r$ pixels. A first stage of 3 x 3 has $r = 3$, and each further stage of 3 x 3 with the
# stride doubled adds twice the stride so far: 3, 7, 15, 31. The mean distance of the points of a square of side $r$
# from its centre is $\tfrac{r}{6} (\sqrt 2 + \ln(1 + \sqrt 2)) \approx 0.383\, r$. But not every pixel in that square
# counts alike: the
# *effective* field is measured by the gradient of one unit in the middle with respect to the pixels, whose size weighs
# the distances (Luo et al. 2016).


# %%
def receptive_distance(network: nn.Module, stages: list[str], images: torch.Tensor) -> list[float]:
    """Mean distance in pixels from a unit in the middle of each stage to the pixels it depends on, by gradient."""
    network.eval()
    kept, hooks = {}, []
    for stage in stages:
        keep = lambda module, given, out, stage=stage: kept.update({stage: out})
        hooks.append(network.get_submodule(stage).register_forward_hook(keep))
    x = data.as_float(images).to(scale.device).requires_grad_()
    network(x)
    for hook in hooks:
        hook.remove()

    distances = []
    for stage in stages:
        maps = kept[stage]                                              # (N, C, rows, columns)
        row, column = (size // 2 for size in maps.shape[2:])
        (gradient,) = torch.autograd.grad(maps[:, :, row, column].sum(), x, retain_graph=True)
        size = gradient.abs().sum(dim=(0, 1))                           # (H, W)
        at = torch.arange(x.shape[2], device=x.device)
        rows, columns = torch.meshgrid(at, at, indexing="ij")
        stride = x.shape[2] / maps.shape[2]                             # unit (row, column) looks at pixel stride * row
        apart = ((rows - stride * row).square() + (columns - stride * column).square()).sqrt()
        distances.append((size * apart).sum().div(size.sum().clamp(min=1e-12)).item())
    return distances


def distances(student: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Attention distance of every head of every block, (blocks, heads); the class token is left out."""
    found = []
    for weights in weights_of(student, images):
        patches = weights[:, :, 1:, 1:]
        patches = patches / patches.sum(dim=3, keepdim=True)            # what goes to the class token is no distance
        found.append(attention_distance(patches, (side, side), patch_size))
    return torch.stack(found)


watched_images = watched.images[:128]
reach = distances(distilled, watched_images)
everywhere = torch.full((1, 1, side**2, side**2), 1 / side**2)
level = {"looking everywhere alike": float(attention_distance(everywhere, (side, side), patch_size))}
figure = plot.curves(
    {f"number {h + 1} by distance": reach.sort(dim=1).values[:, h] for h in range(heads)},
    levels=level,
    xlabel="block",
    ylabel="attention distance in pixels",
    title="How far the heads of one network look, sorted within each block",
)
figure.axes[0].set_ylim(0, 1.25 * max(level["looking everywhere alike"], reach.max().item()))    # from 0: no magnifier
plot.show(
    figure,
    alt="Attention distance of every head against the block, beside the level of attention that is equal everywhere.",
)
if scale.name != "full":
    stages = ["0.stage1", "0.stage2", "0.stage3", "0.stage4"]
    fields = [3, 7, 15, 31]
    square = (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 6
    plot.show(
        plot.curves(
            {
                "in theory, all pixels of the field alike": [square * r for r in fields],
                "effective, by gradient": receptive_distance(teacher, stages, watched_images),
            },
            levels=level,
            xlabel="stage of the convolutional teacher",
            ylabel="mean distance in pixels",
            title="How far the convolutions of one network look",
        ),
        alt="Mean distance to the pixels a unit depends on, by stage: theoretical about doubling, effective below it.",
    )

# %% [markdown]
# #### Question 3
#
# (a) Compare the first block of the transformer with the first stage of the convolutional network. What can the first
# block do that the first stage cannot, and what would you expect of its heads after training on millions of images?
# (b) Why is the effective field smaller than the theoretical one? (c) A colleague reads off an attention map that the
# network has "found the tumour cells". What do you ask?

# %% [markdown] tags=["question", "points:1"]
# ### BEGIN SOLUTION
# (a) The first block may look at the whole image at once; a first stage sees three pixels to a side. After much
# training, some heads of the first blocks look nearby, like convolutions, and others far (Dosovitskiy et al. 2021,
# figure 7); with few images nothing forces them to, and most heads stay near the level of looking everywhere, where
# they start.
#
# (b) A pixel in the middle reaches the unit by many paths, one at the edge by few, so the middle weighs more: with many
# layers the weights approach a bell, whose width grows only like the root of the depth.
#
# (c) Attention tells where values were taken from in one block, not which features they held, and values have been
# mixed across patches by the blocks before. Ask whether the map is different for images without such cells, whether
# covering these patches changes the answer, and whether other heads look elsewhere.
# ### END SOLUTION

# %% [markdown]
# ## What matters: recorded sweeps
#
# Each point of the next figures is a student trained anew, judged on **validation** images, over several seeds; they
# come from a recorded run. The star is your own. To compute another point now, name it here, as in
# `"temperature": [8]`, and run on from here.

# %%
rerun = {"temperature": [], "ensemble": [], "targets": []}

swept_lr = scale.pick(tiny=3e-3, small=1e-3, full=1e-3)                  # one rate and temperature for all points
swept_temperature, swept_alpha = scale.pick(tiny=(2, 0.9), small=(4, 0.7), full=(4, 0.7))
own = {"alone": accuracy(alone, val_set), "all": accuracy(distilled, val_set)}
outcomes = {}
if rate_alone == swept_lr:
    outcomes[scale.seed, 0, 0, False] = own["alone"]
if rate_all == swept_lr:
    outcomes[scale.seed, temperature, 1.0, True] = own["all"]


def answers(T: float, weight: float):
    """Your loss at this temperature and weight."""
    return lambda s, t, y: distillation_loss(s, t, y, T, weight)


def outcome(seed: int, T: float = swept_temperature, weight: float = swept_alpha, everywhere: bool = False) -> float:
    """Validation accuracy of a student; weight 0: without a teacher; everywhere: on all images. None trains twice."""
    key = (seed, T, weight, everywhere) if weight else (seed, 0, 0, False)
    if key not in outcomes:
        images, told = train_set if everywhere else few, teacher if weight else None
        outcomes[key] = accuracy(learn(seed, told, images, answers(T, weight), lr=swept_lr)[0], val_set)
    return outcomes[key]


# %%
by_temperature = check.sweep(
    scale,
    "temperature",
    lambda point, seed: outcome(seed, T=point, weight=1.0, everywhere=True),
    points=[1, 2, 4, 8],
    own={temperature: own["all"]} if rate_all == swept_lr else None,
    rerun=rerun["temperature"],
)
plot.show(
    plot.sweep(
        by_temperature,
        xlabel="temperature T",
        ylabel="validation accuracy",
        levels={"without a teacher, yours": own["alone"]},
        log_x=True,
        title="Temperature, on all images without labels",
    ),
    alt="Validation accuracy against temperature with error bars over seeds, beside the level without a teacher.",
)

# %% [markdown]
# Mind the whiskers before you name a best temperature: they are deviations over seeds, and several of these points lie
# within each other's. What the figure does say is that softening is no gain by itself here.
#
# A teacher is no free gain. It helps where it knows something that the student's own images and labels do not say, and
# where the student is trained long enough to take it in: Beyer et al. (2022) train for up to a million epochs on the
# smallest of their data sets.

# %% [markdown]
# ### A small ensemble and its distillation
#
# Average the probabilities of several students that differ only in their seed, all without a teacher. Such an ensemble
# is usually better than any of its members, and three times as expensive to run. So distil it: one more student of the
# same size, with the ensemble as its teacher, on all images. It sees no more labels than its teachers did and is no larger
# than any of them (Hinton et al. 2015; Furlanello et al. 2018 for teachers of the same size).


# %%
class Ensemble(nn.Module):
    """Logits of the mean probabilities of several classifiers: images to (N, K)."""

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        log_p = torch.stack([member(images).log_softmax(1) for member in self.members])      # (members, N, K)
        return log_p.logsumexp(0) - math.log(len(self.members))


ensembles = {}


def of_ensemble(point: str, seed: int) -> float:
    if point == "one student":
        return outcome(seed, weight=0)
    if seed not in ensembles:
        members = [learn(seed + 100 * n, lr=swept_lr)[0] for n in (1, 2, 3)]
        ensembles[seed] = Ensemble(members).to(scale.device).eval()
    if point == "ensemble of three":
        return accuracy(ensembles[seed], val_set)
    return accuracy(learn(seed, ensembles[seed], train_set, answers(swept_temperature, 1.0), lr=swept_lr)[0], val_set)


ensemble = check.sweep(
    scale,
    "ensemble",
    of_ensemble,
    points=["one student", "ensemble of three", "distilled from it"],
    own={"one student": own["alone"]} if rate_alone == swept_lr else None,
    rerun=rerun["ensemble"],
)
plot.show(
    plot.sweep(ensemble, ylabel="validation accuracy", title="An ensemble and its distillation"),
    alt="Validation accuracy of one student, an ensemble of three, and a student distilled from it, over seeds.",
)

# %% [markdown]
# Compare the second point with the first, and the third with both: the whiskers say which of the two steps three seeds
# can tell from nothing.
#
# #### Question 4
#
# (a) List what has to be equal between a student with and one without a teacher, and what is *not* equal here even so,
# for the second and for the third student. (b) The third student never sees a label. How can it be any good, and what
# limits it? (c) You choose $T$ from the figure above and report the test accuracy at that $T$. Is that right? What if the
# figure had shown test images? (d) Softening is the idea of distillation, and $T = 1$ has the highest mean of the sweep.
# Why need that be no contradiction? (e) Three students that agree on training and labels make an ensemble that is better
# than one such student. Where does the gain come from, and why may a single student fail to take all of it over?

# %% [markdown] tags=["question", "points:1"]
# ### BEGIN SOLUTION
# (a) The images, the labels, the views, initial weights and the order of batches, the number of steps, learning rate
# and its schedule, and the effort spent on choosing settings. Not equal for the second student: the time of a step,
# since a teacher has to answer too, and what stands behind it: the teacher's labels for images that the student never
# saw. For the third the images differ as well: it sees many more, so its gain is that of a teacher *and* of unlabelled
# images, which a student without a teacher could not have used.
#
# (b) The teacher's soft answers stand in for labels and say more about each image than one. It is limited by how often
# the teacher is right on such images, by what a network of its size can take over, and by the time it is given.
#
# (c) Yes: $T$ was chosen on validation images, and the test images were not involved. Had the sweep used the test
# images, the best of several noisy numbers would have been picked, and the report of it would be too good.
#
# (d) A temperature is a remedy for a teacher that is too sure. This one answers for augmented views, some of them hard,
# so that its probabilities at $T = 1$ may be soft enough already; a higher temperature then spends the student's few
# steps on logits of classes that are out of the question. With a teacher that has nearly memorised its images, or a
# student that has time, it may be the other way round. And the whiskers overlap: the order of the means may be chance.
#
# (e) Their errors differ: each seed ends in another function, and the mean of the probabilities cancels what is not
# common. A student of the same size has to fit that mean with the weights of one, in the same number of steps.
# ### END SOLUTION

# %% [markdown]
# ## Traps
#
# Mistakes that no check of a function can see. All of them run without an error.
#
# - **The teacher in train mode.** Its batch norm then uses the statistics of the batch and changes its own: the teacher
#   is another one at every step. `train.fit_student` takes care of it; a loop of your own has to.
# - **Unequal epochs.** A student with a teacher trained for twice as long is not a comparison.
# - **Teacher answers computed once, on unaugmented images.** Then the soft target belongs to another picture than the
#   one that the student sees (Beyer et al. 2022 measure what it costs).
# - **Settings chosen on the test split.** The sweeps above use validation images for this reason.
# - **The teacher's advantage taken for the method's.** A teacher that has seen more labels passes these on. Compare
#   with the ensemble above, whose members saw no more than the student.
# - **Position embeddings of another grid.** Weights of a ViT for 224 pixels load into one for 32 only after
#   interpolating the positions; `models.ViT` does so for images of another size.

# %% [markdown]
# ## Optional: hard distillation
#
# DeiT's form: the teacher's choice is a second label, and a head of its own learns it. There the second head reads a
# second token; here both heads read the class token, which is simpler and close enough for a look. The prediction is
# the mean of the two heads' probabilities.

# %% [markdown]
# ### 6.8 Hard distillation  ·  optional  ·  difficulty 1 of 3  ·  about 5 minutes
#
# <details><summary>Hint</summary>Two cross-entropies of half weight; the second target is an argmax, which has no
# gradient.</details>


# %% tags=["exercise", "points:0"]
def hard_distillation_loss(
    class_logits: torch.Tensor, distill_logits: torch.Tensor, teacher_logits: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Half cross-entropy to the labels, half to the teacher's choice (Touvron et al. 2021, eq. 3).

    class_logits, distill_logits, teacher_logits: (N, K), of the class head, the distillation head and the teacher;
    labels: (N,). Returns a scalar, the mean over the batch.
    """
    ### BEGIN SOLUTION
    choice = teacher_logits.argmax(dim=1)
    return (F.cross_entropy(class_logits, labels) + F.cross_entropy(distill_logits, choice)) / 2
    ### END SOLUTION


# %% tags=["check"]
hard_distillation_loss = check.hard_distillation_loss(hard_distillation_loss)


# %%
class TwoHeads(nn.Module):
    """A transformer with a class head and a distillation head: log of the mean probability; both logits in training."""

    def __init__(self, student: nn.Sequential):
        super().__init__()
        self.vit, self.head = student
        self.distil = nn.Linear(self.head.in_features, self.head.out_features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        h = self.vit(images)
        self.last = self.head(h), self.distil(h)                        # the loss wants both
        return torch.stack([logits.log_softmax(1) for logits in self.last]).logsumexp(0) - math.log(2)


def of_targets(point: str, seed: int) -> float:
    if point == "labels":
        return outcome(seed, weight=0)
    if point == "labels and probabilities":
        return outcome(seed)
    student = TwoHeads(untrained(seed))
    loss = lambda s, t, y: hard_distillation_loss(*student.last, t, y)
    common = settings(seed, few, swept_lr) | {"label": "hard distillation"}
    train.fit_student(student, teacher, few.images, few.labels, loss, **common)
    return accuracy(student, val_set)


targets = check.sweep(
    scale,
    "targets",
    of_targets,
    points=["labels", "labels and choices", "labels and probabilities"],
    own={"labels": own["alone"]} if rate_alone == swept_lr else None,
    rerun=rerun["targets"],
)
plot.show(
    plot.sweep(targets, ylabel="validation accuracy", title="What the student is told"),
    alt="Validation accuracy of students that learn from labels, from the teacher's choices, from its probabilities.",
)

# %% [markdown]
# ## Optional: features instead of answers
#
# A teacher knows more than $K$ numbers say. Why not match what stands *before* its last layer? Two networks have axes of
# their own and need not even have the same width, so the student's features $h$ pass a **linear map** $M$ that is learnt
# along and thrown away afterwards, and since lengths carry little, directions are compared:
#
# $$\mathcal L = \frac1N \sum_n \Big(1 - \frac{M h_n \cdot t_n}{\lVert M h_n \rVert\, \lVert t_n \rVert}\Big).$$
#
# No class is named anywhere, so several teachers that know different things can be matched at once, by a map for each
# (Ranzinger et al. 2024). Why a *linear* map, and what a larger one takes away from the student, Miles and Mikolajczyk
# (2024) ask.

# %% [markdown]
# ### 6.9 Feature distillation  ·  optional  ·  difficulty 1 of 3  ·  about 10 minutes
#
# <details><summary>Hint 1</summary><code>mapping(student_features)</code>, (N, E), then a cosine for each row.</details>
# <details><summary>Hint 2</summary><code>F.cosine_similarity(a, b, dim=1)</code>; who must get no gradient?</details>


# %% tags=["exercise", "points:0"]
def feature_distillation_loss(
    student_features: torch.Tensor, teacher_features: torch.Tensor, mapping: nn.Module
) -> torch.Tensor:
    """1 minus the cosine of mapped and teacher's features (Ranzinger et al. 2024, section 3.3), mean over the batch.

    student_features: (N, D); teacher_features: (N, E); mapping: (N, D) to (N, E), linear, learnt along. Returns a
    scalar from 0, the same directions, to 2. No gradient reaches the teacher.
    """
    ### BEGIN SOLUTION
    return 1 - F.cosine_similarity(mapping(student_features), teacher_features.detach(), dim=1).mean()
    ### END SOLUTION


# %% tags=["check"]
feature_distillation_loss = check.feature_distillation_loss(feature_distillation_loss)

# %% [markdown]
# One more student, on all images for as many steps as the third one above, at its rate: it hears features and never an
# answer. What do the *features* of each student hold? A linear probe on the few labelled images says it, judged on
# validation images; the map is thrown away, so that all transformers are judged by their class token.


# %%
def learn_features(seed: int, lr: float) -> nn.Module:
    """A transformer whose features, linearly mapped, point where the teacher's do."""
    vit = untrained(seed)[0]
    mapping, known = nn.Linear(width, backbone.num_features), backbone.to(scale.device).eval()

    def loss(images: torch.Tensor) -> torch.Tensor:
        view = views(images)
        with torch.no_grad():
            told = known(view)
        return feature_distillation_loss(vit(view), told, mapping)

    common = settings(seed, train_set, lr)
    del common["augment"]
    train.fit(loss, [vit, mapping], train_set.images, label="features of the teacher", **common)
    return vit


followers = {
    "random ViT": random_vit,
    "labels of few": alone[0],
    "answers, all images": distilled[0],
    "features, all images": learn_features(scale.seed, rate_all),
    "the teacher": backbone,
}
of_features = {}
for key, network in followers.items():
    some_h, val_h = (evaluate.extract_features(network, part.images) for part in (few, val_set))
    of_features[key] = evaluate.linear_probe(some_h, few.labels, val_h, val_set.labels, Cs=(*penalties, 1.0))
plot.show(
    plot.bars(
        {key: probe.accuracy for key, probe in of_features.items()},
        intervals={key: (probe.low, probe.high) for key, probe in of_features.items()},
        levels={"chance": 1 / classes},
        ylabel="probe on few labels, validation accuracy",
        title="What the features hold, one seed",
    ),
    alt="Accuracy of probes on few labels: random transformer, students of labels, answers and features, teacher.",
)

# %% [markdown]
# Answers lie along as many directions as there are classes; a feature has more. Whether the rest is worth anything to a
# probe for the *same* classes is another question, and the bars answer it for this seed, as far as their whiskers lie
# apart. Ask it again for a task that the teacher was not trained for (`factors` of the tissue images: how many cells,
# which direction).

# %% [markdown]
# ## Report
#
# Your numbers beside those of the recorded runs. One seed proves little: the table has the spread over seeds, and a claim
# counts if it holds for each of them.

# %%
gain = results["with, all images"] - results["student without a teacher"]
claims = {
    "distilled student over the random ViT": (
        results["with, all images"] - results["random ViT"],
        scale.pick(tiny=0.15, small=0.02, full=0.1),
    ),
    "a teacher on all images over labels alone": (gain, 0.01),
}
judged = ("distilled", "same_images", "alone", "teacher", "random", "pixel")
check.report(
    scale,
    distilled_accuracy=results["with, all images"],
    same_images_accuracy=results["with, same images"],
    alone_accuracy=results["student without a teacher"],
    gain=gain,
    teacher_accuracy=results["the teacher"],
    random_accuracy=results["random ViT"],
    pixel_accuracy=results["raw pixels"],
    feature_probe=of_features["features, all images"].accuracy,
    answer_probe=of_features["answers, all images"].accuracy,
    claims=claims,
    tested={f"{kind}_accuracy": len(test_set) for kind in judged}
    | {f"{kind}_probe": len(val_set) for kind in ("feature", "answer")},
    chance={f"{kind}_accuracy": 1 / classes for kind in judged}
    | {f"{kind}_probe": 1 / classes for kind in ("feature", "answer")},
    baseline={"distilled_accuracy": results["student without a teacher"], "alone_accuracy": results["random ViT"]}
    | {f"{kind}_probe": of_features["random ViT"].accuracy for kind in ("feature", "answer")},
)

# %% [markdown]
# ## What to take with you
#
# - A ViT is patches, positions, and blocks of attention and perceptrons. It assumes almost nothing of images and pays
#   for that with data.
# - Divide scores by the root of the *head's* width; without positions attention does not know any order.
# - A teacher's soft answers say which wrong answers are nearly right. $T$ shows it, $T^2$ keeps the balance, and
#   the divergence is from the teacher to the student.
# - A fair comparison has equal views, steps and seeds, and says which images and labels each side saw, the teacher too.

# %% [markdown]
# ## Further reading
#
# - A. Dosovitskiy et al. *An image is worth 16x16 words: transformers for image recognition at scale.* ICLR 2021.
#   [arXiv:2010.11929](https://arxiv.org/abs/2010.11929). ViT; figure 7 and appendix D.7 are the attention distance.
# - A. Vaswani et al. *Attention is all you need.* NeurIPS 2017. [arXiv:1706.03762](https://arxiv.org/abs/1706.03762).
# - G. Hinton, O. Vinyals, J. Dean. *Distilling the knowledge in a neural network.* 2015.
#   [arXiv:1503.02531](https://arxiv.org/abs/1503.02531). Dark knowledge, and the derivation of $T^2$.
# - H. Touvron, M. Cord, M. Douze, F. Massa, A. Sablayrolles, H. Jégou. *Training data-efficient image transformers &
#   distillation through attention.* ICML 2021. [arXiv:2012.12877](https://arxiv.org/abs/2012.12877). DeiT.
# - L. Beyer, X. Zhai, A. Royer, L. Markeeva, R. Anil, A. Kolesnikov. *Knowledge distillation: a good teacher is patient
#   and consistent.* CVPR 2022. [arXiv:2106.05237](https://arxiv.org/abs/2106.05237).
# - M. Ranzinger, G. Heinrich, J. Kautz, P. Molchanov. *AM-RADIO: agglomerative vision foundation model, reduce all domains
#   into one.* CVPR 2024. [arXiv:2312.06709](https://arxiv.org/abs/2312.06709). Features of several teachers in one student.
# - R. Miles, K. Mikolajczyk. *Understanding the role of the projector in knowledge distillation.* AAAI 2024.
#   [arXiv:2303.11098](https://arxiv.org/abs/2303.11098).
# - S. Sun, W. Ren, J. Li, R. Wang, X. Cao. *Logit standardization in knowledge distillation.* CVPR 2024.
#   [arXiv:2403.01427](https://arxiv.org/abs/2403.01427). One temperature for both networks is an assumption.
# - D. Busbridge, A. Shidani, F. Weers, J. Ramapuram, E. Littwin, R. Webb. *Distillation scaling laws.* ICML 2025.
#   [arXiv:2502.08606](https://arxiv.org/abs/2502.08606). When a teacher is worth its cost.
# - T. Darcet, M. Oquab, J. Mairal, P. Bojanowski. *Vision transformers need registers.* ICLR 2024.
#   [arXiv:2309.16588](https://arxiv.org/abs/2309.16588). What attention maps of large transformers show besides objects.
# - T. Furlanello, Z. Lipton, M. Tschannen, L. Itti, A. Anandkumar. *Born-again neural networks.* ICML 2018.
#   [arXiv:1805.04770](https://arxiv.org/abs/1805.04770). Teachers of the same size.
# - T. Xiao, M. Singh, E. Mintun, T. Darrell, P. Dollár, R. Girshick. *Early convolutions help transformers see better.*
#   NeurIPS 2021. [arXiv:2106.14881](https://arxiv.org/abs/2106.14881).
# - M. Raghu, T. Unterthiner, S. Kornblith, C. Zhang, A. Dosovitskiy. *Do vision transformers see like convolutional
#   neural networks?* NeurIPS 2021. [arXiv:2108.08810](https://arxiv.org/abs/2108.08810).
# - W. Luo, Y. Li, R. Urtasun, R. Zemel. *Understanding the effective receptive field in deep convolutional neural
#   networks.* NeurIPS 2016. [arXiv:1701.04128](https://arxiv.org/abs/1701.04128).

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
# # Week 1 · Autoencoders and linear probing
#
# Can a network learn something about images that nobody has labelled? The oldest idea is to let it copy: squeeze an
# image through a few numbers and rebuild it from them. What can be rebuilt must be in those numbers, so they should
# *know* the image. This week you build such a network, train it with a loop that you write yourself, and then ask the
# question that the whole course is about: **are its features any good?** The tool for the answer, the linear probe,
# comes back in most weeks. The answer itself may disappoint you, and that is what week 2 begins with.
#
# **You will be able to**
#
# 1. build and train an autoencoder, and say what its bottleneck does;
# 2. derive that a linear autoencoder is PCA, and what it takes to do better;
# 3. measure a representation with a linear probe that does not fool you: statistics, hyperparameters, intervals;
# 4. explain why a small reconstruction error does not mean good features.
#
# **You need** PyTorch modules, convolutions, gradient descent, logistic regression, and the singular value
# decomposition for one derivation. Notation: $x$ an image, $h = f(x)$ its features, $f$ the encoder, $g$ the decoder.
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
import torch
import torch.nn.functional as F
from torch import nn

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check import week01 as check
from sslcourse.plot.schematics.bottleneck_and_probe import bottleneck_and_probe

# %%
scale = sslcourse.begin(week=1)

# %% [markdown] tags=["before"]
# ## Theory
#
# ### What is a representation?
#
# A function $f$ that maps an image $x \in \mathbb{R}^{C \times H \times W}$ to a vector of features $h = f(x) \in
# \mathbb{R}^D$. The pixels are a representation too, and no other can hold more information about the content: for any
# label $y$ that depends on the image, $I(f(x); y) \le I(x; y)$ (the data processing inequality). So a representation is
# not good because it *contains* much. It is good when what we need is **easy to get out**: a class by a straight cut,
# similar things near each other.
#
# ### Autoencoders
#
# An encoder $f$ and a decoder $g$ are trained together to copy their input,
#
# $$\min_{f,\, g} \; \mathbb{E}_x \, \lVert x - g(f(x)) \rVert^2 ,$$
#
# and the images are their own targets: no label is needed. Without a constraint the identity is a perfect solution, and
# it teaches nothing. The plainest constraint is a **bottleneck**: $h$ has far fewer numbers than $x$, so that the
# network must find out what images have in common. (Others: noise on the input, below; sparse or random codes, in the
# further reading.)
#
# What does the squared error ask for? Hold $f$ fixed. Among all decoders the best is the conditional mean, $g^*(h) =
# \mathbb{E}[x \mid h]$, since for every $h$ the constant that is nearest to $x$ in mean square is its mean. All images
# that the code cannot tell apart are averaged: this is why reconstructions are **blurred**.

# %%
plot.show(
    bottleneck_and_probe(),
    alt="An image, its code of few numbers and the copy made from it; afterwards a linear probe reads the frozen code.",
)

# %% [markdown] tags=["before"]
# ### A linear autoencoder is PCA
#
# Let the rows of $X \in \mathbb{R}^{N \times P}$ be the images, centred, with singular values $\sigma_1 \ge \sigma_2
# \ge \dots$ and right singular vectors $v_1, v_2, \dots$, the principal directions. Encoder and decoder are matrices,
# $h = W_f x$ with $d$ rows and $\hat x = W_g h$.
#
# 1. The reconstructions $\hat X = X W_f^\top W_g^\top$ form a matrix of rank at most $d$, whatever the weights.
# 2. No matrix of rank $d$ is nearer to $X$ in squared error than the truncated singular value decomposition $X V
#    V^\top$ with $V = [v_1 \dots v_d]$; what remains is $\sum_{i > d} \sigma_i^2$ (Eckart & Young 1936).
# 3. It can be reached: $W_f = A V^\top$ and $W_g = V A^{-1}$ give $\hat X = X V V^\top$, for **any** invertible $A$.
#
# So the best linear autoencoder spans the same space as the first $d$ principal components and has exactly PCA's error;
# its single features are arbitrary mixtures of them, because of $A$. Gradient descent can find it: if the variances
# along the principal directions differ, all other critical points of the error are saddles (Baldi & Hornik 1989).
#
# Step 1 uses only that the *decoder* is linear. A non-linear encoder alone gains nothing (Bourlard & Kamp 1988). To
# beat PCA of the same size the decoder must be non-linear: it then covers a curved surface instead of a flat one. You
# will see whether yours does.

# %% [markdown] tags=["before"]
# ### Measuring features: the linear probe
#
# Freeze $f$, compute the features of labelled images, and train the simplest classifier on them, multinomial logistic
# regression (Alain & Bengio 2017). Its accuracy says how much of the label is *linearly readable*. A large network in
# its place would measure its own talent: given the pixels it finds the class by itself. Done right, a probe follows
# three rules, and every week of this course keeps them:
#
# - **Standardise with training statistics.** The penalty of logistic regression, $\frac{1}{2} \lVert w \rVert^2 + C
#   \sum_n \ell_n$, treats all features alike: one whose values are a thousand times as small needs a weight a thousand
#   times as large for the same say, and pays for it. So bring each to mean 0 and standard deviation 1. The statistics
#   come from the training set only. Those of the test set are not known when a single new image arrives, and using them
#   lets the test set shape the classifier.
# - **Choose on validation.** The strength $C$, but also the latent size, the layer, the number of epochs: everything
#   that is chosen is chosen on images that were cut from the training set.
# - **Test once.** The best of twenty test results is not an estimate of anything. And give an interval: $k$ right of
#   $n$, $\hat p = k / n$, has the 95 % interval (Wilson 1927, $z = 1.96$)
#
# $$\frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}} .$$
#
# Beside the result stand baselines: chance, the raw pixels, the same network with random weights (the architecture
# alone is worth something), and the same network trained with labels.

# %% [markdown] tags=["before"]
# ### Why the reconstruction error is no measure of features
#
# Two arguments, before you look at numbers.
#
# - *It does not see the features.* Put any invertible map $\phi$ behind the encoder and its inverse before the decoder:
#   $g \circ \phi^{-1} \circ \phi \circ f$ has the same error for every $\phi$, while the features can become as tangled
#   as you like. The error judges the pair; features are one half of it.
# - *It counts pixels.* Every pixel weighs the same. A large sky matters more than the small thing before it, although
#   the thing gives the image its name. Nothing in the objective says what an image is *about*.
#
# So a smaller error is neither necessary nor sufficient for better features. Balestriero & LeCun (2024) show for
# natural images that the directions with most of the pixels' variance, which a reconstruction learns first, tell
# classes apart less well than those with little.

# %% [markdown]
# ## Data
#
# At `tiny` we draw *scenes*: 32 x 32 pixels, ten shapes before a horizon. The shape is the class; its colour, size,
# place and texture and the background are drawn independently of it, and because we drew them we know them. `small` is
# a part of CIFAR-10, `full` is STL-10 at 96 pixels, made for learning from unlabelled images (Coates et al. 2011).

# %%
name = scale.pick(tiny="scenes", small="cifar10", full="stl10")
train_set = data.load_images(name, "train", n=scale.pick(dry=200, tiny=2000, small=6000, full=None), seed=scale.seed)
val_set = data.load_images(name, "val", n=scale.pick(dry=100, tiny=1000, small=2000, full=None), seed=scale.seed)
test_set = data.load_images(name, "test", n=scale.pick(dry=100, tiny=2000, small=5000, full=None), seed=scale.seed)
train_x, val_x, test_x = (data.as_float(part.images).to(scale.device) for part in (train_set, val_set, test_set))

# Labels play no part in training, so STL-10's images without labels are welcome there.
pretrain_x = train_x
if name == "stl10":
    unlabelled = data.load_images(name, "unlabelled", n=20000, seed=scale.seed)
    pretrain_x = data.as_float(unlabelled.images).to(scale.device)

channels, side = train_x.shape[1], train_x.shape[-1]
classes = len(train_set.class_names)
print(f"{len(pretrain_x)} images to train on, {len(val_x)} for validation, {len(test_x)} for the test")
print(f"{channels} x {side} x {side} = {train_x[0].numel()} numbers each, {classes} classes")

# %%
some = torch.stack([(test_set.labels == k).nonzero()[0, 0] for k in range(classes)])  # one image of each class
plot.show(
    plot.image_grid(test_set.images[some], titles=test_set.class_names, columns=5, title="One image of each class"),
    alt="Ten images, one of each class, with the names of their classes.",
)

# %% [markdown]
# ## Exercises
#
# ### 1.1 The autoencoder  ·  difficulty 2 of 3  ·  about 25 minutes
#
# The two convolutional halves are given. `models.conv_encoder(in_channels, base_channels)` turns images $(N, C, H, W)$
# into maps $(N, 4b, \lceil H/8 \rceil, \lceil W/8 \rceil)$ with $b$ = `base_channels`: three convolutions with stride
# 2. `models.conv_decoder(out_channels, image_size, base_channels)` goes back, to exactly the size that you name, and
# ends in a sigmoid. Join them by a bottleneck: a linear layer from the flattened maps to `latent_dim` numbers, and one
# back.
#
# <details><summary>Hint 1</summary>Four modules in <code>__init__</code>: the two halves and two
# <code>nn.Linear</code>. Everything that the decoder learns of the image must have gone through the latent
# vector.</details>
# <details><summary>Hint 2</summary>A side of the maps is ceil(image_size / 8), in Python
# <code>-(-image_size // 8)</code>; at 28 pixels that is 4, not 3.</details>
# <details><summary>Hint 3</summary><code>flatten(1)</code> makes (N, 4b s s) of the maps;
# <code>unflatten(1, (4 * b, s, s))</code> undoes it. <code>forward</code> is decode after encode.</details>


# %% tags=["exercise", "points:3"]
class ConvAutoencoder(nn.Module):
    """A convolutional autoencoder with a bottleneck of latent_dim numbers.

    encode: images (N, C, H, W) in [0, 1] to (N, latent_dim); decode: (N, latent_dim) to images (N, C, H, W) in [0, 1].
    forward: decode(encode(x)). Images are square, image_size pixels a side, which need not be divisible by 8.
    """

    def __init__(self, in_channels: int, image_size: int, latent_dim: int, base_channels: int = 16):
        super().__init__()
        ### BEGIN SOLUTION
        side = -(-image_size // 8)  # three halvings, each rounded up
        maps = (4 * base_channels, side, side)
        width = 4 * base_channels * side * side
        self.encoder = nn.Sequential(
            models.conv_encoder(in_channels, base_channels), nn.Flatten(), nn.Linear(width, latent_dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, width),
            nn.Unflatten(1, maps),
            models.conv_decoder(in_channels, image_size, base_channels),
        )
        ### END SOLUTION

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, latent_dim)."""
        ### BEGIN SOLUTION
        return self.encoder(x)
        ### END SOLUTION

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """(N, latent_dim) to (N, C, H, W)."""
        ### BEGIN SOLUTION
        return self.decoder(z)
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        ### BEGIN SOLUTION
        return self.decode(self.encode(x))
        ### END SOLUTION


# %% tags=["check"]
ConvAutoencoder = check.ConvAutoencoder(ConvAutoencoder)

# %% [markdown]
# ### 1.2 The training loop  ·  difficulty 2 of 3  ·  about 25 minutes
#
# From next week on `train.fit` does this for you; once in your life you should have written it. One **epoch** is one
# pass over all images in a new random order. For each batch: predict, compute the mean squared error over all values,
# set the gradients to zero, backpropagate, let the optimiser take a step. A smaller last batch counts as well. Return
# the mean loss *per image*: with 10 images in batches of 4 the last batch of 2 must not weigh as much as a full one.
#
# <details><summary>Hint 1</summary><code>torch.randperm(len(images), generator=generator)</code> is a random order, and
# <code>.split(batch_size)</code> cuts it into batches, the smaller last one included.</details>
# <details><summary>Hint 2</summary>Gradients add up from call to call until <code>optimizer.zero_grad()</code>.
# Somebody may have evaluated the model before: <code>model.train()</code>.</details>
# <details><summary>Hint 3</summary>Add up <code>loss.item() * len(batch)</code> and divide by the number of images at
# the end.</details>


# %% tags=["exercise", "points:3"]
def train_epoch(
    model: nn.Module,
    images: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator | None = None,
) -> float:
    """One shuffled pass over images (N, C, H, W) in [0, 1], minimising the mean squared error of model(batch) to batch.

    generator: where the random order comes from. The model is left in train mode.
    Returns the mean loss per image, each batch's loss taken before its update.
    """
    ### BEGIN SOLUTION
    model.train()
    total = 0.0
    for index in torch.randperm(len(images), generator=generator).split(batch_size):
        batch = images[index]                                   # (B, C, H, W)
        loss = F.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)                       # the last batch may be smaller
    return total / len(images)
    ### END SOLUTION


# %% tags=["check"]
train_epoch = check.train_epoch(train_epoch)

# %% [markdown]
# ### 1.3 Features, once and for all  ·  difficulty 1 of 3  ·  about 15 minutes
#
# Features of a frozen encoder never change, so they are computed once and kept. Four things go wrong here in practice:
# the network is still in train mode (dropout and batch norm then give other features), the graph of every batch is kept
# in memory, the order is lost, and the mode of a network that is still being trained is changed behind its back.
#
# <details><summary>Hint 1</summary>Cut <code>images.split(batch_size)</code>, encode, <code>torch.cat</code>; all under
# <code>torch.no_grad()</code>.</details>
# <details><summary>Hint 2</summary>A plain function has no mode:
# <code>isinstance(encoder, nn.Module)</code>. A module's mode is <code>encoder.training</code>.</details>
# <details><summary>Hint 3</summary><code>encoder.train(mode)</code> with a bool sets the mode back.</details>


# %% tags=["exercise", "points:2"]
def extract_features(encoder, images: torch.Tensor, batch_size: int = 256) -> torch.Tensor:
    """Features (N, D) of images (N, C, H, W), row n from image n, computed batch by batch.

    encoder: a module or a plain function from (B, C, H, W) to (B, D). A module runs in eval mode and is left in the
    mode that it came in. The features carry no gradients.
    """
    ### BEGIN SOLUTION
    is_module = isinstance(encoder, nn.Module)
    was_training = is_module and encoder.training
    if is_module:
        encoder.eval()
    with torch.no_grad():
        features = torch.cat([encoder(batch) for batch in images.split(batch_size)])  # (N, D)
    if is_module:
        encoder.train(was_training)
    return features
    ### END SOLUTION


# %% tags=["check"]
extract_features = check.extract_features(extract_features)

# %% [markdown]
# ### 1.4 The linear probe  ·  difficulty 1 of 3  ·  about 15 minutes
#
# Standardise with the training statistics, fit scikit-learn's logistic regression with $C = 1$ on the training
# features, return the share of test labels that it gets right.
#
# <details><summary>Hint 1</summary><code>StandardScaler</code> from <code>sklearn.preprocessing</code> is
# <em>fitted</em> on one set and <em>applied</em> to both.</details>
# <details><summary>Hint 2</summary><code>make_pipeline(StandardScaler(), LogisticRegression(...))</code> from
# <code>sklearn.pipeline</code> does so without your help.</details>
# <details><summary>Hint 3</summary>scikit-learn wants arrays: <code>x.cpu().numpy()</code>. Give the solver
# <code>max_iter=1000</code>; <code>.score</code> is the accuracy.</details>


# %% tags=["exercise", "points:2"]
def linear_probe(
    train_x: torch.Tensor, train_y: torch.Tensor, test_x: torch.Tensor, test_y: torch.Tensor
) -> float:
    """Test accuracy in [0, 1] of multinomial logistic regression (C = 1) on standardised features.

    train_x (N, D), train_y (N,): features and labels to fit; test_x (M, D), test_y (M,): to score, nothing else.
    """
    ### BEGIN SOLUTION
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    classifier.fit(train_x.cpu().numpy(), train_y.cpu().numpy())
    return float(classifier.score(test_x.cpu().numpy(), test_y.cpu().numpy()))
    ### END SOLUTION


# %% tags=["check"]
linear_probe = check.linear_probe(linear_probe)

# %% [markdown]
# ## Training
#
# All settings are here (`points` are the sizes of the recorded sweep below). Three autoencoders that differ in nothing
# but the size of the bottleneck are trained with your loop, for equally many epochs. The dashed level is the error of
# always answering with the mean image: an autoencoder whose code says nothing can do no better.

# %%
sizes = scale.pick(tiny=(4, 32, 128), small=(16, 64, 256), full=(64, 256, 1024))
points = scale.pick(tiny=[2, 4, 8, 16, 32, 64, 128], small=[8, 16, 32, 64, 128, 256], full=[64, 256, 1024])
epochs = scale.pick(dry=1, tiny=7, small=15, full=40)
batch_size = scale.pick(tiny=32, small=64, full=128)
base_channels = scale.pick(tiny=16, small=16, full=32)
learning_rate = 3e-3


def build(size: int, seed: int, kind=ConvAutoencoder) -> nn.Module:
    """An untrained autoencoder, the same one for the same seed."""
    torch.manual_seed(seed)
    return kind(channels, side, size, base_channels).to(scale.device)


def pretrain(size: int, seed: int = scale.seed, kind=ConvAutoencoder) -> tuple[nn.Module, list[float]]:
    """Train an autoencoder with train_epoch. Returns it and its mean training error in every epoch."""
    model = build(size, seed, kind)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    generator = torch.Generator().manual_seed(seed)
    going = train.passes(epochs, label=f"latent size {size}")    # 0, 1, ..., and it can be interrupted
    losses = [train_epoch(model, pretrain_x, optimizer, batch_size, generator) for _ in going]
    return model.eval(), losses


autoencoders, losses = {}, {}
for size in sizes:
    autoencoders[size], losses[f"latent size {size}"] = pretrain(size)
    first, last = losses[f"latent size {size}"][0], losses[f"latent size {size}"][-1]
    print(f"latent size {size:4}: squared error {first:.4f} in the first epoch, {last:.4f} in the last")

# %%
mean_image = pretrain_x.mean(dim=0)
mean_error = (val_x - mean_image).square().mean().item()
plot.show(
    plot.curves(
        losses,
        levels={"mean image": mean_error},
        xlabel="epoch",
        ylabel="mean squared error per value",
        title="Training error of three autoencoders, one seed",
    ),
    alt="Training error over the epochs falls for each latent size, furthest for the largest, below the mean image's.",
)

# %% [markdown]
# ## Results
#
# ### What is kept and what is lost
#
# Test images, what the largest autoencoder makes of them, and where it errs: the absolute error $|x - \hat x|$ (L1) and
# the squared one (L2), averaged over the channels. Each row of errors is scaled so that its largest hundredth is white.
# At `tiny` one row comes from a network that ships with the course: the same form and size, trained for 15 epochs of
# 20,000 other scenes at a rate that falls to 0, some twenty times your steps.


# %%
def reconstruct(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Reconstructions (N, C, H, W) on the CPU."""
    return evaluate.extract_features(nn.Sequential(model, nn.Flatten()), images).view(images.shape)


def error(model: nn.Module, images: torch.Tensor) -> float:
    """Mean squared error per value."""
    return F.mse_loss(reconstruct(model, images), images.cpu()).item()


def brighten(errors: torch.Tensor) -> torch.Tensor:
    """Scale errors so that the largest hundredth is white."""
    return (errors / errors.quantile(0.99)).clamp(max=1)


longer = {}
if scale.name in ("dry", "tiny"):
    longer = {f"longer, size {sizes[-1]}": models.load_pretrained("autoencoder_scenes").to(scale.device)}
shown = test_x[some[:8]]
rebuilt = reconstruct(autoencoders[sizes[-1]], shown)
l1 = (shown.cpu() - rebuilt).abs().mean(dim=1, keepdim=True)       # (8, 1, H, W)
l2 = (shown.cpu() - rebuilt).square().mean(dim=1, keepdim=True)
plot.show(
    plot.panels(
        {
            "original": shown,
            f"yours, size {sizes[-1]}": rebuilt,
            "its L1 error": brighten(l1),
            "its L2 error": brighten(l2),
            **{label: reconstruct(model, shown) for label, model in longer.items()},
        },
        title="What comes back",
    ),
    alt="Eight test images, their blurred reconstructions, error maps that are brightest along edges and texture, and "
    "sharper reconstructions by a network that was trained for longer.",
)

# %% [markdown]
# The squared error has few bright spots where the absolute one is grey over much of the object: squaring makes one
# large error expensive and many small ones cheap. That is the bargain behind the blur: a soft edge in about the right
# place costs less than a sharp edge one pixel beside it. How much of the blur is haste? In the last row you know most
# classes, although the code is no larger than yours.
#
# How much of all this is about the object? For the scenes we have a mask of it. A share of the error that is larger
# than its share of the area says that the object is what has *not* been learnt: the background is copied first.

# %%
if test_set.masks is not None:
    object_pixels = test_set.masks[:200].flatten(1)                   # (200, H W)
    rebuilt = reconstruct(autoencoders[sizes[-1]], test_x[:200])
    per_pixel = (test_x[:200].cpu() - rebuilt).square().mean(dim=1).flatten(1)
    area = object_pixels.float().mean().item()
    share = (per_pixel[object_pixels].sum() / per_pixel.sum()).item()
    print(f"The object covers {100 * area:.0f} % of the pixels; {100 * share:.0f} % of the squared error falls on it.")

# %% [markdown]
# ### Reconstruction against latent size, PCA beside it
#
# PCA is the honest opponent: the best *linear* autoencoder of the same size, found by one decomposition instead of
# training. Both are fitted on training images and measured on validation images.


# %%
class PCA:
    """Principal component analysis of images; encoder and reconstruction of any size up to `most`."""

    def __init__(self, images: torch.Tensor, most: int):
        self.mean = images.mean(dim=0)
        centred = (images - self.mean).flatten(1)                  # (N, P)
        some_more = min(most + 16, len(images))                    # the randomised method is exact only with a margin
        self.directions = torch.pca_lowrank(centred, q=some_more, center=False, niter=4)[2]  # (P, q), variance falls

    def encoder(self, size: int):
        return lambda images: (images - self.mean).flatten(1) @ self.directions[:, :size]  # (N, size)

    def reconstruct(self, images: torch.Tensor, size: int) -> torch.Tensor:
        flat = self.encoder(size)(images) @ self.directions[:, :size].T
        return flat.view(images.shape) + self.mean                 # (N, C, H, W)

    def error(self, images: torch.Tensor, size: int) -> float:
        return F.mse_loss(self.reconstruct(images, size), images).item()


pca = PCA(pretrain_x, most=max(points))
errors = {size: error(autoencoders[size], val_x) for size in sizes}
pca_errors = {size: pca.error(val_x, size) for size in sizes}
longer_errors = {label: error(model, val_x) for label, model in longer.items()}
for label, value in {f"yours, size {sizes[-1]}": errors[sizes[-1]], **longer_errors}.items():
    print(f"squared error of the autoencoder, {label}: {value:.4f}; of PCA of that size: {pca_errors[sizes[-1]]:.4f}")

# %% [markdown]
# The stars are your own run. The lines come from a recorded run over more sizes and several seeds. To compute another
# size now, name it in `rerun` and run this cell again.

# %%
rerun = []  # for example [8]
by_autoencoder = check.sweep(
    scale,
    "error of the autoencoder",
    lambda size, seed: error(pretrain(size, seed)[0], val_x),
    points=points,
    own=errors,
    rerun=rerun,
)
by_pca = check.sweep(
    scale, "error of PCA", lambda size, seed: pca.error(val_x, size), points=points, own=pca_errors, rerun=rerun
)
plot.show(
    plot.sweep(
        {"autoencoder": by_autoencoder, "PCA": by_pca},
        xlabel="latent size",
        ylabel="squared error, validation",
        levels={"mean image": mean_error},
        log_x=True,
        title="Reconstruction against latent size",
    ),
    alt="Squared error on validation images falls with the latent size, for the autoencoder and for PCA.",
)

# %% [markdown]
# ### When does a curved surface beat a flat one?
#
# Look at who wins in the figure. In the scenes most of the variance is light and tint (at `tiny` two directions take
# PCA from the dashed level down more than half of the way to 0), and light scales all pixels together: a straight line
# in pixel space, which is what PCA is made for. Now a world that is curved: one soft disc, which is somewhere. Two
# numbers say everything about such an image, but moving the disc does not scale any picture, it swaps one for another.
# The same two contestants, both of size 2, your loop and your class:


# %%
def discs(n: int, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, 16, 16) of one soft disc in a random place, light grey on dark grey."""
    centre = 4 + 8 * torch.rand(n, 2, 1, generator=generator)      # row and column, in pixels
    rows, columns = ((torch.arange(16.0) - centre[:, k]) ** 2 for k in (0, 1))  # (n, 16) each
    return 0.25 + 0.5 * torch.exp(-(rows[:, :, None] + columns[:, None, :]) / 8)[:, None]


generator = scale.generator(1)
disc_x, disc_val_x = (discs(n, generator).to(scale.device) for n in (1000, 500))
torch.manual_seed(scale.seed)
curved = ConvAutoencoder(1, 16, 2, 8).to(scale.device)
optimizer = torch.optim.Adam(curved.parameters(), lr=learning_rate)
for _ in train.passes(scale.pick(dry=1, tiny=15, small=30, full=30), label="discs"):
    train_epoch(curved, disc_x, optimizer, 32, generator)
flat = PCA(disc_x, most=2)
curved_error, flat_error = error(curved, disc_val_x), flat.error(disc_val_x, 2)
print(f"squared error at size 2: PCA {flat_error:.4f}, autoencoder {curved_error:.4f}")
plot.show(
    plot.panels(
        {
            "original": disc_val_x[:8],
            "PCA, size 2": flat.reconstruct(disc_val_x[:8], 2).clamp(0, 1),
            "autoencoder, size 2": reconstruct(curved, disc_val_x[:8]),
        },
        title="Two numbers for the place of a disc",
    ),
    alt="Discs in eight places; PCA of size 2 smears them out, the autoencoder of size 2 puts a disc where it was.",
)

# %% [markdown]
# #### Question 1
#
# (a) On the *training* images no linear autoencoder of size $d$ can have a smaller error than PCA. Which step of the
# derivation does your network escape, and where do you see it? (b) On the scenes, at which sizes does PCA win all the
# same, and why does that not contradict (a)? (c) Somebody trains the three autoencoders, compares their errors on the
# test images, and reports the best. What is wrong, even though nobody touched a label?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Step 1: with a non-linear decoder the reconstructions need not lie in a space of $d$ dimensions, they lie on a
# curved surface. The discs show it: their images form a surface with two coordinates that no plane comes near, so PCA
# of size 2 averages over many places, and the autoencoder of size 2 follows the surface.
#
# (b) Read it off your figure; it wins by most where the code is large. That a better network *exists* does not mean
# that a short training finds it: PCA is solved exactly, the autoencoder is stopped after a few epochs. The one trained
# for longer has the same form and size and is below PCA, also below one that was fitted on all of its 20,000 images
# (`sslcourse/checkpoints/README.md` lists both): your training lacks steps and images, not layers. Besides, what makes
# up most of the variance here, light and tint, varies along straight lines, where a curved surface has nothing to offer.
#
# (c) The latent size was chosen on the test images, so the smallest of several test errors is reported, which is too
# low on average: the test set has been used to choose. Choose the size on validation images, then test that one.
# ### END SOLUTION

# %% [markdown]
# ### A walk in the latent space
#
# Take the codes of two images and go from one to the other in a straight line, $h_t = (1 - t) h_0 + t h_1$, decoding on
# the way. Beside it the same mixture of the pixels. If the decoder had learnt how scenes *vary*, an object would move
# or change; where it cross-fades like the pixels do, the code is close to a linear one.

# %%
t = torch.linspace(0, 1, 8, device=scale.device).view(-1, 1)
start, end = shown[1:2], shown[5:6]
with torch.no_grad():
    model = autoencoders[sizes[1]]
    ends = model.encode(torch.cat([start, end]))                  # (2, D)
    walk = model.decode((1 - t) * ends[:1] + t * ends[1:])        # (8, C, H, W)
fade = (1 - t.view(-1, 1, 1, 1)) * start + t.view(-1, 1, 1, 1) * end
plot.show(
    plot.panels({"latent walk": walk, "mixed pixels": fade}, title=f"A walk at latent size {sizes[1]}"),
    alt="Two rows of eight images that lead from one test image to another: decoded codes, and faded pixels.",
)

# %% [markdown]
# ## Are the features any good?
#
# ### First on validation images: error and probe side by side
#
# Your `linear_probe` on the codes of all three sizes, for the autoencoder, for PCA and for the autoencoder *before*
# training.

# %%
codes = {}
print("latent   squared error         probe accuracy on validation images")
print("  size   PCA     autoencoder   PCA    random  autoencoder")
val_probes = {}
for size in sizes:
    encoders = {"PCA": pca.encoder(size), "random": build(size, scale.seed).encode, "AE": autoencoders[size].encode}
    codes[size] = {key: [extract_features(f, x).cpu() for x in (train_x, val_x, test_x)] for key, f in encoders.items()}
    val_probes[size] = {
        key: linear_probe(h, train_set.labels, val_h, val_set.labels) for key, (h, val_h, _) in codes[size].items()
    }
    scores = val_probes[size]
    print(
        f"{size:6}   {pca_errors[size]:.4f}  {errors[size]:.4f}        "
        f"{scores['PCA']:.2f}   {scores['random']:.2f}    {scores['AE']:.2f}"
    )
chosen = max(sizes, key=lambda size: val_probes[size]["AE"])
print(f"Chance is {1 / classes:.2f}. The best autoencoder on validation images has latent size {chosen}.")

# %% [markdown]
# Read the table twice. *Down* the autoencoder's columns the error falls and the probe rises: it would be easy to
# conclude that the one explains the other. *Across*, at equal size, the conclusion breaks: compare the errors of PCA
# and of the autoencoder with their probes, and look at the random network, which reconstructs nothing at all.
#
# **Trap: the reconstruction error as a measure of features.** It is cheap, it needs no labels, it falls so nicely. It
# is the error of encoder *and* decoder about pixels, and it cannot rank features.
#
# **Trap: choosing the latent size on the test images.** The line above chooses on validation images. With
# `max(sizes, key=test accuracy)` the number reported would be the largest of three, and with thirty sizes the best of
# thirty lucky ones.
#
# ### Then, once, on the test images
#
# For the final comparison we take `evaluate.linear_probe`, the production form of yours: the same three steps, but it
# chooses $C$ on a fifth of the training images and returns the Wilson interval. Each of the four representations gets the
# $C$ that suits it, from a grid that grows while the best lies at its edge; pixels are averaged over 2 x 2, which makes
# their probe quick. Everything at the chosen size; the supervised network is the same encoder, trained as long, with a
# classifier in place of the decoder. At `tiny` the code of the network that copies so much better stands beside them.

# %%
torch.manual_seed(scale.seed)
encoder = nn.Sequential(models.conv_encoder(channels, base_channels), nn.Flatten())
width = encoder(train_x[:1].cpu()).shape[1]
supervised = nn.Sequential(encoder, nn.Linear(width, chosen), nn.ReLU(), nn.Linear(chosen, classes)).to(scale.device)
train.fit_classifier(
    supervised,
    train_x,
    train_set.labels,
    epochs=epochs,
    batch_size=batch_size,
    lr=2e-3,
    device=scale.device,
    max_steps=scale.max_steps,
    label="supervised",
)
right = evaluate.extract_features(supervised, test_x).argmax(dim=1) == test_set.labels

# %%
def probe_at_its_best(h: torch.Tensor, test_h: torch.Tensor, Cs=(0.001, 0.01, 0.1)) -> evaluate.Probe:
    """evaluate.linear_probe, whose grid grows tenfold at the edge where the best C lies, three times at most."""
    for _ in range(4):
        best = evaluate.linear_probe(h, train_set.labels, test_h, test_set.labels, Cs=Cs)
        if min(Cs) < best.C < max(Cs):
            break
        Cs = (best.C / 10, *Cs) if best.C == min(Cs) else (*Cs, best.C * 10)
    return best


pixels = [F.avg_pool2d(x, 2).flatten(1).cpu() for x in (train_x, test_x)]
probes = {key: probe_at_its_best(h, test_h) for key, (h, _, test_h) in codes[chosen].items()}
probes["pixels"] = probe_at_its_best(*pixels)
for label, model in longer.items():                                # its first three parts are the encoder
    probes[label] = probe_at_its_best(*(evaluate.extract_features(model[:3], x) for x in (train_x, test_x)))
print("penalties chosen: " + ", ".join(f"{key} C = {one.C:g}" for key, one in probes.items()))
named = {
    "raw pixels": probes["pixels"].accuracy,
    f"PCA of size {chosen}": probes["PCA"].accuracy,
    "random encoder": probes["random"].accuracy,
    "autoencoder": probes["AE"].accuracy,
    **{f"autoencoder, {label}": probes[label].accuracy for label in longer},
    "supervised": right.float().mean().item(),
}
intervals = {key: evaluate.wilson_interval(value, len(test_set)) for key, value in named.items()}
plot.show(
    plot.bars(
        {key.replace(", ", ",\n"): value for key, value in named.items()},
        intervals={key.replace(", ", ",\n"): interval for key, interval in intervals.items()},
        levels={"chance": 1 / classes},
        ylabel="test accuracy",
        title=f"Linear probes, latent size {chosen}",
    ),
    alt="Test accuracy with intervals of raw pixels, PCA, random encoder, autoencoder, the one that was trained for "
    "longer, and the supervised network.",
)

# %%
ranking = sorted(named, key=named.get, reverse=True)
print("From best to worst: " + ", ".join(f"{key} {named[key]:.2f}" for key in ranking))
for other in (f"PCA of size {chosen}", "random encoder", "raw pixels"):
    gap = 100 * (named["autoencoder"] - named[other])
    (low, high), (other_low, other_high) = intervals["autoencoder"], intervals[other]
    apart = low > other_high or high < other_low
    print(f"autoencoder over {other}: {gap:+.1f} points; the intervals {'are apart' if apart else 'overlap'}")

# %% [markdown]
# The whiskers are 95 % Wilson intervals. They cover the chance of *this test sample* and nothing else: not the seed of
# the network, not the draw of the training images. The table at the end of the notebook gives the spread over seeds
# from recorded runs. Overlapping intervals do not prove that two encoders are equal, either: both saw the same test
# images, and a paired comparison would be sharper.
#
# #### Question 2
#
# (a) Put into words what the bar chart says about autoencoders as feature learners, using the intervals. (b) A random
# encoder has never seen an image. Why can a probe on it be above chance? (c) The raw pixels hold all the information,
# so no encoder can add any. Why can a probe on an encoder still be better, and why need one on the pixels not be better
# than one on a few of their principal components, which hold less?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Use your own numbers. What to say: the autoencoder is above those baselines from which its interval is apart, by
# the points printed; where the intervals overlap, this test sample does not tell them apart. The network that was
# trained for longer has a third of the error and a few points more, if any: most of what it learnt to copy says nothing
# of the class. Whatever its place among those without labels, the autoencoder stays far below the same encoder trained
# with labels. Learning to copy pixels makes features that hold much about the image and little, in linearly readable
# form, about its class.
#
# (b) It is still a function of the image that keeps neighbouring pixels together: random filters respond to edges and
# colours, and a random projection keeps distances roughly. Some of what correlates with the class survives, as it does
# in the pixels. Hence it is the baseline: only what lies above it has been *learnt*.
#
# (c) The probe reads only what is linearly accessible; an encoder can unfold what a straight cut cannot reach. Pixels
# are many features, nearly all of them nuisance: the classifier fits noise, which the penalty can only limit. A few
# components are a smaller space in which it can fit less noise, which may make up for what they leave out: read off the
# bar chart whether it does.
# ### END SOLUTION

# %% [markdown]
# ### What does the code know, then?
#
# Something must have been learnt for the error to fall. In the scenes we know everything that went into an image, so
# the same probe can ask for each factor in turn. They have different numbers of values, so guessing is right more often
# for one than for another; what is drawn is how far a probe gets from guessing (0) to certainty (1). (Real data sets do
# not come with factors; at the other scales this figure is left out.)

# %%
if train_set.factors is not None:
    asked = {"background": "background", "size": "size", "place": "place", "colour": "colour", "texture": "texture"}
    targets = {key: (train_set.factors[f], val_set.factors[f]) for key, f in asked.items()}
    targets["class"] = (train_set.labels, val_set.labels)
    way = {}
    for key in ("random", "AE"):
        h, val_h, _ = codes[sizes[1]][key]
        way[key] = []
        for y, val_y in targets.values():
            guessing = 1 / len(y.unique())
            way[key].append((linear_probe(h, y, val_h, val_y) - guessing) / (1 - guessing))
    plot.show(
        plot.heat_map(
            torch.tensor(list(way.values())),
            rows=["random encoder", "autoencoder"],
            columns=[f"{key}\nof {len(y.unique())}" for key, (y, _) in targets.items()],
            label="from guessing (0) to certain (1)",
            title=f"What a linear probe finds in the code, latent size {sizes[1]}, one seed",
        ),
        alt="How far probes get from guessing to certainty for each factor, random encoder and autoencoder.",
    )

# %% [markdown]
# #### Question 3
#
# (a) Which factors does the code know, and which hardly? Explain the two groups by what a wrong answer costs in squared
# error. May you order the factors *within* the first group by this figure? (b) Design a training task, without labels, on
# which a network that knows only the background would fail. (One answer is next week's exercise.)

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Background, place and colour are read a good part of the way to certainty; the class, the size and the texture are
# hardly read at all. A wrong background is wrong in most pixels, a wrong place or colour of the object in all pixels of
# the object. Size, texture and class are about outlines and fine detail: getting them wrong changes few pixels, so the
# bottleneck leaves them out. The objective pays by the pixel, and the class is cheap in pixels. The random encoder,
# which nobody paid, shows the same two groups, only fainter: what fills many pixels is easy to read from any function
# of them. What was learnt is the difference between the two rows, and most of it lies in the first group. Within the
# first group the figure is one seed and one size of code, and a *linear* probe may read only a part of what is there:
# an order needs several seeds, at least.
#
# (b) Anything whose answer needs the object: is the image upright or rotated (week 2; though the horizon alone gives
# that away in the scenes, a shortcut to watch for), fill in the covered object, find the other view of the same scene
# after the colours were changed and the image cropped (week 4).
# ### END SOLUTION

# %% [markdown]
# ## Optional: a denoising autoencoder
#
# Another way to forbid the identity: corrupt the input and ask for the clean image (Vincent et al. 2010). The code must
# then hold what *predicts* the image, rather than the values of its pixels. Thanks to `train_epoch`'s target being the
# clean batch, adding noise inside the model, in train mode only, is all that it takes. Try it: this model goes into the
# same `pretrain`. The recorded sweep shows the probe on validation images against the amount of noise; add your own
# points in `rerun`. Differences up to a noise of 0.2 are themselves noise: they lie within the spread of the seeds. What
# the figure does show is that much noise costs, and that nothing is gained for the class.


# %%
def denoiser(noise: float):
    """A ConvAutoencoder that sees its input through Gaussian noise of this standard deviation while it is trained."""

    class Denoiser(ConvAutoencoder):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                x = (x + noise * torch.randn_like(x)).clamp(0, 1)
            return super().forward(x)

    return Denoiser


def probe_after(noise: float, seed: int) -> float:
    """Validation accuracy of the probe after training with noise."""
    encoder = pretrain(sizes[-1], seed, denoiser(noise))[0].encode
    h, val_h = (extract_features(encoder, x).cpu() for x in (train_x, val_x))
    return linear_probe(h, train_set.labels, val_h, val_set.labels)


noises = check.sweep(
    scale,
    "noise",
    probe_after,
    points=[0.0, 0.1, 0.2, 0.4, 0.8],
    own={0.0: val_probes[sizes[-1]]["AE"]},
    rerun=[],  # for example [0.2]
)
plot.show(
    plot.sweep(
        noises,
        xlabel="standard deviation of the noise",
        ylabel="validation accuracy of the probe",
        levels={"chance": 1 / classes},
        title="Denoising autoencoder",
    ),
    alt="Probe accuracy against the amount of noise, with error bars over seeds; the own run without noise as a star.",
)

# %% [markdown]
# ## On the board
#
# Beside the objectives of later weeks: `sslcourse board` trains the methods of the course on the same images with the
# same encoder, for as many epochs, each at the rate of one small grid that is best on validation images;
# `docs/board.md` has its terms and other worlds. At so small a budget it ranks nothing for good: a method that needs
# long trainings looks worse there than in its paper. PCA has as many components there as the encoder has features.

# %%
board.show("autoencoder", "PCA", "pixels")

# %% [markdown]
# ## The results, beside the recorded ones

# %%
far = scale.pick(tiny=0.2, small=0.04, full=0.04)  # real data are few for a network with labels, too
check.report(
    scale,
    claims={
        "squared error at the smallest over that at the largest latent size": (
            errors[sizes[0]] / errors[sizes[-1]],
            1.3,
        ),
        "PCA's squared error over the autoencoder's, on discs at size 2": (flat_error / curved_error, 1.5),
        "supervised accuracy over the autoencoder's probe": (named["supervised"] - named["autoencoder"], far),
    }
    | {
        "PCA's squared error over that of the autoencoder trained for longer": (pca_errors[sizes[-1]] / value, 1.1)
        for value in longer_errors.values()
    },
    chance={key: 1 / classes for key in ("probe", "pca_probe", "random_probe", "pixel_probe", "supervised")},
    tested={key: len(test_set) for key in ("probe", "pca_probe", "random_probe", "pixel_probe", "supervised")},
    baseline={"error_at_largest_size": mean_error, "probe": named["random encoder"]},
    error_at_largest_size=errors[sizes[-1]],
    pca_error_at_largest_size=pca_errors[sizes[-1]],
    disc_error=curved_error,
    pca_disc_error=flat_error,
    probe=named["autoencoder"],
    pca_probe=named[f"PCA of size {chosen}"],
    random_probe=named["random encoder"],
    pixel_probe=named["raw pixels"],
    supervised=named["supervised"],
)

# %% [markdown]
# ## What to take with you
#
# - A representation is judged by what can be read from it easily, under rules that keep the judge honest.
# - A linear autoencoder is PCA. Beating it takes a non-linear decoder, data that lie on a curved surface, and time.
# - Copying pays by the pixel. What an image is about may be cheap in pixels, so features learnt by copying need not
#   know it, even where the copy is good. Next week a network is asked a question that pixels alone do not answer.
#
# ## Further reading
#
# - Alain & Bengio 2017, *Understanding intermediate layers using linear classifier probes*, ICLR workshop
# - Baldi & Hornik 1989, *Neural networks and principal component analysis: learning from examples without local
#   minima*, Neural Networks 2
# - Balestriero & LeCun 2024, *How learning by reconstruction produces uninformative features for perception*, ICML,
#   [arXiv:2402.11337](https://arxiv.org/abs/2402.11337)
# - Bourlard & Kamp 1988, *Auto-association by multilayer perceptrons and singular value decomposition*, Biological
#   Cybernetics 59
# - Coates, Ng & Lee 2011, *An analysis of single-layer networks in unsupervised feature learning*, AISTATS (STL-10, and
#   a simple method that was hard to beat)
# - Eckart & Young 1936, *The approximation of one matrix by another of lower rank*, Psychometrika 1
# - Hinton & Salakhutdinov 2006, *Reducing the dimensionality of data with neural networks*, Science 313
# - Kingma & Welling 2014, *Auto-encoding variational Bayes*, ICLR (random codes, and a prior on them)
# - Vincent et al. 2010, *Stacked denoising autoencoders*, JMLR 11
# - Wilson 1927, *Probable inference, the law of succession, and statistical inference*, JASA 22
# - Cunningham, Ewart, Riggs, Huben & Sharkey 2024, *Sparse autoencoders find highly interpretable features in language
#   models*, ICLR, [arXiv:2309.08600](https://arxiv.org/abs/2309.08600) (a code larger than its input, and sparse)
# - Gao et al. 2024, *Scaling and evaluating sparse autoencoders*, [arXiv:2406.04093](https://arxiv.org/abs/2406.04093)
# - Xiang, Yang, Huang & Wang 2023, *Denoising diffusion autoencoders are unified self-supervised learners*, ICCV,
#   [arXiv:2303.09769](https://arxiv.org/abs/2303.09769)
# - Chen, Liu, Xie & He 2025, *Deconstructing denoising diffusion models for self-supervised learning*, ICLR,
#   [arXiv:2401.14404](https://arxiv.org/abs/2401.14404) (step by step from diffusion back to a denoising autoencoder)

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
# # Bonus · Explaining representations with RELAX
#
# A classifier can be asked: which pixels made you say *cat*? A self-supervised encoder says nothing that could be asked
# about: it returns a vector. **RELAX** asks instead: which pixels must stay, so that the vector stays what it is? It
# needs no label, no gradient and no look inside the network, and it says how sure it is of every pixel. The second half
# of this notebook is about doubt: which pictures of explanations prove something, and which look just as good for a
# network that has learnt nothing.
#
# **You will be able to**
#
# 1. write RELAX: random masks, importance and uncertainty of every pixel for a representation;
# 2. say how many masks are enough, from the stability of the map and not from a habit;
# 3. judge explanations by tests that can fail: known answers, known objects, insertion and deletion, random weights;
# 4. tell what a map of importance depends on besides the network: the fill of removed pixels, the grid, the cosine.
#
# **You need** encoders and features (weeks 1 and 4), cosine similarity, mean and variance. Notation: $x$ is an image,
# $f$ the encoder, $h = f(x)$ its representation, $M_n$ a mask with values in $[0, 1]$, $s$ a similarity.
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
from sslcourse.check import bonus as check
from sslcourse.plot.schematics.masks_to_importance import masks_to_importance

# %%
scale = sslcourse.begin(week="bonus")

# %% [markdown] tags=["before"]
# ## Theory
#
# ### Importance: what must stay
#
# Cover parts of an image at random, many times, and compare each time what the encoder makes of it with what it makes
# of the whole image:
#
# $$s_n = \cos\big(f(x \odot M_n),\, f(x)\big), \qquad n = 1, \dots, N.$$
#
# A mask that leaves visible what the representation is made of has a high $s_n$; one that hides it has a low one. The
# **importance** of pixel $(i, j)$ is the mean similarity over the masks *that show it*: each mask counts as much as it
# lets through of this pixel,
#
# $$R_{ij} = \frac{\sum_n s_n\, M_{n,ij}}{\sum_n M_{n,ij}}.$$
#
# Nothing in it knows classes, and nothing is differentiated: $f$ is a black box that returns vectors.
#
# ### Uncertainty: how much the answer varies
#
# The same weights give a variance. The **uncertainty** of a pixel says how differently the masks judged it:
#
# $$U_{ij} = \frac{\sum_n (s_n - R_{ij})^2\, M_{n,ij}}{\sum_n M_{n,ij}}.$$
#
# Mind what it is. It is the spread of the *single* similarities, a property of encoder, image and masks: it does not
# shrink when you take more masks. What shrinks is the error of $R_{ij}$, which is a mean: like $1 / \sqrt{N}$, roughly
# $\sqrt{U_{ij} / N_\text{eff}}$ with $N_\text{eff} = (\sum_n M_{n,ij})^2 / \sum_n M_{n,ij}^2$ effective masks.
#
# ### Whose formula is it?
#
# Wickstrøm et al. (2023) introduced RELAX. Details differ between texts and codes, and you will meet them:
#
# - **importance**: here divided by $\sum_n M_{n,ij}$ at each pixel, as by the running mean in the authors' published
#   code. RISE (Petsiuk et al. 2018), on which RELAX builds, divides $\sum_n s_n M_{n,ij}$ by $N\, E[M]$, one number
#   for all pixels;
# - **uncertainty**: here divided by the same sum. The published code adds up $(s_n - R)^2 M_n$ and never divides, so
#   that its values grow with $N$;
# - **hidden pixels**: the published code multiplies the *normalised* image, so that a hidden pixel has the mean colour;
#   multiplying pixel values, as `image * mask` does here, hides it behind black.
#
# For $N \to \infty$ and masks that treat all pixels alike the first difference is none. The second is not small: a
# number that grows with $N$ cannot be compared between runs. What the third changes, this notebook will show.

# %%
plot.show(
    masks_to_importance(),
    alt="An image and its masked copies go through one encoder; the similarities of the copies to the whole are averaged "
    "over the masks that show a pixel, which is its importance, and their variance is its uncertainty.",
)

# %% [markdown] tags=["before"]
# ### Masks
#
# Hiding single pixels hides nothing, since neighbours give them away. So RISE draws a coarse grid of cells, keeps each
# with probability $p$, enlarges the grid to the size of the image by linear interpolation (smooth, so that the mask
# brings no edges of its own), and shifts it by a random part of a cell. The shift matters: a pixel at the centre of a
# cell is fully shown or fully hidden, with variance $p(1 - p)$, one at a corner is a mean of four cells, with a
# quarter of that. Without shifts, or with small ones, the map has the grid in it. (The published code shifts by up to
# 6 *pixels* at 224 pixels, where a cell of its 7 x 7 grid has 32.)
#
# ### Can an explanation be wrong?
#
# There is no true map to compare with. What there is are tests that an explanation can fail:
#
# - **known answers**: an encoder that is constant, or reads one quarter of the image only;
# - **known objects**: does the most important pixel lie on the object (*pointing game*), and how much of the
#   importance (*relevance mass*)? This asks whether network and map *together* do what we hope, and a map may pass it
#   for a network that looks at nothing in particular;
# - **insertion and deletion** (Petsiuk et al. 2018): take the most important pixels out, one share after the other. If
#   the map is right, the representation falls apart early: a small area under the curve. Or put them in first: a large
#   area;
# - **random weights** (Adebayo et al. 2018): if the map stays the same when the weights are replaced by random ones, it
#   explains the image, not the network.

# %% [markdown]
# ## Data and networks
#
# At scale `tiny` the scenes tell which pixels belong to the object. CIFAR-10 and STL-10 do not, so at larger scales
# what needs objects is left out.

# %%
# NBVAL_CHECK_OUTPUT
name = scale.pick(tiny="scenes", small="cifar10", full="stl10")
train_set = data.load_images(name, "train", n=scale.pick(dry=200, tiny=6000, small=10000, full=None), seed=scale.seed)
test_set = data.load_images(name, "test", n=scale.pick(dry=200, tiny=2000, small=2000, full=2000), seed=scale.seed)
explained = test_set[: scale.pick(dry=4, tiny=40, small=40, full=24)]
classes = len(train_set.class_names)
size = scale.pick(tiny=32, small=32, full=224)
print(f"{len(train_set)} training and {len(test_set)} test images of {classes} classes; {len(explained)} are explained")


# %%
def pictures(part) -> torch.Tensor:
    """Float images (N, C, size, size) in [0, 1]; those of STL-10 enlarged to what the published networks saw."""
    images = data.as_float(part.images)
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", antialias=True).clamp(0, 1)


images = pictures(explained)                                        # (N, C, H, W)
objects = None if explained.masks is None else explained.masks[:, 0]    # bool (N, H, W)
if objects is not None:
    share = objects.float().mean().item()
    print(f"the object covers {share:.0%} of an image on average")

# %% [markdown]
# Several kinds of encoder on the same images:
#
# - **supervised**: at `tiny` and `small` the small network of the other weeks, trained right here with labels; at
#   `full` a ResNet-50 with ImageNet labels;
# - **contrastive**: at `tiny` MoCo as in week 5, a checkpoint that ships with the course; at `small` SimCLR, trained
#   here for a few epochs with week 4's loss; at `full` MoCo v2's ResNet-50;
# - **DINO**: a vision transformer (week 7), at `full` a published one; at `tiny` the one that ships with the course. It
#   was trained on tissue, so it is explained there, in a section of its own;
# - **random**: the same architecture with random weights;
# - two encoders **whose answer is known**, further down.

# %%
epochs = scale.pick(dry=1, tiny=5, small=8, full=0)
simclr_epochs = scale.pick(dry=1, tiny=0, small=8, full=0)
views = augment.simclr(32, crop=(0.6, 1.0), jitter=0.4, grey=0.8) if name == "scenes" else augment.simclr(32)


def untrained(seed: int) -> nn.Module:
    """The architecture with random weights, the same ones for the same seed."""
    torch.manual_seed(seed)
    if scale.name == "full":
        return models.backbone("resnet50", image_size=size)
    return models.backbone("conv4_gn")


def supervised(seed: int) -> nn.Module:
    """Trained with labels; the backbone without its head."""
    if scale.name == "full":
        return published("resnet50.tv_in1k")
    backbone = untrained(seed)
    train.fit_classifier(
        nn.Sequential(backbone, nn.Linear(backbone.num_features, classes)),
        train_set.images,
        train_set.labels,
        epochs=epochs,
        augment=views,
        batch_size=128,
        lr=2e-3,
        weight_decay=1e-3,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=scale.max_steps,
        label="supervised",
    )
    return backbone


def published(timm_name: str) -> nn.Module:
    """A network of timm with its weights behind the normalisation that these were trained with."""
    import timm

    backbone = models.backbone(timm_name, image_size=size)
    net = timm.create_model(timm_name, pretrained=True, num_classes=0)
    backbone.net.load_state_dict(net.state_dict())
    backbone.normalise = models.Normalise(net.pretrained_cfg["mean"], net.pretrained_cfg["std"])
    return backbone


def contrastive(seed: int) -> nn.Module:
    """MoCo with weights that others (tiny: we) trained for longer; at small SimCLR, trained here."""
    if scale.name == "full":
        return models.load_pretrained("moco_v2_resnet50")
    if name == "scenes":
        return models.load_pretrained("moco_scenes_conv4")
    nt_xent = sslcourse.solution("week04", "nt_xent")
    backbone = untrained(seed)
    encoder = nn.Sequential(backbone, models.projection_head(backbone.num_features, 256, 128)).to(scale.device)

    def loss(batch):
        view0, view1 = augment.two_views(data.as_float(batch), views)
        return nt_xent(encoder(view0), encoder(view1), 0.2)

    train.fit(
        loss,
        encoder,
        train_set.images,
        epochs=simclr_epochs,
        batch_size=256,
        lr=2e-3,
        weight_decay=1e-4,
        generator=torch.Generator().manual_seed(seed),
        device=scale.device,
        max_steps=scale.max_steps,
        label="SimCLR",
    )
    return backbone


contrastive_name = scale.pick(tiny="MoCo", small="SimCLR", full="MoCo v2")
encoders = {
    "supervised": supervised(scale.seed),
    contrastive_name: contrastive(scale.seed),
    **({"DINO": published("vit_small_patch16_224.dino")} if scale.name == "full" else {}),
    "random": untrained(scale.seed + 10_000),
}
encoders = {label: encoder.to(scale.device).eval() for label, encoder in encoders.items()}

# %% [markdown]
# How good are they? Nearest neighbours vote on test images, so that the networks are compared before their maps are.

# %%
bank = train_set.subset(scale.pick(dry=100, tiny=2000, small=5000, full=4000), seed=scale.seed)


def knn(encoder: nn.Module) -> float:
    """Accuracy of nearest neighbours on the test images."""
    bank_h, test_h = (
        torch.cat([evaluate.extract_features(encoder, pictures(part[i : i + 500])) for i in range(0, len(part), 500)])
        for part in (bank, test_set)
    )
    return evaluate.knn_accuracy(bank_h, bank.labels, test_h, test_set.labels)


quality = {label: knn(encoder) for label, encoder in encoders.items()}
plot.show(
    plot.bars(
        quality,
        intervals={label: evaluate.wilson_interval(value, len(test_set)) for label, value in quality.items()},
        levels={"chance": 1 / classes},
        ylabel="accuracy of nearest neighbours",
        title="The networks to be explained",
    ),
    alt="Accuracy of nearest neighbours for the supervised, the contrastive and the random network, with chance.",
)

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### 1.1 Masks  ·  difficulty 2 of 3  ·  about 20 minutes
#
# Draw `n` masks as described above: a grid of cells, each kept with probability `keep`, enlarged linearly, cut out with
# a shift of its own for each mask, by up to a whole cell along both axes. So that a shifted image is still covered,
# the grid needs one more cell along each side than the image is wide.
#
# <details><summary>Hint 1</summary>A cell has <code>math.ceil(image_size / grid)</code> pixels. Draw <code>(n, 1, grid + 1, grid + 1)</code> cells.</details>
# <details><summary>Hint 2</summary><code>F.interpolate(cells, size=..., mode="bilinear")</code> enlarges all masks at once.</details>
# <details><summary>Hint 3</summary><code>torch.randint(cell, (n, 2), generator=generator)</code>: where each cut-out of image_size pixels begins.</details>


# %% tags=["exercise", "points:2"]
def sample_masks(
    n: int, grid: int, image_size: int, keep: float = 0.5, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Smooth random masks (n, 1, H, W) in [0, 1] for square images (Petsiuk et al. 2018, section 3.2).

    A grid of grid x grid cells lies over the image; each cell is kept (1) with probability keep, else dropped (0).
    Every mask is shifted by up to a whole cell along both axes. Random numbers come from the generator.
    """
    ### BEGIN SOLUTION
    if not 0 < keep < 1 or not 1 <= grid <= image_size:
        raise ValueError(f"keep is {keep} and grid {grid}; keep lies in (0, 1), grid from 1 to {image_size}.")
    cell = math.ceil(image_size / grid)
    cells = (torch.rand(n, 1, grid + 1, grid + 1, generator=generator) < keep).float()
    large = F.interpolate(cells, size=(grid + 1) * cell, mode="bilinear", align_corners=False)
    shifts = torch.randint(cell, (n, 2), generator=generator).tolist()
    cut = [mask[:, y : y + image_size, x : x + image_size] for mask, (y, x) in zip(large, shifts)]
    return torch.stack(cut)                                                 # (n, 1, H, W)
    ### END SOLUTION


# %% tags=["check"]
sample_masks = check.sample_masks(sample_masks)

# %% [markdown]
# ### 1.2 Importance and uncertainty  ·  difficulty 2 of 3  ·  about 25 minutes
#
# The two formulas of the theory. The encoder gets batches: at 224 pixels three thousand masked copies of an image do
# not fit into memory at once. It is asked in eval mode and without gradients, and its mode is restored afterwards;
# `evaluate.extract_features` does all of this, also for an encoder that is a plain function.
#
# <details><summary>Hint 1</summary><code>image * masks</code> is (n, C, H, W) by itself: a mask has one channel.</details>
# <details><summary>Hint 2</summary><code>F.cosine_similarity(masked, whole)</code> with masked (n, D) and whole (1, D) gives (n,).</details>
# <details><summary>Hint 3</summary><code>s[:, None, None] * masks[:, 0]</code> is (n, H, W): sum over n, then divide by the sum of the masks. The uncertainty is the same mean of <code>(s[:, None, None] - importance) ** 2</code>.</details>


# %% tags=["exercise", "points:3"]
def relax(encoder, image: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Importance and uncertainty of every pixel for the representation of an image (Wickstrom et al. 2023).

    encoder: a module or plain function from images (n, C, H, W) to (n, D); image: (C, H, W); masks: (n, 1, H, W).
    Returns importance (H, W), the mean of the cosines s_n weighted by the masks at each pixel, and uncertainty (H, W),
    their variance around it with the same weights.
    """
    ### BEGIN SOLUTION
    if not len(masks) or masks.shape[1:] != (1, *image.shape[1:]):
        raise ValueError(f"The masks are {tuple(masks.shape)}; they should be (n, 1, H, W) for {tuple(image.shape)}.")
    whole = evaluate.extract_features(encoder, image[None])                 # (1, D)
    masked = [evaluate.extract_features(encoder, image * some) for some in masks.split(500)]
    s = F.cosine_similarity(torch.cat(masked), whole)[:, None, None].to(masks.device)    # (n, 1, 1)
    weight = masks[:, 0]                                                    # (n, H, W)
    importance = (s * weight).sum(dim=0) / weight.sum(dim=0)
    uncertainty = ((s - importance) ** 2 * weight).sum(dim=0) / weight.sum(dim=0)
    return importance, uncertainty
    ### END SOLUTION


# %% tags=["check"]
relax = check.relax(relax)

# %% [markdown]
# ### 1.3 Insertion and deletion  ·  optional  ·  difficulty 2 of 3  ·  about 20 minutes
#
# Order the pixels by importance, most important first. After step $k$ of `steps`, $k / \text{steps}$ of them have been
# put into a black image (insertion), or taken out of the whole one (deletion). Each point of a curve is the cosine
# with the representation of the whole image, so there are `steps + 1` points. The areas lie under the curves over the
# *share* of pixels, from 0 to 1.
#
# <details><summary>Hint 1</summary>The rank of each pixel: <code>importance.flatten().argsort(descending=True).argsort()</code>.</details>
# <details><summary>Hint 2</summary>After step k, <code>rank < k * pixels / steps</code> has moved: one mask for each step.</details>
# <details><summary>Hint 3</summary><code>torch.trapezoid(curve, dx=1 / steps)</code>.</details>


# %% tags=["exercise", "points:0"]
def insertion_deletion(
    encoder, image: torch.Tensor, importance: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor, float, float]:
    """Insertion and deletion curves (steps + 1,) and the areas under them (Petsiuk et al. 2018, section 4.1).

    encoder: images (n, C, H, W) to (n, D); image: (C, H, W); importance: (H, W).
    Returns (insertion, deletion, insertion_area, deletion_area), the areas as floats.
    """
    ### BEGIN SOLUTION
    rank = importance.flatten().argsort(descending=True).argsort().view(importance.shape).to(image.device)
    counts = torch.linspace(0, rank.numel(), steps + 1, device=image.device).round()
    moved = (rank < counts[:, None, None])[:, None]                         # (steps + 1, 1, H, W)
    whole = evaluate.extract_features(encoder, image[None])
    insertion = F.cosine_similarity(evaluate.extract_features(encoder, image * moved), whole)
    deletion = F.cosine_similarity(evaluate.extract_features(encoder, image * ~moved), whole)
    areas = [torch.trapezoid(curve, dx=1 / steps).item() for curve in (insertion, deletion)]
    return insertion, deletion, areas[0], areas[1]
    ### END SOLUTION


# %% tags=["check"]
insertion_deletion = check.insertion_deletion(insertion_deletion)

# %% [markdown]
# ## What takes the place of a hidden pixel?
#
# `image * mask` paints hidden pixels black, and black is a colour: it may look more like an object than what it hides.
# Hidden pixels can take any colour without a change in `relax`. Give the image one more channel of ones; after masking,
# it says how much of each pixel is shown, and an encoder that gets it can put a colour in the place of the rest. Below,
# the **mean colour** of the training images is used unless said otherwise.

# %%
mean_colour = train_set.images[:2000].float().mean(dim=(0, 2, 3)) / 255                      # (C,)


def visible(image: torch.Tensor) -> torch.Tensor:
    """The image with a channel of ones, (C + 1, H, W)."""
    return torch.cat([image, torch.ones_like(image[:1])])


class Filled(nn.Module):
    """An encoder of images with a channel that tells what is shown; the rest is filled with a colour (C,)."""

    def __init__(self, encoder, colour: torch.Tensor):
        super().__init__()
        self.encoder, self.colour = encoder, colour.view(-1, 1, 1).to(scale.device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder((x[:, :-1] + self.colour * (1 - x[:, -1:])).clamp(0, 1))


grid = 7
count = scale.pick(dry=20, tiny=800, small=800, full=3000)


def draw(n: int = count, offset: int = 0, grid: int = grid) -> torch.Tensor:
    """n masks on this run's device; another offset draws other masks."""
    return sample_masks(n, grid, size, 0.5, scale.generator(offset)).to(scale.device)


def explain(encoder, image: torch.Tensor, masks: torch.Tensor, colour: torch.Tensor = mean_colour):
    """relax with hidden pixels of one colour; maps on the CPU."""
    maps = relax(Filled(encoder, colour), visible(image).to(scale.device), masks)
    return tuple(one.cpu() for one in maps)


# %%
few = draw(8)
some = torch.cat([images[:1] * few.cpu(), images[:1] * few.cpu() + mean_colour.view(1, -1, 1, 1) * (1 - few.cpu())])
plot.show(
    plot.panels(
        {"mask": few.cpu(), "hidden: black": some[:8], "hidden: mean colour": some[8:]},
        title="Eight masks, and what the encoder sees of one image",
    ),
    alt="Eight smooth random masks; below, one image with hidden parts in black and in the mean colour.",
)

# %% [markdown]
# ## Known answers
#
# Two encoders for which the truth is known. The first returns the same vector for every image: no pixel matters, all
# similarities are 1, and the uncertainty is 0. The second hands on the pixels of the upper left quarter and nothing
# else. Hidden pixels are black for it, so that each pixel that is shown counts as much as it is bright.

# %%
half = size // 2


def constant(x: torch.Tensor) -> torch.Tensor:
    return torch.ones(len(x), 8, device=x.device)


def quarter(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x[:, :, :half, :half], 2).flatten(1)


def order(importance: torch.Tensor, inside: torch.Tensor) -> float:
    """Chance that a random pixel inside is more important than a random one outside; 0.5 means no difference."""
    return (importance[inside][:, None] > importance[~inside]).float().mean().item()


masks = draw()
black = torch.zeros_like(mean_colour)
nothing = explain(constant, images[0], masks)
read = torch.zeros(size, size, dtype=torch.bool)
read[:half, :half] = True
# At 224 pixels all pairs of pixels are too many; every eighth pixel will do.
step = max(1, size // 32)
found = [explain(quarter, image, masks, black) for image in images[:4]]
quadrant_order = sum(order(r[::step, ::step], read[::step, ::step]) for r, _ in found) / len(found)
print(f"constant encoder: uncertainty at most {nothing[1].max():.2f}")
print(f"reads one quarter: a pixel inside is more important than one outside in {quadrant_order:.0%} of pairs")
plot.show(
    plot.overlays(
        images[:4],
        {"importance": torch.stack([r for r, _ in found]), "uncertainty": torch.stack([u for _, u in found])},
        title="An encoder that reads the upper left quarter",
    ),
    alt="Four images with the importance and uncertainty for an encoder that reads one quarter: the quarter is bright.",
)

# %% [markdown]
# ## How many masks?
#
# Importance is a mean over random masks, so another draw gives another map. Two measures of that, for several numbers
# of masks: the **error**, the root mean square difference from a map of many masks, and the **stability**, the
# correlation between two maps from different masks, which needs no truth and can be had for any encoder and image.

# %%
numbers = scale.pick(dry=[5, 10], tiny=[50, 100, 200, 400, 800, 1600], small=[50, 200, 800], full=[50, 200, 1000, 3000])
most = scale.pick(dry=20, tiny=6000, small=4000, full=6000)
watched = images[: scale.pick(dry=1, tiny=4, small=3, full=2)]


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


many, first, second = draw(most, 1), draw(max(numbers), 2), draw(max(numbers), 3)
error, stability, spread = (torch.zeros(len(watched), len(numbers)) for _ in range(3))
for i, image in enumerate(watched):
    best, _ = explain(encoders["supervised"], image, many)
    for j, n in enumerate(numbers):
        one, uncertainty = explain(encoders["supervised"], image, first[:n])
        other, _ = explain(encoders["supervised"], image, second[:n])
        error[i, j] = (one - best).square().mean().sqrt()
        stability[i, j] = correlation(one, other)
        spread[i, j] = uncertainty.mean()
del many, first, second

# %%
error_mean = error.mean(dim=0)
law = [error_mean[0].item() * math.sqrt(numbers[0] / n) for n in numbers]
plot.show(
    plot.curves(
        {"measured": error_mean.tolist(), "1 / sqrt(n), through the first point": law},
        x=numbers,
        log_x=True,
        xlabel="masks",
        ylabel="root mean square error",
        title=f"Error of the importance against a map of {most} masks, one draw",
        known=["1 / sqrt(n), through the first point"],
    ),
    alt="The error of the importance falls with the number of masks as one over its square root.",
)
plot.show(
    plot.curves(
        {"correlation of two maps": stability.mean(dim=0).tolist()},
        x=numbers,
        log_x=True,
        levels={"identical": 1.0},
        xlabel="masks",
        ylabel="correlation",
        title="Stability: two draws of masks, the same image and encoder",
    ),
    alt="The correlation between maps of two draws rises with the number of masks towards one.",
)
plot.show(
    plot.curves(
        {
            "as here": (spread.mean(dim=0) / spread.mean(dim=0)[-1]).tolist(),
            "never divided": [n / numbers[-1] for n in numbers],
        },
        x=numbers,
        log_x=True,
        xlabel="masks",
        ylabel="mean uncertainty, relative",
        title="The uncertainty does not grow with the number of masks, one draw",
    ),
    alt="The mean uncertainty relative to that at most masks is nearly flat; a sum that is never divided grows with "
    "their number.",
)
ratio = (spread.mean(dim=0)[-1] / spread.mean(dim=0)[0]).item()

# %% [markdown]
# #### Question 1
#
# (a) A map's stability is 0.6 with your number of masks. About what would it be with four times as many? Take the map
# of one draw as truth plus independent noise. (b) Importance has a small error where the uncertainty is large, if the
# masks are many. So what does a pixel with high uncertainty tell, and would you colour it grey in a figure? (c) Why
# can the error in the first figure not be measured against the exact map, and what does that do to its last points?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) With signal variance $V$ and noise variance $v$, the correlation of two draws is $V / (V + v)$. At 0.6, $v / V =
# 2/3$; four times as many masks divide $v$ by four, so $1 / (1 + 1/6) = 0.86$.
#
# (b) That masks which show the pixel lead to very different similarities: whether it helps depends on what else is
# shown, as for a part of an object that says something only together with others, or for a pixel that does not matter
# at all while others do. It is not an error bar of the map. Leaving out uncertain pixels (`U-RELAX` below) therefore
# removes parts of the picture whose value is not their own, which may be what one wants, and never makes the rest more
# exact.
#
# (c) The exact map would be an average over all possible masks. The map of many masks has an error of its own, of about
# $1 / \sqrt{n_\text{many}}$ on the same scale; where n comes near that number, the two errors add up (their squares do)
# and the measured curve lies above the law: by $\sqrt{1 + 1600 / 6000}$, an eighth, at the last point of scale `tiny`,
# which is no more than the luck of the first.
# ### END SOLUTION

# %% [markdown]
# ## The maps
#
# Every map has its own colours, and its range is written below it, as centre and half-width: 0.9983 ± 0.0006 would run
# from 0.9977 to 0.9989. Look at the half-widths first: how much does the similarity of each network vary at all?

# %%
labels = list(encoders)
maps = {label: [explain(encoder, image, masks) for image in images] for label, encoder in encoders.items()}
importance = {label: torch.stack([r for r, _ in pairs]) for label, pairs in maps.items()}       # (N, H, W)
uncertainty = {label: torch.stack([u for _, u in pairs]) for label, pairs in maps.items()}
shown = slice(0, 6)
plot.show(
    plot.overlays(images[shown], {label: r[shown] for label, r in importance.items()}, title="Importance"),
    alt="Six images and, below, the importance of their pixels for each of the networks.",
)
plot.show(
    plot.overlays(images[shown], {label: u[shown] for label, u in uncertainty.items()}, title="Uncertainty"),
    alt="The same images with the uncertainty of their pixels for each of the networks.",
)

# %% [markdown]
# **U-RELAX** keeps the importance where the uncertainty is below its median over the image, and leaves the other half
# open.


# %%
def u_relax(importance: torch.Tensor, uncertainty: torch.Tensor) -> torch.Tensor:
    """Importance (N, H, W) where the uncertainty is at most its median over the image, NaN elsewhere."""
    median = uncertainty.flatten(1).median(dim=1).values[:, None, None]
    return torch.where(uncertainty <= median, importance, torch.nan)


plot.show(
    plot.overlays(
        images[shown],
        {label: u_relax(importance[label], uncertainty[label])[shown] for label in labels},
        title="U-RELAX: importance where it is least uncertain",
    ),
    alt="The same images with importance drawn only where the uncertainty lies below its median.",
)

# %% [markdown]
# ## Known objects
#
# **Pointing game** (Zhang et al. 2018): in how many images does the most important pixel lie on the object? **Relevance
# mass** (Arras et al. 2022): what share of the importance, counted from its minimum, lies on the object? Both have a
# level of guessing, the share of the object in the image. And since objects do not lie in corners, one more baseline: a
# map that looks at no image at all and always shows the same blob in the middle.

# %%
middle = torch.linspace(-1, 1, size)
blob = torch.exp(-2 * (middle[:, None] ** 2 + middle**2)).expand(len(images), -1, -1)


def pointing(maps: torch.Tensor, objects: torch.Tensor | None = objects) -> float:
    """Share of images whose most important pixel lies on the object."""
    best = maps.flatten(1).argmax(dim=1, keepdim=True)
    return objects.flatten(1).gather(1, best).float().mean().item()


def mass(maps: torch.Tensor) -> float:
    """Mean share of the importance, from its minimum, that lies on the object."""
    positive = maps - maps.flatten(1).min(dim=1).values[:, None, None]
    return ((positive * objects).sum(dim=(1, 2)) / positive.sum(dim=(1, 2))).mean().item()


localisation = {}
if objects is None:
    print(f"{name} does not tell which pixels belong to the object: this part needs scale tiny.")
else:
    candidates = importance | {"blob in the middle": blob}
    localisation = {label: (pointing(one), mass(one)) for label, one in candidates.items()}
    plot.show(
        plot.bars(
            {label: hit for label, (hit, _) in localisation.items()},
            intervals={k: evaluate.wilson_interval(v, len(images)) for k, (v, _) in localisation.items()},
            levels={"share of the object": share},
            ylabel="most important pixel on the object",
            title=f"Pointing game on {len(images)} images, 95 % intervals, one seed",
        ),
        alt="Share of images whose most important pixel is on the object, for three networks and a blob in the middle.",
    )
    plot.show(
        plot.bars(
            {label: part for label, (_, part) in localisation.items()},
            levels={"share of the object": share},
            ylabel="share of the importance",
            title="Relevance mass on the object, one seed",
        ),
        alt="Share of the importance that lies on the object, for three networks and a blob in the middle.",
    )

# %% [markdown]
# Before you read on: how well does the *random* network find the object, and what does that say about a paper that
# shows six beautiful maps?
#
# ## Insertion and deletion
#
# The same networks, the same maps. Pixels are taken out in the order of their importance, and as a control in a
# **random order**, which no map had a say in.

# %%
steps = scale.pick(dry=4, tiny=32, small=32, full=28)
control = [torch.rand(size, size, generator=scale.generator(7 + i)) for i in range(len(images))]


def curves_of(encoder, orders, colour: torch.Tensor = mean_colour) -> dict[str, torch.Tensor]:
    """Mean curves over the images (steps + 1,) and mean areas, {"insertion", "deletion", "areas" (2,)}."""
    filled = Filled(encoder, colour)
    results = [
        insertion_deletion(filled, visible(image).to(scale.device), by, steps) for image, by in zip(images, orders)
    ]
    return {
        "insertion": torch.stack([r[0] for r in results]).mean(dim=0),
        "deletion": torch.stack([r[1] for r in results]).mean(dim=0),
        "areas": torch.tensor([r[2:] for r in results]).mean(dim=0),
    }


curves = {label: curves_of(encoder, importance[label]) for label, encoder in encoders.items()}
at_random = {label: curves_of(encoder, control) for label, encoder in encoders.items()}
shares = [k / steps for k in range(steps + 1)]
for kind, by, several in (
    ("deletion", "by importance", curves),
    ("deletion", "in random order", at_random),
    ("insertion", "by importance", curves),
):
    plot.show(
        plot.curves(
            {label: values[kind].tolist() for label, values in several.items()},
            x=shares,
            xlabel=f"share of pixels {'taken out' if kind == 'deletion' else 'put in'}",
            ylabel="cosine with the whole image",
            title=f"{kind.capitalize()} {by}: mean over {len(images)} images, one seed",
        ),
        alt=f"{kind.capitalize()} curves of the networks, pixels moved {by}.",
    )

# %% [markdown]
# At `tiny` the deletion areas of trained and random networks are far apart, and the table at the end asserts it. But
# look at the control: taking pixels out of a random network's image *in any order* changes its representation little.
# Its features are means of rectified responses, all positive, so any two images have a large cosine. How much of the
# gap is the map's doing, and how much only the level of the cosine? (In the runs recorded at `small` the level wins:
# SimCLR's cosines are larger still, and its area lies *above* that of the random network. What the corrections below
# leave there is a clearly larger gain in one seed of three.)
#
# Two corrections. (1) The **gain**: area in random order minus area by importance. (2) Take the level away: subtract
# from every representation the mean over training images, and do everything again with **centred** features.


# %%
class Centred(nn.Module):
    """An encoder minus its mean representation over some training images."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.mean = evaluate.extract_features(encoder, pictures(train_set[:500])).mean(dim=0).to(scale.device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x) - self.mean


rows = {}
for label, encoder in encoders.items():
    centred = Centred(encoder)
    by_importance = curves_of(centred, [explain(centred, image, masks)[0] for image in images])["areas"]
    rows[label] = [curves[label]["areas"][1], at_random[label]["areas"][1]]
    rows[f"{label}, centred"] = [by_importance[1], curves_of(centred, control)["areas"][1]]
table = torch.tensor([[by, control, control - by] for by, control in rows.values()])       # (2 networks, 3)
deletion = dict(zip(rows, table[:, 0].tolist()))
gain = dict(zip(rows, table[:, 2].tolist()))
plot.show(
    plot.heat_map(
        table,
        rows=list(rows),
        columns=["by importance", "random order", "gain"],
        label="area under the deletion curve",
        title="Deletion, plain and centred, one seed",
    ),
    alt="Table of deletion areas by importance and in random order, and their difference, plain and centred.",
)

# %% [markdown]
# #### Question 2
#
# (a) What do the pointing game and the relevance mass say about the random network, and why does it find objects it has
# never learnt? (b) Which column separates trained from random networks most, which least, and which would you report?
# (c) A colleague shows that her map has a smaller deletion area for network A than for network B, and concludes that A
# is explained better. Name two other reasons.

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) Read the bars: the random network lies far above the share of the object. So does a blob that has seen nothing,
# since objects lie near the middle: the level to compare with is the blob, not the share. Random convolutions respond
# to edges and contrast, and the object is what has most of both before a plain background. So the map is right about
# the random network (it *does* depend on these pixels), and localisation shows a property of the images, not of what
# was learnt.
#
# (b) See the table. In its plain rows the area by importance separates most at `tiny`, the random order least. But that
# order, in which the map had no say, sets the supervised network apart, too: a part of the first column is the level of
# the cosine, and where the levels differ the other way, the plain area misleads. The gain compares each network with itself, and centring
# takes away the direction that all images share; what then remains between the gains of trained and random networks is
# the honest difference. Report the area *with* its control.
#
# (c) A's cosine falls faster whatever is removed (level); A reacts more strongly to the fill colour or to the hard
# edges of the removed region, which it never saw in training; A's features were centred or not; fewer masks or another
# grid were used for B.
# ### END SOLUTION

# %% [markdown]
# ## DINO, in its own world
#
# The shipped DINO network of week 7 has seen tissue and no scenes. So at scale `tiny` it is explained there, beside the
# same transformer with random weights. The objects are the cells: many of them, anywhere in the image.

# %%
cell_hits = {}
if scale.name in ("dry", "tiny"):
    stain = data.load_images("tissue", "train", n=500, seed=scale.seed).images.float().mean(dim=(0, 2, 3)) / 255
    tissue = data.load_images("tissue", "test", n=len(images), seed=scale.seed)
    fields, cells = data.as_float(tissue.images), tissue.masks[:, 0]                # (N, C, H, W), (N, H, W)
    torch.manual_seed(scale.seed + 10_000)
    transformers = {"DINO": models.load_pretrained("dino_tissue_vit8"), "random": models.backbone("vit8_conv").eval()}
    found = {label: [explain(net, image, masks, stain) for image in fields] for label, net in transformers.items()}
    rows = {f"{label}: importance": torch.stack([r for r, _ in pairs[:6]]) for label, pairs in found.items()}
    rows["DINO: uncertainty"] = torch.stack([u for _, u in found["DINO"][:6]])
    plot.show(
        plot.overlays(fields[:6], rows, title="A transformer on tissue: DINO, and random weights"),
        alt="Six fields of tissue; importance of their pixels for DINO and random weights, and DINO's uncertainty.",
    )
    at_cells = {label: torch.stack([r for r, _ in pairs]) for label, pairs in found.items()} | {"blob in the middle": blob}
    cell_hits = {label: pointing(maps, cells) for label, maps in at_cells.items()}
    cell_share = cells.float().mean().item()
    plot.show(
        plot.bars(
            cell_hits,
            intervals={k: evaluate.wilson_interval(v, len(cells)) for k, v in cell_hits.items()},
            levels={"share of the cells": cell_share},
            ylabel="most important pixel on a cell",
            title=f"Pointing game on {len(cells)} fields, 95 % intervals",
        ),
        alt="Share of fields whose most important pixel is on a cell, for DINO, random weights and a blob in the middle.",
    )
    for label, net in transformers.items():
        filled, areas = Filled(net, stain), []
        for image, by, other in zip(fields, at_cells[label], control):
            whole = visible(image).to(scale.device)
            areas.append([insertion_deletion(filled, whole, one, steps)[3] for one in (by, other)])
        by, other = torch.tensor(areas).mean(dim=0).tolist()
        print(f"{label:7} deletion area {by:.3f} by importance, {other:.3f} in random order")

# %% [markdown]
# On the scenes the random network was nearly as good as the trained ones at this game. Here it is better than guessing
# too, since cells are dark and random filters answer to contrast; but DINO is above it, and by how much depends on the
# random weights (the table at the end has the spread over seeds). Was the lesson wrong, then? It was a lesson about
# scenes: one object, near the middle, before a plain background. What localisation can tell has to be found out on
# every set of images anew, by a random network and a blob. (Two things have changed at once, the world and the
# architecture; which of them made the difference, this comparison does not say.)
#
# And look at the half-widths under the maps: whatever is hidden, the random transformer answers nearly the same.

# %% [markdown]
# ## Random weights, one stage after the other
#
# Adebayo et al. (2018): replace the weights by random ones, beginning at the output, and watch when the map changes. A
# map that does not change shows the image. At `tiny` and `small` the network has four stages.

# %%
part = scale.pick(tiny="stage", small="stage", full="net.layer")
stages = [f"{part}{number}" for number in (4, 3, 2, 1)]
judged = images[: scale.pick(dry=2, tiny=12, small=12, full=4)]


def randomised(encoder: nn.Module, how_many: int) -> nn.Module:
    """A copy whose last how_many stages have random weights."""
    changed = copy.deepcopy(encoder)
    fresh = untrained(scale.seed + 20_000).to(scale.device)
    for stage in stages[:how_many]:
        changed.get_submodule(stage).load_state_dict(fresh.get_submodule(stage).state_dict())
    return changed.eval()


def ranks(a: torch.Tensor) -> torch.Tensor:
    return a.flatten().argsort().argsort().float()


similar = {}
for label in labels[:2]:
    similar[label] = []
    for how_many in range(len(stages) + 1):
        # Other masks than before, so that the first point shows what remains of "the same" by chance of the draw.
        other = [explain(randomised(encoders[label], how_many), image, draw(offset=4))[0] for image in judged]
        pairs = zip(other, importance[label])
        similar[label].append(sum(correlation(ranks(a), ranks(b)) for a, b in pairs) / len(judged))
figure = plot.curves(
    similar,
    x=range(len(stages) + 1),
    levels={"no relation": 0.0},
    xlabel="stages with random weights, counted from the output",
    ylabel="rank correlation with the original map",
    title="Does the map know about the weights? One seed",
)
figure.axes[0].set_xticks(range(len(stages) + 1))
plot.show(
    figure,
    alt="Rank correlation between the maps before and after stages are randomised, for two networks.",
)
for label, values in similar.items():
    print(f"{label}: rank correlation {values[0]:.2f} by other masks alone, {values[-1]:.2f} with all weights random")

# %% [markdown]
# Read both ends. On the left nothing was randomised: what is missing to 1 is the draw of the masks. On the right every
# weight is random, and the curves do *not* come down to 0. Maps of two networks that share no weight and no training
# still agree that far, since both are maps of the same image: contrast, edges and what stands in the middle order the
# pixels by themselves. So a rank correlation of that size between two maps says nothing about what two networks have in
# common, and of the agreement of *any* two maps this much has to be taken off first. Adebayo et al. would call a method
# whose curve stayed at the left-hand value a method that explains images; this one is somewhere in between.

# %% [markdown]
# ## What else decides the map: recorded sweeps
#
# The colour of hidden pixels and the size of the cells are choices of ours, not properties of the network. To compute a
# point with your own seed, name it in `rerun`.

# %%
rerun = {"fill": [], "grid": []}
fills = {"black": black, "white": torch.ones_like(mean_colour), "mean colour": mean_colour}


def found_objects(label: str, colour: torch.Tensor = mean_colour, cells: int = grid) -> float:
    """Pointing game of one network with this fill and grid; NaN where objects are unknown."""
    if objects is None:
        return math.nan
    some_masks = draw(grid=cells)
    return pointing(torch.stack([explain(encoders[label], image, some_masks, colour)[0] for image in images]))


if objects is not None:
    by_fill, by_grid = {}, {}
    for label in ("supervised", "random"):
        by_fill[label] = check.sweep(
            scale,
            f"fill, {label}",
            lambda point, seed: found_objects(label, fills[point]),
            points=list(fills),
            own={"mean colour": localisation[label][0]},
            rerun=rerun["fill"],
        )
        by_grid[label] = check.sweep(
            scale,
            f"grid, {label}",
            lambda point, seed: found_objects(label, cells=point),
            points=[2, 4, 7, 11, 16],
            own={grid: localisation[label][0]},
            rerun=rerun["grid"],
        )
    levels = {"share of the object": share}
    plot.show(
        plot.sweep(by_fill, ylabel="most important pixel on object", levels=levels, title="Colour of hidden pixels"),
        alt="Pointing game against the colour of hidden pixels, for the supervised and the random network.",
    )
    plot.show(
        plot.sweep(
            by_grid,
            xlabel="cells along a side",
            ylabel="most important pixel on object",
            levels=levels,
            title="Size of the cells",
        ),
        alt="Pointing game against the number of cells along a side, for the supervised and the random network.",
    )

# %% [markdown]
# #### Question 3
#
# (a) What do black or white hidden pixels do to the maps of scenes with a bright sky, and why does the mean colour do
# better? Is it neutral? (b) Cells of the size of the image, and cells of one pixel: what does importance become in
# these two limits? (c) You must show a physician why an encoder found two scans similar. Which of the tests of this
# notebook can you run on your data, and what would you write under the figure?

# %% [markdown] tags=["question", "points:2"]
# ### BEGIN SOLUTION
# (a) A black patch in a bright scene is a strong stimulus with contours of its own: similarity then falls where black
# stands out most, which need not be where the object is. White does less harm in the figure. The mean colour resembles
# much of the background, so hiding background changes little and hiding the object much. That is not neutral either: it
# favours maps that point at what differs from the mean. Blurring the hidden part, or another image in its place, are
# other choices with other biases.
#
# (b) One cell for everything: all pixels share one number, no map. One pixel a cell: every mask shows half of every
# neighbourhood, so that all masks look alike to the encoder, similarities hardly differ and the map is noise. Between
# them the cells set the resolution: finer ones show more detail and need more masks. To the pointing game it makes
# little difference in the figure.
#
# (c) Stability between draws, insertion and deletion with a random order as control, and randomised weights need
# neither labels nor known objects; a pointing game needs outlines by experts for some scans. Below the figure: number
# of masks, grid, fill, the stability reached, the deletion area with its control, and the sentence that the map shows
# what the representation depends on, not what is medically relevant, and not why the two scans are similar unless the
# similarity of the *pair* was explained.
# ### END SOLUTION

# %% [markdown]
# ## Traps
#
# Mistakes that no check of a function can see. All of them run without an error.
#
# - **Beautiful maps as proof.** A random network gives them too. Show the random network beside the trained one.
# - **Localisation as faithfulness.** A map that finds the object is right about the network only if the network looks
#   there. Deletion asks the network; the pointing game asks the photographer.
# - **Maps of one network compared by level.** Cosines of rectified features lie near 1. Compare gains, or centre.
# - **Colours that hide the range.** A map from 0.96 to 0.97 looks as contrasted as one from 0.2 to 0.9.
# - **Uncertainty read as an error bar.** It is the spread of single masks and does not shrink with more of them.
# - **Too few masks for a comparison.** Two maps of one network differ by the draw alone; measure that first.
# - **Batch statistics.** In training mode batch norm mixes all masked copies of an image: eval mode, always.
# - **Choosing grid, fill and number of masks by the pointing game on the images that are reported.**

# %% [markdown]
# ## Report
#
# A recorded run differs from yours in the seed of training, images and masks. At the smallest scales the intervals of a
# pointing game on a few dozen images are wide: see its figure.

# %%
separated = {label: deletion["random"] - deletion[label] for label in labels[:2]}
claims = {
    "a constant encoder has no uncertainty: 1 minus the largest": (1 - nothing[1].max().item(), 0.99999),
    "the quarter that is read is found: inside over outside": (quadrant_order, 0.9),
    "uncertainty is independent of the number of masks: 1 minus the change": (
        1 - abs(ratio - 1),
        0.8,
    ),
    "deletion tells supervised from random": (separated["supervised"], scale.pick(tiny=0.15, small=0.05, full=0.0)),
    "maps of trained and wholly random weights agree: rank correlation": (
        similar["supervised"][-1],
        scale.pick(tiny=0.2, small=0.05, full=0.0),
    ),
}
if scale.name in ("dry", "tiny"):
    claims["deletion tells contrastive from random"] = (separated[contrastive_name], 0.1)
else:       # the levels of the cosine differ too much for the plain area: see the table of plain and centred deletion
    claims["the gain of centred features tells contrastive from random"] = (
        gain[f"{contrastive_name}, centred"] - gain["random, centred"],
        0.05,
    )
metrics = {
    "stability": stability.mean(dim=0)[-1].item(),
    "deletion_supervised": deletion["supervised"],
    "deletion_contrastive": deletion[contrastive_name],
    "gain_supervised": gain["supervised"],
    "gain_contrastive": gain[contrastive_name],
    "gain_random": gain["random"],
    "gain_centred_supervised": gain["supervised, centred"],
    "gain_centred_contrastive": gain[f"{contrastive_name}, centred"],
    "gain_centred_random": gain["random, centred"],
    "all_stages_random": similar["supervised"][-1],
}
if localisation:
    claims["a random network points at objects too: over their share"] = (localisation["random"][0] - share, 0.2)
    metrics |= {
        "pointing_supervised": localisation["supervised"][0],
        "pointing_contrastive": localisation[contrastive_name][0],
        "pointing_random": localisation["random"][0],
    }
if cell_hits:
    claims["DINO points at cells: over their share"] = (cell_hits["DINO"] - cell_share, 0.3)
    metrics |= {"cells_dino": cell_hits["DINO"], "cells_random": cell_hits["random"]}
check.report(
    scale,
    claims=claims,
    tested={k: len(images) for k in metrics if k.startswith(("pointing", "cells"))},
    chance={k: share for k in metrics if k.startswith("pointing")}
    | {k: cell_share for k in metrics if k.startswith("cells")} | {k: 0.0 for k in metrics if k.startswith("gain")},
    baseline={k: deletion["random"] for k in metrics if k.startswith("deletion")}
    | {k: localisation["random"][0] for k in metrics if k.startswith("pointing")},
    **metrics,
)

# %% [markdown]
# ## What to take with you
#
# - RELAX explains any encoder by masking: importance is a weighted mean of similarities, uncertainty their variance.
# - The number of masks is chosen by the stability of the map, whose error falls as $1 / \sqrt{n}$.
# - Localisation alone proves nothing: on scenes a random network localises too. Deletion with a control, and random
#   weights, ask the network itself.
# - Two maps of one image agree even where no weight is shared. Measure that level before you compare maps.
# - Every map depends on choices (fill, grid, cosine or centred cosine) that belong in the caption.

# %% [markdown]
# ## Further reading
#
# - K. K. Wickstrøm, D. J. Trosten, S. Løkse, A. Boubekki, K. Ø. Mikalsen, M. C. Kampffmeyer, R. Jenssen. *RELAX:
#   Representation learning explainability.* International Journal of Computer Vision 131, 2023.
#   [arXiv:2112.10161](https://arxiv.org/abs/2112.10161); code:
#   [github.com/Wickstrom/RELAX](https://github.com/Wickstrom/RELAX).
# - V. Petsiuk, A. Das, K. Saenko. *RISE: Randomized input sampling for explanation of black-box models.* BMVC 2018.
#   [arXiv:1806.07421](https://arxiv.org/abs/1806.07421). Masks, insertion and deletion.
# - A. Hedström, L. Weber, S. Lapuschkin, M. Höhne. *A fresh look at sanity checks for saliency maps.* World Conference on
#   Explainable AI 2024. [arXiv:2405.02383](https://arxiv.org/abs/2405.02383). What random weights can and cannot test.
# - A. Hedström, L. Weber, D. Bareeva, and others. *Quantus: an explainable AI toolkit for responsible evaluation of
#   neural network explanations and beyond.* Journal of Machine Learning Research 24, 2023.
#   [arXiv:2202.06861](https://arxiv.org/abs/2202.06861).
# - Y. Gandelsman, A. Efros, J. Steinhardt. *Interpreting CLIP's image representation via text-based decomposition.* ICLR
#   2024. [arXiv:2310.05916](https://arxiv.org/abs/2310.05916). A representation explained from the inside.
# - J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim. *Sanity checks for saliency maps.* NeurIPS 2018.
#   [arXiv:1810.03292](https://arxiv.org/abs/1810.03292).
# - J. Zhang, S. A. Bargal, Z. Lin, J. Brandt, X. Shen, S. Sclaroff. *Top-down neural attention by excitation
#   backprop.* International Journal of Computer Vision 126, 2018.
#   [arXiv:1608.00507](https://arxiv.org/abs/1608.00507). The pointing game.
# - L. Arras, A. Osman, W. Samek. *CLEVR-XAI: A benchmark dataset for the ground truth evaluation of neural network
#   explanations.* Information Fusion 81, 2022. [arXiv:2003.07258](https://arxiv.org/abs/2003.07258). Relevance mass.
# - K. K. Wickstrøm, T. Brüsch, M. C. Kampffmeyer, R. Jenssen. *REPEAT: Improving uncertainty estimation in
#   representation learning explainability.* AAAI 2025. [arXiv:2412.08513](https://arxiv.org/abs/2412.08513). Is a pixel
#   *certainly* important? An answer that is an error bar.

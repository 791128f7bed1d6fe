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
# # Project template
#
# A skeleton for the final presentation or the report of three pages: what you asked, what you did, what came out on
# **your own data**, and what it means. Every section says what belongs there and shows it once, for an example, in the
# solved version. Copy it (`sslcourse lab project_template`), replace the example, and delete every sentence that is not
# yours.
#
# **Rules of the course still hold.** Features are computed once; settings are chosen on validation data; the test split
# is used once, at the end; every accuracy has an interval and a baseline beside it; no number is typed into the text.
#
# **Two forms, one notebook.** Each heading becomes a slide, or a section of the report; the commands stand at the end.

# %%
# On Colab this installs the course; anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    import subprocess

    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "sslcourse"], check=True)

# %% tags=["setup"]
import tempfile
from pathlib import Path

import torch

import sslcourse
from sslcourse import data, evaluate, models, plot
from sslcourse.check.report import report
from sslcourse.data.own import own_images, own_proteins, own_texts, split_own

# %%
scale = sslcourse.begin(week="project_template")

# %% [markdown]
# ## 1 Introduction
#
# Half a page, or two slides. The question, in one sentence that data can answer with no. Why the answer matters, and to
# whom. What is known: two or three references, and what they leave open. What you expected before you looked.

# %% [markdown] tags=["question", "points:4"]
# ### BEGIN SOLUTION
# *Example.* **Question.** Do features that MoCo learnt without labels tell ten kinds of object apart in small
# drawings, better than raw pixels do and better than a network with random weights? **Why.** Labels of drawings are
# expensive, drawings are not. **Known.** Contrastive features transfer well where augmentations resemble the nuisances
# of the task (Chen et al. 2020; He et al. 2020); how far this holds for drawings of 32 pixels, they do not say.
# **Expected.** Clearly above both baselines, since colour and place, by which raw pixels are compared, are drawn
# independently of the class.
# ### END SOLUTION

# %% [markdown]
# ## 2 Methods and theory
#
# One page, or three slides. The method in formulas, with every symbol explained, and *why* it should answer the
# question. What was trained on what, and what was not trained by you (a published checkpoint: on which data, and could
# these overlap with your test data?). The measure, its level of guessing, and the baselines. How settings were chosen.

# %% [markdown] tags=["question", "points:5"]
# ### BEGIN SOLUTION
# *Example.* An encoder $f$ maps an image to $h = f(x)$. It was trained by MoCo: two views of one image, $q$ and $k^+$,
# against a queue of keys,
# $L = -\log \frac{\exp(q \cdot k^+ / \tau)}{\exp(q \cdot k^+ / \tau) + \sum_j \exp(q \cdot k_j / \tau)}$,
# on scenes drawn with another seed than ours, so none of our images was seen. $f$ is frozen; logistic regression on
# standardised $h$ is the measure (linear probe), with its regularisation chosen on a fifth of the training part. Level
# of guessing: the share of the largest class. Baselines: raw pixels, and the same network with random weights.
# ### END SOLUTION

# %% [markdown]
# ## 3 Your data
#
# Put the path of your own data here. Three kinds can be read; each loader refuses what would spoil the results later,
# and says where it is.
#
# - **a folder of images**: one subfolder for each class, `own_images("my_folder", size=32)`;
# - **a csv of texts**: a column of texts and one of classes, `own_texts("my.csv", text="text", label="class")`;
# - **a FASTA of proteins**: the class is the last word of each header, `own_proteins("my.fasta", classes=True)`.
#
# With `path = None` the notebook makes an example folder of drawings and goes on with it.

# %%
path = None                        # "my_folder"
size = 32


def example_folder(folder: Path) -> Path:
    """A folder of images as yours might be: one subfolder a class, drawn from the toy scenes."""
    from PIL import Image

    scenes = data.load_images("scenes", "test", n=scale.pick(dry=60, tiny=1200, small=1200, full=1200), seed=scale.seed)
    for n, (image, label) in enumerate(zip(scenes.images, scenes.labels.tolist())):
        place = folder / scenes.class_names[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{n:04}.png")
    return folder


with tempfile.TemporaryDirectory() as folder:
    own = own_images(path or example_folder(Path(folder)), size)
train_rows, test_rows = split_own(own.labels, test=0.5, seed=scale.seed)
train_set, test_set = own[train_rows], own[test_rows]
counts = own.labels.bincount()
print(f"{len(own)} images of {len(own.class_names)} classes, {counts.min()} to {counts.max()} each")
print(f"{len(train_set)} to train, {len(test_set)} to test")

# %%
first = torch.stack([(own.labels == y).nonzero()[0, 0] for y in range(len(own.class_names))])
plot.show(
    plot.image_grid(own.images[first], titles=own.class_names, columns=5, title="One image of each class"),
    alt="One image of each class of the data, with the names of the classes.",
)

# %% [markdown]
# The other two kinds, on files of a few lines, so that you see their form. Texts and sequences become features with the
# models of weeks 3 and 12, or, as a baseline that you should show in any case, with counts of words and of amino acids.

# %%
# NBVAL_CHECK_OUTPUT
with tempfile.TemporaryDirectory() as folder:
    table, fasta = Path(folder) / "reviews.csv", Path(folder) / "some.fasta"
    table.write_text('text,mood\n"slow, but lovely",good\nnever again,bad\n', encoding="utf-8")
    fasta.write_text(">P1 kinase\nMKTAYIAKQR\n>P2 lyase\nMSDKIIHLTD\n", encoding="utf-8")
    texts, proteins = own_texts(table, label="mood"), own_proteins(fasta, classes=True)
print(len(texts), "texts of the classes", ", ".join(texts.class_names))
print(len(proteins), "proteins of the classes", ", ".join(proteins.class_names))

# %% [markdown]
# ## 4 Results
#
# One page, or four slides. The main result first, with its interval and its baselines. Then the figure that would
# convince *you*. Then what did not work. Every figure has one message, and its title says it.
#
# ### The features
#
# Exchange the encoder for yours: `models.load_pretrained(...)`, a network that you trained (`train.fit`), or any
# function of images that returns one row each.

# %%
torch.manual_seed(scale.seed)
encoders = {
    "MoCo": models.load_pretrained("moco_scenes_conv4"),
    "random network": models.backbone("conv4_gn"),
    "raw pixels": lambda images: images.flatten(1),
}
features = {
    label: tuple(evaluate.extract_features(encoder, part.images) for part in (train_set, test_set))
    for label, encoder in encoders.items()
}

# %% [markdown]
# ### The main result

# %%
probes = {
    label: evaluate.linear_probe(train_h, train_set.labels, test_h, test_set.labels, Cs=(0.01, 0.1))
    for label, (train_h, test_h) in features.items()
}
guessing = (test_set.labels.bincount().max() / len(test_set)).item()
for label, probe in probes.items():
    print(f"{label}: {probe.accuracy:.2f} ({probe.low:.2f} to {probe.high:.2f})")
plot.show(
    plot.bars(
        {label: probe.accuracy for label, probe in probes.items()},
        intervals={label: (probe.low, probe.high) for label, probe in probes.items()},
        levels={"largest class": guessing},
        ylabel="accuracy of a linear probe",
        title=f"{len(test_set)} test images, 95 % intervals",
    ),
    alt="Accuracy of a linear probe on the features of MoCo, a random network and raw pixels, with 95 % intervals.",
)

# %% [markdown]
# ### Look at it
#
# Neighbours show what the features hold alike; the errors among them are the more instructive half.

# %%
train_h, test_h = features["MoCo"]
asked = torch.stack([(test_set.labels == y).nonzero()[0, 0] for y in range(len(own.class_names))])[:6]  # one a class
_, near = evaluate.nearest_neighbours(test_h[asked], train_h, k=6)
plot.show(
    plot.neighbours(
        test_set.images[asked],
        train_set.images[near],
        correct=train_set.labels[near] == test_set.labels[asked, None],
        title="Test images and their nearest training images",
    ),
    alt="Six test images, each beside its six nearest training images, marked by whether the class is the same.",
)

# %% [markdown]
# ### What the results say
#
# In words, without repeating numbers: the answer to the question, how sure it is (which interval, over what), what
# surprised you, and what was tried and left out.

# %% [markdown] tags=["question", "points:5"]
# ### BEGIN SOLUTION
# *Example.* The probe on MoCo's features lies above both baselines, and the intervals do not overlap: the answer is yes
# for these drawings. The intervals cover the choice of test images, not the training of the encoder, of which there is
# one; how much another seed would change is not known from this notebook. That random features lie below raw pixels
# was not expected: averages over space lose the outline. Among the neighbours there are more errors than the probe
# suggests: it weighs directions, and neighbours take them all alike.
# ### END SOLUTION

# %% [markdown]
# ## 5 Discussion
#
# Half a page, or two slides. What the result does not show. The strongest objection, and what would answer it. Who
# could be misled or harmed by using it, and on which data it would fail. What you would do with another month.

# %% [markdown] tags=["question", "points:4"]
# ### BEGIN SOLUTION
# *Example.* The drawings come from one generator, and the encoder was trained on drawings of the same generator: the
# result says nothing about photographs, or drawings by people. The strongest objection is that augmentations were
# chosen by somebody who knew the nuisances of this world; training with augmentations that ignore them would answer it.
# With another month: drawings by people, three seeds of the encoder, and a curve over the number of labels.
# ### END SOLUTION

# %% [markdown]
# ## Checklist
#
# Before you hand it in:
#
# - [ ] The question can be answered with no, and the answer stands in the first paragraph of the discussion.
# - [ ] Every accuracy has an interval, a level of guessing and at least one baseline; equal budgets where methods
#   compete.
# - [ ] Nothing was chosen on the test split; it was used once. No image, text or sequence is in two splits, near copies
#   (frames of a film, patients, homologous proteins) included.
# - [ ] It is said which weights come from others, and on what these were trained.
# - [ ] Three seeds where a training is cheap; where there is one, the text says so.
# - [ ] Every figure can be read from the last row and in grey, has names on its axes and one message in its title.
# - [ ] Source and licence of the data are named; consent and privacy where people are in them.
# - [ ] "Restart and run all" goes through; no number is typed into the text.
# - [ ] Three pages, or twelve minutes. Every sentence of this template is gone.

# %% [markdown]
# ## Grading rubric
#
# | part | points | full points for | half for |
# | --- | --- | --- | --- |
# | introduction | 4 | a question that data can refuse, its place among two or three references | a topic in place of a question |
# | methods and theory | 5 | formulas with all symbols explained; why the method answers the question; choices named | a correct method, copied and not argued |
# | results | 5 | main result with interval, baselines and honest splits; figures with one message each; failures shown | numbers without intervals or baselines |
# | discussion | 4 | limits that follow from the results; the strongest objection met | general limits of the field |
# | form | 2 | runs from top to bottom; readable figures; within its length | one of them missing |

# %% [markdown]
# ## Export
#
# In a terminal, in the folder of your copy:
#
# ```
# sslcourse export project_template.ipynb --to report     # HTML without code, for printing
# sslcourse export project_template.ipynb --to slides     # HTML slides, one for every heading, without code
# sslcourse export project_template.ipynb --to pdf        # the report as PDF, where Chrome or Chromium is installed
# ```
#
# Run all cells first: what is exported is what the notebook shows. `--code` keeps the code. Formulas and slides need
# the network when they are shown or printed (MathJax and reveal.js); without it formulas stay as they were typed. Arrow
# keys turn the slides, and `?print-pdf` at the end of the address prints them.

# %%
margin = probes["MoCo"].low - max(probes["random network"].high, probes["raw pixels"].high)
report(
    scale,
    probe_accuracy=probes["MoCo"].accuracy,
    random_accuracy=probes["random network"].accuracy,
    pixel_accuracy=probes["raw pixels"].accuracy,
    claims={"example: MoCo over both baselines, between the intervals": (margin, 0.1)},
    chance={name: guessing for name in ("probe_accuracy", "random_accuracy", "pixel_accuracy")},
    baseline={"probe_accuracy": probes["random network"].accuracy},
)

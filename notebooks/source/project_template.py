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
import csv
import tempfile
from pathlib import Path

import torch

import sslcourse
from sslcourse import data, evaluate, models, plot
from sslcourse.check.report import report
from sslcourse.data.own import cluster, own_images, own_proteins, own_texts, split_own

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
#
# *From the course.* Methods: autoencoders (week 1), rotation (2), BERT (3), SimCLR (4), MoCo and SCAN (5), distillation
# (6), DINO (7), MAE (8), CLIP (9), models of proteins (12), LeJEPA and I-JEPA (bonus on JEPA). Looking at what was
# learnt: probes (1), dimension (10), relative representations and CKA (11), RELAX (bonus on explaining).

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
# Three kinds can be read. Keep the part of your kind, here and in section 4, and delete the other two. Each loader
# refuses what would spoil the results later, and says where it is; `data/README.md` lists what is read and how.
#
# - **a folder of images**: one subfolder for each class, `own_images("my_folder", size=32)`;
# - **a csv of texts**: a column of texts and one of classes, `own_texts("my.csv", text="text", label="class")`;
# - **a FASTA of proteins**: the class is the last word of each header, `own_proteins("my.fasta", classes=True)`.
#
# With a path of `None` the notebook makes an example of its own and goes on with it.
#
# **What belongs together stays together.** Slices of one patient, frames of one film, texts of one author and relatives
# of one protein are near copies: in both parts they measure memory. `split_own(labels, groups=...)` keeps every group
# on one side, and the share of each class as near to what you ask as that allows.

# %%
def shares(part, train_rows, test_rows) -> None:
    """Say how much there is: the set, its classes, the two parts. A set without classes ends here."""
    if not part.class_names:
        raise ValueError(
            "There are no classes to tell apart: give images a subfolder for each class, name the column of classes of "
            "a csv (label=...), or read the classes of a FASTA (classes=True)."
        )
    counts = part.labels.bincount()
    print(f"{len(part)} in {len(part.class_names)} classes, {counts.min()} to {counts.max()} each")
    print(f"{len(train_rows)} to train, {len(test_rows)} to test")


# %% [markdown]
# ### Images

# %%
folder_of_images = None            # "my_folder"
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
    images = own_images(folder_of_images or example_folder(Path(folder)), size)
# The captions are the names of the files. Where "cat/p07_slice3.png" is of patient p07:
# patients = [name.split("/")[-1].split("_")[0] for name in images.captions], and below groups=patients.
train_rows, test_rows = split_own(images.labels, test=0.5, seed=scale.seed)
train_images, test_images = images[train_rows], images[test_rows]
shares(images, train_rows, test_rows)

# %%
first = torch.stack([(images.labels == y).nonzero()[0, 0] for y in range(len(images.class_names))])
plot.show(
    plot.image_grid(images.images[first], titles=images.class_names, columns=5, title="One image of each class"),
    alt="One image of each class of the data, with the names of the classes.",
)

# %% [markdown]
# ### Texts
#
# The example is a csv of toy reviews with a mood. Equal texts are one group here, so that none is in both parts; with a
# column of authors you would write `own_texts(..., group="author")` and `groups=texts.groups`.

# %%
# NBVAL_CHECK_OUTPUT
table_of_texts = None              # "my.csv"


def example_table(folder: Path) -> Path:
    """A csv as yours might be: the columns text and mood, written by Python's own csv."""
    n = scale.pick(dry=60, tiny=1600, small=1600, full=1600)
    reviews = data.load_texts("reviews", "test", n=n, seed=scale.seed)
    with open(folder / "reviews.csv", "w", encoding="utf-8", newline="") as file:
        moods = [reviews.class_names[label] for label in reviews.labels.tolist()]
        csv.writer(file).writerows([("text", "mood"), *zip(reviews.texts, moods)])
    return folder / "reviews.csv"


with tempfile.TemporaryDirectory() as folder:
    texts = own_texts(table_of_texts or example_table(Path(folder)), text="text", label="mood")
train_rows, test_rows = split_own(texts.labels, test=0.5, seed=scale.seed, groups=texts.items)
train_texts, test_texts = texts[train_rows], texts[test_rows]
shares(texts, train_rows, test_rows)
for y, name in enumerate(texts.class_names):
    print(f"{name}: {texts.items[(texts.labels == y).nonzero()[0, 0]]}")

# %% [markdown]
# ### Proteins
#
# The example is a FASTA of toy families. Groups are clusters of sequences that share words of five residues, a coarse
# rule: for distant relatives take the clusters of MMseqs2 or the families of a database.

# %%
# NBVAL_CHECK_OUTPUT
file_of_proteins = None            # "my.fasta"


def example_fasta(folder: Path) -> Path:
    """A FASTA as yours might be: the class is the last word of the header."""
    n = scale.pick(dry=80, tiny=1200, small=1200, full=1200)
    potts = data.load_proteins("potts", "test", n=n, seed=scale.seed)
    families = [potts.class_names[label].replace(" ", "_") for label in potts.labels.tolist()]
    records = [f">P{n} {family}\n{sequence}\n" for n, (family, sequence) in enumerate(zip(families, potts.sequences))]
    (folder / "families.fasta").write_text("".join(records), encoding="utf-8")
    return folder / "families.fasta"


with tempfile.TemporaryDirectory() as folder:
    proteins = own_proteins(file_of_proteins or example_fasta(Path(folder)), classes=True)
kin = cluster(proteins.items)
train_rows, test_rows = split_own(proteins.labels, test=0.5, seed=scale.seed, groups=kin)
train_proteins, test_proteins = proteins[train_rows], proteins[test_rows]
shares(proteins, train_rows, test_rows)
print(f"{len(kin.unique())} clusters, the largest of {kin.bincount().max()}")
for y, name in enumerate(proteins.class_names):
    print(f"{name}: {proteins.items[(proteins.labels == y).nonzero()[0, 0]]}")

# %% [markdown]
# ## 4 Results
#
# One page, or four slides. The main result first, with its interval and its baselines. Then the figure that would
# convince *you*. Then what did not work. Every figure has one message, and its title says it.
#
# All three kinds go the same way: features of both parts, computed once; a linear probe on each; one figure with
# intervals, baselines and the level of guessing.

# %%
def probed(features, train_labels, test_labels) -> dict:
    """A linear probe on every kind of features, {name: (of the training part, of the test part)}; prints them."""
    probes = {
        name: evaluate.linear_probe(train_h, train_labels, test_h, test_labels, Cs=(0.01, 0.1))
        for name, (train_h, test_h) in features.items()
    }
    for name, probe in probes.items():
        print(f"{name}: {probe.accuracy:.2f} ({probe.low:.2f} to {probe.high:.2f})")
    return probes


def draw(probes, test_labels, what: str) -> float:
    """The figure of the main result. Returns the level of guessing, the share of the largest class."""
    guessing = (test_labels.bincount().max() / len(test_labels)).item()
    plot.show(
        plot.bars(
            {name: probe.accuracy for name, probe in probes.items()},
            intervals={name: (probe.low, probe.high) for name, probe in probes.items()},
            levels={"largest class": guessing},
            ylabel="accuracy of a linear probe",
            title=f"{len(test_labels)} test {what}, 95 % intervals",
        ),
        alt=f"Accuracy of a linear probe on the {what}, with 95 % intervals, for " + ", ".join(probes) + ".",
    )
    return guessing


# %% [markdown]
# ### Images
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
image_features = {
    name: tuple(evaluate.extract_features(encoder, part.images) for part in (train_images, test_images))
    for name, encoder in encoders.items()
}

# %%
image_probes = probed(image_features, train_images.labels, test_images.labels)
image_guessing = draw(image_probes, test_images.labels, "images")

# %% [markdown]
# **Look at it.** Neighbours show what the features hold alike; the errors among them are the more instructive half.

# %%
train_h, test_h = image_features["MoCo"]
asked = torch.stack([(test_images.labels == y).nonzero()[0, 0] for y in range(len(images.class_names))])[:6]
_, near = evaluate.nearest_neighbours(test_h[asked], train_h, k=6)
plot.show(
    plot.neighbours(
        test_images.images[asked],
        train_images.images[near],
        correct=train_images.labels[near] == test_images.labels[asked, None],
        title="Nearest training images, by MoCo",
    ),
    alt="Six test images, each beside its six nearest training images, marked by whether the class is the same.",
)

# %% [markdown]
# ### Texts
#
# The baseline of texts is a count of their words: often hard to beat, since it needs no pretraining. The features are
# means of the hidden states of week 3's BERT, which knows nothing but toy reviews; for your texts take a published
# model (`transformers.AutoModel` and its own tokenizer). Mind the two printed numbers: words that the vocabulary lacks
# and texts that lost their ends are not in the features.

# %%
tokenizer = data.reviews_tokenizer()
max_length = 16                    # what the model has positions for


def tokens_of(part):
    return data.encode(tokenizer, part.items, max_length)


@torch.no_grad()
def pooled_words(model, part, batch_size: int = 256) -> torch.Tensor:
    """Mean hidden state (N, D) of the real tokens of each text."""
    tokens, rows = tokens_of(part), []
    for ids, mask in zip(tokens.input_ids.split(batch_size), tokens.attention_mask.split(batch_size)):
        hidden = model.bert(input_ids=ids, attention_mask=mask).last_hidden_state                 # (n, L, D)
        rows.append((hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))
    return torch.cat(rows)


def word_counts(train_part, test_part) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts (N, W) of the words of the training part; a word that only the test part has counts for nothing."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer().fit(train_part.items)
    return tuple(torch.from_numpy(counter.transform(part.items).toarray()).float() for part in (train_part, test_part))


coded = tokens_of(texts)
unknown = (coded.input_ids == tokenizer.token_to_id("[UNK]"))[~coded.special].float().mean()
print(f"{100 * unknown:.0f} % of the words are unknown to the model, {coded.truncated} texts were cut")
torch.manual_seed(scale.seed)
readers = {
    "BERT": models.load_pretrained("bert_reviews"),
    "random BERT": models.bert(tokenizer.get_vocab_size(), max_length=max_length).eval(),
}
text_features = {
    name: (pooled_words(model, train_texts), pooled_words(model, test_texts)) for name, model in readers.items()
}
text_features["word counts"] = word_counts(train_texts, test_texts)

# %%
text_probes = probed(text_features, train_texts.labels, test_texts.labels)
text_guessing = draw(text_probes, test_texts.labels, "texts")

# %% [markdown]
# ### Proteins
#
# The baseline of proteins is their composition, the frequencies of the twenty amino acids: it tells whether a class
# needs more than a glance. The features are means over the residues of week 12's model, which has places for 32
# residues and knows nothing but toy families. Longer sequences are read in windows, which see nothing of one another;
# for your proteins take `models.load_esm("facebook/esm2_t6_8M_UR50D")`, which reads them whole.

# %%
def composition(part) -> torch.Tensor:
    """Frequencies (N, 20) of the amino acids."""
    return torch.tensor([[s.count(letter) / len(s) for letter in data.AMINO_ACIDS] for s in part.items])


def pooled_residues(model, part) -> torch.Tensor:
    """Mean of the residues' features, (N, D), over all windows of a sequence that is longer than the model's places."""
    width = model.places or max(map(len, part.items))
    windows = [[s[start : start + width] for start in range(0, len(s), width)] for s in part.items]
    hidden = iter(model.hidden([window for own in windows for window in own]))
    return torch.stack([torch.cat([next(hidden) for _ in own]).mean(dim=0) for own in windows])


def say_windows(models_by_name, part) -> None:
    """Name the models that do not read all sequences whole."""
    for name, model in models_by_name.items():
        if longer := sum(len(s) > (model.places or len(s)) for s in part.items):
            print(f"{name} reads {longer} of {len(part)} sequences in windows of {model.places} residues")


torch.manual_seed(scale.seed)
language_models = {
    "ESM": models.load_pretrained("esm_potts"),
    "random ESM": models.esm(64, 3, 4, positions="absolute", max_length=32).eval(),
}
say_windows(language_models, proteins)
protein_features = {
    name: (pooled_residues(model, train_proteins), pooled_residues(model, test_proteins))
    for name, model in language_models.items()
}
protein_features["composition"] = composition(train_proteins), composition(test_proteins)

# %%
protein_probes = probed(protein_features, train_proteins.labels, test_proteins.labels)
protein_guessing = draw(protein_probes, test_proteins.labels, "proteins")

# %% [markdown]
# ### What the results say
#
# In words, without repeating numbers: the answer to the question, how sure it is (which interval, over what), what
# surprised you, and what was tried and left out.

# %% [markdown] tags=["question", "points:5"]
# ### BEGIN SOLUTION
# *Example.* The probe on MoCo's features lies above both baselines, and the intervals do not overlap: the answer is yes
# for these drawings. The intervals cover the choice of test images, not the training of the encoder, of which there is
# one; how much another seed would change is not known from this notebook. That random features lie below raw pixels was
# not expected; averages over space may lose the outline. Among the neighbours there are more errors than the probe
# suggests: it weighs directions, and neighbours take them all alike.
#
# In the other two examples the pretrained model lies above both baselines, too. Counts of words cannot tell what a
# negator denies; some of that seems to be in BERT's features. The families of proteins were made with nearly one
# composition; what tells them apart is which letter stands where, and which residues go together.
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
# Run all cells first: what is exported is what the notebook shows. `--code` keeps the code. The page holds
# all that it needs (MathJax and reveal.js too), so that it can be shown without network. Arrow keys turn the slides, and
# `?print-pdf` at the end of the address prints them.

# %%
def margin(probes, best: str) -> float:
    """How far the interval of the best lies above those of all others."""
    return probes[best].low - max(probe.high for name, probe in probes.items() if name != best)


report(
    scale,
    probe_accuracy=image_probes["MoCo"].accuracy,
    random_accuracy=image_probes["random network"].accuracy,
    pixel_accuracy=image_probes["raw pixels"].accuracy,
    text_accuracy=text_probes["BERT"].accuracy,
    word_count_accuracy=text_probes["word counts"].accuracy,
    protein_accuracy=protein_probes["ESM"].accuracy,
    composition_accuracy=protein_probes["composition"].accuracy,
    claims={
        "example: MoCo over both baselines, between the intervals": (margin(image_probes, "MoCo"), 0.1),
        "example: BERT over both baselines, between the intervals": (margin(text_probes, "BERT"), 0.04),
        "example: ESM over both baselines, between the intervals": (margin(protein_probes, "ESM"), 0.1),
    },
    chance={name: image_guessing for name in ("probe_accuracy", "random_accuracy", "pixel_accuracy")}
    | {name: text_guessing for name in ("text_accuracy", "word_count_accuracy")}
    | {name: protein_guessing for name in ("protein_accuracy", "composition_accuracy")},
    baseline={
        "probe_accuracy": image_probes["random network"].accuracy,
        "text_accuracy": text_probes["random BERT"].accuracy,
        "protein_accuracy": protein_probes["random ESM"].accuracy,
    },
)

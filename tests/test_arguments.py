"""Malformed calls, generated: every public function with every kind of bad value for each of its arguments.

A call is answered well by one sentence of the library's own (ValueError, TypeError, or what the docstring names),
raised in the library and not below it; or, where a value stands for the good one (a NumPy integer), by the same result.
"""

import dataclasses
import functools
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sslcourse
from sslcourse import arguments as asked
from sslcourse import augment, data, evaluate, models, plot, train
from sslcourse.check import board
from sslcourse.check.report import report
from sslcourse.check.sweep import Sweep, sweep

PACKAGE = str(Path(sslcourse.__file__).parent)
NAN, INF = math.nan, math.inf


class Odd:
    """Something nobody expects."""

    def __repr__(self):
        return "<something\nodd>"


NOTHING = [None, Odd(), {}, set(), 1j, b"bytes", Odd]
MANY = [torch.rand(2, 3), np.ones((2, 2)), [[1.0], [1.0, 2.0]]]
FEW = torch.rand(12, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 3
PICTURES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def spoilt(x, value):
    x = x.clone()
    x.view(-1)[0] = value
    return x


WHOLE = [*NOTHING, *MANY, True, np.True_, 2.5, 2.0, "3", [3], (), NAN, INF, 10**30, -(10**30), torch.tensor(2.5)]
NUMBER = [*NOTHING, *MANY, True, np.True_, "0.5", [0.5], (), NAN, INF, -INF, torch.tensor([0.5, 0.5])]
TENSOR = [*NOTHING, "text", 3, 0.5, [], [[1.0], [1.0, 2.0]], ["a", "b"], np.array(["a"]), np.array([Odd()])]
BAD = {
    "whole": WHOLE,
    "count": [*WHOLE, -1, -(2**62)],
    "number": NUMBER,
    "positive": [*NUMBER, -1.0, -1e300],
    "share": [*NUMBER, -0.5, 1.5, 1e300],
    "flag": [*NOTHING, *MANY, 1, 2.0, "yes", []],
    "name": [*NOTHING, *MANY, 3, 2.5, True, "no such thing", "", "../../etc/passwd", [], "\n", NAN],
    "text": [*NOTHING, *MANY, 3, 2.5, True, ["a"]],
    "texts": [*NOTHING, *MANY, "one text", 3, 2.5, True, [1, 2], [None], [["a"]], ("a", 3)],
    "features": [
        *(*TENSOR, FEW[0], FEW[None], FEW[:0], FEW[:, :0], spoilt(FEW, NAN), spoilt(FEW, INF), FEW.to(torch.complex64)),
        *(FEW.to_sparse(), FEW.to("meta"), np.ma.masked_greater(FEW.numpy(), 0.5), torch.full((12, 4), 2**60)),
    ],
    "labels": [
        *(*TENSOR, LABELS.float(), LABELS.bool(), LABELS[:-1], LABELS[None], LABELS - 1, [0.5] * 12, LABELS.to("meta")),
        *(LABELS.to(torch.complex64), torch.full((12,), NAN), LABELS.to_sparse(), "012012012012"),
    ],
    "images": [
        *(
            *TENSOR,
            PICTURES.numpy(),
            PICTURES.tolist(),
            (PICTURES * 255).long(),
            PICTURES[0],
            PICTURES[:0],
            5 * PICTURES,
        ),
        *(spoilt(PICTURES, NAN), spoilt(PICTURES, INF), -PICTURES, PICTURES.to(torch.complex64), PICTURES.to("meta")),
        *(PICTURES.to_sparse(), PICTURES[..., :0], PICTURES > 2, list(PICTURES)),
    ],
    "generator": [*NOTHING[1:], *MANY, 3, "cpu", 2.5, True, np.random.default_rng(0)],
    "module": [*NOTHING, *MANY, 3, "conv4", nn.Linear, lambda x: x, [nn.ReLU]],
    "function": [*NOTHING[:-1], *MANY, 3, "relu", True, [abs]],
    "device": [*NOTHING, *MANY, 3.5, "nonsense", "cuda:99", ""],
    "mapping": [*(one for one in NOTHING if one != {}), *MANY, 3, "text", [1.0], True],
    "pair": [*NOTHING, *MANY, 3, "ab", (0.5,), (0.1, 0.2, 0.3), ("a", "b"), (NAN, NAN), (True, "x"), (None, None), 0.5],
}
SAME = {  # other ways to say the good value
    "whole": [np.int64, np.int32, np.uint8, torch.tensor],
    "count": [np.int64, np.int32, np.uint8, torch.tensor],
    "number": [np.float64, lambda v: torch.tensor(v, dtype=torch.float64)],
    "positive": [np.float64, lambda v: torch.tensor(v, dtype=torch.float64)],
    "share": [np.float64, lambda v: torch.tensor(v, dtype=torch.float64)],
    "flag": [np.bool_],
    "texts": [tuple, np.array, iter],
    "features": [lambda v: v.numpy(), lambda v: v.tolist(), lambda v: v.double(), lambda v: list(v)],
    "labels": [lambda v: v.numpy(), lambda v: v.tolist(), lambda v: v.int(), lambda v: v.numpy().astype(np.uint16)],
}


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))


def ids():
    return torch.full((2, 9), 5)


TOKENIZER = functools.cache(lambda: data.train_tokenizer(["a good film .", "a bad film ."], 60, 1))
SCALE = sslcourse.Scale("tiny", "week04", 0, torch.device("cpu"))
SWEEP = Sweep("s", (1.0, 2.0), (0.5, 0.6), (0.1, 0.1), "recorded", {1.0: 0.4})
TEXTS = ["a good film", "a bad film"]


def stepped(student, teacher, images, labels, loss, **rest):
    return train.fit_student(student, teacher, images, labels, loss, progress=False, **rest).loss


def fitted(loss_fn, modules, **rest):
    MLP.reset_parameters()  # whatever an earlier call made of it
    return train.fit(loss_fn, modules, FEW, progress=False, **rest).loss


def averaged(student, teacher, momentum):
    if isinstance(teacher, nn.Module):
        nn.init.constant_(teacher.weight, 3.0)
    train.update_ema(student, teacher, momentum)
    return teacher.weight.detach().clone()


def of(transform):
    """The class of a transform, called on images: good settings give images."""
    return lambda **settings: transform(**settings)(PICTURES, torch.Generator().manual_seed(0))


def simple(y, t, labels):
    return (y - t.detach()).square().mean()


MLP = nn.Linear(4, 2)
MASKS = evaluate.sample_masks(4, 2, 8, generator=torch.Generator().manual_seed(0))
FLAT = nn.Flatten()

# {name: (function, {argument: (kind, good value)})}; kinds with "?" may be None as well.
CALLS = {
    "begin": (
        sslcourse.begin,
        {"week": ("name", 4), "scale": ("name?", "tiny"), "seed": ("count?", 3), "minutes": ("positive?", 5.0)},
    ),
    "solution": (sslcourse.solution, {"week": ("name", "week04"), "name": ("name", "nt_xent")}),
    "find": (sslcourse.weeks.find, {"week": ("name", "week04")}),
    "Scale.generator": (SCALE.generator, {"offset": ("whole", 2), "device": ("device", "cpu")}),
    # data
    "load_images": (
        lambda **a: data.load_images(**a).images,
        {"name": ("name", "scenes"), "split": ("name", "val"), "n": ("count?", 4), "seed": ("count", 1)},
    ),
    "load_texts": (
        lambda **a: data.load_texts(**a).texts,
        {"name": ("name", "reviews"), "split": ("name", "val"), "n": ("count?", 4), "seed": ("count", 1)},
    ),
    "load_proteins": (
        lambda **a: data.load_proteins(**a).sequences,
        {"name": ("name", "potts"), "split": ("name", "val"), "n": ("count?", 4), "seed": ("count", 1)},
    ),
    "as_float": (data.as_float, {"images": ("images", PICTURES)}),
    "prefetch": (data.prefetch, {"week": ("name", 4), "scale": ("name", "tiny")}),
    "parse_mutation": (data.parse_mutation, {"mutation": ("name", "A2T"), "sequence": ("text", "MAA")}),
    "train_tokenizer": (
        lambda **a: data.train_tokenizer(**a).get_vocab(),
        {"texts": ("texts", TEXTS), "vocab_size": ("count", 60), "min_frequency": ("count", 1)},
    ),
    "encode": (
        lambda texts, max_length: data.encode(TOKENIZER(), texts, max_length).input_ids,
        {"texts": ("texts", TEXTS), "max_length": ("count", 8)},
    ),
    "encode, tokenizer": (lambda tokenizer: data.encode(tokenizer, TEXTS, 8), {"tokenizer": ("module", None)}),
    "same_classes": (lambda one: data.same_classes(one, one), {"one": ("module", data.load_images("scenes", n=9))}),
    "ImageSet.subset": (
        lambda **a: data.load_images("scenes", n=20).subset(**a).images,
        {"n": ("count", 6), "seed": ("count", 1)},
    ),
    "TextSet": (
        lambda **a: data.TextSet(labels=torch.tensor([0, 1]), name="own", split="all", **a).texts,
        {"texts": ("texts", TEXTS), "class_names": ("names", ["bad", "good"])},
    ),
    "TextSet, parts": (
        lambda **a: data.TextSet(TEXTS, class_names=["bad", "good"], name="own", split="all", **a).texts,
        {"labels": ("labels of 2", LABELS[:2]), "factors": ("mapping?", {"topic": LABELS[:2]})}
        | {"documents": ("list?", [["a", "b"], ["c"]])},
    ),
    "TextSet, factor": (
        lambda factor: data.TextSet(TEXTS, LABELS[:2], ["a", "b"], "own", "all", factors={"f": factor}),
        {"factor": ("parts of 2?", LABELS[:2])},
    ),
    "ImageSet": (
        lambda **a: data.ImageSet(name="own", split="all", **a).images,
        {"images": ("bytes", (255 * PICTURES).byte()), "labels": ("int64 labels of 3", LABELS[:3])}
        | {"class_names": ("names", ["a", "b", "c"]), "factors": ("mapping?", {"hue": LABELS[:3]})}
        | {"masks": ("parts of 3?", PICTURES[:, :1] > 0.5), "captions": ("texts?", ["a", "b", "c"])},
    ),
    "ImageSet, factor": (
        lambda factor: data.ImageSet(
            (255 * PICTURES).byte(), LABELS[:3], ["a", "b", "c"], "own", "all", factors={"f": factor}
        ),
        {"factor": ("parts of 3?", LABELS[:3])},
    ),
    "ProteinSet": (
        lambda **a: data.ProteinSet(name="own", split="all", **a).sequences,
        {
            "sequences": ("texts", ["MA", "AM"]),
            "labels": ("labels of 2", LABELS[:2]),
            "class_names": ("names", ["a", "b"]),
        }
        | {
            "structure": ("texts?", ["HH", "CE"]),
            "scores": ("parts of 2?", FEW[:2, 0]),
            "mutations": ("texts?", ["", "A1M"]),
        }
        | {"wild_types": ("texts?", ["MA", "AM"]), "contacts": ("parts of 2?", torch.ones(2, 2, 2) > 0)}
        | {"families": ("list?", None)},
    ),
    "gather": (train.gather, {"z": ("parts of 2", FEW)}),
    # augment
    "RandomResizedCrop": (
        of(augment.RandomResizedCrop),
        {"size": ("count", 8), "scale": ("pair", (0.2, 1.0)), "ratio": ("pair", (0.75, 1.25))},
    ),
    "RandomFlip": (of(augment.RandomFlip), {"p": ("share", 0.5)}),
    "ColourJitter": (
        of(augment.ColourJitter),
        {"brightness": ("positive", 0.4), "contrast": ("positive", 0.4), "saturation": ("positive", 0.4)}
        | {"hue": ("share", 0.1), "p": ("share", 0.5)},
    ),
    "RandomGreyscale": (of(augment.RandomGreyscale), {"p": ("share", 0.5)}),
    "GaussianBlur": (of(augment.GaussianBlur), {"sigma": ("pair", (0.1, 2.0)), "p": ("share", 0.5)}),
    "Solarise": (of(augment.Solarise), {"threshold": ("share", 0.5), "p": ("share", 0.5)}),
    "simclr": (
        of(augment.simclr),
        {"size": ("count", 8), "crop": ("pair?", (0.2, 1.0)), "flip": ("flag", True), "jitter": ("positive", 0.5)}
        | {"grey": ("share", 0.2), "blur": ("share", 0.5)},
    ),
    "Compose": (lambda transform: augment.Compose(transform), {"transform": ("module", augment.RandomFlip())}),
    "a transform": (augment.RandomFlip(), {"images": ("images", PICTURES), "generator": ("generator", None)}),
    "two_views": (
        augment.two_views,
        {
            "images": ("images", PICTURES),
            "augment": ("function", augment.RandomFlip()),
            "generator": ("generator", None),
        },
    ),
    "multi_crop": (
        augment.multi_crop,
        {"images": ("images", PICTURES), "n_local": ("count", 1), "global_size": ("count", 8)}
        | {"local_size": ("count", 4), "generator": ("generator", None)},
    ),
    "rotate_batch": (lambda images: augment.rotate_batch(images)[1], {"images": ("shapes", PICTURES)}),
    "random_mask": (
        augment.random_mask,
        {"n": ("count", 2), "n_patches": ("count", 16), "ratio": ("share", 0.5), "generator": ("generator", None)},
    ),
    "block_mask": (
        augment.block_mask,
        {"grid": ("pair", (4, 4)), "ratio": ("share", 0.5), "generator": ("generator", None)},
    ),
    # models
    "backbone": (
        models.backbone,
        {"name": ("name", "conv4"), "in_channels": ("count", 3), "image_size": ("count", 32)},
    ),
    "Normalise": (models.Normalise, {"mean": ("numbers", (0.5,)), "std": ("numbers", (0.5,))}),
    "Normalise, images": (models.Normalise((0.5,) * 3, (0.5,) * 3), {"images": ("images", PICTURES)}),
    "conv_encoder": (models.conv_encoder, {"in_channels": ("count", 3), "base_channels": ("count", 2)}),
    "conv_decoder": (
        models.conv_decoder,
        {"out_channels": ("count", 3), "image_size": ("count", 8), "base_channels": ("count", 2)},
    ),
    "projection_head": (
        models.projection_head,
        {"in_dim": ("count", 3), "hidden_dim": ("count", 4), "out_dim": ("count", 2)},
    ),
    "rows": (board.rows, {"world": ("name", "scenes")}),
    "show, the board": (board.show, {"world": ("name", "scenes")}),
    "show, a method of the board": (lambda method: board.show(method), {"method": ("name", "SimCLR")}),
    "load_pretrained": (models.load_pretrained, {"name": ("name", "moco_scenes_conv4")}),
    "load_esm": (models.load_esm, {"name": ("name", None)}),
    "load_sentence_encoder": (models.load_sentence_encoder, {"source": ("name?", None)}),
    "load_antiberty": (models.load_antiberty, {"trained": ("flag", None)}),
    "bert": (
        models.bert,
        {"vocab_size": ("count", 9), "hidden_size": ("count", 8), "layers": ("count", 1), "heads": ("count", 2)}
        | {"intermediate_size": ("count?", 8), "max_length": ("count", 8), "dropout": ("share", 0.1)}
        | {"initializer_range": ("positive", 0.1)},
    ),
    "esm": (
        models.esm,
        {"hidden": ("count", 8), "layers": ("count", 1), "heads": ("count", 2), "positions": ("name", "rotary")}
        | {"token_dropout": ("flag", True), "max_length": ("count", 9)},
    ),
    "ProteinLM": (models.ProteinLM, {"network": ("module", None)}),
    "Vocabulary": (lambda **a: models.Vocabulary(**a).words, {"texts": ("texts", TEXTS), "length": ("count", 8)}),
    "Vocabulary.encode": (models.Vocabulary(TEXTS).encode, {"texts": ("texts", TEXTS)}),
    "TextTransformer": (
        models.TextTransformer,
        {"vocabulary_size": ("count", 9), "dim": ("count", 8), "length": ("count", 4), "depth": ("count", 1)}
        | {"num_heads": ("count", 2)},
    ),
    "TextTransformer, ids": (
        lambda ids: models.TextTransformer(9, 8, 4, 1, 2)(ids),
        {"ids": ("tokens", torch.tensor([[1, 2, 0, 0]]))},
    ),
    "ViT": (
        models.ViT,
        {"image_size": ("count", 8), "patch_size": ("count", 4), "in_channels": ("count", 3), "dim": ("count", 8)}
        | {"depth": ("count", 1), "num_heads": ("count", 2)},
    ),
    # train
    "fit": (
        fitted,
        {"loss_fn": ("function", lambda x: MLP(x).square().mean()), "modules": ("module", MLP), "epochs": ("count", 1)}
        | {"batch_size": ("count", 12), "lr": ("positive", 1e-9), "weight_decay": ("positive", 0.1)}
        | {"warmup": ("share", 0.1), "clip": ("positive?", 1.0), "generator": ("generator", None)}
        | {"device": ("device", "cpu"), "max_steps": ("count?", 1), "time_budget": ("positive?", 60.0)}
        | {"after_step": ("function?", None), "on_epoch": ("function?", None), "label": ("text", "training")}
        | {"optimizer": ("module?", None)},
    ),
    "fit, data": (
        lambda data: train.fit(lambda x: MLP(x).square().mean(), MLP, data, epochs=1, lr=1e-9, progress=False).loss,
        {"data": ("batch", FEW)},
    ),
    "fit_classifier": (
        lambda **a: train.fit_classifier(epochs=1, lr=1e-9, progress=False, **a).loss,
        {"model": ("module", linear()), "images": ("images", PICTURES), "labels": ("labels of 3", LABELS[:3])}
        | {"augment": ("function?", None)},
    ),
    "fit_student": (
        lambda **a: stepped(epochs=1, lr=1e-9, **a),
        {"student": ("module", linear()), "teacher": ("module", linear()), "images": ("images", PICTURES)}
        | {"labels": ("labels of 3", LABELS[:3]), "loss": ("function", simple), "augment": ("function?", None)}
        | {"device": ("device", "cpu")},
    ),
    "mask_residues": (
        train.mask_residues,
        {
            "ids": ("tokens", ids()),
            "shares": ("pair", (0.8, 0.1)),
            "p": ("share", 0.5),
            "generator": ("generator", None),
        },
    ),
    "masked_residue_loss": (
        train.masked_residue_loss,
        {"model": ("function", nn.Embedding(33, 33)), "ids": ("tokens", ids()), "shares": ("pair", (0.8, 0.1))},
    ),
    "passes": (lambda **settings: list(train.passes(**settings)), {"epochs": ("count", 2), "label": ("text", "mine")}),
    "cosine_schedule": (
        train.cosine_schedule,
        {"start": ("number", 1.0), "end": ("number", 0.1), "steps": ("count", 5), "warmup": ("count", 1)},
    ),
    "update_ema": (
        averaged,
        {"student": ("module", nn.Linear(2, 2)), "teacher": ("module", nn.Linear(2, 2)), "momentum": ("share", 0.5)},
    ),
    # evaluate
    "extract_features": (
        evaluate.extract_features,
        {"encoder": ("function", FLAT), "images": ("images", PICTURES), "batch_size": ("count", 2)}
        | {"device": ("device?", "cpu")},
    ),
    "layer_features": (
        evaluate.layer_features,
        {"model": ("module", nn.Sequential(nn.Flatten())), "images": ("images", PICTURES), "layers": ("texts", ["0"])}
        | {"batch_size": ("count", 2), "grid": ("count", 1)},
    ),
    "linear_probe": (
        evaluate.linear_probe,
        {"train_x": ("features", FEW), "train_y": ("labels", LABELS), "test_x": ("features", FEW)}
        | {
            "test_y": ("labels", LABELS),
            "Cs": ("numbers", (0.1,)),
            "val_fraction": ("share", 0.2),
            "seed": ("count", 0),
        },
    ),
    "wilson_interval": (
        evaluate.wilson_interval,
        {"accuracy": ("share", 0.5), "n": ("count", 9), "level": ("share", 0.95)},
    ),
    "knn_accuracy": (
        evaluate.knn_accuracy,
        {"train_x": ("features", FEW), "train_y": ("labels", LABELS), "test_x": ("features", FEW)}
        | {"test_y": ("labels", LABELS), "k": ("count", 2), "temperature": ("positive", 0.5)},
    ),
    "nearest_neighbours": (
        evaluate.nearest_neighbours,
        {"queries": ("features", FEW), "bank": ("features?", FEW), "k": ("count", 2), "metric": ("name", "euclidean")}
        | {"exclude_self": ("flag?", True), "chunk": ("count", 5)},
    ),
    "alignment": (evaluate.alignment, {"z0": ("features", FEW), "z1": ("features", FEW.flip(0))}),
    "uniformity": (evaluate.uniformity, {"z": ("features", FEW), "t": ("positive", 2.0)}),
    "rankme": (evaluate.rankme, {"z": ("features", FEW)}),
    "linear_cka": (
        evaluate.linear_cka,
        {"x": ("features", FEW), "y": ("features", FEW.flip(0)), "debiased": ("flag", False)},
    ),
    "cluster_accuracy": (evaluate.cluster_accuracy, {"assignments": ("labels", LABELS), "labels": ("labels", LABELS)}),
    "precision_at_l": (
        evaluate.precision_at_l,
        {"scores": ("square", torch.rand(9, 9)), "contacts": ("square", (torch.rand(9, 9) > 0.5).long())}
        | {"min_separation": ("count", 2), "max_separation": ("count?", 7), "fraction": ("positive", 0.5)},
    ),
    "sample_masks": (
        evaluate.sample_masks,
        {"n": ("count", 2), "grid": ("count", 2), "image_size": ("count", 8), "keep": ("share", 0.5)}
        | {"generator": ("generator", None)},
    ),
    "relax": (
        evaluate.relax,
        {
            "encoder": ("function", FLAT),
            "image": ("image", PICTURES[0]),
            "masks": ("masks", MASKS),
            "batch_size": ("count", 2),
        },
    ),
    "insertion_deletion": (
        evaluate.insertion_deletion,
        {"encoder": ("function", FLAT), "image": ("image", PICTURES[0]), "importance": ("square", torch.rand(8, 8))}
        | {"steps": ("count", 4), "batch_size": ("count", 2)},
    ),
    "auroc": (evaluate.auroc, {"in_scores": ("scores", FEW[:, 0]), "out_scores": ("scores", FEW[:, 1])}),
    "fpr_at_95_tpr": (
        evaluate.fpr_at_95_tpr,
        {"in_scores": ("scores", FEW[:, 0]), "out_scores": ("scores", FEW[:, 1])},
    ),
    "auroc_interval": (
        evaluate.auroc_interval,
        {"in_scores": ("scores", FEW[:, 0]), "out_scores": ("scores", FEW[:, 1]), "level": ("share", 0.9)},
    ),
    "two_nn": (evaluate.two_nn, {"x": ("features", FEW), "fraction": ("share", 0.9)}),
    "participation_ratio": (evaluate.participation_ratio, {"x": ("features", FEW)}),
    "neighbourhood_overlap": (
        evaluate.neighbourhood_overlap,
        {"a": ("features", FEW), "b": ("features", FEW.flip(0)), "k": ("count", 2)},
    ),
    "retrieval": (
        evaluate.retrieval,
        {"a": ("features", FEW), "b": ("features", FEW.flip(0)), "k": ("count", 2), "chunk": ("count", 5)},
    ),
    "reads_its_input": (
        evaluate.reads_its_input,
        {
            "encode": ("function", lambda items: torch.tensor([[float(ord(item[0]))] for item in items])),
            "items": ("texts", ["ab", "cd"]),
        },
    ),
    # plot
    "show": (plot.show, {"figure": ("module", None), "alt": ("text", "a figure")}),
    "image_grid": (
        plot.image_grid,
        {
            "images": ("images", PICTURES),
            "titles": ("names?", ["a", "b", "c"]),
            "columns": ("count", 2),
            "title": ("text?", "t"),
        },
    ),
    "panels": (plot.panels, {"rows": ("mapping", {"a": PICTURES}), "title": ("text?", "t")}),
    "panels, images": (lambda images: plot.panels({"a": images}), {"images": ("images", PICTURES)}),
    "neighbours": (
        plot.neighbours,
        {"queries": ("images", PICTURES), "neighbours": ("module", PICTURES[:, None]), "title": ("text?", "t")},
    ),
    "curves": (
        plot.curves,
        {"series": ("mapping", {"a": [1.0, 2.0]}), "x": ("list?", [1.0, 2.0]), "levels": ("mapping?", {"chance": 0.1})}
        | {
            "xlabel": ("text", "x"),
            "ylabel": ("text", "y"),
            "title": ("text?", "t"),
            "bands": ("mapping?", {"a": [0.1, 0.1]}),
        }
        | {"log_x": ("flag", False)},
    ),
    "curves, values": (lambda values: plot.curves({"a": values}), {"values": ("list", [1.0, 2.0])}),
    "bars": (
        plot.bars,
        {"values": ("mapping", {"a": 0.5}), "intervals": ("mapping?", {"a": (0.4, 0.6)}), "ylabel": ("text", "y")}
        | {"levels": ("mapping?", {"chance": 0.1}), "title": ("text?", "t")},
    ),
    "bars, value": (lambda value: plot.bars({"a": value}), {"value": ("number", 0.5)}),
    "bars, interval": (lambda ends: plot.bars({"a": 0.5}, {"a": ends}), {"ends": ("interval", (0.4, 0.6))}),
    "bars, level": (lambda value: plot.bars({"a": 0.5}, levels={"a": value}), {"value": ("number", 0.5)}),
    "sweep": (
        plot.sweep,
        {
            "recorded": ("module", SWEEP),
            "xlabel": ("text", "x"),
            "ylabel": ("text", "y"),
            "levels": ("mapping?", {"c": 0.1}),
        }
        | {"log_x": ("flag", False), "title": ("text?", "t")},
    ),
    "sweep, seeds": (
        lambda **a: plot.sweep(dataclasses.replace(SWEEP, **a)),
        {"mean": ("two numbers", (0.5, 0.6)), "std": ("two spreads", (0.1, 0.1)), "label": ("text", "recorded")},
    ),
    "sweep, own": (
        lambda value: plot.sweep(dataclasses.replace(SWEEP, own={1.0: value})),
        {"value": ("number or a gap", 0.4)},
    ),
    "sweep, point": (
        lambda point: plot.sweep(dataclasses.replace(SWEEP, points=(1.0, point))),
        {"point": ("second point", 2.0)},
    ),
    "embedding": (
        plot.embedding,
        {
            "features": ("points", FEW),
            "labels": ("numbers of classes", LABELS),
            "class_names": ("names", ["a", "b", "c"]),
        }
        | {"title": ("text?", "t"), "seed": ("count", 0)},
    ),
    "plane": (plot.plane, {"features": ("points", FEW), "seed": ("count", 0)}),
    "clouds": (
        plot.clouds,
        {
            "panels": ("mapping", {"a": FEW[:, :2]}),
            "labels": ("numbers of classes", LABELS),
            "class_names": ("names", ["a", "b", "c"]),
            "title": ("text?", "t"),
        },
    ),
    "clouds, points": (
        lambda points: plot.clouds({"a": points}, LABELS, ["a", "b", "c"]),
        {"points": ("points", FEW[:, :2])},
    ),
    "grouped_bars": (
        plot.grouped_bars,
        {"groups": ("mapping", {"probe": {"a": 0.5}}), "intervals": ("mapping?", {"probe": {"a": (0.4, 0.6)}})}
        | {"levels": ("mapping?", {"chance": 0.1}), "ylabel": ("text", "y"), "title": ("text?", "t")},
    ),
    "grouped_bars, group": (lambda group: plot.grouped_bars({"probe": group}), {"group": ("mapping", {"a": 0.5})}),
    "grouped_bars, interval": (
        lambda ends: plot.grouped_bars({"probe": {"a": 0.5}}, {"probe": {"a": ends}}),
        {"ends": ("interval", (0.4, 0.6))},
    ),
    "grouped_bars, value": (lambda value: plot.grouped_bars({"probe": {"a": value}}), {"value": ("number", 0.5)}),
    "heat_map": (
        plot.heat_map,
        {"matrix": ("square", torch.rand(2, 2)), "rows": ("names?", ["a", "b"]), "columns": ("names?", ["a", "b"])}
        | {"label": ("text", "l"), "title": ("text?", "t"), "centre": ("number?", 0.5), "reach": ("number?", 0.5)},
    ),
    "heat_maps": (
        plot.heat_maps,
        {
            "matrices": ("mapping", {"a": torch.rand(2, 2)}),
            "rows": ("names?", ["a", "b"]),
            "columns": ("names?", ["a", "b"]),
        }
        | {"label": ("text", "l"), "xlabel": ("text", "x"), "ylabel": ("text", "y"), "title": ("text?", "t")}
        | {"centre": ("number?", 0.5)},
    ),
    "heat_map, cell": (lambda cell: plot.heat_map([[0.5, cell]]), {"cell": ("number or a gap", 0.5)}),
    "heat_maps, matrix": (lambda matrix: plot.heat_maps({"a": matrix}), {"matrix": ("matrix", torch.rand(2, 2))}),
    "overlays, map": (lambda maps: plot.overlays(PICTURES, {"a": maps}), {"maps": ("maps", torch.rand(3, 8, 8))}),
    "scatter, points": (
        lambda points: plot.scatter({"a": points}, torch.rand(4)),
        {"points": ("four points", torch.rand(4, 2))},
    ),
    "overlays": (
        plot.overlays,
        {"images": ("images", PICTURES), "maps": ("mapping", {"a": torch.rand(3, 8, 8)}), "title": ("text?", "t")},
    ),
    "scatter": (
        plot.scatter,
        {"panels": ("mapping", {"a": torch.rand(4, 2)}), "colours": ("scores", torch.rand(4)), "label": ("text", "l")}
        | {"cyclic": ("flag", False), "columns": ("count?", 1), "title": ("text?", "t")},
    ),
    "attention": (
        plot.attention,
        {"images": ("images", PICTURES), "weights": ("weights", torch.rand(3, 2, 4)), "grid": ("pair?", (2, 2))}
        | {"title": ("text?", "t")},
    ),
    # check
    "report": (
        lambda **a: report(SCALE, **a),
        {"claims": ("mapping?", {"better": (0.5, 0.4)}), "chance": ("mapping?", {}), "baseline": ("mapping?", {})}
        | {"tested": ("mapping?", {}), "from_sweeps": ("mapping?", {}), "accuracy": ("number of a report", 0.5)},
    ),
    "Sweep.gap": (lambda **a: SWEEP.gap(**a).mean, {"better": ("point", 2.0), "worse": ("point", 1.0)}),
    "check.sweep": (
        lambda **a: sweep(SCALE, **a).points,
        {"name": ("text", "anything"), "run": ("function", lambda point, seed: 0.5), "points": ("list", [1.0, 2.0])}
        | {"own": ("mapping?", {1.0: 0.5}), "rerun": ("list", [])},
    ),
}
BAD |= {
    "parts of 2": [*NOTHING, "text", 3, 2.5, True, torch.tensor(3), FEW.to("meta"), FEW.to_sparse(), [1.0, 2.0]],
    "parts of 3": [*NOTHING, "text", 3, 2.5, True, torch.tensor(3), FEW.to("meta"), FEW[:2], FEW[:3].to_sparse()],
    "labels of 2": [*TENSOR, LABELS[:2].float(), LABELS[:2] - 2, LABELS[:3], LABELS[None, :2], LABELS[:2].to("meta")],
    "int64 labels of 3": [
        *(*TENSOR, LABELS[:3].float(), LABELS[:3].int(), LABELS[:3] - 2, LABELS[:3] + 1, LABELS[:2], LABELS[None]),
        *(LABELS[:3].to("meta"), LABELS[:3].to_sparse()),
    ],
    "bytes": [*TENSOR, PICTURES, (255 * PICTURES).long(), (255 * PICTURES[0]).byte(), PICTURES.byte().to("meta")],
    "points": [one for one in BAD["features"] if not (isinstance(one, torch.Tensor) and one.dtype == torch.int64)],
    "numbers of classes": [
        *TENSOR,
        LABELS + 0.5,
        LABELS.bool(),
        LABELS[:-1],
        LABELS[None],
        LABELS - 1,
        torch.full((12,), NAN),
    ],
    "scores": [*TENSOR, FEW, FEW[:0, 0], torch.tensor([NAN, 1.0]), FEW[:, 0].to(torch.complex64), FEW[:, 0].to("meta")],
    "square": [
        *TENSOR,
        FEW,
        FEW[0],
        FEW[None, :4],
        torch.full((9, 9), NAN),
        torch.ones(9, 9).to("meta"),
        torch.ones(0, 0),
    ],
    "weights": [
        *TENSOR,
        FEW,
        -torch.rand(3, 2, 4),
        torch.full((3, 2, 4), NAN),
        torch.rand(2, 2, 4),
        torch.rand(3, 0, 4),
    ],
    "masks": [*TENSOR, MASKS[:0], MASKS[:, 0], MASKS * 2, -MASKS, MASKS / 0, MASKS[..., :4], MASKS.to("meta")],
    "image": [
        *TENSOR,
        PICTURES,
        PICTURES[0].numpy(),
        PICTURES[0][:, :4],
        PICTURES[0] * 9,
        PICTURES[0] / 0,
        PICTURES[0].long(),
    ],
    "shapes": [*TENSOR, PICTURES.numpy(), PICTURES[0], PICTURES[:0], PICTURES[..., :4], PICTURES.to_sparse()],
    "batch": [
        *NOTHING,
        "text",
        3,
        [],
        (),
        [1, 2],
        np.ones(3),
        FEW[:0],
        (FEW, FEW[:3]),
        FEW.to("meta"),
        torch.tensor(3.0),
    ],
    "tokens": [*TENSOR, torch.rand(2, 4), torch.full((2, 4), 99), torch.full((2, 4), -1), torch.ones(2, 4).bool()],
    "labels of 3": [
        *TENSOR,
        LABELS[:3].float(),
        LABELS[:3] > 0,
        LABELS[:3] - 1,
        LABELS[:2],
        LABELS[None, :3],
        [0.5] * 3,
    ],
    "numbers": [
        *NOTHING,
        "text",
        3,
        0.5,
        (),
        [],
        ("a",),
        (None,),
        (NAN,),
        (INF,),
        (True,),
        FEW,
        np.ones((2, 2)),
        {"a": 1.0},
    ],
    "list": [*NOTHING, "text", 3, 2.5, True, [None], ["a", Odd()], FEW, {"a": 1.0}, np.ones((2, 2))],
    "names": [*NOTHING, "abc", 3, 2.5, True, [], ["a"], torch.tensor(3)],
    "point": [*NOTHING, *MANY, 7.0, "x", NAN, [1.0]],
    "number of a report": [*NOTHING, "text", [0.5], FEW],
}


TWO = [*TENSOR, [0.5], [0.5] * 3, [0.5, None], [True, 0.5], [INF, 0.5], [1e308, 0.5], [10**400, 1], torch.ones(2, 1)]
BAD |= {
    "interval": [*BAD["pair"], *(torch.ones(2).to("meta"), torch.ones(2).to_sparse(), [0.6, 0.4], (0.4, 1e308), "0.4")],
    "two numbers": [*TWO, torch.ones(2).to(torch.complex64), (torch.ones(()).to("meta"),) * 2],
    "two spreads": [*TWO, [-0.1, 0.1]],
    "number or a gap": [one for one in BAD["number"] if not (isinstance(one, float) and math.isnan(one))],
    "second point": [None, Odd(), {}, 1j, (1, 2), [2.0], 1.0, "", " ", "1.0", "x" * 61, NAN, INF, 1e308, 10**400],
    "matrix": [*TENSOR, FEW[0], FEW[None], FEW[:0], FEW[:, :0], FEW / 0, FEW.to("meta"), [[True, 0.5]], [[1e308, 1.0]]],
    "maps": [*TENSOR, FEW, torch.rand(3, 8, 7), torch.rand(3, 8, 8) / 0, torch.rand(3, 8, 8).to("meta")],
    "four points": [*TENSOR, FEW, FEW[:4], FEW[:3, :2], FEW[:4, :2] / 0, FEW[:4, :2].to("meta"), [[True, 0.5]] * 4],
}


def bad_values(kind):
    values = BAD[kind.rstrip("?")]
    return [value for value in values if value is not None] if kind.endswith("?") else values


def fine(name, argument, value):
    """Whether a value is good for this argument after all."""
    if argument == "week" and name != "solution":
        return value == 3 and not isinstance(value, float) if isinstance(value, int | float) else False
    if name == "as_float":  # images of any shape, also none
        return isinstance(value, torch.Tensor) and (value.dim() != 4 or not value.numel())
    if name == "Normalise":  # one number for one channel
        return isinstance(value, int | float)
    if name == "Normalise, images":
        return isinstance(value, torch.Tensor) and not value.numel()
    if CALLS[name][0].__module__.startswith("sslcourse.plot") or "panels" in name:  # a mask is a picture
        return isinstance(value, torch.Tensor) and value.dtype == torch.bool and value.dim() == 4
    return False


def answer(call, arguments):
    """(result, None) or (None, what is wrong with the answer); ("said", None) for a good sentence."""
    torch.manual_seed(0)
    try:
        result = call(**arguments)
    except (ValueError, TypeError, IndexError, FileNotFoundError, ImportError) as error:
        frame = error.__traceback__
        while frame.tb_next:
            frame = frame.tb_next
        said, place = str(error), frame.tb_frame.f_code.co_filename
        if not place.startswith(PACKAGE):
            return None, f"{type(error).__name__} of {os.path.basename(place)}: {said[:120]}"
        if not re.fullmatch(r"[^\n]{15,700}[.?]", said):
            return None, f"no sentence: {said[:160]!r}"
        return "said", None
    except Exception as error:
        return None, f"{type(error).__name__}: {str(error)[:120]}"
    return result, None


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-5)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(equal(one, other) for one, other in zip(a, b, strict=True))
    if isinstance(a, float):
        return a == pytest.approx(b, rel=1e-5, nan_ok=True)
    return isinstance(a, str | int) and a == b or type(a) is type(b)


def table(name):
    call, arguments = CALLS[name]
    good = {argument: value for argument, (_, value) in arguments.items()}
    for argument, (kind, _) in arguments.items():
        for value in bad_values(kind):
            if not fine(name, argument, value):
                yield argument, value, good | {argument: value}


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path))
    monkeypatch.delenv("SSLCOURSE_RECORD", raising=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_a_malformed_call_gets_one_sentence(name, capsys):
    wrong = []
    for argument, value, arguments in table(name):
        result, problem = answer(CALLS[name][0], arguments)
        if problem or not (isinstance(result, str) and result == "said"):
            shown = " ".join(repr(value).split())[:60]
            wrong.append(f"{name}({argument}={shown}): {problem or f'came back with {type(result).__name__}'}")
    assert not wrong, "\n" + "\n".join(wrong)


RARE = {
    "a number without a value": lambda: torch.tensor(2, device="meta"),
    "a nested tensor": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "a duration, which counts as a whole number": lambda: np.timedelta64(3, "s"),
    "a frozen set": lambda: frozenset("ab"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", RARE)
@pytest.mark.parametrize("ask", [asked.whole, asked.real, asked.number, asked.texts, asked.flag])
def test_a_rare_value_gets_one_sentence(kind, ask):
    with pytest.raises(TypeError, match=r"^n is [^\n]+; it should be [^\n]+\.$"):
        ask("n", RARE[kind]())


def test_there_are_thousands_of_them():
    assert sum(1 for name in CALLS for _ in table(name)) > 3000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [name for name, (_, a) in CALLS.items() if any(k.rstrip("?") in SAME for k, _ in a.values())]
)
def test_another_way_to_say_the_same_gives_the_same(name, capsys):
    call, arguments = CALLS[name]
    good = {argument: value for argument, (_, value) in arguments.items()}
    if any(value is None and not kind.endswith("?") and kind != "generator" for kind, value in arguments.values()):
        pytest.skip("has no good call here")
    wanted, problem = answer(call, good)
    assert problem is None and not (isinstance(wanted, str) and wanted == "said")
    for argument, (kind, value) in arguments.items():
        for other in SAME.get(kind.rstrip("?"), ()):
            came, problem = answer(call, good | {argument: other(value)})
            assert problem is None and equal(wanted, came), (argument, other, problem, came)


def test_every_public_function_is_in_the_table():
    """CONTRIBUTING.md lists them; a student's own data have a table in test_arguments_objects.py."""
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    module, missing = "", []
    for line in text.splitlines():
        if heading := re.match(r"### `(sslcourse[\w.]*)`", line):
            module = heading[1]
        if not line.startswith("- ") or not module or module == "sslcourse.data.own" or "on the command line" in line:
            continue
        for code in re.findall(r"`([^`]+)`", re.split(r"(?<=`): ", line)[0]):
            if found := re.match(r"([\w.]+)\(", code):
                missing.append(found[1])
    known = {part for name in CALLS for part in re.split(r"[ ,.]", name)} | {
        "Week", "data_root", "reviews_tokenizer", "History", "NotFinite", "Scale",
        "DataMissing", "DataCorrupted", "NotAttempted", "Wrong", "CheckFailed", "references_used", "pick",
    }  # fmt: skip
    assert not [name for name in missing if not {name, name.split(".")[-1]} & known]
